//! Short messages, through a provider that the test is.

use std::{os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use coffer::{
    config::Config,
    testing::{Instance, Recorder, Reply},
};
use serde_json::{Value, json};

const SECRET: &str = "token-of-the-provider";

/// Registers somebody with a telephone who wants to hear of deposits by short message, and gives it 5 USD. Its id.
pub async fn tell_by_sms(coffer: &Instance) -> String {
    let ann = json!({
        "email": "ann@example.com", "password": crate::auth::PASSWORD, "first_name": "Ann", "last_name": "Lee",
        "phone": "+43 660 1234567",
    });
    let tokens = coffer.publishable().post("/auth/register", ann).await.expect(201);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    let choice = json!([{ "topic": "fundings", "channel": "sms", "enabled": true }]);
    ann.put("/notification-preferences", 0, json!({ "choices": choice })).await.expect(200);
    let id = tokens.body["user"]["id"].as_str().unwrap().to_owned();
    let profit = json!({
        "amount": "5.00", "currency": "USD", "user_id": id, "type": "profit", "reason": "for the test",
    });
    coffer.key().post("/fundings", profit).await.expect(201);
    coffer.settle().await;
    id
}

async fn through(provider: &Recorder, folder: &Path, change: impl FnOnce(&mut Config)) -> Instance {
    let secret = folder.join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let url = provider.url("/v1/messages");
    let configure = |config: &mut Config| {
        config.sms.url = Some(url);
        config.sms.secret_file = Some(secret);
        config.sms.headers = vec![
            "Authorization: Bearer {{ secret }}".parse().unwrap(),
            "Content-Type: application/x-www-form-urlencoded".parse().unwrap(),
            "X-Reference: {{ id }}".parse().unwrap(),
        ];
        config.sms.body = "To={{ to|urlencode }}&Body={{ text|urlencode }}".into();
        change(config);
    };
    Instance::builder().configure(configure).start().await
}

async fn outbox(coffer: &Instance) -> Vec<Value> {
    let list = coffer.key().get("/notification-outbox?channel=sms").await.expect(200);
    list.body["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_message_has_the_form_the_provider_wants_and_comes_again_until_it_is_taken() {
    let (provider, folder) = (Recorder::start(), tempfile::tempdir().unwrap());
    let coffer = through(&provider, folder.path(), |_| {}).await;
    provider.reply("/v1/messages", Reply::status(503).body(format!("busy, {SECRET}")));
    let ann = tell_by_sms(&coffer).await;
    let [first] = &provider.take()[..] else { panic!("one request") };
    assert_eq!(first.header("authorization"), format!("Bearer {SECRET}"));
    assert_eq!(first.header("content-type"), "application/x-www-form-urlencoded");
    let body = String::from_utf8(first.body.clone()).unwrap();
    assert!(body.starts_with("To=%2B43") && body.contains("Body=5.00%20USD%20has%20arrived"), "{body}");
    // The money is there, whatever becomes of the message.
    let balance = coffer.key().get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
    assert_eq!(balance.body["available"], "5.00");

    coffer.advance(Duration::from_secs(29)).await;
    assert_eq!(provider.received(), []);
    provider.reply("/v1/messages", Reply::status(201).body("queued"));
    coffer.advance(Duration::from_secs(1)).await;
    let [second] = &provider.take()[..] else { panic!("one request") };
    assert_eq!((&second.body, second.header("x-reference")), (&first.body, first.header("x-reference")));
    let [sent] = &outbox(&coffer).await[..] else { panic!("one message") };
    assert_eq!(
        (sent["status"].as_str(), sent["id"].as_str()),
        (Some("sent"), Some(first.header("x-reference")))
    );
    let attempts: Vec<_> =
        sent["attempts"].as_array().unwrap().iter().map(|it| (&it["outcome"], &it["http_status"])).collect();
    assert_eq!(attempts, [(&json!("failed"), &json!(503)), (&json!("ok"), &json!(201))]);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(provider.received(), [], "what was taken does not come again");
    // Other channels saw nothing of it.
    let mails = coffer.mailbox();
    assert_eq!(mails.iter().filter(|it| it.subject == "5.00 USD has arrived").count(), 1);
}

#[tokio::test]
async fn the_providers_token_stands_in_nothing_that_is_shown() {
    let (provider, folder) = (Recorder::start(), tempfile::tempdir().unwrap());
    let coffer = through(&provider, folder.path(), |config| {
        config.sms.url = config.sms.url.as_ref().map(|it| format!("{it}?account=7"));
    })
    .await;
    provider.reply("/v1/messages", Reply::status(401).body(format!("wrong token: {SECRET}")));
    tell_by_sms(&coffer).await;
    assert_eq!(provider.received().len(), 1);
    for path in ["/notification-outbox", "/jobs", "/events"] {
        let shown = coffer.key().get(path).await.expect(200).body.to_string();
        assert!(!shown.contains(SECRET), "{path}: {shown}");
    }
    drop(provider);
    coffer.advance(Duration::from_secs(30)).await;
    let [waiting] = &outbox(&coffer).await[..] else { panic!("one message") };
    let error = waiting["error"].as_str().unwrap();
    assert!(!error.contains("account=7") && !error.contains("http://"), "{error}");
}

#[tokio::test]
async fn a_number_that_the_provider_refuses_is_not_tried_again() {
    let (provider, folder) = (Recorder::start(), tempfile::tempdir().unwrap());
    let coffer = through(&provider, folder.path(), |_| {}).await;
    provider.reply("/v1/messages", Reply::status(422).body("no such number"));
    tell_by_sms(&coffer).await;
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(provider.received().len(), 1);
    let [failed] = &outbox(&coffer).await[..] else { panic!("one message") };
    assert_eq!((&failed["status"], &failed["state"]), (&json!("failed"), &json!("rejected")));
}
