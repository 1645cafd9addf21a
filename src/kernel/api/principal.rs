//! Who is asking, and what they may do.

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};

use super::input::{Field, Flaws, parse_text};
use crate::kernel::{
    error::Result,
    id::id,
    store::{
        ReadTx,
        codec::{Decode, Encode},
    },
};

id!(/** A tenant: a business with its own users and money. */ ClientId, "cli");
id!(/** A customer or a member of staff of a client. */ UserId, "usr");
id!(/** An API key of a client. */ KeyId, "key");
id!(/** A signed-in session of a user. */ SessionId, "ses");
id!(/** Who runs the installation. */ OperatorId, "opr");

/// Who did something, as stored in histories and the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Actor {
    /// A timer, a listener, the command line on the machine itself.
    System,
    Operator(OperatorId),
    Key(KeyId),
    User(UserId),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::System => f.write_str("system"),
            Actor::Operator(id) => id.fmt(f),
            Actor::Key(id) => id.fmt(f),
            Actor::User(id) => id.fmt(f),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl utoipa::PartialSchema for Actor {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder()
            .schema_type(Type::String)
            .description(Some("`system`, or the id of who acted"))
            .into()
    }
}
impl utoipa::ToSchema for Actor {}

/// Whoever presented a credential.
#[derive(Debug, Clone)]
pub struct Principal {
    pub actor: Actor,
    /// The client the credential belongs to; an operator names one per request.
    pub client: Option<ClientId>,
    pub session: Option<SessionId>,
    pub grants: Grants,
}

/// What a credential may do. Every check asks [`Grants::has`] about one permission.
#[derive(Debug, Clone)]
pub enum Grants {
    /// An operator.
    All,
    /// A publishable key: only what is marked `public`.
    Public,
    /// A secret key.
    Scopes(Arc<[Scope]>),
    /// A user, through its roles.
    Permissions(Arc<BTreeSet<String>>),
}

impl Grants {
    /// Whether `permission` (`withdrawals.approve`) is held.
    pub fn has(&self, permission: &str) -> bool {
        match self {
            Grants::All => true,
            _ if permission == PUBLIC => true,
            _ if permission == OPERATOR => false,
            Grants::Public => false,
            Grants::Scopes(scopes) => scopes.iter().any(|it| it.covers(permission)),
            Grants::Permissions(names) => names.contains(permission),
        }
    }

    /// Whether everything `other` may do is held too, over the permissions that exist.
    pub fn include(&self, other: &Grants, catalogue: &BTreeSet<String>) -> bool {
        catalogue.iter().all(|it| !other.has(it) || self.has(it))
    }
}

/// Any credential of the client, a publishable key too.
pub const PUBLIC: &str = "public";
/// Only an operator.
pub const OPERATOR: &str = "operator";

/// `withdrawals:approve`: shorthand for permissions, carried by secret keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Scope {
    /// `*` stands for every resource.
    resource: String,
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
enum Level {
    Read,
    Write,
    Approve,
}

/// The verbs that decide over somebody else's request: they need `resource:approve`.
const APPROVING: &[&str] = &[
    "approve",
    "approve_default",
    "reject",
    "mark_paid",
    "mark_failed",
    "complete",
    "fail",
    "reconcile",
    "return",
    "resolve",
];

/// Whether whoever holds `permission` decides over what others asked for: a vote, a mark, the second person's half.
pub fn is_approving(permission: &str) -> bool {
    permission.split_once('.').is_some_and(|(_, verb)| Scope::level_of(verb) == Level::Approve)
}

impl Scope {
    fn covers(&self, permission: &str) -> bool {
        let Some((resource, verb)) = permission.split_once('.') else {
            return false;
        };
        (self.resource == "*" || self.resource == resource) && self.level == Scope::level_of(verb)
    }

    fn level_of(verb: &str) -> Level {
        match verb {
            "view" | "view_any" => Level::Read,
            _ if APPROVING.contains(&verb) => Level::Approve,
            _ => Level::Write,
        }
    }

    pub fn resource(&self) -> &str {
        &self.resource
    }
}

impl FromStr for Scope {
    type Err = ();
    fn from_str(text: &str) -> Result<Scope, ()> {
        let (resource, level) = text.split_once(':').ok_or(())?;
        let well_formed = resource == "*"
            || (!resource.is_empty()
                && resource.bytes().all(|it| it.is_ascii_lowercase() || b"_-".contains(&it)));
        let level = match level {
            "read" => Level::Read,
            "write" => Level::Write,
            "approve" => Level::Approve,
            _ => return Err(()),
        };
        if well_formed { Ok(Scope { resource: resource.to_owned(), level }) } else { Err(()) }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Read => "read",
            Level::Write => "write",
            Level::Approve => "approve",
        };
        write!(f, "{}:{level}", self.resource)
    }
}

impl Field for Scope {
    fn parse(value: serde_json::Value) -> Result<Self, Flaws> {
        parse_text(value, "a scope such as withdrawals:read, *:write or payments:approve")
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Turns a credential into a principal. Client provides one for keys, Auth one for sessions and operators.
pub trait Authenticator: Send + Sync {
    /// Refuses `unauthenticated` for anything that is not a live credential, and `client_inactive`.
    fn authenticate(&self, tx: &ReadTx, token: &str, ip: IpAddr) -> Result<Principal>;

    /// Whether an operator may act inside `client`. Refuses `not_found` when whoever keeps the clients knows of none.
    fn check_client(&self, _tx: &ReadTx, _client: ClientId) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(texts: &[&str]) -> Grants {
        Grants::Scopes(texts.iter().map(|it| it.parse().unwrap()).collect())
    }

    #[test]
    fn a_scope_stands_for_its_permissions_and_no_others() {
        let key = scopes(&["withdrawals:write"]);
        let held = |permission| key.has(permission);
        assert!(
            held("withdrawals.create_any") && held("withdrawals.cancel_any") && held("withdrawals.process")
        );
        assert!(held("public"));
        assert!(
            !held("withdrawals.view_any") && !held("withdrawals.approve") && !held("withdrawals.mark_paid")
        );
        assert!(!held("fundings.create_any") && !held("operator"));
        assert!(scopes(&["*:read"]).has("fundings.view_any"));
        assert!(!Grants::Public.has("fundings.view") && Grants::Public.has("public"));
    }

    #[test]
    fn nobody_includes_more_than_they_have() {
        let catalogue: BTreeSet<String> =
            ["a.view_any", "a.approve", "b.create_any"].iter().map(|it| (*it).to_owned()).collect();
        assert!(Grants::All.include(&scopes(&["*:read", "*:approve"]), &catalogue));
        assert!(scopes(&["*:read"]).include(&scopes(&["a:read"]), &catalogue));
        assert!(!scopes(&["a:read"]).include(&scopes(&["a:read", "b:write"]), &catalogue));
        // A scope over something that does not exist gives nothing, so it is included.
        assert!(scopes(&["a:read"]).include(&scopes(&["nothing:write"]), &catalogue));
    }

    #[test]
    fn a_scope_is_a_resource_and_a_level() {
        for wrong in ["", "a", "a:", ":read", "a:admin", "A:read", "a b:read", "a:read:b"] {
            assert_eq!(wrong.parse::<Scope>(), Err(()), "{wrong}");
        }
        assert_eq!("api-keys:write".parse::<Scope>().unwrap().to_string(), "api-keys:write");
    }
}
