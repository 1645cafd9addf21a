//! The settings of an installation: where they come from, what they may be, and where each one was set.
//!
//! ```text
//! default  <  file          <  environment              <  command line
//! keys.rs     config.toml      COFFER_SERVER__LISTEN       --set server.listen=…
//! ```
//!
//! One row of the table in `keys.rs` declares a key; `read.rs` has the forms its value can take; `layers.rs` brings
//! what was set into one list of (key, value, origin); [`Config::load`] applies that list in order.
//!
//! Always true: a [`Config`] that was loaded has only checked values. A name nobody knows is refused in every layer,
//! and so is a wrong value, even one that a later layer would replace. All problems are reported at once. No key holds
//! a secret by value, only the path of its file, so a `Config` may be printed.

mod ca_file;
mod keys;
mod layers;
mod memory;
mod places;
mod read;
mod rules;
mod secret_file;
mod values;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use ca_file::read_certificates;
pub use keys::{
    Auth, Bootstrap, CONFIG_KEYS, Config, Events, Idempotency, KeyInfo, Limits, Log, Mail, Server, Sms,
    Storage, Webhooks,
};
use places::PlaceKey;
pub use places::{Connection, DEFAULT, Database, ModuleRule};
use rules::RuleKey;
pub use rules::{EventRule, Rule};
pub use secret_file::{open_secret_file, read_secret_file};
pub use values::{Commit, EventMode, HttpHeader, Listen, LogFormat, Network, SmtpServer, SmtpTls};

/// Where settings are looked for. The default is nowhere: tests and instances in memory see no file and no
/// environment they did not ask for.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// A file that must exist. Without one, the first of `search` that does.
    pub file: Option<PathBuf>,
    pub search: Vec<PathBuf>,
    /// Only names that start with `COFFER_` and contain `__` after that are settings.
    pub env: BTreeMap<String, String>,
    /// Key and value, from `--set key=value`. The last one of a key counts.
    pub overrides: Vec<(String, String)>,
}

impl LoadOptions {
    /// The usual places: `config.toml` here or in `/etc/coffer`, and this process's environment.
    pub fn of_process(file: Option<PathBuf>, overrides: Vec<(String, String)>) -> Self {
        let search = vec!["config.toml".into(), "/etc/coffer/config.toml".into()];
        // Names of other programs may be anything; one that is not text is not ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        };
        Self { file, search, env: std::env::vars_os().filter_map(text).collect(), overrides }
    }
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Default,
    /// File and line.
    File(PathBuf, usize),
    /// The variable's name.
    Env(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::Flag => write!(f, "command line"),
        }
    }
}

/// Everything that is wrong with the configuration, one line a problem. Nothing was loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("\n"))]
pub struct ConfigError {
    pub problems: Vec<String>,
}

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// Of every key, by its path.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
}

/// A line of `coffer config show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    pub key: Cow<'static, str>,
    /// `null` for an optional key that is not set. Its `Display` is JSON, which for these values is TOML too.
    pub value: serde_json::Value,
    pub origin: Origin,
}

impl Loaded {
    /// Every key with its value and origin, in the order of the shipped file; then what is said about single
    /// events, modules and connections.
    pub fn show(&self) -> Vec<Shown> {
        let mut values = serde_json::to_value(&self.config).unwrap_or_default();
        let of_places: Vec<_> = self.origins.keys().filter(|it| PlaceKey::parse(it).is_some()).collect();
        let rules = values.as_object_mut().and_then(|it| it.remove("event_rules")).unwrap_or_default();
        let shown = |key: Cow<'static, str>, value: Option<&serde_json::Value>| {
            let origin = self.origins.get(&*key).cloned().unwrap_or(Origin::Default);
            Shown { key, value: value.cloned().unwrap_or_default(), origin }
        };
        let find = |values, path: &str| path.split('.').try_fold(values, serde_json::Value::get);
        let known = CONFIG_KEYS.iter().map(|it| shown(it.key.into(), find(&values, it.key)));
        let of_rules = self.origins.keys().filter(|it| RuleKey::parse(it).is_some());
        let said =
            of_rules.map(|it| shown(it.clone().into(), find(&rules, it.trim_start_matches("events."))));
        let placed = of_places.into_iter().map(|it| shown(it.clone().into(), find(&values, it)));
        known.chain(said).chain(placed).collect()
    }
}

impl Config {
    /// The address people type. `address` has the port that was really bound.
    pub fn public_url(&self, address: &str) -> String {
        match (&self.server.public_url, &self.server.listen) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Listen::Tcp(listen)) if listen.ip().is_unspecified() => {
                let port = address.rsplit(':').next().unwrap_or_default();
                format!("http://127.0.0.1:{port}")
            }
            (None, Listen::Tcp(_)) => format!("http://{address}"),
            (None, Listen::Unix(_)) => "http://localhost".to_owned(),
        }
    }

    /// Reads all layers. Refuses unknown names, wrong values, values that contradict each other, a file that was
    /// named but cannot be read, and secret files that others may read.
    pub fn load(options: &LoadOptions) -> Result<Loaded, ConfigError> {
        let mut problems = Vec::new();
        let file = layers::read_file(options, &mut problems);
        let mut settings = Vec::new();
        if let Some((path, text)) = &file {
            settings.extend(layers::of_file(path, text, &mut problems));
        }
        settings.extend(layers::of_env(&options.env, &mut problems));
        settings.extend(layers::of_overrides(&options.overrides, &mut problems));

        let mut config = Config::default();
        let mut origins: BTreeMap<_, _> =
            CONFIG_KEYS.iter().map(|info| (info.key.to_owned(), Origin::Default)).collect();
        for setting in settings {
            match setting.apply(&mut config) {
                Ok(()) => drop(origins.insert(setting.key().to_owned(), setting.origin)),
                Err(problem) => problems.push(problem),
            }
        }
        // With a value refused its default stands in for it, and would contradict others for no fault of theirs.
        if problems.is_empty() {
            config.check(&mut problems);
        }
        if !problems.is_empty() {
            return Err(ConfigError { problems });
        }
        Ok(Loaded { config, origins, file: file.map(|(path, _)| path) })
    }

    /// The directory of the database: beside it stand the key, the socket and whatever else belongs to it.
    pub fn data_dir(&self) -> &Path {
        match self.storage.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// `server.socket`, or the default beside the database: one for each, because several may share a directory.
    pub fn socket_path(&self) -> PathBuf {
        self.server.socket.clone().unwrap_or_else(|| self.storage.path.with_extension("sock"))
    }

    /// `storage.key_file`, or the default beside the database.
    pub fn key_file(&self) -> PathBuf {
        let beside = || {
            let mut path = self.storage.path.clone().into_os_string();
            path.push(".key");
            path.into()
        };
        self.storage.key_file.clone().unwrap_or_else(beside)
    }

    /// `storage.cache_mb` in bytes, or what suits the memory there is.
    pub fn cache_bytes(&self) -> usize {
        let mb = match self.storage.cache_mb {
            0 => memory::derived_cache_mb(memory::available_bytes()),
            mb => mb,
        };
        usize::try_from(mb * 1024 * 1024).unwrap_or(usize::MAX)
    }

    /// Rules between keys, and the state of secret files that exist already.
    fn check(&self, problems: &mut Vec<String>) {
        let Server { header_timeout_s, request_timeout_s, .. } = self.server;
        if header_timeout_s > request_timeout_s {
            problems.push(format!(
                "server.header_timeout_s: found {header_timeout_s}, wanted at most server.request_timeout_s, \
                 which is {request_timeout_s}"
            ));
        }
        let socket = self.socket_path();
        if socket.as_os_str().len() > values::SOCKET_PATH_BYTES {
            problems.push(format!(
                "server.socket: {} is longer than the {} bytes a socket's path can have; set a shorter one",
                socket.display(),
                values::SOCKET_PATH_BYTES
            ));
        }
        if self.server.listen == Listen::Unix(socket) {
            problems.push("server.listen and server.socket: found the same path, wanted two".into());
        }
        if self.bootstrap.operator_email.is_some() != self.bootstrap.operator_password_file.is_some() {
            problems.push(
                "bootstrap.operator_email and bootstrap.operator_password_file: found one, wanted both or neither"
                    .into(),
            );
        }
        places::check(&self.modules, &self.connections, &self.storage.path, problems);
        let authorities = [
            ("mail.ca_file", &self.mail.ca_file),
            ("sms.ca_file", &self.sms.ca_file),
            ("webhooks.ca_file", &self.webhooks.ca_file),
        ];
        for (key, path) in authorities {
            // One that is missing is refused by whoever needs it.
            let there = path.as_ref().filter(|path| path.exists());
            let problem = there.and_then(|path| read_certificates(path).err());
            problems.extend(problem.map(|problem| format!("{key}: {problem}")));
        }
        let secrets = [
            ("storage.key_file", Some(self.key_file())),
            ("bootstrap.operator_password_file", self.bootstrap.operator_password_file.clone()),
        ];
        let of_mail = self.mail.servers.iter().map(|it| ("mail.servers", it.password_file.clone()));
        let of_sms = ("sms.secret_file", self.sms.secret_file.clone());
        for (key, path) in secrets.into_iter().chain(of_mail).chain([of_sms]) {
            let problem = path.and_then(|path| secret_file::readable_by_others(&path));
            problems.extend(problem.map(|problem| format!("{key}: {problem}")));
        }
    }
}

#[cfg(test)]
mod tests;
