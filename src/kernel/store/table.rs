//! Typed tables and their indexes.
//!
//! A table is a constant of the module that owns it:
//!
//! ```ignore
//! const HOLDS: Table<(ClientId, HoldId), Hold> = Table::new("balance.holds").with_indexes(&[
//!     Index::listing("balance.holds_by_account", |(client, _), hold| vec![(*client, hold.account).to_key()]),
//!     Index::lookup("balance.holds_by_reference", |(client, _), hold| vec![(*client, hold.reference.clone()).to_key()]),
//! ]);
//! ```
//!
//! Index entries are computed from the row and kept by `put` and `delete`, so that nobody can forget one.

use std::marker::PhantomData;

use super::{codec::Row, key::Key, tx::ReadTx, verify};
use crate::kernel::error::{Result, fault};

pub struct Table<K: 'static, V: 'static> {
    pub name: &'static str,
    pub(super) indexes: &'static [Index<K, V>],
    holds: PhantomData<fn() -> (K, V)>,
}

/// A derived table: other keys under which a row is found.
pub struct Index<K, V> {
    /// The name of its own table, such as `withdrawal.withdrawals_by_user`.
    pub name: &'static str,
    /// The keys of one row, without the primary key: none, one, or several.
    pub keys: fn(&K, &V) -> Vec<Vec<u8>>,
    pub(super) kind: IndexKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IndexKind {
    /// Key: what `keys` returned, then the primary key. Value: empty, unless the width of a primary key varies.
    Listing,
    /// Key: what `keys` returned. Value: the primary key. No two rows may share a key.
    Lookup,
}

impl<K: Key, V: Row> Table<K, V> {
    pub const fn new(name: &'static str) -> Self {
        Table { name, indexes: &[], holds: PhantomData }
    }

    pub const fn with_indexes(self, indexes: &'static [Index<K, V>]) -> Self {
        Table { name: self.name, indexes, holds: PhantomData }
    }

    /// The position of a row in a listing: its key there that starts with `prefix`. Pass it to `Scan::after` to go on
    /// behind that row. `None` when the row is not listed under the prefix.
    pub fn position(&self, index: &str, prefix: &[u8], key: &K, row: &V) -> Result<Option<Vec<u8>>> {
        let entries = self.index(index)?.entries(key, row);
        Ok(entries.into_iter().map(|(position, _)| position).filter(|it| it.starts_with(prefix)).min())
    }

    /// What there is to know about the table without its types.
    pub fn info(&self) -> TableInfo {
        let table = *self;
        TableInfo {
            name: self.name,
            index_names: self.indexes.iter().map(|index| index.name).collect(),
            verify: Box::new(move |tx| verify::verify_table(tx, &table)),
        }
    }

    pub(super) fn index(&self, name: &str) -> Result<&'static Index<K, V>> {
        let found = self.indexes.iter().find(|index| index.name == name);
        found.ok_or_else(|| fault!("table {} has no index {name}", self.name))
    }

    pub(super) fn read_key(&self, bytes: &[u8]) -> Result<K> {
        K::from_key(bytes).ok_or_else(|| fault!("table {}: {} is not one of its keys", self.name, hex(bytes)))
    }

    pub(super) fn read_row(&self, key: &[u8], bytes: &[u8]) -> Result<V> {
        V::decode_row(bytes).map_err(|error| fault!("table {}, row {}: {error}", self.name, hex(key)))
    }
}

impl<K, V> Index<K, V> {
    /// Many rows under one key, read by prefix in the order of their primary keys.
    pub const fn listing(name: &'static str, keys: fn(&K, &V) -> Vec<Vec<u8>>) -> Self {
        Index { name, keys, kind: IndexKind::Listing }
    }

    /// One row under one key. Storing a second one is a fault: look before, and refuse in the words of the contract.
    pub const fn lookup(name: &'static str, keys: fn(&K, &V) -> Vec<Vec<u8>>) -> Self {
        Index { name, keys, kind: IndexKind::Lookup }
    }
}

impl<K: Key, V> Index<K, V> {
    /// The entries of one row, key and value, sorted and without repetition.
    pub(super) fn entries(&self, key: &K, row: &V) -> Vec<(Vec<u8>, Vec<u8>)> {
        let primary = key.to_key();
        let entry = |mut listed: Vec<u8>| match self.kind {
            IndexKind::Lookup => (listed, primary.clone()),
            IndexKind::Listing => {
                listed.extend_from_slice(&primary);
                (listed, if K::WIDTH.is_some() { Vec::new() } else { primary.clone() })
            }
        };
        let mut entries: Vec<_> = (self.keys)(key, row).into_iter().map(entry).collect();
        entries.sort_unstable();
        entries.dedup();
        entries
    }

    /// The primary key that an entry leads to.
    pub(super) fn primary<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Result<&'a [u8]> {
        match (self.kind, K::WIDTH) {
            (IndexKind::Listing, Some(width)) => {
                let start = key.len().checked_sub(width);
                start
                    .map(|start| &key[start..])
                    .ok_or_else(|| fault!("index {}: {} is too short", self.name, hex(key)))
            }
            _ => Ok(value),
        }
    }
}

// Derived, these would ask the same of K and V.
impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Table<K, V> {}

/// A table without its types: what `verify`, dumps and documents go through.
pub struct TableInfo {
    pub name: &'static str,
    pub index_names: Vec<&'static str>,
    /// One line for each row that does not decode and each index entry that is missing, wrong or too many.
    pub verify: Verify,
}

impl TableInfo {
    /// The module it belongs to: what its name begins with.
    pub fn module(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }
}

pub type Verify = Box<dyn Fn(&ReadTx) -> Result<Vec<String>> + Send + Sync>;

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::{
        codec::{Decode, Encode, row},
        scan::Scan,
        store::{Store, StoreOptions},
        tx::WriteTx,
    };

    #[derive(Debug, Clone, PartialEq, Encode, Decode)]
    struct Person {
        town: String,
        passport: Option<u64>,
    }
    row!(Person);

    const PEOPLE: Table<(u8, u32), Person> = Table::new("test.people").with_indexes(&[
        Index::listing("test.people_by_town", |(client, _), person| {
            vec![(*client, person.town.clone()).to_key()]
        }),
        Index::lookup("test.people_by_passport", |_, person| {
            person.passport.iter().map(Key::to_key).collect()
        }),
    ]);
    /// With a primary key of varying width.
    const NAMED: Table<String, u64> = Table::new("test.named")
        .with_indexes(&[Index::listing("test.named_by_age", |_, age| vec![age.to_key()])]);

    fn person(town: &str, passport: Option<u64>) -> Person {
        Person { town: town.into(), passport }
    }

    fn with_store(test: impl FnOnce(&mut WriteTx) -> Result<()> + Send + 'static) {
        Store::in_memory(StoreOptions::default()).write_blocking(test).unwrap();
    }

    fn in_town(tx: &ReadTx, town: &str) -> Vec<u32> {
        let scan = Scan::prefix(&(1u8, town.to_owned())).newest_first();
        tx.scan_index(&PEOPLE, "test.people_by_town", scan).map(|found| found.unwrap().0.1).collect()
    }

    #[test]
    fn an_index_follows_its_row() {
        with_store(|tx| {
            for number in [3, 1, 2] {
                tx.put(&PEOPLE, &(1, number), &person("Graz", None))?;
            }
            tx.put(&PEOPLE, &(2, 9), &person("Graz", None))?;
            assert_eq!(in_town(tx, "Graz"), [3, 2, 1]);
            tx.put(&PEOPLE, &(1, 2), &person("Linz", None))?;
            assert!(tx.delete(&PEOPLE, &(1, 1))?);
            assert!(!tx.delete(&PEOPLE, &(1, 1))?);
            assert_eq!((in_town(tx, "Graz"), in_town(tx, "Linz")), (vec![3], vec![2]));
            Ok(())
        });
    }

    #[test]
    fn a_lookup_finds_one_row_and_refuses_a_second() {
        with_store(|tx| {
            tx.put(&PEOPLE, &(1, 1), &person("Graz", Some(77)))?;
            tx.put(&PEOPLE, &(1, 1), &person("Linz", Some(77)))?;
            let found = tx.find(&PEOPLE, "test.people_by_passport", &77u64)?;
            assert_eq!(found, Some(((1, 1), person("Linz", Some(77)))));
            assert_eq!(tx.find(&PEOPLE, "test.people_by_passport", &78u64)?, None);
            let second = tx.put(&PEOPLE, &(1, 2), &person("Graz", Some(77))).unwrap_err();
            assert!(second.to_string().contains("test.people_by_passport"), "{second}");
            assert!(tx.find(&PEOPLE, "test.people_by_shoe", &77u64).is_err());
            Ok(())
        });
    }

    #[test]
    fn a_page_goes_on_behind_the_position_of_its_last_row() {
        with_store(|tx| {
            for number in 0..10 {
                tx.put(&PEOPLE, &(1, number), &person("Graz", None))?;
            }
            let prefix = (1u8, "Graz".to_owned());
            let position = PEOPLE
                .position("test.people_by_town", &prefix.to_key(), &(1, 6), &person("Graz", None))?
                .expect("it is listed there");
            let scan = Scan::prefix(&prefix).newest_first().after(position);
            let next = tx.scan_index(&PEOPLE, "test.people_by_town", scan).next().expect("more follow")?;
            assert_eq!(next.0, (1, 5));
            Ok(())
        });
    }

    #[test]
    fn a_listing_of_keys_of_varying_width_reads_them_back() {
        with_store(|tx| {
            tx.put(&NAMED, &"Ann".to_owned(), &40)?;
            tx.put(&NAMED, &"Bartholomew".to_owned(), &40)?;
            let found: Result<Vec<_>> =
                tx.scan_index(&NAMED, "test.named_by_age", Scan::prefix(&40u64)).collect();
            assert_eq!(found?, [("Ann".to_owned(), 40), ("Bartholomew".to_owned(), 40)]);
            Ok(())
        });
    }
}
