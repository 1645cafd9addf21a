//! What Balance announces.

use serde::{Deserialize, Serialize};

use super::contract::{AdjustmentId, EntryId};
use crate::kernel::{
    api::{
        input::text_enum,
        principal::{ClientId, UserId},
    },
    events::event::event,
    money::CurrencyCode,
};

text_enum! {
    /// Which way an adjustment goes, for its account.
    pub enum Direction { Credit = "credit", Debit = "debit" }
}

impl<'de> Deserialize<'de> for Direction {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("not a direction"))
    }
}

/// The books of a client are not what they should be: somebody has to look at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VerifyFailed {
    pub client_id: ClientId,
    /// The first thing that is wrong.
    pub problem: String,
    /// How many journal entries there were.
    pub entries: u64,
}
event!(VerifyFailed, "verify.failed", client_id);

/// Somebody asks for a correction by hand: others have to agree.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdjustmentRequested {
    pub adjustment_id: AdjustmentId,
    /// Whose account it is; absent for the house.
    pub user_id: Option<UserId>,
    pub direction: Direction,
    pub amount: String,
    pub currency: CurrencyCode,
    pub reason: String,
}
event!(AdjustmentRequested, "adjustment.requested", adjustment_id);

/// Somebody did not agree to a correction by hand.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AdjustmentRejected {
    pub adjustment_id: AdjustmentId,
    pub user_id: Option<UserId>,
    pub reason: String,
}
event!(AdjustmentRejected, "adjustment.rejected", adjustment_id);

/// A correction by hand was approved and posted.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BalanceAdjusted {
    pub adjustment_id: AdjustmentId,
    /// Whose account it was; absent for the house.
    pub user_id: Option<UserId>,
    pub direction: Direction,
    pub amount: String,
    pub currency: CurrencyCode,
    pub reason: String,
    pub entry_id: EntryId,
}
event!(BalanceAdjusted, "balance.adjusted", adjustment_id);
