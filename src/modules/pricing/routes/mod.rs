//! Prices over HTTP.

pub mod fees;
pub mod plans;

use std::sync::Arc;

use super::service::Pricing;
use crate::kernel::api::endpoint::Endpoint;

pub fn endpoints(service: &Arc<Pricing>) -> Vec<Endpoint> {
    [fees::endpoints(service), plans::endpoints(service)].concat()
}
