//! Markets and prices: the rules, without tables.

pub mod candle;
pub mod feed;
pub mod market;
pub mod path;
pub mod price;
