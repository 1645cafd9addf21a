//! The tables of fundings: key → value in words.

use super::{
    contract::FundingId,
    model::{Funding, Referral},
};
use crate::kernel::{
    api::{
        object::by_external_id,
        principal::{ClientId, UserId},
    },
    store::{Index, Key, Table},
};

/// (client, user) → its fundings
pub const BY_USER: &str = "funding.by_user";
/// (client, external id) → the funding that has it
pub const BY_EXTERNAL_ID: &str = "funding.by_external_id";
/// when → deposits for which a price is looked for
pub const DUE: &str = "funding.due";

/// (client, funding) → funding
pub const FUNDINGS: Table<(ClientId, FundingId), Funding> = Table::new("funding.fundings").with_indexes(&[
    Index::listing(BY_USER, |key, row| vec![(key.0, row.user).to_key()]),
    by_external_id(BY_EXTERNAL_ID),
    Index::listing(DUE, |_, row| row.due_at.iter().map(Key::to_key).collect()),
]);

/// (client, user who was referred) → its first deposit, and what that earned whoever brought it
pub const REFERRALS: Table<(ClientId, UserId), Referral> = Table::new("funding.referrals").with_indexes(&[
    Index::listing(REFERRALS_BY_REFERRER, |key, row| vec![(key.0, row.referrer).to_key()]),
    Index::listing(REFERRALS_DUE, |_, row| row.due_at.iter().map(|it| it.to_key()).collect()),
]);
/// (client, user) → whom it brought
pub const REFERRALS_BY_REFERRER: &str = "funding.referrals_by_referrer";
/// when → commissions that are still to be taken back
pub const REFERRALS_DUE: &str = "funding.referrals_due";
