//! What other modules may ask of the ledger.

use std::{fmt, str::FromStr};

use serde::Serialize;
use serde_json::Value;

use crate::kernel::{
    api::{
        call::found,
        input::{Field, Flaws, parse_text, text_enum},
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::{Result, fault, refusals},
    id::id,
    money::{Amount, Currency, CurrencyCode, Standing},
    store::{
        ReadTx, WriteTx,
        codec::{Decode, Encode},
    },
};
use crate::modules::user::contract::UserContract;

id!(/** An account of the ledger. */ AccountId, "acc");
id!(/** A journal entry. */ EntryId, "ent");
id!(/** An amount set aside. */ HoldId, "hld");
id!(/** A correction by hand. */ AdjustmentId, "adj");
id!(/** A dispute: a payer's bank takes money back. The ledger knows it as a cause that may overdraw. */ DisputeId, "dsp");
id!(/** A payout that went, says its gateway, and was given up in the books: the other cause that may overdraw. */ PayoutConflictId, "wcf");

text_enum! {
    /// What an account of a user is for.
    pub enum UserAccount {
        /// Can be spent.
        Available = "available",
        /// Set aside for something that was asked for.
        Held = "held",
        /// In running investments.
        Invested = "invested",
        /// Earned by referring others.
        Commission = "commission",
    }
}

/// What an account of the house is for. Clearing accounts are per gateway, named by its 128-bit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum HouseAccount {
    /// Minus what a gateway owes us for money that came in.
    Clearing([u8; 16]),
    /// What went out through a gateway.
    PayoutClearing([u8; 16]),
    FeeIncome,
    YieldExpense,
    CommissionExpense,
    /// The house's position in a currency, from exchanging.
    Fx,
    /// Money that came and belongs to nobody we know.
    Suspense,
    Adjustment,
    Rounding,
    Tax,
}

/// Which account: whose, what for, in which currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Account {
    pub owner: AccountOwner,
    pub currency: Currency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum AccountOwner {
    User(UserId, UserAccount),
    House(HouseAccount),
}

impl Account {
    pub fn user(user: UserId, kind: UserAccount, currency: Currency) -> Account {
        Account { owner: AccountOwner::User(user, kind), currency }
    }

    pub fn house(kind: HouseAccount, currency: Currency) -> Account {
        Account { owner: AccountOwner::House(kind), currency }
    }

    pub fn user_id(&self) -> Option<UserId> {
        match self.owner {
            AccountOwner::User(user, _) => Some(user),
            AccountOwner::House(_) => None,
        }
    }
}

/// As shown and as written in requests: `clearing:gtw_…`, `fee_income`, `fx`.
impl fmt::Display for HouseAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gateway = |f: &mut fmt::Formatter<'_>, kind: &str, id: &[u8; 16]| {
            f.write_str(kind)?;
            f.write_str(":")?;
            crate::kernel::id::show("gtw", id, f)
        };
        match self {
            HouseAccount::Clearing(id) => gateway(f, "clearing", id),
            HouseAccount::PayoutClearing(id) => gateway(f, "payout_clearing", id),
            HouseAccount::FeeIncome => f.write_str("fee_income"),
            HouseAccount::YieldExpense => f.write_str("yield_expense"),
            HouseAccount::CommissionExpense => f.write_str("commission_expense"),
            HouseAccount::Fx => f.write_str("fx"),
            HouseAccount::Suspense => f.write_str("suspense"),
            HouseAccount::Adjustment => f.write_str("adjustment"),
            HouseAccount::Rounding => f.write_str("rounding"),
            HouseAccount::Tax => f.write_str("tax"),
        }
    }
}

impl FromStr for HouseAccount {
    type Err = ();
    fn from_str(text: &str) -> Result<HouseAccount, ()> {
        let gateway = |text: &str| crate::kernel::id::parse("gtw", text).map_err(|_| ());
        Ok(match text.split_once(':') {
            Some(("clearing", id)) => HouseAccount::Clearing(gateway(id)?),
            Some(("payout_clearing", id)) => HouseAccount::PayoutClearing(gateway(id)?),
            Some(_) => return Err(()),
            None => match text {
                "fee_income" => HouseAccount::FeeIncome,
                "yield_expense" => HouseAccount::YieldExpense,
                "commission_expense" => HouseAccount::CommissionExpense,
                "fx" => HouseAccount::Fx,
                "suspense" => HouseAccount::Suspense,
                "adjustment" => HouseAccount::Adjustment,
                "rounding" => HouseAccount::Rounding,
                "tax" => HouseAccount::Tax,
                _ => return Err(()),
            },
        })
    }
}

/// An account as requests name it: `usr_…` for the user's available account, `acc_…` for any one, or `house:<kind>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountRef {
    User(UserId),
    Id(AccountId),
    House(HouseAccount),
}

impl AccountRef {
    /// The account it names, which must be of `currency`. Refuses `not_found` (unknown ones and other clients', the
    /// same), then `currency_mismatch`, then `account_reserved` for money that only its own module moves.
    pub fn resolve(
        self,
        balances: &dyn BalanceContract,
        users: &dyn UserContract,
        tx: &ReadTx,
        client: ClientId,
        currency: Currency,
    ) -> Result<Account> {
        let account = match self {
            AccountRef::Id(id) => found(balances.account_by_id(tx, client, id)?)?.account,
            AccountRef::User(user) => {
                let account = Account::user(user, UserAccount::Available, currency);
                // Users are never deleted, so whoever has an account exists.
                if balances.account(tx, client, account)?.is_none() {
                    users.get(tx, client, user)?;
                }
                account
            }
            AccountRef::House(kind) => {
                let account = Account::house(kind, currency);
                // Which gateways there are is not known here: one that never moved money is as good as none.
                if matches!(kind, HouseAccount::Clearing(_) | HouseAccount::PayoutClearing(_)) {
                    found(balances.account(tx, client, account)?)?;
                }
                account
            }
        };
        if account.currency != currency {
            let (found, wanted) = (account.currency.code, currency.code);
            return Err(BalanceRefusal::CurrencyMismatch { found, wanted }.into());
        }
        match account.owner {
            AccountOwner::User(_, kind @ (UserAccount::Held | UserAccount::Invested)) => {
                Err(BalanceRefusal::AccountReserved { kind: kind.to_string() }.into())
            }
            _ => Ok(account),
        }
    }
}

impl FromStr for AccountRef {
    type Err = ();
    fn from_str(text: &str) -> Result<AccountRef, ()> {
        match text.split_once(':') {
            Some(("house", kind)) => kind.parse().map(AccountRef::House),
            Some(_) => Err(()),
            None if text.starts_with("acc_") => text.parse().map(AccountRef::Id).map_err(|_| ()),
            None => text.parse().map(AccountRef::User).map_err(|_| ()),
        }
    }
}

impl Field for AccountRef {
    fn parse(value: Value) -> Result<Self, Flaws> {
        parse_text(value, "`usr_…`, `acc_…` or `house:<kind>`")
    }
}

impl utoipa::PartialSchema for AccountRef {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder()
            .schema_type(Type::String)
            .description(Some("`usr_…` (its available account), `acc_…`, or `house:<kind>`"))
            .pattern(Some("^(usr_|acc_|house:).+$"))
            .into()
    }
}
impl utoipa::ToSchema for AccountRef {}

/// One line of an entry to be posted: a positive amount raises its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub account: Account,
    /// Minor units of the account's currency.
    pub delta: i128,
}

impl Line {
    pub fn raise(account: Account, amount: Amount) -> Line {
        Line { account, delta: amount.minor() }
    }

    pub fn lower(account: Account, amount: Amount) -> Line {
        Line { account, delta: -amount.minor() }
    }
}

/// An entry to be posted.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// The id of what caused it.
    pub cause: String,
    pub description: &'a str,
    /// Per currency they sum to zero. Several of one account count as their sum; zeros are left out.
    pub lines: &'a [Line],
    /// The entry this one takes back.
    pub reverses: Option<EntryId>,
}

/// An entry as posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted {
    pub id: EntryId,
    /// Gapless per client, from 1.
    pub number: u64,
    pub at: Time,
    /// What each line's account held afterwards, in the order of the lines.
    pub balances: Vec<AccountState>,
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccountState {
    pub id: AccountId,
    pub account: Account,
    /// Minor units. Accounts of the house go below zero; of a user only `available` does, by a chargeback.
    pub balance: i128,
    /// What the same user has set aside in the same currency; zero beside any account but an available one.
    pub held: i128,
    /// How many postings it has had.
    pub version: u64,
}

/// An amount set aside: moved from `available` to `held` until it is captured or released, exactly once.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Hold {
    pub id: HoldId,
    pub user: UserId,
    /// What is still held.
    pub remaining: Amount,
    pub original: Amount,
    /// The id of what asked for it; only that module captures or releases it.
    pub cause: String,
    pub is_open: bool,
    pub created_at: Time,
}

/// The balances of a user in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Balances {
    /// Below zero only after a chargeback.
    pub available: Standing,
    pub held: Amount,
    pub invested: Amount,
    pub commission: Amount,
}

/// The double-entry ledger. In the service registry as `user_balance`.
pub trait BalanceContract: Send + Sync {
    /// Posts an entry: numbers it, chains its hash, moves the balances. Refuses `insufficient_funds` when an account
    /// of a user would go below zero, `amount_too_large` when a balance would pass the limit. Lines that do not sum
    /// to zero per currency are a fault.
    fn post(&self, tx: &mut WriteTx, client: ClientId, entry: NewEntry<'_>) -> Result<Posted>;

    /// As [`BalanceContract::post`], for what is gone whether or not it is there: what a payer's bank takes back, and
    /// what a gateway paid out that had been given back. It may leave `available` money of a user below zero, which no
    /// other entry may. Its cause must be a [`DisputeId`] or a [`PayoutConflictId`]: by this the journal says which
    /// entries they are. Doubles need not know.
    fn charge_back(&self, _tx: &mut WriteTx, _client: ClientId, entry: NewEntry<'_>) -> Result<Posted> {
        Err(fault!("this ledger takes nothing back for {}", entry.cause))
    }

    /// Sets `amount` of the user's available money aside. Refuses `insufficient_funds`.
    fn hold(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        amount: Amount,
        cause: String,
        description: &str,
    ) -> Result<(Hold, Posted)>;

    /// Pays from a hold: lowers `held` by what the lines raise in sum, which is at most what remains. With `is_final`
    /// the rest goes back to `available` in the same entry and the hold is closed; otherwise it stays open unless
    /// nothing remains. A hold that is closed is a fault: the module that owns it guards its own states.
    fn capture(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        hold: HoldId,
        lines: &[Line],
        is_final: bool,
        description: &str,
    ) -> Result<(Hold, Posted)>;

    /// Gives back what remains of a hold and closes it.
    fn release(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        hold: HoldId,
        description: &str,
    ) -> Result<(Hold, Posted)>;

    fn find_hold(&self, tx: &ReadTx, client: ClientId, hold: HoldId) -> Result<Option<Hold>>;

    /// What a user has in one currency; zero where it never had any.
    fn balances(&self, tx: &ReadTx, client: ClientId, user: UserId, currency: Currency) -> Result<Balances>;

    /// The account as it stands; `None` when nothing was ever posted to it.
    fn account(&self, tx: &ReadTx, client: ClientId, account: Account) -> Result<Option<AccountState>>;

    /// The account of this id. `None` for unknown ones and other clients'.
    fn account_by_id(&self, tx: &ReadTx, client: ClientId, id: AccountId) -> Result<Option<AccountState>>;

    /// What every account of a user holds, or every one of the house. Of all accounts of a client together the balances
    /// of a currency sum to zero: what the house lacks is what the users have. Doubles need not know.
    fn accounts_of(
        &self,
        _tx: &ReadTx,
        _client: ClientId,
        _user: Option<UserId>,
    ) -> Result<Vec<AccountState>> {
        Err(fault!("this ledger does not list its accounts"))
    }

    /// The lines of an entry: each account and what it was moved by. `None` when there is no such entry.
    fn lines_of(&self, tx: &ReadTx, client: ClientId, entry: EntryId) -> Result<Option<Vec<Line>>>;

    /// At most `most` entries numbered above `number`, in order: how a module above compares what it keeps with the
    /// journal. Doubles need not know.
    fn entries_after(
        &self,
        _tx: &ReadTx,
        _client: ClientId,
        _number: u64,
        _most: usize,
    ) -> Result<Vec<(EntryId, u64, Vec<Line>)>> {
        Err(fault!("this ledger does not list its entries"))
    }
}

refusals! {
    /// What Balance refuses.
    pub enum BalanceRefusal {
        /// The account holds less than the command needs. Top it up and use a new idempotency key: the old one keeps
        /// this answer.
        InsufficientFunds { available: Standing, wanted: Amount, currency: CurrencyCode }: Unprocessable "insufficient_funds"
            => "{available} available, {wanted} wanted",
        /// The account is of another currency than the command.
        CurrencyMismatch { found: CurrencyCode, wanted: CurrencyCode }: Unprocessable "currency_mismatch"
            => "the account is in {found}, the command in {wanted}",
        /// What is held or invested moves only with what holds it: capture or release the hold, close the investment.
        /// What is at gateways, or in suspense, moves with its payment; and people adjust balances by adjustments.
        AccountReserved { kind: String }: Unprocessable "account_reserved"
            => "{kind} money cannot be moved directly",
    }
}

/// The real ledger on stand-ins for what it calls, for use-case tests here and above.
#[cfg(test)]
pub mod doubles;
