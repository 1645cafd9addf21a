//! Refunds: money that came and goes back to whoever sent it.
//!
//! ```text
//! POST refunds ─▶ requires_approval ── approve ─▶ pending ── succeed ─▶ succeeded
//!                   │   └ reject, cancel ─▶ canceled ◀─ cancel ─┘└ fail ─▶ failed
//! ```
//!
//! What is to go back is held from its user's available money from the first moment on, so that it cannot be spent
//! meanwhile, and is posted to the gateway's clearing account when it went. A payment made by no user is not refunded.
//! Money in suspense is refunded from there, by `POST suspense/{id}/refund`.
//!
//! A gateway that is asked over a network is told once, with the refund's id as its idempotency reference: claim · call
//! · settle. Of a gateway by hand a person pays back and says so (`mark-paid`, with the bank's reference).
//!
//! Always true: what is refunded of a payment, or is being refunded, and what was taken back otherwise are together
//! never more than what came; a refund has an open hold (or its money in suspense) exactly while it is undecided.

pub mod events;
pub mod model;
pub mod repository;
pub mod routes;
mod service;
mod verify;

pub use service::Reaching;

use crate::kernel::boot::Boot;

pub fn register(boot: &mut Boot) {
    boot.machine(model::REFUND.table());
    events::announced(boot);
}
