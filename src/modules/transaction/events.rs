//! What Transaction announces.

use serde::{Deserialize, Serialize};

use super::contract::{TransactionId, TransferId};
use crate::{
    kernel::{
        api::principal::UserId,
        events::event::{event, events},
        money::{Amount, CurrencyCode},
    },
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
    /// Whose pending transaction is completed by it. A part has a transaction of its own, which is told apart.
    #[serde(default)]
    pub user_id: Option<UserId>,
}
event!(TransferCaptured, "transfer.captured", transfer_id);

events! {
    transfer_id of (id: TransferId, moved: Amount, entry: EntryId) {
        transfer_id: TransferId = id,
        /// What was given or taken back this time.
        amount: String = moved.digits(),
        currency: CurrencyCode = moved.currency().code,
        entry_id: EntryId = entry,
    }
    /// What was still held was given back by a decision.
    TransferVoided = "transfer.voided",
    /// What was still held was given back because its time was over.
    TransferExpired = "transfer.expired",
    /// A transfer was taken back, all of it or a part.
    TransferReversed = "transfer.reversed",
}
