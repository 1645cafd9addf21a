//! When keys were last used: see `kernel/last_used.rs`.

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

impl ClientService {
    /// When a key was last used, as far as anybody knows.
    pub fn last_use(&self, tx: &ReadTx, client: ClientId, key: KeyId) -> Result<Option<Time>> {
        let written = tx.get(&KEYS_USED, &(client, key))?.map(|it| it.at);
        Ok(self.last_used.of(&(client, key)).max(written))
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
