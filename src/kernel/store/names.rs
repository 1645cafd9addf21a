//! What tables are called in a file, and which of them live there: a module may have its tables under a prefix, or in
//! another file. Asking a file for what is kept in another is a fault, never an empty table.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{engine::EngineError, store::Neighbour};

/// The tables of one file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Names {
    /// What the file is called in the configuration.
    pub connection: String,
    /// The modules that live here; `None`: all but those elsewhere. The kernel lives in every file.
    pub only: Option<BTreeSet<&'static str>>,
    /// Module → the connection it lives in.
    pub elsewhere: BTreeMap<&'static str, String>,
    /// Tables whose names begin so are in `default`, whatever file the rest of their module is in.
    pub beside_outbox: &'static [&'static str],
    /// Module → what stands before the names of its tables here.
    pub prefixes: BTreeMap<&'static str, String>,
}

impl Names {
    /// What the table is called in the file.
    pub fn physical<'t>(&self, table: &'t str) -> Result<Cow<'t, str>, EngineError> {
        let module = table.split('.').next().unwrap_or_default();
        let beside_outbox = self.beside_outbox.iter().any(|it| table.starts_with(it));
        let place = match (&self.only, self.elsewhere.get(module)) {
            (None, None) => None,
            (None, Some(_)) if beside_outbox => None,
            (Some(_), _) if beside_outbox => Some("default"),
            (Some(here), _) if module == "kernel" || here.contains(module) => None,
            (Some(_), _) => Some("default"),
            (None, Some(place)) => Some(place.as_str()),
        };
        if let Some(place) = place {
            let here = &self.connection;
            return Err(EngineError::Broken(format!("table {table} is kept in {place}, not in {here}")));
        }
        Ok(match self.prefixes.get(module) {
            Some(prefix) => Cow::Owned(format!("{prefix}{table}")),
            None => Cow::Borrowed(table),
        })
    }

    /// What a table of the file is called everywhere else.
    pub fn logical(&self, physical: String) -> String {
        let of = |(module, prefix): (&&'static str, &String)| {
            let table = physical.strip_prefix(prefix.as_str())?;
            (table.split('.').next() == Some(module)).then(|| table.to_owned())
        };
        self.prefixes.iter().find_map(of).unwrap_or(physical)
    }
}

/// The files besides one, as its transactions know them.
pub(super) struct Beside {
    /// The modules of the file itself, where it does not have all others.
    pub here: BTreeSet<&'static str>,
    pub modules: BTreeMap<&'static str, Neighbour>,
    /// Where all other modules are; `None`: in the file itself.
    pub otherwise: Option<Neighbour>,
}

impl Beside {
    /// The file of a module; `None` for this one.
    pub fn of(&self, module: &str) -> Option<&Neighbour> {
        let elsewhere = || self.modules.get(module).or(self.otherwise.as_ref());
        if self.here.contains(module) { None } else { elsewhere() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_prefix_in_the_file_and_loses_it_outside() {
        let names = Names { prefixes: BTreeMap::from([("diary", "eu_".to_owned())]), ..Names::default() };
        assert_eq!(names.physical("diary.pages").unwrap(), "eu_diary.pages");
        assert_eq!(names.physical("user.users").unwrap(), "user.users");
        assert_eq!(names.logical("eu_diary.pages".into()), "diary.pages");
        assert_eq!(names.logical("eu_user.users".into()), "eu_user.users");
    }

    #[test]
    fn what_is_kept_elsewhere_is_a_fault_and_not_empty() {
        let elsewhere = BTreeMap::from([("diary", "aside".to_owned())]);
        let main = Names { connection: "default".into(), elsewhere, ..Names::default() };
        let error = main.physical("diary.pages").unwrap_err().to_string();
        assert!(error.contains("diary.pages is kept in aside, not in default"), "{error}");
        let only = Some(BTreeSet::from(["diary"]));
        let aside = Names { connection: "aside".into(), only, ..Names::default() };
        assert!(aside.physical("diary.pages").is_ok() && aside.physical("kernel.relay").is_ok());
        assert!(aside.physical("user.users").is_err() && aside.physical("events.deliveries").is_err());
        // But for what stays beside the outbox.
        let (main, aside) = (
            Names { beside_outbox: &["diary.slip"], ..main },
            Names { beside_outbox: &["diary.slip"], ..aside },
        );
        assert!(main.physical("diary.slips_by_day").is_ok() && main.physical("diary.pages").is_err());
        assert!(aside.physical("diary.slips_by_day").is_err() && aside.physical("diary.pages").is_ok());
    }
}
