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
            object::{ExternalId, filters, list, object},
        },
        clock::Time,
    },
    modules::notification::webhook::{
        model::{DisabledBecause, Endpoint as Row, EndpointStatus, Gate, Replay, WebhookEndpointId},
        repository::ENDPOINTS,
        service::WebhookService,
    },
};

input! {
    /// A server to be told what happens.
    pub struct WebhookEndpointIn {
        /// `https://…`, at a public address.
        url: String,
        /// `withdrawal.completed`, `withdrawal.*`, or `*` for everything.
        event_types: Vec<String>,
        description: Option<String>,
        /// Messages a second, 1 to 1000; as many as it takes unless given.
        rate_per_s: Option<u32>,
        /// `active` unless given. A disabled one is told nothing until somebody enables it.
        status: Option<EndpointStatus>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// What of an endpoint is to change; `null` clears what may be left out.
    pub struct WebhookEndpointPatchIn {
        url: Option<String>,
        event_types: Option<Vec<String>>,
        #[schema(value_type = Option<String>)]
        description: Change<String>,
        #[schema(value_type = Option<u32>)]
        rate_per_s: Change<u32>,
        metadata: Option<Metadata>,
    }
}

input! {
    /// How a secret is replaced.
    pub struct RotateSecretIn {
        /// How many seconds the secrets there are sign beside the new one: a day unless given, at most 7 days; 0: they
        /// stop at once.
        grace_s: Option<u64>,
    }
}

input! {
    /// Which events are to be told again.
    pub struct ReplayIn {
        /// The first instant.
        from: Time,
        /// The instant behind the last; now unless given.
        to: Option<Time>,
        /// As `event_types` of an endpoint; what it wants anyway unless given.
        types: Option<Vec<String>>,
    }
}

filters! {
    pub struct WebhookEndpointQuery of Row {
        status: EndpointStatus = |it| it.status(),
    }
}

object! {
    /// A server that is told what happens.
    pub struct WebhookEndpointOut: "webhook_endpoint" of (id: WebhookEndpointId, row: &Row, now: Time) {
        status: EndpointStatus = row.status(),
        disabled_reason: Option<DisabledBecause> = row.disabled,
        url: String = row.url.clone(),
        event_types: Vec<String> = row.event_types.clone(),
        description: Option<String> = row.description.clone(),
        rate_per_s: Option<u32> = row.rate_per_s,
        /// The secrets that sign, the newest first; their text is shown only when they are made.
        secrets: Vec<WebhookSecretOut> = WebhookSecretOut::live(row, now),
        health: WebhookHealthOut = WebhookHealthOut::of(row),
        /// The replay that is running.
        replay: Option<WebhookReplayOut> = row.replay.clone().map(WebhookReplayOut::from),
    }
}

object! {
    /// An endpoint that is no more.
    pub struct WebhookEndpointDeletedOut: "webhook_endpoint" of (id: WebhookEndpointId, _row: ()) bare {
        deleted: bool = true,
    }
}

/// An endpoint with its new secret, which is shown only here.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookEndpointSecretOut {
    #[serde(flatten)]
    pub endpoint: WebhookEndpointOut,
    /// `whsec_` and 32 bytes in base64, as libraries for Standard Webhooks take it.
    pub secret: String,
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

impl WebhookSecretOut {
    fn live(row: &Row, now: Time) -> Vec<WebhookSecretOut> {
        let live = row.secrets.iter().filter(|it| it.is_live(now));
        live.map(|it| WebhookSecretOut { created_at: it.created_at, valid_until: it.valid_until }).collect()
    }
}

impl WebhookHealthOut {
    fn of(row: &Row) -> WebhookHealthOut {
        WebhookHealthOut {
            failures: row.health.failures,
            failing_since: row.health.failing_since,
            last_error: row.health.last_error.clone(),
            paused_until: match row.gate {
                Gate::Shut { until, .. } => Some(until),
                Gate::Open | Gate::Probing { .. } => None,
            },
            probing: matches!(row.gate, Gate::Probing { .. }),
        }
    }
}

impl From<Replay> for WebhookReplayOut {
    fn from(it: Replay) -> WebhookReplayOut {
        WebhookReplayOut { from: it.from, to: it.to, types: it.types, messages: it.messages }
    }
}

pub fn endpoints(service: &Arc<WebhookService>) -> Vec<Endpoint> {
    let [looking, creating, looking_again, changing] = [(); 4].map(|()| service.clone());
    vec![
        get("/webhook-endpoints")
            .about("List the webhook endpoints, newest first")
            .needs("webhook-endpoints.view_any")
            .lists(|tx, call: &Call<(), WebhookEndpointQuery>| {
                let page = list(tx, call, &ENDPOINTS, None)?;
                Ok(page.map(|((_, id), row)| WebhookEndpointOut::of(id, &row, tx.now())))
            }),
        get("/webhook-endpoints/{id}")
            .about("Show a webhook endpoint and its health")
            .needs("webhook-endpoints.view_any")
            .reads_with(service, WebhookService::show),
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
                move |tx, call, url| creating.create(tx, call, url),
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
                move |tx, call, url| changing.change(tx, call, url),
            ),
        delete("/webhook-endpoints/{id}")
            .about("Delete a webhook endpoint; what waits for it is canceled")
            .needs("webhook-endpoints.delete_any")
            .versioned()
            .writes_with(service, WebhookService::delete),
        post("/webhook-endpoints/{id}/rotate-secret")
            .about("Give it a new secret, shown once; the old one signs beside it for a while")
            .needs("webhook-endpoints.rotate_secret")
            .shows_once(&["secret"])
            .refuses(&["too_many_webhook_secrets"])
            .example(json!({ "grace_s": 3600 }))
            .writes_with(service, WebhookService::rotate_secret),
        post("/webhook-endpoints/{id}/enable")
            .about("Let messages go again: one first, then all that waited")
            .needs("webhook-endpoints.enable")
            .writes_with(service, WebhookService::enable),
        post("/webhook-endpoints/{id}/disable")
            .about("Hold messages back; they wait for seven days")
            .needs("webhook-endpoints.disable")
            .writes_with(service, WebhookService::disable),
        post("/webhook-endpoints/{id}/test")
            .about("Send a message of type webhook.test, once")
            .needs("webhook-endpoints.test")
            .status(202)
            .writes_with(service, WebhookService::test),
        post("/webhook-endpoints/{id}/replay")
            .about("Tell the events of a span of time again, under the same webhook-ids")
            .needs("webhook-endpoints.replay")
            .status(202)
            .refuses(&["replay_running"])
            .example(json!({ "from": "2025-12-31T00:00:00Z" }))
            .writes_with(service, WebhookService::replay),
    ]
}
