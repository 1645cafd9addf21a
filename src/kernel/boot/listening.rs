//! What a module announces, hears, and does when its time comes.

use std::{future::Future, sync::Arc};

use super::{Boot, BootError};
use crate::kernel::{
    annex::Away,
    api::endpoint::Shape,
    clock::Time,
    error::Result,
    events::{
        bus::Overheard,
        courier::{AnyCourier, Courier, Plainly, Report, Sending, Target, TargetPlan},
        event::{Envelope, Event, EventInfo, Listener, Mode, Run},
        frequency::Frequency,
        schedule::{Planned, Schedule, Task},
        worker::Job,
    },
    store::WriteTx,
};

impl Boot {
    /// An event it announces.
    pub fn announces<E: Event>(&mut self) {
        if self.is_muted {
            return;
        }
        self.events.insert(EventInfo { name: E::NAME, version: E::VERSION, module: self.module });
        self.event_shapes.insert(E::NAME, Shape::of::<E>);
    }

    /// Runs `handle` for every event `E`. `name` is stored with deliveries: never renamed.
    pub fn listen<E: Event>(
        &mut self,
        name: &'static str,
        mode: Mode,
        handle: impl Fn(&mut WriteTx, &Envelope, E) -> Result<()> + Send + Sync + 'static,
    ) {
        let run = Arc::new(move |tx: &mut WriteTx, envelope: &Envelope| {
            handle(tx, envelope, envelope.read::<E>()?)
        });
        self.listener::<E>(name, mode, Run::Inside(run));
    }

    /// The same by a method of a service.
    pub fn listen_with<S: Send + Sync + 'static, E: Event>(
        &mut self,
        service: &Arc<S>,
        name: &'static str,
        mode: Mode,
        handle: fn(&S, &mut WriteTx, &Envelope, E) -> Result<()>,
    ) {
        let service = service.clone();
        self.listen::<E>(name, mode, move |tx, envelope, event| handle(&service, tx, envelope, event));
    }

    /// Runs `handle` for every event there is, in the transaction that announces it: what enqueues one delivery per
    /// endpoint or channel. It publishes nothing, and fails only when the store does, since that refuses the command.
    pub fn overhear(
        &mut self,
        handle: impl Fn(&mut WriteTx, &Overheard) -> Result<()> + Send + Sync + 'static,
    ) {
        if self.is_muted {
            return;
        }
        self.tied("it hears every event in the transaction that announces it");
        self.overhearing.push(Arc::new(handle));
    }

    /// Runs `handle` for every event `E`, outside of any transaction: it may reach out, and never sees the store.
    #[allow(dead_code, reason = "offered to modules, and none of ours needs it yet")]
    pub fn listen_outside<E: Event, F, R, O>(&mut self, name: &'static str, plan: TargetPlan, handle: F)
    where
        F: Fn(Sending) -> R + Send + Sync + 'static,
        R: Future<Output = O> + Send + 'static,
        O: Into<Report> + 'static,
    {
        self.listener::<E>(name, Mode::Queue, Run::Outside);
        self.target_at_home(name, plan, Arc::new(Plainly(handle)));
    }

    /// Delivers to endpoints or channels of one kind whatever is enqueued for it. `kind` is stored: never renamed. Its
    /// transactions are in `default`, with the outbox, wherever the module lives.
    pub fn target(&mut self, kind: &'static str, plan: TargetPlan, courier: impl Courier) {
        self.add_target(kind, plan, Arc::new(courier));
    }

    /// As [`Boot::target`], with the transactions of the courier in the module's own file.
    fn target_at_home(&mut self, kind: &'static str, plan: TargetPlan, courier: Arc<dyn AnyCourier>) {
        let courier = match self.annex() {
            Some(annex) => Arc::new(Away { store: annex.store.clone(), kind, courier }),
            None => courier,
        };
        self.add_target(kind, plan, courier);
    }

    fn add_target(&mut self, kind: &'static str, plan: TargetPlan, courier: Arc<dyn AnyCourier>) {
        if self.is_muted {
            return;
        }
        if self.targets.insert(kind, Target { kind, module: self.module, plan, courier }).is_some() {
            self.taken("target", kind);
        }
    }

    /// Does `run` at each slot of a schedule, in one transaction with the note that it was done.
    #[allow(dead_code, reason = "offered to modules, and none of ours needs it yet")]
    pub fn schedule(
        &mut self,
        schedule: Schedule,
        run: impl Fn(&mut WriteTx, Time) -> Result<()> + Send + Sync + 'static,
    ) {
        self.planned(schedule, Some(Arc::new(run)));
    }

    /// Lets `courier` do it: what reaches out. The job's target is the slot's instant.
    #[allow(dead_code, reason = "offered to modules, and none of ours needs it yet")]
    pub fn schedule_outside(&mut self, schedule: Schedule, plan: TargetPlan, courier: impl Courier) {
        self.target_at_home(schedule.name, plan, Arc::new(courier));
        self.planned(schedule, None);
    }

    #[allow(dead_code, reason = "offered to modules, and none of ours needs it yet")]
    fn planned(&mut self, schedule: Schedule, run: Option<Arc<Task>>) {
        if self.is_muted {
            return;
        }
        let name = schedule.name;
        match schedule.frequency.parse::<Frequency>() {
            Ok(frequency) if !frequency.is_immediate() => {
                let planned = Planned { schedule, frequency, module: self.module, run };
                if self.schedules.insert(name, planned).is_some() {
                    self.taken("schedule", name);
                }
            }
            _ => self.errors.push(BootError::Frequency { name, frequency: schedule.frequency }),
        }
    }

    fn listener<E: Event>(&mut self, name: &'static str, mode: Mode, run: Run) {
        if self.is_muted {
            return;
        }
        if mode == Mode::Sync {
            self.tied(format!("listener {name} runs in the transaction of the event"));
        }
        // The same name for several events is one listener that hears them all.
        if self.listeners.iter().any(|it| (it.name, it.event) == (name, E::NAME)) {
            self.taken("listener", name);
        }
        let (event, module, beside_outbox) = (E::NAME, self.module, self.is_beside_outbox);
        self.listeners.push(Listener { name, event, module, beside_outbox, mode, run });
    }

    /// Something to do when its time comes.
    pub fn job(&mut self, job: Job) {
        if self.is_muted {
            return;
        }
        let home = self.store();
        self.jobs.push((home, job));
    }

    /// The same in `default`, wherever the module lives: what leaves deliveries in the outbox.
    pub fn job_in_books(&mut self, job: Job) {
        if self.is_muted {
            return;
        }
        self.jobs.push((self.books(), job));
    }
}
