//! Inviting, and becoming a user by it.

use std::{sync::Arc, time::Duration};

use super::{
    repository::{BY_EMAIL, BY_EXTERNAL_ID, BY_HASH, INVITATIONS, Invitation, Outcome},
    routes::{InvitationAcceptIn, InvitationIn, InvitationOut, InvitationQuery},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::Flaw,
            object::{self, Stamp, check_external_id, save},
            page::Page,
            principal::{Actor, ClientId, Grants},
        },
        boot::{Catalogue, Kernel},
        error::Result,
        password,
        secret::{is_token, make_token},
        store::{ReadTx, WriteTx},
    },
    modules::{
        auth::{
            contract::{AuthRefusal, InvitationId},
            events::{InvitationAccepted, InvitationCreated, InvitationRevoked},
            recovery::Recovery,
            routes::TokensOut,
            sign_in::SignIn,
        },
        notification::events::{
            Addressee, Invitation as Words, check_mails_secrets, mail_secret_to_stranger,
        },
        role::contract::{RoleContract, RoleId, RoleRefusal, USER},
        user::contract::{NewUser, PasswordFor, Phone, UserRefusal, UserStatus, check_password},
    },
};

const TOKEN: &str = "ivn_";
const LASTS_HOURS: u32 = 7 * 24;
const LONGEST_HOURS: u32 = 30 * 24;

pub struct Invitations {
    pub roles: Arc<dyn RoleContract>,
    pub recovery: Arc<Recovery>,
    pub sign_in: Arc<SignIn>,
    pub catalogue: Catalogue,
}

impl Invitations {
    /// Refuses `role_unknown`, `permission_escalation`, `email_taken`, `external_id_taken`, `mail_not_configured`.
    pub fn invite(&self, tx: &mut WriteTx, call: &Call<(), InvitationIn>) -> Result<InvitationOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let hours = input.expires_in_hours.unwrap_or(LASTS_HOURS);
        if !(1..=LONGEST_HOURS).contains(&hours) {
            let message = format!("must be from 1 to {LONGEST_HOURS}");
            return Err(Flaw::new("expires_in_hours", "out_of_range", message).into());
        }
        let roles = self.read_roles(tx, client, input.roles.as_deref().unwrap_or_default())?;
        self.roles.check_grantable(tx, caller, client, &roles)?;
        let email = input.email.as_str().to_owned();
        if self.sign_in.users.find_by_email(tx, client, &email)?.is_some() {
            return Err(UserRefusal::EmailTaken.into());
        }
        check_external_id(tx, &INVITATIONS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        check_mails_secrets(tx)?;

        if let Some((key, mut before)) = tx.find(&INVITATIONS, BY_EMAIL, &(client, email.clone()))? {
            self.void(tx, caller, key, &mut before)?;
        }
        for role in &roles {
            self.roles.use_role(tx, client, *role)?;
        }
        let token = make_token(TOKEN, tx.random_bytes());
        let (id, expires_at) = (tx.new_id(), tx.now().after(Duration::from_secs(3600 * u64::from(hours))));
        let row = Invitation {
            email,
            first_name: input.first_name.as_str().to_owned(),
            last_name: input.last_name.as_str().to_owned(),
            roles,
            invited_by: caller.actor(),
            hash: self.recovery.secrets.hash(&token),
            expires_at,
            outcome: None,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&INVITATIONS, &(client, id), &row)?;
        self.mail(tx, caller, client, id, &row, token)?;
        self.out(tx, client, id, &row)
    }

    /// Doing it again changes nothing. Refuses `not_found`, `invitation_accepted`.
    pub fn revoke(&self, tx: &mut WriteTx, call: &Call<InvitationId>) -> Result<InvitationOut> {
        let key = (call.caller.client()?, call.path);
        let mut row = found(tx.get(&INVITATIONS, &key)?)?;
        if row.user().is_some() {
            return Err(AuthRefusal::InvitationAccepted.into());
        }

        if row.outcome.is_none() {
            self.void(tx, &call.caller, key, &mut row)?;
        }
        self.out(tx, key.0, key.1, &row)
    }

    /// Hashes the password of somebody who holds a good token. Refuses `invitation_gone`.
    pub async fn hash(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), InvitationAcceptIn>>,
    ) -> Result<String> {
        let (client, input) = (call.caller.client()?, &call.input);
        kernel.limits.unauthenticated(call.caller.ip)?;
        let (_, row) = kernel.store.read(|tx| self.good(tx, client, &input.token))?;
        let whose = PasswordFor { email: &row.email, first_name: &row.first_name, last_name: &row.last_name };
        check_password("password", &input.password, kernel.config.auth.password_min_length, whose)?;
        password::hash(input.password.clone()).await
    }

    /// Whoever holds the token reads the mail: the address is proven. Refuses `invitation_gone`, `email_taken`.
    pub fn accept(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), InvitationAcceptIn>,
        hash: String,
    ) -> Result<TokensOut> {
        let (caller, client, input) = (&call.caller, call.caller.client()?, &call.input);
        let (id, mut row) = self.good(tx, client, &input.token)?;
        let new = NewUser {
            email: row.email.clone(),
            first_name: input.first_name.as_ref().map_or(&*row.first_name, |it| it.as_str()).to_owned(),
            last_name: input.last_name.as_ref().map_or(&*row.last_name, |it| it.as_str()).to_owned(),
            phone: input.phone.as_ref().and_then(Phone::to_option),
            roles: row.roles.clone(),
            roles_by: Some(row.invited_by),
            password_hash: Some(hash),
            referral_code: None,
            external_id: None,
            metadata: Default::default(),
        };
        let user = self.sign_in.users.create(tx, caller, client, new)?;

        row.outcome = Some(Outcome::Accepted(user.id));
        save(tx, &INVITATIONS, &(client, id), &mut row)?;
        self.recovery.prove(tx, caller, client, &user)?;
        tx.publish(caller, &InvitationAccepted { invitation_id: id, user_id: user.id })?;
        self.sign_in.sessions.begin(tx, caller, client, user)
    }

    pub fn show(&self, tx: &ReadTx, call: &Call<InvitationId>) -> Result<InvitationOut> {
        let client = call.caller.client()?;
        let row = found(tx.get(&INVITATIONS, &(client, call.path))?)?;
        self.out(tx, client, call.path, &row)
    }

    pub fn list(&self, tx: &ReadTx, call: &Call<(), InvitationQuery>) -> Result<Page<InvitationOut>> {
        let rows = object::list(tx, call, &INVITATIONS, None)?;
        rows.try_map(|((client, id), row)| self.out(tx, client, id, &row))
    }

    /// The invitation this token accepts. Refuses `invitation_gone`, also when its sender may not give these roles any
    /// more.
    fn good(&self, tx: &ReadTx, client: ClientId, token: &str) -> Result<(InvitationId, Invitation)> {
        let gone = || AuthRefusal::InvitationGone;
        if !token.starts_with(TOKEN) || !is_token(token) {
            return Err(gone().into());
        }
        let row = tx.find(&INVITATIONS, BY_HASH, &self.recovery.secrets.hash(token))?;
        let ((_, id), row) = row.filter(|(key, _)| key.0 == client).ok_or_else(gone)?;
        let is_good = row.outcome.is_none() && row.expires_at > tx.now();
        if !is_good || !self.may_still_give(tx, client, &row)? {
            return Err(gone().into());
        }
        Ok((id, row))
    }

    /// A member of staff who was disabled, frozen or stripped of roles since gives nothing any more. What a key or an
    /// operator gave stands until it is revoked.
    fn may_still_give(&self, tx: &ReadTx, client: ClientId, row: &Invitation) -> Result<bool> {
        let Actor::User(sender) = row.invited_by else { return Ok(true) };
        let Some(sender) = self.sign_in.users.find(tx, client, sender)? else { return Ok(false) };
        if sender.status != UserStatus::Active {
            return Ok(false);
        }
        let mut caller = Caller::system(Some(client));
        caller.principal.actor = row.invited_by;
        caller.principal.grants = Grants::Permissions(self.roles.permissions(tx, client, &sender.roles)?);
        caller.catalogue = self.catalogue.get();
        match self.roles.check_grantable(tx, &caller, client, &row.roles) {
            Ok(()) => Ok(true),
            Err(error) if error.refusal::<RoleRefusal>().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn void(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        key: (ClientId, InvitationId),
        row: &mut Invitation,
    ) -> Result<()> {
        row.outcome = Some(Outcome::Revoked);
        save(tx, &INVITATIONS, &key, row)?;
        tx.publish(caller, &InvitationRevoked { invitation_id: key.1 }).map(drop)
    }

    fn mail(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: InvitationId,
        row: &Invitation,
        code: String,
    ) -> Result<()> {
        let (email, expires_at) = (row.email.clone(), row.expires_at);
        let roles = self.roles.names(tx, client, &row.roles)?;
        let event = tx.publish(caller, &InvitationCreated { invitation_id: id, email, roles, expires_at })?;
        let url = self.recovery.link(tx, client, "accept-invitation", &code)?;
        let to = Addressee {
            id: None,
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            email: row.email.clone(),
        };
        mail_secret_to_stranger(tx, client, event, to, &Words { url, code, expires_at }).map(drop)
    }

    fn out(
        &self,
        tx: &ReadTx,
        client: ClientId,
        id: InvitationId,
        row: &Invitation,
    ) -> Result<InvitationOut> {
        Ok(InvitationOut::of(id, row, self.roles.names(tx, client, &row.roles)?, tx.now()))
    }

    /// Roles by name, each once; the role of everybody unless any is named.
    fn read_roles(&self, tx: &ReadTx, client: ClientId, names: &[String]) -> Result<Vec<RoleId>> {
        let mut roles = vec![];
        for name in names {
            let role = self.roles.by_name(tx, client, name)?;
            if !roles.contains(&role) {
                roles.push(role);
            }
        }
        if roles.is_empty() {
            roles.push(self.roles.by_name(tx, client, USER)?);
        }
        Ok(roles)
    }
}
