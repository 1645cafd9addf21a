//! Opening a database file, and everything that can be wrong with it.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use redb::{ConcurrencyMode, DatabaseError, StorageBackend, StorageError};

use super::{
    codec,
    engine::{CommitMode, Engine, EngineError},
    redb_engine::{RedbEngine, RedbReader},
    write_set::WriteSet,
};

/// What this release calls the layout of keys and rows. Counted up when an older release could misread a file.
pub const LAYOUT: u32 = 1;
const LAYOUT_TABLE: &str = "kernel.store";
const LAYOUT_KEY: &[u8] = b"layout";

/// A lock is often that of the process just stopped, which is still closing.
const LOCK_TRIES: u32 = 5;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

pub type OpenResult<T> = Result<T, OpenError>;

/// Why a database did not open, with what to do about it. [`OpenError::exit_code`] says what a command exits with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: there is no database. `coffer serve` makes one; or correct storage.path")]
    Missing { path: String },
    #[error("{path}: cannot be created: {why}. Check that the directory exists and belongs to this user")]
    CannotCreate { path: String, why: String },
    #[error("{path}: cannot be read: {why}. Check its owner and mode")]
    Unreadable { path: String, why: String },
    #[error("{path}: another process has it open. Stop that one, or ask it through its socket")]
    Locked { path: String },
    #[error("{path}: is empty, so it was truncated. Restore a backup, or delete the file to begin anew")]
    Truncated { path: String },
    #[error("{path}: is not a Coffer database. Correct storage.path")]
    Foreign { path: String },
    #[error("{path}: was written in layout {found}, this release knows {known}. Run the newer release")]
    Newer { path: String, found: u32, known: u32 },
    #[error("{path}: is damaged: {why}. Restore a backup, and keep this file for examination")]
    Corrupted { path: String, why: String },
    #[error("{path}: is in the old file format {found}. Restore a backup into a new file")]
    UpgradeRequired { path: String, found: u8 },
    #[error("{path}: was not closed. Start the server once, or repeat the command with --recover")]
    NeedsRecovery { path: String },
}

impl OpenError {
    /// After sysexits.h, so that a supervisor can tell "restart" from "restarting cannot help".
    pub fn exit_code(&self) -> u8 {
        match self {
            OpenError::Truncated { .. }
            | OpenError::Foreign { .. }
            | OpenError::Corrupted { .. }
            | OpenError::UpgradeRequired { .. } => 65,
            OpenError::Missing { .. } => 66,
            OpenError::Locked { .. } => 69,
            OpenError::CannotCreate { .. } => 73,
            OpenError::NeedsRecovery { .. } => 75,
            OpenError::Unreadable { .. } => 77,
            OpenError::Newer { .. } => 78,
        }
    }
}

/// Opens a file for writing. Where none exists, makes one if `create` says so.
pub(super) fn open_file(
    path: &Path,
    create: bool,
    mode: CommitMode,
    cache: usize,
) -> Result<RedbEngine, OpenError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && create => make_file(path, mode, cache)?,
        Err(error) => return Err(from_io(path, error)),
        Ok(found) if found.len() == 0 => return Err(OpenError::Truncated { path: show(path) }),
        Ok(_) => {}
    }
    let sharing = concurrency(mode);
    let database = retry_locked(|| builder(cache, sharing, path).open(path), path)?;
    let engine = RedbEngine::new(database, mode, Some(path.to_owned()));
    match layout(&engine, path)? {
        Some(_) => Ok(engine),
        None => Err(OpenError::Foreign { path: show(path) }),
    }
}

/// Opens a file for reading, even while a server in safe mode writes it.
pub(super) fn open_read_only(path: &Path, cache: usize) -> Result<RedbReader, OpenError> {
    let found = std::fs::metadata(path).map_err(|error| from_io(path, error))?;
    if found.len() == 0 {
        return Err(OpenError::Truncated { path: show(path) });
    }
    let open = || builder(cache, ConcurrencyMode::SingleWriter, path).open_read_only(path);
    let reader = RedbReader::new(retry_locked(open, path)?, path.to_owned());
    match layout(&reader, path)? {
        Some(_) => Ok(reader),
        None => Err(OpenError::Foreign { path: show(path) }),
    }
}

/// Opens whatever stores bytes: memory, or the failing disk of a test. An empty one becomes a new database. Without
/// byte-range locks no other process can share it, so that it opens exclusively, in the given commit mode all the same.
pub(super) fn open_backend(
    backend: impl StorageBackend,
    mode: CommitMode,
    cache: usize,
) -> Result<RedbEngine, OpenError> {
    let path = Path::new("(not a file)");
    let first_byte = std::ops::Bound::Included(0);
    let has_locks = backend.query_lock_range(first_byte, first_byte).is_ok();
    let sharing = if has_locks { concurrency(mode) } else { ConcurrencyMode::ExclusiveWriter };
    let database = builder(cache, sharing, path).create_with_backend(backend);
    let engine = RedbEngine::new(database.map_err(|error| from_redb(path, error))?, mode, None);
    if layout(&engine, path)?.is_none() {
        engine.commit(&birth()).map_err(|error| damaged(path, &error))?;
    }
    Ok(engine)
}

/// Makes a database beside its place and then gives it its name, so that a crash leaves no half of one there.
fn make_file(path: &Path, mode: CommitMode, cache: usize) -> Result<(), OpenError> {
    let cannot = |why: String| OpenError::CannotCreate { path: show(path), why };
    let mut young = path.as_os_str().to_owned();
    young.push(".new");
    let young = PathBuf::from(young);
    match std::fs::remove_file(&young) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot(error.to_string())),
        _ => {}
    }
    let make = || -> Result<(), String> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&young);
        let file = file.map_err(|error| error.to_string())?;
        let backend = redb::backends::FileBackend::new(file).map_err(|error| error.to_string())?;
        let database = builder(cache, ConcurrencyMode::ExclusiveWriter, path).create_with_backend(backend);
        let engine = Box::new(RedbEngine::new(database.map_err(|error| error.to_string())?, mode, None));
        engine.commit(&birth()).map_err(|error| error.to_string())?;
        engine.close().map_err(|error| error.to_string())?;
        // Unlike a rename, a link never replaces a database that somebody else made meanwhile.
        std::fs::hard_link(&young, path).map_err(|error| error.to_string())?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|directory| directory.sync_all()).map_err(|error| error.to_string())
    };
    let made = make();
    let _ = std::fs::remove_file(&young); // left behind it does no harm, and the next attempt removes it
    made.map_err(cannot)
}

fn birth() -> WriteSet {
    let mut writes = WriteSet::default();
    writes.put(LAYOUT_TABLE, LAYOUT_KEY.to_vec(), codec::encode(&LAYOUT));
    writes
}

/// The layout the database was written in, refused when it is unknown; `None` when it says nothing.
fn layout(engine: &dyn Engine, path: &Path) -> Result<Option<u32>, OpenError> {
    let stored = engine.snapshot().and_then(|snapshot| snapshot.get(LAYOUT_TABLE, LAYOUT_KEY));
    let Some(stored) = stored.map_err(|error| damaged(path, &error))? else { return Ok(None) };
    match codec::decode::<u32>(&stored) {
        Ok(found) if found > LAYOUT => Err(OpenError::Newer { path: show(path), found, known: LAYOUT }),
        Ok(found) => Ok(Some(found)),
        Err(error) => Err(OpenError::Corrupted { path: show(path), why: error.to_string() }),
    }
}

fn concurrency(mode: CommitMode) -> ConcurrencyMode {
    match mode {
        CommitMode::Safe => ConcurrencyMode::SingleWriter,
        CommitMode::Fast => ConcurrencyMode::ExclusiveWriter,
    }
}

fn builder(cache: usize, sharing: ConcurrencyMode, path: &Path) -> redb::Builder {
    let mut builder = redb::Builder::new();
    let path = show(path);
    builder.set_cache_size(cache).set_concurrency_mode(sharing).set_repair_callback(move |repair| {
        tracing::warn!(
            path,
            percent = (repair.progress() * 100.0).round(),
            "repairing after an unclean stop"
        );
    });
    builder
}

fn retry_locked<T>(open: impl Fn() -> Result<T, DatabaseError>, path: &Path) -> Result<T, OpenError> {
    let mut tries = 1;
    loop {
        match open() {
            Err(DatabaseError::DatabaseAlreadyOpen) if tries <= LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome.map_err(|error| from_redb(path, error)),
        }
    }
}

fn from_redb(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::Locked { path: show(path) }
        }
        DatabaseError::RepairAborted => OpenError::NeedsRecovery { path: show(path) },
        DatabaseError::UpgradeRequired(found) => OpenError::UpgradeRequired { path: show(path), found },
        DatabaseError::Storage(StorageError::Io(error)) => from_io(path, error),
        error => OpenError::Corrupted { path: show(path), why: error.to_string() },
    }
}

fn from_io(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::NotFound => OpenError::Missing { path: show(path) },
        ErrorKind::InvalidData => OpenError::Foreign { path: show(path) },
        ErrorKind::UnexpectedEof => OpenError::Corrupted { path: show(path), why: "it is cut short".into() },
        _ => OpenError::Unreadable { path: show(path), why: error.to_string() },
    }
}

fn damaged(path: &Path, error: &EngineError) -> OpenError {
    OpenError::Corrupted { path: show(path), why: error.to_string() }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::kernel::{
        clock::Clock,
        store::{
            store::{Store, StoreOptions},
            table::Table,
        },
    };

    const NOTES: Table<u32, u64> = Table::new("test.notes");

    fn place() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("coffer.redb");
        (directory, path)
    }
    fn open(path: &Path, create: bool, commit: CommitMode) -> OpenResult<Store> {
        Store::open_file(path, create, StoreOptions { commit, ..StoreOptions::default() })
    }
    fn refused(outcome: OpenResult<Store>) -> OpenError {
        outcome.err().expect("it does not open")
    }

    #[test]
    fn a_database_closed_cleanly_opens_again_with_what_was_in_it() {
        for mode in [CommitMode::Safe, CommitMode::Fast] {
            let (_directory, path) = place();
            let store = open(&path, true, mode).unwrap();
            store.write_blocking(|tx| tx.put(&NOTES, &1, &10)).unwrap();
            store.close().unwrap();
            store.close().unwrap();
            assert!(!store.is_alive());
            let store = open(&path, false, mode).unwrap();
            assert_eq!(store.read(|tx| tx.get(&NOTES, &1)).unwrap(), Some(10));
            drop(store); // closes as well
            assert!(open(&path, false, mode).is_ok());
        }
    }

    #[test]
    fn a_new_database_is_private_and_made_only_where_none_is() {
        use std::os::unix::fs::PermissionsExt;
        let (directory, path) = place();
        assert!(matches!(refused(open(&path, false, CommitMode::Safe)), OpenError::Missing { .. }));
        drop(open(&path, true, CommitMode::Safe).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        let nowhere = directory.path().join("no/such/place");
        assert_eq!(refused(open(&nowhere, true, CommitMode::Safe)).exit_code(), 73);
    }

    #[test]
    fn what_is_no_database_is_refused_by_name() {
        let (_directory, path) = place();
        std::fs::write(&path, b"").unwrap();
        let empty = refused(open(&path, true, CommitMode::Safe));
        assert!(matches!(empty, OpenError::Truncated { .. }) && empty.exit_code() == 65, "{empty}");
        std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert_eq!(refused(open(&path, true, CommitMode::Safe)).exit_code(), 65);
        std::fs::remove_file(&path).unwrap();
        drop(redb::Database::create(&path).unwrap());
        assert!(matches!(refused(open(&path, true, CommitMode::Safe)), OpenError::Foreign { .. }));
    }

    #[test]
    fn a_file_in_a_newer_layout_is_refused() {
        let (_directory, path) = place();
        let store = open(&path, true, CommitMode::Safe).unwrap();
        store
            .write_blocking(|tx| {
                tx.raw_put(LAYOUT_TABLE, LAYOUT_KEY.to_vec(), codec::encode(&(LAYOUT + 1)));
                Ok(())
            })
            .unwrap();
        drop(store);
        let newer = refused(open(&path, false, CommitMode::Safe));
        assert!(matches!(newer, OpenError::Newer { found: 2, known: 1, .. }), "{newer}");
    }

    #[test]
    fn a_second_store_is_locked_out_and_a_reader_only_in_fast_mode() {
        for mode in [CommitMode::Safe, CommitMode::Fast] {
            let (_directory, path) = place();
            let store = open(&path, true, mode).unwrap();
            store.write_blocking(|tx| tx.put(&NOTES, &1, &10)).unwrap();
            let second = refused(open(&path, false, mode));
            assert!(matches!(second, OpenError::Locked { .. }) && second.exit_code() == 69, "{second}");
            match (mode, Store::open_read_only(&path, Clock::System)) {
                (CommitMode::Safe, Ok(reader)) => {
                    assert_eq!(reader.read(|tx| tx.get(&NOTES, &1)).unwrap(), Some(10));
                    store.write_blocking(|tx| tx.put(&NOTES, &1, &11)).unwrap();
                    assert_eq!(reader.read(|tx| tx.get(&NOTES, &1)).unwrap(), Some(11));
                    assert!(reader.write_blocking(|tx| tx.put(&NOTES, &1, &12)).is_err());
                    reader.close().unwrap();
                }
                (CommitMode::Fast, Err(OpenError::Locked { .. })) => {}
                (mode, other) => panic!("{mode:?}: {:?}", other.err()),
            }
        }
    }

    #[test]
    fn a_file_that_was_not_closed_can_be_read_only_after_recovery() {
        for mode in [CommitMode::Safe, CommitMode::Fast] {
            let (_directory, path) = place();
            let store = open(&path, true, mode).unwrap();
            store.write_blocking(|tx| tx.put(&NOTES, &1, &10)).unwrap();
            let killed = path.with_extension("killed");
            std::fs::copy(&path, &killed).unwrap(); // what a kill -9 now would leave
            let error = refused(Store::open_read_only(&killed, Clock::System));
            assert!(matches!(error, OpenError::NeedsRecovery { .. }) && error.exit_code() == 75, "{error}");
            drop(open(&killed, false, mode).unwrap());
            let reader = Store::open_read_only(&killed, Clock::System).unwrap();
            assert_eq!(reader.read(|tx| tx.get(&NOTES, &1)).unwrap(), Some(10));
        }
    }
}
