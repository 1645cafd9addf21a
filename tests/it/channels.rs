//! Channels beside each other: what one of them does is nothing to the others, nor to money. Digests, and what the test
//! kit shows of it all.

use std::time::{Duration, Instant};

use coffer::testing::{Failpoint, Http, Instance, Recorder, Reply};
use serde_json::{Value, json};

use crate::mail::{Manner, Server};

async fn list(who: &Http, path: &str) -> Vec<Value> {
    who.get(path).await.expect(200).body["data"].as_array().unwrap().clone()
}

/// Gives somebody money as staff does.
async fn profit(coffer: &Instance, user: &str, amount: &str) {
    let body = json!({
        "amount": amount, "currency": "USD", "user_id": user, "type": "profit", "reason": "for the test",
    });
    coffer.key().post("/fundings", body).await.expect(201);
}

/// Somebody who is signed in, with these preferences. Who it is, and its id.
async fn ann(coffer: &Instance, preferences: Value) -> (Http, String) {
    let ann = json!({
        "email": "ann@example.com", "password": crate::auth::PASSWORD, "first_name": "Ann", "last_name": "Lee",
        "phone": "+43 660 1234567",
    });
    let tokens = coffer.publishable().post("/auth/register", ann).await.expect(201);
    let ann = coffer.with(tokens.body["access_token"].as_str().unwrap());
    // The welcome goes out as she has it before she prefers anything.
    coffer.settle().await;
    ann.put("/notification-preferences", 0, preferences).await.expect(200);
    coffer.settle().await;
    (ann, tokens.body["user"]["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_channel_fails_for_itself() {
    let (mail, phone) = (Server::start(Manner::Takes).await, Recorder::start());
    let (servers, url) = (vec![mail.url().parse().unwrap()], phone.url("/sms"));
    let change = |config: &mut coffer::config::Config| {
        config.mail.servers = servers;
        config.sms.url = Some(url);
    };
    let coffer = crate::builder(module_path!()).configure(change).start().await;
    let hook = json!({ "url": coffer.webhooks().url("/hook"), "event_types": ["funding.completed"] });
    coffer.key().post("/webhook-endpoints", hook).await.expect(201);
    let sms = json!([{ "topic": "fundings", "channel": "sms", "enabled": true }]);
    let (_, id) = ann(&coffer, json!({ "choices": sms })).await;
    let counts = || {
        let mails = mail.seen().iter().filter(|it| it.data.contains("USD has arrived")).count();
        [mails, phone.received().len(), coffer.webhooks().received().len()]
    };
    let inbox = async || {
        let path = format!("/notifications?topic=fundings&user_id={id}");
        list(&coffer.key(), &path).await.len()
    };

    // which one fails, and what arrives: mail, short message, webhook; at once, and when it is well again
    for (place, which) in ["mail", "sms", "webhook"].into_iter().enumerate() {
        let before = counts();
        mail.behave(if which == "mail" { Manner::Busy } else { Manner::Takes });
        phone.reply("/sms", Reply::status(if which == "sms" { 503 } else { 200 }));
        coffer.webhooks().reply("/hook", Reply::status(if which == "webhook" { 500 } else { 200 }));
        profit(&coffer, &id, "5.00").await;
        coffer.settle().await;
        let balance = coffer.key().get(&format!("/balances/USD?user_id={id}")).await.expect(200);
        assert_eq!(balance.body["available"], format!("{}.00", 5 * (place + 1)), "{which}");
        let mut wanted = before.map(|it| it + 1);
        wanted[0] -= usize::from(which == "mail"); // Refused before anything was handed over.
        assert_eq!((counts(), inbox().await), (wanted, place + 1), "{which} fails");

        mail.behave(Manner::Takes);
        phone.reply("/sms", Reply::status(200));
        coffer.webhooks().reply("/hook", Reply::status(200));
        coffer.advance(Duration::from_secs(60)).await;
        wanted[place] += 1;
        assert_eq!((counts(), inbox().await), (wanted, place + 1), "{which} is well again");
        coffer.advance(Duration::from_secs(3600)).await;
        assert_eq!(counts(), wanted, "nothing comes again");
    }
    let log = list(&coffer.key(), "/notification-outbox?limit=100&status=pending").await;
    assert_eq!(log, Vec::<Value>::new());
}

#[tokio::test]
async fn a_mail_server_that_says_nothing_holds_up_no_money() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp+plain://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let change = |config: &mut coffer::config::Config| {
        config.mail.servers = vec![url.parse().unwrap()];
        config.mail.timeout_s = 2;
        config.server.shutdown_grace_s = 1;
    };
    let coffer = crate::builder(module_path!()).configure(change).start().await;
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let ann = coffer.key().post("/users", ann).await.expect(201).id().to_owned();
    let (_held, _) = tokio::time::timeout(Duration::from_secs(20), silent.accept()).await.unwrap().unwrap();
    let began = Instant::now();
    for _ in 0..20 {
        profit(&coffer, &ann, "1.00").await;
    }
    let took = began.elapsed();
    let balance = coffer.key().get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
    assert_eq!(balance.body["available"], "20.00");
    assert!(took < Duration::from_secs(20), "twenty deposits took {took:?}: as long as mails take");
    assert_eq!(list(&coffer.key(), "/notification-outbox?status=sent").await, Vec::<Value>::new());
}

#[tokio::test]
async fn several_mails_become_one_at_the_hour() {
    let coffer = crate::builder(module_path!()).clock_at("2026-01-01T12:10:00Z").start().await;
    let (who, id) = ann(&coffer, json!({ "choices": [], "mail_digest": "hourly" })).await;
    let shown = who.get("/notification-preferences").await.expect(200);
    assert_eq!(shown.body["mail_digest"], "hourly");
    let subjects = || coffer.mailbox().into_iter().map(|it| it.subject).collect::<Vec<_>>();
    for amount in ["5.00", "6.00", "7.00"] {
        profit(&coffer, &id, amount).await;
        coffer.advance(Duration::from_secs(60)).await;
    }
    // A notice about security does not wait, and is no part of it.
    coffer.key().post(&format!("/users/{id}/freeze"), json!({ "reason": "a check" })).await.expect(200);
    coffer.settle().await;
    assert_eq!(subjects(), ["Welcome to Dev", "Your account is frozen"]);
    let told = list(&coffer.key(), &format!("/notifications?topic=fundings&user_id={id}")).await;
    assert_eq!(told.len(), 3, "the inbox has it at once");
    let outbox = async |filter: &str| list(&coffer.key(), &format!("/notification-outbox?{filter}")).await;
    let waiting = outbox("status=pending").await;
    assert_eq!((waiting.len(), &waiting[0]["due_at"]), (1, &json!("2026-01-01T13:00:00.000000Z")));
    let merged: Vec<_> = outbox("status=suppressed").await.iter().map(|it| it["state"].clone()).collect();
    assert_eq!(merged, ["merged", "merged"]);

    coffer.advance(Duration::from_secs(3600)).await;
    let mail = coffer.mailbox().pop().unwrap();
    assert_eq!(subjects().len(), 3);
    assert_eq!(mail.subject, "3 things happened on your account");
    for amount in ["5.00", "6.00", "7.00"] {
        let line = format!("{amount} USD has arrived. {amount} USD is on your account.");
        assert!(mail.text.contains(&format!("- {line}")), "{}", mail.text);
        assert!(mail.html.contains(&format!("<li>{line}</li>")), "{}", mail.html);
    }

    // What comes afterwards begins the next one; of one thing it is the mail it would have been.
    profit(&coffer, &id, "8.00").await;
    coffer.settle().await;
    coffer.advance(Duration::from_secs(3600)).await;
    assert_eq!(subjects().last().unwrap(), "8.00 USD has arrived");
    coffer.advance(Duration::from_secs(24 * 3600)).await;
    assert_eq!(subjects().len(), 4);
}

#[tokio::test]
async fn a_digest_that_fails_neither_loses_nor_repeats_what_comes_meanwhile() {
    let server = Server::start(Manner::Busy).await;
    let servers = vec![server.url().parse().unwrap()];
    let coffer = crate::builder(module_path!()).clock_at("2026-01-01T12:10:00Z");
    let coffer = coffer.configure(|config| config.mail.servers = servers).start().await;
    let (_, id) = ann(&coffer, json!({ "choices": [], "mail_digest": "hourly" })).await;
    profit(&coffer, &id, "5.00").await;
    profit(&coffer, &id, "6.00").await;
    coffer.advance(Duration::from_secs(50 * 60)).await; // 13:00, and the server is busy.
    profit(&coffer, &id, "7.00").await;
    server.behave(Manner::Takes);
    for _ in 0..14 {
        coffer.advance(Duration::from_secs(600)).await;
    }
    let all: String = server.seen().iter().map(|it| it.data.replace("=\r\n", "")).collect();
    for amount in ["5.00", "6.00", "7.00"] {
        // Once as text, once as HTML; and the mail that stands alone says it in its subject as well.
        let times = all.matches(&format!("{amount} USD is on your account")).count();
        assert_eq!(times, 2, "{amount} in {all}");
    }
}

#[tokio::test]
async fn admins_hear_of_keys_before_they_expire_once_each_time() {
    let coffer = crate::builder(module_path!()).start().await;
    let admin = json!({
        "email": "sue@example.com", "first_name": "Sue", "last_name": "Lee", "roles": ["admin"],
    });
    coffer.operator().inside(&coffer.credentials().client_id).post("/users", admin).await.expect(201);
    let make = async |name: &str, expires_at: &str| {
        let body = json!({ "name": name, "scopes": ["users:read"], "expires_at": expires_at });
        coffer.key().post("/api-keys", body).await.expect(201).id().to_owned()
    };
    make("payouts", "2026-03-01T00:00:00Z").await;
    make("brief", "2026-01-05T00:00:00Z").await;
    let gone = make("gone", "2026-01-20T00:00:00Z").await;
    coffer.settle().await;
    coffer.key().post(&format!("/api-keys/{gone}/revoke"), json!({})).await.expect(200);
    coffer.settle().await;
    let before = coffer.mailbox().len();
    coffer.new_events();
    let mut told = vec![];
    for day in 1..=70 {
        coffer.advance(Duration::from_secs(24 * 3600)).await;
        told.extend(coffer.new_events().into_iter().map(|it| (day, it)));
    }
    let days: Vec<_> = told.iter().filter(|it| it.1 == "api_key.expiring").map(|it| it.0).collect();
    assert_eq!(
        days,
        [3, 29, 52, 58],
        "a day before the brief one; thirty days, seven and one before the other"
    );
    let mails: Vec<_> = coffer.mailbox()[before..].iter().map(|it| it.subject.clone()).collect();
    let in_days = |days| format!("An API key expires in {days}");
    assert_eq!(mails, [in_days("1 day"), in_days("30 days"), in_days("7 days"), in_days("1 day")]);

    // Whoever was away for long hears of the nearest only.
    make("asleep", "2026-05-10T00:00:00Z").await;
    coffer.new_events();
    coffer.advance(Duration::from_secs(55 * 24 * 3600)).await;
    let feed = list(&coffer.key(), "/events?type=api_key.expiring&limit=100").await;
    let payload = &feed.last().unwrap()["payload"];
    let of_asleep = feed.iter().filter(|it| it["payload"]["name"] == "asleep").count();
    assert_eq!((of_asleep, &payload["days"]), (1, &json!(7)));
}

#[tokio::test]
async fn what_was_sent_to_endpoints_can_be_looked_at() {
    let coffer = crate::builder(module_path!()).start().await;
    let make = async |path: &str| {
        let body = json!({ "url": coffer.webhooks().url(path), "event_types": ["user.*"] });
        coffer.key().post("/webhook-endpoints", body).await.expect(201).id().to_owned()
    };
    let (good, bad) = (make("/good").await, make("/bad").await);
    coffer.webhooks().reply("/bad", Reply::status(500));
    let nobody = json!({ "url": "http://nowhere.test/", "event_types": ["user.*"] });
    coffer.names().set("nowhere.test", &["127.0.0.1".parse().unwrap()]);
    coffer.key().post("/webhook-endpoints", nobody).await.expect(201);
    coffer.names().set("nowhere.test", &["10.0.0.1".parse().unwrap()]);
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    coffer.key().post("/users", ann).await.expect(201);
    coffer.drain().await;
    coffer.advance(Duration::from_secs(6)).await;

    let sent = coffer.sent_webhooks();
    let of = |endpoint: &str| sent.iter().filter(|it| it.endpoint_id == endpoint).collect::<Vec<_>>();
    assert_eq!(of(&good).iter().map(|it| it.status).collect::<Vec<_>>(), [Some(200)]);
    let attempts: Vec<_> = of(&bad).iter().map(|it| (it.attempt, it.status)).collect();
    assert_eq!(attempts, [(1, Some(500)), (2, Some(500))]);
    assert!(sent.iter().all(|it| it.event_type == "user.registered" && it.webhook_id == sent[0].webhook_id));
    let received = &coffer.webhooks().at("/good")[0];
    assert_eq!(of(&good)[0].body.as_bytes(), received.body);
    assert_eq!(of(&good)[0].headers["webhook-signature"], received.header("webhook-signature"));
    let refused = sent.iter().find(|it| it.url.contains("nowhere")).unwrap();
    assert_eq!(refused.error.as_deref(), Some("nowhere.test has an address that is not public"));

    let shown = list(&coffer.operator(), "/testing/webhooks").await;
    assert_eq!((shown.len(), &shown[0]["body"]), (sent.len(), &json!(sent[0].body)));
    coffer.key().get("/testing/webhooks").await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_step_fails_as_often_as_asked_and_nothing_is_lost() {
    let coffer = crate::builder(module_path!()).start().await;
    let body = json!({ "url": coffer.webhooks().url("/hook"), "event_types": ["user.registered"] });
    coffer.key().post("/webhook-endpoints", body).await.expect(201);
    let fault = |point: &str, times: i64| json!({ "point": point, "times": times });
    let faults = "/testing/faults";
    coffer.operator().post(faults, fault("nowhere", 1)).await.refused(422, "invalid_format");
    coffer.operator().post(faults, fault("after_send_before_ack", -1)).await.refused(422, "invalid_type");
    coffer.key().post(faults, fault("after_send_before_ack", 1)).await.refused(403, "forbidden");
    let set = coffer.operator().post(faults, fault("after_send_before_ack", 2)).await.expect(200);
    assert_eq!((&set.body["point"], &set.body["times"]), (&json!("after_send_before_ack"), &json!(2)));
    coffer.operator().post(faults, fault("after_send_before_ack", 0)).await.expect(200);
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    coffer.key().post("/users", ann).await.expect(201);
    coffer.drain().await;
    coffer.refute_enqueued("webhook");
    assert_eq!(coffer.webhooks().received().len(), 1, "what was called off does not fail");

    coffer.fail_next(Failpoint::BeforeClaimCommit, 1);
    let bob = json!({ "email": "bob@example.com", "first_name": "Bob", "last_name": "Lee" });
    coffer.key().post("/users", bob).await.expect(201);
    // The worker gives it up, and begins again a second later.
    for _ in 0..500 {
        if coffer.webhooks().received().len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(coffer.webhooks().received().len(), 2);
}
