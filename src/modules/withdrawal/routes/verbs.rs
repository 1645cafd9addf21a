//! What is done to a withdrawal.

use std::sync::Arc;

use serde_json::json;

use crate::kernel::api::{
    endpoint::{Endpoint, post},
    input::{input, text_enum},
    text::Line,
};
use crate::modules::{
    payment::contract::GatewayId,
    withdrawal::{
        model::PayoutTruth,
        service::{Withdrawals, confirm::Guess},
    },
};

input! {
    #[derive(Debug)]
    pub struct ConfirmIn {
        /// From the link in the mail.
        token: Line<255>,
    }
}

input! {
    #[derive(Debug)]
    pub struct WithdrawalCancelIn {
        reason: Option<Line<500>>,
    }
}

input! {
    #[derive(Debug)]
    pub struct WithdrawalProcessIn {
        /// The first active one that takes the amount, unless said.
        gateway_id: Option<GatewayId>,
    }
}

input! {
    #[derive(Debug)]
    pub struct WithdrawalCompleteIn {
        /// Of the gateway or the bank.
        reference: Line<255>,
    }
}

text_enum! {
    /// What became of a payout.
    pub enum ReconcileOutcome { Sent = "sent", Completed = "completed", Failed = "failed" }
}

input! {
    #[derive(Debug)]
    pub struct WithdrawalReconcileIn {
        outcome: ReconcileOutcome,
        reference: Option<Line<255>>,
        /// How it was found out.
        reason: Line<500>,
    }
}

input! {
    #[derive(Debug)]
    pub struct WithdrawalResolveIn {
        /// The `revision` of the conflict that was looked at: refused when it is another one by now.
        revision: u32,
        truth: PayoutTruth,
        /// How it was found out.
        reason: Line<500>,
    }
}

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    const MOVES: &[&str] = &["invalid_state_transition"];
    const BY_OTHERS: &[&str] = &["self_approval", "invalid_state_transition"];
    let [claiming, asking, settling, showing, guessing, confirming] =
        std::array::from_fn(|_| service.clone());
    let reason = || json!({ "reason": "as agreed by telephone" });
    vec![
        post("/withdrawals/{id}/confirm")
            .about(
                "Confirm a withdrawal with the token from the mail; then it is approved, or waits for people",
            )
            .signed_in()
            .refuses(&[
                "owner_confirms",
                "invalid_state_transition",
                "email_changed_lately",
                "mail_token_gone",
            ])
            .example(json!({ "token": "cfm_…" }))
            .prepares(
                move |kernel, call| {
                    let guessing = guessing.clone();
                    async move { kernel.store.write(move |tx| guessing.guess(tx, &call)).await }
                },
                move |tx, call, guess: Guess| confirming.confirm(tx, call, guess),
            ),
        post("/withdrawals/{id}/approve")
            .about("Vote for a withdrawal; the last vote needed approves it")
            .needs("withdrawals.approve")
            .refuses(&[
                "self_approval",
                "invalid_state_transition",
                "revision_stale",
                "not_on_committee",
                "already_voted",
            ])
            .example(json!({ "revision": 1 }))
            .writes_with(service, Withdrawals::approve),
        post("/withdrawals/{id}/reject")
            .about("Refuse a withdrawal that was not processed yet; its money is released")
            .needs("withdrawals.reject")
            .money()
            .refuses(&["revision_stale", "invalid_state_transition"])
            .example(json!({ "revision": 1, "reason": "as agreed by telephone" }))
            .writes_with(service, Withdrawals::reject),
        post("/withdrawals/{id}/cancel")
            .about("Take back a withdrawal that was not processed yet; its money is released")
            .own("withdrawals.cancel")
            .money()
            .refuses(MOVES)
            .example(json!({}))
            .writes_with(service, Withdrawals::cancel),
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
                move |tx, call| showing.show(tx, call),
            ),
        post("/withdrawals/{id}/complete")
            .about("Say that a withdrawal has arrived")
            .needs("withdrawals.complete")
            .money()
            .refuses(BY_OTHERS)
            .example(json!({ "reference": "E2E-4711" }))
            .writes_with(service, Withdrawals::complete),
        post("/withdrawals/{id}/fail")
            .about("Say that a withdrawal was not paid out; its money is released")
            .needs("withdrawals.fail")
            .money()
            .refuses(BY_OTHERS)
            .example(reason())
            .writes_with(service, Withdrawals::fail),
        post("/withdrawals/{id}/reconcile")
            .about("Say what became of a withdrawal that was lost track of")
            .needs("withdrawals.reconcile")
            .money()
            .refuses(BY_OTHERS)
            .example(
                json!({ "outcome": "completed", "reference": "E2E-4711", "reason": "on the bank statement" }),
            )
            .writes_with(service, Withdrawals::reconcile),
        post("/withdrawals/{id}/resolve")
            .about("Say what is true of a withdrawal whose gateway contradicts the books; somebody else has to say the same, then it is booked")
            .needs("withdrawals.resolve")
            .money()
            .refuses(&["self_approval", "invalid_state_transition", "revision_stale"])
            .example(json!({ "revision": 1, "truth": "paid", "reason": "on the statement of the provider" }))
            .writes_with(service, Withdrawals::resolve),
        post("/withdrawals/{id}/return")
            .about(
                "Say that a completed withdrawal came back; the payout is the user's again, the fee is kept",
            )
            .needs("withdrawals.return")
            .money()
            .refuses(BY_OTHERS)
            .example(reason())
            .writes_with(service, Withdrawals::take_in),
    ]
}
