//! Payments: attempts through the sandbox and by hand, and every way money can come wrong.

use std::{sync::Arc, time::Duration};

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::support::{agree, decide, revision};

/// A user of the client.
pub async fn user(coffer: &Instance, name: &str) -> String {
    let user = json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "T" });
    coffer.key().post("/users", user).await.expect(201).id().to_owned()
}

pub async fn available(coffer: &Instance, user: &str) -> String {
    let balance = coffer.key().get(&format!("/balances/USD?user_id={user}")).await.expect(200);
    balance.body["available"].as_str().unwrap().to_owned()
}

/// A plain charge.
pub async fn charge(coffer: &Instance, user: &str, amount: &str) -> String {
    let body = json!({ "amount": amount, "currency": "USD", "user_id": user });
    coffer.key().post("/payments", body).await.expect(201).id().to_owned()
}

pub async fn initiate(coffer: &Instance, payment: &str, gateway: &str) -> Answer {
    coffer.key().post(&format!("/payments/{payment}/initiate"), json!({ "gateway_id": gateway })).await
}

/// A plain charge that waits for a bank transfer.
async fn awaited(coffer: &Instance, user: &str, amount: &str) -> String {
    let payment = charge(coffer, user, amount).await;
    initiate(coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    payment
}

pub async fn mark_paid(coffer: &Instance, payment: &str, reference: &str, amount: &str) -> Answer {
    mark_paid_by(&coffer.key(), payment, reference, amount).await
}

async fn mark_paid_by(http: &Http, payment: &str, reference: &str, amount: &str) -> Answer {
    let body = json!({ "reference": reference, "amount": amount, "currency": "USD", "reason": "seen" });
    http.post(&format!("/payments/{payment}/mark-paid"), body).await
}

async fn resolve(coffer: &Instance, payment: &str, decision: &str) -> Answer {
    let body = json!({ "decision": decision, "reason": "looked into it" });
    decide(&coffer.key(), &format!("/payments/{payment}/resolve"), body).await
}

pub async fn show(coffer: &Instance, payment: &str) -> Value {
    coffer.key().get(&format!("/payments/{payment}")).await.expect(200).body
}

/// `status review paid_state received`, in one line.
pub fn state(payment: &Value) -> String {
    let of = |field: &str| payment[field].as_str().unwrap_or("?").to_owned();
    [of("status"), of("review"), of("paid_state"), of("received")].join(" ")
}

pub async fn suspense(coffer: &Instance) -> Vec<(String, String)> {
    let list = coffer.key().get("/suspense").await.expect(200);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = list.body["data"].as_array().unwrap().iter();
    rows.map(|it| (text(it, "reference"), text(it, "amount"))).collect()
}

/// A second key of the client, made by the operator: a person of its own.
pub async fn another_key(coffer: &Instance) -> Http {
    let key = json!({ "name": "second", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let operator = coffer.operator().inside(&coffer.credentials().client_id);
    let key = operator.post("/api-keys", key).await.expect(201);
    coffer.with(key.body["secret_key"].as_str().unwrap())
}

pub use crate::support::set;

#[tokio::test]
async fn every_magic_amount_of_the_sandbox_ends_where_it_says() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let settled = ["payment.created", "payment.initiated", "transaction.created", "payment.settled"];
    let begun = ["payment.created", "payment.initiated"];
    let conflicted = ["payment.created", "payment.initiated", "payment.conflicted"];
    for (amount, attempt, wanted, events) in [
        ("10.00", "settled", "settled none exact 10.00", &settled[..]),
        ("10.01", "failed", "requires_method none none 0.00", &begun[..]),
        ("10.02", "unknown", "processing needs_review none 0.00", &begun[..]),
        ("10.03", "open", "processing none none 0.00", &begun[..]),
        ("10.04", "open", "processing conflicted over 0.00", &conflicted[..]),
        ("10.05", "settled", "settled none exact 10.05", &settled[..]),
        ("10.06", "settled", "settled none exact 10.06", &settled[..]),
    ] {
        coffer.new_events();
        let before = available(&coffer, &user).await;
        let payment = charge(&coffer, &user, amount).await;
        let answer = initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
        assert_eq!(answer.body["status"], attempt, "{amount}");
        let payment = show(&coffer, &payment).await;
        assert_eq!(state(&payment), wanted, "{amount}");
        assert_eq!(coffer.new_events(), events, "{amount}");
        let credited = available(&coffer, &user).await != before;
        assert_eq!(credited, payment["status"] == "settled", "{amount}");
    }
    assert_eq!(available(&coffer, &user).await, "30.11");
    assert_eq!(suspense(&coffer).await, []);
}

#[tokio::test]
async fn what_the_gateway_could_not_say_at_first_it_says_when_asked() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    for (amount, seconds) in [("10.02", 60), ("10.03", 5)] {
        let payment = charge(&coffer, &user, amount).await;
        initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
        coffer.new_events();
        coffer.advance(Duration::from_secs(seconds) - Duration::from_micros(1)).await;
        assert_eq!(show(&coffer, &payment).await["status"], "processing", "{amount}: too early");
        coffer.advance(Duration::from_micros(1)).await;
        let payment = show(&coffer, &payment).await;
        assert_eq!(state(&payment), format!("settled none exact {amount}"));
        assert_eq!(coffer.new_events(), ["transaction.created", "payment.settled"]);
    }
    assert_eq!(available(&coffer, &user).await, "20.05");
}

#[tokio::test]
async fn a_bank_transfer_is_instructed_marked_and_credited_once() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = charge(&coffer, &user, "100.00").await;
    let attempt = initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    let instructions = attempt.body["instructions"].as_str().unwrap();
    assert_eq!(instructions, format!("Transfer 100.00 USD with the reference {payment}."));
    assert_eq!((&attempt.body["number"], &attempt.body["expected_amount"]), (&json!(1), &json!("100.00")));
    // The same once more is the same attempt.
    let again = initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    assert_eq!(again.body, attempt.body);
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.refused(409, "attempt_open");
    coffer.new_events();

    let first = mark_paid(&coffer, &payment, "bank-1", "100.00").await.expect(200);
    assert_eq!(state(&first.body), "settled none exact 100.00");
    assert_eq!(coffer.new_events(), ["transaction.created", "payment.settled"]);
    let again = mark_paid(&coffer, &payment, "bank-1", "100.00").await.expect(200);
    assert_eq!(again.body, first.body);
    mark_paid(&coffer, &payment, "bank-2", "100.00").await.refused(409, "invalid_state_transition");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    assert_eq!(available(&coffer, &user).await, "100.00");

    let list = coffer.key().get(&format!("/transactions?user_id={user}")).await.expect(200);
    let record = &list.body["data"][0];
    assert_eq!(
        (&record["entry_type"], &record["amount"], &record["category"], &record["status"]),
        (&json!("credit"), &json!("100.00"), &json!("payment"), &json!("completed"))
    );
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_parallel_marks_of_one_payment_credit_it_once() {
    let coffer = Arc::new(Instance::start().await);
    let user = user(&coffer, "ann").await;
    let payment = awaited(&coffer, &user, "100.00").await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (coffer, payment) = (coffer.clone(), payment.clone());
            tokio::spawn(async move { mark_paid(&coffer, &payment, "bank-1", "100.00").await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(available(&coffer, &user).await, "100.00");
}

#[tokio::test]
async fn a_reference_stands_for_one_payment_and_one_amount() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let (first, second) = (awaited(&coffer, &user, "50.00").await, awaited(&coffer, &user, "50.00").await);
    mark_paid(&coffer, &first, "bank-1", "50.00").await.expect(200);
    let refused = mark_paid(&coffer, &second, "bank-1", "50.00").await.refused(409, "reference_used");
    assert_eq!(refused.body["payment_id"], first.as_str());

    coffer.new_events();
    let other = mark_paid(&coffer, &first, "bank-1", "60.00").await.expect(200);
    assert_eq!(state(&other.body), "settled conflicted exact 50.00");
    assert_eq!(other.body["said"]["amount"], "60.00");
    assert_eq!(coffer.new_events(), ["payment.conflicted"]);
    mark_paid(&coffer, &first, "bank-1", "60.00").await.expect(200);
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "said before");
    // What is credited is credited: a person can only put the conflict away.
    resolve(&coffer, &first, "credit").await.refused(409, "invalid_state_transition");
    let done = resolve(&coffer, &first, "reject").await.expect(200);
    assert_eq!(state(&done.body), "settled none exact 50.00");
    assert_eq!(available(&coffer, &user).await, "50.00");
}

/// What a gateway had said came was in nobody's account and in no list, once a person would not credit it.
#[tokio::test]
async fn money_that_does_not_fit_goes_back_when_a_person_says_so() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = charge(&coffer, &user, "100.04").await;
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    let said = show(&coffer, &payment).await;
    assert_eq!(said["review"], "conflicted");
    let came = said["said"]["amount"].as_str().unwrap().to_owned();
    coffer.new_events();
    let path = format!("/payments/{payment}/resolve");
    let body = json!({ "decision": "refund", "reason": "looked into it", "revision": said["revision"] });
    let done = coffer.key().post(&path, body.clone()).await.expect(200);
    assert_eq!(state(&done.body), "failed none over 0.00");
    assert_eq!(coffer.new_events(), ["payment.late", "payment.failed"]);
    assert_eq!(coffer.key().post(&path, body).await.expect(200).body, done.body, "once");
    assert_eq!(available(&coffer, &user).await, "0.00");

    let list = coffer.key().get("/suspense").await.expect(200);
    let item = &list.body["data"][0];
    assert_eq!((&item["amount"], &item["payment_id"]), (&json!(came), &json!(payment)));
    let path = format!("/suspense/{}/refund", item["id"].as_str().unwrap());
    let refund = coffer.key().post(&path, json!({ "reason": "sent too much" })).await.expect(200);
    assert_eq!((&refund.body["amount"], &refund.body["user_id"]), (&json!(came), &Value::Null));
    assert_eq!(suspense(&coffer).await, []);

    // Of an outcome nobody knows nothing is known to have come.
    let unknown = charge(&coffer, &user, "100.02").await;
    initiate(&coffer, &unknown, &coffer.credentials().sandbox_gateway).await.expect(200);
    assert_eq!(show(&coffer, &unknown).await["review"], "needs_review");
    resolve(&coffer, &unknown, "refund").await.refused(422, "not_refundable");
}

#[tokio::test]
async fn late_money_goes_to_suspense_once() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let expired = awaited(&coffer, &user, "70.00").await;
    let canceled = awaited(&coffer, &user, "80.00").await;
    coffer.key().post(&format!("/payments/{canceled}/cancel"), json!({})).await.expect(200);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(show(&coffer, &expired).await["status"], "expired");
    coffer.new_events();
    for (payment, reference, amount, status) in
        [(&expired, "bank-1", "70.00", "expired"), (&canceled, "bank-2", "80.00", "canceled")]
    {
        for _ in 0..2 {
            let marked = mark_paid(&coffer, payment, reference, amount).await.expect(200);
            assert_eq!(state(&marked.body), format!("{status} none late 0.00"));
        }
    }
    assert_eq!(coffer.new_events(), ["payment.late", "payment.late"]);
    let pair = |reference: &str, amount: &str| (reference.to_owned(), amount.to_owned());
    assert_eq!(suspense(&coffer).await, [pair("bank-2", "80.00"), pair("bank-1", "70.00")]);
    assert_eq!(available(&coffer, &user).await, "0.00");
}

#[tokio::test]
async fn expiry_is_judged_at_its_instant_and_needs_no_timer() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let body = json!({ "amount": "5.00", "currency": "USD", "user_id": user, "expires_in_s": 60 });
    let payment = coffer.key().post("/payments", body.clone()).await.expect(201).id().to_owned();
    let early = coffer.key().post("/payments", body.clone()).await.expect(201).id().to_owned();
    coffer.advance(Duration::from_secs(60) - Duration::from_micros(1)).await;
    initiate(&coffer, &early, &coffer.credentials().manual_gateway).await.expect(200);
    coffer.new_events();
    coffer.advance(Duration::from_micros(1)).await;
    assert_eq!(coffer.new_events(), ["payment.expired", "payment.expired"]);
    initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.refused(410, "payment_expired");
    coffer
        .key()
        .post(&format!("/payments/{payment}/cancel"), json!({}))
        .await
        .refused(410, "payment_expired");
    for wrong in [0, 59, 90 * 24 * 3600 + 1] {
        let mut body = body.clone();
        body["expires_in_s"] = wrong.into();
        coffer.key().post("/payments", body).await.refused(422, "out_of_range");
    }
}

#[tokio::test]
async fn a_part_waits_for_the_rest_and_more_is_credited_in_full() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = awaited(&coffer, &user, "100.00").await;
    let part = mark_paid(&coffer, &payment, "bank-1", "90.00").await.expect(200);
    assert_eq!(state(&part.body), "requires_action none partial 90.00");
    assert_eq!(available(&coffer, &user).await, "0.00");
    // Money that is there is not withdrawn, and its attempt has not failed.
    let refused = "invalid_state_transition";
    coffer.key().post(&format!("/payments/{payment}/cancel"), json!({})).await.refused(409, refused);
    let because = json!({ "reason": "no" });
    coffer.key().post(&format!("/payments/{payment}/mark-failed"), because).await.refused(409, refused);
    let rest = mark_paid(&coffer, &payment, "bank-2", "15.00").await.expect(200);
    assert_eq!(state(&rest.body), "settled none over 105.00");
    assert_eq!(available(&coffer, &user).await, "105.00");
}

#[tokio::test]
async fn a_part_is_credited_at_expiry_or_when_a_person_says_so() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let expiring = awaited(&coffer, &user, "100.00").await;
    let accepted = awaited(&coffer, &user, "100.00").await;
    let rejected = awaited(&coffer, &user, "100.00").await;
    for (payment, reference) in [(&expiring, "a"), (&accepted, "b"), (&rejected, "c")] {
        mark_paid(&coffer, payment, reference, "40.00").await.expect(200);
    }
    let credited = resolve(&coffer, &accepted, "credit").await.expect(200);
    assert_eq!(state(&credited.body), "settled none partial 40.00");
    coffer.new_events();
    let failed = resolve(&coffer, &rejected, "reject").await.expect(200);
    assert_eq!(failed.body["status"], "failed");
    assert_eq!(coffer.new_events(), ["payment.late", "payment.failed"]);
    assert_eq!(suspense(&coffer).await, [("c".to_owned(), "40.00".to_owned())]);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(state(&show(&coffer, &expiring).await), "settled none partial 40.00");
    assert_eq!(available(&coffer, &user).await, "80.00");
}

#[tokio::test]
async fn above_the_limit_a_second_person_has_to_agree() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "payment": { "second_person_above": "100.00" } })).await;
    let user = user(&coffer, "ann").await;
    let second = another_key(&coffer).await;
    let small = awaited(&coffer, &user, "100.00").await;
    let marked = mark_paid(&coffer, &small, "small", "100.00").await.expect(200);
    assert_eq!(marked.body["status"], "settled");

    let large = awaited(&coffer, &user, "100.01").await;
    let marked = mark_paid(&coffer, &large, "large", "100.01").await.expect(200);
    assert_eq!(state(&marked.body), "processing awaiting_second none 0.00");
    let repeated = mark_paid(&coffer, &large, "large", "100.01").await.expect(200);
    assert_eq!(repeated.body, marked.body);
    mark_paid(&coffer, &large, "other", "100.01").await.refused(409, "invalid_state_transition");
    let path = |verb: &str| format!("/payments/{large}/mark-paid/{verb}");
    let no = json!({ "reason": "not on the statement" });
    agree(&coffer.key(), &path("approve")).await.refused(403, "self_approval");
    decide(&coffer.key(), &path("reject"), no.clone()).await.refused(403, "self_approval");
    let refused = decide(&second, &path("reject"), no).await.expect(200);
    assert_eq!(state(&refused.body), "requires_action none none 0.00");
    agree(&second, &path("approve")).await.refused(409, "invalid_state_transition");
    assert_eq!(available(&coffer, &user).await, "100.00");

    mark_paid(&coffer, &large, "large", "100.01").await.expect(200);
    // It neither expires nor is canceled while somebody has to decide.
    coffer.advance(Duration::from_secs(48 * 3600)).await;
    coffer
        .key()
        .post(&format!("/payments/{large}/cancel"), json!({}))
        .await
        .refused(409, "invalid_state_transition");
    let vote = json!({ "revision": revision(&second, &path("approve")).await });
    let approved = second.post(&path("approve"), vote.clone()).await.expect(200);
    assert_eq!(state(&approved.body), "settled none exact 100.01");
    let again = second.post(&path("approve"), vote).await.expect(200);
    assert_eq!(again.body, approved.body);
    assert_eq!(available(&coffer, &user).await, "200.01");
}

#[tokio::test]
async fn many_small_marks_do_not_slip_below_the_limit() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "payment": { "second_person_above": "100.00" } })).await;
    let user = user(&coffer, "ann").await;
    let payment = awaited(&coffer, &user, "150.00").await;
    mark_paid(&coffer, &payment, "a", "80.00").await.expect(200);
    let second = mark_paid(&coffer, &payment, "b", "70.00").await.expect(200);
    assert_eq!(state(&second.body), "processing awaiting_second partial 80.00");
    // A mark that is changed is a conflict, and whoever said it does not decide over it either.
    let other = mark_paid(&coffer, &payment, "b", "71.00").await.expect(200);
    assert_eq!(other.body["review"], "conflicted");
    resolve(&coffer, &payment, "credit").await.refused(403, "self_approval");
    let second = another_key(&coffer).await;
    let body = json!({ "decision": "credit", "reason": "two transfers" });
    let resolved = decide(&second, &format!("/payments/{payment}/resolve"), body).await.expect(200);
    assert_eq!(state(&resolved.body), "settled none over 151.00");
}

#[tokio::test]
async fn a_conflict_waits_for_a_person_and_ends_as_that_person_says() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let sandbox = &coffer.credentials().sandbox_gateway;
    for (decision, wanted, events) in [
        ("credit", "settled none over 10.05", &["transaction.created", "payment.settled"][..]),
        ("reject", "failed none over 0.00", &["payment.failed"][..]),
    ] {
        let payment = charge(&coffer, &user, "10.04").await;
        initiate(&coffer, &payment, sandbox).await.expect(200);
        coffer.advance(Duration::from_secs(48 * 3600)).await;
        assert_eq!(show(&coffer, &payment).await["review"], "conflicted", "it does not go away by itself");
        coffer.new_events();
        let path = format!("/payments/{payment}/resolve");
        let stale = json!({ "revision": 1, "decision": decision, "reason": "looked into it" });
        coffer.key().post(&path, stale).await.refused(409, "revision_stale");
        let revision = revision(&coffer.key(), &path).await;
        let decided = json!({ "revision": revision, "decision": decision, "reason": "looked into it" });
        let resolved = coffer.key().post(&path, decided.clone()).await.expect(200);
        assert_eq!(state(&resolved.body), wanted);
        assert_eq!(coffer.key().post(&path, decided).await.expect(200).body, resolved.body);
        assert_eq!(coffer.new_events(), events);
    }
    assert_eq!(available(&coffer, &user).await, "10.05");
    let settled = charge(&coffer, &user, "1.00").await;
    initiate(&coffer, &settled, sandbox).await.expect(200);
    resolve(&coffer, &settled, "credit").await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn what_a_person_credited_the_gateway_does_not_credit_again() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = charge(&coffer, &user, "10.02").await;
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    resolve(&coffer, &payment, "credit").await.expect(200);
    coffer.advance(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(available(&coffer, &user).await, "10.02");
    assert_eq!(suspense(&coffer).await, []);
}

#[tokio::test]
async fn a_failed_attempt_is_not_a_failed_payment() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let (manual, sandbox) = (&coffer.credentials().manual_gateway, &coffer.credentials().sandbox_gateway);
    let payment = charge(&coffer, &user, "10.01").await;
    let retry = format!("/payments/{payment}/retry");
    initiate(&coffer, &payment, sandbox).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["last_error"], "the sandbox declines .01");
    coffer.key().post(&retry, json!({})).await.expect(200);
    let third = coffer.key().post(&retry, json!({ "gateway_id": manual })).await.expect(200);
    assert_eq!((&third.body["number"], &third.body["status"]), (&json!(3), &json!("open")));
    let because = json!({ "reason": "the bank sent it back" });
    let failed =
        coffer.key().post(&format!("/payments/{payment}/mark-failed"), because.clone()).await.expect(200);
    assert_eq!(failed.body["status"], "requires_method");
    // It was not sent back after all: the last attempt's money settles the payment.
    let marked = mark_paid(&coffer, &payment, "bank-1", "10.01").await.expect(200);
    assert_eq!(state(&marked.body), "settled none exact 10.01");
    let attempts = coffer.key().get(&format!("/payments/{payment}/attempts")).await.expect(200);
    let attempts: Vec<_> =
        attempts.body["data"].as_array().unwrap().iter().map(|it| it["status"].as_str().unwrap()).collect();
    assert_eq!(attempts, ["settled", "failed", "failed"], "newest first");
    coffer.key().post(&retry, json!({})).await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn after_ten_failed_attempts_a_payment_has_failed() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let payment = charge(&coffer, &user, "10.01").await;
    for _ in 0..9 {
        initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
        assert_eq!(show(&coffer, &payment).await["status"], "requires_method");
    }
    coffer.new_events();
    initiate(&coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["status"], "failed");
    assert_eq!(coffer.new_events(), ["payment.initiated", "payment.failed"]);
}

#[tokio::test]
async fn money_set_aside_is_captured_whole_or_in_part_or_let_go() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = json!({
        "name": "Cards", "slug": "cards", "kind": "sandbox", "currencies": ["USD"],
        "config": { "manual_capture": true },
    });
    let gateway = coffer.key().post("/payment-gateways", gateway).await.expect(201).id().to_owned();
    coffer.key().post(&format!("/payment-gateways/{gateway}/activate"), json!({})).await.expect(200);
    let authorized = async |amount: &str| {
        let payment = charge(&coffer, &user, amount).await;
        initiate(&coffer, &payment, &gateway).await.expect(200);
        assert_eq!(show(&coffer, &payment).await["status"], "requires_capture");
        payment
    };
    let capture = async |payment: &str, body: Value| {
        coffer.key().post(&format!("/payments/{payment}/capture"), body).await
    };
    let whole = authorized("20.00").await;
    assert_eq!(available(&coffer, &user).await, "0.00");
    let captured = capture(&whole, json!({})).await.expect(200);
    assert_eq!(state(&captured.body), "settled none exact 20.00");
    assert_eq!(capture(&whole, json!({})).await.expect(200).body, captured.body);
    capture(&whole, json!({ "amount": "5.00" })).await.refused(409, "invalid_state_transition");

    let part = authorized("20.00").await;
    capture(&part, json!({ "amount": "20.01" })).await.refused(422, "out_of_range");
    let captured = capture(&part, json!({ "amount": "15.00" })).await.expect(200);
    assert_eq!(state(&captured.body), "settled none partial 15.00");

    let unknown = authorized("20.02").await;
    let lost = capture(&unknown, json!({})).await.expect(200);
    assert_eq!(state(&lost.body), "processing needs_review none 0.00");
    coffer.advance(Duration::from_secs(60)).await;
    assert_eq!(show(&coffer, &unknown).await["status"], "settled");

    let let_go = authorized("20.00").await;
    let canceled = coffer.key().post(&format!("/payments/{let_go}/cancel"), json!({})).await.expect(200);
    assert_eq!(canceled.body["status"], "canceled");
    let late = authorized("20.00").await;
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    capture(&late, json!({})).await.refused(410, "payment_expired");
    assert_eq!(available(&coffer, &user).await, "55.02");
}

#[tokio::test]
async fn a_mark_is_refused_in_one_order() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let used = awaited(&coffer, &user, "5.00").await;
    mark_paid(&coffer, &used, "used", "5.00").await.expect(200);
    let fresh = charge(&coffer, &user, "5.00").await;
    let manual = awaited(&coffer, &user, "5.00").await;
    let sandbox = charge(&coffer, &user, "5.03").await;
    initiate(&coffer, &sandbox, &coffer.credentials().sandbox_gateway).await.expect(200);
    let body = |reference: &str, amount: &str, currency: &str| json!({ "reference": reference, "amount": amount, "currency": currency, "reason": "seen" });
    let nobody = "pay_01kc000000000000000000000z".to_owned();
    for (payment, body, status, code) in [
        (&nobody, body("", "0.001", "XYZ"), 422, "out_of_range"),
        (&nobody, body("used", "0.001", "XYZ"), 404, "not_found"),
        (&sandbox, body("used", "0.001", "XYZ"), 422, "currency_inactive"),
        (&sandbox, body("used", "0.001", "EUR"), 422, "amount_scale"),
        (&sandbox, body("used", "1.00", "EUR"), 422, "not_manual"),
        (&fresh, body("used", "1.00", "EUR"), 409, "invalid_state_transition"),
        (&manual, body("used", "1.00", "EUR"), 409, "reference_used"),
        (&manual, body("new", "1.00", "EUR"), 422, "payment_currency_mismatch"),
    ] {
        let answer = coffer.key().post(&format!("/payments/{payment}/mark-paid"), body.clone()).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_user_pays_and_sees_its_own_and_says_nothing_about_money_that_came() {
    let coffer = Instance::start().await;
    let ann = json!({
        "email": "ann@example.com", "password": crate::auth::PASSWORD, "first_name": "Ann", "last_name": "T",
    });
    let tokens = coffer.publishable().post("/auth/register", ann).await.expect(201);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let bob = user(&coffer, "bob").await;
    let bobs = charge(&coffer, &bob, "5.00").await;
    let body = json!({ "amount": "5.00", "currency": "USD" });
    // A deposit has a limit and a fee; a plain payment has neither, so users make none.
    ann.post("/payments", body.clone()).await.refused(403, "forbidden");
    let funding = ann.post("/fundings", body).await.expect(201);
    let own = funding.body["payment_id"].as_str().unwrap().to_owned();
    let gateway = json!({ "gateway_id": coffer.credentials().manual_gateway });
    ann.post(&format!("/payments/{own}/initiate"), gateway.clone()).await.expect(200);
    ann.post(&format!("/payments/{bobs}/initiate"), gateway).await.refused(404, "not_found");
    ann.get(&format!("/payments/{bobs}")).await.refused(404, "not_found");
    ann.get(&format!("/payments/{bobs}/attempts")).await.refused(404, "not_found");
    let list = ann.get("/payments").await.expect(200);
    assert_eq!(list.body["data"].as_array().unwrap().len(), 1);
    mark_paid_by(&ann, &own, "bank-1", "5.00").await.refused(403, "forbidden");
    ann.get("/suspense").await.refused(403, "forbidden");
    ann.post(&format!("/payments/{own}/cancel"), json!({})).await.expect(200);
}

#[tokio::test]
async fn payments_are_made_once_and_found_by_what_they_are() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let body = json!({ "amount": "5.00", "currency": "USD", "user_id": user, "external_id": "order-7" });
    let made = coffer.key().post("/payments", body.clone()).await.expect(201);
    let taken = coffer.key().post("/payments", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());
    awaited(&coffer, &user, "6.00").await;
    let count = async |query: &str| {
        let list = coffer.key().get(&format!("/payments?{query}")).await.expect(200);
        list.body["data"].as_array().unwrap().len()
    };
    for (query, wanted) in [
        ("", 2),
        ("status=requires_method", 1),
        ("status=requires_action", 1),
        ("status=settled", 0),
        ("review=none", 2),
        ("currency=EUR", 0),
        ("created_to=2025-01-01T00:00:00Z", 0),
        (&format!("user_id={user}"), 2),
        (&format!("gateway_id={}", coffer.credentials().manual_gateway), 1),
    ] {
        assert_eq!(count(query).await, wanted, "{query}");
    }
    let disabled = self::user(&coffer, "off").await;
    coffer.key().post(&format!("/users/{disabled}/disable"), json!({ "reason": "test" })).await.expect(200);
    let body = json!({ "amount": "5.00", "currency": "USD", "user_id": disabled });
    coffer.key().post("/payments", body).await.refused(422, "user_not_active");
}
