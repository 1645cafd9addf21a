//! Investment plans over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            endpoint::{Endpoint, get, patch, post},
            input::{Change, Metadata, input},
            object::{ExternalId, filters, object},
            text::Line,
        },
        clock::Time,
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode, Percent},
        store::WriteTx,
    },
    modules::pricing::{
        contract::{Accrual, Cadence, DayCount, PlanId, PlanStatus, ReturnBasis, Terms},
        model::plan::Plan,
        service::Pricing,
    },
};

/// Seeing plans that are not published.
pub const VIEW: &str = "plans.view_any";

input! {
    /// A plan, as a draft.
    pub struct PlanIn {
        name: Line<100>,
        /// What the money goes into, in your own words.
        r#type: Line<40>,
        currency: CurrencyCode,
        min_amount: AmountText,
        max_amount: Option<AmountText>,
        return_percent: Percent,
        /// What the return refers to: the whole term, or a year.
        return_basis: ReturnBasis,
        day_count: DayCount,
        /// When profit is due.
        cadence: Cadence,
        /// Profit is added to what is invested; otherwise it is paid out.
        compounding: bool,
        /// 1 to 3650.
        term_days: u32,
        /// Of the principal; none when omitted.
        early_close_penalty_percent: Option<Percent>,
        /// How long after its start an investment may be canceled for nothing; not at all when omitted.
        cooling_off_hours: Option<u32>,
        /// At most 20 of at most 200 characters.
        benefits: Option<Vec<Line<200>>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// What is omitted stays.
    pub struct PlanPatchIn {
        name: Option<Line<100>>,
        r#type: Option<Line<40>>,
        min_amount: Option<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        max_amount: Change<AmountText>,
        return_percent: Option<Percent>,
        return_basis: Option<ReturnBasis>,
        day_count: Option<DayCount>,
        cadence: Option<Cadence>,
        compounding: Option<bool>,
        term_days: Option<u32>,
        early_close_penalty_percent: Option<Percent>,
        cooling_off_hours: Option<u32>,
        benefits: Option<Vec<Line<200>>>,
        metadata: Metadata,
    }
}

input! {
    pub struct PlanPreviewIn {
        amount: AmountText,
        /// Now when omitted.
        starts_at: Option<Time>,
    }
}

filters! {
    pub struct PlanQuery of Plan {
        status: PlanStatus = |it| it.status(),
        currency: CurrencyCode = |it| it.offer.terms.currency.code,
        r#type: String = |it| it.offer.kind,
    }
}

object! {
    /// A version of an investment plan.
    pub struct PlanOut: "plan" of (id: PlanId, row: &Plan) {
        status: PlanStatus = row.status(),
        name: String = row.offer.name.clone(),
        r#type: String = row.offer.kind.clone(),
        /// The first version of the plan.
        first_version_id: PlanId = row.family,
        /// 1, 2, 3… among the versions of the plan.
        plan_version: u32 = row.number,
        currency: CurrencyCode = row.offer.terms.currency.code,
        min_amount: Amount = row.offer.min,
        max_amount: Option<Amount> = row.offer.max,
        return_percent: Percent = row.offer.terms.return_percent,
        return_basis: ReturnBasis = row.offer.terms.return_basis,
        day_count: DayCount = row.offer.terms.day_count,
        cadence: Cadence = row.offer.terms.cadence,
        compounding: bool = row.offer.terms.compounding,
        term_days: u32 = row.offer.terms.term_days,
        early_close_penalty_percent: Percent = row.offer.terms.early_close_penalty_percent,
        cooling_off_hours: u32 = row.offer.terms.cooling_off_hours,
        benefits: Vec<String> = row.offer.benefits.clone(),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

/// What an investment earns, and when.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PlanScheduleOut {
    #[schema(value_type = String)]
    object: &'static str,
    principal: Amount,
    currency: CurrencyCode,
    starts_at: Time,
    matures_at: Time,
    /// All of it together.
    profit: Amount,
    accruals: Vec<AccrualOut>,
}

/// One period and what it earns.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AccrualOut {
    number: u32,
    from: Time,
    /// Its end: the profit is due.
    due: Time,
    /// As the day count counts.
    days: u32,
    amount: Amount,
    /// What is invested afterwards.
    invested: Amount,
}

impl PlanScheduleOut {
    pub fn of(
        principal: Amount,
        start: Time,
        terms: &Terms,
        accruals: &[Accrual],
    ) -> Result<PlanScheduleOut> {
        let none = Amount::zero(principal.currency());
        let row = |it: &Accrual| AccrualOut {
            number: it.number,
            from: it.from,
            due: it.due,
            days: it.days,
            amount: it.amount,
            invested: it.invested,
        };
        Ok(PlanScheduleOut {
            object: "schedule",
            principal,
            currency: principal.currency().code,
            starts_at: start,
            matures_at: terms.matures_at(start),
            profit: accruals.iter().try_fold(none, |sum, it| sum.plus(it.amount))?,
            accruals: accruals.iter().map(row).collect(),
        })
    }
}

pub fn endpoints(service: &Arc<Pricing>) -> Vec<Endpoint> {
    let previewing = service.clone();
    let verb = |path, about: &'static str, permission| {
        post(path).about(about).needs(permission).refuses(&["invalid_state_transition"])
    };
    vec![
        get("/plans")
            .about("List plans, newest first: the published ones, or all of them with `plans.view_any`")
            .public()
            .further(&[VIEW])
            .lists_with(service, Pricing::list_plans),
        get("/plans/{id}").about("Show a plan").public().further(&[VIEW]).reads_with(service, Pricing::show_plan),
        post("/plans")
            .about("Draft a plan")
            .needs("plans.create_any")
            .refuses(&["currency_inactive", "external_id_taken"])
            .example(json!({
                "name": "Harbour loft", "type": "real_estate", "currency": "USD", "min_amount": "100.00",
                "max_amount": "50000.00", "return_percent": "7.5", "return_basis": "annual", "day_count": "ACT/365",
                "cadence": "monthly", "compounding": false, "term_days": 365, "early_close_penalty_percent": "1",
                "cooling_off_hours": 24, "benefits": ["A tour of the building"],
            }))
            .writes_with(service, Pricing::create_plan),
        patch("/plans/{id}")
            .about("Change a draft")
            .needs("plans.update_any")
            .versioned()
            .refuses(&["plan_not_draft"])
            .example(json!({ "return_percent": "8", "max_amount": null }))
            .writes_with(service, Pricing::change_plan),
        verb("/plans/{id}/publish", "Put a plan on offer, in place of its version before", "plans.publish")
            .writes_with(service, Pricing::publish_plan),
        verb("/plans/{id}/pause", "Take a plan off offer for now", "plans.pause")
            .writes_with(service, Pricing::pause_plan),
        verb("/plans/{id}/close", "Take a plan off offer for good; what was bought goes on", "plans.close")
            .writes_with(service, Pricing::close_plan),
        post("/plans/{id}/new-version")
            .about("Draft the next version of a plan, with the same terms to begin with")
            .needs("plans.create_any")
            .refuses(&["plan_draft_exists"])
            .writes_with(service, Pricing::new_version),
        post("/plans/{id}/preview")
            .about("Show what an amount would earn, and when")
            .public()
            .further(&[VIEW])
            .plain()
            .refuses(&["outside_plan"])
            .example(json!({ "amount": "1000.00", "starts_at": "2026-01-31T00:00:00Z" }))
            .writes(move |tx: &mut WriteTx, call| previewing.preview_plan(tx, call)),
    ]
}
