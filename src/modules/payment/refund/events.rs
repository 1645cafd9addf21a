//! What refunds announce.

use super::model::Refund;
use crate::{
    kernel::{api::principal::UserId, events::event::events, money::CurrencyCode},
    modules::payment::contract::{GatewayId, PaymentId, RefundId},
};

events! {
    refund_id of (id: RefundId, row: &Refund, because: Option<&str>) {
        refund_id: RefundId = id,
        payment_id: PaymentId = row.payment,
        user_id: Option<UserId> = row.user,
        amount: String = row.amount.digits(),
        currency: CurrencyCode = row.amount.currency().code,
        gateway_id: GatewayId = row.gateway,
        /// The gateway's own, or the bank's.
        reference: Option<String> = row.reference.clone(),
        reason: Option<String> = because.map(str::to_owned),
    }
    /// Somebody wants money to go back; it is set aside.
    RefundRequested = "refund.requested",
    /// A second person agreed.
    RefundApproved = "refund.approved",
    /// The money went back.
    RefundSucceeded = "refund.succeeded",
    /// It could not be paid back: the money is its user's again.
    RefundFailed = "refund.failed",
    /// It was withdrawn, or a second person did not agree.
    RefundCanceled = "refund.canceled",
}
