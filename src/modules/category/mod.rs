//! Category: what transactions are sorted by, under stable keys.
//!
//! Owns the categories a client made for itself; the built-in ones are constants and stored nowhere. Calls nobody,
//! announces nothing, hears nothing.
//!
//! Always true: a key means the same thing for ever. A category that a transaction carries is never deleted, only
//! deactivated, and none of a client's own has the key of a built-in one.

pub mod contract;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::{CategoryContract, CategoryRefusal},
    repository::CATEGORIES,
    service::CategoryService,
};
use crate::kernel::{
    boot::{Boot, BootError, Module},
    store::Scan,
};

pub const MODULE: Module = Module {
    name: "category",
    about: "Transaction categories: the built-in ones and each client's own",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(CategoryService);
    boot.tables(vec![CATEGORIES.info()]);
    boot.refusals(CategoryRefusal::CATALOGUE.iter().copied());
    boot.alias("cat", "category");
    boot.endpoints(routes::endpoints(&service));
    boot.check("no category of a client has the key of a built-in one", |tx| {
        let rows = tx.scan(&CATEGORIES, Scan::all()).collect::<Result<Vec<_>, _>>()?;
        let wrong = rows.iter().filter(|((_, key), row)| model::is_built_in(key) || row.key != *key);
        Ok(wrong.map(|((client, key), _)| format!("{client}: {key}")).collect())
    });
    boot.service::<dyn CategoryContract>("category", service.clone());
    boot.provide::<dyn CategoryContract>(service)
}
