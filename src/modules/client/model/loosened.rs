//! Which settings are controls, and what of a change lets more through than before. One person tightens a control, two
//! loosen it: this part of the change waits until somebody else agrees. Who approves what has rules of its own
//! (`approval.rs`), and is refused here.
//!
//! The table of docs/ARCHITECTURE.md, "Controls", says the same of every setting, and a test holds it to what happens.

use super::before::{LoosenedV1, SettingsProposalV1, SettingsProposalV2};
use crate::kernel::{
    api::principal::Actor,
    clock::Time,
    money::{Amount, AmountText, Currency, Percent},
    store::codec::{Decode, Encode, row},
};
use crate::modules::client::contract::{Settings, Tolerance};

/// A setting that lets less through, or more.
struct Control {
    name: &'static str,
    looser: Looser,
    at: fn(&mut Settings) -> Place<'_>,
}

/// Which way a control is loosened.
#[derive(Clone, Copy)]
enum Looser {
    More,
    Less,
    /// Whatever it is set to; switching it off is not.
    Any,
}

const CONTROLS: &[Control] = &[
    // Links in mails lead there, with what lets whoever follows them set a password.
    Control { name: "branding.website", looser: Looser::Any, at: |it| Place::Text(&mut it.branding.website) },
    Control { name: "funding.maximum", looser: Looser::More, at: |it| Place::Limit(&mut it.funding.maximum) },
    // A promised rate is an option: the longer it holds, the more it is worth to whoever has it.
    Control {
        name: "funding.quote_expires_after_s",
        looser: Looser::More,
        at: |it| Place::Seconds(&mut it.funding.quote_expires_after_s),
    },
    Control {
        name: "withdrawal.minimum",
        looser: Looser::Less,
        at: |it| Place::Limit(&mut it.withdrawal.minimum),
    },
    // Otherwise somebody looks once more when it is sent.
    Control {
        name: "withdrawal.auto_process",
        looser: Looser::More,
        at: |it| Place::Flag(&mut it.withdrawal.auto_process),
    },
    Control {
        name: "withdrawal.beneficiary_cooling_hours",
        looser: Looser::Less,
        at: |it| Place::Hours(&mut it.withdrawal.beneficiary_cooling_hours),
    },
    Control {
        name: "payment.tolerances",
        looser: Looser::More,
        at: |it| Place::Tolerances(&mut it.payment.tolerances),
    },
    Control {
        name: "transfer.between_users",
        looser: Looser::More,
        at: |it| Place::Flag(&mut it.transfer.between_users),
    },
    Control {
        name: "swap.quote_expires_after_s",
        looser: Looser::More,
        at: |it| Place::Seconds(&mut it.swap.quote_expires_after_s),
    },
    Control { name: "swap.maximum", looser: Looser::More, at: |it| Place::Limit(&mut it.swap.maximum) },
    Control {
        name: "referral.percent",
        looser: Looser::More,
        at: |it| Place::Percent(&mut it.referral.percent),
    },
    Control {
        name: "referral.maximum",
        looser: Looser::More,
        at: |it| Place::Limit(&mut it.referral.maximum),
    },
];

/// Where a control stands.
enum Place<'a> {
    Limit(&'a mut Option<Amount>),
    Seconds(&'a mut u64),
    Hours(&'a mut u32),
    Flag(&'a mut bool),
    Percent(&'a mut Percent),
    Text(&'a mut Option<String>),
    Tolerances(&'a mut Vec<Tolerance>),
}

/// What a control is set to.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Value {
    Limit(Option<Amount>),
    Number(u64),
    Flag(bool),
    Percent(Percent),
    Text(Option<String>),
    Tolerances(Vec<Tolerance>),
}

impl Control {
    fn of(&self, settings: &Settings) -> Value {
        match (self.at)(&mut settings.clone()) {
            Place::Limit(it) => Value::Limit(*it),
            Place::Seconds(it) => Value::Number(*it),
            Place::Hours(it) => Value::Number(u64::from(*it)),
            Place::Flag(it) => Value::Flag(*it),
            Place::Percent(it) => Value::Percent(*it),
            Place::Text(it) => Value::Text(it.clone()),
            Place::Tolerances(it) => Value::Tolerances(it.clone()),
        }
    }

    /// What is of another kind changes nothing: it was stored when the control was one.
    fn set(&self, settings: &mut Settings, value: &Value) {
        match ((self.at)(settings), value) {
            (Place::Limit(it), Value::Limit(value)) => *it = *value,
            (Place::Seconds(it), Value::Number(value)) => *it = *value,
            (Place::Hours(it), Value::Number(value)) => *it = u32::try_from(*value).unwrap_or(*it),
            (Place::Flag(it), Value::Flag(value)) => *it = *value,
            (Place::Percent(it), Value::Percent(value)) => *it = *value,
            (Place::Text(it), Value::Text(value)) => it.clone_from(value),
            (Place::Tolerances(it), Value::Tolerances(value)) => it.clone_from(value),
            _ => {}
        }
    }

    /// Whether `new` lets through what `old` did not.
    fn is_loosened(&self, new: &Value, old: &Value) -> bool {
        match (self.looser, new, old) {
            (Looser::Any, Value::Text(None), _) => false,
            (Looser::Any, new, old) => new != old,
            (Looser::More, new, old) => new.is_more_than(old),
            (Looser::Less, new, old) => new.is_less_than(old),
        }
    }
}

impl Value {
    /// Without a limit there is more than with any. Amounts of two currencies have no order: then it may be more.
    fn is_more_than(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Limit(_), Value::Limit(None)) => false,
            (Value::Limit(None), Value::Limit(Some(_))) => true,
            (Value::Limit(Some(new)), Value::Limit(Some(old))) => {
                new.partial_cmp(old).is_none_or(|it| it.is_gt())
            }
            (Value::Number(new), Value::Number(old)) => new > old,
            (Value::Flag(new), Value::Flag(old)) => new > old,
            (Value::Percent(new), Value::Percent(old)) => new.is_above(*old),
            (Value::Tolerances(new), Value::Tolerances(old)) => {
                new.iter().any(|it| !old.contains(it) && is_wider(it, old))
            }
            (new, old) => new != old,
        }
    }

    /// Without a least amount there is less than with any.
    fn is_less_than(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Limit(_), Value::Limit(None)) => false,
            (Value::Limit(None), Value::Limit(Some(_))) => true,
            (Value::Limit(Some(new)), Value::Limit(Some(old))) => {
                new.partial_cmp(old).is_none_or(|it| it.is_lt())
            }
            (Value::Number(new), Value::Number(old)) => new < old,
            (new, old) => new != old,
        }
    }
}

/// Whether it tolerates more than what was tolerated in its currency. What cannot be read may.
fn is_wider(new: &Tolerance, before: &[Tolerance]) -> bool {
    let amount = |it: &Tolerance| {
        let text: AmountText = it.amount.parse().ok()?;
        text.not_negative("tolerances", Currency { code: it.currency, decimals: 18 }).ok()
    };
    let Some(new_amount) = amount(new) else { return true };
    match before.iter().find(|it| it.currency == new.currency) {
        None => !new_amount.is_zero(),
        Some(old) => amount(old).is_none_or(|old| new_amount > old),
    }
}

/// New values of controls, by name, where they are looser than the ones in force.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Loosened(Vec<(String, Value)>);

/// Looser settings that wait for somebody else to agree.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SettingsProposal {
    pub loosened: Loosened,
    pub by: Actor,
    pub at: Time,
    /// The version of the client it was proposed with: every proposal has another.
    pub revision: u32,
}
row!(SettingsProposal, 3, { 1 => SettingsProposalV1, 2 => SettingsProposalV2 });

impl Loosened {
    /// Takes what is looser than before out of `new`: those settings stay as they are.
    pub fn take(old: &Settings, new: &mut Settings) -> Loosened {
        let mut loosened = vec![];
        for control in CONTROLS {
            let (value, before) = (control.of(new), control.of(old));
            if control.is_loosened(&value, &before) {
                control.set(new, &before);
                loosened.push((control.name.to_owned(), value));
            }
        }
        Loosened(loosened)
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// The settings with this agreed to.
    pub fn applied_to(&self, mut settings: Settings) -> Settings {
        for (name, value) in &self.0 {
            if let Some(control) = CONTROLS.iter().find(|it| it.name == name) {
                control.set(&mut settings, value);
            }
        }
        settings
    }
}

/// Whether a control of these is another one.
pub fn differ(a: &Settings, b: &Settings) -> bool {
    CONTROLS.iter().any(|it| it.of(a) != it.of(b))
}

/// When there were four controls.
impl From<LoosenedV1> for Loosened {
    fn from(it: LoosenedV1) -> Loosened {
        let LoosenedV1 { funding_maximum, withdrawal_minimum, beneficiary_cooling_hours, swap_maximum } = it;
        let values = [
            ("funding.maximum", funding_maximum.map(Value::Limit)),
            ("withdrawal.minimum", withdrawal_minimum.map(Value::Limit)),
            (
                "withdrawal.beneficiary_cooling_hours",
                beneficiary_cooling_hours.map(|it| Value::Number(u64::from(it))),
            ),
            ("swap.maximum", swap_maximum.map(Value::Limit)),
        ];
        let known = values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Loosened(known.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::store::{Row as _, codec::golden},
        modules::client::contract::ClientMode,
    };

    fn usd(minor: i128) -> Option<Amount> {
        Some(Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap())
    }

    fn tolerance(currency: &str, amount: &str) -> Tolerance {
        Tolerance { currency: currency.parse().unwrap(), amount: amount.to_owned() }
    }

    fn settings() -> Settings {
        let mut settings = Settings::for_new_client(ClientMode::Live, usd(0).unwrap().currency()).unwrap();
        settings.swap.maximum = usd(500);
        settings.branding.website = Some("https://pay.example".into());
        settings.payment.tolerances = vec![tolerance("USD", "0.50")];
        settings.referral.percent = "2.5".parse().unwrap();
        settings
    }

    #[test]
    fn what_is_looser_waits_and_what_is_tighter_is_in_force() {
        type Change = fn(&mut Settings);
        let table: [(Change, bool); 27] = [
            (|_| {}, false),
            (|it| it.funding.maximum = usd(100_000_000), false),
            (|it| it.funding.maximum = usd(100_000_001), true),
            (|it| it.funding.maximum = None, true),
            (|it| it.withdrawal.minimum = usd(1_001), false),
            (|it| it.withdrawal.minimum = usd(999), true),
            (|it| it.withdrawal.minimum = None, true),
            (|it| it.withdrawal.beneficiary_cooling_hours = 25, false),
            (|it| it.withdrawal.beneficiary_cooling_hours = 23, true),
            (|it| it.swap.maximum = usd(499), false),
            (|it| it.swap.maximum = usd(501), true),
            (|it| it.swap.maximum = None, true),
            (|it| it.branding.website = Some("https://other.example".into()), true),
            (|it| it.branding.website = None, false),
            (|it| it.funding.quote_expires_after_s = 60, false),
            (|it| it.funding.quote_expires_after_s = 86_400, true),
            (|it| it.swap.quote_expires_after_s = 31, true),
            (|it| it.withdrawal.auto_process = true, true),
            (|it| it.transfer.between_users = true, true),
            (|it| it.payment.tolerances = vec![], false),
            (|it| it.payment.tolerances = vec![tolerance("USD", "0.49"), tolerance("EUR", "0")], false),
            (|it| it.payment.tolerances = vec![tolerance("USD", "0.500")], false),
            (|it| it.payment.tolerances = vec![tolerance("USD", "0.51")], true),
            (|it| it.payment.tolerances.push(tolerance("BTC", "0.00000001")), true),
            (|it| it.referral.percent = "2.50".parse().unwrap(), false),
            (|it| it.referral.percent = "2.500001".parse().unwrap(), true),
            (|it| it.referral.maximum = usd(1), false),
        ];
        for (number, (change, is_looser)) in table.into_iter().enumerate() {
            let (old, mut wanted) = (settings(), settings());
            change(&mut wanted);
            let mut now = wanted.clone();
            let loosened = Loosened::take(&old, &mut now);
            assert_eq!(!loosened.is_nothing(), is_looser, "{number}");
            assert_eq!(now == old, is_looser || number == 0 || wanted == old, "{number}");
            assert_eq!(loosened.applied_to(now), wanted, "{number}");
        }
    }

    #[test]
    fn both_at_once_are_told_apart() {
        let (old, mut new) = (settings(), settings());
        (new.funding.maximum, new.withdrawal.minimum) = (None, usd(5_000));
        let loosened = Loosened::take(&old, &mut new);
        assert_eq!(loosened, Loosened(vec![("funding.maximum".into(), Value::Limit(None))]));
        assert_eq!((new.funding.maximum, new.withdrawal.minimum), (old.funding.maximum, usd(5_000)));
        assert!(differ(&old, &new) && !differ(&old, &old));
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let value = |name: &str, value: Value| (name.to_owned(), value);
        let loosened = Loosened(vec![
            value("funding.maximum", Value::Limit(None)),
            value("withdrawal.minimum", Value::Limit(usd(5))),
            value("withdrawal.beneficiary_cooling_hours", Value::Number(1)),
        ]);
        let at = Time::from_micros(1_795_342_000_000_000);
        let proposal = SettingsProposal { loosened, by: Actor::System, at, revision: 1 };
        for stored in [
            include_str!("../../../../tests/golden/rows/client.settings_proposals.v1.hex"),
            include_str!("../../../../tests/golden/rows/client.settings_proposals.v2.hex"),
        ] {
            let stored = data_encoding::HEXLOWER.decode(stored.trim().as_bytes()).unwrap();
            assert_eq!(SettingsProposal::decode_row(&stored).unwrap(), proposal, "what others stored");
        }
        let Loosened(mut values) = proposal.loosened.clone();
        values.push(value("transfer.between_users", Value::Flag(true)));
        values.push(value("referral.percent", Value::Percent("2.5".parse().unwrap())));
        values.push(value("branding.website", Value::Text(Some("https://pay.example".into()))));
        values.push(value("payment.tolerances", Value::Tolerances(vec![tolerance("USD", "0.50")])));
        let proposal = SettingsProposal { loosened: Loosened(values), ..proposal };
        golden("client.settings_proposals", &proposal);
    }
}
