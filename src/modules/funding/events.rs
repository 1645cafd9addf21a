//! What fundings announce.

use super::{contract::FundingId, model::Funding};
use crate::{
    kernel::{
        api::{input::Named as _, principal::UserId},
        events::event::events,
        money::CurrencyCode,
    },
    modules::{balance::contract::EntryId, payment::contract::PaymentId},
};

events! {
    funding_id of (id: FundingId, row: &Funding, because: Option<&str>) {
        funding_id: FundingId = id,
        user_id: UserId = row.user,
        /// `deposit`, `profit`, `commission` or `transfer`.
        r#type: String = row.kind.name().to_owned(),
        /// What was asked for.
        amount: String = row.amount.digits(),
        /// What the user gets.
        credit_amount: String = row.credit.digits(),
        fee: String = row.fee.digits(),
        currency: CurrencyCode = row.amount.currency().code,
        /// The currency it is paid in, when another one.
        pay_currency: Option<CurrencyCode> = row.quote.as_ref().map(|it| it.expected.currency().code),
        /// What has to come in that currency; once completed, what came.
        pay_amount: Option<String> = row.quote.as_ref().map(|it| it.paid().digits()),
        payment_id: Option<PaymentId> = row.payment,
        /// The entry that credited it.
        entry_id: Option<EntryId> = row.entry,
        reason: Option<String> = because.map(str::to_owned),
    }
    /// Somebody wants to pay in.
    FundingRequested = "funding.requested",
    /// The user has the money.
    FundingCompleted = "funding.completed",
    /// It will not come.
    FundingFailed = "funding.failed",
    /// It was withdrawn before anything came.
    FundingCanceled = "funding.canceled",
    /// Its time passed before anything came.
    FundingExpired = "funding.expired",
    /// What came does not fit: a person has to decide, on the payment. Or there is no price for what came: it waits for
    /// one.
    FundingConflicted = "funding.conflicted",
    /// The credit was taken back.
    FundingReversed = "funding.reversed",
}
