//! A market: a pair of currencies, and what its prices must be like.

use std::time::Duration;

use super::{super::before::MarketV1, feed::Feed};
use crate::kernel::{
    api::{
        input::{Flaw, text_enum},
        object::{Stamp, stamped},
    },
    error::Result,
    money::{CurrencyCode, Percent},
    store::codec::{Decode, Encode, row},
};

text_enum! {
    pub enum MarketStatus {
        /// Takes prices, and they count.
        Active = "active",
        /// Takes none, and none count.
        Paused = "paused",
    }
}

/// What one unit of `base` is worth in `quote`.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Market {
    // Invariant: base and quote differ, and no other market of the client has both.
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
    pub status: MarketStatus,
    /// How old a price may be and still count.
    pub stale_after_s: u64,
    /// How far a price may be from the one before; `None`: any distance.
    pub max_deviation: Option<Percent>,
    /// How many decimals prices are shown with.
    pub decimals: u8,
    pub feed: Feed,
    pub stamp: Stamp,
}
row!(Market, 2, { 1 => MarketV1 });
stamped!(Market);

impl Market {
    /// How old its prices may be; `None` when age does not matter.
    pub fn stale_after(&self) -> Option<Duration> {
        match self.feed {
            Feed::Fixed { .. } => None,
            _ => Some(Duration::from_secs(self.stale_after_s)),
        }
    }
}

/// What a client gets that does not say how old prices may be: a crypto currency moves within minutes.
pub fn default_staleness_s(has_crypto: bool) -> u64 {
    if has_crypto { 15 * 60 } else { 24 * 3600 }
}

pub fn default_deviation() -> Option<Percent> {
    "20".parse().ok()
}

/// From a second to thirty days.
pub fn check_staleness(seconds: u64) -> Result<u64> {
    within("stale_after_s", seconds, 1, 30 * 24 * 3600)
}

pub fn check_decimals(decimals: u32) -> Result<u8> {
    within("decimals", u64::from(decimals), 0, 18).map(|it| it as u8)
}

pub fn within(param: &str, number: u64, least: u64, most: u64) -> Result<u64> {
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(Flaw::new(param, "out_of_range", format!("must be from {least} to {most}")).into())
}
