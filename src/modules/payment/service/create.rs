//! Making a payment, and withdrawing it before anything came.

use std::time::Duration;

use super::{Case, Payments, Try, ask::end};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::Flaw,
            object::{Stamp, check_external_id},
            principal::ClientId,
        },
        error::{Result, fault},
        machine::{History, Step},
        money::Amount,
        store::WriteTx,
    },
    modules::payment::{
        contract::{NewPayment, PaidState, PaymentId, PaymentStatus, Review},
        events::{PaymentCanceled, PaymentCreated},
        model::{AttemptEvent, Converted, LIFETIME_S, PAYMENT, Payment, PaymentEvent},
        repository::{BY_EXTERNAL_ID, CONVERTED, PAYMENTS},
        routes::payments::{PaymentIn, PaymentOut},
    },
};

impl Payments {
    /// A plain charge: what comes becomes its user's available money. Refuses `not_found`, `user_not_active` (a
    /// disabled user; a frozen one may receive), and what [`Payments::make`] refuses.
    pub fn charge(&self, tx: &mut WriteTx, call: &Call<(), PaymentIn>) -> Result<PaymentOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        let user = call.caller.acting_for(input.user_id)?;
        self.users.check_may_receive(tx, client, user)?;
        let new = NewPayment {
            user: Some(user),
            amount,
            payable: None,
            credited_in: None,
            gateway: input.gateway_id,
            expires_in_s: input.expires_in_s,
            external_id: input.external_id.clone(),
            metadata: input.metadata.clone(),
        };
        self.make(tx, &call.caller, client, new).map(|it| it.out(&call.caller))
    }

    /// Refuses `external_id_taken`, and of a gateway that is named `not_found`, `gateway_unavailable`.
    pub(super) fn make(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewPayment,
    ) -> Result<Case> {
        if new.user.is_none() && new.payable.is_none() {
            return Err(fault!("a plain charge belongs to a user"));
        }
        let lifetime_s = match new.expires_in_s {
            None => self.clients.get(tx, client)?.settings.payment.expires_after_s,
            Some(wished) if LIFETIME_S.contains(&wished) => wished,
            Some(_) => {
                let range = format!("must be from {} to {}", LIFETIME_S.start(), LIFETIME_S.end());
                return Err(Flaw::new("expires_in_s", "out_of_range", range).into());
            }
        };
        check_external_id(tx, &PAYMENTS, BY_EXTERNAL_ID, client, new.external_id.as_ref())?;
        if let Some(id) = new.gateway {
            super::gateway(tx, client, id)?.check_takes(new.amount)?;
        }

        let now = tx.now();
        let mut payment = Payment {
            user: new.user,
            payable: new.payable,
            amount: new.amount,
            received: Amount::zero(new.amount.currency()),
            paid_state: PaidState::None,
            refunded: Amount::zero(new.amount.currency()),
            disputed: Amount::zero(new.amount.currency()),
            is_reversed: false,
            review: Review::None,
            said: None,
            gateway: new.gateway,
            attempt: None,
            attempts: 0,
            last_error: None,
            expires_at: now.after(Duration::from_secs(lifetime_s)),
            asked: 0,
            poll_at: None,
            due_at: None,
            history: History::begin(PaymentStatus::RequiresMethod, caller, now),
            stamp: Stamp::new(tx, new.external_id.as_ref(), &new.metadata),
        };
        payment.plan();
        let case = Case { client, id: tx.new_id(), payment, news: vec![] };
        tx.insert(&PAYMENTS, &(client, case.id), &case.payment)?;
        if let Some(currency) = new.credited_in {
            tx.insert(&CONVERTED, &(client, case.id), &Converted { currency })?;
        }
        tx.publish(caller, &PaymentCreated::of(case.id, &case.payment, None))?;
        Ok(case)
    }

    pub fn cancel_own(&self, tx: &mut WriteTx, call: &Call<PaymentId>) -> Result<PaymentOut> {
        let mut case = Case::load(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(case.payment.user)?;
        self.withdraw(tx, &call.caller, &mut case)?;
        Ok(case.out(&call.caller))
    }

    /// Refuses `payment_expired`, and `invalid_state_transition` once something came, or may be under way.
    pub(super) fn withdraw(&self, tx: &mut WriteTx, caller: &Caller, case: &mut Case) -> Result<()> {
        case.payment.check_not_expired(tx.now())?;
        if !case.payment.received.is_zero() {
            return Err(PAYMENT.refusal(case.payment.status(), PaymentEvent::Cancel).into());
        }
        if case.step(tx, caller, PaymentEvent::Cancel, None)? == Step::Repeated {
            return Ok(());
        }

        if let Some(mut attempt) = Try::last(tx, case)?
            && attempt.step(tx, caller, AttemptEvent::Cancel, None)
        {
            attempt.save(tx, case)?;
            end(tx, case, &attempt)?;
        }
        case.save(tx)?;
        tx.publish(caller, &PaymentCanceled::of(case.id, &case.payment, None))?;
        Ok(())
    }
}
