//! What is answered: bodies, entity tags, CSV, streams, problems, and the headers every answer carries.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use hyper::{
    HeaderMap, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{
    endpoint::{Endpoint, RawCall, Reading, Streamed},
    idempotency::Answer,
    page,
    problem::{self, Problem},
    request::REQUEST_ID,
};
use crate::kernel::{
    boot::Kernel,
    error::{Error, Result, fault},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

pub fn answer_response(answer: Answer) -> Response {
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
pub fn found_response(endpoint: &Endpoint, headers: &HeaderMap, value: Value) -> Response {
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

pub fn stream_response(endpoint: &Endpoint, stream: Streamed) -> Response {
    use futures_util::StreamExt as _;
    let mut response = Response::new(Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(endpoint.streams_as));
    // Asks nginx, and others that heed it, not to hold pieces back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// A whole list as CSV: page after page, each from a snapshot of its own, so that a long list pins nothing. A page is
/// read when the one before it was taken: a slow reader holds no thread.
pub fn csv_response(
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
    let columns = if endpoint.list { (endpoint.output)().fields() } else { None };
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

pub fn add_etag(response: &mut Response, version: Option<u64>) {
    if let Some(version) = version
        && let Ok(etag) = HeaderValue::from_str(&format!("\"v{version}\""))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
}

pub fn json_response(status: u16, content_type: &'static str, body: Vec<u8>) -> Response {
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
