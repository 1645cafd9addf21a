//! Queues: what may be held back, for everybody or for one client.

use std::collections::BTreeSet;

use super::outbox::key_client;
use crate::kernel::{
    api::principal::{Actor, ClientId},
    clock::Time,
    error::Result,
    store::{
        ReadTx, Scan, Table,
        codec::{Decode, Encode, row},
    },
};

/// (queue, client) → since when nothing in it runs. The all-zero client stands for everybody.
pub const PAUSES: Table<(String, ClientId), Pause> = Table::new("events.pauses");

/// Since when a queue is held back, and by whom.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Pause {
    pub since: Time,
    pub by: Actor,
}
row!(Pause);

/// What is held back now.
#[derive(Debug, Clone, Default)]
pub struct Paused(BTreeSet<(String, Option<ClientId>)>);

impl Paused {
    pub fn read(tx: &ReadTx) -> Result<Paused> {
        let rows = tx.scan(&PAUSES, Scan::all());
        rows.map(|it| it.map(|((queue, client), _)| (queue, key_client(client))))
            .collect::<Result<_>>()
            .map(Paused)
    }

    /// Whether the queue is held back for everybody (`None`) or, that aside, for this client.
    pub fn is_paused(&self, queue: &str, client: Option<ClientId>) -> bool {
        !self.0.is_empty() && self.0.contains(&(queue.to_owned(), client.and_then(key_client)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "events.pauses",
            &Pause { since: Time::from_micros(1_795_342_000_000_000), by: Actor::System },
        );
    }
}
