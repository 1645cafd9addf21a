//! Transactions: what a use case reads and writes through.
//!
//! A [`ReadTx`] is a snapshot with layers of changes over it. A plain read has no layers. In a [`WriteTx`] the lowest
//! layer is the batch of the writer thread, the next one the job's own overlay, and [`WriteTx::attempt`] adds more.
//! Reads go from the top down, so that a job reads its own writes and those of the jobs before it.

use std::{
    any::Any,
    collections::{BTreeMap, HashSet},
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{
    codec::{ROW_LIMIT, Row},
    engine::{Entry, Snapshot},
    gather::{self, Gather, Gathered},
    key::Key,
    limit::ReadLimit,
    names::Beside,
    random::Random,
    scan::{Merge, Scan},
    table::{IndexKind, Table},
    write_set::{Fate, WriteSet},
};
use crate::kernel::{
    clock::Time,
    error::{Result, fault},
    id::{Id, IdSource},
};

pub struct ReadTx {
    snapshot: Box<dyn Snapshot>,
    /// The lowest first.
    layers: Vec<WriteSet>,
    now: Time,
    limit: ReadLimit,
    /// Where the tables are that are not here.
    beside: Option<Arc<Beside>>,
}

impl ReadTx {
    /// Reads where `module` keeps its tables: here, or what is committed now in the file they are in. What is read
    /// there may have changed when this transaction is committed: for words and wishes, never for money.
    pub fn at<T>(&self, module: &str, f: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        match self.beside.as_ref().and_then(|it| it.of(module)) {
            Some(other) => other.read(f),
            None => f(self),
        }
    }

    /// The one instant of this transaction. Never before that of an earlier transaction of this process.
    pub fn now(&self) -> Time {
        self.now
    }

    pub fn get<K: Key, V: Row>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>> {
        let key = key.to_key();
        self.limit.check()?;
        match self.changed(table.name, &key) {
            Some(change) => change.map(|bytes| table.read_row(&key, bytes)).transpose(),
            None => {
                let bytes = self.snapshot.get(table.name, &key)?;
                bytes.map(|bytes| table.read_row(&key, &bytes)).transpose()
            }
        }
    }

    pub fn exists<K: Key, V: Row>(&self, table: &Table<K, V>, key: &K) -> Result<bool> {
        Ok(self.raw_get(table.name, &key.to_key())?.is_some())
    }

    /// The row that an `Index::lookup` has under `key`.
    pub fn find<K: Key, V: Row>(
        &self,
        table: &Table<K, V>,
        index: &str,
        key: &impl Key,
    ) -> Result<Option<(K, V)>> {
        let index = table.index(index)?;
        let Some(primary) = self.raw_get(index.name, &key.to_key())? else { return Ok(None) };
        self.row_of(table, index.name, &primary).map(Some)
    }

    /// The rows of part of a table, one by one as they are asked for.
    pub fn scan<'a, K: Key, V: Row>(
        &'a self,
        table: &'a Table<K, V>,
        range: Scan,
    ) -> impl Iterator<Item = Result<(K, V)>> + 'a {
        self.entries(table.name, &range).map(|entry| {
            let (key, row) = entry?;
            Ok((table.read_key(&key)?, table.read_row(&key, &row)?))
        })
    }

    /// The rows of part of an `Index::listing`, in its order.
    pub fn scan_index<'a, K: Key, V: Row>(
        &'a self,
        table: &'a Table<K, V>,
        index: &str,
        range: Scan,
    ) -> impl Iterator<Item = Result<(K, V)>> + 'a {
        let (index, unknown) = match table.index(index) {
            Ok(index) => (Some(index), None),
            Err(unknown) => (None, Some(Err(unknown))),
        };
        let listed = index.into_iter().flat_map(move |index| {
            self.entries(index.name, &range).map(move |entry| {
                let (position, value) = entry?;
                self.row_of(table, index.name, index.primary(&position, &value)?)
            })
        });
        unknown.into_iter().chain(listed)
    }

    /// The stored bytes under a key: for migrations, dumps and `verify`.
    pub fn raw_get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.limit.check()?;
        match self.changed(table, key) {
            Some(change) => Ok(change.map(<[u8]>::to_vec)),
            None => Ok(self.snapshot.get(table, key)?),
        }
    }

    /// The stored keys and bytes of part of a table.
    pub fn raw_scan<'a>(
        &'a self,
        table: &str,
        range: &Scan,
    ) -> Result<impl Iterator<Item = Result<Entry>> + use<'a>> {
        let reverse = range.is_newest_first();
        let (lower, upper) = range.bounds();
        let changed = self.layers.iter().rev().map(|layer| -> Box<dyn Iterator<Item = _>> {
            let changes = layer.range(table, &lower, &upper);
            if reverse { Box::new(changes.rev()) } else { Box::new(changes) }
        });
        let bounds = (lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
        let committed = self.snapshot.range(table, bounds.0, bounds.1, reverse)?;
        let merged = Merge::new(changed.collect(), committed, reverse);
        Ok(merged.map(|entry| {
            self.limit.check()?;
            Ok(entry?)
        }))
    }

    /// The names of all tables that are committed, indexes included, sorted.
    pub fn table_names(&self) -> Result<Vec<String>> {
        Ok(self.snapshot.tables()?)
    }

    /// How many rows of a table are committed: what the transaction itself has changed is not counted.
    pub fn committed_rows(&self, table: &str) -> Result<u64> {
        Ok(self.snapshot.rows(table)?)
    }

    pub(super) fn new(
        snapshot: Box<dyn Snapshot>,
        now: Time,
        limit: ReadLimit,
        beside: Option<Arc<Beside>>,
    ) -> ReadTx {
        ReadTx { snapshot, layers: Vec::new(), now, limit, beside }
    }

    /// What the topmost layer that changed a key made of it; `None` when none did.
    fn changed(&self, table: &str, key: &[u8]) -> Option<Option<&[u8]>> {
        self.layers.iter().rev().find_map(|layer| layer.get(table, key))
    }

    fn entries<'a>(&'a self, table: &str, range: &Scan) -> impl Iterator<Item = Result<Entry>> + use<'a> {
        let (entries, error) = match self.raw_scan(table, range) {
            Ok(entries) => (Some(entries), None),
            Err(error) => (None, Some(Err(error))),
        };
        error.into_iter().chain(entries.into_iter().flatten())
    }

    fn row_of<K: Key, V: Row>(&self, table: &Table<K, V>, index: &str, primary: &[u8]) -> Result<(K, V)> {
        let key = table.read_key(primary)?;
        let row = self.get(table, &key)?;
        row.map(|row| (key, row))
            .ok_or_else(|| fault!("index {index} leads to a row that is not there: run verify"))
    }
}

/// Runs once the changes are durable.
pub(super) type Hook = Box<dyn FnOnce() + Send>;

/// Something that hangs on every write transaction of a store, or on one while something runs.
pub(super) type Extension = Arc<dyn Any + Send + Sync>;

pub struct WriteTx {
    read: ReadTx,
    ids: IdSource,
    random: Random,
    /// With a name, those of which one is enough.
    hooks: Vec<(Option<&'static str>, Hook)>,
    /// What is written at the end of the job.
    gathered: Vec<Gathered>,
    /// First the store's own, then what was hung on this transaction.
    extensions: Vec<Extension>,
    /// How many of them are the store's own.
    own_extensions: usize,
    /// The ids made, once somebody wants to know.
    made_ids: Option<HashSet<[u8; 16]>>,
}

impl WriteTx {
    /// Stores a row, and its index entries, in place of what was under the key.
    pub fn put<K: Key, V: Row>(&mut self, table: &Table<K, V>, key: &K, row: &V) -> Result<()> {
        self.check_home(table.name)?;
        let bytes = encoded(table, row)?;
        if !table.indexes.is_empty() {
            let before = self.get(table, key)?;
            self.reindex_row(table, key, before.as_ref(), Some(row))?;
        }
        self.raw_put(table.name, key.to_key(), bytes);
        Ok(())
    }

    /// Stores a row under a key that no row has: a fresh id. Cheaper than [`WriteTx::put`], which reads the row before
    /// to find out which index entries go.
    pub fn insert<K: Key, V: Row>(&mut self, table: &Table<K, V>, key: &K, row: &V) -> Result<()> {
        debug_assert!(!self.exists(table, key)?, "table {}: there is such a row", table.name);
        self.check_home(table.name)?;
        let bytes = encoded(table, row)?;
        self.reindex_row(table, key, None, Some(row))?;
        self.raw_put(table.name, key.to_key(), bytes);
        Ok(())
    }

    /// Whether there was such a row.
    pub fn delete<K: Key, V: Row>(&mut self, table: &Table<K, V>, key: &K) -> Result<bool> {
        if table.indexes.is_empty() {
            if !self.exists(table, key)? {
                return Ok(false);
            }
        } else {
            let Some(before) = self.get(table, key)? else { return Ok(false) };
            self.reindex_row(table, key, Some(&before), None)?;
        }
        self.raw_delete(table.name, key.to_key());
        Ok(true)
    }

    /// A new id, greater than every one this process made before.
    pub fn new_id<I: Id>(&mut self) -> I {
        let millis = self.now().millis();
        let id = I::from_bytes(self.ids.next(millis, &mut self.random));
        self.note_id(id);
        id
    }

    /// Makes every later id greater than `id`, which another process may have made: for what is kept in their order.
    pub fn ids_after(&mut self, id: impl Id) {
        self.ids.go_on_after(id.bytes());
    }

    /// Counts an id among those made here that is computed from what it names, such as a number.
    pub fn note_id(&mut self, id: impl Id) {
        if let Some(made) = &mut self.made_ids {
            made.insert(id.bytes());
        }
    }

    /// Remembers the ids it makes from now on, or no longer does. The jobs of a batch share the transaction: whoever
    /// begins ends it too.
    pub fn note_ids(&mut self, on: bool) {
        self.made_ids = on.then(HashSet::new);
    }

    /// Whether these are the bytes of an id made since [`WriteTx::note_ids`].
    pub fn has_made(&self, id: &[u8; 16]) -> bool {
        self.made_ids.as_ref().is_some_and(|it| it.contains(id))
    }

    pub fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        self.random.bytes()
    }

    /// Runs `f` on an overlay of its own: `Ok` keeps what it wrote, `Err` drops it, and everything before stays.
    pub fn attempt<T>(&mut self, f: impl FnOnce(&mut WriteTx) -> Result<T>) -> Result<T> {
        let mark = self.mark();
        self.layers.push(WriteSet::default());
        let outcome = f(self);
        match outcome {
            Ok(_) => self.keep(mark),
            Err(_) => self.drop_to(mark),
        }
        outcome
    }

    /// How many keys (those of indexes included) and how many bytes this job has changed so far.
    pub fn written(&self) -> (usize, usize) {
        let own = self.layers.iter().skip(1);
        own.fold((0, 0), |(rows, bytes), layer| (rows + layer.rows(), bytes + layer.bytes()))
    }

    /// Runs `f` after the commit and before the answer, on the writer thread: keep it short. Dropped with the overlay
    /// it was said on.
    pub fn on_commit(&mut self, f: Box<dyn FnOnce() + Send>) {
        self.hooks.push((None, f));
    }

    /// The same, once for a commit, however many in it say so under this name: ringing a bell.
    pub fn on_commit_once(&mut self, name: &'static str, f: impl FnOnce() + Send + 'static) {
        if !self.hooks.iter().any(|it| it.0 == Some(name)) {
            self.hooks.push((Some(name), Box::new(f)));
        }
    }

    /// Puts something aside, to be written with the others of its kind at the end of the job. Dropped with the overlay
    /// it was put aside on.
    pub fn gather<T: Gather>(&mut self, thing: T) {
        self.gathered.push(Gathered::new(thing));
    }

    /// The last thing of type `T` that was hung on this transaction, or on the store (see `Store::extend`).
    pub fn extension<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let found = self.extensions.iter().rev().find(|it| (***it).is::<T>())?;
        found.clone().downcast().ok()
    }

    /// Hangs something on this transaction until [`WriteTx::unhang`] is given what this returned.
    pub fn hang<T: Any + Send + Sync>(&mut self, extension: T) -> usize {
        self.extensions.push(Arc::new(extension));
        self.extensions.len() - 1
    }

    pub fn unhang(&mut self, mark: usize) {
        self.extensions.truncate(mark.max(self.own_extensions));
    }

    /// Stores bytes past the indexes: for migrations, which then call [`WriteTx::reindex`].
    pub fn raw_put(&mut self, table: &'static str, key: Vec<u8>, bytes: Vec<u8>) {
        self.top().put(table, key, bytes);
    }

    pub fn raw_delete(&mut self, table: &'static str, key: Vec<u8>) {
        self.top().delete(table, key);
    }

    /// Makes the indexes of a table anew from its rows, for instance after a migration has added one.
    pub fn reindex<K: Key, V: Row>(&mut self, table: &Table<K, V>) -> Result<()> {
        for index in table.indexes {
            let stale: Result<Vec<Entry>> = self.raw_scan(index.name, &Scan::all())?.collect();
            for (position, _) in stale? {
                self.raw_delete(index.name, position);
            }
        }
        let rows: Result<Vec<(K, V)>> = self.scan(table, Scan::all()).collect();
        rows?.iter().try_for_each(|(key, row)| self.reindex_row(table, key, None, Some(row)))
    }

    /// Makes a table and its indexes before they have a row: the first migration of a module, so that `rollback` has
    /// something to undo.
    pub fn create_table<K: Key, V: Row>(&mut self, table: &Table<K, V>) {
        let names = table.indexes.iter().map(|index| index.name);
        names.chain([table.name]).for_each(|name| self.top().decide(name, Fate::Made));
    }

    /// Deletes all rows of a table, and the table with its indexes.
    pub fn drop_table<K: Key, V: Row>(&mut self, table: &Table<K, V>) -> Result<()> {
        for name in table.indexes.iter().map(|index| index.name).chain([table.name]) {
            let keys = self.raw_scan(name, &Scan::all())?.map(|entry| entry.map(|(key, _)| key));
            for key in keys.collect::<Result<Vec<_>>>()? {
                self.raw_delete(name, key);
            }
            self.top().decide(name, Fate::Dropped);
        }
        Ok(())
    }

    /// How many keys of each table this job has deleted so far, indexes included.
    pub fn deleted(&self) -> BTreeMap<String, usize> {
        let mut deleted = BTreeMap::new();
        for (table, changes) in self.layers.iter().skip(1).flat_map(WriteSet::tables) {
            let gone = changes.values().filter(|it| it.is_none()).count();
            if gone > 0 {
                *deleted.entry(table.to_owned()).or_default() += gone;
            }
        }
        deleted
    }

    /// A put into a table of another file would otherwise be noticed only when the whole batch is committed.
    fn check_home(&self, table: &str) -> Result<()> {
        Ok(self.snapshot.check_home(table)?)
    }

    fn reindex_row<K: Key, V: Row>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        before: Option<&V>,
        after: Option<&V>,
    ) -> Result<()> {
        for index in table.indexes {
            let old = before.map_or_else(Vec::new, |row| index.entries(key, row));
            let new = after.map_or_else(Vec::new, |row| index.entries(key, row));
            for (position, value) in &new {
                if old.iter().any(|(known, _)| known == position) {
                    continue;
                }
                if index.kind == IndexKind::Lookup && self.raw_get(index.name, position)?.is_some() {
                    return Err(fault!("index {}: another row has this key already", index.name));
                }
                self.raw_put(index.name, position.clone(), value.clone());
            }
            for (position, _) in old {
                if !new.iter().any(|(kept, _)| *kept == position) {
                    self.raw_delete(index.name, position);
                }
            }
        }
        Ok(())
    }

    fn top(&mut self) -> &mut WriteSet {
        self.layers.last_mut().expect("a write transaction has a layer from its first moment")
    }
}

fn encoded<K: Key, V: Row>(table: &Table<K, V>, row: &V) -> Result<Vec<u8>> {
    let bytes = row.encode_row();
    if bytes.len() > ROW_LIMIT {
        return Err(fault!("table {}: a row of {} bytes, {ROW_LIMIT} is the limit", table.name, bytes.len()));
    }
    Ok(bytes)
}

/// How the writer thread runs a batch of jobs on one transaction.
impl WriteTx {
    pub(super) fn new(read: ReadTx, ids: IdSource, random: Random, extensions: Vec<Extension>) -> WriteTx {
        let own_extensions = extensions.len();
        let (hooks, gathered, made_ids) = Default::default();
        let mut tx = WriteTx { read, ids, random, hooks, gathered, extensions, own_extensions, made_ids };
        tx.layers.push(WriteSet::default());
        tx
    }

    /// Begins a job: an overlay of its own and the time it is for it.
    pub(super) fn begin(&mut self, now: Time) -> Mark {
        let mark = self.mark();
        self.unhang(0);
        self.now = now;
        self.layers.push(WriteSet::default());
        mark
    }

    /// Writes what the job gathered.
    pub(super) fn settle(&mut self) -> Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        gather::write_all(self, gathered)
    }

    /// Merges all overlays above the mark into the layer below.
    pub(super) fn keep(&mut self, mark: Mark) {
        while self.layers.len() > mark.layers {
            let above = self.layers.pop().unwrap_or_default();
            self.top().merge(above);
        }
    }

    /// Drops all overlays above the mark, what they gathered, and what they wanted done after the commit.
    pub(super) fn drop_to(&mut self, mark: Mark) {
        self.layers.truncate(mark.layers);
        self.hooks.truncate(mark.hooks);
        self.gathered.truncate(mark.gathered);
    }

    pub(super) fn batch(&self) -> &WriteSet {
        &self.layers[0]
    }

    pub(super) fn finish(self) -> (IdSource, Random, Vec<Hook>) {
        (self.ids, self.random, self.hooks.into_iter().map(|it| it.1).collect())
    }

    fn mark(&self) -> Mark {
        Mark { layers: self.layers.len(), hooks: self.hooks.len(), gathered: self.gathered.len() }
    }
}

/// How far back to go when an overlay is dropped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    layers: usize,
    hooks: usize,
    gathered: usize,
}

impl Deref for WriteTx {
    type Target = ReadTx;
    fn deref(&self) -> &ReadTx {
        &self.read
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::store::{Store, StoreOptions};

    const NOTES: Table<u32, u64> = Table::new("test.notes");

    struct NoteId([u8; 16]);
    impl std::fmt::Display for NoteId {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            crate::kernel::id::show("not", &self.0, f)
        }
    }
    impl Clone for NoteId {
        fn clone(&self) -> Self {
            *self
        }
    }
    impl Copy for NoteId {}
    impl Id for NoteId {
        const PREFIX: &'static str = "not";
        fn from_bytes(bytes: [u8; 16]) -> Self {
            NoteId(bytes)
        }
        fn bytes(&self) -> [u8; 16] {
            self.0
        }
    }

    fn seeded() -> Store {
        Store::in_memory(StoreOptions { seed: Some(1), ..StoreOptions::default() })
    }

    #[test]
    fn an_attempt_that_fails_leaves_what_was_before() {
        let store = seeded();
        store
            .write_blocking(|tx| {
                tx.put(&NOTES, &1, &1)?;
                let failed: Result<()> = tx.attempt(|tx| {
                    tx.put(&NOTES, &1, &2)?;
                    tx.on_commit(Box::new(|| panic!("dropped with the overlay")));
                    tx.attempt(|tx| tx.put(&NOTES, &2, &2))?;
                    Err(fault!("changed my mind"))
                });
                assert!(failed.is_err());
                tx.attempt(|tx| tx.put(&NOTES, &3, &3))?;
                assert_eq!(tx.written(), (2, 2 * (4 + 6)), "two keys of 4 bytes, two rows of 6");
                Ok(())
            })
            .unwrap();
        let notes: Result<Vec<_>> = store.read(|tx| tx.scan(&NOTES, Scan::all()).collect());
        assert_eq!(notes.unwrap(), [(1, 1), (3, 3)]);
        assert_eq!(store.metrics().panics.get(), 0);
    }

    #[test]
    fn what_is_wanted_once_happens_once_a_commit_even_when_the_first_to_want_it_failed() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let (store, rung) = (seeded(), Arc::new(AtomicU32::new(0)));
        let bell = rung.clone();
        let want = move |tx: &mut WriteTx| {
            let bell = bell.clone();
            tx.on_commit_once("bell", move || {
                bell.fetch_add(1, Ordering::SeqCst);
            });
        };
        store
            .write_blocking(move |tx| {
                let failed: Result<()> = tx.attempt(|tx| {
                    want(tx);
                    Err(fault!("changed my mind"))
                });
                assert!(failed.is_err());
                want(tx);
                want(tx);
                tx.put(&NOTES, &1, &1)
            })
            .unwrap();
        assert_eq!(rung.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn ids_increase_from_job_to_job_and_repeat_from_a_seed() {
        let make = |store: &Store| store.write_blocking(|tx| Ok(tx.new_id::<NoteId>().bytes())).unwrap();
        let store = seeded();
        let (first, second) = (make(&store), make(&store));
        assert!(first < second);
        assert_eq!(make(&seeded())[6..], first[6..], "behind the time, the same");
    }

    #[test]
    fn a_row_over_the_limit_is_refused_before_it_is_written() {
        const BLOBS: Table<u32, Vec<u8>> = Table::new("test.blobs");
        let store = seeded();
        store.write_blocking(|tx| tx.put(&BLOBS, &1, &vec![0; ROW_LIMIT - 100])).unwrap();
        assert!(store.write_blocking(|tx| tx.put(&BLOBS, &2, &vec![0; ROW_LIMIT])).is_err());
        assert_eq!(store.read(|tx| tx.get(&BLOBS, &1)).unwrap().unwrap().len(), ROW_LIMIT - 100);
    }

    #[test]
    fn an_index_added_later_is_made_from_the_rows() {
        use crate::kernel::store::{Index, verify_tables};
        const INDEXED: Table<u32, u64> = Table::new("test.notes")
            .with_indexes(&[Index::listing("test.notes_by_value", |_, value| vec![value.to_key()])]);
        let store = seeded();
        store
            .write_blocking(|tx| (0..5).try_for_each(|key| tx.put(&NOTES, &key, &u64::from(key % 2))))
            .unwrap();
        let wrong = || store.read(|tx| verify_tables(tx, &[INDEXED.info()])).unwrap().len();
        assert_eq!(wrong(), 5);
        store.write_blocking(|tx| tx.reindex(&INDEXED)).unwrap();
        assert_eq!(wrong(), 0);
    }
}
