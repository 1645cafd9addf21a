//! What comes due at an endpoint by itself: the end of a pause, letting go what waited, replays.

use std::sync::Arc;

use super::{
    model::{Endpoint, Gate},
    replay,
    repository::{ENDPOINTS, waiting},
};
use crate::kernel::{
    api::principal::ClientId,
    error::Result,
    events::worker::Job,
    store::{Scan, WriteTx},
};

/// Endpoints looked at in one transaction.
const ENDPOINTS_AT_ONCE: usize = 10;
/// Messages of one endpoint let go in one transaction.
const RELEASED: usize = 100;

pub fn job() -> Job {
    Job {
        name: "notification.webhooks",
        due: Arc::new(|tx| {
            let first = tx.scan_index(&ENDPOINTS, "notification.webhook_endpoints_due", Scan::all()).next();
            Ok(first.transpose()?.and_then(|(_, row)| row.due()))
        }),
        run: Arc::new(|tx| {
            let due = tx.scan_index(&ENDPOINTS, "notification.webhook_endpoints_due", Scan::all());
            let due: Vec<_> = due.take(ENDPOINTS_AT_ONCE).collect::<Result<_>>()?;
            for ((client, _), endpoint) in due {
                if endpoint.due().is_some_and(|it| it <= tx.now()) {
                    step(tx, client, endpoint)?;
                }
            }
            Ok(())
        }),
    }
}

/// Does a piece of what is due at one endpoint.
fn step(tx: &mut WriteTx, client: ClientId, mut endpoint: Endpoint) -> Result<()> {
    let key = (client, endpoint.id);
    if endpoint.releasing.is_some() {
        let (turns, last) = waiting(tx, client, endpoint.id, endpoint.releasing, RELEASED)?;
        endpoint.releasing = last;
        tx.put(&ENDPOINTS, &key, &endpoint)?;
        for delivery in turns {
            tx.release(delivery)?;
        }
    }
    if endpoint.replay.is_some() {
        endpoint.replay = replay::step(tx, client, &endpoint)?;
        tx.put(&ENDPOINTS, &key, &endpoint)?;
    }
    match endpoint.gate {
        Gate::Shut { until, pause_s } if endpoint.disabled.is_none() && until <= tx.now() => {
            endpoint.gate = Gate::Probing { probe: None, pause_s };
            tx.put(&ENDPOINTS, &key, &endpoint)?;
            try_one(tx, client, &endpoint)
        }
        _ => Ok(()),
    }
}

/// Lets the oldest message go to an endpoint that has been left alone. Where none waits, the next one is the probe.
pub fn try_one(tx: &mut WriteTx, client: ClientId, endpoint: &Endpoint) -> Result<()> {
    let (turn, _) = waiting(tx, client, endpoint.id, None, 1)?;
    turn.into_iter().try_for_each(|it| tx.release(it).map(drop))
}
