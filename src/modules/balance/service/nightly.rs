//! The books looked over each night, beside the living ledger.
//!
//! Everything that is stored about balances is derived again, client by client, in pages with a snapshot each. What is
//! wrong is announced to its client as `verify.failed`, and the job ends as failed: operators find it among the dead
//! letters, in the metrics and in the log.

use std::sync::Arc;

use crate::kernel::{
    api::{call::Caller, principal::ClientId},
    boot::{Boot, BootError},
    error::{Result, fault},
    events::{
        courier::{Courier, Outcome, Ready, Report, Sending, TargetPlan},
        delivery::Lane,
        retry::RetryPolicy,
        schedule::{CatchUp, Overlap, Schedule},
    },
    store::{Store, WriteTx},
};
use crate::modules::balance::{
    events::VerifyFailed,
    service::{Verify, clients},
};

/// Stored with its slots: never renamed.
pub const NAME: &str = "balance.verify";

/// Longer than this no installation should take; a day later it begins anew.
const MOST: std::time::Duration = std::time::Duration::from_secs(3600);

pub fn schedule(boot: &mut Boot) -> Result<(), BootError> {
    let frequency = boot.config().storage.verify.clone();
    if frequency == "never" {
        return Ok(());
    }
    // After a night that was slept through, once in the morning.
    let schedule = Schedule { name: NAME, frequency, overlap: Overlap::Skip, catch_up: CatchUp::One };
    // What is wrong stays wrong: it is not looked at again before the next night.
    let once = RetryPolicy { tries: 1, backoff_s: vec![0], jitter_percent: 0 };
    let plan = TargetPlan {
        lane: Lane::Low,
        retry: Some(once),
        timeout: Some(MOST),
        at_once: 1,
        ..TargetPlan::default()
    };
    boot.schedule_outside(schedule, plan, Nightly { store: boot.books() });
    Ok(())
}

struct Nightly {
    store: Store,
}

impl Courier for Nightly {
    type Material = ();

    fn prepare(&self, _: &mut WriteTx, _: &Sending) -> Result<Ready<()>> {
        Ok(Ready::Go(()))
    }

    fn send(&self, _: Sending, (): ()) -> impl Future<Output = Report> + Send + 'static {
        let store = self.store.clone();
        async move {
            let outcome = match look_over(store).await {
                Ok(wrong) => match wrong.first() {
                    None => Outcome::Ok,
                    Some(first) => Outcome::Reject(format!("{}: {}", first.client_id, first.problem)),
                },
                Err(error) => Outcome::Retry(error.to_string()),
            };
            outcome.into()
        }
    }
}

/// Verifies the books of every client and announces what is wrong.
async fn look_over(store: Store) -> Result<Vec<VerifyFailed>> {
    let reading = store.clone();
    let verified = tokio::task::spawn_blocking(move || -> Result<Vec<VerifyFailed>> {
        let mut wrong = vec![];
        for client in reading.read(clients)? {
            wrong.extend(of_client(&reading, client)?);
        }
        Ok(wrong)
    });
    let wrong = verified.await.map_err(|error| fault!("the verification ended early: {error}"))??;
    let wrong = Arc::new(wrong);
    for it in wrong.iter() {
        tracing::error!(client = %it.client_id, "The books of {} are wrong: {}", it.client_id, it.problem);
    }
    if !wrong.is_empty() {
        let announced = wrong.clone();
        let announce = move |tx: &mut WriteTx| {
            announced.iter().try_for_each(|it| tx.publish(&Caller::system(Some(it.client_id)), it).map(drop))
        };
        store.write(announce).await?;
    }
    Ok(Arc::unwrap_or_clone(wrong))
}

fn of_client(store: &Store, client: ClientId) -> Result<Option<VerifyFailed>> {
    let mut verify = store.read(|tx| Verify::begin(tx, client))?;
    while store.read(|tx| verify.step(tx))? {}
    let entries = verify.entries();
    Ok(verify.problem.map(|problem| VerifyFailed { client_id: client, problem, entries }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        app::App,
        config::Config,
        kernel::{
            clock::{Clock, Time},
            store::{Key as _, Row as _},
        },
        modules::balance::repository::{JOURNALS, Journal},
        testing::{Local, seed_dev},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn books_that_are_wrong_are_told_of_once_a_night() {
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").unwrap());
        let app = App::in_memory(Config::default(), clock, Some(1)).unwrap();
        let client = seed_dev(app.kernel()).await.unwrap().client_id;
        let kernel = app.kernel().clone();
        let local = Local::new(&kernel);
        let advance = |hours: u64| {
            let kernel = kernel.clone();
            let by = std::time::Duration::from_secs(hours * 3600);
            async move { tokio::task::spawn_blocking(move || kernel.worker.advance(by)).await.unwrap().unwrap() }
        };
        let get = async |path: &str| local.send("GET", path, Some(&client), Value::Null).await.unwrap();
        let told = async || get("/api/v1/events?type=verify.failed&limit=100").await["data"].clone();
        let dead = async || local.send("GET", "/api/v1/dead-letters", None, Value::Null).await.unwrap();

        let user = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "A" });
        let user = local.send("POST", "/api/v1/users", Some(&client), user).await.unwrap();
        let credit = json!({
            "amount": "1.00", "currency": "USD", "from": "house:adjustment", "to": user["id"], "reason": "x",
        });
        local.send("POST", "/api/v1/transfers", Some(&client), credit).await.unwrap();
        advance(24).await;
        assert_eq!(told().await, json!([]), "nothing is wrong");

        let id: ClientId = client.parse().unwrap();
        let tamper = move |tx: &mut WriteTx| {
            let journal = Journal { hash: [0; 32], ..Journal::of(tx, id)? };
            tx.raw_put(JOURNALS.name, id.to_key(), journal.encode_row());
            Ok(())
        };
        kernel.store.write_blocking(tamper).unwrap();
        for nights in 1..=2 {
            advance(24).await;
            let told = told().await;
            let told = told.as_array().unwrap();
            assert_eq!(told.len(), nights, "{told:?}");
            assert_eq!(told[0]["entity"], client.as_str());
            let problem = told[0]["payload"]["problem"].as_str().unwrap();
            assert!(problem.contains("the end of the journal"), "{problem}");
        }
        assert!(dead().await.to_string().contains(NAME), "operators see it: {}", dead().await);
        app.kernel().worker.stop();
    }
}
