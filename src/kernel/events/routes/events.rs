//! Events: the catalogue, the feed, and what became of one.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::jobs::JobOut;
use crate::kernel::{
    api::{
        call::{Call, found},
        endpoint::{Endpoint, Shape, get},
        input::input,
        page::{Limit, Page},
    },
    boot::Kernel,
    error::Result,
    events::{
        delivery::{DELIVERIES, Lane},
        event::EventId,
        feed::{self, EventOut, Wanted},
        outbox::{EVENTS, client_key},
        plan::{Plan, When},
    },
    store::Scan,
};

struct FeedQuery {
    limit: Limit,
    /// Events behind this one.
    after: Option<EventId>,
    /// The same: `next_cursor` of the page before.
    cursor: Option<EventId>,
    r#type: Option<String>,
    entity: Option<String>,
}
input!(FeedQuery { limit, after, cursor, r#type, entity });

struct StreamQuery {
    after: Option<EventId>,
    r#type: Option<String>,
    entity: Option<String>,
}
input!(StreamQuery { after, r#type, entity });

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/event-types").about("Every event that exists, with the schema of its payload and who hears it").public().runs(
            |kernel: Arc<Kernel>, _: Call| async move {
                let types = kernel.events.iter().map(|it| EventTypeOut {
                    name: it.name,
                    version: it.version,
                    module: it.module,
                    schema: kernel.event_shapes.get(it.name).map(|shape| schema(&shape())).unwrap_or_default(),
                    listeners: kernel.bus.plans.of(it.name).iter().map(|it| ListenerOut::of(it)).collect(),
                });
                Ok(EventTypesOut { object: "list", data: types.collect() })
            },
        ),
        get("/events").about("Read the feed: events in commit order").needs("events.view_any").lists(
            |tx, call: &Call<(), FeedQuery>| {
                let FeedQuery { limit, after, cursor, r#type, entity } = &call.input;
                let wanted = Wanted { r#type: r#type.clone(), entity: entity.clone() };
                let client = call.caller.principal.client;
                let piece = feed::read(tx, client, after.or(*cursor), &wanted, limit.0)?;
                let next = piece.until.filter(|_| piece.has_more).map(|it| it.to_string());
                Ok(Page::part(piece.events.into_iter().map(EventOut::of).collect(), next))
            },
        ),
        get("/events/stream")
            .about("Hear events as they happen (server-sent events); Last-Event-ID goes on where one was")
            .needs("events.view_any")
            .streams(|kernel, call: Call<(), StreamQuery>, stop| {
                let StreamQuery { after, r#type, entity } = call.input;
                feed::stream(kernel, call.caller.principal.client, after, Wanted { r#type, entity }, stop)
            }),
        get("/events/{id}").about("Show an event").needs("events.view_any").reads(
            |tx, call: &Call<EventId, ()>| {
                let client = client_key(call.caller.principal.client);
                Ok(EventOut::of(found(tx.get(&EVENTS, &(client, call.path))?)?))
            },
        ),
        get("/events/{id}/timeline")
            .about("Show what became of an event: its deliveries with their attempts, and the events they caused")
            .needs("events.view_any")
            .reads(|tx, call: &Call<EventId, ()>| {
                let client = client_key(call.caller.principal.client);
                let event = found(tx.get(&EVENTS, &(client, call.path))?)?;
                let deliveries = tx.scan_index(&DELIVERIES, "events.by_event", Scan::prefix(&call.path));
                let jobs = deliveries.map(|it| it.and_then(|(key, row)| JobOut::with_attempts(tx, &key, row)));
                let behind = feed::read(tx, call.caller.principal.client, Some(event.id), &Wanted::default(), MOST_CAUSED)?;
                let caused = behind.events.into_iter().filter(|it| it.causation == Some(event.id));
                Ok(TimelineOut {
                    object: "timeline",
                    jobs: jobs.collect::<Result<_>>()?,
                    caused: caused.map(EventOut::of).collect(),
                    event: EventOut::of(event),
                })
            }),
    ]
}

/// Events behind one that are looked at for those it caused.
const MOST_CAUSED: usize = 1000;

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EventTypesOut {
    #[schema(value_type = String)]
    object: &'static str,
    data: Vec<EventTypeOut>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EventTypeOut {
    #[schema(value_type = String)]
    name: &'static str,
    version: u32,
    #[schema(value_type = String)]
    module: &'static str,
    /// The JSON schema of the payload.
    schema: Value,
    listeners: Vec<ListenerOut>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ListenerOut {
    #[schema(value_type = String)]
    name: &'static str,
    /// `sync`, `queue` or `scheduled`.
    #[schema(value_type = String)]
    mode: &'static str,
    /// Reaches out: at least once. Otherwise its effect happens exactly once.
    external: bool,
    /// The configuration cannot change its mode.
    pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency: Option<String>,
    queue: String,
    priority: Lane,
    tries: u32,
    backoff: Vec<u64>,
    timeout_s: u64,
}

impl ListenerOut {
    fn of(plan: &Plan) -> ListenerOut {
        let (mode, frequency) = match &plan.when {
            When::Sync => ("sync", None),
            When::Queue => ("queue", None),
            When::Scheduled(frequency) => ("scheduled", Some(frequency.to_string())),
        };
        ListenerOut {
            name: plan.listener.name,
            mode,
            external: plan.listener.is_external(),
            pinned: plan.listener.mode == crate::kernel::events::event::Mode::Sync,
            frequency,
            queue: plan.queue.clone(),
            priority: plan.lane,
            tries: plan.retry.tries,
            backoff: plan.retry.backoff_s.clone(),
            timeout_s: plan.timeout.as_secs(),
        }
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TimelineOut {
    #[schema(value_type = String)]
    object: &'static str,
    event: EventOut,
    jobs: Vec<JobOut>,
    caused: Vec<EventOut>,
}

/// One schema that stands alone: what it refers to is in `$defs`.
fn schema(shape: &Shape) -> Value {
    let Some((_, schema)) = &shape.schema else { return Value::Null };
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    let defs: Map<String, Value> = shape
        .referred
        .iter()
        .filter_map(|(name, schema)| Some((name.clone(), serde_json::to_value(schema).ok()?)))
        .collect();
    if !defs.is_empty()
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("$defs".into(), json!(defs));
    }
    let text = schema.to_string().replace("#/components/schemas/", "#/$defs/");
    serde_json::from_str(&text).unwrap_or(schema)
}
