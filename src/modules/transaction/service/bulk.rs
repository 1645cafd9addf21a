//! Many transfers in one command: the ledger's plain speed.
//!
//! Items run in order, and later ones see what earlier ones did. `atomic`: all or none, the first refusal is the
//! answer. Otherwise each item stands alone, on an overlay of its own, and has its own answer; and the command is cut
//! into pieces of at most [`PIECE`] items, between which others write.

use std::ops::Range;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Moved, Transactions,
    create::{Known, TransferIn},
};
use crate::modules::balance::contract::EntryId;
use crate::{
    kernel::{
        api::{
            bulk::{at_item, problem_of},
            call::Caller,
            input::{Flaw, input},
        },
        error::{Error, Refusal, Result},
        store::WriteTx,
    },
    modules::transaction::{
        contract::TransferId,
        model::TransferStatus,
        routes::{BalanceLine, balance_lines},
    },
};

pub const MOST_ITEMS: usize = 10_000;
/// Items of one transaction, unless they are all or none.
pub const PIECE: usize = 1000;

#[derive(utoipa::ToSchema)]
pub struct BulkIn {
    /// 1 to 10000.
    pub items: Vec<TransferIn>,
    /// All or none; unless said, each item stands alone.
    pub atomic: Option<bool>,
}
input!(BulkIn { items, atomic });

/// What became of the items.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BulkOut {
    #[schema(value_type = String)]
    object: &'static str,
    atomic: bool,
    succeeded: usize,
    failed: usize,
    items: Vec<BulkItem>,
}

/// What became of one item.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BulkItem {
    index: usize,
    /// `succeeded` or `failed`.
    #[schema(value_type = String)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<BulkTransfer>,
    /// The code of the refusal and what it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Map<String, Value>>,
}

/// A transfer that was made; `GET transfers/{id}` shows all of it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BulkTransfer {
    id: TransferId,
    status: TransferStatus,
    entry_id: EntryId,
    balances: Vec<BalanceLine>,
}

impl Transactions {
    /// Makes some of the transfers: all of them when `atomic`. Refuses what [`Transactions::create`] does, with the
    /// `index` of the item, when `atomic`.
    pub fn create_bulk(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        input: &BulkIn,
        range: Range<usize>,
    ) -> Result<BulkOut> {
        let atomic = input.atomic.unwrap_or(false);
        // What is found out holds within one transaction: the next piece finds out again.
        let mut known = Known::default();
        let mut items = Vec::with_capacity(range.len());
        for (index, item) in input.items.iter().enumerate().take(range.end).skip(range.start) {
            let made = if atomic {
                Ok(self.create_with(tx, caller, item, &mut known).map_err(|error| at_item(index, error))?)
            } else {
                tx.attempt(|tx| self.create_with(tx, caller, item, &mut known))
            };
            items.push(match made {
                Ok(moved) => BulkItem::succeeded(index, caller, &moved),
                Err(Error::Refused(refusal)) => BulkItem::failed(index, &*refusal),
                // Ours: nobody can tell which of the others it concerns.
                Err(fault) => return Err(fault),
            });
        }
        let failed = items.iter().filter(|it| it.problem.is_some()).count();
        Ok(BulkOut { object: "bulk_transfer", atomic, succeeded: items.len() - failed, failed, items })
    }
}

impl BulkIn {
    /// How many items there are, and how many of them make a transaction.
    pub fn cut(&self, caller: &Caller) -> Result<(usize, usize)> {
        let items = self.items.len();
        if !(1..=MOST_ITEMS).contains(&items) {
            let message = format!("has 1 to {MOST_ITEMS} items");
            return Err(Flaw::new("items", "out_of_range", message).into());
        }
        caller.client()?;
        Ok((items, if self.atomic.unwrap_or(false) { items } else { PIECE }))
    }
}

impl BulkOut {
    /// The answer for all items, of those for some.
    pub fn join(parts: Vec<Value>) -> Value {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().unwrap_or_default();
        for mut part in parts {
            for count in ["succeeded", "failed"] {
                whole[count] =
                    (whole[count].as_u64().unwrap_or(0) + part[count].as_u64().unwrap_or(0)).into();
            }
            if let (Some(items), Some(more)) = (whole["items"].as_array_mut(), part["items"].as_array_mut()) {
                items.append(more);
            }
        }
        whole
    }
}

impl BulkItem {
    fn succeeded(index: usize, caller: &Caller, moved: &Moved) -> BulkItem {
        let transfer = BulkTransfer {
            id: moved.id,
            status: moved.transfer.status(),
            entry_id: moved.transfer.entry,
            balances: balance_lines(caller, &moved.states),
        };
        BulkItem { index, status: "succeeded", transfer: Some(transfer), problem: None }
    }

    fn failed(index: usize, refusal: &dyn Refusal) -> BulkItem {
        BulkItem { index, status: "failed", transfer: None, problem: Some(problem_of(refusal)) }
    }
}
