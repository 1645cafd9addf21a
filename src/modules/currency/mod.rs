//! Currency: the installation's catalogue, and which currencies each client uses.
//!
//! Owns the catalogue (code, name, symbol, kind, decimals), kept by the operator and begun from
//! `data/reference/currencies.toml`; and per client which currencies are active and which one is the default. Calls
//! nobody, hears nothing, announces `currency.default_changed`.
//!
//! Always true: a client has exactly one default currency, and it is active. Whatever a client has active is in the
//! catalogue with the same decimals: they cannot change from the first activation on, because from then on amounts
//! of the currency may be stored.

pub mod contract;
pub mod events;
mod migrations;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::{CurrencyContract, CurrencyRefusal},
    events::CurrencyDefaultChanged,
    repository::{CATALOGUE, CLIENTS},
    service::CurrencyService,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "currency",
    about: "The catalogue of currencies, and which of them each client uses",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(CurrencyService);
    boot.tables(vec![CATALOGUE.info(), CLIENTS.info()]);
    boot.refusals(CurrencyRefusal::CATALOGUE.iter().copied());
    boot.alias("cur", "currency");
    boot.announces::<CurrencyDefaultChanged>();
    boot.endpoints(routes::endpoints(&service));
    boot.check("the default currency of every client is active", repository::wrong_defaults);
    boot.service::<dyn CurrencyContract>("currency", service.clone());
    boot.provide::<dyn CurrencyContract>(service)
}
