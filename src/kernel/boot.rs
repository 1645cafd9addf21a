//! How a module joins the server.
//!
//! A [`Module`] is a value; [`Boot`] is what its `register` function is handed. Modules register in the order of the
//! list in `modules/mod.rs` and can only ask for contracts provided before them: a cycle cannot start.

use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    future::Future,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use serde_json::Value;

use super::{
    annex::{self, Annex, Away, Relaying},
    api::{
        endpoint::Endpoint, idempotency, limits::Limits, pieces::AtWork, principal::Authenticator,
        shape::Shape,
    },
    clock::Time,
    error::{Error, RefusalInfo, Result},
    events::{
        bus::{Bell, Bus, Overhear, Overheard},
        courier::{AnyCourier, Courier, Plainly, Report, Sending, Target, TargetPlan},
        event::{Envelope, Event, EventInfo, Listener, Mode, Run},
        frequency::{self, Frequency},
        plan::{Plans, When},
        routes::LateBus,
        schedule::{Planned, Schedule, Schedules, Task},
        worker::{Job, Worker},
    },
    net::{Net, Policy},
    secret::Secrets,
    store::{ReadTx, Store, TableInfo, WriteTx, migration::Migration},
};
use crate::config::{Config, ConfigError};

/// A module of the product.
pub struct Module {
    /// Also the prefix of its table names.
    pub name: &'static str,
    /// One line: what it owns.
    pub about: &'static str,
    pub register: fn(&mut Boot) -> Result<(), BootError>,
    /// From version 1 on; run at boot before anything else.
    pub migrations: &'static [Migration],
}

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error("module `{module}` requires `{contract}`, which no module before it provides")]
    Missing { module: &'static str, contract: &'static str },
    #[error("`{contract}` is provided twice, the second time by module `{module}`")]
    Twice { module: &'static str, contract: &'static str },
    #[error(
        "module `{module}` requires `{contract}` of module `{provider}`, which modules.{provider}.enabled switches off. \
         Switch both off, or neither"
    )]
    SwitchedOff { module: &'static str, contract: &'static str, provider: &'static str },
    /// It has a file of its own, and brings what needs one transaction with the books.
    #[error(
        "module `{module}` cannot live in connection {connection}: {what}. Set modules.{module}.database.connection = \
         \"default\""
    )]
    Tied { module: &'static str, connection: String, what: String },
    #[error("two modules use the name `{name}` for a {what}, the second is `{module}`")]
    NameTaken { module: &'static str, what: &'static str, name: String },
    /// A setting that only the module could check, or a file it needs.
    #[error("module `{module}`: {problem}")]
    Setting { module: &'static str, problem: String },
    #[error("schedule `{name}`: found \"{frequency}\", wanted {}", frequency::WANTED)]
    Frequency { name: &'static str, frequency: String },
}

/// Why the kernel was not put together.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] Error),
}

/// A service that can be looked up by name (`user_balance`).
#[derive(Debug, Clone)]
pub struct ServiceInfo {
    pub name: &'static str,
    pub contract: &'static str,
    pub module: &'static str,
}

/// An id prefix and what it names.
#[derive(Debug, Clone)]
pub struct AliasInfo {
    pub prefix: &'static str,
    pub entity: &'static str,
    pub module: &'static str,
}

/// Every permission there is; complete once all modules have registered.
#[derive(Clone, Default)]
pub struct Catalogue(Arc<OnceLock<Arc<BTreeSet<String>>>>);

impl Catalogue {
    /// The names; empty while modules register.
    pub fn get(&self) -> Arc<BTreeSet<String>> {
        self.0.get().cloned().unwrap_or_default()
    }
}

/// Whether the installation has an operator.
type Claim = dyn Fn(&ReadTx) -> Result<bool> + Send + Sync;

/// What a check of the books found wrong; empty when it is right.
pub type Check = dyn Fn(&ReadTx) -> Result<Vec<String>> + Send + Sync;

/// What must be true of a module's data.
pub struct Invariant {
    pub module: &'static str,
    /// About tables in `default`, wherever the module lives.
    pub beside_outbox: bool,
    pub name: &'static str,
    pub check: Arc<Check>,
}

/// Everything the modules brought, and what they share: one per server.
pub struct Kernel {
    /// The file `default`.
    pub store: Store,
    /// The others.
    pub annexes: Vec<Annex>,
    pub secrets: Arc<Secrets>,
    pub config: Arc<Config>,
    /// The way to the outside.
    pub net: Arc<Net>,
    pub modules: Vec<ModuleInfo>,
    pub endpoints: Vec<Endpoint>,
    pub services: BTreeMap<&'static str, (ServiceInfo, Arc<dyn Any + Send + Sync>)>,
    pub aliases: Vec<AliasInfo>,
    pub refusals: Vec<RefusalInfo>,
    pub machines: Vec<Value>,
    pub events: BTreeSet<EventInfo>,
    pub tables: Vec<TableInfo>,
    pub checks: Vec<Invariant>,
    pub authenticators: Vec<(&'static [&'static str], Arc<dyn Authenticator>)>,
    /// Every permission there is.
    pub permissions: Arc<BTreeSet<String>>,
    /// The JSON forms of their payloads.
    pub event_shapes: BTreeMap<&'static str, Shape>,
    /// What clients are sent of an event, and the headers it comes with.
    pub message: Option<(Shape, &'static [(&'static str, &'static str)])>,
    pub bus: Arc<Bus>,
    pub worker: Arc<Worker>,
    pub limits: Limits,
    /// Commands in pieces that are being run.
    pub at_work: AtWork,
    /// Whether an operator has claimed the installation. Until then only the claim answers.
    pub claimed: AtomicBool,
    /// Which incarnation of the server this is: one more at every start.
    pub epoch: u64,
    /// Started in memory, with a clock that can be moved.
    pub is_ephemeral: bool,
}

impl Kernel {
    /// The named service, when it is of contract `T`: `kernel.service::<dyn BalanceContract>("user_balance")`.
    pub fn service<T: ?Sized + Send + Sync + 'static>(&self, name: &str) -> Option<Arc<T>> {
        self.services.get(name)?.1.downcast_ref::<Arc<T>>().cloned()
    }
}

/// A registered module.
#[derive(Clone)]
pub struct ModuleInfo {
    pub name: &'static str,
    pub about: &'static str,
    pub migrations: &'static [Migration],
    /// As configured: off, it has only its tables, their checks and its id prefixes.
    pub is_enabled: bool,
    /// The contracts it lets others require.
    pub provides: Vec<&'static str>,
    /// The modules whose contracts it requires.
    pub requires: BTreeSet<&'static str>,
}

/// A contract somebody provided.
struct Provided {
    module: &'static str,
    name: &'static str,
    /// `None` when its module is switched off: known only so that whoever requires it is told.
    contract: Option<Box<dyn Any>>,
}

/// What the register function of a module is handed.
pub struct Boot {
    store: Store,
    annexes: Vec<Annex>,
    secrets: Arc<Secrets>,
    config: Arc<Config>,
    net: Arc<Net>,
    is_ephemeral: bool,
    module: &'static str,
    /// While a module registers that is switched off: nothing it brings runs.
    is_muted: bool,
    /// While a module registers what stays in `default` wherever it lives.
    is_beside_outbox: bool,
    contracts: HashMap<TypeId, Provided>,
    /// Which modules the one that is registering requires.
    required: RefCell<BTreeSet<&'static str>>,
    modules: Vec<ModuleInfo>,
    endpoints: Vec<Endpoint>,
    services: BTreeMap<&'static str, (ServiceInfo, Arc<dyn Any + Send + Sync>)>,
    aliases: Vec<AliasInfo>,
    refusals: Vec<RefusalInfo>,
    machines: Vec<Value>,
    events: BTreeSet<EventInfo>,
    tables: Vec<TableInfo>,
    checks: Vec<Invariant>,
    authenticators: Vec<(&'static [&'static str], Arc<dyn Authenticator>)>,
    event_shapes: BTreeMap<&'static str, Shape>,
    message: Option<(Shape, &'static [(&'static str, &'static str)])>,
    bus: LateBus,
    listeners: Vec<Listener>,
    overhearing: Vec<Arc<Overhear>>,
    targets: BTreeMap<&'static str, Target>,
    schedules: Schedules,
    jobs: Vec<(Store, Job)>,
    claim: Option<Box<Claim>>,
    catalogue: Catalogue,
    errors: Vec<BootError>,
}

impl Boot {
    pub fn new(store: Store, secrets: Arc<Secrets>, config: Arc<Config>, is_ephemeral: bool) -> Boot {
        let policy = Policy { allow: config.webhooks.allow_networks.clone() };
        Boot {
            net: Arc::new(Net::new(policy).trusting(config.webhooks.ca_file.clone())),
            store,
            annexes: vec![],
            secrets,
            config,
            is_ephemeral,
            module: "kernel",
            is_muted: false,
            is_beside_outbox: false,
            contracts: HashMap::new(),
            required: RefCell::default(),
            modules: vec![],
            endpoints: vec![],
            services: BTreeMap::new(),
            aliases: vec![],
            refusals: vec![],
            machines: vec![],
            events: BTreeSet::new(),
            tables: vec![],
            checks: vec![],
            authenticators: vec![],
            event_shapes: BTreeMap::new(),
            message: None,
            bus: LateBus::default(),
            listeners: vec![],
            overhearing: vec![],
            targets: BTreeMap::new(),
            schedules: Schedules::new(),
            jobs: vec![],
            claim: None,
            catalogue: Catalogue::default(),
            errors: vec![],
        }
    }

    /// The files besides `default`: before any module registers.
    pub fn annexes(&mut self, annexes: Vec<Annex>) {
        self.annexes = annexes;
    }

    /// The file of the module that registers, when that is not `default`.
    fn annex(&self) -> Option<&Annex> {
        let own = || self.annexes.iter().find(|it| it.modules.contains(&self.module));
        if self.is_beside_outbox { None } else { own() }
    }

    /// Whether the module has a file of its own.
    pub fn lives_alone(&self) -> bool {
        self.annexes.iter().any(|it| it.modules.contains(&self.module))
    }

    /// What `register` brings works in `default`, where events and deliveries are, wherever the module lives. The
    /// tables it writes are named in `modules::BESIDE_OUTBOX`.
    pub fn beside_outbox<T>(&mut self, register: impl FnOnce(&mut Boot) -> T) -> T {
        let before = std::mem::replace(&mut self.is_beside_outbox, true);
        let registered = register(self);
        self.is_beside_outbox = before;
        registered
    }

    /// Refuses to go on if the module lives alone.
    fn tied(&mut self, what: impl Into<String>) {
        if let Some(connection) = self.annex().map(|it| it.connection.clone()) {
            self.errors.push(BootError::Tied { module: self.module, connection, what: what.into() });
        }
    }

    /// Takes in a module; of one that is switched off, only what its stored data needs.
    pub fn register(&mut self, module: &Module) -> Result<(), BootError> {
        let is_enabled = self.config.modules.get(module.name).is_none_or(|it| it.enabled);
        self.module = module.name;
        self.is_muted = !is_enabled;
        let registered = (module.register)(self);
        let provided = self.contracts.values().filter(|it| it.module == module.name);
        let mut info = ModuleInfo {
            name: module.name,
            about: module.about,
            migrations: module.migrations,
            is_enabled,
            provides: vec![],
            requires: self.required.take(),
        };
        info.provides = provided.map(|it| it.name).collect();
        info.provides.sort_unstable();
        self.modules.push(info);
        self.is_muted = false;
        // What it requires may be switched off with it.
        registered.or_else(|error| if is_enabled { Err(error) } else { Ok(()) })?;
        self.errors.pop().map_or(Ok(()), Err)
    }

    // What a module may ask for.

    /// The contract `T` of an earlier module.
    pub fn require<T: ?Sized + 'static>(&self) -> Result<Arc<T>, BootError> {
        let (module, contract) = (self.module, type_name::<T>());
        let missing = || BootError::Missing { module, contract };
        let provided = self.contracts.get(&TypeId::of::<Arc<T>>()).ok_or_else(missing)?;
        self.required.borrow_mut().insert(provided.module);
        let Some(found) = &provided.contract else {
            return Err(BootError::SwitchedOff { module, contract, provider: provided.module });
        };
        found.downcast_ref::<Arc<T>>().cloned().ok_or_else(missing)
    }

    /// The module's own store, for what writes outside of commands and reads at start. Services are handed
    /// transactions.
    pub fn store(&self) -> Store {
        self.annex().map_or(&self.store, |it| &it.store).clone()
    }

    /// The file `default`, where the books and the outbox are, wherever the module lives.
    pub fn books(&self) -> Store {
        self.store.clone()
    }

    pub fn secrets(&self) -> Arc<Secrets> {
        self.secrets.clone()
    }

    pub fn config(&self) -> Arc<Config> {
        self.config.clone()
    }

    /// The way to the outside, guarded.
    pub fn net(&self) -> Arc<Net> {
        self.net.clone()
    }

    /// Every permission there is: derived from the endpoints of all modules, so complete only after the last.
    pub fn catalogue(&self) -> Catalogue {
        self.catalogue.clone()
    }

    /// Started in memory, with a clock that can be moved.
    pub fn is_ephemeral(&self) -> bool {
        self.is_ephemeral
    }

    /// Who listens to what: there when the last module has registered.
    pub fn bus(&self) -> LateBus {
        self.bus.clone()
    }

    // What a module may offer.

    /// Lets later modules `require` the contract `T`.
    pub fn provide<T: ?Sized + 'static>(&mut self, service: Arc<T>) -> Result<(), BootError> {
        let contract = (!self.is_muted).then(|| Box::new(service) as Box<dyn Any>);
        let provided = Provided { module: self.module, name: type_name::<T>(), contract };
        match self.contracts.insert(TypeId::of::<Arc<T>>(), provided) {
            None => Ok(()),
            Some(_) => Err(BootError::Twice { module: self.module, contract: type_name::<T>() }),
        }
    }

    /// Lets the service be looked up by name.
    pub fn service<T: ?Sized + Send + Sync + 'static>(&mut self, name: &'static str, service: Arc<T>) {
        if self.is_muted {
            return;
        }
        let info = ServiceInfo { name, contract: type_name::<T>(), module: self.module };
        if self.services.insert(name, (info, Arc::new(service))).is_some() {
            self.taken("service", name);
        }
    }

    /// Its operations.
    pub fn endpoints(&mut self, endpoints: Vec<Endpoint>) {
        if self.is_muted {
            return;
        }
        for mut endpoint in endpoints {
            endpoint.module = self.module;
            endpoint.beside_outbox = self.is_beside_outbox;
            if endpoint.money {
                self.tied(format!("{} {} creates or moves money", endpoint.method, endpoint.path));
            }
            if self.endpoints.iter().any(|it| it.method == endpoint.method && it.path == endpoint.path) {
                self.taken("route", endpoint.path);
            }
            self.endpoints.push(endpoint);
        }
    }

    /// Its tables: for the catalogue, and so that `verify` recomputes their indexes.
    pub fn tables(&mut self, tables: Vec<TableInfo>) {
        for table in tables {
            if self.tables.iter().any(|it| it.name == table.name) {
                self.taken("table", table.name);
            }
            self.tables.push(table);
        }
    }

    /// What its contract refuses.
    pub fn refusals(&mut self, catalogue: impl IntoIterator<Item = RefusalInfo>) {
        if self.is_muted {
            return;
        }
        for refusal in catalogue {
            if self.refusals.iter().any(|it| it.code == refusal.code) {
                self.taken("refusal", refusal.code);
            }
            self.refusals.push(refusal);
        }
    }

    /// The ids it gives out: prefix and the word of the glossary.
    pub fn alias(&mut self, prefix: &'static str, entity: &'static str) {
        if self.aliases.iter().any(|it| it.prefix == prefix) {
            self.taken("id prefix", prefix);
        }
        self.aliases.push(AliasInfo { prefix, entity, module: self.module });
    }

    /// A state machine's table, from [`super::machine::Machine::table`].
    pub fn machine(&mut self, table: Value) {
        if self.is_muted {
            return;
        }
        self.machines.push(table);
    }

    /// An event it announces.
    pub fn announces<E: Event>(&mut self) {
        if self.is_muted {
            return;
        }
        self.events.insert(EventInfo { name: E::NAME, version: E::VERSION, module: self.module });
        self.event_shapes.insert(E::NAME, Shape::of::<E>());
    }

    /// Says what clients are sent of an event: `M` with its payload in the field `data`, and these headers.
    pub fn sends<M: utoipa::ToSchema>(&mut self, headers: &'static [(&'static str, &'static str)]) {
        if !self.is_muted {
            self.message = Some((Shape::of::<M>(), headers));
        }
    }

    /// Runs `handle` for every event `E`. `name` is stored with deliveries: never renamed.
    pub fn listen<E: Event>(
        &mut self,
        name: &'static str,
        mode: Mode,
        handle: impl Fn(&mut WriteTx, &Envelope, E) -> Result<()> + Send + Sync + 'static,
    ) {
        let run = Arc::new(move |tx: &mut WriteTx, envelope: &Envelope| {
            handle(tx, envelope, envelope.read::<E>()?)
        });
        self.listener::<E>(name, mode, Run::Inside(run));
    }

    /// The same by a method of a service.
    pub fn listen_with<S: Send + Sync + 'static, E: Event>(
        &mut self,
        service: &Arc<S>,
        name: &'static str,
        mode: Mode,
        handle: fn(&S, &mut WriteTx, &Envelope, E) -> Result<()>,
    ) {
        let service = service.clone();
        self.listen::<E>(name, mode, move |tx, envelope, event| handle(&service, tx, envelope, event));
    }

    /// Runs `handle` for every event there is, in the transaction that announces it: what enqueues one delivery per
    /// endpoint or channel. It publishes nothing, and fails only when the store does, since that refuses the command.
    pub fn overhear(
        &mut self,
        handle: impl Fn(&mut WriteTx, &Overheard) -> Result<()> + Send + Sync + 'static,
    ) {
        if self.is_muted {
            return;
        }
        self.tied("it hears every event in the transaction that announces it");
        self.overhearing.push(Arc::new(handle));
    }

    /// Runs `handle` for every event `E`, outside of any transaction: it may reach out, and never sees the store.
    #[allow(dead_code, reason = "the first module that reaches out or runs by the clock is still to come")]
    pub fn listen_outside<E: Event, F, R, O>(&mut self, name: &'static str, plan: TargetPlan, handle: F)
    where
        F: Fn(Sending) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Report> + 'static,
    {
        self.listener::<E>(name, Mode::Queue, Run::Outside);
        self.target_at_home(name, plan, Arc::new(Plainly(handle)));
    }

    /// Delivers to endpoints or channels of one kind whatever is enqueued for it. `kind` is stored: never renamed. Its
    /// transactions are in `default`, with the outbox, wherever the module lives.
    pub fn target(&mut self, kind: &'static str, plan: TargetPlan, courier: impl Courier) {
        self.add_target(kind, plan, Arc::new(courier));
    }

    /// As [`Boot::target`], with the transactions of the courier in the module's own file.
    fn target_at_home(&mut self, kind: &'static str, plan: TargetPlan, courier: Arc<dyn AnyCourier>) {
        let courier = match self.annex() {
            Some(annex) => Arc::new(Away { store: annex.store.clone(), kind, courier }),
            None => courier,
        };
        self.add_target(kind, plan, courier);
    }

    fn add_target(&mut self, kind: &'static str, plan: TargetPlan, courier: Arc<dyn AnyCourier>) {
        if self.is_muted {
            return;
        }
        if self.targets.insert(kind, Target { kind, module: self.module, plan, courier }).is_some() {
            self.taken("target", kind);
        }
    }

    /// Does `run` at each slot of a schedule, in one transaction with the note that it was done.
    #[allow(
        dead_code,
        reason = "the first module that runs by the clock inside a transaction is still to come"
    )]
    pub fn schedule(
        &mut self,
        schedule: Schedule,
        run: impl Fn(&mut WriteTx, Time) -> Result<()> + Send + Sync + 'static,
    ) {
        self.planned(schedule, Some(Arc::new(run)));
    }

    /// Lets `courier` do it: what reaches out. The job's target is the slot's instant.
    pub fn schedule_outside(&mut self, schedule: Schedule, plan: TargetPlan, courier: impl Courier) {
        self.target_at_home(schedule.name, plan, Arc::new(courier));
        self.planned(schedule, None);
    }

    fn planned(&mut self, schedule: Schedule, run: Option<Arc<Task>>) {
        if self.is_muted {
            return;
        }
        let name = schedule.name;
        match schedule.frequency.parse::<Frequency>() {
            Ok(frequency) if !frequency.is_immediate() => {
                let planned = Planned { schedule, frequency, module: self.module, run };
                if self.schedules.insert(name, planned).is_some() {
                    self.taken("schedule", name);
                }
            }
            _ => self.errors.push(BootError::Frequency { name, frequency: schedule.frequency }),
        }
    }

    fn listener<E: Event>(&mut self, name: &'static str, mode: Mode, run: Run) {
        if self.is_muted {
            return;
        }
        if mode == Mode::Sync {
            self.tied(format!("listener {name} runs in the transaction of the event"));
        }
        // The same name for several events is one listener that hears them all.
        if self.listeners.iter().any(|it| (it.name, it.event) == (name, E::NAME)) {
            self.taken("listener", name);
        }
        let (event, module, beside_outbox) = (E::NAME, self.module, self.is_beside_outbox);
        self.listeners.push(Listener { name, event, module, beside_outbox, mode, run });
    }

    /// Something to do when its time comes.
    pub fn job(&mut self, job: Job) {
        if self.is_muted {
            return;
        }
        let home = self.store();
        self.jobs.push((home, job));
    }

    /// The same in `default`, wherever the module lives: what leaves deliveries in the outbox.
    pub fn job_in_books(&mut self, job: Job) {
        if self.is_muted {
            return;
        }
        self.jobs.push((self.books(), job));
    }

    /// An invariant of its data: part of `coffer verify`, and checked after every test.
    pub fn check(
        &mut self,
        name: &'static str,
        check: impl Fn(&ReadTx) -> Result<Vec<String>> + Send + Sync + 'static,
    ) {
        let (module, beside_outbox) = (self.module, self.is_beside_outbox);
        self.checks.push(Invariant { module, beside_outbox, name, check: Arc::new(check) });
    }

    /// Says whether the installation has an operator; until it has, only the claim answers.
    pub fn claim(&mut self, is_claimed: impl Fn(&ReadTx) -> Result<bool> + Send + Sync + 'static) {
        if self.is_muted {
            return;
        }
        self.tied("it says who has claimed the installation");
        self.claim = Some(Box::new(is_claimed));
    }

    /// Recognises credentials that start with one of `prefixes`.
    pub fn authenticator(
        &mut self,
        prefixes: &'static [&'static str],
        authenticator: Arc<dyn Authenticator>,
    ) {
        if self.is_muted {
            return;
        }
        self.tied("it recognises who asks");
        self.authenticators.push((prefixes, authenticator));
    }

    /// Everything registered: hangs the event bus on the store and hands over the kernel. Refuses a configuration of
    /// events and listeners that do not exist, or cannot run like that.
    pub fn finish(mut self, epoch: u64) -> Result<Kernel, FinishError> {
        let claimed = self.claim.as_ref().map_or(Ok(false), |it| self.store.read(|tx| it(tx)))?;
        let mut events: BTreeSet<&'static str> = self.events.iter().map(|it| it.name).collect();
        events.extend(self.listeners.iter().map(|it| it.event));
        let config = &self.config;
        let plans = Plans::new(
            self.listeners,
            self.targets,
            self.schedules,
            &events,
            &config.events,
            &config.event_rules,
        )
        .map_err(|problems| ConfigError { problems })?;
        check_sync(&plans, &self.events, &self.annexes)?;
        let bell = Arc::new(Bell::default());
        let heard_for = [
            config.events.retention_days,
            config.events.retention_failed_days,
            config.events.retention_events_days,
        ];
        let heard_for = Duration::from_secs(heard_for.into_iter().max().unwrap_or(1) * 24 * 3600);
        let answered_for = Duration::from_secs(config.idempotency.keep_days * 24 * 3600);
        for Annex { store, .. } in &self.annexes {
            store.extend(Relaying(bell.clone()));
            let jobs = [annex::forgetter(heard_for), idempotency::sweeper(answered_for)];
            self.jobs.extend(jobs.map(|job| (store.clone(), job)));
        }
        let mut bus = Bus::with(plans, bell);
        bus.names = events;
        bus.overhearing = self.overhearing;
        let of =
            |annex: &Annex| annex.modules.iter().map(|it| (*it, annex.store.clone())).collect::<Vec<_>>();
        bus.away = self.annexes.iter().flat_map(of).collect();
        let bus = Arc::new(bus);
        self.bus.set(bus.clone());
        self.store.extend_shared(bus.clone());
        let annexes = self.annexes.clone();
        let worker = Worker::new(self.store.clone(), bus.clone(), self.jobs, annexes, config, epoch);
        let further = |it: &Endpoint| it.further.iter().map(|it| (*it).to_owned());
        let names = self.endpoints.iter().flat_map(|it| it.access.names().into_iter().chain(further(it)));
        let names = names.collect();
        let permissions = self.catalogue.0.get_or_init(|| Arc::new(names)).clone();
        Ok(Kernel {
            limits: Limits::new(&self.config.limits),
            at_work: AtWork::default(),
            store: self.store,
            annexes: self.annexes,
            secrets: self.secrets,
            config: self.config,
            net: self.net,
            modules: self.modules,
            endpoints: self.endpoints,
            services: self.services,
            aliases: self.aliases,
            refusals: self.refusals,
            machines: self.machines,
            events: self.events,
            tables: self.tables,
            checks: self.checks,
            authenticators: self.authenticators,
            permissions,
            event_shapes: self.event_shapes,
            message: self.message,
            bus,
            worker: Arc::new(worker),
            claimed: AtomicBool::new(claimed),
            epoch,
            is_ephemeral: self.is_ephemeral,
        })
    }

    fn taken(&mut self, what: &'static str, name: &str) {
        self.errors.push(BootError::NameTaken { module: self.module, what, name: name.to_owned() });
    }
}

/// Refuses what would have to run in a transaction of the one file and belongs to the other.
fn check_sync(plans: &Plans, events: &BTreeSet<EventInfo>, annexes: &[Annex]) -> Result<(), ConfigError> {
    let mut problems = vec![];
    for annex in annexes {
        let announced =
            |event: &str| events.iter().any(|it| it.name == event && annex.modules.contains(&it.module));
        for plan in plans.all().filter(|it| matches!(it.when, When::Sync)) {
            let Listener { name, event, module, beside_outbox, .. } = &plan.listener;
            if annex.modules.contains(module) && !beside_outbox || announced(event) {
                problems.push(format!(
                    "listener {name} hears {event} in the transaction that announces it, but {} lives in connection \
                     {}; make it \"queue\", or set modules.{}.database.connection = \"default\"",
                    annex.modules.join(" and "),
                    annex.connection,
                    annex.modules.first().unwrap_or(module),
                ));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}
