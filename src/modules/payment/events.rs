//! What payments announce.

use serde::{Deserialize, Serialize};

use super::{
    contract::{AttemptId, GatewayId, PaymentId, SettlementId},
    model::Payment,
};
use crate::kernel::{
    api::principal::UserId,
    events::event::{event, events},
    money::CurrencyCode,
};

/// Refunds and disputes are part of Payment: what they announce, others find here.
pub use super::{
    dispute::events::{
        DisputeDismissed, DisputeInquired, DisputeLost, DisputeOpened, DisputeUnbooked, DisputeWon,
    },
    refund::events::{RefundCanceled, RefundFailed, RefundRequested, RefundSucceeded},
};

events! {
    payment_id of (id: PaymentId, row: &Payment, because: Option<String>) {
        payment_id: PaymentId = id,
        user_id: Option<UserId> = row.user,
        /// The id of what is paid for.
        payable: Option<String> = row.payable.clone(),
        amount: String = row.amount.digits(),
        currency: CurrencyCode = row.amount.currency().code,
        gateway_id: Option<GatewayId> = row.gateway,
        attempt_id: Option<AttemptId> = row.attempt,
        reason: Option<String> = because,
    }
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
    /// Somebody says that the money came: others have to agree.
    PaymentMarked = "payment.marked",
    /// Enough others agreed that the money came.
    PaymentMarkApproved = "payment.mark_approved",
    /// Somebody did not agree that the money came: the payment waits for its payer again.
    PaymentMarkRejected = "payment.mark_rejected",
    /// A person put a conflict away: what was credited before stays as it was.
    PaymentConflictClosed = "payment.conflict_closed",
    /// Money came that the payment has no use for any more: it is in suspense.
    PaymentLate = "payment.late",
}

/// Money in suspense became a user's, or went to a payment: two people agreed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SuspenseAssigned {
    pub settlement_id: SettlementId,
    /// Whose it became.
    pub user_id: Option<UserId>,
    /// The payment it went to.
    pub payment_id: Option<PaymentId>,
    pub amount: String,
    pub currency: CurrencyCode,
    pub gateway_id: GatewayId,
    pub reason: String,
}
event!(SuspenseAssigned, "suspense.assigned", settlement_id);

/// A gateway told, signed, what became of a payout. What it means is for the module whose payout it is to say, by a
/// pinned sync listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayoutReported {
    /// Ours: the id of the withdrawal.
    pub reference: String,
    pub gateway_id: GatewayId,
    /// The gateway's own.
    pub gateway_reference: String,
    /// `paid`, `sent`, `failed`, or `unknown`: a state we do not know.
    pub outcome: String,
    /// In minor units, as the gateway says it.
    pub amount_minor: String,
    pub currency: CurrencyCode,
    pub reason: Option<String>,
}
event!(PayoutReported, "payout.reported", reference);

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
