//! What operators do, what is forgotten, and which configurations are refused.

use super::*;
use crate::kernel::events::{
    bulk::{BULK_RETRIES, BulkRetry},
    control::{JobRefusal, cancel, retry},
    courier::{Outcome, Sending, TargetPlan},
    delivery::Status,
    outbox::{EVENTS, client_key},
};

fn failing(boot: &mut Boot) {
    boot.listen::<Counted>("test.fail", Mode::Queue, |tx, _, event| {
        let allowed = tx.get(&COUNTS, &"allowed".to_owned())?.is_some();
        if allowed { add(tx, "heard") } else { Err(fault!("no {}", event.number)) }
    });
}

fn allow(server: &Server) {
    server.write(|tx| add(tx, "allowed"));
}

fn on_first(
    server: &Server,
    act: fn(&mut WriteTx, &(ClientId, DeliveryId), Delivery) -> Result<Delivery>,
) -> Result<Delivery> {
    server.kernel.store.write_blocking(move |tx| {
        let (key, row) = tx.scan(&DELIVERIES, Scan::all()).next().unwrap()?;
        act(tx, &key, row)
    })
}

#[test]
fn a_dead_letter_runs_again_when_asked() {
    let server = Server::configured(&[("events.tries", "1")], failing);
    server.publish(1, 1);
    server.settle();
    assert_eq!(server.states(), [State::Exhausted]);
    on_first(&server, retry).unwrap();
    server.settle();
    assert_eq!((server.delivery().tries_used, server.states()), (2, vec![State::Exhausted]), "one more try");
    allow(&server);
    on_first(&server, retry).unwrap();
    server.settle();
    assert_eq!((server.count("heard"), server.states()), (1, vec![State::Sent]));
    let again = on_first(&server, retry).unwrap_err();
    assert_eq!(again.refusal(), Some(&JobRefusal::JobEnded { status: Status::Sent }));
}

#[test]
fn what_waits_can_be_called_off_and_what_was_called_off_runs_again_when_asked() {
    let server = Server::start(failing);
    server.publish(1, 1);
    server.settle();
    on_first(&server, cancel).unwrap();
    assert_eq!(on_first(&server, cancel).unwrap().state, State::Canceled, "repeated");
    server.advance(1000);
    assert_eq!(server.states(), [State::Canceled]);
    allow(&server);
    on_first(&server, retry).unwrap();
    server.settle();
    assert_eq!(server.states(), [State::Sent]);
}

#[test]
fn a_bulk_retry_goes_on_after_a_restart() {
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let settings = [("events.tries", "1")];
    let server = Server::on(disk.open(&clock), clock.clone(), 1, &settings, failing).unwrap();
    for number in 0..700 {
        server.publish(1 + u8::try_from(number % 2).unwrap(), number);
    }
    server.settle();
    allow(&server);
    server.write(|tx| {
        let bulk = BulkRetry {
            fingerprint: None,
            listener: Some("test.fail".into()),
            created_at: tx.now(),
            finished_at: None,
            behind: None,
            retried: 0,
            skipped: 0,
        };
        let id = tx.new_id();
        tx.put(&BULK_RETRIES, &(client_key(None), id), &bulk)
    });
    server.kernel.worker.pass().unwrap();
    let bulk = |server: &Server| {
        let first = server.kernel.store.read(|tx| tx.scan(&BULK_RETRIES, Scan::all()).next().transpose());
        first.unwrap().unwrap().1
    };
    let begun = bulk(&server);
    assert!(begun.retried > 0 && begun.finished_at.is_none(), "{begun:?}");
    server.kernel.store.close().unwrap();
    let server = Server::on(disk.open(&clock), clock.clone(), 2, &settings, failing).unwrap();
    server.settle();
    assert_eq!((bulk(&server).retried, server.count("heard")), (700, 700));
    assert!(bulk(&server).finished_at.is_some());
}

#[test]
fn failures_of_one_cause_gather() {
    let server = Server::configured(&[("events.tries", "1")], failing);
    for number in 0..3 {
        server.publish(1, number);
    }
    server.settle();
    let prints: Vec<_> = server.deliveries().iter().map(|it| it.1.fingerprint).collect();
    assert!(prints[0] != 0 && prints.iter().all(|it| *it == prints[0]), "no 0, no 1, no 2");
}

#[test]
fn what_is_old_is_forgotten_and_what_failed_later() {
    let server = Server::configured(&[("events.tries", "1")], |boot| {
        failing(boot);
        boot.listen::<Echoed>("test.hear", Mode::Queue, |tx, _, _| add(tx, "heard"));
    });
    server.publish(1, 1);
    server.write(|tx| tx.publish(&caller(1), &Echoed { number: 1 }).map(drop));
    server.settle();
    let day = 24 * 3600;
    let events = || server.kernel.store.read(|tx| Ok(tx.scan(&EVENTS, Scan::all()).count())).unwrap();
    server.advance(7 * day - 1);
    assert_eq!(server.deliveries().len(), 2);
    server.advance(2 * 3600);
    assert_eq!((server.states(), events()), (vec![State::Exhausted], 2));
    server.advance(24 * day);
    assert_eq!((server.states(), events()), (vec![State::Exhausted], 1), "a failed delivery keeps its event");
    server.advance(60 * day);
    server.advance(3600);
    assert_eq!((server.deliveries().len(), events()), (0, 0));
}

fn refusal(settings: &[(&str, &str)]) -> String {
    let clock = Clock::manual(Time::ZERO);
    let store = Store::in_memory(StoreOptions::default());
    let register = |boot: &mut Boot| {
        boot.listen::<Counted>("test.count", Mode::Queue, |tx, _, _| add(tx, "heard"));
        boot.listen::<Counted>("test.books", Mode::Sync, |tx, _, _| add(tx, "books"));
        boot.listen_outside::<Echoed, _, _, _>("test.tell", TargetPlan::default(), |_: Sending| async {
            Outcome::Ok
        });
    };
    match Server::on(store, clock, 1, settings, register) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused_with_its_key() {
    for (settings, begins) in [
        (
            &[("events.test_countd.mode", "queue")][..],
            "events.test_countd: there is no such event; did you mean events.test_counted?",
        ),
        (
            &[("events.test_counted.listeners.cuont.tries", "4")],
            "events.test_counted.listeners.cuont: there is no such listener; did you mean count? this event has test_count, test_books",
        ),
        (
            &[("events.test_counted.listeners.books.mode", "queue")],
            "events.test_counted.listeners.books.mode: found \"queue\", wanted \"sync\": the books depend",
        ),
        (
            &[("events.test_counted.mode", "scheduled")],
            "events.test_counted.mode: found \"scheduled\", wanted \"sync\": the books depend on listener test.books",
        ),
        (
            &[("events.test_echoed.mode", "sync")],
            "events.test_echoed.mode: found \"sync\", wanted \"queue\" or \"scheduled\": listener test.tell reaches",
        ),
        (
            &[("events.test_echoed.listeners.test_tell.mode", "sync")],
            "events.test_echoed.listeners.test_tell.mode: found \"sync\"",
        ),
        (
            &[("events.test_counted.listeners.books.tries", "4")],
            "events.test_counted.listeners.books.tries: listener test.books runs in the causing transaction",
        ),
        (
            &[("events.test_echoed.frequency", "daily")],
            "events.test_echoed.frequency: has no effect without mode",
        ),
        (&[("events.test_counted.listeners.count.mode", "sync")], "accepted"),
        (&[("events.test_echoed.mode", "scheduled"), ("events.test_echoed.frequency", "daily")], "accepted"),
        (&[("events.default_mode", "sync")], "accepted"),
        (&[("events.test_echoed.listeners.tell.tries", "9")], "accepted"),
    ] {
        let refusal = refusal(settings);
        assert!(refusal.starts_with(begins), "{settings:?}: {refusal}");
    }
}
