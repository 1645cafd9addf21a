//! Fee rules over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, patch, post},
            input::{Change, Metadata, input},
            object::{ExternalId, filters, list, object},
            text::Line,
        },
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode, Percent},
    },
    modules::{
        pricing::{
            contract::{FeeId, FeeOperation, GatewayId},
            model::rule::{self, Fee, FeeStatus},
            repository::FEES,
            service::Pricing,
        },
        user::contract::Tier,
    },
};

input! {
    /// A rule. What it does not name may be anything; of several that apply, the one that names most decides alone.
    pub struct FeeIn {
        name: Line<100>,
        operation: FeeOperation,
        /// Needed for amounts: they are in it.
        currency: Option<CurrencyCode>,
        /// Swaps and spreads: what is received.
        to_currency: Option<CurrencyCode>,
        /// Funding, withdrawal, payment: as far as the gateway is known when the fee is fixed.
        gateway_id: Option<GatewayId>,
        user_tier: Option<Tier>,
        percent: Option<Percent>,
        fixed: Option<AmountText>,
        min: Option<AmountText>,
        max: Option<AmountText>,
        /// From an amount on, other percentages and fixed parts: for the whole of the amount.
        tiers: Option<Vec<FeeTierIn>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    pub struct FeeTierIn {
        from: AmountText,
        percent: Option<Percent>,
        fixed: Option<AmountText>,
    }
}

input! {
    /// What is omitted stays; `null` switches an amount off.
    pub struct FeePatchIn {
        name: Option<Line<100>>,
        percent: Option<Percent>,
        #[schema(value_type = Option<AmountText>)]
        fixed: Change<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        min: Change<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        max: Change<AmountText>,
        /// All of them.
        tiers: Option<Vec<FeeTierIn>>,
        metadata: Metadata,
    }
}

input! {
    pub struct FeePreviewIn {
        operation: FeeOperation,
        amount: AmountText,
        currency: CurrencyCode,
        to_currency: Option<CurrencyCode>,
        gateway_id: Option<GatewayId>,
        /// The caller's own when omitted; `standard` when it is no user.
        user_tier: Option<Tier>,
    }
}

filters! {
    pub struct FeeQuery of Fee {
        status: FeeStatus = |it| it.status(),
        operation: FeeOperation = |it| it.applies.operation,
    }
}

object! {
    /// A rule that says what an operation costs.
    pub struct FeeOut: "fee" of (id: FeeId, row: &Fee) {
        status: FeeStatus = row.status(),
        name: String = row.name.clone(),
        operation: FeeOperation = row.applies.operation,
        currency: Option<CurrencyCode> = row.applies.currency.map(|it| it.code),
        to_currency: Option<CurrencyCode> = row.applies.to,
        gateway_id: Option<GatewayId> = row.applies.gateway,
        user_tier: Option<String> = row.applies.tier.clone(),
        percent: Percent = row.cost.percent,
        fixed: Option<Amount> = row.cost.fixed,
        min: Option<Amount> = row.cost.min,
        max: Option<Amount> = row.cost.max,
        tiers: Vec<FeeTierOut> = row.cost.tiers.iter().map(FeeTierOut::of).collect(),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct FeeTierOut {
    from: Amount,
    percent: Percent,
    fixed: Option<Amount>,
}

impl FeeTierOut {
    fn of(tier: &rule::Tier) -> FeeTierOut {
        FeeTierOut { from: tier.from, percent: tier.percent, fixed: tier.fixed }
    }
}

/// What an operation would cost.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FeePreviewOut {
    #[schema(value_type = String)]
    pub object: &'static str,
    pub operation: FeeOperation,
    pub amount: Amount,
    pub fee: Amount,
    pub currency: CurrencyCode,
    /// The rule that says so; none when it costs nothing because no rule applies.
    pub fee_id: Option<FeeId>,
    pub user_tier: String,
    /// Swaps: the mark-up on the mid rate.
    pub spread_percent: Option<Percent>,
}

pub fn endpoints(service: &Arc<Pricing>) -> Vec<Endpoint> {
    let previewing = service.clone();
    vec![
        get("/fees").about("List fee rules, newest first").needs("fees.view_any").lists(
            |tx, call: &Call<(), FeeQuery>| {
                Ok(list(tx, call, &FEES, None)?.map(|((_, id), row)| FeeOut::of(id, &row)))
            },
        ),
        get("/fees/{id}")
            .about("Show a fee rule")
            .needs("fees.view_any")
            .reads_with(service, Pricing::show_fee),
        post("/fees")
            .about("Make a fee rule; it counts at once")
            .needs("fees.create_any")
            .refuses(&["currency_inactive", "self_approval", "external_id_taken", "fee_taken"])
            .example(json!({
                "name": "Deposits in dollars", "operation": "funding", "currency": "USD", "percent": "1.5",
                "fixed": "0.30", "max": "50.00", "tiers": [{ "from": "1000.00", "percent": "1" }],
            }))
            .writes_with(service, Pricing::create_fee),
        patch("/fees/{id}")
            .about("Change what a rule costs, from now on")
            .needs("fees.update_any")
            .versioned()
            .refuses(&["fee_inactive", "self_approval"])
            .example(json!({ "percent": "1.25", "max": null }))
            .writes_with(service, Pricing::change_fee),
        post("/fees/{id}/deactivate")
            .about("Take a rule out of force")
            .needs("fees.update_any")
            .refuses(&["self_approval", "invalid_state_transition"])
            .writes_with(service, Pricing::deactivate_fee),
        post("/fees/preview")
            .about("Show what an operation would cost")
            .public()
            .status(200)
            .plain()
            .refuses(&["currency_inactive"])
            .example(json!({ "operation": "funding", "amount": "100.00", "currency": "USD" }))
            .writes(move |tx, call: &Call<(), FeePreviewIn>| previewing.preview_fee(tx, call)),
    ]
}
