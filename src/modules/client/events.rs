//! What Client announces.

use serde::{Deserialize, Serialize};

use crate::kernel::{
    api::principal::{ClientId, KeyId},
    clock::Time,
    events::event::event,
};

/// An operator made a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientCreated {
    pub client_id: ClientId,
}
event!(ClientCreated, "client.created", client_id);

/// A client's keys and sessions work again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientActivated {
    pub client_id: ClientId,
}
event!(ClientActivated, "client.activated", client_id);

/// A client's keys and sessions stopped working.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClientDeactivated {
    pub client_id: ClientId,
}
event!(ClientDeactivated, "client.deactivated", client_id);

/// A key was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKeyCreated {
    pub key_id: KeyId,
}
event!(ApiKeyCreated, "api_key.created", key_id);

/// A key got a new text; the old one works for `grace_s` more seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKeyRotated {
    pub key_id: KeyId,
    pub grace_s: u64,
}
event!(ApiKeyRotated, "api_key.rotated", key_id);

/// A key works no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKeyRevoked {
    pub key_id: KeyId,
}
event!(ApiKeyRevoked, "api_key.revoked", key_id);

/// A key stops working soon: make another one, and put it where this one is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApiKeyExpiring {
    pub key_id: KeyId,
    pub name: String,
    pub expires_at: Time,
    /// 30, 7 or 1.
    pub days: u32,
}
event!(ApiKeyExpiring, "api_key.expiring", key_id);

/// Who has to approve an operation changed: votes cast before are void.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalPolicyChanged {
    pub client_id: ClientId,
    /// `withdrawal`, `payment`, `refund`, `adjustment`, `investment_default` or `suspense`.
    pub operation: String,
}
event!(ApprovalPolicyChanged, "approval_policy.changed", client_id);
