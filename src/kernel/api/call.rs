//! One request, as the code of a module sees it.

use std::{collections::BTreeSet, net::IpAddr, str::FromStr, sync::Arc};

use super::{
    input::Flaw,
    principal::{Actor, ClientId, Grants, Principal, UserId},
    problem::ApiRefusal,
};
use crate::kernel::{error::Result, events::event::Envelope, money::CurrencyCode};

/// Who asks, what the path names, what was sent.
pub struct Call<P = (), I = ()> {
    pub caller: Caller,
    pub path: P,
    pub input: I,
}

/// Who asks, and everything about the request that is not its input.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    pub reach: Reach,
    pub request_id: String,
    pub ip: IpAddr,
    /// What the program that asks calls itself: printable, at most 200 characters, and not to be believed.
    pub user_agent: Option<String>,
    /// The version in `If-Match`.
    pub if_match: Option<IfMatch>,
    /// A hash of the input: tells the same command again from another one.
    pub fingerprint: [u8; 16],
    /// Every permission there is; decides what somebody may pass on.
    pub catalogue: Arc<BTreeSet<String>>,
}

/// How far the permission that let the caller in reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anything of the client.
    Any,
    /// Only what belongs to this user.
    Own(UserId),
}

/// What a caller says it has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    Any,
    /// None of them, where no tag is one of ours: then it is stale whatever is there.
    OneOf(Vec<u64>),
}

impl Caller {
    /// The machine itself: timers, listeners, the command line.
    pub fn system(client: Option<ClientId>) -> Caller {
        Caller {
            principal: Principal { actor: Actor::System, client, session: None, grants: Grants::All },
            reach: Reach::Any,
            request_id: "system".to_owned(),
            ip: IpAddr::from([127, 0, 0, 1]),
            user_agent: None,
            if_match: None,
            fingerprint: [0; 16],
            catalogue: Arc::default(),
        }
    }

    /// Whoever caused an event, doing what follows from it.
    pub fn behind(envelope: &Envelope) -> Caller {
        let mut caller = Caller::system(envelope.client);
        caller.principal.actor = envelope.actor;
        caller.request_id = envelope.correlation.clone();
        caller
    }

    pub fn actor(&self) -> Actor {
        self.principal.actor
    }

    /// The client acted in. Refuses `client_required` (an operator that names none).
    pub fn client(&self) -> Result<ClientId> {
        self.principal.client.ok_or_else(|| ApiRefusal::ClientRequired.into())
    }

    /// The user acted for. A user acts for itself and never names a `user_id`; a key or staff names one.
    pub fn acting_for(&self, user_id: Option<UserId>) -> Result<UserId> {
        match (self.reach, user_id, self.actor()) {
            (Reach::Own(_), Some(_), _) => {
                Err(Flaw::new("user_id", "not_allowed", "a user acts for itself").into())
            }
            (Reach::Own(user), None, _) => Ok(user),
            (Reach::Any, Some(user), _) => Ok(user),
            (Reach::Any, None, Actor::User(user)) => Ok(user),
            (Reach::Any, None, _) => Err(Flaw::new("user_id", "required", "is required").into()),
        }
    }

    /// For lists: the user the list is limited to. A user sees its own and never names a `user_id`.
    pub fn limited_to(&self, user_id: Option<UserId>) -> Result<Option<UserId>> {
        match self.reach {
            Reach::Any => Ok(user_id),
            Reach::Own(_) => self.acting_for(user_id).map(Some),
        }
    }

    /// Whether something of `owner` may be touched; `not_found` otherwise, so that nobody learns it exists.
    pub fn may_reach(&self, owner: Option<UserId>) -> Result<()> {
        match self.reach {
            Reach::Any => Ok(()),
            Reach::Own(user) if owner == Some(user) => Ok(()),
            Reach::Own(_) => Err(ApiRefusal::NotFound.into()),
        }
    }

    /// Refuses `forbidden` unless this permission is held too: one of the operation's further ones.
    pub fn check_may(&self, permission: &str) -> Result<()> {
        if self.principal.grants.has(permission) {
            return Ok(());
        }
        Err(ApiRefusal::Forbidden { required_permission: permission.to_owned() }.into())
    }

    /// Refuses a change of configuration that was not made from the version it would replace.
    pub fn check_version(&self, current_version: u64) -> Result<()> {
        match &self.if_match {
            None => Err(ApiRefusal::IfMatchRequired.into()),
            Some(IfMatch::Any) => Ok(()),
            Some(IfMatch::OneOf(versions)) if versions.contains(&current_version) => Ok(()),
            Some(IfMatch::OneOf(_)) => Err(ApiRefusal::StaleVersion { current_version }.into()),
        }
    }
}

/// `Ok` or the same 404 for what is missing and for what one may not know exists.
pub fn found<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| ApiRefusal::NotFound.into())
}

/// What the `{…}` of a path become. Text that does not parse names nothing: 404.
pub trait FromPath: Sized {
    fn from_path(parts: &[String]) -> Option<Self>;
}

impl FromPath for () {
    fn from_path(_: &[String]) -> Option<()> {
        Some(())
    }
}

impl FromPath for String {
    fn from_path(parts: &[String]) -> Option<String> {
        parts.first().cloned()
    }
}

impl FromPath for CurrencyCode {
    fn from_path(parts: &[String]) -> Option<CurrencyCode> {
        parts.first().and_then(|it| CurrencyCode::from_str(it).ok())
    }
}
