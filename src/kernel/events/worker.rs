//! What runs after commits: queued listeners, and the timers of modules.
//!
//! One thread. It looks with a read, and opens a write only when there is something to do: an idle installation
//! writes nothing. A delivery's effect and its "sent" are one transaction, on an overlay of its own, so that a
//! listener that fails costs its neighbours nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::outbox::{Bell, Bus, DELIVERIES, Delivery, DeliveryId, DeliveryStatus, EVENTS, hear};
use crate::kernel::{
    clock::Time,
    error::{Error, Result},
    store::{Key, ReadTx, Scan, Store, WriteTx},
};

/// How many deliveries one transaction takes.
const BATCH: usize = 100;

/// Something a module must do when its time comes: expire a payment, release a hold.
#[derive(Clone)]
pub struct Job {
    pub name: &'static str,
    /// The earliest instant something is due; `None` when nothing waits.
    pub due: Arc<dyn Fn(&ReadTx) -> Result<Option<Time>> + Send + Sync>,
    /// Does what is due at `tx.now()`, a bounded piece of it. Runs again while something is due.
    pub run: Arc<dyn Fn(&mut WriteTx) -> Result<()> + Send + Sync>,
}

/// How a delivery that failed is tried again.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    /// How often at most; above zero.
    pub tries: u32,
    /// Seconds to wait after the first, second, … failure; the last is repeated.
    pub backoff_s: Vec<u64>,
}

impl RetryPolicy {
    fn delay(&self, failures: u32) -> Duration {
        let place = (failures as usize).saturating_sub(1).min(self.backoff_s.len().saturating_sub(1));
        Duration::from_secs(self.backoff_s.get(place).copied().unwrap_or(0))
    }
}

pub struct Worker {
    pub store: Store,
    pub bell: Arc<Bell>,
    pub jobs: Vec<Job>,
    pub retry: RetryPolicy,
    /// Off: deliveries are stored and wait.
    pub delivers: bool,
    pub stopping: AtomicBool,
}

impl Worker {
    /// Runs until told to stop.
    pub fn run(&self) {
        while !self.stopping.load(Ordering::SeqCst) && self.store.is_alive() {
            match self.pass() {
                Ok(true) => {}
                Ok(false) => self.bell.wait(self.until_next_due()),
                Err(error) => {
                    tracing::error!(error = %error, "The worker failed and tries again in a second: {error}");
                    self.bell.wait(Duration::from_secs(1));
                }
            }
        }
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.bell.ring();
    }

    /// Does everything that is due, until nothing is. Used after a manual clock moved, and by tests.
    pub fn settle(&self) -> Result<()> {
        while self.pass()? {}
        Ok(())
    }

    /// One round: due jobs, retries that came due, ready deliveries. Whether anything was done.
    pub fn pass(&self) -> Result<bool> {
        let now = self.store.clock().now();
        let mut busy = false;
        for job in &self.jobs {
            let due = self.store.read(|tx| (job.due)(tx))?;
            if due.is_some_and(|it| it <= now) {
                let run = job.run.clone();
                self.store.write_blocking(move |tx| run(tx))?;
                busy = true;
            }
        }
        let waiting = self.delivers
            && self.store.read(|tx| {
                let retry = tx.scan_index(&DELIVERIES, "events.scheduled", Scan::all()).next().transpose()?;
                let ready = tx.scan_index(&DELIVERIES, "events.ready", Scan::all()).next().transpose()?;
                Ok(ready.is_some() || retry.is_some_and(|(_, it)| it.due_at <= now))
            })?;
        if waiting {
            let retry = self.retry.clone();
            self.store.write_blocking(move |tx| deliver(tx, &retry))?;
        }
        Ok(busy || waiting)
    }

    /// How long until something is due, at most a second: a clock may be stepped meanwhile.
    fn until_next_due(&self) -> Duration {
        let second = Duration::from_secs(1);
        let due = self.store.read(|tx| {
            let mut due = tx
                .scan_index(&DELIVERIES, "events.scheduled", Scan::all())
                .next()
                .transpose()?
                .map(|it| it.1.due_at);
            for job in &self.jobs {
                due = [due, (job.due)(tx)?].into_iter().flatten().min();
            }
            Ok(due)
        });
        match due {
            Ok(Some(at)) => at.since(self.store.clock().now()).min(second),
            _ => second,
        }
    }
}

fn deliver(tx: &mut WriteTx, retry: &RetryPolicy) -> Result<()> {
    let now = tx.now();
    let end = Time::from_micros(now.micros() + 1).to_key();
    let mut taken: Vec<(DeliveryId, Delivery)> = tx
        .scan_index(&DELIVERIES, "events.scheduled", Scan::all().until(end))
        .take(BATCH)
        .collect::<Result<_>>()?;
    let room = BATCH - taken.len();
    taken.extend(
        tx.scan_index(&DELIVERIES, "events.ready", Scan::all()).take(room).collect::<Result<Vec<_>>>()?,
    );
    for (id, mut delivery) in taken {
        let outcome = tx.attempt(|tx| run_one(tx, &delivery));
        delivery.tries_used += 1;
        match outcome {
            Ok(()) => {
                delivery.status = DeliveryStatus::Sent;
                delivery.finished_at = Some(now);
                delivery.error = None;
            }
            Err(error) => {
                tracing::warn!(delivery.id = %id, listener = delivery.listener, error = %error, "A listener failed: {error}");
                delivery.error = Some(error.to_string());
                if delivery.tries_used < retry.tries {
                    delivery.status = DeliveryStatus::Retry;
                    delivery.due_at = now.after(retry.delay(delivery.tries_used));
                } else {
                    delivery.status = DeliveryStatus::Failed;
                    delivery.finished_at = Some(now);
                }
            }
        }
        tx.put(&DELIVERIES, &id, &delivery)?;
    }
    Ok(())
}

fn run_one(tx: &mut WriteTx, delivery: &Delivery) -> Result<()> {
    let gone = |what: &str| Error::Fault(anyhow::anyhow!("{what} {} no longer exists", delivery.listener));
    let envelope =
        tx.get(&EVENTS, &(delivery.client, delivery.event))?.ok_or_else(|| gone("the event of"))?;
    let bus = tx.extension::<Bus>().ok_or_else(|| gone("the bus of"))?;
    let listener = bus.listener(&envelope.name, &delivery.listener).ok_or_else(|| gone("listener"))?.clone();
    // A panicking listener is a failed try, not the end of the batch.
    let heard = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hear(tx, &listener, &envelope)));
    heard.unwrap_or_else(|_| Err(Error::Fault(anyhow::anyhow!("listener {} panicked", delivery.listener))))
}
