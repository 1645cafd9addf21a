//! What bringing a user earns.

use coffer::testing::Instance;
use serde_json::{Value, json};

use crate::payment::{initiate, mark_paid, set};

/// A user, brought by whoever has this code.
async fn user(coffer: &Instance, name: &str, code: Option<&str>) -> Value {
    let mut body = json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "T" });
    if let Some(code) = code {
        body["referral_code"] = code.into();
    }
    coffer.key().post("/users", body).await.expect(201).body
}

async fn deposit(coffer: &Instance, user: &Value, amount: &str) -> String {
    let body = json!({ "amount": amount, "currency": "USD", "user_id": user["id"] });
    let funding = coffer.key().post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap();
    initiate(coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
    mark_paid(coffer, payment, &format!("bank-{payment}"), amount).await.expect(200);
    coffer.settle().await;
    funding.id().to_owned()
}

async fn commission(coffer: &Instance, user: &Value) -> String {
    let path = format!("/balances/USD?user_id={}", user["id"].as_str().unwrap());
    coffer.key().get(&path).await.expect(200).body["commission"].as_str().unwrap().to_owned()
}

fn code(user: &Value) -> Option<&str> {
    user["referral_code"].as_str()
}

#[tokio::test]
async fn the_first_deposit_of_somebody_brought_earns_a_share_once() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "2.5", "maximum": "20.00" } })).await;
    let ann = user(&coffer, "ann", None).await;
    let bob = user(&coffer, "bob", code(&ann)).await;
    deposit(&coffer, &bob, "199.99").await;
    assert_eq!(commission(&coffer, &ann).await, "4.99", "4.99975, rounded down");
    assert_eq!(commission(&coffer, &bob).await, "0.00");
    deposit(&coffer, &bob, "500.00").await;
    assert_eq!(commission(&coffer, &ann).await, "4.99", "once for one user");

    let carl = user(&coffer, "carl", code(&ann)).await;
    deposit(&coffer, &carl, "1000.00").await;
    assert_eq!(commission(&coffer, &ann).await, "24.99", "20.00 at most");
    let path = format!("/fundings?user_id={}", ann["id"].as_str().unwrap());
    let paid = coffer.key().get(&path).await.expect(200).body["data"][0].clone();
    assert_eq!(
        (&paid["type"], &paid["status"], &paid["credit_amount"], &paid["metadata"]["referred_user_id"]),
        (&json!("commission"), &json!("completed"), &json!("20.00"), &carl["id"])
    );
    let dora = user(&coffer, "dora", None).await;
    deposit(&coffer, &dora, "1000.00").await;
    assert_eq!(commission(&coffer, &ann).await, "24.99", "nobody brought dora");
}

#[tokio::test]
async fn a_first_deposit_that_earned_nothing_is_still_the_first() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann", None).await;
    let bob = user(&coffer, "bob", code(&ann)).await;
    deposit(&coffer, &bob, "100.00").await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    deposit(&coffer, &bob, "100.00").await;
    assert_eq!(commission(&coffer, &ann).await, "0.00");

    let carl = user(&coffer, "carl", code(&ann)).await;
    let off = format!("/users/{}/disable", ann["id"].as_str().unwrap());
    coffer.key().post(&off, json!({ "reason": "left" })).await.expect(200);
    deposit(&coffer, &carl, "100.00").await;
    assert_eq!(commission(&coffer, &ann).await, "0.00", "who does not come in any more earns nothing");
}

#[tokio::test]
async fn nobody_brings_themselves() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    let body =
        json!({ "email": "ann@example.com", "first_name": "A", "last_name": "T", "phone": "+43 660 123" });
    let ann = coffer.key().post("/users", body).await.expect(201).body;
    for (email, phone) in [("ann+2@example.com", ""), ("other@example.com", "+43 (660) 1-23")] {
        let again = json!({
            "email": email, "first_name": "A", "last_name": "T", "phone": phone, "referral_code": code(&ann),
        });
        coffer.key().post("/users", again).await.refused(422, "self_referral");
    }
    // Somebody who registers is not told whose code it is, and brings in nothing.
    let again = json!({
        "email": "ann+2@example.com", "first_name": "A", "last_name": "T", "password": "a quiet river stone",
        "referral_code": code(&ann),
    });
    let made = coffer.publishable().post("/auth/register", again).await.expect(201).body["user"].clone();
    deposit(&coffer, &made, "100.00").await;
    assert_eq!(commission(&coffer, &ann).await, "0.00");
}

async fn referrals(coffer: &Instance, user: &Value) -> Vec<Value> {
    let path = format!("/users/{}/referrals", user["id"].as_str().unwrap());
    coffer.key().get(&path).await.expect(200).body["data"].as_array().unwrap().clone()
}

async fn payment_of(coffer: &Instance, funding: &str) -> String {
    let shown = coffer.key().get(&format!("/fundings/{funding}")).await.expect(200);
    shown.body["payment_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_deposit_that_goes_back_takes_its_commission_with_it_once() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    let ann = user(&coffer, "ann", None).await;
    let reason = json!({ "reason": "recalled" });
    for (name, how) in [("bob", "reversed"), ("carl", "refunded"), ("dora", "charged back")] {
        let brought = user(&coffer, name, code(&ann)).await;
        let funding = deposit(&coffer, &brought, "50.00").await;
        assert_eq!(commission(&coffer, &ann).await, "5.00", "{how}");
        let payment = payment_of(&coffer, &funding).await;
        let part = json!({ "payment_id": payment, "amount": "1.00", "reason": "recalled" });
        let reverse = format!("/fundings/{funding}/reverse");
        match how {
            "reversed" => coffer.key().post(&reverse, reason.clone()).await.expect(200),
            "refunded" => {
                let refund = coffer.key().post("/refunds", part).await.expect(201);
                let paid = json!({ "reference": "bank-back" });
                coffer.key().post(&format!("/refunds/{}/mark-paid", refund.id()), paid).await.expect(200)
            }
            _ => coffer.key().post("/disputes", part).await.expect(201),
        };
        coffer.settle().await;
        assert_eq!(commission(&coffer, &ann).await, "0.00", "{how}");
        let first = referrals(&coffer, &ann).await.remove(0);
        assert_eq!((&first["id"], &first["status"]), (&brought["id"], &json!("taken_back")), "{how}");
        let path = format!("/fundings/{}", first["funding_id"].as_str().unwrap());
        let taken = coffer.key().get(&path).await.expect(200).body;
        assert_eq!(taken["status"], "reversed", "{how}");
        let path = format!("/ledger/entries/{}", taken["reversal_entry_id"].as_str().unwrap());
        let entry = coffer.key().get(&path).await.expect(200).body;
        assert_eq!(entry["reverses"], taken["entry_id"], "{how}: linked");
    }
    // What a bank gives back is earned again.
    let list = coffer.key().get("/disputes").await.expect(200).body["data"][0].clone();
    let path = format!("/disputes/{}/win", list["id"].as_str().unwrap());
    coffer.key().post(&path, reason).await.expect(200);
    coffer.settle().await;
    assert_eq!(commission(&coffer, &ann).await, "5.00");
    assert_eq!(referrals(&coffer, &ann).await[0]["status"], "earned");
}

#[tokio::test]
async fn a_commission_that_was_moved_on_is_owed_and_taken_once_it_is_there() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    let ann = user(&coffer, "ann", None).await;
    let bob = user(&coffer, "bob", code(&ann)).await;
    let funding = deposit(&coffer, &bob, "50.00").await;
    let path = format!("/balances/USD?user_id={}", ann["id"].as_str().unwrap());
    let account = coffer.key().get(&path).await.expect(200).body["commission_account_id"].clone();
    let spent = json!({ "amount": "3.00", "currency": "USD", "from": account, "to": ann["id"] });
    coffer.key().post("/transfers", spent).await.expect(201);
    let reason = json!({ "reason": "recalled" });
    coffer.key().post(&format!("/fundings/{funding}/reverse"), reason).await.expect(200);
    coffer.settle().await;
    assert_eq!(commission(&coffer, &ann).await, "2.00", "all of it or nothing");
    assert_eq!(referrals(&coffer, &ann).await[0]["status"], "owed");
    let earned = json!({
        "type": "commission", "amount": "4.00", "currency": "USD", "user_id": ann["id"], "reason": "a prize",
    });
    coffer.key().post("/fundings", earned).await.expect(201);
    coffer.advance(std::time::Duration::from_secs(24 * 3600)).await;
    assert_eq!(commission(&coffer, &ann).await, "1.00");
    assert_eq!(referrals(&coffer, &ann).await[0]["status"], "taken_back");
    coffer.advance(std::time::Duration::from_secs(48 * 3600)).await;
    assert_eq!(commission(&coffer, &ann).await, "1.00", "once");
}

#[tokio::test]
async fn a_user_sees_whom_it_brought_and_nobody_elses() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    let body = json!({
        "email": "ann@example.com", "first_name": "A", "last_name": "T", "password": "a quiet river stone",
    });
    let registered = coffer.publishable().post("/auth/register", body).await.expect(201).body;
    let ann = registered["user"].clone();
    let session = coffer.with(registered["access_token"].as_str().unwrap());
    let bob = user(&coffer, "bob", code(&ann)).await;
    user(&coffer, "carl", code(&ann)).await;
    deposit(&coffer, &bob, "50.00").await;
    let path = format!("/users/{}/referrals", ann["id"].as_str().unwrap());
    let list = session.get(&path).await.expect(200).body["data"].as_array().unwrap().clone();
    assert_eq!(list.len(), 1, "carl has not paid in");
    assert_eq!(
        (&list[0]["id"], &list[0]["commission"], &list[0]["currency"], &list[0]["status"]),
        (&bob["id"], &json!("5.00"), &json!("USD"), &json!("earned"))
    );
    for private in ["email", "first_name", "phone"] {
        assert!(list[0].get(private).is_none(), "{private} is none of its business");
    }
    let others = format!("/users/{}/referrals", bob["id"].as_str().unwrap());
    session.get(&others).await.refused(404, "not_found");
}

/// It was paid again with the dispute that was won, whoever had taken it.
#[tokio::test]
async fn a_commission_a_person_took_back_does_not_come_with_a_won_dispute() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "referral": { "percent": "10" } })).await;
    let ann = user(&coffer, "ann", None).await;
    let bob = user(&coffer, "bob", code(&ann)).await;
    let funding = deposit(&coffer, &bob, "50.00").await;
    let paid = referrals(&coffer, &ann).await.remove(0)["funding_id"].clone();
    let reason = json!({ "reason": "he never was her friend" });
    let reverse = format!("/fundings/{}/reverse", paid.as_str().unwrap());
    coffer.key().post(&reverse, reason.clone()).await.expect(200);
    let note =
        json!({ "payment_id": payment_of(&coffer, &funding).await, "amount": "50.00", "reason": "recalled" });
    let dispute = coffer.key().post("/disputes", note).await.expect(201);
    coffer.settle().await;
    coffer.key().post(&format!("/disputes/{}/win", dispute.id()), reason).await.expect(200);
    coffer.settle().await;
    assert_eq!(commission(&coffer, &ann).await, "0.00");
    let shown = referrals(&coffer, &ann).await.remove(0);
    assert_eq!((&shown["status"], &shown["funding_id"]), (&json!("taken_back"), &paid));
}
