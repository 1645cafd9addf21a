//! Queues: how much waits in them, and holding them back.

use serde::Serialize;

use super::LateBus;
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, get, post},
        page::Page,
        principal::{Actor, ClientId},
    },
    clock::Time,
    error::Result,
    events::{
        bus::Bus,
        outbox::client_key,
        queues::{PAUSES, Pause},
    },
    store::{Key as _, ReadTx, Scan},
};

pub fn endpoints(bus: &LateBus) -> Vec<Endpoint> {
    let (lists, pauses, resumes) = (bus.clone(), bus.clone(), bus.clone());
    vec![
        get("/queues")
            .about("List queues: what waits in them, and whether they are held back")
            .needs("queues.view_any")
            .lists(move |tx, call: &Call<(), ()>| {
                let client = call.caller.principal.client;
                let queues = lists.get()?.plans.queues().iter();
                Ok(Page::whole(queues.map(|it| QueueOut::of(tx, it, client)).collect::<Result<_>>()?))
            }),
        post("/queues/{name}/pause")
            .about("Hold a queue back: for one's client, or as an operator who names none for everybody")
            .needs("queues.pause")
            .writes(move |tx, call: &Call<String, ()>| {
                let client = call.caller.principal.client;
                let name = found(pauses.get()?.plans.queues().get(&call.path))?;
                let key = (name.clone(), client_key(client));
                if !tx.exists(&PAUSES, &key)? {
                    tx.put(&PAUSES, &key, &Pause { since: tx.now(), by: call.caller.actor() })?;
                }
                QueueOut::of(tx, name, client)
            }),
        post("/queues/{name}/resume").about("Let a queue run again").needs("queues.resume").writes(
            move |tx, call: &Call<String, ()>| {
                let client = call.caller.principal.client;
                let name = found(resumes.get()?.plans.queues().get(&call.path))?;
                tx.delete(&PAUSES, &(name.clone(), client_key(client)))?;
                if let Some(bus) = tx.extension::<Bus>() {
                    let bell = bus.bell.clone();
                    tx.on_commit(Box::new(move || bell.ring()));
                }
                QueueOut::of(tx, name, client)
            },
        ),
    ]
}

/// A queue.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct QueueOut {
    #[schema(value_type = String)]
    object: &'static str,
    name: String,
    #[schema(value_type = String)]
    status: &'static str,
    paused_at: Option<Time>,
    paused_by: Option<Actor>,
    /// How many deliveries could run now, counted up to 10,000.
    ready: usize,
    /// Since when the oldest of them has been there.
    oldest_at: Option<Time>,
}

const MOST_COUNTED: usize = 10_000;

impl QueueOut {
    fn of(tx: &ReadTx, name: &str, client: Option<ClientId>) -> Result<QueueOut> {
        // A pause for everybody holds the client's rows back too.
        let for_all = tx.get(&PAUSES, &(name.to_owned(), client_key(None)))?;
        let pause = match for_all {
            Some(pause) => Some(pause),
            None => tx.get(&PAUSES, &(name.to_owned(), client_key(client)))?,
        };
        let (mut ready, mut oldest) = (0, None::<i64>);
        for external in [false, true] {
            for entry in tx.raw_scan("events.ready", &Scan::prefix(&(external, name.to_owned())))? {
                let (entry, _) = entry?;
                let Some((_, key)) = entry.split_last_chunk::<32>() else { continue };
                let owner = ClientId::from_key(&key[..16]);
                if client.is_some() && owner != client {
                    continue;
                }
                ready += 1;
                let millis = key[16..22].iter().fold(0, |millis, byte| millis << 8 | i64::from(*byte));
                oldest = Some(oldest.map_or(millis, |it| it.min(millis)));
                if ready == MOST_COUNTED {
                    break;
                }
            }
        }
        Ok(QueueOut {
            object: "queue",
            name: name.to_owned(),
            status: if pause.is_some() { "paused" } else { "running" },
            paused_at: pause.as_ref().map(|it| it.since),
            paused_by: pause.map(|it| it.by),
            ready: ready.min(MOST_COUNTED),
            oldest_at: oldest.map(|it| Time::from_micros(it.saturating_mul(1000))),
        })
    }
}
