//! The server as a client sees it: real HTTP on a free port. One file per module; this one holds what they share.
//!
//! An `Instance` checks every invariant of its books when it is dropped.

mod auth;
mod balance;
mod beneficiary;
mod capabilities;
mod category;
mod channels;
mod cli;
mod cli_events;
mod client;
mod crash;
mod currency;
mod dashboard;
mod events;
mod foureyes;
mod funding;
mod gateway;
mod gateway_crypto;
mod gateway_http;
mod gateway_routes;
mod golden;
mod inbound;
mod mail;
mod market;
mod module;
mod notification;
mod operator;
mod payment;
mod permissions;
mod questions;
mod recovery;
mod refund;
mod role;
mod sms;
mod story;
mod swap;
mod tls;
mod transaction;
mod transfer;
mod user;
mod webhook;
mod wire;
mod withdrawal;
