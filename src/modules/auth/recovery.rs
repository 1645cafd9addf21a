//! What is settled by mail: a forgotten password, and whether an address is its owner's.
//!
//! Nobody who asks learns whether there is an account: the answer is 202, and the same work is done but for what only
//! the owner of the address gets to see. A link begins with the client's web site, else with the installation's public
//! URL; where neither is configured the mail carries the code alone. What the request says of itself (Host, Origin) is
//! the asker's, and goes into no mail.

use std::{sync::Arc, time::Duration};

use super::{
    contract::AuthRefusal,
    events::{
        EmailVerificationRequested, EmailVerified, PasswordChanged, PasswordResetRequested,
        RegistrationRepeated,
    },
    lock::{Account, Lock},
    mail_token::{MailTokens, Purpose, void},
    repository::{PROVEN, Proven, end_sessions},
    routes::recovery::{PasswordResetIn, VerifyIn},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            principal::{ClientId, UserId},
        },
        boot::Kernel,
        error::Result,
        events::event::{Envelope, EventId},
        password,
        secret::Secrets,
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::ClientContract,
        notification::events::{
            Addressee, EmailChangeAnnounced, EmailChangeTold, EmailVerification, PasswordReset, SecretWords,
            check_mails_secrets, mail_secret, mail_secret_to_stranger,
        },
        user::contract::{PasswordFor, User, UserContract, UserStatus, check_password},
    },
};

/// Being told of another address after a week helps nobody.
const TOLD_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

pub struct Recovery {
    pub secrets: Arc<Secrets>,
    pub users: Arc<dyn UserContract>,
    pub clients: Arc<dyn ClientContract>,
    pub tokens: MailTokens,
    /// Of tries to sign in: ends with a reset.
    pub lock: Lock,
    /// Mails of one kind to one address.
    pub throttle: Lock,
    /// `server.public_url`.
    pub public_url: Option<String>,
}

impl Recovery {
    /// Mails a link to choose a new password, if the address is an account's.
    pub fn forgot(&self, tx: &mut WriteTx, caller: &Caller, email: &str) -> Result<()> {
        check_mails_secrets(tx)?; // To everybody alike: it tells nothing of an account.
        let Some(user) = self.addressee(tx, caller, "forgot", email)? else { return Ok(()) };
        let client = caller.client()?;

        let (code, expires_at) = self.tokens.issue(tx, client, Purpose::Reset, user.id, &user.email)?;
        let event = tx.publish(caller, &PasswordResetRequested { user_id: user.id, expires_at })?;
        let url = self.link(tx, client, "reset-password", &code)?;
        self.mail(tx, client, event, &user, &PasswordReset { url, code, expires_at })
    }

    /// Gives the user a new password and ends all its sessions. Whoever reads the mail owns the address, too. Refuses
    /// `mail_token_gone`, `email_changed_lately`.
    pub async fn reset(self: Arc<Self>, kernel: Arc<Kernel>, call: Call<(), PasswordResetIn>) -> Result<()> {
        let Call { caller, input, .. } = call;
        let client = caller.client()?;
        let (it, token) = (self.clone(), input.token.clone());
        let user = kernel.store.write(move |tx| it.look(tx, client, &token)).await?;
        let user = user.ok_or(AuthRefusal::MailTokenGone)?;
        let whose =
            PasswordFor { email: &user.email, first_name: &user.first_name, last_name: &user.last_name };
        check_password("new_password", &input.new_password, kernel.config.auth.password_min_length, whose)?;
        let hash = password::hash(input.new_password).await?;
        let settle = move |tx: &mut WriteTx| {
            let user = self.take(tx, client, Purpose::Reset, &input.token)?;
            self.users.check_email_settled(tx, client, user.id)?;

            self.users.set_password_hash(tx, client, user.id, hash)?;
            end_sessions(tx, client, user.id, None)?;
            self.lock.forget_tries(tx, Account::new(&self.secrets, Some(client), &user.email))?;
            self.prove(tx, &caller, client, &user)?;
            tx.publish(&caller, &PasswordChanged { user_id: user.id }).map(drop)
        };
        kernel.store.write(settle).await
    }

    /// Mails a link to confirm the address, if it is an account's and not confirmed yet.
    pub fn resend(&self, tx: &mut WriteTx, caller: &Caller, email: &str) -> Result<()> {
        check_mails_secrets(tx)?;
        let Some(user) = self.addressee(tx, caller, "resend", email)? else { return Ok(()) };
        let client = caller.client()?;
        if is_proven(tx, client, &user)? {
            return Ok(());
        }
        self.ask_to_verify(tx, caller, client, &user)
    }

    /// Mails a link to confirm the address.
    pub fn ask_to_verify(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        user: &User,
    ) -> Result<()> {
        let (code, expires_at) = self.tokens.issue(tx, client, Purpose::Verify, user.id, &user.email)?;
        let event = tx.publish(caller, &EmailVerificationRequested { user_id: user.id, expires_at })?;
        let url = self.link(tx, client, "verify-email", &code)?;
        self.mail(tx, client, event, user, &EmailVerification { url, code, expires_at })
    }

    /// Mails what another address is confirmed with to that one, and to the one before that this was asked.
    pub fn ask_to_change(&self, tx: &mut WriteTx, envelope: &Envelope, user: UserId) -> Result<()> {
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let user = self.users.get(tx, client, user)?;
        let Some(email) = user.pending_email.clone() else { return Ok(()) };
        let account = Account::of("change", &self.secrets, Some(client), &email);
        if !self.throttle.may_try(tx, account)? {
            return Ok(());
        }
        let (code, expires_at) = self.tokens.issue(tx, client, Purpose::Verify, user.id, &email)?;
        let event = tx.publish(&caller, &EmailVerificationRequested { user_id: user.id, expires_at })?;
        let url = self.link(tx, client, "verify-email", &code)?;
        let words = EmailVerification { url, code, expires_at };
        mail_secret_to_stranger(tx, client, event, Addressee { email, ..Addressee::from(&user) }, &words)?;
        let told = EmailChangeAnnounced { expires_at };
        mail_secret_to_stranger(tx, client, envelope.id, Addressee::from(&user), &told).map(drop)
    }

    /// The user has the address that it was to have; the one before is told.
    fn change_address(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        before: &User,
    ) -> Result<User> {
        let (user, event) = self.users.confirm_email(tx, caller, client, before.id)?;
        void(tx, client, user.id, Purpose::Reset)?;
        let words = EmailChangeTold { expires_at: tx.now().after(TOLD_WITHIN) };
        mail_secret_to_stranger(tx, client, event, Addressee::from(before), &words)?;
        Ok(user)
    }

    /// Notes that the address is its owner's; the one it was to have becomes its own. Refuses `mail_token_gone`,
    /// `email_taken`.
    pub async fn verify(self: Arc<Self>, kernel: Arc<Kernel>, call: Call<(), VerifyIn>) -> Result<User> {
        let Call { caller, input, .. } = call;
        let client = caller.client()?;
        let settle = move |tx: &mut WriteTx| {
            // A wrong guess is kept, so it is no error in here.
            let Some(token) = self.tokens.look(tx, client, Purpose::Verify, &input.token)? else {
                return Ok(None);
            };
            let user = self.users.get(tx, client, token.user)?;
            if user.pending_email.as_ref() == Some(&token.email) && user.status != UserStatus::Disabled {
                self.tokens.take(tx, client, Purpose::Verify, &input.token)?;
                let user = self.change_address(tx, &caller, client, &user)?;
                self.prove(tx, &caller, client, &user)?;
                return Ok(Some(user));
            }
            let user = self.take(tx, client, Purpose::Verify, &input.token)?;
            self.prove(tx, &caller, client, &user)?;
            Ok(Some(user))
        };
        let verified = kernel.store.write(settle).await?;
        Ok(verified.ok_or(AuthRefusal::MailTokenGone)?)
    }

    /// Tells the owner of an address that somebody wanted to register with it.
    pub fn registered_already(&self, tx: &mut WriteTx, caller: &Caller, email: &str) -> Result<()> {
        let Some(user) = self.addressee(tx, caller, "register", email)? else { return Ok(()) };
        let event = RegistrationRepeated { user_id: user.id, ip: caller.ip.to_string() };
        tx.publish(caller, &event).map(drop)
    }

    /// Whose address it is, if a mail may go there now. The try is counted for any address, so that what is counted
    /// tells nobody anything.
    fn addressee(&self, tx: &mut WriteTx, caller: &Caller, why: &str, email: &str) -> Result<Option<User>> {
        let client = caller.client()?;
        let email = email.trim().to_lowercase();
        let account = Account::of(why, &self.secrets, Some(client), &email);
        if !self.throttle.may_try(tx, account)? {
            return Ok(None);
        }
        let user = self.users.find_by_email(tx, client, &email)?;
        Ok(user.filter(|it| it.status == UserStatus::Active))
    }

    fn look(&self, tx: &mut WriteTx, client: ClientId, token: &str) -> Result<Option<User>> {
        match self.tokens.look(tx, client, Purpose::Reset, token)? {
            Some(row) => self.users.find(tx, client, row.user),
            None => Ok(None),
        }
    }

    /// Takes the token. Refuses `mail_token_gone`, also when the user has another address by now, or does not sign in
    /// any more.
    fn take(&self, tx: &mut WriteTx, client: ClientId, purpose: Purpose, token: &str) -> Result<User> {
        let row = self.tokens.take(tx, client, purpose, token)?;
        let user = self.users.find(tx, client, row.user)?;
        let user = user.filter(|it| it.email == row.email && it.status == UserStatus::Active);
        Ok(user.ok_or(AuthRefusal::MailTokenGone)?)
    }

    pub fn prove(&self, tx: &mut WriteTx, caller: &Caller, client: ClientId, user: &User) -> Result<()> {
        void(tx, client, user.id, Purpose::Verify)?;
        if is_proven(tx, client, user)? {
            return Ok(());
        }
        let proven = Proven { email: user.email.clone(), at: tx.now() };
        tx.put(&PROVEN, &(client, user.id), &proven)?;
        tx.publish(caller, &EmailVerified { user_id: user.id }).map(drop)
    }

    pub fn link(&self, tx: &ReadTx, client: ClientId, page: &str, code: &str) -> Result<Option<String>> {
        let branding = self.clients.get(tx, client)?.settings.branding;
        Ok(branding.link(self.public_url.as_deref(), page, code))
    }

    fn mail<W: SecretWords>(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        event: EventId,
        user: &User,
        words: &W,
    ) -> Result<()> {
        if !mail_secret(tx, client, event, user.id, words)? {
            tracing::warn!(
                user.id = %user.id,
                "{} is to get {} by mail, and no mail server is configured (mail.servers)",
                user.id,
                W::EVENT
            );
        }
        Ok(())
    }
}

/// Whether the user has shown that the address it has now is its own.
pub fn is_proven(tx: &ReadTx, client: ClientId, user: &User) -> Result<bool> {
    Ok(tx.get(&PROVEN, &(client, user.id))?.is_some_and(|it| it.email == user.email))
}
