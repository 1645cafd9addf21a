//! Webhook endpoints over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, delete, get, patch, post},
            input::{Change, Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page},
        },
        clock::Time,
        error::Result,
        store::ReadTx,
    },
    modules::notification::webhook::{
        model::{DisabledBecause, Endpoint as Row, EndpointStatus, Gate, WebhookEndpointId},
        repository::ENDPOINTS,
        routes::deliveries::{WebhookDeliveryOut, out as delivery_out},
        service::{self, WebhookService, WithSecret},
    },
};

/// A server to be told what happens.
#[derive(utoipa::ToSchema)]
pub struct WebhookEndpointIn {
    /// `https://…`, at a public address.
    pub url: String,
    /// `withdrawal.completed`, `withdrawal.*`, or `*` for everything.
    pub event_types: Vec<String>,
    pub description: Option<String>,
    /// Messages a second, 1 to 1000; as many as it takes unless given.
    pub rate_per_s: Option<u32>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(WebhookEndpointIn { url, event_types, description, rate_per_s, external_id, metadata });

/// What of an endpoint is to change; `null` clears what may be left out.
#[derive(utoipa::ToSchema)]
pub struct WebhookEndpointPatchIn {
    pub url: Option<String>,
    pub event_types: Option<Vec<String>>,
    #[schema(value_type = Option<String>)]
    pub description: Change<String>,
    #[schema(value_type = Option<u32>)]
    pub rate_per_s: Change<u32>,
    pub metadata: Option<Metadata>,
}
input!(WebhookEndpointPatchIn { url, event_types, description, rate_per_s, metadata });

/// How a secret is replaced.
#[derive(utoipa::ToSchema)]
pub struct RotateSecretIn {
    /// How many seconds the secrets there are sign beside the new one: a day unless given, at most 7 days; 0: they
    /// stop at once.
    pub grace_s: Option<u64>,
}
input!(RotateSecretIn { grace_s });

/// Which events are to be told again.
#[derive(utoipa::ToSchema)]
pub struct ReplayIn {
    /// The first instant.
    pub from: Time,
    /// The instant behind the last; now unless given.
    pub to: Option<Time>,
    /// As `event_types` of an endpoint; what it wants anyway unless given.
    pub types: Option<Vec<String>>,
}
input!(ReplayIn { from, to, types });

pub struct WebhookEndpointQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<EndpointStatus>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(WebhookEndpointQuery { limit, cursor, status, created_from, created_to });

/// A server that is told what happens.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookEndpointOut {
    id: WebhookEndpointId,
    #[schema(value_type = String)]
    object: &'static str,
    status: EndpointStatus,
    disabled_reason: Option<DisabledBecause>,
    url: String,
    event_types: Vec<String>,
    description: Option<String>,
    rate_per_s: Option<u32>,
    /// The secrets that sign, the newest first; their text is shown only when they are made.
    secrets: Vec<WebhookSecretOut>,
    health: WebhookHealthOut,
    /// The replay that is running.
    replay: Option<WebhookReplayOut>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookSecretOut {
    created_at: Time,
    /// Until when it signs; `null` for the current one.
    valid_until: Option<Time>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookHealthOut {
    /// In a row. At 100, over a day or longer, the endpoint is disabled.
    failures: u32,
    failing_since: Option<Time>,
    last_error: Option<String>,
    /// Until when it is left alone, because most messages failed.
    paused_until: Option<Time>,
    /// Whether one message is sent to find out how it is.
    probing: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookReplayOut {
    from: Time,
    to: Time,
    types: Option<Vec<String>>,
    /// So far.
    messages: u64,
}

/// An endpoint with its new secret, which is shown only here.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookEndpointSecretOut {
    #[serde(flatten)]
    endpoint: WebhookEndpointOut,
    /// `whsec_` and 32 bytes in base64, as libraries for Standard Webhooks take it.
    secret: String,
}

/// An endpoint that is no more.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookEndpointDeletedOut {
    id: WebhookEndpointId,
    #[schema(value_type = String)]
    object: &'static str,
    deleted: bool,
}

pub fn endpoints(service: &Arc<WebhookService>) -> Vec<Endpoint> {
    let [looking, creating, looking_again, changing, deleting] = [(); 5].map(|()| service.clone());
    let [rotating, enabling, disabling, testing, replaying] = [(); 5].map(|()| service.clone());
    vec![
        get("/webhook-endpoints")
            .about("List the webhook endpoints, newest first")
            .needs("webhook-endpoints.view_any")
            .lists(list),
        get("/webhook-endpoints/{id}")
            .about("Show a webhook endpoint and its health")
            .needs("webhook-endpoints.view_any")
            .reads(|tx, call: &Call<WebhookEndpointId>| {
                Ok(out(tx, service::get(tx, &call.caller, call.path)?.1))
            }),
        post("/webhook-endpoints")
            .about("Register a server that is told what happens; its secret is shown once")
            .needs("webhook-endpoints.create_any")
            .shows_once(&["secret"])
            .refuses(&["url_forbidden", "too_many_webhook_endpoints", "external_id_taken"])
            .example(json!({
                "url": "https://hooks.example.com/coffer",
                "event_types": ["withdrawal.*", "funding.completed"],
            }))
            .prepares(
                move |_, call: Arc<Call<(), WebhookEndpointIn>>| {
                    let looking = looking.clone().look(call.input.url.clone());
                    async move { Ok(looking.await) }
                },
                move |tx, call, url| {
                    let made = creating.create(tx, call, url)?;
                    Ok(secret_out(tx, made))
                },
            ),
        patch("/webhook-endpoints/{id}")
            .about("Change a webhook endpoint")
            .needs("webhook-endpoints.update_any")
            .versioned()
            .refuses(&["url_forbidden"])
            .example(json!({ "event_types": ["*"] }))
            .prepares(
                move |_, call: Arc<Call<WebhookEndpointId, WebhookEndpointPatchIn>>| {
                    let looking = call.input.url.clone().map(|it| looking_again.clone().look(it));
                    async move {
                        Ok(match looking {
                            Some(looking) => Some(looking.await),
                            None => None,
                        })
                    }
                },
                move |tx, call, url| {
                    let endpoint = changing.change(tx, call, url)?;
                    Ok(out(tx, endpoint))
                },
            ),
        delete("/webhook-endpoints/{id}")
            .about("Delete a webhook endpoint; what waits for it is canceled")
            .needs("webhook-endpoints.delete_any")
            .versioned()
            .writes(move |tx, call: &Call<WebhookEndpointId>| {
                let id = deleting.delete(tx, call)?.id;
                Ok(WebhookEndpointDeletedOut { id, object: "webhook_endpoint", deleted: true })
            }),
        post("/webhook-endpoints/{id}/rotate-secret")
            .about("Give it a new secret, shown once; the old one signs beside it for a while")
            .needs("webhook-endpoints.rotate_secret")
            .shows_once(&["secret"])
            .refuses(&["too_many_webhook_secrets"])
            .example(json!({ "grace_s": 3600 }))
            .writes(move |tx, call: &Call<WebhookEndpointId, RotateSecretIn>| {
                let made = rotating.rotate_secret(tx, call)?;
                Ok(secret_out(tx, made))
            }),
        post("/webhook-endpoints/{id}/enable")
            .about("Let messages go again: one first, then all that waited")
            .needs("webhook-endpoints.enable")
            .writes(move |tx, call: &Call<WebhookEndpointId>| {
                let endpoint = enabling.enable(tx, call)?;
                Ok(out(tx, endpoint))
            }),
        post("/webhook-endpoints/{id}/disable")
            .about("Hold messages back; they wait for seven days")
            .needs("webhook-endpoints.disable")
            .writes(move |tx, call: &Call<WebhookEndpointId>| {
                let endpoint = disabling.disable(tx, call)?;
                Ok(out(tx, endpoint))
            }),
        post("/webhook-endpoints/{id}/test")
            .about("Send a message of type webhook.test, once")
            .needs("webhook-endpoints.test")
            .status(202)
            .writes(move |tx, call: &Call<WebhookEndpointId>| -> Result<WebhookDeliveryOut> {
                let (id, row) = testing.test(tx, call)?;
                delivery_out(tx, id, row)
            }),
        post("/webhook-endpoints/{id}/replay")
            .about("Tell the events of a span of time again, under the same webhook-ids")
            .needs("webhook-endpoints.replay")
            .status(202)
            .refuses(&["replay_running"])
            .example(json!({ "from": "2025-12-31T00:00:00Z" }))
            .writes(move |tx, call: &Call<WebhookEndpointId, ReplayIn>| {
                let endpoint = replaying.replay(tx, call)?;
                Ok(out(tx, endpoint))
            }),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), WebhookEndpointQuery>) -> Result<Page<WebhookEndpointOut>> {
    let WebhookEndpointQuery { limit, cursor, status, created_from, created_to } = &call.input;
    let paging = Paging::new(*limit, cursor, (status, created_from, created_to));
    let wanted = |row: &Row| {
        status.is_none_or(|it| row.status() == it)
            && created_within(row.created_at, *created_from, *created_to)
    };
    let rows = page(tx, &ENDPOINTS, &call.caller.client()?, &paging, wanted)?;
    Ok(rows.map(|(_, row)| out(tx, row)))
}

fn secret_out(tx: &ReadTx, made: WithSecret) -> WebhookEndpointSecretOut {
    WebhookEndpointSecretOut { endpoint: out(tx, made.endpoint), secret: made.secret }
}

fn out(tx: &ReadTx, row: Row) -> WebhookEndpointOut {
    let live = row.secrets.iter().filter(|it| it.is_live(tx.now()));
    WebhookEndpointOut {
        id: row.id,
        object: "webhook_endpoint",
        status: row.status(),
        disabled_reason: row.disabled,
        secrets: live
            .map(|it| WebhookSecretOut { created_at: it.created_at, valid_until: it.valid_until })
            .collect(),
        health: WebhookHealthOut {
            failures: row.health.failures,
            failing_since: row.health.failing_since,
            last_error: row.health.last_error,
            paused_until: match row.gate {
                Gate::Shut { until, .. } => Some(until),
                Gate::Open | Gate::Probing { .. } => None,
            },
            probing: matches!(row.gate, Gate::Probing { .. }),
        },
        replay: row.replay.map(|it| WebhookReplayOut {
            from: it.from,
            to: it.to,
            types: it.types,
            messages: it.messages,
        }),
        url: row.url,
        event_types: row.event_types,
        description: row.description,
        rate_per_s: row.rate_per_s,
        external_id: row.external_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        metadata: row.metadata,
    }
}
