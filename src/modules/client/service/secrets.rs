//! What a client stores and never reads back.

use super::ClientService;
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            principal::ClientId,
        },
        error::Result,
        store::WriteTx,
    },
    modules::client::{
        model::{SecretName, SecretRow},
        repository::SECRETS,
        routes::secrets::SecretIn,
    },
};

impl ClientService {
    /// Stores a secret, in place of what had the name.
    pub fn set_secret(&self, tx: &mut WriteTx, call: &Call<SecretName, SecretIn>) -> Result<SecretRow> {
        let (client, SecretName(name)) = (call.caller.client()?, &call.path);
        let key = (client, name.clone());
        let before = tx.get(&SECRETS, &key)?;

        let nonce = tx.random_bytes();
        let row = SecretRow {
            sealed: self.secrets.seal(&place(client, name), call.input.value.bytes(), nonce)?,
            set_by: call.caller.actor(),
            created_at: before.as_ref().map_or(tx.now(), |it| it.created_at),
            updated_at: tx.now(),
            version: before.map_or(1, |it| it.version + 1),
        };
        tx.put(&SECRETS, &key, &row)?;
        Ok(row)
    }

    pub fn delete_secret(&self, tx: &mut WriteTx, call: &Call<SecretName>) -> Result<()> {
        let key = (call.caller.client()?, call.path.0.clone());
        let row = found(tx.get(&SECRETS, &key)?)?;
        call.caller.check_version(row.version)?;

        tx.delete(&SECRETS, &key)?;
        Ok(())
    }
}

/// What a secret is bound to: copied to another client or name, it does not open.
pub(super) fn place(client: ClientId, name: &str) -> String {
    format!("client.secrets/{client}/{name}")
}
