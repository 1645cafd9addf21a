//! The rules of prices, without tables.

pub mod plan;
pub mod rule;
