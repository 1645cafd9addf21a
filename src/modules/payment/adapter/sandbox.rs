//! A gateway that decides by the last two decimals of the amount, so that a test can have every outcome:
//!
//! | decimals | attempt | payout |
//! |---|---|---|
//! | `.01` | declined | failed |
//! | `.02` | times out: nobody knows, until it is asked and says it settled | unknown |
//! | `.03` | pending, settled when asked after five seconds | sent |
//! | `.04` | settled with one minor unit too much | completed |
//! | `.05` | settled, and told twice | completed |
//! | `.06` | settled, then "processing": the wrong way round | completed |
//! | else | settled | completed |
//!
//! With `manual_capture` money is set aside first, whatever the amount, and the table holds for the capture.

use std::time::Duration;

use super::{Adapter, Answering, AttemptOutcome, AttemptRequest, Notice, at_once};
use crate::{
    kernel::money::Amount,
    modules::payment::{
        contract::{PayoutOutcome, PayoutRequest},
        model::Setup,
    },
};

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
        let settled = Notice::Settled { reference: reference.clone(), amount };
        let notices = match magic(amount) {
            Some(1) => vec![Notice::Declined { reason: "the sandbox declines .01".to_owned() }],
            Some(2) => vec![Notice::Unknown { reason: "the sandbox does not answer .02".to_owned() }],
            Some(3) => vec![Notice::Processing { reference, ask_after: Some(PENDING) }],
            // At the limit of what an amount can be there is no more: then it is told right.
            Some(4) => {
                let more = Amount::new(amount.minor() + 1, amount.currency()).unwrap_or(amount);
                vec![Notice::Settled { reference, amount: more }]
            }
            Some(5) => vec![settled.clone(), settled],
            Some(6) => vec![settled, Notice::Processing { reference, ask_after: None }],
            _ => vec![settled],
        };
        at_once(answer(&request, notices))
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

    fn payout(&self, request: PayoutRequest) -> Answering<PayoutOutcome> {
        let reference = format!("sandbox-{}", request.reference);
        at_once(match magic(request.amount) {
            Some(1) => PayoutOutcome::Failed { reason: "the sandbox declines .01".to_owned() },
            Some(2) => PayoutOutcome::Unknown { reason: "the sandbox does not answer .02".to_owned() },
            Some(3) => PayoutOutcome::Sent { reference },
            _ => PayoutOutcome::Completed { reference },
        })
    }

    fn check(&self, _: Setup) -> Answering<Result<String, String>> {
        at_once(Ok("the sandbox answers".to_owned()))
    }
}

/// There is no page of the sandbox: the payer goes straight back.
fn answer(request: &AttemptRequest, notices: Vec<Notice>) -> AttemptOutcome {
    AttemptOutcome { instructions: None, url: request.return_url.clone(), notices }
}

/// The same for one attempt however often it is told.
fn reference(request: &AttemptRequest) -> String {
    format!("sandbox-{}", request.attempt)
}

/// The last two decimals; `None` for currencies that have fewer.
fn magic(amount: Amount) -> Option<i128> {
    (amount.currency().decimals >= 2).then(|| amount.minor() % 100)
}
