//! What a gateway is to us: one trait, one implementation per kind.
//!
//! An adapter is told something and answers with [`Notice`]s, in the order the gateway sent them. The same notices may
//! come twice, late, or in the wrong order: what each means for a payment in its present state is decided in
//! `service/notice.rs`, once, whichever way it came. No transaction is open while an adapter works.

mod manual;
mod sandbox;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    contract::{AttemptId, GatewayKind, PaymentId, PayoutOutcome, PayoutRequest},
    model::Setup,
};
use crate::kernel::money::Amount;

pub type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub trait Adapter: Send + Sync {
    /// Tells the gateway of an attempt.
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Asks what became of an attempt. A gateway that never heard of it starts it here.
    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Takes `amount` of what the gateway has set aside, and lets go of the rest.
    fn capture(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Sends money out. The same reference is sent once.
    fn payout(&self, request: PayoutRequest) -> Answering<PayoutOutcome>;

    /// Whether the gateway answers, and in what words.
    fn check(&self, setup: Setup) -> Answering<Result<String, String>>;
}

/// An attempt, as a gateway is told.
#[derive(Debug, Clone)]
pub struct AttemptRequest {
    pub payment: PaymentId,
    /// Our reference: the same attempt told twice is one attempt.
    pub attempt: AttemptId,
    pub amount: Amount,
    pub is_capturing: bool,
    pub return_url: Option<String>,
    pub setup: Setup,
}

/// What a gateway answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptOutcome {
    /// What the payer has to do.
    pub instructions: Option<String>,
    /// Where to send the payer.
    pub url: Option<String>,
    pub notices: Vec<Notice>,
}

impl AttemptOutcome {
    pub fn of(notices: Vec<Notice>) -> AttemptOutcome {
        AttemptOutcome { notices, ..AttemptOutcome::default() }
    }
}

/// What a gateway says of an attempt. `reference` is the gateway's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    AwaitsPayer,
    /// It is under way. `ask_after`: when it makes sense to ask again.
    Processing {
        reference: String,
        ask_after: Option<Duration>,
    },
    /// Set aside for us, to be captured.
    Authorized {
        reference: String,
    },
    Settled {
        reference: String,
        amount: Amount,
    },
    Declined {
        reason: String,
    },
    /// Nobody can say: the gateway did not answer, or not in time.
    Unknown {
        reason: String,
    },
}

/// The adapter of each kind.
#[derive(Clone)]
pub struct Adapters {
    pub manual: Arc<dyn Adapter>,
    pub sandbox: Arc<dyn Adapter>,
}

impl Adapters {
    pub fn built_in() -> Adapters {
        Adapters { manual: Arc::new(manual::Manual), sandbox: Arc::new(sandbox::Sandbox) }
    }

    pub fn of(&self, kind: GatewayKind) -> Arc<dyn Adapter> {
        match kind {
            GatewayKind::Manual => self.manual.clone(),
            GatewayKind::Sandbox => self.sandbox.clone(),
        }
    }
}

pub use manual::{DEFAULT_INSTRUCTIONS, check_template};

/// An answer that is known at once.
fn at_once<T: Send + 'static>(answer: T) -> Answering<T> {
    Box::pin(std::future::ready(answer))
}
