//! How a row becomes bytes: the only place that names bincode.
//!
//! A stored row is `[version u8][bincode, standard configuration][CRC32 of all before it, little endian]`. The
//! version lets a row written by an old release be read for ever; the checksum turns a damaged file into a fault
//! instead of a wrong amount.

use crate::kernel::error::{Error, Result, fault};

pub use bincode::{Decode, Encode};

/// The longest row that may be stored, in bytes: the stored answer of ten thousand transfers has some five million.
pub const ROW_LIMIT: usize = 16 * 1024 * 1024;

/// What decoding one row may allocate. More than [`ROW_LIMIT`], because a number takes one byte when stored and up
/// to sixteen when read.
const DECODE_LIMIT: usize = 32 * ROW_LIMIT;

const CHECKSUM: usize = 4;

/// What a table stores. Implemented by [`row!`].
pub trait Row: Sized + 'static {
    /// The version that `encode_row` writes.
    const VERSION: u8;

    fn encode_row(&self) -> Vec<u8>;

    /// Reads this version and every older one. A fault when the bytes are damaged or from a newer release.
    fn decode_row(bytes: &[u8]) -> Result<Self>;
}

/// Makes a type that derives `Encode` and `Decode` a [`Row`].
///
/// ```ignore
/// row!(Withdrawal);                              // version 1, and there was never another
/// row!(Withdrawal, 2, { 1 => WithdrawalV1 });    // writes 2; reads 1 as WithdrawalV1, then Withdrawal::from(it)
/// ```
macro_rules! row {
    ($type:ty) => { $crate::kernel::store::codec::row!($type, 1, {}); };
    ($type:ty, $version:literal, { $($old:literal => $before:ty),* $(,)? }) => {
        impl $crate::kernel::store::codec::Row for $type {
            const VERSION: u8 = $version;

            fn encode_row(&self) -> Vec<u8> {
                $crate::kernel::store::codec::seal($version, self)
            }

            fn decode_row(bytes: &[u8]) -> $crate::kernel::error::Result<Self> {
                let (version, body) = $crate::kernel::store::codec::unseal(bytes)?;
                match version {
                    $version => $crate::kernel::store::codec::decode(body),
                    $( $old => $crate::kernel::store::codec::decode::<$before>(body).map(<$type>::from), )*
                    other => Err($crate::kernel::store::codec::unknown_version(stringify!($type), other)),
                }
            }
        }
    };
}
pub(crate) use row;

row!(u64);
row!(Vec<u8>);

/// A row that says only that its key is there. Takes no bytes.
impl Row for () {
    const VERSION: u8 = 1;

    fn encode_row(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode_row(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(fault!("a row that should be empty has {} bytes", bytes.len()))
        }
    }
}

/// The bare encoding, without version and checksum: for what is stored inside something else.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

/// Reads what [`encode`] wrote, and nothing after it: a fault when bytes are left.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T> {
    let configuration = bincode::config::standard().with_limit::<DECODE_LIMIT>();
    let (value, read) = bincode::decode_from_slice(bytes, configuration)
        .map_err(|error| fault!("stored bytes do not decode: {error}"))?;
    if read != bytes.len() {
        return Err(fault!("{} bytes are left after decoding {read}", bytes.len() - read));
    }
    Ok(value)
}

/// `value` as a stored row of `version`.
pub fn seal<T: Encode>(version: u8, value: &T) -> Vec<u8> {
    // Most rows are shorter: growing to their size step by step costs as much as encoding them.
    let mut out = Vec::with_capacity(256);
    out.push(version);
    encode_into(value, &mut out);
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The version and the body of a stored row, its checksum verified.
pub fn unseal(bytes: &[u8]) -> Result<(u8, &[u8])> {
    if bytes.len() > ROW_LIMIT {
        return Err(fault!("a stored row of {} bytes: {ROW_LIMIT} is the limit", bytes.len()));
    }
    let (sealed, checksum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or_else(|| fault!("a stored row of {} bytes is too short", bytes.len()))?;
    if crc32fast::hash(sealed) != u32::from_le_bytes(*checksum) {
        return Err(fault!(
            "a stored row of {} bytes has the wrong checksum: the file is damaged",
            bytes.len()
        ));
    }
    let (version, body) = sealed.split_first().ok_or_else(|| fault!("a stored row has no version"))?;
    Ok((*version, body))
}

/// The fault of a row that only a newer release can read.
pub fn unknown_version(row: &str, version: u8) -> Error {
    fault!("{row} is stored in version {version}, which this release does not know: run the newer release")
}

fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    // Fails only for what a row never holds (a locked mutex, a path that is not UTF-8), or without memory.
    bincode::encode_into_std_write(value, out, bincode::config::standard())
        .expect("plain data always encodes");
}

/// Holds a row to its golden bytes in `tests/golden/rows/<table>.hex`: what is stored today is readable for ever.
/// `COFFER_BLESS=1 cargo test` writes the file of a new table; bytes that change need a new row version instead.
#[cfg(test)]
pub fn golden<T: Row + PartialEq + std::fmt::Debug>(table: &str, row: &T) {
    use data_encoding::HEXLOWER;
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/rows/{table}.hex"));
    let hex = HEXLOWER.encode(&row.encode_row());
    if std::env::var_os("COFFER_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{hex}\n")).unwrap();
    }
    let stored = std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{table} has no golden bytes: COFFER_BLESS=1"));
    assert_eq!(hex, stored.trim(), "the stored form of {table} changed: give the row a new version");
    assert_eq!(&T::decode_row(&HEXLOWER.decode(stored.trim().as_bytes()).unwrap()).unwrap(), row);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    struct Pet {
        name: String,
        legs: u8,
    }
    #[derive(Debug, PartialEq, Encode, Decode)]
    struct PetV1 {
        name: String,
    }
    impl From<PetV1> for Pet {
        fn from(old: PetV1) -> Pet {
            Pet { name: old.name, legs: 4 }
        }
    }
    row!(Pet, 2, { 1 => PetV1 });

    fn pet() -> Pet {
        Pet { name: "Rex".into(), legs: 3 }
    }

    #[test]
    fn a_row_has_the_same_bytes_in_every_release() {
        let hex: String = pet().encode_row().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("02{}{}", "0352657803", &hex[12..]), "version, length, text, legs, checksum");
        assert_eq!(hex.len(), 2 * 10);
        assert_eq!(Pet::decode_row(&pet().encode_row()).unwrap(), pet());
    }

    #[test]
    fn an_old_row_reads_as_the_new_type() {
        let old = seal(1, &PetV1 { name: "Rex".into() });
        assert_eq!(Pet::decode_row(&old).unwrap(), Pet { name: "Rex".into(), legs: 4 });
    }

    #[test]
    fn a_row_from_a_newer_release_is_a_fault_that_says_so() {
        let error = Pet::decode_row(&seal(3, &pet())).unwrap_err();
        assert!(error.to_string().contains("version 3"), "{error}");
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let good = pet().encode_row();
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            assert!(Pet::decode_row(&bad).is_err(), "byte {place}");
            assert!(Pet::decode_row(&good[..place]).is_err(), "cut at {place}");
        }
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = encode(&7u64);
        assert_eq!(decode::<u64>(&bytes).unwrap(), 7);
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
    }

    #[test]
    fn a_length_that_would_fill_the_memory_is_refused() {
        assert!(decode::<Vec<u8>>(&encode(&u64::MAX)).is_err());
    }
}
