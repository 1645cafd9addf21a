//! The main job, from end to end: money comes in, is booked, and goes out; and the same under pressure.

use std::sync::Arc;

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::{
    pricing::charge,
    withdrawal::{cash_out, credit, person},
};

async fn balance(coffer: &Instance, user: &str) -> Value {
    let balance = coffer.key().get(&format!("/balances/USD?user_id={user}")).await.expect(200);
    json!([balance.body["total"], balance.body["available"], balance.body["held"]])
}

/// A deposit through the manual gateway, from the wish to the money.
async fn deposit(coffer: &Instance, user: &str, amount: &str, reference: &str) {
    let key = coffer.key();
    let body = json!({ "amount": amount, "currency": "USD", "user_id": user });
    let funding = key.post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap();
    let gateway = json!({ "gateway_id": coffer.credentials().manual_gateway });
    let attempt = key.post(&format!("/payments/{payment}/initiate"), gateway).await.expect(200);
    assert!(
        attempt.body.to_string().contains(payment),
        "the instructions name the payment: {}",
        attempt.body
    );
    let paid = json!({ "reference": reference, "amount": amount, "currency": "USD", "reason": "statement of 2 January" });
    key.post(&format!("/payments/{payment}/mark-paid"), paid).await.expect(200);
    let funding = key.get(&format!("/fundings/{}", funding.id())).await.expect(200);
    assert_eq!(funding.body["status"], "completed");
}

#[tokio::test]
async fn money_comes_in_is_booked_and_goes_out() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    charge(&coffer, "withdrawal", json!({ "fixed": "1.00" })).await;
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let ann = key.post("/users", ann).await.expect(201).id().to_owned();
    let (_, sue) = person(&coffer, "sue", &["moderator"]).await;

    deposit(&coffer, &ann, "1000.00", "BANK-1").await;
    assert_eq!(balance(&coffer, &ann).await, json!(["1000.00", "1000.00", "0.00"]));

    // Small: approved by the rules, held with its fee, paid out by the sandbox.
    let small = key.post("/withdrawals", cash_out(&ann, "200.00")).await.expect(201);
    assert_eq!((&small.body["status"], &small.body["fee"]), (&json!("approved"), &json!("1.00")));
    assert_eq!(balance(&coffer, &ann).await, json!(["1000.00", "799.00", "201.00"]));
    let sandbox = json!({ "gateway_id": coffer.credentials().sandbox_gateway });
    let path = format!("/withdrawals/{}", small.id());
    let done = key.post(&format!("{path}/process"), sandbox.clone()).await.expect(200);
    assert_eq!(done.body["status"], "completed");
    assert_eq!(balance(&coffer, &ann).await, json!(["799.00", "799.00", "0.00"]));

    // Large: waits for a second person, who is not whoever asked for it.
    deposit(&coffer, &ann, "1000.00", "BANK-2").await;
    let large = key.post("/withdrawals", cash_out(&ann, "1500.00")).await.expect(201);
    assert_eq!(large.body["status"], "pending_review");
    assert_eq!(balance(&coffer, &ann).await, json!(["1799.00", "298.00", "1501.00"]));
    let path = format!("/withdrawals/{}", large.id());
    let vote = json!({ "revision": large.body["revision"] });
    key.post(&format!("{path}/process"), sandbox.clone()).await.refused(409, "invalid_state_transition");
    key.post(&format!("{path}/approve"), vote.clone()).await.refused(403, "self_approval");
    let approved = sue.post(&format!("{path}/approve"), vote).await.expect(200);
    assert_eq!(approved.body["status"], "approved");
    let done = sue.post(&format!("{path}/process"), sandbox).await.expect(200);
    assert_eq!(done.body["status"], "completed");
    assert_eq!(balance(&coffer, &ann).await, json!(["298.00", "298.00", "0.00"]));

    // The statement adds up, and the books prove themselves.
    let statement =
        key.get(&format!("/balances/statement?user_id={ann}&currency=USD&limit=100")).await.expect(200);
    let cents = |text: &Value| text.as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    let lines = statement.body["data"].as_array().unwrap();
    let moved: i64 = lines.iter().map(|it| cents(&it["amount"])).sum();
    assert_eq!(cents(&statement.body["opening"]) + moved, cents(&statement.body["closing"]));
    assert_eq!(statement.body["closing"], "298.00");
    assert_eq!(lines[0]["balance"], "298.00");
    let records = key.get(&format!("/transactions?user_id={ann}&limit=100")).await.expect(200);
    let mut sum = 0;
    for record in records.body["data"].as_array().unwrap() {
        assert_eq!(record["status"], "completed", "{record}");
        let sign = if record["entry_type"] == "credit" { 1 } else { -1 };
        sum += sign * cents(&record["amount"]);
    }
    assert_eq!(sum, 29_800, "what the user is shown sums to what the user has");
    assert_eq!(key.get("/ledger/verify").await.expect(200).body["ok"], true);
}

#[tokio::test]
async fn of_200_withdrawals_of_everything_one_is_accepted() {
    let coffer = Arc::new(Instance::start().await);
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let answers = at_once(&coffer, 200, |coffer, _| {
        let ann = ann.clone();
        async move { coffer.key().post("/withdrawals", cash_out(&ann, "100.00")).await }
    })
    .await;
    let accepted = answers.iter().filter(|it| it.status == 201).count();
    let refused = answers.iter().filter(|it| (it.status, it.code()) == (422, "insufficient_funds")).count();
    assert_eq!((accepted, refused), (1, 199));
    assert_eq!(balance(&coffer, &ann).await, json!(["100.00", "0.00", "100.00"]));
}

#[tokio::test]
async fn of_100_repeats_of_one_key_one_has_an_effect_and_all_get_its_answer() {
    let coffer = Arc::new(Instance::start().await);
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "1000.00").await;
    coffer.new_events();
    let answers = at_once(&coffer, 100, |coffer, _| {
        let ann = ann.clone();
        async move { coffer.key().idempotent("once").post("/withdrawals", cash_out(&ann, "10.00")).await }
    })
    .await;
    assert!(answers.iter().all(|it| it.status == 201 && it.body == answers[0].body));
    let first = answers.iter().filter(|it| !it.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(first, 1);
    assert_eq!(balance(&coffer, &ann).await, json!(["1000.00", "990.00", "10.00"]));
    let requested = coffer.new_events().into_iter().filter(|it| it == "withdrawal.requested").count();
    assert_eq!(requested, 1);
}

#[tokio::test]
async fn of_50_calls_to_process_one_reaches_the_gateway() {
    let coffer = Arc::new(Instance::start().await);
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let made = coffer.key().post("/withdrawals", cash_out(&ann, "50.00")).await.expect(201);
    coffer.new_events();
    let path = format!("/withdrawals/{}/process", made.id());
    let answers = at_once(&coffer, 50, |coffer, _| {
        let path = path.clone();
        async move { coffer.key().post(&path, json!({})).await }
    })
    .await;
    assert!(answers.iter().all(|it| matches!(it.status, 200 | 409)));
    let events = coffer.new_events();
    let asked = events.iter().filter(|it| *it == "withdrawal.processing").count();
    assert_eq!(asked, 1, "{events:?}");
}

/// Sends `count` requests at the same time.
async fn at_once<F, R>(coffer: &Arc<Instance>, count: usize, request: F) -> Vec<Answer>
where
    F: Fn(Arc<Instance>, usize) -> R,
    R: Future<Output = Answer> + Send + 'static,
{
    let running: Vec<_> = (0..count).map(|number| tokio::spawn(request(coffer.clone(), number))).collect();
    let mut answers = vec![];
    for one in running {
        answers.push(one.await.unwrap());
    }
    answers
}
