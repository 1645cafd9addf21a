//! Proposing, agreeing, and what is given at once.

use super::{
    model::{ACCESS, AccessEvent, AccessProposal, AccessProposalId, AccessStatus, Asked},
    repository::{ACCESS_PROPOSALS, PAIRS, Pair, waiting_of},
    routes::{AccessProposalOut, AccessProposalsQuery},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            object::{Stamp, list, save},
            page::Page,
            principal::{ClientId, Grants, is_approving},
        },
        error::Result,
        events::event::Envelope,
        machine::{History, Step},
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        client::contract::{Approval, ApprovalOperation, ApproveIn, Motion, RejectIn},
        role::{
            contract::{RoleId, RoleRefusal},
            events::RolePermissionsChanged,
        },
        user::{
            contract::{UserContract as _, UserRefusal, UserStatus},
            events::{AccessApproved, AccessProposed, AccessRejected, AccessWithdrawn},
            repository::{BY_ROLE, USERS},
            service::Users,
        },
    },
};

impl Users {
    /// Of the roles a user is to have, those that a second person has to agree to: they let it decide over what it could
    /// not. None while the client has not had its first pair.
    pub fn withheld(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        before: &[RoleId],
        wanted: &[RoleId],
    ) -> Result<Vec<RoleId>> {
        let held = self.roles.permissions(tx, client, before)?;
        let mut withheld = vec![];
        for role in wanted.iter().filter(|it| !before.contains(it)) {
            let given = self.roles.permissions(tx, client, &[*role])?;
            let decides = given.iter().any(|it| is_approving(it) && !held.contains(it));
            if decides || self.clients.is_on_committee(tx, client, *role)? {
                withheld.push(*role);
            }
        }
        if withheld.is_empty() || self.has_had_pair(tx, client)? { Ok(withheld) } else { Ok(vec![]) }
    }

    /// Whether the client has, or had, two active people who decide over requests. Asked before either of them is
    /// shut out, too.
    pub fn has_had_pair(&self, tx: &mut WriteTx, client: ClientId) -> Result<bool> {
        if tx.exists(&PAIRS, &client)? {
            return Ok(true);
        }
        if !self.has_pair(tx, client)? {
            return Ok(false);
        }
        tx.put(&PAIRS, &client, &Pair { since: tx.now() })?;
        Ok(true)
    }

    fn has_pair(&self, tx: &ReadTx, client: ClientId) -> Result<bool> {
        let mut first = None;
        for role in self.roles.approving(tx, client)? {
            for row in tx.scan_index(&USERS, BY_ROLE, Scan::prefix(&(client, role))) {
                let ((_, user), row) = row?;
                if row.status() == UserStatus::Active && *first.get_or_insert(user) != user {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Keeps what was asked for until somebody else agrees, in place of what waited of the same user or role.
    pub fn propose_access(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        asked: Asked,
    ) -> Result<()> {
        self.withdraw_access(tx, caller, client, &asked)?;
        if let Asked::Roles { roles, .. } = &asked {
            roles.iter().try_for_each(|it| self.roles.use_role(tx, client, *it))?;
        }
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Access)?;
        let access_proposal_id: AccessProposalId = tx.new_id();
        let event = AccessProposed {
            access_proposal_id,
            kind: asked.kind().to_string(),
            user_id: asked.user(),
            role_id: asked.role(),
        };
        let row = AccessProposal {
            asked,
            approval: Approval::under(policy, Amount::zero(self.currencies.default_of(tx, client)?)),
            history: History::begin(AccessStatus::Waiting, caller, tx.now()),
            stamp: Stamp::at(tx.now()),
        };
        tx.insert(&ACCESS_PROPOSALS, &(client, access_proposal_id), &row)?;
        tx.publish(caller, &event).map(drop)
    }

    /// Forgets what waits of the same user or role: something else was said of it.
    pub fn withdraw_access(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        asked: &Asked,
    ) -> Result<()> {
        let Some((id, mut row)) = waiting_of(tx, client, asked.subject())? else { return Ok(()) };
        row.history.step(&ACCESS, AccessEvent::Withdraw, caller, None, tx.now())?;
        save(tx, &ACCESS_PROPOSALS, &(client, id), &mut row)?;
        tx.publish(caller, &AccessWithdrawn { access_proposal_id: id }).map(drop)
    }

    /// Somebody said anew what a role allows that people have.
    pub fn role_widened(
        &self,
        tx: &mut WriteTx,
        envelope: &Envelope,
        event: RolePermissionsChanged,
    ) -> Result<()> {
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let asked = Asked::Permissions { role: event.role_id, permissions: event.waiting };
        match &asked {
            Asked::Permissions { permissions, .. } if permissions.is_empty() => {
                self.withdraw_access(tx, &caller, client, &asked)
            }
            Asked::Permissions { role, permissions } if !self.has_had_pair(tx, client)? => {
                self.roles.widen(tx, client, *role, permissions)
            }
            _ => self.propose_access(tx, &caller, client, asked),
        }
    }

    /// Agrees to what somebody else proposed; once enough people did it is in force. Refuses, in this order:
    /// `not_found`, `self_approval`, `permission_escalation`, `proposer_gone`, `revision_stale`, `not_on_committee`,
    /// `already_voted`, `invalid_state_transition`, `last_admin`, `email_taken`.
    pub fn approve_access(
        &self,
        tx: &mut WriteTx,
        call: &Call<AccessProposalId, ApproveIn>,
    ) -> Result<AccessProposalOut> {
        let (caller, client, id) = (&call.caller, call.caller.client()?, call.path);
        let mut row = found(tx.get(&ACCESS_PROPOSALS, &(client, id))?)?;
        let concerned = row.concerned();
        concerned.iter().try_for_each(|it| self.clients.check_other(tx, client, caller, *it))?;
        if row.status() == AccessStatus::Waiting {
            self.check_holds(tx, client, &caller.principal.grants, &row.asked)?;
            let proposer = self.grants_of(tx, client, row.history.creator())?;
            let is_in_office =
                proposer.is_some_and(|it| self.check_holds(tx, client, &it, &row.asked).is_ok());
            if !is_in_office {
                return Err(UserRefusal::ProposerGone.into());
            }
            let motion = Motion { operation: ApprovalOperation::Access, concerned: &concerned };
            if !self.vote(tx, &*self.clients, caller, motion, &mut row.approval, (&call.input).into())? {
                save(tx, &ACCESS_PROPOSALS, &(client, id), &mut row)?;
                return self.access_out(tx, client, id, row);
            }
        }
        if row.history.step(&ACCESS, AccessEvent::Approve, caller, None, tx.now())? == Step::Repeated {
            return self.access_out(tx, client, id, row);
        }

        save(tx, &ACCESS_PROPOSALS, &(client, id), &mut row)?;
        match row.asked.clone() {
            Asked::Roles { user, roles } => drop(self.put_roles(tx, caller, client, user, roles)?),
            Asked::Permissions { role, permissions } => self.roles.widen(tx, client, role, &permissions)?,
            Asked::Email { user, email } => self.ask_for_email(tx, caller, client, user, email)?,
        }
        tx.publish(caller, &AccessApproved { access_proposal_id: id })?;
        self.access_out(tx, client, id, row)
    }

    /// Drops what was proposed. Refuses `not_found`, `revision_stale`, `invalid_state_transition`.
    pub fn reject_access(
        &self,
        tx: &mut WriteTx,
        call: &Call<AccessProposalId, RejectIn>,
    ) -> Result<AccessProposalOut> {
        let (client, id) = (call.caller.client()?, call.path);
        let mut row = found(tx.get(&ACCESS_PROPOSALS, &(client, id))?)?;
        if row.status() == AccessStatus::Waiting {
            self.seen_access(tx, client, &row)?.check_revision(call.input.revision)?;
        }
        let reason: &str = &call.input.reason;
        if row.history.step(&ACCESS, AccessEvent::Reject, &call.caller, Some(reason), tx.now())?
            == Step::Moved
        {
            save(tx, &ACCESS_PROPOSALS, &(client, id), &mut row)?;
            let event = AccessRejected { access_proposal_id: id, reason: reason.to_owned() };
            tx.publish(&call.caller, &event)?;
        }
        self.access_out(tx, client, id, row)
    }

    pub fn access_proposal(&self, tx: &ReadTx, call: &Call<AccessProposalId>) -> Result<AccessProposalOut> {
        let client = call.caller.client()?;
        let row = found(tx.get(&ACCESS_PROPOSALS, &(client, call.path))?)?;
        self.access_out(tx, client, call.path, row)
    }

    pub fn access_proposals(
        &self,
        tx: &ReadTx,
        call: &Call<(), AccessProposalsQuery>,
    ) -> Result<Page<AccessProposalOut>> {
        let rows = list(tx, call, &ACCESS_PROPOSALS, None)?;
        rows.try_map(|((client, id), row)| self.access_out(tx, client, id, row))
    }

    /// Refuses `permission_escalation` to whoever may not do all of what is asked for.
    fn check_holds(&self, tx: &ReadTx, client: ClientId, grants: &Grants, asked: &Asked) -> Result<()> {
        let missing = match asked {
            Asked::Roles { roles, .. } => {
                let given = self.roles.permissions(tx, client, roles)?;
                // What is everybody's own, everybody may give.
                let own = self.roles.permissions(tx, client, &[self.everybodys(tx, client)?])?;
                given.iter().find(|it| !grants.has(it) && !own.contains(*it)).cloned()
            }
            Asked::Permissions { permissions, .. } => permissions.iter().find(|it| !grants.has(it)).cloned(),
            // Who decides the address can one day sign in.
            Asked::Email { user, .. } => {
                let held = self.permissions_of(tx, client, *user)?;
                held.iter().find(|it| !grants.has(it)).cloned()
            }
        };
        match missing {
            Some(permission) => Err(RoleRefusal::PermissionEscalation { permission }.into()),
            None => Ok(()),
        }
    }

    fn seen_access(&self, tx: &ReadTx, client: ClientId, row: &AccessProposal) -> Result<Approval> {
        self.seen(tx, &*self.clients, client, ApprovalOperation::Access, &row.approval)
    }

    fn access_out(
        &self,
        tx: &ReadTx,
        client: ClientId,
        id: AccessProposalId,
        mut row: AccessProposal,
    ) -> Result<AccessProposalOut> {
        if row.status() == AccessStatus::Waiting {
            row.approval = self.seen_access(tx, client, &row)?;
        }
        let roles = match &row.asked {
            Asked::Roles { roles, .. } => Some(self.roles.names(tx, client, roles)?),
            _ => None,
        };
        Ok(AccessProposalOut::of(id, &row, roles))
    }
}
