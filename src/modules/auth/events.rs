//! What Auth announces.

use serde::{Deserialize, Serialize};

use crate::kernel::{
    api::principal::{SessionId, UserId},
    events::event::event,
};

/// A refresh token was used twice: somebody has a copy of what only the user should have. The session has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RefreshReused {
    pub session_id: SessionId,
    pub user_id: UserId,
    /// Where the second use came from.
    pub ip: String,
}
event!(RefreshReused, "auth.refresh_reused", session_id);

/// A user has a new password; its other sessions have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordChanged {
    pub user_id: UserId,
}
event!(PasswordChanged, "auth.password_changed", user_id);
