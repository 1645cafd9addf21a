//! What other modules may know of swaps.

use crate::kernel::{api::input::text_enum, clock::Time, error::refusals, id::id, money::Amount};

id!(/** A promise: this much for that much, for a short time. */ QuoteId, "quo");
id!(/** One currency of a user, exchanged for another. */ SwapId, "swp");

text_enum! {
    pub enum QuoteStatus {
        /// It can be accepted.
        Active = "active",
        /// It has its swap.
        Accepted = "accepted",
        Expired = "expired",
        Canceled = "canceled",
    }
}

refusals! {
    /// What Swap refuses.
    pub enum SwapRefusal {
        /// The quote's time has passed. Ask for a new one.
        QuoteExpired { expired_at: Time }: Gone "quote_expired" => "the quote expired at {expired_at}",
        /// After fee and rounding nothing would be received, or there is nothing to exchange.
        SwapTooSmall: Unprocessable "swap_too_small" => "nothing would be received",
        /// The client lets nobody swap more than this at once, in what it is worth in the default currency.
        SwapAboveMaximum { worth: Amount, maximum: Amount }: Unprocessable "swap_above_maximum"
            => "it is worth {worth}, at most {maximum}",
    }
}
