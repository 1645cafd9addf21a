//! The tables of swaps: key → value in words.

use super::{
    contract::{QuoteId, QuoteStatus, SwapId},
    model::{Quote, Swap},
};
use crate::kernel::{
    api::{object::by_external_id, principal::ClientId},
    store::{Index, Key as _, Table},
};

/// when → active quotes whose time passes then
pub const QUOTES_DUE: &str = "swap.quotes_due";
pub const QUOTES_BY_EXTERNAL_ID: &str = "swap.quotes_by_external_id";

/// (client, quote) → quote
pub const QUOTES: Table<(ClientId, QuoteId), Quote> = Table::new("swap.quotes").with_indexes(&[
    Index::listing(QUOTES_DUE, |_, row| {
        (row.status() == QuoteStatus::Active).then(|| row.expires_at.to_key()).into_iter().collect()
    }),
    by_external_id(QUOTES_BY_EXTERNAL_ID),
]);

/// (client, user) → its swaps
pub const BY_USER: &str = "swap.by_user";
/// (client, from, to) → the swaps of a pair: the history of its rates
pub const BY_PAIR: &str = "swap.by_pair";
pub const BY_EXTERNAL_ID: &str = "swap.by_external_id";

/// (client, swap) → swap
pub const SWAPS: Table<(ClientId, SwapId), Swap> = Table::new("swap.swaps").with_indexes(&[
    Index::listing(BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
    Index::listing(BY_PAIR, |key, row| vec![(key.0, row.terms.rate.base, row.terms.rate.quote).to_key()]),
    by_external_id(BY_EXTERNAL_ID),
]);
