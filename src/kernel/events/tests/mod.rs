//! The event system on a store of its own, with modules made for the test and a clock that stands still.

mod control;
mod inside;
mod lanes;
mod outside;
mod routes;
mod schedules;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    delivery::{ATTEMPTS, Attempt, DELIVERIES, Delivery, DeliveryId, State},
    event::{Mode, event},
    failpoint::Failpoint,
};
use crate::config::Config;
use crate::kernel::{
    api::{call::Caller, principal::ClientId},
    boot::{Boot, FinishError, Kernel},
    clock::{Clock, Time},
    error::{Result, fault},
    id::Id,
    secret::Secrets,
    store::{Scan, Store, StoreOptions, Table, WriteTx, sim_disk::SimDisk},
};

#[derive(Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counted {
    pub number: u64,
}
event!(Counted, "test.counted", number);

#[derive(Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Echoed {
    pub number: u64,
}
event!(Echoed, "test.echoed", number);

/// name → how often
pub const COUNTS: Table<String, u64> = Table::new("test.counts");

pub fn add(tx: &mut WriteTx, name: &str) -> Result<()> {
    let count = tx.get(&COUNTS, &name.to_owned())?.unwrap_or(0);
    tx.put(&COUNTS, &name.to_owned(), &(count + 1))
}

/// A server without HTTP.
pub struct Server {
    pub kernel: Arc<Kernel>,
    pub clock: Clock,
}

pub const START: &str = "2026-01-01T00:00:00Z";

impl Server {
    pub fn start(register: impl FnOnce(&mut Boot)) -> Server {
        Server::configured(&[], register)
    }

    /// With settings as in the file.
    pub fn configured(settings: &[(&str, &str)], register: impl FnOnce(&mut Boot)) -> Server {
        let clock = Clock::manual(Time::parse(START).unwrap());
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
        Server::on(store, clock, 1, settings, register).unwrap()
    }

    pub fn on(
        store: Store,
        clock: Clock,
        epoch: u64,
        settings: &[(&str, &str)],
        register: impl FnOnce(&mut Boot),
    ) -> Result<Server, FinishError> {
        let overrides =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let options = crate::config::LoadOptions { overrides, ..Default::default() };
        let config = Config::load(&options).unwrap().config;
        let mut boot = Boot::new(store, Arc::new(Secrets::new(&[0; 32])), Arc::new(config), true);
        super::register(&mut boot);
        boot.refusals(crate::kernel::api::meta::refusals());
        boot.announces::<Counted>();
        boot.announces::<Echoed>();
        register(&mut boot);
        let kernel = Arc::new(boot.finish(epoch)?);
        kernel.worker.recover(false)?;
        Ok(Server { kernel, clock })
    }

    pub fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut WriteTx) -> Result<T> + Send + 'static,
    ) -> T {
        self.kernel.store.write_blocking(job).unwrap()
    }

    pub fn publish(&self, client: u8, number: u64) {
        self.write(move |tx| tx.publish(&caller(client), &Counted { number }).map(drop));
    }

    pub fn settle(&self) {
        self.kernel.worker.settle().unwrap();
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.settle();
    }

    pub fn count(&self, name: &str) -> u64 {
        self.kernel.store.read(|tx| tx.get(&COUNTS, &name.to_owned())).unwrap().unwrap_or(0)
    }

    pub fn deliveries(&self) -> Vec<(DeliveryId, Delivery)> {
        let rows = self.kernel.store.read(|tx| {
            tx.scan(&DELIVERIES, Scan::all()).map(|it| it.map(|((_, id), row)| (id, row))).collect()
        });
        let mut rows: Vec<_> = rows.unwrap();
        rows.sort_by_key(|it| it.0);
        rows
    }

    /// The only delivery.
    pub fn delivery(&self) -> Delivery {
        let mut rows = self.deliveries();
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0).1
    }

    pub fn states(&self) -> Vec<State> {
        self.deliveries().into_iter().map(|it| it.1.state).collect()
    }

    pub fn attempts(&self, id: DeliveryId) -> Vec<Attempt> {
        self.kernel
            .store
            .read(|tx| tx.scan(&ATTEMPTS, Scan::prefix(&id)).map(|it| it.map(|it| it.1)).collect())
            .unwrap()
    }

    pub fn fail_next(&self, point: Failpoint, times: u32) {
        self.kernel.worker.failpoints().fail_next(point, times);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.kernel.store.is_alive() {
            let wrong = self.kernel.store.read_unbounded(|tx| self.kernel.verify(tx)).unwrap();
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }
}

pub fn caller(client: u8) -> Caller {
    Caller::system(Some(ClientId::from_bytes([client; 16])))
}

/// Seconds since [`START`].
pub fn seconds(at: Time) -> u64 {
    at.since(Time::parse(START).unwrap()).as_secs()
}

/// A list that listeners write to.
#[derive(Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// What a store is made of, so that it can be closed and opened again.
pub struct Disk(SimDisk);

impl Disk {
    pub fn new() -> Disk {
        Disk(SimDisk::new(1))
    }

    pub fn open(&self, clock: &Clock) -> Store {
        let options = StoreOptions { clock: clock.clone(), ..StoreOptions::default() };
        Store::with_backend(self.0.clone(), options).unwrap()
    }
}

/// What every failing listener says.
pub fn no() -> Result<()> {
    Err(fault!("no"))
}
