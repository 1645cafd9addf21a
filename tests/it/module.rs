//! `coffer module`: what a developer and an operator do to modules.

use std::{collections::BTreeMap, fs, path::Path};

use coffer::testing::Instance;
use serde_json::json;

use crate::cli::{Place, texts};

/// As much of a checkout as `module create` looks at.
pub fn checkout(place: &Place) {
    let list = "pub mod role;\n\npub const MODULES: &[Module] = &[\n    role::MODULE,\n];\n";
    let map = "# Map\n\n| module | owns |\n|---|---|\n| `role` | roles |\n\nMore.\n";
    for (path, text) in [
        ("Cargo.toml", "[package]\nname = \"coffer\"\n"),
        ("src/modules/mod.rs", list),
        ("src/modules/role/mod.rs", "//! Roles.\n\nboot.alias(\"pro\", \"role\");\n"),
        ("docs/ARCHITECTURE.md", map),
        ("tests/it/main.rs", "//! Tests.\n\nmod role;\n"),
    ] {
        let path = place.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Every file below, and what is in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// The error's code, of a command that must end with `exit`.
#[track_caller]
fn refused(place: &Place, arguments: &[&str], exit: i32) -> String {
    let output = place.command(arguments).arg("--json").output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(exit), ""), "{arguments:?}: {err}");
    let error: serde_json::Value = serde_json::from_str(&err).unwrap();
    error["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_module_is_written_into_a_checkout_and_nowhere_else() {
    let place = Place::new();
    let create = ["module", "create", "PriceAlert", "--description", "Prices users wait for"];
    assert_eq!(refused(&place, &create, 64), "no_checkout");
    checkout(&place);
    let before = files(&place.path(""));
    for (name, about, exit, code) in [
        ("role", "Roles", 64, "module_exists"),
        // The binary has it, whatever the checkout says.
        ("User", "Users", 64, "module_exists"),
        ("../x", "X", 2, "usage"),
        ("type", "X", 2, "usage"),
        ("x", "X", 2, "usage"),
        ("product", " ", 2, "usage"),
        ("product", "two\nlines", 2, "usage"),
    ] {
        let arguments = ["module", "create", name, "--description", about];
        assert_eq!(refused(&place, &arguments, exit), code, "{name}");
    }
    assert_eq!(files(&place.path("")), before, "a refusal writes nothing");

    let made = place.command(&create).arg("--json").output().unwrap();
    let (out, err) = texts(&made);
    assert_eq!((made.status.code(), err.as_str()), (Some(0), ""));
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&made["module"], &made["route"]), (&json!("price_alert"), &json!("/api/v1/price-alerts")));
    let read = |path: &str| fs::read_to_string(place.path(path)).unwrap();
    let list = read("src/modules/mod.rs");
    assert!(list.starts_with("pub mod price_alert;\npub mod role;\n"), "{list}");
    assert!(list.contains("    role::MODULE,\n    price_alert::MODULE,\n];"), "{list}");
    assert!(read("docs/ARCHITECTURE.md").contains("| `price_alert` | Prices users wait for |\n\nMore."));
    assert_eq!(read("tests/it/main.rs"), "//! Tests.\n\nmod price_alert;\nmod role;\n");
    // `pro` is the id prefix of the checkout's Role, so not even a product may have it.
    assert_eq!(place.json("module create Product --description Goods")["id_prefix"], "prd");
    assert_eq!(refused(&place, &create, 64), "module_exists");

    // From inside the module, its name need not be said.
    let mut make = place.command(&["module", "migration", "make", "find by price", "--json"]);
    assert_eq!(
        make.current_dir(place.path("src/modules/price_alert")).output().unwrap().status.code(),
        Some(0)
    );
    assert!(read("src/modules/price_alert/migrations.rs").contains("version: 2"));
    assert_eq!(refused(&place, &["module", "migration", "make", "find by price"], 2), "usage");
    let unknown = ["module", "migration", "make", "find by price", "--module", "nothing"];
    assert_eq!(refused(&place, &unknown, 64), "not_found");
    // A module without migrations gets its first.
    let page = place.path("src/modules/role/mod.rs");
    fs::write(&page, "//! Roles.\n\nmod routes;\n\nconst M: Module = Module { migrations: &[] };\n").unwrap();
    assert_eq!(place.json("module migration make sort_roles --module role")["version"], 1);
    assert!(fs::read_to_string(&page).unwrap().contains("mod migrations;\nmod routes;"));
    let again = ["module", "migration", "make", "sort roles", "--module", "role"];
    assert_eq!(refused(&place, &again, 64), "unreadable");
}

#[test]
fn migrations_are_undone_and_done_again_while_no_server_runs() {
    let place = Place::new();
    assert_eq!(refused(&place, &["module", "migrate", "--all"], 66), "data_missing");
    place.json("operator create ops@example.com");
    assert_eq!(place.json("module migrate --all")["data"], json!([]));
    assert_eq!(refused(&place, &["module", "migrate", "nothing"], 64), "not_found");
    assert_eq!(refused(&place, &["module", "migrate"], 2), "usage");
    assert_eq!(refused(&place, &["module", "rollback", "user", "--steps", "0"], 2), "usage");
    // There is an operator, in rows of Auth, which requires Client, which requires Currency.
    assert_eq!(refused(&place, &["module", "rollback", "currency"], 64), "needed");
    // Which left the file as a crash would.
    assert_eq!(place.json("verify")["ok"], true);

    let server = place.serve(&[]);
    assert_eq!(refused(&place, &["module", "rollback", "user"], 69), "server_runs");
    assert_eq!(refused(&place, &["module", "migrate", "--all"], 69), "server_runs");
    let applied = place.json("module migration status user");
    assert!(applied["data"][0]["applied_at"].is_string(), "{applied}");
    assert_eq!(server.stop(), Some(0));

    // Dashboard requires User, and counted after it.
    assert_eq!(refused(&place, &["module", "rollback", "user"], 64), "needed");
    assert_eq!(place.json("module rollback dashboard")["data"].as_array().unwrap().len(), 1);
    // So does Funding, which found referrals after it.
    assert_eq!(place.json("module rollback funding")["data"].as_array().unwrap().len(), 1);
    // And Payment, which knows addresses since.
    assert_eq!(place.json("module rollback payment")["data"].as_array().unwrap().len(), 1);
    let undone = place.json("module rollback user --steps 5");
    assert_eq!(
        undone["data"],
        json!([
            { "module": "user", "version": 2, "name": "find users by name", "applied_at": null },
            { "module": "user", "version": 1, "name": "find users by role", "applied_at": null },
        ])
    );
    assert_eq!(place.json("module migration status user")["data"][0]["applied_at"], json!(null));
    assert_eq!(place.json_exiting("module list --health", 1)["data"][4]["health"]["status"], "failing");
    assert_eq!(place.json("module rollback user")["data"], json!([]));
    let done = place.json("module migrate user");
    assert_eq!(done["data"][0]["name"], "find users by role");
    let known = "know addresses in the whole installation";
    assert_eq!(place.json("module migrate payment")["data"][0]["name"], known);
    assert_eq!(place.json("module migrate funding")["data"][0]["name"], "find referrals by referrer");
    assert_eq!(place.json("module migrate dashboard")["data"][0]["version"], 1);
    assert_eq!(place.json("verify")["ok"], true);
}

#[test]
fn an_optional_module_is_switched_off_and_a_core_module_is_not() {
    let place = Place::new();
    fs::write(place.path("config.toml"), "# Ours.\n[log]\nlevel = \"warn\"\n").unwrap();
    assert_eq!(refused(&place, &["module", "disable", "balance"], 64), "core_module");
    assert_eq!(refused(&place, &["module", "disable", "nothing"], 64), "not_found");
    assert_eq!(refused(&place, &["serve", "--set", "modules.balance.enabled=false"], 78), "configuration");
    let misspelt = ["serve", "--set", "modules.notification.enable=false"];
    assert_eq!(refused(&place, &misspelt, 78), "config");

    let off = place.json("module disable notification");
    assert_eq!((&off["enabled"], &off["takes_effect"]), (&json!(false), &json!("next start")));
    let file = fs::read_to_string(place.path("config.toml")).unwrap();
    assert_eq!(file, "# Ours.\n[log]\nlevel = \"warn\"\n\n[modules.notification]\nenabled = false\n");
    let listed = place.json("module list");
    let row = listed["data"].as_array().unwrap().iter().find(|it| it["name"] == "notification").unwrap();
    assert_eq!(
        (&row["enabled"], &row["optional"], &row["connection"]),
        (&json!(false), &json!(true), &json!("default"))
    );
    let overridden = ["module", "enable", "notification", "--set", "modules.notification.enabled=false"];
    assert_eq!(refused(&place, &overridden, 78), "overridden");
}

#[tokio::test]
async fn what_is_switched_off_has_no_routes_and_hears_nothing() {
    let off = |config: &mut coffer::config::Config| {
        config.modules.entry("notification".into()).or_default().enabled = false;
    };
    let coffer = Instance::builder().configure(off).start().await;
    coffer.key().get("/webhook-endpoints").await.refused(404, "not_found");
    let user = json!({ "email": "ada@example.com", "first_name": "A", "last_name": "B" });
    coffer.key().post("/users", user).await.expect(201);
    coffer.settle().await;
    let waiting = coffer.enqueued();
    assert!(!waiting.iter().any(|it| it.starts_with("notification")), "{waiting:?}");
    assert_eq!(coffer.mailbox().len(), 0);
    assert!(coffer.catalogue().tables.iter().any(|it| it.starts_with("notification.inbox")));
    coffer.operator().get("/api/gateway/health").await.expect(200);
    let module = coffer.operator().get("/api/gateway/modules/notification").await.expect(200);
    assert_eq!(
        (&module.body["enabled"], &module.body["health"]["status"]),
        (&json!(false), &json!("disabled"))
    );
}

#[tokio::test]
async fn the_market_lives_in_a_file_of_its_own() {
    let aside = |config: &mut coffer::config::Config| {
        let database = &mut config.modules.entry("market".into()).or_default().database;
        (database.connection, database.prefix) = ("prices".into(), "eu_".into());
        config.connections.entry("prices".into()).or_default().path = "prices.redb".into();
    };
    let coffer = Instance::builder().configure(aside).start().await;
    let key = coffer.key();

    let pair = json!({ "base": "ETH", "quote": "BTC" });
    let market = key.post("/markets", pair.clone()).await.expect(201);
    key.post("/markets", pair).await.refused(409, "market_taken");
    let price = json!({ "price": "0.05" });
    key.post(&format!("/markets/{}/prices", market.id()), price).await.expect(201);
    let rate = key.get("/markets/convert?from=ETH&to=BTC&amount=2").await.expect(200);
    assert_eq!(rate.body["to_amount"], "0.10000000", "{}", rate.body);
    // A price far off is refused, and that is announced in `default`.
    coffer.new_events();
    let far = json!({ "price": "50" });
    key.post(&format!("/markets/{}/prices", market.id()), far).await;
    coffer.settle().await;
    assert_eq!(coffer.new_events(), ["market.price_rejected"]);
    // What was done to it stands in the one audit log.
    let audit = key.get("/audit").await.expect(200);
    assert!(
        audit.body["data"].as_array().unwrap().iter().any(|it| it["action"] == "POST /markets"),
        "{}",
        audit.body
    );
    let module = coffer.operator().get("/api/gateway/modules/market").await.expect(200);
    assert_eq!((&module.body["connection"], &module.body["prefix"]), (&json!("prices"), &json!("eu_")));
    assert_eq!(module.body["health"]["status"], "ok");
}

#[test]
fn a_module_pinned_to_the_books_says_so_when_it_is_configured_elsewhere() {
    let place = Place::new();
    let (path, connection) =
        ("connections.aside.path=aside.redb", "modules.funding.database.connection=aside");
    for (arguments, says) in [
        (vec![path, connection], "one transaction with the books"),
        (vec![path, "modules.dashboard.database.connection=aside"], "in the transaction in which it happens"),
        (vec![connection], "set connections.aside.path"),
        (vec![path], "no module lives there"),
        (vec!["modules.nothing.enabled=true"], "there is no such module"),
        (vec!["connections.aside.path=data/coffer.redb", connection], "found the path of storage.path"),
    ] {
        let sets = arguments.iter().flat_map(|it| ["--set", it]);
        let arguments: Vec<&str> = ["serve"].into_iter().chain(sets).collect();
        let output = place.command(&arguments).output().unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(78), "{err}");
        assert!(err.contains(says), "wanted \"{says}\":\n{err}");
    }
    assert!(!place.path("data").exists(), "nothing was touched");
}
