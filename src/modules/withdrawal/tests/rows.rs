//! What is stored reads for ever.

use super::{doubles::*, *};
use crate::{
    kernel::{
        api::{input::Metadata, object::Stamp},
        machine::History,
        mailed::MailedToken,
        store::{Row as _, codec::golden},
    },
    modules::{
        client::contract::{Approval, ApprovalPolicy, Automatic, Vote},
        payment::contract::{GatewayInfo, GatewayKind},
        withdrawal::{
            contract::WithdrawalStatus,
            model::{
                Beneficiary, Conflict, PayoutTruth, Proposal, Purpose, Question, Standing, WITHDRAWAL,
                Withdrawal, WithdrawalEvent,
            },
        },
    },
};

fn notes() -> Metadata {
    Metadata([("color".to_owned(), "red".to_owned())].into())
}

#[test]
fn a_question_has_the_same_bytes_in_every_release() {
    let at = Time::from_micros(1_700_000_000_000_000);
    golden("withdrawal.questions", &Question { asked: 2, due_at: Some(at) });
}

#[test]
fn a_withdrawal_has_the_same_bytes_in_every_release() {
    let at = Time::from_micros(1_700_000_000_000_000);
    let mut history = History::begin(WithdrawalStatus::PendingReview, &key(1), at);
    history.step(&WITHDRAWAL, WithdrawalEvent::Approve, &staff(7), Some("ok"), at).unwrap();
    let method = Method::parse(bank()).unwrap();
    let withdrawal = Withdrawal {
        id: id(10),
        user: id(2),
        purpose: Purpose::CashOut { method, beneficiary: Some(id(11)), hold: id(12) },
        amount: usd(1_500_00),
        fee: usd(100),
        fee_included: false,
        payout: usd(1_500_00),
        history,
        approval: Approval {
            votes: vec![Vote { actor: Actor::User(id(7)), at, note: Some("ok".into()), revision: 2 }],
            policy: ApprovalPolicy {
                automatic: Automatic::UpTo(usd(1_000_00)),
                one_person_up_to: None,
                approvals: 1,
                committee: None,
                revision: 0,
            },
            revision: 2,
            amount: usd(1_500_00),
        },
        gateway: Some(GatewayInfo { id: id(3), kind: GatewayKind::Sandbox, slug: "sandbox".into() }),
        reference: Some("G-1".into()),
        due_at: Some(at.after(30 * DAY)),
        records: vec![id(13), id(14)],
        confirmation: Some(MailedToken { hash: [3; 32], wrong: 1, expires_at: at.after(DAY) }),
        conflict: Some(Conflict {
            id: id(15),
            reason: "paid".into(),
            reference: Some("G-2".into()),
            at,
            revision: 2,
            proposal: Some(Proposal {
                truth: PayoutTruth::NotPaid,
                by: Actor::User(id(8)),
                reason: "seen".into(),
                at,
            }),
        }),
        stamp: Stamp { external_id: Some("7".into()), metadata: notes(), version: 3, ..Stamp::at(at) },
    };
    golden("withdrawal.withdrawals", &withdrawal);
    let second = include_str!("../../../../tests/golden/rows/withdrawal.withdrawals.v2.hex");
    let second = data_encoding::HEXLOWER.decode(second.trim().as_bytes()).unwrap();
    let withdrawal = Withdrawal { conflict: None, ..withdrawal };
    assert_eq!(Withdrawal::decode_row(&second).unwrap(), withdrawal, "before there were conflicts");
    let first = include_str!("../../../../tests/golden/rows/withdrawal.withdrawals.v1.hex");
    let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
    let withdrawal = Withdrawal { confirmation: None, ..withdrawal };
    assert_eq!(Withdrawal::decode_row(&first).unwrap(), withdrawal, "what the first release stored");
}

#[test]
fn a_beneficiary_has_the_same_bytes_in_every_release() {
    let at = Time::from_micros(1_700_000_000_000_000);
    let method = json!({
        "type": "crypto", "network": "ripple", "address": "rEb8TK3gBgk5auZkwc6sHnwrGVJH8DuaLh", "memo": "7",
    });
    let standing = Standing::Unconfirmed(MailedToken { hash: [3; 32], wrong: 1, expires_at: at.after(DAY) });
    let beneficiary = Beneficiary {
        id: id(11),
        user: id(2),
        label: "Mine".into(),
        method: Method::parse(method).unwrap(),
        standing,
        stamp: Stamp { metadata: notes(), ..Stamp::at(at) },
    };
    golden("withdrawal.beneficiaries", &beneficiary);
    let first = include_str!("../../../../tests/golden/rows/withdrawal.beneficiaries.v1.hex");
    let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
    let ready = Beneficiary { standing: Standing::ReadyAt(at.after(DAY)), ..beneficiary };
    assert_eq!(Beneficiary::decode_row(&first).unwrap(), ready, "what the first release stored");
}
