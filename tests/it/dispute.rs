//! Disputes: what a payer's bank takes back, whoever tells of it, and in whatever order.

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::support::decide;
use crate::{
    inbound::{intent, pending, tell},
    payment::{available, charge, initiate, mark_paid, show, user},
};

/// A payment of 10.03 that settled: its user, its gateway, its id.
pub async fn settled(coffer: &Instance) -> (String, String, String) {
    let (user, gateway, payment) = pending(coffer).await;
    tell(coffer, &gateway, &intent("evt_1", "pi_1", "succeeded", &payment, 1003, 1003)).await.expect(200);
    coffer.new_events();
    (user, gateway, payment["id"].as_str().unwrap().to_owned())
}

/// What a gateway says of the dispute `dp_1`.
pub fn word(id: &str, kind: &str, status: &str, amount: u64) -> Value {
    json!({ "id": id, "type": format!("charge.dispute.{kind}"), "data": { "object": {
        "id": "dp_1", "object": "dispute", "payment_intent": "pi_1", "amount": amount, "currency": "usd",
        "status": status, "reason": "fraudulent",
    } } })
}

pub async fn disputes(coffer: &Instance, payment: &str) -> Vec<Value> {
    let list = coffer.key().get(&format!("/disputes?payment_id={payment}")).await.expect(200);
    list.body["data"].as_array().unwrap().clone()
}

pub async fn disputed(coffer: &Instance, payment: &str) -> Value {
    show(coffer, payment).await["disputed"].clone()
}

pub async fn status(coffer: &Instance, user: &str) -> Value {
    coffer.key().get(&format!("/users/{user}")).await.expect(200).body
}

pub async fn spend(coffer: &Instance, user: &str, amount: &str) -> Answer {
    let body = json!({
        "amount": amount, "currency": "USD", "from": user, "to": "house:adjustment", "reason": "spent",
    });
    coffer.key().post("/transfers", body).await
}

const OPENED: [&str; 3] = ["transaction.created", "dispute.opened", "user.frozen"];

#[tokio::test]
async fn what_a_bank_takes_back_is_booked_below_zero_and_freezes_its_user() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    spend(&coffer, &user, "9.00").await.expect(201);
    coffer.new_events();
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    assert_eq!(coffer.new_events(), OPENED);
    assert_eq!(available(&coffer, &user).await, "-9.00");
    assert_eq!(disputed(&coffer, &payment).await, "10.03");
    let frozen = status(&coffer, &user).await;
    assert_eq!(frozen["status"], "frozen");
    let dispute = disputes(&coffer, &payment).await.remove(0);
    let reason = format!("The bank took back 10.03 USD of {payment} ({})", dispute["id"].as_str().unwrap());
    assert_eq!(frozen["status_history"][1]["reason"], reason);
    assert_eq!((&dispute["status"], &dispute["reason"]), (&json!("open"), &json!("fraudulent")));
    let record = coffer.key().get(&format!("/transactions?user_id={user}&limit=1")).await.expect(200);
    let record = &record.body["data"][0];
    assert_eq!((&record["narration"], &record["balance_after"]), (&json!("Chargeback"), &json!("-9.00")));
    // The other words of the same story change nothing.
    for (id, kind, status) in [
        ("evt_2", "created", "needs_response"),
        ("evt_3", "funds_withdrawn", "needs_response"),
        ("evt_4", "updated", "under_review"),
    ] {
        tell(&coffer, &gateway, &word(id, kind, status, 1003)).await.expect(200);
    }
    assert_eq!(coffer.new_events(), [""; 0]);

    // Nothing leaves, and no refund goes out beside it; what comes in counts against what is missing.
    spend(&coffer, &user, "0.01").await.refused(422, "user_not_active");
    let refund = json!({ "payment_id": payment, "amount": "0.01", "reason": "asked for" });
    coffer.key().post("/refunds", refund.clone()).await.refused(422, "user_not_active");
    let credit = json!({ "amount": "4.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "a gift" });
    coffer.key().post("/transfers", credit).await.expect(201);
    assert_eq!(available(&coffer, &user).await, "-5.00");
    let thaw = json!({ "reason": "the customer explained" });
    coffer.key().post(&format!("/users/{user}/unfreeze"), thaw).await.expect(200);
    let refused = spend(&coffer, &user, "0.01").await.refused(422, "user_owes");
    assert_eq!(refused.body["currency"], "USD");
    coffer.key().post("/refunds", refund).await.refused(422, "user_owes");

    tell(&coffer, &gateway, &word("evt_5", "closed", "won", 1003)).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "5.03");
    assert_eq!(disputed(&coffer, &payment).await, "0.00");
    let won = disputes(&coffer, &payment).await.remove(0);
    assert_eq!(won["status"], "won");
    let path = format!("/ledger/entries/{}", won["reversal_entry_id"].as_str().unwrap());
    let back = coffer.key().get(&path).await.expect(200);
    assert_eq!(back.body["reverses"], won["entry_id"]);
    // A word that comes late opens nothing again.
    coffer.new_events();
    tell(&coffer, &gateway, &word("evt_6", "updated", "under_review", 1003)).await.expect(200);
    tell(&coffer, &gateway, &word("evt_7", "funds_reinstated", "won", 1003)).await.expect(200);
    assert_eq!(coffer.new_events(), [""; 0]);
}

#[tokio::test]
async fn every_story_a_gateway_tells_ends_where_it_says() {
    for (words, wanted, left, events) in [
        (&[("created", "warning_needs_response")][..], Some("inquiry"), "10.03", &["dispute.inquired"][..]),
        (
            &[("created", "warning_needs_response"), ("closed", "warning_closed")],
            Some("dismissed"),
            "10.03",
            &["dispute.inquired", "dispute.dismissed"],
        ),
        (
            &[
                ("created", "warning_needs_response"),
                ("funds_withdrawn", "needs_response"),
                ("closed", "lost"),
            ],
            Some("lost"),
            "0.00",
            &["dispute.inquired", "transaction.created", "dispute.opened", "user.frozen", "dispute.lost"],
        ),
        // Told in the wrong order, or only at the end.
        (
            &[("closed", "lost"), ("created", "needs_response")],
            Some("lost"),
            "0.00",
            &["transaction.created", "dispute.opened", "user.frozen", "dispute.lost"],
        ),
        (&[("closed", "won"), ("created", "needs_response")], Some("won"), "10.03", &[]),
        (
            &[("closed", "lost"), ("funds_reinstated", "lost")],
            Some("won"),
            "10.03",
            &["transaction.created", "dispute.opened", "user.frozen", "dispute.lost", "dispute.won"],
        ),
    ] {
        let coffer = Instance::start().await;
        let (user, gateway, payment) = settled(&coffer).await;
        for (number, (kind, status)) in words.iter().enumerate() {
            let event = word(&format!("evt_d{number}"), kind, status, 1003);
            tell(&coffer, &gateway, &event).await.expect(200);
        }
        let list = disputes(&coffer, &payment).await;
        assert_eq!(list.first().and_then(|it| it["status"].as_str()), wanted, "{words:?}");
        assert!(list.len() == 1, "{words:?}");
        assert_eq!(available(&coffer, &user).await, left, "{words:?}");
        assert_eq!(coffer.new_events(), events, "{words:?}");
    }
}

#[tokio::test]
async fn a_bank_that_wants_more_than_is_left_leaves_the_rest_to_a_person() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    let refund = json!({ "payment_id": payment, "amount": "4.00", "reason": "asked for" });
    coffer.key().post("/refunds", refund).await.expect(201);
    coffer.new_events();
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    assert_eq!(
        coffer.new_events(),
        ["payment.conflicted", "user.frozen", "transaction.created", "dispute.opened"]
    );
    let shown = show(&coffer, &payment).await;
    assert_eq!((&shown["disputed"], &shown["review"]), (&json!("6.03"), &json!("needs_review")));
    assert_eq!(shown["last_error"], "dp_1 takes 10.03 USD back, 6.03 USD of it can be charged");
    let dispute = disputes(&coffer, &payment).await.remove(0);
    assert_eq!((&dispute["amount"], &dispute["claimed_amount"]), (&json!("6.03"), &json!("10.03")));
    assert_eq!(available(&coffer, &user).await, "0.00");
    // Another currency, or another amount than before, is for a person too.
    let mut euros = word("evt_3", "updated", "under_review", 1003);
    euros["data"]["object"]["currency"] = "eur".into();
    for event in [euros, word("evt_4", "updated", "under_review", 500)] {
        tell(&coffer, &gateway, &event).await.expect(200);
        assert_eq!(coffer.new_events(), ["payment.conflicted"]);
    }
    assert_eq!(available(&coffer, &user).await, "0.00");
    let put_away = json!({ "decision": "reject", "reason": "settled with the provider" });
    let seen = decide(&coffer.key(), &format!("/payments/{payment}/resolve"), put_away).await.expect(200);
    assert_eq!((&seen.body["status"], &seen.body["review"]), (&json!("settled"), &json!("none")));
}

#[tokio::test]
async fn a_person_says_what_a_bank_did_and_the_gateway_is_not_believed_twice() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    let open = charge(&coffer, &user, "5.00").await;
    let dispute = |payment: &str, amount: &str, reference: Option<&str>| json!({ "payment_id": payment, "amount": amount, "reason": "on the statement", "reference": reference });
    let key = coffer.key();
    let refused = key.post("/disputes", dispute(&open, "5.00", None)).await.refused(422, "not_disputable");
    assert_eq!(refused.body["reason"], "requires_method");
    let refused =
        key.post("/disputes", dispute(&payment, "10.04", None)).await.refused(422, "dispute_too_large");
    assert_eq!(refused.body["remaining"], "10.03");
    coffer.new_events();
    let made = key.post("/disputes", dispute(&payment, "10.00", None)).await.expect(201);
    assert_eq!(coffer.new_events(), OPENED);
    assert_eq!(available(&coffer, &user).await, "0.03");
    // The gateway tells of the same one: it gets its name, and is booked no second time.
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1000)).await.expect(200);
    assert_eq!(disputed(&coffer, &payment).await, "10.00");
    let path = format!("/disputes/{}", made.id());
    assert_eq!(key.get(&path).await.expect(200).body["reference"], "dp_1");
    let again = dispute(&payment, "0.03", Some("dp_1"));
    key.post("/disputes", again).await.refused(409, "reference_used");

    let reason = json!({ "reason": "no evidence in time" });
    let lost = key.post(&format!("{path}/lose"), reason.clone()).await.expect(200);
    assert_eq!(lost.body["status"], "lost");
    key.post(&format!("{path}/lose"), json!({ "reason": "another" }))
        .await
        .refused(409, "invalid_state_transition");
    let won = key.post(&format!("{path}/win"), reason).await.expect(200);
    assert_eq!(won.body["status"], "won");
    assert_eq!(available(&coffer, &user).await, "10.03");
    assert_eq!(coffer.new_events(), ["dispute.lost", "dispute.won"]);
    assert_eq!(status(&coffer, &user).await["status"], "frozen", "lifting it is a person's decision");
}

/// The gateway once was refused for ever, or nobody heard of it, and the user paid out what the bank had taken.
#[tokio::test]
async fn what_the_books_cannot_follow_is_answered_freezes_and_asks_a_person() {
    let is_left_to_a_person = async |coffer: &Instance, user: &str, payment: &str| {
        assert_eq!(show(coffer, payment).await["review"], "needs_review");
        assert_eq!(status(coffer, user).await["status"], "frozen");
    };
    // Lost after an inquiry, when all of it had gone back already.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    tell(&coffer, &gateway, &word("evt_2", "created", "warning_needs_response", 1003)).await.expect(200);
    for amount in ["10.00", "0.03"] {
        let refund = json!({ "payment_id": payment, "amount": amount, "reason": "asked for" });
        coffer.key().post("/refunds", refund).await.expect(201);
    }
    coffer.advance(std::time::Duration::from_secs(60)).await; // The second one goes when it is asked for.
    tell(&coffer, &gateway, &word("evt_3", "closed", "lost", 1003)).await.expect(200);
    is_left_to_a_person(&coffer, &user, &payment).await;
    let lost = disputes(&coffer, &payment).await.remove(0);
    let shown = (&lost["status"], &lost["amount"], &lost["entry_id"]);
    assert_eq!(shown, (&json!("lost"), &json!("0.00"), &Value::Null), "there was nothing to book");

    // A person said it was won.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    let dispute = disputes(&coffer, &payment).await.remove(0);
    let path = format!("/disputes/{}/win", dispute["id"].as_str().unwrap());
    coffer.key().post(&path, json!({ "reason": "a mistake" })).await.expect(200);
    let thaw = json!({ "reason": "talked to her" });
    coffer.key().post(&format!("/users/{user}/unfreeze"), thaw).await.expect(200);
    tell(&coffer, &gateway, &word("evt_3", "closed", "lost", 1003)).await.expect(200);
    is_left_to_a_person(&coffer, &user, &payment).await;

    // A person noted it on another payment of that gateway.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    let other = charge(&coffer, &user, "10.00").await;
    initiate(&coffer, &other, &gateway).await.expect(200);
    assert_eq!(show(&coffer, &other).await["status"], "settled");
    let wrong = json!({ "payment_id": other, "amount": "10.00", "reason": "recalled", "reference": "dp_1" });
    coffer.key().post("/disputes", wrong).await.expect(201);
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    is_left_to_a_person(&coffer, &user, &payment).await;
}

#[tokio::test]
async fn a_deposit_that_was_charged_back_is_not_reversed_as_well() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let body = json!({ "amount": "20.00", "currency": "USD", "user_id": user });
    let funding = coffer.key().post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap().to_owned();
    initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    mark_paid(&coffer, &payment, "bank-1", "20.00").await.expect(200);
    let body = json!({ "payment_id": payment, "amount": "5.00", "reason": "recalled" });
    let dispute = coffer.key().post("/disputes", body).await.expect(201);
    let thaw = json!({ "reason": "talked to her" });
    coffer.key().post(&format!("/users/{user}/unfreeze"), thaw).await.expect(200);
    spend(&coffer, &user, "1.00").await.expect(201);
    let credit = json!({ "amount": "6.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "a gift" });
    coffer.key().post("/transfers", credit).await.expect(201);
    let path = format!("/fundings/{}/reverse", funding.id());
    let reason = json!({ "reason": "recalled" });
    coffer.key().post(&path, reason.clone()).await.refused(409, "payment_disputed");
    assert_eq!(available(&coffer, &user).await, "20.00");
    let lose = format!("/disputes/{}/lose", dispute.id());
    coffer.key().post(&lose, reason.clone()).await.expect(200);
    let refused = coffer.key().post(&path, reason).await.refused(422, "refund_too_large");
    assert_eq!(refused.body["remaining"], "15.00");
}

#[tokio::test]
async fn the_sandbox_takes_seven_cents_back() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = charge(&coffer, &user, "10.07").await;
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["status"], "settled");
    assert_eq!(disputed(&coffer, &payment).await, "10.07");
    assert_eq!(available(&coffer, &user).await, "0.00");
}

/// Of a user who was disabled, and of the last admin, nothing was frozen: both paid out what they had of another
/// currency.
#[tokio::test]
async fn who_owes_of_one_currency_pays_out_none_of_another_whatever_its_state() {
    for is_admin in [false, true] {
        let coffer = Instance::start().await;
        let (user, gateway, _) = settled(&coffer).await;
        spend(&coffer, &user, "9.00").await.expect(201);
        let euros = json!({
            "amount": "500.00", "currency": "EUR", "from": "house:adjustment", "to": user, "reason": "a gift",
        });
        let key = coffer.key();
        key.post("/transfers", euros).await.expect(201);
        let quote =
            json!({ "from_currency": "EUR", "to_currency": "USD", "from_amount": "5.00", "user_id": user });
        let early = key.post("/swaps/quotes", quote.clone()).await.expect(201);
        let path = format!("/users/{user}");
        if is_admin {
            let version = status(&coffer, &user).await["version"].as_u64().unwrap();
            key.put(&format!("{path}/roles"), version, json!({ "roles": ["admin"] })).await.expect(200);
        } else {
            key.post(&format!("{path}/disable"), json!({ "reason": "on leave" })).await.expect(200);
        }
        tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
        assert_eq!(available(&coffer, &user).await, "-9.00");
        if !is_admin {
            // What would have frozen it does when it comes back.
            assert_eq!(status(&coffer, &user).await["status"], "disabled");
            coffer.new_events();
            let back = key.post(&format!("{path}/enable"), json!({ "reason": "is back" })).await.expect(200);
            assert_eq!(back.body["status"], "frozen");
            assert_eq!(coffer.new_events(), ["user.enabled", "user.frozen"]);
            let history = back.body["status_history"].as_array().unwrap();
            assert!(history[3]["reason"].as_str().unwrap().starts_with("The bank took back 10.03 USD"));
            key.post(&format!("{path}/unfreeze"), json!({ "reason": "talked to her" })).await.expect(200);
        }
        assert_eq!(status(&coffer, &user).await["status"], "active");

        let method = crate::withdrawal::bank();
        let payout = json!({ "amount": "20.00", "currency": "EUR", "user_id": user, "method": method });
        let transfer = json!({
            "amount": "1.00", "currency": "EUR", "from": user, "to": "house:fee_income", "reason": "spent",
        });
        let accepted = json!({ "quote_id": early.id() });
        for (path, body) in [
            ("/withdrawals", payout.clone()),
            ("/transfers", transfer.clone()),
            ("/swaps/quotes", quote),
            ("/swaps", accepted),
        ] {
            let refused = key.post(path, body).await.refused(422, "user_owes");
            assert_eq!(refused.body["currency"], "USD", "{path}");
        }
        let credit = |amount: &str| {
            json!({
                "amount": amount, "currency": "USD", "from": "house:adjustment", "to": user, "reason": "made up for",
            })
        };
        key.post("/transfers", credit("8.99")).await.expect(201);
        key.post("/withdrawals", payout.clone()).await.refused(422, "user_owes");
        key.post("/transfers", credit("0.01")).await.expect(201);
        key.post("/withdrawals", payout).await.expect(201);
        key.post("/transfers", transfer).await.expect(201);
    }
}
