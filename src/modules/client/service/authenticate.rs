//! From the text of a key to who is asking.

use std::net::IpAddr;

use super::ClientService;
use crate::{
    kernel::{
        api::{
            principal::{Actor, Authenticator, ClientId, Principal},
            problem::ApiRefusal,
        },
        error::Result,
        secret::is_token,
        store::ReadTx,
    },
    modules::client::repository::{self, CLIENTS, key_by_hash},
};

/// What the text of a key begins with.
pub const KEY_PREFIXES: &[&str] = &["sk_live_", "sk_test_", "pk_live_", "pk_test_"];

impl Authenticator for ClientService {
    fn authenticate(&self, tx: &ReadTx, token: &str, ip: IpAddr) -> Result<Principal> {
        let found = if is_token(token) { key_by_hash(tx, self.secrets.hash(token))? } else { None };
        let (client, key) = found.ok_or(ApiRefusal::Unauthenticated)?;
        if !key.admits(|hash| self.secrets.is(token, hash), ip, tx.now()) {
            return Err(ApiRefusal::Unauthenticated.into());
        }
        if !repository::get(tx, client)?.client.is_active {
            return Err(ApiRefusal::ClientInactive.into());
        }
        self.last_used.note((client, key.id), tx.now());
        let actor = Actor::Key(key.id);
        Ok(Principal { actor, client: Some(client), session: None, grants: key.grants() })
    }

    fn check_client(&self, tx: &ReadTx, client: ClientId) -> Result<()> {
        if tx.exists(&CLIENTS, &client)? { Ok(()) } else { Err(ApiRefusal::NotFound.into()) }
    }
}
