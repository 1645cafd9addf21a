//! Payments over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, Caller, Reach},
            endpoint::{Builder, Claim, Endpoint, get, post},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
            principal::{Actor, UserId},
        },
        clock::Time,
        error::Result,
        machine::ChangeOut,
        money::{Amount, AmountText, CurrencyCode},
        store::ReadTx,
    },
    modules::payment::{
        contract::{AttemptId, GatewayId, PaidState, PaymentId, PaymentStatus, Review},
        model::{Attempt, AttemptStatus, Decision, Payment},
        repository::{ATTEMPTS, PAYMENTS},
        service::{Case, Payments, Told, Try, Word},
    },
};

/// A plain charge: what comes becomes the user's available money.
#[derive(utoipa::ToSchema)]
pub struct PaymentIn {
    pub amount: AmountText,
    pub currency: CurrencyCode,
    pub user_id: Option<UserId>,
    pub gateway_id: Option<GatewayId>,
    /// From 60 to 7776000; the client's setting when omitted.
    pub expires_in_s: Option<u64>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(PaymentIn { amount, currency, user_id, gateway_id, expires_in_s, external_id, metadata });

#[derive(utoipa::ToSchema)]
pub struct InitiateIn {
    /// The one named before when omitted.
    pub gateway_id: Option<GatewayId>,
    /// Where the payer goes afterwards, when the gateway sends it somewhere.
    pub return_url: Option<String>,
}
input!(InitiateIn { gateway_id, return_url });

#[derive(utoipa::ToSchema)]
pub struct CaptureIn {
    /// Everything when omitted; of a part, the rest is let go.
    pub amount: Option<AmountText>,
}
input!(CaptureIn { amount });

#[derive(utoipa::ToSchema)]
pub struct MarkPaidIn {
    /// The bank's, or whoever's it is: the same reference is the same money.
    pub reference: String,
    pub amount: AmountText,
    pub currency: CurrencyCode,
    pub reason: String,
    /// Where the papers are.
    pub proof: Option<String>,
}
input!(MarkPaidIn { reference, amount, currency, reason, proof });

#[derive(utoipa::ToSchema)]
pub struct ReasonIn {
    pub reason: String,
}
input!(ReasonIn { reason });

#[derive(utoipa::ToSchema)]
pub struct ResolveIn {
    pub decision: Decision,
    pub reason: String,
}
input!(ResolveIn { decision, reason });

pub struct PaymentQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<PaymentStatus>,
    review: Option<Review>,
    currency: Option<CurrencyCode>,
    user_id: Option<UserId>,
    gateway_id: Option<GatewayId>,
    payable: Option<String>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(PaymentQuery {
    limit,
    cursor,
    status,
    review,
    currency,
    user_id,
    gateway_id,
    payable,
    created_from,
    created_to
});

pub struct AttemptQuery {
    limit: Limit,
    cursor: Option<Cursor>,
}
input!(AttemptQuery { limit, cursor });

/// Money on its way in.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PaymentOut {
    id: PaymentId,
    #[schema(value_type = String)]
    object: &'static str,
    status: PaymentStatus,
    /// Whether a person has to look, and at what.
    review: Review,
    paid_state: PaidState,
    user_id: Option<UserId>,
    /// The id of what is paid for; `null` for a plain charge.
    payable: Option<String>,
    /// What has to come.
    amount: Amount,
    /// What came: it is credited, or waits for the rest.
    received: Amount,
    currency: CurrencyCode,
    gateway_id: Option<GatewayId>,
    /// The last attempt.
    attempt_id: Option<AttemptId>,
    attempts: u32,
    last_error: Option<String>,
    /// What is said to have come and waits for a person. For staff and keys only.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<SaidOut>,
    expires_at: Time,
    status_history: Vec<ChangeOut>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
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
}

/// One try at a payment, through one gateway.
#[derive(Serialize, utoipa::ToSchema)]
pub struct AttemptOut {
    id: AttemptId,
    #[schema(value_type = String)]
    object: &'static str,
    status: AttemptStatus,
    payment_id: PaymentId,
    /// From 1.
    number: u32,
    gateway_id: GatewayId,
    expected_amount: Amount,
    expected_currency: CurrencyCode,
    /// What the payer has to do.
    instructions: Option<String>,
    /// Where to send the payer.
    url: Option<String>,
    /// The gateway's.
    reference: Option<String>,
    error: Option<String>,
    expires_at: Time,
    status_history: Vec<ChangeOut>,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let [charging, canceling, marking, approving, rejecting, failing, resolving] =
        [(); 7].map(|()| service.clone());
    let [initiating, retrying, capturing] = [(); 3].map(|()| service.clone());
    vec![
        get("/payments").about("List payments, newest first").own("payments.view").lists(list),
        get("/payments/{id}").about("Show a payment").own("payments.view").reads(
            |tx, call: &Call<PaymentId>| {
                let case = Case::load(tx, call.caller.client()?, call.path)?;
                call.caller.may_reach(case.payment.user)?;
                Ok(out(&case, &call.caller))
            },
        ),
        get("/payments/{id}/attempts").about("List the attempts of a payment").own("payments.view").lists(
            |tx, call: &Call<PaymentId, AttemptQuery>| {
                let case = Case::load(tx, call.caller.client()?, call.path)?;
                call.caller.may_reach(case.payment.user)?;
                let paging = Paging::new(call.input.limit, &call.input.cursor, case.id);
                let page = page(tx, &ATTEMPTS, &(case.client, case.id), &paging, |_| true)?;
                Ok(page.map(|((_, payment, id), row)| attempt_out(payment, id, row)))
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
            .writes(move |tx, call: &Call<(), PaymentIn>| {
                charging.charge(tx, call).map(|it| out(&it, &call.caller))
            }),
        attempt(
            initiating,
            post("/payments/{id}/initiate")
                .about("Choose a gateway and begin an attempt")
                .own("payments.initiate")
                .example(json!({ "gateway_id": "gtw_01h455vb4pex5vsknk084sn02q" })),
        ),
        attempt(
            retrying,
            post("/payments/{id}/retry")
                .about("Begin the next attempt after one that failed")
                .own("payments.retry")
                .example(json!({})),
        ),
        capture(capturing),
        post("/payments/{id}/cancel")
            .about("Withdraw a payment before anything came")
            .own("payments.cancel")
            .refuses(&["payment_expired", "invalid_state_transition"])
            .writes(move |tx, call: &Call<PaymentId>| {
                canceling.cancel_own(tx, call).map(|it| out(&it, &call.caller))
            }),
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
            .writes(move |tx, call: &Call<PaymentId, MarkPaidIn>| {
                marking.mark_paid(tx, call).map(|it| out(&it, &call.caller))
            }),
        post("/payments/{id}/mark-paid/approve")
            .about("Agree, as the second person, that the money came")
            .needs("payments.approve")
            .money()
            .refuses(&["self_approval", "reference_used", "invalid_state_transition"])
            .writes(move |tx, call: &Call<PaymentId>| {
                approving.approve_mark(tx, call).map(|it| out(&it, &call.caller))
            }),
        post("/payments/{id}/mark-paid/reject")
            .about("Disagree, as the second person: the payment waits for its payer again")
            .needs("payments.reject")
            .refuses(&["self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "not on the statement" }))
            .writes(move |tx, call: &Call<PaymentId, ReasonIn>| {
                rejecting.reject_mark(tx, call).map(|it| out(&it, &call.caller))
            }),
        post("/payments/{id}/mark-failed")
            .about("Say that the attempt through a manual gateway came to nothing")
            .needs("payments.mark_failed")
            .refuses(&["not_manual", "invalid_state_transition"])
            .example(json!({ "reason": "the bank sent it back" }))
            .writes(move |tx, call: &Call<PaymentId, ReasonIn>| {
                failing.mark_failed(tx, call).map(|it| out(&it, &call.caller))
            }),
        post("/payments/{id}/resolve")
            .about("Decide about a payment in conflict, of unknown outcome, or paid in part")
            .needs("payments.resolve")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "self_approval",
                "payment_currency_mismatch",
                "reference_used",
            ])
            .example(json!({ "decision": "credit", "reason": "the gateway's statement shows it" }))
            .writes(move |tx, call: &Call<PaymentId, ResolveIn>| {
                resolving.resolve(tx, call).map(|it| out(&it, &call.caller))
            }),
    ]
}

/// An attempt: claim · call · settle.
fn attempt(service: Arc<Payments>, builder: Builder) -> Endpoint {
    let [claiming, telling, settling, presenting] = [(); 4].map(|()| service.clone());
    let builder = builder.money().refuses(&[
        "payment_expired",
        "attempt_open",
        "invalid_state_transition",
        "gateway_unavailable",
    ]);
    builder.calls_out(
        move |tx, call: &Call<PaymentId, InitiateIn>| {
            Ok(match claiming.claim_attempt(tx, call)? {
                Claim::Done(it) => Claim::Done(attempt_out(call.path, it.id, it.row)),
                Claim::Call(told) => Claim::Call(told),
            })
        },
        move |told: Told| telling.tell(told),
        move |tx, call, word: Word| {
            let (case, Try { id, row }) = settling.take_word(tx, &call.caller, word)?;
            Ok(attempt_out(case.id, id, row))
        },
        move |tx, call| {
            let (case, Try { id, row }) = presenting.last_attempt(tx, &call.caller, call.path)?;
            Ok(attempt_out(case.id, id, row))
        },
    )
}

fn capture(service: Arc<Payments>) -> Endpoint {
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
                    Claim::Done(case) => Claim::Done(out(&case, &call.caller)),
                    Claim::Call(told) => Claim::Call(told),
                })
            },
            move |told: Told| telling.tell(told),
            move |tx, call, word: Word| {
                let (case, _) = settling.take_word(tx, &call.caller, word)?;
                Ok(out(&case, &call.caller))
            },
            |tx, call| {
                let case = Case::load(tx, call.caller.client()?, call.path)?;
                Ok(out(&case, &call.caller))
            },
        )
}

fn list(tx: &ReadTx, call: &Call<(), PaymentQuery>) -> Result<Page<PaymentOut>> {
    let PaymentQuery { limit, cursor, status, review, currency, gateway_id, payable, .. } = &call.input;
    let (from, to) = (call.input.created_from, call.input.created_to);
    let client = call.caller.client()?;
    let user = call.caller.limited_to(call.input.user_id)?;
    let filters = (status, review, currency, user, gateway_id, payable, from, to);
    let paging = Paging::new(*limit, cursor, filters);
    let keep = |it: &Payment| {
        status.is_none_or(|wanted| it.status() == wanted)
            && review.is_none_or(|wanted| it.review == wanted)
            && currency.is_none_or(|wanted| it.amount.currency().code == wanted)
            && gateway_id.is_none_or(|wanted| it.gateway == Some(wanted))
            && payable.as_ref().is_none_or(|wanted| it.payable.as_ref() == Some(wanted))
            && created_within(it.created_at, from, to)
    };
    let page = match user {
        Some(user) => page_by(tx, &PAYMENTS, "payment.by_user", &(client, user), &paging, keep)?,
        None => page(tx, &PAYMENTS, &client, &paging, keep)?,
    };
    Ok(page.map(|((_, id), payment)| row_out(id, &payment, &call.caller)))
}

fn out(case: &Case, caller: &Caller) -> PaymentOut {
    row_out(case.id, &case.payment, caller)
}

fn row_out(id: PaymentId, row: &Payment, caller: &Caller) -> PaymentOut {
    let said = row.said.as_ref().filter(|_| caller.reach == Reach::Any);
    PaymentOut {
        id,
        object: "payment",
        status: row.status(),
        review: row.review,
        paid_state: row.paid_state,
        user_id: row.user,
        payable: row.payable.clone(),
        amount: row.amount,
        received: row.received,
        currency: row.amount.currency().code,
        gateway_id: row.gateway,
        attempt_id: row.attempt,
        attempts: row.attempts,
        last_error: row.last_error.clone(),
        said: said.map(|it| SaidOut {
            reference: it.reference.clone(),
            amount: it.amount,
            currency: it.amount.currency().code,
            by: it.by,
            reason: it.reason.clone(),
            proof: it.proof.clone(),
            at: it.at,
        }),
        expires_at: row.expires_at,
        status_history: row.history.out(),
        external_id: row.external_id.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        metadata: row.metadata.clone(),
    }
}

fn attempt_out(payment: PaymentId, id: AttemptId, row: Attempt) -> AttemptOut {
    AttemptOut {
        id,
        object: "attempt",
        status: row.status(),
        payment_id: payment,
        number: row.number,
        gateway_id: row.gateway,
        expected_amount: row.expected,
        expected_currency: row.expected.currency().code,
        instructions: row.instructions,
        url: row.url,
        reference: row.reference,
        error: row.error,
        expires_at: row.expires_at,
        status_history: row.history.out(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
    }
}
