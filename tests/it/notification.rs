//! What people are told, in which words, and how they want to be told.

use std::time::Duration;

use coffer::testing::{Answer, Http, Instance};
use serde_json::{Value, json};

use crate::withdrawal::person;

fn data(answer: &Answer) -> Vec<Value> {
    answer.body["data"].as_array().unwrap().clone()
}

async fn unread(who: &Http) -> u64 {
    who.get("/notifications/unread-count").await.expect(200).body["unread"].as_u64().unwrap()
}

/// Gives somebody money as staff does: a deposit that is complete at once.
async fn profit(coffer: &Instance, user: &str, amount: &str) {
    let body = json!({
        "amount": amount, "currency": "USD", "user_id": user, "type": "profit", "reason": "for the test",
    });
    coffer.key().post("/fundings", body).await.expect(201);
    coffer.settle().await;
}

async fn outbox(coffer: &Instance, filter: &str) -> Vec<Value> {
    data(&coffer.key().get(&format!("/notification-outbox?limit=100{filter}")).await.expect(200))
}

async fn prefer(who: &Http, version: u64, body: Value) -> Answer {
    who.put("/notification-preferences", version, body).await
}

#[tokio::test]
async fn an_inbox_counts_what_is_unread() {
    let coffer = crate::builder(module_path!()).start().await;
    let (ann_id, ann) = person(&coffer, "ann", &[]).await;
    let (_, bob) = person(&coffer, "bob", &[]).await;
    profit(&coffer, &ann_id, "5.00").await;
    assert_eq!((unread(&ann).await, unread(&bob).await), (2, 1));

    let list = data(&ann.get("/notifications").await.expect(200));
    let types: Vec<&str> = list.iter().map(|it| it["event_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["funding.completed", "user.registered"]);
    let first = &list[0];
    assert_eq!((&first["title"], &first["status"]), (&json!("5.00 USD has arrived"), &json!("unread")));
    assert_eq!((&first["data"]["credit_amount"], &first["topic"]), (&json!("5.00"), &json!("fundings")));

    let path = format!("/notifications/{}", first["id"].as_str().unwrap());
    for (verb, status, left) in
        [("read", "read", 1), ("read", "read", 1), ("unread", "unread", 2), ("archive", "archived", 1)]
    {
        let marked = ann.post(&format!("{path}/{verb}"), json!({})).await.expect(200);
        assert_eq!((marked.body["status"].as_str(), unread(&ann).await), (Some(status), left), "{verb}");
    }
    assert_eq!(data(&ann.get("/notifications").await.expect(200)).len(), 1, "what is archived is away");
    assert_eq!(data(&ann.get("/notifications?status=archived").await.expect(200)).len(), 1);

    profit(&coffer, &ann_id, "6.00").await;
    let all = ann.post("/notifications/mark-all-read", json!({})).await.expect(200);
    assert_eq!((&all.body["marked"], unread(&ann).await), (&json!(2), 0));
    let read = data(&ann.get("/notifications?status=read").await.expect(200));
    assert_eq!((read.len(), unread(&bob).await), (2, 1));
    assert!(read[0]["read_at"].is_string());
    // What is marked unread afterwards is, whatever was said of all before; what comes later is too.
    let path = format!("/notifications/{}", read[0]["id"].as_str().unwrap());
    ann.post(&format!("{path}/unread"), json!({})).await.expect(200);
    profit(&coffer, &ann_id, "7.00").await;
    assert_eq!(unread(&ann).await, 2);

    // Nobody else's.
    bob.get(&path).await.refused(404, "not_found");
    bob.post(&format!("{path}/read"), json!({})).await.refused(404, "not_found");
    let named =
        coffer.key().get(&format!("/notifications?user_id={ann_id}&topic=fundings")).await.expect(200);
    assert_eq!(data(&named).len(), 2);
    coffer.key().get("/notifications").await.refused(422, "required");

    // Three months later nothing is left, and the counter knows.
    coffer.advance(Duration::from_secs(91 * 24 * 3600)).await;
    let bob_id = person(&coffer, "sue", &["moderator"]).await;
    let path = format!("/notifications/unread-count?user_id={ann_id}");
    assert_eq!(coffer.key().get(&path).await.expect(200).body["unread"], 0);
    drop(bob_id);
}

#[tokio::test]
async fn people_are_told_as_they_prefer() {
    let coffer = crate::builder(module_path!()).start().await;
    let (ann_id, ann) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let usual = ann.get("/notification-preferences").await.expect(200);
    let table = usual.body["choices"].as_array().unwrap();
    let field = |topic: &str, channel: &str| {
        let found = table.iter().find(|it| it["topic"] == topic && it["channel"] == channel);
        found.map(|it| (it["enabled"].as_bool().unwrap(), it["is_required"].as_bool().unwrap())).unwrap()
    };
    assert_eq!(field("fundings", "mail"), (true, false));
    assert_eq!(field("security", "mail"), (true, true));
    assert_eq!(field("security", "sms"), (false, false));

    let choice = |topic: &str, channel: &str, enabled: bool| json!({ "topic": topic, "channel": channel, "enabled": enabled });
    let off = |channel: &str| json!({ "choices": [choice("security", channel, false)] });
    prefer(&ann, 0, off("mail")).await.refused(422, "notice_required");
    prefer(&ann, 0, off("database")).await.refused(422, "notice_required");
    let twice = [choice("fundings", "mail", true), choice("fundings", "mail", false)];
    prefer(&ann, 0, json!({ "choices": twice })).await.refused(422, "not_allowed");
    let nowhere = json!({ "from": "22:00", "to": "07:00", "time_zone": "Mars/Olympus" });
    prefer(&ann, 0, json!({ "choices": [], "quiet_hours": nowhere })).await.refused(422, "invalid_format");
    prefer(&ann, 3, json!({ "choices": [] })).await.refused(412, "stale_version");

    // No mail about deposits: it is not sent, and one can see why.
    let no_mail = json!({ "choices": [choice("fundings", "mail", false)] });
    let said = prefer(&ann, 0, no_mail).await.expect(200);
    assert_eq!(said.body["version"], 1);
    profit(&coffer, &ann_id, "5.00").await;
    assert_eq!(coffer.mailbox().len(), 1, "only the welcome");
    let held_back = outbox(&coffer, "&status=suppressed").await;
    assert_eq!((held_back.len(), held_back[0]["state"].as_str()), (1, Some("preference")));
    assert_eq!(unread(&ann).await, 2, "the inbox has it all the same");

    // Nothing in the inbox either.
    let nothing =
        json!({ "choices": [choice("fundings", "mail", false), choice("fundings", "database", false)] });
    prefer(&ann, 1, nothing).await.expect(200);
    profit(&coffer, &ann_id, "6.00").await;
    assert_eq!((unread(&ann).await, coffer.mailbox().len()), (2, 1));
    // A notice about security comes whatever is preferred.
    coffer.key().post(&format!("/users/{ann_id}/freeze"), json!({ "reason": "a check" })).await.expect(200);
    coffer.settle().await;
    let path = format!("/notifications/unread-count?user_id={ann_id}");
    assert_eq!(coffer.key().get(&path).await.expect(200).body["unread"], 3);
    assert_eq!(coffer.mailbox().last().unwrap().subject, "Your account is frozen");
}

#[tokio::test]
async fn quiet_hours_postpone_mail_and_never_security() {
    let coffer = crate::builder(module_path!()).clock_at("2026-01-01T21:30:00Z").start().await;
    let (ann_id, ann) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let night = json!({ "from": "22:00", "to": "07:00", "time_zone": "Europe/London" });
    prefer(&ann, 0, json!({ "choices": [], "quiet_hours": night })).await.expect(200);
    coffer.advance(Duration::from_secs(3600)).await;
    profit(&coffer, &ann_id, "5.00").await;
    coffer.key().post(&format!("/users/{ann_id}/freeze"), json!({ "reason": "a check" })).await.expect(200);
    coffer.settle().await;
    let subjects = || coffer.mailbox().into_iter().map(|it| it.subject).collect::<Vec<_>>();
    assert_eq!(subjects(), ["Welcome to Dev", "Your account is frozen"]);
    let waiting = outbox(&coffer, "&status=pending").await;
    assert_eq!(waiting[0]["due_at"], "2026-01-02T07:00:00.000000Z");
    coffer.advance(Duration::from_secs(8 * 3600 + 30 * 60)).await;
    assert_eq!(subjects().last().unwrap(), "5.00 USD has arrived");
}

#[tokio::test]
async fn a_client_has_words_of_its_own() {
    let coffer = crate::builder(module_path!()).start().await;
    let (ann_id, ann) = person(&coffer, "ann", &[]).await;
    let key = coffer.key();
    let templates = "/notification-templates";

    // What is wrong is found when it is stored, not when it is sent.
    let of = |title: &str| json!({ "event_type": "funding.completed", "title": title });
    for (title, part) in [("{{ event.amonut }}", "title"), ("{{ user.", "title"), ("{% for %}", "title")] {
        let refused = key.post(templates, of(title)).await.refused(422, "template_invalid");
        assert_eq!(refused.body["part"], part, "{title}");
    }
    let nobody = json!({ "event_type": "transaction.created" });
    key.post(templates, nobody).await.refused(422, "event_not_notified");

    let german = json!({
        "event_type": "funding.completed", "locale": "de", "title": "{{ event.credit_amount }} {{ event.currency }} da",
        "html": "<p>Hallo <b>{{ user.first_name }}</b></p>",
    });
    let german = key.post(templates, german).await.expect(201);
    assert_eq!((&german.body["version"], &german.body["locale"]), (&json!(1), &json!("de")));
    let again = json!({ "event_type": "funding.completed", "locale": "DE" });
    key.post(templates, again).await.refused(409, "template_taken");
    let path = format!("{templates}/{}", german.id());
    key.patch(&path, 1, json!({ "html": "{{ nobody.name }}" })).await.refused(422, "template_invalid");
    key.patch(&path, 1, json!({ "message": "Geld für {{ user.first_name }}" })).await.expect(200);
    key.patch(&path, 1, json!({ "message": "x" })).await.refused(412, "stale_version");
    let versions = data(&key.get(&format!("{path}/versions")).await.expect(200));
    assert_eq!((versions.len(), &versions[0]["version"]), (2, &json!(2)));

    // Austrian German falls back to German; English to what comes with the product.
    profit(&coffer, &ann_id, "5.00").await;
    assert_eq!(coffer.mailbox().last().unwrap().subject, "5.00 USD has arrived");
    prefer(&ann, 0, json!({ "choices": [], "locale": "de-AT" })).await.expect(200);
    profit(&coffer, &ann_id, "6.00").await;
    let mail = coffer.mailbox().pop().unwrap();
    assert_eq!(mail.subject, "6.00 USD da");
    assert!(mail.html.contains("Hallo <b>ann</b>") && mail.html.contains("<html"), "{}", mail.html);
    let told = data(&ann.get("/notifications").await.expect(200));
    assert_eq!(told[0]["message"], "Geld für ann");

    // Looked at before it is used; mailed to somebody to see.
    let preview =
        json!({ "title": "{{ event.amount }} for {{ user.first_name }}", "event": { "amount": "12.00" } });
    let preview = key.post(&format!("{path}/preview"), preview).await.expect(200);
    assert_eq!(preview.body["title"], "12.00 for Ann");
    let wrong = json!({ "title": "{{ event.x }}" });
    key.post(&format!("{path}/preview"), wrong).await.refused(422, "template_invalid");
    key.post(&format!("{path}/send-test"), json!({ "to": "me@example.com" })).await.expect(202);
    coffer.settle().await;
    let mail = coffer.mailbox().pop().unwrap();
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("me@example.com", "[Test] 100.00 USD da"));

    // Switched off, it is as if it were not there.
    key.patch(&path, 2, json!({ "is_active": false })).await.expect(200);
    profit(&coffer, &ann_id, "7.00").await;
    assert_eq!(coffer.mailbox().last().unwrap().subject, "7.00 USD has arrived");

    // What comes with the product is shown, and stays.
    let built_in =
        key.get(&format!("{templates}?built_in=true&event_type=user.registered")).await.expect(200);
    let built_in = &data(&built_in)[0];
    let path = format!("{templates}/{}", built_in["id"].as_str().unwrap());
    assert_eq!(key.get(&path).await.expect(200).body["title"], built_in["title"]);
    key.patch(&path, 1, json!({ "title": "x" })).await.refused(409, "template_fixed");
    key.post(&format!("{path}/preview"), json!({})).await.expect(200);
    ann.get(templates).await.refused(403, "forbidden");
}

#[tokio::test]
async fn admins_are_told_of_keys() {
    let coffer = crate::builder(module_path!()).start().await;
    let (_, sue) = person(&coffer, "sue", &["admin"]).await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    coffer.key().post("/api-keys", json!({ "name": "k", "scopes": ["users:read"] })).await.expect(201);
    coffer.settle().await;
    let types = |list: Answer| {
        data(&list).iter().map(|it| it["event_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types(sue.get("/notifications?topic=security").await), ["api_key.created"]);
    assert_eq!(types(ann.get("/notifications?topic=security").await), Vec::<String>::new());
    let mail = coffer.mailbox().pop().unwrap();
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("sue@example.com", "A new API key"));
}

#[tokio::test]
async fn what_waits_can_be_called_off() {
    let coffer = crate::builder(module_path!()).clock_at("2026-01-01T21:30:00Z").start().await;
    let (ann_id, ann) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let always = json!({ "from": "00:00", "to": "23:59", "time_zone": "UTC" });
    prefer(&ann, 0, json!({ "choices": [], "quiet_hours": always })).await.expect(200);
    profit(&coffer, &ann_id, "5.00").await;
    let waiting = outbox(&coffer, "&status=pending").await;
    let path = format!("/notification-outbox/{}", waiting[0]["id"].as_str().unwrap());
    ann.post(&format!("{path}/cancel"), json!({})).await.refused(403, "forbidden");
    let called_off = coffer.key().post(&format!("{path}/cancel"), json!({})).await.expect(200);
    assert_eq!(called_off.body["status"], "canceled");
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(coffer.mailbox().len(), 1);
    // Somebody changes their mind.
    coffer.key().post(&format!("{path}/retry"), json!({})).await.expect(200);
    coffer.settle().await;
    assert_eq!(coffer.mailbox().len(), 2);
    let nothing = "/notification-outbox/dlv_00000000000000000000000001/retry";
    coffer.key().post(nothing, json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_listener_can_be_told_to_run_in_the_command_or_later() {
    for (mode, at_once) in [("sync", true), ("scheduled", false)] {
        if at_once && crate::is_alone(module_path!()) {
            continue; // Refused: no transaction spans two files.
        }
        let coffer = crate::builder(module_path!())
            .configure(|config| {
                let rule = config.event_rules.entry("user_registered".into()).or_default();
                rule.rule.mode = mode.parse().ok();
            })
            .start()
            .await;
        let (_, ann) = person(&coffer, "ann", &[]).await;
        assert_eq!(unread(&ann).await, u64::from(at_once), "{mode}");
        coffer.advance(Duration::from_secs(300)).await;
        assert_eq!(unread(&ann).await, 1, "{mode}");
    }
}

#[tokio::test]
async fn an_inbox_is_heard_as_it_fills() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let coffer = crate::builder(module_path!()).start().await;
    let (ann_id, _) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let sign_in = json!({ "email": "ann@example.com", "password": crate::auth::PASSWORD });
    let tokens = coffer.publishable().post("/auth/login", sign_in).await.expect(200);
    let token = tokens.body["access_token"].as_str().unwrap();
    let host = coffer.base_url().trim_start_matches("http://").to_owned();
    let mut line = tokio::net::TcpStream::connect(&host).await.unwrap();
    let request = format!(
        "GET /api/v1/notifications/stream HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    line.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    let mut hear = async |wanted: &str| {
        let listening = async {
            while !heard.contains(wanted) {
                let mut piece = [0; 4096];
                let read = line.read(&mut piece).await.unwrap();
                assert!(read > 0, "{wanted}: {heard}");
                heard.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
        };
        tokio::time::timeout(Duration::from_secs(10), listening).await.expect(wanted);
        heard.clone()
    };
    hear("event: unread\ndata: {\"unread\":1}").await;
    profit(&coffer, &ann_id, "5.00").await;
    let all = hear("{\"unread\":2}").await;
    assert!(all.contains("text/event-stream"), "{all}");
    assert!(all.contains("event: notification\ndata: {") && all.contains("5.00 USD has arrived"), "{all}");
    assert!(!all.contains("Welcome"), "what was there before is not repeated: {all}");
}
