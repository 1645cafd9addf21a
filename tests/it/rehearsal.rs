//! Commands that are tried together.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

fn operator(coffer: &Instance) -> Http {
    coffer.operator().inside(&coffer.credentials().client_id)
}

async fn rehearse(coffer: &Instance, commands: Vec<Value>) -> Answer {
    operator(coffer).post("/rehearsals", json!({ "commands": commands })).await
}

fn category(number: usize) -> Value {
    json!({ "path": "/categories", "body": { "key": format!("c{number}"), "name": "C" } })
}

/// Ten thousand commands once took 50 s, and nobody learned what would become of them.
#[tokio::test]
async fn as_many_as_are_tried_at_a_time_are_answered_and_more_are_refused() {
    let coffer = Instance::start().await;
    let commands = |many: usize| (0..many).map(category).collect::<Vec<_>>();
    let answer = rehearse(&coffer, commands(2_000)).await.expect(200);
    let tried = answer.body["data"].as_array().unwrap().clone();
    assert_eq!(tried.len(), 2_000);
    assert!(tried.iter().all(|it| it["status"] == 201), "{:#}", tried[0]);
    let refused = rehearse(&coffer, commands(2_001)).await.refused(422, "out_of_range");
    assert_eq!(refused.body["param"], "commands");
    let left = coffer.key().get("/categories?limit=100").await.expect(200);
    let keys = left.body["data"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap());
    assert_eq!(keys.filter(|it| it.starts_with("c1")).count(), 0, "nothing is kept");
}

#[tokio::test]
async fn an_id_is_known_to_what_comes_later_unless_that_is_prepared() {
    let coffer = Instance::start().await;
    let user = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let place = json!({ "type": "bank", "bank": "B", "holder": "Ann Lee", "iban": "DE89370400440532013000" });
    let beneficiary = json!({ "user_id": { "id_of": 0 }, "label": "Hers", "method": place });
    let commands = |last: Value| {
        vec![
            json!({ "path": "/users", "body": user.clone() }),
            json!({ "path": "/beneficiaries", "body": beneficiary.clone() }),
            last,
        ]
    };
    let role = json!({ "path": "/roles/rol_01jd8x8y3re4vbh0m1k5n7p9qs/nothing", "body": {} });
    let refused = rehearse(&coffer, commands(role)).await.refused(422, "invalid_format");
    assert_eq!(refused.body["param"], "commands[2].path");

    let activate = json!({ "path": "/currencies/GBP/activate", "body": {} });
    let tried = rehearse(&coffer, commands(activate)).await.expect(200);
    let statuses: Vec<_> = tried.body["data"].as_array().unwrap().iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, [201, 201, 200], "{:#}", tried.body);

    let mut other = user.clone();
    (other["email"], other["referral_code"]) = (json!("bob@example.com"), json!({ "id_of": 0 }));
    let refused = rehearse(&coffer, commands(json!({ "path": "/users", "body": other }))).await;
    assert_eq!(refused.refused(422, "not_allowed").body["param"], "commands[2].body.referral_code");
}
