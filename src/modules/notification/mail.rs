//! Mail: from a letter to an SMTP server.
//!
//! Servers stand in an order. An attempt goes to the first one that is not resting; when that cannot be reached or
//! says no to us (rather than to the recipient), the next one is tried in the same attempt. A server that fails three
//! times in a row rests for half a minute, and costs nobody time meanwhile; when all rest, the mail waits without
//! using a try. After a silence in which the mail may have been taken, the next attempt goes to the same server, under
//! the same Message-ID; only when that has happened twice do others get it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, MultiPart, header},
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};

use super::{
    MODULE,
    contract::CapturedMail,
    events::{Addressee, Recipient},
    letter::{Carried, Letter, read},
    mailbox::Captured,
    model::Preferences,
    service::{tell::Teller, templates},
    template::one_line,
};
use crate::{
    config::{Mail, SmtpServer, SmtpTls, read_certificates, read_secret_file},
    kernel::{
        clock::Time,
        error::{Result, fault},
        events::{
            courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
            delivery::{DeliveryId, Lane},
            retry::RetryPolicy,
        },
        store::WriteTx,
    },
};

/// Stored with deliveries: never renamed.
pub const KIND: &str = "mail";

/// A day and a half, because mail servers are down for hours, and nothing else tells the user.
pub fn plan(config: &Mail) -> TargetPlan {
    TargetPlan {
        queue: "mail",
        lane: Lane::Medium,
        retry: Some(RetryPolicy::exact(10, &[30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 57_600])),
        // Greeting, TLS, sign-in, envelope, body: each has its own limit, and there may be a second server.
        timeout: Some(Duration::from_secs(config.timeout_s * 6)),
        at_once: 4,
        on_interrupted: OnInterrupted::Retry,
    }
}

/// Where letters go.
pub enum Post {
    Servers(Vec<Arc<Server>>),
    /// Kept, in an instance in memory.
    Captured(Arc<Captured<CapturedMail>>),
}

/// A server and how it has behaved lately.
pub struct Server {
    name: String,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    breaker: Mutex<Breaker>,
}

impl Post {
    /// The configured servers. `None` when there are none.
    pub fn servers(config: &Mail) -> Result<Option<Post>> {
        if config.servers.is_empty() {
            return Ok(None);
        }
        super::install_crypto();
        let trusted = config.ca_file.as_deref().map(read_certificates).transpose();
        let trusted = trusted.map_err(|error| fault!("mail.ca_file: {error}"))?.unwrap_or_default();
        let servers =
            config.servers.iter().map(|it| Server::new(it, config.timeout_s, &trusted).map(Arc::new));
        servers.collect::<Result<_>>().map(|it| Some(Post::Servers(it)))
    }
}

impl Server {
    fn new(config: &SmtpServer, timeout_s: u64, trusted: &[Vec<u8>]) -> Result<Server> {
        let wrong = |error: SmtpError| fault!("mail.servers: {}: {error}", config.name());
        let tls = || {
            let mut parameters = TlsParameters::builder(config.host.clone());
            for authority in trusted {
                let authority = Certificate::from_der(authority.clone()).map_err(wrong)?;
                parameters = parameters.add_root_certificate(authority);
            }
            parameters.build().map_err(wrong)
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .timeout(Some(Duration::from_secs(timeout_s)))
            .tls(match config.tls {
                SmtpTls::Wrapped => Tls::Wrapper(tls()?),
                SmtpTls::StartTls => Tls::Required(tls()?),
                SmtpTls::Never => Tls::None,
            });
        if let (Some(username), Some(path)) = (&config.username, &config.password_file) {
            let password =
                read_secret_file(path).map_err(|error| fault!("mail.servers: {}: {error}", config.name()))?;
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Server { name: config.name(), transport: builder.build(), breaker: Mutex::default() })
    }
}

/// Whether a server is worth asking.
#[derive(Debug, Default, Clone, Copy)]
struct Breaker {
    /// In a row.
    failures: u32,
    rests_until: Option<Time>,
}

const FAILURES: u32 = 3;
/// From this attempt on a mail that one server may have taken is given to others too: late is worse than twice.
const OTHERS_FROM_ATTEMPT: u32 = 3;
const REST: Duration = Duration::from_secs(30);

impl Breaker {
    /// How long it rests from `now` on; `None` when it may be asked.
    fn rests(&self, now: Time) -> Option<Duration> {
        self.rests_until.filter(|it| *it > now).map(|it| it.since(now))
    }

    fn failed(&mut self, now: Time) {
        self.failures += 1;
        if self.failures >= FAILURES {
            self.rests_until = Some(now.after(REST));
        }
    }
}

pub struct MailCourier {
    pub post: Arc<Post>,
    pub from: Address,
    pub teller: Arc<Teller>,
}

impl Courier for MailCourier {
    type Material = Letter;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Letter>> {
        match read::<Carried>(&job.extra)? {
            Carried::Letter(letter) => Ok(Ready::Go(letter)),
            Carried::Digest(digest) => Ok(Ready::Go(digest.letter)),
            Carried::Secret(secret) => {
                let client = job.client.ok_or_else(|| fault!("{} is of no client", job.id))?;
                let to = match &secret.recipient {
                    Recipient::Stranger(addressee) => addressee.clone(),
                    Recipient::User(user) => match self.teller.users.find(tx, client, *user)? {
                        Some(user) => Addressee::from(&user),
                        None => return Ok(Ready::Gone),
                    },
                };
                let mut context = self.teller.surroundings(tx, client, &to)?;
                context["event"] = secret.values;
                let built_in = &self.teller.built_in;
                let kind = built_in.kind(&secret.event_type)?;
                let words = tx.at(MODULE.name, |tx| {
                    let preferences = match to.id {
                        Some(user) => super::repository::preferences(tx, (client, user))?,
                        None => Preferences::default(),
                    };
                    templates::words(tx, client, built_in, kind, &preferences, &context)
                })?;
                self.teller.letter(tx, client, &to, words).map(Ready::Go)
            }
        }
    }

    fn send(&self, job: Sending, letter: Letter) -> impl Future<Output = Report> + Send + 'static {
        let (post, from) = (self.post.clone(), self.from.clone());
        async move {
            let message = match message(&letter, from, job.id, job.started_at) {
                Ok(message) => message,
                // No server will take it, whenever it is tried.
                Err(error) => return Outcome::Reject(error).into(),
            };
            match &*post {
                Post::Captured(captured) => {
                    captured.keep(captured_mail(&message, &letter));
                    Outcome::Ok.into()
                }
                Post::Servers(servers) => deliver(servers, message, &job).await,
            }
        }
    }
}

/// Hands the message to the first server that takes it.
async fn deliver(servers: &[Arc<Server>], message: Message, job: &Sending) -> Report {
    let now = job.started_at;
    let mut said: Vec<String> = vec![];
    let mut shortest_rest: Option<Duration> = None;
    for server in servers {
        let breaker = || server.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = breaker().rests(now) {
            shortest_rest = Some(shortest_rest.map_or(rest, |it| it.min(rest)));
            continue;
        }
        let error = match server.transport.send(message.clone()).await {
            Ok(response) => {
                *breaker() = Breaker::default();
                let answer = response.message().collect::<Vec<_>>().join(" ");
                return Report::from(Outcome::Ok).response(format!("{}: {answer}", server.name));
            }
            Err(error) => error,
        };
        let what = format!("{}: {}", server.name, chain(&error));
        match verdict(&error) {
            Verdict::Recipient => return Outcome::Reject(what).into(),
            Verdict::Unknown if job.attempt < OTHERS_FROM_ATTEMPT => {
                breaker().failed(now);
                return Outcome::Retry(what).into();
            }
            Verdict::Server | Verdict::Unknown => {
                breaker().failed(now);
                tracing::warn!(server = server.name, "A mail server failed: {what}");
                said.push(what);
            }
        }
    }
    match (said.is_empty(), shortest_rest) {
        (true, Some(rest)) => Outcome::Snooze(rest).into(),
        _ => Outcome::Retry(said.join("; ")).into(),
    }
}

/// Whom a failure is about.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The server, or how we speak to it: another one may take the mail.
    Server,
    /// The recipient or the mail itself: nobody will take it.
    Recipient,
    /// The mail may have been taken.
    Unknown,
}

fn verdict(error: &SmtpError) -> Verdict {
    if let Some(code) = error.status() {
        let code: u16 = code.into();
        // 550 to 554 are about a mailbox or a message; everything else is about us: sign-in, rights, busy.
        return if (550..=554).contains(&code) { Verdict::Recipient } else { Verdict::Server };
    }
    // The library says only in words that no connection came about; a test holds it to them.
    let unconnected = error.to_string().starts_with("Connection error");
    if unconnected || error.is_client() || error.is_tls() { Verdict::Server } else { Verdict::Unknown }
}

/// An error and its causes.
fn chain(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// The message as it goes out. `Err` says what no server would take.
fn message(letter: &Letter, from: Address, id: DeliveryId, at: Time) -> Result<Message, String> {
    let address = |text: &str| text.parse::<Address>().map_err(|error| format!("{text}: {error}"));
    // A control character in a name is a panic in the library.
    let name = |text: &str| Some(one_line(text)).filter(|it| !it.is_empty());
    let message_id = format!("<{id}@{}>", from.domain());
    let date = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0));
    let mut builder = Message::builder()
        .message_id(Some(message_id))
        .date(date)
        .from(Mailbox::new(name(&letter.from_name), from))
        .to(Mailbox::new(name(&letter.to_name), address(&letter.to)?))
        .subject(one_line(&letter.subject))
        // So that nobody's "I am on holiday" answers it.
        .raw_header(header::HeaderValue::new(
            header::HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = letter.reply_to.as_ref().and_then(|it| address(it).ok()) {
        builder = builder.reply_to(Mailbox::new(None, reply_to));
    }
    builder
        .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()))
        .map_err(|error| error.to_string())
}

fn captured_mail(message: &Message, letter: &Letter) -> CapturedMail {
    let headers = String::from_utf8_lossy(&message.formatted()).into_owned();
    let headers: BTreeMap<String, String> = headers
        .split("\r\n\r\n")
        .next()
        .unwrap_or_default()
        .replace("\r\n ", " ")
        .split("\r\n")
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
    CapturedMail {
        message_id: of("Message-ID"),
        from: of("From"),
        to: letter.to.clone(),
        subject: letter.subject.clone(),
        text: letter.text.clone(),
        html: letter.html.clone(),
        headers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::id::Id as _;

    fn letter() -> Letter {
        Letter {
            from_name: "Acme \"Pay\", Inc.".into(),
            reply_to: Some("help@acme.example".into()),
            to_name: "Ann Müller\r\nBcc: eve@example.com".into(),
            to: "ann@example.com".into(),
            subject: "Grüße\r\nBcc: eve@example.com".into(),
            text: "plain".into(),
            html: "<p>rich</p>".into(),
        }
    }

    fn made(letter: &Letter) -> Result<Message, String> {
        let from = "no-reply@pay.example".parse().unwrap();
        message(letter, from, DeliveryId::from_bytes([1; 16]), Time::from_micros(1_767_225_600_000_000))
    }

    #[test]
    fn a_message_is_the_same_in_every_attempt_and_has_both_bodies() {
        let text = String::from_utf8(made(&letter()).unwrap().formatted()).unwrap();
        let id = DeliveryId::from_bytes([1; 16]);
        for wanted in [
            format!("Message-ID: <{id}@pay.example>"),
            "Date: Thu, 01 Jan 2026 00:00:00 +0000".into(),
            "Reply-To: help@acme.example".into(),
            "Auto-Submitted: auto-generated".into(),
            "Content-Type: text/plain".into(),
            "Content-Type: text/html".into(),
            "multipart/alternative".into(),
        ] {
            assert!(text.contains(&wanted), "{wanted}\n{text}");
        }
    }

    #[test]
    fn a_name_cannot_add_a_header() {
        let message = made(&letter()).unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(!text.lines().any(|it| it.to_ascii_lowercase().starts_with("bcc:")), "{text}");
        assert_eq!(message.envelope().to().len(), 1);
        assert!(made(&Letter { to: "not an address".into(), ..letter() }).is_err());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_from_one_that_fell_silent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server =
            || Server::new(&format!("smtp+plain://127.0.0.1:{port}").parse().unwrap(), 5, &[]).unwrap();
        let asked = server();
        let (silent, _) = tokio::join!(asked.transport.send(made(&letter()).unwrap()), async {
            drop(listener.accept().await.unwrap());
        });
        assert_eq!(verdict(&silent.unwrap_err()), Verdict::Unknown);
        drop(listener);
        let gone = server().transport.send(made(&letter()).unwrap()).await.unwrap_err();
        assert_eq!(verdict(&gone), Verdict::Server, "{gone}");
    }

    #[test]
    fn a_server_rests_after_three_failures_and_is_then_asked_once() {
        let mut breaker = Breaker::default();
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert_eq!(breaker.rests(at(1)), None);
        breaker.failed(at(1));
        assert_eq!(breaker.rests(at(1)), Some(REST));
        assert_eq!(breaker.rests(at(31)), None);
        breaker.failed(at(31));
        assert_eq!(breaker.rests(at(31)), Some(REST), "one more failure is enough");
    }
}
