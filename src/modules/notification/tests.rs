//! What no client can see from outside: where a secret does and does not stand.

use std::sync::Arc;

use serde_json::json;

use super::{
    contract::{Captured, CapturedMail},
    events::{PasswordReset, Recipient, secret_mail},
};
use crate::{
    app::App,
    config::Config,
    kernel::{
        api::principal::UserId,
        boot::Kernel,
        clock::{Clock, Time},
        error::Result,
        events::{
            delivery::{DeliveryId, EXTRAS},
            outbox::EVENTS,
        },
        store::Scan,
    },
    testing::{Local, seed_dev},
};

const TOKEN: &str = "https://pay.example/reset?token=rst_secret";

/// The tables in which the token stands.
fn holding(kernel: &Arc<Kernel>) -> Vec<String> {
    let found = kernel.store.read(|tx| {
        let mut found = vec![];
        for table in tx.table_names()? {
            for entry in tx.raw_scan(&table, &Scan::all())? {
                let (_, bytes) = entry?;
                if bytes.windows(TOKEN.len()).any(|it| it == TOKEN.as_bytes()) {
                    found.push(table.clone());
                }
            }
        }
        Ok(found)
    });
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_stands_in_its_delivery_until_it_was_sent_and_nowhere_after() {
    let now = Time::parse("2026-01-01T00:00:00Z").unwrap();
    let app = App::in_memory(Config::default(), Clock::manual(now), Some(1)).unwrap();
    let kernel = app.kernel().clone();
    let client = seed_dev(&kernel).await.unwrap().client_id;
    let user = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    let user = Local::new(&kernel).send("POST", "/api/v1/users", Some(&client), user).await.unwrap();
    let user: UserId = user["id"].as_str().unwrap().parse().unwrap();
    let settle = || async {
        let worker = kernel.worker.clone();
        tokio::task::spawn_blocking(move || worker.settle()).await.unwrap().unwrap();
    };
    settle().await;

    let delivery: DeliveryId = kernel
        .store
        .write(move |tx| {
            let rows: Result<Vec<_>> = tx.scan(&EVENTS, Scan::all()).collect();
            let (_, envelope) = rows?.into_iter().find(|it| it.1.entity == user.to_string()).unwrap();
            let words =
                PasswordReset { url: Some(TOKEN.into()), code: "rst_secret".into(), expires_at: tx.now() };
            let new = secret_mail(&envelope, Recipient::User(user), &words)?
                .not_before(tx.now().after(std::time::Duration::from_secs(60)));
            Ok(tx.enqueue(new)?.id)
        })
        .await
        .unwrap();
    assert_eq!(holding(&kernel), ["events.extras"]);

    kernel.store.clock().advance(std::time::Duration::from_secs(60));
    settle().await;
    let mails = kernel.service::<Captured<CapturedMail>>("mailbox").unwrap().all();
    let mail = mails.last().unwrap();
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("ann@example.com", "Choose a new password"));
    assert!(mail.text.contains(TOKEN) && mail.message_id.contains(&delivery.to_string()));
    assert!(mail.html.contains("rst_secret"), "{}", mail.html);
    assert_eq!(holding(&kernel), Vec::<String>::new());
    assert_eq!(kernel.store.read(|tx| tx.get(&EXTRAS, &delivery)).unwrap(), None);
    assert_eq!(kernel.store.read(|tx| kernel.verify(tx)).unwrap(), Vec::<String>::new());
}
