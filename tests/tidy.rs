//! The repository checks itself: what the compiler cannot see about how its parts fit together.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `folder` with one of these endings, with its path from the root, in path order.
fn files(folder: &str, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = vec![];
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| endings.iter().any(|ending| it == *ending)) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let found = files(folder, &["rs"]);
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// Module names in the order of `MODULES`.
fn modules() -> Vec<String> {
    let list = fs::read_to_string(root().join("src/modules/mod.rs")).unwrap();
    list.lines().filter_map(|line| line.trim().strip_suffix("::MODULE,")).map(str::to_owned).collect()
}

/// Every `modules::<name>::<part>` the text mentions, whether or not the parts stand in braces.
fn mentions(text: &str) -> Vec<(String, String)> {
    let flat: String = text.split_whitespace().collect();
    let mut found = vec![];
    for (at, it) in flat.match_indices("modules::") {
        outermost(&flat[at + it.len()..], &mut |name, rest| {
            if let Some(rest) = rest.strip_prefix("::") {
                outermost(rest, &mut |part, _| found.push((name.to_owned(), part.to_owned())));
            }
        });
    }
    found
}

/// Calls `each` with the leading word, and what follows it, of `text` or of every entry of its outermost braces.
fn outermost(text: &str, each: &mut dyn FnMut(&str, &str)) {
    let Some(list) = text.strip_prefix('{') else {
        let (word, rest) = word(text);
        if !word.is_empty() {
            each(word, rest);
        }
        return;
    };
    let (mut depth, mut starts) = (1, true);
    for (at, character) in list.char_indices() {
        if starts && depth == 1 && character.is_alphabetic() {
            let (word, rest) = word(&list[at..]);
            each(word, rest);
        }
        starts = character == ',';
        depth += i32::from(character == '{') - i32::from(character == '}');
        if depth == 0 {
            return;
        }
    }
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

#[test]
fn mentions_sees_through_braces() {
    let text = "use crate::{kernel::x, modules::a::{contract::{P, Q}, events::R}}; modules::b::model::S;
        use crate::modules::{c::contract::T, d::{events::U, model::V}};";
    let got: Vec<String> = mentions(text).into_iter().map(|(name, part)| format!("{name}.{part}")).collect();
    assert_eq!(got, ["a.contract", "a.events", "b.model", "c.contract", "d.events", "d.model"]);
}

#[test]
fn a_module_uses_only_the_contracts_above_it_and_anyones_events() {
    let order = modules();
    let place = |name: &str| order.iter().position(|it| it == name);
    for (path, text) in sources("src/modules") {
        let Some(owner) = path.split('/').nth(2).filter(|it| place(it).is_some()) else {
            continue;
        };
        for (name, part) in mentions(&text).into_iter().filter(|it| it.0 != owner) {
            assert!(
                part == "contract" || part == "events",
                "{path}: `{name}::{part}` is private to `{name}`"
            );
            let above = place(&name) < place(owner);
            assert!(above || part == "events", "{path}: `{owner}` calls `{name}`, which registers after it");
        }
    }
}

#[test]
fn every_folder_is_registered_and_every_registered_module_has_a_folder() {
    let folders = fs::read_dir(root().join("src/modules")).unwrap().map(|it| it.unwrap());
    let folders: BTreeSet<String> =
        folders.filter(|it| it.path().is_dir()).map(|it| it.file_name().into_string().unwrap()).collect();
    assert_eq!(folders, modules().into_iter().collect());
    // The seventeen that Coffer was founded on are there; one that `coffer module create` made may stand beside them.
    const FOUNDING: [&str; 17] = [
        "auth",
        "balance",
        "category",
        "client",
        "currency",
        "dashboard",
        "funding",
        "investment",
        "market",
        "notification",
        "payment",
        "pricing",
        "role",
        "swap",
        "transaction",
        "user",
        "withdrawal",
    ];
    for name in FOUNDING {
        assert!(folders.contains(name), "{name} is one of the modules Coffer was founded on");
    }
}

#[test]
fn every_module_says_what_it_owns() {
    for (path, text) in sources("src/modules").iter().filter(|it| it.0.ends_with("/mod.rs")) {
        assert!(text.starts_with("//! "), "{path}: begins with what the module is for");
    }
}

#[test]
fn the_kernel_knows_no_module() {
    for (path, text) in sources("src/kernel") {
        assert_eq!(mentions(&text), [], "{path}");
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= 800, "{path} has {lines} lines: split it by use case");
    }
}

#[test]
fn only_the_clock_reads_the_clock_and_only_the_codec_names_bincode() {
    for (path, text) in sources("src") {
        for banned in ["SystemTime::now", "Timestamp::now", "Zoned::now"] {
            assert!(!text.contains(banned) || path == "src/kernel/clock.rs", "{path}: {banned}");
        }
        assert!(
            !text.contains("bincode::") || path.ends_with("store/codec.rs"),
            "{path}: bincode outside codec.rs"
        );
    }
}

#[test]
fn nothing_is_left_unfinished() {
    for (path, text) in sources("src") {
        for mark in ["todo!", "unimplemented!", "FIXME", "XXX"] {
            assert!(!text.contains(mark), "{path}: {mark}");
        }
    }
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let mut texts = sources("src");
    texts.extend(files("docs", &["md"]));
    texts.extend(sources("tests"));
    for name in ["README.md", "CHANGELOG.md", "config.toml", "Cargo.toml", ".ci/run"] {
        texts.push((name.to_owned(), fs::read_to_string(root().join(name)).unwrap()));
    }
    for (path, text) in texts {
        for place in ["work", "root", "home"].map(|it| format!("/{it}/")) {
            assert!(!text.contains(&place), "{path} mentions {place}");
        }
    }
}

#[test]
fn what_benches_reach_into_stays_a_short_list() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let internals = lib.split("pub mod internals").nth(1).unwrap();
    assert!(internals.lines().filter(|it| it.contains("pub use")).count() <= 3, "{internals}");
}

#[test]
fn every_module_and_every_document_is_named_in_the_architecture() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    for module in modules() {
        assert!(map.contains(&format!("`{module}`")), "docs/ARCHITECTURE.md does not name `{module}`");
    }
}
