//! A gateway that decides by the last two decimals of the amount, so that a test can have every outcome:
//!
//! | decimals | attempt | refund | payout |
//! |---|---|---|---|
//! | `.01` | declined | failed | failed |
//! | `.02` | times out: nobody knows, until it is asked and says it went well | the same | the same |
//! | `.03` | pending, settled when asked after five seconds | pending, went when asked after a minute | sent, arrived when asked after a minute |
//! | `.04` | webhook: settled with one minor unit too much | went | completed |
//! | `.05` | webhook: settled; the same again, and once more under another id | went | completed |
//! | `.06` | webhooks: settled, then "processing": the wrong way round | went | completed |
//! | `.07` | webhooks: settled, then its payer's bank takes it back | went | completed |
//! | else | webhook: settled | went | completed |
//!
//! With `manual_capture` money is set aside first, whatever the amount, and the table holds for the capture.

use std::time::Duration;

use serde_json::json;

use super::{
    Access, Adapter, Answering, AttemptOutcome, AttemptRequest, Notice, RefundOutcome, RefundRequest, at_once,
};
use crate::{
    kernel::money::Amount,
    modules::payment::{
        contract::{PayoutOutcome, PayoutRequest},
        inbound::Signed,
        model::Setup,
    },
};

/// What stands for a dispute among the states of an intent.
const DISPUTED: &str = "disputed";

/// How long a pending attempt takes.
const PENDING: Duration = Duration::from_secs(5);

pub struct Sandbox;

impl Adapter for Sandbox {
    fn create(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        let reference = reference(&request);
        if request.setup.manual_capture && !request.is_capturing {
            return at_once(answer(&request, vec![Notice::Authorized { reference }]));
        }
        let amount = request.amount;
        let succeeded = Event { number: 1, status: "succeeded", received: amount.minor() };
        let events = match magic(amount) {
            Some(1) => {
                let reason = "the sandbox declines .01".to_owned();
                return at_once(answer(&request, vec![Notice::Declined { reason }]));
            }
            Some(2) => {
                let reason = "the sandbox does not answer .02".to_owned();
                return at_once(answer(&request, vec![Notice::Unknown { reason }]));
            }
            Some(3) => {
                return at_once(answer(
                    &request,
                    vec![Notice::Processing { reference, ask_after: Some(PENDING) }],
                ));
            }
            // At the limit of what an amount can be there is no more: then it is told right.
            Some(4) => {
                let more = Amount::new(amount.minor() + 1, amount.currency()).unwrap_or(amount);
                vec![Event { received: more.minor(), ..succeeded }]
            }
            // The same event, and the same money under another event's id.
            Some(5) => vec![succeeded, succeeded, Event { number: 2, ..succeeded }],
            Some(6) => vec![succeeded, Event { number: 2, status: "processing", received: 0 }],
            Some(7) => vec![succeeded, Event { number: 2, status: DISPUTED, received: 0 }],
            _ => vec![succeeded],
        };
        if request.access.webhook_secret.is_none() {
            // Of an earlier release, which signed nothing: it tells all of it in its answer.
            let notices = events.into_iter().filter_map(|it| it.notice(&request)).collect();
            return at_once(answer(&request, notices));
        }
        let mut outcome = answer(&request, vec![]);
        outcome.webhooks = events.into_iter().map(|it| it.signed(&request)).collect();
        at_once(outcome)
    }

    fn retrieve(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        match magic(request.amount) {
            Some(2 | 3) if !request.setup.manual_capture || request.is_capturing => {
                let settled = Notice::Settled { reference: reference(&request), amount: request.amount };
                at_once(answer(&request, vec![settled]))
            }
            _ => self.create(request),
        }
    }

    fn capture(&self, request: AttemptRequest) -> Answering<AttemptOutcome> {
        self.create(request)
    }

    fn refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        let reference = format!("sandbox-{}", request.refund);
        at_once(match magic(request.amount) {
            Some(1) => RefundOutcome::Failed { reason: "the sandbox declines .01".to_owned() },
            Some(2) => RefundOutcome::Unknown { reason: "the sandbox does not answer .02".to_owned() },
            Some(3) => RefundOutcome::Pending { reference },
            _ => RefundOutcome::Succeeded { reference },
        })
    }

    fn retrieve_refund(&self, request: RefundRequest) -> Answering<RefundOutcome> {
        match magic(request.amount) {
            Some(2 | 3) => {
                at_once(RefundOutcome::Succeeded { reference: format!("sandbox-{}", request.refund) })
            }
            _ => self.refund(request),
        }
    }

    fn payout(&self, request: PayoutRequest, _: Setup, _: Access) -> Answering<PayoutOutcome> {
        let reference = format!("sandbox-{}", request.reference);
        at_once(match magic(request.amount) {
            Some(1) => PayoutOutcome::Failed { reason: "the sandbox declines .01".to_owned() },
            Some(2) => PayoutOutcome::Unknown { reason: "the sandbox does not answer .02".to_owned() },
            Some(3) => PayoutOutcome::Sent { reference },
            _ => PayoutOutcome::Completed { reference },
        })
    }

    fn retrieve_payout(
        &self,
        request: PayoutRequest,
        _: Option<String>,
        setup: Setup,
        access: Access,
    ) -> Answering<PayoutOutcome> {
        match magic(request.amount) {
            Some(2 | 3) => {
                let reference = format!("sandbox-{}", request.reference);
                at_once(PayoutOutcome::Completed { reference })
            }
            _ => self.payout(request, setup, access),
        }
    }

    fn check(&self, _: Setup, _: Access) -> Answering<Result<String, String>> {
        at_once(Ok("the sandbox answers".to_owned()))
    }
}

/// What the sandbox tells by webhook, signed as any gateway signs: it is verified, and its repeats are known, as those
/// of any other.
#[derive(Clone, Copy)]
struct Event {
    number: u32,
    status: &'static str,
    received: i128,
}

impl Event {
    fn notice(self, request: &AttemptRequest) -> Option<Notice> {
        let reference = reference(request);
        if self.status == DISPUTED {
            return None;
        }
        if self.status == "processing" {
            return Some(Notice::Processing { reference, ask_after: None });
        }
        let amount = Amount::new(self.received, request.amount.currency()).ok()?;
        Some(Notice::Settled { reference, amount })
    }

    fn signed(self, request: &AttemptRequest) -> Signed {
        let secret = request.access.webhook_secret.as_ref().map_or(&b""[..], |it| it.as_bytes());
        let id = format!("evt_{}_{}", request.attempt, self.number);
        if self.status == DISPUTED {
            let dispute = json!({
                "id": format!("dp_{}", request.attempt),
                "object": "dispute",
                "status": "needs_response",
                "reason": "fraudulent",
                "payment_intent": reference(request),
                "amount": request.amount.minor().to_string(),
                "currency": request.amount.currency().code.to_string().to_ascii_lowercase(),
            });
            return Signed::event(secret, request.at, &id, "charge.dispute.created", dispute);
        }
        let intent = json!({
            "id": reference(request),
            "object": "payment_intent",
            "status": self.status,
            "amount": request.amount.minor().to_string(),
            "amount_received": self.received.to_string(),
            "currency": request.amount.currency().code.to_string().to_ascii_lowercase(),
            "metadata": {
                "payment_id": request.payment.to_string(), "attempt_id": request.attempt.to_string(),
            },
        });
        Signed::event(secret, request.at, &id, &format!("payment_intent.{}", self.status), intent)
    }
}

/// There is no page of the sandbox: the payer goes straight back.
fn answer(request: &AttemptRequest, notices: Vec<Notice>) -> AttemptOutcome {
    AttemptOutcome { url: request.return_url.clone(), ..AttemptOutcome::of(notices) }
}

/// The same for one attempt however often it is told.
fn reference(request: &AttemptRequest) -> String {
    format!("sandbox-{}", request.attempt)
}

/// The last two decimals; `None` for currencies that have fewer.
fn magic(amount: Amount) -> Option<i128> {
    (amount.currency().decimals >= 2).then(|| amount.minor() % 100)
}
