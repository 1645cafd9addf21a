//! The rules of investments: states, the row, and what is due when. No transaction in here.

use std::time::Duration;

use super::contract::{InvestmentId, InvestmentStatus, MaturityInstruction};
use crate::{
    kernel::{
        api::{
            input::text_enum,
            object::{Stamp, stamped},
            principal::{Actor, UserId},
        },
        clock::Time,
        error::Result,
        machine::{History, Machine},
        money::Amount,
        store::codec::{Decode, Encode, row},
    },
    modules::{
        balance::contract::EntryId,
        client::contract::Approval,
        payment::contract::PaymentId,
        pricing::contract::{Accrual, PlanId, Terms},
    },
};

text_enum! {
    pub enum InvestmentEvent {
        Activate = "activate",
        Cancel = "cancel",
        Mature = "mature",
        Close = "close",
        CloseEarly = "close_early",
        Suspend = "suspend",
        Resume = "resume",
        Default = "default",
    }
}

use InvestmentEvent as On;
use InvestmentStatus as Is;

pub const INVESTMENT: Machine<InvestmentStatus, InvestmentEvent> = Machine {
    name: "investment",
    initial: &[Is::Pending, Is::Active],
    moves: &[
        (Is::Pending, On::Activate, Is::Active),
        (Is::Pending, On::Cancel, Is::Canceled),
        (Is::Active, On::Mature, Is::Matured),
        (Is::Matured, On::Close, Is::Closed),
        (Is::Active, On::CloseEarly, Is::EarlyClosed),
        (Is::Active, On::Suspend, Is::Suspended),
        (Is::Suspended, On::Resume, Is::Active),
        (Is::Active, On::Default, Is::Defaulted),
        (Is::Suspended, On::Default, Is::Defaulted),
        // While it cools off.
        (Is::Active, On::Cancel, Is::Canceled),
    ],
};

/// Money put into a plan.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Investment {
    pub user: UserId,
    pub plan: PlanId,
    pub plan_number: u32,
    pub plan_name: String,
    /// As the plan was when it was made.
    pub terms: Terms,
    pub principal: Amount,
    /// What the user's invested account holds for it: nothing before it was paid for, and after its end.
    pub invested: Amount,
    /// All it has earned so far.
    pub profit: Amount,
    /// What was kept because it was closed early.
    pub penalty: Amount,
    pub instruction: MaturityInstruction,
    /// When it began; while pending, when it is to begin at the earliest.
    pub starts_at: Time,
    pub suspended_at: Option<Time>,
    /// How long it stood still, all suspensions that ended together.
    pub suspended_micros: u64,
    /// How many periods are credited.
    pub accrued: u32,
    /// When the last of them was due.
    pub accrued_until: Option<Time>,
    /// What is to come in, when it is not paid from the balance.
    pub payment: Option<PaymentId>,
    pub default_request: Option<DefaultRequest>,
    pub rolled_from: Option<InvestmentId>,
    pub rolled_into: Option<InvestmentId>,
    /// When the timer looks at it.
    pub due_at: Option<Time>,
    pub history: History<InvestmentStatus>,
    pub stamp: Stamp,
}
row!(Investment);
stamped!(Investment);

/// Somebody says that it failed.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct DefaultRequest {
    pub by: Actor,
    pub at: Time,
    pub reason: String,
    /// What the user gets back.
    pub recovered: Amount,
    /// What others think of it.
    pub approval: Approval,
}

/// A period that was credited: what the schedule said, and when it was done.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct AccrualRow {
    pub number: u32,
    pub from: Time,
    pub due: Time,
    pub days: u32,
    pub amount: Amount,
    /// What was invested afterwards.
    pub invested: Amount,
    /// None for a period that earned nothing.
    pub entry: Option<EntryId>,
    pub posted_at: Time,
}
row!(AccrualRow);

impl Investment {
    pub fn status(&self) -> InvestmentStatus {
        self.history.status()
    }

    /// When its term ends, unless it is suspended again.
    pub fn matures_at(&self) -> Time {
        self.shifted(self.terms.matures_at(self.starts_at))
    }

    /// Until when it may be canceled for nothing.
    pub fn cooling_off_until(&self) -> Time {
        self.starts_at.after(Duration::from_secs(u64::from(self.terms.cooling_off_hours) * 3600))
    }

    /// Until when it may be said what becomes of the money: a tenth of the term before maturity, at most a day.
    pub fn instruction_until(&self) -> Time {
        let tenth = Duration::from_secs(u64::from(self.terms.term_days) * 24 * 360);
        self.matures_at().before(tenth.min(Duration::from_secs(24 * 3600)))
    }

    /// The periods that are still to come, as they stand now. What was credited stays as it was.
    pub fn to_come(&self) -> Result<Vec<Accrual>> {
        let all = self.terms.schedule(self.principal, self.starts_at)?;
        let left = all.into_iter().skip(self.accrued as usize).enumerate();
        let moved = left.map(|(place, it)| {
            let from = match self.accrued_until {
                Some(until) if place == 0 => until,
                None if place == 0 => self.starts_at,
                _ => self.shifted(it.from),
            };
            Accrual { from, due: self.shifted(it.due), ..it }
        });
        Ok(moved.collect())
    }

    /// When something is to be done about it by itself.
    pub fn next_due(&self) -> Result<Option<Time>> {
        Ok(match self.status() {
            Is::Pending if !self.invested.is_zero() => Some(self.starts_at),
            Is::Active => self.to_come()?.first().map(|it| it.due),
            _ => None,
        })
    }

    fn shifted(&self, at: Time) -> Time {
        at.after(Duration::from_micros(self.suspended_micros))
    }
}

/// What is paid out at maturity, and what goes into the plan again. `last` is the profit of the last period, which is
/// part of `invested` when the plan compounds and was just paid out otherwise.
pub fn at_maturity(
    row: &Investment,
    instruction: MaturityInstruction,
    last: Amount,
) -> Result<Option<Amount>> {
    Ok(match instruction {
        MaturityInstruction::PayOut => None,
        MaturityInstruction::RollPrincipal => Some(row.principal),
        MaturityInstruction::RollAll if row.terms.compounding => Some(row.invested),
        MaturityInstruction::RollAll => Some(row.invested.plus(last)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::call::Caller,
            id::Id as _,
            money::{Currency, Percent},
            store::codec::golden,
        },
        modules::pricing::contract::{Cadence, DayCount, ReturnBasis},
    };

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn at(text: &str) -> Time {
        Time::parse(&format!("{text}T12:00:00Z")).unwrap()
    }

    fn running(cadence: Cadence, compounding: bool, term_days: u32) -> Investment {
        let now = at("2026-01-31");
        let terms = Terms {
            currency: usd(0).currency(),
            return_percent: "10".parse().unwrap(),
            return_basis: ReturnBasis::Annual,
            day_count: DayCount::Act365,
            cadence,
            compounding,
            term_days,
            early_close_penalty_percent: Percent::ZERO,
            cooling_off_hours: 24,
        };
        Investment {
            user: UserId::from_bytes([1; 16]),
            plan: PlanId::from_bytes([2; 16]),
            plan_number: 1,
            plan_name: "Loft".into(),
            terms,
            principal: usd(100_000),
            invested: usd(100_000),
            profit: usd(0),
            penalty: usd(0),
            instruction: MaturityInstruction::PayOut,
            starts_at: now,
            suspended_at: None,
            suspended_micros: 0,
            accrued: 0,
            accrued_until: None,
            payment: None,
            default_request: None,
            rolled_from: None,
            rolled_into: None,
            due_at: None,
            history: History::begin(Is::Active, &Caller::system(None), now),
            stamp: Stamp::at(now),
        }
    }

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let request = DefaultRequest {
            by: Actor::System,
            at: at("2026-03-01"),
            reason: "it burnt".into(),
            recovered: usd(5),
            approval: Approval::of_before(usd(100_000)),
        };
        let row = Investment {
            payment: Some(PaymentId::from_bytes([3; 16])),
            default_request: Some(request),
            rolled_into: Some(InvestmentId::from_bytes([4; 16])),
            suspended_micros: 7,
            accrued: 1,
            accrued_until: Some(at("2026-02-28")),
            due_at: Some(at("2026-03-31")),
            ..running(Cadence::Monthly, true, 90)
        };
        golden("investment.investments", &row);
        let accrual = AccrualRow {
            number: 1,
            from: at("2026-01-31"),
            due: at("2026-02-28"),
            days: 28,
            amount: usd(7_67),
            invested: usd(100_767),
            entry: Some(EntryId::from_bytes([5; 16])),
            posted_at: at("2026-02-28"),
        };
        golden("investment.accruals", &accrual);
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(INVESTMENT.flaws(), Vec::<String>::new());
    }

    #[test]
    fn standing_still_moves_all_that_is_to_come_and_changes_no_amount() {
        let mut row = running(Cadence::Monthly, true, 90);
        let before = row.to_come().unwrap();
        (row.accrued, row.accrued_until) = (1, Some(before[0].due));
        row.suspended_micros = 3 * 86_400_000_000;
        let after = row.to_come().unwrap();
        assert_eq!((after[0].from, after[0].due), (at("2026-02-28"), at("2026-04-03")));
        assert_eq!((after[1].from, after[1].due), (at("2026-04-03"), at("2026-05-03")));
        assert_eq!(after.last().unwrap().due, row.matures_at());
        assert_eq!(row.matures_at(), at("2026-05-04"));
        let amounts = |rows: &[Accrual]| rows.iter().map(|it| (it.amount, it.days)).collect::<Vec<_>>();
        assert_eq!(amounts(&after), amounts(&before[1..]));
    }

    #[test]
    fn an_instruction_is_fixed_a_tenth_of_the_term_and_at_most_a_day_before_maturity() {
        assert_eq!(running(Cadence::Daily, false, 90).instruction_until(), at("2026-04-30"));
        let day = running(Cadence::Daily, false, 1).instruction_until();
        assert_eq!(day, at("2026-02-01").before(Duration::from_secs(24 * 360)));
    }

    #[test]
    fn what_is_rolled_over_is_what_was_said() {
        use MaturityInstruction::{PayOut, RollAll, RollPrincipal};
        for (compounding, instruction, wanted) in [
            (false, PayOut, None),
            (false, RollPrincipal, Some(100_000)),
            (false, RollAll, Some(100_700)),
            (true, PayOut, None),
            (true, RollPrincipal, Some(100_000)),
            (true, RollAll, Some(102_000)),
        ] {
            let mut row = running(Cadence::Monthly, compounding, 90);
            if compounding {
                row.invested = usd(102_000);
            }
            let rolled = at_maturity(&row, instruction, usd(7_00)).unwrap();
            assert_eq!(rolled.map(|it| it.minor()), wanted, "{instruction}, compounding: {compounding}");
        }
    }
}
