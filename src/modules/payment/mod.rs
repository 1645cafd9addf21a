//! Payment: money on its way in, and the gateways it comes and goes through.
//!
//! Owns payments, their attempts, what came for them (settlements), refunds (see `refund/`), disputes (see `dispute/`),
//! gateways, their webhooks (see `inbound/`), credentials, addresses (see `crypto/`) and health. Calls Client for
//! settings, Pricing for what a plain charge costs, User for who may receive, Currency, Balance and Transaction to book
//! plain charges and suspense. Announces `payment.created`, `initiated`, `settled`, `failed`, `canceled`, `expired`,
//! `conflicted` and `late`, `suspense.assigned` and `dropped`, `transfer.unknown`, `payout.reported`, `refund.*` and
//! `dispute.*`. What is paid for (a funding, an investment) belongs to a module above, which hears `payment.settled` in
//! the same transaction and books it; `funding.reversed` is heard in turn, so that nothing is taken back twice.
//!
//! Always true:
//! - The same money is counted once: (client, gateway, the gateway's reference) is a key, and an address is one
//!   gateway's in the whole installation.
//! - What came is credited with its payment, waits for the rest of it, or is in suspense: never nowhere.
//! - Nothing is booked on a conflict: a person decides first. Whoever pays, or marked a large payment, is not that
//!   person.
//! - All that went back of a payment is never more than what came.
//! - A gateway is asked under the reference it was told under, so that asking twice does nothing twice; credentials are
//!   sealed where they are stored and open only in memory, for one call.
//! - Money leaves suspense when two people say whose it is, or back to whoever sent it: it is never swept.
//! - An open payment has an instant at which it expires, a processing one an instant at which its gateway is asked, or
//!   a person who has to decide (`review`).

mod adapter;
mod before;
pub mod contract;
mod crypto;
mod dispute;
pub mod events;
mod inbound;
mod migrations;
mod model;
mod refund;
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
use crate::kernel::{
    boot::{Boot, BootError, Module},
    events::event::Mode,
};

pub const MODULE: Module = Module {
    name: "payment",
    about: "Payments, their attempts, and the gateways money comes and goes through",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Payments {
        clients: boot.require()?,
        users: boot.require()?,
        pricing: boot.require()?,
        currencies: boot.require()?,
        balance: boot.require()?,
        transactions: boot.require()?,
        adapters: Adapters::built_in(&boot.net()),
        secrets: boot.secrets(),
        net: boot.net(),
    });
    boot.tables(repository::tables());
    boot.refusals(PaymentRefusal::CATALOGUE.iter().copied());
    boot.alias("pay", "payment");
    boot.alias("att", "attempt");
    boot.alias("gtw", "gateway");
    boot.alias("stl", "settlement");
    boot.alias("adr", "address");
    boot.alias("ref", "refund");
    boot.machine(model::PAYMENT.table());
    boot.machine(model::ATTEMPT.table());
    refund::register(boot);
    dispute::register(boot);
    boot.announces::<events::SuspenseAssigned>();
    boot.announces::<events::SuspenseDropped>();
    boot.announces::<events::TransferUnknown>();
    events::announced(boot);
    boot.announces::<events::PaymentSettled>();
    boot.announces::<events::PayoutReported>();
    boot.endpoints(routes::endpoints(&service));
    boot.job(service::due_job(&service));
    boot.job(service::refunds_job(&service));
    boot.job(inbound::prune_job());
    boot.job(crypto::watch_job(&service));
    boot.target(service::ASKING, service::asking_plan(), service::Questions::new(&service));
    boot.listen_with(&service, "payment.funding_reversed", Mode::Sync, Payments::reversed);
    let [checking, refunds, disputes] = [(); 3].map(|()| service.clone());
    boot.check("what goes back is held, then booked", move |tx| refunds.verify_refunds(tx));
    boot.check("what banks take back is booked", move |tx| disputes.verify_disputes(tx));
    boot.check("what came for a payment is where it says", move |tx| checking.verify(tx));
    boot.service::<dyn PaymentContract>("payment", service.clone());
    boot.provide::<dyn PaymentContract>(service)
}
