//! Prices: which are taken, and which are refused.

use std::time::Duration;

use crate::{
    kernel::{
        api::principal::Actor,
        clock::Time,
        money::{AmountText, Percent, RateValue},
        store::codec::{Decode, Encode, row},
    },
    modules::market::contract::{MarketRefusal, PriceId},
};

/// What is paid for one unit of base, and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Quote {
    // Invariant: bid <= mid <= ask.
    pub bid: RateValue,
    pub ask: RateValue,
    pub mid: RateValue,
}

impl Quote {
    /// One price for both.
    pub fn single(price: RateValue) -> Quote {
        Quote { bid: price, ask: price, mid: price }
    }

    /// Refuses `price_inverted`.
    pub fn of(bid: RateValue, ask: RateValue) -> Result<Quote, MarketRefusal> {
        match bid.middle(ask) {
            Some(mid) if bid <= ask => Ok(Quote { bid, ask, mid }),
            _ => Err(MarketRefusal::PriceInverted { bid: bid.to_string(), ask: ask.to_string() }),
        }
    }

    /// Of what was sent. Refuses `price_not_positive`, `price_too_precise`, `price_inverted`.
    pub fn read(sent: &Sent) -> Result<Quote, MarketRefusal> {
        let value = |text: &AmountText| {
            let price = || text.as_str().to_owned();
            let is_zero = || text.as_str().bytes().all(|it| matches!(it, b'0' | b'.'));
            RateValue::of(text).ok_or_else(|| match is_zero() {
                true => MarketRefusal::PriceNotPositive { price: price() },
                false => MarketRefusal::PriceTooPrecise { price: price() },
            })
        };
        match sent {
            Sent::Price(price) => value(price).map(Quote::single),
            Sent::BidAsk(bid, ask) => Quote::of(value(bid)?, value(ask)?),
        }
    }
}

/// A price as somebody sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    Price(AmountText),
    BidAsk(AmountText, AmountText),
}

/// A price of a market.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Price {
    pub quote: Quote,
    /// Who said so.
    pub source: String,
    pub observed_at: Time,
    pub received_at: Time,
    /// The market's prices are counted from 1.
    pub sequence: u64,
    pub by: Actor,
    /// Why it was taken although it was far from the one before.
    pub forced: Option<String>,
}
row!(Price);

/// The market's last price.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Latest {
    pub id: PriceId,
    pub price: Price,
}
row!(Latest);

/// Clocks of feeds may be ahead by this much.
const AHEAD: Duration = Duration::from_secs(5);

/// A price on its way in.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    pub quote: Quote,
    pub observed_at: Time,
    pub is_forced: bool,
}

/// Refuses, in this order: `price_in_future`, `price_older`, `price_deviates`.
pub fn check(
    last: Option<&Price>,
    offer: Offer,
    max_deviation: Option<Percent>,
    now: Time,
) -> Result<(), MarketRefusal> {
    let observed_at = offer.observed_at;
    if observed_at > now.after(AHEAD) {
        return Err(MarketRefusal::PriceInFuture { observed_at });
    }
    let Some(last) = last else { return Ok(()) };
    if observed_at < last.observed_at {
        return Err(MarketRefusal::PriceOlder { observed_at, last_observed_at: last.observed_at });
    }
    match max_deviation {
        Some(percent) if !offer.is_forced && offer.quote.mid.deviates(last.quote.mid, percent) => {
            let (price, last) = (offer.quote.mid, last.quote.mid);
            Err(MarketRefusal::PriceDeviates { price, last, max_deviation_percent: percent })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::error::Refusal as _;

    fn price(mid: &str, second: i64) -> Price {
        Price {
            quote: Quote::single(mid.parse().unwrap()),
            source: "test".into(),
            observed_at: Time::from_micros(second * 1_000_000),
            received_at: Time::from_micros(second * 1_000_000),
            sequence: 1,
            by: Actor::System,
            forced: None,
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        let text = |it: &str| it.parse::<AmountText>().unwrap();
        let code = |sent: Sent| Quote::read(&sent).map(|it| it.mid.to_string()).map_err(|it| it.code());
        assert_eq!(code(Sent::Price(text("0"))), Err("price_not_positive"));
        assert_eq!(code(Sent::Price(text("0.0"))), Err("price_not_positive"));
        assert_eq!(code(Sent::Price(text("1234567890123456789"))), Err("price_too_precise"));
        // Above zero, and once said not to be.
        assert_eq!(code(Sent::Price(text("0.0610000000000000000000001"))), Err("price_too_precise"));
        assert_eq!(code(Sent::Price(text("0.00000000000000000000000000001"))), Err("price_too_precise"));
        assert_eq!(code(Sent::BidAsk(text("2"), text("1"))), Err("price_inverted"));
        assert_eq!(code(Sent::BidAsk(text("0"), text("1"))), Err("price_not_positive"));
        assert_eq!(code(Sent::BidAsk(text("1"), text("2"))), Ok("1.5".into()));
        assert_eq!(code(Sent::Price(text("109500"))), Ok("109500".into()));
    }

    #[test]
    fn the_guards_stand_in_one_order() {
        let now = Time::from_micros(1_000_000_000);
        let last = price("100", 900);
        for (mid, second, forced, wanted) in [
            ("100", 1000, false, Ok(())),
            ("100", 900, false, Ok(())),
            ("110", 1005, false, Ok(())),
            ("110", 1006, false, Err("price_in_future")),
            ("110", 1006, true, Err("price_in_future")),
            ("110", 899, true, Err("price_older")),
            ("500", 899, false, Err("price_older")),
            ("110.01", 1000, false, Err("price_deviates")),
            ("89.99", 1000, false, Err("price_deviates")),
            ("500", 1000, true, Ok(())),
        ] {
            let observed_at = Time::from_micros(second * 1_000_000);
            let quote = Quote::single(mid.parse().unwrap());
            let offer = Offer { quote, observed_at, is_forced: forced };
            let ten = "10".parse().ok();
            let found = check(Some(&last), offer, ten, now).map_err(|it| it.code());
            assert_eq!(found, wanted, "{mid} at {second}, forced: {forced}");
            assert_eq!(check(None, Offer { is_forced: false, ..offer }, ten, now).is_ok(), second <= 1005);
            assert_eq!(
                check(Some(&last), Offer { is_forced: false, ..offer }, None, now).is_ok(),
                (900..=1005).contains(&second),
                "without a guard"
            );
        }
    }
}
