//! Who a session token stands for, as things are now.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

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
        boot::Catalogue,
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
    pub catalogue: Catalogue,
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
        let mut permissions = self.roles.permissions(tx, client, &user.roles)?;
        match user.status {
            UserStatus::Active => {}
            UserStatus::Frozen => permissions = Arc::new(of_frozen(&permissions, &self.catalogue.get())),
            UserStatus::Disabled => return Err(unknown().into()),
        }
        self.sessions.last_used.note((client, user.id, session), tx.now());
        Ok(Principal {
            actor: Actor::User(user.id),
            client: Some(client),
            session: Some(session),
            grants: Grants::Permissions(permissions),
        })
    }
}

/// A frozen user keeps what only looks and what concerns itself (there the modules decide what a frozen user may);
/// the powers of staff rest.
fn of_frozen(permissions: &BTreeSet<String>, catalogue: &BTreeSet<String>) -> BTreeSet<String> {
    let only_looks = |it: &str| it.ends_with(".view") || it.ends_with(".view_any");
    let concerns_itself = |it: &str| catalogue.contains(&format!("{it}_any"));
    permissions.iter().filter(|it| only_looks(it) || concerns_itself(it)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_member_of_staff_looks_and_decides_nothing() {
        let set = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
        let catalogue = set(&[
            "withdrawals.view",
            "withdrawals.view_any",
            "withdrawals.create",
            "withdrawals.create_any",
            "withdrawals.approve",
            "users.freeze",
        ]);
        let left = set(&["withdrawals.create", "withdrawals.view", "withdrawals.view_any"]);
        assert_eq!(of_frozen(&catalogue, &catalogue), left);
    }
}
