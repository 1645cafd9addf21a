//! How many transfers a second the server answers over HTTP: key authentication, JSON, idempotency, one transfer a
//! request, each durable before its answer. The load runs in the same process and shares its cores.
//!
//! At the end: how fast a hundred thousand events are followed up, and how long a write takes meanwhile.
//!
//! `cargo bench --bench http [seconds per line] [transfers|bulk|reading|draining]`. The file is made in the directory for temporary files.

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
    testing::{Counting, Instance, seed_dev},
};
use serde_json::json;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let parts = ["transfers", "bulk", "reading", "draining"];
    let asked = std::env::args().skip(1).find(|it| parts.contains(&&it[..]));
    let wants = |part: &str| asked.as_ref().is_none_or(|it| it == part);
    let time = Duration::from_secs(seconds);
    if wants("transfers") {
        runtime.block_on(transfers(time));
    }
    if wants("bulk") {
        runtime.block_on(bulk(time));
    }
    if wants("reading") {
        runtime.block_on(reading(time));
    }
    if wants("draining") {
        runtime.block_on(draining_counts(time));
        runtime.block_on(draining_notices(time));
    }
}

async fn transfers(time: Duration) {
    println!(
        "{:>8} {:>12} {:>12} {:>9} {:>9} {:>14} {:>10} {:>10}",
        "commit", "connections", "transfers/s", "p50 ms", "p99 ms", "file B/each", "RSS MB", "start ms"
    );
    for (name, commit) in [("safe", Commit::Safe), ("fast", Commit::Fast)] {
        for connections in [1, 8, 32, 64] {
            measure(name, commit, connections, time).await;
        }
    }
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

const BACKLOG: u64 = 100_000;

/// A hundred thousand events with a listener that counts, and somebody's writes of one row meanwhile.
async fn draining_counts(time: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut counting = Counting::open(&folder.path().join("bench.redb"));
    let write = async |counting: &Counting, number: u64| counting.write(number).await;
    let idle = latencies(|number| write(&counting, number), |_, began| began.elapsed() < time).await;
    counting.publish(BACKLOG);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    counting.begin();
    let busy = latencies(|number| write(&counting, number), |_, _| counting.heard() < BACKLOG).await;
    report_drain("a counter", BACKLOG, began.elapsed(), cpu_seconds() - cpu, idle, busy);
}

const NOTICES: u64 = 20_000;

/// Twenty thousand notices put into inboxes, and somebody's transfers meanwhile.
async fn draining_notices(time: Duration) {
    let (coffer, _folder, _) = instance(Commit::Safe).await;
    let users = Arc::new(users(&coffer, 200).await);
    coffer.settle().await;
    let transfer = async |number: u64| {
        let (from, to) = (&users[number as usize * 7 % 200], &users[(number as usize * 7 + 1) % 200]);
        let body = json!({ "amount": "0.01", "currency": "USD", "from": from, "to": to });
        coffer.key().post("/transfers", body).await.expect(201);
    };
    let idle = latencies(transfer, |_, began| began.elapsed() < time).await;
    coffer.key().post("/queues/default/pause", json!({})).await.expect(200);
    let tasks: Vec<_> = (0..50)
        .map(|worker: usize| {
            let (key, users) = (coffer.key(), users.clone());
            tokio::spawn(async move {
                for number in 0..NOTICES as usize / 50 {
                    let user = &users[worker * 4 + number / 2 % 4];
                    let verb = if number % 2 == 0 { "freeze" } else { "unfreeze" };
                    let body = json!({ "reason": "bench" });
                    key.post(&format!("/users/{user}/{verb}"), body).await.expect(200);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller ended well");
    }
    let (began, cpu) = (Instant::now(), cpu_seconds());
    coffer.key().post("/queues/default/resume", json!({})).await.expect(200);
    // Of one client they are heard in order: those that each worker made last are heard last.
    let heard = async || {
        for worker in 0..50 {
            let path = format!("/notifications/unread-count?user_id={}", users[worker * 4 + 3]);
            let unread = coffer.key().get(&path).await.expect(200).body["unread"].as_u64();
            if unread < Some(1 + NOTICES / 200) {
                return false;
            }
        }
        true
    };
    let mut busy = vec![];
    while !heard().await {
        busy.extend(latencies(transfer, |sent, _| sent < 20).await);
    }
    busy.sort();
    report_drain("inboxes", NOTICES, began.elapsed(), cpu_seconds() - cpu, idle, busy);
}

/// How long each of one caller's commands took, one after the other.
async fn latencies(command: impl AsyncFn(u64), goes_on: impl Fn(usize, Instant) -> bool) -> Vec<Duration> {
    let (began, mut took) = (Instant::now(), vec![]);
    while goes_on(took.len(), began) {
        let sent = Instant::now();
        command(took.len() as u64).await;
        took.push(sent.elapsed());
    }
    took.sort();
    took
}

fn report_drain(
    what: &str,
    count: u64,
    took: Duration,
    cpu_s: f64,
    idle: Vec<Duration>,
    busy: Vec<Duration>,
) {
    let p99 = |took: &[Duration]| took[(took.len() - 1) * 99 / 100].as_secs_f64() * 1e3;
    println!(
        "{count} events into {what}: {:.0}/s, {:.1} us of CPU each (writers included); \
         a write meanwhile, p99 {:.1} ms ({} of them), idle {:.1} ms",
        count as f64 / took.as_secs_f64(),
        cpu_s * 1e6 / count as f64,
        p99(&busy),
        busy.len(),
        p99(&idle)
    );
}

/// Of the whole process: user and system time.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in parentheses, which may have spaces: utime and stime are the 14th and 15th of all fields.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn resident_mb() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1e6
}
