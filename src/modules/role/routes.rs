//! Roles over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{contract::RoleId, model::Role, repository::ROLES, service::RoleService};
use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, delete, get, patch, post},
        input::{Metadata, input},
        object::{ExternalId, filters, list, object},
        page::Page,
    },
    error::Result,
    store::ReadTx,
};

input! {
    /// A role to be made.
    pub struct RoleIn {
        name: String,
        description: Option<String>,
        /// As listed by `GET permissions`; nothing you do not hold yourself.
        permissions: Vec<String>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// A change of a role; `permissions` replaces the list.
    pub struct RolePatchIn {
        name: Option<String>,
        description: Option<String>,
        permissions: Option<Vec<String>>,
        metadata: Metadata,
    }
}

filters! {
    pub struct RoleQuery of Role {
        built_in: bool = |it| it.built_in.is_some(),
    }
}

object! {
    /// A role.
    pub struct RoleOut: "role" of (id: RoleId, row: &Role, permissions: Vec<String>) {
        name: String = row.name.clone(),
        description: String = row.description.clone(),
        is_built_in: bool = row.built_in.is_some(),
        is_in_use: bool = row.is_in_use,
        permissions: Vec<String> = permissions,
    }
}

object! {
    /// A role that is no more.
    pub struct RoleDeletedOut: "role" of (id: RoleId, deleted: bool) bare {
        deleted: bool = deleted,
    }
}

pub fn endpoints(service: &Arc<RoleService>) -> Vec<Endpoint> {
    vec![
        get("/roles")
            .about("List the roles, newest first")
            .needs("roles.view_any")
            .lists_with(service, listed),
        get("/roles/{id}")
            .about("Show a role")
            .needs("roles.view_any")
            .reads_with(service, RoleService::show),
        post("/roles")
            .about("Make a role")
            .needs("roles.create_any")
            .refuses(&["permission_unknown", "permission_escalation", "role_taken", "external_id_taken"])
            .example(json!({ "name": "auditor", "permissions": ["audit.view_any", "roles.view_any"] }))
            .writes_with(service, RoleService::add),
        patch("/roles/{id}")
            .about("Change a role; whoever has it may do from now on what it then allows, and decide over others' requests once a second person agrees")
            .needs("roles.update_any")
            .versioned()
            .refuses(&["role_fixed", "permission_unknown", "permission_escalation", "role_taken"])
            .example(json!({ "permissions": ["audit.view_any"] }))
            .writes_with(service, RoleService::change),
        delete("/roles/{id}")
            .about("Delete a role that nobody was ever given, and no approval policy ever named")
            .needs("roles.delete_any")
            .versioned()
            .refuses(&["role_fixed", "role_in_use"])
            .writes_with(service, RoleService::delete),
    ]
}

fn listed(service: &RoleService, tx: &ReadTx, call: &Call<(), RoleQuery>) -> Result<Page<RoleOut>> {
    Ok(list(tx, call, &ROLES, None)?.map(|(_, row)| service.out(&row)))
}
