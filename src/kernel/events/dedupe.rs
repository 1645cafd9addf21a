//! One delivery per key: what makes a second one unnecessary, and for how long.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::delivery::{DELIVERIES, Delivery, DeliveryId};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::Result,
    store::{
        Index, Key, ReadTx, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

/// Which deliveries count as the same, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedupe {
    /// Keys of different namespaces never meet: `withdrawal.completed|mail`.
    pub namespace: String,
    pub key: String,
    pub policy: DedupePolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DedupePolicy {
    /// Until the first one is at its end, whichever that is.
    WhilePending,
    /// For so long from the first one on.
    Window(Duration),
    Forever,
}

/// hash of (client, namespace, key) → the delivery that holds it
pub const KEYS: Table<[u8; 16], Holder> = Table::new("events.dedupe").with_indexes(&[
    // when → keys that are free again from then on
    Index::listing("events.dedupe_until", |_, row| row.until.iter().map(Key::to_key).collect()),
]);

/// Who holds a dedupe key.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Holder {
    pub client: ClientId,
    pub delivery: DeliveryId,
    /// Free again from this instant on; `None`: not by time.
    pub until: Option<Time>,
    /// Free again when the delivery is at its end.
    pub while_pending: bool,
}
row!(Holder);

/// Each part stands behind its length, so that `a|b` + `c` and `a` + `b|c` differ.
pub fn hash(client: ClientId, dedupe: &Dedupe) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update(client.to_key());
    for part in [&dedupe.namespace, &dedupe.key] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut first = [0; 16];
    first.copy_from_slice(&digest[..16]);
    first
}

/// The delivery that holds the key now. A key is free from the instant it runs out, swept away or not.
pub fn holder(tx: &ReadTx, hash: &[u8; 16]) -> Result<Option<Holder>> {
    Ok(tx.get(&KEYS, hash)?.filter(|it| it.until.is_none_or(|until| until > tx.now())))
}

/// Lets `delivery` hold the key. Call it when [`holder`] said nobody does.
pub fn hold(
    tx: &mut WriteTx,
    hash: [u8; 16],
    client: ClientId,
    delivery: DeliveryId,
    policy: DedupePolicy,
) -> Result<()> {
    let (until, while_pending) = match policy {
        DedupePolicy::WhilePending => (None, true),
        DedupePolicy::Window(window) => (Some(tx.now().after(window)), false),
        DedupePolicy::Forever => (None, false),
    };
    tx.put(&KEYS, &hash, &Holder { client, delivery, until, while_pending })
}

/// A delivery came to its end: a key it held for that long is free.
pub fn release(tx: &mut WriteTx, id: DeliveryId, delivery: &Delivery) -> Result<()> {
    let Some(hash) = delivery.dedupe else { return Ok(()) };
    if tx.get(&KEYS, &hash)?.is_some_and(|it| it.delivery == id && it.while_pending) {
        tx.delete(&KEYS, &hash)?;
    }
    Ok(())
}

/// A delivery that was at its end is to run again: takes its key back, or says which delivery has it now.
pub fn retake(
    tx: &mut WriteTx,
    client: ClientId,
    id: DeliveryId,
    row: &Delivery,
) -> Result<Option<DeliveryId>> {
    let Some(hash) = row.dedupe else { return Ok(None) };
    match holder(tx, &hash)? {
        Some(other) if other.delivery != id => {
            let waits = tx.get(&DELIVERIES, &(other.client, other.delivery))?;
            Ok(waits.filter(|it| !it.state.is_end()).map(|_| other.delivery))
        }
        Some(_) => Ok(None),
        None => hold(tx, hash, client, id, DedupePolicy::WhilePending).map(|()| None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id, store::codec::golden};

    #[test]
    fn keys_that_differ_in_any_part_do_not_meet() {
        let of = |client: u8, namespace: &str, key: &str| {
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            hash(
                ClientId::from_bytes([client; 16]),
                &Dedupe { namespace, key, policy: DedupePolicy::Forever },
            )
        };
        let hashes = [
            of(1, "a|b", "c"),
            of(1, "a", "b|c"),
            of(2, "a", "b|c"),
            of(1, "user.created", ""),
            of(1, "user-created", ""),
            of(1, "", "user.created"),
        ];
        for (place, one) in hashes.iter().enumerate() {
            assert!(hashes[place + 1..].iter().all(|other| one != other), "{place}");
        }
        assert_eq!(of(1, "a", "b"), of(1, "a", "b"));
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "events.dedupe",
            &Holder {
                client: ClientId::from_bytes([1; 16]),
                delivery: DeliveryId::from_bytes([2; 16]),
                until: Some(Time::from_micros(1_795_342_000_000_000)),
                while_pending: true,
            },
        );
    }
}
