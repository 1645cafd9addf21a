//! What Auth announces.

use super::contract::InvitationId;
use crate::kernel::{
    api::principal::{SessionId, UserId},
    clock::Time,
    events::event::events,
};

events! {
    session_id of {
        session_id: SessionId,
        user_id: UserId,
        /// Where the second use came from.
        ip: String,
    }
    /// A refresh token was used twice: somebody has a copy of what only the user should have. The session has ended.
    RefreshReused = "auth.refresh_reused";

    session_id of {
        session_id: SessionId,
        user_id: UserId,
        ip: String,
        /// What the program calls itself.
        user_agent: Option<String>,
    }
    /// A user signed in from where it never did before; not the first time it signs in.
    NewDevice = "auth.new_device";

    user_id of { user_id: UserId }
    /// A user has a new password; its other sessions have ended.
    PasswordChanged = "auth.password_changed",
    /// A user has shown that its e-mail address is its own.
    EmailVerified = "auth.email_verified",
    /// A user's second factor is in force; its other sessions have ended.
    TotpEnabled = "auth.totp_enabled",
    /// A user has new recovery codes; the ones before are void.
    RecoveryCodesMade = "auth.recovery_codes_made";

    user_id of {
        user_id: UserId,
        /// When the link runs out.
        expires_at: Time,
    }
    /// Somebody wants to choose a new password for a user; the link was mailed, and stands in no event.
    PasswordResetRequested = "auth.password_reset_requested",
    /// A link to confirm its e-mail address was mailed to a user.
    EmailVerificationRequested = "auth.email_verification_requested";

    user_id of { user_id: UserId, ip: String }
    /// Somebody wanted to register with the address of a user. Only where registering does not say so itself:
    /// `auth.verify_before_tokens`.
    RegistrationRepeated = "auth.registration_repeated";

    user_id of {
        user_id: UserId,
        /// Why staff took it away; null where the user did it itself.
        reason: Option<String>,
    }
    /// A user has no second factor any more.
    TotpDisabled = "auth.totp_disabled";

    user_id of {
        user_id: UserId,
        /// How many of them are left.
        left: u32,
    }
    /// A user signed in with a recovery code.
    RecoveryCodeUsed = "auth.recovery_code_used";

    invitation_id of {
        invitation_id: InvitationId,
        email: String,
        /// The names of the roles it gives.
        roles: Vec<String>,
        /// When the link runs out.
        expires_at: Time,
    }
    /// Somebody was invited; the link was mailed, and stands in no event.
    InvitationCreated = "invitation.created";

    invitation_id of { invitation_id: InvitationId, user_id: UserId }
    /// Whoever was invited has become a user.
    InvitationAccepted = "invitation.accepted";

    invitation_id of { invitation_id: InvitationId }
    /// The link leads nowhere any more.
    InvitationRevoked = "invitation.revoked";
}
