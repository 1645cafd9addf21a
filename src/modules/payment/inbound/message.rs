//! What a message says: the events Stripe sends, and those of a watcher of addresses.
//!
//! | type | its object |
//! |---|---|
//! | `payment_intent.*` | `payment_intent` |
//! | `refund.*`, `charge.refund.updated` | `refund` |
//! | `charge.dispute.*` | `dispute` |
//! | `payout.*` | `payout` |
//! | `address.transfer`, `address.transfer_dropped` | `transfer`: address, txid, output, amount, currency, confirmations |
//!
//! Others are let pass.

use serde_json::{Value, json};

use super::signature::sign;
use crate::{
    kernel::clock::Time,
    modules::payment::{
        adapter::{
            crypto::reference,
            stripe::{self, Intent, Money, Payout, Refund},
        },
        contract::{AttemptId, DisputeStatus, PaymentId},
    },
};

/// A message whose signature holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The gateway's own id of it.
    pub id: String,
    /// Whether the money is real; `None` when it does not say.
    pub is_live: Option<bool>,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub enum About {
    Intent {
        intent: Intent,
        /// Ours, from its metadata.
        attempt: Option<(PaymentId, AttemptId)>,
    },
    Refund(Refund),
    Dispute(DisputeWord),
    Payout(Payout),
    Transfer(AddressTransfer),
    /// None of our business.
    Other,
}

/// Where a dispute stands.
#[derive(Debug, Clone, PartialEq)]
pub struct DisputeWord {
    /// The gateway's own.
    pub id: String,
    /// Of the intent.
    pub charge: String,
    pub amount: Money,
    pub status: DisputeStatus,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AddressTransfer {
    pub address: String,
    pub reference: String,
    pub amount: Money,
    pub confirmations: u64,
    /// It was seen and is gone.
    pub is_dropped: bool,
}

impl Message {
    pub fn read(body: &[u8]) -> Result<Message, String> {
        let event: Value = serde_json::from_slice(body).map_err(|it| format!("it is no JSON: {it}"))?;
        let (id, kind) = (stripe::id(&event)?, stripe::text(&event, "type")?);
        let object = &event["data"]["object"];
        let about = match kind {
            _ if kind.starts_with("payment_intent.") => {
                let of = |name: &str| object["metadata"][name].as_str();
                let payment = of("payment_id").and_then(|it| it.parse().ok());
                let attempt = of("attempt_id").and_then(|it| it.parse().ok());
                About::Intent { intent: Intent::read(object)?, attempt: payment.zip(attempt) }
            }
            "charge.refund.updated" => About::Refund(Refund::read(object)?),
            _ if kind.starts_with("refund.") => About::Refund(Refund::read(object)?),
            _ if kind.starts_with("charge.dispute.") => About::Dispute(dispute(kind, object)?),
            // What the gateway settles with its own books of payouts says nothing of ours.
            "payout.reconciliation_completed" => About::Other,
            _ if kind.starts_with("payout.") => About::Payout(Payout::read(object)?),
            "address.transfer" | "address.transfer_dropped" => {
                About::Transfer(transfer(object, kind == "address.transfer_dropped")?)
            }
            _ => About::Other,
        };
        Ok(Message { id, is_live: event["livemode"].as_bool(), about })
    }
}

/// The money is away once the bank is past asking, or when the gateway says so whatever the status.
fn dispute(kind: &str, object: &Value) -> Result<DisputeWord, String> {
    stripe::expect_object(object, "dispute")?;
    let status = match (kind, stripe::text(object, "status")?) {
        ("charge.dispute.funds_reinstated", _) => DisputeStatus::Won,
        (_, "lost") => DisputeStatus::Lost,
        (_, "won" | "charge_refunded") => DisputeStatus::Won,
        (_, "warning_closed" | "prevented") => DisputeStatus::Dismissed,
        ("charge.dispute.funds_withdrawn", _) | (_, "needs_response" | "under_review") => DisputeStatus::Open,
        (_, "warning_needs_response" | "warning_under_review") => DisputeStatus::Inquiry,
        (_, other) => return Err(format!("the status {other} is unknown")),
    };
    Ok(DisputeWord {
        id: stripe::id(object)?,
        charge: stripe::text(object, "payment_intent")?.to_owned(),
        amount: stripe::money(object, "amount")?,
        status,
        reason: stripe::clipped(object["reason"].as_str().unwrap_or_default()),
    })
}

fn transfer(object: &Value, is_dropped: bool) -> Result<AddressTransfer, String> {
    stripe::expect_object(object, "transfer")?;
    let (txid, output) = (stripe::text(object, "txid")?, object["output"].as_u64().unwrap_or(0));
    let is_id = (1..=128).contains(&txid.len()) && txid.bytes().all(|it| it.is_ascii_alphanumeric());
    if !is_id {
        return Err("its txid is not one".to_owned());
    }
    Ok(AddressTransfer {
        address: stripe::text(object, "address")?.to_owned(),
        reference: reference(txid, output),
        amount: stripe::money(object, "amount")?,
        confirmations: object["confirmations"].as_u64().unwrap_or(0),
        is_dropped,
    })
}

/// A message as it is sent: its bytes, and the header that signs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub signature: String,
    pub body: Vec<u8>,
}

impl Signed {
    /// What a gateway of ours that has no network sends itself: see the sandbox.
    pub fn event(secret: &[u8], at: Time, id: &str, kind: &str, object: Value) -> Signed {
        let event = json!({
            "id": id, "object": "event", "type": kind, "created": at.seconds(), "livemode": false,
            "data": { "object": object },
        });
        let body = event.to_string().into_bytes();
        Signed { signature: sign(secret, at, &body), body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, object: Value) -> Vec<u8> {
        json!({ "id": "evt_1", "type": kind, "livemode": true, "data": { "object": object } })
            .to_string()
            .into_bytes()
    }

    #[test]
    fn a_message_says_what_it_is_about_or_that_it_is_none_of_our_business() {
        let intent = json!({ "id": "pi_1", "object": "payment_intent", "amount": 5, "currency": "usd", "status": "succeeded" });
        let refund = json!({ "id": "re_1", "object": "refund", "amount": 5, "currency": "usd", "status": "succeeded" });
        let dispute = json!({ "id": "dp_1", "object": "dispute", "amount": 5, "currency": "usd", "status": "lost", "payment_intent": "pi_1" });
        let payout =
            json!({ "id": "po_1", "object": "payout", "amount": 5, "currency": "usd", "status": "paid" });
        let transfer = json!({ "object": "transfer", "address": "bc1q", "txid": "AB12", "output": 1, "amount": 5, "currency": "BTC", "confirmations": 2 });
        for (kind, object, wanted) in [
            ("payment_intent.succeeded", &intent, "intent"),
            ("refund.updated", &refund, "refund"),
            ("charge.refund.updated", &refund, "refund"),
            ("charge.dispute.created", &dispute, "dispute"),
            ("address.transfer", &transfer, "transfer ab12:1"),
            ("address.transfer_dropped", &transfer, "dropped ab12:1"),
            ("payout.paid", &payout, "payout Paid"),
            ("payout.canceled", &refund, "error"),
            ("customer.created", &json!({}), "other"),
            ("payment_intent.succeeded", &refund, "error"),
            ("refund.updated", &json!(null), "error"),
        ] {
            let found = match Message::read(&event(kind, object.clone())).map(|it| it.about) {
                Ok(About::Intent { .. }) => "intent".to_owned(),
                Ok(About::Refund(_)) => "refund".to_owned(),
                Ok(About::Dispute(_)) => "dispute".to_owned(),
                Ok(About::Payout(it)) => format!("payout {:?}", it.status),
                Ok(About::Transfer(it)) if it.is_dropped => format!("dropped {}", it.reference),
                Ok(About::Transfer(it)) => format!("transfer {}", it.reference),
                Ok(About::Other) => "other".to_owned(),
                Err(_) => "error".to_owned(),
            };
            assert_eq!(found, wanted, "{kind} {object}");
        }
        assert!(Message::read(b"nonsense").is_err());
        assert!(Message::read(br#"{"type": "x"}"#).is_err(), "without an id a repeat cannot be told");
    }

    #[test]
    fn a_dispute_takes_the_money_when_its_status_or_its_event_says_so() {
        use DisputeStatus as Is;
        for (kind, status, wanted) in [
            ("created", "warning_needs_response", Some(Is::Inquiry)),
            ("updated", "warning_under_review", Some(Is::Inquiry)),
            ("closed", "warning_closed", Some(Is::Dismissed)),
            ("created", "needs_response", Some(Is::Open)),
            ("updated", "under_review", Some(Is::Open)),
            ("funds_withdrawn", "warning_under_review", Some(Is::Open)),
            ("funds_withdrawn", "lost", Some(Is::Lost)),
            ("closed", "lost", Some(Is::Lost)),
            ("closed", "won", Some(Is::Won)),
            ("funds_reinstated", "under_review", Some(Is::Won)),
            ("created", "dreaming", None),
        ] {
            let object = json!({ "id": "dp_1", "object": "dispute", "amount": 5, "currency": "usd", "status": status, "payment_intent": "pi_1", "reason": "fraudulent" });
            let found =
                match Message::read(&event(&format!("charge.dispute.{kind}"), object)).map(|it| it.about) {
                    Ok(About::Dispute(it)) => Some(it.status),
                    _ => None,
                };
            assert_eq!(found, wanted, "{kind} {status}");
        }
    }

    #[test]
    fn what_a_gateway_of_ours_sends_reads_back() {
        let at = Time::parse("2026-11-22T10:00:00Z").unwrap();
        let object = json!({ "id": "pi_1", "object": "payment_intent", "amount": 5, "currency": "usd", "status": "processing" });
        let signed = Signed::event(b"secret", at, "evt_1", "payment_intent.processing", object);
        assert!(super::super::signature::verify(b"secret", &signed.signature, &signed.body, at));
        assert_eq!(Message::read(&signed.body).unwrap().is_live, Some(false));
    }
}
