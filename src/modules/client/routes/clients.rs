//! Clients over HTTP: one's own, and all of them for the operator.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, patch, post},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page},
            principal::{Actor, ClientId},
        },
        clock::Time,
        error::Result,
        money::CurrencyCode,
        store::ReadTx,
    },
    modules::client::{
        contract::{Branding, ClientMode, Settings},
        model::{ClientRow, settings::SettingsIn},
        repository::{CLIENTS, SETTINGS_PROPOSALS},
        service::ClientService,
    },
};

/// A client to be made.
#[derive(utoipa::ToSchema)]
pub struct ClientIn {
    pub name: String,
    /// Unique in the installation; never changes.
    pub slug: String,
    pub mode: ClientMode,
    pub default_currency: CurrencyCode,
    /// On top of what every new client gets.
    pub settings: Option<SettingsIn>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(ClientIn { name, slug, mode, default_currency, settings, external_id, metadata });

/// A change of a client.
#[derive(utoipa::ToSchema)]
pub struct ClientPatchIn {
    pub name: Option<String>,
    pub settings: Option<SettingsIn>,
    pub metadata: Metadata,
}
input!(ClientPatchIn { name, settings, metadata });

pub struct ClientQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    /// The beginning of the name or the slug.
    q: Option<String>,
    mode: Option<ClientMode>,
    active: Option<bool>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(ClientQuery { limit, cursor, q, mode, active, created_from, created_to });

/// A client.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ClientOut {
    id: ClientId,
    #[schema(value_type = String)]
    object: &'static str,
    name: String,
    slug: String,
    mode: ClientMode,
    is_active: bool,
    /// The currency of every amount in the settings.
    default_currency: CurrencyCode,
    settings: Settings,
    /// Looser settings that wait for somebody else to agree.
    proposed: Option<SettingsProposalOut>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

/// Looser settings that wait for somebody else to agree.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SettingsProposalOut {
    /// As they would be.
    settings: Settings,
    proposed_by: Actor,
    proposed_at: Time,
}

/// A client just made, with its first keys. They are shown only here.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ClientCreatedOut {
    #[serde(flatten)]
    client: ClientOut,
    secret_key: String,
    publishable_key: String,
}

/// What anybody may know of a client.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ClientPublicOut {
    id: ClientId,
    #[schema(value_type = String)]
    object: &'static str,
    name: String,
    slug: String,
    mode: ClientMode,
    branding: Branding,
}

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    let [showing_own, changing_own, agreeing, dropping] = std::array::from_fn(|_| service.clone());
    let (listing, showing, creating) = (service.clone(), service.clone(), service.clone());
    let (changing, activating, deactivating) = (service.clone(), service.clone(), service.clone());
    vec![
        get("/clients/current").about("Show your client and its settings").needs("clients.view_any").reads(
            move |tx, call: &Call| {
                let row = found(tx.get(&CLIENTS, &call.caller.client()?)?)?;
                out(&showing_own, tx, row)
            },
        ),
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
            .writes(move |tx, call: &Call<(), ClientPatchIn>| {
                let row = changing_own.change(tx, &call.caller, call.caller.client()?, &call.input)?;
                out(&changing_own, tx, row)
            }),
        post("/clients/current/settings/approve")
            .about("Agree to looser settings that somebody else proposed")
            .needs("clients.approve")
            .status(200)
            .refuses(&["nothing_proposed", "self_approval"])
            .writes(move |tx, call: &Call| {
                let row = agreeing.approve_settings(tx, call)?;
                out(&agreeing, tx, row)
            }),
        post("/clients/current/settings/reject")
            .about("Drop looser settings that were proposed")
            .needs("clients.reject")
            .status(200)
            .refuses(&["nothing_proposed"])
            .writes(move |tx, call: &Call| {
                let row = dropping.reject_settings(tx, call)?;
                out(&dropping, tx, row)
            }),
        get("/clients/current/public").about("Show what anybody may know of the client").public().reads(
            |tx, call: &Call| {
                let client = found(tx.get(&CLIENTS, &call.caller.client()?)?)?.client;
                Ok(ClientPublicOut {
                    id: client.id,
                    object: "client",
                    name: client.name,
                    slug: client.slug,
                    mode: client.mode,
                    branding: client.settings.branding,
                })
            },
        ),
        get("/clients")
            .about("List the clients, newest first")
            .operator()
            .lists(move |tx, call: &Call<(), ClientQuery>| list(&listing, tx, &call.input)),
        post("/clients")
            .about("Make a client with its roles, settings and first two keys, which are shown once")
            .operator()
            .shows_once(&["secret_key", "publishable_key"])
            .refuses(&["slug_taken", "external_id_taken", "currency_unknown"])
            .example(json!({
                "name": "Northwind Pay", "slug": "northwind-pay", "mode": "test", "default_currency": "USD",
            }))
            .writes(move |tx, call: &Call<(), ClientIn>| {
                let made = creating.create(tx, &call.caller, &call.input)?;
                Ok(ClientCreatedOut {
                    client: out(&creating, tx, made.row)?,
                    secret_key: made.secret.token,
                    publishable_key: made.publishable.token,
                })
            }),
        get("/clients/{id}")
            .about("Show a client")
            .operator()
            .reads(move |tx, call: &Call<ClientId>| out(&showing, tx, found(tx.get(&CLIENTS, &call.path)?)?)),
        patch("/clients/{id}")
            .about("Change a client's name and settings; what is omitted stays, null switches off, looser controls wait until somebody else agrees")
            .operator()
            .versioned()
            .refuses(&["needs_second_person"])
            .example(json!({ "settings": { "withdrawal": { "approvals": 2 } } }))
            .writes(move |tx, call: &Call<ClientId, ClientPatchIn>| {
                let row = changing.change(tx, &call.caller, call.path, &call.input)?;
                out(&changing, tx, row)
            }),
        post("/clients/{id}/activate")
            .about("Let a client's keys and sessions work again")
            .operator()
            .writes(move |tx, call: &Call<ClientId>| {
                let row = activating.set_active(tx, &call.caller, call.path, true)?;
                out(&activating, tx, row)
            }),
        post("/clients/{id}/deactivate")
            .about("Refuse every key and session of a client until it is activated again")
            .operator()
            .writes(move |tx, call: &Call<ClientId>| {
                let row = deactivating.set_active(tx, &call.caller, call.path, false)?;
                out(&deactivating, tx, row)
            }),
    ]
}

fn list(service: &ClientService, tx: &ReadTx, query: &ClientQuery) -> Result<Page<ClientOut>> {
    let ClientQuery { limit, cursor, q, mode, active, created_from, created_to } = query;
    let paging = Paging::new(*limit, cursor, (q, mode, active, created_from, created_to));
    let q = q.as_ref().map(|it| it.to_lowercase());
    let wanted = |ClientRow { client, .. }: &ClientRow| {
        let begins = |it: &String| client.slug.starts_with(it) || client.name.to_lowercase().starts_with(it);
        mode.is_none_or(|it| client.mode == it)
            && active.is_none_or(|it| client.is_active == it)
            && q.as_ref().is_none_or(begins)
            && created_within(client.created_at, *created_from, *created_to)
    };
    page(tx, &CLIENTS, &(), &paging, wanted)?.try_map(|(_, row)| out(service, tx, row))
}

fn out(service: &ClientService, tx: &ReadTx, row: ClientRow) -> Result<ClientOut> {
    let ClientRow { client, external_id, metadata } = row;
    let proposed = tx.get(&SETTINGS_PROPOSALS, &client.id)?.map(|it| SettingsProposalOut {
        settings: it.loosened.applied_to(client.settings.clone()),
        proposed_by: it.by,
        proposed_at: it.at,
    });
    Ok(ClientOut {
        id: client.id,
        object: "client",
        default_currency: service.default_currency(tx, client.id)?.code,
        name: client.name,
        slug: client.slug,
        mode: client.mode,
        is_active: client.is_active,
        settings: client.settings,
        proposed,
        external_id,
        created_at: client.created_at,
        updated_at: client.updated_at,
        version: client.version,
        metadata,
    })
}
