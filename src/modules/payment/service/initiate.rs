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
        error::{Error, Result},
        machine::{History, Step},
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::payment::{
        adapter::{AttemptOutcome, AttemptRequest, Notice},
        contract::{AttemptId, GatewayId, GatewayKind, PaymentId, PaymentRefusal, PaymentStatus},
        crypto::{hand_out, has_one, look_soon},
        events::PaymentInitiated,
        model::{Attempt, AttemptStatus, Gateway, PAYMENT, PaymentEvent, Verdict, patience},
        repository::{ATTEMPTS, GATEWAYS, HEALTH},
        routes::payments::{CaptureIn, InitiateIn},
    },
};

/// What a gateway is to be told, with no transaction open.
pub struct Told {
    pub(super) client: ClientId,
    pub(super) kind: GatewayKind,
    pub(super) request: AttemptRequest,
}

/// What it answered.
pub struct Word {
    pub(super) client: ClientId,
    pub(super) payment: PaymentId,
    pub(super) attempt: AttemptId,
    pub(super) outcome: AttemptOutcome,
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
        if let Some(named) = call.input.gateway_id {
            super::gateway(tx, case.client, named)?;
        }
        case.payment.check_not_expired(tx.now())?;
        match Try::last(tx, &case)?.filter(|it| it.row.is_open()) {
            Some(open) if call.input.gateway_id.is_none_or(|it| it == open.row.gateway) => {
                return Ok(Claim::Done(open));
            }
            Some(open) => return Err(PaymentRefusal::AttemptOpen { attempt_id: open.id }.into()),
            None => PAYMENT.next(case.payment.status(), PaymentEvent::Initiate)?,
        };
        let (gateway_id, gateway) = self.choose(tx, &case, call.input.gateway_id)?;

        let now = tx.now();
        let id: AttemptId = tx.new_id();
        let address = match gateway.kind {
            GatewayKind::Crypto => Some(hand_out(tx, (case.client, gateway_id), &gateway, (case.id, id))?),
            GatewayKind::Manual | GatewayKind::Sandbox | GatewayKind::Http => None,
        };
        begin_call(tx, case.client, gateway_id)?;
        case.step(tx, caller, PaymentEvent::Initiate, None)?;
        case.payment.gateway = Some(gateway_id);
        case.payment.attempt = Some(id);
        case.payment.attempts += 1;
        case.payment.asked = 0;
        case.payment.poll_at = None;
        case.payment.ask_after(now, patience(0));
        let row = Attempt {
            number: case.payment.attempts,
            gateway: gateway_id,
            kind: gateway.kind,
            expected: case.payment.amount,
            instructions: None,
            url: None,
            address,
            reference: None,
            seen: vec![],
            error: None,
            is_capturing: false,
            expires_at: case.payment.expires_at,
            history: History::begin(AttemptStatus::Calling, caller, now),
            times: Times::at(now),
        };
        tx.insert(&ATTEMPTS, &(case.client, case.id, id), &row)?;
        case.save(tx)?;
        tx.publish(caller, &PaymentInitiated::of(case.id, &case.payment, None))?;
        let request = self.request(tx, &case, &Try { id, row }, &gateway, return_url)?;
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
        let request = self.request(tx, &case, &attempt, &gateway, None)?;
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
        let notices = &word.outcome.notices;
        let is_unknown = notices.iter().any(|it| matches!(it, Notice::Unknown { .. }));
        let verdict = if is_unknown || word.outcome.is_failure {
            Verdict::Failed
        } else if notices.iter().any(|it| matches!(it, Notice::Declined { .. })) {
            Verdict::Declined
        } else {
            Verdict::Succeeded
        };
        note_health(tx, (case.client, attempt.row.gateway), verdict)?;
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
        let sees_some = outcome.notices.iter().any(|it| matches!(it, Notice::Seen { .. }));
        for notice in outcome.notices {
            self.hear(tx, caller, case, attempt, notice)?;
        }
        if let Some(address) = attempt.row.address.as_ref().filter(|_| sees_some && !attempt.row.is_open()) {
            look_soon(tx, case.client, address)?;
        }
        if case.payment.attempt == Some(attempt.id) {
            let awaits = case.payment.status() == PaymentStatus::RequiresAction;
            case.payment.poll_at = outcome.ask_after.filter(|_| awaits).map(|it| tx.now().after(it));
        }
        self.finish(tx, caller, case, Some(attempt))?;
        if outcome.webhooks.is_empty() {
            return Ok(());
        }
        let row = super::gateway(tx, case.client, attempt.row.gateway)?;
        for signed in &outcome.webhooks {
            self.take_signed(tx, caller, (case.client, attempt.row.gateway, &row), signed)?;
        }
        *case = Case::load(tx, case.client, case.id)?;
        *attempt = Try::load(tx, case, attempt.id)?;
        Ok(())
    }

    /// An attempt as its gateway is told.
    pub fn request(
        &self,
        tx: &ReadTx,
        case: &Case,
        attempt: &Try,
        gateway: &Gateway,
        return_url: Option<String>,
    ) -> Result<AttemptRequest> {
        Ok(AttemptRequest {
            payment: case.id,
            attempt: attempt.id,
            amount: attempt.row.expected,
            is_capturing: attempt.row.is_capturing,
            return_url,
            reference: attempt.row.reference.clone(),
            address: attempt.row.address.clone(),
            seen: attempt.row.seen.clone(),
            setup: gateway.setup.clone(),
            access: self.access(tx, case.client, attempt.row.gateway)?,
            at: tx.now(),
        })
    }

    /// The gateway named; or the one the payment had before, then the others in their order, the first that takes it
    /// and answers. Of a further attempt the others come first, when the last call to the one before failed by that
    /// gateway's own fault. Refuses `not_found`, `gateway_unavailable`.
    fn choose(&self, tx: &ReadTx, case: &Case, named: Option<GatewayId>) -> Result<(GatewayId, Gateway)> {
        let (client, amount) = (case.client, case.payment.amount);
        let takes = |id: GatewayId, row: &Gateway| -> Result<()> {
            row.check_takes(amount)?;
            check_answers(tx, client, id)?;
            if row.kind == GatewayKind::Crypto && !has_one(tx, client, id, row)? {
                let reason = "addresses".to_owned();
                return Err(PaymentRefusal::GatewayUnavailable { reason }.into());
            }
            Ok(())
        };
        if let Some(id) = named.or(case.payment.gateway) {
            let row = super::gateway(tx, client, id)?;
            match takes(id, &row) {
                Ok(())
                    if named.is_none() && case.payment.attempt.is_some() && failed_last(tx, client, id)? =>
                {
                    let others = |it: GatewayId, row: &Gateway| match it == id {
                        true => Err(breaker_open()),
                        false => takes(it, row),
                    };
                    let other = self.first_that_takes(tx, client, amount, others);
                    return match other {
                        Err(error) if error.refusal::<PaymentRefusal>().is_some() => Ok((id, row)),
                        other => other,
                    };
                }
                Ok(()) => return Ok((id, row)),
                Err(refused) if named.is_some() => return Err(refused),
                Err(_) => {}
            }
        }
        self.first_that_takes(tx, client, amount, takes)
    }

    /// The first active gateway in the client's order that `takes` it. Refuses `gateway_unavailable` as the last active
    /// one does that has the currency.
    pub(super) fn first_that_takes(
        &self,
        tx: &ReadTx,
        client: ClientId,
        amount: Amount,
        takes: impl Fn(GatewayId, &Gateway) -> Result<()>,
    ) -> Result<(GatewayId, Gateway)> {
        let mut gateways = vec![];
        for row in tx.scan(&GATEWAYS, Scan::prefix(&client)) {
            let ((_, id), row) = row?;
            if row.is_active {
                gateways.push((row.priority, id, row));
            }
        }
        gateways.sort_by_key(|it| (it.0, it.1));
        let none = if gateways.is_empty() { "inactive" } else { "currency" };
        let mut refused: Error = PaymentRefusal::GatewayUnavailable { reason: none.to_owned() }.into();
        for (_, id, row) in gateways {
            match takes(id, &row) {
                Ok(()) => return Ok((id, row)),
                // What one of this currency says tells more than that another one is of another.
                Err(error) if row.currencies.contains(&amount.currency()) => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// The last attempt as it stands: what a repeat is answered when the first try was cut off by a crash.
    pub fn last_attempt(&self, tx: &ReadTx, caller: &Caller, id: PaymentId) -> Result<(Case, Try)> {
        let case = Case::load(tx, caller.client()?, id)?;
        caller.may_reach(case.payment.user)?;
        let attempt = found(Try::last(tx, &case)?)?;
        Ok((case, attempt))
    }
}

/// Refuses `gateway_unavailable` while the breaker of a gateway is open.
pub(super) fn check_answers(tx: &ReadTx, client: ClientId, id: GatewayId) -> Result<()> {
    if tx.get(&HEALTH, &(client, id))?.is_none_or(|it| it.lets_through(tx.now())) {
        return Ok(());
    }
    Err(breaker_open())
}

fn breaker_open() -> Error {
    PaymentRefusal::GatewayUnavailable { reason: "breaker_open".to_owned() }.into()
}

/// Whether the last call to a gateway failed by its own fault.
fn failed_last(tx: &ReadTx, client: ClientId, id: GatewayId) -> Result<bool> {
    Ok(tx.get(&HEALTH, &(client, id))?.is_some_and(|it| it.failed_last()))
}

/// Something new goes through a gateway: of those that wait for an open breaker, one.
pub(super) fn begin_call(tx: &mut WriteTx, client: ClientId, id: GatewayId) -> Result<()> {
    let key = (client, id);
    let mut health = tx.get(&HEALTH, &key)?.unwrap_or_default();
    if health.open_until.is_some() {
        health.begin(tx.now());
        tx.put(&HEALTH, &key, &health)?;
    }
    Ok(())
}

/// Remembers what became of a call to a gateway.
pub(super) fn note_health(tx: &mut WriteTx, key: (ClientId, GatewayId), verdict: Verdict) -> Result<()> {
    let mut health = tx.get(&HEALTH, &key)?.unwrap_or_default();
    health.note(verdict, tx.now());
    tx.put(&HEALTH, &key, &health)
}
