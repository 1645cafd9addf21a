//! What is a control, which way it is loosened, and who does that: the table of docs/ARCHITECTURE.md, row by row.

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::{
    support::{agree, give_tier, set},
    withdrawal::person,
};

/// Where a control starts, what is tighter, what is looser; `None` where any change is one person's.
type Row = (&'static str, Option<[Value; 3]>);

fn rows() -> Vec<Row> {
    let row = |name, from: Value, tighter: Value, looser: Value| (name, Some([from, tighter, looser]));
    let tolerance = |amount: &str| json!([{ "currency": "USD", "amount": amount }]);
    vec![
        ("branding.display_name", None),
        ("branding.support_email", None),
        row("branding.website", json!("https://a.example"), Value::Null, json!("https://b.example")),
        row("funding.maximum", json!("100.00"), json!("99.00"), json!("101.00")),
        row("funding.quote_expires_after_s", json!(600), json!(599), json!(601)),
        row("withdrawal.minimum", json!("10.00"), json!("11.00"), json!("9.00")),
        row("withdrawal.automatic_up_to", json!("100.00"), json!("99.00"), json!("101.00")),
        row("withdrawal.approvals", json!(2), json!(3), json!(1)),
        row("withdrawal.auto_process", json!(false), json!(false), json!(true)),
        row("withdrawal.beneficiary_cooling_hours", json!(24), json!(25), json!(23)),
        ("payment.expires_after_s", None),
        row("payment.second_person_above", json!("100.00"), json!("99.00"), json!("101.00")),
        row("payment.refund_second_person_above", json!("100.00"), json!("99.00"), json!("101.00")),
        row("payment.tolerances", tolerance("0.50"), tolerance("0.49"), tolerance("0.51")),
        row("transfer.between_users", json!(false), json!(false), json!(true)),
        row("swap.quote_expires_after_s", json!(30), json!(29), json!(31)),
        row("swap.maximum", json!("100.00"), json!("99.00"), json!("101.00")),
        row("referral.percent", json!("2.5"), json!("2.4"), json!("2.6")),
        row("referral.maximum", json!("100.00"), json!("99.00"), json!("101.00")),
    ]
}

/// The settings of the table in the document, and by how many people each is loosened.
fn documented() -> Vec<(String, String)> {
    let text = std::fs::read_to_string("docs/ARCHITECTURE.md").unwrap();
    let chapter = text.split("## Controls").nth(1).unwrap().split("Beside the settings").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split(" | ").collect();
        Some((cells[0].trim_end_matches('`').to_owned(), cells.last()?.trim_end_matches(" |").to_owned()))
    };
    chapter.lines().filter_map(row).collect()
}

fn leaf(name: &str, value: &Value) -> Value {
    let (section, field) = name.split_once('.').unwrap();
    json!({ section: { field: value } })
}

fn at(name: &str, settings: &Value) -> Value {
    let (section, field) = name.split_once('.').unwrap();
    settings[section][field].clone()
}

#[tokio::test]
async fn every_setting_is_classified_and_is_what_the_table_says() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let shown = key.get("/clients/current").await.expect(200).body["settings"].clone();
    let mut settings: Vec<String> = vec![];
    for (section, fields) in shown.as_object().unwrap() {
        settings.extend(fields.as_object().unwrap().keys().map(|field| format!("{section}.{field}")));
    }
    settings.sort();
    let (rows, documented) = (rows(), documented());
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(rows.iter().map(|it| it.0.to_owned()).collect()), settings, "classify it here");
    assert_eq!(sorted(documented.iter().map(|it| it.0.clone()).collect()), settings, "and in the document");

    let change = async |settings: Value| {
        let version = key.get("/clients/current").await.expect(200).body["version"].as_u64().unwrap();
        key.patch("/clients/current", version, json!({ "settings": settings })).await
    };
    // Tightened first, so that nothing is loosened by the way a control starts.
    for (name, values) in &rows {
        let by = &documented.iter().find(|it| it.0 == *name).unwrap().1;
        let Some([from, tighter, looser]) = values else {
            assert_eq!(by, "one", "{name}");
            continue;
        };
        assert!(by.starts_with("two"), "{name}: {by}");
        if name.starts_with("withdrawal.a") && name != &"withdrawal.auto_process"
            || name.contains("second_person")
        {
            change(leaf(name, from)).await.expect(200);
            change(leaf(name, looser)).await.refused(403, "needs_second_person");
            let now = change(leaf(name, tighter)).await.expect(200).body;
            assert_eq!(at(name, &now["settings"]), *tighter, "{name}");
            continue;
        }
        set(&coffer, leaf(name, from)).await;
        let asked = change(leaf(name, looser)).await.expect(200).body;
        assert_eq!(at(name, &asked["settings"]), *from, "{name}");
        assert_eq!(at(name, &asked["proposed"]["settings"]), *looser, "{name}");
        agree(&key, "/clients/current/settings/approve").await.refused(403, "self_approval");
        let now = change(leaf(name, tighter)).await.expect(200).body;
        assert_eq!(at(name, &now["settings"]), *tighter, "{name}");
        if tighter != from {
            assert_eq!(now["proposed"], Value::Null, "{name}");
        }
        set(&coffer, leaf(name, looser)).await;
        let now = key.get("/clients/current").await.expect(200).body;
        assert_eq!(at(name, &now["settings"]), *looser, "{name}");
    }
}

async fn user(by: &Http, id: &str) -> Value {
    by.get(&format!("/users/{id}")).await.expect(200).body
}

#[tokio::test]
async fn a_tier_with_more_takes_two_people_neither_of_them_its_user() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (sue, staff) = person(&coffer, "sue", &["admin"]).await;
    let (_, tom) = person(&coffer, "tom", &["admin"]).await;
    let rule = |tier: Value, max: &str| json!({ "operation": "withdrawal", "currency": "USD", "tier": tier, "max": max });
    key.put("/limits", 1, rule(Value::Null, "100.00")).await.expect(200);
    key.put("/limits", 1, rule(json!("bronze"), "50.00")).await.expect(200);
    key.put("/limits", 1, rule(json!("gold"), "500.00")).await.expect(200);
    let which = json!({ "operation": "withdrawal", "currency": "USD", "tier": "gold", "revision": 1 });
    tom.post("/limits/approve", which).await.expect(200);
    let give = async |by: &Http, id: &str, tier: &str| {
        let version = user(by, id).await["version"].as_u64().unwrap();
        by.patch(&format!("/users/{id}"), version, json!({ "tier": tier })).await.expect(200).body
    };

    // No more than before: at once. More: somebody else agrees to what they looked at.
    assert_eq!(give(&key, &ann, "bronze").await["tier"], "bronze");
    let asked = give(&key, &ann, "gold").await;
    assert_eq!((&asked["tier"], &asked["proposed_tier"]["tier"]), (&json!("bronze"), &json!("gold")));
    let approve = format!("/users/{ann}/tier/approve");
    let looked_at = json!({ "revision": asked["proposed_tier"]["revision"] });
    key.post(&approve, looked_at.clone()).await.refused(403, "self_approval");
    give(&key, &ann, "standard").await;
    tom.post(&approve, looked_at).await.refused(409, "revision_stale");
    let revision = user(&tom, &ann).await["proposed_tier"]["revision"].clone();
    let given = tom.post(&approve, json!({ "revision": revision })).await.expect(200).body;
    assert_eq!((&given["tier"], given.get("proposed_tier")), (&json!("standard"), None));
    tom.post(&approve, json!({ "revision": 1 })).await.refused(409, "nothing_proposed");
    let revision = give(&key, &ann, "gold").await["proposed_tier"]["revision"].clone();
    let reject = format!("/users/{ann}/tier/reject");
    assert_eq!(tom.post(&reject, json!({ "revision": revision })).await.expect(200).body["tier"], "standard");

    // Nobody's own, by themselves or with somebody's help alone.
    let revision = give(&staff, &sue, "gold").await["proposed_tier"]["revision"].clone();
    let approve = format!("/users/{sue}/tier/approve");
    staff.post(&approve, json!({ "revision": revision })).await.refused(403, "self_approval");
    let revision = give(&tom, &sue, "gold").await["proposed_tier"]["revision"].clone();
    staff.post(&approve, json!({ "revision": revision })).await.refused(403, "self_approval");
    let (_, vic) = person(&coffer, "vic", &["admin"]).await;
    assert_eq!(vic.post(&approve, json!({ "revision": revision })).await.expect(200).body["tier"], "gold");

    // A tier with fees of its own may cost less; nobody makes, changes or ends a rule for the tier they have.
    let fee =
        |tier: &str| json!({ "name": "vip", "operation": "withdrawal", "user_tier": tier, "percent": "0" });
    staff.post("/fees", fee("gold")).await.refused(403, "self_approval");
    let key_of_hers = json!({ "name": "hers", "kind": "secret", "scopes": ["*:read", "*:write"] });
    let key_of_hers = staff.post("/api-keys", key_of_hers).await.expect(201);
    let key_of_hers = coffer.with(key_of_hers.body["secret_key"].as_str().unwrap());
    key_of_hers.post("/fees", fee("gold")).await.refused(403, "self_approval");
    let made = tom.post("/fees", fee("gold")).await.expect(201);
    let path = format!("/fees/{}", made.id());
    staff.patch(&path, 1, json!({ "percent": "1" })).await.refused(403, "self_approval");
    staff.post(&format!("{path}/deactivate"), json!({})).await.refused(403, "self_approval");
    staff.post("/fees", fee("silver")).await.expect(201);
    assert_eq!(give(&key, &ann, "silver").await["tier"], "standard");
    give_tier(&coffer, &ann, "silver").await;
    assert_eq!(user(&key, &ann).await["tier"], "silver");
}

#[tokio::test]
async fn nobody_exchanges_money_at_a_price_of_their_own() {
    let coffer = Instance::start().await;
    let (sue, staff) = person(&coffer, "sue", &["admin"]).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let markets = key.get("/markets").await.expect(200).body["data"].clone();
    let market = markets.as_array().unwrap().iter().find(|it| it["base"] == "BTC").unwrap();
    let path = format!("/markets/{}", market["id"].as_str().unwrap());
    let (version, fed) = (market["version"].as_u64().unwrap(), json!({ "feed": { "type": "push" } }));
    key.patch(&path, version, fed).await.expect(200);
    let path = format!("{path}/prices");
    let forced = json!({ "price": "1.00", "source": "me", "force": true, "reason": "trust me" });
    let hers = json!({ "name": "hers", "kind": "secret", "scopes": ["*:read", "*:write"] });
    let hers = staff.post("/api-keys", hers).await.expect(201);
    let hers = coffer.with(hers.body["secret_key"].as_str().unwrap());
    let quote = |user: &str| json!({ "from_currency": "USD", "to_currency": "BTC", "from_amount": "1.00", "user_id": user });
    let deposit = json!({ "amount": "10.00", "currency": "USD", "pay_currency": "BTC", "user_id": sue });
    for sender in [&hers, &staff] {
        coffer.advance(std::time::Duration::from_secs(1)).await;
        sender.post(&path, forced.clone()).await.expect(201);
        key.post("/swaps/quotes", quote(&sue)).await.refused(403, "own_price");
        key.post("/fundings", deposit.clone()).await.refused(403, "own_price");
        key.post("/swaps/quotes", quote(&ann)).await.expect(201);
    }
    coffer.advance(std::time::Duration::from_secs(1)).await;
    let right = json!({ "price": "109500.00", "source": "feed", "force": true, "reason": "the market's" });
    key.post(&path, right).await.expect(201);
    key.post("/swaps/quotes", quote(&sue)).await.expect(201);
}
