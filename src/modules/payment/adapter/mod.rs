//! What a gateway is to us: one trait, one implementation per kind.
//!
//! An adapter is told something and answers with [`Notice`]s, in the order the gateway sent them. The same notices may
//! come twice, late, or in the wrong order: what each means for a payment in its present state is decided in
//! `service/notice.rs`, once, whichever way it came. No transaction is open while an adapter works.

pub mod crypto;
mod http;
mod manual;
mod sandbox;
pub mod stripe;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use zeroize::Zeroizing;

use super::{
    contract::{AttemptId, GatewayKind, PaymentId, PayoutOutcome, PayoutRequest, RefundId},
    inbound::Signed,
    model::Setup,
};
use crate::kernel::{clock::Time, money::Amount, net::Net};

pub type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub trait Adapter: Send + Sync {
    /// Tells the gateway of an attempt.
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Asks what became of an attempt. A gateway that never heard of it starts it here.
    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Takes `amount` of what the gateway has set aside, and lets go of the rest.
    fn capture(&self, request: AttemptRequest) -> Answering<AttemptOutcome>;

    /// Ends an attempt that nobody waits for any more, so that its payer cannot pay it: the gateway's last word of it,
    /// or why it is to be tried again. Where nothing is open at a gateway there is nothing to end.
    fn cancel(&self, _: AttemptRequest) -> Answering<Result<Vec<Notice>, String>> {
        at_once(Ok(vec![]))
    }

    /// Sends money out. The same reference is sent once.
    fn payout(&self, request: PayoutRequest, setup: Setup, access: Access) -> Answering<PayoutOutcome>;

    /// Asks what became of a payout, and sends nothing. Where a person sends it nobody else knows.
    fn retrieve_payout(
        &self,
        _: PayoutRequest,
        _reference: Option<String>,
        _: Setup,
        _: Access,
    ) -> Answering<PayoutOutcome> {
        at_once(PayoutOutcome::Unknown { reason: "a person knows".to_owned() })
    }

    /// Pays back what came. The same refund is paid back once. Where a person does it, nobody is told.
    fn refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        at_once(RefundOutcome::Pending { reference: request.refund.to_string() })
    }

    /// Asks what became of a refund. A gateway that never heard of it pays it back now.
    fn retrieve_refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        self.refund(request)
    }

    /// Whether the gateway answers, and in what words.
    fn check(&self, setup: Setup, access: Access) -> Answering<Result<String, String>>;
}

/// A gateway's credentials in the clear, for one call. Shown to nobody, in logs neither, and wiped when they go.
#[derive(Clone, Default)]
pub struct Access {
    pub secret_key: Option<Arc<Zeroizing<String>>>,
    pub webhook_secret: Option<Arc<Zeroizing<String>>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(…)")
    }
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
    /// The gateway's own, once it said it.
    pub reference: Option<String>,
    /// The attempt's own address, and the transfers to it that are not confirmed.
    pub address: Option<String>,
    pub seen: Vec<String>,
    pub setup: Setup,
    pub access: Access,
    /// When it is asked.
    pub at: Time,
}

/// A refund, as a gateway is told.
#[derive(Debug, Clone)]
pub struct RefundRequest {
    /// Our reference.
    pub refund: RefundId,
    /// The gateway's reference of what came.
    pub charge: String,
    /// The gateway's own of the refund, once it said it.
    pub reference: Option<String>,
    pub amount: Amount,
    pub setup: Setup,
    pub access: Access,
}

/// What a gateway said to a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    Succeeded {
        reference: String,
    },
    /// It is under way.
    Pending {
        reference: String,
    },
    /// Provably not paid back.
    Failed {
        reason: String,
    },
    /// Nobody can say.
    Unknown {
        reason: String,
    },
}

/// What a gateway answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptOutcome {
    /// What the payer has to do.
    pub instructions: Option<String>,
    /// Where to send the payer.
    pub url: Option<String>,
    pub notices: Vec<Notice>,
    /// What a gateway inside of this process tells by webhook: heard after the notices, in this order.
    pub webhooks: Vec<Signed>,
    /// While the payer is awaited: when to ask whether it paid.
    pub ask_after: Option<Duration>,
    /// The gateway was at fault, whatever the notices say: it did not answer a question that can wait, or takes nothing
    /// from us.
    pub is_failure: bool,
}

impl AttemptOutcome {
    pub fn of(notices: Vec<Notice>) -> AttemptOutcome {
        AttemptOutcome { notices, ..AttemptOutcome::default() }
    }
}

/// What a gateway says of an attempt. `reference` is the gateway's own.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    AwaitsPayer {
        reference: Option<String>,
    },
    /// Money is on its way to an address, and not confirmed yet.
    Seen {
        reference: String,
        ask_after: Option<Duration>,
    },
    /// What was seen is gone, and was never counted.
    Dropped {
        reference: String,
    },
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
    pub http: Arc<dyn Adapter>,
    pub crypto: Arc<dyn Adapter>,
}

impl Adapters {
    pub fn built_in(net: &Arc<Net>) -> Adapters {
        Adapters {
            manual: Arc::new(manual::Manual),
            sandbox: Arc::new(sandbox::Sandbox),
            http: Arc::new(http::Http { net: net.clone() }),
            crypto: Arc::new(crypto::Crypto { net: net.clone() }),
        }
    }

    pub fn of(&self, kind: GatewayKind) -> Arc<dyn Adapter> {
        match kind {
            GatewayKind::Manual => self.manual.clone(),
            GatewayKind::Sandbox => self.sandbox.clone(),
            GatewayKind::Http => self.http.clone(),
            GatewayKind::Crypto => self.crypto.clone(),
        }
    }
}

pub use manual::{DEFAULT_INSTRUCTIONS, check_template};

/// An answer that is known at once.
fn at_once<T: Send + 'static>(answer: T) -> Answering<T> {
    Box::pin(std::future::ready(answer))
}
