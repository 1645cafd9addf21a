//! The operations that end in a mailbox, or begin there.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, post},
            input::input,
            principal::UserId,
        },
        boot::Kernel,
    },
    modules::auth::recovery::Recovery,
};

#[derive(utoipa::ToSchema)]
pub struct MailedIn {
    pub email: String,
}
input!(MailedIn { email });

#[derive(utoipa::ToSchema)]
pub struct PasswordResetIn {
    /// From the link in the mail.
    pub token: String,
    pub new_password: String,
}
input!(PasswordResetIn { token, new_password });

#[derive(utoipa::ToSchema)]
pub struct VerifyIn {
    /// From the link in the mail.
    pub token: String,
}
input!(VerifyIn { token });

/// Whatever there is to say is said by mail, to whoever reads it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MailedOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
}

impl MailedOut {
    pub fn accepted() -> MailedOut {
        MailedOut { object: "mail", status: "accepted" }
    }
}

/// The password is the new one, and every session has ended: sign in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PasswordResetOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
}

/// An address that is its owner's.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EmailVerificationOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
    user_id: UserId,
    email: String,
}

pub fn endpoints(recovery: &Arc<Recovery>) -> Vec<Endpoint> {
    vec![
        post("/auth/password/forgot")
            .about("Have a link to choose a new password mailed; the answer does not say whether there is an account")
            .public()
            .plain()
            .status(202)
            .refuses(&["mail_not_configured"])
            .example(json!({ "email": "ann@example.com" }))
            .writes({
                let recovery = recovery.clone();
                move |tx, call: &Call<(), MailedIn>| {
                    recovery.forgot(tx, &call.caller, &call.input.email)?;
                    Ok(MailedOut::accepted())
                }
            }),
        post("/auth/password/reset")
            .about("Choose a new password with the token from the mail; all sessions end")
            .public()
            .plain()
            .status(200)
            .refuses(&["mail_token_gone"])
            .example(json!({ "token": "rst_…", "new_password": "a loud mountain brook" }))
            .runs({
                let recovery = recovery.clone();
                move |kernel: Arc<Kernel>, call: Call<(), PasswordResetIn>| {
                    let recovery = recovery.clone();
                    async move {
                        recovery.reset(kernel, call).await?;
                        Ok(PasswordResetOut { object: "password_reset", status: "completed" })
                    }
                }
            }),
        post("/auth/email/verify")
            .about("Confirm an e-mail address with the token from the mail")
            .public()
            .plain()
            .status(200)
            .refuses(&["mail_token_gone"])
            .example(json!({ "token": "vfy_…" }))
            .runs({
                let recovery = recovery.clone();
                move |kernel: Arc<Kernel>, call: Call<(), VerifyIn>| {
                    let recovery = recovery.clone();
                    async move {
                        let user = recovery.verify(kernel, call).await?;
                        let (user_id, email) = (user.id, user.email);
                        Ok(EmailVerificationOut {
                            object: "email_verification",
                            status: "verified",
                            user_id,
                            email,
                        })
                    }
                }
            }),
        post("/auth/email/resend")
            .about("Have a link to confirm an e-mail address mailed; the answer does not say whether there is an account")
            .public()
            .plain()
            .status(202)
            .refuses(&["mail_not_configured"])
            .example(json!({ "email": "ann@example.com" }))
            .writes({
                let recovery = recovery.clone();
                move |tx, call: &Call<(), MailedIn>| {
                    recovery.resend(tx, &call.caller, &call.input.email)?;
                    Ok(MailedOut::accepted())
                }
            }),
    ]
}
