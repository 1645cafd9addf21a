//! Running many dead letters again: written down first, then worked off piece by piece, so that a restart goes on
//! where it was.

use std::sync::Arc;

use super::{
    control,
    delivery::{DELIVERIES, Status},
    outbox::key_client,
    worker::Job,
};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::{Error, Result},
    id::id,
    store::{
        Index, Key as _, ReadTx, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

id!(/** A bulk retry. */ BulkRetryId, "blk");

/// (client, bulk retry) → how far it is. The all-zero client stands for everybody.
pub const BULK_RETRIES: Table<(ClientId, BulkRetryId), BulkRetry> = Table::new("events.bulk_retries")
    .with_indexes(&[
        // bulk retries that are not finished
        Index::listing("events.bulk_open", |_, row| match row.finished_at {
            None => vec![vec![]],
            Some(_) => vec![],
        }),
    ]);

/// Which dead letters to run again, and how far that is.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct BulkRetry {
    /// `None`: of any cause.
    pub fingerprint: Option<u64>,
    /// `None`: of any listener or kind of target.
    pub listener: Option<String>,
    pub created_at: Time,
    pub finished_at: Option<Time>,
    /// Where the next piece begins: behind this entry of `events.dead`.
    pub behind: Option<Vec<u8>>,
    pub retried: u64,
    /// Left as they are, because a later job is delivered instead.
    pub skipped: u64,
}
row!(BulkRetry);

/// Dead letters one transaction looks at.
const PIECE: usize = 200;

/// Works off what was asked for.
pub(super) fn job() -> Job {
    Job { name: "events.bulk_retry", due: Arc::new(due), run: Arc::new(run) }
}

fn due(tx: &ReadTx) -> Result<Option<Time>> {
    Ok(next(tx)?.map(|(_, row)| row.created_at))
}

fn next(tx: &ReadTx) -> Result<Option<((ClientId, BulkRetryId), BulkRetry)>> {
    tx.scan_index(&BULK_RETRIES, "events.bulk_open", Scan::all()).next().transpose()
}

fn run(tx: &mut WriteTx) -> Result<()> {
    let Some((key, mut bulk)) = next(tx)? else { return Ok(()) };
    let piece = dead(tx, key_client(key.0), &bulk)?;
    let is_last = piece.len() < PIECE;
    for (at, delivery, row) in piece {
        bulk.behind = Some(at);
        // What failed again since then has had its chance.
        let failed_before = row.finished_at.is_some_and(|it| it <= bulk.created_at);
        let wanted = bulk.listener.as_ref().is_none_or(|it| *it == row.listener);
        let of_cause = bulk.fingerprint.is_none_or(|it| it == row.fingerprint);
        if !(failed_before && wanted && of_cause) {
            continue;
        }
        match tx.attempt(|tx| control::retry(tx, &delivery, row)) {
            Ok(_) => bulk.retried += 1,
            Err(Error::Refused(_)) => bulk.skipped += 1,
            Err(fault) => return Err(fault),
        }
    }
    if is_last {
        bulk.finished_at = Some(tx.now());
    }
    tx.put(&BULK_RETRIES, &key, &bulk)
}

type Dead = (Vec<u8>, super::verdict::Key, super::delivery::Delivery);

/// The next dead letters, with their places in the index.
fn dead(tx: &ReadTx, client: Option<ClientId>, bulk: &BulkRetry) -> Result<Vec<Dead>> {
    let mut scan = match (client, bulk.fingerprint) {
        (Some(client), Some(fingerprint)) => Scan::prefix(&(client, fingerprint)),
        (Some(client), None) => Scan::prefix(&client),
        (None, _) => Scan::all(),
    };
    if let Some(behind) = &bulk.behind {
        scan = scan.after(behind.clone());
    }
    let rows = tx.scan_index(&DELIVERIES, "events.dead", scan).take(PIECE);
    rows.map(|it| {
        let (key, row) = it?;
        debug_assert!(row.state.status() == Status::Failed);
        let at = ((key.0, row.fingerprint), key).to_key();
        Ok((at, key, row))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let at = Time::from_micros(1_795_342_000_000_000);
        golden(
            "events.bulk_retries",
            &BulkRetry {
                fingerprint: Some(7),
                listener: Some("webhook".into()),
                created_at: at,
                finished_at: None,
                behind: Some(vec![1, 2]),
                retried: 3,
                skipped: 1,
            },
        );
    }
}
