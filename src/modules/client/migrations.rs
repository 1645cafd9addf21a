//! What changed in how clients and their keys are stored.

use super::{
    repository::{KEY_WARNINGS, KEYS},
    service::expiry::plan_warnings,
};
use crate::kernel::{
    error::Result,
    store::{Scan, WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "tell of keys before they expire", up: plan, down: forget }];

fn plan(tx: &mut WriteTx) -> Result<()> {
    let keys: Vec<_> = tx.scan(&KEYS, Scan::all()).collect::<Result<_>>()?;
    for ((client, _), key) in keys {
        plan_warnings(tx, client, &key)?;
    }
    Ok(())
}

fn forget(tx: &mut WriteTx) -> Result<()> {
    let planned: Vec<_> = tx.scan(&KEY_WARNINGS, Scan::all()).map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    for key in planned {
        tx.delete(&KEY_WARNINGS, &key)?;
    }
    Ok(())
}
