//! A chain takes back what was counted already: a reorganisation deeper than the confirmations that were asked for.
//!
//! | what came is | then |
//! |---|---|
//! | waiting for the rest | it does not count any more: nothing was credited |
//! | in suspense | out of suspense, back to clearing |
//! | credited, assigned, or went back | nothing is booked: the payment needs a person, and its user is frozen as after a chargeback |
//!
//! A transaction that was taken back is most often in another block soon after. So nobody's balance is touched by a
//! machine: when it is there again the payment says so, and a person puts the question away, or gives back what was
//! taken from the user meanwhile; when it stays away a person records a dispute.
//!
//! A watcher has to say it. An explorer that does not list what it listed before may have forgotten it: after money
//! counted, its silence is no word.

use super::{Case, News, Payments, Try, item_of_reference};
use crate::{
    kernel::{
        api::{call::Caller, principal::UserId},
        error::Result,
        id::Id as _,
        store::WriteTx,
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry},
        payment::{
            contract::Review,
            events::SuspenseDropped,
            model::{Place, Settlement, Whose, compare},
            repository::{SETTLEMENTS, SettlementKey},
        },
    },
};

impl Payments {
    /// The transfer of this reference is gone.
    pub(super) fn uncount(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        attempt: &Try,
        reference: &str,
    ) -> Result<()> {
        let found = item_of_reference(tx, case.client, attempt.row.gateway, reference)?;
        let Some((key, row)) = found else { return Ok(()) };
        if row.place == Place::Suspense {
            return self.leave_suspense(tx, caller, key, row);
        }
        if key.1 == case.id {
            return self.uncount_of(tx, caller, case, key, row);
        }
        // A person said that it came for another payment.
        let mut other = Case::load(tx, case.client, key.1)?;
        self.uncount_of(tx, caller, &mut other, key, row)?;
        self.finish(tx, caller, &mut other, None)
    }

    fn uncount_of(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        case: &mut Case,
        key: SettlementKey,
        row: Settlement,
    ) -> Result<()> {
        if row.place == Place::Waiting {
            tx.delete(&SETTLEMENTS, &key)?;
            case.payment.received = case.payment.received.minus(row.amount)?;
            case.payment.paid_state = compare(case.payment.received, case.payment.amount);
            return Ok(());
        }
        let reason = gone(&row.reference);
        if case.payment.last_error.as_ref() == Some(&reason) {
            return Ok(()); // Said again.
        }
        if case.payment.review == Review::None {
            case.payment.review = Review::Needed;
        }
        case.payment.last_error = Some(reason.clone());
        case.news.push(News::Conflicted { reason: reason.clone() });
        match whose(case, &row) {
            Some(user) => {
                let reason = format!("{}: {reason}", case.id);
                self.users.freeze(tx, caller, case.client, user, &reason).map(drop)
            }
            None => Ok(()),
        }
    }

    /// suspense → clearing: the entry that put it there taken back. What somebody said of it is void.
    fn leave_suspense(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        key: SettlementKey,
        row: Settlement,
    ) -> Result<()> {
        let (amount, currency) = (row.amount, row.amount.currency());
        let suspense = Account::house(HouseAccount::Suspense, currency);
        let clearing = Account::house(HouseAccount::Clearing(row.gateway.bytes()), currency);
        let back = NewEntry {
            cause: key.2.to_string(),
            description: "Taken back by its chain, from suspense",
            lines: &[Line::lower(suspense, amount), Line::raise(clearing, amount)],
            reverses: row.entry,
        };
        self.balance.post(tx, key.0, back)?;
        tx.delete(&SETTLEMENTS, &key)?;
        let event = SuspenseDropped {
            settlement_id: key.2,
            payment_id: key.1,
            amount: amount.digits(),
            currency: currency.code,
            gateway_id: row.gateway,
            reference: row.reference,
        };
        tx.publish(caller, &event).map(drop)
    }

    /// Money that was counted is told of again, after its chain had taken it back. A person looks all the same: it may have
    /// been taken from the user meanwhile, another transfer may be gone still, and the user is frozen.
    pub(super) fn is_there_again(&self, case: &mut Case, reference: &str) {
        let was_gone = case.payment.last_error.as_deref() == Some(gone(reference).as_str());
        if was_gone && case.payment.review == Review::Needed {
            let reason = format!("{reference} is there again");
            case.payment.last_error = Some(reason.clone());
            case.news.push(News::Conflicted { reason });
        }
    }
}

/// Whose money it became.
fn whose(case: &Case, row: &Settlement) -> Option<UserId> {
    match (row.place, row.claimant.as_ref().map(|it| it.whose)) {
        (Place::Credited, _) => case.payment.user,
        (Place::Assigned, Some(Whose::User(user))) => Some(user),
        _ => None,
    }
}

fn gone(reference: &str) -> String {
    format!("{reference} was credited, and its chain took it back")
}
