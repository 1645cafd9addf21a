//! `coffer key`: the API keys of a client.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{Context, exit::Failure, output::Answer};

#[derive(Subcommand)]
pub enum Key {
    /// Make a key; it is shown once
    Create(Create),
    /// List the keys of a client
    List(Of),
    /// Replace a key's text; the new one is shown once, the old one stays good for a while
    Rotate(Rotate),
    /// Make a key useless at once
    Revoke(One),
}

#[derive(Args)]
pub struct Of {
    /// Id or slug of the client
    #[arg(long, value_name = "CLIENT")]
    client: String,
}

#[derive(Args)]
pub struct One {
    /// Its id: key_…
    key: String,
    #[command(flatten)]
    of: Of,
}

#[derive(Args)]
pub struct Rotate {
    #[command(flatten)]
    one: One,
    /// Seconds the old text stays good: a day unless given, 0 ends it at once
    #[arg(long, value_name = "SECONDS")]
    grace_s: Option<u64>,
}

#[derive(Args)]
pub struct Create {
    /// What it is for: "nightly payouts"
    #[arg(long)]
    name: String,
    #[command(flatten)]
    of: Of,
    #[arg(long, value_enum, default_value = "secret")]
    kind: Kind,
    /// resource:read, resource:write or resource:approve, repeatable; a secret key has all unless given
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// When it stops working, RFC 3339; never unless given
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// A network it may be used from, such as 10.0.0.0/8, repeatable; from anywhere unless given
    #[arg(long = "ip", value_name = "NETWORK")]
    ips: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Kind {
    Secret,
    Publishable,
}

const FIELDS: &[&str] = &[
    "id",
    "name",
    "kind",
    "status",
    "scopes",
    "ip_allow_list",
    "expires_at",
    "previous_valid_until",
    "created_at",
    "secret_key",
    "publishable_key",
];
const SHOWN_ONCE: &str = "\nThe key is shown only now: keep it.";

impl Key {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Key::Create(create) => create.run(context).await,
            Key::List(of) => {
                let backend = context.reading().await?;
                let client = backend.client_id(&of.client).await?;
                let keys = backend.list("/api-keys", Some(&client), usize::MAX).await?;
                let columns = ["id", "name", "kind", "status", "scopes", "expires_at", "last_used_at"];
                Ok(Answer::list(keys, &columns, "No keys."))
            }
            Key::Rotate(rotate) => {
                let body = rotate.grace_s.map_or(json!({}), |it| json!({ "grace_s": it }));
                Ok(rotate.one.act("rotate", body, context).await?.followed_by(SHOWN_ONCE))
            }
            Key::Revoke(one) => one.act("revoke", json!({}), context).await,
        }
    }
}

impl One {
    async fn act(&self, verb: &str, body: Value, context: &Context) -> Result<Answer, Failure> {
        let backend = context.changing().await?;
        let client = backend.client_id(&self.of.client).await?;
        let ask = backend.post(format!("/api-keys/{}/{verb}", self.key), body).client(Some(&client));
        Ok(Answer::object(ask.header("if-match", "*").send().await?, FIELDS))
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let is_secret = self.kind == Kind::Secret;
        let mut scopes = self.scopes;
        if is_secret && scopes.is_empty() {
            scopes = ["*:read", "*:write", "*:approve"].map(str::to_owned).into();
        }
        let mut body = Map::new();
        body.insert("name".into(), self.name.into());
        body.insert("kind".into(), if is_secret { "secret" } else { "publishable" }.into());
        if !scopes.is_empty() {
            body.insert("scopes".into(), scopes.into());
        }
        if let Some(at) = self.expires_at {
            body.insert("expires_at".into(), at.into());
        }
        if !self.ips.is_empty() {
            body.insert("ip_allow_list".into(), self.ips.into());
        }
        let backend = context.changing().await?;
        let client = backend.client_id(&self.of.client).await?;
        let key = backend.post("/api-keys", body.into()).client(Some(&client)).send().await?;
        Ok(Answer::object(key, FIELDS).followed_by(SHOWN_ONCE))
    }
}
