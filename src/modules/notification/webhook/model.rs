//! What an endpoint is: which events it wants, how well it is, whether messages may go.

use std::time::Duration;

use crate::kernel::{
    api::{
        input::text_enum,
        object::{Stamp, stamped},
    },
    clock::Time,
    events::{delivery::DeliveryId, event::EventId},
    id::id,
    store::codec::{Decode, Encode, row},
};

id!(/** A server of a client that is told what happens. */ WebhookEndpointId, "whk");

/// Failures in a row that disable an endpoint, when they go on for [`FAILING_FOR`] or longer.
const MOST_FAILURES: u32 = 100;
const FAILING_FOR: Duration = Duration::from_secs(24 * 3600);
/// Percent of [`MOST_FAILURES`] at which somebody is warned.
const WARNINGS: [u32; 3] = [50, 70, 90];
/// How long an endpoint is left alone the first time, and at most.
pub const PAUSE_S: u64 = 30;
const LONGEST_PAUSE_S: u64 = 600;

/// A server of a client that is told what happens.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Endpoint {
    pub id: WebhookEndpointId,
    /// Vetted and normalised.
    pub url: String,
    /// `withdrawal.completed`, `withdrawal.*` or `*`.
    pub event_types: Vec<String>,
    pub description: Option<String>,
    /// Messages a second; `None`: as many as it takes.
    pub rate_per_s: Option<u32>,
    /// Why it gets no messages.
    pub disabled: Option<DisabledBecause>,
    /// The newest first; what has run out is dropped at the next rotation. Invariant: the first one never runs out.
    pub secrets: Vec<EndpointSecret>,
    pub health: Health,
    pub gate: Gate,
    /// What waited is let go, in the order it came: the last delivery that was.
    pub releasing: Option<DeliveryId>,
    pub replay: Option<Replay>,
    /// Of what people configure: health does not count.
    pub stamp: Stamp,
}
row!(Endpoint);
stamped!(Endpoint);

text_enum! {
    /// Whether an endpoint gets messages.
    pub enum EndpointStatus { Active = "active", Disabled = "disabled" }
}

text_enum! {
    /// Why an endpoint gets no messages.
    pub enum DisabledBecause {
        /// Somebody said so.
        Asked = "asked",
        /// It failed 100 times in a row, over a day or longer.
        Failing = "failing",
        /// It answered 410 Gone.
        Gone = "gone",
    }
}

/// A secret that signs.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct EndpointSecret {
    pub sealed: Vec<u8>,
    pub created_at: Time,
    /// Signs until then; `None`: until it is rotated.
    pub valid_until: Option<Time>,
}

impl EndpointSecret {
    pub fn is_live(&self, now: Time) -> bool {
        self.valid_until.is_none_or(|it| now < it)
    }
}

/// How well an endpoint is.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Health {
    /// Failures since the last success.
    pub failures: u32,
    /// When the first of them was. Invariant: set exactly when there are failures.
    pub failing_since: Option<Time>,
    pub last_error: Option<String>,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// At this percentage of the failures that disable.
    Warn(u32),
    Disable,
}

impl Health {
    pub fn failed(&mut self, error: &str, now: Time) -> Option<Alarm> {
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        self.last_error = Some(error.to_owned());
        if self.failures >= MOST_FAILURES && now.since(since) >= FAILING_FOR {
            return Some(Alarm::Disable);
        }
        let reached = WARNINGS.into_iter().find(|percent| self.failures * 100 == percent * MOST_FAILURES);
        reached.map(Alarm::Warn)
    }
}

/// Whether messages go: the breaker of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub enum Gate {
    Open,
    /// None until then.
    Shut {
        until: Time,
        pause_s: u64,
    },
    /// One, whose outcome decides; `None` until there is one.
    Probing {
        probe: Option<DeliveryId>,
        pause_s: u64,
    },
}

impl Gate {
    /// Shut for the first time.
    pub fn shut(now: Time) -> Gate {
        Gate::Shut { until: now.after(Duration::from_secs(PAUSE_S)), pause_s: PAUSE_S }
    }

    /// What an attempt that failed makes of it: a probe that failed shuts it again, for twice as long.
    pub fn failed(self, delivery: DeliveryId, now: Time) -> Gate {
        match self {
            Gate::Probing { probe, pause_s } if probe == Some(delivery) => {
                let pause_s = (pause_s * 2).min(LONGEST_PAUSE_S);
                Gate::Shut { until: now.after(Duration::from_secs(pause_s)), pause_s }
            }
            gate => gate,
        }
    }

    pub fn is_probe(self, delivery: DeliveryId) -> bool {
        matches!(self, Gate::Probing { probe: Some(probe), .. } if probe == delivery)
    }
}

/// Events of a span of time, sent again.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Replay {
    pub from: Time,
    pub to: Time,
    /// Only these; otherwise what the endpoint wants anyway.
    pub types: Option<Vec<String>>,
    /// The last event looked at.
    pub cursor: Option<EventId>,
    /// Messages so far.
    pub messages: u64,
}

impl Endpoint {
    pub fn status(&self) -> EndpointStatus {
        if self.disabled.is_none() { EndpointStatus::Active } else { EndpointStatus::Disabled }
    }

    /// Whether it wants events of this name.
    pub fn wants(&self, event: &str) -> bool {
        self.event_types.iter().any(|it| matches(it, event))
    }

    /// When there is something to do that no delivery brings about: a pause ends, what waited is let go, a replay.
    pub fn due(&self) -> Option<Time> {
        let pause = match self.gate {
            Gate::Shut { until, .. } if self.disabled.is_none() => Some(until),
            _ => None,
        };
        if self.releasing.is_some() || self.replay.is_some() { Some(Time::ZERO) } else { pause }
    }
}

/// Whether a filter takes an event.
pub fn matches(filter: &str, event: &str) -> bool {
    match filter.strip_suffix('*') {
        Some("") => true,
        Some(prefix) => prefix.ends_with('.') && event.starts_with(prefix),
        None => filter == event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id as _, store::codec::golden};

    fn at(seconds: i64) -> Time {
        Time::from_micros(1_795_342_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn a_filter_is_a_name_a_family_or_everything() {
        for (filter, event, takes) in [
            ("withdrawal.completed", "withdrawal.completed", true),
            ("withdrawal.completed", "withdrawal.completed2", false),
            ("withdrawal.*", "withdrawal.completed", true),
            ("withdrawal.*", "withdrawals.completed", false),
            ("withdrawal.*", "funding.completed", false),
            ("withdrawal*", "withdrawal.completed", false),
            ("*", "funding.completed", true),
            ("", "funding.completed", false),
        ] {
            assert_eq!(matches(filter, event), takes, "{filter} {event}");
        }
    }

    #[test]
    fn a_hundred_failures_disable_when_they_last_a_day() {
        let mut health = Health::default();
        let mut alarms = vec![];
        // One every 15 minutes: the hundredth is past a day.
        for place in 0..100 {
            alarms.extend(health.failed("500", at(place * 900)).map(|it| (place + 1, it)));
        }
        let warnings = [50, 70, 90].map(|it| (i64::from(it), Alarm::Warn(it)));
        assert_eq!(alarms, [&warnings[..], &[(100, Alarm::Disable)]].concat());

        let mut quick = Health::default();
        let alarms: Vec<_> = (0..150).filter_map(|place| quick.failed("500", at(place))).collect();
        assert_eq!(alarms, [Alarm::Warn(50), Alarm::Warn(70), Alarm::Warn(90)], "minutes are no day");
        assert_eq!(quick.failed("500", at(24 * 3600)), Some(Alarm::Disable));
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_ten_minutes() {
        let probe = DeliveryId::from_bytes([1; 16]);
        let mut gate = Gate::shut(at(0));
        let mut pauses = vec![];
        for _ in 0..7 {
            let Gate::Shut { pause_s, .. } = gate else { panic!("{gate:?}") };
            pauses.push(pause_s);
            let probing = Gate::Probing { probe: Some(probe), pause_s };
            assert_eq!(probing.failed(DeliveryId::from_bytes([2; 16]), at(0)), probing, "another's outcome");
            gate = probing.failed(probe, at(0));
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("notification.webhook_endpoints", &endpoint());
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            id: WebhookEndpointId::from_bytes([1; 16]),
            url: "https://hooks.example.com/coffer".into(),
            event_types: vec!["withdrawal.*".into()],
            description: Some("ERP".into()),
            rate_per_s: Some(10),
            disabled: Some(DisabledBecause::Failing),
            secrets: vec![EndpointSecret { sealed: vec![2; 3], created_at: at(0), valid_until: Some(at(1)) }],
            health: Health {
                failures: 1,
                failing_since: Some(at(2)),
                last_error: Some("answered 500".into()),
            },
            gate: Gate::Probing { probe: Some(DeliveryId::from_bytes([3; 16])), pause_s: 30 },
            releasing: Some(DeliveryId::from_bytes([4; 16])),
            replay: Some(Replay {
                from: at(0),
                to: at(1),
                types: Some(vec!["*".into()]),
                cursor: Some(EventId::from_bytes([5; 16])),
                messages: 6,
            }),
            stamp: Stamp {
                external_id: Some("erp".into()),
                updated_at: at(1),
                version: 2,
                ..Stamp::at(at(0))
            },
        }
    }
}
