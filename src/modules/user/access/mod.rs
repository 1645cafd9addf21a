//! Access proposals: what would let somebody decide over what others asked for waits until a second person agrees.
//!
//! ```text
//! users, users/{id}/roles ─┐
//! invitations/accept       ├─► what decides over nothing: at once
//! roles/{id} of people     ─┤   the rest ─► waiting ── approve ─► approved: given
//! the address of who decides┘                  ├─ reject ──► rejected
//!                                             └─ said anew ─► withdrawn
//! ```
//!
//! Otherwise one person made a second one, and agreed to its own requests as that one. What counts is what a scope
//! `:approve` stands for, and a place on a committee. Taking away takes nobody's consent.
//!
//! - **The first pair.** Until a client has had two active people who decide, what is given is given at once, or there
//!   would never be two. From then on for good: whoever could disable the other one would else be alone again, and free
//!   to make another. Where nobody else is left, a key that this person does not hold agrees, or an operator.
//! - **Keys** need no proposal: nobody makes one with more than they have, and a key is never a second person beside
//!   those who were shown its text.
//! - **Who agrees** has to hold what is given, and is neither who proposed it nor who gets it. Votes are those of the
//!   operation `access` of the approval policies: one unless the client says otherwise.
//! - **Who proposed it** has to be in office when it is agreed to, and to hold it still.

mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

pub use self::{
    model::{AccessProposalId, Asked, Subject},
    repository::waiting_of,
};
use super::service::Users;
use crate::kernel::{
    boot::{Boot, BootError},
    events::event::Mode,
};

pub fn register(boot: &mut Boot, users: &Arc<Users>) -> Result<(), BootError> {
    boot.tables(vec![repository::ACCESS_PROPOSALS.info(), repository::PAIRS.info()]);
    boot.alias("acp", "access_proposal");
    boot.machine(model::ACCESS.table());
    boot.endpoints(routes::endpoints(users));
    boot.listen_with(users, "user.role_widened", Mode::Sync, Users::role_widened);
    Ok(())
}
