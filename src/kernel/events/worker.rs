//! What runs after commits: queued listeners, schedules, and the timers of modules.
//!
//! One thread. It looks with a read, and opens a write only when there is something to do: an idle installation
//! writes nothing and looks once a second. A commit that leaves something to do rings its bell, and it knows the
//! next instant at which something is due.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    bus::Bus,
    delivery::{DELIVERIES, State},
    failpoint::{Failpoint, Failpoints},
    inside,
    outside::{self, Claim, Cut, recover},
    queues::Paused,
    schedule,
    sender::{Desk, SLOTS, Senders},
    turns::{Ask, Turns},
    verdict,
};
use crate::config::Config;
use crate::kernel::{
    annex::{self, Annex},
    clock::Time,
    error::Result,
    store::{Key, ReadTx, Scan, Store, WriteTx},
};

/// How many internal deliveries one transaction takes at first, and at most when they are quick.
const BATCH: usize = 100;
const LARGEST_BATCH: usize = 500;
/// How many run one by one after the process was cut off.
const SUSPECTS: usize = 100;
/// A batch that has held the writer for this long leaves the rest to the next one.
const HOLD: Duration = Duration::from_millis(10);
/// How many deliveries become ready in one transaction because their time came.
const PROMOTED: usize = 1000;

/// Something a module must do when its time comes: expire a payment, release a hold.
#[derive(Clone)]
pub struct Job {
    pub name: &'static str,
    /// The earliest instant something is due; `None` when nothing waits.
    pub due: Arc<dyn Fn(&ReadTx) -> Result<Option<Time>> + Send + Sync>,
    /// Does what is due at `tx.now()`, a bounded piece of it. Runs again while something is due.
    pub run: Arc<dyn Fn(&mut WriteTx) -> Result<()> + Send + Sync>,
}

pub struct Worker {
    pub(super) desk: Desk,
    /// Each with the file it looks at.
    jobs: Vec<(Store, Job)>,
    /// What happens there is taken to `default`.
    annexes: Vec<Annex>,
    /// Off: deliveries are stored and wait, schedules do not run.
    delivers: bool,
    /// How long a stop waits for attempts that run.
    grace: Duration,
    pub(super) stopping: AtomicBool,
    turns: Arc<Mutex<Turns>>,
    batch: Arc<AtomicUsize>,
    /// How many internal deliveries are still to be run one by one.
    suspects: AtomicUsize,
    pub(super) senders: Mutex<Senders>,
    /// Held during a pass: of two at a time, neither would know what the other claimed.
    pub(super) passing: Mutex<()>,
}

impl Worker {
    pub fn new(
        store: Store,
        bus: Arc<Bus>,
        jobs: Vec<(Store, Job)>,
        annexes: Vec<Annex>,
        config: &Config,
        epoch: u64,
    ) -> Worker {
        Worker {
            desk: Desk { store, bus, failpoints: Arc::default(), epoch },
            jobs,
            annexes,
            delivers: config.events.enabled,
            grace: Duration::from_secs(config.server.shutdown_grace_s),
            stopping: AtomicBool::new(false),
            turns: Arc::default(),
            batch: Arc::new(AtomicUsize::new(BATCH)),
            suspects: AtomicUsize::new(0),
            senders: Mutex::default(),
            passing: Mutex::default(),
        }
    }

    pub fn failpoints(&self) -> &Failpoints {
        &self.desk.failpoints
    }

    /// Gives back what incarnations before this one were sending when they ended. Once, before anything else runs.
    /// When the last one was cut off, an internal listener may have done it: the first deliveries run one by one,
    /// each marked before it runs.
    pub fn recover(&self, was_cut_off: bool) -> Result<()> {
        self.suspects.store(if was_cut_off { SUSPECTS } else { 0 }, Ordering::Relaxed);
        let Desk { store, bus, failpoints, epoch } = &self.desk;
        let recovered = recover(store, bus, failpoints, epoch.saturating_sub(1), Cut::Crash)?;
        if recovered > 0 {
            tracing::warn!(
                "{recovered} deliveries were being sent when the server ended; they are sent again"
            );
        }
        Ok(())
    }

    /// Runs until told to stop, then waits for what is being sent.
    pub fn run(&self) {
        while !self.stopping.load(Ordering::SeqCst) && self.desk.store.is_alive() {
            match self.pass() {
                Ok(true) => {}
                Ok(false) => self.desk.bus.bell.wait(self.until_next_due()),
                Err(error) => {
                    tracing::error!(error = %error, "The worker failed and tries again in a second: {error}");
                    self.desk.bus.bell.wait(Duration::from_secs(1));
                }
            }
        }
        self.finish();
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.desk.bus.bell.ring();
    }

    /// Does what is due now, moves the manual clock, and does what came due by that. What has happened before therefore
    /// happened at its own time, however busy the machine is.
    pub fn advance(&self, by: Duration) -> Result<()> {
        self.settle()?;
        self.desk.store.clock().advance(by);
        self.settle()
    }

    /// Does everything that is due, until nothing is and nothing is being sent. Used after a manual clock moved, and
    /// by tests.
    pub fn settle(&self) -> Result<()> {
        loop {
            while self.pass()? {}
            let running = self.senders.lock().unwrap_or_else(PoisonError::into_inner).running().clone();
            let count = running.count();
            if count == 0 {
                if self.pass()? {
                    continue;
                }
                return Ok(());
            }
            running.wait_below(count, Duration::from_secs(1));
        }
    }

    /// One round of everything that may be due. Whether anything was done.
    pub fn pass(&self) -> Result<bool> {
        self.round(self.delivers)
    }

    /// As [`Worker::pass`]; deliveries and schedules only if `delivers`.
    pub(super) fn round(&self, delivers: bool) -> Result<bool> {
        let _passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let store = &self.desk.store;
        let now = store.clock().now();
        let mut busy = false;
        for (home, job) in &self.jobs {
            let due = home.read(|tx| (job.due)(tx))?;
            if due.is_some_and(|it| it <= now) {
                let run = job.run.clone();
                home.write_blocking(move |tx| run(tx))?;
                busy = true;
            }
        }
        for annex in &self.annexes {
            busy |= annex::relay(annex, store)?;
        }
        if !delivers {
            return Ok(busy);
        }
        let schedules = &self.desk.bus.plans.schedules;
        if store.read(|tx| schedule::next_due(tx, schedules))?.is_some_and(|it| it <= now) {
            store.write_blocking(schedule::run_due)?;
            busy = true;
        }
        busy |= self.promote_due()?;
        Ok(self.deliver_inside()? | self.send_outside()? | busy)
    }

    /// Makes ready what is due. Whether anything was.
    pub(super) fn promote_due(&self) -> Result<bool> {
        let store = &self.desk.store;
        let now = store.clock().now();
        let is_due = store.read(|tx| Ok(next_due(tx)?.is_some_and(|it| it <= now)))?;
        if is_due {
            store.write_blocking(promote)?;
        }
        Ok(is_due)
    }

    pub(super) fn deliver_inside(&self) -> Result<bool> {
        let turns = self.turns.clone();
        let waiting = self.desk.store.read(|tx| pick_inside(tx, &turns, 1))?;
        let Some(first) = waiting.first().copied() else { return Ok(false) };
        if self.suspects.load(Ordering::Relaxed) > 0 {
            self.suspects.fetch_sub(1, Ordering::Relaxed);
            let bus = self.desk.bus.clone();
            // Should the process end now, the mark is what remains.
            self.desk.store.write_blocking(move |tx| inside::suspect(tx, &first))?;
            match self.desk.store.read(|tx| inside::away(tx, &self.desk.bus, &first))? {
                Some(away) => inside::deliver_away(&self.desk, &away.1, vec![first])?,
                None => self.desk.store.write_blocking(move |tx| inside::deliver(tx, &bus, &first))?,
            }
            return Ok(true);
        }
        let (bus, batch, failpoints) =
            (self.desk.bus.clone(), self.batch.clone(), self.desk.failpoints.clone());
        let elsewhere = self.desk.store.write_blocking(move |tx| {
            let began = Instant::now();
            let mut elsewhere: BTreeMap<&str, (Store, Vec<verdict::Key>)> = BTreeMap::new();
            let size = batch.load(Ordering::Relaxed);
            let picked = pick_inside(tx, &turns, size)?;
            let mut done = 0;
            for key in &picked {
                if done > 0 && began.elapsed() > HOLD {
                    break;
                }
                match inside::away(tx, &bus, key)? {
                    Some((module, away)) => elsewhere.entry(module).or_insert((away, vec![])).1.push(*key),
                    None => inside::deliver(tx, &bus, key)?,
                }
                done += 1;
            }
            // Whose turn it is was reckoned for all that were picked: the next time pick as many as will run, or
            // those at the end of a batch would never have theirs.
            if done < picked.len() {
                batch.store(done, Ordering::Relaxed);
            } else if done == size && began.elapsed() < HOLD / 2 {
                batch.store((size * 2).min(LARGEST_BATCH), Ordering::Relaxed);
            }
            failpoints.pass(Failpoint::AfterEffectBeforeCommit)?;
            Ok(elsewhere)
        })?;
        for (away, keys) in elsewhere.into_values() {
            inside::deliver_away(&self.desk, &away, keys)?;
        }
        Ok(true)
    }

    /// Runs one delivery of a module that lives elsewhere, whether or not anything is delivered.
    #[cfg(test)]
    pub fn deliver_now(&self, key: verdict::Key) -> Result<()> {
        let Some((_, away)) = self.desk.store.read(|tx| inside::away(tx, &self.desk.bus, &key))? else {
            return Ok(());
        };
        inside::deliver_away(&self.desk, &away, vec![key])
    }

    fn send_outside(&self) -> Result<bool> {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        let running = senders.running().clone();
        let free = SLOTS.saturating_sub(running.count());
        if free == 0 || self.stopping.load(Ordering::SeqCst) {
            return Ok(false);
        }
        let (bus, turns) = (self.desk.bus.clone(), self.turns.clone());
        let pick = move |tx: &ReadTx, limit: usize| {
            let paused = Paused::read(tx)?;
            let room = outside::Room::new(&bus, &running);
            let room = |tx: &ReadTx, group: &[u8; 16], first: &verdict::Key| room.of(tx, group, first);
            let ask = Ask { tx, external: true, paused: &paused, room: &room };
            turns.lock().unwrap_or_else(PoisonError::into_inner).pick(&ask, limit)
        };
        if self.desk.store.read(|tx| pick(tx, 1))?.is_empty() {
            return Ok(false);
        }
        let (bus, failpoints, epoch) = (self.desk.bus.clone(), self.desk.failpoints.clone(), self.desk.epoch);
        let claims = self.desk.store.write_blocking(move |tx| {
            let mut claims: Vec<Claim> = vec![];
            for key in pick(tx, free)? {
                claims.extend(outside::claim(tx, &bus, epoch, &key)?);
            }
            failpoints.pass(Failpoint::BeforeClaimCommit)?;
            Ok(claims)
        })?;
        if self.desk.failpoints.pass(Failpoint::AfterClaimCommit).is_ok() {
            senders.send(&self.desk, claims);
        }
        Ok(true)
    }

    /// How long until something is due, at most a second: a clock may be stepped meanwhile.
    fn until_next_due(&self) -> Duration {
        let second = Duration::from_secs(1);
        let due = self.desk.store.read(|tx| {
            let mut due = if self.delivers { next_due(tx)? } else { None };
            if self.delivers {
                due = [due, schedule::next_due(tx, &self.desk.bus.plans.schedules)?]
                    .into_iter()
                    .flatten()
                    .min();
            }
            for (home, job) in &self.jobs {
                due = [due, home.read(|tx| (job.due)(tx))?].into_iter().flatten().min();
            }
            Ok(due)
        });
        match due {
            Ok(Some(at)) => at.since(self.desk.store.clock().now()).min(second),
            _ => second,
        }
    }

    /// Waits for attempts that run, drops those that take too long, and gives back what they had claimed.
    fn finish(&self) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.running().wait_below(1, self.grace);
        senders.shut_down();
        let Desk { store, bus, failpoints, epoch } = &self.desk;
        let claimed = |tx: &ReadTx| {
            tx.scan_index(&DELIVERIES, "events.claimed", Scan::prefix(epoch)).next().transpose()
        };
        if store.is_alive()
            && let Ok(Some(_)) = store.read(claimed)
            && let Err(error) = recover(store, bus, failpoints, *epoch, Cut::Stop)
        {
            tracing::error!(error = %error, "What was being sent could not be given back: {error}");
        }
    }
}

fn pick_inside(tx: &ReadTx, turns: &Mutex<Turns>, limit: usize) -> Result<Vec<verdict::Key>> {
    let paused = Paused::read(tx)?;
    let ask = Ask { tx, external: false, paused: &paused, room: &|_, _, _| Ok(usize::MAX) };
    turns.lock().unwrap_or_else(PoisonError::into_inner).pick(&ask, limit)
}

/// The next instant at which a delivery becomes ready, or expires.
pub(super) fn next_due(tx: &ReadTx) -> Result<Option<Time>> {
    let due = tx.scan_index(&DELIVERIES, "events.due", Scan::all()).next().transpose()?;
    let expiring = tx.scan_index(&DELIVERIES, "events.expiring", Scan::all()).next().transpose()?;
    let expires_at = expiring.and_then(|it| it.1.deliver_before);
    Ok([due.map(|it| it.1.due_at), expires_at].into_iter().flatten().min())
}

/// Makes ready what is due, and ends what lost its point.
fn promote(tx: &mut WriteTx) -> Result<()> {
    let now = tx.now();
    let end = Time::from_micros(now.micros().saturating_add(1)).to_key();
    let until = |index: &'static str| {
        let rows = tx.scan_index(&DELIVERIES, index, Scan::all().until(end.clone())).take(PROMOTED);
        rows.collect::<Result<Vec<_>>>()
    };
    let (due, expired) = (until("events.due")?, until("events.expiring")?);
    for (key, mut row) in due {
        row.state = State::Ready;
        tx.put(&DELIVERIES, &key, &row)?;
    }
    for (key, mut row) in expired {
        row.end(State::Expired, now);
        verdict::keep(tx, &key, &row)?;
    }
    Ok(())
}
