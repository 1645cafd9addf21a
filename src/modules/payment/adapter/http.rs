//! A gateway over HTTP, spoken to as Stripe is: form-encoded requests, a bearer key, an `Idempotency-Key`, JSON answers.
//!
//! | asked | request | our idempotency reference |
//! |---|---|---|
//! | create | `POST v1/payment_intents` | the attempt's id |
//! | retrieve | `GET v1/payment_intents/{id}`; before an id is known, create once more | the attempt's id |
//! | capture | `POST v1/payment_intents/{id}/capture` | attempt's id and `-capture` |
//! | cancel | `POST v1/payment_intents/{id}/cancel`; refused, ask what became of it | attempt's id and `-cancel` |
//! | refund | `POST v1/refunds`, `GET v1/refunds/{id}` | the refund's id |
//! | payout | `POST v1/payouts` | the withdrawal's id |
//! | ask of a payout | `GET v1/payouts/{id}`; before an id is known, look for ours in `GET v1/payouts` | – |
//! | test | `GET v1/balance` | – |
//!
//! What came of a request is one of three things, and never guessed:
//!
//! | answer | means |
//! |---|---|
//! | 2xx with the object that was asked for, of the right amount and currency | what the object says |
//! | 4xx but 408, 409 and 429; an address that may not be reached; a name without an address | it did not happen |
//! | of these 401, 403, 404, 405, 410, and what cannot be reached | and the gateway takes nothing from us at all: its health suffers |
//! | anything else: no answer in time, 5xx, 2xx with something else in it, a redirect | unknown |
//!
//! Unknown is asked again under the same reference, which is why asking twice does nothing twice.

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method, StatusCode, header::HeaderValue};
use percent_encoding::AsciiSet;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    Access, Adapter, Answering, AttemptOutcome, AttemptRequest, Notice, RefundOutcome, RefundRequest,
    at_once,
    stripe::{self, Intent, IntentStatus, Money, Payout, PayoutStatus, Refund, RefundStatus},
};
use crate::{
    kernel::net::{Net, NetError, Outgoing},
    modules::payment::{
        contract::{PayoutOutcome, PayoutRequest},
        model::Setup,
    },
};

/// How much of an answer is read: an intent has some kilobytes.
const MOST_BYTES: usize = 64 * 1024;
/// How long a gateway may take, unless it is configured.
pub const TIMEOUT_S: u32 = 20;

pub struct Http {
    pub net: Arc<Net>,
}

/// Why there is no answer to act on.
#[derive(Debug, PartialEq)]
enum Failure {
    /// It did not happen.
    Refused(String),
    /// It did not happen, and nothing else would: the key, or the address, is wrong.
    Denied(String),
    /// It may have happened.
    Unknown(String),
}

impl Failure {
    /// A question that is refused says nothing of what it was about.
    fn of_a_question(self) -> Failure {
        match self {
            Failure::Refused(reason) | Failure::Denied(reason) | Failure::Unknown(reason) => {
                Failure::Unknown(reason)
            }
        }
    }
}

/// One gateway, as it is reached.
struct Line {
    net: Arc<Net>,
    base_url: String,
    access: Access,
    timeout: Duration,
}

impl Http {
    fn line(&self, setup: &Setup, access: Access) -> Line {
        Line {
            net: self.net.clone(),
            base_url: setup.base_url.clone().unwrap_or_default(),
            access,
            timeout: Duration::from_secs(setup.timeout_s.unwrap_or(TIMEOUT_S).into()),
        }
    }
}

impl Line {
    async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None, vec![]).await
    }

    async fn post(&self, path: &str, key: &str, fields: &[(&str, String)]) -> Result<Value, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(Method::POST, path, Some(key), body.into_bytes()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Value, Failure> {
        let denied = |why: &str| Failure::Denied(why.to_owned());
        let refused = |why: &str| Failure::Refused(why.to_owned());
        let secret = self.access.secret_key.as_ref();
        let secret = secret.ok_or_else(|| denied("the gateway has no secret_key"))?;
        let mut headers = HeaderMap::new();
        let bearer = HeaderValue::from_str(&format!("Bearer {}", secret.as_str()));
        let mut bearer = bearer.map_err(|_| denied("the secret_key does not fit into a header"))?;
        bearer.set_sensitive(true);
        headers.insert("authorization", bearer);
        if let Some(key) = key {
            headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
            let key = HeaderValue::from_str(key)
                .map_err(|_| refused("our reference does not fit into a header"))?;
            headers.insert("idempotency-key", key);
        }
        let url = format!("{}/{path}", self.base_url.trim_end_matches('/'));
        let (timeout, most_bytes) = (self.timeout, MOST_BYTES);
        let request = Outgoing { method, url, headers, body, timeout, most_bytes };
        let answer = self.net.send(request).await.map_err(|error| match error {
            NetError::Forbidden(_) | NetError::Unresolved(..) => Failure::Denied(error.to_string()),
            NetError::TimedOut(_) | NetError::Failed(_) => Failure::Unknown(error.to_string()),
        })?;
        judge(answer.status, &answer.body)
    }
}

/// What an answer comes to.
fn judge(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(stripe::error_of);
    let number = status.as_u16();
    let words =
        |said: Option<String>| said.map_or(format!("answered {number}"), |it| format!("{it} ({number})"));
    match json {
        Some(json) if status.is_success() && said.is_none() => Ok(json),
        _ if status.is_success() => {
            Err(Failure::Unknown(format!("answered {number} with what cannot be understood")))
        }
        _ if [401, 403, 404, 405, 410].contains(&number) => Err(Failure::Denied(words(said))),
        _ if status.is_client_error() && ![408, 409, 429].contains(&number) => {
            Err(Failure::Refused(words(said)))
        }
        _ => Err(Failure::Unknown(words(said))),
    }
}

impl From<Failure> for Notice {
    fn from(failure: Failure) -> Notice {
        match failure {
            Failure::Refused(reason) | Failure::Denied(reason) => Notice::Declined { reason },
            Failure::Unknown(reason) => Notice::Unknown { reason },
        }
    }
}

/// What the gateway answered about an attempt.
fn told(request: &AttemptRequest, answer: Result<Value, Failure>) -> AttemptOutcome {
    let read = answer.and_then(|object| {
        let intent = Intent::read(&object).map_err(Failure::Unknown)?;
        check_same(request, &intent).map_err(Failure::Unknown)?;
        let notices = intent.notices(request.amount).map_err(Failure::Unknown)?;
        Ok(AttemptOutcome { url: intent.url, notices, ..AttemptOutcome::default() })
    });
    read.unwrap_or_else(|failure| {
        let is_failure = matches!(failure, Failure::Denied(_));
        AttemptOutcome { is_failure, ..AttemptOutcome::of(vec![failure.into()]) }
    })
}

/// That the gateway speaks of what we asked for. How much came of it is judged where it is booked.
fn check_same(request: &AttemptRequest, intent: &Intent) -> Result<(), String> {
    if let Some(known) = &request.reference
        && *known != intent.id
    {
        return Err(format!("{known} was asked for, {} came", intent.id));
    }
    let is_same = intent.amount.is(request.amount) || request.is_capturing;
    let Money { minor, code } = &intent.amount;
    if is_same {
        Ok(())
    } else {
        Err(format!("{} was told, the gateway says {minor} {code}", request.amount))
    }
}

impl Adapter for Http {
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let line = self.line(&request.setup, request.access.clone());
        let mut fields = vec![
            ("amount", request.amount.minor().to_string()),
            ("currency", request.amount.currency().code.to_string().to_ascii_lowercase()),
            ("capture_method", if request.setup.manual_capture { "manual" } else { "automatic" }.to_owned()),
            ("metadata[payment_id]", request.payment.to_string()),
            ("metadata[attempt_id]", request.attempt.to_string()),
        ];
        fields.extend(request.return_url.clone().map(|it| ("return_url", it)));
        Box::pin(async move {
            let answer = line.post("v1/payment_intents", &request.attempt.to_string(), &fields).await;
            told(&request, answer)
        })
    }

    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let Some(reference) = request.reference.clone() else { return self.create(request) };
        let line = self.line(&request.setup, request.access.clone());
        Box::pin(async move {
            let answer = line.get(&format!("v1/payment_intents/{}", escaped(&reference))).await;
            told(&request, answer.map_err(Failure::of_a_question))
        })
    }

    fn capture(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let line = self.line(&request.setup, request.access.clone());
        Box::pin(async move {
            let Some(reference) = &request.reference else {
                let reason = "the gateway never said which intent it set money aside for".to_owned();
                return AttemptOutcome::of(vec![Notice::Unknown { reason }]);
            };
            let fields = [("amount_to_capture", request.amount.minor().to_string())];
            let path = format!("v1/payment_intents/{}/capture", escaped(reference));
            let answer = line.post(&path, &format!("{}-capture", request.attempt), &fields).await;
            told(&request, answer)
        })
    }

    /// An intent whose id was never told is made once more, under the same reference, to learn it.
    fn cancel(&self, request: AttemptRequest) -> Answering<Result<Vec<Notice>, String>> {
        let line = self.line(&request.setup, request.access.clone());
        let made = match &request.reference {
            Some(_) => None,
            None => Some(self.create(request.clone())),
        };
        Box::pin(async move {
            let reference = match made {
                None => request.reference.clone(),
                Some(made) => match made.await.notices.pop() {
                    Some(Notice::Declined { .. }) => return Ok(vec![]), // There never was one.
                    Some(Notice::Unknown { reason }) => return Err(reason),
                    Some(Notice::Settled { reference, amount }) => {
                        return Ok(vec![Notice::Settled { reference, amount }]);
                    }
                    Some(Notice::Processing { reference, .. } | Notice::Authorized { reference }) => {
                        Some(reference)
                    }
                    Some(Notice::AwaitsPayer { reference }) => reference,
                    Some(Notice::Seen { .. } | Notice::Dropped { .. }) | None => None,
                },
            };
            let reference = reference.ok_or("the gateway does not say which intent it is")?;
            let path = format!("v1/payment_intents/{}", escaped(&reference));
            let key = format!("{}-cancel", request.attempt);
            let object = match line.post(&format!("{path}/cancel"), &key, &[]).await {
                Ok(object) => object,
                Err(Failure::Unknown(reason)) => return Err(reason),
                // It is over there, one way or the other.
                Err(Failure::Refused(_) | Failure::Denied(_)) => match line.get(&path).await {
                    Ok(object) => object,
                    Err(Failure::Refused(reason) | Failure::Denied(reason) | Failure::Unknown(reason)) => {
                        return Err(reason);
                    }
                },
            };
            let intent = Intent::read(&object)?;
            match intent.status {
                IntentStatus::Canceled => Ok(vec![]),
                IntentStatus::Succeeded => intent.notices(request.amount),
                _ => Err("the gateway has not canceled it".to_owned()),
            }
        })
    }

    fn refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        let line = self.line(&request.setup, request.access.clone());
        Box::pin(async move {
            let fields = [
                ("payment_intent", request.charge.clone()),
                ("amount", request.amount.minor().to_string()),
                ("metadata[refund_id]", request.refund.to_string()),
            ];
            paid_back(&request, line.post("v1/refunds", &request.refund.to_string(), &fields).await)
        })
    }

    fn retrieve_refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        let Some(reference) = request.reference.clone() else { return self.refund(request) };
        let line = self.line(&request.setup, request.access.clone());
        Box::pin(async move {
            let answer = line.get(&format!("v1/refunds/{}", escaped(&reference))).await;
            paid_back(&request, answer.map_err(Failure::of_a_question))
        })
    }

    fn payout(&self, request: PayoutRequest, setup: Setup, access: Access) -> Answering<PayoutOutcome> {
        let line = self.line(&setup, access);
        Box::pin(async move {
            let fields = [
                ("amount", request.amount.minor().to_string()),
                ("currency", request.amount.currency().code.to_string().to_ascii_lowercase()),
                ("destination", request.method.to_string()),
                ("metadata[withdrawal_id]", request.reference.clone()),
            ];
            match line
                .post("v1/payouts", &request.reference, &fields)
                .await
                .and_then(|it| sent(&request, &it))
            {
                Ok(outcome) => outcome,
                Err(Failure::Refused(reason) | Failure::Denied(reason)) => PayoutOutcome::Failed { reason },
                Err(Failure::Unknown(reason)) => PayoutOutcome::Unknown { reason },
            }
        })
    }

    /// Without the gateway's own reference it is looked for among the last payouts by ours. That it is not there proves
    /// nothing, so it is never sent again.
    fn retrieve_payout(
        &self,
        request: PayoutRequest,
        reference: Option<String>,
        setup: Setup,
        access: Access,
    ) -> Answering<PayoutOutcome> {
        let line = self.line(&setup, access);
        Box::pin(async move {
            let answer = match &reference {
                Some(reference) => line.get(&format!("v1/payouts/{}", escaped(reference))).await,
                None => line.get("v1/payouts?limit=100").await.and_then(|list| found(&request, &list)),
            };
            let told = answer.map_err(Failure::of_a_question).and_then(|it| {
                let is_ours =
                    it["metadata"]["withdrawal_id"].as_str().is_none_or(|it| it == request.reference);
                let is_same = reference.is_none() || it["id"].as_str() == reference.as_deref();
                match is_ours && is_same {
                    true => sent(&request, &it),
                    false => Err(Failure::Unknown("the gateway speaks of another payout".to_owned())),
                }
            });
            match told {
                Ok(outcome) => outcome,
                Err(Failure::Refused(reason) | Failure::Denied(reason) | Failure::Unknown(reason)) => {
                    PayoutOutcome::Unknown { reason }
                }
            }
        })
    }

    fn check(&self, setup: Setup, access: Access) -> Answering<Result<String, String>> {
        if setup.base_url.is_none() {
            return at_once(Err("the gateway has no base_url".to_owned()));
        }
        let line = self.line(&setup, access);
        Box::pin(async move {
            match line.get("v1/balance").await {
                Ok(_) => Ok("the gateway answers, and takes the key".to_owned()),
                Err(Failure::Refused(reason) | Failure::Denied(reason) | Failure::Unknown(reason)) => {
                    Err(reason)
                }
            }
        })
    }
}

fn paid_back(request: &RefundRequest, answer: Result<Value, Failure>) -> RefundOutcome {
    let read = answer.and_then(|object| {
        let refund = Refund::read(&object).map_err(Failure::Unknown)?;
        if !refund.amount.is(request.amount) {
            let Money { minor, code } = refund.amount;
            let reason = format!("{} was to be paid back, the gateway says {minor} {code}", request.amount);
            return Err(Failure::Unknown(reason));
        }
        let reference = refund.id;
        Ok(match refund.status {
            RefundStatus::Succeeded => RefundOutcome::Succeeded { reference },
            RefundStatus::Pending => RefundOutcome::Pending { reference },
            RefundStatus::Failed => {
                RefundOutcome::Failed { reason: refund.error.unwrap_or("the gateway could not".to_owned()) }
            }
        })
    });
    read.unwrap_or_else(|failure| match failure {
        Failure::Refused(reason) | Failure::Denied(reason) => RefundOutcome::Failed { reason },
        Failure::Unknown(reason) => RefundOutcome::Unknown { reason },
    })
}

fn sent(request: &PayoutRequest, object: &Value) -> Result<PayoutOutcome, Failure> {
    let payout = Payout::read(object).map_err(Failure::Unknown)?;
    if !payout.amount.is(request.amount) {
        let Money { minor, code } = payout.amount;
        let reason = format!("{} was to be sent, the gateway says {minor} {code}", request.amount);
        return Err(Failure::Unknown(reason));
    }
    let reference = payout.id;
    Ok(match payout.status {
        PayoutStatus::Paid => PayoutOutcome::Completed { reference },
        PayoutStatus::Sent => PayoutOutcome::Sent { reference },
        PayoutStatus::Failed => {
            PayoutOutcome::Failed { reason: payout.error.unwrap_or("the gateway could not".to_owned()) }
        }
        PayoutStatus::Unknown(status) => {
            return Err(Failure::Unknown(format!("the status {status} is unknown")));
        }
    })
}

/// The payout of ours in a list of them.
fn found(request: &PayoutRequest, list: &Value) -> Result<Value, Failure> {
    let mut payouts = list["data"].as_array().into_iter().flatten();
    let ours = payouts.find(|it| it["metadata"]["withdrawal_id"].as_str() == Some(&request.reference));
    ours.cloned().ok_or_else(|| Failure::Unknown("the gateway's last payouts do not show it".to_owned()))
}

/// What stands in a path as it is (RFC 3986 §2.3).
const SEGMENT: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A reference as part of a path.
fn escaped(reference: &str) -> String {
    percent_encoding::utf8_percent_encode(reference, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_an_object_a_refusal_or_unknown() {
        for (status, body, wanted) in [
            (200, r#"{"id":"pi_1"}"#, "object"),
            (201, "{}", "object"),
            (200, "<html>", "unknown"),
            (200, "", "unknown"),
            (200, r#"{"error":{"message":"declined"}}"#, "unknown"),
            (302, "", "unknown"),
            (400, "", "refused"),
            (401, "no", "denied"),
            (403, r#"{"error":{"message":"revoked"}}"#, "denied"),
            (404, "", "denied"),
            (402, r#"{"error":{"message":"declined"}}"#, "refused"),
            (408, "", "unknown"),
            (409, "", "unknown"),
            (429, "", "unknown"),
            (500, "", "unknown"),
            (503, r#"{"error":{"message":"later"}}"#, "unknown"),
        ] {
            let found = match judge(StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
                Ok(_) => "object",
                Err(Failure::Refused(_)) => "refused",
                Err(Failure::Denied(_)) => "denied",
                Err(Failure::Unknown(_)) => "unknown",
            };
            assert_eq!(found, wanted, "{status} {body}");
        }
        let declined = judge(StatusCode::PAYMENT_REQUIRED, br#"{"error":{"message":"no funds"}}"#);
        assert_eq!(declined, Err(Failure::Refused("no funds (402)".into())));
    }
}
