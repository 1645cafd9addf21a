//! What the tests of several modules do alike.

use coffer::testing::{Answer, Http};
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
