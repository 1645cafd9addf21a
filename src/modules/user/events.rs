//! What User announces.

use crate::kernel::{api::principal::UserId, events::event::events};

events! {
    user_id of { user_id: UserId, referred_by: Option<UserId> }
    /// Somebody has become a user, by registering or through staff.
    UserRegistered = "user.registered";

    user_id of { user_id: UserId, reason: String }
    /// The user still signs in and looks, and pays nothing out.
    UserFrozen = "user.frozen",
    UserUnfrozen = "user.unfrozen",
    /// The user does not sign in any more; its sessions have ended.
    UserDisabled = "user.disabled",
    /// The user may sign in again.
    UserEnabled = "user.enabled";

    user_id of { user_id: UserId, given: Vec<String>, taken: Vec<String> }
    /// The names of the roles given and taken.
    UserRolesChanged = "user.roles_changed";
}
