use std::sync::Arc;

use super::*;
use crate::kernel::{
    api::endpoint::{get, post},
    boot::{Boot, BootError, Module},
    error::Result,
    secret::Secrets,
    store::{Store, StoreOptions, Table, WriteTx, migration::Migration as Step},
};

const LOWER: Table<u32, u64> = Table::new("lower.rows");
const UPPER: Table<u32, u64> = Table::new("upper.rows");
const PURSE: Table<u32, u64> = Table::new("purse.rows");

trait LowerContract: Send + Sync {}
struct Lower;
impl LowerContract for Lower {}

fn make(table: &'static Table<u32, u64>) -> fn(&mut WriteTx) -> Result<()> {
    match table.name {
        "lower.rows" => |tx| tx.put(&LOWER, &1, &1),
        "upper.rows" => |tx| tx.put(&UPPER, &1, &1),
        _ => |tx| {
            tx.create_table(&PURSE);
            Ok(())
        },
    }
}

const LOWER_STEPS: &[Step] =
    &[Step { version: 1, name: "make lower", up: |tx| make(&LOWER)(tx), down: |tx| tx.drop_table(&LOWER) }];
const UPPER_STEPS: &[Step] =
    &[Step { version: 1, name: "make upper", up: |tx| make(&UPPER)(tx), down: |tx| tx.drop_table(&UPPER) }];
const PURSE_STEPS: &[Step] =
    &[Step { version: 1, name: "make purse", up: |tx| make(&PURSE)(tx), down: |tx| tx.drop_table(&PURSE) }];

fn lower(boot: &mut Boot) -> std::result::Result<(), BootError> {
    boot.tables(vec![LOWER.info()]);
    boot.endpoints(vec![
        get("/lower").about("Show").open().runs(|_, _: crate::kernel::api::call::Call| async { Ok(()) }),
    ]);
    boot.provide::<dyn LowerContract>(Arc::new(Lower))
}

fn upper(boot: &mut Boot) -> std::result::Result<(), BootError> {
    boot.require::<dyn LowerContract>()?;
    boot.tables(vec![UPPER.info()]);
    Ok(())
}

fn purse(boot: &mut Boot) -> std::result::Result<(), BootError> {
    boot.tables(vec![PURSE.info()]);
    let pay = post("/purse").about("Pay").needs("purse.pay").money();
    boot.endpoints(vec![pay.writes(|_, _: &crate::kernel::api::call::Call| Ok(()))]);
    Ok(())
}

const MODULES: &[Module] = &[
    Module { name: "lower", about: "What others need", register: lower, migrations: LOWER_STEPS },
    Module { name: "upper", about: "What needs it", register: upper, migrations: UPPER_STEPS },
    Module { name: "purse", about: "What pays", register: purse, migrations: PURSE_STEPS },
];

/// Everything registered and migrated.
fn kernel(config: Config) -> Kernel {
    let store = Store::in_memory(StoreOptions::default());
    let mut boot = Boot::new(store.clone(), Arc::new(Secrets::new(&[0; 32])), Arc::new(config), true);
    for module in MODULES {
        migration::migrate(&store, module.name, module.migrations).unwrap();
        boot.register(module).unwrap();
    }
    boot.finish(1).unwrap()
}

fn undo(kernel: &Kernel, module: &str, may_drop_rows: bool) -> std::result::Result<Undone, Failure> {
    roll_back(kernel, find(kernel, module)?, 1, may_drop_rows)
}

#[test]
fn what_a_later_migration_of_another_module_needs_is_not_rolled_back() {
    let kernel = kernel(Config::default());
    let refused = undo(&kernel, "lower", true).unwrap_err();
    assert_eq!(refused.code, "needed");
    assert!(refused.message.contains("migration 1 of upper (make upper)"), "{}", refused.message);
    let undone = undo(&kernel, "upper", false).unwrap();
    assert_eq!(undone.rows_deleted, BTreeMap::from([("upper.rows".to_owned(), 1)]));
    assert_eq!(undo(&kernel, "lower", false).unwrap().migrations.len(), 1);
    assert_eq!(undo(&kernel, "lower", false).unwrap().migrations, vec![]);
    let tables = kernel.store.read(crate::kernel::store::ReadTx::table_names).unwrap();
    assert!(!tables.contains(&"lower.rows".to_owned()), "{tables:?}");
    assert_eq!(undo(&kernel, "nothing", false).unwrap_err().code, "not_found");
}

#[test]
fn rows_that_others_build_on_go_only_when_told() {
    let kernel = kernel(Config::default());
    undo(&kernel, "upper", false).unwrap();
    kernel.store.write_blocking(|tx| tx.put(&UPPER, &7, &7)).unwrap();
    let refused = undo(&kernel, "lower", false).unwrap_err();
    assert_eq!(refused.code, "needed");
    assert!(
        refused.message.contains("upper requires lower: what upper.rows refers to"),
        "{}",
        refused.message
    );
    undo(&kernel, "lower", true).unwrap();
}

#[test]
fn rows_that_say_what_became_of_money_go_only_when_told() {
    let kernel = kernel(Config::default());
    kernel.store.write_blocking(|tx| tx.put(&PURSE, &1, &100)).unwrap();
    let refused = undo(&kernel, "purse", false).unwrap_err();
    assert_eq!(refused.code, "money_rows");
    assert!(refused.message.contains("1 rows of purse.rows"), "{}", refused.message);
    assert_eq!(kernel.store.read(|tx| tx.get(&PURSE, &1)).unwrap(), Some(100));
    undo(&kernel, "purse", true).unwrap();
    assert_eq!(kernel.store.read(|tx| tx.get(&PURSE, &1)).unwrap(), None);
}

#[test]
fn nothing_is_touched_while_the_data_is_not_well() {
    let kernel = kernel(Config::default());
    look(&kernel).unwrap();
    kernel
        .store
        .write_blocking(|tx| {
            tx.raw_put(LOWER.name, vec![0, 0, 0, 9], vec![1, 2, 3]);
            Ok(())
        })
        .unwrap();
    let refused = look(&kernel).unwrap_err();
    assert_eq!((refused.exit, refused.code.as_str()), (PROBLEMS_FOUND, "problems_found"));
}

#[test]
fn a_module_that_is_switched_off_keeps_its_tables_and_names_who_needs_it() {
    let off = |names: &[&str]| {
        let mut config = Config::default();
        names.iter().for_each(|it| config.modules.entry((*it).to_owned()).or_default().enabled = false);
        config
    };
    let kernel = kernel(off(&["purse"]));
    assert!(!kernel.endpoints.iter().any(|it| it.module == "purse"));
    assert!(kernel.tables.iter().any(|it| it.name == "purse.rows"));
    assert!(kernel.modules.iter().any(|it| it.name == "purse" && !it.is_enabled));

    let register = |config: Config| {
        let store = Store::in_memory(StoreOptions::default());
        let mut boot = Boot::new(store, Arc::new(Secrets::new(&[0; 32])), Arc::new(config), true);
        MODULES.iter().try_for_each(|it| boot.register(it))
    };
    let refused = register(off(&["lower"])).unwrap_err().to_string();
    assert!(refused.contains("`upper`") && refused.contains("modules.lower.enabled"), "{refused}");
    register(off(&["lower", "upper"])).unwrap();
}

#[test]
fn a_migration_is_written_behind_the_last() {
    let before = "use x;\n\npub const MIGRATIONS: &[Migration] =\n    &[Migration { version: 4, name: \"a b\", up: a, down: b }];\n\nfn a() {}\n";
    let (version, text) = with_migration("product", Some(before), "find by colour").unwrap();
    assert_eq!(version, 5);
    assert!(text.contains("down: b },\n    Migration { version: 5, name: \"find by colour\", up: find_by_colour, down: undo_find_by_colour },\n];"), "{text}");
    assert!(text.contains("fn a() {}\n\nfn find_by_colour("), "{text}");
    assert!(with_migration("product", Some(&text), "find by colour").is_err());
    assert!(with_migration("product", Some("nothing"), "find by colour").is_err());
    let (version, text) = with_migration("product", None, "make it").unwrap();
    assert!(version == 1 && text.contains("&[\n    Migration { version: 1,"), "{text}");
    assert_eq!(named("Find_products-by  colour"), Ok("find products by colour".to_owned()));
    for wrong in ["", "ab", "1st", "a/b/c", "schön machen"] {
        assert!(named(wrong).is_err(), "{wrong}");
    }
    let page = "//! X\n\npub mod contract;\nmod model;\nmod routes;\n\nmigrations: &[],\n";
    let linked = linked(page).unwrap();
    assert!(linked.contains("pub mod contract;\nmod migrations;\nmod model;"), "{linked}");
}
