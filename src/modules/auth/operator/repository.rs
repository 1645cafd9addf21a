//! What is stored of operators.

use crate::{
    kernel::{
        api::principal::OperatorId,
        clock::Time,
        error::Result,
        store::{
            Index, Key, ReadTx, Scan, Table,
            codec::{Decode, Encode, row},
        },
    },
    modules::auth::contract::OperatorTokenId,
};

pub const BY_EMAIL: &str = "auth.operators_by_email";
pub const TOKENS_BY_HASH: &str = "auth.operator_tokens_by_hash";
pub const TOKENS_BY_OPERATOR: &str = "auth.operator_tokens_by_operator";
pub const TOKENS_BY_EXPIRY: &str = "auth.operator_tokens_by_expiry";

/// operator → who it is.
pub const OPERATORS: Table<OperatorId, Operator> = Table::new("auth.operators")
    .with_indexes(&[Index::lookup(BY_EMAIL, |_, row| vec![row.email.clone().to_key()])]);

/// token → whose it is and how long it is good. Sign-ins are removed when they end; named tokens stay to be seen.
pub const OPERATOR_TOKENS: Table<OperatorTokenId, OperatorToken> = Table::new("auth.operator_tokens")
    .with_indexes(&[
        Index::lookup(TOKENS_BY_HASH, |_, row| vec![row.hash.to_vec()]),
        Index::listing(TOKENS_BY_OPERATOR, |_, row| vec![row.operator.to_key()]),
        Index::listing(TOKENS_BY_EXPIRY, |_, row| match (&row.name, row.expires_at) {
            (None, Some(expires_at)) => vec![expires_at.to_key()],
            _ => vec![],
        }),
    ]);

/// hash of a set-up token → how long it is good. At most one row.
pub const SETUP_TOKENS: Table<[u8; 32], SetupToken> = Table::new("auth.setup_tokens");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Operator {
    /// Lower case; unique.
    pub email: String,
    pub password_hash: String,
    pub created_at: Time,
    pub updated_at: Time,
}
row!(Operator);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct OperatorToken {
    pub hash: [u8; 32],
    /// Who acts. For a token made on the machine itself an operator of its own, without a row.
    pub operator: OperatorId,
    /// `None` for a sign-in.
    pub name: Option<String>,
    pub created_at: Time,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
}
row!(OperatorToken);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SetupToken {
    pub expires_at: Time,
}
row!(SetupToken);

impl OperatorToken {
    pub fn is_good(&self, now: Time) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|it| it > now)
    }
}

pub fn is_claimed(tx: &ReadTx) -> Result<bool> {
    Ok(tx.scan(&OPERATORS, Scan::all()).next().transpose()?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let operator = OperatorId::from_bytes([1; 16]);
        golden(
            "auth.operators",
            &Operator {
                email: "root@example.com".into(),
                password_hash: "$argon2id$".into(),
                created_at: at,
                updated_at: at,
            },
        );
        golden(
            "auth.operator_tokens",
            &OperatorToken {
                hash: [2; 32],
                operator,
                name: Some("nightly".into()),
                created_at: at,
                expires_at: None,
                revoked_at: Some(at),
            },
        );
        golden("auth.setup_tokens", &SetupToken { expires_at: at });
    }
}
