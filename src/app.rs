//! The server, top to bottom: open the store · migrate · register the modules · start the worker · serve · stop.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use axum::Router;
use tokio::sync::watch;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use crate::{
    config::{Commit, Config},
    homes::{self, Cast, Way},
    kernel::{
        annex::{self, Annex},
        api::{audit, dispatch, idempotency, meta, pieces, server, testing, whole},
        boot::{Boot, Kernel, Module},
        clock::{Clock, Time},
        events::{self, outbox::highest_event},
        secret::Secrets,
        store::{
            CommitMode, OpenError, ReadTx, Store, StoreOptions, Table, WriteTx,
            codec::{Decode, Encode, row},
            migration::{self, MIGRATIONS},
            random::Random,
        },
    },
    start_error::StartError,
};

/// The whole server.
pub struct App {
    kernel: Arc<Kernel>,
    worker: Option<JoinHandle<()>>,
}

/// () → this incarnation of the server.
const INCARNATION: Table<(), Incarnation> = Table::new("kernel.incarnation");

/// () → a hash made with the installation's key: tells a wrong key file from the right one.
const KEY_CHECK: Table<(), KeyCheck> = Table::new("kernel.key_check");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct KeyCheck {
    hash: [u8; 32],
}
row!(KeyCheck);

/// How often the server was started on this database.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct Incarnation {
    epoch: u64,
    started_at: Time,
    /// It ended because it was told to.
    stopped: bool,
}
row!(Incarnation);

impl App {
    /// Opens the configured database; makes a new one (with its key file) when `create` and there is none.
    pub fn open(config: Config, create: bool, clock: Clock) -> Result<App, StartError> {
        homes::check(&config, &Cast::PRODUCT)?;
        let path = &config.storage.path;
        let is_new = create && !path.exists();
        if is_new && let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            let path = path.display().to_string();
            std::fs::create_dir_all(folder)
                .map_err(|error| OpenError::CannotCreate { path, why: error.to_string() })?;
        }
        let store = Store::open_file(path, create, options(&config, clock))?;
        let secrets = Secrets::open(&config.key_file(), is_new, &mut Random::Os).map_err(StartError::Key)?;
        App::start(store, secrets, config, false)
    }

    /// A server whose data lives in memory and vanishes with it. With a `seed`, ids and tokens repeat.
    pub fn in_memory(config: Config, clock: Clock, seed: Option<u64>) -> Result<App, StartError> {
        let store = Store::in_memory(StoreOptions { seed, ..options(&config, clock) });
        let key = Random::new(seed).bytes();
        App::start(store, Secrets::new(&key), config, true)
    }

    /// As [`App::in_memory`], on a store of the caller's: a file, a failing disk.
    pub fn start(
        store: Store,
        secrets: Secrets,
        config: Config,
        is_ephemeral: bool,
    ) -> Result<App, StartError> {
        App::start_as(&Cast::PRODUCT, store, secrets, config, is_ephemeral)
    }

    /// As [`App::start`], with other modules than the product's.
    pub(crate) fn start_as(
        cast: &Cast,
        store: Store,
        secrets: Secrets,
        config: Config,
        is_ephemeral: bool,
    ) -> Result<App, StartError> {
        homes::check(&config, cast)?;
        let check = secrets.hash("coffer: the key of this database");
        store.write_blocking(move |tx| check_key(tx, &check))?.map_err(StartError::Key)?;
        let way = if is_ephemeral { Way::InMemory } else { Way::Serving };
        let annexes = homes::settle(cast, &store, &config, way, &options(&config, store.clock().clone()))?;
        for annex in &annexes {
            annex.store.write_blocking(move |tx| check_key(tx, &check))?.map_err(StartError::Key)?;
            annex::resume(annex, &store)?;
        }
        migrate(cast, &store, &annexes, &config)?;
        let (epoch, was_cut_off) = store.write_blocking(begin_incarnation)?;
        if let Some(last) = store.read(highest_event)? {
            store.ids_after(last);
        }
        let boot = register(cast, store, annexes, secrets, config, is_ephemeral)?;
        let kernel = Arc::new(boot.finish(epoch)?);
        kernel.worker.recover(was_cut_off)?;
        let worker = kernel.worker.clone();
        let worker = std::thread::Builder::new().name("worker".into()).spawn(move || worker.run());
        let worker = worker.map_err(|error| StartError::Key(error.into()))?;
        Ok(App { kernel, worker: Some(worker) })
    }

    /// The kernel over a database opened for reading only: for `verify` and the like beside a running server.
    pub fn inspect(config: Config, clock: Clock) -> Result<Kernel, StartError> {
        homes::check(&config, &Cast::PRODUCT)?;
        let store = Store::open_read_only(&config.storage.path, clock.clone())?;
        // Verifying needs no key; one that is there has to be the right one.
        let secrets = match Secrets::open(&config.key_file(), false, &mut Random::Os) {
            Ok(secrets) => {
                let check = secrets.hash("coffer: the key of this database");
                store.read(|tx| is_key(tx, &check))?.map_err(StartError::Key)?;
                secrets
            }
            Err(_) => Secrets::new(&[0; 32]),
        };
        let options = options(&config, clock);
        let annexes = homes::settle(&Cast::PRODUCT, &store, &config, Way::Reading, &options)?;
        Ok(register(&Cast::PRODUCT, store, annexes, secrets, config, false)?.finish(0)?)
    }

    /// Whether the modules take this configuration: what only they can tell, such as the names of events. Nothing is
    /// opened and nothing is started.
    pub fn check(config: Config) -> Result<(), StartError> {
        let store = Store::in_memory(StoreOptions::default());
        homes::check(&config, &Cast::PRODUCT)?;
        let options = options(&config, Clock::System);
        let annexes = homes::settle(&Cast::PRODUCT, &store, &config, Way::InMemory, &options)?;
        register(&Cast::PRODUCT, store, annexes, Secrets::new(&[0; 32]), config, false)?.finish(0)?;
        Ok(())
    }

    /// The kernel over a database opened for writing, with nothing migrated and nothing running: for `module migrate`
    /// and `rollback`.
    pub fn stopped(config: Config, clock: Clock) -> Result<Kernel, StartError> {
        homes::check(&config, &Cast::PRODUCT)?;
        let options = options(&config, clock);
        let store = Store::open_file(&config.storage.path, false, options.clone())?;
        let secrets = Secrets::open(&config.key_file(), false, &mut Random::Os).map_err(StartError::Key)?;
        let check = secrets.hash("coffer: the key of this database");
        store.read(|tx| is_key(tx, &check))?.map_err(StartError::Key)?;
        let annexes = homes::settle(&Cast::PRODUCT, &store, &config, Way::Serving, &options)?;
        Ok(register(&Cast::PRODUCT, store, annexes, secrets, config, false)?.finish(0)?)
    }

    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The HTTP surface, without a socket.
    pub fn router(&self) -> Router {
        router(&self.kernel)
    }

    /// The local socket of the command line, bound; none where the data is in memory.
    pub fn bind_local(&self) -> Result<Option<server::Listener>, StartError> {
        if self.kernel.is_ephemeral {
            return Ok(None);
        }
        let path = self.kernel.config.socket_path();
        let bound = server::Listener::bind_local(&path);
        bound.map(Some).map_err(|error| StartError::Listen(path.display().to_string(), error))
    }

    /// Answers at both listeners until `stop` turns true.
    pub async fn serve(
        &self,
        listener: server::Listener,
        local: Option<server::Listener>,
        stop: watch::Receiver<bool>,
    ) {
        let config = &self.kernel.config.server;
        let serve = |listener, is_admin| {
            server::serve(listener, self.router(), config.clone(), is_admin, stop.clone())
        };
        match local {
            None => serve(listener, false).await,
            Some(local) => drop(tokio::join!(serve(listener, false), serve(local, true))),
        }
    }

    /// Stops the worker and closes the database. Also when dropped.
    pub fn close(&mut self) {
        self.kernel.worker.stop();
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
            // A store that takes no writes any more was not stopped as it should be: the next start is careful.
            let _ = self.kernel.store.write_blocking(end_incarnation);
        }
        if let Err(error) = self.kernel.close() {
            tracing::error!(error = %error, "The database did not close cleanly: {error}");
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.close();
    }
}

/// Everything the server answers.
pub fn router(kernel: &Arc<Kernel>) -> Router {
    let pages = meta::pages(kernel);
    let origins: Vec<_> = kernel.config.server.cors_origins.iter().filter_map(|it| it.parse().ok()).collect();
    let router = dispatch::router(kernel).merge(pages);
    if origins.is_empty() {
        return router;
    }
    let exposed = ["x-request-id", "etag", "retry-after", "idempotent-replayed"]
        .map(hyper::header::HeaderName::from_static);
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods(Any)
        .allow_headers(Any)
        .expose_headers(exposed)
        .max_age(Duration::from_secs(3600));
    router.layer(cors)
}

fn options(config: &Config, clock: Clock) -> StoreOptions {
    StoreOptions {
        commit: match config.storage.commit {
            Commit::Safe => CommitMode::Safe,
            Commit::Fast => CommitMode::Fast,
        },
        cache_bytes: config.cache_bytes(),
        queue: config.storage.queue_jobs,
        clock,
        seed: None,
        min_free_bytes: config.storage.min_free_mb * 1024 * 1024,
    }
}

fn migrate(cast: &Cast, store: &Store, annexes: &[Annex], config: &Config) -> Result<(), StartError> {
    // What is switched off stays as it is, and is brought up to date when it is switched on again.
    let is_on = |it: &&Module| config.modules.get(it.name).is_none_or(|it| it.enabled);
    for module in cast.modules.iter().filter(is_on) {
        let annex = annexes.iter().find(|it| it.modules.contains(&module.name));
        let store = annex.map_or(store, |it| &it.store);
        for applied in migration::migrate(store, module.name, module.migrations)? {
            tracing::info!(
                module = module.name,
                version = applied.version,
                "Migrated {} to {}",
                module.name,
                applied.name
            );
        }
    }
    Ok(())
}

/// The number of this incarnation, and whether the one before ended without being told to.
/// Notes which key the database belongs to, the first time; afterwards only that one will do.
fn check_key(tx: &mut WriteTx, hash: &[u8; 32]) -> crate::kernel::error::Result<anyhow::Result<()>> {
    if !tx.exists(&KEY_CHECK, &())? {
        tx.put(&KEY_CHECK, &(), &KeyCheck { hash: *hash })?;
    }
    is_key(tx, hash)
}

fn is_key(tx: &ReadTx, hash: &[u8; 32]) -> crate::kernel::error::Result<anyhow::Result<()>> {
    let known = tx.get(&KEY_CHECK, &())?;
    Ok(match known {
        Some(known) if known.hash != *hash => {
            Err(anyhow::anyhow!("the key file is not the one of this database; restore it from a backup"))
        }
        _ => Ok(()),
    })
}

fn begin_incarnation(tx: &mut WriteTx) -> crate::kernel::error::Result<(u64, bool)> {
    let before = tx.get(&INCARNATION, &())?;
    let epoch = before.as_ref().map_or(1, |it| it.epoch + 1);
    tx.put(&INCARNATION, &(), &Incarnation { epoch, started_at: tx.now(), stopped: false })?;
    Ok((epoch, before.is_some_and(|it| !it.stopped)))
}

fn end_incarnation(tx: &mut WriteTx) -> crate::kernel::error::Result<()> {
    match tx.get(&INCARNATION, &())? {
        Some(row) => tx.put(&INCARNATION, &(), &Incarnation { stopped: true, ..row }),
        None => Ok(()),
    }
}

fn register(
    cast: &Cast,
    store: Store,
    annexes: Vec<Annex>,
    secrets: Secrets,
    config: Config,
    is_ephemeral: bool,
) -> Result<Boot, StartError> {
    let keep = Duration::from_secs(config.idempotency.keep_days * 24 * 3600);
    let mut boot = Boot::new(store, Arc::new(secrets), Arc::new(config), is_ephemeral);
    boot.annexes(annexes);
    boot.refusals(meta::refusals());
    boot.endpoints(meta::endpoints());
    boot.endpoints(audit::endpoints());
    boot.endpoints(whole::endpoints());
    if is_ephemeral {
        boot.endpoints(testing::endpoints());
    }
    boot.alias("aud", "audit row");
    boot.alias("req", "request");
    boot.job(idempotency::sweeper(keep));
    boot.tables(vec![
        audit::AUDIT.info(),
        idempotency::RECORDS.info(),
        pieces::ANSWERS.info(),
        MIGRATIONS.info(),
        INCARNATION.info(),
        KEY_CHECK.info(),
        homes::HOMES.info(),
        annex::RELAY.info(),
        annex::MARKS.info(),
        annex::HEARD.info(),
    ]);
    events::register(&mut boot);
    for module in cast.modules {
        boot.register(module)?;
    }
    Ok(boot)
}
