//! External deliveries: claim transaction · I/O with no transaction open · acknowledge transaction.
//!
//! A claim belongs to an incarnation of the server, not to a span of time: the file has one owner, so whatever an
//! older incarnation claimed is nobody's, and [`recover`] gives it back at start. Never more is claimed than can be
//! sent at once.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
    time::Duration,
};

use super::{
    bus::Bus,
    courier::{AnyCourier, Material, OnInterrupted, Outcome, Ready, Report, Sending},
    delivery::{Attempt, DELIVERIES, Delivery, EXTRAS, Ended, State},
    failpoint::{Failpoint, Failpoints},
    outbox::{EVENTS, key_client},
    sender::{Running, SLOTS_FOR_REPEATS},
    verdict::{self, Key, POISON},
};
use crate::kernel::{
    error::Result,
    store::{ReadTx, Scan, Store, WriteTx},
};

/// What was claimed: all that sending it takes.
pub(super) struct Claim {
    pub key: Key,
    pub group: [u8; 16],
    pub courier: Arc<dyn AnyCourier>,
    pub material: Material,
    pub sending: Sending,
    pub timeout: Duration,
    pub on_interrupted: OnInterrupted,
}

/// How an attempt ended, before anybody was told.
pub(super) enum Sent {
    Report(Report),
    TimedOut,
    Panicked,
}

/// Claims one delivery that is ready; `None` when it is not sent after all, and has moved to where it belongs.
pub(super) fn claim(tx: &mut WriteTx, bus: &Arc<Bus>, epoch: u64, key: &Key) -> Result<Option<Claim>> {
    let Some(mut row) = tx.get(&DELIVERIES, key)?.filter(|it| it.state == State::Ready && it.external) else {
        return Ok(None);
    };
    let now = tx.now();
    let end = |tx: &mut WriteTx, mut row: Delivery, state: State, why: &str| {
        verdict::note_error(&mut row, why);
        row.end(state, now);
        verdict::keep(tx, key, &row).map(|()| None)
    };
    if row.deliver_before.is_some_and(|it| it <= now) {
        row.end(State::Expired, now);
        return verdict::keep(tx, key, &row).map(|()| None);
    }
    let Some(target) = bus.plans.targets.get(row.listener.as_str()) else {
        let why = format!("nothing delivers to {} any more", row.listener);
        return end(tx, row, State::UnknownTarget, &why);
    };
    let envelope = row.event.map_or(Ok(None), |event| tx.get(&EVENTS, &(key.0, event)))?;
    if row.event.is_some() && envelope.is_none() {
        return end(tx, row, State::Rejected, "its event no longer exists");
    }
    let sending = Sending {
        id: key.1,
        client: key_client(key.0),
        envelope,
        target: row.target.clone(),
        extra: tx.get(&EXTRAS, &key.1)?.unwrap_or_default(),
        attempt: row.attempts + 1,
        interrupted: row.interrupted,
        created_at: row.created_at,
        started_at: now,
    };
    match tx.attempt(|tx| target.courier.prepare(tx, &sending)) {
        Ok(Ready::Go(material)) => {
            row.state = State::Processing;
            row.epoch = epoch;
            row.started_at = Some(now);
            tx.put(&DELIVERIES, key, &row)?;
            Ok(Some(Claim {
                key: *key,
                group: row.group,
                courier: target.courier.clone(),
                material,
                sending,
                timeout: bus.plans.timeout(&row),
                on_interrupted: target.plan.on_interrupted,
            }))
        }
        Ok(Ready::Block(why)) => {
            row.error = Some(why);
            row.wait(State::Blocked, now);
            verdict::keep(tx, key, &row).map(|()| None)
        }
        Ok(Ready::Later(delay)) => {
            let state = if row.tries_used == 0 { State::Scheduled } else { State::Retry };
            row.wait(state, now.after(delay.max(Duration::from_millis(1))));
            verdict::keep(tx, key, &row).map(|()| None)
        }
        Ok(Ready::Cancel(why)) => end(tx, row, State::Canceled, &why),
        Ok(Ready::Gone) => end(tx, row, State::UnknownTarget, "its target no longer exists"),
        Err(error) => {
            let error = format!("it could not be prepared: {error}");
            let attempt = attempt_of(&sending, Duration::ZERO, Ended::Failed, Some(error.clone()));
            verdict::log(tx, key, &mut row, attempt)?;
            verdict::conclude(tx, &bus.plans, key, &mut row, &Outcome::Retry(error)).map(|()| None)
        }
    }
}

/// How many of each group may be sent now, reckoned once per look: a group that begins with a repeat takes from the
/// slots that repeats may have.
pub(super) struct Room<'a> {
    pub bus: &'a Bus,
    pub running: &'a Running,
    for_repeats: Cell<usize>,
    granted: RefCell<HashMap<[u8; 16], usize>>,
}

impl Room<'_> {
    pub fn new<'a>(bus: &'a Bus, running: &'a Running) -> Room<'a> {
        let for_repeats = Cell::new(SLOTS_FOR_REPEATS.saturating_sub(running.repeats()));
        Room { bus, running, for_repeats, granted: RefCell::default() }
    }

    /// All in all, for the group whose first delivery this is.
    pub fn of(&self, tx: &ReadTx, group: &[u8; 16], first: &Key) -> Result<usize> {
        if let Some(granted) = self.granted.borrow().get(group) {
            return Ok(*granted);
        }
        let row = tx.get(&DELIVERIES, first)?;
        let target = row.as_ref().and_then(|it| self.bus.plans.targets.get(it.listener.as_str()));
        let at_once = target.map_or(1, |it| it.plan.at_once.max(1));
        let mut room = at_once.saturating_sub(self.running.of(group));
        if row.is_some_and(|it| it.attempts > 0) {
            room = room.min(self.for_repeats.get());
            self.for_repeats.set(self.for_repeats.get() - room);
        }
        self.granted.borrow_mut().insert(*group, room);
        Ok(room)
    }
}

/// What is needed to acknowledge, when the claim itself went with the sending.
pub(super) struct Receipt {
    pub key: Key,
    pub courier: Arc<dyn AnyCourier>,
    pub sending: Sending,
    pub timeout: Duration,
    pub on_interrupted: OnInterrupted,
    pub epoch: u64,
    pub took: Duration,
}

/// Notes how an attempt ended. Nothing when the claim is no longer this one: whoever took it over decides.
pub(super) fn acknowledge(tx: &mut WriteTx, bus: &Arc<Bus>, receipt: &Receipt, sent: &Sent) -> Result<()> {
    let key = &receipt.key;
    let current = |it: &Delivery| {
        it.state == State::Processing
            && it.epoch == receipt.epoch
            && it.attempts + 1 == receipt.sending.attempt
    };
    let Some(mut row) = tx.get(&DELIVERIES, key)?.filter(current) else {
        tracing::info!(delivery.id = %key.1, "An acknowledgement came too late and was ignored");
        return Ok(());
    };
    let report = match sent {
        Sent::Report(report) => report.clone(),
        Sent::Panicked => Outcome::Retry(format!("sending to {} panicked", row.listener)).into(),
        Sent::TimedOut => Outcome::Retry(format!("no answer within {} s", receipt.timeout.as_secs())).into(),
    };
    let settled = tx.attempt(|tx| receipt.courier.settled(tx, &receipt.sending, &report));
    if let Err(error) = settled {
        tracing::error!(delivery.id = %key.1, listener = row.listener, error = %error, "An outcome could not be counted: {error}");
    }
    let (ended, error) = match (&report.outcome, sent) {
        (_, Sent::TimedOut) => (Ended::TimedOut, reason(&report.outcome)),
        (_, Sent::Panicked) => (Ended::Panicked, reason(&report.outcome)),
        (Outcome::Ok, _) => (Ended::Ok, None),
        (Outcome::Snooze(_), _) => (Ended::Snoozed, None),
        (Outcome::Cancel(_), _) => (Ended::Canceled, reason(&report.outcome)),
        (Outcome::Reject(_), _) => (Ended::Rejected, reason(&report.outcome)),
        (Outcome::Retry(_) | Outcome::RetryAfter(..), _) => (Ended::Failed, reason(&report.outcome)),
    };
    let mut attempt = attempt_of(&receipt.sending, receipt.took, ended, error.clone());
    attempt.http_status = report.http_status;
    attempt.response = report.response;
    verdict::log(tx, key, &mut row, attempt)?;
    // An attempt that did not come to an end may have happened: for money that is not a reason to repeat it.
    if !matches!(sent, Sent::Report(_)) && receipt.on_interrupted == OnInterrupted::Park {
        row.tries_used += 1;
        verdict::note_error(&mut row, &error.unwrap_or_default());
        row.end(State::NeedsReview, tx.now());
        return verdict::keep(tx, key, &row);
    }
    verdict::conclude(tx, &bus.plans, key, &mut row, &report.outcome)?;
    if !matches!(sent, Sent::Report(_)) && !row.state.is_end() {
        row.interrupted = true;
        verdict::keep(tx, key, &row)?;
    }
    Ok(())
}

fn reason(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Retry(why) | Outcome::RetryAfter(why, _) | Outcome::Cancel(why) | Outcome::Reject(why) => {
            Some(why.clone())
        }
        Outcome::Ok | Outcome::Snooze(_) => None,
    }
}

fn attempt_of(sending: &Sending, took: Duration, outcome: Ended, error: Option<String>) -> Attempt {
    Attempt {
        started_at: sending.started_at,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        outcome,
        error,
        http_status: None,
        response: None,
    }
}

/// Why an attempt was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The process ended under it.
    Crash,
    /// The server stopped and did not wait for it.
    Stop,
}

/// How many claims one transaction gives back.
const PIECE: usize = 500;

/// Gives back what is claimed by incarnations up to `epoch`. No try is used; three crashes in a row are poison.
pub(super) fn recover(
    store: &Store,
    bus: &Arc<Bus>,
    failpoints: &Arc<Failpoints>,
    epoch: u64,
    cut: Cut,
) -> Result<usize> {
    let mut recovered = 0;
    loop {
        let (bus, failpoints) = (bus.clone(), failpoints.clone());
        let piece = store.write_blocking(move |tx| {
            let until = store_key(epoch + 1);
            let claimed = tx.scan_index(&DELIVERIES, "events.claimed", Scan::all().until(until)).take(PIECE);
            let claimed: Vec<_> = claimed.collect::<Result<_>>()?;
            for (key, row) in &claimed {
                give_back(tx, &bus, key, row.clone(), cut)?;
            }
            if !claimed.is_empty() {
                failpoints.pass(Failpoint::DuringRecovery)?;
            }
            Ok(claimed.len())
        })?;
        recovered += piece;
        if piece < PIECE {
            return Ok(recovered);
        }
    }
}

fn store_key(epoch: u64) -> Vec<u8> {
    use crate::kernel::store::Key as _;
    epoch.to_key()
}

fn give_back(tx: &mut WriteTx, bus: &Arc<Bus>, key: &Key, mut row: Delivery, cut: Cut) -> Result<()> {
    let now = tx.now();
    if !row.external {
        // Run in a file of its own, where it is noted what had its effect: that does nothing again. Whose fault it was
        // that the process ended is found out one by one: see `inside::suspect`.
        row.wait(State::Ready, now);
        return verdict::keep(tx, key, &row);
    }
    let started_at = row.started_at.unwrap_or(now);
    let took = now.since(started_at);
    let attempt = Attempt {
        started_at,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        outcome: Ended::Interrupted,
        error: None,
        http_status: None,
        response: None,
    };
    verdict::log(tx, key, &mut row, attempt)?;
    row.interrupted = true;
    if cut == Cut::Crash {
        row.crashes += 1;
    }
    let target = bus.plans.targets.get(row.listener.as_str());
    match target.map(|it| it.plan.on_interrupted) {
        Some(OnInterrupted::Park) => {
            verdict::note_error(&mut row, "it was interrupted, and may have happened");
            row.end(State::NeedsReview, now);
        }
        _ if row.cancel_requested => row.end(State::Canceled, now),
        _ if row.crashes >= POISON => {
            let why = format!("the process ended {POISON} times while it was sent");
            verdict::note_error(&mut row, &why);
            row.end(State::Poison, now);
        }
        // The first time it may have been chance; the second time give the rest a while.
        _ if row.crashes == 2 => row.wait(State::Retry, now.after(Duration::from_secs(30))),
        _ => row.wait(State::Ready, now),
    }
    verdict::keep(tx, key, &row)
}
