//! Keys whose bytes sort as their values do.
//!
//! A table is ordered by the bytes of its keys, so "the newest first", "all of this client" and "from this time on"
//! are ranges of bytes. The parts of a tuple follow one another, hence the first parts of a tuple are a prefix of it.

use crate::kernel::clock::Time;

/// Something that can be a key, or a part of one.
pub trait Key: Sized {
    /// How many bytes every key of this type takes, when it is always the same number.
    const WIDTH: Option<usize>;

    /// Appends the bytes, in an order that is the order of the values.
    fn write(&self, out: &mut Vec<u8>);

    /// Takes one key off the front. `None` when that is not what is there.
    fn read(input: &mut &[u8]) -> Option<Self>;

    fn to_key(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::WIDTH.unwrap_or(48));
        self.write(&mut out);
        out
    }

    /// Reads all of `bytes`. `None` when some are left, or missing.
    fn from_key(mut bytes: &[u8]) -> Option<Self> {
        let key = Self::read(&mut bytes)?;
        bytes.is_empty().then_some(key)
    }
}

/// The first key behind all keys that start with `prefix`; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

impl Key for () {
    const WIDTH: Option<usize> = Some(0);
    fn write(&self, _: &mut Vec<u8>) {}
    fn read(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

impl<const N: usize> Key for [u8; N] {
    const WIDTH: Option<usize> = Some(N);
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        let (key, rest) = input.split_first_chunk::<N>()?;
        *input = rest;
        Some(*key)
    }
}

/// Big endian: the most significant byte decides first.
macro_rules! unsigned {
    ($($type:ty),*) => { $(
        impl Key for $type {
            const WIDTH: Option<usize> = Some(size_of::<$type>());
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                <[u8; size_of::<$type>()]>::read(input).map(<$type>::from_be_bytes)
            }
        }
    )* };
}
unsigned!(u8, u16, u32, u64, u128);

impl Key for bool {
    const WIDTH: Option<usize> = Some(1);
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        match u8::read(input)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

/// With the sign bit flipped, so that negative numbers come first.
impl Key for i64 {
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).write(out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        u64::read(input).map(|bits| (bits ^ (1 << 63)).cast_signed())
    }
}

impl Key for Time {
    const WIDTH: Option<usize> = Some(8);
    fn write(&self, out: &mut Vec<u8>) {
        self.micros().write(out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        i64::read(input).map(Time::from_micros)
    }
}

/// Ended by `00 00`, with each `00` inside written as `00 FF`: a text sorts before its continuations, and what
/// follows in a tuple cannot be taken for a part of it.
impl Key for Vec<u8> {
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        write_escaped(self, out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        let mut key = Vec::new();
        loop {
            let zero = input.iter().position(|byte| *byte == 0)?;
            key.extend_from_slice(&input[..zero]);
            let mark = *input.get(zero + 1)?;
            *input = &input[zero + 2..];
            match mark {
                0 => return Some(key),
                u8::MAX => key.push(0),
                _ => return None,
            }
        }
    }
}

/// As its UTF-8 bytes: in the order of code points, not of any language.
impl Key for String {
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        write_escaped(self.as_bytes(), out);
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        String::from_utf8(Vec::<u8>::read(input)?).ok()
    }
}

/// `None` comes first.
impl<K: Key> Key for Option<K> {
    const WIDTH: Option<usize> = None;
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        if let Some(key) = self {
            key.write(out);
        }
    }
    fn read(input: &mut &[u8]) -> Option<Self> {
        if bool::read(input)? { K::read(input).map(Some) } else { Some(None) }
    }
}

macro_rules! tuple {
    ($($part:ident . $place:tt),*) => {
        impl<$($part: Key),*> Key for ($($part,)*) {
            const WIDTH: Option<usize> = sum(&[$($part::WIDTH),*]);
            fn write(&self, out: &mut Vec<u8>) {
                $( self.$place.write(out); )*
            }
            fn read(input: &mut &[u8]) -> Option<Self> {
                Some(($($part::read(input)?,)*))
            }
        }
    };
}
tuple!(A.0, B.1);
tuple!(A.0, B.1, C.2);
tuple!(A.0, B.1, C.2, D.3);

const fn sum(widths: &[Option<usize>]) -> Option<usize> {
    let (mut total, mut at) = (0, 0);
    while at < widths.len() {
        match widths[at] {
            Some(width) => total += width,
            None => return None,
        }
        at += 1;
    }
    Some(total)
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(u8::MAX);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn sorts_and_reads_back<K: Key + Ord + Debug>(a: K, b: K) {
        let (left, right) = (a.to_key(), b.to_key());
        assert_eq!(left.cmp(&right), a.cmp(&b), "{a:?} {b:?}");
        assert_eq!(K::from_key(&left).as_ref(), Some(&a));
        if let Some(width) = K::WIDTH {
            assert_eq!((left.len(), right.len()), (width, width));
        }
        let longer = [left, vec![1]].concat();
        assert_eq!(K::from_key(&longer), None, "bytes are left");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn keys_sort_as_their_values_do(
            a: (i64, u128, bool), b: (i64, u128, bool),
            // Small alphabets, so that equal beginnings and zeros are common.
            c in (vec(0u8..3, 0..4), 0u8..2, any::<u32>()), d in (vec(0u8..3, 0..4), 0u8..2, any::<u32>()),
            e in ("[\u{0}ab]{0,3}", proptest::option::of(0u16..3)),
            f in ("[\u{0}ab]{0,3}", proptest::option::of(0u16..3)),
            g: ([u8; 4], i64, u8, u64), h: ([u8; 4], i64, u8, u64),
        ) {
            sorts_and_reads_back(a, b);
            sorts_and_reads_back(c, d);
            sorts_and_reads_back(e, f);
            sorts_and_reads_back(g, h);
        }

        #[test]
        fn the_end_of_a_prefix_is_behind_every_key_that_has_it(
            prefix in vec(prop_oneof![Just(255u8), any::<u8>()], 0..4), rest in vec(any::<u8>(), 0..3),
        ) {
            let key = [prefix.clone(), rest].concat();
            match after_prefix(&prefix) {
                Some(end) => prop_assert!(key < end && !end.starts_with(&prefix)),
                None => prop_assert!(prefix.iter().all(|byte| *byte == 255)),
            }
        }
    }

    #[test]
    fn the_first_parts_of_a_tuple_are_a_prefix_of_it() {
        let whole = ([7u8; 16], "eur".to_owned(), Time::from_micros(-1)).to_key();
        assert!(whole.starts_with(&[7u8; 16].to_key()));
        assert!(whole.starts_with(&([7u8; 16], "eur".to_owned()).to_key()));
        assert!(!whole.starts_with(&([7u8; 16], "eu".to_owned()).to_key()));
    }

    #[test]
    fn bytes_that_are_no_key_are_not_read() {
        assert_eq!(bool::from_key(&[2]), None);
        assert_eq!(u32::from_key(&[1, 2, 3]), None);
        assert_eq!(Vec::<u8>::from_key(&[1, 0]), None);
        assert_eq!(Vec::<u8>::from_key(&[1, 0, 7]), None);
        assert_eq!(String::from_key(&[0xff, 0, 0]), None);
    }
}
