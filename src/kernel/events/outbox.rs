//! The outbox: events, stored with the change that caused them, and a delivery for each listener.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

#[cfg(test)]
pub use super::bus::Bell;
pub use super::bus::Bus;
use super::{
    bus::{Overheard, bus},
    delivery::{DELIVERIES, Delivery, DeliveryId, Lane, State},
    enqueue::group_of,
    event::{Envelope, Event, EventId, Listener, MAX_DEPTH, MAX_PAYLOAD_BYTES, Run},
    plan::{Plan, When},
};
use crate::kernel::{
    annex::{self, Relayed, Relaying},
    api::{call::Caller, principal::ClientId},
    clock::Time,
    error::{Result, fault},
    id::Id,
    store::{Key, ReadTx, Scan, Table, WriteTx},
};

/// (client, event) → envelope: a client's feed is one range, in commit order. Installation-wide events stand under
/// the all-zero client.
pub const EVENTS: Table<(ClientId, EventId), Envelope> = Table::new("events.events");

/// What runs inside a listener: the event it hears, so that what it publishes knows its cause.
#[derive(Clone, Copy)]
struct Cause {
    event: EventId,
    depth: u8,
}

impl WriteTx {
    /// Announces `event` in this transaction: stores it, runs its sync listeners, leaves a delivery for each other
    /// one. A sync listener's refusal refuses the command.
    pub fn publish<E: Event>(&mut self, caller: &Caller, event: &E) -> Result<EventId> {
        let cause = self.extension::<Cause>();
        let envelope = Envelope {
            id: self.new_id(),
            name: E::NAME.to_owned(),
            version: E::VERSION,
            client: caller.principal.client,
            occurred_at: self.now(),
            actor: caller.actor(),
            entity: event.entity(),
            correlation: caller.request_id.clone(),
            causation: cause.as_ref().map(|it| it.event),
            depth: cause.map_or(0, |it| it.depth + 1),
            payload: serde_json::to_string(event)
                .map_err(|error| fault!("{} is not JSON: {error}", E::NAME))?,
        };
        if envelope.depth > MAX_DEPTH || envelope.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(fault!("{} is {} deep, {} bytes", E::NAME, envelope.depth, envelope.payload.len()));
        }
        let id = envelope.id;
        if self.extension::<Relaying>().is_some() {
            annex::keep(self, Relayed::Event(envelope))?;
        } else {
            announce(self, envelope, Some(event))?;
        }
        Ok(id)
    }
}

/// Stores an event, runs its sync listeners, leaves a delivery for each other one. `event` is what it was made of, when
/// that is at hand.
pub fn announce(tx: &mut WriteTx, envelope: Envelope, event: Option<&dyn Any>) -> Result<()> {
    tx.insert(&EVENTS, &(client_key(envelope.client), envelope.id), &envelope)?;
    let bus = bus(tx)?;
    announce_after_commit(tx, &bus);
    for plan in bus.plans.of(&envelope.name) {
        match &plan.when {
            When::Sync => hear(tx, &plan.listener, &envelope)?,
            When::Queue => deliver_later(tx, plan, &envelope, None)?,
            When::Scheduled(frequency) => {
                let at = frequency.next(tx.now());
                deliver_later(tx, plan, &envelope, at)?;
            }
        }
    }
    for overhear in &bus.overhearing {
        overhear(tx, &Overheard { envelope: &envelope, event })?;
    }
    Ok(())
}

/// Once for each commit, however much it announces: every ring wakes threads.
fn announce_after_commit(tx: &mut WriteTx, bus: &Arc<Bus>) {
    let bus = bus.clone();
    tx.on_commit_once("events.announced", move || {
        bus.feed.send_modify(|commits| *commits += 1);
        bus.bell.ring();
    });
}

fn deliver_later(tx: &mut WriteTx, plan: &Plan, envelope: &Envelope, at: Option<Time>) -> Result<()> {
    let client = client_key(envelope.client);
    let now = tx.now();
    let due_at = at.unwrap_or(now);
    let delivery = Delivery {
        event: Some(envelope.id),
        event_name: envelope.name.clone(),
        external: plan.listener.is_external(),
        queue: plan.queue.clone(),
        group: if plan.listener.is_external() {
            group_of(client, plan.listener.name, "")
        } else {
            client.bytes()
        },
        state: if due_at > now { State::Scheduled } else { State::Ready },
        due_at,
        ..blank(plan.listener.name, "", plan.lane, now)
    };
    let id: DeliveryId = tx.new_id();
    tx.put(&DELIVERIES, &(client, id), &delivery)
}

/// A delivery that has not begun.
pub(super) fn blank(listener: &str, target: &str, lane: Lane, now: Time) -> Delivery {
    Delivery {
        event: None,
        event_name: String::new(),
        listener: listener.to_owned(),
        target: target.to_owned(),
        external: true,
        queue: "default".to_owned(),
        lane,
        group: [0; 16],
        state: State::Ready,
        due_at: now,
        deliver_before: None,
        tries_used: 0,
        tries_granted: 0,
        attempts: 0,
        crashes: 0,
        epoch: 0,
        interrupted: false,
        cancel_requested: false,
        retry: None,
        dedupe: None,
        secret: false,
        created_at: now,
        started_at: None,
        finished_at: None,
        error: None,
        fingerprint: 0,
    }
}

/// Runs an internal listener; what it publishes carries this event as its cause.
pub fn hear(tx: &mut WriteTx, listener: &Listener, envelope: &Envelope) -> Result<()> {
    let Run::Inside(run) = &listener.run else {
        return Err(fault!("listener {} reaches out: it is not run in a transaction", listener.name));
    };
    let mark = tx.hang(Cause { event: envelope.id, depth: envelope.depth });
    // What comes after a panic must not carry this event as its cause.
    let heard = catch_unwind(AssertUnwindSafe(|| run(tx, envelope)));
    tx.unhang(mark);
    heard.unwrap_or_else(|panic| resume_unwind(panic))
}

/// The client part of an event's or a delivery's key.
pub fn client_key(client: Option<ClientId>) -> ClientId {
    client.unwrap_or(ClientId::from_bytes([0; 16]))
}

/// The client of a key, the other way round.
pub fn key_client(key: ClientId) -> Option<ClientId> {
    Some(key).filter(|it| it.bytes() != [0; 16])
}

/// The highest event id of any client: ids go on from there, whatever the clock says after a restart.
pub fn highest_event(tx: &ReadTx) -> Result<Option<EventId>> {
    let mut highest = None;
    let mut before: Option<Vec<u8>> = None;
    loop {
        let mut scan = Scan::all().newest_first();
        if let Some(key) = before.take() {
            scan = scan.after(key);
        }
        let Some(last) = tx.scan(&EVENTS, scan).next() else {
            return Ok(highest);
        };
        let ((client, event), _) = last?;
        highest = highest.max(Some(event));
        before = Some(client.to_key()); // Everything before this client: its own keys are longer, hence above.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::principal::Actor, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "events.events",
            &Envelope {
                id: EventId::from_bytes([2; 16]),
                name: "withdrawal.requested".into(),
                version: 1,
                client: Some(ClientId::from_bytes([1; 16])),
                occurred_at: Time::from_micros(1_795_342_000_000_000),
                actor: Actor::System,
                entity: "wdr_1".into(),
                correlation: "req_1".into(),
                causation: None,
                depth: 0,
                payload: "{}".into(),
            },
        );
    }
}
