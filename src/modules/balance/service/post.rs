//! Posting an entry: the one function that changes a balance.
//!
//! It reads the journal's end and one row per wallet, and writes those and the entry: four rows for a transfer between
//! two owners, whatever their history.

use std::time::Duration;

use crate::kernel::{
    api::principal::ClientId,
    error::{Result, fault},
    money::{Amount, Standing},
    store::WriteTx,
};
use crate::modules::{
    balance::{
        contract::{
            Account, AccountOwner, BalanceRefusal, DisputeId, NewEntry, PayoutConflictId, Posted, UserAccount,
        },
        model::{
            chain,
            entry::{Entry, MOST_ENTRIES, Posting, entry_id},
            wallet::{Wallet, WalletKey},
        },
        repository::{ACCOUNT_IDS, ENTRIES, JOURNALS, Journal, WALLETS, wallet},
    },
    currency::contract::CurrencyContract,
};

/// How far down an entry may take what users have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floor {
    Zero,
    /// What is gone already: available money goes below zero when its user has spent it.
    None,
}

impl Floor {
    /// As the journal says it: entries of disputes, and of payouts that went after all, and no others, take money back
    /// whether or not it is there.
    pub fn of_cause(cause: &str) -> Floor {
        let is_gone = cause.parse::<DisputeId>().is_ok() || cause.parse::<PayoutConflictId>().is_ok();
        if is_gone { Floor::None } else { Floor::Zero }
    }
}

/// Whether an entry with this floor may leave the account below zero.
pub fn may_be_below_zero(account: &Account, floor: Floor) -> bool {
    match account.owner {
        AccountOwner::House(_) => true,
        AccountOwner::User(_, UserAccount::Available) => floor == Floor::None,
        AccountOwner::User(..) => false,
    }
}

/// What an entry does to one account, and where the account's wallet is in the list of those it touches.
struct Move {
    account: Account,
    delta: i128,
    wallet: usize,
}

pub fn post(
    currencies: &dyn CurrencyContract,
    tx: &mut WriteTx,
    client: ClientId,
    entry: NewEntry<'_>,
    floor: Floor,
) -> Result<Posted> {
    let mut moves = net(&entry)?;
    let mut wallets: Vec<(WalletKey, Wallet)> = Vec::with_capacity(moves.len());
    for it in &mut moves {
        let key = WalletKey::of(&it.account);
        it.wallet = match wallets.iter().position(|(known, _)| *known == key) {
            Some(place) => place,
            None => {
                wallets.push((key, wallet(tx, client, key)?));
                wallets.len() - 1
            }
        };
        check(it, wallets[it.wallet].1.balance(&it.account), floor)?;
    }
    let journal = Journal::of(tx, client)?;
    if journal.number >= MOST_ENTRIES {
        return Err(fault!("the journal of {client} is full"));
    }

    let number = journal.number + 1;
    let at = tx.now().max(journal.at.after(Duration::from_micros(1)));
    let id = entry_id(client, number, at);
    tx.note_id(id);
    let mut postings = Vec::with_capacity(moves.len());
    for it in &moves {
        let row = wallets[it.wallet].1.row_or_open(&it.account, || tx.new_id());
        row.balance += it.delta;
        let links = chain::append(&mut row.stack, row.version, number);
        row.version += 1;
        let is_new = row.version == 1;
        let (account_id, balance_after) = (row.id, row.balance);
        postings.push(Posting {
            account: it.account,
            delta: it.delta,
            balance_after,
            previous: links.previous,
            jump: links.jump,
        });
        if is_new {
            currencies.use_currency(tx, it.account.currency.code)?;
            tx.insert(&ACCOUNT_IDS, &(client, account_id), &it.account)?;
        }
    }
    // Every wallet was read, so what a line's account holds is known even when its lines cancelled out.
    let state_of = |account: &Account| {
        let key = WalletKey::of(account);
        wallets.iter().find(|(known, _)| *known == key).and_then(|(_, wallet)| wallet.state(account))
    };
    let balances = entry.lines.iter().filter_map(|line| state_of(&line.account)).collect();
    let mut row = Entry {
        at,
        cause: entry.cause,
        description: entry.description.to_owned(),
        reverses: entry.reverses,
        postings,
        hash: [0; 32],
    };
    row.hash = row.hash_after(client, number, &journal.hash);
    for (key, wallet) in wallets {
        tx.put(&WALLETS, &(client, key), &wallet)?;
    }
    tx.put(&JOURNALS, &client, &Journal { number, hash: row.hash, at })?;
    tx.insert(&ENTRIES, &(client, number), &row)?;
    Ok(Posted { id, number, at, balances })
}

/// One move per account. A fault when the lines of a currency do not sum to zero, or nothing moves.
fn net(entry: &NewEntry<'_>) -> Result<Vec<Move>> {
    let too_much = || fault!("the lines of {} are beyond counting", entry.cause);
    let mut moves: Vec<Move> = Vec::with_capacity(entry.lines.len());
    let mut sums: Vec<(crate::kernel::money::Currency, i128)> = Vec::with_capacity(1);
    for line in entry.lines {
        let currency = line.account.currency;
        match sums.iter_mut().find(|it| it.0 == currency) {
            Some((_, sum)) => *sum = sum.checked_add(line.delta).ok_or_else(too_much)?,
            None => sums.push((currency, line.delta)),
        }
        match moves.iter_mut().find(|it| it.account == line.account) {
            Some(known) => known.delta = known.delta.checked_add(line.delta).ok_or_else(too_much)?,
            None => moves.push(Move { account: line.account, delta: line.delta, wallet: 0 }),
        }
    }
    if let Some((currency, sum)) = sums.into_iter().find(|it| it.1 != 0) {
        return Err(fault!("the lines of {} sum to {} {}", entry.cause, currency.show(sum), currency.code));
    }
    moves.retain(|it| it.delta != 0);
    if moves.is_empty() {
        return Err(fault!("the entry of {} moves nothing", entry.cause));
    }
    Ok(moves)
}

/// Refuses what would take money of a user below zero, or any account beyond what can be counted. What a chargeback
/// left below zero may rise, whether or not it rises above.
fn check(it: &Move, balance: i128, floor: Floor) -> Result<()> {
    let currency = it.account.currency;
    if it.delta < 0 && !may_be_below_zero(&it.account, floor) && balance.saturating_add(it.delta) < 0 {
        let (available, wanted) =
            (Standing::new(balance, currency)?, Amount::new(it.delta.saturating_neg(), currency)?);
        return Err(BalanceRefusal::InsufficientFunds { available, wanted, currency: currency.code }.into());
    }
    let after = balance.checked_add(it.delta).and_then(i128::checked_abs);
    Amount::new(after.unwrap_or(i128::MAX), currency).map(drop)
}
