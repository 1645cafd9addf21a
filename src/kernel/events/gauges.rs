//! How the outbox does at this moment, for `/metrics`.

use std::collections::BTreeMap;

use super::delivery::{DELIVERIES, Lane, State};
use crate::kernel::{
    clock::Time,
    error::Result,
    store::{ReadTx, Scan},
};

/// The states a delivery waits in.
pub const WAITING: [State; 4] = [State::Ready, State::Scheduled, State::Retry, State::Blocked];

/// What waits, what is being sent, and what was given up.
#[derive(Debug, Default, PartialEq)]
pub struct Gauges {
    /// How many wait, by lane and state. Every pair is there. Ready ones are counted up to [`MOST_READY`], each of the
    /// others up to [`MOST_ROWS`]: a scrape is cheap however much has gathered.
    pub backlog: BTreeMap<(Lane, State), u64>,
    /// How long ago the oldest ready one of each lane was made, in seconds; zero where there is none.
    pub oldest_s: BTreeMap<Lane, i64>,
    /// When the next of those that wait for an instant is due.
    pub due_next: Option<Time>,
    pub in_flight: u64,
    pub dead_letters: u64,
}

const MOST_READY: usize = 100_000;
const MOST_ROWS: usize = 10_000;

impl Gauges {
    pub fn read(tx: &ReadTx) -> Result<Gauges> {
        let mut gauges = Gauges {
            backlog: Lane::ALL.iter().flat_map(|lane| WAITING.map(|state| ((*lane, state), 0))).collect(),
            oldest_s: Lane::ALL.map(|lane| (lane, 0)).into(),
            due_next: None,
            in_flight: tx.committed_rows("events.claimed")?,
            dead_letters: tx.committed_rows("events.dead")?,
        };
        let now = tx.now().millis();
        for entry in tx.raw_scan("events.ready", &Scan::all())?.take(MOST_READY) {
            let (entry, _) = entry?;
            let Some((lane, made)) = place_of(&entry) else { continue };
            *gauges.backlog.entry((lane, State::Ready)).or_default() += 1;
            let oldest = gauges.oldest_s.entry(lane).or_default();
            *oldest = (*oldest).max((now - made) / 1000);
        }
        for index in ["events.due", "events.blocked"] {
            for row in tx.scan_index(&DELIVERIES, index, Scan::all()).take(MOST_ROWS) {
                let row = row?.1;
                *gauges.backlog.entry((row.lane, row.state)).or_default() += 1;
                if row.state != State::Blocked {
                    gauges.due_next = gauges.due_next.or(Some(row.due_at));
                }
            }
        }
        Ok(gauges)
    }
}

/// The lane of an entry of `events.ready`, and the milliseconds in its id: behind the queue's name stand the lane (1
/// byte), the group (16) and the key, which is client (16) and id (16).
fn place_of(entry: &[u8]) -> Option<(Lane, i64)> {
    let tail = entry.last_chunk::<49>()?;
    let lane = *Lane::ALL.get(usize::from(tail[0]))?;
    let millis = tail[33..39].iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte));
    Some((lane, millis))
}
