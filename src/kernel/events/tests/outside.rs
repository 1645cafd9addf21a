//! External deliveries: outcomes, interruptions, poison, and what is carried.

use super::*;
use crate::kernel::events::{
    courier::{Courier, OnInterrupted, Outcome, Plainly, Ready, Report, Sending, TargetPlan},
    delivery::{EXTRAS, Ended},
    enqueue::{NewDelivery, Suppression},
    retry::RetryPolicy,
};

/// Answers with the outcomes in turn, then `Ok`; notes what it was given.
fn answering(notes: &Notes, outcomes: Vec<Outcome>) -> impl FnOnce(&mut Boot) + use<> {
    answering_as(notes, outcomes, TargetPlan::default())
}

fn answering_as(notes: &Notes, outcomes: Vec<Outcome>, plan: TargetPlan) -> impl FnOnce(&mut Boot) + use<> {
    let (notes, outcomes) = (notes.clone(), Arc::new(Mutex::new(outcomes.into_iter())));
    move |boot| {
        let send = move |job: Sending| {
            let again = if job.interrupted { " again" } else { "" };
            notes.add(format!("{}#{}{again} at {}", job.target, job.attempt, seconds(job.started_at)));
            let outcome = outcomes.lock().unwrap().next().unwrap_or(Outcome::Ok);
            async move { outcome }
        };
        boot.target("post", plan, Plainly(send));
    }
}

fn enqueue(server: &Server, new: NewDelivery) -> DeliveryId {
    server.write(|tx| tx.enqueue(new)).id
}

fn to_box() -> NewDelivery {
    NewDelivery::to("post", "box")
}

#[test]
fn every_outcome_moves_a_delivery_where_it_says() {
    let error = || "no".to_owned();
    let ms = Duration::from_millis;
    for (outcome, state, tries, due) in [
        (Outcome::Ok, State::Sent, 1, 0),
        (Outcome::Retry(error()), State::Retry, 1, 30),
        (Outcome::RetryAfter(error(), ms(100_000)), State::Retry, 1, 100),
        (Outcome::RetryAfter(error(), ms(1000)), State::Retry, 1, 30),
        (Outcome::Snooze(ms(5000)), State::Scheduled, 0, 5),
        (Outcome::Cancel(error()), State::Canceled, 0, 0),
        (Outcome::Reject(error()), State::Rejected, 1, 0),
    ] {
        let server = Server::start(answering(&Notes::default(), vec![outcome.clone()]));
        enqueue(&server, to_box());
        server.settle();
        let row = server.delivery();
        assert_eq!((row.state, row.tries_used, seconds(row.due_at)), (state, tries, due), "{outcome:?}");
        server.advance(200);
        let end = if state.is_end() { state } else { State::Sent };
        assert_eq!(server.delivery().state, end, "{outcome:?}");
    }
}

#[test]
fn it_is_tried_exactly_when_its_own_policy_says() {
    let notes = Notes::default();
    let failing = vec![Outcome::Retry("503".into()); 20];
    let server = Server::start(answering(&notes, failing));
    enqueue(&server, to_box().retry(RetryPolicy::exact(4, &[5, 300])));
    server.settle();
    for _ in 0..1000 {
        server.advance(1);
    }
    assert_eq!(notes.take(), ["box#1 at 0", "box#2 at 5", "box#3 at 305", "box#4 at 605"]);
    assert_eq!(server.states(), [State::Exhausted]);
}

#[test]
fn a_crash_between_sending_and_noting_repeats_it_under_the_same_id_and_uses_no_try() {
    let notes = Notes::default();
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let server = Server::on(disk.open(&clock), clock.clone(), 1, &[], answering(&notes, vec![])).unwrap();
    let id = enqueue(&server, to_box());
    server.fail_next(Failpoint::AfterSendBeforeAck, 1);
    server.settle();
    assert_eq!((notes.take(), server.states()), (vec!["box#1 at 0".to_owned()], vec![State::Processing]));
    server.kernel.store.close().unwrap();

    let server = Server::on(disk.open(&clock), clock.clone(), 2, &[], answering(&notes, vec![])).unwrap();
    server.settle();
    let (same, row) = server.deliveries().remove(0);
    assert_eq!((same, row.state, row.tries_used), (id, State::Sent, 1));
    assert_eq!(notes.take(), ["box#2 again at 0"]);
    let outcomes: Vec<_> = server.attempts(id).iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Ended::Interrupted, Ended::Ok]);
}

#[test]
fn three_crashes_are_poison_and_the_others_go_out() {
    let notes = Notes::default();
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let settings = [("events.tries", "1")];
    for epoch in 1..=4 {
        let register = answering(&notes, vec![]);
        let server = Server::on(disk.open(&clock), clock.clone(), epoch, &settings, register).unwrap();
        if epoch == 1 {
            enqueue(&server, to_box());
        }
        server.fail_next(Failpoint::AfterSendBeforeAck, 1);
        server.advance(if epoch == 3 { 30 } else { 0 });
        let row = server.delivery();
        if epoch < 4 {
            assert_eq!((row.state, row.crashes), (State::Processing, epoch as u32 - 1));
        } else {
            assert_eq!((row.state, row.tries_used, row.attempts), (State::Poison, 0, 3));
        }
        server.kernel.store.close().unwrap();
    }
    assert_eq!(notes.take(), ["box#1 at 0", "box#2 again at 0", "box#3 again at 30"]);
}

#[test]
fn what_was_interrupted_is_repeated_verified_or_parked() {
    for (on_interrupted, state, sent) in [
        (OnInterrupted::Retry, State::Sent, &["box#1 at 0", "box#2 again at 0"][..]),
        (OnInterrupted::Verify, State::Sent, &["box#1 at 0", "box#2 again at 0"]),
        (OnInterrupted::Park, State::NeedsReview, &["box#1 at 0"]),
    ] {
        let notes = Notes::default();
        let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
        let register =
            || answering_as(&notes, vec![], TargetPlan { on_interrupted, ..TargetPlan::default() });
        let server = Server::on(disk.open(&clock), clock.clone(), 1, &[], register()).unwrap();
        enqueue(&server, to_box());
        server.fail_next(Failpoint::AfterClaimCommit, 1);
        server.kernel.worker.pass().unwrap();
        assert_eq!(server.states(), [State::Processing]);
        assert_eq!(notes.take(), [""; 0], "claimed, never sent");
        server.kernel.store.close().unwrap();
        let server = Server::on(disk.open(&clock), clock.clone(), 2, &[], register()).unwrap();
        server.settle();
        assert_eq!(server.states(), [state], "{on_interrupted:?}");
        assert_eq!(notes.take(), sent[1..], "{on_interrupted:?}");
    }
}

#[test]
fn a_recovery_that_fails_is_done_again() {
    let notes = Notes::default();
    let (disk, clock) = (Disk::new(), Clock::manual(Time::parse(START).unwrap()));
    let server = Server::on(disk.open(&clock), clock.clone(), 1, &[], answering(&notes, vec![])).unwrap();
    enqueue(&server, to_box());
    server.fail_next(Failpoint::AfterClaimCommit, 1);
    server.kernel.worker.pass().unwrap();
    server.kernel.store.close().unwrap();
    let server = Server::on(disk.open(&clock), clock.clone(), 2, &[], answering(&notes, vec![])).unwrap();
    assert_eq!(server.delivery().crashes, 1);
    server.fail_next(Failpoint::DuringRecovery, 3);
    for _ in 0..3 {
        server.kernel.worker.recover(true).unwrap();
    }
    assert_eq!(server.delivery().crashes, 1, "nothing is left to recover");
}

#[test]
fn a_claim_that_is_not_committed_sends_nothing() {
    let notes = Notes::default();
    let server = Server::start(answering(&notes, vec![]));
    enqueue(&server, to_box());
    server.fail_next(Failpoint::BeforeClaimCommit, 1);
    assert!(server.kernel.worker.pass().is_err());
    assert_eq!((notes.take().len(), server.states()), (0, vec![State::Ready]));
    server.settle();
    assert_eq!((notes.take().len(), server.states()), (1, vec![State::Sent]));
}

#[test]
fn what_does_not_end_in_time_or_panics_is_a_failed_try_and_money_is_parked() {
    for (on_interrupted, state) in [
        (OnInterrupted::Retry, State::Retry),
        (OnInterrupted::Verify, State::Retry),
        (OnInterrupted::Park, State::NeedsReview),
    ] {
        let server = Server::configured(&[("events.timeout_s", "1")], |boot| {
            let plan = TargetPlan { on_interrupted, ..TargetPlan::default() };
            let send = |job: Sending| async move {
                assert_eq!(job.target, "hangs", "this one panics");
                std::future::pending::<Outcome>().await
            };
            boot.target("post", plan, Plainly(send));
        });
        let hangs = enqueue(&server, NewDelivery::to("post", "hangs"));
        let panics = enqueue(&server, NewDelivery::to("post", "panics"));
        server.settle();
        assert_eq!(server.states(), [state; 2], "{on_interrupted:?}");
        assert!(server.deliveries().iter().all(|it| it.1.tries_used == 1));
        assert_eq!(server.attempts(hangs)[0].outcome, Ended::TimedOut);
        assert_eq!(server.attempts(panics)[0].outcome, Ended::Panicked);
        let open = server.deliveries().iter().all(|it| it.1.interrupted || it.1.state.is_end());
        assert!(open, "the next attempt knows that this one may have happened");
    }
}

#[test]
fn a_secret_is_wiped_when_it_is_sent_and_other_bytes_stay() {
    let server = Server::start(answering(&Notes::default(), vec![Outcome::Retry("no".into())]));
    let secret = enqueue(&server, to_box().secret(b"token"));
    server.settle(); // Alone: the first to be sent is the one that fails.
    let kept = enqueue(&server, to_box().extra(b"body"));
    let extra = |id| server.kernel.store.read(|tx| tx.get(&EXTRAS, &id)).unwrap();
    server.settle();
    assert_eq!(extra(secret), Some(b"token".to_vec()), "it failed, and is needed again");
    server.advance(30);
    assert_eq!(server.states(), [State::Sent; 2]);
    assert_eq!((extra(secret), extra(kept)), (None, Some(b"body".to_vec())));
    assert!(server.kernel.store.write_blocking(move |tx| tx.redeliver(secret)).is_err());
    server.write(move |tx| tx.redeliver(kept).map(drop));
    server.settle();
    assert_eq!((server.attempts(secret).len(), server.attempts(kept).len()), (2, 2));
}

#[test]
fn a_secret_that_failed_is_wiped_once_it_opens_nothing() {
    let reject = || Outcome::Reject("no such address".into());
    let server = Server::start(answering(&Notes::default(), vec![reject(), reject(), reject()]));
    let at = |after: u64| Time::parse(START).unwrap().after(Duration::from_secs(after));
    let short = enqueue(&server, to_box().secret(b"token").deliver_before(at(3600)));
    let long = enqueue(&server, to_box().secret(b"token").deliver_before(at(360_000)));
    let plain = enqueue(&server, to_box().extra(b"body").deliver_before(at(3600)));
    server.settle();
    assert_eq!(server.states(), [State::Rejected; 3]);
    let kept = || {
        let extra = |id| server.kernel.store.read(|tx| tx.get(&EXTRAS, &id)).unwrap().is_some();
        [extra(short), extra(long), extra(plain)]
    };
    server.advance(3599);
    assert_eq!(kept(), [true; 3], "somebody may ask for another try");
    server.advance(3600);
    assert_eq!(kept(), [false, true, true]);
    let again = server.kernel.store.write_blocking(move |tx| tx.redeliver(short));
    assert_eq!(again.err().and_then(|it| it.code()), Some("job_ended"), "what was wiped is not sent");
}

#[test]
fn what_lost_its_point_expires_and_what_nobody_wants_is_noted() {
    let notes = Notes::default();
    let server = Server::start(answering(&notes, vec![]));
    let at = |after: u64| Time::parse(START).unwrap().after(Duration::from_secs(after));
    enqueue(&server, to_box().not_before(at(100)).deliver_before(at(50)));
    server.write(|tx| tx.suppress(to_box(), Suppression::Preference).map(drop));
    server.advance(49);
    assert_eq!(server.states(), [State::Scheduled, State::Preference]);
    server.advance(1);
    assert_eq!(server.states(), [State::Expired, State::Preference]);
    assert_eq!(notes.take(), [""; 0]);
}

/// Blocks until told; counts what it settles on rows of its own.
struct Gate(Notes);

impl Courier for Gate {
    type Material = u64;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<u64>> {
        match tx.get(&COUNTS, &job.target)? {
            None => Ok(Ready::Block("closed".into())),
            Some(0) => Ok(Ready::Gone),
            Some(1) => no().map(|()| Ready::Gone),
            Some(2) => Ok(Ready::Later(Duration::from_secs(10))),
            Some(3) => Ok(Ready::Cancel("not wanted".into())),
            Some(number) => Ok(Ready::Go(number)),
        }
    }

    fn send(&self, job: Sending, material: u64) -> impl Future<Output = Report> + Send + 'static {
        self.0.add(format!("{} with {material}", job.target));
        async { Report::from(Outcome::Ok).status(204).response(vec![b'x'; 5000]) }
    }

    fn settled(&self, tx: &mut WriteTx, _: &Sending, _: &Report) -> Result<()> {
        add(tx, "settled")
    }
}

#[test]
fn the_claim_decides_and_the_acknowledgement_counts() {
    for (open, state, tries) in [
        (None, State::Blocked, 0),
        (Some(0), State::UnknownTarget, 0),
        (Some(1), State::Retry, 1),
        (Some(2), State::Scheduled, 0),
        (Some(3), State::Canceled, 0),
        (Some(7), State::Sent, 1),
    ] {
        let notes = Notes::default();
        let gate = Gate(notes.clone());
        let server = Server::start(|boot| boot.target("gate", TargetPlan::default(), gate));
        if let Some(open) = open {
            server.write(move |tx| tx.put(&COUNTS, &"a".to_owned(), &open));
        }
        let id = enqueue(&server, NewDelivery::to("gate", "a"));
        server.settle();
        let row = server.delivery();
        assert_eq!((row.state, row.tries_used), (state, tries), "{open:?}");
        if open.is_none() {
            server.write(|tx| {
                tx.put(&COUNTS, &"a".to_owned(), &9)?;
                assert_eq!(tx.unblock("gate", "a", 100)?, 1);
                Ok(())
            });
            server.settle();
            assert_eq!((server.states(), notes.take()), (vec![State::Sent], vec!["a with 9".to_owned()]));
            let attempt = server.attempts(id).remove(0);
            assert_eq!((attempt.http_status, attempt.response.map(|it| it.len())), (Some(204), Some(2048)));
            assert_eq!(server.count("settled"), 1);
        }
    }
}

#[test]
fn an_external_listener_hears_its_event() {
    let notes = Notes::default();
    let heard = notes.clone();
    let server = Server::start(|boot| {
        boot.listen_outside::<Counted, _, _, _>("test.tell", TargetPlan::default(), move |job: Sending| {
            let number = job.envelope.unwrap().read::<Counted>().unwrap().number;
            heard.add(format!("{} {number}", job.id));
            async { Outcome::Ok }
        });
    });
    server.publish(1, 42);
    server.settle();
    let (id, row) = server.deliveries().remove(0);
    assert_eq!((row.state, notes.take()), (State::Sent, vec![format!("{id} 42")]));
}
