//! What of a change of settings lets more through than before. One person tightens a control, two loosen it: this part
//! of the change waits until somebody else agrees. Who approves what has rules of its own (`approval.rs`), and is
//! refused here.

use super::before::SettingsProposalV1;
use crate::kernel::{
    api::principal::Actor,
    clock::Time,
    money::Amount,
    store::codec::{Decode, Encode, row},
};
use crate::modules::client::contract::Settings;

/// New values of controls, where they are looser than the ones in force.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct Loosened {
    pub funding_maximum: Option<Option<Amount>>,
    pub withdrawal_minimum: Option<Option<Amount>>,
    pub beneficiary_cooling_hours: Option<u32>,
    pub swap_maximum: Option<Option<Amount>>,
}

/// Looser settings that wait for somebody else to agree.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SettingsProposal {
    pub loosened: Loosened,
    pub by: Actor,
    pub at: Time,
    /// The version of the client it was proposed with: every proposal has another.
    pub revision: u32,
}
row!(SettingsProposal, 2, { 1 => SettingsProposalV1 });

impl Loosened {
    /// Takes what is looser than before out of `new`: those settings stay as they are.
    pub fn take(old: &Settings, new: &mut Settings) -> Loosened {
        let hours = &mut new.withdrawal.beneficiary_cooling_hours;
        let before = old.withdrawal.beneficiary_cooling_hours;
        let fewer_hours = (*hours < before).then(|| std::mem::replace(hours, before));
        Loosened {
            funding_maximum: swap_if(more, old.funding.maximum, &mut new.funding.maximum),
            withdrawal_minimum: swap_if(less, old.withdrawal.minimum, &mut new.withdrawal.minimum),
            beneficiary_cooling_hours: fewer_hours,
            swap_maximum: swap_if(more, old.swap.maximum, &mut new.swap.maximum),
        }
    }

    pub fn is_nothing(&self) -> bool {
        *self == Loosened::default()
    }

    /// The settings with this agreed to.
    pub fn applied_to(&self, mut settings: Settings) -> Settings {
        let Loosened { funding_maximum, withdrawal_minimum, beneficiary_cooling_hours, swap_maximum } = self;
        let to = &mut settings;
        to.funding.maximum = funding_maximum.unwrap_or(to.funding.maximum);
        to.withdrawal.minimum = withdrawal_minimum.unwrap_or(to.withdrawal.minimum);
        to.withdrawal.beneficiary_cooling_hours =
            beneficiary_cooling_hours.unwrap_or(to.withdrawal.beneficiary_cooling_hours);
        to.swap.maximum = swap_maximum.unwrap_or(to.swap.maximum);
        settings
    }
}

/// Whether a control of these is another one.
pub fn differ(a: &Settings, b: &Settings) -> bool {
    let of = |it: &Settings| {
        let hours = it.withdrawal.beneficiary_cooling_hours;
        (it.funding.maximum, it.withdrawal.minimum, hours, it.swap.maximum)
    };
    of(a) != of(b)
}

type Limit = Option<Amount>;

/// The new value, when it is looser; the old one is back in its place then.
fn swap_if(looser: fn(Amount, Amount) -> bool, old: Limit, new: &mut Limit) -> Option<Limit> {
    let is_looser = match (*new, old) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(new), Some(old)) => looser(new, old),
    };
    is_looser.then(|| std::mem::replace(new, old))
}

/// Amounts of two currencies have no order: then it may be looser.
fn more(new: Amount, old: Amount) -> bool {
    new.partial_cmp(&old).is_none_or(|it| it.is_gt())
}

fn less(new: Amount, old: Amount) -> bool {
    new.partial_cmp(&old).is_none_or(|it| it.is_lt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{
            money::Currency,
            store::{Row as _, codec::golden},
        },
        modules::client::contract::ClientMode,
    };

    fn usd(minor: i128) -> Option<Amount> {
        Some(Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap())
    }

    fn settings() -> Settings {
        let mut settings = Settings::for_new_client(ClientMode::Live, usd(0).unwrap().currency()).unwrap();
        settings.swap.maximum = usd(500);
        settings
    }

    #[test]
    fn what_is_looser_waits_and_what_is_tighter_is_in_force() {
        type Change = fn(&mut Settings);
        let table: [(Change, bool); 12] = [
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
        assert_eq!(loosened, Loosened { funding_maximum: Some(None), ..Loosened::default() });
        assert_eq!((new.funding.maximum, new.withdrawal.minimum), (old.funding.maximum, usd(5_000)));
        assert!(differ(&old, &new) && !differ(&old, &old));
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let loosened = Loosened {
            funding_maximum: Some(None),
            withdrawal_minimum: Some(usd(5)),
            beneficiary_cooling_hours: Some(1),
            swap_maximum: None,
        };
        let at = Time::from_micros(1_795_342_000_000_000);
        let proposal = SettingsProposal { loosened, by: Actor::System, at, revision: 1 };
        golden("client.settings_proposals", &proposal);
        let first = include_str!("../../../../tests/golden/rows/client.settings_proposals.v1.hex");
        let first = data_encoding::HEXLOWER.decode(first.trim().as_bytes()).unwrap();
        assert_eq!(SettingsProposal::decode_row(&first).unwrap(), proposal, "what the first release stored");
    }
}
