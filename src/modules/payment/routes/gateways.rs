//! Gateways over HTTP. A user sees the active ones it can pay through, without their set-up.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    kernel::{
        api::{
            call::{Call, Reach, found},
            endpoint::{Endpoint, get, patch, post},
            input::{Change, Field, Flaw, Flaws, Metadata, input},
            object::{ExternalId, Filters as _, filters, object},
            page::page,
            text::Text,
        },
        clock::Time,
        money::{AmountText, CurrencyCode},
    },
    modules::payment::{
        contract::{GatewayId, GatewayKind},
        model::{Band, Gateway, Health},
        repository::{GATEWAYS, HEALTH},
        service::{self, Payments},
    },
};

input! {
    /// A gateway to be made. It starts inactive.
    pub struct GatewayIn {
        name: Text<60>,
        /// What it is called for, such as `bank`: one active gateway per slug.
        slug: Text<40>,
        kind: GatewayKind,
        currencies: Vec<CurrencyCode>,
        /// Holds in each of the currencies, in its own units; so does `max_amount`.
        min_amount: Option<AmountText>,
        max_amount: Option<AmountText>,
        /// Manual gateways: what the payer is told, with `{reference}`, `{amount}` and `{currency}`.
        instructions: Option<String>,
        /// Which is tried first when none is named: the smallest number; 100 when omitted.
        priority: Option<u32>,
        config: Option<ConfigIn>,
        credentials: Option<CredentialsIn>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

input! {
    /// What only some kinds of gateway have.
    pub struct ConfigIn {
        /// Sandbox and HTTP: money is set aside first, and taken with `capture`.
        manual_capture: Option<bool>,
        /// HTTP: where it is. Crypto: an explorer of the Esplora kind to ask; without one a watcher tells.
        base_url: Option<String>,
        /// HTTP and crypto: how long it may take to answer; 1 to 60, 20 when omitted.
        timeout_s: Option<u32>,
        /// Crypto: what the payer is told the address is on, such as `bitcoin`.
        network: Option<Text<40>>,
        /// Crypto, BTC: the public key of an account (BIP 84) whose addresses are handed out. Never a private key.
        xpub: Option<Text<120>>,
        /// Crypto: how many confirmations an amount needs; 3 where nothing is said.
        confirmations: Option<Vec<BandIn>>,
    }
}

input! {
    /// Up to `up_to`, or any amount of the currency, so many confirmations. The smallest band an amount fits into
    /// counts.
    pub struct BandIn {
        currency: CurrencyCode,
        up_to: Option<AmountText>,
        confirmations: u32,
    }
}

input! {
    /// They go in, are encrypted, and do not come out. What is omitted stays.
    pub struct CredentialsIn {
        /// HTTP: the key it is reached with.
        #[schema(value_type = Option<String>)]
        secret_key: Option<SecretText>,
        /// What it signs its messages with. A sandbox that is given none makes one.
        #[schema(value_type = Option<String>)]
        webhook_secret: Option<SecretText>,
    }
}

/// A text that is wiped when it goes. Without `Debug`, so that it stands in no log.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Field for SecretText {
    fn parse(value: Value) -> Result<Self, Flaws> {
        let Value::String(text) = value else {
            return Err(vec![Flaw::new("", "invalid_type", "must be a string")]);
        };
        let text = Zeroizing::new(text);
        if (8..=1024).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_graphic()) {
            return Ok(SecretText(text));
        }
        Err(vec![Flaw::new("", "invalid_format", "must be 8 to 1024 printable characters")])
    }
}

input! {
    /// A change of a gateway: what is omitted stays, `null` switches a limit off.
    pub struct GatewayPatchIn {
        name: Option<Text<60>>,
        slug: Option<Text<40>>,
        currencies: Option<Vec<CurrencyCode>>,
        #[schema(value_type = Option<AmountText>)]
        min_amount: Change<AmountText>,
        #[schema(value_type = Option<AmountText>)]
        max_amount: Change<AmountText>,
        #[schema(value_type = Option<String>)]
        instructions: Change<String>,
        priority: Option<u32>,
        config: Option<ConfigIn>,
        credentials: Option<CredentialsIn>,
        metadata: Metadata,
    }
}

filters! {
    pub struct GatewayQuery of Gateway {
        active: bool = |it| it.is_active,
        slug: String = |it| it.slug,
        kind: GatewayKind = |it| it.kind,
        currency: CurrencyCode = |it, wanted| it.currencies.iter().any(|it| it.code == *wanted),
    }
}

object! {
    /// A way in or out for money.
    pub struct GatewayOut: "payment_gateway" of (id: GatewayId, row: &Gateway, reach: Reach) {
        /// `active` or `inactive`.
        #[schema(value_type = String)]
        status: &'static str = if row.is_active { "active" } else { "inactive" },
        name: String = row.name.clone(),
        slug: String = row.slug.clone(),
        kind: GatewayKind = row.kind,
        currencies: Vec<CurrencyCode> = row.currencies.iter().map(|it| it.code).collect(),
        min_amount: Option<String> = row.limits.min.clone(),
        max_amount: Option<String> = row.limits.max.clone(),
        /// For staff and keys only, as are `config` and `priority`.
        #[serde(skip_serializing_if = "Option::is_none")]
        instructions: Option<String> = row.setup.instructions.clone().filter(|_| reach == Reach::Any),
        #[serde(skip_serializing_if = "Option::is_none")]
        config: Option<ConfigOut> =
            (reach == Reach::Any).then(|| ConfigOut::of(row)),
        #[serde(skip_serializing_if = "Option::is_none")]
        priority: Option<u32> = (reach == Reach::Any).then_some(row.priority),
    }
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ConfigOut {
    manual_capture: bool,
    base_url: Option<String>,
    timeout_s: Option<u32>,
    network: Option<String>,
    xpub: Option<String>,
    confirmations: Vec<BandOut>,
    /// Whether there is one; it is never shown.
    has_secret_key: bool,
    has_webhook_secret: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct BandOut {
    currency: CurrencyCode,
    up_to: Option<String>,
    confirmations: u32,
}

impl ConfigOut {
    fn of(row: &Gateway) -> ConfigOut {
        let setup = row.setup.clone();
        let band =
            |it: Band| BandOut { currency: it.currency, up_to: it.up_to, confirmations: it.confirmations };
        ConfigOut {
            manual_capture: setup.manual_capture,
            base_url: setup.base_url,
            timeout_s: setup.timeout_s,
            network: setup.network,
            xpub: setup.xpub,
            confirmations: setup.confirmations.into_iter().map(band).collect(),
            has_secret_key: row.has_secret_key,
            has_webhook_secret: row.has_webhook_secret,
        }
    }
}

object! {
    /// Whether a gateway answered.
    pub struct GatewayTestOut: "gateway_test" of (id: GatewayId, answer: Result<String, String>) bare {
        ok: bool = answer.is_ok(),
        message: String = answer.unwrap_or_else(|problem| problem),
    }
}

object! {
    /// How the last calls to a gateway went.
    pub struct GatewayHealthOut: "gateway_health" of (id: GatewayId, health: &Health) bare {
        /// All calls there ever were.
        calls: u64 = health.calls,
        /// How many of them the rate is taken over: the last 64.
        recent_calls: u64 = health.rate().0,
        /// Answered, and not declined.
        recent_successes: u64 = health.rate().1,
        /// Whole percent, rounded down; `null` before the first call.
        success_percent: Option<u64> = (100 * health.rate().1).checked_div(health.rate().0),
        last_success_at: Option<Time> = health.last_success_at,
        last_failure_at: Option<Time> = health.last_failure_at,
        /// Of the last 20, how many failed by the gateway's own fault: no answer, one that makes no sense, or a refusal
        /// of all that we ask, as of a revoked key. At 10 the breaker opens.
        recent_faults: u32 = health.faults_of_twenty(),
        /// How many calls in a row did. At 5 the breaker opens.
        failures_in_a_row: u32 = health.failures,
        /// Until then nothing new goes through it; `null` while the breaker is closed.
        breaker_open_until: Option<Time> = health.open_until,
    }
}

pub fn endpoints(service: &Arc<Payments>) -> Vec<Endpoint> {
    let [claiming, testing, noting] = [(); 3].map(|()| service.clone());
    vec![
        get("/payment-gateways").about("List the gateways").own("payment-gateways.view").lists(
            |tx, call: &Call<(), GatewayQuery>| {
                let (query, reach) = (&call.input, call.caller.reach);
                let keep = |it: &Gateway| (it.is_active || reach == Reach::Any) && query.keeps(it);
                let page = page(tx, &GATEWAYS, &call.caller.client()?, &query.paging(None), keep)?;
                Ok(page.map(|((_, id), row)| GatewayOut::of(id, &row, reach)))
            },
        ),
        get("/payment-gateways/{id}").about("Show a gateway").own("payment-gateways.view").reads(
            |tx, call: &Call<GatewayId>| {
                let row = service::gateway(tx, call.caller.client()?, call.path)?;
                let seen = Some(row).filter(|it| it.is_active || call.caller.reach == Reach::Any);
                Ok(GatewayOut::of(call.path, &found(seen)?, call.caller.reach))
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
            .writes_with(service, Payments::add_gateway),
        patch("/payment-gateways/{id}")
            .about("Change a gateway; what is omitted stays")
            .needs("payment-gateways.update_any")
            .versioned()
            .refuses(&["currency_inactive", "gateway_taken"])
            .example(json!({ "name": "Bank transfer (new account)" }))
            .writes_with(service, Payments::change_gateway),
        post("/payment-gateways/{id}/activate")
            .about("Switch a gateway on, and the active one of the same slug off")
            .needs("payment-gateways.activate")
            .refuses(&["sandbox_in_live", "gateway_incomplete"])
            .writes_with(service, Payments::activate_gateway),
        post("/payment-gateways/{id}/deactivate")
            .about("Switch a gateway off; what is under way ends through it")
            .needs("payment-gateways.deactivate")
            .writes_with(service, Payments::deactivate_gateway),
        post("/payment-gateways/{id}/test")
            .about("Find out whether a gateway answers; no money moves")
            .needs("payment-gateways.test")
            .calls_out(
                move |tx, call: &Call<GatewayId>| claiming.claim_test(tx, call),
                move |needed| testing.test(needed),
                move |tx, call, answer: Result<String, String>| {
                    noting.note_test(tx, call, answer.is_ok())?;
                    Ok(GatewayTestOut::of(call.path, answer))
                },
                |_, call| {
                    let stopped = "the server stopped before the gateway answered";
                    Ok(GatewayTestOut::of(call.path, Err(stopped.to_owned())))
                },
            ),
        get("/payment-gateways/{id}/health")
            .about("How the last calls to a gateway went")
            .needs("payment-gateways.view_any")
            .reads(|tx, call: &Call<GatewayId>| {
                let client = call.caller.client()?;
                service::gateway(tx, client, call.path)?;
                let health = tx.get(&HEALTH, &(client, call.path))?.unwrap_or_default();
                Ok(GatewayHealthOut::of(call.path, &health))
            }),
    ]
}
