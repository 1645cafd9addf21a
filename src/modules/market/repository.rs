//! The tables of markets: key → value in words. All of them may live in a file of their own: nothing in here is ever
//! written in one transaction with another module's tables.

use super::{
    contract::{MarketId, PriceId},
    model::{
        candle::Candle,
        market::Market,
        price::{Latest, Price},
    },
};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    clock::Time,
    money::CurrencyCode,
    store::{Index, Key as _, Table},
};

/// (client, base, quote) → the market of the two, in whichever order they are asked for
pub const BY_PAIR: &str = "market.by_pair";
/// (client, external id) → the market that has it
pub const BY_EXTERNAL_ID: &str = "market.by_external_id";

/// (client, market) → market
pub const MARKETS: Table<(ClientId, MarketId), Market> = Table::new("market.markets").with_indexes(&[
    Index::lookup(BY_PAIR, |key, row| {
        let pair = |a: CurrencyCode, b: CurrencyCode| (key.0, a, b).to_key();
        vec![pair(row.base, row.quote), pair(row.quote, row.base)]
    }),
    by_external_id(BY_EXTERNAL_ID),
]);

/// (client, market) → its last price
pub const LATEST: Table<(ClientId, MarketId), Latest> = Table::new("market.latest");

/// (client, market, price) → a price; those of the last day
pub const PRICES: Table<(ClientId, MarketId, PriceId), Price> = Table::new("market.prices");

/// (client, market, number of the interval, beginning) → what its price did meanwhile
pub const CANDLES: Table<(ClientId, MarketId, u8, Time), Candle> = Table::new("market.candles");
