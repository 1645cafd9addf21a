//! What Transaction announces.

use serde::{Deserialize, Serialize};

use super::contract::{TransactionId, TransferId};
use crate::{
    kernel::{api::principal::UserId, events::event::event, money::CurrencyCode},
    modules::balance::contract::EntryId,
};

/// A user's money moved, or was set aside.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransactionCreated {
    pub transaction_id: TransactionId,
    pub user_id: UserId,
    /// `credit`, `debit` or `fee`.
    pub entry_type: String,
    pub amount: String,
    pub currency: CurrencyCode,
    /// `pending` or `completed`.
    pub status: String,
    pub category: String,
    /// The id of what caused it.
    pub cause: String,
}
event!(TransactionCreated, "transaction.created", transaction_id);

/// A held transfer was carried out, all of it or a part.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferCaptured {
    pub transfer_id: TransferId,
    /// What was captured this time.
    pub amount: String,
    pub currency: CurrencyCode,
    /// Nothing is held any more.
    pub is_final: bool,
    pub entry_id: EntryId,
}
event!(TransferCaptured, "transfer.captured", transfer_id);

/// What was still held was given back by a decision.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferVoided {
    pub transfer_id: TransferId,
    /// What was given back.
    pub amount: String,
    pub currency: CurrencyCode,
    pub entry_id: EntryId,
}
event!(TransferVoided, "transfer.voided", transfer_id);

/// What was still held was given back because its time was over.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferExpired {
    pub transfer_id: TransferId,
    /// What was given back.
    pub amount: String,
    pub currency: CurrencyCode,
    pub entry_id: EntryId,
}
event!(TransferExpired, "transfer.expired", transfer_id);

/// A transfer was taken back, all of it or a part.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferReversed {
    pub transfer_id: TransferId,
    /// What was taken back this time.
    pub amount: String,
    pub currency: CurrencyCode,
    pub entry_id: EntryId,
}
event!(TransferReversed, "transfer.reversed", transfer_id);
