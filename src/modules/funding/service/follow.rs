//! A deposit follows its payment.

use super::{Fundings, load, store};
use crate::{
    kernel::{
        api::call::Caller,
        error::{Result, fault},
        events::event::Envelope,
        money::{Amount, AmountText},
        store::WriteTx,
    },
    modules::{
        funding::{
            contract::{FundingId, FundingStatus},
            events::{FundingCanceled, FundingConflicted, FundingExpired, FundingFailed},
            model::{FUNDING, FundingEvent},
        },
        payment::events::{PaymentInitiated, PaymentSettled},
    },
};

impl Fundings {
    /// The payment settled: the deposit completes in the same transaction, or neither does; without a price for what
    /// came it waits.
    pub fn settled(&self, tx: &mut WriteTx, envelope: &Envelope, event: PaymentSettled) -> Result<()> {
        let Some(id) = funding_of(event.payable.as_deref()) else { return Ok(()) };
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let mut funding = load(tx, client, id)?;
        let currency = funding.paid_in();
        if currency.code != event.currency {
            return Err(fault!("{id} is in {}, {} came", currency.code, event.currency));
        }
        let text: AmountText =
            event.received.parse().map_err(|()| fault!("{} is no amount", event.received))?;
        let received: Amount = text.positive("received", currency)?;
        if funding.status() == FundingStatus::Pending {
            funding.history.step(&FUNDING, FundingEvent::Process, &caller, None, tx.now())?;
        }
        self.take(tx, &caller, client, (id, &mut funding), event.gateway_id, received)
    }

    /// Somebody began to pay.
    pub fn initiated(&self, tx: &mut WriteTx, envelope: &Envelope, event: PaymentInitiated) -> Result<()> {
        self.moved(tx, envelope, event.payable, FundingEvent::Process, None)
    }

    /// Something else happened to the payment. What a deposit that is over hears changes nothing.
    pub fn moved(
        &self,
        tx: &mut WriteTx,
        envelope: &Envelope,
        payable: Option<String>,
        event: FundingEvent,
        reason: Option<&str>,
    ) -> Result<()> {
        let Some(id) = funding_of(payable.as_deref()) else { return Ok(()) };
        let caller = Caller::behind(envelope);
        let client = caller.client()?;
        let mut funding = load(tx, client, id)?;
        let is_end = matches!(event, FundingEvent::Fail | FundingEvent::Cancel | FundingEvent::Expire);
        if FUNDING.next(funding.status(), event).is_err() || is_end && funding.waits() {
            return Ok(());
        }

        funding.history.step(&FUNDING, event, &caller, reason, tx.now())?;
        store(tx, client, id, &mut funding)?;
        if is_end {
            self.uncount(tx, client, id, &funding)?;
        }
        match event {
            FundingEvent::Fail => tx.publish(&caller, &FundingFailed::of(id, &funding, reason))?,
            FundingEvent::Cancel => tx.publish(&caller, &FundingCanceled::of(id, &funding, reason))?,
            FundingEvent::Expire => tx.publish(&caller, &FundingExpired::of(id, &funding, reason))?,
            FundingEvent::Conflict => tx.publish(&caller, &FundingConflicted::of(id, &funding, reason))?,
            FundingEvent::Process | FundingEvent::Complete | FundingEvent::Reverse => return Ok(()),
        };
        Ok(())
    }
}

/// The funding a payment is for, when it is for one.
pub(super) fn funding_of(payable: Option<&str>) -> Option<FundingId> {
    payable?.parse().ok()
}
