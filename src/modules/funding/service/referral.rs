//! What a user earns who brought another one: once, when that one has paid in for the first time.
//!
//! The first deposit of somebody who was referred is noted whatever it earns, so that no later one does: a share that is
//! switched on later is paid for whom comes later.

use std::{sync::Arc, time::Duration};

use super::{Fundings, follow::funding_of, load};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::Metadata,
            object::{Filters as _, Stamp, Times, save},
            page::{Page, page_by},
            principal::{Actor, ClientId, UserId},
        },
        error::{Result, fault},
        events::{due::Due, event::Envelope, worker::Job},
        machine::History,
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        funding::{
            contract::{FundingId, FundingStatus, FundingType},
            events::{FundingCompleted, FundingRequested, FundingReversed},
            model::{FUNDING, Funding, FundingEvent, Referral, ReferralStatus, commission},
            repository::{FUNDINGS, REFERRALS, REFERRALS_BY_REFERRER, REFERRALS_DUE},
            routes::{ReferralOut, ReferralQuery},
        },
        payment::events::{DisputeOpened, DisputeWon, RefundSucceeded},
        user::contract::{User, UserStatus},
    },
};

const REASON: &str = "Referral";
const TAKEN_BACK: &str = "The deposit it was paid for went back";

/// How often it is tried to take back what its account lacks.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

type ReferralKey = (ClientId, UserId);

/// Takes back what is owed, once it is there.
pub fn owed_job(fundings: &Arc<Fundings>) -> Job {
    let due = Due {
        name: "funding.commissions_owed",
        table: &REFERRALS,
        index: REFERRALS_DUE,
        at: |it| &mut it.due_at,
    };
    due.job(fundings, Fundings::take_commission, |_, _| {})
}

impl Fundings {
    /// A deposit was completed: credits whoever brought its user.
    pub fn reward_referrer(
        &self,
        tx: &mut WriteTx,
        envelope: &Envelope,
        event: FundingCompleted,
    ) -> Result<()> {
        let Some(client) = envelope.client else { return Ok(()) };
        let deposit = load(tx, client, event.funding_id)?;
        // One that was taken back before anybody looked earns nothing, and is not the first.
        if deposit.kind != FundingType::Deposit || deposit.status() != FundingStatus::Completed {
            return Ok(());
        }
        let user = self.users.get(tx, client, deposit.user)?;
        let Some(referrer) = user.referred_by else { return Ok(()) };
        if tx.exists(&REFERRALS, &(client, user.id))? {
            return Ok(());
        }
        // Nor does one of which a part went back before anybody looked.
        let payment = deposit.payment.map(|it| self.payments.get(tx, client, it)).transpose()?;
        if payment.is_some_and(|it| it.went_back) {
            return Ok(());
        }

        let earned = self.earned(tx, client, &user, deposit.credit)?;
        let commission = match earned {
            Some(amount) => Some(self.pay_commission(tx, envelope, client, (referrer, &user), amount)?),
            None => None,
        };
        let status = match commission {
            Some(_) => ReferralStatus::Earned,
            None => ReferralStatus::NoCommission,
        };
        let (deposit, times) = (event.funding_id, Times::at(tx.now()));
        let row = Referral { referrer, deposit, commission, status, due_at: None, times };
        tx.insert(&REFERRALS, &(client, user.id), &row)
    }

    pub fn reversed(&self, tx: &mut WriteTx, envelope: &Envelope, event: FundingReversed) -> Result<()> {
        self.went_back(tx, envelope, event.funding_id)
    }

    pub fn refunded(&self, tx: &mut WriteTx, envelope: &Envelope, event: RefundSucceeded) -> Result<()> {
        let Some(client) = envelope.client else { return Ok(()) };
        match funding_of(self.payments.get(tx, client, event.payment_id)?.payable.as_deref()) {
            Some(id) => self.went_back(tx, envelope, id),
            None => Ok(()),
        }
    }

    pub fn charged_back(&self, tx: &mut WriteTx, envelope: &Envelope, event: DisputeOpened) -> Result<()> {
        match funding_of(event.payable.as_deref()) {
            Some(id) => self.went_back(tx, envelope, id),
            None => Ok(()),
        }
    }

    /// A part of a deposit went back, or all of it: what it earned whoever brought its user goes back too, all of it.
    fn went_back(&self, tx: &mut WriteTx, envelope: &Envelope, deposit: FundingId) -> Result<()> {
        let Some((key, row)) = self.referral_of(tx, envelope, deposit)? else { return Ok(()) };
        if row.status != ReferralStatus::Earned {
            return Ok(());
        }
        self.take_commission(tx, key, row)
    }

    /// The bank gave a deposit back: so is the commission, unless it was never gone, or a person took it.
    pub fn won_back(&self, tx: &mut WriteTx, envelope: &Envelope, event: DisputeWon) -> Result<()> {
        let Some(id) = funding_of(event.payable.as_deref()) else { return Ok(()) };
        let Some((key, mut row)) = self.referral_of(tx, envelope, id)? else { return Ok(()) };
        let (client, user) = key;
        let is_gone = matches!(row.status, ReferralStatus::Owed | ReferralStatus::TakenBack);
        let Some(payment) = event.payment_id else { return Ok(()) };
        let is_whole = load(tx, client, id)?.status() == FundingStatus::Completed
            && !self.payments.get(tx, client, payment)?.went_back;
        let Some(commission) = row.commission.filter(|_| is_gone && is_whole) else { return Ok(()) };

        let paid = load(tx, client, commission)?;
        let is_reversed = paid.status() == FundingStatus::Reversed;
        if is_reversed && paid.history.last().actor != Actor::System {
            return Ok(()); // A person took it, for reasons of its own.
        }
        if is_reversed {
            let (amount, user) = (paid.credit, self.users.get(tx, client, user)?);
            row.commission =
                Some(self.pay_commission(tx, envelope, client, (row.referrer, &user), amount)?);
        }
        (row.status, row.due_at) = (ReferralStatus::Earned, None);
        save(tx, &REFERRALS, &key, &mut row)
    }

    /// What is noted of a deposit, when it was the first of somebody who was brought.
    fn referral_of(
        &self,
        tx: &ReadTx,
        envelope: &Envelope,
        deposit: FundingId,
    ) -> Result<Option<(ReferralKey, Referral)>> {
        let Some(client) = envelope.client else { return Ok(None) };
        let key = (client, load(tx, client, deposit)?.user);
        let row = tx.get(&REFERRALS, &key)?.filter(|it| it.deposit == deposit);
        Ok(row.map(|it| (key, it)))
    }

    /// commission → commission_expense. Only a bank takes what is not there: while the account lacks it, it is owed.
    pub(super) fn take_commission(
        &self,
        tx: &mut WriteTx,
        key: ReferralKey,
        mut row: Referral,
    ) -> Result<()> {
        let (client, user) = key;
        let id = row.commission.ok_or_else(|| fault!("the commission for {user} was never paid"))?;
        let mut funding = load(tx, client, id)?;
        let caller = Caller::system(Some(client));
        let taken = match funding.status() {
            FundingStatus::Reversed => Ok(()), // By a person.
            _ => tx.attempt(|tx| self.undo(tx, &caller, (client, id), &mut funding, TAKEN_BACK)),
        };
        match taken {
            Ok(()) => (row.status, row.due_at) = (ReferralStatus::TakenBack, None),
            Err(error) if error.code() == Some("insufficient_funds") => {
                (row.status, row.due_at) = (ReferralStatus::Owed, Some(tx.now().after(AGAIN)));
            }
            Err(error) => return Err(error),
        }
        save(tx, &REFERRALS, &key, &mut row)
    }

    /// Whom a user brought, as far as they have paid in.
    pub fn list_referrals(
        &self,
        tx: &ReadTx,
        call: &Call<UserId, ReferralQuery>,
    ) -> Result<Page<ReferralOut>> {
        let (client, query) = (call.caller.client()?, &call.input);
        call.caller.may_reach(Some(call.path))?;
        self.users.get(tx, client, call.path)?;
        let of = (client, call.path);
        let page =
            page_by(tx, &REFERRALS, REFERRALS_BY_REFERRER, &of, &query.paging(None), |it| query.keeps(it))?;
        page.try_map(|((_, user), row)| {
            let commission = row.commission.map(|it| load(tx, client, it)).transpose()?;
            Ok(ReferralOut::of(user, &row, commission.map(|it| it.credit)))
        })
    }

    /// What bringing `user`, who paid in `credit`, is worth. Nothing to somebody who does not come in any more, or who
    /// looks like the same person.
    fn earned(&self, tx: &ReadTx, client: ClientId, user: &User, credit: Amount) -> Result<Option<Amount>> {
        let referrer = match user.referred_by {
            Some(referrer) => self.users.get(tx, client, referrer)?,
            None => return Ok(None),
        };
        if referrer.status == UserStatus::Disabled || referrer.looks_like(&user.email, user.phone.as_deref())
        {
            return Ok(None);
        }
        commission(credit, &self.clients.get(tx, client)?.settings.referral)
    }

    fn pay_commission(
        &self,
        tx: &mut WriteTx,
        envelope: &Envelope,
        client: ClientId,
        (referrer, referred): (UserId, &User),
        amount: Amount,
    ) -> Result<FundingId> {
        let mut caller = Caller::behind(envelope);
        caller.principal.actor = Actor::System;
        let id: FundingId = tx.new_id();
        let metadata = Metadata([("referred_user_id".to_owned(), referred.id.to_string())].into());
        let mut funding = Funding {
            user: referrer,
            kind: FundingType::Commission,
            amount,
            credit: amount,
            fee: Amount::zero(amount.currency()),
            fee_included: false,
            from_user: None,
            reason: Some(REASON.to_owned()),
            payment: None,
            quote: None,
            entry: None,
            reversal: None,
            transactions: vec![],
            due_at: None,
            history: History::begin(FundingStatus::Pending, &caller, tx.now()),
            stamp: Stamp { metadata, ..Stamp::at(tx.now()) },
        };
        tx.publish(&caller, &FundingRequested::of(id, &funding, Some(REASON)))?;
        funding.history.step(&FUNDING, FundingEvent::Process, &caller, None, tx.now())?;
        self.complete_credit(tx, &caller, client, id, &mut funding)?;
        Ok(id)
    }

    /// What was paid for bringing somebody is a commission of whoever did.
    pub(super) fn verify_referrals(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        for row in tx.scan(&REFERRALS, Scan::all()) {
            let ((client, user), referral) = row?;
            let is_owed = referral.status == ReferralStatus::Owed;
            if is_owed != referral.due_at.is_some()
                || referral.commission.is_none() != (referral.status == ReferralStatus::NoCommission)
            {
                wrong.push(format!("the commission for {user} is {} and is not", referral.status));
            }
            let Some(id) = referral.commission else { continue };
            let funding = tx.get(&FUNDINGS, &(client, id))?;
            let is_right = funding.is_some_and(|it| {
                let is_gone = it.status() == FundingStatus::Reversed;
                it.kind == FundingType::Commission
                    && it.user == referral.referrer
                    && (is_gone || referral.status != ReferralStatus::TakenBack)
            });
            if !is_right {
                wrong.push(format!("{id} is no commission of {} for {user}", referral.referrer));
            }
        }
        Ok(wrong)
    }
}
