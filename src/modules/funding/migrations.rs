//! What changed in how fundings are stored.

use super::repository::{REFERRALS, REFERRALS_BY_REFERRER};
use crate::kernel::{
    error::Result,
    store::{Scan, WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "find referrals by referrer", up: index, down: forget }];

fn index(tx: &mut WriteTx) -> Result<()> {
    tx.reindex(&REFERRALS)
}

fn forget(tx: &mut WriteTx) -> Result<()> {
    let entries: Vec<_> = tx.raw_scan(REFERRALS_BY_REFERRER, &Scan::all())?.collect::<Result<_>>()?;
    entries.into_iter().for_each(|(position, _)| tx.raw_delete(REFERRALS_BY_REFERRER, position));
    Ok(())
}
