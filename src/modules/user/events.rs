//! What User announces.

use super::access::AccessProposalId;
use crate::{
    kernel::{api::principal::UserId, events::event::events},
    modules::role::contract::RoleId,
};

events! {
    user_id of { user_id: UserId, referred_by: Option<UserId> }
    /// Somebody has become a user, by registering or through staff.
    UserRegistered = "user.registered";

    user_id of { user_id: UserId }
    /// A user is to have another e-mail address; what it is confirmed with was mailed there.
    UserEmailChangeRequested = "user.email_change_requested",
    /// A user has another e-mail address.
    UserEmailChanged = "user.email_changed";

    user_id of { user_id: UserId, reason: String }
    /// Nothing is paid out, the user's sessions have ended, and it does not sign in until staff end it.
    UserFrozen = "user.frozen",
    UserUnfrozen = "user.unfrozen",
    /// The user does not sign in any more; its sessions have ended.
    UserDisabled = "user.disabled",
    /// The user may sign in again.
    UserEnabled = "user.enabled";

    user_id of { user_id: UserId, given: Vec<String>, taken: Vec<String> }
    /// The names of the roles given and taken.
    UserRolesChanged = "user.roles_changed";

    access_proposal_id of {
        access_proposal_id: AccessProposalId,
        /// `roles` or `role_permissions`.
        kind: String,
        user_id: Option<UserId>,
        role_id: Option<RoleId>,
    }
    /// Somebody was to be allowed to decide over what others ask for: a second person has to agree.
    AccessProposed = "access.proposed";

    access_proposal_id of { access_proposal_id: AccessProposalId }
    /// Enough people agreed: it is in force.
    AccessApproved = "access.approved",
    /// Something else was said of the same user or role.
    AccessWithdrawn = "access.withdrawn";

    access_proposal_id of { access_proposal_id: AccessProposalId, reason: String }
    /// Somebody dropped it.
    AccessRejected = "access.rejected";
}
