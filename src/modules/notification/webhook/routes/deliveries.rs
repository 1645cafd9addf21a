//! The delivery log over HTTP.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::input,
            page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
        },
        clock::Time,
        error::Result,
        events::{
            delivery::{ATTEMPTS, DELIVERIES, Delivery, DeliveryId, Ended, State, Status},
            event::EventId,
        },
        store::{ReadTx, Scan},
    },
    modules::notification::webhook::{KIND, model::WebhookEndpointId, service::WebhookService},
};

pub struct WebhookDeliveryQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    endpoint_id: Option<WebhookEndpointId>,
    status: Option<Status>,
    event_type: Option<String>,
    event_id: Option<EventId>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(WebhookDeliveryQuery {
    limit,
    cursor,
    endpoint_id,
    status,
    event_type,
    event_id,
    created_from,
    created_to
});

/// A message to one endpoint, with all attempts to deliver it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookDeliveryOut {
    id: DeliveryId,
    #[schema(value_type = String)]
    object: &'static str,
    status: Status,
    /// The status, and why it is that.
    state: State,
    endpoint_id: String,
    /// What receivers tell repeats by: the event's id, the delivery's for a test.
    webhook_id: String,
    /// `null` for a test.
    event_id: Option<EventId>,
    event_type: String,
    /// Attempts that failed or succeeded; interrupted ones do not count.
    tries_used: u32,
    /// When it is tried next.
    next_attempt_at: Option<Time>,
    /// Not sent any more after this.
    expires_at: Option<Time>,
    /// Why it waits, or why the last attempt failed.
    error: Option<String>,
    attempts: Vec<WebhookAttemptOut>,
    finished_at: Option<Time>,
    created_at: Time,
    updated_at: Time,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookAttemptOut {
    number: u32,
    started_at: Time,
    duration_ms: u64,
    outcome: Ended,
    http_status: Option<u16>,
    /// The first 2 KiB of the answer.
    response: Option<String>,
    error: Option<String>,
}

pub fn endpoints(service: &Arc<WebhookService>) -> Vec<Endpoint> {
    vec![
        get("/webhook-deliveries")
            .about("List messages to webhook endpoints with their attempts, newest first")
            .needs("webhook-deliveries.view_any")
            .lists(list),
        get("/webhook-deliveries/{id}")
            .about("Show a message to a webhook endpoint with its attempts")
            .needs("webhook-deliveries.view_any")
            .reads_with(service, WebhookService::show_delivery),
        post("/webhook-deliveries/{id}/redeliver")
            .about("Send a message again, now, under the same webhook-id")
            .needs("webhook-deliveries.redeliver")
            .status(202)
            .refuses(&["job_running"])
            .writes_with(service, WebhookService::redeliver),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), WebhookDeliveryQuery>) -> Result<Page<WebhookDeliveryOut>> {
    let client = call.caller.client()?;
    let WebhookDeliveryQuery { limit, cursor, endpoint_id, .. } = &call.input;
    let WebhookDeliveryQuery { status, event_type, event_id, created_from, created_to, .. } = &call.input;
    let filters = (endpoint_id, status, event_type, event_id, created_from, created_to);
    let paging = Paging::new(*limit, cursor, filters);
    let wanted = |row: &Delivery| {
        row.listener == KIND
            && status.is_none_or(|it| row.state.status() == it)
            && event_type.as_ref().is_none_or(|it| row.event_name == *it)
            && event_id.is_none_or(|it| row.event == Some(it))
            && created_within(row.created_at, *created_from, *created_to)
    };
    let rows = match endpoint_id {
        Some(endpoint) => {
            let target = (client, KIND.to_owned(), endpoint.to_string());
            page_by(tx, &DELIVERIES, "events.by_target", &target, &paging, wanted)?
        }
        None => page(tx, &DELIVERIES, &client, &paging, wanted)?,
    };
    rows.try_map(|((_, id), row)| out(tx, id, row))
}

pub fn out(tx: &ReadTx, id: DeliveryId, row: Delivery) -> Result<WebhookDeliveryOut> {
    let attempts = tx.scan(&ATTEMPTS, Scan::prefix(&id)).map(|it| {
        let ((_, number), attempt) = it?;
        Ok(WebhookAttemptOut {
            number,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_ms,
            outcome: attempt.outcome,
            http_status: attempt.http_status,
            response: attempt.response.map(|it| String::from_utf8_lossy(&it).into_owned()),
            error: attempt.error,
        })
    });
    let is_timed = matches!(row.state, State::Ready | State::Scheduled | State::Retry);
    Ok(WebhookDeliveryOut {
        id,
        object: "webhook_delivery",
        status: row.state.status(),
        state: row.state,
        endpoint_id: row.target,
        webhook_id: row.event.map_or_else(|| id.to_string(), |it| it.to_string()),
        event_id: row.event,
        event_type: if row.event.is_some() { row.event_name } else { "webhook.test".to_owned() },
        tries_used: row.tries_used,
        next_attempt_at: is_timed.then_some(row.due_at),
        expires_at: row.deliver_before.filter(|_| !row.state.is_end()),
        error: row.error,
        attempts: attempts.collect::<Result<_>>()?,
        finished_at: row.finished_at,
        created_at: row.created_at,
        updated_at: row.finished_at.or(row.started_at).unwrap_or(row.created_at),
    })
}
