//! Whatever somebody else has to agree to: who may not, how many have to, and what makes their votes void.

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::support::{agree, decide};
use crate::{
    payment::{charge, initiate, mark_paid, set},
    pricing::plan,
    withdrawal::{cash_out, credit, person},
};

/// Something that waits for people.
struct Waiting {
    /// Of which rules.
    operation: &'static str,
    /// Where one agrees.
    approve: String,
    /// Where it is shown, and where in that what people think of it is.
    show: String,
    place: &'static str,
    /// What the answer to the last vote says.
    done: (&'static str, &'static str),
    /// Whether it is about the user's money.
    is_owned: bool,
}

/// One of everything that takes others, asked for by `maker` and about the money of `user`.
async fn everything(coffer: &Instance, maker: &Http, user: &str) -> Vec<Waiting> {
    let key = coffer.key();
    credit(coffer, user, "5000.00").await;
    let manual = &coffer.credentials().manual_gateway;

    let withdrawal = maker.post("/withdrawals", cash_out(user, "2000.00"));
    let withdrawal = maker_is_staff(withdrawal.await, maker, user).await;

    let marked = charge(coffer, user, "50.00").await;
    initiate(coffer, &marked, manual).await.expect(200);
    let seen = json!({ "reference": "r-1", "amount": "50.00", "currency": "USD", "reason": "seen" });
    maker.post(&format!("/payments/{marked}/mark-paid"), seen).await.expect(200);

    let paid = charge(coffer, user, "40.00").await;
    initiate(coffer, &paid, &coffer.credentials().sandbox_gateway).await.expect(200);
    let refund = json!({ "payment_id": paid, "amount": "20.00", "reason": "sent back" });
    let refund = maker.post("/refunds", refund).await.expect(201);

    let adjustment = json!({
        "user_id": user, "currency": "USD", "amount": "5.00", "direction": "credit", "reason": "goodwill",
    });
    let adjustment = maker.post("/adjustments", adjustment).await.expect(201);

    let plan = plan(coffer, json!({})).await;
    let position = json!({ "plan_id": plan, "amount": "1000.00", "user_id": user });
    let position = key.post("/investments", position).await.expect(201);
    let because = json!({ "reason": "insolvent", "recovered_amount": "250.00" });
    maker.post(&format!("/investments/{}/default", position.id()), because).await.expect(200);

    let stray = charge(coffer, user, "7.00").await;
    initiate(coffer, &stray, manual).await.expect(200);
    key.post(&format!("/payments/{stray}/cancel"), json!({})).await.expect(200);
    mark_paid(coffer, &stray, "late-1", "7.00").await.expect(200);
    let item = key.get("/suspense").await.expect(200).body["data"][0]["id"].as_str().unwrap().to_owned();
    let whose = json!({ "user_id": user, "reason": "hers" });
    maker.post(&format!("/suspense/{item}/assign"), whose).await.expect(200);

    let of = |operation, object: String, verb: &str, place, done| Waiting {
        operation,
        approve: format!("{object}/{verb}"),
        show: object,
        place,
        done,
        is_owned: true,
    };
    let mut all = vec![
        of("withdrawal", format!("/withdrawals/{withdrawal}"), "approve", "", ("status", "approved")),
        of(
            "payment",
            format!("/payments/{marked}"),
            "mark-paid/approve",
            "/said/approval",
            ("status", "settled"),
        ),
        of("refund", format!("/refunds/{}", refund.id()), "approve", "/approval", ("status", "succeeded")),
        of(
            "adjustment",
            format!("/adjustments/{}", adjustment.id()),
            "approve",
            "/approval",
            ("status", "posted"),
        ),
        of(
            "investment_default",
            format!("/investments/{}", position.id()),
            "default/approve",
            "/default_request/approval",
            ("status", "defaulted"),
        ),
        of("suspense", format!("/suspense/{item}"), "approve", "/data/0/approval", ("status", "assigned")),
    ];
    all[5].show = "/suspense".to_owned();
    all
}

/// The withdrawal that was asked for: staff names a beneficiary, keys a method.
async fn maker_is_staff(answer: Answer, maker: &Http, user: &str) -> String {
    if answer.status == 201 {
        return answer.id().to_owned();
    }
    let body = json!({ "label": "Hers", "user_id": user, "method": crate::withdrawal::bank() });
    let beneficiary = maker.post("/beneficiaries", body).await.expect(201);
    let ask = json!({
        "amount": "2000.00", "currency": "USD", "user_id": user, "beneficiary_id": beneficiary.id(),
    });
    maker.post("/withdrawals", ask).await.expect(201).id().to_owned()
}

async fn key_of(coffer: &Instance, maker: &Http) -> Http {
    let body = json!({ "name": "all", "kind": "secret", "scopes": ["*:read", "*:write", "*:approve"] });
    let made = maker.post("/api-keys", body).await.expect(201);
    coffer.with(made.body["secret_key"].as_str().unwrap())
}

async fn put(by: &Http, operation: &str, rules: Value) -> Answer {
    let path = format!("/approval-policies/{operation}");
    let version = by.get(&path).await.expect(200).body["version"].as_u64().unwrap();
    by.put(&path, version, rules).await
}

impl Waiting {
    /// What people think of it.
    async fn approval(&self, by: &Http) -> Value {
        by.get(&self.show).await.expect(200).body.pointer(self.place).unwrap().clone()
    }

    /// A vote for what is there now.
    async fn vote(&self, by: &Http, viewer: &Http) -> Answer {
        let revision = self.approval(viewer).await["revision"].clone();
        by.post(&self.approve, json!({ "revision": revision })).await
    }
}

const ABOVE: &str = "10.00";

fn second_person() -> Value {
    json!({ "payment": { "second_person_above": ABOVE, "refund_second_person_above": ABOVE } })
}

#[tokio::test]
async fn who_asked_for_it_or_owns_it_agrees_by_no_route() {
    let coffer = Instance::start().await;
    set(&coffer, second_person()).await;
    let (ann, owner) = person(&coffer, "ann", &["admin"]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (_, other) = person(&coffer, "tom", &["admin"]).await;
    let made = key_of(&coffer, &maker).await;
    let made_by_made = key_of(&coffer, &made).await;
    let owners = key_of(&coffer, &owner).await;
    for it in everything(&coffer, &maker, &ann).await {
        for same in [&maker, &made, &made_by_made] {
            it.vote(same, &other).await.refused(403, "self_approval");
        }
        for same in [&owner, &owners].into_iter().filter(|_| it.is_owned) {
            it.vote(same, &other).await.refused(403, "self_approval");
        }
        let agreed = it.vote(&other, &other).await.expect(200);
        assert_eq!(agreed.body[it.done.0], it.done.1, "{}", it.operation);
    }
}

#[tokio::test]
async fn as_many_people_agree_as_the_rules_say_each_once() {
    let coffer = Instance::start().await;
    let key = coffer.key();
    for operation in ["withdrawal", "adjustment", "investment_default", "suspense"] {
        put(&key, operation, json!({ "automatic": "never", "approvals": 2 })).await.expect(200);
    }
    for operation in ["payment", "refund"] {
        let rules = json!({ "automatic": "up_to", "automatic_up_to": ABOVE, "approvals": 2 });
        put(&key, operation, rules).await.expect(200);
    }
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (_, first) = person(&coffer, "tom", &["admin"]).await;
    let (_, second) = person(&coffer, "uma", &["admin"]).await;
    let firsts = key_of(&coffer, &first).await;
    for it in everything(&coffer, &maker, &ann).await {
        let before = it.approval(&first).await;
        assert_eq!(
            (&before["approvals_needed"], &before["votes"]),
            (&json!(2), &json!([])),
            "{}",
            it.operation
        );
        let half = it.vote(&first, &first).await.expect(200);
        assert_ne!(half.body[it.done.0], it.done.1, "{}", it.operation);
        for same in [&first, &firsts] {
            it.vote(same, &first).await.refused(409, "already_voted");
        }
        maker.post(&it.approve, json!({ "revision": 1 })).await.refused(403, "self_approval");
        let revision = before["revision"].as_u64().unwrap() + 1;
        second.post(&it.approve, json!({ "revision": revision })).await.refused(409, "revision_stale");
        let counted = it.approval(&first).await["votes"].clone();
        assert_eq!(counted.as_array().unwrap().len(), 1, "{}", it.operation);
        let agreed = it.vote(&second, &first).await.expect(200);
        assert_eq!(agreed.body[it.done.0], it.done.1, "{}", it.operation);
    }
}

#[tokio::test]
async fn votes_are_void_when_the_rules_change_and_an_empty_committee_blocks() {
    let coffer = Instance::start().await;
    set(&coffer, second_person()).await;
    let key = coffer.key();
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (tom, first) = person(&coffer, "tom", &["admin"]).await;
    let (uma, second) = person(&coffer, "uma", &["admin"]).await;
    let rules = |operation: &str, approvals: u32, members: Value| {
        let automatic = if ["payment", "refund"].contains(&operation) { "up_to" } else { "never" };
        let mut rules = json!({
            "automatic": automatic, "approvals": approvals, "committee": { "members": members },
        });
        if automatic == "up_to" {
            rules["automatic_up_to"] = json!(ABOVE);
        }
        rules
    };
    for it in everything(&coffer, &maker, &ann).await {
        put(&key, it.operation, rules(it.operation, 2, json!([tom, uma]))).await.expect(200);
        it.vote(&first, &first).await.expect(200);
        put(&key, it.operation, rules(it.operation, 2, json!([]))).await.expect(200);
        let blocked = it.approval(&first).await;
        assert_eq!((&blocked["blocked"], &blocked["votes"][0]["counts"]), (&json!(true), &json!(false)));
        it.vote(&second, &first).await.refused(403, "not_on_committee");

        // Looser rules take somebody else; the vote under the first ones does not come back.
        put(&key, it.operation, rules(it.operation, 2, json!([tom, uma]))).await.expect(200);
        agree(&first, &format!("/approval-policies/{}/approve", it.operation)).await.expect(200);
        assert_ne!(it.vote(&second, &first).await.expect(200).body[it.done.0], it.done.1, "{}", it.operation);
        let agreed = it.vote(&first, &first).await.expect(200);
        assert_eq!(agreed.body[it.done.0], it.done.1, "{}", it.operation);
    }
}

/// Whoever agreed without looking agreed to whatever stood there by then.
#[tokio::test]
async fn whoever_decides_says_what_they_looked_at() {
    let coffer = Instance::start().await;
    set(&coffer, second_person()).await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (_, other) = person(&coffer, "tom", &["admin"]).await;
    put(&maker, "adjustment", json!({ "automatic": "never", "approvals": 2 })).await.expect(200);
    put(&maker, "adjustment", json!({ "automatic": "never", "approvals": 1 })).await.expect(200);
    let mut paths: Vec<(String, u64)> = vec![];
    for it in everything(&coffer, &maker, &ann).await {
        let revision = it.approval(&other).await["revision"].as_u64().unwrap();
        paths.push((it.approve.clone(), revision));
        if it.operation != "investment_default" {
            paths.push((it.approve.replace("approve", "reject"), revision));
        }
    }

    // What is proposed is no other: settings, rules for approving, limits.
    for path in ["/approval-policies/adjustment", "/clients/current"] {
        if path == "/clients/current" {
            let version = maker.get(path).await.expect(200).body["version"].as_u64().unwrap();
            let looser = json!({ "settings": { "funding": { "maximum": null } } });
            maker.patch(path, version, looser).await.expect(200);
        }
        let shown = maker.get(path).await.expect(200).body["proposed"]["revision"].as_u64().unwrap();
        let path = path.replace("/clients/current", "/clients/current/settings");
        paths.extend(["approve", "reject"].map(|verb| (format!("{path}/{verb}"), shown)));
    }
    let which = json!({ "operation": "withdrawal", "currency": "USD" });
    for max in [json!("5.00"), Value::Null] {
        let mut rule = which.clone();
        rule["max"] = max;
        maker.put("/limits", 1, rule).await.expect(200);
    }
    paths.extend(["/limits/approve", "/limits/reject"].map(|it| (it.to_owned(), 1)));

    for (path, revision) in &paths {
        let mut body = if path.starts_with("/limits") { which.clone() } else { json!({}) };
        if path.ends_with("/reject")
            && !path.contains("limits")
            && !path.contains("policies")
            && !path.contains("settings")
        {
            body["reason"] = json!("no");
        }
        let missing = other.post(path, body.clone()).await.refused(422, "required");
        assert_eq!(missing.body["param"], "revision", "{path}");
        body["revision"] = json!(revision + 1);
        let stale = other.post(path, body).await.refused(409, "revision_stale");
        assert_eq!(stale.body["current_revision"], *revision, "{path}");
    }

    // Proposed anew, it is another one, whatever became of the one before.
    let loosen = async || {
        let mut rule = which.clone();
        rule["max"] = json!("500.00");
        maker.put("/limits", 1, rule).await.expect(200).body["proposed"]["revision"].as_u64().unwrap()
    };
    let mut decision = which.clone();
    decision["revision"] = json!(loosen().await);
    assert_eq!(decision["revision"], 2);
    other.post("/limits/reject", decision.clone()).await.expect(200);
    assert_eq!(other.get("/limits/proposed").await.expect(200).body["data"], json!([]));
    other.post("/limits/approve", decision.clone()).await.refused(409, "nothing_proposed");
    assert_eq!(loosen().await, 3);
    other.post("/limits/approve", decision.clone()).await.refused(409, "revision_stale");
    decision["revision"] = json!(3);
    assert_eq!(other.post("/limits/approve", decision).await.expect(200).body["max"], "500.00");
}

#[tokio::test]
async fn a_default_asked_for_anew_is_voted_on_anew() {
    let coffer = Instance::start().await;
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (_, first) = person(&coffer, "tom", &["admin"]).await;
    let (_, second) = person(&coffer, "uma", &["admin"]).await;
    set(&coffer, second_person()).await;
    let rules = json!({ "automatic": "never", "approvals": 2 });
    put(&coffer.key(), "investment_default", rules).await.expect(200);
    let it = everything(&coffer, &maker, &ann).await.remove(4);
    let revision = it.approval(&first).await["revision"].clone();
    it.vote(&first, &first).await.expect(200);
    let less = json!({ "reason": "all of it", "recovered_amount": "0.00" });
    maker.post(&format!("{}/default", it.show), less).await.expect(200);
    second.post(&it.approve, json!({ "revision": revision })).await.refused(409, "revision_stale");
    // Nor does it under other rules, which move the number on as well.
    let rules = json!({ "automatic": "never", "approvals": 3 });
    put(&coffer.key(), "investment_default", rules).await.expect(200);
    let revision = it.approval(&first).await["revision"].clone();
    let less = json!({ "reason": "nearly all of it", "recovered_amount": "1.00" });
    maker.post(&format!("{}/default", it.show), less).await.expect(200);
    second.post(&it.approve, json!({ "revision": revision })).await.refused(409, "revision_stale");
    assert_eq!(it.vote(&second, &first).await.expect(200).body["status"], "active");
    let (_, third) = person(&coffer, "vic", &["admin"]).await;
    assert_eq!(it.vote(&third, &first).await.expect(200).body["status"], "active");
    assert_eq!(it.vote(&first, &first).await.expect(200).body["status"], "defaulted");
}

#[tokio::test]
async fn a_conflict_above_the_limit_takes_as_many() {
    let coffer = Instance::start().await;
    let rules = json!({ "automatic": "up_to", "automatic_up_to": ABOVE, "approvals": 2 });
    put(&coffer.key(), "payment", rules).await.expect(200);
    let (ann, _) = person(&coffer, "ann", &[]).await;
    let (_, maker) = person(&coffer, "sue", &["admin"]).await;
    let (_, first) = person(&coffer, "tom", &["admin"]).await;
    let (_, second) = person(&coffer, "uma", &["admin"]).await;
    let payment = charge(&coffer, &ann, "50.00").await;
    initiate(&coffer, &payment, &coffer.credentials().manual_gateway).await.expect(200);
    for amount in ["50.00", "60.00"] {
        let seen = json!({ "reference": "r-1", "amount": amount, "currency": "USD", "reason": "seen" });
        maker.post(&format!("/payments/{payment}/mark-paid"), seen).await.expect(200);
    }
    let credit = async |by: &Http| {
        let body = json!({ "decision": "credit", "reason": "on the statement" });
        decide(by, &format!("/payments/{payment}/resolve"), body).await
    };
    credit(&maker).await.refused(403, "self_approval");
    assert_eq!(credit(&first).await.expect(200).body["review"], "conflicted");
    credit(&first).await.refused(409, "already_voted");
    let settled = credit(&second).await.expect(200);
    assert_eq!((&settled.body["status"], &settled.body["received"]), (&json!("settled"), &json!("60.00")));
}
