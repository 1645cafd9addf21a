//! The tables: key → value in words, and how a fact becomes counters.

use super::model::{Counter, Fact, Metric, Queue, day_of, hour_of};
use crate::kernel::{
    api::principal::{ClientId, UserId},
    clock::Time,
    error::Result,
    events::{event::Envelope, outbox::client_key},
    money::CurrencyCode,
    store::{
        Table, WriteTx,
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

/// Counts what an event says.
pub fn count(tx: &mut WriteTx, envelope: &Envelope, facts: Vec<Fact>) -> Result<()> {
    let (client, at) = (envelope.client, envelope.occurred_at);
    for fact in facts {
        match fact {
            Fact::Counts { metric, user, times, money } => {
                let minor = money.map_or(0, |it| it.minor);
                let decimals = money.map_or(0, |it| it.currency.decimals);
                let more = Counter { times, minor, decimals };
                if more.is_zero() {
                    continue;
                }
                let code = money.map(|it| it.currency.code);
                for scope in scopes(client, user) {
                    let places =
                        [(Grain::Total, Time::ZERO), (Grain::Day, day_of(at)), (Grain::Hour, hour_of(at))];
                    for (grain, start) in places {
                        add(tx, (scope, grain.of(metric), code, start), more)?;
                    }
                }
            }
            Fact::Waits { queue, user } => {
                leave(tx, client, &envelope.entity)?;
                tx.put(&WAITING, &(client_key(client), envelope.entity.clone()), &Waiting { queue, user })?;
                shift(tx, client, user, queue, 1)?;
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
    shift(tx, client, waiting.user, waiting.queue, -1)
}

fn shift(
    tx: &mut WriteTx,
    client: Option<ClientId>,
    user: Option<UserId>,
    queue: Queue,
    by: i64,
) -> Result<()> {
    let more = Counter { times: by, ..Counter::default() };
    scopes(client, user)
        .try_for_each(|scope| add(tx, (scope, (Grain::Waiting as u8, queue as u8), None, Time::ZERO), more))
}

fn add(tx: &mut WriteTx, key: (Scope, Kind, Option<CurrencyCode>, Time), more: Counter) -> Result<()> {
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
