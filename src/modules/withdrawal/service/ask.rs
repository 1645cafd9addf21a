//! What gateways tell of payouts by themselves, and are asked about: what was sent, or was lost track of, is looked up
//! after a minute, five, an hour, six, and then daily for a week. Asking sends nothing.
//!
//! | said | processing, sent, needs_reconciliation | completed | failed |
//! |---|---|---|---|
//! | sent | sent | nothing | nothing |
//! | paid | completed | nothing | conflict: the money is away, and the user's again |
//! | failed | failed | returned; conflict, when it was a person who said that it arrived | nothing |
//! | another amount, currency or reference | needs_reconciliation | conflict | conflict |
//! | a state nobody knows | needs_reconciliation | nothing | nothing |
//!
//! A conflict waits for two people: see `resolve.rs`. Who says by hand that it arrived knows it by the bank's reference,
//! and the gateway by its own: these may differ.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    Withdrawals,
    automatic::{named, read, write},
    payout::request,
};
use crate::kernel::{
    api::{call::Caller, input::Named as _, principal::ClientId},
    error::Result,
    events::{
        courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
        dedupe::DedupePolicy,
        delivery::Lane,
        due::Due,
        enqueue::NewDelivery,
        event::Envelope,
        worker::Job,
    },
    store::WriteTx,
};
use crate::modules::{
    payment::{
        contract::{GatewayAccess, GatewayInfo, PayoutOutcome, PayoutRequest},
        events::PayoutReported,
    },
    withdrawal::{
        contract::{WithdrawalId, WithdrawalStatus},
        model::{Question, WITHDRAWAL, Withdrawal, WithdrawalEvent},
        repository::{self, QUESTIONS, QUESTIONS_DUE, WITHDRAWALS},
    },
};

/// Stored with deliveries: never renamed.
pub const KIND: &str = "withdrawal.question";

pub fn plan() -> TargetPlan {
    TargetPlan {
        queue: "gateways",
        lane: Lane::Medium,
        retry: None,
        timeout: Some(Duration::from_secs(90)), // Above what a gateway is given to answer.
        at_once: 4,
        on_interrupted: OnInterrupted::Retry,
    }
}

/// Leaves a question to each gateway whose time has come.
pub fn questions(withdrawals: &Arc<Withdrawals>) -> Job {
    let due = Due {
        name: "withdrawal.questions",
        table: &QUESTIONS,
        index: QUESTIONS_DUE,
        at: |it| &mut it.due_at,
    };
    due.job(withdrawals, Withdrawals::ask, |_, _| {})
}

/// Asks gateways what became of payouts.
pub struct PayoutQuestions(pub Arc<Withdrawals>);

/// What is asked.
pub struct Asked {
    gateway: GatewayInfo,
    access: GatewayAccess,
    request: PayoutRequest,
    reference: Option<String>,
}

impl Courier for PayoutQuestions {
    type Material = Asked;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Asked>> {
        let (client, id) = named(job)?;
        let withdrawal = repository::get(tx, client, id)?;
        let gateway = withdrawal.gateway.clone().filter(|_| is_open(withdrawal.status()));
        let Some(gateway) = gateway else {
            return Ok(Ready::Cancel(format!("it is {}", withdrawal.status())));
        };
        let access = self.0.payments.payout_access(tx, client, &gateway)?;
        let request = request(&withdrawal)?;
        Ok(Ready::Go(Asked { gateway, access, request, reference: withdrawal.reference }))
    }

    fn send(&self, _: Sending, asked: Asked) -> impl Future<Output = Report> + Send + 'static {
        let Asked { gateway, access, request, reference } = asked;
        let answer = self.0.payments.ask_payout(gateway, access, request, reference);
        async move { Report::from(Outcome::Ok).response(write(&answer.await).to_string()) }
    }

    fn settled(&self, tx: &mut WriteTx, job: &Sending, report: &Report) -> Result<()> {
        let (client, id) = named(job)?;
        let Some(outcome) = report.response.as_deref().and_then(read) else { return Ok(()) };
        let (withdrawal, caller) = (repository::get(tx, client, id)?, Caller::system(Some(client)));
        match outcome {
            // It may have answered, and not know: no reason to leave it alone, or to lose track of what is on its way.
            PayoutOutcome::Unknown { reason } => {
                tracing::info!(withdrawal.id = %id, "Nothing new of withdrawal {id}: {reason}");
                Ok(())
            }
            outcome => self.0.answered(tx, &caller, withdrawal, outcome).map(drop),
        }
    }
}

impl Withdrawals {
    /// Keeps a question as long as only the gateway knows what became of it.
    pub(super) fn plan_question(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        withdrawal: &Withdrawal,
    ) -> Result<()> {
        let key = (client, withdrawal.id);
        let is_asked = withdrawal.gateway.as_ref().is_some_and(|it| it.kind.knows_payouts());
        let is_kept = tx.exists(&QUESTIONS, &key)?;
        match is_asked && is_open(withdrawal.status()) {
            true if !is_kept => tx.insert(&QUESTIONS, &key, &Question::first(tx.now())),
            false if is_kept => tx.delete(&QUESTIONS, &key).map(drop),
            _ => Ok(()),
        }
    }

    fn ask(&self, tx: &mut WriteTx, key: (ClientId, WithdrawalId), mut question: Question) -> Result<()> {
        question.ask(tx.now());
        tx.put(&QUESTIONS, &key, &question)?;
        let id = key.1.to_string();
        let delivery = NewDelivery::to(KIND, id.clone())
            .of_client(Some(key.0))
            .group(key.0.to_string())
            .dedupe(KIND, &id, DedupePolicy::WhilePending);
        tx.enqueue(delivery).map(drop)
    }

    /// A gateway told of a payout, signed. It is believed about what was sent through it, when it speaks of the same
    /// money.
    pub fn reported(&self, tx: &mut WriteTx, envelope: &Envelope, event: PayoutReported) -> Result<()> {
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let Ok(id) = event.reference.parse::<WithdrawalId>() else { return Ok(()) };
        let Some(mut withdrawal) = tx.get(&WITHDRAWALS, &(client, id))? else { return Ok(()) };
        if withdrawal.gateway.as_ref().is_none_or(|it| it.id != event.gateway_id) {
            tracing::warn!(withdrawal.id = %id, "{} speaks of {id}, which it was not asked to pay", event.gateway_id);
            return Ok(());
        }
        let said = &event.gateway_reference;
        let payout = withdrawal.payout;
        let is_by_hand = withdrawal.history.last().event == WithdrawalEvent::Complete.name();
        let is_same = event.amount_minor == payout.minor().to_string()
            && event.currency == payout.currency().code
            && (is_by_hand || withdrawal.reference.as_ref().is_none_or(|it| it == said));
        let reference = said.clone();
        let reason = event.reason.unwrap_or_else(|| "the gateway could not".to_owned());
        let outcome = match event.outcome.as_str() {
            _ if !is_same => {
                let (amount, code) = (&event.amount_minor, event.currency);
                let word = &event.outcome;
                let reason = format!("The gateway says {word} of {amount} {code} in minor units as {said}");
                return match is_open(withdrawal.status())
                    || withdrawal.status() == WithdrawalStatus::Processing
                {
                    true => self.lose_track(tx, &caller, withdrawal, &reason),
                    false => self.contradict(tx, &caller, withdrawal, reason, Some(reference)).map(drop),
                };
            }
            "paid" => PayoutOutcome::Completed { reference },
            "sent" => PayoutOutcome::Sent { reference },
            "failed" if withdrawal.status() == WithdrawalStatus::Completed && !is_by_hand => {
                withdrawal.reference = Some(reference);
                let event = WithdrawalEvent::GatewayReturned;
                return self.advance(tx, &caller, withdrawal, event, Some(&reason)).map(drop);
            }
            "failed" => PayoutOutcome::Failed { reason },
            _ => return self.lose_track(tx, &caller, withdrawal, &reason),
        };
        self.note(tx, &caller, withdrawal, outcome).map(drop)
    }

    /// What the gateway says cannot be, of what is on its way: a person finds out.
    fn lose_track(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        withdrawal: Withdrawal,
        reason: &str,
    ) -> Result<()> {
        if WITHDRAWAL.next(withdrawal.status(), WithdrawalEvent::LoseTrack).is_err() {
            return Ok(()); // Track of it is lost already, or its end is known.
        }
        self.advance(tx, caller, withdrawal, WithdrawalEvent::LoseTrack, Some(reason)).map(drop)
    }
}

/// Whether the gateway may know more than we do.
fn is_open(status: WithdrawalStatus) -> bool {
    matches!(status, WithdrawalStatus::Sent | WithdrawalStatus::NeedsReconciliation)
}
