//! Paying out, and what is found out later.

use super::{doubles::*, *};
use crate::modules::{
    payment::contract::GatewayId,
    transaction::contract::{EntryType, TransactionStatus},
    user::contract::UserStatus,
};

const TOO_LATE: &str = "invalid_state_transition";

fn completed() -> PayoutOutcome {
    PayoutOutcome::Completed { reference: "G-1".into() }
}
fn sent() -> PayoutOutcome {
    PayoutOutcome::Sent { reference: "G-1".into() }
}
fn failed() -> PayoutOutcome {
    PayoutOutcome::Failed { reason: "declined".into() }
}
fn unknown() -> PayoutOutcome {
    PayoutOutcome::Unknown { reason: "timeout".into() }
}

#[test]
fn what_the_gateway_says_is_what_becomes_of_the_money() {
    use TransactionStatus::*;
    // (the gateway says; status, available, still held, paid out, fees, records)
    let table = [
        (completed(), "completed", 1_799_00, 0, 20_000, 100, Completed),
        (sent(), "sent", 1_799_00, 20_100, 0, 0, Pending),
        (failed(), "failed", 2_000_00, 0, 0, 0, Failed),
        (unknown(), "needs_reconciliation", 1_799_00, 20_100, 0, 0, Pending),
    ];
    for (says, status, available, held, payout, fees, records) in table {
        let desk = Desk::open();
        desk.set(|it| (it.fee, it.gateway_says) = (100, says));
        let withdrawal = desk.withdrawal("200.00");
        let out = desk.process(key(1), &withdrawal).unwrap();
        assert_eq!(out["status"], status);
        let state = desk.world.state();
        assert_eq!(
            (state.of(AVAILABLE), state.held(), state.of("payout"), state.of("fee_income")),
            (available, held, payout, fees),
            "{status}"
        );
        assert_eq!(state.records(), [(EntryType::Debit, 20_000, records), (EntryType::Fee, 100, records)]);
        let asked = &state.payouts[..];
        assert_eq!((asked.len(), &asked[0].reference, asked[0].amount), (1, &withdrawal, usd(20_000)));
        drop(state);
        let last = format!("withdrawal.{status}");
        let wanted = ["withdrawal.requested", "withdrawal.approved", "withdrawal.processing", &last];
        assert_eq!(desk.events(), wanted);
    }
}

#[test]
fn a_withdrawal_is_claimed_once() {
    let desk = Desk::open();
    let withdrawal = desk.withdrawal("200.00");
    assert!(matches!(desk.claim(key(1), &withdrawal, json!({})), Ok(Claim::Call(_))));
    // The same command under another key finds it under way; another command is refused.
    let again = desk.claim(key(1), &withdrawal, json!({}));
    assert!(matches!(again, Ok(Claim::Done(out)) if out["status"] == "processing"));
    let other = desk.claim(staff(7), &withdrawal, json!({ "gateway_id": id::<GatewayId>(3) }));
    assert_eq!(other.err().as_deref(), Some(TOO_LATE));
    assert_eq!(desk.world.state().payouts.len(), 1);
}

#[test]
fn nobody_decides_while_the_gateway_is_being_asked() {
    let desk = Desk::open();
    let withdrawal = desk.withdrawal("200.00");
    desk.claim(key(1), &withdrawal, json!({})).unwrap();
    assert_eq!(desk.cancel(owner(), &withdrawal).unwrap_err(), TOO_LATE);
    assert_eq!(desk.reject(staff(7), &withdrawal).unwrap_err(), TOO_LATE);
    assert_eq!(desk.fail(staff(7), &withdrawal).unwrap_err(), TOO_LATE);
    assert_eq!(desk.complete(staff(7), &withdrawal, "R").unwrap_err(), TOO_LATE);
    assert_eq!(desk.settle(key(1), &withdrawal, completed()).unwrap()["status"], "completed");
}

#[test]
fn whoever_comes_first_wins_cancel_and_claim() {
    let desk = Desk::open();
    let withdrawal = desk.withdrawal("200.00");
    desk.cancel(owner(), &withdrawal).unwrap();
    assert_eq!(desk.claim(key(1), &withdrawal, json!({})).err().as_deref(), Some(TOO_LATE));
    assert_eq!(desk.world.state().payouts.len(), 0);
}

#[test]
fn what_is_not_approved_expired_or_frozen_is_not_processed() {
    let desk = Desk::open();
    let waiting = desk.withdrawal("1500.00");
    assert_eq!(desk.process(key(1), &waiting).unwrap_err(), TOO_LATE);
    let approved = desk.withdrawal("200.00");
    let claim = desk.claim(key(1), &approved, json!({ "gateway_id": id::<GatewayId>(4) }));
    assert_eq!(claim.err().as_deref(), Some("gateway_unavailable"));
    desk.set(|it| it.status = UserStatus::Frozen);
    assert_eq!(desk.process(key(1), &approved).unwrap_err(), "user_not_active");
    desk.set(|it| it.status = UserStatus::Active);
    desk.wait(30 * DAY);
    assert_eq!(desk.process(key(1), &approved).unwrap_err(), TOO_LATE);
    desk.meet_deadlines();
    assert_eq!(desk.status(&approved), "expired");
    assert_eq!(desk.world.state().payouts.len(), 0);
}

#[test]
fn a_call_that_was_cut_off_needs_reconciliation_and_is_never_made_again() {
    let desk = Desk::open();
    let withdrawal = desk.withdrawal("200.00");
    desk.claim(key(1), &withdrawal, json!({})).unwrap(); // And then the power went.
    desk.wait(5 * MINUTE - Duration::from_micros(1));
    desk.meet_deadlines();
    assert_eq!(desk.status(&withdrawal), "processing");
    desk.wait(Duration::from_micros(1));
    desk.meet_deadlines();
    assert_eq!(desk.status(&withdrawal), "needs_reconciliation");
    assert_eq!(desk.process(staff(7), &withdrawal).unwrap_err(), TOO_LATE);
    desk.wait(365 * DAY);
    desk.meet_deadlines();
    assert_eq!(desk.status(&withdrawal), "needs_reconciliation");
    assert_eq!(desk.world.state().payouts.len(), 1);
}

#[test]
fn a_late_answer_counts_unless_a_person_was_faster() {
    let lost = |says: PayoutOutcome, decide: fn(&Desk, &str)| {
        let desk = Desk::open();
        let withdrawal = desk.withdrawal("200.00");
        desk.claim(key(1), &withdrawal, json!({})).unwrap();
        desk.wait(5 * MINUTE);
        desk.meet_deadlines();
        decide(&desk, &withdrawal);
        let settled = desk.settle(key(1), &withdrawal, says).unwrap();
        let conflict = settled["conflict"]["reason"].as_str().map(|it| format!(", {it}")).unwrap_or_default();
        format!("{}{conflict}", settled["status"].as_str().unwrap())
    };
    assert_eq!(lost(completed(), |_, _| ()), "completed");
    assert_eq!(lost(failed(), |_, _| ()), "failed");
    assert_eq!(lost(unknown(), |_, _| ()), "needs_reconciliation");
    let as_failed = |desk: &Desk, it: &str| desk.reconcile(staff(7), it, "failed").map(|_| ()).unwrap();
    assert_eq!(lost(failed(), as_failed), "failed");
    assert_eq!(lost(completed(), as_failed), "failed, The gateway paid it out as G-1");
}

#[test]
fn people_find_out_what_became_of_it() {
    // (the gateway says; then staff; status, available)
    type Step = fn(&Desk, &str) -> Result<Value, String>;
    type Row = (PayoutOutcome, Vec<Step>, Result<&'static str, &'static str>, i128);
    let table: Vec<Row> = vec![
        (sent(), vec![|d, w| d.complete(staff(7), w, "R")], Ok("completed"), 1_799_00),
        (sent(), vec![|d, w| d.fail(staff(7), w)], Ok("failed"), 2_000_00),
        (sent(), vec![|d, w| d.reconcile(staff(7), w, "completed")], Err(TOO_LATE), 1_799_00),
        (sent(), vec![|d, w| d.take_in(staff(7), w)], Err(TOO_LATE), 1_799_00),
        (unknown(), vec![|d, w| d.complete(staff(7), w, "R")], Ok("completed"), 1_799_00),
        (unknown(), vec![|d, w| d.fail(staff(7), w)], Ok("failed"), 2_000_00),
        (unknown(), vec![|d, w| d.reconcile(staff(7), w, "completed")], Ok("completed"), 1_799_00),
        (unknown(), vec![|d, w| d.reconcile(staff(7), w, "failed")], Ok("failed"), 2_000_00),
        (
            unknown(),
            vec![|d, w| d.reconcile(staff(7), w, "sent"), |d, w| d.complete(staff(7), w, "R")],
            Ok("completed"),
            1_799_00,
        ),
        (
            unknown(),
            vec![|d, w| d.reconcile(staff(7), w, "failed"), |d, w| d.reconcile(staff(7), w, "failed")],
            Ok("failed"),
            2_000_00,
        ),
        (
            unknown(),
            vec![|d, w| d.reconcile(staff(7), w, "failed"), |d, w| d.reconcile(staff(7), w, "completed")],
            Err(TOO_LATE),
            2_000_00,
        ),
        (completed(), vec![|d, w| d.take_in(staff(7), w)], Ok("returned"), 1_999_00),
        (
            completed(),
            vec![|d, w| d.take_in(staff(7), w), |d, w| d.take_in(staff(7), w)],
            Ok("returned"),
            1_999_00,
        ),
        (completed(), vec![|d, w| d.fail(staff(7), w)], Err(TOO_LATE), 1_799_00),
        (failed(), vec![|d, w| d.complete(staff(7), w, "R")], Err(TOO_LATE), 2_000_00),
    ];
    for (row, (says, steps, wanted, available)) in table.into_iter().enumerate() {
        let desk = Desk::open();
        desk.set(|it| (it.fee, it.gateway_says) = (100, says));
        let withdrawal = desk.withdrawal("200.00");
        desk.process(key(1), &withdrawal).unwrap();
        let mut got = Ok(Value::Null);
        for step in steps {
            got = step(&desk, &withdrawal);
        }
        let got = got.as_ref().map(|it| it["status"].as_str().unwrap()).map_err(String::as_str);
        assert_eq!(got, wanted, "row {row}");
        assert_eq!(desk.world.state().of(AVAILABLE), available, "row {row}");
    }
}

#[test]
fn what_comes_back_is_recorded_as_a_refund_and_the_fee_is_kept() {
    let desk = Desk::open();
    desk.set(|it| it.fee = 100);
    let withdrawal = desk.withdrawal("200.00");
    desk.process(key(1), &withdrawal).unwrap();
    desk.take_in(staff(7), &withdrawal).unwrap();
    let state = desk.world.state();
    assert_eq!((state.of("payout"), state.of("fee_income")), (0, 100));
    assert_eq!(state.records().last(), Some(&(EntryType::Credit, 20_000, TransactionStatus::Completed)));
}

#[test]
fn what_was_sent_and_never_confirmed_is_not_forgotten() {
    let desk = Desk::open();
    desk.set(|it| it.gateway_says = sent());
    let withdrawal = desk.withdrawal("200.00");
    desk.process(key(1), &withdrawal).unwrap();
    desk.wait(7 * DAY);
    desk.meet_deadlines();
    assert_eq!(desk.status(&withdrawal), "needs_reconciliation");
    assert_eq!(desk.complete(staff(7), &withdrawal, "R").unwrap()["reference"], "R");
}
