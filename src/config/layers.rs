//! The layers above the defaults, each turned into settings: a known key, a value, and where it stands.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use strsim::levenshtein;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::places::{self, PlaceKey};
use super::rules::{self, RuleKey};
use super::{CONFIG_KEYS, Config, KeyInfo, LoadOptions, Origin};

/// One value that somebody set.
pub(super) struct Setting {
    what: Known,
    pub origin: Origin,
    value: Value,
    /// The words as they came, outside of files: `2024` is a number, but can also be meant as the name of a file.
    words: Option<String>,
}

/// A key: one of the table, or one whose path holds the name of an event, a module or a connection.
enum Known {
    Key(&'static KeyInfo),
    Rule(RuleKey),
    Place(PlaceKey),
}

impl Known {
    fn find(path: &str) -> Option<Known> {
        let rule = || RuleKey::parse(path).map(Known::Rule);
        find(path).map(Known::Key).or_else(rule).or_else(|| PlaceKey::parse(path).map(Known::Place))
    }

    fn set(&self, config: &mut Config, value: &Value) -> Result<(), String> {
        match self {
            Known::Key(info) => (info.set)(config, value),
            Known::Rule(key) => key.set(&mut config.event_rules, value),
            Known::Place(key) => key.set(&mut config.modules, &mut config.connections, value),
        }
    }
}

impl Setting {
    /// Its path.
    pub fn key(&self) -> &str {
        match &self.what {
            Known::Key(info) => info.key,
            Known::Rule(key) => &key.path,
            Known::Place(key) => &key.path,
        }
    }

    /// Puts the value into the configuration, or says what was found and what was wanted.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let Err(wanted) = self.what.set(config, &self.value) else { return Ok(()) };
        if let Some(words) = &self.words
            && self.what.set(config, &Value::String(words.clone())).is_ok()
        {
            return Ok(());
        }
        Err(format!("{}: {}: found {}, wanted {wanted}", self.origin, self.key(), found(&self.value)))
    }
}

/// The file that applies and its text. A file that was named must exist; of the usual ones, the first that does.
pub(super) fn read_file(options: &LoadOptions, problems: &mut Vec<String>) -> Option<(PathBuf, String)> {
    let must_exist = options.file.is_some();
    let candidates = options.file.as_ref().map_or(options.search.as_slice(), std::slice::from_ref);
    for path in candidates {
        match fs::read_to_string(path) {
            Ok(text) => return Some((path.clone(), text)),
            Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => {}
            // The next place is not tried: a file that cannot be read was still meant to apply.
            Err(error) => {
                problems.push(format!("{}: the configuration cannot be read: {error}", path.display()));
                return None;
            }
        }
    }
    None
}

/// What a file sets.
pub(super) fn of_file(path: &Path, text: &str, problems: &mut Vec<String>) -> Vec<Setting> {
    let at = |span: Range<usize>| {
        let before = text.get(..span.start).unwrap_or(text);
        Origin::File(path.to_owned(), before.matches('\n').count() + 1)
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let line = |error: &toml::de::Error| at(error.span().unwrap_or_default());
        problems.extend(errors.iter().map(|error| format!("{}: not TOML: {}", line(error), error.message())));
        return Vec::new();
    }

    let mut leaves = Vec::new();
    collect_leaves("", table.into_inner(), &mut leaves);
    leaves.sort_by_key(|leaf| leaf.span.start);

    let mut settings = Vec::new();
    for Leaf { key, span, value } in leaves {
        let origin = at(span);
        // What the parser took for a value can still be none: a number of thirty digits.
        let value = match Value::deserialize(value.into_deserializer()) {
            Ok(value) => value,
            Err(error) => {
                problems.push(format!("{origin}: {key}: {}", error.message()));
                continue;
            }
        };
        match Known::find(&key) {
            Some(what) => settings.push(Setting { what, origin, value, words: None }),
            None if is_section(&key) && value.is_table() => {}
            None if is_section(&key) => {
                problems
                    .push(format!("{origin}: {key}: found {}, wanted the section [{key}]", found(&value)));
            }
            None => problems.push(unknown(&origin, &key, &key, |info| info.key.to_owned())),
        }
    }
    settings
}

/// What the environment sets. Names without a double underscore are left to whoever reads them.
pub(super) fn of_env(env: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, words) in env {
        let Some((section, rest)) = name.strip_prefix("COFFER_").and_then(|rest| rest.split_once("__"))
        else {
            continue;
        };
        let origin = Origin::Env(name.clone());
        let key = format!("{section}.{rest}").replace("__", ".").to_lowercase();
        let info = CONFIG_KEYS.iter().find(|info| info.env_name() == *name).map(Known::Key);
        let rule = || RuleKey::parse(&key).filter(|it| it.env_name() == *name).map(Known::Rule);
        let place = || PlaceKey::parse(&key).filter(|it| it.env_name() == *name).map(Known::Place);
        match info.or_else(rule).or_else(place) {
            Some(what) => settings.push(spoken(what, origin, words)),
            None => problems.push(unknown(&origin, name, &key, KeyInfo::env_name)),
        }
    }
    settings
}

/// What the command line sets.
pub(super) fn of_overrides(overrides: &[(String, String)], problems: &mut Vec<String>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (key, words) in overrides {
        match Known::find(key) {
            Some(what) => settings.push(spoken(what, Origin::Flag, words)),
            None => problems.push(unknown(&Origin::Flag, key, key, |info| info.key.to_owned())),
        }
    }
    settings
}

/// A setting from words outside of a file: a TOML value if they are one, otherwise the words themselves.
fn spoken(what: Known, origin: Origin, words: &str) -> Setting {
    let value = words.parse().unwrap_or_else(|_| Value::String(words.to_owned()));
    Setting { what, origin, value, words: Some(words.to_owned()) }
}

/// A value of a file with its key's path and place.
struct Leaf<'text> {
    key: String,
    span: Range<usize>,
    value: Spanned<DeValue<'text>>,
}

/// Walks down to whatever is not a table. An empty table counts as a leaf, or a misspelt section without keys would
/// go unseen.
fn collect_leaves<'text>(prefix: &str, table: DeTable<'text>, leaves: &mut Vec<Leaf<'text>>) {
    for (name, value) in table {
        let (span, name) = (name.span(), name.into_inner());
        let key = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}.{name}") };
        let value_span = value.span();
        match value.into_inner() {
            DeValue::Table(inner) if !inner.is_empty() => collect_leaves(&key, inner, leaves),
            value => leaves.push(Leaf { key, span, value: Spanned::new(value_span, value) }),
        }
    }
}

fn find(key: &str) -> Option<&'static KeyInfo> {
    CONFIG_KEYS.iter().find(|info| info.key == key)
}

fn is_section(name: &str) -> bool {
    ["modules", "connections"].contains(&name)
        || CONFIG_KEYS.iter().any(|info| info.key.split_once('.').is_some_and(|(section, _)| section == name))
}

/// Never shows the value: under a misspelt name it may be a secret.
fn unknown(origin: &Origin, name: &str, key: &str, name_of: fn(&KeyInfo) -> String) -> String {
    let meant = match rules::nearest(key).or_else(|| places::nearest(key)) {
        Some(path) => Some(path),
        None if rules::is_below_event(key) || places::is_below(key) => None,
        None => nearest(key).map(name_of),
    };
    let hint = meant.map(|it| format!("; did you mean {it}?")).unwrap_or_default();
    match origin {
        Origin::Env(_) => format!("{origin}: there is no such setting{hint}"),
        _ => format!("{origin}: {name}: there is no such key{hint}"),
    }
}

/// The known key that was probably meant: by its whole path, or by its name when the section is missing or wrong.
fn nearest(key: &str) -> Option<&'static KeyInfo> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let distance =
        |info: &KeyInfo| levenshtein(key, info.key).min(levenshtein(&name(key), &name(info.key)) + 1);
    let close_enough = name(key).chars().count().div_ceil(2).min(4);
    CONFIG_KEYS.iter().min_by_key(|info| distance(info)).filter(|info| distance(info) <= close_enough)
}

/// A value as it would stand in the file.
fn found(value: &Value) -> String {
    match value {
        Value::Datetime(time) => time.to_string(),
        value => serde_json::to_string(value).unwrap_or_else(|_| value.type_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        for (written, meant) in [
            ("server.lisen", Some("server.listen")),
            ("srever.listen", Some("server.listen")),
            ("listen", Some("server.listen")),
            ("server.levl", Some("log.level")),
            ("storage.cache_size_mb", None),
            ("events.tires", Some("events.tries")),
            ("mail.hosts_and_ports", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written).map(|info| info.key), meant, "{written}");
        }
    }
}
