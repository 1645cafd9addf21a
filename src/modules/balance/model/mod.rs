//! What the ledger's rows are and how they change, without any transaction.

pub mod adjustment;
pub mod chain;
pub mod entry;
pub mod wallet;
