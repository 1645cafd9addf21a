//! Lists: newest first, by cursor.
//!
//! A cursor is the key of the last row looked at and a hash of the filters, so that it cannot be used with others.
//! A page that filters strictly looks at a bounded number of rows and may come back short, with a cursor to go on.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::input::{Field, Flaw, Flaws, input};
use crate::kernel::{
    clock::Time,
    error::{Error, Result, fault},
    store::{Key, ReadTx, Row, Scan, Table},
};

/// How many rows one page looks at before it comes back short.
const MOST_ROWS_LOOKED_AT: usize = 10_000;

/// A page of a list.
#[derive(Debug, Serialize)]
pub struct Page<T> {
    object: &'static str,
    pub data: Vec<T>,
    has_more: bool,
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list that is short by nature and comes whole.
    pub fn whole(data: Vec<T>) -> Page<T> {
        Page { object: "list", data, has_more: false, next_cursor: None }
    }

    /// A page put together elsewhere; `next` is the position to go on behind, when there is more.
    pub fn of(data: Vec<T>, paging: &Paging, next: Option<Vec<u8>>) -> Page<T> {
        let next_cursor = next.map(|it| paging.cursor_at(&it));
        Page { object: "list", data, has_more: next_cursor.is_some(), next_cursor }
    }

    /// As [`Page::map`], where making a row may fail.
    pub fn try_map<O>(self, f: impl FnMut(T) -> Result<O>) -> Result<Page<O>> {
        let data = self.data.into_iter().map(f).collect::<Result<_>>()?;
        Ok(Page { object: self.object, data, has_more: self.has_more, next_cursor: self.next_cursor })
    }

    /// A list that finds its own way on; the last page has no `next_cursor`.
    pub fn part(data: Vec<T>, next_cursor: Option<String>) -> Page<T> {
        Page { object: "list", data, has_more: next_cursor.is_some(), next_cursor }
    }

    pub fn map<O>(self, f: impl FnMut(T) -> O) -> Page<O> {
        let data = self.data.into_iter().map(f).collect();
        Page { object: self.object, data, has_more: self.has_more, next_cursor: self.next_cursor }
    }
}

/// `limit`, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub usize);

impl Field for Limit {
    fn parse(value: serde_json::Value) -> Result<Self, Flaws> {
        let limit = u64::parse(value)?;
        if (1..=100).contains(&limit) { Ok(Limit(limit as usize)) } else { Err(Limit::flaw()) }
    }
    fn parse_query(text: String) -> Result<Self, Flaws> {
        text.parse::<u64>().map_err(|_| Limit::flaw()).and_then(|it| Limit::parse(it.into()))
    }
    fn absent() -> Option<Self> {
        Some(Limit(25))
    }
}

impl Limit {
    fn flaw() -> Flaws {
        vec![Flaw::new("", "out_of_range", "must be from 1 to 100")]
    }
}

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

impl Field for Cursor {
    fn parse(value: serde_json::Value) -> Result<Self, Flaws> {
        let bytes = value.as_str().and_then(|it| BASE64URL_NOPAD.decode(it.as_bytes()).ok());
        bytes
            .filter(|it| (4..=600).contains(&it.len()))
            .map(Cursor)
            .ok_or_else(|| vec![Flaw::new("", "invalid_format", "must be a next_cursor of this list")])
    }
}

/// The query of a list without filters.
pub struct PageQuery {
    limit: Limit,
    cursor: Option<Cursor>,
}
input!(PageQuery { limit, cursor });

impl PageQuery {
    pub fn paging(&self) -> Paging {
        self.paging_of("all")
    }

    /// Of a list that belongs to something: another one's cursor is refused.
    pub fn paging_of(&self, whose: impl std::fmt::Debug) -> Paging {
        Paging::new(self.limit, &self.cursor, whose)
    }
}

/// What every list takes: spread into its input struct as `limit, cursor`.
#[derive(Debug, Clone)]
pub struct Paging {
    limit: usize,
    cursor: Option<Cursor>,
    /// A hash of the filters the cursor belongs to.
    filters: [u8; 4],
}

impl Paging {
    /// `filters` is anything whose debug form says which rows the list shows.
    pub fn new(limit: Limit, cursor: &Option<Cursor>, filters: impl std::fmt::Debug) -> Paging {
        let filters = crc32fast::hash(format!("{filters:?}").as_bytes()).to_be_bytes();
        Paging { limit: limit.0, cursor: cursor.clone(), filters }
    }

    /// What to say of a cursor that no list gave out.
    pub fn bad_cursor() -> Error {
        Flaw::new("cursor", "invalid_format", "must be a next_cursor of this list").into()
    }

    /// The key to go on behind; refuses a cursor of another list.
    pub fn behind(&self) -> Result<Option<&[u8]>> {
        match &self.cursor {
            None => Ok(None),
            Some(Cursor(bytes)) => match bytes.split_at_checked(4) {
                Some((filters, key)) if filters == self.filters => Ok(Some(key)),
                _ => {
                    Err(Flaw::new("cursor", "invalid_format", "belongs to a list with other filters").into())
                }
            },
        }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn cursor_at(&self, key: &[u8]) -> String {
        BASE64URL_NOPAD.encode(&[&self.filters, key].concat())
    }
}

/// The rows of `table` under `prefix`, newest first, those that `keep` wants.
pub fn page<K: Key, V: Row>(
    tx: &ReadTx,
    table: &Table<K, V>,
    prefix: &impl Key,
    paging: &Paging,
    keep: impl Fn(&V) -> bool,
) -> Result<Page<(K, V)>> {
    let mut scan = Scan::prefix(prefix).newest_first();
    if let Some(key) = paging.behind()? {
        scan = scan.after(key.to_vec());
    }
    collect(tx.scan(table, scan), paging, |key, _| Ok(key.to_key()), keep)
}

/// The same through an index: newest first under a prefix that is all a listing lists by.
pub fn page_by<K: Key, V: Row>(
    tx: &ReadTx,
    table: &Table<K, V>,
    index: &str,
    prefix: &impl Key,
    paging: &Paging,
    keep: impl Fn(&V) -> bool,
) -> Result<Page<(K, V)>> {
    page_through(tx, table, index, prefix, Scan::prefix(prefix).newest_first(), paging, keep)
}

/// The same in the order of the index: what begins with a text, alphabetically. A row that is listed several times under
/// the prefix stands where it is first.
pub fn page_in_order<K: Key, V: Row>(
    tx: &ReadTx,
    table: &Table<K, V>,
    index: &str,
    prefix: &impl Key,
    paging: &Paging,
    keep: impl Fn(&V) -> bool,
) -> Result<Page<(K, V)>> {
    let mut scan = Scan::prefix(prefix);
    let behind = paging.behind()?;
    if let Some(key) = behind {
        scan = scan.after(key.to_vec());
    }
    let prefix = prefix.to_key();
    let first = |key: &K, row: &V| {
        let listed = table.position(index, &prefix, key, row)?;
        listed.ok_or_else(|| fault!("index {index} lists a row it should not: run verify"))
    };
    let mut seen = BTreeSet::new();
    let rows = tx.scan_index(table, index, scan).filter(|it| match it {
        Ok((key, row)) => match first(key, row) {
            Ok(position) => behind.is_none_or(|it| &*position > it) && seen.insert(position),
            Err(_) => true, // Said again, and answered, where the page is collected.
        },
        Err(_) => true,
    });
    collect(rows, paging, first, keep)
}

/// The cursor is the key inside the index.
fn page_through<K: Key, V: Row>(
    tx: &ReadTx,
    table: &Table<K, V>,
    index: &str,
    prefix: &impl Key,
    mut scan: Scan,
    paging: &Paging,
    keep: impl Fn(&V) -> bool,
) -> Result<Page<(K, V)>> {
    if let Some(key) = paging.behind()? {
        scan = scan.after(key.to_vec());
    }
    let prefix = prefix.to_key();
    let position = |key: &K, row: &V| {
        let listed = table.position(index, &prefix, key, row)?;
        listed.ok_or_else(|| fault!("index {index} lists a row it should not: run verify"))
    };
    collect(tx.scan_index(table, index, scan), paging, position, keep)
}

/// A page of a list that is short enough to be made whole: `items` in either order of their positions.
pub fn page_of<T>(items: Vec<T>, paging: &Paging, position: impl Fn(&T) -> Vec<u8>) -> Result<Page<T>> {
    let behind = paging.behind()?;
    let mut data: Vec<T> = items;
    let is_descending = match (data.first(), data.last()) {
        (Some(first), Some(last)) => position(first) > position(last),
        _ => false,
    };
    // By comparison, not by search: the row the cursor names may be gone.
    data.retain(|it| {
        behind.is_none_or(|key| {
            let here = position(it);
            if is_descending { here.as_slice() < key } else { here.as_slice() > key }
        })
    });
    let has_more = data.len() > paging.limit;
    data.truncate(paging.limit);
    let next_cursor = data.last().filter(|_| has_more).map(|it| paging.cursor_at(&position(it)));
    Ok(Page { object: "list", data, has_more, next_cursor })
}

fn collect<K, V>(
    rows: impl Iterator<Item = Result<(K, V)>>,
    paging: &Paging,
    position: impl Fn(&K, &V) -> Result<Vec<u8>>,
    keep: impl Fn(&V) -> bool,
) -> Result<Page<(K, V)>> {
    let mut data = vec![];
    let mut last: Option<Vec<u8>> = None;
    for (looked_at, row) in rows.enumerate() {
        let (key, value) = row?;
        // One more than the page wants is there: so there is more.
        let full = data.len() == paging.limit && keep(&value);
        if full || looked_at == MOST_ROWS_LOOKED_AT {
            let next_cursor = last.map(|it| paging.cursor_at(&it));
            return Ok(Page { object: "list", data, has_more: true, next_cursor });
        }
        last = Some(position(&key, &value)?);
        if data.len() < paging.limit && keep(&value) {
            data.push((key, value));
        }
    }
    Ok(Page { object: "list", data, has_more: false, next_cursor: None })
}

/// `created_from` (inclusive) and `created_to` (exclusive), as every list filters.
pub fn created_within(created_at: Time, from: Option<Time>, to: Option<Time>) -> bool {
    from.is_none_or(|it| created_at >= it) && to.is_none_or(|it| created_at < it)
}

/// A list as CSV: the columns are the fields of its objects; nested values are JSON text.
pub struct Csv {
    columns: Option<Vec<String>>,
    is_begun: bool,
}

impl Csv {
    /// `columns` as documented; `None` takes those of the first row.
    pub fn new(columns: Option<Vec<String>>) -> Csv {
        Csv { columns: columns.filter(|it| !it.is_empty()), is_begun: false }
    }

    /// The rows of one page (with the header before the first).
    pub fn piece(&mut self, page: &serde_json::Value) -> Result<Vec<u8>, csv::Error> {
        let rows =
            page.get("data").and_then(serde_json::Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut writer = csv::Writer::from_writer(vec![]);
        for row in rows.iter().filter_map(serde_json::Value::as_object) {
            let columns = self.columns.get_or_insert_with(|| row.keys().cloned().collect());
            if !self.is_begun {
                writer.write_record(&*columns)?;
                self.is_begun = true;
            }
            writer.write_record(columns.iter().map(|it| cell(row.get(it))))?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }
}

/// Text that a spreadsheet would take for a formula gets an apostrophe before it. Numbers stay numbers.
/// <https://owasp.org/www-community/attacks/CSV_Injection>
fn cell(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => {
            let dangerous = text.starts_with(['=', '+', '@', '-', '\t', '\r']);
            let number = text
                .strip_prefix('-')
                .is_some_and(|it| it.parse::<super::super::money::AmountText>().is_ok());
            if dangerous && !number { format!("'{text}") } else { text.clone() }
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_short_list_is_paged_like_a_table() {
        let items = || vec!["a", "b", "c"];
        let position = |it: &&str| it.as_bytes().to_vec();
        let paging = |cursor: Option<String>| {
            let cursor = cursor.map(|it| Cursor::parse(it.into()).unwrap());
            Paging::new(Limit(2), &cursor, ())
        };
        let first = page_of(items(), &paging(None), position).unwrap();
        assert_eq!((&first.data, first.has_more), (&vec!["a", "b"], true));
        let second = page_of(items(), &paging(first.next_cursor), position).unwrap();
        assert_eq!((second.data, second.has_more, second.next_cursor), (vec!["c"], false, None));
    }

    #[test]
    fn a_formula_in_a_csv_cell_is_neutralised_and_an_amount_is_not() {
        let page =
            json!({ "data": [{ "a": "=1+1", "b": "-5.00", "c": null, "d": "-cmd" }, { "a": "x", "e": 1 }] });
        let text = String::from_utf8(Csv::new(None).piece(&page).unwrap()).unwrap();
        assert_eq!(text, "a,b,c,d\n'=1+1,-5.00,,'-cmd\nx,,,\n");
    }

    #[test]
    fn a_list_made_whole_is_paged_in_either_order_and_loses_nothing() {
        for items in [vec![1u8, 2, 3, 4, 5], vec![5, 4, 3, 2, 1]] {
            let (mut seen, mut cursor) = (vec![], None);
            loop {
                let paging = Paging::new(Limit(2), &cursor, ());
                let page = page_of(items.clone(), &paging, |it| vec![*it; 4]).unwrap();
                seen.extend(page.data);
                match page.next_cursor {
                    Some(next) => cursor = Some(Cursor::parse(next.into()).unwrap()),
                    None => break,
                }
            }
            assert_eq!(seen, items);
        }
    }
}
