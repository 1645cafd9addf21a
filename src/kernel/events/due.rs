//! Rows that say themselves when something has to be done with them: the job that does it, one row after the other.

use std::{fmt::Debug, sync::Arc, time::Duration};

use super::worker::Job;
use crate::kernel::{
    clock::Time,
    error::{Error, Result},
    store::{Key, Row, Scan, Table, WriteTx},
};

/// How many rows one transaction takes.
const BATCH: usize = 100;

/// When a row that could not be dealt with is looked at again.
const AFTER_A_FAILURE: Duration = Duration::from_secs(3600);

/// Where rows that are due are found.
pub struct Due<K: 'static, V: 'static> {
    /// The job's name: `payment.due`.
    pub name: &'static str,
    pub table: &'static Table<K, V>,
    /// A listing by instant.
    pub index: &'static str,
    /// The instant it lists by.
    pub at: fn(&mut V) -> &mut Option<Time>,
}

impl<K: Key + Copy + Debug, V: Row + Clone> Due<K, V> {
    /// Does `step` with every row whose instant has come. One for which it fails costs the others nothing and is not
    /// forgotten: it is changed by `failed`, and its turn comes again in an hour.
    pub fn job<S: Send + Sync + 'static>(
        self,
        service: &Arc<S>,
        step: fn(&S, &mut WriteTx, K, V) -> Result<()>,
        failed: fn(&mut V, &Error),
    ) -> Job {
        let (service, Due { name, table, index, at }) = (service.clone(), self);
        Job {
            name,
            due: Arc::new(move |tx| {
                let first = tx.scan_index(table, index, Scan::all()).next().transpose()?;
                Ok(first.and_then(|(_, mut row)| *at(&mut row)))
            }),
            run: Arc::new(move |tx| {
                let end = Time::from_micros(tx.now().micros() + 1).to_key();
                let due = tx.scan_index(table, index, Scan::all().until(end)).take(BATCH);
                for (key, row) in due.collect::<Result<Vec<_>>>()? {
                    let mut unchanged = row.clone();
                    if let Err(error) = tx.attempt(|tx| step(&service, tx, key, row)) {
                        tracing::error!(job = name, error = %error, "{name} could not deal with {key:?}: {error}");
                        failed(&mut unchanged, &error);
                        *at(&mut unchanged) = Some(tx.now().after(AFTER_A_FAILURE));
                        tx.put(table, &key, &unchanged)?;
                    }
                }
                Ok(())
            }),
        }
    }
}
