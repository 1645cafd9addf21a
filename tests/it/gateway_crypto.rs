//! Crypto gateways: addresses handed out once, confirmations told or asked for, and what a chain takes back.

use std::time::Duration;

use coffer::testing::{Instance, Reply};
use serde_json::{Value, json};

use crate::{
    inbound::{SECRET, tell},
    payment::{initiate, show, state, suspense, user},
};

/// The account of the test vectors of BIP 84, and its first addresses.
pub const ZPUB: &str = "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs";
pub const FIRST: &str = "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu";
pub const SECOND: &str = "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g";

/// An active gateway for BTC; up to 0.01 one confirmation is enough, above it six.
pub async fn bitcoin(coffer: &Instance, config: Value) -> String {
    let mut setup = json!({
        "network": "bitcoin", "xpub": ZPUB,
        "confirmations": [
            { "currency": "BTC", "up_to": "0.01", "confirmations": 1 }, { "currency": "BTC", "confirmations": 6 },
        ],
    });
    setup.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let body = json!({
        "name": "Bitcoin", "slug": "btc", "kind": "crypto", "currencies": ["BTC"], "config": setup,
        "credentials": { "webhook_secret": SECRET },
    });
    let made = coffer.key().post("/payment-gateways", body).await.expect(201);
    coffer.key().post(&format!("/payment-gateways/{}/activate", made.id()), json!({})).await.expect(200);
    made.id().to_owned()
}

pub async fn charge(coffer: &Instance, user: &str, amount: &str) -> String {
    let body = json!({ "amount": amount, "currency": "BTC", "user_id": user });
    coffer.key().post("/payments", body).await.expect(201).id().to_owned()
}

pub async fn bitcoins(coffer: &Instance, user: &str) -> String {
    let balance = coffer.key().get(&format!("/balances/BTC?user_id={user}")).await.expect(200);
    balance.body["available"].as_str().unwrap().to_owned()
}

pub fn transfer(id: &str, address: &str, txid: &str, sats: u64, confirmations: u64) -> Value {
    json!({ "id": id, "type": "address.transfer", "data": { "object": {
        "object": "transfer", "address": address, "txid": txid, "output": 0, "amount": sats, "currency": "BTC",
        "confirmations": confirmations,
    } } })
}

#[tokio::test]
async fn every_attempt_has_an_address_of_its_own_and_counts_when_it_is_confirmed() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let (small, large) = (charge(&coffer, &user, "0.01").await, charge(&coffer, &user, "0.5").await);
    let attempt = initiate(&coffer, &small, &gateway).await.expect(200);
    assert_eq!(attempt.body["address"], FIRST);
    assert_eq!(attempt.body["instructions"], format!("Send 0.01000000 BTC on bitcoin to {FIRST}."));
    assert_eq!(initiate(&coffer, &large, &gateway).await.expect(200).body["address"], SECOND);

    tell(&coffer, &gateway, &transfer("e1", FIRST, "aa", 1_000_000, 0)).await.expect(200);
    assert_eq!(state(&show(&coffer, &small).await), "processing none none 0.00000000");
    tell(&coffer, &gateway, &transfer("e2", FIRST, "aa", 1_000_000, 1)).await.expect(200);
    assert_eq!(state(&show(&coffer, &small).await), "settled none exact 0.01000000");
    for (number, confirmations) in [0, 1, 5].into_iter().enumerate() {
        let event = transfer(&format!("f{number}"), SECOND, "bb", 50_000_000, confirmations);
        tell(&coffer, &gateway, &event).await.expect(200);
        assert_eq!(show(&coffer, &large).await["status"], "processing", "{confirmations} of 6");
    }
    tell(&coffer, &gateway, &transfer("f6", SECOND, "bb", 50_000_000, 6)).await.expect(200);
    tell(&coffer, &gateway, &transfer("f7", SECOND, "bb", 50_000_000, 7)).await.expect(200);
    assert_eq!(bitcoins(&coffer, &user).await, "0.51000000");
    assert_eq!(suspense(&coffer).await, []);
}

#[tokio::test]
async fn what_the_chain_takes_back_was_never_credited() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let payment = charge(&coffer, &user, "0.5").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    let seen = |id: &str, txid: &str, confirmations| transfer(id, FIRST, txid, 50_000_000, confirmations);
    tell(&coffer, &gateway, &seen("e1", "aa", 3)).await.expect(200);
    tell(&coffer, &gateway, &seen("e2", "bb", 0)).await.expect(200);
    let mut gone = seen("e3", "aa", 0);
    gone["type"] = "address.transfer_dropped".into();
    tell(&coffer, &gateway, &gone).await.expect(200);
    assert_eq!(show(&coffer, &payment).await["status"], "processing", "the other one is still on its way");
    let mut gone = seen("e4", "bb", 0);
    gone["type"] = "address.transfer_dropped".into();
    tell(&coffer, &gateway, &gone).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "requires_action none none 0.00000000");
    assert_eq!(bitcoins(&coffer, &user).await, "0.00000000");
    tell(&coffer, &gateway, &seen("e5", "cc", 6)).await.expect(200);
    assert_eq!(bitcoins(&coffer, &user).await, "0.50000000");
}

#[tokio::test]
async fn a_part_waits_more_is_credited_and_what_is_late_is_in_suspense() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let gateway = bitcoin(&coffer, json!({})).await;
    let payment = charge(&coffer, &user, "0.02").await;
    initiate(&coffer, &payment, &gateway).await.expect(200);
    tell(&coffer, &gateway, &transfer("e1", FIRST, "aa", 900_000, 1)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "requires_action none partial 0.00900000");
    tell(&coffer, &gateway, &transfer("e2", FIRST, "bb", 1_200_000, 6)).await.expect(200);
    assert_eq!(state(&show(&coffer, &payment).await), "settled none over 0.02100000");
    tell(&coffer, &gateway, &transfer("e3", FIRST, "cc", 500_000, 1)).await.expect(200);
    assert_eq!(suspense(&coffer).await, [("cc:0".to_owned(), "0.00500000".to_owned())]);
    let expired = charge(&coffer, &user, "0.02").await;
    initiate(&coffer, &expired, &gateway).await.expect(200);
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    tell(&coffer, &gateway, &transfer("e4", SECOND, "dd", 2_000_000, 6)).await.expect(200);
    assert_eq!(state(&show(&coffer, &expired).await), "expired none late 0.00000000");
    assert_eq!(suspense(&coffer).await.len(), 2);
    assert_eq!(bitcoins(&coffer, &user).await, "0.02100000");
}

#[tokio::test]
async fn a_pool_is_filled_by_hand_and_each_address_handed_out_once() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let body = json!({
        "name": "Ether", "slug": "eth", "kind": "crypto", "currencies": ["ETH"], "config": { "network": "ethereum" },
        "credentials": { "webhook_secret": SECRET },
    });
    let gateway = coffer.key().post("/payment-gateways", body).await.expect(201).id().to_owned();
    let path = format!("/payment-gateways/{gateway}");
    coffer.key().post(&format!("{path}/activate"), json!({})).await.refused(422, "gateway_incomplete");
    let address = "0x52908400098527886E0F7030069857D2E4169EE7";
    let fill = json!({ "addresses": [address] });
    let added = coffer.key().post(&format!("{path}/addresses"), fill.clone()).await.expect(200);
    assert_eq!(added.body["added"], 1);
    assert_eq!(coffer.key().post(&format!("{path}/addresses"), fill).await.expect(200).body["added"], 0);
    coffer.key().post(&format!("{path}/activate"), json!({})).await.expect(200);
    let charge = async || {
        let body = json!({ "amount": "1.5", "currency": "ETH", "user_id": user });
        coffer.key().post("/payments", body).await.expect(201).id().to_owned()
    };
    let (first, second) = (charge().await, charge().await);
    assert_eq!(initiate(&coffer, &first, &gateway).await.expect(200).body["address"], address);
    let refused = initiate(&coffer, &second, &gateway).await.refused(422, "gateway_unavailable");
    assert_eq!(refused.body["reason"], "addresses");
    // Wei do not fit into the numbers of JSON: they come as text.
    let mut event = transfer("e1", address, "aa", 0, 3);
    event["data"]["object"]["amount"] = "1500000000000000000".into();
    event["data"]["object"]["currency"] = "ETH".into();
    tell(&coffer, &gateway, &event).await.expect(200);
    assert_eq!(state(&show(&coffer, &first).await), "settled none exact 1.500000000000000000");
    let listed = coffer.key().get(&format!("{path}/addresses?used=true")).await.expect(200);
    assert_eq!(listed.body["data"][0]["payment_id"], first);
}

#[tokio::test]
async fn an_explorer_is_asked_until_the_payer_paid_and_it_is_confirmed() {
    let coffer = Instance::start().await;
    let user = user(&coffer, "ann").await;
    let hooks = coffer.webhooks();
    let gateway = bitcoin(&coffer, json!({ "base_url": hooks.url("/explorer") })).await;
    let list = format!("/explorer/address/{FIRST}/txs");
    let chain = |transactions: Value, height: u64| {
        hooks.reply(&list, Reply::status(200).body(transactions.to_string()));
        hooks.reply("/explorer/blocks/tip/height", Reply::status(200).body(height.to_string()));
    };
    let paid = |block: Option<u64>| {
        let status = match block {
            Some(block) => json!({ "confirmed": true, "block_height": block }),
            None => json!({ "confirmed": false }),
        };
        json!([{
            "txid": "ab".repeat(32), "status": status,
            "vout": [{ "scriptpubkey_address": SECOND, "value": 1 }, { "scriptpubkey_address": FIRST, "value": 50_000_000 }],
        }])
    };
    let payment = charge(&coffer, &user, "0.5").await;
    chain(json!([]), 100);
    initiate(&coffer, &payment, &gateway).await.expect(200);
    for (transactions, height, wanted) in [
        (json!([]), 100, "requires_action"),
        (paid(None), 100, "processing"),
        (json!([]), 101, "requires_action"), // Replaced, or gone.
        (paid(None), 101, "processing"),
        (paid(Some(102)), 102, "processing"),
        (paid(Some(102)), 106, "processing"),
        (paid(Some(102)), 107, "settled"),
    ] {
        chain(transactions, height);
        coffer.advance(Duration::from_secs(60)).await;
        assert_eq!(show(&coffer, &payment).await["status"], wanted, "at block {height}");
    }
    assert_eq!(bitcoins(&coffer, &user).await, "0.50000000");
    let asked = hooks.at(&list).len();
    coffer.advance(Duration::from_secs(30 * 60)).await;
    assert_eq!(hooks.at(&list).len(), asked, "what is over is asked about seldom: see gateway_addresses.rs");
}

#[tokio::test]
async fn no_key_that_could_spend_is_taken() {
    let coffer = Instance::start().await;
    let body = |xpub: &str, currency: &str| {
        json!({
            "name": "B", "slug": "b", "kind": "crypto", "currencies": [currency], "config": { "xpub": xpub },
        })
    };
    let private = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi";
    for (xpub, currency, code) in [(private, "BTC", "invalid_format"), (ZPUB, "ETH", "not_allowed")] {
        let answer = coffer.key().post("/payment-gateways", body(xpub, currency)).await.refused(422, code);
        assert_eq!(answer.body["param"], "config.xpub");
    }
}
