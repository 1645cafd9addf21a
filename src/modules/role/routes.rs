//! Roles over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{contract::RoleId, model::Role, repository::ROLES, service::RoleService};
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, delete, get, patch, post},
        input::{Metadata, input},
        page::{Cursor, Limit, Paging, page},
    },
    clock::Time,
};

/// A role to be made.
#[derive(utoipa::ToSchema)]
pub struct RoleIn {
    pub name: String,
    pub description: Option<String>,
    /// As listed by `GET permissions`; nothing you do not hold yourself.
    pub permissions: Vec<String>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(RoleIn { name, description, permissions, external_id, metadata });

/// A change of a role; `permissions` replaces the list.
#[derive(utoipa::ToSchema)]
pub struct RolePatchIn {
    pub name: Option<String>,
    pub description: Option<String>,
    pub permissions: Option<Vec<String>>,
    pub metadata: Metadata,
}
input!(RolePatchIn { name, description, permissions, metadata });

pub struct RoleQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    built_in: Option<bool>,
}
input!(RoleQuery { limit, cursor, built_in });

/// A role.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RoleOut {
    id: RoleId,
    #[schema(value_type = String)]
    object: &'static str,
    name: String,
    description: String,
    is_built_in: bool,
    is_in_use: bool,
    permissions: Vec<String>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

/// A role that is no more.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RoleDeletedOut {
    id: RoleId,
    #[schema(value_type = String)]
    object: &'static str,
    deleted: bool,
}

pub fn endpoints(service: &Arc<RoleService>) -> Vec<Endpoint> {
    let (listing, showing) = (service.clone(), service.clone());
    let (adding, changing, deleting) = (service.clone(), service.clone(), service.clone());
    vec![
        get("/roles").about("List the roles, newest first").needs("roles.view_any").lists(
            move |tx, call: &Call<(), RoleQuery>| {
                let RoleQuery { limit, cursor, built_in } = &call.input;
                let paging = Paging::new(*limit, cursor, built_in);
                let wanted = |row: &Role| built_in.is_none_or(|it| row.built_in.is_some() == it);
                let rows = page(tx, &ROLES, &call.caller.client()?, &paging, wanted)?;
                Ok(rows.map(|(_, row)| out(&listing, row)))
            },
        ),
        get("/roles/{id}").about("Show a role").needs("roles.view_any").reads(
            move |tx, call: &Call<RoleId>| {
                let row = found(tx.get(&ROLES, &(call.caller.client()?, call.path))?)?;
                Ok(out(&showing, row))
            },
        ),
        post("/roles")
            .about("Make a role")
            .needs("roles.create_any")
            .refuses(&["permission_unknown", "permission_escalation", "role_taken", "external_id_taken"])
            .example(json!({ "name": "auditor", "permissions": ["audit.view_any", "roles.view_any"] }))
            .writes(move |tx, call: &Call<(), RoleIn>| Ok(out(&adding, adding.add(tx, call)?))),
        patch("/roles/{id}")
            .about("Change a role; whoever has it may do from now on what it then allows")
            .needs("roles.update_any")
            .versioned()
            .refuses(&["role_fixed", "permission_unknown", "permission_escalation", "role_taken"])
            .example(json!({ "permissions": ["audit.view_any"] }))
            .writes(move |tx, call: &Call<RoleId, RolePatchIn>| {
                Ok(out(&changing, changing.change(tx, call)?))
            }),
        delete("/roles/{id}")
            .about("Delete a role that nobody was ever given")
            .needs("roles.delete_any")
            .versioned()
            .refuses(&["role_fixed", "role_in_use"])
            .writes(move |tx, call: &Call<RoleId>| {
                let row = deleting.delete(tx, call)?;
                Ok(RoleDeletedOut { id: row.id, object: "role", deleted: true })
            }),
    ]
}

fn out(service: &RoleService, row: Role) -> RoleOut {
    RoleOut {
        id: row.id,
        object: "role",
        permissions: service.permissions_of(&row).iter().cloned().collect(),
        name: row.name,
        description: row.description,
        is_built_in: row.built_in.is_some(),
        is_in_use: row.is_in_use,
        external_id: row.external_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        metadata: row.metadata,
    }
}
