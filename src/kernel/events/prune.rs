//! What is forgotten, when it is old enough: deliveries with their attempts, dedupe keys that ran out, events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    dedupe::KEYS,
    delivery::{ATTEMPTS, DELIVERIES, EXTRAS},
    event::EventId,
    outbox::EVENTS,
    verdict::Key,
    worker::Job,
};
use crate::config::Events;
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::Result,
    id::Id,
    store::{Key as _, ReadTx, Scan, WriteTx, key::after_prefix},
};

/// A piece never holds the writer for longer.
const HOLD: Duration = Duration::from_millis(5);
const PIECE: usize = 500;
/// Old events of one client that one look goes over.
const MOST_LOOKED_AT: usize = 5000;
const HOUR: i64 = 3600 * 1_000_000;

/// Forgets deliveries and dedupe keys, at most once an hour.
pub(super) fn deliveries(config: &Events) -> Job {
    let keep = keep(config);
    Job {
        name: "events.prune_deliveries",
        due: Arc::new(move |tx| {
            let mut due: Option<Time> = None;
            for (failed, keep) in keep {
                let oldest = tx.scan_index(&DELIVERIES, "events.ended", Scan::prefix(&failed)).next();
                let ended = oldest.transpose()?.and_then(|(_, row)| row.finished_at);
                due = [due, ended.map(|it| full_hour(it.after(keep)))].into_iter().flatten().min();
            }
            let key = tx.scan_index(&KEYS, "events.dedupe_until", Scan::all()).next().transpose()?;
            let free = key.and_then(|(_, row)| row.until).map(full_hour);
            Ok([due, free].into_iter().flatten().min())
        }),
        run: Arc::new(move |tx| forget_deliveries(tx, keep).map(drop)),
    }
}

/// How long deliveries are kept that did not fail, and those that did.
type Keep = [(bool, Duration); 2];

fn keep(config: &Events) -> Keep {
    [(false, days(config.retention_days)), (true, days(config.retention_failed_days))]
}

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

/// How much was forgotten.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Forgotten {
    pub deliveries: u64,
    pub dedupe_keys: u64,
    pub events: u64,
}

impl Forgotten {
    pub(super) fn add(&mut self, other: &Forgotten) {
        self.deliveries += other.deliveries;
        self.dedupe_keys += other.dedupe_keys;
        self.events += other.events;
    }

    pub(super) fn is_nothing(&self) -> bool {
        *self == Forgotten::default()
    }
}

/// Forgets a piece of everything that is old enough. Events come last: those that a delivery refers to are kept.
pub(super) fn piece(tx: &mut WriteTx, config: &Events) -> Result<Forgotten> {
    let mut forgotten = forget_deliveries(tx, keep(config))?;
    if forgotten.deliveries == 0 {
        forgotten.events = forget_events(tx, days(config.retention_events_days))?.0;
    }
    Ok(forgotten)
}

fn forget_deliveries(tx: &mut WriteTx, keep: Keep) -> Result<Forgotten> {
    let began = Instant::now();
    let mut forgotten = Forgotten::default();
    for (failed, keep) in keep {
        let until = (failed, tx.now().before(keep)).to_key();
        let scan = Scan::prefix(&failed).until(until);
        let ended = tx.scan_index(&DELIVERIES, "events.ended", scan).take(PIECE);
        for (key, _) in ended.collect::<Result<Vec<_>>>()? {
            if forgotten.deliveries > 0 && began.elapsed() > HOLD {
                return Ok(forgotten);
            }
            forget(tx, &key)?;
            forgotten.deliveries += 1;
        }
    }
    let free = Scan::all().until(tx.now().to_key());
    let free = tx.scan_index(&KEYS, "events.dedupe_until", free).take(PIECE);
    for (key, _) in free.collect::<Result<Vec<_>>>()? {
        tx.delete(&KEYS, &key)?;
        forgotten.dedupe_keys += 1;
    }
    Ok(forgotten)
}

/// How many were forgotten, and whether others may be left.
fn forget_events(tx: &mut WriteTx, keep: Duration) -> Result<(u64, bool)> {
    let began = Instant::now();
    let old = old_events(tx, keep, PIECE)?;
    let (found, mut forgotten) = (old.len(), 0);
    for key in old {
        if forgotten > 0 && began.elapsed() > HOLD {
            break;
        }
        tx.delete(&EVENTS, &key)?;
        forgotten += 1;
    }
    Ok((forgotten, found == PIECE))
}

/// The first full hour at which everything up to `at` is past: pruning happens in one go, not row by row.
fn full_hour(at: Time) -> Time {
    Time::from_micros((at.micros().div_euclid(HOUR) + 1).saturating_mul(HOUR))
}

fn forget(tx: &mut WriteTx, key: &Key) -> Result<()> {
    let attempts = tx.scan(&ATTEMPTS, Scan::prefix(&key.1)).map(|it| it.map(|(key, _)| key));
    for attempt in attempts.collect::<Result<Vec<_>>>()? {
        tx.delete(&ATTEMPTS, &attempt)?;
    }
    tx.delete(&EXTRAS, &key.1)?;
    tx.delete(&DELIVERIES, key)?;
    Ok(())
}

/// Forgets events that no delivery refers to. Looked for once an hour.
pub(super) fn events(config: &Events) -> Job {
    let keep = days(config.retention_events_days);
    // What is looked for next may be lost: it is only a matter of looking once more.
    let look_at = Arc::new(AtomicI64::new(i64::MIN));
    let next_look = look_at.clone();
    Job {
        name: "events.prune_events",
        due: Arc::new(move |tx| {
            let at = Time::from_micros(look_at.load(Ordering::Relaxed));
            if at <= tx.now() && old_events(tx, keep, 1)?.is_empty() {
                look_at.store(tx.now().micros().saturating_add(HOUR), Ordering::Relaxed);
                return Ok(None);
            }
            Ok(Some(at))
        }),
        run: Arc::new(move |tx| {
            let (_, more) = forget_events(tx, keep)?;
            if !more {
                next_look.store(tx.now().micros().saturating_add(HOUR), Ordering::Relaxed);
            }
            Ok(())
        }),
    }
}

/// Events that are older than `keep` and that no delivery refers to.
fn old_events(tx: &ReadTx, keep: Duration, limit: usize) -> Result<Vec<(ClientId, EventId)>> {
    // An id begins with the milliseconds of its making: this one is before every other of that millisecond.
    let millis = tx.now().before(keep).millis().max(0).cast_unsigned();
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    let until = EventId::from_bytes(bytes);
    let mut old = vec![];
    let mut clients = Scan::all();
    while let Some(first) = tx.scan(&EVENTS, clients).next() {
        let ((client, _), _) = first?;
        // What failed deliveries refer to stays, and must not hide what is behind it for ever.
        let scan = Scan::prefix(&client).until((client, until).to_key());
        for event in tx.scan(&EVENTS, scan).take(MOST_LOOKED_AT) {
            let (key, _) = event?;
            let referred = tx.scan_index(&DELIVERIES, "events.by_event", Scan::prefix(&key.1)).next();
            if referred.transpose()?.is_none() {
                old.push(key);
            }
            if old.len() >= limit {
                return Ok(old);
            }
        }
        match after_prefix(&client.to_key()) {
            Some(next) => clients = Scan::all().from(next),
            None => break,
        }
    }
    Ok(old)
}
