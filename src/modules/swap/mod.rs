//! Swap: one currency of a user for another, at a price that was promised.
//!
//! Owns quotes and swaps. Calls Market for the middle rate, Pricing for spread and fee, Client, User and Currency,
//! Balance and Transaction. Announces `swap.executed`. Hears nothing.
//!
//! ```text
//! POST swaps/quotes ─▶ active ── POST swaps ─▶ accepted ─▶ the swap: one entry
//!                        ├── cancel ─▶ canceled               user −from   fx +(from − fee)   fee_income +fee
//!                        └── its time passes ─▶ expired       fx −to       user +to
//! ```
//!
//! What the customer receives rounds down, what it pays rounds up; the fraction of a unit that this leaves is part of
//! the house's position in `fx`, since both legs are whole units and nothing of them is left over to be posted.
//!
//! Always true: a quote is accepted exactly when it has its swap, and has at most one; a swap moved what its quote
//! promised, in one entry that sums to zero in each of its two currencies; whatever the prices, going there and back
//! at the same ones earns nothing.

pub mod contract;
pub mod events;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::SwapRefusal,
    events::SwapExecuted,
    repository::{QUOTES, SWAPS},
    service::Swaps,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "swap",
    about: "Locked quotes, swaps of one currency for another, rate history",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Swaps {
        clients: boot.require()?,
        users: boot.require()?,
        currencies: boot.require()?,
        market: boot.require()?,
        pricing: boot.require()?,
        balance: boot.require()?,
        transactions: boot.require()?,
    });
    boot.tables(vec![QUOTES.info(), SWAPS.info()]);
    boot.refusals(SwapRefusal::CATALOGUE.iter().copied());
    boot.alias("quo", "quote");
    boot.alias("swp", "swap");
    boot.machine(model::QUOTE.table());
    boot.announces::<SwapExecuted>();
    boot.endpoints(routes::endpoints(&service));
    boot.job(service::expire::job());
    boot.check("swaps moved what their quotes promised", move |tx| service.verify(tx));
    Ok(())
}
