//! `coffer notifications`: mails and short messages on their way.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    local::{Backend, filtered},
    output::Answer,
};

#[derive(Subcommand)]
pub enum Notifications {
    /// What is sent, waits or failed
    #[command(subcommand)]
    Outbox(Outbox),
}

#[derive(Subcommand)]
pub enum Outbox {
    /// Send what is ready now; a server does so by itself unless events.enabled is off
    Process(Process),
    /// List a client's mails and short messages, the newest first
    List(List),
    /// Send one once more, now
    Retry(Retry),
}

#[derive(Args)]
pub struct Process {
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Id or slug of a client; everybody's unless given
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
}

#[derive(Args)]
pub struct List {
    /// Id or slug of the client
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// pending, processing, sent, failed, canceled, suppressed or expired
    #[arg(long)]
    status: Option<String>,
    /// mail or sms
    #[arg(long)]
    channel: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Args)]
pub struct Retry {
    /// dlv_…
    id: String,
}

const COLUMNS: &[&str] = &[
    "id",
    "status",
    "state",
    "channel",
    "recipient",
    "event_type",
    "tries_used",
    "due_at",
    "error",
    "created_at",
];
const COUNTS: [&str; 6] = ["processed", "sent", "waiting", "failed", "running", "dropped"];
/// The most one request takes.
const AT_ONCE: u32 = 1000;

impl Notifications {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let Notifications::Outbox(outbox) = self;
        match outbox {
            Outbox::Process(process) => process.run(&context.by_hand().await?).await,
            Outbox::List(list) => list.run(&context.reading().await?).await,
            Outbox::Retry(retry) => retry.run(&context.by_hand().await?).await,
        }
    }
}

impl Process {
    /// A request sends for some seconds: as many as it takes.
    async fn run(&self, backend: &Backend) -> Result<Answer, Failure> {
        let client = backend.client_named(self.client.as_deref()).await?;
        let mut totals = [0u64; COUNTS.len()];
        let mut left = self.limit;
        while left > 0 {
            let body = json!({ "limit": left.min(AT_ONCE) });
            let ask = backend.post("/notification-outbox/process", body).client(client.as_deref());
            let run = ask.send().await?;
            for (total, name) in totals.iter_mut().zip(COUNTS) {
                *total += run[name].as_u64().unwrap_or(0);
            }
            match run["processed"].as_u64().unwrap_or(0) {
                0 => break,
                taken => left = left.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX)),
            }
        }
        let mut run = json!({ "object": "outbox_run" });
        for (total, name) in totals.into_iter().zip(COUNTS) {
            run[name] = total.into();
        }
        let exit = if run["failed"] == 0 { 0 } else { PROBLEMS_FOUND };
        Ok(Answer::object(run, &COUNTS).exits(exit))
    }
}

impl List {
    async fn run(&self, backend: &Backend) -> Result<Answer, Failure> {
        let client = backend.client_id(&self.client).await?;
        let filters = [("status", self.status.as_deref()), ("channel", self.channel.as_deref())];
        let path = filtered("/notification-outbox", &filters);
        let list = backend.list(&path, Some(&client), self.limit as usize).await?;
        let has_more = list["has_more"] == true;
        let answer = Answer::list(list, COLUMNS, "No mails and no short messages.");
        Ok(if has_more { answer.followed_by("There are more: raise --limit.") } else { answer })
    }
}

impl Retry {
    async fn run(&self, backend: &Backend) -> Result<Answer, Failure> {
        // A delivery says whose it is, so nobody has to.
        let job = backend.get(format!("/jobs/{}", self.id)).send().await?;
        let client = job["client_id"].as_str();
        let ask = backend.post(format!("/notification-outbox/{}/retry", self.id), json!({}));
        let sent: Value = ask.client(client).send().await?;
        Ok(Answer::object(sent, COLUMNS))
    }
}
