//! `coffer export`: what a client has, an object a line. What makes it anew is in `import.rs`.
//!
//! A line is `{"module":"user","path":"/users","object":{…}}`, the object as the API shows it. All of an export is read
//! from one snapshot: what is written meanwhile is not in it. One that broke off leaves no file. Secrets are in none:
//! the API shows none.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    exit::{CANNOT_CREATE, Failure, INPUT_OUTPUT, TRY_AGAIN},
    local::Backend,
    output::Answer,
};

/// What is exported, in the order it could be made again.
const LISTS: &[(&str, &str)] = &[
    ("currency", "/currencies"),
    ("category", "/categories"),
    ("role", "/roles"),
    ("client", "/clients/current"),
    ("client", "/api-keys"),
    ("client", "/approval-policies"),
    ("user", "/users"),
    ("user", "/access-proposals"),
    ("auth", "/invitations"),
    ("market", "/markets"),
    ("balance", "/ledger/accounts"),
    ("balance", "/ledger/entries"),
    ("balance", "/adjustments"),
    ("transaction", "/transactions"),
    ("transaction", "/transfers"),
    ("payment", "/payment-gateways"),
    ("payment", "/payments"),
    ("payment", "/refunds"),
    ("payment", "/disputes"),
    ("payment", "/suspense"),
    ("funding", "/fundings"),
    ("withdrawal", "/beneficiaries"),
    ("withdrawal", "/withdrawals"),
    ("swap", "/swaps"),
    ("pricing", "/fees"),
    ("pricing", "/plans"),
    ("pricing", "/limits"),
    ("investment", "/investments"),
    ("notification", "/notification-templates"),
    ("notification", "/notification-preferences/chosen"),
    ("notification", "/webhook-endpoints"),
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

impl Export {
    pub async fn run(self, context: &Context) -> Result<Answer, Failure> {
        let wanted = |module: &str| self.module.as_deref().is_none_or(|it| it == module);
        let lists: Vec<_> = LISTS.iter().filter(|it| wanted(it.0)).collect();
        if lists.is_empty() {
            let mut modules: Vec<_> = LISTS.iter().map(|it| it.0).collect();
            modules.sort_unstable();
            modules.dedup();
            let why = match self.module.as_deref() {
                Some("dashboard") => "its numbers are counted of what the others have",
                _ => "there is no such module",
            };
            let message = format!("nothing is exported of this: {why}; of these: {}", modules.join(", "));
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

pub fn broken(path: &Path, error: std::io::Error) -> Failure {
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
