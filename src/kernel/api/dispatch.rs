//! From an HTTP request to an answer: the same steps, in the same order, for every operation.
//!
//! request id · where from · claimed? · limits · who · may they · body · input · (idempotency, in the transaction of
//! the effect) · answer

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
    routing::{MethodFilter, on},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    call::{Caller, IfMatch, Reach},
    endpoint::{Access, Endpoint, Handler, RawBytes, RawCall, Reading, Streamed},
    idempotency::{self, Answer, Scoped, fingerprint, run_remote},
    input::{Flaw, read_query},
    json,
    limits::Left,
    page, pieces,
    principal::{Actor, ClientId, Grants, OPERATOR, PUBLIC, Principal},
    print,
    problem::{self, ApiRefusal, Problem},
};
use crate::kernel::{
    boot::Kernel,
    error::{Error, Result, fault},
    store::ReadTx,
};

/// Where a connection comes from; the listener attaches it to each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    pub ip: IpAddr,
    /// Came over the local socket, from the user the server runs as or from root: the command line.
    pub is_local_admin: bool,
}

/// Turns true when the server stops; the listener attaches it to each request.
#[derive(Debug, Clone)]
pub struct Stopping(pub watch::Receiver<bool>);

pub const PREFIX: &str = "/api/v1";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The router of every endpoint. Paths that begin with `/api/`, `/docs` and the like are taken as they are; the rest
/// stand under [`PREFIX`].
pub fn router(kernel: &Arc<Kernel>) -> Router {
    let mut router = Router::new();
    for endpoint in &kernel.endpoints {
        let (kernel, endpoint) = (kernel.clone(), Arc::new(endpoint.clone()));
        let filter = MethodFilter::try_from(endpoint.method.clone()).unwrap_or(MethodFilter::GET);
        let path = full_path(&endpoint);
        router = router.route(&path, on(filter, move |request: Request| serve(kernel, endpoint, request)));
    }
    let refuse = |refusal: fn() -> ApiRefusal, kernel: Arc<Kernel>| {
        move |request: Request| {
            let kernel = kernel.clone();
            async move {
                let request_id = request_id(request.headers());
                let claimed = kernel.claimed.load(Ordering::Relaxed);
                let refusal = if claimed { refusal() } else { ApiRefusal::NotClaimed };
                problem_response(&refusal.into(), &request_id)
            }
        }
    };
    router
        .method_not_allowed_fallback(refuse(|| ApiRefusal::MethodNotAllowed, kernel.clone()))
        .fallback(refuse(|| ApiRefusal::NotFound, kernel.clone()))
}

/// The path as a client sees it.
pub fn full_path(endpoint: &Endpoint) -> String {
    let outside = ["/api/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/testing/"];
    if outside.iter().any(|it| endpoint.path.starts_with(it)) {
        endpoint.path.to_owned()
    } else {
        format!("{PREFIX}{}", endpoint.path)
    }
}

async fn serve(kernel: Arc<Kernel>, endpoint: Arc<Endpoint>, request: Request) -> Response {
    let request_id = request_id(request.headers());
    let began = std::time::Instant::now();
    let mut noted = Noted::default();
    let response = match answer(&kernel, &endpoint, request, &request_id, &mut noted).await {
        Ok(response) => response,
        Err(error) => problem_response(&error, &request_id),
    };
    log(&endpoint, &request_id, &noted, response.status(), began.elapsed());
    let mut response = decorate(response, &request_id);
    for left in &noted.left {
        for (name, value) in [("ratelimit-policy", left.policy()), ("ratelimit", left.state())] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
    }
    response
}

/// What is known of a request whatever becomes of it.
#[derive(Default)]
struct Noted {
    client: Option<ClientId>,
    actor: Option<Actor>,
    left: Vec<Left>,
}

/// One line a request: commands as `info`, reads as `debug`. Never a body, a query or a credential.
fn log(endpoint: &Endpoint, request_id: &str, noted: &Noted, status: StatusCode, took: std::time::Duration) {
    let (method, path, status) = (endpoint.method.as_str(), endpoint.path, status.as_u16());
    let client = noted.client.map(|it| it.to_string()).unwrap_or_default();
    let actor = noted.actor.map(|it| it.to_string()).unwrap_or_default();
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if endpoint.method == Method::GET && status < 500 {
        tracing::debug!(
            request.id = request_id,
            client,
            actor,
            status,
            micros,
            "{method} {path} answered {status}"
        );
    } else {
        tracing::info!(
            request.id = request_id,
            client,
            actor,
            status,
            micros,
            "{method} {path} answered {status}"
        );
    }
}

async fn answer(
    kernel: &Arc<Kernel>,
    endpoint: &Arc<Endpoint>,
    request: Request,
    request_id: &str,
    noted: &mut Noted,
) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().copied();
    let peer = peer.unwrap_or(Peer { ip: IpAddr::from([127, 0, 0, 1]), is_local_admin: false });
    let ip = client_address(kernel, peer.ip, &parts.headers);
    if !kernel.claimed.load(Ordering::Relaxed) && !peer.is_local_admin && !answers_unclaimed(endpoint) {
        return Err(ApiRefusal::NotClaimed.into());
    }
    let query = parse_query(parts.uri.query().unwrap_or_default())?;
    let path = path_parts(endpoint, parts.uri.path());
    let who = |tx: &ReadTx| authenticate(kernel, tx, endpoint, &parts.headers, ip, peer.is_local_admin);
    let mut caller = Caller {
        principal: nobody(),
        reach: Reach::Any,
        request_id: request_id.to_owned(),
        ip,
        user_agent: user_agent(&parts.headers),
        if_match: if_match(&parts.headers)?,
        fingerprint: [0; 16],
        catalogue: kernel.permissions.clone(),
    };

    if let Handler::Read(read) = &endpoint.handler {
        let csv = endpoint.csv && accepts(&parts.headers, "text/csv");
        if csv {
            kernel.store.read(who)?.note(&mut caller, noted);
            let raw = RawCall { caller, path, query, body: Value::Null };
            return csv_response(kernel, endpoint, read.clone(), raw);
        }
        let home = kernel.home_of(endpoint);
        if let Some(printing) = endpoint.printing.as_ref().filter(|_| accepts(&parts.headers, "text/html")) {
            kernel.store.read(who)?.note(&mut caller, noted);
            let raw = RawCall { caller, path, query, body: Value::Null };
            return print::response(home.read(|tx| printing(tx, raw))?);
        }
        let value = if kernel.is_away(endpoint) {
            kernel.store.read(who)?.note(&mut caller, noted);
            home.read(|tx| read(tx, RawCall { caller, path, query, body: Value::Null }))?
        } else {
            // One snapshot for who asks and for what is answered.
            home.read(|tx| {
                who(tx)?.note(&mut caller, noted);
                read(tx, RawCall { caller, path, query, body: Value::Null })
            })?
        };
        return Ok(found_response(endpoint, &parts.headers, value));
    }

    kernel.store.read(who)?.note(&mut caller, noted);
    if let Handler::Stream(open) = &endpoint.handler {
        let query = going_on(&parts.headers, query);
        let stop = parts.extensions.get::<Stopping>().map(|it| it.0.clone());
        // Without a listener nothing tells it to stop: the sender of this one is gone.
        let stop = stop.unwrap_or_else(|| watch::channel(false).1);
        let stream = open(kernel.clone(), RawCall { caller, path, query, body: Value::Null }, stop)?;
        return Ok(stream_response(endpoint, stream));
    }
    let limit = endpoint.max_body_bytes.unwrap_or(kernel.config.server.max_body_bytes);
    if let Handler::Hear(judge) = &endpoint.handler {
        read_query::<()>(query)?;
        let body = collect(body, limit).await?;
        let heard = RawBytes { caller, path, headers: parts.headers, body };
        let home = kernel.home_of(endpoint);
        let write = home.read(|tx| judge(tx, heard)).or_else(|error| {
            // What is not signed is a guess at the signature.
            if matches!(error, Error::Refused(_)) {
                kernel.limits.unauthenticated(ip)?;
            }
            Err(error)
        })?;
        let body = home.write(write).await?;
        return Ok(answer_response(Answer { status: endpoint.status, body, replayed: false }));
    }
    let body = read_body(&parts.method, &parts.headers, body, limit).await?;
    caller.fingerprint = fingerprint(&kernel.secrets, &body);
    let (dry_run, query) = take_dry_run(endpoint, query)?;
    let mut raw = RawCall { caller, path, query, body };
    let key = idempotency_key(endpoint, &parts.headers)?.filter(|_| !dry_run);
    let scoped = key.map(|it| Scoped::new(&raw, endpoint, &it));
    let home = kernel.home_of(endpoint);
    let outcome = match &endpoint.handler {
        Handler::Read(_) | Handler::Stream(_) | Handler::Hear(_) => Err(fault!("it was answered above")),
        Handler::Write(write) => {
            let body = std::mem::take(&mut raw.body); // May have megabytes: moved, not copied.
            let handle = write(RawCall { body, ..raw.clone() });
            let endpoint = endpoint.clone();
            home.write(move |tx| idempotency::run(tx, &endpoint, &raw, scoped, dry_run, handle)).await
        }
        Handler::Prepared(prepare) => {
            let known = |tx: &ReadTx| scoped.map_or(Ok(None), |it| idempotency::answered(tx, it, &raw));
            if let Some(answer) = home.read(known)? {
                return Ok(answer_response(answer));
            }
            let write = prepare(kernel.clone(), raw.clone()).await?;
            let endpoint = endpoint.clone();
            let job = move |tx: &mut _| idempotency::run(tx, &endpoint, &raw, scoped, dry_run, write);
            home.write(job).await
        }
        Handler::Async(run) => run(kernel.clone(), raw).await.map(|body| Answer {
            status: endpoint.status,
            body,
            replayed: false,
        }),
        Handler::Pieces(cut) => {
            let body = std::mem::take(&mut raw.body);
            let cut = cut(RawCall { body, ..raw.clone() })?;
            pieces::run(kernel.clone(), endpoint.clone(), cut, raw, scoped, dry_run).await
        }
        Handler::Remote(remote) => {
            run_remote(kernel.clone(), endpoint.clone(), remote.clone(), raw, scoped).await
        }
    };
    outcome.map(answer_response)
}

/// Until an operator claims the installation, only the claim and the signs of life answer.
fn answers_unclaimed(endpoint: &Endpoint) -> bool {
    endpoint.path == "/livez" || endpoint.path.starts_with("/operator/claim")
}

fn nobody() -> Principal {
    Principal { actor: Actor::System, client: None, session: None, grants: Grants::Public }
}

/// Who asks, how far they reach, and what is left of their limits.
struct Who {
    principal: Principal,
    reach: Reach,
    left: Vec<Left>,
}

impl Who {
    fn note(self, caller: &mut Caller, noted: &mut Noted) {
        noted.client = self.principal.client;
        let is_somebody = !matches!(self.principal.grants, Grants::Public) || self.principal.client.is_some();
        noted.actor = is_somebody.then_some(self.principal.actor);
        noted.left = self.left;
        caller.principal = self.principal;
        caller.reach = self.reach;
    }
}

/// Finds out who asks and whether they may.
fn authenticate(
    kernel: &Kernel,
    tx: &ReadTx,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    ip: IpAddr,
    is_local_admin: bool,
) -> Result<Who> {
    let checked = principal(kernel, tx, headers, ip, is_local_admin);
    if endpoint.access == Access::Open {
        let signs = matches!(endpoint.handler, Handler::Hear(_));
        if endpoint.method != Method::GET && checked.is_err() && !signs {
            kernel.limits.unauthenticated(ip)?;
        }
        // Who it is does not matter here, but an operator may be shown more.
        let principal = checked.unwrap_or_else(|_| nobody());
        return Ok(Who { principal, reach: Reach::Any, left: vec![] });
    }
    let mut principal = match checked {
        Ok(principal) => principal,
        Err(error) => {
            // Guessing is slowed down, and only guessing: a valid credential has limits of its own.
            kernel.limits.unauthenticated(ip)?;
            return Err(error);
        }
    };
    let mut left = vec![];
    if let Actor::Key(key) = principal.actor {
        if matches!(principal.grants, Grants::Public) {
            kernel.limits.unauthenticated(ip)?;
        }
        left.extend(kernel.limits.key(key)?);
    }
    if let Some(client) = principal.client {
        left.extend(kernel.limits.client(client)?);
    }
    if matches!(principal.grants, Grants::All)
        && let Some(named) = headers.get("x-client-id")
    {
        let client = named.to_str().ok().and_then(|it| it.parse::<ClientId>().ok());
        let client = client.ok_or(ApiRefusal::NotFound)?;
        kernel.authenticators.iter().try_for_each(|it| it.1.check_client(tx, client))?;
        principal.client = Some(client);
    }
    let reach = allow(endpoint, &principal)?;
    Ok(Who { principal, reach, left })
}

fn principal(
    kernel: &Kernel,
    tx: &ReadTx,
    headers: &HeaderMap,
    ip: IpAddr,
    is_local_admin: bool,
) -> Result<Principal> {
    let text = |name: &str| headers.get(name).map(|it| it.to_str().map_err(|_| ApiRefusal::Unauthenticated));
    let bearer = match text("authorization").transpose()? {
        Some(header) => match header.split_once(' ') {
            // The name of a scheme is case-insensitive (RFC 9110 §11.1).
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => return Err(ApiRefusal::Unauthenticated.into()),
        },
        None => None,
    };
    if headers.get_all("authorization").iter().count() > 1 || headers.get_all("x-api-key").iter().count() > 1
    {
        return Err(ApiRefusal::Malformed { reason: "a credential header is given twice".into() }.into());
    }
    let key = text("x-api-key").transpose()?;
    let identify = |token: &str| {
        let known =
            kernel.authenticators.iter().find(|it| it.0.iter().any(|prefix| token.starts_with(prefix)));
        known.ok_or(ApiRefusal::Unauthenticated)?.1.authenticate(tx, token, ip)
    };
    match (bearer, key) {
        (None, None) if is_local_admin => {
            Ok(Principal { actor: Actor::System, client: None, session: None, grants: Grants::All })
        }
        (None, None) => Err(ApiRefusal::Unauthenticated.into()),
        (Some(token), None) | (None, Some(token)) => identify(token),
        (Some(token), Some(key)) => {
            let (session, key) = (identify(token)?, identify(key)?);
            // Both were sent, so they must be of one client; the session says who it is.
            if session.client.is_some() && session.client != key.client {
                return Err(ApiRefusal::Unauthenticated.into());
            }
            Ok(session)
        }
    }
}

fn allow(endpoint: &Endpoint, principal: &Principal) -> Result<Reach> {
    let grants = &principal.grants;
    let forbidden =
        |permission: &str| Err(ApiRefusal::Forbidden { required_permission: permission.to_owned() }.into());
    match endpoint.access {
        Access::Open => Ok(Reach::Any),
        Access::Public if grants.has(PUBLIC) => Ok(Reach::Any),
        Access::SignedIn if !matches!(grants, Grants::Public) => Ok(Reach::Any),
        Access::Operator if grants.has(OPERATOR) => Ok(Reach::Any),
        Access::Needs(permission) if grants.has(permission) => Ok(Reach::Any),
        Access::Own(permission) if grants.has(&format!("{permission}_any")) => Ok(Reach::Any),
        Access::Own(permission) if grants.has(permission) => match principal.actor {
            Actor::User(user) => Ok(Reach::Own(user)),
            _ => forbidden(permission),
        },
        access => forbidden(access.permission()),
    }
}

/// The address of the client: the right-most hop that is no trusted proxy of ours.
fn client_address(kernel: &Kernel, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = |ip: IpAddr| kernel.config.server.trusted_proxies.iter().any(|it| it.contains(ip));
    if !trusted(peer) {
        return peer;
    }
    let hops = headers.get_all("x-forwarded-for").iter().filter_map(|it| it.to_str().ok());
    let hops: Vec<&str> = hops.flat_map(|it| it.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        match hop.parse::<IpAddr>() {
            Ok(ip) if trusted(ip) => {}
            Ok(ip) => return ip,
            Err(_) => return peer,
        }
    }
    peer
}

pub fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|it| it.to_str().ok());
    let well_formed = |it: &&str| {
        (1..=64).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-".contains(&it))
    };
    sent.filter(well_formed).map_or_else(make_request_id, str::to_owned)
}

/// An id for a request that brought none.
pub fn make_request_id() -> String {
    let random = crate::kernel::store::random::Random::Os.bytes::<16>();
    format!("req_{}", data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("user-agent")?.to_str().ok()?.trim();
    Some(text.chars().filter(|it| !it.is_control()).take(200).collect()).filter(|it: &String| !it.is_empty())
}

fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>> {
    let malformed = || ApiRefusal::Malformed { reason: "If-Match is not an ETag of this API".into() };
    let Some(header) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_| malformed())?.trim();
    if text == "*" {
        return Ok(Some(IfMatch::Any));
    }
    let digits = text.strip_prefix("\"v").and_then(|it| it.strip_suffix('"'));
    let digits = digits.filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    let version = digits.and_then(|it| it.parse().ok());
    Ok(Some(IfMatch::Version(version.ok_or_else(malformed)?)))
}

fn idempotency_key(endpoint: &Endpoint, headers: &HeaderMap) -> Result<Option<String>> {
    if !endpoint.reads_key() {
        return Ok(None);
    }
    let malformed =
        || ApiRefusal::Malformed { reason: "Idempotency-Key is 1 to 255 printable ASCII characters".into() };
    match headers.get("idempotency-key") {
        None if endpoint.money => Err(ApiRefusal::IdempotencyKeyRequired.into()),
        None => Ok(None),
        Some(header) => {
            let text = header.to_str().map_err(|_| malformed())?;
            let well_formed = (1..=255).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic());
            if well_formed { Ok(Some(text.to_owned())) } else { Err(malformed().into()) }
        }
    }
}

/// `?dry_run=true` on commands that move money.
fn take_dry_run(endpoint: &Endpoint, query: Vec<(String, String)>) -> Result<(bool, Vec<(String, String)>)> {
    let rehearses = endpoint.money && matches!(endpoint.handler, Handler::Write(_) | Handler::Pieces(_));
    let (asked, rest): (Vec<_>, Vec<_>) = query.into_iter().partition(|it| rehearses && it.0 == "dry_run");
    match asked.first().map(|it| it.1.as_str()) {
        None | Some("false") => Ok((false, rest)),
        Some("true") => Ok((true, rest)),
        Some(_) => Err(Flaw::new("dry_run", "invalid_format", "must be true or false").into()),
    }
}

/// All of a body, when it is not above `limit`.
async fn collect(body: Body, limit: usize) -> Result<Bytes> {
    let collected = Limited::new(body, limit).collect().await;
    let bytes = collected.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => Error::from(ApiRefusal::PayloadTooLarge { limit_bytes: limit as u64 }),
        Err(error) => ApiRefusal::Malformed { reason: format!("the body ended early: {error}") }.into(),
    })?;
    Ok(bytes.to_bytes())
}

async fn read_body(method: &Method, headers: &HeaderMap, body: Body, limit: usize) -> Result<Value> {
    let bytes = collect(body, limit).await?;
    if bytes.is_empty() || method == Method::DELETE {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let json = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).is_some_and(|it| {
        let essence = it.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/json")
    });
    if !json {
        return Err(ApiRefusal::UnsupportedMediaType.into());
    }
    json::read(&bytes).map_err(|reason| ApiRefusal::Malformed { reason }.into())
}

fn parse_query(query: &str) -> Result<Vec<(String, String)>> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode(&spaced)
            .ok_or_else(|| ApiRefusal::Malformed { reason: "the query string is not UTF-8".into() })
    };
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let pairs = pairs.map(|it| it.split_once('=').unwrap_or((it, "")));
    pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

fn percent_decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|it| it.into_owned())
}

/// The parts of `path` that stand where the endpoint's path has `{…}`.
fn path_parts(endpoint: &Endpoint, path: &str) -> Vec<String> {
    let full = full_path(endpoint);
    let pairs = full.split('/').zip(path.split('/'));
    pairs
        .filter(|(name, _)| name.starts_with('{'))
        .map(|(_, part)| percent_decode(part).unwrap_or_default())
        .collect()
}

/// Who was cut off says in a header what they saw last.
fn going_on(headers: &HeaderMap, mut query: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Some(last) = headers.get("last-event-id").and_then(|it| it.to_str().ok()) {
        query.retain(|it| it.0 != "after");
        query.push(("after".to_owned(), last.to_owned()));
    }
    query
}

fn stream_response(endpoint: &Endpoint, stream: Streamed) -> Response {
    use futures_util::StreamExt as _;
    let mut response = Response::new(Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(endpoint.streams_as));
    // Asks nginx, and others that heed it, not to hold pieces back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn answer_response(answer: Answer) -> Response {
    let is_problem = answer.status >= 400;
    let content_type = if is_problem { problem::CONTENT_TYPE } else { "application/json" };
    let version = if is_problem { None } else { answer.body.head().version() };
    let mut response = json_response(answer.status, content_type, answer.body.into_bytes());
    add_etag(&mut response, version);
    if answer.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// The answer of a GET; 304 when the client has it.
fn found_response(endpoint: &Endpoint, headers: &HeaderMap, value: Value) -> Response {
    let mut response = json_response(endpoint.status, "application/json", value.to_string().into_bytes());
    add_etag(&mut response, value.get("version").and_then(Value::as_u64));
    if let Some(seconds) = endpoint.cached_s
        && let Ok(value) = HeaderValue::from_str(&format!("public, max-age={seconds}"))
    {
        response.headers_mut().insert(header::CACHE_CONTROL, value);
        // Whose prices they are is in the credential.
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Authorization, X-Api-Key, Accept"));
    }
    // A price changes without its market's version.
    let known = headers.get(header::IF_NONE_MATCH).filter(|_| endpoint.cached_s.is_none());
    if known.is_some() && known == response.headers().get(header::ETAG) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
    }
    response
}

fn add_etag(response: &mut Response, version: Option<u64>) {
    if let Some(version) = version
        && let Ok(etag) = HeaderValue::from_str(&format!("\"v{version}\""))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
}

fn json_response(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What an error reads like.
pub fn problem_response(error: &Error, request_id: &str) -> Response {
    let problem = Problem::of(error, request_id);
    let body = Value::from(problem.document).to_string().into_bytes();
    let mut response = json_response(problem.status, problem::CONTENT_TYPE, body);
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == 401 {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    decorate(response, request_id)
}

/// What every answer carries.
pub fn decorate(mut response: Response, request_id: &str) -> Response {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Whether this is wanted more than JSON (RFC 9110 §12.5.1).
fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let header = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let (mut other, mut json) = (0, 0);
    for part in header.split(',') {
        let mut parts = part.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts.find_map(|it| it.strip_prefix("q=")).map_or(1000, thousandths);
        match kind {
            kind if kind == wanted => other = other.max(weight),
            "application/json" | "application/*" | "*/*" => json = json.max(weight),
            _ => {}
        }
    }
    other > 0 && other >= json
}

/// `0.5` → 500: a quality has at most three decimals.
fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    format!("{whole}{fraction:0<3.3}").parse().unwrap_or(0)
}

/// A whole list as CSV: page after page, each from a snapshot of its own, so that a long list pins nothing. A page is
/// read when the one before it was taken: a slow reader holds no thread.
fn csv_response(
    kernel: &Kernel,
    endpoint: &Endpoint,
    read: Arc<Reading>,
    mut raw: RawCall,
) -> Result<Response> {
    // What comes whole takes no limit.
    if endpoint.query_names.contains(&"limit") {
        raw.query.retain(|it| it.0 != "limit");
        raw.query.push(("limit".into(), "100".into()));
    }
    let home = kernel.home_of(endpoint).clone();
    let first = home.read(|tx| read(tx, raw.clone()))?;
    let columns = if endpoint.list { endpoint.output.fields() } else { None };
    let table = page::Csv::new(columns);
    let pages =
        futures_util::stream::try_unfold((Some(first), table, raw), move |(page, mut table, mut raw)| {
            let next = page.map(|page| -> Result<_> {
                let piece = table.piece(&page).map_err(|error| fault!("a list cannot be CSV: {error}"))?;
                let following = match page.get("next_cursor").and_then(Value::as_str) {
                    Some(cursor) => {
                        raw.query.retain(|it| it.0 != "cursor");
                        raw.query.push(("cursor".into(), cursor.to_owned()));
                        Some(home.read(|tx| read(tx, raw.clone()))?)
                    }
                    None => None,
                };
                Ok((Bytes::from(piece), (following, table, raw)))
            });
            std::future::ready(next.transpose())
        });
    let mut response = Response::new(Body::from_stream(pages));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let disposition = HeaderValue::from_static("attachment; filename=\"list.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

/// The peer of a TCP connection.
pub fn remote_peer(address: SocketAddr) -> Peer {
    Peer { ip: address.ip().to_canonical(), is_local_admin: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of commands given on the machine itself once named nobody.
    #[test]
    fn the_log_names_whoever_is_known_and_the_machines_administrator_too() {
        let noted = |principal: Principal| {
            let mut caller = Caller::system(None);
            let mut noted = Noted::default();
            Who { principal, reach: Reach::Any, left: vec![] }.note(&mut caller, &mut noted);
            noted.actor
        };
        let admin = Principal { actor: Actor::System, client: None, session: None, grants: Grants::All };
        assert_eq!(noted(admin), Some(Actor::System));
        assert_eq!(noted(nobody()), None);
        let (client, key) = ("cli_01jd8x8y3re4vbh0m1k5n7p9qs", "key_01jd8x8y3re4vbh0m1k5n7p9qs");
        let key = Actor::Key(key.parse().unwrap());
        let public =
            Principal { actor: key, client: client.parse().ok(), session: None, grants: Grants::Public };
        assert_eq!(noted(public), Some(key));
    }

    /// `"v+7"` once counted as 7.
    #[test]
    fn a_version_is_digits_and_nothing_else() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, text.parse().unwrap());
            if_match(&headers)
        };
        assert_eq!(read("\"v7\"").unwrap(), Some(IfMatch::Version(7)));
        assert_eq!(read(" * ").unwrap(), Some(IfMatch::Any));
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        for wrong in [
            "\"v+7\"",
            "\"v-7\"",
            "\"v\"",
            "\"v 7\"",
            "v7",
            "7",
            "W/\"v7\"",
            "\"v7\", \"v8\"",
            "\"v99999999999999999999\"",
        ] {
            assert_eq!(read(wrong).unwrap_err().code(), Some("malformed"), "{wrong}");
        }
    }
}
