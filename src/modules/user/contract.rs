//! What other modules may ask of users.

pub use super::{
    access::AccessProposalId,
    fields::{Email, PersonName, Phone, Tier},
    passwords::{PasswordFor, check_password},
};
use crate::{
    kernel::{
        api::{
            call::Caller,
            input::{Metadata, text_enum},
            object::{ExternalId, Stamp, object, stamped},
            principal::{Actor, ClientId, Grants, UserId},
        },
        clock::Time,
        error::{Result, fault, refusals},
        events::event::EventId,
        machine::ChangeOut,
        money::{Amount, CurrencyCode},
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::{
            Approval, ApprovalOperation, ApprovalPolicy, Ballot, ClientContract, ClientRefusal, Motion,
        },
        role::contract::RoleId,
    },
};

text_enum! {
    /// What a user may do at all.
    pub enum UserStatus {
        Active = "active",
        /// Its sessions have ended, it does not sign in, and nothing is paid out. Credits go on.
        Frozen = "frozen",
        /// The same, and nothing is credited either.
        Disabled = "disabled",
    }
}

/// The tier of a user who was given none.
pub const STANDARD_TIER: &str = "standard";

/// A customer or a member of staff of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    pub id: UserId,
    /// Lower case; unique in the client.
    pub email: String,
    /// The address it is to have, once whoever reads that one says so.
    pub pending_email: Option<String>,
    pub first_name: String,
    pub last_name: String,
    pub phone: Option<String>,
    pub status: UserStatus,
    pub roles: Vec<RoleId>,
    /// What fees and limits it has: [`STANDARD_TIER`] until staff say otherwise.
    pub tier: String,
    /// What others give when they register; unique in the client.
    pub referral_code: String,
    pub referred_by: Option<UserId>,
    pub stamp: Stamp,
}
stamped!(User);

impl User {
    /// Whether somebody with this address and telephone number may well be the same person: the address but for what
    /// follows a `+`, or the digits of the number, are its own.
    pub fn looks_like(&self, email: &str, phone: Option<&str>) -> bool {
        let mailbox = |email: &str| match email.split_once('@') {
            Some((name, host)) => {
                let name = name.split('+').next().unwrap_or_default();
                format!("{name}@{host}").to_lowercase()
            }
            None => email.to_lowercase(),
        };
        let digits = |phone: &str| phone.chars().filter(char::is_ascii_digit).collect::<String>();
        let number = self.phone.as_deref().map(digits).filter(|it| !it.is_empty());
        mailbox(&self.email) == mailbox(email) || number.is_some() && number == phone.map(digits)
    }
}

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub phone: Option<String>,
    /// Empty: the built-in role `user`. Of those that let it decide over requests, a second person is asked.
    pub roles: Vec<RoleId>,
    /// Who gives the roles, when it is not the caller.
    pub roles_by: Option<Actor>,
    /// As made by `kernel::password`; without one the user cannot sign in.
    pub password_hash: Option<String>,
    pub referral_code: Option<String>,
    pub external_id: Option<ExternalId>,
    pub metadata: Metadata,
}

/// Whether the second of two tiers lets more through than the first, or costs less.
pub type TierJudge = Box<dyn Fn(&ReadTx, ClientId, &str, &str) -> Result<bool> + Send + Sync>;

/// The people of a client.
pub trait UserContract: Send + Sync {
    fn find(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<Option<User>>;

    /// The user. Refuses `not_found`, the same for another client's.
    fn get(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User>;

    /// Whatever the spelling of the address: case and surrounding spaces do not matter.
    fn find_by_email(&self, tx: &ReadTx, client: ClientId, email: &str) -> Result<Option<User>>;

    /// Those who have a role, oldest first, at most `limit`; active or not.
    fn with_role(&self, tx: &ReadTx, client: ClientId, role: RoleId, limit: usize) -> Result<Vec<User>>;

    /// Whether anybody who has a role is active.
    fn has_active(&self, tx: &ReadTx, client: ClientId, role: RoleId) -> Result<bool> {
        let all = self.with_role(tx, client, role, usize::MAX)?;
        Ok(all.iter().any(|it| it.status == UserStatus::Active))
    }

    /// Makes a user and announces `user.registered`. Refuses `referral_unknown`, `self_referral`,
    /// `email_taken`, `external_id_taken`.
    fn create(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, new: NewUser) -> Result<User>;

    /// The user, when money may leave its accounts. Refuses `not_found`, `user_not_active`, `user_owes`.
    fn check_may_pay(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User> {
        let user = self.get(tx, client, user)?;
        match user.status {
            UserStatus::Active => {}
            user_status => return Err(UserRefusal::UserNotActive { user_status }.into()),
        }
        match self.owes(tx, client, user.id)?.first() {
            Some(currency) => Err(UserRefusal::UserOwes { currency: *currency }.into()),
            None => Ok(user),
        }
    }

    /// The currencies of which the user has less than nothing. Doubles know of no debts.
    fn owes(&self, _tx: &ReadTx, _client: ClientId, _user: UserId) -> Result<Vec<CurrencyCode>> {
        Ok(vec![])
    }

    /// Said by the ledger: of this currency the user has less than nothing from now on, or no longer. Doubles need not
    /// know.
    fn note_debt(
        &self,
        _tx: &mut WriteTx,
        _client: ClientId,
        _user: UserId,
        _currency: CurrencyCode,
        _owes: bool,
    ) -> Result<()> {
        Ok(())
    }

    /// The user, when money may come to its accounts: a frozen one may receive. Refuses as above.
    fn check_may_receive(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User> {
        let user = self.get(tx, client, user)?;
        match user.status {
            UserStatus::Disabled => Err(UserRefusal::UserNotActive { user_status: user.status }.into()),
            _ => Ok(user),
        }
    }

    /// Stops money from leaving the accounts of an active user, by itself, for a reason its staff can read. Staff end
    /// it. False when it is not stopped now: it is frozen already; or disabled, and frozen once it is enabled; or the
    /// last active admin, who could not end it. Doubles need not know.
    fn freeze(
        &self,
        _tx: &mut WriteTx,
        _caller: &Caller,
        _client: ClientId,
        user: UserId,
        _reason: &str,
    ) -> Result<bool> {
        Err(fault!("{user} cannot be frozen here"))
    }

    /// What somebody may do now; `None` when it is out of office: a user that is not active, a key that opens no more.
    /// Operators, and the machine itself, may do anything. Doubles know of no roles, and no keys.
    fn grants_of(&self, tx: &ReadTx, client: ClientId, actor: Actor) -> Result<Option<Grants>> {
        match actor {
            Actor::User(user) => {
                let user = self.find(tx, client, user)?.filter(|it| it.status == UserStatus::Active);
                Ok(user.map(|_| Grants::All))
            }
            Actor::Key(_) | Actor::Operator(_) | Actor::System => Ok(Some(Grants::All)),
        }
    }

    /// Refuses `not_on_committee` to whoever has no vote on this much under the policy.
    fn check_voter(
        &self,
        tx: &ReadTx,
        client: ClientId,
        voter: Actor,
        (policy, amount): (&ApprovalPolicy, Amount),
    ) -> Result<()> {
        let roles = match voter {
            Actor::User(user) if policy.committee_for(amount).is_some() => {
                self.find(tx, client, user)?.map(|it| it.roles).unwrap_or_default()
            }
            _ => vec![],
        };
        policy.check_voter(amount, voter, &roles)
    }

    /// Whether a committee decides over this much that nobody is in, or nobody in office.
    fn is_blocked(
        &self,
        tx: &ReadTx,
        client: ClientId,
        (policy, amount): (&ApprovalPolicy, Amount),
    ) -> Result<bool> {
        let Some(committee) = policy.committee_for(amount) else { return Ok(false) };
        for member in &committee.members {
            let is_in_office = match member {
                Actor::User(user) => {
                    self.find(tx, client, *user)?.is_some_and(|it| it.status == UserStatus::Active)
                }
                Actor::Key(_) | Actor::Operator(_) | Actor::System => true,
            };
            if is_in_office {
                return Ok(false);
            }
        }
        committee.role.map_or(Ok(true), |role| Ok(!self.has_active(tx, client, role)?))
    }

    /// What people think of something, as it is to be shown: under the rules of now.
    fn seen(
        &self,
        tx: &ReadTx,
        clients: &dyn ClientContract,
        client: ClientId,
        operation: ApprovalOperation,
        approval: &Approval,
    ) -> Result<Approval> {
        let policy = clients.approval_policy(tx, client, operation)?;
        let is_blocked = self.is_blocked(tx, client, (&policy, approval.amount))?;
        let seen = approval.clone().seen_under(policy);
        Ok(if is_blocked { seen.shown_blocked() } else { seen })
    }

    /// Counts the caller's vote on a motion, under the rules of now. Refuses, in this order: `self_approval` (whoever
    /// is concerned), `revision_stale`, `not_on_committee`, `already_voted`. True when it was the last one needed: the
    /// earlier ones count as far as their voters would still have one.
    fn vote(
        &self,
        tx: &ReadTx,
        clients: &dyn ClientContract,
        caller: &Caller,
        motion: Motion<'_>,
        approval: &mut Approval,
        ballot: Ballot,
    ) -> Result<bool> {
        let client = caller.client()?;
        for other in motion.concerned {
            clients.check_other(tx, client, caller, *other)?;
        }
        let policy = clients.approval_policy(tx, client, motion.operation)?;
        let is_voter = |it| clients.same_person(tx, client, caller.actor(), it);
        let amount = approval.amount;
        // Asked of earlier voters too: who is out of office meanwhile, or may do less, or holds a key with somebody
        // concerned, has none.
        let may_vote = |it, policy: &_| {
            self.check_voter(tx, client, it, (policy, amount))?;
            for other in motion.concerned {
                if clients.same_person(tx, client, it, *other)? {
                    return Err(ClientRefusal::SelfApproval.into());
                }
            }
            match self.grants_of(tx, client, it)? {
                Some(grants) if grants.has(motion.operation.permission()) => Ok(()),
                _ => Err(ClientRefusal::NotOnCommittee.into()),
            }
        };
        approval.cast(caller.actor(), is_voter, may_vote, ballot, policy, tx.now())
    }

    /// Whoever knows what tiers mean says when a change of one loosens a control. Without a judge each does. Doubles
    /// need not know.
    fn judge_tiers(&self, _judge: TierJudge) {}

    /// The user has the address it was to have: whoever reads that one has said so. Announces `user.email_changed`.
    /// Refuses `email_taken`. Doubles need not know.
    fn confirm_email(
        &self,
        _tx: &mut WriteTx,
        _caller: &Caller,
        _client: ClientId,
        user: UserId,
    ) -> Result<(User, EventId)> {
        Err(fault!("{user} gets no other address here"))
    }

    /// Refuses `email_changed_lately` while the address is too new to choose a password by, or to confirm where money
    /// goes: for as long as a new beneficiary has to cool. Doubles need not know.
    fn check_email_settled(&self, _tx: &ReadTx, _client: ClientId, _user: UserId) -> Result<()> {
        Ok(())
    }

    /// The hash of the password; `None` when none was ever set.
    fn password_hash(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<Option<String>>;

    fn set_password_hash(&self, tx: &mut WriteTx, client: ClientId, user: UserId, hash: String)
    -> Result<()>;

    /// The user as it is shown to itself.
    fn show(&self, tx: &ReadTx, client: ClientId, user: User) -> Result<UserOut>;
}

object! {
    /// A customer or a member of staff.
    #[derive(Debug)]
    pub struct UserOut: "user" of (
        id: UserId, user: &User, role_names: Vec<String>, history: Option<Vec<ChangeOut>>,
        access_proposals: Option<Vec<AccessProposalId>>, proposed: Option<ProposedTierOut>,
    ) {
        status: UserStatus = user.status,
        email: String = user.email.clone(),
        /// The address it is to have, once that is confirmed with what was mailed to it. Until then the one before signs
        /// in, and is written to.
        pending_email: Option<String> = user.pending_email.clone(),
        first_name: String = user.first_name.clone(),
        last_name: String = user.last_name.clone(),
        phone: Option<String> = user.phone.clone(),
        /// The names of its roles.
        roles: Vec<String> = role_names,
        /// What of it waits for a second person: its roles, its address. Shown to staff and keys.
        #[serde(skip_serializing_if = "Option::is_none")]
        access_proposals: Option<Vec<AccessProposalId>> = access_proposals,
        /// What fees and limits it has.
        tier: String = user.tier.clone(),
        /// A tier with more, or for less, that waits until somebody else agrees. Shown to staff and keys.
        #[serde(skip_serializing_if = "Option::is_none")]
        proposed_tier: Option<ProposedTierOut> = proposed,
        /// What others give when they register.
        referral_code: String = user.referral_code.clone(),
        referred_by: Option<UserId> = user.referred_by,
        /// Shown to staff and keys, not to the user: a reason may be none of its business.
        #[serde(skip_serializing_if = "Option::is_none")]
        status_history: Option<Vec<ChangeOut>> = history,
    }
}

/// A tier that waits until somebody else agrees.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ProposedTierOut {
    pub tier: String,
    pub proposed_by: Actor,
    pub proposed_at: Time,
    /// What a decision names: every proposal has another.
    pub revision: u32,
}

refusals! {
    /// What User refuses.
    pub enum UserRefusal {
        /// Somebody of this client has this address.
        EmailTaken: Conflict "email_taken" => "this e-mail address is taken",
        /// The e-mail address of this account is new: whoever had the one before was told, and has time to object. Until
        /// then no password is chosen by mail, and no withdrawal and no beneficiary confirmed.
        EmailChangedLately { until: Time }: Conflict "email_changed_lately"
            => "the e-mail address is new: not before {until}",
        /// A frozen or disabled user pays nothing out. Credits, voids and the expiry of holds go on.
        UserNotActive { user_status: UserStatus }: Unprocessable "user_not_active" => "the user is {user_status}",
        /// What a payer's bank took back was spent: until deposits have made up for it, nothing is paid out,
        /// transferred, invested or swapped, of whatever currency.
        UserOwes { currency: CurrencyCode }: Unprocessable "user_owes" => "the user owes {currency}",
        /// Nobody of this client has this referral code.
        ReferralUnknown: Unprocessable "referral_unknown" => "nobody has this referral code",
        /// The code is that of somebody with the same mailbox or telephone number: nobody brings themselves.
        SelfReferral: Unprocessable "self_referral" => "this referral code is your own",
        /// Whoever proposed this was disabled, or is a key that was revoked, or may do less by now. Propose it anew.
        ProposerGone: Conflict "proposer_gone" => "whoever proposed this may not give it any more",
        /// A client always keeps one active admin.
        LastAdmin: Conflict "last_admin" => "this is the last active admin",
    }
}
