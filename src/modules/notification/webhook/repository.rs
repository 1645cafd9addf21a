//! What is stored of endpoints, and whose turn it is.

use super::{
    KIND,
    model::{Endpoint, WebhookEndpointId},
};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    error::Result,
    events::{
        delivery::{DELIVERIES, Delivery, DeliveryId},
        event::Envelope,
        outbox::EVENTS,
    },
    store::{Index, Key as _, ReadTx, Scan, Table, WriteTx},
};

/// (client, external id) → endpoint
pub const BY_EXTERNAL_ID: &str = "notification.webhook_endpoints_by_external_id";

/// (client, endpoint) → where to, what, and how well it is.
pub const ENDPOINTS: Table<(ClientId, WebhookEndpointId), Endpoint> =
    Table::new("notification.webhook_endpoints").with_indexes(&[
        by_external_id(BY_EXTERNAL_ID),
        // when → endpoints with something to do then
        Index::listing("notification.webhook_endpoints_due", |_, row| {
            row.due().iter().map(|it| it.to_key()).collect()
        }),
    ]);

/// (client, endpoint, what it is about, delivery) → nothing: the messages about one thing that have not come to their
/// end, in the order of their events. Only the first one is sent.
pub const ORDER: Table<(ClientId, WebhookEndpointId, String, DeliveryId), ()> =
    Table::new("notification.webhook_order");

/// How many messages that wait are looked at in one transaction.
const LOOKED_AT: usize = 500;

/// The endpoint a delivery goes to; `None` when it was deleted.
pub fn endpoint_of(tx: &ReadTx, client: Option<ClientId>, target: &str) -> Result<Option<Endpoint>> {
    match client.zip(target.parse().ok()) {
        Some(key) => tx.get(&ENDPOINTS, &key),
        None => Ok(None),
    }
}

/// Puts a message behind the others about the same thing.
pub fn queue_up(
    tx: &mut WriteTx,
    client: ClientId,
    endpoint: WebhookEndpointId,
    envelope: &Envelope,
    delivery: DeliveryId,
) -> Result<()> {
    tx.put(&ORDER, &(client, endpoint, envelope.entity.clone(), delivery), &())
}

/// The message that has to come to its end before `delivery` is sent. One that was asked for again stands in no
/// queue.
pub fn waits_for(
    tx: &ReadTx,
    client: ClientId,
    endpoint: WebhookEndpointId,
    entity: &str,
    delivery: DeliveryId,
) -> Result<Option<DeliveryId>> {
    if !tx.exists(&ORDER, &(client, endpoint, entity.to_owned(), delivery))? {
        return Ok(None);
    }
    let first = tx.scan(&ORDER, Scan::prefix(&(client, endpoint, entity.to_owned()))).next().transpose()?;
    Ok(first.map(|((_, _, _, first), ())| first).filter(|it| *it != delivery))
}

/// Takes a message that came to its end out of its queue. Which one is next.
pub fn step_aside(
    tx: &mut WriteTx,
    client: ClientId,
    endpoint: WebhookEndpointId,
    delivery: DeliveryId,
    row: &Delivery,
) -> Result<Option<DeliveryId>> {
    let Some(envelope) = row.event.map_or(Ok(None), |it| tx.get(&EVENTS, &(client, it)))? else {
        return Ok(None);
    };
    tx.delete(&ORDER, &(client, endpoint, envelope.entity.clone(), delivery))?;
    let next = tx.scan(&ORDER, Scan::prefix(&(client, endpoint, envelope.entity))).next().transpose()?;
    Ok(next.map(|((_, _, _, next), ())| next))
}

/// The oldest messages that wait for the endpoint and whose turn it is, behind `after`, at most `limit`; and the last
/// one looked at, when there may be more.
pub fn waiting(
    tx: &ReadTx,
    client: ClientId,
    endpoint: WebhookEndpointId,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<(Vec<DeliveryId>, Option<DeliveryId>)> {
    let prefix = (KIND.to_owned(), endpoint.to_string());
    let mut scan = Scan::prefix(&prefix);
    if let Some(after) = after {
        scan = scan.after((prefix.0, prefix.1, client, after).to_key());
    }
    let (mut found, mut last) = (vec![], None);
    for (looked_at, blocked) in tx.scan_index(&DELIVERIES, "events.blocked", scan).enumerate() {
        if found.len() == limit || looked_at == LOOKED_AT {
            return Ok((found, last));
        }
        let ((_, delivery), row) = blocked?;
        last = Some(delivery);
        let envelope = row.event.map_or(Ok(None), |it| tx.get(&EVENTS, &(client, it)))?;
        let entity = envelope.map(|it| it.entity).unwrap_or_default();
        if waits_for(tx, client, endpoint, &entity, delivery)?.is_none() {
            found.push(delivery);
        }
    }
    Ok((found, None))
}

/// Whoever stands in a queue is still to be sent: what has come to its end must hold up nothing.
pub fn check_order(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for row in tx.scan(&ORDER, Scan::all()) {
        let ((client, endpoint, _, delivery), ()) = row?;
        if tx.get(&DELIVERIES, &(client, delivery))?.is_none_or(|it| it.state.is_end()) {
            wrong.push(format!("{delivery} is at its end and holds up what comes after it to {endpoint}"));
        }
    }
    Ok(wrong)
}
