//! Investments over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{InvestmentId, InvestmentStatus, MaturityInstruction},
    model::{AccrualRow, DefaultRequest, Investment},
    repository::{BY_USER, INVESTMENTS},
    service::Investments,
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Metadata, input, text_enum},
            object::{ExternalId, filters, list, object},
            principal::{Actor, UserId},
            text::Text,
        },
        clock::Time,
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode, Percent},
    },
    modules::{
        balance::contract::EntryId,
        client::contract::ApprovalOut,
        payment::contract::{GatewayId, PaymentId},
        pricing::contract::{Accrual, Cadence, DayCount, PlanId, ReturnBasis, Terms},
    },
};

text_enum! {
    /// Where the money comes from.
    pub enum PaidFrom {
        /// What the user has available.
        Balance = "balance",
        /// A payment of its own.
        Payment = "payment",
    }
}

input! {
    /// Money to be put into a plan.
    pub struct InvestmentIn {
        plan_id: PlanId,
        /// In the plan's currency.
        amount: AmountText,
        user_id: Option<UserId>,
        /// `pay_out` when omitted.
        maturity_instruction: Option<MaturityInstruction>,
        /// At once when omitted; the money is put aside at once all the same.
        starts_at: Option<Time>,
        /// `balance` when omitted.
        source: Option<PaidFrom>,
        /// The gateway to pay through; may be chosen later.
        gateway_id: Option<GatewayId>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    pub struct InstructionIn {
        maturity_instruction: MaturityInstruction,
    }
}

input! {
    pub struct DefaultIn {
        reason: Text<500>,
        /// What the user gets back of it; nothing when omitted.
        recovered_amount: Option<AmountText>,
    }
}

filters! {
    pub struct InvestmentQuery of Investment, owned by user {
        status: InvestmentStatus = |it| it.status(),
        plan_id: PlanId = |it| it.plan,
        currency: CurrencyCode = |it| it.principal.currency().code,
    }
}

object! {
    /// Money put into a plan.
    pub struct InvestmentOut: "investment" of (id: InvestmentId, row: &Investment) {
        status: InvestmentStatus = row.status(),
        user_id: UserId = row.user,
        plan_id: PlanId = row.plan,
        plan_version: u32 = row.plan_number,
        plan_name: String = row.plan_name.clone(),
        amount: Amount = row.principal,
        currency: CurrencyCode = row.principal.currency().code,
        /// What is invested now: with the profit, when the plan compounds.
        invested: Amount = row.invested,
        /// All it has earned so far.
        profit: Amount = row.profit,
        /// What was kept because it was closed early.
        penalty: Amount = row.penalty,
        terms: TermsOut = TermsOut::of(&row.terms),
        starts_at: Time = row.starts_at,
        /// As it stands: a suspension moves it.
        matures_at: Time = row.matures_at(),
        cooling_off_until: Time = row.cooling_off_until(),
        maturity_instruction: MaturityInstruction = row.instruction,
        instruction_changeable_until: Time = row.instruction_until(),
        suspended_at: Option<Time> = row.suspended_at,
        /// Pay this, when it is not paid from the balance.
        payment_id: Option<PaymentId> = row.payment,
        default_request: Option<DefaultRequestOut> = row.default_request.as_ref().map(DefaultRequestOut::of),
        rolled_from: Option<InvestmentId> = row.rolled_from,
        rolled_into: Option<InvestmentId> = row.rolled_into,
        schedule_url: String = format!("/api/v1/investments/{id}/schedule"),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

/// The terms of an investment, as the plan was when it was made.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TermsOut {
    return_percent: Percent,
    return_basis: ReturnBasis,
    day_count: DayCount,
    cadence: Cadence,
    compounding: bool,
    term_days: u32,
    early_close_penalty_percent: Percent,
    cooling_off_hours: u32,
}

impl TermsOut {
    fn of(terms: &Terms) -> TermsOut {
        TermsOut {
            return_percent: terms.return_percent,
            return_basis: terms.return_basis,
            day_count: terms.day_count,
            cadence: terms.cadence,
            compounding: terms.compounding,
            term_days: terms.term_days,
            early_close_penalty_percent: terms.early_close_penalty_percent,
            cooling_off_hours: terms.cooling_off_hours,
        }
    }
}

/// Somebody says that it failed.
#[derive(Serialize, utoipa::ToSchema)]
pub struct DefaultRequestOut {
    requested_by: Actor,
    requested_at: Time,
    reason: String,
    recovered_amount: Amount,
    /// What others think of it.
    approval: ApprovalOut,
}

impl DefaultRequestOut {
    fn of(it: &DefaultRequest) -> DefaultRequestOut {
        let (requested_by, requested_at, reason) = (it.by, it.at, it.reason.clone());
        let approval = ApprovalOut::of(&it.approval);
        DefaultRequestOut { requested_by, requested_at, reason, recovered_amount: it.recovered, approval }
    }
}

/// What an investment earns, and when: what was credited, then what is to come.
#[derive(Serialize, utoipa::ToSchema)]
pub struct InvestmentScheduleOut {
    investment_id: InvestmentId,
    #[schema(value_type = String)]
    object: &'static str,
    principal: Amount,
    currency: CurrencyCode,
    starts_at: Time,
    matures_at: Time,
    /// All of it together.
    profit: Amount,
    accruals: Vec<PeriodOut>,
}

/// One period and what it earns.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PeriodOut {
    number: u32,
    from: Time,
    /// Its end: the profit is due.
    due: Time,
    /// As the day count counts.
    days: u32,
    amount: Amount,
    /// What is invested afterwards.
    invested: Amount,
    /// When it was credited; `null` while it is to come.
    posted_at: Option<Time>,
    entry_id: Option<EntryId>,
}

impl InvestmentScheduleOut {
    pub fn of(
        id: InvestmentId,
        row: &Investment,
        credited: Vec<AccrualRow>,
        to_come: Vec<Accrual>,
    ) -> Result<InvestmentScheduleOut> {
        let credited = credited.into_iter().map(|it| PeriodOut {
            number: it.number,
            from: it.from,
            due: it.due,
            days: it.days,
            amount: it.amount,
            invested: it.invested,
            posted_at: Some(it.posted_at),
            entry_id: it.entry,
        });
        let to_come = to_come.into_iter().map(|it| PeriodOut {
            number: it.number,
            from: it.from,
            due: it.due,
            days: it.days,
            amount: it.amount,
            invested: it.invested,
            posted_at: None,
            entry_id: None,
        });
        let accruals: Vec<PeriodOut> = credited.chain(to_come).collect();
        let none = Amount::zero(row.principal.currency());
        Ok(InvestmentScheduleOut {
            investment_id: id,
            object: "investment_schedule",
            principal: row.principal,
            currency: row.principal.currency().code,
            starts_at: row.starts_at,
            matures_at: row.matures_at(),
            profit: accruals.iter().try_fold(none, |sum, it| sum.plus(it.amount))?,
            accruals,
        })
    }
}

pub fn endpoints(service: &Arc<Investments>) -> Vec<Endpoint> {
    let moves = &["invalid_state_transition"];
    let listing = service.clone();
    vec![
        get("/investments").about("List investments, newest first").own("investments.view").lists(
            move |tx, call: &Call<(), InvestmentQuery>| {
                let client = call.caller.client()?;
                let mut rows = list(tx, call, &INVESTMENTS, Some(BY_USER))?;
                rows.data.iter_mut().try_for_each(|(_, row)| listing.seen(tx, client, row))?;
                Ok(rows.map(|((_, id), row)| InvestmentOut::of(id, &row)))
            },
        ),
        get("/investments/{id}")
            .about("Show an investment")
            .own("investments.view")
            .reads_with(service, Investments::show),
        get("/investments/{id}/schedule")
            .about("Show what an investment earned, and what it will earn")
            .own("investments.view")
            .reads_with(service, Investments::schedule),
        post("/investments")
            .about("Put money into a plan")
            .own("investments.create")
            .money()
            .refuses(&[
                "user_not_active", "user_owes",
                "plan_not_published",
                "outside_plan",
                "external_id_taken",
                "insufficient_funds",
                "gateway_unavailable",
            ])
            .example(json!({
                "plan_id": "pln_01h455vb4pex5vsknk084sn02q", "amount": "1000.00",
                "user_id": "usr_01h455vb4pex5vsknk084sn02q", "maturity_instruction": "roll_principal",
            }))
            .writes_with(service, Investments::create),
        post("/investments/{id}/close")
            .about("Close an investment: before maturity for its penalty")
            .own("investments.close")
            .money()
            .refuses(&["invalid_state_transition", "user_not_active", "user_owes"])
            .writes_with(service, Investments::close),
        post("/investments/{id}/cancel")
            .about("Take back an investment that has not begun, or cools off")
            .own("investments.cancel")
            .money()
            .refuses(&["cooling_off_over", "invalid_state_transition", "payment_expired"])
            .writes_with(service, Investments::cancel),
        post("/investments/{id}/maturity-instruction")
            .about("Say what becomes of the money at maturity")
            .own("investments.instruct")
            .rehearsed()
            .refuses(&["invalid_state_transition", "instruction_fixed"])
            .example(json!({ "maturity_instruction": "roll_all" }))
            .writes_with(service, Investments::instruct),
        post("/investments/{id}/suspend")
            .about("Let an investment stand still: it earns nothing, and matures later")
            .needs("investments.suspend")
            .rehearsed()
            .refuses(moves)
            .example(json!({ "reason": "the building is being inspected" }))
            .writes_with(service, Investments::suspend),
        post("/investments/{id}/resume")
            .about("Let an investment go on")
            .needs("investments.resume")
            .rehearsed()
            .refuses(moves)
            .example(json!({ "reason": "the inspection is over" }))
            .writes_with(service, Investments::resume),
        post("/investments/{id}/default")
            .about("Ask for an investment to be declared in default")
            .needs("investments.default")
            .rehearsed()
            .refuses(moves)
            .example(json!({ "reason": "the borrower is insolvent", "recovered_amount": "250.00" }))
            .writes_with(service, Investments::request_default),
        post("/investments/{id}/default/approve")
            .about("Agree that an investment is in default, as somebody else than who asked; the last one needed writes it off")
            .needs("investments.approve_default")
            .money()
            .refuses(&[
                "default_not_requested",
                "self_approval",
                "invalid_state_transition",
                "revision_stale",
                "not_on_committee",
                "already_voted",
            ])
            .example(json!({ "revision": 1 }))
            .writes_with(service, Investments::approve_default),
    ]
}
