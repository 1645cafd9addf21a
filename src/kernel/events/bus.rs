//! What hangs on every write transaction of the store: who listens, and the bells that ring after a commit.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    delivery::Ended,
    event::{Envelope, Event, Listener},
    plan::Plans,
};
use crate::config::Config;
use crate::kernel::{
    error::{Result, fault},
    store::{Store, WriteTx},
};

pub struct Bus {
    pub plans: Plans,
    pub bell: Arc<Bell>,
    /// How many commits announced something; streams of events wait for it to change.
    pub feed: watch::Sender<u64>,
    /// The names of all events that exist.
    pub names: BTreeSet<&'static str>,
    /// What modules do with every event, in the transaction that announces it.
    pub overhearing: Vec<Arc<Overhear>>,
    /// Modules whose listeners run in a file of their own.
    pub away: BTreeMap<&'static str, Store>,
    /// How attempts ended since the start.
    pub tally: Tally,
}

/// Attempts that were committed.
#[derive(Debug, Default)]
pub struct Tally {
    ok: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// Put off, interrupted or called off is neither.
    pub fn count(&self, ended: Ended) {
        match ended {
            Ended::Ok => self.ok.fetch_add(1, Relaxed),
            Ended::Failed | Ended::TimedOut | Ended::Panicked | Ended::Rejected => {
                self.failed.fetch_add(1, Relaxed)
            }
            Ended::Interrupted | Ended::Snoozed | Ended::Canceled => 0,
        };
    }

    pub fn ok(&self) -> u64 {
        self.ok.load(Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }
}

/// Hears every event, whatever its name.
pub type Overhear = dyn Fn(&mut WriteTx, &Overheard) -> Result<()> + Send + Sync;

/// An event as it is overheard.
pub struct Overheard<'a> {
    pub envelope: &'a Envelope,
    /// What was published, which need not be read again; `None` when it was stored before.
    pub event: Option<&'a dyn Any>,
}

impl<'a> Overheard<'a> {
    pub fn stored(envelope: &'a Envelope) -> Overheard<'a> {
        Overheard { envelope, event: None }
    }

    /// What `f` makes of it, when it is one of these.
    pub fn says<E: Event, T>(&self, f: impl FnOnce(&E) -> Result<T>) -> Result<Option<T>> {
        if self.envelope.name != E::NAME {
            return Ok(None);
        }
        match self.event.and_then(<dyn Any>::downcast_ref) {
            Some(event) => f(event).map(Some),
            None => f(&self.envelope.read()?).map(Some),
        }
    }
}

impl Bus {
    /// With nothing configured: for tests of one module.
    pub fn new(listeners: Vec<Listener>, bell: Arc<Bell>) -> Bus {
        let config = Config::default();
        let (targets, schedules, events, rules) = Default::default();
        let plans = Plans::new(listeners, targets, schedules, &events, &config.events, &rules);
        Bus::with(plans.unwrap_or_else(|problems| panic!("{problems:?}")), bell)
    }

    pub fn with(plans: Plans, bell: Arc<Bell>) -> Bus {
        let (feed, tally) = (watch::Sender::new(0), Tally::default());
        let (names, away) = (BTreeSet::new(), BTreeMap::new());
        Bus { plans, bell, feed, names, overhearing: vec![], away, tally }
    }
}

/// The bus of this store.
pub(super) fn bus(tx: &WriteTx) -> Result<Arc<Bus>> {
    tx.extension::<Bus>().ok_or_else(|| fault!("no event bus hangs on this store"))
}

/// Rung after a commit that left something to do.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    wake: Condvar,
}

impl Bell {
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Waits until rung, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
