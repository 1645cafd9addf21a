//! What is read from the counters.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    counters::{COUNTERS, Grain, INSTALLATION, Scope, scope_of},
    model::{Counter, DAY, Interval, Metric, OUTCOMES, Queue, day_of, success_percent},
    routes::{
        GrowthOut, HoldingOut, PointOut, SeriesIn, SeriesOut, StatisticsIn, StatisticsOut, SuccessOut,
        VolumeOut, WaitingOut,
    },
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::{Flaw, Named as _},
            principal::{Actor, ClientId, UserId},
        },
        clock::Time,
        error::Result,
        money::{Currency, CurrencyCode},
        store::{Key as _, ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, AccountState, BalanceContract, HouseAccount, UserAccount},
        client::contract::ClientContract,
        currency::contract::{CurrencyContract, CurrencyRefusal},
        user::contract::UserContract,
    },
};

/// Points of one series.
const MOST_POINTS: usize = 1000;
const MOST_DAYS: u32 = 366;

pub struct Dashboard {
    pub currencies: Arc<dyn CurrencyContract>,
    pub clients: Arc<dyn ClientContract>,
    pub users: Arc<dyn UserContract>,
    pub balances: Arc<dyn BalanceContract>,
}

/// Whose numbers are shown.
#[derive(Clone, Copy)]
struct Whose {
    /// `None`: the installation's.
    client: Option<ClientId>,
    user: Option<UserId>,
}

impl Whose {
    fn scope(self) -> Scope {
        scope_of(self.client, self.user)
    }
}

impl Dashboard {
    pub fn statistics(&self, tx: &ReadTx, call: &Call<(), StatisticsIn>) -> Result<StatisticsOut> {
        let whose = self.whose(tx, &call.caller, call.input.user_id)?;
        let days = call.input.days.unwrap_or(30);
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(Flaw::new("days", "out_of_range", format!("must be 1 to {MOST_DAYS}")).into());
        }

        let before = |time: Time, days: u32| Time::from_micros(time.micros() - i64::from(days) * DAY);
        let today = day_of(tx.now());
        let (period, previous) = (before(today, days - 1), before(today, 2 * days - 1));
        let scope = whose.scope();

        let mut volumes = vec![];
        let mut times: BTreeMap<Metric, i64> = BTreeMap::new();
        for row in tx.scan(&COUNTERS, Scan::prefix(&(scope, Grain::Total as u8))) {
            let ((_, (_, place), code, _), total) = row?;
            let Some(metric) = Metric::ALL.get(usize::from(place)).copied() else { continue };
            *times.entry(metric).or_default() += total.times;
            let present = sum(tx, scope, Grain::Day, metric, code, period, Time::MAX)?;
            let show = |it: &Counter| code.map(|code| Counter { decimals: total.decimals, ..*it }.show(code));
            volumes.push(VolumeOut {
                metric,
                currency: code,
                count: total.times,
                amount: show(&total),
                period_count: present.times,
                period_amount: show(&present),
            });
        }
        let ended = |metric: Metric| times.get(&metric).copied().unwrap_or(0);
        let success_rates = OUTCOMES.iter().map(|(done, failed)| {
            let (succeeded, failed) = (ended(*done), ended(*failed));
            SuccessOut { metric: *done, succeeded, failed, percent: success_percent(succeeded, failed) }
        });
        let new_users = |from, to| sum(tx, scope, Grain::Day, Metric::Users, None, from, to);
        let users = match whose.user {
            Some(_) => None,
            None => Some(GrowthOut {
                total: ended(Metric::Users),
                period: new_users(period, Time::MAX)?.times,
                previous_period: new_users(previous, period)?.times,
            }),
        };
        Ok(StatisticsOut {
            object: "statistics",
            client_id: whose.client,
            user_id: whose.user,
            as_of: tx.now(),
            period_from: period,
            balances: self.balances(tx, whose)?,
            volumes,
            success_rates: success_rates.collect(),
            waiting: waiting(tx, scope)?,
            users,
        })
    }

    pub fn series(&self, tx: &ReadTx, call: &Call<(), SeriesIn>) -> Result<SeriesOut> {
        let input = &call.input;
        let whose = self.whose(tx, &call.caller, input.user_id)?;
        let currency = self.currency(tx, whose, input)?;
        let interval = input.interval.unwrap_or(Interval::Day);
        let to = input.to.unwrap_or(tx.now());
        let from = input.from.unwrap_or(Time::from_micros(to.micros().saturating_sub(30 * DAY)));
        let starts = points(interval, from, to)?;

        // Hours are read for hours; days for everything longer.
        let grain = if interval == Interval::Hour { Grain::Hour } else { Grain::Day };
        let (first, end) = (starts[0], starts[starts.len() - 1]);
        let mut counters = vec![Counter::default(); starts.len() - 1];
        let code = currency.map(|it| it.code);
        let mut total = Counter::default();
        for row in tx.scan(&COUNTERS, range(whose.scope(), grain, input.metric, code, first, end)) {
            let ((_, _, _, start), counter) = row?;
            let place = starts.partition_point(|it| *it <= start) - 1; // `first` is not after any start.
            counters[place].add(counter);
            total.add(counter);
        }
        let show = |it: &Counter| currency.map(|currency| currency.show(it.minor));
        let point = |(at, it): (&Time, &Counter)| PointOut {
            at: *at,
            count: it.times,
            amount: show(it),
            currency: code,
        };
        Ok(SeriesOut {
            object: "series",
            metric: input.metric,
            currency: code,
            client_id: whose.client,
            user_id: whose.user,
            interval,
            from: first,
            to: end,
            count: total.times,
            amount: show(&total),
            data: starts.iter().zip(&counters).map(point).collect(),
            has_more: false,
            next_cursor: None,
        })
    }

    /// A user sees its own numbers, staff and keys those of the client or of one of its users. An operator that names
    /// no client sees the installation's.
    fn whose(&self, tx: &ReadTx, caller: &Caller, user: Option<UserId>) -> Result<Whose> {
        let user = caller.limited_to(user)?;
        let is_operator = matches!(caller.actor(), Actor::Operator(_) | Actor::System);
        if is_operator && caller.principal.client.is_none() && user.is_none() {
            return Ok(Whose { client: INSTALLATION, user: None });
        }
        let client = caller.client()?;
        if let Some(user) = user {
            self.users.get(tx, client, user)?;
        }
        Ok(Whose { client: Some(client), user })
    }

    /// The currency of a series; the client's default one when none is named.
    fn currency(&self, tx: &ReadTx, whose: Whose, input: &SeriesIn) -> Result<Option<Currency>> {
        match (input.metric.is_money(), input.currency, whose.client) {
            (false, None, _) => Ok(None),
            (false, Some(_), _) => {
                Err(Flaw::new("currency", "not_allowed", format!("{} are not money", input.metric)).into())
            }
            (true, Some(code), _) => match self.currencies.known(tx, code)? {
                Some(currency) => Ok(Some(currency)),
                None => Err(CurrencyRefusal::CurrencyUnknown { currency: code }.into()),
            },
            (true, None, Some(client)) => self.currencies.default_of(tx, client).map(Some),
            (true, None, None) => Err(Flaw::new("currency", "required", "is required").into()),
        }
    }

    fn balances(&self, tx: &ReadTx, whose: Whose) -> Result<Vec<HoldingOut>> {
        if let (Some(client), Some(user)) = (whose.client, whose.user) {
            return Ok(of_user(&self.balances.accounts_of(tx, client, Some(user))?));
        }
        let clients = match whose.client {
            Some(client) => vec![client],
            None => self.clients.all(tx)?,
        };
        // All accounts of a client sum to zero: what the house lacks is what its users have.
        let mut sums: BTreeMap<Currency, (i128, i128)> = BTreeMap::new();
        for client in clients {
            for state in self.balances.accounts_of(tx, client, None)? {
                let (users, fees) = sums.entry(state.account.currency).or_default();
                *users = users.saturating_sub(state.balance);
                if state.account.owner == AccountOwner::House(HouseAccount::FeeIncome) {
                    *fees = fees.saturating_add(state.balance);
                }
            }
        }
        let holding = |(currency, (users, fees)): (Currency, (i128, i128))| HoldingOut {
            currency: currency.code,
            total: currency.show(users),
            available: None,
            held: None,
            invested: None,
            commission: None,
            fee_income: Some(currency.show(fees)),
        };
        Ok(sums.into_iter().map(holding).collect())
    }
}

/// What a user has, by currency.
fn of_user(accounts: &[AccountState]) -> Vec<HoldingOut> {
    let mut sums: BTreeMap<Currency, BTreeMap<UserAccount, i128>> = BTreeMap::new();
    for state in accounts {
        if let AccountOwner::User(_, kind) = state.account.owner {
            sums.entry(state.account.currency).or_default().insert(kind, state.balance);
        }
    }
    let holding = |(currency, of): (Currency, BTreeMap<UserAccount, i128>)| {
        let show = |kind| Some(currency.show(of.get(&kind).copied().unwrap_or(0)));
        HoldingOut {
            currency: currency.code,
            total: currency.show(of.values().sum()),
            available: show(UserAccount::Available),
            held: show(UserAccount::Held),
            invested: show(UserAccount::Invested),
            commission: show(UserAccount::Commission),
            fee_income: None,
        }
    };
    sums.into_iter().map(holding).collect()
}

fn waiting(tx: &ReadTx, scope: Scope) -> Result<Vec<WaitingOut>> {
    let count = |queue: &Queue| {
        let key = (scope, (Grain::Waiting as u8, *queue as u8), None, Time::ZERO);
        let count = tx.get(&COUNTERS, &key)?.map_or(0, |it| it.times);
        Ok(WaitingOut { queue: *queue, count })
    };
    Queue::ALL.iter().map(count).collect()
}

/// The counters of a metric that start at or after `from` and before `to`.
fn range(
    scope: Scope,
    grain: Grain,
    metric: Metric,
    code: Option<CurrencyCode>,
    from: Time,
    to: Time,
) -> Scan {
    let prefix = (scope, grain.of(metric), code);
    Scan::prefix(&prefix).from((prefix, from).to_key()).until((prefix, to).to_key())
}

fn sum(
    tx: &ReadTx,
    scope: Scope,
    grain: Grain,
    metric: Metric,
    code: Option<CurrencyCode>,
    from: Time,
    to: Time,
) -> Result<Counter> {
    let mut sum = Counter::default();
    for row in tx.scan(&COUNTERS, range(scope, grain, metric, code, from, to)) {
        sum.add(row?.1);
    }
    Ok(sum)
}

/// The starts of all points that `from` up to `to` touches, and the end of the last. At least one point.
fn points(interval: Interval, from: Time, to: Time) -> Result<Vec<Time>> {
    let flaw = |param: &str, message: String| Flaw::new(param, "out_of_range", message);
    if from >= to {
        return Err(flaw("from", "must be before `to`".to_owned()).into());
    }
    let beyond = || flaw("from", "is beyond the calendar".to_owned());
    let mut starts = vec![interval.start(from).ok_or_else(beyond)?];
    while starts[starts.len() - 1] < to {
        if starts.len() > MOST_POINTS {
            return Err(
                flaw("from", format!("at most {MOST_POINTS} points: choose a longer interval")).into()
            );
        }
        let next = interval.next(starts[starts.len() - 1]);
        starts.push(next.ok_or_else(|| flaw("to", "is beyond the calendar".to_owned()))?);
    }
    Ok(starts)
}
