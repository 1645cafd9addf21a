//! Roles: what they allow, and that nobody passes on more than they have.

use coffer::testing::Instance;
use serde_json::{Value, json};

fn permissions(body: &Value) -> Vec<&str> {
    body["permissions"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_built_in_roles_follow_the_catalogue() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let all = key.get("/permissions").await.expect(200);
    let all: Vec<&str> = all.body["data"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let roles = key.get("/roles?built_in=true").await.expect(200);
    let role = |name: &str| {
        let rows = roles.body["data"].as_array().unwrap();
        rows.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("no role {name}")).clone()
    };
    let (admin, moderator, user) = (role("admin"), role("moderator"), role("user"));
    assert_eq!(permissions(&admin), all);
    let moderator_may = permissions(&moderator);
    for barred in ["roles.", "api-keys.", "clients.", "currencies.", "secrets."] {
        assert!(moderator_may.iter().all(|it| !it.starts_with(barred)), "{barred}");
    }
    for held in ["withdrawals.approve", "withdrawals.create_any", "withdrawals.view_any", "users.view_any"] {
        assert!(moderator_may.contains(&held), "{held}");
    }
    for permission in permissions(&user) {
        assert!(all.contains(&format!("{permission}_any").as_str()), "{permission} is one's own");
    }

    let path = format!("/roles/{}", admin["id"].as_str().unwrap());
    key.patch(&path, 1, json!({ "permissions": [] })).await.refused(409, "role_fixed");
    key.delete(&path, 1).await.refused(409, "role_fixed");
}

#[tokio::test]
async fn a_client_makes_roles_of_what_there_is() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    for (body, status, code) in [
        (json!({ "name": "auditor" }), 422, "required"),
        (json!({ "name": "An auditor", "permissions": [] }), 422, "invalid_format"),
        (json!({ "name": "auditor", "permissions": ["audit.eat"] }), 422, "permission_unknown"),
        (json!({ "name": "admin", "permissions": [] }), 409, "role_taken"),
    ] {
        key.post("/roles", body).await.refused(status, code);
    }
    let auditor = json!({
        "name": "auditor", "permissions": ["roles.view_any", "audit.view_any", "roles.view_any"],
        "external_id": "a",
    });
    let made = key.post("/roles", auditor).await.expect(201);
    assert_eq!(permissions(&made.body), ["audit.view_any", "roles.view_any"], "sorted, none twice");
    let taken = json!({ "name": "other", "permissions": [], "external_id": "a" });
    key.post("/roles", taken).await.refused(409, "external_id_taken");

    let path = format!("/roles/{}", made.id());
    key.patch(&path, 1, json!({ "name": "user" })).await.refused(409, "role_taken");
    let less = json!({ "permissions": ["audit.view_any"], "description": "Looks" });
    let changed = key.patch(&path, 1, less).await.expect(200);
    assert_eq!(permissions(&changed.body), ["audit.view_any"]);
    key.delete(&path, 1).await.refused(412, "stale_version");
    key.delete(&path, 2).await.expect(200);
    key.get(&path).await.refused(404, "not_found");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test]
async fn a_role_somebody_was_given_is_not_deleted() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let clerk = json!({ "name": "clerk", "permissions": ["users.view_any"] });
    let clerk = key.post("/roles", clerk).await.expect(201);
    let user = json!({ "email": "c@example.com", "first_name": "C", "last_name": "D", "roles": ["clerk"] });
    key.post("/users", user).await.expect(201);
    let path = format!("/roles/{}", clerk.id());
    let given = key.get(&path).await.expect(200);
    assert_eq!(given.body["is_in_use"], true);
    let version = given.body["version"].as_u64().unwrap();
    key.delete(&path, version).await.refused(409, "role_in_use");
    key.patch(&path, version, json!({ "permissions": [] })).await.expect(200);
}

#[tokio::test]
async fn nobody_passes_on_what_they_do_not_have() {
    let coffer = Instance::start().await;
    let limited = json!({ "name": "limited", "scopes": ["roles:read", "roles:write", "audit:read"] });
    let limited = coffer.key().post("/api-keys", limited).await.expect(201);
    let limited = coffer.with(limited.body["secret_key"].as_str().unwrap());

    let wide = json!({ "name": "wide", "permissions": ["audit.view_any", "withdrawals.approve"] });
    let refused = limited.post("/roles", wide.clone()).await.refused(403, "permission_escalation");
    assert_eq!(refused.body["permission"], "withdrawals.approve");
    limited.post("/roles", json!({ "name": "narrow", "permissions": ["audit.view_any"] })).await.expect(201);

    // A role that already allows more may be narrowed, and not widened.
    let wide = coffer.key().post("/roles", wide).await.expect(201);
    let path = format!("/roles/{}", wide.id());
    let wider = json!({ "permissions": ["audit.view_any", "withdrawals.approve", "users.view_any"] });
    limited.patch(&path, 1, wider).await.refused(403, "permission_escalation");
    limited.patch(&path, 1, json!({ "permissions": ["withdrawals.approve"] })).await.expect(200);
}
