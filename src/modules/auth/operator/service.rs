//! The use cases of operators and their tokens.

use std::{sync::Arc, time::Duration};

use super::repository::{
    BY_EMAIL, OPERATOR_TOKENS, OPERATORS, Operator, OperatorToken, SETUP_TOKENS, SetupToken,
    TOKENS_BY_OPERATOR,
};
use crate::{
    kernel::{
        api::{
            call::{Caller, found},
            principal::{Actor, OperatorId},
        },
        clock::Time,
        error::Result,
        secret::{Secrets, make_token},
        store::{ReadTx, Scan, WriteTx},
    },
    modules::auth::contract::{
        AuthRefusal, OperatorContract, OperatorOut, OperatorTokenId, OperatorTokenOut,
    },
};

const TOKEN: &str = "op_";
const SETUP: &str = "su_";

/// How long a sign-in lasts: a working day.
const SIGN_IN_LASTS: Duration = Duration::from_secs(12 * 3600);
const SETUP_LASTS: Duration = Duration::from_secs(30 * 60);

pub struct Operators {
    pub secrets: Arc<Secrets>,
}

impl Operators {
    pub fn by_email(&self, tx: &ReadTx, email: &str) -> Result<Option<(OperatorId, Operator)>> {
        tx.find(&OPERATORS, BY_EMAIL, &email.trim().to_lowercase())
    }

    /// Makes the operator, or gives it another password when it exists: a set-up link is the way back in, too.
    /// Refuses `setup_link_gone`.
    pub fn claim(
        &self,
        tx: &mut WriteTx,
        setup_token: &str,
        email: &str,
        password_hash: String,
    ) -> Result<OperatorOut> {
        self.check_setup_token(tx, setup_token)?;

        tx.delete(&SETUP_TOKENS, &self.secrets.hash(setup_token))?;
        match self.by_email(tx, email)? {
            None => self.create(tx, email, password_hash),
            Some(_) => self.reset_password(tx, email, password_hash),
        }
    }

    pub fn check_setup_token(&self, tx: &ReadTx, setup_token: &str) -> Result<()> {
        let row = tx.get(&SETUP_TOKENS, &self.secrets.hash(setup_token))?;
        let is_good = row.is_some_and(|it| it.expires_at > tx.now());
        if is_good { Ok(()) } else { Err(AuthRefusal::SetupLinkGone.into()) }
    }

    /// Signs an operator in: its token, and until when it is good.
    pub fn begin(&self, tx: &mut WriteTx, operator: OperatorId) -> Result<(String, Time)> {
        let expires_at = tx.now().after(SIGN_IN_LASTS);
        let (_, token) = self.issue(tx, operator, None, Some(expires_at))?;
        Ok((token, expires_at))
    }

    /// Ends a sign-in. Refuses `session_required` for a named token, which is revoked instead.
    pub fn end(&self, tx: &mut WriteTx, token: OperatorTokenId) -> Result<()> {
        let row = tx.get(&OPERATOR_TOKENS, &token)?.filter(|it| it.name.is_none());
        row.ok_or(AuthRefusal::SessionRequired)?;

        tx.delete(&OPERATOR_TOKENS, &token).map(drop)
    }

    pub fn token(&self, tx: &ReadTx, token: OperatorTokenId) -> Result<OperatorTokenOut> {
        let row = found(tx.get(&OPERATOR_TOKENS, &token)?.filter(|it| it.name.is_some()))?;
        Ok(token_out(tx, token, row))
    }

    fn issue(
        &self,
        tx: &mut WriteTx,
        operator: OperatorId,
        name: Option<String>,
        expires_at: Option<Time>,
    ) -> Result<(OperatorTokenId, String)> {
        let token = make_token(TOKEN, tx.random_bytes());
        let (id, created_at) = (tx.new_id(), tx.now());
        let hash = self.secrets.hash(&token);
        let row = OperatorToken { hash, operator, name, created_at, expires_at, revoked_at: None };
        tx.put(&OPERATOR_TOKENS, &id, &row)?;
        Ok((id, token))
    }

    /// Ends the sign-ins of an operator but one.
    pub fn end_sign_ins(
        &self,
        tx: &mut WriteTx,
        operator: OperatorId,
        except: Option<OperatorTokenId>,
    ) -> Result<()> {
        let tokens = tx.scan_index(&OPERATOR_TOKENS, TOKENS_BY_OPERATOR, Scan::prefix(&operator));
        let sign_ins = tokens.filter(|it| it.as_ref().map_or(true, |(_, row)| row.name.is_none()));
        let ids = sign_ins.map(|it| Ok(it?.0)).collect::<Result<Vec<_>>>()?;
        for id in ids.into_iter().filter(|it| Some(*it) != except) {
            tx.delete(&OPERATOR_TOKENS, &id)?;
        }
        Ok(())
    }
}

impl OperatorContract for Operators {
    fn create(&self, tx: &mut WriteTx, email: &str, password_hash: String) -> Result<OperatorOut> {
        if let Some((existing_id, _)) = self.by_email(tx, email)? {
            return Err(AuthRefusal::OperatorExists { existing_id }.into());
        }

        let (id, now) = (tx.new_id(), tx.now());
        let email = email.trim().to_lowercase();
        let row = Operator { email, password_hash, created_at: now, updated_at: now };
        tx.put(&OPERATORS, &id, &row)?;
        Ok(operator_out(id, row))
    }

    fn reset_password(&self, tx: &mut WriteTx, email: &str, password_hash: String) -> Result<OperatorOut> {
        let (id, before) = found(self.by_email(tx, email)?)?;

        let row = Operator { password_hash, updated_at: tx.now(), ..before };
        tx.put(&OPERATORS, &id, &row)?;
        self.end_sign_ins(tx, id, None)?;
        Ok(operator_out(id, row))
    }

    fn operators(&self, tx: &ReadTx) -> Result<Vec<OperatorOut>> {
        tx.scan(&OPERATORS, Scan::all()).map(|it| it.map(|(id, row)| operator_out(id, row))).collect()
    }

    fn setup_token(&self, tx: &mut WriteTx) -> Result<String> {
        let before = tx.scan(&SETUP_TOKENS, Scan::all()).map(|it| Ok(it?.0)).collect::<Result<Vec<_>>>()?;
        for hash in before {
            tx.delete(&SETUP_TOKENS, &hash)?;
        }
        let token = make_token(SETUP, tx.random_bytes());
        let row = SetupToken { expires_at: tx.now().after(SETUP_LASTS) };
        tx.put(&SETUP_TOKENS, &self.secrets.hash(&token), &row)?;
        Ok(token)
    }

    fn token_create(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        name: &str,
        expires_at: Option<Time>,
    ) -> Result<(OperatorTokenId, String)> {
        let operator = match caller.actor() {
            Actor::Operator(operator) => operator,
            Actor::System | Actor::Key(_) | Actor::User(_) => tx.new_id(),
        };
        self.issue(tx, operator, Some(name.to_owned()), expires_at)
    }

    fn token_revoke(&self, tx: &mut WriteTx, token: OperatorTokenId) -> Result<OperatorTokenOut> {
        let mut row = found(tx.get(&OPERATOR_TOKENS, &token)?.filter(|it| it.name.is_some()))?;
        if row.revoked_at.is_none() {
            row.revoked_at = Some(tx.now());
            tx.put(&OPERATOR_TOKENS, &token, &row)?;
        }
        Ok(token_out(tx, token, row))
    }

    fn tokens(&self, tx: &ReadTx) -> Result<Vec<OperatorTokenOut>> {
        let named = tx.scan(&OPERATOR_TOKENS, Scan::all());
        let named = named.filter(|it| it.as_ref().map_or(true, |(_, row)| row.name.is_some()));
        named.map(|it| it.map(|(id, row)| token_out(tx, id, row))).collect()
    }
}

pub fn operator_out(id: OperatorId, row: Operator) -> OperatorOut {
    let Operator { email, created_at, updated_at, .. } = row;
    OperatorOut { id, object: "operator", email, created_at, updated_at }
}

fn token_out(tx: &ReadTx, id: OperatorTokenId, row: OperatorToken) -> OperatorTokenOut {
    OperatorTokenOut {
        id,
        object: "operator_token",
        status: match row.revoked_at {
            Some(_) => "revoked",
            None if row.is_good(tx.now()) => "active",
            None => "expired",
        },
        name: row.name.unwrap_or_default(),
        operator_id: row.operator,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        created_at: row.created_at,
    }
}
