//! The tables: key → value in words, and how a fact becomes counters.

use std::collections::{BTreeMap, HashMap};

use super::model::{Counter, Fact, Metric, Queue, day_of, hour_of};
use crate::kernel::{
    api::principal::{ClientId, UserId},
    clock::Time,
    error::Result,
    events::{event::Envelope, outbox::client_key},
    money::CurrencyCode,
    store::{
        Gather, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

/// Whose numbers: a user's, a client's, or the installation's, whose client is `client_key(None)`.
pub type Scope = (ClientId, Option<UserId>);

/// What is counted, and over how long.
pub type Kind = (u8, u8);

/// (whose, (how long, what), currency, start) → how often, and how much. What is not about money has no currency; totals
/// start at zero.
pub const COUNTERS: Table<(Scope, Kind, Option<CurrencyCode>, Time), Counter> =
    Table::new("dashboard.counters");

/// (client, entity) → what it waits for.
pub const WAITING: Table<(ClientId, String), Waiting> = Table::new("dashboard.waiting");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Waiting {
    pub queue: Queue,
    pub user: Option<UserId>,
}
row!(Waiting);

/// How long a counter counts. Stored, never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    Total = 0,
    Day = 1,
    Hour = 2,
    /// Not over time: how many wait now.
    Waiting = 3,
}

impl Grain {
    pub fn of(self, metric: Metric) -> Kind {
        (self as u8, metric as u8)
    }
}

pub const INSTALLATION: Option<ClientId> = None;

pub fn scope_of(client: Option<ClientId>, user: Option<UserId>) -> Scope {
    (client_key(client), user)
}

/// The scopes that something of a user of a client belongs to.
pub fn scopes(client: Option<ClientId>, user: Option<UserId>) -> impl Iterator<Item = Scope> {
    let ours = client.map(|_| scope_of(client, None));
    let own = client.and(user).map(|user| scope_of(client, Some(user)));
    [Some(scope_of(INSTALLATION, None)), ours, own].into_iter().flatten()
}

/// Counts what an event says. The counters are written at the end of the job, each of them once: a bulk of a thousand
/// transfers moves the same few of its client and of the installation two thousand times.
pub fn count(tx: &mut WriteTx, envelope: &Envelope, facts: Vec<Fact>) -> Result<()> {
    let (client, at) = (envelope.client, envelope.occurred_at);
    for fact in facts {
        match fact {
            Fact::Counts { metric, user, times, money } => {
                let minor = money.map_or(0, |it| it.minor);
                let decimals = money.map_or(0, |it| it.currency.decimals);
                let what = What::Happened(metric, money.map(|it| it.currency.code), hour_of(at));
                gather(tx, (client, user, what), Counter { times, minor, decimals });
            }
            Fact::Waits { queue, user } => {
                leave(tx, client, &envelope.entity)?;
                tx.put(&WAITING, &(client_key(client), envelope.entity.clone()), &Waiting { queue, user })?;
                gather(tx, (client, user, What::Waits(queue)), Counter { times: 1, ..Counter::default() });
            }
            Fact::Goes => leave(tx, client, &envelope.entity)?,
        }
    }
    Ok(())
}

/// The entity waits no more, if it did.
fn leave(tx: &mut WriteTx, client: Option<ClientId>, entity: &str) -> Result<()> {
    let key = (client_key(client), entity.to_owned());
    let Some(waiting) = tx.get(&WAITING, &key)? else { return Ok(()) };
    tx.delete(&WAITING, &key)?;
    let less = Counter { times: -1, ..Counter::default() };
    gather(tx, (client, waiting.user, What::Waits(waiting.queue)), less);
    Ok(())
}

/// Of a user of a client: for everybody it belongs to.
type Of = (Option<ClientId>, Option<UserId>, What);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    /// In the hour that starts then.
    Happened(Metric, Option<CurrencyCode>, Time),
    Waits(Queue),
}

impl What {
    /// The counters of one scope that count it: (how long, what), currency, start.
    fn places(self) -> impl Iterator<Item = (Kind, Option<CurrencyCode>, Time)> {
        let places = match self {
            What::Happened(metric, code, hour) => [
                Some((Grain::Total.of(metric), code, Time::ZERO)),
                Some((Grain::Day.of(metric), code, day_of(hour))),
                Some((Grain::Hour.of(metric), code, hour)),
            ],
            What::Waits(queue) => [Some(((Grain::Waiting as u8, queue as u8), None, Time::ZERO)), None, None],
        };
        places.into_iter().flatten()
    }
}

fn gather(tx: &mut WriteTx, of: Of, more: Counter) {
    if !more.is_zero() {
        tx.gather(Counted { of, more });
    }
}

/// Something that is to be counted.
struct Counted {
    of: Of,
    more: Counter,
}

impl Gather for Counted {
    fn write(tx: &mut WriteTx, all: Vec<Self>) -> Result<()> {
        let mut sums: HashMap<Of, Counter> = HashMap::new();
        for Counted { of, more } in all {
            sums.entry(of).or_default().add(more);
        }
        // In order, so that the same seed writes the same.
        let mut rows: BTreeMap<(Scope, Kind, Option<CurrencyCode>, Time), Counter> = BTreeMap::new();
        for ((client, user, what), sum) in sums {
            for scope in scopes(client, user) {
                for (kind, code, start) in what.places() {
                    rows.entry((scope, kind, code, start)).or_default().add(sum);
                }
            }
        }
        rows.into_iter().try_for_each(|(key, sum)| add(tx, key, sum))
    }
}

fn add(tx: &mut WriteTx, key: (Scope, Kind, Option<CurrencyCode>, Time), more: Counter) -> Result<()> {
    if more.is_zero() {
        return Ok(());
    }
    let mut counter = tx.get(&COUNTERS, &key)?.unwrap_or_default();
    counter.add(more);
    // What waits comes and goes: a row of a user for whom nothing waits any more is not kept.
    if counter == Counter::default() {
        return tx.delete(&COUNTERS, &key).map(drop);
    }
    tx.put(&COUNTERS, &key, &counter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("dashboard.counters", &Counter { times: 3, minor: 1_234_500, decimals: 2 });
        let user = Some(UserId::from_bytes([1; 16]));
        golden("dashboard.waiting", &Waiting { queue: Queue::OpenRefunds, user });
    }
}
