//! What the steps of a job have in common, written once at its end: sums that each of them adds to.
//!
//! ```text
//! job ─┬─ attempt: gather(a) gather(b)     kept
//!      ├─ attempt: gather(c)               dropped: c goes with it
//!      └─ end: write([a, b]), then the job's overlay is laid over the batch
//! ```
//!
//! Nothing reads what is gathered before it is written, so this is for rows that nobody reads in the job that changes
//! them. It is written in the job: both or neither, and a fault there is the job's.

use std::any::{Any, TypeId};

use super::tx::WriteTx;
use crate::kernel::error::Result;

/// A kind of thing that is gathered.
pub trait Gather: Any + Send + Sized {
    /// Writes what a job gathered, in the order in which it did.
    fn write(tx: &mut WriteTx, all: Vec<Self>) -> Result<()>;
}

/// One thing, and how those of its kind are written.
pub(super) struct Gathered {
    thing: Box<dyn Any + Send>,
    write: fn(&mut WriteTx, Vec<Box<dyn Any + Send>>) -> Result<()>,
}

impl Gathered {
    pub fn new<T: Gather>(thing: T) -> Gathered {
        Gathered { thing: Box::new(thing), write: write::<T> }
    }
}

fn write<T: Gather>(tx: &mut WriteTx, things: Vec<Box<dyn Any + Send>>) -> Result<()> {
    T::write(tx, things.into_iter().filter_map(|it| it.downcast().ok()).map(|it| *it).collect())
}

/// Writes all of it, kind by kind in the order in which each was first seen.
pub(super) fn write_all(tx: &mut WriteTx, gathered: Vec<Gathered>) -> Result<()> {
    let mut left = gathered;
    while let Some(first) = left.first() {
        let (kind, write): (TypeId, _) = ((*first.thing).type_id(), first.write);
        let (these, others) = left.into_iter().partition(|it: &Gathered| (*it.thing).type_id() == kind);
        left = others;
        write(tx, Vec::from_iter(these.into_iter().map(|it: Gathered| it.thing)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        error::fault,
        store::{Scan, Store, StoreOptions, Table},
    };

    const SUMS: Table<u32, u64> = Table::new("test.sums");

    /// Adds to a row.
    struct More(u32, u64);

    impl Gather for More {
        fn write(tx: &mut WriteTx, all: Vec<Self>) -> Result<()> {
            for More(key, more) in all {
                let sum = tx.get(&SUMS, &key)?.unwrap_or(0);
                tx.put(&SUMS, &key, &sum.checked_add(more).ok_or_else(|| fault!("too much"))?)?;
            }
            Ok(())
        }
    }

    /// Notes how many came at once.
    struct Came;

    impl Gather for Came {
        fn write(tx: &mut WriteTx, all: Vec<Self>) -> Result<()> {
            tx.put(&SUMS, &100, &(all.len() as u64))
        }
    }

    fn sums(store: &Store) -> Vec<(u32, u64)> {
        store.read(|tx| tx.scan(&SUMS, Scan::all()).collect()).unwrap()
    }

    #[test]
    fn each_kind_is_written_once_at_the_end_of_its_job() {
        let store = Store::in_memory(StoreOptions::default());
        store
            .write_blocking(|tx| {
                for number in 0..10 {
                    tx.gather(More(number % 2, 1));
                    tx.gather(Came);
                }
                assert_eq!(tx.get(&SUMS, &0)?, None, "not before the end");
                Ok(())
            })
            .unwrap();
        assert_eq!(sums(&store), [(0, 5), (1, 5), (100, 10)]);
        store.write_blocking(|_| Ok(())).unwrap();
        assert_eq!(sums(&store), [(0, 5), (1, 5), (100, 10)], "the next job starts with nothing");
    }

    #[test]
    fn what_a_dropped_attempt_gathered_goes_with_it() {
        let store = Store::in_memory(StoreOptions::default());
        store
            .write_blocking(|tx| {
                tx.gather(More(1, 1));
                let failed: Result<()> = tx.attempt(|tx| {
                    tx.gather(More(1, 10));
                    tx.attempt(|tx| {
                        tx.gather(More(1, 100));
                        Ok(())
                    })?;
                    Err(fault!("changed my mind"))
                });
                assert!(failed.is_err());
                tx.attempt(|tx| {
                    tx.gather(More(1, 1000));
                    Ok(())
                })
            })
            .unwrap();
        assert_eq!(sums(&store), [(1, 1001)]);
    }

    #[test]
    fn a_job_that_fails_leaves_nothing_and_costs_its_neighbours_nothing() {
        let store = Store::in_memory(StoreOptions::default());
        let (release, released) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|threads| {
            let held = store.clone();
            threads.spawn(move || {
                held.write_blocking(move |_| {
                    let _ = released.recv(); // Or everybody who could release it is gone.
                    Ok(())
                })
            });
            let jobs: Vec<_> = [1, u64::MAX, 2]
                .map(|more| {
                    let store = store.clone();
                    threads.spawn(move || {
                        store.write_blocking(move |tx| {
                            tx.put(&SUMS, &7, &more)?;
                            tx.gather(More(1, 1));
                            tx.gather(More(1, more));
                            if more == 2 { Err(fault!("refused after it gathered")) } else { Ok(()) }
                        })
                    })
                })
                .into();
            drop(release);
            let ended: Vec<bool> = jobs.into_iter().map(|it| it.join().unwrap().is_ok()).collect();
            assert_eq!(ended, [true, false, false], "written at its end, what cannot be added fails the job");
        });
        assert_eq!(sums(&store), [(1, 2), (7, 1)]);
    }
}
