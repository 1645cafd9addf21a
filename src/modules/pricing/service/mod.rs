//! What can be done with fee rules and plans.

mod fees;
mod plans;

use std::{collections::BTreeSet, sync::Arc};

use super::{
    contract::{FeeFound, FeeId, FeeOperation, FeeQuestion, PlanId, PlanInfo, PlanStatus, PricingContract},
    limit,
    model::rule::{Case, Fee, FeeStatus, most_specific},
    repository::{FEES, PLANS, in_force, versions},
};
use crate::{
    kernel::{
        api::{call::found, input::Named as _, principal::ClientId},
        error::Result,
        money::{Amount, CurrencyCode, Percent},
        store::{ReadTx, Scan},
    },
    modules::{
        client::contract::ClientContract, currency::contract::CurrencyContract, user::contract::UserContract,
    },
};

pub struct Pricing {
    pub clients: Arc<dyn ClientContract>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub users: Arc<dyn UserContract>,
}

/// Whether users of the second tier may do more than those of the first, or for less. Two lists of fees have no order: a
/// tier with rules of its own may cost less.
pub fn is_better_tier(tx: &ReadTx, client: ClientId, before: &str, after: &str) -> Result<bool> {
    for operation in FeeOperation::ALL {
        let rules = in_force(tx, client, *operation)?;
        let names =
            |it: &(FeeId, Fee)| it.1.applies.tier.as_deref().is_some_and(|it| [before, after].contains(&it));
        if rules.iter().any(names) {
            return Ok(true);
        }
    }
    limit::repository::is_looser_tier(tx, client, before, after)
}

impl PricingContract for Pricing {
    fn fee(&self, tx: &ReadTx, client: ClientId, question: &FeeQuestion<'_>) -> Result<FeeFound> {
        let rules = in_force(tx, client, question.operation)?;
        let Some((id, rule)) = most_specific(rules, &question.into()) else {
            return Ok(FeeFound { fee: Amount::zero(question.amount.currency()), rule: None });
        };
        Ok(FeeFound { fee: rule.cost.fee(question.amount)?, rule: Some(id) })
    }

    fn spread(
        &self,
        tx: &ReadTx,
        client: ClientId,
        from: CurrencyCode,
        to: CurrencyCode,
        tier: &str,
    ) -> Result<Percent> {
        let operation = FeeOperation::Spread;
        let case = Case { operation, currency: from, to: Some(to), gateway: None, tier };
        let rule = most_specific(in_force(tx, client, operation)?, &case);
        Ok(rule.map_or(Percent::ZERO, |it| it.1.cost.percent))
    }

    fn plan(&self, tx: &ReadTx, client: ClientId, plan: PlanId) -> Result<PlanInfo> {
        Ok(found(tx.get(&PLANS, &(client, plan))?)?.info(plan))
    }

    fn check_plan_takes(&self, tx: &ReadTx, client: ClientId, plan: PlanId, amount: Amount) -> Result<()> {
        found(tx.get(&PLANS, &(client, plan))?)?.check_takes(amount)
    }

    fn published_version(&self, tx: &ReadTx, client: ClientId, plan: PlanId) -> Result<Option<PlanId>> {
        let family = found(tx.get(&PLANS, &(client, plan))?)?.family;
        let mut versions = versions(tx, client, family)?.into_iter();
        Ok(versions.find(|it| it.1.status() == PlanStatus::Published).map(|it| it.0))
    }
}

/// Active rules that apply to the same, and plans with two versions on offer.
pub fn verify(tx: &ReadTx) -> Result<Vec<String>> {
    let (mut wrong, mut applied, mut offered) = (vec![], vec![], BTreeSet::new());
    for row in tx.scan(&FEES, Scan::all()) {
        let ((client, id), rule) = row?;
        if rule.status() != FeeStatus::Active {
            continue;
        }
        if applied.contains(&(client, rule.applies.clone())) {
            wrong.push(format!("{id} applies to the same as another rule"));
        }
        applied.push((client, rule.applies));
    }
    for row in tx.scan(&PLANS, Scan::all()) {
        let ((client, id), plan) = row?;
        let is_offered = matches!(plan.status(), PlanStatus::Published | PlanStatus::Paused);
        if is_offered && !offered.insert((client, plan.family)) {
            wrong.push(format!("{id} is on offer beside another version of {}", plan.family));
        }
    }
    Ok(wrong)
}
