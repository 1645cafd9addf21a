//! redb as the engine. Every redb table is bytes to bytes: what they mean is the business of `table.rs`.

use std::{
    borrow::Cow,
    cell::RefCell,
    ops::Bound,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use redb::{ReadableDatabase, ReadableTableMetadata, TableHandle};

use super::{
    engine::{CommitMode, Engine, EngineError, Entries, Snapshot},
    names::Names,
    write_set::{self, Fate, WriteSet},
};

type Bytes = &'static [u8];
type OpenTable = redb::ReadOnlyTable<Bytes, Bytes>;

/// A database open for writing.
pub struct RedbEngine {
    database: redb::Database,
    mode: CommitMode,
    path: Option<PathBuf>,
    names: Arc<OnceLock<Names>>,
}

/// A database open for reading only, perhaps while another process writes it.
pub struct RedbReader {
    database: redb::ReadOnlyDatabase,
    path: PathBuf,
    names: Arc<OnceLock<Names>>,
}

impl RedbEngine {
    pub fn new(database: redb::Database, mode: CommitMode, path: Option<PathBuf>) -> RedbEngine {
        RedbEngine { database, mode, path, names: Arc::default() }
    }
}

impl RedbReader {
    pub fn new(database: redb::ReadOnlyDatabase, path: PathBuf) -> RedbReader {
        RedbReader { database, path, names: Arc::default() }
    }
}

impl Engine for RedbEngine {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        RedbSnapshot::boxed(self.database.begin_read().map_err(broken)?, self.names.clone())
    }

    fn commit(&self, writes: &WriteSet) -> Result<(), EngineError> {
        #[allow(clippy::disallowed_methods, reason = "the one writer thread ends up here")]
        let mut transaction = self.database.begin_write().map_err(broken)?;
        // Only the last commit before a crash decides how fast the file opens again, so it must be set on all.
        transaction.set_quick_repair(self.mode == CommitMode::Safe);
        let mut tables: Vec<_> = writes.tables().collect();
        tables.sort_unstable_by_key(|(name, _)| *name);
        for (name, changes) in tables {
            let name = physical(&self.names, name)?;
            let mut table = transaction.open_table(definition(&name)).map_err(broken)?;
            for (key, value) in changes {
                match value {
                    Some(value) => drop(table.insert(key.as_slice(), value.as_slice()).map_err(broken)?),
                    None => drop(table.remove(key.as_slice()).map_err(broken)?),
                }
            }
        }
        for (name, fate) in writes.fates() {
            let name = physical(&self.names, name)?;
            let table = transaction.open_table(definition(&name)).map_err(broken)?;
            // Whoever wrote to it in the same batch keeps it.
            if fate == Fate::Dropped && table.is_empty().map_err(broken)? {
                transaction.delete_table(table).map_err(broken)?;
            }
        }
        transaction.commit().map_err(broken)
    }

    fn place(&self, names: Names) {
        // Said twice, the first word counts: what is open knows no other.
        let _ = self.names.set(names);
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.database.close().map_err(broken)
    }

    fn file_bytes(&self) -> Option<u64> {
        Some(std::fs::metadata(self.path.as_ref()?).ok()?.len())
    }
}

impl Engine for RedbReader {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        RedbSnapshot::boxed(self.database.begin_read().map_err(broken)?, self.names.clone())
    }

    fn commit(&self, _: &WriteSet) -> Result<(), EngineError> {
        Err(EngineError::Broken("it was opened for reading only".into()))
    }

    fn place(&self, names: Names) {
        // Said twice, the first word counts: what is open knows no other.
        let _ = self.names.set(names);
    }

    fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.database.close().map_err(broken)
    }

    fn file_bytes(&self) -> Option<u64> {
        Some(std::fs::metadata(&self.path).ok()?.len())
    }
}

struct RedbSnapshot {
    transaction: redb::ReadTransaction,
    /// The tables read so far, with `None` for those that do not exist: opening one costs a lookup.
    open: RefCell<Vec<(String, Option<OpenTable>)>>,
    names: Arc<OnceLock<Names>>,
}

impl RedbSnapshot {
    fn boxed(
        transaction: redb::ReadTransaction,
        names: Arc<OnceLock<Names>>,
    ) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(Box::new(RedbSnapshot { transaction, open: RefCell::default(), names }))
    }

    /// What `read` returns for the table, or `None` when there is no such table.
    fn with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&OpenTable) -> Result<T, redb::StorageError>,
    ) -> Result<Option<T>, EngineError> {
        let mut open = self.open.borrow_mut();
        let place = match open.iter().position(|(known, _)| known == name) {
            Some(place) => place,
            None => {
                let physical = physical(&self.names, name)?;
                let table = match self.transaction.open_table(definition(&physical)) {
                    Ok(table) => Some(table),
                    Err(redb::TableError::TableDoesNotExist(_)) => None,
                    Err(error) => return Err(broken(error)),
                };
                open.push((name.to_owned(), table));
                open.len() - 1
            }
        };
        open[place].1.as_ref().map(read).transpose().map_err(broken)
    }
}

impl Snapshot for RedbSnapshot {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.with(table, |table| Ok(table.get(key)?.map(|value| value.value().to_vec())))?;
        Ok(found.flatten())
    }

    fn range(
        &self,
        table: &str,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Entries<'_>, EngineError> {
        if write_set::is_empty((lower, upper)) {
            return Ok(Box::new(std::iter::empty()));
        }
        let Some(range) = self.with(table, |table| table.range::<&[u8]>((lower, upper)))? else {
            return Ok(Box::new(std::iter::empty()));
        };
        let copy =
            |entry: Result<(redb::AccessGuard<Bytes>, redb::AccessGuard<Bytes>), redb::StorageError>| {
                let (key, value) = entry.map_err(broken)?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            };
        Ok(if reverse { Box::new(range.rev().map(copy)) } else { Box::new(range.map(copy)) })
    }

    fn check_home(&self, table: &str) -> Result<(), EngineError> {
        physical(&self.names, table).map(drop)
    }

    fn tables(&self) -> Result<Vec<String>, EngineError> {
        let handles = self.transaction.list_tables().map_err(broken)?;
        let logical = |name: String| match self.names.get() {
            Some(names) => names.logical(name),
            None => name,
        };
        let mut names: Vec<String> = handles.map(|table| logical(table.name().to_owned())).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn rows(&self, table: &str) -> Result<u64, EngineError> {
        Ok(self.with(table, |table| table.len())?.unwrap_or(0))
    }
}

fn physical<'t>(names: &OnceLock<Names>, table: &'t str) -> Result<Cow<'t, str>, EngineError> {
    names.get().map_or(Ok(Cow::Borrowed(table)), |names| names.physical(table))
}

fn definition(name: &str) -> redb::TableDefinition<'_, Bytes, Bytes> {
    redb::TableDefinition::new(name)
}

fn broken(error: impl Into<redb::Error>) -> EngineError {
    match error.into() {
        redb::Error::DatabaseClosed => EngineError::Closed,
        error => EngineError::Broken(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> RedbEngine {
        let database =
            redb::Builder::new().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        RedbEngine::new(database, CommitMode::Fast, None)
    }

    #[test]
    fn a_table_is_made_without_a_row_and_dropped_once_it_is_empty() {
        let engine = engine();
        let tables = || engine.snapshot().unwrap().tables().unwrap();
        let decided = |fate| {
            let mut writes = WriteSet::default();
            writes.decide("t", fate);
            writes
        };
        engine.commit(&decided(Fate::Made)).unwrap();
        assert_eq!(tables(), ["t"]);
        let mut refilled = decided(Fate::Dropped);
        refilled.put("t", vec![1], vec![10]);
        engine.commit(&refilled).unwrap();
        assert_eq!(tables(), ["t"]);
        let mut emptied = decided(Fate::Dropped);
        emptied.delete("t", vec![1]);
        engine.commit(&emptied).unwrap();
        assert_eq!(tables(), Vec::<String>::new());
        // A table that never was is dropped too.
        engine.commit(&decided(Fate::Dropped)).unwrap();
        assert_eq!(tables(), Vec::<String>::new());
    }

    #[test]
    fn a_snapshot_does_not_see_later_commits() {
        let engine = engine();
        let mut writes = WriteSet::default();
        writes.put("t", vec![1], vec![10]);
        writes.put("t", vec![2], vec![20]);
        engine.commit(&writes).unwrap();
        let before = engine.snapshot().unwrap();
        let mut writes = WriteSet::default();
        writes.delete("t", vec![1]);
        writes.put("new", vec![1], vec![]);
        engine.commit(&writes).unwrap();
        let after = engine.snapshot().unwrap();
        assert_eq!(before.get("t", &[1]).unwrap(), Some(vec![10]));
        assert_eq!(before.tables().unwrap(), ["t"]);
        assert_eq!(after.get("t", &[1]).unwrap(), None);
        assert_eq!(
            (before.rows("t").unwrap(), after.rows("t").unwrap(), after.rows("none").unwrap()),
            (2, 1, 0)
        );
    }
}
