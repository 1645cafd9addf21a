//! A client as a whole: all that its lists have, from one snapshot; and commands that are tried together.
//!
//! The lists are asked one after the other, page by page, as the API answers them, and all in the same read
//! transaction: what is written meanwhile is in none of them. Of a module in a file of its own it is one transaction of
//! that file, opened at the same time. The last line says that it is the last; an export without one broke off.
//!
//! Commands that are rehearsed run in one write transaction, each on what those before it left, and then nothing of it
//! is kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::body::Bytes;
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    body::Body,
    call::{Call, Caller},
    endpoint::{Endpoint, Handler, RawCall, Streamed, get, post},
    input::{Field, Flaw, Flaws, input},
    problem::{ApiRefusal, Problem},
};
use crate::kernel::{
    annex::Annex,
    boot::Kernel,
    error::{Error, Result, fault},
    store::{ReadTx, WriteTx},
};

/// Rows of a list that are read at a time, and leave together.
const PAGE: &str = "100";
/// Pages that wait for whoever reads.
const AHEAD: usize = 2;
/// They hold the writer, everybody's, while they run: for about a second in a debug build.
const MOST_COMMANDS: usize = 2_000;

pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/export")
            .about("Read whole lists of a client from one snapshot, an object a line; the last line says how many")
            .operator()
            .ndjson()
            .streams(|kernel, call: Call<(), ExportQuery>, _| export(kernel, &call)),
        post("/rehearsals")
            .about("Try commands, each on what those before it did, and keep nothing; says what would become of each")
            .operator()
            .plain()
            .status(200)
            .max_body_bytes(32 * 1024 * 1024)
            .example(json!({ "commands": [{ "path": "/roles", "body": { "name": "clerk", "permissions": [] } }] }))
            .runs(|kernel: Arc<Kernel>, call: Call<(), RehearsalIn>| async move {
                rehearse(&kernel, call.caller, call.input.commands).await
            }),
    ]
}

pub struct ExportQuery {
    /// Paths of lists without parts, with commas between them: `/users,/roles`.
    lists: String,
}
input!(ExportQuery { lists });

input! {
    /// Commands in the order they are tried.
    pub struct RehearsalIn {
        /// At most 2,000.
        commands: Vec<CommandIn>,
    }
}

input! {
    /// A command, as one would send it.
    pub struct CommandIn {
        /// Of a POST that is one transaction: `/users`, `/currencies/EUR/activate`.
        path: String,
        /// Where a member of it is `{"id_of": 3}`, the id stands of what command 3, counted from 0, would make. Not in a
        /// command that prepares something before its transaction (`/users`, `/markets`): the id is not known then.
        body: Sent,
    }
}

/// What the command itself reads.
#[derive(utoipa::ToSchema)]
#[schema(value_type = Object)]
pub struct Sent(Value);

impl Field for Sent {
    fn parse(value: Value) -> std::result::Result<Self, Flaws> {
        if value.is_object() {
            return Ok(Sent(value));
        }
        Err(vec![Flaw::new("", "invalid_type", "must be an object")])
    }
}

/// What would become of the commands.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RehearsalOut {
    #[schema(value_type = String)]
    object: &'static str,
    /// One for each, in their order.
    data: Vec<TriedOut>,
}

/// What would become of a command.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TriedOut {
    /// What it would be answered with.
    status: u16,
    /// Why it would be refused.
    code: Option<String>,
    detail: Option<String>,
}

/// The commands there are, by how many parts their paths have and by the first one, which is never a name for anything:
/// each is found without looking at the others.
struct Commands<'a>(HashMap<(usize, &'a str), Vec<&'a Endpoint>>);

impl<'a> Commands<'a> {
    fn of(kernel: &'a Kernel) -> Commands<'a> {
        let mut commands: HashMap<_, Vec<_>> = HashMap::new();
        for it in kernel.endpoints.iter().filter(|it| it.method == Method::POST && !kernel.is_away(it)) {
            commands.entry(place(it.path)).or_default().push(it);
        }
        Commands(commands)
    }

    /// The command of a path, and its parts. What is written out goes before what stands for anything.
    fn find(&self, path: &str) -> Option<(&'a Endpoint, Vec<String>)> {
        let candidates = self.0.get(&place(path))?;
        let found = candidates.iter().filter_map(|it| Some((*it, parts(it.path, path)?)));
        found.min_by_key(|it| it.1.len())
    }
}

fn place(path: &str) -> (usize, &str) {
    (path.split('/').count(), path.split('/').nth(1).unwrap_or_default())
}

/// What stands in `path` where `wanted` has `{…}`; `None` when it is another path.
fn parts(wanted: &str, path: &str) -> Option<Vec<String>> {
    let mut parts = vec![];
    for (wanted, found) in wanted.split('/').zip(path.split('/')) {
        match wanted.starts_with('{') {
            true => parts.push(found.to_owned()),
            false if wanted == found => {}
            false => return None,
        }
    }
    Some(parts)
}

fn export(kernel: Arc<Kernel>, call: &Call<(), ExportQuery>) -> Result<Streamed> {
    call.caller.client()?;
    let mut lists = vec![];
    for path in call.input.lists.split(',') {
        let is_one = |it: &&Endpoint| it.list && it.path == path && !path.contains('{');
        let Some(found) = kernel.endpoints.iter().find(is_one) else {
            return Err(Flaw::new("lists", "invalid_format", format!("{path} is no list")).into());
        };
        lists.push(found.clone());
    }
    let (sender, mut receiver) = mpsc::channel(AHEAD);
    let caller = call.caller.clone();
    // A thread of its own: it waits for the reader.
    tokio::task::spawn_blocking(move || {
        let told = in_all(&kernel, |files| {
            let mut objects = 0;
            for list in &lists {
                objects += write_list(files, list, &caller, &sender)?;
            }
            Ok(objects)
        });
        let last = match told {
            Ok(objects) => json!({ "object": "export_end", "objects": objects }),
            Err(error) => {
                tracing::error!(error = %error, "An export broke off: {error}");
                json!({ "object": "export_broken", "detail": error.to_string() })
            }
        };
        let _ = sender.blocking_send(Bytes::from(format!("{last}\n")));
    });
    Ok(Box::pin(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context))))
}

/// A snapshot of each file, by connection; `None` is `default`.
type Files<'a> = BTreeMap<Option<&'a str>, &'a ReadTx>;

/// Reads in one snapshot of every file, all opened before anything is read.
fn in_all<T>(kernel: &Kernel, read: impl FnOnce(&Snapshots) -> Result<T>) -> Result<T> {
    fn open<T>(annexes: &[Annex], files: Files, read: impl FnOnce(&Files) -> Result<T>) -> Result<T> {
        let Some((annex, others)) = annexes.split_first() else { return read(&files) };
        annex.store.read_unbounded(|tx| {
            let mut files = files.clone();
            files.insert(Some(&annex.connection), tx);
            open(others, files, read)
        })
    }
    kernel.store.read_unbounded(|tx| {
        open(&kernel.annexes, BTreeMap::from([(None, tx)]), |files| read(&Snapshots { kernel, files }))
    })
}

struct Snapshots<'a> {
    kernel: &'a Kernel,
    files: &'a Files<'a>,
}

impl Snapshots<'_> {
    fn of(&self, endpoint: &Endpoint) -> Result<&ReadTx> {
        let away = self.kernel.is_away(endpoint);
        let annex = self.kernel.annexes.iter().find(|it| away && it.modules.contains(&endpoint.module));
        let connection = annex.map(|it| it.connection.as_str());
        self.files.get(&connection).copied().ok_or_else(|| fault!("{connection:?} was not opened"))
    }
}

fn write_list(
    files: &Snapshots,
    list: &Endpoint,
    caller: &Caller,
    sender: &mpsc::Sender<Bytes>,
) -> Result<u64> {
    let Handler::Read(read) = &list.handler else { return Err(fault!("{} is no list", list.path)) };
    let tx = files.of(list)?;
    let (mut objects, mut cursor) = (0, None::<String>);
    loop {
        // What comes whole takes no limit.
        let mut query = vec![];
        if list.query_names.contains(&"limit") {
            query.push(("limit".to_owned(), PAGE.to_owned()));
        }
        query.extend(cursor.take().map(|it| ("cursor".to_owned(), it)));
        let page = read(tx, RawCall { caller: caller.clone(), path: vec![], query, body: Value::Null })?;
        let mut lines = String::new();
        for object in page["data"].as_array().into_iter().flatten() {
            let line = json!({ "module": list.module, "path": list.path, "object": object });
            lines.push_str(&format!("{line}\n"));
            objects += 1;
        }
        if !lines.is_empty() {
            let sent = sender.blocking_send(Bytes::from(lines));
            sent.map_err(|_| fault!("nobody reads it any more"))?;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(objects),
        }
    }
}

async fn rehearse(kernel: &Arc<Kernel>, caller: Caller, commands: Vec<CommandIn>) -> Result<RehearsalOut> {
    if commands.len() > MOST_COMMANDS {
        let message = format!("must have at most {MOST_COMMANDS}, not {}", commands.len());
        return Err(Flaw::new("commands", "out_of_range", message).into());
    }
    let known = Commands::of(kernel);
    let mut steps: Vec<(u16, Try)> = vec![];
    for (at, command) in commands.into_iter().enumerate() {
        let wrong = |what: &str| Flaw::new(&format!("commands[{at}].path"), "invalid_format", what);
        let found = known.find(&command.path);
        let (found, path) =
            found.ok_or_else(|| wrong("there is no such command, or it is of another file"))?;
        let raw = RawCall { caller: caller.clone(), path, query: vec![], body: command.body.0 };
        let try_it: Try = match &found.handler {
            Handler::Write(write) => {
                let write = write.clone();
                Box::new(move |tx, made| {
                    let body = with_ids(raw.body.clone(), made);
                    write(RawCall { body, ..raw })(tx)
                })
            }
            Handler::Prepared(prepare) => {
                if let Some(name) = members_with_ids(&raw.body).next() {
                    let param = format!("commands[{at}].body.{name}");
                    let why = "is not known when this command is prepared: rehearse it apart";
                    return Err(Flaw::new(&param, "not_allowed", why).into());
                }
                let prepared = prepare(kernel.clone(), raw).await;
                Box::new(move |tx, _| prepared?(tx))
            }
            _ => return Err(wrong("is not one transaction").into()),
        };
        steps.push((found.status, try_it));
    }
    kernel.store.write(move |tx| try_all(tx, steps, &caller.request_id)).await
}

/// What to do when it is known what the commands before it made.
type Try = Box<dyn FnOnce(&mut WriteTx, &[Option<String>]) -> Result<Body> + Send>;

/// Does all of it, then keeps none of it. Beside each the status of success.
fn try_all(tx: &mut WriteTx, steps: Vec<(u16, Try)>, request_id: &str) -> Result<RehearsalOut> {
    let mut data = vec![];
    let dropped: Result<()> = tx.attempt(|tx| {
        let mut made = vec![];
        for (status, try_it) in steps {
            let outcome = tx.attempt(|tx| try_it(tx, &made));
            made.push(outcome.as_ref().ok().and_then(|it| it.head().id().map(str::to_owned)));
            data.push(match outcome {
                Ok(_) => TriedOut { status, code: None, detail: None },
                // What is refused is what is asked about; a fault is nobody's answer.
                Err(error @ Error::Fault(_)) => return Err(error),
                Err(error) => {
                    let problem = Problem::of(&error, request_id);
                    let text = |name: &str| problem.document[name].as_str().map(str::to_owned);
                    TriedOut { status: problem.status, code: text("code"), detail: text("detail") }
                }
            });
        }
        Err(ApiRefusal::NotFound.into()) // Drops it all.
    });
    match dropped {
        Err(error @ Error::Fault(_)) => Err(error),
        _ => Ok(RehearsalOut { object: "rehearsal", data }),
    }
}

/// With the ids that are not known before.
fn with_ids(mut body: Value, made: &[Option<String>]) -> Value {
    let ids: Vec<(String, Value)> = members_with_ids(&body)
        .filter_map(|name| Some((name.to_owned(), made.get(id_of(&body[name])?).cloned().flatten().into())))
        .collect();
    if let Some(members) = body.as_object_mut() {
        members.extend(ids);
    }
    body
}

/// The members that stand for ids.
fn members_with_ids(body: &Value) -> impl Iterator<Item = &str> {
    let members = body.as_object().into_iter().flatten();
    members.filter(|it| id_of(it.1).is_some()).map(|it| it.0.as_str())
}

fn id_of(value: &Value) -> Option<usize> {
    value.get("id_of").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok())
}
