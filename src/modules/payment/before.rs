//! Rows as earlier releases stored them: before there were refunds, webhooks, gateways over HTTP and crypto gateways.

use super::{
    contract::{
        AttemptId, DisputeStatus, GatewayId, GatewayKind, PaidState, PaymentId, PaymentStatus, RefundStatus,
        Review,
    },
    dispute::model::{Dispute, Source as Taken},
    model::{
        Attempt, AttemptStatus, Claimant, Gateway, Health, Limits, Payment, Place, Said, Settlement, Setup,
        Whose,
    },
    refund::model::{Refund, Source},
};
use crate::{
    kernel::{
        api::{
            object::{Stamp, Times},
            principal::{Actor, UserId},
        },
        clock::Time,
        machine::History,
        money::{Amount, Currency},
        store::codec::{Decode, Encode},
    },
    modules::{balance::contract::EntryId, client::contract::Approval, transaction::contract::TransactionId},
};

#[derive(Encode, Decode)]
pub struct PaymentV1 {
    user: Option<UserId>,
    payable: Option<String>,
    amount: Amount,
    received: Amount,
    paid_state: PaidState,
    review: Review,
    said: Option<SaidV2>,
    gateway: Option<GatewayId>,
    attempt: Option<AttemptId>,
    attempts: u32,
    last_error: Option<String>,
    expires_at: Time,
    asked: u32,
    due_at: Option<Time>,
    history: History<PaymentStatus>,
    stamp: Stamp,
}

impl From<PaymentV1> for Payment {
    fn from(it: PaymentV1) -> Payment {
        let nothing = Amount::zero(it.amount.currency());
        Payment {
            user: it.user,
            payable: it.payable,
            amount: it.amount,
            received: it.received,
            paid_state: it.paid_state,
            refunded: nothing,
            disputed: nothing,
            is_reversed: false,
            review: it.review,
            said: it.said.map(Said::from),
            gateway: it.gateway,
            attempt: it.attempt,
            attempts: it.attempts,
            last_error: it.last_error,
            expires_at: it.expires_at,
            asked: it.asked,
            poll_at: None,
            due_at: it.due_at,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

#[derive(Encode, Decode)]
pub struct AttemptV1 {
    number: u32,
    gateway: GatewayId,
    kind: GatewayKind,
    expected: Amount,
    instructions: Option<String>,
    url: Option<String>,
    reference: Option<String>,
    error: Option<String>,
    is_capturing: bool,
    expires_at: Time,
    history: History<AttemptStatus>,
    times: Times,
}

impl From<AttemptV1> for Attempt {
    fn from(it: AttemptV1) -> Attempt {
        Attempt {
            number: it.number,
            gateway: it.gateway,
            kind: it.kind,
            expected: it.expected,
            instructions: it.instructions,
            url: it.url,
            address: None,
            reference: it.reference,
            seen: vec![],
            error: it.error,
            is_capturing: it.is_capturing,
            expires_at: it.expires_at,
            history: it.history,
            times: it.times,
        }
    }
}

#[derive(Encode, Decode)]
pub struct SettlementV1 {
    payment: PaymentId,
    attempt: AttemptId,
    gateway: GatewayId,
    reference: String,
    amount: Amount,
    place: Place,
    entry: Option<EntryId>,
    times: Times,
}

impl From<SettlementV1> for Settlement {
    fn from(it: SettlementV1) -> Settlement {
        Settlement {
            payment: it.payment,
            attempt: it.attempt,
            gateway: it.gateway,
            reference: it.reference,
            amount: it.amount,
            place: it.place,
            entry: it.entry,
            claimant: None,
            moved_by: None,
            times: it.times,
        }
    }
}

#[derive(Encode, Decode)]
pub struct GatewayV1 {
    name: String,
    slug: String,
    kind: GatewayKind,
    is_active: bool,
    currencies: Vec<Currency>,
    limits: Limits,
    setup: SetupV1,
    stamp: Stamp,
}

#[derive(Encode, Decode)]
struct SetupV1 {
    instructions: Option<String>,
    manual_capture: bool,
}

impl From<GatewayV1> for Gateway {
    fn from(it: GatewayV1) -> Gateway {
        let SetupV1 { instructions, manual_capture } = it.setup;
        Gateway {
            name: it.name,
            slug: it.slug,
            kind: it.kind,
            is_active: it.is_active,
            currencies: it.currencies,
            limits: it.limits,
            priority: Gateway::PRIORITY,
            setup: Setup { instructions, manual_capture, ..Setup::default() },
            has_secret_key: false,
            has_webhook_secret: false,
            stamp: it.stamp,
        }
    }
}

#[derive(Encode, Decode)]
pub struct HealthV1 {
    calls: u64,
    recent: u64,
    last_success_at: Option<Time>,
    last_failure_at: Option<Time>,
}

impl From<HealthV1> for Health {
    fn from(it: HealthV1) -> Health {
        let HealthV1 { calls, recent, last_success_at, last_failure_at } = it;
        Health { calls, recent, last_success_at, last_failure_at, ..Health::default() }
    }
}

/// When one other person was enough for what was marked by hand.
#[derive(Encode, Decode)]
pub struct PaymentV2 {
    user: Option<UserId>,
    payable: Option<String>,
    amount: Amount,
    received: Amount,
    paid_state: PaidState,
    refunded: Amount,
    disputed: Amount,
    is_reversed: bool,
    review: Review,
    said: Option<SaidV2>,
    gateway: Option<GatewayId>,
    attempt: Option<AttemptId>,
    attempts: u32,
    last_error: Option<String>,
    expires_at: Time,
    asked: u32,
    poll_at: Option<Time>,
    due_at: Option<Time>,
    history: History<PaymentStatus>,
    stamp: Stamp,
}

impl From<PaymentV2> for Payment {
    fn from(it: PaymentV2) -> Payment {
        Payment {
            user: it.user,
            payable: it.payable,
            amount: it.amount,
            received: it.received,
            paid_state: it.paid_state,
            refunded: it.refunded,
            disputed: it.disputed,
            is_reversed: it.is_reversed,
            review: it.review,
            said: it.said.map(Said::from),
            gateway: it.gateway,
            attempt: it.attempt,
            attempts: it.attempts,
            last_error: it.last_error,
            expires_at: it.expires_at,
            asked: it.asked,
            poll_at: it.poll_at,
            due_at: it.due_at,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

/// What was said, without votes.
#[derive(Encode, Decode)]
struct SaidV2 {
    reference: String,
    amount: Amount,
    by: Actor,
    reason: Option<String>,
    proof: Option<String>,
    at: Time,
}

impl From<SaidV2> for Said {
    fn from(it: SaidV2) -> Said {
        Said {
            reference: it.reference,
            amount: it.amount,
            by: it.by,
            reason: it.reason,
            proof: it.proof,
            at: it.at,
            approval: Some(Approval::of_before(it.amount)),
        }
    }
}

/// When one other person was enough to say whose money is.
#[derive(Encode, Decode)]
pub struct SettlementV2 {
    payment: PaymentId,
    attempt: AttemptId,
    gateway: GatewayId,
    reference: String,
    amount: Amount,
    place: Place,
    entry: Option<EntryId>,
    claimant: Option<ClaimantV2>,
    moved_by: Option<EntryId>,
    times: Times,
}

impl From<SettlementV2> for Settlement {
    fn from(it: SettlementV2) -> Settlement {
        Settlement {
            payment: it.payment,
            attempt: it.attempt,
            gateway: it.gateway,
            reference: it.reference,
            amount: it.amount,
            place: it.place,
            entry: it.entry,
            claimant: it.claimant.map(|of| of.now(it.amount)),
            moved_by: it.moved_by,
            times: it.times,
        }
    }
}

#[derive(Encode, Decode)]
struct ClaimantV2 {
    whose: Whose,
    by: Actor,
    reason: String,
    at: Time,
}

impl ClaimantV2 {
    fn now(self, amount: Amount) -> Claimant {
        let ClaimantV2 { whose, by, reason, at } = self;
        Claimant { whose, by, reason, at, approval: Approval::of_before(amount) }
    }
}

/// When one other person was enough for a refund.
#[derive(Encode, Decode)]
pub struct RefundV1 {
    payment: PaymentId,
    user: Option<UserId>,
    gateway: GatewayId,
    kind: GatewayKind,
    charge: String,
    amount: Amount,
    reason: String,
    source: Source,
    reference: Option<String>,
    error: Option<String>,
    needs_review: bool,
    asked: u32,
    due_at: Option<Time>,
    entry: Option<EntryId>,
    transaction: Option<TransactionId>,
    history: History<RefundStatus>,
    stamp: Stamp,
}

impl From<RefundV1> for Refund {
    fn from(it: RefundV1) -> Refund {
        let waits = it.history.status() == RefundStatus::RequiresApproval;
        let approval = waits.then(|| Approval::of_before(it.amount));
        Refund {
            payment: it.payment,
            user: it.user,
            gateway: it.gateway,
            kind: it.kind,
            charge: it.charge,
            amount: it.amount,
            reason: it.reason,
            source: it.source,
            reference: it.reference,
            error: it.error,
            needs_review: it.needs_review,
            asked: it.asked,
            due_at: it.due_at,
            entry: it.entry,
            transaction: it.transaction,
            approval,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

/// When a dispute was of a settled payment's money.
#[derive(Encode, Decode)]
pub struct DisputeV1 {
    payment: PaymentId,
    user: UserId,
    payable: Option<String>,
    gateway: GatewayId,
    reference: Option<String>,
    claimed: Amount,
    amount: Amount,
    reason: String,
    entry: Option<EntryId>,
    reversal: Option<EntryId>,
    transaction: Option<TransactionId>,
    history: History<DisputeStatus>,
    stamp: Stamp,
}

impl From<DisputeV1> for Dispute {
    fn from(it: DisputeV1) -> Dispute {
        Dispute {
            payment: Some(it.payment),
            user: Some(it.user),
            payable: it.payable,
            gateway: it.gateway,
            charge: None,
            source: Taken::Payment,
            reference: None,
            noted: it.reference, // Whoever said it: the gateway is known by it, too.
            claimed: it.claimed,
            amount: it.amount,
            reason: it.reason,
            entry: it.entry,
            reversal: it.reversal,
            transaction: it.transaction,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::Row;

    #[test]
    fn what_the_first_release_stored_is_read() {
        fn read<T: Row>(hex: &str) -> T {
            T::decode_row(&data_encoding::HEXLOWER.decode(hex.trim().as_bytes()).unwrap()).unwrap()
        }
        let payment: Payment = read(include_str!("../../../tests/golden/rows/payment.payments.v1.hex"));
        assert_eq!((payment.attempts, payment.refunded.minor(), payment.asked), (1, 0, 2));
        let attempt: Attempt = read(include_str!("../../../tests/golden/rows/payment.attempts.v1.hex"));
        assert_eq!((attempt.reference.as_deref(), attempt.address), (Some("sandbox-1"), None));
        let settlement: Settlement =
            read(include_str!("../../../tests/golden/rows/payment.settlements.v1.hex"));
        assert_eq!((settlement.place, settlement.claimant), (Place::Suspense, None));
        let payment: Payment = read(include_str!("../../../tests/golden/rows/payment.payments.v2.hex"));
        let said = payment.said.unwrap();
        assert_eq!((said.reference.as_str(), said.approval.unwrap().votes.len()), ("bank-1", 0));
        let settlement: Settlement =
            read(include_str!("../../../tests/golden/rows/payment.settlements.v2.hex"));
        assert_eq!(settlement.claimant.unwrap().approval.amount, settlement.amount);
        let refund: Refund = read(include_str!("../../../tests/golden/rows/payment.refunds.v1.hex"));
        assert_eq!((refund.charge.as_str(), refund.approval), ("pi_1", None));
        let dispute: Dispute = read(include_str!("../../../tests/golden/rows/payment.disputes.v1.hex"));
        let known = dispute.known_as().map(String::as_str);
        assert_eq!((known, dispute.source, dispute.takes()), (Some("dp_1"), Taken::Payment, true));
        let gateway: Gateway = read(include_str!("../../../tests/golden/rows/payment.gateways.v1.hex"));
        assert_eq!((gateway.slug.as_str(), gateway.priority), ("bank", 100));
        let health: Health = read(include_str!("../../../tests/golden/rows/payment.gateway_health.v1.hex"));
        assert_eq!((health.calls, health.open_until), (70, None));
    }
}
