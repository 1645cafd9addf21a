//! Market: pairs of currencies and their prices.

pub mod contract;
