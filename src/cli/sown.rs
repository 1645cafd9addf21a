//! What `dev` and `demo` put into a new file, and the credentials that came of it.
//!
//! Sowing happens in a file of another name, which gets its own only when all is in it: interrupted, it begins anew,
//! and what was sown is there exactly once. The credentials are kept beside it with mode 0600, because the file itself
//! has only hashes of them and the next start shows them again. A real installation never does that.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    exit::{CANNOT_CREATE, Failure},
    local::Backend,
    operator::{create, random_password},
};
use crate::{
    app::App,
    config::{Commit, Config},
    kernel::clock::Clock,
    testing::Credentials,
};

/// The credentials of a server that was sown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sown {
    pub operator_token: String,
    pub client_id: String,
    pub secret_key: String,
    pub publishable_key: String,
    /// Who can sign in. In memory nobody can: hashing a password would take longer than all the rest.
    pub sign_ins: Vec<SignIn>,
}

/// Somebody who can sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignIn {
    pub who: String,
    pub email: String,
    pub password: String,
}

impl Sown {
    pub fn of(credentials: Credentials) -> Sown {
        let Credentials { operator_token, client_id, secret_key, publishable_key, .. } = credentials;
        Sown { operator_token, client_id, secret_key, publishable_key, sign_ins: vec![] }
    }

    /// Claims the installation for an operator with a password of its own.
    pub async fn add_operator(&mut self, app: &App, email: &str) -> Result<(), Failure> {
        let password = random_password();
        create(&Backend::of(app.kernel()), email, &password).await?;
        self.sign_ins.push(SignIn { who: "operator".to_owned(), email: email.to_owned(), password });
        Ok(())
    }
}

/// Opens the configured file; where there is none, `sow` fills a new one first, by `clock`.
pub async fn sow_once(
    config: &Config,
    clock: Clock,
    sow: impl AsyncFnOnce(&App) -> Result<Sown, Failure>,
) -> Result<(App, Sown), Failure> {
    let path = &config.storage.path;
    let note = beside(path, ".credentials");
    if !path.exists() {
        let young = beside(path, ".sowing");
        match fs::remove_file(&young) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(cannot_create(&young, &error)),
            _ => {}
        }
        let mut app = App::open(for_sowing(config, young.clone()), true, clock)?;
        let sown = sow(&app).await?;
        app.close();
        keep(&note, &sown).map_err(|error| cannot_create(&note, &error))?;
        fs::rename(&young, path).map_err(|error| cannot_create(path, &error))?;
    }
    let app = App::open(config.clone(), false, Clock::System)?;
    let sown = match fs::read(&note).ok().and_then(|it| serde_json::from_slice(&it).ok()) {
        Some(sown) => sown,
        None => {
            let sown = renew(&Backend::of(app.kernel())).await?;
            keep(&note, &sown).map_err(|error| cannot_create(&note, &error))?;
            sown
        }
    };
    Ok((app, sown))
}

/// The same installation in a file nobody relies on yet: quick, and without limits on who asks how often.
fn for_sowing(config: &Config, young: PathBuf) -> Config {
    let mut sowing = config.clone();
    sowing.storage.key_file = Some(config.key_file());
    sowing.storage.path = young;
    sowing.storage.commit = Commit::Fast;
    sowing.limits.unauthenticated_per_s = 0;
    sowing.limits.sign_in_per_minute = 0;
    sowing.limits.per_key_per_s = 0;
    sowing.limits.per_client_per_s = 0;
    sowing
}

/// New credentials for a file whose own are lost.
async fn renew(backend: &Backend) -> Result<Sown, Failure> {
    let clients = backend.list("/clients", None, usize::MAX).await?;
    let oldest = clients["data"].as_array().and_then(|it| it.last()).and_then(|it| it["id"].as_str());
    let client_id =
        oldest.ok_or_else(|| Failure::fault("the file has no client; delete it to begin anew"))?.to_owned();
    let make = async |kind: &str, scopes: &[&str]| -> Result<String, Failure> {
        let body = json!({ "name": format!("renewed {kind}"), "kind": kind, "scopes": scopes });
        let key = backend.post("/api-keys", body).client(Some(&client_id)).send().await?;
        Ok(key[format!("{kind}_key")].as_str().unwrap_or_default().to_owned())
    };
    let secret_key = make("secret", &["*:read", "*:write", "*:approve"]).await?;
    let publishable_key = make("publishable", &[]).await?;
    let token = backend.post("/operator/tokens", json!({ "name": "renewed" })).send().await?;
    let operator_token = token["token"].as_str().unwrap_or_default().to_owned();
    Ok(Sown { operator_token, secret_key, publishable_key, sign_ins: vec![], client_id })
}

fn keep(note: &Path, sown: &Sown) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(note)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?; // It may have been there before.
    file.write_all(serde_json::to_string_pretty(sown)?.as_bytes())
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn cannot_create(path: &Path, error: &std::io::Error) -> Failure {
    let message =
        format!("{}: cannot be created: {error}. Check the directory's owner and mode", path.display());
    Failure::new(CANNOT_CREATE, "cannot_create", message)
}
