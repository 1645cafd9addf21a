//! Payouts: what gateways tell of them by themselves, and what they answer when they are asked.

use std::time::Duration;

use coffer::testing::{Answer, Instance, Reply};
use serde_json::{Value, json};

use crate::{
    gateway_http::{json_reply, provider},
    inbound::{seconds, send_raw, signature, tell},
    payment::{another_key, available, charge, initiate, user},
    support::decide,
};

/// A user with 100.00, and a gateway over HTTP.
async fn rich(coffer: &Instance) -> (String, String) {
    let user = user(coffer, "ann").await;
    let payment = charge(coffer, &user, "100.00").await;
    initiate(coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    (user, provider(coffer, "card", json!({})).await)
}

pub fn payout(id: &str, status: &str, withdrawal: Option<&str>) -> Value {
    json!({
        "id": id, "object": "payout", "amount": 2000, "currency": "usd", "status": status,
        "metadata": { "withdrawal_id": withdrawal },
    })
}

/// A withdrawal of 20.00 to which the gateway answered so.
async fn paid_out(coffer: &Instance, user: &str, gateway: &str, reply: Reply) -> Answer {
    coffer.webhooks().reply("/card/v1/payouts", reply);
    let method = json!({ "type": "bank", "bank": "Commerzbank", "holder": "Ann Lee", "iban": "DE89370400440532013000" });
    let body = json!({ "user_id": user, "amount": "20.00", "currency": "USD", "method": method });
    let made = coffer.key().post("/withdrawals", body).await.expect(201);
    let path = format!("/withdrawals/{}/process", made.id());
    let done = coffer.key().post(&path, json!({ "gateway_id": gateway })).await.expect(200);
    coffer.new_events();
    done
}

pub fn event(id: &str, object: &Value) -> Value {
    let kind = format!("payout.{}", object["status"].as_str().unwrap());
    json!({ "id": id, "type": kind, "livemode": false, "data": { "object": object } })
}

async fn status(coffer: &Instance, withdrawal: &str) -> String {
    let shown = coffer.key().get(&format!("/withdrawals/{withdrawal}")).await.expect(200);
    shown.body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_gateway_tells_moves_what_was_sent_once() {
    let coffer = Instance::start().await;
    let (user, gateway) = rich(&coffer).await;
    for (number, (words, wanted, left, events)) in [
        (&["paid"][..], "completed", "80.00", &["payout.reported", "withdrawal.completed"][..]),
        (&["failed"], "failed", "80.00", &["payout.reported", "withdrawal.failed"]),
        (
            &["canceled", "in_transit"],
            "failed",
            "80.00",
            &["payout.reported", "withdrawal.failed", "payout.reported"],
        ),
        (
            &["in_transit", "paid", "in_transit"],
            "completed",
            "60.00",
            &["payout.reported", "payout.reported", "withdrawal.completed", "payout.reported"],
        ),
        // Banks send back what had arrived.
        (
            &["paid", "failed"],
            "returned",
            "60.00",
            &[
                "payout.reported",
                "withdrawal.completed",
                "payout.reported",
                "transaction.created",
                "withdrawal.returned",
            ],
        ),
        (
            &["dreaming", "paid"],
            "completed",
            "40.00",
            &[
                "payout.reported",
                "withdrawal.needs_reconciliation",
                "payout.reported",
                "withdrawal.completed",
            ],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let reference = format!("po_{number}");
        let sent =
            paid_out(&coffer, &user, &gateway, json_reply(200, &payout(&reference, "in_transit", None)))
                .await;
        assert_eq!(sent.body["status"], "sent");
        for (place, word) in words.iter().enumerate() {
            let told = event(&format!("evt_{number}_{place}"), &payout(&reference, word, Some(sent.id())));
            for _ in 0..2 {
                // The second time it is a replay.
                tell(&coffer, &gateway, &told).await.expect(200);
            }
        }
        assert_eq!(status(&coffer, sent.id()).await, wanted, "{words:?}");
        assert_eq!(available(&coffer, &user).await, left, "{words:?}");
        assert_eq!(coffer.new_events(), events, "{words:?}");
    }
}

#[tokio::test]
async fn another_amount_currency_or_reference_needs_a_person_and_strangers_are_let_pass() {
    let coffer = Instance::start().await;
    let (user, gateway) = rich(&coffer).await;
    let changed = |reference: &str, withdrawal: &str, name: &str, value: Value| {
        let mut object = payout(reference, "paid", Some(withdrawal));
        object[name] = value;
        object
    };
    for (number, (name, value)) in
        [("amount", json!(2001)), ("currency", json!("eur")), ("id", json!("po_other"))]
            .into_iter()
            .enumerate()
    {
        let reference = format!("po_{number}");
        let sent =
            paid_out(&coffer, &user, &gateway, json_reply(200, &payout(&reference, "in_transit", None)))
                .await;
        let object = changed(&reference, sent.id(), name, value);
        tell(&coffer, &gateway, &event(&format!("evt_{number}"), &object)).await.expect(200);
        assert_eq!(status(&coffer, sent.id()).await, "needs_reconciliation", "{name}");
        assert_eq!(coffer.new_events(), ["payout.reported", "withdrawal.needs_reconciliation"]);
    }
    assert_eq!(available(&coffer, &user).await, "40.00", "all of it stays held");

    let sent = paid_out(&coffer, &user, &gateway, json_reply(200, &payout("po_9", "in_transit", None))).await;
    let other = provider(&coffer, "other", json!({})).await;
    let paid = payout("po_9", "paid", Some(sent.id()));
    tell(&coffer, &other, &event("evt_8", &paid)).await.expect(200);
    for (id, object) in
        [("evt_9", payout("po_9", "paid", None)), ("evt_10", payout("po_9", "paid", Some("wdr_x")))]
    {
        tell(&coffer, &gateway, &event(id, &object)).await.expect(200);
    }
    let unsigned = event("evt_11", &paid).to_string();
    let forged = signature("whsec_of_another", seconds(&coffer), &unsigned);
    send_raw(&coffer, &gateway, &forged, &unsigned).await.refused(400, "webhook_refused");
    assert_eq!(status(&coffer, sent.id()).await, "sent", "nobody speaks for another gateway");
}

#[tokio::test]
async fn a_payout_nobody_knows_of_is_looked_up_and_never_sent_again() {
    let coffer = Instance::start().await;
    let (user, gateway) = rich(&coffer).await;
    let lost = paid_out(&coffer, &user, &gateway, Reply::status(500)).await;
    assert_eq!(lost.body["status"], "needs_reconciliation");
    let path = "/card/v1/payouts";
    let list = |payouts: &[Value]| json_reply(200, &json!({ "object": "list", "data": payouts }));
    // It is not there: that proves nothing.
    coffer.webhooks().reply(path, list(&[payout("po_0", "paid", Some("wdr_of_another"))]));
    coffer.advance(Duration::from_secs(60)).await;
    assert_eq!(status(&coffer, lost.id()).await, "needs_reconciliation");
    coffer.webhooks().reply(path, list(&[payout("po_1", "in_transit", Some(lost.id()))]));
    coffer.advance(Duration::from_secs(300)).await;
    assert_eq!(status(&coffer, lost.id()).await, "sent");
    assert_eq!(coffer.new_events(), ["withdrawal.sent"]);
    coffer
        .webhooks()
        .reply("/card/v1/payouts/po_1", json_reply(200, &payout("po_1", "paid", Some(lost.id()))));
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(status(&coffer, lost.id()).await, "completed");
    let keys: Vec<_> =
        coffer.webhooks().at(path).iter().map(|it| it.headers.get("idempotency-key").cloned()).collect();
    assert_eq!(keys, [Some(lost.id().to_owned()), None, None], "told to pay once, and asked twice");
    coffer.advance(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(coffer.webhooks().at("/card/v1/payouts/po_1").len(), 1, "what is known is asked no more");
    assert_eq!(available(&coffer, &user).await, "80.00");
}

#[tokio::test]
async fn the_sandbox_knows_when_it_is_asked() {
    let coffer = Instance::start().await;
    let (user, _) = rich(&coffer).await;
    let sandbox = coffer.credentials().sandbox_gateway.clone();
    let method = json!({ "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq" });
    for (amount, first) in [("20.02", "needs_reconciliation"), ("20.03", "sent")] {
        let body = json!({ "user_id": user, "amount": amount, "currency": "USD", "method": method });
        let made = coffer.key().post("/withdrawals", body).await.expect(201);
        let path = format!("/withdrawals/{}/process", made.id());
        let done = coffer.key().post(&path, json!({ "gateway_id": sandbox })).await.expect(200);
        assert_eq!(done.body["status"], first);
        coffer.advance(Duration::from_secs(60)).await;
        assert_eq!(status(&coffer, made.id()).await, "completed");
    }
}

#[tokio::test]
async fn payouts_that_are_not_answered_open_the_breaker_of_their_gateway() {
    let coffer = Instance::start().await;
    let (user, gateway) = rich(&coffer).await;
    for _ in 0..4 {
        paid_out(&coffer, &user, &gateway, Reply::status(502)).await;
    }
    let health = format!("/payment-gateways/{gateway}/health");
    assert_eq!(coffer.key().get(&health).await.expect(200).body["failures_in_a_row"], 4);
    let payment = charge(&coffer, &user, "10.00").await;
    coffer.webhooks().reply("/card/v1/payment_intents", Reply::status(502));
    initiate(&coffer, &payment, &gateway).await.expect(200);
    assert!(coffer.key().get(&health).await.expect(200).body["breaker_open_until"].is_string());
    let method = json!({ "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq" });
    let body = json!({ "user_id": user, "amount": "10.00", "currency": "USD", "method": method });
    let made = coffer.key().post("/withdrawals", body).await.expect(201);
    let path = format!("/withdrawals/{}/process", made.id());
    let refused =
        coffer.key().post(&path, json!({ "gateway_id": gateway })).await.refused(422, "gateway_unavailable");
    assert_eq!(refused.body["reason"], "breaker_open");
    let other = coffer.key().post(&path, json!({})).await.expect(200);
    assert_ne!(other.body["gateway_id"], gateway.as_str(), "another one takes it");
}

/// Of the only withdrawal in conflict.
async fn conflicted(coffer: &Instance) -> Vec<Value> {
    let list = coffer.key().get("/withdrawals?conflicted=true").await.expect(200);
    let rows = list.body["data"].as_array().unwrap().clone();
    let seen = coffer.key().get("/dashboard/statistics").await.expect(200);
    let waiting = seen.body["waiting"].as_array().unwrap();
    let count =
        waiting.iter().find(|it| it["queue"] == "conflicted_withdrawals").map(|it| it["count"].clone());
    assert_eq!(count.unwrap_or(json!(0)), rows.len(), "what waits is seen");
    rows
}

/// A withdrawal of 20.00 that was lost track of, and then given back by a person; the gateway says that it was paid.
async fn given_back_and_paid(coffer: &Instance) -> (String, String, String) {
    let (user, gateway) = rich(coffer).await;
    let lost = paid_out(coffer, &user, &gateway, Reply::status(500)).await;
    let path = format!("/withdrawals/{}", lost.id());
    let found = json!({ "outcome": "failed", "reason": "the provider has none" });
    coffer.key().post(&format!("{path}/reconcile"), found).await.expect(200);
    assert_eq!(available(coffer, &user).await, "100.00");
    let spent = json!({ "amount": "95.00", "currency": "USD", "from": user, "to": "house:adjustment", "reason": "spent" });
    coffer.key().post("/transfers", spent).await.expect(201);
    coffer.new_events();
    let paid = payout("po_1", "paid", Some(lost.id()));
    tell(coffer, &gateway, &event("evt_1", &paid)).await.expect(200);
    assert_eq!(coffer.new_events(), ["payout.reported", "withdrawal.conflicted", "user.frozen"]);
    tell(coffer, &gateway, &event("evt_2", &paid)).await.expect(200);
    assert_eq!(coffer.new_events(), ["payout.reported"], "once for the same words");
    assert_eq!(status(coffer, lost.id()).await, "failed", "it is not believed against a person");
    let seen = conflicted(coffer).await;
    assert_eq!(seen[0]["conflict"]["reason"], "The gateway paid it out as po_1");
    (user, gateway, path)
}

/// It was written to the log once, and to nothing else.
#[tokio::test]
async fn two_people_find_out_what_a_gateway_says_against_a_person() {
    let coffer = Instance::start().await;
    let (user, _, path) = given_back_and_paid(&coffer).await;
    let (first, second) = (coffer.key(), another_key(&coffer).await);
    coffer.new_events();
    let resolve = format!("{path}/resolve");
    let says = |truth: &str| json!({ "truth": truth, "reason": "on the statement" });
    let proposed = decide(&first, &resolve, says("not_paid")).await.expect(200);
    let mut blind = says("not_paid");
    blind["revision"] = json!(1);
    second.post(&resolve, blind).await.refused(409, "revision_stale");
    assert_eq!(proposed.body["conflict"]["truth"], "not_paid");
    decide(&second, &resolve, says("paid")).await.expect(200);
    let again = decide(&second, &resolve, says("paid")).await.expect(200);
    assert_eq!((&again.body["status"], &again.body["conflict"]["truth"]), (&json!("failed"), &json!("paid")));
    assert_eq!(coffer.new_events(), [""; 0], "nobody decides alone");
    let done = decide(&first, &resolve, says("paid")).await.expect(200);
    assert_eq!((&done.body["status"], &done.body["reference"]), (&json!("completed"), &json!("po_1")));
    assert_eq!(done.body["conflict"], Value::Null);
    assert_eq!(coffer.new_events(), ["transaction.created", "withdrawal.found_paid"]);
    assert_eq!(available(&coffer, &user).await, "-15.00", "it is gone, whether or not it was there");
    assert_eq!(conflicted(&coffer).await, [] as [Value; 0]);
    let refused = decide(&second, &resolve, says("paid")).await.refused(409, "invalid_state_transition");
    assert_eq!(refused.body["current_status"], "completed");
    let numbers = coffer.key().get("/dashboard/statistics").await.expect(200).body;
    let volume = |metric: &str| {
        let rows = numbers["volumes"].as_array().unwrap().iter();
        let mut rows = rows.filter(|it| it["metric"] == metric && it["currency"] == "USD");
        rows.next().map_or(json!(0), |it| it["count"].clone())
    };
    assert_eq!((volume("withdrawals"), volume("withdrawals_failed")), (json!(1), json!(0)));

    // The gateway was wrong: the books stay as they are.
    let coffer = Instance::start().await;
    let (user, _, path) = given_back_and_paid(&coffer).await;
    let second = another_key(&coffer).await;
    coffer.new_events();
    for who in [coffer.key(), second] {
        decide(&who, &format!("{path}/resolve"), says("not_paid")).await.expect(200);
    }
    assert_eq!(coffer.new_events(), ["withdrawal.conflict_closed"]);
    assert_eq!(available(&coffer, &user).await, "5.00");
    assert_eq!(conflicted(&coffer).await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_a_person_completed_and_the_gateway_failed_is_not_given_back_by_itself() {
    let coffer = Instance::start().await;
    let (user, gateway) = rich(&coffer).await;
    let sent = paid_out(&coffer, &user, &gateway, json_reply(200, &payout("po_1", "in_transit", None))).await;
    let path = format!("/withdrawals/{}", sent.id());
    let arrived = json!({ "reference": "E2E-4711" });
    coffer.key().post(&format!("{path}/complete"), arrived).await.expect(200);
    coffer.new_events();
    // The same story under the gateway's own reference.
    tell(&coffer, &gateway, &event("evt_1", &payout("po_1", "paid", Some(sent.id())))).await.expect(200);
    assert_eq!(coffer.new_events(), ["payout.reported"]);
    tell(&coffer, &gateway, &event("evt_2", &payout("po_1", "failed", Some(sent.id())))).await.expect(200);
    assert_eq!(coffer.new_events(), ["payout.reported", "withdrawal.conflicted"]);
    assert_eq!(status(&coffer, sent.id()).await, "completed");
    assert_eq!(conflicted(&coffer).await.len(), 1);
    assert_eq!(available(&coffer, &user).await, "80.00");
    let says = json!({ "truth": "not_paid", "reason": "the bank has none" });
    let second = another_key(&coffer).await;
    coffer.new_events();
    for who in [coffer.key(), second] {
        decide(&who, &format!("{path}/resolve"), says.clone()).await.expect(200);
    }
    assert_eq!(coffer.new_events(), ["transaction.created", "withdrawal.found_unpaid"]);
    assert_eq!(status(&coffer, sent.id()).await, "failed");
    assert_eq!(available(&coffer, &user).await, "100.00");

    // Another amount than was to be paid.
    let sent = paid_out(&coffer, &user, &gateway, json_reply(200, &payout("po_2", "paid", None))).await;
    assert_eq!(sent.body["status"], "completed");
    let mut other = payout("po_2", "paid", Some(sent.id()));
    other["amount"] = json!(2100);
    tell(&coffer, &gateway, &event("evt_3", &other)).await.expect(200);
    let seen = conflicted(&coffer).await;
    assert_eq!(seen[0]["conflict"]["reason"], "The gateway says paid of 2100 USD in minor units as po_2");
}
