//! What happens by itself: payments expire, and gateways are asked about attempts of which nobody knows more.
//!
//! The question is put inside the timer's transaction, so only a gateway that answers at once is heard: those in
//! process do. A gateway behind a network brings its own way of asking (claim · call · settle) when it comes.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::{Case, Payments, Try, initiate::request};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::Result,
        events::{due::Due, worker::Job},
        store::WriteTx,
    },
    modules::payment::{
        adapter::{AttemptOutcome, Notice},
        contract::{PaymentId, PaymentStatus, Review},
        model::{AttemptStatus, Payment, patience},
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

impl Payments {
    fn look(&self, tx: &mut WriteTx, (client, id): (ClientId, PaymentId), _: Payment) -> Result<()> {
        let caller = Caller::system(Some(client));
        let mut case = Case::load(tx, client, id)?;
        let attempt = Try::last(tx, &case)?;
        match attempt {
            _ if case.payment.is_due_to_expire(tx.now()) => {
                let mut attempt = attempt;
                self.expire(tx, &caller, &mut case, attempt.as_mut())?;
                case.finish(tx, &caller, attempt.as_mut())
            }
            Some(attempt) if case.payment.status() == PaymentStatus::Processing => {
                self.ask(tx, &caller, case, attempt)
            }
            // Nothing to do after all; `plan` says when there is.
            _ => {
                case.payment.due_at = None;
                case.finish(tx, &caller, None)
            }
        }
    }

    fn ask(&self, tx: &mut WriteTx, caller: &Caller, mut case: Case, mut attempt: Try) -> Result<()> {
        let gateway = super::gateway(tx, case.client, attempt.row.gateway)?;
        case.payment.asked += 1;
        case.payment.ask_after(tx.now(), patience(case.payment.asked));
        if attempt.row.status() == AttemptStatus::Calling {
            // Whoever told the gateway never came back with the answer.
            case.payment.review = Review::Needed;
        }
        let asked = request(&case, &attempt, &gateway, None);
        let answer = self.adapters.of(gateway.kind).retrieve(asked).now_or_never();
        let outcome = answer.unwrap_or_else(|| {
            let reason = "the gateway did not answer at once".to_owned();
            AttemptOutcome::of(vec![Notice::Unknown { reason }])
        });
        self.hear_all(tx, caller, &mut case, &mut attempt, outcome)
    }
}
