//! The use cases of second factors: first those that users and operators share, then those of users.

use std::{sync::Arc, time::Duration};

use data_encoding::HEXLOWER;

use super::{
    code::{
        RECOVERY_BYTES, RECOVERY_CODES, SECRET_BYTES, read_recovery_code, recovery_code, shown, step_of, url,
    },
    repository::{CHALLENGES, Challenge, FACTORS, Factor},
    routes::{CodeIn, EnrollIn, LoginTotpIn, RecoveryCodesOut, TotpEnrollmentOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            principal::{ClientId, OperatorId, UserId},
            text::ReasonIn,
        },
        boot::Kernel,
        clock::Time,
        error::{Result, fault},
        events::outbox::client_key,
        id::Id as _,
        secret::{Secrets, is_token, make_token, sha256},
        store::{ReadTx, WriteTx},
    },
    modules::{
        auth::{
            contract::AuthRefusal,
            events::{RecoveryCodeUsed, RecoveryCodesMade, TotpDisabled, TotpEnabled},
            lock::{Account, Lock},
            repository::end_sessions,
            routes::TokensOut,
            sessions::own_session,
            sign_in::SignIn,
        },
        client::contract::ClientContract,
        role::contract::RoleContract,
        user::contract::UserStatus,
    },
};

const CHALLENGE: &str = "mfa_";
/// Long enough to find the telephone.
const CHALLENGE_LASTS: Duration = Duration::from_secs(5 * 60);
/// How many wrong codes a challenge survives, plus one.
const GUESSES: u32 = 5;

/// Whose factor it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    client: Option<ClientId>,
    owner: [u8; 16],
}

impl Whose {
    pub fn user(client: ClientId, user: UserId) -> Whose {
        Whose { client: Some(client), owner: user.bytes() }
    }

    pub fn operator(operator: OperatorId) -> Whose {
        Whose { client: None, owner: operator.bytes() }
    }

    fn key(&self) -> (ClientId, [u8; 16]) {
        (client_key(self.client), self.owner)
    }

    /// What the secret is bound to.
    fn place(&self) -> String {
        format!("auth.factors/{}/{}", client_key(self.client), HEXLOWER.encode(&self.owner))
    }
}

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    Code,
    /// And how many are left.
    Recovery(u32),
}

/// What an answer to a challenge is. A wrong one is no error in here: that it was tried is kept.
pub enum Answered {
    Right(Challenge, Passed),
    Wrong,
    Gone,
}

pub struct Factors {
    pub secrets: Arc<Secrets>,
    /// Of codes: counted by owner, apart from passwords.
    pub lock: Lock,
}

impl Factors {
    pub fn is_on(&self, tx: &ReadTx, whose: Whose) -> Result<bool> {
        Ok(self.left(tx, whose)?.is_some())
    }

    /// How many recovery codes are left; `None` when there is no second factor in force.
    pub fn left(&self, tx: &ReadTx, whose: Whose) -> Result<Option<u32>> {
        let row = tx.get(&FACTORS, &whose.key())?.filter(|it| it.confirmed_at.is_some());
        Ok(row.map(|it| it.recovery.len() as u32))
    }

    /// Refuses `totp_enabled`.
    pub fn check_off(&self, tx: &ReadTx, whose: Whose) -> Result<()> {
        if self.is_on(tx, whose)? { Err(AuthRefusal::TotpEnabled.into()) } else { Ok(()) }
    }

    /// Makes a secret that is not in force yet, in place of another one that was not. Refuses `totp_enabled`.
    pub fn enroll(&self, tx: &mut WriteTx, whose: Whose) -> Result<[u8; SECRET_BYTES]> {
        self.check_off(tx, whose)?;

        let (secret, nonce) = (tx.random_bytes(), tx.random_bytes());
        let sealed = self.secrets.seal(&whose.place(), &secret, nonce)?;
        let row =
            Factor { sealed, confirmed_at: None, last_step: None, recovery: vec![], created_at: tx.now() };
        tx.put(&FACTORS, &whose.key(), &row)?;
        Ok(secret)
    }

    /// Takes a code, of an authenticator or to recover; `None` when it is wrong, or there is nothing to take it. The
    /// try is counted: commit this whatever it says. Refuses `account_locked`.
    pub fn pass(&self, tx: &mut WriteTx, whose: Whose, code: &str) -> Result<Option<Passed>> {
        let account =
            Account::of("second factor", &self.secrets, whose.client, &HEXLOWER.encode(&whose.owner));
        self.lock.begin_try(tx, account)?;
        let Some(mut row) = tx.get(&FACTORS, &whose.key())? else { return Ok(None) };
        let secret = self.secrets.open_sealed(&whose.place(), &row.sealed)?;
        let secret = secret.as_slice().try_into().map_err(|_| fault!("{} is too short", whose.place()))?;
        let recovery = self.hash(whose, code);
        let passed = if let Some(step) = step_of(secret, code, tx.now(), row.last_step)? {
            row.last_step = Some(step);
            Passed::Code
        } else if let Some(place) = row.recovery.iter().position(|it| *it == recovery) {
            row.recovery.remove(place);
            Passed::Recovery(row.recovery.len() as u32)
        } else {
            return Ok(None);
        };
        tx.put(&FACTORS, &whose.key(), &row)?;
        self.lock.forget_tries(tx, account)?;
        Ok(Some(passed))
    }

    /// New recovery codes in place of all others, and with the first ones the factor comes into force: the only sight
    /// of them. Refuses `totp_disabled`.
    pub fn make_recovery_codes(&self, tx: &mut WriteTx, whose: Whose) -> Result<Vec<String>> {
        let mut row = tx.get(&FACTORS, &whose.key())?.ok_or(AuthRefusal::TotpDisabled)?;
        let codes: Vec<String> =
            (0..RECOVERY_CODES).map(|_| recovery_code(tx.random_bytes::<RECOVERY_BYTES>())).collect();
        row.recovery = codes.iter().map(|it| self.hash(whose, it)).collect();
        row.confirmed_at = row.confirmed_at.or(Some(tx.now()));
        tx.put(&FACTORS, &whose.key(), &row)?;
        Ok(codes)
    }

    /// Whether there was one.
    pub fn remove(&self, tx: &mut WriteTx, whose: Whose) -> Result<bool> {
        tx.delete(&FACTORS, &whose.key())
    }

    /// A challenge for whoever has shown the password with this hash, and when it runs out.
    pub fn challenge(&self, tx: &mut WriteTx, whose: Whose, password_hash: &str) -> Result<(String, Time)> {
        let token = make_token(CHALLENGE, tx.random_bytes());
        let expires_at = tx.now().after(CHALLENGE_LASTS);
        let row = Challenge {
            owner: whose.owner,
            password: sha256(password_hash.as_bytes()),
            wrong: 0,
            expires_at,
        };
        tx.put(&CHALLENGES, &(client_key(whose.client), self.secrets.hash(&token)), &row)?;
        Ok((token, expires_at))
    }

    /// Takes the challenge with a right code; with the fifth wrong one it is gone. Refuses `account_locked`.
    pub fn answer(
        &self,
        tx: &mut WriteTx,
        client: Option<ClientId>,
        challenge: &str,
        code: &str,
    ) -> Result<Answered> {
        let key = (client_key(client), self.secrets.hash(challenge));
        let row = if is_token(challenge) { tx.get(&CHALLENGES, &key)? } else { None };
        let Some(mut row) = row.filter(|it| it.expires_at > tx.now()) else { return Ok(Answered::Gone) };
        let whose = Whose { client, owner: row.owner };
        if !self.is_on(tx, whose)? {
            return Ok(Answered::Gone);
        }
        if let Some(passed) = self.pass(tx, whose, code)? {
            tx.delete(&CHALLENGES, &key)?;
            return Ok(Answered::Right(row, passed));
        }
        row.wrong += 1;
        if row.wrong < GUESSES {
            tx.put(&CHALLENGES, &key, &row)?;
        } else {
            tx.delete(&CHALLENGES, &key)?;
        }
        Ok(Answered::Wrong)
    }

    /// What one is shown on enrolling.
    pub fn enrollment(secret: &[u8; SECRET_BYTES], issuer: &str, account: &str) -> TotpEnrollmentOut {
        TotpEnrollmentOut::of(shown(secret), url(secret, issuer, account))
    }

    fn hash(&self, whose: Whose, code: &str) -> [u8; 32] {
        self.secrets.hash(&format!("{}\n{}", whose.place(), read_recovery_code(code)))
    }
}

impl Challenge {
    /// Whether the password is still the one that was shown.
    pub fn is_for(&self, password_hash: &str) -> bool {
        self.password == sha256(password_hash.as_bytes())
    }
}

/// The second factor of users.
pub struct UserFactors {
    pub sign_in: Arc<SignIn>,
    pub clients: Arc<dyn ClientContract>,
    pub roles: Arc<dyn RoleContract>,
}

impl UserFactors {
    fn factors(&self) -> &Factors {
        &self.sign_in.factors
    }

    /// Compares the password before a secret is shown: a stolen session enrolls nobody's telephone.
    pub async fn compare_password(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), EnrollIn>>,
    ) -> Result<()> {
        let (client, user, _) = own_session(&call.caller)?;
        kernel.store.read(|tx| self.factors().check_off(tx, Whose::user(client, user)))?;
        let user = kernel.store.read(|tx| self.sign_in.users.get(tx, client, user))?;
        let password = call.input.password.clone();
        self.sign_in.clone().compare_own(&kernel, client, &user, password).await.map(drop)
    }

    pub fn enroll(&self, tx: &mut WriteTx, call: &Call<(), EnrollIn>) -> Result<TotpEnrollmentOut> {
        let (client, user, _) = own_session(&call.caller)?;
        let secret = self.factors().enroll(tx, Whose::user(client, user))?;
        let (user, client) = (self.sign_in.users.get(tx, client, user)?, self.clients.get(tx, client)?);
        let issuer = client.settings.branding.display_name.unwrap_or(client.name);
        Ok(Factors::enrollment(&secret, &issuer, &user.email))
    }

    /// Takes a code of whoever asks, outside the transaction of what it is for, so that a wrong one is counted. Refuses
    /// `bad_code`, `account_locked`.
    pub async fn take_code(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), CodeIn>>,
    ) -> Result<Passed> {
        let (client, user, _) = own_session(&call.caller)?;
        let (it, code) = (self.clone(), call.input.code.clone());
        let passed = kernel.store.write(move |tx| it.factors().pass(tx, Whose::user(client, user), &code));
        Ok(passed.await?.ok_or(AuthRefusal::BadCode)?)
    }

    /// Brings the secret into force; other sessions, which have shown no code, end. Refuses `totp_enabled`,
    /// `totp_disabled`.
    pub fn confirm(&self, tx: &mut WriteTx, call: &Call<(), CodeIn>, _: Passed) -> Result<RecoveryCodesOut> {
        let (client, user_id, _) = own_session(&call.caller)?;
        self.factors().check_off(tx, Whose::user(client, user_id))?;

        let codes = self.factors().make_recovery_codes(tx, Whose::user(client, user_id))?;
        self.sign_in.sessions.end_others(tx, &call.caller)?;
        tx.publish(&call.caller, &TotpEnabled { user_id })?;
        Ok(RecoveryCodesOut::of(codes))
    }

    /// Refuses `totp_disabled`.
    pub fn disable(&self, tx: &mut WriteTx, call: &Call<(), CodeIn>, _: Passed) -> Result<()> {
        let (client, user_id, _) = own_session(&call.caller)?;
        if !self.factors().remove(tx, Whose::user(client, user_id))? {
            return Err(AuthRefusal::TotpDisabled.into());
        }

        self.sign_in.sessions.end_others(tx, &call.caller)?;
        tx.publish(&call.caller, &TotpDisabled { user_id, reason: None }).map(drop)
    }

    /// Refuses `totp_disabled`.
    pub fn replace_codes(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), CodeIn>,
        _: Passed,
    ) -> Result<RecoveryCodesOut> {
        let (client, user_id, _) = own_session(&call.caller)?;
        let whose = Whose::user(client, user_id);
        if !self.factors().is_on(tx, whose)? {
            return Err(AuthRefusal::TotpDisabled.into());
        }

        let codes = self.factors().make_recovery_codes(tx, whose)?;
        tx.publish(&call.caller, &RecoveryCodesMade { user_id })?;
        Ok(RecoveryCodesOut::of(codes))
    }

    /// Staff take the factor of somebody who lost it away; its sessions end. Nobody does it to somebody who may do
    /// more. Refuses `not_found`, `permission_escalation`, `totp_disabled`.
    pub fn reset(&self, tx: &mut WriteTx, call: &Call<UserId, ReasonIn>) -> Result<()> {
        let (client, user_id) = (call.caller.client()?, call.path);
        let user = self.sign_in.users.get(tx, client, user_id)?;
        self.roles.check_grantable(tx, &call.caller, client, &user.roles)?;
        if !self.factors().remove(tx, Whose::user(client, user_id))? {
            return Err(AuthRefusal::TotpDisabled.into());
        }

        end_sessions(tx, client, user_id, None)?;
        let reason = Some(String::from(&call.input.reason));
        tx.publish(&call.caller, &TotpDisabled { user_id, reason }).map(drop)
    }

    /// The second step of signing in. Refuses `bad_code`, `challenge_gone`, `account_locked`.
    pub async fn login(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Call<(), LoginTotpIn>,
    ) -> Result<TokensOut> {
        let Call { caller, input, .. } = call;
        let client = caller.client()?;
        kernel.limits.unauthenticated(caller.ip)?;
        // A wrong try is kept, so it is no error in here.
        let settle = move |tx: &mut WriteTx| self.settle(tx, &caller, client, &input);
        Ok(kernel.store.write(settle).await??)
    }

    fn settle(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        input: &LoginTotpIn,
    ) -> Result<Result<TokensOut, AuthRefusal>> {
        let answered = self.factors().answer(tx, Some(client), &input.challenge, &input.code)?;
        let (challenge, passed) = match answered {
            Answered::Right(challenge, passed) => (challenge, passed),
            Answered::Wrong => return Ok(Err(AuthRefusal::BadCode)),
            Answered::Gone => return Ok(Err(AuthRefusal::ChallengeGone)),
        };
        let user_id = UserId::from_bytes(challenge.owner);
        let user = self.sign_in.users.get(tx, client, user_id)?;
        let hash = self.sign_in.users.password_hash(tx, client, user_id)?;
        if user.status != UserStatus::Active || !hash.is_some_and(|it| challenge.is_for(&it)) {
            return Ok(Err(AuthRefusal::ChallengeGone));
        }
        if let Passed::Recovery(left) = passed {
            tx.publish(caller, &RecoveryCodeUsed { user_id, left })?;
        }
        self.sign_in.sessions.begin(tx, caller, client, user).map(Ok)
    }
}
