//! `coffer events`: what became of events, and running what is due.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    local::{Backend, filtered},
    module::compiled_in,
    output::Answer,
};

#[derive(Subcommand)]
pub enum Events {
    /// List the events there are, with who hears them: the names the configuration knows
    Types,
    /// List deliveries, the newest first: what was sent, waits, failed
    List(List),
    /// Show an event with all that became of it, or one delivery with its attempts
    Show(Show),
    /// Run deliveries now, also ones that failed or were canceled; each gets another try
    Retry(Retry),
    /// Call deliveries off
    Cancel(Cancel),
    /// What is done by the clock
    #[command(subcommand)]
    Scheduled(Scheduled),
}

#[derive(Args)]
pub struct List {
    /// Id or slug of a client; everybody's deliveries unless given
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// pending, processing, sent, failed, canceled, suppressed or expired
    #[arg(long)]
    status: Option<String>,
    /// The name of an event: withdrawal.requested
    #[arg(long = "type", value_name = "EVENT")]
    event_type: Option<String>,
    /// A listener, or a kind of target such as mail or webhook
    #[arg(long)]
    listener: Option<String>,
    #[arg(long)]
    queue: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Args)]
pub struct Show {
    /// evt_… or dlv_…
    id: String,
    /// Id or slug of the client it happened in; found out unless given, if the event was delivered to anybody
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
}

#[derive(Args)]
pub struct Retry {
    /// dlv_…, one or more
    #[arg(required_unless_present = "failed", conflicts_with = "failed", value_name = "DELIVERY")]
    ids: Vec<String>,
    /// Every delivery that failed, instead
    #[arg(long)]
    failed: bool,
    /// With --failed: only those of one cause, a fingerprint of `events list`
    #[arg(long, requires = "failed")]
    fingerprint: Option<String>,
    /// With --failed: only of this listener or kind of target
    #[arg(long, requires = "failed")]
    listener: Option<String>,
    /// With --failed: only of this client, id or slug
    #[arg(long, requires = "failed", value_name = "CLIENT")]
    client: Option<String>,
}

#[derive(Args)]
pub struct Cancel {
    /// dlv_…, one or more
    #[arg(required = true, value_name = "DELIVERY")]
    ids: Vec<String>,
}

#[derive(Subcommand)]
pub enum Scheduled {
    /// Do everything that is due now; a server does so by itself unless events.enabled is off
    Run,
    /// Forget what is older than events.retention_* say; a server does so by itself, every hour
    Cleanup,
}

const COLUMNS: &[&str] =
    &["id", "state", "event_type", "listener", "target", "tries_used", "due_at", "error", "created_at"];
const DELIVERY: &[&str] = &[
    "id",
    "status",
    "state",
    "client_id",
    "event_id",
    "event_type",
    "listener",
    "target",
    "queue",
    "priority",
    "tries_used",
    "tries",
    "due_at",
    "error",
    "fingerprint",
    "created_at",
    "finished_at",
];
const EVENT: &[&str] = &["id", "type", "client_id", "entity", "actor", "occurred_at", "causation", "payload"];
const ATTEMPTS: &[&str] =
    &["number", "started_at", "outcome", "duration_ms", "http_status", "error", "response"];

impl Events {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Events::Types => types().await,
            Events::List(list) => list.run(&context.reading().await?).await,
            Events::Show(show) => show.run(&context.reading().await?).await,
            Events::Retry(retry) if retry.failed => retry.all(&context.by_hand().await?).await,
            Events::Retry(retry) => each(&context.by_hand().await?, &retry.ids, "retry").await,
            Events::Cancel(cancel) => each(&context.by_hand().await?, &cancel.ids, "cancel").await,
            Events::Scheduled(Scheduled::Run) => {
                let run = context.by_hand().await?.post("/schedules/run", json!({})).send().await?;
                let exit = if run["failed"] == 0 { 0 } else { PROBLEMS_FOUND };
                let answer =
                    Answer::object(run, &["succeeded", "failed", "running", "next_due_at"]).exits(exit);
                Ok(if exit == 0 {
                    answer
                } else {
                    answer.followed_by(
                        "\n`coffer events list --status failed` and `--status pending` show why.",
                    )
                })
            }
            Events::Scheduled(Scheduled::Cleanup) => {
                let cleanup = context.by_hand().await?.post("/schedules/cleanup", json!({})).send().await?;
                Ok(Answer::object(cleanup, &["deliveries", "dedupe_keys", "events"]))
            }
        }
    }
}

async fn types() -> Result<Answer, Failure> {
    let app = compiled_in(None)?;
    let types = Backend::of(app.kernel()).get("/event-types").send().await?;
    let rows = types["data"].as_array().map(Vec::as_slice).unwrap_or_default().iter();
    let rows = rows.map(|it| {
        let listeners = it["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names: Vec<&Value> = listeners.iter().map(|it| &it["name"]).collect();
        json!({ "name": it["name"], "version": it["version"], "module": it["module"], "listeners": names })
    });
    let shown = Answer::list(
        json!({ "data": rows.collect::<Vec<_>>() }),
        &["name", "version", "module", "listeners"],
        "There are none.",
    );
    Ok(shown.saying(types))
}

impl List {
    async fn run(&self, backend: &Backend) -> Result<Answer, Failure> {
        let client = backend.client_named(self.client.as_deref()).await?;
        let path = filtered(
            "/jobs",
            &[
                ("status", self.status.as_deref()),
                ("event_type", self.event_type.as_deref()),
                ("listener", self.listener.as_deref()),
                ("queue", self.queue.as_deref()),
            ],
        );
        let list = backend.list(&path, client.as_deref(), self.limit as usize).await?;
        let has_more = list["has_more"] == true;
        let answer = Answer::list(list, COLUMNS, "No such deliveries.");
        Ok(if has_more { answer.followed_by("There are more: raise --limit.") } else { answer })
    }
}

impl Show {
    async fn run(&self, backend: &Backend) -> Result<Answer, Failure> {
        let client = backend.client_named(self.client.as_deref()).await?;
        if self.id.starts_with("dlv_") {
            let job = backend.get(format!("/jobs/{}", self.id)).client(client.as_deref()).send().await?;
            let attempts = job["attempts"].clone();
            return Ok(Answer::object(job, DELIVERY).above(&attempts, ATTEMPTS));
        }
        let client = match client {
            Some(client) => Some(client),
            None => client_of(backend, &self.id).await?,
        };
        let path = format!("/events/{}/timeline", self.id);
        let timeline = backend.get(path).client(client.as_deref()).send().await?;
        let (event, jobs, caused) =
            (timeline["event"].clone(), timeline["jobs"].clone(), timeline["caused"].clone());
        let answer = Answer::object(event, EVENT)
            .above(&jobs, &["id", "state", "listener", "target", "tries_used", "due_at", "error"])
            .above(&caused, &["id", "type", "entity", "occurred_at"]);
        Ok(answer.saying(timeline))
    }
}

/// Events are kept by client; the deliveries of one say whose it is.
async fn client_of(backend: &Backend, event: &str) -> Result<Option<String>, Failure> {
    let jobs = backend.list(&filtered("/jobs", &[("event_id", Some(event))]), None, 1).await?;
    Ok(jobs["data"][0]["client_id"].as_str().map(str::to_owned))
}

/// Every one, until one is refused.
async fn each(backend: &Backend, ids: &[String], verb: &str) -> Result<Answer, Failure> {
    let mut jobs = vec![];
    for id in ids {
        jobs.push(backend.post(format!("/jobs/{id}/{verb}"), json!({})).send().await?);
    }
    Ok(Answer::list(json!({ "object": "list", "data": jobs }), COLUMNS, ""))
}

impl Retry {
    /// Written down first, then worked off piece by piece: by the server, or by the next one to start.
    async fn all(&self, backend: &Backend) -> Result<Answer, Failure> {
        let client = backend.client_named(self.client.as_deref()).await?;
        let mut body = json!({});
        for (name, value) in [("fingerprint", &self.fingerprint), ("listener", &self.listener)] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        let ask = backend.post("/dead-letters/retry", body).client(client.as_deref());
        let mut bulk = ask.send().await?;
        let id = bulk["id"].as_str().unwrap_or_default().to_owned();
        for _ in 0..100 {
            if bulk["status"] == "finished" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let path = format!("/dead-letters/retries/{id}");
            bulk = backend.get(path).client(client.as_deref()).send().await?;
        }
        Ok(Answer::object(bulk, &["id", "status", "retried", "skipped", "created_at", "finished_at"]))
    }
}
