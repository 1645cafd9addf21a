//! What gateways tell by themselves: `POST gateways/{id}/webhook`.
//!
//! ```text
//! bytes ─ signature over exactly these bytes, not older than 300 s (signature.rs) ─ in a snapshot: junk costs no write
//!       ─ JSON ─ a message (message.rs)
//!       ─ its id was seen before: nothing ─ mode, attempt, amount, currency ─ the same rules as for an answer
//! ```
//!
//! All of it in one transaction; the answer is the same 200 for the first time and for every repeat. What is not signed
//! is refused in one way whatever was wrong with it (gateway, signature, time), so that nobody learns which gateways
//! there are; whoever signed learns what was not understood (`webhook_not_understood`). What a message is about is told
//! by the ids that we gave the gateway, so a gateway whose account others use as well may tell us of things we do not
//! know: they are let pass. A dispute is kept all the same, until a person says that it is none of ours: it may have
//! been faster than the word of its payment, and is told once.
//!
//! The id of a message is remembered for [`KEPT`]; a repeat with another id is caught by what it says: the gateway's
//! reference of the money is counted once.

mod message;
mod routes;
mod service;
mod signature;
mod transfer;

use std::time::Duration;

pub use message::{DisputeWord, Signed};
pub use routes::endpoints;
pub use service::{SEEN, prune_job};

/// How long ids of messages are remembered.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
