//! What a role is, and what the built-in ones may do.

use std::{collections::BTreeSet, sync::LazyLock};

use serde::Deserialize;

use super::contract::RoleId;
use crate::kernel::{
    api::{
        input::{Flaw, text_enum},
        object::{Stamp, stamped},
    },
    error::Result,
    store::codec::{Decode, Encode, row},
};

text_enum! {
    /// The roles every client has.
    pub enum BuiltIn { Admin = "admin", Moderator = "moderator", User = "user" }
}

/// A role of a client.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub description: String,
    pub built_in: Option<BuiltIn>,
    /// Sorted, none twice. Empty for a built-in role: its permissions follow the catalogue.
    pub permissions: Vec<String>,
    /// It was given to somebody, or named by rules for approving. Never taken back.
    pub is_in_use: bool,
    pub stamp: Stamp,
}
row!(Role);
stamped!(Role);

/// The definition of a built-in role: see `data/reference/roles.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    name: String,
    pub description: String,
    own: bool,
    grants: Vec<Grant>,
    never: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    resources: Vec<String>,
    verbs: Vec<String>,
}

static DEFINITIONS: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        role: Vec<Definition>,
    }
    let file: File = toml::from_str(include_str!("../../../data/reference/roles.toml"))
        .expect("the reference file is compiled in and tested");
    file.role
});

impl BuiltIn {
    pub fn definition(self) -> &'static Definition {
        let found = DEFINITIONS.iter().find(|it| it.name.parse() == Ok(self));
        found.expect("the reference file defines every built-in role: tested")
    }

    /// What the role may do, of everything there is.
    pub fn permissions(self, catalogue: &BTreeSet<String>) -> BTreeSet<String> {
        let definition = self.definition();
        let is_own = |permission: &str| catalogue.contains(&format!("{permission}_any"));
        let allows = |permission: &str| {
            let (resource, verb) = permission.split_once('.').unwrap_or((permission, ""));
            let granted = definition.grants.iter().any(|it| it.covers(resource, verb));
            let is_barred = definition.never.iter().any(|it| it == resource);
            !is_barred && (granted || definition.own && is_own(permission))
        };
        catalogue.iter().filter(|it| allows(it)).cloned().collect()
    }
}

impl Grant {
    fn covers(&self, resource: &str, verb: &str) -> bool {
        let names = |list: &[String], name: &str| list.iter().any(|it| it == "*" || it == name);
        names(&self.resources, resource) && names(&self.verbs, verb)
    }
}

/// A name is a lower-case letter, then letters, digits, hyphens and underscores; at most 40.
pub fn check_name(name: &str) -> Result<()> {
    let well_formed = (1..=40).contains(&name.len())
        && name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it));
    if well_formed {
        return Ok(());
    }
    let message = "must be 1 to 40 of a-z, 0-9, - and _, the first a letter";
    Err(Flaw::new("name", "invalid_format", message).into())
}

/// Sorted, none twice.
pub fn tidy(mut permissions: Vec<String>) -> Vec<String> {
    permissions.sort();
    permissions.dedup();
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::api::input::Named as _,
        modules::role::contract::{ADMIN, USER},
    };

    fn catalogue() -> BTreeSet<String> {
        let names = [
            "withdrawals.view",
            "withdrawals.view_any",
            "withdrawals.create",
            "withdrawals.create_any",
            "withdrawals.approve",
            "withdrawals.return",
            "payments.mark_paid",
            "payment-gateways.view_any",
            "payment-gateways.update_any",
            "users.view_any",
            "users.create_any",
            "audit.view_any",
            "roles.view_any",
            "roles.create_any",
            "api-keys.view_any",
            "clients.view_any",
            "secrets.view_any",
            "currencies.update_any",
        ];
        names.map(str::to_owned).into()
    }

    #[test]
    fn every_built_in_role_is_defined_and_nothing_else() {
        let names: Vec<&str> = DEFINITIONS.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, BuiltIn::ALL.iter().map(|it| it.name()).collect::<Vec<_>>());
        assert_eq!(names, [ADMIN, "moderator", USER]);
    }

    #[test]
    fn an_admin_may_do_everything() {
        assert_eq!(BuiltIn::Admin.permissions(&catalogue()), catalogue());
    }

    #[test]
    fn a_user_may_do_what_is_its_own() {
        let own = ["withdrawals.create", "withdrawals.view"].map(str::to_owned);
        assert_eq!(BuiltIn::User.permissions(&catalogue()), own.into());
    }

    #[test]
    fn a_moderator_decides_over_money_and_touches_no_configuration() {
        let wanted = [
            "audit.view_any",
            "payment-gateways.view_any",
            "payments.mark_paid",
            "users.view_any",
            "withdrawals.approve",
            "withdrawals.create",
            "withdrawals.create_any",
            "withdrawals.view",
            "withdrawals.view_any",
        ];
        assert_eq!(BuiltIn::Moderator.permissions(&catalogue()), wanted.map(str::to_owned).into());
    }
}
