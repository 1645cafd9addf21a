//! The snapshot that prices are served from: in memory, without a transaction, without a lock.
//!
//! ```text
//! Board ─▶ client ─▶ its markets, by id · by pair · by currency     replaced whole when a market changes: seldom
//!                      └─▶ Live ─▶ tick                             replaced alone when a price is taken: often
//! ```
//!
//! It is made from the tables at start and changed after commits only: what it shows is durable.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{
    contract::{MarketContract, MarketId, MarketRefusal, PriceUsed, RateFound},
    model::{
        feed::{Feed, Pull},
        market::{Market, MarketStatus},
        price::Latest,
    },
    repository::{LATEST, MARKETS},
};
use crate::kernel::{
    api::principal::{Actor, ClientId},
    clock::{Clock, Time},
    error::Result,
    money::{CurrencyCode, Rounding},
    store::{ReadTx, Scan},
};

pub struct Board {
    clock: Clock,
    clients: ArcSwap<HashMap<ClientId, Arc<Markets>>>,
    /// Held while the map above is replaced.
    changing: Mutex<()>,
    /// Counts the commits that brought prices.
    changes: watch::Sender<u64>,
}

/// The markets of a client.
#[derive(Default)]
pub struct Markets {
    by_id: BTreeMap<MarketId, Arc<Live>>,
    /// Both ways round.
    by_pair: HashMap<(CurrencyCode, CurrencyCode), Arc<Live>>,
    /// The other currencies a currency has a market with, in order.
    partners: HashMap<CurrencyCode, Vec<CurrencyCode>>,
}

/// A market with its last price.
pub struct Live {
    pub id: MarketId,
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
    is_active: bool,
    stale_after: Option<Duration>,
    pub pull: Option<Arc<Pull>>,
    tick: ArcSwapOption<Tick>,
    /// When its providers are asked next, in µs. Forgotten by a restart: then at once.
    next_pull: AtomicI64,
    /// The last time too few of them answered.
    pub is_failing: AtomicBool,
}

/// The last price of a market.
pub struct Tick {
    latest: Latest,
    /// What subscribers are sent, once the first of them wants it: many hear the same.
    frame: OnceLock<String>,
}

impl Tick {
    fn of(latest: Latest) -> Arc<Tick> {
        Arc::new(Tick { latest, frame: OnceLock::new() })
    }

    /// What `make` makes of it the first time.
    pub fn frame(&self, make: impl FnOnce(&Latest) -> String) -> &str {
        self.frame.get_or_init(|| make(&self.latest))
    }
}

impl Deref for Tick {
    type Target = Latest;
    fn deref(&self) -> &Latest {
        &self.latest
    }
}

impl Board {
    /// What is stored.
    pub fn load(tx: &ReadTx, clock: Clock) -> Result<Board> {
        let board = Board {
            clock,
            clients: ArcSwap::default(),
            changing: Mutex::default(),
            changes: watch::Sender::new(0),
        };
        let mut clients: HashMap<ClientId, Markets> = HashMap::new();
        for row in tx.scan(&MARKETS, Scan::all()) {
            let ((client, id), market) = row?;
            let live = Live::new(id, &market, tx.get(&LATEST, &(client, id))?.map(Tick::of));
            clients.entry(client).or_default().put(Arc::new(live));
        }
        board
            .clients
            .store(Arc::new(clients.into_iter().map(|(client, it)| (client, Arc::new(it))).collect()));
        Ok(board)
    }

    /// Shows a market as it is now; its price stays.
    pub fn put(&self, client: ClientId, id: MarketId, market: &Market) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clients = HashMap::clone(&self.clients.load());
        let before = clients.get(&client);
        let tick = before.and_then(|it| it.by_id.get(&id)).and_then(|it| it.tick.load_full());
        let mut markets = Markets::default();
        before.iter().flat_map(|it| it.by_id.values()).for_each(|it| markets.put(it.clone()));
        markets.put(Arc::new(Live::new(id, market, tick)));
        clients.insert(client, Arc::new(markets));
        self.clients.store(Arc::new(clients));
        self.changes.send_modify(|it| *it += 1);
    }

    /// Shows new prices.
    pub fn tick(&self, client: ClientId, ticks: Vec<(MarketId, Latest)>) {
        let clients = self.clients.load();
        let Some(markets) = clients.get(&client) else { return };
        for (id, latest) in ticks {
            if let Some(live) = markets.by_id.get(&id) {
                live.tick.store(Some(Tick::of(latest)));
            }
        }
        self.changes.send_modify(|it| *it += 1);
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn markets(&self, client: ClientId) -> Arc<Markets> {
        self.clients.load().get(&client).cloned().unwrap_or_default()
    }

    /// When the next provider is to be asked; `None` when none ever is.
    pub fn next_pull(&self) -> Option<Time> {
        let clients = self.clients.load();
        let pulled = clients.values().flat_map(|it| it.by_id.values()).filter(|it| it.is_pulled());
        pulled.map(|it| Time::from_micros(it.next_pull.load(Ordering::Relaxed))).min()
    }

    /// The markets, at most so many, whose providers are to be asked now; the next time is set.
    pub fn due(&self, now: Time, most: usize) -> Vec<(ClientId, Arc<Live>)> {
        let clients = self.clients.load();
        let all = clients.iter().flat_map(|(client, it)| it.by_id.values().map(|live| (*client, live)));
        let due =
            all.filter(|(_, it)| it.is_pulled() && it.next_pull.load(Ordering::Relaxed) <= now.micros());
        let due: Vec<_> = due.take(most).map(|(client, live)| (client, live.clone())).collect();
        for (_, live) in &due {
            let interval = live.pull.as_ref().map_or(60, |it| it.interval_s);
            let next = now.after(Duration::from_secs(u64::from(interval)));
            live.next_pull.store(next.micros(), Ordering::Relaxed);
        }
        due
    }
}

impl Markets {
    fn put(&mut self, live: Arc<Live>) {
        for (a, b) in [(live.base, live.quote), (live.quote, live.base)] {
            self.by_pair.insert((a, b), live.clone());
            let partners = self.partners.entry(a).or_default();
            if let Err(place) = partners.binary_search(&b) {
                partners.insert(place, b);
            }
        }
        self.by_id.insert(live.id, live);
    }

    pub fn get(&self, id: MarketId) -> Option<&Arc<Live>> {
        self.by_id.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Live>> {
        self.by_id.values()
    }

    /// The market of the two decides; where there is none, the freshest way through one other currency.
    fn find(&self, from: CurrencyCode, to: CurrencyCode, now: Time) -> Result<Vec<Used>> {
        if let Some(live) = self.by_pair.get(&(from, to)) {
            return Ok(vec![live.used(&*live.price(now)?)]);
        }
        let partners = self.partners.get(&from).map(Vec::as_slice).unwrap_or_default();
        let ways = partners.iter().filter_map(|via| {
            let (first, second) = (self.by_pair.get(&(from, *via))?, self.by_pair.get(&(*via, to))?);
            Some(through(first, second, now))
        });
        let mut refused = None;
        let mut best: Option<(Time, Vec<Used>)> = None;
        for way in ways {
            match way {
                Ok(way) if best.as_ref().is_none_or(|it| way.0 > it.0) => best = Some(way),
                Ok(_) => {}
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match best {
            Some((_, used)) => Ok(used),
            None => Err(refused
                .unwrap_or_else(|| {
                    let reason = "there is no market for it, nor a way through one other currency".to_owned();
                    MarketRefusal::RateUnavailable { pair: format!("{from}/{to}"), reason, age_s: None }
                })
                .into()),
        }
    }
}

/// A price as it was used, and who sent it.
type Used = (PriceUsed, Actor);

/// By way of the currency that two markets have in common, and the instant of the older price.
fn through(first: &Live, second: &Live, now: Time) -> Result<(Time, Vec<Used>), MarketRefusal> {
    let (a, b) = (first.price(now)?, second.price(now)?);
    let oldest = a.price.observed_at.min(b.price.observed_at);
    Ok((oldest, vec![first.used(&a), second.used(&b)]))
}

fn beyond(from: CurrencyCode, to: CurrencyCode) -> MarketRefusal {
    let reason = "the rate has more digits than a rate can have".to_owned();
    MarketRefusal::RateUnavailable { pair: format!("{from}/{to}"), reason, age_s: None }
}

impl Live {
    fn new(id: MarketId, market: &Market, tick: Option<Arc<Tick>>) -> Live {
        let pull = match &market.feed {
            Feed::Http(pull) => Some(Arc::new(pull.clone())),
            Feed::Push | Feed::Fixed { .. } => None,
        };
        Live {
            id,
            base: market.base,
            quote: market.quote,
            is_active: market.status == MarketStatus::Active,
            stale_after: market.stale_after(),
            pull,
            tick: ArcSwapOption::new(tick),
            next_pull: AtomicI64::new(0),
            is_failing: AtomicBool::new(false),
        }
    }

    pub fn is_pulled(&self) -> bool {
        self.is_active && self.pull.is_some()
    }

    pub fn latest(&self) -> Option<Arc<Tick>> {
        self.tick.load_full()
    }

    /// Refuses `rate_unavailable` when there is none, or it is too old.
    fn price(&self, now: Time) -> Result<Arc<Tick>, MarketRefusal> {
        let unavailable = |reason: String, age_s: Option<u64>| {
            let pair = format!("{}/{}", self.base, self.quote);
            MarketRefusal::RateUnavailable { pair, reason, age_s }
        };
        if !self.is_active {
            return Err(unavailable("the market is paused".to_owned(), None));
        }
        let Some(tick) = self.latest() else {
            return Err(unavailable("there is no price yet".to_owned(), None));
        };
        let age = now.since(tick.price.observed_at);
        match self.stale_after {
            Some(most) if age >= most => {
                let reason = format!(
                    "the last price is {} s old, less than {} s is wanted",
                    age.as_secs(),
                    most.as_secs()
                );
                Err(unavailable(reason, Some(age.as_secs())))
            }
            _ => Ok(tick),
        }
    }

    fn used(&self, tick: &Latest) -> Used {
        let used = PriceUsed {
            price_id: tick.id,
            base: self.base,
            quote: self.quote,
            bid: tick.price.quote.bid,
            ask: tick.price.quote.ask,
            mid: tick.price.quote.mid,
            source: tick.price.source.clone(),
            as_of: tick.price.observed_at,
        };
        (used, tick.price.by)
    }
}

impl MarketContract for Board {
    fn rate(&self, client: ClientId, from: CurrencyCode, to: CurrencyCode) -> Result<RateFound> {
        let now = self.clock.now();
        let used = if from == to { vec![] } else { self.markets(client).find(from, to, now)? };
        let (prices, by): (Vec<PriceUsed>, Vec<Actor>) = used.into_iter().unzip();
        let exchange = PriceUsed::exchange(from, &prices).ok_or_else(|| beyond(from, to))?;
        let rate = exchange.rate(Rounding::Down).ok_or_else(|| beyond(from, to))?;
        let as_of = prices.iter().map(|it| it.as_of).min().unwrap_or(now);
        Ok(RateFound { exchange, rate, prices, by, as_of, age: now.since(as_of) })
    }
}
