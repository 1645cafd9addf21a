//! Asking gateways what became of what they were told, when the timer says so (see `due.rs`): of attempts and of
//! refunds. Whether money came to an address whose payment is over (see `crypto/watch.rs`). And telling them to end
//! what nobody waits for any more: the attempt of a payment that was canceled or expired. That is tried for three days;
//! what is paid all the same is late money.
//!
//! The timer leaves a delivery; the question is put with no transaction open, and what is answered is heard in a
//! transaction of its own. Asking twice does no harm, so a question that was cut off is put again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Case, Payments, Try,
    initiate::{Told, Word, note_health},
};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::{Result, fault},
        events::{
            courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
            dedupe::DedupePolicy,
            delivery::{Delivery, DeliveryId, Lane},
            enqueue::NewDelivery,
            retry::RetryPolicy,
        },
        store::WriteTx,
    },
    modules::payment::{
        adapter::{AttemptOutcome, RefundOutcome},
        contract::{GatewayId, GatewayKind, PaymentId, PaymentStatus, RefundId, RefundStatus},
        model::{AttemptStatus, Verdict},
        refund::{Reaching, repository::load},
    },
};

/// Stored with deliveries: never renamed.
pub const KIND: &str = "payment.question";

pub fn plan() -> TargetPlan {
    TargetPlan {
        queue: "gateways",
        lane: Lane::Medium,
        // Questions never fail; what is to be ended is tried again.
        retry: Some(RetryPolicy::exact(10, &[60, 300, 3600, 21_600, 43_200])),
        timeout: Some(Duration::from_secs(90)), // Above what a gateway is given to answer.
        at_once: 4,
        on_interrupted: OnInterrupted::Retry,
    }
}

/// Puts questions to gateways.
pub struct Questions {
    payments: Arc<Payments>,
    /// What was answered, until it is heard: it has a type, which the log of attempts has not.
    answers: Arc<Mutex<HashMap<DeliveryId, Answered>>>,
}

/// What to ask.
pub enum Question {
    Attempt(Told),
    Refund(Reaching),
    /// To be ended.
    Cancel(Told),
}

enum Answered {
    Attempt(Word),
    Refund(Reaching, RefundOutcome),
}

impl Questions {
    pub fn new(payments: &Arc<Payments>) -> Questions {
        Questions { payments: payments.clone(), answers: Arc::default() }
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, HashMap<DeliveryId, Answered>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves the word that an attempt is to be ended, when its gateway would still take money for it.
pub(super) fn end(tx: &mut WriteTx, case: &Case, attempt: &Try) -> Result<()> {
    let is_ended = matches!(attempt.row.status(), AttemptStatus::Canceled | AttemptStatus::Expired);
    if attempt.row.kind != GatewayKind::Http || !is_ended {
        return Ok(());
    }
    ask(tx, case.client, attempt.row.gateway, &format!("{}/{}", case.id, attempt.id))
}

/// Leaves the question whether money came to the address of an attempt that nobody waits for any more.
pub fn ask_watching(tx: &mut WriteTx, case: &Case, attempt: &Try) -> Result<()> {
    let about = format!("{WATCHED}{}/{}", case.id, attempt.id);
    ask(tx, case.client, attempt.row.gateway, &about)
}

/// Before an attempt whose address is asked about, not to be ended. Stored with deliveries: never renamed.
const WATCHED: &str = "watch/";

/// Leaves a question, unless it is on its way already.
pub(super) fn ask(tx: &mut WriteTx, client: ClientId, gateway: GatewayId, about: &str) -> Result<()> {
    let delivery = NewDelivery::to(KIND, about).of_client(Some(client)).group(gateway.to_string()).dedupe(
        KIND,
        about,
        DedupePolicy::WhilePending,
    );
    tx.enqueue(delivery).map(drop)
}

impl Courier for Questions {
    type Material = Question;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Question>> {
        let client = job.client.ok_or_else(|| fault!("question {} is of no client", job.id))?;
        let payments = &self.payments;
        if let Ok(id) = job.target.parse::<RefundId>() {
            let refund = load(tx, client, id)?;
            if refund.status() != RefundStatus::Pending {
                return Ok(Ready::Cancel(format!("it is {}", refund.status())));
            }
            return payments.reaching(tx, client, id, &refund).map(|it| Ready::Go(Question::Refund(it)));
        }
        let (is_watched, target) = match job.target.strip_prefix(WATCHED) {
            Some(target) => (true, target),
            None => (false, job.target.as_str()),
        };
        if let Some((payment, attempt)) = target.split_once('/') {
            let wrong = || fault!("question {} is about {}", job.id, job.target);
            let case = Case::load(tx, client, payment.parse().map_err(|_| wrong())?)?;
            let attempt = Try::load(tx, &case, attempt.parse().map_err(|_| wrong())?)?;
            let gateway = super::gateway(tx, client, attempt.row.gateway)?;
            let request = payments.request(tx, &case, &attempt, &gateway, None)?;
            let told = Told { client, kind: gateway.kind, request };
            return Ok(Ready::Go(if is_watched { Question::Attempt(told) } else { Question::Cancel(told) }));
        }
        let id: PaymentId =
            job.target.parse().map_err(|_| fault!("question {} is about {}", job.id, job.target))?;
        let case = Case::load(tx, client, id)?;
        let waits =
            matches!(case.payment.status(), PaymentStatus::Processing | PaymentStatus::RequiresAction);
        let attempt = Try::last(tx, &case)?.filter(|it| waits && it.row.is_open());
        let Some(attempt) = attempt else {
            return Ok(Ready::Cancel(format!("it is {}", case.payment.status())));
        };
        let gateway = super::gateway(tx, client, attempt.row.gateway)?;
        let request = payments.request(tx, &case, &attempt, &gateway, None)?;
        Ok(Ready::Go(Question::Attempt(Told { client, kind: gateway.kind, request })))
    }

    fn send(&self, job: Sending, question: Question) -> impl Future<Output = Report> + Send + 'static {
        let (payments, answers) = (self.payments.clone(), self.answers.clone());
        async move {
            let answered = match question {
                Question::Attempt(Told { client, kind, request }) => {
                    let (payment, attempt) = (request.payment, request.attempt);
                    let outcome = payments.adapters.of(kind).retrieve(request).await;
                    Answered::Attempt(Word { client, payment, attempt, outcome })
                }
                Question::Cancel(Told { client, kind, request }) => {
                    let (payment, attempt) = (request.payment, request.attempt);
                    match payments.adapters.of(kind).cancel(request).await {
                        Ok(notices) => {
                            let outcome = AttemptOutcome::of(notices);
                            Answered::Attempt(Word { client, payment, attempt, outcome })
                        }
                        Err(reason) => {
                            tracing::warn!(attempt.id = %attempt, "{attempt} is still open at its gateway: {reason}");
                            return Outcome::Retry(reason).into();
                        }
                    }
                }
                Question::Refund(reaching) => {
                    let adapter = payments.adapters.of(reaching.kind);
                    let outcome = adapter.retrieve_refund(reaching.request.clone()).await;
                    Answered::Refund(reaching, outcome)
                }
            };
            answers.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id, answered);
            Outcome::Ok.into()
        }
    }

    fn settled(&self, tx: &mut WriteTx, job: &Sending, _: &Report) -> Result<()> {
        let Some(answered) = self.answers().remove(&job.id) else { return Ok(()) };
        let caller = Caller::system(job.client);
        match answered {
            Answered::Attempt(word) => self.payments.take_word(tx, &caller, word).map(drop),
            Answered::Refund(Reaching { client, id, .. }, outcome) => {
                let gateway = load(tx, client, id)?.gateway;
                note_health(tx, (client, gateway), verdict(&outcome))?;
                self.payments.take_refund_word(tx, &caller, (client, id), outcome).map(drop)
            }
        }
    }

    /// Of an attempt that panicked or ran out of time nothing is settled.
    fn ended(&self, _: &mut WriteTx, key: &(ClientId, DeliveryId), _: &Delivery) -> Result<()> {
        self.answers().remove(&key.1);
        Ok(())
    }
}

/// What an answer about a refund says of the gateway.
pub(super) fn verdict(outcome: &RefundOutcome) -> Verdict {
    match outcome {
        RefundOutcome::Succeeded { .. } | RefundOutcome::Pending { .. } => Verdict::Succeeded,
        RefundOutcome::Failed { .. } => Verdict::Declined,
        RefundOutcome::Unknown { .. } => Verdict::Failed,
    }
}
