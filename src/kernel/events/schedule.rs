//! What is done regularly, whatever happened.
//!
//! At each instant of its frequency, a *slot*, a task leaves a delivery to itself: it is then retried, logged, set
//! aside and shown to operators like every other one. A slot is noted in the transaction that leaves the delivery, so
//! it is never done twice, whoever crashes when.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    bus::{Bus, bus},
    delivery::{DELIVERIES, Delivery, DeliveryId, Lane},
    enqueue::group_of,
    frequency::Frequency,
    outbox::{blank, client_key},
};
use crate::kernel::{
    api::input::text_enum,
    clock::Time,
    error::Result,
    store::{
        Key as _, ReadTx, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

/// Something to do at each instant of a frequency.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// `market.fetch_prices`: stored with its slots, never renamed.
    pub name: &'static str,
    /// Such as `daily`, `every 5m`, `30 2 * * * Europe/Berlin`: see [`super::frequency`]. Not `immediate`.
    pub frequency: String,
    pub overlap: Overlap,
    pub catch_up: CatchUp,
}

text_enum! {
    /// When a slot comes while what the one before left is not at its end.
    pub enum Overlap {
        /// It is noted as skipped.
        Skip = "skip",
        /// It runs too, after it.
        Queue = "queue",
    }
}

text_enum! {
    /// What is done about slots that passed more than a minute ago, say because the server was down.
    pub enum CatchUp {
        None = "none",
        /// The last of them.
        One = "one",
        /// Every one of the last seven days, oldest first.
        All = "all",
    }
}

/// What an internal task does at a slot.
pub type Task = dyn Fn(&mut WriteTx, Time) -> Result<()> + Send + Sync;

/// A schedule whose frequency was understood.
#[derive(Clone)]
pub struct Planned {
    pub schedule: Schedule,
    pub frequency: Frequency,
    pub module: &'static str,
    /// `None`: the courier registered under its name does it.
    pub run: Option<Arc<Task>>,
}

/// All of them, by name.
pub type Schedules = BTreeMap<&'static str, Planned>;

/// task → how far it is
pub const TASKS: Table<String, TaskRow> = Table::new("events.tasks");

/// (task, slot) → what was made of it
pub const SLOTS: Table<(String, Time), SlotRow> = Table::new("events.slots");

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TaskRow {
    /// Every slot up to this instant was dealt with.
    pub done_until: Time,
    /// What the last slot left.
    pub delivery: Option<DeliveryId>,
    pub paused: bool,
}
row!(TaskRow);

/// What was made of a slot.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SlotRow {
    pub made: Made,
    pub at: Time,
    pub delivery: Option<DeliveryId>,
}
row!(SlotRow);

text_enum! {
    /// What was made of a slot.
    pub enum Made {
        Queued = "queued",
        /// What the one before left was not at its end.
        Overlapped = "overlapped",
        /// It passed while nobody was there to do it.
        Missed = "missed",
    }
}

const LATE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Slots of one task that one transaction deals with.
const PIECE: usize = 500;

/// The next instant at which a task is due.
pub(super) fn next_due(tx: &ReadTx, schedules: &Schedules) -> Result<Option<Time>> {
    let mut next: Option<Time> = None;
    for planned in schedules.values() {
        let due = match tx.get(&TASKS, &planned.schedule.name.to_owned())? {
            None => Some(tx.now()), // Seen for the first time: its slots count from now on.
            Some(task) if task.paused => None,
            Some(task) => planned.frequency.next(task.done_until),
        };
        next = [next, due].into_iter().flatten().min();
    }
    Ok(next)
}

/// Leaves what is due now.
pub(super) fn run_due(tx: &mut WriteTx) -> Result<()> {
    let bus = bus(tx)?;
    for planned in bus.plans.schedules.values() {
        let name = planned.schedule.name.to_owned();
        match tx.get(&TASKS, &name)? {
            None => {
                let task = TaskRow { done_until: tx.now(), delivery: None, paused: false };
                tx.put(&TASKS, &name, &task)?;
            }
            Some(task) if !task.paused => run_task(tx, &bus, planned, task)?,
            Some(_) => {}
        }
    }
    Ok(())
}

fn run_task(tx: &mut WriteTx, bus: &Arc<Bus>, planned: &Planned, mut task: TaskRow) -> Result<()> {
    let now = tx.now();
    let Some(last) = planned.frequency.last(now).filter(|it| *it > task.done_until) else { return Ok(()) };
    let is_late = now.since(last) > LATE;
    let busy = match task.delivery {
        Some(id) => tx.delivery(id)?.is_some_and(|(_, row)| !row.state.is_end()),
        None => false,
    };
    let slots = match planned.schedule.catch_up {
        CatchUp::All => slots(&planned.frequency, task.done_until.max(now.before(WINDOW)), now),
        CatchUp::One | CatchUp::None => vec![last],
    };
    for slot in slots {
        let made = match planned.schedule {
            Schedule { catch_up: CatchUp::None, .. } if is_late => Made::Missed,
            Schedule { overlap: Overlap::Skip, .. } if busy => Made::Overlapped,
            _ => Made::Queued,
        };
        if made == Made::Queued {
            task.delivery = leave(tx, bus, planned, slot)?.or(task.delivery);
        } else {
            note(tx, planned.schedule.name, slot, made, None)?;
        }
        task.done_until = slot;
    }
    forget_old_slots(tx, planned.schedule.name)?;
    tx.put(&TASKS, &planned.schedule.name.to_owned(), &task)
}

fn slots(frequency: &Frequency, after: Time, until: Time) -> Vec<Time> {
    let next = |at: &Time| frequency.next(*at).filter(|it| *it <= until);
    std::iter::successors(next(&after), next).take(PIECE).collect()
}

/// Leaves the delivery of a slot, unless it was dealt with before.
pub(super) fn leave(
    tx: &mut WriteTx,
    bus: &Arc<Bus>,
    planned: &Planned,
    slot: Time,
) -> Result<Option<DeliveryId>> {
    let name = planned.schedule.name;
    if tx.exists(&SLOTS, &(name.to_owned(), slot))? {
        return Ok(None);
    }
    let target = bus.plans.targets.get(name).filter(|_| planned.run.is_none());
    let client = client_key(None);
    let delivery = Delivery {
        external: target.is_some(),
        queue: target.map_or("default", |it| it.plan.queue).to_owned(),
        group: group_of(client, name, ""),
        ..blank(name, &slot.to_string(), target.map_or(Lane::Medium, |it| it.plan.lane), tx.now())
    };
    let id: DeliveryId = tx.new_id();
    tx.put(&DELIVERIES, &(client, id), &delivery)?;
    note(tx, name, slot, Made::Queued, Some(id))?;
    Ok(Some(id))
}

fn note(tx: &mut WriteTx, name: &str, slot: Time, made: Made, delivery: Option<DeliveryId>) -> Result<()> {
    let row = SlotRow { made, at: tx.now(), delivery };
    tx.put(&SLOTS, &(name.to_owned(), slot), &row)
}

fn forget_old_slots(tx: &mut WriteTx, name: &str) -> Result<()> {
    let name = name.to_owned();
    let until = (name.clone(), tx.now().before(KEPT)).to_key();
    let old = tx.scan(&SLOTS, Scan::prefix(&name).until(until)).take(20);
    for (key, _) in old.collect::<Result<Vec<_>>>()? {
        tx.delete(&SLOTS, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id, store::codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let delivery = Some(DeliveryId::from_bytes([2; 16]));
        golden("events.tasks", &TaskRow { done_until: at, delivery, paused: false });
        golden("events.slots", &SlotRow { made: Made::Queued, at, delivery });
    }
}
