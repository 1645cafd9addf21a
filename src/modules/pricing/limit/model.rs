//! A rule, and what was used: pure.

use std::time::Duration;

use super::contract::{LimitRefusal, LimitWindow};
use crate::kernel::{
    api::{object::Times, principal::Actor},
    error::Result,
    money::Amount,
    store::codec::{Decode, Encode, row},
};

impl LimitWindow {
    pub fn lasts(self) -> Duration {
        let hours = match self {
            LimitWindow::Day => 24,
            LimitWindow::Month => 30 * 24,
        };
        Duration::from_secs(hours * 3600)
    }
}

/// How much is allowed, all in one currency. What is `None` is not limited.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Limit {
    pub min: Option<Amount>,
    pub max: Option<Amount>,
    pub per_24h: Option<Amount>,
    pub per_30d: Option<Amount>,
    pub times: Times,
}
row!(Limit);

impl Limit {
    pub fn of(&self, window: LimitWindow) -> Option<Amount> {
        match window {
            LimitWindow::Day => self.per_24h,
            LimitWindow::Month => self.per_30d,
        }
    }

    /// Whether it lets anything through that `other` stops; nothing stops anything where there is no rule.
    pub fn is_looser_than(&self, other: Option<&Limit>) -> bool {
        let Some(other) = other else { return false };
        let lets_less = match (self.min, other.min) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(new), Some(old)) => new < old,
        };
        let lets_more = |new: Option<Amount>, old: Option<Amount>| match (new, old) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(new), Some(old)) => new > old,
        };
        lets_less
            || lets_more(self.max, other.max)
            || lets_more(self.per_24h, other.per_24h)
            || lets_more(self.per_30d, other.per_30d)
    }

    /// Whether `amount` may be added to what was used in each window.
    pub fn check(&self, amount: Amount, used: impl Fn(LimitWindow) -> Result<Amount>) -> Result<()> {
        let currency = amount.currency().code;
        if let Some(min) = self.min.filter(|min| amount < *min) {
            return Err(LimitRefusal::BelowLimit { min, currency }.into());
        }
        if let Some(max) = self.max.filter(|max| amount > *max) {
            return Err(LimitRefusal::AboveLimit { max, currency }.into());
        }
        for window in [LimitWindow::Day, LimitWindow::Month] {
            let Some(limit) = self.of(window) else { continue };
            let used = used(window)?;
            if used.plus(amount)? > limit {
                return Err(LimitRefusal::LimitReached { window, limit, used, currency }.into());
            }
        }
        Ok(())
    }
}

/// What waits for somebody else to agree.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct LimitProposals {
    /// How often something was proposed: every proposal has another.
    pub revision: u32,
    /// A looser rule, and who proposed it.
    pub waiting: Option<(Limit, Actor)>,
}
row!(LimitProposals, 2, { 1 => LimitProposalsV1 });

/// When a proposal was gone once it was decided about.
#[derive(Decode)]
struct LimitProposalsV1 {
    limit: Limit,
    by: Actor,
}

impl From<LimitProposalsV1> for LimitProposals {
    fn from(it: LimitProposalsV1) -> LimitProposals {
        LimitProposals { revision: 1, waiting: Some((it.limit, it.by)) }
    }
}

/// What was used at one instant, or on one day.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Used {
    pub amount: Amount,
}
row!(Used);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        clock::Time,
        money::Currency,
        store::{Row as _, codec::golden},
    };

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn limit() -> Limit {
        Limit {
            min: Some(usd(10)),
            max: Some(usd(100)),
            per_24h: Some(usd(150)),
            per_30d: Some(usd(1000)),
            times: Times::at(Time::from_micros(1_795_342_000_000_000)),
        }
    }

    #[test]
    fn the_smallest_rule_that_is_broken_answers_first() {
        for (amount, day, month, wanted) in [
            (10, 0, 0, None),
            (100, 50, 900, None),
            (9, 999, 9999, Some("below_limit")),
            (101, 999, 9999, Some("above_limit")),
            (100, 51, 9999, Some("limit_reached")),
            (100, 50, 901, Some("limit_reached")),
        ] {
            let used = |window| Ok(usd(if window == LimitWindow::Day { day } else { month }));
            let got = limit().check(usd(amount), used);
            assert_eq!(got.as_ref().err().and_then(|it| it.code()), wanted, "{amount} {day} {month}");
        }
        let open = Limit { min: None, max: None, per_24h: None, per_30d: None, ..limit() };
        assert!(open.check(usd(1 << 60), |_| Ok(usd(1 << 60))).is_ok());
    }

    #[test]
    fn whatever_lets_more_through_is_looser() {
        for (new, is_looser) in [
            (limit(), false),
            (Limit { min: Some(usd(11)), max: Some(usd(99)), ..limit() }, false),
            (Limit { min: Some(usd(9)), ..limit() }, true),
            (Limit { min: None, ..limit() }, true),
            (Limit { max: Some(usd(101)), ..limit() }, true),
            (Limit { max: None, ..limit() }, true),
            (Limit { per_24h: Some(usd(151)), ..limit() }, true),
            (Limit { per_24h: None, ..limit() }, true),
            (Limit { per_30d: Some(usd(1001)), max: Some(usd(1)), ..limit() }, true),
        ] {
            assert_eq!(new.is_looser_than(Some(&limit())), is_looser, "{new:?}");
            assert!(!new.is_looser_than(None));
        }
        let open = Limit { min: None, max: None, per_24h: None, per_30d: None, ..limit() };
        assert!(!limit().is_looser_than(Some(&open)));
    }

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        golden("pricing.limits", &limit());
        let proposals = LimitProposals { revision: 1, waiting: Some((limit(), Actor::System)) };
        golden("pricing.limit_proposals", &proposals);
        let first = include_str!("../../../../tests/golden/rows/pricing.limit_proposals.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        assert_eq!(LimitProposals::decode_row(&first).unwrap(), proposals, "what the first release stored");
        golden("pricing.limit_uses", &Used { amount: usd(7) });
        golden("pricing.limit_days", &Used { amount: usd(77) });
    }
}
