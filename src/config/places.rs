//! `[modules.<module>]` and `[connections.<name>]`: whether a module runs, and which file it is kept in.
//!
//! What may stand there is known here. Which modules exist, which may be switched off and which may leave the file
//! `default` is known to the list of modules, and refused with the same path (see `homes.rs`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use strsim::levenshtein;
use toml::Value;

use super::read::{flag, number, path as a_path, text};

/// The connection of whatever is not said to be elsewhere: the file at `storage.path`.
pub const DEFAULT: &str = "default";

/// What is said about one module.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModuleRule {
    /// Off: no routes, no listeners, no jobs; its tables stay as they are.
    pub enabled: bool,
    pub database: Database,
}

impl Default for ModuleRule {
    fn default() -> Self {
        ModuleRule { enabled: true, database: Database::default() }
    }
}

/// Where a module's tables are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Database {
    /// `default`, or one of `[connections]`.
    pub connection: String,
    /// Stands before the names of its tables in that file.
    pub prefix: String,
}

impl Default for Database {
    fn default() -> Self {
        Database { connection: DEFAULT.into(), prefix: String::new() }
    }
}

/// A further database file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Connection {
    /// Made at the first start. Empty only until it was checked.
    pub path: PathBuf,
    /// Memory for its cached pages in MiB.
    pub cache_mb: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Connection { path: PathBuf::new(), cache_mb: 16 }
    }
}

const FIELDS: [&str; 5] = ["enabled", "database.connection", "database.prefix", "path", "cache_mb"];

/// Such a path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlaceKey {
    pub path: String,
    name: String,
    field: &'static str,
}

impl PlaceKey {
    /// `None` when it is no such path.
    pub fn parse(path: &str) -> Option<PlaceKey> {
        let (section, rest) = path.split_once('.')?;
        let (name, field) = rest.split_once('.')?;
        let known = match section {
            "modules" => &FIELDS[..3],
            "connections" => &FIELDS[3..],
            _ => return None,
        };
        let field = known.iter().find(|it| **it == field)?;
        is_name(name).then(|| PlaceKey { path: path.to_owned(), name: name.to_owned(), field })
    }

    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("COFFER_{}", self.path.replace('.', "__").to_uppercase())
    }

    /// Puts the value where it belongs, or says what was wanted.
    pub fn set(
        &self,
        modules: &mut BTreeMap<String, ModuleRule>,
        connections: &mut BTreeMap<String, Connection>,
        value: &Value,
    ) -> Result<(), String> {
        match self.field {
            "path" | "cache_mb" => {
                let connection = connections.entry(self.name.clone()).or_default();
                match self.field {
                    "path" => connection.path = a_path(value)?,
                    _ => connection.cache_mb = number(1..=65_536)(value)?,
                }
            }
            field => {
                let module = modules.entry(self.name.clone()).or_default();
                let connection = "\"default\", or the name of one of [connections]";
                let prefix = "at most 20 small letters, digits and \"_\"";
                match field {
                    "enabled" => module.enabled = flag(value)?,
                    "database.prefix" => module.database.prefix = text(is_prefix, prefix)(value)?,
                    _ => module.database.connection = text(is_name, connection)(value)?,
                }
            }
        }
        Ok(())
    }
}

/// Whether a path leads below one module or connection, whatever it says there.
pub(super) fn is_below(path: &str) -> bool {
    ["modules.", "connections."].iter().any(|it| path.starts_with(it)) && path.split('.').count() > 2
}

/// The path that was probably meant, of one whose last word is misspelt.
pub(super) fn nearest(path: &str) -> Option<String> {
    let (before, field) = path.split_once('.').and_then(|(section, rest)| {
        let (name, field) = rest.split_once('.')?;
        Some((format!("{section}.{name}"), field))
    })?;
    let known = FIELDS.iter().filter_map(|it| PlaceKey::parse(&format!("{before}.{it}")));
    known
        .filter(|it| levenshtein(field, it.field) <= 3)
        .min_by_key(|it| levenshtein(field, it.field))
        .map(|it| it.path)
}

/// Rules between them. Names of modules are checked when the modules are known.
pub(super) fn check(
    modules: &BTreeMap<String, ModuleRule>,
    connections: &BTreeMap<String, Connection>,
    storage: &std::path::Path,
    problems: &mut Vec<String>,
) {
    let mut taken: Vec<(PathBuf, String)> = vec![(storage.to_owned(), "storage.path".into())];
    for (name, connection) in connections {
        let key = format!("connections.{name}");
        if name == DEFAULT {
            problems
                .push(format!("{key}: found a connection of this name, wanted another: it is storage.path"));
        } else if connection.path.as_os_str().is_empty() {
            problems.push(format!("{key}.path: found nothing, wanted the path of a database file"));
        } else if let Some((_, other)) = taken.iter().find(|it| it.0 == connection.path) {
            problems.push(format!("{key}.path: found the path of {other}, wanted one of its own"));
        }
        taken.push((connection.path.clone(), format!("{key}.path")));
        if !modules.values().any(|it| it.database.connection == *name) {
            problems.push(format!(
                "{key}: no module lives there; set modules.<module>.database.connection = \"{name}\", or remove it"
            ));
        }
    }
    for (name, module) in modules {
        let connection = &module.database.connection;
        if connection != DEFAULT && !connections.contains_key(connection) {
            problems.push(format!(
                "modules.{name}.database.connection: found \"{connection}\", wanted \"default\" or one of \
                 [connections]; set connections.{connection}.path"
            ));
        }
    }
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}

fn is_prefix(text: &str) -> bool {
    text.is_empty() || (text.len() <= 20 && is_name(text))
}
