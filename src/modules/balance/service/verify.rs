//! Verifying the books of a client: everything that is stored about balances, derived again from the journal.
//!
//! 1. *Entries*, from the first to the one that was last when it began: numbers without gap, times that increase,
//!    hashes that chain, postings that sum to zero, balances and links as folding the postings gives them, no user
//!    below zero but by a chargeback.
//! 2. *Wallets*: each account as folded (one that moved since is looked up where it stood), its id leads to it, what
//!    is held is what the open holds hold; and no account of the journal lacks one.
//!
//! Rows are read in pages, each in a snapshot of its own if the caller likes, so that it can run beside the living
//! ledger. What is folded is kept in memory, so with many accounts it goes over the books in several rounds, each for
//! a part of the accounts.

use std::collections::HashMap;

use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::{Error, Result},
    store::{Key as _, ReadTx, Row as _, Scan},
};
use crate::modules::balance::{
    contract::{Account, AccountOwner, UserAccount},
    model::{
        chain,
        entry::{Entry, Hash, number_of},
        wallet::{AccountRow, Owner, Wallet, WalletKey},
    },
    repository::{ACCOUNT_IDS, ENTRIES, HOLDS, JOURNALS, Journal, WALLETS, last_posting},
    service::{
        history::find_entry,
        post::{Floor, may_be_below_zero},
    },
};
use crate::modules::user::contract::UserContract;

const PAGE: usize = 2000;

/// How many accounts one round folds: some hundred bytes each.
const ACCOUNTS_PER_ROUND: u64 = 500_000;

/// A verification under way.
pub struct Verify {
    client: ClientId,
    /// Where the journal ended when it began.
    end: Journal,
    round: u64,
    rounds: u64,
    stage: Stage,
    folded: HashMap<Account, Folded>,
    /// The first thing that is wrong.
    pub problem: Option<String>,
}

enum Stage {
    /// Behind this entry.
    Entries {
        number: u64,
        hash: Hash,
        at: Time,
    },
    /// Behind this wallet.
    Wallets(Option<Vec<u8>>),
    Done,
}

#[derive(Default)]
struct Folded {
    balance: i128,
    version: u64,
    stack: Vec<u64>,
}

/// `Err` is something wrong with the books; the outer one a read that failed.
type Checked = Result<Result<(), String>>;

impl Verify {
    pub fn begin(tx: &ReadTx, client: ClientId) -> Result<Verify> {
        let accounts = tx.committed_rows(ACCOUNT_IDS.name)?;
        let (end, problem) = match read(tx.raw_get(JOURNALS.name, &client.to_key())?.as_deref()) {
            Ok(journal) => (journal.unwrap_or(Journal::EMPTY), None),
            Err(error) => (Journal::EMPTY, Some(format!("the end of the journal does not read: {error}"))),
        };
        let mut verify = Verify {
            client,
            end,
            round: 0,
            rounds: accounts / ACCOUNTS_PER_ROUND + 1,
            stage: Stage::Entries { number: 0, hash: Journal::EMPTY.hash, at: Journal::EMPTY.at },
            folded: HashMap::new(),
            problem,
        };
        let last = tx.raw_scan(ENTRIES.name, &Scan::prefix(&client).newest_first())?.next().transpose()?;
        let last = last.and_then(|(key, _)| <(ClientId, u64)>::from_key(&key)).map_or(0, |it| it.1);
        if verify.problem.is_none() && last != verify.end.number {
            verify.problem =
                Some(format!("the journal ends at {}, its last entry is {last}", verify.end.number));
        }
        Ok(verify)
    }

    /// All at once, in one snapshot: the first thing wrong.
    pub fn whole(tx: &ReadTx, client: ClientId) -> Result<Option<String>> {
        let mut verify = Verify::begin(tx, client)?;
        while verify.step(tx)? {}
        Ok(verify.problem)
    }

    /// How many entries it covers.
    pub fn entries(&self) -> u64 {
        self.end.number
    }

    /// Checks the next page; whether there is more.
    pub fn step(&mut self, tx: &ReadTx) -> Result<bool> {
        if self.problem.is_some() {
            return Ok(false);
        }
        let checked = match self.stage {
            Stage::Entries { number, hash, at } => self.entries_behind(tx, number, hash, at)?,
            Stage::Wallets(ref after) => {
                let after = after.clone();
                self.wallets_behind(tx, after)?
            }
            Stage::Done => return Ok(false),
        };
        self.problem = checked.err();
        Ok(true)
    }

    fn entries_behind(&mut self, tx: &ReadTx, mut number: u64, mut hash: Hash, mut at: Time) -> Checked {
        let scan = Scan::prefix(&self.client).after((self.client, number).to_key());
        let scan = scan.until((self.client, self.end.number + 1).to_key());
        let mut read_rows = 0;
        for row in tx.raw_scan(ENTRIES.name, &scan)?.take(PAGE) {
            let (key, bytes) = row?;
            read_rows += 1;
            number += 1;
            let found = <(ClientId, u64)>::from_key(&key).map(|it| it.1);
            if found != Some(number) {
                return Ok(Err(format!("entry {number} is missing")));
            }
            let entry = match Entry::decode_row(&bytes) {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(format!("entry {number} does not read: {error}"))),
            };
            if self.round == 0
                && let Err(problem) = self.check_entry(tx, number, &entry, &hash, at)?
            {
                return Ok(Err(format!("entry {number} {problem}")));
            }
            if let Err(problem) = self.fold(number, &entry) {
                return Ok(Err(format!("entry {number} {problem}")));
            }
            (hash, at) = (entry.hash, entry.at);
        }
        if read_rows == PAGE {
            self.stage = Stage::Entries { number, hash, at };
            return Ok(Ok(()));
        }
        if number != self.end.number {
            return Ok(Err(format!("entry {} is missing", number + 1)));
        }
        if (hash, at) != (self.end.hash, self.end.at) {
            return Ok(Err(format!("the end of the journal is not that of entry {number}")));
        }
        self.stage = Stage::Wallets(None);
        Ok(Ok(()))
    }

    fn check_entry(&self, tx: &ReadTx, number: u64, entry: &Entry, hash: &Hash, at: Time) -> Checked {
        if entry.hash != entry.hash_after(self.client, number, hash) {
            return Ok(Err("has another hash than its content and the entry before it give".into()));
        }
        if entry.at <= at {
            return Ok(Err("is not after the entry before it".into()));
        }
        if let Some((currency, sum)) = entry.sums().into_iter().find(|it| it.1 != 0) {
            return Ok(Err(format!("sums to {} {}", currency.show(sum), currency.code)));
        }
        if let Some(reversed) = entry.reverses
            && (number_of(reversed) >= number || find_entry(tx, self.client, reversed)?.is_none())
        {
            return Ok(Err(format!("reverses {reversed}, which is no entry before it")));
        }
        Ok(Ok(()))
    }

    fn fold(&mut self, number: u64, entry: &Entry) -> Result<(), String> {
        for posting in &entry.postings {
            if !is_in_round(self.round, self.rounds, &posting.account) {
                continue;
            }
            let folded = self.folded.entry(posting.account).or_default();
            let account = shown(&posting.account);
            let links = chain::append(&mut folded.stack, folded.version, number);
            folded.version += 1;
            folded.balance = folded.balance.saturating_add(posting.delta);
            if folded.balance != posting.balance_after {
                let show = |minor| posting.account.currency.show(minor);
                let (found, wanted) = (show(posting.balance_after), show(folded.balance));
                return Err(format!("leaves {account} at {found}, its postings sum to {wanted}"));
            }
            let floor = Floor::of_cause(&entry.cause);
            if folded.balance < 0 && posting.delta < 0 && !may_be_below_zero(&posting.account, floor) {
                return Err(format!("leaves {account} below zero"));
            }
            if posting.links() != links {
                return Err(format!("links {account} to {:?}, not {links:?}", posting.links()));
            }
        }
        Ok(())
    }

    fn wallets_behind(&mut self, tx: &ReadTx, after: Option<Vec<u8>>) -> Checked {
        let mut scan = Scan::prefix(&self.client);
        if let Some(key) = after {
            scan = scan.after(key);
        }
        let (mut read_rows, mut last) = (0, None);
        for row in tx.raw_scan(WALLETS.name, &scan)?.take(PAGE) {
            let (key, bytes) = row?;
            read_rows += 1;
            let Some((_, wallet_key)) = <(ClientId, WalletKey)>::from_key(&key) else {
                return Ok(Err("a wallet has a key that does not read".into()));
            };
            let wallet = match Wallet::decode_row(&bytes) {
                Ok(wallet) => wallet,
                Err(error) => {
                    return Ok(Err(format!(
                        "a wallet in {} does not read: {error}",
                        wallet_key.currency.code
                    )));
                }
            };
            for (account, row) in wallet.all(&wallet_key) {
                if is_in_round(self.round, self.rounds, &account)
                    && let Err(problem) = self.check_account(tx, &account, row)?
                {
                    return Ok(Err(format!("account {} ({}) {problem}", row.id, shown(&account))));
                }
            }
            last = Some(key);
        }
        if read_rows == PAGE {
            self.stage = Stage::Wallets(last);
            return Ok(Ok(()));
        }
        if let Some(account) = self.folded.keys().next() {
            return Ok(Err(format!("{} has postings and no balance", shown(account))));
        }
        self.round += 1;
        self.stage = Stage::Done;
        if self.round < self.rounds {
            self.stage = Stage::Entries { number: 0, hash: Journal::EMPTY.hash, at: Journal::EMPTY.at };
        }
        Ok(Ok(()))
    }

    fn check_account(&mut self, tx: &ReadTx, account: &Account, row: &AccountRow) -> Checked {
        let folded = self.folded.remove(account).unwrap_or_default();
        let show = |minor| account.currency.show(minor);
        if row.last_entry() <= self.end.number {
            if row.balance != folded.balance {
                let (found, wanted) = (show(row.balance), show(folded.balance));
                return Ok(Err(format!("holds {found}, its postings sum to {wanted}")));
            }
            if (row.version, &row.stack) != (folded.version, &folded.stack) {
                return Ok(Err(format!("is at version {}, it has {} postings", row.version, folded.version)));
            }
        } else {
            // It moved since: what it was then is found along its chain.
            let last = match last_posting(tx, self.client, account, row, self.end.number, Time::MAX) {
                Err(Error::Fault(fault)) => return Ok(Err(format!("has a broken history: {fault:#}"))),
                other => other?,
            };
            let (number, balance) = last.map_or((0, 0), |it| (it.number, it.posting.balance_after));
            if (number, balance) != (chain::top(&folded.stack), folded.balance) {
                let wanted = chain::top(&folded.stack);
                return Ok(Err(format!("leads to entry {number}, its last posting was in {wanted}")));
            }
        }
        if tx.get(&ACCOUNT_IDS, &(self.client, row.id))? != Some(*account) {
            return Ok(Err("is not found by its id".into()));
        }
        if let AccountOwner::User(user, UserAccount::Held) = account.owner {
            let mut held = 0;
            for hold in tx.scan_index(&HOLDS, "balance.holds_open", Scan::prefix(&(self.client, user))) {
                let (_, hold) = hold?;
                if hold.remaining.currency() == account.currency {
                    held += hold.remaining.minor();
                }
            }
            if held != row.balance {
                return Ok(Err(format!("holds {}, its open holds {}", show(row.balance), show(held))));
            }
        }
        Ok(Ok(()))
    }
}

/// Users who have less than nothing of a currency and are not noted as owing it, or the other way round.
pub fn wrong_debts(tx: &ReadTx, users: &dyn UserContract) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for row in tx.scan(&WALLETS, Scan::all()) {
        let ((client, key), wallet) = row?;
        let Owner::User(user) = key.owner else { continue };
        let (code, owes) = (key.currency.code, wallet.all(&key).any(|(_, it)| it.balance < 0));
        if users.owes(tx, client, user)?.contains(&code) != owes {
            wrong.push(format!("{client}: {user} owes {code}: {owes}; noted otherwise"));
        }
    }
    Ok(wrong)
}

/// Every client that has books.
pub fn clients(tx: &ReadTx) -> Result<Vec<ClientId>> {
    let mut clients = vec![];
    let mut scan = Scan::all();
    // One read per client: from each one's first entry to behind its last.
    while let Some(row) = tx.raw_scan(ENTRIES.name, &scan)?.next() {
        let Some((client, _)) = <(ClientId, u64)>::from_key(&row?.0) else { break };
        clients.push(client);
        scan = Scan::all().after((client, u64::MAX).to_key());
    }
    for row in tx.raw_scan(JOURNALS.name, &Scan::all())? {
        clients.extend(ClientId::from_key(&row?.0).filter(|it| !clients.contains(it)));
    }
    Ok(clients)
}

fn read(bytes: Option<&[u8]>) -> Result<Option<Journal>> {
    bytes.map(Journal::decode_row).transpose()
}

/// The accounts of a wallet are folded in the same round.
fn is_in_round(round: u64, rounds: u64, account: &Account) -> bool {
    let key = WalletKey::of(account);
    rounds == 1 || u64::from(crc32fast::hash(&key.to_key())) % rounds == round
}

/// `usr_… available USD`, `house fee_income USD`.
fn shown(account: &Account) -> String {
    let owner = match WalletKey::of(account).owner {
        Owner::User(user) => user.to_string(),
        Owner::House(_) => "house".to_owned(),
    };
    format!("{owner} {} {}", super::trial::kind(account), account.currency.code)
}
