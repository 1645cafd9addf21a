//! Identifiers that cannot be mistaken for one another.
//!
//! An id is a UUIDv7 in Crockford base32 (26 characters) behind a prefix that names its type: `wdr_01jd…`. Being
//! time-ordered, a primary table grows at its right edge and newest-first is a range read backwards.

use std::fmt;

use super::store::Random;

/// `id!(WithdrawalId, "wdr")`: an identifier that only withdrawals have.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::kernel::store::codec::Encode, $crate::kernel::store::codec::Decode,
        )]
        pub struct $name([u8; 16]);

        impl $crate::kernel::id::Id for $name {
            const PREFIX: &'static str = $prefix;
            fn from_bytes(bytes: [u8; 16]) -> Self {
                $name(bytes)
            }
            fn bytes(&self) -> [u8; 16] {
                self.0
            }
        }

        impl $crate::kernel::store::key::Key for $name {
            const WIDTH: Option<usize> = Some(16);
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                <[u8; 16] as $crate::kernel::store::key::Key>::read(input).map($name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::kernel::id::show($prefix, &self.0, f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::kernel::id::NotAnId;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::kernel::id::parse($prefix, text).map($name)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl $crate::kernel::api::input::Field for $name {
            fn parse(value: serde_json::Value) -> Result<Self, $crate::kernel::api::input::Flaws> {
                $crate::kernel::api::input::parse_text(value, concat!("an id starting with ", $prefix, "_"))
            }
        }

        impl $crate::kernel::api::call::FromPath for $name {
            fn from_path(parts: &[String]) -> Option<Self> {
                parts.first().and_then(|it| it.parse().ok())
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::kernel::id::schema($prefix)
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use id;

/// What every typed id has. Made by `tx.new_id()`.
pub trait Id: Copy + fmt::Display {
    const PREFIX: &'static str;
    fn from_bytes(bytes: [u8; 16]) -> Self;
    fn bytes(&self) -> [u8; 16];
}

/// When an id was made, in milliseconds since 1970.
pub fn millis(id: &impl Id) -> i64 {
    let bits = u128::from_be_bytes(id.bytes());
    (bits >> 80) as i64 // 48 bits
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id of this type")]
pub struct NotAnId;

/// Crockford's alphabet: no i, l, o, u. <https://www.crockford.com/base32.html>
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What each byte stands for in [`ALPHABET`].
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut place = 0;
    while place < ALPHABET.len() {
        digits[ALPHABET[place] as usize] = place as u8;
        place += 1;
    }
    digits
};
const NO_DIGIT: u8 = u8::MAX;

/// Writes `prefix_` and the 128 bits, most significant first, as 26 characters.
pub fn show(prefix: &str, bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let bits = u128::from_be_bytes(*bytes);
    let mut text = [0u8; 26];
    for (place, character) in text.iter_mut().rev().enumerate() {
        *character = ALPHABET[(bits >> (5 * place)) as usize & 31];
    }
    f.write_str(prefix)?;
    f.write_str("_")?;
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

/// Reads exactly what [`show`] writes (lower case only: one id has one spelling).
pub fn parse(prefix: &str, text: &str) -> Result<[u8; 16], NotAnId> {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_')).ok_or(NotAnId)?;
    if digits.len() != 26 {
        return Err(NotAnId);
    }
    let mut bits: u128 = 0;
    for (place, character) in digits.bytes().enumerate() {
        let digit = DIGITS[usize::from(character)];
        if digit == NO_DIGIT {
            return Err(NotAnId);
        }
        if place == 0 && digit > 7 {
            return Err(NotAnId); // 26 × 5 = 130 bits: the first character has three.
        }
        bits = bits << 5 | u128::from(digit);
    }
    Ok(bits.to_be_bytes())
}

/// The bytes of an id of whatever type.
pub fn bytes_of(text: &str) -> Option<[u8; 16]> {
    let (prefix, _) = text.split_once('_')?;
    parse(prefix, text).ok()
}

/// The JSON schema of an id.
pub fn schema(prefix: &str) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
    use utoipa::openapi::schema::{Object, Type};
    Object::builder()
        .schema_type(Type::String)
        .pattern(Some(format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")))
        .into()
}

/// Makes time-ordered ids, strictly increasing within a process whatever the clock does. Owned by the store's writer.
#[derive(Default)]
pub struct IdSource {
    last: u128,
    /// Random bytes for ids to come: asking the system for each id apart was a twentieth of what a transfer costs.
    ahead: Vec<[u8; 10]>,
}

/// For how many ids randomness is asked for at once.
const AHEAD: usize = 64;

impl IdSource {
    /// Makes every later id greater than `id`.
    pub fn go_on_after(&mut self, id: [u8; 16]) {
        self.last = self.last.max(u128::from_be_bytes(id));
    }

    /// The next id at `millis` since 1970, `random` where bits need not be ordered.
    /// Layout: RFC 9562 §5.7 (version 7, variant 2).
    pub fn next(&mut self, millis: i64, random: &mut Random) -> [u8; 16] {
        if self.ahead.is_empty() {
            self.ahead.resize(AHEAD, [0; 10]);
            random.fill(self.ahead.as_flattened_mut());
        }
        let random = self.ahead.pop().unwrap_or_default();
        let millis = u64::try_from(millis).unwrap_or(0);
        let fresh = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_u128();
        // Ids of one millisecond follow each other too: the next one is the last plus a little, which keeps
        // the version and variant bits unless 2^62 ids were made in that millisecond.
        let step = u128::from(u32::from_be_bytes([0, random[7], random[8], random[9]])) + 1;
        self.last = if fresh > self.last { fresh } else { self.last + step };
        self.last.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    id!(ThingId, "thg");

    #[test]
    fn an_id_reads_back_what_it_shows_and_nothing_else() {
        let id = ThingId::from_bytes([0x01, 0x93, 5, 6, 7, 0x78, 9, 10, 0x8b, 12, 13, 14, 15, 16, 17, 255]);
        let text = id.to_string();
        assert_eq!(text.len(), "thg_".len() + 26);
        assert_eq!(text.parse(), Ok(id));
        for wrong in
            ["", "thg_", &text[1..], &text[..29], &text.to_uppercase(), "usr_0000000000000000000000000"]
        {
            assert_eq!(wrong.parse::<ThingId>(), Err(NotAnId), "{wrong}");
        }
        assert_eq!(format!("thg_8{}", "0".repeat(25)).parse::<ThingId>(), Err(NotAnId));
    }

    #[test]
    fn ids_increase_even_when_the_clock_steps_back() {
        let (mut source, mut random) = (IdSource::default(), Random::new(Some(7)));
        let mut last = [0; 16];
        for millis in [1_000_000, 1_000_000, 999_000, 1_000_001, 5] {
            let id = source.next(millis, &mut random);
            assert!(id > last);
            assert_eq!((id[6] >> 4, id[8] >> 6), (7, 2), "version and variant of RFC 9562");
            last = id;
        }
    }
}
