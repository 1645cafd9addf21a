//! Internal listeners: exactly once, retried exactly, deduplicated.

use super::*;
use crate::kernel::events::{
    courier::{Outcome, Sending, TargetPlan},
    dedupe::DedupePolicy,
    delivery::Ended,
    enqueue::{DAY, Enqueued, NewDelivery},
};

fn counting(boot: &mut Boot) {
    boot.listen::<Counted>("test.count", Mode::Queue, |tx, _, _| add(tx, "heard"));
}

#[test]
fn an_event_is_heard_once_after_its_commit() {
    let server = Server::start(counting);
    server.publish(1, 1);
    assert_eq!((server.count("heard"), server.states()), (0, vec![State::Ready]));
    server.settle();
    server.settle();
    assert_eq!((server.count("heard"), server.states()), (1, vec![State::Sent]));
    let (id, row) = server.deliveries().remove(0);
    assert_eq!((row.tries_used, server.attempts(id).len()), (1, 1));
}

#[test]
fn what_is_refused_announces_nothing() {
    let server = Server::start(|boot| {
        counting(boot);
        boot.listen::<Echoed>("test.refuse", Mode::Sync, |_, _, _| no());
    });
    let refused = server.kernel.store.write_blocking(|tx| {
        tx.publish(&caller(1), &Counted { number: 1 })?;
        tx.publish(&caller(1), &Echoed { number: 1 })
    });
    assert!(refused.is_err());
    server.settle();
    assert_eq!((server.deliveries().len(), server.count("heard")), (0, 0));
}

#[test]
fn a_failing_listener_is_tried_exactly_when_configured_and_then_dead() {
    let settings = [("events.tries", "5"), ("events.backoff", "[30, 60, 120]")];
    let instants = Notes::default();
    let notes = instants.clone();
    let server = Server::configured(&settings, |boot| {
        boot.listen::<Counted>("test.fail", Mode::Queue, move |tx, _, _| {
            notes.add(seconds(tx.now()).to_string());
            no()
        });
    });
    server.publish(1, 1);
    server.settle();
    for _ in 0..600 {
        server.advance(1);
    }
    assert_eq!(instants.take(), ["0", "30", "90", "210", "330"]);
    let (id, row) = server.deliveries().remove(0);
    assert_eq!((row.state, row.tries_used, row.error.as_deref()), (State::Exhausted, 5, Some("no")));
    let outcomes: Vec<_> = server.attempts(id).iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Ended::Failed; 5]);
}

#[test]
fn a_restart_in_the_middle_changes_no_instant() {
    let settings = [("events.tries", "5"), ("events.backoff", "[30, 60, 120]")];
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let instants = Notes::default();
    for epoch in 1.. {
        let notes = instants.clone();
        let server = Server::on(disk.open(&clock), clock.clone(), epoch, &settings, |boot| {
            boot.listen::<Counted>("test.fail", Mode::Queue, move |tx, _, _| {
                notes.add(seconds(tx.now()).to_string());
                no()
            });
        });
        let server = server.unwrap();
        if epoch == 1 {
            server.publish(1, 1);
        }
        server.settle();
        if server.states() == [State::Exhausted] {
            break;
        }
        // Each incarnation lives for seven seconds.
        for _ in 0..7 {
            server.advance(1);
        }
        server.kernel.store.close().unwrap();
    }
    assert_eq!(instants.take(), ["0", "30", "90", "210", "330"]);
}

#[test]
fn setting_the_wall_clock_neither_loses_nor_repeats_an_attempt() {
    use crate::kernel::clock::Steady;
    let settings = [("events.tries", "5"), ("events.backoff", "[30, 60, 120]")];
    // The wall clock is set after 45 seconds, by so many; when the attempts happen, by a stopwatch.
    for (set_by, wanted) in [
        (0, [0, 30, 90, 210, 330]),
        (-3600, [0, 30, 90, 210, 330]),
        (-86_400, [0, 30, 90, 210, 330]),
        (3600, [0, 30, 45, 165, 285]), // What came due while the clock was wrong is due at once.
    ] {
        let (stopwatch, instants) = (Arc::new(Mutex::new(0u64)), Arc::new(Mutex::new(vec![])));
        let (watch, noted) = (stopwatch.clone(), instants.clone());
        let server = Server::configured(&settings, |boot| {
            boot.listen::<Counted>("test.fail", Mode::Queue, move |_, _, _| {
                noted.lock().unwrap().push(*watch.lock().unwrap());
                no()
            });
        });
        server.publish(1, 1);
        server.settle();
        let start = server.clock.now();
        let mut steady = Steady::at(start);
        for second in 1..=600u64 {
            *stopwatch.lock().unwrap() = second;
            let set_by = if second >= 45 { set_by } else { 0 };
            let wall = Time::from_micros(start.micros() + (second as i64 + set_by) * 1_000_000);
            let now = steady.read(Duration::from_secs(second), wall);
            server.clock.advance(now.since(server.clock.now()));
            server.settle();
        }
        let instants = instants.lock().unwrap();
        // While it goes slower to be caught up with, a whole second may come a step later: one for each attempt.
        let late = instants.iter().zip(wanted).map(|(at, wanted)| at.checked_sub(wanted));
        let near = late.enumerate().all(|(before, late)| late.is_some_and(|it| it <= before as u64));
        assert!(near && instants.len() == 5, "set by {set_by} s: {instants:?}");
        assert_eq!(server.states(), [State::Exhausted]);
    }
}

#[test]
fn one_that_fails_or_panics_costs_its_neighbours_nothing() {
    let server = Server::start(|boot| {
        counting(boot);
        boot.listen::<Counted>("test.odd", Mode::Queue, |tx, envelope, event| {
            add(tx, "odd")?;
            tx.publish(&Caller::system(envelope.client), &Echoed { number: event.number })?;
            match event.number {
                3 => no(),
                5 => panic!("listeners panic"),
                _ => Ok(()),
            }
        });
    });
    for number in 0..10 {
        server.publish(1, number);
    }
    server.settle();
    assert_eq!((server.count("heard"), server.count("odd")), (10, 8), "what failed left nothing");
    let count = |state| server.states().into_iter().filter(|it| *it == state).count();
    assert_eq!((count(State::Sent), count(State::Retry)), (18, 2));
    let causes: Vec<bool> = server
        .kernel
        .store
        .read(|tx| {
            let events = tx.scan(&super::super::outbox::EVENTS, Scan::all());
            events
                .map(|it| it.map(|it| it.1))
                .filter(|it| it.as_ref().is_ok_and(|it| it.name == "test.echoed"))
                .map(|it| it.map(|it| it.causation.is_some() && it.depth == 1))
                .collect()
        })
        .unwrap();
    assert_eq!(causes, [true; 8]);
}

#[test]
fn a_chain_of_events_that_does_not_end_is_cut() {
    let server = Server::start(|boot| {
        boot.listen::<Counted>("test.ping", Mode::Queue, |tx, envelope, event| {
            tx.publish(&Caller::system(envelope.client), &Echoed { number: event.number }).map(drop)
        });
        boot.listen::<Echoed>("test.pong", Mode::Queue, |tx, envelope, event| {
            tx.publish(&Caller::system(envelope.client), &Counted { number: event.number }).map(drop)
        });
    });
    server.publish(1, 1);
    server.settle();
    let last = server.deliveries().pop().unwrap().1;
    assert_eq!((server.deliveries().len(), last.state), (33, State::Retry));
    assert!(last.error.unwrap().contains("33 deep"));
}

#[test]
fn a_listener_that_ends_the_process_three_times_is_poison_and_the_others_run() {
    // The process cannot really end here: the mark is made, and the effect never committed.
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    for epoch in 1..=4 {
        let server = Server::on(disk.open(&clock), clock.clone(), epoch, &[], counting).unwrap();
        if epoch == 1 {
            (0..3).for_each(|number| server.publish(1, number));
        }
        let first = server.deliveries()[0].0;
        server.kernel.worker.recover(true).unwrap();
        if epoch < 4 {
            let key = (ClientId::from_bytes([1; 16]), first);
            server.write(move |tx| super::super::inside::suspect(tx, &key));
        } else {
            server.settle();
            assert_eq!(server.states(), [State::Poison, State::Sent, State::Sent]);
            assert_eq!(server.count("heard"), 2);
        }
        server.kernel.store.close().unwrap();
    }
}

#[test]
fn ten_thousand_events_each_count_once_whatever_fails_between() {
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let (mut published, mut epoch) = (0u64, 0);
    while published < 10_000 {
        epoch += 1;
        let server = Server::on(disk.open(&clock), clock.clone(), epoch, &[], counting).unwrap();
        server.kernel.worker.recover(epoch % 2 == 0).unwrap();
        for _ in 0..5 {
            server.write(|tx| {
                (0..100).try_for_each(|number| tx.publish(&caller(1), &Counted { number }).map(drop))
            });
            published += 100;
        }
        // The effects are made and never committed; then the process goes without closing anything.
        server.fail_next(Failpoint::AfterEffectBeforeCommit, 2);
        for _ in 0..6 {
            let _ = server.kernel.worker.pass();
        }
        server.kernel.store.close().unwrap();
    }
    let server = Server::on(disk.open(&clock), clock.clone(), epoch + 1, &[], counting).unwrap();
    server.settle();
    assert_eq!((published, server.count("heard")), (10_000, 10_000));
}

#[test]
fn a_scheduled_listener_gathers_until_its_instant() {
    let settings = [("events.test_counted.mode", "scheduled"), ("events.test_counted.frequency", "every 5m")];
    let server = Server::configured(&settings, counting);
    server.advance(7);
    server.publish(1, 1);
    server.advance(100);
    server.publish(1, 2);
    server.advance(192);
    assert_eq!((server.count("heard"), server.states()), (0, vec![State::Scheduled; 2]), "at 299 s");
    server.advance(1);
    assert_eq!(server.count("heard"), 2);
}

#[test]
fn a_listener_configured_to_sync_runs_in_the_transaction() {
    let settings = [("events.test_counted.listeners.count.mode", "sync")];
    let server = Server::configured(&settings, counting);
    server.publish(1, 1);
    assert_eq!((server.count("heard"), server.deliveries().len()), (1, 0));
}

#[test]
fn a_listener_that_is_too_slow_has_no_effect() {
    let settings = [("events.timeout_s", "1"), ("events.tries", "1")];
    let server = Server::configured(&settings, |boot| {
        boot.listen::<Counted>("test.slow", Mode::Queue, |tx, _, _| {
            std::thread::sleep(Duration::from_millis(1010));
            add(tx, "heard")
        });
    });
    server.publish(1, 1);
    server.settle();
    assert_eq!((server.count("heard"), server.states()), (0, vec![State::Exhausted]));
}

#[test]
fn a_listener_that_is_gone_leaves_its_deliveries_in_sight() {
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let server = Server::on(disk.open(&clock), clock.clone(), 1, &[], counting).unwrap();
    server.publish(1, 1);
    server.kernel.store.close().unwrap();
    let server = Server::on(disk.open(&clock), clock.clone(), 2, &[], |_| {}).unwrap();
    server.settle();
    assert_eq!(server.states(), [State::UnknownTarget]);
}

fn keyed(
    client: u8,
    namespace: &'static str,
    policy: DedupePolicy,
) -> impl Fn(&mut WriteTx) -> Result<Enqueued> {
    move |tx| {
        let client = Some(ClientId::from_bytes([client; 16]));
        tx.enqueue(NewDelivery::to("post", "box").of_client(client).dedupe(namespace, "key", policy))
    }
}

fn posting(boot: &mut Boot) {
    let plan = TargetPlan { at_once: 10, ..TargetPlan::default() };
    boot.target("post", plan, crate::kernel::events::courier::Plainly(|_: Sending| async { Outcome::Ok }));
}

#[test]
fn a_dedupe_key_lasts_as_long_as_its_policy_says() {
    use DedupePolicy::{Forever, WhilePending, Window};
    // policy, settled between?, seconds between, is the second a duplicate?
    for (policy, settled, wait, duplicate) in [
        (WhilePending, false, 0, true),
        (WhilePending, false, 1_000_000, true),
        (WhilePending, true, 0, false),
        (Window(DAY), true, 0, true),
        (Window(DAY), true, 86_399, true),
        (Window(DAY), true, 86_400, false),
        (Forever, true, 86_400 * 80, true),
    ] {
        let server = Server::start(posting);
        let first = server.write(keyed(1, "n", policy));
        assert_eq!(first.duplicate_of, None);
        if settled {
            server.settle();
        }
        server.clock.advance(Duration::from_secs(wait));
        let second = server.write(keyed(1, "n", policy));
        let wanted = duplicate.then_some(first.id);
        assert_eq!(second.duplicate_of, wanted, "{policy:?} {settled} {wait}");
        assert_eq!(server.write(keyed(2, "n", policy)).duplicate_of, None, "another client");
        assert_eq!(server.write(keyed(1, "m", policy)).duplicate_of, None, "another namespace");
        server.settle();
        let states = server.states();
        assert_eq!(states.iter().filter(|it| **it == State::Duplicate).count(), usize::from(duplicate));
    }
}

#[test]
fn what_was_rolled_back_holds_no_key() {
    let server = Server::start(posting);
    let rolled_back = server.kernel.store.write_blocking(|tx| {
        keyed(1, "n", DedupePolicy::Forever)(tx)?;
        no()
    });
    assert!(rolled_back.is_err());
    assert_eq!(server.write(keyed(1, "n", DedupePolicy::Forever)).duplicate_of, None);
}

#[test]
fn an_idle_server_writes_nothing() {
    let server = Server::start(counting);
    server.publish(1, 1);
    server.settle();
    let commits = server.kernel.store.metrics().commits.get();
    for _ in 0..60 {
        server.advance(1);
    }
    assert_eq!(server.kernel.store.metrics().commits.get(), commits);
}
