//! Categories: the built-in ones and a client's own.

use coffer::testing::Instance;
use serde_json::{Value, json};

fn keys(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect()
}

const BUILT_IN: [&str; 11] = [
    "adjustment",
    "commission",
    "deposit",
    "fee",
    "investment",
    "payment",
    "profit",
    "refund",
    "swap",
    "transfer",
    "withdrawal",
];

#[tokio::test]
async fn the_built_in_categories_are_always_there_and_never_change() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    assert_eq!(keys(&key.get("/categories").await.expect(200).body), BUILT_IN);
    let fee = key.get("/categories/fee").await.expect(200);
    assert!(fee.id().starts_with("cat_"));
    assert_eq!((&fee.body["is_built_in"], &fee.body["name"]), (&json!(true), &json!("Fee")));
    assert_eq!(key.get(&format!("/categories/{}", fee.id())).await.expect(200).body, fee.body);
    for path in ["/categories/fee".to_owned(), format!("/categories/{}", fee.id())] {
        key.patch(&path, 1, json!({ "name": "Charge" })).await.refused(409, "category_fixed");
        key.delete(&path, 1).await.refused(409, "category_fixed");
    }
    key.post("/categories", json!({ "key": "fee", "name": "Fee" })).await.refused(409, "category_taken");
    // Whoever has transactions may know what they are sorted by; a web page's key may not.
    let user = json!({ "email": "u@example.com", "password": "quiet river stone", "first_name": "U", "last_name": "S" });
    let user = coffer.publishable().post("/auth/register", user).await.expect(201);
    let user = coffer.with(user.body["access_token"].as_str().unwrap());
    user.get("/categories/fee").await.expect(200);
    user.post("/categories", json!({ "key": "mine", "name": "Mine" })).await.refused(403, "forbidden");
    coffer.publishable().get("/categories").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_client_makes_renames_and_deletes_its_own() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    for (body, status, code) in [
        (json!({ "name": "Rent" }), 422, "required"),
        (json!({ "key": "Rent", "name": "Rent" }), 422, "invalid_format"),
        (json!({ "key": "rent", "name": " " }), 422, "out_of_range"),
        (json!({ "key": "rent", "name": "Rent", "color": "red" }), 422, "unknown_field"),
    ] {
        key.post("/categories", body).await.refused(status, code);
    }
    let rent = json!({ "key": "rent", "name": "Rent", "external_id": "r-1", "metadata": { "gl": "4000" } });
    let made = key.post("/categories", rent.clone()).await.expect(201);
    key.post("/categories", rent).await.refused(409, "category_taken");
    let other = json!({ "key": "lease", "name": "Lease", "external_id": "r-1" });
    let taken = key.post("/categories", other).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.id());

    assert_eq!(keys(&key.get("/categories?limit=100").await.expect(200).body)[11..], ["rent"]);
    assert_eq!(keys(&key.get("/categories?built_in=false").await.expect(200).body), ["rent"]);
    let path = format!("/categories/{}", made.id());
    let off = json!({ "is_active": false, "name": "Old rent", "metadata": { "gl": "" } });
    let off = key.patch(&path, 1, off).await.expect(200);
    assert_eq!((&off.body["is_active"], &off.body["metadata"]), (&json!(false), &json!({})));
    assert_eq!(keys(&key.get("/categories?active=false").await.expect(200).body), ["rent"]);
    key.delete("/categories/rent", 1).await.refused(412, "stale_version");
    let gone = key.delete("/categories/rent", 2).await.expect(200);
    assert_eq!((gone.id(), &gone.body["deleted"]), (made.id(), &json!(true)));
    key.get(&path).await.refused(404, "not_found");
    key.get("/categories/rent").await.refused(404, "not_found");
    assert_eq!(coffer.new_events(), Vec::<String>::new());
}
