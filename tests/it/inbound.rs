//! What gateways tell by webhook: signed or refused, heard once, whatever order it comes in.

use std::{sync::Arc, time::Duration};

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::payment::{available, charge, initiate, show, state, suspense, user};
use crate::support::decide;

pub const SECRET: &str = "whsec_of_a_test_gateway";

/// Gives a gateway this secret to sign with.
pub async fn with_secret(coffer: &Instance, gateway: &str) {
    let version =
        coffer.key().get(&format!("/payment-gateways/{gateway}")).await.expect(200).body["version"].clone();
    let body = json!({ "credentials": { "webhook_secret": SECRET } });
    let path = format!("/payment-gateways/{gateway}");
    let changed = coffer.key().patch(&path, version.as_u64().unwrap(), body).await.expect(200);
    assert_eq!(changed.body["config"]["has_webhook_secret"], true);
    assert!(!changed.body.to_string().contains(SECRET), "it does not come out");
}

/// The header a gateway signs with at this second, as anybody would compute it.
pub fn signature(secret: &str, seconds: i64, body: &str) -> String {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{seconds}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|it| format!("{it:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

/// The second the clock of the instance stands at.
pub fn seconds(coffer: &Instance) -> i64 {
    let now: jiff::Timestamp = coffer.now().parse().unwrap();
    now.as_second()
}

pub async fn send_raw(coffer: &Instance, gateway: &str, signature: &str, body: &str) -> Answer {
    let http =
        coffer.nobody().header("gateway-signature", signature).header("content-type", "application/json");
    http.send(hyper::Method::POST, &format!("/gateways/{gateway}/webhook"), Some(body.to_owned())).await
}

/// Sends an event, signed now.
pub async fn tell(coffer: &Instance, gateway: &str, event: &Value) -> Answer {
    let body = event.to_string();
    send_raw(coffer, gateway, &signature(SECRET, seconds(coffer), &body), &body).await
}

/// An event about the last attempt of a payment.
pub fn intent(id: &str, reference: &str, status: &str, payment: &Value, amount: u64, received: u64) -> Value {
    json!({
        "id": id, "type": format!("payment_intent.{status}"), "livemode": false,
        "data": { "object": {
            "id": reference, "object": "payment_intent", "status": status, "amount": amount,
            "amount_received": received, "currency": "usd",
            "metadata": { "payment_id": payment["id"], "attempt_id": payment["attempt_id"] },
        } },
    })
}

/// A charge that is pending at the sandbox, whose secret is known.
pub async fn pending(coffer: &Instance) -> (String, String, Value) {
    let user = user(coffer, "ann").await;
    let gateway = coffer.credentials().sandbox_gateway.clone();
    with_secret(coffer, &gateway).await;
    let payment = charge(coffer, &user, "10.03").await;
    initiate(coffer, &payment, &gateway).await.expect(200);
    coffer.new_events();
    (user, gateway, show(coffer, &payment).await)
}

#[tokio::test]
async fn a_signed_event_settles_once_and_every_repeat_is_answered_the_same() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    let reference = format!("sandbox-{}", payment["attempt_id"].as_str().unwrap());
    let event = intent("evt_1", &reference, "succeeded", &payment, 1003, 1003);
    let first = tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(first.body, json!({ "object": "webhook_receipt", "received": true }));
    assert_eq!(coffer.new_events(), ["transaction.created", "payment.settled"]);
    for repeat in [&event, &intent("evt_2", &reference, "succeeded", &payment, 1003, 1003)] {
        assert_eq!(tell(&coffer, &gateway, repeat).await.expect(200).body, first.body);
    }
    // What comes late, and in the wrong order, changes nothing.
    for (id, status) in [("evt_3", "processing"), ("evt_4", "canceled"), ("evt_5", "requires_action")] {
        tell(&coffer, &gateway, &intent(id, &reference, status, &payment, 1003, 0)).await.expect(200);
    }
    coffer.advance(Duration::from_secs(3600)).await; // Nor does what it answers when it is asked.
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    let id = payment["id"].as_str().unwrap();
    assert_eq!(state(&show(&coffer, id).await), "settled none exact 10.03");
    assert_eq!(available(&coffer, &user).await, "10.03");
    assert_eq!(suspense(&coffer).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_repeats_credit_once() {
    let coffer = Arc::new(Instance::start().await);
    let (user, gateway, payment) = pending(&coffer).await;
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let (coffer, gateway, payment) = (coffer.clone(), gateway.clone(), payment.clone());
            // Half of them are the same event, half the same money under another id.
            let id = if number % 2 == 0 { "evt_1".to_owned() } else { format!("evt_{number}") };
            tokio::spawn(async move {
                tell(&coffer, &gateway, &intent(&id, "pi_1", "succeeded", &payment, 1003, 1003)).await.status
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(available(&coffer, &user).await, "10.03");
}

#[tokio::test]
async fn what_is_not_signed_as_it_should_be_is_refused_in_one_way() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    let body = intent("evt_1", "pi_1", "succeeded", &payment, 1003, 1003).to_string();
    let now = seconds(&coffer);
    let good = signature(SECRET, now, &body);
    let spaced = body.replace("\":", "\": ");
    let nobody = "gtw_01kc000000000000000000000z";
    let manual = coffer.credentials().manual_gateway.clone();
    let mut answers = vec![];
    for (gateway, header, body, why) in [
        (gateway.as_str(), signature("whsec_of_another", now, &body), &body, "another secret"),
        (&gateway, good.clone(), &spaced, "the same JSON in other bytes"),
        (&gateway, signature(SECRET, now - 301, &body), &body, "too old"),
        (&gateway, signature(SECRET, now + 301, &body), &body, "from the future"),
        (&gateway, signature(SECRET, now * 1000, &body), &body, "in milliseconds"),
        (&gateway, good.split_once(',').unwrap().1.to_owned(), &body, "without a time"),
        (&gateway, good.replace("v1=", "v0="), &body, "another scheme"),
        (&gateway, String::new(), &body, "nothing"),
        (nobody, good.clone(), &body, "a gateway there is not"),
        (&manual, good.clone(), &body, "a gateway that has no secret"),
    ] {
        let mut answer = send_raw(&coffer, gateway, &header, body).await.refused(400, "webhook_refused").body;
        answer["request_id"] = Value::Null;
        answers.push((answer, why));
    }
    assert!(answers.iter().all(|it| it.0 == answers[0].0), "no hint which check failed");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    assert_eq!(available(&coffer, &user).await, "0.00");
    // Whoever signs nonsense learns that it is.
    let signed = signature(SECRET, now, "nonsense");
    send_raw(&coffer, &gateway, &signed, "nonsense").await.refused(422, "webhook_not_understood");
    let huge = format!("\"{}\"", "a".repeat(70_000));
    send_raw(&coffer, &gateway, &signature(SECRET, now, &huge), &huge)
        .await
        .refused(413, "payload_too_large");
    // At the edge of the five minutes it is heard.
    let edge = signature(SECRET, now - 300, &body);
    send_raw(&coffer, &gateway, &edge, &body).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "10.03");
}

#[tokio::test]
async fn another_amount_or_currency_is_a_conflict_and_another_mode_is_let_pass() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    let id = payment["id"].as_str().unwrap();
    let mut live = intent("evt_live", "pi_1", "succeeded", &payment, 1003, 1003);
    live["livemode"] = true.into();
    tell(&coffer, &gateway, &live).await.expect(200);
    assert_eq!(state(&show(&coffer, id).await), "processing none none 0.00", "live money in a test client");

    let mut euros = intent("evt_eur", "pi_1", "succeeded", &payment, 1003, 1003);
    euros["data"]["object"]["currency"] = "eur".into();
    tell(&coffer, &gateway, &euros).await.expect(200);
    let conflicted = show(&coffer, id).await;
    assert_eq!(
        (&conflicted["review"], &conflicted["said"]["currency"]),
        (&json!("conflicted"), &json!("EUR"))
    );
    let refused = json!({ "decision": "credit", "reason": "why not" });
    let path = format!("/payments/{id}/resolve");
    decide(&coffer.key(), &path, refused).await.refused(422, "payment_currency_mismatch");
    let rejected = json!({ "decision": "reject", "reason": "not ours" });
    decide(&coffer.key(), &path, rejected).await.expect(200);

    let other = charge(&coffer, &user, "20.03").await;
    initiate(&coffer, &other, &gateway).await.expect(200);
    let other = show(&coffer, &other).await;
    tell(&coffer, &gateway, &intent("evt_less", "pi_2", "succeeded", &other, 2003, 2002)).await.expect(200);
    let conflicted = show(&coffer, other["id"].as_str().unwrap()).await;
    assert_eq!(state(&conflicted), "processing conflicted partial 0.00");
    assert_eq!(available(&coffer, &user).await, "0.00");
}

#[tokio::test]
async fn a_little_less_is_enough_when_the_client_tolerates_it() {
    let coffer = Instance::start().await;
    crate::payment::set(
        &coffer,
        json!({ "payment": { "tolerances": [{ "currency": "USD", "amount": "0.05" }] } }),
    )
    .await;
    let (user, gateway, payment) = pending(&coffer).await;
    tell(&coffer, &gateway, &intent("evt_1", "pi_1", "succeeded", &payment, 1003, 998)).await.expect(200);
    let settled = show(&coffer, payment["id"].as_str().unwrap()).await;
    assert_eq!(state(&settled), "settled none partial 9.98");
    assert_eq!(available(&coffer, &user).await, "9.98");
    for (received, wanted) in [(2997, "processing conflicted"), (3004, "processing conflicted")] {
        let other = charge(&coffer, &user, "30.03").await;
        initiate(&coffer, &other, &gateway).await.expect(200);
        let other = show(&coffer, &other).await;
        let event = intent(
            &format!("evt_{received}"),
            &format!("pi_{received}"),
            "succeeded",
            &other,
            3003,
            received,
        );
        tell(&coffer, &gateway, &event).await.expect(200);
        let found = state(&show(&coffer, other["id"].as_str().unwrap()).await);
        assert!(found.starts_with(wanted), "{received}: {found}");
    }
    // By hand the last cents may be missing as well.
    let manual = charge(&coffer, &user, "50.00").await;
    initiate(&coffer, &manual, &coffer.credentials().manual_gateway).await.expect(200);
    let marked = crate::payment::mark_paid(&coffer, &manual, "bank-1", "49.95").await.expect(200);
    assert_eq!(state(&marked.body), "settled none partial 49.95");
}

#[tokio::test]
async fn late_money_is_in_suspense_and_what_is_not_ours_is_let_pass() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    tell(&coffer, &gateway, &intent("evt_1", "pi_1", "canceled", &payment, 1003, 0)).await.expect(200);
    let id = payment["id"].as_str().unwrap();
    assert_eq!(show(&coffer, id).await["status"], "requires_method");
    coffer.key().post(&format!("/payments/{id}/cancel"), json!({})).await.expect(200);
    coffer.new_events();
    tell(&coffer, &gateway, &intent("evt_2", "pi_1", "succeeded", &payment, 1003, 1003)).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.late"]);
    assert_eq!(suspense(&coffer).await, [("pi_1".to_owned(), "10.03".to_owned())]);
    assert_eq!(available(&coffer, &user).await, "0.00");

    let mut stranger = intent("evt_3", "pi_9", "succeeded", &payment, 500, 500);
    stranger["data"]["object"]["metadata"] = json!({ "order": "of another system" });
    tell(&coffer, &gateway, &stranger).await.expect(200);
    let other = json!({ "id": "evt_4", "type": "customer.created", "data": { "object": {} } });
    tell(&coffer, &gateway, &other).await.expect(200);
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test]
async fn the_ids_of_events_are_forgotten_after_a_month_and_their_money_is_not() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    let event = intent("evt_1", "pi_1", "succeeded", &payment, 1003, 1003);
    tell(&coffer, &gateway, &event).await.expect(200);
    coffer.advance(Duration::from_secs(31 * 24 * 3600)).await;
    tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "10.03");
}
