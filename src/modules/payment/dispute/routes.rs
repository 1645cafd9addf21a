//! Disputes over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{
    model::{Dispute, Source},
    repository::{BY_USER, DISPUTES},
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            object::{ExternalId, filters, list, object},
            principal::UserId,
            text::Text,
        },
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode},
    },
    modules::{
        balance::contract::EntryId,
        payment::{
            contract::{DisputeId, DisputeStatus, GatewayId, PaymentId, SettlementId},
            service::Payments,
        },
        transaction::contract::TransactionId,
    },
};

input! {
    /// Money that the payer's bank took back.
    pub struct DisputeIn {
        /// A settled payment.
        payment_id: PaymentId,
        /// Money that came for it and went to suspense, when it is that the bank took.
        settlement_id: Option<SettlementId>,
        /// At most what came, less what went back already.
        amount: AmountText,
        /// What the bank says.
        reason: Text<500>,
        /// The gateway's or the bank's own: what the gateway tells of it later is then known.
        reference: Option<Text<200>>,
        /// It is another one than the dispute about this payment that is not over. Unless this is said, they are one
        /// when their amounts are the same.
        separate: Option<bool>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

filters! {
    pub struct DisputeQuery of Dispute, owned by user {
        status: DisputeStatus = |it| it.status(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        payment_id: PaymentId = |it, wanted| it.payment == Some(*wanted),
        gateway_id: GatewayId = |it| it.gateway,
    }
}

object! {
    /// A payer's bank takes back what came, or asks about it.
    pub struct DisputeOut: "dispute" of (id: DisputeId, row: &Dispute) {
        status: DisputeStatus = row.status(),
        /// `null` while nobody knows which payment it is about.
        payment_id: Option<PaymentId> = row.payment,
        /// Whose money is taken, or whose payment it is about.
        user_id: Option<UserId> = row.user,
        gateway_id: GatewayId = row.gateway,
        /// The gateway's reference of the money, where it said it.
        charge_reference: Option<String> = row.charge.clone(),
        /// Where the money was, when it had come to suspense.
        settlement_id: Option<SettlementId> = match row.source {
            Source::Payment => None,
            Source::Suspense(id) | Source::Assigned(id) => Some(id),
        },
        /// What is taken back: nothing while it is unbooked.
        amount: Amount = row.amount,
        /// What the bank wants: more than `amount` when a part went back before.
        claimed_amount: Amount = row.claimed,
        currency: CurrencyCode = row.amount.currency().code,
        reason: String = row.reason.clone(),
        /// The gateway's own, or what a person noted.
        reference: Option<String> = row.known_as().cloned(),
        /// What a person noted: the bank's, or the gateway's.
        noted_reference: Option<String> = row.noted.clone(),
        /// The entry that took the money back.
        entry_id: Option<EntryId> = row.entry,
        /// The entry that booked it back.
        reversal_entry_id: Option<EntryId> = row.reversal,
        transaction_id: Option<TransactionId> = row.transaction,
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    vec![
        get("/disputes").about("List disputes, newest first").own("disputes.view").lists(
            |tx, call: &Call<(), DisputeQuery>| {
                Ok(list(tx, call, &DISPUTES, Some(BY_USER))?.map(|((_, id), row)| DisputeOut::of(id, &row)))
            },
        ),
        get("/disputes/{id}").about("Show a dispute").own("disputes.view").reads_with(service, Payments::show_dispute),
        post("/disputes")
            .about("Say that a payer's bank took money back: its user is charged, below zero if need be, and frozen")
            .needs("disputes.create_any")
            .money()
            .refuses(&[
                "not_disputable",
                "self_approval",
                "external_id_taken",
                "reference_used",
                "payment_disputed",
                "dispute_too_large",
            ])
            .example(json!({
                "payment_id": "pay_01h455vb4pex5vsknk084sn02q", "amount": "25.00", "reason": "fraudulent",
                "reference": "dp_1MtJUT2eZvKYlo2C",
            }))
            .writes_with(service, Payments::record_dispute),
        post("/disputes/{id}/win")
            .about("Say that the bank gave the money back: it is the user's again, who stays frozen")
            .needs("disputes.resolve")
            .money()
            .refuses(&["self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "the evidence was accepted" }))
            .writes_with(service, Payments::win_dispute),
        post("/disputes/{id}/lose")
            .about("Say that the bank keeps the money")
            .needs("disputes.resolve")
            .money()
            .refuses(&["self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "no evidence in time" }))
            .writes_with(service, Payments::lose_dispute),
        post("/disputes/{id}/dismiss")
            .about("Say that the bank only asked, or that what it took was none of this client's")
            .needs("disputes.resolve")
            .money()
            .refuses(&["self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "a payment of another shop with this provider" }))
            .writes_with(service, Payments::dismiss_dispute),
    ]
}
