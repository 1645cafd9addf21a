//! What a fee rule applies to, and what it costs.
//!
//! Of the active rules that apply, the most specific one decides alone: nothing is added up. A rule is the more specific
//! the more it names; of those that name as many, one that names an earlier of
//!
//! 1. the gateway, 2. the user's tier, 3. the currency that is received, 4. the currency
//!
//! goes first. Two active rules never apply to exactly the same, so there is always one answer, whatever their age.

use std::cmp::Reverse;

use crate::{
    kernel::{
        api::{
            input::{Flaw, text_enum},
            object::{Stamp, stamped},
        },
        error::Result,
        machine::{History, Machine},
        money::{Amount, Currency, CurrencyCode, Percent},
        store::codec::{Decode, Encode, row},
    },
    modules::pricing::contract::{FeeOperation, FeeQuestion, GatewayId},
};

text_enum! {
    pub enum FeeStatus { Active = "active", Inactive = "inactive" }
}

text_enum! {
    pub enum FeeEvent { Deactivate = "deactivate" }
}

pub const FEE: Machine<FeeStatus, FeeEvent> = Machine {
    name: "fee",
    initial: &[FeeStatus::Active],
    moves: &[(FeeStatus::Active, FeeEvent::Deactivate, FeeStatus::Inactive)],
};

/// A rule that says what an operation costs.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Fee {
    pub name: String,
    pub applies: Applies,
    pub cost: Cost,
    pub history: History<FeeStatus>,
    pub stamp: Stamp,
}
row!(Fee);
stamped!(Fee);

impl Fee {
    pub fn status(&self) -> FeeStatus {
        self.history.status()
    }
}

/// When a rule applies. What it does not name may be anything.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Applies {
    pub operation: FeeOperation,
    pub currency: Option<Currency>,
    /// Swaps: the currency that is received.
    pub to: Option<CurrencyCode>,
    pub gateway: Option<GatewayId>,
    pub tier: Option<String>,
}

/// What is asked of the rules.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub operation: FeeOperation,
    pub currency: CurrencyCode,
    pub to: Option<CurrencyCode>,
    pub gateway: Option<GatewayId>,
    pub tier: &'a str,
}

impl<'a> From<&FeeQuestion<'a>> for Case<'a> {
    fn from(it: &FeeQuestion<'a>) -> Case<'a> {
        let currency = it.amount.currency().code;
        Case { operation: it.operation, currency, to: it.to, gateway: it.gateway, tier: it.tier }
    }
}

impl Applies {
    pub fn to(&self, case: &Case<'_>) -> bool {
        self.operation == case.operation
            && self.currency.is_none_or(|it| it.code == case.currency)
            && self.to.is_none_or(|it| Some(it) == case.to)
            && self.gateway.is_none_or(|it| Some(it) == case.gateway)
            && self.tier.as_ref().is_none_or(|it| it == case.tier)
    }

    /// The greater, the more specific. No two rules that apply to one case and differ have the same.
    fn rank(&self) -> (usize, [bool; 4]) {
        let named = [self.gateway.is_some(), self.tier.is_some(), self.to.is_some(), self.currency.is_some()];
        (named.iter().filter(|it| **it).count(), named)
    }

    /// Whether the conditions make sense together.
    pub fn check(&self) -> Result<()> {
        let not_allowed = |param: &str, why: &str| Err(Flaw::new(param, "not_allowed", why).into());
        let is_swap = matches!(self.operation, FeeOperation::Swap | FeeOperation::Spread);
        if self.to.is_some() && !is_swap {
            return not_allowed("to_currency", "only swaps have a second currency");
        }
        if self.to.is_some() && self.to == self.currency.map(|it| it.code) {
            return not_allowed("to_currency", "is what is given already");
        }
        if self.gateway.is_some() && is_swap {
            return not_allowed("gateway_id", "a swap goes through no gateway");
        }
        Ok(())
    }
}

/// The rule that decides.
pub fn most_specific<I>(rules: Vec<(I, Fee)>, case: &Case<'_>) -> Option<(I, Fee)> {
    rules.into_iter().filter(|it| it.1.applies.to(case)).min_by_key(|it| Reverse(it.1.applies.rank()))
}

/// `percent` of the amount plus `fixed`, at least `min`, at most `max`; from an amount on, as its tier says.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Cost {
    // Invariant: amounts are of the rule's currency, min <= max, and tiers ascend.
    pub percent: Percent,
    pub fixed: Option<Amount>,
    pub min: Option<Amount>,
    pub max: Option<Amount>,
    pub tiers: Vec<Tier>,
}

/// What counts for the whole of an amount that reaches `from`, instead of the rule's own percentage and fixed part.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Tier {
    pub from: Amount,
    pub percent: Percent,
    pub fixed: Option<Amount>,
}

impl Cost {
    /// The fee for `amount`: rounded up, a customer pays it.
    pub fn fee(&self, amount: Amount) -> Result<Amount> {
        let reached = self.tiers.iter().rev().find(|it| amount >= it.from);
        let (percent, fixed) = reached.map_or((self.percent, self.fixed), |it| (it.percent, it.fixed));
        let mut fee = amount.percent_up(percent)?;
        if let Some(fixed) = fixed {
            fee = fee.plus(fixed)?;
        }
        if let Some(min) = self.min.filter(|min| fee < *min) {
            fee = min;
        }
        if let Some(max) = self.max.filter(|max| fee > *max) {
            fee = max;
        }
        Ok(fee)
    }

    /// Whether the parts fit together, and the operation.
    pub fn check(&self, operation: FeeOperation) -> Result<()> {
        let flaw = |param: &str, code, why: String| Err(Flaw::new(param, code, why).into());
        if operation == FeeOperation::Spread {
            let extra = [
                ("fixed", self.fixed.is_some()),
                ("min", self.min.is_some()),
                ("max", self.max.is_some()),
                ("tiers", !self.tiers.is_empty()),
            ];
            if let Some((param, _)) = extra.into_iter().find(|it| it.1) {
                return flaw(param, "not_allowed", "a spread is a percentage and nothing else".into());
            }
            if !self.percent.is_below_all() {
                return flaw("percent", "out_of_range", "a spread must be below 100".into());
            }
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && min > max
        {
            return flaw("min", "out_of_range", format!("must not be above the maximum, {max}"));
        }
        if self.tiers.len() > 20 {
            return flaw("tiers", "out_of_range", "must be at most 20".into());
        }
        let mut below = None;
        for (place, tier) in self.tiers.iter().enumerate() {
            let is_above = below.is_none_or(|it| tier.from > it);
            if tier.from.is_zero() || !is_above {
                let why = "must be above zero, and above the tier before".into();
                return flaw(&format!("tiers[{place}].from"), "out_of_range", why);
            }
            below = Some(tier.from);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        api::call::Caller, clock::Time, id::Id as _, money::AmountText, store::codec::golden,
    };

    fn amount(text: &str) -> Amount {
        let (digits, code) = text.split_once(' ').unwrap();
        let decimals = match code {
            "JPY" => 0,
            "BTC" => 8,
            _ => 2,
        };
        let currency = Currency { code: code.parse().unwrap(), decimals };
        digits.parse::<AmountText>().unwrap().not_negative("amount", currency).unwrap()
    }

    fn some(text: &str) -> Option<Amount> {
        (!text.is_empty()).then(|| amount(text))
    }

    fn gateway() -> GatewayId {
        GatewayId::from_bytes([7; 16])
    }

    fn applies(text: &str) -> Applies {
        let mut it =
            Applies { operation: FeeOperation::Swap, currency: None, to: None, gateway: None, tier: None };
        for word in text.split_whitespace() {
            match word {
                "gateway" => it.gateway = Some(gateway()),
                "gold" => it.tier = Some("gold".into()),
                "to-eur" => it.to = Some("EUR".parse().unwrap()),
                "usd" => it.currency = Some(amount("0 USD").currency()),
                other => panic!("{other}"),
            }
        }
        it
    }

    fn rule(applies: Applies) -> Fee {
        let at = Time::from_micros(1_795_342_000_000_000);
        Fee {
            name: "Fee".into(),
            applies,
            cost: Cost { percent: "1.5".parse().unwrap(), fixed: some("0.30 USD"), ..Cost::default() },
            history: History::begin(FeeStatus::Active, &Caller::system(None), at),
            stamp: Stamp::at(at),
        }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let mut rule = rule(applies("gateway gold to-eur usd"));
        rule.cost.tiers =
            vec![Tier { from: amount("1000 USD"), percent: Percent::ZERO, fixed: some("5 USD") }];
        golden("pricing.fees", &rule);
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(FEE.flaws(), Vec::<String>::new());
    }

    #[test]
    fn the_most_specific_rule_decides_alone() {
        // From the least specific to the most: each wins over all before it, in whatever order they were made.
        let ranked = [
            "",
            "usd",
            "to-eur",
            "gold",
            "gateway",
            "to-eur usd",
            "gold usd",
            "gold to-eur",
            "gateway usd",
            "gateway to-eur",
            "gateway gold",
            "gold to-eur usd",
            "gateway to-eur usd",
            "gateway gold usd",
            "gateway gold to-eur",
            "gateway gold to-eur usd",
        ];
        let case = Case {
            operation: FeeOperation::Swap,
            currency: "USD".parse().unwrap(),
            to: Some("EUR".parse().unwrap()),
            gateway: Some(gateway()),
            tier: "gold",
        };
        for most in 1..=ranked.len() {
            let rules: Vec<_> = ranked[..most].iter().map(|it| (*it, rule(applies(it)))).collect();
            let reversed = rules.iter().rev().cloned().collect();
            assert_eq!(most_specific(rules, &case).unwrap().0, ranked[most - 1]);
            assert_eq!(most_specific(reversed, &case).unwrap().0, ranked[most - 1]);
        }
        // What names something else does not apply, however specific.
        let other = Case { gateway: None, tier: "standard", currency: "GBP".parse().unwrap(), ..case };
        let rules: Vec<_> = ranked.iter().map(|it| (*it, rule(applies(it)))).collect();
        assert_eq!(most_specific(rules.clone(), &other).unwrap().0, "to-eur");
        let deposit = Case { operation: FeeOperation::Funding, ..case };
        assert!(most_specific(rules, &deposit).is_none());
    }

    #[test]
    fn a_fee_is_a_share_and_a_fixed_part_within_its_bounds() {
        // percent, fixed, min, max, of → fee
        for (percent, fixed, min, max, of, fee) in [
            ("0", "", "", "", "100.00 USD", "0.00 USD"),
            ("1.5", "", "", "", "100.00 USD", "1.50 USD"),
            // A fee rounds up: 1.5 % of 10.01 is 0.15015.
            ("1.5", "", "", "", "10.01 USD", "0.16 USD"),
            ("0.000001", "", "", "", "0.01 USD", "0.01 USD"),
            ("100", "", "", "", "10.01 USD", "10.01 USD"),
            ("0", "1.00 USD", "", "", "200.00 USD", "1.00 USD"),
            ("1", "0.30 USD", "", "", "20.00 USD", "0.50 USD"),
            // The bounds apply to the sum of both.
            ("1", "0.30 USD", "0.50 USD", "", "20.00 USD", "0.50 USD"),
            ("1", "0.30 USD", "0.51 USD", "", "20.00 USD", "0.51 USD"),
            ("1", "0.30 USD", "", "0.49 USD", "20.00 USD", "0.49 USD"),
            ("0", "", "2.00 USD", "", "5.00 USD", "2.00 USD"),
            ("1", "", "0.00 USD", "0.00 USD", "5.00 USD", "0.00 USD"),
            // Decimals of the currency itself.
            ("1", "", "", "", "150 JPY", "2 JPY"),
            ("0.1", "", "", "", "0.00000001 BTC", "0.00000001 BTC"),
        ] {
            let percent = percent.parse().unwrap();
            let cost = Cost { percent, fixed: some(fixed), min: some(min), max: some(max), tiers: vec![] };
            assert_eq!(cost.fee(amount(of)).unwrap(), amount(fee), "{cost:?} of {of}");
        }
    }

    #[test]
    fn a_tier_counts_for_the_whole_of_an_amount_that_reaches_it() {
        let tier = |from: &str, percent: &str, fixed: &str| Tier {
            from: amount(from),
            percent: percent.parse().unwrap(),
            fixed: some(fixed),
        };
        let cost = Cost {
            percent: "2".parse().unwrap(),
            fixed: some("1.00 USD"),
            min: some("2.00 USD"),
            max: some("40.00 USD"),
            tiers: vec![tier("1000.00 USD", "1", ""), tier("10000.00 USD", "0.5", "5.00 USD")],
        };
        cost.check(FeeOperation::Funding).unwrap();
        for (of, fee) in [
            ("10.00 USD", "2.00 USD"),
            ("999.99 USD", "21.00 USD"),
            ("1000.00 USD", "10.00 USD"),
            ("9999.99 USD", "40.00 USD"),
            ("10000.00 USD", "40.00 USD"),
        ] {
            assert_eq!(cost.fee(amount(of)).unwrap(), amount(fee), "of {of}");
        }
        let refused = |cost: Cost, operation| cost.check(operation).unwrap_err().code().unwrap();
        let tiers = vec![tier("5 USD", "1", ""), tier("5 USD", "2", "")];
        assert_eq!(refused(Cost { tiers, ..Cost::default() }, FeeOperation::Funding), "out_of_range");
        let tiers = vec![tier("0 USD", "1", "")];
        assert_eq!(refused(Cost { tiers, ..Cost::default() }, FeeOperation::Funding), "out_of_range");
        assert_eq!(refused(cost, FeeOperation::Spread), "not_allowed");
        let all = Cost { percent: "100".parse().unwrap(), ..Cost::default() };
        assert_eq!(refused(all.clone(), FeeOperation::Spread), "out_of_range");
        all.check(FeeOperation::Swap).unwrap();
    }
}
