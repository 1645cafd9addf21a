//! `[events.<event>]` and `[events.<event>.listeners.<listener>]`: keys whose path holds a name of the modules.
//!
//! What may stand there is known here, which names exist is not: those are checked when the modules have registered,
//! and refused with the same path (see `kernel/events/plan.rs`).

use std::collections::BTreeMap;

use serde::Serialize;
use strsim::levenshtein;
use toml::Value;

use super::read::{delays, number, parsed, text};
use super::values::EventMode;
use crate::kernel::events::{
    delivery::Lane,
    frequency::{Frequency, WANTED},
};

/// What is said about one event, or about one listener of it. What is not said is inherited.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Rule {
    pub mode: Option<EventMode>,
    pub queue: Option<String>,
    pub priority: Option<Lane>,
    pub frequency: Option<Frequency>,
    pub tries: Option<u32>,
    pub backoff: Option<Vec<u64>>,
    pub timeout_s: Option<u64>,
}

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EventRule {
    #[serde(flatten)]
    pub rule: Rule,
    pub listeners: BTreeMap<String, Rule>,
}

pub(super) const FIELDS: [&str; 7] =
    ["mode", "queue", "priority", "frequency", "tries", "backoff", "timeout_s"];

/// `events.<event>.<field>` or `events.<event>.listeners.<listener>.<field>`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RuleKey {
    pub path: String,
    event: String,
    listener: Option<String>,
    field: &'static str,
}

impl RuleKey {
    /// `None` when it is no such path.
    pub fn parse(path: &str) -> Option<RuleKey> {
        let parts: Vec<&str> = path.split('.').collect();
        let (event, listener, field) = match parts[..] {
            ["events", event, field] => (event, None, field),
            ["events", event, "listeners", listener, field] => (event, Some(listener.to_owned()), field),
            _ => return None,
        };
        let field = FIELDS.into_iter().find(|it| *it == field)?;
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
        };
        if !is_name(event) || !listener.as_deref().is_none_or(is_name) {
            return None;
        }
        Some(RuleKey { path: path.to_owned(), event: event.to_owned(), listener, field })
    }

    /// The environment variable that sets it.
    pub fn env_name(&self) -> String {
        format!("COFFER_{}", self.path.replace('.', "__").to_uppercase())
    }

    /// Puts the value where it belongs, or says what was wanted.
    pub fn set(&self, rules: &mut BTreeMap<String, EventRule>, value: &Value) -> Result<(), String> {
        let event = rules.entry(self.event.clone()).or_default();
        let rule = match &self.listener {
            Some(listener) => event.listeners.entry(listener.clone()).or_default(),
            None => &mut event.rule,
        };
        match self.field {
            "mode" => rule.mode = Some(parsed("\"sync\", \"queue\" or \"scheduled\"")(value)?),
            "queue" => rule.queue = Some(queue(value)?),
            "priority" => {
                rule.priority = Some(parsed("\"critical\", \"high\", \"medium\" or \"low\"")(value)?);
            }
            "frequency" => rule.frequency = Some(parsed(WANTED)(value)?),
            "tries" => rule.tries = Some(number(1..=50)(value)?),
            "backoff" => rule.backoff = Some(delays(0..=604_800)(value)?),
            _ => rule.timeout_s = Some(number(1..=3600)(value)?),
        }
        Ok(())
    }
}

/// Whether a path leads below one event, whatever it says there.
pub(super) fn is_below_event(path: &str) -> bool {
    path.starts_with("events.") && path.split('.').count() > 2
}

/// The path that was probably meant, of one whose last word is misspelt.
pub(super) fn nearest(path: &str) -> Option<String> {
    let (before, field) = path.rsplit_once('.').filter(|_| is_below_event(path))?;
    let meant = FIELDS
        .into_iter()
        .min_by_key(|it| levenshtein(field, it))
        .filter(|it| levenshtein(field, it) <= 2)?;
    RuleKey::parse(&format!("{before}.{meant}")).map(|it| it.path)
}

fn queue(value: &Value) -> Result<String, String> {
    let has_form = |text: &str| {
        (1..=40).contains(&text.len())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it))
    };
    text(has_form, "the name of a queue: 1 to 40 small letters, digits, \"_\" or \"-\"")(value)
}
