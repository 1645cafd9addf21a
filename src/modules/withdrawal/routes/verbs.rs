//! What is done to a withdrawal.

use std::sync::Arc;

use serde_json::json;

use crate::kernel::api::{
    endpoint::{Endpoint, post},
    input::{input, text_enum},
};
use crate::modules::{
    payment::contract::GatewayId,
    withdrawal::{method::Line, service::Withdrawals},
};

/// A vote.
#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalApproveIn {
    /// The `revision` of the withdrawal that was looked at.
    pub revision: u32,
    #[schema(value_type = Option<String>, max_length = 500)]
    pub note: Option<Line<500>>,
}
input!(WithdrawalApproveIn { revision, note });

#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalReasonIn {
    #[schema(value_type = String, max_length = 500)]
    pub reason: Line<500>,
}
input!(WithdrawalReasonIn { reason });

#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalCancelIn {
    #[schema(value_type = Option<String>, max_length = 500)]
    pub reason: Option<Line<500>>,
}
input!(WithdrawalCancelIn { reason });

#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalProcessIn {
    /// The first active one that takes the amount, unless said.
    pub gateway_id: Option<GatewayId>,
}
input!(WithdrawalProcessIn { gateway_id });

#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalCompleteIn {
    /// Of the gateway or the bank.
    #[schema(value_type = String, max_length = 255)]
    pub reference: Line<255>,
}
input!(WithdrawalCompleteIn { reference });

text_enum! {
    /// What became of a payout.
    pub enum ReconcileOutcome { Sent = "sent", Completed = "completed", Failed = "failed" }
}

#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalReconcileIn {
    pub outcome: ReconcileOutcome,
    #[schema(value_type = Option<String>, max_length = 255)]
    pub reference: Option<Line<255>>,
    /// How it was found out.
    #[schema(value_type = String, max_length = 500)]
    pub reason: Line<500>,
}
input!(WithdrawalReconcileIn { outcome, reference, reason });

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    const MOVES: &[&str] = &["invalid_state_transition"];
    const BY_OTHERS: &[&str] = &["self_approval", "invalid_state_transition"];
    let [approving, rejecting, canceling, completing, failing, reconciling, returning] =
        std::array::from_fn(|_| service.clone());
    let [claiming, asking, settling, showing] = std::array::from_fn(|_| service.clone());
    let reason = || json!({ "reason": "as agreed by telephone" });
    vec![
        post("/withdrawals/{id}/approve")
            .about("Vote for a withdrawal; the last vote needed approves it")
            .needs("withdrawals.approve")
            .refuses(&["self_approval", "invalid_state_transition", "revision_stale", "already_voted"])
            .example(json!({ "revision": 1 }))
            .writes(move |tx, call| approving.approve(tx, call)),
        post("/withdrawals/{id}/reject")
            .about("Refuse a withdrawal that was not processed yet; its money is released")
            .needs("withdrawals.reject")
            .money()
            .refuses(MOVES)
            .example(reason())
            .writes(move |tx, call| rejecting.reject(tx, call)),
        post("/withdrawals/{id}/cancel")
            .about("Take back a withdrawal that was not processed yet; its money is released")
            .own("withdrawals.cancel")
            .money()
            .refuses(MOVES)
            .example(json!({}))
            .writes(move |tx, call| canceling.cancel(tx, call)),
        post("/withdrawals/{id}/process")
            .about("Ask a gateway to pay out an approved withdrawal: once")
            .needs("withdrawals.process")
            .money()
            .refuses(&["self_approval", "invalid_state_transition", "user_not_active", "gateway_unavailable"])
            .example(json!({}))
            .calls_out(
                move |tx, call| claiming.claim(tx, call),
                move |payout| asking.call(payout),
                move |tx, call, outcome| settling.settle(tx, call, outcome),
                move |tx, call| showing.show(tx, &call.caller, call.path),
            ),
        post("/withdrawals/{id}/complete")
            .about("Say that a withdrawal has arrived")
            .needs("withdrawals.complete")
            .money()
            .refuses(BY_OTHERS)
            .example(json!({ "reference": "E2E-4711" }))
            .writes(move |tx, call| completing.complete(tx, call)),
        post("/withdrawals/{id}/fail")
            .about("Say that a withdrawal was not paid out; its money is released")
            .needs("withdrawals.fail")
            .money()
            .refuses(BY_OTHERS)
            .example(reason())
            .writes(move |tx, call| failing.fail(tx, call)),
        post("/withdrawals/{id}/reconcile")
            .about("Say what became of a withdrawal that was lost track of")
            .needs("withdrawals.reconcile")
            .money()
            .refuses(BY_OTHERS)
            .example(
                json!({ "outcome": "completed", "reference": "E2E-4711", "reason": "on the bank statement" }),
            )
            .writes(move |tx, call| reconciling.reconcile(tx, call)),
        post("/withdrawals/{id}/return")
            .about(
                "Say that a completed withdrawal came back; the payout is the user's again, the fee is kept",
            )
            .needs("withdrawals.return")
            .money()
            .refuses(BY_OTHERS)
            .example(reason())
            .writes(move |tx, call| returning.take_in(tx, call)),
    ]
}
