//! What the server says about itself: signs of life, modules and their health, documentation, state machines.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::get as route_get,
};
use hyper::{StatusCode, header};
use serde::Serialize;
use serde_json::Value;

use super::{
    call::{Call, found},
    dispatch::Peer,
    endpoint::{Endpoint, get},
    openapi,
    principal::OPERATOR,
    problem::{self, ApiRefusal},
    request::make_request_id,
    response::{decorate, problem_response},
};
use crate::kernel::{
    boot::{Kernel, ModuleInfo},
    clock::Time,
    error::{RefusalInfo, Result},
    store::{ReadTx, Scan, migration},
};

/// What is served and is no operation of the API: it stands in the document by its path only.
pub const OUTSIDE: &[(&str, &str)] = &[
    ("/metrics", "OpenMetrics text for a collector on this machine, or with an operator token"),
    ("/openapi.json", "This document"),
    ("/docs", "Its viewer, a page for people"),
    ("/docs/errors/{code}", "What an error code means: a page for people, JSON for programs"),
    ("/setup", "The page behind the set-up link, for the first operator"),
];

/// The operations of the kernel itself.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/livez")
            .about("Whether the process runs")
            .open()
            .runs(|_, _: Call| async { Ok(StatusOut::new("ok")) }),
        get("/readyz").about("Whether the server can take commands").open().refuses(&["not_ready"]).runs(
            |kernel: Arc<Kernel>, _: Call| async move {
                match kernel.why_not_ready() {
                    None => Ok(StatusOut::new("ok")),
                    Some(reason) => Err(MetaRefusal::NotReady { reason }.into()),
                }
            },
        ),
        get("/api/gateway/status").about("What this server is").open().runs(
            |kernel: Arc<Kernel>, call: Call| async move {
                let is_operator = call.caller.principal.grants.has(OPERATOR);
                let mut out =
                    StatusOut::new(if kernel.why_not_ready().is_none() { "ok" } else { "degraded" });
                if is_operator {
                    out.version = Some(env!("CARGO_PKG_VERSION"));
                    out.modules = Some(kernel.modules.len());
                    out.epoch = Some(kernel.epoch);
                }
                Ok(out)
            },
        ),
        get("/api/gateway/health")
            .about("Whether every module is well; an operator sees why not")
            .open()
            .runs(|kernel: Arc<Kernel>, call: Call| async move {
                let healths = all_health(&kernel)?;
                let well =
                    healths.iter().all(|it| it.status != "failing") && kernel.why_not_ready().is_none();
                let is_operator = call.caller.principal.grants.has(OPERATOR);
                let mut out = StatusOut::new(if well { "ok" } else { "degraded" });
                out.health = is_operator.then_some(healths);
                Ok(out)
            }),
        get("/api/gateway/modules")
            .about("List the modules; an operator sees their health")
            .open()
            .with_csv()
            .runs(|kernel: Arc<Kernel>, call: Call| async move {
                let is_operator = call.caller.principal.grants.has(OPERATOR);
                let outs = kernel.modules.iter().map(|it| module_out(&kernel, it, is_operator));
                Ok(ModulesOut { object: "list", data: outs.collect::<Result<_>>()? })
            }),
        get("/api/gateway/modules/{module}").about("Show a module; an operator sees its health").open().runs(
            |kernel: Arc<Kernel>, call: Call<String>| async move {
                let module = found(kernel.modules.iter().find(|it| it.name == call.path))?;
                module_out(&kernel, module, call.caller.principal.grants.has(OPERATOR))
            },
        ),
        get("/meta/state-machines").about("The table of every state machine").public().with_csv().runs(
            |kernel: Arc<Kernel>, _: Call| async move {
                Ok(MachinesOut { object: "list", data: kernel.machines.clone() })
            },
        ),
        get("/permissions").about("Every permission there is").needs("roles.view_any").with_csv().runs(
            |kernel: Arc<Kernel>, _: Call| async move {
                Ok(PermissionsOut { object: "list", data: kernel.permissions.iter().cloned().collect() })
            },
        ),
    ]
}

crate::kernel::error::refusals! {
    kernel
    /// What the kernel says of itself.
    pub enum MetaRefusal {
        /// The server cannot take commands now; `detail` says why.
        NotReady { reason: String }: Unavailable "not_ready" => "{reason}",
    }
}

/// What this server is and how it does. Details only for an operator.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct StatusOut {
    #[schema(value_type = String)]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    modules: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Vec<HealthOut>>,
}

impl StatusOut {
    fn new(status: &'static str) -> StatusOut {
        StatusOut { status, version: None, modules: None, epoch: None, health: None }
    }
}

/// How a module does.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct HealthOut {
    #[schema(value_type = String)]
    module: &'static str,
    #[schema(value_type = String)]
    status: &'static str,
    /// What is wrong; empty when nothing is.
    problems: Vec<String>,
}

/// A module.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModuleOut {
    #[schema(value_type = String)]
    pub name: &'static str,
    #[schema(value_type = String)]
    pub about: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub tables: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Vec<String>>,
    /// Which of them were applied, and when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_status: Option<Vec<MigrationOut>>,
    /// Switched off, it has no routes, listeners and jobs; its tables stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The modules whose contracts it requires.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub requires: Option<Vec<&'static str>>,
    /// The contracts it lets others require.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub provides: Option<Vec<&'static str>>,
    /// The file its tables are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What stands before the names of its tables there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// A migration of a module.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MigrationOut {
    version: u32,
    name: String,
    /// `null` when it is not applied.
    applied_at: Option<Time>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ModulesOut {
    #[schema(value_type = String)]
    object: &'static str,
    data: Vec<ModuleOut>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct MachinesOut {
    #[schema(value_type = String)]
    object: &'static str,
    #[schema(value_type = Vec<Object>)]
    data: Vec<Value>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PermissionsOut {
    #[schema(value_type = String)]
    object: &'static str,
    data: Vec<String>,
}

/// A module as the gateway and `coffer module show` describe it.
pub fn module_out(kernel: &Kernel, module: &ModuleInfo, with_details: bool) -> Result<ModuleOut> {
    if !with_details {
        let (name, about) = (module.name, module.about);
        return Ok(ModuleOut {
            name,
            about,
            health: None,
            tables: None,
            routes: None,
            migrations: None,
            migration_status: None,
            enabled: None,
            requires: None,
            provides: None,
            connection: None,
            prefix: None,
        });
    }
    let own = |name: &str| name.split('.').next() == Some(module.name);
    let routes = kernel.endpoints.iter().filter(|it| it.module == module.name);
    let short = |it: &&'static str| it.rsplit("::").next().unwrap_or(it);
    let place = kernel.config.modules.get(module.name).cloned().unwrap_or_default().database;
    let store = kernel.store_of(module.name);
    let states = store.read(|tx| migration::status(tx, module.name, module.migrations))?;
    let states =
        states.into_iter().map(|it| MigrationOut { version: it.version, name: it.name, applied_at: it.at });
    Ok(ModuleOut {
        name: module.name,
        about: module.about,
        health: Some(store.read(|tx| health(kernel, tx, module))?),
        tables: Some(kernel.tables.iter().map(|it| it.name).filter(|it| own(it)).collect()),
        routes: Some(routes.map(|it| format!("{} {}", it.method, super::dispatch::full_path(it))).collect()),
        migrations: Some(module.migrations.iter().map(|it| format!("{} {}", it.version, it.name)).collect()),
        migration_status: Some(states.collect()),
        enabled: Some(module.is_enabled),
        requires: Some(module.requires.iter().copied().collect()),
        provides: Some(module.provides.iter().map(short).collect()),
        connection: Some(place.connection),
        prefix: Some(place.prefix),
    })
}

fn all_health(kernel: &Kernel) -> Result<Vec<HealthOut>> {
    let one = |it: &ModuleInfo| kernel.store_of(it.name).read(|tx| health(kernel, tx, it));
    kernel.modules.iter().map(one).collect()
}

/// A real check: the module's tables can be read, its migrations are those of this binary.
fn health(kernel: &Kernel, tx: &ReadTx, module: &ModuleInfo) -> Result<HealthOut> {
    let mut problems = vec![];
    if !module.is_enabled {
        return Ok(HealthOut { module: module.name, status: "disabled", problems });
    }
    for table in kernel.tables.iter().filter(|it| it.name.split('.').next() == Some(module.name)) {
        let first = kernel
            .store_of_table(table)
            .read(|tx| tx.raw_scan(table.name, &Scan::all()).and_then(|mut it| it.next().transpose()));
        if let Err(error) = first {
            problems.push(format!("table {} cannot be read: {error}", table.name));
        }
    }
    for state in migration::status(tx, module.name, module.migrations)? {
        if state.at.is_none() {
            problems.push(format!("migration {} {} has not been run", state.version, state.name));
        }
    }
    let status = if problems.is_empty() { "ok" } else { "failing" };
    Ok(HealthOut { module: module.name, status, problems })
}

/// What is not JSON, and so no endpoint: documentation pages, metrics, and the page behind the set-up link.
pub fn pages(kernel: &Arc<Kernel>) -> Router {
    let set_up = Router::new()
        .route("/setup", route_get(|| async { set_up_file("") }))
        .route("/setup/{file}", route_get(|Path(file): Path<String>| async move { set_up_file(&file) }));
    let gate = axum::middleware::from_fn_with_state(kernel.clone(), once_claimed);
    documents(kernel).layer(gate).merge(set_up)
}

/// Until an operator has claimed the installation there is nothing to see.
async fn once_claimed(
    State(kernel): State<Arc<Kernel>>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let is_admin = request.extensions().get::<Peer>().is_some_and(|it| it.is_local_admin);
    if is_admin || kernel.claimed.load(std::sync::atomic::Ordering::Relaxed) {
        return next.run(request).await;
    }
    problem_response(&ApiRefusal::NotClaimed.into(), &make_request_id())
}

/// The page the set-up link opens: the token stands behind the `#`, which browsers keep to themselves.
fn set_up_file(file: &str) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'";
    let (kind, body) = match file {
        "" => ("text/html; charset=utf-8", include_str!("setup/setup.html")),
        "setup.js" => ("text/javascript; charset=utf-8", include_str!("setup/setup.js")),
        "setup.css" => ("text/css; charset=utf-8", include_str!("setup/setup.css")),
        _ => return problem_response(&ApiRefusal::NotFound.into(), &make_request_id()),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    decorate((headers, body).into_response(), &make_request_id())
}

fn documents(kernel: &Arc<Kernel>) -> Router {
    Router::new()
        .route("/openapi.json", route_get(openapi_json))
        .route("/metrics", route_get(metrics))
        .route("/docs", route_get(|| async { docs_file("index.html") }))
        .route("/docs/", route_get(|| async { docs_file("index.html") }))
        .route("/docs/{file}", route_get(|Path(file): Path<String>| async move { docs_file(&file) }))
        .route("/docs/errors/{code}", route_get(error_page))
        .with_state(kernel.clone())
}

async fn openapi_json(State(kernel): State<Arc<Kernel>>) -> Response {
    let body = openapi::document(&kernel).to_string();
    decorate(([(header::CONTENT_TYPE, "application/json")], body).into_response(), &make_request_id())
}

async fn metrics(State(kernel): State<Arc<Kernel>>, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let from_here = peer.is_none_or(|it| it.is_local_admin || it.ip.is_loopback());
    let by_operator = || {
        let token = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let known =
            kernel.authenticators.iter().find(|it| it.0.iter().any(|prefix| token.starts_with(prefix)))?;
        let ip = peer.map(|it| it.ip)?;
        let principal = kernel.store.read(|tx| known.1.authenticate(tx, token, ip)).ok()?;
        principal.grants.has(OPERATOR).then_some(())
    };
    if !from_here && by_operator().is_none() {
        return problem_response(&ApiRefusal::Unauthenticated.into(), &make_request_id());
    }
    match super::metrics::text(&kernel) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            decorate(([(header::CONTENT_TYPE, kind)], text).into_response(), &make_request_id())
        }
        Err(error) => problem_response(&error, &make_request_id()),
    }
}

/// The viewer of the OpenAPI document, from files in this binary: it needs no network and no inline script.
fn docs_file(file: &str) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";
    const PAGE: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Coffer API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png">
</head><body><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"#;
    const START: &str = "window.onload = () => SwaggerUIBundle({ url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true });\n";
    let respond = |kind: &str, body: Vec<u8>| {
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
        decorate((headers, body).into_response(), &make_request_id())
    };
    match file {
        "index.html" => return respond("text/html; charset=utf-8", PAGE.into()),
        "start.js" => return respond("text/javascript; charset=utf-8", START.into()),
        _ => {}
    }
    let config = Arc::new(utoipa_swagger_ui::Config::from("/openapi.json"));
    match utoipa_swagger_ui::serve(file, config) {
        Ok(Some(found)) => respond(&found.content_type, found.bytes.into_owned()),
        _ => problem_response(&ApiRefusal::NotFound.into(), &make_request_id()),
    }
}

/// `/docs/errors/{code}`: a page for people, JSON for programs.
async fn error_page(
    State(kernel): State<Arc<Kernel>>,
    Path(code): Path<String>,
    request: Request,
) -> Response {
    let Some(info) = kernel.refusals.iter().find(|it| it.code == code) else {
        return problem_response(&ApiRefusal::NotFound.into(), &make_request_id());
    };
    let page = problem::page(info);
    let wants_html = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    if wants_html.is_some_and(|it| it.contains("text/html")) {
        let text = |name: &str| page[name].as_str().unwrap_or_default().to_owned();
        let again = if page["retryable"] == true {
            "The same request may succeed later."
        } else {
            "Repeating the same request will not help."
        };
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{code}</title></head><body><main><h1>{title}</h1><p><code>{code}</code>, HTTP {status}</p><p>{about}</p><p>{again}</p></main></body></html>\n",
            title = text("title"),
            status = page["status"],
            about = text("about"),
        );
        return decorate(
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
            "docs",
        );
    }
    let body = page.to_string();
    decorate(
        (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        &make_request_id(),
    )
}

/// Refusals that no contract declares.
pub fn refusals() -> Vec<RefusalInfo> {
    let internal = RefusalInfo {
        code: "internal",
        kind: crate::kernel::error::Kind::Unavailable,
        about: "A fault of ours: the log has it under the request id. Nothing was changed.",
    };
    let mut all = ApiRefusal::CATALOGUE.to_vec();
    all.extend(super::input::Flawed::catalogue());
    all.extend_from_slice(MetaRefusal::CATALOGUE);
    all.extend_from_slice(crate::kernel::store::StoreRefusal::CATALOGUE);
    all.push(internal);
    all
}
