//! What other modules may know of fundings.

use crate::kernel::{api::input::text_enum, error::refusals, id::id, money::Amount};

id!(/** A deposit, or a credit by staff. */ FundingId, "fnd");

text_enum! {
    pub enum FundingStatus {
        /// Nobody has begun to pay.
        Pending = "pending",
        Processing = "processing",
        Completed = "completed",
        Failed = "failed",
        /// What came does not fit: a person decides, on the payment. Or it waits for a price: see `quote`.
        Conflicted = "conflicted",
        Canceled = "canceled",
        Expired = "expired",
        /// It came about and was taken back.
        Reversed = "reversed",
    }
}

text_enum! {
    pub enum FundingType {
        /// The user's own money, through a payment.
        Deposit = "deposit",
        /// Paid by the house: profit.
        Profit = "profit",
        /// Paid by the house: commission, to the user's commission account.
        Commission = "commission",
        /// Another user's money.
        Transfer = "transfer",
    }
}

refusals! {
    /// What Funding refuses.
    pub enum FundingRefusal {
        /// The client takes no deposit as large as this.
        AboveMaximum { maximum: Amount }: Unprocessable "above_maximum" => "at most {maximum}",
        /// The fee, to be taken from the amount, is not below it: nothing would be credited.
        FeeAboveAmount { fee: Amount }: Unprocessable "fee_above_amount" => "the fee is {fee}",
    }
}
