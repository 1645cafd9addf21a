//! What happens by itself: payments expire, and gateways are asked about attempts of which nobody knows more.
//!
//! The question is put inside the timer's transaction, so only a gateway that answers at once is heard: those in
//! process do. A gateway behind a network brings its own way of asking (claim · call · settle) when it comes.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;

use super::{Case, Payments, Try, initiate::request};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        clock::Time,
        error::Result,
        events::worker::Job,
        store::{Key as _, ReadTx, Scan, WriteTx},
    },
    modules::payment::{
        adapter::{AttemptOutcome, Notice},
        contract::{PaymentId, PaymentStatus, Review},
        model::{AttemptStatus, patience},
        repository::PAYMENTS,
    },
};

/// How many payments one transaction of the timer takes.
const BATCH: usize = 50;

/// When a payment that could not be dealt with is looked at again.
const AFTER_A_FAILURE: Duration = Duration::from_secs(3600);

pub fn job(payments: &Arc<Payments>) -> Job {
    let payments = payments.clone();
    Job {
        name: "payment.due",
        due: Arc::new(first_due),
        run: Arc::new(move |tx| payments.look_at_what_is_due(tx)),
    }
}

fn first_due(tx: &ReadTx) -> Result<Option<Time>> {
    let first = tx.scan_index(&PAYMENTS, "payment.due", Scan::all()).next().transpose()?;
    Ok(first.and_then(|(_, payment)| payment.due_at))
}

impl Payments {
    pub fn look_at_what_is_due(&self, tx: &mut WriteTx) -> Result<()> {
        let end = Time::from_micros(tx.now().micros() + 1).to_key();
        let due = tx.scan_index(&PAYMENTS, "payment.due", Scan::all().until(end)).take(BATCH);
        let due: Vec<(ClientId, PaymentId)> = due.map(|it| it.map(|(key, _)| key)).collect::<Result<_>>()?;
        for (client, id) in due {
            // One that cannot be dealt with costs the others nothing, and is not forgotten.
            if let Err(error) = tx.attempt(|tx| self.look(tx, client, id)) {
                tracing::error!(payment.id = %id, error = %error, "Payment {id} could not be dealt with: {error}");
                let mut case = Case::load(tx, client, id)?;
                if case.payment.review == Review::None {
                    case.payment.review = Review::Needed;
                }
                case.payment.last_error = Some(error.to_string());
                case.payment.due_at = Some(tx.now().after(AFTER_A_FAILURE));
                tx.put(&PAYMENTS, &(client, id), &case.payment)?;
            }
        }
        Ok(())
    }

    fn look(&self, tx: &mut WriteTx, client: ClientId, id: PaymentId) -> Result<()> {
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
