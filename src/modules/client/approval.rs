//! Who has to approve what: the client's rules, one per operation.
//!
//! The amounts (and of withdrawals the number of people) stand in the client's settings, where they have always been;
//! what a policy says beyond them (one person up to, how many above, the committee) and its revision stand beside.
//! Tightening takes one person. Loosening takes two: see [`ApprovalPolicy::is_looser_than`].

use crate::kernel::{
    api::{call::FromPath, input::text_enum, principal::Actor},
    error::Result,
    money::Amount,
    store::codec::{Decode, Encode},
};
use crate::modules::role::contract::RoleId;

use super::contract::{ClientRefusal, Settings};

text_enum! {
    /// What has to be approved.
    pub enum ApprovalOperation {
        Withdrawal = "withdrawal",
        /// A payment that somebody says has come.
        Payment = "payment",
        Refund = "refund",
        /// A correction of the books by hand.
        Adjustment = "adjustment",
        /// That what an investment went into has failed.
        InvestmentDefault = "investment_default",
        /// Whose money in suspense is.
        Suspense = "suspense",
        /// That somebody may decide over such things from now on.
        Access = "access",
    }
}

impl ApprovalOperation {
    /// What a voter has to be allowed.
    pub fn permission(self) -> &'static str {
        match self {
            ApprovalOperation::Withdrawal => "withdrawals.approve",
            ApprovalOperation::Payment => "payments.approve",
            ApprovalOperation::Refund => "refunds.approve",
            ApprovalOperation::Adjustment => "adjustments.approve",
            ApprovalOperation::InvestmentDefault => "investments.approve_default",
            ApprovalOperation::Suspense => "suspense.approve",
            ApprovalOperation::Access => "access-proposals.approve",
        }
    }
}

impl FromPath for ApprovalOperation {
    fn from_path(parts: &[String]) -> Option<ApprovalOperation> {
        parts.first()?.parse().ok()
    }
}

/// What nobody is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub enum Automatic {
    Never,
    /// Inclusive, and in the currency of the amount only.
    UpTo(Amount),
    Always,
}

/// Who may approve. With nobody in it, nobody may: what needs it stays blocked.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Committee {
    /// Users and keys.
    pub members: Vec<Actor>,
    /// Whoever has this role, too.
    pub role: Option<RoleId>,
}

impl Committee {
    pub fn has(&self, actor: Actor, roles: &[RoleId]) -> bool {
        self.members.contains(&actor) || self.role.is_some_and(|it| roles.contains(&it))
    }

    fn is_within(&self, other: &Committee) -> bool {
        self.members.iter().all(|it| other.members.contains(it))
            && (self.role.is_none() || self.role == other.role)
    }
}

/// The rules of one operation.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct ApprovalPolicy {
    pub automatic: Automatic,
    /// Above what is automatic, one person is enough up to here (inclusive).
    pub one_person_up_to: Option<Amount>,
    /// How many people are needed above.
    pub approvals: u32,
    /// Who they are; without one, everybody with the permission.
    pub committee: Option<Committee>,
    /// One more with every change: votes cast under another are void.
    pub revision: u32,
}

impl ApprovalPolicy {
    /// As the settings alone say it.
    pub fn of_settings(settings: &Settings, operation: ApprovalOperation) -> ApprovalPolicy {
        let up_to = |limit: Option<Amount>, off| limit.map_or(off, Automatic::UpTo);
        let (automatic, approvals) = match operation {
            ApprovalOperation::Withdrawal => {
                let it = &settings.withdrawal;
                (up_to(it.automatic_up_to, Automatic::Never), it.approvals)
            }
            ApprovalOperation::Payment => (up_to(settings.payment.second_person_above, Automatic::Always), 1),
            ApprovalOperation::Refund => {
                (up_to(settings.payment.refund_second_person_above, Automatic::Always), 1)
            }
            ApprovalOperation::Adjustment
            | ApprovalOperation::InvestmentDefault
            | ApprovalOperation::Suspense
            | ApprovalOperation::Access => (Automatic::Never, 1),
        };
        ApprovalPolicy { automatic, one_person_up_to: None, approvals, committee: None, revision: 0 }
    }

    /// Writes back what stands in the settings.
    pub fn write_to(&self, settings: &mut Settings, operation: ApprovalOperation) {
        let limit = match self.automatic {
            Automatic::UpTo(limit) => Some(limit),
            Automatic::Never | Automatic::Always => None,
        };
        match operation {
            ApprovalOperation::Withdrawal => {
                settings.withdrawal.automatic_up_to = limit;
                settings.withdrawal.approvals = self.approvals;
            }
            ApprovalOperation::Payment => settings.payment.second_person_above = limit,
            ApprovalOperation::Refund => settings.payment.refund_second_person_above = limit,
            ApprovalOperation::Adjustment
            | ApprovalOperation::InvestmentDefault
            | ApprovalOperation::Suspense
            | ApprovalOperation::Access => {}
        }
    }

    /// Whether nobody has to be asked. A limit holds for its own currency: amounts in others have no order with it,
    /// and wait for people.
    pub fn is_automatic(&self, amount: Amount) -> bool {
        match self.automatic {
            Automatic::Never => false,
            Automatic::UpTo(limit) => amount <= limit,
            Automatic::Always => true,
        }
    }

    fn one_is_enough(&self, amount: Amount) -> bool {
        self.one_person_up_to.is_some_and(|limit| amount <= limit)
    }

    /// How many people have to approve this much, when it is not automatic.
    pub fn needed(&self, amount: Amount) -> u32 {
        if self.one_is_enough(amount) { 1 } else { self.approvals }
    }

    /// Who approves this much; `None`: whoever has the permission.
    pub fn committee_for(&self, amount: Amount) -> Option<&Committee> {
        self.committee.as_ref().filter(|_| !self.one_is_enough(amount))
    }

    /// Whether nobody has a vote on this much.
    pub fn is_blocked(&self, amount: Amount) -> bool {
        self.committee_for(amount).is_some_and(|it| it.members.is_empty() && it.role.is_none())
    }

    /// Refuses `not_on_committee` to whoever has no vote on this much.
    pub fn check_voter(&self, amount: Amount, actor: Actor, roles: &[RoleId]) -> Result<()> {
        match self.committee_for(amount) {
            Some(committee) if !committee.has(actor, roles) => Err(ClientRefusal::NotOnCommittee.into()),
            _ => Ok(()),
        }
    }

    /// Whether it lets anything through that `other` would stop, or lets somebody vote who could not: more that is
    /// automatic, more for one person, fewer people, another committee than a part of the one before.
    pub fn is_looser_than(&self, other: &ApprovalPolicy) -> bool {
        let more_automatic = match (self.automatic, other.automatic) {
            (Automatic::Never, _) | (_, Automatic::Always) => false,
            (Automatic::UpTo(new), Automatic::UpTo(old)) => is_more(new, old),
            (Automatic::UpTo(_), Automatic::Never) | (Automatic::Always, _) => true,
        };
        let more_alone = match (self.one_person_up_to, other.one_person_up_to) {
            (None, _) => false,
            (Some(new), Some(old)) => is_more(new, old),
            (Some(_), None) => self.approvals > 1 || other.committee.is_some(),
        };
        let other_people = match (&self.committee, &other.committee) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(new), Some(old)) => !new.is_within(old),
        };
        more_automatic || more_alone || other_people || self.approvals < other.approvals
    }
}

/// Amounts of two currencies have no order: then it may be more.
fn is_more(new: Amount, old: Amount) -> bool {
    new.partial_cmp(&old).is_none_or(|it| it.is_gt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::principal::UserId, id::Id as _, money::Currency};

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn who(last: u8) -> Actor {
        Actor::User(UserId::from_bytes([last; 16]))
    }

    fn policy() -> ApprovalPolicy {
        ApprovalPolicy {
            automatic: Automatic::UpTo(usd(100)),
            one_person_up_to: Some(usd(1000)),
            approvals: 2,
            committee: Some(Committee { members: vec![who(1), who(2), who(3)], role: None }),
            revision: 1,
        }
    }

    #[test]
    fn each_amount_has_its_number_of_people() {
        let policy = policy();
        for (amount, automatic, needed, committee) in [
            (usd(100), true, 1, false),
            (usd(101), false, 1, false),
            (usd(1000), false, 1, false),
            (usd(1001), false, 2, true),
            (Amount::new(1, Currency { code: "EUR".parse().unwrap(), decimals: 2 }).unwrap(), false, 2, true),
        ] {
            assert_eq!(policy.is_automatic(amount), automatic, "{amount}");
            assert_eq!(policy.needed(amount), needed, "{amount}");
            assert_eq!(policy.committee_for(amount).is_some(), committee, "{amount}");
        }
    }

    #[test]
    fn an_empty_committee_lets_nobody_vote() {
        let empty = Some(Committee { members: vec![], role: None });
        let policy = ApprovalPolicy { committee: empty, ..policy() };
        assert!(policy.check_voter(usd(5000), who(1), &[]).is_err());
        assert!(policy.check_voter(usd(500), who(1), &[]).is_ok());
    }

    #[test]
    fn whatever_lets_more_through_is_looser() {
        let of = |members: &[u8]| {
            Some(Committee { members: members.iter().map(|it| who(*it)).collect(), role: None })
        };
        let table: [(ApprovalPolicy, bool); 13] = [
            (policy(), false),
            (ApprovalPolicy { automatic: Automatic::Never, ..policy() }, false),
            (ApprovalPolicy { automatic: Automatic::UpTo(usd(99)), ..policy() }, false),
            (ApprovalPolicy { automatic: Automatic::UpTo(usd(101)), ..policy() }, true),
            (ApprovalPolicy { automatic: Automatic::Always, ..policy() }, true),
            (ApprovalPolicy { one_person_up_to: None, ..policy() }, false),
            (ApprovalPolicy { one_person_up_to: Some(usd(1001)), ..policy() }, true),
            (ApprovalPolicy { approvals: 3, ..policy() }, false),
            (ApprovalPolicy { approvals: 1, ..policy() }, true),
            (ApprovalPolicy { committee: None, ..policy() }, true),
            (ApprovalPolicy { committee: of(&[1, 2]), ..policy() }, false),
            (ApprovalPolicy { committee: of(&[]), ..policy() }, false),
            (ApprovalPolicy { committee: of(&[1, 2, 4]), ..policy() }, true),
        ];
        for (new, looser) in table {
            assert_eq!(new.is_looser_than(&policy()), looser, "{new:?}");
        }
    }
}
