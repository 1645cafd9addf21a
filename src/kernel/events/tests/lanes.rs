//! Who runs next: by lane, by tenant, by age, and not while paused.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;
use crate::kernel::api::principal::Actor;
use crate::kernel::events::{
    courier::{Outcome, Plainly, Sending, TargetPlan},
    delivery::Lane,
    enqueue::NewDelivery,
    outbox::client_key,
    queues::{PAUSES, Pause},
};

/// Four events' worth of lanes, on one event: the listener notes `client:number`.
fn noting(notes: Notes) -> impl FnOnce(&mut Boot) {
    move |boot| {
        boot.listen::<Counted>("test.note", Mode::Queue, move |_, envelope, event| {
            let client = envelope.client.unwrap().bytes()[0];
            notes.add(format!("{client}:{}", event.number));
            Ok(())
        });
    }
}

fn publish_many(server: &Server, client: u8, count: u64) {
    server.write(move |tx| {
        (0..count).try_for_each(|number| tx.publish(&caller(client), &Counted { number }).map(drop))
    });
}

/// Leaves `count` deliveries of one event: what is measured is who runs next, not what publishing costs.
fn leave_many(server: &Server, client: u8, lane: Lane, count: usize) {
    server.write(move |tx| {
        tx.publish(&caller(client), &Counted { number: 0 })?;
        let of_client = Scan::prefix(&ClientId::from_bytes([client; 16])).newest_first();
        let (key, mut row) = tx.scan(&DELIVERIES, of_client).next().unwrap()?;
        row.lane = lane;
        tx.put(&DELIVERIES, &key, &row)?;
        (1..count).try_for_each(|_| {
            let id: DeliveryId = tx.new_id();
            tx.put(&DELIVERIES, &(key.0, id), &row)
        })
    });
}

/// Lets batches run until a row of `client` did; how many of others were before its last.
fn heard_before(server: &Server, notes: &Notes, client: &str, count: usize) -> usize {
    let mut heard = vec![];
    while heard.iter().filter(|it: &&String| it.starts_with(client)).count() < count {
        assert!(server.kernel.worker.pass().unwrap(), "nothing is left to run");
        heard.extend(notes.take());
    }
    heard.iter().rposition(|it| it.starts_with(client)).unwrap() + 1 - count
}

#[test]
fn one_tenants_hundred_thousand_rows_do_not_delay_anothers_ten() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    leave_many(&server, 1, Lane::Medium, 100_000);
    for _ in 0..3 {
        server.kernel.worker.pass().unwrap(); // The large one has its batches grown before the small one comes.
    }
    notes.take();
    publish_many(&server, 2, 10);
    let others = heard_before(&server, &notes, "2:", 10);
    assert!(others <= 100, "{others} of the hundred thousand ran before the last of the ten");
    server.kernel.store.close().unwrap(); // Verifying a hundred thousand rows is not this test's business.
}

#[test]
fn fifty_thousand_low_rows_do_not_delay_one_critical() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    leave_many(&server, 1, Lane::Low, 50_000);
    for _ in 0..3 {
        server.kernel.worker.pass().unwrap();
    }
    notes.take();
    leave_many(&server, 2, Lane::Critical, 1);
    assert_eq!(heard_before(&server, &notes, "2:", 1), 0, "it is the first of the next batch");
    server.kernel.store.close().unwrap();
}

fn move_lane(server: &Server, lane: impl Fn(&Delivery) -> Lane + Send + 'static) {
    server.write(move |tx| {
        let rows: Vec<_> = tx.scan(&DELIVERIES, Scan::all()).collect::<Result<_>>()?;
        rows.into_iter().try_for_each(|(key, mut row)| {
            row.lane = lane(&row);
            tx.put(&DELIVERIES, &key, &row)
        })
    });
}

#[test]
fn one_tenants_many_rows_do_not_delay_anothers_few() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    publish_many(&server, 1, 3000);
    publish_many(&server, 2, 10);
    server.settle();
    let heard = notes.take();
    let last = heard.iter().rposition(|it| it.starts_with("2:")).unwrap();
    assert!(last < 200, "the last of the ten was heard as number {last}");
    let first: Vec<_> = heard.iter().filter(|it| it.starts_with("1:")).collect();
    assert!(first.is_sorted_by_key(|it| it[2..].parse::<u64>().unwrap()), "of one tenant in order");
    assert_eq!(heard.len(), 3010);
}

#[test]
fn a_critical_row_does_not_wait_for_the_low_ones() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    publish_many(&server, 1, 3000);
    move_lane(&server, |_| Lane::Low);
    publish_many(&server, 2, 1);
    move_lane(&server, |row| if row.group == [2; 16] { Lane::Critical } else { Lane::Low });
    server.settle();
    let place = notes.take().iter().position(|it| it.starts_with("2:")).unwrap();
    assert_eq!(place, 0);
}

#[test]
fn lanes_share_eight_to_four_to_two_to_one() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    for client in 1..=4 {
        publish_many(&server, client, 2000);
    }
    move_lane(&server, |row| Lane::ALL[usize::from(row.group[0]) - 1]);
    server.settle();
    let heard = notes.take();
    let share = |client: &str| heard[..1500].iter().filter(|it| it.starts_with(client)).count();
    for (client, wanted) in [("1:", 800), ("2:", 400), ("3:", 200), ("4:", 100)] {
        assert!(share(client).abs_diff(wanted) <= 20, "{client} got {} of 1500", share(client));
    }
}

#[test]
fn an_old_row_counts_as_of_the_lane_above() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    publish_many(&server, 2, 2000);
    move_lane(&server, |_| Lane::High);
    server.clock.advance(Duration::from_secs(61));
    publish_many(&server, 1, 2000);
    move_lane(&server, |row| if row.group == [1; 16] { Lane::Critical } else { Lane::High });
    server.settle();
    let heard = notes.take();
    let aged = heard[..1000].iter().filter(|it| it.starts_with("2:")).count();
    assert!(aged.abs_diff(500) <= 20, "an aged high lane shares evenly with critical: {aged}");
}

#[test]
fn a_paused_queue_waits_for_everybody_or_for_one_client() {
    let notes = Notes::default();
    let server = Server::start(noting(notes.clone()));
    let pause = |client: Option<u8>, on: bool| {
        let client = client_key(client.map(|it| ClientId::from_bytes([it; 16])));
        server.write(move |tx| {
            let key = ("default".to_owned(), client);
            if on {
                tx.put(&PAUSES, &key, &Pause { since: tx.now(), by: Actor::System })
            } else {
                tx.delete(&PAUSES, &key).map(drop)
            }
        });
    };
    pause(Some(1), true);
    publish_many(&server, 1, 3);
    publish_many(&server, 2, 1);
    server.settle();
    assert_eq!(notes.take(), ["2:0"]);
    pause(None, true);
    publish_many(&server, 2, 1);
    server.settle();
    assert_eq!(notes.take(), [""; 0]);
    pause(Some(1), false);
    server.settle();
    assert_eq!(notes.take(), [""; 0], "the pause for everybody stands");
    pause(None, false);
    server.settle();
    assert_eq!(notes.take().len(), 4);
}

#[test]
fn repeats_that_hang_leave_room_for_what_is_fresh() {
    let sent = Notes::default();
    let notes = sent.clone();
    let settings = [("events.timeout_s", "60"), ("events.backoff", "[1]")];
    let server = Server::configured(&settings, |boot| {
        let plan = TargetPlan { at_once: 2, ..TargetPlan::default() };
        let send = move |job: Sending| {
            let notes = notes.clone();
            async move {
                match (job.target.starts_with("bad"), job.attempt) {
                    (true, 1) => return Outcome::Retry("no".into()),
                    (true, _) => std::future::pending::<()>().await,
                    (false, _) => notes.add(job.target),
                }
                Outcome::Ok
            }
        };
        boot.target("post", plan, Plainly(send));
    });
    let enqueue = |name: &'static str, count: usize| {
        server.write(move |tx| {
            (0..count).try_for_each(|number| {
                tx.enqueue(NewDelivery::to("post", format!("{name} {number}"))).map(drop)
            })
        });
    };
    enqueue("bad", 400);
    server.settle();
    server.clock.advance(Duration::from_secs(1));
    // Four hundred repeats are due, more than there are slots, and every one of them hangs.
    while server.kernel.worker.pass().unwrap() {}
    let processing = || server.states().into_iter().filter(|it| *it == State::Processing).count();
    assert_eq!(processing(), 128, "half of the slots");
    enqueue("good", 100);
    let began = std::time::Instant::now();
    let mut count = 0;
    while count < 100 {
        server.kernel.worker.pass().unwrap();
        count += sent.take().len();
        assert!(began.elapsed() < Duration::from_secs(20), "{count} of what is fresh went out");
    }
    server.kernel.store.close().unwrap();
}

#[test]
fn an_endpoint_that_hangs_delays_no_other() {
    let sent = Notes::default();
    let notes = sent.clone();
    let released = Arc::new(Semaphore::new(0));
    let release = released.clone();
    let server = Server::configured(&[("events.timeout_s", "60"), ("events.tries", "1")], |boot| {
        let plan = TargetPlan { at_once: 2, ..TargetPlan::default() };
        let send = move |job: Sending| {
            let (notes, released) = (notes.clone(), released.clone());
            async move {
                if job.target == "hangs" {
                    drop(released.acquire().await);
                }
                notes.add(job.target);
                Outcome::Ok
            }
        };
        boot.target("post", plan, Plainly(send));
    });
    server.write(|tx| {
        for _ in 0..20 {
            tx.enqueue(NewDelivery::to("post", "hangs"))?;
        }
        for endpoint in 0..50 {
            tx.enqueue(NewDelivery::to("post", format!("endpoint {endpoint}")))?;
        }
        Ok(())
    });
    let in_state = |state| server.states().into_iter().filter(|it| *it == state).count();
    while in_state(State::Sent) < 50 {
        server.kernel.worker.pass().unwrap();
        assert_eq!(in_state(State::Exhausted), 0, "healthy endpoints wait for no timeout");
    }
    assert_eq!((in_state(State::Processing), sent.take().len()), (2, 50), "two at once to one endpoint");
    server.write(|tx| {
        let rows: Vec<_> = tx.scan(&DELIVERIES, Scan::all()).collect::<Result<_>>()?;
        for (key, row) in rows.into_iter().filter(|it| it.1.state == State::Ready) {
            crate::kernel::events::control::cancel(tx, &key, row)?;
        }
        Ok(())
    });
    release.add_permits(2);
    server.settle();
}
