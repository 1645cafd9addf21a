//! Quotes and swaps: states, rows, and who gives and gets how much. No transaction in here.

use super::contract::{QuoteId, QuoteStatus, SwapId};
use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, stamped},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        machine::{History, Machine},
        money::{Amount, Currency, Exchange, Percent, Rate, RateValue, Rounding},
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::EntryId, market::contract::PriceUsed, pricing::contract::FeeId,
        transaction::contract::TransactionId,
    },
};

text_enum! {
    pub enum QuoteEvent {
        Accept = "accept",
        Expire = "expire",
        Cancel = "cancel",
    }
}

use QuoteEvent as On;
use QuoteStatus as Is;

pub const QUOTE: Machine<QuoteStatus, QuoteEvent> = Machine {
    name: "quote",
    initial: &[Is::Active],
    moves: &[
        (Is::Active, On::Accept, Is::Accepted),
        (Is::Active, On::Expire, Is::Expired),
        (Is::Active, On::Cancel, Is::Canceled),
    ],
};

/// What was agreed on: who gives and gets how much, and why.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Terms {
    /// What is given, the fee included.
    pub from: Amount,
    /// Of `from`. Invariant: below it.
    pub fee: Amount,
    pub fee_rule: Option<FeeId>,
    /// What is received. Invariant: above zero.
    pub to: Amount,
    /// What the market said one unit of `from` is worth: the digits a rate has, rounded down.
    pub mid: RateValue,
    pub spread: Percent,
    /// The same less the spread. Both are shown; what is received follows from `prices`, which are exact.
    pub rate: Rate,
    /// The prices the middle rate was derived from.
    pub prices: Vec<PriceUsed>,
    /// The instant of the oldest of them.
    pub as_of: Time,
}

impl Terms {
    /// The most that what is given, less the fee, is worth at these prices less the spread. `None` when they do not
    /// say.
    pub fn worth(&self) -> Option<Amount> {
        let exchange = PriceUsed::exchange(self.from.currency().code, &self.prices)?.less(self.spread)?;
        self.from.minus(self.fee).ok()?.exchange(&exchange, self.to.currency(), Rounding::Down).ok()
    }
}

/// A promise.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Quote {
    pub user: UserId,
    pub terms: Terms,
    pub expires_at: Time,
    /// Invariant: there exactly when it is accepted.
    pub swap: Option<SwapId>,
    pub history: History<QuoteStatus>,
    pub stamp: Stamp,
}
row!(Quote);
stamped!(Quote);

impl Quote {
    pub fn status(&self) -> QuoteStatus {
        self.history.status()
    }
}

/// A promise that was kept.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Swap {
    pub user: UserId,
    pub quote: QuoteId,
    pub terms: Terms,
    pub entry: EntryId,
    /// Debit, credit, fee; without the last where there is none.
    pub transactions: Vec<TransactionId>,
    pub stamp: Stamp,
}
row!(Swap);
stamped!(Swap);

/// Which of the two amounts was named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// To give exactly this, the fee included.
    Give(Amount),
    /// To receive exactly this.
    Receive(Amount),
}

/// Who gives and gets how much: the fee and the rule that says so with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides {
    pub from: Amount,
    pub fee: Amount,
    pub fee_rule: Option<FeeId>,
    pub to: Amount,
}

/// Rounds of looking for an amount whose fee leaves enough; with any percentage up to 99 some 40 do.
const ROUNDS: usize = 5000;

/// The sides of a swap by `exchange`, from `from` to `to`. `fee_of` says what giving an amount costs. `None` when
/// nothing would be received, or no amount is enough.
pub fn sides(
    wanted: Wanted,
    exchange: &Exchange,
    from: Currency,
    to: Currency,
    mut fee_of: impl FnMut(Amount) -> Result<(Amount, Option<FeeId>)>,
) -> Result<Option<Sides>> {
    match wanted {
        Wanted::Give(from) => {
            let (fee, fee_rule) = fee_of(from)?;
            if fee.minor() >= from.minor() {
                return Ok(None);
            }
            let to = from.minus(fee)?.exchange(exchange, to, Rounding::Down)?;
            Ok(if to.is_zero() { None } else { Some(Sides { from, fee, fee_rule, to }) })
        }
        Wanted::Receive(to) => {
            // The least that yields it.
            let net = to.exchange(&exchange.back(), from, Rounding::Up)?;
            if to.is_zero() || net.is_zero() {
                return Ok(None);
            }
            // The fee is taken of what is given, which includes it: upwards from too little until it is enough.
            let mut given = net;
            for _ in 0..ROUNDS {
                let (fee, fee_rule) = fee_of(given)?;
                let enough = net.plus(fee)?;
                if enough <= given {
                    return Ok(Some(Sides { from: given, fee, fee_rule, to }));
                }
                given = enough;
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::{api::call::Caller, id::Id as _, money::CurrencyCode, store::codec::golden};

    fn currency(code: &str, decimals: u8) -> Currency {
        Currency { code: code.parse().unwrap(), decimals }
    }

    fn amount(minor: i128, currency: Currency) -> Amount {
        Amount::new(minor, currency).unwrap()
    }

    fn percent(text: &str) -> Percent {
        text.parse().unwrap()
    }

    fn usd() -> Currency {
        currency("USD", 2)
    }

    fn btc() -> Currency {
        currency("BTC", 8)
    }

    fn rate(text: &str, base: CurrencyCode, quote: CurrencyCode) -> Rate {
        Rate::new(text.parse().unwrap(), base, quote)
    }

    fn exchange(from: Currency, rate: Rate) -> Exchange {
        Exchange::through(from.code, &[rate]).unwrap()
    }

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let value: RateValue = "109500".parse().unwrap();
        let price = PriceUsed {
            price_id: crate::modules::market::contract::PriceId::from_bytes([7; 16]),
            base: btc().code,
            quote: usd().code,
            bid: value,
            ask: value,
            mid: value,
            source: "acme".into(),
            as_of: at,
        };
        let terms = Terms {
            from: amount(100_000_000, btc()),
            fee: amount(100_000, btc()),
            fee_rule: Some(FeeId::from_bytes([6; 16])),
            to: amount(10_830_000, usd()),
            mid: value,
            spread: percent("1"),
            rate: rate("108405", btc().code, usd().code),
            prices: vec![price],
            as_of: at,
        };
        let user = UserId::from_bytes([1; 16]);
        golden(
            "swap.quotes",
            &Quote {
                user,
                terms: terms.clone(),
                expires_at: at,
                swap: Some(SwapId::from_bytes([2; 16])),
                history: History::begin(Is::Active, &Caller::system(None), at),
                stamp: Stamp::at(at),
            },
        );
        golden(
            "swap.swaps",
            &Swap {
                user,
                quote: QuoteId::from_bytes([3; 16]),
                terms,
                entry: EntryId::from_bytes([4; 16]),
                transactions: vec![TransactionId::from_bytes([5; 16])],
                stamp: Stamp::at(at),
            },
        );
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(QUOTE.flaws(), Vec::<String>::new());
    }

    #[test]
    fn either_amount_may_be_named() {
        let price = rate("109500", btc().code, usd().code);
        let (sell, buy) = (exchange(btc(), price), exchange(usd(), price));
        let fee =
            |percent_text: &'static str| move |it: Amount| Ok((it.percent_up(percent(percent_text))?, None));
        let shown = |sides: Option<Sides>| sides.map(|it| format!("{} − {} → {}", it.from, it.fee, it.to));
        for (wanted, by, percent, result) in [
            (
                Wanted::Give(amount(50_000_000, btc())),
                sell,
                "0",
                Some("0.50000000 BTC − 0.00000000 BTC → 54750.00 USD"),
            ),
            (
                Wanted::Give(amount(50_000_000, btc())),
                sell,
                "1",
                Some("0.50000000 BTC − 0.00500000 BTC → 54202.50 USD"),
            ),
            (
                Wanted::Receive(amount(5_475_000, usd())),
                sell,
                "0",
                Some("0.50000000 BTC − 0.00000000 BTC → 54750.00 USD"),
            ),
            (
                Wanted::Receive(amount(5_420_250, usd())),
                sell,
                "1",
                Some("0.50000000 BTC − 0.00500000 BTC → 54202.50 USD"),
            ),
            (
                Wanted::Receive(amount(1, usd())),
                sell,
                "99",
                Some("0.00001000 BTC − 0.00000990 BTC → 0.01 USD"),
            ),
            (Wanted::Give(amount(100_000, usd())), buy, "0", Some("1000.00 USD − 0.00 USD → 0.00913242 BTC")),
            (
                Wanted::Receive(amount(913_243, btc())),
                buy,
                "0",
                Some("1000.01 USD − 0.00 USD → 0.00913243 BTC"),
            ),
            (Wanted::Give(amount(109_500, usd())), buy, "0", Some("1095.00 USD − 0.00 USD → 0.01000000 BTC")),
            (
                Wanted::Receive(amount(1_000_000, btc())),
                buy,
                "0",
                Some("1095.00 USD − 0.00 USD → 0.01000000 BTC"),
            ),
            (Wanted::Give(amount(9, btc())), sell, "0", None),
            (Wanted::Give(amount(1, btc())), sell, "100", None),
            (Wanted::Receive(amount(1, usd())), sell, "100", None),
        ] {
            let (from, to) = if by == sell { (btc(), usd()) } else { (usd(), btc()) };
            let found = sides(wanted, &by, from, to, fee(percent)).unwrap();
            assert_eq!(shown(found).as_deref(), result, "{wanted:?} with {percent} %");
        }
    }

    proptest! {
        #[test]
        fn what_was_named_is_what_happens_and_the_house_never_pays(
            minor in 1..10i128.pow(18), mantissa in 1i64..10i64.pow(12), scale in 0u32..=12,
            fee_mantissa in 0i64..=5000, spread_mantissa in 0i64..=1000, receive in any::<bool>(),
            turned in any::<bool>(),
        ) {
            let value: RateValue = rust_decimal::Decimal::new(mantissa, scale).to_string().parse().unwrap();
            let hundredths = |it: i64| -> Percent { rust_decimal::Decimal::new(it, 2).to_string().parse().unwrap() };
            let (a, b) = (currency("AAA", 8), currency("BBB", 2));
            let (one, two) = if turned { (b, a) } else { (a, b) };
            let middle = exchange(a, Rate::new(value, one.code, two.code));
            let offered = middle.less(hundredths(spread_mantissa)).unwrap();
            let wanted = if receive { Wanted::Receive(amount(minor, b)) } else { Wanted::Give(amount(minor, a)) };
            let fee_of = |it: Amount| Ok((it.percent_up(hundredths(fee_mantissa))?, None));
            let Ok(Some(there)) = sides(wanted, &offered, a, b, fee_of) else { return Ok(()) };
            match wanted {
                Wanted::Give(given) => prop_assert_eq!(there.from, given),
                Wanted::Receive(received) => prop_assert_eq!(there.to, received),
            }
            prop_assert!(there.fee.minor() < there.from.minor() && there.to.minor() > 0);
            // What was received is worth no more than what was given for it.
            let net = there.from.minus(there.fee).unwrap();
            prop_assert!(there.to.exchange(&middle.back(), a, Rounding::Down).unwrap() <= net);

            // And back, at the same middle: nobody has more than before.
            let back_by = middle.back().less(hundredths(spread_mantissa)).unwrap();
            let no_fee = |it: Amount| Ok((Amount::zero(it.currency()), None));
            if let Ok(Some(back)) = sides(Wanted::Give(there.to), &back_by, b, a, no_fee) {
                prop_assert!(back.to <= there.from, "{} became {}", there.from, back.to);
            }
        }
    }
}
