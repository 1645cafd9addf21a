//! Registering, signing in, changing the password: whatever hashes one.
//!
//! The answer to a wrong password is the same, and takes the same time, whether or not there is such an account: a
//! try is counted, a hash is compared (with a decoy where there is none), and only a right password goes on.

use std::sync::Arc;

use super::{
    contract::AuthRefusal,
    events::PasswordChanged,
    factor::{Factors, Whose},
    lock::{Account, Lock},
    recovery::{Recovery, is_proven},
    routes::{LoginIn, LoginOut, PasswordChangeIn, RegisterIn, TokensOut},
    sessions::{Sessions, own_session},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::Metadata,
            principal::{ClientId, UserId},
        },
        boot::Kernel,
        error::Result,
        password,
        store::{ReadTx, WriteTx},
    },
    modules::user::contract::{
        NewUser, PasswordFor, Phone, User, UserContract, UserRefusal, UserStatus, check_password,
    },
};

pub struct SignIn {
    pub sessions: Arc<Sessions>,
    pub users: Arc<dyn UserContract>,
    pub lock: Lock,
    pub recovery: Arc<Recovery>,
    pub factors: Factors,
    /// Whoever registers gets a mail, and signs in when it has shown that the address is its own.
    pub verify_before_tokens: bool,
}

/// The hash a password was compared with, and that of the one to come.
pub struct Rehashed {
    compared: Option<String>,
    next: String,
}

impl SignIn {
    /// Checks and hashes the password of somebody who registers.
    pub async fn hash_first(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), RegisterIn>>,
    ) -> Result<String> {
        let (client, input) = (call.caller.client()?, &call.input);
        let whose = PasswordFor {
            email: input.email.as_str(),
            first_name: input.first_name.as_str(),
            last_name: input.last_name.as_str(),
        };
        check_password("password", &input.password, kernel.config.auth.password_min_length, whose)?;
        // Found now, it costs no hash; where nobody is to know, it costs the same.
        let taken = |tx: &ReadTx| self.users.find_by_email(tx, client, input.email.as_str());
        if !self.verify_before_tokens && kernel.store.read(taken)?.is_some() {
            kernel.limits.unauthenticated(call.caller.ip)?;
            return Err(UserRefusal::EmailTaken.into());
        }
        password::hash(input.password.clone()).await
    }

    /// Makes a user of somebody unknown, and signs it in.
    pub fn register(&self, tx: &mut WriteTx, call: &Call<(), RegisterIn>, hash: String) -> Result<TokensOut> {
        let client = call.caller.client()?;
        let user = self.create(tx, call, hash)?;
        self.sessions.begin(tx, &call.caller, client, user)
    }

    /// Makes a user of somebody unknown, or tells whoever has the address; which of these, the mail says.
    pub fn register_by_mail(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), RegisterIn>,
        hash: String,
    ) -> Result<()> {
        match self.create(tx, call, hash) {
            Ok(user) => self.recovery.ask_to_verify(tx, &call.caller, call.caller.client()?, &user),
            Err(error) if matches!(error.refusal(), Some(UserRefusal::EmailTaken)) => {
                self.recovery.registered_already(tx, &call.caller, call.input.email.as_str())
            }
            Err(error) => Err(error),
        }
    }

    fn create(&self, tx: &mut WriteTx, call: &Call<(), RegisterIn>, hash: String) -> Result<User> {
        let (client, input) = (call.caller.client()?, &call.input);
        let new = NewUser {
            email: input.email.as_str().to_owned(),
            first_name: input.first_name.as_str().to_owned(),
            last_name: input.last_name.as_str().to_owned(),
            phone: input.phone.as_ref().and_then(Phone::to_option),
            roles: vec![],
            roles_by: None,
            password_hash: Some(hash),
            referral_code: input.referral_code.clone().filter(|it| !it.trim().is_empty()),
            external_id: None,
            metadata: Metadata::default(),
        };
        self.users.create(tx, &call.caller, client, new)
    }

    /// Tokens, or a challenge where there is a second factor.
    pub async fn login(self: Arc<Self>, kernel: Arc<Kernel>, call: Call<(), LoginIn>) -> Result<LoginOut> {
        let Call { caller, input, .. } = call;
        let client = caller.client()?;
        let email = input.email.trim().to_lowercase();
        let account = Account::new(&kernel.secrets, Some(client), &email);
        kernel.limits.sign_in(account.hash)?;
        let it = self.clone();
        let known = kernel.store.write(move |tx| {
            it.lock.begin_try(tx, account)?;
            match it.users.find_by_email(tx, client, &email)? {
                Some(user) => Ok(it.users.password_hash(tx, client, user.id)?.map(|hash| (user.id, hash))),
                None => Ok(None),
            }
        });
        let (user, hash) = known.await?.unzip();
        let is_right = password::verify(input.password, hash.clone()).await?;
        let Some(user) = user.filter(|_| is_right) else {
            return Err(AuthRefusal::BadCredentials.into());
        };
        let begin = move |tx: &mut WriteTx| {
            let user = self.still(tx, client, user, &hash)?;
            self.lock.forget_tries(tx, account)?;
            if self.verify_before_tokens && !is_proven(tx, client, &user)? {
                return Ok(None); // No error in here: that the tries are forgotten is kept.
            }
            let whose = Whose::user(client, user.id);
            if self.factors.is_on(tx, whose)? {
                let hash = hash.as_deref().unwrap_or_default();
                return self.factors.challenge(tx, whose, hash).map(|it| Some(LoginOut::challenge(it)));
            }
            let tokens = self.sessions.begin(tx, &caller, client, user)?;
            Ok(Some(LoginOut::Tokens(Box::new(tokens))))
        };
        Ok(kernel.store.write(begin).await?.ok_or(AuthRefusal::EmailUnverified)?)
    }

    /// Compares the current password and hashes the new one. A wrong one counts as a try to sign in: a stolen session
    /// is no way to guess the password.
    pub async fn rehash(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), PasswordChangeIn>>,
    ) -> Result<Rehashed> {
        let (client, user, _) = own_session(&call.caller)?;
        let input = &call.input;
        let user = kernel.store.read(|tx| self.users.get(tx, client, user))?;
        let whose =
            PasswordFor { email: &user.email, first_name: &user.first_name, last_name: &user.last_name };
        check_password("new_password", &input.new_password, kernel.config.auth.password_min_length, whose)?;
        let compared = self.compare_own(&kernel, client, &user, input.current_password.clone()).await?;
        Ok(Rehashed { compared, next: password::hash(input.new_password.clone()).await? })
    }

    /// The hash that `password` is of. A wrong one counts as a try to sign in. Refuses `bad_credentials`,
    /// `account_locked`.
    pub async fn compare_own(
        self: Arc<Self>,
        kernel: &Kernel,
        client: ClientId,
        user: &User,
        password: String,
    ) -> Result<Option<String>> {
        let (account, user) = (Account::new(&kernel.secrets, Some(client), &user.email), user.id);
        let it = self.clone();
        let compared = kernel.store.write(move |tx| {
            it.lock.begin_try(tx, account)?;
            it.users.password_hash(tx, client, user)
        });
        let compared = compared.await?;
        if !password::verify(password, compared.clone()).await? {
            return Err(AuthRefusal::BadCredentials.into());
        }
        kernel.store.write(move |tx| self.lock.forget_tries(tx, account)).await?;
        Ok(compared)
    }

    /// Gives the user the new password and ends its other sessions.
    pub fn change_password(&self, tx: &mut WriteTx, caller: &Caller, rehashed: Rehashed) -> Result<User> {
        let (client, user, _) = own_session(caller)?;
        let user = self.still(tx, client, user, &rehashed.compared)?;

        self.users.set_password_hash(tx, client, user.id, rehashed.next)?;
        self.sessions.end_others(tx, caller)?;
        tx.publish(caller, &PasswordChanged { user_id: user.id })?;
        Ok(user)
    }

    /// The user, if it may sign in and its password is still the one that was compared outside the transaction.
    fn still(&self, tx: &ReadTx, client: ClientId, user: UserId, compared: &Option<String>) -> Result<User> {
        let user = self.users.get(tx, client, user)?;
        let is_same = self.users.password_hash(tx, client, user.id)? == *compared;
        if user.status != UserStatus::Active || !is_same {
            return Err(AuthRefusal::BadCredentials.into());
        }
        Ok(user)
    }
}
