//! Pricing: what operations cost.

pub mod contract;

use self::contract::PricingRefusal;
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module =
    Module { name: "pricing", about: "Fee rules, spreads, investment plans", register, migrations: &[] };

fn register(boot: &mut Boot) -> Result<(), BootError> {
    boot.refusals(PricingRefusal::CATALOGUE.iter().copied());
    boot.alias("fee", "fee");
    Ok(())
}
