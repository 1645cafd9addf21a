//! The tables of prices: key → value in words.

use super::{
    contract::{FeeId, FeeOperation, PlanId},
    model::{
        plan::Plan,
        rule::{Fee, FeeStatus},
    },
};
use crate::kernel::{
    api::{input::Named as _, object::by_external_id, principal::ClientId},
    error::Result,
    store::{Index, Key as _, ReadTx, Scan, Table},
};

/// (client, operation) → the rules in force for it: few
const IN_FORCE: &str = "pricing.fees_in_force";
/// (client, external id) → the rule that has it
pub const FEE_BY_EXTERNAL_ID: &str = "pricing.fee_by_external_id";
/// (client, first version) → the versions of the plan
const PLANS_BY_FAMILY: &str = "pricing.plans_by_family";
/// (client, external id) → the plan that has it
pub const PLAN_BY_EXTERNAL_ID: &str = "pricing.plan_by_external_id";

/// (client, fee) → fee rule
pub const FEES: Table<(ClientId, FeeId), Fee> = Table::new("pricing.fees").with_indexes(&[
    Index::listing(IN_FORCE, |key, row| {
        let is_active = row.status() == FeeStatus::Active;
        is_active.then(|| force_key(key.0, row.applies.operation).to_key()).into_iter().collect()
    }),
    by_external_id(FEE_BY_EXTERNAL_ID),
]);

/// (client, plan) → version of a plan
pub const PLANS: Table<(ClientId, PlanId), Plan> = Table::new("pricing.plans").with_indexes(&[
    Index::listing(PLANS_BY_FAMILY, |key, row| vec![(key.0, row.family).to_key()]),
    by_external_id(PLAN_BY_EXTERNAL_ID),
]);

fn force_key(client: ClientId, operation: FeeOperation) -> (ClientId, String) {
    (client, operation.name().to_owned())
}

/// The rules in force for an operation.
pub fn in_force(tx: &ReadTx, client: ClientId, operation: FeeOperation) -> Result<Vec<(FeeId, Fee)>> {
    let rows = tx.scan_index(&FEES, IN_FORCE, Scan::prefix(&force_key(client, operation)));
    rows.map(|it| it.map(|((_, id), row)| (id, row))).collect()
}

/// The versions of a plan, oldest first.
pub fn versions(tx: &ReadTx, client: ClientId, family: PlanId) -> Result<Vec<(PlanId, Plan)>> {
    let rows = tx.scan_index(&PLANS, PLANS_BY_FAMILY, Scan::prefix(&(client, family)));
    rows.map(|it| it.map(|((_, id), row)| (id, row))).collect()
}
