//! Files besides `default`: modules that live alone, each file with its own writer thread.
//!
//! ```text
//!   the module's own file                           default
//!   ─────────────────────                           ───────
//!   a command: row + relay row      one commit      ·
//!   ·                               the worker  →   event, audit row, deliveries + mark     one commit
//!   relay rows deleted              ←               ·
//!
//!   ·                               the worker  ←   a delivery for one of its listeners, claimed     one commit
//!   its effect + note of the event  one commit      ·
//!   ·                               →               delivered                               one commit
//! ```
//!
//! A module that lives alone may leave part of itself in `default`, beside the outbox: what has to be one transaction
//! with events and deliveries ([`Boot::beside_outbox`](super::boot::Boot::beside_outbox)). Either side reads what is
//! committed in the other with [`ReadTx::at`](super::store::ReadTx::at).
//!
//! No closure spans two files, so each arrow can be taken twice: after a crash between its two commits. It has one
//! effect all the same: the mark says up to which relay row `default` has taken everything, the note that a listener
//! has heard an event. What needs one commit with the books cannot live here, and is refused when the server starts.
//!
//! Idempotency records are kept beside the command, in the module's file.

use std::{sync::Arc, time::Duration};

use super::{
    api::{
        audit::{AUDIT, AuditId, AuditRow},
        principal::ClientId,
    },
    clock::Time,
    error::Result,
    events::{
        bus::Bell,
        courier::{AnyCourier, Courier, Material, Outcome, Ready, Report, Sending},
        event::{Envelope, EventId},
        outbox::announce,
    },
    store::{
        Index, Key as _, Scan, Store, Table, TableInfo, WriteTx,
        codec::{Decode, Encode, row},
    },
};
use crate::kernel::events::worker::Job;

/// A file, and who lives there.
#[derive(Clone)]
pub struct Annex {
    /// Its name in `[connections]`.
    pub connection: String,
    pub store: Store,
    pub modules: Vec<&'static str>,
    /// What of its modules stays in `default`, beside the outbox: tables whose names begin so.
    pub beside_outbox: &'static [&'static str],
}

impl Annex {
    /// Whether a table is in this file.
    pub fn has(&self, table: &TableInfo) -> bool {
        let stays = self.beside_outbox.iter().any(|it| table.name.starts_with(it));
        self.modules.contains(&table.module()) && !stays
    }
}

/// Hangs on every write transaction of an annex: what is announced there goes to `default` by relay.
pub struct Relaying(pub Arc<Bell>);

/// relay row → what `default` still has to be told, in order. Only in annexes.
pub const RELAY: Table<EventId, Relayed> = Table::new("kernel.relay");

/// Something that happened in an annex.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Relayed {
    Event(Envelope),
    Audit { client: ClientId, row: AuditRow },
}
row!(Relayed);

/// connection → up to which relay row everything is in `default`. Only in `default`.
pub const MARKS: Table<String, Mark> = Table::new("kernel.relay_marks");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Mark {
    pub last: EventId,
}
row!(Mark);

/// (listener, event or slot or delivery) → that it had its effect. Only in annexes.
pub const HEARD: Table<(String, String), Heard> = Table::new("kernel.heard")
    .with_indexes(&[Index::listing("kernel.heard_by_at", |_, heard: &Heard| vec![heard.at.to_key()])]);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Heard {
    pub at: Time,
}
row!(Heard);

/// How many rows one relay takes.
const PIECE: usize = 100;

/// Keeps for the relay what happened in a transaction of an annex.
pub fn keep(tx: &mut WriteTx, what: Relayed) -> Result<()> {
    let id: EventId = tx.new_id();
    tx.insert(&RELAY, &id, &what)?;
    if let Some(relaying) = tx.extension::<Relaying>() {
        tx.on_commit(Box::new(move || relaying.0.ring()));
    }
    Ok(())
}

/// Takes what waits in an annex to `default`. Whether there was anything.
pub fn relay(annex: &Annex, store: &Store) -> Result<bool> {
    let waiting =
        |tx: &super::store::ReadTx| tx.scan(&RELAY, Scan::all()).take(PIECE).collect::<Result<Vec<_>>>();
    let rows = annex.store.read(waiting)?;
    let Some(last) = rows.last().map(|it| it.0) else { return Ok(false) };
    let taken: Vec<EventId> = rows.iter().map(|it| it.0).collect();
    let connection = annex.connection.clone();
    store.write_blocking(move |tx| {
        let mark = tx.get(&MARKS, &connection)?.map(|it| it.last);
        for (_, what) in rows.into_iter().filter(|it| mark.is_none_or(|mark| it.0 > mark)) {
            match what {
                // A new id: whoever reads the feed by its last id must not miss it.
                Relayed::Event(mut envelope) => {
                    envelope.id = tx.new_id();
                    announce(tx, envelope, None)?;
                }
                Relayed::Audit { client, row } => {
                    let id: AuditId = tx.new_id();
                    tx.insert(&AUDIT, &(client, id), &row)?;
                }
            }
        }
        tx.put(&MARKS, &connection, &Mark { last })
    })?;
    annex.store.write_blocking(move |tx| taken.iter().try_for_each(|it| tx.delete(&RELAY, it).map(drop)))?;
    Ok(true)
}

/// Makes ids of relay rows go on behind those that were taken already, whatever the clock says after a restart.
pub fn resume(annex: &Annex, store: &Store) -> Result<()> {
    let taken = store.read(|tx| tx.get(&MARKS, &annex.connection))?.map(|it| it.last);
    let kept = annex.store.read(|tx| tx.scan(&RELAY, Scan::all().newest_first()).next().transpose())?;
    if let Some(last) = taken.max(kept.map(|it| it.0)) {
        annex.store.ids_after(last);
    }
    Ok(())
}

/// Forgets what was heard longer ago than any delivery of it is kept.
pub fn forgetter(keep: Duration) -> Job {
    Job {
        name: "kernel.heard_prune",
        due: Arc::new(move |tx| {
            let oldest = tx.scan_index(&HEARD, "kernel.heard_by_at", Scan::all()).next().transpose()?;
            Ok(oldest.map(|(_, heard)| heard.at.after(keep)))
        }),
        run: Arc::new(move |tx| {
            let end = Time::from_micros(tx.now().before(keep).micros() + 1).to_key();
            let old = tx.scan_index(&HEARD, "kernel.heard_by_at", Scan::all().until(end)).take(1000);
            for (key, _) in old.collect::<Result<Vec<_>>>()? {
                tx.delete(&HEARD, &key)?;
            }
            Ok(())
        }),
    }
}

/// A courier of a module that lives in an annex: its transactions are those of its own file, so they run while it
/// sends. A delivery that had its effect there is not sent again. An attempt that is cut off counts nothing there.
pub struct Away {
    pub store: Store,
    pub kind: &'static str,
    pub courier: Arc<dyn AnyCourier>,
}

impl Courier for Away {
    type Material = ();

    fn prepare(&self, _: &mut WriteTx, _: &Sending) -> Result<Ready<()>> {
        Ok(Ready::Go(()))
    }

    fn send(&self, job: Sending, (): ()) -> impl Future<Output = Report> + Send + 'static {
        let (store, courier) = (self.store.clone(), self.courier.clone());
        let key = (self.kind.to_owned(), job.id.to_string());
        async move {
            let sent = send_from(&store, courier, job, key).await;
            sent.unwrap_or_else(|error| Outcome::Retry(error.to_string()).into())
        }
    }
}

async fn send_from(
    store: &Store,
    courier: Arc<dyn AnyCourier>,
    job: Sending,
    key: (String, String),
) -> Result<Report> {
    let (preparing, sending, heard) = (courier.clone(), job.clone(), key.clone());
    let prepared = store
        .write(move |tx| -> Result<Option<Ready<Material>>> {
            if tx.exists(&HEARD, &heard)? {
                return Ok(None);
            }
            preparing.prepare(tx, &sending).map(Some)
        })
        .await?;
    let material = match prepared {
        None => return Ok(Outcome::Ok.into()),
        Some(Ready::Go(material)) => material,
        Some(Ready::Later(delay)) => return Ok(Outcome::Snooze(delay).into()),
        Some(Ready::Block(why)) => return Ok(Outcome::Retry(why).into()),
        Some(Ready::Cancel(why)) => return Ok(Outcome::Cancel(why).into()),
        Some(Ready::Gone) => return Ok(Outcome::Reject("its target no longer exists".to_owned()).into()),
    };
    let report = courier.send(job.clone(), material).await;
    let settling = report.clone();
    store
        .write(move |tx| {
            courier.settled(tx, &job, &settling)?;
            match settling.outcome {
                Outcome::Ok => tx.put(&HEARD, &key, &Heard { at: tx.now() }),
                _ => Ok(()),
            }
        })
        .await?;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{api::principal::Actor, id::Id as _, store::codec::golden};

    #[test]
    fn the_stored_forms_stay_what_they_are() {
        let at = Time::from_micros(1_795_342_000_000_000);
        let row = AuditRow {
            at,
            actor: Actor::System,
            action: "POST /diary".into(),
            entity: "dry_1".into(),
            request_id: "req_1".into(),
        };
        golden("kernel.relay", &Relayed::Audit { client: ClientId::from_bytes([1; 16]), row });
        golden("kernel.relay_marks", &Mark { last: EventId::from_bytes([2; 16]) });
        golden("kernel.heard", &Heard { at });
    }
}
