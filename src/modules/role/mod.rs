//! Role: named sets of permissions inside a client.
//!
//! Owns the roles of each client: the built-in `admin`, `moderator` and `user`, whose permissions are computed from
//! the catalogue, and the client's own, whose permissions are listed. Calls nobody, announces
//! `role.permissions_changed`, hears nothing.
//!
//! Always true: nobody passes on a permission they do not hold. A built-in role is never changed, a role that was
//! given to somebody is never deleted. To a role that people have, nobody alone adds what lets them decide over what
//! others asked for: User, which knows the people, hears what is to be added, and keeps it until a second person agrees.
//! Being banned is a state of a user, never a role.

pub mod contract;
pub mod events;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::{RoleContract, RoleRefusal},
    repository::ROLES,
    service::RoleService,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "role",
    about: "Roles: named sets of permissions inside a client",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(RoleService::new(boot.catalogue()));
    boot.tables(vec![ROLES.info()]);
    boot.refusals(RoleRefusal::CATALOGUE.iter().copied());
    boot.alias("rol", "role");
    events::announced(boot);
    boot.endpoints(routes::endpoints(&service));
    boot.check("a built-in role lists no permissions of its own", repository::built_in_with_list);
    boot.service::<dyn RoleContract>("role", service.clone());
    boot.provide::<dyn RoleContract>(service)
}
