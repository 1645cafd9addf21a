//! Who has to approve what, and who may change that.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::support::agree;
use crate::withdrawal::{cash_out, credit, person};

const WITHDRAWAL: &str = "/approval-policies/withdrawal";

/// Puts rules in the place of those there are.
async fn put(by: &Http, path: &str, rules: Value) -> Answer {
    let version = by.get(path).await.expect(200).body["version"].as_u64().unwrap();
    by.put(path, version, rules).await
}

fn committee(members: &[&str]) -> Value {
    json!({
        "automatic": "up_to", "automatic_up_to": "100.00", "one_person_up_to": "500.00", "approvals": 2,
        "committee": { "members": members },
    })
}

/// Puts rules in force that are looser: `by` proposes, an operator agrees.
async fn agreed(coffer: &Instance, path: &str, rules: Value) -> Answer {
    put(&coffer.key(), path, rules).await.expect(200);
    let (_, boss) = person(coffer, "boss", &["admin"]).await;
    agree(&boss, &format!("{path}/approve")).await.expect(200)
}

async fn vote(voter: &Http, id: &str, revision: u32) -> Answer {
    voter.post(&format!("/withdrawals/{id}/approve"), json!({ "revision": revision })).await
}

#[tokio::test]
async fn one_person_tightens_and_two_loosen_by_whatever_route() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    let all = key.get("/approval-policies").await.expect(200);
    let shown: Vec<_> = all.body["data"].as_array().unwrap().iter().map(|it| &it["automatic"]).collect();
    assert_eq!(shown, ["up_to", "always", "always", "never", "never", "never", "never"]);

    // Tighter: at once, and the settings say so too.
    let tight = json!({ "automatic": "up_to", "automatic_up_to": "50.00" });
    let tightened = put(&key, WITHDRAWAL, tight).await.expect(200);
    assert_eq!((&tightened.body["revision"], &tightened.body["proposed"]), (&json!(1), &Value::Null));
    let client = key.get("/clients/current").await.expect(200);
    assert_eq!(client.body["settings"]["withdrawal"]["automatic_up_to"], "50.00");

    // Looser: not through the settings, by the client or by an operator; not alone.
    let version = client.body["version"].as_u64().unwrap();
    let loose = json!({ "settings": { "withdrawal": { "automatic_up_to": "51.00" } } });
    key.patch("/clients/current", version, loose.clone()).await.refused(403, "needs_second_person");
    let path = format!("/clients/{}", coffer.credentials().client_id);
    coffer.operator().patch(&path, version, loose).await.refused(403, "needs_second_person");
    let loose = json!({ "automatic": "up_to", "automatic_up_to": "51.00" });
    let proposed = put(&key, WITHDRAWAL, loose).await.expect(200);
    assert_eq!(proposed.body["automatic_up_to"], "50.00");
    assert_eq!(proposed.body["proposed"]["automatic_up_to"], "51.00");
    let approve = format!("{WITHDRAWAL}/approve");
    agree(&key, &approve).await.refused(403, "self_approval");
    let made = json!({ "name": "mine", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let made = key.post("/api-keys", made).await.expect(201);
    let made = coffer.with(made.body["secret_key"].as_str().unwrap());
    agree(&made, &approve).await.refused(403, "self_approval");
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    agree(&ann, &approve).await.refused(403, "forbidden");
    let agreed = agree(&boss, &approve).await.expect(200);
    assert_eq!((&agreed.body["automatic_up_to"], &agreed.body["revision"]), (&json!("51.00"), &json!(2)));
    agree(&boss, &approve).await.refused(409, "nothing_proposed");

    // What was proposed is forgotten when somebody drops it, or tightens.
    let loose = json!({ "automatic": "up_to", "automatic_up_to": "52.00" });
    put(&key, WITHDRAWAL, loose.clone()).await.expect(200);
    agree(&boss, &format!("{WITHDRAWAL}/reject")).await.expect(200);
    agree(&boss, &approve).await.refused(409, "nothing_proposed");
    put(&key, WITHDRAWAL, loose).await.expect(200);
    put(&key, WITHDRAWAL, json!({ "automatic": "never" })).await.expect(200);
    agree(&boss, &approve).await.refused(409, "nothing_proposed");
}

#[tokio::test]
async fn what_does_not_fit_the_operation_is_refused() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    for (operation, rules, wanted) in [
        ("withdrawal", json!({ "automatic": "always" }), "not_allowed"),
        ("withdrawal", json!({ "automatic": "up_to" }), "required"),
        ("withdrawal", json!({ "automatic": "never", "approvals": 6 }), "out_of_range"),
        ("withdrawal", json!({ "automatic": "never", "automatic_up_to": "1.00" }), "not_allowed"),
        ("withdrawal", json!({ "automatic": "never", "committee": { "members": ["x"] } }), "invalid_format"),
        ("withdrawal", json!({ "automatic": "never", "committee": { "role": "x" } }), "role_unknown"),
        ("payment", json!({ "automatic": "never" }), "not_allowed"),
        ("refund", json!({ "automatic": "always", "approvals": 6 }), "out_of_range"),
        ("adjustment", json!({ "automatic": "always" }), "not_allowed"),
    ] {
        put(&key, &format!("/approval-policies/{operation}"), rules).await.refused(422, wanted);
    }
    key.get("/approval-policies/nothing").await.refused(404, "not_found");
    key.put(WITHDRAWAL, 9, json!({ "automatic": "never" })).await.refused(412, "stale_version");
}

#[tokio::test]
async fn k_of_the_committee_approve_and_nobody_else() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    let (one, first) = person(&coffer, "one", &["admin"]).await;
    let (two, second) = person(&coffer, "two", &["admin"]).await;
    let (_, stranger) = person(&coffer, "stranger", &["admin"]).await;
    agreed(&coffer, WITHDRAWAL, committee(&[&one, &two, &ann])).await;
    let key = coffer.key();
    let ask = async |amount: &str| key.post("/withdrawals", cash_out(&ann, amount)).await.expect(201);
    assert_eq!(ask("100.00").await.body["status"], "approved");

    let small = ask("500.00").await;
    assert_eq!(small.body["approvals_needed"], 1);
    assert_eq!(vote(&stranger, small.id(), 1).await.expect(200).body["status"], "approved");
    let large = ask("501.00").await;
    assert_eq!(large.body["approvals_needed"], 2);
    vote(&stranger, large.id(), 1).await.refused(403, "not_on_committee");
    vote(&key, large.id(), 1).await.refused(403, "self_approval");
    assert_eq!(vote(&first, large.id(), 1).await.expect(200).body["status"], "pending_review");
    vote(&first, large.id(), 1).await.refused(409, "already_voted");

    // Votes are void once the rules change, even when they change back.
    put(&key, WITHDRAWAL, committee(&[&one, &two])).await.expect(200);
    let shown = key.get(&format!("/withdrawals/{}", large.id())).await.expect(200);
    assert_eq!((&shown.body["revision"], &shown.body["votes"][0]["counts"]), (&json!(2), &json!(false)));
    vote(&second, large.id(), 1).await.refused(409, "revision_stale");
    assert_eq!(vote(&second, large.id(), 2).await.expect(200).body["status"], "pending_review");
    assert_eq!(vote(&first, large.id(), 2).await.expect(200).body["status"], "approved");
}

#[tokio::test]
async fn an_empty_committee_stays_blocked() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    let key = coffer.key();
    let nobody = json!({ "automatic": "never", "committee": {} });
    put(&key, WITHDRAWAL, nobody).await.expect(200);
    let asked = key.post("/withdrawals", cash_out(&ann, "20.00")).await.expect(201);
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    for voter in [&boss, &operator] {
        vote(voter, asked.id(), 1).await.refused(403, "not_on_committee");
    }
    let shown = key.get(&format!("/withdrawals/{}", asked.id())).await.expect(200);
    assert_eq!(shown.body["status"], "pending_review");

    // A vote by somebody who left the committee does not count at the end.
    let role = json!({ "automatic": "never", "approvals": 2, "committee": { "role": "admin" } });
    put(&key, WITHDRAWAL, role).await.expect(200);
    agree(&boss, &format!("{WITHDRAWAL}/approve")).await.expect(200);
    let revision =
        key.get(&format!("/withdrawals/{}", asked.id())).await.expect(200).body["revision"].clone();
    let revision = u32::try_from(revision.as_u64().unwrap()).unwrap();
    let (left, leaver) = person(&coffer, "leaver", &["admin"]).await;
    vote(&leaver, asked.id(), revision).await.expect(200);
    let version = key.get(&format!("/users/{left}")).await.expect(200).body["version"].as_u64().unwrap();
    key.put(&format!("/users/{left}/roles"), version, json!({ "roles": ["user"] })).await.expect(200);
    assert_eq!(vote(&boss, asked.id(), revision).await.expect(200).body["status"], "pending_review");
    let (_, third) = person(&coffer, "third", &["admin"]).await;
    assert_eq!(vote(&third, asked.id(), revision).await.expect(200).body["status"], "approved");
}

/// A role that was the committee could be deleted; from then on the rules could not even be looked at.
#[tokio::test]
async fn a_role_that_decides_is_not_deleted_and_one_nobody_active_has_blocks() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let board = json!({ "name": "board", "permissions": ["adjustments.approve", "adjustments.view_any"] });
    let board = key.post("/roles", board).await.expect(201);
    let path = format!("/roles/{}", board.id());
    let rules = json!({ "automatic": "never", "committee": { "role": "board" } });
    put(&key, "/approval-policies/adjustment", rules).await.expect(200);
    let version = key.get(&path).await.expect(200).body["version"].as_u64().unwrap();
    key.delete(&path, version).await.refused(409, "role_in_use");
    let all = key.get("/approval-policies").await.expect(200);
    assert_eq!(all.body["data"][3]["committee"]["role"], "board");

    // Nobody has it; then somebody; then nobody who is in office.
    let body = json!({
        "user_id": ann, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let asked = key.post("/adjustments", body).await.expect(201);
    let adjustment = format!("/adjustments/{}", asked.id());
    let withdrawal = json!({ "automatic": "never", "committee": { "role": "board" } });
    put(&key, WITHDRAWAL, withdrawal).await.expect(200);
    credit(&coffer, &ann, "50.00").await;
    let asked = key.post("/withdrawals", cash_out(&ann, "20.00")).await.expect(201);
    assert_eq!(asked.body["blocked"], true);
    let withdrawal = format!("/withdrawals/{}", asked.id());
    let blocked = async || {
        let one = key.get(&adjustment).await.expect(200).body["approval"]["blocked"].clone();
        let other = key.get(&withdrawal).await.expect(200).body["blocked"].clone();
        let listed = key.get("/withdrawals").await.expect(200).body["data"][0]["blocked"].clone();
        assert_eq!((&one, &one), (&other, &listed));
        one == json!(true)
    };
    assert!(blocked().await);
    let (member, _) = person(&coffer, "member", &["board"]).await;
    assert!(!blocked().await);
    key.post(&format!("/users/{member}/disable"), json!({ "reason": "left" })).await.expect(200);
    assert!(blocked().await);
    key.post(&format!("/users/{member}/enable"), json!({ "reason": "back" })).await.expect(200);
    assert!(!blocked().await);
    let rules = json!({ "automatic": "never", "committee": { "members": [member] } });
    put(&key, "/approval-policies/adjustment", rules).await.expect(200);
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    agree(&boss, "/approval-policies/adjustment/approve").await.expect(200);
    key.post(&format!("/users/{member}/disable"), json!({ "reason": "left" })).await.expect(200);
    assert_eq!(key.get(&adjustment).await.expect(200).body["approval"]["blocked"], true);
}

#[tokio::test]
async fn the_committee_decides_over_adjustments_too() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (one, first) = person(&coffer, "one", &["admin"]).await;
    let (_, stranger) = person(&coffer, "stranger", &["admin"]).await;
    let key = coffer.key();
    let rules = json!({ "automatic": "never", "committee": { "members": [one] } });
    put(&key, "/approval-policies/adjustment", rules).await.expect(200);
    let body = json!({
        "user_id": ann, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let asked = key.post("/adjustments", body).await.expect(201);
    let path = format!("/adjustments/{}/approve", asked.id());
    agree(&stranger, &path).await.refused(403, "not_on_committee");
    agree(&first, &path).await.expect(200);
}

/// The vote of somebody who was disabled for fraud once counted when the last one came.
#[tokio::test]
async fn a_vote_counts_as_long_as_its_voter_is_in_office() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (one, first) = person(&coffer, "one", &["admin"]).await;
    let (_, second) = person(&coffer, "two", &["admin"]).await;
    let (_, third) = person(&coffer, "three", &["admin"]).await;
    let key = coffer.key();
    let rules = json!({ "automatic": "never", "approvals": 2 });
    put(&key, "/approval-policies/adjustment", rules).await.expect(200);
    let body = json!({
        "user_id": ann, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let asked = key.post("/adjustments", body).await.expect(201);
    let path = format!("/adjustments/{}/approve", asked.id());
    assert_eq!(agree(&first, &path).await.expect(200).body["status"], "requested");
    key.post(&format!("/users/{one}/disable"), json!({ "reason": "fraud" })).await.expect(200);
    assert_eq!(agree(&second, &path).await.expect(200).body["status"], "requested");
    assert_eq!(agree(&third, &path).await.expect(200).body["status"], "posted");
}
