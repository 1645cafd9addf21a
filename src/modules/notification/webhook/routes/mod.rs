//! Webhooks over HTTP.

pub mod deliveries;
pub mod endpoints;

use std::sync::Arc;

use super::service::WebhookService;
use crate::kernel::api::endpoint::Endpoint;

pub fn endpoints(service: &Arc<WebhookService>) -> Vec<Endpoint> {
    [endpoints::endpoints(service), deliveries::endpoints(service)].concat()
}
