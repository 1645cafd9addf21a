//! What markets announce: only what somebody should look at. A price that was taken is no event.

use serde::{Deserialize, Serialize};

use super::contract::MarketId;
use crate::kernel::{clock::Time, events::event::event, money::CurrencyCode};

/// Prices were refused by a guard: a feed is wrong, or the world has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PriceRejected {
    pub market_id: MarketId,
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
    /// Such as `price_deviates`.
    pub code: String,
    pub reason: String,
    pub source: String,
    pub observed_at: Option<Time>,
    /// How many of one request were refused like this; the rest is about the first.
    pub count: u64,
}
event!(PriceRejected, "market.price_rejected", market_id);

/// Too few providers answered: the price grows old. Announced once, until they have answered again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProviderFailed {
    pub market_id: MarketId,
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
    pub reason: String,
}
event!(ProviderFailed, "market.provider_failed", market_id);
