//! Markets over HTTP.

mod markets;
mod prices;
mod stream;

use std::sync::Arc;

pub use markets::{MarketIn, MarketOut, MarketPatchIn};

use super::service::MarketService;
use crate::kernel::api::endpoint::Endpoint;

/// Prices change; for this long somebody may go on with what was answered.
const CACHED_S: u32 = 1;

pub fn endpoints(service: &Arc<MarketService>) -> Vec<Endpoint> {
    [markets::endpoints(service), prices::endpoints(service), stream::endpoints(service)].concat()
}
