//! How long a read may hold its snapshot. An open snapshot keeps every page alive that was freed since, so that one
//! forgotten reader makes the file grow without end.

use std::{
    cell::Cell,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::store::StoreRefusal;
use crate::kernel::error::{Result, fault};

/// How old the snapshot of a request may become.
pub const SNAPSHOT_AGE: Duration = Duration::from_secs(5);

/// A file may always grow by this much under a long read: a fifth of a small file is nothing.
const GROWTH_FLOOR: u64 = 256 * 1024 * 1024;

/// Looking at the file costs a system call, so it is done once for so many rows.
const ROWS_PER_LOOK: u32 = 4096;

pub(super) enum ReadLimit {
    /// The writer's own snapshot, which lives as long as a batch.
    None,
    /// A request: until this instant.
    Until(Instant),
    /// A backup, `verify` or an export: while the file is no longer than `bytes`.
    Growth { file: PathBuf, bytes: u64, rows: Cell<u32> },
}

impl ReadLimit {
    /// A fifth more than the file has now.
    pub fn growth(file: PathBuf, now: u64) -> ReadLimit {
        ReadLimit::Growth { file, bytes: now + (now / 5).max(GROWTH_FLOOR), rows: Cell::new(0) }
    }

    pub fn check(&self) -> Result<()> {
        match self {
            ReadLimit::None => Ok(()),
            ReadLimit::Until(end) if Instant::now() <= *end => Ok(()),
            ReadLimit::Until(_) => Err(StoreRefusal::SnapshotTooOld.into()),
            ReadLimit::Growth { file, bytes, rows } => {
                rows.set(rows.get() + 1);
                if rows.get() % ROWS_PER_LOOK != 0 {
                    return Ok(());
                }
                match std::fs::metadata(file) {
                    Ok(metadata) if metadata.len() > *bytes => Err(fault!(
                        "stopped: {} grew past {bytes} bytes while this read was open. Try again when it is quieter",
                        file.display()
                    )),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_ends_when_its_time_is_over() {
        let over = ReadLimit::Until(Instant::now() - Duration::from_millis(1));
        assert_eq!(over.check().unwrap_err().refusal(), Some(&StoreRefusal::SnapshotTooOld));
        assert!(ReadLimit::Until(Instant::now() + SNAPSHOT_AGE).check().is_ok());
    }

    #[test]
    fn a_long_read_ends_when_the_file_grows_too_much() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let limit = ReadLimit::growth(file.path().to_owned(), 0);
        let mut all = (0..=ROWS_PER_LOOK).map(|_| limit.check());
        assert!(all.all(|check| check.is_ok()));
        file.as_file().set_len(GROWTH_FLOOR + 1).unwrap(); // sparse
        assert!((0..=ROWS_PER_LOOK).any(|_| limit.check().is_err()));
    }
}
