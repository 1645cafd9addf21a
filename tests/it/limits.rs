//! How much a user may put in and take out.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::withdrawal::{cash_out, credit, person};

const HOUR: Duration = Duration::from_secs(3600);

fn withdrawals(more: Value) -> Value {
    let mut body = json!({ "operation": "withdrawal", "currency": "USD" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Used and left of a window of the first rule that is shown.
async fn usage(caller: &Http, path: &str, window: usize) -> (String, Value) {
    let usage = caller.get(path).await.expect(200);
    let shown = &usage.body["data"][0]["windows"][window];
    (shown["used"].as_str().unwrap().to_owned(), shown["left"].clone())
}

/// Decides over a looser rule as it waits now.
async fn decide(by: &Http, verb: &str, mut which: Value) -> Answer {
    let waiting = by.get("/limits/proposed").await.expect(200).body["data"].clone();
    let is_it = |it: &&Value| ["operation", "currency", "tier"].iter().all(|field| it[field] == which[field]);
    let found = waiting.as_array().unwrap().iter().find(is_it);
    which["revision"] = found.map_or(json!(1), |it| it["proposed"]["revision"].clone());
    by.post(&format!("/limits/{verb}"), which).await
}

/// A key asks for a looser rule, an operator agrees.
async fn loosen(coffer: &Instance, rule: Value) {
    let which = json!({ "operation": rule["operation"], "currency": rule["currency"], "tier": rule["tier"] });
    coffer.key().put("/limits", 1, rule).await.expect(200);
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    decide(&operator, "approve", which).await.expect(200);
}

#[tokio::test]
async fn one_person_tightens_a_limit_and_two_loosen_it() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    credit(&coffer, &ann, "900.00").await;
    let key = coffer.key();
    let which = json!({ "operation": "withdrawal", "currency": "USD" });
    decide(&key, "approve", which.clone()).await.refused(409, "nothing_proposed");
    let set = key.put("/limits", 1, withdrawals(json!({ "max": "100.00" }))).await.expect(200);
    assert_eq!((&set.body["max"], &set.body["proposed"]), (&json!("100.00"), &Value::Null));
    for looser in [json!({}), json!({ "max": "100.01" }), json!({ "max": "100.01", "min": "50.00" })] {
        let asked = key.put("/limits", 1, withdrawals(looser)).await.expect(200);
        assert_eq!((&asked.body["max"], &asked.body["version"]), (&json!("100.00"), &json!(1)));
        key.post("/withdrawals", cash_out(&ann, "100.01")).await.refused(422, "above_limit");
    }
    let listed = key.get("/limits").await.expect(200);
    assert_eq!(listed.body["data"][0]["proposed"]["max"], "100.01");

    // Nobody agrees with themselves, through whatever key; somebody else does.
    let made = json!({ "name": "mine", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let made = key.post("/api-keys", made).await.expect(201);
    let made = coffer.with(made.body["secret_key"].as_str().unwrap());
    for same in [&key, &made] {
        decide(same, "approve", which.clone()).await.refused(403, "self_approval");
    }
    let agreed = decide(&boss, "approve", which.clone()).await.expect(200);
    assert_eq!((&agreed.body["max"], &agreed.body["min"]), (&json!("100.01"), &json!("50.00")));
    key.post("/withdrawals", cash_out(&ann, "100.01")).await.expect(201);
    decide(&boss, "approve", which.clone()).await.refused(409, "nothing_proposed");

    // A tier's first rule that lets more through than the one for all is looser too.
    let gold = json!({ "operation": "withdrawal", "currency": "USD", "tier": "gold" });
    let asked =
        key.put("/limits", 1, withdrawals(json!({ "tier": "gold", "max": "500.00" }))).await.expect(200);
    assert_eq!((&asked.body["max"], &asked.body["version"]), (&json!("100.01"), &json!(0)));
    let waiting = key.get("/limits/proposed").await.expect(200);
    assert_eq!(waiting.body["data"][0]["proposed"]["max"], "500.00");
    assert_eq!(decide(&boss, "approve", gold).await.expect(200).body["max"], "500.00");

    // What waits is forgotten when somebody drops it, or tightens.
    key.put("/limits", 1, withdrawals(json!({}))).await.expect(200);
    decide(&key, "reject", which.clone()).await.expect(200);
    key.put("/limits", 1, withdrawals(json!({}))).await.expect(200);
    key.put("/limits", 1, withdrawals(json!({ "max": "10.00", "min": "50.00" })))
        .await
        .refused(422, "out_of_range");
    key.put("/limits", 1, withdrawals(json!({ "max": "60.00", "min": "50.00" }))).await.expect(200);
    decide(&boss, "approve", which).await.refused(409, "nothing_proposed");
    assert_eq!(key.get("/limits/proposed").await.expect(200).body["data"], json!([]));

    // So is what a tier was to have, when the rule for all is tightened: it once came into force all the same.
    let silver = json!({ "operation": "withdrawal", "currency": "USD", "tier": "silver" });
    key.put("/limits", 1, withdrawals(json!({ "tier": "silver", "max": "900.00" }))).await.expect(200);
    key.put("/limits", 1, withdrawals(json!({ "max": "55.00", "min": "50.00" }))).await.expect(200);
    decide(&boss, "approve", silver).await.refused(409, "nothing_proposed");
}

#[tokio::test]
async fn pending_withdrawals_count_and_failed_ones_do_not() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    let key = coffer.key();
    key.post("/withdrawals", cash_out(&ann, "100.00")).await.expect(201); // Before there was a limit: it counts.
    let limits = json!({ "min": "20.00", "max": "400.00", "per_24h": "500.00", "per_30d": "900.00" });
    let set = key.put("/limits", 1, withdrawals(limits)).await.expect(200);
    assert_eq!((&set.body["per_24h"], &set.body["version"]), (&json!("500.00"), &json!(1)));
    key.post("/withdrawals", cash_out(&ann, "19.99")).await.refused(422, "below_limit");
    key.post("/withdrawals", cash_out(&ann, "400.01")).await.refused(422, "above_limit");
    let full = key.post("/withdrawals", cash_out(&ann, "400.00")).await.expect(201);
    let refused = key.post("/withdrawals", cash_out(&ann, "20.00")).await.refused(422, "limit_reached");
    assert_eq!((&refused.body["window"], &refused.body["used"]), (&json!("24h"), &json!("500.00")));
    assert_eq!(usage(&session, "/limits/usage", 0).await, ("500.00".into(), json!("0.00")));

    key.post(&format!("/withdrawals/{}/cancel", full.id()), json!({})).await.expect(200);
    assert_eq!(usage(&session, "/limits/usage", 0).await, ("100.00".into(), json!("400.00")));
    key.post("/withdrawals", cash_out(&ann, "400.00")).await.expect(201);
    session.put("/limits", 1, withdrawals(json!({}))).await.refused(403, "forbidden");
    let listed = key.get("/limits").await.expect(200);
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 1);

    // Lowered below what was used: what was done stays, what is new is refused. Then off.
    let lower = json!({ "min": "20.00", "max": "400.00", "per_24h": "1.00", "per_30d": "900.00" });
    key.put("/limits", 1, withdrawals(lower)).await.expect(200);
    assert_eq!(usage(&session, "/limits/usage", 0).await, ("500.00".into(), json!("0.00")));
    key.post("/withdrawals", cash_out(&ann, "20.00")).await.refused(422, "limit_reached");
    loosen(&coffer, withdrawals(json!({}))).await;
    assert_eq!(usage(&session, "/limits/usage", 0).await, ("500.00".into(), Value::Null));
    key.post("/withdrawals", cash_out(&ann, "600.00")).await.expect(201);
}

#[tokio::test]
async fn windows_roll_to_the_instant() {
    let coffer = Instance::builder().clock_at("2026-03-01T18:00:00Z").start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    let key = coffer.key();
    let limits = json!({ "per_24h": "100.00", "per_30d": "150.00" });
    key.put("/limits", 1, withdrawals(limits)).await.expect(200);
    let path = format!("/limits/usage?user_id={ann}");
    key.post("/withdrawals", cash_out(&ann, "60.00")).await.expect(201);
    coffer.move_clock(10 * HOUR);
    key.post("/withdrawals", cash_out(&ann, "40.00")).await.expect(201);
    assert_eq!(usage(&key, &path, 0).await.0, "100.00");
    coffer.move_clock(13 * HOUR);
    assert_eq!(usage(&key, &path, 0).await.0, "100.00");
    key.post("/withdrawals", cash_out(&ann, "50.00")).await.refused(422, "limit_reached");
    coffer.move_clock(HOUR + Duration::from_secs(60));
    assert_eq!(usage(&key, &path, 0).await, ("40.00".into(), json!("60.00")));
    key.post("/withdrawals", cash_out(&ann, "50.00")).await.expect(201);
    assert_eq!(usage(&key, &path, 1).await, ("150.00".into(), json!("0.00")));
    coffer.move_clock(24 * HOUR);
    let refused = key.post("/withdrawals", cash_out(&ann, "10.00")).await.refused(422, "limit_reached");
    assert_eq!(refused.body["window"], "30d");
    coffer.move_clock(28 * 24 * HOUR);
    assert_eq!(usage(&key, &path, 1).await, ("90.00".into(), json!("60.00")));
    coffer.move_clock(40 * 24 * HOUR);
    assert_eq!(usage(&key, &path, 1).await.0, "0.00");
    key.post("/withdrawals", cash_out(&ann, "10.00")).await.expect(201);
}

#[tokio::test]
async fn a_tier_has_its_own_rule_and_other_currencies_and_users_are_apart() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "900.00").await;
    credit(&coffer, &bob, "900.00").await;
    let key = coffer.key();
    key.put("/limits", 1, withdrawals(json!({ "per_24h": "100.00" }))).await.expect(200);
    loosen(&coffer, withdrawals(json!({ "tier": "gold", "per_24h": "300.00" }))).await;
    crate::support::give_tier(&coffer, &bob, "gold").await;
    key.post("/withdrawals", cash_out(&ann, "100.01")).await.refused(422, "limit_reached");
    key.post("/withdrawals", cash_out(&bob, "300.00")).await.expect(201);
    key.post("/withdrawals", cash_out(&ann, "100.00")).await.expect(201);
    let wrong = withdrawals(json!({ "min": "2.00", "max": "1.00" }));
    key.put("/limits", 1, wrong).await.refused(422, "out_of_range");
}

#[tokio::test]
async fn deposits_have_limits_and_canceled_ones_do_not_count() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let limit = json!({ "operation": "funding", "currency": "USD", "per_24h": "100.00" });
    coffer.key().put("/limits", 1, limit).await.expect(200);
    let deposit = |amount: &str| json!({ "amount": amount, "currency": "USD" });
    let first = session.post("/fundings", deposit("80.00")).await.expect(201);
    session.post("/fundings", deposit("21.00")).await.refused(422, "limit_reached");
    session.post(&format!("/fundings/{}/cancel", first.id()), json!({})).await.expect(200);
    session.post("/fundings", deposit("100.00")).await.expect(201);
    let path = format!("/limits/usage?user_id={ann}");
    assert_eq!(usage(&coffer.key(), &path, 0).await.0, "100.00");
}

/// Ten were asked for and a thousand came: the limit once counted ten.
#[tokio::test]
async fn of_a_deposit_what_came_counts_from_when_it_came() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let limit = json!({ "operation": "funding", "currency": "USD", "max": "100.00", "per_24h": "150.00" });
    key.put("/limits", 1, limit).await.expect(200);
    let path = format!("/limits/usage?user_id={ann}");
    let ask = async |amount: &str| {
        let body = json!({ "amount": amount, "currency": "USD", "user_id": ann });
        key.post("/fundings", body).await
    };
    let pay = async |funding: &Answer, amount: &str| {
        let payment = funding.body["payment_id"].as_str().unwrap().to_owned();
        crate::payment::initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
        crate::payment::mark_paid(&coffer, &payment, &format!("bank-{payment}"), amount).await.expect(200)
    };
    let asked = ask("10.00").await.expect(201);
    assert_eq!(usage(&key, &path, 0).await, ("10.00".into(), json!("140.00")));
    coffer.move_clock(23 * HOUR);

    // It is there: all of it is credited, and marked; nothing more is taken until it is past.
    assert_eq!(pay(&asked, "1000.00").await.body["paid_state"], "over");
    let funding = key.get(&format!("/fundings/{}", asked.id())).await.expect(200);
    assert_eq!(
        (&funding.body["status"], &funding.body["credit_amount"]),
        (&json!("completed"), &json!("1000.00"))
    );
    assert_eq!(usage(&key, &path, 0).await, ("1000.00".into(), json!("0.00")));
    ask("0.01").await.refused(422, "limit_reached");
    coffer.move_clock(23 * HOUR);
    ask("0.01").await.refused(422, "limit_reached");
    coffer.move_clock(HOUR);
    assert_eq!(usage(&key, &path, 0).await.0, "0.00");
    assert_eq!(usage(&key, &path, 1).await.0, "1000.00");

    // Of what came in part, the part counts, once nothing more is waited for.
    let asked = ask("100.00").await.expect(201);
    pay(&asked, "30.00").await;
    assert_eq!(usage(&key, &path, 0).await.0, "100.00");
    coffer.advance(24 * HOUR).await;
    assert_eq!(usage(&key, &path, 0).await, ("30.00".into(), json!("120.00")));
    // With the fee on top as without one, what was asked for and comes counts once.
    let fee = json!({ "name": "f", "operation": "funding", "currency": "USD", "fixed": "1.00" });
    key.post("/fees", fee).await.expect(201);
    let asked = ask("20.00").await.expect(201);
    pay(&asked, "21.00").await;
    assert_eq!(usage(&key, &path, 0).await.0, "50.00");
}

#[tokio::test]
async fn of_forty_parallel_withdrawals_exactly_those_within_the_limit_are_accepted() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    let key = coffer.key();
    key.put("/limits", 1, withdrawals(json!({ "per_24h": "500.00" }))).await.expect(200);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (key, body) = (coffer.key(), cash_out(&ann, "70.00"));
        asked.spawn(async move { key.post("/withdrawals", body).await.status });
    }
    let answers = asked.join_all().await;
    assert_eq!(answers.iter().filter(|it| **it == 201).count(), 7);
    assert_eq!(answers.iter().filter(|it| **it == 422).count(), 33);
    let path = format!("/limits/usage?user_id={ann}");
    assert_eq!(usage(&key, &path, 0).await, ("490.00".into(), json!("10.00")));
}
