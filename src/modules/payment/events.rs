//! What payments announce.

use serde::{Deserialize, Serialize};

use super::{
    contract::{AttemptId, GatewayId, PaymentId},
    model::Payment,
};
use crate::kernel::{api::principal::UserId, events::event::event, money::CurrencyCode};

macro_rules! payment_events {
    ($($(#[doc = $about:literal])+ $name:ident = $text:literal),* $(,)?) => { $(
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
        pub struct $name {
            pub payment_id: PaymentId,
            pub user_id: Option<UserId>,
            /// The id of what is paid for.
            pub payable: Option<String>,
            pub amount: String,
            pub currency: CurrencyCode,
            pub gateway_id: Option<GatewayId>,
            pub attempt_id: Option<AttemptId>,
            pub reason: Option<String>,
        }
        event!($name, $text, payment_id);

        impl $name {
            pub(super) fn of(id: PaymentId, payment: &Payment, reason: Option<String>) -> $name {
                let currency = payment.amount.currency();
                $name {
                    payment_id: id,
                    user_id: payment.user,
                    payable: payment.payable.clone(),
                    amount: currency.show(payment.amount.minor()),
                    currency: currency.code,
                    gateway_id: payment.gateway,
                    attempt_id: payment.attempt,
                    reason,
                }
            }
        }
    )* };
}

payment_events! {
    /// A payment was made.
    PaymentCreated = "payment.created",
    /// A gateway was chosen, and is being told.
    PaymentInitiated = "payment.initiated",
    /// It will not come: declined for good, or marked so.
    PaymentFailed = "payment.failed",
    /// It was withdrawn before anything came.
    PaymentCanceled = "payment.canceled",
    /// Its time passed.
    PaymentExpired = "payment.expired",
    /// What the gateway says does not fit what was asked: a person has to decide.
    PaymentConflicted = "payment.conflicted",
    /// Money came that the payment has no use for any more: it is in suspense.
    PaymentLate = "payment.late",
}

/// The money came. What it was for is completed in the same transaction, by a pinned sync listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PaymentSettled {
    pub payment_id: PaymentId,
    pub user_id: Option<UserId>,
    pub payable: Option<String>,
    /// What was asked.
    pub amount: String,
    /// What came; more or less than asked when a person accepted it so.
    pub received: String,
    pub currency: CurrencyCode,
    pub gateway_id: GatewayId,
    pub attempt_id: AttemptId,
    /// The gateway's reference.
    pub reference: String,
}
event!(PaymentSettled, "payment.settled", payment_id);
