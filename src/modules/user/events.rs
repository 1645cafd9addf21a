//! What User announces.

use serde::{Deserialize, Serialize};

use crate::kernel::{api::principal::UserId, events::event::event};

/// Somebody has become a user, by registering or through staff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserRegistered {
    pub user_id: UserId,
    pub referred_by: Option<UserId>,
}
event!(UserRegistered, "user.registered", user_id);

/// The user still signs in and looks, and pays nothing out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserFrozen {
    pub user_id: UserId,
    pub reason: String,
}
event!(UserFrozen, "user.frozen", user_id);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserUnfrozen {
    pub user_id: UserId,
    pub reason: String,
}
event!(UserUnfrozen, "user.unfrozen", user_id);

/// The user does not sign in any more; its sessions have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserDisabled {
    pub user_id: UserId,
    pub reason: String,
}
event!(UserDisabled, "user.disabled", user_id);

/// The user may sign in again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserEnabled {
    pub user_id: UserId,
    pub reason: String,
}
event!(UserEnabled, "user.enabled", user_id);

/// The names of the roles given and taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct UserRolesChanged {
    pub user_id: UserId,
    pub given: Vec<String>,
    pub taken: Vec<String>,
}
event!(UserRolesChanged, "user.roles_changed", user_id);
