//! The table of disputes: key → value in words.

use super::model::Dispute;
use crate::{
    kernel::{
        api::{call::found, object::by_external_id, principal::ClientId},
        error::Result,
        store::{Index, Key as _, ReadTx, Table},
    },
    modules::payment::contract::DisputeId,
};

/// (client, user) → its disputes
pub const BY_USER: &str = "payment.disputes_by_user";
/// (client, payment) → its disputes
pub const BY_PAYMENT: &str = "payment.disputes_by_payment";
/// (client, gateway, the gateway's reference) → the dispute that has it
pub const BY_REFERENCE: &str = "payment.disputes_by_reference";
/// (client, external id) → the dispute that has it
pub const BY_EXTERNAL_ID: &str = "payment.disputes_by_external_id";

/// (client, dispute) → dispute
pub const DISPUTES: Table<(ClientId, DisputeId), Dispute> = Table::new("payment.disputes").with_indexes(&[
    Index::listing(BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
    Index::listing(BY_PAYMENT, |key, row| vec![(key.0, row.payment).to_key()]),
    Index::lookup(BY_REFERENCE, |key, row| {
        row.reference.iter().map(|it| (key.0, row.gateway, it.clone()).to_key()).collect()
    }),
    by_external_id(BY_EXTERNAL_ID),
]);

/// Refuses `not_found`, for another client's too.
pub fn load(tx: &ReadTx, client: ClientId, id: DisputeId) -> Result<Dispute> {
    found(tx.get(&DISPUTES, &(client, id))?)
}
