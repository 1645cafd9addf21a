//! The modules, in the order they register: a module calls only those above it, and hears anyone's events.

pub mod auth;
pub mod balance;
pub mod category;
pub mod client;
pub mod currency;
pub mod dashboard;
pub mod funding;
pub mod investment;
pub mod market;
pub mod notification;
pub mod payment;
pub mod pricing;
pub mod role;
pub mod swap;
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
    // What things are worth, and cost, and how much of it may be.
    market::MODULE,
    pricing::MODULE,
    // The books.
    balance::MODULE,
    transaction::MODULE,
    // What moves money.
    payment::MODULE,
    funding::MODULE,
    withdrawal::MODULE,
    swap::MODULE,
    investment::MODULE,
    // Who watches.
    notification::MODULE,
    dashboard::MODULE,
];

/// Those an installation may switch off: nobody requires them, and they neither hold money nor move it.
pub const OPTIONAL: &[&str] = &["notification"];

/// Those that may be kept in a file of their own: no command of theirs is one transaction with another module.
pub const MAY_LIVE_ALONE: &[&str] = &["market", "notification"];

/// What of those stays in `default` all the same, beside the outbox, because it is one transaction with events and
/// deliveries: tables whose names begin so. Who gets a message is decided when the event is announced, whose turn it
/// is and which digest is open when a delivery is.
pub const BESIDE_OUTBOX: &[&str] = &["notification.digests", "notification.webhook_"];

/// Why one of the others is kept in the file `default`.
pub fn why_pinned(module: &str) -> &'static str {
    match module {
        "dashboard" => "it counts what happens in the transaction in which it happens",
        _ => "its rows are read and changed in one transaction with the books",
    }
}
