//! Whether records and journal agree: every record's entry exists and moved its user's money, and every entry that
//! changed what a user has at hand has a record that says so.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::Transactions;
use crate::{
    kernel::{
        api::principal::{ClientId, UserId},
        error::Result,
        money::Currency,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, EntryId, Line, UserAccount},
        transaction::{contract::TransactionStatus, repository::TRANSACTIONS},
    },
};

const PAGE: usize = 1000;

impl Transactions {
    /// What is wrong, at most one line per client.
    pub fn check(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        for client in self.clients.all(tx)? {
            wrong.extend(self.check_client(tx, client)?.map(|it| format!("{client}: {it}")));
        }
        Ok(wrong)
    }

    fn check_client(&self, tx: &ReadTx, client: ClientId) -> Result<Option<String>> {
        // Hashes, to take eight bytes for each movement instead of forty: a record that is missing shows all the same.
        let mut recorded = HashSet::new();
        for row in tx.scan(&TRANSACTIONS, Scan::prefix(&client)) {
            let (_, row) = row?;
            for entry in [Some(row.entry), row.reversed_by].into_iter().flatten() {
                let Some(lines) = self.balances.lines_of(tx, client, entry)? else {
                    return Ok(Some(format!("{} names {entry}, which does not exist", row.id)));
                };
                if !lines.iter().any(|it| it.account.user_id() == Some(row.user)) {
                    return Ok(Some(format!(
                        "{} names {entry}, which did not move its user's money",
                        row.id
                    )));
                }
                if matches!(row.status, TransactionStatus::Completed | TransactionStatus::Reversed) {
                    recorded.insert(movement(entry, row.user));
                }
            }
        }
        let mut number = 0;
        loop {
            let page = self.balances.entries_after(tx, client, number, PAGE)?;
            for (entry, _, lines) in &page {
                let missing = moved(lines).into_iter().find(|it| !recorded.contains(&movement(*entry, *it)));
                if let Some(user) = missing {
                    return Ok(Some(format!("{entry} moved money of {user}, and no transaction says so")));
                }
            }
            match page.last() {
                Some((_, last, _)) => number = *last,
                None => return Ok(None),
            }
        }
    }
}

/// The users who have more or less at hand after an entry: available and held together, so that a hold is none.
fn moved(lines: &[Line]) -> Vec<UserId> {
    let mut sums: Vec<(UserId, Currency, i128)> = vec![];
    for line in lines {
        let AccountOwner::User(user, UserAccount::Available | UserAccount::Held) = line.account.owner else {
            continue;
        };
        match sums.iter_mut().find(|it| (it.0, it.1) == (user, line.account.currency)) {
            Some(sum) => sum.2 += line.delta,
            None => sums.push((user, line.account.currency, line.delta)),
        }
    }
    sums.into_iter().filter(|it| it.2 != 0).map(|it| it.0).collect()
}

fn movement(entry: EntryId, user: UserId) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry, user).hash(&mut hasher);
    hasher.finish()
}
