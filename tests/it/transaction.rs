//! Records of movements, as their users and the staff see them.

use coffer::testing::{Answer, Instance};
use serde_json::{Value, json};

use crate::withdrawal::{credit, person};

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_show_what_the_filters_say_newest_first() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    let key = coffer.key();
    for _ in 0..3 {
        credit(&coffer, &ann, "10.00").await;
    }
    let body = json!({ "amount": "4.00", "currency": "USD", "from": ann, "to": bob, "reason": "rent" });
    key.post("/transfers", body.clone()).await.expect(201);
    let mut hold = body;
    hold["hold"] = json!(true);
    key.post("/transfers", hold).await.expect(201);

    for (query, count) in [
        ("", 5),
        ("?entry_type=credit", 3),
        ("?entry_type=debit&status=completed", 1),
        ("?status=pending", 1),
        ("?category=transfer", 5),
        ("?category=fee", 0),
        ("?currency=BTC", 0),
        ("?created_to=2026-01-01T00:00:00Z", 0),
        ("?created_from=2026-01-01T00:00:00Z", 5),
    ] {
        assert_eq!(
            ids(&session.get(&format!("/transactions{query}")).await.expect(200)).len(),
            count,
            "{query}"
        );
    }
    session.get(&format!("/transactions?user_id={bob}")).await.refused(422, "not_allowed");
    assert_eq!(ids(&key.get("/transactions").await).len(), 6);
    assert_eq!(ids(&key.get(&format!("/transactions?user_id={bob}")).await).len(), 1);

    let first = session.get("/transactions?limit=3").await;
    let next = first.body["next_cursor"].as_str().unwrap();
    let second = session.get(&format!("/transactions?limit=3&cursor={next}")).await;
    let mut all = [ids(&first), ids(&second)].concat();
    assert_eq!((all.len(), &second.body["has_more"]), (5, &json!(false)));
    all.reverse();
    assert!(all.is_sorted(), "ids are in the order of time");
    session.get(&format!("/transactions?status=pending&cursor={next}")).await.refused(422, "invalid_format");
}

#[tokio::test]
async fn the_owner_sorts_a_record_into_another_category_and_nothing_else_changes() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (_, stranger) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "10.00").await;
    let record = session.get("/transactions").await.body["data"][0].clone();
    let path = format!("/transactions/{}", record["id"].as_str().unwrap());
    stranger.get(&path).await.refused(404, "not_found");
    let change = json!({ "category": "profit", "metadata": { "trip": "Graz" } });
    coffer.key().patch(&path, 2, change.clone()).await.refused(412, "stale_version");
    coffer.key().patch(&path, 1, json!({ "category": "no_such" })).await.refused(422, "category_unknown");
    coffer.key().patch(&path, 1, json!({ "amount": "1.00" })).await.refused(422, "unknown_field");
    let changed = coffer.key().patch(&path, 1, change).await.expect(200);
    let mut wanted = record;
    wanted["category"] = json!("profit");
    wanted["metadata"] = json!({ "trip": "Graz" });
    wanted["version"] = json!(2);
    assert_eq!(changed.body, wanted);
    let emptied = coffer.key().patch(&path, 2, json!({ "metadata": { "trip": "" } })).await.expect(200);
    assert_eq!(emptied.body["metadata"], Value::Object(Default::default()));
    coffer.key().get("/transactions/txn_00000000000000000000000000").await.refused(404, "not_found");
}
