//! What a user has, had, and how it came about.

use std::sync::Arc;

use serde::Serialize;

use super::printed::print;
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        endpoint::{Endpoint, get},
        input::input,
        page::{Cursor, Limit, Page, Paging},
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::{Error, Result},
    money::{Amount, CurrencyCode, RateValue, Rounding},
    store::ReadTx,
};
use crate::modules::{
    balance::{
        contract::{Account, AccountId, EntryId, UserAccount},
        model::entry::entry_id,
        repository::Placed,
        service::{BalancesAt, Ledger, StatementCursor, StatementQuery},
    },
    market::contract::{Converted, PriceUsed},
};

/// What a user has in one currency.
#[derive(Serialize, utoipa::ToSchema)]
struct BalanceOut {
    #[schema(value_type = String)]
    object: &'static str,
    currency: CurrencyCode,
    /// Available, held and invested together.
    total: String,
    available: String,
    held: String,
    invested: String,
    /// Earned by referring others, besides the total.
    commission: String,
    /// The account of `available`, once it was used.
    account_id: Option<AccountId>,
    commission_account_id: Option<AccountId>,
    as_of: Time,
    /// What the total is worth now in the client's default currency, rounded down; null when no price says so.
    valuation: Option<ValuationOut>,
    /// Why there is no valuation.
    valuation_missing: Option<String>,
}

/// What something is worth, and by which prices.
#[derive(Serialize, utoipa::ToSchema)]
struct ValuationOut {
    amount: Amount,
    currency: CurrencyCode,
    rate: RateValue,
    /// The oldest of the prices.
    prices_as_of: Time,
    prices: Vec<PriceUsed>,
}

struct BalancesQuery {
    user_id: Option<UserId>,
    as_of: Option<Time>,
}
input!(BalancesQuery { user_id, as_of });

pub struct StatementIn {
    limit: Limit,
    cursor: Option<Cursor>,
    pub currency: CurrencyCode,
    pub account: Option<UserAccount>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub user_id: Option<UserId>,
}
input!(StatementIn { limit, cursor, currency, account, from, to, user_id });

/// The history of one account: opening + what all lines sum to = closing. Each page shows the same two ends.
#[derive(Serialize, utoipa::ToSchema)]
struct StatementOut {
    #[schema(value_type = String)]
    object: &'static str,
    user_id: UserId,
    account: UserAccount,
    currency: CurrencyCode,
    from: Option<Time>,
    to: Option<Time>,
    /// What it held before the first line.
    opening: String,
    /// What it held after the last.
    closing: String,
    /// Newest first.
    data: Vec<StatementLine>,
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct StatementLine {
    at: Time,
    entry_id: EntryId,
    description: String,
    /// The id of what caused it.
    cause: String,
    /// Below zero for what left the account.
    amount: String,
    /// What it held afterwards.
    balance: String,
    currency: CurrencyCode,
}

pub fn endpoints(ledger: &Arc<Ledger>) -> Vec<Endpoint> {
    let balances = {
        let ledger = ledger.clone();
        move |tx: &ReadTx, call: &Call<(), BalancesQuery>| {
            let (client, user) = ledger.whose(tx, &call.caller, call.input.user_id)?;
            let balances = ledger.all_balances(tx, client, user, call.input.as_of)?;
            let out = |it: &BalancesAt| ledger.balance_out(tx, client, it, call.input.as_of);
            Ok(Page::whole(balances.iter().map(out).collect::<Result<_>>()?))
        }
    };
    let balance = {
        let ledger = ledger.clone();
        move |tx: &ReadTx, call: &Call<CurrencyCode, BalancesQuery>| {
            let (client, user) = ledger.whose(tx, &call.caller, call.input.user_id)?;
            let currency = found(ledger.currencies.known(tx, call.path)?)?;
            let balances = ledger.balances_in(tx, client, user, currency, call.input.as_of)?;
            ledger.balance_out(tx, client, &balances, call.input.as_of)
        }
    };
    let (ledger, printing) = (ledger.clone(), ledger.clone());
    vec![
        get("/balances").about("Show what a user has, by currency").own("balances.view").lists(balances),
        get("/balances/statement")
            .about("Show the history of one account of a user; as HTML all of it, to be printed")
            .own("balances.view")
            .with_csv()
            .prints(move |tx, call: &Call<(), StatementIn>| print(&printing, tx, call))
            .reads(move |tx, call: &Call<(), StatementIn>| statement(&ledger, tx, call)),
        get("/balances/{currency}")
            .about("Show what a user has in one currency")
            .own("balances.view")
            .reads(balance),
    ]
}

fn statement(ledger: &Ledger, tx: &ReadTx, call: &Call<(), StatementIn>) -> Result<StatementOut> {
    let StatementIn { limit, cursor, currency, account, from, to, user_id } = &call.input;
    let (client, user) = ledger.whose(tx, &call.caller, *user_id)?;
    let currency = found(ledger.currencies.known(tx, *currency)?)?;
    let kind = account.unwrap_or(UserAccount::Available);
    let paging = Paging::new(*limit, cursor, (user, kind, currency, from, to));
    let query = StatementQuery { account: Account::user(user, kind, currency), from: *from, to: *to };
    let behind = match paging.behind()? {
        Some(bytes) => Some(StatementCursor::from_bytes(bytes).ok_or_else(Paging::bad_cursor)?),
        None => None,
    };
    let statement = ledger.statement(tx, client, &query, behind, paging.limit())?;
    let line = |it: &Placed| StatementLine {
        at: it.entry.at,
        entry_id: entry_id(client, it.number, it.entry.at),
        description: it.entry.description.clone(),
        cause: it.entry.cause.clone(),
        amount: currency.show(it.posting.delta),
        balance: currency.show(it.posting.balance_after),
        currency: currency.code,
    };
    let next_cursor = statement.next.map(|it| paging.cursor_at(&it.to_bytes()));
    Ok(StatementOut {
        object: "statement",
        user_id: user,
        account: kind,
        currency: currency.code,
        from: *from,
        to: *to,
        opening: currency.show(statement.opening),
        closing: currency.show(statement.closing),
        data: statement.lines.iter().map(line).collect(),
        has_more: next_cursor.is_some(),
        next_cursor,
    })
}

impl Ledger {
    /// The user asked about, who exists.
    pub fn whose(&self, tx: &ReadTx, caller: &Caller, named: Option<UserId>) -> Result<(ClientId, UserId)> {
        let (client, user) = (caller.client()?, caller.acting_for(named)?);
        if named.is_some() {
            self.users.get(tx, client, user)?;
        }
        Ok((client, user))
    }

    fn balance_out(
        &self,
        tx: &ReadTx,
        client: ClientId,
        it: &BalancesAt,
        as_of: Option<Time>,
    ) -> Result<BalanceOut> {
        let show = |minor| it.currency.show(minor);
        let (account_id, commission_account_id) = it.accounts();
        let (valuation, valuation_missing) = match self.value(tx, client, it, as_of)? {
            Ok(valuation) => (Some(valuation), None),
            Err(why) => (None, Some(why)),
        };
        Ok(BalanceOut {
            object: "balance",
            currency: it.currency.code,
            total: show(it.total()),
            available: show(it.of(UserAccount::Available)),
            held: show(it.of(UserAccount::Held)),
            invested: show(it.of(UserAccount::Invested)),
            commission: show(it.of(UserAccount::Commission)),
            account_id,
            commission_account_id,
            as_of: it.as_of,
            valuation,
            valuation_missing,
        })
    }

    /// What the total is worth, or why nobody can say. Never a guess, and never in the way of the balance itself.
    fn value(
        &self,
        tx: &ReadTx,
        client: ClientId,
        it: &BalancesAt,
        as_of: Option<Time>,
    ) -> Result<Result<ValuationOut, String>> {
        if as_of.is_some() {
            return Ok(Err("only what one has now is valued: there are no prices of the past".to_owned()));
        }
        if it.total() < 0 {
            return Ok(Err("the total is below zero".to_owned()));
        }
        let default = self.currencies.default_of(tx, client)?;
        let total = Amount::new(it.total(), it.currency)?;
        match self.market.convert(client, total, default, Rounding::Down) {
            Ok(Converted { amount, found }) => Ok(Ok(ValuationOut {
                amount,
                currency: default.code,
                rate: found.rate.value,
                prices_as_of: found.as_of,
                prices: found.prices,
            })),
            Err(Error::Refused(refusal)) => Ok(Err(refusal.to_string())),
            Err(fault) => Err(fault),
        }
    }
}
