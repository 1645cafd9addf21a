//! Who asks: the credential, where it comes from, what it may reach and what is left of its limits.

use std::net::IpAddr;

use hyper::{HeaderMap, Method};

use super::{
    call::{Caller, Reach},
    endpoint::{Access, Endpoint, Handler},
    limits::Left,
    principal::{Actor, ClientId, Grants, OPERATOR, PUBLIC, Principal},
    problem::ApiRefusal,
};
use crate::kernel::{boot::Kernel, error::Result, store::ReadTx};

/// What is known of a request whatever becomes of it.
#[derive(Default)]
pub struct Noted {
    pub client: Option<ClientId>,
    pub actor: Option<Actor>,
    pub left: Vec<Left>,
}

pub fn nobody() -> Principal {
    Principal { actor: Actor::System, client: None, session: None, grants: Grants::Public }
}

/// Who asks, how far they reach, and what is left of their limits.
pub struct Who {
    principal: Principal,
    reach: Reach,
    left: Vec<Left>,
}

impl Who {
    pub fn note(self, caller: &mut Caller, noted: &mut Noted) {
        noted.client = self.principal.client;
        let is_somebody = !matches!(self.principal.grants, Grants::Public) || self.principal.client.is_some();
        noted.actor = is_somebody.then_some(self.principal.actor);
        noted.left = self.left;
        caller.principal = self.principal;
        caller.reach = self.reach;
    }
}

/// Finds out who asks and whether they may.
pub fn authenticate(
    kernel: &Kernel,
    tx: &ReadTx,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    ip: IpAddr,
    is_local_admin: bool,
) -> Result<Who> {
    let checked = principal(kernel, tx, headers, ip, is_local_admin);
    if endpoint.access == Access::Open {
        let signs = matches!(endpoint.handler, Handler::Hear(_));
        if endpoint.method != Method::GET && checked.is_err() && !signs {
            kernel.limits.unauthenticated(ip)?;
        }
        // Who it is does not matter here, but an operator may be shown more.
        let principal = checked.unwrap_or_else(|_| nobody());
        return Ok(Who { principal, reach: Reach::Any, left: vec![] });
    }
    let mut principal = match checked {
        Ok(principal) => principal,
        Err(error) => {
            // Guessing is slowed down, and only guessing: a valid credential has limits of its own.
            kernel.limits.unauthenticated(ip)?;
            return Err(error);
        }
    };
    let mut left = vec![];
    if let Actor::Key(key) = principal.actor {
        if matches!(principal.grants, Grants::Public) {
            kernel.limits.unauthenticated(ip)?;
        }
        left.extend(kernel.limits.key(key)?);
    }
    if let Some(client) = principal.client {
        left.extend(kernel.limits.client(client)?);
    }
    if matches!(principal.grants, Grants::All)
        && let Some(named) = headers.get("x-client-id")
    {
        let client = named.to_str().ok().and_then(|it| it.parse::<ClientId>().ok());
        let client = client.ok_or(ApiRefusal::NotFound)?;
        kernel.authenticators.iter().try_for_each(|it| it.1.check_client(tx, client))?;
        principal.client = Some(client);
    }
    let reach = allow(endpoint, &principal)?;
    Ok(Who { principal, reach, left })
}

pub fn principal(
    kernel: &Kernel,
    tx: &ReadTx,
    headers: &HeaderMap,
    ip: IpAddr,
    is_local_admin: bool,
) -> Result<Principal> {
    let text = |name: &str| headers.get(name).map(|it| it.to_str().map_err(|_| ApiRefusal::Unauthenticated));
    let bearer = match text("authorization").transpose()? {
        Some(header) => match header.split_once(' ') {
            // The name of a scheme is case-insensitive (RFC 9110 §11.1).
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
            _ => return Err(ApiRefusal::Unauthenticated.into()),
        },
        None => None,
    };
    if headers.get_all("authorization").iter().count() > 1 || headers.get_all("x-api-key").iter().count() > 1
    {
        return Err(ApiRefusal::Malformed { reason: "a credential header is given twice".into() }.into());
    }
    let key = text("x-api-key").transpose()?;
    let identify = |token: &str| {
        let known =
            kernel.authenticators.iter().find(|it| it.0.iter().any(|prefix| token.starts_with(prefix)));
        known.ok_or(ApiRefusal::Unauthenticated)?.1.authenticate(tx, token, ip)
    };
    match (bearer, key) {
        (None, None) if is_local_admin => {
            Ok(Principal { actor: Actor::System, client: None, session: None, grants: Grants::All })
        }
        (None, None) => Err(ApiRefusal::Unauthenticated.into()),
        (Some(token), None) | (None, Some(token)) => identify(token),
        (Some(token), Some(key)) => {
            let (session, key) = (identify(token)?, identify(key)?);
            // Both were sent, so they must be of one client; the session says who it is.
            if session.client.is_some() && session.client != key.client {
                return Err(ApiRefusal::Unauthenticated.into());
            }
            Ok(session)
        }
    }
}

pub fn allow(endpoint: &Endpoint, principal: &Principal) -> Result<Reach> {
    let grants = &principal.grants;
    let forbidden =
        |permission: &str| Err(ApiRefusal::Forbidden { required_permission: permission.to_owned() }.into());
    match endpoint.access {
        Access::Open => Ok(Reach::Any),
        Access::Public if grants.has(PUBLIC) => Ok(Reach::Any),
        Access::SignedIn if !matches!(grants, Grants::Public) => Ok(Reach::Any),
        Access::Operator if grants.has(OPERATOR) => Ok(Reach::Any),
        Access::Needs(permission) if grants.has(permission) => Ok(Reach::Any),
        Access::Own(permission) if grants.has(&format!("{permission}_any")) => Ok(Reach::Any),
        Access::Own(permission) if grants.has(permission) => match principal.actor {
            Actor::User(user) => Ok(Reach::Own(user)),
            _ => forbidden(permission),
        },
        access => forbidden(access.permission()),
    }
}

/// The address of the client: the right-most hop that is no trusted proxy of ours.
pub fn client_address(kernel: &Kernel, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let trusted = |ip: IpAddr| kernel.config.server.trusted_proxies.iter().any(|it| it.contains(ip));
    if !trusted(peer) {
        return peer;
    }
    let hops = headers.get_all("x-forwarded-for").iter().filter_map(|it| it.to_str().ok());
    let hops: Vec<&str> = hops.flat_map(|it| it.split(',')).map(str::trim).collect();
    for hop in hops.iter().rev() {
        match hop.parse::<IpAddr>() {
            Ok(ip) if trusted(ip) => {}
            Ok(ip) => return ip,
            Err(_) => return peer,
        }
    }
    peer
}

pub fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("user-agent")?.to_str().ok()?.trim();
    Some(text.chars().filter(|it| !it.is_control()).take(200).collect()).filter(|it: &String| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of commands given on the machine itself once named nobody.
    #[test]
    fn the_log_names_whoever_is_known_and_the_machines_administrator_too() {
        let noted = |principal: Principal| {
            let mut caller = Caller::system(None);
            let mut noted = Noted::default();
            Who { principal, reach: Reach::Any, left: vec![] }.note(&mut caller, &mut noted);
            noted.actor
        };
        let admin = Principal { actor: Actor::System, client: None, session: None, grants: Grants::All };
        assert_eq!(noted(admin), Some(Actor::System));
        assert_eq!(noted(nobody()), None);
        let (client, key) = ("cli_01jd8x8y3re4vbh0m1k5n7p9qs", "key_01jd8x8y3re4vbh0m1k5n7p9qs");
        let key = Actor::Key(key.parse().unwrap());
        let public =
            Principal { actor: key, client: client.parse().ok(), session: None, grants: Grants::Public };
        assert_eq!(noted(public), Some(key));
    }
}
