//! Processing without a person, in clients whose settings say so: entering `approved` leaves a delivery, in the same
//! transaction, to a courier that asks the gateway.
//!
//! It claims and settles as a person's `process` does. An attempt that did not come to an end is never repeated: the
//! withdrawal is `processing` by then, and its deadline makes it need reconciliation.

use std::{future::Future, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{Withdrawals, payout::Payout};
use crate::kernel::{
    api::{call::Caller, principal::ClientId},
    error::{Error, Result, fault},
    events::{
        courier::{Courier, OnInterrupted, Outcome, Ready, Report, Sending, TargetPlan},
        delivery::Lane,
        enqueue::NewDelivery,
    },
    store::WriteTx,
};
use crate::modules::{
    payment::contract::PayoutOutcome,
    withdrawal::{
        contract::{WithdrawalId, WithdrawalStatus},
        model::Withdrawal,
        repository,
    },
};

/// Stored with deliveries: never renamed.
pub const KIND: &str = "withdrawal.payout";

pub fn plan() -> TargetPlan {
    TargetPlan {
        queue: "payouts", // Pausing it holds all payouts back that nobody asks for by hand.
        lane: Lane::High,
        retry: None,
        timeout: Some(Duration::from_secs(90)), // Above what a gateway is given to answer.
        at_once: 4,
        on_interrupted: OnInterrupted::Park,
    }
}

/// What cannot be claimed now, because no gateway takes it or its user is frozen, is looked at again after this.
const LATER: Duration = Duration::from_secs(15 * 60);

/// Asks gateways to pay out what was approved.
pub struct PayoutCourier(pub Arc<Withdrawals>);

impl Courier for PayoutCourier {
    type Material = Payout;

    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Payout>> {
        let (client, id) = named(job)?;
        let withdrawal = repository::get(tx, client, id)?;
        if withdrawal.status() != WithdrawalStatus::Approved {
            return Ok(Ready::Cancel(format!("it is {}", withdrawal.status())));
        }
        if !self.0.processes_by_itself(tx, client)? {
            return Ok(Ready::Cancel("auto_process is off: a person processes it".to_owned()));
        }
        match self.0.claim_approved(tx, &Caller::system(Some(client)), withdrawal, None) {
            Ok(payout) => Ok(Ready::Go(payout)),
            Err(Error::Refused(refusal)) => {
                tracing::warn!(withdrawal.id = %id, "Withdrawal {id} cannot be processed yet: {refusal}");
                Ok(Ready::Later(LATER))
            }
            Err(fault) => Err(fault),
        }
    }

    fn send(&self, _: Sending, payout: Payout) -> impl Future<Output = Report> + Send + 'static {
        let asked = self.0.call(payout);
        async move { Report::from(Outcome::Ok).response(write(&asked.await).to_string()) }
    }

    fn settled(&self, tx: &mut WriteTx, job: &Sending, report: &Report) -> Result<()> {
        let (client, id) = named(job)?;
        let said = report.response.as_deref().and_then(read);
        let outcome =
            said.unwrap_or_else(|| PayoutOutcome::Unknown { reason: format!("{:?}", report.outcome) });
        let withdrawal = repository::get(tx, client, id)?;
        self.0.answered(tx, &Caller::system(Some(client)), withdrawal, outcome)?;
        Ok(())
    }
}

impl Withdrawals {
    /// Leaves a delivery for what was just approved, if the client's settings say so.
    pub(super) fn hand_over(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        withdrawal: &Withdrawal,
    ) -> Result<()> {
        if self.processes_by_itself(tx, client)? {
            let mut delivery = NewDelivery::to(KIND, withdrawal.id.to_string())
                .of_client(Some(client))
                .group(client.to_string());
            if let Some(at) = withdrawal.due_at {
                delivery = delivery.deliver_before(at);
            }
            tx.enqueue(delivery)?;
        }
        Ok(())
    }

    fn processes_by_itself(&self, tx: &WriteTx, client: ClientId) -> Result<bool> {
        Ok(self.clients.get(tx, client)?.settings.withdrawal.auto_process)
    }
}

pub(super) fn named(job: &Sending) -> Result<(ClientId, WithdrawalId)> {
    let id = job.target.parse().ok();
    job.client.zip(id).ok_or_else(|| fault!("delivery {} names no withdrawal of a client", job.id))
}

/// What the gateway said, as the log of attempts keeps it.
pub(super) fn write(outcome: &PayoutOutcome) -> Value {
    match outcome {
        PayoutOutcome::Completed { reference } => json!({ "outcome": "completed", "reference": reference }),
        PayoutOutcome::Sent { reference } => json!({ "outcome": "sent", "reference": reference }),
        PayoutOutcome::Failed { reason } => json!({ "outcome": "failed", "reason": reason }),
        PayoutOutcome::Unknown { reason } => json!({ "outcome": "unknown", "reason": reason }),
    }
}

pub(super) fn read(bytes: &[u8]) -> Option<PayoutOutcome> {
    let said: Value = serde_json::from_slice(bytes).ok()?;
    let text = |name: &str| said[name].as_str().map(str::to_owned);
    Some(match said["outcome"].as_str()? {
        "completed" => PayoutOutcome::Completed { reference: text("reference")? },
        "sent" => PayoutOutcome::Sent { reference: text("reference")? },
        "failed" => PayoutOutcome::Failed { reason: text("reason")? },
        "unknown" => PayoutOutcome::Unknown { reason: text("reason")? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_said_reads_as_it_was_written() {
        let (reference, reason) = ("G-1".to_owned(), "no \"funds\"".to_owned());
        for outcome in [
            PayoutOutcome::Completed { reference: reference.clone() },
            PayoutOutcome::Sent { reference },
            PayoutOutcome::Failed { reason: reason.clone() },
            PayoutOutcome::Unknown { reason },
        ] {
            assert_eq!(read(write(&outcome).to_string().as_bytes()), Some(outcome));
        }
        assert_eq!(read(b"{}"), None);
    }
}
