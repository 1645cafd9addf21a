//! Notification in a file of its own, as a server on a disk has it: whatever it is cut off in, an event is told once.
//! What it does for people is tested in `notification.rs` and `channels.rs`, which run in this way too.

use std::time::Duration;

use coffer::testing::Instance;
use serde_json::{Value, json};

use crate::{
    crash::{Installation, Server as Running},
    mail::{Manner, Server},
    withdrawal::person,
};

const ALONE: &str = r#"
[connections.people]
path = "people.redb"
[modules.notification]
database.connection = "people"
"#;

async fn inbox(server: &Running, secret: &str, user: &str) -> Vec<Value> {
    let path = format!("/notifications?user_id={user}");
    let list = server.with_key(secret).get(&path).await.expect(200).body;
    list["data"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_between_the_two_files_an_event_is_told_once() {
    let installation = Installation::configured(ALONE);
    let smtp = Server::start(Manner::Takes).await;
    let settings = [&format!("mail.servers=[\"{}\"]", smtp.url())[..]];
    // The inbox is filled and durable in the one file; the other does not know when the server ends.
    let server = installation.start_with(&settings, Some("after_effect_away")).await;
    let secret = installation.make_client(&server).await;
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    server.with_key(&secret).idempotent("one").try_post("/users", ann.clone()).await;
    server.ended();
    assert!(installation.folder().join("people.redb").exists());

    let server = installation.start_with(&settings, None).await;
    let again = server.with_key(&secret).idempotent("one").post("/users", ann).await.expect(201).body;
    let user = again["id"].as_str().unwrap();
    for _ in 0..1000 {
        let log = server.with_key(&secret).get("/notification-outbox").await.expect(200).body;
        let log = log["data"].as_array().unwrap().clone();
        let waiting = server.with_key(&secret).get("/jobs?status=pending").await;
        let waits = waiting.body["data"].as_array().is_none_or(|it| !it.is_empty());
        if !waits && log.first().is_some_and(|it| it["status"] == "sent") {
            assert_eq!((log.len(), smtp.seen().len()), (1, 1), "one mail");
            assert_eq!(inbox(&server, &secret, user).await.len(), 1, "one notification");
            drop(server);
            installation.verify();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was not told");
}

#[tokio::test]
async fn a_message_to_an_endpoint_is_decided_beside_the_event_wherever_notification_lives() {
    let coffer = Instance::builder().in_own_file("notification").start().await;
    let url = coffer.webhooks().url("/hook");
    let body = json!({ "url": url, "event_types": ["user.*"] });
    let endpoint = coffer.key().post("/webhook-endpoints", body).await.expect(201);
    let path = format!("/webhook-endpoints/{}", endpoint.body["id"].as_str().unwrap());
    coffer.key().post(&format!("{path}/disable"), json!({})).await.expect(200);
    person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    assert_eq!(coffer.webhooks().received().len(), 0);
    coffer.key().post(&format!("{path}/enable"), json!({})).await.expect(200);
    coffer.settle().await;
    let received = coffer.webhooks().received();
    assert!(!received.is_empty() && received.iter().all(|it| it.path == "/hook"), "{received:?}");
    assert_eq!(coffer.problems(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_moves_while_it_is_empty_and_what_stays_beside_the_outbox_does_not_count() {
    let installation = Installation::configured("");
    let server = installation.start().await;
    let secret = installation.make_client(&server).await;
    let hook = json!({ "url": "https://example.com/hook", "event_types": ["user.*"] });
    server.with_key(&secret).post("/webhook-endpoints", hook).await.expect(201);
    server.kill();

    installation.configure(ALONE);
    let server = installation.start().await;
    let endpoints = server.with_key(&secret).get("/webhook-endpoints").await.expect(200).body;
    assert_eq!(endpoints["data"].as_array().unwrap().len(), 1);
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let ann = server.with_key(&secret).post("/users", ann).await.expect(201).body;
    let preferences = "/notification-preferences";
    server
        .with_key(&secret)
        .put(preferences, 0, json!({ "choices": [], "user_id": ann["id"] }))
        .await
        .expect(200);
    server.kill();
    installation.verify();

    installation.configure("");
    let refused = installation.run(&["verify"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{message}");
    assert!(message.contains("modules.notification.database.connection"), "{message}");
}

/// What was canceled between a look at it and its run had its effect, and the job said that it had none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_says_canceled_had_no_effect_in_whatever_file() {
    let coffer = Instance::builder().in_own_file("notification").start().await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let before = ann.get("/notifications").await.expect(200).body["data"].as_array().unwrap().len();
    let key = coffer.key();
    let jobs = async |status: &str| {
        let listed = key.get(&format!("/jobs?status={status}&limit=100")).await.expect(200);
        let listed = listed.body["data"].as_array().unwrap().clone();
        listed.into_iter().filter(|it| it["external"] == false).collect::<Vec<_>>()
    };

    // The file it has its effect in is busy: the job is taken, and does not get on.
    let held = coffer.hold_writer_of("notification");
    let body = json!({ "type": "profit", "amount": "5.00", "currency": "USD", "reason": "bonus", "user_id": user_id(&ann).await });
    key.post("/fundings", body).await.expect(201);
    let taken = loop {
        let running = jobs("processing").await;
        if !running.is_empty() {
            break running;
        }
        tokio::task::yield_now().await;
    };
    for job in &taken {
        let asked =
            key.post(&format!("/jobs/{}/cancel", job["id"].as_str().unwrap()), json!({})).await.expect(200);
        assert_eq!(
            (&asked.body["status"], &asked.body["cancel_requested"]),
            (&json!("processing"), &json!(true))
        );
    }
    drop(held);
    coffer.settle().await;
    for job in &taken {
        let job = key.get(&format!("/jobs/{}", job["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(job.body["status"], "sent", "it came too late: {:#}", job.body);
    }
    assert!(ann.get("/notifications").await.expect(200).body["data"].as_array().unwrap().len() > before);
    assert_eq!(coffer.problems(), Vec::<String>::new());
}

async fn user_id(session: &coffer::testing::Http) -> Value {
    session.get("/auth/me").await.expect(200).body["id"].clone()
}
