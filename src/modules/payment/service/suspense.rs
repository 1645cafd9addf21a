//! What becomes of money in suspense: one person says whose it is, a second one agrees. It is never swept.

use super::{Case, Payments, Try};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::Flaw,
            object::save,
            principal::{Actor, ClientId, UserId},
            problem::ApiRefusal,
        },
        error::{Result, fault},
        id::Id as _,
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        client::contract::{Approval, ApprovalOperation, ApproveIn, Motion, RejectIn},
        payment::{
            contract::{PaidState, PaymentId, PaymentRefusal, SettlementId},
            dispute::{model::Source, repository::check_undisputed},
            events::SuspenseAssigned,
            model::{Claimant, Place, Settlement, Whose, compare},
            repository::{SETTLEMENTS, SETTLEMENTS_BY_ID, SettlementKey},
            routes::suspense::{AssignIn, SuspenseOut},
        },
        transaction::contract::{EntryType, Record},
        user::contract::{UserRefusal, UserStatus},
    },
};

impl Payments {
    /// The first person says whose it is: nothing is booked yet. Said again it changes nothing.
    ///
    /// Refuses, in this order: `not_found`, `invalid_state_transition`, `payment_disputed`, then of whom it is to become
    /// `not_found`, `not_assignable`, `user_not_active`, `self_approval`.
    pub fn assign(&self, tx: &mut WriteTx, call: &Call<SettlementId, AssignIn>) -> Result<SuspenseOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let whose = match (input.payment_id, input.user_id) {
            (Some(payment), None) => Whose::Payment(payment),
            (None, Some(user)) => Whose::User(user),
            (None, None) => {
                return Err(Flaw::new("payment_id", "required", "or `user_id` is required").into());
            }
            (Some(_), Some(_)) => {
                return Err(Flaw::new("user_id", "not_allowed", "stands beside no `payment_id`").into());
            }
        };
        let (key, mut item) = find(tx, client, call.path)?;
        let said_before =
            item.claimant.as_ref().is_some_and(|it| it.whose == whose && it.by == caller.actor());
        if said_before {
            return Ok(SuspenseOut::of(call.path, &item));
        }
        check_waits(&item, "assign")?;
        check_undisputed(tx, client, key.1, Source::Suspense(key.2))?;
        let user = self.check_assignable(tx, client, &item, whose)?;
        self.check_none_of(tx, caller, client, user)?;

        let reason = String::from(&input.reason);
        let policy = self.clients.approval_policy(tx, client, ApprovalOperation::Suspense)?;
        let approval = Approval::of_version(item.times.version, policy, item.amount);
        item.claimant = Some(Claimant { whose, by: caller.actor(), reason, at: tx.now(), approval });
        save(tx, &SETTLEMENTS, &key, &mut item)?;
        Ok(SuspenseOut::of(call.path, &item))
    }

    /// Somebody else agrees: once enough did, it is booked. Refuses `not_found`, `invalid_state_transition`,
    /// `self_approval`, `payment_disputed`, `not_assignable`, `user_not_active`, `revision_stale`, `not_on_committee`,
    /// `already_voted`.
    pub fn approve_assignment(
        &self,
        tx: &mut WriteTx,
        call: &Call<SettlementId, ApproveIn>,
    ) -> Result<SuspenseOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let (key, mut item) = find(tx, client, call.path)?;
        let Some(mut claimant) = item.claimant.take().filter(|_| item.place == Place::Suspense) else {
            return Err(refused(&item, "approve").into());
        };
        self.clients.check_other(tx, client, caller, claimant.by)?;
        check_undisputed(tx, client, key.1, Source::Suspense(key.2))?;
        let user = self.check_assignable(tx, client, &item, claimant.whose)?;
        self.check_none_of(tx, caller, client, user)?;
        let concerned: Vec<Actor> = [claimant.by].into_iter().chain(user.map(Actor::User)).collect();
        let motion = Motion { operation: ApprovalOperation::Suspense, concerned: &concerned };
        let ballot = (&call.input).into();
        if !self.users.vote(tx, &*self.clients, caller, motion, &mut claimant.approval, ballot)? {
            item.claimant = Some(claimant);
            save(tx, &SETTLEMENTS, &key, &mut item)?;
            return Ok(SuspenseOut::of(call.path, &item));
        }

        match claimant.whose {
            Whose::User(user) => self.give(tx, caller, key, &mut item, user)?,
            Whose::Payment(payment) => self.count(tx, caller, key, &mut item, payment)?,
        }
        let (payment_id, user_id) = match claimant.whose {
            Whose::Payment(payment) => (Some(payment), None),
            Whose::User(user) => (None, Some(user)),
        };
        let event = SuspenseAssigned {
            settlement_id: call.path,
            user_id,
            payment_id,
            amount: item.amount.digits(),
            currency: item.amount.currency().code,
            gateway_id: item.gateway,
            reason: claimant.reason,
        };
        tx.publish(caller, &event)?;
        let (_, item) = find(tx, client, call.path)?;
        Ok(SuspenseOut::of(call.path, &item))
    }

    /// The second person does not agree, or the first thinks better of it: it waits again. Refuses `not_found`,
    /// `invalid_state_transition`, `revision_stale`.
    pub fn reject_assignment(
        &self,
        tx: &mut WriteTx,
        call: &Call<SettlementId, RejectIn>,
    ) -> Result<SuspenseOut> {
        let client = call.caller.client()?;
        let (key, mut item) = find(tx, client, call.path)?;
        self.seen_settlement(tx, client, &mut item)?;
        let Some(claimant) = item.claimant.take().filter(|_| item.place == Place::Suspense) else {
            return Err(refused(&item, "reject").into());
        };
        claimant.approval.check_revision(call.input.revision)?;

        save(tx, &SETTLEMENTS, &key, &mut item)?;
        Ok(SuspenseOut::of(call.path, &item))
    }

    /// Money in suspense as it is to be listed: what people think of it under the rules of now.
    pub fn seen_settlement(&self, tx: &ReadTx, client: ClientId, item: &mut Settlement) -> Result<()> {
        if let Some(claimant) = &mut item.claimant {
            let operation = ApprovalOperation::Suspense;
            claimant.approval = self.users.seen(tx, &*self.clients, client, operation, &claimant.approval)?;
        }
        Ok(())
    }

    /// Money in suspense about which nobody decided yet. Refuses `not_found`, `invalid_state_transition`,
    /// `payment_disputed`.
    pub fn in_suspense(
        &self,
        tx: &ReadTx,
        client: ClientId,
        id: SettlementId,
        event: &str,
    ) -> Result<(SettlementKey, Settlement)> {
        let (key, item) = find(tx, client, id)?;
        check_waits(&item, event)?;
        check_undisputed(tx, client, key.1, Source::Suspense(key.2))?;
        Ok((key, item))
    }

    /// Notes where money that was in suspense is now: whose it was to become is void.
    pub fn move_settlement(&self, tx: &mut WriteTx, key: SettlementKey, place: Place) -> Result<()> {
        let mut item = found(tx.get(&SETTLEMENTS, &key)?)?;
        (item.place, item.claimant) = (place, None);
        save(tx, &SETTLEMENTS, &key, &mut item)
    }

    /// Whose it would become, when it can. Refuses `not_found`, `not_assignable`, `user_not_active`.
    fn check_assignable(
        &self,
        tx: &ReadTx,
        client: ClientId,
        item: &Settlement,
        whose: Whose,
    ) -> Result<Option<UserId>> {
        let not_assignable =
            |reason: &str| Err(PaymentRefusal::NotAssignable { reason: reason.to_owned() }.into());
        match whose {
            Whose::User(user) => {
                let status = self.users.get(tx, client, user)?.status;
                if status == UserStatus::Disabled {
                    return Err(UserRefusal::UserNotActive { user_status: status }.into());
                }
                Ok(Some(user))
            }
            Whose::Payment(payment) => {
                let case = Case::load(tx, client, payment)?;
                if case.payment.amount.currency() != item.amount.currency() {
                    return not_assignable("currency");
                }
                if case.payment.is_over()
                    || case.payment.said.is_some()
                    || case.payment.is_due_to_expire(tx.now())
                {
                    return not_assignable(case.payment.status().to_string().as_str());
                }
                match Try::last(tx, &case)? {
                    Some(attempt) if attempt.row.gateway == item.gateway => Ok(case.payment.user),
                    _ => not_assignable("gateway"),
                }
            }
        }
    }

    /// Refuses `self_approval`: whose money it becomes has no say in it.
    fn check_none_of(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        user: Option<UserId>,
    ) -> Result<()> {
        user.map_or(Ok(()), |it| self.clients.check_other(tx, client, caller, Actor::User(it)))
    }

    /// suspense → the user's available money.
    fn give(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        key: SettlementKey,
        item: &mut Settlement,
        user: UserId,
    ) -> Result<()> {
        let (amount, currency) = (item.amount, item.amount.currency());
        let suspense = Account::house(HouseAccount::Suspense, currency);
        let available = Account::user(user, UserAccount::Available, currency);
        let lines = [Line::lower(suspense, amount), Line::raise(available, amount)];
        let narration = "Payment, found to be yours";
        let new = NewEntry {
            cause: key.2.to_string(),
            description: "From suspense",
            lines: &lines,
            reverses: None,
        };
        let side =
            Record { user, entry_type: EntryType::Credit, amount, category: built_in::PAYMENT, narration };
        let (entry, _) = self.transactions.post(tx, caller, key.0, new, &[side])?;
        (item.place, item.moved_by) = (Place::Assigned, Some(entry));
        save(tx, &SETTLEMENTS, &key, item)
    }

    /// suspense → back to the gateway, and from there to the payment, as if it had come for it.
    fn count(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        key: SettlementKey,
        item: &mut Settlement,
        payment: PaymentId,
    ) -> Result<()> {
        let (amount, currency) = (item.amount, item.amount.currency());
        let suspense = Account::house(HouseAccount::Suspense, currency);
        let clearing = Account::house(HouseAccount::Clearing(item.gateway.bytes()), currency);
        let lines = [Line::lower(suspense, amount), Line::raise(clearing, amount)];
        let new = NewEntry {
            cause: key.2.to_string(),
            description: "From suspense",
            lines: &lines,
            reverses: item.entry,
        };
        self.balance.post(tx, key.0, new)?;
        let mut case = Case::load(tx, key.0, payment)?;
        let missing = || fault!("{payment} has no attempt to count {} for", key.2);
        let mut attempt = Try::last(tx, &case)?.ok_or_else(missing)?;
        tx.delete(&SETTLEMENTS, &key)?;
        (item.payment, item.attempt, item.place, item.entry) = (payment, attempt.id, Place::Waiting, None);
        save(tx, &SETTLEMENTS, &(key.0, payment, key.2), item)?;
        attempt.row.reference = Some(item.reference.clone());
        case.payment.received = case.payment.received.plus(amount)?;
        case.payment.paid_state = compare(case.payment.received, case.payment.amount);
        if matches!(case.payment.paid_state, PaidState::Exact | PaidState::Over) {
            self.credit(tx, caller, &mut case, &mut attempt)?;
        }
        self.finish(tx, caller, &mut case, Some(&mut attempt))
    }
}

fn find(tx: &ReadTx, client: ClientId, id: SettlementId) -> Result<(SettlementKey, Settlement)> {
    let (key, item) = found(tx.find(&SETTLEMENTS, SETTLEMENTS_BY_ID, &(client, id))?)?;
    Ok((key, item))
}

/// Refuses `invalid_state_transition` of what somebody decided about already.
fn check_waits(item: &Settlement, event: &str) -> Result<()> {
    if item.place == Place::Suspense && item.claimant.is_none() {
        return Ok(());
    }
    Err(refused(item, event).into())
}

fn refused(item: &Settlement, event: &str) -> ApiRefusal {
    let allowed: &[&str] = match (item.place, &item.claimant) {
        (Place::Suspense, None) => &["assign", "refund"],
        (Place::Suspense, Some(_)) => &["approve", "reject"],
        _ => &[],
    };
    ApiRefusal::InvalidStateTransition {
        event: event.to_owned(),
        current_status: item.shown_status().to_owned(),
        allowed_events: allowed.iter().map(|it| (*it).to_owned()).collect(),
    }
}
