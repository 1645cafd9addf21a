//! What other modules may ask of transaction records.

use crate::kernel::{
    api::{
        call::Caller,
        input::{Metadata, text_enum},
        object::Times,
        principal::{ClientId, UserId},
    },
    error::{Result, refusals},
    id::id,
    money::{Amount, Standing},
    store::{
        ReadTx, WriteTx,
        codec::{Decode, Encode},
    },
};
use crate::modules::balance::contract::{EntryId, NewEntry};

id!(/** A transaction record: one side of one movement, as its user sees it. */ TransactionId, "txn");
id!(/** A transfer. */ TransferId, "tfr");

text_enum! {
    /// Which way the money went, for the user.
    pub enum EntryType { Credit = "credit", Debit = "debit", Fee = "fee" }
}

text_enum! {
    /// Follows the state of what caused it.
    pub enum TransactionStatus {
        Pending = "pending",
        Completed = "completed",
        /// It did not come about: the money never moved, or moved back with its hold.
        Failed = "failed",
        /// It came about and was taken back by another entry.
        Reversed = "reversed",
    }
}

/// A movement of money as its user sees it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Transaction {
    pub id: TransactionId,
    pub user: UserId,
    pub entry_type: EntryType,
    pub amount: Amount,
    /// What the user could spend afterwards; below zero, what a chargeback left missing.
    pub balance_after: Standing,
    pub status: TransactionStatus,
    /// A category's stable key.
    pub category: String,
    pub narration: String,
    /// The id of what caused it.
    pub cause: String,
    /// The entry that moved the money; of a pending one the entry that set it aside, of a failed one the entry that
    /// gave it back.
    pub entry: EntryId,
    /// The entry that took it back, of a reversed one.
    pub reversed_by: Option<EntryId>,
    pub metadata: Metadata,
    pub times: Times,
}

/// A record to be written, in the transaction of its entry.
#[derive(Debug, Clone)]
pub struct NewTransaction<'a> {
    pub user: UserId,
    pub entry_type: EntryType,
    pub amount: Amount,
    pub balance_after: Standing,
    pub status: TransactionStatus,
    pub category: &'a str,
    pub narration: &'a str,
    pub cause: String,
    pub entry: EntryId,
}

/// What a user sees of an entry that completes what it was for.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub user: UserId,
    pub entry_type: EntryType,
    pub amount: Amount,
    pub category: &'a str,
    pub narration: &'a str,
}

/// The customer-facing record of every movement.
pub trait TransactionContract: Send + Sync {
    /// Writes a record and announces `transaction.created`. Refuses `category_unknown`.
    fn record(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewTransaction<'_>,
    ) -> Result<TransactionId>;

    /// Posts the entry and writes a completed record of each side; sides of nothing are left out. Refuses what
    /// [`BalanceContract::post`](crate::modules::balance::contract::BalanceContract::post) refuses, and
    /// `category_unknown`.
    fn post(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        entry: NewEntry<'_>,
        records: &[Record<'_>],
    ) -> Result<(EntryId, Vec<TransactionId>)>;

    /// Follows its cause to `status`; `entry` is the entry that did it. A fault once it has failed or was reversed.
    fn follow(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        transaction: TransactionId,
        status: TransactionStatus,
        entry: EntryId,
    ) -> Result<()>;

    fn find(&self, tx: &ReadTx, client: ClientId, transaction: TransactionId) -> Result<Option<Transaction>>;
}

refusals! {
    /// What Transaction refuses.
    pub enum TransactionRefusal {
        /// The money would come back to where it left.
        SameAccount: Unprocessable "same_account" => "the two accounts are the same",
        /// A transfer from the house, or to it, says why.
        ReasonRequired: Unprocessable "reason_required" => "say why in `reason`",
        /// The client does not let its users transfer to each other.
        TransfersOff: Forbidden "transfers_off" => "transfers between users are off",
        /// More than is still held was to be captured.
        CaptureTooLarge { remaining: Amount }: Unprocessable "capture_too_large" => "{remaining} is still held",
        /// More than was transferred was to be reversed, all reversals together.
        ReverseTooLarge { remaining: Amount }: Unprocessable "reverse_too_large" => "{remaining} can still be reversed",
    }
}
