//! What came for a deposit, in the currency that is credited: as promised, or at the prices of now. Where there is no
//! price it waits in suspense, and is looked at every minute: nothing is ever converted at a guess.

use std::sync::Arc;

use super::{Fundings, store};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::{Error, Result, fault},
        events::{due::Due, worker::Job},
        id::Id as _,
        machine::Step,
        money::Amount,
        store::WriteTx,
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry},
        funding::{
            contract::{FundingId, FundingStatus},
            events::FundingConflicted,
            model::{
                FUNDING, Funding, FundingEvent,
                quote::{Came, LOOK_AGAIN, Priced},
            },
            repository::{DUE, FUNDINGS},
        },
        payment::contract::GatewayId,
    },
};

pub fn job(fundings: &Arc<Fundings>) -> Job {
    let due = Due { name: "funding.due", table: &FUNDINGS, index: DUE, at: |it| &mut it.due_at };
    due.job(fundings, |service, tx, key, funding| service.look_for_price(tx, key, funding), |_, _| {})
}

impl Fundings {
    /// Completes a deposit with what came for it, or lets it wait for a price.
    pub(super) fn take(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, funding): (FundingId, &mut Funding),
        gateway: GatewayId,
        received: Amount,
    ) -> Result<()> {
        let Some(quote) = &funding.quote else {
            return self.complete_deposit(tx, caller, client, (id, funding), (gateway, received, received));
        };
        let mut came = Came { received, gateway, at: tx.now(), priced: None, waits: None };
        let worth = if quote.is_kept_by(received, tx.now()) {
            funding.terms()?.to_pay
        } else {
            match self.priced(client, funding, received)? {
                Ok((priced, worth)) => {
                    came.priced = Some(priced);
                    worth
                }
                Err(refused) => return self.wait(tx, caller, client, (id, funding), came, &refused),
            }
        };
        note(funding, came);
        self.complete_deposit(tx, caller, client, (id, funding), (gateway, received, worth))
    }

    /// What `received` is worth now, by which prices; or the refusal that says why nobody knows.
    fn priced(
        &self,
        client: ClientId,
        funding: &Funding,
        received: Amount,
    ) -> Result<Result<(Priced, Amount), Error>> {
        let currency = funding.amount.currency();
        let found = self.market.rate(client, received.currency().code, currency.code).and_then(|found| {
            let priced = Priced::from(found);
            let worth = priced.worth(received, currency)?;
            Ok((priced, worth))
        });
        match found {
            Err(fault) if fault.code().is_none() => Err(fault),
            found => Ok(found),
        }
    }

    /// clearing → suspense, until there is a price.
    fn wait(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, funding): (FundingId, &mut Funding),
        mut came: Came,
        refused: &Error,
    ) -> Result<()> {
        let new = NewEntry {
            cause: id.to_string(),
            description: "Deposit without a price, to suspense",
            lines: &waiting(&came),
            reverses: None,
        };
        came.waits = Some(self.balance.post(tx, client, new)?.id);
        note(funding, came);
        let reason = refused.to_string();
        let is_news = funding.status() != FundingStatus::Conflicted
            && funding.history.step(&FUNDING, FundingEvent::Conflict, caller, Some(&reason), tx.now())?
                == Step::Moved;
        funding.due_at = Some(tx.now().after(LOOK_AGAIN));
        store(tx, client, id, funding)?;
        if is_news {
            tx.publish(caller, &FundingConflicted::of(id, funding, Some(&reason)))?;
        }
        Ok(())
    }

    /// Credits what waited at the prices of now, when there are any and nobody doubts that it is there.
    fn look_for_price(
        &self,
        tx: &mut WriteTx,
        (client, id): (ClientId, FundingId),
        mut funding: Funding,
    ) -> Result<()> {
        let caller = Caller::system(Some(client));
        let came = funding.quote.as_ref().and_then(|it| it.came.clone());
        let Some((mut came, parked)) = came.and_then(|it| it.waits.map(|parked| (it, parked))) else {
            return Err(fault!("{id} waits for no price"));
        };
        let payment = funding.payment.map(|it| self.payments.get(tx, client, it)).transpose()?;
        // A coin its chain took back is worth nothing, whatever its price.
        let is_there = payment.is_none_or(|it| !it.is_in_doubt && !it.went_back);
        let priced = self.priced(client, &funding, came.received)?;
        let (true, Ok((priced, worth))) = (is_there, priced) else {
            funding.due_at = Some(tx.now().after(LOOK_AGAIN));
            return tx.put(&FUNDINGS, &(client, id), &funding);
        };
        let back: Vec<Line> =
            waiting(&came).into_iter().map(|it| Line { account: it.account, delta: -it.delta }).collect();
        let new = NewEntry {
            cause: id.to_string(),
            description: "There is a price: from suspense",
            lines: &back,
            reverses: Some(parked),
        };
        self.balance.post(tx, client, new)?;
        let (gateway, received) = (came.gateway, came.received);
        (came.priced, came.waits, funding.due_at) = (Some(priced), None, None);
        note(&mut funding, came);
        self.complete_deposit(tx, &caller, client, (id, &mut funding), (gateway, received, worth))
    }
}

fn note(funding: &mut Funding, came: Came) {
    if let Some(quote) = &mut funding.quote {
        quote.came = Some(came);
    }
}

/// What puts it into suspense.
pub(super) fn waiting(came: &Came) -> [Line; 2] {
    let currency = came.received.currency();
    let clearing = Account::house(HouseAccount::Clearing(came.gateway.bytes()), currency);
    [
        Line::lower(clearing, came.received),
        Line::raise(Account::house(HouseAccount::Suspense, currency), came.received),
    ]
}
