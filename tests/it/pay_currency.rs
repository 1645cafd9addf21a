//! Deposits paid in another currency than they are credited in: what was promised, what comes late or otherwise, and
//! what waits for a price.

use std::time::Duration;

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::support::decide;
use crate::{
    gateway_crypto::{FIRST, bitcoin, transfer},
    inbound::tell,
    payment::{initiate, show, state, suspense, user},
    pricing::{charge, plan},
};

async fn ask(coffer: &Instance, user: &str, amount: &str, pay: &str, change: Value) -> Answer {
    let mut body = json!({ "amount": amount, "currency": "USD", "user_id": user, "pay_currency": pay });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    coffer.key().post("/fundings", body).await
}

/// A deposit to be paid through a gateway: its id and that of its payment.
async fn asked(coffer: &Instance, user: &str, amount: &str, pay: &str, gateway: &str) -> (String, String) {
    let funding = ask(coffer, user, amount, pay, json!({})).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap().to_owned();
    initiate(coffer, &payment, gateway).await.expect(200);
    (funding.id().to_owned(), payment)
}

async fn paid(coffer: &Instance, payment: &str, amount: &str, currency: &str) -> Answer {
    let reference = format!("bank-{payment}-{amount}");
    let body = json!({ "reference": reference, "amount": amount, "currency": currency, "reason": "seen" });
    coffer.key().post(&format!("/payments/{payment}/mark-paid"), body).await
}

async fn funding(coffer: &Instance, id: &str) -> Value {
    coffer.key().get(&format!("/fundings/{id}")).await.expect(200).body
}

async fn has(coffer: &Instance, user: &str, currency: &str) -> String {
    let balance = coffer.key().get(&format!("/balances/{currency}?user_id={user}")).await.expect(200);
    balance.body["available"].as_str().unwrap().to_owned()
}

/// What an account of the house holds; nothing when there is none.
async fn house(coffer: &Instance, kind: &str, currency: &str) -> String {
    let path = format!("/ledger/accounts?currency={currency}&kind={kind}");
    let found = coffer.key().get(&path).await.expect(200).body;
    found["data"].as_array().unwrap().first().map_or("none", |it| it["balance"].as_str().unwrap()).to_owned()
}

/// The postings of an entry: `kind currency amount`, in order.
async fn postings(coffer: &Instance, entry: &Value) -> Vec<String> {
    let entry = coffer.key().get(&format!("/ledger/entries/{}", entry.as_str().unwrap())).await.expect(200);
    let text = |it: &Value, name: &str| it[name].as_str().unwrap().split(':').next().unwrap().to_owned();
    let mut shown: Vec<String> = entry.body["postings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", text(it, "kind"), text(it, "currency"), text(it, "amount")))
        .collect();
    shown.sort();
    shown
}

/// A market for USDT in USD whose prices are sent, and go stale.
struct Tether<'a> {
    coffer: &'a Instance,
    id: String,
}

impl Tether<'_> {
    async fn market(coffer: &Instance, stale_after_s: u64) -> Tether<'_> {
        let market = json!({
            "base": "USDT", "quote": "USD", "stale_after_s": stale_after_s, "max_deviation_percent": "100",
        });
        Tether { coffer, id: coffer.key().post("/markets", market).await.expect(201).id().to_owned() }
    }

    async fn price(&self, price: &str) {
        let path = format!("/markets/{}/prices", self.id);
        self.coffer.key().post(&path, json!({ "price": price })).await.expect(201);
    }
}

/// The first acceptance line of the whole: to the last digit, with the confirmations of a chain.
#[tokio::test]
async fn a_thousand_dollars_paid_in_bitcoin_are_a_thousand_dollars_and_buy_a_plan_of_a_thousand() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    coffer.new_events();
    let asked = ask(&coffer, &ann, "1000.00", "BTC", json!({ "gateway_id": gateway })).await.expect(201);
    assert_eq!(coffer.new_events(), ["payment.created", "funding.requested"]);
    let quote = &asked.body["quote"];
    for (field, wanted) in [
        ("pay_currency", json!("BTC")),
        ("expected_amount", json!("0.00913243")),
        ("rate", json!("109500")),
        ("price_age_s", json!(0)),
        ("expires_at", json!("2026-01-01T01:00:00.000000Z")),
        ("received_amount", Value::Null),
        ("waits_for_price", json!(false)),
        ("settled_rate", Value::Null),
    ] {
        assert_eq!(quote[field], wanted, "{field}");
    }
    assert!(quote["prices"][0]["price_id"].as_str().unwrap().starts_with("pri_"), "the price is kept");
    let money = ["amount", "credit_amount", "fee", "currency"].map(|it| asked.body[it].as_str().unwrap());
    assert_eq!(money, ["1000.00", "1000.00", "0.00", "USD"]);

    let payment = asked.body["payment_id"].as_str().unwrap();
    let attempt = initiate(&coffer, payment, &gateway).await.expect(200).body;
    let expected =
        ["expected_amount", "expected_currency", "address"].map(|it| attempt[it].as_str().unwrap());
    assert_eq!(expected, ["0.00913243", "BTC", FIRST]);
    tell(&coffer, &gateway, &transfer("e1", FIRST, "aa", 913_243, 0)).await.expect(200);
    assert_eq!(funding(&coffer, asked.id()).await["status"], "processing");
    assert_eq!(has(&coffer, &ann, "USD").await, "0.00", "nothing before it is confirmed");
    coffer.new_events();
    tell(&coffer, &gateway, &transfer("e2", FIRST, "aa", 913_243, 1)).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.settled", "transaction.created", "funding.completed"]);
    tell(&coffer, &gateway, &transfer("e3", FIRST, "aa", 913_243, 2)).await.expect(200);
    assert_eq!(
        (has(&coffer, &ann, "USD").await, has(&coffer, &ann, "BTC").await),
        ("1000.00".into(), "0.00000000".into())
    );

    let done = funding(&coffer, asked.id()).await;
    let shown = ["status", "credit_amount", "fee"].map(|it| done[it].as_str().unwrap());
    assert_eq!(shown, ["completed", "1000.00", "0.00"]);
    assert_eq!(
        (&done["quote"]["received_amount"], &done["quote"]["settled_rate"]),
        (&json!("0.00913243"), &Value::Null)
    );
    assert_eq!(
        postings(&coffer, &done["entry_id"]).await,
        ["available USD 1000.00", "clearing BTC -0.00913243", "fx BTC 0.00913243", "fx USD -1000.00"]
    );
    assert_eq!(state(&show(&coffer, payment).await), "settled none exact 0.00913243");
    let records = coffer.key().get(&format!("/transactions?user_id={ann}")).await.expect(200).body;
    let record = &records["data"][0];
    let record = ["category", "amount", "currency"].map(|it| record[it].as_str().unwrap());
    assert_eq!(record, ["deposit", "1000.00", "USD"]);
    let counted = coffer.key().get("/dashboard/statistics").await.expect(200).body;
    let volume = |metric: &str, currency: &str| {
        let rows = counted["volumes"].as_array().unwrap();
        let row = rows.iter().find(|it| it["metric"] == metric && it["currency"] == currency);
        row.map(|it| it["amount"].as_str().unwrap().to_owned())
    };
    assert_eq!(volume("deposits", "USD").as_deref(), Some("1000.00"));
    assert_eq!(volume("payments", "BTC").as_deref(), Some("0.00913243"));
    assert_eq!((volume("deposits", "BTC"), volume("payments", "USD")), (None, None));

    let plan = plan(&coffer, json!({ "min_amount": "1000.00" })).await;
    let invested = json!({ "plan_id": plan, "amount": "1000.00", "user_id": ann });
    coffer.key().post("/investments", invested).await.expect(201);
    assert_eq!(has(&coffer, &ann, "USD").await, "0.00");
}

#[tokio::test]
async fn a_bank_and_a_sandbox_keep_the_promise_too_with_fees_on_top_and_included() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let (bank, sandbox) = (&coffer.credentials().manual_gateway, &coffer.credentials().sandbox_gateway);
    // 1000.00 at 1.1 is 909.0909… euros.
    let (first, payment) = asked(&coffer, &ann, "1000.00", "EUR", bank).await;
    paid(&coffer, &payment, "909.10", "EUR").await.expect(200);
    assert_eq!(funding(&coffer, &first).await["credit_amount"], "1000.00");
    let (second, _) = asked(&coffer, &ann, "1000.00", "BTC", sandbox).await;
    assert_eq!(funding(&coffer, &second).await["status"], "completed");
    assert_eq!(has(&coffer, &ann, "USD").await, "2000.00");

    charge(&coffer, "funding", json!({ "percent": "1.5", "fixed": "1.00" })).await;
    for (included, expected, credit, entry) in [
        // 2.70 on top of 113.30: 116.00 at 109,500.
        (
            false,
            "0.00105937",
            "113.30",
            [
                "available USD 113.30",
                "clearing BTC -0.00105937",
                "fee_income USD 2.70",
                "fx BTC 0.00105937",
                "fx USD -116.00",
            ],
        ),
        (
            true,
            "0.00103471",
            "110.60",
            [
                "available USD 110.60",
                "clearing BTC -0.00103471",
                "fee_income USD 2.70",
                "fx BTC 0.00103471",
                "fx USD -113.30",
            ],
        ),
    ] {
        let made = ask(&coffer, &ann, "113.30", "BTC", json!({ "fee_included": included })).await.expect(201);
        assert_eq!(made.body["quote"]["expected_amount"], expected, "included: {included}");
        let payment = made.body["payment_id"].as_str().unwrap();
        initiate(&coffer, payment, sandbox).await.expect(200);
        let done = funding(&coffer, made.id()).await;
        let shown = ["status", "credit_amount", "fee"].map(|it| done[it].as_str().unwrap());
        assert_eq!(shown, ["completed", credit, "2.70"]);
        assert_eq!(postings(&coffer, &done["entry_id"]).await, entry);
    }
}

#[tokio::test]
async fn what_comes_late_or_otherwise_is_credited_at_the_prices_of_now() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let bank = &coffer.credentials().manual_gateway;
    charge(&coffer, "funding", json!({ "fixed": "1.00" })).await;
    let tether = Tether::market(&coffer, 30 * 24 * 3600).await;
    let minute = Duration::from_secs(60);
    for (later, price, comes, shares, settled_rate) in [
        // 101.00 for 100.00 and the fee of 1.00: as promised, wherever the price went.
        (minute, "0.90", "101.000000", ("100.00", "1.00"), Value::Null),
        (Duration::from_secs(3599), "0.90", "101.000000", ("100.00", "1.00"), Value::Null),
        // At the very instant it is late: 90.90, and that part of the fee.
        (Duration::from_secs(3600), "0.90", "101.000000", ("90.00", "0.90"), json!("0.9")),
        // 99.90 is less than 101.00 too; 0.989… rounded up.
        (minute, "0.90", "111.000000", ("98.91", "0.99"), json!("0.9")),
        (minute, "1.10", "101.000001", ("110.10", "1.00"), json!("1.1")),
    ] {
        tether.price("1").await;
        let (id, payment) = asked(&coffer, &ann, "100.00", "USDT", bank).await;
        coffer.advance(later).await;
        tether.price(price).await;
        paid(&coffer, &payment, comes, "USDT").await.expect(200);
        let done = funding(&coffer, &id).await;
        let case = format!("{comes} at {price} after {later:?}");
        assert_eq!(
            (&done["status"], &done["quote"]["settled_rate"]),
            (&json!("completed"), &settled_rate),
            "{case}"
        );
        assert_eq!((&done["credit_amount"], &done["fee"]), (&json!(shares.0), &json!(shares.1)), "{case}");
        coffer.advance(minute).await;
    }
    // Too little waits for the rest; when its time is over it is credited at the prices of then.
    tether.price("1").await;
    let (id, payment) = asked(&coffer, &ann, "100.00", "USDT", bank).await;
    paid(&coffer, &payment, "50.5", "USDT").await.expect(200);
    assert_eq!(funding(&coffer, &id).await["status"], "processing");
    tether.price("0.50").await;
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    let done = funding(&coffer, &id).await;
    // 25.25 of the 101.00 that were to be paid: a quarter of the fee.
    let shown = ["status", "credit_amount", "fee"].map(|it| done[it].as_str().unwrap());
    assert_eq!(shown, ["completed", "25.00", "0.25"]);
    // In two parts that are exactly it together, in time, it is as promised.
    tether.price("1").await;
    let (id, payment) = asked(&coffer, &ann, "100.00", "USDT", bank).await;
    paid(&coffer, &payment, "50", "USDT").await.expect(200);
    tether.price("0.80").await;
    paid(&coffer, &payment, "51", "USDT").await.expect(200);
    let done = funding(&coffer, &id).await;
    assert_eq!((&done["status"], &done["credit_amount"]), (&json!("completed"), &json!("100.00")));
    // After the end of its payment it is nobody's: suspense.
    let (id, payment) = asked(&coffer, &ann, "100.00", "USDT", bank).await;
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    paid(&coffer, &payment, "101", "USDT").await.expect(200);
    assert_eq!(funding(&coffer, &id).await["status"], "expired");
    assert_eq!(suspense(&coffer).await.len(), 1);
}

#[tokio::test]
async fn without_a_price_it_waits_in_suspense_and_is_credited_when_there_is_one() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let bank = coffer.credentials().manual_gateway.clone();
    let tether = Tether::market(&coffer, 600).await;
    ask(&coffer, &ann, "100.00", "USDT", json!({})).await.refused(503, "rate_unavailable");
    assert_eq!(
        coffer.key().get("/fundings").await.expect(200).body["data"],
        json!([]),
        "nothing was promised"
    );
    tether.price("1").await;
    let (kept, kept_payment) = asked(&coffer, &ann, "10.00", "USDT", &bank).await;
    let (id, payment) = asked(&coffer, &ann, "100.00", "USDT", &bank).await;
    coffer.advance(Duration::from_secs(600)).await;
    paid(&coffer, &kept_payment, "10", "USDT").await.expect(200);
    assert_eq!(funding(&coffer, &kept).await["credit_amount"], "10.00", "what was promised takes no price");

    coffer.new_events();
    paid(&coffer, &payment, "120", "USDT").await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.settled", "funding.conflicted"]);
    let waiting = funding(&coffer, &id).await;
    assert_eq!((&waiting["status"], &waiting["entry_id"]), (&json!("conflicted"), &Value::Null));
    assert_eq!(
        (&waiting["quote"]["waits_for_price"], &waiting["quote"]["received_amount"]),
        (&json!(true), &json!("120.000000"))
    );
    let why = waiting["status_history"].as_array().unwrap().last().unwrap()["reason"].as_str().unwrap();
    assert!(why.starts_with("rate_unavailable: USDT/USD: the last price is 600 s old"), "{why}");
    assert_eq!(
        (has(&coffer, &ann, "USD").await, house(&coffer, "suspense", "USDT").await),
        ("10.00".into(), "120.000000".into())
    );
    assert_eq!(coffer.key().get("/fundings?status=conflicted").await.expect(200).body["data"][0]["id"], id);
    // Nobody can cancel it, take it back or have it back meanwhile.
    coffer
        .key()
        .post(&format!("/fundings/{id}/cancel"), json!({}))
        .await
        .refused(409, "invalid_state_transition");
    let because = json!({ "reason": "no price" });
    coffer
        .key()
        .post(&format!("/fundings/{id}/reverse"), because)
        .await
        .refused(409, "invalid_state_transition");
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(funding(&coffer, &id).await["version"], waiting["version"], "looked at, and nothing changed");

    coffer.new_events();
    tether.price("0.95").await;
    coffer.advance(Duration::from_secs(60)).await;
    assert_eq!(coffer.new_events(), ["transaction.created", "funding.completed"]);
    let done = funding(&coffer, &id).await;
    assert_eq!((&done["status"], &done["credit_amount"]), (&json!("completed"), &json!("114.00")));
    assert_eq!(
        (&done["quote"]["waits_for_price"], &done["quote"]["settled_rate"]),
        (&json!(false), &json!("0.95"))
    );
    assert_eq!(
        postings(&coffer, &done["entry_id"]).await,
        ["available USD 114.00", "clearing USDT -120.000000", "fx USD -114.00", "fx USDT 120.000000"]
    );
    assert_eq!(
        (has(&coffer, &ann, "USD").await, house(&coffer, "suspense", "USDT").await),
        ("124.00".into(), "0.000000".into())
    );
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "once");
}

#[tokio::test]
async fn a_person_who_accepts_another_amount_has_it_credited_at_the_price_of_now() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    // One unit too much, says the sandbox of an amount that ends in .04: 1000.04 euros.
    let made = ask(&coffer, &ann, "1100.04", "EUR", json!({})).await.expect(201);
    assert_eq!(made.body["quote"]["expected_amount"], "1000.04");
    let payment = made.body["payment_id"].as_str().unwrap();
    initiate(&coffer, payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    assert_eq!(funding(&coffer, made.id()).await["status"], "conflicted");
    let credit = json!({ "decision": "credit", "reason": "it is on the statement" });
    decide(&coffer.key(), &format!("/payments/{payment}/resolve"), credit).await.expect(200);
    let done = funding(&coffer, made.id()).await;
    // 1000.05 × 1.1 is 1100.055.
    assert_eq!((&done["status"], &done["credit_amount"]), (&json!("completed"), &json!("1100.05")));
    assert_eq!(done["quote"]["settled_rate"], "1.1");
}

#[tokio::test]
async fn a_reversal_takes_both_sides_back_and_a_refund_is_none() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    charge(&coffer, "funding", json!({ "fixed": "1.00" })).await;
    let (id, payment) = asked(&coffer, &ann, "100.00", "EUR", &coffer.credentials().manual_gateway).await;
    paid(&coffer, &payment, "91.82", "EUR").await.expect(200);
    assert_eq!(funding(&coffer, &id).await["credit_amount"], "100.00");
    let refund = json!({ "payment_id": payment, "amount": "1.00", "reason": "asked for" });
    let refused = coffer.key().post("/refunds", refund).await.refused(422, "not_refundable");
    assert_eq!(refused.body["reason"], "converted", "what was credited are dollars");

    let path = format!("/fundings/{id}/reverse");
    let reversed = coffer.key().post(&path, json!({ "reason": "recalled" })).await.expect(200).body;
    assert_eq!(reversed["status"], "reversed");
    assert_eq!(
        postings(&coffer, &reversed["reversal_entry_id"]).await,
        [
            "available USD -100.00",
            "clearing EUR 91.82",
            "fee_income USD -1.00",
            "fx EUR -91.82",
            "fx USD 101.00"
        ]
    );
    assert_eq!(has(&coffer, &ann, "USD").await, "0.00");
    assert_eq!(
        (house(&coffer, "fx", "EUR").await, house(&coffer, "fx", "USD").await),
        ("0.00".into(), "0.00".into())
    );
}

/// A bank takes back what it takes in its own currency, whatever it was turned into.
#[tokio::test]
async fn a_dispute_takes_the_currency_that_was_paid() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let (id, payment) = asked(&coffer, &ann, "100.00", "EUR", &coffer.credentials().manual_gateway).await;
    paid(&coffer, &payment, "90.91", "EUR").await.expect(200);
    let dispute = json!({ "payment_id": payment, "amount": "90.91", "reason": "not me" });
    let dispute = coffer.key().post("/disputes", dispute).await.expect(201);
    assert_eq!(
        (has(&coffer, &ann, "EUR").await, has(&coffer, &ann, "USD").await),
        ("-90.91".into(), "100.00".into())
    );
    let won = json!({ "reason": "it was her" });
    coffer.key().post(&format!("/disputes/{}/win", dispute.id()), won).await.expect(200);
    assert_eq!(
        (has(&coffer, &ann, "EUR").await, has(&coffer, &ann, "USD").await),
        ("0.00".into(), "100.00".into())
    );
    assert_eq!(funding(&coffer, &id).await["status"], "completed");
}

#[tokio::test]
async fn euros_for_euros_do_not_touch_dollars() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    for change in [json!({}), json!({ "pay_currency": "EUR" })] {
        let mut body = json!({ "amount": "50.00", "currency": "EUR", "user_id": ann });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let made = coffer.key().post("/fundings", body).await.expect(201);
        assert_eq!(made.body["quote"], Value::Null, "one currency takes no quote");
        let payment = made.body["payment_id"].as_str().unwrap();
        initiate(&coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
        paid(&coffer, payment, "50.00", "EUR").await.expect(200);
    }
    assert_eq!(has(&coffer, &ann, "EUR").await, "100.00");
    let dollars = coffer.key().get("/ledger/accounts?currency=USD").await.expect(200).body;
    assert_eq!(dollars["data"], json!([]));
    assert_eq!(house(&coffer, "fx", "EUR").await, "none");
}

#[tokio::test]
async fn what_is_no_deposit_or_no_currency_is_refused_and_lists_tell_them_apart() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let profit = json!({ "type": "profit", "reason": "third quarter" });
    ask(&coffer, &ann, "10.00", "BTC", profit).await.refused(422, "not_allowed");
    ask(&coffer, &ann, "10.00", "XYZ", json!({})).await.refused(422, "currency_inactive");
    ask(&coffer, &ann, "10.00", "USDT", json!({})).await.refused(503, "rate_unavailable");
    let dollars = json!({ "name": "Dollars", "slug": "dollars", "kind": "manual", "currencies": ["USD"] });
    let dollars = coffer.key().post("/payment-gateways", dollars).await.expect(201).id().to_owned();
    coffer.key().post(&format!("/payment-gateways/{dollars}/activate"), json!({})).await.expect(200);
    ask(&coffer, &ann, "10.00", "BTC", json!({ "gateway_id": dollars }))
        .await
        .refused(422, "gateway_unavailable");
    // A payment shorter than a promise ends it.
    crate::payment::set(&coffer, json!({ "payment": { "expires_after_s": 600 } })).await;
    let bitcoin = ask(&coffer, &ann, "10.00", "BTC", json!({})).await.expect(201);
    assert_eq!(bitcoin.body["quote"]["expires_at"], "2026-01-01T00:10:00.000000Z");
    crate::payment::set(&coffer, json!({ "funding": { "quote_expires_after_s": 60 } })).await;
    let euros = ask(&coffer, &ann, "10.00", "EUR", json!({})).await.expect(201);
    assert_eq!(euros.body["quote"]["expires_at"], "2026-01-01T00:01:00.000000Z");
    ask(&coffer, &ann, "10.00", "USD", json!({})).await.expect(201);
    let list = coffer.key().get("/fundings?pay_currency=BTC").await.expect(200).body;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["id"], bitcoin.id());
    assert_eq!(
        coffer.key().get("/fundings?currency=USD").await.expect(200).body["data"].as_array().unwrap().len(),
        3
    );
}

/// What is worth less than the smallest unit credits nothing, and is the house's: it is booked all the same.
#[tokio::test]
async fn a_satoshi_is_booked_and_credits_no_cent() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    charge(&coffer, "funding", json!({ "fixed": "1.00" })).await;
    let (id, payment) = asked(&coffer, &ann, "10.00", "BTC", &coffer.credentials().manual_gateway).await;
    paid(&coffer, &payment, "0.00000001", "BTC").await.expect(200);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    let done = funding(&coffer, &id).await;
    let shown = ["status", "credit_amount", "fee"].map(|it| done[it].as_str().unwrap());
    assert_eq!(shown, ["completed", "0.00", "0.00"]);
    assert_eq!(postings(&coffer, &done["entry_id"]).await, ["clearing BTC -0.00000001", "fx BTC 0.00000001"]);
}
