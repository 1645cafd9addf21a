//! A transfer and its states.
//!
//! ```text
//!               capture ──────────────────────────► posted ── reverse ──────────────► reversed
//!  pending ───┬ capture_part ► partially_captured ─┘  ▲  └─ reverse_part ► partially_reversed ─ reverse ┘
//!             ├ void ────────► voided        │ capture, void, expire: what was captured stays
//!             └ expire ──────► expired       └────────┘
//! ```
//!
//! Without a hold a transfer is made `posted`. Further partial captures, and further partial reversals, leave the state
//! as it is: they are allowed where the final one is.

use std::time::Duration;

use crate::kernel::{
    api::{
        input::text_enum,
        object::{Stamp, stamped},
    },
    clock::Time,
    error::Result,
    machine::{History, Machine},
    money::Amount,
    store::codec::{Decode, Encode, row},
};
use crate::modules::{
    balance::contract::{Account, EntryId, HoldId},
    transaction::contract::TransactionId,
};

/// How long a hold lives unless said otherwise.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(7 * 24 * 3600);
pub const LONGEST_HOLD: Duration = Duration::from_secs(30 * 24 * 3600);

text_enum! {
    pub enum TransferStatus {
        /// The amount is set aside.
        Pending = "pending",
        /// A part has moved, the rest is still set aside.
        PartiallyCaptured = "partially_captured",
        /// It has moved: all of it, or what was captured of it.
        Posted = "posted",
        /// Given back before any of it moved.
        Voided = "voided",
        /// Its time was over before any of it moved.
        Expired = "expired",
        /// A part was taken back.
        PartiallyReversed = "partially_reversed",
        /// All that had moved was taken back.
        Reversed = "reversed",
    }
}

text_enum! {
    pub enum TransferEvent {
        Capture = "capture",
        CapturePart = "capture_part",
        Void = "void",
        Expire = "expire",
        Reverse = "reverse",
        ReversePart = "reverse_part",
    }
}

pub const TRANSFER: Machine<TransferStatus, TransferEvent> = Machine {
    name: "transfer",
    initial: &[TransferStatus::Posted, TransferStatus::Pending],
    moves: {
        use TransferEvent::*;
        use TransferStatus::*;
        &[
            (Pending, Capture, Posted),
            (Pending, CapturePart, PartiallyCaptured),
            (Pending, Void, Voided),
            (Pending, Expire, Expired),
            (PartiallyCaptured, Capture, Posted),
            (PartiallyCaptured, Void, Posted),
            (PartiallyCaptured, Expire, Posted),
            (Posted, Reverse, Reversed),
            (Posted, ReversePart, PartiallyReversed),
            (PartiallyReversed, Reverse, Reversed),
        ]
    },
};

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Transfer {
    pub from: Account,
    pub to: Account,
    pub amount: Amount,
    /// The entry that set the amount aside, or moved it; after a capture the last one that moved a part of it.
    pub entry: EntryId,
    pub hold: Option<Held>,
    /// Of a held transfer: what was carried out of it. Invariant: together at most `amount`.
    pub captures: Vec<Movement>,
    /// What was taken back. Invariant: together at most what had moved.
    pub reversals: Vec<Movement>,
    /// The records of what was set aside and moved, of the user who pays and of the one who receives.
    pub records_of_payer: Vec<TransactionId>,
    pub records_of_receiver: Vec<TransactionId>,
    pub reason: Option<String>,
    pub history: History<TransferStatus>,
    pub stamp: Stamp,
}
row!(Transfer);
stamped!(Transfer);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Held {
    pub id: HoldId,
    /// From this instant on it can only expire, whether or not it already has.
    pub expires_at: Time,
}

/// A part of a transfer that was captured or taken back.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Movement {
    pub amount: Amount,
    pub entry: EntryId,
    pub at: Time,
}

impl Transfer {
    pub fn status(&self) -> TransferStatus {
        self.history.status()
    }

    /// Whether something is still set aside.
    pub fn is_held(&self) -> bool {
        matches!(self.status(), TransferStatus::Pending | TransferStatus::PartiallyCaptured)
    }

    /// What has moved.
    pub fn captured(&self) -> Result<Amount> {
        if self.hold.is_none() { Ok(self.amount) } else { sum(&self.captures, self.amount) }
    }

    /// What was taken back of it.
    pub fn reversed(&self) -> Result<Amount> {
        sum(&self.reversals, self.amount)
    }

    /// When it expires, while it can.
    pub fn expires_at(&self) -> Option<Time> {
        self.hold.as_ref().filter(|_| self.is_held()).map(|it| it.expires_at)
    }
}

fn sum(movements: &[Movement], like: Amount) -> Result<Amount> {
    movements.iter().try_fold(Amount::zero(like.currency()), |sum, it| sum.plus(it.amount))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::{call::Caller, principal::UserId},
            id::Id as _,
            money::Currency,
            store::codec::golden,
        },
        modules::balance::contract::{HouseAccount, UserAccount},
    };

    #[test]
    fn the_machine_is_sound() {
        assert_eq!(TRANSFER.flaws(), Vec::<String>::new());
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let currency = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let at = Time::from_micros(1_795_342_000_000_000);
        let amount = Amount::new(500, currency).unwrap();
        let entry = EntryId::from_bytes([3; 16]);
        golden(
            "transaction.transfers",
            &Transfer {
                from: Account::user(UserId::from_bytes([1; 16]), UserAccount::Available, currency),
                to: Account::house(HouseAccount::FeeIncome, currency),
                amount,
                entry,
                hold: Some(Held { id: HoldId::from_bytes([4; 16]), expires_at: at }),
                captures: vec![Movement { amount, entry, at }],
                reversals: vec![],
                records_of_payer: vec![TransactionId::from_bytes([5; 16])],
                records_of_receiver: vec![],
                reason: Some("fee".into()),
                history: History::begin(TransferStatus::Pending, &Caller::system(None), at),
                stamp: Stamp::at(at),
            },
        );
    }
}
