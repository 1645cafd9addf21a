//! A deposit paid in another currency than it is credited in: what was promised, by which prices, and what came of it.
//! No transaction in here.

use std::time::Duration;

use crate::{
    kernel::{
        clock::Time,
        error::{Result, fault},
        money::{Amount, Currency, Rate, Rounding},
        store::codec::{Decode, Encode},
    },
    modules::{
        balance::contract::EntryId,
        market::contract::{PriceUsed, RateFound},
        payment::contract::GatewayId,
    },
};

/// How long after a price was missing it is looked for again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What has to come in the currency that is paid, and until when that is enough.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Quote {
    /// What is to be paid, at these prices, rounded up.
    pub expected: Amount,
    pub priced: Priced,
    pub expires_at: Time,
    /// Invariant: there once its payment settled.
    pub came: Option<Came>,
}

/// What one unit of the currency that is paid is worth in the one that is credited.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Priced {
    /// To be shown; amounts follow from `prices`, which are exact.
    pub rate: Rate,
    pub prices: Vec<PriceUsed>,
    /// The instant of the oldest of them.
    pub as_of: Time,
}

/// Money in the currency that was paid.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Came {
    pub received: Amount,
    pub gateway: GatewayId,
    pub at: Time,
    /// By which prices it was credited, when it was not what had been promised, or came late.
    pub priced: Option<Priced>,
    /// There is no price for it yet: the entry that put it into suspense until there is.
    pub waits: Option<EntryId>,
}

impl Quote {
    /// For `to_pay`, at the prices `found` for one unit of `pay`.
    pub fn new(to_pay: Amount, pay: Currency, found: RateFound, expires_at: Time) -> Result<Quote> {
        let expected = to_pay.exchange(&found.exchange.back(), pay, Rounding::Up)?;
        Ok(Quote { expected, priced: found.into(), expires_at, came: None })
    }

    /// Whether what comes now is what was promised for: exactly that, and in time.
    pub fn is_kept_by(&self, received: Amount, now: Time) -> bool {
        received == self.expected && now < self.expires_at
    }

    /// What came; before, what has to come.
    pub fn paid(&self) -> Amount {
        self.came.as_ref().map_or(self.expected, |it| it.received)
    }

    /// Whether what came waits for a price.
    pub fn waits(&self) -> bool {
        self.came.as_ref().is_some_and(|it| it.waits.is_some())
    }
}

impl Priced {
    /// What `received` is worth in `to`: rounded down, as everything a customer receives.
    pub fn worth(&self, received: Amount, to: Currency) -> Result<Amount> {
        let from = received.currency();
        let exchange = PriceUsed::exchange(from.code, &self.prices);
        let exchange = exchange.ok_or_else(|| fault!("{} is nothing by {}", from.code, self.rate))?;
        received.exchange(&exchange, to, Rounding::Down)
    }
}

impl From<RateFound> for Priced {
    fn from(found: RateFound) -> Priced {
        Priced { rate: found.rate, prices: found.prices, as_of: found.as_of }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{
        kernel::{id::Id as _, money::Exchange},
        modules::market::contract::PriceId,
    };

    pub fn amount(minor: i128, code: &str, decimals: u8) -> Amount {
        Amount::new(minor, Currency { code: code.parse().unwrap(), decimals }).unwrap()
    }

    pub fn bitcoin(at: Time) -> RateFound {
        let (btc, usd) = (amount(0, "BTC", 8).currency().code, amount(0, "USD", 2).currency().code);
        let value = "109500".parse().unwrap();
        let price = PriceUsed {
            price_id: PriceId::from_bytes([7; 16]),
            base: btc,
            quote: usd,
            bid: value,
            ask: value,
            mid: value,
            source: "acme".into(),
            as_of: at,
        };
        let rate = Rate::new(value, btc, usd);
        let exchange = Exchange::through(btc, &[rate]).unwrap();
        RateFound { exchange, rate, prices: vec![price], by: vec![], as_of: at, age: Duration::ZERO }
    }

    const LASTS: Duration = Duration::from_secs(3600);

    /// A thousand dollars, to be paid in bitcoin.
    pub fn promised(at: Time) -> Quote {
        let btc = amount(0, "BTC", 8).currency();
        Quote::new(amount(100_000, "USD", 2), btc, bitcoin(at), at.after(LASTS)).unwrap()
    }

    #[test]
    fn what_was_promised_is_worth_what_was_asked_for_and_more_or_less_is_worth_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let quote = promised(at);
        assert_eq!(quote.expected.to_string(), "0.00913243 BTC", "what a customer pays rounds up");
        let late = at.after(LASTS);
        for (received, now, is_kept) in [
            (913_243, at, true),
            (913_243, late.before(Duration::from_micros(1)), true),
            (913_243, late, false),
            (913_242, at, false),
            (913_244, at, false),
        ] {
            assert_eq!(quote.is_kept_by(amount(received, "BTC", 8), now), is_kept, "{received} at {now}");
        }
        let usd = amount(0, "USD", 2).currency();
        for (received, worth) in [
            (913_243, "1000.00 USD"),
            (913_242, "999.99 USD"),
            (1, "0.00 USD"),
            (100_000_000, "109500.00 USD"),
        ] {
            let found = quote.priced.worth(amount(received, "BTC", 8), usd).unwrap();
            assert_eq!(found.to_string(), worth, "{received}");
        }
    }
}
