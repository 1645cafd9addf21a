//! Fundings over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{FundingId, FundingStatus, FundingType},
    model::{Funding, Referral, ReferralStatus, quote::Quote},
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
        clock::Time,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode, RateValue},
    },
    modules::{
        balance::contract::EntryId,
        market::contract::PriceUsed,
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
        /// Deposit: the currency to pay in, when another one; `quote` then says how much has to come.
        pay_currency: Option<CurrencyCode>,
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
        /// The currency it is paid in: another one.
        pay_currency: CurrencyCode = |it, wanted| it.quote.as_ref().is_some_and(|quote| quote.expected.currency().code == *wanted),
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
        /// Of a deposit paid in another currency: what has to come, and what came.
        quote: Option<FundingQuoteOut> = row.quote.as_ref().map(|it| FundingQuoteOut::of(it, row.stamp.created_at)),
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

/// What a deposit takes in the currency it is paid in. Exactly that, in time, credits exactly what was asked for;
/// anything else is credited at the prices of the moment it comes.
#[derive(Serialize, utoipa::ToSchema)]
pub struct FundingQuoteOut {
    pay_currency: CurrencyCode,
    /// What has to come.
    expected_amount: Amount,
    /// What one unit of `pay_currency` is worth in `currency`.
    rate: RateValue,
    /// What the rate was derived from.
    prices: Vec<PriceUsed>,
    /// How old the oldest of them was when the deposit was asked for.
    price_age_s: u64,
    expires_at: Time,
    /// What came.
    received_amount: Option<Amount>,
    received_at: Option<Time>,
    /// There is no price for what came: it is in suspense, and credited as soon as there is one.
    waits_for_price: bool,
    /// It came late, or was another amount: by what it was credited instead.
    settled_rate: Option<RateValue>,
    settled_prices: Option<Vec<PriceUsed>>,
}

impl FundingQuoteOut {
    fn of(quote: &Quote, asked_at: Time) -> FundingQuoteOut {
        let came = quote.came.as_ref();
        let settled = came.and_then(|it| it.priced.as_ref());
        FundingQuoteOut {
            pay_currency: quote.expected.currency().code,
            expected_amount: quote.expected,
            rate: quote.priced.rate.value,
            prices: quote.priced.prices.clone(),
            price_age_s: asked_at.since(quote.priced.as_of).as_secs(),
            expires_at: quote.expires_at,
            received_amount: came.map(|it| it.received),
            received_at: came.map(|it| it.at),
            waits_for_price: quote.waits(),
            settled_rate: settled.map(|it| it.rate.value),
            settled_prices: settled.map(|it| it.prices.clone()),
        }
    }
}

filters! {
    pub struct ReferralQuery of Referral {
        status: ReferralStatus = |it| it.status,
    }
}

object! {
    /// Somebody whom a user brought, and what it earned. Of that one no more is shown than who it is.
    pub struct ReferralOut: "referral" of (id: UserId, row: &Referral, commission: Option<Amount>) timed {
        status: ReferralStatus = row.status,
        /// What its first deposit earned; `null` when nothing.
        commission: Option<Amount> = commission,
        currency: Option<CurrencyCode> = commission.map(|it| it.currency().code),
        /// The commission, one of the user's fundings.
        funding_id: Option<FundingId> = row.commission,
    }
}

pub fn endpoints(service: &Arc<Fundings>) -> Vec<Endpoint> {
    vec![
        get("/fundings").about("List fundings, newest first").own("fundings.view").lists(
            |tx, call: &Call<(), FundingQuery>| {
                Ok(list(tx, call, &FUNDINGS, Some(BY_USER))?.map(|((_, id), row)| FundingOut::of(id, &row)))
            },
        ),
        get("/users/{id}/referrals")
            .about("List whom a user brought, once they have paid in, and what that earned; newest first")
            .own("referrals.view")
            .lists_with(service, Fundings::list_referrals),
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
                "rate_unavailable",
                "own_price",
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
            .refuses(&[
                "invalid_state_transition",
                "user_not_active",
                "payment_disputed",
                "refund_too_large",
                "insufficient_funds",
            ])
            .example(json!({ "reason": "the bank recalled the transfer" }))
            .writes_with(service, Fundings::reverse),
    ]
}
