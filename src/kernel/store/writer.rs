//! The writer thread: it alone changes the database.
//!
//! It takes whatever jobs are waiting, runs one after the other, commits once for all of them, and only then answers.
//! There is no timer: while one group is being committed, the next one gathers by itself.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    engine::{Engine, EngineError, EngineResult},
    limit::ReadLimit,
    metrics::StoreMetrics,
    names::Beside,
    random::Random,
    store::StoreRefusal,
    tx::{Extension, Hook, ReadTx, WriteTx},
};
use crate::kernel::{
    clock::{Clock, Time},
    error::{Error, Result, fault},
    id::IdSource,
};

/// A group takes no more jobs than this,
const MOST_JOBS: usize = 512;
/// and no more once it has written this much.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// Asking the file system for its free space is a system call.
const DISK_CHECK: Duration = Duration::from_millis(200);

/// What the writer thread and the handles of a store share.
pub(super) struct Shared {
    /// `None` once it is closed, or has failed.
    pub engine: RwLock<Option<Box<dyn Engine>>>,
    pub metrics: StoreMetrics,
    pub clock: Clock,
    /// The last instant given to a transaction, in microseconds.
    pub last: AtomicI64,
    pub failure: watch::Sender<Option<String>>,
    /// Hangs on every write transaction.
    pub extensions: RwLock<Vec<Extension>>,
    /// Ids made from now on are greater than this.
    pub ids_after: Mutex<Option<[u8; 16]>>,
    /// Whether the last look at the disk found too little space.
    pub low_on_disk: AtomicBool,
    /// The other files, once it is known that there are any.
    pub beside: OnceLock<Arc<Beside>>,
}

impl Shared {
    /// The time, except that it never goes backwards.
    pub fn now(&self) -> Time {
        let now = self.clock.now().micros();
        Time::from_micros(self.last.fetch_max(now, SeqCst).max(now))
    }

    pub fn with_engine<T>(&self, f: impl FnOnce(&dyn Engine) -> EngineResult<T>) -> EngineResult<T> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.as_deref().map_or(Err(EngineError::Closed), f)
    }

    pub fn close_engine(&self) -> EngineResult<()> {
        let engine = self.engine.write().unwrap_or_else(PoisonError::into_inner).take();
        engine.map_or(Ok(()), |engine| contain("closing", || engine.close()))
    }
}

/// One thing to do, which remembers its outcome until it may be told.
pub(super) trait Job: Send {
    /// Whether what it wrote is to be kept. A panic inside comes out.
    fn run(&mut self, tx: &mut WriteTx) -> bool;
    /// Tells the outcome of `run`; or instead of it, why there is none.
    fn answer(self: Box<Self>, instead: Option<Error>);
}

/// A job of any type, and whom to tell.
pub(super) struct Task<T, F, R> {
    work: Option<F>,
    /// None until it was run.
    outcome: Option<Result<T>>,
    reply: R,
}

impl<T, F, R> Task<T, F, R> {
    pub fn new(work: F, reply: R) -> Self {
        Task { work: Some(work), outcome: None, reply }
    }
}

impl<T, F, R> Job for Task<T, F, R>
where
    T: Send,
    F: FnOnce(&mut WriteTx) -> Result<T> + Send,
    R: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, tx: &mut WriteTx) -> bool {
        if let Some(work) = self.work.take() {
            self.outcome = Some(work(tx).and_then(|outcome| tx.settle().map(|()| outcome)));
        }
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, instead: Option<Error>) {
        let reply = self.reply;
        let outcome = instead.map(Err).or(self.outcome);
        reply(outcome.unwrap_or_else(|| Err(fault!("the job was not run"))));
    }
}

/// Wakes a job's caller. `None`: with the outcome; else with this instead.
type Answer = (Box<dyn Job>, Option<Error>);

pub(super) struct Writer {
    shared: Arc<Shared>,
    jobs: Receiver<Box<dyn Job>>,
    ids: IdSource,
    random: Random,
    disk: Option<DiskWatch>,
}

impl Writer {
    pub fn new(
        shared: Arc<Shared>,
        jobs: Receiver<Box<dyn Job>>,
        random: Random,
        disk: Option<DiskWatch>,
    ) -> Writer {
        Writer { shared, jobs, ids: IdSource::default(), random, disk }
    }

    /// Runs jobs until every sender is gone, or the storage fails. Then closes the database.
    pub fn run(mut self) -> EngineResult<()> {
        while let Ok(first) = self.jobs.recv() {
            if let Err(error) = self.batch(first) {
                while let Ok(waiting) = self.jobs.try_recv() {
                    self.taken();
                    waiting.answer(Some(StoreRefusal::ShuttingDown.into()));
                }
                return Err(error);
            }
        }
        self.shared.close_engine()
    }

    /// Runs `first` and what waits behind it, commits, answers. An error when the storage failed.
    fn batch(&mut self, first: Box<dyn Job>) -> EngineResult<()> {
        let shared = self.shared.clone();
        shared.metrics.batches.add(1);
        let is_low = self.disk.as_mut().is_some_and(DiskWatch::is_low);
        shared.low_on_disk.store(is_low, SeqCst);
        if is_low {
            self.taken();
            shared.metrics.refused_low_disk.add(1);
            first.answer(Some(StoreRefusal::OutOfSpace.into()));
            return Ok(());
        }
        let snapshot = match contain("reading", || shared.with_engine(|engine| engine.snapshot())) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.die(&error);
                self.taken();
                first.answer(Some(StoreRefusal::OutcomeUnknown.into()));
                return Err(error);
            }
        };
        let read = ReadTx::new(snapshot, shared.now(), ReadLimit::None, shared.beside.get().cloned());
        let mut ids = std::mem::take(&mut self.ids);
        if let Some(id) = shared.ids_after.lock().unwrap_or_else(PoisonError::into_inner).take() {
            ids.go_on_after(id);
        }
        let random = std::mem::replace(&mut self.random, Random::Os);
        let extensions = shared.extensions.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tx = WriteTx::new(read, ids, random, extensions);

        let mut answers = vec![self.run_job(&mut tx, first)];
        while answers.len() < MOST_JOBS && tx.batch().bytes() < MOST_BYTES {
            let Ok(job) = self.jobs.try_recv() else { break };
            answers.push(self.run_job(&mut tx, job));
        }

        let committed = self.commit(&tx, answers.len());
        let (ids, random, hooks) = tx.finish();
        (self.ids, self.random) = (ids, random);
        match &committed {
            Ok(()) => hooks.into_iter().for_each(|hook| self.run_hook(hook)),
            Err(error) => self.die(error),
        }
        for (job, instead) in answers {
            // Even a refusal may rest on what a neighbour wrote, which may or may not be there.
            let unknown = committed.is_err().then(|| StoreRefusal::OutcomeUnknown.into());
            job.answer(unknown.or(instead));
        }
        committed
    }

    fn run_job(&self, tx: &mut WriteTx, mut job: Box<dyn Job>) -> Answer {
        self.taken();
        self.shared.metrics.jobs.add(1);
        let mark = tx.begin(self.shared.now());
        match catch_unwind(AssertUnwindSafe(|| job.run(tx))) {
            Ok(true) => tx.keep(mark),
            Ok(false) => tx.drop_to(mark),
            Err(panic) => {
                tx.drop_to(mark);
                self.shared.metrics.panics.add(1);
                return (job, Some(fault!("a job panicked: {}", message(&*panic))));
            }
        }
        (job, None)
    }

    fn commit(&self, tx: &WriteTx, jobs: usize) -> EngineResult<()> {
        let writes = tx.batch();
        if writes.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        contain("committing", || self.shared.with_engine(|engine| engine.commit(writes)))?;
        self.shared.metrics.committed(jobs, writes.rows(), writes.bytes(), start.elapsed());
        Ok(())
    }

    fn run_hook(&self, hook: Hook) {
        if catch_unwind(AssertUnwindSafe(hook)).is_err() {
            self.shared.metrics.panics.add(1);
            tracing::error!("what a job wanted done after its commit panicked");
        }
    }

    /// After this nobody reads or writes. Whoever is told that an outcome is unknown finds it so.
    fn die(&self, error: &EngineError) {
        tracing::error!(%error, "the storage failed: nothing more is written");
        self.shared.failure.send_replace(Some(error.to_string()));
        let _ = self.shared.close_engine(); // what it says adds nothing to the error there was
    }

    fn taken(&self) {
        self.shared.metrics.queued.fetch_sub(1, SeqCst);
    }
}

/// Watches the file system that the database is on.
pub(super) struct DiskWatch {
    path: PathBuf,
    /// Below this many free bytes it is low.
    least: u64,
    seen: Option<(Instant, bool)>,
}

impl DiskWatch {
    pub fn new(path: PathBuf, least: u64) -> DiskWatch {
        DiskWatch { path, least, seen: None }
    }

    fn is_low(&mut self) -> bool {
        match self.seen {
            Some((at, low)) if at.elapsed() < DISK_CHECK => low,
            _ => {
                // A file system that does not answer is not known to be full.
                let low = rustix::fs::statvfs(&self.path)
                    .is_ok_and(|free| free.f_bavail.saturating_mul(free.f_frsize) < self.least);
                self.seen = Some((Instant::now(), low));
                low
            }
        }
    }
}

/// An engine that panics has failed like one that returns an error.
fn contain<T>(doing: &str, f: impl FnOnce() -> EngineResult<T>) -> EngineResult<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        Err(EngineError::Broken(format!("it panicked {doing}: {}", message(&*panic))))
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex,
        mpsc::{Sender, channel},
    };

    use super::*;
    use crate::kernel::store::{
        engine::CommitMode,
        scan::Scan,
        sim_disk::SimDisk,
        store::{Store, StoreOptions},
        table::Table,
    };

    const NOTES: Table<u32, u64> = Table::new("test.notes");

    fn memory() -> Store {
        Store::in_memory(StoreOptions::default())
    }
    fn all(tx: &ReadTx) -> Vec<(u32, u64)> {
        tx.scan(&NOTES, Scan::all()).collect::<Result<_>>().unwrap()
    }
    fn notes(store: &Store) -> Vec<(u32, u64)> {
        store.read(|tx| Ok(all(tx))).unwrap()
    }

    /// Keeps the writer busy until the sender is dropped, so that what is sent meanwhile becomes one batch with it.
    fn hold(store: &Store) -> Sender<()> {
        let (release, released) = channel();
        let (begun, beginning) = channel();
        let store = store.clone();
        std::thread::spawn(move || {
            store.write_blocking(move |_| {
                begun.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            })
        });
        beginning.recv().unwrap();
        release
    }

    /// Runs the jobs in one batch and returns their outcomes.
    fn together(store: &Store, jobs: Vec<fn(&mut WriteTx) -> Result<()>>) -> Vec<Result<()>> {
        let before = store.metrics().batches.get();
        let release = hold(store);
        let waiting: Vec<_> = jobs
            .into_iter()
            .enumerate()
            .map(|(place, job)| {
                let other = store.clone();
                let thread = std::thread::spawn(move || other.write_blocking(job));
                while store.metrics().queue_length() <= place as u64 {
                    std::thread::yield_now(); // so that they are queued in this order
                }
                thread
            })
            .collect();
        drop(release);
        let outcomes = waiting.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(store.metrics().batches.get(), before + 1);
        outcomes
    }

    #[test]
    fn a_refused_job_leaves_nothing_and_its_neighbours_live() {
        let store = memory();
        let outcomes = together(
            &store,
            vec![
                |tx| tx.put(&NOTES, &1, &1),
                |tx| {
                    tx.put(&NOTES, &1, &2)?;
                    tx.put(&NOTES, &2, &2)?;
                    tx.on_commit(Box::new(|| panic!("must not run")));
                    Err(fault!("refused"))
                },
                |tx| tx.put(&NOTES, &3, &3),
            ],
        );
        assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(notes(&store), [(1, 1), (3, 3)]);
        assert_eq!((store.metrics().commits.get(), store.metrics().committed_jobs.get()), (1, 4));
        assert_eq!(store.metrics().panics.get(), 0);
    }

    #[test]
    fn a_job_reads_what_it_and_the_jobs_before_it_wrote() {
        let store = memory();
        let outcomes = together(
            &store,
            vec![
                |tx| tx.put(&NOTES, &2, &2),
                |tx| {
                    tx.put(&NOTES, &1, &1)?;
                    assert_eq!(all(tx), [(1, 1), (2, 2)]);
                    assert_eq!(tx.get(&NOTES, &2)?, Some(2));
                    tx.delete(&NOTES, &2).map(drop)
                },
                |tx| {
                    assert_eq!(all(tx), [(1, 1)]);
                    Ok(())
                },
            ],
        );
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    #[test]
    fn a_panic_costs_only_the_job_that_panicked() {
        let store = memory();
        let outcomes = together(
            &store,
            vec![
                |tx| tx.put(&NOTES, &1, &1),
                |tx| {
                    tx.put(&NOTES, &1, &2)?;
                    tx.attempt(|_| panic!("on purpose"))
                },
                |tx| tx.put(&NOTES, &3, &3),
            ],
        );
        let error = outcomes[1].as_ref().unwrap_err().to_string();
        assert!(error.contains("panicked: on purpose"), "{error}");
        assert_eq!(notes(&store), [(1, 1), (3, 3)]);
        assert_eq!(store.metrics().panics.get(), 1);
        assert!(store.is_alive());
    }

    #[test]
    fn jobs_of_many_callers_share_commits() {
        let store = Store::with_backend(SimDisk::new(1), StoreOptions::default()).unwrap();
        std::thread::scope(|scope| {
            for caller in 0..64u32 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..10 {
                        store.write_blocking(move |tx| tx.put(&NOTES, &(caller * 100 + round), &7)).unwrap();
                    }
                });
            }
        });
        let (jobs, commits) = (store.metrics().jobs.get(), store.metrics().commits.get());
        assert_eq!((jobs, notes(&store).len(), store.metrics().queue_length()), (640, 640, 0));
        assert!(commits < jobs / 4, "{commits} commits for {jobs} jobs");
    }

    #[test]
    fn a_safe_commit_syncs_twice_and_a_fast_one_once() {
        for (commit, syncs) in [(CommitMode::Safe, 2), (CommitMode::Fast, 1)] {
            let disk = SimDisk::new(1);
            let store = Store::with_backend(disk.clone(), StoreOptions { commit, ..StoreOptions::default() })
                .unwrap();
            for number in 0..20 {
                let before = disk.syncs();
                store.write_blocking(move |tx| tx.put(&NOTES, &number, &7)).unwrap();
                assert_eq!(disk.syncs() - before, syncs, "{commit:?}, commit {number}");
            }
            let before = disk.syncs();
            store.write_blocking(|tx| Ok(all(tx))).unwrap();
            assert_eq!(disk.syncs(), before, "nothing was written, so nothing is synced");
        }
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let store = Store::in_memory(StoreOptions { queue: 1, ..StoreOptions::default() });
        let release = hold(&store);
        let other = store.clone();
        let waiting = std::thread::spawn(move || other.write_blocking(|tx| tx.put(&NOTES, &1, &1)));
        while store.metrics().queue_length() == 0 {
            std::thread::yield_now();
        }
        let refused = store.write_blocking(|tx| tx.put(&NOTES, &2, &2)).unwrap_err();
        assert_eq!(refused.refusal(), Some(&StoreRefusal::Overloaded));
        drop(release);
        waiting.join().unwrap().unwrap();
        assert_eq!((notes(&store), store.metrics().refused_overloaded.get()), (vec![(1, 1)], 1));
    }

    #[test]
    fn after_a_storage_error_the_outcome_is_unknown_and_nothing_more_is_written() {
        let disk = SimDisk::new(1);
        let store = Store::with_backend(disk.clone(), StoreOptions::default()).unwrap();
        store.write_blocking(|tx| tx.put(&NOTES, &1, &1)).unwrap();
        disk.fail_in(1);
        let unknown = store.write_blocking(|tx| tx.put(&NOTES, &2, &2)).unwrap_err();
        assert_eq!(unknown.refusal(), Some(&StoreRefusal::OutcomeUnknown));
        let why = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.failed());
        assert!(why.contains("simulated disk"), "{why}");
        assert!(!store.is_alive());
        let stopped = Some(&StoreRefusal::ShuttingDown);
        assert_eq!(store.write_blocking(|_| Ok(())).unwrap_err().refusal(), stopped);
        assert_eq!(store.read(|tx| tx.get(&NOTES, &1)).unwrap_err().refusal(), stopped);
        assert!(store.close().is_err());
    }

    #[test]
    fn a_disk_nearly_full_refuses_writes_and_answers_reads() {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions { min_free_bytes: u64::MAX, ..StoreOptions::default() };
        let store = Store::open_file(&directory.path().join("coffer.redb"), true, options).unwrap();
        let refused = store.write_blocking(|tx| tx.put(&NOTES, &1, &1)).unwrap_err();
        assert_eq!(refused.refusal(), Some(&StoreRefusal::OutOfSpace));
        assert_eq!((notes(&store), store.metrics().refused_low_disk.get()), (vec![], 1));
    }

    #[test]
    fn what_is_to_happen_after_the_commit_finds_it_committed() {
        let store = memory();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (inner, hook_seen) = (store.clone(), seen.clone());
        let job = move |tx: &mut WriteTx| {
            tx.put(&NOTES, &1, &1)?;
            tx.on_commit(Box::new(move || *hook_seen.lock().unwrap() = notes(&inner)));
            Ok(())
        };
        store.write_blocking(job).unwrap();
        assert_eq!(*seen.lock().unwrap(), [(1, 1)]);
    }

    #[test]
    fn a_write_inside_a_write_is_a_fault_and_not_a_standstill() {
        let store = memory();
        let inner = store.clone();
        let outcome = store.write_blocking(move |_| inner.write_blocking(|_| Ok(())));
        assert!(outcome.unwrap_err().to_string().contains("inside"));
    }

    #[test]
    fn time_stands_still_rather_than_going_backwards() {
        let clock = Clock::manual(Time::from_micros(1_000));
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
        let now = || store.write_blocking(|tx| Ok(tx.now().micros())).unwrap();
        assert_eq!(now(), 1_000);
        if let Clock::Manual(at) = &clock {
            at.store(400, SeqCst);
        }
        assert_eq!((now(), store.read(|tx| Ok(tx.now().micros())).unwrap()), (1_000, 1_000));
    }

    #[tokio::test]
    async fn an_async_caller_gets_the_answer_and_a_closed_store_refuses() {
        let store = memory();
        assert_eq!(store.write(|tx| tx.put(&NOTES, &1, &1).map(|()| 5)).await.unwrap(), 5);
        store.close().unwrap();
        let refused = store.write(|tx| tx.put(&NOTES, &2, &1)).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(&StoreRefusal::ShuttingDown));
    }
}
