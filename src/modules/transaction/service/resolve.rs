//! What becomes of a held transfer: captured, voided, or expired.
//!
//! The pending record of the payer shrinks with each part that is captured, which gets a record of its own; in the end
//! it is completed with what is captured last in full, or fails with what is given back.

use std::sync::Arc;

use super::{
    Moved, Transactions,
    record::{Side, shrink},
};
use crate::kernel::{
    api::{
        call::{Caller, found},
        input::input,
        object::save,
        principal::ClientId,
    },
    clock::Time,
    error::{Result, fault},
    events::worker::Job,
    money::{Amount, AmountText},
    store::{Key as _, Scan, WriteTx},
};
use crate::modules::{
    balance::contract::{EntryId, HoldId, Line, Posted},
    transaction::{
        contract::{EntryType, TransactionContract as _, TransactionRefusal, TransactionStatus, TransferId},
        events::{TransferCaptured, TransferExpired, TransferVoided},
        model::{Movement, TRANSFER, Transfer, TransferEvent, TransferStatus},
        repository::{EXPIRING, TRANSFERS},
    },
};

#[derive(utoipa::ToSchema)]
pub struct TransferCaptureIn {
    /// All that is still held, unless said.
    pub amount: Option<AmountText>,
    /// Gives back the rest; unless said it does. With `false` the rest stays held.
    #[schema(rename = "final")]
    pub is_final: Option<bool>,
}

impl crate::kernel::api::input::Input for TransferCaptureIn {
    const NAMES: &'static [&'static str] = &["amount", "final"];
    fn take(fields: &mut crate::kernel::api::input::Fields) -> Option<Self> {
        // `final` is a word of Rust, so that `input!` cannot name it.
        let (amount, is_final) = (fields.take("amount"), fields.take("final"));
        Some(TransferCaptureIn { amount: amount?, is_final: is_final? })
    }
}

#[derive(utoipa::ToSchema)]
pub struct TransferVoidIn {
    pub reason: Option<String>,
}
input!(TransferVoidIn { reason });

/// How many expired transfers one transaction takes.
const BATCH: usize = 100;

impl Transactions {
    /// Moves what is held, or a part of it. Refuses `not_found`, `invalid_state_transition`, the flaws of amounts,
    /// `capture_too_large`, `self_approval` (whoever gets it), `user_not_active`.
    pub fn capture(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        id: TransferId,
        input: &TransferCaptureIn,
    ) -> Result<Moved> {
        let client = caller.client()?;
        let mut transfer = found(tx.get(&TRANSFERS, &(client, id))?)?;
        let hold = held(&transfer, TransferEvent::Capture, tx.now())?;
        let remaining = transfer.amount.minus(transfer.captured()?)?;
        let amount = match &input.amount {
            Some(text) => text.positive("amount", transfer.amount.currency())?,
            None => remaining,
        };
        if amount > remaining {
            return Err(TransactionRefusal::CaptureTooLarge { remaining }.into());
        }
        self.check_not_to_self(tx, caller, client, &transfer.from, &transfer.to)?;
        if let Some(payer) = transfer.from.user_id() {
            self.users.check_may_pay(tx, client, payer)?;
        }

        let is_all = amount == remaining;
        let is_final = is_all || input.is_final.unwrap_or(true);
        let narration = transfer.reason.clone().unwrap_or_else(|| "Transfer".to_owned());
        let lines = [Line::raise(transfer.to, amount)];
        let (_, posted) = self.balances.capture(tx, client, hold, &lines, is_final, &narration)?;
        let side = |account, entry_type| Side {
            account,
            entry_type,
            amount,
            status: TransactionStatus::Completed,
            narration: &narration,
            cause: id.to_string(),
        };
        let pending = pending_record(&transfer, id)?;
        if is_all {
            self.follow(tx, client, pending, TransactionStatus::Completed, posted.id)?;
        } else {
            let debit =
                self.record_side(tx, caller, client, &posted, side(transfer.from, EntryType::Debit))?;
            transfer.records_of_payer.extend(debit);
            shrink(tx, client, pending, amount)?;
            if is_final {
                self.follow(tx, client, pending, TransactionStatus::Failed, posted.id)?;
            }
        }
        let credit = self.record_side(tx, caller, client, &posted, side(transfer.to, EntryType::Credit))?;
        transfer.records_of_receiver.extend(credit);
        let now = tx.now();
        transfer.captures.push(Movement { amount, entry: posted.id, at: now });
        transfer.entry = posted.id;
        let event = if is_final { TransferEvent::Capture } else { TransferEvent::CapturePart };
        if is_final || transfer.status() == TransferStatus::Pending {
            transfer.history.step(&TRANSFER, event, caller, None, now)?;
        }
        save(tx, &TRANSFERS, &(client, id), &mut transfer)?;
        let event = TransferCaptured {
            transfer_id: id,
            amount: amount.digits(),
            currency: amount.currency().code,
            is_final,
            entry_id: posted.id,
            user_id: transfer.from.user_id().filter(|_| is_all),
        };
        tx.publish(caller, &event)?;
        Ok(Moved { id, transfer, states: posted.balances })
    }

    /// Gives back what is held. Refuses `not_found`, `invalid_state_transition`.
    pub fn void(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        id: TransferId,
        input: &TransferVoidIn,
    ) -> Result<Moved> {
        let client = caller.client()?;
        let transfer = found(tx.get(&TRANSFERS, &(client, id))?)?;
        let hold = held(&transfer, TransferEvent::Void, tx.now())?;

        let reason = input.reason.as_deref();
        let given = self.give_back(tx, caller, client, id, transfer, hold, TransferEvent::Void, reason)?;
        tx.publish(caller, &TransferVoided::of(id, given.amount, given.entry))?;
        Ok(given.moved)
    }

    /// Gives back what is held of a transfer whose time is over.
    fn expire(&self, tx: &mut WriteTx, client: ClientId, id: TransferId, transfer: Transfer) -> Result<()> {
        let caller = Caller::system(Some(client));
        let hold = transfer.hold.as_ref().map(|it| it.id).ok_or_else(|| fault!("{id} holds nothing"))?;
        let given = self.give_back(tx, &caller, client, id, transfer, hold, TransferEvent::Expire, None)?;
        tx.publish(&caller, &TransferExpired::of(id, given.amount, given.entry))?;
        Ok(())
    }

    /// Expires what is due. The commands do not wait for it: they look at the instant themselves.
    pub fn expiry(self: &Arc<Self>) -> Job {
        let transactions = self.clone();
        Job {
            name: "transaction.expire_transfers",
            due: Arc::new(|tx| {
                let next = tx.scan_index(&TRANSFERS, EXPIRING, Scan::all()).next().transpose()?;
                Ok(next.and_then(|(_, transfer)| transfer.expires_at()))
            }),
            run: Arc::new(move |tx| {
                let end = Time::from_micros(tx.now().micros() + 1).to_key();
                let due = tx.scan_index(&TRANSFERS, EXPIRING, Scan::all().until(end)).take(BATCH);
                let due: Vec<_> = due.collect::<Result<_>>()?;
                let (mut expired, mut failed) = (0, None);
                for ((client, id), transfer) in due {
                    // One that cannot expire does not keep the others from it.
                    match tx.attempt(|tx| transactions.expire(tx, client, id, transfer)) {
                        Ok(()) => expired += 1,
                        Err(error) => failed = Some(error),
                    }
                }
                match failed {
                    Some(error) if expired == 0 => Err(error),
                    _ => Ok(()),
                }
            }),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "two callers, right above")]
    fn give_back(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: TransferId,
        mut transfer: Transfer,
        hold: HoldId,
        event: TransferEvent,
        reason: Option<&str>,
    ) -> Result<GivenBack> {
        let rest = transfer.amount.minus(transfer.captured()?)?;
        let narration = if event == TransferEvent::Void { "Transfer voided" } else { "Transfer expired" };
        let (_, posted): (_, Posted) = self.balances.release(tx, client, hold, narration)?;
        let pending = pending_record(&transfer, id)?;
        self.follow(tx, client, pending, TransactionStatus::Failed, posted.id)?;
        let now = tx.now();
        transfer.history.step(&TRANSFER, event, caller, reason, now)?;
        save(tx, &TRANSFERS, &(client, id), &mut transfer)?;
        Ok(GivenBack {
            amount: rest,
            entry: posted.id,
            moved: Moved { id, transfer, states: posted.balances },
        })
    }
}

struct GivenBack {
    amount: Amount,
    entry: EntryId,
    moved: Moved,
}

/// The open hold of a transfer that `event` is allowed for. At the instant it expires it is expired, whether or not
/// the timer has run.
fn held(transfer: &Transfer, event: TransferEvent, now: Time) -> Result<HoldId> {
    if transfer.expires_at().is_some_and(|it| now >= it) {
        let after = TRANSFER.next(transfer.status(), TransferEvent::Expire)?;
        return Err(TRANSFER.refusal(after, event).into());
    }
    TRANSFER.next(transfer.status(), event)?;
    transfer.hold.as_ref().map(|it| it.id).ok_or_else(|| TRANSFER.refusal(transfer.status(), event).into())
}

/// The payer's record of what is set aside. Only a user's money is held, so there is one.
fn pending_record(
    transfer: &Transfer,
    id: TransferId,
) -> Result<crate::modules::transaction::contract::TransactionId> {
    transfer.records_of_payer.first().copied().ok_or_else(|| fault!("{id} has no pending record"))
}
