//! The tables of fundings: key → value in words.

use super::{contract::FundingId, model::Funding};
use crate::kernel::{
    api::principal::ClientId,
    store::{Index, Key as _, Table},
};

/// (client, funding) → funding
pub const FUNDINGS: Table<(ClientId, FundingId), Funding> = Table::new("funding.fundings").with_indexes(&[
    // (client, user) → its fundings
    Index::listing("funding.by_user", |key, row| vec![(key.0, row.user).to_key()]),
    // (client, external id) → the funding that has it
    Index::lookup("funding.by_external_id", |key, row| {
        row.external_id.iter().map(|it| (key.0, it.clone()).to_key()).collect()
    }),
]);
