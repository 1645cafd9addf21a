//! What people say of payments through manual gateways: it came, it will not come; and the second person who agrees.

use super::{Case, News, Payments, Try, notice::Money, settlement_of};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            principal::{Actor, ClientId},
            text::ReasonIn,
        },
        error::Result,
        money::Amount,
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::{
            Approval, ApprovalOperation, ApproveIn, Ballot, Motion, RejectIn, check_revision,
        },
        payment::{
            contract::{GatewayKind, PaymentId, PaymentRefusal, Review},
            model::{PAYMENT, Payment, PaymentEvent, Said},
            routes::payments::{MarkPaidIn, PaymentOut},
        },
    },
};

impl Payments {
    /// Somebody saw the money. Above the client's limit a second person has to agree; after the payment's end it goes
    /// to suspense. The same money marked again changes nothing, and its reference with another amount is a conflict.
    ///
    /// Refuses, in this order: `not_found`, `currency_inactive` and what is wrong with the amount, `not_manual`,
    /// `self_approval`, `reference_used`, `invalid_state_transition`, `payment_currency_mismatch`.
    pub fn mark_paid(&self, tx: &mut WriteTx, call: &Call<PaymentId, MarkPaidIn>) -> Result<PaymentOut> {
        let (caller, input) = (&call.caller, &call.input);
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        let asked = case.payment.amount.currency();
        let is_asked = input.currency == asked.code;
        let currency =
            if is_asked { asked } else { self.currencies.active(tx, case.client, input.currency)? };
        let money = Money {
            reference: String::from(&input.reference),
            amount: input.amount.positive("amount", currency)?,
            reason: Some(String::from(&input.reason)),
            proof: input.proof.clone(),
        };
        let mut attempt = self.manual_attempt(tx, &case, PaymentEvent::Settle)?;
        self.check_not_own(tx, caller, &case)?;
        match settlement_of(tx, case.client, attempt.row.gateway, &money.reference)? {
            Some((payment, _)) if payment != case.id => {
                return Err(PaymentRefusal::ReferenceUsed { payment_id: payment }.into());
            }
            Some((_, known)) if known.amount == money.amount => return Ok(case.out(caller)),
            Some((_, known)) => {
                let reason = format!("{} was marked as {} before", money.reference, known.amount);
                self.conflict(tx, caller, &mut case, &mut attempt, money, &reason)?;
                self.finish(tx, caller, &mut case, Some(&mut attempt))?;
                return Ok(case.out(caller));
            }
            None => {}
        }
        if let Some(said) = &case.payment.said {
            let is_same = said.reference == money.reference;
            if is_same && said.amount == money.amount {
                return Ok(case.out(caller));
            }
            if !is_same || case.payment.review == Review::Conflicted {
                return Err(case.refused_by_review("mark_paid").into());
            }
            let reason = format!("{} was marked as {} before", money.reference, said.amount);
            self.conflict(tx, caller, &mut case, &mut attempt, money, &reason)?;
            self.finish(tx, caller, &mut case, Some(&mut attempt))?;
            return Ok(case.out(caller));
        }
        if case.payment.is_due_to_expire(tx.now()) {
            self.expire(tx, caller, &mut case, Some(&mut attempt))?;
        }
        if money.amount.currency() != asked {
            let (found, wanted) = (money.amount.currency().code, asked.code);
            return Err(PaymentRefusal::PaymentCurrencyMismatch { found, wanted }.into());
        }
        let is_late = case.payment.ended_without();
        if !is_late {
            PAYMENT.next(case.payment.status(), PaymentEvent::Settle)?;
        }
        let total = case.payment.received.plus(money.amount)?;
        let takes_second = !is_late && self.takes_second_person(tx, &case, total)?;

        if takes_second {
            let mut said = self.said(tx, caller, money);
            said.approval = Some(self.approval_of(tx, &case, total)?);
            self.examine(tx, caller, &mut case, &mut attempt, said, Review::AwaitingSecond);
            case.news.push(News::Marked);
        } else {
            self.receive(tx, caller, &mut case, &mut attempt, money)?;
        }
        self.finish(tx, caller, &mut case, Some(&mut attempt))?;
        Ok(case.out(caller))
    }

    /// Somebody else agrees; once enough did, it counts. Refuses `invalid_state_transition`, `self_approval`,
    /// `reference_used`, `revision_stale`, `not_on_committee`, `already_voted`.
    pub fn approve_mark(&self, tx: &mut WriteTx, call: &Call<PaymentId, ApproveIn>) -> Result<PaymentOut> {
        let caller = &call.caller;
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        if case.payment.review == Review::None && case.was_led_here_by(caller, PaymentEvent::Settle) {
            return Ok(case.out(caller));
        }
        let mut attempt = self.marked_attempt(tx, caller, &case, "approve")?;
        let Some(mut said) = case.payment.said.take() else {
            return Err(case.refused_by_review("approve").into());
        };
        if let Some((payment_id, _)) = settlement_of(tx, case.client, attempt.row.gateway, &said.reference)? {
            return Err(PaymentRefusal::ReferenceUsed { payment_id }.into());
        }
        let is_enough = self.agree(tx, caller, &case, &mut said, (&call.input).into())?;

        if !is_enough {
            case.payment.said = Some(said);
            self.finish(tx, caller, &mut case, Some(&mut attempt))?;
            return Ok(case.out(caller));
        }
        case.payment.review = Review::None;
        case.news.push(News::MarkApproved);
        let money =
            Money { reference: said.reference, amount: said.amount, reason: said.reason, proof: said.proof };
        self.receive(tx, caller, &mut case, &mut attempt, money)?;
        self.finish(tx, caller, &mut case, Some(&mut attempt))?;
        Ok(case.out(caller))
    }

    /// The second person does not agree: the payment waits for its payer again. Refuses `invalid_state_transition`,
    /// `self_approval`, `revision_stale`, `not_on_committee`.
    pub fn reject_mark(&self, tx: &mut WriteTx, call: &Call<PaymentId, RejectIn>) -> Result<PaymentOut> {
        let caller = &call.caller;
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        if case.payment.review == Review::None && case.was_led_here_by(caller, PaymentEvent::AwaitPayer) {
            return Ok(case.out(caller));
        }
        let mut attempt = self.marked_attempt(tx, caller, &case, "reject")?;
        self.check_revision(tx, &case, call.input.revision)?;
        if let Some(said) = &case.payment.said {
            let policy = self.clients.approval_policy(tx, case.client, ApprovalOperation::Payment)?;
            self.users.check_voter(tx, case.client, caller.actor(), (&policy, said.amount))?;
        }

        case.payment.said = None;
        case.payment.review = Review::None;
        case.step(tx, caller, PaymentEvent::AwaitPayer, Some(&call.input.reason))?;
        case.news.push(News::MarkRejected { reason: String::from(&call.input.reason) });
        self.finish(tx, caller, &mut case, Some(&mut attempt))?;
        Ok(case.out(caller))
    }

    /// The attempt came to nothing; the payment goes on with another one. Refuses `not_manual`,
    /// `invalid_state_transition` (a part of the money came, or a person has to decide first).
    pub fn mark_failed(&self, tx: &mut WriteTx, call: &Call<PaymentId, ReasonIn>) -> Result<PaymentOut> {
        let (caller, reason) = (&call.caller, &call.input.reason);
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        let mut attempt = self.manual_attempt(tx, &case, PaymentEvent::Decline)?;
        if case.was_led_here_by(caller, PaymentEvent::Decline) {
            return Ok(case.out(caller));
        }
        if case.payment.said.is_some() {
            return Err(case.refused_by_review("mark_failed").into());
        }
        let refused = PAYMENT.next(case.payment.status(), PaymentEvent::Decline).err();
        if refused.is_some() || !case.payment.received.is_zero() {
            return Err(PAYMENT.refusal(case.payment.status(), PaymentEvent::Decline).into());
        }

        self.decline(tx, caller, &mut case, &mut attempt, reason)?;
        self.finish(tx, caller, &mut case, Some(&mut attempt))?;
        Ok(case.out(caller))
    }

    /// The last attempt, when a person speaks for its gateway. Without an attempt there is nothing to mark.
    fn manual_attempt(&self, tx: &ReadTx, case: &Case, event: PaymentEvent) -> Result<Try> {
        let Some(attempt) = Try::last(tx, case)? else {
            return Err(PAYMENT.refusal(case.payment.status(), event).into());
        };
        match attempt.row.kind {
            GatewayKind::Manual => Ok(attempt),
            GatewayKind::Sandbox | GatewayKind::Http | GatewayKind::Crypto => {
                Err(PaymentRefusal::NotManual.into())
            }
        }
    }

    /// The attempt that waits for a second person, asked by one.
    fn marked_attempt(&self, tx: &ReadTx, caller: &Caller, case: &Case, event: &str) -> Result<Try> {
        let said = case.payment.said.as_ref().filter(|_| case.payment.review == Review::AwaitingSecond);
        let (Some(said), Some(attempt)) = (said, Try::last(tx, case)?) else {
            return Err(case.refused_by_review(event).into());
        };
        self.check_other(tx, caller, case, said.by)?;
        self.check_not_own(tx, caller, case)?;
        Ok(attempt)
    }

    /// Nobody has agreed yet that so much came.
    fn approval_of(&self, tx: &ReadTx, case: &Case, total: Amount) -> Result<Approval> {
        let policy = self.clients.approval_policy(tx, case.client, ApprovalOperation::Payment)?;
        Ok(Approval::of_version(case.payment.stamp.version, policy, total))
    }

    /// Counts the caller's vote for what is said to have come: true when it was the last one needed.
    pub(super) fn agree(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        case: &Case,
        said: &mut Said,
        ballot: Ballot,
    ) -> Result<bool> {
        let mut approval = match said.approval.take() {
            Some(approval) => approval,
            None => self.approval_of(tx, case, case.payment.received.plus(said.amount)?)?,
        };
        let (operation, payer) = (ApprovalOperation::Payment, case.payment.user.map(Actor::User));
        let concerned: Vec<Actor> = [said.by].into_iter().chain(payer).collect();
        let motion = Motion { operation, concerned: &concerned };
        let is_enough = self.users.vote(tx, &*self.clients, caller, motion, &mut approval, ballot)?;
        said.approval = Some(approval);
        Ok(is_enough)
    }

    /// A payment as it is to be shown: what is said of it under the rules of now.
    pub fn seen(&self, tx: &ReadTx, client: ClientId, payment: &mut Payment) -> Result<()> {
        let approval = payment.said.as_mut().and_then(|it| it.approval.as_mut());
        if let Some(approval) = approval {
            *approval = self.users.seen(tx, &*self.clients, client, ApprovalOperation::Payment, approval)?;
        }
        Ok(())
    }

    /// Refuses `revision_stale` to whoever looked at another one than it is under the rules of now.
    pub(super) fn check_revision(&self, tx: &ReadTx, case: &Case, looked_at: u32) -> Result<()> {
        let approval = case.payment.said.as_ref().and_then(|it| it.approval.clone());
        let Some(approval) = approval else { return check_revision(case.payment.revision(), looked_at) };
        let policy = self.clients.approval_policy(tx, case.client, ApprovalOperation::Payment)?;
        approval.seen_under(policy).check_revision(looked_at)
    }

    pub fn show_payment(&self, tx: &ReadTx, call: &Call<PaymentId>) -> Result<PaymentOut> {
        let mut case = Case::load(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(case.payment.user)?;
        self.seen(tx, case.client, &mut case.payment)?;
        Ok(case.out(&call.caller))
    }

    pub(super) fn takes_second_person(&self, tx: &ReadTx, case: &Case, total: Amount) -> Result<bool> {
        let policy = self.clients.approval_policy(tx, case.client, ApprovalOperation::Payment)?;
        Ok(!policy.is_automatic(total))
    }
}
