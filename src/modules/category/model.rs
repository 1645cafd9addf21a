//! What a category is.

use std::sync::LazyLock;

use serde::Deserialize;

use super::contract::{CategoryId, built_in as keys};
use crate::kernel::{
    api::{
        input::Flaw,
        object::{Stamp, stamped},
    },
    clock::Time,
    error::Result,
    id::Id as _,
    secret::sha256,
    store::codec::{Decode, Encode, row},
};

/// A category a client made for itself.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Category {
    pub id: CategoryId,
    pub key: String,
    pub name: String,
    pub is_active: bool,
    /// A transaction carries it. Never taken back.
    pub is_in_use: bool,
    pub stamp: Stamp,
}
row!(Category);
stamped!(Category);

/// A category every client has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltIn {
    pub key: String,
    pub name: String,
}

impl BuiltIn {
    /// The same in every installation, since it is stored in none.
    pub fn id(&self) -> CategoryId {
        let hash = sha256(format!("coffer category {}", self.key).as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        CategoryId::from_bytes(id)
    }

    /// As if it were stored: it was always there.
    pub fn row(&self) -> Category {
        Category {
            id: self.id(),
            key: self.key.clone(),
            name: self.name.clone(),
            is_active: true,
            is_in_use: true,
            stamp: Stamp::at(Time::ZERO),
        }
    }
}

/// The built-in categories, in the order of the reference file.
pub static BUILT_IN: LazyLock<Vec<BuiltIn>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        category: Vec<BuiltIn>,
    }
    let file: File = toml::from_str(include_str!("../../../data/reference/categories.toml"))
        .expect("the reference file is compiled in and tested");
    file.category
});

/// The built-in category of this id or key.
pub fn built_in(id_or_key: &str) -> Option<&'static BuiltIn> {
    let id = id_or_key.parse().ok();
    BUILT_IN.iter().find(|it| it.key == id_or_key || Some(it.id()) == id)
}

pub fn is_built_in(key: &str) -> bool {
    keys::ALL.contains(&key)
}

/// A key is a lower-case letter, then letters, digits and underscores; at most 40.
pub fn check_key(key: &str) -> Result<()> {
    let well_formed = (1..=40).contains(&key.len())
        && key.starts_with(|it: char| it.is_ascii_lowercase())
        && key.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if well_formed {
        return Ok(());
    }
    let message = "must be 1 to 40 of a-z, 0-9 and _, the first a letter";
    Err(Flaw::new("key", "invalid_format", message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_file_and_the_constants_agree() {
        let keys: Vec<&str> = BUILT_IN.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, super::keys::ALL);
        for it in BUILT_IN.iter() {
            check_key(&it.key).unwrap();
        }
    }

    #[test]
    fn a_key_is_plain() {
        for (key, is_right) in [
            ("rent", true),
            ("rent_2026", true),
            ("r", true),
            (&"r".repeat(40), true),
            (&"r".repeat(41), false),
            ("", false),
            ("2nd", false),
            ("_a", false),
            ("Rent", false),
            ("café", false),
            ("a-b", false),
        ] {
            assert_eq!(check_key(key).is_ok(), is_right, "{key:?}");
        }
    }
}
