//! Refunds over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{
    model::{Refund, Source},
    repository::{BY_PAYMENT, BY_USER, REFUNDS, load},
    service::Reaching,
};
use crate::{
    kernel::{
        api::{
            call::{Call, FromPath, found},
            endpoint::{Builder, Claim, Endpoint, get, post},
            input::{Input, Metadata, input},
            object::{ExternalId, filters, list, object},
            principal::{ClientId, UserId},
            text::Text,
        },
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode},
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        balance::contract::EntryId,
        client::contract::{ApprovalOut, ApproveIn},
        payment::{
            adapter::RefundOutcome,
            contract::{GatewayId, PaymentId, RefundId, RefundStatus, SettlementId},
            repository::{SETTLEMENTS, SETTLEMENTS_BY_ID},
            service::Payments,
        },
        transaction::contract::TransactionId,
    },
};

input! {
    /// Money to go back to whoever sent it.
    pub struct RefundIn {
        /// A settled payment.
        payment_id: PaymentId,
        /// At most what came, less what went back already.
        amount: AmountText,
        reason: Text<500>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    pub struct PaidBackIn {
        /// The bank's, or the transaction's.
        reference: Text<200>,
    }
}

filters! {
    pub struct RefundQuery of Refund, owned by user {
        status: RefundStatus = |it| it.status(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        payment_id: PaymentId = |it| it.payment,
        gateway_id: GatewayId = |it| it.gateway,
        needs_review: bool = |it| it.needs_review,
    }
}

object! {
    /// Money that goes back to whoever sent it.
    pub struct RefundOut: "refund" of (id: RefundId, row: &Refund) {
        status: RefundStatus = row.status(),
        payment_id: PaymentId = row.payment,
        /// Whose money it is; `null` of money in suspense.
        user_id: Option<UserId> = row.user,
        gateway_id: GatewayId = row.gateway,
        amount: Amount = row.amount,
        currency: CurrencyCode = row.amount.currency().code,
        reason: String = row.reason.clone(),
        /// The gateway's own, or the bank's.
        reference: Option<String> = row.reference.clone(),
        error: Option<String> = row.error.clone(),
        /// The gateway could not say what became of it.
        needs_review: bool = row.needs_review,
        /// The entry that booked it.
        entry_id: Option<EntryId> = row.entry,
        transaction_id: Option<TransactionId> = row.transaction,
        /// What others think of it, where they have to agree.
        approval: Option<ApprovalOut> = row.approval.as_ref().map(ApprovalOut::of),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let [requesting, approving, listing] = std::array::from_fn(|_| service.clone());
    vec![
        get("/refunds").about("List refunds, newest first").own("refunds.view").lists(
            move |tx, call: &Call<(), RefundQuery>| {
                let client = call.caller.client()?;
                let mut page = list(tx, call, &REFUNDS, Some(BY_USER))?;
                page.data.iter_mut().try_for_each(|(_, row)| listing.seen_refund(tx, client, row))?;
                Ok(page.map(|((_, id), row)| RefundOut::of(id, &row)))
            },
        ),
        get("/refunds/{id}").about("Show a refund").own("refunds.view").reads_with(service, Payments::show_refund),
        calls(
            service,
            post("/refunds")
                .about("Pay back what came for a payment, or a part of it")
                .needs("refunds.create_any")
                .money()
                .refuses(&[
                    "not_refundable",
                    "self_approval",
                    "user_not_active",
                    "external_id_taken",
                    "payment_disputed",
                    "refund_too_large",
                    "insufficient_funds",
                ])
                .example(json!({
                    "payment_id": "pay_01h455vb4pex5vsknk084sn02q", "amount": "5.00", "reason": "the customer changed its mind",
                })),
            move |tx, call: &Call<(), RefundIn>| requesting.request_refund(tx, call),
            asked_for,
        ),
        calls(
            service,
            post("/refunds/{id}/approve")
                .about("Agree to a refund, as somebody else than who asked for it; the last one needed lets it go")
                .needs("refunds.approve")
                .money()
                .refuses(&[
                    "invalid_state_transition",
                    "payment_disputed",
                    "self_approval",
                    "revision_stale",
                    "not_on_committee",
                    "already_voted",
                    "user_not_active",
                ])
                .example(json!({ "revision": 1 })),
            move |tx, call: &Call<RefundId, ApproveIn>| approving.approve_refund(tx, call),
            |tx, call| Ok(RefundOut::of(call.path, &load(tx, call.caller.client()?, call.path)?)),
        ),
        post("/refunds/{id}/reject")
            .about("Disagree with a refund, as the second person")
            .needs("refunds.reject")
            .refuses(&["invalid_state_transition", "self_approval", "revision_stale", "not_on_committee"])
            .example(json!({ "revision": 1, "reason": "it was delivered" }))
            .writes_with(service, Payments::reject_refund),
        post("/refunds/{id}/cancel")
            .about("Withdraw a refund while nobody was told of it")
            .needs("refunds.cancel")
            .refuses(&["invalid_state_transition"])
            .writes_with(service, Payments::cancel_refund),
        post("/refunds/{id}/mark-paid")
            .about("Say that it was paid back by hand, or that a lost one was found to have gone")
            .needs("refunds.mark_paid")
            .money()
            .refuses(&["not_manual", "self_approval", "invalid_state_transition"])
            .example(json!({ "reference": "bank-2026-0099" }))
            .writes_with(service, Payments::mark_refund_paid),
        post("/refunds/{id}/mark-failed")
            .about("Say that it could not be paid back, or that a lost one was found not to have gone")
            .needs("refunds.mark_failed")
            .refuses(&["not_manual", "self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "the account is closed" }))
            .writes_with(service, Payments::mark_refund_failed),
    ]
}

/// A refund that may have to be told to its gateway: claim · call · settle.
pub fn calls<P: FromPath, I: Input + utoipa::ToSchema>(
    service: &Arc<Payments>,
    builder: Builder,
    claim: impl Fn(&mut WriteTx, &Call<P, I>) -> Result<Claim<Reaching, RefundOut>> + Send + Sync + 'static,
    present: impl Fn(&ReadTx, &Call<P, I>) -> Result<RefundOut> + Send + Sync + 'static,
) -> Endpoint {
    let (telling, settling) = (service.clone(), service.clone());
    builder.calls_out(
        claim,
        move |reaching| telling.pay_back(reaching),
        move |tx, call, (reaching, outcome): (Reaching, RefundOutcome)| {
            settling.take_refund_word(tx, &call.caller, (reaching.client, reaching.id), outcome)
        },
        present,
    )
}

/// What a repeat is shown when the first try was cut off by a crash: the refund of this payment that was asked for.
fn asked_for(tx: &ReadTx, call: &Call<(), RefundIn>) -> Result<RefundOut> {
    let (client, input) = (call.caller.client()?, &call.input);
    let prefix = Scan::prefix(&(client, input.payment_id)).newest_first();
    for row in tx.scan_index(&REFUNDS, BY_PAYMENT, prefix) {
        let ((_, id), refund) = row?;
        let is_it = refund.history.creator() == call.caller.actor()
            && refund.reason == *input.reason.0
            && refund.stamp.external_id.as_deref() == input.external_id.as_ref().map(ExternalId::as_str)
            && input.amount.positive("amount", refund.amount.currency())? == refund.amount;
        if is_it {
            return Ok(RefundOut::of(id, &refund));
        }
    }
    found(None)
}

/// The last refund of money that was in suspense.
pub fn of_suspense(tx: &ReadTx, client: ClientId, settlement: SettlementId) -> Result<RefundOut> {
    let (_, item) = found(tx.find(&SETTLEMENTS, SETTLEMENTS_BY_ID, &(client, settlement))?)?;
    let prefix = Scan::prefix(&(client, item.payment)).newest_first();
    for row in tx.scan_index(&REFUNDS, BY_PAYMENT, prefix) {
        let ((_, id), refund) = row?;
        if refund.source == Source::Suspense(settlement) {
            return Ok(RefundOut::of(id, &refund));
        }
    }
    found(None)
}
