//! What is always true of prices, checked by `coffer verify` and after every test.

use super::repository::{CANDLES, LATEST, MARKETS, PRICES};
use crate::kernel::{
    error::Result,
    store::{ReadTx, Scan},
};

/// A market's last price is the one counted last; prices were observed in their order and are counted without gaps;
/// candles hold their extremes.
pub fn verify(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for row in tx.scan(&LATEST, Scan::all()) {
        let ((client, market), latest) = row?;
        if !tx.exists(&MARKETS, &(client, market))? {
            wrong.push(format!("{market} has a price and does not exist"));
        }
        let mut newer = (latest.id, latest.price);
        let mut is_first = true;
        for row in tx.scan(&PRICES, Scan::prefix(&(client, market)).newest_first()) {
            let ((_, _, id), price) = row?;
            let quote = price.quote;
            if quote.bid > quote.mid || quote.mid > quote.ask {
                wrong.push(format!("{id} has its bid above its ask"));
            }
            let follows = if is_first {
                newer == (id, price.clone())
            } else {
                price.sequence + 1 == newer.1.sequence && price.observed_at <= newer.1.observed_at
            };
            if !follows {
                wrong.push(format!("{market}: {} does not follow {id}", newer.0));
            }
            (is_first, newer) = (false, (id, price));
        }
    }
    for row in tx.scan(&CANDLES, Scan::all()) {
        let ((_, market, _, at), candle) = row?;
        let (low, high) = (candle.low, candle.high);
        if candle.open.min(candle.close) < low || candle.open.max(candle.close) > high || candle.count == 0 {
            wrong.push(format!("{market}: the candle of {at} does not hold its extremes"));
        }
    }
    Ok(wrong)
}
