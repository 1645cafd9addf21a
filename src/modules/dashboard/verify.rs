//! What is always true of the counters, checked by `coffer verify` and after every test.

use std::collections::BTreeMap;

use super::{
    counters::{COUNTERS, Grain, INSTALLATION, Kind, Scope, WAITING, scope_of, scopes},
    facts,
    model::{Counter, DAY, Fact, hour_of},
};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::Result,
    events::{
        bus::Overheard,
        outbox::{EVENTS, client_key},
    },
    money::CurrencyCode,
    store::{ReadTx, Scan},
};

type Sums = BTreeMap<(Scope, u8, Option<CurrencyCode>), Counter>;
type Hours = BTreeMap<(Scope, Kind, Option<CurrencyCode>, Time), Counter>;

pub fn verify(tx: &ReadTx) -> Result<Vec<String>> {
    let mut wrong = vec![];
    let mut sums: BTreeMap<u8, Sums> = BTreeMap::new();
    let mut clients = Sums::new();
    let mut stored = Hours::new();
    // Events are kept for at least a day, so everything since is there to be counted again.
    let since = hour_of(Time::from_micros(tx.now().micros().saturating_sub(DAY))).micros() + DAY / 24;
    let installation = scope_of(INSTALLATION, None).0;
    for row in tx.scan(&COUNTERS, Scan::all()) {
        let ((scope, kind, code, start), counter) = row?;
        if kind.0 == Grain::Hour as u8 && start.micros() >= since {
            stored.insert((scope, kind, code, start), counter);
        }
        let of = sums.entry(kind.0).or_default().entry((scope, kind.1, code)).or_default();
        of.add(counter);
        if kind.0 == Grain::Total as u8 && scope.1.is_none() && scope.0 != installation {
            clients.entry((scope_of(INSTALLATION, None), kind.1, code)).or_default().add(counter);
        }
    }

    let mut part = |grain: Grain| sums.remove(&(grain as u8)).unwrap_or_default();
    let (totals, days, hours, waiting) =
        (part(Grain::Total), part(Grain::Day), part(Grain::Hour), part(Grain::Waiting));
    for (what, sum) in [("days", &days), ("hours", &hours)] {
        wrong.extend(differences(&format!("the {what}"), "the totals", sum, &totals));
    }
    let whole = totals.into_iter().filter(|it| it.0.0 == scope_of(INSTALLATION, None)).collect();
    wrong.extend(differences("the clients", "the installation", &clients, &whole));
    wrong.extend(differences("what waits", "its counters", &waiting_now(tx)?, &waiting));
    wrong.extend(differences("the events", "the hours", &counted_again(tx, since)?, &stored));
    Ok(wrong)
}

/// The entities that wait, counted.
fn waiting_now(tx: &ReadTx) -> Result<Sums> {
    let mut sums = Sums::new();
    for row in tx.scan(&WAITING, Scan::all()) {
        let ((client, _), waiting) = row?;
        for scope in scopes(real(client), waiting.user) {
            let one = Counter { times: 1, ..Counter::default() };
            sums.entry((scope, waiting.queue as u8, None)).or_default().add(one);
        }
    }
    Ok(sums)
}

/// The hours since this instant, counted again from the events.
fn counted_again(tx: &ReadTx, since: i64) -> Result<Hours> {
    let mut hours = Hours::new();
    for row in tx.scan(&EVENTS, Scan::all()) {
        let (_, envelope) = row?;
        if envelope.occurred_at.micros() < since {
            continue;
        }
        for fact in facts::of(&Overheard::stored(&envelope))? {
            let Fact::Counts { metric, user, times, money } = fact else { continue };
            let (minor, decimals) = money.map_or((0, 0), |it| (it.minor, it.currency.decimals));
            let code = money.map(|it| it.currency.code);
            for scope in scopes(envelope.client, user) {
                let key = (scope, Grain::Hour.of(metric), code, hour_of(envelope.occurred_at));
                hours.entry(key).or_default().add(Counter { times, minor, decimals });
            }
        }
    }
    Ok(hours)
}

fn real(client: ClientId) -> Option<ClientId> {
    (client != client_key(None)).then_some(client)
}

/// Where two ways to count differ. What comes to nothing need not be there.
fn differences<K: Ord + std::fmt::Debug>(
    left: &str,
    right: &str,
    a: &BTreeMap<K, Counter>,
    b: &BTreeMap<K, Counter>,
) -> Vec<String> {
    let mut keys: Vec<&K> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    let of = |map: &BTreeMap<K, Counter>, key| map.get(key).map_or((0, 0), |it| (it.times, it.minor));
    let differing = keys.into_iter().filter(|key| of(a, key) != of(b, key));
    differing.map(|key| format!("{key:?}: {left} say {:?}, {right} {:?}", of(a, key), of(b, key))).collect()
}
