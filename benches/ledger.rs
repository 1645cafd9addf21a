//! What a transfer costs: the whole command (key, JSON, idempotency, ledger, records, events, audit) through the router,
//! without a socket. Rows and bytes are those handed to the engine, so they do not depend on the machine.
//!
//! `cargo bench --bench ledger [seconds per line] [word ...]`: only lines that have all the words, such as `memory` or
//! `1000`. Files are made in the directory for temporary files.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, http::Request};
use coffer::{
    App,
    config::{Commit, Config},
    internals::{clock::Clock, store::Store},
    testing::{Credentials, seed_dev},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    // A batch has a hundred or a thousand: no line takes that long.
    let seconds = words.iter().position(|it| it.parse().is_ok_and(|it: u64| (2..100).contains(&it)));
    let seconds = seconds.and_then(|place| words.remove(place).parse().ok()).unwrap_or(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let head =
        ["store", "accounts", "batch", "callers", "transfers/s", "CPU us", "per commit", "rows", "bytes"];
    println!("{}", head.map(|column| format!("{column:>12}")).join(""));
    for store in ["memory", "file, fast", "file, safe"] {
        runtime.block_on(measure(store, Duration::from_secs(seconds), &words));
    }
}

/// A server and what callers need of it.
struct Bench {
    app: App,
    router: Router,
    credentials: Credentials,
    users: Vec<String>,
    number: AtomicU64,
}

async fn measure(kind: &str, time: Duration, words: &[String]) {
    let mut lines = vec![];
    for accounts in ["uniform", "one hot"] {
        for (batch, callers) in [(1, 1), (1, 64), (100, 16), (1000, 2)] {
            let columns = [kind.to_owned(), accounts.to_owned(), batch.to_string(), callers.to_string()];
            if words.iter().all(|word| columns.contains(word)) {
                lines.push((columns, batch, callers));
            }
        }
    }
    if lines.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Arc::new(Bench::open(kind, folder.path()).await);
    for (columns, batch, callers) in lines {
        bench.line(columns, batch, callers, time).await;
    }
}

impl Bench {
    async fn open(kind: &str, folder: &std::path::Path) -> Bench {
        let mut config = Config::default();
        config.storage.path = folder.join("bench.redb");
        config.storage.commit = if kind == "file, safe" { Commit::Safe } else { Commit::Fast };
        let app = match kind {
            "memory" => App::in_memory(config, Clock::System, None),
            _ => App::open(config, true, Clock::System),
        };
        let app = app.expect("it starts");
        let credentials = seed_dev(app.kernel()).await.expect("it is seeded");
        let router = app.router();
        let mut bench = Bench { app, router, credentials, users: vec![], number: AtomicU64::new(0) };
        for number in 0..200 {
            let user =
                json!({ "email": format!("u{number}@example.com"), "first_name": "U", "last_name": "N" });
            let user = bench.post("/users", &user).await["id"].as_str().expect("an id").to_owned();
            let credit = json!({
                "amount": "10000000.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "bench",
            });
            bench.post("/transfers", &credit).await;
            bench.users.push(user);
        }
        bench
    }

    /// Sends a command as the client's key, under a fresh idempotency key.
    async fn post(&self, path: &str, body: &Value) -> Value {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let request = Request::post(format!("/api/v1{path}"))
            .header("authorization", format!("Bearer {}", self.credentials.secret_key))
            .header("idempotency-key", format!("bench-{number}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a well-formed request");
        let response = self.router.clone().oneshot(request).await.expect("a router always answers");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a whole body").to_bytes();
        assert!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// `batch` transfers a command: between any two of the users, or all out of one account.
    async fn command(&self, is_hot: bool, batch: usize) {
        let number = self.number.fetch_add(batch as u64, Ordering::Relaxed) as usize;
        let transfer = |number: usize| {
            let count = self.users.len();
            let from = if is_hot { 0 } else { number * 7 % count };
            let to = (from + 1 + number % (count - 1)) % count;
            json!({ "amount": "0.01", "currency": "USD", "from": self.users[from], "to": self.users[to] })
        };
        if batch == 1 {
            self.post("/transfers", &transfer(number)).await;
        } else {
            let items: Vec<Value> = (number..number + batch).map(transfer).collect();
            let done = self.post("/transfers/bulk", &json!({ "items": items })).await;
            assert_eq!(done["failed"], 0, "{done}");
        }
    }

    async fn line(self: &Arc<Self>, columns: [String; 4], batch: usize, callers: usize, time: Duration) {
        let is_hot = columns[1] == "one hot";
        let store: &Store = &self.app.kernel().store;
        let counted =
            || [&store.metrics().rows, &store.metrics().bytes, &store.metrics().commits].map(|it| it.get());
        let (before, cpu, start) = (counted(), cpu_seconds(), Instant::now());
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let bench = self.clone();
                tokio::spawn(async move {
                    let mut done = 0;
                    while start.elapsed() < time {
                        bench.command(is_hot, batch).await;
                        done += batch;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            done += task.await.expect("a caller ends well");
        }
        let each = |total: f64| total / done as f64;
        let after = counted();
        let [rows, bytes, commits] = [0, 1, 2].map(|place| (after[place] - before[place]) as f64);
        let measured = [
            format!("{:.0}", done as f64 / start.elapsed().as_secs_f64()),
            format!("{:.1}", each((cpu_seconds() - cpu) * 1e6)),
            format!("{:.1}", done as f64 / commits.max(1.0)),
            format!("{:.1}", each(rows)),
            format!("{:.0}", each(bytes)),
        ];
        let columns = columns.iter().chain(&measured).map(|column| format!("{column:>12}"));
        println!("{}", columns.collect::<String>());
    }
}

/// Of the whole process: the callers count too.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses, which may have spaces: utime and stime are the 14th and 15th of all fields.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}
