//! Paying out through a gateway, and what is found out about it later.
//!
//! Processing is three steps: *claim* (the withdrawal becomes `processing`, the gateway is noted) · *call* (with no
//! transaction open) · *settle*. A withdrawal is claimed once, and its own id is the reference the gateway is given,
//! so it is asked once whatever happens. A crash between claim and settlement leaves it `processing`; at its deadline
//! it needs reconciliation, and a person finds out.

use std::{future::Future, sync::Arc, time::Duration};

use super::Withdrawals;
use crate::kernel::{
    api::{
        call::{Call, Caller},
        endpoint::Claim,
        text::ReasonIn,
    },
    error::{Result, fault},
    store::WriteTx,
};
use crate::modules::{
    payment::contract::{
        GatewayAccess, GatewayId, GatewayInfo, PaymentContract, PayoutOutcome, PayoutRequest,
    },
    withdrawal::{
        contract::{WithdrawalId, WithdrawalStatus},
        model::{Purpose, WITHDRAWAL, Withdrawal, WithdrawalEvent},
        repository,
        routes::{
            ReconcileOutcome, WithdrawalCompleteIn, WithdrawalOut, WithdrawalProcessIn, WithdrawalReconcileIn,
        },
    },
};

/// What a gateway is asked.
#[derive(Debug)]
pub struct Payout {
    gateway: GatewayInfo,
    access: GatewayAccess,
    request: PayoutRequest,
}

/// How long a gateway may take to answer: well below the deadline of `processing`, so that a call always ends before
/// anybody else may decide.
const PATIENCE: Duration = Duration::from_secs(60);

impl Withdrawals {
    /// Claims an approved withdrawal for one call. Refuses `self_approval`, `invalid_state_transition`,
    /// `user_not_active` (frozen since), `gateway_unavailable`.
    pub fn claim(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalProcessIn>,
    ) -> Result<Claim<Payout, WithdrawalOut>> {
        let caller = &call.caller;
        let withdrawal = repository::get(tx, caller.client()?, call.path)?;
        self.check_not_own(tx, caller, &withdrawal)?;
        if withdrawal.status() != WithdrawalStatus::Approved {
            // Either this very command again, or refused.
            let same = self.advance(tx, caller, withdrawal, WithdrawalEvent::Process, None)?;
            return Ok(Claim::Done(self.out(tx, caller, &same)?));
        }
        self.claim_approved(tx, caller, withdrawal, call.input.gateway_id).map(Claim::Call)
    }

    /// Notes the gateway, and that it is being asked.
    pub(super) fn claim_approved(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut withdrawal: Withdrawal,
        gateway: Option<GatewayId>,
    ) -> Result<Payout> {
        let client = caller.client()?;
        withdrawal.check_not_expired(WithdrawalEvent::Process, tx.now())?;
        self.users.check_may_pay(tx, client, withdrawal.user)?;
        let gateway = self.payments.payout_gateway(tx, client, gateway, withdrawal.payout)?;
        let access = self.payments.payout_access(tx, client, &gateway)?;
        let request = request(&withdrawal)?;

        withdrawal.gateway = Some(gateway.clone());
        self.advance(tx, caller, withdrawal, WithdrawalEvent::Process, None)?;
        Ok(Payout { gateway, access, request })
    }

    /// Asks the gateway, and gives up waiting after a minute.
    pub fn call(&self, payout: Payout) -> impl Future<Output = PayoutOutcome> + Send + use<> {
        let payments: Arc<dyn PaymentContract> = self.payments.clone();
        async move {
            let asked = payments.payout(payout.gateway, payout.access, payout.request);
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| PayoutOutcome::Unknown {
                reason: format!("the gateway did not answer within {} s", PATIENCE.as_secs()),
            })
        }
    }

    /// Notes what the gateway said.
    pub fn settle(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalProcessIn>,
        outcome: PayoutOutcome,
    ) -> Result<WithdrawalOut> {
        let withdrawal = repository::get(tx, call.caller.client()?, call.path)?;
        let withdrawal = self.answered(tx, &call.caller, withdrawal, outcome)?;
        self.out(tx, &call.caller, &withdrawal)
    }

    /// A gateway answered, or did not: its breaker remembers.
    pub(super) fn answered(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        withdrawal: Withdrawal,
        outcome: PayoutOutcome,
    ) -> Result<Withdrawal> {
        if let Some(gateway) = &withdrawal.gateway {
            self.payments.note_payout(tx, caller.client()?, gateway.id, &outcome)?;
        }
        self.note(tx, caller, withdrawal, outcome)
    }

    /// Moves a withdrawal as the gateway's answer says. What a webhook said before it is not said again.
    pub(super) fn note(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut withdrawal: Withdrawal,
        outcome: PayoutOutcome,
    ) -> Result<Withdrawal> {
        let (event, reference, reason) = match &outcome {
            PayoutOutcome::Sent { reference } => (WithdrawalEvent::GatewaySent, Some(reference), None),
            PayoutOutcome::Completed { reference } => {
                (WithdrawalEvent::GatewayCompleted, Some(reference), None)
            }
            PayoutOutcome::Failed { reason } => (WithdrawalEvent::GatewayFailed, None, Some(reason)),
            PayoutOutcome::Unknown { reason } => (WithdrawalEvent::LoseTrack, None, Some(reason)),
        };
        if is_known(withdrawal.status(), &outcome) {
            return Ok(withdrawal);
        }
        if WITHDRAWAL.next(withdrawal.status(), event).is_err() {
            // A person has decided meanwhile, or the gateway thinks again.
            let said = match &outcome {
                PayoutOutcome::Completed { reference } => format!("The gateway paid it out as {reference}"),
                PayoutOutcome::Sent { reference } => format!("The gateway sent it as {reference}"),
                PayoutOutcome::Failed { reason } | PayoutOutcome::Unknown { reason } => {
                    format!("The gateway did not pay it out: {reason}")
                }
            };
            return self.contradict(tx, caller, withdrawal, said, reference.cloned());
        }
        withdrawal.reference = reference.cloned().or(withdrawal.reference);
        self.advance(tx, caller, withdrawal, event, reason.map(String::as_str))
    }

    /// A person knows that it has arrived.
    pub fn complete(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalCompleteIn>,
    ) -> Result<WithdrawalOut> {
        let reference = Some(&call.input.reference.0);
        self.find_out(tx, call, WithdrawalEvent::Complete, reference, None)
    }

    /// A person knows that it was not paid out.
    pub fn fail(&self, tx: &mut WriteTx, call: &Call<WithdrawalId, ReasonIn>) -> Result<WithdrawalOut> {
        self.decide(tx, call, WithdrawalEvent::Fail, Some(&call.input.reason))
    }

    /// A person found out what became of it.
    pub fn reconcile(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, WithdrawalReconcileIn>,
    ) -> Result<WithdrawalOut> {
        let event = match call.input.outcome {
            ReconcileOutcome::Sent => WithdrawalEvent::Send,
            ReconcileOutcome::Completed => WithdrawalEvent::Complete,
            ReconcileOutcome::Failed => WithdrawalEvent::Fail,
        };
        let withdrawal = repository::get(tx, call.caller.client()?, call.path)?;
        self.check_not_own(tx, &call.caller, &withdrawal)?;
        let status = withdrawal.status();
        if status == WithdrawalStatus::Sent && event != WithdrawalEvent::Send {
            return Err(WITHDRAWAL.refusal(status, event).into()); // Nobody has lost track of it.
        }
        let reference = call.input.reference.as_ref().map(|it| &it.0);
        self.find_out(tx, call, event, reference, Some(&call.input.reason))
    }

    /// What was completed came back.
    pub fn take_in(&self, tx: &mut WriteTx, call: &Call<WithdrawalId, ReasonIn>) -> Result<WithdrawalOut> {
        self.decide(tx, call, WithdrawalEvent::Return, Some(&call.input.reason))
    }

    fn find_out<I>(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, I>,
        event: WithdrawalEvent,
        reference: Option<&String>,
        reason: Option<&str>,
    ) -> Result<WithdrawalOut> {
        let mut withdrawal = repository::get(tx, call.caller.client()?, call.path)?;
        self.check_not_own(tx, &call.caller, &withdrawal)?;
        withdrawal.reference = reference.cloned().or(withdrawal.reference);
        let withdrawal = self.advance(tx, &call.caller, withdrawal, event, reason)?;
        self.out(tx, &call.caller, &withdrawal)
    }
}

/// What a gateway is told of it. A fault for charges, which go nowhere.
pub(super) fn request(withdrawal: &Withdrawal) -> Result<PayoutRequest> {
    let Purpose::CashOut { method, .. } = &withdrawal.purpose else {
        return Err(fault!("{} is a charge and cannot be processed", withdrawal.id));
    };
    Ok(PayoutRequest {
        reference: withdrawal.id.to_string(),
        amount: withdrawal.payout,
        method: serde_json::to_value(method).map_err(|error| fault!("a method is not JSON: {error}"))?,
    })
}

/// Whether a word tells nothing new.
fn is_known(status: WithdrawalStatus, outcome: &PayoutOutcome) -> bool {
    use WithdrawalStatus::*;
    match outcome {
        PayoutOutcome::Sent { .. } => matches!(status, Sent | Completed | Failed | Returned),
        PayoutOutcome::Completed { .. } => matches!(status, Completed | Returned),
        PayoutOutcome::Failed { .. } => matches!(status, Failed | Returned),
        PayoutOutcome::Unknown { .. } => status != Processing,
    }
}
