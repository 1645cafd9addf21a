//! Payments and gateways over HTTP.

pub mod gateways;
pub mod payments;
pub mod suspense;

use std::sync::Arc;

use super::service::Payments;
use crate::kernel::api::endpoint::Endpoint;

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let mut endpoints = payments::endpoints(service);
    endpoints.extend(suspense::endpoints(service));
    endpoints.extend(gateways::endpoints(service));
    endpoints.extend(super::crypto::endpoints(service));
    endpoints.extend(super::refund::routes::endpoints(service));
    endpoints.extend(super::dispute::routes::endpoints(service));
    endpoints.extend(super::inbound::endpoints(service));
    endpoints
}
