//! Disputes over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{
    model::Dispute,
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
            contract::{DisputeId, DisputeStatus, GatewayId, PaymentId},
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
        /// At most what came, less what went back already.
        amount: AmountText,
        /// What the bank says.
        reason: Text<500>,
        /// The gateway's or the bank's own: what the gateway tells of it later is then known.
        reference: Option<Text<200>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

filters! {
    pub struct DisputeQuery of Dispute, owned by user {
        status: DisputeStatus = |it| it.status(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        payment_id: PaymentId = |it| it.payment,
        gateway_id: GatewayId = |it| it.gateway,
    }
}

object! {
    /// A payer's bank takes back what came, or asks about it.
    pub struct DisputeOut: "dispute" of (id: DisputeId, row: &Dispute) {
        status: DisputeStatus = row.status(),
        payment_id: PaymentId = row.payment,
        user_id: UserId = row.user,
        gateway_id: GatewayId = row.gateway,
        /// What is taken back of its user.
        amount: Amount = row.amount,
        /// What the bank wants: more than `amount` when a part went back before.
        claimed_amount: Amount = row.claimed,
        currency: CurrencyCode = row.amount.currency().code,
        reason: String = row.reason.clone(),
        /// The gateway's own.
        reference: Option<String> = row.reference.clone(),
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
    ]
}
