//! What other modules may ask of markets: what one currency is worth in another, now.
//!
//! Answers come from an immutable snapshot in memory, so nothing here takes a transaction. Whoever converts money
//! keeps [`PriceUsed`] with it: the answer to "at what price?" never depends on rows that may be pruned.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kernel::{
    api::principal::{Actor, ClientId, UserId},
    clock::Time,
    error::{Result, refusals},
    id::id,
    money::{Amount, Currency, CurrencyCode, Exchange, Percent, Rate, RateValue, Rounding},
    store::{
        ReadTx,
        codec::{Decode, Encode},
    },
};
use crate::modules::client::contract::ClientContract;

id!(/** A pair of currencies with its prices. */ MarketId, "mkt");
id!(/** A price of a market. */ PriceId, "pri");

/// What currencies are worth in one another, per client.
pub trait MarketContract: Send + Sync {
    /// The middle rate from one currency to the other: direct, turned round, or through one common currency. The same
    /// currency is worth 1, by no price. Refuses `rate_unavailable` when a price is missing or
    /// stale.
    fn rate(&self, client: ClientId, from: CurrencyCode, to: CurrencyCode) -> Result<RateFound>;

    /// What `amount` is worth in `to`. Refuses `rate_unavailable`, `amount_too_large`.
    fn convert(
        &self,
        client: ClientId,
        amount: Amount,
        to: Currency,
        rounding: Rounding,
    ) -> Result<Converted> {
        let found = self.rate(client, amount.currency().code, to.code)?;
        Ok(Converted { amount: amount.exchange(&found.exchange, to, rounding)?, found })
    }
}

/// What one unit of a currency is worth in another.
#[derive(Debug, Clone, PartialEq)]
pub struct RateFound {
    /// As it was priced: what amounts are exchanged by.
    pub exchange: Exchange,
    /// As it is shown: the digits a rate has, rounded down.
    pub rate: Rate,
    /// What it was derived from: none for the same currency, one, or two for a cross rate.
    pub prices: Vec<PriceUsed>,
    /// Who sent each of them.
    pub by: Vec<Actor>,
    /// The instant of the oldest of them; now, when there is none.
    pub as_of: Time,
    /// How old that was when asked.
    pub age: Duration,
}

impl RateFound {
    /// Refuses `own_price` when `user` sent, forced or fixed one of the prices, with whatever key: guards keep a feed
    /// from mistakes, not somebody from a price of their own.
    pub fn check_not_of(
        &self,
        tx: &ReadTx,
        clients: &dyn ClientContract,
        client: ClientId,
        user: UserId,
    ) -> Result<()> {
        for by in &self.by {
            if clients.same_person(tx, client, *by, Actor::User(user))? {
                return Err(MarketRefusal::OwnPrice.into());
            }
        }
        Ok(())
    }
}

/// An amount in another currency, and by what rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    pub amount: Amount,
    pub found: RateFound,
}

/// A price as it was when it was used.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PriceUsed {
    pub price_id: PriceId,
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
    pub bid: RateValue,
    pub ask: RateValue,
    pub mid: RateValue,
    /// Who said so: `push`, or what the feed or provider calls itself.
    pub source: String,
    /// When it was observed.
    pub as_of: Time,
}

impl PriceUsed {
    /// What one unit of `from` is worth by the middle of these prices, as [`RateFound`] had it. `None` when they do not
    /// lead on from it.
    pub fn exchange(from: CurrencyCode, prices: &[PriceUsed]) -> Option<Exchange> {
        let rates: Vec<Rate> = prices.iter().map(|it| Rate::new(it.mid, it.base, it.quote)).collect();
        Exchange::through(from, &rates)
    }
}

refusals! {
    /// What Market refuses.
    pub enum MarketRefusal {
        /// There is no price for the pair, or the last one is older than its market allows. Nothing is ever converted
        /// at a guess. Try again when prices have arrived: see `GET markets`.
        RateUnavailable { pair: String, reason: String, age_s: Option<u64> }: Unavailable "rate_unavailable"
            => "{pair}: {reason}",
        /// Nobody exchanges money at a price they sent, forced or fixed themselves, with whatever key. Somebody else's
        /// next price will do.
        OwnPrice: Forbidden "own_price" => "you sent this price yourself",
        /// The client has a market for these two currencies already, in this order or the other.
        MarketTaken { existing_id: MarketId }: Conflict "market_taken" => "{existing_id} is for the same currencies",
        /// The market takes no prices while it is paused.
        MarketPaused: Conflict "market_paused" => "the market is paused",
        /// The market's price is fixed: change the market instead.
        MarketFixed: Conflict "market_fixed" => "the price of this market is fixed",
        /// A price is above zero.
        PriceNotPositive { price: String }: Unprocessable "price_not_positive" => "{price} is no price",
        /// A price has at most 18 significant digits, 28 of them after the point at most. Nothing is rounded on the way
        /// in.
        PriceTooPrecise { price: String }: Unprocessable "price_too_precise"
            => "{price} has more than 18 significant digits, or more than 28 decimals",
        /// Nobody buys for more than somebody else sells for: bid and ask are the wrong way round.
        PriceInverted { bid: String, ask: String }: Unprocessable "price_inverted" => "bid {bid} is above ask {ask}",
        /// It was observed before the market's last price.
        PriceOlder { observed_at: Time, last_observed_at: Time }: Unprocessable "price_older"
            => "observed at {observed_at}, the last price at {last_observed_at}",
        /// It was observed later than now: the clock of the feed is wrong.
        PriceInFuture { observed_at: Time }: Unprocessable "price_in_future" => "{observed_at} is yet to come",
        /// It is further from the last price than the market allows. Who knows that it is right may force it, with a
        /// reason.
        PriceDeviates { price: RateValue, last: RateValue, max_deviation_percent: Percent }: Unprocessable "price_deviates"
            => "{price} is more than {max_deviation_percent} % away from {last}",
    }
}
