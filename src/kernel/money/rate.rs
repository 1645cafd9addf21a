//! What one currency is worth in another, and turning an amount of one into an amount of the other.
//!
//! Exact up to one rounding, which the caller names: what a customer receives rounds down, what a customer pays rounds
//! up. One rate serves both directions (base to quote multiplies, quote to base divides), so that going there and back
//! by the same rate never earns anything. A rate that was itself rounded down favours the house where the customer
//! gives base and receives quote, rounded down, and where it says what to receive and pays base, rounded up.

use std::{cmp::Ordering, fmt, str::FromStr};

use ethnum::U256;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{Amount, AmountText, Currency, CurrencyCode, MAX_MINOR, Percent, too_large};
use crate::kernel::{
    api::input::{Field, Flaws, parse_text},
    error::{Result, fault},
    store::codec::{Decode, Encode},
};

/// What becomes of a fraction of the smallest unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// What a customer receives.
    Down,
    /// What a customer pays.
    Up,
    /// What accrues, and what is only shown.
    HalfEven,
}

impl Rounding {
    pub(super) fn divide(self, numerator: U256, denominator: U256) -> U256 {
        let (whole, rest) = (numerator / denominator, numerator % denominator);
        let up = match self {
            Rounding::Down => false,
            Rounding::Up => rest != U256::ZERO,
            // rest < denominator, so this is rest compared with half the denominator, and cannot overflow.
            Rounding::HalfEven => match rest.cmp(&(denominator - rest)) {
                Ordering::Less => false,
                Ordering::Equal => whole % 2 == 1,
                Ordering::Greater => true,
            },
        };
        if up { whole + 1 } else { whole }
    }
}

/// How much of a quote currency one unit of a base currency is worth: above zero, at most 18 significant digits and 28
/// decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct RateValue {
    // Invariant: 0 < mantissa < 10^18, and scale <= 28 is the smallest that will do: equal values have equal fields.
    mantissa: i128,
    scale: u8,
}

const SIGNIFICANT_DIGITS: u32 = 18;
const MOST_DECIMALS: u32 = 28;

impl RateValue {
    pub const ONE: RateValue = RateValue { mantissa: 1, scale: 0 };

    /// `None` when it is zero or has too many digits; nothing is rounded on the way in.
    pub fn of(text: &AmountText) -> Option<RateValue> {
        text.as_str().parse().ok()
    }

    /// The middle of the two.
    pub fn middle(self, other: RateValue) -> Option<RateValue> {
        let (one, ten) = (U256::new(self.mantissa as u128), U256::new(10));
        let scale = self.scale.max(other.scale);
        // Below 10^18 × 10^28 each.
        let a = one * ten.pow(u32::from(scale - self.scale));
        let b = U256::new(other.mantissa as u128) * ten.pow(u32::from(scale - other.scale));
        RateValue::from_ratio(a + b, U256::new(2) * ten.pow(u32::from(scale)), Rounding::HalfEven)
    }

    /// 1 / self.
    pub fn inverse(self, rounding: Rounding) -> Option<RateValue> {
        RateValue::ONE.over(self, rounding)
    }

    /// self × other.
    pub fn times(self, other: RateValue, rounding: Rounding) -> Option<RateValue> {
        let product = U256::new(self.mantissa as u128) * U256::new(other.mantissa as u128); // < 10^36
        let scale = u32::from(self.scale) + u32::from(other.scale); // <= 56
        RateValue::from_ratio(product, U256::new(10).pow(scale), rounding)
    }

    /// self / other.
    pub fn over(self, other: RateValue, rounding: Rounding) -> Option<RateValue> {
        let ten = U256::new(10);
        let numerator = U256::new(self.mantissa as u128) * ten.pow(u32::from(other.scale)); // < 10^46
        let denominator = U256::new(other.mantissa as u128) * ten.pow(u32::from(self.scale)); // < 10^46
        RateValue::from_ratio(numerator, denominator, rounding)
    }

    /// self less `percent` of it. `None` when nothing is left.
    pub fn less(self, percent: Percent, rounding: Rounding) -> Option<RateValue> {
        let hundred = 100 * 10i128.pow(u32::from(percent.scale)); // <= 10^8
        let product = U256::new(self.mantissa as u128) * U256::new((hundred - percent.mantissa) as u128);
        let denominator = U256::new(10).pow(u32::from(self.scale)) * U256::new(hundred as u128);
        RateValue::from_ratio(product, denominator, rounding)
    }

    /// Whether self lies further than `percent` of `other` away from it.
    pub fn deviates(self, other: RateValue, percent: Percent) -> bool {
        let ten = U256::new(10);
        let scale = self.scale.max(other.scale);
        let a = U256::new(self.mantissa as u128) * ten.pow(u32::from(scale - self.scale)); // < 10^46
        let b = U256::new(other.mantissa as u128) * ten.pow(u32::from(scale - other.scale));
        let away = if a > b { a - b } else { b - a };
        let hundred = U256::new(100) * ten.pow(u32::from(percent.scale));
        away * hundred > b * U256::new(percent.mantissa as u128)
    }

    /// `numerator` / `denominator` with as many digits as fit. The numerator is below 10^48, so that it can be
    /// multiplied by 10^28.
    fn from_ratio(numerator: U256, denominator: U256, rounding: Rounding) -> Option<RateValue> {
        let (ten, end) = (U256::new(10), U256::new(10u128.pow(SIGNIFICANT_DIGITS)));
        let fitting = (0..=MOST_DECIMALS).rev().find_map(|scale| {
            let mantissa = rounding.divide(numerator * ten.pow(scale), denominator);
            (mantissa < end).then_some((mantissa.as_i128(), scale))
        });
        let (mantissa, scale) = fitting?;
        RateValue::canonical(mantissa, scale)
    }

    fn canonical(mut mantissa: i128, mut scale: u32) -> Option<RateValue> {
        if mantissa <= 0 || mantissa >= 10i128.pow(SIGNIFICANT_DIGITS) || scale > MOST_DECIMALS {
            return None;
        }
        while scale > 0 && mantissa % 10 == 0 {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        Some(RateValue { mantissa, scale: scale as u8 })
    }

    /// With exactly so many decimals, rounded half-even: to be looked at, never to be reckoned with.
    pub fn shown(self, decimals: u8) -> String {
        let decimals = u32::from(decimals.min(28));
        match self.decimal() {
            Some(value) => format!("{:.*}", decimals as usize, value.round_dp(decimals)),
            None => self.to_string(),
        }
    }

    /// What another system wrote: exponents are understood, and what goes beyond 18 digits is rounded.
    pub fn read_loosely(text: &str) -> Option<RateValue> {
        let value = Decimal::from_scientific(text).or_else(|_| text.parse::<Decimal>()).ok()?;
        let mantissa = u128::try_from(value.mantissa()).ok()?;
        RateValue::from_ratio(U256::new(mantissa), U256::new(10).pow(value.scale()), Rounding::HalfEven)
    }

    fn decimal(self) -> Option<Decimal> {
        Decimal::try_from_i128_with_scale(self.mantissa, u32::from(self.scale)).ok()
    }
}

impl Ord for RateValue {
    fn cmp(&self, other: &RateValue) -> Ordering {
        self.decimal().cmp(&other.decimal())
    }
}
impl PartialOrd for RateValue {
    fn partial_cmp(&self, other: &RateValue) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a rate")]
pub struct NotARate;

impl FromStr for RateValue {
    type Err = NotARate;
    fn from_str(text: &str) -> Result<RateValue, NotARate> {
        let _: AmountText = text.parse().map_err(|()| NotARate)?; // Decimal would also accept "1e1", "+1" and "1_0".
        let value = Decimal::from_str_exact(text).map_err(|_| NotARate)?.normalize();
        RateValue::canonical(value.mantissa(), value.scale()).ok_or(NotARate)
    }
}

impl fmt::Display for RateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decimal() {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("?"),
        }
    }
}
impl fmt::Debug for RateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RateValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for RateValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Field for RateValue {
    fn parse(value: Value) -> Result<Self, Flaws> {
        parse_text(value, "a rate above zero of at most 18 significant digits, such as \"109500\"")
    }
}

impl utoipa::PartialSchema for RateValue {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder()
            .schema_type(Type::String)
            .pattern(Some(r"^(0|[1-9][0-9]*)(\.[0-9]+)?$"))
            .max_length(Some(64))
            .examples(["109500"])
            .into()
    }
}
impl utoipa::ToSchema for RateValue {}

/// One unit of `base` is worth `value` of `quote`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Rate {
    pub value: RateValue,
    pub base: CurrencyCode,
    pub quote: CurrencyCode,
}

impl Rate {
    pub fn new(value: RateValue, base: CurrencyCode, quote: CurrencyCode) -> Rate {
        Rate { value, base, quote }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.value, self.base, self.quote)
    }
}
impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Amount {
    /// What the amount is worth in `to` by `rate`, whose base and quote are the two currencies in either order.
    /// Refuses `amount_too_large`; may be zero when rounded down. Other currencies than the rate's are a fault.
    pub fn convert(self, rate: Rate, to: Currency, rounding: Rounding) -> Result<Amount> {
        let from = self.currency();
        let ten = |exponent: u8| U256::new(10).pow(u32::from(exponent));
        let (amount, mantissa) = (U256::new(self.minor() as u128), U256::new(rate.value.mantissa as u128));
        // < 10^31 × 10^18 × 10^18, and 10^31 × 10^28 × 10^18: below 2^256, which is above 10^77.
        let (numerator, denominator) = if (from.code, to.code) == (rate.base, rate.quote) {
            (amount * mantissa * ten(to.decimals), ten(rate.value.scale) * ten(from.decimals))
        } else if (from.code, to.code) == (rate.quote, rate.base) {
            (amount * ten(rate.value.scale) * ten(to.decimals), mantissa * ten(from.decimals))
        } else {
            return Err(fault!("{} does not become {} by {rate}", from.code, to.code));
        };
        let minor = rounding.divide(numerator, denominator);
        if minor > U256::new(MAX_MINOR as u128) {
            return Err(too_large("amount", to));
        }
        Amount::new(minor.as_i128(), to)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str, decimals: u8) -> Currency {
        Currency { code: code.parse().unwrap(), decimals }
    }

    fn value(text: &str) -> RateValue {
        text.parse().unwrap()
    }

    fn rate(text: &str, base: &str, quote: &str) -> Rate {
        Rate::new(value(text), base.parse().unwrap(), quote.parse().unwrap())
    }

    #[test]
    fn a_rate_is_above_zero_and_has_at_most_18_digits() {
        for text in [
            "0",
            "0.00",
            "-1",
            "1e3",
            "",
            "1234567890123456789",
            "1.234567890123456789",
            "0.00000000000000000000000000001",
        ] {
            assert_eq!(text.parse::<RateValue>(), Err(NotARate), "{text:?}");
        }
        for (text, shown) in [
            ("109500", "109500"),
            ("109500.00", "109500"),
            ("0.0000000001", "0.0000000001"),
            ("1.10", "1.1"),
            ("999999999999999999", "999999999999999999"),
        ] {
            assert_eq!(value(text).to_string(), shown);
        }
        assert_eq!(value("1.10"), value("1.1"), "equal rates are equal however they were written");
        assert!(value("1.1") < value("1.11") && value("2") > value("1.99"));
    }

    #[test]
    fn a_thousand_dollars_in_bitcoin_pay_a_thousand_dollars() {
        let (usd, btc) = (currency("USD", 2), currency("BTC", 8));
        let price = rate("109500", "BTC", "USD");
        let thousand = Amount::new(100_000, usd).unwrap();
        let to_pay = thousand.convert(price, btc, Rounding::Up).unwrap();
        assert_eq!(to_pay.to_string(), "0.00913243 BTC", "what a customer pays rounds up");
        assert!(to_pay.convert(price, usd, Rounding::Down).unwrap() >= thousand);
        assert_eq!(thousand.convert(price, btc, Rounding::Down).unwrap().to_string(), "0.00913242 BTC");
    }

    #[test]
    fn the_three_roundings_differ_where_they_should() {
        let (a, b) = (currency("AAA", 0), currency("BBB", 0));
        for (amount, down, up, half) in [(1, 0, 1, 0), (2, 1, 1, 1), (3, 1, 2, 2), (5, 2, 3, 2), (7, 3, 4, 4)]
        {
            let amount = Amount::new(amount, a).unwrap();
            let by = |rounding| amount.convert(rate("0.5", "AAA", "BBB"), b, rounding).unwrap().minor();
            assert_eq!((by(Rounding::Down), by(Rounding::Up), by(Rounding::HalfEven)), (down, up, half));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_never_panics() {
        let (eth, usd) = (currency("ETH", 18), currency("USD", 2));
        let all = Amount::new(MAX_MINOR, usd).unwrap();
        let small = rate("0.0000000000000000000000000001", "ETH", "USD");
        assert_eq!(all.convert(small, eth, Rounding::Up).unwrap_err().code(), Some("amount_too_large"));
        let large = rate("999999999999999999", "USD", "ETH");
        assert_eq!(all.convert(large, eth, Rounding::Up).unwrap_err().code(), Some("amount_too_large"));
        assert_eq!(
            all.convert(large, usd, Rounding::Up).unwrap_err().code(),
            None,
            "the wrong pair is a fault"
        );
        assert_eq!(value("999999999999999999").times(value("10"), Rounding::Down), None);
        assert_eq!(small.value.times(small.value, Rounding::Down), None, "nothing is left");
    }

    #[test]
    fn what_others_write_is_understood_and_rounded() {
        for (text, wanted) in [
            ("109500.120000000010000000001", Some("109500.12000000001")),
            ("1.095e5", Some("109500")),
            ("2E-7", Some("0.0000002")),
            ("-1", None),
            ("0", None),
            ("0.0", None),
            ("NaN", None),
            ("1e30", None),
            ("", None),
        ] {
            assert_eq!(RateValue::read_loosely(text), wanted.map(value), "{text}");
        }
        assert_eq!(
            (value("0.5").shown(2), value("109500.126").shown(2)),
            ("0.50".into(), "109500.13".into())
        );
        assert_eq!(value("1.5").shown(0), "2");
    }

    #[test]
    fn rates_multiply_divide_and_shrink() {
        assert_eq!(value("109500").over(value("4500"), Rounding::Down), Some(value("24.3333333333333333")));
        assert_eq!(value("3").inverse(Rounding::Down), Some(value("0.333333333333333333")));
        assert_eq!(value("3").inverse(Rounding::Up), Some(value("0.333333333333333334")));
        assert_eq!(value("1.5").times(value("2.5"), Rounding::Down), Some(value("3.75")));
        assert_eq!(value("100").middle(value("101")), Some(value("100.5")));
        assert_eq!(value("200").less("0.5".parse().unwrap(), Rounding::Down), Some(value("199")));
        assert_eq!(value("200").less("100".parse().unwrap(), Rounding::Down), None);
        let ten: Percent = "10".parse().unwrap();
        assert!(!value("110").deviates(value("100"), ten) && !value("90").deviates(value("100"), ten));
        assert!(value("110.01").deviates(value("100"), ten) && value("89.99").deviates(value("100"), ten));
    }

    prop_compose! {
        fn values()(mantissa in 1i128..10i128.pow(18), scale in 0u32..=28) -> RateValue {
            RateValue::canonical(mantissa, scale).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_rate_reads_back_what_it_shows(value in values()) {
            prop_assert_eq!(value.to_string().parse::<RateValue>(), Ok(value));
        }

        #[test]
        fn there_and_back_never_earns(
            minor in 0..10i128.pow(24), value in values(), da in 0u8..=18, db in 0u8..=18, turned in any::<bool>(),
        ) {
            let (a, b) = (currency("AAA", da), currency("BBB", db));
            let rate = if turned { Rate::new(value, b.code, a.code) } else { Rate::new(value, a.code, b.code) };
            let amount = Amount::new(minor, a).unwrap();
            let there = amount.convert(rate, b, Rounding::Down);
            let Ok(there) = there else { return Ok(()) }; // too large
            prop_assert!(there.convert(rate, a, Rounding::Down).unwrap() <= amount);
            // Back by another rate, rounded down as rates offered are, earns nothing either.
            if let Some(back) = value.inverse(Rounding::Down).filter(|_| !turned) {
                let back = Rate::new(back, b.code, a.code);
                prop_assert!(there.convert(back, a, Rounding::Down).map_or(true, |it| it <= amount));
            }
            // Who wants to receive exactly that much pays no less than it is worth.
            let paid = there.convert(rate, a, Rounding::Up).unwrap();
            prop_assert!(paid.convert(rate, b, Rounding::Down).map_or(true, |it| it >= there));
        }

        #[test]
        fn a_cross_rate_there_and_back_is_at_most_one(x in values(), y in values()) {
            if let (Some(there), Some(back)) = (x.over(y, Rounding::Down), y.over(x, Rounding::Down)) {
                let both = U256::new(there.mantissa as u128) * U256::new(back.mantissa as u128);
                prop_assert!(both <= U256::new(10).pow(u32::from(there.scale) + u32::from(back.scale)));
            }
        }
    }
}
