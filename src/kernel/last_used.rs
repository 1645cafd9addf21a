//! When credentials were last used: in memory first, in the store at most a minute later.
//!
//! A use is noted while a request is read, where nothing can be written. The job of whoever owns the credentials comes
//! due a minute after the first use that is not written yet, and writes them together; without uses it is never due.
//! What a crash takes is at most a minute of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::clock::Time;

const EVERY: Duration = Duration::from_secs(60);
/// How many of them one transaction writes.
const BATCH: usize = 1000;

#[derive(Clone)]
pub struct LastUsed<K>(Arc<Mutex<Pending<K>>>);

struct Pending<K> {
    /// When the first of `uses` was noted.
    since: Option<Time>,
    uses: BTreeMap<K, Time>,
}

impl<K> Default for LastUsed<K> {
    fn default() -> LastUsed<K> {
        LastUsed(Arc::new(Mutex::new(Pending { since: None, uses: BTreeMap::new() })))
    }
}

impl<K: Ord + Copy> LastUsed<K> {
    pub fn note(&self, key: K, at: Time) {
        let mut pending = self.pending();
        pending.since.get_or_insert(at);
        pending.uses.insert(key, at);
    }

    /// When the uses are to be written; `None` when there are none.
    pub fn due(&self) -> Option<Time> {
        self.pending().since.map(|it| it.after(EVERY))
    }

    /// The last use that is not written yet.
    pub fn of(&self, key: &K) -> Option<Time> {
        self.pending().uses.get(key).copied()
    }

    /// Those to be written next.
    pub fn some(&self) -> Vec<(K, Time)> {
        self.pending().uses.iter().take(BATCH).map(|(key, at)| (*key, *at)).collect()
    }

    /// Forgets what is written, unless it was used again meanwhile.
    pub fn forget(&self, written: &[(K, Time)]) {
        let mut pending = self.pending();
        for (key, at) in written {
            if pending.uses.get(key) == Some(at) {
                pending.uses.remove(key);
            }
        }
        pending.since = pending.uses.values().min().copied();
    }

    fn pending(&self) -> MutexGuard<'_, Pending<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_a_minute_after_the_first_and_not_forgotten_when_newer() {
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        let used = LastUsed::default();
        let (first, second) = (1, 2);
        assert_eq!(used.due(), None);
        used.note(first, at(10));
        used.note(second, at(20));
        used.note(first, at(30));
        assert_eq!((used.due(), used.of(&first)), (Some(at(70)), Some(at(30))));
        let written = used.some();
        used.note(second, at(75));
        used.forget(&written);
        assert_eq!((used.of(&first), used.of(&second)), (None, Some(at(75))));
        assert_eq!(used.due(), Some(at(135)));
    }
}
