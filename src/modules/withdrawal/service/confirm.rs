//! Confirming by mail: that a user asked for a withdrawal, or for a beneficiary, is said by whoever reads its mailbox,
//! in a session of that user. Whoever got into the account alone gets no money out.
//!
//! Confirming is two transactions, as signing in is. The first looks at the token, and a wrong guess is kept; the
//! second looks again and does it. A guess is judged only where there is something to confirm, and only of the owner's,
//! so nobody else uses up the five there are.

use std::sync::Arc;

use super::Withdrawals;
use crate::kernel::{
    api::{
        call::{Call, Caller},
        principal::{Actor, UserId},
        problem::ApiRefusal,
    },
    clock::Time,
    error::{Error, Result},
    events::worker::Job,
    mailed::MailedToken,
    store::{Key as _, Scan, WriteTx},
};
use crate::modules::{
    auth::contract::AuthRefusal,
    notification::events::{BeneficiaryConfirmation, WithdrawalConfirmation, mail_secret, mails_secrets},
    withdrawal::{
        contract::{BeneficiaryId, WithdrawalId, WithdrawalRefusal},
        events::{
            BeneficiaryConfirmationRequested, BeneficiaryConfirmed, BeneficiaryDeleted,
            WithdrawalConfirmationRequested,
        },
        model::{Beneficiary, CONFIRMED_WITHIN, Standing, WITHDRAWAL, Withdrawal, WithdrawalEvent},
        repository::{self, BENEFICIARIES, BENEFICIARIES_BY_DEADLINE},
        routes::{BeneficiaryOut, ConfirmIn, WithdrawalOut},
    },
};

const PREFIX: &str = "cfm_";

/// Whether the caller, asking this for `user`, has to confirm it: a user for itself, where mail is configured. Keys and
/// staff answer for what they ask for.
pub fn takes_confirmation(tx: &WriteTx, caller: &Caller, user: UserId) -> Result<bool> {
    Ok(caller.actor() == Actor::User(user) && mails_secrets(tx)?)
}

/// What a token was found to be. A wrong one is no error in the transaction that counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    Right,
    Wrong,
}

impl Guess {
    fn check(self) -> Result<()> {
        match self {
            Guess::Right => Ok(()),
            Guess::Wrong => Err(AuthRefusal::MailTokenGone.into()),
        }
    }
}

impl Withdrawals {
    /// Mails its user what a new withdrawal is confirmed with.
    pub(super) fn ask_to_confirm(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        mut withdrawal: Withdrawal,
    ) -> Result<Withdrawal> {
        let (client, id) = (caller.client()?, withdrawal.id);
        let (code, token) = self.mailed_token(tx);
        let expires_at = token.expires_at;
        withdrawal.confirmation = Some(token);
        repository::put(tx, client, &withdrawal)?;
        let event = tx.publish(caller, &WithdrawalConfirmationRequested::of(&withdrawal))?;
        let branding = self.clients.get(tx, client)?.settings.branding;
        let words = WithdrawalConfirmation {
            url: branding.link(self.public_url.as_deref(), &format!("withdrawals/{id}/confirm"), &code),
            code,
            expires_at,
            amount: withdrawal.amount.digits(),
            fee: withdrawal.fee.digits(),
            payout: withdrawal.payout.digits(),
            currency: withdrawal.amount.currency().code,
            destination: withdrawal.method().map(ToString::to_string).unwrap_or_default(),
        };
        mail_secret(tx, client, event, withdrawal.user, &words)?;
        Ok(withdrawal)
    }

    /// Mails its user what a new beneficiary is confirmed with.
    pub(super) fn ask_to_confirm_beneficiary(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        beneficiary: &Beneficiary,
        code: String,
    ) -> Result<()> {
        let (client, id, user) = (caller.client()?, beneficiary.id, beneficiary.user);
        let expires_at = beneficiary.confirm_by().unwrap_or(tx.now());
        let event = BeneficiaryConfirmationRequested { beneficiary_id: id, user_id: user, expires_at };
        let event = tx.publish(caller, &event)?;
        let branding = self.clients.get(tx, client)?.settings.branding;
        let words = BeneficiaryConfirmation {
            url: branding.link(self.public_url.as_deref(), &format!("beneficiaries/{id}/confirm"), &code),
            code,
            expires_at,
            label: beneficiary.label.clone(),
            destination: beneficiary.method.to_string(),
        };
        mail_secret(tx, client, event, user, &words).map(drop)
    }

    pub(super) fn mailed_token(&self, tx: &mut WriteTx) -> (String, MailedToken) {
        MailedToken::make(tx, &self.secrets, PREFIX, CONFIRMED_WITHIN)
    }

    /// Looks at the token, and counts a wrong guess. Refuses `not_found`, `owner_confirms`,
    /// `invalid_state_transition`, `email_changed_lately`.
    pub fn guess(&self, tx: &mut WriteTx, call: &Call<WithdrawalId, ConfirmIn>) -> Result<Guess> {
        let client = call.caller.client()?;
        let mut withdrawal = self.to_confirm(tx, call)?;
        if withdrawal.history.was(WithdrawalEvent::Confirm, &call.caller) {
            return Ok(Guess::Right);
        }
        withdrawal.check_not_expired(WithdrawalEvent::Confirm, tx.now())?;
        WITHDRAWAL.next(withdrawal.status(), WithdrawalEvent::Confirm)?;
        self.users.check_email_settled(tx, client, withdrawal.user)?;
        let Some(token) = &mut withdrawal.confirmation else { return Ok(Guess::Wrong) };
        if token.reads(&self.secrets, &call.input.token) {
            return Ok(if token.is_good(tx.now()) { Guess::Right } else { Guess::Wrong });
        }
        token.miss();
        repository::put(tx, client, &withdrawal)?;
        Ok(Guess::Wrong)
    }

    /// Its user wants it: the client's rules decide now, or people. Refuses what [`Withdrawals::guess`] does, and
    /// `mail_token_gone`.
    pub fn confirm(
        &self,
        tx: &mut WriteTx,
        call: &Call<WithdrawalId, ConfirmIn>,
        guess: Guess,
    ) -> Result<WithdrawalOut> {
        guess.check()?;
        let withdrawal = self.to_confirm(tx, call)?;
        if withdrawal.history.was(WithdrawalEvent::Confirm, &call.caller) {
            return self.out(tx, &call.caller, &withdrawal);
        }
        self.guess(tx, call)?.check()?;

        let withdrawal = self.advance(tx, &call.caller, withdrawal, WithdrawalEvent::Confirm, None)?;
        let withdrawal = self.review(tx, &call.caller, withdrawal)?;
        self.out(tx, &call.caller, &withdrawal)
    }

    /// The same of a beneficiary. Refuses `not_found`, `owner_confirms`, `beneficiary_confirmed`,
    /// `email_changed_lately`.
    pub fn guess_beneficiary(
        &self,
        tx: &mut WriteTx,
        call: &Call<BeneficiaryId, ConfirmIn>,
    ) -> Result<Guess> {
        let client = call.caller.client()?;
        let mut beneficiary = repository::beneficiary(tx, client, call.path)?;
        check_owner(&call.caller, beneficiary.user, "beneficiaries.view_any")?;
        let Standing::Unconfirmed(token) = &mut beneficiary.standing else {
            return Err(WithdrawalRefusal::BeneficiaryConfirmed.into());
        };
        self.users.check_email_settled(tx, client, beneficiary.user)?;
        if token.reads(&self.secrets, &call.input.token) {
            return Ok(if token.is_good(tx.now()) { Guess::Right } else { Guess::Wrong });
        }
        token.miss();
        tx.put(&BENEFICIARIES, &(client, beneficiary.id), &beneficiary)?;
        Ok(Guess::Wrong)
    }

    /// Its user wants to be paid out to it: its cooling time begins. Refuses what [`Withdrawals::guess_beneficiary`]
    /// does, and `mail_token_gone`.
    pub fn confirm_beneficiary(
        &self,
        tx: &mut WriteTx,
        call: &Call<BeneficiaryId, ConfirmIn>,
        guess: Guess,
    ) -> Result<BeneficiaryOut> {
        guess.check()?;
        self.guess_beneficiary(tx, call)?.check()?;

        let client = call.caller.client()?;
        let mut beneficiary = repository::beneficiary(tx, client, call.path)?;
        let ready_at = self.cooled(tx, client)?;
        beneficiary.standing = Standing::ReadyAt(ready_at);
        beneficiary.stamp.touch(tx.now());
        tx.put(&BENEFICIARIES, &(client, beneficiary.id), &beneficiary)?;
        let (beneficiary_id, user_id) = (beneficiary.id, beneficiary.user);
        tx.publish(&call.caller, &BeneficiaryConfirmed { beneficiary_id, user_id, ready_at })?;
        Ok(BeneficiaryOut::of(beneficiary.id, &beneficiary))
    }

    fn to_confirm(&self, tx: &WriteTx, call: &Call<WithdrawalId, ConfirmIn>) -> Result<Withdrawal> {
        let withdrawal = repository::get(tx, call.caller.client()?, call.path)?;
        check_owner(&call.caller, withdrawal.user, "withdrawals.view_any")?;
        Ok(withdrawal)
    }
}

/// Refuses `owner_confirms` to whoever is not the owner; `not_found` to those who may not know that it exists.
fn check_owner(caller: &Caller, owner: UserId, sees_all: &str) -> Result<()> {
    match caller.actor() {
        Actor::User(user) if user == owner => Ok(()),
        _ if caller.check_may(sees_all).is_ok() => Err(WithdrawalRefusal::OwnerConfirms.into()),
        _ => Err(ApiRefusal::NotFound.into()),
    }
}

/// Removes beneficiaries that nobody confirmed in time.
pub fn unconfirmed() -> Job {
    Job {
        name: "withdrawal.unconfirmed",
        due: Arc::new(|tx| {
            let mut waiting = tx.scan_index(&BENEFICIARIES, BENEFICIARIES_BY_DEADLINE, Scan::all());
            Ok(waiting.next().transpose()?.and_then(|(_, row)| row.confirm_by()))
        }),
        run: Arc::new(|tx| {
            const BATCH: usize = 100;
            let end = Time::from_micros(tx.now().micros() + 1).to_key();
            let due = tx.scan_index(&BENEFICIARIES, BENEFICIARIES_BY_DEADLINE, Scan::all().until(end));
            for (key, row) in due.take(BATCH).collect::<Result<Vec<_>, Error>>()? {
                tx.delete(&BENEFICIARIES, &key)?;
                let event = BeneficiaryDeleted { beneficiary_id: row.id, user_id: row.user };
                tx.publish(&Caller::system(Some(key.0)), &event)?;
            }
            Ok(())
        }),
    }
}
