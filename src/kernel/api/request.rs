//! What is read of a request: its id, its headers, its query, its body. Whatever is not as it should be is refused by
//! name.

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method,
    header::{self, HeaderName},
};
use serde_json::Value;

use super::{call::IfMatch, dispatch::full_path, endpoint::Endpoint, input::Flaw, json, problem::ApiRefusal};
use crate::kernel::error::{Error, Result};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

pub fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>> {
    let malformed =
        || ApiRefusal::Malformed { reason: "If-Match is neither * nor a list of entity tags".into() };
    let mut headers = headers.get_all(header::IF_MATCH).iter().peekable();
    if headers.peek().is_none() {
        return Ok(None);
    }
    let mut versions = vec![];
    for header in headers {
        let text = header.to_str().map_err(|_| malformed())?.trim_matches([' ', '\t']);
        if text == "*" {
            return Ok(Some(IfMatch::Any));
        }
        for tag in entity_tags(text).ok_or_else(malformed)? {
            versions.extend(version_of(tag));
        }
    }
    Ok(Some(IfMatch::OneOf(versions)))
}

/// `"v1", W/"x"` → each of them (RFC 9110 §8.8.3); `None` when it is no such list.
fn entity_tags(list: &str) -> Option<Vec<&str>> {
    let mut tags = vec![];
    let mut rest = list;
    loop {
        let opaque = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"')?;
        let length = opaque.find('"')?;
        let in_tag = |it: char| it != ' ' && !it.is_control();
        if !opaque[..length].chars().all(in_tag) {
            return None;
        }
        let (tag, behind) = rest.split_at(rest.len() - opaque.len() + length + 1);
        tags.push(tag);
        let behind = behind.trim_start_matches([' ', '\t']);
        if behind.is_empty() {
            return Some(tags);
        }
        rest = behind.strip_prefix(',')?.trim_start_matches([' ', '\t']);
    }
}

/// The version a tag of ours names. Any other tag is of something this never was: it matches nothing.
fn version_of(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix("\"v")?.strip_suffix('"')?;
    let canonical = digits == "0" || !digits.starts_with('0');
    if canonical && digits.bytes().all(|it| it.is_ascii_digit()) { digits.parse().ok() } else { None }
}

pub fn idempotency_key(endpoint: &Endpoint, headers: &HeaderMap) -> Result<Option<String>> {
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

/// `?dry_run=true` on commands about money.
pub fn take_dry_run(
    endpoint: &Endpoint,
    query: Vec<(String, String)>,
) -> Result<(bool, Vec<(String, String)>)> {
    let rehearses = endpoint.rehearses();
    let (asked, rest): (Vec<_>, Vec<_>) = query.into_iter().partition(|it| rehearses && it.0 == "dry_run");
    match asked.first().map(|it| it.1.as_str()) {
        None | Some("false") => Ok((false, rest)),
        Some("true") => Ok((true, rest)),
        Some(_) => Err(Flaw::new("dry_run", "invalid_format", "must be true or false").into()),
    }
}

/// All of a body, when it is not above `limit`.
pub async fn collect(body: Body, limit: usize) -> Result<Bytes> {
    let collected = Limited::new(body, limit).collect().await;
    let bytes = collected.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => Error::from(ApiRefusal::PayloadTooLarge { limit_bytes: limit as u64 }),
        Err(error) => ApiRefusal::Malformed { reason: format!("the body ended early: {error}") }.into(),
    })?;
    Ok(bytes.to_bytes())
}

pub async fn read_body(method: &Method, headers: &HeaderMap, body: Body, limit: usize) -> Result<Value> {
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

pub fn parse_query(query: &str) -> Result<Vec<(String, String)>> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode(&spaced)
            .ok_or_else(|| ApiRefusal::Malformed { reason: "the query string is not UTF-8".into() })
    };
    let pairs = query.split('&').filter(|it| !it.is_empty());
    let pairs = pairs.map(|it| it.split_once('=').unwrap_or((it, "")));
    pairs.map(|(name, value)| Ok((decode(name)?, decode(value)?))).collect()
}

pub fn percent_decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|it| it.into_owned())
}

/// The parts of `path` that stand where the endpoint's path has `{…}`.
pub fn path_parts(endpoint: &Endpoint, path: &str) -> Vec<String> {
    let full = full_path(endpoint);
    let pairs = full.split('/').zip(path.split('/'));
    pairs
        .filter(|(name, _)| name.starts_with('{'))
        .map(|(_, part)| percent_decode(part).unwrap_or_default())
        .collect()
}

/// Who was cut off says in a header what they saw last.
pub fn going_on(headers: &HeaderMap, mut query: Vec<(String, String)>) -> Vec<(String, String)> {
    if let Some(last) = headers.get("last-event-id").and_then(|it| it.to_str().ok()) {
        query.retain(|it| it.0 != "after");
        query.push(("after".to_owned(), last.to_owned()));
    }
    query
}

/// Whether this is wanted more than JSON (RFC 9110 §12.5.1).
pub fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
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
pub fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    format!("{whole}{fraction:0<3.3}").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"v+7"` once counted as 7, and a tag of another form was malformed instead of stale.
    #[test]
    fn a_version_is_digits_and_any_other_tag_matches_nothing() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, text.parse().unwrap());
            if_match(&headers)
        };
        let of = |versions: &[u64]| Some(IfMatch::OneOf(versions.to_vec()));
        assert_eq!(read(" * ").unwrap(), Some(IfMatch::Any));
        assert_eq!(if_match(&HeaderMap::new()).unwrap(), None);
        for (text, versions) in [
            ("\"v7\"", &[7][..]),
            ("\"v7\", \"v8\"", &[7, 8]),
            ("\"v7\" ,W/\"v8\",\t\"x,y\"", &[7]),
            ("\"v+7\"", &[]),
            ("\"v-7\"", &[]),
            ("\"v07\"", &[]),
            ("\"v\"", &[]),
            ("\"7\"", &[]),
            ("\"\"", &[]),
            ("W/\"v7\"", &[]),
            ("\"v99999999999999999999\"", &[]),
        ] {
            assert_eq!(read(text).unwrap(), of(versions), "{text}");
        }
        for wrong in
            ["", "v7", "7", "\"v7", "\"v 7\"", "\"v7\" \"v8\"", "\"v7\",", "w/\"v7\"", "\"v7\"x", "*, \"v7\""]
        {
            assert_eq!(read(wrong).unwrap_err().code(), Some("malformed"), "{wrong}");
        }
    }
}
