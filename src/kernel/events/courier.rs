//! What is delivered to the outside: how a module says whereto and how.
//!
//! ```text
//! claim transaction   prepare(tx, job)   reads what sending needs (URL, secrets): only then, so it is current
//! no transaction      send(job, material)   the I/O
//! ack transaction     settled(tx, job, report)   counts on rows of its own (health of an endpoint)
//! ```
//!
//! [`Courier::send`] never sees the store, and no transaction is open while it runs.

use std::{any::Any, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    delivery::{Delivery, DeliveryId, Lane},
    event::Envelope,
    retry::RetryPolicy,
};
use crate::kernel::{
    api::principal::ClientId,
    clock::Time,
    error::{Result, fault},
    store::WriteTx,
};

/// One attempt to send one delivery: everything the sender needs, owned.
#[derive(Debug, Clone, PartialEq)]
pub struct Sending {
    /// The same in every attempt and for ever: what a receiver tells repeats by.
    pub id: DeliveryId,
    pub client: Option<ClientId>,
    /// The event; `None` for what no event caused.
    pub envelope: Option<Envelope>,
    /// Which endpoint or channel, as it was enqueued; empty for a listener.
    pub target: String,
    /// What was enqueued with it.
    pub extra: Vec<u8>,
    /// From 1, interrupted attempts included.
    pub attempt: u32,
    /// The attempt before did not come to an end, so it may have happened: a courier that was registered with
    /// [`OnInterrupted::Verify`] finds that out before it sends anything.
    pub interrupted: bool,
    pub created_at: Time,
    pub started_at: Time,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// Failed; tried again as the policy says.
    Retry(String),
    /// Failed; tried again not before this long, if the policy has a try left.
    RetryAfter(String, Duration),
    /// Nothing was tried: again after this long. Uses no try.
    Snooze(Duration),
    /// No longer wanted.
    Cancel(String),
    /// Will never succeed: dead at once.
    Reject(String),
}

/// An [`Outcome`] and what the attempt log keeps beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub outcome: Outcome,
    pub http_status: Option<u16>,
    /// What came back; the first 2 KiB are kept.
    pub response: Option<Vec<u8>>,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Report {
        Report { outcome, http_status: None, response: None }
    }
}

impl Report {
    pub fn status(mut self, http_status: u16) -> Report {
        self.http_status = Some(http_status);
        self
    }

    pub fn response(mut self, bytes: impl Into<Vec<u8>>) -> Report {
        self.response = Some(bytes.into());
        self
    }
}

/// What the claim transaction decides about a delivery.
pub enum Ready<M> {
    /// Send it, with this.
    Go(M),
    /// Its target takes nothing for now: waits until [`WriteTx::unblock`].
    Block(String),
    /// Not yet, say because of a rate. Uses no try.
    Later(Duration),
    Cancel(String),
    /// The endpoint no longer exists.
    Gone,
}

/// Sends deliveries of one kind of target.
pub trait Courier: Send + Sync + 'static {
    /// What sending needs and only a transaction knows: address, secrets. `()` when nothing.
    type Material: Send + 'static;

    /// In the claim transaction.
    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Self::Material>>;

    /// With no transaction open. A panic, or more time than allowed, counts as `Retry`.
    fn send(&self, job: Sending, material: Self::Material) -> impl Future<Output = Report> + Send + 'static;

    /// In the transaction that acknowledges: the outcome is stored with what this writes. Not called for an attempt
    /// that was interrupted. An error here drops what it wrote and is logged; the outcome is stored all the same.
    fn settled(&self, _tx: &mut WriteTx, _job: &Sending, _report: &Report) -> Result<()> {
        Ok(())
    }

    /// In the transaction in which a delivery came to its end, whichever that is: sent, failed, canceled, expired. An
    /// error here drops what it wrote and is logged.
    fn ended(&self, _tx: &mut WriteTx, _key: &(ClientId, DeliveryId), _row: &Delivery) -> Result<()> {
        Ok(())
    }
}

/// What happens to a delivery whose attempt did not come to an end: the process ended, the attempt panicked or ran
/// out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnInterrupted {
    /// Sent again, under the same id: the receiver tells repeats apart.
    Retry,
    /// `send` is called with `interrupted` set, and looks what became of the first attempt before it repeats it.
    Verify,
    /// Never repeated: `needs_review` until somebody has found out. For money without a way to look.
    Park,
}

/// How deliveries of a kind run, unless configured or enqueued otherwise.
#[derive(Debug, Clone)]
pub struct TargetPlan {
    pub queue: &'static str,
    pub lane: Lane,
    /// `None`: as configured for `[events]`.
    pub retry: Option<RetryPolicy>,
    /// `None`: as configured for `[events]`.
    pub timeout: Option<Duration>,
    /// Attempts of one group (one endpoint) at the same time.
    pub at_once: usize,
    pub on_interrupted: OnInterrupted,
}

impl Default for TargetPlan {
    fn default() -> TargetPlan {
        TargetPlan {
            queue: "default",
            lane: Lane::Medium,
            retry: None,
            timeout: None,
            at_once: 2,
            on_interrupted: OnInterrupted::Retry,
        }
    }
}

/// A courier of any material.
pub trait AnyCourier: Send + Sync {
    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Material>>;
    fn send(&self, job: Sending, material: Material) -> Sent;
    fn settled(&self, tx: &mut WriteTx, job: &Sending, report: &Report) -> Result<()>;
    fn ended(&self, tx: &mut WriteTx, key: &(ClientId, DeliveryId), row: &Delivery) -> Result<()>;
}

pub type Material = Box<dyn Any + Send>;
pub type Sent = Pin<Box<dyn Future<Output = Report> + Send>>;

impl<C: Courier> AnyCourier for C {
    fn prepare(&self, tx: &mut WriteTx, job: &Sending) -> Result<Ready<Material>> {
        Ok(match Courier::prepare(self, tx, job)? {
            Ready::Go(material) => Ready::Go(Box::new(material)),
            Ready::Block(why) => Ready::Block(why),
            Ready::Later(delay) => Ready::Later(delay),
            Ready::Cancel(why) => Ready::Cancel(why),
            Ready::Gone => Ready::Gone,
        })
    }

    fn send(&self, job: Sending, material: Material) -> Sent {
        match material.downcast::<C::Material>() {
            Ok(material) => Box::pin(Courier::send(self, job, *material)),
            Err(_) => Box::pin(async {
                Outcome::Reject(fault!("a courier lost the type of its material").to_string()).into()
            }),
        }
    }

    fn settled(&self, tx: &mut WriteTx, job: &Sending, report: &Report) -> Result<()> {
        Courier::settled(self, tx, job, report)
    }

    fn ended(&self, tx: &mut WriteTx, key: &(ClientId, DeliveryId), row: &Delivery) -> Result<()> {
        Courier::ended(self, tx, key, row)
    }
}

/// A plain async function as a courier: an external listener.
#[allow(dead_code, reason = "made by Boot::listen_outside")]
pub struct Plainly<F>(pub F);

impl<F, R, O> Courier for Plainly<F>
where
    F: Fn(Sending) -> R + Send + Sync + 'static,
    R: Future<Output = O> + Send + 'static,
    O: Into<Report> + 'static,
{
    type Material = ();

    fn prepare(&self, _: &mut WriteTx, _: &Sending) -> Result<Ready<()>> {
        Ok(Ready::Go(()))
    }

    fn send(&self, job: Sending, (): ()) -> impl Future<Output = Report> + Send + 'static {
        let sending = (self.0)(job);
        async move { sending.await.into() }
    }
}

/// A registered kind of target: `webhook`, `mail`, or the name of an external listener.
#[derive(Clone)]
pub struct Target {
    /// Stored with deliveries: never renamed.
    pub kind: &'static str,
    pub module: &'static str,
    pub plan: TargetPlan,
    pub courier: Arc<dyn AnyCourier>,
}
