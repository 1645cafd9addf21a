//! An adjustment: a correction by hand, asked for by one person and decided by another.

use crate::kernel::{
    api::{
        input::text_enum,
        object::{Stamp, stamped},
    },
    machine::{History, Machine},
    money::Amount,
    store::codec::{Decode, Encode, row},
};
use crate::modules::balance::{
    contract::{Account, EntryId},
    events::Direction,
};

text_enum! {
    pub enum AdjustmentStatus {
        /// Waits for a second person.
        Requested = "requested",
        Posted = "posted",
        Rejected = "rejected",
    }
}

text_enum! { pub enum AdjustmentEvent { Approve = "approve", Reject = "reject" } }

pub const ADJUSTMENT: Machine<AdjustmentStatus, AdjustmentEvent> = Machine {
    name: "adjustment",
    initial: &[AdjustmentStatus::Requested],
    moves: &[
        (AdjustmentStatus::Requested, AdjustmentEvent::Approve, AdjustmentStatus::Posted),
        (AdjustmentStatus::Requested, AdjustmentEvent::Reject, AdjustmentStatus::Rejected),
    ],
};

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Adjustment {
    pub account: Account,
    pub direction: Direction,
    pub amount: Amount,
    pub reason: String,
    /// Once it is posted.
    pub entry: Option<EntryId>,
    pub history: History<AdjustmentStatus>,
    pub stamp: Stamp,
}
row!(Adjustment);
stamped!(Adjustment);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::{call::Caller, principal::UserId},
        clock::Time,
        id::Id as _,
        money::Currency,
        store::codec::golden,
    };
    use crate::modules::balance::contract::UserAccount;

    #[test]
    fn the_machine_is_sound() {
        assert_eq!(ADJUSTMENT.flaws(), Vec::<String>::new());
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let currency = Currency { code: "USD".parse().unwrap(), decimals: 2 };
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "balance.adjustments",
            &Adjustment {
                account: Account::user(UserId::from_bytes([2; 16]), UserAccount::Available, currency),
                direction: Direction::Debit,
                amount: Amount::new(500, currency).unwrap(),
                reason: "posted twice".into(),
                entry: None,
                history: History::begin(AdjustmentStatus::Requested, &Caller::system(None), at),
                stamp: Stamp { external_id: Some("a-1".into()), ..Stamp::at(at) },
            },
        );
    }
}
