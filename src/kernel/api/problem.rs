//! How a refusal or a fault reads over HTTP: `application/problem+json` (RFC 9457). The only place that chooses
//! statuses.

use serde_json::{Map, Value, json};

use crate::kernel::error::{Error, Kind, Refusal, RefusalInfo, refusals};

refusals! {
    kernel
    /// What the kernel refuses before any rule of a module is asked.
    pub enum ApiRefusal {
        /// The body is not JSON, or a header is not of its form.
        Malformed { reason: String }: Malformed "malformed" => "{reason}",
        /// A command that creates or moves money needs an `Idempotency-Key` header, so that repeating it is safe.
        IdempotencyKeyRequired: Malformed "idempotency_key_required"
            => "send an Idempotency-Key header: 1 to 255 printable ASCII characters",
        /// An operator acts inside a client only when the request names it in `X-Client-Id`.
        ClientRequired: Malformed "client_required" => "name the client in X-Client-Id",
        /// No credential, or one that is wrong, expired or revoked.
        Unauthenticated: Unauthenticated "unauthenticated" => "send a valid credential",
        /// The credential is good but does not hold the permission named in `required_permission`.
        Forbidden { required_permission: String }: Forbidden "forbidden" => "{required_permission} is needed",
        /// Another object of the client of this kind has this external id.
        ExternalIdTaken { existing_id: String }: Conflict "external_id_taken" => "{existing_id} has this external id",
        /// The client was deactivated by the operator.
        ClientInactive: Forbidden "client_inactive" => "the client is not active",
        /// The thing does not exist, or one may not know that it does.
        NotFound: NotFound "not_found" => "there is no such thing here",
        /// The path exists, the method does not.
        MethodNotAllowed: MethodNotAllowed "method_not_allowed" => "this path does not take this method",
        /// The installation has no operator yet: open the set-up link, or run `coffer setup-link`.
        NotClaimed: Unavailable "not_claimed" => "this installation has not been claimed yet",
        /// The event is not allowed in the state the object is in.
        InvalidStateTransition { event: String, current_status: String, allowed_events: Vec<String> }:
            Conflict "invalid_state_transition" => "cannot {event} what is {current_status}",
        /// Somebody with the same idempotency key is being served right now. Ask again shortly.
        IdempotencyInProgress: Conflict "idempotency_in_progress" => "the first request with this key is still running",
        /// The idempotency key was used before with another body. The first outcome stands.
        IdempotencyKeyReused: Unprocessable "idempotency_key_reused" => "this key was used with another body",
        /// The version in `If-Match` is not the object's.
        StaleVersion { current_version: u64 }: PreconditionFailed "stale_version"
            => "the object is at version {current_version}",
        /// Changing configuration needs `If-Match` with the version (the ETag) that was read.
        IfMatchRequired: PreconditionRequired "if_match_required" => "send If-Match with the ETag you read",
        /// The body is larger than the operation takes.
        PayloadTooLarge { limit_bytes: u64 }: TooLarge "payload_too_large" => "at most {limit_bytes} bytes",
        /// Send `Content-Type: application/json`.
        UnsupportedMediaType: UnsupportedMediaType "unsupported_media_type" => "send application/json",
        /// Too many requests. `Retry-After` says when to come back.
        RateLimited { retry_after_s: u64 }: TooManyRequests "rate_limited" => "come back in {retry_after_s} s",
        /// Reading took longer than the server allows.
        TimedOut: Unavailable "timed_out" => "the request took too long",
    }
}

/// What an error says over HTTP: status and problem document.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: u16,
    pub document: Map<String, Value>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u64>,
}

pub const CONTENT_TYPE: &str = "application/problem+json";

impl Problem {
    /// Faults are logged here, once, with their chain; the caller sees a bare 500.
    pub fn of(error: &Error, request_id: &str) -> Problem {
        match error {
            Error::Refused(refusal) => Problem::of_refusal(&**refusal, request_id),
            Error::Fault(fault) => {
                tracing::error!(
                    request.id = request_id,
                    error = format!("{fault:#}"),
                    "Request failed: {fault:#}"
                );
                Problem::new(
                    500,
                    "internal",
                    "internal error, see the log under this request id",
                    Map::new(),
                    request_id,
                )
            }
        }
    }

    fn of_refusal(refusal: &dyn Refusal, request_id: &str) -> Problem {
        let status = status(refusal.kind());
        let params = refusal.params();
        let retry_after_s = params.get("retry_after_s").and_then(Value::as_u64);
        let retry_after_s =
            retry_after_s.or((status == 503 || refusal.code() == "idempotency_in_progress").then_some(1));
        let problem = Problem::new(status, refusal.code(), &refusal.to_string(), params, request_id);
        Problem { retry_after_s, ..problem }
    }

    fn new(
        status: u16,
        code: &'static str,
        detail: &str,
        params: Map<String, Value>,
        request_id: &str,
    ) -> Problem {
        // What a refusal adds never takes the place of what every problem document says.
        let mut document = params;
        document.insert("type".into(), format!("/docs/errors/{code}").into());
        document.insert("title".into(), title(code).into());
        document.insert("status".into(), status.into());
        document.insert("detail".into(), detail.into());
        document.insert("code".into(), code.into());
        document.insert("request_id".into(), request_id.into());
        document.insert("retryable".into(), retryable(status, code).into());
        Problem { status, document, retry_after_s: None }
    }
}

/// The status of each kind of refusal.
pub fn status(kind: Kind) -> u16 {
    match kind {
        Kind::Malformed => 400,
        Kind::Unauthenticated => 401,
        Kind::Forbidden => 403,
        Kind::NotFound => 404,
        Kind::MethodNotAllowed => 405,
        Kind::Conflict => 409,
        Kind::Gone => 410,
        Kind::PreconditionFailed => 412,
        Kind::TooLarge => 413,
        Kind::UnsupportedMediaType => 415,
        Kind::Unprocessable => 422,
        Kind::PreconditionRequired => 428,
        Kind::TooManyRequests => 429,
        Kind::Unavailable => 503,
        Kind::OutOfSpace => 507,
    }
}

/// Whether the very same request may succeed later.
fn retryable(status: u16, code: &str) -> bool {
    matches!(status, 429 | 500 | 503 | 507) || code == "idempotency_in_progress"
}

/// `insufficient_funds` → `Insufficient funds`.
pub fn title(code: &str) -> String {
    let text = code.replace('_', " ");
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// The page of one code, for `/docs/errors/{code}`.
pub fn page(info: &RefusalInfo) -> Value {
    json!({
        "code": info.code,
        "title": title(info.code),
        "status": status(info.kind),
        "about": info.about.trim(),
        "retryable": retryable(status(info.kind), info.code),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    refusals! {
        /// Made to clash with what every problem document says.
        pub enum ClashingRefusal {
            /// Its fields are called like members of every problem.
            Clashing { status: String, code: u64, detail: bool, found: u64 }: Conflict "clashing" => "it clashes",
        }
    }

    /// A refusal once had a field `status`, "frozen", and the document said that instead of 403.
    #[test]
    fn what_a_refusal_adds_never_takes_the_place_of_what_every_problem_says() {
        let clashing = ClashingRefusal::Clashing { status: "frozen".into(), code: 7, detail: true, found: 3 };
        let problem = Problem::of(&clashing.into(), "req_1");
        let members =
            ["status", "code", "detail", "found", "request_id"].map(|it| problem.document[it].clone());
        let wanted = [json!(409), json!("clashing"), json!("it clashes"), json!(3), json!("req_1")];
        assert_eq!(members, wanted);
        assert_eq!(ClashingRefusal::CATALOGUE.len(), 1);
    }
}
