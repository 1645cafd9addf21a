//! The feed: a client's events in commit order, read page by page or as they happen.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    event::{Envelope, EventId},
    outbox::{EVENTS, client_key},
};
use crate::kernel::{
    api::{
        endpoint::Streamed,
        principal::{Actor, ClientId},
        stream::{Frames, frame, listen},
    },
    boot::Kernel,
    clock::Time,
    error::Result,
    store::{Key as _, ReadTx, Scan},
};

/// An event as clients see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EventOut {
    id: EventId,
    #[schema(value_type = String)]
    object: &'static str,
    r#type: String,
    version: u32,
    client_id: Option<ClientId>,
    occurred_at: Time,
    actor: Actor,
    /// The id of what it happened to.
    entity: String,
    /// The request that started the chain.
    correlation: String,
    /// The event whose listener published this one.
    causation: Option<EventId>,
    depth: u8,
    /// As the schema in `GET event-types` says.
    payload: Value,
}

impl EventOut {
    pub fn of(envelope: Envelope) -> EventOut {
        EventOut {
            id: envelope.id,
            object: "event",
            r#type: envelope.name,
            version: envelope.version,
            client_id: envelope.client,
            occurred_at: envelope.occurred_at,
            actor: envelope.actor,
            entity: envelope.entity,
            correlation: envelope.correlation,
            causation: envelope.causation,
            depth: envelope.depth,
            payload: serde_json::from_str(&envelope.payload).unwrap_or_default(),
        }
    }
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `withdrawal.requested`, or `withdrawal.*`.
    pub r#type: Option<String>,
    pub entity: Option<String>,
}

impl Wanted {
    fn includes(&self, envelope: &Envelope) -> bool {
        self.r#type.as_deref().is_none_or(|it| matches(it, &envelope.name))
            && self.entity.as_ref().is_none_or(|it| *it == envelope.entity)
    }
}

/// Whether an event's name is meant: by its whole name, by `withdrawal.*`, or by `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => (prefix.is_empty() || prefix.ends_with('.')) && name.starts_with(prefix),
        None => pattern == name,
    }
}

/// A piece of the feed.
pub struct Piece {
    pub events: Vec<Envelope>,
    /// The last event looked at, wanted or not: where the next piece begins.
    pub until: Option<EventId>,
    pub has_more: bool,
}

/// Events one page looks at before it comes back short.
const MOST_LOOKED_AT: usize = 2000;

/// The wanted events behind `after`, oldest first.
pub fn read(
    tx: &ReadTx,
    client: Option<ClientId>,
    after: Option<EventId>,
    wanted: &Wanted,
    limit: usize,
) -> Result<Piece> {
    let client = client_key(client);
    let mut scan = Scan::prefix(&client);
    if let Some(after) = after {
        scan = scan.after((client, after).to_key());
    }
    let mut piece = Piece { events: vec![], until: after, has_more: false };
    for (looked_at, row) in tx.scan(&EVENTS, scan).enumerate() {
        if piece.events.len() == limit || looked_at == MOST_LOOKED_AT {
            piece.has_more = true;
            break;
        }
        let ((_, id), envelope) = row?;
        piece.until = Some(id);
        if wanted.includes(&envelope) {
            piece.events.push(envelope);
        }
    }
    Ok(piece)
}

/// The last event of a client so far.
pub fn newest(tx: &ReadTx, client: Option<ClientId>) -> Result<Option<EventId>> {
    let newest = tx.scan(&EVENTS, Scan::prefix(&client_key(client)).newest_first()).next();
    Ok(newest.transpose()?.map(|((_, id), _)| id))
}

const PIECE: usize = 100;

/// The events behind `after`, or from now on, as they happen: server-sent events.
pub fn stream(
    kernel: Arc<Kernel>,
    client: Option<ClientId>,
    after: Option<EventId>,
    wanted: Wanted,
    stop: watch::Receiver<bool>,
) -> Result<Streamed> {
    let mut after = match after {
        Some(after) => Some(after),
        None => kernel.store.read(|tx| newest(tx, client))?,
    };
    let changes = kernel.bus.feed.subscribe();
    Ok(listen(changes, stop, Duration::ZERO, move || {
        let piece = kernel.store.read(|tx| read(tx, client, after, &wanted, PIECE))?;
        after = piece.until;
        Ok(Frames { text: piece.events.into_iter().map(shown).collect(), has_more: piece.has_more })
    }))
}

fn shown(envelope: Envelope) -> String {
    let (id, name) = (envelope.id, envelope.name.clone());
    frame(id, &name, &serde_json::to_string(&EventOut::of(envelope)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_ends_at_a_dot() {
        for (pattern, name, meant) in [
            ("withdrawal.requested", "withdrawal.requested", true),
            ("withdrawal.*", "withdrawal.requested", true),
            ("*", "withdrawal.requested", true),
            ("with*", "withdrawal.requested", false),
            ("withdrawal", "withdrawal.requested", false),
            ("withdrawal.request", "withdrawal.requested", false),
        ] {
            assert_eq!(matches(pattern, name), meant, "{pattern} {name}");
        }
    }
}
