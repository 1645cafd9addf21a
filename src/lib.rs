//! Coffer: a payments and investments back office in one binary.

mod app;
pub mod cli;
pub mod config;
mod homes;
mod kernel;
mod modules;
mod start_error;
pub mod testing;

pub use app::App;
pub use start_error::StartError;

/// What benches and fuzz targets reach. Not part of any promise; `tests/tidy.rs` keeps the list short.
#[doc(hidden)]
pub mod internals {
    pub use crate::kernel::{clock, error, store};
}
