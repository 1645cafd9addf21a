//! How often somebody may ask.
//!
//! One rule, the generic cell rate algorithm: each key has an instant at which its bucket is empty again; a request
//! moves it on by one interval and is refused when it would move more than the burst ahead of now. One number a key.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    principal::{ClientId, KeyId},
    problem::ApiRefusal,
};
use crate::{config::Limits as LimitsConfig, kernel::error::Result};

/// The limits of one server. Off where the configured rate is zero.
pub struct Limits {
    unauthenticated: Limit<IpAddr>,
    sign_in: Limit<[u8; 32]>,
    key: Limit<KeyId>,
    client: Limit<ClientId>,
}

impl Limits {
    pub fn new(config: &LimitsConfig) -> Limits {
        let second = Duration::from_secs(1);
        Limits {
            unauthenticated: Limit::new(config.unauthenticated_per_s, second),
            sign_in: Limit::new(config.sign_in_per_minute, Duration::from_secs(60)),
            key: Limit::new(config.per_key_per_s, second),
            client: Limit::new(config.per_client_per_s, second),
        }
    }

    /// One request without a valid credential, from this address. Refuses `rate_limited`, as all of these do.
    pub fn unauthenticated(&self, ip: IpAddr) -> Result<()> {
        self.unauthenticated.take(ip)
    }

    /// One try to sign in to an account, known or not.
    pub fn sign_in(&self, account: [u8; 32]) -> Result<()> {
        self.sign_in.take(account)
    }

    /// One request with this key; how much of its limit is left, when it has one.
    pub fn key(&self, key: KeyId) -> Result<Option<Left>> {
        self.key.take(key).map(|()| self.key.left("key", key))
    }

    /// One request of this client.
    pub fn client(&self, client: ClientId) -> Result<Option<Left>> {
        self.client.take(client).map(|()| self.client.left("client", client))
    }
}

/// How much of a limit is left, for the `RateLimit` and `RateLimit-Policy` headers
/// (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    pub name: &'static str,
    /// Requests a window.
    pub quota: u32,
    pub window_s: u64,
    pub remaining: u32,
}

impl Left {
    /// `"key";q=100;w=1`
    pub fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.quota, self.window_s)
    }

    /// `"key";r=42;t=1`
    pub fn state(&self) -> String {
        format!("\"{}\";r={};t={}", self.name, self.remaining, self.window_s)
    }
}

struct Limit<K> {
    /// `None` when off.
    interval: Option<Duration>,
    burst: Duration,
    empty_at: Mutex<HashMap<K, Instant>>,
}

/// Beyond this many keys, those whose bucket is empty are forgotten.
const MOST_KEYS: usize = 10_000;

impl<K: Hash + Eq + Copy> Limit<K> {
    fn new(times: u32, per: Duration) -> Limit<K> {
        Limit { interval: (times > 0).then(|| per / times), burst: per, empty_at: Mutex::default() }
    }

    fn left(&self, name: &'static str, key: K) -> Option<Left> {
        let interval = self.interval?;
        let empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead =
            empty_at.get(&key).map_or(Duration::ZERO, |it| it.saturating_duration_since(Instant::now()));
        let room = self.burst.saturating_sub(ahead);
        let count =
            |span: Duration| u32::try_from(span.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
        Some(Left { name, quota: count(self.burst), window_s: self.burst.as_secs(), remaining: count(room) })
    }

    fn take(&self, key: K) -> Result<()> {
        self.take_at(key, Instant::now())
    }

    fn take_at(&self, key: K, now: Instant) -> Result<()> {
        let Some(interval) = self.interval else {
            return Ok(());
        };
        let mut empty_at = self.empty_at.lock().unwrap_or_else(PoisonError::into_inner);
        if empty_at.len() > MOST_KEYS {
            empty_at.retain(|_, it| *it > now);
        }
        let next = empty_at.get(&key).copied().unwrap_or(now).max(now) + interval;
        let ahead = next.duration_since(now);
        if ahead > self.burst {
            let retry_after_s = (ahead - self.burst).as_secs() + 1;
            return Err(ApiRefusal::RateLimited { retry_after_s }.into());
        }
        empty_at.insert(key, next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let limit = Limit::new(5, Duration::from_secs(60));
        let start = Instant::now();
        let passed = |at: Instant| limit.take_at("a", at).is_ok();
        assert_eq!((0..8).filter(|_| passed(start)).count(), 5);
        assert!(!passed(start + Duration::from_secs(11)));
        assert!(passed(start + Duration::from_secs(12)));
        assert!(limit.take_at("b", start).is_ok(), "another key has a bucket of its own");
    }

    #[test]
    fn what_is_left_is_told_in_headers() {
        let limit = Limit::new(5, Duration::from_secs(60));
        limit.take("a").unwrap();
        let left = limit.left("key", "a").unwrap();
        assert_eq!((left.quota, left.window_s, left.remaining), (5, 60, 4));
        assert_eq!((left.policy().as_str(), left.state().as_str()), ("\"key\";q=5;w=60", "\"key\";r=4;t=60"));
    }

    #[test]
    fn a_rate_of_zero_is_off() {
        let limit = Limit::new(0, Duration::from_secs(1));
        assert!((0..1000).all(|_| limit.take(1).is_ok()));
    }
}
