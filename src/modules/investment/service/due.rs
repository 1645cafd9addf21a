//! What comes by itself: a start, the end of a period, maturity. Done by the timer, and before any command decides;
//! whoever comes first does it, nobody does it again.

use std::time::Duration;

use super::{Investments, Position};
use crate::{
    kernel::{
        api::call::Caller,
        error::{Error, Result},
        money::Amount,
        store::WriteTx,
    },
    modules::{
        balance::contract::{HouseAccount, Line},
        category::contract::built_in,
        investment::{
            contract::InvestmentStatus,
            events::{InvestmentAccrued, InvestmentActivated, InvestmentClosed, InvestmentMatured},
            model::{AccrualRow, INVESTMENT, InvestmentEvent, at_maturity},
            repository::{ACCRUALS, INVESTMENTS, due, load},
        },
        pricing::contract::{Accrual, PlanInfo},
        transaction::contract::EntryType,
    },
};

/// How many investments, and how many periods, one transaction of the timer takes.
const POSITIONS: usize = 50;
const PERIODS: usize = 200;

impl Investments {
    /// Does some of what is due. One that cannot be done does not keep the others waiting: it is tried again in an hour.
    pub fn do_due(&self, tx: &mut WriteTx) -> Result<()> {
        let mut left = PERIODS;
        for (client, id) in due(tx, POSITIONS)? {
            if left == 0 {
                return Ok(());
            }
            let done = tx.attempt(|tx| {
                let mut it = Position { client, id, row: load(tx, client, id)? };
                self.bring_up_to_date(tx, &Caller::system(Some(client)), &mut it, left)
            });
            match done {
                Ok(done) => left = left.saturating_sub(done),
                Err(error) => {
                    tracing::error!(investment.id = %id, error = %error, "What is due of investment {id} cannot be done: {error}");
                    let mut row = load(tx, client, id)?;
                    row.due_at = Some(tx.now().after(Duration::from_secs(3600)));
                    tx.put(&INVESTMENTS, &(client, id), &row)?;
                }
            }
        }
        Ok(())
    }

    /// Does what is due by now, at most `most` periods of it, and stores it. How many there were. `closer` is who closes
    /// it, when it is mature.
    pub(super) fn bring_up_to_date(
        &self,
        tx: &mut WriteTx,
        closer: &Caller,
        it: &mut Position,
        most: usize,
    ) -> Result<usize> {
        let system = Caller { request_id: closer.request_id.clone(), ..Caller::system(Some(it.client)) };
        let now = tx.now();
        let is_to_start = it.row.status() == InvestmentStatus::Pending
            && !it.row.invested.is_zero()
            && it.row.starts_at <= now;
        if is_to_start {
            self.activate(tx, &system, it)?;
        }
        if it.row.status() != InvestmentStatus::Active {
            return Ok(0);
        }
        let to_come = it.row.to_come()?;
        let is_due = to_come.iter().take(most).take_while(|it| it.due <= now).count();
        for accrual in &to_come[..is_due] {
            self.accrue(tx, &system, it, accrual)?;
        }
        match to_come.last() {
            Some(last) if is_due == to_come.len() => self.mature(tx, (&system, closer), it, last)?,
            _ if is_due > 0 || is_to_start => it.store(tx)?,
            _ => {}
        }
        Ok(is_due)
    }

    /// It begins to earn.
    pub(super) fn activate(&self, tx: &mut WriteTx, caller: &Caller, it: &mut Position) -> Result<()> {
        it.row.history.step(&INVESTMENT, InvestmentEvent::Activate, caller, None, tx.now())?;
        tx.publish(caller, &InvestmentActivated::of(it.id, &it.row, None))?;
        Ok(())
    }

    /// yield_expense → invested, or → available.
    fn accrue(&self, tx: &mut WriteTx, caller: &Caller, it: &mut Position, accrual: &Accrual) -> Result<()> {
        let amount = accrual.amount;
        let to = if it.row.terms.compounding { it.invested() } else { it.available() };
        let lines = [Line::lower(it.house(HouseAccount::YieldExpense), amount), Line::raise(to, amount)];
        let side = (EntryType::Credit, amount, built_in::PROFIT, "Investment profit");
        let entry = self.post(tx, caller, it, "Investment profit", &lines, &[side])?;
        it.row.accrued = accrual.number;
        it.row.accrued_until = Some(accrual.due);
        it.row.profit = it.row.profit.plus(amount)?;
        it.row.invested = accrual.invested;
        let row = AccrualRow {
            number: accrual.number,
            from: accrual.from,
            due: accrual.due,
            days: accrual.days,
            amount,
            invested: accrual.invested,
            entry,
            posted_at: tx.now(),
        };
        tx.insert(&ACCRUALS, &(it.client, it.id, accrual.number), &row)?;
        tx.publish(caller, &InvestmentAccrued::of(it.id, &it.row, &row))?;
        Ok(())
    }

    /// The term is over: what was said becomes of the money.
    fn mature(
        &self,
        tx: &mut WriteTx,
        (system, closer): (&Caller, &Caller),
        it: &mut Position,
        last: &Accrual,
    ) -> Result<()> {
        it.row.history.step(&INVESTMENT, InvestmentEvent::Mature, system, None, tx.now())?;
        tx.publish(system, &InvestmentMatured::of(it.id, &it.row, None))?;
        let (rolled, reason) = match at_maturity(&it.row, it.row.instruction, last.amount)? {
            None => (None, None),
            Some(amount) => match self.roll_target(tx, it, amount) {
                Ok(plan) => (Some((plan, amount)), None),
                Err(Error::Refused(refusal)) => (None, Some(format!("not rolled over: {}", refusal.code()))),
                Err(fault) => return Err(fault),
            },
        };
        self.settle(tx, system, it, rolled.as_ref().map_or(it.nothing(), |it| it.1))?;
        if let Some((plan, amount)) = rolled {
            it.row.rolled_into = Some(self.roll(tx, system, it, plan, amount, last.due)?.id);
        }
        it.row.invested = it.nothing();
        it.row.history.step(&INVESTMENT, InvestmentEvent::Close, closer, reason.as_deref(), tx.now())?;
        it.store(tx)?;
        tx.publish(closer, &InvestmentClosed::of(it.id, &it.row, reason.as_deref()))?;
        Ok(())
    }

    /// The plan to go on in: the version on offer now. Refuses `user_not_active`, `plan_not_published`, `outside_plan`.
    fn roll_target(&self, tx: &mut WriteTx, it: &Position, amount: Amount) -> Result<PlanInfo> {
        self.users.check_may_pay(tx, it.client, it.row.user)?;
        let on_offer = self.pricing.published_version(tx, it.client, it.row.plan)?;
        let plan = on_offer.unwrap_or(it.row.plan);
        self.pricing.check_plan_takes(tx, it.client, plan, amount)?;
        let plan = self.pricing.plan(tx, it.client, plan)?;
        plan.terms.schedule(amount, it.row.matures_at())?; // What it earns can be said.
        Ok(plan)
    }

    /// Brings what is invested to `stays`: the rest is paid out, or what lacks comes from the profit just paid.
    fn settle(&self, tx: &mut WriteTx, caller: &Caller, it: &Position, stays: Amount) -> Result<()> {
        let (invested, available) = (it.invested(), it.available());
        if stays > it.row.invested {
            let more = stays.minus(it.row.invested)?;
            let side = (EntryType::Debit, more, built_in::INVESTMENT, "Profit invested again");
            let lines = [Line::lower(available, more), Line::raise(invested, more)];
            self.post(tx, caller, it, "Profit invested again", &lines, &[side])?;
        } else {
            let back = it.row.invested.minus(stays)?;
            let side = (EntryType::Credit, back, built_in::INVESTMENT, "Investment paid out");
            let lines = [Line::lower(invested, back), Line::raise(available, back)];
            self.post(tx, caller, it, "Investment paid out", &lines, &[side])?;
        }
        Ok(())
    }
}
