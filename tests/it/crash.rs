//! The real binary under load, killed again and again: nothing it answered is lost.
//!
//! `COFFER_KILLS` says how often; 20 in `cargo test`.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use coffer::testing::Http;
use serde_json::{Value, json};

struct Server {
    child: Child,
    base_url: String,
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
    async fn start(folder: &Path) -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("server.listen=127.0.0.1:{port}");
        let mut command = coffer(folder, &["serve", "--data", "coffer.redb", "--set", &listen]);
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

    fn kill(mut self) {
        self.child.kill().unwrap(); // SIGKILL
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_when_the_server_is_killed() {
    let kills: u32 = std::env::var("COFFER_KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(20);
    let folder = tempfile::tempdir().unwrap();
    let folder: PathBuf = folder.path().into();
    std::fs::create_dir_all(&folder).unwrap();
    let token =
        run_json(&folder, &["operator", "token", "create", "test", "--json", "--data", "coffer.redb"]);
    let token = token["token"].as_str().unwrap().to_owned();
    run_json(&folder, &["operator", "create", "op@example.com", "--json", "--data", "coffer.redb"]);

    let server = Server::start(&folder).await;
    let operator = Http::at(&server.base_url).header("authorization", &format!("Bearer {token}"));
    let client = json!({ "name": "K", "slug": "k", "mode": "test", "default_currency": "USD" });
    let client = operator.post("/clients", client).await.expect(201);
    let secret = client.body["secret_key"].as_str().unwrap().to_owned();
    let key = |base_url: &str| Http::at(base_url).header("x-api-key", &secret);
    let user = json!({ "email": "a@example.com", "first_name": "A", "last_name": "B" });
    let user = key(&server.base_url).post("/users", user).await.expect(201).id().to_owned();
    let transfer = json!({ "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "load" });

    let answered = Arc::new(Mutex::new(0u64));
    let mut server = Some(server);
    for kill in 0..kills {
        let base_url = server.as_ref().unwrap().base_url.clone();
        let load: Vec<_> = (0..8)
            .map(|worker| {
                let (http, transfer, answered) = (key(&base_url), transfer.clone(), answered.clone());
                tokio::spawn(async move {
                    for number in 0.. {
                        let http = http.clone().idempotent(&format!("k{kill}-{worker}-{number}"));
                        let Some(answer) = http.try_post("/transfers", transfer.clone()).await else {
                            return;
                        };
                        if answer.status == 201 {
                            *answered.lock().unwrap() += 1;
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + u64::from(kill * 37 % 90))).await;
        server.take().unwrap().kill();
        for task in load {
            task.await.unwrap();
        }
        server = Some(Server::start(&folder).await);
        let base_url = server.as_ref().unwrap().base_url.clone();
        let balance = key(&base_url).get(&format!("/balances/USD?user_id={user}")).await.expect(200);
        let shown = balance.body["available"].as_str().unwrap();
        let found: u64 = shown.strip_suffix(".00").unwrap().parse().unwrap();
        let answered = *answered.lock().unwrap();
        assert!(found >= answered, "{answered} were answered, {found} are there after kill {kill}");
        // At most the eight that were on their way may be there without an answer.
        assert!(found <= answered + 8 * u64::from(kill + 1), "{found} of {answered}");
        let verified = run_json(&folder, &["verify", "--json", "--data", "coffer.redb"]);
        assert_eq!(verified["ok"], true, "after kill {kill}: {verified}");
    }
    let ledger = key(&server.as_ref().unwrap().base_url).get("/ledger/verify").await.expect(200);
    assert_eq!(ledger.body["ok"], true, "{}", ledger.body);
    assert!(*answered.lock().unwrap() > u64::from(kills), "there was load");
}
