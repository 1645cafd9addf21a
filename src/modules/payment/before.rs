//! Rows as earlier releases stored them: before there were refunds, webhooks, gateways over HTTP and crypto gateways.

use super::{
    contract::{AttemptId, GatewayId, GatewayKind, PaidState, PaymentId, PaymentStatus, Review},
    model::{Attempt, AttemptStatus, Gateway, Health, Limits, Payment, Place, Said, Settlement, Setup},
};
use crate::{
    kernel::{
        api::{
            object::{Stamp, Times},
            principal::UserId,
        },
        clock::Time,
        machine::History,
        money::{Amount, Currency},
        store::codec::{Decode, Encode},
    },
    modules::balance::contract::EntryId,
};

#[derive(Encode, Decode)]
pub struct PaymentV1 {
    user: Option<UserId>,
    payable: Option<String>,
    amount: Amount,
    received: Amount,
    paid_state: PaidState,
    review: Review,
    said: Option<Said>,
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
            said: it.said,
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
        let gateway: Gateway = read(include_str!("../../../tests/golden/rows/payment.gateways.v1.hex"));
        assert_eq!((gateway.slug.as_str(), gateway.priority), ("bank", 100));
        let health: Health = read(include_str!("../../../tests/golden/rows/payment.gateway_health.v1.hex"));
        assert_eq!((health.calls, health.open_until), (70, None));
    }
}
