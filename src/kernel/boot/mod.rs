//! How a module joins the server.
//!
//! A [`Module`] is a value; [`Boot`] is what its `register` function is handed. Modules register in the order of the
//! list in `modules/mod.rs` and can only ask for contracts provided before them: a cycle cannot start. What it can say
//! of events and times is in `listening`; `finish` puts the [`Kernel`] together.

mod finish;
mod kernel;
mod listening;

use std::{
    any::{Any, TypeId, type_name},
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

pub use kernel::{AliasInfo, Catalogue, Invariant, Kernel, ModuleInfo, ServiceInfo};

use super::{
    annex::Annex,
    api::{
        endpoint::{Described, Endpoint},
        principal::Authenticator,
    },
    error::{Error, RefusalInfo, Result},
    events::{
        bus::Overhear,
        courier::Target,
        event::{EventInfo, Listener},
        frequency,
        routes::LateBus,
        schedule::Schedules,
        worker::Job,
    },
    net::{Net, Policy},
    secret::Secrets,
    store::{ReadTx, Store, TableInfo, migration::Migration},
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

/// Whether the installation has an operator.
type Claim = dyn Fn(&ReadTx) -> Result<bool> + Send + Sync;

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
    event_shapes: BTreeMap<&'static str, Described>,
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

    fn taken(&mut self, what: &'static str, name: &str) {
        self.errors.push(BootError::NameTaken { module: self.module, what, name: name.to_owned() });
    }
}
