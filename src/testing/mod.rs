//! The whole server in memory, on a free port, with a clock to move: for tests of Coffer and of what is built on it.
//!
//! ```no_run
//! # async fn story() {
//! use coffer::testing::Instance;
//! use serde_json::json;
//!
//! let coffer = Instance::start().await;
//! let user = coffer.key().post("/users", json!({ "email": "a@b.co", "first_name": "A", "last_name": "B" })).await;
//! assert_eq!(user.status, 201);
//! coffer.advance(std::time::Duration::from_secs(3600)).await;
//! # }
//! ```
//!
//! | to | say |
//! |---|---|
//! | move time, and wait for what that brings about | `advance(duration)`; `drain()` only waits |
//! | look at what was announced | `new_events()` |
//! | look at what waits | `assert_enqueued("mail")`, `refute_enqueued`, `enqueued` |
//! | read the mails | `mailbox()`; over HTTP `GET /testing/mailbox` |
//! | receive webhooks | `webhooks()`, a server on loopback: `url`, `reply`, `received`, `wait_for` |
//! | look at every request made to endpoints | `sent_webhooks()`; over HTTP `GET /testing/webhooks` |
//! | give names addresses | `names()`: no test asks a real resolver |
//! | have several people who decide | make them, then `agree_to_access()` |
//! | let a step fail | `fail_next(Failpoint::AfterSendBeforeAck, 1)`; over HTTP `POST /testing/faults` |
//! | configure | `Instance::builder().configure(\|config\| …)`, `clock_at`, `seed` |
//!
//! When an instance is dropped it checks every invariant of its books and panics when one does not hold.

mod counting;
mod simulation;
mod webhooks;

pub use crate::modules::notification::contract::{CapturedMail, CapturedWebhook};
pub use counting::Counting;
pub use simulation::Simulation;
pub use webhooks::{Received, Recorder, Reply};

pub use crate::kernel::{events::failpoint::Failpoint, net::Names};

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::{
    StartError,
    app::{App, router},
    config::{Config, Listen},
    kernel::{
        api::{dispatch::Peer, principal::Actor, server::Listener},
        boot::Kernel,
        clock::{Clock, Time},
        events::{delivery::DELIVERIES, outbox::EVENTS},
        store::{Scan, Store},
    },
    modules::notification::contract::Captured,
};

/// A server in memory.
pub struct Instance {
    app: App,
    credentials: Credentials,
    base_url: String,
    http: HyperClient<HttpConnector, Body>,
    stop: watch::Sender<bool>,
    /// Events seen by [`Instance::new_events`] so far.
    seen: Mutex<usize>,
    names: Names,
    recorder: OnceLock<Recorder>,
}

/// What a fresh instance gives out: an operator, and one test client with its keys.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub operator_token: String,
    pub client_id: String,
    pub secret_key: String,
    pub publishable_key: String,
    /// Of the active manual gateway.
    pub manual_gateway: String,
    /// Of the active sandbox gateway.
    pub sandbox_gateway: String,
    /// Of the published investment plan.
    pub plan: String,
}

/// How an instance starts.
pub struct Builder {
    clock: Time,
    seed: Option<u64>,
    config: Config,
}

impl Builder {
    /// The instant the manual clock stands at; 2026-01-01T00:00:00Z unless said.
    pub fn clock_at(mut self, rfc3339: &str) -> Builder {
        self.clock = Time::parse(rfc3339).expect("an RFC 3339 time");
        self
    }

    /// Makes ids and tokens repeat.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Changes the configuration it starts with.
    pub fn configure(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.config);
        self
    }

    /// Keeps a module in a file of its own, as far as memory has files.
    pub fn in_own_file(mut self, module: &str) -> Builder {
        let connection = format!("{module}_file");
        self.config.connections.entry(connection.clone()).or_default();
        self.config.modules.entry(module.to_owned()).or_default().database.connection = connection;
        self
    }

    pub async fn start(self) -> Instance {
        let app =
            App::in_memory(self.config, Clock::manual(self.clock), self.seed).expect("an instance starts");
        let credentials = seed_dev(app.kernel()).await.expect("an instance is seeded");
        Instance::around(app, credentials).await
    }
}

impl Instance {
    /// An instance with the defaults.
    pub async fn start() -> Instance {
        Instance::builder().start().await
    }

    pub fn builder() -> Builder {
        let clock = Time::parse("2026-01-01T00:00:00Z").expect("an RFC 3339 time");
        let mut config = Config::default();
        config.webhooks.allow_networks =
            ["127.0.0.0/8", "::1"].map(|it| it.parse().expect("a network")).to_vec();
        Builder { clock, seed: None, config }
    }

    /// Serves `app`, of which `credentials` are known, on a free port.
    pub async fn around(app: App, credentials: Credentials) -> Instance {
        let listen = Listen::Tcp(([127, 0, 0, 1], 0).into());
        let listener = Listener::bind(&listen).await.expect("a free port");
        let base_url = format!("http://{}", listener.address().expect("a bound socket has an address"));
        let (stop, stopped) = watch::channel(false);
        let config = app.kernel().config.server.clone();
        tokio::spawn(crate::kernel::api::server::serve(listener, app.router(), config, false, stopped));
        let http = HyperClient::builder(TokioExecutor::new()).build(HttpConnector::new());
        let names = Names::default();
        app.kernel().net.resolve_with(names.clone()); // No test depends on the network.
        let (seen, recorder) = (Mutex::new(0), OnceLock::new());
        let instance = Instance { app, credentials, base_url, http, stop, seen, names, recorder };
        instance.new_events(); // What the seed announced is not the test's business.
        instance
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The client's secret key, which may do anything inside the client.
    pub fn key(&self) -> Http {
        self.with(&self.credentials.secret_key)
    }

    /// The client's publishable key.
    pub fn publishable(&self) -> Http {
        self.with(&self.credentials.publishable_key)
    }

    /// The operator.
    pub fn operator(&self) -> Http {
        self.with(&self.credentials.operator_token)
    }

    /// Nobody: no credential.
    pub fn nobody(&self) -> Http {
        Http { base_url: self.base_url.clone(), http: self.http.clone(), headers: BTreeMap::new() }
    }

    /// Whoever holds `token`.
    pub fn with(&self, token: &str) -> Http {
        self.nobody().header("authorization", &format!("Bearer {token}"))
    }

    /// Agrees, as the machine's own administrator, to everybody who is to decide over requests and waits for a second
    /// person: a test that needs several such people makes them, and says this.
    pub async fn agree_to_access(&self) {
        let (local, client) = (Local::new(self.app.kernel()), Some(self.credentials.client_id.as_str()));
        let waiting = local.send("GET", "/api/v1/access-proposals?status=waiting", client, Value::Null).await;
        let waiting = waiting.expect("what waits is listed");
        for proposal in waiting["data"].as_array().into_iter().flatten() {
            let path = format!("/api/v1/access-proposals/{}/approve", text(proposal, "id"));
            let vote = json!({ "revision": proposal["approval"]["revision"] });
            local.send("POST", &path, client, vote).await.expect("somebody else agrees");
        }
    }

    /// Does what is due, moves the clock, and waits until everything that came due has run.
    pub async fn advance(&self, by: Duration) {
        let kernel = self.app.kernel().clone();
        tokio::task::spawn_blocking(move || kernel.worker.advance(by))
            .await
            .expect("the worker runs")
            .expect("it settles");
    }

    /// Moves the clock and nothing else: what is due waits for the timer's next look, or for a command.
    pub fn move_clock(&self, by: Duration) {
        self.app.kernel().store.clock().advance(by);
    }

    /// Waits until every delivery that is due has run.
    pub async fn settle(&self) {
        let kernel = self.app.kernel().clone();
        let settled = tokio::task::spawn_blocking(move || kernel.worker.settle()).await;
        settled.expect("the worker runs").expect("it settles");
    }

    /// [`Instance::settle`], under the name other test kits use.
    pub async fn drain(&self) {
        self.settle().await;
    }

    /// That something waits for this listener, or this kind of target.
    #[track_caller]
    pub fn assert_enqueued(&self, listener: &str) {
        let waiting = self.enqueued();
        assert!(
            waiting.iter().any(|it| it == listener),
            "nothing waits for {listener}, only for {waiting:?}"
        );
    }

    /// That nothing waits for it.
    #[track_caller]
    pub fn refute_enqueued(&self, listener: &str) {
        assert!(!self.enqueued().iter().any(|it| it == listener), "something waits for {listener}");
    }

    /// The listeners and kinds of target something waits for, one for each delivery.
    pub fn enqueued(&self) -> Vec<String> {
        let read = self.app.kernel().store.read(|tx| {
            let rows = tx.scan(&DELIVERIES, Scan::all());
            let waiting = rows.filter(|it| it.as_ref().is_ok_and(|it| !it.1.state.is_end()));
            waiting.map(|it| it.map(|it| it.1.listener)).collect()
        });
        read.expect("deliveries can be read")
    }

    /// Lets the next `times` passes of a failpoint fail, as if the process had ended there.
    pub fn fail_next(&self, point: Failpoint, times: u32) {
        self.app.kernel().worker.failpoints().fail_next(point, times);
    }

    /// Keeps the store's writer busy until what is returned is dropped: no command gets its turn meanwhile.
    pub fn hold_writer(&self) -> HeldWriter {
        hold(self.app.kernel().store.clone())
    }

    /// The same of the file that a module has to itself.
    pub fn hold_writer_of(&self, module: &str) -> HeldWriter {
        let annexes = &self.app.kernel().annexes;
        let own = annexes.iter().find(|it| it.modules.iter().any(|it| *it == module));
        hold(own.expect("the module has a file of its own").store.clone())
    }

    pub fn now(&self) -> String {
        self.app.kernel().store.clock().now().to_string()
    }

    /// The names of the events published since the last call, in order.
    pub fn new_events(&self) -> Vec<String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.events();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let new = all.iter().skip(*seen).map(|it| it.1.clone()).collect();
        *seen = all.len();
        new
    }

    /// Every mail that would have been sent so far, oldest first; none when it has mail servers.
    pub fn mailbox(&self) -> Vec<CapturedMail> {
        let captured = self.app.kernel().service::<Captured<CapturedMail>>("mailbox");
        captured.map(|it| it.all()).unwrap_or_default()
    }

    /// Every request made to webhook endpoints so far, oldest first, whoever received it; the last thousand.
    pub fn sent_webhooks(&self) -> Vec<CapturedWebhook> {
        let captured = self.app.kernel().service::<Captured<CapturedWebhook>>("webhooks");
        captured.map(|it| it.all()).unwrap_or_default()
    }

    fn events(&self) -> Vec<(String, String)> {
        let read = self.app.kernel().store.read(|tx| {
            tx.scan(&EVENTS, Scan::all())
                .map(|it| it.map(|(key, row)| (key.1.to_string(), row.name)))
                .collect()
        });
        read.expect("events can be read")
    }

    /// A server that takes webhooks. Requests to it are allowed, as to all of loopback.
    pub fn webhooks(&self) -> &Recorder {
        self.recorder.get_or_init(Recorder::start)
    }

    /// The names this instance knows the addresses of.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Everything that is wrong with the books; empty when nothing is.
    pub fn problems(&self) -> Vec<String> {
        let kernel = self.app.kernel();
        kernel
            .verify_all(&std::collections::BTreeSet::new())
            .unwrap_or_else(|error| vec![format!("verify failed: {error}")])
    }

    /// The OpenAPI document.
    pub fn openapi(&self) -> Value {
        crate::kernel::api::openapi::document(self.app.kernel())
    }

    /// The permissions, machines, events, tables and refusals there are: for golden files.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::of(self.app.kernel())
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        drop(self.recorder.take()); // Otherwise closing would wait for requests that it leaves unanswered.
        if !std::thread::panicking() {
            let problems = self.problems();
            assert!(problems.is_empty(), "the books do not hold: {problems:#?}");
        }
    }
}

fn hold(store: Store) -> HeldWriter {
    let ((begun, has_begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let thread = std::thread::spawn(move || {
        let held = store.write_blocking(move |_| {
            let _ = begun.send(());
            let _ = released.recv(); // Ends with the sender.
            Ok(())
        });
        held.expect("the writer can be held");
    });
    has_begun.recv().expect("the writer gets to it");
    HeldWriter { release: Some(release), thread: Some(thread) }
}

/// The store's writer, kept busy by [`Instance::hold_writer`].
pub struct HeldWriter {
    release: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for HeldWriter {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a server consists of, by name.
#[derive(Debug, Clone)]
pub struct Catalogue {
    pub routes: Vec<String>,
    pub events: Vec<String>,
    pub tables: Vec<String>,
    pub refusals: Vec<String>,
    pub machines: Value,
    /// Names of the OpenAPI document that stand for different things.
    pub clashes: Vec<String>,
}

impl Catalogue {
    fn of(kernel: &Kernel) -> Catalogue {
        use crate::kernel::api::{dispatch::full_path, problem::status};
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        let route = |it: &crate::kernel::api::endpoint::Endpoint| {
            format!("{} {} {} {}", it.module, it.method, full_path(it), it.access.permission())
        };
        Catalogue {
            routes: sorted(kernel.endpoints.iter().map(route).collect()),
            events: kernel
                .events
                .iter()
                .map(|it| format!("{} v{} {}", it.name, it.version, it.module))
                .collect(),
            tables: sorted(
                kernel.tables.iter().map(|it| format!("{} {}", it.name, it.index_names.join(" "))).collect(),
            ),
            refusals: sorted(
                kernel.refusals.iter().map(|it| format!("{} {}", status(it.kind), it.code)).collect(),
            ),
            machines: kernel.machines.clone().into(),
            clashes: crate::kernel::api::openapi::clashes(&kernel.endpoints),
        }
    }
}

/// Sends requests to an instance, as somebody.
#[derive(Clone)]
pub struct Http {
    base_url: String,
    http: HyperClient<HttpConnector, Body>,
    headers: BTreeMap<String, String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    /// Null when there was none, a string when it was no JSON.
    pub body: Value,
}

impl Answer {
    /// The stable code of a problem; empty when it is none.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_default()
    }

    /// The answer, when it has this status; panics with the body otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{:#}", self.body);
        self
    }

    /// The answer, when it is this problem.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Answer {
        assert_eq!((self.status, self.code()), (status, code), "{:#}", self.body);
        self
    }
}

static IDEMPOTENCY_KEYS: AtomicU64 = AtomicU64::new(0);

impl Http {
    /// Nobody, at any server: `http://127.0.0.1:8080`.
    pub fn at(base_url: &str) -> Http {
        let http = HyperClient::builder(TokioExecutor::new()).build(HttpConnector::new());
        Http { base_url: base_url.to_owned(), http, headers: BTreeMap::new() }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Http {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// As an operator acting inside a client.
    pub fn inside(self, client_id: &str) -> Http {
        self.header("x-client-id", client_id)
    }

    /// With this idempotency key; otherwise every POST has a fresh one.
    pub fn idempotent(self, key: &str) -> Http {
        self.header("idempotency-key", key)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let fresh = || format!("test-{}", IDEMPOTENCY_KEYS.fetch_add(1, Ordering::Relaxed));
        let mut http = self.clone();
        http.headers.entry("idempotency-key".to_owned()).or_insert_with(fresh);
        http.send(Method::POST, path, Some(body.to_string())).await
    }

    /// A POST to a server that may be gone: `None` when nobody answers.
    pub async fn try_post(&self, path: &str, body: Value) -> Option<Answer> {
        self.try_send(Method::POST, path, Some(body.to_string())).await
    }

    /// With `If-Match` for this version.
    pub async fn patch(&self, path: &str, version: u64, body: Value) -> Answer {
        let http = self.clone().header("if-match", &format!("\"v{version}\""));
        http.send(Method::PATCH, path, Some(body.to_string())).await
    }

    /// With `If-Match` for this version.
    pub async fn put(&self, path: &str, version: u64, body: Value) -> Answer {
        let http = self.clone().header("if-match", &format!("\"v{version}\""));
        http.send(Method::PUT, path, Some(body.to_string())).await
    }

    /// With `If-Match` for this version.
    pub async fn delete(&self, path: &str, version: u64) -> Answer {
        self.clone().header("if-match", &format!("\"v{version}\"")).send(Method::DELETE, path, None).await
    }

    /// Anything; `path` without the `/api/v1` prefix unless it begins with `/api/`, `/docs`, `/livez` and the like.
    pub async fn send(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        self.try_send(method, path, body).await.expect("the server answers")
    }

    async fn try_send(&self, method: Method, path: &str, body: Option<String>) -> Option<Answer> {
        let outside = ["/api/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/testing/"];
        let prefix = if outside.iter().any(|it| path.starts_with(it)) { "" } else { "/api/v1" };
        let mut request = Request::builder().method(method).uri(format!("{}{prefix}{path}", self.base_url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if body.is_some() && !self.headers.contains_key("content-type") {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(body.map_or_else(Body::empty, Body::from)).expect("a well-formed request");
        let response = self.http.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        let headers = parts.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Some(Answer {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            body: serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        })
    }
}

/// Makes what `dev` and every instance start with: an operator token, one test client with USD (default), EUR, BTC,
/// ETH and USDT, markets of BTC, ETH and EUR in USD, one manual and one sandbox gateway, both active, and one published
/// plan. Through the API itself, as the command line does.
pub async fn seed_dev(kernel: &Arc<Kernel>) -> Result<Credentials, StartError> {
    let local = Local::new(kernel);
    kernel.claimed.store(true, Ordering::SeqCst); // Nobody has to claim what vanishes.
    let token = local.send("POST", "/api/v1/operator/tokens", None, json!({ "name": "dev" })).await?;
    let client = json!({ "name": "Dev", "slug": "dev", "mode": "test", "default_currency": "USD" });
    let client = local.send("POST", "/api/v1/clients", None, client).await?;
    let client_id = text(&client, "id");
    for code in ["EUR", "BTC", "ETH", "USDT"] {
        local
            .send("POST", &format!("/api/v1/currencies/{code}/activate"), Some(&client_id), json!({}))
            .await?;
    }
    for (base, quote, price) in [("BTC", "USD", "109500"), ("ETH", "USD", "4500"), ("EUR", "USD", "1.1")] {
        // Fixed: they do not grow old when a test moves the clock.
        let market = json!({ "base": base, "quote": quote, "feed": { "type": "fixed", "price": price } });
        local.send("POST", "/api/v1/markets", Some(&client_id), market).await?;
    }
    let mut gateways = vec![];
    for (kind, name) in [("manual", "Bank transfer"), ("sandbox", "Sandbox")] {
        let gateway = json!({
            "name": name, "slug": kind, "kind": kind, "currencies": ["USD", "EUR", "BTC", "ETH", "USDT"],
        });
        let gateway = local.send("POST", "/api/v1/payment-gateways", Some(&client_id), gateway).await?;
        let id = text(&gateway, "id");
        let activate = format!("/api/v1/payment-gateways/{id}/activate");
        local.send("POST", &activate, Some(&client_id), json!({})).await?;
        gateways.push(id);
    }
    let [manual_gateway, sandbox_gateway]: [String; 2] = gateways.try_into().unwrap_or_default();
    let plan = json!({
        "name": "One year, monthly", "type": "savings", "currency": "USD", "min_amount": "100.00",
        "max_amount": "100000.00", "return_percent": "6", "return_basis": "annual", "day_count": "ACT/365",
        "cadence": "monthly", "compounding": false, "term_days": 365, "early_close_penalty_percent": "1",
        "cooling_off_hours": 24, "benefits": ["Profit every month"],
    });
    let plan = text(&local.send("POST", "/api/v1/plans", Some(&client_id), plan).await?, "id");
    let publish = format!("/api/v1/plans/{plan}/publish");
    local.send("POST", &publish, Some(&client_id), json!({})).await?;
    Ok(Credentials {
        operator_token: text(&token, "token"),
        client_id,
        secret_key: text(&client, "secret_key"),
        publishable_key: text(&client, "publishable_key"),
        manual_gateway,
        sandbox_gateway,
        plan,
    })
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}

/// The machine's own administrator, in process: what the command line does over the local socket.
pub struct Local(axum::Router);

impl Local {
    pub fn new(kernel: &Arc<Kernel>) -> Local {
        Local(router(kernel))
    }

    /// Sends a request inside `client`; anything but 2xx is an error that says what the server said.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        client: Option<&str>,
        body: Value,
    ) -> Result<Value, StartError> {
        let (status, body) = self.request(method, path, client, body).await;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(StartError::Key(anyhow::anyhow!("{method} {path} answered {status}: {body}")))
    }

    /// Sends a request inside `client`, under an idempotency key of its own.
    pub async fn request(&self, method: &str, path: &str, client: Option<&str>, body: Value) -> (u16, Value) {
        let key = format!("{}-{}", Actor::System, IDEMPOTENCY_KEYS.fetch_add(1, Ordering::Relaxed));
        self.repeat(&key, method, path, client, body).await
    }

    /// Sends a request inside `client` under this idempotency key.
    pub async fn repeat(
        &self,
        key: &str,
        method: &str,
        path: &str,
        client: Option<&str>,
        body: Value,
    ) -> (u16, Value) {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        request = request.extension(Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true });
        if let Some(client) = client {
            request = request.header("x-client-id", client);
        }
        request = request.header("idempotency-key", key);
        let body = if method == "GET" { Body::empty() } else { Body::from(body.to_string()) };
        let Ok(request) = request.body(body) else {
            return (400, Value::Null);
        };
        let response = match self.0.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.map(|it| it.to_bytes()).unwrap_or_default();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}
