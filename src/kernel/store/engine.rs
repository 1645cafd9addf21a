//! The seam below the store: an ordered key-value store of named tables, with snapshots and atomic commits.
//!
//! One engine is redb. A second, distributed one implements these two traits, and no module notices.

use std::ops::Bound;

use super::{names::Names, write_set::WriteSet};
use crate::kernel::error::{Error, fault};

pub type Entry = (Vec<u8>, Vec<u8>);
pub type EngineResult<T> = Result<T, EngineError>;
pub type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, EngineError>> + 'a>;

pub trait Engine: Send + Sync {
    /// What is committed now, and goes on looking so.
    fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError>;

    /// Makes all of `writes` durable, or none of it. After an error nobody knows which: the engine must be closed.
    fn commit(&self, writes: &WriteSet) -> Result<(), EngineError>;

    /// Says what tables are called from now on, and which of them are here. Once, before anything else is asked.
    fn place(&self, names: Names);

    /// Leaves the file so that the next open has nothing to repair. Snapshots still open fail from then on,
    /// except for what they have in memory.
    fn close(self: Box<Self>) -> Result<(), EngineError>;

    /// How long the file is; `None` when there is no file.
    fn file_bytes(&self) -> Option<u64>;
}

pub trait Snapshot: Send {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// The entries between two bounds, in the order of their keys or in reverse. A table that was never written to
    /// is empty.
    fn range(
        &self,
        table: &str,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        reverse: bool,
    ) -> Result<Entries<'_>, EngineError>;

    /// An error unless the table is one of this file.
    fn check_home(&self, table: &str) -> Result<(), EngineError>;

    /// The names of all tables, sorted.
    fn tables(&self) -> Result<Vec<String>, EngineError>;

    /// How many rows a table has.
    fn rows(&self, table: &str) -> Result<u64, EngineError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("the database is closed")]
    Closed,
    #[error("the database failed: {0}")]
    Broken(String),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Error {
        match error {
            EngineError::Closed => super::store::StoreRefusal::ShuttingDown.into(),
            EngineError::Broken(_) => fault!("{error}"),
        }
    }
}

/// What a commit waits for, and how it is repaired after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitMode {
    /// Two fsyncs. Commands may read the live file; reopening after a crash takes milliseconds; even values that an
    /// attacker chose to collide cannot make half a commit look whole.
    #[default]
    Safe,
    /// One fsync. Nobody else opens the live file, and reopening after a crash reads all of it.
    Fast,
}
