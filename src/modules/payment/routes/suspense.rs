//! Money that came and belongs to no open payment.

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get},
            object::{Filters as _, filters, object},
            page::page_by,
        },
        money::{Amount, CurrencyCode},
    },
    modules::{
        balance::contract::EntryId,
        payment::{
            contract::{AttemptId, GatewayId, PaymentId, SettlementId},
            model::Settlement,
            repository::{SETTLEMENTS, SUSPENSE},
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

object! {
    /// Money in suspense: it came when its payment had no use for it.
    pub struct SuspenseOut: "suspense_item" of (id: SettlementId, row: &Settlement) timed {
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
    }
}

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/suspense")
            .about("List money that came and belongs to no open payment")
            .needs("suspense.view_any")
            .lists(|tx, call: &Call<(), SuspenseQuery>| {
                let (client, query) = (call.caller.client()?, &call.input);
                let page =
                    page_by(tx, &SETTLEMENTS, SUSPENSE, &client, &query.paging(None), |it| query.keeps(it))?;
                Ok(page.map(|((_, _, id), row)| SuspenseOut::of(id, &row)))
            }),
    ]
}
