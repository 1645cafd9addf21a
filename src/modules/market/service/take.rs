//! Taking prices: guards, history, candles, the snapshot.
//!
//! Prices come in pieces, each in a transaction of its own: ten thousand a second leave the writer free for payments.
//! Within a piece a market's row, its last price and its three candles are read once and written once, however many
//! prices it gets. What is refused is announced afterwards, in the books.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    time::Duration,
};

use super::MarketService;
use crate::{
    kernel::{
        api::{
            call::Caller,
            principal::{Actor, ClientId},
            problem::ApiRefusal,
        },
        clock::Time,
        error::{Error, Refusal as _, Result},
        store::{Key as _, Scan, WriteTx},
    },
    modules::market::{
        contract::{MarketId, MarketRefusal},
        events::PriceRejected,
        model::{
            candle::{Candle, Interval},
            feed::Feed,
            market::{Market, MarketStatus},
            price::{Latest, Offer, Price, Quote, Sent, check},
        },
        repository::{CANDLES, LATEST, MARKETS, PRICES},
    },
};

/// How many prices one transaction takes.
const PIECE: usize = 250;
/// How long prices are kept. Whoever used one has a copy of it.
const PRICES_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How many old rows go, at most, with the prices a market gets in a piece.
const PRUNED: usize = 500;

/// A price on its way in.
#[derive(Debug, Clone)]
pub struct NewPrice {
    pub market: MarketId,
    pub sent: Sent,
    /// Now, when it is not said.
    pub observed_at: Option<Time>,
    pub source: String,
    /// Why it is right although it is far from the last one.
    pub forced: Option<String>,
}

/// A price that was taken, or why not.
pub type Taken = Result<Latest>;

impl MarketService {
    /// Takes prices, in their order. Each is refused for itself: `not_found`, `market_paused`, `market_fixed`,
    /// `price_not_positive`, `price_too_precise`, `price_inverted`, `price_in_future`, `price_older`, `price_deviates`.
    /// The same price again is the price there is.
    pub async fn take(&self, caller: &Caller, client: ClientId, items: Vec<NewPrice>) -> Result<Vec<Taken>> {
        let by = caller.actor();
        let mut all = Vec::with_capacity(items.len());
        let mut rejected = Rejected::default();
        let mut left = items.into_iter();
        loop {
            let piece: Vec<NewPrice> = left.by_ref().take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            let board = self.board.clone();
            let (piece, taken) = self
                .prices
                .write(move |tx| {
                    let mut counter = Counter::new(client, by);
                    let taken = piece.iter().map(|it| counter.take(tx, it)).collect::<Result<Vec<_>>>()?;
                    let ticks = counter.finish(tx)?;
                    tx.on_commit(Box::new(move || board.tick(client, ticks)));
                    Ok((piece, taken))
                })
                .await?;
            for (item, taken) in piece.iter().zip(&taken) {
                if let Err(error) = taken {
                    rejected.note(item, error);
                }
            }
            all.extend(taken);
        }
        self.announce(caller, client, rejected).await?;
        Ok(all)
    }

    async fn announce(&self, caller: &Caller, client: ClientId, rejected: Rejected) -> Result<()> {
        let markets = self.board.markets(client);
        let events: Vec<PriceRejected> = rejected
            .0
            .into_iter()
            .filter_map(|((market_id, code), first)| {
                let live = markets.get(market_id)?;
                let (base, quote, code) = (live.base, live.quote, code.to_owned());
                let Noted { reason, source, observed_at, count } = first;
                Some(PriceRejected { market_id, base, quote, code, reason, source, observed_at, count })
            })
            .collect();
        if events.is_empty() {
            return Ok(());
        }
        let caller = caller.clone();
        self.books.write(move |tx| events.iter().try_for_each(|it| tx.publish(&caller, it).map(drop))).await
    }
}

/// What was refused, by market and reason: the first of each, and how many.
#[derive(Default)]
struct Rejected(BTreeMap<(MarketId, &'static str), Noted>);

struct Noted {
    reason: String,
    source: String,
    observed_at: Option<Time>,
    count: u64,
}

impl Rejected {
    fn note(&mut self, item: &NewPrice, error: &Error) {
        let Some(refusal) = error.refusal::<MarketRefusal>() else { return };
        let first = || Noted {
            reason: refusal.to_string(),
            source: item.source.clone(),
            observed_at: item.observed_at,
            count: 0,
        };
        self.0.entry((item.market, refusal.code())).or_insert_with(first).count += 1;
    }
}

/// Takes the prices of one piece.
pub struct Counter {
    client: ClientId,
    by: Actor,
    /// `None`: the client has no such market.
    trays: HashMap<MarketId, Option<Tray>>,
}

/// What a market is at within a piece.
struct Tray {
    market: Market,
    latest: Option<Latest>,
    candles: BTreeMap<(Interval, Time), Candle>,
    taken: usize,
}

impl Counter {
    pub fn new(client: ClientId, by: Actor) -> Counter {
        Counter { client, by, trays: HashMap::new() }
    }

    /// A refusal is the inner result; the outer one is a fault.
    pub fn take(&mut self, tx: &mut WriteTx, new: &NewPrice) -> Result<Taken> {
        let key = (self.client, new.market);
        if let Entry::Vacant(place) = self.trays.entry(new.market) {
            let market = tx.get(&MARKETS, &key)?;
            let latest = if market.is_some() { tx.get(&LATEST, &key)? } else { None };
            place.insert(market.map(|market| Tray { market, latest, candles: BTreeMap::new(), taken: 0 }));
        }
        let Some(Some(tray)) = self.trays.get_mut(&new.market) else {
            return Ok(Err(ApiRefusal::NotFound.into()));
        };
        if tray.market.status != MarketStatus::Active {
            return Ok(Err(MarketRefusal::MarketPaused.into()));
        }
        if matches!(tray.market.feed, Feed::Fixed { .. }) {
            return Ok(Err(MarketRefusal::MarketFixed.into()));
        }
        let quote = match Quote::read(&new.sent) {
            Ok(quote) => quote,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let observed_at = new.observed_at.unwrap_or(tx.now());
        if let Some(last) = &tray.latest
            && new.observed_at == Some(last.price.observed_at)
            && (quote, &new.source) == (last.price.quote, &last.price.source)
        {
            return Ok(Ok(last.clone()));
        }
        let offer = Offer { quote, observed_at, is_forced: new.forced.is_some() };
        let last = tray.latest.as_ref().map(|it| &it.price);
        if let Err(refusal) = check(last, offer, tray.market.max_deviation, tx.now()) {
            return Ok(Err(refusal.into()));
        }
        let (source, forced) = (new.source.clone(), new.forced.clone());
        self.put(tx, new.market, quote, observed_at, source, forced).map(Ok)
    }

    /// The price of a market that is fixed.
    pub fn fix(&mut self, tx: &mut WriteTx, id: MarketId, market: &Market, quote: Quote) -> Result<()> {
        let latest = tx.get(&LATEST, &(self.client, id))?;
        let tray = Tray { market: market.clone(), latest, candles: BTreeMap::new(), taken: 0 };
        self.trays.insert(id, Some(tray));
        let now = tx.now();
        self.put(tx, id, quote, now, "fixed".to_owned(), None).map(drop)
    }

    fn put(
        &mut self,
        tx: &mut WriteTx,
        id: MarketId,
        quote: Quote,
        observed_at: Time,
        source: String,
        forced: Option<String>,
    ) -> Result<Latest> {
        let (client, by) = (self.client, self.by);
        let Some(Some(tray)) = self.trays.get_mut(&id) else { return Err(ApiRefusal::NotFound.into()) };
        let sequence = tray.latest.as_ref().map_or(0, |it| it.price.sequence) + 1;
        let price = Price { quote, source, observed_at, received_at: tx.now(), sequence, by, forced };
        if let Some(last) = &tray.latest {
            tx.ids_after(last.id);
        }
        let latest = Latest { id: tx.new_id(), price };
        tx.insert(&PRICES, &(client, id, latest.id), &latest.price)?;
        for interval in Interval::EACH {
            let start = interval.start(observed_at);
            match tray.candles.get_mut(&(interval, start)) {
                Some(candle) => candle.add(quote.mid),
                None => {
                    let candle = match tx.get(&CANDLES, &(client, id, interval.number(), start))? {
                        Some(mut candle) => {
                            candle.add(quote.mid);
                            candle
                        }
                        None => Candle::lit(quote.mid),
                    };
                    tray.candles.insert((interval, start), candle);
                }
            }
        }
        tray.latest = Some(latest.clone());
        tray.taken += 1;
        Ok(latest)
    }

    /// Writes what became of each market, lets go of what is too old, and returns the prices to be shown.
    pub fn finish(self, tx: &mut WriteTx) -> Result<Vec<(MarketId, Latest)>> {
        let client = self.client;
        let mut ticks = vec![];
        for (id, tray) in self.trays {
            let Some(Tray { latest: Some(latest), candles, taken, .. }) = tray else { continue };
            if taken == 0 {
                continue;
            }
            tx.put(&LATEST, &(client, id), &latest)?;
            for ((interval, start), candle) in &candles {
                tx.put(&CANDLES, &(client, id, interval.number(), *start), candle)?;
            }
            prune(tx, client, id, (2 * taken).clamp(4, PRUNED))?;
            ticks.push((id, latest));
        }
        Ok(ticks)
    }
}

/// Lets go of prices and candles that are too old, the oldest first: more than come, so that they get fewer.
fn prune(tx: &mut WriteTx, client: ClientId, id: MarketId, most: usize) -> Result<()> {
    let now = tx.now();
    let end = now.before(PRICES_KEPT).millis();
    let mut old = vec![];
    for row in tx.scan(&PRICES, Scan::prefix(&(client, id))).take(most) {
        let (key, _) = row?;
        if crate::kernel::id::millis(&key.2) >= end {
            break;
        }
        old.push(key);
    }
    for key in old {
        tx.delete(&PRICES, &key)?;
    }
    for interval in Interval::EACH {
        let Some(kept) = interval.kept() else { continue };
        let until = (client, id, interval.number(), now.before(kept)).to_key();
        let scan = Scan::prefix(&(client, id, interval.number())).until(until);
        let old: Vec<_> =
            tx.scan(&CANDLES, scan).take(4).map(|it| it.map(|it| it.0)).collect::<Result<_>>()?;
        for key in old {
            tx.delete(&CANDLES, &key)?;
        }
    }
    Ok(())
}
