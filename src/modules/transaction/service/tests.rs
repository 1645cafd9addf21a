//! Transfers on the real ledger: who may, what is refused first, what becomes of holds, and that records, holds and
//! journal agree after every step.

use std::{
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{
    kernel::{
        api::{
            call::{Caller, Reach},
            object::{ExternalId, Times},
            principal::{Actor, ClientId, Grants, KeyId, Principal, UserId},
            text::Text,
        },
        clock::{Clock, Time},
        error::Result,
        events::outbox::{Bell, Bus, EVENTS},
        id::Id as _,
        store::{ReadTx, Scan, Store, StoreOptions, WriteTx},
    },
    modules::{
        balance::contract::{
            AccountRef, HouseAccount, Line, NewEntry, UserAccount,
            doubles::{Currencies, Users, amount, client, ledger_with, usd, user},
        },
        category::contract::{CategoryContract, CategoryRefusal, built_in},
        client::contract::{Client, ClientContract, ClientMode, Settings},
        transaction::{
            contract::{EntryType, Transaction, TransactionStatus},
            model::{DEFAULT_HOLD, TransferStatus},
            repository::TRANSACTIONS,
        },
        user::contract::UserStatus,
    },
};

struct Clients {
    between_users: AtomicBool,
}

impl ClientContract for Clients {
    fn get(&self, _: &ReadTx, id: ClientId) -> Result<Client> {
        let mut settings = Settings::for_new_client(ClientMode::Test, usd())?;
        settings.transfer.between_users = self.between_users.load(Ordering::SeqCst);
        Ok(Client {
            id,
            name: "Test".into(),
            slug: "test".into(),
            mode: ClientMode::Test,
            is_active: true,
            settings,
            times: Times::at(Time::ZERO),
        })
    }
    fn same_person(&self, _: &ReadTx, _: ClientId, a: Actor, b: Actor) -> Result<bool> {
        Ok(a == b)
    }
    fn secret(&self, _: &ReadTx, _: ClientId, _: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        unreachable!()
    }
    fn all(&self, _: &ReadTx) -> Result<Vec<ClientId>> {
        Ok(vec![client()])
    }
}

struct BuiltIn;
impl CategoryContract for BuiltIn {
    fn use_category(&self, _: &mut WriteTx, _: ClientId, key: &str) -> Result<()> {
        match built_in::ALL.contains(&key) {
            true => Ok(()),
            false => Err(CategoryRefusal::CategoryUnknown { category: key.into() }.into()),
        }
    }
}

/// The module on a store of its own, with a clock to move.
struct Bank {
    store: Store,
    clock: Clock,
    service: Arc<Transactions>,
    users: Arc<Users>,
    clients: Arc<Clients>,
    seen: Mutex<usize>,
}

impl Bank {
    /// In which the users 1 and 2 have 100.00 USD each.
    fn open() -> Bank {
        let clock = Clock::manual(Time::from_micros(1_000_000));
        let options = StoreOptions { clock: clock.clone(), seed: Some(1), ..StoreOptions::default() };
        let store = Store::in_memory(options);
        store.extend(Bus::new(vec![], Arc::new(Bell::default())));
        let users: Arc<Users> = Arc::default();
        let clients = Arc::new(Clients { between_users: AtomicBool::new(true) });
        let service = Arc::new(Transactions {
            currencies: Arc::new(Currencies),
            categories: Arc::new(BuiltIn),
            clients: clients.clone(),
            users: users.clone(),
            balances: Arc::new(ledger_with(users.clone())),
        });
        let bank = Bank { store, clock, service, users, clients, seen: Mutex::new(0) };
        for number in [1, 2] {
            bank.transfer(&key(), house_to(number, "100")).unwrap();
        }
        bank.events();
        bank
    }

    fn run<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut WriteTx, &Transactions) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let service = self.service.clone();
        self.store.write_blocking(move |tx| command(tx, &service))
    }

    fn transfer(&self, caller: &Caller, input: TransferIn) -> Result<Moved> {
        let caller = caller.clone();
        self.run(move |tx, service| service.create(tx, &caller, &input))
    }

    fn capture(&self, id: TransferId, amount: Option<&str>, is_final: Option<bool>) -> Result<Moved> {
        let input = TransferCaptureIn { amount: amount.map(|it| it.parse().unwrap()), is_final };
        self.run(move |tx, service| service.capture(tx, &key(), id, &input))
    }

    fn void(&self, id: TransferId) -> Result<Moved> {
        self.run(move |tx, service| service.void(tx, &key(), id, &TransferVoidIn { reason: None }))
    }

    fn reverse(&self, id: TransferId, amount: Option<&str>) -> Result<Moved> {
        let input = TransferReverseIn { amount: amount.map(|it| it.parse().unwrap()), reason: None };
        self.run(move |tx, service| service.reverse(tx, &key(), id, &input))
    }

    fn expire(&self) {
        let job = self.service.expiry();
        while self.store.read(|tx| (job.due)(tx)).unwrap().is_some_and(|it| it <= self.clock.now()) {
            let run = job.run.clone();
            self.store.write_blocking(move |tx| run(tx)).unwrap();
        }
    }

    /// What a user has available and held, in cents.
    fn has(&self, number: u8) -> (i128, i128) {
        let of = self.service.balances.clone();
        let balances = self.store.read(|tx| of.balances(tx, client(), user(number), usd())).unwrap();
        (balances.available.minor(), balances.held.minor())
    }

    /// The records of a user, oldest first: type, cents, status.
    fn records(&self, number: u8) -> Vec<(EntryType, i128, TransactionStatus)> {
        let rows: Vec<Transaction> = self
            .store
            .read(|tx| tx.scan(&TRANSACTIONS, Scan::all()).map(|it| it.map(|it| it.1)).collect())
            .unwrap();
        let rows = rows.into_iter().filter(|it| it.user == user(number));
        rows.map(|it| (it.entry_type, it.amount.minor(), it.status)).collect()
    }

    fn status(&self, id: TransferId) -> TransferStatus {
        let row = self
            .store
            .read(|tx| tx.get(&crate::modules::transaction::repository::TRANSFERS, &(client(), id)));
        row.unwrap().unwrap().status()
    }

    /// The names of the events since the last call.
    fn events(&self) -> Vec<String> {
        let names: Vec<String> = self
            .store
            .read(|tx| tx.scan(&EVENTS, Scan::all()).map(|it| it.map(|it| it.1.name)).collect())
            .unwrap();
        let mut seen = self.seen.lock().unwrap();
        let new = names[*seen..].to_vec();
        *seen = names.len();
        new
    }

    /// Records and journal agree.
    fn is_sound(&self) {
        let service = self.service.clone();
        let wrong = self.store.read(|tx| service.check(tx)).unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

fn caller(actor: Actor, reach: Reach) -> Caller {
    Caller {
        principal: Principal { actor, client: Some(client()), session: None, grants: Grants::Public },
        reach,
        request_id: "req_1".into(),
        ip: IpAddr::from([127, 0, 0, 1]),
        user_agent: None,
        if_match: None,
        fingerprint: [7; 16],
        catalogue: Arc::default(),
    }
}

fn key() -> Caller {
    caller(Actor::Key(KeyId::from_bytes([1; 16])), Reach::Any)
}

fn as_user(number: u8) -> Caller {
    caller(Actor::User(user(number)), Reach::Own(user(number)))
}

fn input(from: &str, to: &str, amount: &str) -> TransferIn {
    TransferIn {
        amount: amount.parse().unwrap(),
        currency: "USD".parse().unwrap(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        hold: None,
        expires_in_s: None,
        reason: None,
        external_id: None,
        metadata: Default::default(),
    }
}

fn between(from: u8, to: u8, amount: &str) -> TransferIn {
    input(&user(from).to_string(), &user(to).to_string(), amount)
}

fn house_to(number: u8, amount: &str) -> TransferIn {
    let reason = Some(Text("seed".to_owned()));
    TransferIn { reason, ..input("house:adjustment", &user(number).to_string(), amount) }
}

fn held(from: u8, to: u8, amount: &str) -> TransferIn {
    TransferIn { hold: Some(true), ..between(from, to, amount) }
}

fn code(outcome: Result<Moved>) -> String {
    match outcome {
        Ok(moved) => moved.transfer.status().to_string(),
        Err(error) => error.code().map_or_else(|| error.to_string(), str::to_owned),
    }
}

#[test]
fn a_transfer_moves_the_money_and_leaves_a_record_on_each_side() {
    let bank = Bank::open();
    let moved = bank.transfer(&as_user(1), between(1, 2, "30")).unwrap();
    assert_eq!((bank.has(1), bank.has(2)), ((7_000, 0), (13_000, 0)));
    let states: Vec<_> = moved.states.iter().map(|it| (it.balance, it.held, it.version)).collect();
    assert_eq!(states, [(7_000, 0, 2), (13_000, 0, 2)]);
    use {EntryType::*, TransactionStatus::*};
    assert_eq!(bank.records(1), [(Credit, 10_000, Completed), (Debit, 3_000, Completed)]);
    assert_eq!(bank.records(2), [(Credit, 10_000, Completed), (Credit, 3_000, Completed)]);
    assert_eq!(bank.events(), ["transaction.created", "transaction.created"]);
    bank.is_sound();
}

/// Each request breaks its own rule and all rules below it.
#[test]
fn of_several_rules_broken_the_first_of_the_table_answers() {
    let bank = Bank::open();
    bank.users.status.lock().unwrap().insert(user(3), UserStatus::Frozen);
    bank.clients.between_users.store(false, Ordering::SeqCst);
    let taken = TransferIn { external_id: Some(ExternalId("e-1".into())), ..house_to(1, "1") };
    bank.transfer(&key(), taken).unwrap();
    let commission = TransferIn {
        reason: Some(Text("earned".into())),
        ..input("house:adjustment", &user(3).to_string(), "1")
    };
    bank.transfer(&key(), commission).unwrap();
    let bitcoin = bank
        .run(|tx, service| {
            let currency = crate::modules::balance::contract::doubles::btc();
            let of = |kind| crate::modules::balance::contract::Account::house(kind, currency);
            let lines = [
                Line { account: of(HouseAccount::Fx), delta: 1 },
                Line { account: of(HouseAccount::Suspense), delta: -1 },
            ];
            let entry = NewEntry { cause: "tst_1".into(), description: "", lines: &lines, reverses: None };
            Ok(service.balances.post(tx, client(), entry)?.balances[0].id.to_string())
        })
        .unwrap();
    let own = as_user(3);
    let (me, other) = (user(3).to_string(), user(2).to_string());
    let nobody = user(77).to_string();
    let gateway = format!("house:clearing:gtw_{}", "0".repeat(26));

    // From the last rule up, each request breaks one more.
    let poor = TransferIn { reason: Some(Text("rent".into())), ..input(&user(4).to_string(), &other, "5") };
    let no_reason = TransferIn { reason: None, ..input(&user(4).to_string(), "house:tax", "5") };
    let rows: Vec<(&str, Caller, TransferIn)> = vec![
        ("insufficient_funds", key(), poor),
        ("reason_required", key(), no_reason),
        ("reason_required", key(), input("house:adjustment", &other, "5")),
        ("transfers_off", as_user(4), between(4, 2, "5")),
        ("user_not_active", own.clone(), input(&me, &other, "500")),
        ("user_not_active", key(), input(&me, "house:tax", "500")),
        ("not_allowed", key(), TransferIn { hold: Some(true), ..input("house:adjustment", &me, "5") }),
        (
            "account_reserved",
            key(),
            TransferIn { hold: Some(true), ..input("house:adjustment", &held_account(&bank), "5") },
        ),
        ("currency_mismatch", key(), input("house:adjustment", &bitcoin, "5")),
        ("not_found", own.clone(), input(&me, &nobody, "500")),
        ("not_found", own.clone(), input(&me, "house:tax", "500")),
        ("not_found", own.clone(), input(&other, &nobody, "500")),
        ("not_found", key(), input(&nobody, "house:tax", "500")),
        ("not_found", key(), input(&me, &format!("acc_{}", "0".repeat(26)), "500")),
        ("not_found", key(), input(&me, &gateway, "500")),
        ("same_account", own.clone(), input(&me, &me, "500")),
        ("same_account", key(), input(&nobody, &nobody, "500")),
        ("same_account", key(), input(&me, &available_account(&bank, 3), "500")),
        (
            "external_id_taken",
            own.clone(),
            TransferIn { external_id: Some(ExternalId("e-1".into())), ..input(&me, &me, "5") },
        ),
        (
            "amount_not_positive",
            own.clone(),
            TransferIn { external_id: Some(ExternalId("e-1".into())), ..input(&me, &me, "0.00") },
        ),
        (
            "amount_scale",
            own.clone(),
            TransferIn { external_id: Some(ExternalId("e-1".into())), ..input(&me, &me, "0.000") },
        ),
        ("amount_too_large", own.clone(), input(&me, &me, &format!("{}.001", "9".repeat(40)))),
        (
            "currency_inactive",
            own.clone(),
            TransferIn { currency: "EUR".parse().unwrap(), ..input(&me, &me, "0.000") },
        ),
        (
            "out_of_range",
            own.clone(),
            TransferIn { hold: Some(true), expires_in_s: Some(2_592_001), ..input(&me, &me, "0") },
        ),
        (
            "out_of_range",
            own.clone(),
            TransferIn { hold: Some(true), expires_in_s: Some(0), ..input(&me, &me, "0") },
        ),
        ("not_allowed", own, TransferIn { expires_in_s: Some(5), ..input(&me, &me, "0") }),
    ];
    bank.events();
    let before = bank.records(3).len();
    for (wanted, caller, input) in rows {
        assert_eq!(code(bank.transfer(&caller, input.clone())), wanted, "{input:?}");
    }
    assert_eq!((bank.events(), bank.records(3).len()), (vec![], before), "a refusal leaves nothing");
    bank.is_sound();
}

fn account_id(bank: &Bank, number: u8, kind: UserAccount) -> String {
    let account = crate::modules::balance::contract::Account::user(user(number), kind, usd());
    let of = bank.service.balances.clone();
    bank.store.read(|tx| of.account(tx, client(), account)).unwrap().unwrap().id.to_string()
}

fn available_account(bank: &Bank, number: u8) -> String {
    account_id(bank, number, UserAccount::Available)
}

fn held_account(bank: &Bank) -> String {
    bank.transfer(&key(), held(1, 2, "1")).unwrap();
    account_id(bank, 1, UserAccount::Held)
}

#[test]
fn a_frozen_user_pays_nothing_out_and_goes_on_receiving() {
    let bank = Bank::open();
    let pending = bank.transfer(&key(), held(1, 2, "10")).unwrap().id;
    let other = bank.transfer(&key(), held(1, 2, "10")).unwrap().id;
    let received = bank.transfer(&key(), between(2, 1, "10")).unwrap().id;
    bank.users.status.lock().unwrap().insert(user(1), UserStatus::Frozen);
    assert_eq!(code(bank.transfer(&key(), between(1, 2, "1"))), "user_not_active");
    assert_eq!(code(bank.capture(pending, None, None)), "user_not_active");
    assert_eq!(code(bank.reverse(received, None)), "user_not_active");
    assert_eq!(code(bank.transfer(&key(), between(2, 1, "1"))), "posted");
    assert_eq!(code(bank.void(pending)), "voided");
    bank.clock.advance(DEFAULT_HOLD);
    bank.expire();
    assert_eq!(bank.status(other), TransferStatus::Expired);
    bank.is_sound();
}

#[test]
fn an_owner_moves_its_commission_to_its_available_account_even_when_transfers_are_off() {
    let bank = Bank::open();
    bank.clients.between_users.store(false, Ordering::SeqCst);
    bank.run(|tx, service| {
        let account = |owner| crate::modules::balance::contract::Account { owner, currency: usd() };
        use crate::modules::balance::contract::AccountOwner::{House, User};
        let lines = [
            Line::lower(account(House(HouseAccount::CommissionExpense)), amount(500)),
            Line::raise(account(User(user(1), UserAccount::Commission)), amount(500)),
        ];
        let entry = NewEntry { cause: "fnd_1".into(), description: "", lines: &lines, reverses: None };
        service.balances.post(tx, client(), entry)
    })
    .unwrap();
    let commission = account_id(&bank, 1, UserAccount::Commission);
    let moved = bank.transfer(&as_user(1), input(&commission, &user(1).to_string(), "5")).unwrap();
    assert_eq!((moved.transfer.status(), bank.has(1)), (TransferStatus::Posted, (10_500, 0)));
    let records = bank.records(1);
    assert_eq!(records.iter().filter(|it| it.1 == 500).count(), 2, "both sides are the user's");
    bank.is_sound();
}

#[test]
fn a_hold_is_captured_in_parts_and_the_records_say_so() {
    use {EntryType::*, TransactionStatus::*};
    let bank = Bank::open();
    let id = bank.transfer(&key(), held(1, 2, "50")).unwrap().id;
    assert_eq!((bank.has(1), bank.has(2)), ((5_000, 5_000), (10_000, 0)));
    assert_eq!(bank.records(1)[1..], [(Debit, 5_000, Pending)]);
    assert_eq!(code(bank.capture(id, Some("50.01"), None)), "capture_too_large");
    assert_eq!(code(bank.capture(id, Some("0"), None)), "amount_not_positive");
    assert_eq!(code(bank.reverse(id, None)), "invalid_state_transition");
    assert_eq!(code(bank.capture(id, Some("10"), Some(false))), "partially_captured");
    assert_eq!(code(bank.capture(id, Some("15"), Some(false))), "partially_captured");
    assert_eq!((bank.has(1), bank.has(2)), ((5_000, 2_500), (12_500, 0)));
    assert_eq!(code(bank.capture(id, Some("5"), None)), "posted");
    assert_eq!((bank.has(1), bank.has(2)), ((7_000, 0), (13_000, 0)), "the rest went back");
    assert_eq!(
        bank.records(1)[1..],
        [
            (Debit, 2_000, Failed),
            (Debit, 1_000, Completed),
            (Debit, 1_500, Completed),
            (Debit, 500, Completed)
        ]
    );
    assert_eq!(code(bank.capture(id, None, None)), "invalid_state_transition");
    assert_eq!(code(bank.void(id)), "invalid_state_transition");
    assert_eq!(code(bank.reverse(id, Some("30.01"))), "reverse_too_large");
    assert_eq!(code(bank.reverse(id, Some("12"))), "partially_reversed");
    assert_eq!(code(bank.reverse(id, Some("8"))), "partially_reversed");
    assert_eq!(code(bank.reverse(id, Some("10.01"))), "reverse_too_large");
    let reversed = bank.reverse(id, None).unwrap();
    assert_eq!((bank.has(1), bank.has(2)), ((10_000, 0), (10_000, 0)));
    assert_eq!(reversed.transfer.reversals.len(), 3);
    assert_eq!(code(bank.reverse(id, None)), "invalid_state_transition");
    assert_eq!(bank.records(1).iter().filter(|it| it.2 == Reversed).count(), 3);
    assert_eq!(
        bank.events(),
        [
            "transaction.created", // pending
            "transaction.created",
            "transaction.created",
            "transfer.captured",
            "transaction.created",
            "transaction.created",
            "transfer.captured",
            "transaction.created",
            "transaction.created",
            "transfer.captured",
            "transaction.created",
            "transaction.created",
            "transfer.reversed",
            "transaction.created",
            "transaction.created",
            "transfer.reversed",
            "transaction.created",
            "transaction.created",
            "transfer.reversed",
        ]
    );
    bank.is_sound();
}

#[test]
fn a_hold_captured_whole_completes_its_one_record() {
    use {EntryType::*, TransactionStatus::*};
    let bank = Bank::open();
    let id = bank.transfer(&key(), held(1, 2, "50")).unwrap().id;
    // Not final, but nothing remains.
    assert_eq!(code(bank.capture(id, Some("50"), Some(false))), "posted");
    assert_eq!(bank.records(1)[1..], [(Debit, 5_000, Completed)]);
    assert_eq!(bank.records(2)[1..], [(Credit, 5_000, Completed)]);
    bank.is_sound();
}

#[test]
fn at_its_last_instant_a_hold_has_expired_whether_or_not_the_timer_ran() {
    let bank = Bank::open();
    let lived = |seconds| TransferIn { expires_in_s: Some(seconds), ..held(1, 2, "10") };
    let [first, second, part] = [10, 20, 10].map(|it| bank.transfer(&key(), lived(it)).unwrap().id);
    bank.capture(part, Some("4"), Some(false)).unwrap();
    bank.clock.advance(Duration::from_secs(10) - Duration::from_micros(1));
    bank.expire();
    assert_eq!(bank.status(first), TransferStatus::Pending);
    bank.clock.advance(Duration::from_micros(1));
    for outcome in [bank.capture(first, None, None), bank.void(first)] {
        let refusal = outcome.unwrap_err().to_string();
        assert!(refusal.contains("what is expired"), "{refusal}");
    }
    assert!(bank.capture(part, None, None).unwrap_err().to_string().contains("what is posted"));
    bank.events();
    bank.expire();
    assert_eq!(bank.events(), ["transfer.expired", "transfer.expired"]);
    let statuses = [first, second, part].map(|it| bank.status(it));
    assert_eq!(statuses, [TransferStatus::Expired, TransferStatus::Pending, TransferStatus::Posted]);
    assert_eq!((bank.has(1), bank.has(2)), ((8_600, 1_000), (10_400, 0)));
    bank.is_sound();
}

fn bulk(bank: &Bank, atomic: bool, items: Vec<TransferIn>) -> Result<serde_json::Value> {
    let input = BulkIn { items, atomic: Some(atomic) };
    input.cut(&key())?;
    let all = 0..input.items.len();
    let out = bank.run(move |tx, service| service.create_bulk(tx, &key(), &input, all));
    out.map(|it| serde_json::to_value(it).unwrap())
}

#[test]
fn later_items_of_a_bulk_command_see_earlier_ones_and_failed_ones_cost_the_others_nothing() {
    let bank = Bank::open();
    let items = vec![
        between(1, 3, "100"),
        between(1, 2, "1"),
        between(3, 4, "60"),
        input(&user(3).to_string(), &user(3).to_string(), "1"),
        TransferIn { external_id: Some(ExternalId("e-1".into())), ..between(3, 4, "20") },
        TransferIn { external_id: Some(ExternalId("e-1".into())), ..between(3, 4, "20") },
        held(4, 1, "80"),
    ];
    let out = bulk(&bank, false, items.clone()).unwrap();
    assert_eq!((&out["succeeded"], &out["failed"]), (&4.into(), &3.into()));
    let outcomes: Vec<&str> = out["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["problem"]["code"].as_str().or(it["transfer"]["status"].as_str()).unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["posted", "insufficient_funds", "posted", "same_account", "posted", "external_id_taken", "pending"]
    );
    assert_eq!((bank.has(1), bank.has(3), bank.has(4)), ((0, 0), (2_000, 0), (0, 8_000)));
    let lines = &out["items"][2]["transfer"]["balances"];
    assert_eq!((&lines[0]["available"], &lines[1]["available"]), (&"40.00".into(), &"60.00".into()));

    bank.events();
    let refused = bulk(&bank, true, vec![between(2, 1, "1"), between(3, 4, "20.01")]).unwrap_err();
    assert_eq!(refused.code(), Some("insufficient_funds"));
    assert!(refused.to_string().contains("item 1"), "{refused}");
    assert_eq!((bank.has(2), bank.events()), ((10_000, 0), vec![]));
    assert_eq!(bulk(&bank, true, vec![]).unwrap_err().code(), Some("out_of_range"));
    bank.is_sound();
}

#[test]
fn of_a_thousand_parallel_transfers_of_a_hundredth_exactly_a_hundred_succeed() {
    let bank = Bank::open();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let (store, service) = (bank.store.clone(), bank.service.clone());
    let outcomes = runtime.block_on(async move {
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                let (store, service) = (store.clone(), service.clone());
                tokio::spawn(async move {
                    store.write(move |tx| service.create(tx, &key(), &between(1, 2, "1"))).await.is_ok()
                })
            })
            .collect();
        let mut succeeded = 0;
        for task in tasks {
            succeeded += usize::from(task.await.unwrap());
        }
        succeeded
    });
    assert_eq!((outcomes, bank.has(1), bank.has(2)), (100, (0, 0), (20_000, 0)));
    bank.is_sound();
}

#[test]
fn a_transfer_between_users_changes_eleven_rows() {
    let bank = Bank::open();
    bank.transfer(&key(), between(1, 2, "1")).unwrap();
    let written = bank
        .run(|tx, service| {
            service.create(tx, &key(), &between(1, 2, "1"))?;
            Ok(tx.written())
        })
        .unwrap();
    // Entry, journal's end, two wallets; transfer; two records, two lines in lists; two events.
    assert_eq!(written.0, 11);
    assert!(written.1 < 2_600, "{written:?}");
}

#[derive(Debug, Clone)]
enum Act {
    Transfer { from: u8, to: u8, cents: u32, hold: bool },
    Capture { place: usize, cents: u32, is_final: bool },
    Void { place: usize },
    Reverse { place: usize, cents: Option<u32> },
    Wait { hours: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let cents = 1u32..6_000;
    prop_oneof![
        4 => (0u8..4, 0u8..4, cents.clone(), any::<bool>())
            .prop_map(|(from, to, cents, hold)| Act::Transfer { from, to, cents, hold }),
        3 => (any::<usize>(), cents.clone(), any::<bool>())
            .prop_map(|(place, cents, is_final)| Act::Capture { place, cents, is_final }),
        1 => any::<usize>().prop_map(|place| Act::Void { place }),
        2 => (any::<usize>(), proptest::option::of(cents)).prop_map(|(place, cents)| Act::Reverse { place, cents }),
        1 => (0u64..100).prop_map(|hours| Act::Wait { hours }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn whatever_is_tried_records_holds_and_journal_agree(acts in proptest::collection::vec(act(), 1..50)) {
        let bank = Bank::open();
        let mut ids: Vec<TransferId> = vec![];
        let text = |cents: u32| format!("{}.{:02}", cents / 100, cents % 100);
        for act in acts {
            let pick = |place: usize| ids.get(place % ids.len().max(1)).copied();
            let outcome = match act {
                Act::Transfer { from, to, cents, hold } => {
                    let name = |number: u8| match number {
                        0 => "house:adjustment".to_owned(),
                        number => user(number).to_string(),
                    };
                    let made = bank.transfer(&key(), TransferIn {
                        hold: Some(hold), reason: Some(Text("any".into())), ..input(&name(from), &name(to), &text(cents))
                    });
                    ids.extend(made.as_ref().ok().map(|it| it.id));
                    Some(made)
                }
                Act::Capture { place, cents, is_final } =>
                    pick(place).map(|id| bank.capture(id, Some(&text(cents)), Some(is_final))),
                Act::Void { place } => pick(place).map(|id| bank.void(id)),
                Act::Reverse { place, cents } => pick(place).map(|id| bank.reverse(id, cents.map(text).as_deref())),
                Act::Wait { hours } => {
                    bank.clock.advance(Duration::from_secs(hours * 3600));
                    bank.expire();
                    None
                }
            };
            if let Some(Err(error)) = outcome {
                prop_assert!(error.code().is_some(), "a fault: {}", error);
            }
            bank.is_sound();
        }
        // What was ever given to users, less what they gave back, is what they have.
        let users: i128 = (1..4).map(|number| bank.has(number)).map(|(available, held)| available + held).sum();
        let house = crate::modules::balance::contract::Account::house(HouseAccount::Adjustment, usd());
        let of = bank.service.balances.clone();
        let house = bank.store.read(|tx| of.account(tx, client(), house)).unwrap().unwrap().balance;
        prop_assert_eq!(users, -house);
    }
}

#[test]
fn account_references_read_as_they_are_written() {
    for text in ["usr_", "acc_1", "house", "house:", "house:nothing", "user:1", "gtw_1", ""] {
        assert!(text.parse::<AccountRef>().is_err(), "{text}");
    }
    let user: UserId = user(1);
    assert_eq!(user.to_string().parse(), Ok(AccountRef::User(user)));
    assert_eq!("house:fee_income".parse(), Ok(AccountRef::House(HouseAccount::FeeIncome)));
}
