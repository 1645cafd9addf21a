//! Who an operator token stands for.

use std::{net::IpAddr, sync::Arc};

use super::{
    repository::{OPERATOR_TOKENS, TOKENS_BY_HASH},
    service::Operators,
};
use crate::kernel::{
    api::{
        principal::{Actor, Authenticator, Grants, Principal, SessionId},
        problem::ApiRefusal,
    },
    error::Result,
    id::Id as _,
    secret::is_token,
    store::ReadTx,
};

/// Recognises `op_…`.
pub struct OperatorAuthenticator {
    pub operators: Arc<Operators>,
}

impl Authenticator for OperatorAuthenticator {
    fn authenticate(&self, tx: &ReadTx, token: &str, _ip: IpAddr) -> Result<Principal> {
        if !is_token(token) {
            return Err(ApiRefusal::Unauthenticated.into());
        }
        let found = tx.find(&OPERATOR_TOKENS, TOKENS_BY_HASH, &self.operators.secrets.hash(token))?;
        let good = found.filter(|(_, row)| row.is_good(tx.now()));
        let (id, row) = good.ok_or(ApiRefusal::Unauthenticated)?;
        Ok(Principal {
            actor: Actor::Operator(row.operator),
            client: None,
            // The token itself, so that signing out knows what to end.
            session: Some(SessionId::from_bytes(id.bytes())),
            grants: Grants::All,
        })
    }
}
