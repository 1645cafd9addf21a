//! Gateways: made, changed, tried, switched.

use coffer::testing::Instance;
use serde_json::{Value, json};

use crate::payment::{initiate, user};

fn bank(slug: &str) -> Value {
    json!({ "name": "Bank", "slug": slug, "kind": "manual", "currencies": ["USD"] })
}

async fn made(coffer: &Instance, body: Value) -> String {
    coffer.key().post("/payment-gateways", body).await.expect(201).id().to_owned()
}

async fn status(coffer: &Instance, gateway: &str) -> String {
    let gateway = coffer.key().get(&format!("/payment-gateways/{gateway}")).await.expect(200);
    gateway.body["status"].as_str().unwrap().to_owned()
}

async fn activate(coffer: &Instance, gateway: &str) {
    coffer.key().post(&format!("/payment-gateways/{gateway}/activate"), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_gateway_says_what_is_wrong_with_it() {
    let coffer = Instance::start().await;
    for (field, value, code) in [
        ("name", json!(""), "out_of_range"),
        ("slug", json!("Bank!"), "invalid_format"),
        ("kind", json!("cheque"), "invalid_format"),
        ("currencies", json!([]), "required"),
        ("currencies", json!(["USD", "USD"]), "not_allowed"),
        ("currencies", json!(["XYZ"]), "currency_inactive"),
        ("min_amount", json!("0"), "amount_not_positive"),
        ("min_amount", json!("0.001"), "amount_scale"),
        ("max_amount", json!("-1"), "amount_format"),
        ("instructions", json!("send it"), "invalid_format"),
        ("config", json!({ "manual_capture": true }), "not_allowed"),
        ("config", json!({ "colour": true }), "unknown_field"),
    ] {
        let mut body = bank("bank");
        body[field] = value.clone();
        let answer = coffer.key().post("/payment-gateways", body).await;
        assert_eq!((answer.status, answer.code()), (422, code), "{field} {value}: {}", answer.body);
    }
    let mut body = bank("bank");
    (body["min_amount"], body["max_amount"]) = ("10".into(), "5".into());
    coffer.key().post("/payment-gateways", body).await.refused(422, "out_of_range");
    let mut body = bank("bank");
    body["external_id"] = "g-1".into();
    let first = made(&coffer, body.clone()).await;
    let taken = coffer.key().post("/payment-gateways", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], first.as_str());
}

#[tokio::test]
async fn a_change_leaves_what_it_omits_and_null_switches_a_limit_off() {
    let coffer = Instance::start().await;
    let mut body = bank("bank");
    (body["min_amount"], body["max_amount"]) = ("10.00".into(), "500".into());
    body["instructions"] = "IBAN X, {reference}".into();
    body["metadata"] = json!({ "a": "1", "b": "2" });
    let gateway = coffer.key().post("/payment-gateways", body).await.expect(201);
    assert_eq!((&gateway.body["status"], &gateway.body["version"]), (&json!("inactive"), &json!(1)));
    let path = format!("/payment-gateways/{}", gateway.id());
    coffer
        .key()
        .send(hyper::Method::PATCH, &path, Some("{}".to_owned()))
        .await
        .refused(428, "if_match_required");
    let patch = json!({ "name": "Other", "max_amount": null, "metadata": { "b": "", "c": "3" } });
    let changed = coffer.key().patch(&path, 1, patch).await.expect(200);
    for (field, wanted) in [
        ("name", json!("Other")),
        ("slug", json!("bank")),
        ("min_amount", json!("10.00")),
        ("max_amount", Value::Null),
        ("instructions", json!("IBAN X, {reference}")),
        ("metadata", json!({ "a": "1", "c": "3" })),
        ("version", json!(2)),
    ] {
        assert_eq!(changed.body[field], wanted, "{field}");
    }
    coffer.key().patch(&path, 1, json!({ "name": "Third" })).await.refused(412, "stale_version");
    // A limit has to be an amount of every currency.
    coffer.key().patch(&path, 2, json!({ "max_amount": "0.5" })).await.refused(422, "out_of_range");
}

#[tokio::test]
async fn activating_a_gateway_replaces_the_active_one_of_its_slug() {
    let coffer = Instance::start().await;
    let (old, new) = (made(&coffer, bank("bank")).await, made(&coffer, bank("bank")).await);
    activate(&coffer, &old).await;
    activate(&coffer, &new).await;
    assert_eq!(
        (status(&coffer, &old).await, status(&coffer, &new).await),
        ("inactive".into(), "active".into())
    );
    activate(&coffer, &new).await;
    let other = made(&coffer, bank("other")).await;
    activate(&coffer, &other).await;
    let rename = json!({ "slug": "bank" });
    let path = format!("/payment-gateways/{other}");
    coffer.key().patch(&path, 2, rename.clone()).await.refused(409, "gateway_taken");
    coffer.key().post(&format!("{path}/deactivate"), json!({})).await.expect(200);
    coffer.key().patch(&path, 3, rename).await.expect(200);
    let list = coffer.key().get("/payment-gateways?slug=bank&active=true").await.expect(200);
    let ids: Vec<_> = list.body["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, [json!(new)]);
}

#[tokio::test]
async fn a_sandbox_is_never_active_in_a_live_client() {
    let coffer = Instance::start().await;
    let client = json!({ "name": "Live", "slug": "live", "mode": "live", "default_currency": "USD" });
    let client = coffer.operator().post("/clients", client).await.expect(201);
    let live = coffer.with(client.body["secret_key"].as_str().unwrap());
    let sandbox = json!({ "name": "S", "slug": "s", "kind": "sandbox", "currencies": ["USD"] });
    let sandbox = live.post("/payment-gateways", sandbox).await.expect(201).id().to_owned();
    let path = format!("/payment-gateways/{sandbox}/activate");
    live.post(&path, json!({})).await.refused(422, "sandbox_in_live");
    let bank = live.post("/payment-gateways", bank("bank")).await.expect(201).id().to_owned();
    live.post(&format!("/payment-gateways/{bank}/activate"), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_gateway_takes_what_it_says_it_takes() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let mut body = bank("bank");
    (body["min_amount"], body["max_amount"]) = ("10.00".into(), "500.00".into());
    let gateway = made(&coffer, body).await;
    let reason = async |amount: &str, currency: &str| {
        let body = json!({ "amount": amount, "currency": currency, "user_id": user, "gateway_id": gateway });
        let answer = coffer.key().post("/payments", body).await;
        if answer.status == 201 {
            return String::new();
        }
        answer.refused(422, "gateway_unavailable").body["reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason("5.00", "EUR").await, "inactive");
    activate(&coffer, &gateway).await;
    for (amount, currency, wanted) in [
        ("5.00", "EUR", "currency"),
        ("9.99", "USD", "min"),
        ("10.00", "USD", ""),
        ("500.00", "USD", ""),
        ("500.01", "USD", "max"),
    ] {
        assert_eq!(reason(amount, currency).await, wanted, "{amount} {currency}");
    }
    // Asked again when it is chosen, which may be later.
    let body = json!({ "amount": "5.00", "currency": "USD", "user_id": user });
    let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
    initiate(&coffer, &payment, &gateway).await.refused(422, "gateway_unavailable");
    initiate(&coffer, &payment, "gtw_01kc000000000000000000000z").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_gateway_is_tried_and_its_health_is_counted() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let sandbox = coffer.credentials().sandbox_gateway.clone();
    let tried = coffer.key().post(&format!("/payment-gateways/{sandbox}/test"), json!({})).await.expect(200);
    assert_eq!(tried.body["ok"], true);
    let health = async || {
        let health = coffer.key().get(&format!("/payment-gateways/{sandbox}/health")).await.expect(200).body;
        (health["recent_calls"].clone(), health["success_percent"].clone())
    };
    assert_eq!(health().await, (json!(1), json!(100)), "a try is a call like any other");
    for amount in ["1.00", "1.01", "1.02"] {
        let body = json!({ "amount": amount, "currency": "USD", "user_id": user, "gateway_id": sandbox });
        let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
        coffer.key().post(&format!("/payments/{payment}/initiate"), json!({})).await.expect(200);
    }
    assert_eq!(health().await, (json!(4), json!(50)));
}

#[tokio::test]
async fn a_user_sees_the_gateways_it_can_pay_through_and_not_their_set_up() {
    let coffer = Instance::start().await;
    let hidden = made(&coffer, bank("hidden")).await;
    let ann = json!({
        "email": "ann@example.com", "password": crate::auth::PASSWORD, "first_name": "Ann", "last_name": "T",
    });
    let tokens = coffer.publishable().post("/auth/register", ann).await.expect(201);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let list = ann.get("/payment-gateways").await.expect(200);
    let list = list.body["data"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|it| it.get("config").is_none() && it.get("instructions").is_none()));
    ann.get(&format!("/payment-gateways/{hidden}")).await.refused(404, "not_found");
    ann.post("/payment-gateways", bank("mine")).await.refused(403, "forbidden");
}
