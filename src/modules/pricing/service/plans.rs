//! Investment plans and their versions.

use super::Pricing;
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::Change,
            object::{Filters as _, Stamp, check_external_id, save},
            page::{Page, page},
            principal::ClientId,
        },
        error::Result,
        machine::{History, Step},
        store::{ReadTx, WriteTx},
    },
    modules::pricing::{
        contract::{PlanId, PlanStatus, PricingRefusal, Terms},
        events::{PlanClosed, PlanPaused, PlanPublished},
        model::plan::{Offer, PLAN, Plan, PlanEvent},
        repository::{PLAN_BY_EXTERNAL_ID, PLANS, versions},
        routes::plans::{PlanIn, PlanOut, PlanPatchIn, PlanPreviewIn, PlanQuery, PlanScheduleOut, VIEW},
    },
};

impl Pricing {
    /// Everybody sees what is published; the rest is for whoever may see all plans.
    pub fn list_plans(&self, tx: &ReadTx, call: &Call<(), PlanQuery>) -> Result<Page<PlanOut>> {
        let (caller, query) = (&call.caller, &call.input);
        let client = caller.client()?;
        let keep = |it: &Plan| query.keeps(it) && may_see(caller, it);
        let plans = page(tx, &PLANS, &client, &query.paging(None), keep)?;
        Ok(plans.map(|((_, id), row)| PlanOut::of(id, &row)))
    }

    pub fn show_plan(&self, tx: &ReadTx, call: &Call<PlanId>) -> Result<PlanOut> {
        let plan = seen(tx, &call.caller, call.path)?;
        Ok(PlanOut::of(call.path, &plan))
    }

    /// Refuses `currency_inactive`, what is wrong with the fields, `external_id_taken`.
    pub fn create_plan(&self, tx: &mut WriteTx, call: &Call<(), PlanIn>) -> Result<PlanOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let currency = self.currencies.active(tx, client, input.currency)?;
        let terms = Terms {
            currency,
            return_percent: input.return_percent,
            return_basis: input.return_basis,
            day_count: input.day_count,
            cadence: input.cadence,
            compounding: input.compounding,
            term_days: input.term_days,
            early_close_penalty_percent: input.early_close_penalty_percent.unwrap_or_default(),
            cooling_off_hours: input.cooling_off_hours.unwrap_or(0),
        };
        let max = input.max_amount.as_ref().map(|it| it.positive("max_amount", currency)).transpose()?;
        let offer = Offer {
            name: String::from(&input.name),
            kind: String::from(&input.r#type),
            min: input.min_amount.positive("min_amount", currency)?,
            max,
            terms,
            benefits: input.benefits.iter().flatten().map(String::from).collect(),
        };
        offer.check()?;
        check_external_id(tx, &PLANS, PLAN_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let id: PlanId = tx.new_id();
        let history = History::begin(PlanStatus::Draft, &call.caller, tx.now());
        let stamp = Stamp::new(tx, input.external_id.as_ref(), &input.metadata);
        let plan = Plan { family: id, number: 1, offer, history, stamp };
        tx.insert(&PLANS, &(client, id), &plan)?;
        Ok(PlanOut::of(id, &plan))
    }

    /// Refuses `plan_not_draft`, and what is wrong with the fields.
    pub fn change_plan(&self, tx: &mut WriteTx, call: &Call<PlanId, PlanPatchIn>) -> Result<PlanOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let mut plan = load(tx, client, call.path)?;
        call.caller.check_version(plan.stamp.version)?;
        if plan.status() != PlanStatus::Draft {
            return Err(PricingRefusal::PlanNotDraft { status: plan.status() }.into());
        }
        let Offer { name, kind, min, max, terms, benefits } = &mut plan.offer;
        let currency = terms.currency;
        if let Some(text) = &input.name {
            *name = String::from(text);
        }
        if let Some(text) = &input.r#type {
            *kind = String::from(text);
        }
        if let Some(text) = &input.min_amount {
            *min = text.positive("min_amount", currency)?;
        }
        match &input.max_amount {
            Change::Keep => {}
            Change::Clear => *max = None,
            Change::Set(text) => *max = Some(text.positive("max_amount", currency)?),
        }
        *terms = Terms {
            currency,
            return_percent: input.return_percent.unwrap_or(terms.return_percent),
            return_basis: input.return_basis.unwrap_or(terms.return_basis),
            day_count: input.day_count.unwrap_or(terms.day_count),
            cadence: input.cadence.unwrap_or(terms.cadence),
            compounding: input.compounding.unwrap_or(terms.compounding),
            term_days: input.term_days.unwrap_or(terms.term_days),
            early_close_penalty_percent: input
                .early_close_penalty_percent
                .unwrap_or(terms.early_close_penalty_percent),
            cooling_off_hours: input.cooling_off_hours.unwrap_or(terms.cooling_off_hours),
        };
        if let Some(given) = &input.benefits {
            *benefits = given.iter().map(String::from).collect();
        }
        plan.offer.check()?;
        plan.stamp.metadata.merge(input.metadata.clone());

        save(tx, &PLANS, &(client, call.path), &mut plan)?;
        Ok(PlanOut::of(call.path, &plan))
    }

    /// Puts it on offer, in place of the version that was. Refuses `invalid_state_transition`.
    pub fn publish_plan(&self, tx: &mut WriteTx, call: &Call<PlanId>) -> Result<PlanOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut plan = load(tx, client, call.path)?;
        if plan.history.step(&PLAN, PlanEvent::Publish, caller, None, tx.now())? == Step::Repeated {
            return Ok(PlanOut::of(call.path, &plan));
        }

        for (id, mut other) in versions(tx, client, plan.family)? {
            let is_offered = matches!(other.status(), PlanStatus::Published | PlanStatus::Paused);
            if id != call.path && is_offered {
                let reason = format!("replaced by {}", call.path);
                other.history.step(&PLAN, PlanEvent::Close, caller, Some(&reason), tx.now())?;
                save(tx, &PLANS, &(client, id), &mut other)?;
                tx.publish(caller, &PlanClosed::of(id, &other))?;
            }
        }
        save(tx, &PLANS, &(client, call.path), &mut plan)?;
        tx.publish(caller, &PlanPublished::of(call.path, &plan))?;
        Ok(PlanOut::of(call.path, &plan))
    }

    /// Takes it off offer for now. Refuses `invalid_state_transition`.
    pub fn pause_plan(&self, tx: &mut WriteTx, call: &Call<PlanId>) -> Result<PlanOut> {
        let (plan, step) = self.move_plan(tx, call, PlanEvent::Pause)?;
        if step == Step::Moved {
            tx.publish(&call.caller, &PlanPaused::of(call.path, &plan))?;
        }
        Ok(PlanOut::of(call.path, &plan))
    }

    /// Takes it off offer for good. Refuses `invalid_state_transition`.
    pub fn close_plan(&self, tx: &mut WriteTx, call: &Call<PlanId>) -> Result<PlanOut> {
        let (plan, step) = self.move_plan(tx, call, PlanEvent::Close)?;
        if step == Step::Moved {
            tx.publish(&call.caller, &PlanClosed::of(call.path, &plan))?;
        }
        Ok(PlanOut::of(call.path, &plan))
    }

    fn move_plan(&self, tx: &mut WriteTx, call: &Call<PlanId>, event: PlanEvent) -> Result<(Plan, Step)> {
        let client = call.caller.client()?;
        let mut plan = load(tx, client, call.path)?;
        let step = plan.history.step(&PLAN, event, &call.caller, None, tx.now())?;
        if step == Step::Moved {
            save(tx, &PLANS, &(client, call.path), &mut plan)?;
        }
        Ok((plan, step))
    }

    /// A draft with the same terms, to be changed and published. Refuses `plan_draft_exists`: of a plan that is itself
    /// one, too.
    pub fn new_version(&self, tx: &mut WriteTx, call: &Call<PlanId>) -> Result<PlanOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let from = load(tx, client, call.path)?;
        let all = versions(tx, client, from.family)?;
        if let Some((existing_id, _)) = all.iter().find(|it| it.1.status() == PlanStatus::Draft) {
            return Err(PricingRefusal::PlanDraftExists { existing_id: *existing_id }.into());
        }

        let id: PlanId = tx.new_id();
        let number = all.iter().map(|it| it.1.number).max().unwrap_or(0) + 1;
        let history = History::begin(PlanStatus::Draft, caller, tx.now());
        let stamp = Stamp::new(tx, None, &from.stamp.metadata);
        let plan = Plan { family: from.family, number, offer: from.offer, history, stamp };
        tx.insert(&PLANS, &(client, id), &plan)?;
        Ok(PlanOut::of(id, &plan))
    }

    /// What an amount would earn, by the function that credits it. Refuses `outside_plan`.
    pub fn preview_plan(&self, tx: &ReadTx, call: &Call<PlanId, PlanPreviewIn>) -> Result<PlanScheduleOut> {
        let Offer { terms, .. } = &seen(tx, &call.caller, call.path)?.offer;
        let amount = call.input.amount.positive("amount", terms.currency)?;
        seen(tx, &call.caller, call.path)?.offer.check_takes(amount)?;
        let start = call.input.starts_at.unwrap_or(tx.now());
        PlanScheduleOut::of(amount, start, terms, &terms.schedule(amount, start)?)
    }
}

fn load(tx: &ReadTx, client: ClientId, id: PlanId) -> Result<Plan> {
    found(tx.get(&PLANS, &(client, id))?)
}

/// Refuses `not_found`, for what the caller may not see too.
fn seen(tx: &ReadTx, caller: &Caller, id: PlanId) -> Result<Plan> {
    let plan = load(tx, caller.client()?, id)?;
    found(may_see(caller, &plan).then_some(plan))
}

fn may_see(caller: &Caller, plan: &Plan) -> bool {
    plan.status() == PlanStatus::Published || caller.check_may(VIEW).is_ok()
}
