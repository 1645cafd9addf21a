//! Money: exact, of one currency, never a float.
//!
//! An [`Amount`] is a whole number of minor units (cents, satoshi) and the currency they are units of. Text comes in
//! as [`AmountText`], which is only known to be well formed; asking for it in a currency makes it an `Amount` or says
//! what is wrong. Nothing rounds on the way in, and every operation that could overflow says so.
//!
//! A [`Rate`] says what one currency is worth in another, an [`Exchange`] turns an amount of one into one of the other.

mod exchange;
mod rate;

use std::{cmp::Ordering, fmt, str::FromStr};

use ethnum::U256;
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    api::input::{Field, Flaw, Flaws, parse_text},
    error::{Error, Result},
    store::{
        codec::{Decode, Encode},
        key::Key,
    },
};

pub use self::{
    exchange::Exchange,
    rate::{Rate, RateValue, Rounding},
};

/// The largest amount, in minor units: far above any sum of money, far enough below 2^127 that adding balances and
/// multiplying by a percentage cannot overflow unnoticed.
pub const MAX_MINOR: i128 = 10i128.pow(30);

/// `USD`, `USDT`: two to eight capital letters or digits, the first a letter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CurrencyCode([u8; 8]); // Invariant: ASCII, zero-padded at the end.

impl CurrencyCode {
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|it| *it == 0).unwrap_or(8);
        std::str::from_utf8(&self.0[..end]).unwrap_or("?")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a currency code")]
pub struct NotACurrencyCode;

impl FromStr for CurrencyCode {
    type Err = NotACurrencyCode;
    fn from_str(text: &str) -> Result<CurrencyCode, NotACurrencyCode> {
        let bytes = text.as_bytes();
        let well_formed = (2..=8).contains(&bytes.len())
            && bytes[0].is_ascii_uppercase()
            && bytes.iter().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit());
        if !well_formed {
            return Err(NotACurrencyCode);
        }
        let mut code = [0; 8];
        code[..bytes.len()].copy_from_slice(bytes);
        Ok(CurrencyCode(code))
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for CurrencyCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for CurrencyCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Key for CurrencyCode {
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        <[u8; 8] as Key>::read(input).map(CurrencyCode)
    }
}

impl Field for CurrencyCode {
    fn parse(value: Value) -> Result<Self, Flaws> {
        parse_text(value, "a currency code such as USD")
    }
}

impl utoipa::PartialSchema for CurrencyCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder().schema_type(Type::String).pattern(Some("^[A-Z][A-Z0-9]{1,7}$")).into()
    }
}
impl utoipa::ToSchema for CurrencyCode {}

/// A currency as amounts need it: its code, and how many decimals its minor unit has (USD 2, JPY 0, BTC 8, ETH 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Currency {
    pub code: CurrencyCode,
    pub decimals: u8, // Invariant: <= 18.
}

impl Currency {
    /// `minor` units as text with exactly the currency's decimals. Negative values carry a `-`: house accounts.
    pub fn show(&self, minor: i128) -> String {
        let digits = minor.unsigned_abs().to_string();
        let decimals = usize::from(self.decimals);
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let sign = if minor < 0 { "-" } else { "" };
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

/// A sum of money that is not negative, of one currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Amount {
    minor: i128, // Invariant: 0 <= minor <= MAX_MINOR.
    currency: Currency,
}

impl Amount {
    /// `minor` units of `currency`; a fault when negative, [`Flaw`] `amount_too_large` above [`MAX_MINOR`].
    pub fn new(minor: i128, currency: Currency) -> Result<Amount> {
        if minor < 0 {
            return Err(super::error::fault!("an amount cannot be {minor} {}", currency.code));
        }
        if minor > MAX_MINOR {
            return Err(too_large("amount", currency));
        }
        Ok(Amount { minor, currency })
    }

    pub const fn zero(currency: Currency) -> Amount {
        Amount { minor: 0, currency }
    }

    pub fn minor(&self) -> i128 {
        self.minor
    }

    pub fn currency(&self) -> Currency {
        self.currency
    }

    pub fn is_zero(&self) -> bool {
        self.minor == 0
    }

    /// The digits alone, with all decimals of the currency: `"12.30"`.
    pub fn digits(&self) -> String {
        self.currency.show(self.minor)
    }

    /// The sum. Mixing currencies is a fault: callers compare them first.
    pub fn plus(self, other: Amount) -> Result<Amount> {
        self.same_currency(other)?;
        Amount::new(self.minor + other.minor, self.currency)
    }

    /// The difference; a fault when it would be negative.
    pub fn minus(self, other: Amount) -> Result<Amount> {
        self.same_currency(other)?;
        Amount::new(self.minor - other.minor, self.currency)
    }

    /// `percent` of the amount, rounded up: what a customer pays.
    pub fn percent_up(self, percent: Percent) -> Result<Amount> {
        let (product, divisor) = self.percent_parts(percent)?;
        Amount::new(product / divisor + i128::from(product % divisor != 0), self.currency)
    }

    /// `percent` of the amount, rounded down: what a customer receives.
    pub fn percent_down(self, percent: Percent) -> Result<Amount> {
        let (product, divisor) = self.percent_parts(percent)?;
        Amount::new(product / divisor, self.currency)
    }

    /// The same share of this amount as `part` is of `whole`, rounded up: what a customer pays. `part` is at most
    /// `whole`, which is above zero.
    pub fn share_up(self, part: Amount, whole: Amount) -> Result<Amount> {
        self.same_currency(part)?;
        self.same_currency(whole)?;
        if part.minor > whole.minor || whole.minor == 0 {
            return Err(super::error::fault!("{part} is no part of {whole}"));
        }
        let wide = |it: Amount| U256::new(it.minor.unsigned_abs());
        let share = Rounding::Up.divide(wide(self) * wide(part), wide(whole)); // of at most 60 digits
        Amount::new(share.as_i128(), self.currency)
    }

    fn percent_parts(self, percent: Percent) -> Result<(i128, i128)> {
        let (part, whole) = percent.fraction();
        let product = self.minor.checked_mul(part).ok_or_else(|| too_large("amount", self.currency))?;
        Ok((product, whole))
    }

    fn same_currency(self, other: Amount) -> Result<()> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(super::error::fault!("{} and {} cannot be added", self.currency.code, other.currency.code))
    }
}

impl PartialOrd for Amount {
    /// Amounts of different currencies have no order.
    fn partial_cmp(&self, other: &Amount) -> Option<Ordering> {
        (self.currency == other.currency).then(|| self.minor.cmp(&other.minor))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.show(self.minor), self.currency.code)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Amount {
    /// The digits alone: a `currency` field stands beside every amount.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.currency.show(self.minor))
    }
}

impl utoipa::PartialSchema for Amount {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        AmountText::schema()
    }
}
impl utoipa::ToSchema for Amount {}

/// What an account holds: an amount, or, after a chargeback, what is missing. Stored as an [`Amount`] is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Standing {
    minor: i128, // Invariant: |minor| <= MAX_MINOR.
    currency: Currency,
}

impl Standing {
    /// `minor` units of `currency`; [`Flaw`] `amount_too_large` beyond [`MAX_MINOR`], either way.
    pub fn new(minor: i128, currency: Currency) -> Result<Standing> {
        if !(-MAX_MINOR..=MAX_MINOR).contains(&minor) {
            return Err(too_large("amount", currency));
        }
        Ok(Standing { minor, currency })
    }

    #[cfg(test)]
    pub fn minor(&self) -> i128 {
        self.minor
    }
}

impl From<Amount> for Standing {
    fn from(amount: Amount) -> Standing {
        Standing { minor: amount.minor, currency: amount.currency }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.show(self.minor), self.currency.code)
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Standing {
    /// The digits alone, as of an [`Amount`], with a `-` before what is missing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.currency.show(self.minor))
    }
}

impl utoipa::PartialSchema for Standing {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder()
            .schema_type(Type::String)
            .description(Some("An amount; below zero only after a chargeback"))
            .pattern(Some(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"))
            .into()
    }
}
impl utoipa::ToSchema for Standing {}

/// A well-formed amount whose currency is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmountText(String); // Invariant: matches ^(0|[1-9][0-9]*)(\.[0-9]+)?$, at most 64 characters.

impl AmountText {
    /// This amount of `currency`, above zero. Refuses, in this order: `amount_too_large`, `amount_scale`,
    /// `amount_not_positive`; `param` is the field to name.
    pub fn positive(&self, param: &str, currency: Currency) -> Result<Amount> {
        let amount = self.not_negative(param, currency)?;
        if amount.is_zero() {
            return Err(Flaw::new(param, "amount_not_positive", "must be above zero").into());
        }
        Ok(amount)
    }

    /// As [`AmountText::positive`], zero allowed.
    pub fn not_negative(&self, param: &str, currency: Currency) -> Result<Amount> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let decimals = usize::from(currency.decimals);
        let kept = &fraction[..fraction.len().min(decimals)];
        let minor = format!("{whole}{kept:0<decimals$}").parse::<i128>().ok();
        let minor = minor.filter(|it| *it <= MAX_MINOR).ok_or_else(|| too_large(param, currency))?;
        if fraction.len() > decimals {
            let message = format!("{} has {decimals} decimals, found {}", currency.code, fraction.len());
            return Err(Flaw::new(param, "amount_scale", message).into());
        }
        Amount::new(minor, currency)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AmountText {
    type Err = ();
    fn from_str(text: &str) -> Result<AmountText, ()> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        let well_formed = text.len() <= 64
            && digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits);
        if well_formed { Ok(AmountText(text.to_owned())) } else { Err(()) }
    }
}

impl Field for AmountText {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let text = if let Value::String(text) = &value { text.parse().ok() } else { None };
        text.ok_or_else(|| {
            vec![Flaw::new(
                "",
                "amount_format",
                "must be a string of digits such as \"12.34\": no sign, exponent or spaces",
            )]
        })
    }
}

impl utoipa::PartialSchema for AmountText {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder()
            .schema_type(Type::String)
            .pattern(Some(r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"))
            .max_length(Some(64))
            .examples(["12.34"])
            .into()
    }
}
impl utoipa::ToSchema for AmountText {}

fn too_large(param: &str, currency: Currency) -> Error {
    let most = currency.show(MAX_MINOR);
    Flaw::new(param, "amount_too_large", format!("is above {most} {}", currency.code)).into()
}

/// A percentage from 0 to 100 with at most six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Percent {
    mantissa: i128,
    scale: u8,
}

impl Percent {
    pub const ZERO: Percent = Percent { mantissa: 0, scale: 0 };

    /// Numerator and denominator of the part of one that it is: 1.5 % is 15 / 1000.
    pub fn fraction(self) -> (i128, i128) {
        (self.mantissa, 100 * 10i128.pow(u32::from(self.scale)))
    }

    /// Whether it is more of anything.
    pub fn is_above(self, other: Percent) -> bool {
        // At most 100 with six decimals: no overflow.
        let in_millionths = |it: Percent| it.mantissa * 10i128.pow(u32::from(6u8.saturating_sub(it.scale)));
        in_millionths(self) > in_millionths(other)
    }

    /// Whether something is left when it is taken away.
    pub fn is_below_all(self) -> bool {
        let (part, whole) = self.fraction();
        part < whole
    }
}

impl Default for Percent {
    fn default() -> Percent {
        Percent::ZERO
    }
}

impl FromStr for Percent {
    type Err = ();
    fn from_str(text: &str) -> Result<Percent, ()> {
        let _: AmountText = text.parse()?; // Decimal would also accept "1e1", "+1" and "1_0".
        let value = Decimal::from_str_exact(text).map_err(|_| ())?.normalize();
        if value > Decimal::ONE_HUNDRED || value.scale() > 6 {
            return Err(());
        }
        Ok(Percent { mantissa: value.mantissa(), scale: value.scale() as u8 })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Decimal::try_from_i128_with_scale(self.mantissa, u32::from(self.scale)) {
            Ok(value) => write!(f, "{value}"),
            Err(_) => f.write_str("?"),
        }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Field for Percent {
    fn parse(value: Value) -> Result<Self, Flaws> {
        parse_text(value, "a percentage from \"0\" to \"100\" with at most six decimals")
    }
}

impl utoipa::PartialSchema for Percent {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder().schema_type(Type::String).pattern(Some(r"^[0-9]{1,3}(\.[0-9]{1,6})?$")).into()
    }
}
impl utoipa::ToSchema for Percent {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str, decimals: u8) -> Currency {
        Currency { code: code.parse().unwrap(), decimals }
    }

    fn code_of(result: Result<Amount>) -> String {
        match result {
            Ok(amount) => amount.to_string(),
            Err(error) => error.to_string().split(':').next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn a_share_is_that_of_the_part_rounded_up() {
        let usd = currency("USD", 2);
        let of = |minor: i128| Amount::new(minor, usd).unwrap();
        for (amount, part, whole, wanted) in [
            (1500, 1000, 11500, 131), // 130.4
            (15, 0, 7, 0),
            (15, 7, 7, 15),
            (15, 1, 15, 1),
            (1, 1, 3, 1),
            (0, 1, 3, 0),
            (MAX_MINOR, MAX_MINOR - 1, MAX_MINOR, MAX_MINOR - 1),
            (MAX_MINOR, 1, MAX_MINOR, 1),
            (MAX_MINOR - 1, MAX_MINOR - 1, MAX_MINOR, MAX_MINOR - 1), // (m-1)²/m = m - 2 + 1/m
        ] {
            let share = of(amount).share_up(of(part), of(whole)).unwrap();
            assert_eq!(share.minor(), wanted, "{amount} × {part} / {whole}");
        }
        assert!(of(1).share_up(of(2), of(1)).is_err() && of(1).share_up(of(0), of(0)).is_err());
    }

    #[test]
    fn malformed_amounts_are_refused_before_anything_else() {
        for text in [
            "", " 1", "1 ", "+1", "-1", "01", ".5", "1.", "1e3", "1,000", "1_0", "0x1", "1.2.3", "٣", "NaN",
            "１",
        ] {
            assert_eq!(text.parse::<AmountText>(), Err(()), "{text:?}");
        }
        assert_eq!("1".repeat(65).parse::<AmountText>(), Err(()));
        for value in
            [serde_json::json!(1), serde_json::json!(1.5), serde_json::json!(null), serde_json::json!(["1"])]
        {
            assert_eq!(AmountText::parse(value).unwrap_err()[0].code, "amount_format");
        }
    }

    #[test]
    fn too_large_comes_before_scale_and_scale_before_positive() {
        let usd = currency("USD", 2);
        let of = |text: &str| code_of(text.parse::<AmountText>().unwrap().positive("amount", usd));
        assert_eq!(of(&format!("{}.001", "9".repeat(40))), "amount_too_large");
        assert_eq!(of("0.001"), "amount_scale");
        assert_eq!(of("0.00"), "amount_not_positive");
        assert_eq!(of("0.01"), "0.01 USD");
        assert_eq!(of("1000"), "1000.00 USD");
        let jpy = currency("JPY", 0);
        assert_eq!(code_of("5.0".parse::<AmountText>().unwrap().positive("amount", jpy)), "amount_scale");
    }

    #[test]
    fn a_fee_rounds_up() {
        let usd = currency("USD", 2);
        let amount = Amount::new(1001, usd).unwrap();
        let percent: Percent = "1.5".parse().unwrap();
        assert_eq!(amount.percent_up(percent).unwrap().minor(), 16); // 15.015
        assert_eq!(amount.percent_down(percent).unwrap().minor(), 15);
        assert_eq!("100.1".parse::<Percent>(), Err(()));
        assert_eq!("0.0000001".parse::<Percent>(), Err(()));
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_what_it_shows(minor in 0..=MAX_MINOR, decimals in 0u8..=18) {
            let currency = currency("XYZ", decimals);
            let shown = currency.show(minor);
            let read = shown.parse::<AmountText>().unwrap().not_negative("amount", currency).unwrap();
            prop_assert_eq!(read.minor(), minor);
        }

        #[test]
        fn rounding_never_moves_more_than_one_unit(minor in 0..=MAX_MINOR, mantissa in 0u32..=100_000_000) {
            let percent: Percent = rust_decimal::Decimal::new(i64::from(mantissa), 6).to_string().parse().unwrap();
            let amount = Amount::new(minor, currency("ETH", 18)).unwrap();
            let up = amount.percent_up(percent).unwrap().minor();
            // up is the smallest whole number that is not below the exact value.
            let exact_times = minor * i128::from(mantissa);
            prop_assert!(up * 100_000_000 >= exact_times && (up - 1) * 100_000_000 < exact_times.max(1));
        }
    }
}
