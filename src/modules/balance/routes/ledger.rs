//! The ledger itself: accounts, entries, and whether the books are right.

use std::{collections::BTreeMap, sync::Arc};

use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, get},
        input::input,
        page::{Cursor, Limit, Page, Paging, page},
        principal::{ClientId, UserId},
    },
    boot::Kernel,
    clock::Time,
    error::{Result, fault},
    id,
    money::CurrencyCode,
    store::ReadTx,
};
use crate::modules::balance::{
    contract::{Account, AccountId, BalanceContract as _, EntryId},
    model::{
        entry::{Entry, Posting, entry_id},
        wallet::WalletKey,
    },
    repository::{ACCOUNT_IDS, ENTRIES, Journal, entry, wallet},
    service::{Ledger, Sum, Trial, Verify, find_entry, kind},
};

/// An account of the ledger.
#[derive(Serialize, utoipa::ToSchema)]
struct AccountOut {
    id: AccountId,
    #[schema(value_type = String)]
    object: &'static str,
    /// Whose; absent for the house.
    user_id: Option<UserId>,
    /// `available`, `fee_income`, `clearing:gtw_…`.
    kind: String,
    currency: CurrencyCode,
    /// Below zero only for accounts of the house.
    balance: String,
    created_at: Time,
    updated_at: Time,
    /// How many postings it has had.
    version: u64,
}

struct AccountsQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    user_id: Option<UserId>,
    currency: Option<CurrencyCode>,
    kind: Option<String>,
}
input!(AccountsQuery { limit, cursor, user_id, currency, kind });

/// A journal entry. It never changes.
#[derive(Serialize, utoipa::ToSchema)]
struct EntryOut {
    id: EntryId,
    #[schema(value_type = String)]
    object: &'static str,
    /// Gapless, from 1.
    number: u64,
    created_at: Time,
    /// The id of what caused it.
    cause: String,
    description: String,
    /// The entry this one takes back.
    reverses: Option<EntryId>,
    postings: Vec<PostingOut>,
    /// SHA-256 of the entry before, hexadecimal.
    previous_hash: String,
    hash: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct PostingOut {
    account_id: Option<AccountId>,
    user_id: Option<UserId>,
    kind: String,
    currency: CurrencyCode,
    /// Above zero raises the account.
    amount: String,
    balance_after: String,
}

struct EntriesQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    account: Option<AccountId>,
}
input!(EntriesQuery { limit, cursor, account });

/// All accounts, summed by kind.
#[derive(Serialize, utoipa::ToSchema)]
struct TrialBalanceOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// The last entry that counts.
    entry_number: u64,
    as_of: Option<Time>,
    /// Debit equals credit in every currency.
    balanced: bool,
    currencies: Vec<TrialCurrency>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct TrialCurrency {
    currency: CurrencyCode,
    /// What accounts below zero lack, together.
    debit: String,
    /// What accounts above zero hold, together.
    credit: String,
    kinds: Vec<TrialKind>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct TrialKind {
    kind: String,
    accounts: u64,
    debit: String,
    credit: String,
}

/// Whether the books are right.
#[derive(Serialize, utoipa::ToSchema)]
struct VerifyOut {
    #[schema(value_type = String)]
    object: &'static str,
    ok: bool,
    /// How many entries were checked.
    checked: u64,
    /// The first thing that is wrong.
    first_problem: Option<String>,
}

pub fn endpoints(ledger: &Arc<Ledger>) -> Vec<Endpoint> {
    let ledger = ledger.clone();
    vec![
        get("/ledger/accounts")
            .about("List the accounts of the ledger")
            .needs("ledger.view_any")
            .lists(accounts),
        get("/ledger/entries")
            .about("List journal entries, of one account if you like")
            .needs("ledger.view_any")
            .lists(move |tx, call: &Call<(), EntriesQuery>| entries(&ledger, tx, call)),
        get("/ledger/entries/{id}").about("Show a journal entry").needs("ledger.view_any").reads(
            |tx, call: &Call<EntryId, ()>| {
                let client = call.caller.client()?;
                let (number, entry) = found(find_entry(tx, client, call.path)?)?;
                entry_out(tx, client, number, entry)
            },
        ),
        get("/ledger/trial-balance").about("Sum all accounts by kind").needs("ledger.view_any").runs(
            |kernel: Arc<Kernel>, call: Call| async move {
                let client = call.caller.client()?;
                let summed = tokio::task::spawn_blocking(move || trial_balance(&kernel, client));
                summed.await.map_err(|error| fault!("the trial balance ended early: {error}"))?
            },
        ),
        get("/ledger/verify")
            .about("Derive everything that is stored about balances again, and compare")
            .needs("ledger.view_any")
            .runs(|kernel: Arc<Kernel>, call: Call| async move {
                let client = call.caller.client()?;
                let verified = tokio::task::spawn_blocking(move || verify(&kernel, client));
                verified.await.map_err(|error| fault!("the verification ended early: {error}"))?
            }),
    ]
}

fn accounts(tx: &ReadTx, call: &Call<(), AccountsQuery>) -> Result<Page<AccountOut>> {
    let AccountsQuery { limit, cursor, user_id, currency, kind: wanted } = &call.input;
    let paging = Paging::new(*limit, cursor, (user_id, currency, wanted));
    let client = call.caller.client()?;
    let keep = |it: &Account| {
        user_id.is_none_or(|user| it.user_id() == Some(user))
            && currency.is_none_or(|code| it.currency.code == code)
            && wanted.as_ref().is_none_or(|wanted| kind(it) == *wanted)
    };
    let page = page(tx, &ACCOUNT_IDS, &client, &paging, keep)?;
    page.try_map(|((_, id), account)| account_out(tx, client, id, &account))
}

fn account_out(tx: &ReadTx, client: ClientId, id: AccountId, account: &Account) -> Result<AccountOut> {
    let wallet = wallet(tx, client, WalletKey::of(account))?;
    let row = wallet.row(account).ok_or_else(|| fault!("{id} has no balance: run ledger verify"))?;
    Ok(AccountOut {
        id,
        object: "account",
        user_id: account.user_id(),
        kind: kind(account),
        currency: account.currency.code,
        balance: account.currency.show(row.balance),
        created_at: Time::from_micros(id::millis(&id) * 1000),
        updated_at: entry(tx, client, row.last_entry())?.at,
        version: row.version,
    })
}

fn entries(ledger: &Ledger, tx: &ReadTx, call: &Call<(), EntriesQuery>) -> Result<Page<EntryOut>> {
    let EntriesQuery { limit, cursor, account } = &call.input;
    let paging = Paging::new(*limit, cursor, account);
    let client = call.caller.client()?;
    let page = match account {
        Some(id) => {
            let account = found(ledger.account_by_id(tx, client, *id)?)?.account;
            ledger.entries_of(tx, client, &account, &paging)?
        }
        None => page(tx, &ENTRIES, &client, &paging, |_| true)?.map(|((_, number), entry)| (number, entry)),
    };
    page.try_map(|(number, entry)| entry_out(tx, client, number, entry))
}

fn entry_out(tx: &ReadTx, client: ClientId, number: u64, it: Entry) -> Result<EntryOut> {
    let previous_hash = match number {
        1 => Journal::EMPTY.hash,
        _ => entry(tx, client, number - 1)?.hash,
    };
    let posting = |it: &Posting| -> Result<PostingOut> {
        let Posting { account, delta, balance_after, .. } = it;
        Ok(PostingOut {
            account_id: wallet(tx, client, WalletKey::of(account))?.row(account).map(|it| it.id),
            user_id: account.user_id(),
            kind: kind(account),
            currency: account.currency.code,
            amount: account.currency.show(*delta),
            balance_after: account.currency.show(*balance_after),
        })
    };
    Ok(EntryOut {
        id: entry_id(client, number, it.at),
        object: "entry",
        number,
        created_at: it.at,
        postings: it.postings.iter().map(posting).collect::<Result<_>>()?,
        cause: it.cause,
        description: it.description,
        reverses: it.reverses,
        previous_hash: HEXLOWER.encode(&previous_hash),
        hash: HEXLOWER.encode(&it.hash),
    })
}

fn trial_balance(kernel: &Kernel, client: ClientId) -> Result<TrialBalanceOut> {
    let mut trial = kernel.store.read(|tx| Trial::begin(tx, client))?;
    while kernel.store.read(|tx| trial.step(tx))? {}
    let mut currencies: BTreeMap<_, (Sum, Vec<TrialKind>)> = BTreeMap::new();
    for ((currency, kind), sum) in &trial.sums {
        let (total, kinds) = currencies.entry(*currency).or_default();
        total.debit += sum.debit;
        total.credit += sum.credit;
        let (debit, credit) = (currency.show(sum.debit), currency.show(sum.credit));
        kinds.push(TrialKind { kind: kind.clone(), accounts: sum.accounts, debit, credit });
    }
    Ok(TrialBalanceOut {
        object: "trial_balance",
        entry_number: trial.number,
        as_of: (trial.number > 0).then_some(trial.at),
        balanced: currencies.values().all(|(total, _)| total.debit == total.credit),
        currencies: currencies
            .into_iter()
            .map(|(currency, (total, kinds))| TrialCurrency {
                currency: currency.code,
                debit: currency.show(total.debit),
                credit: currency.show(total.credit),
                kinds,
            })
            .collect(),
    })
}

fn verify(kernel: &Kernel, client: ClientId) -> Result<VerifyOut> {
    let mut verify = kernel.store.read(|tx| Verify::begin(tx, client))?;
    while kernel.store.read(|tx| verify.step(tx))? {}
    let (ok, checked) = (verify.problem.is_none(), verify.entries());
    Ok(VerifyOut { object: "verification", ok, checked, first_problem: verify.problem })
}
