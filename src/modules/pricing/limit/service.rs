//! Asking, setting and showing limits.

use std::sync::Arc;

use super::{
    contract::{LimitContract, LimitOperation, LimitUse, LimitWindow},
    model::Limit,
    repository::{self, LIMITS, limit_key},
    routes::{LimitIn, LimitOut, LimitUsageOut, LimitUsageQuery, LimitsUsageOut},
};
use crate::kernel::{
    api::{
        call::Call,
        input::{Flaw, Named as _},
        object::Times,
        principal::ClientId,
    },
    clock::Time,
    error::Result,
    money::AmountText,
    store::{ReadTx, Scan, WriteTx},
};
use crate::modules::{currency::contract::CurrencyContract, user::contract::UserContract};

pub struct Limits {
    pub currencies: Arc<dyn CurrencyContract>,
    pub users: Arc<dyn UserContract>,
}

impl LimitContract for Limits {
    fn take(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, tier: &str) -> Result<()> {
        let LimitUse { operation, user, amount, .. } = used;
        let currency = amount.currency();
        if let Some(limit) = repository::rule(tx, client, operation, currency.code, tier)? {
            limit
                .check(amount, |window| repository::used(tx, client, (operation, user, currency), window))?;
        }

        repository::count(tx, client, used)
    }

    fn give_back(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()> {
        repository::uncount(tx, client, used, at)
    }
}

impl Limits {
    /// Puts a rule in the place of the one there was. Refuses `currency_inactive`.
    pub fn put(&self, tx: &mut WriteTx, call: &Call<(), LimitIn>) -> Result<LimitOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let currency = self.currencies.active(tx, client, input.currency)?;
        let read = |param: &str, it: &Option<AmountText>| {
            it.as_ref().map(|it| it.not_negative(param, currency)).transpose()
        };
        let tier = input.tier.as_ref().map(|it| it.as_str());
        let key = limit_key(client, input.operation, currency.code, tier);
        let before = tx.get(&LIMITS, &key)?;
        let mut limit = Limit {
            min: read("min", &input.min)?,
            max: read("max", &input.max)?,
            per_24h: read("per_24h", &input.per_24h)?,
            per_30d: read("per_30d", &input.per_30d)?,
            times: before.map_or(Times { version: 0, ..Times::at(tx.now()) }, |it| it.times),
        };
        if let (Some(min), Some(max)) = (limit.min, limit.max)
            && min > max
        {
            return Err(Flaw::new("max", "out_of_range", "is less than min").into());
        }

        limit.times.touch(tx.now());
        tx.put(&LIMITS, &key, &limit)?;
        Ok(LimitOut::of(&key, &limit))
    }

    /// What a user has used of its limits, and what is left.
    pub fn usage(&self, tx: &ReadTx, call: &Call<(), LimitUsageQuery>) -> Result<LimitsUsageOut> {
        let client = call.caller.client()?;
        let user = self.users.get(tx, client, call.caller.acting_for(call.input.user_id)?)?;
        let mut data = vec![];
        for operation in LimitOperation::ALL {
            let mut codes = vec![];
            for row in tx.scan(&LIMITS, Scan::prefix(&(client, operation.name().to_owned()))) {
                let key = row?.0;
                if !codes.contains(&key.2) {
                    codes.push(key.2);
                }
            }
            for code in codes {
                let rule = repository::rule(tx, client, *operation, code, &user.tier)?;
                let (Some(limit), Some(currency)) = (rule, self.currencies.known(tx, code)?) else {
                    continue;
                };
                let of = (*operation, user.id, currency);
                data.push(LimitUsageOut {
                    operation: *operation,
                    currency: code,
                    min: limit.min,
                    max: limit.max,
                    windows: [LimitWindow::Day, LimitWindow::Month]
                        .into_iter()
                        .map(|it| Ok((it, limit.of(it), repository::used(tx, client, of, it)?)))
                        .map(|it| it.and_then(super::routes::WindowOut::of))
                        .collect::<Result<_>>()?,
                });
            }
        }
        Ok(LimitsUsageOut { object: "limits_usage", user_id: user.id, tier: user.tier, data })
    }
}
