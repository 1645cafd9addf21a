//! API keys over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            object::{ExternalId, Filters as _, filters, object},
            page::{Page, page},
            principal::{Actor, KeyId, Scope},
        },
        clock::Time,
        error::Result,
        store::ReadTx,
    },
    modules::client::{
        model::key::{AllowedNetwork, ApiKey, KeyKind, KeyStatus},
        repository::KEYS,
        service::ClientService,
    },
};

input! {
    /// A key to be made.
    pub struct ApiKeyIn {
        name: String,
        /// `secret` unless said otherwise.
        kind: Option<KeyKind>,
        /// `resource:read|write|approve`, or `*` for every resource; nothing you may not do yourself.
        #[schema(value_type = Option<Vec<String>>)]
        scopes: Option<Vec<Scope>>,
        expires_at: Option<Time>,
        /// Addresses and networks it may be used from; from anywhere unless given.
        #[schema(value_type = Option<Vec<String>>)]
        ip_allow_list: Option<Vec<AllowedNetwork>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// How a key is replaced.
    pub struct RotateIn {
        /// How many seconds the old text still works: a day unless given, at most 30 days; 0: it stops at once.
        grace_s: Option<u64>,
    }
}

filters! {
    pub struct ApiKeyQuery of ApiKey {
        kind: KeyKind = |it| it.kind,
        status: KeyStatus = |_it, _wanted| true, // As of now: see `listed`.
    }
}

object! {
    /// An API key, without its text.
    pub struct ApiKeyOut: "api_key" of (id: KeyId, key: &ApiKey, now: Time, last_used: Option<Time>) timed {
        status: KeyStatus = key.status(now),
        kind: KeyKind = key.kind,
        name: String = key.name.clone(),
        /// What its text begins and ends with.
        prefix: String = key.prefix.clone(),
        last4: String = key.last4.clone(),
        #[schema(value_type = Vec<String>)]
        scopes: Vec<Scope> = key.scopes.clone(),
        #[schema(value_type = Vec<String>)]
        ip_allow_list: Vec<AllowedNetwork> = key.ip_allow_list.clone(),
        expires_at: Option<Time> = key.expires_at,
        last_used_at: Option<Time> = last_used,
        rotated_at: Option<Time> = key.rotated_at,
        /// Until when the text before the last rotation works; `null` when it does not.
        previous_valid_until: Option<Time> = key.previous_at(now).map(|it| it.valid_until),
        revoked_at: Option<Time> = key.revoked_at,
        created_by: Actor = key.created_by,
        external_id: Option<String> = key.external_id.clone(),
        metadata: Metadata = key.metadata.clone(),
    }
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

impl ApiKeyCreatedOut {
    pub fn of(kind: KeyKind, key: ApiKeyOut, token: String) -> ApiKeyCreatedOut {
        let (secret_key, publishable_key) = match kind {
            KeyKind::Secret => (Some(token), None),
            KeyKind::Publishable => (None, Some(token)),
        };
        ApiKeyCreatedOut { key, secret_key, publishable_key }
    }
}

/// The fields a key's text is shown in.
const SHOWN_ONCE: &[&str] = &["secret_key", "publishable_key"];

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    vec![
        get("/api-keys")
            .about("List the keys, newest first")
            .needs("api-keys.view_any")
            .lists_with(service, listed),
        get("/api-keys/current")
            .about("Show the key you ask with")
            .public()
            .reads_with(service, ClientService::current_key),
        post("/api-keys")
            .about("Make a key; it is shown once")
            .needs("api-keys.create_any")
            .shows_once(SHOWN_ONCE)
            .refuses(&["key_scopes", "permission_escalation", "external_id_taken"])
            .example(
                json!({ "name": "nightly payouts", "scopes": ["withdrawals:read", "withdrawals:write"] }),
            )
            .writes_with(service, ClientService::add_key),
        post("/api-keys/{id}/rotate")
            .about("Replace a key's text; the new one is shown once, the old one works for a while")
            .needs("api-keys.rotate")
            .shows_once(SHOWN_ONCE)
            .refuses(&["key_revoked", "key_expired", "permission_escalation"])
            .example(json!({ "grace_s": 3600 }))
            .writes_with(service, ClientService::rotate_key),
        post("/api-keys/{id}/revoke")
            .about("Stop a key at once and for ever")
            .needs("api-keys.revoke")
            .refuses(&["permission_escalation"])
            .writes_with(service, ClientService::revoke_key),
    ]
}

fn listed(service: &ClientService, tx: &ReadTx, call: &Call<(), ApiKeyQuery>) -> Result<Page<ApiKeyOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let has_status = |key: &ApiKey| query.status.is_none_or(|it| key.status(tx.now()) == it);
    let wanted = |key: &ApiKey| query.keeps(key) && has_status(key);
    page(tx, &KEYS, &client, &query.paging(None), wanted)?
        .try_map(|(_, key)| service.key_out(tx, client, &key))
}
