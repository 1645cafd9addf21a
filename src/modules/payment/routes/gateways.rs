//! Gateways over HTTP. A user sees the active ones it can pay through, without their set-up.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, Reach, found},
            endpoint::{Endpoint, get, patch, post},
            input::{Change, Metadata, input},
            page::{Cursor, Limit, Paging, page},
        },
        clock::Time,
        money::{AmountText, CurrencyCode},
    },
    modules::payment::{
        contract::{GatewayId, GatewayKind},
        model::{Gateway, Health},
        repository::{GATEWAYS, HEALTH},
        service::{self, Payments},
    },
};

/// A gateway to be made. It starts inactive.
#[derive(utoipa::ToSchema)]
pub struct GatewayIn {
    pub name: String,
    /// What it is called for, such as `bank`: one active gateway per slug.
    pub slug: String,
    pub kind: GatewayKind,
    pub currencies: Vec<CurrencyCode>,
    /// Holds in each of the currencies, in its own units; so does `max_amount`.
    pub min_amount: Option<AmountText>,
    pub max_amount: Option<AmountText>,
    /// Manual gateways: what the payer is told, with `{reference}`, `{amount}` and `{currency}`.
    pub instructions: Option<String>,
    pub config: Option<ConfigIn>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
}
input!(GatewayIn {
    name,
    slug,
    kind,
    currencies,
    min_amount,
    max_amount,
    instructions,
    config,
    external_id,
    metadata
});

/// What only some kinds of gateway have.
#[derive(utoipa::ToSchema)]
pub struct ConfigIn {
    /// Sandbox: money is set aside first, and taken with `capture`.
    pub manual_capture: Option<bool>,
}
input!(ConfigIn { manual_capture });

/// A change of a gateway: what is omitted stays, `null` switches a limit off.
#[derive(utoipa::ToSchema)]
pub struct GatewayPatchIn {
    pub name: Option<String>,
    pub slug: Option<String>,
    pub currencies: Option<Vec<CurrencyCode>>,
    #[schema(value_type = Option<AmountText>)]
    pub min_amount: Change<AmountText>,
    #[schema(value_type = Option<AmountText>)]
    pub max_amount: Change<AmountText>,
    #[schema(value_type = Option<String>)]
    pub instructions: Change<String>,
    pub config: Option<ConfigIn>,
    pub metadata: Metadata,
}
input!(GatewayPatchIn { name, slug, currencies, min_amount, max_amount, instructions, config, metadata });

pub struct GatewayQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    active: Option<bool>,
    slug: Option<String>,
    kind: Option<GatewayKind>,
    currency: Option<CurrencyCode>,
}
input!(GatewayQuery { limit, cursor, active, slug, kind, currency });

/// A way in or out for money.
#[derive(Serialize, utoipa::ToSchema)]
pub struct GatewayOut {
    id: GatewayId,
    #[schema(value_type = String)]
    object: &'static str,
    /// `active` or `inactive`.
    #[schema(value_type = String)]
    status: &'static str,
    name: String,
    slug: String,
    kind: GatewayKind,
    currencies: Vec<CurrencyCode>,
    min_amount: Option<String>,
    max_amount: Option<String>,
    /// For staff and keys only, as is `config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<ConfigOut>,
    external_id: Option<String>,
    created_at: Time,
    updated_at: Time,
    version: u64,
    metadata: Metadata,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ConfigOut {
    manual_capture: bool,
}

/// Whether a gateway answered.
#[derive(Serialize, utoipa::ToSchema)]
pub struct GatewayTestOut {
    id: GatewayId,
    #[schema(value_type = String)]
    object: &'static str,
    ok: bool,
    message: String,
}

/// How the last calls to a gateway went.
#[derive(Serialize, utoipa::ToSchema)]
pub struct GatewayHealthOut {
    id: GatewayId,
    #[schema(value_type = String)]
    object: &'static str,
    /// All calls there ever were.
    calls: u64,
    /// How many of them the rate is taken over: the last 64.
    recent_calls: u64,
    /// Answered, and not declined.
    recent_successes: u64,
    /// Whole percent, rounded down; `null` before the first call.
    success_percent: Option<u64>,
    last_success_at: Option<Time>,
    last_failure_at: Option<Time>,
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let [adding, changing, activating, deactivating, claiming, testing] = [(); 6].map(|()| service.clone());
    vec![
        get("/payment-gateways").about("List the gateways").own("payment-gateways.view").lists(
            |tx, call: &Call<(), GatewayQuery>| {
                let GatewayQuery { limit, cursor, active, slug, kind, currency } = &call.input;
                let paging = Paging::new(*limit, cursor, (active, slug, kind, currency));
                let is_staff = call.caller.reach == Reach::Any;
                let keep = |it: &Gateway| {
                    (is_staff || it.is_active)
                        && active.is_none_or(|wanted| it.is_active == wanted)
                        && slug.as_ref().is_none_or(|wanted| it.slug == *wanted)
                        && kind.is_none_or(|wanted| it.kind == wanted)
                        && currency.is_none_or(|wanted| it.currencies.iter().any(|it| it.code == wanted))
                };
                let page = page(tx, &GATEWAYS, &call.caller.client()?, &paging, keep)?;
                Ok(page.map(|((_, id), row)| out((id, row), call.caller.reach)))
            },
        ),
        get("/payment-gateways/{id}").about("Show a gateway").own("payment-gateways.view").reads(
            |tx, call: &Call<GatewayId>| {
                let row = service::gateway(tx, call.caller.client()?, call.path)?;
                let seen = Some(row).filter(|it| it.is_active || call.caller.reach == Reach::Any);
                Ok(out((call.path, found(seen)?), call.caller.reach))
            },
        ),
        post("/payment-gateways")
            .about("Make a gateway, inactive")
            .needs("payment-gateways.create_any")
            .refuses(&["currency_inactive", "external_id_taken"])
            .example(json!({
                "name": "Bank transfer", "slug": "bank", "kind": "manual", "currencies": ["USD"],
                "min_amount": "10.00",
                "instructions": "Send {amount} {currency} to DE02 1203 0000 0000 2020 51 with the reference {reference}.",
            }))
            .writes(move |tx, call: &Call<(), GatewayIn>| {
                adding.add_gateway(tx, call).map(|it| out(it, Reach::Any))
            }),
        patch("/payment-gateways/{id}")
            .about("Change a gateway; what is omitted stays")
            .needs("payment-gateways.update_any")
            .versioned()
            .refuses(&["currency_inactive", "gateway_taken"])
            .example(json!({ "name": "Bank transfer (new account)" }))
            .writes(move |tx, call: &Call<GatewayId, GatewayPatchIn>| {
                changing.change_gateway(tx, call).map(|it| out(it, Reach::Any))
            }),
        post("/payment-gateways/{id}/activate")
            .about("Switch a gateway on, and the active one of the same slug off")
            .needs("payment-gateways.activate")
            .refuses(&["sandbox_in_live"])
            .writes(move |tx, call: &Call<GatewayId>| {
                activating.activate_gateway(tx, call).map(|it| out(it, Reach::Any))
            }),
        post("/payment-gateways/{id}/deactivate")
            .about("Switch a gateway off; what is under way ends through it")
            .needs("payment-gateways.deactivate")
            .writes(move |tx, call: &Call<GatewayId>| {
                deactivating.deactivate_gateway(tx, call).map(|it| out(it, Reach::Any))
            }),
        post("/payment-gateways/{id}/test")
            .about("Find out whether a gateway answers; no money moves")
            .needs("payment-gateways.test")
            .calls_out(
                move |tx, call: &Call<GatewayId>| claiming.claim_test(tx, call),
                move |needed| testing.test(needed),
                |_, call, answer: Result<String, String>| {
                    let (ok, message) = answer.map_or_else(|problem| (false, problem), |said| (true, said));
                    Ok(GatewayTestOut { id: call.path, object: "gateway_test", ok, message })
                },
                |_, call| {
                    let message = "the server stopped before the gateway answered".to_owned();
                    Ok(GatewayTestOut { id: call.path, object: "gateway_test", ok: false, message })
                },
            ),
        get("/payment-gateways/{id}/health")
            .about("How the last calls to a gateway went")
            .needs("payment-gateways.view_any")
            .reads(|tx, call: &Call<GatewayId>| {
                let client = call.caller.client()?;
                service::gateway(tx, client, call.path)?;
                let health = tx.get(&HEALTH, &(client, call.path))?.unwrap_or_default();
                Ok(health_out(call.path, &health))
            }),
    ]
}

fn out((id, row): (GatewayId, Gateway), reach: Reach) -> GatewayOut {
    let is_staff = reach == Reach::Any;
    GatewayOut {
        id,
        object: "payment_gateway",
        status: if row.is_active { "active" } else { "inactive" },
        name: row.name,
        slug: row.slug,
        kind: row.kind,
        currencies: row.currencies.iter().map(|it| it.code).collect(),
        min_amount: row.limits.min,
        max_amount: row.limits.max,
        instructions: row.setup.instructions.filter(|_| is_staff),
        config: is_staff.then_some(ConfigOut { manual_capture: row.setup.manual_capture }),
        external_id: row.external_id,
        created_at: row.created_at,
        updated_at: row.updated_at,
        version: row.version,
        metadata: row.metadata,
    }
}

fn health_out(id: GatewayId, health: &Health) -> GatewayHealthOut {
    let (recent_calls, recent_successes) = health.rate();
    GatewayHealthOut {
        id,
        object: "gateway_health",
        calls: health.calls,
        recent_calls,
        recent_successes,
        success_percent: (100 * recent_successes).checked_div(recent_calls),
        last_success_at: health.last_success_at,
        last_failure_at: health.last_failure_at,
    }
}
