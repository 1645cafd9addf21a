//! What is counted, and the calendar it is counted by: all in UTC.

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use crate::kernel::{
    api::{input::text_enum, principal::UserId},
    clock::Time,
    error::{Result, fault},
    money::{Currency, CurrencyCode},
    store::codec::{Decode, Encode, row},
};

text_enum! {
    /// What is counted: how often, and how much of it.
    pub enum Metric {
        /// Whoever became a user.
        Users = "users",
        /// Whoever became a user through another one.
        Referrals = "referrals",
        /// Deposits that were credited; the amount is what their users got.
        Deposits = "deposits",
        /// Deposits that failed, expired or were canceled; the amount is what was asked for.
        DepositsFailed = "deposits_failed",
        /// Fundings that were taken back.
        DepositsReversed = "deposits_reversed",
        /// Money that staff credited: profit, commission, transfers.
        Credits = "credits",
        /// Withdrawals that arrived; the amount is what was paid out.
        Withdrawals = "withdrawals",
        /// Withdrawals that were rejected, canceled, expired or failed.
        WithdrawalsFailed = "withdrawals_failed",
        /// Withdrawals that had arrived and came back.
        WithdrawalsReturned = "withdrawals_returned",
        /// Payments that were settled; the amount is what came.
        Payments = "payments",
        /// Payments that failed, expired or were canceled.
        PaymentsFailed = "payments_failed",
        /// Money that went back.
        Refunds = "refunds",
        /// Refunds that failed or were canceled.
        RefundsFailed = "refunds_failed",
        /// Swaps, in the currency that was given.
        Swaps = "swaps",
        /// Corrections by hand: what was credited less what was debited.
        Adjustments = "adjustments",
        /// What was kept as fees, less what was given back with a reversal.
        Fees = "fees",
        /// What was taken as tax.
        Taxes = "taxes",
        /// Investments that were made; the amount is the principal.
        Investments = "investments",
        /// Investments that were closed, at maturity or before.
        InvestmentsClosed = "investments_closed",
        /// Investments that were canceled, or that failed.
        InvestmentsFailed = "investments_failed",
        /// What investments earned, each time a period ended.
        Earnings = "earnings",
        /// What users gave in transfers, and gave back.
        TransfersOut = "transfers_out",
        /// What users got in transfers, and got back.
        TransfersIn = "transfers_in",
    }
}

impl Metric {
    /// Whether it is counted in a currency.
    pub fn is_money(self) -> bool {
        !matches!(self, Metric::Users | Metric::Referrals)
    }
}

/// What came about, and what did not: their share is a success rate.
pub const OUTCOMES: &[(Metric, Metric)] = &[
    (Metric::Deposits, Metric::DepositsFailed),
    (Metric::Withdrawals, Metric::WithdrawalsFailed),
    (Metric::Payments, Metric::PaymentsFailed),
    (Metric::Refunds, Metric::RefundsFailed),
    (Metric::InvestmentsClosed, Metric::InvestmentsFailed),
];

text_enum! {
    /// What waits for a person, or for a gateway.
    pub enum Queue {
        /// Withdrawals that nobody has decided on.
        WithdrawalApprovals = "withdrawal_approvals",
        /// Withdrawals of which nobody knows what became of them.
        WithdrawalsToReconcile = "withdrawals_to_reconcile",
        /// Payments of which what came does not fit what was asked.
        ConflictedPayments = "conflicted_payments",
        /// Refunds that were asked for and have not ended: undecided, or on their way.
        OpenRefunds = "open_refunds",
        /// Investments of which somebody says that they failed: a second person has to agree.
        InvestmentDefaults = "investment_defaults",
        /// Corrections by hand that somebody else has to agree to.
        AdjustmentApprovals = "adjustment_approvals",
        /// Payments that somebody says have come: somebody else has to agree.
        PaymentApprovals = "payment_approvals",
        /// People who are to decide over requests: a second person has to agree.
        AccessApprovals = "access_approvals",
        /// Disputes of which the bank has the money and the books say nothing yet.
        UnbookedDisputes = "unbooked_disputes",
        /// Withdrawals whose gateway contradicts the books: two people have to find out.
        ConflictedWithdrawals = "conflicted_withdrawals",
    }
}

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// Something happened `times` times, with so much money.
    Counts { metric: Metric, user: Option<UserId>, times: i64, money: Option<Money> },
    /// The entity of the event waits.
    Waits { queue: Queue, user: Option<UserId> },
    /// The entity of the event waits no more, if it did.
    Goes,
}

/// An amount that may be below zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Money {
    pub minor: i128,
    pub currency: Currency,
}

impl Money {
    /// Of an amount as events carry it: with exactly the decimals of its currency.
    pub fn parse(text: &str, code: CurrencyCode) -> Result<Money> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let minor = format!("{whole}{fraction}").parse();
        let decimals = u8::try_from(fraction.len());
        match (minor, decimals) {
            (Ok(minor), Ok(decimals)) => Ok(Money { minor, currency: Currency { code, decimals } }),
            _ => Err(fault!("{text} {code} is no amount")),
        }
    }

    pub fn negated(self) -> Money {
        Money { minor: -self.minor, ..self }
    }
}

/// How often, and how much in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Counter {
    pub times: i64,
    /// Minor units of the currency it is kept under.
    pub minor: i128,
    /// Of that currency.
    pub decimals: u8,
}
row!(Counter);

impl Counter {
    /// Stays at the end of what a number can hold: counting never refuses a command.
    pub fn add(&mut self, other: Counter) {
        self.times = self.times.saturating_add(other.times);
        self.minor = self.minor.saturating_add(other.minor);
        self.decimals = self.decimals.max(other.decimals);
    }

    pub fn is_zero(&self) -> bool {
        self.times == 0 && self.minor == 0
    }

    /// The amount, with the decimals of its currency.
    pub fn show(&self, code: CurrencyCode) -> String {
        Currency { code, decimals: self.decimals }.show(self.minor)
    }
}

/// `done` of `done + failed` in percent with two decimals, rounded down: only all of them is 100.
pub fn success_percent(done: i64, failed: i64) -> Option<String> {
    let (done, all) = (i128::from(done), i128::from(done) + i128::from(failed));
    let hundredths = (all > 0).then(|| done * 10_000 / all)?;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

text_enum! {
    /// How long one point of a series is.
    pub enum Interval {
        Hour = "hour",
        Day = "day",
        /// From Monday on.
        Week = "week",
        Month = "month",
    }
}

const HOUR: i64 = 3600 * 1_000_000;
pub const DAY: i64 = 24 * HOUR;

pub fn hour_of(at: Time) -> Time {
    Time::from_micros(at.micros() - at.micros().rem_euclid(HOUR))
}

pub fn day_of(at: Time) -> Time {
    Time::from_micros(at.micros() - at.micros().rem_euclid(DAY))
}

impl Interval {
    /// The start of the point that `at` belongs to; `None` beyond the calendar.
    pub fn start(self, at: Time) -> Option<Time> {
        match self {
            Interval::Hour => Some(hour_of(at)),
            Interval::Day => Some(day_of(at)),
            Interval::Week => {
                let date = date_of(at)?;
                let days = i64::from(date.weekday().to_monday_zero_offset());
                time_of(date.checked_sub(days.days()).ok()?)
            }
            Interval::Month => time_of(date_of(at)?.first_of_month()),
        }
    }

    /// The start of the point after the one that starts at `start`.
    pub fn next(self, start: Time) -> Option<Time> {
        match self {
            Interval::Hour => Some(Time::from_micros(start.micros().checked_add(HOUR)?)),
            Interval::Day => Some(Time::from_micros(start.micros().checked_add(DAY)?)),
            Interval::Week => Some(Time::from_micros(start.micros().checked_add(7 * DAY)?)),
            Interval::Month => time_of(date_of(start)?.checked_add(1.month()).ok()?),
        }
    }
}

fn date_of(at: Time) -> Option<Date> {
    Some(Timestamp::from_microsecond(at.micros()).ok()?.to_zoned(TimeZone::UTC).date())
}

fn time_of(date: Date) -> Option<Time> {
    let start = date.to_zoned(TimeZone::UTC).ok()?;
    Some(Time::from_micros(start.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    #[test]
    fn a_point_starts_where_its_interval_does() {
        let at = time("2028-02-29T13:45:10Z"); // A Tuesday, in a leap year.
        for (interval, start, next) in [
            (Interval::Hour, "2028-02-29T13:00:00Z", "2028-02-29T14:00:00Z"),
            (Interval::Day, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Interval::Week, "2028-02-28T00:00:00Z", "2028-03-06T00:00:00Z"),
            (Interval::Month, "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            assert_eq!(interval.start(at), Some(time(start)), "{interval}");
            assert_eq!(interval.start(time(start)), Some(time(start)), "{interval}: its first instant");
            assert_eq!(interval.next(time(start)), Some(time(next)), "{interval}");
        }
        assert_eq!(Interval::Month.next(time("2026-12-01T00:00:00Z")), Some(time("2027-01-01T00:00:00Z")));
        assert_eq!(Interval::Month.start(Time::MAX), None);
    }

    #[test]
    fn an_amount_is_read_to_the_last_digit() {
        let code: CurrencyCode = "ETH".parse().unwrap();
        for (text, minor, decimals) in [
            ("0", 0, 0),
            ("12", 12, 0),
            ("0.05", 5, 2),
            ("1000.00", 100_000, 2),
            ("1.000000000000000001", 1_000_000_000_000_000_001, 18),
        ] {
            let money = Money::parse(text, code).unwrap();
            assert_eq!((money.minor, money.currency.decimals), (minor, decimals), "{text}");
            assert_eq!(money.currency.show(money.minor), text);
        }
        assert!(Money::parse("", code).is_err() && Money::parse("1.x", code).is_err());
    }

    #[test]
    fn a_success_rate_is_rounded_down() {
        for (done, failed, percent) in [
            (0, 0, None),
            (0, 3, Some("0.00")),
            (2, 1, Some("66.66")),
            (99_999, 1, Some("99.99")),
            (5, 0, Some("100.00")),
        ] {
            assert_eq!(success_percent(done, failed).as_deref(), percent, "{done} of {failed} more");
        }
    }
}
