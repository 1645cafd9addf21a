//! What Client announces.

use crate::kernel::{
    api::principal::{ClientId, KeyId},
    clock::Time,
    events::event::events,
};

events! {
    client_id of { client_id: ClientId }
    /// An operator made a client.
    ClientCreated = "client.created",
    /// A client's keys and sessions work again.
    ClientActivated = "client.activated",
    /// A client's keys and sessions stopped working.
    ClientDeactivated = "client.deactivated";

    key_id of { key_id: KeyId }
    /// A key was made.
    ApiKeyCreated = "api_key.created",
    /// A key works no more.
    ApiKeyRevoked = "api_key.revoked";

    key_id of { key_id: KeyId, grace_s: u64 }
    /// A key got a new text; the old one works for `grace_s` more seconds.
    ApiKeyRotated = "api_key.rotated";

    key_id of {
        key_id: KeyId,
        name: String,
        expires_at: Time,
        /// 30, 7 or 1.
        days: u32,
    }
    /// A key stops working soon: make another one, and put it where this one is.
    ApiKeyExpiring = "api_key.expiring";

    client_id of {
        client_id: ClientId,
        /// `withdrawal`, `payment`, `refund`, `adjustment`, `investment_default` or `suspense`.
        operation: String,
    }
    /// Who has to approve an operation changed: votes cast before are void.
    ApprovalPolicyChanged = "approval_policy.changed";
}
