//! What is stored reads for ever.

use super::{doubles::*, *};
use crate::{
    kernel::{
        api::{input::Metadata, object::Stamp},
        machine::History,
        store::codec::golden,
    },
    modules::{
        payment::contract::{GatewayInfo, GatewayKind},
        withdrawal::{
            contract::WithdrawalStatus,
            model::{Beneficiary, Policy, Purpose, Vote, WITHDRAWAL, Withdrawal, WithdrawalEvent},
        },
    },
};

fn notes() -> Metadata {
    Metadata([("color".to_owned(), "red".to_owned())].into())
}

#[test]
fn a_withdrawal_has_the_same_bytes_in_every_release() {
    let at = Time::from_micros(1_700_000_000_000_000);
    let mut history = History::begin(WithdrawalStatus::PendingReview, &key(1), at);
    history.step(&WITHDRAWAL, WithdrawalEvent::Approve, &staff(7), Some("ok"), at).unwrap();
    let method = Method::parse(bank()).unwrap();
    golden(
        "withdrawal.withdrawals",
        &Withdrawal {
            id: id(10),
            user: id(2),
            purpose: Purpose::CashOut { method, beneficiary: Some(id(11)), hold: id(12) },
            amount: usd(1_500_00),
            fee: usd(100),
            fee_included: false,
            payout: usd(1_500_00),
            history,
            votes: vec![Vote { actor: Actor::User(id(7)), at, note: Some("ok".into()), revision: 2 }],
            policy: Policy { approvals: 1, automatic_up_to: Some(usd(1_000_00)) },
            revision: 2,
            gateway: Some(GatewayInfo { id: id(3), kind: GatewayKind::Sandbox, slug: "sandbox".into() }),
            reference: Some("G-1".into()),
            due_at: Some(at.after(30 * DAY)),
            records: vec![id(13), id(14)],
            stamp: Stamp { external_id: Some("7".into()), metadata: notes(), version: 3, ..Stamp::at(at) },
        },
    );
}

#[test]
fn a_beneficiary_has_the_same_bytes_in_every_release() {
    let at = Time::from_micros(1_700_000_000_000_000);
    let method = json!({
        "type": "crypto", "network": "ripple", "address": "rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh", "memo": "7",
    });
    golden(
        "withdrawal.beneficiaries",
        &Beneficiary {
            id: id(11),
            user: id(2),
            label: "Mine".into(),
            method: Method::parse(method).unwrap(),
            ready_at: at.after(DAY),
            stamp: Stamp { metadata: notes(), ..Stamp::at(at) },
        },
    );
}
