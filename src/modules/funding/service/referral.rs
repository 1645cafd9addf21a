//! What a user earns who brought another one: once, when that one has paid in for the first time.
//!
//! The first deposit of somebody who was referred is noted whatever it earns, so that no later one does: a share that is
//! switched on later is paid for whom comes later.

use super::{Fundings, load};
use crate::{
    kernel::{
        api::{
            call::Caller,
            input::Metadata,
            object::Stamp,
            principal::{Actor, ClientId, UserId},
        },
        error::Result,
        events::event::Envelope,
        machine::History,
        money::Amount,
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        funding::{
            contract::{FundingId, FundingStatus, FundingType},
            events::{FundingCompleted, FundingRequested},
            model::{FUNDING, Funding, FundingEvent, Referral, commission},
            repository::{FUNDINGS, REFERRALS},
        },
        user::contract::{User, UserStatus},
    },
};

const REASON: &str = "Referral";

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

        let earned = self.earned(tx, client, &user, deposit.credit)?;
        let commission = match earned {
            Some(amount) => Some(self.pay_commission(tx, envelope, client, (referrer, &user), amount)?),
            None => None,
        };
        let row = Referral { referrer, deposit: event.funding_id, commission, created_at: tx.now() };
        tx.insert(&REFERRALS, &(client, user.id), &row)
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
            let Some(id) = referral.commission else { continue };
            let funding = tx.get(&FUNDINGS, &(client, id))?;
            let is_right =
                funding.is_some_and(|it| it.kind == FundingType::Commission && it.user == referral.referrer);
            if !is_right {
                wrong.push(format!("{id} is no commission of {} for {user}", referral.referrer));
            }
        }
        Ok(wrong)
    }
}
