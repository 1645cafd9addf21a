//! What is stored before anybody asks: the catalogue of a new installation.

use super::{
    model::{CatalogueRow, reference},
    repository::CATALOGUE,
};
use crate::kernel::{
    api::object::Stamp,
    error::{Result, fault},
    store::{WriteTx, migration::Migration},
};

pub const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "seed the catalogue", up: seed, down: unseed }];

fn seed(tx: &mut WriteTx) -> Result<()> {
    for it in reference()? {
        let kind = it.kind.parse().map_err(|()| fault!("{} is no kind of currency", it.kind))?;
        let row = CatalogueRow {
            id: tx.new_id(),
            code: it.code,
            name: it.name,
            symbol: it.symbol,
            kind,
            decimals: it.decimals,
            is_in_use: false,
            stamp: Stamp::at(tx.now()),
        };
        tx.put(&CATALOGUE, &it.code, &row)?;
    }
    Ok(())
}

fn unseed(tx: &mut WriteTx) -> Result<()> {
    for it in reference()? {
        tx.delete(&CATALOGUE, &it.code)?;
    }
    Ok(())
}
