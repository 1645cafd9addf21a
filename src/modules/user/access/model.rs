//! What waits for a second person.

use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, stamped},
            principal::{Actor, UserId},
        },
        id::id,
        machine::{History, Machine},
        store::codec::{Decode, Encode, row},
    },
    modules::{client::contract::Approval, role::contract::RoleId},
};

id!(/** What somebody was to be allowed, and waits for a second person. */ AccessProposalId, "acp");

text_enum! {
    /// What would change.
    pub enum AccessKind {
        /// The roles of a user.
        Roles = "roles",
        /// What a role allows.
        RolePermissions = "role_permissions",
        /// The e-mail address of a user who decides: whoever reads it can choose the password.
        Email = "email",
    }
}

text_enum! {
    pub enum AccessStatus {
        /// For a second person.
        Waiting = "waiting",
        Approved = "approved",
        Rejected = "rejected",
        /// Something else was said of the same user or role since.
        Withdrawn = "withdrawn",
    }
}

text_enum! {
    pub enum AccessEvent { Approve = "approve", Reject = "reject", Withdraw = "withdraw" }
}

pub const ACCESS: Machine<AccessStatus, AccessEvent> = Machine {
    name: "access_proposal",
    initial: &[AccessStatus::Waiting],
    moves: &[
        (AccessStatus::Waiting, AccessEvent::Approve, AccessStatus::Approved),
        (AccessStatus::Waiting, AccessEvent::Reject, AccessStatus::Rejected),
        (AccessStatus::Waiting, AccessEvent::Withdraw, AccessStatus::Withdrawn),
    ],
};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Asked {
    /// That a user has these roles, all of them, and no others.
    Roles { user: UserId, roles: Vec<RoleId> },
    /// That a role allows these too.
    Permissions { role: RoleId, permissions: Vec<String> },
    /// That a user has this address.
    Email { user: UserId, email: String },
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct AccessProposal {
    pub asked: Asked,
    /// What others think of it.
    pub approval: Approval,
    pub history: History<AccessStatus>,
    pub stamp: Stamp,
}
row!(AccessProposal);
stamped!(AccessProposal);

impl Asked {
    pub fn kind(&self) -> AccessKind {
        match self {
            Asked::Roles { .. } => AccessKind::Roles,
            Asked::Permissions { .. } => AccessKind::RolePermissions,
            Asked::Email { .. } => AccessKind::Email,
        }
    }

    pub fn user(&self) -> Option<UserId> {
        match self {
            Asked::Roles { user, .. } | Asked::Email { user, .. } => Some(*user),
            Asked::Permissions { .. } => None,
        }
    }

    pub fn role(&self) -> Option<RoleId> {
        match self {
            Asked::Permissions { role, .. } => Some(*role),
            Asked::Roles { .. } | Asked::Email { .. } => None,
        }
    }

    /// What it would change: at most one proposal of each waits.
    pub fn subject(&self) -> Subject {
        match self {
            Asked::Roles { user, .. } => Subject::roles_of(*user),
            Asked::Permissions { role, .. } => {
                Subject(AccessKind::RolePermissions.to_string(), role.to_string())
            }
            Asked::Email { user, .. } => Subject::email_of(*user),
        }
    }
}

/// What a proposal would change, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub String, pub String);

impl Subject {
    pub fn roles_of(user: UserId) -> Subject {
        Subject(AccessKind::Roles.to_string(), user.to_string())
    }

    pub fn email_of(user: UserId) -> Subject {
        Subject(AccessKind::Email.to_string(), user.to_string())
    }
}

impl AccessProposal {
    pub fn status(&self) -> AccessStatus {
        self.history.status()
    }

    /// Those who have no vote: who proposed it, and who gets it.
    pub fn concerned(&self) -> Vec<Actor> {
        [self.history.creator()].into_iter().chain(self.asked.user().map(Actor::User)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::call::Caller,
        clock::Time,
        id::Id as _,
        money::{Amount, Currency},
        store::codec::golden,
    };

    #[test]
    fn the_machine_is_sound() {
        assert_eq!(ACCESS.flaws(), Vec::<String>::new());
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let usd = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let row = AccessProposal {
            asked: Asked::Roles {
                user: UserId::from_bytes([2; 16]),
                roles: vec![RoleId::from_bytes([1; 16])],
            },
            approval: Approval::of_before(Amount::zero(usd)),
            history: History::begin(AccessStatus::Waiting, &Caller::system(None), at),
            stamp: Stamp::at(at),
        };
        golden("user.access_proposals", &row);
    }
}
