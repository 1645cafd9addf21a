//! Currencies: the installation's catalogue, and what a client uses of it.

use coffer::testing::Instance;
use serde_json::{Value, json};

use crate::withdrawal::person;

fn codes(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_client_sees_the_catalogue_and_what_it_uses_of_it() {
    let coffer = Instance::start().await;
    let all = coffer.publishable().get("/currencies?limit=100").await.expect(200);
    let wanted = ["AUD", "BTC", "CAD", "CHF", "ETH", "EUR", "GBP", "JPY", "KWD", "USD", "USDC", "USDT"];
    assert_eq!(codes(&all.body), wanted);
    let active = coffer.key().get("/currencies?active=true").await.expect(200);
    assert_eq!(codes(&active.body), ["BTC", "ETH", "EUR", "USD", "USDT"]);
    let crypto = coffer.key().get("/currencies?active=false&kind=crypto").await.expect(200);
    assert_eq!(codes(&crypto.body), ["USDC"]);

    let first = coffer.key().get("/currencies?limit=5").await.expect(200);
    assert_eq!(codes(&first.body), wanted[..5]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = coffer.key().get(&format!("/currencies?limit=100&cursor={cursor}")).await.expect(200);
    assert_eq!(codes(&second.body), wanted[5..]);

    let usd = coffer.key().get("/currencies/USD").await.expect(200);
    assert_eq!(
        (&usd.body["decimals"], &usd.body["is_default"], &usd.body["is_in_use"]),
        (&json!(2), &json!(true), &json!(true))
    );
    coffer.key().get("/currencies/XXX").await.refused(404, "not_found");
    coffer.key().get("/currencies/usd").await.refused(404, "not_found");
    // An operator who names no client sees the catalogue alone.
    let bare = coffer.operator().get("/currencies/USD").await.expect(200);
    assert_eq!((&bare.body["is_active"], &bare.body["is_default"]), (&Value::Null, &Value::Null));
    coffer.operator().get("/currencies?active=true").await.refused(400, "client_required");
}

#[tokio::test]
async fn the_operator_keeps_the_catalogue() {
    let coffer = Instance::start().await;
    let krona = |changes: Value| {
        let mut body =
            json!({ "code": "SEK", "name": "Swedish krona", "symbol": "kr", "kind": "fiat", "decimals": 2 });
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    let operator = coffer.operator();
    // In order of precedence.
    for (body, status, code) in [
        (krona(json!({ "code": "sek" })), 422, "invalid_format"),
        (krona(json!({ "kind": "shells" })), 422, "invalid_format"),
        (krona(json!({ "name": "" })), 422, "out_of_range"),
        (krona(json!({ "symbol": "123456789" })), 422, "out_of_range"),
        (krona(json!({ "decimals": 19 })), 422, "out_of_range"),
        (krona(json!({ "code": "USD" })), 409, "currency_taken"),
        (krona(json!({ "name": "euro" })), 409, "currency_taken"),
        (krona(json!({ "symbol": "€" })), 409, "currency_taken"),
    ] {
        operator.post("/currencies", body).await.refused(status, code);
    }
    let made = operator.post("/currencies", krona(json!({ "external_id": "752" }))).await.expect(201);
    assert!(made.id().starts_with("cur_"));
    let dane = krona(json!({ "code": "DKK", "name": "Danish krone", "symbol": "kr.", "external_id": "752" }));
    let taken = operator.post("/currencies", dane).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());
    coffer.key().post("/currencies", krona(json!({}))).await.refused(403, "forbidden");

    // Decimals may still change: nobody uses it yet.
    let changed = operator.patch("/currencies/SEK", 1, json!({ "decimals": 3 })).await.expect(200);
    assert_eq!((&changed.body["decimals"], &changed.body["version"]), (&json!(3), &json!(2)));
    operator.patch("/currencies/SEK", 1, json!({ "decimals": 2 })).await.refused(412, "stale_version");
    operator.patch("/currencies/SEK", 2, json!({ "name": "Euro" })).await.refused(409, "currency_taken");
    let body = Some(json!({ "decimals": 2 }).to_string());
    operator.send(hyper::Method::PATCH, "/currencies/SEK", body).await.refused(428, "if_match_required");

    // From the first activation on they are fixed; the name is not.
    coffer.key().post("/currencies/SEK/activate", json!({})).await.expect(200);
    let version = operator.get("/currencies/SEK").await.expect(200).body["version"].as_u64().unwrap();
    let refused = operator.patch("/currencies/SEK", version, json!({ "decimals": 2 })).await;
    refused.refused(409, "currency_in_use");
    operator.patch("/currencies/SEK", version, json!({ "name": "Krona", "decimals": 3 })).await.expect(200);
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test]
async fn a_client_always_has_an_active_default() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    key.post("/currencies/USD/deactivate", json!({})).await.refused(409, "currency_is_default");
    key.post("/currencies/GBP/make-default", json!({})).await.refused(422, "currency_inactive");
    key.post("/currencies/XXX/activate", json!({})).await.refused(404, "not_found");

    let before = key.get("/currencies/GBP").await.expect(200);
    let on = key.post("/currencies/GBP/activate", json!({})).await.expect(200);
    assert_eq!(on.body["is_active"], true);
    assert_ne!(on.headers["etag"], before.headers["etag"], "what it shows has changed");
    let again = key.post("/currencies/GBP/activate", json!({})).await.expect(200);
    assert_eq!(again.body, on.body, "a repeat changes nothing");
    let off = key.post("/currencies/GBP/deactivate", json!({})).await.expect(200);
    assert_eq!((&off.body["is_active"], &off.body["is_in_use"]), (&json!(false), &json!(true)));
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

/// There and back once made "at most 500.00" the million of a new client, and 1,000.00 dollars were 1000 bitcoins on the
/// way.
#[tokio::test]
async fn another_default_currency_changes_no_control_there_or_back() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let current = async || key.get("/clients/current").await.expect(200).body;
    let set = async |settings: Value| {
        let version = current().await["version"].as_u64().unwrap();
        key.patch("/clients/current", version, json!({ "settings": settings })).await
    };
    let policies = async || {
        let mut body = key.get("/approval-policies").await.expect(200).body;
        body["data"].as_array_mut().unwrap().iter_mut().for_each(|it| it["currency"] = Value::Null);
        body
    };
    let chosen = json!({
        "funding": { "maximum": "500.00" }, "withdrawal": { "minimum": "20.00", "automatic_up_to": "50.00" },
        "payment": { "second_person_above": "100.00" }, "swap": { "maximum": "70.00" },
    });
    set(chosen).await.expect(200);
    let rules = json!({
        "automatic": "up_to", "automatic_up_to": "50.00", "one_person_up_to": "900.00", "approvals": 2,
    });
    key.put("/approval-policies/withdrawal", 2, rules).await.expect(200);
    let (before, rules_before) = (current().await, policies().await);
    assert_eq!(before["currencies"]["withdrawal.automatic_up_to"], "USD");
    coffer.new_events();

    for default in ["BTC", "USD", "BTC"] {
        key.post(&format!("/currencies/{default}/make-default"), json!({})).await.expect(200);
        let now = current().await;
        assert_eq!(now["default_currency"], default);
        assert_eq!((&now["settings"], &now["currencies"]), (&before["settings"], &before["currencies"]));
        assert_eq!(policies().await, rules_before);
        assert_eq!(coffer.new_events(), ["currency.default_changed"]);
        key.post(&format!("/currencies/{default}/make-default"), json!({})).await.expect(200);
        assert_eq!(coffer.new_events(), Vec::<String>::new(), "a repeat changes nothing");
    }
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let deposit = json!({ "amount": "500.01", "currency": "USD", "user_id": ann });
    key.post("/fundings", deposit).await.refused(422, "above_maximum");

    // What is set from now on is in the new one. It has no order with the old one: that takes two people.
    let asked = set(json!({ "funding": { "maximum": "1000" } })).await.expect(200).body;
    assert_eq!(
        (&asked["settings"]["funding"]["maximum"], &asked["currencies"]["funding.maximum"]),
        (&json!("500.00"), &json!("USD"))
    );
    let proposed = &asked["proposed"];
    assert_eq!(proposed["settings"]["funding"]["maximum"], "1000.00000000");
    assert_eq!(proposed["currencies"]["funding.maximum"], "BTC");
    set(json!({ "withdrawal": { "automatic_up_to": "0.5" } })).await.refused(403, "needs_second_person");
    let off = set(json!({ "withdrawal": { "automatic_up_to": null } })).await.expect(200);
    assert_eq!(off.body["currencies"]["withdrawal.automatic_up_to"], Value::Null);
}
