//! What an installation decides about modules, held to what they are: which are switched off, and which file each one
//! is kept in.
//!
//! `default` remembers where each module's rows are ([`HOMES`]). A configuration that says otherwise is refused while
//! there are rows: a module that is moved by its name alone would be found empty, and nobody would be told.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{Config, ConfigError, Connection, DEFAULT, Database},
    kernel::{
        annex::Annex,
        boot::Module,
        error::{Error, Result},
        store::{
            Names, OpenError, ReadTx, Scan, Store, StoreOptions, Table,
            codec::{Decode, Encode, row},
        },
    },
    modules,
    start_error::StartError,
};

/// The modules there are, and how free they are.
pub struct Cast {
    pub modules: &'static [Module],
    /// Those that may be switched off.
    pub optional: &'static [&'static str],
    /// Those that may be kept in a file of their own.
    pub may_live_alone: &'static [&'static str],
    /// What of those stays in `default` all the same: tables whose names begin so.
    pub beside_outbox: &'static [&'static str],
}

impl Cast {
    pub const PRODUCT: Cast = Cast {
        modules: modules::MODULES,
        optional: modules::OPTIONAL,
        may_live_alone: modules::MAY_LIVE_ALONE,
        beside_outbox: modules::BESIDE_OUTBOX,
    };
}

/// module → where its rows are. A module that is not in here is in `default`, without a prefix.
pub const HOMES: Table<String, Home> = Table::new("kernel.homes");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Home {
    pub connection: String,
    pub prefix: String,
}
row!(Home);

impl From<&Database> for Home {
    fn from(database: &Database) -> Home {
        Home { connection: database.connection.clone(), prefix: database.prefix.clone() }
    }
}

/// How the files are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Serving,
    /// Nothing is made and nothing changes.
    Reading,
    InMemory,
}

/// Refuses names that are no module, and what a module cannot do, naming the key.
pub fn check(config: &Config, cast: &Cast) -> Result<(), ConfigError> {
    let mut problems = vec![];
    for (name, rule) in &config.modules {
        if !cast.modules.iter().any(|it| it.name == name) {
            problems.push(format!("modules.{name}: there is no such module; `coffer module list` shows all"));
            continue;
        }
        if !rule.enabled && !cast.optional.contains(&name.as_str()) {
            problems.push(format!("modules.{name}.enabled: found false, wanted true: {}", why_core(name)));
        }
        let connection = &rule.database.connection;
        if connection != DEFAULT && !cast.may_live_alone.contains(&name.as_str()) {
            problems.push(format!(
                "modules.{name}.database.connection: found \"{connection}\", wanted \"{DEFAULT}\": {}",
                modules::why_pinned(name)
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}

/// Why a module cannot be switched off.
pub fn why_core(name: &str) -> String {
    format!("{name} is a core module: others require it, or it moves money")
}

/// Opens the files besides `default` and tells each which tables it has. Refuses a module that was moved without its
/// rows.
pub fn settle(
    cast: &Cast,
    store: &Store,
    config: &Config,
    way: Way,
    options: &StoreOptions,
) -> Result<Vec<Annex>, StartError> {
    let known: BTreeMap<String, Home> = store.read(|tx| tx.scan(&HOMES, Scan::all()).collect())?;
    let place = |name: &str| config.modules.get(name).cloned().unwrap_or_default().database;
    let places: Vec<(&'static str, Database)> =
        cast.modules.iter().map(|it| (it.name, place(it.name))).collect();
    let mut annexes = vec![];
    for (connection, at) in &config.connections {
        let lives = |it: &&(&'static str, Database)| it.1.connection == *connection;
        let modules = places.iter().filter(lives).map(|it| it.0).collect();
        let is_known = known.values().any(|it| it.connection == *connection);
        let opened = open(at, is_known, way, options)?;
        let (connection, beside_outbox) = (connection.clone(), cast.beside_outbox);
        annexes.push(Annex { connection, store: opened, modules, beside_outbox });
    }
    let mut problems = vec![];
    for (name, wanted) in &places {
        let before = known.get(*name).cloned().unwrap_or(Home::from(&Database::default()));
        if before == Home::from(wanted) {
            continue;
        }
        let place = match annexes.iter().find(|it| it.connection == before.connection) {
            _ if before.connection == DEFAULT => Some(store),
            found => found.map(|it| &it.store),
        };
        // What cannot be looked at is not known to be empty.
        let stays: Vec<String> =
            cast.beside_outbox.iter().map(|it| format!("{}{it}", before.prefix)).collect();
        let rows = |tx: &ReadTx, is_in: &dyn Fn(bool) -> bool| {
            has_rows(tx, &before.prefix, name, |table| is_in(stays.iter().any(|it| table.starts_with(it))))
        };
        let mut has_rows = place.map_or(Ok(true), |it| it.read(|tx| rows(tx, &|stays| !stays)))?;
        // What stays beside the outbox is not moved with the others, but has the prefix.
        if before.prefix != wanted.prefix {
            has_rows |= store.read(|tx| rows(tx, &|stays| stays))?;
        }
        if has_rows {
            problems.push(moved(name, &before, wanted));
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems }.into());
    }
    if way != Way::Reading {
        remember(store, &known, &places)?;
    }
    tell(cast, store, &annexes, &places)?;
    Ok(annexes)
}

fn moved(name: &str, before: &Home, wanted: &Database) -> String {
    let (key, found, was) = if before.connection == wanted.connection {
        ("prefix", &wanted.prefix, &before.prefix)
    } else {
        ("connection", &wanted.connection, &before.connection)
    };
    format!(
        "modules.{name}.database.{key}: found \"{found}\", but its rows are under \"{was}\"; put that back (rows are \
         not moved; roll the module back there first if you can do without them)"
    )
}

fn open(at: &Connection, is_known: bool, way: Way, options: &StoreOptions) -> Result<Store, StartError> {
    let mut options = options.clone();
    options.cache_bytes = usize::try_from(at.cache_mb * 1024 * 1024).unwrap_or(usize::MAX);
    match way {
        Way::InMemory => Ok(Store::in_memory(options)),
        Way::Reading => Ok(Store::open_read_only(&at.path, options.clock)?),
        Way::Serving => {
            let is_new = !is_known && !at.path.exists();
            if is_new && let Some(folder) = at.path.parent().filter(|it| !it.as_os_str().is_empty()) {
                let path = at.path.display().to_string();
                std::fs::create_dir_all(folder)
                    .map_err(|error| OpenError::CannotCreate { path, why: error.to_string() })?;
            }
            Ok(Store::open_file(&at.path, is_new, options)?)
        }
    }
}

/// Whether a module has rows in a file that was not told yet what its tables are called.
fn has_rows(tx: &ReadTx, prefix: &str, module: &str, is_asked_for: impl Fn(&str) -> bool) -> Result<bool> {
    let begin = format!("{prefix}{module}.");
    for table in tx.table_names()?.iter().filter(|it| it.starts_with(&begin) && is_asked_for(it)) {
        if tx.committed_rows(table)? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes where the modules are from now on; writes nothing where that is what was known.
fn remember(
    store: &Store,
    known: &BTreeMap<String, Home>,
    places: &[(&'static str, Database)],
) -> Result<(), Error> {
    let ordinary = Home::from(&Database::default());
    let changed: Vec<(String, Home)> = places
        .iter()
        .map(|(name, place)| ((*name).to_owned(), Home::from(place)))
        .filter(|(name, home)| known.get(name).unwrap_or(&ordinary) != home)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    store.write_blocking(move |tx| changed.iter().try_for_each(|(name, home)| tx.put(&HOMES, name, home)))
}

/// Tells each file which tables are there and what they are called.
fn tell(
    cast: &Cast,
    store: &Store,
    annexes: &[Annex],
    places: &[(&'static str, Database)],
) -> Result<(), Error> {
    let beside_outbox = cast.beside_outbox;
    // In `default` those of all modules: what stays there of one that lives elsewhere is called as it always was.
    let prefixes = |connection: &str| {
        let here = places.iter().filter(|it| connection == DEFAULT || it.1.connection == connection);
        let here = here.filter(|it| !it.1.prefix.is_empty());
        here.map(|(name, place)| (*name, place.prefix.clone())).collect()
    };
    let elsewhere = places.iter().filter(|it| it.1.connection != DEFAULT);
    let elsewhere = elsewhere.map(|(name, place)| (*name, place.connection.clone())).collect();
    let (connection, prefixes_here) = (DEFAULT.to_owned(), prefixes(DEFAULT));
    store.place(Names { connection, only: None, elsewhere, beside_outbox, prefixes: prefixes_here })?;
    if annexes.is_empty() {
        return Ok(());
    }
    let alone = |it: &Annex| it.modules.iter().map(|name| (*name, it.store.clone())).collect::<Vec<_>>();
    let alone: Vec<(&'static str, Store)> = annexes.iter().flat_map(alone).collect();
    store.stand_beside(BTreeSet::new(), &alone, None);
    for annex in annexes {
        let here: BTreeSet<_> = annex.modules.iter().copied().collect();
        annex.store.stand_beside(here.clone(), &alone, Some(store));
        let (connection, prefixes) = (annex.connection.clone(), prefixes(&annex.connection));
        let (only, elsewhere) = (Some(here), BTreeMap::new());
        annex.store.place(Names { connection, only, elsewhere, beside_outbox, prefixes })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
