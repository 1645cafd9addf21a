//! Events, jobs and queues, as keys, staff and operators see them.

use std::time::{Duration, Instant as Wall};

use coffer::testing::{Failpoint, Http, Instance};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

async fn user(coffer: &Instance, name: &str) -> String {
    let body = json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "Lee" });
    coffer.key().post("/users", body).await.expect(201).id().to_owned()
}

fn types(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect()
}

/// Another client's secret key.
async fn stranger(coffer: &Instance) -> Http {
    let body = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let client = coffer.operator().post("/clients", body).await.expect(201);
    coffer.with(client.body["secret_key"].as_str().unwrap())
}

#[tokio::test]
async fn a_key_reads_its_clients_events_and_nobody_elses() {
    let coffer = Instance::start().await;
    let ann = user(&coffer, "ann").await;
    let feed = coffer.key().get(&format!("/events?type=user.*&entity={ann}")).await.expect(200);
    assert_eq!(types(&feed.body), ["user.registered"]);
    let event = &feed.body["data"][0];
    assert_eq!((&event["entity"], &event["payload"]["user_id"]), (&json!(ann), &json!(ann)));
    let path = format!("/events/{}", event["id"].as_str().unwrap());
    assert_eq!(coffer.key().get(&path).await.expect(200).body["type"], "user.registered");

    coffer.nobody().get("/events").await.refused(401, "unauthenticated");
    coffer.publishable().get("/events").await.refused(403, "forbidden");
    coffer.publishable().get("/jobs").await.refused(403, "forbidden");
    let other = stranger(&coffer).await;
    let seen = other.get("/events").await.expect(200);
    assert!(!types(&seen.body).contains(&"user.registered"));
    other.get(&path).await.refused(404, "not_found");
    other.get(&format!("{path}/timeline")).await.refused(404, "not_found");
}

#[tokio::test]
async fn every_event_type_has_a_schema_and_its_listeners() {
    let coffer = Instance::start().await;
    let all = coffer.publishable().get("/event-types").await.expect(200);
    let all = all.body["data"].as_array().unwrap();
    assert!(all.len() > 20);
    for it in all {
        assert_eq!(it["schema"]["type"], "object", "{it:#}");
        assert!(it["listeners"].is_array() && it["version"].is_u64(), "{it:#}");
    }
    let names: Vec<_> = all.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert!(names.iter().all(|it| it.contains('.')) && names.is_sorted(), "{names:?}");
}

#[tokio::test]
async fn a_stream_brings_events_as_they_happen_and_ends_with_the_server() {
    let coffer = Instance::start().await;
    let before = user(&coffer, "before").await;
    let feed = coffer.key().get(&format!("/events?entity={before}")).await.expect(200);
    let last = feed.body["data"][0]["id"].as_str().unwrap();
    let address = coffer.base_url().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/v1/events/stream?type=user.registered HTTP/1.1\r\nhost: x\r\nlast-event-id: {last}\r\n\
         authorization: Bearer {}\r\n\r\n",
        coffer.credentials().secret_key
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (ann, bob) = (user(&coffer, "ann").await, user(&coffer, "bob").await);
    let mut text = String::new();
    while !text.contains(&bob) {
        let mut piece = [0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(30), stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "{text}");
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(text.contains("content-type: text/event-stream") && text.contains(&ann), "{text}");
    assert!(!text.contains(&before), "what was seen does not come again");

    let began = Wall::now();
    drop(coffer);
    let mut rest = vec![];
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_client_holds_back_its_own_queue_and_an_operator_everybodys() {
    let coffer = Instance::start().await;
    let paused = coffer.key().post("/queues/default/pause", json!({})).await.expect(200);
    assert_eq!(paused.body["status"], "paused");
    let other = stranger(&coffer).await;
    let queues = other.get("/queues").await.expect(200);
    assert!(queues.body["data"].as_array().unwrap().iter().all(|it| it["status"] == "running"));
    coffer.operator().post("/queues/default/pause", json!({})).await.expect(200);
    let queues = other.get("/queues").await.expect(200);
    assert!(queues.body["data"].as_array().unwrap().iter().any(|it| it["status"] == "paused"));
    coffer.operator().post("/queues/default/resume", json!({})).await.expect(200);
    coffer.key().post("/queues/default/resume", json!({})).await.expect(200);
    coffer.key().post("/queues/nowhere/pause", json!({})).await.refused(404, "not_found");
    coffer.key().get("/schedules").await.refused(403, "forbidden");
    coffer.operator().get("/schedules").await.expect(200);
}

#[tokio::test]
async fn a_test_can_let_the_server_fail() {
    let coffer = Instance::start().await;
    let body = json!({ "point": "before_claim_commit", "times": 1 });
    coffer.operator().post("/testing/faults", body).await.expect(200);
    coffer.fail_next(Failpoint::BeforeClaimCommit, 0);
    let nowhere = json!({ "point": "nowhere", "times": 1 });
    coffer.operator().post("/testing/faults", nowhere).await.refused(422, "invalid_format");
    coffer.drain().await;
    coffer.refute_enqueued("nothing");
}
