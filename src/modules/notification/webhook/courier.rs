//! Sending: when a message goes, what goes, and what its outcome means for the endpoint.

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method, StatusCode, header::HeaderValue};
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    events::WebhookEndpointWarned,
    model::{Alarm, DisabledBecause, Endpoint, Gate},
    repository::{ENDPOINTS, endpoint_of, step_aside, waits_for},
    service::{disable, sealed_at},
    signature::sign,
    timer::try_one,
    traffic::Traffic,
};
use crate::kernel::{
    api::{call::Caller, principal::ClientId},
    clock::Time,
    error::{Result, fault},
    events::{
        courier::{Courier, Outcome, Ready, Report, Sending},
        delivery::{DELIVERIES, Delivery, DeliveryId},
    },
    id::Id as _,
    net::{Answer, Net, NetError, Outgoing},
    secret::Secrets,
    store::WriteTx,
};
use crate::modules::notification::contract::{Captured, CapturedWebhook};

/// How much of an answer is read; the outbox keeps its first 2 KiB.
const MOST_BYTES: usize = 16 * 1024;
/// A receiver may ask for a pause of its own, within reason.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

pub struct Webhooks {
    net: Arc<Net>,
    secrets: Arc<Secrets>,
    timeout: Duration,
    traffic: Traffic,
    /// On an instance in memory.
    captured: Option<Arc<Captured<CapturedWebhook>>>,
}

/// What sending needs, as it is at the time of the attempt.
pub struct Material {
    url: String,
    /// All that are live, the newest first.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

impl Webhooks {
    pub fn new(
        net: Arc<Net>,
        secrets: Arc<Secrets>,
        timeout: Duration,
        captured: Option<Arc<Captured<CapturedWebhook>>>,
    ) -> Webhooks {
        Webhooks { net, secrets, timeout, traffic: Traffic::default(), captured }
    }

    fn material(&self, endpoint: &Endpoint, now: Time) -> Result<Material> {
        let live = endpoint.secrets.iter().filter(|it| it.is_live(now));
        let secrets = live.map(|it| self.secrets.open_sealed(&sealed_at(endpoint.id), &it.sealed));
        Ok(Material { url: endpoint.url.clone(), secrets: secrets.collect::<Result<_>>()? })
    }
}

impl Courier for Webhooks {
    type Material = Material;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Material>> {
        let Some((client, mut endpoint)) = job.client.zip(endpoint_of(tx, job.client, &job.target)?) else {
            return Ok(Ready::Cancel("the endpoint was deleted".into()));
        };
        let now = tx.now();
        // A test is sent to see what happens, whatever state the endpoint is in.
        let Some(envelope) = &job.envelope else { return Ok(Ready::Go(self.material(&endpoint, now)?)) };
        if endpoint.disabled.is_some() {
            return Ok(Ready::Block("the endpoint is disabled".into()));
        }
        match endpoint.gate {
            Gate::Shut { until, .. } => {
                return Ok(Ready::Block(format!(
                    "the endpoint keeps failing; it is left alone until {until}"
                )));
            }
            Gate::Probing { probe: Some(probe), .. } if probe != job.id => {
                return Ok(Ready::Block(format!("the endpoint is being tried with {probe}")));
            }
            Gate::Probing { .. } | Gate::Open => {}
        }
        if let Some(first) = waits_for(tx, client, endpoint.id, &envelope.entity, job.id)? {
            return Ok(Ready::Block(format!("{first} is about the same thing and comes first")));
        }
        if let Some(per_s) = endpoint.rate_per_s {
            let row = tx.get(&DELIVERIES, &(client, job.id))?;
            let has_waited = row.is_some_and(|it| it.due_at > it.created_at);
            if let Some(wait) = self.traffic.wait(endpoint.id, per_s, has_waited, now) {
                return Ok(Ready::Later(wait));
            }
        }

        let material = self.material(&endpoint, now)?;
        if let Gate::Probing { probe: None, pause_s } = endpoint.gate {
            endpoint.gate = Gate::Probing { probe: Some(job.id), pause_s };
            tx.put(&ENDPOINTS, &(client, endpoint.id), &endpoint)?;
        }
        Ok(Ready::Go(material))
    }

    fn send(&self, job: Sending, material: Material) -> impl Future<Output = Report> + Send + 'static {
        let (net, timeout, captured) = (self.net.clone(), self.timeout, self.captured.clone());
        async move {
            let request = match request(&job, &material, timeout) {
                Ok(request) => request,
                Err(error) => return Outcome::Reject(error.to_string()).into(),
            };
            let Some(captured) = captured else { return report(net.send(request).await, job.started_at) };
            let sent = request.clone();
            let answer = net.send(request).await;
            captured.keep(as_captured(&job, sent, &answer));
            report(answer, job.started_at)
        }
    }

    fn settled(&self, tx: &mut WriteTx, job: &Sending, report: &Report) -> Result<()> {
        let Some((client, mut endpoint)) = job.client.zip(endpoint_of(tx, job.client, &job.target)?) else {
            return Ok(());
        };
        if job.envelope.is_none() {
            return Ok(());
        }
        let now = tx.now();
        let before = endpoint.clone();
        let mut alarm = None;
        match &report.outcome {
            Outcome::Ok => {
                self.traffic.note(endpoint.id, true, now);
                endpoint.health = Default::default();
                if endpoint.gate.is_probe(job.id) {
                    endpoint.gate = Gate::Open;
                    endpoint.releasing = Some(DeliveryId::from_bytes([0; 16]));
                }
            }
            Outcome::Retry(error) | Outcome::RetryAfter(error, _) | Outcome::Reject(error) => {
                let trips = self.traffic.note(endpoint.id, false, now);
                alarm = endpoint.health.failed(error, now);
                endpoint.gate = match endpoint.gate {
                    Gate::Open if trips => Gate::shut(now),
                    gate => gate.failed(job.id, now),
                };
                if matches!(endpoint.gate, Gate::Shut { .. }) {
                    endpoint.releasing = None;
                }
            }
            Outcome::Snooze(_) | Outcome::Cancel(_) => {}
        }
        if endpoint != before {
            tx.put(&ENDPOINTS, &(client, endpoint.id), &endpoint)?;
        }
        let is_gone = report.http_status == Some(StatusCode::GONE.as_u16());
        let system = Caller::system(Some(client));
        match alarm {
            _ if endpoint.disabled.is_some() => {}
            _ if is_gone => disable(tx, &system, &mut endpoint, DisabledBecause::Gone)?,
            Some(Alarm::Disable) => disable(tx, &system, &mut endpoint, DisabledBecause::Failing)?,
            Some(Alarm::Warn(percent)) => {
                let (webhook_endpoint_id, failures) = (endpoint.id, endpoint.health.failures);
                let url = endpoint.url;
                tx.publish(&system, &WebhookEndpointWarned { webhook_endpoint_id, url, failures, percent })?;
            }
            None => {}
        }
        Ok(())
    }

    fn ended(&self, tx: &mut WriteTx, key: &(ClientId, DeliveryId), row: &Delivery) -> Result<()> {
        let (client, delivery) = *key;
        let Ok(id) = row.target.parse() else { return Ok(()) };
        if let Some(next) = step_aside(tx, client, id, delivery, row)? {
            tx.release(next)?;
        }
        // A probe that ended without an outcome, because somebody canceled it, decides nothing: another one is sent.
        match tx.get(&ENDPOINTS, &(client, id))? {
            None => self.traffic.forget(id),
            Some(mut endpoint) => {
                if let Gate::Probing { probe, pause_s } = endpoint.gate
                    && probe == Some(delivery)
                {
                    endpoint.gate = Gate::Probing { probe: None, pause_s };
                    tx.put(&ENDPOINTS, &(client, id), &endpoint)?;
                    try_one(tx, client, &endpoint)?;
                }
            }
        }
        Ok(())
    }
}

/// A message: the same bytes each time it is sent.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = WebhookMessage)]
pub struct Message<'a> {
    /// Of the event, the same however often it is sent.
    id: String,
    r#type: &'a str,
    version: u32,
    /// When it happened.
    timestamp: Time,
    client_id: Option<ClientId>,
    /// The id of what it happened to.
    entity: &'a str,
    /// The payload of the event.
    #[schema(value_type = Object)]
    data: Value,
}

/// What a message comes with (<https://www.standardwebhooks.com>).
pub const HEADERS: &[(&str, &str)] = &[
    ("webhook-id", "The id of the event: what was seen is told by it."),
    ("webhook-timestamp", "When it was sent, in seconds."),
    ("webhook-signature", "`v1,` and a signature by each secret that is live, with spaces between them."),
];

/// What tells a receiver that it has seen a message before.
fn webhook_id(job: &Sending) -> String {
    job.envelope.as_ref().map_or_else(|| job.id.to_string(), |it| it.id.to_string())
}

fn event_type(job: &Sending) -> &str {
    job.envelope.as_ref().map_or("webhook.test", |it| &it.name)
}

fn body(job: &Sending) -> Result<Vec<u8>> {
    let message = match &job.envelope {
        Some(envelope) => Message {
            id: webhook_id(job),
            r#type: event_type(job),
            version: envelope.version,
            timestamp: envelope.occurred_at,
            client_id: envelope.client,
            entity: &envelope.entity,
            data: serde_json::from_str(&envelope.payload)
                .map_err(|error| fault!("the payload of {} is no JSON: {error}", envelope.id))?,
        },
        None => Message {
            id: webhook_id(job),
            r#type: event_type(job),
            version: 1,
            timestamp: job.created_at,
            client_id: job.client,
            entity: &job.target,
            data: json!({ "webhook_endpoint_id": job.target }),
        },
    };
    serde_json::to_vec(&message).map_err(|error| fault!("a message is no JSON: {error}"))
}

fn request(job: &Sending, material: &Material, timeout: Duration) -> Result<Outgoing> {
    let (id, body) = (webhook_id(job), body(job)?);
    let timestamp = job.started_at.seconds();
    let signature = sign(material.secrets.iter().map(|it| it.as_slice()), &id, timestamp, &body);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)]
    {
        let value = HeaderValue::from_str(&value).map_err(|error| fault!("{name}: {error}"))?;
        headers.insert(name, value);
    }
    let url = material.url.clone();
    Ok(Outgoing { method: Method::POST, url, headers, body, timeout, most_bytes: MOST_BYTES })
}

fn as_captured(job: &Sending, sent: Outgoing, answer: &Result<Answer, NetError>) -> CapturedWebhook {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    CapturedWebhook {
        webhook_id: webhook_id(job),
        delivery_id: job.id.to_string(),
        endpoint_id: job.target.clone(),
        attempt: job.attempt,
        event_type: event_type(job).to_owned(),
        url: sent.url,
        headers: sent.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&sent.body).into_owned(),
        status: answer.as_ref().ok().map(|it| it.status.as_u16()),
        error: answer.as_ref().err().map(NetError::to_string),
        sent_at: job.started_at,
    }
}

/// 2xx is success, everything else is tried again.
fn report(answer: Result<Answer, NetError>, now: Time) -> Report {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Outcome::Retry(error.to_string()).into(),
    };
    let status = answer.status.as_u16();
    let outcome = match retry_after(&answer.headers, now) {
        _ if answer.status.is_success() => Outcome::Ok,
        _ if answer.status.is_redirection() => {
            Outcome::Retry(format!("answered {status}; redirects are not followed"))
        }
        Some(delay) => Outcome::RetryAfter(format!("answered {status}"), delay),
        None => Outcome::Retry(format!("answered {status}")),
    };
    Report::from(outcome).status(status).response(answer.body)
}

/// What a receiver asks for, in seconds or as a date, clamped.
fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let delay = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTimeParser::new().parse_timestamp(text).ok()?;
            Time::from_micros(at.as_microsecond()).since(now)
        }
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::principal::Actor,
        events::event::{Envelope, EventId},
    };

    fn sending(payload: &str, attempt: u32) -> Sending {
        let now = Time::parse("2026-11-22T10:00:00Z").unwrap();
        let client = Some(ClientId::from_bytes([1; 16]));
        Sending {
            id: DeliveryId::from_bytes([2; 16]),
            client,
            envelope: Some(Envelope {
                id: EventId::from_bytes([3; 16]),
                name: "withdrawal.completed".into(),
                version: 1,
                client,
                occurred_at: now,
                actor: Actor::System,
                entity: "wdr_1".into(),
                correlation: "req_1".into(),
                causation: None,
                depth: 0,
                payload: payload.into(),
            }),
            target: "whk_1".into(),
            extra: vec![],
            attempt,
            interrupted: false,
            created_at: now,
            started_at: now.after(Duration::from_secs(u64::from(attempt))),
        }
    }

    #[test]
    fn every_attempt_sends_the_same_bytes() {
        let first = body(&sending(r#"{"amount":"1.00"}"#, 1)).unwrap();
        assert_eq!(first, body(&sending(r#"{"amount":"1.00"}"#, 2)).unwrap());
        let message: Value = serde_json::from_slice(&first).unwrap();
        let wanted = json!({
            "id": EventId::from_bytes([3; 16]),
            "type": "withdrawal.completed",
            "version": 1,
            "timestamp": "2026-11-22T10:00:00.000000Z",
            "client_id": ClientId::from_bytes([1; 16]),
            "entity": "wdr_1",
            "data": { "amount": "1.00" },
        });
        assert_eq!(message, wanted);
    }

    #[test]
    fn only_2xx_is_success_and_retry_after_is_clamped() {
        let now = Time::parse("2026-11-22T10:00:00Z").unwrap();
        let retry = |why: &str| Outcome::Retry(why.into());
        let after = |why: &str, seconds: u64| Outcome::RetryAfter(why.into(), Duration::from_secs(seconds));
        for (status, header, outcome) in [
            (200, None, Outcome::Ok),
            (204, Some("60"), Outcome::Ok),
            (301, None, retry("answered 301; redirects are not followed")),
            (307, Some("60"), retry("answered 307; redirects are not followed")),
            (304, None, retry("answered 304; redirects are not followed")),
            (400, None, retry("answered 400")),
            (410, None, retry("answered 410")),
            (429, Some("60"), after("answered 429", 60)),
            (503, Some("99999999"), after("answered 503", 86_400)),
            (503, Some("18446744073709551616"), retry("answered 503")),
            (503, Some("Sun, 22 Nov 2026 10:02:00 GMT"), after("answered 503", 120)),
            (503, Some("Sun, 22 Nov 2020 10:02:00 GMT"), after("answered 503", 0)),
            (503, Some("soon"), retry("answered 503")),
            (503, Some("-5"), retry("answered 503")),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert("retry-after", header.parse().unwrap());
            }
            let status = StatusCode::from_u16(status).unwrap();
            let report = report(Ok(Answer { status, headers, body: b"it".to_vec() }), now);
            assert_eq!(report.outcome, outcome, "{status} {header:?}");
            assert_eq!(report.response.as_deref(), Some(&b"it"[..]));
        }
    }
}
