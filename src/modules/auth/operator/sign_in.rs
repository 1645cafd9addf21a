//! Whatever hashes an operator's password: as for users, an unknown account answers like a wrong password.

use std::sync::{Arc, atomic::Ordering};

use super::{
    routes::{ClaimIn, OperatorIn, OperatorLoginIn, OperatorLoginOut, OperatorNamedIn, OperatorSignedInOut},
    service::{Operators, operator_out},
};
use crate::{
    kernel::{
        api::call::{Call, found},
        boot::Kernel,
        error::Result,
        password,
        store::WriteTx,
    },
    modules::{
        auth::{
            contract::{AuthRefusal, OperatorContract as _, OperatorOut},
            factor::{Factors, Whose, routes::MfaRequiredOut},
            lock::{Account, Lock},
        },
        user::contract::{PasswordFor, check_password},
    },
};

pub struct OperatorSignIn {
    pub operators: Arc<Operators>,
    pub lock: Lock,
    pub factors: Factors,
}

/// A hash, and the server that learns that it is claimed.
pub struct Hashed {
    kernel: Arc<Kernel>,
    hash: String,
}

impl OperatorSignIn {
    /// Looks at the set-up token before it takes the trouble to hash.
    pub async fn hash_claim(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Arc<Call<(), ClaimIn>>,
    ) -> Result<Hashed> {
        let ClaimIn { setup_token, email, password } = &call.input;
        kernel.limits.unauthenticated(call.caller.ip)?;
        kernel.store.read(|tx| self.operators.check_setup_token(tx, setup_token))?;
        hash(kernel, email.as_str(), password).await
    }

    pub fn claim(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), ClaimIn>,
        hashed: Hashed,
    ) -> Result<OperatorSignedInOut> {
        let ClaimIn { setup_token, email, .. } = &call.input;
        let operator = self.operators.claim(tx, setup_token, email.as_str(), hashed.hash)?;
        self.lock.forget_tries(tx, Account::new(&self.operators.secrets, None, email.as_str()))?;
        // A set-up link is the way back in for whoever lost everything, the authenticator too.
        self.factors.remove(tx, Whose::operator(operator.id))?;
        claimed(tx, hashed.kernel);
        self.signed_in(tx, operator)
    }

    /// Hashes the password of an operator to be made, or to be given another one.
    pub async fn hash_password(kernel: Arc<Kernel>, call: Arc<Call<(), OperatorIn>>) -> Result<Hashed> {
        let OperatorIn { email, password } = &call.input;
        hash(kernel, email.as_str(), password).await
    }

    pub fn create(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), OperatorIn>,
        hashed: Hashed,
    ) -> Result<OperatorOut> {
        let operator = self.operators.create(tx, call.input.email.as_str(), hashed.hash)?;
        claimed(tx, hashed.kernel);
        Ok(operator)
    }

    pub fn reset_password(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), OperatorIn>,
        hashed: Hashed,
    ) -> Result<OperatorOut> {
        let email = call.input.email.as_str();
        let operator = self.operators.reset_password(tx, email, hashed.hash)?;
        self.lock.forget_tries(tx, Account::new(&self.operators.secrets, None, email))?;
        Ok(operator)
    }

    /// Refuses `not_found`. It need not have one.
    pub fn reset_second_factor(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), OperatorNamedIn>,
    ) -> Result<OperatorOut> {
        let (id, row) = found(self.operators.by_email(tx, call.input.email.as_str())?)?;

        self.factors.remove(tx, Whose::operator(id))?;
        self.operators.end_sign_ins(tx, id, None)?;
        Ok(operator_out(id, row))
    }

    pub async fn login(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Call<(), OperatorLoginIn>,
    ) -> Result<OperatorLoginOut> {
        let Call { caller, input, .. } = call;
        let email = input.email.trim().to_lowercase();
        let account = Account::new(&kernel.secrets, None, &email);
        kernel.limits.unauthenticated(caller.ip)?;
        kernel.limits.sign_in(account.hash)?;
        let it = self.clone();
        let known = kernel.store.write(move |tx| {
            it.lock.begin_try(tx, account)?;
            it.operators.by_email(tx, &email)
        });
        let known = known.await?;
        let hash = known.as_ref().map(|(_, row)| row.password_hash.clone());
        let is_right = password::verify(input.password, hash.clone()).await?;
        let Some((_, compared)) = known.filter(|_| is_right) else {
            return Err(AuthRefusal::BadCredentials.into());
        };
        let begin = move |tx: &mut WriteTx| {
            // The password may have been changed while it was compared.
            let now = self.operators.by_email(tx, &compared.email)?;
            let (id, row) = now
                .filter(|(_, row)| row.password_hash == compared.password_hash)
                .ok_or(AuthRefusal::BadCredentials)?;
            self.lock.forget_tries(tx, account)?;
            if self.factors.is_on(tx, Whose::operator(id))? {
                let made = self.factors.challenge(tx, Whose::operator(id), &row.password_hash)?;
                return Ok(OperatorLoginOut::MfaRequired(MfaRequiredOut::of(made)));
            }
            self.signed_in(tx, operator_out(id, row)).map(|it| OperatorLoginOut::SignedIn(Box::new(it)))
        };
        kernel.store.write(begin).await
    }

    pub fn signed_in(&self, tx: &mut WriteTx, operator: OperatorOut) -> Result<OperatorSignedInOut> {
        let (token, expires_at) = self.operators.begin(tx, operator.id)?;
        Ok(OperatorSignedInOut {
            object: "operator_token",
            token,
            token_type: "bearer",
            expires_at,
            operator,
        })
    }
}

/// From the commit on, everybody is answered.
fn claimed(tx: &mut WriteTx, kernel: Arc<Kernel>) {
    tx.on_commit(Box::new(move || kernel.claimed.store(true, Ordering::SeqCst)));
}

async fn hash(kernel: Arc<Kernel>, email: &str, password: &str) -> Result<Hashed> {
    let whose = PasswordFor { email, ..PasswordFor::default() };
    check_password("password", password, kernel.config.auth.password_min_length, whose)?;
    let hash = password::hash(password.to_owned()).await?;
    Ok(Hashed { kernel, hash })
}
