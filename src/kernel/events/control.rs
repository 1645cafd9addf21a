//! What operators and modules do with deliveries: run one again, call one off.

use super::{
    bus::bus,
    dedupe,
    delivery::{DELIVERIES, Delivery, DeliveryId, State, Status},
    verdict::{self, Key},
};
use crate::kernel::{
    api::call::found,
    error::{Result, refusals},
    store::WriteTx,
};

refusals! {
    /// What is refused about deliveries.
    pub enum JobRefusal {
        /// The job came to an end in which nothing can be run again: it was sent, or it was suppressed. Look at its
        /// status.
        JobEnded { status: Status }: Conflict "job_ended" => "the job is {status}",
        /// The job is being sent at this moment. Wait until the attempt has ended.
        JobRunning: Conflict "job_running" => "the job is being sent",
        /// A later job holds the same dedupe key and will be delivered; running this one too would deliver twice.
        JobSuperseded { by: DeliveryId }: Conflict "job_superseded" => "{by} is delivered instead",
    }
}

impl WriteTx {
    /// Lets a delivery run once more, now; what had been sent too, as when a receiver asks for it again. It gets
    /// another try whatever its policy says. Refuses `job_running` and `job_superseded`; for what was suppressed,
    /// and for what was sent and wiped, `job_ended`.
    pub fn redeliver(&mut self, id: DeliveryId) -> Result<Delivery> {
        let (client, row) = found(self.delivery(id)?)?;
        if row.state == State::Sent && row.secret {
            return Err(JobRefusal::JobEnded { status: Status::Sent }.into());
        }
        run_again(self, &(client, id), row)
    }

    /// Calls a delivery off, for modules that have a word of their own for it. Refuses `not_found`, `job_ended`.
    pub fn call_off(&mut self, id: DeliveryId) -> Result<Delivery> {
        let (client, row) = found(self.delivery(id)?)?;
        cancel(self, &(client, id), row)
    }
}

/// Lets a delivery that was not sent run now.
pub(super) fn retry(tx: &mut WriteTx, key: &Key, row: Delivery) -> Result<Delivery> {
    if row.state == State::Sent {
        return Err(JobRefusal::JobEnded { status: Status::Sent }.into());
    }
    run_again(tx, key, row)
}

fn run_again(tx: &mut WriteTx, key: &Key, mut row: Delivery) -> Result<Delivery> {
    match row.state.status() {
        Status::Suppressed => return Err(JobRefusal::JobEnded { status: Status::Suppressed }.into()),
        Status::Processing => return Err(JobRefusal::JobRunning.into()),
        _ => {}
    }
    // Its secret opens nothing any more, and may be wiped: see `wipe.rs`.
    if row.secret && row.deliver_before.is_some_and(|until| until <= tx.now()) {
        return Err(JobRefusal::JobEnded { status: row.state.status() }.into());
    }
    let ended = row.state.is_end();
    if ended && let Some(by) = dedupe::retake(tx, key.0, key.1, &row)? {
        return Err(JobRefusal::JobSuperseded { by }.into());
    }

    row.tries_granted = row.tries_granted.max(row.tries_used + 1);
    row.crashes = 0;
    row.cancel_requested = false;
    row.deliver_before = row.deliver_before.filter(|it| *it > tx.now());
    row.wait(State::Ready, tx.now());
    verdict::keep(tx, key, &row)?;
    let bell = bus(tx)?.bell.clone();
    tx.on_commit(Box::new(move || bell.ring()));
    Ok(row)
}

/// Calls a delivery off: now when it waits, after the attempt that runs otherwise, unless that succeeds.
pub(super) fn cancel(tx: &mut WriteTx, key: &Key, mut row: Delivery) -> Result<Delivery> {
    match row.state.status() {
        Status::Canceled => return Ok(row),
        Status::Pending => row.end(State::Canceled, tx.now()),
        Status::Processing => row.cancel_requested = true,
        status => return Err(JobRefusal::JobEnded { status }.into()),
    }
    verdict::keep(tx, key, &row)?;
    Ok(row)
}

/// The key of a delivery that somebody of `client` may see; everybody's without one.
pub(super) fn visible(
    tx: &crate::kernel::store::ReadTx,
    client: Option<crate::kernel::api::principal::ClientId>,
    id: DeliveryId,
) -> Result<(Key, Delivery)> {
    let row = tx.find(&DELIVERIES, "events.by_id", &id)?;
    found(row.filter(|((owner, _), _)| client.is_none_or(|it| it == *owner)))
}
