//! Limits over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{LimitOperation, LimitWindow},
    model::{Limit, LimitProposals},
    repository::LimitKey,
    service::Limits,
};
use crate::kernel::{
    api::{
        endpoint::{Endpoint, get, post, put},
        input::input,
        page::{Cursor, Limit as PageLimit},
        principal::{Actor, UserId},
    },
    clock::Time,
    error::Result,
    money::{Amount, AmountText, CurrencyCode},
};
use crate::modules::user::contract::Tier;

/// A rule, as a whole: what is omitted is not limited.
#[derive(Debug, utoipa::ToSchema)]
pub struct LimitIn {
    pub operation: LimitOperation,
    pub currency: CurrencyCode,
    /// For users of this tier only, instead of the rule for all.
    pub tier: Option<Tier>,
    /// The least at once.
    pub min: Option<AmountText>,
    /// The most at once.
    pub max: Option<AmountText>,
    /// The most within 24 hours, what is pending included.
    pub per_24h: Option<AmountText>,
    /// The most within 30 days, what is pending included.
    pub per_30d: Option<AmountText>,
}
input!(LimitIn { operation, currency, tier, min, max, per_24h, per_30d });

/// Which rule is decided about.
#[derive(Debug, utoipa::ToSchema)]
pub struct LimitDecisionIn {
    pub operation: LimitOperation,
    pub currency: CurrencyCode,
    pub tier: Option<Tier>,
    /// The `revision` of the proposal that was looked at: refused when another one waits by now.
    pub revision: u32,
}
input!(LimitDecisionIn { operation, currency, tier, revision });

pub struct LimitQuery {
    pub limit: PageLimit,
    pub cursor: Option<Cursor>,
}
input!(LimitQuery { limit, cursor });

pub struct LimitUsageQuery {
    pub user_id: Option<UserId>,
}
input!(LimitUsageQuery { user_id });

/// A rule. What is null is not limited.
#[derive(Serialize, utoipa::ToSchema)]
pub struct LimitOut {
    #[schema(value_type = String)]
    object: &'static str,
    operation: String,
    currency: CurrencyCode,
    tier: Option<String>,
    min: Option<Amount>,
    max: Option<Amount>,
    per_24h: Option<Amount>,
    per_30d: Option<Amount>,
    /// A looser rule that waits for somebody else to agree.
    proposed: Option<LimitProposalOut>,
    created_at: Time,
    updated_at: Time,
    /// 0 where there is no rule of its own yet.
    version: u64,
}

/// A looser rule that waits for somebody else to agree.
#[derive(Serialize, utoipa::ToSchema)]
pub struct LimitProposalOut {
    min: Option<Amount>,
    max: Option<Amount>,
    per_24h: Option<Amount>,
    per_30d: Option<Amount>,
    proposed_by: Actor,
    proposed_at: Time,
    /// What a decision names: every proposal has another.
    revision: u32,
}

impl LimitOut {
    pub fn of(key: &LimitKey, row: &Limit, proposals: Option<LimitProposals>) -> LimitOut {
        let (_, operation, currency, tier) = key.clone();
        let Limit { min, max, per_24h, per_30d, times } = row.clone();
        LimitOut {
            object: "limit",
            operation,
            currency,
            tier,
            min,
            max,
            per_24h,
            per_30d,
            proposed: proposals.and_then(|it| {
                let (limit, by) = it.waiting?;
                Some(LimitProposalOut {
                    min: limit.min,
                    max: limit.max,
                    per_24h: limit.per_24h,
                    per_30d: limit.per_30d,
                    proposed_by: by,
                    proposed_at: limit.times.created_at,
                    revision: it.revision,
                })
            }),
            created_at: times.created_at,
            updated_at: times.updated_at,
            version: times.version,
        }
    }
}

/// What a user has used of its limits.
#[derive(Serialize, utoipa::ToSchema)]
pub struct LimitsUsageOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    pub user_id: UserId,
    pub tier: String,
    pub data: Vec<LimitUsageOut>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct LimitUsageOut {
    pub operation: LimitOperation,
    pub currency: CurrencyCode,
    pub min: Option<Amount>,
    pub max: Option<Amount>,
    pub windows: Vec<WindowOut>,
}

/// What counts now; `limit` and `left` are null where nothing is limited.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WindowOut {
    window: LimitWindow,
    limit: Option<Amount>,
    used: Amount,
    left: Option<Amount>,
}

impl WindowOut {
    pub fn of((window, limit, used): (LimitWindow, Option<Amount>, Amount)) -> Result<WindowOut> {
        let zero = Amount::zero(used.currency());
        let left = limit.map(|it| if used < it { it.minus(used) } else { Ok(zero) }).transpose()?;
        Ok(WindowOut { window, limit, used, left })
    }
}

pub fn endpoints(service: &Arc<Limits>) -> Vec<Endpoint> {
    vec![
        get("/limits").about("List the limits").needs("limits.view_any").lists_with(service, Limits::list),
        get("/limits/proposed")
            .about("List looser limits that wait for somebody else to agree")
            .needs("limits.view_any")
            .lists_with(service, Limits::proposals),
        post("/limits/approve")
            .about("Agree to a looser limit that somebody else proposed")
            .needs("limits.approve")
            .status(200)
            .refuses(&["nothing_proposed", "self_approval", "revision_stale"])
            .example(json!({ "operation": "withdrawal", "currency": "USD", "revision": 1 }))
            .writes_with(service, Limits::approve),
        post("/limits/reject")
            .about("Drop a looser limit that was proposed")
            .needs("limits.reject")
            .status(200)
            .refuses(&["nothing_proposed", "revision_stale"])
            .example(json!({ "operation": "withdrawal", "currency": "USD", "revision": 1 }))
            .writes_with(service, Limits::reject),
        put("/limits")
            .about("Set a limit, in place of the one for the same operation, currency and tier; a looser one waits until somebody else agrees")
            .needs("limits.update_any")
            .refuses(&["currency_inactive"])
            .example(json!({
                "operation": "withdrawal", "currency": "USD", "min": "10.00", "max": "5000.00",
                "per_24h": "10000.00", "per_30d": "50000.00",
            }))
            .writes_with(service, Limits::put),
        get("/limits/usage")
            .about("Show what a user has used of its limits, and what is left")
            .own("limits.view")
            .with_csv()
            .reads_with(service, Limits::usage),
    ]
}
