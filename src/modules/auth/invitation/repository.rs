//! What is stored of invitations.

use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, by_external_id, stamped},
            principal::{Actor, ClientId, UserId},
        },
        clock::Time,
        store::{
            Index, Key as _, Table,
            codec::{Decode, Encode, row},
        },
    },
    modules::{auth::contract::InvitationId, role::contract::RoleId},
};

/// hash of a token → the invitation it accepts
pub const BY_HASH: &str = "auth.invitations_by_hash";
/// (client, address) → the invitation that waits for it
pub const BY_EMAIL: &str = "auth.invitations_by_email";
pub const BY_EXTERNAL_ID: &str = "auth.invitations_by_external_id";

/// (client, invitation) → invitation
pub const INVITATIONS: Table<(ClientId, InvitationId), Invitation> = Table::new("auth.invitations")
    .with_indexes(&[
        Index::lookup(BY_HASH, |_, row| vec![row.hash.to_vec()]),
        Index::lookup(BY_EMAIL, |key, row| match row.outcome {
            None => vec![(key.0, row.email.clone()).to_key()],
            Some(_) => vec![],
        }),
        by_external_id(BY_EXTERNAL_ID),
    ]);

text_enum! {
    pub enum InvitationStatus {
        Pending = "pending",
        Accepted = "accepted",
        Revoked = "revoked",
        /// Its time passed.
        Expired = "expired",
    }
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Invitation {
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub roles: Vec<RoleId>,
    pub invited_by: Actor,
    /// Of the token, as made by `Secrets::hash`.
    pub hash: [u8; 32],
    pub expires_at: Time,
    pub outcome: Option<Outcome>,
    pub stamp: Stamp,
}
row!(Invitation);
stamped!(Invitation);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    Accepted(UserId),
    Revoked,
}

impl Invitation {
    pub fn status(&self, now: Time) -> InvitationStatus {
        match self.outcome {
            Some(Outcome::Accepted(_)) => InvitationStatus::Accepted,
            Some(Outcome::Revoked) => InvitationStatus::Revoked,
            None if self.expires_at <= now => InvitationStatus::Expired,
            None => InvitationStatus::Pending,
        }
    }

    pub fn user(&self) -> Option<UserId> {
        match self.outcome {
            Some(Outcome::Accepted(user)) => Some(user),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = Invitation {
            email: "ann@example.com".into(),
            first_name: "Ann".into(),
            last_name: "Smith".into(),
            roles: vec![RoleId::from_bytes([1; 16])],
            invited_by: Actor::User(UserId::from_bytes([2; 16])),
            hash: [3; 32],
            expires_at: at,
            outcome: Some(Outcome::Accepted(UserId::from_bytes([4; 16]))),
            stamp: Stamp::at(at),
        };
        golden("auth.invitations", &row);
        let waiting = Invitation { outcome: None, ..row };
        assert_eq!(waiting.status(at), InvitationStatus::Expired, "at the very instant");
        assert_eq!(waiting.status(Time::from_micros(at.micros() - 1)), InvitationStatus::Pending);
    }
}
