//! How many transfers a second the server answers over HTTP: key authentication, JSON, idempotency, one transfer a
//! request, each durable before its answer. The load runs in the same process and shares its cores.
//!
//! `cargo bench --bench http [seconds per line]`. The file is made in the directory for temporary files.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffer::{
    App,
    config::{Commit, Config},
    internals::clock::Clock,
    testing::{Instance, seed_dev},
};
use serde_json::json;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!(
        "{:>8} {:>12} {:>12} {:>9} {:>9} {:>14} {:>10} {:>10}",
        "commit", "connections", "transfers/s", "p50 ms", "p99 ms", "file B/each", "RSS MB", "start ms"
    );
    for (name, commit) in [("safe", Commit::Safe), ("fast", Commit::Fast)] {
        for connections in [1, 8, 32, 64] {
            runtime.block_on(measure(name, commit, connections, Duration::from_secs(seconds)));
        }
    }
    runtime.block_on(bulk(Duration::from_secs(seconds)));
    runtime.block_on(reading(Duration::from_secs(seconds)));
}

async fn instance(commit: Commit) -> (Instance, tempfile::TempDir, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.storage.path = folder.path().join("bench.redb");
    config.storage.commit = commit;
    let started = Instant::now();
    let app = App::open(config, true, Clock::System).expect("it opens");
    let took = started.elapsed();
    let credentials = seed_dev(app.kernel()).await.expect("it is seeded");
    (Instance::around(app, credentials).await, folder, took)
}

async fn users(coffer: &Instance, count: usize) -> Vec<String> {
    let mut users = vec![];
    for number in 0..count {
        let user = json!({ "email": format!("u{number}@example.com"), "first_name": "U", "last_name": "N" });
        let user = coffer.key().post("/users", user).await.expect(201).id().to_owned();
        let credit = json!({ "amount": "1000000.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "bench" });
        coffer.key().post("/transfers", credit).await.expect(201);
        users.push(user);
    }
    users
}

async fn measure(name: &str, commit: Commit, connections: usize, time: Duration) {
    let (coffer, folder, start) = instance(commit).await;
    let users = Arc::new(users(&coffer, 200).await);
    let file = folder.path().join("bench.redb");
    let before = std::fs::metadata(&file).map_or(0, |it| it.len());
    let (number, latencies) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(vec![])));
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (key, users, number, latencies) =
                (coffer.key(), users.clone(), number.clone(), latencies.clone());
            tokio::spawn(async move {
                let mut own = vec![];
                while began.elapsed() < time {
                    let number = number.fetch_add(1, Ordering::Relaxed) as usize;
                    let (from, to) = (
                        &users[number * 7 % users.len()],
                        &users[(number * 7 + 1 + number % 13) % users.len()],
                    );
                    let body = json!({ "amount": "0.01", "currency": "USD", "from": from, "to": to });
                    let sent = Instant::now();
                    key.post("/transfers", body).await.expect(201);
                    own.push(sent.elapsed());
                }
                latencies.lock().expect("nobody panicked").extend(own);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller ended well");
    }
    let took = began.elapsed();
    let mut latencies = std::mem::take(&mut *latencies.lock().expect("nobody panicked"));
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let grown = std::fs::metadata(&file).map_or(0, |it| it.len()).saturating_sub(before);
    println!(
        "{name:>8} {connections:>12} {:>12.0} {:>9.2} {:>9.2} {:>14} {:>10.1} {:>10.1}",
        latencies.len() as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        grown / latencies.len() as u64,
        resident_mb(),
        start.as_secs_f64() * 1e3,
    );
}

/// `POST transfers/bulk` with 1,000 items, two callers.
async fn bulk(time: Duration) {
    let (coffer, _folder, _) = instance(Commit::Safe).await;
    let users = users(&coffer, 200).await;
    let items: Vec<_> = (0..1000)
        .map(|number| {
            let (from, to) =
                (&users[number * 7 % users.len()], &users[(number * 7 + 1 + number % 13) % users.len()]);
            json!({ "amount": "0.01", "currency": "USD", "from": from, "to": to })
        })
        .collect();
    let body = json!({ "items": items, "atomic": true });
    let (began, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let (key, body, done) = (coffer.key(), body.clone(), done.clone());
            tokio::spawn(async move {
                while began.elapsed() < time {
                    key.post("/transfers/bulk", body.clone()).await.expect(200);
                    done.fetch_add(1000, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller ended well");
    }
    println!(
        "bulk of 1000, safe: {:.0} transfers/s",
        done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    );
}

/// `GET users/{id}` and a list of 50, 32 and 8 connections.
async fn reading(time: Duration) {
    let (coffer, _folder, _) = instance(Commit::Safe).await;
    let users = users(&coffer, 100).await;
    for (path, connections) in [(format!("/users/{}", users[0]), 32), ("/users?limit=50".to_owned(), 8)] {
        let (began, done) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let tasks: Vec<_> = (0..connections)
            .map(|_| {
                let (key, path, done) = (coffer.key(), path.clone(), done.clone());
                tokio::spawn(async move {
                    while began.elapsed() < time {
                        key.get(&path).await.expect(200);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a caller ended well");
        }
        let rate = done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        println!(
            "GET {}, {connections} connections: {rate:.0}/s",
            path.split('?').next().unwrap_or_default()
        );
    }
}

fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1e6
}
