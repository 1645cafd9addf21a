//! Users: the customers and the staff of a client.
//!
//! Owns the people (`user.users`), the hashes of their passwords (`user.credentials`), their number by status
//! (`user.counts`), tiers that wait for a second person (`user.tier_proposals`), of what somebody has less than nothing
//! (`user.debts`, said by Balance), who is to be frozen when it is enabled (`user.freezes_due`) and, in `access/`, what
//! waits for a second person before somebody may decide over requests (`user.access_proposals`, `user.first_pairs`).
//! Asks Role what a role is called and whether it may be given, and Client who sits on which committee. What tiers mean
//! is Pricing's to know, which judges them (`judge_tiers`). Announces `user.registered`, `user.frozen`, `user.unfrozen`,
//! `user.disabled`, `user.enabled`, `user.roles_changed`, `user.email_change_requested`, `user.email_changed`,
//! `access.proposed`, `access.approved`, `access.rejected` and
//! `access.withdrawn`; hears `role.permissions_changed`, in the same transaction. Signing in is Auth's business: this
//! module only keeps what it needs for it.
//!
//! ```text
//! active ⇄ frozen        frozen: no sessions, no sign-in, nothing paid out; credits go on
//!    ⇅       ↓
//!     disabled           the same, and nothing is credited; enabling makes it active, unless something was to freeze it
//!                        meanwhile
//! ```
//!
//! Always true:
//! - An e-mail address, a referral code and an external id name at most one user of a client.
//! - A client that has had an active admin has one.
//! - Where mail is configured, nobody has an address but one that it has shown to read, or was made with.
//! - Once a client has had two people who decide over requests, nobody alone makes a third one.
//! - A tier with more, or for less, is given by two people, neither of them its user.
//! - Whoever has less than nothing of one currency pays out none of another, whatever its state.
//! - The counters are what counting would give.

mod access;
mod before;
pub mod contract;
mod email;
pub mod events;
mod fields;
mod migrations;
mod model;
mod passwords;
mod repository;
mod routes;
mod service;

use std::sync::{Arc, OnceLock};

use crate::kernel::boot::{Boot, BootError, Module};

use contract::{UserContract, UserRefusal};
use service::Users;

pub const MODULE: Module = Module {
    name: "user",
    about: "Customers and staff of a client: profile, states, roles, referral codes, statistics",
    register,
    migrations: migrations::MIGRATIONS,
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let users = Arc::new(Users {
        roles: boot.require()?,
        clients: boot.require()?,
        currencies: boot.require()?,
        tiers: OnceLock::new(),
    });
    boot.tables(vec![
        repository::USERS.info(),
        repository::CREDENTIALS.info(),
        repository::TIER_PROPOSALS.info(),
        repository::COUNTS.info(),
        repository::DEBTS.info(),
        repository::FREEZES_DUE.info(),
    ]);
    boot.refusals(UserRefusal::CATALOGUE.iter().copied());
    boot.alias("usr", "user");
    boot.machine(model::USER.table());
    events::announced(boot);
    boot.endpoints(routes::endpoints(&users));
    access::register(boot, &users)?;
    let checked = users.clone();
    boot.check("user.counts", move |tx| repository::check(tx, |tx, client| checked.admin(tx, client)));
    boot.service::<dyn UserContract>("user", users.clone());
    boot.provide::<dyn UserContract>(users)
}
