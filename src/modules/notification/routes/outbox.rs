//! What is on its way to people, over HTTP.

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::input,
            page::{Cursor, Limit, Paging},
            principal::UserId,
        },
        clock::Time,
        events::{
            delivery::{Attempt, DeliveryId, Ended, State, Status},
            event::EventId,
        },
    },
    modules::notification::{
        contract::Channel,
        service::outbox::{Sent, cancel, list, retry},
    },
};

pub struct OutboxQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<Status>,
    channel: Option<Channel>,
    user_id: Option<UserId>,
    event_type: Option<String>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(OutboxQuery { limit, cursor, status, channel, user_id, event_type, created_from, created_to });

/// A mail or a short message on its way to somebody.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OutboxOut {
    id: DeliveryId,
    #[schema(value_type = String)]
    object: &'static str,
    status: Status,
    /// Why it has that status.
    state: State,
    channel: Channel,
    /// The user it goes to, or the address of a test.
    recipient: String,
    event_id: Option<EventId>,
    event_type: Option<String>,
    /// When it is tried next, while it waits.
    due_at: Option<Time>,
    /// What went wrong last.
    error: Option<String>,
    tries_used: u32,
    attempts: Vec<OutboxAttemptOut>,
    created_at: Time,
    finished_at: Option<Time>,
}

/// One attempt to send it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OutboxAttemptOut {
    outcome: Ended,
    started_at: Time,
    duration_ms: u64,
    error: Option<String>,
    /// What the server or provider said.
    response: Option<String>,
    http_status: Option<u16>,
}

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/notification-outbox")
            .about("List mails and short messages, newest first: sent, waiting, failed, or held back")
            .needs("notification-outbox.view_any")
            .lists(|tx, call: &Call<(), OutboxQuery>| {
                let OutboxQuery {
                    limit,
                    cursor,
                    status,
                    channel,
                    user_id,
                    event_type,
                    created_from,
                    created_to,
                } = &call.input;
                let filters = (status, channel, user_id, event_type, created_from, created_to);
                let paging = Paging::new(*limit, cursor, filters);
                let user = user_id.map(|it| it.to_string());
                let rows = list(tx, call.caller.client()?, &paging, |row, by| {
                    status.is_none_or(|it| it == row.state.status())
                        && channel.is_none_or(|it| it == by)
                        && user.as_ref().is_none_or(|it| *it == row.target)
                        && event_type.as_ref().is_none_or(|it| *it == row.event_name)
                        && created_from.is_none_or(|it| row.created_at >= it)
                        && created_to.is_none_or(|it| row.created_at < it)
                })?;
                Ok(rows.map(OutboxOut::from))
            }),
        post("/notification-outbox/{id}/retry")
            .about("Send it once more, now")
            .needs("notification-outbox.retry")
            .refuses(&["job_ended", "job_running", "job_superseded"])
            .example(json!({}))
            .writes(|tx, call: &Call<DeliveryId>| {
                retry(tx, call.caller.client()?, call.path).map(OutboxOut::from)
            }),
        post("/notification-outbox/{id}/cancel")
            .about("Call it off; what is being sent at this moment may still arrive")
            .needs("notification-outbox.cancel")
            .refuses(&["job_ended"])
            .example(json!({}))
            .writes(|tx, call: &Call<DeliveryId>| {
                cancel(tx, call.caller.client()?, call.path).map(OutboxOut::from)
            }),
    ]
}

impl From<Sent> for OutboxOut {
    fn from(it: Sent) -> OutboxOut {
        let row = it.row;
        let waits = row.state.status() == Status::Pending;
        OutboxOut {
            id: it.id,
            object: "notification_delivery",
            status: row.state.status(),
            state: row.state,
            channel: it.channel,
            recipient: row.target,
            event_id: row.event,
            event_type: Some(row.event_name).filter(|it| !it.is_empty()),
            due_at: waits.then_some(row.due_at),
            error: row.error,
            tries_used: row.tries_used,
            attempts: it.attempts.into_iter().map(OutboxAttemptOut::from).collect(),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl From<Attempt> for OutboxAttemptOut {
    fn from(it: Attempt) -> OutboxAttemptOut {
        OutboxAttemptOut {
            outcome: it.outcome,
            started_at: it.started_at,
            duration_ms: it.duration_ms,
            error: it.error,
            response: it.response.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            http_status: it.http_status,
        }
    }
}
