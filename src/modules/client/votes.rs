//! Votes: so many people agree to one thing, each counted once.
//!
//! Whoever asked for it, or whose money it is, has none, and two who may be one person have one together. What was
//! voted for under other rules, or before the thing changed, is void: the revision says which votes count. Whether they
//! are enough is asked again with each of them, of the voters as they are then. A committee nobody is in lets nobody
//! vote: what waits for it stays blocked, and says so.

use serde::Serialize;

use super::{
    approval::{ApprovalPolicy, Automatic, Committee},
    contract::{ApprovalOperation, ClientRefusal},
};
use crate::kernel::{
    api::{
        input::input,
        principal::Actor,
        text::{Line, Text},
    },
    clock::Time,
    error::Result,
    money::Amount,
    store::codec::{Decode, Encode},
};

/// What people think of one thing. Stands in its row while somebody has to agree, and stays as it was then.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Approval {
    pub votes: Vec<Vote>,
    /// The rules that the votes were cast under.
    pub policy: ApprovalPolicy,
    /// Grows when the rules or the thing change. Votes for another revision are void.
    pub revision: u32,
    /// What decides how many have to agree, and who.
    pub amount: Amount,
}

/// Somebody's approval.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Vote {
    pub actor: Actor,
    pub at: Time,
    pub note: Option<String>,
    /// Counts only while the thing is at this revision.
    pub revision: u32,
}

/// What is voted on.
#[derive(Debug, Clone, Copy)]
pub struct Motion<'a> {
    pub operation: ApprovalOperation,
    /// Those who have no vote: who asked for it, whose money it is.
    pub concerned: &'a [Actor],
}

input! {
    /// A vote.
    #[derive(Debug)]
    pub struct ApproveIn {
        /// The `revision` that was looked at: refused when it is another one by now.
        revision: u32,
        note: Option<Line<500>>,
    }
}

input! {
    /// A vote against.
    #[derive(Debug)]
    pub struct RejectIn {
        /// The `revision` that was looked at: refused when it is another one by now.
        revision: u32,
        reason: Text<500>,
    }
}

input! {
    /// What is agreed to, or dropped, of what was proposed.
    #[derive(Debug)]
    pub struct ProposalDecisionIn {
        /// The `revision` of the proposal that was looked at: refused when another one waits by now.
        revision: u32,
    }
}

/// What a voter says.
#[derive(Debug, Clone)]
pub struct Ballot {
    /// The revision looked at.
    pub revision: u32,
    pub note: Option<String>,
}

impl From<&ApproveIn> for Ballot {
    fn from(input: &ApproveIn) -> Ballot {
        Ballot { revision: input.revision, note: input.note.as_ref().map(String::from) }
    }
}

impl Approval {
    /// Nobody has voted yet.
    pub fn under(policy: ApprovalPolicy, amount: Amount) -> Approval {
        Approval { votes: vec![], policy, revision: 1, amount }
    }

    /// Of something that may be said again otherwise: by the version of what it is said of.
    pub fn of_version(version: u64, policy: ApprovalPolicy, amount: Amount) -> Approval {
        Approval { revision: revision_of(version), ..Approval::under(policy, amount) }
    }

    /// In the place of what was asked for before: whoever looked at that one, under whatever rules, has not looked at
    /// this.
    pub fn after(mut self, before: Option<&Approval>) -> Approval {
        // Shown under other rules than it was stored with, the one before has one more than its own.
        let least = before.map_or(0, |it| it.revision + 2);
        self.revision = self.revision.max(least);
        self
    }

    /// Of what earlier releases stored: one other person was enough, and the rules of then are not known.
    pub fn of_before(amount: Amount) -> Approval {
        let policy = ApprovalPolicy {
            automatic: Automatic::Never,
            one_person_up_to: None,
            approvals: 1,
            committee: None,
            revision: 0,
        };
        Approval::under(policy, amount)
    }

    /// The same under the rules of now.
    pub fn seen_under(mut self, policy: ApprovalPolicy) -> Approval {
        if self.policy != policy {
            (self.policy, self.revision) = (policy, self.revision + 1);
        }
        self
    }

    /// Refuses `revision_stale` to whoever looked at another one than there is under the rules of now.
    pub fn check_revision(&self, looked_at: u32) -> Result<()> {
        check_revision(self.revision, looked_at)
    }

    /// As it is to be shown, and never stored, when nobody who has a vote is in office.
    pub fn shown_blocked(mut self) -> Approval {
        self.policy.committee = Some(Committee { members: vec![], role: None });
        self
    }

    /// The votes that count.
    pub fn counted(&self) -> impl Iterator<Item = &Vote> {
        self.votes.iter().filter(|it| it.revision == self.revision)
    }

    /// Counts a vote under the rules of now; `is_voter` knows who is the same person as the voter, `may_vote` refuses
    /// those who have no vote. Refuses, in this order, and changes nothing then: `revision_stale`, `not_on_committee`,
    /// `already_voted`. True when it was the last one needed.
    pub fn cast(
        &mut self,
        voter: Actor,
        is_voter: impl Fn(Actor) -> Result<bool>,
        may_vote: impl Fn(Actor, &ApprovalPolicy) -> Result<()>,
        ballot: Ballot,
        policy: ApprovalPolicy,
        now: Time,
    ) -> Result<bool> {
        let mut seen = self.clone().seen_under(policy);
        let revision = seen.revision;
        seen.check_revision(ballot.revision)?;
        may_vote(voter, &seen.policy)?;
        let mut votes = 1;
        // A vote of who may not vote any more neither counts nor stands in the way: of a revoked key, to its holder.
        for vote in seen.counted().filter(|it| may_vote(it.actor, &seen.policy).is_ok()) {
            if is_voter(vote.actor)? {
                return Err(ClientRefusal::AlreadyVoted.into());
            }
            votes += 1;
        }

        seen.votes.push(Vote { actor: voter, at: now, note: ballot.note, revision });
        *self = seen;
        Ok(votes >= self.policy.needed(self.amount))
    }
}

/// Refuses `revision_stale` to whoever decides over another revision than the one that waits.
pub fn check_revision(current: u32, looked_at: u32) -> Result<()> {
    if current == looked_at {
        return Ok(());
    }
    Err(ClientRefusal::RevisionStale { current_revision: current }.into())
}

/// A version, as the revision of what waits.
pub fn revision_of(version: u64) -> u32 {
    u32::try_from(version).unwrap_or(u32::MAX)
}

/// Who has to agree, and who did.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ApprovalOut {
    /// What a vote names. Grows when the rules, or what is voted on, change: earlier votes are void then.
    revision: u32,
    approvals_needed: u32,
    /// The committee that decides over this much has nobody in it who is active: until that, or the rules, change,
    /// nobody can agree.
    blocked: bool,
    votes: Vec<VoteOut>,
}

impl ApprovalOut {
    pub fn of(approval: &Approval) -> ApprovalOut {
        ApprovalOut {
            revision: approval.revision,
            approvals_needed: approval.policy.needed(approval.amount),
            blocked: approval.policy.is_blocked(approval.amount),
            votes: VoteOut::all(approval),
        }
    }
}

/// Somebody's approval.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VoteOut {
    actor: Actor,
    at: Time,
    note: Option<String>,
    revision: u32,
    /// Whether it was cast under the rules in force, for what is to be done now. Whether whoever cast it may still vote
    /// is asked with the last one.
    counts: bool,
}

impl VoteOut {
    pub fn all(approval: &Approval) -> Vec<VoteOut> {
        let out = |vote: &Vote| {
            let Vote { actor, at, note, revision } = vote.clone();
            VoteOut { actor, at, note, revision, counts: revision == approval.revision }
        };
        approval.votes.iter().map(out).collect()
    }
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

    fn policy(approvals: u32) -> ApprovalPolicy {
        ApprovalPolicy {
            automatic: Automatic::Never,
            one_person_up_to: None,
            approvals,
            committee: None,
            revision: 0,
        }
    }

    /// Persons 1 and 11 are one, and so are 2 and 12.
    fn cast(approval: &mut Approval, voter: u8, revision: u32, policy: ApprovalPolicy) -> String {
        let is_voter = |it: Actor| Ok((1..30).any(|n| it == who(n) && n % 10 == voter % 10));
        let may_vote = |it: Actor, policy: &ApprovalPolicy| policy.check_voter(usd(5), it, &[]);
        let ballot = Ballot { revision, note: None };
        match approval.cast(who(voter), is_voter, may_vote, ballot, policy, Time::ZERO) {
            Ok(enough) => enough.to_string(),
            Err(refused) => refused.code().unwrap().to_owned(),
        }
    }

    #[test]
    fn so_many_people_have_to_agree_and_each_counts_once() {
        let mut approval = Approval::under(policy(3), usd(5));
        assert_eq!(cast(&mut approval, 1, 1, policy(3)), "false");
        assert_eq!(cast(&mut approval, 11, 1, policy(3)), "already_voted");
        assert_eq!(cast(&mut approval, 2, 2, policy(3)), "revision_stale");
        assert_eq!(cast(&mut approval, 2, 1, policy(3)), "false");
        assert_eq!(cast(&mut approval, 3, 1, policy(3)), "true");
        assert_eq!(approval.votes.len(), 3);
    }

    #[test]
    fn votes_under_other_rules_are_void_also_when_those_come_back() {
        let mut approval = Approval::under(policy(2), usd(5));
        assert_eq!(cast(&mut approval, 1, 1, policy(2)), "false");
        assert_eq!(cast(&mut approval, 2, 1, policy(3)), "revision_stale");
        assert_eq!(approval.revision, 1, "what is refused changes nothing");
        assert_eq!(cast(&mut approval, 2, 2, policy(3)), "false");
        assert_eq!(cast(&mut approval, 1, 3, policy(2)), "false");
        assert_eq!(cast(&mut approval, 2, 3, policy(2)), "true");
    }

    #[test]
    fn who_left_the_committee_does_not_count_and_nobody_in_it_blocks() {
        let of = |members: &[u8], approvals| ApprovalPolicy {
            committee: Some(Committee { members: members.iter().map(|it| who(*it)).collect(), role: None }),
            ..policy(approvals)
        };
        let mut approval = Approval::under(of(&[1, 2], 2), usd(5));
        assert_eq!(cast(&mut approval, 3, 1, of(&[1, 2], 2)), "not_on_committee");
        assert_eq!(cast(&mut approval, 1, 1, of(&[1, 2], 2)), "false");
        assert_eq!(cast(&mut approval, 2, 2, of(&[], 2)), "not_on_committee");
        assert!(ApprovalOut::of(&approval.clone().seen_under(of(&[], 2))).blocked);
        assert_eq!(cast(&mut approval, 2, 1, of(&[1, 2], 2)), "true");
    }
}
