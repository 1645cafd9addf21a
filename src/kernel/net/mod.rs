//! Requests to addresses that somebody typed in: webhooks, SMS providers, gateways.
//!
//! A URL from outside must not lead inside (server-side request forgery). So:
//!
//! ```text
//! URL ─ parsed once, as browsers do: 0x7f.1, 2130706433 and 127。0。0。1 are 127.0.0.1
//!     ─ https; http only to networks the operator named; no user name, no password
//!     ─ a literal address: vetted here (clients of HTTP do not ask a resolver about it)
//!     ─ a name: resolved by us for every request, every address it has vetted, connected to one of these
//! no redirect is followed, no proxy is asked, no connection is kept for a later request
//! ```
//!
//! There is at most one request for each [`Net::send`]: nothing in here repeats.

pub mod address;
mod resolver;

use std::{
    error::Error as _,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{HeaderMap, Method, StatusCode};
use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::{Host, Url};

pub use address::Policy;
use resolver::{Guard, Switch};
pub use resolver::{Names, Resolver};

use crate::config::read_certificates;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Sends requests to where they may go.
pub struct Net {
    policy: Arc<Policy>,
    resolver: Switch,
    /// Authorities that are believed beside those the machine knows.
    ca_file: Option<PathBuf>,
    /// With TLS, and without. Made when first needed: it reads the certificates of the machine.
    clients: OnceLock<Result<[Client; 2], String>>,
}

/// A request to the outside.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub method: Method,
    pub url: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// For all of it: name, connection, answer.
    pub timeout: Duration,
    /// How much of the answer's body is read. What is behind it is left unread.
    pub most_bytes: usize,
}

/// What came back, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The beginning of the body, at most `most_bytes`.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// Nothing was sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the name {0} was not resolved: {1}")]
    Unresolved(String, String),
    /// It may have arrived.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It may have arrived.
    #[error("{0}")]
    Failed(String),
}

/// Why a URL is not reached out to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    #[error("it is no absolute URL")]
    Url,
    #[error("wanted https://, or http:// to a network that the operator allows")]
    Scheme,
    #[error("a user name or a password in a URL ends up in logs")]
    Credentials,
    #[error("{0} is not a public address")]
    Address(IpAddr),
    /// Which one is not said: names of somebody else's network are not for us to tell.
    #[error("{0} has an address that is not public")]
    Name(String),
}

/// A URL that may be asked, as far as can be said without resolving its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vetted(Url);

impl Vetted {
    fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for Vetted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl Net {
    pub fn new(policy: Policy) -> Net {
        let resolver = Switch::default();
        Net { policy: Arc::new(policy), resolver, ca_file: None, clients: OnceLock::new() }
    }

    /// Believes the authorities in this file, too.
    pub fn trusting(self, ca_file: Option<PathBuf>) -> Net {
        Net { ca_file, ..self }
    }

    /// Asks `resolver` about names from now on: for tests, which must not depend on the network.
    pub fn resolve_with(&self, resolver: impl Resolver) {
        self.resolver.set(Arc::new(resolver));
    }

    /// Refuses a URL that never may be asked. The text is normalised: one place has one spelling.
    pub fn vet(&self, text: &str) -> Result<Vetted, Forbidden> {
        let url = Url::parse(text).map_err(|_| Forbidden::Url)?;
        let is_tls = match url.scheme() {
            "https" => true,
            "http" if !self.policy.allow.is_empty() => false,
            _ => return Err(Forbidden::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::Credentials);
        }
        let literal: Option<IpAddr> = match url.host().ok_or(Forbidden::Url)? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        };
        match literal {
            Some(address) if !is_tls && self.policy.permits(address, true) && !self.policy.names(address) => {
                Err(Forbidden::Scheme)
            }
            Some(address) if !self.policy.permits(address, is_tls) => Err(Forbidden::Address(address)),
            _ => Ok(Vetted(url)),
        }
    }

    /// Refuses a name that has an address it must not have, now. It may have others the next time.
    pub async fn look_up(&self, url: &Vetted) -> Result<(), NetError> {
        let Some(Host::Domain(name)) = url.0.host() else { return Ok(()) };
        self.guard(url.is_tls()).addresses(name).await.map(drop)
    }

    /// Sends a request once. Every status is an answer, a redirect too.
    pub async fn send(&self, request: Outgoing) -> Result<Answer, NetError> {
        let Outgoing { method, url, headers, body, timeout, most_bytes } = request;
        let url = self.vet(&url)?;
        let client = self.client(url.is_tls()).map_err(NetError::Failed)?;
        let sending = client.request(method, url.0).headers(headers).body(body).timeout(timeout);
        let error = |error: reqwest::Error| failure(&error, timeout);
        let mut response = sending.send().await.map_err(error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = vec![];
        while body.len() < most_bytes
            && let Some(piece) = response.chunk().await.map_err(error)?
        {
            body.extend_from_slice(&piece[..piece.len().min(most_bytes - body.len())]);
        }
        Ok(Answer { status, headers, body })
    }

    fn client(&self, is_tls: bool) -> Result<Client, String> {
        let clients = self.clients.get_or_init(|| {
            let authorities = authorities(self.ca_file.as_deref())?;
            let make = |is_tls, authorities| {
                let builder = self.builder(is_tls).tls_certs_merge(authorities);
                builder.build().map_err(|error| causes(&error))
            };
            Ok([make(true, authorities)?, make(false, vec![])?])
        });
        clients.clone().map(|[tls, plain]| if is_tls { tls } else { plain })
    }

    fn builder(&self, is_tls: bool) -> ClientBuilder {
        // Whoever comes first installs it; it is the same one everywhere.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .user_agent(concat!("Coffer/", env!("CARGO_PKG_VERSION")))
            .https_only(is_tls)
            .dns_resolver(Arc::new(self.guard(is_tls)))
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(0)
    }

    fn guard(&self, is_tls: bool) -> Guard {
        Guard { policy: self.policy.clone(), resolver: self.resolver.clone(), is_tls }
    }
}

/// The certificates in a file of authorities; none without one.
pub fn authorities(ca_file: Option<&Path>) -> Result<Vec<Certificate>, String> {
    let certificates = ca_file.map(read_certificates).transpose()?.unwrap_or_default();
    let read = |der: &Vec<u8>| Certificate::from_der(der).map_err(|error| causes(&error));
    certificates.iter().map(read).collect()
}

/// What went wrong, in the words of whoever noticed it; without the URL, which the reader knows.
fn failure(error: &reqwest::Error, timeout: Duration) -> NetError {
    let mut cause = error.source();
    while let Some(it) = cause {
        if let Some(known) = it.downcast_ref::<NetError>() {
            return known.clone();
        }
        cause = it.source();
    }
    match error.is_timeout() {
        true if error.is_connect() => NetError::Failed("no connection in time".into()),
        true => NetError::TimedOut(timeout),
        false => NetError::Failed(causes(error)),
    }
}

/// The innermost cause says the most; what is around it repeats it.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests;
