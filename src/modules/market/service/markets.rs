//! Making and changing markets.

use super::{MarketService, take::Counter};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Change, Flaw},
            object::{Stamp, check_external_id},
            principal::ClientId,
        },
        error::Result,
        money::CurrencyCode,
        store::{ReadTx, WriteTx},
    },
    modules::market::{
        contract::{MarketId, MarketRefusal},
        model::{
            feed::Feed,
            market::{
                Market, MarketStatus, check_decimals, check_staleness, default_deviation, default_staleness_s,
            },
            price::{Latest, Quote},
        },
        repository::{BY_EXTERNAL_ID, BY_PAIR, LATEST, MARKETS},
        routes::{MarketIn, MarketOut, MarketPatchIn},
    },
};

/// What is known of a pair when a market is made of it.
struct Pair {
    has_crypto: bool,
    quote_decimals: u8,
}

impl MarketService {
    /// Looks at the currencies, which may be in another file than the markets. Refuses `currency_inactive`.
    fn look_up(&self, tx: &ReadTx, call: &Call<(), MarketIn>) -> Result<Pair> {
        let (client, MarketIn { base, quote, .. }) = (call.caller.client()?, &call.input);
        tx.at("currency", |tx| {
            self.currencies.active(tx, client, *base)?;
            let quote_decimals = self.currencies.active(tx, client, *quote)?.decimals;
            let is_crypto = |code: CurrencyCode| self.currencies.is_crypto(tx, code);
            Ok(Pair { has_crypto: is_crypto(*base)? || is_crypto(*quote)?, quote_decimals })
        })
    }

    /// Refuses `currency_inactive`, what is wrong with the fields, `market_taken`, `external_id_taken`.
    pub fn create(&self, tx: &mut WriteTx, call: &Call<(), MarketIn>) -> Result<MarketOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let pair = self.look_up(tx, call)?;
        if input.base == input.quote {
            return Err(Flaw::new("quote", "not_allowed", "must be another currency than base").into());
        }
        let feed = match &input.feed {
            Some(feed) => feed.read(&self.net, input.base, input.quote)?,
            None => Feed::Push,
        };
        let stale_after_s = input.stale_after_s.unwrap_or_else(|| default_staleness_s(pair.has_crypto));
        let max_deviation = match input.max_deviation_percent {
            Change::Keep => default_deviation(),
            Change::Clear => None,
            Change::Set(percent) => Some(percent),
        };
        let market = Market {
            base: input.base,
            quote: input.quote,
            status: input.status.unwrap_or(MarketStatus::Active),
            stale_after_s: check_staleness(stale_after_s)?,
            max_deviation,
            decimals: check_decimals(input.decimals.unwrap_or(u32::from(pair.quote_decimals)))?,
            feed,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        if let Some(((_, existing_id), _)) = tx.find(&MARKETS, BY_PAIR, &(client, input.base, input.quote))? {
            return Err(MarketRefusal::MarketTaken { existing_id }.into());
        }
        check_external_id(tx, &MARKETS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let id: MarketId = tx.new_id();
        tx.insert(&MARKETS, &(client, id), &market)?;
        self.show_after_commit(tx, caller, client, id, &market, true)?;
        self.out(tx, caller, client, id, &market)
    }

    /// Refuses `not_found`, `if_match_required`, `stale_version`, what is wrong with the fields.
    pub fn change(&self, tx: &mut WriteTx, call: &Call<MarketId, MarketPatchIn>) -> Result<MarketOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let mut market = found(tx.get(&MARKETS, &(client, call.path))?)?;
        caller.check_version(market.stamp.version)?;
        let before = market.feed.clone();
        if let Some(feed) = &input.feed {
            market.feed = feed.read(&self.net, market.base, market.quote)?;
        }
        market.stale_after_s = input.stale_after_s.map_or(Ok(market.stale_after_s), check_staleness)?;
        market.decimals = input.decimals.map_or(Ok(market.decimals), check_decimals)?;
        match input.max_deviation_percent {
            Change::Keep => {}
            Change::Clear => market.max_deviation = None,
            Change::Set(percent) => market.max_deviation = Some(percent),
        }
        market.status = input.status.unwrap_or(market.status);

        market.stamp.metadata.merge(input.metadata.clone());
        market.stamp.touch(tx.now());
        tx.put(&MARKETS, &(client, call.path), &market)?;
        self.show_after_commit(tx, caller, client, call.path, &market, market.feed != before)?;
        self.out(tx, caller, client, call.path, &market)
    }

    pub fn show(&self, tx: &ReadTx, call: &Call<MarketId>) -> Result<MarketOut> {
        let client = call.caller.client()?;
        let market = found(tx.get(&MARKETS, &(client, call.path))?)?;
        self.out(tx, &call.caller, client, call.path, &market)
    }

    pub fn out(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        id: MarketId,
        market: &Market,
    ) -> Result<MarketOut> {
        let latest = tx.get(&LATEST, &(client, id))?;
        let is_staff = caller.principal.grants.has("markets.view_any");
        let is_stale = latest.as_ref().is_none_or(|it| is_stale(market, it, tx));
        Ok(MarketOut::of(id, market, latest.as_ref(), is_stale, is_staff))
    }

    /// Brings the market before everybody's eyes; a price that is fixed counts as one that came.
    fn show_after_commit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: MarketId,
        market: &Market,
        has_new_feed: bool,
    ) -> Result<()> {
        let mut ticks = vec![];
        if let (Feed::Fixed { price }, true) = (&market.feed, has_new_feed) {
            let mut counter = Counter::new(client, caller.actor());
            counter.fix(tx, id, market, Quote::single(*price))?;
            ticks = counter.finish(tx)?;
        }
        let (board, market) = (self.board.clone(), market.clone());
        tx.on_commit(Box::new(move || {
            board.put(client, id, &market);
            board.tick(client, ticks);
        }));
        Ok(())
    }
}

fn is_stale(market: &Market, latest: &Latest, tx: &ReadTx) -> bool {
    market.stale_after().is_some_and(|most| tx.now().since(latest.price.observed_at) >= most)
}
