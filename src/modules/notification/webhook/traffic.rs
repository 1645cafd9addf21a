//! How fast messages go to each endpoint, and how many came back: in memory, since after a restart a fresh second and
//! a fresh minute are as good.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::model::WebhookEndpointId;
use crate::kernel::clock::Time;

/// The outcomes a breaker looks at: of this long, at least so many, so many percent of them bad.
const WINDOW: Duration = Duration::from_secs(60);
const SAMPLES: usize = 10;
const BAD_PERCENT: usize = 70;
/// Outcomes kept of one endpoint.
const MOST_SAMPLES: usize = 200;
const SECOND_MICROS: i64 = 1_000_000;

#[derive(Default)]
pub struct Traffic(Mutex<HashMap<WebhookEndpointId, Lane>>);

#[derive(Default)]
struct Lane {
    rate: Rate,
    outcomes: VecDeque<(Time, bool)>,
}

impl Traffic {
    /// How long a message has to wait for its turn; `None`: it goes now, and is counted. `has_waited` when it was
    /// told to before.
    pub fn wait(
        &self,
        endpoint: WebhookEndpointId,
        per_s: u32,
        has_waited: bool,
        now: Time,
    ) -> Option<Duration> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.entry(endpoint).or_default().rate.take(per_s, has_waited, now)
    }

    /// Notes an outcome. Whether the endpoint should be left alone for a while.
    pub fn note(&self, endpoint: WebhookEndpointId, is_ok: bool, now: Time) -> bool {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = &mut lanes.entry(endpoint).or_default().outcomes;
        outcomes.push_back((now, is_ok));
        while outcomes.len() > MOST_SAMPLES || outcomes.front().is_some_and(|it| now.since(it.0) > WINDOW) {
            outcomes.pop_front();
        }
        let bad = outcomes.iter().filter(|it| !it.1).count();
        let trips = !is_ok && outcomes.len() >= SAMPLES && bad * 100 >= outcomes.len() * BAD_PERCENT;
        if trips {
            outcomes.clear();
        }
        trips
    }

    pub fn forget(&self, endpoint: WebhookEndpointId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&endpoint);
    }
}

/// A rate in messages a second, a second's worth at once. Whoever has to wait is given an instant of its own, so that
/// a thousand that wait are looked at once each.
#[derive(Default)]
struct Rate {
    /// When all that went would have gone, evenly spread.
    spent_until: i64,
    /// The last instant given to somebody who waits.
    promised: i64,
}

impl Rate {
    fn take(&mut self, per_s: u32, has_waited: bool, now: Time) -> Option<Duration> {
        let now = now.micros();
        let each = SECOND_MICROS / i64::from(per_s.max(1));
        let spent_until = self.spent_until.max(now);
        let free_at = spent_until - (SECOND_MICROS - each);
        // Nobody overtakes those who wait.
        let others_wait = self.promised > now && !has_waited;
        if free_at <= now && !others_wait {
            self.spent_until = spent_until + each;
            return None;
        }
        self.promised = if self.promised > now { self.promised + each } else { free_at.max(now + 1) };
        Some(Duration::from_micros((self.promised - now).unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::id::Id as _;

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_rest_evenly() {
        let mut rate = Rate::default();
        let at = |millis: i64| Time::from_micros(1_000_000_000 + millis * 1000);
        let mut waits: Vec<_> = (0..6).map(|_| rate.take(2, false, at(0))).collect();
        let millis = |it: u64| Some(Duration::from_millis(it));
        assert_eq!(waits, [None, None, millis(500), millis(1000), millis(1500), millis(2000)]);
        assert_eq!(rate.take(2, false, at(500)), millis(2000), "behind those who wait");
        waits = [500, 1000, 1500, 2000, 2500].map(|it| rate.take(2, true, at(it))).to_vec();
        assert_eq!(waits, [None; 5], "each at its own instant");
        assert_eq!(rate.take(2, false, at(10_000)), None);
    }

    #[test]
    fn ten_outcomes_of_a_minute_trip_when_seven_are_bad() {
        let endpoint = WebhookEndpointId::from_bytes([1; 16]);
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        // seconds between outcomes, outcomes → the place of the one that trips
        for (apart, outcomes, trips) in [
            (1, "xxxxxxxxxx", Some(10)),
            (1, "oooxxxxxxx", Some(10)),
            (1, "ooooxxxxxx", None),
            (1, "ooooxxxxxxxxxx", Some(14)),
            (1, "xxxxxxxxx", None),
            (7, "xxxxxxxxxxxx", None),
        ] {
            let traffic = Traffic::default();
            let tripped = outcomes
                .chars()
                .enumerate()
                .find(|(place, outcome)| traffic.note(endpoint, *outcome == 'o', at(*place as i64 * apart)));
            assert_eq!(tripped.map(|it| it.0 + 1), trips, "{outcomes}");
        }
    }
}
