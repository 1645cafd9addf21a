//! Disputes: a payer's bank takes back what came.
//!
//! ```text
//! webhook (warning) ─▶ inquiry ── charge_back ─▶ open ── win ──▶ won
//!                       │ └ dismiss ─▶ dismissed  │ └ lose ─▶ lost ── win ─▶ won
//!                       └ await ─▶ unbooked ── charge_back ─┘
//! webhook, POST disputes ────────▶   └ win ─▶ won, lose ─▶ lost, dismiss ─▶ dismissed
//! ```
//!
//! Nobody is asked: the gateway has lost the money already when it tells. So the user's available money is lowered by
//! what was taken, below zero if the user has spent it. Few entries may (`BalanceContract::charge_back`: this one, and a
//! payout that went though it had been given back), and the user is frozen with it: no money leaves its accounts until
//! staff unfreeze it. A dispute that is won is booked back; the freeze stays, because lifting it is a person's decision.
//! While a bank only inquires nothing moves.
//!
//! What the bank took and the books cannot follow yet is `unbooked`, and booked as soon as they can:
//!
//! | unbooked because | booked |
//! |---|---|
//! | the payment has not settled | with its settling |
//! | nobody knows which payment it is about | once the gateway's reference of the money is that of an attempt, and settled |
//! | a refund of the same money is open | once the refund has ended: with what is left |
//! | all of it went back already | never: the payment asks for a person, who says who keeps it |
//!
//! Until then no refund of that money is asked for or approved (`payment_disputed`). When the bank keeps the money, a
//! refund that nobody was told of is canceled for it.
//!
//! Money in suspense is taken from there, and the item is closed; a dispute that is won puts it back. What was in
//! suspense and became a user's is taken from that user.
//!
//! A dispute that a person noted and the gateway tells of, in either order, is one: they are joined by the reference, or
//! else by being about the same payment. When their amounts differ, a person is asked.
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
