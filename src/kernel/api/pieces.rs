//! Commands in pieces: many items in one request, several write transactions, and still one command.
//!
//! ```text
//! piece 1: items 0..1000   · answers of the piece · record: 1000 of 2500 are done   ┐ one transaction each;
//! piece 2: items 1000..2000 · …                     record: 2000 of 2500            │ others write in between
//! piece 3: items 2000..2500 · …                     record: 2500 of 2500            ┘
//! ```
//!
//! The record under the idempotency key says how many items are done, and is written in the transaction that does
//! them: after a crash, at whatever instant, a repeat under the same key finds exactly what was done, does what is
//! left, and answers for all of it. No item is done twice, and none is lost to somebody who repeats. Of two requests
//! under one key only one works; the other waits for it. Who works is known in memory only: a crash forgets it.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use super::{
    audit,
    body::Body,
    endpoint::{Endpoint, Pieces, RawCall},
    idempotency::{self, Answer, Outcome, PATIENCE, PAUSE, RECORDS, Record, Scoped, find, replay},
    problem::ApiRefusal,
};
use crate::kernel::{
    boot::Kernel,
    error::{Error, Result, fault},
    store::{
        ReadTx, Scan, StoreRefusal, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

/// (hash of the scope and key, first item) → what a piece was answered. Kept as long as the record.
pub const ANSWERS: Table<([u8; 16], u64), PieceAnswer> = Table::new("kernel.idempotency_pieces");

/// The answer for some items of a command, as JSON.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct PieceAnswer {
    body: Vec<u8>,
}
row!(PieceAnswer);

/// The commands in pieces that are being run in this process.
#[derive(Clone, Default)]
pub struct AtWork(Arc<Mutex<HashSet<[u8; 16]>>>);

impl AtWork {
    fn begin(&self, scoped: Scoped) -> Option<Working> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(scoped.0).then(|| Working(self.clone(), scoped))
    }
}

/// The right to work on a command, given up when dropped: at its end, with an error, in a panic.
struct Working(AtWork, Scoped);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1.0);
    }
}

/// What is known of a command under its key.
enum Known {
    Nothing,
    /// It was answered in one piece.
    Answered(Answer),
    /// So many items are done.
    Done(u64),
}

/// Runs a command, or what is left of it.
pub async fn run(
    kernel: Arc<Kernel>,
    endpoint: Arc<Endpoint>,
    pieces: Pieces,
    raw: RawCall,
    scoped: Option<Scoped>,
    dry_run: bool,
) -> Result<Answer> {
    let Some(scoped) = scoped.filter(|_| !dry_run) else {
        return in_one_piece(&kernel, endpoint, pieces, raw, scoped, dry_run).await;
    };
    let working = working(&kernel, scoped).await?;
    let mut done = match kernel.store.read(|tx| known(tx, scoped, &raw))? {
        Known::Answered(answer) => return Ok(answer),
        Known::Nothing if pieces.items <= pieces.size => {
            return in_one_piece(&kernel, endpoint, pieces, raw, Some(scoped), dry_run).await;
        }
        Known::Nothing => 0,
        Known::Done(done) => usize::try_from(done).map_err(|_| fault!("{done} items are done"))?,
    };
    let replayed = done == pieces.items;
    let (pieces, raw) = (Arc::new(pieces), Arc::new(raw));
    // A task of its own: a caller that hangs up does not leave the command half done.
    let running = tokio::spawn(async move {
        let _working = working;
        while done < pieces.items {
            let items = done..(done + pieces.size.max(1)).min(pieces.items);
            done = items.end;
            piece_in_time(&kernel, &endpoint, &pieces, &raw, scoped, items).await?;
        }
        let answers = kernel.store.read(|tx| answers(tx, scoped))?;
        Ok(Answer { status: endpoint.status, body: Body::of(&(pieces.join)(answers))?, replayed })
    });
    running.await.unwrap_or_else(|ended| Err(fault!("a command in pieces ended early: {ended}")))
}

/// The right to work on this command, once nobody else does.
async fn working(kernel: &Kernel, scoped: Scoped) -> Result<Working> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(working) = kernel.at_work.begin(scoped) {
            return Ok(working);
        }
        if waited >= PATIENCE {
            return Err(ApiRefusal::IdempotencyInProgress.into());
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

async fn in_one_piece(
    kernel: &Kernel,
    endpoint: Arc<Endpoint>,
    pieces: Pieces,
    raw: RawCall,
    scoped: Option<Scoped>,
    dry_run: bool,
) -> Result<Answer> {
    let job = move |tx: &mut WriteTx| {
        let handle = |tx: &mut WriteTx| (pieces.run)(tx, 0..pieces.items);
        idempotency::run(tx, &endpoint, &raw, scoped, dry_run, handle)
    };
    kernel.store.write(job).await
}

/// Runs a piece. One that has others before it waits for room in the queue of the writer: what was begun is finished.
async fn piece_in_time(
    kernel: &Kernel,
    endpoint: &Arc<Endpoint>,
    pieces: &Arc<Pieces>,
    raw: &Arc<RawCall>,
    scoped: Scoped,
    items: Range<usize>,
) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        let (endpoint, pieces, raw, range) = (endpoint.clone(), pieces.clone(), raw.clone(), items.clone());
        let ran = kernel.store.write(move |tx| piece(tx, &endpoint, &pieces, &raw, scoped, range)).await;
        match ran {
            Err(error) if items.start > 0 && waited < PATIENCE && is_passing(&error) => {
                tokio::time::sleep(PAUSE).await;
                waited += PAUSE;
            }
            ran => return ran,
        }
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.refusal(), Some(StoreRefusal::Overloaded))
}

/// The effect of some items, their answer, and the note that they are done: in one transaction.
fn piece(
    tx: &mut WriteTx,
    endpoint: &Endpoint,
    pieces: &Pieces,
    raw: &RawCall,
    scoped: Scoped,
    items: Range<usize>,
) -> Result<()> {
    let record = find(tx, scoped, raw)?;
    let done = match record.as_ref().map(|it| &it.1.outcome) {
        None => 0,
        Some(Outcome::Pieces { done, .. }) => *done,
        Some(outcome) => return Err(fault!("a command in pieces has the outcome {outcome:?}")),
    };
    let (from, to) = (items.start as u64, items.end as u64);
    if done != from {
        return Err(fault!("{done} items are done, and those from {from} on were about to be"));
    }

    let body = (pieces.run)(tx, items)?;
    let key = match record {
        Some((key, _)) => key,
        None => {
            // Once: it is one command, and somebody gave it even if it is never finished.
            audit::record(tx, &raw.caller, endpoint, &raw.path, &body)?;
            (tx.now(), scoped.0)
        }
    };
    tx.put(&ANSWERS, &(scoped.0, from), &PieceAnswer { body: body.into_bytes() })?;
    let outcome = Outcome::Pieces { done: to, of: pieces.items as u64 };
    tx.put(&RECORDS, &key, &Record { fingerprint: raw.caller.fingerprint, outcome })
}

fn known(tx: &ReadTx, scoped: Scoped, raw: &RawCall) -> Result<Known> {
    Ok(match find(tx, scoped, raw)?.map(|(_, record)| record.outcome) {
        None => Known::Nothing,
        Some(Outcome::Answered { status, body }) => Known::Answered(replay(status, body)),
        Some(Outcome::Pieces { done, .. }) => Known::Done(done),
        Some(Outcome::Running { .. }) => return Err(fault!("a command in pieces calls nobody")),
    })
}

/// What the pieces were answered, in order.
fn answers(tx: &ReadTx, scoped: Scoped) -> Result<Vec<Value>> {
    let rows = tx.scan(&ANSWERS, Scan::prefix(&scoped.0));
    rows.map(|it| Body::stored(it?.1.body).value()).collect()
}

/// Forgets the answers of a command, with its record.
pub(super) fn forget(tx: &mut WriteTx, scoped: [u8; 16]) -> Result<()> {
    let keys = tx.scan(&ANSWERS, Scan::prefix(&scoped)).map(|it| it.map(|(key, _)| key));
    for key in keys.collect::<Result<Vec<_>>>()? {
        tx.delete(&ANSWERS, &key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden("kernel.idempotency_pieces", &PieceAnswer { body: b"{}".to_vec() });
    }

    #[test]
    fn of_two_only_one_works_until_it_ends_however_it_ends() {
        let (all, command) = (AtWork::default(), Scoped([1; 16]));
        let first = all.begin(command).unwrap();
        assert!(all.begin(command).is_none());
        assert!(all.begin(Scoped([2; 16])).is_some());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _first = first;
            panic!("the work");
        }));
        assert!(panicked.is_err() && all.begin(command).is_some());
    }
}
