//! One's sessions: what is shown of them, and ending one.

use std::time::Duration;

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;

async fn register(coffer: &Instance, email: &str) -> Http {
    let body = json!({ "email": email, "password": PASSWORD, "first_name": "A", "last_name": "B" });
    let tokens = coffer.publishable().header("user-agent", "Firefox").post("/auth/register", body).await;
    coffer.with(tokens.expect(201).body["access_token"].as_str().unwrap())
}

async fn login(coffer: &Instance, email: &str, user_agent: &str) -> Http {
    let body = json!({ "email": email, "password": PASSWORD });
    let tokens = coffer.publishable().header("user-agent", user_agent).post("/auth/login", body).await;
    coffer.with(tokens.expect(200).body["access_token"].as_str().unwrap())
}

async fn sessions(who: &Http) -> Vec<Value> {
    who.get("/auth/sessions").await.expect(200).body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_session_says_where_it_is_and_when_it_was_used() {
    let coffer = Instance::start().await;
    let first = register(&coffer, "ann@example.com").await;
    coffer.advance(Duration::from_secs(60)).await;
    let second = login(&coffer, "ann@example.com", "Safari").await;
    let shown = sessions(&second).await;
    let seen: Vec<_> = shown
        .iter()
        .map(|it| (it["user_agent"].as_str().unwrap(), it["is_current"].as_bool().unwrap()))
        .collect();
    assert_eq!(seen, [("Safari", true), ("Firefox", false)], "newest first");
    assert_eq!(shown[0]["ip"], "127.0.0.1");
    assert_eq!(shown[1]["last_used_at"], "2026-01-01T00:00:00.000000Z");

    coffer.advance(Duration::from_secs(60)).await;
    first.get("/auth/me").await.expect(200);
    assert_eq!(sessions(&second).await[1]["last_used_at"], "2026-01-01T00:02:00.000000Z", "from memory");
    coffer.advance(Duration::from_secs(61)).await;
    coffer.settle().await;
    assert_eq!(sessions(&second).await[1]["last_used_at"], "2026-01-01T00:02:00.000000Z", "from the store");
}

#[tokio::test]
async fn one_ends_a_session_of_ones_own_and_nobody_elses() {
    let coffer = Instance::start().await;
    let ann = register(&coffer, "ann@example.com").await;
    let bob = register(&coffer, "bob@example.com").await;
    let lost = login(&coffer, "ann@example.com", "Safari").await;
    let of_ann = sessions(&ann).await;
    let path = |it: &Value| format!("/auth/sessions/{}", it["id"].as_str().unwrap());
    bob.delete(&path(&of_ann[0]), 0).await.refused(404, "not_found");
    lost.get("/auth/me").await.expect(200);
    ann.delete(&path(&of_ann[0]), 0).await.expect(200);
    lost.get("/auth/me").await.refused(401, "unauthenticated");
    ann.delete(&path(&of_ann[0]), 0).await.refused(404, "not_found");
    assert_eq!(sessions(&ann).await.len(), 1);
    coffer.key().get("/auth/sessions").await.refused(403, "session_required");
}
