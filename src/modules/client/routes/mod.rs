//! Clients, their keys and their secrets over HTTP.

pub mod approvals;
pub mod clients;
pub mod keys;
pub mod secrets;

use std::sync::Arc;

use super::service::ClientService;
use crate::kernel::api::endpoint::Endpoint;

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    let mut endpoints = clients::endpoints(service);
    endpoints.extend(approvals::endpoints(service));
    endpoints.extend(keys::endpoints(service));
    endpoints.extend(secrets::endpoints(service));
    endpoints
}
