//! Asking, setting and showing limits.

use std::sync::Arc;

use super::{
    contract::{LimitContract, LimitOperation, LimitUse, LimitWindow},
    model::{Limit, LimitProposals},
    repository::{self, LIMITS, LimitKey, PROPOSALS, limit_key},
    routes::{
        LimitDecisionIn, LimitIn, LimitOut, LimitQuery, LimitUsageOut, LimitUsageQuery, LimitsUsageOut,
    },
};
use crate::kernel::{
    api::{
        call::Call,
        input::{Flaw, Named as _},
        object::Times,
        page::{Page, Paging, page},
        principal::{Actor, ClientId},
    },
    clock::Time,
    error::Result,
    money::AmountText,
    store::{ReadTx, Scan, WriteTx},
};
use crate::modules::{
    client::contract::{ClientContract, ClientRefusal, check_revision},
    currency::contract::CurrencyContract,
    user::contract::UserContract,
};

pub struct Limits {
    pub clients: Arc<dyn ClientContract>,
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

    fn count_again(&self, tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()> {
        if at <= tx.now().before(LimitWindow::Month.lasts()) {
            return Ok(()); // No window reaches as far.
        }
        repository::count_at(tx, client, used, at)
    }
}

impl Limits {
    /// Puts a rule in the place of the one there was; a looser one waits until somebody else agrees. What waited for
    /// that is forgotten. Refuses `currency_inactive`.
    pub fn put(&self, tx: &mut WriteTx, call: &Call<(), LimitIn>) -> Result<LimitOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        let currency = self.currencies.active(tx, client, input.currency)?;
        let read = |param: &str, it: &Option<AmountText>| {
            it.as_ref().map(|it| it.not_negative(param, currency)).transpose()
        };
        let tier = input.tier.as_ref().map(|it| it.as_str());
        let key = limit_key(client, input.operation, currency.code, tier);
        let limit = Limit {
            min: read("min", &input.min)?,
            max: read("max", &input.max)?,
            per_24h: read("per_24h", &input.per_24h)?,
            per_30d: read("per_30d", &input.per_30d)?,
            times: Times::at(tx.now()),
        };
        if let (Some(min), Some(max)) = (limit.min, limit.max)
            && min > max
        {
            return Err(Flaw::new("max", "out_of_range", "is less than min").into());
        }

        let counts = repository::rule(tx, client, input.operation, currency.code, tier.unwrap_or_default())?;
        if limit.is_looser_than(counts.as_ref()) {
            let revision = tx.get(&PROPOSALS, &key)?.map_or(1, |it| it.revision + 1);
            let waiting = Some((limit, call.caller.actor()));
            tx.put(&PROPOSALS, &key, &LimitProposals { revision, waiting })?;
            return self.out(tx, &key);
        }
        self.adopt(tx, &key, limit)
    }

    /// Agrees to a looser rule that somebody else proposed. Refuses `nothing_proposed`, `self_approval`,
    /// `revision_stale`.
    pub fn approve(&self, tx: &mut WriteTx, call: &Call<(), LimitDecisionIn>) -> Result<LimitOut> {
        let (key, revision, (limit, by)) = proposed(tx, call)?;
        self.clients.check_other(tx, key.0, &call.caller, by)?;
        check_revision(revision, call.input.revision)?;

        self.adopt(tx, &key, limit)
    }

    /// Drops a looser rule that was proposed: anybody may who could have agreed, and whoever proposed it. Refuses
    /// `nothing_proposed`, `revision_stale`.
    pub fn reject(&self, tx: &mut WriteTx, call: &Call<(), LimitDecisionIn>) -> Result<LimitOut> {
        let (key, revision, _) = proposed(tx, call)?;
        check_revision(revision, call.input.revision)?;

        forget(tx, &key)?;
        self.out(tx, &key)
    }

    /// The rules, each with the looser one that waits; one that waits where there is no rule yet stands in `proposed`.
    pub fn list(&self, tx: &ReadTx, call: &Call<(), LimitQuery>) -> Result<Page<LimitOut>> {
        let paging = Paging::new(call.input.limit, &call.input.cursor, ());
        let rows = page(tx, &LIMITS, &call.caller.client()?, &paging, |_| true)?;
        rows.try_map(|(key, row)| Ok(LimitOut::of(&key, &row, tx.get(&PROPOSALS, &key)?)))
    }

    /// Looser rules that wait for somebody else to agree.
    pub fn proposals(&self, tx: &ReadTx, call: &Call<(), LimitQuery>) -> Result<Page<LimitOut>> {
        let paging = Paging::new(call.input.limit, &call.input.cursor, ());
        let rows = page(tx, &PROPOSALS, &call.caller.client()?, &paging, |it| it.waiting.is_some())?;
        rows.try_map(|(key, _)| self.out(tx, &key))
    }

    /// The rule as it counts now, and what is proposed in its place. Where a tier has no rule of its own that is the one
    /// for all; where there is none at all, nothing is limited.
    fn out(&self, tx: &ReadTx, key: &LimitKey) -> Result<LimitOut> {
        let proposal = tx.get(&PROPOSALS, key)?;
        let for_all = (key.0, key.1.clone(), key.2, None);
        if let Some(rule) = tx.get(&LIMITS, key)? {
            return Ok(LimitOut::of(key, &rule, proposal));
        }
        let times = Times { version: 0, ..Times::at(tx.now()) };
        let counts = match tx.get(&LIMITS, &for_all)? {
            Some(rule) => Limit { times, ..rule },
            None => Limit { min: None, max: None, per_24h: None, per_30d: None, times },
        };
        Ok(LimitOut::of(key, &counts, proposal))
    }

    /// Puts a rule in force. What a tier was to have instead of the rule for all was thought of beside the one before:
    /// it is forgotten.
    fn adopt(&self, tx: &mut WriteTx, key: &LimitKey, mut limit: Limit) -> Result<LimitOut> {
        limit.times = Times::at(tx.now());
        if let Some(before) = tx.get(&LIMITS, key)? {
            limit.times = before.times;
            limit.times.touch(tx.now());
        }
        tx.put(&LIMITS, key, &limit)?;
        forget(tx, key)?;
        if key.3.is_none() {
            let of_tiers = Scan::prefix(&(key.0, key.1.clone(), key.2));
            let of_tiers: Vec<_> = tx.scan(&PROPOSALS, of_tiers).collect::<Result<_>>()?;
            of_tiers.iter().try_for_each(|(tier, _)| forget(tx, tier))?;
        }
        Ok(LimitOut::of(key, &limit, None))
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

/// What waits, and its revision. Refuses `nothing_proposed`.
fn proposed(tx: &ReadTx, call: &Call<(), LimitDecisionIn>) -> Result<(LimitKey, u32, (Limit, Actor))> {
    let LimitDecisionIn { operation, currency, tier, .. } = &call.input;
    let key = limit_key(call.caller.client()?, *operation, *currency, tier.as_ref().map(|it| it.as_str()));
    let proposals = tx.get(&PROPOSALS, &key)?.ok_or(ClientRefusal::NothingProposed)?;
    let waiting = proposals.waiting.ok_or(ClientRefusal::NothingProposed)?;
    Ok((key, proposals.revision, waiting))
}

/// Nothing waits any more.
fn forget(tx: &mut WriteTx, key: &LimitKey) -> Result<()> {
    match tx.get(&PROPOSALS, key)? {
        Some(LimitProposals { revision, waiting: Some(_) }) => {
            tx.put(&PROPOSALS, key, &LimitProposals { revision, waiting: None })
        }
        _ => Ok(()),
    }
}
