//! What ten thousand price updates a second cost a payment: transfers at a steady pace over HTTP, alone and beside a
//! feed that sends batches of 1,000 prices of 100 markets, ten times a second, and that fifty subscribers hear. The load
//! runs in the same process and shares its cores.
//!
//! `cargo bench --bench market [seconds per line]`. The file is made in the directory for temporary files.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffer::{
    App,
    config::Config,
    internals::clock::Clock,
    testing::{Instance, seed_dev},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Transfers offered a second, by this many callers.
const OFFERED: u32 = 200;
const CALLERS: u32 = 16;
const BATCH: usize = 1000;
const BATCHES_A_SECOND: u32 = 10;
const SUBSCRIBERS: usize = 50;

fn main() {
    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(10);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(Duration::from_secs(seconds)));
}

async fn measure(time: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.storage.path = folder.path().join("bench.redb");
    let app = App::open(config, true, Clock::System).expect("it opens");
    let credentials = seed_dev(app.kernel()).await.expect("it is seeded");
    let coffer = Instance::around(app, credentials).await;
    let users = Arc::new(users(&coffer, 100).await);
    let markets = markets(&coffer).await;

    let head = ["transfers/s", "p50 ms", "p99 ms", "prices/s", "heard/s"];
    println!("{:>8} {}", "", head.map(|it| format!("{it:>12}")).join(" "));
    let mut p99 = vec![];
    for round in 0..3 {
        for beside in [false, true] {
            let feed = if beside { Some(Feed::start(&coffer, &markets)) } else { None };
            let (rate, p50, slowest) = transfers(&coffer, &users, time).await;
            let (prices, heard) = match feed {
                Some(feed) => feed.stop(time).await,
                None => (0.0, 0.0),
            };
            let name = if beside { "beside" } else { "alone" };
            println!("{name:>8} {rate:>12.0} {p50:>12.2} {slowest:>12.2} {prices:>12.0} {heard:>12.0}");
            p99.push(slowest);
        }
        let ratio = p99[2 * round + 1] / p99[2 * round];
        println!("{:>8} {:>12} {:>12} {ratio:>11.2}x", "", "", "");
    }

    let feed = Feed::start_unpaced(&coffer, &markets);
    tokio::time::sleep(time).await;
    println!("as fast as it goes: {:.0} prices/s", feed.stop(time).await.0);
}

/// One transfer each 1 / OFFERED s, whatever became of the ones before: p50 and p99 from the instant it was due.
async fn transfers(coffer: &Instance, users: &Arc<Vec<String>>, time: Duration) -> (f64, f64, f64) {
    let latencies = Arc::new(Mutex::new(vec![]));
    let pause = Duration::from_secs(1) * CALLERS / OFFERED;
    let began = Instant::now();
    let tasks: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (key, users, latencies) = (coffer.key(), users.clone(), latencies.clone());
            tokio::spawn(async move {
                let mut due = began + pause * caller / CALLERS;
                let mut number = caller as usize;
                while due < began + time {
                    tokio::time::sleep_until(due.into()).await;
                    let (from, to) = (&users[number % users.len()], &users[(number + 7) % users.len()]);
                    let body = json!({ "amount": "0.01", "currency": "USD", "from": from, "to": to });
                    key.post("/transfers", body).await.expect(201);
                    latencies.lock().expect("nobody panicked").push(due.elapsed());
                    number += CALLERS as usize;
                    due += pause;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a caller ended well");
    }
    let took = began.elapsed().as_secs_f64();
    let mut latencies = std::mem::take(&mut *latencies.lock().expect("nobody panicked"));
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    (latencies.len() as f64 / took, at(50), at(99))
}

/// Somebody who sends prices, and those who hear them.
struct Feed {
    taken: Arc<AtomicU64>,
    heard: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    running: tokio::task::JoinHandle<()>,
    subscribers: Vec<tokio::task::JoinHandle<()>>,
}

impl Feed {
    fn start(coffer: &Instance, markets: &[String]) -> Feed {
        Feed::run(coffer, markets, Duration::from_secs(1) / BATCHES_A_SECOND)
    }

    fn start_unpaced(coffer: &Instance, markets: &[String]) -> Feed {
        Feed::run(coffer, markets, Duration::ZERO)
    }

    fn run(coffer: &Instance, markets: &[String], pause: Duration) -> Feed {
        let (taken, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (key, markets) = (coffer.key(), markets.to_vec());
        let (counting, stopping) = (taken.clone(), stop.clone());
        let running = tokio::spawn(async move {
            let mut due = Instant::now();
            let mut number = 0u64;
            while !stopping.load(Ordering::Relaxed) {
                let price = |place: usize| -> Value {
                    let cents = 10_000 + (number + place as u64) % 100;
                    let market = &markets[place % markets.len()];
                    json!({ "market_id": market, "price": format!("{}.{:02}", cents / 100, cents % 100) })
                };
                let prices: Vec<Value> = (0..BATCH).map(price).collect();
                let answer = key.post("/markets/prices", json!({ "prices": prices })).await.expect(200);
                counting.fetch_add(answer.body["accepted"].as_u64().unwrap_or(0), Ordering::Relaxed);
                number += 1;
                due += pause;
                tokio::time::sleep_until(due.into()).await;
            }
        });
        let heard = Arc::<AtomicU64>::default();
        let address = coffer.base_url().trim_start_matches("http://").to_owned();
        let key = &coffer.credentials().publishable_key;
        let subscriber = || tokio::spawn(listen(address.clone(), key.clone(), heard.clone()));
        let subscribers = std::iter::repeat_with(subscriber).take(SUBSCRIBERS).collect();
        Feed { taken, heard, stop, running, subscribers }
    }

    /// Prices sent a second, and prices heard by all subscribers together.
    async fn stop(self, time: Duration) -> (f64, f64) {
        let [taken, heard] = [&self.taken, &self.heard].map(|it| it.load(Ordering::Relaxed) as f64);
        self.stop.store(true, Ordering::Relaxed);
        self.running.await.expect("the feed ended well");
        self.subscribers.iter().for_each(|it| it.abort());
        (taken / time.as_secs_f64(), heard / time.as_secs_f64())
    }
}

/// Counts the prices that come.
async fn listen(address: String, key: String, heard: Arc<AtomicU64>) {
    let mut stream = TcpStream::connect(address).await.expect("the server is there");
    let request =
        format!("GET /api/v1/markets/stream HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut piece).await.expect("it goes on");
        // Braces stand in prices only, a pair in each.
        let ended = piece[..read].iter().filter(|it| **it == b'}').count();
        heard.fetch_add(ended as u64, Ordering::Relaxed);
        if read == 0 {
            return;
        }
    }
}

async fn users(coffer: &Instance, count: usize) -> Vec<String> {
    let mut users = vec![];
    for number in 0..count {
        let user = json!({ "email": format!("u{number}@example.com"), "first_name": "U", "last_name": "N" });
        let user = coffer.key().post("/users", user).await.expect(201).id().to_owned();
        let credit = json!({
            "amount": "1000000.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "bench",
        });
        coffer.key().post("/transfers", credit).await.expect(201);
        users.push(user);
    }
    users
}

/// A hundred markets, between fifteen currencies.
async fn markets(coffer: &Instance) -> Vec<String> {
    let codes: Vec<String> = (1..=15).map(|it| format!("X{it:02}")).collect();
    for code in &codes {
        let currency = json!({
            "code": code, "name": format!("Bench {code}"), "symbol": code, "kind": "crypto", "decimals": 8,
        });
        coffer.operator().post("/currencies", currency).await.expect(201);
        coffer.key().post(&format!("/currencies/{code}/activate"), json!({})).await.expect(200);
    }
    let mut markets = vec![];
    for (place, base) in codes.iter().enumerate() {
        for quote in &codes[place + 1..] {
            let market = json!({ "base": base, "quote": quote });
            markets.push(coffer.key().post("/markets", market).await.expect(201).id().to_owned());
        }
    }
    markets.truncate(100);
    markets
}
