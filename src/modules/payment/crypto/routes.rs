//! Addresses of crypto gateways over HTTP.

use std::sync::Arc;

use serde_json::json;

use super::pool::{ADDRESSES, Address, fill, id};
use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post},
            input::{Flaw, input},
            object::{Filters as _, filters, object},
            page::page,
        },
        error::Result,
        store::WriteTx,
    },
    modules::payment::{
        contract::{AddressId, AttemptId, GatewayId, GatewayKind, PaymentId},
        service::{Payments, gateway},
    },
};

input! {
    /// Addresses to be handed out, each once. Those the pool has already are left alone, in capitals or not.
    pub struct AddressesIn {
        /// 1 to 1000.
        addresses: Vec<String>,
    }
}

filters! {
    pub struct AddressQuery of Address {
        used: bool = |it| it.attempt.is_some(),
    }
}

object! {
    /// An address of a gateway.
    pub struct AddressOut: "gateway_address" of (id: AddressId, row: &Address, gateway: GatewayId) timed {
        gateway_id: GatewayId = gateway,
        address: String = row.text.clone(),
        /// Whose it is, once it was handed out.
        payment_id: Option<PaymentId> = row.attempt.map(|it| it.0),
        attempt_id: Option<AttemptId> = row.attempt.map(|it| it.1),
    }
}

object! {
    /// How many addresses were new to the pool.
    pub struct AddressesAddedOut: "gateway_addresses" of (id: GatewayId, added: u64) bare {
        added: u64 = added,
    }
}

pub fn endpoints(_: &Arc<Payments>) -> Vec<Endpoint> {
    vec![
        get("/payment-gateways/{id}/addresses")
            .about("List the addresses of a crypto gateway, newest first")
            .needs("payment-gateways.view_any")
            .lists(|tx, call: &Call<GatewayId, AddressQuery>| {
                let (client, query) = (call.caller.client()?, &call.input);
                gateway(tx, client, call.path)?;
                let rows =
                    page(tx, &ADDRESSES, &(client, call.path), &query.paging(None), |it| query.keeps(it))?;
                Ok(rows.map(|((_, gateway, _), row)| AddressOut::of(id(&row.text), &row, gateway)))
            }),
        post("/payment-gateways/{id}/addresses")
            .about("Add addresses to the pool of a crypto gateway")
            .needs("payment-gateways.update_any")
            .refuses(&["address_taken"])
            .example(json!({ "addresses": ["bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"] }))
            .writes(add),
    ]
}

fn add(tx: &mut WriteTx, call: &Call<GatewayId, AddressesIn>) -> Result<AddressesAddedOut> {
    let (client, addresses) = (call.caller.client()?, &call.input.addresses);
    let row = gateway(tx, client, call.path)?;
    if row.kind != GatewayKind::Crypto || row.setup.xpub.is_some() {
        return Err(Flaw::new("addresses", "not_allowed", "this gateway has no pool").into());
    }
    if !(1..=1000).contains(&addresses.len()) {
        return Err(Flaw::new("addresses", "out_of_range", "must have 1 to 1000 addresses").into());
    }
    Ok(AddressesAddedOut::of(
        call.path,
        fill(tx, (client, call.path), row.setup.network.as_deref(), addresses)?,
    ))
}
