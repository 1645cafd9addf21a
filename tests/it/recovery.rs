//! What is settled by mail: forgotten passwords, addresses to confirm, sign-ins from somewhere new.

use std::time::Duration;

use coffer::testing::{Answer, CapturedMail, Http, Instance};
use serde_json::{Value, json};

use crate::auth::PASSWORD;

const NEW: &str = "a loud mountain brook";

fn ann() -> Value {
    json!({ "email": "ann@example.com", "password": PASSWORD, "first_name": "Ann", "last_name": "Smith" })
}

async fn login(coffer: &Instance, password: &str) -> Answer {
    let body = json!({ "email": "ann@example.com", "password": password });
    coffer.publishable().post("/auth/login", body).await
}

async fn ask(coffer: &Instance, what: &str, email: &str) -> Answer {
    let who = coffer.publishable().header("host", "evil.example").header("origin", "https://evil.example");
    who.post(&format!("/auth/{what}"), json!({ "email": email })).await
}

async fn reset(coffer: &Instance, token: &str, password: &str) -> Answer {
    let body = json!({ "token": token, "new_password": password });
    coffer.publishable().post("/auth/password/reset", body).await
}

async fn verify(coffer: &Instance, token: &str) -> Answer {
    coffer.publishable().post("/auth/email/verify", json!({ "token": token })).await
}

/// The mails since the last look, by subject.
async fn mails(coffer: &Instance, seen: &mut usize) -> Vec<CapturedMail> {
    coffer.settle().await;
    let all = coffer.mailbox();
    let new = all[*seen..].to_vec();
    *seen = all.len();
    new
}

/// The word that begins with `prefix`, up to where no token goes on.
fn token(mail: &CapturedMail, prefix: &str) -> String {
    let start = mail.text.find(prefix).unwrap_or_else(|| panic!("no {prefix} in {}", mail.text));
    mail.text[start..].split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap().to_owned()
}

async fn website(coffer: &Instance, url: &str) {
    crate::support::set(coffer, json!({ "branding": { "website": url } })).await;
}

fn without_request_id(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("request_id");
    (answer.status, body)
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_whoever_reads_the_mail() {
    let coffer = Instance::start().await;
    website(&coffer, "https://pay.example/").await;
    let registered = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let session = coffer.with(registered.body["access_token"].as_str().unwrap());
    let mut seen = 0;
    mails(&coffer, &mut seen).await;
    coffer.new_events();

    ask(&coffer, "password/forgot", " Ann@Example.com ").await.expect(202);
    assert_eq!(coffer.new_events(), ["auth.password_reset_requested"]);
    let mail = mails(&coffer, &mut seen).await.remove(0);
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("ann@example.com", "Choose a new password"));
    let code = token(&mail, "rst_");
    let link = format!("https://pay.example/reset-password?token={code}");
    assert!(mail.text.contains(&link) && mail.html.contains(&code), "{}", mail.text);
    assert!(!format!("{mail:?}").contains("evil"), "the request says nothing in the mail");
    // The event tells that it was asked for, and no more.
    let feed = coffer.key().get("/events?type=auth.password_reset_requested").await.expect(200);
    assert!(!feed.body.to_string().contains("rst_"), "{:#}", feed.body);
    assert_eq!(feed.body["data"][0]["payload"]["expires_at"], "2026-01-01T00:30:00.000000Z");

    let flawed = reset(&coffer, &code, "short").await.refused(422, "out_of_range");
    assert_eq!(flawed.body["param"], "new_password");
    session.get("/auth/me").await.expect(200);
    reset(&coffer, &code, NEW).await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.email_verified", "auth.password_changed"]);
    session.get("/auth/me").await.refused(401, "unauthenticated");
    let refresh = json!({ "refresh_token": registered.body["refresh_token"] });
    coffer.publishable().post("/auth/refresh", refresh).await.refused(401, "unauthenticated");
    login(&coffer, PASSWORD).await.refused(401, "bad_credentials");
    let again = login(&coffer, NEW).await.expect(200);
    let me = coffer.with(again.body["access_token"].as_str().unwrap()).get("/auth/me").await.expect(200);
    assert_eq!(me.body["email_verified"], true);
    reset(&coffer, &code, PASSWORD).await.refused(410, "mail_token_gone");
    assert_eq!(mails(&coffer, &mut seen).await[0].subject, "Your password was changed");
}

#[tokio::test]
async fn asking_tells_nobody_whether_there_is_an_account() {
    let coffer = Instance::start().await;
    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let off =
        json!({ "email": "off@example.com", "password": PASSWORD, "first_name": "O", "last_name": "F" });
    let off = coffer.publishable().post("/auth/register", off).await.expect(201);
    let off = off.body["user"]["id"].as_str().unwrap().to_owned();
    coffer.key().post(&format!("/users/{off}/disable"), json!({ "reason": "test" })).await.expect(200);
    let mut seen = 0;
    mails(&coffer, &mut seen).await;
    for what in ["password/forgot", "email/resend"] {
        let known = without_request_id(&ask(&coffer, what, "ann@example.com").await.expect(202));
        for other in ["nobody@example.com", "off@example.com", "no address", ""] {
            assert_eq!(without_request_id(&ask(&coffer, what, other).await), known, "{what} {other}");
        }
    }
    let to: Vec<_> = mails(&coffer, &mut seen).await.into_iter().map(|it| it.to).collect();
    assert_eq!(to, ["ann@example.com", "ann@example.com"]);
    coffer.nobody().post("/auth/password/forgot", ann()).await.refused(401, "unauthenticated");
    coffer.publishable().post("/auth/password/forgot", json!({})).await.refused(422, "required");
}

#[tokio::test]
async fn a_mailbox_is_not_filled_and_links_run_out() {
    let coffer = Instance::start().await;
    coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let mut seen = 0;
    mails(&coffer, &mut seen).await;
    for _ in 0..20 {
        ask(&coffer, "password/forgot", "ann@example.com").await.expect(202);
    }
    let first = mails(&coffer, &mut seen).await;
    assert_eq!(first.len(), 5);
    // No web site is configured: the mail carries the code alone.
    assert!(!first[0].text.contains("http"), "{}", first[0].text);
    coffer.advance(Duration::from_secs(3600)).await;
    ask(&coffer, "password/forgot", "ann@example.com").await.expect(202);
    let second = mails(&coffer, &mut seen).await;
    assert_eq!(second.len(), 1);
    reset(&coffer, &token(&first[0], "rst_"), NEW).await.refused(410, "mail_token_gone");
    coffer.advance(Duration::from_secs(30 * 60 - 1)).await;
    reset(&coffer, &token(&second[0], "rst_"), NEW).await.expect(200);
}

#[tokio::test]
async fn a_link_is_good_for_the_address_it_was_sent_to_and_for_one_client() {
    let coffer =
        Instance::builder().configure(|it| it.server.public_url = Some("https://box.example".into()));
    let coffer = coffer.start().await;
    let ann = coffer.publishable().post("/auth/register", ann()).await.expect(201);
    let mut seen = 0;
    mails(&coffer, &mut seen).await;
    ask(&coffer, "password/forgot", "ann@example.com").await.expect(202);
    let mail = mails(&coffer, &mut seen).await.remove(0);
    let code = token(&mail, "rst_");
    assert!(mail.text.contains(&format!("https://box.example/reset-password?token={code}")), "{}", mail.text);

    let other = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let other = coffer.operator().post("/clients", other).await.expect(201);
    let foreign = coffer.with(other.body["publishable_key"].as_str().unwrap());
    let body = json!({ "token": code, "new_password": NEW });
    foreign.post("/auth/password/reset", body).await.refused(410, "mail_token_gone");

    let path = format!("/users/{}", ann.body["user"]["id"].as_str().unwrap());
    coffer.key().patch(&path, 1, json!({ "email": "ann2@example.com" })).await.expect(200);
    let asked = mails(&coffer, &mut seen).await;
    let asked = asked.iter().find(|it| it.to == "ann2@example.com").unwrap();
    verify(&coffer, &token(asked, "vfy_")).await.expect(200);
    reset(&coffer, &code, NEW).await.refused(410, "mail_token_gone");
    login(&coffer, PASSWORD).await.refused(401, "bad_credentials");
}

#[tokio::test]
async fn where_addresses_are_confirmed_first_registering_says_the_same_to_everyone() {
    let coffer = Instance::builder().configure(|it| it.auth.verify_before_tokens = true).start().await;
    website(&coffer, "https://pay.example").await;
    let register = async |body: Value| coffer.publishable().post("/auth/register", body).await;
    coffer.new_events();
    let first = register(ann()).await.expect(202);
    assert_eq!(coffer.new_events(), ["user.registered", "auth.email_verification_requested"]);
    let again = register(ann()).await.expect(202);
    assert_eq!(without_request_id(&first), without_request_id(&again));
    assert_eq!(first.body.get("access_token"), None);
    assert_eq!(coffer.new_events(), ["auth.registration_repeated"]);
    let mut seen = 0;
    let told = mails(&coffer, &mut seen).await;
    let mut subjects: Vec<_> = told.iter().map(|it| it.subject.as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["Confirm your e-mail address", "Welcome to Dev", "You have an account already"]);
    // What is wrong with the rest is said for taken and free addresses alike.
    for email in ["ann@example.com", "new@example.com"] {
        let mut body = ann();
        body["email"] = email.into();
        body["referral_code"] = "00000000".into();
        register(body.clone()).await.refused(422, "referral_unknown");
        body["password"] = "short".into();
        register(body).await.refused(422, "out_of_range");
    }

    for _ in 0..10 {
        login(&coffer, PASSWORD).await.refused(403, "email_unverified");
    }
    login(&coffer, "a wrong password").await.refused(401, "bad_credentials");
    coffer.new_events();
    let first = told.iter().find(|it| it.subject.starts_with("Confirm")).unwrap();
    assert!(first.text.contains("https://pay.example/verify-email?token=vfy_"), "{}", first.text);
    ask(&coffer, "email/resend", "ann@example.com").await.expect(202);
    let second = mails(&coffer, &mut seen).await.remove(0);
    let [first, second] = [first, &second].map(|it| token(it, "vfy_"));
    verify(&coffer, &format!("{second}x")).await.refused(410, "mail_token_gone");
    verify(&coffer, &first.replace("vfy_", "rst_")).await.refused(410, "mail_token_gone");
    let verified = verify(&coffer, &second).await.expect(200);
    assert_eq!(verified.body["email"], "ann@example.com");
    assert_eq!(coffer.new_events(), ["auth.email_verification_requested", "auth.email_verified"]);
    verify(&coffer, &second).await.refused(410, "mail_token_gone");
    verify(&coffer, &first).await.refused(410, "mail_token_gone");
    login(&coffer, PASSWORD).await.expect(200);
    ask(&coffer, "email/resend", "ann@example.com").await.expect(202);
    assert_eq!(mails(&coffer, &mut seen).await, [], "there is nothing left to confirm");
}

#[tokio::test]
async fn signing_in_from_somewhere_new_is_told() {
    let coffer = Instance::start().await;
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    let with = |agent: &str| coffer.publishable().header("user-agent", agent);
    let sign_in = async |who: Http| who.post("/auth/login", body.clone()).await.expect(200);
    with("Firefox").post("/auth/register", ann()).await.expect(201);
    coffer.new_events();
    sign_in(with("Firefox")).await;
    assert_eq!(coffer.new_events(), [""; 0], "the first one is nothing new, nor is the same again");
    let tokens = sign_in(with("curl/8")).await;
    assert_eq!(coffer.new_events(), ["auth.new_device"]);
    sign_in(with("curl/8")).await;
    assert_eq!(coffer.new_events(), [""; 0]);

    coffer.settle().await;
    let mail = coffer.mailbox().pop().unwrap();
    assert_eq!(mail.subject, "A new sign-in to your account");
    assert!(mail.text.contains("127.0.0.1") && !mail.text.contains("curl"), "{}", mail.text);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let told = ann.get("/notifications?topic=security").await.expect(200);
    let data = &told.body["data"][0]["data"];
    let session = ann.get("/auth/me").await.expect(200).body["session_id"].clone();
    assert_eq!(
        (&data["user_agent"], &data["ip"], &data["session_id"]),
        (&json!("curl/8"), &json!("127.0.0.1"), &session)
    );
    coffer.advance(Duration::from_secs(366 * 24 * 3600)).await;
    sign_in(with("Safari")).await;
    assert_eq!(coffer.new_events(), [""; 0], "what was not used for a year is forgotten");
}
