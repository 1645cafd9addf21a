//! Swaps on a real ledger.
