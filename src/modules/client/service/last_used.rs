//! When keys were last used: in memory first, in the store at most a minute later.
//!
//! A use is noted while a request is read, where nothing can be written. The job `client.keys_used` comes due a
//! minute after the first use that is not written yet, and writes them together; without uses it is never due. What a
//! crash takes is at most a minute of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::ClientService;
use crate::{
    kernel::{
        api::principal::{ClientId, KeyId},
        clock::Time,
        error::Result,
        store::{ReadTx, WriteTx},
    },
    modules::client::{model::key::LastUse, repository::KEYS_USED},
};

const EVERY: Duration = Duration::from_secs(60);
/// How many keys one transaction writes.
const BATCH: usize = 1000;

#[derive(Clone, Default)]
pub struct LastUsed(Arc<Mutex<Pending>>);

#[derive(Default)]
struct Pending {
    /// When the first of `uses` was noted.
    since: Option<Time>,
    uses: BTreeMap<(ClientId, KeyId), Time>,
}

impl LastUsed {
    pub fn note(&self, client: ClientId, key: KeyId, at: Time) {
        let mut pending = self.pending();
        pending.since.get_or_insert(at);
        pending.uses.insert((client, key), at);
    }

    /// When the uses are to be written; `None` when there are none.
    pub fn due(&self) -> Option<Time> {
        self.pending().since.map(|it| it.after(EVERY))
    }

    fn of(&self, client: ClientId, key: KeyId) -> Option<Time> {
        self.pending().uses.get(&(client, key)).copied()
    }

    fn some(&self) -> Vec<((ClientId, KeyId), Time)> {
        self.pending().uses.iter().take(BATCH).map(|(key, at)| (*key, *at)).collect()
    }

    /// Forgets what is written, unless the key was used again meanwhile.
    fn forget(&self, written: &[((ClientId, KeyId), Time)]) {
        let mut pending = self.pending();
        for (key, at) in written {
            if pending.uses.get(key) == Some(at) {
                pending.uses.remove(key);
            }
        }
        pending.since = pending.uses.values().min().copied();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientService {
    /// When a key was last used, as far as anybody knows.
    pub fn last_use(&self, tx: &ReadTx, client: ClientId, key: KeyId) -> Result<Option<Time>> {
        let written = tx.get(&KEYS_USED, &(client, key))?.map(|it| it.at);
        Ok(self.last_used.of(client, key).max(written))
    }

    /// Writes what was noted; what fails to commit is tried again.
    pub fn write_last_used(&self, tx: &mut WriteTx) -> Result<()> {
        let uses = self.last_used.some();
        for (key, at) in &uses {
            tx.put(&KEYS_USED, key, &LastUse { at: *at })?;
        }
        let last_used = self.last_used.clone();
        tx.on_commit(Box::new(move || last_used.forget(&uses)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::id::Id as _;

    #[test]
    fn a_use_is_written_a_minute_after_the_first_and_not_forgotten_when_newer() {
        let at = |seconds: i64| Time::from_micros(seconds * 1_000_000);
        let (client, used) = (ClientId::from_bytes([1; 16]), LastUsed::default());
        let (first, second) = (KeyId::from_bytes([1; 16]), KeyId::from_bytes([2; 16]));
        assert_eq!(used.due(), None);
        used.note(client, first, at(10));
        used.note(client, second, at(20));
        used.note(client, first, at(30));
        assert_eq!((used.due(), used.of(client, first)), (Some(at(70)), Some(at(30))));
        let written = used.some();
        used.note(client, second, at(75));
        used.forget(&written);
        assert_eq!((used.of(client, first), used.of(client, second)), (None, Some(at(75))));
        assert_eq!(used.due(), Some(at(135)));
    }
}
