//! What other modules may ask of prices: what an operation costs, the mark-up on a swap's rate, how much a user may do,
//! and what plans offer.

pub use super::limit::contract::{LimitContract, LimitOperation, LimitUse};
pub use super::terms::{Accrual, Cadence, DayCount, ReturnBasis, Terms};
use crate::kernel::{
    api::{input::text_enum, principal::ClientId},
    error::{Result, refusals},
    id::id,
    money::{Amount, CurrencyCode, Percent},
    store::ReadTx,
};

id!(/** A rule that says what an operation costs. */ FeeId, "fee");
id!(/** A version of an investment plan. */ PlanId, "pln");
// Payment owns gateways. Their id is declared here because fee rules name gateways, and Pricing stands above Payment.
id!(/** A way in or out for money. */ GatewayId, "gtw");

text_enum! {
    /// What a fee is taken for.
    pub enum FeeOperation {
        Funding = "funding",
        Withdrawal = "withdrawal",
        /// A plain charge: what is kept of a payment that is for nothing else.
        Payment = "payment",
        /// Taken in the currency that is given away.
        Swap = "swap",
        /// Not a fee of its own: the mark-up on the mid rate of a swap. A percentage and nothing else.
        Spread = "spread",
    }
}

/// What is to be charged.
#[derive(Debug, Clone, Copy)]
pub struct FeeQuestion<'a> {
    pub operation: FeeOperation,
    /// The fee is in the currency of this.
    pub amount: Amount,
    /// Swaps: the currency that is received.
    pub to: Option<CurrencyCode>,
    /// Where it is known.
    pub gateway: Option<GatewayId>,
    /// The tier of the user who pays; `standard` for nobody in particular.
    pub tier: &'a str,
}

/// What it costs, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeeFound {
    /// Rounded up, of the currency that was asked about; zero when no rule applies.
    pub fee: Amount,
    /// The rule that says so: the most specific one that applies.
    pub rule: Option<FeeId>,
}

text_enum! {
    pub enum PlanStatus {
        /// Being written: can be changed, cannot be bought.
        Draft = "draft",
        Published = "published",
        /// Cannot be bought for now.
        Paused = "paused",
        /// Cannot be bought any more. What was bought goes on.
        Closed = "closed",
    }
}

/// A plan, as other modules need it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanInfo {
    pub id: PlanId,
    pub name: String,
    /// 1, 2, 3… among the versions of the plan.
    pub number: u32,
    pub terms: Terms,
}

/// What things cost, and what they earn.
pub trait PricingContract: Send + Sync {
    /// The one function that says what an operation costs; previews ask it too. Which rule counts is in `model/rule.rs`.
    fn fee(&self, tx: &ReadTx, client: ClientId, question: &FeeQuestion<'_>) -> Result<FeeFound>;

    /// The mark-up on the mid rate when a user of this tier gives `from` and receives `to`: the rate given is
    /// mid × (1 − spread). Zero when no rule applies, and always below 100 %.
    fn spread(
        &self,
        tx: &ReadTx,
        client: ClientId,
        from: CurrencyCode,
        to: CurrencyCode,
        tier: &str,
    ) -> Result<Percent>;

    /// The plan. Refuses `not_found`.
    fn plan(&self, tx: &ReadTx, client: ClientId, plan: PlanId) -> Result<PlanInfo>;

    /// Refuses, in this order, `not_found`, `plan_not_published`, `outside_plan` unless `amount` may be put into the
    /// plan.
    fn check_plan_takes(&self, tx: &ReadTx, client: ClientId, plan: PlanId, amount: Amount) -> Result<()>;

    /// The published version of the plan that this is a version of; `None` when none is published.
    fn published_version(&self, tx: &ReadTx, client: ClientId, plan: PlanId) -> Result<Option<PlanId>>;
}

refusals! {
    /// What Pricing refuses.
    pub enum PricingRefusal {
        /// An active rule applies to exactly the same: which of the two counts could not be said. Change that one, or
        /// deactivate it first.
        FeeTaken { existing_id: FeeId }: Conflict "fee_taken" => "{existing_id} applies to the same",
        /// A rule that is not in force any more stays as it was. Make a new one.
        FeeInactive: Conflict "fee_inactive" => "the rule is inactive",
        /// Only a draft can be changed: whoever invests relies on the terms. Make a new version.
        PlanNotDraft { status: PlanStatus }: Conflict "plan_not_draft" => "the plan is {status}",
        /// The plan has a draft already: change that one, and publish it.
        PlanDraftExists { existing_id: PlanId }: Conflict "plan_draft_exists" => "{existing_id} is the next version",
        /// Money is taken for published plans only.
        PlanNotPublished { plan_status: PlanStatus }: Unprocessable "plan_not_published" => "the plan is {plan_status}",
        /// The plan takes no amount as small, or as large, as this.
        OutsidePlan { min_amount: Amount, max_amount: Option<Amount>, currency: CurrencyCode }: Unprocessable "outside_plan"
            => "the amount is outside of what the plan takes",
    }
}
