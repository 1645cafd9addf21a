//! `coffer module enable|disable`: whether an optional module runs. Kept in the configuration file, whose other lines
//! stay as they are.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use toml_edit::{DocumentMut, Item, Table, value};

use super::{compiled_in, create::write_all, migrate::unknown};
use crate::{
    StartError,
    cli::{
        Context,
        exit::{CONFIGURATION, Failure, INPUT_OUTPUT, REFUSED},
        output::Answer,
    },
    config::Config,
    homes::{self, Cast},
    kernel::boot::BootError,
    modules::{MODULES, OPTIONAL},
};

#[derive(Args)]
pub struct Named {
    name: String,
}

impl Named {
    pub fn switch(self, context: &Context, on: bool) -> Result<Answer, Failure> {
        let name = self.name.as_str();
        if !MODULES.iter().any(|it| it.name == name) {
            return Err(unknown(name));
        }
        if !on && !OPTIONAL.contains(&name) {
            return Err(Failure::new(REFUSED, "core_module", homes::why_core(name)));
        }
        let loaded = context.load(&[])?;
        let mut config = loaded.config;
        config.modules.entry(name.to_owned()).or_default().enabled = on;
        try_out(&config)?;

        let path = context.file.clone().or(loaded.file).unwrap_or_else(|| PathBuf::from("config.toml"));
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let message = format!("{}: cannot be read: {error}", path.display());
                return Err(Failure::new(INPUT_OUTPUT, "unreadable", message));
            }
        };
        let changed = switched(&text, name, on).map_err(|problem| {
            Failure::new(CONFIGURATION, "config", format!("{}: {problem}", path.display()))
        })?;
        write(&path, changed)?;

        let now = context.config()?.modules.get(name).is_none_or(|it| it.enabled);
        let key = format!("modules.{name}.enabled");
        if now != on {
            let message = format!(
                "{key}: written to {}, but the environment or the command line says otherwise and is stronger",
                path.display()
            );
            return Err(Failure::new(CONFIGURATION, "overridden", message));
        }
        let file = path.display().to_string();
        let does = if on { "runs" } else { "does not run; its tables stay as they are" };
        let text = format!("{file}: {key} = {on}. From its next start on the server's {name} {does}.");
        Ok(Answer::new(
            json!({ "module": name, "enabled": on, "file": file, "takes_effect": "next start" }),
            text,
        ))
    }
}

/// Whether the server would start like that.
fn try_out(config: &Config) -> Result<(), Failure> {
    homes::check(config, &Cast::PRODUCT)?;
    match compiled_in(Some(config)) {
        Err(StartError::Boot(error @ BootError::SwitchedOff { .. })) => {
            Err(Failure::new(REFUSED, "module_required", error))
        }
        outcome => Ok(outcome.map(drop)?),
    }
}

/// The text with the key set, everything else as it was.
fn switched(text: &str, name: &str, on: bool) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error| format!("not TOML: {error}"))?;
    let section = |parent: &mut Table, name: &str, implicit: bool| -> Result<(), String> {
        let item = parent.entry(name).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(implicit);
            Item::Table(table)
        });
        item.is_table_like().then_some(()).ok_or_else(|| format!("{name}: found a value, wanted a section"))
    };
    section(document.as_table_mut(), "modules", true)?;
    let modules = document["modules"].as_table_like_mut().ok_or("modules: wanted a section")?;
    if !modules.contains_key(name) {
        modules.insert(name, Item::Table(Table::new()));
    }
    let module = modules.get_mut(name).and_then(Item::as_table_like_mut);
    let module = module.ok_or_else(|| format!("modules.{name}: found a value, wanted a section"))?;
    match module.get_mut("enabled").and_then(Item::as_value_mut) {
        // In place: a comment behind the value stays.
        Some(old) => {
            let decor = old.decor().clone();
            *old = on.into();
            *old.decor_mut() = decor;
        }
        None => drop(module.insert("enabled", value(on))),
    }
    Ok(document.to_string())
}

/// Replaces the file in one step, with the mode it had.
fn write(path: &Path, text: String) -> Result<(), Failure> {
    let mode = std::fs::metadata(path).map(|it| it.permissions());
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_all(Path::new(""), &[(real.clone(), text)])?;
    if let Ok(mode) = mode {
        std::fs::set_permissions(&real, mode).map_err(|error| {
            Failure::new(INPUT_OUTPUT, "unwritable", format!("{}: {error}", real.display()))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_switched_and_every_other_line_stays() {
        let before = "# Ours.\n[log]\nlevel = \"warn\" # loud\n";
        let off = switched(before, "notification", false).unwrap();
        assert_eq!(off, format!("{before}\n[modules.notification]\nenabled = false\n"));
        assert_eq!(switched(&off, "notification", true).unwrap(), off.replace("false", "true"));
        let kept = "[modules.notification]\nenabled = true # for now\n";
        assert_eq!(switched(kept, "notification", false).unwrap(), kept.replace("true", "false"));
        let inline = "modules = { notification = { enabled = true } }\n";
        assert_eq!(switched(inline, "notification", false).unwrap(), inline.replace("true", "false"));
    }

    #[test]
    fn a_file_that_says_something_else_there_is_refused() {
        for wrong in ["modules = 1\n", "[modules]\nnotification = 1\n", "not toml"] {
            assert!(switched(wrong, "notification", false).is_err(), "{wrong}");
        }
    }
}
