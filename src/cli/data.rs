//! `coffer export` and `coffer import`: what a client has, an object a line.
//!
//! A line is `{"module":"user","path":"/users","object":{…}}`, the object as the API shows it. Export reads list by list
//! and page by page, each page from a snapshot: what is written meanwhile may be in it or not, and nothing is half in it.
//!
//! Import makes, through the same commands as the API and with their rules, what can honestly be made anew: the
//! currencies a client uses, its categories, its roles, its users (without passwords, which are in no export). Money is
//! not imported: it would come from nowhere. What is there already is left as it is, so an import can be repeated; it
//! is known by its code, key, name or address. An object that had no external id gets its old id as one.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    exit::{CANNOT_CREATE, Failure, INPUT_OUTPUT, REFUSED},
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

/// What is imported: the list it is in, what tells one from another, the fields that make it anew.
const IMPORTED: &[(&str, &str, &[&str])] = &[
    ("/currencies", "code", &[]),
    ("/categories", "key", &["key", "name", "metadata"]),
    ("/roles", "name", &["name", "description", "permissions", "metadata"]),
    ("/users", "email", &["email", "first_name", "last_name", "phone", "roles", "metadata"]),
];

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
        let mut file = BufWriter::new(File::create_new(&self.out).map_err(cannot)?);
        let mut rows = vec![];
        for (module, path) in lists {
            let objects = write_list(&backend, &client, module, path, &mut file, &self.out).await?;
            rows.push(json!({ "module": module, "path": path, "objects": objects }));
        }
        let end = file.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
        end.map_err(|error| broken(&self.out, error))?;
        let said = json!({ "object": "export", "file": self.out.display().to_string(), "data": rows });
        Ok(Answer::list(said, &["module", "path", "objects"], "Nothing."))
    }
}

async fn write_list(
    backend: &Backend,
    client: &str,
    module: &str,
    path: &str,
    file: &mut BufWriter<File>,
    out: &Path,
) -> Result<u64, Failure> {
    let (mut objects, mut cursor) = (0, String::new());
    loop {
        let page = backend.get(format!("{path}?limit=100{cursor}")).client(Some(client)).send().await?;
        for object in page["data"].as_array().into_iter().flatten() {
            let line = json!({ "module": module, "path": path, "object": object });
            writeln!(file, "{line}").map_err(|error| broken(out, error))?;
            objects += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(objects),
        }
    }
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

        let backend = if self.dry_run { context.reading().await? } else { context.changing().await? };
        let client = backend.client_id(&self.client).await?;
        let mut rows = vec![];
        for (path, name, fields) in IMPORTED {
            let of_list = objects.iter().filter(|it| it.1 == *path);
            let mut there = known(&backend, &client, path, name).await?;
            let (mut made, mut kept) = (0, 0);
            for (number, _, object) in of_list {
                let Some(text) = object[*name].as_str() else {
                    return Err(wrong(*number, format!("has no {name}")));
                };
                // What a client never used is no part of it.
                if object["is_active"] == false && *path == "/currencies" {
                    continue;
                }
                if !there.insert(text.to_lowercase()) {
                    kept += 1;
                    continue;
                }
                if !self.dry_run {
                    let ask = match *path {
                        "/currencies" => backend.post(format!("/currencies/{text}/activate"), json!({})),
                        _ => backend.post(*path, anew(object, fields)),
                    };
                    let sent = ask.client(Some(&client)).send().await;
                    sent.map_err(|it| Failure { message: format!("line {number}: {}", it.message), ..it })?;
                }
                made += 1;
            }
            rows.push(json!({ "path": path, "made": made, "there_already": kept }));
        }
        let left = objects.iter().filter(|it| !IMPORTED.iter().any(|list| list.0 == it.1)).count();
        let said = json!({ "object": "import", "dry_run": self.dry_run, "data": rows, "not_imported": left });
        let answer = Answer::list(said, &["path", "made", "there_already"], "Nothing.");
        let answer = if left == 0 {
            answer
        } else {
            answer.followed_by(&format!("{left} other objects are not imported: money comes from payments."))
        };
        Ok(if self.dry_run {
            answer.followed_by("Nothing was written: this was a rehearsal.")
        } else {
            answer
        })
    }
}

/// What tells the objects of a list from one another, of those the client has.
async fn known(backend: &Backend, client: &str, path: &str, name: &str) -> Result<BTreeSet<String>, Failure> {
    let list = backend.list(path, Some(client), usize::MAX).await?;
    let rows = list["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ours = rows.iter().filter(|it| path != "/currencies" || it["is_active"] == true);
    Ok(ours.filter_map(|it| Some(it[name].as_str()?.to_lowercase())).collect())
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
