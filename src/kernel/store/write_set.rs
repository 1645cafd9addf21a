//! What a transaction has changed, as a plain value: table → key → new bytes, or none for "deleted".
//!
//! The overlay of a job is one, the batch of the writer is one, and what the engine commits is one. Nothing in it
//! depends on an engine, so it can be written to a journal and replayed.

use std::{borrow::Cow, collections::BTreeMap, ops::Bound};

/// The changes of one table.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct WriteSet {
    /// A handful at most: searching a short list beats hashing a name.
    tables: Vec<(Cow<'static, str>, Changes)>,
    rows: usize,
    bytes: usize,
    /// Tables that are made, or dropped, whatever is in them; the last word about each counts.
    fates: Vec<(Cow<'static, str>, Fate)>,
}

/// What becomes of a table besides its rows: a migration's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there, even without a row.
    Made,
    /// It goes, once it is empty.
    Dropped,
}

impl WriteSet {
    pub fn put(&mut self, table: impl Into<Cow<'static, str>>, key: Vec<u8>, value: Vec<u8>) {
        self.set(table.into(), key, Some(value));
    }

    pub fn delete(&mut self, table: impl Into<Cow<'static, str>>, key: Vec<u8>) {
        self.set(table.into(), key, None);
    }

    /// `None`: not changed here. `Some(None)`: deleted here.
    pub fn get(&self, table: &str, key: &[u8]) -> Option<Option<&[u8]>> {
        self.changes(table)?.get(key).map(Option::as_deref)
    }

    /// The changes between two bounds, in the order of their keys.
    pub fn range<'a>(
        &'a self,
        table: &str,
        lower: &Bound<Vec<u8>>,
        upper: &Bound<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let bounds = (lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
        self.changes(table)
            .filter(|_| !is_empty(bounds))
            .map(|changes| changes.range::<[u8], _>(bounds))
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    pub fn decide(&mut self, table: impl Into<Cow<'static, str>>, fate: Fate) {
        let table = table.into();
        self.fates.retain(|(name, _)| *name != table);
        self.fates.push((table, fate));
    }

    /// The tables that are made or dropped.
    pub fn fates(&self) -> impl Iterator<Item = (&str, Fate)> {
        self.fates.iter().map(|(name, fate)| (name.as_ref(), *fate))
    }

    /// Lays `above` over this.
    pub fn merge(&mut self, above: WriteSet) {
        if self.tables.is_empty() && self.fates.is_empty() {
            *self = above;
            return;
        }
        for (table, fate) in above.fates {
            self.decide(table, fate);
        }
        for (table, changes) in above.tables {
            if self.place(&table).is_none() {
                self.adopt(table, changes);
                continue;
            }
            for (key, value) in changes {
                self.set(table.clone(), key, value);
            }
        }
    }

    /// Table by table, in the order of first change.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &Changes)> {
        self.tables.iter().map(|(name, changes)| (name.as_ref(), changes))
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.fates.is_empty()
    }

    /// How many keys are changed, those of indexes included.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many bytes of keys and values there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the changes of a table that has none here.
    fn adopt(&mut self, table: Cow<'static, str>, changes: Changes) {
        let bytes =
            |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows += changes.len();
        self.bytes += changes.iter().map(bytes).sum::<usize>();
        self.tables.push((table, changes));
    }

    fn set(&mut self, table: Cow<'static, str>, key: Vec<u8>, value: Option<Vec<u8>>) {
        let place = match self.place(&table) {
            Some(place) => place,
            None => {
                self.tables.push((table, Changes::new()));
                self.tables.len() - 1
            }
        };
        let (key_bytes, new_bytes) = (key.len(), value.as_ref().map_or(0, Vec::len));
        match self.tables[place].1.insert(key, value) {
            None => {
                self.rows += 1;
                self.bytes += key_bytes + new_bytes;
            }
            Some(old) => self.bytes = self.bytes + new_bytes - old.map_or(0, |old| old.len()),
        }
    }

    fn changes(&self, table: &str) -> Option<&Changes> {
        self.place(table).map(|place| &self.tables[place].1)
    }

    /// Names are constants, so that the same table is nearly always the same pointer.
    fn place(&self, table: &str) -> Option<usize> {
        self.tables
            .iter()
            .position(|(name, _)| std::ptr::eq(name.as_ref(), table))
            .or_else(|| self.tables.iter().position(|(name, _)| name == table))
    }
}

/// Whether no key can lie between the bounds. The range functions of ordered maps panic on some of these.
pub fn is_empty((lower, upper): (Bound<&[u8]>, Bound<&[u8]>)) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (lower, upper) {
        (Unbounded, Excluded(upper)) => upper.is_empty(),
        (_, Unbounded) | (Unbounded, _) => false,
        (Included(lower), Included(upper)) => lower > upper,
        (Included(lower) | Excluded(lower), Included(upper) | Excluded(upper)) => lower >= upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(set: &WriteSet, table: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        set.range(table, &Bound::Unbounded, &Bound::Unbounded)
            .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
            .collect()
    }

    #[test]
    fn what_is_laid_over_wins() {
        let (mut below, mut above) = (WriteSet::default(), WriteSet::default());
        below.put("t", vec![1], vec![1; 10]);
        below.put("t", vec![2], vec![2; 10]);
        above.delete("t", vec![1]);
        above.put("u", vec![3], vec![3]);
        below.merge(above);
        assert_eq!(all(&below, "t"), [(vec![1], None), (vec![2], Some(vec![2; 10]))]);
        assert_eq!(below.get("u", &[3]), Some(Some(&[3u8][..])));
        assert_eq!((below.rows(), below.bytes()), (3, 1 + 11 + 2));
    }

    #[test]
    fn the_last_word_about_a_table_counts() {
        let (mut below, mut above) = (WriteSet::default(), WriteSet::default());
        below.decide("t", Fate::Made);
        below.decide("u", Fate::Made);
        above.decide("t", Fate::Dropped);
        below.merge(above);
        assert_eq!(below.fates().collect::<Vec<_>>(), [("u", Fate::Made), ("t", Fate::Dropped)]);
        assert!(!below.is_empty());
    }

    #[test]
    fn bytes_are_those_of_the_last_value_of_each_key() {
        let mut set = WriteSet::default();
        set.put("t", vec![0; 4], vec![0; 100]);
        set.put(String::from("t"), vec![0; 4], vec![0; 6]);
        assert_eq!((set.rows(), set.bytes(), set.tables().count()), (1, 10, 1));
    }

    #[test]
    fn bounds_the_wrong_way_round_hold_nothing() {
        let mut set = WriteSet::default();
        set.put("t", vec![1], vec![]);
        for (lower, upper) in [
            (Bound::Included(vec![2]), Bound::Excluded(vec![1])),
            (Bound::Excluded(vec![1]), Bound::Excluded(vec![1])),
            (Bound::Excluded(vec![1]), Bound::Included(vec![1])),
        ] {
            assert_eq!(set.range("t", &lower, &upper).count(), 0);
        }
        assert_eq!(set.range("t", &Bound::Included(vec![1]), &Bound::Included(vec![1])).count(), 1);
        assert_eq!(set.range("nowhere", &Bound::Unbounded, &Bound::Unbounded).count(), 0);
    }
}
