//! Whatever the terms, the days and the down-times: what is credited is the schedule, each period once.

use std::{sync::Arc, time::Duration};

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

use super::{
    contract::{InvestmentId, InvestmentStatus},
    model::Investment,
    repository::{INVESTMENTS, accruals, first_due, load},
    routes::InvestmentIn,
    service::Investments,
};
use crate::{
    app::App,
    config::Config,
    kernel::{
        api::{
            call::{Call, Caller},
            input::{Named as _, read_body},
            principal::{ClientId, UserId},
            text::ReasonIn,
        },
        clock::{Clock, Time},
        error::Result,
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::{Account, BalanceContract, HouseAccount, Line, NewEntry, UserAccount},
        currency::contract::CurrencyContract,
        pricing::contract::{Cadence, DayCount, ReturnBasis},
    },
    testing::{Local, seed_dev},
};

/// A server without its timer: it runs when a test says so.
struct Desk {
    runtime: tokio::runtime::Runtime,
    app: App,
    client: ClientId,
    user: UserId,
    service: Arc<Investments>,
}

impl Desk {
    /// With a user who has a lot.
    fn open() -> Desk {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").unwrap());
        let app = App::in_memory(Config::default(), clock, Some(1)).unwrap();
        let client = runtime.block_on(seed_dev(app.kernel())).unwrap().client_id;
        let kernel = app.kernel();
        kernel.worker.stop();
        let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
        let ann =
            runtime.block_on(Local::new(kernel).send("POST", "/api/v1/users", Some(&client), ann)).unwrap();
        let service = Arc::new(Investments {
            clients: kernel.service("client").unwrap(),
            users: kernel.service("user").unwrap(),
            pricing: kernel.service("pricing").unwrap(),
            balance: kernel.service("user_balance").unwrap(),
            transactions: kernel.service("transactions").unwrap(),
            payments: kernel.service("payment").unwrap(),
        });
        let (client, user) = (client.parse().unwrap(), ann["id"].as_str().unwrap().parse().unwrap());
        let desk = Desk { runtime, client, user, service, app };
        let currencies = desk.app.kernel().service::<dyn CurrencyContract>("currency").unwrap();
        desk.write(move |tx, service, caller| {
            let usd = currencies.default_of(tx, client)?;
            let available = Account::user(user, UserAccount::Available, usd);
            let house = Account::house(HouseAccount::Adjustment, usd);
            let delta = 10i128.pow(20);
            let lines = [Line { account: house, delta: -delta }, Line { account: available, delta }];
            let entry = NewEntry { cause: "test".into(), description: "test", lines: &lines, reverses: None };
            service.balance.post(tx, caller.client()?, entry)
        });
        desk
    }

    fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut WriteTx, &Investments, &Caller) -> Result<T> + Send + 'static,
    ) -> T {
        let (service, caller) = (self.service.clone(), Caller::system(Some(self.client)));
        self.app.kernel().store.write_blocking(move |tx| f(tx, &service, &caller)).unwrap()
    }

    fn read<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T>) -> T {
        self.app.kernel().store.read(f).unwrap()
    }

    fn wait(&self, by: Duration) {
        self.app.kernel().store.clock().advance(by);
    }

    /// One look of the timer.
    fn look(&self) {
        self.write(|tx, service, _| service.do_due(tx));
    }

    /// All that is due.
    fn catch_up(&self) {
        while self.read(first_due).is_some_and(|it| it <= self.app.kernel().store.clock().now()) {
            self.look();
        }
    }

    fn send(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        let (local, client) = (Local::new(self.app.kernel()), self.client.to_string());
        self.runtime.block_on(local.send("POST", &format!("/api/v1{path}"), Some(&client), body)).unwrap()
    }

    fn invest(&self, plan: &str, amount: &str) -> InvestmentId {
        let body = json!({ "plan_id": plan, "amount": amount, "user_id": self.user });
        let input: InvestmentIn = read_body(body).unwrap();
        let made = self.write(move |tx, service, caller| {
            service.create(tx, &Call { caller: caller.clone(), path: (), input })
        });
        made.id
    }

    fn standstill(&self, id: InvestmentId, by: Duration) {
        let call = move |caller: &Caller| -> Result<Call<InvestmentId, ReasonIn>> {
            let input: ReasonIn = read_body(json!({ "reason": "an inspection" }))?;
            Ok(Call { caller: caller.clone(), path: id, input })
        };
        self.write(move |tx, service, caller| service.suspend(tx, &call(caller)?).map(drop));
        self.wait(by);
        self.look();
        self.write(move |tx, service, caller| service.resume(tx, &call(caller)?).map(drop));
    }

    fn show(&self, id: InvestmentId) -> Investment {
        self.read(|tx| load(tx, self.client, id))
    }

    fn plan(&self, change: serde_json::Value) -> String {
        let mut body = json!({
            "name": "Plan", "type": "test", "currency": "USD", "min_amount": "0.01", "return_percent": "10",
            "return_basis": "annual", "day_count": "ACT/365", "cadence": "monthly", "compounding": false,
            "term_days": 90,
        });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let plan = self.send("/plans", body)["id"].as_str().unwrap().to_owned();
        self.send(&format!("/plans/{plan}/publish"), json!({}));
        plan
    }
}

/// What happens while an investment runs.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// The machine is off, then looks.
    Look { off_hours: u64 },
    /// It looks twice at once.
    LookTwice { off_hours: u64 },
    /// It is off, and a command comes first.
    Suspend { off_hours: u64, stood_hours: u64 },
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0u64..1500).prop_map(|off_hours| Happens::Look { off_hours }),
        (0u64..1500).prop_map(|off_hours| Happens::LookTwice { off_hours }),
        (0u64..1500, 0u64..3000)
            .prop_map(|(off_hours, stood_hours)| Happens::Suspend { off_hours, stood_hours }),
    ]
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn what_is_credited_is_the_schedule_to_the_last_unit_and_each_period_once() {
    let desk = Desk::open();
    let terms = (0usize..2, 0usize..3, 0usize..4, any::<bool>(), 1u32..120, 0u32..=100_000_000);
    let life = (1i64..1_000_000_000, 0u64..20_000, prop::collection::vec(happens(), 0..5));
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&(terms, life), |(terms, (minor, later_hours, life))| {
        let (basis, count, cadence, compounding, term_days, micro) = terms;
        desk.wait(HOUR * later_hours as u32);
        let plan = desk.plan(json!({
            "return_percent": rust_decimal::Decimal::new(i64::from(micro), 6).to_string(),
            "return_basis": ReturnBasis::ALL[basis], "day_count": DayCount::ALL[count],
            "cadence": Cadence::ALL[cadence], "compounding": compounding, "term_days": term_days,
        }));
        let had = desk.available();
        let id = desk.invest(&plan, &rust_decimal::Decimal::new(minor, 2).to_string());
        let begun = desk.show(id);
        let planned = begun.terms.schedule(begun.principal, begun.starts_at).unwrap();
        for happens in life {
            let (Happens::Look { off_hours }
            | Happens::LookTwice { off_hours }
            | Happens::Suspend { off_hours, .. }) = happens;
            desk.wait(HOUR * off_hours as u32);
            let ends = desk.show(id).matures_at() <= desk.app.kernel().store.clock().now();
            match happens {
                Happens::Look { .. } => desk.look(),
                Happens::LookTwice { .. } => (desk.look(), desk.look()).0,
                Happens::Suspend { stood_hours, .. } if !ends => {
                    desk.standstill(id, HOUR * stood_hours as u32)
                }
                Happens::Suspend { .. } => {}
            }
            prop_assert_eq!(desk.read(|tx| desk.service.verify(tx)), Vec::<String>::new());
        }
        desk.wait(HOUR * 24 * 130);
        desk.catch_up();
        desk.catch_up();

        let (row, credited) = (desk.show(id), desk.read(|tx| accruals(tx, desk.client, id)));
        prop_assert_eq!(row.status(), InvestmentStatus::Closed);
        let as_planned: Vec<_> = planned.iter().map(|it| (it.number, it.amount, it.invested)).collect();
        let as_credited: Vec<_> = credited.iter().map(|it| (it.number, it.amount, it.invested)).collect();
        prop_assert_eq!(as_credited, as_planned);
        let profit: i128 = planned.iter().map(|it| it.amount.minor()).sum();
        prop_assert_eq!((row.profit.minor(), desk.available() - had), (profit, profit));
        prop_assert_eq!(desk.read(|tx| desk.service.verify(tx)), Vec::<String>::new());
        Ok(())
    });
    ran.unwrap();
}

impl Desk {
    fn available(&self) -> i128 {
        let balance = self.app.kernel().service::<dyn BalanceContract>("user_balance").unwrap();
        let currencies = self.app.kernel().service::<dyn CurrencyContract>("currency").unwrap();
        self.read(|tx| {
            let usd = currencies.default_of(tx, self.client)?;
            Ok(balance.balances(tx, self.client, self.user, usd)?.available.minor())
        })
    }
}

#[test]
fn one_that_cannot_be_done_does_not_keep_the_others_waiting() {
    let desk = Desk::open();
    let plan = desk.plan(json!({ "cadence": "daily", "term_days": 3 }));
    let (broken, sound) = (desk.invest(&plan, "100.00"), desk.invest(&plan, "100.00"));
    desk.write(move |tx, _, caller| {
        let key = (caller.client()?, broken);
        let mut row = load(tx, key.0, key.1)?;
        row.starts_at = Time::MAX; // No calendar goes that far.
        tx.put(&INVESTMENTS, &key, &row)
    });
    desk.wait(HOUR * 25);
    desk.look();
    assert_eq!(desk.show(sound).accrued, 1);
    let tried_again = desk.app.kernel().store.clock().now().after(HOUR);
    assert_eq!((desk.show(broken).accrued, desk.show(broken).due_at), (0, Some(tried_again)));
}

#[test]
fn a_look_is_bounded_and_the_next_one_goes_on() {
    let desk = Desk::open();
    let plan = desk.plan(json!({ "cadence": "daily", "term_days": 365 }));
    let id = desk.invest(&plan, "1000.00");
    desk.wait(HOUR * 24 * 400);
    desk.look();
    assert_eq!((desk.show(id).accrued, desk.show(id).status()), (200, InvestmentStatus::Active));
    desk.look();
    assert_eq!((desk.show(id).accrued, desk.show(id).status()), (365, InvestmentStatus::Closed));
}
