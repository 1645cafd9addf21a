//! What a user asks for it confirms with what was mailed to it: withdrawals, and where they may go.

use std::time::Duration;

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;
use crate::withdrawal::{bank, cash_out, confirm, credit, mailed_code, person, set};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A user with so many USD, and a beneficiary that may be paid.
async fn ann(coffer: &Instance, amount: &str) -> (String, Http, Value) {
    let (user, session) = person(coffer, "ann", &[]).await;
    credit(coffer, &user, amount).await;
    let added =
        session.post("/beneficiaries", json!({ "label": "Mine", "method": bank() })).await.expect(201);
    confirm(coffer, &session, &format!("/beneficiaries/{}", added.id())).await.expect(200);
    let ask = json!({ "amount": "60.00", "currency": "USD", "beneficiary_id": added.id() });
    (user, session, ask)
}

async fn held(user: &Http) -> String {
    user.get("/balances/USD").await.expect(200).body["held"].as_str().unwrap().to_owned()
}

/// A session of today.
async fn again(coffer: &Instance) -> Http {
    let who = json!({ "email": "ann@example.com", "password": PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", who).await.expect(200);
    coffer.with(tokens.body["access_token"].as_str().unwrap())
}

/// As good a code as `code`, but for one character: it begins as that one does.
fn guess(code: &str, number: usize) -> Value {
    let mut guessed = code.to_owned();
    let at = guessed.len() - 9;
    let other = "abcdef".chars().filter(|it| !guessed[at..].starts_with(*it)).nth(number).unwrap();
    guessed.replace_range(at..=at, &other.to_string());
    json!({ "token": guessed })
}

#[tokio::test]
async fn a_user_confirms_its_withdrawal_with_what_was_mailed_once_and_nobody_else_does() {
    let coffer = Instance::start().await;
    let (_, session, ask) = ann(&coffer, "100.00").await;
    let (_, bob) = person(&coffer, "bob", &[]).await;
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let made = session.post("/withdrawals", ask).await.expect(201);
    assert_eq!(made.body["status"], "pending_confirmation");
    assert_eq!(made.body["allowed_events"], json!(["confirm", "reject", "cancel", "expire"]));
    assert_eq!(held(&session).await, "60.00", "from the start");
    let (path, code) = (format!("/withdrawals/{}", made.id()), mailed_code(&coffer).await);
    let mail = coffer.mailbox().into_iter().find(|it| it.text.contains(&code)).unwrap();
    assert_eq!(mail.to, "ann@example.com");
    assert!(mail.text.contains("60.00 USD") && mail.text.contains("Commerzbank …3000"), "{}", mail.text);
    let shown = serde_json::to_string(&coffer.key().get("/events?limit=100").await.expect(200).body).unwrap();
    assert!(!shown.contains("cfm_"), "a secret stands in no event");

    // Nobody approves, or processes, what its user has not confirmed; nobody confirms it for the user.
    let with = json!({ "token": code });
    let confirm = format!("{path}/confirm");
    boss.post(&format!("{path}/approve"), json!({ "revision": 1 }))
        .await
        .refused(409, "invalid_state_transition");
    boss.post(&format!("{path}/process"), json!({})).await.refused(409, "invalid_state_transition");
    for staff in [&boss, &coffer.key()] {
        staff.post(&confirm, with.clone()).await.refused(403, "owner_confirms");
    }
    bob.post(&confirm, with.clone()).await.refused(404, "not_found");
    coffer.publishable().post(&confirm, with.clone()).await.refused(403, "forbidden");
    for wrong in [guess(&code, 0), json!({ "token": "cfm_" }), json!({ "token": "x" })] {
        session.post(&confirm, wrong).await.refused(410, "mail_token_gone");
    }
    coffer.new_events();
    let confirmed = session.post(&confirm, with.clone()).await.expect(200);
    assert_eq!(confirmed.body["status"], "approved");
    assert_eq!(coffer.new_events(), ["withdrawal.confirmed", "withdrawal.approved"]);
    // The very command again changes nothing; another one finds nothing to confirm.
    assert_eq!(session.post(&confirm, with).await.expect(200).body, confirmed.body);
    session.post(&confirm, guess(&code, 1)).await.refused(409, "invalid_state_transition");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}

#[tokio::test]
async fn a_code_is_for_one_withdrawal_and_survives_four_guesses() {
    let coffer = Instance::start().await;
    let (_, session, ask) = ann(&coffer, "200.00").await;
    let first = session.post("/withdrawals", ask.clone()).await.expect(201);
    let first_code = mailed_code(&coffer).await;
    let second = session.post("/withdrawals", ask).await.expect(201);
    let second_code = mailed_code(&coffer).await;
    let confirm = |it: &str| format!("/withdrawals/{it}/confirm");

    // The code of another withdrawal is a guess like any other.
    let other = json!({ "token": first_code });
    session.post(&confirm(second.id()), other.clone()).await.refused(410, "mail_token_gone");
    for number in 0..3 {
        session
            .post(&confirm(second.id()), guess(&second_code, number))
            .await
            .refused(410, "mail_token_gone");
    }
    session.post(&confirm(second.id()), json!({ "token": second_code })).await.expect(200);
    for number in 0..5 {
        session.post(&confirm(first.id()), guess(&first_code, number)).await.refused(410, "mail_token_gone");
    }
    session.post(&confirm(first.id()), other).await.refused(410, "mail_token_gone");
    let path = format!("/withdrawals/{}/cancel", first.id());
    assert_eq!(session.post(&path, json!({})).await.expect(200).body["status"], "canceled");
}

#[tokio::test]
async fn what_is_not_confirmed_in_time_expires_and_gives_the_money_back() {
    let coffer = Instance::start().await;
    let (_, session, ask) = ann(&coffer, "100.00").await;
    let made = session.post("/withdrawals", ask).await.expect(201);
    let (path, code) = (format!("/withdrawals/{}", made.id()), mailed_code(&coffer).await);
    coffer.advance(DAY - Duration::from_secs(1)).await;
    let session = again(&coffer).await;
    assert_eq!(held(&session).await, "60.00");
    coffer.new_events();
    coffer.advance(Duration::from_secs(1)).await;
    assert!(coffer.new_events().contains(&"withdrawal.expired".to_owned()));
    let refused = session.post(&format!("{path}/confirm"), json!({ "token": code })).await;
    assert_eq!(refused.refused(409, "invalid_state_transition").body["current_status"], "expired");
    assert_eq!(held(&session).await, "0.00");
}

#[tokio::test]
async fn after_its_user_people_decide_and_the_rules_are_those_of_then() {
    let coffer = Instance::start().await;
    let (_, session, ask) = ann(&coffer, "100.00").await;
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let made = session.post("/withdrawals", ask).await.expect(201);
    set(&coffer, json!({ "withdrawal": { "automatic_up_to": "50.00" } })).await;
    let path = format!("/withdrawals/{}", made.id());
    coffer.new_events();
    let confirmed = confirm(&coffer, &session, &path).await.expect(200);
    assert_eq!(confirmed.body["status"], "pending_review", "above what is automatic by now");
    assert_eq!(coffer.new_events(), ["withdrawal.confirmed"]);
    let revision = confirmed.body["revision"].clone();
    let approved = boss.post(&format!("{path}/approve"), json!({ "revision": revision })).await.expect(200);
    assert_eq!(approved.body["status"], "approved");
}

#[tokio::test]
async fn without_mail_nobody_has_to_confirm() {
    let builder = Instance::builder().configure(|config| {
        config.modules.entry("notification".to_owned()).or_default().enabled = false;
    });
    let coffer = builder.start().await;
    let (user, session) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &user, "100.00").await;
    let added =
        session.post("/beneficiaries", json!({ "label": "Mine", "method": bank() })).await.expect(201);
    assert_eq!(added.body["status"], "confirmed");
    let ask = json!({ "amount": "60.00", "currency": "USD", "beneficiary_id": added.id() });
    let made = session.post("/withdrawals", ask).await.expect(201);
    assert_eq!(made.body["status"], "approved");
    let path = format!("/withdrawals/{}/confirm", made.id());
    session.post(&path, json!({ "token": "cfm_" })).await.refused(409, "invalid_state_transition");
}

#[tokio::test]
async fn keys_and_staff_answer_for_what_they_ask_for() {
    let coffer = Instance::start().await;
    let (user, _, ask) = ann(&coffer, "500.00").await;
    let made = coffer.key().post("/withdrawals", cash_out(&user, "50.00")).await.expect(201);
    assert_eq!(made.body["status"], "approved");
    let (_, boss) = person(&coffer, "boss", &["admin"]).await;
    let mut asked = ask;
    asked["user_id"] = user.as_str().into();
    assert_eq!(boss.post("/withdrawals", asked).await.expect(201).body["status"], "approved");
    let other = json!({
        "label": "Other", "user_id": user, "method": {
            "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
        },
    });
    let added = coffer.key().post("/beneficiaries", other).await.expect(201);
    assert_eq!(added.body["status"], "confirmed");
}

#[tokio::test]
async fn a_beneficiary_cools_from_its_confirmation_on() {
    let coffer = Instance::start().await;
    set(&coffer, json!({ "withdrawal": { "beneficiary_cooling_hours": 24 } })).await;
    let (user, session) = person(&coffer, "ann", &[]).await;
    let (_, bob) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &user, "100.00").await;
    coffer.settle().await;
    coffer.new_events();
    let body = json!({ "label": "Mine", "method": bank() });
    let added = session.post("/beneficiaries", body.clone()).await.expect(201);
    assert_eq!(coffer.new_events(), ["beneficiary.created", "beneficiary.confirmation_requested"]);
    assert_eq!((&added.body["status"], &added.body["ready_at"]), (&json!("unconfirmed"), &Value::Null));
    assert_eq!(added.body["confirm_by"], "2026-01-02T00:00:00.000000Z");
    let (path, code) = (format!("/beneficiaries/{}", added.id()), mailed_code(&coffer).await);
    let ask = json!({ "amount": "20.00", "currency": "USD", "beneficiary_id": added.id() });
    session.post("/withdrawals", ask.clone()).await.refused(422, "beneficiary_unconfirmed");

    let (confirm, with) = (format!("{path}/confirm"), json!({ "token": code }));
    bob.post(&confirm, with.clone()).await.refused(404, "not_found");
    coffer.key().post(&confirm, with.clone()).await.refused(403, "owner_confirms");
    session.post(&confirm, guess(&code, 0)).await.refused(410, "mail_token_gone");
    coffer.advance(Duration::from_secs(3600)).await;
    let session = again(&coffer).await;
    coffer.new_events();
    let confirmed = session.post(&confirm, with.clone()).await.expect(200);
    assert_eq!(confirmed.body["ready_at"], "2026-01-02T01:00:00.000000Z");
    assert_eq!(coffer.new_events(), ["beneficiary.confirmed"]);
    session.post(&confirm, with).await.refused(409, "beneficiary_confirmed");
    session.post("/withdrawals", ask.clone()).await.refused(422, "beneficiary_not_ready");
    coffer.advance(DAY).await;
    let session = again(&coffer).await;
    assert_eq!(session.post("/withdrawals", ask).await.expect(201).body["status"], "pending_confirmation");

    // One that nobody confirms is removed, and may be added again.
    let other = json!({ "label": "Other", "method": {
        "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    }});
    let added = session.post("/beneficiaries", other.clone()).await.expect(201);
    let code = mailed_code(&coffer).await;
    session.post("/beneficiaries", other.clone()).await.refused(409, "beneficiary_exists");
    coffer.advance(DAY).await;
    let session = again(&coffer).await;
    let path = format!("/beneficiaries/{}", added.id());
    session.post(&format!("{path}/confirm"), json!({ "token": code })).await.refused(404, "not_found");
    session.post("/beneficiaries", other).await.expect(201);
}

/// A session that was stolen made a key, and by it paid out without the mailbox.
#[tokio::test]
async fn through_a_key_one_holds_nothing_is_confirmed_less() {
    let coffer = Instance::start().await;
    let (sue, session) = person(&coffer, "sue", &["admin"]).await;
    credit(&coffer, &sue, "100.00").await;
    let everything = json!({ "name": "all", "scopes": ["*:read", "*:write", "*:approve"] });
    let key = session.post("/api-keys", everything).await.expect(201);
    let key = coffer.with(key.body["secret_key"].as_str().unwrap());
    let inline = cash_out(&sue, "60.00");
    key.post("/withdrawals", inline.clone()).await.refused(422, "beneficiary_required");
    let label = json!({ "label": "Mine", "method": bank(), "user_id": sue });
    let beneficiary = key.post("/beneficiaries", label).await.expect(201);
    assert_eq!(beneficiary.body["ready_at"], Value::Null, "its owner confirms it");
    confirm(&coffer, &session, &format!("/beneficiaries/{}", beneficiary.id())).await.expect(200);
    let ask = json!({
        "amount": "60.00", "currency": "USD", "user_id": sue, "beneficiary_id": beneficiary.id(),
    });
    let asked = key.post("/withdrawals", ask).await.expect(201);
    assert_eq!(asked.body["status"], "pending_confirmation");
    // Of others it is the client's word, as before.
    let (ann, _) = person(&coffer, "ann2", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let asked = key.post("/withdrawals", cash_out(&ann, "60.00")).await.expect(201);
    assert_eq!(asked.body["status"], "approved");
}
