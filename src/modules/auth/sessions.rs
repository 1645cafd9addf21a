//! Sessions: made by signing in, kept alive by refreshing, ended by signing out.
//!
//! ```text
//! sign-in → access st_ (minutes) + refresh rt_ (days)
//!              refresh: both are replaced; the old refresh token is remembered as spent
//!              a spent one again: somebody has a copy → the session ends, `auth.refresh_reused`
//! ```

use std::{sync::Arc, time::Duration};

use super::{
    contract::AuthRefusal,
    devices,
    events::RefreshReused,
    repository::{BY_REFRESH, SESSIONS, SPENT, Session, Spent, end_sessions},
    routes::TokensOut,
};
use crate::{
    config::Auth,
    kernel::{
        api::{
            call::{Caller, found},
            principal::{Actor, ClientId, SessionId, UserId},
            problem::ApiRefusal,
        },
        error::Result,
        last_used::LastUsed,
        secret::{Secrets, make_token},
        store::WriteTx,
    },
    modules::user::contract::{User, UserContract, UserStatus},
};

pub const ACCESS: &str = "st_";
const REFRESH: &str = "rt_";

pub struct Sessions {
    pub secrets: Arc<Secrets>,
    pub users: Arc<dyn UserContract>,
    pub last_used: LastUsed<(ClientId, UserId, SessionId)>,
    access_lasts: Duration,
    refresh_lasts: Duration,
}

/// What refreshing led to. A reuse is no error here: that the session ends has to be kept.
pub enum Refreshed {
    Renewed(Box<TokensOut>),
    Reused,
    Unknown,
}

impl Sessions {
    pub fn new(secrets: Arc<Secrets>, users: Arc<dyn UserContract>, config: &Auth) -> Sessions {
        Sessions {
            secrets,
            users,
            last_used: LastUsed::default(),
            access_lasts: Duration::from_secs(60 * config.access_token_minutes),
            refresh_lasts: Duration::from_secs(24 * 3600 * config.refresh_token_days),
        }
    }

    /// Begins a session of a user who has proven to be it; from somewhere new, that is announced.
    pub fn begin(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user: User,
    ) -> Result<TokensOut> {
        let session = tx.new_id();
        devices::note(tx, caller, client, user.id, session)?;
        self.issue(tx, caller, (client, user.id, session), None, user)
    }

    /// Replaces both tokens of the session that `refresh_token` is of.
    pub fn refresh(&self, tx: &mut WriteTx, caller: &Caller, refresh_token: &str) -> Result<Refreshed> {
        let client = caller.client()?;
        let hash = self.secrets.hash(refresh_token);
        if let Some(spent) = tx.get(&SPENT, &(client, hash))?.filter(|it| it.expires_at > tx.now()) {
            return self.reused(tx, caller, client, &spent);
        }
        let session = tx.find(&SESSIONS, BY_REFRESH, &hash)?;
        let Some((key, session)) = session.filter(|(key, it)| key.0 == client && it.expires_at > tx.now())
        else {
            return Ok(Refreshed::Unknown);
        };
        let user = self.users.get(tx, client, key.1)?;
        if user.status != UserStatus::Active {
            return Ok(Refreshed::Unknown);
        }

        let spent = Spent { user: key.1, session: key.2, expires_at: session.expires_at };
        tx.put(&SPENT, &(client, hash), &spent)?;
        self.issue(tx, caller, key, Some(session), user).map(|it| Refreshed::Renewed(Box::new(it)))
    }

    /// Ends one session of whoever asks.
    pub fn end(&self, tx: &mut WriteTx, caller: &Caller, session: SessionId) -> Result<()> {
        let (client, user, _) = own_session(caller)?;
        found(tx.delete(&SESSIONS, &(client, user, session))?.then_some(()))
    }

    /// Ends all sessions of whoever asks but the one it asks from.
    pub fn end_others(&self, tx: &mut WriteTx, caller: &Caller) -> Result<()> {
        let (client, user, session) = own_session(caller)?;
        end_sessions(tx, client, user, Some(session))
    }

    /// Writes when sessions were used; what fails to commit is tried again.
    pub fn write_last_used(&self, tx: &mut WriteTx) -> Result<()> {
        let uses = self.last_used.some();
        for (key, at) in &uses {
            // One that has ended meanwhile stays ended.
            if let Some(mut row) = tx.get(&SESSIONS, key)?
                && row.last_used_at < *at
            {
                row.last_used_at = *at;
                tx.put(&SESSIONS, key, &row)?;
            }
        }
        let last_used = self.last_used.clone();
        tx.on_commit(Box::new(move || last_used.forget(&uses)));
        Ok(())
    }

    fn reused(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        spent: &Spent,
    ) -> Result<Refreshed> {
        let is_alive = tx.delete(&SESSIONS, &(client, spent.user, spent.session))?;
        if !is_alive {
            return Ok(Refreshed::Unknown);
        }
        let event =
            RefreshReused { session_id: spent.session, user_id: spent.user, ip: caller.ip.to_string() };
        tx.publish(caller, &event)?;
        Ok(Refreshed::Reused)
    }

    /// Gives a session new tokens, and returns the only sight of them.
    fn issue(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        key: (ClientId, UserId, SessionId),
        before: Option<Session>,
        user: User,
    ) -> Result<TokensOut> {
        let access_token = make_token(ACCESS, tx.random_bytes());
        let refresh_token = make_token(REFRESH, tx.random_bytes());
        let now = tx.now();
        let session = Session {
            access_hash: self.secrets.hash(&access_token),
            access_expires_at: now.after(self.access_lasts),
            refresh_hash: self.secrets.hash(&refresh_token),
            expires_at: now.after(self.refresh_lasts),
            ip: caller.ip.to_string(),
            user_agent: caller.user_agent.clone(),
            last_used_at: now,
            created_at: before.map_or(now, |it| it.created_at),
            refreshed_at: now,
        };
        tx.put(&SESSIONS, &key, &session)?;
        Ok(TokensOut {
            object: "tokens",
            access_token,
            refresh_token,
            token_type: "bearer",
            expires_at: session.access_expires_at,
            user: self.users.show(tx, key.0, user)?,
        })
    }
}

impl Refreshed {
    /// As an answer, once it is kept.
    pub fn answer(self) -> Result<TokensOut> {
        match self {
            Refreshed::Renewed(tokens) => Ok(*tokens),
            Refreshed::Reused => Err(AuthRefusal::RefreshReused.into()),
            Refreshed::Unknown => Err(ApiRefusal::Unauthenticated.into()),
        }
    }
}

/// The session somebody asks from. Refuses `session_required`: keys and operators have none.
pub fn own_session(caller: &Caller) -> Result<(ClientId, UserId, SessionId)> {
    let principal = &caller.principal;
    match (principal.client, principal.actor, principal.session) {
        (Some(client), Actor::User(user), Some(session)) => Ok((client, user, session)),
        _ => Err(AuthRefusal::SessionRequired.into()),
    }
}
