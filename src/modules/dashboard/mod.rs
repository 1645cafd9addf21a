//! Dashboard: the numbers people look at, for a user, a client, the installation.
//!
//! Owns counters, and a note of everything that waits for a person. Calls Currency, Client, User and Balance to show
//! them. Announces nothing. Hears what the other modules announce, in the transaction that announces it: what is counted
//! for which event is the table in `facts.rs`.
//!
//! ```text
//! event ─▶ facts ─▶ installation · client · user, each: in all · by day · by hour
//! ```
//!
//! Reading goes over no rows but counters: a statistic is one short range of totals, a series one range of days or
//! hours. What is held now is no counter, it is asked of the ledger. Each counter is written once for each job that
//! moves it, at its end, so that counting costs the hot path little (`counters.rs`).
//!
//! Always true, and checked by `coffer verify`: hours and days sum to the totals, the clients to the installation; what
//! was counted in the last day is what the events of that day say; as many wait as are counted to wait.
//! `coffer module rollback dashboard` and `coffer module migrate dashboard` count again, from the events that are kept.

mod counters;
mod facts;
mod migrations;
mod model;
mod routes;
mod service;
mod verify;

use std::sync::Arc;

use self::{
    counters::{COUNTERS, WAITING},
    service::Dashboard,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "dashboard",
    about: "Statistics and series of a user, a client, the installation",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Dashboard {
        currencies: boot.require()?,
        clients: boot.require()?,
        users: boot.require()?,
        balances: boot.require()?,
    });
    boot.tables(vec![COUNTERS.info(), WAITING.info()]);
    boot.endpoints(routes::endpoints(&service));
    facts::register(boot);
    boot.check("what was counted is what happened", verify::verify);
    Ok(())
}
