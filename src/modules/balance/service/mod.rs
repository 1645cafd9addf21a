//! The ledger's use cases, a file each.

mod adjust;
mod history;
mod hold;
mod post;
mod trial;
mod verify;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::kernel::{
    api::principal::{ClientId, UserId},
    error::{Result, fault},
    money::{Amount, Currency, Standing},
    store::{Key as _, ReadTx, Scan, WriteTx},
};
use crate::modules::{
    balance::{
        contract::{
            Account, AccountId, AccountState, BalanceContract, Balances, EntryId, Hold, HoldId, Line,
            NewEntry, Posted, UserAccount,
        },
        model::wallet::WalletKey,
        repository::{ACCOUNT_IDS, HOLDS, WALLETS, wallet},
    },
    client::contract::ClientContract,
    currency::contract::CurrencyContract,
    market::contract::MarketContract,
    user::contract::UserContract,
};

use post::Floor;

pub use history::{BalancesAt, Statement, StatementCursor, StatementQuery, find_entry};
pub use trial::{Sum, Trial, kind};
pub use verify::{Verify, clients};

pub struct Ledger {
    pub currencies: Arc<dyn CurrencyContract>,
    pub users: Arc<dyn UserContract>,
    pub clients: Arc<dyn ClientContract>,
    pub market: Arc<dyn MarketContract>,
}

impl BalanceContract for Ledger {
    fn post(&self, tx: &mut WriteTx, client: ClientId, entry: NewEntry<'_>) -> Result<Posted> {
        post::post(&*self.currencies, tx, client, entry, Floor::Zero)
    }

    fn charge_back(&self, tx: &mut WriteTx, client: ClientId, entry: NewEntry<'_>) -> Result<Posted> {
        match Floor::of_cause(&entry.cause) {
            Floor::None => post::post(&*self.currencies, tx, client, entry, Floor::None),
            Floor::Zero => Err(fault!(
                "{} is neither a dispute nor a payout that went: it takes nothing back",
                entry.cause
            )),
        }
    }

    fn hold(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        amount: Amount,
        cause: String,
        description: &str,
    ) -> Result<(Hold, Posted)> {
        hold::hold(self, tx, client, user, amount, cause, description)
    }

    fn capture(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        hold: HoldId,
        lines: &[Line],
        is_final: bool,
        description: &str,
    ) -> Result<(Hold, Posted)> {
        hold::capture(self, tx, client, hold, lines, is_final, description)
    }

    fn release(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        hold: HoldId,
        description: &str,
    ) -> Result<(Hold, Posted)> {
        hold::release(self, tx, client, hold, description)
    }

    fn find_hold(&self, tx: &ReadTx, client: ClientId, hold: HoldId) -> Result<Option<Hold>> {
        tx.get(&HOLDS, &(client, hold))
    }

    fn balances(&self, tx: &ReadTx, client: ClientId, user: UserId, currency: Currency) -> Result<Balances> {
        let account = |kind| Account::user(user, kind, currency);
        let wallet = wallet(tx, client, WalletKey::of(&account(UserAccount::Available)))?;
        let of = |kind| Amount::new(wallet.balance(&account(kind)), currency);
        Ok(Balances {
            available: Standing::new(wallet.balance(&account(UserAccount::Available)), currency)?,
            held: of(UserAccount::Held)?,
            invested: of(UserAccount::Invested)?,
            commission: of(UserAccount::Commission)?,
        })
    }

    fn account(&self, tx: &ReadTx, client: ClientId, account: Account) -> Result<Option<AccountState>> {
        Ok(wallet(tx, client, WalletKey::of(&account))?.state(&account))
    }

    fn accounts_of(&self, tx: &ReadTx, client: ClientId, user: Option<UserId>) -> Result<Vec<AccountState>> {
        // Users have the tag 0 and stand first: see `WalletKey`.
        let range = match user {
            Some(user) => Scan::prefix(&(client, 0u8, user)),
            None => Scan::prefix(&client).from((client, 1u8).to_key()),
        };
        let mut states = vec![];
        for row in tx.scan(&WALLETS, range) {
            let ((_, key), wallet) = row?;
            states.extend(wallet.all(&key).filter_map(|(account, _)| wallet.state(&account)));
        }
        Ok(states)
    }

    fn account_by_id(&self, tx: &ReadTx, client: ClientId, id: AccountId) -> Result<Option<AccountState>> {
        match tx.get(&ACCOUNT_IDS, &(client, id))? {
            Some(account) => self.account(tx, client, account),
            None => Ok(None),
        }
    }

    fn lines_of(&self, tx: &ReadTx, client: ClientId, entry: EntryId) -> Result<Option<Vec<Line>>> {
        Ok(history::find_entry(tx, client, entry)?.map(|(_, entry)| history::lines(&entry)))
    }

    fn entries_after(
        &self,
        tx: &ReadTx,
        client: ClientId,
        number: u64,
        most: usize,
    ) -> Result<Vec<(EntryId, u64, Vec<Line>)>> {
        history::entries_after(tx, client, number, most)
    }
}
