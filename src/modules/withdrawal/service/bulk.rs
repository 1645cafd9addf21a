//! Many withdrawals in one command. Items run in order, and later ones see what earlier ones took. `atomic`: all or
//! none, the first refusal is the answer. Otherwise each item stands alone and has its own answer.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Withdrawals;
use crate::kernel::{
    api::{
        bulk::{at_item, problem_of},
        call::Call,
        input::{Flaw, input},
    },
    error::{Error, Result},
    store::WriteTx,
};
use crate::modules::withdrawal::routes::{WithdrawalIn, WithdrawalOut};

/// What one transaction does without keeping others waiting for long.
const MOST_ITEMS: usize = 1000;

#[derive(Debug, utoipa::ToSchema)]
pub struct BulkWithdrawalIn {
    /// 1 to 1000.
    pub items: Vec<WithdrawalIn>,
    /// All or none; unless said, each item stands alone.
    pub atomic: Option<bool>,
}
input!(BulkWithdrawalIn { items, atomic });

/// What became of the items.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BulkWithdrawalOut {
    #[schema(value_type = String)]
    object: &'static str,
    atomic: bool,
    succeeded: usize,
    failed: usize,
    items: Vec<BulkWithdrawalItem>,
}

/// What became of one item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BulkWithdrawalItem {
    index: usize,
    /// `succeeded` or `failed`.
    #[schema(value_type = String)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawal: Option<WithdrawalOut>,
    /// The code of the refusal and what it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Map<String, Value>>,
}

impl Withdrawals {
    /// Refuses what [`Withdrawals::create`] does, with the `index` of the item, when `atomic`.
    pub fn create_bulk(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), BulkWithdrawalIn>,
    ) -> Result<BulkWithdrawalOut> {
        let (caller, input) = (&call.caller, &call.input);
        caller.client()?;
        if !(1..=MOST_ITEMS).contains(&input.items.len()) {
            let message = format!("has 1 to {MOST_ITEMS} items");
            return Err(Flaw::new("items", "out_of_range", message).into());
        }
        let atomic = input.atomic.unwrap_or(false);
        let mut items = Vec::with_capacity(input.items.len());
        for (index, item) in input.items.iter().enumerate() {
            let made = if atomic {
                Ok(self.make(tx, caller, item).map_err(|error| at_item(index, error))?)
            } else {
                tx.attempt(|tx| self.make(tx, caller, item))
            };
            items.push(match made {
                Ok(made) => {
                    let withdrawal = Some(self.out(tx, caller, &made)?);
                    BulkWithdrawalItem { index, status: "succeeded", withdrawal, problem: None }
                }
                Err(Error::Refused(refusal)) => {
                    let problem = Some(problem_of(&*refusal));
                    BulkWithdrawalItem { index, status: "failed", withdrawal: None, problem }
                }
                // Ours: nobody can tell which of the others it concerns.
                Err(fault) => return Err(fault),
            });
        }
        let failed = items.iter().filter(|it| it.problem.is_some()).count();
        Ok(BulkWithdrawalOut {
            object: "bulk_withdrawal",
            atomic,
            succeeded: items.len() - failed,
            failed,
            items,
        })
    }
}
