//! What an installation decides about modules, held to what they are: which may be switched off, which may live in a
//! file of their own.

use crate::{
    config::{Config, ConfigError, DEFAULT},
    modules::{MAY_LIVE_ALONE, MODULES, OPTIONAL, why_pinned},
};

/// Refuses names that are no module, and what a module cannot do, naming the key.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    let mut problems = vec![];
    for (name, rule) in &config.modules {
        if !MODULES.iter().any(|it| it.name == name) {
            problems.push(format!("modules.{name}: there is no such module; `coffer module list` shows all"));
            continue;
        }
        if !rule.enabled && !OPTIONAL.contains(&name.as_str()) {
            problems.push(format!("modules.{name}.enabled: found false, wanted true: {}", why_core(name)));
        }
        let connection = &rule.database.connection;
        if connection != DEFAULT && !MAY_LIVE_ALONE.contains(&name.as_str()) {
            problems.push(format!(
                "modules.{name}.database.connection: found \"{connection}\", wanted \"{DEFAULT}\": {}",
                why_pinned(name)
            ));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}

/// Why a module cannot be switched off.
pub fn why_core(name: &str) -> String {
    format!("{name} is a core module: others require it, or it moves money")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_that_is_said_to_be_free_is_one() {
        for name in OPTIONAL.iter().chain(MAY_LIVE_ALONE) {
            assert!(MODULES.iter().any(|it| it.name == *name), "{name}");
        }
    }
}
