//! How many jobs a second the store makes durable, by how many callers wait at a time.
//!
//! `cargo bench --bench store [seconds per line]`. The file is made in the directory for temporary files: set TMPDIR
//! to measure another disk. A job is like a transfer in the ledger: twelve rows, of which two lie anywhere (balances),
//! eight are appended (entries, postings, event, idempotency record) and two are narrow index rows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffer::internals::{
    error::Result,
    store::{CommitMode, Store, StoreOptions, Table, WriteTx},
};

const BALANCES: Table<[u8; 16], Vec<u8>> = Table::new("bench.balances");
const APPENDED: [Table<u64, Vec<u8>>; 4] = [
    Table::new("bench.entries"),
    Table::new("bench.postings"),
    Table::new("bench.events"),
    Table::new("bench.answers"),
];
const INDEX: Table<([u8; 16], u64), ()> = Table::new("bench.by_account");

fn main() {
    let seconds = std::env::args().skip(1).find_map(|it| it.parse().ok()).unwrap_or(2);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let head =
        ["store", "callers", "jobs/s", "commits/s", "jobs/commit", "mean ms", "written B/job", "file B/job"];
    println!("{}", head.map(|column| format!("{column:>14}")).join(""));
    for kind in ["file, safe", "file, fast", "memory"] {
        for callers in [1, 8, 64, 512] {
            let directory = tempfile::tempdir().expect("a directory");
            let commit = if kind == "file, safe" { CommitMode::Safe } else { CommitMode::Fast };
            let options = StoreOptions { commit, ..StoreOptions::default() };
            let store = match kind {
                "memory" => Store::in_memory(options),
                _ => Store::open_file(&directory.path().join("bench.redb"), true, options).expect("it opens"),
            };
            let before = store.file_bytes().unwrap_or(0);
            let took = runtime.block_on(run(&store, callers, Duration::from_secs(seconds)));
            report(kind, callers, &store, before, took);
        }
    }
}

/// Lets so many callers send one job after the other, and returns how long they did.
async fn run(store: &Store, callers: u64, time: Duration) -> Duration {
    let (start, number) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (store, number) = (store.clone(), number.clone());
            tokio::spawn(async move {
                while start.elapsed() < time {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    store.write(move |tx| transfer(tx, number)).await.expect("it is written");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller ends well");
    }
    start.elapsed()
}

fn transfer(tx: &mut WriteTx, number: u64) -> Result<()> {
    for side in 0..2u64 {
        // One of ten thousand accounts, scattered over the table.
        let picked = u64::from_le_bytes(tx.random_bytes()) % 10_000;
        let account = (u128::from(picked) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes();
        tx.get(&BALANCES, &account)?;
        tx.put(&BALANCES, &account, &vec![7; 40])?;
        for table in &APPENDED {
            tx.put(table, &(number * 2 + side), &vec![side as u8; 150])?;
        }
        tx.put(&INDEX, &(account, number), &())?;
    }
    Ok(())
}

fn report(kind: &str, callers: u64, store: &Store, before: u64, took: Duration) {
    let metrics = store.metrics();
    let (jobs, commits) = (metrics.jobs.get() as f64, metrics.commits.get() as f64);
    let grown = store.file_bytes().map(|bytes| format!("{:.0}", (bytes - before) as f64 / jobs));
    let columns = [
        kind.to_owned(),
        callers.to_string(),
        format!("{:.0}", jobs / took.as_secs_f64()),
        format!("{:.0}", commits / took.as_secs_f64()),
        format!("{:.1}", jobs / commits),
        format!("{:.2}", took.as_secs_f64() * 1000.0 * callers as f64 / jobs),
        format!("{:.0}", metrics.bytes.get() as f64 / jobs),
        grown.unwrap_or_else(|| "-".to_owned()),
    ];
    println!("{}", columns.map(|column| format!("{column:>14}")).join(""));
}
