//! Every operation of the OpenAPI document, tried with every kind of wrong credential.

use std::{collections::BTreeMap, time::Duration};

use coffer::testing::{Answer, Http, Instance};
use hyper::Method;
use serde_json::{Value, json};

use crate::support::agree;

/// One operation of the document.
struct Operation {
    method: Method,
    path: String,
    permission: String,
    module: String,
    example: Value,
    /// It has no end to wait for: whoever reads all of it waits until the server stops.
    streams: bool,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut found = vec![];
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            found.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                permission: operation["x-permission"].as_str().unwrap().to_owned(),
                module: operation["tags"][0].as_str().unwrap().to_owned(),
                example: if example.is_null() { json!({}) } else { example.clone() },
                streams: !operation["responses"]["200"]["content"]["text/event-stream"].is_null(),
            });
        }
    }
    assert!(found.len() > 100, "the document covers the API: {}", found.len());
    found
}

impl Operation {
    async fn try_as(&self, who: &Http, ids: &BTreeMap<&str, String>) -> Answer {
        let path = self.concrete_path(ids);
        let who = who.clone().header("if-match", "*");
        let body =
            (self.method != Method::GET && self.method != Method::DELETE).then(|| self.example.to_string());
        let who = if self.method == Method::POST {
            who.idempotent(&format!("matrix {path}").replace(' ', "-"))
        } else {
            who
        };
        who.send(self.method.clone(), path.strip_prefix("/api/v1").unwrap_or(&path), body).await
    }

    /// The path with the id of a thing of the first client in place of `{id}`.
    fn concrete_path(&self, ids: &BTreeMap<&str, String>) -> String {
        let resource = self.path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default();
        let unknown = "usr_00000000000000000000000000".to_owned();
        let id = ids.get(resource).unwrap_or(&unknown);
        let parts = self.path.split('/').map(|part| match part {
            "{code}" | "{currency}" => "USD",
            "{name}" => "smtp",
            "{module}" => "balance",
            part if part.starts_with('{') => id,
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it names one thing of a client by its id.
    fn names_a_thing(&self) -> bool {
        self.path.contains("{id}")
    }
}

/// Things of the first client, by the resource of their routes.
async fn things(coffer: &Instance) -> BTreeMap<&'static str, String> {
    let key = coffer.key();
    let made = |answer: Answer| answer.expect(201).id().to_owned();
    let user = json!({ "email": "owner@example.com", "first_name": "O", "last_name": "W" });
    let user = made(key.post("/users", user).await);
    let mut ids = BTreeMap::new();
    let funding = json!({ "amount": "500.00", "currency": "USD", "user_id": user });
    let funding = key.post("/fundings", funding).await.expect(201);
    ids.insert("payments", funding.body["payment_id"].as_str().unwrap().to_owned());
    ids.insert("fundings", funding.id().to_owned());
    let credit = json!({ "user_id": user, "currency": "USD", "amount": "900.00", "direction": "credit", "reason": "test" });
    let adjustment = made(key.post("/adjustments", credit).await);
    let path = format!("/adjustments/{adjustment}/approve");
    agree(&coffer.operator().inside(&coffer.credentials().client_id), &path).await.expect(200);
    ids.insert("adjustments", adjustment);
    let method = json!({ "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq" });
    let beneficiary = json!({ "user_id": user, "label": "mine", "method": method });
    ids.insert("beneficiaries", made(key.post("/beneficiaries", beneficiary).await));
    let withdrawal = json!({ "user_id": user, "amount": "20.00", "currency": "USD", "method": method });
    ids.insert("withdrawals", made(key.post("/withdrawals", withdrawal).await));
    let transfer = json!({ "amount": "1.00", "currency": "USD", "from": user, "to": "house:fee_income", "reason": "test" });
    ids.insert("transfers", made(key.post("/transfers", transfer).await));
    let transactions = key.get("/transactions").await.expect(200);
    ids.insert("transactions", transactions.body["data"][0]["id"].as_str().unwrap().to_owned());
    let entries = key.get("/ledger/entries").await.expect(200);
    ids.insert("ledger", entries.body["data"][0]["id"].as_str().unwrap().to_owned());
    ids.insert("categories", made(key.post("/categories", json!({ "key": "gift", "name": "Gift" })).await));
    ids.insert(
        "roles",
        made(key.post("/roles", json!({ "name": "clerk", "permissions": ["users.view_any"] })).await),
    );
    ids.insert(
        "api-keys",
        made(key.post("/api-keys", json!({ "name": "k", "kind": "secret", "scopes": ["users:read"] })).await),
    );
    let plan = &coffer.credentials().plan;
    let investment = json!({ "plan_id": plan, "amount": "100.00", "user_id": user });
    ids.insert("investments", made(key.post("/investments", investment).await));
    ids.insert("plans", plan.clone());
    ids.insert("fees", made(key.post("/fees", json!({ "name": "F", "operation": "swap" })).await));
    ids.insert("payment-gateways", coffer.credentials().manual_gateway.clone());
    ids.insert("clients", coffer.credentials().client_id.clone());
    ids.insert("users", user);
    ids
}

/// A second client of the installation: its secret key.
async fn another_client(coffer: &Instance) -> Http {
    let client = json!({ "name": "Other", "slug": "other", "mode": "test", "default_currency": "USD" });
    let client = coffer.operator().post("/clients", client).await.expect(201);
    coffer.with(client.body["secret_key"].as_str().unwrap())
}

async fn key_with(coffer: &Instance, body: Value) -> (String, Http) {
    let key = coffer.key().post("/api-keys", body).await.expect(201);
    (key.id().to_owned(), coffer.with(key.body["secret_key"].as_str().unwrap()))
}

#[tokio::test]
async fn no_operation_answers_a_wrong_credential() {
    let coffer = Instance::start().await;
    let ids = things(&coffer).await;
    let operations = operations(&coffer.openapi());

    let foreign = another_client(&coffer).await;
    let (revoked_id, revoked) =
        key_with(&coffer, json!({ "name": "revoked", "kind": "secret", "scopes": ["*:read", "*:write"] }))
            .await;
    coffer.key().post(&format!("/api-keys/{revoked_id}/revoke"), json!({})).await.expect(200);
    let (_, expired) = key_with(
        &coffer,
        json!({ "name": "expired", "kind": "secret", "scopes": ["*:read", "*:write"], "expires_at": "2026-01-01T01:00:00Z" }),
    )
    .await;
    coffer.advance(Duration::from_secs(3600)).await;
    let (_, read_only) =
        key_with(&coffer, json!({ "name": "read", "kind": "secret", "scopes": ["*:read"] })).await;
    let plain = json!({ "email": "plain@example.com", "password": "quiet river stone", "first_name": "P", "last_name": "U" });
    let plain = coffer.publishable().post("/auth/register", plain).await.expect(201);
    let plain = coffer.with(plain.body["access_token"].as_str().unwrap());

    for operation in &operations {
        let name = operation.name();
        let permission = operation.permission.as_str();
        if permission == "none" {
            continue;
        }
        for (who, credential) in [("nobody", &coffer.nobody()), ("revoked", &revoked), ("expired", &expired)]
        {
            let answer = operation.try_as(credential, &ids).await;
            assert_eq!(
                (answer.status, answer.code()),
                (401, "unauthenticated"),
                "{name} as {who}: {}",
                answer.body
            );
        }
        let by_permission = permission.contains('.');
        if by_permission && operation.method != Method::GET {
            let answer = operation.try_as(&read_only, &ids).await;
            assert_eq!(
                (answer.status, answer.code()),
                (403, "forbidden"),
                "{name} read-only: {}",
                answer.body
            );
            let named = answer.body["required_permission"].as_str().unwrap();
            assert!(named.starts_with(permission), "{name} names {named}");
        }
        if permission == "operator" {
            for (who, credential) in [("a secret key", &coffer.key()), ("a user", &plain)] {
                let answer = operation.try_as(credential, &ids).await;
                assert_eq!(
                    (answer.status, answer.code()),
                    (403, "forbidden"),
                    "{name} as {who}: {}",
                    answer.body
                );
            }
        }
        // A plain user reaches nobody else's things: refused outright, or told that there is no such thing.
        // (Categories and gateways belong to the client: its users see them, without their insides.)
        let shared = ["categories.view", "payment-gateways.view"].contains(&permission);
        if by_permission && operation.names_a_thing() && !shared {
            let answer = operation.try_as(&plain, &ids).await;
            assert!(
                matches!(answer.status, 403 | 404),
                "{name} as a plain user: {} {}",
                answer.status,
                answer.body
            );
        }
        if by_permission && operation.names_a_thing() && operation.module != "kernel" {
            let answer = operation.try_as(&foreign, &ids).await;
            assert_eq!(
                (answer.status, answer.code()),
                (404, "not_found"),
                "{name} of another client: {}",
                answer.body
            );
        }
    }
}

#[tokio::test]
async fn a_list_of_another_client_is_empty() {
    let coffer = Instance::start().await;
    let ids = things(&coffer).await;
    let foreign = another_client(&coffer).await;
    for operation in operations(&coffer.openapi()) {
        // The tests of events and of the inbox listen to the streams.
        if operation.method != Method::GET
            || operation.path.contains('{')
            || operation.streams
            || !operation.permission.contains('.')
        {
            continue;
        }
        let path = operation.path.trim_start_matches("/api/v1");
        let answer = foreign.get(path).await;
        let text = answer.body.to_string();
        for id in ids.values() {
            assert!(!text.contains(id.as_str()), "{} shows {id} to another client", operation.name());
        }
    }
}

#[tokio::test]
async fn every_example_is_well_formed() {
    let coffer = Instance::start().await;
    let ids = things(&coffer).await;
    let inside = coffer.operator().inside(&coffer.credentials().client_id);
    for operation in operations(&coffer.openapi()) {
        if operation.method == Method::GET || operation.method == Method::DELETE {
            continue;
        }
        // Read and checked like any other; what it then names may not exist here.
        let answer = operation.try_as(&inside, &ids).await;
        let flawed = answer.body["errors"].is_array()
            && answer.body["errors"].as_array().unwrap().iter().any(|it| {
                matches!(
                    it["code"].as_str(),
                    Some("unknown_field" | "invalid_type" | "invalid_format" | "amount_format")
                )
            });
        assert!(
            !flawed && answer.status < 500 && answer.status != 400,
            "{}: {}",
            operation.name(),
            answer.body
        );
    }
}

#[tokio::test]
async fn every_status_and_code_of_the_document_exists() {
    let coffer = Instance::start().await;
    let known: Vec<String> = coffer.catalogue().refusals;
    let document = coffer.openapi();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path} says what it does");
            for code in operation["x-error-codes"].as_array().unwrap() {
                let code = code.as_str().unwrap();
                assert!(
                    known.iter().any(|it| it.ends_with(&format!(" {code}"))),
                    "{method} {path}: {code} has no page"
                );
            }
        }
    }
}
