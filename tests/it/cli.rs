//! The binary as somebody at a terminal, a script and a supervisor meet it.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use coffer::internals::store::{CommitMode, Store, StoreOptions, WriteTx, codec};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with nothing in it, where `coffer` is called.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.current_dir(self.0.path()).env_clear().args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(&arguments.split(' ').collect::<Vec<_>>()).output().unwrap()
    }

    /// What it answers with `--json`; it must end with `exit` and say nothing else.
    #[track_caller]
    pub fn json_exiting(&self, arguments: &str, exit: i32) -> Value {
        let output = self.run(&format!("{arguments} --json"));
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(exit), "{arguments}\n{out}\n{err}");
        assert_eq!(err, "", "{arguments}");
        assert_eq!(out.lines().count(), 1, "{arguments} prints one line:\n{out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments}: {error}: {out}"))
    }

    #[track_caller]
    pub fn json(&self, arguments: &str) -> Value {
        self.json_exiting(arguments, 0)
    }

    /// A server at a free port, when it is ready.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        let log = fs::File::create(self.path("serve.log")).unwrap();
        let arguments = [&["serve", "--json", "--set", "server.listen=127.0.0.1:0"], arguments].concat();
        let child = self.command(&arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Server::ready(child)
    }

    /// A closed database with nothing in it but what `fill` writes.
    fn database(&self, name: &str, fill: impl FnOnce(&Store)) {
        let store = Store::open_file(&self.path(name), true, StoreOptions::default()).unwrap();
        fill(&store);
        store.close().unwrap();
    }
}

/// A process that serves; killed when dropped.
pub struct Server {
    child: Child,
    /// What it printed when it was ready.
    line: Value,
}

impl Server {
    fn ready(mut child: Child) -> Server {
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Server { child, line }
    }

    pub fn text(&self, field: &str) -> &str {
        self.line[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.line))
    }

    /// Status and body.
    pub fn get(&self, path: &str, token: &str) -> (u16, String) {
        let address = self.text("url").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let bearer = format!("Authorization: Bearer {token}\r\n");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Status and body of a command.
    /// What a command answers that is not refused, by its path in the API.
    pub fn done(&self, path: &str, token: &str, body: &Value) -> Value {
        let (status, answer) = self.post(&format!("/api/v1{path}"), token, body);
        assert!((200..300).contains(&status), "{path}: {answer}");
        answer
    }

    pub fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.send("POST", path, token, body)
    }

    pub fn put(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        self.send("PUT", path, token, body)
    }

    fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let address = self.text("url").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let (body, key) = (body.to_string(), format!("{:?}", Instant::now()).replace(' ', ""));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// Asks it to stop, and waits until it has. What it exits with.
    pub fn stop(mut self) -> Option<i32> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Commands no test below calls with `--json`. It only shrinks.
const NOT_CALLED: &[&str] = &[];

#[test]
fn every_command_answers_json_with_a_server_and_without() {
    let place = Place::new();
    // Those that serve have tests of their own.
    let mut called: BTreeSet<String> =
        ["serve", "dev", "demo", "notifications outbox retry", "export", "import"].map(str::to_owned).into();
    let mut call = |place: &Place, name: &str, arguments: &str| {
        called.insert(name.to_owned());
        place.json(format!("{name} {arguments}").trim_end())
    };

    // What needs no data.
    assert_eq!(call(&place, "version", "--verbose")["layout"], 1);
    assert_eq!(call(&place, "openapi", "")["openapi"], "3.1.0");
    assert_eq!(call(&place, "config check", "")["ok"], true);
    let shown = call(&place, "config show", "--origin --set log.level=debug");
    let level = shown["data"].as_array().unwrap().iter().find(|it| it["key"] == "log.level").unwrap();
    assert_eq!(*level, json!({ "key": "log.level", "value": "debug", "origin": "flag" }));
    let modules = call(&place, "module list", "");
    assert_eq!(modules["data"][0]["name"], "currency");
    let services = call(&place, "module services", "");
    assert!(services["data"].as_array().unwrap().iter().any(|it| it["name"] == "user_balance"));
    let providers = call(&place, "module providers list", "");
    assert_eq!(
        providers["data"][0],
        json!({
            "priority": 1, "module": "currency", "enabled": true, "provides": ["CurrencyContract"], "requires": [],
        })
    );
    assert_eq!(call(&place, "module providers cache", "")["cached"], true);
    let aliases = call(&place, "module aliases", "");
    assert!(aliases["data"].as_array().unwrap().iter().any(|it| it["prefix"] == "wdr"));

    let server = place.serve(&[]);
    let listen = server.text("url").replace("http://", "");
    assert!(text(&call(&place, "setup-link", ""), "url").contains("/setup#"));
    let operator = call(&place, "operator create", "ops@example.com");
    assert!(text(&operator, "password").len() > 20);
    assert_eq!(call(&place, "healthcheck", &format!("--set server.listen={listen}"))["ok"], true);
    let again = call(&place, "operator reset-password", "ops@example.com");
    assert_ne!(again["password"], operator["password"]);
    assert_eq!(call(&place, "operator reset-2fa", "ops@example.com")["email"], "ops@example.com");
    assert_eq!(call(&place, "operator list", "")["data"][0]["email"], "ops@example.com");
    let token = call(&place, "operator token create", "deployment");
    let clients = "/api/v1/clients";
    assert_eq!(server.get(clients, text(&token, "token")).0, 200);
    assert_eq!(call(&place, "operator token list", "")["data"][0]["name"], "deployment");
    call(&place, "operator token revoke", text(&token, "id"));
    assert_eq!(server.get(clients, text(&token, "token")).0, 401);

    let client = call(&place, "client create", "--name Northwind --mode live --currency EUR");
    let (id, key) = (text(&client, "id").to_owned(), text(&client, "secret_key").to_owned());
    assert_eq!(call(&place, "client list", "")["data"][0]["slug"], "northwind");
    assert_eq!(call(&place, "client show", "northwind")["id"], id.as_str());
    call(&place, "client deactivate", &id);
    assert_eq!(server.get("/api/v1/users", &key).0, 403);
    call(&place, "client activate", "northwind");
    assert_eq!(server.get("/api/v1/users", &key).0, 200);

    let made = call(&place, "key create", "--name reports --scope users:read --client northwind");
    assert_eq!(server.get("/api/v1/users", text(&made, "secret_key")).0, 200);
    assert_eq!(server.get("/api/v1/withdrawals", text(&made, "secret_key")).0, 403);
    let keys = call(&place, "key list", "--client northwind");
    assert_eq!(keys["data"].as_array().unwrap().len(), 3);
    let rotated = call(&place, "key rotate", &format!("{} --client {id}", text(&made, "id")));
    call(&place, "key revoke", &format!("{} --client {id}", text(&rotated, "id")));
    assert_eq!(server.get("/api/v1/users", text(&rotated, "secret_key")).0, 401);

    let health = call(&place, "module list", "--health");
    assert!(health["data"].as_array().unwrap().iter().all(|it| it["health"]["status"] == "ok"), "{health}");
    assert_eq!(call(&place, "module show", "balance")["health"]["status"], "ok");
    call(&place, "ledger accounts", "--client northwind");
    call(&place, "ledger trial-balance", "--client northwind");
    assert_eq!(call(&place, "ledger verify", "--client northwind")["ok"], true);
    let types = call(&place, "events types", "");
    assert!(types["data"].as_array().unwrap().iter().any(|it| it["name"] == "user.registered"));
    let user = json!({ "email": "a@example.com", "first_name": "A", "last_name": "B" });
    let (status, user) = server.post("/api/v1/users", &key, &user);
    assert_eq!(status, 201, "{user}");
    let listed = call(&place, "events list", "--client northwind --type user.registered");
    let delivery = text(&listed["data"][0], "id").to_owned();
    let event = text(&listed["data"][0], "event_id").to_owned();
    let shown = call(&place, "events show", &event);
    assert_eq!((&shown["event"]["entity"], &shown["jobs"][0]["id"]), (&user["id"], &json!(delivery)));
    assert_eq!(call(&place, "events scheduled run", "")["failed"], 0);
    assert_eq!(place.json(&format!("events show {delivery}"))["status"], "sent");
    assert_eq!(call(&place, "events scheduled cleanup", "")["deliveries"], 0);
    let retried = call(&place, "events retry", "--failed");
    assert_eq!((&retried["status"], &retried["retried"]), (&json!("finished"), &json!(0)));
    let paused = call(&place, "queue pause", "default --client northwind");
    assert_eq!((&paused["status"], &paused["paused_by"]), (&json!("paused"), &json!("system")));
    let queues = call(&place, "queue list", "--client northwind");
    assert!(queues["data"].as_array().unwrap().iter().any(|it| it["status"] == "paused"));
    let waits = json!({ "email": "c@example.com", "first_name": "C", "last_name": "D" });
    assert_eq!(server.post("/api/v1/users", &key, &waits).0, 201);
    let waiting = place.json("events list --client northwind --status pending");
    let canceled = call(&place, "events cancel", text(&waiting["data"][0], "id"));
    assert_eq!(canceled["data"][0]["status"], "canceled");
    assert_eq!(call(&place, "queue resume", "default --client northwind")["status"], "running");
    assert_eq!(call(&place, "notifications outbox process", "--limit 5")["processed"], 0);
    assert_eq!(call(&place, "notifications outbox list", "--client northwind")["data"], json!([]));
    // A second process reads the file the server is writing.
    assert_eq!(call(&place, "verify", "")["ok"], true);

    assert_eq!(server.stop(), Some(0));
    assert!(!place.path("data/coffer.sock").exists(), "a stopped server leaves no socket");

    // The same without a server: the file is opened by the command itself.
    assert_eq!(call(&place, "client show", "northwind")["id"], id.as_str());
    call(&place, "client create", "--name Harbor");
    assert_eq!(call(&place, "client list", "")["data"].as_array().unwrap().len(), 2);
    assert_eq!(call(&place, "module list", "--health")["data"][0]["health"]["status"], "ok");
    assert_eq!(call(&place, "ledger verify", "--client harbor")["ok"], true);
    assert_eq!(call(&place, "verify", "")["ok"], true);

    // What is done to modules; `module.rs` has the rest.
    let status = call(&place, "module migration status", "currency");
    assert!(status["data"][0]["applied_at"].is_string(), "{status}");
    let undone = call(&place, "module rollback", "dashboard");
    assert_eq!(undone["data"][0]["name"], "count the events that are kept");
    let done = call(&place, "module migrate", "--all");
    assert_eq!(
        (&done["data"][0]["module"], done["data"].as_array().unwrap().len()),
        (&json!("dashboard"), 1)
    );
    assert_eq!(call(&place, "module disable", "notification")["enabled"], false);
    assert_eq!(call(&place, "module enable", "notification")["enabled"], true);
    crate::module::checkout(&place);
    let written = call(&place, "module create", "Product --description Goods");
    assert_eq!(written["module"], "product");
    let written = call(&place, "module migration make", "find_by_colour --module product");
    assert_eq!((&written["version"], &written["name"]), (&json!(2), &json!("find by colour")));

    // What was shown once stands in no log.
    let log = fs::read_to_string(place.path("serve.log")).unwrap();
    for secret in [text(&operator, "password"), text(&token, "token"), &key, text(&made, "secret_key")] {
        assert!(!log.contains(secret), "the log has a secret");
    }

    let missing: BTreeSet<String> =
        coffer::cli::commands().into_iter().filter(|it| !called.contains(it)).collect();
    assert_eq!(missing, NOT_CALLED.iter().map(|it| (*it).to_owned()).collect());
}

#[test]
fn a_server_in_memory_prints_one_line_and_stops_when_standard_input_closes() {
    let place = Place::new();
    let mut command = place.command(&["dev", "--ephemeral", "--port", "0", "--print-json"]);
    let started = Instant::now();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server::ready(child);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "ready after {took:?}");

    let names: Vec<&String> = server.line.as_object().unwrap().keys().collect();
    assert_eq!(names, ["client_id", "operator_token", "pid", "publishable_key", "secret_key", "url"]);
    assert_eq!(server.line["pid"], server.child.id());
    for (path, token) in [
        ("/api/v1/currencies", "publishable_key"),
        ("/api/v1/users", "secret_key"),
        ("/api/v1/clients", "operator_token"),
    ] {
        assert_eq!(server.get(path, server.text(token)).0, 200, "{path}");
    }
    let (_, gateways) = server.get("/api/v1/payment-gateways", server.text("secret_key"));
    let gateways: Value = serde_json::from_str(&gateways).unwrap();
    let mut kinds: Vec<&str> =
        gateways["data"].as_array().unwrap().iter().map(|it| text(it, "kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["manual", "sandbox"]);

    drop(server.child.stdin.take());
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        match server.child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "it stops when standard input closes"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success());
    let mut rest = String::new();
    server.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "one line and no more");
    assert!(fs::read_dir(place.0.path()).unwrap().next().is_none(), "nothing was written");
}

/// What only a harness wants was once set over what the command line said.
#[test]
fn what_the_command_line_says_counts_in_memory_too() {
    let place = Place::new();
    let start = |set: &[&str]| {
        let arguments = [&["dev", "--ephemeral", "--port", "0", "--print-json"], set].concat();
        let mut command = place.command(&arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Server::ready(child.unwrap())
    };
    let guesses =
        |server: &Server| (0..50).map(|_| server.get("/api/v1/users", "sk_test_guess").0).collect::<Vec<_>>();
    let free = start(&[]);
    assert_eq!(guesses(&free), [401; 50]);
    let limited = start(&["--set", "limits.unauthenticated_per_s=1"]);
    assert!(guesses(&limited).contains(&429));
}

#[test]
fn dev_in_a_file_is_sown_once_and_remembers_its_credentials() {
    let place = Place::new();
    let start = || {
        let arguments = ["dev", "--port", "0", "--json"];
        let child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Server::ready(child)
    };
    let first = start();
    let key = first.text("secret_key").to_owned();
    assert_eq!(first.stop(), Some(0));
    let second = start();
    assert_eq!(second.text("secret_key"), key);
    assert_eq!(second.get("/api/v1/users", &key).0, 200);
    let (_, clients) = second.get("/api/v1/clients", second.text("operator_token"));
    let clients: Value = serde_json::from_str(&clients).unwrap();
    assert_eq!(clients["data"].as_array().unwrap().len(), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(place.path("data/dev.redb.credentials")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn demo_lives_its_ninety_days_once() {
    let place = Place::new();
    let start = || {
        let arguments = ["demo", "--port", "0", "--json"];
        let child = place.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Server::ready(child)
    };
    let count = |server: &Server, path: &str| {
        let (status, body) = server.get(&format!("/api/v1{path}"), server.text("secret_key"));
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].as_array().unwrap().len()
    };
    let first = start();
    assert_eq!(count(&first, "/users?limit=100"), 9);
    assert_eq!(count(&first, "/withdrawals?status=pending_review"), 2);
    assert_eq!(count(&first, "/adjustments?status=requested"), 1);
    assert!(count(&first, "/fundings?limit=100&status=completed") > 40);
    assert!(count(&first, "/withdrawals?limit=100&status=completed") > 10);
    assert!(count(&first, "/transfers?limit=100") > 10);
    // What came with the years of a business: plans, prices, exchanges, and what goes wrong.
    for (path, wanted) in [
        ("/plans?status=published", 1),
        ("/investments?status=active", 2),
        ("/investments?status=closed", 4),
        ("/markets?status=active", 2),
        ("/swaps", 3),
        ("/refunds?status=succeeded", 1),
        ("/disputes", 1),
        ("/users?status=frozen", 2),
        ("/webhook-endpoints", 1),
        ("/webhook-deliveries", 1),
    ] {
        assert_eq!(count(&first, path), wanted, "{path}");
    }
    let (_, markets) = first.get("/api/v1/markets", first.text("secret_key"));
    let markets: Value = serde_json::from_str(&markets).unwrap();
    for market in markets["data"].as_array().unwrap() {
        let id = text(market, "id");
        assert!(count(&first, &format!("/markets/{id}/candles?interval=1d&limit=100")) >= 90, "{market}");
    }
    let fundings = count(&first, "/fundings?limit=100");
    assert_eq!(place.json("verify --data data/demo.redb")["ok"], true);
    assert_eq!(first.stop(), Some(0));

    let second = start();
    assert_eq!(count(&second, "/fundings?limit=100"), fundings, "the second run finds the same days");
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn an_unclaimed_installation_shows_its_link_to_a_person_only() {
    let place = Place::new();
    let server = place.serve(&[]);
    let (status, body) = server.get("/api/v1/users", "");
    assert!(status == 503 && body.contains("not_claimed"), "{status} {body}");
    let listen = server.text("url").replace("http://", "");
    let health = place.json_exiting(&format!("healthcheck --set server.listen={listen}"), 1);
    assert_eq!(health["ok"], false);

    let link = place.json("setup-link");
    let (_, token) = text(&link, "url").split_once('#').unwrap();
    let log = fs::read_to_string(place.path("serve.log")).unwrap();
    assert!(log.contains("coffer setup-link") && !log.contains(token), "{log}");
    assert!(!server.line.to_string().contains('#'), "{}", server.line);
}

#[test]
fn an_installation_nobody_sits_in_front_of_is_claimed_from_its_configuration() {
    let place = Place::new();
    fs::write(place.path("password"), "correct horse battery\n").unwrap();
    let set = ["bootstrap.operator_email=ops@example.com", "bootstrap.operator_password_file=password"];
    let arguments = ["--set", set[0], "--set", set[1]];

    let open = place.command(&[&["serve"], &arguments[..]].concat()).output().unwrap();
    assert_eq!(open.status.code(), Some(78), "a password others may read is refused");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(place.path("password"), private).unwrap();
    for _ in 0..2 {
        let server = place.serve(&arguments);
        assert_eq!(server.get("/api/v1/users", "").0, 401, "it is claimed");
        assert_eq!(place.json("operator list")["data"].as_array().unwrap().len(), 1);
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_data_file_that_does_not_open_is_one_line_with_the_remedy_and_an_exit_code() {
    struct Case {
        what: &'static str,
        prepare: fn(&Place),
        arguments: &'static str,
        exit: i32,
        code: &'static str,
        says: &'static str,
    }
    let cases = [
        Case {
            what: "missing",
            prepare: |_| {},
            arguments: "verify",
            exit: 66,
            code: "data_missing",
            says: "coffer serve",
        },
        Case {
            what: "missing, for a command that changes something",
            prepare: |_| {},
            arguments: "client create --name A",
            exit: 66,
            code: "data_missing",
            says: "coffer serve",
        },
        Case {
            what: "in a place where none can be",
            prepare: |place| fs::write(place.path("a-file"), "x").unwrap(),
            arguments: "serve --data a-file/coffer.redb",
            exit: 73,
            code: "data_cannot_create",
            says: "Check that the directory",
        },
        Case {
            what: "unreadable: a directory",
            prepare: |place| fs::create_dir_all(place.path("data/coffer.redb")).unwrap(),
            arguments: "verify",
            exit: 77,
            code: "data_unreadable",
            says: "Check its owner and mode",
        },
        Case {
            what: "truncated",
            prepare: |place| put(place, b""),
            arguments: "serve",
            exit: 65,
            code: "data_truncated",
            says: "Restore a backup",
        },
        Case {
            what: "cut short",
            prepare: |place| {
                fs::create_dir_all(place.path("data")).unwrap();
                place.database("data/coffer.redb", |_| {});
                let file = fs::OpenOptions::new().write(true).open(place.path("data/coffer.redb")).unwrap();
                file.set_len(100).unwrap();
            },
            arguments: "verify",
            exit: 65,
            code: "data_corrupted",
            says: "Restore a backup",
        },
        Case {
            what: "somebody else's",
            prepare: |place| put(place, &[b'x'; 100_000]),
            arguments: "verify",
            exit: 65,
            code: "data_foreign",
            says: "Correct storage.path",
        },
        Case {
            what: "newer",
            prepare: |place| {
                fs::create_dir_all(place.path("data")).unwrap();
                place.database("data/coffer.redb", |store| {
                    let newer = |tx: &mut WriteTx| {
                        tx.raw_put("kernel.store", b"layout".to_vec(), codec::encode(&99u32));
                        Ok(())
                    };
                    store.write_blocking(newer).unwrap();
                });
            },
            arguments: "serve",
            exit: 78,
            code: "data_newer",
            says: "Run the newer release",
        },
        Case {
            what: "with another database's key file",
            prepare: |place| {
                place.json("operator token create a");
                fs::write(place.path("data/coffer.redb.key"), format!("{}\n", "5a".repeat(32))).unwrap();
            },
            arguments: "serve",
            exit: 77,
            code: "key_file",
            says: "the key file is not the one of this database; restore it from a backup",
        },
        Case {
            what: "with another database's key file, for a command that only looks",
            prepare: |place| {
                place.json("operator token create a");
                fs::write(place.path("data/coffer.redb.key"), format!("{}\n", "5a".repeat(32))).unwrap();
            },
            arguments: "verify",
            exit: 77,
            code: "key_file",
            says: "the key file is not the one of this database",
        },
        Case {
            what: "without its key file",
            prepare: |place| {
                fs::create_dir_all(place.path("data")).unwrap();
                place.database("data/coffer.redb", |_| {});
            },
            arguments: "serve",
            exit: 77,
            code: "key_file",
            says: "restore it from a backup",
        },
    ];
    for Case { what, prepare, arguments, exit, code, says } in cases {
        let place = Place::new();
        prepare(&place);
        refused(&place, what, arguments, (exit, code), says);
    }
}

fn put(place: &Place, bytes: &[u8]) {
    fs::create_dir_all(place.path("data")).unwrap();
    fs::write(place.path("data/coffer.redb"), bytes).unwrap();
}

/// The command fails with this exit code, says why on one line, and the same in JSON.
#[track_caller]
pub fn refused(place: &Place, what: &str, arguments: &str, (exit, code): (i32, &str), says: &str) {
    let (out, err) = texts(&place.run(arguments));
    assert_eq!(out, "", "{what}");
    assert!(err.lines().count() == 1 && err.starts_with("coffer: ") && err.contains(says), "{what}: {err}");
    let output = place.run(&format!("{arguments} --json"));
    let (out, err) = texts(&output);
    assert_eq!((out.as_str(), output.status.code()), ("", Some(exit)), "{what}: {err}");
    let error: Value = serde_json::from_str(&err).unwrap_or_else(|error| panic!("{what}: {error}: {err}"));
    assert_eq!(error["error"]["code"], code, "{what}: {err}");
    assert!(text(&error["error"], "message").contains(says), "{what}: {err}");
}

#[test]
fn a_file_somebody_else_has_open_is_locked() {
    let place = Place::new();
    fs::create_dir_all(place.path("data")).unwrap();
    let path = place.path("data/coffer.redb");
    let options = StoreOptions { commit: CommitMode::Fast, ..StoreOptions::default() };
    let held = Store::open_file(&path, true, options).unwrap();
    for arguments in ["verify", "serve", "client create --name A"] {
        refused(&place, arguments, arguments, (69, "data_locked"), "Stop that one");
    }
    held.close().unwrap();
}

#[test]
fn a_file_whose_server_was_killed_is_read_again_when_recovered() {
    for commit in ["storage.commit=safe", "storage.commit=fast"] {
        let place = Place::new();
        let server = place.serve(&["--set", commit]);
        place.json("operator token create a");
        server.kill();
        refused(&place, commit, "verify", (75, "data_needs_recovery"), "--recover");
        assert_eq!(place.json(&format!("verify --recover --set {commit}"))["ok"], true);
        assert_eq!(place.json("operator token list")["data"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn verify_names_the_first_thing_that_is_wrong() {
    let place = Place::new();
    place.json("operator token create a");
    let store = Store::open_file(&place.path("data/coffer.redb"), false, StoreOptions::default()).unwrap();
    let damage = |tx: &mut WriteTx| {
        tx.raw_put("kernel.incarnation", vec![], vec![1, 2, 3, 4, 5, 6]);
        Ok(())
    };
    store.write_blocking(damage).unwrap();
    store.close().unwrap();
    let report = place.json_exiting("verify", 1);
    assert_eq!(report["ok"], false);
    assert!(text(&report, "first_problem").contains("kernel.incarnation"), "{report}");
    let output = place.run("verify");
    assert!(texts(&output).0.contains("one thing is wrong"), "{}", texts(&output).0);
}

#[test]
fn a_mistake_in_the_configuration_is_found_before_anything_is_touched() {
    let place = Place::new();
    fs::write(place.path("config.toml"), "[server]\nlisten = \"here\"\nlissen = 1\n").unwrap();
    let check = place.json_exiting("config check", 78);
    assert_eq!(check["problems"].as_array().unwrap().len(), 2, "{check}");
    let output = place.run("serve");
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(texts(&output).1.lines().count(), 2, "a line for each");
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_name_no_module_knows_is_found_without_starting_and_the_nearest_one_is_named() {
    let place = Place::new();
    let config = "[events.user_registerd]\npriority = \"high\"\n\
                  [events.user_registered.listeners.notification_tel]\ntries = 5\n\
                  [events.quite_another_thing]\ntries = 2\n";
    fs::write(place.path("config.toml"), config).unwrap();
    let check = place.json_exiting("config check", 78);
    let problems: Vec<&str> =
        check["problems"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(problems.len(), 3, "{check}");
    for (key, says) in [
        ("events.user_registerd: ", "did you mean events.user_registered?"),
        ("events.user_registered.listeners.notification_tel: ", "did you mean notification_tell?"),
        ("events.quite_another_thing: ", "`coffer events types` shows them"),
    ] {
        assert!(problems.iter().any(|it| it.starts_with(key) && it.contains(says)), "{key} {problems:#?}");
    }
    assert!(!problems.iter().any(|it| it.contains("another_thing") && it.contains("did you mean")));
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 1, "nothing was made");

    let output = place.run("serve --json --set log.level=off");
    let said: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &said["error"]["code"]), (Some(78), &json!("configuration")));
    assert_eq!(text(&said["error"], "message").lines().collect::<Vec<_>>(), problems, "the same as at start");

    fs::write(place.path("config.toml"), "[events.user_registered.listeners.tell]\ntries = 5\n").unwrap();
    assert_eq!(place.json("config check")["ok"], true);
}

#[test]
fn a_wrong_command_line_is_2_and_a_refusal_names_its_code() {
    let place = Place::new();
    for wrong in
        ["", "nonsense", "client", "client create", "verify --nonsense", "--set a=b", "verify --set a"]
    {
        let arguments: Vec<&str> = wrong.split(' ').filter(|it| !it.is_empty()).collect();
        let output = place.command(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        assert!(output.stdout.is_empty(), "{wrong}");
    }
    let output = place.run("client create --json");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["error"]["code"], "usage");

    place.json("operator token create a");
    refused(&place, "unknown", "client show nobody", (64, "not_found"), "coffer client list");
    refused(&place, "currency", "client create --name A --currency XXX", (64, "currency_unknown"), "XXX");
    refused(&place, "nobody there", "healthcheck --config none.toml", (78, "config"), "none.toml");
}

#[test]
fn nobody_answers_is_unhealthy() {
    let place = Place::new();
    let report = place.json_exiting("healthcheck --set server.listen=127.0.0.1:1", 1);
    assert_eq!(report["ok"], false);
    assert!(text(&report, "problem").contains("coffer serve"), "{report}");
}

#[test]
fn help_lists_every_exit_code() {
    let place = Place::new();
    let output = place.run("--help");
    assert_eq!(output.status.code(), Some(0));
    let help = texts(&output).0;
    for exit in ["0", "1", "2", "64", "65", "66", "69", "70", "71", "73", "74", "75", "77", "78"] {
        assert!(help.contains(&format!("\n{exit:>4}  ")), "{exit}");
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = format!("serve --set server.listen={address} --set log.level=off");
    refused(&place, "taken", &arguments, (71, "cannot_listen"), &address);
}
