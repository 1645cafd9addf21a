//! Payments over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, Reach},
            endpoint::{Builder, Claim, Endpoint, get, post},
            input::{Metadata, input},
            object::{ExternalId, Filters as _, filters, list, object},
            page::page,
            principal::{Actor, UserId},
            text::Text,
        },
        clock::Time,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode},
    },
    modules::{
        client::contract::ApprovalOut,
        payment::{
            contract::{AttemptId, GatewayId, PaidState, PaymentId, PaymentStatus, Review},
            model::{Attempt, AttemptStatus, Decision, Payment, Said},
            repository::{ATTEMPTS, BY_USER, PAYMENTS},
            service::{Case, Payments, Told, Word},
        },
    },
};

input! {
    /// A plain charge: what comes becomes the user's available money.
    pub struct PaymentIn {
        amount: AmountText,
        currency: CurrencyCode,
        /// Whose money it becomes. Somebody who is signed in may leave it out and means itself; a key has to name a
        /// user: what comes is credited to somebody, and a key is nobody.
        user_id: Option<UserId>,
        gateway_id: Option<GatewayId>,
        /// From 60 to 7776000; the client's setting when omitted.
        expires_in_s: Option<u64>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    pub struct InitiateIn {
        /// When omitted: the one named before, then the client's others in the order of their `priority`, the first that
        /// takes the amount and answers.
        gateway_id: Option<GatewayId>,
        /// Where the payer goes afterwards, when the gateway sends it somewhere.
        return_url: Option<String>,
    }
}

input! {
    pub struct CaptureIn {
        /// Everything when omitted; of a part, the rest is let go.
        amount: Option<AmountText>,
    }
}

input! {
    pub struct MarkPaidIn {
        /// The bank's, or whoever's it is: the same reference is the same money.
        reference: Text<200>,
        amount: AmountText,
        currency: CurrencyCode,
        reason: Text<500>,
        /// Where the papers are.
        proof: Option<String>,
    }
}

input! {
    pub struct ResolveIn {
        /// The `revision` of the payment that was looked at: refused when it is another one by now.
        revision: u32,
        decision: Decision,
        reason: Text<500>,
    }
}

filters! {
    pub struct PaymentQuery of Payment, owned by user {
        status: PaymentStatus = |it| it.status(),
        review: Review = |it| it.review,
        currency: CurrencyCode = |it| it.amount.currency().code,
        gateway_id: GatewayId = |it, wanted| it.gateway == Some(*wanted),
        payable: String = |it, wanted| it.payable.as_ref() == Some(wanted),
    }
}

filters! {
    pub struct AttemptQuery of Attempt {
        status: AttemptStatus = |it| it.status(),
    }
}

object! {
    /// Money on its way in.
    pub struct PaymentOut: "payment" of (id: PaymentId, row: &Payment, reach: Reach) {
        status: PaymentStatus = row.status(),
        /// Whether a person has to look, and at what.
        review: Review = row.review,
        paid_state: PaidState = row.paid_state,
        user_id: Option<UserId> = row.user,
        /// The id of what is paid for; `null` for a plain charge.
        payable: Option<String> = row.payable.clone(),
        /// What has to come.
        amount: Amount = row.amount,
        /// What came: it is credited, or waits for the rest.
        received: Amount = row.received,
        /// What went back, or is about to.
        refunded: Amount = row.refunded,
        /// What its payer's bank took back, or is about to keep: see `disputes`.
        disputed: Amount = row.disputed,
        currency: CurrencyCode = row.amount.currency().code,
        gateway_id: Option<GatewayId> = row.gateway,
        /// The last attempt.
        attempt_id: Option<AttemptId> = row.attempt,
        attempts: u32 = row.attempts,
        last_error: Option<String> = row.last_error.clone(),
        /// What a decision about it names. Grows with every change while a person has to decide.
        revision: u32 = row.revision(),
        /// What is said to have come and waits for a person. For staff and keys only.
        #[serde(skip_serializing_if = "Option::is_none")]
        said: Option<SaidOut> = row.said.as_ref().filter(|_| reach == Reach::Any).map(SaidOut::of),
        expires_at: Time = row.expires_at,
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

/// Money that somebody says came.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SaidOut {
    reference: String,
    amount: Amount,
    currency: CurrencyCode,
    by: Actor,
    reason: Option<String>,
    proof: Option<String>,
    at: Time,
    /// What others think of it, where they have to agree.
    approval: Option<ApprovalOut>,
}

impl SaidOut {
    fn of(said: &Said) -> SaidOut {
        let Said { reference, amount, by, reason, proof, at, approval } = said.clone();
        let approval = approval.as_ref().map(ApprovalOut::of);
        SaidOut { reference, amount, currency: amount.currency().code, by, reason, proof, at, approval }
    }
}

object! {
    /// One try at a payment, through one gateway.
    pub struct AttemptOut: "attempt" of (id: AttemptId, row: &Attempt, payment: PaymentId) timed {
        status: AttemptStatus = row.status(),
        payment_id: PaymentId = payment,
        /// From 1.
        number: u32 = row.number,
        gateway_id: GatewayId = row.gateway,
        expected_amount: Amount = row.expected,
        expected_currency: CurrencyCode = row.expected.currency().code,
        /// What the payer has to do.
        instructions: Option<String> = row.instructions.clone(),
        /// Where to send the payer.
        url: Option<String> = row.url.clone(),
        /// The address to send to: this attempt's alone.
        address: Option<String> = row.address.clone(),
        /// The gateway's.
        reference: Option<String> = row.reference.clone(),
        error: Option<String> = row.error.clone(),
        expires_at: Time = row.expires_at,
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let listing = service.clone();
    vec![
        get("/payments").about("List payments, newest first").own("payments.view").lists(
            move |tx, call: &Call<(), PaymentQuery>| {
                let (client, reach) = (call.caller.client()?, call.caller.reach);
                let mut page = list(tx, call, &PAYMENTS, Some(BY_USER))?;
                page.data.iter_mut().try_for_each(|(_, row)| listing.seen(tx, client, row))?;
                Ok(page.map(|((_, id), row)| PaymentOut::of(id, &row, reach)))
            },
        ),
        get("/payments/{id}")
            .about("Show a payment")
            .own("payments.view")
            .reads_with(service, Payments::show_payment),
        get("/payments/{id}/attempts").about("List the attempts of a payment").own("payments.view").lists(
            |tx, call: &Call<PaymentId, AttemptQuery>| {
                let case = Case::load(tx, call.caller.client()?, call.path)?;
                call.caller.may_reach(case.payment.user)?;
                let query = &call.input;
                let key = (case.client, case.id);
                let page = page(tx, &ATTEMPTS, &key, &query.paging(None), |it| query.keeps(it))?;
                Ok(page.map(|((_, payment, id), row)| AttemptOut::of(id, &row, payment)))
            },
        ),
        post("/payments")
            .about("Make a plain charge: what comes becomes the user's available money")
            .needs("payments.create_any")
            .money()
            .refuses(&["currency_inactive", "user_not_active", "external_id_taken", "gateway_unavailable"])
            .example(
                json!({ "amount": "25.00", "currency": "USD", "user_id": "usr_01h455vb4pex5vsknk084sn02q" }),
            )
            .writes_with(service, Payments::charge),
        attempt(
            service,
            post("/payments/{id}/initiate")
                .about("Choose a gateway and begin an attempt")
                .own("payments.initiate")
                .example(json!({ "gateway_id": "gtw_01h455vb4pex5vsknk084sn02q" })),
        ),
        attempt(
            service,
            post("/payments/{id}/retry")
                .about("Begin the next attempt after one that failed")
                .own("payments.retry")
                .example(json!({})),
        ),
        capture(service),
        post("/payments/{id}/cancel")
            .about("Withdraw a payment before anything came")
            .own("payments.cancel")
            .rehearsed()
            .refuses(&["payment_expired", "invalid_state_transition"])
            .writes_with(service, Payments::cancel_own),
        post("/payments/{id}/mark-paid")
            .about("Say that money came through a manual gateway")
            .needs("payments.mark_paid")
            .money()
            .refuses(&[
                "currency_inactive",
                "not_manual",
                "self_approval",
                "reference_used",
                "invalid_state_transition",
                "payment_currency_mismatch",
            ])
            .example(json!({
                "reference": "bank-2026-0042", "amount": "25.00", "currency": "USD",
                "reason": "seen on the account statement", "proof": "statement of 22 November, line 7",
            }))
            .writes_with(service, Payments::mark_paid),
        post("/payments/{id}/mark-paid/approve")
            .about("Agree that the money came, as somebody else than who said so; the last one needed makes it count")
            .needs("payments.approve")
            .money()
            .refuses(&[
                "self_approval",
                "revision_stale",
                "not_on_committee",
                "already_voted",
                "reference_used",
                "invalid_state_transition",
            ])
            .example(json!({ "revision": 1 }))
            .writes_with(service, Payments::approve_mark),
        post("/payments/{id}/mark-paid/reject")
            .about("Disagree, as the second person: the payment waits for its payer again")
            .needs("payments.reject")
            .rehearsed()
            .refuses(&["self_approval", "revision_stale", "not_on_committee", "invalid_state_transition"])
            .example(json!({ "revision": 1, "reason": "not on the statement" }))
            .writes_with(service, Payments::reject_mark),
        post("/payments/{id}/mark-failed")
            .about("Say that the attempt through a manual gateway came to nothing")
            .needs("payments.mark_failed")
            .rehearsed()
            .refuses(&["not_manual", "invalid_state_transition"])
            .example(json!({ "reason": "the bank sent it back" }))
            .writes_with(service, Payments::mark_failed),
        post("/payments/{id}/resolve")
            .about("Decide about a payment in conflict, of unknown outcome, or paid in part")
            .needs("payments.resolve")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "self_approval",
                "revision_stale",
                "not_refundable",
                "payment_currency_mismatch",
                "reference_used",
                "not_on_committee",
                "already_voted",
            ])
            .example(json!({ "revision": 3, "decision": "credit", "reason": "the gateway's statement shows it" }))
            .writes_with(service, Payments::resolve),
    ]
}

/// An attempt: claim · call · settle.
fn attempt(service: &Arc<Payments>, builder: Builder) -> Endpoint {
    let [claiming, telling, settling, presenting] = [(); 4].map(|()| service.clone());
    let builder = builder.money().hands_out(&["address"]).refuses(&[
        "payment_expired",
        "attempt_open",
        "invalid_state_transition",
        "gateway_unavailable",
    ]);
    builder.calls_out(
        move |tx, call: &Call<PaymentId, InitiateIn>| {
            Ok(match claiming.claim_attempt(tx, call)? {
                Claim::Done(it) => Claim::Done(it.out(call.path)),
                Claim::Call(told) => Claim::Call(told),
            })
        },
        move |told: Told| telling.tell(told),
        move |tx, call, word: Word| {
            let (case, attempt) = settling.take_word(tx, &call.caller, word)?;
            Ok(attempt.out(case.id))
        },
        move |tx, call| {
            let (case, attempt) = presenting.last_attempt(tx, &call.caller, call.path)?;
            Ok(attempt.out(case.id))
        },
    )
}

fn capture(service: &Arc<Payments>) -> Endpoint {
    let [claiming, telling, settling] = [(); 3].map(|()| service.clone());
    post("/payments/{id}/capture")
        .about("Take what the gateway has set aside, or a part of it")
        .needs("payments.capture")
        .money()
        .refuses(&["payment_expired", "invalid_state_transition"])
        .example(json!({}))
        .calls_out(
            move |tx, call: &Call<PaymentId, CaptureIn>| {
                Ok(match claiming.claim_capture(tx, call)? {
                    Claim::Done(case) => Claim::Done(case.out(&call.caller)),
                    Claim::Call(told) => Claim::Call(told),
                })
            },
            move |told: Told| telling.tell(told),
            move |tx, call, word: Word| {
                let (case, _) = settling.take_word(tx, &call.caller, word)?;
                Ok(case.out(&call.caller))
            },
            |tx, call| {
                let case = Case::load(tx, call.caller.client()?, call.path)?;
                Ok(case.out(&call.caller))
            },
        )
}
