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
        error::Result,
    },
    modules::auth::recovery::Recovery,
};

input! {
    pub struct MailedIn {
        email: String,
    }
}

input! {
    pub struct PasswordResetIn {
        /// From the link in the mail.
        token: String,
        new_password: String,
    }
}

input! {
    pub struct VerifyIn {
        /// From the link in the mail.
        token: String,
    }
}

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
            .writes_with(recovery, |recovery, tx, call: &Call<(), MailedIn>| {
                recovery.forgot(tx, &call.caller, &call.input.email)?;
                Ok(MailedOut::accepted())
            }),
        post("/auth/password/reset")
            .about("Choose a new password with the token from the mail; all sessions end")
            .public()
            .plain()
            .status(200)
            .refuses(&["mail_token_gone", "email_changed_lately"])
            .example(json!({ "token": "rst_…", "new_password": "a loud mountain brook" }))
            .runs_with(recovery, reset),
        post("/auth/email/verify")
            .about("Confirm an e-mail address with the token from the mail")
            .public()
            .plain()
            .status(200)
            .refuses(&["mail_token_gone", "email_taken"])
            .example(json!({ "token": "vfy_…" }))
            .runs_with(recovery, verify),
        post("/auth/email/resend")
            .about("Have a link to confirm an e-mail address mailed; the answer does not say whether there is an account")
            .public()
            .plain()
            .status(202)
            .refuses(&["mail_not_configured"])
            .example(json!({ "email": "ann@example.com" }))
            .writes_with(recovery, |recovery, tx, call: &Call<(), MailedIn>| {
                recovery.resend(tx, &call.caller, &call.input.email)?;
                Ok(MailedOut::accepted())
            }),
    ]
}

async fn reset(
    recovery: Arc<Recovery>,
    kernel: Arc<Kernel>,
    call: Call<(), PasswordResetIn>,
) -> Result<PasswordResetOut> {
    recovery.reset(kernel, call).await?;
    Ok(PasswordResetOut { object: "password_reset", status: "completed" })
}

async fn verify(
    recovery: Arc<Recovery>,
    kernel: Arc<Kernel>,
    call: Call<(), VerifyIn>,
) -> Result<EmailVerificationOut> {
    let user = recovery.verify(kernel, call).await?;
    let (user_id, email) = (user.id, user.email);
    Ok(EmailVerificationOut { object: "email_verification", status: "verified", user_id, email })
}
