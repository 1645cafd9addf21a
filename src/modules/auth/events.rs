//! What Auth announces.

use serde::{Deserialize, Serialize};

use super::contract::InvitationId;
use crate::kernel::{
    api::principal::{SessionId, UserId},
    clock::Time,
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

/// Somebody wants to choose a new password for a user; the link was mailed, and stands in no event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordResetRequested {
    pub user_id: UserId,
    /// When the link runs out.
    pub expires_at: Time,
}
event!(PasswordResetRequested, "auth.password_reset_requested", user_id);

/// A link to confirm its e-mail address was mailed to a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmailVerificationRequested {
    pub user_id: UserId,
    /// When the link runs out.
    pub expires_at: Time,
}
event!(EmailVerificationRequested, "auth.email_verification_requested", user_id);

/// A user has shown that its e-mail address is its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmailVerified {
    pub user_id: UserId,
}
event!(EmailVerified, "auth.email_verified", user_id);

/// Somebody wanted to register with the address of a user. Only where registering does not say so itself:
/// `auth.verify_before_tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RegistrationRepeated {
    pub user_id: UserId,
    pub ip: String,
}
event!(RegistrationRepeated, "auth.registration_repeated", user_id);

/// A user signed in from where it never did before; not the first time it signs in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NewDevice {
    pub session_id: SessionId,
    pub user_id: UserId,
    pub ip: String,
    /// What the program calls itself.
    pub user_agent: Option<String>,
}
event!(NewDevice, "auth.new_device", session_id);

/// A user's second factor is in force; its other sessions have ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TotpEnabled {
    pub user_id: UserId,
}
event!(TotpEnabled, "auth.totp_enabled", user_id);

/// A user has no second factor any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TotpDisabled {
    pub user_id: UserId,
    /// Why staff took it away; null where the user did it itself.
    pub reason: Option<String>,
}
event!(TotpDisabled, "auth.totp_disabled", user_id);

/// A user has new recovery codes; the ones before are void.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodesMade {
    pub user_id: UserId,
}
event!(RecoveryCodesMade, "auth.recovery_codes_made", user_id);

/// A user signed in with a recovery code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecoveryCodeUsed {
    pub user_id: UserId,
    /// How many of them are left.
    pub left: u32,
}
event!(RecoveryCodeUsed, "auth.recovery_code_used", user_id);

/// Somebody was invited; the link was mailed, and stands in no event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InvitationCreated {
    pub invitation_id: InvitationId,
    pub email: String,
    /// The names of the roles it gives.
    pub roles: Vec<String>,
    /// When the link runs out.
    pub expires_at: Time,
}
event!(InvitationCreated, "invitation.created", invitation_id);

/// Whoever was invited has become a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InvitationAccepted {
    pub invitation_id: InvitationId,
    pub user_id: UserId,
}
event!(InvitationAccepted, "invitation.accepted", invitation_id);

/// The link leads nowhere any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InvitationRevoked {
    pub invitation_id: InvitationId,
}
event!(InvitationRevoked, "invitation.revoked", invitation_id);
