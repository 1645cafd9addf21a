//! Secrets that open nothing any more. What failed keeps what it carries, because somebody may ask for another try; past
//! its `deliver_before` there is none, so the code of a rejected mail does not lie in the file for ninety days.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    delivery::{DeliveryId, EXTRAS, Status},
    worker::Job,
};
use crate::kernel::{
    clock::Time,
    error::Result,
    store::{Key as _, ReadTx, Scan},
};

/// How often it is looked for.
const HOUR: i64 = 3600 * 1_000_000;
/// What one look goes over; the next one goes on behind it.
const LOOKED_AT: usize = 5000;

/// Where the last look ended, and when the next one is. What is forgotten with the process is only a look more.
struct Round {
    behind: Option<DeliveryId>,
    at: Time,
}

/// Wipes them, within the hour.
pub(super) fn job() -> Job {
    let round = Arc::new(Mutex::new(Round { behind: None, at: Time::ZERO }));
    let running = round.clone();
    Job {
        name: "events.wipe_secrets",
        due: Arc::new(move |tx| {
            let mut round = round.lock().unwrap_or_else(PoisonError::into_inner);
            if round.at <= tx.now() {
                let (found, last) = spent(tx, round.behind)?;
                if found.is_empty() {
                    *round = Round { behind: last, at: Time::from_micros(tx.now().micros() + HOUR) };
                }
            }
            Ok(Some(round.at))
        }),
        run: Arc::new(move |tx| {
            let behind = running.lock().unwrap_or_else(PoisonError::into_inner).behind;
            for id in spent(tx, behind)?.0 {
                tx.delete(&EXTRAS, &id)?;
            }
            Ok(())
        }),
    }
}

/// What failed deliveries carry past their time; and where to go on, `None`: from the beginning.
fn spent(tx: &ReadTx, behind: Option<DeliveryId>) -> Result<(Vec<DeliveryId>, Option<DeliveryId>)> {
    let scan = behind.map_or_else(Scan::all, |it| Scan::all().after(it.to_key()));
    let (mut found, mut last, mut looked_at) = (vec![], None, 0);
    for extra in tx.scan(&EXTRAS, scan).take(LOOKED_AT) {
        let (id, _) = extra?;
        (last, looked_at) = (Some(id), looked_at + 1);
        let row = tx.delivery(id)?.map(|it| it.1);
        let is_spent = row.is_some_and(|it| {
            it.secret
                && it.state.status() == Status::Failed
                && it.deliver_before.is_some_and(|until| until <= tx.now())
        });
        found.extend(is_spent.then_some(id));
    }
    Ok((found, last.filter(|_| looked_at == LOOKED_AT)))
}
