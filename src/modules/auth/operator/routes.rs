//! The operations of operators: claiming and signing in for anybody, the rest for operators and for the command line.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{service::Operators, sign_in::OperatorSignIn};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            endpoint::{Endpoint, get, post},
            input::{Flaw, input},
            page::{PageQuery, page_of},
        },
        clock::Time,
        error::Result,
        id::Id as _,
        store::{Key as _, WriteTx},
    },
    modules::{
        auth::{
            contract::{AuthRefusal, OperatorContract as _, OperatorOut, OperatorTokenId, OperatorTokenOut},
            factor::routes::MfaRequiredOut,
        },
        user::contract::{Email, PersonName},
    },
};

input! {
    pub struct ClaimIn {
        /// From the set-up link.
        setup_token: String,
        email: Email,
        password: String,
    }
}

input! {
    pub struct OperatorLoginIn {
        email: String,
        password: String,
    }
}

input! {
    pub struct OperatorIn {
        email: Email,
        password: String,
    }
}

input! {
    pub struct OperatorNamedIn {
        email: Email,
    }
}

input! {
    pub struct OperatorTokenIn {
        /// What it is for.
        name: PersonName,
        /// Good until it is revoked unless given.
        expires_at: Option<Time>,
    }
}

/// An operator that has signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OperatorSignedInOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    /// Send it as `Authorization: Bearer`. Shown once.
    pub token: String,
    #[schema(value_type = String)]
    pub token_type: &'static str,
    pub expires_at: Time,
    pub operator: OperatorOut,
}

/// Signed in, or half way there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum OperatorLoginOut {
    SignedIn(Box<OperatorSignedInOut>),
    MfaRequired(MfaRequiredOut),
}

/// What the set-up link carries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SetupLinkOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// For `operator/claim`, once, within half an hour.
    setup_token: String,
}

/// A token that was just made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct NewOperatorTokenOut {
    #[serde(flatten)]
    row: OperatorTokenOut,
    /// Shown once.
    token: String,
}

/// A sign-in that has ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OperatorSignedOutOut {
    #[schema(value_type = String)]
    object: &'static str,
    deleted: bool,
}

pub fn endpoints(sign_in: &Arc<OperatorSignIn>) -> Vec<Endpoint> {
    let operators = &sign_in.operators;
    vec![
        post("/operator/claim")
            .about("Become the operator, or set a new password, with a set-up link")
            .open()
            .plain()
            .status(200)
            .refuses(&["setup_link_gone"])
            .example(json!({
                "setup_token": "su_…", "email": "root@example.com", "password": "a quiet river stone",
            }))
            .prepares_with(sign_in, OperatorSignIn::hash_claim, OperatorSignIn::claim),
        post("/operator/login")
            .about(
                "Sign in as an operator, for twelve hours; where there is a second factor, get a challenge",
            )
            .open()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked"])
            .example(json!({ "email": "root@example.com", "password": "a quiet river stone" }))
            .runs_with(sign_in, OperatorSignIn::login),
        post("/operator/logout")
            .about("End the sign-in that asks")
            .operator()
            .plain()
            .status(200)
            .refuses(&["session_required"])
            .writes_with(operators, |operators, tx, call: &Call| {
                operators.end(tx, own_token(&call.caller)?)?;
                Ok(OperatorSignedOutOut { object: "operator_token", deleted: true })
            }),
        post("/operator/setup-link")
            .about("Make a set-up link; the one made before is void")
            .operator()
            .shows_once(&["setup_token"])
            .writes_with(operators, |operators, tx, _: &Call| {
                Ok(SetupLinkOut { object: "setup_link", setup_token: operators.setup_token(tx)? })
            }),
        get("/operator/operators").about("List the operators").operator().lists_with(
            operators,
            |operators, tx, call: &Call<(), PageQuery>| {
                let newest_first = operators.operators(tx)?.into_iter().rev().collect();
                page_of(newest_first, &call.input.paging(), |it: &OperatorOut| it.id.to_key())
            },
        ),
        post("/operator/operators")
            .about("Make an operator")
            .operator()
            .refuses(&["operator_exists"])
            .example(json!({ "email": "night@example.com", "password": "a quiet river stone" }))
            .prepares(OperatorSignIn::hash_password, {
                let sign_in = sign_in.clone();
                move |tx, call: &Call<(), OperatorIn>, hashed| sign_in.create(tx, call, hashed)
            }),
        post("/operator/operators/reset-password")
            .about("Give an operator another password; its sign-ins end")
            .operator()
            .status(200)
            .example(json!({ "email": "night@example.com", "password": "a loud mountain brook" }))
            .prepares(OperatorSignIn::hash_password, {
                let sign_in = sign_in.clone();
                move |tx, call: &Call<(), OperatorIn>, hashed| sign_in.reset_password(tx, call, hashed)
            }),
        post("/operator/operators/reset-2fa")
            .about("Take away the second factor of an operator who lost it; its sign-ins end")
            .operator()
            .status(200)
            .example(json!({ "email": "night@example.com" }))
            .writes_with(sign_in, OperatorSignIn::reset_second_factor),
        get("/operator/tokens").about("List the named tokens").operator().lists_with(
            operators,
            |operators, tx, call: &Call<(), PageQuery>| {
                let newest_first = operators.tokens(tx)?.into_iter().rev().collect();
                page_of(newest_first, &call.input.paging(), |it: &OperatorTokenOut| it.id.to_key())
            },
        ),
        post("/operator/tokens")
            .about("Make a named token, good until it expires or is revoked")
            .operator()
            .shows_once(&["token"])
            .example(json!({ "name": "nightly export", "expires_at": "2099-01-01T00:00:00Z" }))
            .writes_with(operators, create_token),
        post("/operator/tokens/{id}/revoke")
            .about("End a named token")
            .operator()
            .writes_with(operators, |operators, tx, call: &Call<OperatorTokenId>| {
                operators.token_revoke(tx, call.path)
            }),
    ]
}

fn create_token(
    operators: &Operators,
    tx: &mut WriteTx,
    call: &Call<(), OperatorTokenIn>,
) -> Result<NewOperatorTokenOut> {
    let OperatorTokenIn { name, expires_at } = &call.input;
    if expires_at.is_some_and(|it| it <= tx.now()) {
        return Err(Flaw::new("expires_at", "out_of_range", "must be in the future").into());
    }
    let (id, token) = operators.token_create(tx, &call.caller, name.as_str(), *expires_at)?;
    Ok(NewOperatorTokenOut { row: operators.token(tx, id)?, token })
}

/// The sign-in somebody asks with. Refuses `session_required`: the command line has none.
pub fn own_token(caller: &Caller) -> Result<OperatorTokenId> {
    let session = caller.principal.session.ok_or(AuthRefusal::SessionRequired)?;
    Ok(OperatorTokenId::from_bytes(session.bytes()))
}
