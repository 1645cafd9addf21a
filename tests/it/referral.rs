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
