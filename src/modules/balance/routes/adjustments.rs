//! Corrections by hand.

use std::sync::Arc;

use serde_json::json;

use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, get, post},
        object::{filters, list, object},
        principal::{Actor, UserId},
    },
    machine::ChangeOut,
    money::{Amount, CurrencyCode},
};
use crate::modules::{
    balance::{
        contract::{AdjustmentId, EntryId},
        events::Direction,
        model::adjustment::{Adjustment, AdjustmentStatus},
        repository::ADJUSTMENTS,
        service::{Ledger, kind},
    },
    client::contract::ApprovalOut,
};

object! {
    /// A correction by hand.
    pub struct AdjustmentOut: "adjustment" of (id: AdjustmentId, row: &Adjustment) {
        status: AdjustmentStatus = row.history.status(),
        /// Whose account; absent for the house.
        user_id: Option<UserId> = row.account.user_id(),
        /// `available`, `fee_income`, `clearing:gtw_…`.
        account_kind: String = kind(&row.account),
        direction: Direction = row.direction,
        amount: Amount = row.amount,
        currency: CurrencyCode = row.amount.currency().code,
        reason: String = row.reason.clone(),
        /// Once it is posted.
        entry_id: Option<EntryId> = row.entry,
        created_by: Actor = row.history.creator(),
        /// What others think of it.
        approval: ApprovalOut = ApprovalOut::of(&row.approval),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

filters! {
    pub struct AdjustmentsQuery of Adjustment {
        status: AdjustmentStatus = |it| it.history.status(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        user_id: UserId = |it, wanted| it.account.user_id() == Some(*wanted),
    }
}

pub fn endpoints(ledger: &Arc<Ledger>) -> Vec<Endpoint> {
    let example = json!({
        "user_id": "usr_01jd8x8y3re4vbh0m1k5n7p9qs", "currency": "USD", "amount": "5.00", "direction": "credit",
        "reason": "charged twice on 2026-11-20",
    });
    let listing = ledger.clone();
    vec![
        get("/adjustments").about("List corrections by hand").needs("adjustments.view_any").lists(
            move |tx, call: &Call<(), AdjustmentsQuery>| {
                let client = call.caller.client()?;
                let mut page = list(tx, call, &ADJUSTMENTS, None)?;
                page.data.iter_mut().try_for_each(|(_, row)| listing.seen_adjustment(tx, client, row))?;
                Ok(page.map(|((_, id), row)| AdjustmentOut::of(id, &row)))
            },
        ),
        post("/adjustments")
            .about("Ask for a correction, which somebody else has to approve")
            .needs("adjustments.create_any")
            .money()
            .refuses(&["currency_inactive", "external_id_taken", "currency_mismatch", "account_reserved"])
            .example(example)
            .writes_with(ledger, Ledger::request_adjustment),
        get("/adjustments/{id}")
            .about("Show a correction")
            .needs("adjustments.view_any")
            .reads_with(ledger, Ledger::show_adjustment),
        post("/adjustments/{id}/approve")
            .about("Agree to a correction that somebody else asked for; the last one needed posts it")
            .needs("adjustments.approve")
            .money()
            .example(json!({ "revision": 1 }))
            .refuses(&[
                "self_approval",
                "revision_stale",
                "not_on_committee",
                "already_voted",
                "invalid_state_transition",
                "insufficient_funds",
                "amount_too_large",
            ])
            .writes_with(ledger, Ledger::approve_adjustment),
        post("/adjustments/{id}/reject")
            .about("Turn down a correction that somebody else asked for")
            .needs("adjustments.approve")
            .rehearsed()
            .refuses(&["self_approval", "revision_stale", "not_on_committee", "invalid_state_transition"])
            .example(json!({ "revision": 1, "reason": "the charge was right" }))
            .writes_with(ledger, Ledger::reject_adjustment),
    ]
}
