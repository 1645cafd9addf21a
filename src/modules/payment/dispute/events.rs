//! What disputes announce.

use super::model::Dispute;
use crate::{
    kernel::{api::principal::UserId, events::event::events, money::CurrencyCode},
    modules::{
        balance::contract::EntryId,
        payment::contract::{DisputeId, GatewayId, PaymentId},
    },
};

events! {
    dispute_id of (id: DisputeId, row: &Dispute) {
        dispute_id: DisputeId = id,
        /// `null` while nobody knows which payment it is about.
        payment_id: Option<PaymentId> = row.payment,
        /// Whose money is taken, or whose payment it is about.
        user_id: Option<UserId> = row.user,
        /// The id of what was paid for.
        payable: Option<String> = row.payable.clone(),
        /// What is taken back: nothing while it is not booked.
        amount: String = row.amount.digits(),
        /// What the bank wants.
        #[serde(default)]
        claimed_amount: String = row.claimed.digits(),
        currency: CurrencyCode = row.amount.currency().code,
        gateway_id: GatewayId = row.gateway,
        /// The gateway's own, or what a person noted.
        reference: Option<String> = row.known_as().cloned(),
        /// The bank's, as the gateway says it.
        reason: String = row.reason.clone(),
        /// The entry that took the money back.
        entry_id: Option<EntryId> = row.entry,
    }
    /// The payer's bank asks about a payment; nothing was taken back.
    DisputeInquired = "dispute.inquired",
    /// The payer's bank took money back that cannot be booked yet: its payment has not settled, or is not known, or a
    /// refund of it is on its way. Its user is frozen.
    DisputeUnbooked = "dispute.unbooked",
    /// What the payer's bank took back was booked. Its user is frozen.
    DisputeOpened = "dispute.opened",
    /// The money came back: it is the user's again. The user stays frozen until staff say otherwise.
    DisputeWon = "dispute.won",
    /// The bank keeps it.
    DisputeLost = "dispute.lost",
    /// The bank asked, and let it be.
    DisputeDismissed = "dispute.dismissed",
}
