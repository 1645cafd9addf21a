//! Which deliveries run next: lanes by weight, and within a lane every group in its turn.
//!
//! ```text
//! events.ready   (external?, queue, lane, group) + (client, delivery)
//!                 queues share evenly; critical 8 : high 4 : medium 2 : low 1; at most 16 rows a visit to a group
//! ```
//!
//! A lane whose next row has waited for a minute times its place counts as the lane above: nothing starves. Whose
//! turn it is lives in memory only: after a restart the round begins anew.

use std::collections::HashMap;

use super::{delivery::Lane, queues::Paused, verdict::Key};
use crate::kernel::{
    error::{Result, fault},
    id::Id,
    store::{Key as _, ReadTx, Scan, key::after_prefix},
};

/// Rows taken from one group before the next one has its turn.
const VISIT: usize = 16;
/// A row of the high lane counts as critical after this many milliseconds, one of the medium lane as high after
/// twice, one of the low lane as medium after three times as many.
const AGEING_MS: i64 = 60_000;

/// Whose turn it is.
#[derive(Default)]
pub struct Turns {
    /// The queue that was served last.
    queue: [Option<String>; 2],
    lanes: HashMap<(bool, String), [LaneTurn; 4]>,
}

#[derive(Default, Clone)]
struct LaneTurn {
    credit: i64,
    /// The group that was served last.
    group: Option<[u8; 16]>,
}

/// What is asked for.
pub struct Ask<'a> {
    pub tx: &'a ReadTx,
    pub external: bool,
    pub paused: &'a Paused,
    /// How many rows of a group may run now, asked with the group and its first delivery.
    pub room: &'a dyn Fn(&ReadTx, &[u8; 16], &Key) -> Result<usize>,
}

impl Turns {
    /// The next deliveries, at most `limit`, in the order they are to run.
    pub fn pick(&mut self, ask: &Ask<'_>, limit: usize) -> Result<Vec<Key>> {
        let mut queues = queues(ask.tx, ask.external)?;
        queues.retain(|it| !ask.paused.is_paused(it, None));
        let last = &mut self.queue[usize::from(ask.external)];
        if let Some(last) = last {
            let behind = queues.partition_point(|it| it <= last);
            queues.rotate_left(behind);
        }
        *last = queues.first().cloned(); // Whoever was first is last the next time.
        let mut picked = vec![];
        let count = queues.len();
        for (at, queue) in queues.into_iter().enumerate() {
            let share = (limit - picked.len()).div_ceil(count - at);
            self.pick_queue(ask, &queue, share, &mut picked)?;
        }
        Ok(picked)
    }

    fn pick_queue(&mut self, ask: &Ask<'_>, queue: &str, limit: usize, picked: &mut Vec<Key>) -> Result<()> {
        let turns = self.lanes.entry((ask.external, queue.to_owned())).or_default();
        let mut lanes = vec![];
        for lane in Lane::ALL {
            let walk = Walk::begin(ask, queue, lane, turns[usize::from(lane.place())].group);
            if let Some(head) = walk.next(ask.tx)? {
                lanes.push((lane, weight(lane, head.millis(), ask.tx.now().millis()), walk));
            }
        }
        let end = picked.len() + limit;
        while picked.len() < end && !lanes.is_empty() {
            let order = order(turns, &lanes, end - picked.len());
            let mut taken = vec![];
            let mut still = vec![];
            for (at, (lane, weight, mut walk)) in lanes.into_iter().enumerate() {
                let quota = order.iter().filter(|it| **it == at).count();
                let mut rows = vec![];
                let more = walk.take(ask, quota, &mut rows)?;
                turns[usize::from(lane.place())].group = walk.group;
                taken.push(rows.into_iter());
                if more {
                    still.push((lane, weight, walk));
                }
            }
            // In turn, so that a batch that is cut short has served every lane.
            picked.extend(order.into_iter().filter_map(|at| taken[at].next()));
            lanes = still;
        }
        Ok(())
    }
}

/// Which lane is served as the first, second, … of `count`: by weight, remembering what each was owed.
fn order(turns: &mut [LaneTurn; 4], lanes: &[(Lane, i64, Walk)], count: usize) -> Vec<usize> {
    let sum: i64 = lanes.iter().map(|it| it.1).sum();
    let next = |_| {
        let mut best = 0;
        for (at, (lane, weight, _)) in lanes.iter().enumerate() {
            turns[usize::from(lane.place())].credit += weight;
            let credit = |at: usize| turns[usize::from(lanes[at].0.place())].credit;
            if credit(at) > credit(best) {
                best = at;
            }
        }
        turns[usize::from(lanes[best].0.place())].credit -= sum;
        best
    };
    (0..count).map(next).collect()
}

fn weight(lane: Lane, head_millis: i64, now_millis: i64) -> i64 {
    let place = lane.place();
    let aged = place > 0 && now_millis - head_millis > AGEING_MS * i64::from(place);
    let lane = if aged { Lane::ALL[usize::from(place) - 1] } else { lane };
    lane.weight() as i64
}

/// A walk round the groups of one lane.
struct Walk {
    place: (bool, String, u8),
    /// The group that was visited last.
    group: Option<[u8; 16]>,
    /// Of each group visited, the last entry taken and how many were: the next visit goes on behind.
    taken: HashMap<[u8; 16], (Vec<u8>, usize)>,
}

impl Walk {
    fn begin(ask: &Ask<'_>, queue: &str, lane: Lane, group: Option<[u8; 16]>) -> Walk {
        Walk { place: (ask.external, queue.to_owned(), lane.place()), group, taken: HashMap::new() }
    }

    /// The first entry of the next group, round the end to the first one.
    fn next(&self, tx: &ReadTx) -> Result<Option<Ready>> {
        let behind = self.group.map(|it| [&self.place.to_key()[..], &it].concat());
        if let Some(from) = behind.and_then(|it| after_prefix(&it))
            && let Some(head) = entries(tx, &Scan::prefix(&self.place).from(from))?.next().transpose()?
        {
            return Ok(Some(head));
        }
        entries(tx, &Scan::prefix(&self.place))?.next().transpose()
    }

    /// Takes `count` rows, a visit to each group in turn. False when there is nothing more to take.
    fn take(&mut self, ask: &Ask<'_>, count: usize, picked: &mut Vec<Key>) -> Result<bool> {
        let end = picked.len() + count;
        let mut idle_since = None;
        while picked.len() < end {
            let Some(head) = self.next(ask.tx)? else { return Ok(false) };
            self.group = Some(head.group);
            if self.visit(ask, &head, end, picked)? {
                idle_since = None;
            } else if idle_since == Some(head.group) {
                return Ok(false); // All the way round, and nothing.
            } else {
                idle_since = idle_since.or(Some(head.group));
            }
        }
        Ok(true)
    }

    /// Whether anything was taken.
    fn visit(&mut self, ask: &Ask<'_>, head: &Ready, end: usize, picked: &mut Vec<Key>) -> Result<bool> {
        if ask.paused.is_paused(&self.place.1, Some(head.key.0)) {
            return Ok(false);
        }
        let before = self.taken.get(&head.group).map_or(0, |it| it.1);
        let room = (ask.room)(ask.tx, &head.group, &head.key)?.saturating_sub(before);
        let count = room.min(VISIT).min(end - picked.len());
        if count == 0 {
            return Ok(false);
        }
        let (external, queue, lane) = self.place.clone();
        let mut scan = Scan::prefix(&(external, queue, lane, head.group));
        if let Some((last, _)) = self.taken.get(&head.group) {
            scan = scan.after(last.clone());
        }
        let mut last = None;
        let mut taken = before;
        for ready in entries(ask.tx, &scan)?.take(count) {
            let ready = ready?;
            picked.push(ready.key);
            taken += 1;
            last = Some(ready.entry);
        }
        let any = last.is_some();
        if let Some(last) = last {
            self.taken.insert(head.group, (last, taken));
        }
        Ok(any)
    }
}

/// An entry of `events.ready`.
struct Ready {
    entry: Vec<u8>,
    queue: String,
    group: [u8; 16],
    key: Key,
}

impl Ready {
    /// When the delivery was made: its id says so.
    fn millis(&self) -> i64 {
        self.key.1.bytes()[..6].iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte))
    }
}

fn entries<'a>(tx: &'a ReadTx, scan: &Scan) -> Result<impl Iterator<Item = Result<Ready>> + use<'a>> {
    let entries = tx.raw_scan("events.ready", scan)?;
    Ok(entries.map(|entry| {
        let (entry, _) = entry?;
        type Place = (bool, String, u8, [u8; 16]);
        let mut rest = &entry[..];
        let read = Place::read(&mut rest).zip(Key::read(&mut rest)).filter(|_| rest.is_empty());
        let ((_, queue, _, group), key) =
            read.ok_or_else(|| fault!("a key of events.ready is none: run verify"))?;
        Ok(Ready { entry, queue, group, key })
    }))
}

/// The queues in which something is ready.
fn queues(tx: &ReadTx, external: bool) -> Result<Vec<String>> {
    let mut queues: Vec<String> = vec![];
    let mut scan = Scan::prefix(&external);
    while let Some(ready) = entries(tx, &scan)?.next().transpose()? {
        let Some(next) = after_prefix(&(external, ready.queue.clone()).to_key()) else { break };
        queues.push(ready.queue);
        scan = Scan::prefix(&external).from(next);
    }
    Ok(queues)
}
