//! Fundings over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{FundingId, FundingStatus, FundingType},
    model::Funding,
    repository::FUNDINGS,
    service::{CREDIT, Fundings, load},
};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode},
        store::ReadTx,
    },
    modules::{
        balance::contract::EntryId,
        payment::contract::{GatewayId, PaymentId},
        transaction::contract::TransactionId,
    },
};

/// A deposit to be made, or a credit by staff.
#[derive(utoipa::ToSchema)]
pub struct FundingIn {
    pub amount: AmountText,
    pub currency: CurrencyCode,
    pub user_id: Option<UserId>,
    /// Deposit: the gateway to pay through; may be chosen later.
    pub gateway_id: Option<GatewayId>,
    /// `deposit` when omitted. The others are for staff and complete at once.
    pub r#type: Option<FundingType>,
    /// Staff credits say why.
    pub reason: Option<String>,
    /// Transfer: whose available money it is.
    pub from_user_id: Option<UserId>,
    /// Deposit: the fee is taken from the amount instead of being paid on top.
    pub fee_included: Option<bool>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(FundingIn {
    amount,
    currency,
    user_id,
    gateway_id,
    r#type,
    reason,
    from_user_id,
    fee_included,
    external_id,
    metadata
});

#[derive(utoipa::ToSchema)]
pub struct ReverseIn {
    pub reason: String,
}
input!(ReverseIn { reason });

pub struct FundingQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<FundingStatus>,
    r#type: Option<FundingType>,
    currency: Option<CurrencyCode>,
    user_id: Option<UserId>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(FundingQuery { limit, cursor, status, r#type, currency, user_id, created_from, created_to });

/// A deposit, or a credit by staff.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FundingOut {
    id: FundingId,
    #[schema(value_type = String)]
    object: &'static str,
    status: FundingStatus,
    r#type: FundingType,
    user_id: UserId,
    /// What was asked for.
    amount: Amount,
    /// What the user gets; once completed, what it got.
    credit_amount: Amount,
    fee: Amount,
    currency: CurrencyCode,
    fee_included: bool,
    /// Deposit: initiate this payment to pay.
    payment_id: Option<PaymentId>,
    from_user_id: Option<UserId>,
    reason: Option<String>,
    /// The entry that credited it.
    entry_id: Option<EntryId>,
    /// The entry that took it back.
    reversal_entry_id: Option<EntryId>,
    transaction_ids: Vec<TransactionId>,
    status_history: Vec<ChangeOut>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

pub fn endpoints(service: &Arc<Fundings>) -> Vec<Endpoint> {
    let [requesting, canceling, reversing] = [(); 3].map(|()| service.clone());
    vec![
        get("/fundings").about("List fundings, newest first").own("fundings.view").lists(list),
        get("/fundings/{id}").about("Show a funding").own("fundings.view").reads(|tx, call: &Call<FundingId>| {
            let funding = load(tx, call.caller.client()?, call.path)?;
            call.caller.may_reach(Some(funding.user))?;
            Ok(out(call.path, funding))
        }),
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
                "funding_external_id_taken",
                "above_maximum",
                "fee_above_amount",
                "gateway_unavailable",
                "insufficient_funds",
            ])
            .example(json!({ "amount": "1000.00", "currency": "USD", "user_id": "usr_01h455vb4pex5vsknk084sn02q" }))
            .writes(move |tx, call: &Call<(), FundingIn>| {
                requesting.request(tx, call).map(|(id, funding)| out(id, funding))
            }),
        post("/fundings/{id}/cancel")
            .about("Withdraw a deposit, and its payment, before anything came")
            .own("fundings.cancel")
            .refuses(&["payment_expired", "invalid_state_transition"])
            .writes(move |tx, call: &Call<FundingId>| {
                canceling.cancel(tx, call).map(|funding| out(call.path, funding))
            }),
        post("/fundings/{id}/reverse")
            .about("Take a completed funding back")
            .needs("fundings.reverse")
            .money()
            .refuses(&["invalid_state_transition", "user_not_active", "insufficient_funds"])
            .example(json!({ "reason": "the bank recalled the transfer" }))
            .writes(move |tx, call: &Call<FundingId, ReverseIn>| {
                reversing.reverse(tx, call).map(|funding| out(call.path, funding))
            }),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), FundingQuery>) -> Result<Page<FundingOut>> {
    let FundingQuery { limit, cursor, status, r#type, currency, user_id, created_from, created_to } =
        &call.input;
    let (from, to) = (*created_from, *created_to);
    let client = call.caller.client()?;
    let user = call.caller.limited_to(*user_id)?;
    let paging = Paging::new(*limit, cursor, (status, r#type, currency, user, from, to));
    let keep = |it: &Funding| {
        status.is_none_or(|wanted| it.status() == wanted)
            && r#type.is_none_or(|wanted| it.kind == wanted)
            && currency.is_none_or(|wanted| it.amount.currency().code == wanted)
            && created_within(it.created_at, from, to)
    };
    let page = match user {
        Some(user) => page_by(tx, &FUNDINGS, "funding.by_user", &(client, user), &paging, keep)?,
        None => page(tx, &FUNDINGS, &client, &paging, keep)?,
    };
    Ok(page.map(|((_, id), funding)| out(id, funding)))
}

fn out(id: FundingId, row: Funding) -> FundingOut {
    FundingOut {
        id,
        object: "funding",
        status: row.status(),
        r#type: row.kind,
        user_id: row.user,
        amount: row.amount,
        credit_amount: row.credit,
        fee: row.fee,
        currency: row.amount.currency().code,
        fee_included: row.fee_included,
        payment_id: row.payment,
        from_user_id: row.from_user,
        reason: row.reason,
        entry_id: row.entry,
        reversal_entry_id: row.reversal,
        transaction_ids: row.transactions,
        status_history: row.history.out(),
        external_id: row.external_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        metadata: row.metadata,
    }
}
