//! Money at an address, as a watcher tells: whose it is, and what becomes of what is nobody's.
//!
//! | the address is | then |
//! |---|---|
//! | an attempt's, through whichever gateway of this client | the attempt hears of it, as its own gateway counts |
//! | in a pool, and nobody was shown it | a payment that is over when it begins holds the money: it is in suspense, and nobody is shown the address |
//! | of no gateway of this client | nothing is booked, for it is not ours to book; who looks after it is told, once |

use super::{
    message::AddressTransfer,
    service::{SEEN, Seen},
};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::{Error, Result},
        store::WriteTx,
    },
    modules::payment::{
        adapter::{Notice, crypto::Transfer},
        contract::{GatewayId, PaymentRefusal},
        crypto::find,
        events::TransferUnknown,
        model::{CONFIRMATIONS, Gateway},
        service::{Payments, gateway},
    },
};

impl Payments {
    pub(super) fn hear_transfer(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, teller, row): (ClientId, GatewayId, &Gateway),
        transfer: AddressTransfer,
    ) -> Result<()> {
        if transfer.amount.minor <= 0 {
            return Err(not_understood("its amount is not above zero"));
        }
        let Some((key, address)) = find(tx, client, &transfer.address)? else {
            return self.tell_unknown(tx, caller, (client, teller, row), transfer);
        };
        // The gateway that showed the address says what counts, whichever one tells.
        let owner = gateway(tx, client, key.1)?;
        let (payment, attempt) = match address.attempt {
            Some(known) => known,
            None => {
                let code = transfer.amount.code;
                let Some(currency) = owner.currencies.iter().find(|it| it.code == code) else {
                    return self.tell_unknown(tx, caller, (client, teller, row), transfer);
                };
                let amount = transfer.amount.like(*currency).map_err(|it| not_understood(&it))?;
                self.hold_unasked(tx, caller, (key, address), &owner, amount)?
            }
        };
        let Some((mut case, mut attempt)) = self.attempt_of(tx, (client, key.1), payment, attempt)? else {
            return Ok(());
        };
        let reference = transfer.reference;
        let notice = if transfer.is_dropped {
            Notice::Dropped { reference }
        } else {
            let amount = transfer.amount.like(attempt.row.expected.currency());
            let amount = amount.map_err(|it| not_understood(&it))?;
            Transfer { reference, amount, confirmations: transfer.confirmations }.notice(&owner.setup)
        };
        self.hear(tx, caller, &mut case, &mut attempt, notice)?;
        self.finish(tx, caller, &mut case, Some(&mut attempt))
    }

    /// Of an address we do not have we know nothing, not even whose it is: who looks after the gateway is told, once it
    /// is confirmed, and once for the same money.
    fn tell_unknown(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, gateway_id, row): (ClientId, GatewayId, &Gateway),
        transfer: AddressTransfer,
    ) -> Result<()> {
        let AddressTransfer { address, reference, amount, confirmations, is_dropped } = transfer;
        let known = row.currencies.iter().find(|it| it.code == amount.code);
        let counts = match known.map(|it| amount.like(*it)) {
            Some(Ok(amount)) => confirmations >= u64::from(row.setup.confirmations_for(amount)),
            Some(Err(problem)) => return Err(not_understood(&problem)),
            None => confirmations >= u64::from(CONFIRMATIONS),
        };
        let key = (client, gateway_id, format!("told of {reference}"));
        if is_dropped || !counts || tx.exists(&SEEN, &key)? {
            return Ok(());
        }

        tx.insert(&SEEN, &key, &Seen { at: tx.now() })?;
        tracing::warn!(gateway.id = %gateway_id, "{reference} was sent to {address}, which is no address of {gateway_id}");
        let amount_minor = amount.minor.to_string();
        let event = TransferUnknown { gateway_id, address, reference, amount_minor, currency: amount.code };
        tx.publish(caller, &event).map(drop)
    }
}

/// A message that is signed, and says what cannot be.
pub fn not_understood(problem: &str) -> Error {
    PaymentRefusal::WebhookNotUnderstood { problem: problem.to_owned() }.into()
}
