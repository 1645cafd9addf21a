//! Clients: settings, API keys and stored secrets.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::support::agree;
use crate::withdrawal::person;

async fn make_key(coffer: &Instance, body: Value) -> (String, Http) {
    let made = coffer.key().post("/api-keys", body).await.expect(201);
    (made.id().to_owned(), coffer.with(made.body["secret_key"].as_str().unwrap()))
}

async fn current(key: &Http) -> Answer {
    key.get("/api-keys/current").await
}

#[tokio::test]
async fn an_operator_makes_a_client_and_sees_its_keys_once() {
    let coffer = Instance::start().await;
    let northwind = json!({
        "name": "Northwind", "slug": "northwind", "mode": "live", "default_currency": "KWD",
        "settings": { "withdrawal": { "automatic_up_to": "250.5" } }, "external_id": "crm-7",
        "metadata": { "tier": "gold" },
    });
    let operator = coffer.operator().idempotent("make-northwind");
    let made = operator.post("/clients", northwind.clone()).await.expect(201);
    let text = |field: &str| made.body[field].as_str().unwrap().to_owned();
    assert!(text("secret_key").starts_with("sk_live_") && text("publishable_key").starts_with("pk_live_"));
    assert_eq!(made.body["settings"]["withdrawal"]["automatic_up_to"], "250.500");
    assert_eq!(coffer.new_events(), ["client.created", "api_key.created", "api_key.created"]);

    let replayed = operator.post("/clients", northwind.clone()).await.expect(201);
    assert_eq!(replayed.headers["idempotent-replayed"], "true");
    assert_eq!((&replayed.body["secret_key"], &replayed.body["secret_shown"]), (&Value::Null, &json!(true)));
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    let key = coffer.with(&text("secret_key"));
    let seen = key.get("/clients/current").await.expect(200);
    assert_eq!((seen.id(), &seen.body["default_currency"]), (made.id(), &json!("KWD")));
    let active = key.get("/currencies?active=true").await.expect(200);
    assert_eq!(active.body["data"].as_array().unwrap().len(), 1);
    assert_eq!(key.get("/roles").await.expect(200).body["data"].as_array().unwrap().len(), 3);
    let public = coffer.with(&text("publishable_key"));
    let shown = public.get("/clients/current/public").await.expect(200);
    assert_eq!((shown.id(), &shown.body["settings"]), (made.id(), &Value::Null));
    public.get("/clients/current").await.refused(403, "forbidden");

    let with = |changes: Value| {
        let mut body = northwind.clone();
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    // In order of precedence.
    for (body, status, code) in [
        (with(json!({ "colour": 1 })), 422, "unknown_field"),
        (with(json!({ "name": "" })), 422, "out_of_range"),
        (with(json!({ "slug": "North Wind" })), 422, "invalid_format"),
        (northwind.clone(), 409, "slug_taken"),
        (with(json!({ "slug": "n2" })), 409, "external_id_taken"),
        (
            with(json!({ "slug": "n2", "external_id": "x", "default_currency": "XXX" })),
            422,
            "currency_unknown",
        ),
        (
            with(
                json!({ "slug": "n2", "external_id": "x", "settings": { "funding": { "maximum": "0.0001" } } }),
            ),
            422,
            "amount_scale",
        ),
    ] {
        coffer.operator().post("/clients", body).await.refused(status, code);
    }
    coffer.key().post("/clients", northwind).await.refused(403, "forbidden");
    let list = coffer.operator().get("/clients?q=NORTH").await.expect(200);
    assert_eq!(list.body["data"][0]["id"], made.id());
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    for (tier, wanted) in [("gold", 1), ("tin", 0)] {
        let list = coffer.operator().get(&format!("/clients?metadata[tier]={tier}")).await.expect(200);
        assert_eq!(list.body["data"].as_array().unwrap().len(), wanted, "{tier}");
    }
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test]
async fn an_operator_acts_only_inside_clients_that_exist() {
    let coffer = Instance::start().await;
    coffer.operator().get("/clients/current").await.refused(400, "client_required");
    for unknown in ["cli_00000000000000000000000000", "northwind", "usr_00000000000000000000000000"] {
        let operator = coffer.operator().inside(unknown);
        operator.get("/clients/current").await.refused(404, "not_found");
        let rent = json!({ "key": "rent", "name": "Rent" });
        operator.post("/categories", rent).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn one_person_tightens_settings_and_two_loosen_them() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    let change = async |settings: Value| {
        let version = key.get("/clients/current").await.expect(200).body["version"].as_u64().unwrap();
        key.patch("/clients/current", version, json!({ "settings": settings })).await.expect(200).body
    };
    let (approve, reject) = ("/clients/current/settings/approve", "/clients/current/settings/reject");
    agree(&boss, approve).await.refused(409, "nothing_proposed");
    let tight = json!({
        "funding": { "maximum": "500.00" },
        "withdrawal": { "minimum": "20.00", "beneficiary_cooling_hours": 48 },
        "swap": { "maximum": "50.00" },
    });
    let now = change(tight).await;
    assert_eq!((&now["settings"]["funding"]["maximum"], &now["proposed"]), (&json!("500.00"), &Value::Null));
    assert_eq!(now["settings"]["withdrawal"]["beneficiary_cooling_hours"], 48);

    // Of one change the tighter part is in force, and the looser one waits.
    let mixed = json!({
        "funding": { "maximum": null },
        "withdrawal": { "minimum": "1.00", "beneficiary_cooling_hours": 0 },
        "swap": { "maximum": "40.00" },
        "branding": { "display_name": "Dev Pay" },
    });
    let now = change(mixed).await;
    let shown = |of: &Value| {
        let it = &of["settings"];
        let hours = &it["withdrawal"]["beneficiary_cooling_hours"];
        json!([it["funding"]["maximum"], it["withdrawal"]["minimum"], hours, it["swap"]["maximum"]])
    };
    assert_eq!(shown(&now), json!(["500.00", "20.00", 48, "40.00"]));
    assert_eq!(shown(&now["proposed"]), json!([null, "1.00", 0, "40.00"]));
    assert_eq!(now["settings"]["branding"]["display_name"], "Dev Pay");
    let path = format!("/clients/{}", coffer.credentials().client_id);
    assert_eq!(coffer.operator().get(&path).await.expect(200).body["proposed"], now["proposed"]);

    // Nobody agrees with themselves, through whatever key.
    let made = json!({ "name": "mine", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let made = key.post("/api-keys", made).await.expect(201);
    let made = coffer.with(made.body["secret_key"].as_str().unwrap());
    for same in [&key, &made] {
        agree(same, approve).await.refused(403, "self_approval");
    }
    agree(&ann, approve).await.refused(403, "forbidden");
    let agreed = agree(&boss, approve).await.expect(200).body;
    assert_eq!(shown(&agreed), json!([null, "1.00", 0, "40.00"]));
    assert_eq!(agreed["proposed"], Value::Null);

    // What waits stays while something else changes, and is forgotten when somebody drops it, or tightens.
    change(json!({ "withdrawal": { "minimum": null } })).await;
    let now = change(json!({ "branding": { "display_name": "Dev" } })).await;
    assert_eq!(shown(&now["proposed"])[1], Value::Null);
    agree(&boss, reject).await.expect(200);
    agree(&boss, approve).await.refused(409, "nothing_proposed");
    change(json!({ "withdrawal": { "minimum": null } })).await;
    change(json!({ "funding": { "maximum": "9.00" } })).await;
    agree(&boss, approve).await.refused(409, "nothing_proposed");

    // An operator alone loosens nothing either.
    let version = coffer.operator().get(&path).await.expect(200).body["version"].as_u64().unwrap();
    let loose = json!({ "settings": { "funding": { "maximum": "10.00" } } });
    let asked = coffer.operator().patch(&path, version, loose).await.expect(200).body;
    assert_eq!(asked["settings"]["funding"]["maximum"], "9.00");
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    agree(&operator, approve).await.refused(403, "self_approval");
    assert_eq!(agree(&key, approve).await.expect(200).body["settings"]["funding"]["maximum"], "10.00");
}

#[tokio::test]
async fn settings_change_field_by_field() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let before = key.get("/clients/current").await.expect(200);
    let version = before.body["version"].as_u64().unwrap();
    let patch = |version: u64, body: Value| {
        let key = key.clone();
        async move { key.patch("/clients/current", version, body).await }
    };
    let wrong =
        json!({ "settings": { "funding": { "maximum": "0.001" }, "withdrawal": { "approvals": 9 } } });
    // Who · version · form: a stale version is said before what is wrong with the settings.
    patch(version + 1, wrong.clone()).await.refused(412, "stale_version");
    let refused = patch(version, wrong).await.refused(422, "amount_scale");
    let named: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|it| &it["param"]).collect();
    assert_eq!(named, ["settings.funding.maximum", "settings.withdrawal.approvals"]);
    assert_eq!(key.get("/clients/current").await.expect(200).body, before.body, "nothing changed");

    let limits = json!({ "settings": {
        "funding": { "maximum": "5000.00" },
        "payment": { "second_person_above": "500.00" },
        "branding": { "display_name": "Dev Pay" },
    } });
    let changed = patch(version, limits).await.expect(200);
    assert_eq!(changed.body["settings"]["funding"]["maximum"], "5000.00");
    assert_eq!(changed.body["settings"]["payment"]["second_person_above"], "500.00");
    assert_eq!(changed.body["settings"]["withdrawal"], before.body["settings"]["withdrawal"]);
    // What is looser takes two: see approval.rs.
    let off = json!({ "settings": { "payment": { "second_person_above": null } } });
    patch(version + 1, off).await.refused(403, "needs_second_person");
    let off = json!({ "settings": { "payment": { "second_person_above": "400.00" } } });
    let off = patch(version + 1, off).await.expect(200);
    assert_eq!(off.body["settings"]["payment"]["second_person_above"], "400.00");
    let public = coffer.publishable().get("/clients/current/public").await.expect(200);
    assert_eq!(public.body["branding"]["display_name"], "Dev Pay");

    let path = format!("/clients/{}", coffer.credentials().client_id);
    let renamed = coffer.operator().patch(&path, version + 2, json!({ "name": "Dev 2" })).await.expect(200);
    assert_eq!((&renamed.body["name"], &renamed.body["settings"]), (&json!("Dev 2"), &off.body["settings"]));
}

#[tokio::test]
async fn an_inactive_client_is_refused_until_it_is_active_again() {
    let coffer = Instance::start().await;
    let path = format!("/clients/{}", coffer.credentials().client_id);
    let turn = |verb: &str| {
        let (operator, path) = (coffer.operator(), format!("{path}/{verb}"));
        async move { operator.post(&path, json!({})).await.expect(200) }
    };
    assert_eq!(turn("deactivate").await.body["is_active"], false);
    turn("deactivate").await;
    assert_eq!(coffer.new_events(), ["client.deactivated"], "a repeat changes nothing");
    coffer.key().get("/clients/current").await.refused(403, "client_inactive");
    coffer.publishable().get("/currencies").await.refused(403, "client_inactive");
    // The operator still can look after it.
    coffer.operator().inside(&coffer.credentials().client_id).get("/clients/current").await.expect(200);
    turn("activate").await;
    coffer.key().get("/clients/current").await.expect(200);
    assert_eq!(coffer.new_events(), ["client.activated"]);
}

#[tokio::test]
async fn a_key_works_until_it_is_expired_revoked_or_elsewhere() {
    let coffer = Instance::start().await;
    let scopes = ["users:read"];
    let soon = "2026-01-01T01:00:00Z";
    let (_, expiring) = make_key(&coffer, json!({ "name": "e", "scopes": scopes, "expires_at": soon })).await;
    let (revoked_id, revoked) = make_key(&coffer, json!({ "name": "r", "scopes": scopes })).await;
    let here = json!({ "name": "h", "scopes": scopes, "ip_allow_list": ["127.0.0.0/8"] });
    let there = json!({ "name": "t", "scopes": scopes, "ip_allow_list": ["203.0.113.0/24", "2001:db8::1"] });
    let ((_, here), (_, there)) = (make_key(&coffer, here).await, make_key(&coffer, there).await);
    for works in [&expiring, &revoked, &here] {
        current(works).await.expect(200);
    }
    current(&there).await.refused(401, "unauthenticated");

    coffer.new_events();
    let path = format!("/api-keys/{revoked_id}/revoke");
    let gone = coffer.key().post(&path, json!({})).await.expect(200);
    assert_eq!(gone.body["status"], "revoked");
    let again = coffer.key().post(&path, json!({})).await.expect(200);
    assert_eq!(
        (again.body["revoked_at"].clone(), coffer.new_events()),
        (gone.body["revoked_at"].clone(), vec!["api_key.revoked".to_owned()])
    );
    current(&revoked).await.refused(401, "unauthenticated");

    coffer.advance(Duration::from_secs(3599)).await;
    current(&expiring).await.expect(200);
    coffer.advance(Duration::from_secs(1)).await;
    current(&expiring).await.refused(401, "unauthenticated");
    let expired = coffer.key().get("/api-keys?status=expired").await.expect(200);
    assert_eq!(expired.body["data"].as_array().unwrap().len(), 1);

    // A typing mistake, another kind, and one that was never given out.
    let secret = &coffer.credentials().secret_key;
    let mistyped = format!("{}0", &secret[..secret.len() - 1]);
    for wrong in [mistyped.as_str(), &secret.replace("sk_test_", "pk_test_"), "sk_test_", "sk_test_abc"] {
        if wrong != secret {
            current(&coffer.with(wrong)).await.refused(401, "unauthenticated");
        }
    }
}

#[tokio::test]
async fn a_replaced_key_works_until_its_grace_ends() {
    let coffer = Instance::start().await;
    let rotate = |id: &str, body: Value| {
        let (key, path) = (coffer.key(), format!("/api-keys/{id}/rotate"));
        async move { key.post(&path, body).await }
    };
    let text = |answer: &Answer| coffer.with(answer.body["secret_key"].as_str().unwrap());
    let (id, first) = make_key(&coffer, json!({ "name": "k", "scopes": ["users:read"] })).await;
    rotate(&id, json!({ "grace_s": 2_592_001 })).await.refused(422, "out_of_range");
    coffer.new_events();
    let second = rotate(&id, json!({ "grace_s": 60 })).await.expect(200);
    assert_eq!(coffer.new_events(), ["api_key.rotated"]);
    assert_eq!(second.body["previous_valid_until"], "2026-01-01T00:01:00.000000Z");
    let second = text(&second);
    for works in [&first, &second] {
        assert_eq!(current(works).await.expect(200).id(), id);
    }
    coffer.advance(Duration::from_secs(60)).await;
    current(&first).await.refused(401, "unauthenticated");
    current(&second).await.expect(200);

    // Without grace the old text stops at once.
    let third = text(&rotate(&id, json!({ "grace_s": 0 })).await.expect(200));
    current(&second).await.refused(401, "unauthenticated");
    // Replaced twice: the text before the last stops at once, whatever its grace was.
    let fourth = text(&rotate(&id, json!({})).await.expect(200));
    let fifth = text(&rotate(&id, json!({})).await.expect(200));
    current(&third).await.refused(401, "unauthenticated");
    current(&fourth).await.expect(200);
    // Revoked: all of them.
    coffer.key().post(&format!("/api-keys/{id}/revoke"), json!({})).await.expect(200);
    for dead in [&fourth, &fifth] {
        current(dead).await.refused(401, "unauthenticated");
    }
    rotate(&id, json!({})).await.refused(409, "key_revoked");

    let soon = json!({ "name": "s", "scopes": ["users:read"], "expires_at": "2026-01-01T00:02:00Z" });
    let (id, _) = make_key(&coffer, soon).await;
    coffer.advance(Duration::from_secs(60)).await;
    rotate(&id, json!({})).await.refused(409, "key_expired");
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_do_more_than_they_may() {
    let coffer = Instance::start().await;
    let scopes = ["api-keys:read", "api-keys:write", "users:read"];
    let (_, limited) = make_key(&coffer, json!({ "name": "limited", "scopes": scopes })).await;
    let (strong_id, _) = make_key(&coffer, json!({ "name": "strong", "scopes": ["users:write"] })).await;
    coffer.new_events();
    // In order of precedence.
    for (body, status, code) in [
        (json!({ "scopes": ["users:read"] }), 422, "required"),
        (json!({ "name": "k", "scopes": ["users"] }), 422, "invalid_format"),
        (json!({ "name": "k", "scopes": ["users:read"], "ip_allow_list": ["home"] }), 422, "invalid_format"),
        (json!({ "name": "", "scopes": ["users:read"] }), 422, "out_of_range"),
        (
            json!({ "name": "k", "scopes": ["users:read"], "expires_at": "2026-01-01T00:00:00Z" }),
            422,
            "out_of_range",
        ),
        (json!({ "name": "k" }), 422, "key_scopes"),
        (json!({ "name": "k", "kind": "publishable", "scopes": ["users:read"] }), 422, "key_scopes"),
        (json!({ "name": "k", "scopes": ["user:read"] }), 422, "key_scopes"),
        (json!({ "name": "k", "scopes": ["users:write"] }), 403, "permission_escalation"),
        (json!({ "name": "k", "scopes": ["*:read"] }), 403, "permission_escalation"),
        (
            json!({ "name": "k", "scopes": ["users:read", "users:approve", "*:approve"] }),
            403,
            "permission_escalation",
        ),
    ] {
        limited.post("/api-keys", body).await.refused(status, code);
    }
    // Its new text would be theirs.
    let rotate = format!("/api-keys/{strong_id}/rotate");
    limited.post(&rotate, json!({})).await.refused(403, "permission_escalation");
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    let body =
        json!({ "name": "k", "scopes": ["users:read"], "external_id": "k-1", "metadata": { "for": "crm" } });
    let made = limited.post("/api-keys", body.clone()).await.expect(201);
    let taken = limited.post("/api-keys", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());
    for (purpose, wanted) in [("crm", 1), ("till", 0)] {
        let list = coffer.key().get(&format!("/api-keys?metadata[for]={purpose}&status=active")).await;
        assert_eq!(list.expect(200).body["data"].as_array().unwrap().len(), wanted, "{purpose}");
    }
    let public = json!({ "name": "p", "kind": "publishable" });
    let public = limited.post("/api-keys", public).await.expect(201);
    assert!(public.body["publishable_key"].as_str().unwrap().starts_with("pk_test_"));
    assert_eq!(public.body["secret_key"], Value::Null);
    let revoke = format!("/api-keys/{strong_id}/revoke");
    limited.post(&revoke, json!({})).await.refused(403, "permission_escalation");
}

#[tokio::test]
async fn a_key_is_shown_once_and_its_last_use_a_minute_late() {
    let coffer = Instance::start().await;
    let key = coffer.key().idempotent("once");
    let body = json!({ "name": "k", "scopes": ["users:read"] });
    let made = key.post("/api-keys", body.clone()).await.expect(201);
    let text = made.body["secret_key"].as_str().unwrap().to_owned();
    let replayed = key.post("/api-keys", body).await.expect(201);
    assert_eq!((&replayed.body["secret_key"], &replayed.body["secret_shown"]), (&Value::Null, &json!(true)));
    let list = coffer.key().get("/api-keys").await.expect(200);
    assert!(!list.body.to_string().contains(&text[8..]));
    let row = &list.body["data"][0];
    assert_eq!(
        (&row["prefix"], row["last4"].as_str().unwrap()),
        (&json!("sk_test_"), &text[text.len() - 4..])
    );
    assert_eq!((&row["last_used_at"], row.get("hash")), (&Value::Null, None));

    let (mine, version) = (coffer.with(&text), row["version"].clone());
    let used = current(&mine).await.expect(200);
    assert_eq!(used.body["last_used_at"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(used.body["version"], version, "using a key does not change it");
    coffer.advance(Duration::from_secs(60)).await;
    let list = coffer.key().get("/api-keys").await.expect(200);
    assert_eq!(list.body["data"][0]["last_used_at"], "2026-01-01T00:00:00.000000Z", "now it is written");
    coffer.operator().get("/api-keys/current").await.refused(400, "client_required");
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    inside.get("/api-keys/current").await.refused(404, "not_found");
}

#[tokio::test]
async fn a_secret_goes_in_and_does_not_come_out() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    key.get("/secrets/smtp").await.refused(404, "not_found");
    for (body, code) in [
        (json!({}), "required"),
        (json!({ "value": 7 }), "invalid_type"),
        (json!({ "value": "" }), "out_of_range"),
        (json!({ "value": "a".repeat(16 * 1024 + 1) }), "out_of_range"),
    ] {
        key.put("/secrets/smtp", 0, body).await.refused(422, code);
    }
    let first = key.put("/secrets/smtp", 0, json!({ "value": "hunter2\nhunter3" })).await.expect(200);
    assert_eq!((&first.body["version"], first.body.get("value")), (&json!(1), None));
    coffer.advance(Duration::from_secs(5)).await;
    let second = key.put("/secrets/smtp", 0, json!({ "value": "hunter4" })).await.expect(200);
    let shown = key.get("/secrets/smtp").await.expect(200);
    assert_eq!(shown.body, second.body);
    assert_eq!(shown.body["set_at"], "2026-01-01T00:00:05.000000Z");
    assert!(!shown.body.to_string().contains("hunter"));
    key.put("/secrets/S%20P", 0, json!({ "value": "a" })).await.refused(404, "not_found");
    key.delete("/secrets/smtp", 1).await.refused(412, "stale_version");
    key.delete("/secrets/smtp", 2).await.expect(200);
    key.get("/secrets/smtp").await.refused(404, "not_found");
}
