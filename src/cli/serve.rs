//! `coffer serve`: the server, until it is told to stop.

use std::{
    future::Future,
    io::{IsTerminal as _, Write as _},
};

use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    Context,
    exit::{FAULT, Failure},
    local::Backend,
    operator,
    output::Answer,
};
use crate::{
    StartError,
    app::App,
    config::{Config, read_secret_file},
    kernel::{api::server::Listener, clock::Clock},
};

pub async fn run(context: &Context) -> Result<(), Failure> {
    let config = context.config()?;
    super::log(&config.log);
    let app = App::open(config.clone(), true, Clock::System)?;
    let listeners = Listeners::bind(&app).await?;
    let address = listeners.address.clone();
    if !is_claimed(&app) {
        claim_from(&config, &app).await?;
    }
    tracing::info!(address, data = %config.storage.path.display(), "Serving {} on {address}", config.storage.path.display());
    if context.json {
        Answer::new(json!({ "url": config.public_url(&address), "pid": std::process::id() }), "").print(true);
    }
    if !is_claimed(&app) {
        invite(&app, &config.public_url(&address)).await?;
    }
    until_stopped(app, listeners, std::future::pending()).await
}

/// Where a server is reached, by requests and by signals: set up before anybody is told that it is ready.
pub struct Listeners {
    http: Listener,
    /// Of the command line.
    local: Option<Listener>,
    signals: Signals,
    /// With the port that was really bound.
    pub address: String,
}

impl Listeners {
    pub async fn bind(app: &App) -> Result<Listeners, Failure> {
        let listen = &app.kernel().config.server.listen;
        let http = Listener::bind(listen).await;
        let http = http.map_err(|error| StartError::Listen(listen.to_string(), error))?;
        let address = http.address().map_err(Failure::fault)?;
        Ok(Listeners { http, local: app.bind_local()?, signals: Signals::new()?, address })
    }
}

/// Serves until a signal comes, `enough` is ready or the storage fails; then lets what runs finish. A second signal
/// ends the process at once.
pub async fn until_stopped(
    mut app: App,
    listeners: Listeners,
    enough: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let Listeners { http, local, mut signals, .. } = listeners;
    let (stop, stopped) = watch::channel(false);
    let kernel = app.kernel().clone();
    let failure = {
        let mut serving = std::pin::pin!(app.serve(http, local, stopped));
        let failure = tokio::select! {
            () = &mut serving => return Ok(()),
            name = signals.next() => {
                tracing::info!("Stopping: {name}");
                None
            }
            () = enough => None,
            why = kernel.failed() => Some(why),
        };
        let _ = stop.send(true);
        tokio::select! {
            () = &mut serving => {}
            _ = signals.next() => std::process::exit(130),
        }
        failure
    };
    app.close();
    match failure {
        None => Ok(()),
        Some(why) => {
            let message = format!(
                "the storage failed: {why}. Look at the disk, then start again: nothing answered was lost"
            );
            Err(Failure::new(FAULT, "storage_failed", message))
        }
    }
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::fault);
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

fn is_claimed(app: &App) -> bool {
    app.kernel().claimed.load(std::sync::atomic::Ordering::SeqCst)
}

/// The operator of `[bootstrap]`, for installations nobody sits in front of.
async fn claim_from(config: &Config, app: &App) -> Result<(), Failure> {
    let (Some(email), Some(file)) =
        (&config.bootstrap.operator_email, &config.bootstrap.operator_password_file)
    else {
        return Ok(());
    };
    let password = read_secret_file(file)?;
    let operator: Value = operator::create(&Backend::of(app.kernel()), email, &password).await?;
    tracing::info!(operator.id = operator["id"].as_str(), "Claimed by [bootstrap] for {email}");
    Ok(())
}

/// The set-up link goes to a person in front of a terminal. A journal is read by others too.
async fn invite(app: &App, url: &str) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        tracing::warn!("Nobody has claimed this installation: run `coffer setup-link`");
        return Ok(());
    }
    let link = operator::make_setup_link(&Backend::of(app.kernel()), url).await?;
    let advice = "This installation is new. Open this link within 30 minutes to become its operator:";
    let _ = writeln!(std::io::stdout(), "\n{advice}\n\n  {link}\n");
    Ok(())
}
