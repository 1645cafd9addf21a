//! Internal listeners: effect, follow-up events and "sent" in one transaction, so that the effect happens once.
//!
//! A batch of deliveries shares a transaction; each runs on an overlay of its own, so that one that fails costs its
//! neighbours nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    bus::Bus,
    courier::Outcome,
    delivery::{Attempt, DELIVERIES, Delivery, Ended, State},
    event::{Envelope, Listener},
    failpoint::Failpoint,
    outbox::{EVENTS, hear},
    schedule::Task,
    sender::Desk,
    verdict::{self, Key, POISON},
};
use crate::kernel::{
    annex::{self, HEARD},
    clock::Time,
    error::{Error, Result, fault},
    store::{ReadTx, Store, WriteTx},
};

/// A listener that takes longer than this holds up everybody's commands, and is named in the log.
const BUDGET: Duration = Duration::from_millis(50);

/// Runs one delivery that is ready. Nothing when it no longer is.
pub(super) fn deliver(tx: &mut WriteTx, bus: &Arc<Bus>, key: &Key) -> Result<()> {
    deliver_with(tx, bus, key, |tx, row| match find(tx, bus, key, row) {
        Ok(what) => heard(tx, bus.plans.timeout(row), |tx| what.run(tx)),
        Err(heard) => heard,
    })
}

/// The module in whose file a delivery has its effect, and the file, when that is not this one.
pub(super) fn away(tx: &ReadTx, bus: &Bus, key: &Key) -> Result<Option<(&'static str, Store)>> {
    if bus.away.is_empty() {
        return Ok(None);
    }
    let Some(row) = tx.get(&DELIVERIES, key)? else { return Ok(None) };
    let module = match bus.plans.schedules.get(row.listener.as_str()) {
        Some(planned) => Some(planned.module),
        None => {
            let listener = bus.plans.listener(&row.event_name, &row.listener).map(|it| &it.listener);
            listener.filter(|it| !it.beside_outbox).map(|it| it.module)
        }
    };
    Ok(module.and_then(|it| Some((it, bus.away.get(it)?.clone()))))
}

/// Runs deliveries in the file their modules live in: claims them here, runs them there, notes here how that went;
/// three commits, however many there are. Whoever cancels one before the claim is told so and it has no effect, and
/// afterwards it is too late. An effect and the note that it was had are one transaction there, so that a repeat after
/// a crash in between does nothing.
pub(super) fn deliver_away(desk: &Desk, away: &Store, keys: Vec<Key>) -> Result<()> {
    let (bus, epoch) = (desk.bus.clone(), desk.epoch);
    let claimed = desk.store.write_blocking(move |tx| {
        let mut claimed = vec![];
        for key in keys {
            if let Some(what) = claim(tx, &bus, epoch, &key)? {
                claimed.push((key, what));
            }
        }
        Ok(claimed)
    })?;
    if claimed.is_empty() {
        return Ok(());
    }
    let keys: Vec<Key> = claimed.iter().map(|it| it.0).collect();
    let noted = run_away(desk, away, claimed);
    if noted.is_err() {
        // Nobody is at it any more. What has had its effect is noted there, and does nothing again.
        desk.store.write_blocking(move |tx| keys.iter().try_for_each(|it| give_back(tx, epoch, it)))?;
    }
    noted
}

/// What is run elsewhere: who hears, what, and for how long at most.
struct Away {
    listener: String,
    what: What,
    allowed: Duration,
}

/// Marks a delivery as being run, when it is still to be; otherwise it is where it belongs.
fn claim(tx: &mut WriteTx, bus: &Arc<Bus>, epoch: u64, key: &Key) -> Result<Option<Away>> {
    let Some(mut row) = tx.get(&DELIVERIES, key)?.filter(|it| it.state == State::Ready && !it.external)
    else {
        return Ok(None);
    };
    let now = tx.now();
    if row.deliver_before.is_some_and(|it| it <= now) {
        row.end(State::Expired, now);
        return verdict::keep(tx, key, &row).map(|()| None);
    }
    row.started_at = Some(now);
    let allowed = bus.plans.timeout(&row);
    let what = match find(tx, bus, key, &row) {
        Ok(what) => what,
        Err(heard) => return note(tx, bus, key, row, (heard, Duration::ZERO)).map(|()| None),
    };
    (row.state, row.epoch) = (State::Processing, epoch);
    tx.put(&DELIVERIES, key, &row)?;
    Ok(Some(Away { listener: row.listener, what, allowed }))
}

fn run_away(desk: &Desk, away: &Store, claimed: Vec<(Key, Away)>) -> Result<()> {
    let heard = away.write_blocking(move |tx| {
        let mut all = vec![];
        for (key, Away { listener, what, allowed }) in claimed {
            let began = Instant::now();
            let heard = hear_once(tx, allowed, (listener, what.subject()), &what)?;
            all.push((key, (heard, began.elapsed())));
        }
        Ok(all)
    })?;
    desk.failpoints.pass(Failpoint::AfterEffectAway)?;
    let (bus, epoch) = (desk.bus.clone(), desk.epoch);
    desk.store.write_blocking(move |tx| {
        for (key, heard) in heard {
            if let Some(row) = claimed_by(tx, epoch, &key)? {
                note(tx, &bus, &key, row, heard)?;
            }
        }
        Ok(())
    })
}

/// The delivery, as long as this incarnation of the server runs it.
fn claimed_by(tx: &ReadTx, epoch: u64, key: &Key) -> Result<Option<Delivery>> {
    let is_ours = |it: &Delivery| it.state == State::Processing && it.epoch == epoch && !it.external;
    Ok(tx.get(&DELIVERIES, key)?.filter(is_ours))
}

/// It is run again, unless somebody does not want that any more.
fn give_back(tx: &mut WriteTx, epoch: u64, key: &Key) -> Result<()> {
    let Some(mut row) = claimed_by(tx, epoch, key)? else { return Ok(()) };
    let now = tx.now();
    if row.cancel_requested {
        row.end(State::Canceled, now);
    } else {
        row.wait(State::Ready, now);
    }
    verdict::keep(tx, key, &row)
}

/// Runs it in a file of its own, unless it has had its effect there.
fn hear_once(tx: &mut WriteTx, allowed: Duration, note: (String, String), what: &What) -> Result<Heard> {
    if tx.exists(&HEARD, &note)? {
        return Ok(Heard::Ok);
    }
    Ok(heard(tx, allowed, |tx| {
        what.run(tx)?;
        tx.put(&HEARD, &note, &annex::Heard { at: tx.now() })
    }))
}

fn deliver_with(
    tx: &mut WriteTx,
    bus: &Arc<Bus>,
    key: &Key,
    run: impl FnOnce(&mut WriteTx, &Delivery) -> Heard,
) -> Result<()> {
    let Some(mut row) = tx.get(&DELIVERIES, key)?.filter(|it| it.state == State::Ready && !it.external)
    else {
        return Ok(());
    };
    let now = tx.now();
    if row.deliver_before.is_some_and(|it| it <= now) {
        row.end(State::Expired, now);
        return verdict::keep(tx, key, &row);
    }
    row.started_at = Some(now);
    let began = Instant::now();
    let heard = run(tx, &row);
    note(tx, bus, key, row, (heard, began.elapsed()))
}

/// Notes how it went.
fn note(
    tx: &mut WriteTx,
    bus: &Arc<Bus>,
    key: &Key,
    mut row: Delivery,
    (heard, took): (Heard, Duration),
) -> Result<()> {
    let now = tx.now();
    if took > BUDGET {
        let ms = took.as_millis();
        tracing::warn!(
            listener = row.listener,
            ms,
            "Listener {} held up everybody for {ms} ms",
            row.listener
        );
    }
    let (ended, outcome) = match heard {
        Heard::Ok => (Ended::Ok, Outcome::Ok),
        Heard::Gone(what) => {
            verdict::note_error(&mut row, &what);
            row.end(State::UnknownTarget, now);
            return verdict::keep(tx, key, &row);
        }
        Heard::Unreadable(error) => (Ended::Rejected, Outcome::Reject(error.to_string())),
        Heard::Failed(error) => (Ended::Failed, Outcome::Retry(error.to_string())),
        Heard::Late(allowed) => {
            (Ended::TimedOut, Outcome::Retry(format!("took longer than the {} s allowed", allowed.as_secs())))
        }
        Heard::Panicked => (Ended::Panicked, Outcome::Retry(format!("listener {} panicked", row.listener))),
    };
    let error = match &outcome {
        Outcome::Retry(error) | Outcome::Reject(error) => Some(error.clone()),
        _ => None,
    };
    if let Some(error) = &error {
        tracing::warn!(delivery.id = %key.1, listener = row.listener, error, "A listener failed: {error}");
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let attempt = Attempt {
        started_at: row.started_at.unwrap_or(now),
        duration_ms,
        outcome: ended,
        error,
        http_status: None,
        response: None,
    };
    verdict::log(tx, key, &mut row, attempt)?;
    verdict::conclude(tx, &bus.plans, key, &mut row, &outcome)
}

/// Marks a delivery before it is run alone, because the process may have ended under it. Marked three times, it is
/// poison.
pub(super) fn suspect(tx: &mut WriteTx, key: &Key) -> Result<()> {
    let Some(mut row) = tx.get(&DELIVERIES, key)?.filter(|it| it.state == State::Ready) else {
        return Ok(());
    };
    if row.crashes >= POISON {
        verdict::note_error(&mut row, &format!("the process ended {POISON} times while it ran"));
        row.end(State::Poison, tx.now());
    } else {
        row.crashes += 1;
    }
    verdict::keep(tx, key, &row)
}

enum Heard {
    Ok,
    Failed(Error),
    /// Its effect was dropped.
    Late(Duration),
    Panicked,
    Gone(String),
    Unreadable(Error),
}

/// What there is to run for a delivery.
enum What {
    Slot(Arc<Task>, Time),
    Listener(Box<(Listener, Envelope)>),
}

impl What {
    fn run(&self, tx: &mut WriteTx) -> Result<()> {
        match self {
            What::Slot(run, slot) => run(tx, *slot),
            What::Listener(heard) => hear(tx, &heard.0, &heard.1),
        }
    }

    /// What its effect is noted under.
    fn subject(&self) -> String {
        match self {
            What::Slot(_, slot) => slot.to_string(),
            What::Listener(heard) => heard.1.id.to_string(),
        }
    }
}

/// Or why there is nothing.
fn find(tx: &ReadTx, bus: &Bus, key: &Key, row: &Delivery) -> std::result::Result<What, Heard> {
    if let Some(planned) = bus.plans.schedules.get(row.listener.as_str()) {
        let run = planned.run.as_ref().zip(Time::parse(&row.target));
        let Some((run, slot)) = run else {
            return Err(Heard::Gone(format!("{} has no such slot", row.listener)));
        };
        return Ok(What::Slot(run.clone(), slot));
    }
    let plan = bus.plans.listener(&row.event_name, &row.listener);
    let Some(plan) = plan.filter(|it| !it.listener.is_external()) else {
        return Err(Heard::Gone(format!("listener {} no longer exists", row.listener)));
    };
    let envelope = row.event.map_or(Ok(None), |event| tx.get(&EVENTS, &(key.0, event)));
    match envelope {
        Ok(Some(envelope)) => Ok(What::Listener(Box::new((plan.listener.clone(), envelope)))),
        Ok(None) => Err(Heard::Gone("its event no longer exists".to_owned())),
        Err(error) => Err(Heard::Unreadable(error)),
    }
}

fn heard(tx: &mut WriteTx, allowed: Duration, run: impl FnOnce(&mut WriteTx) -> Result<()>) -> Heard {
    let began = Instant::now();
    let (mut late, mut panicked) = (false, false);
    let heard = tx.attempt(|tx| {
        // A panicking listener is a failed try, not the end of the batch.
        let heard = catch_unwind(AssertUnwindSafe(|| run(tx)));
        panicked = heard.is_err();
        late = began.elapsed() > allowed;
        match heard {
            Ok(Ok(())) if late => Err(fault!("too late")),
            heard => heard.unwrap_or_else(|_| Err(fault!("it panicked"))),
        }
    });
    match heard {
        Ok(()) => Heard::Ok,
        Err(_) if panicked => Heard::Panicked,
        Err(_) if late => Heard::Late(allowed),
        Err(error) => Heard::Failed(error),
    }
}
