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

/// Runs deliveries in the file their modules live in, then notes here how that went: two commits, however many there
/// are. An effect and the note that it was had are one transaction there, so that a repeat after a crash in between
/// does nothing.
pub(super) fn deliver_away(desk: &Desk, away: &Store, keys: Vec<Key>) -> Result<()> {
    let (store, bus) = (&desk.store, desk.bus.clone());
    let found = store.read(|tx| {
        let mut found = vec![];
        for key in keys {
            if let Some(row) = tx.get(&DELIVERIES, &key)?.filter(|it| it.state == State::Ready) {
                found.push((key, find(tx, &bus, &key, &row), bus.plans.timeout(&row), row));
            }
        }
        Ok(found)
    })?;
    let now = store.clock().now();
    let heard = away.write_blocking(move |tx| {
        let mut all = vec![];
        for (key, found, allowed, row) in found {
            let is_late = row.deliver_before.is_some_and(|it| it <= now);
            let heard = match found {
                Err(heard) => heard,
                Ok(_) if is_late => Heard::Ok, // It expires below, without an effect.
                Ok(what) => hear_once(tx, allowed, (row.listener, what.subject()), &what)?,
            };
            all.push((key, heard));
        }
        Ok(all)
    })?;
    desk.failpoints.pass(Failpoint::AfterEffectAway)?;
    store.write_blocking(move |tx| {
        for (key, heard) in heard {
            deliver_with(tx, &bus, &key, |_, _| heard)?;
        }
        Ok(())
    })
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
    let took = began.elapsed();
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
    let attempt =
        Attempt { started_at: now, duration_ms, outcome: ended, error, http_status: None, response: None };
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
