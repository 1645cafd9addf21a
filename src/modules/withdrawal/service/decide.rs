//! Approving, rejecting, canceling.

use super::Withdrawals;
use crate::kernel::{
    api::{call::Call, input::Named as _, principal::Actor},
    error::Result,
    store::WriteTx,
};
use crate::modules::{
    client::contract::{ApprovalOperation, ApproveIn, Motion, RejectIn},
    withdrawal::{
        contract::{WithdrawalId, WithdrawalStatus},
        model::{WITHDRAWAL, WithdrawalEvent},
        repository,
        routes::{WithdrawalCancelIn, WithdrawalOut},
    },
};

impl Withdrawals {
    /// One vote. The last one needed approves. Refuses `self_approval`, `invalid_state_transition`, `revision_stale`,
    /// `not_on_committee`, `already_voted`.
    pub fn approve(&self, tx: &mut WriteTx, call: &Call<WithdrawalId, ApproveIn>) -> Result<WithdrawalOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut withdrawal = repository::get(tx, client, call.path)?;
        let last = withdrawal.history.last();
        let is_repeated = withdrawal.status() == WithdrawalStatus::Approved
            && last.event == WithdrawalEvent::Approve.name()
            && (last.actor, last.fingerprint) == (caller.actor(), caller.fingerprint);
        if is_repeated {
            return self.out(tx, caller, &withdrawal);
        }
        let concerned = [withdrawal.history.creator(), Actor::User(withdrawal.user)];
        concerned.iter().try_for_each(|it| self.clients.check_other(tx, client, caller, *it))?;
        withdrawal.check_not_expired(WithdrawalEvent::Approve, tx.now())?;
        WITHDRAWAL.next(withdrawal.status(), WithdrawalEvent::Approve)?;
        let note = call.input.note.as_ref().map(String::from);
        let ballot = (&call.input).into();
        let motion = Motion { operation: ApprovalOperation::Withdrawal, concerned: &concerned };
        let is_enough =
            self.users.vote(tx, &*self.clients, caller, motion, &mut withdrawal.approval, ballot)?;

        if is_enough {
            withdrawal = self.advance(tx, caller, withdrawal, WithdrawalEvent::Approve, note.as_deref())?;
        } else {
            withdrawal.stamp.touch(tx.now());
            repository::put(tx, client, &withdrawal)?;
        }
        self.out(tx, caller, &withdrawal)
    }

    /// Refuses `revision_stale`, `invalid_state_transition`.
    pub fn reject(&self, tx: &mut WriteTx, call: &Call<WithdrawalId, RejectIn>) -> Result<WithdrawalOut> {
        let client = call.caller.client()?;
        let withdrawal = repository::get(tx, client, call.path)?;
        if WITHDRAWAL.next(withdrawal.status(), WithdrawalEvent::Reject).is_ok() {
            let policy = self.policy(tx, client)?;
            withdrawal.approval_under(&policy).check_revision(call.input.revision)?;
        }
        self.decide(tx, call, WithdrawalEvent::Reject, Some(&call.input.reason))
    }

    /// By its user, or by staff. From processing on it is too late.
    pub fn cancel(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalCancelIn>,
    ) -> Result<WithdrawalOut> {
        let reason = call.input.reason.as_deref();
        self.decide(tx, call, WithdrawalEvent::Cancel, reason)
    }

    /// Moves what the caller may reach. Refuses `self_approval` for what is not the owner's to say.
    pub(super) fn decide<I>(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, I>,
        event: WithdrawalEvent,
        reason: Option<&str>,
    ) -> Result<WithdrawalOut> {
        let client = call.caller.client()?;
        let withdrawal = repository::get(tx, client, call.path)?;
        call.caller.may_reach(Some(withdrawal.user))?;
        if matches!(event, WithdrawalEvent::Fail | WithdrawalEvent::Return) {
            self.check_not_own(tx, &call.caller, &withdrawal)?;
        }
        let withdrawal = self.advance(tx, &call.caller, withdrawal, event, reason)?;
        self.out(tx, &call.caller, &withdrawal)
    }
}
