//! What the tests of several modules do alike.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

/// What a decision at `path` (`/refunds/ref_…/approve`) names, as what it decides over is shown to `viewer` now; 1
/// where nothing waits, or `viewer` may not look.
pub async fn revision(viewer: &Http, path: &str) -> Value {
    let (object, _) = path.rsplit_once('/').unwrap();
    let object = ["/mark-paid", "/default", "/settings"]
        .iter()
        .find_map(|it| object.strip_suffix(it))
        .unwrap_or(object);
    let shown = match object.strip_prefix("/suspense/") {
        None => viewer.get(object).await.body,
        Some(id) => {
            let listed = viewer.get("/suspense").await.body["data"].clone();
            listed.as_array().into_iter().flatten().find(|it| it["id"] == id).cloned().unwrap_or_default()
        }
    };
    let places = [
        "/conflict/revision",
        "/proposed/revision",
        "/approval/revision",
        "/default_request/approval/revision",
        "/revision",
    ];
    places.iter().find_map(|it| shown.pointer(it)).cloned().unwrap_or(json!(1))
}

/// Decides at `path` over what waits there as it stands now.
pub async fn decide(by: &Http, path: &str, mut body: Value) -> Answer {
    body["revision"] = revision(by, path).await;
    by.post(path, body).await
}

/// Agrees at `path` to what waits there as it stands now.
pub async fn agree(by: &Http, path: &str) -> Answer {
    decide(by, path, json!({})).await
}

/// Changes the client's settings, as two people where that takes them: a key asks, an operator agrees.
pub async fn set(coffer: &Instance, settings: Value) {
    let key = coffer.key();
    let version = key.get("/clients/current").await.expect(200).body["version"].as_u64().unwrap();
    let body = json!({ "settings": settings });
    let changed = key.patch("/clients/current", version, body).await.expect(200);
    if !changed.body["proposed"].is_null() {
        let operator = coffer.operator().inside(&coffer.credentials().client_id);
        agree(&operator, "/clients/current/settings/approve").await.expect(200);
    }
}

/// Gives a user a tier, as two people where that takes them.
pub async fn give_tier(coffer: &Instance, user: &str, tier: &str) {
    let (key, path) = (coffer.key(), format!("/users/{user}"));
    let version = key.get(&path).await.expect(200).body["version"].as_u64().unwrap();
    let changed = key.patch(&path, version, json!({ "tier": tier })).await.expect(200);
    let Some(revision) = changed.body.pointer("/proposed_tier/revision") else { return };
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    operator.post(&format!("{path}/tier/approve"), json!({ "revision": revision })).await.expect(200);
}
