//! When a delivery that failed is tried again.

use std::time::Duration;

use crate::kernel::store::codec::{Decode, Encode};

/// How often, and how long between.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RetryPolicy {
    /// Attempts in all; above zero.
    pub tries: u32,
    /// Seconds to wait after the first, second, … failure; the last one repeats. Empty: none.
    pub backoff_s: Vec<u64>,
    /// Up to this share is added to each wait, never taken off. Zero is exact: only webhooks are not.
    pub jitter_percent: u8,
}

impl RetryPolicy {
    pub fn exact(tries: u32, backoff_s: &[u64]) -> RetryPolicy {
        RetryPolicy { tries, backoff_s: backoff_s.to_vec(), jitter_percent: 0 }
    }

    /// How long to wait after the `failures`-th failure; `None` when there is no further try. `random` decides over
    /// the jitter.
    pub fn delay(&self, failures: u32, tries_granted: u32, random: u8) -> Option<Duration> {
        if failures >= self.tries.max(tries_granted) {
            return None;
        }
        let place = (failures as usize).saturating_sub(1).min(self.backoff_s.len().saturating_sub(1));
        let exact = Duration::from_secs(self.backoff_s.get(place).copied().unwrap_or(0));
        let most = exact.saturating_mul(u32::from(self.jitter_percent)) / 100;
        Some(exact + most.saturating_mul(u32::from(random)) / u32::from(u8::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instants of all attempts of something that always fails.
    fn attempts(policy: &RetryPolicy, random: u8) -> Vec<u64> {
        let mut instants = vec![0];
        while let Some(delay) = policy.delay(instants.len() as u32, 0, random) {
            instants.push(instants.last().unwrap() + delay.as_secs());
        }
        instants
    }

    #[test]
    fn attempts_happen_exactly_when_the_policy_says() {
        for (tries, backoff, instants) in [
            (5, &[30, 60, 120][..], &[0, 30, 90, 210, 330][..]),
            (3, &[30, 60, 120], &[0, 30, 90]),
            (1, &[30], &[0]),
            (3, &[], &[0, 0, 0]),
            (
                10,
                &[5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400],
                &[0, 5, 305, 2105, 9305, 27_305, 63_305, 113_705, 185_705, 272_105],
            ),
        ] {
            assert_eq!(attempts(&RetryPolicy::exact(tries, backoff), 255), instants, "{tries} {backoff:?}");
        }
    }

    #[test]
    fn jitter_only_adds_and_at_most_its_share() {
        let policy = RetryPolicy { jitter_percent: 10, ..RetryPolicy::exact(3, &[100]) };
        for random in 0..=255 {
            let delay = policy.delay(1, 0, random).unwrap();
            assert!((Duration::from_secs(100)..=Duration::from_secs(110)).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn somebody_may_grant_another_try() {
        let policy = RetryPolicy::exact(2, &[30]);
        assert_eq!(policy.delay(2, 0, 0), None);
        assert_eq!(policy.delay(2, 3, 0), Some(Duration::from_secs(30)));
    }
}
