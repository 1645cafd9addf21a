//! Payment: money on its way in, and the gateways it comes and goes through.
//!
//! Owns payments, their attempts, what came for them (settlements), and gateways. Calls Client for settings, User for
//! who may receive, Currency, Balance and Transaction to book plain charges and suspense. Announces `payment.created`,
//! `initiated`, `settled`, `failed`, `canceled`, `expired`, `conflicted` and `late`; hears nobody. What is paid for
//! (a funding) belongs to a module above, which hears `payment.settled` in the same transaction and books it.
//!
//! Always true:
//! - The same money is counted once: (client, gateway, the gateway's reference) is a key.
//! - What came is credited with its payment, waits for the rest of it, or is in suspense: never nowhere.
//! - Nothing is booked on a conflict: a person decides first. Whoever pays, or marked a large payment, is not that
//!   person.
//! - An open payment has an instant at which it expires, a processing one an instant at which its gateway is asked, or
//!   a person who has to decide (`review`).

mod adapter;
pub mod contract;
pub mod events;
mod model;
mod repository;
mod routes;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{
    adapter::Adapters,
    contract::{PaymentContract, PaymentRefusal},
    service::Payments,
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "payment",
    about: "Payments, their attempts, and the gateways money comes and goes through",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Payments {
        clients: boot.require()?,
        users: boot.require()?,
        currencies: boot.require()?,
        balance: boot.require()?,
        transactions: boot.require()?,
        adapters: Adapters::built_in(),
    });
    boot.tables(repository::tables());
    boot.refusals(PaymentRefusal::CATALOGUE.iter().copied());
    boot.alias("pay", "payment");
    boot.alias("att", "attempt");
    boot.alias("gtw", "gateway");
    boot.alias("stl", "settlement");
    boot.machine(model::PAYMENT.table());
    boot.machine(model::ATTEMPT.table());
    events::announced(boot);
    boot.announces::<events::PaymentSettled>();
    boot.endpoints(routes::endpoints(&service));
    boot.job(service::due_job(&service));
    let checking = service.clone();
    boot.check("what came for a payment is where it says", move |tx| checking.verify(tx));
    boot.service::<dyn PaymentContract>("payment", service.clone());
    boot.provide::<dyn PaymentContract>(service)
}
