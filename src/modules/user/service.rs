//! The use cases of users.

use std::sync::{Arc, OnceLock};

use super::{
    access::{Asked, Subject, waiting_of},
    contract::{
        NewUser, ProposedTierOut, STANDARD_TIER, TierJudge, User, UserContract, UserOut, UserRefusal,
        UserStatus,
    },
    events::{UserDisabled, UserEnabled, UserFrozen, UserRegistered, UserRolesChanged, UserUnfrozen},
    fields::{Phone, Tier, normalise_email},
    model::{USER, UserEvent, read_referral_code, referral_code},
    repository::{
        BY_EMAIL, BY_EXTERNAL_ID, BY_REFERRAL_CODE, BY_ROLE, CREDENTIALS, Credentials, DEBTS, FREEZES_DUE,
        FreezeDue, TIER_PROPOSALS, TierProposal, USERS, UserRow, counts, put,
    },
    routes::{NewUserIn, UpdateUserIn, UserRolesIn, UserStatisticsOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, Reach, found},
            input::Flaw,
            object::{Stamp, Timed as _, check_external_id},
            principal::{Actor, ClientId, Grants, UserId},
            text::ReasonIn,
        },
        error::{Result, fault},
        events::event::EventId,
        machine::{History, Step},
        money::CurrencyCode,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        client::contract::{ClientContract, ClientRefusal, ProposalDecisionIn, check_revision, revision_of},
        currency::contract::CurrencyContract,
        role::contract::{ADMIN, RoleContract, RoleId, USER as USER_ROLE},
    },
};

pub struct Users {
    pub clients: Arc<dyn ClientContract>,
    pub roles: Arc<dyn RoleContract>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub tiers: OnceLock<TierJudge>,
}

impl Users {
    /// Staff, or a key, makes a user; also one that was frozen, or disabled, where it comes from. A tier with more, or
    /// for less, than everybody has waits until somebody else agrees.
    pub fn create_by_staff(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), NewUserIn>,
        password_hash: Option<String>,
    ) -> Result<UserOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let roles = self.read_roles(tx, client, input.roles.as_deref().unwrap_or_default())?;
        self.check_grantable(tx, &call.caller, client, &roles)?;
        if input.tier.is_some() {
            call.caller.check_may("users.update_any")?;
        }
        let tier = input.tier.as_ref().map_or(STANDARD_TIER, Tier::as_str);
        let tier_waits = self.is_better_tier(tx, client, STANDARD_TIER, tier)?;
        let beginning = Beginning {
            referred_by: self.referrer(tx, client, input)?,
            tier: if tier_waits { STANDARD_TIER } else { tier }.to_owned(),
            stopped: stopped(call)?,
        };
        let new = NewUser {
            email: input.email.as_str().to_owned(),
            first_name: input.first_name.as_str().to_owned(),
            last_name: input.last_name.as_str().to_owned(),
            phone: input.phone.as_ref().and_then(Phone::to_option),
            roles,
            roles_by: None,
            password_hash,
            referral_code: input.referral_code.clone(),
            external_id: input.external_id.clone(),
            metadata: input.metadata.clone(),
        };
        let user = self.make(tx, &call.caller, client, new, beginning)?;
        let row = self.row(tx, client, user.id)?;
        if tier_waits {
            let revision = revision_of(row.stamp.version);
            let proposal =
                TierProposal { tier: tier.to_owned(), by: call.caller.actor(), at: tx.now(), revision };
            tx.put(&TIER_PROPOSALS, &(client, user.id), &proposal)?;
        }
        self.out(tx, client, user.id, row, Reach::Any)
    }

    /// What somebody may change: of oneself the name, the telephone number and the address, of others the rest too. A
    /// new address holds once it is confirmed: see `email.rs`. A tier with more, or for less, waits until somebody else
    /// agrees.
    pub fn update(&self, tx: &mut WriteTx, call: &Call<UserId, UpdateUserIn>) -> Result<UserOut> {
        let (caller, input, id) = (&call.caller, &call.input, call.path);
        let client = caller.client()?;
        caller.may_reach(Some(id))?;
        let before = self.row(tx, client, id)?;
        caller.check_version(before.stamp.version)?;
        let mut after = before.clone();
        if let Some(name) = &input.first_name {
            after.first_name = name.as_str().to_owned();
        }
        if let Some(name) = &input.last_name {
            after.last_name = name.as_str().to_owned();
        }
        if let Some(phone) = &input.phone {
            after.phone = phone.to_option();
        }
        let mut proposed = None;
        if let Some(tier) = input.tier.as_ref().map(|it| it.as_str().to_owned()) {
            match self.is_better_tier(tx, client, &before.tier, &tier)? {
                true => proposed = Some(tier),
                false => after.tier = tier,
            }
        }
        after.stamp.metadata.merge(input.metadata.clone());
        if caller.reach == Reach::Own(id) {
            self.check_own_change(input)?;
        }

        if input.tier.is_some() {
            // Whatever waited is not what is wanted now.
            let forgotten = tx.delete(&TIER_PROPOSALS, &(client, id))?;
            if forgotten || proposed.is_some() {
                self.keep(tx, client, id, &before, &mut after)?;
            } else {
                self.change(tx, client, id, &before, &mut after)?;
            }
        } else {
            self.change(tx, client, id, &before, &mut after)?;
        }
        if let Some(tier) = proposed {
            let revision = revision_of(after.stamp.version);
            let proposal = TierProposal { tier, by: caller.actor(), at: tx.now(), revision };
            tx.put(&TIER_PROPOSALS, &(client, id), &proposal)?;
        }
        if let Some(email) = &input.email {
            self.change_email(tx, caller, client, id, email.as_str())?;
            after = self.row(tx, client, id)?;
        }
        self.out(tx, client, id, after, caller.reach)
    }

    /// Agrees to a tier that somebody else proposed. Refuses `nothing_proposed`, `self_approval` (whoever proposed it,
    /// and whose it is), `revision_stale`.
    pub fn approve_tier(&self, tx: &mut WriteTx, call: &Call<UserId, ProposalDecisionIn>) -> Result<UserOut> {
        let (client, before, proposal) = self.proposed_tier(tx, call)?;
        for concerned in [proposal.by, Actor::User(call.path)] {
            self.clients.check_other(tx, client, &call.caller, concerned)?;
        }
        check_revision(proposal.revision, call.input.revision)?;

        tx.delete(&TIER_PROPOSALS, &(client, call.path))?;
        let mut after = UserRow { tier: proposal.tier, ..before.clone() };
        self.keep(tx, client, call.path, &before, &mut after)?;
        self.out(tx, client, call.path, after, Reach::Any)
    }

    /// Drops a tier that was proposed: anybody may who could have agreed, and whoever proposed it. Refuses
    /// `nothing_proposed`, `revision_stale`.
    pub fn reject_tier(&self, tx: &mut WriteTx, call: &Call<UserId, ProposalDecisionIn>) -> Result<UserOut> {
        let (client, before, proposal) = self.proposed_tier(tx, call)?;
        check_revision(proposal.revision, call.input.revision)?;

        tx.delete(&TIER_PROPOSALS, &(client, call.path))?;
        let mut after = before.clone();
        self.keep(tx, client, call.path, &before, &mut after)?;
        self.out(tx, client, call.path, after, Reach::Any)
    }

    /// Refuses `not_found`, `nothing_proposed`.
    fn proposed_tier<I>(
        &self,
        tx: &ReadTx,
        call: &Call<UserId, I>,
    ) -> Result<(ClientId, UserRow, TierProposal)> {
        let client = call.caller.client()?;
        let row = self.row(tx, client, call.path)?;
        let proposal = tx.get(&TIER_PROPOSALS, &(client, call.path))?;
        Ok((client, row, proposal.ok_or(ClientRefusal::NothingProposed)?))
    }

    /// Whether a user is let do more with the second tier than with the first, or for less.
    fn is_better_tier(&self, tx: &ReadTx, client: ClientId, before: &str, after: &str) -> Result<bool> {
        if before == after {
            return Ok(false);
        }
        self.tiers.get().map_or(Ok(true), |judge| judge(tx, client, before, after))
    }

    /// Freezes, unfreezes, disables or enables.
    pub fn change_status(
        &self,
        tx: &mut WriteTx,
        call: &Call<UserId, ReasonIn>,
        event: UserEvent,
    ) -> Result<UserOut> {
        let (client, user_id) = (call.caller.client()?, call.path);
        let reason: &str = &call.input.reason;
        let before = self.row(tx, client, user_id)?;
        // Nobody shuts out, or lets in, somebody who may do more.
        self.check_grantable(tx, &call.caller, client, &before.roles)?;
        let mut after = before.clone();
        let step = after.history.step(&USER, event, &call.caller, Some(reason), tx.now())?;
        if step == Step::Repeated {
            return self.out(tx, client, user_id, before, Reach::Any);
        }
        self.check_admin_left(tx, client, &before, &after)?;

        self.change(tx, client, user_id, &before, &mut after)?;
        announce(tx, &call.caller, user_id, event, reason.to_owned())?;
        if event == UserEvent::Enable {
            self.freeze_if_due(tx, &call.caller, client, user_id)?;
            after = self.row(tx, client, user_id)?;
        }
        self.out(tx, client, user_id, after, Reach::Any)
    }

    /// What would have frozen a user while it was disabled does now.
    fn freeze_if_due(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, user: UserId) -> Result<()> {
        let Some(due) = tx.get(&FREEZES_DUE, &(client, user))? else { return Ok(()) };
        tx.delete(&FREEZES_DUE, &(client, user))?;
        let mut system = Caller::system(Some(client));
        system.request_id = caller.request_id.clone();
        self.freeze(tx, &system, client, user, &due.reason).map(drop)
    }

    /// Replaces the roles of a user. Those that let it decide over requests wait until a second person agrees.
    pub fn set_roles(&self, tx: &mut WriteTx, call: &Call<UserId, UserRolesIn>) -> Result<UserOut> {
        let (client, user_id) = (call.caller.client()?, call.path);
        let before = self.row(tx, client, user_id)?;
        call.caller.check_version(before.stamp.version)?;
        let roles = self.read_roles(tx, client, &call.input.roles)?;
        if roles.is_empty() {
            return Err(Flaw::new("roles", "required", "must name at least one role").into());
        }
        let (given, taken) = (only_in(&roles, &before.roles), only_in(&before.roles, &roles));
        self.check_grantable(tx, &call.caller, client, &given)?;
        self.check_grantable(tx, &call.caller, client, &taken)?;
        let withheld = self.withheld(tx, client, &before.roles, &roles)?;
        let mut at_once = only_in(&roles, &withheld);
        if at_once.is_empty() {
            at_once.push(self.everybodys(tx, client)?);
        }

        let row = self.put_roles(tx, &call.caller, client, user_id, at_once)?;
        let asked = Asked::Roles { user: user_id, roles };
        match withheld.is_empty() {
            true => self.withdraw_access(tx, &call.caller, client, &asked)?,
            false => self.propose_access(tx, &call.caller, client, asked)?,
        }
        self.out(tx, client, user_id, row, Reach::Any)
    }

    /// Gives a user these roles and no others. Refuses `last_admin`.
    pub fn put_roles(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user_id: UserId,
        roles: Vec<RoleId>,
    ) -> Result<UserRow> {
        let before = self.row(tx, client, user_id)?;
        let (given, taken) = (only_in(&roles, &before.roles), only_in(&before.roles, &roles));
        let mut after = UserRow { roles, ..before.clone() };
        self.check_admin_left(tx, client, &before, &after)?;

        for role in &given {
            self.roles.use_role(tx, client, *role)?;
        }
        self.change(tx, client, user_id, &before, &mut after)?;
        if !given.is_empty() || !taken.is_empty() {
            let given = self.roles.names(tx, client, &given)?;
            let taken = self.roles.names(tx, client, &taken)?;
            tx.publish(caller, &UserRolesChanged { user_id, given, taken })?;
        }
        Ok(after)
    }

    /// Of the caller itself, or of anybody.
    pub fn one(&self, tx: &ReadTx, call: &Call<UserId>) -> Result<UserOut> {
        call.caller.may_reach(Some(call.path))?;
        let client = call.caller.client()?;
        self.out(tx, client, call.path, self.row(tx, client, call.path)?, call.caller.reach)
    }

    pub fn statistics(&self, tx: &ReadTx, call: &Call) -> Result<UserStatisticsOut> {
        let counts = counts(tx, call.caller.client()?)?;
        Ok(UserStatisticsOut {
            object: "user_statistics",
            total: counts.active + counts.frozen + counts.disabled,
            active: counts.active,
            frozen: counts.frozen,
            disabled: counts.disabled,
            active_admins: counts.active_admins,
        })
    }

    pub fn row(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<UserRow> {
        found(tx.get(&USERS, &(client, user))?)
    }

    /// The user as somebody is shown it who reaches it like this.
    pub fn out(
        &self,
        tx: &ReadTx,
        client: ClientId,
        id: UserId,
        row: UserRow,
        reach: Reach,
    ) -> Result<UserOut> {
        let is_staff = reach == Reach::Any;
        let history = is_staff.then(|| row.history.out());
        let mut waiting = vec![];
        if is_staff {
            for subject in [Subject::roles_of(id), Subject::email_of(id)] {
                waiting.extend(waiting_of(tx, client, subject)?.map(|it| it.0));
            }
        }
        let waiting = is_staff.then_some(waiting);
        let role_names = self.roles.names(tx, client, &row.roles)?;
        let proposal = match reach {
            Reach::Any => tx.get(&TIER_PROPOSALS, &(client, id))?,
            Reach::Own(_) => None,
        };
        let proposed = proposal.map(|it| {
            let TierProposal { tier, by, at, revision } = it;
            ProposedTierOut { tier, proposed_by: by, proposed_at: at, revision }
        });
        Ok(UserOut::of(id, &row.into_user(id), role_names, history, waiting, proposed))
    }

    pub fn admin(&self, tx: &ReadTx, client: ClientId) -> Result<RoleId> {
        self.roles.by_name(tx, client, ADMIN)
    }

    /// The role of whoever registers.
    pub fn everybodys(&self, tx: &ReadTx, client: ClientId) -> Result<RoleId> {
        self.roles.by_name(tx, client, USER_ROLE)
    }

    fn check_own_change(&self, input: &UpdateUserIn) -> Result<()> {
        if input.tier.is_some() {
            return Err(Flaw::new("tier", "not_allowed", "is changed by staff").into());
        }
        if !input.metadata.0.is_empty() {
            return Err(Flaw::new("metadata", "not_allowed", "is changed by staff").into());
        }
        Ok(())
    }

    /// Refuses `permission_escalation`. The role that anybody gets by registering may be given by anybody.
    pub fn check_grantable(
        &self,
        tx: &ReadTx,
        caller: &Caller,
        client: ClientId,
        roles: &[RoleId],
    ) -> Result<()> {
        let everybodys = self.everybodys(tx, client)?;
        let others: Vec<RoleId> = roles.iter().filter(|it| **it != everybodys).copied().collect();
        self.roles.check_grantable(tx, caller, client, &others)
    }

    fn check_admin_left(
        &self,
        tx: &ReadTx,
        client: ClientId,
        before: &UserRow,
        after: &UserRow,
    ) -> Result<()> {
        let admin = self.admin(tx, client)?;
        let leaves = before.is_active_admin(admin) && !after.is_active_admin(admin);
        if leaves && counts(tx, client)?.active_admins <= 1 {
            return Err(UserRefusal::LastAdmin.into());
        }
        Ok(())
    }

    /// Roles by name, each once, in the order given.
    fn read_roles(&self, tx: &ReadTx, client: ClientId, names: &[String]) -> Result<Vec<RoleId>> {
        let mut roles = vec![];
        for name in names {
            let role = self.roles.by_name(tx, client, name)?;
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        Ok(roles)
    }

    /// Stores what has changed, as a new version; nothing when nothing has.
    pub fn change(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        before: &UserRow,
        after: &mut UserRow,
    ) -> Result<()> {
        if before == after {
            return Ok(());
        }
        if (before.status(), &before.roles) != (after.status(), &after.roles) {
            self.has_had_pair(tx, client)?; // Noted while both are there.
        }
        if !only_in(&after.roles, &before.roles).is_empty() {
            // Asked for of somebody who was allowed less; whoever agreed to the roles agreed to no other address.
            after.pending_email = None;
        }
        self.keep(tx, client, user, before, after)
    }

    /// Stores it as a new version.
    fn keep(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        before: &UserRow,
        after: &mut UserRow,
    ) -> Result<()> {
        after.touch(tx.now());
        let admin = self.admin(tx, client)?;
        put(tx, (client, user), admin, Some(before), after)
    }

    /// See [`UserContract::create`].
    fn make(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewUser,
        beginning: Beginning,
    ) -> Result<User> {
        // Before the address: where registering does not tell that one is taken, this must not tell it either.
        let referred_by = match &new.referral_code {
            None => beginning.referred_by,
            Some(code) => {
                let referrer = tx.find(&USERS, BY_REFERRAL_CODE, &(client, read_referral_code(code)))?;
                let ((_, id), referrer) = referrer.ok_or(UserRefusal::ReferralUnknown)?;
                let referrer = referrer.into_user(id);
                // Not said to strangers, who would learn whose address a code belongs to; it earns nothing either way.
                let is_stranger = matches!(caller.principal.grants, Grants::Public);
                if !is_stranger && referrer.looks_like(&normalise_email(&new.email), new.phone.as_deref()) {
                    return Err(UserRefusal::SelfReferral.into());
                }
                Some(id)
            }
        };
        let email = normalise_email(&new.email);
        if tx.find(&USERS, BY_EMAIL, &(client, email.clone()))?.is_some() {
            return Err(UserRefusal::EmailTaken.into());
        }
        check_external_id(tx, &USERS, BY_EXTERNAL_ID, client, new.external_id.as_ref())?;
        let admin = self.admin(tx, client)?;
        let withheld = self.withheld(tx, client, &[], &new.roles)?;
        let mut roles = only_in(&new.roles, &withheld);
        if roles.is_empty() {
            roles.push(self.everybodys(tx, client)?);
        }

        let user_id: UserId = tx.new_id();
        for role in &roles {
            self.roles.use_role(tx, client, *role)?;
        }
        let mut history = History::begin(UserStatus::Active, caller, tx.now());
        if let Some((event, reason)) = &beginning.stopped {
            history.step(&USER, *event, caller, Some(reason), tx.now())?;
        }
        let row = UserRow {
            email,
            pending_email: None,
            email_changed_at: None,
            first_name: new.first_name,
            last_name: new.last_name,
            phone: new.phone,
            history,
            roles,
            tier: beginning.tier,
            referral_code: self.new_referral_code(tx, client)?,
            referred_by,
            stamp: Stamp::new(tx, new.external_id.as_ref(), &new.metadata),
        };
        put(tx, (client, user_id), admin, None, &row)?;
        if let Some(hash) = new.password_hash {
            self.set_password_hash(tx, client, user_id, hash)?;
        }
        tx.publish(caller, &UserRegistered { user_id, referred_by })?;
        if let Some((event, reason)) = beginning.stopped {
            announce(tx, caller, user_id, event, reason)?;
        }
        if !withheld.is_empty() {
            let mut giver = caller.clone();
            giver.principal.actor = new.roles_by.unwrap_or(caller.actor());
            self.propose_access(tx, &giver, client, Asked::Roles { user: user_id, roles: new.roles })?;
        }
        Ok(row.into_user(user_id))
    }

    /// Whoever is said to have brought the user, by id. That is what was, so nobody asks whether the two look alike: it
    /// earns nothing when they do. Refuses `referral_unknown`.
    fn referrer(&self, tx: &ReadTx, client: ClientId, input: &NewUserIn) -> Result<Option<UserId>> {
        let Some(referrer) = input.referred_by else { return Ok(None) };
        if input.referral_code.is_some() {
            return Err(Flaw::new("referred_by", "not_allowed", "give this or `referral_code`").into());
        }
        match tx.exists(&USERS, &(client, referrer))? {
            true => Ok(Some(referrer)),
            false => Err(UserRefusal::ReferralUnknown.into()),
        }
    }

    fn new_referral_code(&self, tx: &mut WriteTx, client: ClientId) -> Result<String> {
        // 2^40 codes: a second try is rare, a third one would be news.
        for _ in 0..8 {
            let code = referral_code(tx.random_bytes());
            if tx.find(&USERS, BY_REFERRAL_CODE, &(client, code.clone()))?.is_none() {
                return Ok(code);
            }
        }
        Err(fault!("found no free referral code for {client}"))
    }
}

impl UserContract for Users {
    fn find(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<Option<User>> {
        Ok(tx.get(&USERS, &(client, user))?.map(|row| row.into_user(user)))
    }

    fn get(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<User> {
        found(self.find(tx, client, user)?)
    }

    fn find_by_email(&self, tx: &ReadTx, client: ClientId, email: &str) -> Result<Option<User>> {
        let row = tx.find(&USERS, BY_EMAIL, &(client, normalise_email(email)))?;
        Ok(row.map(|((_, id), row)| row.into_user(id)))
    }

    fn with_role(&self, tx: &ReadTx, client: ClientId, role: RoleId, limit: usize) -> Result<Vec<User>> {
        let rows = tx.scan_index(&USERS, BY_ROLE, Scan::prefix(&(client, role))).take(limit);
        rows.map(|it| it.map(|((_, id), row)| row.into_user(id))).collect()
    }

    fn has_active(&self, tx: &ReadTx, client: ClientId, role: RoleId) -> Result<bool> {
        for row in tx.scan_index(&USERS, BY_ROLE, Scan::prefix(&(client, role))) {
            if row?.1.status() == UserStatus::Active {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn create(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, new: NewUser) -> Result<User> {
        let beginning = Beginning { referred_by: None, tier: STANDARD_TIER.to_owned(), stopped: None };
        self.make(tx, caller, client, new, beginning)
    }

    fn owes(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<Vec<CurrencyCode>> {
        Ok(tx.get(&DEBTS, &(client, user))?.unwrap_or_default().currencies)
    }

    fn note_debt(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        currency: CurrencyCode,
        owes: bool,
    ) -> Result<()> {
        let key = (client, user);
        let mut debts = tx.get(&DEBTS, &key)?.unwrap_or_default();
        debts.currencies.retain(|it| *it != currency);
        if owes {
            debts.currencies.push(currency);
        }
        match debts.currencies.is_empty() {
            true => tx.delete(&DEBTS, &key).map(drop),
            false => tx.put(&DEBTS, &key, &debts),
        }
    }

    fn freeze(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user_id: UserId,
        reason: &str,
    ) -> Result<bool> {
        let before = self.row(tx, client, user_id)?;
        let mut after = before.clone();
        match before.status() {
            UserStatus::Active => {}
            UserStatus::Frozen => return Ok(false),
            UserStatus::Disabled => {
                let due = FreezeDue { reason: reason.to_owned() };
                tx.put(&FREEZES_DUE, &(client, user_id), &due)?;
                return Ok(false);
            }
        }
        after.history.step(&USER, UserEvent::Freeze, caller, Some(reason), tx.now())?;
        if self.check_admin_left(tx, client, &before, &after).is_err() {
            tracing::error!(user.id = %user_id, "{user_id} is the last active admin and was not frozen: {reason}");
            return Ok(false);
        }

        self.change(tx, client, user_id, &before, &mut after)?;
        tx.publish(caller, &UserFrozen { user_id, reason: reason.to_owned() })?;
        Ok(true)
    }

    fn grants_of(&self, tx: &ReadTx, client: ClientId, actor: Actor) -> Result<Option<Grants>> {
        match actor {
            Actor::User(user) => {
                let row = tx.get(&USERS, &(client, user))?.filter(|it| it.status() == UserStatus::Active);
                let Some(row) = row else { return Ok(None) };
                Ok(Some(Grants::Permissions(self.roles.permissions(tx, client, &row.roles)?)))
            }
            Actor::Key(key) => self.clients.key_grants(tx, client, key),
            Actor::Operator(_) | Actor::System => Ok(Some(Grants::All)),
        }
    }

    fn judge_tiers(&self, judge: TierJudge) {
        let _ = self.tiers.set(judge); // Once, at boot.
    }

    fn confirm_email(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user: UserId,
    ) -> Result<(User, EventId)> {
        self.move_to_pending_email(tx, caller, client, user)
    }

    fn check_email_settled(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<()> {
        self.check_settled(tx, client, user)
    }

    fn password_hash(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<Option<String>> {
        Ok(tx.get(&CREDENTIALS, &(client, user))?.map(|it| it.password_hash))
    }

    fn set_password_hash(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        user: UserId,
        password_hash: String,
    ) -> Result<()> {
        let changed_at = tx.now();
        tx.put(&CREDENTIALS, &(client, user), &Credentials { password_hash, changed_at })
    }

    fn show(&self, tx: &ReadTx, client: ClientId, user: User) -> Result<UserOut> {
        let role_names = self.roles.names(tx, client, &user.roles)?;
        Ok(UserOut::of(user.id, &user, role_names, None, None, None))
    }
}

/// How a user begins who is made, not one who registers.
struct Beginning {
    /// Where no code was given.
    referred_by: Option<UserId>,
    tier: String,
    /// What stops it from the first instant on, and why.
    stopped: Option<(UserEvent, String)>,
}

/// Refuses `forbidden`, and a status without a reason.
fn stopped(call: &Call<(), NewUserIn>) -> Result<Option<(UserEvent, String)>> {
    let (event, permission) = match call.input.status {
        None | Some(UserStatus::Active) => return Ok(None),
        Some(UserStatus::Frozen) => (UserEvent::Freeze, "users.freeze"),
        Some(UserStatus::Disabled) => (UserEvent::Disable, "users.disable"),
    };
    call.caller.check_may(permission)?;
    match &call.input.reason {
        Some(reason) => Ok(Some((event, String::from(reason)))),
        None => Err(Flaw::new("reason", "required", "say why it is not active").into()),
    }
}

fn announce(
    tx: &mut WriteTx,
    caller: &Caller,
    user_id: UserId,
    event: UserEvent,
    reason: String,
) -> Result<()> {
    let published = match event {
        UserEvent::Freeze => tx.publish(caller, &UserFrozen { user_id, reason }),
        UserEvent::Unfreeze => tx.publish(caller, &UserUnfrozen { user_id, reason }),
        UserEvent::Disable => tx.publish(caller, &UserDisabled { user_id, reason }),
        UserEvent::Enable => tx.publish(caller, &UserEnabled { user_id, reason }),
    };
    published.map(drop)
}

/// Those of `these` that are not among `others`.
fn only_in(these: &[RoleId], others: &[RoleId]) -> Vec<RoleId> {
    these.iter().filter(|it| !others.contains(it)).copied().collect()
}
