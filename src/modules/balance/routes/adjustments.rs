//! Corrections by hand.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, get, post},
        input::{Metadata, input},
        page::{Cursor, Limit, Page, Paging, created_within, page},
        principal::{Actor, UserId},
    },
    clock::Time,
    error::Result,
    machine::ChangeOut,
    money::{Amount, CurrencyCode},
    store::ReadTx,
};
use crate::modules::balance::{
    contract::{AdjustmentId, EntryId},
    events::Direction,
    model::adjustment::{Adjustment, AdjustmentStatus},
    repository::ADJUSTMENTS,
    service::{AdjustIn, Ledger, kind},
};

/// A correction by hand.
#[derive(Serialize, utoipa::ToSchema)]
struct AdjustmentOut {
    id: AdjustmentId,
    #[schema(value_type = String)]
    object: &'static str,
    status: AdjustmentStatus,
    /// Whose account; absent for the house.
    user_id: Option<UserId>,
    /// `available`, `fee_income`, `clearing:gtw_…`.
    account_kind: String,
    direction: Direction,
    amount: Amount,
    currency: CurrencyCode,
    reason: String,
    /// Once it is posted.
    entry_id: Option<EntryId>,
    created_by: Actor,
    external_id: Option<String>,
    metadata: Metadata,
    status_history: Vec<ChangeOut>,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

struct AdjustmentsQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    status: Option<AdjustmentStatus>,
    currency: Option<CurrencyCode>,
    user_id: Option<UserId>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(AdjustmentsQuery { limit, cursor, status, currency, user_id, created_from, created_to });

#[derive(utoipa::ToSchema)]
struct RejectIn {
    /// 1 to 500 characters.
    reason: String,
}
input!(RejectIn { reason });

pub fn endpoints(ledger: &Arc<Ledger>) -> Vec<Endpoint> {
    let (request, approve, reject) = (ledger.clone(), ledger.clone(), ledger.clone());
    let example = json!({
        "user_id": "usr_01jd8x8y3re4vbh0m1k5n7p9qs", "currency": "USD", "amount": "5.00", "direction": "credit",
        "reason": "charged twice on 2026-11-20",
    });
    vec![
        get("/adjustments").about("List corrections by hand").needs("adjustments.view_any").lists(list),
        post("/adjustments")
            .about("Ask for a correction, which somebody else has to approve")
            .needs("adjustments.create_any")
            .money()
            .refuses(&["currency_inactive", "external_id_taken", "currency_mismatch", "account_reserved"])
            .example(example)
            .writes(move |tx, call: &Call<(), AdjustIn>| request.request_adjustment(tx, call).map(out)),
        get("/adjustments/{id}").about("Show a correction").needs("adjustments.view_any").reads(
            |tx, call: &Call<AdjustmentId, ()>| {
                let row = found(tx.get(&ADJUSTMENTS, &(call.caller.client()?, call.path))?)?;
                Ok(out((call.path, row)))
            },
        ),
        post("/adjustments/{id}/approve")
            .about("Post a correction that somebody else asked for")
            .needs("adjustments.approve")
            .money()
            .refuses(&["self_approval", "invalid_state_transition", "insufficient_funds", "amount_too_large"])
            .writes(move |tx, call: &Call<AdjustmentId, ()>| {
                approve.approve_adjustment(tx, &call.caller, call.path).map(out)
            }),
        post("/adjustments/{id}/reject")
            .about("Turn down a correction that somebody else asked for")
            .needs("adjustments.approve")
            .refuses(&["self_approval", "invalid_state_transition"])
            .example(json!({ "reason": "the charge was right" }))
            .writes(move |tx, call: &Call<AdjustmentId, RejectIn>| {
                reject.reject_adjustment(tx, &call.caller, call.path, &call.input.reason).map(out)
            }),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), AdjustmentsQuery>) -> Result<Page<AdjustmentOut>> {
    let AdjustmentsQuery { limit, cursor, status, currency, user_id, created_from, created_to } = &call.input;
    let paging = Paging::new(*limit, cursor, (status, currency, user_id, created_from, created_to));
    let keep = |it: &Adjustment| {
        status.is_none_or(|status| it.history.status() == status)
            && currency.is_none_or(|currency| it.amount.currency().code == currency)
            && user_id.is_none_or(|user| it.account.user_id() == Some(user))
            && created_within(it.created_at, *created_from, *created_to)
    };
    let rows = page(tx, &ADJUSTMENTS, &call.caller.client()?, &paging, keep)?;
    Ok(rows.map(|((_, id), row)| out((id, row))))
}

fn out((id, it): (AdjustmentId, Adjustment)) -> AdjustmentOut {
    AdjustmentOut {
        id,
        object: "adjustment",
        status: it.history.status(),
        user_id: it.account.user_id(),
        account_kind: kind(&it.account),
        direction: it.direction,
        amount: it.amount,
        currency: it.amount.currency().code,
        reason: it.reason,
        entry_id: it.entry,
        created_by: it.history.creator(),
        external_id: it.external_id,
        metadata: it.metadata,
        status_history: it.history.out(),
        created_at: it.created_at,
        updated_at: it.updated_at,
        version: it.version,
    }
}
