//! The second factor: enrolling, signing in with codes, losing the telephone.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use data_encoding::BASE32;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret};

use crate::auth::PASSWORD;

const HALF_MINUTE: Duration = Duration::from_secs(30);

/// What an authenticator shows at the instance's time, `steps` half minutes from it.
fn code_at(coffer: &Instance, secret: &str, steps: i64) -> String {
    let bytes: [u8; 20] = BASE32.decode(secret.as_bytes()).unwrap().try_into().unwrap();
    let now: jiff::Timestamp = coffer.now().parse().unwrap();
    let at = u64::try_from(now.as_second() + 30 * steps).unwrap();
    let totp = Builder::new().with_secret(Secret::new_stack(bytes)).build().unwrap();
    totp.generate(at).to_string()
}

fn code(coffer: &Instance, secret: &str) -> String {
    code_at(coffer, secret, 0)
}

/// Six digits that are not the code of any half minute nearby.
fn wrong(coffer: &Instance, secret: &str) -> String {
    let near: Vec<String> = (-2..=2).map(|it| code_at(coffer, secret, it)).collect();
    (0..).map(|it| format!("{it:06}")).find(|it| !near.contains(it)).unwrap()
}

async fn register(coffer: &Instance) -> Http {
    let ann = json!({ "email": "ann@example.com", "password": PASSWORD, "first_name": "Ann", "last_name": "Smith" });
    session(coffer, &coffer.publishable().post("/auth/register", ann).await.expect(201))
}

async fn login(coffer: &Instance) -> Answer {
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    coffer.publishable().post("/auth/login", body).await
}

async fn challenge(coffer: &Instance) -> String {
    login(coffer).await.expect(200).body["challenge"].as_str().unwrap().to_owned()
}

async fn answer(coffer: &Instance, challenge: &str, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code });
    coffer.publishable().post("/auth/login/totp", body).await
}

fn session(coffer: &Instance, tokens: &Answer) -> Http {
    coffer.with(tokens.body["access_token"].as_str().unwrap())
}

async fn send(who: &Http, path: &str, code: &str) -> Answer {
    who.post(path, json!({ "code": code })).await
}

/// The secret, and the recovery codes.
async fn enroll(coffer: &Instance, who: &Http) -> (String, Vec<String>) {
    let made = who.post("/auth/totp/enroll", json!({ "password": PASSWORD })).await.expect(200);
    let secret = made.body["secret"].as_str().unwrap().to_owned();
    let codes = send(who, "/auth/totp/confirm", &code(coffer, &secret)).await.expect(200);
    coffer.advance(HALF_MINUTE).await;
    (secret, codes.body["codes"].as_array().unwrap().iter().map(text).collect())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn with_a_second_factor_a_password_opens_nothing_by_itself() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let other = session(&coffer, &login(&coffer).await.expect(200));
    coffer.new_events();
    let wrong_password = json!({ "password": "something else" });
    ann.post("/auth/totp/enroll", wrong_password).await.refused(401, "bad_credentials");
    let made = ann.post("/auth/totp/enroll", json!({ "password": PASSWORD })).await.expect(200);
    let secret = text(&made.body["secret"]);
    assert!(text(&made.body["url"]).contains(&format!("ann%40example%2Ecom?secret={secret}")));
    assert!(login(&coffer).await.expect(200).body.get("access_token").is_some(), "not in force yet");
    send(&ann, "/auth/totp/confirm", &wrong(&coffer, &secret)).await.refused(401, "bad_code");
    assert_eq!(coffer.new_events(), [""; 0]);

    let confirmed = send(&ann, "/auth/totp/confirm", &code(&coffer, &secret)).await.expect(200);
    assert_eq!(confirmed.body["codes"].as_array().unwrap().len(), 10);
    assert_eq!(coffer.new_events(), ["auth.totp_enabled"]);
    other.get("/auth/me").await.refused(401, "unauthenticated");
    let me = ann.get("/auth/me").await.expect(200);
    assert_eq!((&me.body["totp_enabled"], &me.body["recovery_codes_left"]), (&json!(true), &json!(10)));
    ann.post("/auth/totp/enroll", json!({ "password": PASSWORD })).await.refused(409, "totp_enabled");
    let audit = coffer.key().get("/audit").await.expect(200).body.to_string();
    assert!(!audit.contains(&secret), "{audit}");

    let half = login(&coffer).await.expect(200);
    assert_eq!(half.body["mfa_required"], true);
    assert_eq!(half.body.get("access_token"), None);
    let challenge = text(&half.body["challenge"]);
    coffer.with(&challenge).get("/auth/me").await.refused(401, "unauthenticated");
    answer(&coffer, &challenge, &code(&coffer, &secret)).await.refused(401, "bad_code");
    coffer.advance(HALF_MINUTE).await;
    let tokens = answer(&coffer, &challenge, &code(&coffer, &secret)).await.expect(200);
    session(&coffer, &tokens).get("/auth/me").await.expect(200);
    coffer.advance(HALF_MINUTE).await;
    answer(&coffer, &challenge, &code(&coffer, &secret)).await.refused(410, "challenge_gone");
}

#[tokio::test]
async fn a_code_is_taken_once_and_none_from_before_it() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let (secret, _) = enroll(&coffer, &ann).await;
    coffer.advance(2 * HALF_MINUTE).await;
    let early = code_at(&coffer, &secret, -2);
    let (before, now, next) =
        (code_at(&coffer, &secret, -1), code(&coffer, &secret), code_at(&coffer, &secret, 1));
    let first = challenge(&coffer).await;
    answer(&coffer, &first, &early).await.refused(401, "bad_code");
    answer(&coffer, &first, &now).await.expect(200);
    let second = challenge(&coffer).await;
    for replayed in [&now, &before] {
        answer(&coffer, &second, replayed).await.refused(401, "bad_code");
    }
    send(&ann, "/auth/totp/disable", &now).await.refused(401, "bad_code");
    answer(&coffer, &second, &next).await.expect(200);
    answer(&coffer, &challenge(&coffer).await, &next).await.refused(401, "bad_code");
}

#[tokio::test]
async fn guesses_are_bounded_by_the_challenge_by_time_and_by_the_account() {
    let coffer = Instance::builder().configure(|it| it.auth.sign_in_attempts = 8).start().await;
    let ann = register(&coffer).await;
    let (secret, _) = enroll(&coffer, &ann).await;
    let late = challenge(&coffer).await;
    coffer.advance(Duration::from_secs(5 * 60)).await;
    answer(&coffer, &late, &code(&coffer, &secret)).await.refused(410, "challenge_gone");

    let guess = wrong(&coffer, &secret);
    let first = challenge(&coffer).await;
    for _ in 0..5 {
        answer(&coffer, &first, &guess).await.refused(401, "bad_code");
    }
    answer(&coffer, &first, &code(&coffer, &secret)).await.refused(410, "challenge_gone");
    let second = challenge(&coffer).await;
    for _ in 0..3 {
        answer(&coffer, &second, &guess).await.refused(401, "bad_code");
    }
    let right = code(&coffer, &secret);
    let locked = answer(&coffer, &challenge(&coffer).await, &right).await.refused(429, "account_locked");
    assert_eq!(locked.headers["retry-after"], "900");
    send(&ann, "/auth/totp/disable", &right).await.refused(429, "account_locked");
    coffer.advance(Duration::from_secs(900)).await;
    answer(&coffer, &challenge(&coffer).await, &code(&coffer, &secret)).await.expect(200);
}

#[tokio::test]
async fn a_hundred_guesses_at_once_get_no_further_than_a_hundred_in_a_row() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let (secret, _) = enroll(&coffer, &ann).await;
    let (first, guess) = (challenge(&coffer).await, wrong(&coffer, &secret));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (http, body) = (coffer.publishable(), json!({ "challenge": first, "code": guess }));
        running.spawn(async move { http.post("/auth/login/totp", body).await.status });
    }
    let answers = running.join_all().await;
    assert_eq!(answers.iter().filter(|it| **it == 401).count(), 5, "{answers:?}");
    assert!(answers.iter().all(|it| [401, 410, 429].contains(it)), "{answers:?}");
}

#[tokio::test]
async fn a_recovery_code_works_once_and_new_ones_void_the_old() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let (secret, codes) = enroll(&coffer, &ann).await;
    coffer.new_events();
    let typed = codes[0].to_uppercase().replace('-', " ");
    answer(&coffer, &challenge(&coffer).await, &typed).await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.recovery_code_used"]);
    answer(&coffer, &challenge(&coffer).await, &codes[0]).await.refused(401, "bad_code");
    assert_eq!(ann.get("/auth/me").await.expect(200).body["recovery_codes_left"], 9);

    let made = send(&ann, "/auth/recovery-codes", &code(&coffer, &secret)).await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.recovery_codes_made"]);
    answer(&coffer, &challenge(&coffer).await, &codes[1]).await.refused(401, "bad_code");
    let new = text(&made.body["codes"][0]);
    let tokens = answer(&coffer, &challenge(&coffer).await, &new).await.expect(200);

    let second = session(&coffer, &tokens);
    coffer.new_events();
    send(&ann, "/auth/totp/disable", &text(&made.body["codes"][1])).await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.totp_disabled"]);
    second.get("/auth/me").await.refused(401, "unauthenticated");
    send(&ann, "/auth/totp/disable", &text(&made.body["codes"][2])).await.refused(401, "bad_code");
    assert!(login(&coffer).await.expect(200).body.get("access_token").is_some());
}

#[tokio::test]
async fn a_password_that_changes_voids_the_challenge() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let (secret, _) = enroll(&coffer, &ann).await;
    let challenge = challenge(&coffer).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "a loud mountain brook" });
    ann.post("/auth/password/change", change).await.expect(200);
    answer(&coffer, &challenge, &code(&coffer, &secret)).await.refused(410, "challenge_gone");
}

#[tokio::test]
async fn staff_take_the_factor_of_somebody_away_who_may_do_no_more_than_they() {
    let coffer = Instance::start().await;
    let ann = register(&coffer).await;
    let id = text(&ann.get("/auth/me").await.expect(200).body["id"]);
    enroll(&coffer, &ann).await;
    let path = format!("/users/{id}/reset-totp");
    let because = json!({ "reason": "lost the telephone" });
    ann.post(&path, because.clone()).await.refused(403, "forbidden");
    coffer.new_events();
    coffer.key().post(&path, because.clone()).await.expect(200);
    assert_eq!(coffer.new_events(), ["auth.totp_disabled"]);
    ann.get("/auth/me").await.refused(401, "unauthenticated");
    coffer.key().post(&path, because).await.refused(409, "totp_disabled");
    assert!(login(&coffer).await.expect(200).body.get("access_token").is_some());
}

#[tokio::test]
async fn operators_have_the_same_and_a_set_up_link_leads_back_in() {
    let coffer = Instance::start().await;
    let setup = || async {
        text(&coffer.operator().post("/operator/setup-link", json!({})).await.expect(201).body["setup_token"])
    };
    let claim = |token: String| {
        let body = json!({ "setup_token": token, "email": "root@example.com", "password": PASSWORD });
        let nobody = coffer.nobody();
        async move { nobody.post("/operator/claim", body).await.expect(200) }
    };
    let login = || async {
        let body = json!({ "email": "root@example.com", "password": PASSWORD });
        coffer.nobody().post("/operator/login", body).await.expect(200)
    };
    let root = coffer.with(&text(&claim(setup().await).await.body["token"]));
    let other = coffer.with(&text(&login().await.body["token"]));
    let password = json!({ "password": PASSWORD });
    coffer.operator().post("/operator/totp/enroll", password.clone()).await.refused(403, "session_required");
    let secret = text(&root.post("/operator/totp/enroll", password).await.expect(200).body["secret"]);
    let codes = send(&root, "/operator/totp/confirm", &code(&coffer, &secret)).await.expect(200);
    other.get("/operator/tokens").await.refused(401, "unauthenticated");

    let challenge = text(&login().await.body["challenge"]);
    let reply = |challenge: &str, code: &str| {
        let (nobody, body) = (coffer.nobody(), json!({ "challenge": challenge, "code": code }));
        async move { nobody.post("/operator/login/totp", body).await }
    };
    reply(&challenge, &code(&coffer, &secret)).await.refused(401, "bad_code");
    let recovery = text(&codes.body["codes"][3]);
    let signed_in = reply(&challenge, &recovery).await.expect(200);
    coffer.with(&text(&signed_in.body["token"])).get("/operator/tokens").await.expect(200);
    reply(&challenge, &recovery).await.refused(410, "challenge_gone");
    // A challenge of an operator is nothing to a user's sign-in.
    let challenge = text(&login().await.body["challenge"]);
    answer(&coffer, &challenge, &text(&codes.body["codes"][4])).await.refused(410, "challenge_gone");

    coffer.advance(HALF_MINUTE).await;
    let made = send(&root, "/operator/totp/recovery-codes", &code(&coffer, &secret)).await.expect(200);
    send(&root, "/operator/totp/disable", &text(&codes.body["codes"][4])).await.refused(401, "bad_code");
    send(&root, "/operator/totp/disable", &text(&made.body["codes"][0])).await.expect(200);
    assert!(login().await.body.get("token").is_some());

    let password = json!({ "password": PASSWORD });
    let secret = text(&root.post("/operator/totp/enroll", password).await.expect(200).body["secret"]);
    send(&root, "/operator/totp/confirm", &code(&coffer, &secret)).await.expect(200);
    assert_eq!(login().await.body["mfa_required"], true);
    claim(setup().await).await;
    assert!(login().await.body.get("token").is_some(), "whoever has the machine comes in");
}

/// Whoever had lost the password and the authenticator got a new password, and was still asked for a code.
#[tokio::test]
async fn an_operator_who_lost_the_authenticator_is_helped_by_another() {
    let coffer = Instance::start().await;
    let someone = json!({ "email": "night@example.com", "password": PASSWORD });
    coffer.operator().post("/operator/operators", someone.clone()).await.expect(201);
    let login = || async { coffer.nobody().post("/operator/login", someone.clone()).await.expect(200) };
    let night = coffer.with(&text(&login().await.body["token"]));
    let password = json!({ "password": PASSWORD });
    let secret = text(&night.post("/operator/totp/enroll", password).await.expect(200).body["secret"]);
    send(&night, "/operator/totp/confirm", &code(&coffer, &secret)).await.expect(200);
    assert_eq!(login().await.body["mfa_required"], true);

    let path = "/operator/operators/reset-2fa";
    let named = |email: &str| json!({ "email": email });
    coffer.key().post(path, named("night@example.com")).await.refused(403, "forbidden");
    coffer.operator().post(path, named("day@example.com")).await.refused(404, "not_found");
    for _ in 0..2 {
        let reset = coffer.operator().post(path, named("Night@example.com")).await.expect(200);
        assert_eq!(reset.body["email"], "night@example.com");
    }
    night.get("/operator/tokens").await.refused(401, "unauthenticated");
    assert!(login().await.body.get("token").is_some());
}
