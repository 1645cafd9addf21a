//! Disputes the books cannot follow at once: told before their payment settled, or while a refund is on its way; told
//! twice by different people; about money in suspense.

use std::time::Duration;

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::{
    dispute::{disputed, disputes, settled, status, word},
    inbound::{intent, pending, tell, with_secret},
    payment::{another_key, available, initiate, set, show, state, suspense, user},
    support::{agree, decide},
};

fn because(reason: &str) -> Value {
    json!({ "reason": reason })
}

async fn refund(coffer: &Instance, payment: &str, amount: &str) -> Answer {
    let body = json!({ "payment_id": payment, "amount": amount, "reason": "asked for" });
    coffer.key().post("/refunds", body).await
}

async fn thaw(coffer: &Instance, user: &str) {
    coffer.key().post(&format!("/users/{user}/unfreeze"), because("talked to her")).await.expect(200);
}

/// Status, and what is taken of what is wanted, of the only dispute there is.
async fn only(coffer: &Instance) -> (Value, String) {
    let list = coffer.key().get("/disputes").await.expect(200);
    let mut rows = list.body["data"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let text = |field: &str| rows[0][field].as_str().unwrap().to_owned();
    let shown = format!("{} {} of {}", text("status"), text("amount"), text("claimed_amount"));
    (rows.remove(0), shown)
}

async fn unbooked(coffer: &Instance) -> i64 {
    let seen = coffer.key().get("/dashboard/statistics").await.expect(200);
    let rows = seen.body["waiting"].as_array().unwrap();
    let row = rows.iter().find(|it| it["queue"] == "unbooked_disputes");
    row.map_or(0, |it| it["count"].as_i64().unwrap())
}

/// A payment of 10.03 with a refund of all of it that nobody agreed to yet, charged back; and its user may pay again.
async fn charged_back_meanwhile(coffer: &Instance) -> (String, String, String, String) {
    set(coffer, json!({ "payment": { "refund_second_person_above": "5.00" } })).await;
    let (user, gateway, payment) = settled(coffer).await;
    let refund = refund(coffer, &payment, "10.03").await.expect(201);
    assert_eq!(refund.body["status"], "requires_approval");
    coffer.new_events();
    tell(coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    assert_eq!(coffer.new_events(), ["dispute.unbooked", "user.frozen"]);
    assert_eq!(only(coffer).await.1, "unbooked 0.00 of 10.03");
    assert_eq!(unbooked(coffer).await, 1);
    assert_eq!(status(coffer, &user).await["status"], "frozen");
    thaw(coffer, &user).await;
    coffer.new_events();
    (user, gateway, payment, format!("/refunds/{}", refund.id()))
}

/// Both were let go once: the bank took the money, and the refund paid it out again.
#[tokio::test]
async fn a_refund_does_not_go_while_the_bank_takes_the_money_and_both_end() {
    for end in ["won", "lost", "canceled", "lost by a person"] {
        let coffer = Instance::start().await;
        let (user, gateway, payment, path) = charged_back_meanwhile(&coffer).await;
        let second = another_key(&coffer).await;
        let refused = agree(&second, &format!("{path}/approve")).await.refused(409, "payment_disputed");
        let (dispute, _) = only(&coffer).await;
        assert_eq!(refused.body["dispute_id"], dispute["id"]);
        refund(&coffer, &payment, "0.01").await.refused(409, "payment_disputed");
        coffer.new_events();
        let booked = ["transaction.created", "dispute.opened", "user.frozen"];
        let events = match end {
            "won" => {
                tell(&coffer, &gateway, &word("evt_3", "closed", "won", 1003)).await.expect(200);
                vec!["dispute.won"]
            }
            "lost" => {
                tell(&coffer, &gateway, &word("evt_3", "closed", "lost", 1003)).await.expect(200);
                [&["refund.canceled"][..], &booked, &["dispute.lost"]].concat()
            }
            "lost by a person" => {
                let lose = format!("/disputes/{}/lose", dispute["id"].as_str().unwrap());
                coffer.key().post(&lose, because("no evidence")).await.expect(200);
                [&["refund.canceled"][..], &booked, &["dispute.lost"]].concat()
            }
            _ => {
                coffer.key().post(&format!("{path}/cancel"), json!({})).await.expect(200);
                [&["refund.canceled"][..], &booked].concat()
            }
        };
        assert_eq!(coffer.new_events(), events, "{end}");
        assert_eq!(unbooked(&coffer).await, 0, "{end}");
        assert_eq!(available(&coffer, &user).await, "0.00", "{end}");
        let left = agree(&second, &format!("{path}/approve")).await;
        if end == "won" {
            // The money stayed: the refund may go after all.
            left.expect(200);
            coffer.advance(Duration::from_secs(60)).await;
            assert_eq!(coffer.key().get(&path).await.expect(200).body["status"], "succeeded");
            assert_eq!(only(&coffer).await.1, "won 0.00 of 10.03");
            assert_eq!(disputed(&coffer, &payment).await, "0.00");
            assert_eq!(show(&coffer, &payment).await["refunded"], "10.03");
        } else {
            left.refused(409, "invalid_state_transition");
            let word = if end == "canceled" { "open" } else { "lost" };
            assert_eq!(only(&coffer).await.1, format!("{word} 10.03 of 10.03"));
            assert_eq!(show(&coffer, &payment).await["refunded"], "0.00");
        }
    }
}

#[tokio::test]
async fn a_refund_that_is_on_its_way_ends_first_and_the_rest_is_booked() {
    // It goes: what is left is booked, and a person is asked about what the bank wants beyond that.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    refund(&coffer, &payment, "4.03").await.expect(201);
    tell(&coffer, &gateway, &word("evt_2", "closed", "lost", 1003)).await.expect(200);
    assert_eq!(only(&coffer).await.1, "lost 0.00 of 10.03");
    assert_eq!(status(&coffer, &user).await["status"], "frozen");
    coffer.new_events();
    coffer.advance(Duration::from_secs(60)).await;
    let events = ["refund.succeeded", "payment.conflicted", "transaction.created", "dispute.opened"];
    assert_eq!(coffer.new_events(), events);
    assert_eq!(only(&coffer).await.1, "lost 6.00 of 10.03");
    assert_eq!(
        (disputed(&coffer, &payment).await, available(&coffer, &user).await),
        ("6.00".into(), "0.00".into())
    );

    // It fails: all of it is booked.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    let lost = refund(&coffer, &payment, "4.02").await.expect(201);
    assert_eq!(lost.body["needs_review"], true);
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    assert_eq!(only(&coffer).await.1, "unbooked 0.00 of 10.03");
    let path = format!("/refunds/{}/mark-failed", lost.id());
    coffer.key().post(&path, because("the provider has none")).await.expect(200);
    assert_eq!(only(&coffer).await.1, "open 10.03 of 10.03");
    assert_eq!(available(&coffer, &user).await, "0.00");
    // A person may be the one who knows of it first.
    let coffer = Instance::start().await;
    let (_, _, payment) = settled(&coffer).await;
    refund(&coffer, &payment, "10.03").await.expect(201);
    let note = json!({ "payment_id": payment, "amount": "10.03", "reason": "on the statement" });
    let made = coffer.key().post("/disputes", note).await.expect(201);
    assert_eq!(made.body["status"], "unbooked");
}

#[tokio::test]
async fn a_dispute_that_is_faster_than_its_payment_waits_for_it() {
    for (then, wanted, left) in [
        (None, "open 10.03 of 10.03", "0.00"),
        (Some("lost"), "lost 10.03 of 10.03", "0.00"),
        (Some("won"), "won 0.00 of 10.03", "10.03"),
    ] {
        let coffer = Instance::start().await;
        let (user, gateway, payment) = pending(&coffer).await;
        let id = payment["id"].as_str().unwrap();
        let start = intent("evt_1", "pi_1", "processing", &payment, 1003, 0);
        tell(&coffer, &gateway, &start).await.expect(200);
        coffer.new_events();
        tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
        assert_eq!(coffer.new_events(), ["dispute.unbooked", "user.frozen"]);
        let (dispute, shown) = only(&coffer).await;
        assert_eq!((shown.as_str(), &dispute["payment_id"]), ("unbooked 0.00 of 10.03", &payment["id"]));
        assert_eq!(
            state(&show(&coffer, id).await),
            "processing none none 0.00",
            "nobody is asked to settle it"
        );
        if let Some(then) = then {
            tell(&coffer, &gateway, &word("evt_3", "closed", then, 1003)).await.expect(200);
        }
        let paid = intent("evt_4", "pi_1", "succeeded", &payment, 1003, 1003);
        tell(&coffer, &gateway, &paid).await.expect(200);
        assert_eq!(only(&coffer).await.1, wanted, "{then:?}");
        assert_eq!(available(&coffer, &user).await, left, "{then:?}");
        assert_eq!(state(&show(&coffer, id).await), "settled none exact 10.03");
    }
}

/// It was let pass once, and its repeat was known.
#[tokio::test]
async fn a_dispute_about_money_nobody_knows_yet_is_kept_and_seen() {
    let coffer = Instance::start().await;
    let (user, gateway, payment) = pending(&coffer).await;
    let early = word("evt_1", "created", "needs_response", 1003);
    for _ in 0..2 {
        tell(&coffer, &gateway, &early).await.expect(200);
    }
    assert_eq!(coffer.new_events(), ["dispute.unbooked"]);
    let (dispute, shown) = only(&coffer).await;
    assert_eq!(shown, "unbooked 0.00 of 10.03");
    let known = (&dispute["payment_id"], &dispute["user_id"], &dispute["charge_reference"]);
    assert_eq!(known, (&Value::Null, &Value::Null, &json!("pi_1")));
    assert_eq!(unbooked(&coffer).await, 1);
    // Once it is known whose it is, that user pays nothing out.
    tell(&coffer, &gateway, &intent("evt_2", "pi_1", "processing", &payment, 1003, 0)).await.expect(200);
    assert_eq!(only(&coffer).await.0["user_id"], user.as_str());
    assert_eq!(status(&coffer, &user).await["status"], "frozen");
    tell(&coffer, &gateway, &intent("evt_3", "pi_1", "succeeded", &payment, 1003, 1003)).await.expect(200);
    assert_eq!(only(&coffer).await.1, "open 10.03 of 10.03");
    assert_eq!(available(&coffer, &user).await, "0.00");
    assert_eq!(unbooked(&coffer).await, 0);

    // A person knows which payment it is: the gateway spoke of it by a name of its own.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    let mut other_name = early.clone();
    other_name["id"] = "evt_7".into();
    other_name["data"]["object"]["payment_intent"] = "ch_of_the_same".into();
    tell(&coffer, &gateway, &other_name).await.expect(200);
    let note = |amount: &str| json!({ "payment_id": payment, "amount": amount, "reason": "it is hers", "reference": "dp_1" });
    coffer.key().post("/disputes", note("5.00")).await.refused(409, "payment_disputed");
    let found = coffer.key().post("/disputes", note("10.03")).await.expect(201);
    assert_eq!(
        (found.body["status"].as_str(), only(&coffer).await.1.as_str()),
        (Some("open"), "open 10.03 of 10.03")
    );
    assert_eq!(available(&coffer, &user).await, "0.00");
    tell(&coffer, &gateway, &word("evt_8", "closed", "won", 1003)).await.expect(200);
    assert_eq!(available(&coffer, &user).await, "10.03");

    // Of another shop with the same provider: a person puts it away. Of a currency nobody here uses, nobody is asked.
    let coffer = Instance::start().await;
    let (_, gateway, _) = pending(&coffer).await;
    let mut elsewhere = early.clone();
    elsewhere["data"]["object"]["currency"] = "zmw".into();
    tell(&coffer, &gateway, &elsewhere).await.expect(200);
    assert_eq!(coffer.new_events(), [""; 0]);
    tell(&coffer, &gateway, &word("evt_9", "created", "needs_response", 1003)).await.expect(200);
    let path = format!("/disputes/{}/dismiss", only(&coffer).await.0["id"].as_str().unwrap());
    coffer.key().post(&path, because("another shop's")).await.expect(200);
    assert_eq!(only(&coffer).await.1, "dismissed 0.00 of 10.03");
    assert_eq!(unbooked(&coffer).await, 0);
}

#[tokio::test]
async fn what_a_person_noted_and_the_gateway_tells_is_one_dispute() {
    let note = |payment: &str, amount: &str, reference: Option<&str>| json!({ "payment_id": payment, "amount": amount, "reason": "on the statement", "reference": reference });
    // The person was first, with the bank's reference.
    let coffer = Instance::start().await;
    let (user, gateway, payment) = settled(&coffer).await;
    coffer.key().post("/disputes", note(&payment, "5.00", Some("bank-77"))).await.expect(201);
    coffer.new_events();
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 500)).await.expect(200);
    assert_eq!(coffer.new_events(), [""; 0]);
    let (joined, shown) = only(&coffer).await;
    assert_eq!(shown, "open 5.00 of 5.00");
    assert_eq!((&joined["reference"], &joined["noted_reference"]), (&json!("dp_1"), &json!("bank-77")));
    assert_eq!(available(&coffer, &user).await, "5.03");
    coffer
        .key()
        .post("/disputes", note(&payment, "5.00", Some("bank-77")))
        .await
        .refused(409, "reference_used");
    tell(&coffer, &gateway, &word("evt_3", "closed", "lost", 500)).await.expect(200);
    assert_eq!(only(&coffer).await.1, "lost 5.00 of 5.00");

    // The amounts differ: it is joined, booked no second time, and a person is asked.
    let coffer = Instance::start().await;
    let (_, gateway, payment) = settled(&coffer).await;
    coffer.key().post("/disputes", note(&payment, "5.00", Some("bank-77"))).await.expect(201);
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 600)).await.expect(200);
    assert_eq!(only(&coffer).await.1, "open 5.00 of 5.00");
    let shown = show(&coffer, &payment).await;
    assert_eq!(shown["last_error"], "dp_1 disputes 6.00 USD, it was 5.00 USD before");
    assert_eq!(shown["review"], "needs_review");

    // What a person put away is not the one that begins.
    let coffer = Instance::start().await;
    let (_, gateway, payment) = settled(&coffer).await;
    let mistaken = coffer.key().post("/disputes", note(&payment, "5.00", None)).await.expect(201);
    coffer.key().post(&format!("/disputes/{}/win", mistaken.id()), because("a mistake")).await.expect(200);
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 500)).await.expect(200);
    assert_eq!(disputed(&coffer, &payment).await, "5.00");

    // The gateway was first.
    let coffer = Instance::start().await;
    let (_, gateway, payment) = settled(&coffer).await;
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 500)).await.expect(200);
    let first = only(&coffer).await.0;
    let joined = coffer.key().post("/disputes", note(&payment, "5.00", Some("bank-77"))).await.expect(201);
    assert_eq!(
        (joined.id(), &joined.body["noted_reference"]),
        (first["id"].as_str().unwrap(), &json!("bank-77"))
    );
    assert_eq!(disputed(&coffer, &payment).await, "5.00");
    let other = note(&payment, "4.00", Some("bank-78"));
    let refused = coffer.key().post("/disputes", other.clone()).await.refused(409, "payment_disputed");
    assert_eq!(refused.body["dispute_id"], first["id"]);
    coffer
        .key()
        .post("/disputes", note(&payment, "5.00", Some("bank-79")))
        .await
        .refused(409, "payment_disputed");
    let mut separate = other;
    separate["separate"] = true.into();
    coffer.key().post("/disputes", separate).await.expect(201);
    assert_eq!(disputed(&coffer, &payment).await, "9.00");
    assert_eq!(disputes(&coffer, &payment).await.len(), 2);

    // What the bank only asked about has become more.
    let coffer = Instance::start().await;
    let (_, gateway, payment) = settled(&coffer).await;
    tell(&coffer, &gateway, &word("evt_2", "created", "warning_needs_response", 500)).await.expect(200);
    coffer.key().post("/disputes", note(&payment, "5.00", None)).await.expect(201);
    assert_eq!(only(&coffer).await.1, "open 5.00 of 5.00");
}

/// Money that came late, in suspense: its payer's gateway, and its id.
async fn late(coffer: &Instance) -> (String, String) {
    let (_, gateway, payment) = pending(coffer).await;
    tell(coffer, &gateway, &intent("evt_a", "pi_1", "canceled", &payment, 1003, 0)).await.expect(200);
    let id = payment["id"].as_str().unwrap();
    coffer.key().post(&format!("/payments/{id}/cancel"), json!({})).await.expect(200);
    tell(coffer, &gateway, &intent("evt_b", "pi_1", "succeeded", &payment, 1003, 1003)).await.expect(200);
    let list = coffer.key().get("/suspense").await.expect(200);
    coffer.new_events();
    (gateway, list.body["data"][0]["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_a_bank_takes_out_of_suspense_is_nobodys_any_more() {
    let coffer = Instance::start().await;
    let (gateway, item) = late(&coffer).await;
    let bob = user(&coffer, "bob").await;
    let second = another_key(&coffer).await;
    let path = |verb: &str| format!("/suspense/{item}/{verb}");
    let whose = json!({ "user_id": bob, "reason": "the bank names him" });
    coffer.key().post(&path("assign"), whose.clone()).await.expect(200);
    coffer.new_events();
    tell(&coffer, &gateway, &word("evt_c", "created", "needs_response", 1003)).await.expect(200);
    assert_eq!(coffer.new_events(), ["dispute.opened"], "no money of anybody's was taken: nobody is frozen");
    let (dispute, shown) = only(&coffer).await;
    assert_eq!((shown.as_str(), &dispute["settlement_id"]), ("open 10.03 of 10.03", &json!(item)));
    assert_eq!(suspense(&coffer).await, []);
    let gone = agree(&second, &path("approve")).await.refused(409, "invalid_state_transition");
    assert_eq!(gone.body["current_status"], "charged_back");
    for (verb, body) in [("assign", whose.clone()), ("refund", because("nobody's"))] {
        let gone = coffer.key().post(&path(verb), body).await.refused(409, "invalid_state_transition");
        assert_eq!(
            (&gone.body["current_status"], &gone.body["allowed_events"]),
            (&json!("charged_back"), &json!([]))
        );
    }
    // The bank gives it back: it is in suspense as before, and whose it was to become is asked anew.
    tell(&coffer, &gateway, &word("evt_d", "closed", "won", 1003)).await.expect(200);
    assert_eq!(suspense(&coffer).await, [("pi_1".to_owned(), "10.03".to_owned())]);
    agree(&second, &path("approve")).await.refused(409, "invalid_state_transition");
    coffer.key().post(&path("assign"), whose).await.expect(200);
    agree(&second, &path("approve")).await.expect(200);
    assert_eq!(available(&coffer, &bob).await, "10.03");

    // It is his when the bank comes: he has to give it back.
    let coffer = Instance::start().await;
    let (gateway, item) = late(&coffer).await;
    let bob = user(&coffer, "bob").await;
    let whose = json!({ "user_id": bob, "reason": "the bank names him" });
    coffer.key().post(&format!("/suspense/{item}/assign"), whose).await.expect(200);
    agree(&another_key(&coffer).await, &format!("/suspense/{item}/approve")).await.expect(200);
    tell(&coffer, &gateway, &word("evt_c", "closed", "lost", 1003)).await.expect(200);
    assert_eq!(available(&coffer, &bob).await, "0.00");
    assert_eq!(status(&coffer, &bob).await["status"], "frozen");
    let (dispute, shown) = only(&coffer).await;
    assert_eq!((shown.as_str(), &dispute["user_id"]), ("lost 10.03 of 10.03", &json!(bob)));
}

#[tokio::test]
async fn a_refund_out_of_suspense_and_a_bank_do_not_both_take_it() {
    for end in ["won", "lost", "rejected"] {
        let coffer = Instance::start().await;
        set(&coffer, json!({ "payment": { "refund_second_person_above": "5.00" } })).await;
        let (gateway, item) = late(&coffer).await;
        let second = another_key(&coffer).await;
        let refund =
            coffer.key().post(&format!("/suspense/{item}/refund"), because("nobody's")).await.expect(200);
        let path = |verb: &str| format!("/refunds/{}/{verb}", refund.id());
        tell(&coffer, &gateway, &word("evt_c", "created", "needs_response", 1003)).await.expect(200);
        assert_eq!(only(&coffer).await.1, "unbooked 0.00 of 10.03");
        agree(&second, &path("approve")).await.refused(409, "payment_disputed");
        match end {
            "rejected" => {
                drop(decide(&second, &path("reject"), because("the bank has it")).await.expect(200))
            }
            word_of_gateway => {
                tell(&coffer, &gateway, &word("evt_d", "closed", word_of_gateway, 1003)).await.expect(200);
            }
        }
        let left = agree(&second, &path("approve")).await;
        match end {
            "won" => drop(left.expect(200)),
            _ => drop(left.refused(409, "invalid_state_transition")),
        }
        let wanted = match end {
            "won" => "won 0.00 of 10.03",
            "lost" => "lost 10.03 of 10.03",
            _ => "open 10.03 of 10.03",
        };
        assert_eq!(only(&coffer).await.1, wanted);
    }
}

#[tokio::test]
async fn a_person_notes_what_a_bank_took_out_of_suspense() {
    let coffer = Instance::start().await;
    let (_, item) = late(&coffer).await;
    let shown = coffer.key().get("/suspense").await.expect(200).body["data"][0].clone();
    let note = |amount: &str| json!({ "payment_id": shown["payment_id"], "settlement_id": item, "amount": amount, "reason": "recalled" });
    let refused = coffer.key().post("/disputes", note("10.04")).await.refused(422, "dispute_too_large");
    assert_eq!(refused.body["remaining"], "10.03");
    let made = coffer.key().post("/disputes", note("10.03")).await.expect(201);
    assert_eq!(made.body["status"], "open");
    assert_eq!(suspense(&coffer).await, []);
}

/// What a person said it was about was dropped: the user paid, and the item could be paid out besides.
#[tokio::test]
async fn a_dispute_of_money_in_suspense_that_a_gateway_told_of_by_another_name_takes_it_from_there() {
    let coffer = Instance::start().await;
    let (gateway, item) = late(&coffer).await;
    let shown = coffer.key().get("/suspense").await.expect(200).body["data"][0].clone();
    let mut told = word("evt_7", "created", "needs_response", 1003);
    told["data"]["object"]["payment_intent"] = "ch_of_the_same".into();
    tell(&coffer, &gateway, &told).await.expect(200);
    let body = json!({
        "payment_id": shown["payment_id"], "settlement_id": item, "amount": "10.03", "reason": "it is this",
        "reference": "dp_1", "external_id": "case-7", "metadata": { "desk": "2" },
    });
    let found = coffer.key().post("/disputes", body).await.expect(201).body;
    assert_eq!((&found["status"], &found["settlement_id"]), (&json!("open"), &json!(item)));
    assert_eq!((&found["external_id"], &found["metadata"]["desk"]), (&json!("case-7"), &json!("2")));
    assert_eq!(suspense(&coffer).await, []);
}

/// It stayed conflicted for ever: nothing led from there to the end of its payment.
#[tokio::test]
async fn a_deposit_that_was_disputed_before_it_came_can_be_canceled() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = coffer.credentials().sandbox_gateway.clone();
    with_secret(&coffer, &gateway).await;
    let body = json!({ "amount": "10.03", "currency": "USD", "user_id": user });
    let funding = coffer.key().post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap();
    initiate(&coffer, payment, &gateway).await.expect(200);
    let payment = show(&coffer, payment).await;
    tell(&coffer, &gateway, &intent("evt_1", "pi_1", "processing", &payment, 1003, 0)).await.expect(200);
    tell(&coffer, &gateway, &word("evt_2", "created", "needs_response", 1003)).await.expect(200);
    let path = format!("/fundings/{}", funding.id());
    assert_eq!(coffer.key().get(&path).await.expect(200).body["status"], "processing");
    tell(&coffer, &gateway, &intent("evt_3", "pi_1", "canceled", &payment, 1003, 0)).await.expect(200);
    let canceled = coffer.key().post(&format!("{path}/cancel"), json!({})).await.expect(200);
    assert_eq!(canceled.body["status"], "canceled");
    assert_eq!(only(&coffer).await.1, "unbooked 0.00 of 10.03", "a person decides about that");
}
