//! What Transaction answers over HTTP.

pub mod transactions;
mod transfers;

use std::sync::Arc;

use super::service::Transactions;
use crate::kernel::api::endpoint::Endpoint;

pub use transfers::{BalanceLine, balance_lines};

pub fn endpoints(service: &Arc<Transactions>) -> Vec<Endpoint> {
    [transactions::endpoints(service), transfers::endpoints(service)].concat()
}
