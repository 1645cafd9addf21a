//! The table of refunds: key → value in words.

use super::model::Refund;
use crate::{
    kernel::{
        api::{call::found, object::by_external_id, principal::ClientId},
        error::Result,
        store::{Index, Key as _, ReadTx, Table},
    },
    modules::payment::contract::RefundId,
};

/// (client, user) → its refunds
pub const BY_USER: &str = "payment.refunds_by_user";
/// (client, payment) → its refunds
pub const BY_PAYMENT: &str = "payment.refunds_by_payment";
/// (client, external id) → the refund that has it
pub const BY_EXTERNAL_ID: &str = "payment.refunds_by_external_id";
/// when → refunds whose gateway has to be asked
pub const DUE: &str = "payment.refunds_due";

/// (client, refund) → refund
pub const REFUNDS: Table<(ClientId, RefundId), Refund> = Table::new("payment.refunds").with_indexes(&[
    Index::listing(BY_USER, |key, row| row.user.iter().map(|it| (key.0, *it).to_key()).collect()),
    Index::listing(BY_PAYMENT, |key, row| vec![(key.0, row.payment).to_key()]),
    by_external_id(BY_EXTERNAL_ID),
    Index::listing(DUE, |_, row| row.due_at.iter().map(|it| it.to_key()).collect()),
]);

/// Refuses `not_found`, for another client's too.
pub fn load(tx: &ReadTx, client: ClientId, id: RefundId) -> Result<Refund> {
    found(tx.get(&REFUNDS, &(client, id))?)
}
