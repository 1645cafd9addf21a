//! Markets: prices sent and fetched, guards, candles, conversion, the stream.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance, Reply};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A market between two currencies that the seed has none for, whose prices are sent.
async fn market(coffer: &Instance, base: &str, quote: &str) -> String {
    let body = json!({ "base": base, "quote": quote });
    coffer.key().post("/markets", body).await.expect(201).id().to_owned()
}

async fn send(coffer: &Instance, market: &str, price: &str) -> Answer {
    coffer.key().post(&format!("/markets/{market}/prices"), json!({ "price": price, "source": "desk" })).await
}

async fn convert(coffer: &Instance, query: &str) -> Answer {
    coffer.publishable().get(&format!("/markets/convert?{query}")).await
}

/// A key with these scopes.
async fn key(coffer: &Instance, scopes: &[&str]) -> Http {
    let key = json!({ "name": "feed", "kind": "secret", "scopes": scopes });
    let made = coffer.key().post("/api-keys", key).await.expect(201);
    coffer.with(made.body["secret_key"].as_str().or(made.body["key"].as_str()).unwrap())
}

#[tokio::test]
async fn a_pair_has_one_market_whichever_way_round() {
    let coffer = Instance::start().await;
    let made =
        coffer.key().post("/markets", json!({ "base": "EUR", "quote": "USDT" })).await.expect(201).body;
    let facts = (&made["status"], &made["stale_after_s"], &made["decimals"], &made["feed"]["type"]);
    assert_eq!(
        facts,
        (&json!("active"), &json!(900), &json!(6), &json!("push")),
        "USDT is a crypto currency"
    );
    assert_eq!((&made["max_deviation_percent"], &made["latest"]), (&json!("20"), &Value::Null));
    for (base, quote) in [("EUR", "USDT"), ("USDT", "EUR")] {
        let again = coffer.key().post("/markets", json!({ "base": base, "quote": quote })).await;
        assert_eq!(again.refused(409, "market_taken").body["existing_id"], made["id"]);
    }
    let post = async |body: Value| coffer.key().post("/markets", body).await;
    post(json!({ "base": "EUR", "quote": "EUR" })).await.refused(422, "not_allowed");
    post(json!({ "base": "GBP", "quote": "EUR" })).await.refused(422, "currency_inactive");
    let feed = |feed: Value| json!({ "base": "ETH", "quote": "EUR", "feed": feed });
    for (wrong, param) in [
        (json!({ "type": "fixed" }), "feed.price"),
        (json!({ "type": "fixed", "price": "0" }), "feed.price"),
        (json!({ "type": "push", "price": "1" }), "feed.price"),
        (json!({ "type": "push", "interval_s": 60 }), "feed.providers"),
        (json!({ "type": "http" }), "feed.providers"),
        (
            json!({ "type": "http", "providers": [{ "name": "a", "url": "http://10.0.0.1/", "price_path": "a" }] }),
            "feed.providers[0].url",
        ),
        (
            json!({ "type": "http", "providers": [{ "name": "a", "url": "https://a.example/", "bid_path": "a" }] }),
            "feed.providers[0].price_path",
        ),
    ] {
        assert_eq!(post(feed(wrong)).await.expect(422).body["param"], param);
    }

    let path = format!("/markets/{}", made["id"].as_str().unwrap());
    let changed =
        coffer.key().patch(&path, 1, json!({ "status": "paused", "max_deviation_percent": null })).await;
    assert_eq!(changed.expect(200).body["status"], "paused");
    coffer.key().patch(&path, 1, json!({})).await.refused(412, "stale_version");
    send(&coffer, made["id"].as_str().unwrap(), "1").await.refused(409, "market_paused");
    let found = coffer.publishable().get("/markets?status=active&quote=USD").await.expect(200).body;
    let pairs: Vec<_> =
        found["data"].as_array().unwrap().iter().map(|it| it["base"].as_str().unwrap()).collect();
    assert_eq!(pairs, ["EUR", "ETH", "BTC"], "what the seed made, newest first");
    assert_eq!(found["data"][0]["feed"], Value::Null, "where prices come from is for staff");
}

#[tokio::test]
async fn a_price_is_taken_or_refused_with_an_event() {
    let coffer = Instance::start().await;
    let id = market(&coffer, "BTC", "EUR").await;
    coffer.new_events();
    let first = send(&coffer, &id, "100000.00").await.expect(201).body;
    assert_eq!(
        (&first["mid"], &first["sequence"], &first["source"]),
        (&json!("100000"), &json!(1), &json!("desk"))
    );
    coffer.advance(Duration::from_secs(60)).await;
    let path = format!("/markets/{id}/prices");
    let post = async |body: Value| coffer.key().post(&path, body).await;
    post(json!({ "bid": "99999", "ask": "100001" })).await.expect(201);
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "a price that was taken is no event");

    let (now, past) = (coffer.now(), "2026-01-01T00:00:30Z");
    for (body, status, code) in [
        (json!({ "price": "0" }), 422, "price_not_positive"),
        (json!({ "bid": "2", "ask": "1" }), 422, "price_inverted"),
        (json!({ "price": "100000", "observed_at": "2026-01-01T00:02:00Z" }), 422, "price_in_future"),
        (json!({ "price": "100000", "observed_at": past }), 422, "price_older"),
        (json!({ "price": "200000" }), 422, "price_deviates"),
    ] {
        post(body.clone()).await.refused(status, code);
        assert_eq!(coffer.new_events(), ["market.price_rejected"], "{body}");
    }
    for (body, code) in [
        (json!({ "price": "-1" }), "amount_format"),
        (json!({ "price": 1 }), "amount_format"),
        (json!({ "price": "1", "bid": "1" }), "required"),
        (json!({ "bid": "1" }), "required"),
        (json!({ "price": "1", "force": true }), "required"),
        (json!({ "price": "1", "reason": "x" }), "not_allowed"),
    ] {
        post(body).await.refused(422, code);
    }
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    let forced =
        post(json!({ "price": "200000", "force": true, "reason": "checked by phone" })).await.expect(201);
    assert_eq!(forced.body["forced_reason"], "checked by phone");
    assert_eq!(forced.body["observed_at"], now);

    // A feed that repeats itself counts nothing twice, with or without a key.
    let again = json!({ "price": "200000", "observed_at": now });
    let once = coffer.key().idempotent("k-1").post(&path, again.clone()).await.expect(201).body;
    let batch = json!({ "prices": [{ "market_id": id, "price": "200000", "observed_at": now }] });
    for _ in 0..2 {
        let repeated = coffer.key().idempotent("k-1").post(&path, again.clone()).await.expect(201).body;
        assert_eq!((&repeated["id"], &repeated["sequence"]), (&once["id"], &once["sequence"]));
        let repeated =
            coffer.key().idempotent("k-2").post("/markets/prices", batch.clone()).await.expect(200).body;
        assert_eq!(repeated["data"][0]["price_id"], once["id"]);
    }
    let documented = coffer.openapi();
    for path in ["/api/v1/markets/{id}/prices", "/api/v1/markets/prices"] {
        let operation = &documented["paths"][path]["post"];
        assert_eq!(operation["x-idempotent"], "natural", "{path}");
        let parameters = operation["parameters"].as_array().unwrap();
        assert!(parameters.iter().all(|it| it["name"] != "Idempotency-Key"), "{path}");
    }

    let listed = coffer.publishable().get(&path).await.expect(200);
    assert_eq!(listed.headers["cache-control"], "public, max-age=1");
    let mids: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|it| it["mid"].as_str().unwrap()).collect();
    assert_eq!(mids, ["200000", "100000", "100000"]);
    let candles =
        coffer.publishable().get(&format!("/markets/{id}/candles?interval=1m")).await.expect(200).body;
    let shown =
        |it: &Value| format!("{} {} {} {} {}", it["open"], it["high"], it["low"], it["close"], it["count"]);
    let shown: Vec<String> = candles["data"].as_array().unwrap().iter().map(shown).collect();
    let wanted = [r#""100000" "200000" "100000" "200000" 2"#, r#""100000" "100000" "100000" "100000" 1"#];
    assert_eq!(shown, wanted);
    let day = coffer.publishable().get(&format!("/markets/{id}/candles?interval=1d")).await.expect(200).body;
    assert_eq!(day["data"][0]["count"], 3);
    let page =
        coffer.publishable().get(&format!("/markets/{id}/candles?interval=1m&limit=1")).await.expect(200);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = format!("/markets/{id}/candles?interval=1m&limit=1&cursor={cursor}");
    let rest = coffer.publishable().get(&rest).await.expect(200).body;
    assert_eq!((&rest["data"][0]["count"], &rest["has_more"]), (&json!(1), &json!(false)));
    let shown = coffer.publishable().get(&format!("/markets/{id}")).await.expect(200).body;
    assert_eq!((&shown["latest"]["shown"], &shown["is_stale"]), (&json!("200000.00"), &json!(false)));
}

#[tokio::test]
async fn a_feed_key_sends_prices_and_does_nothing_else() {
    let coffer = Instance::start().await;
    let id = market(&coffer, "BTC", "EUR").await;
    let feed = key(&coffer, &["prices:write"]).await;
    let path = format!("/markets/{id}/prices");
    feed.post(&path, json!({ "price": "100" })).await.expect(201);
    feed.post(&path, json!({ "price": "500" })).await.refused(422, "price_deviates");
    let forced = json!({ "price": "500", "force": true, "reason": "I say so" });
    assert_eq!(
        feed.post(&path, forced).await.refused(403, "forbidden").body["required_permission"],
        "markets.force_prices"
    );
    feed.post("/markets", json!({ "base": "ETH", "quote": "EUR" })).await.refused(403, "forbidden");
    coffer.publishable().post(&path, json!({ "price": "100" })).await.refused(403, "forbidden");
    coffer.nobody().post(&path, json!({ "price": "100" })).await.refused(401, "unauthenticated");
    let other = json!({ "name": "O", "slug": "other", "mode": "test", "default_currency": "USD" });
    let other = coffer.operator().post("/clients", other).await.expect(201).body;
    let other = coffer.with(other["secret_key"].as_str().unwrap());
    other.post(&path, json!({ "price": "100" })).await.refused(404, "not_found");
    other.get(&path).await.refused(404, "not_found");
    other.get(&format!("/markets/{id}")).await.refused(404, "not_found");
}

#[tokio::test]
async fn of_a_batch_each_price_is_taken_or_refused_for_itself() {
    let coffer = Instance::start().await;
    let (a, b) = (market(&coffer, "BTC", "EUR").await, market(&coffer, "ETH", "EUR").await);
    coffer.new_events();
    let fixed =
        coffer.key().get("/markets?base=BTC&quote=USD").await.expect(200).body["data"][0]["id"].clone();
    let mut prices = vec![
        json!({ "market_id": a, "price": "100000" }),
        json!({ "market_id": b, "bid": "4000", "ask": "4002", "source": "acme" }),
        json!({ "market_id": fixed, "price": "1" }),
        json!({ "market_id": "mkt_00000000000000000000000000", "price": "1" }),
    ];
    prices.extend(vec![json!({ "market_id": a, "price": "1" }); 700]);
    let answer = coffer.key().post("/markets/prices", json!({ "prices": prices })).await.expect(200).body;
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(702)));
    let codes: Vec<_> = answer["data"].as_array().unwrap()[..5].iter().map(|it| it["code"].clone()).collect();
    assert_eq!(
        codes,
        [json!(null), json!(null), json!("market_fixed"), json!("not_found"), json!("price_deviates")]
    );
    assert_eq!(
        coffer.new_events(),
        ["market.price_rejected", "market.price_rejected"],
        "one for each market and reason"
    );
    let events = coffer.key().get("/events").await.expect(200).body;
    let counts: Vec<_> =
        events["data"].as_array().unwrap().iter().map(|it| it["payload"]["count"].clone()).collect();
    assert!(counts.contains(&json!(700)), "{events:#}");
    let eth = coffer.key().get(&format!("/markets/{b}")).await.expect(200).body;
    assert_eq!((&eth["latest"]["mid"], &eth["latest"]["source"]), (&json!("4001"), &json!("acme")));
}

#[tokio::test]
async fn amounts_are_converted_by_young_prices_only() {
    let coffer = Instance::start().await;
    for (query, amount, rate, prices) in [
        ("from=BTC&to=USD&amount=0.5", "54750.00", "109500", 1),
        ("from=USD&to=BTC&amount=1000", "0.00913242", "0.00000913242009132420091", 1),
        ("from=BTC&to=ETH", "24.333333333333333333", "24.3333333333333333", 2),
        ("from=USD&to=USD&amount=5", "5.00", "1", 0),
    ] {
        let found = convert(&coffer, query).await.expect(200).body;
        assert_eq!((&found["to_amount"], &found["rate"]), (&json!(amount), &json!(rate)), "{query}");
        assert_eq!(found["prices"].as_array().unwrap().len(), prices);
    }
    convert(&coffer, "from=USDT&to=USD").await.refused(503, "rate_unavailable");
    convert(&coffer, "from=GBP&to=USD").await.refused(422, "currency_inactive");
    convert(&coffer, "from=USD&to=BTC&amount=1.001").await.refused(422, "amount_scale");
    let id = market(&coffer, "USDT", "USD").await;
    send(&coffer, &id, "1.0001").await.expect(201);
    assert_eq!(convert(&coffer, "from=USDT&to=USD&amount=100").await.expect(200).body["to_amount"], "100.01");
    coffer.advance(Duration::from_secs(15 * 60)).await;
    let stale = convert(&coffer, "from=USDT&to=USD&amount=100").await.refused(503, "rate_unavailable");
    assert_eq!((&stale.body["pair"], &stale.body["age_s"]), (&json!("USDT/USD"), &json!(900)));
    assert!(stale.headers.contains_key("retry-after"));
    assert_eq!(coffer.key().get(&format!("/markets/{id}")).await.body["is_stale"], true);
    assert_eq!(convert(&coffer, "from=BTC&to=USD").await.status, 200, "a fixed price does not grow old");
}

#[tokio::test]
async fn providers_are_asked_in_their_order_until_enough_have_answered() {
    let coffer = Instance::start().await;
    let provider = |name: &str| {
        json!({
            "name": name, "price_path": "data[0].last",
            "url": format!("{}?pair={{base}}{{quote}}", coffer.webhooks().url(&format!("/{name}"))),
        })
    };
    let says = |name: &str, price: &str| {
        let body = format!(r#"{{"data": [{{"last": {price}}}]}}"#);
        let path = format!("/{name}?pair=BTCEUR");
        coffer.webhooks().reply(&path, Reply::status(200).body(body.clone()));
        coffer.webhooks().reply(&format!("/{name}"), Reply::status(200).body(body));
    };
    let down = |name: &str| {
        coffer.webhooks().reply(&format!("/{name}?pair=BTCEUR"), Reply::status(500));
        coffer.webhooks().reply(&format!("/{name}"), Reply::status(500));
    };
    says("one", "100000.12000000001");
    says("two", "\"100001\"");
    says("three", "1e5");
    let feed = json!({
        "type": "http", "interval_s": 30, "providers": [provider("one"), provider("two"), provider("three")],
    });
    let body = json!({ "base": "BTC", "quote": "EUR", "feed": feed });
    let made = coffer.key().post("/markets", body).await.expect(201);
    let id = made.id().to_owned();
    let latest =
        async || coffer.key().get(&format!("/markets/{id}")).await.expect(200).body["latest"].clone();
    coffer.settle().await;
    let first = latest().await;
    assert_eq!((&first["mid"], &first["source"]), (&json!("100000.12000000001"), &json!("one")));

    down("one");
    coffer.new_events();
    coffer.advance(Duration::from_secs(29)).await;
    assert_eq!(latest().await["sequence"], 1, "not yet");
    coffer.advance(Duration::from_secs(1)).await;
    assert_eq!((&latest().await["mid"], &latest().await["source"]), (&json!("100001"), &json!("two")));

    let mut feed = made.body["feed"].clone();
    (feed["median_of"], feed["price"]) = (2.into(), Value::Null);
    for provider in feed["providers"].as_array_mut().unwrap() {
        let paths = provider.as_object_mut().unwrap();
        paths.retain(|_, it| !it.is_null());
    }
    feed.as_object_mut().unwrap().retain(|_, it| !it.is_null());
    coffer.key().patch(&format!("/markets/{id}"), 1, json!({ "feed": feed })).await.expect(200);
    coffer.settle().await; // A new feed is asked at once.
    assert_eq!(
        (&latest().await["mid"], &latest().await["source"]),
        (&json!("100000.5"), &json!("median(two,three)"))
    );
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    down("three");
    coffer.advance(Duration::from_secs(30)).await;
    coffer.advance(Duration::from_secs(30)).await;
    assert_eq!(coffer.new_events(), ["market.provider_failed"], "once, until they answer again");
    assert_eq!(latest().await["sequence"], 3, "half an answer is none");
    says("three", "900000");
    coffer.advance(Duration::from_secs(30)).await;
    assert_eq!(coffer.new_events(), ["market.price_rejected"], "the guards hold for providers too");
    says("three", "100003");
    coffer.advance(Duration::from_secs(30)).await;
    assert_eq!(latest().await["mid"], "100002");
}

#[tokio::test]
async fn a_stream_brings_the_newest_price_of_each_market() {
    let coffer = Instance::start().await;
    let id = market(&coffer, "BTC", "EUR").await;
    send(&coffer, &id, "100000").await.expect(201);
    let address = coffer.base_url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let key = &coffer.credentials().publishable_key;
    let request = format!(
        "GET /api/v1/markets/stream?market_ids={id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut read_until = async |wanted: &str| {
        while !text.contains(wanted) {
            let mut piece = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut piece))
                .await
                .unwrap()
                .unwrap();
            assert!(read > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        text.clone()
    };
    read_until(r#""mid":"100000""#).await;
    send(&coffer, &id, "100001").await.expect(201);
    let all = read_until(r#""mid":"100001""#).await;
    assert!(all.contains("event: price") && !all.contains("109500"), "only the market asked for: {all}");
}

#[tokio::test]
async fn a_provider_is_sent_a_secret_that_nobody_is_shown() {
    let coffer = Instance::start().await;
    let provider = |header: Value| {
        let mut provider = json!({
            "name": "acme", "url": coffer.webhooks().url("/acme"), "price_path": "price",
        });
        provider.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        json!({ "base": "BTC", "quote": "EUR", "feed": { "type": "http", "interval_s": 30, "providers": [provider] } })
    };
    for header in [
        json!({ "header_name": "x-api-key" }),
        json!({ "header_secret": "acme" }),
        json!({ "header_name": "not a name", "header_secret": "acme" }),
        json!({ "header_name": "Host", "header_secret": "acme" }),
    ] {
        let answer = coffer.key().post("/markets", provider(header.clone())).await;
        assert_eq!(
            (answer.status, answer.body["param"].as_str()),
            (422, Some("feed.providers[0].header_name")),
            "{header}"
        );
    }
    coffer.webhooks().reply("/acme", Reply::status(200).body(r#"{"price": 101000}"#));
    let header = json!({ "header_name": "X-Api-Key", "header_secret": "acme" });
    let made = coffer.key().post("/markets", provider(header)).await.expect(201);
    let shown = &made.body["feed"]["providers"][0];
    assert_eq!((&shown["header_name"], &shown["header_secret"]), (&json!("x-api-key"), &json!("acme")));
    // Without the secret it is not asked at all, and somebody is told which one is missing.
    coffer.advance(Duration::from_secs(30)).await;
    assert_eq!(coffer.webhooks().at("/acme").len(), 0);
    let secret = json!({ "value": "the-key-of-acme" });
    coffer.key().put("/secrets/acme", 0, secret).await.expect(200);
    coffer.advance(Duration::from_secs(30)).await;
    let asked = coffer.webhooks().at("/acme");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("x-api-key"), "the-key-of-acme");
    for path in [format!("/markets/{}", made.id()), "/events".to_owned(), "/secrets/acme".to_owned()] {
        let shown = coffer.key().get(&path).await.expect(200);
        assert!(!shown.body.to_string().contains("the-key-of-acme"), "{path}");
    }
}
