//! The OpenAPI 3.1 document, made from the endpoints themselves.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, schema::Schema};

use super::{
    dispatch::full_path,
    endpoint::{Access, Endpoint, Handler, Shape},
    idempotency,
    input::FLAWS,
    problem,
};
use crate::kernel::{boot::Kernel, error::RefusalInfo};

/// The document of everything this server answers.
pub fn document(kernel: &Kernel) -> Value {
    let refusals: BTreeMap<&str, &RefusalInfo> = kernel.refusals.iter().map(|it| (it.code, it)).collect();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    schemas.insert("Problem".into(), problem_schema());
    let mut inputs = BTreeSet::new();
    for endpoint in &kernel.endpoints {
        let (input, output) = ((endpoint.input)(), (endpoint.output)());
        for shape in [&input, &output] {
            schemas.extend(named(shape).map(|(name, schema)| (name.clone(), plain(schema))));
        }
        for (name, _) in input.referred.iter().chain(&input.schema) {
            inputs.insert(name.clone());
        }
        let methods = paths.entry(full_path(endpoint)).or_default();
        methods.insert(endpoint.method.as_str().to_lowercase(), operation(endpoint, &refusals));
    }
    for name in inputs {
        // Unknown fields are refused, so the document says so.
        if let Some(Value::Object(schema)) = schemas.get_mut(&name)
            && schema.get("type") == Some(&json!("object"))
            && schema.contains_key("properties")
        {
            schema.insert("additionalProperties".into(), false.into());
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coffer",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Payments and investments back office. Amounts are decimal strings; times are RFC 3339 UTC; every error is a problem document whose code has a page at /docs/errors/{code}.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": kernel.modules.iter().map(|it| json!({ "name": it.name, "description": it.about })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "A secret or publishable key of a client." },
                "bearer": { "type": "http", "scheme": "bearer", "description": "A session token, a key, or an operator token." },
            },
        },
    })
}

/// The names that stand for different things in different operations: the document would show one of them for all.
pub fn clashes(endpoints: &[Endpoint]) -> Vec<String> {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let mut clashes = BTreeSet::new();
    for shape in endpoints.iter().flat_map(|it| [it.input, it.output]) {
        for (name, schema) in named(&shape()) {
            let schema = plain(schema);
            if *known.entry(name.clone()).or_insert_with(|| schema.clone()) != schema {
                clashes.insert(name.clone());
            }
        }
    }
    clashes.into_iter().collect()
}

/// `post_withdrawals_id_approve`: stable, and unique because method and path are.
pub fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_matches('/').replace(['/', '-', '.'], "_").replace(['{', '}'], "");
    format!("{}_{}", endpoint.method.as_str().to_lowercase(), path)
}

fn operation(endpoint: &Endpoint, refusals: &BTreeMap<&str, &RefusalInfo>) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".into(), operation_id(endpoint).into());
    operation.insert("tags".into(), json!([endpoint.module]));
    operation.insert("summary".into(), endpoint.summary.into());
    if let Some(why) = endpoint.repeat {
        operation.insert("description".into(), format!("Reads no `Idempotency-Key`. {why}").into());
    }
    operation.insert("x-permission".into(), endpoint.access.permission().into());
    if !endpoint.further.is_empty() {
        operation.insert("x-further-permissions".into(), json!(endpoint.further));
    }
    operation.insert("x-idempotent".into(), idempotent(endpoint).into());
    let open = endpoint.access == Access::Open;
    operation
        .insert("security".into(), if open { json!([]) } else { json!([{ "key": [] }, { "bearer": [] }]) });
    operation.insert("parameters".into(), parameters(endpoint).into());
    if let Some(schema) = reference(&(endpoint.input)()) {
        let mut media = json!({ "schema": schema });
        if let Some(example) = &endpoint.example {
            media["example"] = example.clone();
        }
        operation.insert(
            "requestBody".into(),
            json!({ "required": true, "content": { "application/json": media } }),
        );
    }
    if matches!(endpoint.handler, Handler::Hear(_)) {
        let about = "As it was signed, byte for byte.";
        let content = json!({ "application/json": { "schema": {} } });
        let body = json!({ "required": true, "description": about, "content": content });
        operation.insert("requestBody".into(), body);
    }
    let codes = error_codes(endpoint);
    operation.insert("x-error-codes".into(), json!(codes));
    operation.insert("responses".into(), responses(endpoint, &codes, refusals));
    operation.into()
}

fn idempotent(endpoint: &Endpoint) -> &'static str {
    match endpoint.method {
        _ if endpoint.method != Method::POST => "by method",
        _ if endpoint.repeat.is_some() => "natural",
        _ if !endpoint.reads_key() => "no",
        _ if endpoint.money => "key required",
        _ => "key accepted",
    }
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let mut parameters = vec![];
    for part in endpoint.path.split('/').filter(|it| it.starts_with('{')) {
        let name = part.trim_matches(['{', '}']);
        parameters
            .push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    }
    let shapes: BTreeMap<&str, &RefOr<Schema>> =
        endpoint.query_shapes.iter().map(|(name, schema)| (*name, schema)).collect();
    for name in endpoint.query_names {
        if *name == "metadata" {
            let about = "`metadata[key]=value`: only objects whose metadata say so.";
            let schema = json!({ "type": "object", "additionalProperties": { "type": "string" } });
            parameters.push(json!({
                "name": name, "in": "query", "required": false, "description": about,
                "style": "deepObject", "explode": true, "schema": schema,
            }));
            continue;
        }
        let schema = match *name {
            _ if shapes.contains_key(name) => plain(shapes[name]),
            "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 100, "default": 25 }),
            "created_from" | "created_to" | "as_of" | "from" | "to" => {
                json!({ "type": "string", "format": "date-time" })
            }
            _ => json!({ "type": "string" }),
        };
        parameters.push(json!({ "name": name, "in": "query", "required": false, "schema": schema }));
    }
    if endpoint.reads_key() {
        parameters.push(idempotency::documented(endpoint));
    }
    if endpoint.money && matches!(endpoint.handler, Handler::Write(_) | Handler::Pieces(_)) {
        let about = "All checks, the would-be object with `id: null`, and nothing written.";
        parameters.push(json!({ "name": "dry_run", "in": "query", "required": false, "description": about, "schema": { "type": "boolean" } }));
    }
    if endpoint.versioned {
        let about = "The ETag that was read.";
        parameters.push(json!({ "name": "If-Match", "in": "header", "required": true, "description": about, "schema": { "type": "string" } }));
    }
    if !matches!(endpoint.access, Access::Open | Access::Operator) {
        let about = "For an operator: the client to act in.";
        parameters.push(json!({ "name": "X-Client-Id", "in": "header", "required": false, "description": about, "schema": { "type": "string" } }));
    }
    parameters
}

/// Every code the operation may answer with: its module's, and what the kernel adds to all of its kind.
pub fn error_codes(endpoint: &Endpoint) -> BTreeSet<&'static str> {
    let mut codes: BTreeSet<&str> = endpoint.refusals.iter().copied().collect();
    codes.extend(["internal", "overloaded", "not_claimed", "malformed", "timed_out"]);
    codes.extend([
        "unknown_field",
        "not_allowed",
        "invalid_format",
        "required",
        "invalid_type",
        "out_of_range",
    ]);
    if endpoint.access != Access::Open {
        codes.extend([
            "unauthenticated",
            "forbidden",
            "client_inactive",
            "client_required",
            "rate_limited",
            "not_found",
        ]);
    }
    if endpoint.path.contains('{') {
        codes.insert("not_found");
    }
    if matches!(endpoint.handler, Handler::Hear(_)) {
        codes.insert("rate_limited");
    }
    if matches!(endpoint.handler, Handler::Read(_) | Handler::Stream(_)) {
        codes.insert("snapshot_too_old");
    } else {
        codes.extend([
            "payload_too_large",
            "unsupported_media_type",
            "outcome_unknown",
            "insufficient_storage",
            "shutting_down",
        ]);
        codes.extend(FLAWS.iter().map(|it| it.0).filter(|it| endpoint.money || !it.starts_with("amount_")));
    }
    if endpoint.reads_key() {
        codes.extend(["idempotency_key_reused", "idempotency_in_progress"]);
    }
    if endpoint.money {
        codes.insert("idempotency_key_required");
    }
    if endpoint.versioned {
        codes.extend(["if_match_required", "stale_version"]);
    }
    codes
}

fn responses(endpoint: &Endpoint, codes: &BTreeSet<&str>, refusals: &BTreeMap<&str, &RefusalInfo>) -> Value {
    let mut responses = Map::new();
    let mut body = reference(&(endpoint.output)()).unwrap_or_else(|| json!({}));
    if endpoint.list {
        body = json!({
            "type": "object",
            "required": ["object", "data", "has_more", "next_cursor"],
            "properties": {
                "object": { "type": "string", "enum": ["list"] },
                "data": { "type": "array", "items": body },
                "has_more": { "type": "boolean" },
                "next_cursor": { "type": ["string", "null"] },
            },
        });
    }
    let mut content = Map::new();
    if matches!(endpoint.handler, Handler::Stream(_)) {
        content.insert(endpoint.streams_as.into(), json!({ "schema": { "type": "string" } }));
    } else {
        content.insert("application/json".into(), json!({ "schema": body.clone() }));
    }
    if endpoint.printing.is_some() {
        content.insert("text/html".into(), json!({ "schema": { "type": "string" } }));
    }
    if endpoint.csv {
        content.insert("text/csv".into(), json!({ "schema": { "type": "string" } }));
    }
    responses.insert(endpoint.status.to_string(), json!({ "description": "Done.", "content": content }));
    if endpoint.money && endpoint.status != 200 {
        let body = json!({ "application/json": { "schema": {} } });
        responses.insert("200".into(), json!({ "description": "A rehearsal (`dry_run`).", "content": body }));
    }
    if matches!(endpoint.handler, Handler::Read(_)) {
        responses.insert("304".into(), json!({ "description": "Not changed since `If-None-Match`." }));
    }
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let status = refusals.get(code).map_or(500, |it| problem::status(it.kind));
        by_status.entry(status).or_default().push(code);
    }
    for (status, codes) in by_status {
        let content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        let response = json!({ "description": codes.join(", "), "content": content });
        responses.insert(status.to_string(), response);
    }
    responses.into()
}

/// The schemas that stand in the document under their names: what others refer to, and structures.
fn named(shape: &Shape) -> impl Iterator<Item = &(String, RefOr<Schema>)> {
    shape.referred.iter().chain(shape.schema.as_ref().filter(|it| is_named(&it.1)))
}

fn is_named(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(it)) if !it.properties.is_empty())
        || matches!(schema, RefOr::T(Schema::OneOf(_) | Schema::AllOf(_)))
}

/// A reference for structures, the schema itself for simple values.
fn reference(shape: &Shape) -> Option<Value> {
    let (name, schema) = shape.schema.as_ref()?;
    Some(if is_named(schema) {
        json!({ "$ref": format!("#/components/schemas/{name}") })
    } else {
        plain(schema)
    })
}

fn plain(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457. Further members say what was found and what was wanted.",
        "required": ["type", "title", "status", "detail", "code", "request_id", "retryable"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "param": { "type": "string" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["param", "code", "message"],
                "properties": { "param": { "type": "string" }, "code": { "type": "string" }, "message": { "type": "string" } },
            } },
            "request_id": { "type": "string" },
            "retryable": { "type": "boolean" },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::api::{
        call::Call,
        endpoint::{get, post},
        input::{Metadata, input},
    };

    mod one {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        pub struct ThingOut {
            pub size: u64,
        }
    }

    mod other {
        #[derive(serde::Serialize, utoipa::ToSchema)]
        pub struct ThingOut {
            pub colour: String,
        }
    }

    #[derive(utoipa::ToSchema)]
    struct NewThingIn {
        #[allow(dead_code, reason = "only its form matters")]
        size: u64,
        #[allow(dead_code, reason = "only its form matters")]
        metadata: Metadata,
    }
    input!(NewThingIn { size, metadata });

    /// Two modules once called different things by one name, and clients were told the form of the second for both.
    #[test]
    fn a_name_that_stands_for_two_things_is_found() {
        let one = || get("/one").reads(|_, _: &Call<(), ()>| Ok(one::ThingOut { size: 1 }));
        let other = get("/other").reads(|_, _: &Call<(), ()>| Ok(other::ThingOut { colour: String::new() }));
        assert_eq!(clashes(&[one(), one()]), Vec::<String>::new());
        assert_eq!(clashes(&[one(), other]), ["ThingOut"]);
    }

    #[test]
    fn metadata_may_be_left_out_of_what_is_sent() {
        let made = post("/things")
            .writes(|_, call: &Call<(), NewThingIn>| Ok(one::ThingOut { size: call.input.size }));
        let Some((_, RefOr::T(Schema::Object(object)))) = (made.input)().schema else { panic!("an object") };
        assert_eq!(object.required, ["size"]);
        assert!(object.properties.contains_key("metadata"));
    }
}
