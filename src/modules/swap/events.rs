//! What swaps announce.

use serde::{Deserialize, Serialize};

use super::contract::{QuoteId, SwapId};
use crate::{
    kernel::{
        api::principal::UserId,
        events::event::event,
        money::{CurrencyCode, RateValue},
    },
    modules::balance::contract::EntryId,
};

/// One currency of a user became another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SwapExecuted {
    pub swap_id: SwapId,
    pub quote_id: QuoteId,
    pub user_id: UserId,
    /// What was given, the fee included.
    pub from_amount: String,
    pub from_currency: CurrencyCode,
    pub to_amount: String,
    pub to_currency: CurrencyCode,
    /// Of what was given.
    pub fee: String,
    /// What one unit of `from_currency` was exchanged for.
    pub rate: RateValue,
    pub entry_id: EntryId,
}
event!(SwapExecuted, "swap.executed", swap_id);
