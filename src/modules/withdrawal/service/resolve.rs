//! What a gateway says of a payout that cannot be true with what the books say: it waits, visible, until two people have
//! found out, and what is true is booked.

use super::{Withdrawals, narration};
use crate::kernel::{
    api::{call::Call, call::Caller, input::Named as _, problem::ApiRefusal},
    error::{Result, fault},
    store::WriteTx,
};
use crate::modules::{
    balance::contract::{Account, HouseAccount, Line, NewEntry, UserAccount},
    category::contract::built_in,
    client::contract::ClientRefusal,
    pricing::contract::{LimitOperation, LimitUse},
    transaction::contract::{EntryType, NewTransaction, Record, TransactionStatus},
    withdrawal::{
        contract::{WithdrawalId, WithdrawalStatus},
        events::{WithdrawalConflictClosed, WithdrawalConflicted},
        model::{Conflict, Proposal, WITHDRAWAL, Withdrawal},
        repository,
        routes::{WithdrawalOut, WithdrawalResolveIn},
    },
};

impl Withdrawals {
    /// Keeps what the gateway says, once for the same words. Whose money was given back pays nothing out meanwhile.
    pub(super) fn contradict(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut withdrawal: Withdrawal,
        reason: String,
        reference: Option<String>,
    ) -> Result<Withdrawal> {
        let client = caller.client()?;
        if withdrawal.conflict.as_ref().is_some_and(|it| it.reason == reason) {
            return Ok(withdrawal);
        }
        let freeze = format!("{reason}, and {} is {}", withdrawal.id, withdrawal.status());
        let before = withdrawal.conflict;
        let revision = before.as_ref().map_or(1, |it| it.revision + 1);
        let id = before.map_or_else(|| tx.new_id(), |it| it.id);
        withdrawal.conflict =
            Some(Conflict { id, reason, reference, at: tx.now(), revision, proposal: None });
        withdrawal.stamp.touch(tx.now());
        repository::put(tx, client, &withdrawal)?;
        tx.publish(caller, &WithdrawalConflicted::of(&withdrawal))?;
        if matches!(withdrawal.status(), WithdrawalStatus::Failed | WithdrawalStatus::Returned) {
            self.users.freeze(tx, caller, client, withdrawal.user, &freeze)?;
        }
        Ok(withdrawal)
    }

    /// One person says what is true; another one says the same, and it is booked. Who says something else begins anew.
    /// Refuses `self_approval` (whose money it is; whoever said it first), `invalid_state_transition` where nothing is
    /// in conflict, `revision_stale`.
    pub fn resolve(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalResolveIn>,
    ) -> Result<WithdrawalOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let mut withdrawal = repository::get(tx, client, call.path)?;
        self.check_not_own(tx, caller, &withdrawal)?;
        let Some(conflict) = &mut withdrawal.conflict else {
            let status = withdrawal.status();
            let allowed_events = WITHDRAWAL.allowed(status).into_iter().map(str::to_owned).collect();
            let (event, current_status) = ("resolve".to_owned(), status.name().to_owned());
            return Err(ApiRefusal::InvalidStateTransition { event, current_status, allowed_events }.into());
        };
        let is_said = |it: &Proposal| it.truth == input.truth && it.by == caller.actor();
        if conflict.proposal.as_ref().is_some_and(is_said) {
            return self.out(tx, caller, &withdrawal);
        }
        if input.revision != conflict.revision {
            let current_revision = conflict.revision;
            return Err(ClientRefusal::RevisionStale { current_revision }.into());
        }
        let first = conflict.proposal.as_ref().filter(|it| it.truth == input.truth).map(|it| it.by);
        match first {
            Some(by) => self.clients.check_other(tx, client, caller, by)?,
            None => {
                let (by, reason) = (caller.actor(), String::from(&input.reason));
                conflict.revision += 1;
                conflict.proposal = Some(Proposal { truth: input.truth, by, reason, at: tx.now() });
                withdrawal.stamp.touch(tx.now());
                repository::put(tx, client, &withdrawal)?;
                return self.out(tx, caller, &withdrawal);
            }
        }

        let event = input.truth.leads_by(withdrawal.status());
        let withdrawal = match event {
            Some(event) => self.advance(tx, caller, withdrawal, event, Some(&input.reason))?,
            None => {
                withdrawal.conflict = None;
                withdrawal.stamp.touch(tx.now());
                repository::put(tx, client, &withdrawal)?;
                tx.publish(caller, &WithdrawalConflictClosed::of(&withdrawal))?;
                withdrawal
            }
        };
        self.out(tx, caller, &withdrawal)
    }

    /// It was paid: what had been given back is taken again, below zero if it was spent. What came back of it was the
    /// payout: the fee had been kept.
    pub(super) fn take_again(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        withdrawal: &mut Withdrawal,
    ) -> Result<()> {
        let client = caller.client()?;
        let conflict = withdrawal.conflict.take();
        let (conflict, destination) = conflict
            .zip(withdrawal.destination())
            .ok_or_else(|| fault!("{} was found to be paid and never went", withdrawal.id))?;
        withdrawal.reference = conflict.reference.or(withdrawal.reference.take());
        let was_returned = withdrawal.history.last().from == Some(WithdrawalStatus::Returned);
        let currency = withdrawal.amount.currency();
        let available = Account::user(withdrawal.user, UserAccount::Available, currency);
        let mut lines = vec![
            Line::lower(available, withdrawal.payout),
            Line::raise(Account::house(destination, currency), withdrawal.payout),
        ];
        let mut sides = vec![(EntryType::Debit, withdrawal.payout, narration(&withdrawal.purpose))];
        if !was_returned && !withdrawal.fee.is_zero() {
            lines.push(Line::lower(available, withdrawal.fee));
            lines.push(Line::raise(Account::house(HouseAccount::FeeIncome, currency), withdrawal.fee));
            sides.push((EntryType::Fee, withdrawal.fee, "Withdrawal fee".to_owned()));
        }
        let (cause, description) = (conflict.id.to_string(), "Withdrawal, paid after all");
        let entry = NewEntry { cause, description, lines: &lines, reverses: None };
        let posted = self.balances.charge_back(tx, client, entry)?;
        let balance_after = self.balances.balances(tx, client, withdrawal.user, currency)?.available;
        for (entry_type, amount, narration) in sides {
            let record = NewTransaction {
                user: withdrawal.user,
                entry_type,
                amount,
                balance_after,
                status: TransactionStatus::Completed,
                category: if entry_type == EntryType::Fee { built_in::FEE } else { built_in::WITHDRAWAL },
                narration: &narration,
                cause: withdrawal.id.to_string(),
                entry: posted.id,
            };
            let record = self.transactions.record(tx, caller, client, record)?;
            withdrawal.records.push(record);
        }
        let Withdrawal { id, user, amount, stamp, .. } = &*withdrawal;
        let used = LimitUse::new(LimitOperation::Withdrawal, *user, *amount, *id);
        self.limits.count_again(tx, client, used, stamp.created_at)
    }

    /// It never went: payout and fee are the user's again.
    pub(super) fn give_up(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        withdrawal: &mut Withdrawal,
    ) -> Result<()> {
        let client = caller.client()?;
        withdrawal.conflict = None;
        let destination = withdrawal
            .destination()
            .ok_or_else(|| fault!("{} was completed without a gateway", withdrawal.id))?;
        let (total, currency) = (withdrawal.total()?, withdrawal.amount.currency());
        let available = Account::user(withdrawal.user, UserAccount::Available, currency);
        let lines = [
            Line::lower(Account::house(destination, currency), withdrawal.payout),
            Line::lower(Account::house(HouseAccount::FeeIncome, currency), withdrawal.fee),
            Line::raise(available, total),
        ];
        let entry = NewEntry {
            cause: withdrawal.id.to_string(),
            description: "Withdrawal, never paid",
            lines: &lines,
            reverses: None,
        };
        let record = Record {
            user: withdrawal.user,
            entry_type: EntryType::Credit,
            amount: total,
            category: built_in::REFUND,
            narration: &format!("Not paid out: {}", narration(&withdrawal.purpose)),
        };
        self.transactions.post(tx, caller, client, entry, &[record])?;
        self.uncount(tx, client, withdrawal)
    }
}
