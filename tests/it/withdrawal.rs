//! Withdrawals, as keys, users and staff see them.

use std::time::Duration;

use coffer::testing::{Answer, Credentials, Http, Instance};
use serde_json::{Value, json};

use crate::support::decide;
use crate::{auth::PASSWORD, pricing::charge};

pub const IBAN: &str = "DE89370400440532013000";

pub fn bank() -> Value {
    json!({ "type": "bank", "bank": "Commerzbank", "holder": "Ann Lee", "iban": IBAN })
}

/// Somebody with these roles, and their session.
pub async fn person(coffer: &Instance, name: &str, roles: &[&str]) -> (String, Http) {
    let body = json!({
        "email": format!("{name}@example.com"), "first_name": name, "last_name": "Lee", "password": PASSWORD,
        "roles": roles,
    });
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    let made = inside.post("/users", body).await.expect(201);
    coffer.agree_to_access().await;
    let sign_in = json!({ "email": format!("{name}@example.com"), "password": PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", sign_in).await.expect(200);
    (made.id().to_owned(), coffer.with(tokens.body["access_token"].as_str().unwrap()))
}

/// Gives a user this much USD.
pub async fn credit(coffer: &Instance, user: &str, amount: &str) {
    let body = json!({
        "amount": amount, "currency": "USD", "from": "house:adjustment", "to": user, "reason": "for the test",
    });
    coffer.key().post("/transfers", body).await.expect(201);
}

pub use crate::support::set;

/// The last code that was mailed, up to where no code goes on.
pub async fn mailed_code(coffer: &Instance) -> String {
    coffer.settle().await;
    let mails = coffer.mailbox();
    let mail = mails.iter().rfind(|it| it.text.contains("cfm_")).expect("a mail with a code");
    let text = &mail.text;
    let start = text.find("cfm_").expect("it has one");
    text[start..].split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap().to_owned()
}

/// Confirms a user's withdrawal, or beneficiary, with what was just mailed.
pub async fn confirm(coffer: &Instance, user: &Http, path: &str) -> Answer {
    let token = mailed_code(coffer).await;
    user.post(&format!("{path}/confirm"), json!({ "token": token })).await
}

pub fn cash_out(user: &str, amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD", "user_id": user, "method": bank() })
}

async fn held(coffer: &Instance, user: &str) -> (String, String) {
    let balance = coffer.key().get(&format!("/balances/USD?user_id={user}")).await.expect(200);
    let text = |name: &str| balance.body[name].as_str().unwrap().to_owned();
    (text("available"), text("held"))
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_user_withdraws_its_own_money_to_its_own_beneficiary() {
    let coffer = Instance::start().await;
    let (user, session) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "100.00").await;
    let beneficiary = json!({ "label": "Mine", "method": bank() });
    let beneficiary = session.post("/beneficiaries", beneficiary).await.expect(201);
    confirm(&coffer, &session, &format!("/beneficiaries/{}", beneficiary.id())).await.expect(200);
    coffer.new_events();
    let body = json!({ "amount": "60.00", "currency": "USD", "beneficiary_id": beneficiary.id() });
    let made = session.post("/withdrawals", body.clone()).await.expect(201);
    assert_eq!(
        coffer.new_events(),
        ["transaction.created", "withdrawal.requested", "withdrawal.confirmation_requested"]
    );
    assert_eq!(made.body["user_id"], user.as_str());
    assert_eq!(made.body["method"], bank());
    assert_eq!(held(&coffer, &user).await, ("40.00".into(), "60.00".into()));

    // What a user may not: name a user, say a method, charge a fee, approve, process.
    let mut named = body.clone();
    named["user_id"] = user.as_str().into();
    session.post("/withdrawals", named).await.refused(422, "not_allowed");
    let said = json!({ "amount": "20.00", "currency": "USD", "method": bank() });
    session.post("/withdrawals", said).await.refused(422, "beneficiary_required");
    let fee = json!({ "amount": "1.00", "currency": "USD", "type": "fee", "reason": "mine" });
    session.post("/withdrawals", fee).await.refused(422, "not_allowed");
    let path = format!("/withdrawals/{}", made.id());
    coffer.new_events();
    assert_eq!(confirm(&coffer, &session, &path).await.expect(200).body["status"], "approved");
    assert_eq!(coffer.new_events(), ["withdrawal.confirmed", "withdrawal.approved"]);
    session.post(&format!("{path}/approve"), json!({ "revision": 1 })).await.refused(403, "forbidden");
    session.post(&format!("{path}/process"), json!({})).await.refused(403, "forbidden");

    let canceled = session.post(&format!("{path}/cancel"), json!({})).await.expect(200);
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(held(&coffer, &user).await, ("100.00".into(), "0.00".into()));
    let records = session.get("/transactions").await.expect(200);
    let record = records.body["data"].as_array().unwrap().iter().find(|it| it["category"] == "withdrawal");
    assert_eq!(record.unwrap()["status"], "failed");
}

#[tokio::test]
async fn nobody_sees_or_touches_what_is_another_users() {
    let coffer = Instance::start().await;
    let (ann, ann_session) = person(&coffer, "ann", &[]).await;
    let (bob, bob_session) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let body = cash_out(&ann, "50.00");
    let made = coffer.key().post("/withdrawals", body).await.expect(201);
    let path = format!("/withdrawals/{}", made.id());
    ann_session.get(&path).await.expect(200);
    bob_session.get(&path).await.refused(404, "not_found");
    bob_session.post(&format!("{path}/cancel"), json!({})).await.refused(404, "not_found");
    assert_eq!(ids(&bob_session.get("/withdrawals").await.expect(200)), [""; 0]);
    assert_eq!(ids(&ann_session.get("/withdrawals").await.expect(200)), [made.id()]);
    bob_session.get(&format!("/withdrawals?user_id={bob}")).await.refused(422, "not_allowed");
}

#[tokio::test]
async fn lists_filter_by_what_they_say() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "5000.00").await;
    credit(&coffer, &bob, "5000.00").await;
    let key = coffer.key();
    let small = key.post("/withdrawals", cash_out(&ann, "50.00")).await.expect(201);
    coffer.advance(Duration::from_secs(60)).await;
    let large = key.post("/withdrawals", cash_out(&bob, "1500.00")).await.expect(201);
    let tax = json!({ "amount": "7.00", "currency": "USD", "user_id": bob, "type": "tax", "reason": "2025" });
    let tax = key.post("/withdrawals", tax).await.expect(201);
    let table = [
        ("".to_owned(), vec![tax.id(), large.id(), small.id()]),
        ("?status=pending_review".to_owned(), vec![large.id()]),
        ("?type=tax".to_owned(), vec![tax.id()]),
        (format!("?user_id={bob}"), vec![tax.id(), large.id()]),
        (format!("?user_id={bob}&status=completed"), vec![tax.id()]),
        ("?currency=EUR".to_owned(), vec![]),
        ("?created_from=2026-01-01T00:01:00Z".to_owned(), vec![tax.id(), large.id()]),
        ("?created_to=2026-01-01T00:01:00Z".to_owned(), vec![small.id()]),
    ];
    for (query, wanted) in table {
        let found = key.get(&format!("/withdrawals{query}")).await.expect(200);
        assert_eq!(ids(&found), wanted, "{query}");
    }
    let first = key.get("/withdrawals?limit=2").await.expect(200);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = key.get(&format!("/withdrawals?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!((ids(&second), &second.body["has_more"]), (vec![small.id()], &json!(false)));
    key.get("/withdrawals?colour=red").await.refused(422, "unknown_field");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_method_is_said_at_once() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    let mut body = cash_out(&user, "x");
    body["method"] = json!({ "type": "bank", "bank": "", "iban": "DE00", "swift": "?", "memo": "1" });
    let refused = coffer.key().post("/withdrawals", body).await.refused(422, "amount_format");
    let errors = refused.body["errors"].as_array().unwrap().iter();
    let params: Vec<&str> = errors.map(|it| it["param"].as_str().unwrap()).collect();
    assert_eq!(
        params,
        ["amount", "method.bank", "method.holder", "method.iban", "method.swift", "method.memo"]
    );
}

#[tokio::test]
async fn a_rehearsal_checks_everything_and_holds_nothing() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "100.00").await;
    coffer.new_events();
    let rehearsed =
        coffer.key().post("/withdrawals?dry_run=true", cash_out(&user, "50.00")).await.expect(200);
    assert_eq!((&rehearsed.body["id"], &rehearsed.body["status"]), (&Value::Null, &json!("approved")));
    let broke = coffer.key().post("/withdrawals?dry_run=true", cash_out(&user, "500.00")).await;
    broke.refused(422, "insufficient_funds");
    assert_eq!(held(&coffer, &user).await, ("100.00".into(), "0.00".into()));
    assert_eq!(coffer.new_events(), [""; 0]);
}

#[tokio::test]
async fn the_sandbox_decides_by_the_last_decimals() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "1000.00").await;
    let gateway = json!({ "gateway_id": coffer.credentials().sandbox_gateway });
    for (amount, wanted) in
        [("50.00", "completed"), ("50.01", "failed"), ("50.02", "needs_reconciliation"), ("50.03", "sent")]
    {
        let made = coffer.key().post("/withdrawals", cash_out(&user, amount)).await.expect(201);
        coffer.new_events();
        let path = format!("/withdrawals/{}/process", made.id());
        let done = coffer.key().idempotent(amount).post(&path, gateway.clone()).await.expect(200);
        assert_eq!(done.body["status"], wanted, "{amount}");
        assert_eq!(coffer.new_events(), ["withdrawal.processing".to_owned(), format!("withdrawal.{wanted}")]);
        let again = coffer.key().idempotent(amount).post(&path, gateway.clone()).await.expect(200);
        assert_eq!(again.body, done.body);
        coffer.key().post(&path, gateway.clone()).await.refused(409, "invalid_state_transition");
        let cancel = format!("/withdrawals/{}/cancel", made.id());
        coffer.key().post(&cancel, json!({})).await.refused(409, "invalid_state_transition");
    }
    // 50.00 is gone, 50.01 is back, the other two are still held.
    assert_eq!(held(&coffer, &user).await, ("849.95".into(), "100.05".into()));
}

#[tokio::test]
async fn paid_by_hand_confirmed_and_returned() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    let (_, staff) = person(&coffer, "sue", &["admin"]).await;
    credit(&coffer, &user, "100.00").await;
    charge(&coffer, "withdrawal", json!({ "percent": "1", "fixed": "0.50" })).await;
    let made = coffer.key().post("/withdrawals", cash_out(&user, "50.00")).await.expect(201);
    assert_eq!((&made.body["fee"], &made.body["payout"]), (&json!("1.00"), &json!("50.00")));
    let path = format!("/withdrawals/{}", made.id());
    let gateway = json!({ "gateway_id": coffer.credentials().manual_gateway });
    let sent = staff.post(&format!("{path}/process"), gateway).await.expect(200);
    assert_eq!(sent.body["status"], "sent");
    let reference = json!({ "reference": "E2E-1" });
    let completed = staff.post(&format!("{path}/complete"), reference.clone()).await.expect(200);
    assert_eq!(
        (&completed.body["status"], &completed.body["reference"]),
        (&json!("completed"), &json!("E2E-1"))
    );
    // The same again changes nothing; another reference is another thing.
    staff.post(&format!("{path}/complete"), reference).await.expect(200);
    let other = staff.post(&format!("{path}/complete"), json!({ "reference": "E2E-2" })).await;
    other.refused(409, "invalid_state_transition");
    assert_eq!(held(&coffer, &user).await, ("49.00".into(), "0.00".into()));
    let returned =
        staff.post(&format!("{path}/return"), json!({ "reason": "account closed" })).await.expect(200);
    assert_eq!(returned.body["status"], "returned");
    assert_eq!(held(&coffer, &user).await, ("99.00".into(), "0.00".into()), "the fee is kept");
}

#[tokio::test]
async fn what_nobody_decides_expires_and_gives_the_money_back() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "2000.00").await;
    let made = coffer.key().post("/withdrawals", cash_out(&user, "1500.00")).await.expect(201);
    coffer.new_events();
    coffer.advance(Duration::from_secs(30 * 24 * 3600)).await;
    let path = format!("/withdrawals/{}", made.id());
    assert_eq!(coffer.key().get(&path).await.expect(200).body["status"], "expired");
    assert_eq!(coffer.new_events(), ["withdrawal.expired"]);
    assert_eq!(held(&coffer, &user).await, ("2000.00".into(), "0.00".into()));
}

#[tokio::test]
async fn a_frozen_user_pays_nothing_out() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "100.00").await;
    let made = coffer.key().post("/withdrawals", cash_out(&user, "50.00")).await.expect(201);
    coffer.key().post(&format!("/users/{user}/freeze"), json!({ "reason": "stolen" })).await.expect(200);
    let body = cash_out(&user, "20.00");
    coffer.key().post("/withdrawals", body).await.refused(422, "user_not_active");
    let path = format!("/withdrawals/{}", made.id());
    coffer.key().post(&format!("{path}/process"), json!({})).await.refused(422, "user_not_active");
    // Its money can still be given back.
    let rejected = decide(&coffer.key(), &format!("{path}/reject"), json!({ "reason": "stolen" })).await;
    assert_eq!(rejected.expect(200).body["status"], "rejected");
    assert_eq!(held(&coffer, &user).await, ("100.00".into(), "0.00".into()));
}

#[tokio::test]
async fn what_is_approved_is_processed_at_once_where_the_client_says_so() {
    let coffer = Instance::start().await;
    let (user, _) = person(&coffer, "ann", &[]).await;
    let (_, staff) = person(&coffer, "sue", &["admin"]).await;
    credit(&coffer, &user, "5000.00").await;
    let Credentials { manual_gateway, sandbox_gateway, .. } = coffer.credentials().clone();
    let gateway = |id: &str, verb: &str| format!("/payment-gateways/{id}/{verb}");
    coffer.key().post(&gateway(&manual_gateway, "deactivate"), json!({})).await.expect(200);
    let before = coffer.key().post("/withdrawals", cash_out(&user, "20.00")).await.expect(201);
    set(&coffer, json!({ "withdrawal": { "auto_process": true } })).await;
    let status = async |id: &str| {
        coffer.settle().await;
        let shown = coffer.key().get(&format!("/withdrawals/{id}")).await.expect(200);
        shown.body["status"].as_str().unwrap().to_owned()
    };

    // Approved by the rules, and by a person.
    let small = coffer.key().post("/withdrawals", cash_out(&user, "50.00")).await.expect(201);
    assert_eq!(small.body["status"], "approved");
    assert_eq!(status(small.id()).await, "completed");
    let declined = coffer.key().post("/withdrawals", cash_out(&user, "50.01")).await.expect(201);
    assert_eq!(status(declined.id()).await, "failed");
    let unanswered = coffer.key().post("/withdrawals", cash_out(&user, "50.02")).await.expect(201);
    assert_eq!(status(unanswered.id()).await, "needs_reconciliation");
    let large = coffer.key().post("/withdrawals", cash_out(&user, "1500.00")).await.expect(201);
    assert_eq!(status(large.id()).await, "pending_review");
    let path = format!("/withdrawals/{}/approve", large.id());
    staff.post(&path, json!({ "revision": 1 })).await.expect(200);
    assert_eq!(status(large.id()).await, "completed");

    // Without a gateway it waits, and is looked at again.
    coffer.key().post(&gateway(&sandbox_gateway, "deactivate"), json!({})).await.expect(200);
    let waits = coffer.key().post("/withdrawals", cash_out(&user, "60.00")).await.expect(201);
    assert_eq!(status(waits.id()).await, "approved");
    coffer.key().post(&gateway(&sandbox_gateway, "activate"), json!({})).await.expect(200);
    coffer.advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(status(waits.id()).await, "completed");

    // What was approved before waits for a person, and so does everything once it is off again.
    assert_eq!(status(before.id()).await, "approved");
    set(&coffer, json!({ "withdrawal": { "auto_process": false } })).await;
    let after = coffer.key().post("/withdrawals", cash_out(&user, "20.00")).await.expect(201);
    assert_eq!(status(after.id()).await, "approved");
}

#[tokio::test]
async fn many_at_once_each_have_their_own_answer_or_all_or_none() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let key = coffer.key();
    let items = json!([cash_out(&ann, "60.00"), cash_out(&ann, "60.00"), cash_out(&ann, "40.00")]);
    let alone = json!({ "items": items });
    session.post("/withdrawals/bulk", alone.clone()).await.refused(403, "forbidden");

    // A rehearsal says the same and does nothing.
    let dry = key.post("/withdrawals/bulk?dry_run=true", alone.clone()).await.expect(200);
    assert_eq!((&dry.body["succeeded"], &dry.body["failed"]), (&json!(2), &json!(1)));
    assert_eq!(held(&coffer, &ann).await, ("100.00".into(), "0.00".into()));

    let atomic = json!({ "items": items, "atomic": true });
    let refused = key.post("/withdrawals/bulk", atomic).await.refused(422, "insufficient_funds");
    assert_eq!(refused.body["index"], 1);
    assert_eq!(held(&coffer, &ann).await, ("100.00".into(), "0.00".into()));

    let done = key.post("/withdrawals/bulk", alone).await.expect(200);
    let said = |index: usize| done.body["items"][index]["status"].as_str().unwrap();
    assert_eq!([said(0), said(1), said(2)], ["succeeded", "failed", "succeeded"]);
    assert_eq!(done.body["items"][1]["problem"]["code"], "insufficient_funds");
    assert_eq!(done.body["items"][2]["withdrawal"]["payout"], "40.00");
    assert_eq!(held(&coffer, &ann).await, ("0.00".into(), "100.00".into()));
    key.post("/withdrawals/bulk", json!({ "items": [] })).await.refused(422, "out_of_range");
}
