//! Tasks at their slots: each once, whatever was missed.

use super::*;
use crate::kernel::events::{
    courier::{Outcome, Plainly, Sending, TargetPlan},
    schedule::{CatchUp, Made, Overlap, SLOTS, Schedule},
};

fn every(frequency: &str, catch_up: CatchUp) -> Schedule {
    Schedule { name: "test.task", frequency: frequency.to_owned(), overlap: Overlap::Skip, catch_up }
}

fn noting(notes: &Notes, schedule: Schedule) -> impl FnOnce(&mut Boot) + use<> {
    let notes = notes.clone();
    move |boot| {
        boot.schedule(schedule, move |tx, slot| {
            notes.add(format!("{} at {}", &slot.to_string()[5..16], &tx.now().to_string()[5..16]));
            add(tx, "ran")
        });
    }
}

#[test]
fn a_task_runs_at_each_slot_once() {
    let notes = Notes::default();
    let server = Server::start(noting(&notes, every("every 5m", CatchUp::One)));
    server.settle();
    for _ in 0..61 {
        server.advance(10);
        server.settle();
    }
    assert_eq!(notes.take(), ["01-01T00:05 at 01-01T00:05", "01-01T00:10 at 01-01T00:10"]);
}

#[test]
fn what_passed_while_the_server_was_down_is_caught_up_as_asked() {
    for (catch_up, ran) in [
        (CatchUp::None, &[][..]),
        (CatchUp::One, &["01-01T03:00 at 01-01T03:30"]),
        (
            CatchUp::All,
            &["01-01T01:00 at 01-01T03:30", "01-01T02:00 at 01-01T03:30", "01-01T03:00 at 01-01T03:30"],
        ),
    ] {
        let notes = Notes::default();
        let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
        let start = |epoch| {
            let register = noting(&notes, every("hourly", catch_up));
            Server::on(disk.open(&clock), clock.clone(), epoch, &[], register).unwrap()
        };
        let server = start(1);
        server.settle();
        server.kernel.store.close().unwrap();
        clock.advance(Duration::from_secs(3 * 3600 + 1800));
        for epoch in 2..4 {
            let server = start(epoch);
            server.settle();
            server.kernel.store.close().unwrap();
        }
        assert_eq!(notes.take(), ran, "{catch_up}");
    }
}

#[test]
fn a_slot_is_never_done_twice_even_when_its_work_failed_to_commit() {
    let notes = Notes::default();
    let server = Server::start(noting(&notes, every("hourly", CatchUp::All)));
    server.settle();
    server.clock.advance(Duration::from_secs(3600));
    server.fail_next(Failpoint::AfterEffectBeforeCommit, 3);
    for _ in 0..4 {
        let _ = server.kernel.worker.pass();
    }
    server.settle();
    assert_eq!(server.count("ran"), 1);
}

#[test]
fn a_slot_that_comes_while_the_one_before_is_not_done_is_skipped_or_waits() {
    for (overlap, made, sent) in [
        (Overlap::Skip, [Made::Queued, Made::Overlapped], 1),
        (Overlap::Queue, [Made::Queued, Made::Queued], 3),
    ] {
        let server = Server::start(|boot| {
            let schedule = Schedule { overlap, ..every("hourly", CatchUp::One) };
            let send = Plainly(|job: Sending| async move {
                if job.attempt == 1 && job.target.contains("T01") {
                    Outcome::Snooze(Duration::from_secs(5000))
                } else {
                    Outcome::Ok
                }
            });
            boot.schedule_outside(schedule, TargetPlan::default(), send);
        });
        server.settle();
        server.advance(3600);
        server.advance(3600);
        let slots = server.kernel.store.read(|tx| {
            tx.scan(&SLOTS, Scan::all()).map(|it| it.map(|it| it.1.made)).collect::<Result<Vec<_>>>()
        });
        assert_eq!(slots.unwrap(), made);
        server.advance(5000);
        let done = server.states().into_iter().filter(|it| *it == State::Sent).count();
        assert_eq!(done, sent, "{overlap}: the third slot too");
    }
}

#[test]
fn a_daily_task_keeps_its_hour_when_the_clocks_change() {
    let notes = Notes::default();
    let clock = Clock::manual(Time::parse("2026-03-27T12:00:00Z").unwrap());
    let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
    let register = noting(&notes, every("30 2 * * * Europe/Berlin", CatchUp::One));
    let server = Server::on(store, clock, 1, &[], register).unwrap();
    server.settle();
    for _ in 0..(3 * 48) {
        server.advance(1800);
    }
    assert_eq!(
        notes.take(),
        ["03-28T01:30 at 03-28T01:30", "03-29T01:00 at 03-29T01:00", "03-30T00:30 at 03-30T00:30"]
    );
}
