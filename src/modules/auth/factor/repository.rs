//! What is stored of second factors.

use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    store::{
        Index, Key as _, Table,
        codec::{Decode, Encode, row},
    },
};

pub const CHALLENGES_BY_EXPIRY: &str = "auth.challenges_by_expiry";

/// (client, user or operator) → its second factor. Operators stand under the all-zero client.
pub const FACTORS: Table<(ClientId, [u8; 16]), Factor> = Table::new("auth.factors");

/// (client, hash of a challenge) → who has shown its password, and what for.
pub const CHALLENGES: Table<(ClientId, [u8; 32]), Challenge> = Table::new("auth.challenges")
    .with_indexes(&[Index::listing(CHALLENGES_BY_EXPIRY, |_, row| vec![row.expires_at.to_key()])]);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Factor {
    /// The secret, sealed for its owner.
    pub sealed: Vec<u8>,
    /// In force from then on; before that somebody is still typing it into an app.
    pub confirmed_at: Option<Time>,
    /// The half minute of the last code that was taken: none up to it is taken again.
    pub last_step: Option<u64>,
    /// Hashes of the recovery codes that are left.
    pub recovery: Vec<[u8; 32]>,
    pub created_at: Time,
}
row!(Factor);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Challenge {
    /// The user or the operator.
    pub owner: [u8; 16],
    /// SHA-256 of the password's hash: a password that changes meanwhile voids the challenge.
    pub password: [u8; 32],
    /// Wrong codes so far.
    pub wrong: u32,
    pub expires_at: Time,
}
row!(Challenge);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "auth.factors",
            &Factor {
                sealed: vec![1, 2, 3],
                confirmed_at: Some(at),
                last_step: Some(59_844_733),
                recovery: vec![[4; 32], [5; 32]],
                created_at: at,
            },
        );
        golden("auth.challenges", &Challenge { owner: [1; 16], password: [2; 32], wrong: 3, expires_at: at });
    }
}
