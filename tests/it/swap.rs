//! Swaps: quotes, what accepting one moves, and that nobody earns by going there and back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::{
    payment::{set, user},
    pricing::charge,
    withdrawal::person,
};

/// Gives a user money of any currency.
async fn give(coffer: &Instance, user: &str, amount: &str, currency: &str) {
    let body =
        json!({ "amount": amount, "currency": currency, "from": "house:tax", "to": user, "reason": "seed" });
    coffer.key().post("/transfers", body).await.expect(201);
}

async fn has(coffer: &Instance, user: &str, currency: &str) -> String {
    let balance = coffer.key().get(&format!("/balances/{currency}?user_id={user}")).await.expect(200);
    balance.body["available"].as_str().unwrap().to_owned()
}

async fn quote(coffer: &Instance, user: &str, from: &str, to: &str, amount: (&str, &str)) -> Answer {
    let mut body = json!({ "from_currency": from, "to_currency": to, "user_id": user });
    body[amount.0] = amount.1.into();
    coffer.key().post("/swaps/quotes", body).await
}

async fn accept(coffer: &Instance, quote: &str) -> Answer {
    coffer.key().post("/swaps", json!({ "quote_id": quote })).await
}

async fn status(coffer: &Instance, quote: &str) -> String {
    let quote = coffer.key().get(&format!("/swaps/quotes/{quote}")).await.expect(200);
    quote.body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_quote_promises_and_a_swap_keeps_the_promise() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "1500.00", "USD").await;
    coffer.new_events();
    let quoted = quote(&coffer, &ann, "USD", "BTC", ("from_amount", "1000.00")).await.expect(201).body;
    for (field, wanted) in [
        ("status", json!("active")),
        ("from_amount", json!("1000.00")),
        ("to_amount", json!("0.00913242")),
        ("fee", json!("0.00")),
        ("rate", json!("0.00000913242009132420091")),
        ("mid_rate", json!("0.00000913242009132420091")),
        ("spread", json!("0")),
        ("expires_at", json!("2026-01-01T00:00:30.000000Z")),
        ("swap_id", Value::Null),
    ] {
        assert_eq!(quoted[field], wanted, "{field}");
    }
    let price = &quoted["prices"][0];
    assert_eq!(
        (&price["mid"], &price["source"], &price["base"]),
        (&json!("109500"), &json!("fixed"), &json!("BTC"))
    );
    assert_eq!((coffer.new_events(), has(&coffer, &ann, "USD").await), (vec![], "1500.00".to_owned()));

    let id = quoted["id"].as_str().unwrap();
    let swap = accept(&coffer, id).await.expect(201).body;
    assert_eq!(coffer.new_events(), ["transaction.created", "transaction.created", "swap.executed"]);
    assert_eq!((&swap["to_amount"], &swap["quote_id"]), (&json!("0.00913242"), &json!(id)));
    assert_eq!(
        (has(&coffer, &ann, "USD").await, has(&coffer, &ann, "BTC").await),
        ("500.00".into(), "0.00913242".into())
    );
    assert_eq!(status(&coffer, id).await, "accepted");

    let entry = coffer.key().get(&format!("/ledger/entries/{}", swap["entry_id"].as_str().unwrap())).await;
    let entry = entry.expect(200).body;
    assert_eq!((&entry["cause"], entry["postings"].as_array().unwrap().len()), (&swap["id"], 4));
    let records = coffer.key().get(&format!("/transactions?user_id={ann}")).await.expect(200).body;
    let records: Vec<_> = records["data"].as_array().unwrap()[..2]
        .iter()
        .map(|it| {
            [&it["entry_type"], &it["category"], &it["amount"], &it["currency"]]
                .map(|it| it.as_str().unwrap())
        })
        .collect();
    assert_eq!(records, [["credit", "swap", "0.00913242", "BTC"], ["debit", "swap", "1000.00", "USD"]]);
    coffer.settle().await;
    let inbox = coffer.key().get(&format!("/notifications?user_id={ann}")).await.expect(200).body;
    let title = inbox["data"][0]["title"].as_str().unwrap();
    assert_eq!(title, "You swapped 1000.00 USD for 0.00913242 BTC");

    for path in ["/swaps?from_currency=USD", "/swaps/rates?from_currency=USD&to_currency=BTC", "/swaps/rates"]
    {
        let list = coffer.key().get(path).await.expect(200).body;
        assert_eq!(list["data"][0]["mid_rate"], "0.00000913242009132420091", "{path}");
    }
    let none = coffer.key().get("/swaps/rates?from_currency=BTC&to_currency=USD").await.expect(200).body;
    assert_eq!(none["data"], json!([]));
    coffer.key().get("/swaps/rates?from_currency=BTC").await.refused(422, "required");
}

#[tokio::test]
async fn what_is_to_be_received_may_be_named() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "1.00000000", "BTC").await;
    let quoted = quote(&coffer, &ann, "BTC", "EUR", ("to_amount", "1000.00")).await.expect(201).body;
    // 1000 × 1.1 / 109500, rounded up: what a customer pays.
    assert_eq!((&quoted["from_amount"], &quoted["to_amount"]), (&json!("0.01004567"), &json!("1000.00")));
    assert_eq!(quoted["prices"].as_array().unwrap().len(), 2, "a cross rate through USD");
    accept(&coffer, quoted["id"].as_str().unwrap()).await.expect(201);
    assert_eq!(
        (has(&coffer, &ann, "EUR").await, has(&coffer, &ann, "BTC").await),
        ("1000.00".into(), "0.98995433".into())
    );
}

#[tokio::test]
async fn an_accepted_quote_answers_with_its_one_swap_for_ever() {
    let coffer = Arc::new(Instance::start().await);
    let (ann, her) = person(&coffer, "ann", &["user"]).await;
    let (_, bob) = person(&coffer, "bob", &["user"]).await;
    give(&coffer, &ann, "5000.00", "USD").await;
    let body = json!({ "from_currency": "USD", "to_currency": "EUR", "from_amount": "1000.00" });
    let quoted = her.post("/swaps/quotes", body).await.expect(201);
    let id = quoted.id().to_owned();
    bob.get(&format!("/swaps/quotes/{id}")).await.refused(404, "not_found");
    bob.post("/swaps", json!({ "quote_id": id })).await.refused(404, "not_found");
    bob.post(&format!("/swaps/quotes/{id}/cancel"), json!({})).await.refused(404, "not_found");

    let dry = her.post("/swaps?dry_run=true", json!({ "quote_id": id })).await.expect(200);
    assert_eq!((dry.id(), status(&coffer, &id).await), ("", "active".to_owned()));
    let mut racing = vec![];
    for _ in 0..16 {
        let (her, id) = (her.clone(), id.clone());
        racing.push(tokio::spawn(
            async move { her.post("/swaps", json!({ "quote_id": id })).await.expect(201) },
        ));
    }
    let mut swaps = std::collections::BTreeSet::new();
    for answer in racing {
        swaps.insert(answer.await.unwrap().id().to_owned());
    }
    assert_eq!(swaps.len(), 1, "single use");
    assert_eq!(has(&coffer, &ann, "USD").await, "4000.00");
    // Longer than a quote lives, not as long as a session.
    coffer.advance(Duration::from_secs(600)).await;
    let again = her.post("/swaps", json!({ "quote_id": id })).await.expect(201);
    assert!(swaps.contains(again.id()), "also after its time");
    bob.get(&format!("/swaps/{}", again.id())).await.refused(404, "not_found");
    assert_eq!(bob.get("/swaps").await.expect(200).body["data"], json!([]));
    her.post(&format!("/swaps/quotes/{id}/cancel"), json!({})).await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn a_quote_is_kept_until_its_time_passes_and_no_longer() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "5000.00", "USD").await;
    let new = async || {
        quote(&coffer, &ann, "USD", "EUR", ("from_amount", "10.00")).await.expect(201).id().to_owned()
    };
    let (late, canceled) = (new().await, new().await);
    let cancel = async |id: &str| coffer.key().post(&format!("/swaps/quotes/{id}/cancel"), json!({})).await;
    assert_eq!(cancel(&canceled).await.expect(200).body["status"], "canceled");
    assert_eq!(cancel(&canceled).await.expect(200).body["version"], 2, "a repeat changes nothing");
    accept(&coffer, &canceled).await.refused(409, "invalid_state_transition");
    coffer.new_events();
    coffer.advance(Duration::from_secs(30)).await;
    assert_eq!(status(&coffer, &late).await, "expired");
    accept(&coffer, &late).await.refused(410, "quote_expired");
    cancel(&late).await.refused(409, "invalid_state_transition");
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    set(&coffer, json!({ "swap": { "quote_expires_after_s": 60 } })).await;
    let longer = new().await;
    coffer.advance(Duration::from_secs(59)).await;
    accept(&coffer, &longer).await.expect(201);
}

/// 1,095.00 USD at 109,500 once gave 0.00999999 BTC: the market was turned round first, and the rate rounded.
#[tokio::test]
async fn a_market_serves_both_directions_to_the_last_unit() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    for (currency, amount) in
        [("USD", "10000.00"), ("BTC", "1.00000000"), ("ETH", "10.000000000000000000"), ("EUR", "100.00")]
    {
        give(&coffer, &ann, amount, currency).await;
    }
    type Side<'a> = (&'a str, &'a str);
    let swapped = async |(from, to): Side<'_>, named: Side<'_>, given: &str, fee: &str, received: &str| {
        let quoted = quote(&coffer, &ann, from, to, named).await.expect(201);
        let swap = accept(&coffer, quoted.id()).await.expect(201).body;
        let found = [&swap["from_amount"], &swap["fee"], &swap["to_amount"]].map(|it| it.as_str().unwrap());
        assert_eq!(found, [given, fee, received], "{from} to {to}, {named:?}");
        for shown in [&quoted.body, &swap] {
            assert_eq!((&shown["from_currency"], &shown["to_currency"]), (&json!(from), &json!(to)));
        }
    };
    let (there, back) = (("USD", "BTC"), ("BTC", "USD"));
    for (way, named, given, received) in [
        (there, ("from_amount", "1095.00"), "1095.00", "0.01000000"),
        (there, ("to_amount", "0.01"), "1095.00", "0.01000000"),
        (there, ("from_amount", "1094.99"), "1094.99", "0.00999990"),
        (back, ("from_amount", "0.01"), "0.01000000", "1095.00"),
        (back, ("to_amount", "1095.00"), "0.01000000", "1095.00"),
        (back, ("to_amount", "1095.01"), "0.01000010", "1095.01"),
        // Through dollars: 109,500 / 4,500 is 24.333…, and 109,500 / 1.10 is 99,545.4545…
        (("BTC", "ETH"), ("from_amount", "0.03"), "0.03000000", "0.730000000000000000"),
        (("ETH", "BTC"), ("from_amount", "0.73"), "0.730000000000000000", "0.03000000"),
        (("ETH", "BTC"), ("to_amount", "0.03"), "0.730000000000000000", "0.03000000"),
        (("EUR", "BTC"), ("from_amount", "10.95"), "10.95", "0.00011000"),
        (("BTC", "EUR"), ("to_amount", "10.95"), "0.00011000", "10.95"),
    ] {
        let none = if way.0 == "BTC" {
            "0.00000000"
        } else if way.0 == "ETH" {
            "0.000000000000000000"
        } else {
            "0.00"
        };
        swapped(way, named, given, none, received).await;
    }

    for currency in ["USD", "BTC", "ETH"] {
        charge(&coffer, "swap", json!({ "percent": "1", "currency": currency })).await;
        charge(&coffer, "spread", json!({ "percent": "2", "currency": currency })).await;
    }
    for (way, named, given, fee, received) in [
        // 990.00 × 98 % / 109,500 is 0.0088602739…
        (there, ("from_amount", "1000.00"), "1000.00", "10.00", "0.00886027"),
        (there, ("to_amount", "0.00886027"), "1000.00", "10.00", "0.00886027"),
        // 0.0099 × 98 % × 109,500 is 1,062.369
        (back, ("from_amount", "0.01"), "0.01000000", "0.00010000", "1062.36"),
        // 1,062.36 / (98 % of 109,500) is 0.0098999161…; a hundredth of what is given is the fee.
        (back, ("to_amount", "1062.36"), "0.00999992", "0.00010000", "1062.36"),
        (("BTC", "ETH"), ("from_amount", "0.03"), "0.03000000", "0.00030000", "0.708246000000000000"),
        (("ETH", "BTC"), ("from_amount", "1"), "1.000000000000000000", "0.010000000000000000", "0.03987123"),
    ] {
        swapped(way, named, given, fee, received).await;
    }
    let rates = coffer.key().get("/swaps/rates?from_currency=USD&to_currency=BTC").await.expect(200).body;
    let newest = &rates["data"][0];
    assert_eq!(
        (&newest["rate"], &newest["mid_rate"], &newest["spread"]),
        (&json!("0.00000894977168949771689"), &json!("0.00000913242009132420091"), &json!("2")),
        "shown with the digits a rate has, rounded down"
    );
}

#[tokio::test]
async fn what_is_no_price_changes_no_rate() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let market = json!({ "base": "EUR", "quote": "USDT", "stale_after_s": 60 });
    let market = coffer.key().post("/markets", market).await.expect(201).id().to_owned();
    let send = async |body: Value| coffer.key().post(&format!("/markets/{market}/prices"), body).await;
    let rate = async |from: &str, to: &str| {
        let quoted = quote(&coffer, &ann, from, to, ("from_amount", "10.00")).await;
        if quoted.status == 201 {
            quoted.body["to_amount"].as_str().unwrap().to_owned()
        } else {
            quoted.code().to_owned()
        }
    };
    send(json!({ "price": "1.10" })).await.expect(201);
    for (body, code) in [
        (json!({ "price": "0" }), "price_not_positive"),
        (json!({ "bid": "1.20", "ask": "1.10" }), "price_inverted"),
        (json!({ "price": "1.20", "observed_at": "2026-01-01T00:10:00Z" }), "price_in_future"),
        (json!({ "price": "1.20", "observed_at": "2025-12-31T23:50:00Z" }), "price_older"),
    ] {
        send(body).await.refused(422, code);
        let rates = (rate("EUR", "USDT").await, rate("USDT", "EUR").await);
        assert_eq!(rates, ("11.000000".into(), "9.09".into()), "{code}");
    }
    send(json!({ "bid": "1.20", "ask": "1.30" })).await.expect(201);
    assert_eq!(rate("EUR", "USDT").await, "12.500000", "the middle");
    let version = coffer.key().get(&format!("/markets/{market}")).await.expect(200).body["version"].as_u64();
    coffer
        .key()
        .patch(&format!("/markets/{market}"), version.unwrap(), json!({ "status": "paused" }))
        .await
        .expect(200);
    // Through USD there is no way either: USDT has no other market.
    assert_eq!(
        (rate("EUR", "USDT").await, rate("USDT", "BTC").await),
        ("rate_unavailable".into(), "rate_unavailable".into())
    );
}

#[tokio::test]
async fn a_promise_does_not_follow_the_market() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "100.00", "EUR").await;
    let market = json!({ "base": "EUR", "quote": "USDT", "stale_after_s": 60 });
    let market = coffer.key().post("/markets", market).await.expect(201).id().to_owned();
    let send = async |price: &str| {
        coffer.key().post(&format!("/markets/{market}/prices"), json!({ "price": price })).await.expect(201);
    };
    let ask = async || quote(&coffer, &ann, "EUR", "USDT", ("from_amount", "10.00")).await;
    ask().await.refused(503, "rate_unavailable");
    send("1.10").await;
    let quoted = ask().await.expect(201);
    coffer.advance(Duration::from_secs(10)).await;
    send("1.20").await;
    let swap = accept(&coffer, quoted.id()).await.expect(201).body;
    assert_eq!(swap["to_amount"], "11.000000");
    assert_eq!(ask().await.expect(201).body["to_amount"], "12.000000");
    coffer.advance(Duration::from_secs(60)).await;
    let stale = ask().await.refused(503, "rate_unavailable");
    assert_eq!(stale.body["age_s"], 60);
    quote(&coffer, &ann, "USDT", "EUR", ("to_amount", "1.00")).await.refused(503, "rate_unavailable");
}

#[tokio::test]
async fn the_refusals_come_in_their_order() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "10.00", "USD").await;
    for (from, to, field, amount, status, code) in [
        ("USD", "USD", "from_amount", "1.00", 422, "not_allowed"),
        ("GBP", "USD", "from_amount", "1.00", 422, "currency_inactive"),
        ("USD", "GBP", "from_amount", "1.00", 422, "currency_inactive"),
        ("USD", "EUR", "from_amount", "0.00", 422, "amount_not_positive"),
        ("USD", "EUR", "from_amount", "0.001", 422, "amount_scale"),
        ("USD", "EUR", "from_amount", "-1", 422, "amount_format"),
        ("USD", "EUR", "amount", "1.00", 422, "required"),
        ("USD", "USDT", "from_amount", "1.00", 503, "rate_unavailable"),
        ("ETH", "USD", "from_amount", "0.000000000000000001", 422, "swap_too_small"),
    ] {
        let answer = quote(&coffer, &ann, from, to, (field, amount)).await;
        if code == "required" {
            assert_eq!(answer.expect(422).body["errors"][0]["code"], "unknown_field");
        } else {
            answer.refused(status, code);
        }
    }
    let both = json!({
        "from_currency": "USD", "to_currency": "EUR", "from_amount": "1.00", "to_amount": "1.00", "user_id": ann,
    });
    coffer.key().post("/swaps/quotes", both).await.refused(422, "required");

    let large = quote(&coffer, &ann, "USD", "EUR", ("from_amount", "10.01")).await.expect(201);
    let refused = accept(&coffer, large.id()).await.refused(422, "insufficient_funds");
    assert_eq!((&refused.body["available"], &refused.body["wanted"]), (&json!("10.00"), &json!("10.01")));
    assert_eq!(status(&coffer, large.id()).await, "active", "what was refused left nothing");

    let quoted = quote(&coffer, &ann, "USD", "EUR", ("from_amount", "1.00")).await.expect(201);
    coffer.key().post(&format!("/users/{ann}/freeze"), json!({ "reason": "looked odd" })).await.expect(200);
    accept(&coffer, quoted.id()).await.refused(422, "user_not_active");
    quote(&coffer, &ann, "USD", "EUR", ("from_amount", "1.00")).await.refused(422, "user_not_active");
    coffer.key().post(&format!("/users/{ann}/unfreeze"), json!({ "reason": "it is fine" })).await.expect(200);

    set(&coffer, json!({ "swap": { "maximum": "5.00" } })).await;
    let above =
        quote(&coffer, &ann, "EUR", "BTC", ("from_amount", "4.55")).await.refused(422, "swap_above_maximum");
    assert_eq!((&above.body["worth"], &above.body["maximum"]), (&json!("5.01"), &json!("5.00")));
    quote(&coffer, &ann, "EUR", "BTC", ("from_amount", "4.54")).await.expect(201);

    let named = json!({
        "from_currency": "USD", "to_currency": "EUR", "from_amount": "1.00", "user_id": ann, "external_id": "q-1",
    });
    coffer.key().post("/swaps/quotes", named.clone()).await.expect(201);
    coffer.key().post("/swaps/quotes", named).await.refused(409, "external_id_taken");
}

/// Whole units of the smallest kind: `12.30` → 1230.
fn minor(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

#[tokio::test]
async fn chains_of_swaps_conserve_every_currency_and_never_earn() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    // What one smallest unit is worth, in 10^-20 of a dollar.
    let worth: BTreeMap<&str, i128> = [
        ("USD", 10i128.pow(18)),
        ("EUR", 11 * 10i128.pow(17)),
        ("BTC", 109_500 * 10i128.pow(12)),
        ("ETH", 4_500 * 100),
    ]
    .into();
    let currencies: Vec<&str> = worth.keys().copied().collect();
    for (currency, amount) in
        [("USD", "100000.00"), ("EUR", "90000.00"), ("BTC", "2.00000000"), ("ETH", "20.000000000000000000")]
    {
        give(&coffer, &ann, amount, currency).await;
    }
    let fortune = async || {
        let mut sum = 0;
        for currency in &currencies {
            sum += minor(&has(&coffer, &ann, currency).await) * worth[currency];
        }
        sum
    };
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut next = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    let mut before = fortune().await;
    let mut done = 0;
    for _ in 0..120 {
        let from = currencies[next(4) as usize];
        let to = currencies[next(4) as usize];
        let available = has(&coffer, &ann, if next(3) == 0 { to } else { from }).await;
        let (whole, _) = available.split_once('.').unwrap();
        let share = whole.parse::<u64>().unwrap() / 4;
        let tail = if next(2) == 0 { String::new() } else { format!(".{:02}", next(100)) };
        let amount = format!("{}{tail}", next(share.max(1)).max(1));
        let side = if next(2) == 0 { "from_amount" } else { "to_amount" };
        let quoted = quote(&coffer, &ann, from, to, (side, &amount)).await;
        if quoted.status != 201 {
            assert!(["not_allowed", "swap_too_small"].contains(&quoted.code()), "{:#}", quoted.body);
            continue;
        }
        let swapped = accept(&coffer, quoted.id()).await;
        if swapped.status != 201 {
            swapped.refused(422, "insufficient_funds");
            continue;
        }
        done += 1;
        let now = fortune().await;
        assert!(now <= before, "{from} to {to}, {side} {amount}: {before} became {now}");
        before = now;
    }
    assert!(done > 40, "only {done} swaps came about");

    // What one has, what the house has for it, and what it took are together what was given.
    for currency in currencies {
        let accounts =
            coffer.key().get(&format!("/ledger/accounts?currency={currency}&limit=100")).await.expect(200);
        let sum: i128 = accounts.body["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| minor(it["balance"].as_str().unwrap()))
            .sum();
        assert_eq!(sum, 0, "{currency}");
    }
}

#[tokio::test]
async fn there_and_back_at_the_same_prices_never_earns() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "100000.00", "USD").await;
    for (amount, by) in
        [("0.01", "EUR"), ("1.00", "BTC"), ("99.99", "ETH"), ("33333.33", "EUR"), ("77777.77", "BTC")]
    {
        let before = minor(&has(&coffer, &ann, "USD").await);
        let there = quote(&coffer, &ann, "USD", by, ("from_amount", amount)).await;
        if there.status == 422 {
            there.refused(422, "swap_too_small");
            continue;
        }
        let there = accept(&coffer, there.id()).await.expect(201).body;
        let back =
            quote(&coffer, &ann, by, "USD", ("from_amount", there["to_amount"].as_str().unwrap())).await;
        if back.status == 201 {
            accept(&coffer, back.id()).await.expect(201);
        }
        assert!(minor(&has(&coffer, &ann, "USD").await) <= before, "{amount} by way of {by}");
    }
}

#[tokio::test]
async fn fee_and_spread_are_those_of_the_rules_for_the_users_tier() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    give(&coffer, &ann, "1000.00", "USD").await;
    charge(&coffer, "swap", json!({ "percent": "1" })).await;
    charge(&coffer, "spread", json!({ "percent": "2", "to_currency": "BTC", "user_tier": "gold" })).await;
    // 990.00 at 109,500; then at 2 % less.
    for (tier, spread, to) in [("standard", "0", "0.00904109"), ("gold", "2", "0.00886027")] {
        crate::support::give_tier(&coffer, &ann, tier).await;
        let quoted = quote(&coffer, &ann, "USD", "BTC", ("from_amount", "1000.00")).await.expect(201).body;
        let found = [&quoted["fee"], &quoted["spread"], &quoted["to_amount"]];
        assert_eq!(found, [&json!("10.00"), &json!(spread), &json!(to)], "{tier}");
    }
}
