//! What comes of it all: the kernel, and what it knows of each module.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use serde_json::Value;

use crate::{
    config::Config,
    kernel::{
        annex::Annex,
        api::{
            endpoint::{Described, Endpoint},
            limits::Limits,
            pieces::AtWork,
            principal::Authenticator,
        },
        error::{RefusalInfo, Result},
        events::{bus::Bus, event::EventInfo, worker::Worker},
        net::Net,
        secret::Secrets,
        store::{ReadTx, Store, TableInfo, migration::Migration},
    },
};

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
pub struct Catalogue(pub(super) Arc<OnceLock<Arc<BTreeSet<String>>>>);

impl Catalogue {
    /// The names; empty while modules register.
    pub fn get(&self) -> Arc<BTreeSet<String>> {
        self.0.get().cloned().unwrap_or_default()
    }
}

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
    pub event_shapes: BTreeMap<&'static str, Described>,
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
