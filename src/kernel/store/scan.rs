//! Reading a range: which part of a table, in which direction, from where; and the merge of what is committed with
//! what the transaction has changed.

use std::{cmp::Ordering, iter::Peekable, ops::Bound};

use super::{
    engine::{EngineError, Entries, Entry},
    key::{Key, after_prefix},
};

/// Part of a table, and the direction to read it in.
///
/// All positions are bytes of whole keys; in an index of the kind `listing` those are the listed prefix followed by
/// the primary key.
#[derive(Debug, Clone)]
pub struct Scan {
    prefix: Vec<u8>,
    from: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    newest_first: bool,
}

impl Scan {
    /// The whole table, from its smallest key on.
    pub fn all() -> Scan {
        Scan::prefix(&())
    }

    /// The keys that start with `key`: the first parts of a tuple, for one.
    pub fn prefix(key: &impl Key) -> Scan {
        Scan { prefix: key.to_key(), from: None, until: None, after: None, newest_first: false }
    }

    /// From the greatest key down; ids being ordered by time, that is newest first.
    pub fn newest_first(mut self) -> Scan {
        self.newest_first = true;
        self
    }

    /// Goes on strictly behind this key, in the direction of travel: how the next page is read.
    pub fn after(mut self, key: impl Into<Vec<u8>>) -> Scan {
        self.after = Some(key.into());
        self
    }

    /// Only this key and greater ones, whatever the direction.
    pub fn from(mut self, key: impl Into<Vec<u8>>) -> Scan {
        self.from = Some(key.into());
        self
    }

    /// Only keys smaller than this one, whatever the direction.
    pub fn until(mut self, key: impl Into<Vec<u8>>) -> Scan {
        self.until = Some(key.into());
        self
    }

    pub(super) fn is_newest_first(&self) -> bool {
        self.newest_first
    }

    pub(super) fn bounds(&self) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let lowest = self.from.as_ref().map_or(&self.prefix, |from| from.max(&self.prefix));
        let mut lower = Bound::Included(lowest.clone());
        let ends = [after_prefix(&self.prefix), self.until.clone()];
        let mut upper = ends.into_iter().flatten().min().map_or(Bound::Unbounded, Bound::Excluded);
        match &self.after {
            Some(after) if self.newest_first => {
                let nearer = !matches!(&upper, Bound::Excluded(end) if end <= after);
                if nearer {
                    upper = Bound::Excluded(after.clone());
                }
            }
            Some(after) if after >= lowest => lower = Bound::Excluded(after.clone()),
            _ => {}
        }
        (lower, upper)
    }
}

type Changed<'a> = Box<dyn Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + 'a>;

/// Entries of a snapshot with layers of changes over it, all in one direction. Of several with the same key the
/// uppermost layer's counts, and a deletion hides the entry.
pub(super) struct Merge<'a> {
    /// The uppermost first.
    layers: Vec<Peekable<Changed<'a>>>,
    base: Peekable<Entries<'a>>,
    reverse: bool,
}

impl<'a> Merge<'a> {
    pub fn new(layers: Vec<Changed<'a>>, base: Entries<'a>, reverse: bool) -> Merge<'a> {
        let layers = layers.into_iter().map(Iterator::peekable).collect();
        Merge { layers, base: base.peekable(), reverse }
    }

    /// The key that is next in any layer.
    fn next_changed(&mut self) -> Option<&'a [u8]> {
        let reverse = self.reverse;
        let keys = self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key));
        if reverse { keys.max() } else { keys.min() }
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Entry, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(changed) = self.next_changed() else { return self.base.next() };
            let order = match self.base.peek() {
                Some(Err(_)) => return self.base.next(),
                Some(Ok((key, _))) => key.as_slice().cmp(changed),
                // Nothing committed is left: only what is changed counts.
                None if self.reverse => Ordering::Less,
                None => Ordering::Greater,
            };
            match if self.reverse { order.reverse() } else { order } {
                Ordering::Less => return self.base.next(),
                Ordering::Equal => drop(self.base.next()),
                Ordering::Greater => {}
            }
            let mut value = None;
            for layer in &mut self.layers {
                if let Some((_, change)) = layer.next_if(|(key, _)| *key == changed) {
                    value = value.or(Some(change));
                }
            }
            if let Some(Some(value)) = value {
                return Some(Ok((changed.to_vec(), value.to_vec())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::kernel::store::write_set::WriteSet;

    /// Keys of up to three of three bytes: prefixes, neighbours and the byte that cannot be counted up.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        vec(prop_oneof![Just(0u8), Just(7), Just(255)], 0..3)
    }

    struct Prefix(Vec<u8>);
    impl Key for Prefix {
        const WIDTH: Option<usize> = None;
        fn write(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }
        fn read(_: &mut &[u8]) -> Option<Self> {
            None
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn layers_over_a_snapshot_read_as_one_map(
            base in vec((key(), any::<u8>()), 0..8),
            layers in vec(vec((key(), proptest::option::of(any::<u8>())), 0..6), 0..4),
            prefix in key(), from in proptest::option::of(key()), until in proptest::option::of(key()),
            after in proptest::option::of(key()), newest_first: bool,
        ) {
            let committed: BTreeMap<Vec<u8>, Vec<u8>> =
                base.into_iter().map(|(key, value)| (key, vec![value])).collect();
            let mut model = committed.clone();
            let mut sets = Vec::new(); // the lowest first, as in a transaction
            for layer in layers {
                let mut set = WriteSet::default();
                for (key, value) in layer {
                    match value {
                        Some(value) => { model.insert(key.clone(), vec![value]); set.put("t", key, vec![value]) }
                        None => { model.remove(&key); set.delete("t", key) }
                    }
                }
                sets.push(set);
            }

            let mut scan = Scan::prefix(&Prefix(prefix.clone()));
            if newest_first { scan = scan.newest_first() }
            if let Some(from) = &from { scan = scan.from(from.clone()) }
            if let Some(until) = &until { scan = scan.until(until.clone()) }
            if let Some(after) = &after { scan = scan.after(after.clone()) }
            let (lower, upper) = scan.bounds();
            let directed = |entries: &mut dyn DoubleEndedIterator<Item = Entry>| -> Vec<Entry> {
                if newest_first { entries.rev().collect() } else { entries.collect() }
            };

            let wanted = directed(&mut model.into_iter().filter(|(key, _)| {
                key.starts_with(&prefix)
                    && from.as_ref().is_none_or(|from| key >= from)
                    && until.as_ref().is_none_or(|until| key < until)
                    && after.as_ref().is_none_or(|after| if newest_first { key < after } else { key > after })
            }));
            let mut below = WriteSet::default();
            committed.into_iter().for_each(|(key, value)| below.put("t", key, value));
            let below = below.range("t", &lower, &upper);
            let base = directed(&mut below.map(|(key, value)| (key.to_vec(), value.unwrap().to_vec())));
            let changed = sets.iter().rev().map(|set| -> Changed<'_> {
                let range = set.range("t", &lower, &upper);
                if newest_first { Box::new(range.rev()) } else { Box::new(range) }
            });
            let merge = Merge::new(changed.collect(), Box::new(base.into_iter().map(Ok)), newest_first);
            prop_assert_eq!(merge.collect::<Result<Vec<_>, _>>().unwrap(), wanted);
        }
    }
}
