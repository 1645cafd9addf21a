//! Clients over HTTP: one's own, and all of them for the operator.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, patch, post},
            input::{Metadata, input},
            object::{ExternalId, Filters as _, filters, object},
            page::{Page, page},
            principal::{Actor, ClientId},
        },
        clock::Time,
        error::Result,
        money::CurrencyCode,
        store::ReadTx,
    },
    modules::client::{
        contract::{Branding, Client, ClientMode, Settings},
        model::{ClientRow, settings::SettingsIn},
        repository::CLIENTS,
        service::ClientService,
    },
};

input! {
    /// A client to be made.
    pub struct ClientIn {
        name: String,
        /// Unique in the installation; never changes.
        slug: String,
        mode: ClientMode,
        default_currency: CurrencyCode,
        /// On top of what every new client gets.
        settings: Option<SettingsIn>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// A change of a client.
    pub struct ClientPatchIn {
        name: Option<String>,
        settings: Option<SettingsIn>,
        metadata: Metadata,
    }
}

filters! {
    pub struct ClientQuery of ClientRow {
        /// The beginning of the name or the slug.
        q: String = |it, text| it.begins_with(text),
        mode: ClientMode = |it| it.client.mode,
        active: bool = |it| it.client.is_active,
    }
}

object! {
    /// A client.
    pub struct ClientOut: "client" of (
        id: ClientId, row: &ClientRow, default: CurrencyCode, waiting: Option<SettingsProposalOut>
    ) bare {
        name: String = row.client.name.clone(),
        slug: String = row.client.slug.clone(),
        mode: ClientMode = row.client.mode,
        is_active: bool = row.client.is_active,
        /// The currency that amounts in the settings are set in.
        default_currency: CurrencyCode = default,
        settings: Settings = row.client.settings.clone(),
        /// In what currency each amount in the settings is, by name: `withdrawal.minimum`. What was set before there was
        /// another default currency keeps its own.
        currencies: BTreeMap<String, CurrencyCode> = row.client.settings.currencies(),
        /// Looser settings that wait for somebody else to agree.
        proposed: Option<SettingsProposalOut> = waiting,
        external_id: Option<String> = row.external_id.clone(),
        created_at: Time = row.client.times.created_at,
        updated_at: Time = row.client.times.updated_at,
        version: u64 = row.client.times.version,
        metadata: Metadata = row.metadata.clone(),
    }
}

/// Looser settings that wait for somebody else to agree.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SettingsProposalOut {
    /// As they would be.
    pub settings: Settings,
    pub currencies: BTreeMap<String, CurrencyCode>,
    pub proposed_by: Actor,
    pub proposed_at: Time,
    /// What a decision names: every proposal has another.
    pub revision: u32,
}

/// A client just made, with its first keys. They are shown only here.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ClientCreatedOut {
    #[serde(flatten)]
    pub client: ClientOut,
    pub secret_key: String,
    pub publishable_key: String,
}

object! {
    /// What anybody may know of a client.
    pub struct ClientPublicOut: "client" of (id: ClientId, client: Client) bare {
        name: String = client.name,
        slug: String = client.slug,
        mode: ClientMode = client.mode,
        branding: Branding = client.settings.branding,
    }
}

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    vec![
        get("/clients/current")
            .about("Show your client and its settings")
            .needs("clients.view_any")
            .reads_with(service, |service, tx, call: &Call| service.show(tx, call.caller.client()?)),
        patch("/clients/current")
            .about("Change your client's name and settings; what is omitted stays, null switches off, looser controls wait until somebody else agrees")
            .needs("clients.update_any")
            .versioned()
            .refuses(&["needs_second_person"])
            .example(json!({
                "settings": {
                    "withdrawal": { "automatic_up_to": "500.00" },
                    "payment": { "second_person_above": "500.00" },
                },
            }))
            .writes_with(service, |service, tx, call: &Call<(), ClientPatchIn>| {
                service.change(tx, &call.caller, call.caller.client()?, &call.input)
            }),
        post("/clients/current/settings/approve")
            .about("Agree to looser settings that somebody else proposed")
            .needs("clients.approve")
            .status(200)
            .refuses(&["nothing_proposed", "self_approval", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(service, ClientService::approve_settings),
        post("/clients/current/settings/reject")
            .about("Drop looser settings that were proposed")
            .needs("clients.reject")
            .status(200)
            .refuses(&["nothing_proposed", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(service, ClientService::reject_settings),
        get("/clients/current/public").about("Show what anybody may know of the client").public().reads(
            |tx, call: &Call| {
                let client = found(tx.get(&CLIENTS, &call.caller.client()?)?)?.client;
                Ok(ClientPublicOut::of(client.id, client))
            },
        ),
        get("/clients").about("List the clients, newest first").operator().lists_with(service, listed),
        post("/clients")
            .about("Make a client with its roles, settings and first two keys, which are shown once")
            .operator()
            .shows_once(&["secret_key", "publishable_key"])
            .refuses(&["slug_taken", "external_id_taken", "currency_unknown"])
            .example(json!({
                "name": "Northwind Pay", "slug": "northwind-pay", "mode": "test", "default_currency": "USD",
            }))
            .writes_with(service, ClientService::create),
        get("/clients/{id}")
            .about("Show a client")
            .operator()
            .reads_with(service, |service, tx, call: &Call<ClientId>| service.show(tx, call.path)),
        patch("/clients/{id}")
            .about("Change a client's name and settings; what is omitted stays, null switches off, looser controls wait until somebody else agrees")
            .operator()
            .versioned()
            .refuses(&["needs_second_person"])
            .example(json!({ "settings": { "withdrawal": { "approvals": 2 } } }))
            .writes_with(service, |service, tx, call: &Call<ClientId, ClientPatchIn>| {
                service.change(tx, &call.caller, call.path, &call.input)
            }),
        post("/clients/{id}/activate")
            .about("Let a client's keys and sessions work again")
            .operator()
            .writes_with(service, |service, tx, call: &Call<ClientId>| service.set_active(tx, call, true)),
        post("/clients/{id}/deactivate")
            .about("Refuse every key and session of a client until it is activated again")
            .operator()
            .writes_with(service, |service, tx, call: &Call<ClientId>| service.set_active(tx, call, false)),
    ]
}

fn listed(service: &ClientService, tx: &ReadTx, call: &Call<(), ClientQuery>) -> Result<Page<ClientOut>> {
    let query = &call.input;
    page(tx, &CLIENTS, &(), &query.paging(None), |it| query.keeps(it))?
        .try_map(|(_, row)| service.out(tx, &row))
}
