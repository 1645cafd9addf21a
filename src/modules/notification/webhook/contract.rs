//! What webhooks refuse.

use crate::kernel::{error::refusals, net::Forbidden};

refusals! {
    /// What is refused about webhook endpoints.
    pub enum WebhookRefusal {
        /// The URL leads where requests must not go: not `https`, a private address in any spelling, a name that has
        /// one. Networks on the premises are opened by the operator, in `webhooks.allow_networks`.
        UrlForbidden { reason: String }: Unprocessable "url_forbidden" => "{reason}",
        /// The client has as many endpoints as it may have. Delete one, or let one receive more.
        TooManyWebhookEndpoints { limit: u64 }: Conflict "too_many_webhook_endpoints"
            => "a client has at most {limit} endpoints",
        /// As many secrets sign as may: wait until one has run out, or rotate with `grace_s` 0, which ends all others.
        TooManyWebhookSecrets { limit: u64 }: Conflict "too_many_webhook_secrets"
            => "at most {limit} secrets sign at a time",
        /// A replay to this endpoint is still running. Look at `replay` of the endpoint.
        ReplayRunning: Conflict "replay_running" => "a replay is still running",
    }
}

impl From<Forbidden> for WebhookRefusal {
    fn from(why: Forbidden) -> WebhookRefusal {
        WebhookRefusal::UrlForbidden { reason: why.to_string() }
    }
}
