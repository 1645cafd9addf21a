//! Beneficiaries: where users may be paid out to.

use std::time::Duration;

use coffer::testing::Instance;
use serde_json::json;

use crate::withdrawal::{bank, credit, person, set};

#[tokio::test]
async fn a_new_beneficiary_waits_until_it_has_cooled() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "withdrawal": { "beneficiary_cooling_hours": 24 } })).await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "100.00").await;
    let body = json!({ "label": "Mine", "method": bank(), "user_id": user });
    coffer.new_events();
    let made = coffer.key().post("/beneficiaries", body).await.expect(201);
    assert_eq!(coffer.new_events(), ["beneficiary.created"]);
    assert_eq!(made.body["ready_at"], "2026-01-02T00:00:00.000000Z");

    // A key could say the method itself, but a beneficiary it names is one that protects its user.
    let ask = json!({
        "amount": "20.00", "currency": "USD", "user_id": user, "beneficiary_id": made.id(),
    });
    let refused = coffer.key().post("/withdrawals", ask.clone()).await.refused(422, "beneficiary_not_ready");
    assert_eq!(refused.body["ready_at"], made.body["ready_at"]);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    coffer.key().post("/withdrawals", ask).await.expect(201);
}

#[tokio::test]
async fn users_keep_their_own_beneficiaries() {
    let coffer = Instance::start().await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    let (_, bob) = person(&coffer, "bob", &[]).await;
    let body = json!({ "label": "Mine", "method": bank(), "external_id": "b-1", "metadata": { "a": "b" } });
    let made = ann.post("/beneficiaries", body.clone()).await.expect(201);
    let taken = ann.post("/beneficiaries", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());
    let again = json!({ "label": "Again", "method": bank() });
    ann.post("/beneficiaries", again.clone()).await.refused(409, "beneficiary_exists");
    bob.post("/beneficiaries", again).await.expect(201);

    let path = format!("/beneficiaries/{}", made.id());
    assert_eq!(ann.get(&path).await.expect(200).body, made.body);
    bob.get(&path).await.refused(404, "not_found");
    bob.delete(&path, 1).await.refused(404, "not_found");
    ann.delete(&path, 3).await.refused(412, "stale_version");
    ann.send(hyper::Method::DELETE, &path, None).await.refused(428, "if_match_required");
    assert_eq!(ann.get("/beneficiaries").await.expect(200).body["data"].as_array().unwrap().len(), 1);
    ann.delete(&path, 1).await.expect(200);
    ann.get(&path).await.refused(404, "not_found");
    assert_eq!(ann.get("/beneficiaries").await.expect(200).body["data"], json!([]));
}
