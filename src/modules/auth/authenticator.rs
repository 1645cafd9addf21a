//! Who a session token stands for, as things are now.

use std::{net::IpAddr, sync::Arc};

use super::{
    repository::{BY_ACCESS, SESSIONS},
    sessions::Sessions,
};
use crate::{
    kernel::{
        api::{
            principal::{Actor, Authenticator, Grants, Principal},
            problem::ApiRefusal,
        },
        error::Result,
        secret::is_token,
        store::ReadTx,
    },
    modules::{client::contract::ClientContract, role::contract::RoleContract, user::contract::UserStatus},
};

/// Recognises `st_…`. Client, state, roles and permissions are read at each request: what changes, changes the next
/// answer.
pub struct SessionAuthenticator {
    pub sessions: Arc<Sessions>,
    pub clients: Arc<dyn ClientContract>,
    pub roles: Arc<dyn RoleContract>,
}

impl Authenticator for SessionAuthenticator {
    fn authenticate(&self, tx: &ReadTx, token: &str, _ip: IpAddr) -> Result<Principal> {
        let unknown = || ApiRefusal::Unauthenticated;
        if !is_token(token) {
            return Err(unknown().into());
        }
        let found = tx.find(&SESSIONS, BY_ACCESS, &self.sessions.secrets.hash(token))?;
        let ((client, user, session), row) = found.ok_or_else(unknown)?;
        if row.access_expires_at <= tx.now() {
            return Err(unknown().into());
        }
        if !self.clients.get(tx, client)?.is_active {
            return Err(ApiRefusal::ClientInactive.into());
        }
        let user = self.sessions.users.find(tx, client, user)?.ok_or_else(unknown)?;
        // Its sessions have ended with its freeze; this holds even for one that was missed.
        if user.status != UserStatus::Active {
            return Err(unknown().into());
        }
        let permissions = self.roles.permissions(tx, client, &user.roles)?;
        self.sessions.last_used.note((client, user.id, session), tx.now());
        Ok(Principal {
            actor: Actor::User(user.id),
            client: Some(client),
            session: Some(session),
            grants: Grants::Permissions(permissions),
        })
    }
}
