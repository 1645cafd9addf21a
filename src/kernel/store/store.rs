//! [`Store`]: what the rest of the crate reads and writes through.

use std::{
    any::Any,
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::JoinHandle,
    time::Instant,
};

use tokio::sync::{oneshot, watch};

use super::{
    engine::{CommitMode, Engine, EngineError, EngineResult},
    limit::{ReadLimit, SNAPSHOT_AGE},
    metrics::StoreMetrics,
    names::{Beside, Names},
    open::{self, OpenResult},
    random::Random,
    tx::{ReadTx, WriteTx},
    writer::{DiskWatch, Job, Shared, Task, Writer},
};
use crate::kernel::{
    clock::Clock,
    error::{Result, fault, refusals},
    id::Id,
};

refusals! {
    /// What the store refuses whatever the command was.
    pub enum StoreRefusal {
        /// More commands are waiting than can be worked off soon. Nothing was done: send it again after the
        /// time in Retry-After.
        Overloaded: Unavailable "overloaded" => "too many commands are waiting",
        /// The storage failed while the command was being made durable, so it may have happened or not.
        /// Send it again with the same idempotency key: the answer says which.
        OutcomeUnknown: Unavailable "outcome_unknown" => "the storage failed; the command may have happened or not",
        /// The disk is nearly full, so nothing is written; reads go on. The operator has to make room.
        OutOfSpace: OutOfSpace "insufficient_storage" => "the disk is nearly full; nothing was written",
        /// The read took too long. Send it again, or ask for less at once.
        SnapshotTooOld: Unavailable "snapshot_too_old" => "the read took longer than a snapshot may live",
        /// The server is stopping. Nothing was done: send it again to the one that takes over.
        ShuttingDown: Unavailable "shutting_down" => "the server is stopping",
    }
}

/// How a store works.
#[derive(Clone)]
pub struct StoreOptions {
    pub commit: CommitMode,
    /// What the engine may keep of the file in memory, in bytes.
    pub cache_bytes: usize,
    /// How many jobs may wait; a further one is refused as `overloaded`.
    pub queue: usize,
    pub clock: Clock,
    /// Makes ids and random bytes repeatable: for tests.
    pub seed: Option<u64>,
    /// With less free space on the disk of the file, writes are refused. Zero: never.
    pub min_free_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            commit: CommitMode::Safe,
            cache_bytes: 64 * 1024 * 1024,
            queue: 4096,
            clock: Clock::System,
            seed: None,
            min_free_bytes: 0,
        }
    }
}

/// A database. Clones are the same one; it is closed by [`Store::close`], or with the last clone.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    /// `None` when it is closed, or was opened for reading.
    jobs: RwLock<Option<SyncSender<Box<dyn Job>>>>,
    writer: Mutex<Option<JoinHandle<EngineResult<()>>>>,
    read_only: bool,
}

impl Store {
    /// Opens a file for reading and writing. Where none is, makes a new database if `create` says so.
    pub fn open_file(path: &Path, create: bool, options: StoreOptions) -> OpenResult<Store> {
        let engine = open::open_file(path, create, options.commit, options.cache_bytes)?;
        Ok(Store::start(Box::new(engine), Some(path.to_owned()), options))
    }

    /// Opens a file for reading: also one that a server in safe mode is writing, whose commits it follows. Writing to
    /// it is a fault.
    pub fn open_read_only(path: &Path, clock: Clock) -> OpenResult<Store> {
        let options = StoreOptions { clock, ..StoreOptions::default() };
        let engine = open::open_read_only(path, options.cache_bytes)?;
        Ok(Store::handle(Box::new(engine), Some(path.to_owned()), options.clock, true))
    }

    /// A new database that is gone when the store is.
    pub fn in_memory(options: StoreOptions) -> Store {
        Store::with_backend(redb::backends::InMemoryBackend::new(), options)
            .expect("a new database in memory opens: nothing in it could be wrong")
    }

    /// Opens whatever stores bytes, such as the failing disk of a test. An empty one becomes a new database.
    pub fn with_backend(backend: impl redb::StorageBackend, options: StoreOptions) -> OpenResult<Store> {
        let engine = open::open_backend(backend, options.commit, options.cache_bytes)?;
        Ok(Store::start(Box::new(engine), None, options))
    }

    /// Runs `job` on the writer thread, with whatever others are waiting, and returns when all of them are durable.
    /// `Err` leaves no trace of what it wrote.
    ///
    /// Never do anything slow in a job: everybody waits. Dropping the future does not take the job back.
    pub async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut WriteTx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        // When nobody waits any more there is nobody to tell.
        self.send(Box::new(Task::new(job, move |outcome| drop(reply.send(outcome)))))?;
        answer.await.unwrap_or_else(|_| Err(StoreRefusal::OutcomeUnknown.into()))
    }

    /// [`Store::write`] for a thread that may wait. A fault from within a job, which would wait for itself.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut WriteTx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.on_writer_thread() {
            return Err(fault!("a write inside a write"));
        }
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Box::new(Task::new(job, move |outcome| drop(reply.send(outcome)))))?;
        answer.recv().unwrap_or_else(|_| Err(StoreRefusal::OutcomeUnknown.into()))
    }

    /// Reads what is committed now. Inline: use `spawn_blocking` for what may go over many rows. After five seconds
    /// every further read is refused as `snapshot_too_old`.
    pub fn read<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        read(&self.0.shared, f)
    }

    /// Reads for as long as it takes: backup, `verify`, export. Ends in a fault when the file grows by a fifth under it.
    pub fn read_unbounded<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        let _open = self.0.shared.metrics.begin_read(true);
        let limit = match (&self.0.path, self.file_bytes()) {
            (Some(path), Some(bytes)) => ReadLimit::growth(path.clone(), bytes),
            _ => ReadLimit::None,
        };
        f(&self.read_tx(limit)?)
    }

    pub fn clock(&self) -> &Clock {
        &self.0.shared.clock
    }

    /// Says which tables are in this file and what they are called there. Once, before anything else; until then
    /// every table is here, under its own name.
    pub fn place(&self, names: Names) -> Result<()> {
        self.0.shared.with_engine(|engine| {
            engine.place(names);
            Ok(())
        })?;
        Ok(())
    }

    /// Says which other files there are: the modules `here` are kept in this one, `modules` in those, all others in
    /// `otherwise`, which is this one where none is said. Once, with [`Store::place`].
    pub fn stand_beside(
        &self,
        here: BTreeSet<&'static str>,
        modules: &[(&'static str, Store)],
        otherwise: Option<&Store>,
    ) {
        let modules = modules.iter().map(|(module, store)| (*module, store.neighbour())).collect();
        let beside = Beside { here, modules, otherwise: otherwise.map(Store::neighbour) };
        let _ = self.0.shared.beside.set(Arc::new(beside));
    }

    fn neighbour(&self) -> Neighbour {
        Neighbour(Arc::downgrade(&self.0.shared))
    }

    /// Hangs something on every later write transaction, where `tx.extension()` finds it.
    pub fn extend(&self, extension: impl Any + Send + Sync) {
        self.extend_shared(Arc::new(extension));
    }

    /// The same for what others hold too.
    pub fn extend_shared(&self, extension: Arc<dyn Any + Send + Sync>) {
        self.0.shared.extensions.write().unwrap_or_else(PoisonError::into_inner).push(extension);
    }

    /// Makes every later id greater than `id`, whatever the clock says: ids go on in order after a restart.
    pub fn ids_after(&self, id: impl Id) {
        *self.0.shared.ids_after.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.bytes());
    }

    /// Whether the last write found too little space on the disk.
    pub fn is_low_on_disk(&self) -> bool {
        self.0.shared.low_on_disk.load(SeqCst)
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.0.shared.metrics
    }

    /// How long the file is; `None` when there is none.
    pub fn file_bytes(&self) -> Option<u64> {
        self.0.shared.with_engine(|engine| Ok(engine.file_bytes())).ok().flatten()
    }

    /// Whether it is neither closed nor has failed.
    pub fn is_alive(&self) -> bool {
        self.0.shared.with_engine(|_| Ok(())).is_ok()
    }

    /// Why the storage failed, if it has. The process must then end: only opening the file again shows what is in it.
    pub fn failure(&self) -> Option<String> {
        self.0.shared.failure.borrow().clone()
    }

    /// Waits until the storage fails and says why. Never returns while all is well.
    pub async fn failed(&self) -> String {
        let mut failure = self.0.shared.failure.subscribe();
        loop {
            if let Some(why) = failure.borrow_and_update().clone() {
                return why;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Runs what is waiting, then closes the file so that it opens quickly again. Later writes are refused, reads too.
    /// Closing a second time does nothing.
    pub fn close(&self) -> Result<()> {
        Ok(self.0.close()?)
    }

    fn start(engine: Box<dyn Engine>, path: Option<PathBuf>, options: StoreOptions) -> Store {
        let disk = path
            .clone()
            .filter(|_| options.min_free_bytes > 0)
            .map(|at| DiskWatch::new(at, options.min_free_bytes));
        let store = Store::handle(engine, path, options.clock, false);
        let (sender, receiver) = mpsc::sync_channel(options.queue.max(1));
        let writer = Writer::new(store.0.shared.clone(), receiver, Random::new(options.seed), disk);
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run());
        *store.0.jobs.write().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        *store.0.writer.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(thread.expect("a process that is starting can start a thread"));
        store
    }

    fn handle(engine: Box<dyn Engine>, path: Option<PathBuf>, clock: Clock, read_only: bool) -> Store {
        let shared = Shared {
            engine: RwLock::new(Some(engine)),
            metrics: StoreMetrics::default(),
            clock,
            last: AtomicI64::new(i64::MIN),
            failure: watch::Sender::new(None),
            extensions: RwLock::default(),
            ids_after: Mutex::default(),
            low_on_disk: AtomicBool::new(false),
            beside: OnceLock::new(),
        };
        Store(Arc::new(Handle {
            shared: Arc::new(shared),
            path,
            jobs: RwLock::default(),
            writer: Mutex::default(),
            read_only,
        }))
    }

    fn read_tx(&self, limit: ReadLimit) -> Result<ReadTx> {
        read_tx(&self.0.shared, limit)
    }

    fn send(&self, job: Box<dyn Job>) -> Result<()> {
        let jobs = self.0.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let metrics = &self.0.shared.metrics;
        let Some(jobs) = jobs.as_ref() else {
            return Err(if self.0.read_only {
                fault!("the database was opened for reading only")
            } else {
                StoreRefusal::ShuttingDown.into()
            });
        };
        metrics.queued.fetch_add(1, SeqCst);
        jobs.try_send(job).map_err(|refused| {
            metrics.queued.fetch_sub(1, SeqCst);
            match refused {
                TrySendError::Full(_) => {
                    metrics.refused_overloaded.add(1);
                    StoreRefusal::Overloaded.into()
                }
                TrySendError::Disconnected(_) => StoreRefusal::ShuttingDown.into(),
            }
        })
    }

    fn on_writer_thread(&self) -> bool {
        let writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.as_ref().is_some_and(|writer| writer.thread().id() == std::thread::current().id())
    }
}

/// Another file, as long as it is open: two files that know each other do not keep each other open.
pub(super) struct Neighbour(Weak<Shared>);

impl Neighbour {
    pub fn read<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
        let shared = self.0.upgrade().ok_or_else(|| fault!("the other file is closed"))?;
        read(&shared, f)
    }
}

fn read<T>(shared: &Shared, f: impl FnOnce(&ReadTx) -> Result<T>) -> Result<T> {
    let _open = shared.metrics.begin_read(false);
    f(&read_tx(shared, ReadLimit::Until(Instant::now() + SNAPSHOT_AGE))?)
}

fn read_tx(shared: &Shared, limit: ReadLimit) -> Result<ReadTx> {
    let snapshot = shared.with_engine(|engine| engine.snapshot())?;
    Ok(ReadTx::new(snapshot, shared.now(), limit, shared.beside.get().cloned()))
}

impl Handle {
    fn close(&self) -> EngineResult<()> {
        drop(self.jobs.write().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer {
            // The last clone may be dropped by a job; the thread then closes the database when it ends.
            Some(writer) if writer.thread().id() == std::thread::current().id() => Ok(()),
            Some(writer) => writer
                .join()
                .unwrap_or_else(|_| Err(EngineError::Broken("the writer thread panicked".into()))),
            None if self.read_only => self.shared.close_engine(),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the database did not close cleanly");
        }
    }
}
