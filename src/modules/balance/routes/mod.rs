//! What Balance answers over HTTP.

pub mod adjustments;
mod balances;
mod ledger;
mod printed;

use std::sync::Arc;

use super::service::Ledger;
use crate::kernel::api::endpoint::Endpoint;

pub fn endpoints(ledger: &Arc<Ledger>) -> Vec<Endpoint> {
    [balances::endpoints(ledger), adjustments::endpoints(ledger), ledger::endpoints(ledger)].concat()
}
