//! Markets, and what things are worth.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::CACHED_S;
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, patch, post},
            input::{Change, Metadata, input},
            object::{ExternalId, filters, list, object},
        },
        boot::Kernel,
        clock::Time,
        error::Result,
        money::{Amount, AmountText, CurrencyCode, Percent, RateValue, Rounding},
        store::ReadTx,
    },
    modules::market::{
        contract::{MarketContract as _, MarketId, PriceId, PriceUsed},
        model::{
            feed::{FeedIn, FeedOut},
            market::{Market, MarketStatus},
            price::Latest,
        },
        repository::MARKETS,
        service::MarketService,
    },
};

input! {
    /// A market to be made.
    pub struct MarketIn {
        /// What is priced.
        base: CurrencyCode,
        /// What it is priced in.
        quote: CurrencyCode,
        /// `active` unless given.
        status: Option<MarketStatus>,
        /// Where its prices come from: they are sent, unless said otherwise.
        feed: Option<FeedIn>,
        /// How old a price may be and still count; 15 minutes when one of the two is a crypto currency, else a day.
        stale_after_s: Option<u64>,
        /// How far a price may be from the one before; 20 when omitted, any distance when null.
        #[schema(value_type = Option<Percent>)]
        max_deviation_percent: Change<Percent>,
        /// How many decimals prices are shown with; those of the quote currency when omitted.
        decimals: Option<u32>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// What changes; the rest stays.
    pub struct MarketPatchIn {
        status: Option<MarketStatus>,
        feed: Option<FeedIn>,
        stale_after_s: Option<u64>,
        /// Any distance when null.
        #[schema(value_type = Option<Percent>)]
        max_deviation_percent: Change<Percent>,
        decimals: Option<u32>,
        metadata: Metadata,
    }
}

filters! {
    pub struct MarketQuery of Market {
        status: MarketStatus = |it| it.status,
        base: CurrencyCode = |it| it.base,
        quote: CurrencyCode = |it| it.quote,
    }
}

/// A market's last price.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LatestOut {
    pub price_id: PriceId,
    pub bid: RateValue,
    pub ask: RateValue,
    pub mid: RateValue,
    /// The middle with the market's decimals: to be looked at.
    pub shown: String,
    pub source: String,
    pub observed_at: Time,
    pub sequence: u64,
}

impl LatestOut {
    pub fn of(latest: &Latest, decimals: u8) -> LatestOut {
        let Latest { id, price } = latest;
        LatestOut {
            price_id: *id,
            bid: price.quote.bid,
            ask: price.quote.ask,
            mid: price.quote.mid,
            shown: price.quote.mid.shown(decimals),
            source: price.source.clone(),
            observed_at: price.observed_at,
            sequence: price.sequence,
        }
    }
}

object! {
    /// What one unit of `base` is worth in `quote`.
    pub struct MarketOut: "market" of (id: MarketId, row: &Market, latest: Option<&Latest>, is_stale: bool, is_staff: bool) {
        status: MarketStatus = row.status,
        base: CurrencyCode = row.base,
        quote: CurrencyCode = row.quote,
        decimals: u8 = row.decimals,
        stale_after_s: u64 = row.stale_after_s,
        max_deviation_percent: Option<Percent> = row.max_deviation,
        /// Its last price, stale or not.
        latest: Option<LatestOut> = latest.map(|it| LatestOut::of(it, row.decimals)),
        /// Whether nothing can be converted by it for want of a price that is young enough.
        is_stale: bool = is_stale,
        /// Where its prices come from: for staff.
        feed: Option<FeedOut> = is_staff.then(|| FeedOut::of(&row.feed)),
    }
}

input! {
    pub struct ConvertQuery {
        from: CurrencyCode,
        to: CurrencyCode,
        /// 1 when omitted.
        amount: Option<AmountText>,
    }
}

/// What an amount is worth, rounded down.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ConversionOut {
    #[schema(value_type = String)]
    object: &'static str,
    from_currency: CurrencyCode,
    to_currency: CurrencyCode,
    from_amount: Amount,
    to_amount: Amount,
    /// The middle rate: what one unit of `from_currency` is worth.
    rate: RateValue,
    /// The instant of the oldest price it was derived from.
    as_of: Time,
    age_s: u64,
    prices: Vec<PriceUsed>,
}

pub fn endpoints(service: &Arc<MarketService>) -> Vec<Endpoint> {
    let (listing, converting) = (service.clone(), service.clone());
    vec![
        get("/markets")
            .about("List the markets and their last prices")
            .public()
            .further(&["markets.view_any"])
            .cached(CACHED_S)
            .lists(move |tx: &ReadTx, call: &Call<(), MarketQuery>| {
                let client = call.caller.client()?;
                let page = list(tx, call, &MARKETS, None)?;
                page.try_map(|((_, id), row)| listing.out(tx, &call.caller, client, id, &row))
            }),
        post("/markets")
            .about("Make a market")
            .needs("markets.create_any")
            .refuses(&["currency_inactive", "market_taken", "external_id_taken"])
            .example(json!({ "base": "BTC", "quote": "EUR", "max_deviation_percent": "10" }))
            .writes_with(service, MarketService::create),
        get("/markets/convert")
            .about("Say what an amount is worth in another currency")
            .public()
            .refuses(&[
                "amount_format",
                "amount_too_large",
                "amount_scale",
                "amount_not_positive",
                "currency_inactive",
                "rate_unavailable",
            ])
            .runs(move |kernel: Arc<Kernel>, call: Call<(), ConvertQuery>| {
                let converted = convert(&converting, &kernel, &call);
                async move { converted }
            }),
        get("/markets/{id}")
            .about("Show a market and its last price")
            .public()
            .further(&["markets.view_any"])
            .cached(CACHED_S)
            .reads_with(service, MarketService::show),
        patch("/markets/{id}")
            .about("Change a market")
            .needs("markets.update_any")
            .versioned()
            .example(json!({ "stale_after_s": 600 }))
            .writes_with(service, MarketService::change),
    ]
}

fn convert(service: &MarketService, kernel: &Kernel, call: &Call<(), ConvertQuery>) -> Result<ConversionOut> {
    let (client, ConvertQuery { from, to, amount }) = (call.caller.client()?, &call.input);
    let (from, to) = kernel.store.read(|tx| {
        let active = |code| service.currencies.active(tx, client, code);
        Ok((active(*from)?, active(*to)?))
    })?;
    let one = || Amount::new(10i128.pow(u32::from(from.decimals)), from);
    let amount = amount.as_ref().map_or_else(one, |it| it.not_negative("amount", from))?;
    let converted = service.board.convert(client, amount, to, Rounding::Down)?;
    Ok(ConversionOut {
        object: "conversion",
        from_currency: from.code,
        to_currency: to.code,
        from_amount: amount,
        to_amount: converted.amount,
        rate: converted.found.rate.value,
        as_of: converted.found.as_of,
        age_s: converted.found.age.as_secs(),
        prices: converted.found.prices,
    })
}
