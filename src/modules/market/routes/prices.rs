//! Prices: sent, listed, and rolled up into candles.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::CACHED_S;
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            endpoint::{Endpoint, get, post},
            input::{Flaw, check_length, input},
            page::{Cursor, Limit, Page, Paging, created_within, page},
            principal::Actor,
        },
        clock::Time,
        error::{Error, Result, fault},
        money::{AmountText, CurrencyCode, RateValue},
        store::{Key as _, ReadTx, Scan},
    },
    modules::market::{
        contract::{MarketId, PriceId},
        model::{
            candle::{Candle, Interval},
            price::{Latest, Price, Sent},
        },
        repository::{CANDLES, MARKETS, PRICES},
        service::{MarketService, NewPrice},
    },
};

input! {
    /// A price.
    pub struct PriceIn {
        price: Option<AmountText>,
        /// Both instead of `price`.
        bid: Option<AmountText>,
        ask: Option<AmountText>,
        /// Now, when omitted.
        observed_at: Option<Time>,
        /// Who says so; `push` when omitted.
        source: Option<String>,
        /// Takes the price even when it is far from the last one; takes `markets.force_prices`.
        force: Option<bool>,
        /// Why it is forced.
        reason: Option<String>,
    }
}

input! {
    /// A price of one of many markets.
    pub struct BatchPriceIn {
        market_id: MarketId,
        price: Option<AmountText>,
        /// Both instead of `price`.
        bid: Option<AmountText>,
        ask: Option<AmountText>,
        /// Now, when omitted.
        observed_at: Option<Time>,
        /// Who says so; `push` when omitted.
        source: Option<String>,
    }
}

input! {
    /// Prices of many markets, in the order in which they were observed.
    pub struct BatchIn {
        prices: Vec<BatchPriceIn>,
    }
}

/// A price of a market.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PriceOut {
    id: PriceId,
    #[schema(value_type = String)]
    object: &'static str,
    market_id: MarketId,
    base: CurrencyCode,
    quote: CurrencyCode,
    bid: RateValue,
    ask: RateValue,
    mid: RateValue,
    source: String,
    observed_at: Time,
    received_at: Time,
    /// The market's prices are counted from 1.
    sequence: u64,
    created_by: Actor,
    /// Why it was taken although it was far from the one before.
    forced_reason: Option<String>,
}

impl PriceOut {
    fn of(market_id: MarketId, pair: (CurrencyCode, CurrencyCode), id: PriceId, price: Price) -> PriceOut {
        PriceOut {
            id,
            object: "price",
            market_id,
            base: pair.0,
            quote: pair.1,
            bid: price.quote.bid,
            ask: price.quote.ask,
            mid: price.quote.mid,
            source: price.source,
            observed_at: price.observed_at,
            received_at: price.received_at,
            sequence: price.sequence,
            created_by: price.by,
            forced_reason: price.forced,
        }
    }
}

/// What became of one price of a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TakenOut {
    market_id: MarketId,
    /// Of the price that was taken.
    price_id: Option<PriceId>,
    /// Why it was not.
    #[schema(value_type = Option<String>)]
    code: Option<&'static str>,
    detail: Option<String>,
}

/// What became of a batch, price by price in its order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct BatchOut {
    #[schema(value_type = String)]
    object: &'static str,
    accepted: u64,
    rejected: u64,
    data: Vec<TakenOut>,
}

pub struct PricesQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    observed_from: Option<Time>,
    observed_to: Option<Time>,
    source: Option<String>,
}
input!(PricesQuery { limit, cursor, observed_from, observed_to, source });

pub struct CandlesQuery {
    /// From 1 to 1000; 25 when omitted.
    limit: Option<u32>,
    cursor: Option<Cursor>,
    interval: Interval,
    from: Option<Time>,
    to: Option<Time>,
}
input!(CandlesQuery { limit, cursor, interval, from, to });

/// What the middle price did in an interval.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CandleOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// When the interval began.
    at: Time,
    open: RateValue,
    high: RateValue,
    low: RateValue,
    close: RateValue,
    /// How many prices there were.
    count: u64,
}

const REFUSED: &[&str] = &[
    "market_paused",
    "market_fixed",
    "price_not_positive",
    "price_too_precise",
    "price_inverted",
    "price_in_future",
    "price_older",
    "price_deviates",
];
/// Ten thousand prices a second have no room for a record each of what was answered.
const REPEATED: &str = "The last price of a market, sent again with the same `observed_at` and `source`, is answered \
    with the price there is, an older one is refused with `price_older`: no price is counted twice.";
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Whoever may say that a price is right although it looks wrong.
const FORCE: &str = "markets.force_prices";

pub fn endpoints(service: &Arc<MarketService>) -> Vec<Endpoint> {
    let (one, many) = (service.clone(), service.clone());
    vec![
        post("/markets/{id}/prices")
            .about("Send a price")
            .needs("prices.create_any")
            .further(&[FORCE])
            .status(201)
            .repeats(REPEATED)
            .refuses(REFUSED)
            .example(json!({ "price": "109500.00", "observed_at": "2026-01-01T00:00:00Z", "source": "desk" }))
            .runs(move |_, call: Call<MarketId, PriceIn>| {
                let service = one.clone();
                async move { send(&service, call).await }
            }),
        post("/markets/prices")
            .about("Send prices of many markets; each is taken or refused for itself")
            .needs("prices.create_any")
            .status(200)
            .repeats(REPEATED)
            .max_body_bytes(BATCH_BYTES)
            .example(json!({ "prices": [] }))
            .runs(move |_, call: Call<(), BatchIn>| {
                let service = many.clone();
                async move { send_many(&service, call).await }
            }),
        get("/markets/{id}/prices")
            .about("List the prices of a market of the last day")
            .public()
            .cached(CACHED_S)
            .lists(prices),
        get("/markets/{id}/candles")
            .about("List what a market's price did, minute by minute, hour by hour or day by day")
            .public()
            .cached(CACHED_S)
            .lists(candles),
    ]
}

async fn send(service: &MarketService, call: Call<MarketId, PriceIn>) -> Result<PriceOut> {
    let Call { caller, path: market, input } = call;
    let client = caller.client()?;
    let forced = forced(&caller, &input)?;
    let sent = sent("", input.price, input.bid, input.ask)?;
    let source = source("", input.source)?;
    let pair = found(service.board.markets(client).get(market).map(|it| (it.base, it.quote)))?;
    let new = NewPrice { market, sent, observed_at: input.observed_at, source, forced };
    let mut taken = service.take(&caller, client, vec![new]).await?;
    let Latest { id, price } = taken.pop().unwrap_or_else(|| Err(fault!("a price was not looked at")))?;
    Ok(PriceOut::of(market, pair, id, price))
}

/// The reason a price is forced for; `None` when it is not.
fn forced(caller: &Caller, input: &PriceIn) -> Result<Option<String>> {
    match (input.force.unwrap_or(false), &input.reason) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Flaw::new("reason", "not_allowed", "says why a price is forced").into()),
        (true, None) => Err(Flaw::new("reason", "required", "say why the price is forced").into()),
        (true, Some(reason)) => {
            check_length("reason", reason, 500)?;
            caller.check_may(FORCE)?;
            Ok(Some(reason.clone()))
        }
    }
}

fn sent(
    under: &str,
    price: Option<AmountText>,
    bid: Option<AmountText>,
    ask: Option<AmountText>,
) -> Result<Sent> {
    match (price, bid, ask) {
        (Some(price), None, None) => Ok(Sent::Price(price)),
        (None, Some(bid), Some(ask)) => Ok(Sent::BidAsk(bid, ask)),
        _ => Err(Flaw::new(&format!("{under}price"), "required", "give price, or bid and ask").into()),
    }
}

fn source(under: &str, source: Option<String>) -> Result<String> {
    let source = source.unwrap_or_else(|| "push".to_owned());
    check_length(&format!("{under}source"), &source, 60)?;
    Ok(source)
}

async fn send_many(service: &MarketService, call: Call<(), BatchIn>) -> Result<BatchOut> {
    let Call { caller, input, .. } = call;
    let client = caller.client()?;
    let items = input.prices.into_iter().enumerate().map(|(place, it)| {
        let under = format!("prices[{place}].");
        let sent = sent(&under, it.price, it.bid, it.ask)?;
        let source = source(&under, it.source)?;
        Ok(NewPrice { market: it.market_id, sent, observed_at: it.observed_at, source, forced: None })
    });
    let items = items.collect::<Result<Vec<_>>>()?;
    let markets: Vec<MarketId> = items.iter().map(|it| it.market).collect();
    let taken = service.take(&caller, client, items).await?;
    let data: Vec<TakenOut> =
        markets.into_iter().zip(taken).map(|(market, it)| taken_out(market, it)).collect();
    let accepted = data.iter().filter(|it| it.price_id.is_some()).count() as u64;
    Ok(BatchOut { object: "price_batch", accepted, rejected: data.len() as u64 - accepted, data })
}

fn taken_out(market_id: MarketId, taken: Result<Latest>) -> TakenOut {
    match taken {
        Ok(latest) => TakenOut { market_id, price_id: Some(latest.id), code: None, detail: None },
        Err(error) => {
            let detail = match &error {
                Error::Refused(refusal) => refusal.to_string(),
                Error::Fault(_) => "internal error".to_owned(),
            };
            TakenOut { market_id, price_id: None, code: error.code(), detail: Some(detail) }
        }
    }
}

fn prices(tx: &ReadTx, call: &Call<MarketId, PricesQuery>) -> Result<Page<PriceOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let market = found(tx.get(&MARKETS, &(client, call.path))?)?;
    let (from, to) = (query.observed_from, query.observed_to);
    let paging = Paging::new(query.limit, &query.cursor, (call.path, from, to, &query.source));
    let keep = |it: &Price| {
        created_within(it.observed_at, from, to)
            && query.source.as_ref().is_none_or(|source| *source == it.source)
    };
    let page = page(tx, &PRICES, &(client, call.path), &paging, keep)?;
    Ok(page.map(|((_, _, id), row)| PriceOut::of(call.path, (market.base, market.quote), id, row)))
}

fn candles(tx: &ReadTx, call: &Call<MarketId, CandlesQuery>) -> Result<Page<CandleOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let limit = query.limit.unwrap_or(25) as usize;
    if !(1..=1000).contains(&limit) {
        return Err(Flaw::new("limit", "out_of_range", "must be from 1 to 1000").into());
    }
    found(tx.get(&MARKETS, &(client, call.path))?)?;
    let (from, to) = (query.from, query.to);
    let paging = Paging::new(Limit(limit), &query.cursor, (call.path, query.interval, from, to));
    let number = query.interval.number();
    let key = |at: Time| (client, call.path, number, at).to_key();
    let mut scan = Scan::prefix(&(client, call.path, number)).newest_first();
    if let Some(from) = from {
        scan = scan.from(key(from));
    }
    if let Some(to) = to {
        scan = scan.until(key(to));
    }
    if let Some(behind) = paging.behind()? {
        scan = scan.after(behind.to_vec());
    }
    let mut rows = tx.scan(&CANDLES, scan).take(limit + 1).collect::<Result<Vec<_>>>()?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|it| it.0.to_key());
    let out = |((_, _, _, at), candle): (_, Candle)| {
        let Candle { open, high, low, close, count } = candle;
        CandleOut { object: "candle", at, open, high, low, close, count }
    };
    Ok(Page::of(rows.into_iter().map(out).collect(), &paging, next))
}
