//! The tables of Transaction.

use crate::kernel::{
    api::{
        object::{by_external_id, timed},
        principal::ClientId,
    },
    store::{Index, Key as _, Table, codec::row},
};
use crate::modules::transaction::{
    contract::{Transaction, TransactionId, TransferId},
    model::Transfer,
};

/// (client, transaction) → record.
pub const TRANSACTIONS: Table<(ClientId, TransactionId), Transaction> =
    Table::new("transaction.transactions").with_indexes(&[
        // (client, user) → its records
        Index::listing(BY_USER, |(client, _), row| vec![(*client, row.user).to_key()]),
    ]);
row!(Transaction);
timed!(Transaction, times, true, |row| Some(&row.metadata));

pub const BY_USER: &str = "transaction.transactions_by_user";

/// (client, transfer) → transfer. Those of one user are found through its records: each has one by then.
pub const TRANSFERS: Table<(ClientId, TransferId), Transfer> = Table::new("transaction.transfers")
    .with_indexes(&[
        by_external_id(BY_EXTERNAL_ID),
        // when → transfers that expire then; only while something is held
        Index::listing(EXPIRING, |_, row| row.expires_at().iter().map(|it| it.to_key()).collect()),
    ]);

pub const BY_EXTERNAL_ID: &str = "transaction.transfers_by_external_id";
pub const EXPIRING: &str = "transaction.transfers_expiring";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::{object::Times, principal::UserId},
            clock::Time,
            id::Id as _,
            money::{Amount, Standing},
            store::codec::golden,
        },
        modules::{
            balance::contract::EntryId,
            transaction::contract::{EntryType, TransactionStatus},
        },
    };

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let currency = crate::kernel::money::Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "transaction.transactions",
            &Transaction {
                id: TransactionId::from_bytes([1; 16]),
                user: UserId::from_bytes([2; 16]),
                entry_type: EntryType::Debit,
                amount: Amount::new(500, currency).unwrap(),
                balance_after: Standing::new(100, currency).unwrap(),
                status: TransactionStatus::Reversed,
                category: "transfer".into(),
                narration: "Rent".into(),
                cause: "tfr_1".into(),
                entry: EntryId::from_bytes([3; 16]),
                reversed_by: Some(EntryId::from_bytes([4; 16])),
                metadata: Default::default(),
                times: Times { version: 2, ..Times::at(at) },
            },
        );
    }
}
