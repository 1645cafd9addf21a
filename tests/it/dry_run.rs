//! `dry_run`: every command about money says what would become of it, and nothing does.

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::{
    gateway_crypto::{FIRST, bitcoin},
    payment::{another_key, available, charge, initiate, show, state, user},
    pricing::plan,
    support::revision,
    withdrawal::{cash_out, credit, set},
};

/// What the command would be answered with; no event went out, and no id of anything new is shown.
async fn rehearse(coffer: &Instance, http: &Http, path: &str, body: Value) -> Value {
    coffer.new_events();
    let answer = http.post(&format!("{path}?dry_run=true"), body).await.expect(200);
    assert_eq!(answer.body["id"], Value::Null, "{path}: {:#}", answer.body);
    assert_eq!(coffer.new_events(), Vec::<String>::new(), "{path}");
    answer.body
}

async fn status(coffer: &Instance, path: &str) -> String {
    coffer.key().get(path).await.expect(200).body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_command_that_calls_a_gateway_rehearses_its_checks_and_calls_nobody() {
    let coffer = Instance::start().await;
    let (ann, key) = (user(&coffer, "ann").await, coffer.key());
    let (sandbox, payment) =
        (coffer.credentials().sandbox_gateway.clone(), charge(&coffer, &ann, "100.00").await);

    let path = format!("/payments/{payment}/initiate");
    let attempt = rehearse(&coffer, &key, &path, json!({ "gateway_id": sandbox })).await;
    assert_eq!((&attempt["payment_id"], &attempt["number"]), (&json!(payment), &json!(1)));
    let attempts = key.get(&format!("/payments/{payment}/attempts")).await.expect(200);
    assert_eq!(
        (attempts.body["data"].clone(), status(&coffer, &format!("/payments/{payment}")).await),
        (json!([]), "requires_method".into())
    );
    initiate(&coffer, &payment, &sandbox).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 100.00");

    let refund = |amount: &str| json!({ "payment_id": payment, "amount": amount, "reason": "asked for" });
    let rehearsed = rehearse(&coffer, &key, "/refunds", refund("40.00")).await;
    assert_eq!((&rehearsed["amount"], &rehearsed["payment_id"]), (&json!("40.00"), &json!(payment)));
    key.post("/refunds?dry_run=true", refund("100.01")).await.refused(422, "refund_too_large");
    assert_eq!(key.get("/refunds").await.expect(200).body["data"], json!([]));
    assert_eq!(available(&coffer, &ann).await, "100.00");
    let made = key.post("/refunds", refund("40.00")).await.expect(201);
    assert_eq!(made.body["status"], "succeeded", "of which the rehearsal knew nothing: {rehearsed}");

    credit(&coffer, &ann, "100.00").await;
    let out = key.post("/withdrawals", cash_out(&ann, "10.00")).await.expect(201);
    assert_eq!(out.body["status"], "approved", "{:#}", out.body);
    let path = format!("/withdrawals/{}/process", out.id());
    let rehearsed = another_key(&coffer).await.post(&format!("{path}?dry_run=true"), json!({})).await;
    assert_eq!(rehearsed.expect(200).body["status"], "processing");
    assert_eq!(status(&coffer, &format!("/withdrawals/{}", out.id())).await, "approved");
}

/// An address shown is an address somebody may send to: that of a rehearsal would be handed out again.
#[tokio::test]
async fn a_rehearsal_promises_no_address() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let body = json!({ "amount": "0.01", "currency": "BTC", "user_id": ann });
    let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
    let path = format!("/payments/{payment}/initiate");
    for _ in 0..2 {
        let attempt = rehearse(&coffer, &coffer.key(), &path, json!({ "gateway_id": gateway })).await;
        assert_eq!((&attempt["address"], &attempt["instructions"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(initiate(&coffer, &payment, &gateway).await.expect(200).body["address"], FIRST);
}

#[tokio::test]
async fn whoever_decides_about_money_may_try_it_first() {
    let coffer = Instance::start().await;
    let (ann, key) = (user(&coffer, "ann").await, coffer.key());
    let manual = coffer.credentials().manual_gateway.clone();
    let post = async |path: &str, body: Value| key.post(path, body).await.expect(201).id().to_owned();
    let of = |amount: &str| json!({ "amount": amount, "currency": "USD", "user_id": ann });

    let funding = post("/fundings", of("25.00")).await;
    let before = status(&coffer, &format!("/fundings/{funding}")).await;
    let canceled = rehearse(&coffer, &key, &format!("/fundings/{funding}/cancel"), json!({})).await;
    assert_eq!(canceled["status"], "canceled");
    assert_eq!(status(&coffer, &format!("/fundings/{funding}")).await, before);

    let payment = post("/payments", of("25.00")).await;
    let canceled = rehearse(&coffer, &key, &format!("/payments/{payment}/cancel"), json!({})).await;
    assert_eq!(canceled["status"], "canceled");
    initiate(&coffer, &payment, &manual).await.expect(200);
    let before = status(&coffer, &format!("/payments/{payment}")).await;
    let failed =
        rehearse(&coffer, &key, &format!("/payments/{payment}/mark-failed"), json!({ "reason": "returned" }))
            .await;
    assert_ne!(failed["status"], json!(before));
    assert_eq!(status(&coffer, &format!("/payments/{payment}")).await, before);

    credit(&coffer, &ann, "1000.00").await;
    let swap =
        json!({ "from_currency": "USD", "to_currency": "EUR", "from_amount": "100.00", "user_id": ann });
    let quoted = rehearse(&coffer, &key, "/swaps/quotes", swap).await;
    assert_eq!(quoted["from_amount"], "100.00");

    let plan = plan(&coffer, json!({})).await;
    let invested = json!({ "plan_id": plan, "amount": "500.00", "user_id": ann });
    let rehearsed = rehearse(&coffer, &key, "/investments", invested.clone()).await;
    assert_eq!(rehearsed["schedule_url"], Value::Null, "a link to what is not made");
    let investment = post("/investments", invested).await;
    let path = format!("/investments/{investment}");
    for (verb, body) in [
        ("default", json!({ "reason": "insolvent", "recovered_amount": "1.00" })),
        ("suspend", json!({ "reason": "looked into" })),
        ("maturity-instruction", json!({ "maturity_instruction": "roll_all" })),
    ] {
        let before = key.get(&path).await.expect(200).body;
        rehearse(&coffer, &key, &format!("{path}/{verb}"), body).await;
        assert_eq!(key.get(&path).await.expect(200).body, before, "{verb}");
    }

    set(&coffer, json!({ "withdrawal": { "automatic_up_to": "1.00" } })).await;
    let out = post("/withdrawals", cash_out(&ann, "50.00")).await;
    let (path, second) = (format!("/withdrawals/{out}"), another_key(&coffer).await);
    let before = key.get(&path).await.expect(200).body;
    let vote = json!({ "revision": revision(&second, &format!("{path}/approve")).await });
    let voted = rehearse(&coffer, &second, &format!("{path}/approve"), vote.clone()).await;
    assert_ne!(voted["votes"], before["votes"]);
    assert_eq!(key.get(&path).await.expect(200).body, before);
    key.post(&format!("{path}/approve?dry_run=true"), vote).await.refused(403, "self_approval");
}
