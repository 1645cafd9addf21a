//! `coffer queue`: how much waits, and holding it back.

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, exit::Failure, output::Answer};

#[derive(Subcommand)]
pub enum Queue {
    /// List the queues: what waits in them, and whether they are held back
    List(Of),
    /// Hold a queue back: nothing in it runs until it is resumed
    Pause(One),
    /// Let a queue run again
    Resume(One),
}

#[derive(Args)]
pub struct Of {
    /// Id or slug of a client; for everybody unless given
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
}

#[derive(Args)]
pub struct One {
    /// default, mail, webhooks, …
    queue: String,
    #[command(flatten)]
    of: Of,
}

const FIELDS: &[&str] = &["name", "status", "ready", "oldest_at", "paused_at", "paused_by"];

impl Queue {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Queue::List(of) => {
                let backend = context.reading().await?;
                let client = backend.client_named(of.client.as_deref()).await?;
                let queues = backend.get("/queues").client(client.as_deref()).send().await?;
                Ok(Answer::list(queues, FIELDS, "There are no queues."))
            }
            Queue::Pause(one) => one.turn(context, "pause").await,
            Queue::Resume(one) => one.turn(context, "resume").await,
        }
    }
}

impl One {
    async fn turn(&self, context: &Context, verb: &str) -> Result<Answer, Failure> {
        let backend = context.by_hand().await?;
        let client = backend.client_named(self.of.client.as_deref()).await?;
        let ask = backend.post(format!("/queues/{}/{verb}", self.queue), json!({}));
        Ok(Answer::object(ask.client(client.as_deref()).send().await?, FIELDS))
    }
}
