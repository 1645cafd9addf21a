//! How a command reaches the data: through the server when one runs, by opening the file when none does. Either way
//! it sends the same HTTP request, so that every command is written once.
//!
//! | | a server runs | no server runs |
//! |---|---|---|
//! | [`Backend::changing`] | its local socket | the whole server in this process, without a listener |
//! | [`Backend::founding`] | the same | the same, and a new file where none is |
//! | [`Backend::reading`] | its local socket | its routes over the file, opened for reading only |
//!
//! The other end of the local socket sees which user asks. The server's own user and root are administrators there;
//! nobody else can open it. In this process whoever can open the file is one.

use std::{io::ErrorKind, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
};
use tower::ServiceExt as _;

use super::exit::{FAULT, Failure, INPUT_OUTPUT, NO_PERMISSION, REFUSED, TRY_AGAIN, UNAVAILABLE};
use crate::{
    StartError,
    app::{App, router},
    config::Config,
    kernel::{
        api::dispatch::Peer,
        boot::Kernel,
        clock::Clock,
        store::{OpenError, Random},
    },
};

/// How long an answer may take: longer than the longest `server.request_timeout_s`.
const PATIENCE: Duration = Duration::from_secs(605);

/// Where requests of the command line go.
pub enum Backend {
    Socket(PathBuf),
    /// The routes of this process. The file is closed with it.
    Here {
        router: Router,
        _app: Option<Box<App>>,
    },
}

impl Backend {
    /// For commands that change something.
    pub async fn changing(config: Config) -> Result<Backend, Failure> {
        Backend::opening(config, false).await
    }

    /// For commands that may come before the first start of the server.
    pub async fn founding(config: Config) -> Result<Backend, Failure> {
        Backend::opening(config, true).await
    }

    async fn opening(config: Config, create: bool) -> Result<Backend, Failure> {
        if let Some(socket) = running(&config).await? {
            return Ok(socket);
        }
        match App::open(config.clone(), create, Clock::System) {
            Ok(app) => Ok(Backend::Here { router: app.router(), _app: Some(Box::new(app)) }),
            Err(error) => started_meanwhile(&config, error.into()).await,
        }
    }

    /// For commands that only look: without a server the file is opened for reading, and nothing in it changes. After
    /// a crash that takes a recovery first, which `recover` allows.
    pub async fn reading(config: Config, recover: bool) -> Result<Backend, Failure> {
        if let Some(socket) = running(&config).await? {
            return Ok(socket);
        }
        match inspect(config.clone(), recover) {
            Ok(kernel) => Ok(Backend::of(&Arc::new(kernel))),
            Err(failure) => started_meanwhile(&config, failure).await,
        }
    }

    /// To the server in this process.
    pub fn of(kernel: &Arc<Kernel>) -> Backend {
        Backend::Here { router: router(kernel), _app: None }
    }

    pub fn get(&self, path: impl Into<String>) -> Ask<'_> {
        Ask::new(self, Method::GET, path.into())
    }

    pub fn post(&self, path: impl Into<String>, body: Value) -> Ask<'_> {
        Ask { body: Some(body), ..Ask::new(self, Method::POST, path.into()) }
    }

    pub fn put(&self, path: impl Into<String>, body: Value) -> Ask<'_> {
        Ask { body: Some(body), ..Ask::new(self, Method::PUT, path.into()) }
    }

    /// A list with its pages put together, `limit` rows at most.
    pub async fn list(&self, path: &str, client: Option<&str>, limit: usize) -> Result<Value, Failure> {
        let mut rows = vec![];
        let mut cursor: Option<String> = None;
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let take = (limit - rows.len()).clamp(1, 100);
            let from = cursor.as_ref().map(|it| format!("&cursor={it}")).unwrap_or_default();
            let page = self.get(format!("{path}{sign}limit={take}{from}")).client(client).send().await?;
            rows.extend(page["data"].as_array().cloned().unwrap_or_default());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() || rows.len() >= limit {
                return Ok(json!({ "object": "list", "data": rows, "has_more": cursor.is_some() }));
            }
        }
    }

    /// [`Backend::client_id`] of a client that may be left out.
    pub async fn client_named(&self, id_or_slug: Option<&str>) -> Result<Option<String>, Failure> {
        match id_or_slug {
            Some(it) => self.client_id(it).await.map(Some),
            None => Ok(None),
        }
    }

    /// The id of a client, from its id or its slug.
    pub async fn client_id(&self, id_or_slug: &str) -> Result<String, Failure> {
        if id_or_slug.starts_with("cli_") {
            return Ok(id_or_slug.to_owned());
        }
        let q = utf8_percent_encode(id_or_slug, NON_ALPHANUMERIC);
        let clients = self.list(&format!("/clients?q={q}"), None, usize::MAX).await?;
        let mut clients = clients["data"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let found = clients.find(|it| it["slug"] == id_or_slug).and_then(|it| it["id"].as_str());
        found.map(str::to_owned).ok_or_else(|| {
            let message = format!("there is no client {id_or_slug}: `coffer client list` shows all");
            Failure::new(REFUSED, "not_found", message)
        })
    }
}

/// A path with those filters that were given.
pub fn filtered(path: &str, filters: &[(&str, Option<&str>)]) -> String {
    let given = filters.iter().filter_map(|(name, value)| Some((name, (*value)?)));
    let pairs = given.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// One request in the making.
pub struct Ask<'a> {
    backend: &'a Backend,
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl<'a> Ask<'a> {
    fn new(backend: &'a Backend, method: Method, path: String) -> Ask<'a> {
        // The server alone adds the prefix to these, and to nothing else.
        let outside = ["/api/", "/livez", "/readyz"].iter().any(|it| path.starts_with(it));
        let path = if outside { path } else { format!("/api/v1{path}") };
        let mut ask = Ask { backend, method, path, headers: vec![], body: None };
        if ask.method == Method::POST {
            let random = data_encoding::BASE32_NOPAD.encode(&Random::Os.bytes::<16>());
            ask.headers.push(("idempotency-key", format!("cli-{random}")));
        }
        ask
    }

    /// Inside this client.
    pub fn client(self, client: Option<&str>) -> Ask<'a> {
        match client {
            Some(id) => self.header("x-client-id", id),
            None => self,
        }
    }

    /// As whoever has this credential, instead of the machine's administrator.
    pub fn bearer(self, token: &str) -> Ask<'a> {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Ask<'a> {
        self.headers.retain(|it| it.0 != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The answer when it is 2xx; what the server said otherwise.
    pub async fn send(self) -> Result<Value, Failure> {
        match self.exchange().await? {
            (200..300, body) => Ok(body),
            (status, body) => Err(Failure::of_problem(status, body)),
        }
    }

    /// Status and body, whatever they are.
    pub async fn exchange(self) -> Result<(u16, Value), Failure> {
        let answer = async { whole(self.respond().await?).await };
        tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
    }

    /// Hands over the lines of the answer as they come, without their ends. Other than 2xx is a failure.
    pub async fn lines(self, mut take: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
        let response = tokio::time::timeout(PATIENCE, self.respond()).await.map_err(late)??;
        if !response.status().is_success() {
            let (status, body) = whole(response).await?;
            return Err(Failure::of_problem(status, body));
        }
        let (mut body, mut rest) = (response.into_body(), vec![]);
        while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(late)? {
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            for piece in bytes.split_inclusive(|it| *it == b'\n') {
                rest.extend_from_slice(piece);
                if rest.pop_if(|it| *it == b'\n').is_some() {
                    take(&rest)?;
                    rest.clear();
                }
            }
        }
        Ok(())
    }

    async fn respond(self) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(self.method).uri(self.path).header("host", "localhost");
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if self.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = self.body.map_or_else(Body::empty, |it| Body::from(it.to_string()));
        let request = request.body(body).map_err(Failure::usage)?;
        match self.backend {
            Backend::Socket(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| unreachable(path.display(), &error))?;
                ask(stream, request).await
            }
            Backend::Here { router, .. } => here(router.clone(), request).await,
        }
    }
}

/// Sends one request over a connection of its own; status and body, whatever they are.
pub async fn over<S>(stream: S, request: Request<Body>) -> Result<(u16, Value), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = async { whole(ask(stream, request).await?).await };
    tokio::time::timeout(PATIENCE, answer).await.map_err(late)?
}

async fn ask<S>(stream: S, request: Request<Body>) -> Result<Response<Body>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.map_err(broken)?.map(Body::new))
}

async fn here(router: Router, mut request: Request<Body>) -> Result<Response<Body>, Failure> {
    request.extensions_mut().insert(Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true });
    match router.oneshot(request).await {
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

async fn whole(response: Response<Body>) -> Result<(u16, Value), Failure> {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(broken)?.to_bytes();
    Ok((parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_default()))
}

fn broken(error: impl std::fmt::Display) -> Failure {
    let message = format!("the server ended the connection: {error}; see its log");
    Failure::new(INPUT_OUTPUT, "connection", message)
}

fn late(_: tokio::time::error::Elapsed) -> Failure {
    Failure::new(TRY_AGAIN, "timed_out", "the server does not answer; see its log")
}

/// The kernel over the file, opened for reading only.
pub fn inspect(config: Config, recover: bool) -> Result<Kernel, Failure> {
    match App::inspect(config.clone(), Clock::System) {
        Err(StartError::Open(OpenError::NeedsRecovery { .. })) if recover => {
            drop(App::open(config.clone(), false, Clock::System)?);
            Ok(App::inspect(config, Clock::System)?)
        }
        outcome => Ok(outcome?),
    }
}

/// Whether a server listens on its socket.
pub async fn server_runs(config: &Config) -> Result<bool, Failure> {
    Ok(running(config).await?.is_some())
}

/// The socket, when a server listens on it.
async fn running(config: &Config) -> Result<Option<Backend>, Failure> {
    let path = config.socket_path();
    match UnixStream::connect(&path).await {
        Ok(_) => Ok(Some(Backend::Socket(path))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(unreachable(path.display(), &error)),
    }
}

/// A server that has the file open but was not heard a moment ago was just starting.
async fn started_meanwhile(config: &Config, failure: Failure) -> Result<Backend, Failure> {
    match running(config).await? {
        Some(socket) if failure.exit == UNAVAILABLE => Ok(socket),
        _ => Err(failure),
    }
}

pub fn unreachable(place: impl std::fmt::Display, error: &std::io::Error) -> Failure {
    if error.kind() == ErrorKind::PermissionDenied {
        let message =
            format!("{place}: belongs to another user. Run this as the user the server runs as, or as root");
        return Failure::new(NO_PERMISSION, "socket_forbidden", message);
    }
    let message = format!("{place}: no server answers: {error}. Start it with `coffer serve`");
    Failure::new(UNAVAILABLE, "server_unreachable", message)
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Open(error) => error.into(),
            StartError::Store(error) => error.into(),
            error => {
                let code = match &error {
                    StartError::Migrate(_) => "migration",
                    StartError::Config(_) => "configuration",
                    StartError::Key(_) => "key_file",
                    StartError::Listen(..) => "cannot_listen",
                    _ => "internal",
                };
                Failure { exit: error.exit_code(), ..Failure::new(FAULT, code, error) }
            }
        }
    }
}
