//! What plans announce.

use super::{contract::PlanId, model::plan::Plan};
use crate::kernel::{events::event::events, money::CurrencyCode};

events! {
    plan_id of (id: PlanId, row: &Plan) {
        plan_id: PlanId = id,
        name: String = row.offer.name.clone(),
        /// 1, 2, 3… among the versions of the plan.
        plan_version: u32 = row.number,
        currency: CurrencyCode = row.offer.terms.currency.code,
    }
    /// It can be bought.
    PlanPublished = "plan.published",
    /// It cannot be bought for now.
    PlanPaused = "plan.paused",
    /// It cannot be bought any more; what was bought goes on.
    PlanClosed = "plan.closed",
}
