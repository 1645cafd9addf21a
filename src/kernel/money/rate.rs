//! What one currency is worth in another. How an amount of one becomes an amount of the other: `exchange.rs`.

use std::{cmp::Ordering, fmt, str::FromStr};

use ethnum::U256;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{AmountText, CurrencyCode, Percent};
use crate::kernel::{
    api::input::{Field, Flaws, parse_text},
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

    /// Mantissa and scale: it is mantissa / 10^scale.
    pub(super) fn parts(self) -> (U256, i32) {
        (U256::new(self.mantissa as u128), i32::from(self.scale))
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
        RateValue::nearest(|decimals| {
            Some(rounding.divide(numerator * U256::new(10).pow(decimals.unsigned_abs()), denominator))
        })
    }

    /// The value of which `at` says how much it is with so many decimals moved before the point; `None`: far too much.
    pub(super) fn nearest(at: impl Fn(i32) -> Option<U256>) -> Option<RateValue> {
        let end = U256::new(10u128.pow(SIGNIFICANT_DIGITS));
        let fitting = (0..=MOST_DECIMALS).rev().find_map(|scale| {
            let mantissa = at(scale as i32).filter(|it| *it < end)?;
            Some((mantissa.as_i128(), scale))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> RateValue {
        text.parse().unwrap()
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
    fn rates_have_a_middle_and_deviate() {
        assert_eq!(value("100").middle(value("101")), Some(value("100.5")));
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
    }
}
