//! The tables of investments: key → value in words.

use super::{
    contract::InvestmentId,
    model::{AccrualRow, Investment},
};
use crate::kernel::{
    api::{
        call::found,
        object::{by_external_id, save},
        principal::ClientId,
    },
    clock::Time,
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table, WriteTx},
};

/// (client, user) → its investments
pub const BY_USER: &str = "investment.by_user";
/// (client, external id) → the investment that has it
pub const BY_EXTERNAL_ID: &str = "investment.by_external_id";
/// instant → what is due then
const BY_DUE: &str = "investment.by_due";

/// (client, investment) → investment
pub const INVESTMENTS: Table<(ClientId, InvestmentId), Investment> = Table::new("investment.investments")
    .with_indexes(&[
        Index::listing(BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
        by_external_id(BY_EXTERNAL_ID),
        Index::listing(BY_DUE, |_, row| row.due_at.iter().map(Time::to_key).collect()),
    ]);

/// (client, investment, period) → what was credited for it: each period once
pub const ACCRUALS: Table<(ClientId, InvestmentId, u32), AccrualRow> = Table::new("investment.accruals");

/// Refuses `not_found`, for another client's too.
pub fn load(tx: &ReadTx, client: ClientId, id: InvestmentId) -> Result<Investment> {
    found(tx.get(&INVESTMENTS, &(client, id))?)
}

/// Stores a change, and when the timer is to look again.
pub fn store(tx: &mut WriteTx, client: ClientId, id: InvestmentId, row: &mut Investment) -> Result<()> {
    row.due_at = row.next_due()?;
    save(tx, &INVESTMENTS, &(client, id), row)
}

/// What was credited so far, in order.
pub fn accruals(tx: &ReadTx, client: ClientId, id: InvestmentId) -> Result<Vec<AccrualRow>> {
    tx.scan(&ACCRUALS, Scan::prefix(&(client, id))).map(|it| it.map(|it| it.1)).collect()
}

/// The earliest instant at which something is due.
pub fn first_due(tx: &ReadTx) -> Result<Option<Time>> {
    let first = tx.scan_index(&INVESTMENTS, BY_DUE, Scan::all()).next().transpose()?;
    Ok(first.and_then(|it| it.1.due_at))
}

/// Some of what is due, the longest due first.
pub fn due(tx: &ReadTx, most: usize) -> Result<Vec<(ClientId, InvestmentId)>> {
    let end = Time::from_micros(tx.now().micros() + 1).to_key();
    let rows = tx.scan_index(&INVESTMENTS, BY_DUE, Scan::all().until(end));
    rows.take(most).map(|it| it.map(|(key, _)| key)).collect()
}
