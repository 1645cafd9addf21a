//! An address is somebody's once, in the whole installation, and money at it is counted once, however it is told of,
//! whenever it comes, and whether or not it stays.

use std::time::Duration;

use coffer::testing::{Http, Instance, Reply};
use serde_json::{Value, json};

use crate::{
    gateway_crypto::{FIRST, SECOND, ZPUB, bitcoin, bitcoins, charge, transfer},
    inbound::{SECRET, tell},
    payment::{initiate, show, state, suspense, user},
    support::decide,
};

/// An Ethereum address as EIP-55 writes it.
const MIXED: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// A gateway with a pool, not switched on.
async fn pool(http: &Http, slug: &str, currency: &str) -> String {
    let body = json!({
        "name": slug, "slug": slug, "kind": "crypto", "currencies": [currency], "config": { "network": "ethereum" },
        "credentials": { "webhook_secret": SECRET },
    });
    http.post("/payment-gateways", body).await.expect(201).id().to_owned()
}

async fn another_client(coffer: &Instance) -> Http {
    let body = json!({ "name": "Northwind", "slug": "northwind", "mode": "test", "default_currency": "USD" });
    let made = coffer.operator().post("/clients", body).await.expect(201);
    let other = coffer.with(made.body["secret_key"].as_str().unwrap());
    for code in ["BTC", "ETH"] {
        other.post(&format!("/currencies/{code}/activate"), json!({})).await.expect(200);
    }
    other
}

/// An open payment of 0.05 BTC, and its address.
async fn asked(coffer: &Instance, user: &str, gateway: &str) -> (String, String) {
    let payment = charge(coffer, user, "0.05").await;
    let attempt = initiate(coffer, &payment, gateway).await.expect(200);
    (payment, attempt.body["address"].as_str().unwrap().to_owned())
}

fn dropped(mut event: Value) -> Value {
    event["type"] = "address.transfer_dropped".into();
    event
}

#[tokio::test]
async fn a_gateway_that_takes_over_an_account_goes_on_where_the_other_one_stopped() {
    let coffer = Instance::start().await;
    let (ann, bob) = (user(&coffer, "ann").await, user(&coffer, "bob").await);
    let before = bitcoin(&coffer, json!({})).await;
    let (first, address) = asked(&coffer, &ann, &before).await;
    assert_eq!(address, FIRST);
    let after = bitcoin(&coffer, json!({})).await;
    let (second, address) = asked(&coffer, &bob, &after).await;
    assert_eq!(address, SECOND, "nobody is shown what another one was shown");

    // The coin is one coin, whichever gateway tells of it.
    for (number, gateway) in [&after, &before, &after].into_iter().enumerate() {
        let event = transfer(&format!("e{number}"), FIRST, "aa", 5_000_000, 6);
        tell(&coffer, gateway, &event).await.expect(200);
    }
    assert_eq!(state(&show(&coffer, &first).await), "settled none exact 0.05000000");
    assert_eq!(state(&show(&coffer, &second).await), "requires_action none none 0.00000000");
    assert_eq!([bitcoins(&coffer, &ann).await, bitcoins(&coffer, &bob).await], ["0.05000000", "0.00000000"]);
    assert_eq!(suspense(&coffer).await, []);

    // Another client with the same account goes on as well, and hears nothing of what is not its own.
    let other = another_client(&coffer).await;
    let person = json!({ "email": "eve@example.com", "first_name": "Eve", "last_name": "T" });
    let eve = other.post("/users", person).await.expect(201).id().to_owned();
    let body = json!({
        "name": "B", "slug": "b", "kind": "crypto", "currencies": ["BTC"],
        "config": { "network": "bitcoin", "xpub": ZPUB }, "credentials": { "webhook_secret": SECRET },
    });
    let theirs = other.post("/payment-gateways", body).await.expect(201).id().to_owned();
    other.post(&format!("/payment-gateways/{theirs}/activate"), json!({})).await.expect(200);
    let body = json!({ "amount": "0.05", "currency": "BTC", "user_id": eve });
    let payment = other.post("/payments", body).await.expect(201).id().to_owned();
    let path = format!("/payments/{payment}/initiate");
    let attempt = other.post(&path, json!({ "gateway_id": theirs })).await.expect(200);
    let address = attempt.body["address"].as_str().unwrap();
    assert!(address.starts_with("bc1q") && ![FIRST, SECOND].contains(&address), "{address}");
    tell(&coffer, &theirs, &transfer("f1", SECOND, "bb", 5_000_000, 6)).await.expect(200);
    assert_eq!(other.get("/suspense").await.expect(200).body["data"], json!([]));
    assert_eq!(show(&coffer, &second).await["status"], "requires_action");
}

#[tokio::test]
async fn an_address_is_in_one_pool_however_it_is_written() {
    let coffer = Instance::start().await;
    let (first, second) = (pool(&coffer.key(), "a", "ETH").await, pool(&coffer.key(), "b", "ETH").await);
    let fill = async |http: &Http, gateway: &str, addresses: Value| {
        http.post(&format!("/payment-gateways/{gateway}/addresses"), json!({ "addresses": addresses })).await
    };
    let lower = MIXED.to_lowercase();
    let added = fill(&coffer.key(), &first, json!([MIXED, lower, MIXED])).await.expect(200);
    assert_eq!(added.body["added"], 1);
    for spelling in [MIXED, lower.as_str()] {
        fill(&coffer.key(), &second, json!([spelling])).await.refused(409, "address_taken");
    }
    let other = another_client(&coffer).await;
    let theirs = pool(&other, "c", "ETH").await;
    fill(&other, &theirs, json!([lower])).await.refused(409, "address_taken");

    let list = |gateway: &str| format!("/payment-gateways/{gateway}/addresses");
    fill(&coffer.key(), &first, json!(["0x27b1fdb04752bbc536007a920d24acb045561c26"])).await.expect(200);
    let rows = coffer.key().get(&list(&first)).await.expect(200).body["data"].clone();
    let ids: Vec<&str> = rows.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids.iter().all(|it| it.starts_with("adr_")), "{rows}");
    assert_eq!(rows[0]["gateway_id"], first);
    assert_eq!(coffer.key().get(&list(&second)).await.expect(200).body["data"], json!([]));
}

#[tokio::test]
async fn an_address_told_in_other_letters_is_the_same_address() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = pool(&coffer.key(), "eth", "ETH").await;
    let path = format!("/payment-gateways/{gateway}");
    coffer.key().post(&format!("{path}/addresses"), json!({ "addresses": [MIXED] })).await.expect(200);
    coffer.key().post(&format!("{path}/activate"), json!({})).await.expect(200);
    let body = json!({ "amount": "1.5", "currency": "ETH", "user_id": user });
    let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
    initiate(&coffer, &payment, &gateway).await.expect(200);
    let mut event = transfer("e1", &MIXED.to_lowercase(), "aa", 0, 3);
    event["data"]["object"]["amount"] = "1500000000000000000".into();
    event["data"]["object"]["currency"] = "ETH".into();
    tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 1.500000000000000000");
}

#[tokio::test]
async fn money_where_nobody_was_asked_to_pay_is_in_suspense_or_told_of() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = pool(&coffer.key(), "eth", "ETH").await;
    let path = format!("/payment-gateways/{gateway}");
    let free = "0x27b1fdb04752bbc536007a920d24acb045561c26";
    coffer.key().post(&format!("{path}/addresses"), json!({ "addresses": [MIXED, free] })).await.expect(200);
    coffer.key().post(&format!("{path}/activate"), json!({})).await.expect(200);
    let sent = |id: &str, address: &str, confirmations: u64| {
        let mut event = transfer(id, address, "aa", 0, confirmations);
        event["data"]["object"]["amount"] = "1500000000000000000".into();
        event["data"]["object"]["currency"] = "ETH".into();
        event
    };
    coffer.new_events();
    tell(&coffer, &gateway, &sent("e1", MIXED, 0)).await.expect(200);
    assert_eq!(suspense(&coffer).await, [], "not confirmed");
    tell(&coffer, &gateway, &sent("e2", MIXED, 3)).await.expect(200);
    tell(&coffer, &gateway, &sent("e3", MIXED, 4)).await.expect(200);
    assert_eq!(suspense(&coffer).await, [("aa:0".to_owned(), "1.500000000000000000".to_owned())]);
    assert_eq!(coffer.new_events(), ["payment.late"]);
    // Nobody is asked to pay to it any more.
    let body = json!({ "amount": "1.5", "currency": "ETH", "user_id": user });
    let payment = coffer.key().post("/payments", body).await.expect(201).id().to_owned();
    assert_eq!(initiate(&coffer, &payment, &gateway).await.expect(200).body["address"], free);

    // What is no address of ours is not booked, and does not go unseen.
    coffer.new_events();
    let mut stranger = sent("f1", "0xde709f2102306220921060314715629080e2fb77", 2);
    stranger["data"]["object"]["txid"] = "bb".into();
    for (id, confirmations, events) in [("f1", 2, 0), ("f2", 3, 1), ("f3", 9, 0)] {
        stranger["id"] = id.into();
        stranger["data"]["object"]["confirmations"] = confirmations.into();
        tell(&coffer, &gateway, &stranger).await.expect(200);
        assert_eq!(coffer.new_events(), vec!["transfer.unknown"; events], "{confirmations} confirmations");
    }
    assert_eq!(suspense(&coffer).await.len(), 1);
}

#[tokio::test]
async fn what_was_seen_in_time_is_waited_for_beyond_the_deadline() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    coffer.advance(Duration::from_secs(24 * 3600 - 600)).await;
    tell(&coffer, &gateway, &transfer("e1", &address, "aa", 5_000_000, 1)).await.expect(200);
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(state(&show(&coffer, &payment).await), "processing none none 0.00000000");
    tell(&coffer, &gateway, &transfer("e2", &address, "aa", 5_000_000, 6)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 0.05000000");
    assert_eq!(suspense(&coffer).await, []);

    // Gone after the deadline, it came too late.
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    coffer.advance(Duration::from_secs(24 * 3600 - 600)).await;
    tell(&coffer, &gateway, &transfer("f1", &address, "bb", 5_000_000, 1)).await.expect(200);
    coffer.advance(Duration::from_secs(3600)).await;
    tell(&coffer, &gateway, &dropped(transfer("f2", &address, "bb", 5_000_000, 0))).await.expect(200);
    coffer.advance(Duration::from_secs(60)).await;
    assert_eq!(show(&coffer, &payment).await["status"], "expired");
    // Of what nobody tells any more a person finds out.
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    tell(&coffer, &gateway, &transfer("g1", &address, "cc", 5_000_000, 1)).await.expect(200);
    for _ in 0..12 {
        coffer.advance(Duration::from_secs(24 * 3600)).await;
    }
    assert_eq!(state(&show(&coffer, &payment).await), "processing needs_review none 0.00000000");
}

#[tokio::test]
async fn an_explorer_is_asked_about_an_address_when_its_payment_is_long_over() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let hooks = coffer.webhooks();
    let gateway = bitcoin(&coffer, json!({ "base_url": hooks.url("/explorer") })).await;
    let (expired, settled) =
        (asked(&coffer, &user, &gateway).await.0, asked(&coffer, &user, &gateway).await.0);
    let list = |address: &str| format!("/explorer/address/{address}/txs");
    let chain = |address: &str, paid: &[(&str, u64)]| {
        let transactions: Vec<Value> = paid
            .iter()
            .map(|(txid, block)| {
                json!({
                    "txid": txid.repeat(32), "status": { "confirmed": true, "block_height": block },
                    "vout": [{ "scriptpubkey_address": address, "value": 5_000_000 }],
                })
            })
            .collect();
        hooks.reply(&list(address), Reply::status(200).body(json!(transactions).to_string()));
        hooks.reply("/explorer/blocks/tip/height", Reply::status(200).body("107"));
    };
    chain(FIRST, &[]);
    chain(SECOND, &[("bb", 100)]);
    coffer.advance(Duration::from_secs(60)).await;
    assert_eq!(show(&coffer, &settled).await["status"], "settled");
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(show(&coffer, &expired).await["status"], "expired");

    // Late, and once more to an address that was paid.
    chain(FIRST, &[("aa", 101)]);
    chain(SECOND, &[("bb", 100), ("cc", 101)]);
    coffer.advance(Duration::from_secs(3600)).await;
    let late = [
        ("aa".repeat(32) + ":0", "0.05000000".to_owned()),
        ("cc".repeat(32) + ":0", "0.05000000".to_owned()),
    ];
    let mut found = suspense(&coffer).await;
    found.sort();
    assert_eq!(found, late);
    assert_eq!(show(&coffer, &expired).await["paid_state"], "late");

    // Seldom, and not for ever.
    let asked = |address: &str| hooks.at(&list(address)).len();
    let before = asked(FIRST);
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(asked(FIRST), before + 1);
    for _ in 0..70 {
        coffer.advance(Duration::from_secs(7 * 24 * 3600)).await;
    }
    let before = asked(FIRST);
    for _ in 0..10 {
        coffer.advance(Duration::from_secs(7 * 24 * 3600)).await;
    }
    assert!(before < 130 && asked(FIRST) <= before + 10, "{before} questions, then {}", asked(FIRST));
    assert_eq!(suspense(&coffer).await.len(), 2, "each is counted once");
}

#[tokio::test]
async fn what_a_chain_takes_back_after_it_was_credited_asks_for_a_person() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    let paid = |id: &str, confirmations| transfer(id, &address, "aa", 5_000_000, confirmations);
    tell(&coffer, &gateway, &paid("e1", 6)).await.expect(200);
    let status = async || {
        let shown = coffer.key().get(&format!("/users/{user}")).await.expect(200);
        shown.body["status"].as_str().unwrap().to_owned()
    };
    let waiting = async || {
        let shown = coffer.key().get("/dashboard/statistics").await.expect(200).body;
        let rows = shown["waiting"].as_array().unwrap().clone();
        rows.iter().find(|it| it["queue"] == "conflicted_payments").map_or(json!(0), |it| it["count"].clone())
    };
    coffer.new_events();
    tell(&coffer, &gateway, &dropped(paid("e2", 0))).await.expect(200);
    tell(&coffer, &gateway, &dropped(paid("e3", 0))).await.expect(200);
    assert_eq!(coffer.new_events(), ["user.frozen", "payment.conflicted"]);
    let shown = show(&coffer, &payment).await;
    assert_eq!(state(&shown), "settled needs_review exact 0.05000000", "nothing is taken back by itself");
    assert_eq!(shown["last_error"], "aa:0 was credited, and its chain took it back");
    assert_eq!((status().await.as_str(), waiting().await), ("frozen", json!(1)));

    // In another block after all.
    tell(&coffer, &gateway, &paid("e4", 6)).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.conflicted"]);
    let shown = show(&coffer, &payment).await;
    assert_eq!(
        state(&shown),
        "settled needs_review exact 0.05000000",
        "it may have been taken back meanwhile"
    );
    assert_eq!(shown["last_error"], "aa:0 is there again");
    let resolve = format!("/payments/{payment}/resolve");
    let body = |decision: &str| json!({ "decision": decision, "reason": "looked at the chain" });
    decide(&coffer.key(), &resolve, body("refund")).await.refused(422, "not_refundable");
    decide(&coffer.key(), &resolve, body("reject")).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.conflict_closed"]);
    assert_eq!((status().await.as_str(), waiting().await), ("frozen", json!(0)));
    // Gone once more after it was put away, it is news again.
    tell(&coffer, &gateway, &dropped(paid("e5", 0))).await.expect(200);
    assert_eq!(coffer.new_events(), ["payment.conflicted"]);
    assert_eq!(bitcoins(&coffer, &user).await, "0.05000000");
}

#[tokio::test]
async fn what_a_chain_takes_back_before_it_was_credited_does_not_count() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    let sent = |id: &str, txid: &str, sats| transfer(id, &address, txid, sats, 6);
    tell(&coffer, &gateway, &sent("e1", "aa", 2_000_000)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "requires_action none partial 0.02000000");
    tell(&coffer, &gateway, &dropped(sent("e2", "aa", 2_000_000))).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "requires_action none none 0.00000000");
    tell(&coffer, &gateway, &sent("e3", "bb", 5_000_000)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none exact 0.05000000");

    // Out of suspense as it came there, and once more into it when it is there again.
    tell(&coffer, &gateway, &sent("f1", "cc", 1_000_000)).await.expect(200);
    assert_eq!(suspense(&coffer).await.len(), 1);
    coffer.new_events();
    tell(&coffer, &gateway, &dropped(sent("f2", "cc", 1_000_000))).await.expect(200);
    assert_eq!(coffer.new_events(), ["suspense.dropped"]);
    assert_eq!(suspense(&coffer).await, []);
    tell(&coffer, &gateway, &sent("f3", "cc", 1_000_000)).await.expect(200);
    assert_eq!(suspense(&coffer).await, [("cc:0".to_owned(), "0.01000000".to_owned())]);
}

#[tokio::test]
async fn a_message_that_is_signed_and_makes_no_sense_is_told_so() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let (payment, address) = asked(&coffer, &user, &gateway).await;
    for amount in [json!(-5), json!(5.5), json!("1".to_owned() + &"0".repeat(40)), json!("-5"), json!(0)] {
        let mut event = transfer("e1", &address, "aa", 0, 6);
        event["data"]["object"]["amount"] = amount.clone();
        let answer = tell(&coffer, &gateway, &event).await.refused(422, "webhook_not_understood");
        assert!(
            answer.body["problem"].as_str().is_some_and(|it| it.contains("amount")),
            "{amount} {}",
            answer.body
        );
    }
    assert_eq!(show(&coffer, &payment).await["status"], "requires_action");
    tell(&coffer, &gateway, &transfer("e1", &address, "aa", 5_000_000, 6)).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["status"], "settled", "what was refused was not seen");
}
