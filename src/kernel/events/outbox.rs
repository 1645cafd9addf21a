//! The outbox: events and their deliveries, in the transaction that causes them.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::event::{Envelope, Event, EventId, Listener, MAX_DEPTH, MAX_PAYLOAD_BYTES, Mode};
use crate::kernel::{
    api::{call::Caller, input::text_enum, principal::ClientId},
    clock::Time,
    error::{Result, fault},
    id::{Id, id},
    store::{
        Index, Key, ReadTx, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

id!(/** One event on its way to one listener. */ DeliveryId, "dlv");

/// (client, event) → envelope: a client's feed is one range, in commit order. Installation-wide events stand under
/// the all-zero client.
pub const EVENTS: Table<(ClientId, EventId), Envelope> = Table::new("events.events");

/// delivery → its state. Every delivery that is not done is in exactly one of the two indexes, because both are
/// computed from the row.
pub const DELIVERIES: Table<DeliveryId, Delivery> = Table::new("events.deliveries").with_indexes(&[
    // client → ready deliveries, oldest first
    Index::listing("events.ready", |_, row| match row.status {
        DeliveryStatus::Ready => vec![row.client.to_key()],
        _ => vec![],
    }),
    // when → deliveries waiting for that instant
    Index::listing("events.scheduled", |_, row| match row.status {
        DeliveryStatus::Retry => vec![row.due_at.to_key()],
        _ => vec![],
    }),
]);

text_enum! {
    /// Where a delivery stands.
    pub enum DeliveryStatus {
        Ready = "ready",
        /// Failed before; runs again at `due_at`.
        Retry = "retry",
        Sent = "sent",
        /// Out of tries, or its listener no longer exists. Never removed by itself.
        Failed = "failed",
    }
}

/// One event on its way to one listener.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Delivery {
    pub client: ClientId,
    pub event: EventId,
    pub listener: String,
    pub status: DeliveryStatus,
    pub tries_used: u32,
    pub due_at: Time,
    pub created_at: Time,
    pub finished_at: Option<Time>,
    pub error: Option<String>,
}
row!(Delivery);

/// Who listens, and the bell that wakes the worker. Hangs on every transaction of the store.
pub struct Bus {
    listeners: HashMap<&'static str, Vec<Listener>>,
    bell: Arc<Bell>,
}

/// Rung after a commit that left something to do.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits until rung, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Bus {
    pub fn new(all: Vec<Listener>, bell: Arc<Bell>) -> Bus {
        let mut listeners: HashMap<&'static str, Vec<Listener>> = HashMap::new();
        for listener in all {
            listeners.entry(listener.event).or_default().push(listener);
        }
        Bus { listeners, bell }
    }

    pub fn listener(&self, event: &str, name: &str) -> Option<&Listener> {
        self.listeners.get(event)?.iter().find(|it| it.name == name)
    }
}

/// What runs inside a listener: the event it hears, so that what it publishes knows its cause.
#[derive(Clone, Copy)]
struct Cause {
    event: EventId,
    depth: u8,
}

impl WriteTx {
    /// Announces `event` in this transaction: stores it, runs its sync listeners, leaves a delivery for each queued
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
        let client = client_key(envelope.client);
        self.put(&EVENTS, &(client, envelope.id), &envelope)?;
        let bus = self.extension::<Bus>().ok_or_else(|| fault!("no event bus"))?;
        for listener in bus.listeners.get(E::NAME).into_iter().flatten() {
            match listener.mode {
                Mode::Sync => hear(self, listener, &envelope)?,
                Mode::Queue => {
                    let id = self.new_id();
                    let delivery = Delivery {
                        client,
                        event: envelope.id,
                        listener: listener.name.to_owned(),
                        status: DeliveryStatus::Ready,
                        tries_used: 0,
                        due_at: self.now(),
                        created_at: self.now(),
                        finished_at: None,
                        error: None,
                    };
                    self.put(&DELIVERIES, &id, &delivery)?;
                    let bell = bus.bell.clone();
                    self.on_commit(Box::new(move || bell.ring()));
                }
            }
        }
        Ok(envelope.id)
    }
}

/// Runs a listener; what it publishes carries this event as its cause.
pub fn hear(tx: &mut WriteTx, listener: &Listener, envelope: &Envelope) -> Result<()> {
    let mark = tx.hang(Cause { event: envelope.id, depth: envelope.depth });
    let heard = (listener.run)(tx, envelope);
    tx.unhang(mark);
    heard
}

/// The client part of an event's key.
pub fn client_key(client: Option<ClientId>) -> ClientId {
    client.unwrap_or(ClientId::from_bytes([0; 16]))
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
    fn the_stored_forms_stay_what_they_are() {
        let client = ClientId::from_bytes([1; 16]);
        let event = EventId::from_bytes([2; 16]);
        let (at, error) = (Time::from_micros(1_795_342_000_000_000), Some("fault".to_owned()));
        golden(
            "events.events",
            &Envelope {
                id: event,
                name: "withdrawal.requested".into(),
                version: 1,
                client: Some(client),
                occurred_at: at,
                actor: Actor::System,
                entity: "wdr_1".into(),
                correlation: "req_1".into(),
                causation: None,
                depth: 0,
                payload: "{}".into(),
            },
        );
        golden(
            "events.deliveries",
            &Delivery {
                client,
                event,
                listener: "notification.tell".into(),
                status: DeliveryStatus::Retry,
                tries_used: 1,
                due_at: at,
                created_at: at,
                finished_at: None,
                error,
            },
        );
    }
}
