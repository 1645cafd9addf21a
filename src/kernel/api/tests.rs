//! Commands of every kind on a server made for the test: what a repeat gets when the first try went wrong.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{
    audit::AUDIT,
    call::Call,
    dispatch::{self, Peer},
    endpoint::{Claim, Endpoint, post},
    input::input,
    pieces::ANSWERS,
};
use crate::config::Config;
use crate::kernel::{
    boot::{Boot, Kernel},
    clock::Clock,
    error::{Result, fault},
    secret::Secrets,
    store::{CommitMode, Scan, Store, StoreOptions, Table, WriteTx, sim_disk::SimDisk},
};

/// what → how often
const COUNTS: Table<String, u64> = Table::new("test.counts");

fn add(tx: &mut WriteTx, what: &str) -> Result<u64> {
    let count = tx.get(&COUNTS, &what.to_owned())?.unwrap_or(0) + 1;
    tx.put(&COUNTS, &what.to_owned(), &count)?;
    Ok(count)
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct CountOut {
    count: u64,
}

#[derive(utoipa::ToSchema)]
struct ManyIn {
    items: u64,
}
input!(ManyIn { items });

#[derive(serde::Serialize, utoipa::ToSchema)]
struct ManyOut {
    counts: Vec<u64>,
}

/// A server without modules.
struct Server(Arc<Kernel>);

impl Server {
    fn with(endpoint: Endpoint) -> Server {
        Server::on(Store::in_memory(StoreOptions::default()), endpoint).unwrap()
    }

    fn on(store: Store, endpoint: Endpoint) -> Option<Server> {
        let mut boot = Boot::new(store, Arc::new(Secrets::new(&[0; 32])), Arc::new(Config::default()), true);
        crate::kernel::events::register(&mut boot);
        boot.refusals(super::meta::refusals());
        boot.endpoints(vec![endpoint]);
        let kernel = boot.finish(1).ok()?;
        kernel.claimed.store(true, Ordering::SeqCst);
        Some(Server(Arc::new(kernel)))
    }

    async fn post(&self, path: &str, key: &str, body: Value) -> (u16, bool, Value) {
        let request = Request::post(format!("/api/v1{path}"))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .extension(Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true });
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = dispatch::router(&self.0).oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap();
        (status, headers.contains_key("idempotent-replayed"), body)
    }

    fn count(&self, what: &str) -> u64 {
        self.0.store.read(|tx| tx.get(&COUNTS, &what.to_owned())).unwrap().unwrap_or(0)
    }

    fn audit_rows(&self) -> usize {
        self.0.store.read(|tx| Ok(tx.scan(&AUDIT, Scan::all()).count())).unwrap()
    }
}

/// An adapter that panicked once left its command `in progress` until the next restart: every repeat was a 409.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_an_adapter_panicked_shows_the_object_and_calls_nobody_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let called = calls.clone();
    let server = Server::with(post("/pay").operator().money().calls_out(
        |tx, _: &Call<(), ()>| add(tx, "claimed").map(|_| Claim::<(), CountOut>::Call(())),
        move |()| {
            called.fetch_add(1, Ordering::SeqCst);
            async { panic!("the adapter") }
        },
        |_, _, (): ()| Err(fault!("nothing came back to settle")),
        |tx, _| Ok(CountOut { count: tx.get(&COUNTS, &"claimed".to_owned())?.unwrap_or(0) }),
    ));
    let (status, _, body) = server.post("/pay", "once", json!({})).await;
    assert_eq!((status, &body["code"]), (500, &json!("internal")));
    for _ in 0..2 {
        let (status, replayed, body) = server.post("/pay", "once", json!({})).await;
        assert_eq!((status, replayed, body), (201, true, json!({ "count": 1 })));
    }
    assert_eq!((server.count("claimed"), calls.load(Ordering::SeqCst)), (1, 1));
}

const PIECE: usize = 10;

/// `POST /many`: adds as many times as it is told, and answers with each count. Once, before `stumbles_at`, it fails.
fn many(stumbles_at: usize) -> Endpoint {
    let stumbles_at = AtomicUsize::new(stumbles_at);
    let write = move |tx: &mut WriteTx, _: &Call<(), ManyIn>, items: Range<usize>| {
        if items.contains(&stumbles_at.load(Ordering::SeqCst)) {
            stumbles_at.store(usize::MAX, Ordering::SeqCst);
            add(tx, "lost")?; // Goes with the piece.
            return Err(fault!("it stumbled"));
        }
        Ok(ManyOut { counts: items.map(|_| add(tx, "done")).collect::<Result<_>>()? })
    };
    let cut = |call: &Call<(), ManyIn>| Ok((usize::try_from(call.input.items).unwrap_or(0), PIECE));
    post("/many").operator().money().writes_in_pieces(cut, write, |parts| {
        let counts = parts.iter().filter_map(|it| it["counts"].as_array()).flatten();
        json!({ "counts": counts.collect::<Vec<_>>() })
    })
}

fn counted(to: u64) -> Value {
    json!({ "counts": (1..=to).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_in_pieces_goes_on_where_it_stumbled_and_answers_for_all() {
    for (items, stumbles_at, left) in [(25, 0, 0), (25, 12, 10), (25, 24, 20), (20, 19, 10)] {
        let server = Server::with(many(stumbles_at));
        let body = json!({ "items": items });
        assert_eq!(server.post("/many", "once", body.clone()).await.0, 500);
        assert_eq!((server.count("done"), server.count("lost")), (left, 0), "before {stumbles_at}");
        if left > 0 {
            let other = server.post("/many", "once", json!({ "items": 3 })).await;
            assert_eq!((other.0, &other.2["code"]), (422, &json!("idempotency_key_reused")));
        }
        let wanted = counted(items);
        for replayed in [false, true, true] {
            assert_eq!(server.post("/many", "once", body.clone()).await, (201, replayed, wanted.clone()));
        }
        assert_eq!((server.count("done"), server.audit_rows()), (items, 1), "one command, each item once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_a_piece_and_what_is_rehearsed_is_one_transaction() {
    let server = Server::with(many(usize::MAX));
    let rows = || server.0.store.read(|tx| Ok(tx.scan(&ANSWERS, Scan::all()).count())).unwrap();
    let (status, _, body) = server.post("/many?dry_run=true", "x", json!({ "items": 25 })).await;
    assert_eq!((status, &body["counts"][24], server.count("done")), (200, &json!(25), 0));
    let body = json!({ "items": 10 });
    assert_eq!(server.post("/many", "a", body.clone()).await, (201, false, counted(10)));
    assert_eq!(server.post("/many", "a", body).await, (201, true, counted(10)));
    assert_eq!(rows(), 0);
    server.post("/many", "b", json!({ "items": 11 })).await;
    assert_eq!(rows(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_repeats_at_once_one_works_and_all_get_its_answer() {
    let server = Arc::new(Server::with(many(usize::MAX)));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.post("/many", "once", json!({ "items": 200 })).await })
        })
        .collect();
    let mut fresh = 0;
    for task in tasks {
        let (status, replayed, body) = task.await.unwrap();
        assert_eq!((status, body), (201, counted(200)));
        fresh += u32::from(!replayed);
    }
    assert_eq!((fresh, server.count("done")), (1, 200));
}

/// Power goes after every number of disk operations there is; whoever repeats the command finds it done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_between_any_two_writes_neither_doubles_nor_loses_an_item() {
    let (mut cuts, mut resumed) = (0, 0);
    for changes in 1.. {
        let disk = SimDisk::new(changes);
        let open = || {
            let options =
                StoreOptions { commit: CommitMode::Safe, clock: Clock::System, ..StoreOptions::default() };
            Store::with_backend(disk.clone(), options).ok()
        };
        let server = Server::on(open().unwrap(), many(usize::MAX)).unwrap();
        disk.lose_power_in(changes);
        let first = server.post("/many", "once", json!({ "items": 45 })).await;
        drop(server);
        if first.0 == 201 && changes > 5 {
            break;
        }
        cuts += 1;
        disk.restart();
        let server = Server::on(open().unwrap(), many(usize::MAX)).unwrap();
        let left = server.count("done");
        assert!(left.is_multiple_of(PIECE as u64) || left == 45, "{left} after {changes}");
        resumed += u32::from(left > 0 && left < 45);
        let (status, _, body) = server.post("/many", "once", json!({ "items": 45 })).await;
        assert_eq!((status, body), (201, counted(45)), "after {changes}");
        assert_eq!(server.count("done"), 45, "after {changes}");
    }
    assert!(cuts > 10 && resumed > 3, "{cuts} cuts, {resumed} in the middle");
}
