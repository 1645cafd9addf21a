//! Deliveries from a terminal: held, sent, failed and tried again, with a server and without.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use crate::cli::{Place, Server, refused, text, texts};

/// Enough of a mail server: it takes mails, or says that nobody lives there.
struct MailServer {
    setting: String,
    taken: Arc<AtomicU32>,
    refuses: Arc<AtomicBool>,
}

impl MailServer {
    fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let setting = format!("mail.servers=[\"smtp+plain://{}\"]", listener.local_addr().unwrap());
        let (taken, refuses) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let (count, refusing) = (taken.clone(), refuses.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (count, refusing) = (count.clone(), refusing.clone());
                std::thread::spawn(move || converse(stream, &count, &refusing));
            }
        });
        MailServer { setting, taken, refuses }
    }

    fn taken(&self) -> u32 {
        self.taken.load(Ordering::SeqCst)
    }
}

fn converse(stream: std::net::TcpStream, taken: &AtomicU32, refusing: &AtomicBool) -> Option<()> {
    let mut out = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 test\r\n").ok()?;
    while let Some(Ok(line)) = lines.next() {
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "RCPT" if refusing.load(Ordering::SeqCst) => "550 nobody lives there",
            "DATA" => {
                out.write_all(b"354 go on\r\n").ok()?;
                while lines.next()?.ok()? != "." {}
                taken.fetch_add(1, Ordering::SeqCst);
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        out.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
    }
    None
}

/// A client of a server that was claimed: its id and key.
fn client(place: &Place) -> (String, String) {
    place.json("operator create ops@example.com");
    let client = place.json("client create --name Northwind");
    (text(&client, "id").to_owned(), text(&client, "secret_key").to_owned())
}

fn register(server: &Server, key: &str, name: &str) {
    let user = json!({ "email": format!("{name}@example.com"), "first_name": name, "last_name": "T" });
    let (status, body) = server.post("/api/v1/users", key, &user);
    assert_eq!(status, 201, "{body}");
}

fn figures(run: &Value, names: [&str; 4]) -> [u64; 4] {
    names.map(|it| run[it].as_u64().unwrap())
}

const OF_RUN: [&str; 4] = ["processed", "sent", "waiting", "failed"];

#[test]
fn mails_are_sent_by_hand_as_many_as_asked_for_where_the_server_leaves_them_alone() {
    let (place, mail) = (Place::new(), MailServer::start());
    let settings = ["--set", &mail.setting, "--set", "events.enabled=false"];
    let server = place.serve(&settings);
    let (_, key) = client(&place);
    for name in ["ann", "bob", "cid", "dan"] {
        register(&server, &key, name);
    }
    assert_eq!(mail.taken(), 0, "events are not enabled");
    let run = place.json("notifications outbox process --limit 2");
    assert_eq!((figures(&run, OF_RUN), mail.taken()), ([2, 2, 0, 0], 2));
    let listed = place.json("notifications outbox list --client northwind --status pending");
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(server.stop(), Some(0));

    // Without a server the file is opened for it, and no more is sent than was asked for.
    let set = format!("--set {}", mail.setting);
    let run = place.json(&format!("notifications outbox process --limit 1 {set}"));
    assert_eq!((figures(&run, OF_RUN), mail.taken()), ([1, 1, 0, 0], 3));
    assert_eq!(place.json(&format!("queue pause mail {set}"))["status"], "paused");
    let run = place.json(&format!("notifications outbox process {set}"));
    assert_eq!(run["processed"], 0, "its queue is held back");
    place.json(&format!("queue resume mail {set}"));
    let run = place.json(&format!("notifications outbox process {set}"));
    assert_eq!((figures(&run, OF_RUN), mail.taken()), ([1, 1, 0, 0], 4));
    assert_eq!(place.json("verify")["ok"], true);
}

#[test]
fn what_failed_is_shown_with_its_cause_and_runs_again_when_asked_to() {
    let (place, mail) = (Place::new(), MailServer::start());
    mail.refuses.store(true, Ordering::SeqCst);
    let settings = ["--set", &mail.setting, "--set", "events.enabled=false"];
    let server = place.serve(&settings);
    let (_, key) = client(&place);
    register(&server, &key, "ann");
    register(&server, &key, "bob");
    let run = place.json_exiting("notifications outbox process", 1);
    assert_eq!(figures(&run, OF_RUN), [2, 0, 0, 2], "exits 1, because something failed");
    let failed = place.json("events list --status failed --listener mail");
    let rows = failed["data"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{failed}");
    let (first, fingerprint) = (text(&rows[0], "id").to_owned(), text(&rows[0], "fingerprint").to_owned());
    let shown = place.json(&format!("events show {first}"));
    assert!(text(&shown["attempts"][0], "error").contains("nobody lives there"), "{shown}");
    let table = texts(&place.run(&format!("events show {first}"))).0;
    assert!(table.contains("NUMBER") && table.contains("nobody lives there"), "{table}");

    mail.refuses.store(false, Ordering::SeqCst);
    assert_eq!(place.json(&format!("notifications outbox retry {first}"))["status"], "pending");
    let bulk = place.json(&format!("events retry --failed --fingerprint {fingerprint}"));
    assert_eq!((&bulk["status"], &bulk["retried"]), (&json!("finished"), &json!(1)));
    let run = place.json("events scheduled run");
    assert!(run["failed"] == 0 && run["running"] == 0, "{run}");
    assert_eq!(
        (place.json(&format!("events show {first}"))["status"].clone(), mail.taken()),
        (json!("sent"), 2)
    );

    refused(
        &place,
        "sent",
        &format!("notifications outbox retry {first}"),
        (64, "job_ended"),
        "the job is sent",
    );
    refused(&place, "sent", &format!("events cancel {first}"), (64, "job_ended"), "the job is sent");
    refused(&place, "no queue", "queue pause nowhere", (64, "not_found"), "no such thing");
    let unknown = "events show evt_01jd8x8y3re4vbh0m1k5n7p9qs";
    refused(&place, "no event", unknown, (64, "not_found"), "no such thing");
    for wrong in
        ["events retry", "events retry --failed dlv_1", "events retry --listener mail", "queue pause"]
    {
        assert_eq!(place.run(wrong).status.code(), Some(2), "{wrong}");
    }
    assert_eq!(server.stop(), Some(0));
}
