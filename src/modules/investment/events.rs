//! What investments announce.

use serde::{Deserialize, Serialize};

use super::{
    contract::InvestmentId,
    model::{AccrualRow, Investment},
};
use crate::{
    kernel::{
        api::principal::UserId,
        clock::Time,
        events::event::{event, events},
        money::CurrencyCode,
    },
    modules::{balance::contract::EntryId, pricing::contract::PlanId},
};

events! {
    investment_id of (id: InvestmentId, row: &Investment, because: Option<&str>) {
        investment_id: InvestmentId = id,
        user_id: UserId = row.user,
        plan_id: PlanId = row.plan,
        plan_name: String = row.plan_name.clone(),
        /// The principal.
        amount: String = row.principal.digits(),
        currency: CurrencyCode = row.principal.currency().code,
        /// All it has earned so far.
        profit: String = row.profit.digits(),
        /// What was kept because it was closed early.
        penalty: String = row.penalty.digits(),
        matures_at: Time = row.matures_at(),
        rolled_into: Option<InvestmentId> = row.rolled_into,
        reason: Option<String> = because.map(str::to_owned),
    }
    /// Somebody puts money into a plan.
    InvestmentCreated = "investment.created",
    /// It was pending, and begins to earn.
    InvestmentActivated = "investment.activated",
    /// Its term is over.
    InvestmentMatured = "investment.matured",
    /// The money is the user's again, or went into `rolled_into`.
    InvestmentClosed = "investment.closed",
    /// It was closed before maturity.
    InvestmentEarlyClosed = "investment.early_closed",
    /// It never was, or was taken back while it cooled off.
    InvestmentCanceled = "investment.canceled",
    /// It stands still.
    InvestmentSuspended = "investment.suspended",
    /// It goes on.
    InvestmentResumed = "investment.resumed",
    /// Somebody says that it failed: a second person has to agree.
    InvestmentDefaultRequested = "investment.default_requested",
    /// It failed.
    InvestmentDefaulted = "investment.defaulted",
}

/// A period ended, and what it earned was credited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InvestmentAccrued {
    pub investment_id: InvestmentId,
    pub user_id: UserId,
    pub plan_id: PlanId,
    /// The period: 1, 2, 3…
    pub number: u32,
    pub amount: String,
    pub currency: CurrencyCode,
    /// When it was due.
    pub due: Time,
    /// Whether it was added to what is invested; otherwise it was paid out.
    pub is_compounded: bool,
    /// None for a period that earned nothing.
    pub entry_id: Option<EntryId>,
}
event!(InvestmentAccrued, "investment.accrued", investment_id);

impl InvestmentAccrued {
    pub(super) fn of(id: InvestmentId, row: &Investment, accrual: &AccrualRow) -> InvestmentAccrued {
        InvestmentAccrued {
            investment_id: id,
            user_id: row.user,
            plan_id: row.plan,
            number: accrual.number,
            amount: accrual.amount.digits(),
            currency: accrual.amount.currency().code,
            due: accrual.due,
            is_compounded: row.terms.compounding,
            entry_id: accrual.entry,
        }
    }
}
