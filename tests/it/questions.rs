//! The questions every ledger must decide, and how this one does: a test a row of the table in the specification.

use std::{sync::Arc, time::Duration};

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

/// A user with this much USD.
async fn user_with(coffer: &Instance, name: &str, amount: &str) -> String {
    let user = json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "T" });
    let user = coffer.key().post("/users", user).await.expect(201).id().to_owned();
    if amount != "0" {
        let credit = json!({ "amount": amount, "currency": "USD", "from": "house:adjustment", "to": user, "reason": "test" });
        coffer.key().post("/transfers", credit).await.expect(201);
    }
    user
}

fn transfer(amount: impl Into<Value>, from: &str, to: &str) -> Value {
    json!({ "amount": amount.into(), "currency": "USD", "from": from, "to": to })
}

async fn available(coffer: &Instance, user: &str) -> String {
    let balance = coffer.key().get(&format!("/balances/USD?user_id={user}")).await.expect(200);
    balance.body["available"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_malformed_amount_is_refused_and_changes_nothing() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    coffer.new_events();
    let too_long = "1".repeat(65);
    let cases: Vec<(Value, &str)> = vec![
        (json!(1), "amount_format"),
        (json!(1.5), "amount_format"),
        (json!(null), "amount_format"),
        (json!(true), "amount_format"),
        (json!(["1"]), "amount_format"),
        (json!({ "value": "1" }), "amount_format"),
        (json!(""), "amount_format"),
        (json!(" 1"), "amount_format"),
        (json!("1 "), "amount_format"),
        (json!("+1"), "amount_format"),
        (json!("-1"), "amount_format"),
        (json!("01"), "amount_format"),
        (json!(".5"), "amount_format"),
        (json!("1."), "amount_format"),
        (json!("1e3"), "amount_format"),
        (json!("1,000"), "amount_format"),
        (json!("1_0"), "amount_format"),
        (json!("0x10"), "amount_format"),
        (json!("NaN"), "amount_format"),
        (json!("Infinity"), "amount_format"),
        (json!("١"), "amount_format"),
        (json!("１"), "amount_format"),
        (json!("1\u{0}"), "amount_format"),
        (json!(too_long), "amount_format"),
        (json!(format!("{}.001", "9".repeat(50))), "amount_too_large"),
        (json!("1.001"), "amount_scale"),
        (json!("0.000"), "amount_scale"),
        (json!("0"), "amount_not_positive"),
        (json!("0.00"), "amount_not_positive"),
    ];
    for (amount, code) in cases {
        let answer = coffer.key().post("/transfers", transfer(amount.clone(), &a, &b)).await;
        assert_eq!((answer.status, answer.code()), (422, code), "{amount}: {}", answer.body);
        assert_eq!(answer.body["param"], "amount", "{amount}");
        assert_eq!(answer.body["errors"][0]["param"], "amount", "{amount}");
    }
    assert_eq!(available(&coffer, &a).await, "10.00");
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "a refusal announces nothing");
}

#[tokio::test]
async fn everything_wrong_with_a_request_is_named_at_once() {
    let coffer = Instance::start().await;
    let body = json!({ "amount": 5, "currency": "usd", "from": "nobody", "hold": "yes", "colour": "red" });
    let answer = coffer.key().post("/transfers", body).await;
    assert_eq!(answer.status, 422);
    let flawed: Vec<&str> =
        answer.body["errors"].as_array().unwrap().iter().map(|it| it["param"].as_str().unwrap()).collect();
    for param in ["amount", "currency", "to", "hold", "colour"] {
        assert!(flawed.contains(&param), "{param} in {flawed:?}");
    }
    coffer.key().get("/transactions?colour=red").await.refused(422, "unknown_field");
    coffer.key().get("/transactions?limit=0").await.refused(422, "out_of_range");
    coffer.key().get("/transactions?limit=101").await.refused(422, "out_of_range");
    coffer.key().get("/transactions?cursor=x").await.refused(422, "invalid_format");
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_refused() {
    let coffer = Instance::start().await;
    let send = async |body: &str, kind: &str| -> Answer {
        let key = coffer.key().idempotent("x").header("content-type", kind);
        key.send(hyper::Method::POST, "/transfers", Some(body.to_owned())).await
    };
    send("{", "application/json").await.refused(400, "malformed");
    send("[]", "application/json").await.refused(422, "invalid_type");
    send("\"x\"", "application/json").await.refused(422, "invalid_type");
    send("{}", "text/plain").await.refused(415, "unsupported_media_type");
    send(&"[".repeat(100_000), "application/json").await.refused(400, "malformed");
    let large = format!("{{\"reason\":\"{}\"}}", "x".repeat(2_000_000));
    send(&large, "application/json").await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn a_transfer_to_oneself_is_refused() {
    let coffer = Instance::start().await;
    let a = user_with(&coffer, "a", "10.00").await;
    coffer.key().post("/transfers", transfer("1.00", &a, &a)).await.refused(422, "same_account");
}

#[tokio::test]
async fn a_pending_credit_cannot_be_spent() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    let mut hold = transfer("5.00", &a, &b);
    hold["hold"] = true.into();
    coffer.key().post("/transfers", hold).await.expect(201);
    coffer.key().post("/transfers", transfer("1.00", &b, &a)).await.refused(422, "insufficient_funds");
}

#[tokio::test]
async fn a_capture_at_the_instant_of_expiry_is_too_late() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    let hold = |seconds: u64| {
        let mut hold = transfer("1.00", &a, &b);
        hold["hold"] = true.into();
        hold["expires_in_s"] = seconds.into();
        hold
    };
    let early = coffer.key().post("/transfers", hold(61)).await.expect(201).id().to_owned();
    let late = coffer.key().post("/transfers", hold(60)).await.expect(201).id().to_owned();
    coffer.advance(Duration::from_secs(60)).await;
    coffer.key().post(&format!("/transfers/{early}/capture"), json!({})).await.expect(200);
    let answer = coffer.key().post(&format!("/transfers/{late}/capture"), json!({})).await;
    answer.refused(409, "invalid_state_transition");
    assert_eq!(available(&coffer, &a).await, "9.00", "what expired came back");
}

#[tokio::test]
async fn a_stored_refusal_stays_what_it_was_even_after_topping_up() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "1.00").await, user_with(&coffer, "b", "0").await);
    let key = coffer.key().idempotent("pay-1");
    let first = key.post("/transfers", transfer("5.00", &a, &b)).await.refused(422, "insufficient_funds");
    let credit = json!({ "amount": "100.00", "currency": "USD", "from": "house:adjustment", "to": a, "reason": "top up" });
    coffer.key().post("/transfers", credit).await.expect(201);
    let again = key.post("/transfers", transfer("5.00", &a, &b)).await.refused(422, "insufficient_funds");
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    coffer.key().idempotent("pay-2").post("/transfers", transfer("5.00", &a, &b)).await.expect(201);
}

#[tokio::test]
async fn a_validation_error_is_not_stored() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    let key = coffer.key().idempotent("once");
    key.post("/transfers", transfer("1.001", &a, &b)).await.refused(422, "amount_scale");
    key.post("/transfers", transfer("1.00", &a, &b)).await.expect(201);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused_and_the_first_outcome_stands() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    let key = coffer.key().idempotent("same");
    let first = key.post("/transfers", transfer("1.00", &a, &b)).await.expect(201);
    key.post("/transfers", transfer("2.00", &a, &b)).await.refused(422, "idempotency_key_reused");
    // The same by meaning: other order, other spaces.
    let text = format!(r#" {{ "to": "{b}", "from":"{a}",   "currency":"USD", "amount":"1.00" }} "#);
    let again = key.send(hyper::Method::POST, "/transfers", Some(text)).await.expect(201);
    assert_eq!(again.body, first.body);
    assert_eq!(available(&coffer, &a).await, "9.00");
    // Another path is another scope.
    let user = json!({ "email": "c@example.com", "first_name": "C", "last_name": "T" });
    key.post("/users", user).await.expect(201);
}

#[tokio::test]
async fn a_money_command_without_a_key_is_refused() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    let send = async |key: Option<&str>| {
        let http = key.map_or_else(|| coffer.key(), |it| coffer.key().idempotent(it));
        http.send(hyper::Method::POST, "/transfers", Some(transfer("1.00", &a, &b).to_string())).await
    };
    send(None).await.refused(400, "idempotency_key_required");
    send(Some(&"k".repeat(256))).await.refused(400, "malformed");
    send(Some("with space")).await.refused(400, "malformed");
    send(Some(&"k".repeat(255))).await.expect(201);
}

#[tokio::test]
async fn a_second_capture_or_void_is_refused_by_name_of_the_state() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    for (verb, state) in [("capture", "captured"), ("void", "voided")] {
        let mut hold = transfer("1.00", &a, &b);
        hold["hold"] = true.into();
        let id = coffer.key().post("/transfers", hold).await.expect(201).id().to_owned();
        let path = format!("/transfers/{id}/{verb}");
        let first = coffer.key().idempotent(verb).post(&path, json!({})).await.expect(200);
        let replay = coffer.key().idempotent(verb).post(&path, json!({})).await.expect(200);
        assert_eq!(replay.body, first.body);
        let again = coffer.key().post(&path, json!({})).await.refused(409, "invalid_state_transition");
        let status = again.body["current_status"].as_str().unwrap();
        assert_eq!(status, first.body["status"], "{state}");
        assert!(again.body["allowed_events"].is_array());
    }
}

#[tokio::test]
async fn a_frozen_user_pays_nothing_and_still_receives() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "5.00").await);
    let mut hold = transfer("2.00", &a, &b);
    hold["hold"] = true.into();
    hold["expires_in_s"] = 60.into();
    coffer.key().post("/transfers", hold.clone()).await.expect(201);
    let to_void = coffer.key().post("/transfers", hold).await.expect(201).id().to_owned();
    coffer.key().post(&format!("/users/{a}/freeze"), json!({ "reason": "test" })).await.expect(200);
    coffer.key().post("/transfers", transfer("1.00", &a, &b)).await.refused(422, "user_not_active");
    coffer.key().post("/transfers", transfer("1.00", &b, &a)).await.expect(201);
    coffer.key().post(&format!("/transfers/{to_void}/void"), json!({})).await.expect(200);
    coffer.advance(Duration::from_secs(61)).await;
    assert_eq!(available(&coffer, &a).await, "11.00", "voids and expiry of holds go on");
}

#[tokio::test]
async fn an_unknown_account_and_another_clients_are_the_same_404() {
    let coffer = Instance::start().await;
    let a = user_with(&coffer, "a", "10.00").await;
    let client = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let client = coffer.operator().post("/clients", client).await.expect(201);
    let other = coffer.with(client.body["secret_key"].as_str().unwrap());
    let stranger = json!({ "email": "s@example.com", "first_name": "S", "last_name": "T" });
    let stranger = other.post("/users", stranger).await.expect(201).id().to_owned();
    let unknown = "usr_01kc000000000000000000000z".to_owned();
    let mut bodies = vec![];
    for to in [&stranger, &unknown] {
        let answer =
            coffer.key().header("x-request-id", "same").post("/transfers", transfer("1.00", &a, to)).await;
        bodies.push(answer.refused(404, "not_found").body);
    }
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn a_rehearsal_says_what_would_be_and_writes_nothing() {
    let coffer = Instance::start().await;
    let (a, b) = (user_with(&coffer, "a", "10.00").await, user_with(&coffer, "b", "0").await);
    coffer.new_events();
    let answer = coffer.key().post("/transfers?dry_run=true", transfer("1.00", &a, &b)).await.expect(200);
    assert_eq!((&answer.body["id"], &answer.body["amount"]), (&Value::Null, &json!("1.00")));
    coffer
        .key()
        .post("/transfers?dry_run=true", transfer("99.00", &a, &b))
        .await
        .refused(422, "insufficient_funds");
    assert_eq!(available(&coffer, &a).await, "10.00");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_parallel_transfers_exactly_those_succeed_that_are_covered() {
    let coffer = Arc::new(Instance::start().await);
    let (a, b) = (user_with(&coffer, "a", "100.00").await, user_with(&coffer, "b", "0").await);
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let (coffer, body) = (coffer.clone(), transfer("1.00", &a, &b));
            tokio::spawn(async move { coffer.key().post("/transfers", body).await.status })
        })
        .collect();
    let mut statuses = vec![];
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|it| **it == 201).count(), 100);
    assert_eq!(statuses.iter().filter(|it| **it == 422).count(), 900);
    assert_eq!(
        (available(&coffer, &a).await, available(&coffer, &b).await),
        ("0.00".into(), "100.00".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_repeats_of_one_key_have_one_effect_and_one_answer() {
    let coffer = Arc::new(Instance::start().await);
    let (a, b) = (user_with(&coffer, "a", "100.00").await, user_with(&coffer, "b", "0").await);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (coffer, body) = (coffer.clone(), transfer("1.00", &a, &b));
            tokio::spawn(async move {
                coffer.key().idempotent("one").post("/transfers", body).await.expect(201).body
            })
        })
        .collect();
    let mut bodies = vec![];
    for task in tasks {
        bodies.push(task.await.unwrap());
    }
    assert!(bodies.iter().all(|it| *it == bodies[0]), "equal answers");
    assert_eq!(available(&coffer, &a).await, "99.00");
}
