//! The use cases of withdrawals, and the one function that moves them.

pub mod ask;
pub mod automatic;
mod beneficiary;
mod bulk;
pub mod confirm;
mod create;
mod decide;
mod payout;
mod resolve;

use std::sync::Arc;

use super::{
    contract::{WithdrawalId, WithdrawalStatus},
    events::*,
    model::{Purpose, Withdrawal, WithdrawalEvent},
    repository,
    routes::WithdrawalOut,
};
use crate::kernel::{
    api::{
        call::{Call, Caller},
        input::Named as _,
        principal::{Actor, ClientId},
    },
    error::{Result, fault},
    events::{due::Due, worker::Job},
    machine::Step,
    secret::Secrets,
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::contract::{Account, BalanceContract, EntryId, HouseAccount, Line, NewEntry, UserAccount},
    category::contract::built_in,
    client::contract::{ApprovalOperation, ApprovalPolicy, ClientContract},
    currency::contract::CurrencyContract,
    payment::contract::PaymentContract,
    pricing::contract::{LimitContract, LimitOperation, LimitUse, PricingContract},
    transaction::contract::{EntryType, Record, TransactionContract, TransactionStatus},
    user::contract::UserContract,
};

/// Withdrawals and beneficiaries.
pub struct Withdrawals {
    pub currencies: Arc<dyn CurrencyContract>,
    pub clients: Arc<dyn ClientContract>,
    pub limits: Arc<dyn LimitContract>,
    pub pricing: Arc<dyn PricingContract>,
    pub users: Arc<dyn UserContract>,
    pub balances: Arc<dyn BalanceContract>,
    pub transactions: Arc<dyn TransactionContract>,
    pub payments: Arc<dyn PaymentContract>,
    pub secrets: Arc<Secrets>,
    /// `server.public_url`.
    pub public_url: Option<String>,
}

type Key = (ClientId, WithdrawalId);

/// Looks after what is overdue.
pub fn deadlines(withdrawals: &Arc<Withdrawals>) -> Job {
    let table = &repository::WITHDRAWALS;
    let due =
        Due { name: "withdrawal.deadlines", table, index: repository::BY_DEADLINE, at: |it| &mut it.due_at };
    due.job(withdrawals, Withdrawals::meet_deadline, |_, _| {})
}

impl Withdrawals {
    /// As shown to a caller who may see it.
    pub fn show<I>(&self, tx: &ReadTx, call: &Call<WithdrawalId, I>) -> Result<WithdrawalOut> {
        let withdrawal = repository::get(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(Some(withdrawal.user))?;
        self.out(tx, &call.caller, &withdrawal)
    }

    fn out(&self, tx: &ReadTx, caller: &Caller, withdrawal: &Withdrawal) -> Result<WithdrawalOut> {
        let client = caller.client()?;
        self.out_under(tx, client, withdrawal, &self.policy(tx, client)?)
    }

    pub fn out_under(
        &self,
        tx: &ReadTx,
        client: ClientId,
        withdrawal: &Withdrawal,
        policy: &ApprovalPolicy,
    ) -> Result<WithdrawalOut> {
        let rules = withdrawal.approval_under(policy).policy;
        let blocked = self.users.is_blocked(tx, client, (&rules, withdrawal.amount))?;
        Ok(WithdrawalOut::of(withdrawal.id, withdrawal, policy, blocked))
    }

    pub fn policy(&self, tx: &ReadTx, client: ClientId) -> Result<ApprovalPolicy> {
        self.clients.approval_policy(tx, client, ApprovalOperation::Withdrawal)
    }

    /// Refuses `self_approval`: nobody says what became of a payout to themselves.
    fn check_not_own(&self, tx: &ReadTx, caller: &Caller, withdrawal: &Withdrawal) -> Result<()> {
        self.clients.check_other(tx, caller.client()?, caller, Actor::User(withdrawal.user))
    }

    /// Expires, or marks for reconciliation, what waited too long.
    fn meet_deadline(&self, tx: &mut WriteTx, (client, id): Key, withdrawal: Withdrawal) -> Result<()> {
        let Some((event, reason)) = withdrawal.status().overdue() else {
            return Err(fault!("{id} has a deadline though nothing is waited for"));
        };
        self.advance(tx, &Caller::system(Some(client)), withdrawal, event, Some(reason)).map(drop)
    }

    /// Moves a withdrawal by `event`, and its money with it: what entering a state means is done here and nowhere
    /// else, so it is done once. The very command that led to the present state changes nothing. Refuses
    /// `invalid_state_transition`.
    fn advance(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut withdrawal: Withdrawal,
        event: WithdrawalEvent,
        reason: Option<&str>,
    ) -> Result<Withdrawal> {
        use WithdrawalStatus::*;
        let client = caller.client()?;
        if withdrawal.step(event, caller, reason, tx.now())? == Step::Repeated {
            return Ok(withdrawal);
        }

        withdrawal.confirmation = None; // Confirmed, or it came to nothing.
        match withdrawal.status() {
            PendingConfirmation | PendingReview | Processing | Sent | NeedsReconciliation => {} // Stays held.
            Approved => self.hand_over(tx, client, &withdrawal)?,
            Completed if event == WithdrawalEvent::FoundPaid => {
                self.take_again(tx, caller, &mut withdrawal)?
            }
            Failed if event == WithdrawalEvent::FoundUnpaid => self.give_up(tx, caller, &mut withdrawal)?,
            Completed => self.capture(tx, client, &withdrawal)?,
            Failed | Rejected | Canceled | Expired => self.release(tx, client, &withdrawal)?,
            Returned => self.take_back(tx, caller, client, &withdrawal)?,
        }
        self.plan_question(tx, client, &withdrawal)?;
        repository::put(tx, client, &withdrawal)?;
        announce(tx, caller, &withdrawal)?;
        Ok(withdrawal)
    }

    /// The held money is paid out: to the gateway's account and to the fees.
    fn capture(&self, tx: &mut WriteTx, client: ClientId, withdrawal: &Withdrawal) -> Result<()> {
        let (hold, destination) = withdrawal
            .hold()
            .zip(withdrawal.destination())
            .ok_or_else(|| fault!("{} was completed without a gateway", withdrawal.id))?;
        let currency = withdrawal.amount.currency();
        let mut lines = vec![Line::raise(Account::house(destination, currency), withdrawal.payout)];
        if !withdrawal.fee.is_zero() {
            let fees = Account::house(HouseAccount::FeeIncome, currency);
            lines.push(Line::raise(fees, withdrawal.fee));
        }
        let (_, posted) = self.balances.capture(tx, client, hold, &lines, true, "Withdrawal completed")?;
        self.follow(tx, client, withdrawal, TransactionStatus::Completed, posted.id)
    }

    /// The held money is the user's again, the fee too.
    fn release(&self, tx: &mut WriteTx, client: ClientId, withdrawal: &Withdrawal) -> Result<()> {
        let hold = withdrawal.hold().ok_or_else(|| fault!("{} holds nothing", withdrawal.id))?;
        let description = format!("Withdrawal {}", withdrawal.status());
        let (_, posted) = self.balances.release(tx, client, hold, &description)?;
        self.uncount(tx, client, withdrawal)?;
        self.follow(tx, client, withdrawal, TransactionStatus::Failed, posted.id)
    }

    /// The payout came back: a new entry the other way. The fee is kept.
    fn take_back(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        withdrawal: &Withdrawal,
    ) -> Result<()> {
        let destination = withdrawal
            .destination()
            .ok_or_else(|| fault!("{} was completed without a gateway", withdrawal.id))?;
        let (amount, currency) = (withdrawal.payout, withdrawal.amount.currency());
        let available = Account::user(withdrawal.user, UserAccount::Available, currency);
        let lines =
            [Line::lower(Account::house(destination, currency), amount), Line::raise(available, amount)];
        let entry = NewEntry {
            cause: withdrawal.id.to_string(),
            description: "Withdrawal returned",
            lines: &lines,
            reverses: None,
        };
        let record = Record {
            user: withdrawal.user,
            entry_type: EntryType::Credit,
            amount,
            category: built_in::REFUND,
            narration: &format!("Returned: {}", narration(&withdrawal.purpose)),
        };
        self.transactions.post(tx, caller, client, entry, &[record])?;
        self.uncount(tx, client, withdrawal)
    }

    /// What did not leave, or came back, leaves room under the user's limits again.
    fn uncount(&self, tx: &mut WriteTx, client: ClientId, withdrawal: &Withdrawal) -> Result<()> {
        let Withdrawal { id, user, amount, stamp, .. } = withdrawal;
        let used = LimitUse::new(LimitOperation::Withdrawal, *user, *amount, *id);
        self.limits.give_back(tx, client, used, stamp.created_at)
    }

    fn follow(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        withdrawal: &Withdrawal,
        status: TransactionStatus,
        entry: EntryId,
    ) -> Result<()> {
        let mut records = withdrawal.records.iter();
        records.try_for_each(|it| self.transactions.follow(tx, client, *it, status, entry))
    }
}

fn narration(purpose: &Purpose) -> String {
    match purpose {
        Purpose::CashOut { method, .. } => format!("Withdrawal to {method}"),
        Purpose::Charge { reason, .. } => reason.clone(),
    }
}

/// Tells of the state just entered.
fn announce(tx: &mut WriteTx, caller: &Caller, withdrawal: &Withdrawal) -> Result<()> {
    use WithdrawalStatus::*;
    let event = &withdrawal.history.last().event;
    match withdrawal.status() {
        Completed if event == WithdrawalEvent::FoundPaid.name() => {
            tx.publish(caller, &WithdrawalFoundPaid::of(withdrawal))
        }
        Failed if event == WithdrawalEvent::FoundUnpaid.name() => {
            tx.publish(caller, &WithdrawalFoundUnpaid::of(withdrawal))
        }
        PendingConfirmation => tx.publish(caller, &WithdrawalRequested::of(withdrawal)),
        PendingReview if withdrawal.history.last().from.is_some() => {
            tx.publish(caller, &WithdrawalConfirmed::of(withdrawal))
        }
        PendingReview => tx.publish(caller, &WithdrawalRequested::of(withdrawal)),
        Approved => tx.publish(caller, &WithdrawalApproved::of(withdrawal)),
        Processing => tx.publish(caller, &WithdrawalProcessing::of(withdrawal)),
        Sent => tx.publish(caller, &WithdrawalSent::of(withdrawal)),
        Completed => tx.publish(caller, &WithdrawalCompleted::of(withdrawal)),
        Failed => tx.publish(caller, &WithdrawalFailed::of(withdrawal)),
        NeedsReconciliation => tx.publish(caller, &WithdrawalNeedsReconciliation::of(withdrawal)),
        Returned => tx.publish(caller, &WithdrawalReturned::of(withdrawal)),
        Rejected => tx.publish(caller, &WithdrawalRejected::of(withdrawal)),
        Canceled => tx.publish(caller, &WithdrawalCanceled::of(withdrawal)),
        Expired => tx.publish(caller, &WithdrawalExpired::of(withdrawal)),
    }?;
    Ok(())
}
