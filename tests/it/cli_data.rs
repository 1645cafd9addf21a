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
    assert_eq!(part["data"].as_array().unwrap().len(), 1);
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
