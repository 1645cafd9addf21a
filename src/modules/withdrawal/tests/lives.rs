//! Whatever is done to a withdrawal, in whatever order: it stays in its table, and its hold ends at most once.

use proptest::prelude::*;

use super::*;
use crate::{
    kernel::api::input::Named,
    modules::withdrawal::{
        contract::WithdrawalStatus,
        model::{WITHDRAWAL, WithdrawalEvent},
    },
};

#[test]
fn the_table_is_sound() {
    assert_eq!(WITHDRAWAL.flaws(), Vec::<String>::new());
    for status in WithdrawalStatus::ALL {
        let unfinished = status.deadline(Time::ZERO).is_some();
        assert_eq!(unfinished, status.overdue().is_some(), "{status}");
        if let Some((event, _)) = status.overdue() {
            assert!(WITHDRAWAL.next(*status, event).is_ok(), "{status} cannot {event}");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Deed {
    Approve(u8),
    Reject,
    Cancel,
    Process(u8),
    ClaimAndCrash,
    Settle(u8),
    Complete,
    Fail,
    Reconcile(&'static str),
    Return,
    Wait(u64),
    Timers,
    ChangeRules(u32),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (1u8..6).prop_map(Deed::Approve),
        1 => Just(Deed::Reject),
        1 => Just(Deed::Cancel),
        3 => (0u8..4).prop_map(Deed::Process),
        2 => Just(Deed::ClaimAndCrash),
        2 => (0u8..4).prop_map(Deed::Settle),
        2 => Just(Deed::Complete),
        1 => Just(Deed::Fail),
        3 => prop_oneof![Just("sent"), Just("completed"), Just("failed")].prop_map(Deed::Reconcile),
        1 => Just(Deed::Return),
        2 => prop_oneof![Just(60u64), Just(300), Just(7 * 86400), Just(30 * 86400)].prop_map(Deed::Wait),
        2 => Just(Deed::Timers),
        1 => (1u32..3).prop_map(Deed::ChangeRules),
    ]
}

fn outcome(number: u8) -> PayoutOutcome {
    match number {
        0 => PayoutOutcome::Completed { reference: "G".into() },
        1 => PayoutOutcome::Sent { reference: "G".into() },
        2 => PayoutOutcome::Failed { reason: "declined".into() },
        _ => PayoutOutcome::Unknown { reason: "timeout".into() },
    }
}

fn commit(desk: &Desk, withdrawal: &str, deed: Deed) {
    let revision = || desk.show(withdrawal)["revision"].as_u64().unwrap() as u32;
    // What is refused is refused; what must hold is looked at afterwards.
    let _ = match deed {
        Deed::Approve(voter) => desk.approve(staff(voter), withdrawal, revision()),
        Deed::Reject => desk.reject(staff(7), withdrawal),
        Deed::Cancel => desk.cancel(owner(), withdrawal),
        Deed::Process(says) => {
            desk.set(|it| it.gateway_says = outcome(says));
            desk.process(key(1), withdrawal)
        }
        Deed::ClaimAndCrash => desk.claim(key(1), withdrawal, json!({})).map(|_| Value::Null),
        // An answer exists only once the gateway was asked.
        Deed::Settle(_) if desk.world.state().payouts.is_empty() => Ok(Value::Null),
        Deed::Settle(says) => desk.settle(key(1), withdrawal, outcome(says)),
        Deed::Complete => desk.complete(staff(7), withdrawal, "R"),
        Deed::Fail => desk.fail(staff(7), withdrawal),
        Deed::Reconcile(outcome) => desk.reconcile(staff(7), withdrawal, outcome),
        Deed::Return => desk.take_in(staff(7), withdrawal),
        Deed::Wait(seconds) => {
            desk.wait(Duration::from_secs(seconds));
            Ok(Value::Null)
        }
        Deed::Timers => {
            desk.meet_deadlines();
            Ok(Value::Null)
        }
        Deed::ChangeRules(approvals) => {
            desk.set(|it| it.settings.withdrawal.approvals = approvals);
            Ok(Value::Null)
        }
    };
}

fn check(desk: &Desk, withdrawal: &str) {
    let shown = desk.show(withdrawal);
    let history = shown["status_history"].as_array().unwrap();
    for change in history.iter().filter(|it| !it["from"].is_null()) {
        let state = |name: &str| change[name].as_str().unwrap().parse::<WithdrawalStatus>().unwrap();
        let event: WithdrawalEvent = change["event"].as_str().unwrap().parse().unwrap();
        assert_eq!(WITHDRAWAL.next(state("from"), event).unwrap(), state("to"));
    }
    let status: WithdrawalStatus = shown["status"].as_str().unwrap().parse().unwrap();
    let state = desk.world.state();
    let ended: u32 = state.ended.values().sum();
    assert_eq!(ended, u32::from(!status.holds_money()), "{status}");
    assert!(state.payouts.len() <= 1, "the gateway is asked once");
    let all: i128 = state.accounts.values().sum::<i128>() + state.held();
    assert_eq!(all, 2_000_00, "money neither appears nor disappears");
    drop(state);
    let wrong = desk.store.read(|tx| super::super::held_money(tx, &*desk.world));
    assert_eq!(wrong.unwrap(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_life_stays_in_the_table_and_ends_its_hold_once(
        amount in prop_oneof![Just("200.00"), Just("1500.00")],
        deeds in proptest::collection::vec(deed(), 1..25),
    ) {
        let desk = Desk::open();
        desk.set(|it| it.fee = 100);
        let withdrawal = desk.withdrawal(amount);
        for deed in deeds {
            commit(&desk, &withdrawal, deed);
            check(&desk, &withdrawal);
        }
    }
}
