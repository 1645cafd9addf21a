//! What other modules may ask of payments and gateways.

use std::{future::Future, pin::Pin};

use super::{adapter::Access, model::Setup};
use crate::kernel::{
    api::{
        call::Caller,
        input::{Metadata, text_enum},
        object::ExternalId,
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::{Result, refusals},
    id::id,
    money::{Amount, CurrencyCode},
    store::{
        ReadTx, WriteTx,
        codec::{Decode, Encode},
    },
};
pub use crate::modules::{balance::contract::DisputeId, pricing::contract::GatewayId};

pub use super::{
    crypto::is_address,
    model::{MOST_QUESTIONS, patience},
};

id!(/** A payment: money on its way in. */ PaymentId, "pay");
id!(/** One try at a payment, through one gateway. */ AttemptId, "att");
id!(/** Money that came. */ SettlementId, "stl");
id!(/** An address of a gateway. */ AddressId, "adr");
id!(/** Money that goes back. */ RefundId, "ref");

text_enum! {
    pub enum PaymentStatus {
        RequiresMethod = "requires_method",
        RequiresAction = "requires_action",
        Processing = "processing",
        RequiresCapture = "requires_capture",
        Settled = "settled",
        Failed = "failed",
        Canceled = "canceled",
        Expired = "expired",
    }
}

text_enum! {
    /// Whether a person has to look.
    pub enum Review {
        None = "none",
        Needed = "needs_review",
        Conflicted = "conflicted",
        /// Marked as paid above the limit; a second person has to agree.
        AwaitingSecond = "awaiting_second",
    }
}

text_enum! {
    /// How what came compares with what was asked.
    pub enum PaidState { None = "none", Partial = "partial", Exact = "exact", Over = "over", Late = "late" }
}

text_enum! {
    pub enum GatewayKind {
        /// Bank or cash: instructions, and a person who says it came.
        Manual = "manual",
        /// Decides by the last digits of the amount. For tests; never active in a live client.
        Sandbox = "sandbox",
        /// Spoken to over HTTP, as Stripe is.
        Http = "http",
        /// Addresses: of a pool, or derived from the public key of a Bitcoin account.
        Crypto = "crypto",
    }
}

impl GatewayKind {
    /// Whether the payer decides how much to send, so that it may be too little or too much. Elsewhere the gateway
    /// takes exactly what it was told, or something is wrong.
    pub fn payer_chooses_amount(self) -> bool {
        matches!(self, GatewayKind::Manual | GatewayKind::Crypto)
    }

    /// Whether it can be asked what became of a payout. Elsewhere a person sends it, and knows.
    pub fn knows_payouts(self) -> bool {
        matches!(self, GatewayKind::Sandbox | GatewayKind::Http)
    }

    /// Whether a person pays back, and says so.
    pub fn pays_back_by_hand(self) -> bool {
        matches!(self, GatewayKind::Manual | GatewayKind::Crypto)
    }
}

text_enum! {
    pub enum DisputeStatus {
        /// The bank asks; nothing was taken back.
        Inquiry = "inquiry",
        /// The bank took the money back, and may yet think again.
        Open = "open",
        Won = "won",
        Lost = "lost",
        Dismissed = "dismissed",
        /// The bank took the money back, and the books cannot follow yet.
        Unbooked = "unbooked",
    }
}

text_enum! {
    pub enum RefundStatus {
        RequiresApproval = "requires_approval",
        Pending = "pending",
        Succeeded = "succeeded",
        Failed = "failed",
        Canceled = "canceled",
    }
}

/// A payment to be made.
#[derive(Debug, Clone)]
pub struct NewPayment {
    pub user: Option<UserId>,
    /// What has to come.
    pub amount: Amount,
    /// The id of what is paid for: a funding. `None` for a plain charge, which is credited to its user.
    pub payable: Option<String>,
    /// The currency in which what is paid for is credited, when another one than that of `amount`.
    pub credited_in: Option<CurrencyCode>,
    pub gateway: Option<GatewayId>,
    /// `None`: the client's default.
    pub expires_in_s: Option<u64>,
    pub external_id: Option<ExternalId>,
    pub metadata: Metadata,
}

/// A payment, as other modules need it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaymentInfo {
    pub id: PaymentId,
    /// The id of what is paid for.
    pub payable: Option<String>,
    /// Whether a part of what came went back, or is about to: refunded, or taken back by a bank.
    pub went_back: bool,
    /// Whether a person has to look at it: what came may be gone again, or is not as it was to be.
    pub is_in_doubt: bool,
    pub status: PaymentStatus,
    pub amount: Amount,
    pub gateway: Option<GatewayId>,
    pub expires_at: Time,
}

/// A gateway, as other modules need it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct GatewayInfo {
    pub id: GatewayId,
    pub kind: GatewayKind,
    pub slug: String,
}

/// What a gateway is reached with, read in the transaction before the call: where it is, and its credentials in the
/// clear. Nobody keeps it, and it does not show them.
#[derive(Debug, Clone, Default)]
pub struct GatewayAccess {
    pub(super) setup: Setup,
    pub(super) access: Access,
}

/// Money to be sent out. `reference` is ours and stays the same for one withdrawal: a gateway sends it once.
#[derive(Debug, Clone, PartialEq)]
pub struct PayoutRequest {
    pub reference: String,
    pub amount: Amount,
    /// The method as JSON: `{type: "bank", …}`.
    pub method: serde_json::Value,
}

/// What a gateway said to a payout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayoutOutcome {
    /// It has arrived.
    Completed { reference: String },
    /// It is on its way; more will be known.
    Sent { reference: String },
    /// Provably not sent.
    Failed { reason: String },
    /// Nobody can say: a person, or a look-up by our reference, has to find out. Never sent again by itself.
    Unknown { reason: String },
}

/// Payments and gateways.
pub trait PaymentContract: Send + Sync {
    /// Makes a payment and announces `payment.created`. Refuses what a gateway refuses when one is named.
    fn create(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewPayment,
    ) -> Result<PaymentInfo>;

    fn get(&self, tx: &ReadTx, client: ClientId, payment: PaymentId) -> Result<PaymentInfo>;

    /// Cancels an open payment because what it was for is canceled. Refuses `invalid_state_transition`.
    fn cancel(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, payment: PaymentId) -> Result<()>;

    /// The gateway to pay out through: the one named, or the first active one that takes the amount, and answers: of
    /// those that wait for an open breaker, one goes through. Refuses `gateway_unavailable`, `not_found`.
    fn payout_gateway(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        named: Option<GatewayId>,
        amount: Amount,
    ) -> Result<GatewayInfo>;

    /// What [`PaymentContract::payout`] reaches the gateway with. Refuses `not_found`.
    fn payout_access(&self, tx: &ReadTx, client: ClientId, gateway: &GatewayInfo) -> Result<GatewayAccess>;

    /// Asks a gateway to send money. Called with no transaction open.
    fn payout(
        &self,
        gateway: GatewayInfo,
        access: GatewayAccess,
        request: PayoutRequest,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>>;

    /// Asks a gateway what became of a payout, by its own `reference` where it said one. Nothing is ever sent by asking.
    /// Called with no transaction open.
    fn ask_payout(
        &self,
        gateway: GatewayInfo,
        access: GatewayAccess,
        request: PayoutRequest,
        reference: Option<String>,
    ) -> Pin<Box<dyn Future<Output = PayoutOutcome> + Send>>;

    /// Remembers how the gateway answered, for its health and its breaker.
    fn note_payout(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        gateway: GatewayId,
        outcome: &PayoutOutcome,
    ) -> Result<()>;
}

refusals! {
    /// What Payment refuses.
    pub enum PaymentRefusal {
        /// No active gateway takes this currency and amount, or the one named does not: `reason` is `inactive`,
        /// `currency`, `min` or `max`.
        GatewayUnavailable { reason: String }: Unprocessable "gateway_unavailable" => "no gateway takes this: {reason}",
        /// An active gateway of this client has this slug.
        GatewayTaken { slug: String }: Conflict "gateway_taken" => "a gateway {slug} exists already",
        /// The sandbox moves no money: it is active in test clients only.
        SandboxInLive: Unprocessable "sandbox_in_live" => "a sandbox is never active in a live client",
        /// What came is of another currency than what was asked.
        PaymentCurrencyMismatch { found: CurrencyCode, wanted: CurrencyCode }: Unprocessable "payment_currency_mismatch"
            => "{found} came, {wanted} was asked",
        /// The gateway's reference settled another payment already: money is credited once.
        ReferenceUsed { payment_id: PaymentId }: Conflict "reference_used" => "{payment_id} has this reference",
        /// The payment's time is over. Money that still comes goes to suspense.
        PaymentExpired: Gone "payment_expired" => "the payment has expired",
        /// Another attempt is open; wait until it ends, or until it fails.
        AttemptOpen { attempt_id: AttemptId }: Conflict "attempt_open" => "{attempt_id} is still open",
        /// Only what goes through a gateway by hand is marked by hand, and what a gateway lost track of.
        NotManual: Unprocessable "not_manual" => "the gateway says itself what became of it",
        /// Only a settled payment of a user is refunded; `reason` is its status, or why else: `converted` is what was
        /// credited in another currency than it was paid in. Reverse what it was for, such as the funding, instead.
        NotRefundable { reason: String }: Unprocessable "not_refundable" => "the payment cannot be refunded: {reason}",
        /// All refunds together would be more than what came, less what was taken back otherwise.
        RefundTooLarge { remaining: Amount }: Unprocessable "refund_too_large" => "{remaining} can still be refunded",
        /// Only a settled payment of a user is disputed; `reason` is its status, or why else.
        NotDisputable { reason: String }: Unprocessable "not_disputable" => "the payment cannot be disputed: {reason}",
        /// More than what came, less what went back already.
        DisputeTooLarge { remaining: Amount }: Unprocessable "dispute_too_large" => "{remaining} can still be disputed",
        /// A payer's bank takes this money back: until that dispute is over nothing else goes back of it. Of a dispute
        /// to be noted: another one about this payment is not over, of another amount or with another reference;
        /// say `separate` when they are two.
        PaymentDisputed { dispute_id: DisputeId }: Conflict "payment_disputed" => "{dispute_id} is about this money",
        /// A gateway's message whose signature or time is wrong, or of a gateway there is not: which of these is not
        /// said. Signed over the bytes as sent, not older than five minutes.
        WebhookRefused: Malformed "webhook_refused" => "the message is not signed as it should be",
        /// A gateway's message that is signed as it should be, and says what cannot be: `problem` is what, such as an
        /// amount that is none.
        WebhookNotUnderstood { problem: String }: Unprocessable "webhook_not_understood"
            => "the message is not understood: {problem}",
        /// Money in suspense goes to an open payment in its currency through its gateway, or to a user; `reason` is
        /// `currency`, `gateway` or the payment's status.
        NotAssignable { reason: String }: Unprocessable "not_assignable" => "the money cannot go there: {reason}",
        /// Another gateway of this installation has this address: an address is handed out once, so that money at it is
        /// one payment's.
        AddressTaken { address: String }: Conflict "address_taken" => "another gateway has {address}",
        /// A gateway is switched on when it has all it needs: `missing` says what it has not.
        GatewayIncomplete { missing: String }: Unprocessable "gateway_incomplete" => "the gateway has no {missing}",
    }
}
