//! Telling a gateway: of an attempt, or to capture. Each is claim · call · settle: what is claimed is stored before the
//! gateway hears of it, and a crash in between leaves the payment to the timer (see `due.rs`), never to a second call.

use super::{Case, Payments, Try};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            endpoint::Claim,
            input::Flaw,
            object::Times,
            principal::ClientId,
        },
        error::Result,
        machine::{History, Step},
        store::{ReadTx, WriteTx},
    },
    modules::payment::{
        adapter::{AttemptOutcome, AttemptRequest, Notice},
        contract::{AttemptId, GatewayKind, PaymentId, PaymentRefusal},
        events::PaymentInitiated,
        model::{Attempt, AttemptStatus, Gateway, PAYMENT, PaymentEvent, patience},
        repository::{ATTEMPTS, HEALTH},
        routes::payments::{CaptureIn, InitiateIn},
    },
};

/// What a gateway is to be told, with no transaction open.
pub struct Told {
    client: ClientId,
    kind: GatewayKind,
    request: AttemptRequest,
}

/// What it answered.
pub struct Word {
    client: ClientId,
    payment: PaymentId,
    attempt: AttemptId,
    outcome: AttemptOutcome,
}

impl Payments {
    /// A first or further attempt, through the gateway named now, or before. While an attempt through the same gateway
    /// is open, that one is the answer. Refuses `not_found`, `payment_expired`, `attempt_open`,
    /// `invalid_state_transition`, `gateway_unavailable`.
    pub fn claim_attempt(
        &self,
        tx: &mut WriteTx,
        call: &Call<PaymentId, InitiateIn>,
    ) -> Result<Claim<Told, Try>> {
        let (caller, return_url) = (&call.caller, call.input.return_url.clone());
        if return_url.as_ref().is_some_and(|it| !it.starts_with("https://") && !it.starts_with("http://")) {
            return Err(
                Flaw::new("return_url", "invalid_format", "must begin with https:// or http://").into()
            );
        }
        let mut case = Case::load(tx, caller.client()?, call.path)?;
        caller.may_reach(case.payment.user)?;
        let gateway_id = call.input.gateway_id.or(case.payment.gateway);
        let gateway_id = gateway_id.ok_or_else(|| Flaw::new("gateway_id", "required", "is required"))?;
        let gateway = super::gateway(tx, case.client, gateway_id)?;
        case.payment.check_not_expired(tx.now())?;
        match Try::last(tx, &case)?.filter(|it| it.row.is_open()) {
            Some(open) if open.row.gateway == gateway_id => return Ok(Claim::Done(open)),
            Some(open) => return Err(PaymentRefusal::AttemptOpen { attempt_id: open.id }.into()),
            None => PAYMENT.next(case.payment.status(), PaymentEvent::Initiate)?,
        };
        gateway.check_takes(case.payment.amount)?;

        let now = tx.now();
        let id: AttemptId = tx.new_id();
        case.step(tx, caller, PaymentEvent::Initiate, None)?;
        case.payment.gateway = Some(gateway_id);
        case.payment.attempt = Some(id);
        case.payment.attempts += 1;
        case.payment.asked = 0;
        case.payment.ask_after(now, patience(0));
        let row = Attempt {
            number: case.payment.attempts,
            gateway: gateway_id,
            kind: gateway.kind,
            expected: case.payment.amount,
            instructions: None,
            url: None,
            reference: None,
            error: None,
            is_capturing: false,
            expires_at: case.payment.expires_at,
            history: History::begin(AttemptStatus::Calling, caller, now),
            times: Times::at(now),
        };
        tx.insert(&ATTEMPTS, &(case.client, case.id, id), &row)?;
        case.save(tx)?;
        tx.publish(caller, &PaymentInitiated::of(case.id, &case.payment, None))?;
        let request = request(&case, &Try { id, row }, &gateway, return_url);
        Ok(Claim::Call(Told { client: case.client, kind: gateway.kind, request }))
    }

    /// Takes what the gateway has set aside, or a part of it; the rest is let go. Refuses `payment_expired`,
    /// `invalid_state_transition`.
    pub fn claim_capture(
        &self,
        tx: &mut WriteTx,
        call: &Call<PaymentId, CaptureIn>,
    ) -> Result<Claim<Told, Case>> {
        let mut case = Case::load(tx, call.caller.client()?, call.path)?;
        let asked = case.payment.amount;
        let amount = match &call.input.amount {
            Some(text) => text.positive("amount", asked.currency())?,
            None => asked,
        };
        if amount > asked {
            return Err(Flaw::new("amount", "out_of_range", format!("{asked} was set aside")).into());
        }
        case.payment.check_not_expired(tx.now())?;
        let Some(mut attempt) = Try::last(tx, &case)? else {
            return Err(PAYMENT.refusal(case.payment.status(), PaymentEvent::Capture).into());
        };
        let is_repeat = attempt.row.is_capturing && attempt.row.expected == amount;
        if is_repeat || case.step(tx, &call.caller, PaymentEvent::Capture, None)? == Step::Repeated {
            return Ok(Claim::Done(case));
        }

        attempt.row.is_capturing = true;
        attempt.row.expected = amount;
        attempt.save(tx, &case)?;
        case.payment.asked = 0;
        case.payment.ask_after(tx.now(), patience(0));
        case.save(tx)?;
        let gateway = super::gateway(tx, case.client, attempt.row.gateway)?;
        let request = request(&case, &attempt, &gateway, None);
        Ok(Claim::Call(Told { client: case.client, kind: gateway.kind, request }))
    }

    /// Tells the gateway. No transaction is open.
    pub fn tell(&self, told: Told) -> impl Future<Output = Word> + Send + use<> {
        let adapter = self.adapters.of(told.kind);
        let (client, payment, attempt) = (told.client, told.request.payment, told.request.attempt);
        async move {
            let outcome = if told.request.is_capturing {
                adapter.capture(told.request).await
            } else {
                adapter.create(told.request).await
            };
            Word { client, payment, attempt, outcome }
        }
    }

    /// Stores what the gateway answered, and acts on it.
    pub fn take_word(&self, tx: &mut WriteTx, caller: &Caller, word: Word) -> Result<(Case, Try)> {
        let mut case = Case::load(tx, word.client, word.payment)?;
        let mut attempt = Try::load(tx, &case, word.attempt)?;
        let failed = |it: &Notice| matches!(it, Notice::Declined { .. } | Notice::Unknown { .. });
        let succeeded = !word.outcome.notices.iter().any(failed);
        let key = (case.client, attempt.row.gateway);
        let mut health = tx.get(&HEALTH, &key)?.unwrap_or_default();
        health.note(succeeded, tx.now());
        tx.put(&HEALTH, &key, &health)?;
        self.hear_all(tx, caller, &mut case, &mut attempt, word.outcome)?;
        Ok((case, attempt))
    }

    /// Everything a gateway answered, in the order it said it.
    pub fn hear_all(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &mut Try,
        outcome: AttemptOutcome,
    ) -> Result<()> {
        attempt.row.instructions = outcome.instructions.or(attempt.row.instructions.take());
        attempt.row.url = outcome.url.or(attempt.row.url.take());
        for notice in outcome.notices {
            self.hear(tx, caller, case, attempt, notice)?;
        }
        case.finish(tx, caller, Some(attempt))
    }

    /// The last attempt as it stands: what a repeat is answered when the first try was cut off by a crash.
    pub fn last_attempt(&self, tx: &ReadTx, caller: &Caller, id: PaymentId) -> Result<(Case, Try)> {
        let case = Case::load(tx, caller.client()?, id)?;
        caller.may_reach(case.payment.user)?;
        let attempt = found(Try::last(tx, &case)?)?;
        Ok((case, attempt))
    }
}

/// An attempt as its gateway is told.
pub(super) fn request(
    case: &Case,
    attempt: &Try,
    gateway: &Gateway,
    return_url: Option<String>,
) -> AttemptRequest {
    AttemptRequest {
        payment: case.id,
        attempt: attempt.id,
        amount: attempt.row.expected,
        is_capturing: attempt.row.is_capturing,
        return_url,
        setup: gateway.setup.clone(),
    }
}
