//! Fee rules, spreads and plans, as keys, users and staff see them.

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::withdrawal::person;

/// Makes a fee rule for an operation in USD.
pub async fn charge(coffer: &Instance, operation: &str, cost: Value) -> Answer {
    let mut body = json!({ "name": "Fee", "operation": operation, "currency": "USD" });
    body.as_object_mut().unwrap().extend(cost.as_object().unwrap().clone());
    coffer.key().post("/fees", body).await.expect(201)
}

/// A plan in USD, published.
pub async fn plan(coffer: &Instance, change: Value) -> String {
    let draft = coffer.key().post("/plans", offer(change)).await.expect(201);
    assert_eq!(draft.body["status"], "draft");
    coffer.key().post(&format!("/plans/{}/publish", draft.id()), json!({})).await.expect(200);
    draft.id().to_owned()
}

fn offer(change: Value) -> Value {
    let mut body = json!({
        "name": "Loft", "type": "real_estate", "currency": "USD", "min_amount": "100.00", "return_percent": "10",
        "return_basis": "annual", "day_count": "ACT/365", "cadence": "monthly", "compounding": false,
        "term_days": 90,
    });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn the_rule_that_names_most_decides_and_the_preview_says_what_is_charged() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let (ann, ann_session) = person(&coffer, "ann", &[]).await;
    let preview = async |tier: &str, gateway: Option<&str>| {
        let body = json!({
            "operation": "funding", "amount": "100.01", "currency": "USD", "user_tier": tier, "gateway_id": gateway,
        });
        let found = key.post("/fees/preview", body).await.expect(200).body;
        (found["fee"].as_str().unwrap().to_owned(), found["fee_id"].clone())
    };
    assert_eq!(preview("gold", None).await, ("0.00".into(), Value::Null), "nothing is charged by itself");

    let general = json!({ "name": "All", "operation": "funding", "percent": "3" });
    let general = key.post("/fees", general).await.expect(201);
    let usd = charge(&coffer, "funding", json!({ "percent": "1.5", "max": "20.00" })).await;
    let gold = charge(&coffer, "funding", json!({ "percent": "0.5", "user_tier": "gold" })).await;
    let bank = coffer.credentials().manual_gateway.as_str();
    let by_bank = charge(&coffer, "funding", json!({ "fixed": "2.00", "gateway_id": bank })).await;
    for (tier, gateway, fee, rule) in [
        ("standard", None, "1.51", &usd),
        ("gold", None, "0.51", &gold),
        ("standard", Some(bank), "2.00", &by_bank),
        ("gold", Some(bank), "2.00", &by_bank),
    ] {
        assert_eq!(preview(tier, gateway).await, (fee.into(), json!(rule.id())), "{tier} {gateway:?}");
    }

    // What is charged is what the preview says, by the tier the user has.
    let deposit = json!({ "amount": "100.01", "currency": "USD", "user_id": ann });
    let made = key.post("/fundings", deposit.clone()).await.expect(201);
    assert_eq!(made.body["fee"], "1.51");
    let user = key.get(&format!("/users/{ann}")).await.expect(200);
    assert_eq!(user.body["tier"], "standard");
    let version = user.body["version"].as_u64().unwrap();
    let refused = ann_session.patch(&format!("/users/{ann}"), version, json!({ "tier": "gold" })).await;
    refused.refused(422, "not_allowed");
    crate::support::give_tier(&coffer, &ann, "gold").await;
    assert_eq!(key.get(&format!("/users/{ann}")).await.expect(200).body["tier"], "gold");
    assert_eq!(key.post("/fundings", deposit.clone()).await.expect(201).body["fee"], "0.51");
    let asked = json!({ "operation": "funding", "amount": "100.01", "currency": "USD" });
    let own = ann_session.post("/fees/preview", asked).await.expect(200);
    assert_eq!((&own.body["fee"], &own.body["user_tier"]), (&json!("0.51"), &json!("gold")));
    let through = json!({ "amount": "100.01", "currency": "USD", "user_id": ann, "gateway_id": bank });
    assert_eq!(key.post("/fundings", through).await.expect(201).body["fee"], "2.00");

    // A rule that is out of force is not asked any more, whatever it costs.
    let path = format!("/fees/{}", gold.id());
    let off = key.post(&format!("{path}/deactivate"), json!({})).await.expect(200);
    assert_eq!(off.body["status"], "inactive");
    key.post(&format!("{path}/deactivate"), json!({})).await.expect(200);
    assert_eq!(preview("gold", None).await.0, "1.51");
    let version = off.body["version"].as_u64().unwrap();
    key.patch(&path, version, json!({ "percent": "0" })).await.refused(409, "fee_inactive");
    let path = format!("/fees/{}", usd.id());
    let changed = key.patch(&path, 1, json!({ "percent": "50", "tiers": [] })).await.expect(200);
    assert_eq!((&changed.body["percent"], &changed.body["max"]), (&json!("50"), &json!("20.00")));
    assert_eq!(preview("gold", None).await.0, "20.00");
    key.patch(&path, 1, json!({})).await.refused(412, "stale_version");
    key.patch(&path, 2, json!({ "max": null })).await.expect(200);
    assert_eq!(preview("gold", None).await.0, "50.01");
    let listed = key.get("/fees?status=active&operation=funding").await.expect(200);
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 3);
    assert_eq!(key.get(&format!("/fees/{}", general.id())).await.expect(200).body, general.body);
}

#[tokio::test]
async fn a_plain_charge_is_credited_less_its_fee() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    let sandbox = coffer.credentials().sandbox_gateway.as_str();
    charge(&coffer, "payment", json!({ "percent": "2.5", "fixed": "0.30", "gateway_id": sandbox })).await;
    let payment = crate::payment::charge(&coffer, &user, "10.10").await;
    crate::payment::initiate(&coffer, &payment, sandbox).await.expect(200);
    // 2.5 % of 10.10 is 0.2525, rounded up. Other cents than .01 to .06 are plainly paid by the sandbox.
    assert_eq!(crate::payment::available(&coffer, &user).await, "9.54");
    let records = coffer.key().get(&format!("/transactions?user_id={user}")).await.expect(200).body;
    let record = |it: &Value| json!([it["entry_type"], it["amount"], it["category"]]);
    let records: Vec<Value> = records["data"].as_array().unwrap().iter().map(record).collect();
    assert_eq!(records, [json!(["fee", "0.56", "fee"]), json!(["credit", "10.10", "payment"])]);
}

#[tokio::test]
async fn two_rules_for_the_same_and_rules_that_make_no_sense_are_refused() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let first = charge(&coffer, "funding", json!({ "percent": "1" })).await;
    for (body, status, code) in [
        (json!({ "operation": "funding", "currency": "USD", "percent": "2" }), 409, "fee_taken"),
        (json!({ "operation": "funding", "currency": "GBP" }), 422, "currency_inactive"),
        (json!({ "operation": "funding", "fixed": "1.00" }), 422, "not_allowed"),
        (json!({ "operation": "funding", "to_currency": "EUR" }), 422, "not_allowed"),
        (json!({ "operation": "swap", "currency": "EUR", "to_currency": "EUR" }), 422, "not_allowed"),
        (
            json!({ "operation": "swap", "gateway_id": coffer.credentials().manual_gateway }),
            422,
            "not_allowed",
        ),
        (json!({ "operation": "spread", "percent": "100" }), 422, "out_of_range"),
        (json!({ "operation": "spread", "currency": "USD", "min": "1.00" }), 422, "not_allowed"),
        (json!({ "operation": "payment", "currency": "USD", "min": "2", "max": "1" }), 422, "out_of_range"),
        (json!({ "operation": "payment", "currency": "USD", "fixed": "0.001" }), 422, "amount_scale"),
        (json!({ "operation": "payment", "user_tier": "Gold!" }), 422, "invalid_format"),
        (json!({ "operation": "payment", "percent": "-1" }), 422, "invalid_format"),
        (json!({ "operation": "bribe" }), 422, "invalid_format"),
    ] {
        let mut body = body;
        body["name"] = "Fee".into();
        key.post("/fees", body.clone()).await.refused(status, code);
    }
    let taken = json!({ "name": "Fee", "operation": "funding", "currency": "USD" });
    let taken = key.post("/fees", taken).await.refused(409, "fee_taken");
    assert_eq!(taken.body["existing_id"], first.id());
    key.post(&format!("/fees/{}/deactivate", first.id()), json!({})).await.expect(200);
    charge(&coffer, "funding", json!({ "percent": "2" })).await;

    // A spread is shown with the swap it belongs to.
    let spread = json!({ "name": "To euros", "operation": "spread", "to_currency": "EUR", "percent": "0.4" });
    key.post("/fees", spread).await.expect(201);
    charge(&coffer, "swap", json!({ "percent": "0.1" })).await;
    for (to, spread) in [("EUR", "0.4"), ("BTC", "0")] {
        let body = json!({ "operation": "swap", "amount": "1000", "currency": "USD", "to_currency": to });
        let found = coffer.publishable().post("/fees/preview", body).await.expect(200);
        assert_eq!((&found.body["fee"], &found.body["spread_percent"]), (&json!("1.00"), &json!(spread)));
    }
    let body = json!({ "operation": "spread", "amount": "1000", "currency": "USD" });
    key.post("/fees/preview", body).await.refused(422, "not_allowed");
}

#[tokio::test]
async fn published_terms_never_change_and_a_new_version_takes_their_place() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    coffer.new_events();
    let draft = key.post("/plans", offer(json!({ "max_amount": "500.00" }))).await.expect(201);
    let path = format!("/plans/{}", draft.id());
    coffer.publishable().get(&path).await.refused(404, "not_found");
    let preview = json!({ "amount": "200.00" });
    coffer.publishable().post(&format!("{path}/preview"), preview.clone()).await.refused(404, "not_found");
    let changed = json!({ "return_percent": "12", "max_amount": null, "benefits": ["A tour"] });
    let changed = key.patch(&path, 1, changed).await.expect(200);
    assert_eq!((&changed.body["return_percent"], &changed.body["max_amount"]), (&json!("12"), &Value::Null));
    key.patch(&path, 2, json!({ "term_days": 0 })).await.refused(422, "out_of_range");
    key.post(&format!("{path}/pause"), json!({})).await.refused(409, "invalid_state_transition");
    key.post(&format!("{path}/new-version"), json!({})).await.refused(409, "plan_draft_exists");
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    key.post(&format!("{path}/publish"), json!({})).await.expect(200);
    assert_eq!(coffer.new_events(), ["plan.published"]);
    let shown = coffer.publishable().get(&path).await.expect(200);
    assert_eq!((&shown.body["plan_version"], &shown.body["benefits"]), (&json!(1), &json!(["A tour"])));
    let version = shown.body["version"].as_u64().unwrap();
    key.patch(&path, version, json!({ "return_percent": "1" })).await.refused(409, "plan_not_draft");

    let next = key.post(&format!("{path}/new-version"), json!({})).await.expect(200);
    assert_eq!((&next.body["plan_version"], &next.body["status"]), (&json!(2), &json!("draft")));
    assert_eq!(next.body["first_version_id"], draft.id());
    let again = key.post(&format!("{path}/new-version"), json!({})).await;
    assert_eq!(again.refused(409, "plan_draft_exists").body["existing_id"], next.id());
    let next_path = format!("/plans/{}", next.id());
    key.patch(&next_path, 1, json!({ "return_percent": "8" })).await.expect(200);
    key.post(&format!("{next_path}/publish"), json!({})).await.expect(200);
    assert_eq!(coffer.new_events(), ["plan.closed", "plan.published"]);
    let before = key.get(&path).await.expect(200);
    assert_eq!((&before.body["status"], &before.body["return_percent"]), (&json!("closed"), &json!("12")));
    let public = coffer.publishable().get("/plans?type=real_estate&limit=100").await.expect(200);
    let public: Vec<&Value> = public.body["data"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert!(public.contains(&&json!(next.id())) && !public.contains(&&json!(draft.id())));
    let closed = key.get("/plans?status=closed").await.expect(200);
    assert_eq!(closed.body["data"].as_array().unwrap().len(), 1);

    for (verb, status) in [("pause", "paused"), ("publish", "published"), ("close", "closed")] {
        let moved = key.post(&format!("{next_path}/{verb}"), json!({})).await.expect(200);
        assert_eq!(moved.body["status"], status);
    }
    key.post(&format!("{next_path}/publish"), json!({})).await.refused(409, "invalid_state_transition");
    assert_eq!(coffer.new_events(), ["plan.paused", "plan.published", "plan.closed"]);
}

#[tokio::test]
async fn a_preview_shows_every_period_and_their_sum() {
    let coffer = Instance::start().await;
    let plan = plan(&coffer, json!({ "max_amount": "5000.00" })).await;
    let path = format!("/plans/{plan}/preview");
    let body = json!({ "amount": "1000.00", "starts_at": "2026-01-31T09:00:00Z" });
    let found = coffer.publishable().post(&path, body).await.expect(200).body;
    // 10 % of 1000.00 over 90 of 365 days is 24.6575…
    assert_eq!(
        (&found["profit"], &found["matures_at"]),
        (&json!("24.66"), &json!("2026-05-01T09:00:00.000000Z"))
    );
    let rows: Vec<_> = found["accruals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["due"].as_str().unwrap().split('T').next().unwrap().to_owned(),
                it["days"].clone(),
                it["amount"].clone(),
            )
        })
        .collect();
    let wanted = [
        ("2026-02-28", 28, "7.67"),
        ("2026-03-31", 31, "8.49"),
        ("2026-04-30", 30, "8.22"),
        ("2026-05-01", 1, "0.28"),
    ];
    assert_eq!(rows, wanted.map(|(due, days, amount)| (due.to_owned(), json!(days), json!(amount))));
    for amount in ["99.99", "5000.01"] {
        let refused =
            coffer.key().post(&path, json!({ "amount": amount })).await.refused(422, "outside_plan");
        assert_eq!(
            (&refused.body["min_amount"], &refused.body["max_amount"]),
            (&json!("100.00"), &json!("5000.00"))
        );
    }
}
