//! What can be done with payments and gateways, by use case.

mod access;
mod ask;
mod create;
mod dropped;
mod due;
mod gateways;
mod initiate;
mod mark;
mod notice;
mod resolve;
mod suspense;
mod unasked;
mod verify;

use std::{pin::Pin, sync::Arc};

use super::{
    adapter::Adapters,
    contract::{
        AttemptId, GatewayAccess, GatewayId, GatewayInfo, NewPayment, PaymentContract, PaymentId,
        PaymentInfo, PayoutOutcome, PayoutRequest, Review, SettlementId,
    },
    events::{
        PaymentConflictClosed, PaymentConflicted, PaymentExpired, PaymentFailed, PaymentLate,
        PaymentMarkApproved, PaymentMarkRejected, PaymentMarked, PaymentSettled,
    },
    model::{
        ATTEMPT, Attempt, AttemptEvent, Gateway, PAYMENT, Payment, PaymentEvent, Place, Settlement, Verdict,
    },
    repository::{ATTEMPTS, BY_REFERENCE, GATEWAYS, PAYMENTS, SETTLEMENTS, SettlementKey},
    routes::payments::{AttemptOut, PaymentOut},
};
use crate::{
    kernel::{
        api::{
            call::{Caller, found},
            input::Named as _,
            object::save,
            principal::{Actor, ClientId},
            problem::ApiRefusal,
        },
        error::Result,
        machine::Step,
        money::Amount,
        net::Net,
        secret::Secrets,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        balance::contract::BalanceContract, client::contract::ClientContract,
        currency::contract::CurrencyContract, pricing::contract::PricingContract,
        transaction::contract::TransactionContract, user::contract::UserContract,
    },
};

pub use ask::{KIND as ASKING, Questions, ask_watching, plan as asking_plan};
pub use due::{job as due_job, refunds_job};
use initiate::{begin_call, check_answers, note_health};

pub use initiate::{Told, Word};

pub struct Payments {
    pub clients: Arc<dyn ClientContract>,
    pub users: Arc<dyn UserContract>,
    pub pricing: Arc<dyn PricingContract>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub balance: Arc<dyn BalanceContract>,
    pub transactions: Arc<dyn TransactionContract>,
    pub adapters: Adapters,
    pub secrets: Arc<Secrets>,
    pub net: Arc<Net>,
}

impl Payments {
    /// Refuses `self_approval`: whoever pays does not decide that the money came.
    pub fn check_not_own(&self, tx: &ReadTx, caller: &Caller, case: &Case) -> Result<()> {
        match case.payment.user.map(Actor::User) {
            Some(payer) => self.check_other(tx, caller, case, payer),
            None => Ok(()),
        }
    }

    /// Refuses `self_approval` when the caller is the same person as `first`.
    fn check_other(&self, tx: &ReadTx, caller: &Caller, case: &Case, first: Actor) -> Result<()> {
        self.clients.check_other(tx, case.client, caller, first)
    }
}

/// A payment being worked on: read once, changed, stored once.
pub struct Case {
    pub client: ClientId,
    pub id: PaymentId,
    pub payment: Payment,
    /// What is announced once the rows are stored.
    pub news: Vec<News>,
}

/// What became of a payment.
pub enum News {
    Settled {
        attempt: AttemptId,
        gateway: GatewayId,
        reference: String,
    },
    Failed {
        reason: String,
    },
    Expired,
    Conflicted {
        reason: String,
    },
    /// Others have to agree to what somebody says.
    Marked,
    MarkApproved,
    MarkRejected {
        reason: String,
    },
    ConflictClosed {
        reason: String,
    },
    /// Money came that the payment has no use for; it is in suspense.
    Late {
        reason: String,
    },
}

impl Case {
    /// Refuses `not_found`, for another client's too.
    pub fn load(tx: &ReadTx, client: ClientId, id: PaymentId) -> Result<Case> {
        let payment = found(tx.get(&PAYMENTS, &(client, id))?)?;
        Ok(Case { client, id, payment, news: vec![] })
    }

    /// Stores the payment and its attempt, then announces what became of it.
    pub fn finish(&mut self, tx: &mut WriteTx, caller: &Caller, attempt: Option<&mut Try>) -> Result<()> {
        if let Some(attempt) = attempt {
            attempt.save(tx, self)?;
        }
        self.save(tx)?;
        for news in std::mem::take(&mut self.news) {
            match news {
                News::Settled { attempt, gateway, reference } => {
                    let payment = &self.payment;
                    tx.publish(
                        caller,
                        &PaymentSettled {
                            payment_id: self.id,
                            user_id: payment.user,
                            payable: payment.payable.clone(),
                            amount: payment.amount.digits(),
                            received: payment.received.digits(),
                            currency: payment.amount.currency().code,
                            gateway_id: gateway,
                            attempt_id: attempt,
                            reference,
                        },
                    )
                }
                News::Failed { reason } => {
                    tx.publish(caller, &PaymentFailed::of(self.id, &self.payment, Some(reason)))
                }
                News::Expired => tx.publish(caller, &PaymentExpired::of(self.id, &self.payment, None)),
                News::Conflicted { reason } => {
                    tx.publish(caller, &PaymentConflicted::of(self.id, &self.payment, Some(reason)))
                }
                News::Marked => tx.publish(caller, &PaymentMarked::of(self.id, &self.payment, None)),
                News::MarkApproved => {
                    tx.publish(caller, &PaymentMarkApproved::of(self.id, &self.payment, None))
                }
                News::MarkRejected { reason } => {
                    tx.publish(caller, &PaymentMarkRejected::of(self.id, &self.payment, Some(reason)))
                }
                News::ConflictClosed { reason } => {
                    tx.publish(caller, &PaymentConflictClosed::of(self.id, &self.payment, Some(reason)))
                }
                News::Late { reason } => {
                    tx.publish(caller, &PaymentLate::of(self.id, &self.payment, Some(reason)))
                }
            }?;
        }
        Ok(())
    }

    /// Whether what is to be announced says that money came.
    pub fn brings_money(&self) -> bool {
        self.news.iter().any(|it| matches!(it, News::Settled { .. } | News::Late { .. }))
    }

    pub fn save(&mut self, tx: &mut WriteTx) -> Result<()> {
        self.payment.plan();
        save(tx, &PAYMENTS, &(self.client, self.id), &mut self.payment)
    }

    /// As shown to this caller.
    pub fn out(&self, caller: &Caller) -> PaymentOut {
        PaymentOut::of(self.id, &self.payment, caller.reach)
    }

    fn step(
        &mut self,
        tx: &WriteTx,
        caller: &Caller,
        event: PaymentEvent,
        reason: Option<&str>,
    ) -> Result<Step> {
        self.payment.history.step(&PAYMENT, event, caller, reason, tx.now())
    }

    /// As [`Case::step`], when the move exists: whether it does.
    fn step_if_possible(&mut self, tx: &WriteTx, caller: &Caller, event: PaymentEvent) -> bool {
        let possible = PAYMENT.next(self.payment.status(), event).is_ok();
        possible && self.step(tx, caller, event, None).is_ok()
    }

    /// The refusal of what a review, or its absence, stands against: it names the state and what leads on from it.
    fn refused_by_review(&self, event: &str) -> ApiRefusal {
        let (current, allowed): (&str, &[&str]) = match self.payment.review {
            Review::None => (self.payment.status().name(), &[]),
            Review::Needed => (Review::Needed.name(), &["resolve"]),
            Review::Conflicted => (Review::Conflicted.name(), &["resolve"]),
            Review::AwaitingSecond => (Review::AwaitingSecond.name(), &["approve", "reject"]),
        };
        ApiRefusal::InvalidStateTransition {
            event: event.to_owned(),
            current_status: current.to_owned(),
            allowed_events: allowed.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    /// Whether this very command led to where the payment is.
    fn was_led_here_by(&self, caller: &Caller, event: PaymentEvent) -> bool {
        let last = self.payment.history.last();
        last.event == event.name() && last.actor == caller.actor() && last.fingerprint == caller.fingerprint
    }
}

/// An attempt being worked on.
pub struct Try {
    pub id: AttemptId,
    pub row: Attempt,
}

impl Try {
    pub fn load(tx: &ReadTx, case: &Case, id: AttemptId) -> Result<Try> {
        Ok(Try { id, row: found(tx.get(&ATTEMPTS, &(case.client, case.id, id))?)? })
    }

    /// The payment's last attempt.
    pub fn last(tx: &ReadTx, case: &Case) -> Result<Option<Try>> {
        case.payment.attempt.map(|id| Try::load(tx, case, id)).transpose()
    }

    fn save(&mut self, tx: &mut WriteTx, case: &Case) -> Result<()> {
        save(tx, &ATTEMPTS, &(case.client, case.id, self.id), &mut self.row)
    }

    pub fn out(&self, payment: PaymentId) -> AttemptOut {
        AttemptOut::of(self.id, &self.row, payment)
    }

    /// Moves when the move exists: whether it does.
    fn step(&mut self, tx: &WriteTx, caller: &Caller, event: AttemptEvent, reason: Option<&str>) -> bool {
        let possible = ATTEMPT.next(self.row.status(), event).is_ok();
        possible && self.row.history.step(&ATTEMPT, event, caller, reason, tx.now()).is_ok()
    }
}

/// The gateway. Refuses `not_found`, for another client's too.
pub fn gateway(tx: &ReadTx, client: ClientId, id: GatewayId) -> Result<Gateway> {
    found(tx.get(&GATEWAYS, &(client, id))?)
}

/// The money this reference of the gateway stands for, when it came before: the credit key.
fn settlement_of(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    reference: &str,
) -> Result<Option<(PaymentId, Settlement)>> {
    let found = item_of_reference(tx, client, gateway, reference)?;
    Ok(found.map(|((_, payment, _), row)| (payment, row)))
}

/// The same, and where it is kept.
pub fn item_of_reference(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    reference: &str,
) -> Result<Option<(SettlementKey, Settlement)>> {
    let key = (client, gateway, reference.to_owned());
    tx.find(&SETTLEMENTS, "payment.settlements_by_reference", &key)
}

/// The attempt a reference of the gateway stands for.
pub fn attempt_of_reference(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    reference: &str,
) -> Result<Option<(PaymentId, AttemptId)>> {
    let prefix = (client, gateway, reference.to_owned());
    let found = tx.scan_index(&ATTEMPTS, BY_REFERENCE, Scan::prefix(&prefix)).next().transpose()?;
    Ok(found.map(|((_, payment, attempt), _)| (payment, attempt)))
}

/// What came for a payment and waits for the rest.
fn waiting(tx: &ReadTx, case: &Case) -> Result<Vec<(SettlementId, Settlement)>> {
    let rows = tx.scan(&SETTLEMENTS, Scan::prefix(&(case.client, case.id)));
    let rows = rows.map(|it| it.map(|(key, row)| (key.2, row)));
    rows.filter(|it| !matches!(it, Ok((_, row)) if row.place != Place::Waiting)).collect()
}

/// What came for a payment and was credited: of several, the largest.
pub fn credited(tx: &ReadTx, case: &Case) -> Result<Option<(SettlementId, Settlement)>> {
    let mut largest: Option<(SettlementId, Settlement)> = None;
    for row in tx.scan(&SETTLEMENTS, Scan::prefix(&(case.client, case.id))) {
        let ((_, _, id), row) = row?;
        let is_larger = largest.as_ref().is_none_or(|it| row.amount > it.1.amount);
        if row.place == Place::Credited && is_larger {
            largest = Some((id, row));
        }
    }
    Ok(largest)
}

impl PaymentContract for Payments {
    fn create(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewPayment,
    ) -> Result<PaymentInfo> {
        self.make(tx, caller, client, new).map(|case| info(&case))
    }

    fn get(&self, tx: &ReadTx, client: ClientId, payment: PaymentId) -> Result<PaymentInfo> {
        Case::load(tx, client, payment).map(|case| info(&case))
    }

    fn cancel(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, payment: PaymentId) -> Result<()> {
        self.withdraw(tx, caller, &mut Case::load(tx, client, payment)?)
    }

    fn payout_gateway(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        named: Option<GatewayId>,
        amount: Amount,
    ) -> Result<GatewayInfo> {
        let takes = |tx: &ReadTx, id: GatewayId, row: &Gateway| {
            row.check_takes(amount)?;
            check_answers(tx, client, id)
        };
        let (id, row) = match named {
            Some(id) => (id, gateway(tx, client, id)?),
            None => self.first_that_takes(tx, client, amount, |id, row| takes(tx, id, row))?,
        };
        takes(tx, id, &row)?;

        begin_call(tx, client, id)?;
        Ok(GatewayInfo { id, kind: row.kind, slug: row.slug })
    }

    fn payout_access(&self, tx: &ReadTx, client: ClientId, info: &GatewayInfo) -> Result<GatewayAccess> {
        let setup = gateway(tx, client, info.id)?.setup;
        Ok(GatewayAccess { setup, access: self.access(tx, client, info.id)? })
    }

    fn payout(
        &self,
        gateway: GatewayInfo,
        access: GatewayAccess,
        request: PayoutRequest,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>> {
        self.adapters.of(gateway.kind).payout(request, access.setup, access.access)
    }

    fn ask_payout(
        &self,
        gateway: GatewayInfo,
        access: GatewayAccess,
        request: PayoutRequest,
        reference: Option<String>,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>> {
        self.adapters.of(gateway.kind).retrieve_payout(request, reference, access.setup, access.access)
    }

    fn note_payout(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        gateway: GatewayId,
        outcome: &PayoutOutcome,
    ) -> Result<()> {
        let verdict = match outcome {
            PayoutOutcome::Completed { .. } | PayoutOutcome::Sent { .. } => Verdict::Succeeded,
            PayoutOutcome::Failed { .. } => Verdict::Declined,
            PayoutOutcome::Unknown { .. } => Verdict::Failed,
        };
        note_health(tx, (client, gateway), verdict)
    }
}

fn info(case: &Case) -> PaymentInfo {
    let Case { id, payment, .. } = case;
    PaymentInfo {
        id: *id,
        payable: payment.payable.clone(),
        went_back: !payment.refunded.is_zero() || !payment.disputed.is_zero(),
        is_in_doubt: payment.review != Review::None,
        status: payment.status(),
        amount: payment.amount,
        gateway: payment.gateway,
        expires_at: payment.expires_at,
    }
}
