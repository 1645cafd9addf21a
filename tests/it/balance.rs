//! Balances, their past, corrections by two people, and the ledger's own views.

use std::time::Duration;

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::support::{agree, decide};
use crate::{
    payment::user,
    withdrawal::{credit, person},
};

const SECOND: Duration = Duration::from_secs(1);

fn cents(text: &Value) -> i64 {
    text.as_str().unwrap().replace('.', "").parse().unwrap()
}

fn data(answer: &Answer) -> &Vec<Value> {
    answer.body["data"].as_array().unwrap()
}

#[tokio::test]
async fn a_past_balance_is_what_it_was_and_the_statement_adds_up_page_by_page() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    let key = coffer.key();
    let mut past = vec![(coffer.now(), "0.00".to_owned())];
    for round in 1..=9 {
        coffer.advance(SECOND).await;
        if round % 3 == 0 {
            let body = json!({ "amount": "7.00", "currency": "USD", "from": ann, "to": bob });
            key.post("/transfers", body).await.expect(201);
        } else {
            credit(&coffer, &ann, "10.00").await;
        }
        // Entries of one instant follow each other by a microsecond.
        coffer.advance(Duration::from_millis(1)).await;
        let now = key.get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
        past.push((coffer.now(), now.body["available"].as_str().unwrap().to_owned()));
    }
    for (at, available) in &past {
        let then = session.get(&format!("/balances/USD?as_of={at}")).await.expect(200);
        assert_eq!((&then.body["available"], &then.body["as_of"]), (&json!(available), &json!(at)));
        let all = session.get(&format!("/balances?as_of={at}")).await.expect(200);
        assert!(data(&all).iter().all(|it| it["available"] == json!(available)));
    }

    let (from, to) = (&past[2].0, &past[7].0);
    let path = format!("/balances/statement?currency=USD&from={from}&to={to}&limit=2");
    let (mut cursor, mut moved, mut lines) = (String::new(), 0, 0);
    let page = loop {
        let page = session.get(&format!("{path}{cursor}")).await.expect(200);
        // What is posted between two pages does not show in the second.
        credit(&coffer, &ann, "1.00").await;
        moved += data(&page).iter().map(|it| cents(&it["amount"])).sum::<i64>();
        lines += data(&page).len();
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break page,
        }
    };
    assert_eq!((&page.body["opening"], &page.body["closing"]), (&json!(past[2].1), &json!(past[7].1)));
    assert_eq!((cents(&page.body["opening"]) + moved, lines), (cents(&page.body["closing"]), 5));

    let csv = session.clone().header("accept", "text/csv").get(&path).await.expect(200);
    let text = csv.body.as_str().unwrap();
    assert_eq!(text.lines().count(), 6, "a header, then all lines of all pages: {text}");
    assert!(text.contains("\n-7.00,") && text.starts_with("amount,"), "{text}");

    // To be printed it is all of it, oldest first, with the same figures.
    let path = format!("/balances/statement?currency=USD&from={from}&to={to}");
    let whole = session.get(&path).await.expect(200);
    let page = session.clone().header("accept", "text/html,*/*;q=0.8").get(&path).await.expect(200);
    let html = page.body.as_str().unwrap();
    let mut rest = html;
    let mut find = |what: &str| {
        let at = rest.find(what).unwrap_or_else(|| panic!("{what} in {html}"));
        rest = &rest[at + what.len()..];
    };
    find(&format!("id=\"opening\">{}<", whole.body["opening"].as_str().unwrap()));
    for line in data(&whole).iter().rev() {
        for field in ["at", "description", "cause", "entry_id", "amount", "balance"] {
            find(line[field].as_str().unwrap());
        }
    }
    find(&format!("id=\"closing\">{}<", whole.body["closing"].as_str().unwrap()));
    assert_eq!(html.matches("<tr>").count(), 1 + data(&whole).len(), "a head and a row for each");

    let other = format!("/balances/statement?currency=USD&cursor={}", "AAAAAAAA");
    session.get(&other).await.refused(422, "invalid_format");
    session
        .get("/balances/statement?currency=USD&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z")
        .await
        .refused(422, "out_of_range");
    let held = session.get("/balances/statement?currency=USD&account=held").await.expect(200);
    assert_eq!((data(&held).len(), &held.body["closing"]), (0, &json!("0.00")));
}

#[tokio::test]
async fn what_is_printed_is_escaped_and_says_whose_it_is() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let operator = coffer.operator().header("x-client-id", &coffer.credentials().client_id);
    let path = format!("/clients/{}", coffer.credentials().client_id);
    let version = operator.get(&path).await.expect(200).body["version"].as_u64().unwrap();
    let branding = json!({ "display_name": "<b>Acme</b> & \"Sons\"", "website": "https://acme.example" });
    operator.patch(&path, version, json!({ "settings": { "branding": branding } })).await.expect(200);
    let nasty = "<script>alert('x')</script>";
    let body =
        json!({ "amount": "5.00", "currency": "USD", "user_id": ann, "type": "profit", "reason": nasty });
    coffer.key().post("/fundings", body).await.expect(201);

    let path = "/balances/statement?currency=USD";
    let page = session.clone().header("accept", "text/html").get(path).await.expect(200);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let html = page.body.as_str().unwrap();
    assert!(!html.contains("<script") && !html.contains("<b>"), "{html}");
    for wanted in
        ["&lt;b&gt;Acme&lt;", "&amp; &quot;Sons&quot;", "ann@example.com", "available, USD", ">5.00<"]
    {
        assert!(html.contains(wanted), "{wanted} in {html}");
    }
    // Whoever does not ask for it gets JSON; somebody else's is not there.
    assert!(session.get(path).await.expect(200).body["data"].is_array());
    let (_, bob) = person(&coffer, "bob", &[]).await;
    let named = format!("{path}&user_id={ann}");
    bob.clone().header("accept", "text/html").get(&named).await.refused(422, "not_allowed");
}

#[tokio::test]
async fn everybody_sees_their_own_balances_and_staff_those_of_others() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "5.00").await;
    assert_eq!(data(&session.get("/balances").await.expect(200)).len(), 1);
    for path in ["/balances", "/balances/USD", "/balances/statement?currency=USD"] {
        let join = if path.contains('?') { '&' } else { '?' };
        session.get(&format!("{path}{join}user_id={bob}")).await.refused(422, "not_allowed");
        coffer.key().get(path).await.refused(422, "required");
        let unknown = format!("{path}{join}user_id=usr_{}", "0".repeat(26));
        coffer.key().get(&unknown).await.refused(404, "not_found");
        coffer.key().get(&format!("{path}{join}user_id={bob}")).await.expect(200);
    }
    session.get("/balances/XYZ").await.refused(404, "not_found");
    for path in ["/ledger/accounts", "/ledger/entries", "/ledger/trial-balance", "/ledger/verify"] {
        session.get(path).await.refused(403, "forbidden");
    }
}

#[tokio::test]
async fn an_adjustment_is_posted_by_somebody_else_than_who_asked_for_it() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (_, sue) = person(&coffer, "sue", &["admin"]).await;
    let key = coffer.key();
    coffer.new_events();
    let body = json!({
        "user_id": ann, "currency": "USD", "amount": "12.50", "direction": "credit", "reason": "goodwill",
        "external_id": "case-1",
    });
    let asked = key.post("/adjustments", body.clone()).await.expect(201);
    assert_eq!((&asked.body["status"], &asked.body["entry_id"]), (&json!("requested"), &Value::Null));
    let taken = key.post("/adjustments", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], asked.body["id"]);
    let path = format!("/adjustments/{}", asked.id());
    agree(&key, &format!("{path}/approve")).await.refused(403, "self_approval");
    decide(&key, &format!("{path}/reject"), json!({ "reason": "no" })).await.refused(403, "self_approval");
    agree(&session, &format!("{path}/approve")).await.refused(403, "forbidden");
    assert_eq!(coffer.new_events(), ["adjustment.requested"]);

    let posted = agree(&sue, &format!("{path}/approve")).await.expect(200);
    assert_eq!(posted.body["status"], "posted");
    assert_eq!(coffer.new_events(), ["balance.adjusted", "transaction.created"]);
    let records = session.get("/transactions?category=adjustment").await.expect(200);
    let record = &data(&records)[0];
    assert_eq!(
        (&record["entry_type"], &record["amount"], &record["balance_after"], &record["cause"]),
        (&json!("credit"), &json!("12.50"), &json!("12.50"), &asked.body["id"])
    );
    assert_eq!(record["entry_id"], posted.body["entry_id"]);
    // The same decision again is the same answer; another one is refused.
    agree(&sue, &format!("{path}/approve")).await.expect(200);
    decide(&sue, &format!("{path}/reject"), json!({ "reason": "no" }))
        .await
        .refused(409, "invalid_state_transition");
    assert_eq!(session.get("/balances/USD").await.body["available"], "12.50");

    // More than there is.
    let body = json!({ "user_id": ann, "currency": "USD", "amount": "12.51", "direction": "debit", "reason": "error" });
    let asked = key.post("/adjustments", body).await.expect(201);
    let path = format!("/adjustments/{}", asked.id());
    let refused = agree(&sue, &format!("{path}/approve")).await.refused(422, "insufficient_funds");
    assert_eq!((&refused.body["available"], &refused.body["wanted"]), (&json!("12.50"), &json!("12.51")));
    let rejected = decide(&sue, &format!("{path}/reject"), json!({ "reason": "too much" })).await.expect(200);
    assert_eq!(rejected.body["status"], "rejected");
    let listed = key.get(&format!("/adjustments?status=rejected&user_id={ann}")).await.expect(200);
    assert_eq!(data(&listed).len(), 1);
}

#[tokio::test]
async fn an_adjustment_names_one_account_that_may_be_moved_by_hand() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "5.00").await;
    let key = coffer.key();
    let hold = json!({ "amount": "1.00", "currency": "USD", "from": ann, "to": bob, "hold": true });
    key.post("/transfers", hold).await.expect(201);
    let accounts = key.get(&format!("/ledger/accounts?user_id={ann}&kind=held")).await.expect(200);
    let held = data(&accounts)[0]["id"].clone();
    let contra = key.get("/ledger/accounts?kind=adjustment").await.expect(200);
    let contra = data(&contra)[0]["id"].clone();
    let base = json!({ "currency": "USD", "amount": "1.00", "direction": "credit", "reason": "why" });
    let rows = [
        (json!({}), 422, "required"),
        (json!({ "user_id": ann, "account": "house:tax" }), 422, "not_allowed"),
        (json!({ "account": "house:adjustment" }), 422, "not_allowed"),
        (json!({ "account": contra }), 422, "not_allowed"),
        (json!({ "account": held }), 422, "account_reserved"),
        (json!({ "account": held, "currency": "EUR" }), 422, "currency_mismatch"),
        (json!({ "account": "house:clearing:gtw_00000000000000000000000000" }), 404, "not_found"),
        (json!({ "user_id": ann, "currency": "JPY" }), 422, "currency_inactive"),
        (json!({ "user_id": ann, "reason": " " }), 422, "out_of_range"),
        (json!({ "user_id": ann, "amount": "0" }), 422, "amount_not_positive"),
        (json!({ "user_id": ann, "direction": "up" }), 422, "invalid_format"),
    ];
    for (change, status, code) in rows {
        let mut body = base.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        key.post("/adjustments", body).await.refused(status, code);
    }
    let body = json!({ "account": "house:tax", "currency": "USD", "amount": "1.00", "direction": "debit", "reason": "why" });
    assert_eq!(key.post("/adjustments", body).await.expect(201).body["account_kind"], "tax");
}

#[tokio::test]
async fn the_ledger_shows_accounts_entries_and_that_it_balances() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    let key = coffer.key();
    credit(&coffer, &ann, "100.00").await;
    for _ in 0..5 {
        let body = json!({ "amount": "3.00", "currency": "USD", "from": ann, "to": bob });
        key.post("/transfers", body).await.expect(201);
    }
    let bitcoin =
        json!({ "amount": "0.5", "currency": "BTC", "from": "house:fx", "to": ann, "reason": "seed" });
    key.post("/transfers", bitcoin).await.expect(201);

    let accounts = key.get(&format!("/ledger/accounts?user_id={bob}")).await.expect(200);
    let account = &data(&accounts)[0];
    assert_eq!(
        (&account["kind"], &account["balance"], &account["version"]),
        (&json!("available"), &json!("15.00"), &json!(5))
    );
    let path = format!("/ledger/entries?account={}&limit=2", account["id"].as_str().unwrap());
    let (mut cursor, mut numbers) = (String::new(), vec![]);
    loop {
        let page = key.get(&format!("{path}{cursor}")).await.expect(200);
        numbers.extend(data(&page).iter().map(|it| it["number"].as_u64().unwrap()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(numbers, [6, 5, 4, 3, 2]);

    let all = key.get("/ledger/entries?limit=100").await.expect(200);
    let entries = data(&all);
    for pair in entries.windows(2) {
        assert_eq!(pair[0]["previous_hash"], pair[1]["hash"]);
        assert!(pair[0]["created_at"].as_str() > pair[1]["created_at"].as_str());
    }
    let one = key.get(&format!("/ledger/entries/{}", entries[1]["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(one.body, entries[1]);
    let amounts: Vec<i64> =
        one.body["postings"].as_array().unwrap().iter().map(|it| cents(&it["amount"])).collect();
    assert_eq!(amounts, [-300, 300]);
    key.get("/ledger/entries/ent_00000000000000000000000000").await.refused(404, "not_found");
    key.get("/ledger/entries?account=acc_00000000000000000000000000").await.refused(404, "not_found");

    let trial = key.get("/ledger/trial-balance").await.expect(200).body;
    assert_eq!((&trial["balanced"], &trial["entry_number"]), (&json!(true), &json!(7)));
    let of = |code: &str| {
        trial["currencies"].as_array().unwrap().iter().find(|it| it["currency"] == code).unwrap().clone()
    };
    assert_eq!((of("USD")["debit"].clone(), of("USD")["credit"].clone()), (json!("100.00"), json!("100.00")));
    assert_eq!(
        of("BTC")["kinds"][0],
        json!({ "kind": "available", "accounts": 1, "debit": "0.00000000", "credit": "0.50000000" })
    );
    let verified = key.get("/ledger/verify").await.expect(200).body;
    assert_eq!(
        verified,
        json!({ "object": "verification", "ok": true, "checked": 7, "first_problem": null })
    );
}

#[tokio::test]
async fn one_clients_ledger_is_not_there_for_another() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let entry = data(&coffer.key().get("/ledger/entries").await)[0]["id"].as_str().unwrap().to_owned();
    let account = data(&coffer.key().get("/ledger/accounts").await)[0]["id"].as_str().unwrap().to_owned();
    let client = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let client = coffer.operator().post("/clients", client).await.expect(201);
    let other = coffer.with(client.body["secret_key"].as_str().unwrap());
    other.get(&format!("/ledger/entries/{entry}")).await.refused(404, "not_found");
    other.get(&format!("/ledger/entries?account={account}")).await.refused(404, "not_found");
    other.get(&format!("/balances?user_id={ann}")).await.refused(404, "not_found");
    assert_eq!(data(&other.get("/ledger/entries").await.expect(200)).len(), 0);
    assert_eq!(other.get("/ledger/verify").await.expect(200).body["checked"], 0);
    let body = json!({ "account": account, "currency": "USD", "amount": "1.00", "direction": "credit", "reason": "x" });
    other.post("/adjustments", body).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_balance_says_what_it_is_worth_and_by_which_prices() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    for (amount, currency) in [("0.50000000", "BTC"), ("12.34", "USD"), ("5.000000", "USDT")] {
        let body = json!({ "amount": amount, "currency": currency, "from": "house:tax", "to": ann, "reason": "seed" });
        coffer.key().post("/transfers", body).await.expect(201);
    }
    let of = async |currency: &str| {
        coffer.key().get(&format!("/balances/{currency}?user_id={ann}")).await.expect(200).body
    };
    let bitcoin = of("BTC").await;
    let valuation = &bitcoin["valuation"];
    let facts = (&valuation["amount"], &valuation["currency"], &valuation["prices"][0]["mid"]);
    assert_eq!(facts, (&json!("54750.00"), &json!("USD"), &json!("109500")));
    let dollars = of("USD").await;
    assert_eq!(
        (&dollars["valuation"]["amount"], &dollars["valuation"]["prices"]),
        (&json!("12.34"), &json!([]))
    );
    let tether = of("USDT").await;
    assert_eq!((&tether["valuation"], &tether["available"]), (&Value::Null, &json!("5.000000")));
    let why = "USDT/USD: there is no market for it, nor a way through one other currency";
    assert_eq!(tether["valuation_missing"], why);
    let past =
        coffer.key().get(&format!("/balances?user_id={ann}&as_of={}", coffer.now())).await.expect(200).body;
    assert_eq!(past["data"][0]["valuation"], Value::Null);
}

/// What is wrong is told by a test beside the job, which can write past the ledger.
#[tokio::test]
async fn the_books_are_looked_over_each_night_and_operators_see_that_they_were() {
    let coffer = Instance::builder().configure(|it| it.storage.verify = "daily".into()).start().await;
    let listed = coffer.operator().get("/schedules").await.expect(200);
    assert!(listed.body["data"].to_string().contains("balance.verify"), "{}", listed.body);
    coffer.settle().await;
    for nights in 1..=2 {
        coffer.advance(std::time::Duration::from_secs(24 * 3600)).await;
        let jobs = coffer.operator().get("/jobs?listener=balance.verify").await.expect(200);
        let states: Vec<&str> =
            jobs.body["data"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
        assert_eq!(states, vec!["sent"; nights], "{}", jobs.body);
    }
    let failed = coffer.key().get("/events?type=verify.failed").await.expect(200);
    assert_eq!(failed.body["data"], serde_json::json!([]));
    assert_eq!(
        Instance::start().await.operator().get("/schedules").await.expect(200).body["data"],
        serde_json::json!([])
    );
}
