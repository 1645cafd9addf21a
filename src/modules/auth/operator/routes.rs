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
            page::{Cursor, Limit, Paging, page_of},
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

#[derive(utoipa::ToSchema)]
pub struct ClaimIn {
    /// From the set-up link.
    pub setup_token: String,
    pub email: Email,
    pub password: String,
}
input!(ClaimIn { setup_token, email, password });

#[derive(utoipa::ToSchema)]
pub struct OperatorLoginIn {
    pub email: String,
    pub password: String,
}
input!(OperatorLoginIn { email, password });

#[derive(utoipa::ToSchema)]
pub struct OperatorIn {
    pub email: Email,
    pub password: String,
}
input!(OperatorIn { email, password });

#[derive(utoipa::ToSchema)]
pub struct OperatorTokenIn {
    /// What it is for.
    pub name: PersonName,
    /// Good until it is revoked unless given.
    pub expires_at: Option<Time>,
}
input!(OperatorTokenIn { name, expires_at });

struct ListQuery {
    limit: Limit,
    cursor: Option<Cursor>,
}
input!(ListQuery { limit, cursor });

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
            .prepares(
                {
                    let sign_in = sign_in.clone();
                    move |kernel, call| sign_in.clone().hash_claim(kernel, call)
                },
                {
                    let sign_in = sign_in.clone();
                    move |tx, call: &Call<(), ClaimIn>, hashed| sign_in.claim(tx, call, hashed)
                },
            ),
        post("/operator/login")
            .about(
                "Sign in as an operator, for twelve hours; where there is a second factor, get a challenge",
            )
            .open()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked"])
            .example(json!({ "email": "root@example.com", "password": "a quiet river stone" }))
            .runs({
                let sign_in = sign_in.clone();
                move |kernel, call: Call<(), OperatorLoginIn>| sign_in.clone().login(kernel, call)
            }),
        post("/operator/logout")
            .about("End the sign-in that asks")
            .operator()
            .plain()
            .status(200)
            .refuses(&["session_required"])
            .writes({
                let operators = operators.clone();
                move |tx, call: &Call| {
                    operators.end(tx, own_token(&call.caller)?)?;
                    Ok(OperatorSignedOutOut { object: "operator_token", deleted: true })
                }
            }),
        post("/operator/setup-link")
            .about("Make a set-up link; the one made before is void")
            .operator()
            .shows_once(&["setup_token"])
            .writes({
                let operators = operators.clone();
                move |tx, _: &Call| {
                    Ok(SetupLinkOut { object: "setup_link", setup_token: operators.setup_token(tx)? })
                }
            }),
        get("/operator/operators").about("List the operators").operator().lists({
            let operators = operators.clone();
            move |tx, call: &Call<(), ListQuery>| {
                let newest_first = operators.operators(tx)?.into_iter().rev().collect();
                page_of(newest_first, &paging(&call.input), |it: &OperatorOut| it.id.to_key())
            }
        }),
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
        get("/operator/tokens").about("List the named tokens").operator().lists({
            let operators = operators.clone();
            move |tx, call: &Call<(), ListQuery>| {
                let newest_first = operators.tokens(tx)?.into_iter().rev().collect();
                page_of(newest_first, &paging(&call.input), |it: &OperatorTokenOut| it.id.to_key())
            }
        }),
        post("/operator/tokens")
            .about("Make a named token, good until it expires or is revoked")
            .operator()
            .shows_once(&["token"])
            .example(json!({ "name": "nightly export", "expires_at": "2099-01-01T00:00:00Z" }))
            .writes({
                let operators = operators.clone();
                move |tx, call: &Call<(), OperatorTokenIn>| create_token(&operators, tx, call)
            }),
        post("/operator/tokens/{id}/revoke").about("End a named token").operator().writes({
            let operators = operators.clone();
            move |tx, call: &Call<OperatorTokenId>| operators.token_revoke(tx, call.path)
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

fn paging(query: &ListQuery) -> Paging {
    Paging::new(query.limit, &query.cursor, "all")
}
