//! Deliveries, as operators see them: jobs.

use serde::Serialize;

use super::LateBus;
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, get, post},
        input::{Flaw, input},
        page::{Cursor, Limit, Page, Paging, page, page_by},
        principal::ClientId,
    },
    clock::Time,
    error::Result,
    events::{
        bulk::{BULK_RETRIES, BulkRetry, BulkRetryId},
        bus::Bus,
        control,
        delivery::{ATTEMPTS, Attempt, DELIVERIES, Delivery, DeliveryId, Ended, Lane, State, Status},
        event::EventId,
        outbox::{client_key, key_client},
        verdict::Key,
    },
    store::{Key as _, ReadTx, Scan, key::after_prefix},
};

struct JobQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<Status>,
    state: Option<State>,
    /// A listener's name or a kind of target.
    listener: Option<String>,
    queue: Option<String>,
    event_id: Option<EventId>,
    event_type: Option<String>,
}
input!(JobQuery { limit, cursor, status, state, listener, queue, event_id, event_type });

#[derive(utoipa::ToSchema)]
struct BulkRetryIn {
    /// Only failures of this cause, from `GET dead-letters`.
    fingerprint: Option<String>,
    /// Only of this listener or kind of target.
    listener: Option<String>,
}
input!(BulkRetryIn { fingerprint, listener });

pub fn endpoints(bus: &LateBus) -> Vec<Endpoint> {
    let (lists, reads, retries, cancels) = (bus.clone(), bus.clone(), bus.clone(), bus.clone());
    vec![
        get("/jobs").about("List deliveries").needs("jobs.view_any").lists(
            move |tx, call: &Call<(), JobQuery>| {
                let query = &call.input;
                let client = call.caller.principal.client;
                let JobQuery { status, state, listener, queue, event_id, event_type, .. } = query;
                let filters = (client, status, state, listener, queue, event_id, event_type);
                let paging = Paging::new(query.limit, &query.cursor, filters);
                let keep = |row: &Delivery| query.keeps(row);
                let rows = match (event_id, client) {
                    (Some(event), _) => page_by(tx, &DELIVERIES, "events.by_event", event, &paging, keep)?,
                    (None, Some(client)) => page(tx, &DELIVERIES, &client, &paging, keep)?,
                    (None, None) => page(tx, &DELIVERIES, &(), &paging, keep)?,
                };
                let plans = &lists.get()?.plans;
                let mut rows = rows;
                rows.data.retain(|((owner, _), _)| client.is_none_or(|it| it == *owner));
                Ok(rows.map(|(key, row)| JobOut::of(&key, row, Some(plans))))
            },
        ),
        get("/jobs/{id}").about("Show a delivery and its attempts").needs("jobs.view_any").reads(
            move |tx, call: &Call<DeliveryId, ()>| {
                let (key, row) = control::visible(tx, call.caller.principal.client, call.path)?;
                JobOut::full(tx, &key, row, reads.get()?)
            },
        ),
        post("/jobs/{id}/retry")
            .about("Run a delivery now, also one that failed or was canceled; it gets another try")
            .needs("jobs.retry")
            .refuses(&["job_ended", "job_running", "job_superseded"])
            .writes(move |tx, call: &Call<DeliveryId, ()>| {
                let (key, row) = control::visible(tx, call.caller.principal.client, call.path)?;
                let row = control::retry(tx, &key, row)?;
                JobOut::full(tx, &key, row, retries.get()?)
            }),
        post("/jobs/{id}/cancel")
            .about("Call a delivery off; one that is being sent is when that fails")
            .needs("jobs.cancel")
            .refuses(&["job_ended"])
            .writes(move |tx, call: &Call<DeliveryId, ()>| {
                let (key, row) = control::visible(tx, call.caller.principal.client, call.path)?;
                let row = control::cancel(tx, &key, row)?;
                JobOut::full(tx, &key, row, cancels.get()?)
            }),
        get("/dead-letters")
            .about("List failed deliveries by cause")
            .needs("jobs.view_any")
            .lists(|tx, call: &Call<(), ()>| Ok(Page::whole(causes(tx, call.caller.principal.client)?))),
        post("/dead-letters/retry")
            .about("Run all failed deliveries again, or those of one cause; goes on after a restart")
            .needs("jobs.retry")
            .example(serde_json::json!({}))
            .writes(|tx, call: &Call<(), BulkRetryIn>| {
                let fingerprint = call.input.fingerprint.as_deref().map(parse_fingerprint).transpose()?;
                let row = BulkRetry {
                    fingerprint,
                    listener: call.input.listener.clone(),
                    created_at: tx.now(),
                    finished_at: None,
                    behind: None,
                    retried: 0,
                    skipped: 0,
                };
                let key = (client_key(call.caller.principal.client), tx.new_id());
                tx.put(&BULK_RETRIES, &key, &row)?;
                if let Some(bus) = tx.extension::<Bus>() {
                    let bell = bus.bell.clone();
                    tx.on_commit(Box::new(move || bell.ring()));
                }
                Ok(BulkRetryOut::of(key.1, row))
            }),
        get("/dead-letters/retries/{id}").about("Show how far a bulk retry is").needs("jobs.view_any").reads(
            |tx, call: &Call<BulkRetryId, ()>| {
                let key = (client_key(call.caller.principal.client), call.path);
                Ok(BulkRetryOut::of(call.path, found(tx.get(&BULK_RETRIES, &key)?)?))
            },
        ),
    ]
}

impl JobQuery {
    fn keeps(&self, row: &Delivery) -> bool {
        self.status.is_none_or(|it| it == row.state.status())
            && self.state.is_none_or(|it| it == row.state)
            && self.listener.as_ref().is_none_or(|it| *it == row.listener)
            && self.queue.as_ref().is_none_or(|it| *it == row.queue)
            && self.event_type.as_ref().is_none_or(|it| *it == row.event_name)
    }
}

/// A delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JobOut {
    id: DeliveryId,
    #[schema(value_type = String)]
    object: &'static str,
    client_id: Option<ClientId>,
    status: Status,
    /// The status, and why it is that.
    state: State,
    event_id: Option<EventId>,
    event_type: Option<String>,
    /// The listener's name, or the kind of target.
    listener: String,
    /// Which endpoint or channel, or the slot of a schedule.
    target: Option<String>,
    external: bool,
    queue: String,
    priority: Lane,
    tries_used: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
    crashes: u32,
    cancel_requested: bool,
    /// When it runs next.
    due_at: Option<Time>,
    deliver_before: Option<Time>,
    error: Option<String>,
    /// The same for failures of one cause.
    fingerprint: Option<String>,
    created_at: Time,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<JobAttemptOut>>,
}

impl JobOut {
    fn of(key: &Key, row: Delivery, plans: Option<&crate::kernel::events::plan::Plans>) -> JobOut {
        JobOut {
            id: key.1,
            object: "job",
            client_id: key_client(key.0),
            status: row.state.status(),
            state: row.state,
            event_id: row.event,
            tries: plans.map(|it| it.retry(&row).tries.max(row.tries_granted)),
            due_at: Some(row.due_at).filter(|_| row.state.status() == Status::Pending),
            fingerprint: Some(show_fingerprint(row.fingerprint)).filter(|_| row.fingerprint != 0),
            event_type: Some(row.event_name).filter(|it| !it.is_empty()),
            listener: row.listener,
            target: Some(row.target).filter(|it| !it.is_empty()),
            external: row.external,
            queue: row.queue,
            priority: row.lane,
            tries_used: row.tries_used,
            crashes: row.crashes,
            cancel_requested: row.cancel_requested,
            deliver_before: row.deliver_before,
            error: row.error,
            created_at: row.created_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            attempts: None,
        }
    }

    fn full(tx: &ReadTx, key: &Key, row: Delivery, bus: &Bus) -> Result<JobOut> {
        let tries = bus.plans.retry(&row).tries.max(row.tries_granted);
        Ok(JobOut { tries: Some(tries), ..JobOut::with_attempts(tx, key, row)? })
    }

    pub fn with_attempts(tx: &ReadTx, key: &Key, row: Delivery) -> Result<JobOut> {
        let attempts = tx.scan(&ATTEMPTS, Scan::prefix(&key.1));
        let attempts = attempts.map(|it| it.map(|((_, number), row)| JobAttemptOut::of(number, row)));
        let attempts = Some(attempts.collect::<Result<_>>()?);
        Ok(JobOut { attempts, ..JobOut::of(key, row, None) })
    }
}

/// One attempt.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct JobAttemptOut {
    number: u32,
    started_at: Time,
    duration_ms: u64,
    outcome: Ended,
    error: Option<String>,
    http_status: Option<u16>,
    /// The beginning of what came back.
    response: Option<String>,
}

impl JobAttemptOut {
    fn of(number: u32, row: Attempt) -> JobAttemptOut {
        JobAttemptOut {
            number,
            started_at: row.started_at,
            duration_ms: row.duration_ms,
            outcome: row.outcome,
            error: row.error,
            http_status: row.http_status,
            response: row.response.map(|it| String::from_utf8_lossy(&it).into_owned()),
        }
    }
}

/// Failed deliveries of one cause.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CauseOut {
    #[schema(value_type = String)]
    object: &'static str,
    client_id: Option<ClientId>,
    fingerprint: String,
    listener: String,
    state: State,
    /// Of the last one.
    error: Option<String>,
    count: u64,
    /// There are more than were counted.
    more: bool,
    first_at: Option<Time>,
    last_at: Option<Time>,
    /// The last one.
    example: DeliveryId,
}

/// Causes one answer shows, and failures it counts of each.
const MOST_CAUSES: usize = 200;
const MOST_COUNTED: u64 = 1000;

fn causes(tx: &ReadTx, client: Option<ClientId>) -> Result<Vec<CauseOut>> {
    let within = |scan: Scan, client: Option<ClientId>| match client {
        Some(client) => scan.until(after_prefix(&client.to_key()).unwrap_or_default()),
        None => scan,
    };
    let mut causes: Vec<CauseOut> = vec![];
    let mut scan = client.map_or_else(Scan::all, |it| Scan::prefix(&it));
    while causes.len() < MOST_CAUSES {
        let Some(first) = tx.scan_index(&DELIVERIES, "events.dead", scan).next() else { break };
        let ((owner, id), row) = first?;
        let cause = (owner, row.fingerprint);
        let mut out = CauseOut {
            object: "dead_letters",
            client_id: key_client(owner),
            fingerprint: show_fingerprint(row.fingerprint),
            listener: row.listener,
            state: row.state,
            error: row.error,
            count: 0,
            more: false,
            first_at: row.finished_at,
            last_at: row.finished_at,
            example: id,
        };
        for dead in tx.scan_index(&DELIVERIES, "events.dead", Scan::prefix(&cause)) {
            let ((_, id), row) = dead?;
            out.more = out.count == MOST_COUNTED;
            if out.more {
                break;
            }
            out.count += 1;
            out.first_at = out.first_at.min(row.finished_at);
            if row.finished_at >= out.last_at {
                (out.last_at, out.error, out.state, out.example) =
                    (row.finished_at, row.error, row.state, id);
            }
        }
        causes.push(out);
        let Some(next) = after_prefix(&cause.to_key()) else { break };
        scan = within(Scan::all().from(next), client);
    }
    Ok(causes)
}

/// A bulk retry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BulkRetryOut {
    id: BulkRetryId,
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
    fingerprint: Option<String>,
    listener: Option<String>,
    /// How many run again.
    retried: u64,
    /// How many were left, because a later job is delivered instead.
    skipped: u64,
    created_at: Time,
    finished_at: Option<Time>,
}

impl BulkRetryOut {
    fn of(id: BulkRetryId, row: BulkRetry) -> BulkRetryOut {
        BulkRetryOut {
            id,
            object: "bulk_retry",
            status: if row.finished_at.is_some() { "finished" } else { "running" },
            fingerprint: row.fingerprint.map(show_fingerprint),
            listener: row.listener,
            retried: row.retried,
            skipped: row.skipped,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

fn show_fingerprint(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

fn parse_fingerprint(text: &str) -> Result<u64> {
    let wrong = || Flaw::new("fingerprint", "invalid_format", "must be a fingerprint of a dead letter");
    u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16).ok_or_else(|| wrong().into())
}
