//! `coffer export` and `coffer import`: what a client has, an object a line.
//!
//! A line is `{"module":"user","path":"/users","object":{…}}`, the object as the API shows it. All of an export is read
//! from one snapshot: what is written meanwhile is not in it. One that broke off leaves no file.
//!
//! Import makes, through the same commands as the API and with their rules, what can honestly be made anew: the
//! currencies a client uses, its categories, its roles, its users (without passwords, which are in no export), and where
//! they may be paid out to, which cools down anew. Money is not imported: it would come from nowhere. What is there
//! already is left as it is, so an import can be repeated; it is known by its code, key, name or address. An object that
//! had no external id gets its old id as one. A dry run does all of it in one transaction, of which nothing is kept, and
//! says of each line what would become of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    exit::{CANNOT_CREATE, Failure, INPUT_OUTPUT, PROBLEMS_FOUND, REFUSED, TRY_AGAIN},
    local::Backend,
    output::Answer,
};

/// What is exported, in the order it could be made again.
const LISTS: &[(&str, &str)] = &[
    ("currency", "/currencies"),
    ("category", "/categories"),
    ("role", "/roles"),
    ("client", "/api-keys"),
    ("user", "/users"),
    ("market", "/markets"),
    ("balance", "/ledger/accounts"),
    ("balance", "/ledger/entries"),
    ("balance", "/adjustments"),
    ("transaction", "/transactions"),
    ("transaction", "/transfers"),
    ("payment", "/payment-gateways"),
    ("payment", "/payments"),
    ("payment", "/refunds"),
    ("payment", "/suspense"),
    ("funding", "/fundings"),
    ("withdrawal", "/beneficiaries"),
    ("withdrawal", "/withdrawals"),
    ("swap", "/swaps"),
    ("pricing", "/fees"),
    ("pricing", "/plans"),
    ("investment", "/investments"),
    ("notification", "/notification-templates"),
    ("notification", "/webhook-endpoints"),
];

/// What is imported, in this order: the list it is in, what tells one from another, the fields that make it anew.
const IMPORTED: &[(&str, &str, &[&str])] = &[
    (CURRENCIES, "code", &[]),
    ("/categories", "key", &["key", "name", "metadata"]),
    ("/roles", "name", &["name", "description", "permissions", "metadata"]),
    (USERS, "email", &["email", "first_name", "last_name", "phone", "roles", "metadata"]),
    // These are known by where they lead, which only the command can tell.
    (BENEFICIARIES, "id", &["label", "method", "metadata"]),
];

const CURRENCIES: &str = "/currencies";
const USERS: &str = "/users";
const BENEFICIARIES: &str = "/beneficiaries";

#[derive(Args)]
pub struct Export {
    /// Id or slug of the client
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// Only what this module owns
    #[arg(long, value_name = "MODULE")]
    module: Option<String>,
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub struct Import {
    /// A file that `coffer export` wrote
    file: PathBuf,
    /// Id or slug of the client it goes to
    #[arg(long, value_name = "CLIENT")]
    client: String,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
}

impl Export {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let wanted = |module: &str| self.module.as_deref().is_none_or(|it| it == module);
        let lists: Vec<_> = LISTS.iter().filter(|it| wanted(it.0)).collect();
        if lists.is_empty() {
            let mut modules: Vec<_> = LISTS.iter().map(|it| it.0).collect();
            modules.dedup();
            let message = format!("nothing is exported of this module; of these: {}", modules.join(", "));
            return Err(Failure::usage(message));
        }
        let backend = context.reading().await?;
        let client = backend.client_id(&self.client).await?;
        let cannot = |error| Failure::new(CANNOT_CREATE, "cannot_create", at(&self.out, error));
        let file = BufWriter::new(File::create_new(&self.out).map_err(cannot)?);
        let written = write(&backend, &client, &lists, file, &self.out).await;
        if written.is_err() {
            let _ = std::fs::remove_file(&self.out); // Half of an export is none.
        }
        let counts = written?;
        let row = |(module, path): &&(&str, &str)| json!({ "module": module, "path": path, "objects": counts.get(*path).unwrap_or(&0) });
        let rows: Vec<Value> = lists.iter().map(row).collect();
        let said = json!({ "object": "export", "file": self.out.display().to_string(), "data": rows });
        Ok(Answer::list(said, &["module", "path", "objects"], "Nothing."))
    }
}

/// Writes the lists to the file, and says how many objects of each there were.
async fn write(
    backend: &Backend,
    client: &str,
    lists: &[&(&str, &str)],
    mut file: BufWriter<File>,
    out: &Path,
) -> Result<BTreeMap<String, u64>, Failure> {
    let paths: Vec<&str> = lists.iter().map(|it| it.1).collect();
    let mut counts = BTreeMap::new();
    let mut last = Value::Null;
    let ask = backend.get(format!("/export?lists={}", paths.join(","))).client(Some(client));
    ask.lines(|line| {
        let object: Value = serde_json::from_slice(line).map_err(Failure::fault)?;
        let Some(path) = object["path"].as_str() else {
            last = object;
            return Ok(());
        };
        *counts.entry(path.to_owned()).or_default() += 1;
        file.write_all(line).and_then(|()| file.write_all(b"\n")).map_err(|error| broken(out, error))
    })
    .await?;
    if last["object"] != "export_end" || last["objects"] != counts.values().sum::<u64>() {
        let why = last["detail"].as_str().unwrap_or("the server ended the connection");
        return Err(Failure::new(TRY_AGAIN, "export_broken", format!("the export broke off: {why}")));
    }
    let end = file.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
    end.map_err(|error| broken(out, error))?;
    Ok(counts)
}

impl Import {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let file = File::open(&self.file).map_err(|error| broken(&self.file, error))?;
        let lines: Vec<String> = BufReader::new(file)
            .lines()
            .collect::<Result<_, _>>()
            .map_err(|error| broken(&self.file, error))?;
        let mut objects = vec![];
        for (number, line) in (1..).zip(&lines) {
            let line: Value =
                serde_json::from_str(line).map_err(|error| wrong(number, format!("is not JSON: {error}")))?;
            match (line["path"].as_str(), line["object"].is_object()) {
                (Some(path), true) => objects.push((number, path.to_owned(), line["object"].clone())),
                _ => return Err(wrong(number, "is no line of an export".to_owned())),
            }
        }

        // A rehearsal is a write of which nothing is kept.
        let backend = if self.dry_run { context.by_hand().await? } else { context.changing().await? };
        let client = backend.client_id(&self.client).await?;
        let mut steps = plan(&backend, &client, &objects).await?;
        if self.dry_run {
            rehearse(&backend, &client, &mut steps).await?;
        } else {
            carry_out(&backend, &client, &mut steps).await?;
        }
        let left = objects.iter().filter(|it| !IMPORTED.iter().any(|list| list.0 == it.1)).count();
        Ok(said(&steps, left, self.dry_run))
    }
}

/// An object of the file and what becomes of it.
struct Step {
    line: usize,
    path: &'static str,
    name: String,
    /// The command that makes it; `None` when it is there.
    command: Option<(String, Value)>,
    /// Whose it is: the place of the step that makes its owner.
    owner: Option<usize>,
    outcome: Outcome,
}

enum Outcome {
    Made(Option<String>),
    ThereAlready,
    Refused { code: String, detail: String },
}

impl Step {
    fn refused(&mut self, code: &str, detail: &str) {
        // Only the command knows: it leads where another one does, or was imported before.
        let known = ["beneficiary_exists", "external_id_taken"];
        self.outcome = if self.path == BENEFICIARIES && known.contains(&code) {
            Outcome::ThereAlready
        } else {
            Outcome::Refused { code: code.to_owned(), detail: detail.to_owned() }
        };
    }
}

/// What is to be done, in an order in which it can be.
async fn plan(
    backend: &Backend,
    client: &str,
    objects: &[(usize, String, Value)],
) -> Result<Vec<Step>, Failure> {
    let mut steps: Vec<Step> = vec![];
    // Users by their ids of before: their ids here, or the steps that make them.
    let mut users: BTreeMap<&str, Result<String, usize>> = BTreeMap::new();
    for (path, name, fields) in IMPORTED {
        let mut there = known(backend, client, path, name).await?;
        for (line, _, object) in objects.iter().filter(|it| it.1 == *path) {
            let Some(text) = object[*name].as_str() else {
                return Err(wrong(*line, format!("has no {name}")));
            };
            // What a client never used is no part of it.
            if object["is_active"] == false && *path == CURRENCIES {
                continue;
            }
            let (name, outcome) = (text.to_owned(), Outcome::ThereAlready);
            let mut step = Step { line: *line, path, name, command: None, owner: None, outcome };
            let old_id = object["id"].as_str().unwrap_or_default();
            if let Some(id) = there.get(&text.to_lowercase()) {
                if *path == USERS {
                    users.insert(old_id, Ok(id.clone()));
                }
                steps.push(step);
                continue;
            }
            there.insert(text.to_lowercase(), String::new());
            let mut body = anew(object, fields);
            if *path == USERS {
                users.insert(old_id, Err(steps.len()));
            }
            if *path == BENEFICIARIES {
                let owner = object["user_id"].as_str().and_then(|it| users.get(it));
                let owner = owner.ok_or_else(|| {
                    wrong(*line, "is of a user that is not in the file: export both".to_owned())
                })?;
                step.owner = owner.as_ref().err().copied();
                body["user_id"] = owner.clone().unwrap_or_default().into();
            }
            step.command = Some(match *path {
                CURRENCIES => (format!("{CURRENCIES}/{text}/activate"), json!({})),
                path => (path.to_owned(), body),
            });
            steps.push(step);
        }
    }
    Ok(steps)
}

/// Does it, one command after the other. Stops at the first that is refused.
async fn carry_out(backend: &Backend, client: &str, steps: &mut [Step]) -> Result<(), Failure> {
    for at in 0..steps.len() {
        let owner = steps[at].owner.and_then(|it| match &steps[it].outcome {
            Outcome::Made(id) => id.clone(),
            _ => None,
        });
        let step = &mut steps[at];
        let Some((path, body)) = &mut step.command else { continue };
        if let Some(owner) = owner {
            body["user_id"] = owner.into();
        }
        let sent = backend.post(path.clone(), body.clone()).client(Some(client)).exchange().await?;
        let (status, answer) = sent;
        if (200..300).contains(&status) {
            step.outcome = Outcome::Made(answer["id"].as_str().map(str::to_owned));
            continue;
        }
        step.refused(answer["code"].as_str().unwrap_or_default(), "");
        if matches!(step.outcome, Outcome::Refused { .. }) {
            let failure = Failure::of_problem(status, answer);
            return Err(Failure { message: format!("line {}: {}", step.line, failure.message), ..failure });
        }
    }
    Ok(())
}

/// Asks what would become of all of it.
async fn rehearse(backend: &Backend, client: &str, steps: &mut [Step]) -> Result<(), Failure> {
    // Of a step, the place of its command among the commands.
    let mut places = BTreeMap::new();
    let mut commands = vec![];
    for (at, step) in steps.iter().enumerate() {
        let Some((path, body)) = &step.command else { continue };
        let mut body = body.clone();
        if let Some(owner) = step.owner.and_then(|it| places.get(&it)) {
            body["user_id"] = json!({ "id_of": owner });
        }
        places.insert(at, commands.len());
        commands.push(json!({ "path": path, "body": body }));
    }
    let ask = backend.post("/rehearsals", json!({ "commands": commands })).client(Some(client));
    let answer = ask.send().await?;
    for (at, place) in places {
        let tried = &answer["data"][place];
        match tried["code"].as_str() {
            None => steps[at].outcome = Outcome::Made(None),
            Some(code) => steps[at].refused(code, tried["detail"].as_str().unwrap_or_default()),
        }
    }
    Ok(())
}

/// What became of it, list by list and line by line.
fn said(steps: &[Step], left: usize, dry_run: bool) -> Answer {
    let count = |path: &str, is: fn(&Outcome) -> bool| {
        steps.iter().filter(|it| it.path == path && is(&it.outcome)).count()
    };
    let row = |path: &str| {
        json!({
            "path": path,
            "made": count(path, |it| matches!(it, Outcome::Made(_))),
            "there_already": count(path, |it| matches!(it, Outcome::ThereAlready)),
            "refused": count(path, |it| matches!(it, Outcome::Refused { .. })),
        })
    };
    let rows: Vec<Value> = IMPORTED.iter().map(|it| row(it.0)).collect();
    let line = |it: &Step| {
        let (outcome, code, detail) = match &it.outcome {
            Outcome::Made(_) => ("made", None, None),
            Outcome::ThereAlready => ("there_already", None, None),
            Outcome::Refused { code, detail } => ("refused", Some(code), Some(detail)),
        };
        let (line, path, name) = (it.line, it.path, &it.name);
        json!({ "line": line, "path": path, "name": name, "outcome": outcome, "code": code, "detail": detail })
    };
    let lines: Vec<Value> = steps.iter().map(line).collect();
    let value = json!({
        "object": "import", "dry_run": dry_run, "data": rows, "lines": lines, "not_imported": left,
    });
    let mut answer = Answer::list(value, &["path", "made", "there_already", "refused"], "Nothing.");
    let mut is_refused = false;
    for Step { line, path, name, outcome, .. } in steps {
        if let Outcome::Refused { code, detail } = outcome {
            is_refused = true;
            answer = answer.followed_by(&format!("line {line}: {path} {name}: {detail} ({code})"));
        }
    }
    if left > 0 {
        let text = format!("{left} other objects are not imported: money comes from payments.");
        answer = answer.followed_by(&text);
    }
    if dry_run {
        answer = answer.followed_by("Nothing was written: this was a rehearsal.");
    }
    answer.exits(if is_refused { PROBLEMS_FOUND } else { 0 })
}

/// What tells the objects of a list from one another, of those the client has, and their ids.
async fn known(
    backend: &Backend,
    client: &str,
    path: &str,
    name: &str,
) -> Result<BTreeMap<String, String>, Failure> {
    if path == BENEFICIARIES {
        return Ok(BTreeMap::new());
    }
    let list = backend.list(path, Some(client), usize::MAX).await?;
    let rows = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = rows.iter().filter(|it| path != CURRENCIES || it["is_active"] == true);
    let pair = |it: &Value| {
        let id = it["id"].as_str().unwrap_or_default().to_owned();
        Some((it[name].as_str()?.to_lowercase(), id))
    };
    Ok(ours.filter_map(pair).collect())
}

/// The body that makes an object anew.
fn anew(object: &Value, fields: &[&str]) -> Value {
    let given = fields.iter().filter(|it| !object[**it].is_null());
    let mut body: serde_json::Map<String, Value> =
        given.map(|it| ((*it).to_owned(), object[*it].clone())).collect();
    let external = if object["external_id"].is_string() { "external_id" } else { "id" };
    body.insert("external_id".to_owned(), object[external].clone());
    Value::Object(body)
}

fn wrong(number: usize, what: String) -> Failure {
    Failure::new(REFUSED, "not_an_export", format!("line {number} {what}"))
}

fn broken(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(INPUT_OUTPUT, "input_output", at(path, error))
}

fn at(path: &Path, error: std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use hyper::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        app::{App, router},
        config::Config,
        kernel::{api::dispatch::Peer, boot::Kernel, clock::Clock},
        testing::{Local, seed_dev},
    };

    async fn asked(kernel: &Arc<Kernel>, client: &str, lists: &str) -> Body {
        let request = Request::get(format!("/api/v1/export?lists={lists}"));
        let request = request.header("host", "localhost").header("x-client-id", client);
        let mut request = request.body(Body::empty()).unwrap();
        let peer = Peer { ip: std::net::Ipv4Addr::LOCALHOST.into(), is_local_admin: true };
        request.extensions_mut().insert(peer);
        router(kernel).oneshot(request).await.unwrap().into_body()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_export_is_of_one_instant_whatever_is_written_meanwhile() {
        let mut config = Config::default();
        // One snapshot of each file.
        config.connections.entry("prices".into()).or_default();
        config.modules.entry("market".into()).or_default().database.connection = "prices".into();
        let app = App::in_memory(config, Clock::System, Some(1)).unwrap();
        let kernel = app.kernel();
        let client = seed_dev(kernel).await.unwrap().client_id;
        let local = Local::new(kernel);
        let lists = "/currencies,/categories,/roles,/payment-gateways,/plans,/markets,/users";

        let mut body = asked(kernel, &client, lists).await;
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        // Two pages wait and one is about to: what is asked for last was not looked at yet.
        let user = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
        local.send("POST", "/api/v1/users", Some(&client), user).await.unwrap();
        let market = json!({ "base": "BTC", "quote": "EUR" });
        local.send("POST", "/api/v1/markets", Some(&client), market).await.unwrap();
        let rest = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8([first, rest].concat()).unwrap();
        let in_euro = r#""quote":"EUR""#;
        assert!(!text.contains("ann@example.com") && !text.contains(in_euro), "{text}");
        let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
        let last = lines.last().unwrap();
        assert_eq!((&last["object"], &last["objects"]), (&json!("export_end"), &json!(lines.len() - 1)));

        let again = asked(kernel, &client, lists).await.collect().await.unwrap().to_bytes();
        let again = String::from_utf8(again.to_vec()).unwrap();
        assert!(again.contains("ann@example.com") && again.contains(in_euro), "{again}");
    }
}
