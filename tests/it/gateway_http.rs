//! Gateways over HTTP, against a server that is shaped like Stripe and answers what the test tells it to: declines,
//! silence, errors, nonsense.

use std::time::Duration;

use coffer::testing::{Instance, Reply};
use serde_json::{Value, json};

use crate::support::decide;
use crate::{
    inbound::{SECRET, intent, tell},
    payment::{available, charge, initiate, show, state, user},
};

const KEY: &str = "sk_of_the_provider";

/// An active gateway at the recorder.
pub async fn provider(coffer: &Instance, slug: &str, config: Value) -> String {
    let mut setup = json!({ "base_url": coffer.webhooks().url(&format!("/{slug}")), "timeout_s": 20 });
    setup.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let body = json!({
        "name": "Provider", "slug": slug, "kind": "http", "currencies": ["USD"], "priority": 10, "config": setup,
        "credentials": { "secret_key": KEY, "webhook_secret": SECRET },
    });
    let made = coffer.key().post("/payment-gateways", body).await.expect(201);
    assert_eq!(made.body["config"]["has_secret_key"], true);
    for secret in [KEY, SECRET] {
        assert!(!made.body.to_string().contains(secret), "what goes in does not come out");
    }
    coffer.key().post(&format!("/payment-gateways/{}/activate", made.id()), json!({})).await.expect(200);
    made.id().to_owned()
}

fn object(id: &str, status: &str, amount: u64) -> Value {
    json!({
        "id": id, "object": "payment_intent", "status": status, "amount": amount, "amount_received":
        if status == "succeeded" { amount } else { 0 }, "currency": "usd",
        "next_action": { "redirect_to_url": { "url": "https://pay.example/checkout" } },
    })
}

pub fn json_reply(status: u16, body: &Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}

#[tokio::test]
async fn an_intent_is_made_once_paid_by_its_payer_and_told_by_webhook() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    coffer
        .webhooks()
        .reply("/card/v1/payment_intents", json_reply(200, &object("pi_1", "requires_action", 2500)));
    let payment = charge(&coffer, &user, "25.00").await;
    let body = json!({ "gateway_id": gateway, "return_url": "https://shop.example/thanks?a=1&b=2" });
    let attempt = coffer.key().post(&format!("/payments/{payment}/initiate"), body).await.expect(200);
    assert_eq!(
        (&attempt.body["status"], &attempt.body["url"], &attempt.body["reference"]),
        (&json!("open"), &json!("https://pay.example/checkout"), &json!("pi_1"))
    );
    let asked = coffer.webhooks().at("/card/v1/payment_intents");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), format!("Bearer {KEY}"));
    assert_eq!(asked[0].header("idempotency-key"), attempt.id());
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&asked[0].body).into_owned().collect();
    let field = |name: &str| form.iter().find(|it| it.0 == name).map(|it| it.1.as_str());
    assert_eq!((field("amount"), field("currency")), (Some("2500"), Some("usd")));
    assert_eq!(field("metadata[attempt_id]"), Some(attempt.id()));
    assert_eq!(field("return_url"), Some("https://shop.example/thanks?a=1&b=2"));
    assert_eq!(show(&coffer, &payment).await["status"], "requires_action");

    let shown = show(&coffer, &payment).await;
    tell(&coffer, &gateway, &intent("evt_1", "pi_1", "succeeded", &shown, 2500, 2500)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 25.00");
    assert_eq!(available(&coffer, &user).await, "25.00");
    // Of an event without our ids the reference is enough.
    let mut again = intent("evt_2", "pi_1", "succeeded", &shown, 2500, 2500);
    again["data"]["object"]["metadata"] = json!({});
    tell(&coffer, &gateway, &again).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "25.00");
}

#[tokio::test]
async fn whatever_a_gateway_answers_ends_in_a_state_that_says_so() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let nonsense = Reply::status(200).body("<html>welcome</html>");
    let declined = json!({ "error": { "message": "insufficient funds" } });
    for (number, (reply, wanted, error)) in [
        (json_reply(200, &object("pi_a", "succeeded", 1000)), "settled none exact 10.00", ""),
        (json_reply(200, &object("pi_b", "processing", 1000)), "processing none none 0.00", ""),
        (json_reply(402, &declined), "requires_method none none 0.00", "insufficient funds (402)"),
        (json_reply(401, &json!({})), "requires_method none none 0.00", "answered 401"),
        (json_reply(500, &json!({})), "processing needs_review none 0.00", "answered 500"),
        (json_reply(429, &json!({})), "processing needs_review none 0.00", "answered 429"),
        (nonsense, "processing needs_review none 0.00", "answered 200 with what cannot be understood"),
        (
            json_reply(200, &declined),
            "processing needs_review none 0.00",
            "answered 200 with what cannot be understood",
        ),
        (
            Reply::status(302).header("location", "http://127.0.0.1/"),
            "processing needs_review none 0.00",
            "answered 302",
        ),
        (Reply::Hang, "processing needs_review none 0.00", "no answer within 1 s"),
        (
            json_reply(200, &object("pi_c", "succeeded", 999)),
            "processing needs_review none 0.00",
            "10.00 USD was told, the gateway says 999 USD",
        ),
        (
            json_reply(200, &json!({ "object": "charge" })),
            "processing needs_review none 0.00",
            "a charge came, a payment_intent was wanted",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let slug = format!("card-{number}");
        let patience = if matches!(reply, Reply::Hang) { 1 } else { 20 };
        let gateway = provider(&coffer, &slug, json!({ "timeout_s": patience })).await;
        coffer.webhooks().reply(&format!("/{slug}/v1/payment_intents"), reply);
        let payment = charge(&coffer, &user, "10.00").await;
        let attempt = initiate(&coffer, &payment, &gateway).await.expect(200);
        assert_eq!(state(&show(&coffer, &payment).await), wanted, "{slug} {error}");
        assert_eq!(attempt.body["error"].as_str().unwrap_or_default(), error, "{slug}");
    }
    assert_eq!(available(&coffer, &user).await, "10.00");
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_about_under_the_same_reference_until_it_is_known() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    let path = "/card/v1/payment_intents";
    coffer.webhooks().reply(path, Reply::status(503));
    let payment = charge(&coffer, &user, "10.00").await;
    let attempt = initiate(&coffer, &payment, &gateway).await.expect(200).id().to_owned();
    // 1 m, 5 m, 1 h: it stays unknown, and a person sees it.
    for minutes in [1, 5] {
        coffer.advance(Duration::from_secs(60 * minutes)).await;
        assert_eq!(state(&show(&coffer, &payment).await), "processing needs_review none 0.00");
    }
    coffer.webhooks().reply(path, json_reply(200, &object("pi_1", "processing", 1000)));
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(show(&coffer, &payment).await["status"], "processing");
    let asked = coffer.webhooks().at(path);
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|it| it.header("idempotency-key") == attempt), "never a second payment");
    // Now that its id is known it is asked about, not made.
    coffer
        .webhooks()
        .reply("/card/v1/payment_intents/pi_1", json_reply(200, &object("pi_1", "succeeded", 1000)));
    coffer.advance(Duration::from_secs(6 * 3600)).await;
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 10.00");
    assert_eq!(coffer.webhooks().at(path).len(), 4);
    assert_eq!(available(&coffer, &user).await, "10.00");
}

#[tokio::test]
async fn after_a_week_of_silence_a_person_is_left_with_it() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    coffer.webhooks().reply("/card/v1/payment_intents", Reply::status(500));
    let payment = charge(&coffer, &user, "10.00").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    for _ in 0..20 {
        coffer.advance(Duration::from_secs(24 * 3600)).await;
    }
    let asked = coffer.webhooks().at("/card/v1/payment_intents").len();
    assert_eq!(asked, 12, "once, and eleven questions");
    let body = json!({ "decision": "credit", "reason": "on the provider's statement" });
    let credited = decide(&coffer.key(), &format!("/payments/{payment}/resolve"), body).await.expect(200);
    assert_eq!(state(&credited.body), "settled none exact 10.00");
}

#[tokio::test]
async fn money_set_aside_is_captured_and_refunded_through_the_gateway() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({ "manual_capture": true, "timeout_s": 1 })).await;
    let hooks = coffer.webhooks();
    hooks.reply("/card/v1/payment_intents", json_reply(200, &object("pi_1", "requires_capture", 2000)));
    let payment = charge(&coffer, &user, "20.00").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["status"], "requires_capture");
    let mut captured = object("pi_1", "succeeded", 2000);
    captured["amount_received"] = json!(1500);
    hooks.reply("/card/v1/payment_intents/pi_1/capture", json_reply(200, &captured));
    let body = json!({ "amount": "15.00" });
    let answer = coffer.key().post(&format!("/payments/{payment}/capture"), body).await.expect(200);
    assert_eq!(state(&answer.body), "settled none partial 15.00");
    assert_eq!(available(&coffer, &user).await, "15.00");

    let refund = |status: &str| json!({ "id": "re_1", "object": "refund", "amount": 500, "currency": "usd", "status": status });
    hooks.reply("/card/v1/refunds", Reply::Hang);
    let body = json!({ "payment_id": payment, "amount": "5.00", "reason": "asked for" });
    let lost = coffer.key().post("/refunds", body).await.expect(201);
    assert_eq!((&lost.body["status"], &lost.body["needs_review"]), (&json!("pending"), &json!(true)));
    assert_eq!(available(&coffer, &user).await, "10.00", "it stays held");
    hooks.reply("/card/v1/refunds", json_reply(200, &refund("pending")));
    coffer.advance(Duration::from_secs(60)).await;
    let asked = hooks.at("/card/v1/refunds");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.header("idempotency-key") == lost.id()), "never a second refund");
    let shown = coffer.key().get(&format!("/refunds/{}", lost.id())).await.expect(200);
    assert_eq!((&shown.body["reference"], &shown.body["needs_review"]), (&json!("re_1"), &json!(false)));

    let mut done = refund("succeeded");
    done["metadata"] = json!({ "refund_id": lost.id() });
    let event = json!({ "id": "evt_1", "type": "refund.updated", "data": { "object": done } });
    tell(&coffer, &gateway, &event).await.expect(200);
    let shown = coffer.key().get(&format!("/refunds/{}", lost.id())).await.expect(200);
    assert_eq!(shown.body["status"], "succeeded");
    // A late word changes nothing.
    let mut failed = refund("failed");
    failed["metadata"] = json!({ "refund_id": lost.id() });
    let event = json!({ "id": "evt_2", "type": "refund.failed", "data": { "object": failed } });
    tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "10.00");
}

/// It was a line in the log, and the user had the money twice.
#[tokio::test]
async fn a_refund_that_went_after_it_was_given_up_is_looked_at_by_a_person() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    let hooks = coffer.webhooks();
    let mut paid = object("pi_1", "succeeded", 2000);
    paid["amount_received"] = json!(2000);
    hooks.reply("/card/v1/payment_intents", json_reply(200, &paid));
    let payment = charge(&coffer, &user, "20.00").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    hooks.reply("/card/v1/refunds", Reply::status(500));
    let body = json!({ "payment_id": payment, "amount": "5.00", "reason": "asked for" });
    let refund = coffer.key().post("/refunds", body).await.expect(201).id().to_owned();
    let given_up = json!({ "reason": "the provider is down" });
    coffer.key().post(&format!("/refunds/{refund}/mark-failed"), given_up).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "20.00");
    coffer.new_events();

    let done = json!({
        "id": "re_1", "object": "refund", "amount": 500, "currency": "usd", "status": "succeeded",
        "metadata": { "refund_id": refund },
    });
    for id in ["evt_1", "evt_2"] {
        let event = json!({ "id": id, "type": "refund.updated", "data": { "object": done } });
        tell(&coffer, &gateway, &event).await.expect(200);
    }
    assert_eq!(coffer.new_events(), ["user.frozen", "payment.conflicted"], "once");
    assert_eq!(state(&show(&coffer, &payment).await), "settled needs_review exact 20.00");
    // It is true, and taken back from the user.
    let body = json!({ "payment_id": payment, "amount": "5.00", "reason": "the refund went" });
    coffer.key().post("/disputes", body).await.expect(201);
    assert_eq!(available(&coffer, &user).await, "15.00");
}

#[tokio::test]
async fn a_withdrawal_is_paid_out_once_under_its_own_reference() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    let funding = charge(&coffer, &user, "100.00").await;
    initiate(&coffer, &funding, &coffer.credentials().sandbox_gateway).await.expect(200);
    let method = json!({ "type": "bank", "bank": "Commerzbank", "holder": "Ann Lee", "iban": "DE89370400440532013000" });
    for (reply, wanted) in [
        (
            json_reply(
                200,
                &json!({ "id": "po_1", "object": "payout", "amount": 2000, "currency": "usd", "status": "paid" }),
            ),
            "completed",
        ),
        (
            json_reply(
                200,
                &json!({ "id": "po_2", "object": "payout", "amount": 2000, "currency": "usd", "status": "in_transit" }),
            ),
            "sent",
        ),
        (json_reply(400, &json!({ "error": { "message": "no such account" } })), "failed"),
        (
            json_reply(
                200,
                &json!({ "id": "po_4", "object": "payout", "amount": 1, "currency": "usd", "status": "paid" }),
            ),
            "needs_reconciliation",
        ),
        (Reply::status(500), "needs_reconciliation"),
    ] {
        coffer.webhooks().reply("/card/v1/payouts", reply);
        let body = json!({ "user_id": user, "amount": "20.00", "currency": "USD", "method": method });
        let made = coffer.key().post("/withdrawals", body).await.expect(201);
        let path = format!("/withdrawals/{}/process", made.id());
        let done = coffer.key().post(&path, json!({ "gateway_id": gateway })).await.expect(200);
        assert_eq!(done.body["status"], wanted, "{}", done.body);
        let asked = coffer.webhooks().at("/card/v1/payouts");
        assert_eq!(asked.last().unwrap().header("idempotency-key"), made.id());
    }
    assert_eq!(coffer.webhooks().at("/card/v1/payouts").len(), 5, "nothing is sent twice");
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_is_left_alone_and_the_next_one_takes_over() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let first = provider(&coffer, "first", json!({})).await;
    coffer.webhooks().reply("/first/v1/payment_intents", Reply::status(502));
    let health = format!("/payment-gateways/{first}/health");
    for number in 1..=5 {
        let payment = charge(&coffer, &user, "10.00").await;
        let attempt =
            coffer.key().post(&format!("/payments/{payment}/initiate"), json!({})).await.expect(200);
        assert_eq!(attempt.body["gateway_id"], first, "its priority is the smallest number");
        assert_eq!(coffer.key().get(&health).await.expect(200).body["failures_in_a_row"], number);
    }
    let shown = coffer.key().get(&health).await.expect(200).body;
    assert!(shown["breaker_open_until"].is_string(), "{shown}");
    let named = charge(&coffer, &user, "10.00").await;
    let refused = initiate(&coffer, &named, &first).await.refused(422, "gateway_unavailable");
    assert_eq!(refused.body["reason"], "breaker_open");
    let attempt = coffer.key().post(&format!("/payments/{named}/initiate"), json!({})).await.expect(200);
    assert_ne!(attempt.body["gateway_id"], first, "the next one takes it");

    // A test that is answered closes it.
    coffer.webhooks().reply("/first/v1/balance", json_reply(200, &json!({ "object": "balance" })));
    let test = coffer.key().post(&format!("/payment-gateways/{first}/test"), json!({})).await.expect(200);
    assert_eq!(test.body["ok"], true);
    assert!(coffer.key().get(&health).await.expect(200).body["breaker_open_until"].is_null());
}

#[tokio::test]
async fn a_gateway_is_reached_only_where_it_may_be_and_switched_on_when_it_is_complete() {
    let coffer = Instance::start().await;
    let body = |config: Value, credentials: Value| {
        json!({
            "name": "P", "slug": "p", "kind": "http", "currencies": ["USD"], "config": config, "credentials": credentials,
        })
    };
    for (config, credentials, param) in [
        (json!({ "base_url": "http://10.0.0.1/" }), json!({}), "config.base_url"),
        (json!({ "base_url": "http://169.254.169.254/latest" }), json!({}), "config.base_url"),
        (json!({ "base_url": "https://user:pass@api.example.com/" }), json!({}), "config.base_url"),
        (json!({ "base_url": "ftp://api.example.com/" }), json!({}), "config.base_url"),
        (json!({ "timeout_s": 61 }), json!({}), "config.timeout_s"),
        (json!({ "xpub": "xpub" }), json!({}), "config.xpub"),
        (json!({}), json!({ "secret_key": "short" }), "credentials.secret_key"),
    ] {
        let answer = coffer.key().post("/payment-gateways", body(config.clone(), credentials)).await;
        assert_eq!(
            (answer.status, answer.body["param"].as_str()),
            (422, Some(param)),
            "{config}: {}",
            answer.body
        );
    }
    let made = coffer.key().post("/payment-gateways", body(json!({}), json!({}))).await.expect(201);
    let path = format!("/payment-gateways/{}", made.id());
    let refused =
        coffer.key().post(&format!("{path}/activate"), json!({})).await.refused(422, "gateway_incomplete");
    assert_eq!(refused.body["missing"], "base_url");
    let test = coffer.key().post(&format!("{path}/test"), json!({})).await.expect(200);
    assert_eq!(
        (&test.body["ok"], &test.body["message"]),
        (&json!(false), &json!("the gateway has no base_url"))
    );
    let change = json!({ "config": { "base_url": "https://api.example.com/x" } });
    let changed = coffer.key().patch(&path, 1, change).await.expect(200);
    assert_eq!(changed.body["config"]["base_url"], "https://api.example.com/x");
    let refused =
        coffer.key().post(&format!("{path}/activate"), json!({})).await.refused(422, "gateway_incomplete");
    assert_eq!(refused.body["missing"], "secret_key");
    let key = json!({ "credentials": { "secret_key": KEY } });
    let version = changed.body["version"].as_u64().unwrap();
    coffer.key().patch(&path, version, key).await.expect(200);
    coffer.key().post(&format!("{path}/activate"), json!({})).await.expect(200);
}

#[tokio::test]
async fn what_nobody_waits_for_is_canceled_at_the_gateway_until_it_is() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    let hooks = coffer.webhooks();
    let (intents, cancel) = ("/card/v1/payment_intents", "/card/v1/payment_intents/pi_1/cancel");
    hooks.reply(intents, json_reply(200, &object("pi_1", "requires_action", 1000)));
    hooks.reply(cancel, Reply::status(503));
    let payment = charge(&coffer, &user, "10.00").await;
    let attempt = initiate(&coffer, &payment, &gateway).await.expect(200).id().to_owned();
    coffer.key().post(&format!("/payments/{payment}/cancel"), json!({})).await.expect(200);
    coffer.settle().await;
    assert_eq!(hooks.at(cancel).len(), 1);
    // A failure is tried again, under the same reference, until it is canceled; then no more.
    hooks.reply(cancel, json_reply(200, &object("pi_1", "canceled", 1000)));
    coffer.advance(Duration::from_secs(60)).await;
    coffer.advance(Duration::from_secs(3 * 24 * 3600)).await;
    let asked = hooks.at(cancel);
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.header("idempotency-key") == format!("{attempt}-cancel")));
    assert_eq!(hooks.at(intents).len(), 1);

    // One that expires is canceled too. Its payer was faster: what came is late money.
    hooks.reply(intents, json_reply(200, &object("pi_2", "requires_action", 1000)));
    let late = charge(&coffer, &user, "10.00").await;
    initiate(&coffer, &late, &gateway).await.expect(200);
    let refused = json!({ "error": { "message": "it has succeeded" } });
    hooks.reply("/card/v1/payment_intents/pi_2/cancel", json_reply(400, &refused));
    hooks.reply("/card/v1/payment_intents/pi_2", json_reply(200, &object("pi_2", "succeeded", 1000)));
    coffer.new_events();
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(show(&coffer, &late).await["status"], "expired");
    assert_eq!(coffer.new_events(), ["payment.expired", "payment.late"]);
    assert_eq!(crate::payment::suspense(&coffer).await, [("pi_2".to_owned(), "10.00".to_owned())]);
    assert_eq!(available(&coffer, &user).await, "0.00");
}

#[tokio::test]
async fn a_gateway_that_takes_nothing_from_us_is_left_alone_and_payers_without_money_are_not_its_fault() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let first = provider(&coffer, "first", json!({})).await;
    let health = async |field: &str| {
        let path = format!("/payment-gateways/{first}/health");
        coffer.key().get(&path).await.expect(200).body[field].clone()
    };
    let attempt = async |payment: &str| {
        let path = format!("/payments/{payment}/initiate");
        coffer.key().post(&path, json!({})).await.expect(200).body
    };
    let error = |message: &str| json!({ "error": { "message": message } });
    // Card after card is declined: it stays the first choice.
    coffer.webhooks().reply("/first/v1/payment_intents", json_reply(402, &error("no funds")));
    for _ in 0..6 {
        let payment = charge(&coffer, &user, "10.00").await;
        assert_eq!(attempt(&payment).await["gateway_id"], first);
    }
    assert_eq!(health("recent_faults").await, 0);

    // A revoked key: what fails by that is tried elsewhere at once, and what is new after five.
    coffer.webhooks().reply("/first/v1/payment_intents", json_reply(401, &error("Invalid API Key")));
    let payment = charge(&coffer, &user, "10.00").await;
    assert_eq!(attempt(&payment).await["gateway_id"], first);
    assert_eq!(show(&coffer, &payment).await["status"], "requires_method");
    let again = attempt(&payment).await["gateway_id"].clone();
    assert_ne!(again, first, "the next one in the order takes over");
    for _ in 0..4 {
        let payment = charge(&coffer, &user, "10.00").await;
        assert_eq!(attempt(&payment).await["gateway_id"], first);
    }
    assert_eq!((health("recent_faults").await, health("failures_in_a_row").await), (json!(5), json!(5)));
    assert!(health("breaker_open_until").await.is_string());
    let payment = charge(&coffer, &user, "10.00").await;
    assert_ne!(attempt(&payment).await["gateway_id"], first);
}

#[tokio::test]
async fn another_intent_that_names_our_attempt_settles_nothing_by_itself() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = provider(&coffer, "card", json!({})).await;
    let intents = "/card/v1/payment_intents";
    coffer.webhooks().reply(intents, json_reply(200, &object("pi_1", "requires_action", 1000)));
    let payment = charge(&coffer, &user, "10.00").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    let shown = show(&coffer, &payment).await;
    for (number, status) in ["canceled", "processing", "requires_capture"].into_iter().enumerate() {
        let event = intent(&format!("e{number}"), "pi_zzz", status, &shown, 1000, 0);
        tell(&coffer, &gateway, &event).await.expect(200);
        assert_eq!(state(&show(&coffer, &payment).await), "requires_action none none 0.00", "{status}");
    }
    coffer.new_events();
    let event = intent("f1", "pi_zzz", "succeeded", &shown, 1000, 1000);
    tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.conflicted"]);
    assert_eq!(state(&show(&coffer, &payment).await), "processing conflicted exact 0.00");
    assert_eq!(available(&coffer, &user).await, "0.00");
    decide(
        &coffer.key(),
        &format!("/payments/{payment}/resolve"),
        json!({ "decision": "credit", "reason": "seen" }),
    )
    .await
    .expect(200);
    assert_eq!(available(&coffer, &user).await, "10.00");
}
