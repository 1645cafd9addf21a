//! Money that came and belongs to no open payment.

use serde::Serialize;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get},
            input::input,
            page::{Cursor, Limit, Paging, created_within, page_by},
        },
        clock::Time,
        money::{Amount, CurrencyCode},
    },
    modules::{
        balance::contract::EntryId,
        payment::{
            contract::{AttemptId, GatewayId, PaymentId, SettlementId},
            model::Settlement,
            repository::SETTLEMENTS,
        },
    },
};

pub struct SuspenseQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    currency: Option<CurrencyCode>,
    gateway_id: Option<GatewayId>,
    payment_id: Option<PaymentId>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(SuspenseQuery { limit, cursor, currency, gateway_id, payment_id, created_from, created_to });

/// Money in suspense: it came when its payment had no use for it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SuspenseOut {
    id: SettlementId,
    #[schema(value_type = String)]
    object: &'static str,
    /// The payment it came for.
    payment_id: PaymentId,
    attempt_id: AttemptId,
    gateway_id: GatewayId,
    /// The gateway's.
    reference: String,
    amount: Amount,
    currency: CurrencyCode,
    /// The entry that booked it to suspense.
    entry_id: Option<EntryId>,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/suspense")
            .about("List money that came and belongs to no open payment")
            .needs("suspense.view_any")
            .lists(|tx, call: &Call<(), SuspenseQuery>| {
                let SuspenseQuery {
                    limit,
                    cursor,
                    currency,
                    gateway_id,
                    payment_id,
                    created_from,
                    created_to,
                } = &call.input;
                let filters = (currency, gateway_id, payment_id, created_from, created_to);
                let paging = Paging::new(*limit, cursor, filters);
                let keep = |it: &Settlement| {
                    currency.is_none_or(|wanted| it.amount.currency().code == wanted)
                        && gateway_id.is_none_or(|wanted| it.gateway == wanted)
                        && payment_id.is_none_or(|wanted| it.payment == wanted)
                        && created_within(it.created_at, *created_from, *created_to)
                };
                let client = call.caller.client()?;
                let page = page_by(tx, &SETTLEMENTS, "payment.suspense", &client, &paging, keep)?;
                Ok(page.map(|((_, _, id), row)| out(id, row)))
            }),
    ]
}

fn out(id: SettlementId, row: Settlement) -> SuspenseOut {
    SuspenseOut {
        id,
        object: "suspense_item",
        payment_id: row.payment,
        attempt_id: row.attempt,
        gateway_id: row.gateway,
        reference: row.reference,
        currency: row.amount.currency().code,
        amount: row.amount,
        entry_id: row.entry,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
    }
}
