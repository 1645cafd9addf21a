//! One event on its way to one listener, endpoint or channel: the row, its states, and where each state is found.
//!
//! ```text
//! pending ─ ready ───────▶ sent                     an internal listener: effect and "sent" are one transaction
//!         │   ▲   └──────▶ processing ─▶ sent       an external one: claim · I/O · acknowledge
//!         │   │                 │
//!         ├ scheduled, retry ◀──┤                   until `due_at`
//!         └ blocked ◀───────────┘                   until its target is unblocked
//! any of these ─▶ failed (exhausted, rejected, poison, unknown_target, needs_review) · canceled · expired
//! suppressed (preference, duplicate, merged): decided when it was made
//! ```
//!
//! Every row that is not at its end is in exactly one of the indexes `ready`, `due`, `claimed` and `blocked`; every
//! other one is in `ended`. They cannot disagree with the row, because they are computed from it.

use super::{event::EventId, retry::RetryPolicy};
use crate::kernel::{
    api::{input::text_enum, principal::ClientId},
    clock::Time,
    id::id,
    store::{
        Index, Key, Table,
        codec::{Decode, Encode, row},
    },
};

id!(/** One event on its way to one listener, endpoint or channel. The same for every attempt, for ever. */ DeliveryId, "dlv");

/// (client, delivery) → where it stands. What concerns the installation stands under the all-zero client.
pub const DELIVERIES: Table<(ClientId, DeliveryId), Delivery> =
    Table::new("events.deliveries").with_indexes(&[
        // delivery → itself: ids in paths name no client
        Index::lookup("events.by_id", |(_, id), _| vec![id.to_key()]),
        // event → its deliveries: the timeline
        Index::listing("events.by_event", |_, row| row.event.iter().map(Key::to_key).collect()),
        // (external?, queue, lane, group) → what may run now
        Index::listing("events.ready", |_, row| match row.state {
            State::Ready => vec![row.place()],
            _ => vec![],
        }),
        // when → what waits for that instant
        Index::listing("events.due", |_, row| match row.state {
            State::Scheduled | State::Retry => vec![row.due_at.to_key()],
            _ => vec![],
        }),
        // epoch → what an incarnation of the server is sending
        Index::listing("events.claimed", |_, row| match row.state {
            State::Processing => vec![row.epoch.to_key()],
            _ => vec![],
        }),
        // (kind, target) → what waits until the target is unblocked
        Index::listing("events.blocked", |_, row| match row.state {
            State::Blocked => vec![(row.listener.clone(), row.target.clone()).to_key()],
            _ => vec![],
        }),
        // (failed?, when it ended) → what is pruned when it is old enough
        Index::listing("events.ended", |_, row| {
            let failed = row.state.status() == Status::Failed;
            row.finished_at.iter().map(|at| (failed, *at).to_key()).collect()
        }),
        // (client, fingerprint) → failed deliveries of one cause
        Index::listing("events.dead", |(client, _), row| match row.state.status() {
            Status::Failed => vec![(*client, row.fingerprint).to_key()],
            _ => vec![],
        }),
        // (client, kind, target) → what went, and goes, to one endpoint or channel
        Index::listing("events.by_target", |(client, _), row| match row.target.is_empty() {
            true => vec![],
            false => vec![(*client, row.listener.clone(), row.target.clone()).to_key()],
        }),
        // deliver_before → what loses its point then
        Index::listing("events.expiring", |_, row| match (row.deliver_before, row.state.status()) {
            (Some(at), Status::Pending) => vec![at.to_key()],
            _ => vec![],
        }),
    ]);

/// (delivery, number from 1) → one attempt.
pub const ATTEMPTS: Table<(DeliveryId, u32), Attempt> = Table::new("events.attempts");

/// delivery → what it carries beside its event, such as a rendered message. Wiped when the delivery says so.
pub const EXTRAS: Table<DeliveryId, Vec<u8>> = Table::new("events.extras");

/// One event on its way to one listener, endpoint or channel.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Delivery {
    /// `None` for what no event caused, such as the slot of a schedule.
    pub event: Option<EventId>,
    /// `withdrawal.requested`; empty without an event.
    pub event_name: String,
    /// The listener's name, or the kind of target: `webhook`.
    pub listener: String,
    /// Which endpoint or channel; empty for a listener.
    pub target: String,
    pub external: bool,
    pub queue: String,
    pub lane: Lane,
    /// Served in turn with the other groups of its lane: a tenant, an endpoint.
    pub group: [u8; 16],
    pub state: State,
    pub due_at: Time,
    /// Not worth sending after this.
    pub deliver_before: Option<Time>,
    /// Attempts that count. Invariant: at most `attempts`, because interruptions and snoozes are not among them.
    pub tries_used: u32,
    /// Attempts allowed beyond what the policy says, because somebody asked for another one.
    pub tries_granted: u32,
    /// Rows of [`ATTEMPTS`].
    pub attempts: u32,
    /// Interruptions since the last attempt that came to an end.
    pub crashes: u32,
    /// Which incarnation of the server is sending it. Zero unless `processing`.
    pub epoch: u64,
    /// The last attempt did not come to an end: for listeners that verify before they repeat.
    pub interrupted: bool,
    /// Becomes `canceled` when the attempt that is running has not succeeded.
    pub cancel_requested: bool,
    /// Its own; otherwise what its listener is configured to.
    pub retry: Option<RetryPolicy>,
    pub dedupe: Option<[u8; 16]>,
    /// What it carries is wiped when it is sent.
    pub secret: bool,
    pub created_at: Time,
    pub started_at: Option<Time>,
    /// Invariant: set exactly when the state is an end.
    pub finished_at: Option<Time>,
    pub error: Option<String>,
    /// The same for failures of the same cause.
    pub fingerprint: u64,
}
row!(Delivery);

text_enum! {
    /// Where a delivery stands, as lists filter by it.
    pub enum Status {
        Pending = "pending",
        /// Being sent.
        Processing = "processing",
        Sent = "sent",
        /// Will not be tried again by itself.
        Failed = "failed",
        Canceled = "canceled",
        /// Decided not to send.
        Suppressed = "suppressed",
        /// Its `deliver_before` passed.
        Expired = "expired",
    }
}

text_enum! {
    /// The status, and why it is that.
    pub enum State {
        Ready = "ready",
        /// Not yet run, waits for `due_at`.
        Scheduled = "scheduled",
        /// Failed before, waits for `due_at`.
        Retry = "retry",
        /// Waits until its target is unblocked.
        Blocked = "blocked",
        Processing = "processing",
        Sent = "sent",
        /// Out of tries.
        Exhausted = "exhausted",
        /// Whoever received it will never take it.
        Rejected = "rejected",
        /// The process ended three times while it ran.
        Poison = "poison",
        /// Its listener, endpoint or channel no longer exists.
        UnknownTarget = "unknown_target",
        /// It may have happened: somebody has to find out.
        NeedsReview = "needs_review",
        Canceled = "canceled",
        /// Whoever would be told does not want to be.
        Preference = "preference",
        /// One with the same key exists.
        Duplicate = "duplicate",
        /// Became part of another one.
        Merged = "merged",
        Expired = "expired",
    }
}

impl State {
    pub fn status(self) -> Status {
        match self {
            State::Ready | State::Scheduled | State::Retry | State::Blocked => Status::Pending,
            State::Processing => Status::Processing,
            State::Sent => Status::Sent,
            State::Exhausted
            | State::Rejected
            | State::Poison
            | State::UnknownTarget
            | State::NeedsReview => Status::Failed,
            State::Canceled => Status::Canceled,
            State::Preference | State::Duplicate | State::Merged => Status::Suppressed,
            State::Expired => Status::Expired,
        }
    }

    /// Whether nothing happens to it any more by itself.
    pub fn is_end(self) -> bool {
        !matches!(self.status(), Status::Pending | Status::Processing)
    }
}

text_enum! {
    /// How much of the throughput its rows get: 8 : 4 : 2 : 1.
    pub enum Lane {
        Critical = "critical",
        High = "high",
        Medium = "medium",
        Low = "low",
    }
}

impl Lane {
    pub const ALL: [Lane; 4] = [Lane::Critical, Lane::High, Lane::Medium, Lane::Low];

    pub fn weight(self) -> usize {
        8 >> self.place()
    }

    /// From 0, the most urgent, to 3.
    pub fn place(self) -> u8 {
        self as u8
    }
}

impl Delivery {
    /// Its position among what is ready, without its id.
    pub fn place(&self) -> Vec<u8> {
        place(self.external, &self.queue, self.lane, &self.group)
    }

    /// Moves it to an end.
    pub fn end(&mut self, state: State, now: Time) {
        debug_assert!(state.is_end());
        self.state = state;
        self.epoch = 0;
        self.finished_at = Some(now);
    }

    /// Moves it back to waiting.
    pub fn wait(&mut self, state: State, due_at: Time) {
        debug_assert!(state.status() == Status::Pending);
        self.state = state;
        self.epoch = 0;
        self.due_at = due_at;
        self.finished_at = None;
    }
}

/// A position in `events.ready`.
pub fn place(external: bool, queue: &str, lane: Lane, group: &[u8; 16]) -> Vec<u8> {
    (external, queue.to_owned(), lane.place(), *group).to_key()
}

text_enum! {
    /// How an attempt ended.
    pub enum Ended {
        Ok = "ok",
        Failed = "failed",
        TimedOut = "timed_out",
        Panicked = "panicked",
        /// The process ended, or was asked to, before the attempt did. No try was used.
        Interrupted = "interrupted",
        /// Put off without using a try.
        Snoozed = "snoozed",
        Canceled = "canceled",
        Rejected = "rejected",
    }
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Attempt {
    pub started_at: Time,
    pub duration_ms: u64,
    pub outcome: Ended,
    pub error: Option<String>,
    pub http_status: Option<u16>,
    /// The beginning of what came back, at most [`RESPONSE_BYTES`].
    pub response: Option<Vec<u8>>,
}
row!(Attempt);

/// How much of a response is kept.
pub const RESPONSE_BYTES: usize = 2 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id, store::codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "events.deliveries",
            &Delivery {
                event: Some(EventId::from_bytes([2; 16])),
                event_name: "withdrawal.requested".into(),
                listener: "webhook".into(),
                target: "whe_1".into(),
                external: true,
                queue: "webhooks".into(),
                lane: Lane::Medium,
                group: [3; 16],
                state: State::Retry,
                due_at: at,
                deliver_before: Some(at),
                tries_used: 1,
                tries_granted: 0,
                attempts: 1,
                crashes: 0,
                epoch: 0,
                interrupted: false,
                cancel_requested: false,
                retry: Some(RetryPolicy { tries: 5, backoff_s: vec![30, 60], jitter_percent: 10 }),
                dedupe: Some([4; 16]),
                secret: true,
                created_at: at,
                started_at: Some(at),
                finished_at: None,
                error: Some("503".into()),
                fingerprint: 5,
            },
        );
        golden(
            "events.attempts",
            &Attempt {
                started_at: at,
                duration_ms: 12,
                outcome: Ended::Failed,
                error: Some("503".into()),
                http_status: Some(503),
                response: Some(b"busy".to_vec()),
            },
        );
    }

    #[test]
    fn a_lane_has_twice_the_weight_of_the_next() {
        assert_eq!(Lane::ALL.map(Lane::weight), [8, 4, 2, 1]);
    }
}
