//! The ledger's tables.

use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    clock::Time,
    error::{Result, fault},
    store::{
        Index, Key as _, ReadTx, Table,
        codec::{Decode, Encode, row},
    },
};
use crate::modules::balance::{
    contract::{Account, AccountId, AdjustmentId, Hold, HoldId},
    model::{
        adjustment::Adjustment,
        chain,
        entry::{Entry, Hash, Posting},
        wallet::{AccountRow, Wallet, WalletKey},
    },
};

/// (client, owner and currency) → the accounts there, with their balances. The hot rows: no index hangs on them.
pub const WALLETS: Table<(ClientId, WalletKey), Wallet> = Table::new("balance.wallets");

/// (client, account) → which account that is. Written once, when the account first moves.
pub const ACCOUNT_IDS: Table<(ClientId, AccountId), Account> = Table::new("balance.account_ids");
row!(Account);

/// (client, number) → entry. Append-only, at the right edge; no index per posting: see `model/chain.rs`.
pub const ENTRIES: Table<(ClientId, u64), Entry> = Table::new("balance.entries");

/// client → where its journal ends.
pub const JOURNALS: Table<ClientId, Journal> = Table::new("balance.journals");

/// (client, hold) → hold.
pub const HOLDS: Table<(ClientId, HoldId), Hold> = Table::new("balance.holds").with_indexes(&[
    // (client, user) → its open holds
    Index::listing("balance.holds_open", |(client, _), hold| match hold.is_open {
        true => vec![(*client, hold.user).to_key()],
        false => vec![],
    }),
]);
row!(Hold);

/// (client, adjustment) → adjustment.
pub const ADJUSTMENTS: Table<(ClientId, AdjustmentId), Adjustment> =
    Table::new("balance.adjustments").with_indexes(&[by_external_id(ADJUSTMENTS_BY_EXTERNAL_ID)]);
pub const ADJUSTMENTS_BY_EXTERNAL_ID: &str = "balance.adjustments_by_external_id";

/// Where a client's journal ends.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Journal {
    pub number: u64,
    pub hash: Hash,
    pub at: Time,
}
row!(Journal);

impl Journal {
    /// Of a client without entries.
    pub const EMPTY: Journal = Journal { number: 0, hash: [0; 32], at: Time::ZERO };

    pub fn of(tx: &ReadTx, client: ClientId) -> Result<Journal> {
        Ok(tx.get(&JOURNALS, &client)?.unwrap_or(Journal::EMPTY))
    }
}

pub fn wallet(tx: &ReadTx, client: ClientId, key: WalletKey) -> Result<Wallet> {
    Ok(tx.get(&WALLETS, &(client, key))?.unwrap_or_default())
}

/// An entry that something leads to; a fault when it is not there.
pub fn entry(tx: &ReadTx, client: ClientId, number: u64) -> Result<Entry> {
    let entry = tx.get(&ENTRIES, &(client, number))?;
    entry.ok_or_else(|| fault!("entry {number} of {client} is not there: run ledger verify"))
}

/// A posting where it stands.
#[derive(Debug, Clone)]
pub struct Placed {
    pub number: u64,
    pub entry: Entry,
    pub posting: Posting,
}

/// The posting that entry `number` made in `account`; a fault when there is none.
pub fn posting(tx: &ReadTx, client: ClientId, account: &Account, number: u64) -> Result<Placed> {
    let entry = entry(tx, client, number)?;
    let posting = entry.posting(account).copied();
    let posting =
        posting.ok_or_else(|| fault!("entry {number} of {client} lacks a posting: run ledger verify"))?;
    Ok(Placed { number, entry, posting })
}

/// The account's last posting before `end` (exclusive) among the entries up to `number`.
pub fn last_posting(
    tx: &ReadTx,
    client: ClientId,
    account: &Account,
    row: &AccountRow,
    number: u64,
    end: Time,
) -> Result<Option<Placed>> {
    chain::seek(
        row.last_entry(),
        |number| posting(tx, client, account, number),
        |it| it.posting.links(),
        |it| it.number <= number && it.entry.at < end,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::principal::UserId,
        id::Id as _,
        money::{Amount, Currency},
        store::codec::golden,
    };
    use crate::modules::balance::contract::UserAccount;

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let (user, currency) =
            (UserId::from_bytes([2; 16]), Currency { code: "USD".parse().unwrap(), decimals: 2 });
        let at = Time::from_micros(1_795_342_000_000_000);
        let amount = Amount::new(500, currency).unwrap();
        golden("balance.account_ids", &Account::user(user, UserAccount::Held, currency));
        golden("balance.journals", &Journal { number: 300, hash: [3; 32], at });
        golden(
            "balance.holds",
            &Hold {
                id: HoldId::from_bytes([1; 16]),
                user,
                remaining: amount,
                original: amount,
                cause: "wdr_1".into(),
                is_open: true,
                created_at: at,
            },
        );
    }
}
