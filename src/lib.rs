//! Coffer: a payments and investments back office in one binary.

pub mod config;
mod kernel;
mod modules;
