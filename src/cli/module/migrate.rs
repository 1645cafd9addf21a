//! `coffer module migrate`, `rollback`, `migration`: what is done to stored data when a release changes it.
//!
//! Starting the server migrates; these commands do it apart from a start, and undo it. They open the file themselves,
//! so no server may run on it, look whether everything in it is well, and then do each step in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::create::{checkout, modules_of, read, rustfmt, write_all};
use crate::{
    app::App,
    cli::{
        Context,
        exit::{Failure, PROBLEMS_FOUND, REFUSED, UNAVAILABLE},
        local::server_runs,
        output::Answer,
    },
    config::Config,
    kernel::{
        boot::{Kernel, ModuleInfo},
        clock::Clock,
        store::{
            ReadTx,
            migration::{self, Applied, MIGRATIONS, MigrateError},
        },
    },
};

#[derive(Args)]
pub struct Migrate {
    /// The module
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Every module that is switched on, in their order
    #[arg(long)]
    all: bool,
}

#[derive(Args)]
pub struct Rollback {
    /// The module
    name: String,
    /// How many migrations to undo, the last first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Also when that deletes rows that other modules build on, or that say what became of money
    #[arg(long)]
    drop_rows: bool,
}

#[derive(Subcommand)]
pub enum Migration {
    /// Write the next migration of a module, in a checkout of the source
    Make(Make),
    /// Show which migrations were applied, and when
    Status(Status),
}

#[derive(Args)]
pub struct Make {
    /// What it does: "find products by colour"
    name: String,
    /// The module; the one whose folder this is called in, unless given
    #[arg(long, value_name = "NAME")]
    module: Option<String>,
}

#[derive(Args)]
pub struct Status {
    /// Only of this module
    name: Option<String>,
}

const COLUMNS: &[&str] = &["module", "version", "name", "applied_at"];

impl Migrate {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let applied = closing(open(context.config()?).await?, |kernel| {
            let named = self.name.as_deref().map(|it| find(kernel, it)).transpose()?;
            let modules: Vec<&ModuleInfo> = match named {
                Some(module) => vec![module],
                None => kernel.modules.iter().filter(|it| it.is_enabled).collect(),
            };
            look(kernel)?;
            let mut applied = vec![];
            for module in modules {
                let store = kernel.store_of(module.name);
                applied.extend(migration::migrate(store, module.name, module.migrations)?);
            }
            Ok(applied)
        })?;
        let done = rows(&applied);
        let text = format!("{} applied.", count(applied.len()));
        let value = json!({ "object": "list", "data": done });
        Ok(Answer::list(value, COLUMNS, "Everything was applied already.")
            .followed_by(if applied.is_empty() { "" } else { &text }))
    }
}

impl Rollback {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let (module, undone) = closing(open(context.config()?).await?, |kernel| {
            let module = find(kernel, &self.name)?;
            look(kernel)?;
            Ok((module.name, roll_back(kernel, module, self.steps as usize, self.drop_rows)?))
        })?;
        let value = json!({
            "object": "list",
            "module": module,
            "data": rows(&undone.migrations),
            "rows_deleted": undone.rows_deleted,
            "tables_removed": undone.tables_removed,
        });
        let text = "The next start of this release applies it again: run the release before it, or take it out first.";
        let nothing = undone.migrations.is_empty();
        let answer = Answer::list(value, &["module", "version", "name"], "Nothing of it is applied.");
        Ok(if nothing { answer } else { answer.followed_by(text) })
    }
}

/// Does something and closes the file, also when it was refused: a file left open has to be recovered by whoever comes
/// next.
fn closing<T>(kernel: Kernel, act: impl FnOnce(&Kernel) -> Result<T, Failure>) -> Result<T, Failure> {
    let done = act(&kernel);
    kernel.close()?;
    done
}

/// What [`roll_back`] did.
#[derive(Debug)]
pub struct Undone {
    pub migrations: Vec<Applied>,
    /// Table by table.
    pub rows_deleted: BTreeMap<String, usize>,
    /// Those that are gone from the file, indexes included.
    pub tables_removed: Vec<String>,
}

/// Undoes the last migrations of a module. Refuses `needed` when a module that builds on it was migrated after them, or
/// has rows while this would delete some; and `money_rows` when that would delete rows of a module that moves money,
/// unless told to.
pub fn roll_back(
    kernel: &Kernel,
    module: &ModuleInfo,
    steps: usize,
    may_drop_rows: bool,
) -> Result<Undone, Failure> {
    let store = kernel.store_of(module.name);
    let last = migration::last_applied(store, module.name, steps, module.migrations)?;
    let Some(first) = last.last() else {
        return Ok(Undone { migrations: vec![], rows_deleted: BTreeMap::new(), tables_removed: vec![] });
    };
    let at = applied_at(kernel, module.name, first.version)?;
    for other in builds_on(kernel, module.name) {
        for its in other.migrations {
            let later = applied_at(kernel, other.name, its.version)?.filter(|it| Some(*it) >= at);
            if later.is_some() {
                let message = format!(
                    "migration {} of {} ({}) was applied after it, and {} requires {}: roll that back first",
                    its.version, other.name, its.name, other.name, module.name
                );
                return Err(Failure::new(REFUSED, "needed", message));
            }
        }
    }
    let gone = migration::rehearse_rollback(store, module.name, steps, module.migrations)?;
    let is_table = |name: &str| kernel.tables.iter().any(|it| it.name == name);
    let rows_deleted: BTreeMap<String, usize> = gone.into_iter().filter(|it| is_table(&it.0)).collect();
    let moves_money = |table: &str| {
        let owner = table.split('.').next();
        kernel.endpoints.iter().any(|it| it.money && Some(it.module) == owner)
    };
    if let Some((table, rows)) = rows_deleted.first_key_value()
        && let Some((other, used)) = rows_built_on(kernel, module.name)?
        && !may_drop_rows
    {
        let message = format!(
            "it would delete {rows} rows of {table}, and {other} requires {}: what {used} refers to would be gone. Copy \
             the file first, then repeat with --drop-rows",
            module.name
        );
        return Err(Failure::new(REFUSED, "needed", message));
    }
    if let Some((table, rows)) = rows_deleted.iter().find(|it| moves_money(it.0))
        && !may_drop_rows
    {
        let message = format!(
            "it would delete {rows} rows of {table}, which say what became of money: without them the books cannot be \
             explained. Copy the file first, then repeat with --drop-rows"
        );
        return Err(Failure::new(REFUSED, "money_rows", message));
    }

    let before = store.read(ReadTx::table_names)?;
    let migrations = migration::rollback(store, module.name, steps, module.migrations)?;
    let after = store.read(ReadTx::table_names)?;
    let tables_removed = before.into_iter().filter(|it| !after.contains(it)).collect();
    Ok(Undone { migrations, rows_deleted, tables_removed })
}

/// The modules that require its contracts, and those that require theirs.
fn builds_on<'a>(kernel: &'a Kernel, module: &'static str) -> Vec<&'a ModuleInfo> {
    let mut below = BTreeSet::from([module]);
    // In the order of the list: whoever requires something stands behind it.
    let builds = |it: &&ModuleInfo| {
        let builds = it.requires.iter().any(|required| below.contains(required));
        if builds {
            below.insert(it.name);
        }
        builds
    };
    kernel.modules.iter().filter(builds).collect()
}

/// The first module that builds on it and has rows, and the table they are in.
fn rows_built_on(
    kernel: &Kernel,
    module: &'static str,
) -> Result<Option<(&'static str, &'static str)>, Failure> {
    for other in builds_on(kernel, module) {
        let used = kernel.store_of(other.name).read(|tx| {
            for table in kernel.tables.iter().filter(|it| it.module() == other.name) {
                if tx.committed_rows(table.name)? > 0 {
                    return Ok(Some(table.name));
                }
            }
            Ok(None)
        })?;
        if let Some(table) = used {
            return Ok(Some((other.name, table)));
        }
    }
    Ok(None)
}

fn applied_at(
    kernel: &Kernel,
    module: &str,
    version: u32,
) -> Result<Option<crate::kernel::clock::Time>, Failure> {
    let key = (module.to_owned(), version);
    Ok(kernel.store_of(module).read(|tx| tx.get(&MIGRATIONS, &key))?.map(|it| it.at))
}

/// Whether the data is well, as far as this release can read it: what still waits for a migration need not be.
fn look(kernel: &Kernel) -> Result<(), Failure> {
    let mut behind = BTreeSet::new();
    for module in &kernel.modules {
        let status =
            kernel.store_of(module.name).read(|tx| migration::status(tx, module.name, module.migrations))?;
        if status.iter().any(|it| it.at.is_none()) {
            behind.insert(module.name);
        }
    }
    let problems = kernel.verify_all(&behind)?;
    let Some(first) = problems.first() else { return Ok(()) };
    let message = format!(
        "the data is not well, so nothing was changed; the first of {} problems: {first}. `coffer verify` shows all",
        problems.len()
    );
    Err(Failure::new(PROBLEMS_FOUND, "problems_found", message))
}

/// The file, opened for writing, with no worker on it and nothing migrated.
async fn open(config: Config) -> Result<Kernel, Failure> {
    if server_runs(&config).await? {
        let message = format!(
            "{}: a server runs on it. Stop that first: it holds in memory what this would change beneath it",
            config.storage.path.display()
        );
        return Err(Failure::new(UNAVAILABLE, "server_runs", message));
    }
    Ok(App::stopped(config, Clock::System)?)
}

fn find<'a>(kernel: &'a Kernel, name: &str) -> Result<&'a ModuleInfo, Failure> {
    kernel.modules.iter().find(|it| it.name == name).ok_or_else(|| unknown(name))
}

pub fn unknown(name: &str) -> Failure {
    Failure::new(REFUSED, "not_found", format!("there is no module {name}: `coffer module list` shows all"))
}

fn rows(applied: &[Applied]) -> Vec<Value> {
    let row = |it: &Applied| {
        json!({
            "module": it.module,
            "version": it.version,
            "name": it.name,
            "applied_at": it.at.map(|it| it.to_string()),
        })
    };
    applied.iter().map(row).collect()
}

fn count(migrations: usize) -> String {
    if migrations == 1 { "1 migration".to_owned() } else { format!("{migrations} migrations") }
}

impl Migration {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        match self {
            Migration::Make(make) => make.run(),
            Migration::Status(status) => status.run(context).await,
        }
    }
}

impl Status {
    async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let modules = context.reading().await?.get("/api/gateway/modules").send().await?;
        let modules = modules["data"].as_array().cloned().unwrap_or_default();
        if let Some(name) = &self.name
            && !modules.iter().any(|it| it["name"] == name.as_str())
        {
            return Err(unknown(name));
        }
        let wanted =
            modules.iter().filter(|it| self.name.as_ref().is_none_or(|name| it["name"] == name.as_str()));
        let rows = wanted.flat_map(|module| {
            let states = module["migration_status"].as_array().cloned().unwrap_or_default();
            states.into_iter().map(|mut state| {
                state["module"] = module["name"].clone();
                state
            })
        });
        let data: Vec<Value> = rows.collect();
        let pending = data.iter().filter(|it| it["applied_at"].is_null()).count();
        let answer =
            Answer::list(json!({ "object": "list", "data": data }), COLUMNS, "It has no migrations.");
        Ok(if pending > 0 {
            answer.followed_by(&format!("{} not applied yet.", count(pending)))
        } else {
            answer
        })
    }
}

impl Make {
    fn run(self) -> Result<Answer, Failure> {
        let root = checkout()?;
        let modules = modules_of(&root)?;
        let here = || {
            let here = std::env::current_dir().ok()?;
            let below = here.strip_prefix(root.join("src/modules")).ok()?;
            below.components().next().map(|it| it.as_os_str().to_string_lossy().into_owned())
        };
        let Some(module) = self.module.clone().or_else(here) else {
            let message = format!("--module: wanted the module it is for: {}", modules.join(", "));
            return Err(Failure::usage(message));
        };
        if !modules.contains(&module) {
            return Err(unknown(&module));
        }
        let name = named(&self.name).map_err(Failure::usage)?;
        let (page, path) =
            (format!("src/modules/{module}/mod.rs"), format!("src/modules/{module}/migrations.rs"));
        let page_text = read(&root, &page)?;
        let before = root.join(&path).is_file().then(|| read(&root, &path)).transpose()?;
        let (version, text) = with_migration(&module, before.as_deref(), &name)
            .map_err(|problem| Failure::new(REFUSED, "unreadable", format!("{path}: {problem}")))?;
        let mut files = vec![(path.clone().into(), text)];
        if before.is_none() {
            let linked = linked(&page_text)
                .map_err(|problem| Failure::new(REFUSED, "unreadable", format!("{page}: {problem}")))?;
            files.push((page.into(), linked));
        }
        write_all(&root, &files)?;
        let is_formatted = rustfmt(&root, &files[..1]);
        let value = json!({
            "module": module, "version": version, "name": name, "path": path, "formatted": is_formatted,
        });
        let text = format!(
            "{path}: migration {version} of {module}, {name}.\nUntil its `up` and `down` are written, no database starts \
             with it. Never change one that was released."
        );
        Ok(Answer::new(value, text))
    }
}

/// The name as words.
fn named(name: &str) -> Result<String, String> {
    let words = name.replace(['_', '-'], " ").to_lowercase();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let has_form = (3..=60).contains(&words.len())
        && words.starts_with(|it: char| it.is_ascii_lowercase())
        && words.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == ' ');
    let wanted = "3 to 60 letters, digits and spaces, first a letter: \"find products by colour\"";
    if has_form {
        Ok(words)
    } else {
        Err(format!("the name of a migration: found \"{name}\", wanted {wanted}"))
    }
}

/// `migrations.rs` with one more, and its version.
fn with_migration(module: &str, before: Option<&str>, name: &str) -> Result<(u32, String), String> {
    let function = name.replace(' ', "_");
    let empty = format!(
        "//! What changed in how {module} stores its rows.\n\nuse crate::kernel::{{\n    error::{{Result, fault}},\n    \
         store::{{WriteTx, migration::Migration}},\n}};\n\npub const MIGRATIONS: &[Migration] = &[];\n"
    );
    let text = before.unwrap_or(&empty);
    let versions = text.split("version:").skip(1).filter_map(|it| {
        let digits: String = it.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    let version = versions.max().unwrap_or(0) + 1;
    if text.contains(&format!("\"{name}\"")) || text.contains(&format!("fn {function}(")) {
        return Err(format!("there is a migration \"{name}\" already; choose another name"));
    }
    let start =
        text.find("MIGRATIONS: &[Migration]").ok_or("has no const MIGRATIONS: &[Migration]; add it")?;
    let end = text[start..].find("];").map(|it| start + it).ok_or("MIGRATIONS has no end; restore it")?;
    let list = text[..end].trim_end();
    let comma = if list.ends_with('[') || list.ends_with(',') { "" } else { "," };
    let entry = format!(
        "{comma}\n    Migration {{ version: {version}, name: \"{name}\", up: {function}, down: undo_{function} }},\n"
    );
    let open = format!("migration {version} of {module} is not written yet");
    let bodies = format!(
        "\nfn {function}(_: &mut WriteTx) -> Result<()> {{\n    Err(crate::kernel::error::fault!(\"{open}\"))\n}}\n\n\
         fn undo_{function}(_: &mut WriteTx) -> Result<()> {{\n    \
         Err(crate::kernel::error::fault!(\"{open}\"))\n}}\n"
    );
    let bodies =
        if before.is_none() { bodies.replace("crate::kernel::error::fault!", "fault!") } else { bodies };
    Ok((version, format!("{list}{entry}{}{bodies}", &text[end..])))
}

/// A module's page that names its migrations.
fn linked(page: &str) -> Result<String, String> {
    if !page.contains("migrations: &[]") {
        return Err("has no `migrations: &[]`; name migrations::MIGRATIONS there".to_owned());
    }
    let page = page.replacen("migrations: &[]", "migrations: migrations::MIGRATIONS", 1);
    let line = "mod migrations;";
    let is_private = |it: &&str| it.starts_with("mod ") && it.ends_with(';');
    let is_public = |it: &&str| it.starts_with("pub mod ") && it.ends_with(';');
    let mut lines: Vec<&str> = page.lines().collect();
    let before = lines.iter().rposition(|it| is_private(it) && *it < line);
    let at = before.or_else(|| lines.iter().rposition(is_public)).map(|it| it + 1);
    let at = at.or_else(|| lines.iter().position(is_private));
    lines.insert(at.ok_or("has no line `mod …;`; add `mod migrations;`")?, line);
    Ok(lines.join("\n") + "\n")
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Failure {
        let exit = error.exit_code();
        match error {
            MigrateError::Store(error) => error.into(),
            error => Failure::new(exit, "migration", error),
        }
    }
}

#[cfg(test)]
mod tests;
