//! The command line: what `coffer` does when it is called.
//!
//! One file per group of commands. Each says what it takes (clap), sends HTTP requests to the server or, when none
//! runs, to the same routes in this process ([`local`]), and hands back an [`output::Answer`]: JSON for programs, a
//! table for people. What goes wrong is a [`exit::Failure`]: one line with the remedy on standard error, and an exit
//! code of its own ([`exit::TABLE`]).
//!
//! Always true: nothing but the answer goes to standard output; a secret is printed once, there and nowhere else.

mod about;
mod client;
mod config;
mod data;
mod demo;
mod dev;
mod events;
mod exit;
mod import;
mod key;
mod ledger;
mod local;
mod module;
mod notifications;
mod operator;
mod output;
mod queue;
mod serve;
mod sown;
mod verify;

use std::{ffi::OsString, io::IsTerminal as _, io::Write as _, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use tracing_subscriber::EnvFilter;

use self::{
    exit::{Failure, USAGE},
    local::Backend,
    output::Answer,
};
use crate::config::{Config, ConfigError, LoadOptions, Loaded, Log, LogFormat};

#[derive(Parser)]
#[command(name = "coffer", version, about = env!("CARGO_PKG_DESCRIPTION"), after_long_help = exit::TABLE)]
#[command(subcommand_required = true, arg_required_else_help = true, infer_subcommands = false)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Global {
    /// Answer in JSON, errors too
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
    /// The configuration file; ./config.toml or /etc/coffer/config.toml unless given
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    config: Option<PathBuf>,
    /// The data file: the same as --set storage.path=PATH
    #[arg(long, global = true, value_name = "PATH", help_heading = "Everywhere")]
    data: Option<PathBuf>,
    /// Set one key of the configuration, repeatable: --set log.level=debug
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value, help_heading = "Everywhere")]
    set: Vec<(String, String)>,
    /// When the data file was not closed and no server runs: recover it first, which writes to it
    #[arg(long, global = true, help_heading = "Everywhere")]
    recover: bool,
}

// In the order one meets them.
#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Run a server with demonstration data: ninety plausible days of two clients
    Demo(demo::Demo),
    /// Run a server to build on: one test client, ready to use
    Dev(dev::Dev),
    /// Make the one-time link that makes somebody an operator; also when a password was lost
    SetupLink,
    /// Operators and their tokens
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Clients: the businesses of this installation
    #[command(subcommand)]
    Client(client::Client),
    /// API keys of a client
    #[command(subcommand)]
    Key(key::Key),
    /// Modules, services and id prefixes
    #[command(subcommand)]
    Module(module::Module),
    /// Events and their deliveries, and what is done by the clock
    #[command(subcommand)]
    Events(events::Events),
    /// Queues that deliveries wait in
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Mails and short messages
    #[command(subcommand)]
    Notifications(notifications::Notifications),
    /// The books of a client
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Write what a client has to a file, an object a line
    Export(data::Export),
    /// Make anew what a client had, but for its money and its gateways
    Import(import::Import),
    /// Check everything in the data file, offline or beside a running server
    Verify,
    /// The configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Print the OpenAPI document
    Openapi,
    /// Ask the server whether it is ready: exits 0 or 1
    Healthcheck,
    /// Print the version
    Version(about::Version),
}

/// What every command is given.
pub struct Context {
    json: bool,
    recover: bool,
    file: Option<PathBuf>,
    overrides: Vec<(String, String)>,
}

impl Context {
    /// The configuration, with `beneath` set on top of file and environment and under the command line.
    fn load(&self, beneath: &[(&str, String)]) -> Result<Loaded, ConfigError> {
        let beneath = beneath.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let overrides = beneath.chain(self.overrides.iter().cloned()).collect();
        Config::load(&LoadOptions::of_process(self.file.clone(), overrides))
    }

    fn config(&self) -> Result<Config, Failure> {
        Ok(self.load(&[])?.config)
    }

    async fn changing(&self) -> Result<Backend, Failure> {
        Backend::changing(self.config()?).await
    }

    /// As [`Context::changing`]. Without a server only what is asked for is done: opening the file does not also start
    /// to deliver whatever waits in it.
    async fn by_hand(&self) -> Result<Backend, Failure> {
        let mut config = self.config()?;
        config.events.enabled = false;
        Backend::changing(config).await
    }

    async fn founding(&self) -> Result<Backend, Failure> {
        Backend::founding(self.config()?).await
    }

    async fn reading(&self) -> Result<Backend, Failure> {
        Backend::reading(self.config()?, self.recover).await
    }
}

/// Runs the command this process was started with.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return answer_unparsed(&error, arguments.iter().any(|it| it == "--json")),
    };
    let Global { json, config, data, set, recover } = cli.global;
    let data = data.map(|it| ("storage.path".to_owned(), it.display().to_string()));
    let context = Context { json, recover, file: config, overrides: set.into_iter().chain(data).collect() };
    match start(cli.command, &context) {
        Ok(answer) => {
            if let Some(answer) = &answer {
                answer.print(json);
            }
            ExitCode::from(answer.map_or(0, |it| it.exit))
        }
        Err(failure) => {
            complain(&failure, json);
            ExitCode::from(failure.exit)
        }
    }
}

/// Every command there is, as it is called: `key create`. For the test that calls them all.
#[doc(hidden)]
pub fn commands() -> Vec<String> {
    fn collect(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|it| it.get_name() != "help") {
            let path = format!("{path}{}", sub.get_name());
            if sub.has_subcommands() {
                collect(sub, &format!("{path} "), found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    collect(&Cli::command(), "", &mut found);
    found
}

fn start(command: Command, context: &Context) -> Result<Option<Answer>, Failure> {
    let serves = matches!(command, Command::Serve | Command::Demo(_) | Command::Dev(_));
    if !serves {
        // Only what would otherwise go unseen: the command says the rest itself.
        log(&Log { level: "error".to_owned(), ..Log::default() });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::fault)?;
    runtime.block_on(run(command, context))
}

/// `None` when the command has said everything itself.
async fn run(command: Command, context: &Context) -> Result<Option<Answer>, Failure> {
    Ok(Some(match command {
        Command::Serve => return serve::run(context).await.map(|()| None),
        Command::Demo(demo) => return demo.run(context).await.map(|()| None),
        Command::Dev(dev) => return dev.run(context).await.map(|()| None),
        Command::SetupLink => operator::setup_link(context).await?,
        Command::Operator(operator) => operator.run(context).await?,
        Command::Client(client) => client.run(context).await?,
        Command::Key(key) => key.run(context).await?,
        Command::Module(module) => module.run(context).await?,
        Command::Events(events) => events.run(context).await?,
        Command::Queue(queue) => queue.run(context).await?,
        Command::Notifications(notifications) => notifications.run(context).await?,
        Command::Ledger(ledger) => ledger.run(context).await?,
        Command::Export(export) => export.run(context).await?,
        Command::Import(import) => import.run(context).await?,
        Command::Verify => verify::run(context)?,
        Command::Config(config) => config.run(context)?,
        Command::Openapi => about::openapi()?,
        Command::Healthcheck => about::healthcheck(context).await?,
        Command::Version(version) => version.run(),
    }))
}

/// Sends log lines to standard error as configured.
fn log(config: &Log) {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only when a logger is there already, which then stays.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Help and version are answers; everything else is a mistake on the command line.
fn answer_unparsed(error: &clap::Error, json: bool) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !is_answer {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        complain(&Failure::usage(message), json);
    } else {
        let _ = error.print();
    }
    ExitCode::from(if is_answer { 0 } else { USAGE })
}

fn complain(failure: &Failure, json: bool) {
    let mut stderr = std::io::stderr().lock();
    if json {
        let _ = writeln!(stderr, "{}", failure.to_json());
        return;
    }
    for line in failure.message.lines() {
        let _ = writeln!(stderr, "coffer: {line}");
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("wanted KEY=VALUE, such as log.level=debug")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|it| it.get_name() != "help") {
                assert!(sub.get_about().is_some(), "{}", sub.get_name());
                check(sub);
            }
        }
        check(&Cli::command());
        assert!(commands().contains(&"operator token create".to_owned()));
    }

    #[test]
    fn the_command_line_is_stronger_than_what_a_command_prefers() {
        let context =
            |overrides: Vec<(String, String)>| Context { json: false, recover: false, file: None, overrides };
        let prefers = [("storage.path", "data/dev.redb".to_owned())];
        let path = |context: Context| context.load(&prefers).unwrap().config.storage.path;
        assert_eq!(path(context(vec![])), PathBuf::from("data/dev.redb"));
        let given = vec![("storage.path".to_owned(), "mine.redb".to_owned())];
        assert_eq!(path(context(given)), PathBuf::from("mine.redb"));
    }
}
