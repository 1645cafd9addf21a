//! Schedules: when they run next, and running or holding them by hand.

use serde::Serialize;

use super::LateBus;
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, get, post},
        page::Page,
    },
    clock::Time,
    error::Result,
    events::{
        bus::{Bus, bus as bus_of},
        by_hand::{aside, until},
        delivery::DeliveryId,
        schedule::{CatchUp, Made, Overlap, Planned, SLOTS, TASKS, TaskRow, leave},
        worker::next_due,
    },
    store::{ReadTx, Scan, WriteTx},
};

pub fn endpoints(bus: &LateBus) -> Vec<Endpoint> {
    let lists = bus.clone();
    let pause = |path, about, paused| {
        let bus = bus.clone();
        post(path).about(about).operator().writes(move |tx, call: &Call<String, ()>| {
            let planned = found(bus.get()?.plans.schedules.get(call.path.as_str()))?;
            let mut task = task(tx, planned)?;
            task.paused = paused;
            tx.put(&TASKS, &call.path, &task)?;
            ring(tx);
            ScheduleOut::of(tx, planned)
        })
    };
    let runs = bus.clone();
    vec![
        get("/schedules").about("List what is done regularly").operator().lists(
            move |tx, _: &Call<(), ()>| {
                let schedules = lists.get()?.plans.schedules.values();
                Ok(Page::whole(schedules.map(|it| ScheduleOut::of(tx, it)).collect::<Result<_>>()?))
            },
        ),
        post("/schedules/run")
            .about("Do everything that is due now: schedules, listeners, deliveries; also where events are not enabled")
            .operator()
            .plain()
            .status(200)
            .runs(|kernel, _: Call<(), ()>| async move {
                let (ok, failed) = (kernel.bus.tally.ok(), kernel.bus.tally.failed());
                let (worker, until) = (kernel.worker.clone(), until(&kernel));
                let running = aside(move || worker.run_due(until)).await?;
                Ok(DueRunOut {
                    object: "due_run",
                    succeeded: kernel.bus.tally.ok() - ok,
                    failed: kernel.bus.tally.failed() - failed,
                    running,
                    next_due_at: kernel.store.read(next_due)?,
                })
            }),
        post("/schedules/cleanup")
            .about("Forget deliveries, dedupe keys and events that are old enough, now")
            .operator()
            .plain()
            .status(200)
            .runs(|kernel, _: Call<(), ()>| async move {
                let (worker, until) = (kernel.worker.clone(), until(&kernel));
                let config = kernel.config.events.clone();
                let forgotten = aside(move || worker.clean_up(&config, until)).await?;
                Ok(CleanupOut {
                    object: "cleanup",
                    deliveries: forgotten.deliveries,
                    dedupe_keys: forgotten.dedupe_keys,
                    events: forgotten.events,
                })
            }),
        post("/schedules/{name}/run").about("Run a schedule now, beside its slots").operator().writes(
            move |tx, call: &Call<String, ()>| {
                let planned = found(runs.get()?.plans.schedules.get(call.path.as_str()))?;
                let slot = tx.now();
                let bus = bus_of(tx)?;
                leave(tx, &bus, planned, slot)?;
                ring(tx);
                ScheduleOut::of(tx, planned)
            },
        ),
        pause("/schedules/{name}/pause", "Skip the slots of a schedule until it is resumed", true),
        pause("/schedules/{name}/resume", "Let a schedule run again, from its next slot on", false),
    ]
}

/// What was done because somebody asked, and what the worker did meanwhile.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DueRunOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// Attempts that ended well.
    succeeded: u64,
    /// Attempts that did not; they are tried again or are dead letters.
    failed: u64,
    /// Attempts that go on.
    running: usize,
    /// When the next delivery is due.
    next_due_at: Option<Time>,
}

/// What was forgotten.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CleanupOut {
    #[schema(value_type = String)]
    object: &'static str,
    deliveries: u64,
    dedupe_keys: u64,
    events: u64,
}

/// How far a task is; a task that is resumed does not catch up.
fn task(tx: &ReadTx, planned: &Planned) -> Result<TaskRow> {
    let now = tx.now();
    let row = tx.get(&TASKS, &planned.schedule.name.to_owned())?;
    let mut row = row.unwrap_or(TaskRow { done_until: now, delivery: None, paused: false });
    if row.paused {
        row.done_until = now;
    }
    Ok(row)
}

fn ring(tx: &mut WriteTx) {
    if let Some(bus) = tx.extension::<Bus>() {
        let bell = bus.bell.clone();
        tx.on_commit(Box::new(move || bell.ring()));
    }
}

/// Something done regularly.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ScheduleOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = String)]
    name: &'static str,
    #[schema(value_type = String)]
    module: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
    frequency: String,
    overlap: Overlap,
    catch_up: CatchUp,
    /// The next five instants.
    next: Vec<Time>,
    /// The last slots, newest first.
    last: Vec<SlotOut>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct SlotOut {
    slot: Time,
    made: Made,
    at: Time,
    job_id: Option<DeliveryId>,
}

impl ScheduleOut {
    fn of(tx: &ReadTx, planned: &Planned) -> Result<ScheduleOut> {
        let name = planned.schedule.name;
        let paused = tx.get(&TASKS, &name.to_owned())?.is_some_and(|it| it.paused);
        let slots = tx.scan(&SLOTS, Scan::prefix(&name.to_owned()).newest_first()).take(5);
        let slots = slots.map(|it| {
            it.map(|((_, slot), row)| SlotOut { slot, made: row.made, at: row.at, job_id: row.delivery })
        });
        let next = std::iter::successors(planned.frequency.next(tx.now()), |at| planned.frequency.next(*at));
        Ok(ScheduleOut {
            object: "schedule",
            name,
            module: planned.module,
            status: if paused { "paused" } else { "running" },
            frequency: planned.frequency.to_string(),
            overlap: planned.schedule.overlap,
            catch_up: planned.schedule.catch_up,
            next: if paused { vec![] } else { next.take(5).collect() },
            last: slots.collect::<Result<_>>()?,
        })
    }
}
