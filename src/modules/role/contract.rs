//! What other modules may ask of roles.

use std::{collections::BTreeSet, sync::Arc};

use crate::kernel::{
    api::{call::Caller, principal::ClientId},
    error::{Result, refusals},
    id::id,
    store::{ReadTx, WriteTx},
};

id!(/** A role of a client. */ RoleId, "rol");

/// Two of the built-in roles, by name.
pub const ADMIN: &str = "admin";
pub const USER: &str = "user";

/// Named sets of permissions inside a client.
pub trait RoleContract: Send + Sync {
    /// Gives a new client its built-in roles.
    fn set_up_client(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId) -> Result<()>;

    /// The role of this name. Refuses `role_unknown`.
    fn by_name(&self, tx: &ReadTx, client: ClientId, name: &str) -> Result<RoleId>;

    /// The names of roles, in the order given.
    fn names(&self, tx: &ReadTx, client: ClientId, roles: &[RoleId]) -> Result<Vec<String>>;

    /// Everything these roles allow, together.
    fn permissions(&self, tx: &ReadTx, client: ClientId, roles: &[RoleId]) -> Result<Arc<BTreeSet<String>>>;

    /// Refuses `permission_escalation` when these roles allow anything the caller may not do.
    fn check_grantable(&self, tx: &ReadTx, caller: &Caller, client: ClientId, roles: &[RoleId])
    -> Result<()>;

    /// The roles that let whoever has them decide over what others asked for.
    fn approving(&self, tx: &ReadTx, client: ClientId) -> Result<Vec<RoleId>>;

    /// Lets those who have a role do these things too. Permissions that exist no more are left out; refuses
    /// `not_found`, `role_fixed`.
    fn widen(&self, tx: &mut WriteTx, client: ClientId, role: RoleId, permissions: &[String]) -> Result<()>;

    /// Marks a role as given to somebody, or named by rules for approving, so that it cannot be deleted unnoticed.
    fn use_role(&self, tx: &mut WriteTx, client: ClientId, role: RoleId) -> Result<()>;
}

refusals! {
    /// What Role refuses.
    pub enum RoleRefusal {
        /// The client has no role of this name.
        RoleUnknown { role: String }: Unprocessable "role_unknown" => "there is no role {role}",
        /// The client has a role of this name already.
        RoleTaken { role: String }: Conflict "role_taken" => "role {role} exists already",
        /// Built-in roles cannot be changed or deleted.
        RoleFixed { role: String }: Conflict "role_fixed" => "{role} is built in",
        /// Somebody has this role, or had it, or an approval policy names it as its committee, or did. Take its
        /// permissions away instead of deleting it.
        RoleInUse { role: String }: Conflict "role_in_use"
            => "{role} was given to somebody, or is the committee of an approval policy",
        /// There is no such permission; `GET permissions` lists all.
        PermissionUnknown { permission: String }: Unprocessable "permission_unknown" => "there is no permission {permission}",
        /// Nobody can pass on, or make a key with, more than they have.
        PermissionEscalation { permission: String }: Forbidden "permission_escalation"
            => "you do not have {permission} yourself",
    }
}
