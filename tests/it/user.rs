//! The people of a client.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;

fn person(email: &str, roles: &[&str]) -> Value {
    json!({ "email": email, "first_name": "Ann", "last_name": "Smith", "password": PASSWORD, "roles": roles })
}

/// The operator, inside the client of the instance.
fn inside(coffer: &Instance) -> Http {
    coffer.operator().inside(&coffer.credentials().client_id)
}

/// A user with these roles, and its session.
async fn user(coffer: &Instance, email: &str, roles: &[&str]) -> (String, Http) {
    let made = inside(coffer).post("/users", person(email, roles)).await.expect(201);
    coffer.agree_to_access().await;
    let body = json!({ "email": email, "password": PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", body).await.expect(200);
    (made.id().to_owned(), coffer.with(tokens.body["access_token"].as_str().unwrap()))
}

fn because(reason: &str) -> Value {
    json!({ "reason": reason })
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn staff_make_a_user_once() {
    let coffer = Instance::start().await;
    let mut body = person(" Ann@Example.com", &[]);
    body["external_id"] = "crm-7".into();
    body["metadata"] = json!({ "tier": "gold" });
    let once = coffer.key().idempotent("one");
    let made = once.post("/users", body.clone()).await.expect(201);
    let again = once.post("/users", body.clone()).await.expect(201);
    assert_eq!(again.body, made.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(coffer.new_events(), ["user.registered"]);
    assert_eq!(
        (&made.body["email"], &made.body["roles"], &made.body["external_id"], &made.body["metadata"]),
        (&json!("ann@example.com"), &json!(["user"]), &json!("crm-7"), &json!({ "tier": "gold" }))
    );
    assert_eq!(made.headers["etag"], "\"v1\"");
    let audit = coffer.key().get("/audit").await.expect(200);
    assert_eq!(
        (&audit.body["data"][0]["action"], &audit.body["data"][0]["entity"]),
        (&json!("POST /users"), &json!(made.id()))
    );
    assert!(!made.body.to_string().contains("argon2") && !audit.body.to_string().contains(PASSWORD));

    for (tier, wanted) in [("gold", vec![made.id()]), ("tin", vec![])] {
        let found = coffer.key().get(&format!("/users?q=ann&metadata[tier]={tier}")).await.expect(200);
        assert_eq!(ids(&found), wanted, "{tier}");
    }

    let mut other = body.clone();
    other["first_name"] = "Bea".into();
    once.post("/users", other).await.refused(422, "idempotency_key_reused");
    coffer.key().post("/users", body.clone()).await.refused(409, "email_taken");
    body["email"] = "bea@example.com".into();
    let taken = coffer.key().post("/users", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());
    coffer.key().post("/users", person("c@example.com", &["king"])).await.refused(422, "role_unknown");
    assert_eq!(coffer.new_events(), [""; 0]);
}

#[tokio::test]
async fn users_are_found_by_the_beginning_of_what_they_are_called_and_by_state() {
    let coffer = Instance::start().await;
    let mut made = vec![];
    for email in ["ann@example.com", "anna@example.com", "bob@example.com", "annika@example.org"] {
        let mut body = person(email, &[]);
        (body["first_name"], body["last_name"]) = ("Max".into(), "Meyer".into());
        made.push(coffer.key().post("/users", body).await.expect(201).id().to_owned());
    }
    let [ann, anna, bob, annika] = &made[..] else { panic!("four were made") };
    let key = coffer.key();
    assert_eq!(ids(&key.get("/users").await.expect(200)), [annika, bob, anna, ann], "newest first");
    assert_eq!(ids(&key.get("/users?q=Ann").await.expect(200)), [ann, anna, annika], "by address");
    assert_eq!(ids(&key.get("/users?q=anna@").await.expect(200)), [anna]);
    assert_eq!(ids(&key.get("/users?q=zoe").await.expect(200)), [""; 0]);
    let first = key.get("/users?q=ann&limit=2").await.expect(200);
    assert_eq!((ids(&first), &first.body["has_more"]), (vec![ann.as_str(), anna.as_str()], &json!(true)));
    let next = format!("/users?q=ann&limit=2&cursor={}", first.body["next_cursor"].as_str().unwrap());
    assert_eq!(ids(&key.get(&next).await.expect(200)), [annika]);

    let mut anders = person("zoe.last@example.com", &[]);
    (anders["first_name"], anders["last_name"]) = ("Anna".into(), "Anders".into());
    anders["external_id"] = "ANN-7".into();
    let anders = key.post("/users", anders).await.expect(201).id().to_owned();
    let found = key.get("/users?q=ANN").await.expect(200);
    // By "anders", "anna anders" and "ann-7", which stands first; listed once.
    assert_eq!(ids(&found), [&anders, ann, anna, annika]);
    let mut cursor = String::new();
    for wanted in [&anders, ann, anna, annika] {
        let page = key.get(&format!("/users?q=ann&limit=1{cursor}")).await.expect(200);
        assert_eq!(ids(&page), [wanted]);
        cursor = format!("&cursor={}", page.body["next_cursor"].as_str().unwrap_or_default());
    }
    for q in ["anders", "anna%20and", "Ann-7", &anders, "ZOE"] {
        assert_eq!(ids(&key.get(&format!("/users?q={q}")).await.expect(200)), [&anders], "{q}");
    }
    assert_eq!(ids(&key.get("/users?q=Meyer&limit=2").await.expect(200)).len(), 2);

    key.post(&format!("/users/{bob}/freeze"), because("test")).await.expect(200);
    assert_eq!(ids(&key.get("/users?status=frozen").await.expect(200)), [bob]);
    assert_eq!(ids(&key.get("/users?created_from=2026-01-02T00:00:00Z").await.expect(200)), [""; 0]);
    key.get("/users?status=gone").await.refused(422, "invalid_format");
    let statistics = key.get("/users/statistics").await.expect(200);
    let counts =
        ["total", "active", "frozen", "disabled", "active_admins"].map(|it| statistics.body[it].clone());
    assert_eq!(counts, [5, 4, 1, 0, 0].map(|it| json!(it)));
}

#[tokio::test]
async fn a_user_changes_its_own_name_and_nothing_of_anybody_else() {
    let coffer = Instance::start().await;
    let (id, ann) = user(&coffer, "ann@example.com", &[]).await;
    let (other, _) = user(&coffer, "bob@example.com", &[]).await;
    let path = format!("/users/{id}");
    let renamed = json!({ "first_name": " Anna ", "phone": "+43 660 1234567" });
    let changed = ann.patch(&path, 1, renamed.clone()).await.expect(200);
    assert_eq!((&changed.body["first_name"], &changed.body["version"]), (&json!("Anna"), &json!(2)));
    assert_eq!(changed.body["last_name"], "Smith");
    ann.patch(&path, 1, renamed.clone()).await.refused(412, "stale_version");
    let without = ann.clone().send(hyper::Method::PATCH, &path, Some(renamed.to_string())).await;
    without.refused(428, "if_match_required");
    assert_eq!(ann.patch(&path, 2, renamed).await.expect(200).body["version"], 2, "nothing has changed");
    assert_eq!(ann.patch(&path, 2, json!({ "phone": "" })).await.expect(200).body["phone"], Value::Null);
    for not_own in [json!({ "tier": "gold" }), json!({ "metadata": { "tier": "gold" } })] {
        ann.patch(&path, 3, not_own).await.refused(422, "not_allowed");
    }
    ann.patch(&path, 3, json!({ "status": "active" })).await.refused(422, "unknown_field");
    let theirs = format!("/users/{other}");
    ann.get(&theirs).await.refused(404, "not_found");
    ann.patch(&theirs, 1, json!({ "first_name": "X" })).await.refused(404, "not_found");
    ann.get("/users").await.refused(403, "forbidden");
    ann.post(&format!("{path}/freeze"), because("me")).await.refused(403, "forbidden");
    ann.put(&format!("{path}/roles"), 3, json!({ "roles": ["admin"] })).await.refused(403, "forbidden");

    let key = coffer.key();
    key.patch(&path, 3, json!({ "email": "Bob@example.com" })).await.refused(409, "email_taken");
}

#[tokio::test]
async fn states_move_as_the_table_says_and_a_repeat_changes_nothing() {
    let coffer = Instance::start().await;
    let (id, _) = user(&coffer, "ann@example.com", &[]).await;
    coffer.new_events();
    let key = coffer.key();
    let to = |verb: &str, reason: &str| {
        let (key, path, body) = (key.clone(), format!("/users/{id}/{verb}"), because(reason));
        async move { key.post(&path, body).await }
    };
    // what is done, and the status or code it leads to
    let steps = [
        ("unfreeze", "invalid_state_transition", ""),
        ("enable", "invalid_state_transition", ""),
        ("freeze", "frozen", "user.frozen"),
        ("freeze", "frozen", ""),
        ("unfreeze", "active", "user.unfrozen"),
        ("freeze", "frozen", "user.frozen"),
        ("disable", "disabled", "user.disabled"),
        ("freeze", "invalid_state_transition", ""),
        ("enable", "active", "user.enabled"),
    ];
    for (verb, wanted, event) in steps {
        let answer = to(verb, "test").await;
        let found =
            if answer.status == 200 { answer.body["status"].as_str().unwrap() } else { answer.code() };
        assert_eq!(found, wanted, "{verb}");
        assert_eq!(coffer.new_events().concat(), event, "{verb}");
    }
    to("freeze", "one reason").await.expect(200);
    to("freeze", "another reason").await.refused(409, "invalid_state_transition");
    to("unfreeze", " ").await.refused(422, "out_of_range");
    let shown = key.get(&format!("/users/{id}")).await.expect(200);
    let last = shown.body["status_history"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["reason"]), (&json!("freeze"), &json!("one reason")));
}

#[tokio::test]
async fn the_last_active_admin_stays() {
    let coffer = Instance::start().await;
    let (first, boss) = user(&coffer, "boss@example.com", &["admin"]).await;
    let roles = json!({ "roles": ["user"] });
    for verb in ["freeze", "disable"] {
        boss.post(&format!("/users/{first}/{verb}"), because("tired")).await.refused(409, "last_admin");
    }
    boss.put(&format!("/users/{first}/roles"), 1, roles.clone()).await.refused(409, "last_admin");
    let (second, _) = user(&coffer, "vice@example.com", &["admin"]).await;
    boss.post(&format!("/users/{second}/freeze"), because("test")).await.expect(200);
    boss.post(&format!("/users/{first}/disable"), because("tired")).await.refused(409, "last_admin");
    boss.post(&format!("/users/{second}/unfreeze"), because("test")).await.expect(200);
    boss.put(&format!("/users/{first}/roles"), 1, roles).await.expect(200);
    boss.get("/users").await.refused(403, "forbidden");
    inside(&coffer)
        .post(&format!("/users/{second}/disable"), because("test"))
        .await
        .refused(409, "last_admin");
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let coffer = Instance::start().await;
    let (id, _) = user(&coffer, "ann@example.com", &[]).await;
    let (admin, boss) = user(&coffer, "boss@example.com", &["admin"]).await;
    let scopes = json!({ "name": "k", "kind": "secret", "scopes": ["users:read", "users:write"] });
    let narrow = coffer.key().post("/api-keys", scopes).await.expect(201);
    let narrow = coffer.with(narrow.body["secret_key"].as_str().unwrap());
    coffer.new_events();
    let path = format!("/users/{id}/roles");
    narrow.put(&path, 1, json!({ "roles": ["user", "admin"] })).await.refused(403, "permission_escalation");
    narrow.post("/users", person("x@example.com", &["admin"])).await.refused(403, "permission_escalation");
    narrow.post("/users", person("x@example.com", &["user"])).await.expect(201);
    let email = json!({ "email": "mine@example.com" });
    narrow.patch(&format!("/users/{admin}"), 1, email).await.refused(403, "permission_escalation");

    coffer.new_events();
    let changed =
        boss.put(&path, 1, json!({ "roles": ["moderator", "user", "moderator"] })).await.expect(200);
    assert_eq!(changed.body["roles"], json!(["moderator", "user"]));
    assert_eq!(coffer.new_events(), ["user.roles_changed"]);
    boss.put(&path, 1, json!({ "roles": ["user"] })).await.refused(412, "stale_version");
    boss.put(&path, 2, json!({ "roles": [] })).await.refused(422, "required");
    boss.put(&path, 2, json!({ "roles": ["king"] })).await.refused(422, "role_unknown");
    let same = boss.put(&path, 2, json!({ "roles": ["moderator", "user"] })).await.expect(200);
    assert_eq!(same.body["version"], 2);
    assert_eq!(coffer.new_events(), [""; 0]);
}

#[tokio::test]
async fn another_clients_users_are_not_there() {
    let coffer = Instance::start().await;
    let (id, _) = user(&coffer, "ann@example.com", &[]).await;
    let other = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let other = coffer.operator().post("/clients", other).await.expect(201);
    let foreign = coffer.with(other.body["secret_key"].as_str().unwrap());
    foreign.get(&format!("/users/{id}")).await.refused(404, "not_found");
    foreign.post(&format!("/users/{id}/freeze"), because("test")).await.refused(404, "not_found");
    assert_eq!(ids(&foreign.get("/users?q=ann").await.expect(200)), [""; 0]);
    foreign.post("/users", person("ann@example.com", &[])).await.expect(201);
}

#[tokio::test]
async fn somebody_known_from_elsewhere_is_made_as_they_were() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let made = |email: &str, more: Value| {
        let mut body = json!({ "email": email, "first_name": "A", "last_name": "B", "password": PASSWORD });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let ann = key.post("/users", made("ann@example.com", json!({ "tier": "gold" }))).await.expect(201);
    coffer.new_events();
    let stopped = json!({ "status": "frozen", "reason": "a stolen phone", "referred_by": ann.id() });
    let bob = key.post("/users", made("bob@example.com", stopped)).await.expect(201);
    assert_eq!(coffer.new_events(), ["user.registered", "user.frozen"]);
    assert_eq!(
        (&ann.body["tier"], &bob.body["tier"], &bob.body["status"], &bob.body["referred_by"]),
        (&json!("gold"), &json!("standard"), &json!("frozen"), &ann.body["id"])
    );
    assert_eq!(bob.body["status_history"][1]["reason"], "a stolen phone");
    let body = json!({ "email": "bob@example.com", "password": PASSWORD });
    coffer.publishable().post("/auth/login", body).await.refused(401, "bad_credentials");
    let statistics = key.get("/users/statistics").await.expect(200);
    assert_eq!((&statistics.body["active"], &statistics.body["frozen"]), (&json!(1), &json!(1)));

    for (more, status, code) in [
        (json!({ "status": "disabled" }), 422, "required"),
        (json!({ "referred_by": "usr_00000000000000000000000000" }), 422, "referral_unknown"),
        (json!({ "referred_by": ann.id(), "referral_code": ann.body["referral_code"] }), 422, "not_allowed"),
    ] {
        key.post("/users", made("cid@example.com", more)).await.refused(status, code);
    }
    // What it takes to change these later, it takes at the beginning.
    let maker = json!({ "name": "maker", "permissions": ["users.create_any"] });
    inside(&coffer).post("/roles", maker).await.expect(201);
    let (_, maker) = user(&coffer, "mia@example.com", &["maker"]).await;
    for (more, wanted) in [
        (json!({ "tier": "gold" }), "users.update_any"),
        (json!({ "status": "disabled", "reason": "left" }), "users.disable"),
    ] {
        let refused = maker.post("/users", made("cid@example.com", more)).await.refused(403, "forbidden");
        assert_eq!(refused.body["required_permission"], wanted);
    }
    maker.post("/users", made("cid@example.com", json!({}))).await.expect(201);
}
