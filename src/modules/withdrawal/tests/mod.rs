//! The use cases of withdrawals, on a store in memory and a double of all they call.

mod approval;
mod create;
mod doubles;
mod lives;
mod payout;
mod rows;

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    contract::{BeneficiaryId, WithdrawalId},
    method::Method,
    routes::WithdrawalProcessIn,
    service::{Withdrawals, deadlines},
};
use crate::kernel::{
    api::{
        call::{Call, Caller, FromPath, IfMatch, Reach},
        endpoint::Claim,
        input::{Field as _, Input, read_body},
        principal::{Actor, Grants, KeyId, UserId},
    },
    clock::{Clock, Time},
    error::Result,
    events::outbox::{Bell, Bus, EVENTS},
    secret::{Secrets, sha256},
    store::{ReadTx, Scan, Store, StoreOptions, WriteTx},
};
use crate::modules::payment::contract::PayoutOutcome;
use doubles::{State, World, id};

/// Withdrawals of a client whose user has 2,000.00 USD.
struct Desk {
    store: Store,
    clock: Clock,
    world: Arc<World>,
    service: Arc<Withdrawals>,
}

const IBAN: &str = "DE89370400440532013000";

fn bank() -> Value {
    json!({ "type": "bank", "bank": "Erste", "holder": "Ann Lee", "iban": IBAN })
}

/// A key that may do everything.
fn key(last: u8) -> Caller {
    let mut caller = Caller::system(Some(id(1)));
    caller.principal.actor = Actor::Key(id::<KeyId>(last));
    caller
}

/// A member of staff.
fn staff(last: u8) -> Caller {
    let mut caller = key(0);
    caller.principal.actor = Actor::User(id::<UserId>(last));
    caller
}

/// The user itself.
fn owner() -> Caller {
    let mut caller = staff(2);
    caller.reach = Reach::Own(id(2));
    caller.principal.grants = Grants::Public;
    caller
}

impl Desk {
    fn open() -> Desk {
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").unwrap());
        let options = StoreOptions { clock: clock.clone(), seed: Some(1), ..StoreOptions::default() };
        let store = Store::in_memory(options);
        store.extend(Bus::new(vec![], Arc::new(Bell::default())));
        let world = Arc::new(World::new());
        let service = Arc::new(Withdrawals {
            currencies: world.clone(),
            clients: world.clone(),
            limits: world.clone(),
            pricing: world.clone(),
            users: world.clone(),
            balances: world.clone(),
            transactions: world.clone(),
            payments: world.clone(),
            secrets: Arc::new(Secrets::new(&[1; 32])),
            public_url: None,
        });
        Desk { store, clock, world, service }
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.world.state());
    }

    /// Sends a command; what it answers as JSON, or the code of its refusal.
    fn send<P: FromPath + Send + 'static, I: Input + Send + 'static, O: Serialize + 'static>(
        &self,
        who: Caller,
        path: &str,
        body: Value,
        command: fn(&Withdrawals, &mut WriteTx, &Call<P, I>) -> Result<O>,
    ) -> Result<Value, String> {
        let service = self.service.clone();
        let call = request(who, path, body).map_err(code)?;
        let sent = self.store.write_blocking(move |tx| {
            command(&service, tx, &call).map(|it| serde_json::to_value(it).unwrap())
        });
        let held = self.store.read(|tx| super::held_money(tx, &*self.world)).unwrap();
        assert_eq!(held, Vec::<String>::new());
        sent.map_err(code)
    }

    fn create(&self, who: Caller, body: Value) -> Result<Value, String> {
        self.send(who, "", body, Withdrawals::create)
    }

    /// A withdrawal asked for by the first key.
    fn withdrawal(&self, amount: &str) -> String {
        let body =
            json!({ "amount": amount, "currency": "USD", "user_id": id::<UserId>(2), "method": bank() });
        self.create(key(1), body).unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn approve(&self, who: Caller, withdrawal: &str, revision: u32) -> Result<Value, String> {
        self.send(who, withdrawal, json!({ "revision": revision }), Withdrawals::approve)
    }

    fn reject(&self, who: Caller, withdrawal: &str) -> Result<Value, String> {
        self.send(who, withdrawal, json!({ "revision": 1, "reason": "no" }), Withdrawals::reject)
    }

    fn cancel(&self, who: Caller, withdrawal: &str) -> Result<Value, String> {
        self.send(who, withdrawal, json!({}), Withdrawals::cancel)
    }

    fn fail(&self, who: Caller, withdrawal: &str) -> Result<Value, String> {
        self.send(who, withdrawal, json!({ "reason": "bounced" }), Withdrawals::fail)
    }

    fn take_in(&self, who: Caller, withdrawal: &str) -> Result<Value, String> {
        self.send(who, withdrawal, json!({ "reason": "account closed" }), Withdrawals::take_in)
    }

    fn complete(&self, who: Caller, withdrawal: &str, reference: &str) -> Result<Value, String> {
        self.send(who, withdrawal, json!({ "reference": reference }), Withdrawals::complete)
    }

    fn reconcile(&self, who: Caller, withdrawal: &str, outcome: &str) -> Result<Value, String> {
        let body = json!({ "outcome": outcome, "reason": "asked the bank" });
        self.send(who, withdrawal, body, Withdrawals::reconcile)
    }

    /// The three steps of processing, as the server takes them.
    fn process(&self, who: Caller, withdrawal: &str) -> Result<Value, String> {
        match self.claim(who.clone(), withdrawal, json!({}))? {
            Claim::Done(out) => Ok(out),
            Claim::Call(outcome) => self.settle(who, withdrawal, outcome),
        }
    }

    /// Claims, and asks the gateway; what it said waits to be noted.
    fn claim(
        &self,
        who: Caller,
        withdrawal: &str,
        body: Value,
    ) -> Result<Claim<PayoutOutcome, Value>, String> {
        let service = self.service.clone();
        let call: Call<WithdrawalId, WithdrawalProcessIn> = request(who, withdrawal, body).map_err(code)?;
        let claimed = self.store.write_blocking(move |tx| service.claim(tx, &call)).map_err(code)?;
        Ok(match claimed {
            Claim::Done(out) => Claim::Done(serde_json::to_value(out).unwrap()),
            Claim::Call(payout) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                Claim::Call(runtime.block_on(self.service.call(payout)))
            }
        })
    }

    fn settle(&self, who: Caller, withdrawal: &str, outcome: PayoutOutcome) -> Result<Value, String> {
        let service = self.service.clone();
        let call: Call<WithdrawalId, WithdrawalProcessIn> =
            request(who, withdrawal, json!({})).map_err(code)?;
        let settled = self.store.write_blocking(move |tx| service.settle(tx, &call, outcome));
        settled.map(|it| serde_json::to_value(it).unwrap()).map_err(code)
    }

    fn show(&self, withdrawal: &str) -> Value {
        let call = Call { caller: key(0), path: withdrawal.parse().unwrap(), input: () };
        let show = |tx: &ReadTx| self.service.show(tx, &call);
        serde_json::to_value(self.store.read(show).unwrap()).unwrap()
    }

    fn status(&self, withdrawal: &str) -> String {
        self.show(withdrawal)["status"].as_str().unwrap().to_owned()
    }

    /// Lets time pass without its timers.
    fn wait(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn meet_deadlines(&self) {
        let job = deadlines(&self.service);
        self.store.write_blocking(move |tx| (job.run)(tx)).unwrap();
    }

    /// The names of all events, in order.
    fn events(&self) -> Vec<String> {
        let names = |tx: &ReadTx| tx.scan(&EVENTS, Scan::all()).map(|it| it.map(|it| it.1.name)).collect();
        self.store.read(names).unwrap()
    }
}

fn request<P: FromPath, I: Input>(mut who: Caller, path: &str, body: Value) -> Result<Call<P, I>> {
    who.fingerprint.copy_from_slice(&sha256(body.to_string().as_bytes())[..16]);
    let path = P::from_path(&[path.to_owned()]).expect("an id of its type");
    Ok(Call { caller: who, path, input: read_body(body)? })
}

fn code(error: crate::kernel::error::Error) -> String {
    error.code().map_or_else(|| error.to_string(), str::to_owned)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_beneficiary_is_paid_when_it_has_cooled_and_not_a_moment_before() {
    let desk = Desk::open();
    let add = |who: Caller, body: Value| desk.send(who, "", body, Withdrawals::add_beneficiary);
    let added = add(owner(), json!({ "label": "Mine", "method": bank() })).unwrap();
    assert_eq!(added["ready_at"], "2026-01-02T00:00:00.000000Z");
    let beneficiary = added["id"].clone();
    let ask = || json!({ "amount": "20.00", "currency": "USD", "beneficiary_id": beneficiary });
    desk.wait(DAY - Duration::from_micros(1));
    assert_eq!(desk.create(owner(), ask()).unwrap_err(), "beneficiary_not_ready");
    desk.wait(Duration::from_micros(1));
    let created = desk.create(owner(), ask()).unwrap();
    assert_eq!((&created["beneficiary_id"], &created["method"]), (&beneficiary, &bank()));

    let same = json!({ "label": "Again", "method": bank() });
    assert_eq!(add(owner(), same).unwrap_err(), "beneficiary_exists");
    let id: BeneficiaryId = beneficiary.as_str().unwrap().parse().unwrap();
    let delete = |who: Caller, version: u64| {
        let who = Caller { if_match: Some(IfMatch::OneOf(vec![version])), ..who };
        desk.send(who, &id.to_string(), json!({}), Withdrawals::delete_beneficiary)
    };
    let mut stranger = owner();
    stranger.reach = Reach::Own(doubles::id(9));
    assert_eq!(delete(stranger, 1).unwrap_err(), "not_found");
    assert_eq!(delete(owner(), 2).unwrap_err(), "stale_version");
    delete(owner(), 1).unwrap();
    assert_eq!(desk.create(owner(), ask()).unwrap_err(), "not_found");
    assert_eq!(
        desk.events(),
        ["beneficiary.created", "withdrawal.requested", "withdrawal.approved", "beneficiary.deleted"]
    );
    assert_eq!(Method::parse(created["method"].clone()).unwrap(), Method::parse(bank()).unwrap());
}
