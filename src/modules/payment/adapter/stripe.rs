//! The objects gateways over HTTP speak of, as Stripe shapes them, whether they come as an answer or in a webhook.
//! Amounts are whole minor units, currencies lower-case; `metadata` is ours and comes back as it was sent.
//!
//! What is missing or of another form is said, never guessed.

use serde_json::Value;

use super::Notice;
use crate::kernel::money::{Amount, Currency, CurrencyCode};

/// A payment as the gateway sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    pub id: String,
    pub status: IntentStatus,
    pub amount: Money,
    pub received: Money,
    /// Where its payer has to go.
    pub url: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentStatus {
    RequiresPaymentMethod,
    RequiresAction,
    Processing,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// Money paid back.
#[derive(Debug, Clone, PartialEq)]
pub struct Refund {
    pub id: String,
    pub status: RefundStatus,
    pub amount: Money,
    /// Ours, from its metadata.
    pub refund_id: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundStatus {
    Pending,
    Succeeded,
    Failed,
}

/// Money sent out.
#[derive(Debug, Clone, PartialEq)]
pub struct Payout {
    pub id: String,
    pub status: PayoutStatus,
    pub amount: Money,
    /// Ours, from its metadata.
    pub withdrawal_id: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutStatus {
    Sent,
    Paid,
    Failed,
    /// None that we know: a person finds out.
    Unknown(String),
}

/// Whole minor units of a currency whose decimals only its reader knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    pub minor: i128,
    pub code: CurrencyCode,
}

impl Money {
    /// As an amount. Of another currency than `asked` the decimals are not known here: it is shown with those of
    /// `asked`, to the person who has to look at the conflict, and never credited.
    pub fn like(&self, asked: Currency) -> Result<Amount, String> {
        let currency = Currency { code: self.code, decimals: asked.decimals };
        Amount::new(self.minor, currency).map_err(|_| format!("{} minor units is no amount", self.minor))
    }

    pub fn is(&self, amount: Amount) -> bool {
        self.minor == amount.minor() && self.code == amount.currency().code
    }
}

impl Intent {
    pub fn read(object: &Value) -> Result<Intent, String> {
        expect_object(object, "payment_intent")?;
        let status = match text(object, "status")? {
            "requires_payment_method" => IntentStatus::RequiresPaymentMethod,
            "requires_confirmation" | "requires_action" => IntentStatus::RequiresAction,
            "processing" => IntentStatus::Processing,
            "requires_capture" => IntentStatus::RequiresCapture,
            "succeeded" => IntentStatus::Succeeded,
            "canceled" => IntentStatus::Canceled,
            other => return Err(format!("the status {other} is unknown")),
        };
        let redirect = &object["next_action"]["redirect_to_url"]["url"];
        let url = object["url"].as_str().or(redirect.as_str());
        let error = &object["last_payment_error"]["message"];
        let amount = money(object, "amount")?;
        Ok(Intent {
            id: id(object)?,
            status,
            received: match object.get("amount_received") {
                None | Some(Value::Null) => amount.clone(),
                Some(_) => money(object, "amount_received")?,
            },
            amount,
            url: url.filter(|it| it.len() <= 2000).map(str::to_owned),
            error: error.as_str().map(clipped),
        })
    }

    /// What it says of an attempt that asked for `asked`.
    pub fn notices(&self, asked: Amount) -> Result<Vec<Notice>, String> {
        let reference = self.id.clone();
        let declined =
            |reason: &str| vec![Notice::Declined { reason: self.error.clone().unwrap_or(reason.into()) }];
        Ok(match self.status {
            IntentStatus::RequiresPaymentMethod if self.error.is_some() => declined(""),
            IntentStatus::RequiresPaymentMethod | IntentStatus::RequiresAction => {
                vec![Notice::AwaitsPayer { reference: Some(reference) }]
            }
            IntentStatus::Processing => vec![Notice::Processing { reference, ask_after: None }],
            IntentStatus::RequiresCapture => vec![Notice::Authorized { reference }],
            IntentStatus::Succeeded => {
                vec![Notice::Settled { reference, amount: self.received.like(asked.currency())? }]
            }
            IntentStatus::Canceled => declined("the gateway canceled it"),
        })
    }
}

impl Refund {
    pub fn read(object: &Value) -> Result<Refund, String> {
        expect_object(object, "refund")?;
        let status = match text(object, "status")? {
            "pending" | "requires_action" => RefundStatus::Pending,
            "succeeded" => RefundStatus::Succeeded,
            "failed" | "canceled" => RefundStatus::Failed,
            other => return Err(format!("the status {other} is unknown")),
        };
        Ok(Refund {
            id: id(object)?,
            status,
            amount: money(object, "amount")?,
            refund_id: object["metadata"]["refund_id"].as_str().map(str::to_owned),
            error: object["failure_reason"].as_str().map(clipped),
        })
    }
}

impl Payout {
    pub fn read(object: &Value) -> Result<Payout, String> {
        expect_object(object, "payout")?;
        let status = match text(object, "status")? {
            "pending" | "in_transit" => PayoutStatus::Sent,
            "paid" => PayoutStatus::Paid,
            "failed" | "canceled" => PayoutStatus::Failed,
            other => PayoutStatus::Unknown(clipped(other)),
        };
        Ok(Payout {
            id: id(object)?,
            status,
            amount: money(object, "amount")?,
            withdrawal_id: object["metadata"]["withdrawal_id"].as_str().map(str::to_owned),
            error: object["failure_message"].as_str().map(clipped),
        })
    }
}

/// What is wrong, as the gateway says it: `{"error": {"message": …}}`.
pub fn error_of(answer: &Value) -> Option<String> {
    answer["error"]["message"].as_str().map(clipped)
}

pub fn expect_object(object: &Value, wanted: &str) -> Result<(), String> {
    match object["object"].as_str() {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(format!("a {} came, a {wanted} was wanted", clipped(found))),
        None => Err(format!("what came is no {wanted}")),
    }
}

/// Ids are references: short, and without anything that would not stand in a log.
pub fn id(object: &Value) -> Result<String, String> {
    let id = text(object, "id")?;
    // It may stand in a path: `..` would lead elsewhere.
    let well_formed = id.len() <= 200
        && id.starts_with(|it: char| it.is_ascii_alphanumeric())
        && id.bytes().all(|it| it.is_ascii_graphic());
    if well_formed { Ok(id.to_owned()) } else { Err("its id is not one".to_owned()) }
}

pub fn text<'a>(object: &'a Value, name: &str) -> Result<&'a str, String> {
    object[name].as_str().ok_or_else(|| format!("its {name} is missing"))
}

/// The whole minor units in `field`, of the currency in `currency`.
pub fn money(object: &Value, field: &str) -> Result<Money, String> {
    let minor = object[field].as_u64().map(i128::from);
    let minor = minor.or_else(|| object[field].as_str()?.parse::<u128>().ok()?.try_into().ok());
    let minor = minor.ok_or_else(|| format!("its {field} is not a whole number of minor units"))?;
    let code = text(object, "currency")?.to_ascii_uppercase();
    Ok(Money { minor, code: code.parse().map_err(|_| "its currency is not one".to_owned())? })
}

/// Somebody else's words are kept as far as they are worth reading.
pub fn clipped(text: &str) -> String {
    let clean: String = text.chars().filter(|it| !it.is_control()).take(300).collect();
    if clean.trim().is_empty() { "no reason given".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn intent(status: &str) -> Value {
        json!({ "id": "pi_1", "object": "payment_intent", "amount": 1000, "currency": "usd", "status": status })
    }

    #[test]
    fn every_status_of_an_intent_says_one_thing() {
        let reference = "pi_1".to_owned();
        for (status, wanted) in [
            ("requires_payment_method", Notice::AwaitsPayer { reference: Some(reference.clone()) }),
            ("requires_action", Notice::AwaitsPayer { reference: Some(reference.clone()) }),
            ("processing", Notice::Processing { reference: reference.clone(), ask_after: None }),
            ("requires_capture", Notice::Authorized { reference: reference.clone() }),
            ("succeeded", Notice::Settled { reference, amount: usd(1000) }),
            ("canceled", Notice::Declined { reason: "the gateway canceled it".into() }),
        ] {
            let read = Intent::read(&intent(status)).unwrap();
            assert_eq!(read.notices(usd(1000)).unwrap(), [wanted], "{status}");
        }
        let mut failed = intent("requires_payment_method");
        failed["last_payment_error"] = json!({ "message": "insufficient\u{7} funds" });
        let read = Intent::read(&failed).unwrap().notices(usd(1000)).unwrap();
        assert_eq!(read, [Notice::Declined { reason: "insufficient funds".into() }]);
    }

    #[test]
    fn what_is_not_an_intent_is_said() {
        let broken = |name: &str, value: Value| {
            let mut object = intent("succeeded");
            object[name] = value;
            object
        };
        for (object, wanted) in [
            (json!([]), "what came is no payment_intent"),
            (json!({ "object": "charge" }), "a charge came, a payment_intent was wanted"),
            (broken("status", json!("dreaming")), "the status dreaming is unknown"),
            (broken("amount", json!(10.5)), "its amount is not a whole number of minor units"),
            (broken("amount", json!(-5)), "its amount is not a whole number of minor units"),
            (
                broken("amount_received", json!("ten")),
                "its amount_received is not a whole number of minor units",
            ),
            (broken("currency", json!("$")), "its currency is not one"),
            (broken("id", json!("a b")), "its id is not one"),
            (broken("id", json!("")), "its id is not one"),
            (broken("id", json!("..")), "its id is not one"),
        ] {
            assert_eq!(Intent::read(&object), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn large_amounts_come_as_text() {
        let mut object = intent("succeeded");
        object["amount_received"] = json!("340282366920938463463374607431");
        let read = Intent::read(&object).unwrap();
        assert_eq!(read.received.minor, 340_282_366_920_938_463_463_374_607_431);
    }
}
