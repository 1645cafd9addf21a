//! What Role announces.

use super::contract::RoleId;
use crate::kernel::events::event::events;

events! {
    role_id of {
        role_id: RoleId,
        /// What it was to allow too, and does not until a second person agrees: permissions to decide over what others
        /// asked for.
        waiting: Vec<String>,
    }
    /// Somebody said anew what a role that people have, or had, allows.
    RolePermissionsChanged = "role.permissions_changed";
}
