//! The rules for approving: one person tightens them, two loosen them.

use super::{ClientService, inside};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Flaw, Flawed, Named as _},
            object::{Times, save},
            principal::{Actor, ClientId},
        },
        error::Result,
        money::{Amount, AmountText, Currency},
        store::{ReadTx, WriteTx},
    },
    modules::client::{
        approval::{ApprovalOperation, ApprovalPolicy, Automatic, Committee},
        contract::{ClientContract as _, ClientRefusal, ProposalDecisionIn, Settings, check_revision},
        events::ApprovalPolicyChanged,
        model::{PolicyRow, Proposal},
        repository::{CLIENTS, POLICIES, policy_key},
        routes::approvals::{ApprovalPolicyIn, ApprovalPolicyOut, AutomaticKind, CommitteeIn, CommitteeOut},
    },
    modules::role::contract::RoleId,
};

/// How many people may be asked for.
const MOST_PEOPLE: u32 = 5;

impl ClientService {
    /// The rules in force.
    pub fn policy(
        &self,
        tx: &ReadTx,
        client: ClientId,
        settings: &Settings,
        operation: ApprovalOperation,
    ) -> Result<ApprovalPolicy> {
        let policy = ApprovalPolicy::of_settings(settings, operation);
        Ok(match tx.get(&POLICIES, &policy_key(client, operation))? {
            None => policy,
            Some(row) => ApprovalPolicy {
                one_person_up_to: row.one_person_up_to,
                approvals: row.approvals.unwrap_or(policy.approvals),
                committee: row.committee,
                revision: row.revision,
                ..policy
            },
        })
    }

    pub fn show_policy(&self, tx: &ReadTx, call: &Call<ApprovalOperation>) -> Result<ApprovalPolicyOut> {
        self.policy_out(tx, call.caller.client()?, call.path)
    }

    /// New rules: in force at once when they are nowhere looser, otherwise once somebody else agrees. Rules that
    /// waited for that are forgotten. Refuses `stale_version`, `role_unknown`.
    pub fn put_policy(
        &self,
        tx: &mut WriteTx,
        call: &Call<ApprovalOperation, ApprovalPolicyIn>,
    ) -> Result<ApprovalPolicyOut> {
        let (caller, operation) = (&call.caller, call.path);
        let client = caller.client()?;
        let row = self.policy_row(tx, client, operation)?;
        caller.check_version(row.times.version)?;
        let old = self.policy(tx, client, &self.get(tx, client)?.settings, operation)?;
        let currency = self.currencies.default_of(tx, client)?;
        let mut new = read(&call.input, operation, currency)?;
        let committee = call.input.committee.as_ref().map(|it| self.committee(tx, client, it));
        new.committee = committee.transpose()?;
        new.revision = old.revision;

        if new == old {
            return self.propose(tx, client, operation, None);
        }
        if new.is_looser_than(&old) {
            let proposal = Proposal { policy: new, by: caller.actor(), at: tx.now() };
            return self.propose(tx, client, operation, Some(proposal));
        }
        self.adopt(tx, caller, client, operation, new)
    }

    /// Agrees to what somebody else proposed. Refuses `nothing_proposed`, `self_approval`, `revision_stale`.
    pub fn approve_policy(
        &self,
        tx: &mut WriteTx,
        call: &Call<ApprovalOperation, ProposalDecisionIn>,
    ) -> Result<ApprovalPolicyOut> {
        let client = call.caller.client()?;
        let row = self.policy_row(tx, client, call.path)?;
        let revision = row.proposal_revision();
        let Proposal { policy, by, .. } = row.proposed.ok_or(ClientRefusal::NothingProposed)?;
        self.check_other(tx, client, &call.caller, by)?;
        check_revision(revision, call.input.revision)?;

        self.adopt(tx, &call.caller, client, call.path, policy)
    }

    /// Drops what was proposed: anybody may who could have agreed, and whoever proposed it. Refuses
    /// `nothing_proposed`, `revision_stale`.
    pub fn reject_policy(
        &self,
        tx: &mut WriteTx,
        call: &Call<ApprovalOperation, ProposalDecisionIn>,
    ) -> Result<ApprovalPolicyOut> {
        let client = call.caller.client()?;
        let row = self.policy_row(tx, client, call.path)?;
        if row.proposed.is_none() {
            return Err(ClientRefusal::NothingProposed.into());
        }
        check_revision(row.proposal_revision(), call.input.revision)?;
        self.propose(tx, client, call.path, None)
    }

    /// Whether those who have this role decide over some operation by it: now, or once what is proposed is agreed to.
    pub fn has_votes(&self, tx: &ReadTx, client: ClientId, role: RoleId) -> Result<bool> {
        for operation in ApprovalOperation::ALL {
            let Some(row) = tx.get(&POLICIES, &policy_key(client, *operation))? else { continue };
            let proposed = row.proposed.and_then(|it| it.policy.committee);
            if row.committee.iter().chain(&proposed).any(|it| it.role == Some(role)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a change of settings does to the rules. Refuses `needs_second_person` where they would be looser.
    pub fn follow_settings(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        old: &Settings,
        new: &Settings,
    ) -> Result<()> {
        for operation in ApprovalOperation::ALL {
            let before = self.policy(tx, client, old, *operation)?;
            let after = self.policy(tx, client, new, *operation)?;
            if after.is_looser_than(&before) {
                return Err(ClientRefusal::NeedsSecondPerson { operation: *operation }.into());
            }
            if after != before {
                let mut row = self.policy_row(tx, client, *operation)?;
                row.revision += 1;
                row.proposed = None; // It was looked at beside other rules.
                self.keep(tx, client, *operation, row)?;
                let caller = inside(caller, client);
                let event = ApprovalPolicyChanged { client_id: client, operation: operation.to_string() };
                tx.publish(&caller, &event)?;
            }
        }
        Ok(())
    }

    /// Puts rules in force: into the settings and beside them. Votes cast before are void.
    fn adopt(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        operation: ApprovalOperation,
        policy: ApprovalPolicy,
    ) -> Result<ApprovalPolicyOut> {
        let mut owner = found(tx.get(&CLIENTS, &client)?)?;
        policy.write_to(&mut owner.client.settings, operation);
        save(tx, &CLIENTS, &client, &mut owner)?;
        let mut row = self.policy_row(tx, client, operation)?;
        row.one_person_up_to = policy.one_person_up_to;
        row.approvals = (operation != ApprovalOperation::Withdrawal).then_some(policy.approvals);
        row.committee = policy.committee;
        row.revision += 1;
        row.proposed = None;
        self.keep(tx, client, operation, row)?;
        let event = ApprovalPolicyChanged { client_id: client, operation: operation.to_string() };
        tx.publish(caller, &event)?;
        self.policy_out(tx, client, operation)
    }

    fn propose(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        operation: ApprovalOperation,
        proposed: Option<Proposal>,
    ) -> Result<ApprovalPolicyOut> {
        let mut row = self.policy_row(tx, client, operation)?;
        if row.proposed != proposed {
            row.proposed = proposed;
            self.keep(tx, client, operation, row)?;
        }
        self.policy_out(tx, client, operation)
    }

    fn keep(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        operation: ApprovalOperation,
        mut row: PolicyRow,
    ) -> Result<()> {
        save(tx, &POLICIES, &policy_key(client, operation), &mut row)
    }

    /// What is stored beside the settings; of a client that never said anything, nothing.
    fn policy_row(&self, tx: &ReadTx, client: ClientId, operation: ApprovalOperation) -> Result<PolicyRow> {
        if let Some(row) = tx.get(&POLICIES, &policy_key(client, operation))? {
            return Ok(row);
        }
        let times = Times::at(self.get(tx, client)?.times.created_at);
        Ok(PolicyRow {
            approvals: None,
            one_person_up_to: None,
            committee: None,
            revision: 0,
            proposed: None,
            times,
        })
    }

    /// Whom it names. Its role is in use from now on: nobody deletes it. Refuses `role_unknown`.
    fn committee(&self, tx: &mut WriteTx, client: ClientId, input: &CommitteeIn) -> Result<Committee> {
        let (mut members, mut flaws) = (vec![], vec![]);
        for (place, text) in input.members.iter().flatten().enumerate() {
            let user = text.parse().map(Actor::User);
            match user.or_else(|_| text.parse().map(Actor::Key)) {
                Ok(member) if !members.contains(&member) => members.push(member),
                Ok(_) => {}
                Err(_) => {
                    let param = format!("committee.members[{place}]");
                    flaws.push(Flaw::new(&param, "invalid_format", "must be the id of a user or a key"));
                }
            }
        }
        if !flaws.is_empty() {
            return Err(Flawed(flaws).into());
        }
        let role = input.role.as_deref().map(|it| self.roles.by_name(tx, client, it)).transpose()?;
        role.map_or(Ok(()), |it| self.roles.use_role(tx, client, it))?;
        Ok(Committee { members, role })
    }

    pub fn policy_out(
        &self,
        tx: &ReadTx,
        client: ClientId,
        operation: ApprovalOperation,
    ) -> Result<ApprovalPolicyOut> {
        let row = self.policy_row(tx, client, operation)?;
        let policy = self.policy(tx, client, &self.get(tx, client)?.settings, operation)?;
        let currency = self.currencies.default_of(tx, client)?.code;
        let committee = |it: &Option<Committee>| -> Result<Option<CommitteeOut>> {
            let Some(it) = it else { return Ok(None) };
            let role = it.role.map(|role| self.roles.names(tx, client, &[role])).transpose()?;
            Ok(Some(CommitteeOut {
                members: it.members.clone(),
                role: role.and_then(|it| it.into_iter().next()),
            }))
        };
        let (now, next) = (
            committee(&policy.committee)?,
            match &row.proposed {
                Some(it) => committee(&it.policy.committee)?,
                None => None,
            },
        );
        Ok(ApprovalPolicyOut::of(operation, currency, (policy, now), (row, next)))
    }
}

/// What was said, when it fits the operation.
fn read(
    input: &ApprovalPolicyIn,
    operation: ApprovalOperation,
    currency: Currency,
) -> Result<ApprovalPolicy> {
    let amount = |param: &str, it: &Option<AmountText>| -> Result<Option<Amount>> {
        it.as_ref().map(|it| it.not_negative(param, currency)).transpose()
    };
    let limit = amount("automatic_up_to", &input.automatic_up_to)?;
    let one_person_up_to = amount("one_person_up_to", &input.one_person_up_to)?;
    let approvals = input.approvals.unwrap_or(1);
    let mut flaws = vec![];
    let automatic = match (input.automatic, limit) {
        (AutomaticKind::UpTo, Some(limit)) => Automatic::UpTo(limit),
        (AutomaticKind::UpTo, None) => {
            flaws.push(Flaw::new("automatic_up_to", "required", "is required"));
            Automatic::Never
        }
        (kind, limit) => {
            if limit.is_some() {
                flaws.push(Flaw::new("automatic_up_to", "not_allowed", format!("not with {kind}")));
            }
            if kind == AutomaticKind::Always { Automatic::Always } else { Automatic::Never }
        }
    };
    let fits = match operation {
        ApprovalOperation::Withdrawal => automatic != Automatic::Always,
        ApprovalOperation::Payment | ApprovalOperation::Refund => automatic != Automatic::Never,
        ApprovalOperation::Adjustment
        | ApprovalOperation::InvestmentDefault
        | ApprovalOperation::Suspense
        | ApprovalOperation::Access => automatic == Automatic::Never,
    };
    if !fits {
        flaws.push(Flaw::new("automatic", "not_allowed", format!("not for a {operation}")));
    }
    if operation == ApprovalOperation::Access && one_person_up_to.is_some() {
        flaws.push(Flaw::new("one_person_up_to", "not_allowed", "access is no amount"));
    }
    if !(1..=MOST_PEOPLE).contains(&approvals) {
        let message = format!("must be from 1 to {MOST_PEOPLE}");
        flaws.push(Flaw::new("approvals", "out_of_range", message));
    }
    if !flaws.is_empty() {
        return Err(Flawed(flaws).into());
    }
    Ok(ApprovalPolicy { automatic, one_person_up_to, approvals, committee: None, revision: 0 })
}
