//! A module with a file of its own, as a server runs it: `diary`, which hears of users.

use std::path::Path;

use hyper::{Method, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    app::App,
    kernel::{
        annex::{HEARD, MARKS, RELAY, Relayed},
        api::{
            audit::AUDIT,
            call::{Call, Caller},
            dispatch::Peer,
            endpoint::{get, post},
            input::input,
            page::Page,
            principal::UserId,
        },
        boot::{Boot, BootError},
        clock::{Clock, Time},
        events::{
            delivery::DELIVERIES,
            event::{Mode, event},
            outbox::EVENTS,
        },
        id::{Id as _, id},
        secret::Secrets,
        store::{WriteTx, codec::golden, migration::Migration, random::Random},
    },
    modules::user::events::UserRegistered,
};

id!(/** A page of the diary. */ PageId, "dry");

const PAGES: Table<PageId, DiaryPage> = Table::new("diary.pages");
/// () → how many users were heard of.
const COUNT: Table<(), u64> = Table::new("diary.count");

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct DiaryPage {
    text: String,
}
row!(DiaryPage);

/// A page was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
struct PageWritten {
    page_id: PageId,
}
event!(PageWritten, "diary.page_written", page_id);

/// A page to be written.
#[derive(utoipa::ToSchema)]
struct PageIn {
    text: String,
}
input!(PageIn { text });

#[derive(Serialize, utoipa::ToSchema)]
struct PageOut {
    id: String,
    text: String,
}

fn write(tx: &mut WriteTx, call: &Call<(), PageIn>) -> Result<PageOut> {
    let id: PageId = tx.new_id();
    let text = call.input.text.clone();
    if text == "users" {
        // A mistake that must be loud: users are in another file.
        tx.put(&Table::<u32, u64>::new("user.users"), &1, &1)?;
    }
    tx.put(&PAGES, &id, &DiaryPage { text: text.clone() })?;
    tx.publish(&call.caller, &PageWritten { page_id: id })?;
    Ok(PageOut { id: id.to_string(), text })
}

fn list(tx: &ReadTx, _: &Call) -> Result<Page<PageOut>> {
    let rows = tx
        .scan(&PAGES, Scan::all())
        .map(|row| row.map(|(id, row)| PageOut { id: id.to_string(), text: row.text }));
    Ok(Page::whole(rows.collect::<Result<_>>()?))
}

fn register(boot: &mut Boot) -> std::result::Result<(), BootError> {
    boot.tables(vec![PAGES.info(), COUNT.info()]);
    boot.announces::<PageWritten>();
    boot.endpoints(vec![
        get("/diary").about("List the pages").operator().lists(list),
        post("/diary").about("Write a page").operator().writes(write),
    ]);
    boot.check("the diary counts", |tx| {
        Ok(tx.get(&COUNT, &())?.filter(|it| *it > 1000).map(|it| it.to_string()).into_iter().collect())
    });
    boot.listen::<UserRegistered>("diary.count", Mode::Queue, |tx, _, _| {
        let count = tx.get(&COUNT, &())?.unwrap_or(0);
        tx.put(&COUNT, &(), &(count + 1))
    });
    Ok(())
}

const STEPS: &[Migration] = &[Migration {
    version: 1,
    name: "make the pages",
    up: |tx| {
        tx.create_table(&PAGES);
        Ok(())
    },
    down: |tx| tx.drop_table(&PAGES),
}];

const DIARY: Module = Module { name: "diary", about: "What happened", register, migrations: STEPS };

/// Hears of users in the transaction that makes them, so it has to stay where users are.
const CLINGY: Module = Module {
    name: "clingy",
    about: "Stays",
    register: |boot| {
        boot.listen::<UserRegistered>("clingy.see", Mode::Sync, |_, _, _| Ok(()));
        Ok(())
    },
    migrations: &[],
};

/// The modules of the product that a diary needs around it, then those of the test.
fn cast() -> Cast {
    let modules: Vec<Module> = modules::MODULES
        .iter()
        .chain([&DIARY, &CLINGY])
        .map(|it| Module { name: it.name, about: it.about, register: it.register, migrations: it.migrations })
        .collect();
    Cast {
        modules: modules.leak(),
        optional: modules::OPTIONAL,
        may_live_alone: &["diary", "clingy"],
        beside_outbox: &["diary.slips"],
    }
}

fn config(place: &Path, connection: &str, prefix: &str) -> Config {
    let mut config = Config::default();
    config.storage.path = place.join("coffer.redb");
    let rule = config.modules.entry("diary".into()).or_default();
    rule.database = Database { connection: connection.into(), prefix: prefix.into() };
    if connection != DEFAULT {
        config.connections.entry(connection.into()).or_default().path = place.join("aside.redb");
    }
    config
}

fn start(config: Config) -> std::result::Result<App, StartError> {
    let options =
        StoreOptions { clock: Clock::manual(Time::from_micros(1_800_000_000_000_000)), ..Default::default() };
    let store = Store::open_file(&config.storage.path, true, options).unwrap();
    App::start_as(&cast(), store, Secrets::new(&[7; 32]), config, false)
}

/// Status and body, as the machine's administrator.
async fn send(app: &App, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    use http_body_util::BodyExt as _;
    let mut request =
        Request::builder().method(method).uri(format!("/api/v1{path}")).header("host", "localhost");
    if body.is_some() {
        let key = data_encoding::HEXLOWER.encode(&Random::Os.bytes::<8>());
        request = request.header("content-type", "application/json").header("idempotency-key", key);
    }
    let body = body.map_or_else(axum::body::Body::empty, |it| it.to_string().into());
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true });
    let answer = app.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn settle_all(app: &App) {
    let kernel = app.kernel().clone();
    tokio::task::spawn_blocking(move || kernel.worker.settle()).await.unwrap().unwrap();
}

/// Announces that there is a user more.
fn a_user(app: &App) {
    let user = UserRegistered { user_id: UserId::from_bytes([9; 16]), referred_by: None };
    app.kernel().store.write_blocking(move |tx| tx.publish(&Caller::system(None), &user)).unwrap();
}

fn diary(app: &App) -> &Store {
    app.kernel().store_of("diary")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_with_a_file_of_its_own_runs_in_it() {
    let place = tempfile::tempdir().unwrap();
    let mut app = start(config(place.path(), "aside", "eu_")).unwrap();
    let (status, page) = send(&app, Method::POST, "/diary", Some(json!({ "text": "Rain" }))).await;
    assert_eq!((status, &page["text"]), (201, &json!("Rain")), "{page}");
    let (_, pages) = send(&app, Method::GET, "/diary", None).await;
    assert_eq!(pages["data"][0]["text"], "Rain");

    // The row is in its file, under its prefix; the event, its deliveries and the audit row are in `default`.
    settle_all(&app).await;
    let published = |tx: &ReadTx| {
        let rows = tx.scan(&EVENTS, Scan::all()).map(|it| it.map(|it| it.1.name));
        rows.collect::<Result<Vec<_>>>()
    };
    assert_eq!(app.kernel().store.read(published).unwrap(), ["diary.page_written"]);
    let audited =
        app.kernel().store.read(|tx| tx.scan(&AUDIT, Scan::all()).collect::<Result<Vec<_>>>()).unwrap();
    assert_eq!(audited[0].1.action, "POST /diary");
    assert_eq!(diary(&app).read(|tx| Ok(tx.scan(&RELAY, Scan::all()).count())).unwrap(), 0);

    // A mistake is a fault of the one command, and the server goes on.
    assert_eq!(send(&app, Method::POST, "/diary", Some(json!({ "text": "users" }))).await.0, 500);
    assert_eq!(send(&app, Method::POST, "/diary", Some(json!({ "text": "Sun" }))).await.0, 201);

    a_user(&app);
    settle_all(&app).await;
    assert_eq!(diary(&app).read(|tx| tx.get(&COUNT, &())).unwrap(), Some(1));
    // The dashboard is right to miss the user: there is an event of it and nobody behind it.
    let left_out = BTreeSet::from(["dashboard"]);
    assert_eq!(app.kernel().verify_all(&left_out).unwrap(), Vec::<String>::new());
    app.close();

    let raw = Store::open_file(&place.path().join("aside.redb"), false, StoreOptions::default()).unwrap();
    let tables = raw.read(ReadTx::table_names).unwrap();
    assert!(
        tables.contains(&"eu_diary.pages".to_owned()) && !tables.contains(&"diary.pages".to_owned()),
        "{tables:?}"
    );
    raw.close().unwrap();
    // Started again, everything is where it was.
    let app = start(config(place.path(), "aside", "eu_")).unwrap();
    assert_eq!(send(&app, Method::GET, "/diary", None).await.1["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_heard_once_whatever_was_cut_off() {
    let place = tempfile::tempdir().unwrap();
    let mut config = config(place.path(), "aside", "");
    config.events.enabled = false; // Nothing runs until the test says so.
    let app = start(config).unwrap();
    a_user(&app);
    let store = &app.kernel().store;
    let waiting = store.read(|tx| tx.scan(&DELIVERIES, Scan::all()).collect::<Result<Vec<_>>>()).unwrap();
    let (key, row) = waiting.iter().find(|it| it.1.listener == "diary.count").unwrap();
    let (key, event) = (*key, row.event.unwrap());

    // As if the process had ended between the two commits: the effect is there, `default` knows nothing of it.
    diary(&app)
        .write_blocking(move |tx| {
            tx.put(&COUNT, &(), &1)?;
            let note = ("diary.count".to_owned(), event.to_string());
            tx.put(&HEARD, &note, &crate::kernel::annex::Heard { at: tx.now() })
        })
        .unwrap();
    app.kernel().worker.deliver_now(key).unwrap();
    assert_eq!(diary(&app).read(|tx| tx.get(&COUNT, &())).unwrap(), Some(1));
    let state = store.read(|tx| tx.get(&DELIVERIES, &key)).unwrap().unwrap().state;
    assert!(state.is_end(), "{state:?}");

    // The other way round: what `default` has taken already is not taken twice.
    assert_eq!(send(&app, Method::POST, "/diary", Some(json!({ "text": "Rain" }))).await.0, 201);
    settle_all(&app).await;
    let connection = "aside".to_owned();
    let mark = store.read(|tx| tx.get(&MARKS, &connection)).unwrap().unwrap().last;
    let all =
        |tx: &ReadTx| tx.scan(&EVENTS, Scan::all()).map(|it| it.map(|it| it.1)).collect::<Result<Vec<_>>>();
    let before = store.read(all).unwrap();
    let again = Relayed::Event(before.last().unwrap().clone());
    diary(&app).write_blocking(move |tx| tx.put(&RELAY, &mark, &again)).unwrap();
    settle_all(&app).await;
    assert_eq!(store.read(all).unwrap(), before);
    assert_eq!(diary(&app).read(|tx| Ok(tx.scan(&RELAY, Scan::all()).count())).unwrap(), 0);
}

#[test]
fn a_module_is_not_moved_by_its_name_alone() {
    let place = tempfile::tempdir().unwrap();
    let mut app = start(config(place.path(), "aside", "")).unwrap();
    diary(&app).write_blocking(|tx| tx.put(&COUNT, &(), &1)).unwrap();
    app.close();
    drop(app);
    for (connection, prefix, key) in
        [(DEFAULT, "", "connection"), ("aside", "eu_", "prefix"), ("other", "", "connection")]
    {
        let refused = start(config(place.path(), connection, prefix)).err().expect("a refusal");
        let message = refused.to_string();
        assert_eq!(refused.exit_code(), 78);
        assert!(message.contains(&format!("modules.diary.database.{key}")), "{message}");
    }
    // Its file is not made anew when it is gone.
    std::fs::remove_file(place.path().join("aside.redb")).unwrap();
    let refused = start(config(place.path(), "aside", "")).err().expect("a refusal");
    assert!(matches!(refused, StartError::Open(OpenError::Missing { .. })), "{refused}");
}

#[test]
fn what_needs_the_transaction_of_another_module_stays_with_it() {
    let place = tempfile::tempdir().unwrap();
    let mut config = config(place.path(), "aside", "");
    let clingy = config.modules.remove("diary").unwrap();
    config.modules.insert("clingy".into(), clingy);
    let refused = start(config).err().expect("a refusal");
    assert_eq!(refused.exit_code(), 78);
    assert!(refused.to_string().contains("listener clingy.see runs in the transaction"), "{refused}");
}

#[test]
fn a_prefix_renames_tables_in_the_one_file_too() {
    let place = tempfile::tempdir().unwrap();
    let mut app = start(config(place.path(), DEFAULT, "old_")).unwrap();
    app.kernel().store.write_blocking(|tx| tx.put(&COUNT, &(), &1)).unwrap();
    assert_eq!(app.kernel().store.read(|tx| tx.get(&COUNT, &())).unwrap(), Some(1));
    app.close();
    let raw = Store::open_file(&place.path().join("coffer.redb"), false, StoreOptions::default()).unwrap();
    let tables = raw.read(ReadTx::table_names).unwrap();
    assert!(tables.contains(&"old_diary.count".to_owned()), "{tables:?}");
}

#[test]
fn every_module_that_is_said_to_be_free_is_one() {
    for name in Cast::PRODUCT.optional.iter().chain(Cast::PRODUCT.may_live_alone) {
        assert!(modules::MODULES.iter().any(|it| it.name == *name), "{name}");
    }
    assert!(check(&Config::default(), &Cast::PRODUCT).is_ok());
    golden("kernel.homes", &Home { connection: "aside".into(), prefix: "eu_".into() });
}
