//! What the store counts about itself.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The upper bounds, in microseconds, of the classes that commits are counted in; the last class has none.
pub const COMMIT_MICROS: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// Counters since the store was opened, and gauges of this moment.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    pub jobs: Counter,
    pub batches: Counter,
    /// Batches that had something to commit.
    pub commits: Counter,
    /// Jobs of those batches: divided by `commits`, the mean size of a group.
    pub committed_jobs: Counter,
    /// Keys and bytes committed, those of indexes included.
    pub rows: Counter,
    pub bytes: Counter,
    pub commit_micros: Counter,
    pub commit_classes: [Counter; COMMIT_MICROS.len() + 1],
    pub panics: Counter,
    pub refused_overloaded: Counter,
    pub refused_low_disk: Counter,
    pub reads: Counter,
    /// Backups, exports and `verify`: exempt from the age limit, counted apart.
    pub long_reads: Counter,
    pub(super) queued: AtomicU64,
    open: Mutex<BTreeSet<(Instant, u64)>>,
    open_long: AtomicU64,
}

#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }
}

impl StoreMetrics {
    /// Jobs waiting for the writer thread.
    pub fn queue_length(&self) -> u64 {
        self.queued.load(Relaxed)
    }

    pub fn open_reads(&self) -> usize {
        self.open().len()
    }

    pub fn open_long_reads(&self) -> u64 {
        self.open_long.load(Relaxed)
    }

    /// How long the oldest read that counts has had its snapshot; zero when there is none.
    pub fn oldest_read(&self) -> Duration {
        self.open().first().map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// Every counter: name, meaning, value.
    pub fn counters(&self) -> Vec<(&'static str, &'static str, u64)> {
        vec![
            ("store_jobs", "Jobs run by the writer", self.jobs.get()),
            ("store_commits", "Commits", self.commits.get()),
            (
                "store_committed_jobs",
                "Jobs committed: by store_commits, the mean size of a group",
                self.committed_jobs.get(),
            ),
            ("store_rows", "Keys committed, those of indexes included", self.rows.get()),
            ("store_bytes", "Bytes committed, before the engine's own", self.bytes.get()),
            ("store_commit_micros", "Microseconds spent committing", self.commit_micros.get()),
            ("store_panics", "Jobs that panicked", self.panics.get()),
            (
                "store_refused_overloaded",
                "Jobs refused because the queue was full",
                self.refused_overloaded.get(),
            ),
            (
                "store_refused_low_disk",
                "Jobs refused because the disk was nearly full",
                self.refused_low_disk.get(),
            ),
            ("store_reads", "Snapshots opened by requests", self.reads.get()),
            ("store_long_reads", "Snapshots opened by verify and backup", self.long_reads.get()),
        ]
    }

    /// Every gauge: name, meaning, value.
    pub fn gauges(&self) -> Vec<(&'static str, &'static str, i64)> {
        let signed = |value: u128| i64::try_from(value).unwrap_or(i64::MAX);
        vec![
            ("store_queue_length", "Jobs waiting for the writer", signed(self.queue_length().into())),
            ("store_open_reads", "Snapshots open now", signed(self.open_reads() as u128)),
            (
                "store_oldest_read_micros",
                "Age of the oldest open snapshot",
                signed(self.oldest_read().as_micros()),
            ),
        ]
    }

    pub(super) fn committed(&self, jobs: usize, rows: usize, bytes: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits.add(1);
        self.committed_jobs.add(jobs as u64);
        self.rows.add(rows as u64);
        self.bytes.add(bytes as u64);
        self.commit_micros.add(micros);
        let class = COMMIT_MICROS.iter().position(|bound| micros <= *bound).unwrap_or(COMMIT_MICROS.len());
        self.commit_classes[class].add(1);
    }

    /// Counts a read as open until the guard is dropped.
    pub(super) fn begin_read(&self, long: bool) -> OpenRead<'_> {
        if long {
            self.long_reads.add(1);
            self.open_long.fetch_add(1, Relaxed);
            return OpenRead { metrics: self, entry: None };
        }
        let number = self.reads.0.fetch_add(1, Relaxed);
        let entry = (Instant::now(), number);
        self.open().insert(entry);
        OpenRead { metrics: self, entry: Some(entry) }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeSet<(Instant, u64)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct OpenRead<'a> {
    metrics: &'a StoreMetrics,
    /// `None` for a long read.
    entry: Option<(Instant, u64)>,
}

impl Drop for OpenRead<'_> {
    fn drop(&mut self) {
        match &self.entry {
            Some(entry) => drop(self.metrics.open().remove(entry)),
            None => drop(self.metrics.open_long.fetch_sub(1, Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_counted_in_the_class_of_its_duration() {
        let metrics = StoreMetrics::default();
        metrics.committed(3, 30, 300, Duration::from_micros(250));
        metrics.committed(1, 10, 100, Duration::from_secs(9));
        let classes: Vec<u64> = metrics.commit_classes.iter().map(Counter::get).collect();
        assert_eq!(classes, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((metrics.commits.get(), metrics.committed_jobs.get(), metrics.bytes.get()), (2, 4, 400));
    }

    #[test]
    fn the_age_of_reads_is_that_of_the_oldest_and_long_ones_count_apart() {
        let metrics = StoreMetrics::default();
        assert_eq!(metrics.oldest_read(), Duration::ZERO);
        let first = metrics.begin_read(false);
        let (second, long) = (metrics.begin_read(false), metrics.begin_read(true));
        assert_eq!((metrics.open_reads(), metrics.open_long_reads()), (2, 1));
        drop((first, second));
        assert_eq!((metrics.open_reads(), metrics.oldest_read()), (0, Duration::ZERO));
        drop(long);
        assert_eq!(metrics.open_long_reads(), 0);
    }
}
