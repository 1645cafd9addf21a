//! The table of disputes: key → value in words.

use super::model::{Dispute, Source};
use crate::{
    kernel::{
        api::{call::found, object::by_external_id, principal::ClientId},
        error::Result,
        store::{Index, Key as _, ReadTx, Scan, Table},
    },
    modules::payment::contract::{DisputeId, DisputeStatus, GatewayId, PaymentId, PaymentRefusal},
};

/// (client, user) → its disputes
pub const BY_USER: &str = "payment.disputes_by_user";
/// (client, payment) → its disputes
pub const BY_PAYMENT: &str = "payment.disputes_by_payment";
/// (client, gateway, the gateway's reference of the money) → disputes about a payment nobody knows yet
pub const OF_NOBODY: &str = "payment.disputes_of_nobody";
/// (client, gateway, the gateway's reference, or the bank's) → the dispute that has it
pub const BY_REFERENCE: &str = "payment.disputes_by_reference";
/// (client, external id) → the dispute that has it
pub const BY_EXTERNAL_ID: &str = "payment.disputes_by_external_id";

/// (client, dispute) → dispute
pub const DISPUTES: Table<(ClientId, DisputeId), Dispute> = Table::new("payment.disputes").with_indexes(&[
    Index::listing(BY_USER, |key, row| row.user.iter().map(|it| (key.0, *it).to_key()).collect()),
    Index::listing(BY_PAYMENT, |key, row| row.payment.iter().map(|it| (key.0, *it).to_key()).collect()),
    Index::lookup(BY_REFERENCE, |key, row| {
        let noted = row.noted.as_ref().filter(|it| row.reference.as_ref() != Some(it));
        let names = row.reference.iter().chain(noted);
        names.map(|it| (key.0, row.gateway, it.clone()).to_key()).collect()
    }),
    Index::listing(OF_NOBODY, |key, row| match row.payment {
        Some(_) => vec![],
        None => row.charge.iter().map(|it| (key.0, row.gateway, it.clone()).to_key()).collect(),
    }),
    by_external_id(BY_EXTERNAL_ID),
]);

/// A payment's disputes, the oldest first.
pub fn of_payment(tx: &ReadTx, client: ClientId, payment: PaymentId) -> Result<Vec<(DisputeId, Dispute)>> {
    let rows = tx.scan_index(&DISPUTES, BY_PAYMENT, Scan::prefix(&(client, payment)));
    rows.map(|row| row.map(|((_, id), row)| (id, row))).collect()
}

/// The dispute that the gateway, or a person, calls so.
pub fn of_reference(
    tx: &ReadTx,
    client: ClientId,
    gateway: GatewayId,
    reference: &str,
) -> Result<Option<(DisputeId, Dispute)>> {
    let found = tx.find(&DISPUTES, BY_REFERENCE, &(client, gateway, reference.to_owned()))?;
    Ok(found.map(|((_, id), row)| (id, row)))
}

/// Refuses `payment_disputed` while a bank takes money from there, and it is not over: nothing else goes back of it.
pub fn check_undisputed(tx: &ReadTx, client: ClientId, payment: PaymentId, source: Source) -> Result<()> {
    for (dispute_id, row) in of_payment(tx, client, payment)? {
        if row.source == source && (row.status() == DisputeStatus::Open || row.is_unbooked()) {
            return Err(PaymentRefusal::PaymentDisputed { dispute_id }.into());
        }
    }
    Ok(())
}

/// Refuses `not_found`, for another client's too.
pub fn load(tx: &ReadTx, client: ClientId, id: DisputeId) -> Result<Dispute> {
    found(tx.get(&DISPUTES, &(client, id))?)
}
