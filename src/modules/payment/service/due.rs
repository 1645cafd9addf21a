//! What happens by itself: payments expire, and gateways are asked about attempts and refunds of which nobody knows
//! more. The timer only leaves the question: see `ask.rs`.

use std::sync::Arc;

use super::{Case, Payments, Try, ask::ask};
use crate::{
    kernel::{
        api::{call::Caller, object::save, principal::ClientId},
        error::Result,
        events::{due::Due, worker::Job},
        store::WriteTx,
    },
    modules::payment::{
        contract::{PaymentId, PaymentStatus, RefundId, Review},
        model::{AttemptStatus, Payment},
        refund::{
            model::Refund,
            repository::{DUE as REFUNDS_DUE, REFUNDS},
        },
        repository::{DUE, PAYMENTS},
    },
};

pub fn job(payments: &Arc<Payments>) -> Job {
    let due = Due { name: "payment.due", table: &PAYMENTS, index: DUE, at: |it| &mut it.due_at };
    due.job(payments, Payments::look, |payment, error| {
        if payment.review == Review::None {
            payment.review = Review::Needed;
        }
        payment.last_error = Some(error.to_string());
    })
}

pub fn refunds_job(payments: &Arc<Payments>) -> Job {
    let due =
        Due { name: "payment.refunds_due", table: &REFUNDS, index: REFUNDS_DUE, at: |it| &mut it.due_at };
    due.job(payments, Payments::look_at_refund, |refund, error| {
        refund.needs_review = true;
        refund.error = Some(error.to_string());
    })
}

impl Payments {
    fn look(&self, tx: &mut WriteTx, (client, id): (ClientId, PaymentId), _: Payment) -> Result<()> {
        let caller = Caller::system(Some(client));
        let mut case = Case::load(tx, client, id)?;
        let attempt = Try::last(tx, &case)?;
        let now = tx.now();
        match attempt {
            _ if case.payment.is_due_to_expire(now) => {
                let mut attempt = attempt;
                self.expire(tx, &caller, &mut case, attempt.as_mut())?;
                self.finish(tx, &caller, &mut case, attempt.as_mut())
            }
            Some(attempt) if case.payment.is_polled(now) => {
                // Set anew when it answers; until then it is asked no more than hourly.
                case.payment.poll_at = Some(now.after(UNANSWERED));
                case.save(tx)?;
                ask(tx, client, attempt.row.gateway, &id.to_string())
            }
            Some(attempt) if case.payment.status() == PaymentStatus::Processing => {
                case.payment.asked += 1;
                case.payment.ask_later(now);
                if attempt.row.status() == AttemptStatus::Calling {
                    // Whoever told the gateway never came back with the answer.
                    case.payment.review = Review::Needed;
                }
                case.save(tx)?;
                ask(tx, client, attempt.row.gateway, &id.to_string())
            }
            // Nothing to do after all; `plan` says when there is.
            _ => {
                case.payment.due_at = None;
                self.finish(tx, &caller, &mut case, None)
            }
        }
    }

    fn look_at_refund(&self, tx: &mut WriteTx, key: (ClientId, RefundId), mut refund: Refund) -> Result<()> {
        refund.asked += 1;
        refund.ask_later(tx.now());
        let gateway = refund.gateway;
        save(tx, &REFUNDS, &key, &mut refund)?;
        ask(tx, key.0, gateway, &key.1.to_string())
    }
}

/// How long an explorer that does not answer is left alone.
const UNANSWERED: std::time::Duration = std::time::Duration::from_secs(3600);
