//! API keys over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page},
            principal::{Actor, ClientId, KeyId, Scope},
        },
        clock::Time,
        error::Result,
        store::ReadTx,
    },
    modules::client::{
        model::key::{AllowedNetwork, ApiKey, KeyKind, KeyStatus},
        repository::KEYS,
        service::{ClientService, CreatedKey, NewKey},
    },
};

/// A key to be made.
#[derive(utoipa::ToSchema)]
pub struct ApiKeyIn {
    pub name: String,
    /// `secret` unless said otherwise.
    pub kind: Option<KeyKind>,
    /// `resource:read|write|approve`, or `*` for every resource; nothing you may not do yourself.
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Vec<Scope>>,
    pub expires_at: Option<Time>,
    /// Addresses and networks it may be used from; from anywhere unless given.
    #[schema(value_type = Option<Vec<String>>)]
    pub ip_allow_list: Option<Vec<AllowedNetwork>>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(ApiKeyIn { name, kind, scopes, expires_at, ip_allow_list, external_id, metadata });

/// How a key is replaced.
#[derive(utoipa::ToSchema)]
pub struct RotateIn {
    /// How many seconds the old text still works: a day unless given, at most 30 days; 0: it stops at once.
    pub grace_s: Option<u64>,
}
input!(RotateIn { grace_s });

pub struct ApiKeyQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    kind: Option<KeyKind>,
    status: Option<KeyStatus>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(ApiKeyQuery { limit, cursor, kind, status, created_from, created_to });

/// An API key, without its text.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ApiKeyOut {
    id: KeyId,
    #[schema(value_type = String)]
    object: &'static str,
    status: KeyStatus,
    kind: KeyKind,
    name: String,
    /// What its text begins and ends with.
    prefix: String,
    last4: String,
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    #[schema(value_type = Vec<String>)]
    ip_allow_list: Vec<AllowedNetwork>,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
    rotated_at: Option<Time>,
    /// Until when the text before the last rotation works; `null` when it does not.
    previous_valid_until: Option<Time>,
    revoked_at: Option<Time>,
    created_by: Actor,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

/// A key just made or replaced, with its text under the name of its kind. It is shown only here.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ApiKeyCreatedOut {
    #[serde(flatten)]
    key: ApiKeyOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publishable_key: Option<String>,
}

/// The fields a key's text is shown in.
const SHOWN_ONCE: &[&str] = &["secret_key", "publishable_key"];

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    let (listing, showing, creating) = (service.clone(), service.clone(), service.clone());
    let (rotating, revoking) = (service.clone(), service.clone());
    vec![
        get("/api-keys").about("List the keys, newest first").needs("api-keys.view_any").lists(
            move |tx, call: &Call<(), ApiKeyQuery>| list(&listing, tx, call.caller.client()?, &call.input),
        ),
        get("/api-keys/current").about("Show the key you ask with").public().reads(move |tx, call: &Call| {
            let key = match call.caller.actor() {
                Actor::Key(id) => tx.get(&KEYS, &(call.caller.client()?, id))?,
                _ => None,
            };
            out(&showing, tx, call.caller.client()?, found(key)?)
        }),
        post("/api-keys")
            .about("Make a key; it is shown once")
            .needs("api-keys.create_any")
            .shows_once(SHOWN_ONCE)
            .refuses(&["key_scopes", "permission_escalation", "external_id_taken"])
            .example(
                json!({ "name": "nightly payouts", "scopes": ["withdrawals:read", "withdrawals:write"] }),
            )
            .writes(move |tx, call: &Call<(), ApiKeyIn>| {
                let input = &call.input;
                let new = NewKey {
                    kind: input.kind.unwrap_or(KeyKind::Secret),
                    name: input.name.clone(),
                    scopes: input.scopes.clone().unwrap_or_default(),
                    expires_at: input.expires_at,
                    ip_allow_list: input.ip_allow_list.clone().unwrap_or_default(),
                    external_id: input.external_id.clone(),
                    metadata: input.metadata.clone(),
                };
                let made = creating.create_key(tx, &call.caller, new)?;
                created_out(&creating, tx, call.caller.client()?, made)
            }),
        post("/api-keys/{id}/rotate")
            .about("Replace a key's text; the new one is shown once, the old one works for a while")
            .needs("api-keys.rotate")
            .shows_once(SHOWN_ONCE)
            .refuses(&["key_revoked", "key_expired", "permission_escalation"])
            .example(json!({ "grace_s": 3600 }))
            .writes(move |tx, call: &Call<KeyId, RotateIn>| {
                let made = rotating.rotate_key(tx, call)?;
                created_out(&rotating, tx, call.caller.client()?, made)
            }),
        post("/api-keys/{id}/revoke")
            .about("Stop a key at once and for ever")
            .needs("api-keys.revoke")
            .refuses(&["permission_escalation"])
            .writes(move |tx, call: &Call<KeyId>| {
                let key = revoking.revoke_key(tx, call)?;
                out(&revoking, tx, call.caller.client()?, key)
            }),
    ]
}

fn list(
    service: &ClientService,
    tx: &ReadTx,
    client: ClientId,
    query: &ApiKeyQuery,
) -> Result<Page<ApiKeyOut>> {
    let ApiKeyQuery { limit, cursor, kind, status, created_from, created_to } = query;
    let paging = Paging::new(*limit, cursor, (kind, status, created_from, created_to));
    let wanted = |key: &ApiKey| {
        kind.is_none_or(|it| key.kind == it)
            && status.is_none_or(|it| key.status(tx.now()) == it)
            && created_within(key.created_at, *created_from, *created_to)
    };
    page(tx, &KEYS, &client, &paging, wanted)?.try_map(|(_, key)| out(service, tx, client, key))
}

fn created_out(
    service: &ClientService,
    tx: &ReadTx,
    client: ClientId,
    made: CreatedKey,
) -> Result<ApiKeyCreatedOut> {
    let is_secret = made.key.kind == KeyKind::Secret;
    Ok(ApiKeyCreatedOut {
        key: out(service, tx, client, made.key)?,
        secret_key: is_secret.then(|| made.token.clone()),
        publishable_key: (!is_secret).then_some(made.token),
    })
}

fn out(service: &ClientService, tx: &ReadTx, client: ClientId, key: ApiKey) -> Result<ApiKeyOut> {
    Ok(ApiKeyOut {
        id: key.id,
        object: "api_key",
        status: key.status(tx.now()),
        last_used_at: service.last_use(tx, client, key.id)?,
        previous_valid_until: key.previous_at(tx.now()).map(|it| it.valid_until),
        kind: key.kind,
        name: key.name,
        prefix: key.prefix,
        last4: key.last4,
        scopes: key.scopes,
        ip_allow_list: key.ip_allow_list,
        expires_at: key.expires_at,
        rotated_at: key.rotated_at,
        revoked_at: key.revoked_at,
        created_by: key.created_by,
        external_id: key.external_id,
        created_at: key.created_at,
        updated_at: key.updated_at,
        version: key.version,
        metadata: key.metadata,
    })
}
