//! What people do with endpoints.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    KIND,
    contract::WebhookRefusal,
    events::{WebhookEndpointDisabled, WebhookEndpointEnabled},
    model::{
        DisabledBecause, Endpoint, EndpointSecret, EndpointStatus, Gate, Health, PAUSE_S, Replay,
        WebhookEndpointId,
    },
    repository::{BY_EXTERNAL_ID, ENDPOINTS},
    routes::{
        deliveries::{WebhookDeliveryOut, out as delivery_out},
        endpoints::{
            ReplayIn, RotateSecretIn, WebhookEndpointDeletedOut, WebhookEndpointIn, WebhookEndpointOut,
            WebhookEndpointPatchIn, WebhookEndpointSecretOut,
        },
    },
    signature::text_of,
    timer::try_one,
};
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        input::{Change, Flaw, Flawed, Flaws},
        object::{Stamp, check_external_id, save},
        principal::ClientId,
    },
    error::Result,
    events::{
        bus::Bus,
        delivery::{Delivery, DeliveryId},
        enqueue::NewDelivery,
        retry::RetryPolicy,
    },
    net::{Forbidden, Net, NetError, Vetted},
    secret::Secrets,
    store::{ReadTx, Scan, WriteTx},
};

const MOST_ENDPOINTS: usize = 200;
const MOST_FILTERS: usize = 100;
const MOST_PER_S: u32 = 1000;
const MOST_SECRETS: usize = 5;
/// How long a secret signs beside the one that replaced it, unless said otherwise: a day to deploy the new one.
const GRACE_S: u64 = 24 * 3600;
const MOST_GRACE_S: u64 = 7 * 24 * 3600;
/// A name that is not resolved by then is taken on trust; it is looked up again at every attempt.
const LOOK_UP: Duration = Duration::from_secs(3);

/// A URL, and what came of looking at it before the transaction.
pub type Looked = Result<Vetted, Forbidden>;

pub struct WebhookService {
    net: Arc<Net>,
    secrets: Arc<Secrets>,
}

/// What sealed secrets of an endpoint are bound to.
pub fn sealed_at(endpoint: WebhookEndpointId) -> String {
    format!("notification.webhook_endpoints/{endpoint}/secret")
}

impl WebhookService {
    pub fn new(net: Arc<Net>, secrets: Arc<Secrets>) -> WebhookService {
        WebhookService { net, secrets }
    }

    /// Looks where a URL leads, its name too. With no transaction open.
    pub async fn look(self: Arc<Self>, url: String) -> Looked {
        let vetted = self.net.vet(&url)?;
        match tokio::time::timeout(LOOK_UP, self.net.look_up(&vetted)).await {
            Ok(Err(NetError::Forbidden(why))) => Err(why),
            _ => Ok(vetted),
        }
    }

    /// Makes an endpoint. Refuses `too_many_webhook_endpoints`, `external_id_taken`,
    /// `url_forbidden`.
    pub fn create(
        &self,
        tx: &mut WriteTx,
        call: &Call<(), WebhookEndpointIn>,
        url: Looked,
    ) -> Result<WebhookEndpointSecretOut> {
        let (client, input) = (call.caller.client()?, &call.input);
        check(tx, Some(&input.event_types), input.description.as_deref(), input.rate_per_s)?;
        check_external_id(tx, &ENDPOINTS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;
        if tx.scan(&ENDPOINTS, Scan::prefix(&client)).take(MOST_ENDPOINTS).count() == MOST_ENDPOINTS {
            return Err(WebhookRefusal::TooManyWebhookEndpoints { limit: MOST_ENDPOINTS as u64 }.into());
        }
        let url = url.map_err(WebhookRefusal::from)?.to_string();

        let id = tx.new_id();
        let (secret, sealed) = self.make_secret(tx, id)?;
        let endpoint = Endpoint {
            id,
            url,
            event_types: input.event_types.clone(),
            description: input.description.clone(),
            rate_per_s: input.rate_per_s,
            disabled: match input.status {
                Some(EndpointStatus::Disabled) => Some(DisabledBecause::Asked),
                None | Some(EndpointStatus::Active) => None,
            },
            secrets: vec![sealed],
            health: Health::default(),
            gate: Gate::Open,
            releasing: None,
            replay: None,
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        tx.insert(&ENDPOINTS, &(client, id), &endpoint)?;
        Ok(WebhookEndpointSecretOut { endpoint: shown(tx, &endpoint), secret })
    }

    /// Changes what is given. Refuses `url_forbidden`.
    pub fn change(
        &self,
        tx: &mut WriteTx,
        call: &Call<WebhookEndpointId, WebhookEndpointPatchIn>,
        url: Option<Looked>,
    ) -> Result<WebhookEndpointOut> {
        let (client, mut endpoint) = get(tx, &call.caller, call.path)?;
        call.caller.check_version(endpoint.stamp.version)?;
        let WebhookEndpointPatchIn { url: _, event_types, description, rate_per_s, metadata } = &call.input;
        let text = match description {
            Change::Set(text) => Some(text.as_str()),
            Change::Keep | Change::Clear => None,
        };
        let rate = match rate_per_s {
            Change::Set(rate) => Some(*rate),
            Change::Keep | Change::Clear => None,
        };
        check(tx, event_types.as_deref(), text, rate)?;
        let url = url.transpose().map_err(WebhookRefusal::from)?;

        if let Some(url) = url {
            endpoint.url = url.to_string();
        }
        if let Some(event_types) = event_types {
            endpoint.event_types.clone_from(event_types);
        }
        apply(&mut endpoint.description, description);
        apply(&mut endpoint.rate_per_s, rate_per_s);
        if let Some(metadata) = metadata {
            endpoint.stamp.metadata.merge(metadata.clone());
        }
        save(tx, &ENDPOINTS, &(client, endpoint.id), &mut endpoint)?;
        Ok(shown(tx, &endpoint))
    }

    /// Deletes an endpoint. What waits for it is canceled.
    pub fn delete(
        &self,
        tx: &mut WriteTx,
        call: &Call<WebhookEndpointId>,
    ) -> Result<WebhookEndpointDeletedOut> {
        let (client, endpoint) = get(tx, &call.caller, call.path)?;
        call.caller.check_version(endpoint.stamp.version)?;

        tx.delete(&ENDPOINTS, &(client, endpoint.id))?;
        // They find nobody and are canceled. Of what waits beyond that, the seven days end.
        tx.unblock(KIND, &endpoint.id.to_string(), 10_000)?;
        Ok(WebhookEndpointDeletedOut::of(endpoint.id, ()))
    }

    /// Gives an endpoint a new secret; the others sign beside it for `grace_s` more seconds. Refuses
    /// `too_many_webhook_secrets`.
    pub fn rotate_secret(
        &self,
        tx: &mut WriteTx,
        call: &Call<WebhookEndpointId, RotateSecretIn>,
    ) -> Result<WebhookEndpointSecretOut> {
        let (client, mut endpoint) = get(tx, &call.caller, call.path)?;
        let now = tx.now();
        let grace_s = call.input.grace_s.unwrap_or(GRACE_S);
        if grace_s > MOST_GRACE_S {
            let message = format!("must be at most {MOST_GRACE_S}");
            return Err(Flaw::new("grace_s", "out_of_range", message).into());
        }
        let until = now.after(Duration::from_secs(grace_s));
        let mut kept = endpoint.secrets.clone();
        for secret in &mut kept {
            secret.valid_until = Some(secret.valid_until.unwrap_or(until).min(until));
        }
        kept.retain(|it| it.is_live(now));
        if kept.len() >= MOST_SECRETS {
            return Err(WebhookRefusal::TooManyWebhookSecrets { limit: MOST_SECRETS as u64 }.into());
        }

        let (secret, sealed) = self.make_secret(tx, endpoint.id)?;
        endpoint.secrets = [vec![sealed], kept].concat();
        save(tx, &ENDPOINTS, &(client, endpoint.id), &mut endpoint)?;
        Ok(WebhookEndpointSecretOut { endpoint: shown(tx, &endpoint), secret })
    }

    /// Lets messages go again: one first, and when it is taken all that waited. Doing so twice changes nothing.
    pub fn enable(&self, tx: &mut WriteTx, call: &Call<WebhookEndpointId>) -> Result<WebhookEndpointOut> {
        let (client, mut endpoint) = get(tx, &call.caller, call.path)?;
        if endpoint.disabled.is_none() && !matches!(endpoint.gate, Gate::Shut { .. }) {
            return Ok(shown(tx, &endpoint));
        }

        let was_disabled = endpoint.disabled.take().is_some();
        endpoint.health = Health::default();
        endpoint.gate = Gate::Probing { probe: None, pause_s: PAUSE_S };
        save(tx, &ENDPOINTS, &(client, endpoint.id), &mut endpoint)?;
        try_one(tx, client, &endpoint)?;
        if was_disabled {
            let (webhook_endpoint_id, url) = (endpoint.id, endpoint.url.clone());
            tx.publish(&call.caller, &WebhookEndpointEnabled { webhook_endpoint_id, url })?;
        }
        Ok(shown(tx, &endpoint))
    }

    /// Holds messages back. Doing so twice changes nothing.
    pub fn disable(&self, tx: &mut WriteTx, call: &Call<WebhookEndpointId>) -> Result<WebhookEndpointOut> {
        let (_, mut endpoint) = get(tx, &call.caller, call.path)?;
        if endpoint.status() == EndpointStatus::Disabled {
            return Ok(shown(tx, &endpoint));
        }

        disable(tx, &call.caller, &mut endpoint, DisabledBecause::Asked)?;
        Ok(shown(tx, &endpoint))
    }

    /// Sends a message that says nothing happened, once, in whatever state the endpoint is. Its health does not
    /// count it.
    pub fn test(&self, tx: &mut WriteTx, call: &Call<WebhookEndpointId>) -> Result<WebhookDeliveryOut> {
        let (client, endpoint) = get(tx, &call.caller, call.path)?;

        let message = NewDelivery::to(KIND, endpoint.id.to_string())
            .of_client(Some(client))
            // Not behind those that wait for a slow endpoint.
            .group(format!("{}/test", endpoint.id))
            .retry(RetryPolicy::exact(1, &[]));
        let id = tx.enqueue(message)?.id;
        shown_delivery(tx, client, id)
    }

    /// Begins to tell the events of a span of time again. Refuses `replay_running`.
    pub fn replay(
        &self,
        tx: &mut WriteTx,
        call: &Call<WebhookEndpointId, ReplayIn>,
    ) -> Result<WebhookEndpointOut> {
        let (client, mut endpoint) = get(tx, &call.caller, call.path)?;
        let ReplayIn { from, to, types } = &call.input;
        let to = to.unwrap_or(tx.now());
        if *from >= to || to > tx.now() {
            return Err(Flaw::new("to", "out_of_range", "must be after `from`, and not in the future").into());
        }
        if let Some(types) = types {
            check_filters(tx, "types", types)?;
        }
        if endpoint.replay.is_some() {
            return Err(WebhookRefusal::ReplayRunning.into());
        }

        endpoint.replay = Some(Replay { from: *from, to, types: types.clone(), cursor: None, messages: 0 });
        tx.put(&ENDPOINTS, &(client, endpoint.id), &endpoint)?;
        if let Some(bus) = tx.extension::<Bus>() {
            tx.on_commit(Box::new(move || bus.bell.ring()));
        }
        Ok(shown(tx, &endpoint))
    }

    /// Sends a message again, under its own `webhook-id`. Refuses `job_running`.
    pub fn redeliver(&self, tx: &mut WriteTx, call: &Call<DeliveryId>) -> Result<WebhookDeliveryOut> {
        of_client(tx, call.caller.client()?, call.path)?;
        let row = tx.redeliver(call.path)?;
        delivery_out(tx, call.path, row)
    }

    /// A message of the client.
    pub fn show_delivery(&self, tx: &ReadTx, call: &Call<DeliveryId>) -> Result<WebhookDeliveryOut> {
        shown_delivery(tx, call.caller.client()?, call.path)
    }

    pub fn show(&self, tx: &ReadTx, call: &Call<WebhookEndpointId>) -> Result<WebhookEndpointOut> {
        Ok(shown(tx, &get(tx, &call.caller, call.path)?.1))
    }

    fn make_secret(&self, tx: &mut WriteTx, id: WebhookEndpointId) -> Result<(String, EndpointSecret)> {
        let secret: [u8; 32] = tx.random_bytes();
        let sealed = self.secrets.seal(&sealed_at(id), &secret, tx.random_bytes())?;
        Ok((text_of(&secret), EndpointSecret { sealed, created_at: tx.now(), valid_until: None }))
    }
}

/// Holds messages back, and says so.
pub fn disable(
    tx: &mut WriteTx,
    caller: &Caller,
    endpoint: &mut Endpoint,
    reason: DisabledBecause,
) -> Result<()> {
    endpoint.disabled = Some(reason);
    endpoint.releasing = None;
    endpoint.gate = Gate::Open;
    save(tx, &ENDPOINTS, &(caller.client()?, endpoint.id), endpoint)?;
    let (webhook_endpoint_id, url) = (endpoint.id, endpoint.url.clone());
    let (reason, failures) = (reason.to_string(), endpoint.health.failures);
    tx.publish(caller, &WebhookEndpointDisabled { webhook_endpoint_id, url, reason, failures })?;
    Ok(())
}

/// An endpoint of the client the caller acts in.
fn get(tx: &ReadTx, caller: &Caller, id: WebhookEndpointId) -> Result<(ClientId, Endpoint)> {
    let client = caller.client()?;
    Ok((client, found(tx.get(&ENDPOINTS, &(client, id))?)?))
}

fn shown(tx: &ReadTx, endpoint: &Endpoint) -> WebhookEndpointOut {
    WebhookEndpointOut::of(endpoint.id, endpoint, tx.now())
}

fn of_client(tx: &ReadTx, client: ClientId, id: DeliveryId) -> Result<Delivery> {
    let row = tx.delivery(id)?.filter(|(owner, row)| *owner == client && row.listener == KIND);
    found(row).map(|it| it.1)
}

fn shown_delivery(tx: &ReadTx, client: ClientId, id: DeliveryId) -> Result<WebhookDeliveryOut> {
    let row = of_client(tx, client, id)?;
    delivery_out(tx, id, row)
}

fn apply<T: Clone>(field: &mut Option<T>, change: &Change<T>) {
    match change {
        Change::Keep => {}
        Change::Clear => *field = None,
        Change::Set(value) => *field = Some(value.clone()),
    }
}

/// Everything wrong with what was given, at once.
fn check(
    tx: &WriteTx,
    event_types: Option<&[String]>,
    description: Option<&str>,
    rate_per_s: Option<u32>,
) -> Result<()> {
    let mut flaws = vec![];
    if let Some(event_types) = event_types {
        flaws.extend(filter_flaws(tx, "event_types", event_types));
    }
    if description.is_some_and(|it| it.chars().count() > 200) {
        flaws.push(Flaw::new("description", "out_of_range", "must have at most 200 characters"));
    }
    if rate_per_s.is_some_and(|it| !(1..=MOST_PER_S).contains(&it)) {
        flaws.push(Flaw::new("rate_per_s", "out_of_range", format!("must be from 1 to {MOST_PER_S}")));
    }
    if flaws.is_empty() { Ok(()) } else { Err(Flawed(flaws).into()) }
}

fn check_filters(tx: &WriteTx, param: &str, filters: &[String]) -> Result<()> {
    let flaws = filter_flaws(tx, param, filters);
    if flaws.is_empty() { Ok(()) } else { Err(Flawed(flaws).into()) }
}

/// A filter that no event can ever match is a mistake.
fn filter_flaws(tx: &WriteTx, param: &str, filters: &[String]) -> Flaws {
    if filters.is_empty() || filters.len() > MOST_FILTERS {
        return vec![Flaw::new(param, "out_of_range", format!("must have 1 to {MOST_FILTERS} entries"))];
    }
    let names: BTreeSet<&str> = tx.extension::<Bus>().map(|it| it.names.clone()).unwrap_or_default();
    let takes_any = |filter: &str| names.iter().any(|it| super::model::matches(filter, it));
    let unknown = filters.iter().enumerate().filter(|(_, filter)| !takes_any(filter));
    let flaw = |(place, filter): (usize, &String)| {
        let message = format!("{filter} is no event type; `GET event-types` lists them");
        Flaw::new(&format!("{param}[{place}]"), "invalid_format", message)
    };
    unknown.map(flaw).collect()
}
