//! Fundings over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::{
    contract::{FundingId, FundingStatus, FundingType},
    model::Funding,
    repository::{BY_USER, FUNDINGS},
    service::{CREDIT, Fundings},
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
        payment::contract::{GatewayId, PaymentId},
        transaction::contract::TransactionId,
    },
};

input! {
    /// A deposit to be made, or a credit by staff.
    pub struct FundingIn {
        amount: AmountText,
        currency: CurrencyCode,
        user_id: Option<UserId>,
        /// Deposit: the gateway to pay through; may be chosen later.
        gateway_id: Option<GatewayId>,
        /// `deposit` when omitted. The others are for staff and complete at once.
        r#type: Option<FundingType>,
        /// Staff credits say why.
        reason: Option<Text<500>>,
        /// Transfer: whose available money it is.
        from_user_id: Option<UserId>,
        /// Deposit: the fee is taken from the amount instead of being paid on top.
        fee_included: Option<bool>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

filters! {
    pub struct FundingQuery of Funding, owned by user {
        status: FundingStatus = |it| it.status(),
        r#type: FundingType = |it| it.kind,
        currency: CurrencyCode = |it| it.amount.currency().code,
    }
}

object! {
    /// A deposit, or a credit by staff.
    pub struct FundingOut: "funding" of (id: FundingId, row: &Funding) {
        status: FundingStatus = row.status(),
        r#type: FundingType = row.kind,
        user_id: UserId = row.user,
        /// What was asked for.
        amount: Amount = row.amount,
        /// What the user gets; once completed, what it got.
        credit_amount: Amount = row.credit,
        fee: Amount = row.fee,
        currency: CurrencyCode = row.amount.currency().code,
        fee_included: bool = row.fee_included,
        /// Deposit: initiate this payment to pay.
        payment_id: Option<PaymentId> = row.payment,
        from_user_id: Option<UserId> = row.from_user,
        reason: Option<String> = row.reason.clone(),
        /// The entry that credited it.
        entry_id: Option<EntryId> = row.entry,
        /// The entry that took it back.
        reversal_entry_id: Option<EntryId> = row.reversal,
        transaction_ids: Vec<TransactionId> = row.transactions.clone(),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

pub fn endpoints(service: &Arc<Fundings>) -> Vec<Endpoint> {
    vec![
        get("/fundings").about("List fundings, newest first").own("fundings.view").lists(
            |tx, call: &Call<(), FundingQuery>| {
                Ok(list(tx, call, &FUNDINGS, Some(BY_USER))?.map(|((_, id), row)| FundingOut::of(id, &row)))
            },
        ),
        get("/fundings/{id}").about("Show a funding").own("fundings.view").reads_with(service, Fundings::show),
        post("/fundings")
            .about("Ask for a deposit, to be paid through its payment; or credit a user, as staff")
            .own("fundings.create")
            .further(&[CREDIT])
            .money()
            .refuses(&[
                "currency_inactive",
                "user_not_active",
                "self_approval",
                "reason_required",
                "same_account",
                "external_id_taken",
                "above_maximum",
                "fee_above_amount",
                "below_limit",
                "above_limit",
                "limit_reached",
                "gateway_unavailable",
                "insufficient_funds",
            ])
            .example(json!({ "amount": "1000.00", "currency": "USD", "user_id": "usr_01h455vb4pex5vsknk084sn02q" }))
            .writes_with(service, Fundings::request),
        post("/fundings/{id}/cancel")
            .about("Withdraw a deposit, and its payment, before anything came")
            .own("fundings.cancel")
            .refuses(&["payment_expired", "invalid_state_transition"])
            .writes_with(service, Fundings::cancel),
        post("/fundings/{id}/reverse")
            .about("Take a completed funding back")
            .needs("fundings.reverse")
            .money()
            .refuses(&["invalid_state_transition", "user_not_active", "insufficient_funds"])
            .example(json!({ "reason": "the bank recalled the transfer" }))
            .writes_with(service, Fundings::reverse),
    ]
}
