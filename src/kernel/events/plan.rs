//! What the configuration makes of the listeners that modules declared.
//!
//! Each setting is taken from the listener, else from its event, else from `[events]`. A name nobody declared, and a
//! setting that could not have an effect, is refused at start with the path of its key.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use strsim::levenshtein;

use super::{
    courier::Target,
    delivery::{Delivery, Lane},
    event::{Listener, Mode},
    frequency::Frequency,
    retry::RetryPolicy,
    schedule::Schedules,
};
use crate::config::{EventMode, EventRule, Events, Rule};

/// When a listener runs.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// In the causing transaction.
    Sync,
    /// After the commit.
    Queue,
    /// At the next instant of this frequency, with everything else that gathered until then.
    Scheduled(Frequency),
}

/// A listener and how it runs.
#[derive(Clone)]
pub struct Plan {
    pub listener: Listener,
    pub when: When,
    pub queue: String,
    pub lane: Lane,
    pub retry: RetryPolicy,
    pub timeout: Duration,
}

/// The plans of all listeners, and the targets and schedules there are.
pub struct Plans {
    by_event: HashMap<&'static str, Vec<Arc<Plan>>>,
    pub targets: BTreeMap<&'static str, Target>,
    pub schedules: Schedules,
    retry: RetryPolicy,
    timeout: Duration,
    queues: BTreeSet<String>,
}

const SCHEDULED_UNLESS_SAID: &str = "every 5m";

impl Plans {
    /// `events` are the names of all events that exist. Everything that is wrong comes back at once.
    pub fn new(
        listeners: Vec<Listener>,
        targets: BTreeMap<&'static str, Target>,
        schedules: Schedules,
        events: &BTreeSet<&'static str>,
        config: &Events,
        rules: &BTreeMap<String, EventRule>,
    ) -> Result<Plans, Vec<String>> {
        let mut problems = unknown_names(&listeners, events, rules);
        let mut by_event: HashMap<&'static str, Vec<Arc<Plan>>> = HashMap::new();
        let retry = RetryPolicy::exact(config.tries, &config.backoff);
        let timeout = Duration::from_secs(config.timeout_s);
        let mut queues: BTreeSet<String> = ["default".to_owned()].into();
        queues.extend(targets.values().map(|it| it.plan.queue.to_owned()));
        for listener in listeners {
            let layers = Layers::of(&listener, rules);
            layers.check(&listener, &mut problems);
            let target = targets.get(listener.name).map(|it| &it.plan);
            let of_target = target.and_then(|it| it.retry.clone()).unwrap_or_else(|| retry.clone());
            let plan = Plan {
                when: layers.when(&listener, config.default_mode),
                queue: layers.first(|it| it.queue.clone()).unwrap_or_else(|| "default".to_owned()),
                lane: layers.first(|it| it.priority).unwrap_or(Lane::Medium),
                retry: RetryPolicy {
                    tries: layers.first(|it| it.tries).unwrap_or(of_target.tries),
                    backoff_s: layers.first(|it| it.backoff.clone()).unwrap_or(of_target.backoff_s),
                    jitter_percent: of_target.jitter_percent,
                },
                timeout: layers
                    .first(|it| it.timeout_s)
                    .map(Duration::from_secs)
                    .or(target.and_then(|it| it.timeout))
                    .unwrap_or(timeout),
                listener,
            };
            queues.insert(plan.queue.clone());
            by_event.entry(plan.listener.event).or_default().push(Arc::new(plan));
        }
        if problems.is_empty() {
            Ok(Plans { by_event, targets, schedules, retry, timeout, queues })
        } else {
            Err(problems)
        }
    }

    /// Who hears `event`, in the order they were declared.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.by_event.values().flatten()
    }

    pub fn of(&self, event: &str) -> &[Arc<Plan>] {
        self.by_event.get(event).map(Vec::as_slice).unwrap_or_default()
    }

    pub fn listener(&self, event: &str, name: &str) -> Option<&Arc<Plan>> {
        self.of(event).iter().find(|it| it.listener.name == name)
    }

    /// Every queue that something is planned to run in.
    pub fn queues(&self) -> &BTreeSet<String> {
        &self.queues
    }

    /// How `delivery` is retried: by its own policy, its listener's, its target's, or that of `[events]`.
    pub fn retry(&self, delivery: &Delivery) -> RetryPolicy {
        let own = || delivery.retry.clone();
        let listener = || Some(self.listener(&delivery.event_name, &delivery.listener)?.retry.clone());
        let target = || self.targets.get(delivery.listener.as_str())?.plan.retry.clone();
        own().or_else(listener).or_else(target).unwrap_or_else(|| self.retry.clone())
    }

    pub fn timeout(&self, delivery: &Delivery) -> Duration {
        let listener = || Some(self.listener(&delivery.event_name, &delivery.listener)?.timeout);
        let target = || self.targets.get(delivery.listener.as_str())?.plan.timeout;
        listener().or_else(target).unwrap_or(self.timeout)
    }
}

/// What is said about a listener, and where: the nearest first.
struct Layers<'a>(Vec<(String, &'a Rule)>);

impl<'a> Layers<'a> {
    fn of(listener: &Listener, rules: &'a BTreeMap<String, EventRule>) -> Layers<'a> {
        let mut layers = vec![];
        if let Some((name, event)) = rules.get_key_value(&key(listener.event)) {
            let own = event.listeners.iter().find(|(it, _)| names(it, listener));
            layers.extend(own.map(|(own, rule)| (format!("events.{name}.listeners.{own}"), rule)));
            layers.push((format!("events.{name}"), &event.rule));
        }
        Layers(layers)
    }

    fn first<T>(&self, part: impl Fn(&Rule) -> Option<T>) -> Option<T> {
        self.0.iter().find_map(|(_, rule)| part(rule))
    }

    fn when(&self, listener: &Listener, default: EventMode) -> When {
        if listener.mode == Mode::Sync {
            return When::Sync;
        }
        let default =
            if listener.is_external() && default == EventMode::Sync { EventMode::Queue } else { default };
        let frequency = || self.first(|it| it.frequency.clone());
        match self.first(|it| it.mode).unwrap_or(default) {
            EventMode::Sync => When::Sync,
            EventMode::Queue => When::Queue,
            EventMode::Scheduled => match frequency().or_else(|| SCHEDULED_UNLESS_SAID.parse().ok()) {
                Some(frequency) => When::Scheduled(frequency),
                None => When::Queue,
            },
        }
    }

    /// What was said and cannot be, or would do nothing.
    fn check(&self, listener: &Listener, problems: &mut Vec<String>) {
        let name = listener.name;
        for (path, rule) in &self.0 {
            match rule.mode {
                Some(mode) if listener.mode == Mode::Sync && mode != EventMode::Sync => problems.push(format!(
                    "{path}.mode: found \"{mode}\", wanted \"sync\": the books depend on listener {name}"
                )),
                Some(EventMode::Sync) if listener.is_external() => problems.push(format!(
                    "{path}.mode: found \"sync\", wanted \"queue\" or \"scheduled\": listener {name} reaches out"
                )),
                _ => {}
            }
        }
        let Some((path, rule)) = self.0.first().filter(|it| it.0.contains(".listeners.")) else { return };
        let is_sync = self.when(listener, EventMode::Queue) == When::Sync;
        let idle = [
            ("queue", rule.queue.is_some()),
            ("priority", rule.priority.is_some()),
            ("tries", rule.tries.is_some()),
            ("backoff", rule.backoff.is_some()),
            ("timeout_s", rule.timeout_s.is_some()),
        ];
        for (field, _) in idle.iter().filter(|it| it.1 && is_sync) {
            problems.push(format!(
                "{path}.{field}: listener {name} runs in the causing transaction, where this has no effect"
            ));
        }
    }
}

/// An event's or a listener's name as a key of the configuration.
pub fn key(name: &str) -> String {
    name.replace('.', "_")
}

/// `notification.tell` is meant by `notification_tell` and, being said below its event, by `tell`.
fn names(text: &str, listener: &Listener) -> bool {
    text == key(listener.name) || listener.name.split_once('.').is_some_and(|(_, rest)| text == key(rest))
}

/// The name that was probably meant: at most a third of its letters differ.
fn nearest(written: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let near = names.map(|it| (levenshtein(written, &it), it)).min()?;
    (near.0 <= written.chars().count().div_ceil(3)).then_some(near.1)
}

fn unknown_names(
    listeners: &[Listener],
    events: &BTreeSet<&'static str>,
    rules: &BTreeMap<String, EventRule>,
) -> Vec<String> {
    let mut problems = vec![];
    for (name, rule) in rules {
        if !events.iter().any(|it| key(it) == *name) {
            let meant = nearest(name, events.iter().map(|it| key(it)));
            let hint = meant.map_or("`coffer events types` shows them".to_owned(), |it| {
                format!("did you mean events.{it}? `coffer events types` shows all")
            });
            problems.push(format!("events.{name}: there is no such event; {hint}"));
            continue;
        }
        let heard: Vec<_> = listeners.iter().filter(|it| key(it.event) == *name).collect();
        for own in rule.listeners.keys().filter(|own| !heard.iter().any(|it| names(own, it))) {
            let known: Vec<_> = heard.iter().map(|it| key(it.name)).collect();
            let short = heard.iter().filter_map(|it| it.name.split_once('.')).map(|it| key(it.1));
            let meant = nearest(own, known.iter().cloned().chain(short));
            let hint = meant.map(|it| format!("did you mean {it}? ")).unwrap_or_default();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            problems.push(format!(
                "events.{name}.listeners.{own}: there is no such listener; {hint}this event has {known}"
            ));
        }
        let scheduled = |rule: &Rule| rule.mode == Some(EventMode::Scheduled);
        let any = scheduled(&rule.rule) || rule.listeners.values().any(scheduled);
        let of_listeners = rule.listeners.iter().map(|(own, it)| (format!(".listeners.{own}"), it));
        for (path, it) in of_listeners.chain([(String::new(), &rule.rule)]) {
            let own = it.mode.or(rule.rule.mode) == Some(EventMode::Scheduled);
            if it.frequency.is_some() && !own && !(path.is_empty() && any) {
                problems.push(format!(
                    "events.{name}{path}.frequency: has no effect without mode = \"scheduled\""
                ));
            }
        }
    }
    problems
}
