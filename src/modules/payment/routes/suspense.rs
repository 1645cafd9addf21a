//! Money that came and belongs to no open payment.

use std::sync::Arc;

use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::input,
            object::{Filters as _, filters, object},
            page::page_by,
            principal::{Actor, UserId},
            text::{ReasonIn, Text},
        },
        money::{Amount, CurrencyCode},
    },
    modules::{
        balance::contract::EntryId,
        client::contract::ApprovalOut,
        payment::{
            contract::{AttemptId, GatewayId, PaymentId, SettlementId},
            model::{Settlement, Whose},
            refund::routes::{calls, of_suspense},
            repository::{SETTLEMENTS, SUSPENSE},
            service::Payments,
        },
    },
};

filters! {
    pub struct SuspenseQuery of Settlement {
        currency: CurrencyCode = |it| it.amount.currency().code,
        gateway_id: GatewayId = |it| it.gateway,
        payment_id: PaymentId = |it| it.payment,
    }
}

input! {
    /// Whose money it is: one of the two.
    pub struct AssignIn {
        /// An open payment in this currency through this gateway.
        payment_id: Option<PaymentId>,
        user_id: Option<UserId>,
        reason: Text<500>,
    }
}

object! {
    /// Money in suspense: it came when its payment had no use for it.
    pub struct SuspenseOut: "suspense_item" of (id: SettlementId, row: &Settlement) timed {
        /// `suspense`, `awaiting_second`, `refunding`; in the end `credited`, `assigned`, `refunded` or `charged_back`.
        #[schema(value_type = String)]
        status: &'static str = row.shown_status(),
        /// The payment it came for.
        payment_id: PaymentId = row.payment,
        attempt_id: AttemptId = row.attempt,
        gateway_id: GatewayId = row.gateway,
        /// The gateway's.
        reference: String = row.reference.clone(),
        amount: Amount = row.amount,
        currency: CurrencyCode = row.amount.currency().code,
        /// The entry that booked it to suspense.
        entry_id: Option<EntryId> = row.entry,
        /// Whose it is to become, as the first person says.
        assigned_payment_id: Option<PaymentId> = match row.claimant.as_ref().map(|it| it.whose) {
            Some(Whose::Payment(payment)) => Some(payment),
            _ => None,
        },
        assigned_user_id: Option<UserId> = match row.claimant.as_ref().map(|it| it.whose) {
            Some(Whose::User(user)) => Some(user),
            _ => None,
        },
        assigned_by: Option<Actor> = row.claimant.as_ref().map(|it| it.by),
        reason: Option<String> = row.claimant.as_ref().map(|it| it.reason.clone()),
        /// What others think of that.
        approval: Option<ApprovalOut> = row.claimant.as_ref().map(|it| ApprovalOut::of(&it.approval)),
    }
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let (refunding, listing) = (service.clone(), service.clone());
    vec![
        post("/suspense/{id}/assign")
            .about("Say whose money in suspense is; a second person has to agree")
            .needs("suspense.assign")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "payment_disputed",
                "not_assignable",
                "user_not_active",
                "self_approval",
            ])
            .example(json!({ "user_id": "usr_01h455vb4pex5vsknk084sn02q", "reason": "the bank names her" }))
            .writes_with(service, Payments::assign),
        post("/suspense/{id}/approve")
            .about("Agree whose money in suspense is, as somebody else than who said so; the last one needed books it")
            .needs("suspense.approve")
            .money()
            .refuses(&[
                "invalid_state_transition",
                "payment_disputed",
                "not_assignable",
                "user_not_active",
                "self_approval",
                "revision_stale",
                "not_on_committee",
                "already_voted",
            ])
            .example(json!({ "revision": 1 }))
            .writes_with(service, Payments::approve_assignment),
        post("/suspense/{id}/reject")
            .about("Disagree whose money in suspense is: it waits again")
            .needs("suspense.reject")
            .refuses(&["invalid_state_transition", "revision_stale"])
            .example(json!({ "revision": 1, "reason": "it is somebody else's" }))
            .writes_with(service, Payments::reject_assignment),
        calls(
            service,
            post("/suspense/{id}/refund")
                .about("Pay money in suspense back to whoever sent it")
                .needs("suspense.refund")
                .money()
                .refuses(&["invalid_state_transition", "payment_disputed"])
                .example(json!({ "reason": "nobody knows whose it is" })),
            move |tx, call: &Call<SettlementId, ReasonIn>| refunding.refund_suspense(tx, call),
            |tx, call| of_suspense(tx, call.caller.client()?, call.path),
        ),
        get("/suspense")
            .about("List money that came and belongs to no open payment")
            .needs("suspense.view_any")
            .lists(move |tx, call: &Call<(), SuspenseQuery>| {
                let (client, query) = (call.caller.client()?, &call.input);
                let mut page =
                    page_by(tx, &SETTLEMENTS, SUSPENSE, &client, &query.paging(None), |it| query.keeps(it))?;
                page.data.iter_mut().try_for_each(|(_, row)| listing.seen_settlement(tx, client, row))?;
                Ok(page.map(|((_, _, id), row)| SuspenseOut::of(id, &row)))
            }),
    ]
}
