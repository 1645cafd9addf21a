//! Webhooks as their receivers and the client's staff see them.

use std::time::Duration;

use coffer::testing::{Answer, Instance, Received, Recorder, Reply};
use serde_json::{Value, json};

use crate::crash::Installation;

const HOUR: u64 = 3600;

async fn endpoint(coffer: &Instance, path: &str, event_types: Value) -> Answer {
    let body = json!({ "url": coffer.webhooks().url(path), "event_types": event_types });
    coffer.key().post("/webhook-endpoints", body).await.expect(201)
}

async fn show(coffer: &Instance, id: &str) -> Value {
    coffer.key().get(&format!("/webhook-endpoints/{id}")).await.expect(200).body
}

async fn verb(coffer: &Instance, id: &str, verb: &str, body: Value) -> Answer {
    coffer.key().post(&format!("/webhook-endpoints/{id}/{verb}"), body).await
}

/// Something that happens: a key is made. Its name tells one from another.
async fn happen(coffer: &Instance) -> String {
    let body = json!({ "name": "something", "scopes": ["users:read"] });
    coffer.key().post("/api-keys", body).await.expect(201).id().to_owned()
}

async fn deliveries(coffer: &Instance, query: &str) -> Vec<Value> {
    let list = coffer.key().get(&format!("/webhook-deliveries{query}")).await.expect(200);
    list.body["data"].as_array().unwrap().clone()
}

async fn advance(coffer: &Instance, seconds: u64) {
    coffer.advance(Duration::from_secs(seconds)).await;
}

fn verifies(received: &Received, secret: &Answer) -> bool {
    let webhook = standardwebhooks::Webhook::new(secret.body["secret"].as_str().unwrap()).unwrap();
    let timestamp = received.header("webhook-timestamp").parse().unwrap();
    let wanted = webhook.sign(received.id(), timestamp, &received.body).unwrap();
    received.header("webhook-signature").split(' ').any(|it| it == wanted)
}

fn outcomes(delivery: &Value) -> Vec<&str> {
    let attempts = delivery["attempts"].as_array().unwrap();
    attempts.iter().map(|it| it["outcome"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_reaches_each_endpoint_that_wants_it_once_and_signed() {
    let coffer = Instance::start().await;
    let wanting = endpoint(&coffer, "/wants", json!(["api_key.*"])).await;
    let everything = endpoint(&coffer, "/everything", json!(["*"])).await;
    endpoint(&coffer, "/other", json!(["withdrawal.completed", "client.*"])).await;
    assert!(wanting.body["secret"].as_str().unwrap().starts_with("whsec_"));
    assert_eq!(show(&coffer, wanting.id()).await.get("secret"), None, "shown once");
    assert_eq!(coffer.new_events(), Vec::<String>::new());

    let key = happen(&coffer).await;
    coffer.settle().await;
    assert_eq!(coffer.new_events(), ["api_key.created"]);
    let received = coffer.webhooks().received();
    let mut paths: Vec<_> = received.iter().map(|it| it.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/everything", "/wants"]);
    assert_eq!(received[0].id(), received[1].id(), "one event, one id");
    for (path, secret, other) in [("/wants", &wanting, &everything), ("/everything", &everything, &wanting)] {
        let message = &coffer.webhooks().at(path)[0];
        assert!(verifies(message, secret) && !verifies(message, other));
        assert_eq!(message.header("content-type"), "application/json");
        assert_eq!(message.header("webhook-timestamp"), "1767225600", "seconds, by the clock of the server");
        let body = message.json();
        assert_eq!((&body["type"], &body["data"]), (&json!("api_key.created"), &json!({ "key_id": key })));
        assert_eq!((&body["id"], &body["entity"]), (&json!(message.id()), &json!(key)));
        assert_eq!(body["client_id"], coffer.credentials().client_id);
    }
    let log = deliveries(&coffer, &format!("?endpoint_id={}", wanting.id())).await;
    assert_eq!((log.len(), &log[0]["status"], outcomes(&log[0])), (1, &json!("sent"), vec!["ok"]));
    assert_eq!(log[0]["attempts"][0]["http_status"], 200);
    assert_eq!(log[0]["webhook_id"], received[0].id());
    assert_eq!(deliveries(&coffer, "").await.len(), 2);
    assert_eq!(deliveries(&coffer, "?event_type=client.created").await.len(), 0);
    assert_eq!(deliveries(&coffer, "?status=failed").await.len(), 0);
}

#[tokio::test]
async fn the_library_of_the_standard_verifies_what_is_sent_now() {
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let now = String::from_utf8(now.stdout).unwrap();
    let coffer = Instance::builder().clock_at(now.trim()).start().await;
    let made = endpoint(&coffer, "/hook", json!(["*"])).await;
    happen(&coffer).await;
    coffer.settle().await;
    let [message] = &coffer.webhooks().received()[..] else { panic!("one message") };
    let mut headers = hyper::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, message.header(name).parse().unwrap());
    }
    let webhook = standardwebhooks::Webhook::new(made.body["secret"].as_str().unwrap()).unwrap();
    webhook.verify(&message.body, &headers).unwrap();
    assert!(webhook.verify(b"{}", &headers).is_err());
}

#[tokio::test]
async fn what_leads_inside_is_refused_when_it_is_registered() {
    let coffer = Instance::builder().configure(|it| it.webhooks.allow_networks.clear()).start().await;
    coffer.names().set("inside.example.com", &["10.0.0.7".parse().unwrap()]);
    coffer.names().set("both.example.com", &["8.8.8.8".parse().unwrap(), "fd00::1".parse().unwrap()]);
    coffer.names().set("good.example.com", &["8.8.8.8".parse().unwrap()]);
    let post = async |url: &str| {
        let body = json!({ "url": url, "event_types": ["*"] });
        coffer.key().post("/webhook-endpoints", body).await
    };
    for url in [
        "http://good.example.com/",
        "https://localhost/",
        "https://inside.example.com/",
        "https://both.example.com/",
        "https://user:word@good.example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://100.64.0.1/",
        "https://192.0.2.1/",
        "https://198.18.0.1/",
        "https://224.0.0.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[2001:db8::1]/",
        "hooks",
    ] {
        post(url).await.refused(422, "url_forbidden");
    }
    let good = post("https://good.example.com/hook").await.expect(201);
    let unknown_yet = post("https://unknown.example.com/hook").await.expect(201);
    assert_eq!(unknown_yet.body["url"], "https://unknown.example.com/hook");
    let path = format!("/webhook-endpoints/{}", good.id());
    let inside = json!({ "url": "https://inside.example.com/" });
    coffer.key().patch(&path, 9, inside.clone()).await.refused(412, "stale_version");
    coffer.key().patch(&path, 1, inside).await.refused(422, "url_forbidden");
}

#[tokio::test]
async fn a_name_that_moves_inside_is_refused_when_it_is_connected_to() {
    let coffer = Instance::start().await;
    let port = coffer.webhooks().port();
    coffer.names().set("hooks.test", &["127.0.0.1".parse().unwrap()]);
    let body = json!({ "url": format!("http://hooks.test:{port}/hook"), "event_types": ["*"] });
    coffer.key().post("/webhook-endpoints", body).await.expect(201);
    happen(&coffer).await;
    coffer.settle().await;
    assert_eq!(coffer.webhooks().take().len(), 1);

    coffer.names().set("hooks.test", &["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()]);
    happen(&coffer).await;
    coffer.settle().await;
    assert_eq!(coffer.webhooks().received(), []);
    let log = deliveries(&coffer, "").await;
    assert_eq!(log[0]["state"], "retry");
    assert_eq!(log[0]["error"], "hooks.test has an address that is not public");

    coffer.names().set("hooks.test", &["127.0.0.1".parse().unwrap()]);
    advance(&coffer, 6).await;
    assert_eq!(coffer.webhooks().received().len(), 1);
}

#[tokio::test]
async fn attempts_follow_the_schedule_and_then_it_is_dead() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["*"])).await;
    coffer.webhooks().reply("/hook", Reply::status(302).header("location", "/elsewhere").body("moved"));
    happen(&coffer).await;
    coffer.settle().await;
    let mut waits = vec![];
    for wait in [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR] {
        let before = coffer.webhooks().received().len();
        coffer.advance(Duration::from_secs(wait) - Duration::from_millis(1)).await;
        assert_eq!(coffer.webhooks().received().len(), before, "not before {wait} s");
        // Jitter only adds, at most a tenth.
        coffer.advance(Duration::from_secs(wait) / 10 + Duration::from_millis(1)).await;
        assert_eq!(coffer.webhooks().received().len(), before + 1, "{wait} s and a tenth");
        waits.push(wait);
    }
    let received = coffer.webhooks().received();
    assert_eq!(received.len(), 10);
    assert!(received.iter().all(|it| it.path == "/hook"), "redirects are not followed");
    assert!(received.iter().all(|it| it.id() == received[0].id() && it.body == received[0].body));
    assert!(received.iter().all(|it| verifies(it, &made)));
    let timestamps: Vec<_> = received.iter().map(|it| it.header("webhook-timestamp")).collect();
    assert!(timestamps.is_sorted() && timestamps[0] != timestamps[9]);

    let log = deliveries(&coffer, "").await;
    assert_eq!((&log[0]["state"], &log[0]["tries_used"]), (&json!("exhausted"), &json!(10)));
    assert_eq!(log[0]["attempts"][9]["http_status"], 302);
    assert_eq!(log[0]["attempts"][9]["response"], "moved");
    assert_eq!(show(&coffer, made.id()).await["health"]["failures"], 10);
    advance(&coffer, 48 * HOUR).await;
    assert_eq!(coffer.webhooks().received().len(), 10);
}

#[tokio::test]
async fn a_receiver_may_ask_for_more_time() {
    let coffer = Instance::start().await;
    endpoint(&coffer, "/hook", json!(["*"])).await;
    coffer.webhooks().reply("/hook", Reply::status(429).header("retry-after", "120"));
    happen(&coffer).await;
    coffer.settle().await;
    advance(&coffer, 119).await;
    assert_eq!(coffer.webhooks().received().len(), 1);
    coffer.webhooks().reply("/hook", Reply::status(503).header("retry-after", "9999999"));
    advance(&coffer, 1).await;
    assert_eq!(coffer.webhooks().received().len(), 2);
    advance(&coffer, 24 * HOUR - 1).await;
    assert_eq!(coffer.webhooks().received().len(), 2);
    advance(&coffer, 1).await;
    assert_eq!(coffer.webhooks().received().len(), 3, "a day is the longest");
}

#[tokio::test]
async fn of_an_answer_two_kibibytes_are_kept() {
    let coffer = Instance::start().await;
    endpoint(&coffer, "/hook", json!(["*"])).await;
    coffer.webhooks().reply("/hook", Reply::status(200).body(vec![b'x'; 1_000_000]));
    happen(&coffer).await;
    coffer.settle().await;
    let log = deliveries(&coffer, "").await;
    assert_eq!(log[0]["status"], "sent");
    assert_eq!(log[0]["attempts"][0]["response"].as_str().unwrap().len(), 2048);
}

#[tokio::test]
async fn an_endpoint_that_hangs_does_not_delay_fifty_healthy_ones() {
    let coffer = Instance::start().await;
    let hanging = endpoint(&coffer, "/hangs", json!(["*"])).await;
    coffer.webhooks().reply("/hangs", Reply::Hang);
    for place in 0..50 {
        endpoint(&coffer, &format!("/{place}"), json!(["*"])).await;
    }
    for _ in 0..4 {
        happen(&coffer).await;
    }
    coffer.webhooks().wait_for(4 * 50 + 2).await;
    assert_eq!(coffer.webhooks().at("/hangs").len(), 2, "two are in flight, no more");
    assert!((0..50).all(|it| coffer.webhooks().at(&format!("/{it}")).len() == 4));
    let query = format!("?endpoint_id={}&status=processing", hanging.id());
    assert_eq!(deliveries(&coffer, &query).await.len(), 2);
}

#[tokio::test]
async fn what_happens_to_one_thing_arrives_in_order_and_other_things_do_not_wait() {
    let coffer = Instance::start().await;
    endpoint(&coffer, "/hook", json!(["api_key.*"])).await;
    coffer.webhooks().reply("/hook", Reply::status(500));
    let key = happen(&coffer).await;
    coffer.settle().await;
    coffer.webhooks().reply("/hook", Reply::status(200));
    coffer.key().post(&format!("/api-keys/{key}/rotate"), json!({})).await.expect(200);
    coffer.key().post(&format!("/api-keys/{key}/revoke"), json!({})).await.expect(200);
    happen(&coffer).await;
    coffer.settle().await;
    let told = |received: &[Received]| -> Vec<(String, bool)> {
        received.iter().map(|it| (it.event_type(), it.json()["entity"] == key.as_str())).collect()
    };
    let created = ("api_key.created".to_owned(), true);
    let other = ("api_key.created".to_owned(), false);
    assert_eq!(told(&coffer.webhooks().take()), [created.clone(), other]);
    advance(&coffer, 6).await;
    let wanted = [created, ("api_key.rotated".to_owned(), true), ("api_key.revoked".to_owned(), true)];
    assert_eq!(told(&coffer.webhooks().take()), wanted);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["*"])).await;
    let path = format!("/webhook-endpoints/{}", made.id());
    coffer.key().patch(&path, 1, json!({ "rate_per_s": 0 })).await.refused(422, "out_of_range");
    coffer.key().patch(&path, 1, json!({ "rate_per_s": 2 })).await.expect(200);
    for _ in 0..7 {
        happen(&coffer).await;
    }
    coffer.settle().await;
    assert_eq!(coffer.webhooks().received().len(), 2);
    for (millis, count) in [(499, 2), (1, 3), (500, 4), (1000, 6), (500, 7)] {
        coffer.advance(Duration::from_millis(millis)).await;
        assert_eq!(coffer.webhooks().received().len(), count);
    }
    assert_eq!(deliveries(&coffer, "?status=sent").await.len(), 7);
}

#[tokio::test]
async fn a_disabled_endpoint_is_tried_with_one_message_and_then_gets_what_waited() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["api_key.*"])).await;
    verb(&coffer, made.id(), "disable", json!({})).await.expect(200);
    verb(&coffer, made.id(), "disable", json!({})).await.expect(200);
    let mut keys = vec![];
    for _ in 0..20 {
        keys.push(happen(&coffer).await);
    }
    coffer.settle().await;
    assert_eq!(coffer.webhooks().received(), []);
    let waiting = deliveries(&coffer, "?status=pending").await;
    assert!(waiting.iter().all(|it| it["state"] == "blocked" && it["error"] == "the endpoint is disabled"));

    coffer.webhooks().reply("/hook", Reply::status(500));
    verb(&coffer, made.id(), "enable", json!({})).await.expect(200);
    coffer.settle().await;
    assert_eq!(coffer.webhooks().take().len(), 1, "one is tried");
    let shown = show(&coffer, made.id()).await;
    assert_eq!(shown["health"]["paused_until"], "2026-01-01T00:01:00.000000Z");

    coffer.webhooks().reply("/hook", Reply::status(200));
    advance(&coffer, 59).await;
    assert_eq!(coffer.webhooks().received(), []);
    advance(&coffer, 1).await;
    let mut told: Vec<_> =
        coffer.webhooks().take().iter().map(|it| it.json()["entity"].as_str().unwrap().to_owned()).collect();
    told.sort();
    keys.sort();
    assert_eq!(told, keys, "each once");
    assert_eq!(show(&coffer, made.id()).await["health"]["failures"], 0);
    let events: Vec<_> = coffer.new_events().into_iter().filter(|it| it.starts_with("webhook")).collect();
    assert_eq!(events, ["webhook_endpoint.disabled", "webhook_endpoint.enabled"]);

    verb(&coffer, made.id(), "disable", json!({})).await.expect(200);
    happen(&coffer).await;
    coffer.settle().await;
    advance(&coffer, 7 * 24 * HOUR).await;
    verb(&coffer, made.id(), "enable", json!({})).await.expect(200);
    coffer.settle().await;
    assert_eq!(deliveries(&coffer, "?status=expired").await.len(), 1, "seven days are enough");
    assert_eq!(coffer.webhooks().received(), []);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_disabled_at_once() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["*"])).await;
    let other = endpoint(&coffer, "/other", json!(["webhook_endpoint.*"])).await;
    coffer.new_events();
    coffer.webhooks().reply("/hook", Reply::status(410));
    happen(&coffer).await;
    coffer.settle().await;
    assert_eq!(coffer.new_events(), ["api_key.created", "webhook_endpoint.disabled"]);
    let shown = show(&coffer, made.id()).await;
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("gone")));
    let told = coffer.webhooks().at("/other");
    assert_eq!(told[0].json()["data"]["webhook_endpoint_id"], made.id());
    assert_eq!(told[0].json()["data"]["reason"], "gone");
    assert!(verifies(&told[0], &other));
    advance(&coffer, HOUR).await;
    assert_eq!(coffer.webhooks().at("/hook").len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_fails_is_paused_warned_of_and_disabled_after_a_day() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["api_key.*"])).await;
    coffer.webhooks().reply("/hook", Reply::status(500));
    for _ in 0..10 {
        happen(&coffer).await;
    }
    coffer.settle().await;
    assert_eq!(coffer.webhooks().take().len(), 10);
    let shown = show(&coffer, made.id()).await;
    assert_eq!(shown["health"]["paused_until"], "2026-01-01T00:00:30.000000Z", "ten of ten failed");
    advance(&coffer, 29).await;
    assert_eq!(coffer.webhooks().take().len(), 0);
    for pause in [1, 60, 120] {
        advance(&coffer, pause).await;
        assert_eq!(coffer.webhooks().take().len(), 1, "one is tried");
    }
    coffer.new_events();
    let mut alarms = vec![];
    // Something happens every quarter of an hour.
    for quarter in 0..104 {
        happen(&coffer).await;
        advance(&coffer, 900).await;
        let new = coffer.new_events().into_iter().filter(|it| it.starts_with("webhook"));
        alarms.extend(new.map(|it| (quarter, it)));
    }
    let names: Vec<_> = alarms.iter().map(|it| it.1.as_str()).collect();
    let warned = "webhook_endpoint.warned";
    assert_eq!(names, [warned, warned, warned, "webhook_endpoint.disabled"], "{alarms:?}");
    assert!(alarms[3].0 >= 95, "not before a day: {alarms:?}");
    let shown = show(&coffer, made.id()).await;
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("failing")));
    coffer.webhooks().take();
    advance(&coffer, HOUR).await;
    assert_eq!(coffer.webhooks().take().len(), 0);

    coffer.webhooks().reply("/hook", Reply::status(200));
    verb(&coffer, made.id(), "enable", json!({})).await.expect(200);
    coffer.settle().await;
    // What waited went at once; what had failed keeps its schedule.
    assert_eq!(
        deliveries(&coffer, "?status=pending").await.iter().filter(|it| it["state"] != "retry").count(),
        0
    );
    advance(&coffer, 27 * HOUR).await;
    assert_eq!(deliveries(&coffer, "?status=pending").await.len(), 0, "everything went");
}

#[tokio::test]
async fn after_a_rotation_both_secrets_sign_for_a_day() {
    let coffer = Instance::start().await;
    let first = endpoint(&coffer, "/hook", json!(["*"])).await;
    let second = verb(&coffer, first.id(), "rotate-secret", json!({})).await.expect(200);
    assert_ne!(first.body["secret"], second.body["secret"]);
    let message = async || {
        happen(&coffer).await;
        coffer.settle().await;
        coffer.webhooks().take().remove(0)
    };
    let both = message().await;
    assert!(verifies(&both, &first) && verifies(&both, &second));
    advance(&coffer, 24 * HOUR).await;
    let late = message().await;
    assert!(!verifies(&late, &first) && verifies(&late, &second));

    let third = verb(&coffer, first.id(), "rotate-secret", json!({ "grace_s": 0 })).await.expect(200);
    let at_once = message().await;
    assert!(!verifies(&at_once, &second) && verifies(&at_once, &third));
    verb(&coffer, first.id(), "rotate-secret", json!({ "grace_s": 604_801 }))
        .await
        .refused(422, "out_of_range");
    for _ in 0..4 {
        verb(&coffer, first.id(), "rotate-secret", json!({})).await.expect(200);
    }
    assert_eq!(show(&coffer, first.id()).await["secrets"].as_array().unwrap().len(), 5);
    verb(&coffer, first.id(), "rotate-secret", json!({})).await.refused(409, "too_many_webhook_secrets");
}

#[tokio::test]
async fn a_message_sent_again_keeps_its_id_and_its_bytes() {
    let coffer = Instance::start().await;
    endpoint(&coffer, "/hook", json!(["*"])).await;
    happen(&coffer).await;
    coffer.settle().await;
    let log = deliveries(&coffer, "").await;
    let path = format!("/webhook-deliveries/{}", log[0]["id"].as_str().unwrap());
    coffer.key().post(&format!("{path}/redeliver"), json!({})).await.expect(202);
    coffer.settle().await;
    let received = coffer.webhooks().received();
    assert_eq!(received.len(), 2);
    assert_eq!((received[0].id(), &received[0].body), (received[1].id(), &received[1].body));
    let shown = coffer.key().get(&path).await.expect(200).body;
    assert_eq!((&shown["status"], outcomes(&shown)), (&json!("sent"), vec!["ok", "ok"]));
}

#[tokio::test]
async fn a_server_that_ends_before_it_notes_an_answer_repeats_the_message_under_the_same_id() {
    let installation = Installation::new();
    let recorder = Recorder::start();
    let loopback = ["webhooks.allow_networks=[\"127.0.0.0/8\"]"];
    let server = installation.start_with(&loopback, Some("after_send_before_ack")).await;
    let secret = installation.make_client(&server).await;
    let hook = json!({ "url": recorder.url("/hook"), "event_types": ["api_key.created"] });
    server.with_key(&secret).post("/webhook-endpoints", hook).await.expect(201);
    // The server may end before it has answered.
    let body = json!({ "name": "something", "scopes": ["users:read"] });
    server.with_key(&secret).idempotent("one").try_post("/api-keys", body).await;
    recorder.wait_for(1).await;
    server.ended();

    let server = installation.start_with(&loopback, None).await;
    let received = recorder.wait_for(2).await;
    assert_eq!((received[0].id(), &received[0].body), (received[1].id(), &received[1].body));
    for _ in 0..500 {
        let log = server.with_key(&secret).get("/webhook-deliveries").await.expect(200).body;
        if log["data"][0]["status"] == "sent" {
            let delivery = &log["data"][0];
            assert_eq!((outcomes(delivery), &delivery["tries_used"]), (vec!["interrupted", "ok"], &json!(1)));
            assert_eq!(recorder.received().len(), 2);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was not acknowledged");
}

#[tokio::test]
async fn a_replay_tells_a_span_of_time_again() {
    let coffer = Instance::start().await;
    let before = happen(&coffer).await;
    advance(&coffer, 60).await;
    let from = coffer.now();
    let missed = happen(&coffer).await;
    let made = endpoint(&coffer, "/hook", json!(["api_key.*"])).await;
    let told = happen(&coffer).await;
    coffer.settle().await;
    advance(&coffer, 60).await;
    let to = coffer.now();
    let after = happen(&coffer).await;
    coffer.settle().await;
    let first = coffer.webhooks().take();
    assert_eq!(first.len(), 2);

    let wrong = json!({ "from": to, "to": from });
    verb(&coffer, made.id(), "replay", wrong).await.refused(422, "out_of_range");
    let wrong = json!({ "from": from, "types": ["nothing.*"] });
    verb(&coffer, made.id(), "replay", wrong).await.refused(422, "invalid_format");
    verb(&coffer, made.id(), "replay", json!({ "from": from, "to": to })).await.expect(202);
    coffer.settle().await;
    let again = coffer.webhooks().take();
    let entities: Vec<_> = again.iter().map(|it| it.json()["entity"].as_str().unwrap().to_owned()).collect();
    assert_eq!(entities.len(), 2, "{entities:?}");
    assert!(entities.contains(&missed) && entities.contains(&told));
    assert!(!entities.contains(&before) && !entities.contains(&after));
    let repeated = again.iter().find(|it| it.json()["entity"] == told.as_str()).unwrap();
    assert_eq!((repeated.id(), &repeated.body), (first[0].id(), &first[0].body));
    assert_eq!(show(&coffer, made.id()).await["replay"], Value::Null, "it is done");

    let others = json!({ "from": from, "types": ["client.*"] });
    verb(&coffer, made.id(), "replay", others).await.expect(202);
    coffer.settle().await;
    assert_eq!(coffer.webhooks().take(), []);
}

#[tokio::test]
async fn a_test_message_is_sent_whatever_state_the_endpoint_is_in() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["withdrawal.*"])).await;
    verb(&coffer, made.id(), "disable", json!({})).await.expect(200);
    coffer.webhooks().reply("/hook", Reply::status(500));
    let test = verb(&coffer, made.id(), "test", json!({})).await.expect(202);
    coffer.settle().await;
    let [message] = &coffer.webhooks().take()[..] else { panic!("one message") };
    assert_eq!((message.event_type().as_str(), message.id()), ("webhook.test", test.id()));
    assert!(verifies(message, &made));
    let shown = coffer.key().get(&format!("/webhook-deliveries/{}", test.id())).await.expect(200).body;
    assert_eq!((&shown["state"], &shown["event_type"]), (&json!("exhausted"), &json!("webhook.test")));
    assert_eq!(show(&coffer, made.id()).await["health"]["failures"], 0);
}

#[tokio::test]
async fn an_endpoint_that_is_deleted_gets_nothing_more() {
    let coffer = Instance::start().await;
    let made = endpoint(&coffer, "/hook", json!(["*"])).await;
    verb(&coffer, made.id(), "disable", json!({})).await.expect(200);
    happen(&coffer).await;
    coffer.settle().await;
    let version = show(&coffer, made.id()).await["version"].as_u64().unwrap();
    coffer.key().delete(&format!("/webhook-endpoints/{}", made.id()), version).await.expect(200);
    happen(&coffer).await;
    coffer.settle().await;
    assert_eq!(coffer.webhooks().received(), []);
    let log = deliveries(&coffer, "").await;
    assert_eq!((log.len(), &log[0]["status"]), (1, &json!("canceled")));
    coffer.key().get(&format!("/webhook-endpoints/{}", made.id())).await.refused(404, "not_found");
}

#[tokio::test]
async fn what_is_wrong_with_an_endpoint_is_said_at_once() {
    let coffer = Instance::start().await;
    let url = coffer.webhooks().url("/hook");
    let post = async |body: Value| coffer.key().post("/webhook-endpoints", body).await;
    let wrong = json!({ "url": url, "event_types": ["withdrawl.completed", "*"], "rate_per_s": 1001 });
    let refused = post(wrong).await.refused(422, "invalid_format");
    let named: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|it| &it["param"]).collect();
    assert_eq!(named, ["event_types[0]", "rate_per_s"]);
    post(json!({ "url": url, "event_types": [] })).await.refused(422, "out_of_range");
    post(json!({ "event_types": ["*"] })).await.refused(422, "required");
    let body = json!({ "url": url, "event_types": ["*"], "external_id": "erp", "metadata": { "a": "b" } });
    let made = post(body.clone()).await.expect(201);
    let refused = post(body).await.refused(409, "external_id_taken");
    assert_eq!(refused.body["existing_id"], made.id());
    coffer.publishable().get("/webhook-endpoints").await.refused(403, "forbidden");
    let list = coffer.key().get("/webhook-endpoints?status=active").await.expect(200);
    assert_eq!(list.body["data"][0]["metadata"], json!({ "a": "b" }));
    assert_eq!(coffer.key().get("/webhook-endpoints?status=disabled").await.body["data"], json!([]));
    let replayed = coffer.key().idempotent("again");
    let body = json!({ "url": url, "event_types": ["*"] });
    replayed.post("/webhook-endpoints", body.clone()).await.expect(201);
    let again = replayed.post("/webhook-endpoints", body).await.expect(201);
    assert_eq!((&again.body["secret"], &again.body["secret_shown"]), (&Value::Null, &json!(true)));
}
