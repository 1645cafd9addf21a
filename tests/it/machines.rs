//! State machines as served: whatever verb comes in whatever order, nothing happens that the table does not say, and
//! what it does not say is refused with what it does.

use std::{collections::BTreeMap, time::Duration};

use coffer::testing::{Http, Instance};
use serde_json::{Value, json};

use crate::{
    inbound::{tell, with_secret},
    payment::{another_key, charge, initiate},
    payout::{event, payout},
    pricing::plan,
    withdrawal::{bank, credit, person},
};

/// splitmix64: the same seed, the same walk.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

struct Walk {
    coffer: Instance,
    /// Who makes things, and who decides about them.
    hands: [Http; 2],
    user: String,
    plan: String,
    machines: BTreeMap<String, Value>,
    dice: Dice,
    count: u32,
}

/// What a decision about it names; of what nobody has to agree to, nothing that counts.
fn revision(now: &Value) -> u64 {
    now["approval"]["revision"].as_u64().unwrap_or(1)
}

impl Walk {
    async fn begin(seed: u64) -> Walk {
        let coffer = Instance::start().await;
        let (user, _) = person(&coffer, "ann", &[]).await;
        credit(&coffer, &user, "100000.00").await;
        let plan = plan(&coffer, json!({ "cooling_off_hours": 24 })).await;
        with_secret(&coffer, &coffer.credentials().sandbox_gateway).await;
        let served = coffer.publishable().get("/meta/state-machines").await.expect(200).body;
        let machines = served["data"].as_array().unwrap().iter();
        let machines = machines.map(|it| (it["object"].as_str().unwrap().to_owned(), it.clone())).collect();
        let hands = [coffer.key(), another_key(&coffer).await];
        Walk { coffer, hands, user, plan, machines, dice: Dice(seed), count: 0 }
    }

    /// A new object of this kind: its path.
    async fn make(&mut self, kind: &str) -> String {
        self.count += 1;
        let (coffer, user, count) = (&self.coffer, &self.user, self.count);
        let key = coffer.key();
        let post =
            async |path: &str, body: Value| format!("{path}/{}", key.post(path, body).await.expect(201).id());
        let settled = async |amount: &str| {
            let payment = charge(coffer, user, amount).await;
            initiate(coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
            payment
        };
        match kind {
            "user" => {
                let email = format!("somebody{count}@example.com");
                post("/users", json!({ "email": email, "first_name": "S", "last_name": "B" })).await
            }
            "fee" => {
                let rule = json!({ "name": "Fee", "operation": "swap", "currency": "EUR", "fixed": "1.00" });
                let rule = key.post("/fees", rule).await;
                // There is one rule for the same thing at a time.
                if rule.status == 201 { format!("/fees/{}", rule.id()) } else { "/fees".to_owned() }
            }
            "plan" => {
                let draft = json!({
                    "name": format!("Loft {count}"), "type": "real_estate", "currency": "USD", "min_amount": "100.00",
                    "return_percent": "10", "return_basis": "annual", "day_count": "ACT/365", "cadence": "monthly",
                    "compounding": false, "term_days": 90,
                });
                post("/plans", draft).await
            }
            "adjustment" => {
                let body = json!({ "user_id": user, "currency": "USD", "amount": "1.00", "direction": "credit", "reason": "walk" });
                post("/adjustments", body).await
            }
            "transfer" => {
                let hold = self.dice.below(3) > 0;
                let body = json!({
                    "amount": "2.00", "currency": "USD", "from": user, "to": "house:adjustment", "reason": "walk",
                    "hold": hold, "expires_in_s": hold.then_some(3600),
                });
                post("/transfers", body).await
            }
            "payment" => {
                let cents = *self.dice.of(&["00", "01", "02", "03", "04", "05", "06"]);
                let body = json!({ "amount": format!("10.{cents}"), "currency": "USD", "user_id": user });
                post("/payments", body).await
            }
            "refund" => {
                let cents = *self.dice.of(&["00", "01", "02", "03"]);
                let payment = settled("50.00").await;
                let body = json!({ "payment_id": payment, "amount": format!("5.{cents}"), "reason": "walk" });
                post("/refunds", body).await
            }
            "dispute" => {
                // Of somebody else, who is frozen by it.
                let other = json!({ "email": format!("payer{count}@example.com"), "first_name": "P", "last_name": "R" });
                let other = key.post("/users", other).await.expect(201).id().to_owned();
                let payment = charge(coffer, &other, "50.00").await;
                initiate(coffer, &payment, &coffer.credentials().sandbox_gateway).await.expect(200);
                // A refund that is on its way keeps it unbooked.
                let amount = if self.dice.below(2) == 0 { "5.00" } else { "50.00" };
                if amount == "50.00" {
                    let refund = json!({ "payment_id": payment, "amount": "5.03", "reason": "walk" });
                    post("/refunds", refund).await;
                }
                post("/disputes", json!({ "payment_id": payment, "amount": amount, "reason": "walk" })).await
            }
            "funding" => {
                let profit = self.dice.below(2) > 0;
                let mut body = json!({ "amount": "20.00", "currency": "USD", "user_id": user });
                if profit {
                    (body["type"], body["reason"]) = ("profit".into(), "walk".into());
                }
                post("/fundings", body).await
            }
            "withdrawal" => {
                let amount = *self.dice.of(&["20.00", "20.01", "20.02", "20.03", "1500.00"]);
                let body = json!({ "amount": amount, "currency": "USD", "user_id": user, "method": bank() });
                post("/withdrawals", body).await
            }
            "investment" => {
                let starts = self.dice.below(3) == 0;
                let mut body = json!({ "plan_id": self.plan, "amount": "100.00", "user_id": user });
                if starts {
                    body["starts_at"] = "2026-06-01T00:00:00Z".into();
                }
                post("/investments", body).await
            }
            other => panic!("nobody makes a {other}"),
        }
    }

    /// A verb this kind of object has, the events it stands for, and what is sent with it.
    fn verb(&mut self, kind: &str, now: &Value) -> (&'static str, &'static [&'static str], Value) {
        let gateway = |dice: &mut Dice| {
            let known = self.coffer.credentials();
            json!({ "gateway_id": dice.of(&[&known.sandbox_gateway, &known.manual_gateway]) })
        };
        let reason = json!({ "reason": "walk" });
        let dice = &mut self.dice;
        let verbs: &[(&'static str, &'static [&'static str])] = match kind {
            "user" => &[
                ("freeze", &["freeze"]),
                ("unfreeze", &["unfreeze"]),
                ("disable", &["disable"]),
                ("enable", &["enable"]),
            ],
            "fee" => &[("deactivate", &["deactivate"])],
            "plan" => &[("publish", &["publish"]), ("pause", &["pause"]), ("close", &["close"])],
            "adjustment" => &[("approve", &["approve"]), ("reject", &["reject"])],
            "transfer" => &[
                ("capture", &["capture", "capture_part"]),
                ("void", &["void"]),
                ("reverse", &["reverse", "reverse_part"]),
            ],
            "payment" => &[
                ("initiate", &["initiate"]),
                ("cancel", &["cancel"]),
                ("mark-failed", &["decline", "fail"]),
                ("retry", &["initiate"]),
            ],
            "refund" => &[
                ("approve", &["approve"]),
                ("reject", &["reject"]),
                ("cancel", &["cancel"]),
                ("mark-failed", &["fail"]),
            ],
            "dispute" => &[("win", &["win"]), ("lose", &["lose"]), ("dismiss", &["dismiss"])],
            "funding" => &[("cancel", &["cancel"]), ("reverse", &["reverse"])],
            "withdrawal" => &[
                ("approve", &["approve"]),
                ("reject", &["reject"]),
                ("cancel", &["cancel"]),
                ("process", &["process"]),
                ("complete", &["complete"]),
                ("fail", &["fail"]),
                ("return", &["return"]),
                ("reconcile", &["send", "complete", "fail"]),
                ("resolve", &["found_paid", "found_unpaid"]),
            ],
            "investment" => &[
                ("close", &["close_early"]),
                ("cancel", &["cancel"]),
                ("suspend", &["suspend"]),
                ("resume", &["resume"]),
            ],
            other => panic!("a {other} has no verbs"),
        };
        let (verb, events) = *dice.of(verbs);
        let body = match (kind, verb) {
            ("transfer", "capture") => dice.of(&[json!({ "amount": "1.00" }), json!({})]).clone(),
            ("transfer", "reverse") => {
                dice.of(&[json!({ "amount": "1.00", "reason": "walk" }), reason]).clone()
            }
            ("transfer", "void") | ("plan" | "fee", _) => json!({}),
            ("payment" | "refund", "cancel") | ("investment", "close" | "cancel") => json!({}),
            ("payment", "initiate" | "retry") | ("withdrawal", "process") => gateway(dice),
            ("withdrawal", "approve") => json!({ "revision": now["revision"] }),
            ("withdrawal", "complete") => json!({ "reference": "bank-1" }),
            ("withdrawal", "resolve") => {
                json!({ "revision": now["conflict"]["revision"].as_u64().unwrap_or(1), "truth": dice.of(&["paid", "not_paid"]), "reason": "walk" })
            }
            ("withdrawal", "reconcile") => json!({ "outcome": "failed", "reason": "walk" }),
            ("adjustment" | "refund", "approve") => json!({ "revision": revision(now) }),
            ("adjustment" | "refund", "reject") => {
                json!({ "revision": revision(now), "reason": "walk" })
            }
            ("withdrawal", "reject") => json!({ "revision": now["revision"], "reason": "walk" }),
            ("withdrawal" | "funding", "cancel") => json!({}),
            _ => reason,
        };
        (verb, events, body)
    }

    /// The events allowed in `status`, as the table says.
    fn allowed(&self, kind: &str, status: &Value) -> Vec<Value> {
        let mut events = vec![];
        for row in self.machines[kind]["transitions"].as_array().unwrap() {
            if row["from"] == *status && !events.contains(&row["event"]) {
                events.push(row["event"].clone());
            }
        }
        events
    }

    /// Every step of an object's history is a row of the table.
    fn check_history(&self, kind: &str, now: &Value) {
        let machine = &self.machines[kind];
        let rows = machine["transitions"].as_array().unwrap();
        let mut at = Value::Null;
        for step in now["status_history"].as_array().into_iter().flatten() {
            assert_eq!(step["from"], at, "{kind}: {now:#}");
            at = step["to"].clone();
            let is_a_row = ["from", "event", "to"];
            let known = if step["from"].is_null() {
                machine["initial"].as_array().unwrap().contains(&at)
            } else {
                rows.iter().any(|row| is_a_row.iter().all(|it| row[it] == step[it]))
            };
            assert!(known, "{kind}: {step:#}");
        }
        assert_eq!(now["status"], at, "{kind}: {now:#}");
    }

    async fn show(&self, path: &str) -> Value {
        self.coffer.key().get(path).await.expect(200).body
    }

    /// The gateway tells of a payout what it likes.
    async fn contradict(&mut self, now: &Value) {
        self.count += 1;
        let word = *self.dice.of(&["paid", "failed", "in_transit"]);
        let reference = now["reference"].as_str().unwrap_or("po_walk").to_owned();
        let mut object = payout(&reference, word, now["id"].as_str());
        object["amount"] = now["payout"].as_str().unwrap().replace('.', "").parse::<u64>().unwrap().into();
        let gateway = &self.coffer.credentials().sandbox_gateway;
        tell(&self.coffer, gateway, &event(&format!("evt_walk_{}", self.count), &object)).await.expect(200);
    }

    /// Tries one verb on the object; whether it was refused for the state the object is in.
    async fn try_a_verb(&mut self, kind: &str, path: &str) -> bool {
        let mut before = self.show(path).await;
        if kind == "withdrawal" && self.dice.below(3) == 0 {
            self.contradict(&before).await;
            before = self.show(path).await;
            self.check_history(kind, &before);
        }
        let (verb, events, body) = self.verb(kind, &before);
        let hand = self.hands[1 - usize::from(self.dice.below(8) == 0)].clone();
        let answer = hand.post(&format!("{path}/{verb}"), body.clone()).await;
        let after = self.show(path).await;
        let story = format!("{verb} {body} on a {kind} that was {}: {:#}", before["status"], answer.body);
        assert!(answer.status < 500, "{story}");
        self.check_history(kind, &after);
        if answer.status >= 400 {
            assert_eq!(after, before, "refused, and yet: {story}");
        }
        let allowed = self.allowed(kind, &before["status"]);
        let is_legal = events.iter().any(|it| allowed.contains(&json!(it)));
        if answer.code() == "invalid_state_transition" {
            assert_eq!(answer.status, 409, "{story}");
            assert_eq!(answer.body["current_status"], before["status"], "{story}");
            assert_eq!(answer.body["allowed_events"], json!(allowed), "{story}");
            return true;
        }
        if !is_legal {
            // A repeat of what led here changes nothing; and these are said first, whatever the state.
            let first = ["self_approval", "not_manual", "attempt_open"];
            let harmless = answer.status == 200 || first.contains(&answer.code());
            assert!(harmless && after == before, "not in the table: {story}");
        }
        false
    }
}

#[tokio::test]
async fn no_verb_in_any_order_does_what_the_table_does_not_say() {
    const KINDS: &[&str] = &[
        "user",
        "fee",
        "plan",
        "adjustment",
        "transfer",
        "payment",
        "refund",
        "dispute",
        "funding",
        "withdrawal",
        "investment",
    ];
    let seeds = std::env::var("COFFER_WALKS").ok().and_then(|it| it.parse().ok()).unwrap_or(2);
    let mut refused = BTreeMap::new();
    for seed in 1..=seeds {
        println!("seed {seed}");
        let mut walk = Walk::begin(seed).await;
        for kind in KINDS {
            for _ in 0..3 {
                let path = walk.make(kind).await;
                if path == "/fees" {
                    continue;
                }
                for _ in 0..8 {
                    *refused.entry(*kind).or_insert(0) += u32::from(walk.try_a_verb(kind, &path).await);
                }
            }
        }
        walk.coffer.advance(Duration::from_secs(3 * 24 * 3600)).await; // What waits expires, by the table too.
    }
    // A fee has one event, and repeating it is no refusal.
    let never = KINDS.iter().filter(|it| refused.get(*it).is_none_or(|it| *it == 0) && **it != "fee");
    let never: Vec<_> = never.collect();
    assert!(never.is_empty(), "nothing illegal was tried on {never:?}: {refused:?}");
}
