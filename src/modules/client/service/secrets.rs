//! What a client stores and never reads back.

use super::ClientService;
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            object::{Timed as _, Times},
            principal::ClientId,
        },
        error::Result,
        store::WriteTx,
    },
    modules::client::{
        model::{SecretName, SecretRow},
        repository::SECRETS,
        routes::secrets::{SecretDeletedOut, SecretIn, SecretOut},
    },
};

impl ClientService {
    /// Stores a secret, in place of what had the name.
    pub fn set_secret(&self, tx: &mut WriteTx, call: &Call<SecretName, SecretIn>) -> Result<SecretOut> {
        let (client, SecretName(name)) = (call.caller.client()?, &call.path);
        let key = (client, name.clone());
        let before = tx.get(&SECRETS, &key)?;

        let nonce = tx.random_bytes();
        let row = SecretRow {
            sealed: self.secrets.seal(&place(client, name), call.input.value.bytes(), nonce)?,
            set_by: call.caller.actor(),
            times: before.map_or(Times::at(tx.now()), |mut it| {
                it.touch(tx.now());
                it.times
            }),
        };
        tx.put(&SECRETS, &key, &row)?;
        Ok(SecretOut::of(name, row))
    }

    pub fn delete_secret(&self, tx: &mut WriteTx, call: &Call<SecretName>) -> Result<SecretDeletedOut> {
        let key = (call.caller.client()?, call.path.0.clone());
        let row = found(tx.get(&SECRETS, &key)?)?;
        call.caller.check_version(row.times.version)?;

        tx.delete(&SECRETS, &key)?;
        Ok(SecretDeletedOut { object: "secret", name: key.1, deleted: true })
    }
}

/// What a secret is bound to: copied to another client or name, it does not open.
pub(super) fn place(client: ClientId, name: &str) -> String {
    format!("client.secrets/{client}/{name}")
}
