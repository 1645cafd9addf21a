//! What other modules may ask of prices: what an operation costs, and the mark-up on a swap's rate.

use crate::kernel::{
    api::{input::text_enum, principal::ClientId},
    error::{Result, refusals},
    id::id,
    money::{Amount, CurrencyCode, Percent},
    store::ReadTx,
};

id!(/** A rule that says what an operation costs. */ FeeId, "fee");
// Payment owns gateways. Their id is declared here because fee rules name gateways, and Pricing stands above Payment.
id!(/** A way in or out for money. */ GatewayId, "gtw");

text_enum! {
    /// What a fee is taken for.
    pub enum FeeOperation {
        Funding = "funding",
        Withdrawal = "withdrawal",
        /// A plain charge: what is kept of a payment that is for nothing else.
        Payment = "payment",
        /// Taken in the currency that is given away.
        Swap = "swap",
        /// Not a fee of its own: the mark-up on the mid rate of a swap. A percentage and nothing else.
        Spread = "spread",
        Investment = "investment",
    }
}

/// What is to be charged.
#[derive(Debug, Clone, Copy)]
pub struct FeeQuestion<'a> {
    pub operation: FeeOperation,
    /// The fee is in the currency of this.
    pub amount: Amount,
    /// Swaps: the currency that is received.
    pub to: Option<CurrencyCode>,
    /// Where it is known.
    pub gateway: Option<GatewayId>,
    /// The tier of the user who pays; `standard` for nobody in particular.
    pub tier: &'a str,
}

/// What it costs, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeeFound {
    /// Rounded up, of the currency that was asked about; zero when no rule applies.
    pub fee: Amount,
    /// The rule that says so: the most specific one that applies.
    pub rule: Option<FeeId>,
}

/// What things cost. The order of precedence of the rules is in `model/rule.rs`.
pub trait PricingContract: Send + Sync {
    /// The one function that says what an operation costs; previews ask it too.
    fn fee(&self, tx: &ReadTx, client: ClientId, question: &FeeQuestion<'_>) -> Result<FeeFound>;

    /// The mark-up on the mid rate when a user of this tier gives `from` and receives `to`: the rate given is
    /// mid × (1 − spread). From zero up to below 100; zero when no rule applies.
    fn spread(
        &self,
        tx: &ReadTx,
        client: ClientId,
        from: CurrencyCode,
        to: CurrencyCode,
        tier: &str,
    ) -> Result<Percent>;
}

refusals! {
    /// What Pricing refuses.
    pub enum PricingRefusal {
        /// An active rule applies to exactly the same: which of the two counts could not be said. Change that one, or
        /// deactivate it first.
        FeeTaken { existing_id: FeeId }: Conflict "fee_taken" => "{existing_id} applies to the same",
    }
}
