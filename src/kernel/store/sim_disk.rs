//! A disk in memory that counts what is asked of it, fails when told, and loses power like a real one: of what was
//! not synced, some is there afterwards, some is not, and some only in part.

use std::{
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend};

use super::random::Random;

/// What a disk writes at once; a torn write is a multiple of it.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    /// What a power cut cannot take away.
    durable: Vec<u8>,
    /// What reads see: all that was written.
    view: Vec<u8>,
    unsynced: Vec<Change>,
    random: Random,
    syncs: u64,
    trouble: Trouble,
    lies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// After so many more changes.
    FailsIn(u64),
    LosesPowerIn(u64),
    Failing,
    Dead,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl SimDisk {
    /// An empty disk; the seed decides what survives its power cuts.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(Disk {
            durable: Vec::new(),
            view: Vec::new(),
            unsynced: Vec::new(),
            random: Random::Seeded(seed),
            syncs: 0,
            trouble: Trouble::None,
            lies: false,
        })))
    }

    /// How often a sync was asked for.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Lets so many more changes (writes, syncs, resizes) happen, and then none.
    pub fn fail_in(&self, changes: u64) {
        self.disk().trouble = Trouble::FailsIn(changes);
    }

    /// Lets so many more changes happen, then cuts the power.
    pub fn lose_power_in(&self, changes: u64) {
        self.disk().trouble = Trouble::LosesPowerIn(changes);
    }

    /// Whether the power is gone.
    pub fn is_dead(&self) -> bool {
        self.disk().trouble == Trouble::Dead
    }

    /// Reports syncs as done without doing them. A test that still passes then tests nothing.
    pub fn lie_about_syncs(&self) {
        self.disk().lies = true;
    }

    /// The power is back, and the disk has what survived. Cuts it first if it was on.
    pub fn restart(&self) {
        let mut disk = self.disk();
        disk.lose_power();
        disk.view = disk.durable.clone();
        disk.trouble = Trouble::None;
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    fn change(&mut self, change: Change) -> io::Result<()> {
        self.tick()?;
        apply(&mut self.view, &change);
        self.unsynced.push(change);
        Ok(())
    }

    /// Counts down to the trouble ahead.
    fn tick(&mut self) -> io::Result<()> {
        match &mut self.trouble {
            Trouble::None => return Ok(()),
            Trouble::FailsIn(0) => self.trouble = Trouble::Failing,
            Trouble::LosesPowerIn(0) => self.lose_power(),
            Trouble::FailsIn(left) | Trouble::LosesPowerIn(left) => {
                *left -= 1;
                return Ok(());
            }
            Trouble::Failing | Trouble::Dead => {}
        }
        Err(io::Error::other("the simulated disk fails"))
    }

    fn lose_power(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match (self.below(3), change) {
                (0, _) => {}
                (1, Change::Write(at, mut bytes)) => {
                    let sectors = self.below(bytes.len() / SECTOR + 1);
                    bytes.truncate(sectors * SECTOR);
                    apply(&mut self.durable, &Change::Write(at, bytes));
                }
                (_, change) => apply(&mut self.durable, &change),
            }
        }
        self.trouble = Trouble::Dead;
    }

    fn below(&mut self, limit: usize) -> usize {
        u32::from_le_bytes(self.random.bytes()) as usize % limit
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(length) => bytes.resize(*length as usize, 0),
        Change::Write(at, new) => {
            let (start, end) = (*at as usize, *at as usize + new.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].copy_from_slice(new);
        }
    }
}

impl StorageBackend for SimDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.disk();
        if disk.trouble == Trouble::Dead {
            return Err(io::Error::other("the simulated disk has no power"));
        }
        let start = offset as usize;
        let bytes = disk.view.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk().change(Change::Resize(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk().change(Change::Write(offset, data.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.tick()?;
        disk.syncs += 1;
        if !disk.lies {
            for change in std::mem::take(&mut disk.unsynced) {
                apply(&mut disk.durable, &change);
            }
        }
        Ok(())
    }

    // Nobody else has the disk: every lock is granted, so that the modes that need locks can be tested on it.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::{
        engine::CommitMode,
        scan::Scan,
        store::{Store, StoreOptions},
        table::Table,
    };

    /// Job number n writes n to each of these, so that they always agree.
    const TABLES: [Table<u64, Vec<u8>>; 3] =
        [Table::new("test.first"), Table::new("test.second"), Table::new("test.third")];

    fn value(number: u64) -> Vec<u8> {
        vec![number as u8; 100 + (number * 911 % 3000) as usize]
    }

    /// How many jobs are in the store. Panics when one is there in part.
    fn jobs_in(store: &Store) -> u64 {
        let counted = store.read(|tx| {
            let mut counts = Vec::new();
            for table in &TABLES {
                let rows: Result<Vec<_>, _> = tx.scan(table, Scan::all()).collect();
                let rows = rows?;
                assert!(rows.iter().zip(0..).all(|((key, row), n)| *key == n && *row == value(n)));
                counts.push(rows.len() as u64);
            }
            assert!(counts.iter().all(|count| *count == counts[0]), "half a job: {counts:?}");
            Ok(counts[0])
        });
        counted.unwrap()
    }

    /// Writes until the power goes, again and again; returns how many answered jobs were missing in the end.
    fn lost_by_power_cuts(mode: CommitMode, seed: u64, lies: bool) -> u64 {
        let disk = SimDisk::new(seed);
        if lies {
            disk.lie_about_syncs();
        }
        let options = StoreOptions { commit: mode, cache_bytes: 1 << 20, ..StoreOptions::default() };
        // A file gets its name only once it is a whole database, so that no power cut finds it half made.
        Store::with_backend(disk.clone(), options.clone()).unwrap().close().unwrap();
        let mut random = Random::Seeded(seed ^ 0xdead);
        let (mut answered, mut lost) = (0, 0);
        for cycle in 0..4 {
            // Every other cut comes early, often while the one before is being repaired.
            let within = if cycle % 2 == 1 { 30 } else { 250 };
            disk.lose_power_in(u64::from_le_bytes(random.bytes()) % within);
            if let Ok(store) = Store::with_backend(disk.clone(), options.clone()) {
                let mut number = jobs_in(&store);
                lost += answered.max(number) - number;
                answered = number;
                let job = |number: u64| {
                    store.write_blocking(move |tx| {
                        TABLES.iter().try_for_each(|table| tx.put(table, &number, &value(number)))
                    })
                };
                while job(number).is_ok() {
                    number += 1;
                    answered = number;
                }
            }
            disk.restart();
        }
        match Store::with_backend(disk, options) {
            Ok(store) => lost + answered.saturating_sub(jobs_in(&store)),
            Err(_) if lies => lost + answered.max(1),
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }

    #[test]
    fn what_was_answered_survives_every_power_cut() {
        for seed in 0..20 {
            for mode in [CommitMode::Safe, CommitMode::Fast] {
                assert_eq!(lost_by_power_cuts(mode, seed, false), 0, "seed {seed} {mode:?}");
            }
        }
    }

    #[test]
    fn a_disk_that_lies_about_syncs_is_found_out() {
        let found = std::panic::catch_unwind(|| {
            (0..5).map(|seed| lost_by_power_cuts(CommitMode::Safe, seed, true)).sum()
        });
        assert!(found.is_err() || found.is_ok_and(|lost: u64| lost > 0));
    }
}
