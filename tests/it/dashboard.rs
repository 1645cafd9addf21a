//! The dashboard: what was counted, for whom, and over which time. Each test ends with `Instance` counting again.

use std::time::Duration;

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::support::{agree, decide};
use crate::{
    payment::{initiate, mark_paid, user},
    pricing::charge,
    withdrawal::{cash_out, credit, person, set},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A deposit that is paid.
async fn deposit(coffer: &Instance, user: &str, amount: &str, to_pay: &str) -> String {
    let body = json!({ "amount": amount, "currency": "USD", "user_id": user });
    let funding = coffer.key().post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap();
    initiate(coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
    mark_paid(coffer, payment, &format!("bank-{payment}"), to_pay).await.expect(200);
    funding.id().to_owned()
}

async fn statistics(http: &Http, query: &str) -> Value {
    http.get(&format!("/dashboard/statistics{query}")).await.expect(200).body
}

/// `count amount`, ever and in the present period, of a metric in dollars.
fn volume(statistics: &Value, metric: &str) -> String {
    let rows = statistics["volumes"].as_array().unwrap();
    let row = rows.iter().find(|it| it["metric"] == metric && it["currency"] == "USD");
    row.map_or("nothing".to_owned(), |it| {
        let text = |name: &str| it[name].as_str().unwrap();
        let (ever, present) = (text("amount"), text("period_amount"));
        format!("{} {ever}, {} {present}", it["count"], it["period_count"])
    })
}

fn waiting(statistics: &Value, queue: &str) -> i64 {
    let rows = statistics["waiting"].as_array().unwrap();
    rows.iter().find(|it| it["queue"] == queue).unwrap()["count"].as_i64().unwrap()
}

#[tokio::test]
async fn a_user_a_client_and_the_installation_see_what_happened_to_the_last_digit() {
    let coffer = Instance::start().await;
    charge(&coffer, "funding", json!({ "percent": "1.5", "fixed": "1.00" })).await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let bob = user(&coffer, "bob").await;
    let first = deposit(&coffer, &ann, "113.30", "116.00").await;
    deposit(&coffer, &bob, "0.07", "1.08").await;
    let unpaid = json!({ "amount": "5.00", "currency": "USD", "user_id": ann });
    let unpaid = coffer.key().post("/fundings", unpaid).await.expect(201);
    coffer.key().post(&format!("/fundings/{}/cancel", unpaid.id()), json!({})).await.expect(200);

    let own = statistics(&session, "").await;
    assert_eq!((&own["user_id"], &own["users"]), (&json!(ann), &Value::Null));
    assert_eq!(volume(&own, "deposits"), "1 113.30, 1 113.30");
    assert_eq!(volume(&own, "fees"), "1 2.70, 1 2.70");
    assert_eq!(volume(&own, "deposits_failed"), "1 5.00, 1 5.00");
    let holding = &own["balances"][0];
    assert_eq!((&holding["available"], &holding["fee_income"]), (&json!("113.30"), &Value::Null));

    let all = statistics(&coffer.key(), "").await;
    assert_eq!(volume(&all, "deposits"), "2 113.37, 2 113.37");
    assert_eq!(volume(&all, "fees"), "2 3.71, 2 3.71");
    assert_eq!(volume(&all, "payments"), "2 117.08, 2 117.08");
    let holding = &all["balances"][0];
    assert_eq!((&holding["total"], &holding["fee_income"]), (&json!("113.37"), &json!("3.71")));
    let rate = &all["success_rates"][0];
    assert_eq!((&rate["metric"], &rate["percent"]), (&json!("deposits"), &json!("66.66")));
    assert_eq!(all["users"]["total"], 2);

    let installation = statistics(&coffer.operator(), "").await;
    assert_eq!(installation["client_id"], Value::Null);
    assert_eq!((&installation["volumes"], &installation["balances"]), (&all["volumes"], &all["balances"]));
    assert_eq!(statistics(&coffer.key(), &format!("?user_id={ann}")).await["volumes"], own["volumes"]);

    // What is taken back takes its fee back; the deposit itself did happen.
    let reason = json!({ "reason": "the bank recalled it" });
    coffer.key().post(&format!("/fundings/{first}/reverse"), reason).await.expect(200);
    let after = statistics(&coffer.key(), "").await;
    assert_eq!(volume(&after, "deposits"), "2 113.37, 2 113.37");
    assert_eq!(volume(&after, "deposits_reversed"), "1 113.30, 1 113.30");
    assert_eq!(volume(&after, "fees"), "2 1.01, 2 1.01");
}

#[tokio::test]
async fn what_waits_for_somebody_is_counted_until_somebody_came() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    credit(&coffer, &ann, "6000.00").await;
    let made = coffer.key().post("/withdrawals", cash_out(&ann, "5000.00")).await.expect(201);
    assert_eq!(made.body["status"], "pending_review");
    assert_eq!(waiting(&statistics(&coffer.key(), "").await, "withdrawal_approvals"), 1);
    coffer.key().post(&format!("/withdrawals/{}/cancel", made.id()), json!({})).await.expect(200);
    let now = statistics(&coffer.key(), &format!("?user_id={ann}")).await;
    assert_eq!(
        (waiting(&now, "withdrawal_approvals"), volume(&now, "withdrawals_failed")),
        (0, "1 5000.00, 1 5000.00".to_owned())
    );

    // A payment of which what came does not fit.
    let body = json!({ "amount": "10.04", "currency": "USD", "user_id": ann });
    let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    assert_eq!(waiting(&statistics(&coffer.key(), "").await, "conflicted_payments"), 1);
    let body = json!({ "decision": "reject", "reason": "it is not on the statement" });
    decide(&coffer.key(), &format!("/payments/{payment}/resolve"), body).await.expect(200);
    let now = statistics(&coffer.key(), "").await;
    assert_eq!(
        (waiting(&now, "conflicted_payments"), volume(&now, "payments_failed")),
        (0, "1 10.04, 1 10.04".to_owned())
    );
}

#[tokio::test]
async fn what_others_have_to_agree_to_waits_until_they_did() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "payment": { "second_person_above": "10.00" } })).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let waits = async |queue: &str| waiting(&statistics(&coffer.key(), "").await, queue);

    let body = json!({
        "user_id": ann, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let ask = async || coffer.key().post("/adjustments", body.clone()).await.expect(201).id().to_owned();
    let (first, second) = (ask().await, ask().await);
    assert_eq!(waits("adjustment_approvals").await, 2);
    agree(&boss, &format!("/adjustments/{first}/approve")).await.expect(200);
    assert_eq!(waits("adjustment_approvals").await, 1);
    decide(&boss, &format!("/adjustments/{second}/reject"), json!({ "reason": "no" })).await.expect(200);
    assert_eq!(waits("adjustment_approvals").await, 0);

    // Agreed to, a part of it, or not.
    for (amount, verb, status) in [
        ("50.00", "approve", "settled"),
        ("20.00", "approve", "requires_action"),
        ("50.00", "reject", "requires_action"),
    ] {
        let payment = json!({ "amount": "50.00", "currency": "USD", "user_id": ann });
        let payment = coffer.key().post("/payments", payment).await.expect(201).id().to_owned();
        initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
        mark_paid(&coffer, &payment, &format!("bank-{payment}"), amount).await.expect(200);
        assert_eq!(waits("payment_approvals").await, 1, "{amount} {verb}");
        let body = if verb == "reject" { json!({ "reason": "not on the statement" }) } else { json!({}) };
        let path = format!("/payments/{payment}/mark-paid/{verb}");
        assert_eq!(decide(&boss, &path, body).await.expect(200).body["status"], status, "{amount} {verb}");
        assert_eq!(waits("payment_approvals").await, 0, "{amount} {verb}");
    }

    // A conflict about what is settled already is put away.
    let payment = json!({ "amount": "5.00", "currency": "USD", "user_id": ann });
    let payment = coffer.key().post("/payments", payment).await.expect(201).id().to_owned();
    initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    for amount in ["5.00", "6.00"] {
        mark_paid(&coffer, &payment, "bank-1", amount).await.expect(200);
    }
    assert_eq!(waits("conflicted_payments").await, 1);
    let away = json!({ "decision": "reject", "reason": "a slip of the pen" });
    decide(&boss, &format!("/payments/{payment}/resolve"), away).await.expect(200);
    assert_eq!(waits("conflicted_payments").await, 0);
}

#[tokio::test]
async fn transfers_are_counted_for_who_gave_and_who_got() {
    let coffer = Instance::start().await;
    let (ann, of_ann) = person(&coffer, "ann", &[]).await;
    let (bob, of_bob) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "100.00").await; // From the house.
    let key = coffer.key();
    let moves = |amount: &str, hold: bool| json!({ "amount": amount, "currency": "USD", "from": ann, "to": bob, "hold": hold });
    let paid = key.post("/transfers", moves("10.00", false)).await.expect(201);
    let whole = key.post("/transfers", moves("20.00", true)).await.expect(201);
    let part = key.post("/transfers", moves("30.00", true)).await.expect(201);
    let own = statistics(&of_ann, "").await;
    assert_eq!(volume(&own, "transfers_out"), "1 10.00, 1 10.00", "what is set aside has not moved");
    assert_eq!(volume(&own, "transfers_in"), "1 100.00, 1 100.00");

    key.post(&format!("/transfers/{}/capture", whole.id()), json!({})).await.expect(200);
    let some = json!({ "amount": "7.00", "final": false });
    key.post(&format!("/transfers/{}/capture", part.id()), some).await.expect(200);
    let rest = json!({ "amount": "3.00" });
    key.post(&format!("/transfers/{}/capture", part.id()), rest).await.expect(200);
    assert_eq!(volume(&statistics(&of_ann, "").await, "transfers_out"), "4 40.00, 4 40.00");
    assert_eq!(volume(&statistics(&of_bob, "").await, "transfers_in"), "4 40.00, 4 40.00");
    key.post(&format!("/transfers/{}/reverse", paid.id()), json!({ "amount": "1.00" })).await.expect(200);
    let all = statistics(&key, "").await;
    assert_eq!(volume(&all, "transfers_out"), "5 41.00, 5 41.00");
    assert_eq!(volume(&all, "transfers_in"), "6 141.00, 6 141.00");
}

/// Counters are written once for each command: what a refused item, a refused command or a rehearsal would have
/// counted must be gone by then, also when all of them share one commit.
#[tokio::test]
async fn what_did_not_come_about_is_not_counted_with_what_did() {
    let coffer = Instance::start().await;
    let (ann, of_ann) = person(&coffer, "ann", &[]).await;
    let (bob, of_bob) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let key = coffer.key();
    let moves = |amount: &str| json!({ "amount": amount, "currency": "USD", "from": ann, "to": bob });

    let items = [moves("10.00"), moves("500.00"), moves("20.00"), moves("0.00")];
    let done = key.post("/transfers/bulk", json!({ "items": items })).await.expect(200);
    assert_eq!((&done.body["succeeded"], &done.body["failed"]), (&json!(2), &json!(2)));
    assert_eq!(volume(&statistics(&of_ann, "").await, "transfers_out"), "2 30.00, 2 30.00");

    let items = json!({ "items": [moves("10.00"), moves("500.00")], "atomic": true });
    key.post("/transfers/bulk", items).await.expect(422);
    key.post("/transfers?dry_run=true", moves("10.00")).await.expect(200);
    assert_eq!(volume(&statistics(&of_ann, "").await, "transfers_out"), "2 30.00, 2 30.00");

    let writer = coffer.hold_writer();
    let group = [moves("1.00"), moves("500.00"), moves("2.00"), moves("600.00"), moves("3.00")];
    let sent = group.map(|it| {
        let key = coffer.key();
        tokio::spawn(async move { key.post("/transfers", it).await.status })
    });
    drop(writer);
    let mut answers = vec![];
    for answer in sent {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(answers, [201, 422, 201, 422, 201]);
    assert_eq!(volume(&statistics(&of_ann, "").await, "transfers_out"), "5 36.00, 5 36.00");
    assert_eq!(volume(&statistics(&of_bob, "").await, "transfers_in"), "5 36.00, 5 36.00");
    assert_eq!(volume(&statistics(&key, "").await, "transfers_out"), "5 36.00, 5 36.00");
}

#[tokio::test]
async fn a_series_has_a_point_for_every_interval_and_sums_to_its_total() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    deposit(&coffer, &ann, "10.01", "10.01").await;
    coffer.advance(DAY * 3).await;
    deposit(&coffer, &ann, "5.00", "5.00").await;
    deposit(&coffer, &ann, "0.02", "0.02").await;
    coffer.advance(DAY * 40).await;
    deposit(&coffer, &ann, "1.00", "1.00").await;

    let key = coffer.key();
    let range = "from=2026-01-01T00:00:00Z&to=2026-03-01T00:00:00Z";
    for (interval, points, amounts) in [
        ("day", 59, vec![("2026-01-01", "10.01"), ("2026-01-04", "5.02"), ("2026-02-13", "1.00")]),
        // From Monday, 29 December, on.
        ("week", 9, vec![("2025-12-29", "15.03"), ("2026-02-09", "1.00")]),
        ("month", 2, vec![("2026-01-01", "15.03"), ("2026-02-01", "1.00")]),
    ] {
        let path = format!("/dashboard/series?metric=deposits&interval={interval}&{range}");
        let series = key.get(&path).await.expect(200).body;
        assert_eq!((&series["count"], &series["amount"]), (&json!(4), &json!("16.03")), "{interval}");
        let data = series["data"].as_array().unwrap();
        assert_eq!(data.len(), points, "{interval}");
        let some: Vec<_> = data
            .iter()
            .filter(|it| it["count"] != 0)
            .map(|it| (&it["at"].as_str().unwrap()[..10], it["amount"].as_str().unwrap()))
            .collect();
        assert_eq!(some, amounts, "{interval}");
        assert!(data.iter().filter(|it| it["count"] == 0).all(|it| it["amount"] == "0.00"), "{interval}");
    }
    let hours = "metric=deposits&interval=hour&from=2026-01-04T00:00:00Z&to=2026-01-04T01:30:00Z";
    let hours = key.get(&format!("/dashboard/series?{hours}")).await.expect(200).body;
    assert_eq!((hours["data"].as_array().unwrap().len(), &hours["amount"]), (2, &json!("5.02")));

    let users = key.get(&format!("/dashboard/series?metric=users&interval=month&{range}")).await.expect(200);
    assert_eq!(
        (&users.body["data"][0]["count"], &users.body["data"][0]["amount"]),
        (&json!(1), &Value::Null)
    );

    // As CSV: all points, however many.
    let path = format!("/dashboard/series?metric=deposits&interval=hour&{range}").replace("03-01", "01-31");
    let csv = key.clone().header("accept", "text/csv").get(&path).await;
    assert_eq!((csv.status, csv.body.as_str().unwrap().lines().count()), (200, 1 + 30 * 24));
    assert!(csv.body.as_str().unwrap().contains("2026-01-01T00:00:00.000000Z"));
}

#[tokio::test]
async fn what_cannot_be_shown_is_refused() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    for (query, code) in [
        ("metric=deposits&interval=hour&from=2020-01-01T00:00:00Z", "out_of_range"),
        ("metric=deposits&from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z", "out_of_range"),
        ("metric=happiness", "invalid_format"),
        ("metric=users&currency=USD", "not_allowed"),
        ("metric=deposits&currency=XYZ", "currency_unknown"),
        ("", "required"),
    ] {
        key.get(&format!("/dashboard/series?{query}")).await.refused(422, code);
    }
    key.get("/dashboard/statistics?days=0").await.refused(422, "out_of_range");
    session.get(&format!("/dashboard/statistics?user_id={ann}")).await.refused(422, "not_allowed");
    coffer.operator().get("/dashboard/series?metric=fees").await.refused(422, "required");
    let nobodys = "usr_00000000000000000000000000";
    key.get(&format!("/dashboard/statistics?user_id={nobodys}")).await.refused(404, "not_found");
    coffer.publishable().get("/dashboard/statistics").await.refused(403, "forbidden");
}
