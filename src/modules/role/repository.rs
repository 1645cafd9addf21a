//! The table of Role.

use super::{contract::RoleId, model::Role};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table},
};

pub const BY_EXTERNAL_ID: &str = "role.by_external_id";

/// (client, role) → the role.
pub const ROLES: Table<(ClientId, RoleId), Role> = Table::new("role.roles").with_indexes(&[
    Index::lookup("role.by_name", |(client, _), row| vec![(*client, row.name.clone()).to_key()]),
    by_external_id(BY_EXTERNAL_ID),
]);

pub fn by_name(tx: &ReadTx, client: ClientId, name: &str) -> Result<Option<Role>> {
    Ok(tx.find(&ROLES, "role.by_name", &(client, name.to_owned()))?.map(|it| it.1))
}

/// Built-in roles with permissions of their own: theirs follow the catalogue.
pub fn built_in_with_list(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for found in tx.scan(&ROLES, Scan::all()) {
        let ((client, id), row) = found?;
        if row.built_in.is_some() && !row.permissions.is_empty() {
            wrong.push(format!("{client}: {id}"));
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{api::object::Stamp, clock::Time, id::Id as _, store::codec::golden},
        modules::role::model::BuiltIn,
    };

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = Role {
            id: RoleId::from_bytes([1; 16]),
            name: "moderator".into(),
            description: "Decides".into(),
            built_in: Some(BuiltIn::Moderator),
            permissions: vec!["users.view_any".into()],
            is_in_use: true,
            stamp: Stamp::at(at),
        };
        golden("role.roles", &row);
    }
}
