//! Every key there is: its text, type, default and what it accepts, one row each.
//!
//! The row is the only place a key is declared. From it come the field of [`Config`], its default, its name in the
//! environment, its documentation ([`CONFIG_KEYS`]) and the refusal of anything else. The text above a row is also
//! the comment above the key in the shipped `config.toml`; a test keeps the two equal.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use toml::Value;

use super::places::{Connection, ModuleRule};
use super::read::{delays, flag, list, number, parsed, path, socket_path, some, text};
use super::read::{is_email, is_filter, is_http_url, is_mailbox, is_origin, is_regular};
use super::rules::EventRule;
use super::values::{Commit, EventMode, HttpHeader, Listen, LogFormat, Network, SmtpServer};

/// One key as documentation sees it.
pub struct KeyInfo {
    /// Its path, such as `server.listen`. `--set server.listen=…` sets it for one run.
    pub key: &'static str,
    about: &'static [&'static str],
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
}

impl KeyInfo {
    /// What the key does, its unit and range, and why the default is what it is. One to four lines.
    pub fn about(&self) -> String {
        self.about.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n")
    }

    /// The environment variable that sets it: `COFFER_SERVER__LISTEN`. Two underscores, because names contain one.
    pub fn env_name(&self) -> String {
        format!("COFFER_{}", self.key.replace('.', "__").to_uppercase())
    }
}

/// A row reads `/// text`, `key: type = default, what it accepts;`.
macro_rules! sections {
    ($(
        $(#[doc = $section_about:literal])+
        $section:ident: $Section:ident {
            $( $(#[doc = $about:literal])+ $key:ident: $type:ty = $default:expr, $reader:expr; )+
        }
    )+) => {
        /// All settings of an installation. Every value has been checked.
        #[derive(Debug, Clone, Default, PartialEq, Serialize)]
        pub struct Config {
            $( $(#[doc = $section_about])+ pub $section: $Section, )+
            /// `[events.<event>]`, by the event's name with `_` for `.`.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub event_rules: BTreeMap<String, EventRule>,
            /// `[modules.<module>]`: only those something is said about.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub modules: BTreeMap<String, ModuleRule>,
            /// `[connections.<name>]`: database files besides `storage.path`.
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pub connections: BTreeMap<String, Connection>,
        }

        $(
            $(#[doc = $section_about])+
            #[derive(Debug, Clone, PartialEq, Serialize)]
            pub struct $Section {
                $( $(#[doc = $about])+ pub $key: $type, )+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $( $key: $default, )+ }
                }
            }
        )+

        /// Every key, in the order of the shipped file.
        pub const CONFIG_KEYS: &[KeyInfo] = &[$($(
            KeyInfo {
                key: concat!(stringify!($section), ".", stringify!($key)),
                about: &[$($about),+],
                set: |config, value| {
                    config.$section.$key = $reader(value)?;
                    Ok(())
                },
            },
        )+)+];
    };
}

sections! {
    /// Where requests come from, and how much of the machine one of them may take.
    server: Server {
        /// Where the API and the console are served: an IP address and port, or "unix:/path/to.sock".
        /// Only this machine reaches the default; put a proxy with TLS in front before you open it to others.
        listen: Listen = Listen::Tcp(std::net::SocketAddr::from(([127, 0, 0, 1], 8080))),
            parsed("an IP address and port such as \"127.0.0.1:8080\", or \"unix:/path\" (at most 107 bytes)");
        /// The Unix socket through which commands such as `coffer client create` talk to the running server.
        /// A path of at most 107 bytes. Unless set: storage.path ending in .sock.
        socket: Option<PathBuf> = None, some(socket_path);
        /// The address people type: scheme, host and port if unusual, without a path. Links, such as the set-up
        /// link, start with it. Unless set: made from server.listen.
        public_url: Option<String> = None,
            some(text(is_origin, "an address such as \"https://pay.example.com\", without a path"));
        /// Seconds after which a request that is still running is given up, 1 to 600.
        /// Commands take milliseconds; half a minute is for long lists and for a slow gateway.
        request_timeout_s: u64 = 30, number(1..=600);
        /// Seconds a client may take to send its request headers, 1 to 60 and at most request_timeout_s.
        /// Short, so that connections opened and left silent cannot use up max_connections.
        header_timeout_s: u64 = 5, number(1..=60);
        /// Connections open at once, 1 to 65535; further ones wait.
        /// Each takes a file descriptor, so the service's LimitNOFILE must be higher than this.
        max_connections: usize = 4096, number(1..=65_535);
        /// Largest request body in bytes, 1024 to 16777216; more is answered 413. Bulk routes have their own limit.
        /// The largest ordinary command is a few KiB: 1 MiB leaves room for metadata.
        max_body_bytes: usize = 1_048_576, number(1024..=16_777_216);
        /// Seconds a stopping server gives running requests before it drops them, 1 to 600.
        /// Keep it below the service manager's own limit (systemd: TimeoutStopSec), which kills without asking.
        shutdown_grace_s: u64 = 20, number(1..=600);
        /// Networks whose X-Forwarded-For is believed, such as ["127.0.0.1/32", "10.0.0.0/8"].
        /// Empty believes nobody: otherwise any client could choose the address its rate limit counts.
        trusted_proxies: Vec<Network> = vec![],
            list(parsed("a network such as \"10.0.0.0/8\""));
        /// Web pages that may call the API from a browser, by origin: ["https://shop.example.com"].
        /// Empty allows none. There is no "*": name the pages that handle money.
        cors_origins: Vec<String> = vec![],
            list(text(is_origin, "an origin such as \"https://shop.example.com\", without a path"));
    }

    /// The file everything is kept in.
    storage: Storage {
        /// The database. It and its directory are made at the first start.
        path: PathBuf = "data/coffer.redb".into(), path;
        /// "safe": two fsyncs a commit; commands may read the file while the server runs; restarts after a crash
        /// take milliseconds. "fast": one fsync and more commits a second, but reads go through the server, and
        /// a restart after a crash walks the whole file. Neither loses anything it has answered.
        commit: Commit = Commit::Safe, parsed("\"safe\" or \"fast\"");
        /// Memory for cached pages in MiB, 0 to 65536. 0 takes a quarter of the memory this process may use (its
        /// cgroup's limit, or the machine's), at least 16 and at most 1024, and 64 where neither can be read.
        cache_mb: u64 = 0, number(0..=65_536);
        /// Commands that may wait for the writer, 1 to 65536; beyond it the answer is 503 with Retry-After.
        /// Room for a burst; a longer queue would only make everyone wait for a late answer.
        queue_jobs: usize = 4096, number(1..=65_536);
        /// Free disk space in MiB, 0 to 1048576, below which writes are answered 507 while reads go on.
        /// Stopping early keeps room to delete, compact and close. 0 never refuses.
        min_free_mb: u64 = 64, number(0..=1_048_576);
        /// When all balances are derived again from the journal and compared: "never", or a frequency such as daily,
        /// "every 6h" or a cron expression. At night, because it reads the whole journal; what is wrong is announced
        /// as verify.failed, and the job is among the dead letters.
        verify: String = "30 3 * * *".into(), text(is_regular, "\"never\", hourly, daily, weekly, \"every 6h\" or cron such as \"30 3 * * *\"");
        /// The installation's secret key: without it no API key and no stored credential works. Made at the first
        /// start with mode 0600, refused when others may read it. Keep a copy, apart from copies of the database.
        /// Unless set: storage.path with ".key" after it.
        key_file: Option<PathBuf> = None, some(path);
    }

    /// What the server writes about itself, to standard error.
    log: Log {
        /// "text" for people and the journal, "json" (one object a line) for a log collector.
        format: LogFormat = LogFormat::Text, parsed("\"text\" or \"json\"");
        /// How much: off, error, warn, info, debug or trace; per module as in "info,coffer::kernel::store=debug".
        /// info says what happened to money and to the server; debug also says why.
        level: String = "info".into(),
            text(is_filter, "off, error, warn, info, debug or trace, or a list such as \"info,coffer=debug\"");
    }

    /// How users sign in.
    auth: Auth {
        /// Minutes an access token is good for, 1 to 1440. It limits what a stolen one is worth; revoking and
        /// freezing do not wait for it, they work at the next request.
        access_token_minutes: u64 = 15, number(1..=1440);
        /// Days a refresh token is good for, 1 to 365: how long one may stay away without signing in again.
        /// Each use replaces the refresh token; using one twice ends the whole session.
        refresh_token_days: u64 = 30, number(1..=365);
        /// Wrong passwords in a row before the account is locked, 1 to 100.
        /// Five forgive typing and leave a guesser 480 tries a day.
        sign_in_attempts: u32 = 5, number(1..=100);
        /// Minutes the lock lasts, 1 to 1440. It ends by itself, so that locking others out is no lasting harm.
        lock_minutes: u64 = 15, number(1..=1440);
        /// Fewest characters in a new password, 8 to 128. Existing passwords stay valid.
        /// Length is the only rule: demanding digits and signs makes passwords worse, not better.
        password_min_length: usize = 10, number(8..=128);
        /// Minutes the link to choose a new password is good for, 30 to 60. Long enough for slow mail, too short for
        /// somebody who finds the mail later.
        reset_token_minutes: u64 = 30, number(30..=60);
        /// Hours the link to confirm an e-mail address is good for, 1 to 168.
        verify_token_hours: u64 = 24, number(1..=168);
        /// true or false. Switched on, registering answers 202 to everyone, whether or not the address is taken, and
        /// nobody signs in before following the link in the mail. Needs mail.servers. Off, because it takes a mail.
        verify_before_tokens: bool = false, flag;
    }

    /// Requests that may be made before the answer is 429 with Retry-After. 0 switches a limit off.
    limits: Limits {
        /// Requests a second from one address without valid credentials, 0 to 1000000.
        /// Enough for a page that loads, too few for trying out keys.
        unauthenticated_per_s: u32 = 20, number(0..=1_000_000);
        /// Sign-ins a minute for one account, 0 to 1000000, right or wrong, from wherever they come.
        sign_in_per_minute: u32 = 5, number(0..=1_000_000);
        /// Requests a second with one API key, 0 to 1000000. Off: the queue of storage.queue_jobs protects the
        /// server, and a limit that nobody chose breaks somebody's nightly run.
        per_key_per_s: u32 = 0, number(0..=1_000_000);
        /// Requests a second of one client, all its keys and users together, 0 to 1000000.
        /// Set it when one client of several must not slow down the others.
        per_client_per_s: u32 = 0, number(0..=1_000_000);
    }

    /// Answers kept so that a repeated command gets them again instead of being done again.
    idempotency: Idempotency {
        /// Days an Idempotency-Key is remembered, 1 to 365. A week lets an integration that broke on Friday repeat
        /// its commands safely; more takes more room on disk.
        keep_days: u64 = 7, number(1..=365);
    }

    /// The first operator, for installations nobody sits in front of. Set both keys or neither; once the
    /// installation is claimed they are ignored.
    bootstrap: Bootstrap {
        /// E-mail address of the operator made at the first start. Unless set: `coffer serve` shows a set-up link.
        operator_email: Option<String> = None, some(text(is_email, "an e-mail address"));
        /// File whose first line is that operator's password: mode 0600, or a systemd credential below
        /// /run/credentials. A file, because an environment variable is seen by every child process.
        operator_password_file: Option<PathBuf> = None, some(path);
    }

    /// Requests that tell clients' servers what happened, and other requests to addresses that somebody typed in.
    webhooks: Webhooks {
        /// Private networks that may be reached, and without TLS, such as ["10.1.0.0/16"].
        /// Empty reaches only public addresses: a URL could otherwise ask servers behind your firewall.
        allow_networks: Vec<Network> = vec![], list(parsed("a network such as \"10.0.0.0/8\""));
        /// Seconds a receiver may take to answer, 1 to 30, connection and all; then the attempt counts as failed.
        /// Receivers should note the message and work later: most take milliseconds.
        timeout_s: u64 = 15, number(1..=30);
        /// PEM file with certificates of authorities that are believed beside those this machine knows: for receivers
        /// with certificates of your own. Unless set: only the machine's.
        ca_file: Option<PathBuf> = None, some(path);
    }

    /// Work that follows from what happened: notifications, follow-up steps, scheduled tasks.
    events: Events {
        /// true or false. Switched off, events are still recorded and wait; they are delivered once it is on again.
        /// For a restored or suspect installation that must not act on its own.
        enabled: bool = true, flag;
        /// "sync": in the transaction of the change, whose refusal refuses the command. "queue": right after the
        /// commit. "scheduled": gathered, every five minutes unless an event's frequency says otherwise. Listeners
        /// that reach out are never sync, those that the books depend on always are.
        default_mode: EventMode = EventMode::Queue, parsed("\"sync\", \"queue\" or \"scheduled\"");
        /// How often a delivery is attempted before it is set aside as failed, 1 to 50.
        tries: u32 = 3, number(1..=50);
        /// Seconds to wait before the second, third, … try, each 0 to 604800; the last one repeats.
        /// Half a minute outlasts a restart of the other side; what is still down after two needs a person.
        backoff: Vec<u64> = vec![30, 60, 120], delays(0..=604_800);
        /// Seconds an attempt may take, 1 to 3600; then it counts as failed.
        /// For mail and HTTP a minute is long; a listener inside the database takes milliseconds.
        timeout_s: u64 = 60, number(1..=3600);
        /// Days a delivery is kept after it was sent, canceled, suppressed or expired, 1 to 3650.
        /// Long enough to look up what somebody asks about; each takes a few hundred bytes.
        retention_days: u64 = 7, number(1..=3650);
        /// Days a failed delivery is kept, 1 to 3650. Longer, because somebody still has to decide about it.
        retention_failed_days: u64 = 90, number(1..=3650);
        /// Days an event is kept in the feed, 1 to 3650; never less than a delivery of it.
        /// A reader of the feed that was away for longer misses events.
        retention_events_days: u64 = 30, number(1..=3650);
    }

    /// Mail to users. Without a server no mail is sent; the inbox works all the same.
    mail: Mail {
        /// SMTP servers, the preferred one first; when one fails, the next one is tried. "smtps://" speaks TLS from the
        /// first byte (port 465 unless said), "smtp://" after STARTTLS or not at all (587), "smtp+plain://" without
        /// TLS, for a server on this machine (25). A user name stands before the host, with "%40" for "@" in it, its
        /// password in a file: "smtps://pay@smtp.example.com?password_file=/run/credentials/coffer.service/smtp".
        servers: Vec<SmtpServer> = vec![],
            list(parsed("a server such as \"smtps://user@smtp.example.com?password_file=/path\""));
        /// Who mails are from: an address your servers may send for. The name shown beside it is the client's.
        from: String = "no-reply@localhost".into(), text(is_mailbox, "an address such as \"no-reply@example.com\"");
        /// Seconds a server may take for one step, 1 to 300. Some look up the sender before they greet.
        timeout_s: u64 = 30, number(1..=300);
        /// PEM file with certificates of authorities that are believed beside those this machine knows: for a mail
        /// server with a certificate of your own. Unless set: only the machine's.
        ca_file: Option<PathBuf> = None, some(path);
    }

    /// Short messages to telephones, through a provider that takes one HTTP request each.
    sms: Sms {
        /// The provider's address, "https://" or "http://". Unless set: no short messages are sent.
        url: Option<String> = None,
            some(text(is_http_url, "an address such as \"https://sms.example.com/v1/messages\""));
        /// Headers of the request. {{ secret }} stands for the first line of secret_file.
        headers: Vec<HttpHeader> = vec![],
            list(parsed("a header such as \"Authorization: Bearer {{ secret }}\""));
        /// The body of the request, a template over to, text, id (the same in every attempt) and secret; tojson quotes,
        /// urlencode does so for forms. A header says its type, JSON unless said. Any answer from 200 to 299 is success.
        body: String = "{\"to\": {{ to|tojson }}, \"text\": {{ text|tojson }}, \"id\": {{ id|tojson }}}".into(),
            text(|it| !it.is_empty(), "a template");
        /// File whose first line is the provider's token: mode 0600, or a systemd credential below /run/credentials.
        secret_file: Option<PathBuf> = None, some(path);
        /// Seconds the provider may take to answer, 1 to 300.
        timeout_s: u64 = 15, number(1..=300);
        /// PEM file with certificates of authorities that are believed beside those this machine knows: for a provider
        /// on your premises. Unless set: only the machine's.
        ca_file: Option<PathBuf> = None, some(path);
    }
}
