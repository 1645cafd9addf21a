//! Limits: how much a user may put in and take out, at once and over time.
//!
//! Owns the rules (per operation, currency and tier, as fee rules are) and what every user used. Hears nothing: whoever
//! moves money asks [`contract::LimitContract::take`] in the transaction that does.
//!
//! Always true:
//! - What counts is what was asked for in the last 24 hours, or 30 days, to the microsecond, as far as it did not fail:
//!   what is pending counts too. Of a deposit, once it came, what came counts, when it came, be it more or less than
//!   was asked: it cannot be refused any more (what is over is credited in full, and its payment says `over`), but what
//!   is asked next can. It is kept whether or not there is a rule, so a new rule counts what went before.
//! - A day's total is the sum of that day's uses.
//! - One person tightens, two loosen: a rule that lets more through than the one that counts now waits until somebody
//!   else agrees.
//! - A rule for a tier replaces the one for all tiers; it is not added to it. Lowering a limit below what was used
//!   takes nothing back, and refuses what is new.

pub mod contract;
mod model;
pub(super) mod repository;
mod routes;
mod service;

use std::sync::Arc;

use self::{
    contract::{LimitContract, LimitRefusal},
    repository::{DAYS, LIMITS, PROPOSALS, USES},
    service::Limits,
};
use crate::kernel::boot::{Boot, BootError};

pub fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service =
        Arc::new(Limits { clients: boot.require()?, currencies: boot.require()?, users: boot.require()? });
    boot.tables(vec![LIMITS.info(), PROPOSALS.info(), USES.info(), DAYS.info()]);
    boot.refusals(LimitRefusal::CATALOGUE.iter().copied());
    boot.endpoints(routes::endpoints(&service));
    boot.check("a day's total is the sum of its uses", repository::wrong_days);
    boot.service::<dyn LimitContract>("limit", service.clone());
    boot.provide::<dyn LimitContract>(service)
}
