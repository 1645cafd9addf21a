//! What gateways, and people for them, say: each notice against the state the payment is in.
//!
//! | said | payment open | payment over |
//! |---|---|---|
//! | settled, known reference, same amount | nothing: it was counted | nothing |
//! | settled, known reference, anything else | conflicted | conflicted |
//! | settled, the amount the gateway was told | settled | suspense |
//! | settled, another amount: the payer's choice | waits for the rest, or settled with what is over | suspense |
//! | settled, another amount: the gateway's doing | conflicted | suspense |
//! | settled, and the gateway had called it otherwise | conflicted | suspense |
//! | declined | back to requires_method; failed after the last try | nothing |
//! | unknown | processing, needs_review; the timer asks | nothing |
//! | awaits payer, processing, authorized | moves when the move exists | nothing |
//! | seen at an address, not confirmed | processing | nothing |
//! | seen before, and gone | requires_action again: nothing was credited | nothing |
//! | counted before, and gone | see `dropped.rs` | see `dropped.rs` |

use std::time::Duration;

use super::{Case, News, Payments, Try, ask::end, settlement_of, waiting};
use crate::{
    kernel::{
        api::{
            call::Caller,
            object::{Times, save},
            principal::UserId,
        },
        clock::Time,
        error::{Result, fault},
        id::Id as _,
        money::{Amount, AmountText},
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::{Account, EntryId, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        payment::{
            adapter::Notice,
            contract::{GatewayKind, PaidState, PaymentStatus, Review, SettlementId},
            model::{
                AttemptEvent, AttemptStatus, MOST_ATTEMPTS, PAYMENT, PaymentEvent, Place, Said, Settlement,
                compare,
            },
            repository::SETTLEMENTS,
        },
        pricing::contract::{FeeOperation, FeeQuestion},
        transaction::contract::{EntryType, Record},
    },
};

/// Money that came, as somebody says.
#[derive(Debug, Clone)]
pub(super) struct Money {
    pub reference: String,
    pub amount: Amount,
    /// Why a person says so; the papers that show it.
    pub reason: Option<String>,
    pub proof: Option<String>,
}

impl Payments {
    pub fn hear(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        notice: Notice,
    ) -> Result<()> {
        let now = tx.now();
        // Only the last attempt moves its payment, and not past a person who has to decide.
        let counts = case.payment.attempt == Some(attempt.id) && case.payment.said.is_none();
        if let Notice::Dropped { reference } = &notice
            && settlement_of(tx, case.client, attempt.row.gateway, reference)?.is_some()
        {
            return self.uncount(tx, caller, case, attempt, reference);
        }
        match notice {
            Notice::Settled { reference, amount } => {
                let known = attempt.row.reference.clone().filter(|it| *it != reference);
                let money = Money { reference, amount, reason: None, proof: None };
                return match known {
                    Some(known) if self.is_strange(tx, case, attempt, &money.reference)? => {
                        let reason = format!("{} came, the gateway had called it {known}", money.reference);
                        self.conflict(tx, caller, case, attempt, money, &reason)
                    }
                    _ => self.receive(tx, caller, case, attempt, money),
                };
            }
            _ if !counts || !attempt.row.is_open() => {}
            Notice::AwaitsPayer { reference } => {
                attempt.row.reference = reference.or(attempt.row.reference.take());
                attempt.step(tx, caller, AttemptEvent::Open, None);
                if case.step_if_possible(tx, caller, PaymentEvent::AwaitPayer) {
                    case.payment.review = Review::None;
                }
            }
            Notice::Processing { reference, ask_after } => {
                attempt.step(tx, caller, AttemptEvent::Open, None);
                attempt.row.reference = Some(reference);
                case.step_if_possible(tx, caller, PaymentEvent::Detect);
                case.payment.review = Review::None; // The gateway knows it again.
                self.ask_next(case, now, ask_after);
            }
            Notice::Seen { reference, ask_after } => {
                attempt.step(tx, caller, AttemptEvent::Open, None);
                if !attempt.row.seen.contains(&reference) {
                    attempt.row.seen.push(reference);
                }
                case.step_if_possible(tx, caller, PaymentEvent::Detect);
                if ask_after.is_some() || case.payment.due_at.is_none() {
                    self.ask_next(case, now, ask_after);
                }
            }
            Notice::Dropped { reference } => {
                attempt.row.seen.retain(|it| *it != reference);
                if attempt.row.seen.is_empty() && case.step_if_possible(tx, caller, PaymentEvent::AwaitPayer)
                {
                    case.payment.review = Review::None;
                }
            }
            Notice::Authorized { reference } => {
                attempt.step(tx, caller, AttemptEvent::Open, None);
                attempt.row.reference = Some(reference);
                if case.step_if_possible(tx, caller, PaymentEvent::Authorize) {
                    case.payment.review = Review::None;
                }
            }
            Notice::Declined { reason } => {
                if PAYMENT.next(case.payment.status(), PaymentEvent::Decline).is_ok() {
                    self.decline(tx, caller, case, attempt, &reason)?;
                }
            }
            Notice::Unknown { reason } => {
                attempt.step(tx, caller, AttemptEvent::Lose, Some(&reason));
                attempt.row.error = Some(reason);
                if case.payment.status() == PaymentStatus::Processing {
                    case.payment.review = Review::Needed;
                    case.payment.ask_later(now);
                }
            }
        }
        Ok(())
    }

    /// Whether a gateway that was told of one thing speaks of another one, while the payment waits for the first. Where
    /// a payer sends money each transfer has a reference of its own, and what a sandbox tells may be written by hand.
    fn is_strange(&self, tx: &ReadTx, case: &Case, attempt: &Try, reference: &str) -> Result<bool> {
        if attempt.row.kind != GatewayKind::Http
            || case.payment.is_over()
            || case.payment.is_due_to_expire(tx.now())
        {
            return Ok(false);
        }
        Ok(settlement_of(tx, case.client, attempt.row.gateway, reference)?.is_none())
    }

    /// When the gateway is asked next. One that says itself when is not asked less often each time.
    fn ask_next(&self, case: &mut Case, now: Time, after: Option<Duration>) {
        match after {
            Some(after) => {
                case.payment.asked = 0;
                case.payment.ask_after(now, after);
            }
            None => case.payment.ask_later(now),
        }
    }

    /// The attempt failed. The payment goes on with the next one, unless that was the last.
    pub(super) fn decline(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        reason: &str,
    ) -> Result<()> {
        let is_last = case.payment.attempts >= MOST_ATTEMPTS;
        let event = if is_last { PaymentEvent::Fail } else { PaymentEvent::Decline };
        case.step(tx, caller, event, Some(reason))?;
        case.payment.last_error = Some(reason.to_owned());
        case.payment.review = Review::None;
        attempt.step(tx, caller, AttemptEvent::Fail, Some(reason));
        attempt.row.error = Some(reason.to_owned());
        if is_last {
            case.news.push(News::Failed { reason: reason.to_owned() });
        }
        Ok(())
    }

    /// Money came, once per reference.
    pub(super) fn receive(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        money: Money,
    ) -> Result<()> {
        let asked = case.payment.amount;
        match settlement_of(tx, case.client, attempt.row.gateway, &money.reference)? {
            // One output of one transaction is the same money for ever, whatever it was said to be for since.
            Some((payment, known))
                if known.amount == money.amount
                    && (payment == case.id || attempt.row.kind == GatewayKind::Crypto) =>
            {
                self.is_there_again(case, &money.reference);
                return Ok(());
            }
            Some((payment, known)) => {
                let reason = format!("{} came before as {} for {payment}", money.reference, known.amount);
                return self.conflict(tx, caller, case, attempt, money, &reason);
            }
            None => {}
        }
        // What a person resolved before the gateway could say its own reference is the same money.
        if attempt.row.status() == AttemptStatus::Settled
            && let Some((_, known)) =
                settlement_of(tx, case.client, attempt.row.gateway, &attempt.id.to_string())?
            && known.amount == money.amount
        {
            return Ok(());
        }
        if case.payment.is_due_to_expire(tx.now()) {
            self.expire(tx, caller, case, Some(attempt))?;
        }
        if case.payment.is_over() {
            return self.suspend(tx, caller, case, attempt, money);
        }
        if money.amount.currency() != asked.currency() {
            let reason = format!("{} came, {asked} was asked", money.amount);
            return self.conflict(tx, caller, case, attempt, money, &reason);
        }
        let told = attempt.row.expected;
        let tolerance = self.tolerance(tx, case)?;
        let is_told = money.amount <= told && money.amount.plus(tolerance)? >= told;
        attempt.row.seen.retain(|it| *it != money.reference);
        if !attempt.row.kind.payer_chooses_amount() && !is_told {
            let reason = format!("{} came, the gateway was told {told}", money.amount);
            return self.conflict(tx, caller, case, attempt, money, &reason);
        }
        self.keep(tx, case, attempt, &money)?;
        let is_all =
            case.payment.received.plus(tolerance)? >= asked || !attempt.row.kind.payer_chooses_amount();
        if is_all {
            return self.credit(tx, caller, case, attempt);
        }
        // It waits for the rest, where the payer can send it and where its time runs out.
        attempt.step(tx, caller, AttemptEvent::Open, None);
        if case.payment.status() == PaymentStatus::RequiresMethod {
            case.step(tx, caller, PaymentEvent::Detect, None)?;
        }
        case.step_if_possible(tx, caller, PaymentEvent::AwaitPayer);
        Ok(())
    }

    /// Counts money for its payment; where it goes is decided next.
    pub(super) fn keep(
        &self,
        tx: &mut WriteTx,
        case: &mut Case,
        attempt: &mut Try,
        money: &Money,
    ) -> Result<()> {
        self.note(tx, case, attempt, money, Place::Waiting, None)?;
        attempt.row.reference = Some(money.reference.clone());
        case.payment.received = case.payment.received.plus(money.amount)?;
        case.payment.paid_state = compare(case.payment.received, case.payment.amount);
        Ok(())
    }

    fn note(
        &self,
        tx: &mut WriteTx,
        case: &Case,
        attempt: &Try,
        money: &Money,
        place: Place,
        entry: Option<EntryId>,
    ) -> Result<()> {
        let id: SettlementId = tx.new_id();
        let row = Settlement {
            payment: case.id,
            attempt: attempt.id,
            gateway: attempt.row.gateway,
            reference: money.reference.clone(),
            amount: money.amount,
            place,
            entry,
            claimant: None,
            moved_by: None,
            times: Times::at(tx.now()),
        };
        tx.insert(&SETTLEMENTS, &(case.client, case.id, id), &row)
    }

    /// Settles the payment with what came, whole or not. Refuses `invalid_state_transition`.
    pub(super) fn credit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
    ) -> Result<()> {
        case.step(tx, caller, PaymentEvent::Settle, None)?;
        attempt.step(tx, caller, AttemptEvent::Settle, None);
        if case.payment.review == Review::Needed {
            case.payment.review = Review::None;
        }
        case.payment.last_error = None;
        self.end_other_attempt(tx, caller, case, attempt)?;
        let entry = match (&case.payment.payable, case.payment.user) {
            (Some(_), _) => None, // Booked by the module that hears of it.
            (None, Some(user)) => Some(self.book_charge(tx, caller, case, attempt, user)?),
            (None, None) => return Err(fault!("{} is a plain charge of nobody", case.id)),
        };
        for (id, mut row) in waiting(tx, case)? {
            (row.place, row.entry) = (Place::Credited, entry);
            save(tx, &SETTLEMENTS, &(case.client, case.id, id), &mut row)?;
        }
        let reference = attempt.row.reference.clone().unwrap_or_default();
        case.news.push(News::Settled { attempt: attempt.id, gateway: attempt.row.gateway, reference });
        Ok(())
    }

    /// An attempt that failed was paid after all while the next one is open: nobody needs to pay that one.
    fn end_other_attempt(&self, tx: &mut WriteTx, caller: &Caller, case: &Case, paid: &Try) -> Result<()> {
        if let Some(mut other) = Try::last(tx, case)?.filter(|it| it.id != paid.id)
            && other.step(tx, caller, AttemptEvent::Cancel, None)
        {
            other.save(tx, case)?;
            end(tx, case, &other)?;
        }
        Ok(())
    }

    /// clearing → the user's available money, and the fee → fee_income.
    fn book_charge(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &Case,
        attempt: &Try,
        user: UserId,
    ) -> Result<EntryId> {
        let amount = case.payment.received;
        let currency = amount.currency();
        let clearing = Account::house(HouseAccount::Clearing(attempt.row.gateway.bytes()), currency);
        let available = Account::user(user, UserAccount::Available, currency);
        let fee_income = Account::house(HouseAccount::FeeIncome, currency);
        let tier = self.users.get(tx, case.client, user)?.tier;
        let question = FeeQuestion {
            operation: FeeOperation::Payment,
            amount,
            to: None,
            gateway: Some(attempt.row.gateway),
            tier: &tier,
        };
        let fee = self.pricing.fee(tx, case.client, &question)?.fee;
        let fee = if fee > amount { amount } else { fee };
        let entry = NewEntry {
            cause: case.id.to_string(),
            description: "Payment",
            lines: &[
                Line::lower(clearing, amount),
                Line::raise(available, amount.minus(fee)?),
                Line::raise(fee_income, fee),
            ],
            reverses: None,
        };
        let side = |entry_type, amount, category, narration| Record {
            user,
            entry_type,
            amount,
            category,
            narration,
        };
        let sides = [
            side(EntryType::Credit, amount, built_in::PAYMENT, "Payment"),
            side(EntryType::Fee, fee, built_in::FEE, "Payment fee"),
        ];
        self.transactions.post(tx, caller, case.client, entry, &sides).map(|it| it.0)
    }

    /// Books money that its payment has no use for where nothing is lost.
    pub(super) fn suspend(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        money: Money,
    ) -> Result<()> {
        let entry = self.book_suspense(tx, case, attempt.row.gateway.bytes(), money.amount)?;
        self.note(tx, case, attempt, &money, Place::Suspense, Some(entry))?;
        if case.payment.status() != PaymentStatus::Settled {
            case.payment.paid_state = PaidState::Late;
        }
        attempt.step(tx, caller, AttemptEvent::Settle, None);
        attempt.row.reference = Some(money.reference);
        let reason = format!("{} came when the payment was {}", money.amount, case.payment.status());
        case.news.push(News::Late { reason });
        Ok(())
    }

    /// What waited for the rest goes to suspense: the payment ends without it.
    pub(super) fn let_go(&self, tx: &mut WriteTx, case: &mut Case) -> Result<()> {
        for (id, mut row) in waiting(tx, case)? {
            let entry = self.book_suspense(tx, case, row.gateway.bytes(), row.amount)?;
            (row.place, row.entry) = (Place::Suspense, Some(entry));
            save(tx, &SETTLEMENTS, &(case.client, case.id, id), &mut row)?;
            let reason = format!("{} came for a payment that was given up", row.amount);
            case.news.push(News::Late { reason });
        }
        case.payment.received = Amount::zero(case.payment.amount.currency());
        Ok(())
    }

    fn book_suspense(
        &self,
        tx: &mut WriteTx,
        case: &Case,
        gateway: [u8; 16],
        amount: Amount,
    ) -> Result<EntryId> {
        let currency = amount.currency();
        let clearing = Account::house(HouseAccount::Clearing(gateway), currency);
        let suspense = Account::house(HouseAccount::Suspense, currency);
        let entry = NewEntry {
            cause: case.id.to_string(),
            description: "Money without a use, to suspense",
            lines: &[Line::lower(clearing, amount), Line::raise(suspense, amount)],
            reverses: None,
        };
        self.balance.post(tx, case.client, entry).map(|it| it.id)
    }

    /// A person has to decide. Nothing is booked until then.
    pub(super) fn conflict(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        money: Money,
        reason: &str,
    ) -> Result<()> {
        let said = self.said(tx, caller, money);
        let known = case.payment.said.as_ref();
        let is_known = case.payment.review == Review::Conflicted
            && known.is_some_and(|it| it.reference == said.reference && it.amount == said.amount);
        if is_known {
            return Ok(());
        }
        if case.payment.is_due_to_expire(tx.now()) {
            self.expire(tx, caller, case, Some(attempt))?;
        }
        if !case.payment.is_over() && said.amount.currency() == case.payment.amount.currency() {
            case.payment.paid_state = compare(said.amount, case.payment.amount);
        }
        self.examine(tx, caller, case, attempt, said, Review::Conflicted);
        case.news.push(News::Conflicted { reason: reason.to_owned() });
        Ok(())
    }

    pub(super) fn said(&self, tx: &WriteTx, caller: &Caller, money: Money) -> Said {
        let Money { reference, amount, reason, proof } = money;
        Said { reference, amount, by: caller.actor(), reason, proof, at: tx.now(), approval: None }
    }

    /// Puts what was said before a person; meanwhile the payment neither expires nor is canceled.
    pub(super) fn examine(
        &self,
        tx: &WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        said: Said,
        review: Review,
    ) {
        attempt.step(tx, caller, AttemptEvent::Open, None);
        case.step_if_possible(tx, caller, PaymentEvent::Detect);
        case.payment.review = review;
        case.payment.said = Some(said);
    }

    /// Its time is over. What came in part until now is credited; otherwise nothing came.
    pub(super) fn expire(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: Option<&mut Try>,
    ) -> Result<()> {
        if let Some(attempt) = attempt {
            if !case.payment.received.is_zero() {
                return self.credit(tx, caller, case, attempt);
            }
            if attempt.step(tx, caller, AttemptEvent::Expire, None) {
                end(tx, case, attempt)?;
            }
        }
        case.step(tx, caller, PaymentEvent::Expire, None)?;
        case.news.push(News::Expired);
        Ok(())
    }

    /// How much less than asked is taken as the whole, in the payment's currency. What the client wrote with more
    /// decimals than the currency has counts as nothing.
    fn tolerance(&self, tx: &ReadTx, case: &Case) -> Result<Amount> {
        let currency = case.payment.amount.currency();
        let settings = self.clients.get(tx, case.client)?.settings.payment;
        let text = settings.tolerances.into_iter().find(|it| it.currency == currency.code);
        let amount = text.and_then(|it| it.amount.parse::<AmountText>().ok());
        Ok(amount
            .and_then(|it| it.not_negative("tolerance", currency).ok())
            .unwrap_or(Amount::zero(currency)))
    }
}
