//! Making a transfer.
//!
//! Of several rules broken at once, the first of this table answers:
//!
//! | | code | rule |
//! |---|---|---|
//! | 1 | `invalid_type`, `out_of_range`, … | the request is well formed |
//! | 2 | `currency_inactive` | the client uses the currency |
//! | 3 | `amount_too_large`, `amount_scale`, `amount_not_positive` | the amount is one of it |
//! | 4 | `external_id_taken` | no other transfer has the external id |
//! | 5 | `same_account` | the money goes somewhere else |
//! | 6 | `not_found`, `currency_mismatch`, `account_reserved` | of `from`, then of `to`: it exists, within reach; is of the currency; may be moved directly |
//! | 7 | `same_account` | the same account by another name |
//! | 8 | `not_allowed` | only a user's available money can be held |
//! | 9 | `self_approval` | nobody pays themselves with the money of others or of the house, through a key neither |
//! | 10 | `user_not_active`, `user_owes` | the payer is neither frozen nor disabled, and owes nothing |
//! | 11 | `transfers_off` | users may transfer to each other |
//! | 12 | `reason_required` | the house says why, and so does staff that moves money of others |
//! | 13 | `insufficient_funds`, `amount_too_large` | the balances allow it |

use std::time::Duration;

use super::{Moved, Transactions, record::Side};
use crate::kernel::{
    api::{
        call::{Caller, Reach},
        input::{Flaw, Metadata, input},
        object::{ExternalId, Stamp, check_external_id},
        principal::{Actor, ClientId, UserId},
        problem::ApiRefusal,
        text::Text,
    },
    error::Result,
    machine::History,
    money::{AmountText, Currency, CurrencyCode},
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::contract::{
        Account, AccountOwner, AccountRef, BalanceRefusal, HouseAccount, Line, NewEntry, UserAccount,
    },
    transaction::{
        contract::{EntryType, TransactionRefusal, TransactionStatus, TransferId},
        model::{DEFAULT_HOLD, Held, LONGEST_HOLD, Transfer, TransferStatus},
        repository::{BY_EXTERNAL_ID, TRANSFERS},
    },
};

input! {
    #[derive(Debug, Clone)]
    pub struct TransferIn {
        amount: AmountText,
        currency: CurrencyCode,
        from: AccountRef,
        to: AccountRef,
        /// Only set the amount aside; `capture` moves it, `void` gives it back.
        hold: Option<bool>,
        /// How long a hold lives: 1 to 2592000, 604800 unless said.
        expires_in_s: Option<u64>,
        /// Why. Required when the house is on either side, and of staff that is not the payer.
        reason: Option<Text<500>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

/// What one command has found out already: the items of a bulk command have much in common.
#[derive(Default)]
pub struct Known {
    currencies: Vec<Currency>,
    /// May pay.
    payers: std::collections::HashSet<UserId>,
    /// Whether the caller is a person, or a key that one holds.
    is_a_person: Option<bool>,
    /// Are not the caller.
    payees: std::collections::HashSet<UserId>,
    accounts: std::collections::HashMap<(AccountRef, CurrencyCode), Account>,
}

impl Transactions {
    pub fn create(&self, tx: &mut WriteTx, caller: &Caller, input: &TransferIn) -> Result<Moved> {
        self.create_with(tx, caller, input, &mut Known::default())
    }

    pub fn create_with(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        input: &TransferIn,
        known: &mut Known,
    ) -> Result<Moved> {
        let client = caller.client()?;
        input.check_shape()?;
        let currency = self.currency(tx, client, input.currency, known)?;
        let amount = input.amount.positive("amount", currency)?;
        check_external_id(tx, &TRANSFERS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        if input.from == input.to {
            return Err(TransactionRefusal::SameAccount.into());
        }
        let from = self.account(tx, client, input.from, currency, known)?;
        if let Reach::Own(user) = caller.reach
            && from.user_id() != Some(user)
        {
            return Err(ApiRefusal::NotFound.into());
        }
        self.check_not_reserved(tx, caller, &from, known)?;
        let to = self.account(tx, client, input.to, currency, known)?;
        if matches!(caller.reach, Reach::Own(_)) && to.user_id().is_none() {
            return Err(ApiRefusal::NotFound.into());
        }
        self.check_not_reserved(tx, caller, &to, known)?;
        if from == to {
            return Err(TransactionRefusal::SameAccount.into());
        }
        let is_held = input.hold.unwrap_or(false);
        if is_held && !matches!(from.owner, AccountOwner::User(_, UserAccount::Available)) {
            let message = "only the available money of a user can be held";
            return Err(Flaw::new("hold", "not_allowed", message).into());
        }
        let staff = staff(caller).filter(|it| from.user_id() != Some(*it));
        if let Some(payee) = to.user_id()
            && !known.payees.contains(&payee)
        {
            self.check_not_to_self(tx, caller, client, &from, &to)?;
            // Whoever is somebody else than the caller is so for every payer.
            if from.user_id() != Some(payee) {
                known.payees.insert(payee);
            }
        }
        if let Some(payer) = from.user_id()
            && !known.payers.contains(&payer)
        {
            self.users.check_may_pay(tx, client, payer)?;
            known.payers.insert(payer);
        }
        self.check_between_users(tx, caller, client, &to)?;
        let is_of_house = from.user_id().is_none() || to.user_id().is_none();
        if input.reason.is_none() && (is_of_house || staff.is_some()) {
            return Err(TransactionRefusal::ReasonRequired.into());
        }

        let id: TransferId = tx.new_id();
        let cause = id.to_string();
        let narration = input.reason.as_deref().unwrap_or("Transfer");
        let side = |account, entry_type, status| {
            let cause = cause.clone();
            Side { account, entry_type, amount, status, narration, cause }
        };
        let now = tx.now();
        let mut hold = None;
        let (posted, status, record_status) = match from.user_id().filter(|_| is_held) {
            Some(user) => {
                let (held, posted) =
                    self.balances.hold(tx, client, user, amount, cause.clone(), narration)?;
                let lifetime = input.expires_in_s.map_or(DEFAULT_HOLD, Duration::from_secs);
                hold = Some(Held { id: held.id, expires_at: now.after(lifetime) });
                (posted, TransferStatus::Pending, TransactionStatus::Pending)
            }
            None => {
                let lines = [Line::lower(from, amount), Line::raise(to, amount)];
                let entry =
                    NewEntry { cause: cause.clone(), description: narration, lines: &lines, reverses: None };
                let posted = self.balances.post(tx, client, entry)?;
                (posted, TransferStatus::Posted, TransactionStatus::Completed)
            }
        };
        let debit = side(from, EntryType::Debit, record_status);
        let debit = self.record_side(tx, caller, client, &posted, debit)?;
        let credit = match hold {
            Some(_) => None,
            None => {
                let credit = side(to, EntryType::Credit, record_status);
                self.record_side(tx, caller, client, &posted, credit)?
            }
        };
        let transfer = Transfer {
            from,
            to,
            amount,
            entry: posted.id,
            hold,
            captures: vec![],
            reversals: vec![],
            records_of_payer: debit.into_iter().collect(),
            records_of_receiver: credit.into_iter().collect(),
            reason: input.reason.as_ref().map(String::from),
            history: History::begin(status, caller, now),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&TRANSFERS, &(client, id), &transfer)?;
        Ok(Moved { id, transfer, states: posted.balances })
    }

    fn currency(
        &self,
        tx: &WriteTx,
        client: ClientId,
        code: CurrencyCode,
        known: &mut Known,
    ) -> Result<Currency> {
        if let Some(currency) = known.currencies.iter().find(|it| it.code == code) {
            return Ok(*currency);
        }
        let currency = self.currencies.active(tx, client, code)?;
        known.currencies.push(currency);
        Ok(currency)
    }

    fn account(
        &self,
        tx: &WriteTx,
        client: ClientId,
        reference: AccountRef,
        currency: Currency,
        known: &mut Known,
    ) -> Result<Account> {
        let key = (reference, currency.code);
        if let Some(account) = known.accounts.get(&key) {
            return Ok(*account);
        }
        let account = reference.resolve(&*self.balances, &*self.users, tx, client, currency)?;
        known.accounts.insert(key, account);
        Ok(account)
    }

    /// Refuses `self_approval`: nobody moves money of others, or of the house, to themselves; a key is whoever was shown
    /// its text. What a user moves of its own, to whichever of its accounts, is its own to say.
    pub(super) fn check_not_to_self(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        from: &Account,
        to: &Account,
    ) -> Result<()> {
        match to.user_id().filter(|it| from.user_id() != Some(*it)) {
            Some(payee) => self.clients.check_other(tx, client, caller, Actor::User(payee)),
            None => Ok(()),
        }
    }

    /// Refuses `account_reserved`: what is at gateways, or nobody's yet, moves with its payment only; and people correct
    /// the books by adjustments, which take two of them: not through a key either.
    pub(super) fn check_not_reserved(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        account: &Account,
        known: &mut Known,
    ) -> Result<()> {
        use HouseAccount::{Adjustment, Clearing, PayoutClearing, Suspense};
        let AccountOwner::House(kind) = account.owner else { return Ok(()) };
        let is_reserved = match kind {
            Clearing(_) | PayoutClearing(_) | Suspense => true,
            Adjustment => match known.is_a_person {
                Some(is_a_person) => is_a_person,
                None => {
                    let is_a_person = self.clients.is_a_person(tx, caller.client()?, caller.actor())?;
                    *known.is_a_person.insert(is_a_person)
                }
            },
            _ => false,
        };
        match is_reserved {
            true => Err(BalanceRefusal::AccountReserved { kind: kind.to_string() }.into()),
            false => Ok(()),
        }
    }

    /// A user pays others only when the client lets it; between its own accounts always.
    fn check_between_users(
        &self,
        tx: &WriteTx,
        caller: &Caller,
        client: ClientId,
        to: &Account,
    ) -> Result<()> {
        match caller.reach {
            Reach::Own(user) if to.user_id() != Some(user) => {
                if self.clients.get(tx, client)?.settings.transfer.between_users {
                    return Ok(());
                }
                Err(TransactionRefusal::TransfersOff.into())
            }
            _ => Ok(()),
        }
    }
}

/// The member of staff who is asking, if it is one.
fn staff(caller: &Caller) -> Option<UserId> {
    match (caller.actor(), caller.reach) {
        (Actor::User(user), Reach::Any) => Some(user),
        _ => None,
    }
}

impl TransferIn {
    fn check_shape(&self) -> Result<()> {
        match self.expires_in_s {
            Some(_) if self.hold != Some(true) => {
                Err(Flaw::new("expires_in_s", "not_allowed", "only a hold expires").into())
            }
            Some(seconds) if !(1..=LONGEST_HOLD.as_secs()).contains(&seconds) => {
                let message = format!("is from 1 to {}", LONGEST_HOLD.as_secs());
                Err(Flaw::new("expires_in_s", "out_of_range", message).into())
            }
            _ => Ok(()),
        }
    }
}
