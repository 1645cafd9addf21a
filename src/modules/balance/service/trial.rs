//! The trial balance: every account summed by kind, as of one entry, however many accounts there are and whatever is
//! posted meanwhile. It goes over the wallets in pages, each from a snapshot of its own; an account that moved since is
//! looked up where it stood.

use std::collections::BTreeMap;

use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::{Result, fault},
    money::Currency,
    store::{Key as _, ReadTx, Scan},
};
use crate::modules::balance::{
    contract::{Account, AccountOwner},
    repository::{Journal, WALLETS, last_posting},
};

const PAGE: usize = 1000;

/// A trial balance in the making.
pub struct Trial {
    client: ClientId,
    /// As of this entry.
    pub number: u64,
    pub at: Time,
    /// By currency and kind of account.
    pub sums: BTreeMap<(Currency, String), Sum>,
    after: Option<Vec<u8>>,
}

/// What the accounts of one kind hold together. Below zero is debit, above it credit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub accounts: u64,
    pub debit: i128,
    pub credit: i128,
}

impl Trial {
    pub fn begin(tx: &ReadTx, client: ClientId) -> Result<Trial> {
        let journal = Journal::of(tx, client)?;
        let (number, at) = (journal.number, journal.at);
        Ok(Trial { client, number, at, sums: BTreeMap::new(), after: None })
    }

    /// Adds the next page; whether there is more.
    pub fn step(&mut self, tx: &ReadTx) -> Result<bool> {
        let mut scan = Scan::prefix(&self.client);
        if let Some(key) = self.after.take() {
            scan = scan.after(key);
        }
        let page: Vec<_> = tx.scan(&WALLETS, scan).take(PAGE).collect::<Result<_>>()?;
        for ((_, key), wallet) in &page {
            for (account, row) in wallet.all(key) {
                let balance = if row.last_entry() <= self.number {
                    Some(row.balance)
                } else {
                    let last = last_posting(tx, self.client, &account, row, self.number, Time::MAX)?;
                    last.map(|it| it.posting.balance_after)
                };
                if let Some(balance) = balance {
                    self.add(&account, balance)?;
                }
            }
        }
        let is_full = page.len() == PAGE;
        self.after = page.last().filter(|_| is_full).map(|(key, _)| key.to_key());
        Ok(is_full)
    }

    fn add(&mut self, account: &Account, balance: i128) -> Result<()> {
        let sum = self.sums.entry((account.currency, kind(account))).or_default();
        sum.accounts += 1;
        let side = if balance < 0 { &mut sum.debit } else { &mut sum.credit };
        let total = side.checked_add(balance.saturating_abs());
        *side = total.ok_or_else(|| fault!("the accounts hold more than can be counted"))?;
        Ok(())
    }
}

/// `available`, `fee_income`, `clearing:gtw_…`.
pub fn kind(account: &Account) -> String {
    match account.owner {
        AccountOwner::User(_, kind) => kind.to_string(),
        AccountOwner::House(kind) => kind.to_string(),
    }
}
