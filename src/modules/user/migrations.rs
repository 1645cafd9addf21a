//! What changed in how users are stored.

use super::repository::{BY_ROLE, BY_WORD, USERS};
use crate::kernel::{
    error::Result,
    store::{Scan, WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "find users by role", up: index, down: forget_roles },
    Migration { version: 2, name: "find users by name", up: index, down: forget_words },
];

fn index(tx: &mut WriteTx) -> Result<()> {
    tx.reindex(&USERS)
}

fn forget_roles(tx: &mut WriteTx) -> Result<()> {
    forget(tx, BY_ROLE)
}

fn forget_words(tx: &mut WriteTx) -> Result<()> {
    forget(tx, BY_WORD)
}

fn forget(tx: &mut WriteTx, index: &'static str) -> Result<()> {
    let entries: Vec<_> = tx.raw_scan(index, &Scan::all())?.collect::<Result<_>>()?;
    entries.into_iter().for_each(|(position, _)| tx.raw_delete(index, position));
    Ok(())
}
