//! Transfers over HTTP: what the answers say, who may, holds, and bulk commands.

use std::{sync::Arc, time::Duration};

use coffer::testing::{Answer, Instance, Simulation};
use serde_json::{Value, json};

use crate::withdrawal::{credit, person, set};

fn transfer(amount: &str, from: &str, to: &str) -> Value {
    json!({ "amount": amount, "currency": "USD", "from": from, "to": to })
}

fn held(amount: &str, from: &str, to: &str) -> Value {
    json!({ "amount": amount, "currency": "USD", "from": from, "to": to, "hold": true })
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_answer_carries_the_entry_and_the_resulting_balances() {
    let coffer = Instance::start().await;
    let (ann, session) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "10.00").await;
    coffer.new_events();
    let made = coffer.key().post("/transfers", transfer("4.00", &ann, &bob)).await.expect(201);
    assert_eq!(coffer.new_events(), ["transaction.created", "transaction.created"]);
    let lines: Vec<_> = made.body["balances"].as_array().unwrap().iter().collect();
    let shown: Vec<_> = lines.iter().map(|it| (&it["available"], &it["held"], &it["version"])).collect();
    assert_eq!(
        shown,
        [(&json!("6.00"), &json!("0.00"), &json!(2)), (&json!("4.00"), &json!("0.00"), &json!(1))]
    );
    let entry = format!("/ledger/entries/{}", made.body["entry_id"].as_str().unwrap());
    assert_eq!(coffer.key().get(&entry).await.expect(200).body["cause"], made.body["id"]);

    // Who pays sees its own balance, not the receiver's.
    set(&coffer, json!({ "transfer": { "between_users": true } })).await;
    let made = session.post("/transfers", transfer("1.00", &ann, &bob)).await.expect(201);
    assert_eq!(made.body["balances"].as_array().unwrap().len(), 1);
    let shown = session.get(&format!("/transfers/{}", made.id())).await.expect(200);
    assert_eq!(shown.body["balances"], Value::Null, "they belong to the command");
}

#[tokio::test]
async fn users_move_their_own_money_when_the_client_lets_them_and_see_only_their_own() {
    let coffer = Instance::start().await;
    let (ann, ann_session) = person(&coffer, "ann", &[]).await;
    let (bob, bob_session) = person(&coffer, "bob", &[]).await;
    let (cid, cid_session) = person(&coffer, "cid", &[]).await;
    credit(&coffer, &ann, "10.00").await;
    ann_session.post("/transfers", transfer("1.00", &ann, &bob)).await.refused(403, "transfers_off");
    set(&coffer, json!({ "transfer": { "between_users": true } })).await;
    let made = ann_session.post("/transfers", transfer("1.00", &ann, &bob)).await.expect(201);
    ann_session.post("/transfers", transfer("1.00", &bob, &ann)).await.refused(404, "not_found");
    ann_session.post("/transfers", transfer("1.00", &ann, "house:tax")).await.refused(404, "not_found");
    ann_session.post("/transfers/bulk", json!({ "items": [] })).await.refused(403, "forbidden");
    for verb in ["capture", "void", "reverse"] {
        let path = format!("/transfers/{}/{verb}", made.id());
        ann_session.post(&path, json!({})).await.refused(403, "forbidden");
    }
    let path = format!("/transfers/{}", made.id());
    ann_session.get(&path).await.expect(200);
    bob_session.get(&path).await.expect(200);
    cid_session.get(&path).await.refused(404, "not_found");
    assert_eq!(
        (ids(&bob_session.get("/transfers").await), ids(&cid_session.get("/transfers").await)),
        (vec![made.id()], vec![])
    );
    // Ann has what she was given and what she gave; each once, also after its capture in parts.
    let hold = coffer.key().post("/transfers", held("3.00", &ann, &cid)).await.expect(201);
    for amount in ["1.00", "1.00"] {
        let part = json!({ "amount": amount, "final": false });
        coffer.key().post(&format!("/transfers/{}/capture", hold.id()), part).await.expect(200);
    }
    let listed = ann_session.get("/transfers").await;
    assert_eq!((ids(&listed).len(), ids(&listed)[0]), (3, hold.id()));
    assert_eq!(ids(&cid_session.get("/transfers").await), [hold.id()]);
    let all = coffer.key().get(&format!("/transfers?user_id={ann}&status=partially_captured")).await;
    assert_eq!(ids(&all), [hold.id()]);
}

#[tokio::test]
async fn a_hold_is_captured_voided_or_expires_and_never_twice() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    let key = coffer.key();
    let hold =
        || async { key.post("/transfers", held("10.00", &ann, &bob)).await.expect(201).id().to_owned() };
    let (captured, voided, expired) = (hold().await, hold().await, hold().await);

    let path = format!("/transfers/{captured}");
    let part =
        key.post(&format!("{path}/capture"), json!({ "amount": "4.00", "final": false })).await.expect(200);
    assert_eq!(
        (&part.body["status"], &part.body["captured"]),
        (&json!("partially_captured"), &json!("4.00"))
    );
    let too_much = key.post(&format!("{path}/capture"), json!({ "amount": "6.01" })).await;
    assert_eq!(too_much.refused(422, "capture_too_large").body["remaining"], "6.00");
    let once = key.clone().idempotent("capture-1");
    let done = once.post(&format!("{path}/capture"), json!({ "amount": "5.00" })).await.expect(200);
    assert_eq!((&done.body["status"], &done.body["captured"]), (&json!("posted"), &json!("9.00")));
    let replay = once.post(&format!("{path}/capture"), json!({ "amount": "5.00" })).await.expect(200);
    assert_eq!((&replay.body, replay.headers["idempotent-replayed"].as_str()), (&done.body, "true"));
    // The very same command under a new key is a second capture.
    let second = key.post(&format!("{path}/capture"), json!({ "amount": "5.00" })).await;
    assert_eq!(second.refused(409, "invalid_state_transition").body["current_status"], "posted");

    let path = format!("/transfers/{voided}");
    let gone = key.post(&format!("{path}/void"), json!({ "reason": "canceled" })).await.expect(200);
    assert_eq!(
        (&gone.body["status"], &gone.body["status_history"][1]["reason"]),
        (&json!("voided"), &json!("canceled"))
    );
    for verb in ["void", "capture", "reverse"] {
        let again =
            key.post(&format!("{path}/{verb}"), json!({})).await.refused(409, "invalid_state_transition");
        assert_eq!(
            (&again.body["current_status"], &again.body["allowed_events"]),
            (&json!("voided"), &json!([]))
        );
    }

    coffer.new_events();
    coffer.advance(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(coffer.new_events(), ["transfer.expired"]);
    assert_eq!(key.get(&format!("/transfers/{expired}")).await.body["status"], "expired");
    let balance = key.get(&format!("/balances/USD?user_id={ann}")).await;
    assert_eq!((&balance.body["available"], &balance.body["held"]), (&json!("91.00"), &json!("0.00")));
}

#[tokio::test]
async fn a_transfer_is_taken_back_in_parts_and_linked_both_ways() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "10.00").await;
    let key = coffer.key();
    let made = key.post("/transfers", transfer("10.00", &ann, &bob)).await.expect(201);
    let path = format!("/transfers/{}/reverse", made.id());
    let first = key.post(&path, json!({ "amount": "4.00", "reason": "half" })).await.expect(200);
    assert_eq!(
        (&first.body["status"], &first.body["reversed"]),
        (&json!("partially_reversed"), &json!("4.00"))
    );
    let too_much = key.post(&path, json!({ "amount": "6.01" })).await.refused(422, "reverse_too_large");
    assert_eq!(too_much.body["remaining"], "6.00");
    let rest = key.post(&path, json!({})).await.expect(200);
    assert_eq!((&rest.body["status"], &rest.body["reversed"]), (&json!("reversed"), &json!("10.00")));
    for reversal in rest.body["reversals"].as_array().unwrap() {
        let entry = key.get(&format!("/ledger/entries/{}", reversal["entry_id"].as_str().unwrap())).await;
        assert_eq!(entry.expect(200).body["reverses"], made.body["entry_id"]);
    }
    key.post(&path, json!({})).await.refused(409, "invalid_state_transition");
    let spent = key.post("/transfers", transfer("10.00", &ann, &bob)).await.expect(201);
    key.post("/transfers", transfer("5.00", &bob, &ann)).await.expect(201);
    let path = format!("/transfers/{}/reverse", spent.id());
    key.post(&path, json!({})).await.refused(422, "insufficient_funds");
    assert_eq!(key.get("/transfers?status=reversed").await.body["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_external_id_names_one_transfer_for_ever() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let body = json!({ "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": ann, "reason": "x", "external_id": "inv-7" });
    let made = coffer.key().post("/transfers", body.clone()).await.expect(201);
    let taken = coffer.key().post("/transfers", body).await.refused(409, "external_id_taken");
    assert_eq!(taken.body["existing_id"], made.body["id"]);
    assert_eq!(ids(&coffer.key().get("/transfers?external_id=inv-7").await), [made.id()]);
}

#[tokio::test]
async fn ten_thousand_transfers_in_one_command_are_answered_and_replayed_whole() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "2.50").await;
    let items: Vec<Value> = (0..10_000).map(|_| transfer("0.01", &ann, &bob)).collect();
    let body = json!({ "items": items });
    let key = coffer.key().idempotent("bulk-1");
    let done = key.post("/transfers/bulk", body.clone()).await.expect(200);
    assert_eq!((&done.body["succeeded"], &done.body["failed"]), (&json!(250), &json!(9_750)));
    let last = &done.body["items"][9_999];
    assert_eq!((&last["index"], &last["problem"]["code"]), (&json!(9_999), &json!("insufficient_funds")));
    let replay = key.post("/transfers/bulk", body).await.expect(200);
    assert!(replay.body == done.body && replay.headers["idempotent-replayed"] == "true");
    // Ten thousand that succeed, with the longest amounts (30 digits, four times), fit the 16 MiB of a stored row.
    let made = done.body["items"][0].to_string().len() + 4 * 30;
    assert!(made * 10_000 < 16 << 20, "{made} bytes each");
    let too_many: Vec<Value> = (0..10_001).map(|_| transfer("0.01", &ann, &bob)).collect();
    coffer.key().post("/transfers/bulk", json!({ "items": too_many })).await.refused(422, "out_of_range");
}

#[tokio::test]
async fn a_bulk_command_tells_what_became_of_each_item_or_of_none() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "5.00").await;
    let key = coffer.key();
    coffer.new_events();
    let items =
        json!([transfer("5.00", &ann, &bob), transfer("1.00", &ann, &bob), transfer("2.00", &bob, &ann)]);
    let refused = key.post("/transfers/bulk", json!({ "items": items, "atomic": true })).await;
    assert_eq!(refused.refused(422, "insufficient_funds").body["index"], 1);
    let rehearsed = key.post("/transfers/bulk?dry_run=true", json!({ "items": items })).await.expect(200);
    assert_eq!(rehearsed.body["succeeded"], 2);
    assert_eq!(coffer.new_events(), Vec::<String>::new());
    let done = key.post("/transfers/bulk", json!({ "items": items, "atomic": false })).await.expect(200);
    let statuses: Vec<&Value> =
        done.body["items"].as_array().unwrap().iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded"]);
    let malformed = json!({ "items": [transfer("1.00", &ann, &bob), transfer("1e3", &ann, "nobody")] });
    let flaws = key.post("/transfers/bulk", malformed).await.refused(422, "amount_format");
    let params: Vec<&Value> =
        flaws.body["errors"].as_array().unwrap().iter().map(|it| &it["param"]).collect();
    assert_eq!(params, ["items[1].amount", "items[1].to"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_a_long_command_that_is_not_atomic_runs() {
    let coffer = Arc::new(Instance::start().await);
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (bob, _) = person(&coffer, "bob", &[]).await;
    credit(&coffer, &ann, "100.00").await;
    // Bob has nothing until the first piece is through: later items see earlier ones across pieces.
    let mut items: Vec<Value> = (0..3000).map(|_| transfer("0.01", &ann, &bob)).collect();
    items.push(transfer("30.00", &bob, &ann));
    items.push(transfer("0.01", &bob, &ann));
    let running = {
        let (coffer, body) = (coffer.clone(), json!({ "items": items, "atomic": false }));
        tokio::spawn(async move { coffer.key().idempotent("long").post("/transfers/bulk", body).await })
    };
    let small =
        json!({ "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": ann, "reason": "x" });
    let mut entries = vec![];
    while !running.is_finished() {
        let made = coffer.key().post("/transfers", small.clone()).await.expect(201);
        entries.push(made.body["entry_id"].as_str().unwrap().to_owned());
    }
    let done = running.await.unwrap().expect(200);
    assert_eq!((&done.body["succeeded"], &done.body["failed"]), (&json!(3001), &json!(1)));
    let items = done.body["items"].as_array().unwrap();
    assert!(items.iter().enumerate().all(|(place, it)| it["index"] == place), "in order, none missing");
    assert_eq!(items[3001]["problem"]["code"], "insufficient_funds");
    // Ids of entries are in the order of their making.
    let made = |place: usize| items[place]["transfer"]["entry_id"].as_str().unwrap().to_owned();
    let (first, last) = (made(0), made(3000));
    let within = entries.iter().filter(|it| first < **it && **it < last).count();
    assert!(within > 0, "somebody else's entry is among those of the command");
    let audit = coffer.key().get("/audit?limit=100").await.expect(200);
    let rows = audit.body["data"].as_array().unwrap().iter();
    assert_eq!(rows.filter(|it| it["action"] == "POST /transfers/bulk").count(), 1);

    // What is remembered of it is forgotten with the key.
    coffer.advance(Duration::from_secs(40 * 24 * 3600)).await;
    let again = json!({ "items": [transfer("0.01", &ann, &bob)] });
    coffer.key().idempotent("long").post("/transfers/bulk", again).await.expect(200);
}

/// The process dies in the middle of a long command; whoever repeats it finds every transfer made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_command_cut_off_by_a_power_cut_is_finished_by_its_repeat() {
    let (mut in_the_middle, mut changes, mut is_done) = (0, 40, false);
    while !is_done && in_the_middle < 1 {
        changes += changes / 2; // At each more is done before the power goes, until all of it is.
        let mut coffer = Simulation::start(changes).await;
        let user = json!({ "email": "a@example.com", "first_name": "A", "last_name": "B" });
        let (_, user) = coffer.request("user", "POST", "/users", user).await;
        let user = user["id"].as_str().unwrap().to_owned();
        let item = json!({ "amount": "0.01", "currency": "USD", "from": "house:adjustment", "to": user, "reason": "x" });
        let body = json!({ "items": vec![item; 2100] });
        coffer.lose_power_in(changes);
        is_done = coffer.request("bulk", "POST", "/transfers/bulk", body.clone()).await.0 == 200;
        coffer.restart_calmly();
        let path = format!("/balances/USD?user_id={user}");
        let balance = |answer: (u16, Value)| answer.1["available"].as_str().unwrap_or("0.00").to_owned();
        let left = balance(coffer.request("x", "GET", &path, Value::Null).await);
        assert!(["0.00", "10.00", "20.00", "21.00"].contains(&left.as_str()), "{left} after {changes}");
        in_the_middle += u32::from(["10.00", "20.00"].contains(&left.as_str()));
        for _ in 0..2 {
            let (status, done) = coffer.request("bulk", "POST", "/transfers/bulk", body.clone()).await;
            assert_eq!((status, &done["succeeded"], &done["failed"]), (200, &json!(2100), &json!(0)));
            assert_eq!(done["items"].as_array().unwrap().len(), 2100);
        }
        assert_eq!(balance(coffer.request("x", "GET", &path, Value::Null).await), "21.00", "after {changes}");
        assert_eq!(coffer.problems(), Vec::<String>::new());
    }
    assert!(in_the_middle > 0, "the power went between two pieces");
}
