//! The tables of payments: key → value in words.

use super::{
    contract::{AttemptId, GatewayId, PaymentId, SettlementId},
    crypto::ADDRESSES,
    dispute::repository::DISPUTES,
    inbound::SEEN,
    model::{Attempt, Converted, Credentials, Gateway, Health, Payment, Place, Settlement},
    refund::repository::REFUNDS,
};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    store::{Index, Key, Table, TableInfo},
};

pub const BY_USER: &str = "payment.by_user";
pub const BY_EXTERNAL_ID: &str = "payment.by_external_id";
pub const DUE: &str = "payment.due";
pub const SUSPENSE: &str = "payment.suspense";
pub const BY_REFERENCE: &str = "payment.attempts_by_reference";
pub const SETTLEMENTS_BY_ID: &str = "payment.settlements_by_id";
pub const GATEWAYS_BY_ID: &str = "payment.gateways_by_id";
pub const GATEWAYS_BY_EXTERNAL_ID: &str = "payment.gateways_by_external_id";

/// (client, payment) → payment
pub const PAYMENTS: Table<(ClientId, PaymentId), Payment> = Table::new("payment.payments").with_indexes(&[
    // (client, user) → its payments
    Index::listing(BY_USER, |key, row| row.user.iter().map(|it| (key.0, *it).to_key()).collect()),
    // (client, external id) → the payment that has it
    by_external_id(BY_EXTERNAL_ID),
    // when → payments the timer has to look at
    Index::listing(DUE, |_, row| row.due_at.iter().map(Key::to_key).collect()),
]);

/// (client, payment) → the currency in which what it pays for is credited, when another one
pub const CONVERTED: Table<(ClientId, PaymentId), Converted> = Table::new("payment.converted");

/// (client, payment, attempt) → attempt
pub const ATTEMPTS: Table<(ClientId, PaymentId, AttemptId), Attempt> = Table::new("payment.attempts")
    .with_indexes(&[
        // (client, gateway, the gateway's reference) → the attempt it stands for
        Index::listing(BY_REFERENCE, |key, row| {
            row.reference.iter().map(|it| (key.0, row.gateway, it.clone()).to_key()).collect()
        }),
    ]);

pub type SettlementKey = (ClientId, PaymentId, SettlementId);

/// (client, payment, settlement) → money that came
pub const SETTLEMENTS: Table<SettlementKey, Settlement> = Table::new("payment.settlements").with_indexes(&[
    // The credit key: (client, gateway, the gateway's reference) → the one time this money is counted.
    Index::lookup("payment.settlements_by_reference", |key, row| {
        vec![(key.0, row.gateway, row.reference.clone()).to_key()]
    }),
    // (client, settlement) → what is in suspense, in the order it came
    Index::listing(SUSPENSE, |key, row| match row.place {
        Place::Suspense | Place::Refunding => vec![(key.0, key.2).to_key()],
        Place::Waiting | Place::Credited | Place::Refunded | Place::Assigned | Place::ChargedBack => vec![],
    }),
    // (client, settlement) → it
    Index::lookup(SETTLEMENTS_BY_ID, |key, _| vec![(key.0, key.2).to_key()]),
]);

/// (client, gateway) → gateway
pub const GATEWAYS: Table<(ClientId, GatewayId), Gateway> = Table::new("payment.gateways").with_indexes(&[
    // (client, slug) → the active gateway of this slug
    Index::lookup("payment.gateways_by_active_slug", |key, row| {
        if row.is_active { vec![(key.0, row.slug.clone()).to_key()] } else { vec![] }
    }),
    // (client, external id) → the gateway that has it
    by_external_id(GATEWAYS_BY_EXTERNAL_ID),
    // gateway → it, for messages that name no client
    Index::lookup(GATEWAYS_BY_ID, |key, _| vec![key.1.to_key()]),
]);

/// (client, gateway) → its credentials, sealed
pub const CREDENTIALS: Table<(ClientId, GatewayId), Credentials> = Table::new("payment.gateway_credentials");

/// (client, gateway) → how its last calls went
pub const HEALTH: Table<(ClientId, GatewayId), Health> = Table::new("payment.gateway_health");

pub fn tables() -> Vec<TableInfo> {
    vec![
        PAYMENTS.info(),
        CONVERTED.info(),
        ATTEMPTS.info(),
        SETTLEMENTS.info(),
        GATEWAYS.info(),
        CREDENTIALS.info(),
        HEALTH.info(),
        REFUNDS.info(),
        DISPUTES.info(),
        SEEN.info(),
        ADDRESSES.info(),
    ]
}
