//! Another e-mail address: whoever reads it can choose the password, and confirms where money goes.
//!
//! ```text
//! users/{id} email ─► pending_email ── what was mailed to it comes back (auth/email/verify) ─► the address
//!                       the old one: told                                                       the old one: told
//! ```
//!
//! Until then the old address signs in and is written to; afterwards no password is chosen by mail, and no withdrawal
//! and no beneficiary confirmed, for as long as a new beneficiary has to cool. Otherwise staff, or whoever got hold of a
//! session, would give the account an address of their own and confirm with it what they ask for. Of somebody who
//! decides over requests, staff change the address two at a time: see `access/`.
//!
//! Where no mail is configured nothing depends on what an address can read: staff change it at once, and users not at
//! all.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    access::Asked,
    contract::{User, UserRefusal},
    events::{UserEmailChangeRequested, UserEmailChanged},
    repository::{BY_EMAIL, USERS},
    service::Users,
};
use crate::{
    kernel::{
        api::{
            call::{Caller, Reach},
            principal::{Actor, ClientId, UserId, is_approving},
        },
        error::{Result, fault},
        events::event::EventId,
        store::{ReadTx, WriteTx},
    },
    modules::notification::events::{check_mails_secrets, mails_secrets},
};

impl Users {
    /// Asks for another address; the one it has ends what was asked for. Refuses `mail_not_configured` (to the user
    /// itself), `permission_escalation`, `email_taken` (to staff: to others only whoever reads the address is told).
    pub fn change_email(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: UserId,
        email: &str,
    ) -> Result<()> {
        let before = self.row(tx, client, id)?;
        let asked = Asked::Email { user: id, email: email.to_owned() };
        self.withdraw_access(tx, caller, client, &asked)?;
        if email == before.email {
            let mut after = before.clone();
            after.pending_email = None;
            return self.change(tx, client, id, &before, &mut after);
        }
        if caller.reach == Reach::Own(id) {
            check_mails_secrets(tx)?;
            return self.ask_for_email(tx, caller, client, id, email.to_owned());
        }
        // Whoever decides the address can one day sign in as its owner.
        self.check_grantable(tx, caller, client, &before.roles)?;
        self.check_free(tx, client, email)?;

        let is_own = caller.actor() == Actor::User(id);
        let decides = self.permissions_of(tx, client, id)?.iter().any(|it| is_approving(it));
        if decides && !is_own && self.has_had_pair(tx, client)? {
            return self.propose_access(tx, caller, client, asked);
        }
        self.ask_for_email(tx, caller, client, id, email.to_owned())
    }

    /// Lets the address be confirmed by whoever reads it; where no mail is configured, it is the user's at once. Refuses
    /// `email_taken`.
    pub fn ask_for_email(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user_id: UserId,
        email: String,
    ) -> Result<()> {
        let before = self.row(tx, client, user_id)?;
        let mut after = before.clone();
        after.pending_email = Some(email);
        self.change(tx, client, user_id, &before, &mut after)?;
        if mails_secrets(tx)? {
            return tx.publish(caller, &UserEmailChangeRequested { user_id }).map(drop);
        }
        self.move_to_pending_email(tx, caller, client, user_id).map(drop)
    }

    /// Refuses `email_taken`.
    pub fn move_to_pending_email(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user_id: UserId,
    ) -> Result<(User, EventId)> {
        let before = self.row(tx, client, user_id)?;
        let mut after = before.clone();
        let pending = after.pending_email.take();
        let email = pending.ok_or_else(|| fault!("{user_id} is to have no other address"))?;
        self.check_free(tx, client, &email)?;

        (after.email, after.email_changed_at) = (email, Some(tx.now()));
        self.change(tx, client, user_id, &before, &mut after)?;
        let event = tx.publish(caller, &UserEmailChanged { user_id })?;
        Ok((after.into_user(user_id), event))
    }

    /// Refuses `email_changed_lately`.
    pub fn check_settled(&self, tx: &ReadTx, client: ClientId, user: UserId) -> Result<()> {
        let Some(changed_at) = self.row(tx, client, user)?.email_changed_at else { return Ok(()) };
        let hours = self.clients.get(tx, client)?.settings.withdrawal.beneficiary_cooling_hours;
        let until = changed_at.after(Duration::from_secs(3600 * u64::from(hours)));
        if tx.now() >= until { Ok(()) } else { Err(UserRefusal::EmailChangedLately { until }.into()) }
    }

    /// What a user's roles allow, whatever its state.
    pub fn permissions_of(
        &self,
        tx: &ReadTx,
        client: ClientId,
        user: UserId,
    ) -> Result<Arc<BTreeSet<String>>> {
        self.roles.permissions(tx, client, &self.row(tx, client, user)?.roles)
    }

    fn check_free(&self, tx: &ReadTx, client: ClientId, email: &str) -> Result<()> {
        match tx.find(&USERS, BY_EMAIL, &(client, email.to_owned()))? {
            Some(_) => Err(UserRefusal::EmailTaken.into()),
            None => Ok(()),
        }
    }
}
