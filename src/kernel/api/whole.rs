//! A client as a whole: all that its lists have, from one snapshot; and commands that are tried together.
//!
//! The lists are asked one after the other, page by page, as the API answers them, and all in the same read
//! transaction: what is written meanwhile is in none of them. Of a module in a file of its own it is one transaction of
//! that file, opened at the same time. The last line says that it is the last; an export without one broke off.
//!
//! Commands that are rehearsed run in one write transaction, each on what those before it left, and then nothing of it
//! is kept. Those of a module in a file of its own run behind the others, in a transaction of that file: they see of
//! `default` what is there already, not what was rehearsed.

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
    input::{Field, Flaw, Flaws, input, text_enum},
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
        /// `POST` unless it says `PUT`.
        method: Option<Verb>,
        /// Of a command that is one transaction: `/users`, `/currencies/EUR/activate`. A part of it that is `{3}` is the
        /// id of what command 3, counted from 0, would make.
        path: String,
        /// Where a member of it is `{"id_of": 3}`, the id stands of what command 3, counted from 0, would make. Not in a
        /// command that prepares something before its transaction (`/users`, `/markets`): the id is not known then.
        body: Sent,
    }
}

text_enum! {
    /// What may be tried.
    pub enum Verb { Post = "POST", Put = "PUT" }
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
    /// Whether some of it would wait for a second person.
    waits: bool,
}

/// The commands there are, by method, how many parts their paths have and by the first one, which is never a name for
/// anything: each is found without looking at the others.
struct Commands<'a>(HashMap<(Method, usize, &'a str), Vec<&'a Endpoint>>);

impl<'a> Commands<'a> {
    fn of(kernel: &'a Kernel) -> Commands<'a> {
        let mut commands: HashMap<_, Vec<_>> = HashMap::new();
        for it in kernel.endpoints.iter().filter(|it| [Method::POST, Method::PUT].contains(&it.method)) {
            commands.entry(place(&it.method, it.path)).or_default().push(it);
        }
        Commands(commands)
    }

    /// The command of a path, and its parts. What is written out goes before what stands for anything.
    fn find(&self, verb: Verb, path: &str) -> Option<(&'a Endpoint, Vec<String>)> {
        let method = match verb {
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
        };
        let candidates = self.0.get(&place(&method, path))?;
        let found = candidates.iter().filter_map(|it| Some((*it, parts(it.path, path)?)));
        found.min_by_key(|it| it.1.len())
    }
}

fn place<'a>(method: &Method, path: &'a str) -> (Method, usize, &'a str) {
    (method.clone(), path.split('/').count(), path.split('/').nth(1).unwrap_or_default())
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
        // A list, or the only one of its kind: what the client itself is.
        let is_one =
            |it: &&Endpoint| matches!(it.handler, Handler::Read(_)) && it.path == path && !path.contains('{');
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
        let only = std::slice::from_ref(&page);
        for object in page["data"].as_array().map_or(only, Vec::as_slice) {
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
    let mut steps: Vec<Step> = vec![];
    for (at, command) in commands.into_iter().enumerate() {
        let wrong = |what: &str| Flaw::new(&format!("commands[{at}].path"), "invalid_format", what);
        let found = known.find(command.method.unwrap_or(Verb::Post), &command.path);
        let (found, path) = found.ok_or_else(|| wrong("there is no such command"))?;
        let raw = RawCall { caller: caller.clone(), path, query: vec![], body: command.body.0 };
        let run: Try = match &found.handler {
            Handler::Write(write) => {
                let write = write.clone();
                Box::new(move |tx, made| {
                    let path = raw.path.iter().map(|it| with_id(it, made)).collect();
                    let body = with_ids(raw.body.clone(), made);
                    write(RawCall { path, body, ..raw })(tx)
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
        let annex =
            kernel.annexes.iter().position(|it| kernel.is_away(found) && it.modules.contains(&found.module));
        steps.push(Step { at, annex, status: found.status, run });
    }
    let mut all = Tried { made: vec![None; steps.len()], data: vec![] };
    let files = std::iter::once(None).chain((0..kernel.annexes.len()).map(Some));
    for file in files {
        let here: Vec<Step> = steps.extract_if(.., |it| it.annex == file).collect();
        if here.is_empty() {
            continue;
        }
        let store = file.map_or(&kernel.store, |it| &kernel.annexes[it].store);
        let request_id = caller.request_id.clone();
        all = store.write(move |tx| try_all(tx, here, all, &request_id)).await?;
    }
    all.data.sort_by_key(|it| it.0);
    Ok(RehearsalOut { object: "rehearsal", data: all.data.into_iter().map(|it| it.1).collect() })
}

/// What to do when it is known what the commands before it made.
type Try = Box<dyn FnOnce(&mut WriteTx, &[Option<String>]) -> Result<Body> + Send>;

/// A command to be tried.
struct Step {
    /// Its place among all of them.
    at: usize,
    /// The file its transaction is of; `None` is `default`.
    annex: Option<usize>,
    /// The status of success.
    status: u16,
    run: Try,
}

/// What was tried so far.
struct Tried {
    /// By place: the id of what it would make.
    made: Vec<Option<String>>,
    data: Vec<(usize, TriedOut)>,
}

/// Does all of it, then keeps none of it.
fn try_all(tx: &mut WriteTx, steps: Vec<Step>, mut all: Tried, request_id: &str) -> Result<Tried> {
    let dropped: Result<()> = tx.attempt(|tx| {
        for Step { at, status, run, .. } in steps {
            let out = match tx.attempt(|tx| run(tx, &all.made)) {
                Ok(body) => {
                    all.made[at] = body.head().id().map(str::to_owned);
                    TriedOut { status, code: None, detail: None, waits: waits(&body.value()?) }
                }
                // What is refused is what is asked about; a fault is nobody's answer.
                Err(error @ Error::Fault(_)) => return Err(error),
                Err(error) => {
                    let problem = Problem::of(&error, request_id);
                    let text = |name: &str| problem.document[name].as_str().map(str::to_owned);
                    let (code, detail) = (text("code"), text("detail"));
                    TriedOut { status: problem.status, code, detail, waits: false }
                }
            };
            all.data.push((at, out));
        }
        Err(ApiRefusal::NotFound.into()) // Drops it all.
    });
    match dropped {
        Err(error @ Error::Fault(_)) => Err(error),
        _ => Ok(all),
    }
}

/// Whether an answer says that some of what was asked for waits for a second person.
pub fn waits(answer: &Value) -> bool {
    let says = |it: &Value| !it.is_null() && it.as_array().is_none_or(|it| !it.is_empty());
    ["proposed", "proposed_tier", "access_proposals"].iter().any(|it| answer.get(it).is_some_and(says))
}

/// A part of a path, or the id that stands for it.
fn with_id(part: &str, made: &[Option<String>]) -> String {
    let place = part.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
    let place = place.and_then(|it| it.parse::<usize>().ok());
    let id = place.and_then(|it| made.get(it).cloned().flatten());
    id.unwrap_or_else(|| part.to_owned())
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
