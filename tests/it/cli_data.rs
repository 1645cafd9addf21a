//! `coffer export` and `coffer import`: one client's house put up again beside it.

use std::fs;

use serde_json::{Value, json};

use crate::cli::{Place, refused, text};

fn of<'a>(answer: &'a Value, path: &str) -> &'a Value {
    answer["data"].as_array().unwrap().iter().find(|it| it["path"] == path).unwrap()
}

#[test]
fn what_one_client_has_is_made_anew_for_another_once() {
    let place = Place::new();
    place.json("operator create ops@example.com");
    let first = place.json("client create --name First --slug first --currency USD");
    let server = place.serve(&[]);
    let key = text(&first, "secret_key");
    server.post("/api/v1/currencies/EUR/activate", key, &json!({}));
    server.post("/api/v1/categories", key, &json!({ "key": "rent", "name": "Rent", "external_id": "c-1" }));
    let role = json!({ "name": "clerk", "description": "Looks", "permissions": ["users.view_any"] });
    server.post("/api/v1/roles", key, &role);
    for name in ["ann", "bob"] {
        let user = json!({
            "email": format!("{name}@example.com"), "first_name": name, "last_name": "L", "roles": ["clerk"],
            "metadata": { "branch": "7" },
        });
        let (_, user) = server.post("/api/v1/users", key, &user);
        let address = json!({ "type": "crypto", "network": "solana", "address": format!("7EcDhSYGxXyscszYEp35KHN8{name}") });
        let place = json!({ "label": "Mine", "user_id": user["id"], "method": address });
        server.post("/api/v1/beneficiaries", key, &place);
    }
    place.json("client create --name Second --slug second --currency USD");

    let said = place.json("export --client first --out all.ndjson");
    assert_eq!((&of(&said, "/users")["objects"], &of(&said, "/fundings")["objects"]), (&json!(2), &json!(0)));
    let written = fs::read_to_string(place.path("all.ndjson")).unwrap();
    let lines = &written;
    assert!(lines.lines().all(|it| serde_json::from_str::<Value>(it).unwrap()["object"].is_object()));
    assert!(!lines.contains(key) && !lines.contains("argon2"), "no secret leaves");
    refused(&place, "again", "export --client first --out all.ndjson", (73, "cannot_create"), "all.ndjson");
    let part = place.json("export --client first --module user --out users.ndjson");
    assert_eq!(part["data"].as_array().unwrap().len(), 2, "users, and who is to decide");
    refused(&place, "module", "export --client first --module nothing --out n.ndjson", (2, "usage"), "user");

    // A rehearsal says the same as the real run, and writes nothing.
    for arguments in ["import all.ndjson --client second --dry-run", "import all.ndjson --client second"] {
        let said = place.json(arguments);
        let wanted =
            [("/currencies", 1), ("/categories", 1), ("/roles", 1), ("/users", 2), ("/beneficiaries", 2)];
        for (path, made) in wanted {
            assert_eq!(of(&said, path)["made"], made, "{arguments}: {path}");
        }
        let lines = said["lines"].as_array().unwrap();
        let rent = lines.iter().find(|it| it["name"] == "rent").unwrap();
        let line = rent["line"].as_u64().unwrap() as usize;
        assert!(written.lines().nth(line - 1).unwrap().contains("c-1"), "{rent}");
        assert_eq!((&rent["outcome"], &rent["path"]), (&json!("made"), &json!("/categories")));
    }
    let again = place.json("import all.ndjson --client second");
    assert!(again["data"].as_array().unwrap().iter().all(|it| it["made"] == 0), "{again}");

    place.json("export --client second --module user --out second.ndjson");
    let users: Vec<Value> = fs::read_to_string(place.path("second.ndjson"))
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).unwrap()["object"].clone())
        .collect();
    let bob = users.iter().find(|it| it["email"] == "bob@example.com").unwrap();
    assert_eq!((&bob["roles"], &bob["metadata"]["branch"]), (&json!(["clerk"]), &json!("7")));
    assert!(bob["external_id"].as_str().unwrap().starts_with("usr_"), "its id of before");
    place.json("export --client second --module withdrawal --out places.ndjson");
    let places = fs::read_to_string(place.path("places.ndjson")).unwrap();
    let of_bob = places.lines().find(|it| it.contains("KHN8bob")).unwrap();
    assert!(of_bob.contains(bob["id"].as_str().unwrap()), "{of_bob}");

    // A rehearsal goes on behind what is refused, and says what; a real run stops there.
    let ghost = |email: &str, roles: &str| {
        let object =
            json!({ "id": "usr_1", "email": email, "first_name": "G", "last_name": "H", "roles": [roles] });
        json!({ "path": "/users", "object": object }).to_string() + "\n"
    };
    let ghosts = ghost("one@example.com", "ghost") + &ghost("two@example.com", "clerk");
    fs::write(place.path("ghosts.ndjson"), ghosts).unwrap();
    let said = place.json_exiting("import ghosts.ndjson --client second --dry-run", 1);
    let outcomes: Vec<_> = said["lines"].as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "made"]);
    assert_eq!((&said["lines"][0]["line"], &said["lines"][0]["code"]), (&json!(1), &json!("role_unknown")));
    let users = place.json("export --client second --module user --out before.ndjson");
    assert_eq!(of(&users, "/users")["objects"], 2, "a rehearsal leaves nothing");
    refused(&place, "ghost", "import ghosts.ndjson --client second", (64, "role_unknown"), "line 1");
    assert_eq!(server.stop(), Some(0));
    place.json("verify");

    fs::write(place.path("wrong.ndjson"), "{\"path\":\"/users\",\"object\":{}}\n[1]\n").unwrap();
    refused(&place, "wrong", "import wrong.ndjson --client second", (64, "not_an_export"), "line 2");
    refused(
        &place,
        "nowhere",
        "import nowhere.ndjson --client second",
        (74, "input_output"),
        "nowhere.ndjson",
    );
}

/// An import once made frozen and disabled people active, gold ones standard, and what was switched off usable.
#[test]
fn nothing_comes_back_looser_than_it_was() {
    let place = Place::new();
    place.json("operator create ops@example.com");
    let first = place.json("client create --name First --slug first --mode live --currency USD");
    let server = place.serve(&[]);
    let key = text(&first, "secret_key");
    let post = |path: &str, body: Value| server.done(path, key, &body);
    post("/categories", json!({ "key": "off", "name": "Off", "is_active": false }));
    let person = |name: &str, more: Value| {
        let mut body =
            json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "L" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        text(&post("/users", body), "id").to_owned()
    };
    let ref_id = person("ref", json!({ "phone": "+43 660 1234567" }));
    let frozen = person("frozen", json!({ "referred_by": ref_id, "phone": "+43 660 1234567" }));
    let disabled = person("disabled", json!({}));
    person("gold", json!({ "tier": "gold" }));
    post(&format!("/users/{frozen}/freeze"), json!({ "reason": "a stolen phone" }));
    post(&format!("/users/{disabled}/disable"), json!({ "reason": "left" }));

    place.json("client create --name Second --slug second --mode live --currency USD");
    place.json("export --client first --out first.ndjson");
    for rehearsal in [" --dry-run", ""] {
        let said = place.json(&format!("import first.ndjson --client second{rehearsal}"));
        assert_eq!((&of(&said, "/users")["made"], &of(&said, "/categories")["made"]), (&json!(4), &json!(1)));
    }
    place.json("export --client second --out second.ndjson");
    let read = |file: &str, path: &str| -> Vec<Value> {
        let lines = fs::read_to_string(place.path(file)).unwrap();
        let lines = lines.lines().map(|it| serde_json::from_str::<Value>(it).unwrap());
        lines.filter(|it| it["path"] == path).map(|it| it["object"].clone()).collect()
    };
    let users = read("second.ndjson", "/users");
    let called = |name: &str| users.iter().find(|it| it["first_name"] == name).unwrap();
    let frozen = called("frozen");
    assert_eq!((&frozen["status"], &frozen["referred_by"]), (&json!("frozen"), &called("ref")["id"]));
    assert_eq!(frozen["status_history"][1]["reason"], "a stolen phone");
    assert_eq!(
        (&called("disabled")["status"], &called("gold")["tier"]),
        (&json!("disabled"), &json!("gold"))
    );
    let categories = read("second.ndjson", "/categories");
    assert_eq!(categories.iter().find(|it| it["key"] == "off").unwrap()["is_active"], false);

    // What is there already stays, and is said where it is not what the file says.
    let gold = called("gold")["id"].as_str().unwrap();
    let (_, answer) = server.post(&format!("/api/v1/users/{gold}/freeze"), key, &json!({ "reason": "x" }));
    assert_eq!(
        answer["code"], "not_found",
        "a key of the first client reaches nobody of the second: {answer}"
    );
    let unlike = json!({
        "path": "/users",
        "object": { "id": "usr_1", "email": "gold@example.com", "status": "disabled", "tier": "gold", "roles": ["user"] },
    });
    let pending = json!({
        "path": "/beneficiaries",
        "object": {
            "id": "bnf_1", "user_id": "usr_1", "status": "unconfirmed", "label": "x",
            "method": { "type": "crypto", "network": "solana", "address": "7EcDhSYGxXyscszYEp35KHN8aaaa" },
        },
    });
    fs::write(place.path("unlike.ndjson"), format!("{unlike}\n{pending}\n")).unwrap();
    for rehearsal in [" --dry-run", ""] {
        let said = place.json_exiting(&format!("import unlike.ndjson --client second{rehearsal}"), 1);
        let lines = said["lines"].as_array().unwrap();
        let seen: Vec<_> = lines.iter().map(|it| (it["line"].as_u64(), text(it, "outcome"))).collect();
        assert_eq!(seen, [(Some(1), "there_already"), (Some(2), "left_out")], "{said}");
        assert!(text(&lines[0], "detail").contains("status is \"disabled\" in the file and \"active\" here"));
    }
    assert_eq!(server.stop(), Some(0));
    place.json("verify");
}

/// Everything but money and what people have to decide: prices, plans, markets, limits, words, who is told.
#[test]
fn what_a_client_has_decided_comes_along() {
    let place = Place::new();
    place.json("operator create ops@example.com");
    let first = place.json("client create --name First --slug first --mode test --currency USD");
    let server = place.serve(&[]);
    let key = text(&first, "secret_key");
    let post = |path: &str, body: Value| server.done(path, key, &body);
    post("/currencies/EUR/activate", json!({}));
    let gateway = json!({ "name": "Bank", "slug": "bank", "kind": "manual", "currencies": ["USD"] });
    let gateway = post("/payment-gateways", gateway);
    let fee = |more: Value| {
        let mut body =
            json!({ "name": "Fee", "operation": "withdrawal", "currency": "USD", "fixed": "1.00" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post("/fees", body)
    };
    fee(json!({ "percent": "1.5", "tiers": [{ "from": "1000.00", "percent": "1" }] }));
    fee(json!({ "gateway_id": gateway["id"] }));
    let old = fee(json!({ "user_tier": "old" }));
    post(&format!("/fees/{}/deactivate", text(&old, "id")), json!({}));
    for (name, verbs) in [("Draft", &[][..]), ("Sold", &["publish"]), ("Paused", &["publish", "pause"])] {
        let plan = post(
            "/plans",
            json!({
                "name": name, "type": "loan", "currency": "USD", "min_amount": "100.00", "return_percent": "7.5",
                "return_basis": "annual", "day_count": "ACT/365", "cadence": "monthly", "compounding": false,
                "term_days": 90, "benefits": ["A letter"],
            }),
        );
        for verb in verbs {
            post(&format!("/plans/{}/{verb}", text(&plan, "id")), json!({}));
        }
    }
    let market = json!({
        "base": "EUR", "quote": "USD", "status": "paused", "max_deviation_percent": null,
        "feed": { "type": "fixed", "price": "1.0825" },
    });
    post("/markets", market);
    post(
        "/notification-templates",
        json!({ "event_type": "user.frozen", "locale": "de", "title": "Gesperrt" }),
    );
    let endpoint =
        json!({ "url": "https://hooks.example.com/x", "event_types": ["user.*"], "rate_per_s": 5 });
    let secret = text(&post("/webhook-endpoints", endpoint), "secret").to_owned();
    let limit = json!({ "operation": "withdrawal", "currency": "USD", "tier": "gold", "max": "50.00" });
    let (status, answer) = server.put("/api/v1/limits", key, &limit);
    assert_eq!(status, 200, "{answer}");

    place.json("client create --name Second --slug second --mode test --currency USD");
    let said = place.json("export --client first --out first.ndjson");
    for (path, objects) in [("/clients/current", 1), ("/approval-policies", 4), ("/limits", 1), ("/fees", 3)]
    {
        assert!(of(&said, path)["objects"].as_u64() >= Some(objects), "{path}: {said}");
    }
    for path in ["/invitations", "/disputes", "/access-proposals", "/notification-preferences/chosen"] {
        assert_eq!(of(&said, path)["objects"], 0, "{path}");
    }
    assert!(!fs::read_to_string(place.path("first.ndjson")).unwrap().contains(&secret), "no secret leaves");
    refused(
        &place,
        "dashboard",
        "export --client first --module dashboard --out d.ndjson",
        (2, "usage"),
        "counted",
    );
    place.json("export --client first --module auth --out auth.ndjson");

    for rehearsal in [" --dry-run", ""] {
        let said = place.json_exiting(&format!("import first.ndjson --client second{rehearsal}"), 1);
        for (path, made, left) in [
            ("/currencies", 1, 0),
            ("/fees", 1, 1),
            ("/plans", 3, 0),
            ("/markets", 1, 0),
            ("/limits", 1, 0),
            ("/notification-templates", 1, 0),
            ("/webhook-endpoints", 1, 0),
        ] {
            let row = of(&said, path);
            assert_eq!((&row["made"], &row["left_out"]), (&json!(made), &json!(left)), "{path}: {said}");
        }
        let lines = said["lines"].as_array().unwrap();
        let told = lines.iter().find(|it| it["path"] == "/webhook-endpoints").unwrap();
        assert!(text(told, "detail").contains("rotate it"), "{told}");
        let others = said["not_imported"].as_array().unwrap();
        assert!(others.iter().any(|it| it["path"] == "/payment-gateways" && it["objects"] == 1), "{said}");
    }
    let again = place.json_exiting("import first.ndjson --client second", 1);
    assert!(again["data"].as_array().unwrap().iter().all(|it| it["made"] == 0), "{again}");

    place.json("export --client second --out second.ndjson");
    let read = |file: &str, path: &str, fields: &[&str]| -> Vec<Value> {
        let lines = fs::read_to_string(place.path(file)).unwrap();
        let lines = lines.lines().map(|it| serde_json::from_str::<Value>(it).unwrap());
        let mut own: Vec<Value> = lines
            .filter(|it| it["path"] == path && it["object"]["is_built_in"] != true)
            .map(|it| fields.iter().map(|field| it["object"][*field].clone()).collect())
            .collect();
        own.sort_by_key(Value::to_string);
        own
    };
    let terms = ["name", "status", "currency", "return_percent", "term_days", "benefits", "min_amount"];
    for (path, fields) in [
        ("/plans", &terms[..]),
        ("/markets", &["base", "quote", "status", "max_deviation_percent", "feed", "stale_after_s"]),
        ("/limits", &["operation", "currency", "tier", "min", "max", "per_24h", "per_30d"]),
        ("/notification-templates", &["event_type", "locale", "title", "is_active"]),
    ] {
        assert_eq!(read("second.ndjson", path, fields), read("first.ndjson", path, fields), "{path}");
    }
    let fees = read("second.ndjson", "/fees", &["percent", "fixed", "tiers"]);
    assert_eq!(fees, [json!(["1.5", "1.00", [{ "from": "1000.00", "percent": "1", "fixed": null }]])]);
    let endpoints = read("second.ndjson", "/webhook-endpoints", &["url", "status", "rate_per_s"]);
    assert_eq!(endpoints, [json!(["https://hooks.example.com/x", "disabled", 5])]);
    assert_eq!(server.stop(), Some(0));
    place.json("verify");
}
