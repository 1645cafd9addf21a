//! `coffer client`: the tenants of the installation.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::{Context, exit::Failure, local::Backend, output::Answer};

#[derive(Subcommand)]
pub enum Client {
    /// Make a client; its first keys are shown once
    Create(Create),
    /// List the clients
    List,
    /// Show a client
    Show(Named),
    /// Let a deactivated client back in
    Activate(Named),
    /// Refuse every key and session of a client until it is activated again
    Deactivate(Named),
}

#[derive(Args)]
pub struct Create {
    /// What people call it: "Northwind Pay"
    #[arg(long)]
    name: String,
    /// Unique in the installation; made from the name unless given
    #[arg(long)]
    slug: Option<String>,
    /// Whether its money is real
    #[arg(long, value_enum, default_value = "test")]
    mode: Mode,
    /// Its default currency, which stays once money was posted
    #[arg(long, value_name = "CODE", default_value = "USD")]
    currency: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Live,
    Test,
}

#[derive(Args)]
pub struct Named {
    /// Id or slug
    client: String,
}

const FIELDS: &[&str] = &["id", "name", "slug", "mode", "is_active", "default_currency", "created_at"];

impl Client {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Client::Create(create) => create.run(context).await,
            Client::List => {
                let backend = context.reading().await?;
                let clients = backend.list("/clients", None, usize::MAX).await?;
                let columns = ["id", "slug", "name", "mode", "is_active", "created_at"];
                Ok(Answer::list(
                    clients,
                    &columns,
                    "No clients yet: make one with `coffer client create --name NAME`.",
                ))
            }
            Client::Show(named) => {
                let backend = context.reading().await?;
                let id = backend.client_id(&named.client).await?;
                Ok(Answer::object(backend.get(format!("/clients/{id}")).send().await?, FIELDS))
            }
            Client::Activate(named) => named.turn("activate", &context.changing().await?).await,
            Client::Deactivate(named) => named.turn("deactivate", &context.changing().await?).await,
        }
    }
}

impl Create {
    async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let slug = self.slug.unwrap_or_else(|| slug_of(&self.name));
        let mode = match self.mode {
            Mode::Live => "live",
            Mode::Test => "test",
        };
        let body =
            json!({ "name": self.name, "slug": slug, "mode": mode, "default_currency": self.currency });
        let client = context.changing().await?.post("/clients", body).send().await?;
        let fields = [FIELDS, &["secret_key", "publishable_key"]].concat();
        Ok(Answer::object(client, &fields).followed_by("\nThe secret key is shown only now: keep it."))
    }
}

impl Named {
    async fn turn(&self, verb: &str, backend: &Backend) -> Result<Answer, Failure> {
        let id = backend.client_id(&self.client).await?;
        let client =
            backend.post(format!("/clients/{id}/{verb}"), json!({})).header("if-match", "*").send().await?;
        Ok(Answer::object(client, FIELDS))
    }
}

/// "Northwind Pay" → `northwind-pay`.
fn slug_of(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|it: char| !it.is_ascii_alphanumeric()).filter(|it| !it.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_the_name_in_small_letters_with_hyphens() {
        for (name, slug) in [("Northwind Pay", "northwind-pay"), ("  A & B, Ltd. ", "a-b-ltd"), ("42", "42")]
        {
            assert_eq!(slug_of(name), slug);
        }
    }
}
