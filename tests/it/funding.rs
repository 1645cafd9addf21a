//! Fundings: deposits follow their payments, staff credits complete at once.

use std::{sync::Arc, time::Duration};

use coffer::testing::Instance;
use serde_json::{Value, json};

use crate::support::decide;
use crate::{
    payment::{available, initiate, mark_paid, user},
    pricing::charge,
};

fn deposit(user: &str, amount: &str) -> Value {
    json!({ "amount": amount, "currency": "USD", "user_id": user })
}

/// A deposit: its id and that of its payment.
async fn asked(coffer: &Instance, user: &str, amount: &str) -> (String, String) {
    let funding = coffer.key().post("/fundings", deposit(user, amount)).await.expect(201);
    (funding.id().to_owned(), funding.body["payment_id"].as_str().unwrap().to_owned())
}

async fn status(coffer: &Instance, funding: &str) -> String {
    let funding = coffer.key().get(&format!("/fundings/{funding}")).await.expect(200);
    funding.body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_deposit_is_asked_for_paid_and_credited() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    coffer.new_events();
    let asked = coffer.key().post("/fundings", deposit(&user, "1000.00")).await.expect(201);
    assert_eq!(coffer.new_events(), ["payment.created", "funding.requested"]);
    assert_eq!(
        (&asked.body["status"], &asked.body["credit_amount"], &asked.body["fee"]),
        (&json!("pending"), &json!("1000.00"), &json!("0.00"))
    );
    let payment = asked.body["payment_id"].as_str().unwrap();
    initiate(&coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
    assert_eq!(status(&coffer, asked.id()).await, "processing");
    assert_eq!(coffer.new_events(), ["payment.initiated"]);
    mark_paid(&coffer, payment, "bank-1", "1000.00").await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.settled", "transaction.created", "funding.completed"]);
    assert_eq!(available(&coffer, &user).await, "1000.00");

    let done = coffer.key().get(&format!("/fundings/{}", asked.id())).await.expect(200).body;
    let history: Vec<&str> =
        done["status_history"].as_array().unwrap().iter().map(|it| it["to"].as_str().unwrap()).collect();
    assert_eq!(history, ["pending", "processing", "completed"]);
    let entry = coffer.key().get(&format!("/ledger/entries/{}", done["entry_id"].as_str().unwrap())).await;
    assert_eq!(entry.expect(200).body["cause"], asked.id());
    let records = coffer.key().get(&format!("/transactions?user_id={user}")).await.expect(200);
    assert_eq!(records.body["data"].as_array().unwrap().len(), 1, "no fee, no record of one");
}

#[tokio::test]
async fn the_fee_is_paid_on_top_or_taken_from_the_amount() {
    let coffer = Instance::start().await;
    charge(&coffer, "funding", json!({ "percent": "1.5", "fixed": "1.00" })).await;
    let user = user(&coffer, "ann").await;
    for (included, to_pay, credit) in [(false, "116.00", "113.30"), (true, "113.30", "110.60")] {
        let before = available(&coffer, &user).await;
        let mut body = deposit(&user, "113.30");
        body["fee_included"] = included.into();
        let funding = coffer.key().post("/fundings", body).await.expect(201);
        // 1.5 % of 113.30 is 1.6995: what a customer pays rounds up.
        let (got, fee) = (&funding.body["credit_amount"], &funding.body["fee"]);
        assert_eq!((got, fee), (&json!(credit), &json!("2.70")), "included: {included}");
        let payment = funding.body["payment_id"].as_str().unwrap();
        initiate(&coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
        mark_paid(&coffer, payment, &format!("bank-{included}"), to_pay).await.expect(200);
        assert_eq!(status(&coffer, funding.id()).await, "completed");
        let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
        let after = available(&coffer, &user).await;
        assert_eq!(minor(&after) - minor(&before), minor(credit));
        let records = coffer.key().get(&format!("/transactions?user_id={user}")).await.expect(200);
        let newest: Vec<_> = records.body["data"].as_array().unwrap()[..2]
            .iter()
            .map(|it| (it["entry_type"].as_str().unwrap(), it["category"].as_str().unwrap()))
            .collect();
        assert_eq!(newest, [("fee", "fee"), ("credit", "deposit")]);
    }
    let mut small = deposit(&user, "1.00");
    small["fee_included"] = true.into();
    coffer.key().post("/fundings", small).await.refused(422, "fee_above_amount");
}

#[tokio::test]
async fn a_deposit_ends_as_its_payment_does() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let sandbox = &coffer.credentials().sandbox_gateway;

    let (canceled, payment) = asked(&coffer, &user, "10.00").await;
    coffer.new_events();
    coffer.key().post(&format!("/payments/{payment}/cancel"), json!({})).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.canceled", "funding.canceled"]);

    let (declined, payment) = asked(&coffer, &user, "10.01").await;
    initiate(&coffer, &payment, sandbox).await.expect(200);
    assert_eq!(status(&coffer, &declined).await, "processing", "another attempt may follow");

    let (conflicted, payment) = asked(&coffer, &user, "10.04").await;
    initiate(&coffer, &payment, sandbox).await.expect(200);
    assert_eq!(status(&coffer, &conflicted).await, "conflicted");
    coffer.new_events();
    let body = json!({ "decision": "credit", "reason": "it is on the statement" });
    decide(&coffer.key(), &format!("/payments/{payment}/resolve"), body).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.settled", "transaction.created", "funding.completed"]);
    let completed = coffer.key().get(&format!("/fundings/{conflicted}")).await.expect(200).body;
    assert_eq!((&completed["status"], &completed["credit_amount"]), (&json!("completed"), &json!("10.05")));

    let (failed, payment) = asked(&coffer, &user, "10.04").await;
    initiate(&coffer, &payment, sandbox).await.expect(200);
    let body = json!({ "decision": "reject", "reason": "it is not" });
    decide(&coffer.key(), &format!("/payments/{payment}/resolve"), body).await.expect(200);

    let (unpaid, _) = asked(&coffer, &user, "10.00").await;
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    for (funding, wanted) in
        [(&canceled, "canceled"), (&declined, "expired"), (&failed, "failed"), (&unpaid, "expired")]
    {
        assert_eq!(status(&coffer, funding).await, wanted);
    }
    assert_eq!(available(&coffer, &user).await, "10.05");
}

#[tokio::test]
async fn canceling_a_deposit_cancels_its_payment() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let (funding, payment) = asked(&coffer, &user, "10.00").await;
    coffer.new_events();
    let path = format!("/fundings/{funding}/cancel");
    let canceled = coffer.key().post(&path, json!({})).await.expect(200);
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(coffer.new_events(), ["payment.canceled", "funding.canceled"]);
    let payment = coffer.key().get(&format!("/payments/{payment}")).await.expect(200);
    assert_eq!(payment.body["status"], "canceled");
    assert_eq!(coffer.key().post(&path, json!({})).await.expect(200).body, canceled.body, "once more");

    let (funding, payment) = asked(&coffer, &user, "10.00").await;
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    let path = format!("/fundings/{funding}/cancel");
    coffer.key().post(&path, json!({})).await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn a_reversal_takes_everything_back_while_it_is_there() {
    let coffer = Instance::start().await;
    charge(&coffer, "funding", json!({ "fixed": "1.00" })).await;
    let user = user(&coffer, "ann").await;
    let (funding, payment) = asked(&coffer, &user, "50.00").await;
    let path = format!("/fundings/{funding}/reverse");
    let because = json!({ "reason": "recalled" });
    coffer.key().post(&path, because.clone()).await.refused(409, "invalid_state_transition");
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    let spent = json!({
        "amount": "0.01", "currency": "USD", "from": user, "to": "house:adjustment", "reason": "spent",
    });
    let spent = coffer.key().post("/transfers", spent).await.expect(201).id().to_owned();
    coffer.key().post(&path, because.clone()).await.refused(422, "insufficient_funds");
    assert_eq!(status(&coffer, &funding).await, "completed");
    coffer.key().post(&format!("/transfers/{spent}/reverse"), json!({})).await.expect(200);

    coffer.new_events();
    let reversed = coffer.key().post(&path, because.clone()).await.expect(200);
    assert_eq!(reversed.body["status"], "reversed");
    assert_eq!(coffer.new_events(), ["funding.reversed"]);
    assert_eq!(available(&coffer, &user).await, "0.00");
    assert_eq!(coffer.key().post(&path, because).await.expect(200).body, reversed.body, "once more");
    for id in reversed.body["transaction_ids"].as_array().unwrap() {
        let record = coffer.key().get(&format!("/transactions/{}", id.as_str().unwrap())).await.expect(200);
        assert_eq!(record.body["status"], "reversed");
    }
}

#[tokio::test]
async fn staff_credits_complete_at_once_and_say_why() {
    let coffer = Instance::start().await;
    let (ann, bob) = (user(&coffer, "ann").await, user(&coffer, "bob").await);
    let credit = |kind: &str, extra: Value| {
        let mut body = deposit(&ann, "10.00");
        body["type"] = kind.into();
        extra.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    };
    let why = json!({ "reason": "third quarter" });
    let from = |sender: &str| json!({ "reason": "gift", "from_user_id": sender });
    let gateway = json!({ "reason": "x", "gateway_id": coffer.credentials().manual_gateway });
    for (body, status, code) in [
        (credit("bonus", why.clone()), 422, "invalid_format"),
        (credit("profit", gateway), 422, "not_allowed"),
        (credit("profit", from(&bob)), 422, "not_allowed"),
        (credit("transfer", why.clone()), 422, "required"),
        (credit("profit", json!({})), 422, "reason_required"),
        (credit("transfer", from(&ann)), 422, "same_account"),
        (credit("transfer", from("usr_01kc000000000000000000000z")), 404, "not_found"),
        (credit("transfer", from(&bob)), 422, "insufficient_funds"),
    ] {
        let answer = coffer.key().post("/fundings", body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.body);
    }
    coffer.new_events();
    let profit = coffer.key().post("/fundings", credit("profit", why.clone())).await.expect(201);
    assert_eq!((&profit.body["status"], &profit.body["payment_id"]), (&json!("completed"), &Value::Null));
    assert_eq!(coffer.new_events(), ["funding.requested", "transaction.created", "funding.completed"]);
    assert_eq!(available(&coffer, &ann).await, "10.00");
    coffer.key().post("/fundings", credit("commission", why)).await.expect(201);
    let balance = coffer.key().get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
    assert_eq!((&balance.body["available"], &balance.body["commission"]), (&json!("10.00"), &json!("10.00")));
    let mut back = deposit(&bob, "4.00");
    (back["type"], back["reason"], back["from_user_id"]) =
        ("transfer".into(), "gift".into(), ann.as_str().into());
    coffer.key().post("/fundings", back).await.expect(201);
    assert_eq!(
        (available(&coffer, &ann).await, available(&coffer, &bob).await),
        ("6.00".into(), "4.00".into())
    );
}

#[tokio::test]
async fn a_moderator_asks_for_deposits_and_gives_nothing_away() {
    let coffer = Instance::start().await;
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    let staff = async |name: &str| {
        let email = format!("{name}@example.com");
        let body = json!({
            "email": email, "first_name": name, "last_name": "T", "password": crate::auth::PASSWORD, "roles": [name],
        });
        let id = inside.post("/users", body).await.expect(201).id().to_owned();
        let body = json!({ "email": email, "password": crate::auth::PASSWORD });
        let tokens = coffer.publishable().post("/auth/login", body).await.expect(200);
        (id, coffer.with(tokens.body["access_token"].as_str().unwrap()))
    };
    let ((_, moderator), (admin_id, admin)) = (staff("moderator").await, staff("admin").await);
    let user = user(&coffer, "ann").await;
    let profit = |user: &str| json!({ "amount": "5.00", "currency": "USD", "user_id": user, "type": "profit", "reason": "third quarter" });
    moderator.post("/fundings", deposit(&user, "5.00")).await.expect(201);
    let refused = moderator.post("/fundings", profit(&user)).await.refused(403, "forbidden");
    assert_eq!(refused.body["required_permission"], "fundings.credit");
    admin.post("/fundings", profit(&admin_id)).await.refused(403, "self_approval");
    admin.post("/fundings", profit(&user)).await.expect(201);
    assert_eq!(available(&coffer, &user).await, "5.00");
}

#[tokio::test]
async fn a_request_is_refused_in_one_order() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let mut first = deposit(&user, "1.00");
    first["external_id"] = "order-1".into();
    coffer.key().post("/fundings", first).await.expect(201);
    let off = self::user(&coffer, "off").await;
    coffer.key().post(&format!("/users/{off}/disable"), json!({ "reason": "test" })).await.expect(200);
    let euros = json!({ "name": "Euro", "slug": "euro", "kind": "manual", "currencies": ["EUR"] });
    let euros = coffer.key().post("/payment-gateways", euros).await.expect(201).id().to_owned();
    let all = |change: &[(&str, &str)]| {
        let mut body = json!({
            "amount": "0.001", "currency": "XYZ", "user_id": "usr_01kc000000000000000000000z",
            "external_id": "order-1", "gateway_id": euros, "from_user_id": user,
        });
        change.iter().for_each(|(name, value)| body[*name] = (*value).into());
        body
    };
    let mut done: Vec<(&str, &str)> = vec![];
    for (change, status, code) in [
        (None, 422, "currency_inactive"),
        (Some(("currency", "USD")), 422, "amount_scale"),
        (Some(("amount", "1000000.01")), 422, "not_allowed"),
        (Some(("from_user_id", "")), 404, "not_found"),
        (Some(("user_id", off.as_str())), 422, "user_not_active"),
        (Some(("user_id", user.as_str())), 409, "external_id_taken"),
        (Some(("external_id", "order-2")), 422, "above_maximum"),
        (Some(("amount", "1000000.00")), 422, "gateway_unavailable"),
    ] {
        done.extend(change);
        let mut body = all(&done);
        if body["from_user_id"] == "" {
            body.as_object_mut().unwrap().remove("from_user_id");
        }
        let answer = coffer.key().post("/fundings", body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_user_makes_deposits_for_itself_and_nothing_else() {
    let coffer = Instance::start().await;
    let ann = json!({
        "email": "ann@example.com", "password": crate::auth::PASSWORD, "first_name": "Ann", "last_name": "T",
    });
    let tokens = coffer.publishable().post("/auth/register", ann).await.expect(201);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let bob = user(&coffer, "bob").await;
    let own = ann.post("/fundings", json!({ "amount": "5.00", "currency": "USD" })).await.expect(201);
    ann.post("/fundings", deposit(&bob, "5.00")).await.refused(422, "not_allowed");
    let gift = json!({ "amount": "5.00", "currency": "USD", "type": "profit", "reason": "please" });
    ann.post("/fundings", gift).await.refused(422, "not_allowed");
    let (bobs, _) = asked(&coffer, &bob, "5.00").await;
    ann.get(&format!("/fundings/{bobs}")).await.refused(404, "not_found");
    ann.post(&format!("/fundings/{bobs}/cancel"), json!({})).await.refused(404, "not_found");
    let because = json!({ "reason": "mine" });
    ann.post(&format!("/fundings/{}/reverse", own.id()), because).await.refused(403, "forbidden");
    let list = ann.get("/fundings?type=deposit&status=pending").await.expect(200);
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_marked_by_many_at_once_is_credited_once() {
    let coffer = Arc::new(Instance::start().await);
    let user = user(&coffer, "ann").await;
    let (funding, payment) = asked(&coffer, &user, "100.00").await;
    initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (coffer, payment) = (coffer.clone(), payment.clone());
            tokio::spawn(async move { mark_paid(&coffer, &payment, "bank-1", "100.00").await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(status(&coffer, &funding).await, "completed");
    assert_eq!(available(&coffer, &user).await, "100.00");
}

/// With a fixed fee of 15.00, who had paid 10.00 of 100.00 was credited nothing when the payment ran out.
#[tokio::test]
async fn who_paid_a_part_pays_a_part_of_the_fee_and_is_credited_the_rest() {
    let coffer = Instance::start().await;
    charge(&coffer, "funding", json!({ "fixed": "15.00" })).await;
    let user = user(&coffer, "ann").await;
    let funding = coffer.key().post("/fundings", deposit(&user, "100.00")).await.expect(201);
    assert_eq!(funding.body["fee"], "15.00");
    let payment = funding.body["payment_id"].as_str().unwrap();
    initiate(&coffer, payment, &coffer.credentials().manual_gateway).await.expect(200);
    mark_paid(&coffer, payment, "bank-1", "10.00").await.expect(200);
    assert_eq!(status(&coffer, funding.id()).await, "processing", "the rest may still come");
    coffer.advance(Duration::from_secs(25 * 3600)).await;
    let shown = coffer.key().get(&format!("/fundings/{}", funding.id())).await.expect(200);
    // 10.00 of the 115.00 agreed: 15.00 × 10 / 115 is 1.304…, rounded up.
    let parts = ["status", "credit_amount", "fee"].map(|it| shown.body[it].as_str().unwrap());
    assert_eq!(parts, ["completed", "8.69", "1.31"]);
    assert_eq!(available(&coffer, &user).await, "8.69");
}
