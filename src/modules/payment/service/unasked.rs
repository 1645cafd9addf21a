//! Money that came where nobody was asked to pay: to an address of a pool that nobody was shown. It is held by a payment
//! that is over when it begins, so that it goes to suspense as late money does, and its address to nobody else.

use super::Payments;
use crate::{
    kernel::{
        api::{
            call::Caller,
            input::Metadata,
            object::{Stamp, Times, save},
        },
        error::Result,
        machine::History,
        money::Amount,
        store::WriteTx,
    },
    modules::payment::{
        contract::{AttemptId, PaidState, PaymentId, PaymentStatus, Review},
        crypto::{ADDRESSES, Address, AddressKey},
        model::{ATTEMPT, Attempt, AttemptEvent, AttemptStatus, Gateway, PAYMENT, Payment, PaymentEvent},
        repository::{ATTEMPTS, PAYMENTS},
    },
};

impl Payments {
    /// What holds `amount`, which came to an address of `gateway`. Nothing is announced of it but that money came late.
    pub fn hold_unasked(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (key, mut address): (AddressKey, Address),
        gateway: &Gateway,
        amount: Amount,
    ) -> Result<(PaymentId, AttemptId)> {
        let (now, reason) = (tx.now(), Some("money came to an address that nobody was shown"));
        let (id, attempt): (PaymentId, AttemptId) = (tx.new_id(), tx.new_id());
        let mut history = History::begin(PaymentStatus::RequiresMethod, caller, now);
        history.step(&PAYMENT, PaymentEvent::Cancel, caller, reason, now)?;
        let nothing = Amount::zero(amount.currency());
        let payment = Payment {
            user: None,
            payable: None,
            amount,
            received: nothing,
            paid_state: PaidState::None,
            refunded: nothing,
            disputed: nothing,
            is_reversed: false,
            review: Review::None,
            said: None,
            gateway: Some(key.1),
            attempt: Some(attempt),
            attempts: 1,
            last_error: None,
            expires_at: now,
            asked: 0,
            poll_at: None,
            due_at: None,
            history,
            stamp: Stamp::new(tx, None, &Metadata::default()),
        };
        tx.insert(&PAYMENTS, &(key.0, id), &payment)?;

        let mut history = History::begin(AttemptStatus::Calling, caller, now);
        history.step(&ATTEMPT, AttemptEvent::Cancel, caller, reason, now)?;
        let row = Attempt {
            number: 1,
            gateway: key.1,
            kind: gateway.kind,
            expected: amount,
            instructions: None,
            url: None,
            address: Some(address.text.clone()),
            reference: None,
            seen: vec![],
            error: None,
            is_capturing: false,
            expires_at: now,
            history,
            times: Times::at(now),
        };
        tx.insert(&ATTEMPTS, &(key.0, id, attempt), &row)?;
        address.attempt = Some((id, attempt));
        address.watch_at = Some(now);
        save(tx, &ADDRESSES, &key, &mut address)?;
        Ok((id, attempt))
    }
}
