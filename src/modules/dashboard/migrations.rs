//! What happened before anybody counted: an installation that had no dashboard starts with what its events still say.

use super::{
    counters::{COUNTERS, WAITING, count},
    facts,
};
use crate::kernel::{
    error::Result,
    events::{bus::Overheard, outbox::EVENTS},
    store::{Scan, WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "count the events that are kept", up: recount, down: forget }];

fn recount(tx: &mut WriteTx) -> Result<()> {
    let mut said = vec![];
    for row in tx.scan(&EVENTS, Scan::all()) {
        let (_, envelope) = row?;
        let facts = facts::of(&Overheard::stored(&envelope))?;
        if !facts.is_empty() {
            said.push((envelope, facts));
        }
    }
    said.into_iter().try_for_each(|(envelope, facts)| count(tx, &envelope, facts))
}

fn forget(tx: &mut WriteTx) -> Result<()> {
    let counters: Vec<_> = tx.scan(&COUNTERS, Scan::all()).map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    counters.iter().try_for_each(|key| tx.delete(&COUNTERS, key).map(drop))?;
    let waiting: Vec<_> = tx.scan(&WAITING, Scan::all()).map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    waiting.iter().try_for_each(|key| tx.delete(&WAITING, key).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::principal::{Actor, ClientId},
        clock::Time,
        events::event::{Envelope, EventId},
        id::Id as _,
        store::{Store, StoreOptions},
    };
    use crate::modules::dashboard::verify::verify;

    #[test]
    fn what_was_counted_is_counted_again_from_the_events() {
        let store = Store::in_memory(StoreOptions::default());
        let client = ClientId::from_bytes([1; 16]);
        let happened = move |number: u8, name: &str, at: Time, payload: &str| Envelope {
            id: EventId::from_bytes([number; 16]),
            name: name.to_owned(),
            version: 1,
            client: Some(client),
            occurred_at: at,
            actor: Actor::System,
            entity: "usr_00000000000000000000000000".to_owned(),
            correlation: "test".to_owned(),
            causation: None,
            depth: 0,
            payload: payload.to_owned(),
        };
        let user = r#"{"user_id":"usr_00000000000000000000000000","referred_by":null}"#;
        store
            .write_blocking(move |tx| {
                let at = tx.now();
                for number in [1, 2] {
                    let event = happened(number, "user.registered", at, user);
                    tx.put(&EVENTS, &(client, event.id), &event)?;
                }
                let other = happened(3, "user.disabled", at, "{}");
                tx.put(&EVENTS, &(client, other.id), &other)?;
                Ok(())
            })
            .unwrap();
        let wrong = || store.read(verify).unwrap();
        let counters =
            || store.read(|tx| tx.scan(&COUNTERS, Scan::all()).collect::<Result<Vec<_>>>()).unwrap();
        assert!(!wrong().is_empty(), "nobody counted them");
        store.write_blocking(recount).unwrap();
        assert_eq!(wrong(), Vec::<String>::new());
        // Of the installation and of the client: in all, by day, by hour.
        assert_eq!(counters().len(), 6);
        assert!(counters().iter().all(|(_, it)| it.times == 2));
        store.write_blocking(recount).unwrap();
        assert!(!wrong().is_empty(), "counted twice");
        store.write_blocking(forget).unwrap();
        assert_eq!(counters(), []);
    }
}
