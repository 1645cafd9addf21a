//! Notification: tells people and machines what happened.
//!
//! Owns the outbox publisher, preferences, the inbox, mail, SMS, templates (this folder), and webhook endpoints and
//! their deliveries ([`webhook`]).

mod webhook;

use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "notification",
    about: "Tells people and machines what happened",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    webhook::register(boot)
}
