//! The real binary under load, killed again and again: nothing it answered is lost, and what follows from it happens
//! once.
//!
//! `COFFER_KILLS` says how often; 20 in `cargo test`.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffer::testing::{Answer, Http};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a database that an operator has claimed.
pub struct Installation {
    folder: TempDir,
    operator_token: String,
}

impl Installation {
    pub fn new() -> Installation {
        Installation::configured("")
    }

    /// With a file of settings.
    pub fn configured(settings: &str) -> Installation {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), settings).unwrap();
        let data = ["--json", "--data", "coffer.redb"];
        let token = run_json(folder.path(), &[&["operator", "token", "create", "test"][..], &data].concat());
        run_json(folder.path(), &[&["operator", "create", "op@example.com"][..], &data].concat());
        Installation { folder, operator_token: token["token"].as_str().unwrap().to_owned() }
    }

    pub async fn start(&self) -> Server {
        self.start_with(&[], None).await
    }

    /// With settings, and a place at which it ends by itself.
    pub async fn start_with(&self, settings: &[&str], failpoint: Option<&str>) -> Server {
        Server::start_with(self.folder.path(), settings, failpoint).await
    }

    /// Makes a client; its secret key.
    pub async fn make_client(&self, server: &Server) -> String {
        let bearer = format!("Bearer {}", self.operator_token);
        let operator = Http::at(&server.base_url).header("authorization", &bearer);
        let client = json!({ "name": "K", "slug": "k", "mode": "test", "default_currency": "USD" });
        let client = operator.post("/clients", client).await.expect(201);
        client.body["secret_key"].as_str().unwrap().to_owned()
    }

    /// Changes the file of settings.
    pub fn configure(&self, settings: &str) {
        std::fs::write(self.folder.path().join("config.toml"), settings).unwrap();
    }

    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        coffer(self.folder.path(), &[arguments, &["--data", "coffer.redb"]].concat()).output().unwrap()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    pub fn verify(&self) {
        let arguments = ["verify", "--json", "--recover", "--data", "coffer.redb"];
        let verified = run_json(self.folder.path(), &arguments);
        assert_eq!(verified["ok"], true, "{verified}");
    }
}

pub struct Server {
    child: Child,
    pub base_url: String,
}

fn coffer(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_json(folder: &Path, arguments: &[&str]) -> Value {
    let output = coffer(folder, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed {text}: {error}"))
}

impl Server {
    async fn start_with(folder: &Path, settings: &[&str], failpoint: Option<&str>) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("server.listen=127.0.0.1:{port}");
        let mut command = coffer(folder, &["serve", "--data", "coffer.redb", "--set", &listen]);
        command
            .args(settings.iter().flat_map(|it| ["--set", *it]))
            .envs(failpoint.map(|it| ("COFFER_FAILPOINT", it)));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Server { child, base_url: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "the server ended");
            assert!(started.elapsed() < Duration::from_secs(20), "the server answers within 20 s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// Whoever has this secret key.
    pub fn with_key(&self, secret: &str) -> Http {
        Http::at(&self.base_url).header("x-api-key", secret)
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) {
        self.child.wait().unwrap();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// How long a server is watched doing nothing.
fn idle() -> Duration {
    let seconds = std::env::var("COFFER_IDLE_S").ok().and_then(|it| it.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_nothing_to_do_writes_nothing() {
    let installation = Installation::new();
    let server = installation.start().await;
    installation.make_client(&server).await;
    let file = installation.folder.path().join("coffer.redb");
    let state = || {
        let file = std::fs::metadata(&file).unwrap();
        (file.len(), file.modified().unwrap())
    };
    let mut before = state();
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = state();
        if now == before {
            break; // What the client's making set off is over.
        }
        before = now;
    }
    tokio::time::sleep(idle()).await;
    assert_eq!(state(), before, "neither written to nor grown");
}

/// How often a server is killed.
fn kills() -> u64 {
    std::env::var("COFFER_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_when_the_server_is_killed() {
    let installation = Installation::new();
    let mut server = installation.start().await;
    let secret = installation.make_client(&server).await;
    let user = json!({ "email": "a@example.com", "first_name": "A", "last_name": "B" });
    let user = server.with_key(&secret).post("/users", user).await.expect(201).id().to_owned();
    let transfer = json!({ "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "load" });

    let answered = Arc::new(AtomicU64::new(0));
    for kill in 0..kills() {
        let load: Vec<_> = (0..8)
            .map(|worker| {
                let (http, transfer, answered) =
                    (server.with_key(&secret), transfer.clone(), answered.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let http = http.clone().idempotent(&format!("k{kill}-{worker}-{number}"));
                        let Some(answer) = http.try_post("/transfers", transfer.clone()).await else {
                            return;
                        };
                        if answer.status == 201 {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + kill * 37 % 90)).await;
        server.kill();
        for task in load {
            task.await.unwrap();
        }
        server = installation.start().await;
        let balance =
            server.with_key(&secret).get(&format!("/balances/USD?user_id={user}")).await.expect(200);
        let shown = balance.body["available"].as_str().unwrap();
        let found: u64 = shown.strip_suffix(".00").unwrap().parse().unwrap();
        let answered = answered.load(Ordering::SeqCst);
        assert!(found >= answered, "{answered} were answered, {found} are there after kill {kill}");
        // At most the eight that were on their way may be there without an answer.
        assert!(found <= answered + 8 * (kill + 1), "{found} of {answered}");
        installation.verify();
    }
    let ledger = server.with_key(&secret).get("/ledger/verify").await.expect(200);
    assert_eq!(ledger.body["ok"], true, "{}", ledger.body);
    assert!(answered.load(Ordering::SeqCst) > kills(), "there was load");
}

/// A key that is made is told to the client's one admin, by a queued listener whose effect is a row in the inbox and
/// its counter, one more: after all of them that row says how often the effect happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_each_add_one_to_a_row_however_often_the_server_is_killed() {
    const EVENTS: u64 = 10_000;
    let installation = Installation::new();
    let mut server = installation.start().await;
    let secret = installation.make_client(&server).await;
    let admin = json!({ "email": "a@example.com", "first_name": "A", "last_name": "B" });
    let admin = server.with_key(&secret).post("/users", admin).await.expect(201).id().to_owned();
    let roles = json!({ "roles": ["admin"] });
    server.with_key(&secret).put(&format!("/users/{admin}/roles"), 1, roles).await.expect(200);
    let unread = async |server: &Server| {
        let path = format!("/notifications/unread-count?user_id={admin}");
        server.with_key(&secret).get(&path).await.expect(200).body["unread"].as_u64().unwrap()
    };
    const OTHERS: u64 = 2; // Of having registered, and of the role.

    // Each command is repeated under its own key until it is answered: there are as many events as commands.
    let base_url = Arc::new(Mutex::new(server.base_url.clone()));
    let (begun, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..16)
        .map(|_| {
            let (begun, answered, base_url, secret) =
                (begun.clone(), answered.clone(), base_url.clone(), secret.clone());
            tokio::spawn(async move {
                loop {
                    let number = begun.fetch_add(1, Ordering::SeqCst);
                    if number >= EVENTS {
                        return;
                    }
                    make_key(&base_url, &secret, number).await.expect(201);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for kill in 0..kills() {
        let portion = EVENTS * (kill + 1) / (kills() + 1);
        while answered.load(Ordering::SeqCst) < portion {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(kill * 37 % 23)).await;
        server.kill();
        server = installation.start().await;
        base_url.lock().unwrap().clone_from(&server.base_url);
    }
    for task in load {
        task.await.unwrap();
    }
    let mut heard = unread(&server).await;
    let mut since = Instant::now();
    // As long as it goes on, it may take its time.
    while heard < EVENTS + OTHERS {
        assert!(since.elapsed() < Duration::from_secs(60), "{heard} of {EVENTS} and {OTHERS} are heard");
        let before = std::mem::replace(&mut heard, unread(&server).await);
        if heard > before {
            since = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And nothing of it comes again.
    server.kill();
    server = installation.start().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(unread(&server).await, EVENTS + OTHERS);
    for status in ["pending", "failed"] {
        let left = server.with_key(&secret).get(&format!("/jobs?status={status}")).await.expect(200);
        assert_eq!(left.body["data"], json!([]), "{status}");
    }
    installation.verify();
}

/// Makes the key with this number, however often the server ends meanwhile.
async fn make_key(base_url: &Mutex<String>, secret: &str, number: u64) -> Answer {
    let body = json!({ "name": format!("key {number}"), "scopes": ["users:read"] });
    loop {
        let server = Http::at(&base_url.lock().unwrap());
        let http = server.header("x-api-key", secret).idempotent(&format!("key-{number}"));
        if let Some(answer) = http.try_post("/api-keys", body.clone()).await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
