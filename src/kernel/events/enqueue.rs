//! Deliveries that a module makes itself: one per endpoint or channel, to a registered kind of target.
//!
//! ```ignore
//! tx.enqueue(
//!     NewDelivery::to("mail", "ann@example.com")
//!         .about(envelope)
//!         .secret(rendered)
//!         .dedupe("withdrawal.completed|mail", &key, DedupePolicy::Window(DAY)),
//! )?;
//! ```

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{
    bus::bus,
    dedupe::{self, Dedupe, DedupePolicy},
    delivery::{DELIVERIES, Delivery, DeliveryId, EXTRAS, Lane, State},
    event::Envelope,
    outbox::{blank, client_key},
    retry::RetryPolicy,
};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::{Result, fault},
    store::{Key, ReadTx, Scan, WriteTx},
};

/// A delivery in the making.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    kind: &'static str,
    target: String,
    client: Option<ClientId>,
    event: Option<(super::event::EventId, String)>,
    queue: Option<String>,
    lane: Option<Lane>,
    group: Option<String>,
    extra: Vec<u8>,
    secret: bool,
    dedupe: Option<Dedupe>,
    not_before: Option<Time>,
    deliver_before: Option<Time>,
    retry: Option<RetryPolicy>,
}

impl NewDelivery {
    /// To the endpoint or channel `target` of a kind registered with `Boot::target`.
    pub fn to(kind: &'static str, target: impl Into<String>) -> NewDelivery {
        NewDelivery {
            kind,
            target: target.into(),
            client: None,
            event: None,
            queue: None,
            lane: None,
            group: None,
            extra: vec![],
            secret: false,
            dedupe: None,
            not_before: None,
            deliver_before: None,
            retry: None,
        }
    }

    /// Because of this event, and of its client.
    pub fn about(mut self, envelope: &Envelope) -> NewDelivery {
        self.client = envelope.client;
        self.event = Some((envelope.id, envelope.name.clone()));
        self
    }

    /// Of this client, without an event.
    pub fn of_client(mut self, client: Option<ClientId>) -> NewDelivery {
        self.client = client;
        self
    }

    pub fn queue(mut self, queue: impl Into<String>) -> NewDelivery {
        self.queue = Some(queue.into());
        self
    }

    pub fn lane(mut self, lane: Lane) -> NewDelivery {
        self.lane = Some(lane);
        self
    }

    /// Takes turns with other groups, and `at_once` of its plan counts per group. Unless said, the target.
    pub fn group(mut self, group: impl Into<String>) -> NewDelivery {
        self.group = Some(group.into());
        self
    }

    /// Carries these bytes; they stay with the delivery until it is pruned.
    pub fn extra(mut self, bytes: impl Into<Vec<u8>>) -> NewDelivery {
        self.extra = bytes.into();
        self
    }

    /// Carries these bytes, and wipes them when it is sent, canceled, suppressed or expired.
    pub fn secret(mut self, bytes: impl Into<Vec<u8>>) -> NewDelivery {
        self.extra = bytes.into();
        self.secret = true;
        self
    }

    /// At most one per key, for as long as `policy` says. Keys of different clients or namespaces never meet.
    pub fn dedupe(mut self, namespace: &str, key: &str, policy: DedupePolicy) -> NewDelivery {
        self.dedupe = Some(Dedupe { namespace: namespace.to_owned(), key: key.to_owned(), policy });
        self
    }

    /// Not before this instant: quiet hours, a digest that gathers.
    pub fn not_before(mut self, at: Time) -> NewDelivery {
        self.not_before = Some(at);
        self
    }

    /// Expires at this instant.
    pub fn deliver_before(mut self, at: Time) -> NewDelivery {
        self.deliver_before = Some(at);
        self
    }

    /// Retried by its own policy, not that of its kind.
    pub fn retry(mut self, policy: RetryPolicy) -> NewDelivery {
        self.retry = Some(policy);
        self
    }
}

/// What became of [`WriteTx::enqueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    pub id: DeliveryId,
    /// The delivery that holds the same dedupe key; this one was suppressed.
    pub duplicate_of: Option<DeliveryId>,
}

/// Why something is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppression {
    /// Whoever would be told does not want to be.
    Preference,
    /// It became part of another delivery: a digest.
    Merged,
}

impl WriteTx {
    /// Leaves a delivery in this transaction. One whose dedupe key is held by another is stored as suppressed.
    pub fn enqueue(&mut self, new: NewDelivery) -> Result<Enqueued> {
        let bus = bus(self)?;
        let client = client_key(new.client);
        let (id, mut row) = self.row_of(&new)?;
        if let Some(wanted) = &new.dedupe {
            let hash = dedupe::hash(client, wanted);
            row.dedupe = Some(hash);
            if let Some(holder) = dedupe::holder(self, &hash)? {
                row.error = Some(format!("duplicate of {}", holder.delivery));
                row.dedupe = None;
                row.end(State::Duplicate, self.now());
                self.put(&DELIVERIES, &(client, id), &row)?;
                return Ok(Enqueued { id, duplicate_of: Some(holder.delivery) });
            }
            dedupe::hold(self, hash, client, id, wanted.policy)?;
        }
        if !new.extra.is_empty() {
            self.put(&EXTRAS, &id, &new.extra)?;
        }
        self.put(&DELIVERIES, &(client, id), &row)?;
        let bell = bus.bell.clone();
        self.on_commit_once("events.enqueued", move || bell.ring());
        Ok(Enqueued { id, duplicate_of: None })
    }

    /// Whether there is anything to hand this kind of delivery to: no mail goes where no server is configured.
    pub fn has_target(&self, kind: &str) -> Result<bool> {
        Ok(bus(self)?.plans.targets.contains_key(kind))
    }

    /// Notes that something was decided not to be sent, for whoever looks for it.
    pub fn suppress(&mut self, new: NewDelivery, why: Suppression) -> Result<DeliveryId> {
        let (id, mut row) = self.row_of(&new)?;
        let state = match why {
            Suppression::Preference => State::Preference,
            Suppression::Merged => State::Merged,
        };
        row.end(state, self.now());
        self.put(&DELIVERIES, &(client_key(new.client), id), &row)?;
        Ok(id)
    }

    /// Replaces what a delivery carries while it has not begun: a digest that grows. False when it is too late.
    pub fn replace_extra(&mut self, id: DeliveryId, bytes: &[u8]) -> Result<bool> {
        let Some((_, row)) = self.delivery(id)? else { return Ok(false) };
        let waits =
            matches!(row.state, State::Ready | State::Scheduled | State::Blocked) && row.attempts == 0;
        if waits {
            self.put(&EXTRAS, &id, &bytes.to_vec())?;
        }
        Ok(waits)
    }

    /// Lets deliveries to a target that were blocked run, oldest first, at most `limit`. How many there were.
    pub fn unblock(&mut self, kind: &str, target: &str, limit: usize) -> Result<usize> {
        let prefix = (kind.to_owned(), target.to_owned());
        let blocked = self.scan_index(&DELIVERIES, "events.blocked", Scan::prefix(&prefix)).take(limit);
        let blocked: Vec<_> = blocked.collect::<Result<_>>()?;
        let now = self.now();
        for (key, mut row) in blocked.clone() {
            row.wait(State::Ready, now);
            self.put(&DELIVERIES, &key, &row)?;
        }
        if !blocked.is_empty() {
            let bell = bus(self)?.bell.clone();
            self.on_commit_once("events.enqueued", move || bell.ring());
        }
        Ok(blocked.len())
    }

    /// Lets one delivery that was blocked run. False when it was not blocked.
    pub fn release(&mut self, id: DeliveryId) -> Result<bool> {
        let Some((client, mut row)) = self.delivery(id)?.filter(|it| it.1.state == State::Blocked) else {
            return Ok(false);
        };
        row.wait(State::Ready, self.now());
        self.put(&DELIVERIES, &(client, id), &row)?;
        let bell = bus(self)?.bell.clone();
        self.on_commit_once("events.enqueued", move || bell.ring());
        Ok(true)
    }

    fn row_of(&mut self, new: &NewDelivery) -> Result<(DeliveryId, Delivery)> {
        let bus = bus(self)?;
        let known = bus.plans.targets.get(new.kind);
        let plan = &known.ok_or_else(|| fault!("no module registered the target {}", new.kind))?.plan;
        let now = self.now();
        let due_at = new.not_before.unwrap_or(now).max(now);
        let (event, event_name) = new.event.clone().unzip();
        let group = new.group.as_ref().unwrap_or(&new.target);
        let row = Delivery {
            event,
            event_name: event_name.unwrap_or_default(),
            queue: new.queue.clone().unwrap_or_else(|| plan.queue.to_owned()),
            group: group_of(client_key(new.client), new.kind, group),
            state: if due_at > now { State::Scheduled } else { State::Ready },
            due_at,
            deliver_before: new.deliver_before,
            retry: new.retry.clone(),
            secret: new.secret,
            ..blank(new.kind, &new.target, new.lane.unwrap_or(plan.lane), now)
        };
        Ok((self.new_id(), row))
    }
}

impl ReadTx {
    /// A delivery and its client, by its id alone.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<(ClientId, Delivery)>> {
        Ok(self.find(&DELIVERIES, "events.by_id", &id)?.map(|((client, _), row)| (client, row)))
    }
}

/// Groups never span clients.
pub(super) fn group_of(client: ClientId, kind: &str, group: &str) -> [u8; 16] {
    let digest = Sha256::digest((client, kind.to_owned(), group.to_owned()).to_key());
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// A day: the usual window.
#[allow(dead_code, reason = "for modules that enqueue")]
pub const DAY: Duration = Duration::from_secs(24 * 3600);
