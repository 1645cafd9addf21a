//! Refunds: the cap, the second person, every way a gateway can answer, and money in suspense.

use std::{sync::Arc, time::Duration};

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::payment::{another_key, available, charge, initiate, mark_paid, set, suspense, user};
use crate::support::{agree, decide};

/// A payment of the user that settled through the sandbox.
async fn paid(coffer: &Instance, user: &str, amount: &str) -> String {
    let payment = charge(coffer, user, amount).await;
    initiate(coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    payment
}

/// A payment of the user that came by bank.
async fn paid_by_bank(coffer: &Instance, user: &str, amount: &str) -> String {
    let payment = charge(coffer, user, amount).await;
    initiate(coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    mark_paid(coffer, &payment, &format!("bank-{payment}"), amount).await.expect(200);
    payment
}

async fn refund(http: &Http, payment: &str, amount: &str) -> Answer {
    http.post("/refunds", json!({ "payment_id": payment, "amount": amount, "reason": "asked for" })).await
}

async fn verb(http: &Http, refund: &str, verb: &str, body: Value) -> Answer {
    http.post(&format!("/refunds/{refund}/{verb}"), body).await
}

async fn refunded(coffer: &Instance, payment: &str) -> String {
    let payment = coffer.key().get(&format!("/payments/{payment}")).await.expect(200);
    payment.body["refunded"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_answer_of_a_gateway_ends_a_refund_where_it_says() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = paid(&coffer, &user, "100.00").await;
    coffer.new_events();
    let requested = ["transaction.created", "refund.requested"];
    for (amount, wanted, events, then) in [
        ("1.00", "succeeded", &["refund.succeeded"][..], None),
        ("1.01", "failed", &["refund.failed"][..], None),
        ("1.02", "pending", &[][..], Some("succeeded")),
        ("1.03", "pending", &[][..], Some("succeeded")),
    ] {
        let made = refund(&coffer.key(), &payment, amount).await.expect(201);
        assert_eq!(made.body["status"], wanted, "{amount}");
        assert_eq!(made.body["needs_review"], amount == "1.02", "{amount}");
        let all: Vec<_> = requested.iter().chain(events).map(|it| (*it).to_owned()).collect();
        assert_eq!(coffer.new_events(), all, "{amount}");
        if let Some(then) = then {
            coffer.advance(Duration::from_secs(60)).await;
            let asked = coffer.key().get(&format!("/refunds/{}", made.id())).await.expect(200);
            assert_eq!(asked.body["status"], then, "{amount}");
            assert_eq!(coffer.new_events(), ["refund.succeeded"], "{amount}");
        }
    }
    assert_eq!(refunded(&coffer, &payment).await, "3.05");
    assert_eq!(available(&coffer, &user).await, "96.95");
    let list = coffer.key().get(&format!("/transactions?user_id={user}&category=refund")).await.expect(200);
    let states: Vec<_> =
        list.body["data"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["completed", "completed", "failed", "completed"], "newest first");
    let listed =
        coffer.key().get(&format!("/refunds?payment_id={payment}&status=succeeded")).await.expect(200);
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_refunds_together_are_never_more_than_what_came() {
    let coffer = Arc::new(Instance::start().await);
    let user = user(&coffer, "ann").await;
    let payment = paid(&coffer, &user, "10.00").await;
    paid(&coffer, &user, "90.00").await;
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (coffer, payment) = (coffer.clone(), payment.clone());
            tokio::spawn(async move { refund(&coffer.key(), &payment, "3.00").await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.status == 201 {
            made += 1;
        } else {
            answer.refused(422, "refund_too_large");
        }
    }
    assert_eq!(made, 3);
    let refused = refund(&coffer.key(), &payment, "1.01").await.refused(422, "refund_too_large");
    assert_eq!(refused.body["remaining"], "1.00");
    // What failed, or is given up, can be refunded again.
    refund(&coffer.key(), &payment, "0.01").await.expect(201);
    refund(&coffer.key(), &payment, "1.00").await.expect(201);
    assert_eq!(refunded(&coffer, &payment).await, "10.00");
    assert_eq!(available(&coffer, &user).await, "90.00");
}

#[tokio::test]
async fn a_refund_is_refused_in_one_order() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let open = charge(&coffer, &user, "5.00").await;
    let settled = paid(&coffer, &user, "5.00").await;
    let body = |payment: &str, amount: &str| json!({ "payment_id": payment, "amount": amount, "reason": "r", "external_id": "e" });
    coffer.key().post("/refunds", body(&settled, "1.00")).await.expect(201);
    let spend = json!({ "amount": "4.00", "currency": "USD", "from": user, "to": "house:fee_income", "reason": "spent" });
    coffer.key().post("/transfers", spend).await.expect(201);
    let fresh =
        |payment: &str, amount: &str| json!({ "payment_id": payment, "amount": amount, "reason": "r" });
    for (body, status, code) in [
        (body("pay_01kc000000000000000000000z", "0"), 404, "not_found"),
        (body(&open, "1.001"), 422, "amount_scale"),
        (body(&open, "0"), 422, "amount_not_positive"),
        (body(&open, "99.00"), 422, "not_refundable"),
        (body(&settled, "99.00"), 409, "external_id_taken"),
        (fresh(&settled, "4.01"), 422, "refund_too_large"),
        (fresh(&settled, "4.00"), 422, "insufficient_funds"),
    ] {
        let answer = coffer.key().post("/refunds", body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.body);
    }
    coffer.key().post(&format!("/users/{user}/freeze"), json!({ "reason": "looked into" })).await.expect(200);
    refund(&coffer.key(), &settled, "4.00").await.refused(422, "user_not_active");
}

#[tokio::test]
async fn a_person_pays_back_by_bank_and_says_so() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = paid_by_bank(&coffer, &user, "50.00").await;
    coffer.new_events();
    let made = refund(&coffer.key(), &payment, "20.00").await.expect(201);
    assert_eq!(made.body["status"], "pending");
    assert_eq!(available(&coffer, &user).await, "30.00", "it is held meanwhile");
    let paid_back = json!({ "reference": "bank-back-1" });
    let done = verb(&coffer.key(), made.id(), "mark-paid", paid_back.clone()).await.expect(200);
    assert_eq!((&done.body["status"], &done.body["reference"]), (&json!("succeeded"), &json!("bank-back-1")));
    assert_eq!(verb(&coffer.key(), made.id(), "mark-paid", paid_back).await.expect(200).body, done.body);
    verb(&coffer.key(), made.id(), "cancel", json!({})).await.refused(409, "invalid_state_transition");
    assert_eq!(coffer.new_events(), ["transaction.created", "refund.requested", "refund.succeeded"]);

    let given_up = refund(&coffer.key(), &payment, "30.00").await.expect(201);
    let failed =
        verb(&coffer.key(), given_up.id(), "mark-failed", json!({ "reason": "account closed" })).await;
    assert_eq!(failed.expect(200).body["error"], "account closed");
    let withdrawn = refund(&coffer.key(), &payment, "30.00").await.expect(201);
    let canceled = verb(&coffer.key(), withdrawn.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(
        (available(&coffer, &user).await, refunded(&coffer, &payment).await),
        ("30.00".into(), "20.00".into())
    );
    // What the gateway says itself no person says.
    let sandbox = paid(&coffer, &user, "5.00").await;
    let pending = refund(&coffer.key(), &sandbox, "1.03").await.expect(201);
    let refused = verb(&coffer.key(), pending.id(), "mark-paid", json!({ "reference": "x" })).await;
    refused.refused(422, "not_manual");
    verb(&coffer.key(), pending.id(), "cancel", json!({})).await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn above_the_limit_somebody_else_agrees_and_small_ones_do_not_slip_below() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "payment": { "refund_second_person_above": "10.00" } })).await;
    let user = user(&coffer, "ann").await;
    let second = another_key(&coffer).await;
    let payment = paid(&coffer, &user, "100.00").await;
    coffer.new_events();
    let small = refund(&coffer.key(), &payment, "6.00").await.expect(201);
    assert_eq!(small.body["status"], "succeeded");
    let next = refund(&coffer.key(), &payment, "5.00").await.expect(201);
    assert_eq!(next.body["status"], "requires_approval");
    coffer.new_events();
    for attempt in ["approve", "reject"] {
        let body = if attempt == "reject" { json!({ "reason": "no" }) } else { json!({}) };
        decide(&coffer.key(), &format!("/refunds/{}/{attempt}", next.id()), body)
            .await
            .refused(403, "self_approval");
    }
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    assert_eq!(available(&coffer, &user).await, "89.00");
    let approved = agree(&second, &format!("/refunds/{}/approve", next.id())).await.expect(200);
    assert_eq!(approved.body["status"], "succeeded");
    assert_eq!(coffer.new_events(), ["refund.approved", "refund.succeeded"]);
    agree(&second, &format!("/refunds/{}/approve", next.id())).await.refused(409, "invalid_state_transition");

    let rejected = refund(&coffer.key(), &payment, "50.00").await.expect(201);
    coffer.new_events();
    let answer = decide(
        &second,
        &format!("/refunds/{}/reject", rejected.id()),
        json!({ "reason": "it was delivered" }),
    )
    .await
    .expect(200);
    assert_eq!(answer.body["status"], "canceled");
    assert_eq!(coffer.new_events(), ["refund.canceled"]);
    let frozen = refund(&coffer.key(), &payment, "50.00").await.expect(201);
    coffer.key().post(&format!("/users/{user}/freeze"), json!({ "reason": "looked into" })).await.expect(200);
    agree(&second, &format!("/refunds/{}/approve", frozen.id())).await.refused(422, "user_not_active");
    verb(&coffer.key(), frozen.id(), "cancel", json!({})).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "89.00");
}

#[tokio::test]
async fn a_funding_is_reversed_or_its_payment_refunded_and_never_both() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let mut fundings = vec![];
    for _ in 0..2 {
        let funding = json!({ "amount": "40.00", "currency": "USD", "user_id": user });
        let funding = coffer.key().post("/fundings", funding).await.expect(201);
        let payment = funding.body["payment_id"].as_str().unwrap().to_owned();
        initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
        fundings.push((funding.id().to_owned(), payment));
    }
    let because = json!({ "reason": "recalled" });
    let reverse = |funding: &str| format!("/fundings/{funding}/reverse");
    let (funding, payment) = &fundings[0];
    refund(&coffer.key(), payment, "10.00").await.expect(201);
    coffer.key().post(&reverse(funding), because.clone()).await.refused(422, "refund_too_large");
    let (funding, payment) = &fundings[1];
    coffer.key().post(&reverse(funding), because).await.expect(200);
    let refused = refund(&coffer.key(), payment, "0.01").await.refused(422, "refund_too_large");
    assert_eq!(refused.body["remaining"], "0.00");
    assert_eq!(available(&coffer, &user).await, "30.00");
}

/// Money of 7.00 in suspense: its id.
async fn stray(coffer: &Instance, user: &str, reference: &str) -> String {
    let payment = charge(coffer, user, "7.00").await;
    initiate(coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    coffer.key().post(&format!("/payments/{payment}/cancel"), json!({})).await.expect(200);
    mark_paid(coffer, &payment, reference, "7.00").await.expect(200);
    let list = coffer.key().get("/suspense").await.expect(200);
    list.body["data"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn money_in_suspense_becomes_a_users_when_two_people_say_so() {
    let coffer = Instance::start().await;
    let (ann, bob) = (user(&coffer, "ann").await, user(&coffer, "bob").await);
    let second = another_key(&coffer).await;
    let item = stray(&coffer, &ann, "bank-1").await;
    let path = |verb: &str| format!("/suspense/{item}/{verb}");
    let bobs = json!({ "user_id": bob, "reason": "the bank names him" });
    coffer.key().post(&path("assign"), json!({ "reason": "nobody" })).await.refused(422, "required");
    agree(&coffer.key(), &path("approve")).await.refused(409, "invalid_state_transition");
    coffer.new_events();
    let asked = coffer.key().post(&path("assign"), bobs.clone()).await.expect(200);
    assert_eq!(
        (&asked.body["status"], &asked.body["assigned_user_id"]),
        (&json!("awaiting_second"), &json!(bob))
    );
    assert_eq!(coffer.key().post(&path("assign"), bobs.clone()).await.expect(200).body, asked.body);
    second.post(&path("refund"), json!({ "reason": "no" })).await.refused(409, "invalid_state_transition");
    agree(&coffer.key(), &path("approve")).await.refused(403, "self_approval");
    decide(&second, &path("reject"), json!({ "reason": "not sure" })).await.expect(200);
    agree(&second, &path("approve")).await.refused(409, "invalid_state_transition");
    coffer.key().post(&path("assign"), bobs).await.expect(200);
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "nothing is booked yet");
    assert_eq!(available(&coffer, &bob).await, "0.00");
    let done = agree(&second, &path("approve")).await.expect(200);
    assert_eq!(done.body["status"], "assigned");
    assert_eq!(coffer.new_events(), ["transaction.created", "suspense.assigned"]);
    assert_eq!(available(&coffer, &bob).await, "7.00");
    assert_eq!(suspense(&coffer).await, []);
}

#[tokio::test]
async fn money_in_suspense_goes_to_the_payment_it_was_meant_for() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let second = another_key(&coffer).await;
    let item = stray(&coffer, &ann, "bank-1").await;
    let manual = &coffer.credentials().manual_gateway;
    let path = |verb: &str| format!("/suspense/{item}/{verb}");
    let meant = charge(&coffer, &ann, "10.00").await;
    let to = |payment: &str| json!({ "payment_id": payment, "reason": "she says so" });
    coffer.key().post(&path("assign"), to(&meant)).await.refused(422, "not_assignable");
    initiate(&coffer, &meant, manual).await.expect(200);
    coffer.key().post(&path("assign"), to(&meant)).await.expect(200);
    coffer.new_events();
    let done = agree(&second, &path("approve")).await.expect(200);
    assert_eq!((&done.body["status"], &done.body["payment_id"]), (&json!("waiting"), &json!(meant)));
    assert_eq!(coffer.new_events(), ["suspense.assigned"]);
    let rest = mark_paid(&coffer, &meant, "bank-2", "3.00").await.expect(200);
    assert_eq!(rest.body["status"], "settled");
    assert_eq!(available(&coffer, &ann).await, "10.00");
    assert_eq!(suspense(&coffer).await, []);
    // Its reference is still the same money.
    let other = charge(&coffer, &ann, "7.00").await;
    initiate(&coffer, &other, manual).await.expect(200);
    mark_paid(&coffer, &other, "bank-1", "7.00").await.refused(409, "reference_used");
}

#[tokio::test]
async fn money_in_suspense_goes_back_to_whoever_sent_it() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let item = stray(&coffer, &ann, "bank-1").await;
    let path = format!("/suspense/{item}/refund");
    let because = json!({ "reason": "nobody knows whose it is" });
    let made = coffer.key().post(&path, because.clone()).await.expect(200);
    assert_eq!((&made.body["status"], &made.body["user_id"]), (&json!("pending"), &Value::Null));
    let listed = coffer.key().get("/suspense").await.expect(200);
    assert_eq!(listed.body["data"][0]["status"], "refunding", "it is visible until it went");
    coffer.key().post(&path, because.clone()).await.refused(409, "invalid_state_transition");
    verb(&coffer.key(), made.id(), "mark-failed", json!({ "reason": "account closed" })).await.expect(200);
    assert_eq!(coffer.key().get("/suspense").await.expect(200).body["data"][0]["status"], "suspense");
    let again = coffer.key().post(&path, because).await.expect(200);
    verb(&coffer.key(), again.id(), "mark-paid", json!({ "reference": "bank-back" })).await.expect(200);
    assert_eq!(suspense(&coffer).await, []);
}
