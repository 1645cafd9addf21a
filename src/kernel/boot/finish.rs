//! Everything is registered: the kernel is put together.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use super::{Boot, FinishError, Kernel};
use crate::{
    config::ConfigError,
    kernel::{
        annex::{self, Annex, Relaying},
        api::{endpoint::Endpoint, idempotency, limits::Limits, pieces::AtWork},
        events::{
            bus::{Bell, Bus},
            event::{EventInfo, Listener},
            plan::{Plans, When},
            worker::Worker,
        },
    },
};

impl Boot {
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
            bus,
            worker: Arc::new(worker),
            claimed: AtomicBool::new(claimed),
            epoch,
            is_ephemeral: self.is_ephemeral,
        })
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
