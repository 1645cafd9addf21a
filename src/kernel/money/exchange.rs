//! Turning an amount of one currency into an amount of another: exact up to one rounding, which the caller names.
//!
//! What a customer receives rounds down, what a customer pays rounds up. Rates are used as they were priced: from base
//! to quote they multiply, from quote to base they divide, and a way through two rates, less a spread, is still one
//! fraction. So there is nothing to be rounded before the amount itself: going there and back never earns, and one
//! unit of the quote currency is never lost to a rate that was turned round first.

use ethnum::U256;

use super::{Amount, Currency, CurrencyCode, MAX_MINOR, Percent, Rate, Rounding, too_large};
use crate::kernel::error::{Result, fault};

/// How much of one currency another becomes, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    from: CurrencyCode,
    to: CurrencyCode,
    // Invariant: one unit of `from` is times / over × 10^exponent of `to`; both are above zero and below 10^45, which
    // two rates and a percentage stay below.
    times: U256,
    over: U256,
    exponent: i32,
}

/// A way through more rates might not fit.
const MOST_RATES: usize = 2;

impl Exchange {
    /// A currency becomes itself.
    pub fn same(code: CurrencyCode) -> Exchange {
        Exchange { from: code, to: code, times: U256::ONE, over: U256::ONE, exponent: 0 }
    }

    /// From one currency through at most two rates, in this order, each of them either way round. `None` when one does
    /// not go on where the last one ended.
    pub fn through(from: CurrencyCode, rates: &[Rate]) -> Option<Exchange> {
        if rates.len() > MOST_RATES {
            return None;
        }
        rates.iter().try_fold(Exchange::same(from), |so_far, rate| so_far.and(*rate))
    }

    fn and(mut self, rate: Rate) -> Option<Exchange> {
        let (mantissa, scale) = rate.value.parts();
        if self.to == rate.base {
            self.times *= mantissa;
            (self.exponent, self.to) = (self.exponent - scale, rate.quote);
        } else if self.to == rate.quote {
            self.over *= mantissa;
            (self.exponent, self.to) = (self.exponent + scale, rate.base);
        } else {
            return None;
        }
        Some(self)
    }

    /// Less `percent` of it. `None` when nothing is left.
    pub fn less(mut self, percent: Percent) -> Option<Exchange> {
        let (part, whole) = percent.fraction();
        if part >= whole {
            return None;
        }
        self.times *= U256::new((whole - part) as u128);
        self.exponent -= whole.ilog10() as i32; // A power of ten.
        Some(self)
    }

    /// The other way.
    pub fn back(self) -> Exchange {
        Exchange {
            from: self.to,
            to: self.from,
            times: self.over,
            over: self.times,
            exponent: -self.exponent,
        }
    }

    /// To be shown and compared: as many digits as a rate has. `None` when that is not enough for it.
    pub fn rate(&self, rounding: Rounding) -> Option<Rate> {
        let value = super::RateValue::nearest(|decimals| {
            scaled(self.times, self.over, self.exponent + decimals, rounding)
        })?;
        Some(Rate::new(value, self.from, self.to))
    }
}

impl Amount {
    /// What the amount is worth in `to`. Refuses `amount_too_large`; may be zero when rounded down. Other currencies
    /// than those of `by` are a fault.
    pub fn exchange(self, by: &Exchange, to: Currency, rounding: Rounding) -> Result<Amount> {
        let from = self.currency();
        if (from.code, to.code) != (by.from, by.to) {
            return Err(fault!("{} does not become {} by {} to {}", from.code, to.code, by.from, by.to));
        }
        let minor = U256::new(self.minor() as u128); // Below 10^31: times it is below 10^76.
        let exponent = by.exponent + i32::from(to.decimals) - i32::from(from.decimals);
        match scaled(minor * by.times, by.over, exponent, rounding) {
            Some(minor) if minor <= U256::new(MAX_MINOR as u128) => Amount::new(minor.as_i128(), to),
            _ => Err(too_large("amount", to)),
        }
    }
}

/// times / over × 10^exponent as a whole number, with `times` below 10^76 and `over` below 10^45. `None` when it is
/// above 10^32.
fn scaled(times: U256, over: U256, exponent: i32, rounding: Rounding) -> Option<U256> {
    let power = U256::new(10).checked_pow(exponent.unsigned_abs());
    if exponent >= 0 {
        let times = if times == U256::ZERO { Some(times) } else { times.checked_mul(power?) };
        return times.map(|it| rounding.divide(it, over));
    }
    match power.and_then(|it| over.checked_mul(it)) {
        Some(over) => Some(rounding.divide(times, over)),
        // Divided by more than 10^77: less than a tenth.
        None => Some(if rounding == Rounding::Up && times > U256::ZERO { U256::ONE } else { U256::ZERO }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::RateValue, *};

    fn currency(code: &str, decimals: u8) -> Currency {
        Currency { code: code.parse().unwrap(), decimals }
    }

    fn rate(text: &str, base: &str, quote: &str) -> Rate {
        Rate::new(text.parse().unwrap(), base.parse().unwrap(), quote.parse().unwrap())
    }

    fn by(from: Currency, rates: &[Rate]) -> Exchange {
        Exchange::through(from.code, rates).unwrap()
    }

    fn percent(hundredths: i64) -> Percent {
        rust_decimal::Decimal::new(hundredths, 2).to_string().parse().unwrap()
    }

    #[test]
    fn a_market_turned_round_loses_no_unit() {
        let (usd, btc) = (currency("USD", 2), currency("BTC", 8));
        let price = rate("109500", "BTC", "USD");
        let turned = by(usd, &[price]);
        for (dollars, rounding, bitcoin) in [
            (109_500, Rounding::Down, "0.01000000 BTC"),
            (109_500, Rounding::Up, "0.01000000 BTC"),
            (100_000, Rounding::Down, "0.00913242 BTC"),
            (100_000, Rounding::Up, "0.00913243 BTC"),
        ] {
            let amount = Amount::new(dollars, usd).unwrap();
            assert_eq!(amount.exchange(&turned, btc, rounding).unwrap().to_string(), bitcoin, "{amount}");
        }
        assert_eq!(turned.rate(Rounding::Down).unwrap().value.to_string(), "0.00000913242009132420091");
        assert_eq!(turned.back(), by(btc, &[price]));
        // 2 % less than 109,500 dollars' worth, whichever way the market is written.
        let less = turned.less(percent(200)).unwrap();
        let amount = Amount::new(109_500, usd).unwrap();
        assert_eq!(amount.exchange(&less, btc, Rounding::Down).unwrap().to_string(), "0.00980000 BTC");
        assert_eq!(turned.less(percent(10_000)), None, "nothing is left");
    }

    #[test]
    fn a_cross_rate_is_one_fraction() {
        let (btc, eth, jpy) = (currency("BTC", 8), currency("ETH", 18), currency("JPY", 0));
        let (bitcoin, ether) = (rate("109500", "BTC", "USD"), rate("4500", "ETH", "USD"));
        let yen = rate("150", "USD", "JPY");
        // 109,500 / 4,500 = 24.333…: three of them are 73, to the last unit.
        let three = Amount::new(300_000_000, btc).unwrap();
        let cross = by(btc, &[bitcoin, ether]);
        assert_eq!(
            three.exchange(&cross, eth, Rounding::Down).unwrap().to_string(),
            "73.000000000000000000 ETH"
        );
        assert_eq!(cross.rate(Rounding::Down).unwrap().to_string(), "24.3333333333333333 BTC/ETH");
        let back = by(jpy, &[yen, ether]); // 1 / (150 × 4,500): both turned round.
        let yens = Amount::new(675_000, jpy).unwrap();
        assert_eq!(
            yens.exchange(&back, eth, Rounding::Down).unwrap().to_string(),
            "1.000000000000000000 ETH"
        );
        for broken in [vec![bitcoin, yen, ether], vec![ether], vec![bitcoin, rate("2", "GBP", "EUR")]] {
            assert_eq!(Exchange::through(btc.code, &broken), None, "{broken:?}");
        }
        let same = Exchange::same(btc.code);
        assert_eq!(three.exchange(&same, btc, Rounding::Up).unwrap(), three);
    }

    #[test]
    fn the_three_roundings_differ_where_they_should() {
        let (a, b) = (currency("AAA", 0), currency("BBB", 0));
        let half = by(a, &[rate("0.5", "AAA", "BBB")]);
        for (amount, down, up, even) in [(1, 0, 1, 0), (2, 1, 1, 1), (3, 1, 2, 2), (5, 2, 3, 2), (7, 3, 4, 4)]
        {
            let amount = Amount::new(amount, a).unwrap();
            let to = |rounding| amount.exchange(&half, b, rounding).unwrap().minor();
            assert_eq!((to(Rounding::Down), to(Rounding::Up), to(Rounding::HalfEven)), (down, up, even));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_panics() {
        let (eth, usd) = (currency("ETH", 18), currency("USD", 2));
        let all = Amount::new(MAX_MINOR, usd).unwrap();
        let small = rate("0.0000000000000000000000000001", "ETH", "USD");
        let large = rate("999999999999999999", "USD", "ETH");
        let too_large = |it: Result<Amount>| assert_eq!(it.unwrap_err().code(), Some("amount_too_large"));
        for chain in [vec![small], vec![large]] {
            too_large(all.exchange(&by(usd, &chain), eth, Rounding::Up));
        }
        let wrong = all.exchange(&by(usd, &[large]), usd, Rounding::Up).unwrap_err();
        assert_eq!(wrong.code(), None, "the wrong pair is a fault");

        // The largest and the smallest fractions there are.
        let (far, near) = (rate("0.0000000000000000000000000001", "GBP", "EUR"), small);
        let tiny = by(currency("ETH", 18), &[near, rate("0.0000000000000000000000000001", "USD", "GBP")]);
        let pound = currency("GBP", 0);
        let wei = Amount::new(1, eth).unwrap();
        let tiny = tiny.less(percent(9_999)).unwrap();
        assert_eq!(wei.exchange(&tiny, pound, Rounding::Up).unwrap().minor(), 1);
        assert_eq!(wei.exchange(&tiny, pound, Rounding::Down).unwrap().minor(), 0);
        assert_eq!(wei.exchange(&tiny, pound, Rounding::HalfEven).unwrap().minor(), 0);
        assert_eq!((tiny.rate(Rounding::Down), tiny.back().rate(Rounding::Up)), (None, None));
        too_large(Amount::new(1, pound).unwrap().exchange(&tiny.back(), eth, Rounding::Down));
        let zero = Amount::zero(pound);
        assert!(zero.exchange(&tiny.back(), eth, Rounding::Up).unwrap().is_zero());
        assert_eq!(by(currency("EUR", 0), &[far]).rate(Rounding::Up), None, "19 digits before the point");
    }

    prop_compose! {
        fn values()(mantissa in 1i64..10i64.pow(18), scale in 0u32..=28) -> RateValue {
            rust_decimal::Decimal::new(mantissa, scale).to_string().parse().unwrap()
        }
    }

    prop_compose! {
        /// One or two rates from AAA to BBB, each either way round.
        fn chains()(x in values(), y in values(), turned in any::<(bool, bool)>(), two in any::<bool>()) -> Vec<Rate> {
            let code = |it: &str| -> CurrencyCode { it.parse().unwrap() };
            let way = |value, a, b, turned: bool| {
                if turned { Rate::new(value, code(b), code(a)) } else { Rate::new(value, code(a), code(b)) }
            };
            if two {
                vec![way(x, "AAA", "CCC", turned.0), way(y, "CCC", "BBB", turned.1)]
            } else {
                vec![way(x, "AAA", "BBB", turned.0)]
            }
        }
    }

    proptest! {
        #[test]
        fn there_and_back_never_earns(
            minor in 0..10i128.pow(24), chain in chains(), spread in 0i64..10_000, da in 0u8..=18, db in 0u8..=18,
        ) {
            let (a, b) = (currency("AAA", da), currency("BBB", db));
            let exact = by(a, &chain);
            let mut turned = chain.clone();
            turned.reverse();
            prop_assert_eq!(by(b, &turned), exact.back(), "the same way back");
            let (there_by, back_by) = (exact.less(percent(spread)).unwrap(), exact.back().less(percent(spread)).unwrap());
            let amount = Amount::new(minor, a).unwrap();
            let Ok(there) = amount.exchange(&there_by, b, Rounding::Down) else { return Ok(()) }; // too large
            let back = there.exchange(&back_by, a, Rounding::Down);
            prop_assert!(back.is_ok_and(|it| it <= amount));
        }

        #[test]
        fn what_is_asked_for_costs_the_least_that_yields_it(
            minor in 1..10i128.pow(24), chain in chains(), spread in 0i64..10_000, da in 0u8..=18, db in 0u8..=18,
        ) {
            let (a, b) = (currency("AAA", da), currency("BBB", db));
            let exact = by(a, &chain).less(percent(spread)).unwrap();
            let wanted = Amount::new(minor, b).unwrap();
            let Ok(paid) = wanted.exchange(&exact.back(), a, Rounding::Up) else { return Ok(()) };
            let yields = |it: Amount| it.exchange(&exact, b, Rounding::Down);
            prop_assert!(yields(paid).map_or(true, |it| it >= wanted), "{} is too little", paid);
            let less = Amount::new(paid.minor() - 1, a).unwrap();
            prop_assert!(yields(less).is_ok_and(|it| it < wanted), "{} would do", less);
        }

        #[test]
        fn a_rate_that_is_shown_is_the_fraction_rounded(chain in chains(), spread in 0i64..10_000) {
            let exact = by(currency("AAA", 0), &chain).less(percent(spread)).unwrap();
            let (Some(down), Some(up)) = (exact.rate(Rounding::Down), exact.rate(Rounding::Up)) else { return Ok(()) };
            prop_assert!(down.value <= up.value);
            // One unit of 18 decimals by the rate, and by the fraction: as near as the digits of a rate.
            let (a, b) = (currency("AAA", 0), currency("BBB", 18));
            let one = Amount::new(1, a).unwrap();
            let worth = |it: &Exchange| one.exchange(it, b, Rounding::Down);
            let (Ok(below), Ok(exactly)) = (worth(&by(a, &[down])), worth(&exact)) else { return Ok(()) };
            prop_assert!(below <= exactly);
        }
    }
}
