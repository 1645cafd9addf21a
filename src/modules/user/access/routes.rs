//! What waits for a second person, over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::model::{AccessKind, AccessProposal, AccessProposalId, AccessStatus, Asked};
use crate::{
    kernel::{
        api::{
            endpoint::{Endpoint, get, post},
            object::{filters, object},
            principal::{Actor, UserId},
        },
        machine::ChangeOut,
    },
    modules::{client::contract::ApprovalOut, role::contract::RoleId, user::service::Users},
};

object! {
    /// What somebody was to be allowed, and waits for a second person: it would decide over what others ask for.
    pub struct AccessProposalOut: "access_proposal" of (
        id: AccessProposalId, row: &AccessProposal, roles: Option<Vec<String>>
    ) {
        status: AccessStatus = row.status(),
        kind: AccessKind = row.asked.kind(),
        /// Whose roles they would be.
        user_id: Option<UserId> = row.asked.user(),
        /// All the roles the user would have, by name.
        roles: Option<Vec<String>> = roles,
        /// Which role it is that would allow more.
        role_id: Option<RoleId> = row.asked.role(),
        /// What the role would allow too.
        permissions: Option<Vec<String>> = match &row.asked {
            Asked::Permissions { permissions, .. } => Some(permissions.clone()),
            _ => None,
        },
        /// Which address the user would have.
        email: Option<String> = match &row.asked {
            Asked::Email { email, .. } => Some(email.clone()),
            _ => None,
        },
        proposed_by: Actor = row.history.creator(),
        /// What others think of it.
        approval: ApprovalOut = ApprovalOut::of(&row.approval),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

filters! {
    pub struct AccessProposalsQuery of AccessProposal {
        status: AccessStatus = |it| it.status(),
        kind: AccessKind = |it| it.asked.kind(),
        user_id: UserId = |it, wanted| it.asked.user() == Some(*wanted),
        role_id: RoleId = |it, wanted| it.asked.role() == Some(*wanted),
    }
}

pub fn endpoints(users: &Arc<Users>) -> Vec<Endpoint> {
    vec![
        get("/access-proposals")
            .about("List who was to be allowed to decide over requests, newest first")
            .needs("access-proposals.view_any")
            .lists_with(users, Users::access_proposals),
        get("/access-proposals/{id}")
            .about("Show what waits for a second person")
            .needs("access-proposals.view_any")
            .reads_with(users, Users::access_proposal),
        post("/access-proposals/{id}/approve")
            .about("Agree to what somebody else proposed; the last one needed puts it in force")
            .needs("access-proposals.approve")
            .refuses(&[
                "self_approval",
                "permission_escalation",
                "proposer_gone",
                "revision_stale",
                "not_on_committee",
                "already_voted",
                "invalid_state_transition",
                "last_admin",
                "email_taken",
            ])
            .example(json!({ "revision": 1 }))
            .writes_with(users, Users::approve_access),
        post("/access-proposals/{id}/reject")
            .about("Drop what was proposed; whoever proposed it may, too")
            .needs("access-proposals.reject")
            .refuses(&["revision_stale", "invalid_state_transition"])
            .example(json!({ "revision": 1, "reason": "nobody knows this person" }))
            .writes_with(users, Users::reject_access),
    ]
}
