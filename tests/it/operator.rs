//! Claiming the installation, and the tokens of operators.

use std::time::Duration;

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;

async fn setup_token(coffer: &Instance) -> String {
    let link = coffer.operator().post("/operator/setup-link", json!({})).await.expect(201);
    link.body["setup_token"].as_str().unwrap().to_owned()
}

async fn claim(coffer: &Instance, setup_token: &str, password: &str) -> Answer {
    let body = json!({ "setup_token": setup_token, "email": "Root@example.com", "password": password });
    coffer.nobody().post("/operator/claim", body).await
}

async fn login(coffer: &Instance, email: &str, password: &str) -> Answer {
    coffer.nobody().post("/operator/login", json!({ "email": email, "password": password })).await
}

fn token(answer: &Answer) -> &str {
    answer.body["token"].as_str().unwrap()
}

#[tokio::test]
async fn a_set_up_link_claims_once_and_is_the_way_back_in() {
    let coffer = Instance::start().await;
    let first = setup_token(&coffer).await;
    claim(&coffer, &first, "short").await.refused(422, "out_of_range");
    claim(&coffer, "su_wrong", PASSWORD).await.refused(410, "setup_link_gone");
    let claimed = claim(&coffer, &first, PASSWORD).await.expect(200);
    assert_eq!(claimed.body["operator"]["email"], "root@example.com");
    let root = coffer.with(token(&claimed));
    root.get("/operator/tokens").await.expect(200);
    claim(&coffer, &first, PASSWORD).await.refused(410, "setup_link_gone");

    let replaced = setup_token(&coffer).await;
    let second = setup_token(&coffer).await;
    claim(&coffer, &replaced, PASSWORD).await.refused(410, "setup_link_gone");
    let again = claim(&coffer, &second, "a loud mountain brook").await.expect(200);
    assert_eq!(again.body["operator"]["id"], claimed.body["operator"]["id"]);
    root.get("/operator/tokens").await.refused(401, "unauthenticated");
    login(&coffer, "root@example.com", PASSWORD).await.refused(401, "bad_credentials");
    login(&coffer, "root@example.com", "a loud mountain brook").await.expect(200);

    let late = setup_token(&coffer).await;
    coffer.advance(Duration::from_secs(30 * 60)).await;
    claim(&coffer, &late, PASSWORD).await.refused(410, "setup_link_gone");
}

#[tokio::test]
async fn an_operator_signs_in_for_twelve_hours_or_until_it_leaves() {
    let coffer = Instance::start().await;
    let claimed = claim(&coffer, &setup_token(&coffer).await, PASSWORD).await.expect(200);
    assert_eq!(claimed.body["expires_at"], "2026-01-01T12:00:00.000000Z");
    let signed_in = login(&coffer, " ROOT@example.com", PASSWORD).await.expect(200);
    let root = coffer.with(token(&signed_in));
    root.post("/operator/logout", json!({})).await.expect(200);
    root.get("/operator/tokens").await.refused(401, "unauthenticated");
    let root = coffer.with(token(&claimed));
    coffer.advance(Duration::from_secs(12 * 3600 - 1)).await;
    root.get("/operator/tokens").await.expect(200);
    coffer.advance(Duration::from_secs(1)).await;
    root.get("/operator/tokens").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn an_unknown_operator_answers_like_a_wrong_password() {
    let coffer = Instance::start().await;
    claim(&coffer, &setup_token(&coffer).await, PASSWORD).await.expect(200);
    let seen = |answer: Answer| -> Value {
        let mut body = answer.body;
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    for _ in 0..5 {
        let known = login(&coffer, "root@example.com", "a wrong password").await;
        let unknown = login(&coffer, "nobody@example.com", "a wrong password").await;
        assert_eq!((known.status, seen(known)), (401, seen(unknown)));
    }
    let known = login(&coffer, "root@example.com", PASSWORD).await.refused(429, "account_locked");
    let unknown = login(&coffer, "nobody@example.com", PASSWORD).await.refused(429, "account_locked");
    assert_eq!(seen(known), seen(unknown));
    coffer.advance(Duration::from_secs(15 * 60)).await;
    login(&coffer, "root@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_named_token_is_shown_once_and_works_until_revoked_or_expired() {
    let coffer = Instance::start().await;
    let operator = coffer.operator();
    let body = json!({ "name": "nightly", "expires_at": "2026-01-02T00:00:00Z" });
    let made = operator.clone().idempotent("one").post("/operator/tokens", body.clone()).await.expect(201);
    let again = operator.clone().idempotent("one").post("/operator/tokens", body).await.expect(201);
    assert_eq!(again.id(), made.id());
    assert_eq!((&again.body["token"], &again.body["secret_shown"]), (&Value::Null, &json!(true)));
    let past = json!({ "name": "late", "expires_at": "2026-01-01T00:00:00Z" });
    operator.post("/operator/tokens", past).await.refused(422, "out_of_range");

    let nightly = coffer.with(token(&made));
    nightly.get("/operator/tokens").await.expect(200);
    nightly.post("/operator/logout", json!({})).await.refused(403, "session_required");
    let forever = operator.post("/operator/tokens", json!({ "name": "always" })).await.expect(201);
    let always = coffer.with(token(&forever));
    let revoke = format!("/operator/tokens/{}/revoke", forever.id());
    let revoked = operator.post(&revoke, json!({})).await.expect(200);
    assert_eq!(revoked.body["status"], "revoked");
    assert_eq!(operator.post(&revoke, json!({})).await.expect(200).body, revoked.body);
    always.get("/operator/tokens").await.refused(401, "unauthenticated");

    coffer.advance(Duration::from_secs(24 * 3600)).await;
    nightly.get("/operator/tokens").await.refused(401, "unauthenticated");
    let listed = operator.get("/operator/tokens").await.expect(200);
    let seen: Vec<_> =
        listed.body["data"].as_array().unwrap().iter().map(|it| (&it["name"], &it["status"])).collect();
    let wanted =
        [("always", "revoked"), ("nightly", "expired"), ("dev", "active")].map(|(a, b)| (json!(a), json!(b)));
    assert_eq!(seen, wanted.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    assert!(!listed.body.to_string().contains("\"token\""));
}

#[tokio::test]
async fn operators_are_made_and_let_back_in_by_operators() {
    let coffer = Instance::start().await;
    let night = |password: &str| json!({ "email": "night@example.com", "password": password });
    let operator = coffer.operator();
    operator.post("/operator/operators/reset-password", night(PASSWORD)).await.refused(404, "not_found");
    operator.post("/operator/operators", night("1234567890")).await.refused(422, "not_allowed");
    let made = operator.post("/operator/operators", night(PASSWORD)).await.expect(201);
    operator.post("/operator/operators", night(PASSWORD)).await.refused(409, "operator_exists");
    let signed_in = login(&coffer, "night@example.com", PASSWORD).await.expect(200);
    operator.post("/operator/operators/reset-password", night("a loud mountain brook")).await.expect(200);
    coffer.with(token(&signed_in)).get("/operator/operators").await.refused(401, "unauthenticated");
    let signed_in = login(&coffer, "night@example.com", "a loud mountain brook").await.expect(200);
    let listed = coffer.with(token(&signed_in)).get("/operator/operators").await.expect(200);
    assert_eq!(listed.body["data"][0]["id"], made.id());
    coffer.key().post("/operator/operators", night(PASSWORD)).await.refused(403, "forbidden");
}
