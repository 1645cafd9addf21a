//! Fundings as earlier releases stored them.

use super::{
    contract::{FundingId, FundingStatus, FundingType},
    model::{Funding, Referral, ReferralStatus},
};
use crate::{
    kernel::{
        api::{
            object::{Stamp, Times},
            principal::UserId,
        },
        clock::Time,
        machine::History,
        money::Amount,
        store::codec::{Decode, Encode},
    },
    modules::{
        balance::contract::EntryId, payment::contract::PaymentId, transaction::contract::TransactionId,
    },
};

/// Before a deposit could be paid in another currency.
#[derive(Encode, Decode)]
pub struct FundingV1 {
    user: UserId,
    kind: FundingType,
    amount: Amount,
    credit: Amount,
    fee: Amount,
    fee_included: bool,
    from_user: Option<UserId>,
    reason: Option<String>,
    payment: Option<PaymentId>,
    entry: Option<EntryId>,
    reversal: Option<EntryId>,
    transactions: Vec<TransactionId>,
    history: History<FundingStatus>,
    stamp: Stamp,
}

impl From<FundingV1> for Funding {
    fn from(it: FundingV1) -> Funding {
        Funding {
            user: it.user,
            kind: it.kind,
            amount: it.amount,
            credit: it.credit,
            fee: it.fee,
            fee_included: it.fee_included,
            from_user: it.from_user,
            reason: it.reason,
            payment: it.payment,
            quote: None,
            entry: it.entry,
            reversal: it.reversal,
            transactions: it.transactions,
            due_at: None,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

/// Before what was paid for bringing somebody could be taken back.
#[derive(Encode, Decode)]
pub struct ReferralV1 {
    referrer: UserId,
    deposit: FundingId,
    commission: Option<FundingId>,
    created_at: Time,
}

impl From<ReferralV1> for Referral {
    fn from(it: ReferralV1) -> Referral {
        let status = match it.commission {
            Some(_) => ReferralStatus::Earned,
            None => ReferralStatus::NoCommission,
        };
        Referral {
            referrer: it.referrer,
            deposit: it.deposit,
            commission: it.commission,
            status,
            due_at: None,
            times: Times::at(it.created_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::Row;

    #[test]
    fn what_the_first_release_stored_is_read() {
        let first = include_str!("../../../tests/golden/rows/funding.fundings.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        let funding = Funding::decode_row(&first).unwrap();
        let shown = (funding.credit.to_string(), funding.reason.as_deref(), funding.quote);
        assert_eq!(shown, ("10.00 USD".to_owned(), Some("savings"), None));
        let referral = include_str!("../../../tests/golden/rows/funding.referrals.v1.hex");
        let referral = data_encoding::HEXLOWER.decode(referral.trim().as_bytes()).unwrap();
        let referral = Referral::decode_row(&referral).unwrap();
        assert_eq!((referral.status, referral.due_at), (ReferralStatus::Earned, None));
    }
}
