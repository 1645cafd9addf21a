//! Disputes: a payer's bank takes back what came.
//!
//! ```text
//! webhook (warning) ─▶ inquiry ── charge_back ─▶ open ── win ──▶ won
//!                         └ dismiss ─▶ dismissed  └ lose ─▶ lost ── win ─▶ won
//! webhook, POST disputes ────────────────────────▶ open
//! ```
//!
//! Nobody is asked: the gateway has lost the money already when it tells. So the user's available money is lowered by
//! what was taken, below zero if the user has spent it. It is the one entry that may (`BalanceContract::charge_back`),
//! and the user is frozen with it: no money leaves its accounts until staff unfreeze it. A dispute that is won is booked
//! back; the freeze stays, because lifting it is a person's decision. While a bank only inquires nothing moves.
//!
//! Always true: what is disputed (open or lost) and refunded of a payment is together never more than what came, however
//! much the bank claims; what it claims beyond that is left to a person, as the payment's `review`.

pub mod events;
pub mod model;
pub mod repository;
pub mod routes;
mod service;
mod verify;

use crate::kernel::boot::Boot;

pub fn register(boot: &mut Boot) {
    boot.alias("dsp", "dispute");
    boot.machine(model::DISPUTE.table());
    events::announced(boot);
}
