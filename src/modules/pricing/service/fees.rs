//! Rules that say what operations cost.

use super::Pricing;
use crate::{
    kernel::{
        api::{
            call::{Call, Caller, found},
            input::{Change, Flaw},
            object::{Stamp, check_external_id, save},
            principal::{Actor, ClientId},
        },
        error::Result,
        machine::{History, Step},
        money::{Amount, AmountText, Currency},
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::ClientRefusal,
        pricing::{
            contract::{FeeId, FeeOperation, FeeQuestion, PricingContract as _, PricingRefusal},
            model::rule::{Applies, Cost, FEE, Fee, FeeEvent, FeeStatus, Tier},
            repository::{FEE_BY_EXTERNAL_ID, FEES, in_force},
            routes::fees::{FeeIn, FeeOut, FeePatchIn, FeePreviewIn, FeePreviewOut, FeeTierIn},
        },
        user,
    },
};

impl Pricing {
    pub fn show_fee(&self, tx: &ReadTx, call: &Call<FeeId>) -> Result<FeeOut> {
        Ok(FeeOut::of(call.path, &found(tx.get(&FEES, &(call.caller.client()?, call.path))?)?))
    }

    /// Refuses `currency_inactive`, what is wrong with the fields, `self_approval`, `external_id_taken`, `fee_taken`.
    pub fn create_fee(&self, tx: &mut WriteTx, call: &Call<(), FeeIn>) -> Result<FeeOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let active = |code| self.currencies.active(tx, client, code);
        let currency = input.currency.map(active).transpose()?;
        input.to_currency.map(active).transpose()?;
        let applies = Applies {
            operation: input.operation,
            currency,
            to: input.to_currency,
            gateway: input.gateway_id,
            tier: input.user_tier.as_ref().map(|it| it.as_str().to_owned()),
        };
        applies.check()?;
        let read = |param: &str, text: &Option<AmountText>| {
            text.as_ref().map(|it| read_amount(param, it, currency)).transpose()
        };
        let cost = Cost {
            percent: input.percent.unwrap_or_default(),
            fixed: read("fixed", &input.fixed)?,
            min: read("min", &input.min)?,
            max: read("max", &input.max)?,
            tiers: read_tiers(input.tiers.as_deref().unwrap_or_default(), currency)?,
        };
        cost.check(applies.operation)?;
        self.check_not_own(tx, &call.caller, &applies)?;
        check_external_id(tx, &FEES, FEE_BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        let rules = in_force(tx, client, applies.operation)?;
        if let Some((existing_id, _)) = rules.into_iter().find(|it| it.1.applies == applies) {
            return Err(PricingRefusal::FeeTaken { existing_id }.into());
        }

        let id: FeeId = tx.new_id();
        let fee = Fee {
            name: String::from(&input.name),
            applies,
            cost,
            history: History::begin(FeeStatus::Active, &call.caller, tx.now()),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&FEES, &(client, id), &fee)?;
        Ok(FeeOut::of(id, &fee))
    }

    /// Changes what it costs, from now on; what it applies to stays. Refuses `fee_inactive`,
    /// `self_approval`.
    pub fn change_fee(&self, tx: &mut WriteTx, call: &Call<FeeId, FeePatchIn>) -> Result<FeeOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let mut fee = found(tx.get(&FEES, &(client, call.path))?)?;
        call.caller.check_version(fee.stamp.version)?;
        if fee.status() != FeeStatus::Active {
            return Err(PricingRefusal::FeeInactive.into());
        }
        self.check_not_own(tx, &call.caller, &fee.applies)?;
        let (currency, cost) = (fee.applies.currency, &mut fee.cost);
        if let Some(name) = &input.name {
            fee.name = String::from(name);
        }
        cost.percent = input.percent.unwrap_or(cost.percent);
        change("fixed", &input.fixed, currency, &mut cost.fixed)?;
        change("min", &input.min, currency, &mut cost.min)?;
        change("max", &input.max, currency, &mut cost.max)?;
        if let Some(tiers) = &input.tiers {
            cost.tiers = read_tiers(tiers, currency)?;
        }
        cost.check(fee.applies.operation)?;
        fee.stamp.metadata.merge(input.metadata.clone());

        save(tx, &FEES, &(client, call.path), &mut fee)?;
        Ok(FeeOut::of(call.path, &fee))
    }

    /// It is not asked any more; what was charged stays. Refuses `self_approval`, `invalid_state_transition`.
    pub fn deactivate_fee(&self, tx: &mut WriteTx, call: &Call<FeeId>) -> Result<FeeOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut fee = found(tx.get(&FEES, &(client, call.path))?)?;
        self.check_not_own(tx, caller, &fee.applies)?;
        if fee.history.step(&FEE, FeeEvent::Deactivate, caller, None, tx.now())? == Step::Moved {
            save(tx, &FEES, &(client, call.path), &mut fee)?;
        }
        Ok(FeeOut::of(call.path, &fee))
    }

    /// What an operation would cost, by the function that charges.
    pub fn preview_fee(&self, tx: &ReadTx, call: &Call<(), FeePreviewIn>) -> Result<FeePreviewOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let currency = self.currencies.active(tx, client, input.currency)?;
        let amount = input.amount.positive("amount", currency)?;
        if input.operation == FeeOperation::Spread {
            return Err(Flaw::new("operation", "not_allowed", "`swap` shows the spread too").into());
        }
        if let Some(to) = input.to_currency {
            self.currencies.active(tx, client, to)?;
        }
        let tier = self.tier(tx, client, call.caller.actor(), input.user_tier.as_ref())?;
        let (operation, to, gateway) = (input.operation, input.to_currency, input.gateway_id);
        let question = FeeQuestion { operation, amount, to, gateway, tier: &tier };
        let found = self.fee(tx, client, &question)?;
        let spread_percent = match to {
            Some(to) if operation == FeeOperation::Swap => {
                Some(self.spread(tx, client, currency.code, to, &tier)?)
            }
            _ => None,
        };
        Ok(FeePreviewOut {
            object: "fee_preview",
            operation,
            amount,
            fee: found.fee,
            currency: currency.code,
            fee_id: found.rule,
            user_tier: tier,
            spread_percent,
        })
    }

    /// What everybody pays is the client's business, decided by one person. Refuses `self_approval` to whoever has, or
    /// whose key's makers have, the tier that a rule is for: nobody says what they pay themselves.
    fn check_not_own(&self, tx: &ReadTx, caller: &Caller, applies: &Applies) -> Result<()> {
        let Some(tier) = applies.tier.as_deref().filter(|it| *it != user::contract::STANDARD_TIER) else {
            return Ok(());
        };
        let client = caller.client()?;
        for person in self.clients.held_by(tx, client, caller.actor())? {
            if let Actor::User(user) = person
                && self.users.find(tx, client, user)?.is_some_and(|it| it.tier == tier)
            {
                return Err(ClientRefusal::SelfApproval.into());
            }
        }
        Ok(())
    }

    /// The tier named, or the caller's own.
    fn tier(
        &self,
        tx: &ReadTx,
        client: ClientId,
        actor: Actor,
        named: Option<&user::contract::Tier>,
    ) -> Result<String> {
        if let Some(tier) = named {
            return Ok(tier.as_str().to_owned());
        }
        match actor {
            Actor::User(user) => Ok(self.users.get(tx, client, user)?.tier),
            _ => Ok(user::contract::STANDARD_TIER.to_owned()),
        }
    }
}

/// Amounts of a rule are of the rule's currency.
fn read_amount(param: &str, text: &AmountText, currency: Option<Currency>) -> Result<Amount> {
    let Some(currency) = currency else {
        let why = "needs `currency`: the amounts of a rule are in it";
        return Err(Flaw::new(param, "not_allowed", why).into());
    };
    text.not_negative(param, currency)
}

fn change(
    param: &str,
    change: &Change<AmountText>,
    currency: Option<Currency>,
    to: &mut Option<Amount>,
) -> Result<()> {
    match change {
        Change::Keep => {}
        Change::Clear => *to = None,
        Change::Set(text) => *to = Some(read_amount(param, text, currency)?),
    }
    Ok(())
}

fn read_tiers(tiers: &[FeeTierIn], currency: Option<Currency>) -> Result<Vec<Tier>> {
    let read = |(place, tier): (usize, &FeeTierIn)| {
        let param = |name: &str| format!("tiers[{place}].{name}");
        Ok(Tier {
            from: read_amount(&param("from"), &tier.from, currency)?,
            percent: tier.percent.unwrap_or_default(),
            fixed: tier.fixed.as_ref().map(|it| read_amount(&param("fixed"), it, currency)).transpose()?,
        })
    };
    tiers.iter().enumerate().map(read).collect()
}
