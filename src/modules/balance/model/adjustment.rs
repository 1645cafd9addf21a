//! An adjustment: a correction by hand, asked for by one person and decided by another.

use crate::kernel::{
    api::{
        input::text_enum,
        object::{Stamp, stamped},
        principal::Actor,
    },
    machine::{History, Machine},
    money::Amount,
    store::codec::{Decode, Encode, row},
};
use crate::modules::{
    balance::{
        contract::{Account, EntryId},
        events::Direction,
    },
    client::contract::Approval,
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
    /// What others think of it.
    pub approval: Approval,
    pub history: History<AdjustmentStatus>,
    pub stamp: Stamp,
}
row!(Adjustment, 2, { 1 => AdjustmentV1 });
stamped!(Adjustment);

impl Adjustment {
    /// Those who do not decide over it: who asked for it, whose account it is.
    pub fn concerned(&self) -> Vec<Actor> {
        [self.history.creator()].into_iter().chain(self.account.user_id().map(Actor::User)).collect()
    }
}

/// As earlier releases stored it, when one other person was enough.
#[derive(Encode, Decode)]
struct AdjustmentV1 {
    account: Account,
    direction: Direction,
    amount: Amount,
    reason: String,
    entry: Option<EntryId>,
    history: History<AdjustmentStatus>,
    stamp: Stamp,
}

impl From<AdjustmentV1> for Adjustment {
    fn from(it: AdjustmentV1) -> Adjustment {
        Adjustment {
            account: it.account,
            direction: it.direction,
            amount: it.amount,
            reason: it.reason,
            entry: it.entry,
            approval: Approval::of_before(it.amount),
            history: it.history,
            stamp: it.stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::{call::Caller, principal::UserId},
        clock::Time,
        id::Id as _,
        money::Currency,
        store::{Row as _, codec::golden},
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
        let amount = Amount::new(500, currency).unwrap();
        let adjustment = Adjustment {
            account: Account::user(UserId::from_bytes([2; 16]), UserAccount::Available, currency),
            direction: Direction::Debit,
            amount,
            reason: "posted twice".into(),
            entry: None,
            approval: Approval::of_before(amount),
            history: History::begin(AdjustmentStatus::Requested, &Caller::system(None), at),
            stamp: Stamp { external_id: Some("a-1".into()), ..Stamp::at(at) },
        };
        golden("balance.adjustments", &adjustment);
        let first = include_str!("../../../../tests/golden/rows/balance.adjustments.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        assert_eq!(Adjustment::decode_row(&first).unwrap(), adjustment, "what the first release stored");
    }
}
