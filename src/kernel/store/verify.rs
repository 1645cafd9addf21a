//! Whether a file holds what its rows say: every row decodes, and every index is exactly what its rows make it.

use super::{
    codec::Row,
    key::Key,
    scan::Scan,
    table::{Table, TableInfo, hex},
    tx::ReadTx,
};
use crate::kernel::error::Result;

/// What is reported of one table at most; the rest is counted.
const SHOWN: usize = 100;

/// One line for each thing that is wrong; empty when all is well.
pub fn verify_tables<'a>(
    tx: &ReadTx,
    tables: impl IntoIterator<Item = &'a TableInfo>,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for table in tables {
        wrong.extend((table.verify)(tx)?);
    }
    Ok(wrong)
}

/// Goes over the rows and asks for the index entries of each, then over the entries and asks for the row of each, so
/// that memory does not grow with the table.
pub(super) fn verify_table<K: Key, V: Row>(tx: &ReadTx, table: &Table<K, V>) -> Result<Vec<String>> {
    let mut report = Report::default();
    for entry in tx.raw_scan(table.name, &Scan::all())? {
        let (key_bytes, row_bytes) = entry?;
        let read =
            table.read_key(&key_bytes).and_then(|key| Ok((key, table.read_row(&key_bytes, &row_bytes)?)));
        let (key, row) = match read {
            Ok(read) => read,
            Err(error) => {
                report.add(error.to_string());
                continue;
            }
        };
        for index in table.indexes {
            for (position, value) in index.entries(&key, &row) {
                if tx.raw_get(index.name, &position)?.as_ref() != Some(&value) {
                    let (position, key) = (hex(&position), hex(&key_bytes));
                    report.add(format!("index {}: {position} does not lead to row {key}", index.name));
                }
            }
        }
    }
    for index in table.indexes {
        for entry in tx.raw_scan(index.name, &Scan::all())? {
            let (position, value) = entry?;
            let primary = match index.primary(&position, &value) {
                Ok(primary) => primary,
                Err(error) => {
                    report.add(error.to_string());
                    continue;
                }
            };
            // A row that does not decode was reported above; its entries cannot be judged.
            let listed = match tx.raw_get(table.name, primary)? {
                None => false,
                Some(bytes) => match (K::from_key(primary), V::decode_row(&bytes)) {
                    (Some(key), Ok(row)) => index.entries(&key, &row).iter().any(|(is, _)| *is == position),
                    _ => true,
                },
            };
            if !listed {
                let (position, key) = (hex(&position), hex(primary));
                report
                    .add(format!("index {}: {position} is too many, row {key} does not have it", index.name));
            }
        }
    }
    Ok(report.finish(table.name))
}

#[derive(Default)]
struct Report {
    shown: Vec<String>,
    more: usize,
}

impl Report {
    fn add(&mut self, line: String) {
        if self.shown.len() < SHOWN { self.shown.push(line) } else { self.more += 1 }
    }

    fn finish(mut self, table: &str) -> Vec<String> {
        if self.more > 0 {
            self.shown.push(format!("table {table}: {} more like these", self.more));
        }
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::{
        store::{Store, StoreOptions},
        table::Index,
        tx::WriteTx,
    };

    const AGES: Table<u32, u64> = Table::new("test.ages").with_indexes(&[
        Index::listing("test.ages_by_age", |_, age| vec![age.to_key()]),
        Index::lookup("test.ages_by_double", |_, age| vec![(age * 2).to_key()]),
    ]);

    /// What is found after `damage` was done to a table of two good rows.
    fn found(damage: impl FnOnce(&mut WriteTx) + Send + 'static) -> Vec<String> {
        let store = Store::in_memory(StoreOptions::default());
        store
            .write_blocking(|tx| {
                tx.put(&AGES, &1, &40)?;
                tx.put(&AGES, &2, &41)?;
                damage(tx);
                Ok(())
            })
            .unwrap();
        store.read_unbounded(|tx| verify_tables(tx, &[AGES.info()])).unwrap()
    }

    #[test]
    fn a_table_kept_by_put_and_delete_is_well() {
        assert_eq!(found(|tx| assert!(tx.delete(&AGES, &2).unwrap())), Vec::<String>::new());
    }

    #[test]
    fn a_row_changed_behind_its_indexes_is_noticed_from_both_sides() {
        let found = found(|tx| tx.raw_put(AGES.name, 1u32.to_key(), 50u64.encode_row()));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("does not lead to row") && found[3].contains("too many"), "{found:?}");
    }

    #[test]
    fn an_entry_without_a_row_and_a_row_without_an_entry_are_noticed() {
        let orphan = found(|tx| tx.raw_put("test.ages_by_age", (7u64, 9u32).to_key(), vec![]));
        let bare = found(|tx| tx.raw_delete("test.ages_by_double", 80u64.to_key()));
        assert_eq!((orphan.len(), bare.len()), (1, 1), "{orphan:?} {bare:?}");
    }

    #[test]
    fn a_row_that_does_not_decode_is_noticed() {
        let found = found(|tx| tx.raw_put(AGES.name, 1u32.to_key(), vec![1, 2, 3, 4, 5, 6]));
        assert!(found.len() == 1 && found[0].contains("checksum"), "{found:?}");
    }
}
