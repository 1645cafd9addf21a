//! Two people: what one person cannot do alone, whatever keys they hold.

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::support::agree;
use crate::withdrawal::{cash_out, credit, person, set};

/// A key that may do everything, made by `maker`: who made it has seen its text.
async fn key_of(coffer: &Instance, maker: &Http) -> (String, Http) {
    let body = json!({ "name": "all", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let made = maker.post("/api-keys", body).await.expect(201);
    (made.id().to_owned(), coffer.with(made.body["secret_key"].as_str().unwrap()))
}

fn operator(coffer: &Instance) -> Http {
    coffer.operator().inside(&coffer.credentials().client_id)
}

async fn asked(by: &Http, user: &str) -> String {
    let body = json!({
        "user_id": user, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let asked = by.post("/adjustments", body).await.expect(201);
    format!("/adjustments/{}/approve", asked.id())
}

#[tokio::test]
async fn a_key_one_made_oneself_is_no_second_person() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let (_, made) = key_of(&coffer, &key).await;
    let (_, made_by_made) = key_of(&coffer, &made).await;
    let approve = asked(&key, &ann).await;
    for same in [&key, &made, &made_by_made] {
        agree(same, &approve).await.refused(403, "self_approval");
    }
    let approve = asked(&made_by_made, &ann).await;
    agree(&key, &approve).await.refused(403, "self_approval");

    // A key of somebody else is a second person, until its text is shown to the first.
    let (id, others) = key_of(&coffer, &operator(&coffer)).await;
    let second = asked(&key, &ann).await;
    agree(&others, &approve).await.expect(200);
    agree(&operator(&coffer), &second).await.expect(200);
    let third = asked(&key, &ann).await;
    key.post(&format!("/api-keys/{id}/rotate"), json!({})).await.expect(200);
    agree(&others, &third).await.refused(403, "self_approval");
}

#[tokio::test]
async fn two_keys_of_one_person_are_one_vote_and_one_mark() {
    let coffer = Instance::start().await;
    let limits = json!({
        "withdrawal": { "automatic_up_to": "0.00", "approvals": 2 },
        "payment": { "second_person_above": "10.00" },
    });
    set(&coffer, limits).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let voter = operator(&coffer);
    let (_, first) = key_of(&coffer, &voter).await;
    let (_, second) = key_of(&coffer, &voter).await;

    let asked = coffer.key().post("/withdrawals", cash_out(&ann, "20.00")).await.expect(201);
    let approve = format!("/withdrawals/{}/approve", asked.id());
    let (_, own) = key_of(&coffer, &coffer.key()).await;
    own.post(&approve, json!({ "revision": 1 })).await.refused(403, "self_approval");
    first.post(&approve, json!({ "revision": 1 })).await.expect(200);
    for same in [&second, &voter] {
        same.post(&approve, json!({ "revision": 1 })).await.refused(409, "already_voted");
    }

    let payment = json!({ "amount": "50.00", "currency": "USD", "user_id": ann });
    let payment = coffer.key().post("/payments", payment).await.expect(201);
    let path = |verb: &str| format!("/payments/{}/{verb}", payment.id());
    let manual = json!({ "gateway_id": coffer.credentials().manual_gateway });
    coffer.key().post(&path("initiate"), manual).await.expect(200);
    let seen = json!({ "reference": "r", "amount": "50.00", "currency": "USD", "reason": "seen" });
    first.post(&path("mark-paid"), seen).await.expect(200);
    agree(&second, &path("mark-paid/approve")).await.refused(403, "self_approval");
    agree(&own, &path("mark-paid/approve")).await.expect(200);
}

#[tokio::test]
async fn nobody_returns_a_withdrawal_to_themselves() {
    let coffer = Instance::start().await;
    let (sue, session) = person(&coffer, "sue", &["admin"]).await;
    credit(&coffer, &sue, "100.00").await;
    let (_, own_key) = key_of(&coffer, &session).await;
    let reason = || json!({ "reason": "came back" });
    let asked = coffer.key().post("/withdrawals", cash_out(&sue, "20.00")).await.expect(201);
    let path = |verb: &str| format!("/withdrawals/{}/{verb}", asked.id());
    let found_out = json!({ "outcome": "failed", "reason": "lost" });
    for same in [&session, &own_key] {
        for (verb, body) in [
            ("process", json!({})),
            ("complete", json!({ "reference": "E2E-1" })),
            ("fail", reason()),
            ("reconcile", found_out.clone()),
            ("return", reason()),
        ] {
            same.post(&path(verb), body).await.refused(403, "self_approval");
        }
    }
    session.post(&path("cancel"), json!({})).await.expect(200);
}

#[tokio::test]
async fn staff_credits_nobody_alone_and_never_itself() {
    let coffer = Instance::start().await;
    let (sue, session) = person(&coffer, "sue", &["admin"]).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let moves = |from: &str, to: &str, reason: Option<&str>| {
        let mut body = json!({ "amount": "5.00", "currency": "USD", "from": from, "to": to });
        body["reason"] = reason.map_or(Value::Null, Value::from);
        body
    };
    let because = Some("agreed");
    for from in [ann.as_str(), "house:fee_income"] {
        session.post("/transfers", moves(from, &sue, because)).await.refused(403, "self_approval");
    }
    for house in ["house:suspense", "house:adjustment"] {
        for body in [moves(house, &ann, because), moves(&ann, house, because)] {
            session.post("/transfers", body).await.refused(422, "account_reserved");
        }
    }
    // Nor through a key of one's own, or of an operator; the installation's own may.
    let (_, own_key) = key_of(&coffer, &session).await;
    let (_, operators) = key_of(&coffer, &operator(&coffer)).await;
    let paid = coffer.key().post("/transfers", moves("house:adjustment", &ann, because)).await.expect(201);
    for held in [&own_key, &operators] {
        for body in [moves("house:adjustment", &ann, because), moves(&ann, "house:adjustment", because)] {
            held.post("/transfers", body.clone()).await.refused(422, "account_reserved");
            let bulk =
                held.post("/transfers/bulk", json!({ "items": [body], "atomic": false })).await.expect(200);
            assert_eq!(bulk.body["items"][0]["problem"]["code"], "account_reserved");
        }
        let reverse = format!("/transfers/{}/reverse", paid.id());
        held.post(&reverse, json!({ "reason": "mine" })).await.refused(422, "account_reserved");
    }
    let body = moves("house:suspense", &ann, because);
    coffer.key().post("/transfers", body).await.refused(422, "account_reserved");
    let (bob, _) = person(&coffer, "bob", &[]).await;
    session.post("/transfers", moves(&ann, &bob, None)).await.refused(422, "reason_required");
    session.post("/transfers", moves(&ann, &bob, because)).await.expect(201);

    // Nor by a staff credit through a key of one's own.
    let credit =
        json!({ "type": "profit", "amount": "5.00", "currency": "USD", "user_id": sue, "reason": "bonus" });
    own_key.post("/fundings", credit).await.refused(403, "self_approval");
}

#[tokio::test]
async fn nobody_moves_money_to_themselves_through_a_key_or_a_reversal() {
    let coffer = Instance::start().await;
    let (sue, session) = person(&coffer, "sue", &["admin"]).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    credit(&coffer, &sue, "100.00").await;
    let (_, own) = key_of(&coffer, &session).await;
    let (_, own_of_own) = key_of(&coffer, &own).await;
    let moves = |from: &str, to: &str| json!({ "amount": "5.00", "currency": "USD", "from": from, "to": to, "reason": "agreed" });
    for same in [&session, &own, &own_of_own] {
        for from in ["house:fee_income", ann.as_str()] {
            same.post("/transfers", moves(from, &sue)).await.refused(403, "self_approval");
        }
        let bulk = json!({ "items": [moves(&ann, &sue), moves(&sue, &ann)], "atomic": false });
        let done = same.post("/transfers/bulk", bulk).await.expect(200);
        let codes: Vec<_> =
            done.body["items"].as_array().unwrap().iter().map(|it| &it["problem"]["code"]).collect();
        assert_eq!(codes, [&json!("self_approval"), &Value::Null]);
    }
    // A key of somebody else pays whom it likes, the house's money too.
    coffer.key().post("/transfers", moves("house:fee_income", &sue)).await.expect(201);

    // What is set aside for her somebody else captures; what she paid somebody else takes back.
    let mut held = moves(&ann, &sue);
    held["hold"] = json!(true);
    let held = coffer.key().post("/transfers", held).await.expect(201);
    let paid = own.post("/transfers", moves(&sue, &ann)).await.expect(201);
    let (capture, reverse) =
        (format!("/transfers/{}/capture", held.id()), format!("/transfers/{}/reverse", paid.id()));
    for same in [&session, &own] {
        same.post(&capture, json!({})).await.refused(403, "self_approval");
        same.post(&reverse, json!({ "reason": "mine" })).await.refused(403, "self_approval");
    }
    coffer.key().post(&capture, json!({})).await.expect(200);
    coffer.key().post(&reverse, json!({ "reason": "not hers" })).await.expect(200);
}

#[tokio::test]
async fn nobody_takes_power_from_somebody_who_may_do_more() {
    let coffer = Instance::start().await;
    person(&coffer, "sue", &["admin"]).await;
    let (tom, _) = person(&coffer, "tom", &["admin"]).await;
    let scopes =
        json!({ "name": "n", "kind": "secret", "scopes": ["users:read", "users:write", "api-keys:write"] });
    let narrow = coffer.key().post("/api-keys", scopes).await.expect(201);
    let narrow_id = narrow.id().to_owned();
    let narrow = coffer.with(narrow.body["secret_key"].as_str().unwrap());
    let version = narrow.get(&format!("/users/{tom}")).await.expect(200).body["version"].as_u64().unwrap();
    let roles = json!({ "roles": ["user"] });
    narrow.put(&format!("/users/{tom}/roles"), version, roles).await.refused(403, "permission_escalation");
    for verb in ["freeze", "disable", "unfreeze", "enable"] {
        let path = format!("/users/{tom}/{verb}");
        narrow.post(&path, json!({ "reason": "x" })).await.refused(403, "permission_escalation");
    }
    let (ann, _) = person(&coffer, "ann", &[]).await;
    narrow.post(&format!("/users/{ann}/freeze"), json!({ "reason": "x" })).await.expect(200);

    let (strong, _) = key_of(&coffer, &coffer.key()).await;
    let revoke = |id: &str| format!("/api-keys/{id}/revoke");
    narrow.post(&revoke(&strong), json!({})).await.refused(403, "permission_escalation");
    narrow.post(&revoke(&narrow_id), json!({})).await.expect(200);
}

#[tokio::test]
async fn a_frozen_user_keeps_what_was_credited() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let body =
        json!({ "type": "profit", "amount": "5.00", "currency": "USD", "user_id": ann, "reason": "bonus" });
    let funding = key.post("/fundings", body).await.expect(201);
    let reverse = format!("/fundings/{}/reverse", funding.id());
    let reason = || json!({ "reason": "by mistake" });
    key.post(&format!("/users/{ann}/freeze"), reason()).await.expect(200);
    key.post(&reverse, reason()).await.refused(422, "user_not_active");
    key.post(&format!("/users/{ann}/unfreeze"), reason()).await.expect(200);
    key.post(&reverse, reason()).await.expect(200);
}
