//! The only place that reads a clock.
//!
//! Business code never asks for the time: `tx.now()` is one instant per transaction, so that whatever one
//! transaction writes agrees, and a test can say what time it is.
//!
//! The machine's clock is *steady*: it counts on by the monotonic clock, whatever happens to the one on the wall.
//!
//! | the wall clock | this clock |
//! |---|---|
//! | is set forward, or the machine slept | goes there at once: what came due meanwhile is due |
//! | is set back | counts on, 0.05 % slower until the other has caught up: nothing waits for an hour to pass twice |

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::store::codec::{Decode, Encode};

/// An instant in UTC: microseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 with six decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Time(i64);

impl Time {
    pub const ZERO: Time = Time(0);
    /// Later than anything: the end of a range.
    pub const MAX: Time = Time(i64::MAX);

    pub const fn from_micros(micros: i64) -> Time {
        Time(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// `self` + `duration`, or the last instant there is.
    pub fn after(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `self` − `duration`, or the first instant there is.
    pub fn before(self, duration: Duration) -> Time {
        Time(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long `self` is after `earlier`; zero when it is not.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339. `None` when it is no instant.
    pub fn parse(text: &str) -> Option<Time> {
        text.parse::<Timestamp>().ok().map(|at| Time(at.as_microsecond()))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, Object, SchemaFormat, Type};
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        Object::builder().schema_type(Type::String).format(Some(format)).into()
    }
}
impl utoipa::ToSchema for Time {}

/// Where the time comes from: the machine, or a test.
#[derive(Clone)]
pub enum Clock {
    System,
    /// Stands still until advanced.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(at: Time) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(at.0)))
    }

    pub fn now(&self) -> Time {
        match self {
            Clock::System => machine_now(),
            Clock::Manual(at) => Time(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock; false on the machine's own.
    pub fn advance(&self, by: Duration) -> bool {
        match self {
            Clock::System => false,
            Clock::Manual(at) => {
                at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
                true
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn machine_now() -> Time {
    static STEADY: Mutex<Option<(Instant, Steady)>> = Mutex::new(None);
    let mut steady = STEADY.lock().unwrap_or_else(PoisonError::into_inner);
    let wall = Time(Timestamp::now().as_microsecond());
    let (began, steady) = steady.get_or_insert_with(|| (Instant::now(), Steady::at(wall)));
    steady.read(began.elapsed(), wall)
}

/// A clock that follows the one on the wall and never jumps back.
pub(super) struct Steady {
    /// What it showed last, and when, by the monotonic clock.
    shown: Time,
    at: Duration,
}

impl Steady {
    /// How far the wall clock may be ahead before it is followed at once: it was set, or the machine slept.
    const AHEAD: Duration = Duration::from_secs(1);
    /// How many microseconds it goes slower in a second, while the wall clock is behind.
    const SLOWER: u128 = 500;

    pub fn at(wall: Time) -> Steady {
        Steady { shown: wall, at: Duration::ZERO }
    }

    /// The time, when the monotonic clock and the one on the wall show this.
    pub fn read(&mut self, monotonic: Duration, wall: Time) -> Time {
        let passed = monotonic.saturating_sub(self.at);
        let counted = self.shown.after(passed);
        let behind = counted.since(wall);
        let slower =
            Duration::from_micros(u64::try_from(passed.as_micros() * Self::SLOWER / 1_000_000).unwrap_or(0));
        if wall.since(counted) > Self::AHEAD {
            self.shown = wall;
        } else if slower > Duration::ZERO || behind == Duration::ZERO {
            self.shown = counted.before(slower.min(behind));
        } else {
            return counted; // Too short to be slower in it: it is reckoned from the same instant the next time.
        }
        self.at = monotonic;
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_moves_time_forward_only() {
        let second = Duration::from_secs(1);
        let start = Time::from_micros(1_000_000_000_000);
        let mut steady = Steady::at(start);
        let mut last = start;
        let mut check = |monotonic: u64, wall: i64, shown: i64| {
            let now = steady.read(
                second * u32::try_from(monotonic).unwrap(),
                Time::from_micros(start.micros() + wall * 1_000_000),
            );
            assert!(now >= last, "never back");
            last = now;
            assert_eq!(
                now.micros() - start.micros(),
                shown,
                "after {monotonic} s, the wall clock at {wall} s"
            );
        };
        check(10, 10, 10_000_000);
        check(20, 3620, 3_620_000_000); // Set forward by an hour.
        check(30, 30, 3_629_995_000); // And back: ten seconds take half a hundredth less.
        check(1030, 1030, 4_629_495_000);
        check(1031, 4640, 4_640_000_000); // The wall clock is ahead again.
        check(1041, 4650, 4_650_000_000);
    }

    #[test]
    fn being_asked_often_changes_nothing() {
        let start = Time::from_micros(1_000_000_000_000);
        let mut steady = Steady::at(start);
        for micros in 0..200_000 {
            steady.read(Duration::from_micros(micros), Time::ZERO);
        }
        let shown = steady.read(Duration::from_micros(200_000), Time::ZERO).micros() - start.micros();
        assert!((199_899..=199_901).contains(&shown), "{shown}");
    }

    #[test]
    fn a_time_reads_back_what_it_shows() {
        let at = Time::parse("2026-11-22T10:44:00.000001Z").unwrap();
        assert_eq!(at.to_string(), "2026-11-22T10:44:00.000001Z");
        assert_eq!(Time::parse("2026-11-22T11:44:00.000001+01:00"), Some(at));
        assert_eq!(Time::parse("yesterday"), None);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = Clock::manual(Time::from_micros(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Time::from_micros(1_000_005));
    }
}
