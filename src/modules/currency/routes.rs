//! Currencies over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::{
    contract::{CurrencyContract as _, CurrencyId},
    model::{CatalogueRow, CurrencyKind},
    repository::{CATALOGUE, CLIENTS, catalogue},
    service::{CurrencyService, shown_version},
};
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        endpoint::{Endpoint, get, patch, post},
        input::{Metadata, input},
        object::{ExternalId, MetadataFilter},
        page::{Cursor, Limit, Paging, page_of},
        text::Text,
    },
    clock::Time,
    error::Result,
    money::CurrencyCode,
    store::{Key as _, ReadTx},
};

input! {
    /// A currency to be added to the catalogue.
    pub struct CurrencyIn {
        code: CurrencyCode,
        name: Text<60>,
        symbol: Text<8>,
        kind: CurrencyKind,
        /// At most 18; fixed from the first activation on.
        decimals: u32,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// A change of the catalogue.
    pub struct CurrencyPatchIn {
        name: Option<Text<60>>,
        symbol: Option<Text<8>>,
        decimals: Option<u32>,
        metadata: Metadata,
    }
}

pub struct CurrencyQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    active: Option<bool>,
    kind: Option<CurrencyKind>,
    metadata: MetadataFilter,
}
input!(CurrencyQuery { limit, cursor, active, kind, metadata });

/// A currency.
#[derive(Serialize, utoipa::ToSchema)]
pub struct CurrencyOut {
    id: CurrencyId,
    #[schema(value_type = String)]
    object: &'static str,
    code: CurrencyCode,
    name: String,
    symbol: String,
    kind: CurrencyKind,
    decimals: u8,
    /// Whether its decimals are fixed.
    is_in_use: bool,
    /// Whether the client uses it; `null` for an operator who names no client.
    is_active: Option<bool>,
    is_default: Option<bool>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

pub fn endpoints(service: &Arc<CurrencyService>) -> Vec<Endpoint> {
    let (adding, changing) = (service.clone(), service.clone());
    let (activating, deactivating, choosing) = (service.clone(), service.clone(), service.clone());
    vec![
        get("/currencies").about("List the currencies, by code").public().lists(
            |tx, call: &Call<(), CurrencyQuery>| {
                let CurrencyQuery { limit, cursor, active, kind, metadata } = &call.input;
                let paging = Paging::new(*limit, cursor, (active, kind, metadata));
                if active.is_some() {
                    call.caller.client()?;
                }
                let rows = catalogue(tx)?.into_iter().filter(|it| kind.is_none_or(|kind| it.kind == kind));
                let mut outs =
                    rows.map(|it| out(tx, &call.caller, it)).collect::<Result<Vec<CurrencyOut>>>()?;
                outs.retain(|it| active.is_none() || it.is_active == *active);
                outs.retain(|it| metadata.wants(&it.metadata));
                page_of(outs, &paging, |it| it.code.to_key())
            },
        ),
        get("/currencies/{code}").about("Show a currency").public().reads(|tx, call: &Call<CurrencyCode>| {
            out(tx, &call.caller, found(tx.get(&CATALOGUE, &call.path)?)?)
        }),
        post("/currencies")
            .about("Add a currency to the catalogue")
            .operator()
            .refuses(&["currency_taken", "external_id_taken"])
            .example(json!({
                "code": "SEK", "name": "Swedish krona", "symbol": "kr", "kind": "fiat", "decimals": 2,
            }))
            .writes(move |tx, call: &Call<(), CurrencyIn>| {
                let row = adding.add(tx, call)?;
                out(tx, &call.caller, row)
            }),
        patch("/currencies/{code}")
            .about("Change a currency of the catalogue; its decimals only before its first activation")
            .operator()
            .versioned()
            .refuses(&["currency_taken", "currency_in_use"])
            .example(json!({ "name": "US dollar" }))
            .writes(move |tx, call: &Call<CurrencyCode, CurrencyPatchIn>| {
                let row = changing.change(tx, call)?;
                out(tx, &call.caller, row)
            }),
        post("/currencies/{code}/activate")
            .about("Begin to use a currency")
            .needs("currencies.update_any")
            .writes(move |tx, call: &Call<CurrencyCode>| {
                found(activating.known(tx, call.path)?)?;
                activating.activate(tx, call.caller.client()?, call.path)?;
                out(tx, &call.caller, found(tx.get(&CATALOGUE, &call.path)?)?)
            }),
        post("/currencies/{code}/deactivate")
            .about("Stop using a currency; what is held in it stays")
            .needs("currencies.update_any")
            .refuses(&["currency_is_default"])
            .writes(move |tx, call: &Call<CurrencyCode>| {
                let row = found(tx.get(&CATALOGUE, &call.path)?)?;
                deactivating.deactivate(tx, call.caller.client()?, call.path)?;
                out(tx, &call.caller, row)
            }),
        post("/currencies/{code}/make-default")
            .about("Make an active currency the default; amounts in the settings begin anew in it")
            .needs("currencies.update_any")
            .refuses(&["currency_inactive"])
            .writes(move |tx, call: &Call<CurrencyCode>| {
                let row = found(tx.get(&CATALOGUE, &call.path)?)?;
                choosing.make_default(tx, &call.caller, call.path)?;
                out(tx, &call.caller, row)
            }),
    ]
}

fn out(tx: &ReadTx, caller: &Caller, row: CatalogueRow) -> Result<CurrencyOut> {
    let chosen = match caller.principal.client {
        Some(client) => tx.get(&CLIENTS, &client)?,
        None => None,
    };
    Ok(CurrencyOut {
        id: row.id,
        object: "currency",
        code: row.code,
        version: shown_version(tx, caller, &row)?,
        is_active: chosen.as_ref().map(|it| it.active(row.code).is_some()),
        is_default: chosen.as_ref().map(|it| it.default().code == row.code),
        name: row.name,
        symbol: row.symbol,
        kind: row.kind,
        decimals: row.decimals,
        is_in_use: row.is_in_use,
        external_id: row.stamp.external_id,
        created_at: row.stamp.created_at,
        updated_at: row.stamp.updated_at,
        metadata: row.stamp.metadata,
    })
}
