//! The operations of second factors.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::service::UserFactors;
use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, post},
        input::input,
        principal::UserId,
        text::ReasonIn,
    },
    clock::Time,
};

input! {
    pub struct EnrollIn {
        /// One's own, again.
        password: String,
    }
}

input! {
    pub struct CodeIn {
        /// Six digits from the authenticator, or a recovery code.
        code: String,
    }
}

input! {
    pub struct LoginTotpIn {
        /// From the answer to the password.
        challenge: String,
        /// Six digits from the authenticator, or a recovery code.
        code: String,
    }
}

/// The password is right, and a code is asked for besides: go on at `login/totp`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MfaRequiredOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// True: there is no token in this answer.
    mfa_required: bool,
    /// Good for one sign-in.
    challenge: String,
    expires_at: Time,
}

impl MfaRequiredOut {
    pub fn of((challenge, expires_at): (String, Time)) -> MfaRequiredOut {
        MfaRequiredOut { object: "mfa_challenge", mfa_required: true, challenge, expires_at }
    }
}

/// A secret for an authenticator, shown once. It is in force when a code of it was confirmed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TotpEnrollmentOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// To type in.
    secret: String,
    /// The same for a QR code.
    url: String,
}

impl TotpEnrollmentOut {
    pub fn of(secret: String, url: String) -> TotpEnrollmentOut {
        TotpEnrollmentOut { object: "totp_enrollment", secret, url }
    }
}

/// Codes for the day the authenticator is lost: each is good once. Shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RecoveryCodesOut {
    #[schema(value_type = String)]
    object: &'static str,
    codes: Vec<String>,
}

impl RecoveryCodesOut {
    pub fn of(codes: Vec<String>) -> RecoveryCodesOut {
        RecoveryCodesOut { object: "recovery_codes", codes }
    }
}

/// There is no second factor any more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TotpDisabledOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
}

impl TotpDisabledOut {
    pub fn done() -> TotpDisabledOut {
        TotpDisabledOut { object: "totp", status: "disabled" }
    }
}

pub const CODE_REFUSALS: &[&str] = &["bad_code", "account_locked", "session_required", "totp_disabled"];

pub fn endpoints(factors: &Arc<UserFactors>) -> Vec<Endpoint> {
    vec![
        post("/auth/login/totp")
            .about("Finish signing in with a code; five wrong ones void the challenge")
            .public()
            .plain()
            .status(200)
            .refuses(&["bad_code", "challenge_gone", "account_locked"])
            .example(json!({ "challenge": "mfa_…", "code": "287082" }))
            .runs_with(factors, UserFactors::login),
        post("/auth/totp/enroll")
            .about("Make a secret for an authenticator; it is in force when a code is confirmed")
            .signed_in()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked", "session_required", "totp_enabled"])
            .example(json!({ "password": "a quiet river stone" }))
            .prepares_with(factors, UserFactors::compare_password, |factors, tx, call, ()| {
                factors.enroll(tx, call)
            }),
        post("/auth/totp/confirm")
            .about("Ask for codes from now on; shows the recovery codes once, and all other sessions end")
            .signed_in()
            .plain()
            .status(200)
            .refuses(&["bad_code", "account_locked", "session_required", "totp_enabled", "totp_disabled"])
            .example(json!({ "code": "287082" }))
            .prepares_with(factors, UserFactors::take_code, UserFactors::confirm),
        post("/auth/totp/disable")
            .about("Ask for codes no more; all other sessions end")
            .signed_in()
            .plain()
            .status(200)
            .refuses(CODE_REFUSALS)
            .example(json!({ "code": "287082" }))
            .prepares_with(factors, UserFactors::take_code, |factors, tx, call, passed| {
                factors.disable(tx, call, passed)?;
                Ok(TotpDisabledOut::done())
            }),
        post("/auth/recovery-codes")
            .about("Replace the recovery codes; the new ones are shown once")
            .signed_in()
            .plain()
            .status(200)
            .refuses(CODE_REFUSALS)
            .example(json!({ "code": "287082" }))
            .prepares_with(factors, UserFactors::take_code, UserFactors::replace_codes),
        post("/users/{id}/reset-totp")
            .about("Take the second factor of a user away who lost it; its sessions end")
            .needs("users.reset_totp")
            .status(200)
            .refuses(&["permission_escalation", "totp_disabled"])
            .example(json!({ "reason": "lost the telephone, seen in person" }))
            .writes_with(factors, |factors, tx, call: &Call<UserId, ReasonIn>| {
                factors.reset(tx, call)?;
                Ok(TotpDisabledOut::done())
            }),
    ]
}
