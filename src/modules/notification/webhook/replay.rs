//! Replays: the events of a span of time, told to an endpoint again.
//!
//! A piece per transaction, so that it neither holds the writer nor loses its place when the server ends. What was
//! delivered before keeps its delivery and its `webhook-id`: a receiver knows what it has seen.

use super::{
    KIND,
    fan_out::send_to,
    model::{Endpoint, Replay, matches},
    repository::queue_up,
};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::Result,
    events::{
        delivery::{DELIVERIES, DeliveryId, Lane},
        event::{Envelope, EventId},
        outbox::EVENTS,
    },
    id::Id as _,
    store::{Key as _, ReadTx, Scan, WriteTx},
};

/// Events looked at in one transaction.
const PIECE: usize = 200;

/// Goes on with the replay of `endpoint`. What is left of it; `None` when it is done.
pub fn step(tx: &mut WriteTx, client: ClientId, endpoint: &Endpoint) -> Result<Option<Replay>> {
    let Some(mut replay) = endpoint.replay.clone() else { return Ok(None) };
    let mut scan = Scan::prefix(&client).from((client, first_id(replay.from)).to_key());
    if let Some(cursor) = replay.cursor {
        scan = scan.after((client, cursor).to_key());
    }
    let events = tx.scan(&EVENTS, scan).take(PIECE).map(|it| it.map(|(_, envelope)| envelope));
    let events: Vec<Envelope> = events.collect::<Result<_>>()?;
    let mut is_done = events.len() < PIECE;
    for envelope in events {
        if envelope.occurred_at >= replay.to {
            is_done = true;
            break;
        }
        replay.cursor = Some(envelope.id);
        let is_wanted = match &replay.types {
            Some(types) => types.iter().any(|it| matches(it, &envelope.name)),
            None => endpoint.wants(&envelope.name),
        };
        if envelope.occurred_at >= replay.from && is_wanted && tell(tx, client, endpoint, &envelope)? {
            replay.messages += 1;
        }
    }
    Ok(Some(replay).filter(|_| !is_done))
}

/// Tells an event to an endpoint again. False when it is being told anyway.
fn tell(tx: &mut WriteTx, client: ClientId, endpoint: &Endpoint, envelope: &Envelope) -> Result<bool> {
    match told_before(tx, endpoint, envelope.id)? {
        None => send_to(tx, client, endpoint, envelope, Lane::Low).map(|_| true),
        Some((_, false)) => Ok(false),
        Some((delivery, true)) => {
            queue_up(tx, client, endpoint.id, envelope, delivery)?;
            tx.redeliver(delivery)?;
            Ok(true)
        }
    }
}

/// The delivery of an event to an endpoint, and whether it has come to its end.
fn told_before(tx: &ReadTx, endpoint: &Endpoint, event: EventId) -> Result<Option<(DeliveryId, bool)>> {
    let target = endpoint.id.to_string();
    for row in tx.scan_index(&DELIVERIES, "events.by_event", Scan::prefix(&event)) {
        let ((_, id), row) = row?;
        if row.listener == KIND && row.target == target {
            return Ok(Some((id, row.state.is_end())));
        }
    }
    Ok(None)
}

/// Before every id of this instant or later: ids begin with the milliseconds of their making.
fn first_id(at: Time) -> EventId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.millis().max(0).cast_unsigned().to_be_bytes()[2..]);
    EventId::from_bytes(bytes)
}
