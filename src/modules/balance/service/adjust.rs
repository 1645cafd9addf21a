//! Adjustments: asked for by one person, posted or rejected by another.

use super::Ledger;
use crate::kernel::{
    api::{
        call::{Call, found},
        input::{Flaw, Metadata, input},
        object::{ExternalId, Stamp, check_external_id, save},
        principal::{ClientId, UserId},
        text::Text,
    },
    error::{Error, Result},
    machine::{History, Step},
    money::{Amount, AmountText, Currency, CurrencyCode},
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::{
        contract::{
            Account, AccountRef, AdjustmentId, BalanceContract as _, HouseAccount, Line, NewEntry, Posted,
        },
        events::{AdjustmentRejected, AdjustmentRequested, BalanceAdjusted, Direction},
        model::adjustment::{ADJUSTMENT, Adjustment, AdjustmentEvent, AdjustmentStatus},
        repository::{ADJUSTMENTS, ADJUSTMENTS_BY_EXTERNAL_ID},
        routes::adjustments::AdjustmentOut,
    },
    client::contract::{Approval, ApprovalOperation, ApproveIn, Motion, RejectIn},
};

input! {
    pub struct AdjustIn {
        /// `acc_…` or `house:<kind>`; or `user_id`, for the user's available account.
        account: Option<AccountRef>,
        user_id: Option<UserId>,
        currency: CurrencyCode,
        amount: AmountText,
        direction: Direction,
        /// Why.
        reason: Text<500>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

impl Ledger {
    /// Asks for an adjustment. Refuses `currency_inactive`, `external_id_taken`, `not_found`,
    /// `currency_mismatch`, `account_reserved`.
    pub fn request_adjustment(&self, tx: &mut WriteTx, call: &Call<(), AdjustIn>) -> Result<AdjustmentOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let reference = input.reference()?;
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        check_external_id(tx, &ADJUSTMENTS, ADJUSTMENTS_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        let account = reference.resolve(self, &*self.users, tx, client, currency)?;
        if account == contra(currency) {
            return Err(not_the_contra());
        }

        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Adjustment)?;
        let id: AdjustmentId = tx.new_id();
        let adjustment = Adjustment {
            account,
            direction: input.direction,
            amount,
            reason: String::from(&input.reason),
            entry: None,
            approval: Approval::under(policy, amount),
            history: History::begin(AdjustmentStatus::Requested, &call.caller, tx.now()),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&ADJUSTMENTS, &(client, id), &adjustment)?;
        let event = AdjustmentRequested {
            adjustment_id: id,
            user_id: adjustment.account.user_id(),
            direction: adjustment.direction,
            amount: adjustment.amount.digits(),
            currency: adjustment.amount.currency().code,
            reason: adjustment.reason.clone(),
        };
        tx.publish(&call.caller, &event)?;
        Ok(AdjustmentOut::of(id, &adjustment))
    }

    pub fn show_adjustment(&self, tx: &ReadTx, call: &Call<AdjustmentId>) -> Result<AdjustmentOut> {
        let client = call.caller.client()?;
        let mut adjustment = found(tx.get(&ADJUSTMENTS, &(client, call.path))?)?;
        self.seen_adjustment(tx, client, &mut adjustment)?;
        Ok(AdjustmentOut::of(call.path, &adjustment))
    }

    /// As it is to be shown: what people think of it under the rules of now.
    pub fn seen_adjustment(&self, tx: &ReadTx, client: ClientId, adjustment: &mut Adjustment) -> Result<()> {
        if adjustment.history.status() == AdjustmentStatus::Requested {
            let operation = ApprovalOperation::Adjustment;
            adjustment.approval =
                self.users.seen(tx, &*self.clients, client, operation, &adjustment.approval)?;
        }
        Ok(())
    }

    /// Agrees to an adjustment that somebody else asked for; once enough people did it is posted and announced.
    /// Refuses `self_approval` (who asked for it, whose account it is), `invalid_state_transition`, `revision_stale`,
    /// `not_on_committee`, `already_voted`, `insufficient_funds`.
    pub fn approve_adjustment(
        &self,
        tx: &mut WriteTx,
        call: &Call<AdjustmentId, ApproveIn>,
    ) -> Result<AdjustmentOut> {
        let (client, id, mut adjustment) = self.decidable(tx, call)?;
        if adjustment.history.status() == AdjustmentStatus::Requested {
            let concerned = adjustment.concerned();
            let motion = Motion { operation: ApprovalOperation::Adjustment, concerned: &concerned };
            let (approval, ballot) = (&mut adjustment.approval, (&call.input).into());
            if !self.users.vote(tx, &*self.clients, &call.caller, motion, approval, ballot)? {
                save(tx, &ADJUSTMENTS, &(client, id), &mut adjustment)?;
                return Ok(AdjustmentOut::of(id, &adjustment));
            }
        }
        let event = AdjustmentEvent::Approve;
        if adjustment.history.step(&ADJUSTMENT, event, &call.caller, None, tx.now())? == Step::Repeated {
            return Ok(AdjustmentOut::of(id, &adjustment));
        }
        let posted = self.post_adjustment(tx, client, id, &adjustment)?;

        adjustment.entry = Some(posted.id);
        save(tx, &ADJUSTMENTS, &(client, id), &mut adjustment)?;
        let event = BalanceAdjusted {
            adjustment_id: id,
            user_id: adjustment.account.user_id(),
            direction: adjustment.direction,
            amount: adjustment.amount.digits(),
            currency: adjustment.amount.currency().code,
            reason: adjustment.reason.clone(),
            entry_id: posted.id,
        };
        tx.publish(&call.caller, &event)?;
        Ok(AdjustmentOut::of(id, &adjustment))
    }

    /// Refuses `self_approval`, `revision_stale`, `not_on_committee`, `invalid_state_transition`.
    pub fn reject_adjustment(
        &self,
        tx: &mut WriteTx,
        call: &Call<AdjustmentId, RejectIn>,
    ) -> Result<AdjustmentOut> {
        let (client, id, mut adjustment) = self.decidable(tx, call)?;
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Adjustment)?;
        if adjustment.history.status() == AdjustmentStatus::Requested {
            adjustment.approval = adjustment.approval.seen_under(policy.clone());
            adjustment.approval.check_revision(call.input.revision)?;
        }
        self.users.check_voter(tx, client, call.caller.actor(), (&policy, adjustment.amount))?;
        let (event, reason) = (AdjustmentEvent::Reject, Some(&*call.input.reason));
        if adjustment.history.step(&ADJUSTMENT, event, &call.caller, reason, tx.now())? == Step::Moved {
            save(tx, &ADJUSTMENTS, &(client, id), &mut adjustment)?;
            let (user_id, reason) = (adjustment.account.user_id(), String::from(&call.input.reason));
            tx.publish(&call.caller, &AdjustmentRejected { adjustment_id: id, user_id, reason })?;
        }
        Ok(AdjustmentOut::of(id, &adjustment))
    }

    /// The adjustment, for somebody whom it does not concern. Refuses `not_found`, `self_approval`.
    fn decidable<I>(
        &self,
        tx: &ReadTx,
        call: &Call<AdjustmentId, I>,
    ) -> Result<(ClientId, AdjustmentId, Adjustment)> {
        let (client, id) = (call.caller.client()?, call.path);
        let adjustment: Adjustment = found(tx.get(&ADJUSTMENTS, &(client, id))?)?;
        for other in adjustment.concerned() {
            self.clients.check_other(tx, client, &call.caller, other)?;
        }
        // A second decision of whatever kind meets the state machine.
        Ok((client, id, adjustment))
    }

    fn post_adjustment(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        id: AdjustmentId,
        adjustment: &Adjustment,
    ) -> Result<Posted> {
        let Adjustment { account, amount, direction, .. } = adjustment;
        let lines = lines(*direction, *account, contra(account.currency), *amount);
        let entry = NewEntry {
            cause: id.to_string(),
            description: &adjustment.reason,
            lines: &lines,
            reverses: None,
        };
        self.post(tx, client, entry)
    }
}

impl AdjustIn {
    /// The account it names, in one of two ways.
    fn reference(&self) -> Result<AccountRef> {
        match (self.account, self.user_id) {
            (Some(AccountRef::House(HouseAccount::Adjustment)), _) => Err(not_the_contra()),
            (Some(account), None) => Ok(account),
            (None, Some(user)) => Ok(AccountRef::User(user)),
            (Some(_), Some(_)) => Err(Flaw::new("user_id", "not_allowed", "account names it already").into()),
            (None, None) => Err(Flaw::new("account", "required", "is required, or user_id").into()),
        }
    }
}

/// The other side of every adjustment.
fn contra(currency: Currency) -> Account {
    Account::house(HouseAccount::Adjustment, currency)
}

fn not_the_contra() -> Error {
    Flaw::new("account", "not_allowed", "is the other side of every adjustment").into()
}

fn lines(direction: Direction, account: Account, contra: Account, amount: Amount) -> [Line; 2] {
    match direction {
        Direction::Credit => [Line::raise(account, amount), Line::lower(contra, amount)],
        Direction::Debit => [Line::lower(account, amount), Line::raise(contra, amount)],
    }
}
