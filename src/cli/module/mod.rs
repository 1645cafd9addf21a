//! `coffer module`: what the binary consists of, and how its parts do.

mod create;
mod migrate;
mod standing;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    output::Answer,
};
use crate::{
    StartError,
    app::App,
    config::Config,
    homes::{self, Cast},
    kernel::clock::Clock,
    modules::{MAY_LIVE_ALONE, OPTIONAL},
};

#[derive(Subcommand)]
pub enum Module {
    /// List the modules in the order they register
    List(List),
    /// Show a module: its tables, routes, migrations and health
    Show(Show),
    /// Make a module, in a checkout of the source: it compiles, has a route, a table, a migration and tests
    Create(create::Create),
    /// Apply the migrations of a module, or of all, while no server runs
    Migrate(migrate::Migrate),
    /// Undo the last migrations of a module, while no server runs
    Rollback(migrate::Rollback),
    /// The migrations of modules
    #[command(subcommand)]
    Migration(migrate::Migration),
    /// What modules provide to each other
    #[command(subcommand)]
    Providers(Providers),
    /// Switch an optional module on, from the next start of the server
    Enable(standing::Named),
    /// Switch an optional module off: its tables stay, its routes, listeners and jobs go
    Disable(standing::Named),
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

#[derive(Subcommand)]
pub enum Providers {
    /// List the modules by priority, with the contracts they provide and the modules they require
    List,
    /// Say why there is nothing to cache
    Cache,
}

#[derive(Args)]
pub struct Show {
    name: String,
}

impl Module {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Module::Create(create) => create.run(),
            Module::Migrate(migrate) => migrate.run(context).await,
            Module::Rollback(rollback) => rollback.run(context).await,
            Module::Migration(migration) => migration.run(context).await,
            Module::Providers(providers) => providers.run(context),
            Module::Enable(named) => named.switch(context, true),
            Module::Disable(named) => named.switch(context, false),
            Module::List(List { health: false }) => {
                let columns = ["name", "about", "enabled", "optional", "connection", "prefix", "migrations"];
                Ok(list(standings(&context.config()?)?, &columns))
            }
            Module::List(List { health: true }) => {
                let modules = context.reading().await?.get("/api/gateway/modules").send().await?;
                let data = modules["data"].as_array().cloned().unwrap_or_default();
                let well = data.iter().all(|it| it["health"]["status"] != "failing");
                let answer = list(data, &["name", "health.status", "health.problems"]);
                Ok(answer.exits(if well { 0 } else { PROBLEMS_FOUND }))
            }
            Module::Show(show) => {
                let path = format!("/api/gateway/modules/{}", show.name);
                let module = context.reading().await?.get(path).send().await?;
                let fields = [
                    "name",
                    "about",
                    "enabled",
                    "requires",
                    "provides",
                    "connection",
                    "prefix",
                    "health.status",
                    "health.problems",
                    "tables",
                    "migrations",
                    "routes",
                ];
                Ok(Answer::object(module, &fields))
            }
            Module::Services => {
                let app = compiled_in(None)?;
                let services = app.kernel().services.values().map(|(info, _)| {
                    json!({ "name": info.name, "contract": info.contract, "module": info.module })
                });
                Ok(list(services.collect(), &["name", "module", "contract"]))
            }
            Module::Aliases => {
                let app = compiled_in(None)?;
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

/// What an installation decided about each module, and what it may decide.
fn standings(config: &Config) -> Result<Vec<Value>, Failure> {
    homes::check(config, &Cast::PRODUCT)?;
    let app = compiled_in(Some(config))?;
    let row = |module: &crate::kernel::boot::ModuleInfo| {
        let place = config.modules.get(module.name).cloned().unwrap_or_default().database;
        json!({
            "name": module.name,
            "about": module.about,
            "enabled": module.is_enabled,
            "optional": OPTIONAL.contains(&module.name),
            "may_live_alone": MAY_LIVE_ALONE.contains(&module.name),
            "connection": place.connection,
            "prefix": place.prefix,
            "requires": module.requires,
            "migrations": module.migrations.len(),
        })
    };
    Ok(app.kernel().modules.iter().map(row).collect())
}

impl Providers {
    fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Providers::List => {
                let app = compiled_in(Some(&context.config()?))?;
                let rows = app.kernel().modules.iter().enumerate().map(|(at, module)| {
                    let short = |it: &&str| it.rsplit("::").next().unwrap_or(it).to_owned();
                    json!({
                        "priority": at + 1,
                        "module": module.name,
                        "enabled": module.is_enabled,
                        "provides": module.provides.iter().map(short).collect::<Vec<_>>(),
                        "requires": module.requires,
                    })
                });
                Ok(list(rows.collect(), &["priority", "module", "enabled", "provides", "requires"]))
            }
            Providers::Cache => {
                let modules = crate::modules::MODULES.len();
                let about = "the list of modules is compiled into this binary, in the order they register: there is \
                             nothing to discover at start, so nothing to cache or to clear";
                let value = json!({ "modules": modules, "cached": true, "about": about });
                Ok(Answer::new(value, format!("{modules} modules: {about}.")))
            }
        }
    }
}

/// An empty server in memory: what does not depend on any data. With what is configured for modules, or without.
pub fn compiled_in(config: Option<&Config>) -> Result<App, StartError> {
    let mut empty = Config::default();
    if let Some(config) = config {
        empty.modules = config.modules.clone();
        empty.connections = config.connections.clone();
    }
    App::in_memory(empty, Clock::System, None)
}
