//! What is on its way to people, over HTTP.

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Flaw, input},
            page::{Cursor, Limit, Paging},
            principal::{ClientId, UserId},
        },
        clock::Time,
        error::Result,
        events::{
            by_hand::{aside, until},
            delivery::{Attempt, DeliveryId, Ended, State, Status},
            event::EventId,
        },
        store::ReadTx,
    },
    modules::notification::{
        contract::Channel,
        service::outbox::{KINDS, Sent, cancel, list, retry},
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

#[derive(utoipa::ToSchema)]
pub struct OutboxProcessIn {
    /// How many at most: 1 to 1000, 100 unless said.
    limit: Option<u32>,
}
input!(OutboxProcessIn { limit });

/// What became of the mails and short messages that were taken.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OutboxRunOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// How many were taken: the sum of the others.
    processed: usize,
    sent: usize,
    /// They are tried again later, or wait for something.
    waiting: usize,
    /// They are not tried again by themselves.
    failed: usize,
    /// They are still being sent.
    running: usize,
    /// Canceled or expired before they were sent.
    dropped: usize,
}

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/notification-outbox/process")
            .about("Send what is ready, at most so many, and say what became of it; also where events are not enabled")
            .needs("notification-outbox.process")
            .plain()
            .status(200)
            .example(json!({ "limit": 100 }))
            .runs(|kernel, call: Call<(), OutboxProcessIn>| async move {
                let limit = call.input.limit.unwrap_or(100);
                if !(1..=1000).contains(&limit) {
                    return Err(Flaw::new("limit", "out_of_range", "must be from 1 to 1000").into());
                }
                let (worker, until) = (kernel.worker.clone(), until(&kernel));
                let client = call.caller.principal.client;
                let taken =
                    aside(move || worker.send_now(&KINDS, client, limit as usize, until)).await?;
                kernel.store.read(|tx| OutboxRunOut::of(tx, &taken))
            }),
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

impl OutboxRunOut {
    fn of(tx: &ReadTx, taken: &[(ClientId, DeliveryId)]) -> Result<OutboxRunOut> {
        let processed = taken.len();
        let [sent, waiting, failed, running, dropped] = [0; 5];
        let mut out =
            OutboxRunOut { object: "outbox_run", processed, sent, waiting, failed, running, dropped };
        for (_, id) in taken {
            let count = match tx.delivery(*id)?.map(|it| it.1.state.status()) {
                Some(Status::Sent) => &mut out.sent,
                Some(Status::Pending) => &mut out.waiting,
                Some(Status::Failed) => &mut out.failed,
                Some(Status::Processing) => &mut out.running,
                Some(Status::Canceled | Status::Expired | Status::Suppressed) | None => &mut out.dropped,
            };
            *count += 1;
        }
        Ok(out)
    }
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
