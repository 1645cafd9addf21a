//! Registering, signing in, sessions.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

pub const PASSWORD: &str = "a quiet river stone";

fn ann() -> Value {
    json!({ "email": "ann@example.com", "password": PASSWORD, "first_name": "Ann", "last_name": "Smith" })
}

async fn login(coffer: &Instance, email: &str, password: &str) -> Answer {
    coffer.publishable().post("/auth/login", json!({ "email": email, "password": password })).await
}

/// Whoever holds the access token of this answer.
fn session(coffer: &Instance, tokens: &Answer) -> Http {
    coffer.with(tokens.body["access_token"].as_str().unwrap())
}

async fn refresh(coffer: &Instance, tokens: &Answer) -> Answer {
    let body = json!({ "refresh_token": tokens.body["refresh_token"] });
    coffer.publishable().post("/auth/refresh", body).await
}

/// What a client sees of a problem, but for the id of the request.
fn seen(answer: &Answer) -> (u16, Value, Option<String>) {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    (answer.status, body, answer.headers.get("retry-after").cloned())
}

#[tokio::test]
async fn a_user_registers_signs_in_looks_and_leaves() {
    let coffer = Instance::start().await;
    let tokens = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    assert_eq!(coffer.new_events(), ["user.registered"]);
    let user = &tokens.body["user"];
    assert_eq!(
        (&user["email"], &user["status"], &user["roles"], &user["version"]),
        (&json!("ann@example.com"), &json!("active"), &json!(["user"]), &json!(1))
    );
    assert_eq!(user["referral_code"].as_str().unwrap().len(), 8);
    assert_eq!(user.get("status_history"), None, "why staff did something is not for the user");
    assert_eq!((&tokens.body["token_type"], &tokens.body["object"]), (&json!("bearer"), &json!("tokens")));
    assert_eq!(tokens.body["expires_at"], "2026-01-01T00:15:00.000000Z");
    assert!(tokens.body["access_token"].as_str().unwrap().starts_with("st_"));
    assert!(tokens.body["refresh_token"].as_str().unwrap().starts_with("rt_"));
    assert_eq!(tokens.headers["cache-control"], "no-store");

    let tokens = login(&coffer, " ANN@Example.com ", PASSWORD).await.expect(200);
    let signed_in = session(&coffer, &tokens);
    let me = signed_in.get("/auth/me").await.expect(200);
    assert_eq!((&me.body["id"], &me.body["object"]), (&user["id"], &json!("user")));
    assert!(me.body["permissions"].as_array().unwrap().contains(&json!("users.view")));
    let sessions = signed_in.get("/auth/sessions").await.expect(200);
    let current: Vec<_> =
        sessions.body["data"].as_array().unwrap().iter().map(|it| &it["is_current"]).collect();
    assert_eq!(current, [true, false], "newest first");
    assert_eq!(me.body["session_id"], sessions.body["data"][0]["id"]);

    signed_in.post("/auth/logout", json!({})).await.expect(200);
    signed_in.get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&coffer, &tokens).await.refused(401, "unauthenticated");
    assert_eq!(coffer.new_events(), [""; 0]);
}

#[tokio::test]
async fn a_registration_that_is_wrong_says_where() {
    let coffer = Instance::start().await;
    let long = "x".repeat(129);
    let changes = [
        (json!({ "email": null }), "required", "email"),
        (json!({ "email": "ann" }), "invalid_format", "email"),
        (json!({ "email": "ann@example" }), "invalid_format", "email"),
        (json!({ "first_name": "  " }), "out_of_range", "first_name"),
        (json!({ "last_name": 7 }), "invalid_type", "last_name"),
        (json!({ "phone": "call me" }), "invalid_format", "phone"),
        (json!({ "roles": ["admin"] }), "unknown_field", "roles"),
        (json!({ "password": "too short" }), "out_of_range", "password"),
        (json!({ "password": long }), "out_of_range", "password"),
        (json!({ "password": "Password123" }), "not_allowed", "password"),
        (json!({ "password": "ANN@example.com" }), "not_allowed", "password"),
    ];
    for (change, code, param) in changes {
        let mut body = ann();
        for (field, value) in change.as_object().unwrap() {
            body[field] = value.clone();
        }
        if change["email"].is_null() && change.get("email").is_some() {
            body.as_object_mut().unwrap().remove("email");
        }
        let answer = coffer.publishable().post("/auth/register", body).await.refused(422, code);
        assert_eq!(answer.body["param"], param, "{:#}", answer.body);
    }
    let unknown = [ann(), json!({ "referral_code": "00000000" })];
    let mut body = unknown[0].clone();
    body["referral_code"] = unknown[1]["referral_code"].clone();
    coffer.publishable().post("/auth/register", body).await.refused(422, "referral_unknown");
    coffer.nobody().post("/auth/register", ann()).await.refused(401, "unauthenticated");
    assert_eq!(coffer.new_events(), [""; 0], "nothing has happened");

    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let mut again = ann();
    again["email"] = " Ann@EXAMPLE.com".into();
    coffer.publishable().post("/auth/register", again).await.refused(409, "email_taken");
}

#[tokio::test]
async fn a_referral_code_leads_to_its_owner() {
    let coffer = Instance::start().await;
    let first = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let code = first.body["user"]["referral_code"].as_str().unwrap().to_lowercase();
    let bob = json!({
        "email": "bob@example.com", "password": PASSWORD, "first_name": "Bob", "last_name": "Jones",
        "referral_code": code,
    });
    let second = coffer.publishable().post("/auth/register", bob).await.expect(201);
    assert_eq!(second.body["user"]["referred_by"], first.body["user"]["id"]);
}

#[tokio::test]
async fn signing_in_tells_nobody_whether_there_is_an_account() {
    let coffer = Instance::start().await;
    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let off =
        json!({ "email": "off@example.com", "password": PASSWORD, "first_name": "O", "last_name": "F" });
    let off = coffer.publishable().post("/auth/register", off).await.expect(201);
    let off = off.body["user"]["id"].as_str().unwrap().to_owned();
    coffer.key().post(&format!("/users/{off}/disable"), json!({ "reason": "test" })).await.expect(200);
    let no_password = json!({ "email": "none@example.com", "first_name": "N", "last_name": "P" });
    coffer.key().post("/users", no_password).await.expect(201);

    let wrong = login(&coffer, "ann@example.com", "a wrong password").await.refused(401, "bad_credentials");
    let others = [
        ("nobody@example.com", "a wrong password"),
        ("off@example.com", PASSWORD),
        ("none@example.com", ""),
        ("no address", PASSWORD),
    ];
    for (email, password) in others {
        assert_eq!(seen(&login(&coffer, email, password).await), seen(&wrong), "{email}");
    }
}

#[tokio::test]
async fn an_account_is_locked_known_or_not_and_the_lock_ends() {
    let coffer = Instance::start().await;
    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    for email in ["ann@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            login(&coffer, email, "a wrong password").await.refused(401, "bad_credentials");
        }
    }
    let known = login(&coffer, "Ann@example.com", PASSWORD).await.refused(429, "account_locked");
    let unknown = login(&coffer, "nobody@example.com", PASSWORD).await;
    assert_eq!(seen(&known), seen(&unknown));
    assert_eq!(known.headers["retry-after"], "900");

    coffer.advance(Duration::from_secs(15 * 60 - 1)).await;
    login(&coffer, "ann@example.com", PASSWORD).await.refused(429, "account_locked");
    coffer.advance(Duration::from_secs(1)).await;
    for _ in 0..4 {
        login(&coffer, "ann@example.com", "a wrong password").await.refused(401, "bad_credentials");
    }
    login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
    for _ in 0..4 {
        login(&coffer, "ann@example.com", "a wrong password").await.refused(401, "bad_credentials");
    }
    login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn guesses_sent_at_once_get_no_further_than_guesses_in_a_row() {
    let coffer = Instance::start().await;
    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let mut guesses = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let publishable = coffer.publishable();
        let body = json!({ "email": "ann@example.com", "password": "a wrong password" });
        guesses.spawn(async move { publishable.post("/auth/login", body).await });
    }
    let answers = guesses.join_all().await;
    let with = |status| answers.iter().filter(|it| it.status == status).count();
    assert_eq!((with(401), with(429)), (5, 15));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_using_it_twice_ends_the_session() {
    let coffer = Instance::start().await;
    let first = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let other = login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
    coffer.advance(Duration::from_secs(15 * 60)).await;
    session(&coffer, &first).get("/auth/me").await.refused(401, "unauthenticated");

    let second = refresh(&coffer, &first).await.expect(200);
    session(&coffer, &second).get("/auth/me").await.expect(200);
    let third = refresh(&coffer, &second).await.expect(200);
    session(&coffer, &second).get("/auth/me").await.refused(401, "unauthenticated");
    session(&coffer, &third).get("/auth/me").await.expect(200);
    coffer.new_events();

    refresh(&coffer, &first).await.refused(401, "refresh_reused");
    assert_eq!(coffer.new_events(), ["auth.refresh_reused"]);
    session(&coffer, &third).get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&coffer, &third).await.refused(401, "unauthenticated");
    refresh(&coffer, &first).await.refused(401, "unauthenticated");
    assert_eq!(coffer.new_events(), [""; 0], "it is announced once");
    refresh(&coffer, &other).await.expect(200);
}

#[tokio::test]
async fn a_session_ends_when_it_is_not_refreshed_and_is_swept() {
    let coffer = Instance::start().await;
    let tokens = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let day = Duration::from_secs(24 * 3600);
    coffer.advance(29 * day).await;
    let tokens = refresh(&coffer, &tokens).await.expect(200);
    coffer.advance(30 * day - Duration::from_secs(1)).await;
    let last = refresh(&coffer, &tokens).await.expect(200);
    coffer.advance(30 * day).await;
    refresh(&coffer, &last).await.refused(401, "unauthenticated");
    let tokens = login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
    let sessions = session(&coffer, &tokens).get("/auth/sessions").await.expect(200);
    assert_eq!(sessions.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let coffer = Instance::start().await;
    let other = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let tokens = login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
    let signed_in = session(&coffer, &tokens);
    coffer.new_events();
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        let signed_in = signed_in.clone();
        async move { signed_in.post("/auth/password/change", body).await }
    };
    let flawed = change(PASSWORD, "Smith").await.refused(422, "out_of_range");
    assert_eq!(flawed.body["param"], "new_password");
    change("a wrong password", "a loud mountain brook").await.refused(401, "bad_credentials");
    session(&coffer, &other).get("/auth/me").await.expect(200);
    assert_eq!(coffer.new_events(), [""; 0]);

    change(PASSWORD, "a loud mountain brook").await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.password_changed"]);
    signed_in.get("/auth/me").await.expect(200);
    session(&coffer, &other).get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&coffer, &other).await.refused(401, "unauthenticated");
    login(&coffer, "ann@example.com", PASSWORD).await.refused(401, "bad_credentials");
    login(&coffer, "ann@example.com", "a loud mountain brook").await.expect(200);

    for _ in 0..5 {
        change("a wrong password", "yet another password").await.refused(401, "bad_credentials");
    }
    change("a loud mountain brook", "yet another password").await.refused(429, "account_locked");
}

#[tokio::test]
async fn one_ends_ones_own_sessions_and_nobody_elses() {
    let coffer = Instance::start().await;
    let tokens = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let ann = session(&coffer, &tokens);
    let bob =
        json!({ "email": "bob@example.com", "password": PASSWORD, "first_name": "B", "last_name": "J" });
    let bob = session(&coffer, &coffer.publishable().post("/auth/register", bob).await.expect(201));
    let id = ann.get("/auth/me").await.expect(200).body["session_id"].as_str().unwrap().to_owned();
    let path = format!("/auth/sessions/{id}");
    bob.delete(&path, 0).await.refused(404, "not_found");
    ann.delete("/auth/sessions/ses_00000000000000000000000000", 0).await.refused(404, "not_found");
    ann.delete(&path, 0).await.expect(200);
    ann.get("/auth/me").await.refused(401, "unauthenticated");
    refresh(&coffer, &tokens).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn what_is_done_to_a_user_holds_from_the_next_request_on() {
    let coffer = Instance::start().await;
    let tokens = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let user = session(&coffer, &tokens);
    let id = tokens.body["user"]["id"].as_str().unwrap().to_owned();
    let to = |verb: &'static str| {
        let (key, path) = (coffer.key(), format!("/users/{id}/{verb}"));
        async move { key.post(&path, json!({ "reason": "test" })).await.expect(200) }
    };
    // Frozen or disabled: what is open ends, nothing opens, and the end of it brings no session back.
    let mut open = (user, tokens);
    for (begin, end) in [("freeze", "unfreeze"), ("disable", "enable")] {
        to(begin).await;
        open.0.get("/auth/me").await.refused(401, "unauthenticated");
        refresh(&coffer, &open.1).await.refused(401, "unauthenticated");
        login(&coffer, "ann@example.com", PASSWORD).await.refused(401, "bad_credentials");
        to(end).await;
        open.0.get("/auth/me").await.refused(401, "unauthenticated");
        refresh(&coffer, &open.1).await.refused(401, "unauthenticated");
        let tokens = login(&coffer, "ann@example.com", PASSWORD).await.expect(200);
        open = (session(&coffer, &tokens), tokens);
        open.0.get(&format!("/users/{id}")).await.expect(200);
    }
    let left = open.0.get("/auth/sessions").await.expect(200);
    assert_eq!(left.body["data"].as_array().unwrap().len(), 1, "the last one");
}

#[tokio::test]
async fn a_member_of_staff_who_is_frozen_is_out_at_once() {
    let coffer = Instance::start().await;
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    let admin = |email| {
        json!({
            "email": email, "password": PASSWORD, "first_name": "S", "last_name": "T", "roles": ["admin"],
        })
    };
    inside.post("/users", admin("other@example.com")).await.expect(201);
    let staff = inside.post("/users", admin("staff@example.com")).await.expect(201);
    let signed_in = session(&coffer, &login(&coffer, "staff@example.com", PASSWORD).await.expect(200));
    signed_in.get("/users").await.expect(200);
    inside.post(&format!("/users/{}/freeze", staff.id()), json!({ "reason": "test" })).await.expect(200);
    let new = json!({ "email": "new@example.com", "first_name": "N", "last_name": "W" });
    signed_in.get("/users").await.refused(401, "unauthenticated");
    signed_in.post("/users", new).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn a_session_is_of_one_client_and_a_key_of_another_does_not_help() {
    let coffer = Instance::start().await;
    let tokens = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let other = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let other = coffer.operator().post("/clients", other).await.expect(201);
    let (other_id, other_key) = (other.id(), other.body["publishable_key"].as_str().unwrap());

    let user = session(&coffer, &tokens);
    user.clone().header("x-api-key", &coffer.credentials().publishable_key).get("/auth/me").await.expect(200);
    user.clone().header("x-api-key", other_key).get("/auth/me").await.refused(401, "unauthenticated");
    let foreign = coffer.with(other_key);
    let body = json!({ "refresh_token": tokens.body["refresh_token"] });
    foreign.post("/auth/refresh", body).await.refused(401, "unauthenticated");
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    foreign.post("/auth/login", body).await.refused(401, "bad_credentials");
    foreign.post("/auth/register", ann()).await.expect(201);

    let id = &coffer.credentials().client_id;
    coffer.operator().post(&format!("/clients/{id}/deactivate"), json!({})).await.expect(200);
    user.get("/auth/me").await.refused(403, "client_inactive");
    foreign
        .post("/auth/login", json!({ "email": "ann@example.com", "password": PASSWORD }))
        .await
        .expect(200);
    assert_ne!(id, other_id);
}

#[tokio::test]
async fn keys_and_operators_have_no_session() {
    let coffer = Instance::start().await;
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    for who in [coffer.key(), inside, coffer.operator()] {
        who.get("/auth/me").await.refused(403, "session_required");
        who.get("/auth/sessions").await.refused(403, "session_required");
        who.post("/auth/logout", json!({})).await.refused(403, "session_required");
    }
    coffer.publishable().get("/auth/me").await.refused(403, "forbidden");
}
