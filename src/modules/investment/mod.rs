//! Investment: users' money put into plans.
//!
//! Owns investments and what they earned, period by period. Calls Pricing (plans, and the one function that says what a
//! period earns), Payment (an investment may be paid for through one), User, Client, Currency, Balance and Transaction.
//! Announces `investment.created`, `activated`, `accrued`, `matured`, `closed`, `early_closed`, `canceled`, `suspended`,
//! `resumed`, `default_requested` and `defaulted`. Hears what becomes of its payments, in their own transactions.
//!
//! ```text
//!                                  ┌─ suspended ─┐
//!                                  ▼             │
//! POST investments ─▶ pending ─▶ active ─────────┘──▶ matured ─▶ closed ─ roll ─▶ another investment
//!                        │         ├─ close ─▶ early_closed
//!                        ▼         ├─ a second person agrees ─▶ defaulted
//!                    canceled ◀────┘ cooling off
//! ```
//!
//! | what happens | postings |
//! |---|---|
//! | it is made, or its payment settles | available → invested |
//! | a period ends | yield_expense → available, or → invested when the plan compounds |
//! | it matures | invested → available; what is rolled over stays, or comes from the profit just paid |
//! | it is closed early | invested → available, the penalty → fee_income |
//! | it is canceled | invested → available |
//! | it defaults | invested → available as far as it was recovered, the rest → adjustment |
//!
//! Always true:
//! - What a user has invested is the sum of what its running investments say.
//! - What was credited is, period by period, what the schedule says: each period once, whenever the timer ran. A
//!   suspended investment stands still: all that was to come moves by as long as it stood.
//! - What is due is done before any command decides, whether or not the timer came to it.

pub mod contract;
pub mod events;
mod listeners;
mod model;
mod repository;
mod routes;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{
    contract::InvestmentRefusal,
    repository::{ACCRUALS, INVESTMENTS},
    service::Investments,
};
use crate::kernel::{
    boot::{Boot, BootError, Module},
    events::worker::Job,
};

pub const MODULE: Module = Module {
    name: "investment",
    about: "Users' money in plans: what it earns, and when it comes back",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Investments {
        clients: boot.require()?,
        users: boot.require()?,
        pricing: boot.require()?,
        balance: boot.require()?,
        transactions: boot.require()?,
        payments: boot.require()?,
    });
    boot.tables(vec![INVESTMENTS.info(), ACCRUALS.info()]);
    boot.refusals(InvestmentRefusal::CATALOGUE.iter().copied());
    boot.alias("inv", "investment");
    boot.machine(model::INVESTMENT.table());
    events::announced(boot);
    boot.announces::<events::InvestmentAccrued>();
    boot.endpoints(routes::endpoints(&service));
    listeners::register(boot, &service);
    let timer = service.clone();
    boot.job(Job {
        name: "investment.due",
        due: Arc::new(repository::first_due),
        run: Arc::new(move |tx| timer.do_due(tx)),
    });
    boot.check("what is invested is in running investments", move |tx| service.verify(tx));
    Ok(())
}
