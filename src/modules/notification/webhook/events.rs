//! What webhooks announce.

use serde::{Deserialize, Serialize};

use super::model::{DisabledBecause, WebhookEndpointId};
use crate::kernel::events::event::event;

/// An endpoint gets no messages any more; they wait for 7 days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookEndpointDisabled {
    pub webhook_endpoint_id: WebhookEndpointId,
    pub url: String,
    #[schema(value_type = DisabledBecause)]
    pub reason: String,
    /// In a row, when it was disabled.
    pub failures: u32,
}
event!(WebhookEndpointDisabled, "webhook_endpoint.disabled", webhook_endpoint_id);

/// An endpoint is tried with one message; when it takes it, all that waited follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookEndpointEnabled {
    pub webhook_endpoint_id: WebhookEndpointId,
    pub url: String,
}
event!(WebhookEndpointEnabled, "webhook_endpoint.enabled", webhook_endpoint_id);

/// An endpoint keeps failing and is on its way to be disabled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WebhookEndpointWarned {
    pub webhook_endpoint_id: WebhookEndpointId,
    pub url: String,
    /// In a row.
    pub failures: u32,
    /// Of the failures that disable it: 50, 70 or 90.
    pub percent: u32,
}
event!(WebhookEndpointWarned, "webhook_endpoint.warned", webhook_endpoint_id);
