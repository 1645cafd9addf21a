//! Short messages: one HTTP request each, in the form the provider wants.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use serde_json::{Value, json};

use super::{
    letter::{Text, read},
    template::fill_plain,
};
use crate::{
    config::{HttpHeader, Sms, read_secret_file},
    kernel::{
        error::{Result, fault},
        events::{
            courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
            delivery::Lane,
            retry::RetryPolicy,
        },
        net::authorities,
        store::WriteTx,
    },
};

/// Stored with deliveries: never renamed.
pub const KIND: &str = "sms";

/// A quarter of an hour: what arrives later than that is only confusing.
pub fn plan(config: &Sms) -> TargetPlan {
    TargetPlan {
        queue: "sms",
        lane: Lane::Medium,
        retry: Some(RetryPolicy::exact(5, &[30, 60, 300, 600])),
        timeout: Some(Duration::from_secs(config.timeout_s * 2)),
        at_once: 4,
        on_interrupted: OnInterrupted::Retry,
    }
}

pub struct SmsCourier(Arc<Provider>);

struct Provider {
    client: Client,
    url: Url,
    headers: Vec<HttpHeader>,
    body: String,
    secret: String,
}

impl SmsCourier {
    /// The configured provider; `None` when there is none. A fault when its templates do not fit.
    pub fn new(config: &Sms) -> Result<Option<SmsCourier>> {
        let Some(url) = &config.url else { return Ok(None) };
        super::install_crypto();
        let url = Url::parse(url).map_err(|error| fault!("sms.url: {error}"))?;
        let secret = match &config.secret_file {
            Some(path) => read_secret_file(path).map_err(|error| fault!("sms.secret_file: {error}"))?,
            None => String::new(),
        };
        let trusted =
            authorities(config.ca_file.as_deref()).map_err(|error| fault!("sms.ca_file: {error}"))?;
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(config.timeout_s))
            .tls_certs_merge(trusted)
            .build()
            .map_err(|error| fault!("sms: {error}"))?;
        let (headers, body) = (config.headers.clone(), config.body.clone());
        let provider = Provider { client, url, headers, body, secret };
        let example = Text { to: "+15550100".into(), text: "A \"quoted\" text".into() };
        provider.request(&example, "dlv_example").map_err(|error| fault!("sms: {error}"))?;
        Ok(Some(SmsCourier(Arc::new(provider))))
    }
}

impl Provider {
    /// The headers and the body that say `text`.
    fn request(&self, text: &Text, id: &str) -> Result<(HeaderMap, String), String> {
        let values: Value = json!({ "to": text.to, "text": text.text, "id": id, "secret": self.secret });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for HttpHeader { name, value } in &self.headers {
            let value = fill_plain(value, &values).map_err(|error| format!("header {name}: {error}"))?;
            let mut value =
                HeaderValue::from_str(&value).map_err(|error| format!("header {name}: {error}"))?;
            value.set_sensitive(true);
            headers.insert(
                name.parse::<HeaderName>().map_err(|error| format!("header {name}: {error}"))?,
                value,
            );
        }
        let body = fill_plain(&self.body, &values).map_err(|error| format!("body: {error}"))?;
        Ok((headers, body))
    }

    async fn send(&self, text: &Text, id: &str) -> Report {
        let (headers, body) = match self.request(text, id) {
            Ok(request) => request,
            Err(error) => return Outcome::Reject(error).into(),
        };
        let answer = self.client.post(self.url.clone()).headers(headers).body(body).send().await;
        let mut answer = match answer {
            Ok(answer) => answer,
            // Without the address: it may hold a token.
            Err(error) => return Outcome::Retry(error.without_url().to_string()).into(),
        };
        let status = answer.status();
        let response = answer.chunk().await.ok().flatten().unwrap_or_default();
        let outcome = match status.as_u16() {
            200..=299 => Outcome::Ok,
            // The telephone number, or what we say, will not be liked better tomorrow.
            400 | 404 | 410 | 422 => Outcome::Reject(format!("the provider answered {status}")),
            _ => Outcome::Retry(format!("the provider answered {status}")),
        };
        Report::from(outcome).status(status.as_u16()).response(self.without_secret(&response))
    }

    /// Some providers repeat what they did not like: what is kept of an answer is shown to staff.
    fn without_secret(&self, response: &[u8]) -> Vec<u8> {
        if self.secret.is_empty() {
            return response.to_vec();
        }
        String::from_utf8_lossy(response).replace(&self.secret, "[secret]").into_bytes()
    }
}

impl Courier for SmsCourier {
    type Material = Text;

    fn prepare(&self, _: &mut WriteTx, job: &Sending) -> Result<Ready<Text>> {
        read(&job.extra).map(Ready::Go)
    }

    fn send(&self, job: Sending, text: Text) -> impl Future<Output = Report> + Send + 'static {
        let provider = self.0.clone();
        async move { provider.send(&text, &job.id.to_string()).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_has_the_form_that_was_configured() {
        let config = Sms {
            url: Some("https://sms.example.com/send".into()),
            headers: vec!["Authorization: Bearer {{ secret }}x".parse().unwrap()],
            ..Sms::default()
        };
        let courier = SmsCourier::new(&config).unwrap().unwrap();
        let text = Text { to: "+43 660 1".into(), text: "He said \"hi\"\n<&>".into() };
        let (headers, body) = courier.0.request(&text, "dlv_1").unwrap();
        assert_eq!(
            (&headers["authorization"], &headers["content-type"]),
            (&HeaderValue::from_static("Bearer x"), &HeaderValue::from_static("application/json"),)
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({ "to": text.to, "text": text.text, "id": "dlv_1" }));
    }

    #[test]
    fn a_template_that_does_not_fit_is_refused_at_the_start() {
        for body in ["{{ too }}", "{{ to"] {
            let config = Sms { url: Some("http://h".into()), body: body.into(), ..Sms::default() };
            assert!(SmsCourier::new(&config).is_err(), "{body}");
        }
        assert!(SmsCourier::new(&Sms::default()).unwrap().is_none());
    }
}
