//! Ending an investment before its time: closing it early, canceling it.

use super::{Investments, Position};
use crate::{
    kernel::{
        api::call::{Call, Caller},
        error::Result,
        machine::Step,
        store::WriteTx,
    },
    modules::{
        balance::contract::{HouseAccount, Line},
        category::contract::built_in,
        investment::{
            contract::{InvestmentId, InvestmentRefusal, InvestmentStatus},
            events::{InvestmentCanceled, InvestmentEarlyClosed},
            model::{INVESTMENT, InvestmentEvent},
            routes::InvestmentOut,
        },
        transaction::contract::EntryType,
    },
};

impl Investments {
    /// Before maturity: what is invested comes back, less the penalty; the running period earns nothing. From maturity
    /// on: what was to be done then, whether or not the timer came to it. Refuses `invalid_state_transition`,
    /// `user_not_active` (the penalty is a debit).
    pub fn close(&self, tx: &mut WriteTx, call: &Call<InvestmentId>) -> Result<InvestmentOut> {
        let caller = &call.caller;
        let mut it = self.current(tx, caller, call.path)?;
        // Whoever closed it, the timer or the line above: the command says no more than that.
        if it.row.status() == InvestmentStatus::Closed {
            return Ok(it.out());
        }
        if it.step(tx, caller, InvestmentEvent::CloseEarly, None)? == Step::Repeated {
            return Ok(it.out());
        }
        self.users.check_may_pay(tx, it.client, it.row.user)?;

        let back = it.row.invested;
        let penalty = it.row.principal.percent_up(it.row.terms.early_close_penalty_percent)?;
        let lines = [
            Line::lower(it.invested(), back),
            Line::raise(it.available(), back.minus(penalty)?),
            Line::raise(it.house(HouseAccount::FeeIncome), penalty),
        ];
        let sides = [
            (EntryType::Credit, back, built_in::INVESTMENT, "Investment closed early"),
            (EntryType::Fee, penalty, built_in::FEE, "Penalty for closing early"),
        ];
        self.post(tx, caller, &it, "Investment closed early", &lines, &sides)?;
        (it.row.invested, it.row.penalty) = (it.nothing(), penalty);
        it.store(tx)?;
        tx.publish(caller, &InvestmentEarlyClosed::of(it.id, &it.row, None))?;
        Ok(it.out())
    }

    /// Before it begins, or while it cools off and has earned nothing: all of it comes back. Refuses
    /// `invalid_state_transition`, `cooling_off_over`; and what its payment refuses.
    pub fn cancel(&self, tx: &mut WriteTx, call: &Call<InvestmentId>) -> Result<InvestmentOut> {
        let caller = &call.caller;
        let mut it = self.current(tx, caller, call.path)?;
        let was = it.row.status();
        let cooling_off_until = it.row.cooling_off_until();
        let is_over = tx.now() >= cooling_off_until || it.row.accrued > 0;
        if was == InvestmentStatus::Active && is_over {
            return Err(InvestmentRefusal::CoolingOffOver { cooling_off_until }.into());
        }
        if it.step(tx, caller, InvestmentEvent::Cancel, None)? == Step::Repeated {
            return Ok(it.out());
        }

        let open_payment = it.row.payment.filter(|_| it.row.invested.is_zero());
        self.take_back(tx, caller, &mut it, None)?;
        if let Some(payment) = open_payment {
            self.payments.cancel(tx, caller, it.client, payment)?;
        }
        Ok(it.out())
    }

    /// invested → available, of one that was just canceled.
    pub(super) fn take_back(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        it: &mut Position,
        reason: Option<&str>,
    ) -> Result<()> {
        let back = it.row.invested;
        let lines = [Line::lower(it.invested(), back), Line::raise(it.available(), back)];
        let side = (EntryType::Credit, back, built_in::INVESTMENT, "Investment canceled");
        self.post(tx, caller, it, "Investment canceled", &lines, &[side])?;
        it.row.invested = it.nothing();
        it.store(tx)?;
        tx.publish(caller, &InvestmentCanceled::of(it.id, &it.row, reason))?;
        Ok(())
    }
}

impl Position {
    pub(super) fn step(
        &mut self,
        tx: &WriteTx,
        caller: &Caller,
        event: InvestmentEvent,
        reason: Option<&str>,
    ) -> Result<Step> {
        self.row.history.step(&INVESTMENT, event, caller, reason, tx.now())
    }
}
