//! Small commands about the program and the server: `openapi`, `healthcheck`, `version`.

use std::{net::IpAddr, time::Duration};

use axum::body::Body;
use clap::Args;
use hyper::Request;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use super::{
    Context,
    exit::{Failure, PROBLEMS_FOUND},
    local::over,
    module::compiled_in,
    output::{Answer, lines},
};
use crate::{config::Listen, kernel::api::openapi, kernel::store::open::LAYOUT, modules::MODULES};

#[derive(Args)]
pub struct Version {
    /// And what it was built from, and which data it knows
    #[arg(long)]
    verbose: bool,
}

impl Version {
    pub fn run(&self) -> Answer {
        let version = env!("CARGO_PKG_VERSION");
        if !self.verbose {
            return Answer::new(json!({ "version": version }), format!("coffer {version}"));
        }
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        let modules: Vec<&str> = MODULES.iter().map(|it| it.name).collect();
        let text = lines([
            ("coffer", version.to_owned()),
            ("build", format!("{build}, {target}")),
            ("storage", format!("redb 4.5, layout {LAYOUT}")),
            ("modules", modules.join(", ")),
        ]);
        let value = json!({
            "version": version, "build": build, "target": target, "engine": "redb 4.5", "layout": LAYOUT, "modules": modules,
        });
        Answer::new(value, text)
    }
}

/// The OpenAPI document: indented for people, on one line with `--json`.
pub fn openapi() -> Result<Answer, Failure> {
    let document = openapi::document(compiled_in(None)?.kernel());
    let text = serde_json::to_string_pretty(&document).map_err(Failure::fault)?;
    Ok(Answer::new(document, text))
}

/// Asks the server where it listens whether it is ready: exits 0 or 1, whatever the reason.
pub async fn healthcheck(context: &Context) -> Result<Answer, Failure> {
    let config = context.config()?;
    let patience = Duration::from_secs(5);
    let asked = tokio::time::timeout(patience, readyz(&config.server.listen)).await;
    let problem = match asked {
        Ok(Ok((200, _))) => None,
        Ok(Ok((status, body))) => Some(Failure::of_problem(status, body).message),
        Ok(Err(failure)) => Some(failure.message),
        Err(_) => Some(format!("no answer within {} s", patience.as_secs())),
    };
    let listen = config.server.listen.to_string();
    let value = json!({ "ok": problem.is_none(), "listen": listen, "problem": problem });
    Ok(match problem {
        None => Answer::new(value, format!("{listen}: ready")),
        Some(problem) => Answer::new(value, format!("{listen}: not ready: {problem}")).exits(PROBLEMS_FOUND),
    })
}

async fn readyz(listen: &Listen) -> Result<(u16, Value), Failure> {
    let request = Request::get("/readyz").header("host", "localhost").body(Body::empty());
    let request = request.map_err(Failure::fault)?;
    let unreachable = |error: std::io::Error| super::local::unreachable(listen, &error);
    match listen {
        Listen::Unix(path) => over(UnixStream::connect(path).await.map_err(unreachable)?, request).await,
        Listen::Tcp(address) => {
            let mut address = *address;
            // "Every address" is where to listen, not where to connect.
            if address.ip().is_unspecified() {
                address.set_ip(match address.ip() {
                    IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                });
            }
            over(TcpStream::connect(address).await.map_err(unreachable)?, request).await
        }
    }
}
