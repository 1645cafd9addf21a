//! Numbered changes to what is stored, per module, each in one transaction and written down.
//!
//! They run before anything else does. What was applied is in `kernel.migrations`, so that an older release notices a
//! file that a newer one has changed, and refuses it instead of misreading it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    codec::{Decode, Encode, row},
    scan::Scan,
    store::Store,
    table::Table,
    tx::{ReadTx, WriteTx},
};
use crate::kernel::{
    clock::Time,
    error::{Error, Result, fault},
};

/// One step of a module. Never change one that was released: add another.
#[derive(Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3… within the module.
    pub version: u32,
    pub name: &'static str,
    pub up: fn(&mut WriteTx) -> Result<()>,
    /// Undoes `up`.
    pub down: fn(&mut WriteTx) -> Result<()>,
}

/// What was done, or what is known of one migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub module: String,
    pub version: u32,
    pub name: String,
    /// When it was applied; `None` when it is not.
    pub at: Option<Time>,
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("module {module} is at version {found}, this release knows {known}. Run the newer release")]
    Newer { module: String, found: u32, known: u32 },
    #[error(
        "migration {version} of module {module} was applied under another name than {name}. Restore its old name"
    )]
    Changed { module: String, version: u32, name: String },
    #[error("migration {version} of module {module} ({name}) failed and changed nothing: {error}")]
    Failed { module: String, version: u32, name: String, error: Error },
    #[error(transparent)]
    Store(#[from] Error),
}

impl MigrateError {
    /// See `OpenError::exit_code`.
    pub fn exit_code(&self) -> u8 {
        match self {
            MigrateError::Newer { .. } | MigrateError::Changed { .. } => 78,
            MigrateError::Failed { .. } | MigrateError::Store(_) => 70,
        }
    }
}

/// Applies, in order, what is not applied yet. What was applied before a failure stays.
pub fn migrate(
    store: &Store,
    module: &str,
    migrations: &[Migration],
) -> std::result::Result<Vec<Applied>, MigrateError> {
    let recorded = checked(store, module, migrations)?;
    let mut pending: Vec<Migration> = migrations.to_vec();
    pending.retain(|migration| !recorded.contains(&migration.version));
    pending.sort_unstable_by_key(|migration| migration.version);
    pending.into_iter().map(|migration| step(store, module, migration, Direction::Up)).collect()
}

/// Undoes the last `steps` migrations, the last first.
pub fn rollback(
    store: &Store,
    module: &str,
    steps: usize,
    migrations: &[Migration],
) -> std::result::Result<Vec<Applied>, MigrateError> {
    let last = last_applied(store, module, steps, migrations)?;
    last.into_iter().map(|migration| step(store, module, migration, Direction::Down)).collect()
}

/// How many keys of each table [`rollback`] would delete, indexes included. Nothing is changed.
pub fn rehearse_rollback(
    store: &Store,
    module: &str,
    steps: usize,
    migrations: &[Migration],
) -> std::result::Result<BTreeMap<String, usize>, MigrateError> {
    let last = last_applied(store, module, steps, migrations)?;
    let found = Arc::new(Mutex::new(Ok(BTreeMap::new())));
    let finding = found.clone();
    let name_of = |version: u32| migrations.iter().find(|it| it.version == version).map(|it| it.name);
    let outcome = store.write_blocking(move |tx| {
        let rehearsed: Result<()> = tx.attempt(|tx| {
            let failed = last.iter().find_map(|it| (it.down)(tx).err().map(|error| (it.version, error)));
            *finding.lock().unwrap_or_else(PoisonError::into_inner) = failed.map_or(Ok(tx.deleted()), Err);
            Err(fault!("a rehearsal is never kept"))
        });
        drop(rehearsed);
        Ok(())
    });
    outcome?;
    let found =
        std::mem::replace(&mut *found.lock().unwrap_or_else(PoisonError::into_inner), Ok(BTreeMap::new()));
    found.map_err(|(version, error)| MigrateError::Failed {
        module: module.to_owned(),
        version,
        name: name_of(version).unwrap_or_default().to_owned(),
        error,
    })
}

/// The last `steps` that were applied, the last first.
pub fn last_applied(
    store: &Store,
    module: &str,
    steps: usize,
    migrations: &[Migration],
) -> std::result::Result<Vec<Migration>, MigrateError> {
    let recorded = checked(store, module, migrations)?;
    let mut applied: Vec<Migration> = migrations.to_vec();
    applied.retain(|migration| recorded.contains(&migration.version));
    applied.sort_unstable_by_key(|migration| std::cmp::Reverse(migration.version));
    applied.truncate(steps);
    Ok(applied)
}

/// The migrations this release knows, by version, and when each was applied.
pub fn status(tx: &ReadTx, module: &str, migrations: &[Migration]) -> Result<Vec<Applied>> {
    let mut all = migrations
        .iter()
        .map(|migration| {
            let record = tx.get(&MIGRATIONS, &(module.to_owned(), migration.version))?;
            Ok(applied(module, migration, record.map(|record| record.at)))
        })
        .collect::<Result<Vec<_>>>()?;
    all.sort_unstable_by_key(|migration| migration.version);
    Ok(all)
}

/// What has been applied to this database.
pub const MIGRATIONS: Table<(String, u32), Record> = Table::new("kernel.migrations");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Record {
    pub name: String,
    pub at: Time,
    /// CRC32 of "module/version/name".
    pub checksum: u32,
}
row!(Record);

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

fn step(
    store: &Store,
    module: &str,
    migration: Migration,
    direction: Direction,
) -> std::result::Result<Applied, MigrateError> {
    let key = (module.to_owned(), migration.version);
    let record_checksum = checksum(module, &migration);
    let done = store.write_blocking(move |tx| match direction {
        Direction::Up => {
            (migration.up)(tx)?;
            let at = tx.now();
            tx.put(
                &MIGRATIONS,
                &key,
                &Record { name: migration.name.to_owned(), at, checksum: record_checksum },
            )?;
            Ok(Some(at))
        }
        Direction::Down => {
            (migration.down)(tx)?;
            tx.delete(&MIGRATIONS, &key)?;
            Ok(None)
        }
    });
    match done {
        Ok(at) => Ok(applied(module, &migration, at)),
        Err(error) => Err(MigrateError::Failed {
            module: module.to_owned(),
            version: migration.version,
            name: migration.name.to_owned(),
            error,
        }),
    }
}

/// The versions recorded for the module, provided that this release knows all of them under the same names.
fn checked(
    store: &Store,
    module: &str,
    migrations: &[Migration],
) -> std::result::Result<Vec<u32>, MigrateError> {
    let recorded: Vec<((String, u32), Record)> =
        store.read(|tx| tx.scan(&MIGRATIONS, Scan::prefix(&module.to_owned())).collect())?;
    for ((_, version), record) in &recorded {
        match migrations.iter().find(|migration| migration.version == *version) {
            None => {
                let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
                return Err(MigrateError::Newer { module: module.to_owned(), found: *version, known });
            }
            Some(migration) if checksum(module, migration) != record.checksum => {
                let name = migration.name.to_owned();
                return Err(MigrateError::Changed { module: module.to_owned(), version: *version, name });
            }
            Some(_) => {}
        }
    }
    Ok(recorded.into_iter().map(|((_, version), _)| version).collect())
}

fn checksum(module: &str, migration: &Migration) -> u32 {
    crc32fast::hash(format!("{module}/{}/{}", migration.version, migration.name).as_bytes())
}

fn applied(module: &str, migration: &Migration, at: Option<Time>) -> Applied {
    Applied { module: module.to_owned(), version: migration.version, name: migration.name.to_owned(), at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{clock::Clock, store::store::StoreOptions};

    const NOTES: Table<u32, u64> = Table::new("test.notes");

    fn first() -> Migration {
        Migration {
            version: 1,
            name: "make notes",
            up: |tx| tx.put(&NOTES, &1, &10),
            down: |tx| tx.delete(&NOTES, &1).map(drop),
        }
    }
    fn second() -> Migration {
        Migration {
            version: 2,
            name: "double notes",
            up: |tx| tx.put(&NOTES, &1, &20),
            down: |tx| tx.put(&NOTES, &1, &10),
        }
    }
    fn failing() -> Migration {
        Migration {
            version: 3,
            name: "fail",
            up: |tx| {
                tx.put(&NOTES, &1, &30)?;
                Err(fault!("no such luck"))
            },
            down: |_| Ok(()),
        }
    }

    fn store() -> Store {
        let clock = Clock::manual(Time::from_micros(5));
        Store::in_memory(StoreOptions { clock, ..StoreOptions::default() })
    }
    fn note(store: &Store) -> Option<u64> {
        store.read(|tx| tx.get(&NOTES, &1)).unwrap()
    }
    fn versions(applied: &[Applied]) -> Vec<u32> {
        applied.iter().map(|it| it.version).collect()
    }

    #[test]
    fn each_migration_runs_once_and_in_order() {
        let store = store();
        assert_eq!(versions(&migrate(&store, "notes", &[first()]).unwrap()), [1]);
        assert_eq!(versions(&migrate(&store, "notes", &[second(), first()]).unwrap()), [2]);
        assert_eq!(migrate(&store, "notes", &[second(), first()]).unwrap(), vec![]);
        assert_eq!(note(&store), Some(20));
        let status = store.read(|tx| status(tx, "notes", &[first(), second(), failing()])).unwrap();
        let at = Some(Time::from_micros(5));
        assert_eq!(status.iter().map(|it| it.at).collect::<Vec<_>>(), [at, at, None]);
    }

    #[test]
    fn a_rollback_undoes_the_last_first() {
        let store = store();
        migrate(&store, "notes", &[first(), second()]).unwrap();
        assert_eq!(versions(&rollback(&store, "notes", 1, &[first(), second()]).unwrap()), [2]);
        assert_eq!(note(&store), Some(10));
        assert_eq!(versions(&rollback(&store, "notes", 9, &[first(), second()]).unwrap()), [1]);
        assert_eq!(note(&store), None);
    }

    #[test]
    fn a_rehearsal_says_what_would_go_and_changes_nothing() {
        let store = store();
        migrate(&store, "notes", &[first(), second()]).unwrap();
        let gone = |steps| rehearse_rollback(&store, "notes", steps, &[first(), second()]).unwrap();
        assert_eq!(gone(1), BTreeMap::new());
        assert_eq!(gone(9), BTreeMap::from([("test.notes".to_owned(), 1)]));
        assert_eq!(note(&store), Some(20));
        assert_eq!(
            versions(
                &last_applied(&store, "notes", 9, &[first(), second()])
                    .unwrap()
                    .iter()
                    .map(|it| { applied("notes", it, None) })
                    .collect::<Vec<_>>()
            ),
            [2, 1]
        );
    }

    #[test]
    fn a_table_is_made_by_up_and_gone_after_down() {
        let made = Migration {
            version: 1,
            name: "make notes",
            up: |tx| {
                tx.create_table(&NOTES);
                Ok(())
            },
            down: |tx| tx.drop_table(&NOTES),
        };
        let store = store();
        let tables = |store: &Store| store.read(ReadTx::table_names).unwrap();
        migrate(&store, "notes", &[made]).unwrap();
        assert!(tables(&store).contains(&"test.notes".to_owned()));
        store.write_blocking(|tx| tx.put(&NOTES, &1, &10)).unwrap();
        rollback(&store, "notes", 1, &[made]).unwrap();
        assert!(!tables(&store).contains(&"test.notes".to_owned()));
        assert_eq!(note(&store), None);
    }

    #[test]
    fn a_migration_that_fails_changes_nothing_and_those_before_it_stay() {
        let store = store();
        let error = migrate(&store, "notes", &[first(), second(), failing()]).unwrap_err();
        assert!(matches!(error, MigrateError::Failed { version: 3, .. }), "{error}");
        assert_eq!(note(&store), Some(20));
    }

    #[test]
    fn a_file_that_a_newer_release_changed_is_refused() {
        let store = store();
        migrate(&store, "notes", &[first(), second()]).unwrap();
        let error = migrate(&store, "notes", &[first()]).unwrap_err();
        assert!(matches!(error, MigrateError::Newer { found: 2, known: 1, .. }), "{error}");
        assert_eq!(error.exit_code(), 78);
        // Another module whose name begins the same way is none of its business.
        assert!(migrate(&store, "note", &[]).is_ok());
    }

    #[test]
    fn a_migration_that_changed_its_name_is_refused() {
        let store = store();
        migrate(&store, "notes", &[first()]).unwrap();
        let renamed = Migration { name: "make other notes", ..first() };
        assert!(matches!(
            migrate(&store, "notes", &[renamed]),
            Err(MigrateError::Changed { version: 1, .. })
        ));
    }
}
