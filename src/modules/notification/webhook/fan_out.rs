//! From an event to one message per endpoint that wants it.

use std::time::Duration;

use super::{
    KIND,
    model::Endpoint,
    repository::{ENDPOINTS, queue_up},
};
use crate::kernel::{
    api::principal::ClientId,
    error::Result,
    events::{
        delivery::{DeliveryId, Lane},
        enqueue::NewDelivery,
        event::Envelope,
    },
    store::{Scan, WriteTx},
};

/// How long a message waits for an endpoint that is disabled or does not answer.
pub const WAITS_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// Runs in the transaction that announces the event: what is refused is told to nobody.
pub fn fan_out(tx: &mut WriteTx, envelope: &Envelope) -> Result<()> {
    let Some(client) = envelope.client else { return Ok(()) };
    let endpoints = tx.scan(&ENDPOINTS, Scan::prefix(&client)).map(|it| it.map(|(_, row)| row));
    for endpoint in endpoints.collect::<Result<Vec<_>>>()? {
        // An endpoint is not told of its own troubles: it could not take it.
        if endpoint.wants(&envelope.name) && envelope.entity != endpoint.id.to_string() {
            send_to(tx, client, &endpoint, envelope, Lane::Medium)?;
        }
    }
    Ok(())
}

/// Leaves a message about an event for one endpoint.
pub fn send_to(
    tx: &mut WriteTx,
    client: ClientId,
    endpoint: &Endpoint,
    envelope: &Envelope,
    lane: Lane,
) -> Result<DeliveryId> {
    let delivery = NewDelivery::to(KIND, endpoint.id.to_string())
        .about(envelope)
        .lane(lane)
        .deliver_before(tx.now().after(WAITS_FOR));
    let id = tx.enqueue(delivery)?.id;
    queue_up(tx, client, endpoint.id, envelope, id)?;
    Ok(id)
}
