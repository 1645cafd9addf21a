//! Pricing: what operations cost, how much of them a user may do, and what investments earn.
//!
//! Owns fee rules (spreads among them), limits ([`limit`]) and investment plans. Calls Currency and User. Announces
//! `plan.published`, `plan.paused` and `plan.closed`; hears nobody. Whoever charges a fee asks
//! [`contract::PricingContract::fee`], as the preview does; whoever credits profit asks [`contract::Terms::schedule`],
//! as the preview does.
//!
//! Always true:
//! - No two active rules apply to exactly the same, and the most specific one that applies decides alone
//!   (`model/rule.rs`).
//! - The terms of a plan never change once it was published, and of the versions of one plan at most one is on offer.

pub mod contract;
pub mod events;
mod limit;
mod model;
mod repository;
mod routes;
mod service;
mod terms;

use std::sync::Arc;

use self::{
    contract::{PricingContract, PricingRefusal},
    model::{plan::PLAN, rule::FEE},
    repository::{FEES, PLANS},
    service::Pricing,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "pricing",
    about: "Fee rules and spreads; limits; investment plans and their versions",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service =
        Arc::new(Pricing { clients: boot.require()?, currencies: boot.require()?, users: boot.require()? });
    service.users.judge_tiers(Box::new(service::is_better_tier));
    boot.tables(vec![FEES.info(), PLANS.info()]);
    boot.refusals(PricingRefusal::CATALOGUE.iter().copied());
    boot.alias("fee", "fee");
    boot.alias("pln", "plan");
    boot.machine(FEE.table());
    boot.machine(PLAN.table());
    events::announced(boot);
    boot.endpoints(routes::endpoints(&service));
    boot.check("one rule and one version of a plan counts", service::verify);
    boot.service::<dyn PricingContract>("pricing", service.clone());
    boot.provide::<dyn PricingContract>(service)?;
    limit::register(boot)
}
