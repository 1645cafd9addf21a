//! What fundings announce.

use serde::{Deserialize, Serialize};

use super::{contract::FundingId, model::Funding};
use crate::{
    kernel::{
        api::{input::Named as _, principal::UserId},
        events::event::event,
        money::CurrencyCode,
    },
    modules::{balance::contract::EntryId, payment::contract::PaymentId},
};

macro_rules! funding_events {
    ($($(#[doc = $about:literal])+ $name:ident = $text:literal),* $(,)?) => { $(
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
        pub struct $name {
            pub funding_id: FundingId,
            pub user_id: UserId,
            /// `deposit`, `profit`, `commission` or `transfer`.
            pub r#type: String,
            /// What was asked for.
            pub amount: String,
            /// What the user gets.
            pub credit_amount: String,
            pub fee: String,
            pub currency: CurrencyCode,
            pub payment_id: Option<PaymentId>,
            /// The entry that credited it.
            pub entry_id: Option<EntryId>,
            pub reason: Option<String>,
        }
        event!($name, $text, funding_id);

        impl $name {
            pub(super) fn of(id: FundingId, funding: &Funding, reason: Option<&str>) -> $name {
                let currency = funding.amount.currency();
                $name {
                    funding_id: id,
                    user_id: funding.user,
                    r#type: funding.kind.name().to_owned(),
                    amount: currency.show(funding.amount.minor()),
                    credit_amount: currency.show(funding.credit.minor()),
                    fee: currency.show(funding.fee.minor()),
                    currency: currency.code,
                    payment_id: funding.payment,
                    entry_id: funding.entry,
                    reason: reason.map(str::to_owned),
                }
            }
        }
    )* };
}

funding_events! {
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
    /// What came does not fit: a person has to decide, on the payment.
    FundingConflicted = "funding.conflicted",
    /// The credit was taken back.
    FundingReversed = "funding.reversed",
}
