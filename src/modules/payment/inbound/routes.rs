//! Where gateways tell: no credential, but a signature.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    kernel::api::endpoint::{Endpoint, RawBytes, post},
    modules::payment::{contract::GatewayId, service::Payments},
};

/// The same for every message that was signed, new or seen before.
#[derive(Serialize, utoipa::ToSchema)]
pub struct WebhookReceiptOut {
    #[schema(value_type = String)]
    object: &'static str,
    received: bool,
}

/// A message has some kilobytes.
const MOST_BYTES: usize = 64 * 1024;

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let (judging, acting) = (service.clone(), service.clone());
    vec![
        post("/gateways/{id}/webhook")
            .about("Take what a gateway tells, signed: `Gateway-Signature: t=<seconds>,v1=<HMAC-SHA256 of t.body>`")
            .open()
            .plain()
            .max_body_bytes(MOST_BYTES)
            .refuses(&["webhook_refused", "webhook_not_understood"])
            .hears(
                move |tx, heard: &RawBytes<GatewayId>| judging.judge_webhook(tx, heard),
                move |tx, caller, judged| {
                    acting.take_webhook(tx, caller, judged)?;
                    Ok(WebhookReceiptOut { object: "webhook_receipt", received: true })
                },
            ),
    ]
}
