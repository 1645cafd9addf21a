//! The second factor of operators.

use std::sync::Arc;

use serde_json::json;

use super::{
    repository::{OPERATORS, Operator},
    routes::{OperatorSignedInOut, own_token},
    service::operator_out,
    sign_in::OperatorSignIn,
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            endpoint::{Endpoint, post},
            principal::{Actor, OperatorId},
        },
        boot::Kernel,
        error::Result,
        id::Id as _,
        password,
        store::{ReadTx, WriteTx},
    },
    modules::auth::{
        contract::{AuthRefusal, OperatorTokenId},
        factor::{
            Answered, Factors, Passed, Whose,
            routes::{
                CODE_REFUSALS, CodeIn, EnrollIn, LoginTotpIn, RecoveryCodesOut, TotpDisabledOut,
                TotpEnrollmentOut,
            },
        },
        lock::Account,
    },
};

/// What an authenticator shows beside the address.
const ISSUER: &str = "Coffer";

impl OperatorSignIn {
    /// Compares the password before a secret is shown. Refuses `bad_credentials`, `account_locked`, `session_required`,
    /// `totp_enabled`.
    async fn compare_own(self: Arc<Self>, kernel: Arc<Kernel>, call: Arc<Call<(), EnrollIn>>) -> Result<()> {
        let (id, _, row) = kernel.store.read(|tx| signed_in(tx, &call.caller))?;
        kernel.store.read(|tx| self.factors.check_off(tx, Whose::operator(id)))?;
        let account = Account::new(&kernel.secrets, None, &row.email);
        let it = self.clone();
        kernel.store.write(move |tx| it.lock.begin_try(tx, account)).await?;
        if !password::verify(call.input.password.clone(), Some(row.password_hash)).await? {
            return Err(AuthRefusal::BadCredentials.into());
        }
        kernel.store.write(move |tx| self.lock.forget_tries(tx, account)).await
    }

    fn enroll(&self, tx: &mut WriteTx, call: &Call<(), EnrollIn>) -> Result<TotpEnrollmentOut> {
        let (id, _, row) = signed_in(tx, &call.caller)?;
        let secret = self.factors.enroll(tx, Whose::operator(id))?;
        Ok(Factors::enrollment(&secret, ISSUER, &row.email))
    }

    /// Refuses `bad_code`, `account_locked`, `session_required`.
    async fn take_code(self: Arc<Self>, kernel: Arc<Kernel>, call: Arc<Call<(), CodeIn>>) -> Result<Passed> {
        let (id, ..) = kernel.store.read(|tx| signed_in(tx, &call.caller))?;
        let code = call.input.code.clone();
        let passed = kernel.store.write(move |tx| self.factors.pass(tx, Whose::operator(id), &code));
        Ok(passed.await?.ok_or(AuthRefusal::BadCode)?)
    }

    fn confirm(&self, tx: &mut WriteTx, call: &Call<(), CodeIn>) -> Result<RecoveryCodesOut> {
        let (id, token, _) = signed_in(tx, &call.caller)?;
        self.factors.check_off(tx, Whose::operator(id))?;

        let codes = self.factors.make_recovery_codes(tx, Whose::operator(id))?;
        self.operators.end_sign_ins(tx, id, Some(token))?;
        Ok(RecoveryCodesOut::of(codes))
    }

    fn disable(&self, tx: &mut WriteTx, call: &Call<(), CodeIn>) -> Result<TotpDisabledOut> {
        let (id, token, _) = signed_in(tx, &call.caller)?;
        if !self.factors.remove(tx, Whose::operator(id))? {
            return Err(AuthRefusal::TotpDisabled.into());
        }

        self.operators.end_sign_ins(tx, id, Some(token))?;
        Ok(TotpDisabledOut::done())
    }

    fn replace_codes(&self, tx: &mut WriteTx, call: &Call<(), CodeIn>) -> Result<RecoveryCodesOut> {
        let (id, ..) = signed_in(tx, &call.caller)?;
        if !self.factors.is_on(tx, Whose::operator(id))? {
            return Err(AuthRefusal::TotpDisabled.into());
        }

        self.factors.make_recovery_codes(tx, Whose::operator(id)).map(RecoveryCodesOut::of)
    }

    /// The second step of signing in. Refuses `bad_code`, `challenge_gone`, `account_locked`.
    async fn login_totp(
        self: Arc<Self>,
        kernel: Arc<Kernel>,
        call: Call<(), LoginTotpIn>,
    ) -> Result<OperatorSignedInOut> {
        let Call { caller, input, .. } = call;
        kernel.limits.unauthenticated(caller.ip)?;
        // A wrong try is kept, so it is no error in here.
        let settle = move |tx: &mut WriteTx| {
            let challenge = match self.factors.answer(tx, None, &input.challenge, &input.code)? {
                Answered::Right(challenge, _) => challenge,
                Answered::Wrong => return Ok(Err(AuthRefusal::BadCode)),
                Answered::Gone => return Ok(Err(AuthRefusal::ChallengeGone)),
            };
            let id = OperatorId::from_bytes(challenge.owner);
            let row = tx.get(&OPERATORS, &id)?.filter(|it| challenge.is_for(&it.password_hash));
            match row {
                Some(row) => self.signed_in(tx, operator_out(id, row)).map(Ok),
                None => Ok(Err(AuthRefusal::ChallengeGone)),
            }
        };
        Ok(kernel.store.write(settle).await??)
    }
}

/// Who asks, and with which sign-in. Refuses `session_required`: named tokens, and the command line, have none.
fn signed_in(tx: &ReadTx, caller: &Caller) -> Result<(OperatorId, OperatorTokenId, Operator)> {
    let token = own_token(caller)?;
    let Actor::Operator(id) = caller.actor() else { return Err(AuthRefusal::SessionRequired.into()) };
    let is_sign_in = tx.get(&super::OPERATOR_TOKENS, &token)?.is_some_and(|it| it.name.is_none());
    let row = tx.get(&OPERATORS, &id)?.filter(|_| is_sign_in);
    Ok((id, token, row.ok_or(AuthRefusal::SessionRequired)?))
}

pub fn endpoints(sign_in: &Arc<OperatorSignIn>) -> Vec<Endpoint> {
    vec![
        post("/operator/login/totp")
            .about("Finish signing in as an operator with a code; five wrong ones void the challenge")
            .open()
            .plain()
            .status(200)
            .refuses(&["bad_code", "challenge_gone", "account_locked"])
            .example(json!({ "challenge": "mfa_…", "code": "287082" }))
            .runs_with(sign_in, OperatorSignIn::login_totp),
        post("/operator/totp/enroll")
            .about("Make a secret for an operator's authenticator; it is in force when a code is confirmed")
            .operator()
            .plain()
            .status(200)
            .refuses(&["bad_credentials", "account_locked", "session_required", "totp_enabled"])
            .example(json!({ "password": "a quiet river stone" }))
            .prepares_with(sign_in, OperatorSignIn::compare_own, |sign_in, tx, call, ()| {
                sign_in.enroll(tx, call)
            }),
        post("/operator/totp/confirm")
            .about(
                "Ask the operator for codes from now on; shows the recovery codes once, other sign-ins end",
            )
            .operator()
            .plain()
            .status(200)
            .refuses(&["bad_code", "account_locked", "session_required", "totp_enabled", "totp_disabled"])
            .example(json!({ "code": "287082" }))
            .prepares_with(sign_in, OperatorSignIn::take_code, |sign_in, tx, call, _| {
                sign_in.confirm(tx, call)
            }),
        post("/operator/totp/disable")
            .about("Ask the operator for codes no more; other sign-ins end")
            .operator()
            .plain()
            .status(200)
            .refuses(CODE_REFUSALS)
            .example(json!({ "code": "287082" }))
            .prepares_with(sign_in, OperatorSignIn::take_code, |sign_in, tx, call, _| {
                sign_in.disable(tx, call)
            }),
        post("/operator/totp/recovery-codes")
            .about("Replace the operator's recovery codes; the new ones are shown once")
            .operator()
            .plain()
            .status(200)
            .refuses(CODE_REFUSALS)
            .example(json!({ "code": "287082" }))
            .prepares_with(sign_in, OperatorSignIn::take_code, |sign_in, tx, call, _| {
                sign_in.replace_codes(tx, call)
            }),
    ]
}
