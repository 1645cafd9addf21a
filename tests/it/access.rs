//! Nobody alone makes somebody who decides over requests.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::{
    auth::PASSWORD,
    support::{agree, decide},
    withdrawal::person,
};

fn body(name: &str, roles: &[&str]) -> Value {
    let email = format!("{name}@example.com");
    json!({ "email": email, "first_name": name, "last_name": "Lee", "password": PASSWORD, "roles": roles })
}

async fn signed_in(coffer: &Instance, name: &str) -> Http {
    let sign_in = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", sign_in).await.expect(200);
    coffer.with(tokens.body["access_token"].as_str().unwrap())
}

async fn version(by: &Http, path: &str) -> u64 {
    by.get(path).await.expect(200).body["version"].as_u64().unwrap()
}

async fn approve(by: &Http, proposal: &Value) -> Answer {
    agree(by, &format!("/access-proposals/{}/approve", proposal.as_str().unwrap())).await
}

/// The one proposal that waits.
async fn waiting(by: &Http) -> Value {
    let list = by.get("/access-proposals?status=waiting").await.expect(200);
    let data = list.body["data"].as_array().unwrap();
    assert_eq!(data.len(), 1, "{data:#?}");
    data[0].clone()
}

fn none_waits(list: &Answer) {
    assert_eq!(list.body["data"], json!([]), "nothing waits");
}

/// Reviewers once made a second admin as an admin, and approved their own withdrawal as that one.
#[tokio::test]
async fn an_admin_makes_no_second_person_for_itself() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    // The first pair is made by whoever is there.
    for name in ["sue", "tom"] {
        let made = key.post("/users", body(name, &["admin"])).await.expect(201);
        assert_eq!((&made.body["roles"], &made.body["access_proposals"]), (&json!(["admin"]), &json!([])));
    }
    let (sue, tom) = (signed_in(&coffer, "sue").await, signed_in(&coffer, "tom").await);
    coffer.new_events();

    let made = sue.post("/users", body("puppet", &["admin"])).await.expect(201);
    assert_eq!(made.body["roles"], json!(["user"]));
    assert_eq!(coffer.new_events()[..2], ["user.registered", "access.proposed"]);
    let proposal = made.body["access_proposals"][0].clone();
    let puppet = signed_in(&coffer, "puppet").await;
    puppet.get("/users").await.refused(403, "forbidden");
    approve(&puppet, &proposal).await.refused(403, "forbidden");
    approve(&sue, &proposal).await.refused(403, "self_approval");
    let everything = json!({ "name": "all", "scopes": ["*:read", "*:write", "*:approve"] });
    let own_key = sue.post("/api-keys", everything).await.expect(201);
    let own_key = coffer.with(own_key.body["secret_key"].as_str().unwrap());
    approve(&own_key, &proposal).await.refused(403, "self_approval");
    let shown = waiting(&tom).await;
    assert_eq!(
        (&shown["kind"], &shown["roles"], &shown["user_id"], &shown["approval"]["revision"]),
        (&json!("roles"), &json!(["admin"]), &json!(made.id()), &json!(1))
    );
    let statistics = tom.get("/dashboard/statistics").await.expect(200);
    let queue = |it: &Answer| {
        let queues = it.body["waiting"].as_array().unwrap();
        queues.iter().find(|it| it["queue"] == "access_approvals").unwrap()["count"].clone()
    };
    assert_eq!(queue(&statistics), 1);

    coffer.new_events();
    let agreed = approve(&tom, &proposal).await.expect(200);
    assert_eq!(agreed.body["status"], "approved");
    assert_eq!(coffer.new_events()[..2], ["user.roles_changed", "access.approved"]);
    puppet.get("/users").await.expect(200);
    assert_eq!(queue(&tom.get("/dashboard/statistics").await.expect(200)), 0);
    approve(&tom, &proposal).await.expect(200);
}

#[tokio::test]
async fn whatever_the_route_a_second_person_agrees_and_taking_away_needs_none() {
    let coffer = Instance::start().await;
    let (_, sue) = person(&coffer, "sue", &["admin"]).await;
    let (_, tom) = person(&coffer, "tom", &["admin"]).await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let roles = format!("/users/{ann}/roles");
    let user = format!("/users/{ann}");

    // Put.
    let put = async |by: &Http, names: &[&str]| {
        by.put(&roles, version(by, &user).await, json!({ "roles": names })).await
    };
    let asked = put(&sue, &["moderator", "user"]).await.expect(200);
    assert_eq!(asked.body["roles"], json!(["user"]));
    session.get("/users").await.refused(403, "forbidden");
    assert_eq!(
        session.get(&user).await.expect(200).body["access_proposals"],
        Value::Null,
        "not its business"
    );
    // Said anew, it takes the place of what waited; taking back what was asked for takes nobody.
    let first = waiting(&tom).await["id"].clone();
    put(&sue, &["admin"]).await.expect(200);
    let second = waiting(&tom).await["id"].clone();
    approve(&tom, &first).await.refused(409, "invalid_state_transition");
    put(&sue, &["user"]).await.expect(200);
    none_waits(&sue.get("/access-proposals?status=waiting").await.expect(200));
    approve(&tom, &second).await.refused(409, "invalid_state_transition");
    // Rejected, nothing changes; agreed to, the roles are those that were put.
    put(&sue, &["admin"]).await.expect(200);
    let third = waiting(&tom).await["id"].as_str().unwrap().to_owned();
    let reject = format!("/access-proposals/{third}/reject");
    decide(&tom, &reject, json!({ "reason": "who is that?" })).await.expect(200);
    put(&sue, &["moderator"]).await.expect(200);
    approve(&tom, &waiting(&tom).await["id"]).await.expect(200);
    assert_eq!(sue.get(&user).await.expect(200).body["roles"], json!(["moderator"]));
    session.get("/users").await.expect(200);
    // What decides over no more than before, and what is taken away: at once.
    let less = put(&sue, &["user"]).await.expect(200);
    assert_eq!((&less.body["roles"], &less.body["access_proposals"]), (&json!(["user"]), &json!([])));

    // A role that people have.
    let clerk = json!({ "name": "clerk", "permissions": ["users.view_any"] });
    let clerk = sue.post("/roles", clerk).await.expect(201);
    let path = format!("/roles/{}", clerk.id());
    let given = put(&sue, &["clerk"]).await.expect(200);
    assert_eq!(given.body["roles"], json!(["clerk"]), "it decides over nothing");
    let wider = json!({ "permissions": ["users.view_any", "withdrawals.approve", "withdrawals.view_any"] });
    let wider = sue.patch(&path, version(&sue, &path).await, wider).await.expect(200);
    assert_eq!(wider.body["permissions"], json!(["users.view_any", "withdrawals.view_any"]));
    let shown = waiting(&tom).await;
    assert_eq!(
        (&shown["kind"], &shown["permissions"], &shown["role_id"]),
        (&json!("role_permissions"), &json!(["withdrawals.approve"]), &json!(clerk.id()))
    );
    approve(&sue, &shown["id"]).await.refused(403, "self_approval");
    approve(&tom, &shown["id"]).await.expect(200);
    let wide = sue.get(&path).await.expect(200);
    assert!(wide.body["permissions"].as_array().unwrap().contains(&json!("withdrawals.approve")));
    let narrow = json!({ "permissions": ["users.view_any"] });
    let narrow = sue.patch(&path, version(&sue, &path).await, narrow).await.expect(200);
    assert_eq!(narrow.body["permissions"], json!(["users.view_any"]));

    // A place on a committee.
    let policy = "/approval-policies/adjustment";
    let rules = json!({ "automatic": "never", "approvals": 1, "committee": { "role": "panel" } });
    sue.post("/roles", json!({ "name": "panel", "permissions": ["users.view_any"] })).await.expect(201);
    sue.put(policy, version(&sue, policy).await, rules).await.expect(200);
    let asked = put(&sue, &["clerk", "panel"]).await.expect(200);
    assert_eq!(asked.body["roles"], json!(["clerk"]));
    approve(&tom, &waiting(&tom).await["id"]).await.expect(200);
}

#[tokio::test]
async fn an_invitation_gives_what_decides_once_a_second_person_agrees() {
    let coffer = Instance::builder()
        .configure(|config| config.server.public_url = Some("https://coffer.example".into()))
        .start()
        .await;
    let (_, sue) = person(&coffer, "sue", &["admin"]).await;
    let (_, tom) = person(&coffer, "tom", &["admin"]).await;
    let invitation =
        json!({ "email": "bob@example.com", "first_name": "B", "last_name": "J", "roles": ["admin"] });
    sue.post("/invitations", invitation).await.expect(201);
    coffer.settle().await;
    let mails = coffer.mailbox();
    let text = &mails.iter().rfind(|it| it.text.contains("ivn_")).unwrap().text;
    let token = text[text.find("ivn_").unwrap()..].split_whitespace().next().unwrap();
    let accepted = json!({ "token": token, "password": PASSWORD });
    let accepted = coffer.publishable().post("/invitations/accept", accepted).await.expect(200);
    let bob = coffer.with(accepted.body["access_token"].as_str().unwrap());
    assert_eq!(bob.get("/auth/me").await.expect(200).body["roles"], json!(["user"]));
    let proposal = waiting(&tom).await;
    approve(&sue, &proposal["id"]).await.refused(403, "self_approval");
    approve(&tom, &proposal["id"]).await.expect(200);
    assert_eq!(bob.get("/auth/me").await.expect(200).body["roles"], json!(["admin"]));
}

#[tokio::test]
async fn shutting_the_second_person_out_does_not_make_one_alone_again() {
    let coffer = Instance::start().await;
    let (_, sue) = person(&coffer, "sue", &["admin"]).await;
    let (tom, session) = person(&coffer, "tom", &["moderator"]).await;
    sue.post(&format!("/users/{tom}/disable"), json!({ "reason": "in the way" })).await.expect(200);
    session.get("/users").await.refused(401, "unauthenticated");
    let made = sue.post("/users", body("puppet", &["moderator"])).await.expect(201);
    assert_eq!(made.body["roles"], json!(["user"]));
    let proposal = made.body["access_proposals"][0].clone();
    approve(&sue, &proposal).await.refused(403, "self_approval");
    // Somebody else is left: a key she does not hold, or an operator.
    approve(&coffer.key(), &proposal).await.expect(200);
}

#[tokio::test]
async fn who_agrees_may_do_it_and_who_proposed_is_in_office() {
    let coffer = Instance::start().await;
    let (sue_id, sue) = person(&coffer, "sue", &["admin"]).await;
    let (_, tom) = person(&coffer, "tom", &["admin"]).await;
    let gate =
        json!({ "name": "gate", "permissions": ["access-proposals.approve", "access-proposals.view_any"] });
    sue.post("/roles", gate).await.expect(201);
    let (_, keeper) = person(&coffer, "keeper", &["gate"]).await;
    let made = sue.post("/users", body("puppet", &["admin"])).await.expect(201);
    let proposal = made.body["access_proposals"][0].clone();
    approve(&keeper, &proposal).await.refused(403, "permission_escalation");
    tom.post(&format!("/users/{sue_id}/disable"), json!({ "reason": "left" })).await.expect(200);
    approve(&tom, &proposal).await.refused(409, "proposer_gone");

    // How many have to agree is the client's to say.
    let rules = json!({ "automatic": "never", "approvals": 2 });
    let policy = "/approval-policies/access";
    tom.put(policy, version(&tom, policy).await, rules).await.expect(200);
    let made = tom.post("/users", body("uma", &["moderator"])).await.expect(201);
    let proposal = made.body["access_proposals"][0].clone();
    let stale = format!("/access-proposals/{}/approve", proposal.as_str().unwrap());
    coffer.key().post(&stale, json!({ "revision": 7 })).await.refused(409, "revision_stale");
    assert_eq!(approve(&coffer.key(), &proposal).await.expect(200).body["status"], "waiting");
    approve(&coffer.key(), &proposal).await.refused(409, "already_voted");
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    assert_eq!(approve(&operator, &proposal).await.expect(200).body["status"], "approved");
}

/// The votes of somebody who was demoted, and of a key that was revoked, once counted when the last one came.
#[tokio::test]
async fn votes_of_who_may_not_vote_any_more_do_not_count() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let decider = json!({ "name": "decider", "permissions": ["adjustments.approve"] });
    coffer.key().post("/roles", decider).await.expect(201);
    let (one, first) = person(&coffer, "one", &["decider"]).await;
    let (_, second) = person(&coffer, "two", &["decider"]).await;
    let (_, third) = person(&coffer, "three", &["decider"]).await;
    let key = json!({ "name": "votes", "scopes": ["adjustments:approve"] });
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    let voting_key = operator.post("/api-keys", key).await.expect(201);
    let by_key = coffer.with(voting_key.body["secret_key"].as_str().unwrap());
    let policy = "/approval-policies/adjustment";
    let rules = json!({ "automatic": "never", "approvals": 3 });
    operator.put(policy, version(&operator, policy).await, rules).await.expect(200);
    let asked = json!({
        "user_id": ann, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let asked = coffer.key().post("/adjustments", asked).await.expect(201);
    let path = format!("/adjustments/{}/approve", asked.id());
    for voter in [&first, &by_key] {
        assert_eq!(voter.post(&path, json!({ "revision": 1 })).await.expect(200).body["status"], "requested");
    }
    let user = format!("/users/{one}");
    let demoted = json!({ "roles": ["user"] });
    operator.put(&format!("{user}/roles"), version(&operator, &user).await, demoted).await.expect(200);
    assert_eq!(
        second.post(&path, json!({ "revision": 1 })).await.expect(200).body["status"],
        "requested",
        "one was demoted"
    );
    operator.post(&format!("/api-keys/{}/revoke", voting_key.id()), json!({})).await.expect(200);
    assert_eq!(
        third.post(&path, json!({ "revision": 1 })).await.expect(200).body["status"],
        "requested",
        "the key is revoked"
    );
    assert_eq!(operator.post(&path, json!({ "revision": 1 })).await.expect(200).body["status"], "posted");
}

/// Somebody who was disabled once went on through a key, and enabled themselves by it.
#[tokio::test]
async fn the_keys_of_somebody_who_is_disabled_open_nothing() {
    let coffer = Instance::start().await;
    let (sue, _) = person(&coffer, "sue", &["admin"]).await;
    person(&coffer, "tom", &["admin"]).await;
    let session = signed_in(&coffer, "sue").await;
    let key = async |by: &Http| {
        let body = json!({ "name": "k", "kind": "secret", "scopes": ["users:write", "users:read", "api-keys:write"] });
        coffer.with(by.post("/api-keys", body).await.expect(201).body["secret_key"].as_str().unwrap())
    };
    let hers = key(&session).await;
    let made_by_it = key(&hers).await;
    hers.get("/users").await.expect(200);
    let disable = json!({ "reason": "left" });
    coffer.key().post(&format!("/users/{sue}/disable"), disable).await.expect(200);
    for key in [&hers, &made_by_it] {
        key.get("/users").await.refused(401, "unauthenticated");
        let enable = json!({ "reason": "back" });
        key.post(&format!("/users/{sue}/enable"), enable).await.refused(401, "unauthenticated");
    }
    coffer.key().get("/users").await.expect(200);
}
