//! A server on a disk that loses power.

use std::time::Duration;

use serde_json::Value;

use super::{Credentials, Local, seed_dev};
use crate::{
    app::App,
    config::Config,
    kernel::{
        clock::{Clock, Time},
        secret::Secrets,
        store::{CommitMode, Store, StoreOptions, sim_disk::SimDisk},
    },
};

/// A server on a simulated disk: power cuts lose, tear or keep what was not synced, as the seed decides.
pub struct Simulation {
    disk: SimDisk,
    clock: Clock,
    seed: u64,
    commit: CommitMode,
    app: Option<App>,
    credentials: Credentials,
    restarts: u64,
}

impl Simulation {
    /// Starts on an empty disk.
    pub async fn start(seed: u64) -> Simulation {
        let disk = SimDisk::new(seed);
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").expect("an RFC 3339 time"));
        let commit = if seed.is_multiple_of(2) { CommitMode::Safe } else { CommitMode::Fast };
        let app = boot(&disk, &clock, seed, commit).expect("an empty disk opens");
        let credentials = seed_dev(app.kernel()).await.expect("it is seeded");
        Simulation { disk, clock, seed, commit, app: Some(app), credentials, restarts: 0 }
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Sends a request as an administrator inside the client; 503 when the power is gone.
    pub async fn request(&self, key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        match &self.app {
            Some(app) => {
                let path = format!("/api/v1{path}");
                Local::new(app.kernel())
                    .repeat(key, method, &path, Some(&self.credentials.client_id), body)
                    .await
            }
            None => (503, Value::Null),
        }
    }

    /// Lets so many more writes and syncs happen, then cuts the power.
    pub fn lose_power_in(&self, changes: u64) {
        self.disk.lose_power_in(changes);
    }

    /// Ends the process and starts it again on what the disk kept. Every third time the power goes once more while it
    /// recovers, or shortly after.
    pub fn restart(&mut self) {
        self.app = None;
        self.restarts += 1;
        for attempt in 0..8 {
            self.disk.restart();
            if attempt == 0 && self.restarts.is_multiple_of(3) {
                self.disk.lose_power_in((self.seed * 31 + self.restarts * 7) % 60);
            }
            if let Some(app) = boot(&self.disk, &self.clock, self.seed + attempt + 1, self.commit) {
                self.app = Some(app);
                return;
            }
        }
        panic!("seed {}: the disk does not open any more", self.seed);
    }

    /// As [`Simulation::restart`], on power that stays: what is looked at next is what the disk kept.
    pub fn restart_calmly(&mut self) {
        self.app = None;
        self.disk.restart();
        self.app = boot(&self.disk, &self.clock, self.seed, self.commit);
    }

    /// Moves the clock, and runs what came due, through as many restarts as it takes.
    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        while !self.settle() {
            self.restart();
        }
    }

    /// Runs what came due. Whether all of it ran before the power went.
    fn settle(&self) -> bool {
        let Some(app) = &self.app else { return false };
        app.kernel().worker.settle().is_ok() && !self.disk.is_dead()
    }

    /// What time it is, as the API would say it.
    pub fn now(&self) -> String {
        self.clock.now().to_string()
    }

    /// Everything that is wrong with the books.
    pub fn problems(&self) -> Vec<String> {
        let Some(app) = &self.app else {
            return vec!["the power is gone".into()];
        };
        let kernel = app.kernel();
        kernel
            .store
            .read(|tx| kernel.verify(tx))
            .unwrap_or_else(|error| vec![format!("verify failed: {error}")])
    }
}

fn boot(disk: &SimDisk, clock: &Clock, seed: u64, commit: CommitMode) -> Option<App> {
    let options = StoreOptions { commit, clock: clock.clone(), seed: Some(seed), ..StoreOptions::default() };
    let store = Store::with_backend(disk.clone(), options).ok()?;
    let mut config = Config::default();
    config.storage.verify = "never".into(); // Asked for at the end of each run.
    let app = App::start(store, Secrets::new(&[7; 32]), config, false).ok()?;
    app.kernel().claimed.store(true, std::sync::atomic::Ordering::SeqCst);
    Some(app)
}
