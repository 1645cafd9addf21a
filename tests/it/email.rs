//! Another e-mail address: it is the user's once whoever reads it says so, and nothing is settled by it for a while.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::{
    auth::PASSWORD,
    crash::Installation,
    support::agree,
    withdrawal::{IBAN, bank, credit, mailed_code, person, set},
};

const OLD: &str = "ann@example.com";
const NEW: &str = "ann@example.org";

async fn login(coffer: &Instance, email: &str, password: &str) -> Answer {
    coffer.publishable().post("/auth/login", json!({ "email": email, "password": password })).await
}

async fn signed_in(coffer: &Instance, email: &str) -> Http {
    let tokens = login(coffer, email, PASSWORD).await.expect(200);
    coffer.with(tokens.body["access_token"].as_str().unwrap())
}

async fn change(by: &Http, user: &str, email: &str) -> Answer {
    let path = format!("/users/{user}");
    let version = by.get(&path).await.expect(200).body["version"].as_u64().unwrap();
    by.patch(&path, version, json!({ "email": email })).await
}

/// The last token that was mailed to an address.
async fn token_to(coffer: &Instance, address: &str, prefix: &str) -> String {
    coffer.settle().await;
    let mails = coffer.mailbox();
    let mail = mails.iter().rfind(|it| it.to == address && it.text.contains(prefix)).expect("such a mail");
    let text = &mail.text[mail.text.find(prefix).unwrap()..];
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap().to_owned()
}

async fn verify(coffer: &Instance, address: &str) -> Answer {
    let token = token_to(coffer, address, "vfy_").await;
    coffer.publishable().post("/auth/email/verify", json!({ "token": token })).await
}

fn subjects(coffer: &Instance, address: &str) -> Vec<String> {
    coffer.mailbox().into_iter().filter(|it| it.to == address).map(|it| it.subject).collect()
}

/// Staff once gave a customer an address of their own, chose its password by mail, and confirmed its withdrawal.
#[tokio::test]
async fn who_changes_an_address_settles_nothing_by_it() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let beneficiary = async |label: &str, iban: &str| {
        let mut body = json!({ "label": label, "method": bank() });
        body["method"]["iban"] = iban.into();
        session.post("/beneficiaries", body).await.expect(201).id().to_owned()
    };
    let mine = beneficiary("Mine", IBAN).await;
    let confirm = async |path: String| {
        let token = mailed_code(&coffer).await;
        session.post(&format!("{path}/confirm"), json!({ "token": token })).await
    };
    confirm(format!("/beneficiaries/{mine}")).await.expect(200);
    set(&coffer, json!({ "withdrawal": { "beneficiary_cooling_hours": 24 } })).await;
    coffer.settle().await;
    coffer.new_events();

    let asked = change(&coffer.key(), &ann, NEW).await.expect(200);
    assert_eq!((&asked.body["email"], &asked.body["pending_email"]), (&json!(OLD), &json!(NEW)));
    assert_eq!(coffer.new_events(), ["user.email_change_requested", "auth.email_verification_requested"]);
    coffer.settle().await;
    assert_eq!(subjects(&coffer, NEW), ["Confirm your e-mail address"]);
    assert_eq!(subjects(&coffer, OLD).pop().unwrap(), "Another e-mail address for your account");
    // Until it is confirmed the old one signs in, and is written to.
    login(&coffer, NEW, PASSWORD).await.refused(401, "bad_credentials");
    signed_in(&coffer, OLD).await;
    let forgot = async |email: &str| {
        coffer.publishable().post("/auth/password/forgot", json!({ "email": email })).await.expect(202);
    };
    forgot(OLD).await;
    let before = token_to(&coffer, OLD, "rst_").await;

    coffer.new_events();
    assert_eq!(verify(&coffer, NEW).await.expect(200).body["email"], NEW);
    assert_eq!(coffer.new_events(), ["user.email_changed", "auth.email_verified"]);
    let shown = coffer.key().get(&format!("/users/{ann}")).await.expect(200);
    assert_eq!((&shown.body["email"], &shown.body["pending_email"]), (&json!(NEW), &Value::Null));
    coffer.settle().await;
    assert_eq!(subjects(&coffer, OLD).pop().unwrap(), "Your account has another e-mail address");
    login(&coffer, OLD, PASSWORD).await.refused(401, "bad_credentials");
    login(&coffer, NEW, PASSWORD).await.expect(200);

    // For a day no password is chosen by mail, and nothing is confirmed.
    let reset = async |token: &str| {
        let body = json!({ "token": token, "new_password": "a loud mountain brook" });
        coffer.publishable().post("/auth/password/reset", body).await
    };
    reset(&before).await.refused(410, "mail_token_gone");
    forgot(NEW).await;
    let token = token_to(&coffer, NEW, "rst_").await;
    let refused = reset(&token).await.refused(409, "email_changed_lately");
    assert!(refused.body["until"].as_str().unwrap().starts_with("2026-01-02T00:00:00"), "{:#}", refused.body);
    let ask = json!({ "amount": "20.00", "currency": "USD", "beneficiary_id": mine });
    let asked = session.post("/withdrawals", ask.clone()).await.expect(201);
    assert_eq!(asked.body["status"], "pending_confirmation");
    confirm(format!("/withdrawals/{}", asked.id())).await.refused(409, "email_changed_lately");
    let other = beneficiary("Theirs", "GB29NWBK60161331926819").await;
    confirm(format!("/beneficiaries/{other}")).await.refused(409, "email_changed_lately");

    coffer.advance(Duration::from_secs(24 * 3600)).await;
    forgot(NEW).await;
    reset(&token_to(&coffer, NEW, "rst_").await).await.expect(200);
}

#[tokio::test]
async fn of_somebody_who_decides_two_people_change_the_address() {
    let coffer = Instance::start().await;
    let (sue, session) = person(&coffer, "sue", &["admin"]).await;
    let (tom, second) = person(&coffer, "tom", &["admin"]).await;
    let asked = change(&session, &tom, "mine@example.com").await.expect(200);
    assert_eq!(asked.body["pending_email"], Value::Null);
    let proposal = asked.body["access_proposals"][0].as_str().unwrap();
    let path = format!("/access-proposals/{proposal}");
    let shown = session.get(&path).await.expect(200);
    assert_eq!((&shown.body["kind"], &shown.body["email"]), (&json!("email"), &json!("mine@example.com")));
    coffer.settle().await;
    assert_eq!(subjects(&coffer, "mine@example.com"), [""; 0]);
    let approve = format!("{path}/approve");
    agree(&session, &approve).await.refused(403, "self_approval");
    agree(&second, &approve).await.refused(403, "self_approval");
    agree(&coffer.key(), &approve).await.expect(200);
    let shown = session.get(&format!("/users/{tom}")).await.expect(200);
    assert_eq!(shown.body["pending_email"], "mine@example.com");
    verify(&coffer, "mine@example.com").await.expect(200);

    // One's own takes nobody else.
    let asked = change(&session, &sue, "sue@example.org").await.expect(200);
    assert_eq!(
        (&asked.body["pending_email"], &asked.body["access_proposals"]),
        (&json!("sue@example.org"), &json!([]))
    );
}

#[tokio::test]
async fn a_user_changes_its_own_address_and_changes_its_mind() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    person(&coffer, "bob", &[]).await;
    assert_eq!(change(&session, &ann, NEW).await.expect(200).body["pending_email"], NEW);
    let token = token_to(&coffer, NEW, "vfy_").await;
    let kept = change(&session, &ann, OLD).await.expect(200);
    assert_eq!((&kept.body["email"], &kept.body["pending_email"]), (&json!(OLD), &Value::Null));
    coffer
        .publishable()
        .post("/auth/email/verify", json!({ "token": token }))
        .await
        .refused(410, "mail_token_gone");
    // Whose an address is, only its reader learns; staff are told at once.
    change(&coffer.key(), &ann, "Bob@example.com").await.refused(409, "email_taken");
    change(&session, &ann, "bob@example.com").await.expect(200);
    verify(&coffer, "bob@example.com").await.refused(409, "email_taken");
    signed_in(&coffer, OLD).await;
}

/// A real server: one in memory captures its mails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_mail_staff_change_an_address_at_once_and_users_do_not() {
    let installation = Installation::new();
    let server = installation.start_with(&[], None).await;
    let secret = installation.make_client(&server).await;
    let key = server.with_key(&secret);
    let ann = json!({ "email": OLD, "first_name": "A", "last_name": "B", "password": PASSWORD });
    let ann = key.post("/users", ann).await.expect(201).id().to_owned();
    let sign_in = json!({ "email": OLD, "password": PASSWORD });
    let tokens = key.post("/auth/login", sign_in).await.expect(200);
    let session = server.with_key(tokens.body["access_token"].as_str().unwrap());
    change(&session, &ann, NEW).await.refused(422, "mail_not_configured");
    let moved = change(&key, &ann, NEW).await.expect(200);
    assert_eq!((&moved.body["email"], &moved.body["pending_email"]), (&json!(NEW), &Value::Null));
}

/// Staff gave somebody another address, and a role after it: whoever agreed to the role agreed to the address unseen.
#[tokio::test]
async fn a_role_voids_the_address_that_was_asked_for_before_it() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    change(&coffer.key(), &ann, NEW).await.expect(200);
    let token = token_to(&coffer, NEW, "vfy_").await;
    let path = format!("/users/{ann}");
    assert_eq!(coffer.key().get(&path).await.expect(200).body["pending_email"], NEW);
    let roles = json!({ "roles": ["user", "moderator"] });
    let version = coffer.key().get(&path).await.expect(200).body["version"].as_u64().unwrap();
    coffer.key().put(&format!("{path}/roles"), version, roles).await.expect(200);
    assert_eq!(coffer.key().get(&path).await.expect(200).body["pending_email"], Value::Null);
    let verified = coffer.publishable().post("/auth/email/verify", json!({ "token": token })).await;
    verified.refused(410, "mail_token_gone");
    assert_eq!(coffer.key().get(&path).await.expect(200).body["email"], OLD);
}
