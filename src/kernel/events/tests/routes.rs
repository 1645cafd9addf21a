//! What operators see and do over HTTP, as the command line does: through the router, without a socket.

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::kernel::api::{dispatch, dispatch::Peer};

fn client(number: u8) -> ClientId {
    ClientId::from_bytes([number; 16])
}

fn request(method: &str, path: &str, inside: Option<u8>) -> hyper::http::request::Builder {
    let peer = Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("content-type", "application/json")
        .extension(peer);
    if let Some(number) = inside {
        request = request.header("x-client-id", client(number).to_string());
    }
    request
}

impl Server {
    async fn call(&self, method: &str, path: &str, inside: Option<u8>, body: Value) -> (u16, Value) {
        self.kernel.claimed.store(true, std::sync::atomic::Ordering::SeqCst);
        let body = if method == "GET" { Body::empty() } else { Body::from(body.to_string()) };
        let request = request(method, path, inside).body(body).unwrap();
        let response = dispatch::router(&self.kernel).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    async fn get(&self, path: &str, inside: Option<u8>) -> Value {
        let (status, body) = self.call("GET", path, inside, Value::Null).await;
        assert_eq!(status, 200, "{body:#}");
        body
    }

    async fn post(&self, path: &str, inside: Option<u8>) -> (u16, Value) {
        self.call("POST", path, inside, json!({})).await
    }

    async fn settled(self: &Arc<Self>) {
        let server = self.clone();
        tokio::task::spawn_blocking(move || server.settle()).await.unwrap();
    }
}

fn failing_until_allowed(boot: &mut Boot) {
    boot.listen::<Counted>("test.fail", Mode::Queue, |tx, _, event| {
        match tx.get(&COUNTS, &"allowed".to_owned())? {
            Some(_) => add(tx, "heard"),
            None => Err(fault!("no {}", event.number)),
        }
    });
}

fn server(settings: &[(&str, &str)]) -> Arc<Server> {
    Arc::new(Server::configured(settings, failing_until_allowed))
}

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list["data"].as_array().unwrap().iter().map(|it| it[field].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_says_what_an_event_carries_and_who_hears_it() {
    let server = server(&[("events.test_counted.priority", "high"), ("events.tries", "7")]);
    let types = server.get("/event-types", None).await;
    assert_eq!(texts(&types, "name"), ["test.counted", "test.echoed"]);
    let counted = &types["data"][0];
    assert_eq!(counted["schema"]["properties"]["number"]["type"], "integer");
    assert_eq!(counted["version"], 1);
    let listener = &counted["listeners"][0];
    assert_eq!(
        (
            &listener["name"],
            &listener["mode"],
            &listener["priority"],
            &listener["tries"],
            &listener["pinned"]
        ),
        (&json!("test.fail"), &json!("queue"), &json!("high"), &json!(7), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_gives_a_client_its_events_in_order_and_no_others() {
    let server = server(&[]);
    for number in 0..5 {
        server.publish(1, number);
        server.publish(2, 100 + number);
    }
    server.write(|tx| tx.publish(&caller(1), &Echoed { number: 9 }).map(drop));
    let numbers = |page: &Value| {
        let events = page["data"].as_array().unwrap().iter();
        events.map(|it| it["payload"]["number"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let first = server.get("/events?limit=2", Some(1)).await;
    assert_eq!((numbers(&first), &first["has_more"]), (vec![0, 1], &json!(true)));
    let after = first["next_cursor"].as_str().unwrap();
    let rest = server.get(&format!("/events?after={after}"), Some(1)).await;
    assert_eq!((numbers(&rest), &rest["has_more"]), (vec![2, 3, 4, 9], &json!(false)));
    let echoed = server.get("/events?type=test.echoed", Some(1)).await;
    assert_eq!(numbers(&echoed), [9]);
    let all = server.get("/events?type=test.*&entity=3", Some(1)).await;
    assert_eq!(numbers(&all), [3]);
    let of_other = texts(&server.get("/events?limit=1", Some(2)).await, "id")[0].to_owned();
    let (status, _) = server.call("GET", &format!("/events/{of_other}"), Some(1), Value::Null).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_its_reader_was() {
    let server = server(&[]);
    server.kernel.claimed.store(true, std::sync::atomic::Ordering::SeqCst);
    for number in 0..3 {
        server.publish(1, number);
    }
    let first = texts(&server.get("/events?limit=1", Some(1)).await, "id")[0].to_owned();
    let request = request("GET", "/events/stream", Some(1)).header("last-event-id", &first);
    let router = dispatch::router(&server.kernel);
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    for number in 10..13 {
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        text.push_str(std::str::from_utf8(&frame).unwrap());
        server.publish(2, number);
        server.publish(1, number);
    }
    let numbers: Vec<_> = text
        .lines()
        .filter_map(|it| it.strip_prefix("data: "))
        .map(|it| serde_json::from_str::<Value>(it).unwrap()["payload"]["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 10, 11]);
    assert!(text.starts_with("id: evt_") && text.contains("\nevent: test.counted\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_gather_by_cause_and_run_again_together() {
    let server = server(&[("events.tries", "1")]);
    for number in 0..4 {
        server.publish(1, number);
    }
    server.publish(2, 1);
    server.settled().await;
    let causes = server.get("/dead-letters", Some(1)).await;
    let cause = &causes["data"][0];
    assert_eq!((causes["data"].as_array().unwrap().len(), &cause["count"]), (1, &json!(4)));
    assert_eq!((&cause["listener"], &cause["state"]), (&json!("test.fail"), &json!("exhausted")));
    assert_eq!(
        server.get("/dead-letters", None).await["data"].as_array().unwrap().len(),
        2,
        "for all clients"
    );

    server.write(|tx| add(tx, "allowed"));
    let body = json!({ "fingerprint": cause["fingerprint"] });
    let (status, bulk) = server.call("POST", "/dead-letters/retry", Some(1), body).await;
    assert_eq!((status, &bulk["status"]), (201, &json!("running")), "{bulk:#}");
    server.settled().await;
    let id = bulk["id"].as_str().unwrap();
    let bulk = server.get(&format!("/dead-letters/retries/{id}"), Some(1)).await;
    assert_eq!((&bulk["status"], &bulk["retried"]), (&json!("finished"), &json!(4)));
    assert_eq!(server.count("heard"), 4, "those of one client only");
    let failed = server.get("/jobs?status=failed", None).await;
    assert_eq!(texts(&failed, "client_id"), [client(2).to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_retried_and_called_off_by_its_client_alone() {
    let server = server(&[]);
    server.publish(1, 1);
    server.settled().await;
    let jobs = server.get("/jobs?status=pending&listener=test.fail", Some(1)).await;
    let id = texts(&jobs, "id")[0];
    let path = format!("/jobs/{id}");
    assert_eq!(server.call("GET", &path, Some(2), Value::Null).await.0, 404);
    assert_eq!(server.post(&format!("{path}/retry"), Some(2)).await.0, 404);
    assert_eq!(server.get("/jobs", Some(2)).await["data"], json!([]));

    let job = server.get(&path, Some(1)).await;
    assert_eq!((&job["state"], &job["tries_used"], &job["tries"]), (&json!("retry"), &json!(1), &json!(3)));
    assert_eq!(job["attempts"][0]["error"], "no 1");
    let (status, job) = server.post(&format!("{path}/cancel"), Some(1)).await;
    assert_eq!((status, &job["status"], &job["due_at"]), (200, &json!("canceled"), &Value::Null));
    server.write(|tx| add(tx, "allowed"));
    let (status, job) = server.post(&format!("{path}/retry"), Some(1)).await;
    assert_eq!((status, &job["state"]), (200, &json!("ready")));
    server.settled().await;
    let (status, problem) = server.post(&format!("{path}/retry"), Some(1)).await;
    assert_eq!((status, &problem["code"]), (409, &json!("job_ended")));
    let event = job["event_id"].as_str().unwrap();
    let timeline = server.get(&format!("/events/{event}/timeline"), Some(1)).await;
    let outcomes: Vec<_> =
        timeline["jobs"][0]["attempts"].as_array().unwrap().iter().map(|it| it["outcome"].as_str()).collect();
    assert_eq!(outcomes, [Some("failed"), Some("ok")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_held_back_and_let_go() {
    let server = server(&[]);
    server.write(|tx| add(tx, "allowed"));
    let (status, queue) = server.post("/queues/default/pause", Some(1)).await;
    assert_eq!((status, &queue["status"]), (200, &json!("paused")));
    server.publish(1, 1);
    server.publish(2, 1);
    server.settled().await;
    assert_eq!(server.count("heard"), 1, "the other client's");
    let queues = server.get("/queues", Some(1)).await;
    assert_eq!((&queues["data"][0]["ready"], &queues["data"][0]["status"]), (&json!(1), &json!("paused")));
    assert_eq!(server.get("/queues", Some(2)).await["data"][0]["status"], "running");
    let (_, queue) = server.post("/queues/default/resume", Some(1)).await;
    assert_eq!(queue["status"], "running");
    server.settled().await;
    assert_eq!(server.count("heard"), 2);
    assert_eq!(server.post("/queues/nowhere/pause", None).await.0, 404);
}
