//! What stands on the wire, where a client or a proxy is careless: bodies, headers, time limits, long lists.

use std::time::{Duration, Instant as Wall};

use coffer::testing::Instance;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{payment::user, withdrawal::person};

/// Sends exactly this and answers with status, headers and body as they came.
async fn raw(coffer: &Instance, request: &str) -> (u16, String) {
    let mut stream = connect(coffer).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

async fn connect(coffer: &Instance) -> TcpStream {
    TcpStream::connect(coffer.base_url().strip_prefix("http://").unwrap()).await.unwrap()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
}

/// A proxy that read the first amount and a server that read the last once disagreed about how much was paid.
#[tokio::test]
async fn a_body_with_a_member_twice_is_refused() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let post = |body: String| {
        let key = coffer.key().idempotent("once");
        async move { key.send(hyper::Method::POST, "/transfers", Some(body)).await }
    };
    let body = format!(
        r#"{{"amount":"1.00","currency":"USD","from":"house:adjustment","to":"{ann}","reason":"x","amount":"9.00"}}"#
    );
    let refused = post(body.clone()).await.refused(400, "malformed");
    assert!(
        refused.body["detail"].as_str().unwrap().contains("the member \"amount\" twice"),
        "{}",
        refused.body
    );
    let nested = body.replace(r#","amount":"9.00""#, r#","metadata":{"a":"1","a":"2"}"#);
    post(nested).await.refused(400, "malformed");
    assert_eq!(coffer.key().get(&format!("/balances?user_id={ann}")).await.body["data"], json!([]));
    // Nothing was stored under the key.
    post(body.replace(r#","amount":"9.00""#, "")).await.expect(201);
}

#[tokio::test]
async fn a_scheme_is_read_in_any_case_and_a_credential_given_twice_is_refused() {
    let coffer = Instance::start().await;
    let key = &coffer.credentials().secret_key;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let (status, answer) =
            raw(&coffer, &get("/users", &format!("Authorization: {scheme} {key}\r\n"))).await;
        assert_eq!(status, 200, "{scheme}: {answer}");
    }
    for other in ["Basic", "Bearerx", "Token"] {
        let (status, _) = raw(&coffer, &get("/users", &format!("Authorization: {other} {key}\r\n"))).await;
        assert_eq!(status, 401, "{other}");
    }
    // Which of the two a proxy in front had looked at, nobody knows.
    for twice in [
        format!("Authorization: Bearer {key}\r\nAuthorization: Bearer {key}\r\n"),
        format!("X-Api-Key: {key}\r\nX-Api-Key: sk_test_other\r\n"),
    ] {
        let (status, answer) = raw(&coffer, &get("/users", &twice)).await;
        assert!(status == 400 && answer.contains("a credential header is given twice"), "{answer}");
    }
}

#[tokio::test]
async fn an_entity_tag_that_is_not_the_current_one_is_stale_whatever_it_looks_like() {
    let coffer = Instance::start().await;
    let role = json!({ "name": "clerk", "permissions": ["users.view_any"] });
    let role = coffer.key().post("/roles", role).await.expect(201);
    let path = format!("/roles/{}", role.id());
    let patch = |etag: &'static str| {
        let (http, path) = (coffer.key().header("if-match", etag), path.clone());
        async move {
            let body = json!({ "permissions": ["users.view_any"] }).to_string();
            http.send(hyper::Method::PATCH, &path, Some(body)).await
        }
    };
    for wrong in ["\"v 1\"", "v1", "1", "\"v1"] {
        patch(wrong).await.refused(400, "malformed");
    }
    for stale in ["\"v9\"", "\"v+1\"", "\"1\"", "\"99\"", "\"v1.0\"", "W/\"v1\"", "\"v8\", \"v9\""] {
        patch(stale).await.refused(412, "stale_version");
    }
    patch("\"v1\"").await.expect(200);
}

/// A user's state is a field of the refusal; it once stood where the HTTP status belongs.
#[tokio::test]
async fn the_status_of_a_problem_is_its_http_status() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    coffer.key().post(&format!("/users/{ann}/freeze"), json!({ "reason": "asked" })).await.expect(200);
    let transfer = json!({ "amount": "1.00", "currency": "USD", "from": ann, "to": bob });
    let refused = coffer.key().post("/transfers", transfer).await;
    let status = refused.status;
    assert_eq!(refused.code(), "user_not_active");
    assert_eq!((&refused.body["status"], &refused.body["user_status"]), (&json!(status), &json!("frozen")));
}

/// The answer once was `timed_out`, "nothing happened", while the command was still waiting for the writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_takes_too_long_has_an_unknown_outcome_and_its_key_tells_it() {
    let builder = Instance::builder().configure(|it| {
        it.server.request_timeout_s = 1;
        it.server.header_timeout_s = 1;
    });
    let coffer = builder.start().await;
    let ann = user(&coffer, "ann").await;
    let credit =
        json!({ "amount": "0.01", "currency": "USD", "from": "house:adjustment", "to": ann, "reason": "x" });
    let key = coffer.key().idempotent("slow");
    let writer = coffer.hold_writer();
    for _ in 0..2 {
        let unknown = key.post("/transfers", credit.clone()).await.refused(503, "outcome_unknown");
        assert_eq!(unknown.body["retryable"], true);
    }
    drop(writer);
    key.post("/transfers", credit).await.expect(201);
    let balance = coffer.key().get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
    assert_eq!(balance.body["available"], "0.01", "once");

    // One whose body never ends.
    let mut stream = connect(&coffer).await;
    let head = format!(
        "POST /api/v1/transfers HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\nIdempotency-Key: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        coffer.credentials().secret_key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("outcome_unknown"), "{answer}");
}

/// Reads one answer whose length is said: its head, and nothing behind its body.
async fn one_answer(stream: &mut TcpStream) -> String {
    let (mut answer, mut byte) = (vec![], [0; 1]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).await.unwrap();
        answer.push(byte[0]);
    }
    let head = String::from_utf8(answer).unwrap().to_lowercase();
    let length = head.lines().find_map(|it| it.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.trim().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    head
}

/// What was refused by its headers once left its body on the connection: the next request came behind it, and the
/// connection broke without a word.
#[tokio::test]
async fn whatever_is_refused_before_its_body_came_leaves_a_connection_that_works() {
    let coffer = Instance::start().await;
    let secret = coffer.credentials().secret_key.clone();
    let only_reads = json!({ "name": "reads", "scopes": ["users:read"] });
    let only_reads = coffer.key().post("/api-keys", only_reads).await.expect(201);
    let only_reads = only_reads.body["secret_key"].as_str().unwrap().to_owned();
    let body = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "A" }).to_string();
    for (status, line, credential) in [
        (401, "POST /api/v1/users", "sk_test_wrong"),
        (403, "POST /api/v1/users", &*only_reads),
        (404, "POST /api/v1/nothing", &*secret),
        (405, "PUT /api/v1/users", &*secret),
        (415, "POST /api/v1/users", &*secret),
    ] {
        for framing in [format!("Content-Length: {}", body.len()), "Transfer-Encoding: chunked".into()] {
            let mut stream = connect(&coffer).await;
            let head = format!(
                "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {credential}\r\n{framing}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // Time for a hasty server to answer; a patient one does not mind.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let sent = if framing.contains("chunked") {
                format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            } else {
                body.clone()
            };
            stream.write_all(sent.as_bytes()).await.unwrap();
            let answer = one_answer(&mut stream).await;
            assert!(answer.starts_with(&format!("http/1.1 {status}")), "{line} {framing}: {answer}");
            if answer.contains("\r\nconnection: close\r\n") {
                continue; // Said so: a client opens another.
            }
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let next = one_answer(&mut stream).await;
            assert!(next.starts_with("http/1.1 200"), "{line} {framing}: {next}");
        }
    }
}

/// Closed at once, the connection was reset under whoever was still sending, and the answer was lost.
#[tokio::test]
async fn a_body_too_large_to_be_read_is_sent_to_its_end_and_the_answer_says_that_the_connection_closes() {
    let coffer = Instance::start().await;
    let secret = coffer.credentials().secret_key.clone();
    const BYTES: usize = 12 * 1024 * 1024;
    for (status, credential) in [(401, "sk_test_wrong"), (413, &*secret)] {
        let mut stream = connect(&coffer).await;
        let head = format!(
            "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {credential}\r\nContent-Type: application/json\r\nContent-Length: {BYTES}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = [b' '; 64 * 1024];
        for _ in 0..BYTES / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let answer = answer.to_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

/// Who asks before sending is answered without having to send.
#[tokio::test]
async fn a_client_that_waits_to_be_told_to_go_on_is_refused_at_once() {
    let coffer = Instance::start().await;
    let head = "POST /api/v1/users HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nAuthorization: Bearer sk_test_wrong\r\nContent-Length: 9\r\n\r\n";
    let mut stream = connect(&coffer).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = one_answer(&mut stream).await;
    assert!(answer.starts_with("http/1.1 401") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    drop(stream);
}

/// The columns once were those of the first row, so that a field it did not have was missing in all of them.
#[tokio::test]
async fn the_columns_of_a_csv_are_those_documented_whatever_the_rows_have() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    for number in 0..3 {
        let mut credit = json!({ "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": ann, "reason": "a, \"b\"" });
        if number == 0 {
            credit["external_id"] = "=SUM(A1)".into();
        }
        coffer.key().post("/transfers", credit).await.expect(201);
    }
    let csv = coffer.key().header("accept", "text/csv").get("/transfers").await.expect(200);
    let text = csv.body.as_str().unwrap();
    let document = coffer.openapi();
    let documented = document["components"]["schemas"]["TransferOut"]["properties"].as_object().unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    assert_eq!(header, documented.keys().collect::<Vec<_>>());
    assert!(header.contains(&"balances"), "which no row of a list has");
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("'=SUM(A1)") && text.contains("\"a, \"\"b\"\"\""), "{text}");
}

/// Each reader of a list once held a thread until it had read everything: as many as there are threads stopped all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_stop_reading_a_csv_hold_up_nobody() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let notes = (0..30).map(|it| (format!("note-{it}"), "n".repeat(500).into()));
    let notes: serde_json::Map<String, Value> = notes.collect();
    let item = json!({
        "amount": "0.01", "currency": "USD", "from": "house:adjustment", "to": ann, "reason": "r",
        "metadata": notes,
    });
    let body = json!({ "items": vec![item; 450] });
    coffer.key().post("/transfers/bulk", body).await.expect(200);
    let headers =
        format!("Accept: text/csv\r\nAuthorization: Bearer {}\r\n", coffer.credentials().secret_key);
    let mut readers = vec![];
    for _ in 0..6 {
        let mut stream = connect(&coffer).await;
        stream.write_all(get("/transfers", &headers).as_bytes()).await.unwrap();
        let mut first = [0; 64];
        stream.read_exact(&mut first).await.unwrap();
        assert!(first.starts_with(b"HTTP/1.1 200"));
        readers.push(stream);
    }
    // More of them than there are threads, each with megabytes to come: others are answered all the same, and no
    // snapshot waits for them.
    let began = Wall::now();
    loop {
        let metrics = coffer.operator().get("/metrics").await.expect(200);
        if metrics.body.as_str().unwrap().contains("\ncoffer_store_open_reads 0\n") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{}", metrics.body.as_str().unwrap());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    coffer.key().get("/users").await.expect(200);
    // Whoever reads on gets the rest.
    let mut rest = vec![];
    let mut reader = readers.remove(0);
    let read = reader.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&rest).matches("tfr_").count(), 450);
}

#[tokio::test]
async fn metrics_tell_what_waits_what_is_late_and_what_was_given_up() {
    let coffer = Instance::start().await;
    let metrics = || async {
        let answer = coffer.operator().get("/metrics").await.expect(200);
        answer.body.as_str().unwrap().to_owned()
    };
    let figure = |text: &str, name: &str| -> Option<i64> {
        let line = text.lines().find(|it| it.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    coffer.settle().await;
    let calm = metrics().await;
    assert_eq!(calm.matches("\ncoffer_events_backlog{").count(), 16, "every lane and state: {calm}");
    for name in ["coffer_events_in_flight", "coffer_events_dead_letters"] {
        assert_eq!(figure(&calm, name), Some(0), "{name}");
    }
    assert_eq!(figure(&calm, "coffer_events_backlog{lane=\"medium\",state=\"ready\"}"), Some(0));
    let before = figure(&calm, "coffer_events_attempts_total{outcome=\"ok\"}").unwrap();

    coffer.key().post("/queues/default/pause", json!({})).await.expect(200);
    let user = json!({ "email": "late@example.com", "first_name": "L", "last_name": "T" });
    coffer.key().post("/users", user).await.expect(201);
    coffer.advance(Duration::from_secs(90)).await;
    let held = metrics().await;
    let waiting = figure(&held, "coffer_events_backlog{lane=\"medium\",state=\"ready\"}").unwrap();
    assert!(waiting > 0, "{held}");
    assert_eq!(figure(&held, "coffer_events_oldest_ready_seconds{lane=\"medium\"}"), Some(90));
    assert_eq!(figure(&held, "coffer_events_oldest_ready_seconds{lane=\"low\"}"), Some(0));

    coffer.key().post("/queues/default/resume", json!({})).await.expect(200);
    coffer.settle().await;
    let after = metrics().await;
    assert_eq!(figure(&after, "coffer_events_backlog{lane=\"medium\",state=\"ready\"}"), Some(0));
    assert!(figure(&after, "coffer_events_attempts_total{outcome=\"ok\"}").unwrap() >= before + waiting);
}

#[tokio::test]
async fn a_rehearsal_names_nothing_that_does_not_exist() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    crate::withdrawal::credit(&coffer, &ann, "10.00").await;
    fn ids(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text.len() == 30 && text.as_bytes()[3] == b'_' => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|it| ids(it, found)),
            Value::Object(members) => members.values().for_each(|it| ids(it, found)),
            _ => {}
        }
    }
    let funding = json!({ "amount": "10.00", "currency": "USD", "user_id": ann });
    let transfer = json!({ "amount": "1.00", "currency": "USD", "from": ann, "to": bob });
    let bulk = json!({ "items": [transfer, transfer] });
    for (path, body, null) in [
        ("/fundings", &funding, "/payment_id"),
        ("/transfers", &transfer, "/entry_id"),
        ("/transfers/bulk", &bulk, "/items/1/transfer/id"),
    ] {
        let known: Vec<String> = [&ann, &bob, &coffer.credentials().client_id].map(Clone::clone).into();
        let rehearsed = coffer.key().post(&format!("{path}?dry_run=true"), body.clone()).await.expect(200);
        assert_eq!(rehearsed.body.pointer(null), Some(&Value::Null), "{path}: {:#}", rehearsed.body);
        let mut named = vec![];
        ids(&rehearsed.body, &mut named);
        named.retain(|it| !known.contains(it) && !["acc_", "key_", "req_"].contains(&&it[..4]));
        assert_eq!(named, Vec::<String>::new(), "{path}: {:#}", rehearsed.body);
        let made = coffer.key().post(path, body.clone()).await;
        assert!(made.body.pointer(null).unwrap().is_string(), "{path}");
    }
}
