//! Mail over real SMTP, to a server that the test is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use coffer::testing::Instance;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    crash::Installation,
    withdrawal::{cash_out, person},
};

/// What the server does with a mail.
#[derive(Clone, Copy, PartialEq)]
pub enum Manner {
    Takes,
    /// Says that nobody lives there.
    RefusesRecipient,
    /// Says that it is too busy.
    Busy,
    /// Takes the mail and closes the line before it says so.
    FallsSilent,
}

/// Enough of an SMTP server.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    manner: Arc<Mutex<Manner>>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub to: String,
    signed_in: bool,
    pub data: String,
}

impl Seen {
    fn header(&self, name: &str) -> String {
        let unfolded = self.data.replace("\r\n ", " ");
        let start = format!("{name}: ");
        let line = unfolded.lines().find_map(|it| it.strip_prefix(&start));
        line.unwrap_or_default().to_owned()
    }
}

impl Server {
    pub async fn start(manner: Manner) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, manner) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(Mutex::new(manner)));
        let (kept, how) = (seen.clone(), manner.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (kept, how) = (kept.clone(), how.clone());
                tokio::spawn(async move { talk(socket, &kept, &how).await });
            }
        });
        Server { port, seen, manner }
    }

    pub fn url(&self) -> String {
        format!("smtp+plain://127.0.0.1:{}", self.port)
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn talk(socket: TcpStream, seen: &Mutex<Vec<Seen>>, how: &Mutex<Manner>) -> Option<()> {
    let mut lines = BufReader::new(socket);
    lines.get_mut().write_all(b"220 test\r\n").await.ok()?;
    let (mut to, mut signed_in) = (String::new(), false);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let manner = *how.lock().unwrap();
        let word = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let answer: &str = match word.as_str() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
            "AUTH" => {
                // \0pay\0word
                signed_in = line.trim().ends_with("AHBheQB3b3Jk");
                if signed_in { "235 welcome" } else { "535 who are you" }
            }
            "MAIL" if manner == Manner::Busy => "451 later",
            "RCPT" if manner == Manner::RefusesRecipient => "550 nobody lives there",
            "RCPT" => {
                to = line.trim().trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned();
                "250 ok"
            }
            "DATA" => {
                lines.get_mut().write_all(b"354 go on\r\n").await.ok()?;
                let mut data = vec![];
                while !data.ends_with(b"\r\n.\r\n") {
                    data.push(lines.read_u8().await.ok()?);
                }
                let data = String::from_utf8_lossy(&data).into_owned();
                seen.lock().unwrap().push(Seen { to: to.clone(), signed_in, data });
                if manner == Manner::FallsSilent {
                    return None;
                }
                "250 queued"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        lines.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

async fn with_servers(urls: &[String]) -> Instance {
    let urls = urls.to_vec();
    let change = move |config: &mut coffer::config::Config| {
        config.mail.servers = urls.iter().map(|it| it.parse().unwrap()).collect();
        config.mail.from = "no-reply@pay.example".into();
    };
    Instance::builder().configure(change).start().await
}

/// Somebody with 200 USD, paid in through the manual gateway.
async fn somebody_paid_in(coffer: &Instance) -> String {
    let key = coffer.key();
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let ann = key.post("/users", ann).await.expect(201).id().to_owned();
    deposit(coffer, &ann, "200.00", "BANK-1").await;
    ann
}

async fn deposit(coffer: &Instance, user: &str, amount: &str, reference: &str) {
    let key = coffer.key();
    let body = json!({ "amount": amount, "currency": "USD", "user_id": user });
    let funding = key.post("/fundings", body).await.expect(201);
    let payment = funding.body["payment_id"].as_str().unwrap().to_owned();
    let gateway = json!({ "gateway_id": coffer.credentials().manual_gateway });
    key.post(&format!("/payments/{payment}/initiate"), gateway).await.expect(200);
    let paid = json!({ "reference": reference, "amount": amount, "currency": "USD", "reason": "statement" });
    key.post(&format!("/payments/{payment}/mark-paid"), paid).await.expect(200);
}

async fn outbox(coffer: &Instance, filter: &str) -> Vec<Value> {
    let list = coffer.key().get(&format!("/notification-outbox?limit=100{filter}")).await.expect(200);
    list.body["data"].as_array().unwrap().clone()
}

async fn inbox(coffer: &Instance, user: &str) -> Vec<String> {
    let list = coffer.key().get(&format!("/notifications?limit=100&user_id={user}")).await.expect(200);
    let types = list.body["data"].as_array().unwrap().iter().map(|it| it["event_type"].as_str().unwrap());
    types.rev().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_of_what_matters_arrives_once_as_text_and_html() {
    let server = Server::start(Manner::Takes).await;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "word\n").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let url = format!("smtp+plain://pay@127.0.0.1:{}?password_file={}", server.port, password.display());
    let coffer = with_servers(&[url]).await;

    let ann = somebody_paid_in(&coffer).await;
    let withdrawal = coffer.key().post("/withdrawals", cash_out(&ann, "50.00")).await.expect(201);
    let sandbox = json!({ "gateway_id": coffer.credentials().sandbox_gateway });
    let process = format!("/withdrawals/{}/process", withdrawal.id());
    let done = coffer.key().post(&process, sandbox).await.expect(200);
    assert_eq!(done.body["status"], "completed");
    let forgot = json!({ "email": "ann@example.com" });
    coffer.publishable().post("/auth/password/forgot", forgot).await.expect(202);
    coffer.settle().await;

    let seen = server.seen();
    let subjects: Vec<String> = seen.iter().map(|it| it.header("Subject")).collect();
    for (subject, inside) in [
        ("Welcome to Dev", "Your account at Dev is open. You sign in with ann@example.com."),
        ("200.00 USD has arrived", "200.00 USD is on your account."),
        ("50.00 USD was paid out", withdrawal.id()),
        ("Choose a new password", "rst_"),
    ] {
        assert_eq!(subjects.iter().filter(|it| *it == subject).count(), 1, "{subject}: {subjects:?}");
        let mail = seen.iter().find(|it| it.header("Subject") == subject).unwrap();
        assert_eq!((mail.to.as_str(), mail.signed_in), ("ann@example.com", true));
        assert_eq!(mail.header("From"), "Dev <no-reply@pay.example>");
        assert!(mail.header("Message-ID").starts_with("<dlv_"), "{}", mail.data);
        assert!(mail.header("Message-ID").ends_with("@pay.example>"), "{}", mail.data);
        let unwrapped = mail.data.replace("=\r\n", "");
        let bodies: Vec<&str> = unwrapped.split("Content-Type: text/").collect();
        assert_eq!(bodies.len(), 3, "{}", mail.data);
        assert!(bodies[1].starts_with("plain") && bodies[1].contains(inside), "{}", bodies[1]);
        assert!(bodies[2].starts_with("html") && bodies[2].contains(inside), "{}", bodies[2]);
        assert!(bodies[2].contains("<p>") && !bodies[1].contains("<p>"));
    }
    let mut ids: Vec<String> = seen.iter().map(|it| it.header("Message-ID")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), seen.len(), "every mail has a Message-ID of its own");
    assert_eq!(outbox(&coffer, "&status=sent").await.len(), seen.len());
}

#[tokio::test]
async fn a_provider_that_is_down_holds_up_no_money_and_is_waited_for() {
    let server = Server::start(Manner::Busy).await;
    let coffer = with_servers(&[server.url()]).await;
    let ann = somebody_paid_in(&coffer).await;
    coffer.settle().await;
    let balance = coffer.key().get(&format!("/balances/USD?user_id={ann}")).await.expect(200);
    assert_eq!(balance.body["available"], "200.00");
    // The inbox has everything once; the mails wait.
    let told = ["user.registered", "funding.requested", "funding.completed"];
    assert_eq!(inbox(&coffer, &ann).await, told);
    let waiting = outbox(&coffer, "&status=pending").await;
    assert_eq!((waiting.len(), server.seen().len()), (2, 0));
    assert!(waiting[0]["error"].as_str().unwrap().contains("451"), "{}", waiting[0]);

    server.behave(Manner::Takes);
    for _ in 0..5 {
        coffer.advance(Duration::from_secs(30)).await;
    }
    assert_eq!(server.seen().len(), 2);
    assert_eq!(inbox(&coffer, &ann).await, told, "one channel's failure repeats no other");
    for sent in outbox(&coffer, "&status=sent").await {
        let attempts = sent["attempts"].as_array().unwrap();
        assert_eq!(attempts.first().unwrap()["outcome"], "failed", "{sent}");
        assert_eq!(attempts.last().unwrap()["outcome"], "ok", "{sent}");
    }
}

#[tokio::test]
async fn when_the_first_server_fails_the_second_gets_the_mail() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("smtp+plain://127.0.0.1:{}", gone.local_addr().unwrap().port());
    drop(gone);
    let (busy, second) = (Server::start(Manner::Busy).await, Server::start(Manner::Takes).await);
    let coffer = with_servers(&[nobody, busy.url(), second.url()]).await;
    somebody_paid_in(&coffer).await;
    coffer.settle().await;
    assert_eq!((busy.seen().len(), second.seen().len()), (0, 2));
    for sent in outbox(&coffer, "&status=sent").await {
        assert_eq!(sent["attempts"].as_array().unwrap().len(), 1, "{sent}");
        let response = sent["attempts"][0]["response"].as_str().unwrap();
        assert!(response.contains(&second.port.to_string()), "the attempt says who took it: {response}");
    }
}

#[tokio::test]
async fn an_address_that_nobody_has_is_not_tried_again_nor_elsewhere() {
    let (first, second) = (Server::start(Manner::RefusesRecipient).await, Server::start(Manner::Takes).await);
    let coffer = with_servers(&[first.url(), second.url()]).await;
    let ann = somebody_paid_in(&coffer).await;
    coffer.settle().await;
    let failed = outbox(&coffer, "&status=failed").await;
    assert_eq!((failed.len(), failed[0]["state"].as_str()), (2, Some("rejected")));
    assert_eq!(failed[0]["attempts"].as_array().unwrap().len(), 1);
    assert_eq!((first.seen().len(), second.seen().len()), (0, 0));
    assert_eq!(inbox(&coffer, &ann).await.len(), 3);

    // Somebody has made the mailbox, and asks for one more try.
    first.behave(Manner::Takes);
    let retry = format!("/notification-outbox/{}/retry", failed[0]["id"].as_str().unwrap());
    coffer.key().post(&retry, json!({})).await.expect(200);
    coffer.settle().await;
    assert_eq!(first.seen().len(), 1);
    coffer.key().post(&retry, json!({})).await.refused(409, "job_ended");
}

#[tokio::test]
async fn a_mail_that_may_have_been_taken_comes_again_under_the_same_id() {
    let (first, second) = (Server::start(Manner::FallsSilent).await, Server::start(Manner::Takes).await);
    let coffer = with_servers(&[first.url(), second.url()]).await;
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    coffer.key().post("/users", ann).await.expect(201);
    coffer.settle().await;
    first.behave(Manner::Takes);
    coffer.advance(Duration::from_secs(30)).await;
    let seen = first.seen();
    assert_eq!((seen.len(), second.seen().len()), (2, 0), "no other server gets what one may have taken");
    assert_eq!(seen[0].header("Message-ID"), seen[1].header("Message-ID"));
    let without_date = |it: &Seen| {
        let body = it.data.split("\r\n\r\n").skip(1).collect::<String>();
        body.lines().filter(|it| !it.starts_with("--")).collect::<String>()
    };
    assert_eq!(without_date(&seen[0]), without_date(&seen[1]));
    let sent = outbox(&coffer, "").await;
    assert_eq!((sent.len(), sent[0]["status"].as_str()), (1, Some("sent")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_before_it_notes_a_mail_sends_it_once_more_under_the_same_id() {
    let installation = Installation::new();
    let smtp = Server::start(Manner::Takes).await;
    let settings = [&format!("mail.servers=[\"{}\"]", smtp.url())[..]];
    let server = installation.start_with(&settings, Some("after_send_before_ack")).await;
    let secret = installation.make_client(&server).await;
    // The server may end before it has answered.
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    server.with_key(&secret).idempotent("one").try_post("/users", ann).await;
    server.ended();
    assert_eq!(smtp.seen().len(), 1);

    let server = installation.start_with(&settings, None).await;
    for _ in 0..1000 {
        let log = server.with_key(&secret).get("/notification-outbox").await.expect(200).body;
        let log = log["data"].as_array().unwrap();
        if log.first().is_some_and(|it| it["status"] == "sent") {
            let attempts = log[0]["attempts"].as_array().unwrap();
            let outcomes: Vec<_> = attempts.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
            assert_eq!(
                (outcomes, &log[0]["tries_used"], log.len()),
                (vec!["interrupted", "ok"], &json!(1), 1)
            );
            let ids: Vec<_> = smtp.seen().iter().map(|it| it.header("Message-ID")).collect();
            assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it was not sent");
}

#[tokio::test]
async fn without_a_server_an_instance_in_memory_keeps_its_mails() {
    let coffer = Instance::start().await;
    let (_, ann) = person(&coffer, "ann", &[]).await;
    coffer.settle().await;
    let mails = coffer.mailbox();
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("ann@example.com", "Welcome to Dev"));
    assert_eq!(mail.headers["Auto-Submitted"], "auto-generated");
    assert!(mail.text.contains("Hello ann,") && mail.html.contains("<p>Hello ann,</p>"), "{mail:?}");
    let shown = coffer.operator().get("/testing/mailbox").await.expect(200);
    assert_eq!(shown.body["data"][0]["message_id"], mail.message_id);
    ann.get("/testing/mailbox").await.refused(403, "forbidden");
}

/// A real server: one in memory captures its mails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_mail_server_nothing_is_promised_that_goes_by_mail() {
    let installation = Installation::new();
    let server = installation.start_with(&[], None).await;
    let secret = installation.make_client(&server).await;
    let key = server.with_key(&secret);
    let invitation = json!({ "email": "bob@example.com", "first_name": "Bob", "last_name": "Jones" });
    key.post("/invitations", invitation).await.refused(422, "mail_not_configured");
    let list = key.get("/invitations").await.expect(200);
    assert_eq!(list.body["data"], json!([]), "nothing waits for an answer that cannot come");
    for path in ["/auth/password/forgot", "/auth/email/resend"] {
        // The same to everybody: it does not say whether there is an account.
        for email in ["bob@example.com", "nobody@example.com"] {
            key.post(path, json!({ "email": email })).await.refused(422, "mail_not_configured");
        }
    }
}
