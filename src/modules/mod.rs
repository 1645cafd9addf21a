//! The modules, in the order they register: a module calls only those above it, and hears anyone's events.

pub mod auth;
pub mod balance;
pub mod category;
pub mod client;
pub mod currency;
pub mod funding;
pub mod investment;
pub mod notification;
pub mod payment;
pub mod pricing;
pub mod role;
pub mod transaction;
pub mod user;
pub mod withdrawal;

use crate::kernel::boot::Module;

/// Folder and line here are all it takes to be a module; `tests/tidy.rs` holds the two together.
pub const MODULES: &[Module] = &[
    // What everything refers to.
    currency::MODULE,
    category::MODULE,
    // Who.
    role::MODULE,
    client::MODULE,
    user::MODULE,
    auth::MODULE,
    // What things cost.
    pricing::MODULE,
    // The books.
    balance::MODULE,
    transaction::MODULE,
    // What moves money.
    payment::MODULE,
    funding::MODULE,
    withdrawal::MODULE,
    investment::MODULE,
    // Who watches.
    notification::MODULE,
];
