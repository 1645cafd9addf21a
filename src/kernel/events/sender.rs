//! Where attempts run: a small runtime of their own, so that a slow receiver slows down nothing else.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use super::{
    bus::Bus,
    failpoint::{Failpoint, Failpoints},
    outside::{Claim, Receipt, Sent, acknowledge},
};
use crate::kernel::{
    error::Error,
    store::{Store, StoreRefusal},
};

/// Attempts that run at the same time, all in all.
pub(super) const SLOTS: usize = 256;
/// How many of them may be repeats: whatever fails, and however slowly, what is fresh finds a place.
pub(super) const SLOTS_FOR_REPEATS: usize = SLOTS / 2;

#[derive(Default)]
pub(super) struct Senders {
    runtime: OnceLock<Option<Runtime>>,
    running: Arc<Running>,
}

/// How many attempts run, by group.
#[derive(Default)]
pub(super) struct Running {
    groups: Mutex<HashMap<[u8; 16], usize>>,
    /// How many of them are not the first of their delivery.
    repeats: AtomicUsize,
    fewer: Condvar,
}

impl Running {
    pub fn count(&self) -> usize {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    pub fn of(&self, group: &[u8; 16]) -> usize {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).get(group).copied().unwrap_or(0)
    }

    pub fn repeats(&self) -> usize {
        self.repeats.load(Ordering::SeqCst)
    }

    /// Waits until fewer than `count` run, at most `timeout`. Whether they do.
    pub fn wait_below(&self, count: usize, timeout: Duration) -> bool {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = |groups: &mut HashMap<_, usize>| groups.values().sum::<usize>() >= count;
        let waited = self.fewer.wait_timeout_while(groups, timeout, enough);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn begin(self: &Arc<Running>, group: [u8; 16], is_repeat: bool) -> Slot {
        self.repeats.fetch_add(usize::from(is_repeat), Ordering::SeqCst);
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner).entry(group).or_default() += 1;
        Slot { running: self.clone(), group, is_repeat }
    }

    fn end(&self, group: [u8; 16], is_repeat: bool) {
        self.repeats.fetch_sub(usize::from(is_repeat), Ordering::SeqCst);
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = groups.get_mut(&group) {
            *count -= 1;
            if *count == 0 {
                groups.remove(&group);
            }
        }
        self.fewer.notify_all();
    }
}

/// An attempt's place among those that run; given up when dropped, whatever happened to it.
struct Slot {
    running: Arc<Running>,
    group: [u8; 16],
    is_repeat: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.running.end(self.group, self.is_repeat);
    }
}

/// What every attempt needs to be acknowledged.
#[derive(Clone)]
pub(super) struct Desk {
    pub store: Store,
    pub bus: Arc<Bus>,
    pub failpoints: Arc<Failpoints>,
    pub epoch: u64,
}

impl Senders {
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Sends what was claimed. False when there is no runtime to send it from: the claims stay until the next start.
    pub fn send(&self, desk: &Desk, claims: Vec<Claim>) -> bool {
        let Some(runtime) = self.runtime.get_or_init(start) else { return false };
        for claim in claims {
            let slot = self.running.begin(claim.group, claim.sending.attempt > 1);
            let desk = desk.clone();
            runtime.spawn(async move {
                attempt(&desk, claim).await;
                drop(slot);
                desk.bus.bell.ring(); // There is room for another one.
            });
        }
        true
    }

    /// Drops whatever still runs.
    pub fn shut_down(&mut self) {
        if let Some(Some(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.shut_down(); // Dropped as it is, a runtime waits, which inside another runtime is a panic.
    }
}

fn start() -> Option<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("sender").enable_all();
    builder
        .build()
        .inspect_err(|error| tracing::error!(error = %error, "Nothing can be sent: no threads: {error}"))
        .ok()
}

async fn attempt(desk: &Desk, claim: Claim) {
    let Claim { key, group: _, courier, material, sending, timeout, on_interrupted } = claim;
    let began = Instant::now();
    let sent = {
        let (courier, sending) = (courier.clone(), sending.clone());
        let mut task = tokio::spawn(async move { courier.send(sending, material).await });
        match tokio::time::timeout(timeout, &mut task).await {
            Ok(Ok(report)) => Sent::Report(report),
            Ok(Err(_)) => Sent::Panicked,
            Err(_) => {
                // The connection is closed before anybody is told: the next attempt meets none of it.
                task.abort();
                let _ = task.await;
                Sent::TimedOut
            }
        }
    };
    if desk.failpoints.pass(Failpoint::AfterSendBeforeAck).is_err() {
        return;
    }
    let took = began.elapsed();
    let receipt = Receipt { key, courier, sending, timeout, on_interrupted, epoch: desk.epoch, took };
    let acknowledged = Arc::new((receipt, sent));
    loop {
        let (bus, told) = (desk.bus.clone(), acknowledged.clone());
        match desk.store.write(move |tx| acknowledge(tx, &bus, &told.0, &told.1)).await {
            Ok(()) => return,
            Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => {
                tracing::error!(delivery.id = %key.1, error = %error, "An outcome could not be stored: {error}");
                return;
            }
        }
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.refusal(), Some(StoreRefusal::Overloaded | StoreRefusal::OutOfSpace))
}
