//! A person decides about a payment that nobody else can decide about: in conflict, of unknown outcome, or paid in part.

use super::{Case, News, Payments, Try, notice::Money, settlement_of};
use crate::{
    kernel::{
        api::call::{Call, Caller},
        error::Result,
        store::WriteTx,
    },
    modules::{
        client::contract::Ballot,
        payment::{
            contract::{PaidState, PaymentId, PaymentRefusal, Review},
            model::{AttemptEvent, Decision, PAYMENT, PaymentEvent},
            routes::payments::{PaymentOut, ResolveIn},
        },
    },
};

impl Payments {
    /// Above the client's limit as many people say `credit` as otherwise agree to a mark. `credit` takes what is said
    /// to have come (of an unknown outcome: what was asked; of a part: that part) as the whole. `reject` ends the
    /// payment as failed: what was counted so far goes to suspense. `refund` does the same with what is said to have
    /// come: it is in nobody's account, so it goes to suspense, and back from there by a refund with its own approval.
    /// Once a payment is over, `reject` only puts the conflict away.
    ///
    /// Refuses, in this order: `not_found`, `invalid_state_transition`, `self_approval`, `revision_stale`,
    /// `not_refundable`, `payment_currency_mismatch`, `reference_used`, `not_on_committee`, `already_voted`.
    pub fn resolve(&self, tx: &mut WriteTx, call: &Call<PaymentId, ResolveIn>) -> Result<PaymentOut> {
        let (caller, input) = (&call.caller, &call.input);
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        let led_here = match input.decision {
            Decision::Credit => case.was_led_here_by(caller, PaymentEvent::Settle),
            Decision::Refund | Decision::Reject => case.was_led_here_by(caller, PaymentEvent::Fail),
        };
        if led_here && case.payment.review == Review::None {
            return Ok(case.out(caller));
        }
        let is_part = case.payment.paid_state == PaidState::Partial && !case.payment.is_over();
        let is_open_question = match case.payment.review {
            Review::None => is_part,
            Review::Needed | Review::Conflicted => true,
            Review::AwaitingSecond => false,
        };
        let (true, Some(mut attempt)) = (is_open_question, Try::last(tx, &case)?) else {
            return Err(case.refused_by_review("resolve").into());
        };
        self.check_not_own(tx, caller, &case)?;
        self.check_revision(tx, &case, input.revision)?;

        match input.decision {
            Decision::Credit => self.resolve_credit(tx, call, &mut case, &mut attempt)?,
            Decision::Refund | Decision::Reject => {
                if input.decision == Decision::Refund {
                    self.set_aside(tx, caller, &mut case, &mut attempt)?;
                }
                case.payment.said = None;
                case.payment.review = Review::None;
                if case.payment.is_over() {
                    case.payment.last_error = None; // Said once more, it is news again.
                    case.news.push(News::ConflictClosed { reason: String::from(&input.reason) });
                } else {
                    case.step(tx, caller, PaymentEvent::Fail, Some(&input.reason))?;
                    attempt.step(tx, caller, AttemptEvent::Fail, Some(&input.reason));
                    attempt.row.error = Some(String::from(&input.reason));
                    case.payment.last_error = Some(String::from(&input.reason));
                    self.let_go(tx, &mut case)?;
                    case.news.push(News::Failed { reason: String::from(&input.reason) });
                }
            }
        }
        self.finish(tx, caller, &mut case, Some(&mut attempt))?;
        Ok(case.out(caller))
    }

    /// Books to suspense what is said to have come. A part that was counted is there with the rest of it soon enough.
    fn set_aside(&self, tx: &mut WriteTx, caller: &Caller, case: &mut Case, attempt: &mut Try) -> Result<()> {
        let Some(said) = case.payment.said.clone() else {
            if case.payment.received.is_zero() || case.payment.is_over() {
                return Err(PaymentRefusal::NotRefundable { reason: "nothing came".to_owned() }.into());
            }
            return Ok(());
        };
        let known = settlement_of(tx, case.client, attempt.row.gateway, &said.reference)?;
        if let Some((payment_id, _)) = known {
            return Err(PaymentRefusal::ReferenceUsed { payment_id }.into());
        }

        let paid_state = case.payment.paid_state;
        let money =
            Money { reference: said.reference, amount: said.amount, reason: said.reason, proof: said.proof };
        self.suspend(tx, caller, case, attempt, money)?;
        case.payment.paid_state = paid_state; // It was not late.
        Ok(())
    }

    fn resolve_credit(
        &self,
        tx: &mut WriteTx,
        call: &Call<PaymentId, ResolveIn>,
        case: &mut Case,
        attempt: &mut Try,
    ) -> Result<()> {
        let caller = &call.caller;
        PAYMENT.next(case.payment.status(), PaymentEvent::Settle)?;
        let money = match (&case.payment.said, case.payment.review) {
            (Some(said), _) => Some(Money {
                reference: said.reference.clone(),
                amount: said.amount,
                reason: said.reason.clone(),
                proof: said.proof.clone(),
            }),
            // The gateway could not say its reference: ours stands for it.
            (None, Review::Needed) => Some(Money {
                reference: attempt.row.reference.clone().unwrap_or_else(|| attempt.id.to_string()),
                amount: attempt.row.expected,
                reason: None,
                proof: None,
            }),
            (None, _) => None,
        };
        if let Some(money) = &money {
            let (found, wanted) = (money.amount.currency(), case.payment.amount.currency());
            if found != wanted {
                let (found, wanted) = (found.code, wanted.code);
                return Err(PaymentRefusal::PaymentCurrencyMismatch { found, wanted }.into());
            }
            if let Some((payment_id, _)) =
                settlement_of(tx, case.client, attempt.row.gateway, &money.reference)?
            {
                return Err(PaymentRefusal::ReferenceUsed { payment_id }.into());
            }
            let total = case.payment.received.plus(money.amount)?;
            let said = case.payment.said.clone();
            if let Some(mut said) = said
                && self.takes_second_person(tx, case, total)?
            {
                let is_enough = self.agree(
                    tx,
                    caller,
                    case,
                    &mut said,
                    Ballot { revision: call.input.revision, note: None },
                )?;
                case.payment.said = Some(said);
                if !is_enough {
                    return Ok(()); // It stays in conflict until enough people say the same.
                }
            }
        }

        case.payment.said = None;
        case.payment.review = Review::None;
        if let Some(money) = money {
            self.keep(tx, case, attempt, &money)?;
        }
        self.credit(tx, caller, case, attempt)
    }
}
