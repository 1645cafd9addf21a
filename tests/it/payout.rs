//! Payouts: what gateways tell of them by themselves, and what they answer when they are asked.

use std::time::Duration;

use coffer::testing::{Answer, Instance, Reply};
use serde_json::{Value, json};

use crate::{
    gateway_http::{json_reply, provider},
    inbound::{seconds, send_raw, signature, tell},
    payment::{available, charge, initiate, user},
};

/// A user with 100.00, and a gateway over HTTP.
async fn rich(coffer: &Instance) -> (String, String) {
    let user = user(coffer, "ann").await;
    let payment = charge(coffer, &user, "100.00").await;
    initiate(coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    (user, provider(coffer, "card", json!({})).await)
}

fn payout(id: &str, status: &str, withdrawal: Option<&str>) -> Value {
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

fn event(id: &str, object: &Value) -> Value {
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
