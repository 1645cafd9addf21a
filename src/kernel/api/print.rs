//! Pages to be printed: what an endpoint answers to `Accept: text/html`. No script runs in one, and of styles only its
//! own.

use axum::{body::Body, response::Response};
use hyper::header::{self, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::kernel::error::{Result, fault};

/// A whole document, and the sheet that stands in it.
pub struct Printed {
    pub html: String,
    /// Byte for byte what is between `<style>` and its end.
    pub css: &'static str,
}

pub fn response(printed: Printed) -> Result<Response> {
    let hash = data_encoding::BASE64.encode(&Sha256::digest(printed.css));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'");
    let policy = HeaderValue::from_str(&policy).map_err(|error| fault!("a policy: {error}"))?;
    let mut response = Response::new(Body::from(printed.html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}
