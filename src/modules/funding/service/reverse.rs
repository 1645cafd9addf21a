//! Taking a credit back.

use super::{Fundings, load, store};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            principal::ClientId,
            text::ReasonIn,
        },
        error::{Result, fault},
        machine::Step,
        store::WriteTx,
    },
    modules::{
        balance::contract::{Line, NewEntry},
        funding::{
            contract::FundingId,
            events::FundingReversed,
            model::{FUNDING, Funding, FundingEvent},
            routes::FundingOut,
        },
        transaction::contract::TransactionStatus,
    },
};

impl Fundings {
    /// A new entry takes back what the first one did. Refuses `invalid_state_transition`, `user_not_active`
    /// (the user has no debits), and `insufficient_funds` when the user has spent it.
    pub fn reverse(&self, tx: &mut WriteTx, call: &Call<FundingId, ReasonIn>) -> Result<FundingOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let reason = &*call.input.reason;
        let mut funding = load(tx, client, call.path)?;
        if FUNDING.next(funding.status(), FundingEvent::Reverse).is_ok() {
            self.users.check_may_pay(tx, client, funding.user)?;
        }
        self.undo(tx, caller, (client, call.path), &mut funding, reason)?;
        Ok(FundingOut::of(call.path, &funding))
    }

    /// Posts the other way round what a funding posted. Refuses `invalid_state_transition`, `insufficient_funds`.
    pub(super) fn undo(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        (client, id): (ClientId, FundingId),
        funding: &mut Funding,
        reason: &str,
    ) -> Result<()> {
        let step = funding.history.step(&FUNDING, FundingEvent::Reverse, caller, Some(reason), tx.now())?;
        if step == Step::Repeated {
            return Ok(());
        }
        let missing = || fault!("{id} is completed without an entry");
        let entry = funding.entry.ok_or_else(missing)?;
        let lines = self.balance.lines_of(tx, client, entry)?.ok_or_else(missing)?;
        let lines: Vec<Line> =
            lines.iter().map(|it| Line { account: it.account, delta: -it.delta }).collect();

        let back =
            NewEntry { cause: id.to_string(), description: "Reversal", lines: &lines, reverses: Some(entry) };
        let posted = self.balance.post(tx, client, back)?;
        funding.reversal = Some(posted.id);
        for transaction in &funding.transactions {
            self.transactions.follow(tx, client, *transaction, TransactionStatus::Reversed, posted.id)?;
        }
        store(tx, client, id, funding)?;
        tx.publish(caller, &FundingReversed::of(id, funding, Some(reason)))?;
        Ok(())
    }
}
