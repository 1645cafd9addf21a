//! What changed in how users are stored.

use super::repository::{BY_ROLE, USERS};
use crate::kernel::{
    error::Result,
    store::{Scan, WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "find users by role", up: index, down: forget }];

fn index(tx: &mut WriteTx) -> Result<()> {
    tx.reindex(&USERS)
}

fn forget(tx: &mut WriteTx) -> Result<()> {
    let entries: Vec<_> = tx.raw_scan(BY_ROLE, &Scan::all())?.collect::<Result<_>>()?;
    entries.into_iter().for_each(|(position, _)| tx.raw_delete(BY_ROLE, position));
    Ok(())
}
