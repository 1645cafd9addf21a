//! Funding: money that becomes a user's: deposits, and credits by staff.
//!
//! Owns fundings, and who was paid for bringing whom. Calls Payment (a deposit is paid through one), Market for one
//! that is paid in another currency, Pricing for fees, Client for limits, User, Currency, Balance and Transaction.
//! Announces `funding.requested`, `completed`, `failed`, `canceled`, `expired`, `conflicted` and `reversed`. Hears what
//! becomes of its payments, in their own transactions, and, after the fact, its own completed deposits: whoever brought
//! the user gets a commission, as the settings say. As soon as a part of that deposit goes back (reversed, refunded,
//! charged back) the commission is taken back, once; when its account lacks the money it is owed, visible in
//! `users/{id}/referrals`, and taken once it is there. A dispute that is won gives it again.
//!
//! ```text
//! POST fundings ─▶ pending ── payment.initiated ─▶ processing ── payment.settled ─▶ completed ── reverse ─▶ reversed
//!                    │                               │  └─ payment.conflicted ─▶ conflicted ─▶ completed | failed
//!                    └── payment.canceled, expired ──┴───────────────────────────────┴─▶ canceled, expired, failed
//! ```
//!
//! Paid in another currency than credited, a deposit has a quote: what has to come, at which prices, and until when.
//! Exactly that, in time, credits exactly what was promised. Anything else is credited at the prices of the moment it
//! came; when there are none it waits in suspense (`conflicted`) until there are, and is never converted at a guess.
//!
//! ```text
//! paid in BTC, credited in USD:   clearing −BTC   fx +BTC     fx −USD   available +USD   fee_income +USD
//! ```
//!
//! Always true: a deposit is completed exactly when its payment settled, in one transaction, unless it waits for a
//! price; what the user got and the fee are together what came, or what the quote, or the prices kept with it, say it
//! is worth; nobody earns twice for bringing the same user; a reversal takes back the whole entry.

mod before;
pub mod contract;
pub mod events;
mod listeners;
mod migrations;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::FundingRefusal,
    repository::{FUNDINGS, REFERRALS},
    service::Fundings,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "funding",
    about: "Deposits, and credits by staff: profit, commission, transfer",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Fundings {
        clients: boot.require()?,
        market: boot.require()?,
        limits: boot.require()?,
        pricing: boot.require()?,
        users: boot.require()?,
        currencies: boot.require()?,
        balance: boot.require()?,
        transactions: boot.require()?,
        payments: boot.require()?,
    });
    boot.tables(vec![FUNDINGS.info(), REFERRALS.info()]);
    boot.refusals(FundingRefusal::CATALOGUE.iter().copied());
    boot.alias("fnd", "funding");
    boot.machine(model::FUNDING.table());
    events::announced(boot);
    boot.endpoints(routes::endpoints(&service));
    listeners::register(boot, &service);
    boot.job(service::price_job(&service));
    boot.job(service::owed_job(&service));
    boot.check("what a funding credited is what it says", move |tx| service.verify(tx));
    Ok(())
}
