//! Plans: what can be invested in, in versions whose terms never change once they are published.

use crate::{
    kernel::{
        api::{
            input::{Flaw, text_enum},
            object::{Stamp, stamped},
        },
        error::Result,
        machine::{History, Machine},
        money::Amount,
        store::codec::{Decode, Encode, row},
    },
    modules::pricing::{
        contract::{PlanId, PlanInfo, PlanStatus, PricingRefusal},
        terms::{LONGEST_TERM, Terms},
    },
};

text_enum! {
    pub enum PlanEvent { Publish = "publish", Pause = "pause", Close = "close" }
}

use PlanEvent as On;
use PlanStatus as Is;

pub const PLAN: Machine<PlanStatus, PlanEvent> = Machine {
    name: "plan",
    initial: &[Is::Draft],
    moves: &[
        (Is::Draft, On::Publish, Is::Published),
        (Is::Published, On::Pause, Is::Paused),
        (Is::Paused, On::Publish, Is::Published),
        (Is::Published, On::Close, Is::Closed),
        (Is::Paused, On::Close, Is::Closed),
    ],
};

/// A version of a plan.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Plan {
    /// The first version: what the versions of one plan have in common.
    pub family: PlanId,
    /// 1, 2, 3… among them.
    pub number: u32,
    pub offer: Offer,
    pub history: History<PlanStatus>,
    pub stamp: Stamp,
}
row!(Plan);
stamped!(Plan);

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Offer {
    pub name: String,
    /// What the money goes into, in the client's own words: `real_estate`.
    pub kind: String,
    pub min: Amount,
    pub max: Option<Amount>,
    pub terms: Terms,
    /// What else it brings, in words.
    pub benefits: Vec<String>,
}

impl Plan {
    pub fn status(&self) -> PlanStatus {
        self.history.status()
    }

    pub fn info(&self, id: PlanId) -> PlanInfo {
        PlanInfo { id, name: self.offer.name.clone(), number: self.number, terms: self.offer.terms }
    }

    /// Refuses `plan_not_published`, then as [`Offer::check_takes`].
    pub fn check_takes(&self, amount: Amount) -> Result<()> {
        if self.status() != Is::Published {
            return Err(PricingRefusal::PlanNotPublished { plan_status: self.status() }.into());
        }
        self.offer.check_takes(amount)
    }
}

impl Offer {
    /// Refuses `outside_plan`.
    pub fn check_takes(&self, amount: Amount) -> Result<()> {
        if amount >= self.min && self.max.is_none_or(|max| amount <= max) {
            return Ok(());
        }
        let (min_amount, max_amount, currency) = (self.min, self.max, self.terms.currency.code);
        Err(PricingRefusal::OutsidePlan { min_amount, max_amount, currency }.into())
    }

    /// Whether it makes sense.
    pub fn check(&self) -> Result<()> {
        let out_of_range = |param: &str, why: String| Err(Flaw::new(param, "out_of_range", why).into());
        if let Some(max) = self.max.filter(|max| *max < self.min) {
            return out_of_range("max_amount", format!("{max} is below the minimum, {}", self.min));
        }
        let terms = &self.terms;
        if !(1..=LONGEST_TERM).contains(&terms.term_days) {
            return out_of_range("term_days", format!("must be from 1 to {LONGEST_TERM}"));
        }
        if terms.cooling_off_hours > terms.term_days * 24 {
            return out_of_range("cooling_off_hours", "must not be longer than the term".into());
        }
        if self.benefits.len() > 20 {
            return out_of_range("benefits", "must be at most 20".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            api::call::Caller,
            clock::Time,
            id::Id as _,
            money::{Currency, Percent},
            store::codec::golden,
        },
        modules::pricing::terms::{Cadence, DayCount, ReturnBasis},
    };

    fn usd(minor: i128) -> Amount {
        Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
    }

    fn offer() -> Offer {
        let terms = Terms {
            currency: usd(0).currency(),
            return_percent: "7.5".parse().unwrap(),
            return_basis: ReturnBasis::Annual,
            day_count: DayCount::Act365,
            cadence: Cadence::Monthly,
            compounding: true,
            term_days: 90,
            early_close_penalty_percent: Percent::ZERO,
            cooling_off_hours: 24,
        };
        let (min, max, benefits) = (usd(10_000), Some(usd(500_000)), vec!["Support by telephone".into()]);
        Offer { name: "Quarter".into(), kind: "real_estate".into(), min, max, terms, benefits }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let history = History::begin(Is::Draft, &Caller::system(None), at);
        let family = PlanId::from_bytes([1; 16]);
        golden("pricing.plans", &Plan { family, number: 1, offer: offer(), history, stamp: Stamp::at(at) });
    }

    #[test]
    fn the_table_is_sound() {
        assert_eq!(PLAN.flaws(), Vec::<String>::new());
    }

    #[test]
    fn a_plan_takes_what_lies_within_it() {
        for (minor, is_taken) in [(9_999, false), (10_000, true), (500_000, true), (500_001, false)] {
            assert_eq!(offer().check_takes(usd(minor)).is_ok(), is_taken, "{minor}");
        }
        assert!(Offer { max: None, ..offer() }.check_takes(usd(i128::pow(10, 20))).is_ok());
    }

    #[test]
    fn an_offer_that_makes_no_sense_names_the_field() {
        let with = |change: &dyn Fn(&mut Offer)| {
            let mut changed = offer();
            change(&mut changed);
            changed.check().err().map(|it| it.to_string().split_whitespace().nth(1).unwrap().to_owned())
        };
        assert_eq!(with(&|_| {}), None);
        for (param, change) in [
            ("max_amount", &(|it: &mut Offer| it.max = Some(usd(1))) as &dyn Fn(&mut Offer)),
            ("term_days", &|it| it.terms.term_days = 0),
            ("term_days", &|it| it.terms.term_days = LONGEST_TERM + 1),
            ("cooling_off_hours", &|it| it.terms.cooling_off_hours = 90 * 24 + 1),
            ("benefits", &|it| it.benefits = vec!["x".into(); 21]),
        ] {
            assert_eq!(with(change).as_deref(), Some(param));
        }
    }
}
