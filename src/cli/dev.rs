//! `coffer dev`: a server to build on, claimed and with one test client. In memory for a test harness, in a file for
//! a developer.

use std::{io::Read as _, io::Write as _};

use clap::Args;
use serde::Serialize;

use super::{
    Context,
    exit::Failure,
    output::lines,
    serve::{Listeners, until_stopped},
    sown::{SignIn, Sown, sow_once},
};
use crate::{
    app::App,
    kernel::clock::{Clock, Time},
    testing::seed_dev,
};

/// The networks that only this machine is in.
pub const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

#[derive(Args)]
pub struct Dev {
    /// Keep everything in memory, with a clock that moves only when told
    #[arg(long)]
    ephemeral: bool,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Print one line of JSON when ready, and stop when standard input closes
    #[arg(long)]
    print_json: bool,
    /// With --ephemeral: where the clock stands at the start
    #[arg(long, value_name = "TIME", default_value = "2026-01-01T00:00:00Z", requires = "ephemeral")]
    clock_at: String,
}

impl Dev {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut beneath =
            vec![("storage.path", "data/dev.redb".to_owned()), ("log.level", "warn".to_owned())];
        if let Some(port) = self.port {
            beneath.push(("server.listen", format!("127.0.0.1:{port}")));
        }
        if self.ephemeral {
            // A test harness is not an attacker: only the sign-in lock-out stays. What the command line says, counts.
            let unlimited = ["limits.unauthenticated_per_s", "limits.sign_in_per_minute"];
            beneath.extend(unlimited.map(|it| (it, "0".to_owned())));
        }
        let mut config = context.load(&beneath)?.config;
        // Whoever tries webhooks out has the receiver on this machine. Nowhere else is that allowed unless asked for.
        if config.webhooks.allow_networks.is_empty() {
            config.webhooks.allow_networks = LOOPBACK.iter().filter_map(|it| it.parse().ok()).collect();
        }
        super::log(&config.log);

        let (app, sown) = if self.ephemeral {
            let at = Time::parse(&self.clock_at);
            let at = at.ok_or_else(|| {
                Failure::usage(format!("--clock-at: {} is not an RFC 3339 time", self.clock_at))
            })?;
            let app = App::in_memory(config.clone(), Clock::manual(at), None)?;
            let sown = Sown::of(seed_dev(app.kernel()).await?);
            (app, sown)
        } else {
            sow_once(&config, Clock::System, async |app| {
                let mut sown = Sown::of(seed_dev(app.kernel()).await?);
                sown.add_operator(app, "dev@example.com").await?;
                Ok(sown)
            })
            .await?
        };
        let listeners = Listeners::bind(&app).await?;
        let url = config.public_url(&listeners.address);
        if self.print_json || context.json {
            print_line(&url, &sown);
        } else {
            let data = config.storage.path.display().to_string();
            welcome(&url, if self.ephemeral { "memory" } else { &data }, &sown, "/currencies");
        }
        let stops_with_stdin = self.print_json;
        let enough =
            async move { if stops_with_stdin { stdin_closed().await } else { std::future::pending().await } };
        until_stopped(app, listeners, enough).await
    }
}

/// What a person is told: where, with what, and a first request.
pub fn welcome(url: &str, data: &str, sown: &Sown, first: &str) {
    let Sown { operator_token, client_id, secret_key, publishable_key, sign_ins } = sown;
    let mut facts: Vec<(&str, String)> = vec![
        ("API", format!("{url}/api/v1, described at {url}/docs")),
        ("data", data.to_owned()),
        ("client", client_id.clone()),
        ("secret key", secret_key.clone()),
        ("publishable key", publishable_key.clone()),
        ("operator token", operator_token.clone()),
    ];
    for SignIn { who, email, password } in sign_ins {
        facts.push((who, format!("{email}, password {password}")));
    }
    let facts: String = lines(facts).lines().map(|it| format!("  {it}\n")).collect();
    let curl = format!("curl -s '{url}/api/v1{first}' -H 'Authorization: Bearer {secret_key}'");
    let mut stdout = std::io::stdout().lock();
    // Whoever closed the pipe does not want to know.
    let _ = writeln!(stdout, "Coffer is ready.\n\n{facts}\nTry it:\n\n  {curl}\n\nCtrl-C stops it.");
    let _ = stdout.flush();
}

/// What a test harness is told, in this order.
#[derive(Serialize)]
struct Line<'a> {
    url: &'a str,
    operator_token: &'a str,
    client_id: &'a str,
    secret_key: &'a str,
    publishable_key: &'a str,
    pid: u32,
}

pub fn print_line(url: &str, sown: &Sown) {
    let Sown { operator_token, client_id, secret_key, publishable_key, .. } = sown;
    let line = Line { url, operator_token, client_id, secret_key, publishable_key, pid: std::process::id() };
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{}", serde_json::to_string(&line).unwrap_or_default());
    let _ = stdout.flush();
}

/// Ready when standard input ends: whoever started this is gone.
async fn stdin_closed() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: nothing can interrupt a blocking read, and this one must not hold the runtime up.
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while std::io::stdin().read(&mut bytes).is_ok_and(|it| it > 0) {}
        drop(closed);
    });
    let _ = wait.await;
}
