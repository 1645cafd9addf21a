//! What others see of withdrawals: ids, states, refusals.

use crate::kernel::{
    api::input::text_enum,
    clock::Time,
    error::refusals,
    id::id,
    money::{Amount, CurrencyCode},
};

id!(/** A withdrawal: money on its way out. */ WithdrawalId, "wdr");
id!(/** Where a user may be paid out to. */ BeneficiaryId, "bnf");

text_enum! {
    /// What money leaves for.
    pub enum WithdrawalType {
        /// Paid out to its user.
        CashOut = "cash_out",
        /// A charge by staff, to the house's fee income.
        Fee = "fee",
        /// A charge by staff, to the house's tax account.
        Tax = "tax",
    }
}

text_enum! {
    /// Where a withdrawal stands.
    pub enum WithdrawalStatus {
        /// Waits for people to approve it; the money is held.
        PendingReview = "pending_review",
        /// May be processed; the money is held.
        Approved = "approved",
        /// A gateway has been asked and has not answered yet.
        Processing = "processing",
        /// On its way.
        Sent = "sent",
        Completed = "completed",
        /// Provably not paid out; the money is the user's again.
        Failed = "failed",
        /// Nobody knows whether it was paid out: a person finds out and says so. It is never sent again by itself.
        NeedsReconciliation = "needs_reconciliation",
        /// It had arrived and came back.
        Returned = "returned",
        Rejected = "rejected",
        Canceled = "canceled",
        /// Nobody confirmed it, decided, or processed it, in time.
        Expired = "expired",
        /// Its user is to confirm it, with what was mailed; the money is held.
        PendingConfirmation = "pending_confirmation",
    }
}

refusals! {
    /// What Withdrawal refuses.
    pub enum WithdrawalRefusal {
        /// The client does not pay out such small amounts.
        BelowMinimum { minimum: Amount, currency: CurrencyCode }: Unprocessable "below_minimum"
            => "at least {minimum}",
        /// The fee is included in the amount, and takes all of it.
        NothingLeft { fee: Amount, currency: CurrencyCode }: Unprocessable "nothing_left"
            => "the fee of {fee} takes all of it",
        /// Users are paid out to a beneficiary they added before: name it in `beneficiary_id`. Only keys pass a
        /// `method`.
        BeneficiaryRequired: Unprocessable "beneficiary_required" => "name a beneficiary in `beneficiary_id`",
        /// The beneficiary was added only recently. It can be paid from `ready_at` on.
        BeneficiaryNotReady { ready_at: Time }: Unprocessable "beneficiary_not_ready"
            => "it can be paid from {ready_at} on",
        /// The user has not confirmed this beneficiary yet, with what was mailed.
        BeneficiaryUnconfirmed: Unprocessable "beneficiary_unconfirmed" => "its user has to confirm it first",
        /// What a user asked for, only this user confirms, with what was mailed to it: nobody else, whatever they may.
        OwnerConfirms: Forbidden "owner_confirms" => "only its user confirms it",
        /// There is nothing to confirm, or not any more.
        BeneficiaryConfirmed: Conflict "beneficiary_confirmed" => "the beneficiary is confirmed",
        /// The user has a beneficiary with this very account, or address and memo.
        BeneficiaryExists { existing_id: BeneficiaryId }: Conflict "beneficiary_exists"
            => "{existing_id} is the same account",
    }
}
