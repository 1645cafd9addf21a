//! Taking back a transfer, or a part of it: a new entry that names the one it reverses.

use super::{Moved, Transactions, create::Known, record::Side};
use crate::kernel::{
    api::{
        call::{Caller, found},
        input::input,
        object::save,
    },
    error::Result,
    money::AmountText,
    store::WriteTx,
};
use crate::modules::{
    balance::contract::{Line, NewEntry},
    transaction::{
        contract::{EntryType, TransactionContract as _, TransactionRefusal, TransactionStatus, TransferId},
        events::TransferReversed,
        model::{Movement, TRANSFER, TransferEvent, TransferStatus},
        repository::TRANSFERS,
    },
};

#[derive(utoipa::ToSchema)]
pub struct TransferReverseIn {
    /// All that was not taken back yet, unless said.
    pub amount: Option<AmountText>,
    /// Why; at most 500 characters.
    pub reason: Option<String>,
}
input!(TransferReverseIn { amount, reason });

impl Transactions {
    /// Takes back what moved, or a part of it, from who has it now. Refuses `not_found`, `invalid_state_transition`,
    /// the flaws of amounts, `reverse_too_large`, `self_approval` (whoever gets it back), `user_not_active`,
    /// `insufficient_funds`.
    pub fn reverse(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        id: TransferId,
        input: &TransferReverseIn,
    ) -> Result<Moved> {
        let client = caller.client()?;
        let mut transfer = found(tx.get(&TRANSFERS, &(client, id))?)?;
        TRANSFER.next(transfer.status(), TransferEvent::Reverse)?;
        let remaining = transfer.captured()?.minus(transfer.reversed()?)?;
        let amount = match &input.amount {
            Some(text) => text.positive("amount", transfer.amount.currency())?,
            None => remaining,
        };
        if amount > remaining {
            return Err(TransactionRefusal::ReverseTooLarge { remaining }.into());
        }
        for account in [&transfer.to, &transfer.from] {
            self.check_not_reserved(tx, caller, account, &mut Known::default())?;
        }
        self.check_not_to_self(tx, caller, client, &transfer.to, &transfer.from)?;
        if let Some(receiver) = transfer.to.user_id() {
            self.users.check_may_pay(tx, client, receiver)?;
        }
        let narration = input.reason.as_deref().unwrap_or("Transfer reversed");
        let lines = [Line::lower(transfer.to, amount), Line::raise(transfer.from, amount)];
        let reverses = Some(transfer.entry);
        let entry = NewEntry { cause: id.to_string(), description: narration, lines: &lines, reverses };
        let posted = self.balances.post(tx, client, entry)?;

        for (account, entry_type) in [(transfer.to, EntryType::Debit), (transfer.from, EntryType::Credit)] {
            let status = TransactionStatus::Completed;
            let side = Side { account, entry_type, amount, status, narration, cause: id.to_string() };
            self.record_side(tx, caller, client, &posted, side)?;
        }
        let now = tx.now();
        transfer.reversals.push(Movement { amount, entry: posted.id, at: now });
        let reason = input.reason.as_deref();
        if amount == remaining {
            transfer.history.step(&TRANSFER, TransferEvent::Reverse, caller, reason, now)?;
            for record in transfer.records_of_payer.iter().chain(&transfer.records_of_receiver) {
                let row = self.find(tx, client, *record)?;
                // What was given back when the transfer was captured in part had failed before.
                if row.is_some_and(|it| it.status == TransactionStatus::Completed) {
                    self.follow(tx, client, *record, TransactionStatus::Reversed, posted.id)?;
                }
            }
        } else if transfer.status() == TransferStatus::Posted {
            transfer.history.step(&TRANSFER, TransferEvent::ReversePart, caller, reason, now)?;
        }
        save(tx, &TRANSFERS, &(client, id), &mut transfer)?;
        tx.publish(caller, &TransferReversed::of(id, amount, posted.id))?;
        Ok(Moved { id, transfer, states: posted.balances })
    }
}
