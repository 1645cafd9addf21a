//! Investments, as keys, users and staff see them.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::{
    auth::PASSWORD,
    pricing::plan,
    withdrawal::{credit, person},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A plan of 10 % a year, and a user who has 1,000.00 in it and 500.00 beside.
struct Bench {
    coffer: Instance,
    user: String,
    plan: String,
}

impl Bench {
    async fn with(change: Value) -> Bench {
        let coffer = Instance::start().await;
        let (user, _) = person(&coffer, "ann", &[]).await;
        credit(&coffer, &user, "1500.00").await;
        let plan = plan(&coffer, change).await;
        coffer.new_events();
        Bench { coffer, user, plan }
    }

    /// The user, signed in now: no session outlives the months that pass here.
    async fn ann(&self) -> Http {
        let sign_in = json!({ "email": "ann@example.com", "password": PASSWORD });
        let tokens = self.coffer.publishable().post("/auth/login", sign_in).await.expect(200);
        self.coffer.with(tokens.body["access_token"].as_str().unwrap())
    }

    async fn ask(&self, change: Value) -> Answer {
        let mut body = json!({ "plan_id": self.plan, "amount": "1000.00", "user_id": self.user });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        self.coffer.key().post("/investments", body).await
    }

    async fn invest(&self, change: Value) -> String {
        self.ask(change).await.expect(201).id().to_owned()
    }

    async fn show(&self, id: &str) -> Value {
        self.coffer.key().get(&format!("/investments/{id}")).await.expect(200).body
    }

    async fn verb(&self, who: &Http, id: &str, verb: &str, body: Value) -> Answer {
        who.post(&format!("/investments/{id}/{verb}"), body).await
    }

    /// Available and invested.
    async fn money(&self) -> (String, String) {
        let path = format!("/balances/USD?user_id={}", self.user);
        let found = self.coffer.key().get(&path).await.expect(200).body;
        let text = |name: &str| found[name].as_str().unwrap().to_owned();
        (text("available"), text("invested"))
    }

    async fn schedule(&self, id: &str) -> Vec<Value> {
        let found = self.coffer.key().get(&format!("/investments/{id}/schedule")).await.expect(200);
        found.body["accruals"].as_array().unwrap().clone()
    }

    async fn house(&self, kind: &str) -> Value {
        let found = self.coffer.key().get("/ledger/accounts?currency=USD&limit=100").await.expect(200).body;
        let account = found["data"].as_array().unwrap().iter().find(|it| it["kind"] == kind).cloned();
        account.map_or(Value::Null, |it| it["balance"].clone())
    }
}

fn pair(available: &str, invested: &str) -> (String, String) {
    (available.to_owned(), invested.to_owned())
}

#[tokio::test]
async fn it_earns_week_by_week_what_the_preview_said_and_comes_back() {
    let bench = Bench::with(json!({ "cadence": "weekly", "term_days": 28 })).await;
    let preview = json!({ "amount": "1000.00", "starts_at": bench.coffer.now() });
    let path = format!("/plans/{}/preview", bench.plan);
    let preview = bench.ann().await.post(&path, preview).await.expect(200).body;
    let made =
        bench.ann().await.post("/investments", json!({ "plan_id": bench.plan, "amount": "1000.00" })).await;
    let made = made.expect(201);
    assert_eq!(made.body["status"], "active");
    assert_eq!(made.body["matures_at"], preview["matures_at"]);
    assert_eq!(made.body["terms"]["return_percent"], "10");
    assert_eq!(made.body["schedule_url"], format!("/api/v1/investments/{}/schedule", made.id()));
    assert_eq!(bench.coffer.new_events(), ["transaction.created", "investment.created"]);
    assert_eq!(bench.money().await, pair("500.00", "1000.00"));

    bench.coffer.advance(DAY * 7).await;
    let accrued = ["transaction.created", "investment.accrued"];
    assert_eq!(bench.coffer.new_events(), accrued);
    assert_eq!(bench.money().await, pair("501.92", "1000.00"));
    bench.coffer.advance(DAY * 21).await;
    let done = bench.show(made.id()).await;
    assert_eq!((&done["status"], &done["profit"]), (&json!("closed"), &preview["profit"]));
    assert_eq!(bench.money().await, pair("1507.67", "0.00"));
    let end = ["investment.matured", "transaction.created", "investment.closed"];
    assert_eq!(bench.coffer.new_events(), [&accrued[..], &accrued, &accrued, &end].concat());

    let plain = |rows: &[Value]| -> Vec<Value> {
        rows.iter().map(|it| json!([it["number"], it["from"], it["due"], it["days"], it["amount"]])).collect()
    };
    let rows = bench.schedule(made.id()).await;
    assert_eq!(plain(&rows), plain(preview["accruals"].as_array().unwrap()));
    assert!(rows.iter().all(|it| it["entry_id"].is_string() && it["posted_at"].is_string()));
    let path = format!("/transactions?user_id={}&category=investment", bench.user);
    let records = bench.coffer.key().get(&path).await.expect(200).body;
    let kinds: Vec<_> =
        records["data"].as_array().unwrap().iter().map(|it| it["entry_type"].clone()).collect();
    assert_eq!(kinds, ["credit", "debit"]);
    // A repeat, and a second look of the timer, do nothing.
    bench.coffer.advance(DAY * 400).await;
    assert_eq!(bench.money().await, pair("1507.67", "0.00"));
    assert_eq!(bench.verb(&bench.ann().await, made.id(), "close", json!({})).await.expect(200).body, done);
    bench
        .verb(&bench.ann().await, made.id(), "cancel", json!({}))
        .await
        .refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn a_machine_that_was_off_for_months_catches_up_to_the_last_unit() {
    let daily = json!({ "cadence": "daily", "compounding": true, "term_days": 366, "day_count": "30/360" });
    let bench = Bench::with(daily).await;
    let id = bench.invest(json!({})).await;
    let planned = bench.schedule(&id).await;
    let profit: i64 = planned.iter().map(|it| minor(&it["amount"])).sum();
    bench.coffer.advance(DAY * 5).await;
    let so_far = planned[4]["invested"].as_str().unwrap();
    assert_eq!(bench.money().await, pair("500.00", so_far));
    bench.coffer.advance(DAY * 1000).await;
    let done = bench.show(&id).await;
    assert_eq!((&done["status"], minor(&done["profit"])), (&json!("closed"), profit));
    let (available, invested) = bench.money().await;
    assert_eq!((minor(&json!(available)), invested.as_str()), (150_000 + profit, "0.00"));
    let posted = bench.schedule(&id).await;
    let amounts = |rows: &[Value]| rows.iter().map(|it| it["amount"].clone()).collect::<Vec<_>>();
    assert_eq!((posted.len(), amounts(&posted)), (366, amounts(&planned)));
}

fn minor(amount: &Value) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

#[tokio::test]
async fn what_cannot_be_invested_is_refused_and_costs_nothing() {
    let bench = Bench::with(json!({ "max_amount": "2000.00" })).await;
    for (change, status, code) in [
        (json!({ "plan_id": "pln_01kc000000000000000000000z" }), 404, "not_found"),
        (json!({ "amount": "0" }), 422, "amount_not_positive"),
        (json!({ "amount": "1.001" }), 422, "amount_scale"),
        (json!({ "gateway_id": bench.coffer.credentials().manual_gateway }), 422, "not_allowed"),
        (json!({ "starts_at": "2025-12-31T00:00:00Z" }), 422, "out_of_range"),
        (json!({ "starts_at": "2028-12-31T00:00:00Z" }), 422, "out_of_range"),
        (json!({ "user_id": "usr_01kc000000000000000000000z" }), 404, "not_found"),
        (json!({ "amount": "99.99" }), 422, "outside_plan"),
        (json!({ "amount": "2000.01" }), 422, "outside_plan"),
        (json!({ "amount": "1500.01" }), 422, "insufficient_funds"),
    ] {
        bench.ask(change.clone()).await.refused(status, code);
    }
    let rehearsed = json!({ "plan_id": bench.plan, "amount": "1000.00", "user_id": bench.user });
    let rehearsed = bench.coffer.key().post("/investments?dry_run=true", rehearsed).await.expect(200);
    assert_eq!((&rehearsed.body["id"], &rehearsed.body["status"]), (&Value::Null, &json!("active")));
    assert_eq!(bench.money().await, pair("1500.00", "0.00"));
    assert_eq!(bench.coffer.new_events(), Vec::<String>::new());

    let named = bench.invest(json!({ "external_id": "a-1", "amount": "100.00" })).await;
    let again = bench.ask(json!({ "external_id": "a-1", "amount": "100.00" })).await;
    assert_eq!(again.refused(409, "external_id_taken").body["existing_id"], json!(named));
    bench.coffer.key().post(&format!("/plans/{}/pause", bench.plan), json!({})).await.expect(200);
    bench.ask(json!({})).await.refused(422, "plan_not_published");
    let freeze = format!("/users/{}/freeze", bench.user);
    bench.coffer.key().post(&freeze, json!({ "reason": "test" })).await.expect(200);
    bench.ask(json!({})).await.refused(422, "user_not_active");
    // No debits of a frozen user; profit and principal come all the same.
    bench.verb(&bench.coffer.key(), &named, "close", json!({})).await.refused(422, "user_not_active");
    bench.coffer.advance(DAY * 90).await;
    assert_eq!(bench.money().await, pair("1502.47", "0.00"));
    let (_, stranger) = person(&bench.coffer, "bob", &[]).await;
    stranger.get(&format!("/investments/{named}")).await.refused(404, "not_found");
    bench.verb(&stranger, &named, "close", json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn closing_early_costs_the_penalty_and_keeps_what_was_earned() {
    let bench = Bench::with(json!({ "early_close_penalty_percent": "1.2345", "compounding": true })).await;
    let id = bench.invest(json!({})).await;
    bench.coffer.advance(DAY * 45).await;
    bench.coffer.new_events();
    let closed = bench.verb(&bench.ann().await, &id, "close", json!({})).await.expect(200).body;
    // 1.2345 % of 1000.00 is 12.345: what a customer pays rounds up. January's 8.49 stays, half of February is nothing.
    assert_eq!((&closed["status"], &closed["penalty"]), (&json!("early_closed"), &json!("12.35")));
    assert_eq!((&closed["profit"], &closed["invested"]), (&json!("8.49"), &json!("0.00")));
    assert_eq!(bench.money().await, pair("1496.14", "0.00"));
    assert_eq!(bench.house("fee_income").await, "12.35");
    let records = ["transaction.created", "transaction.created", "investment.early_closed"];
    assert_eq!(bench.coffer.new_events(), records);
    let again = bench.verb(&bench.ann().await, &id, "close", json!({})).await.expect(200).body;
    assert_eq!(again, closed, "a repeat changes nothing");
    bench.coffer.advance(DAY * 400).await;
    assert_eq!(bench.money().await, pair("1496.14", "0.00"));
    assert_eq!(bench.schedule(&id).await.len(), 1, "nothing more is to come");
}

#[tokio::test]
async fn a_close_at_maturity_is_no_early_one_though_the_timer_has_not_run() {
    let bench = Bench::with(json!({ "early_close_penalty_percent": "5", "cadence": "maturity" })).await;
    let id = bench.invest(json!({})).await;
    // The clock moves in the command's own request: no timer in between.
    bench.coffer.move_clock(DAY * 90);
    let closed = bench.verb(&bench.ann().await, &id, "close", json!({})).await.expect(200).body;
    assert_eq!((&closed["status"], &closed["penalty"]), (&json!("closed"), &json!("0.00")));
    assert_eq!(bench.money().await, pair("1524.66", "0.00"));
    bench.coffer.settle().await;
    assert_eq!(bench.money().await, pair("1524.66", "0.00"));
}

#[tokio::test]
async fn it_is_canceled_while_it_cools_off_and_not_a_moment_after() {
    let bench = Bench::with(json!({ "cooling_off_hours": 24 })).await;
    let (first, second) = (bench.invest(json!({})).await, bench.invest(json!({ "amount": "400.00" })).await);
    bench.coffer.advance(DAY - Duration::from_micros(1)).await;
    let canceled = bench.verb(&bench.ann().await, &first, "cancel", json!({})).await.expect(200).body;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(bench.money().await, pair("1100.00", "400.00"));
    assert_eq!(bench.verb(&bench.ann().await, &first, "cancel", json!({})).await.expect(200).body, canceled);
    bench.coffer.advance(Duration::from_micros(1)).await;
    bench.verb(&bench.ann().await, &second, "cancel", json!({})).await.refused(409, "cooling_off_over");

    // Whoever has earned something has not only looked.
    let daily = plan(&bench.coffer, json!({ "cadence": "daily", "cooling_off_hours": 72 })).await;
    let third = bench.invest(json!({ "plan_id": daily })).await;
    bench.coffer.advance(DAY).await;
    bench.verb(&bench.ann().await, &third, "cancel", json!({})).await.refused(409, "cooling_off_over");
}

#[tokio::test]
async fn one_that_starts_later_waits_with_its_money_and_may_be_taken_back() {
    let bench = Bench::with(json!({})).await;
    let later = json!({ "starts_at": "2026-01-11T00:00:00Z", "amount": "700.00" });
    let (first, second) = (bench.invest(later.clone()).await, bench.invest(later).await);
    assert_eq!(bench.money().await, pair("100.00", "1400.00"));
    assert_eq!(bench.show(&first).await["status"], "pending");
    bench.verb(&bench.ann().await, &first, "close", json!({})).await.refused(409, "invalid_state_transition");
    bench.verb(&bench.ann().await, &first, "cancel", json!({})).await.expect(200);
    assert_eq!(bench.money().await, pair("800.00", "700.00"));
    bench.coffer.new_events();
    bench.coffer.advance(DAY * 10).await;
    assert_eq!(bench.coffer.new_events(), ["investment.activated"]);
    let active = bench.show(&second).await;
    assert_eq!(
        (&active["status"], &active["matures_at"]),
        (&json!("active"), &json!("2026-04-11T00:00:00.000000Z"))
    );
}

#[tokio::test]
async fn standing_still_earns_nothing_and_matures_later() {
    let bench = Bench::with(json!({ "cadence": "weekly", "term_days": 28 })).await;
    let key = bench.coffer.key();
    let id = bench.invest(json!({})).await;
    let planned = bench.schedule(&id).await;
    bench.coffer.advance(DAY * 10).await;
    let before = bench.money().await;
    let reason = json!({ "reason": "an inspection" });
    bench.verb(&bench.ann().await, &id, "suspend", reason.clone()).await.refused(403, "forbidden");
    let stands = bench.verb(&key, &id, "suspend", reason.clone()).await.expect(200);
    assert_eq!(stands.body["status"], "suspended");
    bench.coffer.advance(DAY * 100).await;
    assert_eq!(bench.money().await, before, "it stands still");
    bench.verb(&key, &id, "close", json!({})).await.refused(409, "invalid_state_transition");
    let goes_on = bench.verb(&key, &id, "resume", reason).await.expect(200).body;
    assert_eq!(
        (&goes_on["status"], &goes_on["matures_at"]),
        (&json!("active"), &json!("2026-05-09T00:00:00.000000Z"))
    );
    bench.coffer.advance(DAY * 4 - Duration::from_micros(1)).await;
    assert_eq!(bench.money().await, before);
    bench.coffer.advance(DAY * 20).await;
    let done = bench.show(&id).await;
    let planned: i64 = planned.iter().map(|it| minor(&it["amount"])).sum();
    assert_eq!((&done["status"], minor(&done["profit"])), (&json!("closed"), planned));
}

#[tokio::test]
async fn a_default_takes_two_people_neither_of_them_the_owner() {
    let bench = Bench::with(json!({})).await;
    let (_, sue) = person(&bench.coffer, "sue", &["admin"]).await;
    let (_, tom) = person(&bench.coffer, "tom", &["admin"]).await;
    let id = bench.invest(json!({})).await;
    let approve = "default/approve";
    bench.verb(&tom, &id, approve, json!({ "revision": 1 })).await.refused(409, "default_not_requested");
    let because = json!({ "reason": "insolvent", "recovered_amount": "1000.01" });
    bench.verb(&sue, &id, "default", because).await.refused(422, "out_of_range");
    let because = json!({ "reason": "insolvent", "recovered_amount": "250.00" });
    bench.verb(&bench.ann().await, &id, "default", because.clone()).await.refused(403, "forbidden");
    bench.coffer.new_events();
    let asked = bench.verb(&sue, &id, "default", because.clone()).await.expect(200).body;
    // It was a new request, and voided the votes on the one before.
    assert_eq!(bench.verb(&sue, &id, "default", because).await.expect(200).body, asked);
    assert_eq!(
        (&asked["status"], &asked["default_request"]["reason"]),
        (&json!("active"), &json!("insolvent"))
    );
    let vote = json!({ "revision": asked["default_request"]["approval"]["revision"] });
    bench.verb(&sue, &id, approve, vote.clone()).await.refused(403, "self_approval");
    assert_eq!(bench.money().await, pair("500.00", "1000.00"));
    assert_eq!(bench.coffer.new_events(), ["investment.default_requested"]);

    let roles = json!({ "roles": ["admin"] });
    let owner = bench.coffer.key().get(&format!("/users/{}", bench.user)).await.expect(200);
    let version = owner.body["version"].as_u64().unwrap();
    let inside = bench.coffer.operator().inside(&bench.coffer.credentials().client_id);
    inside.put(&format!("/users/{}/roles", bench.user), version, roles).await.expect(200);
    bench.coffer.agree_to_access().await;
    bench.verb(&bench.ann().await, &id, approve, vote.clone()).await.refused(403, "self_approval");

    let done = bench.verb(&tom, &id, approve, vote.clone()).await.expect(200).body;
    assert_eq!((&done["status"], &done["invested"]), (&json!("defaulted"), &json!("0.00")));
    assert_eq!(bench.money().await, pair("750.00", "0.00"));
    assert_eq!(bench.verb(&tom, &id, approve, vote.clone()).await.expect(200).body, done);
    bench.coffer.advance(DAY * 400).await;
    assert_eq!(bench.money().await, pair("750.00", "0.00"));
}

#[tokio::test]
async fn at_maturity_it_goes_on_as_was_said() {
    // 10 % of 1000.00 over 90 days is 24.66.
    for (compounding, instruction, money, next) in [
        (false, "roll_principal", ("524.66", "1000.00"), Some("1000.00")),
        (false, "roll_all", ("500.00", "1024.66"), Some("1024.66")),
        (true, "roll_principal", ("524.66", "1000.00"), Some("1000.00")),
        (true, "roll_all", ("500.00", "1024.66"), Some("1024.66")),
        (true, "pay_out", ("1524.66", "0.00"), None),
    ] {
        let bench = Bench::with(json!({ "cadence": "maturity", "compounding": compounding })).await;
        let id = bench.invest(json!({})).await;
        let said = json!({ "maturity_instruction": instruction });
        bench.coffer.advance(DAY * 89 - Duration::from_micros(1)).await;
        bench.verb(&bench.ann().await, &id, "maturity-instruction", said).await.expect(200);
        bench.coffer.advance(Duration::from_micros(1)).await;
        if instruction != "roll_all" {
            let other = json!({ "maturity_instruction": "roll_all" });
            let late = bench.verb(&bench.ann().await, &id, "maturity-instruction", other).await;
            late.refused(409, "instruction_fixed");
        }
        bench.coffer.advance(DAY).await;
        assert_eq!(bench.money().await, pair(money.0, money.1), "{instruction}, compounding: {compounding}");
        let done = bench.show(&id).await;
        assert_eq!(done["status"], "closed");
        let Some(principal) = next else {
            assert_eq!(done["rolled_into"], Value::Null);
            continue;
        };
        let next = bench.show(done["rolled_into"].as_str().unwrap()).await;
        assert_eq!((&next["amount"], &next["rolled_from"]), (&json!(principal), &json!(id)));
        assert_eq!((&next["status"], &next["starts_at"]), (&json!("active"), &done["matures_at"]));
    }
}

#[tokio::test]
async fn it_goes_on_in_the_version_on_offer_and_is_paid_out_when_there_is_none() {
    let bench = Bench::with(json!({ "term_days": 10, "cadence": "maturity", "max_amount": "1000.00" })).await;
    let key = bench.coffer.key();
    let roll = bench.invest(json!({ "maturity_instruction": "roll_principal" })).await;
    let next = key.post(&format!("/plans/{}/new-version", bench.plan), json!({})).await.expect(200);
    let path = format!("/plans/{}", next.id());
    key.patch(&path, 1, json!({ "return_percent": "20" })).await.expect(200);
    key.post(&format!("{path}/publish"), json!({})).await.expect(200);
    // The machine was off for three terms: what rolled over has rolled over again, from maturity to maturity.
    bench.coffer.advance(DAY * 31).await;
    let first = bench.show(&roll).await;
    assert_eq!((&first["terms"]["return_percent"], &first["profit"]), (&json!("10"), &json!("2.74")));
    let second = bench.show(first["rolled_into"].as_str().unwrap()).await;
    assert_eq!((&second["plan_id"], &second["plan_version"]), (&json!(next.id()), &json!(2)));
    assert_eq!((&second["status"], &second["profit"]), (&json!("closed"), &json!("5.48")));
    let third = bench.show(second["rolled_into"].as_str().unwrap()).await;
    assert_eq!(
        (&third["status"], &third["starts_at"]),
        (&json!("closed"), &json!("2026-01-21T00:00:00.000000Z"))
    );
    let fourth = bench.show(third["rolled_into"].as_str().unwrap()).await;
    assert_eq!(
        (&fourth["status"], &fourth["matures_at"]),
        (&json!("active"), &json!("2026-02-10T00:00:00.000000Z"))
    );
    key.post(&format!("{path}/close"), json!({})).await.expect(200);
    bench.coffer.advance(DAY * 10).await;
    let over = bench.show(fourth["id"].as_str().unwrap()).await;
    assert_eq!((&over["status"], &over["rolled_into"]), (&json!("closed"), &Value::Null));
    let why = over["status_history"].as_array().unwrap().last().unwrap()["reason"].clone();
    assert_eq!(why, "not rolled over: plan_not_published");
    assert_eq!(bench.money().await.1, "0.00");
}

#[tokio::test]
async fn one_that_is_paid_for_begins_when_its_payment_settles() {
    let bench = Bench::with(json!({})).await;
    let sandbox = bench.coffer.credentials().sandbox_gateway.clone();
    let asked = bench.ask(json!({ "source": "payment", "amount": "2000.00", "gateway_id": sandbox })).await;
    let asked = asked.expect(201);
    assert_eq!((&asked.body["status"], &asked.body["invested"]), (&json!("pending"), &json!("0.00")));
    bench.coffer.advance(DAY / 2).await;
    let payment = asked.body["payment_id"].as_str().unwrap();
    bench.coffer.new_events();
    crate::payment::initiate(&bench.coffer, payment, &sandbox).await.expect(200);
    let running = bench.show(asked.id()).await;
    assert_eq!(
        (&running["status"], &running["starts_at"]),
        (&json!("active"), &json!("2026-01-01T12:00:00.000000Z"))
    );
    assert_eq!(bench.money().await, pair("1500.00", "2000.00"));
    let events = bench.coffer.new_events();
    assert!(events.ends_with(&["investment.activated".to_owned()]), "{events:?}");

    // Nobody pays: it never was.
    let unpaid = bench.ask(json!({ "source": "payment" })).await.expect(201);
    let canceled = bench.ask(json!({ "source": "payment" })).await.expect(201);
    bench.verb(&bench.ann().await, canceled.id(), "cancel", json!({})).await.expect(200);
    let payment = canceled.body["payment_id"].as_str().unwrap();
    let payment = bench.coffer.key().get(&format!("/payments/{payment}")).await.expect(200);
    assert_eq!(payment.body["status"], "canceled");
    bench.coffer.advance(DAY).await;
    assert_eq!(bench.show(unpaid.id()).await["status"], "canceled");
    assert_eq!(bench.money().await, pair("1500.00", "2000.00"));
}

#[tokio::test]
async fn lists_are_ones_own_and_filters_filter() {
    let bench = Bench::with(json!({})).await;
    let (bob, bob_session) = person(&bench.coffer, "bob", &[]).await;
    credit(&bench.coffer, &bob, "1000.00").await;
    let first = bench.invest(json!({ "amount": "100.00" })).await;
    bench.invest(json!({ "user_id": bob, "amount": "300.00" })).await;
    bench.verb(&bench.ann().await, &first, "close", json!({})).await.expect(200);
    let key = bench.coffer.key();
    let found = async |who: &Http, query: &str| {
        let list = who.get(&format!("/investments?{query}")).await.expect(200).body;
        list["data"].as_array().unwrap().iter().map(|it| it["amount"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(&key, "").await, ["300.00", "100.00"]);
    assert_eq!(found(&bob_session, "").await, ["300.00"]);
    assert_eq!(found(&key, "status=early_closed").await, ["100.00"]);
    assert_eq!(found(&key, &format!("user_id={bob}&plan_id={}", bench.plan)).await, ["300.00"]);
    assert_eq!(found(&key, "currency=EUR").await, Vec::<Value>::new());
}
