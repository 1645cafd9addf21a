//! `coffer module create`: a new module in a checkout of the source, complete and tested, to be changed from there.
//!
//! Everything is looked at before anything is written. The files come from `template/`, in which words between two @
//! stand for the module's names; rustfmt lays them out, as longer names take other lines.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use clap::Args;
use serde_json::json;

use super::compiled_in;
use crate::cli::{
    exit::{CANNOT_CREATE, FAULT, Failure, INPUT_OUTPUT, REFUSED},
    output::Answer,
};

#[derive(Args)]
pub struct Create {
    /// Its name, one of it: Product, price_alert
    name: String,
    /// What it owns, in one line
    #[arg(long, value_name = "TEXT")]
    description: String,
}

/// A file of the new module, and its text with names left open.
const FILES: &[(&str, &str)] = &[
    ("src/modules/@name@/mod.rs", include_str!("template/mod.txt")),
    ("src/modules/@name@/contract.rs", include_str!("template/contract.txt")),
    ("src/modules/@name@/events.rs", include_str!("template/events.txt")),
    ("src/modules/@name@/migrations.rs", include_str!("template/migrations.txt")),
    ("src/modules/@name@/repository.rs", include_str!("template/repository.txt")),
    ("src/modules/@name@/routes.rs", include_str!("template/routes.txt")),
    ("src/modules/@name@/service.rs", include_str!("template/service.txt")),
    ("tests/it/@name@.rs", include_str!("template/it.txt")),
];

const LIST: &str = "src/modules/mod.rs";
const MAP: &str = "docs/ARCHITECTURE.md";
const TESTS: &str = "tests/it/main.rs";

impl Create {
    pub fn run(self) -> Result<Answer, Failure> {
        let root = checkout()?;
        let names = Names::of(&self.name, &self.description).map_err(Failure::usage)?;
        names.check_free(&root)?;
        let prefix = free_prefix(&root, &names.name)?;
        let fill = |text: &str| names.fill(text, &prefix);

        let mut files: Vec<(PathBuf, String)> =
            FILES.iter().map(|(path, text)| (fill(path).into(), fill(text))).collect();
        let about = names.about.replace('|', "\\|");
        files.push((LIST.into(), listed(&read(&root, LIST)?, &names.name)?));
        files.push((MAP.into(), mapped(&read(&root, MAP)?, &names.name, &about)?));
        files.push((TESTS.into(), with_mod(&read(&root, TESTS)?, "mod ", &names.name)));

        write_all(&root, &files)?;
        let is_formatted = rustfmt(&root, &files);

        let module = &names.name;
        let steps = [
            format!("COFFER_BLESS=1 cargo test --lib modules::{module}::"),
            "COFFER_BLESS=1 cargo test --test it golden::".to_owned(),
            "cargo test".to_owned(),
        ];
        let paths: Vec<String> = files.iter().map(|it| it.0.display().to_string()).collect();
        let value = json!({
            "module": module,
            "route": format!("/api/v1/{}", names.route),
            "id_prefix": prefix,
            "files": paths,
            "formatted": is_formatted,
            "next": steps,
        });
        let text = format!(
            "{module} is a module now: {} files written, at /api/v1/{}, with ids that start with {prefix}_.\n{}\
             \nHold what is new in routes, tables, events and refusals to its golden files, then test:\n  {}",
            paths.len(),
            names.route,
            if is_formatted { "" } else { "rustfmt is not there: run `cargo fmt`.\n" },
            steps.join("\n  "),
        );
        Ok(Answer::new(value, text))
    }
}

/// The root of the checkout this is called in.
pub fn checkout() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::new(INPUT_OUTPUT, "current_dir", error))?;
    let is_ours = |folder: &&Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|it| it.trim() == "name = \"coffer\"")
    };
    let Some(root) = here.ancestors().find(is_ours) else {
        let message = format!(
            "{}: is not a checkout of Coffer's source: wanted Cargo.toml of the package coffer here or above. Modules \
             are compiled in: clone the repository and run this there",
            here.display()
        );
        return Err(Failure::new(REFUSED, "no_checkout", message));
    };
    if !root.join(LIST).is_file() {
        let message = format!("{}: has no {LIST}, the list of modules; restore it", root.display());
        return Err(Failure::new(REFUSED, "no_checkout", message));
    }
    Ok(root.to_owned())
}

/// The names of the modules of a checkout, in order.
pub fn modules_of(root: &Path) -> Result<Vec<String>, Failure> {
    let list = read(root, LIST)?;
    let names = list.lines().filter_map(|line| line.trim().strip_suffix("::MODULE,"));
    Ok(names.map(str::to_owned).collect())
}

pub fn read(root: &Path, path: &str) -> Result<String, Failure> {
    fs::read_to_string(root.join(path))
        .map_err(|error| Failure::new(INPUT_OUTPUT, "unreadable", format!("{path}: cannot be read: {error}")))
}

/// Writes all of them, each in one step; what was there is only replaced by a whole file.
pub fn write_all(root: &Path, files: &[(PathBuf, String)]) -> Result<(), Failure> {
    for (path, text) in files {
        let failed = |error: std::io::Error| {
            let message = format!("{}: cannot be written: {error}", path.display());
            Failure::new(CANNOT_CREATE, "unwritable", message)
        };
        let full = root.join(path);
        if let Some(folder) = full.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let young = full.with_extension("young");
        fs::write(&young, text).and_then(|()| fs::rename(&young, &full)).map_err(failed)?;
    }
    Ok(())
}

/// Whether rustfmt was there and liked them. The lists stay in order by hand: rustfmt would follow them everywhere.
pub fn rustfmt(root: &Path, files: &[(PathBuf, String)]) -> bool {
    let is_list = |path: &Path| [LIST, TESTS].iter().any(|it| path == Path::new(it));
    let is_rust = |path: &Path| path.extension().is_some_and(|it| it == "rs");
    let rust = files.iter().map(|it| it.0.as_path()).filter(|it| is_rust(it) && !is_list(it));
    let run = Command::new("rustfmt").current_dir(root).args(["--edition", "2024"]).args(rust).output();
    run.is_ok_and(|it| it.status.success())
}

/// A name in all the forms the source needs.
struct Names {
    /// `price_alert`
    name: String,
    /// `price_alerts`
    names: String,
    /// `PriceAlert`
    title: String,
    /// `price-alerts`
    route: String,
    about: String,
}

/// What Rust keeps for itself, as far as it could be the name of a thing; then names of the kernel and of tests.
const RESERVED: &[&str] = &[
    "abstract", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "kernel", "event", "events", "main", "module", "modules", "test",
    "tests", "store", "config",
];

impl Names {
    /// Or what is wrong with them.
    fn of(name: &str, about: &str) -> Result<Names, String> {
        let wanted = "2 to 30 letters, digits and \"_\", first a letter: Product, price_alert";
        let mut snake = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
                snake.push('_');
            }
            snake.push(if letter == '-' { '_' } else { letter.to_ascii_lowercase() });
        }
        let in_name = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_';
        let has_form = (2..=30).contains(&snake.len())
            && snake.starts_with(|it: char| it.is_ascii_lowercase())
            && snake.chars().all(in_name)
            && !snake.ends_with('_')
            && !snake.contains("__");
        if !has_form {
            return Err(format!("the name of a module: found \"{name}\", wanted {wanted}"));
        }
        if RESERVED.contains(&snake.as_str()) {
            return Err(format!("the name of a module: \"{snake}\" is reserved, choose another"));
        }
        let about = about.trim().trim_end_matches('.');
        if about.is_empty() || about.chars().count() > 80 || about.chars().any(char::is_control) {
            return Err("--description: wanted one line of 1 to 80 characters".to_owned());
        }
        let names = plural(&snake);
        let title = snake.split('_').map(capitalised).collect();
        Ok(Names { route: names.replace('_', "-"), name: snake, names, title, about: about.to_owned() })
    }

    /// Neither the checkout nor this binary knows the name.
    fn check_free(&self, root: &Path) -> Result<(), Failure> {
        let name = &self.name;
        let taken = |what: String| Err(Failure::new(REFUSED, "module_exists", what));
        if modules_of(root)?.contains(name) || root.join("src/modules").join(name).exists() {
            return taken(format!("there is a module {name} already, in src/modules/{name}"));
        }
        if root.join(format!("tests/it/{name}.rs")).exists() {
            return taken(format!("tests/it/{name}.rs is there already; choose another name"));
        }
        let app = compiled_in(None)?;
        let first =
            |path: &str| path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        if let Some(other) = app.kernel().endpoints.iter().find(|it| first(it.path) == self.route) {
            return taken(format!(
                "/api/v1/{} belongs to {} already; choose another name",
                self.route, other.module
            ));
        }
        Ok(())
    }

    fn fill(&self, text: &str, prefix: &str) -> String {
        let words = self.name.replace('_', " ");
        let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let (a_words, about) = (format!("{article} {words}"), &self.about);
        [
            ("@A_words@", capitalised(&a_words)),
            ("@a_words@", a_words),
            ("@a_name@", format!("{article}_{}", self.name)),
            ("@words_many@", self.names.replace('_', " ")),
            ("@Words@", capitalised(&words)),
            ("@words@", words),
            ("@Name@", self.title.clone()),
            ("@NAMES@", self.names.to_uppercase()),
            ("@names@", self.names.clone()),
            ("@name@", self.name.clone()),
            ("@route@", self.route.clone()),
            ("@prefix@", prefix.to_owned()),
            ("@about_text@", about.replace('\\', "\\\\").replace('"', "\\\"")),
            ("@about@", about.clone()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
    }
}

fn plural(name: &str) -> String {
    let vowel_before_y = ["ay", "ey", "oy", "uy"].iter().any(|it| name.ends_with(it));
    match name.strip_suffix('y') {
        Some(stem) if !vowel_before_y => format!("{stem}ies"),
        _ if ["s", "x", "z", "ch", "sh"].iter().any(|it| name.ends_with(it)) => format!("{name}es"),
        _ => format!("{name}s"),
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// Three letters of the name, in its order, that no id starts with: `pro`, or `prd` where that is taken.
fn free_prefix(root: &Path, name: &str) -> Result<String, Failure> {
    let mut taken: Vec<String> =
        compiled_in(None)?.kernel().aliases.iter().map(|it| it.prefix.to_owned()).collect();
    // The checkout may be newer than this binary.
    for module in modules_of(root)? {
        let page = read(root, &format!("src/modules/{module}/mod.rs")).unwrap_or_default();
        let aliases = page.split("alias(\"").skip(1).filter_map(|it| it.split('"').next());
        taken.extend(aliases.map(str::to_owned));
    }
    let letters: Vec<char> = name.chars().filter(char::is_ascii_lowercase).chain("xyzw".chars()).collect();
    let rest = &letters[1..];
    let pairs = rest.iter().enumerate().flat_map(|(at, a)| rest[at + 1..].iter().map(move |b| (a, b)));
    let mut prefixes = pairs.map(|(a, b)| format!("{}{a}{b}", letters[0]));
    let free = prefixes.find(|it| !taken.contains(it));
    free.ok_or_else(|| Failure::new(FAULT, "no_prefix", format!("every prefix for ids of {name} is taken")))
}

/// The list of modules with one more: last, so that it may call all of them.
fn listed(list: &str, name: &str) -> Result<String, Failure> {
    let end = "\n];";
    let start = list.find("pub const MODULES").unwrap_or(0);
    let Some(at) = list[start..].find(end).map(|it| start + it) else {
        return Err(Failure::new(REFUSED, "no_checkout", format!("{LIST}: has no list MODULES; restore it")));
    };
    let with_line = format!("{}\n    {name}::MODULE,{}", &list[..at], &list[at..]);
    Ok(with_mod(&with_line, "pub mod ", name))
}

/// A `mod` line among those that begin the same, in order.
fn with_mod(text: &str, begins: &str, name: &str) -> String {
    let line = format!("{begins}{name};");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_mod = |it: &&str| it.starts_with(begins) && it.ends_with(';');
    let behind = lines.iter().rposition(|it| is_mod(it) && *it < line.as_str()).map(|it| it + 1);
    let at = behind.or_else(|| lines.iter().position(is_mod)).unwrap_or(0);
    lines.insert(at, &line);
    lines.join("\n") + "\n"
}

/// The map with a line more in its table of modules.
fn mapped(map: &str, name: &str, about: &str) -> Result<String, Failure> {
    let mut lines: Vec<&str> = map.lines().collect();
    let head = lines.iter().position(|it| it.starts_with("| module "));
    let Some(head) = head else {
        return Err(Failure::new(
            REFUSED,
            "no_checkout",
            format!("{MAP}: has no table of modules; restore it"),
        ));
    };
    let end = lines[head..].iter().position(|it| !it.starts_with('|')).map_or(lines.len(), |it| head + it);
    let line = format!("| `{name}` | {about} |");
    lines.insert(end, &line);
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_in_any_writing_and_refused_when_it_is_none() {
        for (written, name, route, title) in [
            ("Product", "product", "products", "Product"),
            ("PriceAlert", "price_alert", "price-alerts", "PriceAlert"),
            ("price-alert", "price_alert", "price-alerts", "PriceAlert"),
            ("category2", "category2", "category2s", "Category2"),
            ("Company", "company", "companies", "Company"),
            ("tax", "tax", "taxes", "Tax"),
            ("survey", "survey", "surveys", "Survey"),
        ] {
            let names = Names::of(written, "Things").unwrap_or_else(|error| panic!("{written}: {error}"));
            let found = (names.name.as_str(), names.route.as_str(), names.title.as_str());
            assert_eq!(found, (name, route, title));
        }
        for wrong in
            ["", "x", "1st", "a b", "a/b", "../x", "type", "Kernel", "a__b", "a_", "schön", &"x".repeat(31)]
        {
            assert!(Names::of(wrong, "Things").is_err(), "{wrong}");
        }
        for wrong in ["", "  ", "two\nlines", &"x".repeat(81)] {
            assert!(Names::of("product", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_word_is_left_open_and_the_description_stays_text() {
        let names = Names::of("invoice", "What \"we\" sent, 1\\2").unwrap();
        for (path, text) in FILES {
            let filled = names.fill(path, "inv") + &names.fill(text, "inv");
            assert!(!filled.contains('@'), "{path}: {filled}");
        }
        assert!(names.fill(FILES[0].1, "inv").contains(r#"about: "What \"we\" sent, 1\\2""#));
        assert!(names.fill(FILES[1].1, "inv").contains("/** An invoice. */ InvoiceId"));
    }

    #[test]
    fn a_module_takes_its_place_in_the_lists() {
        let list =
            "pub mod auth;\npub mod role;\n\npub const MODULES: &[Module] = &[\n    role::MODULE,\n];\n";
        let found = listed(list, "product").unwrap();
        let wanted = "pub mod auth;\npub mod product;\npub mod role;\n\npub const MODULES: &[Module] = &[\n    \
                      role::MODULE,\n    product::MODULE,\n];\n";
        assert_eq!(found, wanted);
        assert!(with_mod("mod role;\n", "mod ", "auth").starts_with("mod auth;\nmod role;"));
        let map = "x\n\n| module | owns |\n|---|---|\n| `role` | roles |\n\nA module is\n";
        let mapped = mapped(map, "product", "things").unwrap();
        assert!(mapped.contains("| `role` | roles |\n| `product` | things |\n\nA module"), "{mapped}");
    }
}
