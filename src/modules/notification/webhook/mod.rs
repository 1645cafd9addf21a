//! Webhooks: what happened, told to servers of the client, signed.
//!
//! Owns the endpoints (URL, filters, secrets, health) and everything that decides when a message goes; the messages
//! themselves are deliveries of the outbox, of kind `webhook`.
//!
//! ```text
//! tx.publish(event) ─ fan_out: one delivery per endpoint whose filter matches, in the causing transaction
//! claim   prepare   disabled · paused · not its turn · over its rate?  → waits, using no try
//!         send      POST, signed with every live secret; to a vetted address (kernel/net)
//! ack     settled   health and breaker of the endpoint
//! end     ended     lets the next message about the same thing go
//! ```
//!
//! | after | the endpoint | and its messages |
//! |---|---|---|
//! | 10 answers or more within 60 s, 70 % of them bad | is paused for 30 s, each time twice as long, up to 10 min | wait |
//! | the pause | is tried with one message, the oldest | wait for its outcome |
//! | 50, 70, 90 failures in a row | `webhook_endpoint.warned` | |
//! | 100 failures in a row over 24 h or more, or a 410 | is disabled, `webhook_endpoint.disabled` | wait, for 7 days |
//! | somebody enables it | is tried with one message | wait for its outcome, then all go; one that failed before keeps its schedule |
//!
//! Calls: no other module. Hears: every event. Announces: see [`events`].
//!
//! # What is always true
//!
//! - A message has one `webhook-id`, that of its event, and one body, byte for byte, however often it is sent.
//! - Of the messages about one thing, only the oldest that has not come to its end is sent to an endpoint; an
//!   explicit redelivery is the exception.
//! - A secret is shown once and stored sealed.

mod contract;
mod courier;
pub mod events;
mod fan_out;
mod model;
mod replay;
mod repository;
mod routes;
mod service;
mod signature;
mod timer;
mod traffic;

use std::{sync::Arc, time::Duration};

use crate::kernel::{
    boot::{Boot, BootError},
    events::{
        courier::{OnInterrupted, TargetPlan},
        delivery::Lane,
        retry::RetryPolicy,
    },
    net::authorities,
};
use crate::modules::notification::{
    contract::{Captured, CapturedWebhook},
    mailbox::endpoint,
};

/// The kind of the deliveries. Stored: never renamed.
const KIND: &str = "webhook";

/// Seconds between attempts: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h. Three days in
/// all, which is a weekend.
const BACKOFF_S: [u64; 9] = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Up to this share is added to each wait, so that what failed together does not come back together.
const JITTER_PERCENT: u8 = 10;

pub(super) fn register(boot: &mut Boot) -> Result<(), BootError> {
    let timeout = Duration::from_secs(boot.config().webhooks.timeout_s);
    let plan = TargetPlan {
        queue: "webhooks",
        lane: Lane::Medium,
        retry: Some(RetryPolicy {
            tries: BACKOFF_S.len() as u32 + 1,
            backoff_s: BACKOFF_S.to_vec(),
            jitter_percent: JITTER_PERCENT,
        }),
        // The request gives up first, and says why.
        timeout: Some(timeout + Duration::from_secs(5)),
        at_once: 2,
        on_interrupted: OnInterrupted::Retry,
    };
    authorities(boot.config().webhooks.ca_file.as_deref()).map_err(|problem| BootError::Setting {
        module: super::MODULE.name,
        problem: format!("webhooks.ca_file: {problem}"),
    })?;
    let captured = boot.is_ephemeral().then(Arc::<Captured<CapturedWebhook>>::default);
    if let Some(captured) = &captured {
        let about = "Show every request that was made to a webhook endpoint, oldest first";
        boot.endpoints(vec![endpoint("/testing/webhooks", about, captured)]);
        boot.service("webhooks", captured.clone());
    }
    boot.sends::<courier::Message<'static>>(courier::HEADERS);
    boot.target(KIND, plan, courier::Webhooks::new(boot.net(), boot.secrets(), timeout, captured));
    boot.overhear(|tx, heard| fan_out::fan_out(tx, heard.envelope));
    boot.job(timer::job());
    boot.tables(vec![repository::ENDPOINTS.info(), repository::ORDER.info()]);
    boot.alias("whk", "webhook endpoint");
    boot.refusals(contract::WebhookRefusal::CATALOGUE.iter().copied());
    boot.announces::<events::WebhookEndpointDisabled>();
    boot.announces::<events::WebhookEndpointEnabled>();
    boot.announces::<events::WebhookEndpointWarned>();
    boot.check("notification.webhook_order", repository::check_order);
    let service = Arc::new(service::WebhookService::new(boot.net(), boot.secrets()));
    boot.endpoints(routes::endpoints(&service));
    Ok(())
}
