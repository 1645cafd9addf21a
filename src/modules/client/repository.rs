//! The tables of Client.

use super::{
    contract::Client,
    model::{
        ClientRow, SecretRow,
        key::{ApiKey, LastUse},
    },
};
use crate::kernel::{
    api::principal::{ClientId, KeyId},
    error::{Result, fault},
    store::{Index, Key as _, ReadTx, Scan, Table},
};

/// client → the client.
pub const CLIENTS: Table<ClientId, ClientRow> = Table::new("client.clients").with_indexes(&[
    Index::lookup("client.by_slug", |_, row| vec![row.client.slug.to_key()]),
    Index::lookup("client.by_external_id", |_, row| row.external_id.iter().map(|it| it.to_key()).collect()),
]);

/// (client, key) → the key. Found by the hash of its text, and of the text it had before.
pub const KEYS: Table<(ClientId, KeyId), ApiKey> = Table::new("client.keys").with_indexes(&[
    Index::lookup("client.keys_by_hash", |_, row| {
        let previous = row.previous.iter().map(|it| it.hash);
        std::iter::once(row.hash).chain(previous).map(|it| it.to_key()).collect()
    }),
    Index::lookup("client.keys_by_external_id", |(client, _), row| {
        row.external_id.iter().map(|it| (*client, it.clone()).to_key()).collect()
    }),
]);

/// (client, key) → when it was last used, at most a minute behind. Apart from the key, so that using one does not
/// change its version.
pub const KEYS_USED: Table<(ClientId, KeyId), LastUse> = Table::new("client.keys_used");

/// (client, name) → the sealed secret.
pub const SECRETS: Table<(ClientId, String), SecretRow> = Table::new("client.secrets");

pub fn get(tx: &ReadTx, client: ClientId) -> Result<ClientRow> {
    tx.get(&CLIENTS, &client)?.ok_or_else(|| fault!("there is no client {client}"))
}

pub fn all(tx: &ReadTx) -> Result<Vec<Client>> {
    tx.scan(&CLIENTS, Scan::all()).map(|row| row.map(|it| it.1.client)).collect()
}

pub fn by_slug(tx: &ReadTx, slug: &str) -> Result<Option<ClientRow>> {
    Ok(tx.find(&CLIENTS, "client.by_slug", &slug.to_owned())?.map(|it| it.1))
}

pub fn by_external_id(tx: &ReadTx, external_id: &str) -> Result<Option<ClientRow>> {
    Ok(tx.find(&CLIENTS, "client.by_external_id", &external_id.to_owned())?.map(|it| it.1))
}

pub fn key_by_hash(tx: &ReadTx, hash: [u8; 32]) -> Result<Option<(ClientId, ApiKey)>> {
    Ok(tx.find(&KEYS, "client.keys_by_hash", &hash)?.map(|((client, _), row)| (client, row)))
}

pub fn key_by_external_id(tx: &ReadTx, client: ClientId, external_id: &str) -> Result<Option<ApiKey>> {
    let key = (client, external_id.to_owned());
    Ok(tx.find(&KEYS, "client.keys_by_external_id", &key)?.map(|it| it.1))
}
