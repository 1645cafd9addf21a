//! From an HTTP request to an answer: the same steps, in the same order, for every operation.
//!
//! request id · where from · claimed? · limits · who (`who.rs`) · may they · body (`request.rs`) · input ·
//! (idempotency, in the transaction of the effect) · answer (`response.rs`)

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::Response,
    routing::{MethodFilter, on},
};
use hyper::{HeaderMap, Method, StatusCode, header::HeaderValue, http::request::Parts};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    call::{Caller, Reach},
    endpoint::{Endpoint, Handler, Hearing, RawBytes, RawCall, Reading, Streaming},
    idempotency::{self, Answer, Scoped, fingerprint, rehearse_remote, run_remote},
    input::read_query,
    pieces, print,
    problem::ApiRefusal,
    request::{
        accepts, collect, going_on, idempotency_key, if_match, parse_query, path_parts, read_body,
        request_id, take_dry_run,
    },
    response::{
        answer_response, csv_response, decorate, found_response, problem_response, stream_response,
        whole_csv_response,
    },
    who::{Noted, Who, authenticate, client_address, nobody, user_agent},
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
    let caller = Caller {
        principal: nobody(),
        reach: Reach::Any,
        request_id: request_id.to_owned(),
        ip,
        user_agent: user_agent(&parts.headers),
        if_match: if_match(&parts.headers)?,
        fingerprint: [0; 16],
        catalogue: kernel.permissions.clone(),
    };
    let mut raw = RawCall { caller, path, query, body: Value::Null };
    let who = |tx: &ReadTx| authenticate(kernel, tx, endpoint, &parts.headers, ip, peer.is_local_admin);
    if let Handler::Read(reading) = &endpoint.handler {
        return read(kernel, endpoint, reading, &parts.headers, raw, who, noted);
    }
    kernel.store.read(who)?.note(&mut raw.caller, noted);
    match &endpoint.handler {
        Handler::Stream(open) => stream(kernel, endpoint, &**open, raw, &parts),
        Handler::Hear(judge) => hear(kernel, endpoint, &**judge, raw, parts.headers, body).await,
        _ => command(kernel, endpoint, raw, &parts, body).await,
    }
}

/// Who asks is found out in the snapshot that is answered from, where both are in one file.
fn read(
    kernel: &Arc<Kernel>,
    endpoint: &Arc<Endpoint>,
    reading: &Arc<Reading>,
    headers: &HeaderMap,
    mut raw: RawCall,
    who: impl Fn(&ReadTx) -> Result<Who>,
    noted: &mut Noted,
) -> Result<Response> {
    let home = kernel.home_of(endpoint);
    if endpoint.csv && accepts(headers, "text/csv") {
        kernel.store.read(who)?.note(&mut raw.caller, noted);
        return csv_response(kernel, endpoint, reading.clone(), raw);
    }
    if let Some(printing) = endpoint.printing.as_ref().filter(|_| accepts(headers, "text/html")) {
        kernel.store.read(who)?.note(&mut raw.caller, noted);
        return print::response(home.read(|tx| printing(tx, raw))?);
    }
    let value = if kernel.is_away(endpoint) {
        kernel.store.read(who)?.note(&mut raw.caller, noted);
        home.read(|tx| reading(tx, raw))?
    } else {
        home.read(|tx| {
            who(tx)?.note(&mut raw.caller, noted);
            reading(tx, raw)
        })?
    };
    Ok(found_response(endpoint, headers, value))
}

fn stream(
    kernel: &Arc<Kernel>,
    endpoint: &Endpoint,
    open: &Streaming,
    mut raw: RawCall,
    parts: &Parts,
) -> Result<Response> {
    raw.query = going_on(&parts.headers, raw.query);
    let stop = parts.extensions.get::<Stopping>().map(|it| it.0.clone());
    // Without a listener nothing tells it to stop: the sender of this one is gone.
    let stop = stop.unwrap_or_else(|| watch::channel(false).1);
    Ok(stream_response(endpoint, open(kernel.clone(), raw, stop)?))
}

/// A message whose signature says who sent it.
async fn hear(
    kernel: &Arc<Kernel>,
    endpoint: &Arc<Endpoint>,
    judge: &Hearing,
    raw: RawCall,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let RawCall { caller, path, query, .. } = raw;
    read_query::<()>(query)?;
    let body = collect(body, body_limit(kernel, endpoint)).await?;
    let ip = caller.ip;
    let heard = RawBytes { caller, path, headers, body };
    let home = kernel.home_of(endpoint);
    let write = home.read(|tx| judge(tx, heard)).or_else(|error| {
        // What is not signed is a guess at the signature.
        if matches!(error, Error::Refused(_)) {
            kernel.limits.unauthenticated(ip)?;
        }
        Err(error)
    })?;
    let body = home.write(write).await?;
    Ok(answer_response(Answer { status: endpoint.status, body, replayed: false }))
}

async fn command(
    kernel: &Arc<Kernel>,
    endpoint: &Arc<Endpoint>,
    raw: RawCall,
    parts: &Parts,
    body: Body,
) -> Result<Response> {
    let RawCall { mut caller, path, query, .. } = raw;
    let body = read_body(&parts.method, &parts.headers, body, body_limit(kernel, endpoint)).await?;
    caller.fingerprint = fingerprint(&kernel.secrets, &body);
    let (dry_run, query) = take_dry_run(endpoint, query)?;
    let mut raw = RawCall { caller, path, query, body };
    let key = idempotency_key(endpoint, &parts.headers)?.filter(|_| !dry_run);
    let scoped = key.map(|it| Scoped::new(&raw, endpoint, &it));
    let home = kernel.home_of(endpoint);
    let outcome = match &endpoint.handler {
        Handler::Read(_) | Handler::Stream(_) | Handler::Hear(_) => Err(fault!("it is no command")),
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
        Handler::Async(run) => {
            let body = run(kernel.clone(), raw).await;
            body.map(|body| Answer { status: endpoint.status, body, replayed: false })
        }
        Handler::Pieces(cut) => {
            let body = std::mem::take(&mut raw.body);
            let cut = cut(RawCall { body, ..raw.clone() })?;
            pieces::run(kernel.clone(), endpoint.clone(), cut, raw, scoped, dry_run).await
        }
        Handler::Remote(remote) if dry_run => {
            let (endpoint, remote) = (endpoint.clone(), remote.clone());
            home.write(move |tx| rehearse_remote(tx, &endpoint, &remote, raw)).await
        }
        Handler::Remote(remote) => {
            run_remote(kernel.clone(), endpoint.clone(), remote.clone(), raw, scoped).await
        }
    };
    let answer = outcome?;
    if endpoint.csv && accepts(&parts.headers, "text/csv") {
        return whole_csv_response(endpoint, &answer);
    }
    Ok(answer_response(answer))
}

fn body_limit(kernel: &Kernel, endpoint: &Endpoint) -> usize {
    endpoint.max_body_bytes.unwrap_or(kernel.config.server.max_body_bytes)
}

/// Until an operator claims the installation, only the claim and the signs of life answer.
fn answers_unclaimed(endpoint: &Endpoint) -> bool {
    endpoint.path == "/livez" || endpoint.path.starts_with("/operator/claim")
}

/// The peer of a TCP connection.
pub fn remote_peer(address: SocketAddr) -> Peer {
    Peer { ip: address.ip().to_canonical(), is_local_admin: false }
}
