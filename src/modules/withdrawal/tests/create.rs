//! Asking for a withdrawal.

use serde_json::{Value, json};

use super::{doubles::*, *};
use crate::modules::{
    transaction::contract::{EntryType, TransactionStatus},
    user::contract::UserStatus,
};

/// Each row breaks its rule and, where they do not exclude one another, every later one.
#[test]
fn of_several_broken_rules_the_first_of_the_table_answers() {
    let desk = Desk::open();
    desk.withdrawal_with("7");
    desk.set(|it| {
        it.fee = 2_000;
        it.status = UserStatus::Frozen;
        it.accounts.clear();
    });
    let unknown = json!("bnf_00000000000000000000000000");
    let mut body = json!({
        "amount": "0.001", "currency": "GBP", "user_id": id::<UserId>(9), "external_id": "7",
        "beneficiary_id": unknown, "fee_included": true, "colour": "red",
    });
    let refused = |body: &Value| desk.create(key(1), body.clone()).unwrap_err();
    assert_eq!(refused(&body), "unknown_field");
    body.as_object_mut().unwrap().remove("colour");
    let rows = [
        ("reason", json!("for fun"), "not_allowed"),
        ("reason", Value::Null, "currency_inactive"),
        ("currency", json!("USD"), "amount_scale"),
        ("amount", json!("0.00"), "amount_not_positive"),
        ("amount", json!("5.00"), "not_found"),
        ("user_id", json!(id::<UserId>(2)), "user_not_active"),
    ];
    for (field, value, wanted) in rows {
        body[field] = value;
        assert_eq!(refused(&body), wanted, "after {field}");
    }
    desk.set(|it| it.status = UserStatus::Active);
    let rows = [
        ("metadata", json!({}), "external_id_taken"),
        ("external_id", json!("8"), "below_minimum"),
        ("amount", json!("15.00"), "not_found"),
    ];
    for (field, value, wanted) in rows {
        body[field] = value;
        assert_eq!(refused(&body), wanted, "after {field}");
    }
    body["beneficiary_id"] = Value::Null;
    body["method"] = bank();
    assert_eq!(refused(&body), "nothing_left");
    body["fee_included"] = json!(false);
    assert_eq!(refused(&body), "insufficient_funds");
    desk.set(|it| it.accounts = [(AVAILABLE.to_owned(), 3_500)].into());
    assert_eq!(desk.create(key(1), body).unwrap()["status"], "approved");
}

#[test]
fn what_goes_together_and_what_does_not_is_said_at_once() {
    let desk = Desk::open();
    let user = json!(id::<UserId>(2));
    let table = [
        (key(1), json!({}), "required"),
        (key(1), json!({ "beneficiary_id": id::<BeneficiaryId>(1), "method": bank() }), "not_allowed"),
        (key(1), json!({ "type": "fee" }), "required"),
        (key(1), json!({ "type": "tax", "reason": "VAT", "method": bank() }), "not_allowed"),
        (key(1), json!({ "type": "fee", "reason": "card", "fee_included": true }), "not_allowed"),
        (staff(7), json!({ "method": bank() }), "beneficiary_required"),
        (owner(), json!({ "method": bank() }), "not_allowed"),
        (owner(), json!({ "type": "fee", "reason": "card", "user_id": null }), "not_allowed"),
        (owner(), json!({ "method": bank(), "user_id": null }), "beneficiary_required"),
    ];
    for (who, more, wanted) in table {
        let mut body = json!({ "amount": "20.00", "currency": "USD", "user_id": user });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(desk.create(who, body).unwrap_err(), wanted, "{more}");
    }
    assert_eq!(desk.events(), Vec::<String>::new());
}

#[test]
fn amount_and_fee_are_held_at_once_on_top_or_included() {
    for (included, payout, held) in [(false, "200.00", 20_100), (true, "199.00", 20_000)] {
        let desk = Desk::open();
        desk.set(|it| it.fee = 100);
        let created = desk
            .create(
                key(1),
                json!({
                    "amount": "200.00", "currency": "USD", "user_id": id::<UserId>(2), "method": bank(),
                    "fee_included": included,
                }),
            )
            .unwrap();
        assert_eq!((&created["payout"], &created["fee"]), (&json!(payout), &json!("1.00")));
        let state = desk.world.state();
        assert_eq!((state.held(), state.of(AVAILABLE)), (held, 2_000_00 - held));
        let pending = TransactionStatus::Pending;
        let wanted = [(EntryType::Debit, held - 100, pending), (EntryType::Fee, 100, pending)];
        assert_eq!(state.records(), wanted);
    }
}

#[test]
fn rules_approve_what_is_small_and_in_the_default_currency() {
    let table = [
        ("1000.00", "USD", "approved"),
        ("1000.01", "USD", "pending_review"),
        ("10.00", "EUR", "pending_review"),
        ("0.01", "EUR", "pending_review"), // The minimum is in USD.
    ];
    for (amount, currency, wanted) in table {
        let desk = Desk::open();
        let body = json!({
            "amount": amount, "currency": currency, "user_id": id::<UserId>(2), "method": bank(),
        });
        let created = desk.create(key(1), body).unwrap();
        assert_eq!(created["status"], wanted, "{amount} {currency}");
        let mut events = vec!["withdrawal.requested"];
        events.extend((wanted == "approved").then_some("withdrawal.approved"));
        assert_eq!(desk.events(), events);
        if wanted == "approved" {
            let last = &created["status_history"][1];
            let why = json!("automatic up to 1000.00 USD");
            assert_eq!((&last["actor"], &last["reason"]), (&json!("system"), &why));
        }
    }
}

#[test]
fn staff_charge_fees_and_taxes_at_once_and_may_give_them_back() {
    for (kind, account, entry_type) in
        [("fee", "fee_income", EntryType::Fee), ("tax", "tax", EntryType::Debit)]
    {
        let desk = Desk::open();
        let body = json!({
            "amount": "5.00", "currency": "USD", "user_id": id::<UserId>(2), "type": kind, "reason": "2025",
        });
        let created = desk.create(staff(7), body).unwrap();
        assert_eq!((&created["status"], &created["hold_id"]), (&json!("completed"), &Value::Null));
        assert_eq!(desk.world.state().of(account), 500);
        assert_eq!(desk.world.state().of(AVAILABLE), 1_995_00);
        let completed = TransactionStatus::Completed;
        assert_eq!(desk.world.state().records(), [(entry_type, 500, completed)]);
        let id = created["id"].as_str().unwrap();
        assert_eq!(desk.take_in(staff(8), id).unwrap()["status"], "returned");
        assert_eq!(desk.world.state().of(account), 0);
        assert_eq!(desk.world.state().of(AVAILABLE), 2_000_00);
        assert_eq!(desk.events(), ["withdrawal.completed", "withdrawal.returned"]);
    }
}

impl Desk {
    fn withdrawal_with(&self, external_id: &str) {
        let body = json!({
            "amount": "20.00", "currency": "USD", "user_id": id::<UserId>(2), "method": bank(),
            "external_id": external_id,
        });
        self.create(key(1), body).unwrap();
    }
}
