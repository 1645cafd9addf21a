//! `coffer module`: what the binary consists of, and how its parts do.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    local::Backend,
    output::Answer,
};
use crate::{app::App, config::Config, kernel::clock::Clock};

#[derive(Subcommand)]
pub enum Module {
    /// List the modules in the order they register
    List(List),
    /// Show a module: its tables, routes, migrations and health
    Show(Show),
    /// List the services that can be looked up by name
    Services,
    /// List the id prefixes and what each names
    Aliases,
}

#[derive(Args)]
pub struct List {
    /// Look at each module's tables and migrations; exits 1 when one is not well
    #[arg(long)]
    health: bool,
}

#[derive(Args)]
pub struct Show {
    name: String,
}

impl Module {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Module::List(List { health: false }) => {
                let app = compiled_in()?;
                let modules = Backend::of(app.kernel()).get("/api/gateway/modules").send().await?;
                let data = modules["data"].as_array().map(Vec::as_slice).unwrap_or_default();
                let named = data.iter().map(|it| json!({ "name": it["name"], "about": it["about"] }));
                Ok(list(named.collect(), &["name", "about"]))
            }
            Module::List(List { health: true }) => {
                let modules = context.reading().await?.get("/api/gateway/modules").send().await?;
                let data = modules["data"].as_array().cloned().unwrap_or_default();
                let well = data.iter().all(|it| it["health"]["status"] == "ok");
                let answer = list(data, &["name", "health.status", "health.problems"]);
                Ok(answer.exits(if well { 0 } else { PROBLEMS_FOUND }))
            }
            Module::Show(show) => {
                let path = format!("/api/gateway/modules/{}", show.name);
                let module = context.reading().await?.get(path).send().await?;
                let fields =
                    ["name", "about", "health.status", "health.problems", "tables", "migrations", "routes"];
                Ok(Answer::object(module, &fields))
            }
            Module::Services => {
                let app = compiled_in()?;
                let services = app.kernel().services.values().map(|(info, _)| {
                    json!({ "name": info.name, "contract": info.contract, "module": info.module })
                });
                Ok(list(services.collect(), &["name", "module", "contract"]))
            }
            Module::Aliases => {
                let app = compiled_in()?;
                let aliases = app
                    .kernel()
                    .aliases
                    .iter()
                    .map(|it| json!({ "prefix": it.prefix, "entity": it.entity, "module": it.module }));
                Ok(list(aliases.collect(), &["prefix", "entity", "module"]))
            }
        }
    }
}

fn list(data: Vec<Value>, columns: &[&str]) -> Answer {
    Answer::list(json!({ "object": "list", "data": data }), columns, "There are none.")
}

/// An empty server in memory: what does not depend on any data.
pub fn compiled_in() -> Result<App, Failure> {
    Ok(App::in_memory(Config::default(), Clock::System, None)?)
}
