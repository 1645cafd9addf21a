//! Rates from the snapshot, and taking prices, on a store in memory.

use std::{sync::Arc, time::Duration};

use super::{
    board::Board,
    contract::{MarketContract as _, MarketId, PriceId},
    model::{
        candle::{Candle, Interval},
        feed::{Feed, Provider, Pull},
        market::{Market, MarketStatus},
        price::{Latest, Price, Quote, Sent},
    },
    repository::{CANDLES, LATEST, MARKETS, PRICES},
    service::{NewPrice, take::Counter},
    verify::verify,
};
use crate::kernel::{
    api::{
        object::Stamp,
        principal::{Actor, ClientId},
    },
    clock::{Clock, Time},
    error::Result,
    id::Id as _,
    money::{Amount, Currency, CurrencyCode, RateValue, Rounding},
    store::{Scan, Store, StoreOptions, codec::golden},
};

const CLIENT: [u8; 16] = [1; 16];
/// How old prices may be here, in seconds.
const STALE_AFTER: u64 = 900;

struct World {
    store: Store,
    board: Arc<Board>,
    client: ClientId,
}

fn code(text: &str) -> CurrencyCode {
    text.parse().unwrap()
}

fn market(base: &str, quote: &str, feed: Feed) -> Market {
    Market {
        base: code(base),
        quote: code(quote),
        status: MarketStatus::Active,
        stale_after_s: STALE_AFTER,
        max_deviation: "20".parse().ok(),
        decimals: 2,
        feed,
        stamp: Stamp::at(Time::from_micros(0)),
    }
}

fn new(market: MarketId, price: &str) -> NewPrice {
    let sent = Sent::Price(price.parse().unwrap());
    NewPrice { market, sent, observed_at: None, source: "test".into(), forced: None }
}

impl World {
    fn new() -> World {
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").unwrap());
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
        let board = Arc::new(store.read(|tx| Board::load(tx, clock)).unwrap());
        World { store, board, client: ClientId::from_bytes(CLIENT) }
    }

    fn market(&self, base: &str, quote: &str) -> MarketId {
        self.put(market(base, quote, Feed::Push))
    }

    fn put(&self, market: Market) -> MarketId {
        let (client, row) = (self.client, market.clone());
        let id = self.store.write_blocking(move |tx| {
            let id: MarketId = tx.new_id();
            tx.insert(&MARKETS, &(client, id), &row)?;
            Ok(id)
        });
        let id = id.unwrap();
        self.board.put(self.client, id, &market);
        id
    }

    fn take(&self, items: Vec<NewPrice>) -> Vec<Result<Latest, Option<&'static str>>> {
        let (client, board) = (self.client, self.board.clone());
        let taken = self.store.write_blocking(move |tx| {
            let mut counter = Counter::new(client, Actor::System);
            let taken = items.iter().map(|it| counter.take(tx, it)).collect::<Result<Vec<_>>>()?;
            let ticks = counter.finish(tx)?;
            tx.on_commit(Box::new(move || board.tick(client, ticks)));
            Ok(taken)
        });
        taken.unwrap().into_iter().map(|it| it.map_err(|error| error.code())).collect()
    }

    /// The market of a pair with a price.
    fn priced(&self, base: &str, quote: &str, price: &str) -> MarketId {
        let id = self.market(base, quote);
        self.take(vec![new(id, price)]).pop().unwrap().unwrap();
        id
    }

    fn advance(&self, seconds: u64) {
        self.store.clock().advance(Duration::from_secs(seconds));
    }

    fn rate(&self, from: &str, to: &str) -> Result<(String, usize), String> {
        let found = self.board.rate(self.client, code(from), code(to));
        found.map(|it| (it.rate.value.to_string(), it.prices.len())).map_err(|it| it.to_string())
    }

    fn problems(&self) -> Vec<String> {
        self.store.read(verify).unwrap()
    }
}

#[test]
fn a_rate_is_found_direct_turned_round_or_through_one_currency() {
    let world = World::new();
    for (base, quote, price) in
        [("BTC", "USD", "109500"), ("ETH", "USD", "4500"), ("EUR", "USD", "1.25"), ("USD", "JPY", "150")]
    {
        world.priced(base, quote, price);
    }
    for (from, to, rate, prices) in [
        ("BTC", "USD", "109500", 1),
        ("USD", "BTC", "0.00000913242009132420091", 1),
        ("BTC", "ETH", "24.3333333333333333", 2),
        ("BTC", "EUR", "87600", 2),
        ("EUR", "JPY", "187.5", 2),
        ("JPY", "EUR", "0.00533333333333333333", 2),
        ("USD", "USD", "1", 0),
        ("GBP", "GBP", "1", 0),
    ] {
        assert_eq!(world.rate(from, to), Ok((rate.to_owned(), prices)), "{from} to {to}");
    }
    let missing = world.rate("BTC", "GBP").unwrap_err();
    assert_eq!(
        missing,
        "rate_unavailable: BTC/GBP: there is no market for it, nor a way through one other currency"
    );
    let stranger = ClientId::from_bytes([2; 16]);
    assert!(world.board.rate(stranger, code("BTC"), code("USD")).is_err(), "prices are the client's own");
}

#[test]
fn a_thousand_dollars_are_converted_with_the_prices_that_say_so() {
    let world = World::new();
    let market = world.priced("BTC", "USD", "109500");
    let (usd, btc) =
        (Currency { code: code("USD"), decimals: 2 }, Currency { code: code("BTC"), decimals: 8 });
    let thousand = Amount::new(100_000, usd).unwrap();
    let converted = world.board.convert(world.client, thousand, btc, Rounding::Up).unwrap();
    assert_eq!(converted.amount.to_string(), "0.00913243 BTC");
    let used = &converted.found.prices[0];
    assert_eq!((used.mid.to_string().as_str(), used.source.as_str()), ("109500", "test"));
    let latest = world.store.read(|tx| tx.get(&LATEST, &(world.client, market))).unwrap().unwrap();
    assert_eq!(used.price_id, latest.id);
    // A market turned round once lost the last unit: 0.00999999.
    let even = Amount::new(109_500, usd).unwrap();
    let converted = world.board.convert(world.client, even, btc, Rounding::Down).unwrap();
    assert_eq!(converted.amount.to_string(), "0.01000000 BTC");
    let same = world.board.convert(world.client, thousand, usd, Rounding::Down).unwrap();
    assert_eq!((same.amount, same.found.prices.len()), (thousand, 0));
}

#[test]
fn nothing_is_converted_by_a_price_that_is_stale_missing_or_paused() {
    let world = World::new();
    let market_id = world.market("BTC", "USD");
    assert_eq!(world.rate("BTC", "USD").unwrap_err(), "rate_unavailable: BTC/USD: there is no price yet");
    world.take(vec![new(market_id, "100")]);
    world.advance(STALE_AFTER - 1);
    assert!(world.rate("BTC", "USD").is_ok());
    world.advance(1);
    let stale = "rate_unavailable: BTC/USD: the last price is 900 s old, less than 900 s is wanted";
    assert_eq!(world.rate("BTC", "USD").unwrap_err(), stale);
    world.priced("EUR", "USD", "1.25");
    assert_eq!(world.rate("EUR", "BTC").unwrap_err(), stale, "nor through it");
    world.put(market("ETH", "USD", Feed::Fixed { price: "1".parse().unwrap() }));
    world.take(vec![new(market_id, "100")]);
    assert!(world.rate("BTC", "USD").is_ok());
    let paused = Market { status: MarketStatus::Paused, ..market("BTC", "USD", Feed::Push) };
    world.board.put(world.client, market_id, &paused);
    assert_eq!(world.rate("BTC", "USD").unwrap_err(), "rate_unavailable: BTC/USD: the market is paused");
}

#[test]
fn a_fixed_price_does_not_grow_old() {
    let world = World::new();
    let price: RateValue = "1".parse().unwrap();
    let row = market("USDT", "USD", Feed::Fixed { price });
    let id = world.put(row.clone());
    let (client, board) = (world.client, world.board.clone());
    let fix = move |tx: &mut crate::kernel::store::WriteTx| {
        let mut counter = Counter::new(client, Actor::System);
        counter.fix(tx, id, &row, Quote::single(price))?;
        let ticks = counter.finish(tx)?;
        tx.on_commit(Box::new(move || board.tick(client, ticks)));
        Ok(())
    };
    world.store.write_blocking(fix).unwrap();
    world.advance(10 * 365 * 24 * 3600);
    assert_eq!(world.rate("USDT", "USD"), Ok(("1".to_owned(), 1)));
    assert_eq!(world.take(vec![new(id, "2")]), [Err(Some("market_fixed"))]);
}

#[test]
fn of_two_ways_the_one_with_the_fresher_prices_is_taken() {
    let world = World::new();
    world.priced("BTC", "USD", "100");
    world.priced("ETH", "USD", "10");
    world.advance(10);
    world.priced("BTC", "EUR", "90");
    world.priced("ETH", "EUR", "10");
    assert_eq!(world.rate("BTC", "ETH"), Ok(("9".to_owned(), 2)), "through EUR");
    world.advance(STALE_AFTER - 10);
    assert_eq!(world.rate("BTC", "ETH"), Ok(("9".to_owned(), 2)), "the other way is stale");
    world.advance(10);
    assert!(world.rate("BTC", "ETH").is_err());
}

#[test]
fn each_price_of_a_piece_is_guarded_by_the_one_before() {
    let world = World::new();
    let id = world.market("BTC", "USD");
    let at = |second: i64, price: &str| {
        let observed_at = Some(Time::from_micros(1_767_225_600_000_000 - 60_000_000 + second * 1_000_000));
        NewPrice { observed_at, ..new(id, price) }
    };
    let forced = NewPrice { forced: Some("it crashed".into()), ..at(5, "50") };
    let stranger = new(MarketId::from_bytes([9; 16]), "1");
    let taken = world.take(vec![
        at(1, "100"),
        at(2, "119"),
        at(1, "119"),
        at(3, "200"),
        at(3, "0"),
        at(4, "130"),
        forced,
        at(5, "50"),
        at(70, "50"),
        stranger,
    ]);
    let codes: Vec<_> =
        taken.iter().map(|it| it.as_ref().map(|it| it.price.sequence).map_err(|it| *it)).collect();
    let wanted = [
        Ok(1),
        Ok(2),
        Err(Some("price_older")),
        Err(Some("price_deviates")),
        Err(Some("price_not_positive")),
        Ok(3),
        Ok(4),
        Ok(4), // The same price again is the price there is.
        Err(Some("price_in_future")),
        Err(Some("not_found")),
    ];
    assert_eq!(codes, wanted);
    assert_eq!(world.rate("BTC", "USD"), Ok(("50".to_owned(), 1)));
    let minute = Interval::Minute.start(Time::from_micros(1_767_225_540_000_000));
    let key = (world.client, id, Interval::Minute.number(), minute);
    let candle = world.store.read(|tx| tx.get(&CANDLES, &key)).unwrap().unwrap();
    let shown = [candle.open, candle.high, candle.low, candle.close].map(|it| it.to_string());
    assert_eq!((shown, candle.count), (["100", "130", "50", "50"].map(str::to_owned), 4));
    assert_eq!(world.problems(), Vec::<String>::new());
}

/// Prices are no events, after whose ids a restart goes on: one that took less than a millisecond, or set the clock
/// back, once kept them in the wrong order.
#[test]
fn prices_stay_in_their_order_whatever_the_clock_says_after_a_restart() {
    let world = World::new();
    let id = world.market("BTC", "USD");
    let from_before = PriceId::from_bytes([0x7f; 16]);
    let (client, market) = (world.client, id);
    world.take(vec![new(id, "100")]);
    let moved = world.store.write_blocking(move |tx| {
        let Some(mut latest) = tx.get(&LATEST, &(client, market))? else { return Ok(false) };
        tx.delete(&PRICES, &(client, market, latest.id))?;
        latest.id = from_before;
        tx.insert(&PRICES, &(client, market, from_before), &latest.price)?;
        tx.put(&LATEST, &(client, market), &latest)?;
        Ok(true)
    });
    assert!(moved.unwrap());
    let taken = world.take(vec![new(id, "101"), new(id, "102")]);
    let ids: Vec<PriceId> = taken.into_iter().map(|it| it.unwrap().id).collect();
    assert!(from_before < ids[0] && ids[0] < ids[1], "{ids:?}");
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn old_prices_and_candles_go_as_new_ones_come() {
    let world = World::new();
    let id = world.market("BTC", "USD");
    let count = |world: &World| {
        let rows = |tx: &crate::kernel::store::ReadTx| {
            let prices = tx.scan(&PRICES, Scan::all()).count();
            let of = |it: Interval| tx.scan(&CANDLES, Scan::prefix(&(world.client, id, it.number()))).count();
            Ok((prices, Interval::EACH.map(of)))
        };
        world.store.read(rows).unwrap()
    };
    for _ in 0..10 {
        world.take(vec![new(id, "100")]);
        world.advance(3600);
    }
    assert_eq!(count(&world), (10, [10, 10, 1]));
    world.advance(20 * 3600);
    world.take(vec![new(id, "100"); 1]);
    assert_eq!(count(&world), (7, [11, 11, 2]), "four of an hour each are older than a day");
    world.advance(8 * 24 * 3600);
    for _ in 0..3 {
        world.take(vec![new(id, "100")]);
        world.advance(1);
    }
    assert_eq!(count(&world), (3, [1, 12, 3]), "minutes are kept for a week, days for ever");
    assert_eq!(world.problems(), Vec::<String>::new());
}

#[test]
fn a_snapshot_made_at_start_is_the_one_there_was() {
    let world = World::new();
    world.priced("BTC", "USD", "109500");
    world.priced("ETH", "USD", "4500");
    let clock = world.store.clock().clone();
    let board = Arc::new(world.store.read(|tx| Board::load(tx, clock)).unwrap());
    let (before, world) = (world.rate("BTC", "ETH"), World { board, ..world });
    assert_eq!(world.rate("BTC", "ETH"), before);
}

#[test]
fn the_stored_forms_stay_what_they_are() {
    let at = Time::from_micros(1_795_342_000_000_000);
    let provider = Provider {
        name: "acme".into(),
        url: "https://acme.example/{base}/{quote}".into(),
        price_path: None,
        bid_path: Some("bid".into()),
        ask_path: Some("ask".into()),
        header_name: Some("x-api-key".into()),
        header_secret: Some("acme".into()),
    };
    let pull = Pull { interval_s: 60, median_of: 1, providers: vec![provider] };
    golden("market.markets", &Market { stamp: Stamp::at(at), ..market("BTC", "USD", Feed::Http(pull)) });
    let value = |it: &str| it.parse::<RateValue>().unwrap();
    let price = Price {
        quote: Quote::of(value("109499.5"), value("109500.5")).unwrap(),
        source: "acme".into(),
        observed_at: at,
        received_at: at,
        sequence: 7,
        by: Actor::System,
        forced: Some("checked".into()),
    };
    golden("market.prices", &price);
    golden("market.latest", &Latest { id: PriceId::from_bytes([3; 16]), price });
    golden("market.candles", &Candle::lit(value("109500")));
}
