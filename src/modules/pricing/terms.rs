//! What an investment earns, and when: the one pure function behind a plan's preview, a position's schedule, and what is
//! posted.
//!
//! A period ends at each beat of the cadence, counted from the start (a month from 31 January ends on 28 February, the
//! next on 31 March), the last at maturity. Days are days of the calendar in UTC; 30/360 counts every month as 30
//! (30E/360).
//!
//! | return | a period earns | all periods |
//! |---|---|---|
//! | `annual`, not compounding | principal × percent × its days ÷ the days of a year | principal × percent × all days ÷ the days of a year |
//! | `annual`, compounding | the same of principal and all profit before | what the periods sum to |
//! | `term` | its days' part of principal × percent | principal × percent |
//!
//! Every period is rounded half to even; where the sum is fixed the last one takes the remainder, and none before it
//! goes beyond the sum. Compounding says where profit of a `term` return is kept, not how much it is.

use jiff::{Span, civil::Date};

use crate::kernel::{
    api::input::{Flaw, text_enum},
    clock::Time,
    error::{Result, fault},
    money::{Amount, Currency, Percent},
    store::codec::{Decode, Encode},
};

text_enum! {
    /// What the return refers to.
    pub enum ReturnBasis { Term = "term", Annual = "annual" }
}

text_enum! {
    /// How days are counted, and how many a year has.
    pub enum DayCount { Act365 = "ACT/365", Act360 = "ACT/360", Thirty360 = "30/360" }
}

text_enum! {
    /// When profit is due.
    pub enum Cadence { Maturity = "maturity", Daily = "daily", Weekly = "weekly", Monthly = "monthly" }
}

/// The longest term, in days.
pub const LONGEST_TERM: u32 = 3650;

const DAY_MICROS: i64 = 86_400_000_000;

/// The terms of an investment: fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub struct Terms {
    pub currency: Currency,
    pub return_percent: Percent,
    pub return_basis: ReturnBasis,
    pub day_count: DayCount,
    pub cadence: Cadence,
    /// Profit is added to what is invested; otherwise it is paid out.
    pub compounding: bool,
    pub term_days: u32, // Invariant: 1 to LONGEST_TERM.
    /// Of the principal; kept when it is closed before maturity.
    pub early_close_penalty_percent: Percent,
    /// How long after its start it may be canceled for nothing.
    pub cooling_off_hours: u32,
}

/// One period and what it earns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accrual {
    /// From 1.
    pub number: u32,
    pub from: Time,
    /// Its end: the profit is due.
    pub due: Time,
    /// As the day count counts.
    pub days: u32,
    pub amount: Amount,
    /// What is invested afterwards.
    pub invested: Amount,
}

impl Terms {
    /// When the term ends.
    pub fn matures_at(&self, start: Time) -> Time {
        at_day(start, day_of(start) + i64::from(self.term_days))
    }

    /// Every period of an investment of `principal` that starts at `start`. Refuses `amount_too_large`, and
    /// `out_of_range` when the calendar ends before the term.
    pub fn schedule(&self, principal: Amount, start: Time) -> Result<Vec<Accrual>> {
        let ends = self.ends(start)?;
        let first = date(day_of(start))?;
        let mut counted = vec![0];
        for day in &ends {
            counted.push(self.day_count.between(first, date(*day)?));
        }
        let all_days = *counted.last().unwrap_or(&0);
        let (share, whole) = self.return_percent.fraction();
        // What one day earns of one unit is share / per_day.
        let per_day = match self.return_basis {
            ReturnBasis::Annual => whole * self.day_count.year(),
            ReturnBasis::Term => whole * all_days.max(1),
        };
        let earns = |of: Amount, days: i128| {
            let product = of.minor().checked_mul(share).and_then(|it| it.checked_mul(days));
            product.map(|it| half_even(it, per_day)).ok_or_else(too_large)
        };
        let sum = match self.return_basis {
            ReturnBasis::Term => Some(half_even(principal.minor() * share, whole)),
            ReturnBasis::Annual if self.compounding => None,
            ReturnBasis::Annual => Some(earns(principal, all_days)?),
        };

        let (mut rows, mut from, mut profit, mut invested) = (vec![], start, 0, principal);
        for (place, day) in ends.iter().enumerate() {
            let days = counted[place + 1] - counted[place];
            let minor = match sum {
                None => earns(invested, days)?,
                Some(sum) if place + 1 == ends.len() => sum - profit,
                Some(sum) => earns(principal, days)?.min(sum - profit),
            };
            let amount = Amount::new(minor, principal.currency())?;
            profit += minor;
            if self.compounding {
                invested = invested.plus(amount)?;
            }
            let due = at_day(start, *day);
            let (number, days) = (place as u32 + 1, days as u32);
            rows.push(Accrual { number, from, due, days, amount, invested });
            from = due;
        }
        Ok(rows)
    }

    /// The day on which each period ends, ascending; the last is the day of maturity.
    fn ends(&self, start: Time) -> Result<Vec<i64>> {
        let first = day_of(start);
        let last = first + i64::from(self.term_days);
        let mut ends = vec![];
        for beat in 1..=i64::from(LONGEST_TERM) {
            let end = match self.cadence {
                Cadence::Maturity => last,
                Cadence::Daily => first + beat,
                Cadence::Weekly => first + 7 * beat,
                Cadence::Monthly => {
                    let end = date(first)?.checked_add(Span::new().months(beat)).map_err(|_| beyond())?;
                    number(end)?
                }
            };
            if end >= last {
                break;
            }
            ends.push(end);
        }
        ends.push(last);
        Ok(ends)
    }
}

impl DayCount {
    /// The days of a year.
    fn year(self) -> i128 {
        match self {
            DayCount::Act365 => 365,
            DayCount::Act360 | DayCount::Thirty360 => 360,
        }
    }

    /// Never less for a later `to`.
    fn between(self, from: Date, to: Date) -> i128 {
        match self {
            DayCount::Act365 | DayCount::Act360 => i128::from((to - from).get_days()),
            DayCount::Thirty360 => {
                let days = |it: Date| {
                    i128::from(it.year()) * 360 + i128::from(it.month()) * 30 + i128::from(it.day().min(30))
                };
                days(to) - days(from)
            }
        }
    }
}

/// Days since 1970-01-01.
fn day_of(at: Time) -> i64 {
    at.micros().div_euclid(DAY_MICROS)
}

/// That day, at the time of day of `start`.
fn at_day(start: Time, day: i64) -> Time {
    Time::from_micros(start.micros().saturating_add((day - day_of(start)).saturating_mul(DAY_MICROS)))
}

const EPOCH: Date = Date::constant(1970, 1, 1);

fn date(day: i64) -> Result<Date> {
    Span::new().try_days(day).and_then(|it| EPOCH.checked_add(it)).map_err(|_| beyond())
}

fn number(date: Date) -> Result<i64> {
    let days = EPOCH.until(date).map_err(|error| fault!("{date} has no number: {error}"))?;
    Ok(i64::from(days.get_days()))
}

/// `numerator / denominator`, a half to the even neighbour. Neither is negative.
fn half_even(numerator: i128, denominator: i128) -> i128 {
    let (quotient, rest) = (numerator / denominator, numerator % denominator);
    let goes_up = match (2 * rest).cmp(&denominator) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i128::from(goes_up)
}

fn too_large() -> crate::kernel::error::Error {
    Flaw::new("amount", "amount_too_large", "earns more than the system can hold").into()
}

fn beyond() -> crate::kernel::error::Error {
    Flaw::new("starts_at", "out_of_range", "the calendar ends before the term does").into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::api::input::Named as _;

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn at(text: &str) -> Time {
        Time::parse(&format!("{text}T09:30:00Z")).unwrap()
    }

    fn terms(
        percent: &str,
        basis: ReturnBasis,
        cadence: Cadence,
        compounding: bool,
        term_days: u32,
    ) -> Terms {
        Terms {
            currency: usd(0).currency(),
            return_percent: percent.parse().unwrap(),
            return_basis: basis,
            day_count: DayCount::Act365,
            cadence,
            compounding,
            term_days,
            early_close_penalty_percent: Percent::ZERO,
            cooling_off_hours: 0,
        }
    }

    fn amounts(rows: &[Accrual]) -> Vec<i128> {
        rows.iter().map(|it| it.amount.minor()).collect()
    }

    #[test]
    fn months_end_on_the_day_they_began_or_on_their_last() {
        let ends = |start: &str, days: u32| -> Vec<String> {
            let terms = terms("10", ReturnBasis::Annual, Cadence::Monthly, false, days);
            let rows = terms.schedule(usd(100_000), at(start)).unwrap();
            rows.iter().map(|it| it.due.to_string().split('T').next().unwrap().to_owned()).collect()
        };
        assert_eq!(ends("2026-01-31", 90), ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-01"]);
        assert_eq!(ends("2028-01-31", 60), ["2028-02-29", "2028-03-31"], "a leap year");
        assert_eq!(ends("2028-02-29", 31), ["2028-03-29", "2028-03-31"]);
        assert_eq!(ends("2026-12-15", 31), ["2027-01-15"], "the last beat is the day of maturity");
        assert_eq!(ends("2026-12-15", 1), ["2026-12-16"]);
    }

    #[test]
    fn days_are_counted_as_the_market_does() {
        let date = |text: &str| text.parse::<Date>().unwrap();
        for (from, to, actual, thirty) in [
            ("2026-01-31", "2026-02-28", 28, 28),
            ("2026-02-28", "2026-03-31", 31, 32),
            ("2028-02-28", "2028-03-01", 2, 3),
            ("2028-02-29", "2029-02-28", 365, 359),
            ("2026-01-30", "2026-01-31", 1, 0),
            ("2026-01-01", "2027-01-01", 365, 360),
            ("2028-01-01", "2029-01-01", 366, 360),
        ] {
            let days = |count: DayCount| count.between(date(from), date(to));
            let found = (days(DayCount::Act365), days(DayCount::Act360), days(DayCount::Thirty360));
            assert_eq!(found, (actual, actual, thirty), "{from} to {to}");
        }
    }

    #[test]
    fn the_last_period_takes_the_remainder() {
        // 10 % of 1000.00 over a year, day by day: 0.27397… a day, and all of it 100.00.
        let daily = terms("10", ReturnBasis::Annual, Cadence::Daily, false, 365);
        let rows = amounts(&daily.schedule(usd(100_000), at("2026-03-01")).unwrap());
        assert_eq!((rows.len(), rows[0], rows[364]), (365, 27, 10_000 - 364 * 27));
        // A fraction of a unit a day that rounds up: nothing is paid beyond the sum.
        let rows = amounts(&daily.schedule(usd(2_000), at("2026-03-01")).unwrap());
        assert_eq!((rows.iter().sum::<i128>(), rows[0], rows[364]), (2_00, 1, 0));
        assert!(rows.iter().all(|it| (0..=1).contains(it)));
    }

    #[test]
    fn a_term_earns_what_it_says_and_compounding_earns_on_profit() {
        let sum = |terms: Terms| {
            amounts(&terms.schedule(usd(100_000), at("2026-01-01")).unwrap()).iter().sum::<i128>()
        };
        for compounding in [false, true] {
            for cadence in [Cadence::Maturity, Cadence::Monthly, Cadence::Daily] {
                assert_eq!(sum(terms("7.5", ReturnBasis::Term, cadence, compounding, 100)), 7_500);
            }
        }
        assert_eq!(sum(terms("12", ReturnBasis::Annual, Cadence::Maturity, true, 365)), 12_000);
        // 1000.00 × 0.12 × 31/365 = 10.19; then 1010.19 × 0.12 × 28/365 = 9.30; …
        let monthly = terms("12", ReturnBasis::Annual, Cadence::Monthly, true, 59);
        let rows = monthly.schedule(usd(100_000), at("2026-01-01")).unwrap();
        assert_eq!(amounts(&rows), [1_019, 9_30]);
        assert_eq!(rows[1].invested, usd(101_949));
    }

    #[test]
    fn half_goes_to_the_even_neighbour() {
        let halves =
            [(5, 10, 0), (15, 10, 2), (25, 10, 2), (24, 10, 2), (26, 10, 3), (0, 10, 0), (10, 10, 1)];
        for (numerator, denominator, wanted) in halves {
            assert_eq!(half_even(numerator, denominator), wanted, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let long = terms("100", ReturnBasis::Annual, Cadence::Maturity, false, LONGEST_TERM);
        let refused = |principal, start| long.schedule(principal, start).unwrap_err().code();
        assert_eq!(refused(usd(crate::kernel::money::MAX_MINOR), at("2026-01-01")), Some("amount_too_large"));
        assert_eq!(refused(usd(1), at("9995-01-01")), Some("out_of_range"));
    }

    prop_compose! {
        fn any_terms()(
            micro in 0u32..=100_000_000, basis in 0usize..2, count in 0usize..3, cadence in 0usize..4,
            compounding: bool, term_days in 1u32..800,
        ) -> Terms {
            let percent = rust_decimal::Decimal::new(i64::from(micro), 6).to_string();
            Terms {
                day_count: DayCount::ALL[count],
                ..terms(&percent, ReturnBasis::ALL[basis], Cadence::ALL[cadence], compounding, term_days)
            }
        }
    }

    proptest! {
        /// Periods follow one another without a gap from the start to maturity; none earns less than nothing; together
        /// they earn what the table at the head of this file says.
        #[test]
        fn a_schedule_is_whole(terms in any_terms(), minor in 1i128..10i128.pow(14), day in 0i64..40_000, second in 0i64..86_400) {
            let (principal, start) = (usd(minor), Time::from_micros((day * 86_400 + second) * 1_000_000));
            let rows = terms.schedule(principal, start).unwrap();
            let (mut from, mut invested, mut sum) = (start, principal, 0);
            for (place, row) in rows.iter().enumerate() {
                prop_assert_eq!((row.number as usize, row.from), (place + 1, from));
                prop_assert!(row.due > row.from);
                sum += row.amount.minor();
                invested = if terms.compounding { invested.plus(row.amount).unwrap() } else { invested };
                prop_assert_eq!(row.invested, invested);
                from = row.due;
            }
            prop_assert_eq!(from, terms.matures_at(start));
            let (share, whole) = terms.return_percent.fraction();
            let days: i128 = rows.iter().map(|it| i128::from(it.days)).sum();
            if terms.return_basis == ReturnBasis::Term {
                prop_assert_eq!(sum, half_even(minor * share, whole));
            } else if terms.compounding {
                // Each period stands for itself: half a unit is the most it may be off.
                for (place, row) in rows.iter().enumerate() {
                    let of = if place == 0 { minor } else { rows[place - 1].invested.minor() };
                    let (exact, unit) = (of * share * i128::from(row.days), whole * terms.day_count.year());
                    prop_assert!(2 * (row.amount.minor() * unit - exact).abs() <= unit);
                }
            } else {
                prop_assert_eq!(sum, half_even(minor * share * days, whole * terms.day_count.year()));
            }
        }
    }
}
