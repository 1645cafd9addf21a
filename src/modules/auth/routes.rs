//! The operations of signing in.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

pub mod recovery;

use super::{
    factor::{Whose, routes::MfaRequiredOut},
    recovery::is_proven,
    repository::{SESSIONS, Session},
    sessions::{Sessions, own_session},
    sign_in::SignIn,
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, delete, get, post},
            input::input,
            object::object,
            page::{Page, PageQuery, page},
            principal::{Grants, SessionId},
        },
        boot::Kernel,
        clock::Time,
        error::Result,
        store::ReadTx,
    },
    modules::user::contract::{Email, PersonName, Phone, UserOut},
};

input! {
    pub struct RegisterIn {
        email: Email,
        password: String,
        first_name: PersonName,
        last_name: PersonName,
        phone: Option<Phone>,
        /// The code of the user who brought this one.
        referral_code: Option<String>,
    }
}

input! {
    pub struct LoginIn {
        email: String,
        password: String,
    }
}

input! {
    pub struct RefreshIn {
        refresh_token: String,
    }
}

input! {
    pub struct PasswordChangeIn {
        current_password: String,
        new_password: String,
    }
}

/// What a session is used with. Shown once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TokensOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Send it as `Authorization: Bearer`.
    pub access_token: String,
    /// Good for one use at `auth/refresh`.
    pub refresh_token: String,
    #[schema(value_type = String)]
    pub token_type: &'static str,
    /// When the access token ends.
    pub expires_at: Time,
    pub user: UserOut,
}

/// Signed in, or half way there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum LoginOut {
    Tokens(Box<TokensOut>),
    MfaRequired(MfaRequiredOut),
}

impl LoginOut {
    pub fn challenge(made: (String, Time)) -> LoginOut {
        LoginOut::MfaRequired(MfaRequiredOut::of(made))
    }
}

/// Who is signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MeOut {
    #[serde(flatten)]
    user: UserOut,
    /// Whether the user has shown that the e-mail address is its own.
    email_verified: bool,
    /// Whether codes of an authenticator are asked for.
    totp_enabled: bool,
    /// How many recovery codes are left.
    recovery_codes_left: u32,
    session_id: SessionId,
    /// Everything the user may do now.
    permissions: Vec<String>,
}

object! {
    /// A session of one's own.
    pub struct SessionOut: "session" of (id: SessionId, row: &Session, current: SessionId, last_used: Time) bare {
        /// Whether it is the one that asks.
        is_current: bool = id == current,
        /// Where it was last signed in or refreshed from.
        ip: String = row.ip.clone(),
        /// What the program there calls itself.
        user_agent: Option<String> = row.user_agent.clone(),
        /// Of any request, to the minute.
        last_used_at: Time = last_used,
        /// When it ends unless it is refreshed before.
        expires_at: Time = row.expires_at,
        created_at: Time = row.created_at,
        updated_at: Time = row.refreshed_at,
    }
}

object! {
    /// A session that has ended.
    pub struct SessionEndedOut: "session" of (id: SessionId, deleted: bool) bare {
        deleted: bool = deleted,
    }
}

pub fn endpoints(sign_in: &Arc<SignIn>) -> Vec<Endpoint> {
    let sessions = &sign_in.sessions;
    vec![
        register(sign_in),
        post("/auth/login")
            .about("Sign in with e-mail address and password: tokens, or a challenge where there is a second factor")
            .public()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked", "email_unverified"])
            .example(json!({ "email": "ann@example.com", "password": "a quiet river stone" }))
            .runs_with(sign_in, SignIn::login),
        post("/auth/refresh")
            .about("Exchange a refresh token for new tokens")
            .public()
            .plain()
            .status(200)
            .refuses(&["refresh_reused"])
            .example(json!({ "refresh_token": "rt_…" }))
            .runs_with(sessions, refresh),
        post("/auth/logout")
            .about("End the session that asks")
            .signed_in()
            .plain()
            .status(200)
            .refuses(&["session_required"])
            .writes_with(sessions, |sessions, tx, call: &Call| {
                let (_, _, session) = own_session(&call.caller)?;
                sessions.end(tx, &call.caller, session)?;
                Ok(SessionEndedOut::of(session, true))
            }),
        post("/auth/password/change")
            .about("Change one's own password; all other sessions end")
            .signed_in()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked", "session_required"])
            .example(
                json!({ "current_password": "a quiet river stone", "new_password": "a loud mountain brook" }),
            )
            .prepares_with(
                sign_in,
                SignIn::rehash,
                |sign_in, tx, call: &Call<(), PasswordChangeIn>, rehashed| {
                    let user = sign_in.change_password(tx, &call.caller, rehashed)?;
                    sign_in.users.show(tx, call.caller.client()?, user)
                },
            ),
        get("/auth/me")
            .about("Show who is signed in")
            .signed_in()
            .plain()
            .refuses(&["session_required"])
            .reads_with(sign_in, me),
        get("/auth/sessions")
            .about("List one's own sessions")
            .signed_in()
            .plain()
            .refuses(&["session_required"])
            .lists_with(sessions, own_sessions),
        delete("/auth/sessions/{id}")
            .about("End one of one's own sessions")
            .signed_in()
            .plain()
            .refuses(&["session_required"])
            .writes_with(sessions, |sessions, tx, call: &Call<SessionId>| {
                sessions.end(tx, &call.caller, call.path)?;
                Ok(SessionEndedOut::of(call.path, true))
            }),
    ]
}

fn register(sign_in: &Arc<SignIn>) -> Endpoint {
    let endpoint = post("/auth/register").public().plain().example(json!({
        "email": "ann@example.com", "password": "a quiet river stone",
        "first_name": "Ann", "last_name": "Smith",
    }));
    if sign_in.verify_before_tokens {
        let about = "Become a user; the mail says how to go on";
        return endpoint
            .about(about)
            .status(202)
            .refuses(&["referral_unknown", "self_referral"])
            .prepares_with(sign_in, SignIn::hash_first, |sign_in, tx, call, hash| {
                sign_in.register_by_mail(tx, call, hash)?;
                Ok(recovery::MailedOut::accepted())
            });
    }
    endpoint
        .about("Become a user, and sign in")
        .refuses(&["email_taken", "referral_unknown", "self_referral"])
        .prepares_with(sign_in, SignIn::hash_first, SignIn::register)
}

async fn refresh(
    sessions: Arc<Sessions>,
    kernel: Arc<Kernel>,
    call: Call<(), RefreshIn>,
) -> Result<TokensOut> {
    let refresh = move |tx: &mut _| sessions.refresh(tx, &call.caller, &call.input.refresh_token);
    kernel.store.write(refresh).await?.answer()
}

fn own_sessions(sessions: &Sessions, tx: &ReadTx, call: &Call<(), PageQuery>) -> Result<Page<SessionOut>> {
    let (client, user, current) = own_session(&call.caller)?;
    let (paging, now) = (call.input.paging(), tx.now());
    let rows = page(tx, &SESSIONS, &(client, user), &paging, |it| it.expires_at > now)?;
    Ok(rows.map(|(key, row)| {
        let last_used_at = row.last_used_at.max(sessions.last_used.of(&key).unwrap_or(row.last_used_at));
        SessionOut::of(key.2, &row, current, last_used_at)
    }))
}

fn me(sign_in: &SignIn, tx: &ReadTx, call: &Call) -> Result<MeOut> {
    let (client, user, session_id) = own_session(&call.caller)?;
    let left = sign_in.factors.left(tx, Whose::user(client, user))?;
    let user = sign_in.users.get(tx, client, user)?;
    let permissions = match &call.caller.principal.grants {
        Grants::Permissions(names) => names.iter().cloned().collect(),
        Grants::All | Grants::Public | Grants::Scopes(_) => vec![],
    };
    let email_verified = is_proven(tx, client, &user)?;
    Ok(MeOut {
        user: sign_in.users.show(tx, client, user)?,
        email_verified,
        totp_enabled: left.is_some(),
        recovery_codes_left: left.unwrap_or_default(),
        session_id,
        permissions,
    })
}
