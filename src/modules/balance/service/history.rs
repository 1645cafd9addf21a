//! Looking back: entries, balances at a past instant, statements. Nothing here scans: see `model/chain.rs`.

use super::Ledger;
use crate::kernel::{
    api::{
        input::Flaw,
        page::{Page, Paging},
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::Result,
    money::Currency,
    store::{Key as _, ReadTx, Scan},
};
use crate::modules::balance::{
    contract::{Account, AccountId, EntryId, Line, UserAccount},
    model::{
        entry::{Entry, entry_id, number_of},
        wallet::{Owner, Wallet, WalletKey},
    },
    repository::{self, ENTRIES, Journal, Placed, WALLETS, last_posting, wallet},
};

/// The entry of this id and its number; `None` when there is none.
pub fn find_entry(tx: &ReadTx, client: ClientId, id: EntryId) -> Result<Option<(u64, Entry)>> {
    let number = number_of(id);
    let entry = tx.get(&ENTRIES, &(client, number))?;
    Ok(entry.filter(|it| entry_id(client, number, it.at) == id).map(|it| (number, it)))
}

pub fn lines(entry: &Entry) -> Vec<Line> {
    entry.postings.iter().map(|it| Line { account: it.account, delta: it.delta }).collect()
}

pub fn entries_after(
    tx: &ReadTx,
    client: ClientId,
    number: u64,
    most: usize,
) -> Result<Vec<(EntryId, u64, Vec<Line>)>> {
    let scan = Scan::prefix(&client).after((client, number).to_key());
    let entries = tx.scan(&ENTRIES, scan).take(most);
    entries
        .map(|it| it.map(|((_, number), it)| (entry_id(client, number, it.at), number, lines(&it))))
        .collect()
}

/// What a user has in one currency: minor units by kind, and the account behind each.
#[derive(Debug, Clone)]
pub struct BalancesAt {
    pub currency: Currency,
    pub as_of: Time,
    available: (i128, Option<AccountId>),
    held: i128,
    invested: i128,
    commission: (i128, Option<AccountId>),
}

impl BalancesAt {
    /// What can be spent, what is set aside, what is invested: without what was earned as commission.
    pub fn total(&self) -> i128 {
        self.available.0 + self.held + self.invested
    }

    pub fn of(&self, kind: UserAccount) -> i128 {
        match kind {
            UserAccount::Available => self.available.0,
            UserAccount::Held => self.held,
            UserAccount::Invested => self.invested,
            UserAccount::Commission => self.commission.0,
        }
    }

    /// The accounts that transfers may name.
    pub fn accounts(&self) -> (Option<AccountId>, Option<AccountId>) {
        (self.available.1, self.commission.1)
    }
}

/// A part of the history of one account.
#[derive(Debug)]
pub struct Statement {
    pub opening: i128,
    pub closing: i128,
    /// Newest first.
    pub lines: Vec<Placed>,
    pub next: Option<StatementCursor>,
}

#[derive(Debug, Clone)]
pub struct StatementQuery {
    pub account: Account,
    /// Inclusive.
    pub from: Option<Time>,
    /// Exclusive.
    pub to: Option<Time>,
}

/// Where the next page of a statement goes on. It is of the same journal as the first: what is posted meanwhile does
/// not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementCursor {
    /// The journal's last entry when the first page was read.
    pub last: u64,
    /// The last entry shown.
    pub shown: u64,
}

impl StatementCursor {
    pub fn to_bytes(self) -> Vec<u8> {
        (self.last, self.shown).to_key()
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<StatementCursor> {
        let (last, shown) = <(u64, u64)>::from_key(bytes)?;
        Some(StatementCursor { last, shown })
    }
}

impl Ledger {
    /// What the user has in each currency it ever had anything in; `as_of` a past instant when one is given.
    pub fn all_balances(
        &self,
        tx: &ReadTx,
        client: ClientId,
        user: UserId,
        as_of: Option<Time>,
    ) -> Result<Vec<BalancesAt>> {
        // Users have the tag 0: see `WalletKey`.
        let wallets: Vec<_> = tx.scan(&WALLETS, Scan::prefix(&(client, 0u8, user))).collect::<Result<_>>()?;
        let mut balances = vec![];
        for ((_, key), wallet) in wallets {
            balances.push(balances_at(tx, client, user, key, &wallet, as_of)?);
        }
        Ok(balances)
    }

    pub fn balances_in(
        &self,
        tx: &ReadTx,
        client: ClientId,
        user: UserId,
        currency: Currency,
        as_of: Option<Time>,
    ) -> Result<BalancesAt> {
        let key = WalletKey { owner: Owner::User(user), currency };
        balances_at(tx, client, user, key, &wallet(tx, client, key)?, as_of)
    }

    /// One page of a statement: the balance at both ends of the whole, and up to `limit` lines.
    pub fn statement(
        &self,
        tx: &ReadTx,
        client: ClientId,
        query: &StatementQuery,
        cursor: Option<StatementCursor>,
        limit: usize,
    ) -> Result<Statement> {
        let StatementQuery { account, from, to } = query;
        if let (Some(from), Some(to)) = (from, to)
            && from > to
        {
            return Err(Flaw::new("to", "out_of_range", "is before from").into());
        }
        let wallet = wallet(tx, client, WalletKey::of(account))?;
        let Some(row) = wallet.row(account) else {
            return Ok(Statement { opening: 0, closing: 0, lines: vec![], next: None });
        };
        let last = cursor.map_or(Journal::of(tx, client)?.number, |it| it.last);
        let (from, to) = (from.unwrap_or(Time::ZERO), to.unwrap_or(Time::MAX));
        let before = last_posting(tx, client, account, row, last, from)?;
        let newest = last_posting(tx, client, account, row, last, to)?;
        let balance = |placed: &Option<Placed>| placed.as_ref().map_or(0, |it| it.posting.balance_after);
        let (opening, closing) = (balance(&before), balance(&newest));
        let mut next = match cursor {
            None => newest,
            Some(cursor) => older(tx, client, account, &shown(tx, client, account, cursor.shown)?)?,
        };
        let mut lines: Vec<Placed> = vec![];
        while let Some(placed) = next.filter(|it| it.entry.at >= from) {
            if lines.len() == limit {
                let shown = lines.last().map_or(0, |it| it.number);
                return Ok(Statement {
                    opening,
                    closing,
                    lines,
                    next: Some(StatementCursor { last, shown }),
                });
            }
            next = older(tx, client, account, &placed)?;
            lines.push(placed);
        }
        Ok(Statement { opening, closing, lines, next: None })
    }

    /// The entries that moved `account`, newest first.
    pub fn entries_of(
        &self,
        tx: &ReadTx,
        client: ClientId,
        account: &Account,
        paging: &Paging,
    ) -> Result<Page<(u64, Entry)>> {
        let mut next = match paging.behind()? {
            Some(key) => {
                let number = u64::from_key(key).ok_or_else(Paging::bad_cursor)?;
                older(tx, client, account, &shown(tx, client, account, number)?)?
            }
            None => match wallet(tx, client, WalletKey::of(account))?.row(account) {
                Some(row) => Some(repository::posting(tx, client, account, row.last_entry())?),
                None => None,
            },
        };
        let mut entries = vec![];
        while let Some(placed) = next {
            if entries.len() == paging.limit() {
                let position = entries.last().map(|(number, _): &(u64, Entry)| number.to_key());
                return Ok(Page::of(entries, paging, position));
            }
            next = older(tx, client, account, &placed)?;
            entries.push((placed.number, placed.entry));
        }
        Ok(Page::of(entries, paging, None))
    }
}

fn balances_at(
    tx: &ReadTx,
    client: ClientId,
    user: UserId,
    key: WalletKey,
    wallet: &Wallet,
    as_of: Option<Time>,
) -> Result<BalancesAt> {
    let of = |kind| -> Result<(i128, Option<AccountId>)> {
        let account = Account::user(user, kind, key.currency);
        let Some(row) = wallet.row(&account) else { return Ok((0, None)) };
        let balance = match as_of {
            None => row.balance,
            Some(at) => {
                let end = Time::from_micros(at.micros().saturating_add(1));
                let last = last_posting(tx, client, &account, row, u64::MAX, end)?;
                last.map_or(0, |it| it.posting.balance_after)
            }
        };
        Ok((balance, Some(row.id)))
    };
    Ok(BalancesAt {
        currency: key.currency,
        as_of: as_of.unwrap_or(tx.now()),
        available: of(UserAccount::Available)?,
        held: of(UserAccount::Held)?.0,
        invested: of(UserAccount::Invested)?.0,
        commission: of(UserAccount::Commission)?,
    })
}

/// The account's posting before this one.
fn older(tx: &ReadTx, client: ClientId, account: &Account, placed: &Placed) -> Result<Option<Placed>> {
    match placed.posting.previous {
        0 => Ok(None),
        number => repository::posting(tx, client, account, number).map(Some),
    }
}

/// The posting a cursor speaks of; refuses a cursor that somebody made up.
fn shown(tx: &ReadTx, client: ClientId, account: &Account, number: u64) -> Result<Placed> {
    let entry = tx.get(&ENTRIES, &(client, number))?;
    let placed = entry.and_then(|entry| {
        let posting = entry.posting(account).copied()?;
        Some(Placed { number, entry, posting })
    });
    placed.ok_or_else(Paging::bad_cursor)
}
