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

use redb::{StorageBackend, backends::FileBackend};
use serde::{Deserialize, Serialize};

use super::{
    exit::{CANNOT_CREATE, Failure, REFUSED},
    local::Backend,
    operator::{create, random_password},
};
use crate::{
    StartError,
    app::App,
    config::Config,
    kernel::{
        clock::Clock,
        secret::Secrets,
        store::{CommitMode, Random, Store, StoreOptions},
    },
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
        let mut app = open_young(config, &young, clock)?;
        let sown = sow(&app).await?;
        app.close();
        keep(&note, &sown).map_err(|error| cannot_create(&note, &error))?;
        fs::rename(&young, path).map_err(|error| cannot_create(path, &error))?;
    }
    let Ok(text) = fs::read(&note) else {
        let (path, note) = (path.display(), note.display());
        let message = format!(
            "{path}: was not made by this command, or {note} is gone. Delete both to begin anew, or start \
             `coffer serve` on the file"
        );
        return Err(Failure::new(REFUSED, "not_sown", message));
    };
    let sown = serde_json::from_slice(&text);
    let sown =
        sown.map_err(|error| Failure::new(REFUSED, "not_sown", format!("{}: {error}", note.display())))?;
    Ok((App::open(config.clone(), false, Clock::System)?, sown))
}

/// The same installation in a file nobody relies on yet: without limits on who asks how often, and quick.
fn open_young(config: &Config, young: &Path, clock: Clock) -> Result<App, Failure> {
    let mut config = config.clone();
    config.limits.unauthenticated_per_s = 0;
    config.limits.sign_in_per_minute = 0;
    config.limits.per_key_per_s = 0;
    config.limits.per_client_per_s = 0;
    let make = || {
        if let Some(folder) = young.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(young)?;
        FileBackend::new(file).map_err(std::io::Error::other)
    };
    let backend = make().map_err(|error| cannot_create(young, &error))?;
    let options = StoreOptions { clock, commit: CommitMode::Fast, ..StoreOptions::default() };
    let store = Store::with_backend(Unsynced(backend), options)?;
    let key_file = config.key_file();
    let secrets = Secrets::open(&key_file, !key_file.exists(), &mut Random::Os).map_err(StartError::Key)?;
    Ok(App::start(store, secrets, config, false)?)
}

/// A file that reaches the disk when it is closed, not at every commit: cut short it is thrown away anyway.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn close(&self) -> std::io::Result<()> {
        self.0.sync_data()?;
        self.0.close()
    }
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
