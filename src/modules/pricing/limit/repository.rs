//! The tables of limits.

use std::collections::BTreeMap;

use super::{
    contract::{LimitOperation, LimitUse, LimitWindow},
    model::{Limit, LimitProposals, Used},
};
use crate::kernel::{
    api::{
        input::Named as _,
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::Result,
    money::{Amount, Currency, CurrencyCode},
    store::{Key as _, ReadTx, Scan, Table, WriteTx},
};

/// (client, operation, currency, tier) → rule; no tier: of every tier that has none of its own
pub const LIMITS: Table<LimitKey, Limit> = Table::new("pricing.limits");
pub type LimitKey = (ClientId, String, CurrencyCode, Option<String>);

/// as rules are → a looser one that waits for somebody else to agree. Stays when none does: its revision counts on
pub const PROPOSALS: Table<LimitKey, LimitProposals> = Table::new("pricing.limit_proposals");

/// (client, operation, user, currency): whose use it is, and of what
type Whose = (ClientId, String, UserId, CurrencyCode);

/// (whose, when, cause) → what was used. Kept for as long as any window is.
pub const USES: Table<(Whose, Time, [u8; 16]), Used> = Table::new("pricing.limit_uses");

/// (whose, first instant of a day) → what was used on it
pub const DAYS: Table<(Whose, Time), Used> = Table::new("pricing.limit_days");

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;
/// How many uses that no window reaches any more are forgotten with each new one.
const FORGOTTEN: usize = 4;

pub fn limit_key(
    client: ClientId,
    operation: LimitOperation,
    currency: CurrencyCode,
    tier: Option<&str>,
) -> LimitKey {
    (client, operation.name().to_owned(), currency, tier.map(str::to_owned))
}

/// The rule that counts for a tier.
pub fn rule(
    tx: &ReadTx,
    client: ClientId,
    operation: LimitOperation,
    currency: CurrencyCode,
    tier: &str,
) -> Result<Option<Limit>> {
    match tx.get(&LIMITS, &limit_key(client, operation, currency, Some(tier)))? {
        Some(limit) => Ok(Some(limit)),
        None => tx.get(&LIMITS, &limit_key(client, operation, currency, None)),
    }
}

/// Whether a tier lets anything through that another stops.
pub fn is_looser_tier(tx: &ReadTx, client: ClientId, before: &str, after: &str) -> Result<bool> {
    for row in tx.scan(&LIMITS, Scan::prefix(&client)) {
        let (_, operation, currency, _) = row?.0;
        let Ok(operation) = operation.parse() else { continue };
        let stops = rule(tx, client, operation, currency, before)?;
        let is_looser = match rule(tx, client, operation, currency, after)? {
            Some(limit) => limit.is_looser_than(stops.as_ref()),
            None => stops.is_some(),
        };
        if is_looser {
            return Ok(true);
        }
    }
    Ok(false)
}

fn whose(client: ClientId, operation: LimitOperation, user: UserId, currency: Currency) -> Whose {
    (client, operation.name().to_owned(), user, currency.code)
}

fn day_of(at: Time) -> Time {
    Time::from_micros(at.micros().div_euclid(DAY_MICROS) * DAY_MICROS)
}

/// What was used in the window that ends now. A use is in it while less than the window has passed since. Reads the
/// uses of the one day the window begins in, and the totals of the days after it.
pub fn used(
    tx: &ReadTx,
    client: ClientId,
    (operation, user, currency): (LimitOperation, UserId, Currency),
    window: LimitWindow,
) -> Result<Amount> {
    let whose = whose(client, operation, user, currency);
    let begins = tx.now().before(window.lasts());
    let after = Time::from_micros(begins.micros() + 1);
    let next_day = Time::from_micros(day_of(after).micros() + DAY_MICROS);
    let mut sum = Amount::zero(currency);
    let part =
        Scan::prefix(&whose).from((whose.clone(), after).to_key()).until((whose.clone(), next_day).to_key());
    for row in tx.scan(&USES, part) {
        sum = sum.plus(row?.1.amount)?;
    }
    for row in tx.scan(&DAYS, Scan::prefix(&whose).from((whose.clone(), next_day).to_key())) {
        sum = sum.plus(row?.1.amount)?;
    }
    Ok(sum)
}

/// Counts a use as of now, and forgets some of what no window reaches any more.
pub fn count(tx: &mut WriteTx, client: ClientId, used: LimitUse) -> Result<()> {
    let whose = whose(client, used.operation, used.user, used.amount.currency());
    let now = tx.now();
    let old = day_of(now.before(LimitWindow::Month.lasts()));
    let gone = Scan::prefix(&whose).until((whose.clone(), old).to_key());
    let uses: Vec<_> =
        tx.scan(&USES, gone.clone()).take(FORGOTTEN).map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    for key in uses {
        tx.delete(&USES, &key)?;
    }
    // A day goes once its uses have.
    let first = tx.scan(&USES, Scan::prefix(&whose)).next().transpose()?.map(|it| day_of(it.0.1));
    let days: Vec<_> = tx.scan(&DAYS, gone).take(FORGOTTEN).map(|it| Ok(it?.0)).collect::<Result<_>>()?;
    for key in days {
        if first.is_none_or(|first| key.1 < first) {
            tx.delete(&DAYS, &key)?;
        }
    }

    count_at(tx, client, used, now)
}

/// Counts it as of this instant: once.
pub fn count_at(tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()> {
    let whose = whose(client, used.operation, used.user, used.amount.currency());
    let key = (whose.clone(), at, used.cause);
    if tx.exists(&USES, &key)? {
        return Ok(());
    }
    tx.put(&USES, &key, &Used { amount: used.amount })?;
    let key = (whose, day_of(at));
    let before = tx.get(&DAYS, &key)?.map_or(Amount::zero(used.amount.currency()), |it| it.amount);
    tx.put(&DAYS, &key, &Used { amount: before.plus(used.amount)? })
}

/// What was counted at `at` does not count any more.
pub fn uncount(tx: &mut WriteTx, client: ClientId, used: LimitUse, at: Time) -> Result<()> {
    let whose = whose(client, used.operation, used.user, used.amount.currency());
    let key = (whose.clone(), at, used.cause);
    let Some(counted) = tx.get(&USES, &key)? else { return Ok(()) };
    tx.delete(&USES, &key)?;
    let key = (whose, day_of(at));
    if let Some(day) = tx.get(&DAYS, &key)? {
        let left = day.amount.minus(counted.amount)?;
        if left.is_zero() {
            tx.delete(&DAYS, &key)?;
        } else {
            tx.put(&DAYS, &key, &Used { amount: left })?;
        }
    }
    Ok(())
}

/// Days whose total is not the sum of their uses. Those that are being forgotten have less left than their total.
pub fn wrong_days(tx: &ReadTx) -> Result<Vec<String>> {
    let mut sums: BTreeMap<(Whose, Time), i128> = BTreeMap::new();
    for row in tx.scan(&USES, Scan::all()) {
        let ((whose, at, _), used) = row?;
        *sums.entry((whose, day_of(at))).or_default() += used.amount.minor();
    }
    let old = day_of(tx.now().before(LimitWindow::Month.lasts()));
    let mut wrong = vec![];
    for row in tx.scan(&DAYS, Scan::all()) {
        let (key, total) = row?;
        let sum = sums.remove(&key).unwrap_or(0);
        if key.1 >= old && sum != total.amount.minor() {
            wrong.push(format!("{} {} on {}: {sum} used, total {}", key.0.1, key.0.2, key.1, total.amount));
        }
    }
    wrong.extend(
        sums.into_iter()
            .map(|(key, sum)| format!("{} {} on {}: {sum} used, no total", key.0.1, key.0.2, key.1)),
    );
    Ok(wrong)
}
