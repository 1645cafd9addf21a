//! The OpenAPI document, held to what the server does: what it lists is so, and what is so it lists.

use coffer::testing::Instance;
use serde_json::{Value, json};

/// Every operation: its method, its path, and what the document says of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(|(method, it)| (method.as_str(), path.as_str(), it))
        })
        .collect()
}

/// Whether `wanted` holds for this schema or any it is made of.
fn any(document: &Value, schema: &Value, seen: &mut Vec<String>, wanted: &impl Fn(&str) -> bool) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, it)| match it.as_str() {
            Some(target) if name == "$ref" => {
                let name = target.rsplit('/').next().unwrap();
                if wanted(name) {
                    return true;
                }
                if seen.iter().any(|it| it == name) {
                    return false;
                }
                seen.push(name.to_owned());
                any(document, &document["components"]["schemas"][name], seen, wanted)
            }
            _ => any(document, it, seen, wanted),
        }),
        Value::Array(items) => items.iter().any(|it| any(document, it, seen, wanted)),
        _ => false,
    }
}

fn codes(operation: &Value) -> Vec<&str> {
    operation["x-error-codes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect()
}

/// They once were said of commands that move money only, and limits, fees, plans and prices answered with codes that
/// nobody had announced.
#[tokio::test]
async fn whatever_reads_an_amount_says_how_an_amount_is_refused() {
    let document = Instance::start().await.openapi();
    let mut reading = 0;
    for (method, path, operation) in operations(&document) {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let reads = any(&document, body, &mut vec![], &|it| it == "AmountText");
        let codes = codes(operation);
        reading += usize::from(reads);
        for code in ["amount_format", "amount_too_large", "amount_scale", "amount_not_positive"] {
            let says = codes.contains(&code);
            let may = reads
                || operation["parameters"].to_string().contains("\"amount\"")
                || code == "amount_too_large";
            assert!(says || !reads, "{method} {path} may answer {code}");
            assert!(may || !says, "{method} {path} reads no amount and never answers {code}");
        }
    }
    assert!(reading >= 25, "{reading}");
    let of = |method: &str, path: &str| {
        let operation = &document["paths"][path][method];
        codes(operation).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(of("post", "/api/v1/fundings/{id}/reverse").contains(&"refund_too_large".to_owned()));
    for (method, path) in
        [("patch", "/api/v1/clients/current"), ("put", "/api/v1/limits"), ("post", "/api/v1/fees")]
    {
        assert!(of(method, path).contains(&"amount_format".to_owned()), "{method} {path}");
    }
}

/// Commands about money that cannot be rehearsed, and why.
const NOT_REHEARSED: &[(&str, &str)] = &[
    ("/api/v1/gateways/{id}/webhook", "what a gateway says has happened"),
    ("/api/v1/withdrawals/{id}/confirm", "a token is tried once, and a wrong one is counted"),
    ("/api/v1/beneficiaries", "no money moves"),
    ("/api/v1/beneficiaries/{id}/confirm", "a token is tried once, and a wrong one is counted"),
    ("/api/v1/payment-gateways", "configuration"),
    ("/api/v1/payment-gateways/{id}/activate", "configuration"),
    ("/api/v1/payment-gateways/{id}/deactivate", "configuration"),
    ("/api/v1/payment-gateways/{id}/addresses", "configuration"),
    ("/api/v1/payment-gateways/{id}/test", "only the call matters"),
];

#[tokio::test]
async fn every_command_about_money_can_be_rehearsed() {
    let document = Instance::start().await.openapi();
    let about = ["balance", "transaction", "payment", "funding", "withdrawal", "investment", "swap"];
    let mut left_out = vec![];
    for (method, path, operation) in operations(&document) {
        if method != "post" || !about.contains(&operation["tags"][0].as_str().unwrap()) {
            continue;
        }
        let parameters = operation["parameters"].as_array().unwrap();
        let rehearses = parameters.iter().any(|it| it["name"] == "dry_run");
        if NOT_REHEARSED.iter().any(|it| it.0 == path) {
            assert!(!rehearses, "{path}");
            left_out.push(path);
            continue;
        }
        assert!(rehearses, "POST {path} takes no dry_run");
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(answer.to_string().contains("Rehearsed"), "{path}: {answer}");
    }
    assert_eq!(left_out.len(), NOT_REHEARSED.len(), "{left_out:?}");
    let rehearsed = &document["components"]["schemas"]["TransferOutRehearsed"]["properties"];
    assert_eq!(rehearsed["id"], json!({ "type": "null" }));
    assert_eq!(rehearsed["entry_id"]["oneOf"][1], json!({ "type": "null" }));
}

#[tokio::test]
async fn every_event_has_a_message_in_the_document() {
    let coffer = Instance::start().await;
    let document = coffer.openapi();
    let types = coffer.key().get("/event-types").await.expect(200);
    let names: Vec<&str> =
        types.body["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    let documented = document["webhooks"].as_object().unwrap();
    assert_eq!(documented.keys().map(String::as_str).collect::<Vec<_>>(), {
        let mut names = names.clone();
        names.sort_unstable();
        names
    });
    for (name, it) in documented {
        let schema = &it["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(schema["allOf"][0], json!({ "$ref": "#/components/schemas/WebhookMessage" }), "{name}");
        assert_eq!(schema["allOf"][1]["properties"]["type"], json!({ "const": name }));
        let payload = schema["allOf"][1]["properties"]["data"]["$ref"].as_str().unwrap();
        let payload = &document["components"]["schemas"][payload.rsplit('/').next().unwrap()];
        assert!(payload["properties"].is_object(), "{name}: {payload}");
    }

    // And it is true of one that is sent.
    let hook = json!({ "url": coffer.webhooks().url("/hook"), "event_types": ["user.registered"] });
    coffer.key().post("/webhook-endpoints", hook).await.expect(201);
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "A" });
    coffer.key().post("/users", ann).await.expect(201);
    coffer.settle().await;
    let sent = coffer.webhooks().received().pop().unwrap();
    let fields = |it: &Value| it.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let schemas = &document["components"]["schemas"];
    assert_eq!(fields(&sent.json()), fields(&schemas["WebhookMessage"]["properties"]));
    assert_eq!(fields(&sent.json()["data"]), fields(&schemas["UserRegistered"]["properties"]));
    for header in documented["user.registered"]["post"]["parameters"].as_array().unwrap() {
        assert!(!sent.header(header["name"].as_str().unwrap()).is_empty(), "{header}");
    }
}

#[tokio::test]
async fn what_is_served_beside_the_api_is_said_to_be() {
    let coffer = Instance::start().await;
    let document = coffer.openapi();
    let outside = document["x-outside"].as_array().unwrap();
    let paths: Vec<&str> = outside.iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/metrics", "/openapi.json", "/docs", "/docs/errors/{code}", "/setup"]);
    for path in ["/metrics", "/openapi.json", "/docs", "/docs/errors/not_found"] {
        coffer.operator().get(path).await.expect(200);
        assert!(document["paths"].get(path).is_none());
    }
}

/// Some lists answered JSON, whatever was asked for, and an empty one had no columns.
#[tokio::test]
async fn every_list_comes_as_csv_with_a_header_even_when_it_is_empty() {
    let coffer = Instance::start().await;
    let document = coffer.openapi();
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "A" });
    let ann = coffer.key().post("/users", ann).await.expect(201).id().to_owned();
    let (mut lists, mut unread) = (0, vec![]);
    for (method, path, operation) in operations(&document) {
        let content = &operation["responses"]["200"]["content"];
        let schema = &content["application/json"]["schema"];
        let name = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()).unwrap_or_default();
        let is_list = |it: &Value| it["properties"]["data"]["type"] == "array";
        if method != "get" || !is_list(schema) && !is_list(&document["components"]["schemas"][name]) {
            continue;
        }
        assert!(!content["text/csv"].is_null(), "GET {path} has no CSV");
        if path.contains('{') {
            continue;
        }
        let required = |it: &&Value| it["in"] == "query" && it["required"] == true;
        assert_eq!(operation["parameters"].as_array().unwrap().iter().filter(required).count(), 0, "{path}");
        let is_operators = operation["x-permission"] == "operator";
        let http = if is_operators { coffer.operator() } else { coffer.key() };
        let query = match path {
            "/api/v1/dashboard/series" => "?metric=new_users".to_owned(),
            "/api/v1/limits/usage" | "/api/v1/notifications" | "/api/v1/balances" => {
                format!("?user_id={ann}")
            }
            _ => String::new(),
        };
        let path = format!("{path}{query}");
        if http.get(&path).await.status != 200 {
            unread.push(path); // Of somebody who is signed in, or with something that has to be said.
            continue;
        }
        let csv = http.header("accept", "text/csv").get(&path).await;
        assert_eq!(csv.status, 200, "GET {path}: {}", csv.body);
        let text = csv.body.as_str().unwrap_or_else(|| panic!("GET {path} is no CSV: {}", csv.body));
        assert!(!text.lines().next().unwrap_or_default().is_empty(), "GET {path} has no header");
        lists += 1;
    }
    assert!(lists >= 40 && unread.len() <= 6, "{lists}, and not {unread:?}");
}

#[tokio::test]
async fn lists_of_what_has_metadata_are_filtered_by_it() {
    let coffer = Instance::start().await;
    let currency = json!({
        "code": "SEK", "name": "Swedish krona", "symbol": "kr", "kind": "fiat", "decimals": 2,
        "metadata": { "desk": "north" },
    });
    coffer.operator().post("/currencies", currency).await.expect(201);
    let template =
        json!({ "event_type": "funding.completed", "title": "Money", "metadata": { "desk": "north" } });
    coffer.key().post("/notification-templates", template).await.expect(201);
    for (list, field, found) in
        [("/currencies", "code", "SEK"), ("/notification-templates", "event_type", "funding.completed")]
    {
        let north = coffer.key().get(&format!("{list}?metadata[desk]=north")).await.expect(200).body;
        let rows = north["data"].as_array().unwrap();
        assert_eq!(rows.iter().map(|it| it[field].as_str().unwrap()).collect::<Vec<_>>(), [found], "{list}");
        let south = coffer.key().get(&format!("{list}?metadata[desk]=south")).await.expect(200).body;
        assert_eq!(south["data"], json!([]), "{list}");
    }
}
