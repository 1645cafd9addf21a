//! Values a plain string or number cannot hold safely.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// Longest path a Unix socket can have: `sun_path` holds 108 bytes, the last of them zero.
pub(super) const SOCKET_PATH_BYTES: usize = 107;

/// Where the server listens.
#[derive(Debug, Clone, PartialEq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.strip_prefix("unix:") {
            Some(path) if path.is_empty() || path.len() > SOCKET_PATH_BYTES => Err(()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(drop),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A range of IP addresses; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network(pub IpNet);

impl Network {
    /// Whether the address lies in the network. An IPv4 client of an IPv6 socket counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let single = |_| text.parse::<IpAddr>().map(IpNet::from);
        text.parse::<IpNet>().or_else(single).map(Self).map_err(drop)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// How a commit reaches the disk; see `storage.commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Commit {
    Safe,
    Fast,
}

impl FromStr for Commit {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "safe" => Ok(Self::Safe),
            "fast" => Ok(Self::Fast),
            _ => Err(()),
        }
    }
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// When listeners run; see `events.default_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventMode {
    Sync,
    Queue,
    Scheduled,
}

impl FromStr for EventMode {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "sync" => Ok(Self::Sync),
            "queue" => Ok(Self::Queue),
            "scheduled" => Ok(Self::Scheduled),
            _ => Err(()),
        }
    }
}

impl fmt::Display for EventMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Queue => "queue",
            Self::Scheduled => "scheduled",
        })
    }
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte.
    Wrapped,
    /// After STARTTLS; a server that does not offer it gets nothing.
    StartTls,
    Never,
}

/// A mail server: `smtps://user@smtp.example.com:465?password_file=/path`.
#[derive(Debug, Clone, PartialEq)]
pub struct SmtpServer {
    pub tls: SmtpTls,
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
}

impl SmtpServer {
    /// What logs and attempts call it.
    pub fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for SmtpServer {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once("://").ok_or(())?;
        let (tls, usual_port) = match scheme {
            "smtps" => (SmtpTls::Wrapped, 465),
            "smtp" => (SmtpTls::StartTls, 587),
            "smtp+plain" => (SmtpTls::Never, 25),
            _ => return Err(()),
        };
        let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
        let password_file = match query {
            None => None,
            Some(query) => Some(query.strip_prefix("password_file=").filter(|it| !it.is_empty()).ok_or(())?),
        };
        let (username, place) = match place.rsplit_once('@') {
            // A password here would be seen wherever the configuration is shown.
            Some((name, _)) if name.is_empty() || name.contains([':', '/']) => return Err(()),
            Some((name, place)) => (Some(name), place),
            None => (None, place),
        };
        let username = username.map(|it| percent_encoding::percent_decode_str(it).decode_utf8());
        let username = username.transpose().map_err(drop)?.map(Into::into);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !place.ends_with(']') => {
                (host, port.parse().ok().filter(|it| *it > 0).ok_or(())?)
            }
            _ => (place, usual_port),
        };
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte);
        if host.is_empty() || !host.bytes().all(in_name) || username.is_some() != password_file.is_some() {
            return Err(());
        }
        Ok(Self { tls, host: host.to_owned(), port, username, password_file: password_file.map(Into::into) })
    }
}

impl fmt::Display for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tls {
            SmtpTls::Wrapped => "smtps://",
            SmtpTls::StartTls => "smtp://",
            SmtpTls::Never => "smtp+plain://",
        })?;
        if let Some(name) = &self.username {
            let escaped =
                percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string();
            write!(f, "{escaped}@")?;
        }
        write!(f, "{}:{}", self.host, self.port)?;
        match &self.password_file {
            Some(path) => write!(f, "?password_file={}", path.display()),
            None => Ok(()),
        }
    }
}

impl Serialize for SmtpServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A header of a request: `Name: value`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpHeader {
    pub name: String,
    pub value: String,
}

impl FromStr for HttpHeader {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once(':').ok_or(())?;
        let value = value.trim();
        name.parse::<hyper::header::HeaderName>().map_err(drop)?;
        value.parse::<hyper::header::HeaderValue>().map_err(drop)?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

impl Serialize for HttpHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}: {}", self.name, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_reads_back_what_it_shows() {
        for (text, shown) in [
            ("smtp+plain://localhost", "smtp+plain://localhost:25"),
            ("smtp://mail.example.com", "smtp://mail.example.com:587"),
            (
                "smtps://pay%40example.com@mail.example.com?password_file=/p",
                "smtps://pay%40example%2Ecom@mail.example.com:465?password_file=/p",
            ),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
        ] {
            let server: SmtpServer = text.parse().unwrap();
            assert_eq!(server.to_string(), shown);
            assert_eq!(shown.parse(), Ok(server));
        }
        let server: SmtpServer = "smtps://a%40b@c?password_file=/p".parse().unwrap();
        assert_eq!(server.username.as_deref(), Some("a@b"));
    }

    #[test]
    fn a_password_does_not_stand_in_the_configuration() {
        for wrong in [
            "smtps://user:word@host?password_file=/p",
            "smtps://user@host",
            "smtps://host?password_file=/p",
            "smtps://host?password=word",
            "smtps://",
            "smtp://host:0",
            "http://host",
            "host",
        ] {
            assert_eq!(wrong.parse::<SmtpServer>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let header: HttpHeader = "Authorization: Bearer {{ secret }}".parse().unwrap();
        assert_eq!((header.name.as_str(), header.value.as_str()), ("Authorization", "Bearer {{ secret }}"));
        for wrong in ["", "Authorization", "A b: c", "A: b\nC: d"] {
            assert_eq!(wrong.parse::<HttpHeader>(), Err(()), "{wrong:?}");
        }
    }
}
