//! The server as a client sees it: real HTTP on a free port. One file per module; this one holds what they share.
//!
//! An `Instance` checks every invariant of its books when it is dropped.

mod access;
mod approval;
mod auth;
mod balance;
mod beneficiary;
mod capabilities;
mod category;
mod channels;
mod cli;
mod cli_data;
mod cli_events;
mod client;
mod confirm;
mod controls;
mod crash;
mod currency;
mod dashboard;
mod dispute;
mod dispute_unbooked;
mod email;
mod events;
mod foureyes;
mod funding;
mod gateway;
mod gateway_crypto;
mod gateway_http;
mod gateway_routes;
mod golden;
mod inbound;
mod investment;
mod invitation;
mod limits;
mod machines;
mod mail;
mod market;
mod module;
mod notification;
mod notification_file;
mod operator;
mod pay_currency;
mod payment;
mod payout;
mod permissions;
mod pricing;
mod questions;
mod recovery;
mod referral;
mod refund;
mod role;
mod session;
mod sms;
mod story;
mod support;
mod swap;
mod tls;
mod totp;
mod transaction;
mod transfer;
mod user;
mod votes;
mod webhook;
mod wire;
mod withdrawal;

/// The same tests with Notification in a file of its own.
#[allow(clippy::duplicate_mod, reason = "on purpose: another configuration, everything else the same")]
#[path = "."]
mod alone {
    #[path = "channels.rs"]
    mod channels;
    #[path = "notification.rs"]
    mod notification;
}

fn is_alone(module: &str) -> bool {
    module.contains("::alone::")
}

/// How the tests of a module start an instance.
fn builder(module: &str) -> coffer::testing::Builder {
    let builder = coffer::testing::Instance::builder();
    if is_alone(module) { builder.in_own_file("notification") } else { builder }
}
