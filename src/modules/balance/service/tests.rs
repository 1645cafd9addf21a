//! The ledger against a model that remembers everything, against concurrency, and against damaged rows.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    kernel::{
        clock::{Clock, Time},
        error::Error,
        id::Id as _,
        store::{Key as _, Row as _, Scan, Store, StoreOptions},
    },
    modules::balance::{
        contract::{
            BalanceRefusal, DisputeId, HouseAccount,
            doubles::{amount, btc, client, ledger_with, usd, user},
        },
        model::{
            entry::Entry,
            wallet::{Owner, Wallet},
        },
        repository::{ENTRIES, JOURNALS, Journal, WALLETS},
    },
};

fn ledger() -> Arc<Ledger> {
    Arc::new(ledger_with(Arc::default()))
}

fn available(number: u8) -> Account {
    Account::user(user(number), UserAccount::Available, usd())
}

fn suspense() -> Account {
    Account::house(HouseAccount::Suspense, usd())
}

fn pay(ledger: &Ledger, tx: &mut WriteTx, from: Account, to: Account, minor: i128) -> Result<Posted> {
    let lines = [Line { account: from, delta: -minor }, Line { account: to, delta: minor }];
    let entry = NewEntry { cause: "tst_1".into(), description: "test", lines: &lines, reverses: None };
    ledger.post(tx, client(), entry)
}

/// A store in which the users 1 and 2 got 100.00 USD each.
fn funded(ledger: &Arc<Ledger>) -> Store {
    let store = Store::in_memory(StoreOptions { seed: Some(1), ..StoreOptions::default() });
    let ledger = ledger.clone();
    store
        .write_blocking(move |tx| {
            pay(&ledger, tx, suspense(), available(1), 10_000)?;
            pay(&ledger, tx, suspense(), available(2), 10_000).map(drop)
        })
        .unwrap();
    store
}

fn problem(store: &Store) -> Option<String> {
    store.read(|tx| Verify::whole(tx, client())).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Pay {
        from: u8,
        to: u8,
        minor: i128,
    },
    Hold {
        user: u8,
        minor: i128,
    },
    /// Of the hold at this place, this share in 1/4, to the house.
    Capture {
        place: usize,
        quarters: i128,
        is_final: bool,
    },
    Release {
        place: usize,
    },
    Wait {
        micros: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let minor = prop_oneof![1i128..50, 1i128..20_000];
    prop_oneof![
        // Account 0 is the house's.
        4 => (0u8..4, 0u8..4, minor.clone()).prop_map(|(from, to, minor)| Step::Pay { from, to, minor }),
        2 => (1u8..4, minor).prop_map(|(user, minor)| Step::Hold { user, minor }),
        2 => (any::<usize>(), 1i128..=4, any::<bool>())
            .prop_map(|(place, quarters, is_final)| Step::Capture { place, quarters, is_final }),
        1 => any::<usize>().prop_map(|place| Step::Release { place }),
        2 => (0u64..3_000).prop_map(|micros| Step::Wait { micros }),
    ]
}

/// What the ledger should hold.
#[derive(Default)]
struct Model {
    balances: BTreeMap<Account, i128>,
    holds: Vec<Hold>,
    /// All balances after each entry, in order.
    past: Vec<(Time, BTreeMap<Account, i128>)>,
}

impl Model {
    fn of(&self, account: Account) -> i128 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    fn apply(&mut self, posted: &Posted, deltas: &[(Account, i128)]) {
        for (account, delta) in deltas {
            *self.balances.entry(*account).or_default() += delta;
        }
        assert!(self.past.last().is_none_or(|it| it.0 < posted.at), "times increase");
        assert_eq!(posted.number as usize, self.past.len() + 1, "numbers have no gap");
        self.past.push((posted.at, self.balances.clone()));
    }

    fn run(&mut self, ledger: &Arc<Ledger>, store: &Store, clock: &Clock, step: Step) {
        let account = |number| if number == 0 { suspense() } else { available(number) };
        let shared = ledger.clone();
        match step {
            Step::Wait { micros } => drop(clock.advance(Duration::from_micros(micros))),
            Step::Pay { from, to, .. } if from == to => {}
            Step::Pay { from, to, minor } => {
                let (from, to) = (account(from), account(to));
                let paid = store.write_blocking(move |tx| pay(&shared, tx, from, to, minor));
                if from != suspense() && self.of(from) < minor {
                    self.refused(paid.unwrap_err(), self.of(from), minor);
                } else {
                    self.apply(&paid.unwrap(), &[(from, -minor), (to, minor)]);
                }
            }
            Step::Hold { user: number, minor } => {
                let held = store.write_blocking(move |tx| {
                    shared.hold(tx, client(), user(number), amount(minor), "wdr_1".into(), "hold")
                });
                if self.of(available(number)) < minor {
                    return self.refused(held.unwrap_err(), self.of(available(number)), minor);
                }
                let (hold, posted) = held.unwrap();
                let held = Account::user(user(number), UserAccount::Held, usd());
                self.apply(&posted, &[(available(number), -minor), (held, minor)]);
                self.holds.push(hold);
            }
            Step::Capture { .. } | Step::Release { .. } if self.holds.is_empty() => {}
            Step::Capture { place, quarters, is_final } => {
                let place = place % self.holds.len();
                let hold = self.holds[place].clone();
                let minor = hold.remaining.minor() * quarters / 4;
                let captured = store.write_blocking(move |tx| {
                    let lines = [Line { account: suspense(), delta: minor }];
                    shared.capture(tx, client(), hold.id, &lines, is_final, "capture")
                });
                let hold = &self.holds[place];
                if !hold.is_open || minor == 0 {
                    assert!(matches!(captured, Err(Error::Fault(_))));
                    return;
                }
                let (after, posted) = captured.unwrap();
                let rest = if is_final { hold.remaining.minor() - minor } else { 0 };
                let held = Account::user(hold.user, UserAccount::Held, usd());
                let back = Account::user(hold.user, UserAccount::Available, usd());
                assert_eq!(after.remaining.minor(), hold.remaining.minor() - minor - rest);
                assert_eq!(after.is_open, !after.remaining.is_zero());
                self.apply(&posted, &[(suspense(), minor), (held, -minor - rest), (back, rest)]);
                self.holds[place] = after;
            }
            Step::Release { place } => {
                let place = place % self.holds.len();
                let hold = self.holds[place].clone();
                let released =
                    store.write_blocking(move |tx| shared.release(tx, client(), hold.id, "release"));
                let hold = &self.holds[place];
                if !hold.is_open {
                    assert!(matches!(released, Err(Error::Fault(_))));
                    return;
                }
                let (after, posted) = released.unwrap();
                let minor = hold.remaining.minor();
                let held = Account::user(hold.user, UserAccount::Held, usd());
                let back = Account::user(hold.user, UserAccount::Available, usd());
                self.apply(&posted, &[(held, -minor), (back, minor)]);
                self.holds[place] = after;
            }
        }
    }

    fn refused(&self, error: Error, available: i128, wanted: i128) {
        let (available, wanted, currency) = (amount(available), amount(wanted), usd().code);
        let available = available.into();
        let expected = BalanceRefusal::InsufficientFunds { available, wanted, currency };
        assert_eq!(error.refusal(), Some(&expected), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_ledger_agrees_with_a_model_now_and_at_every_past_instant(
        steps in proptest::collection::vec(step(), 1..60), limit in 1usize..7,
    ) {
        let clock = Clock::manual(Time::from_micros(1_000_000));
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), seed: Some(1), ..StoreOptions::default() });
        let ledger = ledger();
        let mut model = Model::default();
        for step in steps {
            model.run(&ledger, &store, &clock, step);
            prop_assert_eq!(problem(&store), None);
        }
        let accounts: Vec<Account> = model.balances.keys().copied().collect();
        store.read(|tx| {
            for account in &accounts {
                let state = ledger.account(tx, client(), *account)?.unwrap();
                assert_eq!(state.balance, model.of(*account));
                assert_eq!(ledger.account_by_id(tx, client(), state.id)?, Some(state));
                statements_add_up(&ledger, tx, &model, *account, limit)?;
            }
            for number in 1..4 {
                for (at, balances) in &model.past {
                    let then = ledger.balances_in(tx, client(), user(number), usd(), Some(*at))?;
                    for kind in [UserAccount::Available, UserAccount::Held] {
                        let account = Account::user(user(number), kind, usd());
                        assert_eq!(then.of(kind), balances.get(&account).copied().unwrap_or(0));
                    }
                }
            }
            Ok(())
        }).unwrap();
    }
}

/// Over the whole and over the middle third: lines sum to the difference of the ends, and the ends are the model's.
fn statements_add_up(
    ledger: &Ledger,
    tx: &ReadTx,
    model: &Model,
    account: Account,
    limit: usize,
) -> Result<()> {
    let instant = |share: usize| model.past.get(model.past.len() * share / 3).map(|it| it.0);
    for (from, to) in [(None, None), (instant(1), instant(2)), (instant(2), None)] {
        let query = StatementQuery { account, from, to };
        let (mut cursor, mut sum, mut ends, mut next_balance) = (None, 0, None, None);
        loop {
            let page = ledger.statement(tx, client(), &query, cursor, limit)?;
            assert!(
                ends.is_none_or(|it| it == (page.opening, page.closing)),
                "every page shows the same ends"
            );
            ends = Some((page.opening, page.closing));
            for line in &page.lines {
                assert_eq!(line.posting.balance_after, next_balance.unwrap_or(page.closing));
                next_balance = Some(line.posting.balance_after - line.posting.delta);
                sum += line.posting.delta;
            }
            match page.next {
                Some(next) => cursor = StatementCursor::from_bytes(&next.to_bytes()),
                None => break,
            }
        }
        let (opening, closing) = ends.unwrap();
        assert_eq!(opening + sum, closing);
        let before = |end: Option<Time>| {
            let last = model.past.iter().rev().find(|it| end.is_none_or(|end| it.0 < end));
            last.and_then(|it| it.1.get(&account).copied()).unwrap_or(0)
        };
        assert_eq!((opening, closing), (from.map_or(0, |it| before(Some(it))), before(to)));
    }
    Ok(())
}

#[test]
fn of_two_hundred_parallel_holds_of_the_whole_balance_exactly_one_succeeds() {
    let ledger = ledger();
    let store = funded(&ledger);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let held = runtime.block_on(async {
        let holds: Vec<_> = (0..200)
            .map(|number| {
                let (store, ledger) = (store.clone(), ledger.clone());
                tokio::spawn(async move {
                    let cause = format!("wdr_{number}");
                    store
                        .write(move |tx| ledger.hold(tx, client(), user(1), amount(10_000), cause, "all"))
                        .await
                })
            })
            .collect();
        let mut held = 0;
        for hold in holds {
            match hold.await.unwrap() {
                Ok(_) => held += 1,
                Err(error) => assert_eq!(error.code(), Some("insufficient_funds")),
            }
        }
        held
    });
    assert_eq!(held, 1);
    assert_eq!(problem(&store), None);
    let balances = store.read(|tx| ledger.balances(tx, client(), user(1), usd())).unwrap();
    assert_eq!((balances.available, balances.held), (amount(0).into(), amount(10_000)));
}

#[test]
fn only_a_chargeback_takes_available_money_below_zero_and_from_there_it_only_rises() {
    let ledger = ledger();
    let store = funded(&ledger);
    let shared = ledger.clone();
    let charge_back = move |cause: String, from: Account, minor: i128| {
        let shared = shared.clone();
        store
            .write_blocking(move |tx| {
                let lines =
                    [Line { account: from, delta: -minor }, Line { account: suspense(), delta: minor }];
                let entry = NewEntry { cause, description: "Chargeback", lines: &lines, reverses: None };
                shared.charge_back(tx, client(), entry)
            })
            .map(|it| it.balances[0].balance)
    };
    let dispute = DisputeId::from_bytes([7; 16]).to_string();
    assert!(matches!(charge_back("pay_1".into(), available(1), 5), Err(Error::Fault(_))), "no dispute");
    let held = Account::user(user(1), UserAccount::Held, usd());
    let refused = charge_back(dispute.clone(), held, 5).unwrap_err();
    assert_eq!(refused.code(), Some("insufficient_funds"), "what is held stays above");
    assert_eq!(charge_back(dispute.clone(), available(1), 15_000).unwrap(), -5_000);
    assert_eq!(charge_back(dispute, available(1), 1_000).unwrap(), -6_000);
}

#[test]
fn an_account_below_zero_verifies_as_long_as_chargebacks_took_it_there() {
    let ledger = ledger();
    let store = funded(&ledger);
    let shared = ledger.clone();
    store
        .write_blocking(move |tx| {
            let cause = DisputeId::from_bytes([7; 16]).to_string();
            let lines = [Line::lower(available(1), amount(15_000)), Line::raise(suspense(), amount(15_000))];
            let entry = NewEntry { cause, description: "Chargeback", lines: &lines, reverses: None };
            shared.charge_back(tx, client(), entry)?;
            pay(&shared, tx, suspense(), available(1), 2_000).map(drop)
        })
        .unwrap();
    assert_eq!(problem(&store), None);
    let shared = ledger.clone();
    let spent = store.write_blocking(move |tx| pay(&shared, tx, available(1), suspense(), 1)).unwrap_err();
    let refusal = spent.refusal::<BalanceRefusal>().unwrap().to_string();
    assert_eq!(refusal, "-30.00 USD available, 0.01 USD wanted");
    // The same entry under any other name is a broken book.
    store
        .write_blocking(|tx| {
            let mut entry: Entry = tx.get(&ENTRIES, &(client(), 3))?.unwrap();
            let before: Entry = tx.get(&ENTRIES, &(client(), 2))?.unwrap();
            entry.cause = "pay_1".into();
            entry.hash = entry.hash_after(client(), 3, &before.hash);
            tx.put(&ENTRIES, &(client(), 3), &entry)
        })
        .unwrap();
    let found = problem(&store).unwrap();
    assert!(found.contains("entry 3 leaves") && found.ends_with("below zero"), "{found}");
}

#[test]
fn an_entry_must_sum_to_zero_in_each_currency_and_move_something() {
    let ledger = ledger();
    let store = funded(&ledger);
    let bitcoin = Account::house(HouseAccount::Suspense, btc());
    let line = |account, delta| Line { account, delta };
    for lines in [
        vec![],
        vec![line(suspense(), 5)],
        vec![line(suspense(), 5), line(bitcoin, -5)],
        vec![line(suspense(), 5), line(suspense(), -5)],
        vec![line(suspense(), i128::MAX), line(suspense(), i128::MAX)],
    ] {
        let ledger = ledger.clone();
        let refused = store.write_blocking(move |tx| {
            let entry = NewEntry { cause: "tst_1".into(), description: "", lines: &lines, reverses: None };
            ledger.post(tx, client(), entry)
        });
        assert!(matches!(refused, Err(Error::Fault(_))), "{refused:?}");
    }
    assert_eq!(problem(&store), None);
}

#[test]
fn lines_of_one_account_count_as_their_sum_and_zeros_are_left_out() {
    let ledger = ledger();
    let store = funded(&ledger);
    let shared = ledger.clone();
    let posted = store
        .write_blocking(move |tx| {
            let line = |account, delta| Line { account, delta };
            let lines = [
                line(available(1), -300),
                line(suspense(), 300),
                line(available(1), -40),
                line(available(3), 0),
                line(suspense(), 40),
            ];
            let entry = NewEntry { cause: "tst_1".into(), description: "", lines: &lines, reverses: None };
            shared.post(tx, client(), entry)
        })
        .unwrap();
    let balances: Vec<_> = posted.balances.iter().map(|it| (it.account, it.balance)).collect();
    let (left, house) = ((available(1), 9_660), (suspense(), -19_660));
    assert_eq!(balances, [left, house, left, house], "an account that never moved has no state");
    let lines = store.read(|tx| ledger.lines_of(tx, client(), posted.id)).unwrap().unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(problem(&store), None);
}

#[test]
fn no_account_passes_the_limit_of_what_can_be_counted() {
    use crate::kernel::money::MAX_MINOR;
    let ledger = ledger();
    let store = funded(&ledger);
    for (from, to, minor) in [
        (suspense(), available(1), MAX_MINOR),
        (suspense(), available(3), i128::MAX),
        (available(1), suspense(), i128::MAX),
    ] {
        let ledger = ledger.clone();
        let refused = store.write_blocking(move |tx| pay(&ledger, tx, from, to, minor)).unwrap_err();
        assert_eq!(refused.code(), Some("amount_too_large"), "{refused}");
    }
    assert_eq!(problem(&store), None);
}

#[test]
fn an_entry_is_found_by_its_id_and_by_no_other() {
    let ledger = ledger();
    let store = funded(&ledger);
    let shared = ledger.clone();
    let posted = store.write_blocking(move |tx| pay(&shared, tx, available(1), available(2), 5)).unwrap();
    store
        .read(|tx| {
            assert!(ledger.lines_of(tx, client(), posted.id)?.is_some());
            let mut bytes = posted.id.bytes();
            bytes[3] ^= 1; // another instant, the same number
            assert_eq!(ledger.lines_of(tx, client(), EntryId::from_bytes(bytes))?, None);
            assert_eq!(ledger.lines_of(tx, ClientId::from_bytes([9; 16]), posted.id)?, None);
            assert_eq!(ledger.entries_after(tx, client(), 1, 9)?.len(), 2);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_posting_writes_four_rows_however_long_the_history() {
    let ledger = ledger();
    let store = funded(&ledger);
    for _ in 0..200 {
        let ledger = ledger.clone();
        let written = store
            .write_blocking(move |tx| {
                pay(&ledger, tx, available(1), available(2), 1)?;
                pay(&ledger, tx, available(2), available(1), 1)?;
                Ok(tx.written())
            })
            .unwrap();
        // Two entries; the wallets and the journal's end are the same rows.
        assert_eq!(written.0, 5);
        assert!(written.1 < 800, "{written:?}");
    }
    assert_eq!(problem(&store), None);
}

/// Changes a stored row, checksum and all, as somebody with the file in hand would.
fn tamper(change: impl FnOnce(&mut WriteTx) + Send + 'static) -> String {
    let ledger = ledger();
    let store = funded(&ledger);
    let shared = ledger.clone();
    store
        .write_blocking(move |tx| {
            shared.hold(tx, client(), user(1), amount(4_000), "wdr_1".into(), "hold")?;
            pay(&shared, tx, available(2), available(1), 10)?;
            pay(&shared, tx, available(1), available(2), 20).map(drop)
        })
        .unwrap();
    assert_eq!(problem(&store), None);
    store
        .write_blocking(move |tx| {
            change(tx);
            Ok(())
        })
        .unwrap();
    problem(&store).expect("it is noticed")
}

fn change_entry(
    number: u64,
    change: impl FnOnce(&mut crate::modules::balance::model::entry::Entry),
) -> impl FnOnce(&mut WriteTx) {
    move |tx| {
        let mut entry = tx.get(&ENTRIES, &(client(), number)).unwrap().unwrap();
        change(&mut entry);
        tx.raw_put(ENTRIES.name, (client(), number).to_key(), entry.encode_row());
    }
}

fn change_wallet(change: impl FnOnce(&mut Wallet)) -> impl FnOnce(&mut WriteTx) {
    move |tx| {
        let key = (client(), WalletKey { owner: Owner::User(user(1)), currency: usd() });
        let mut wallet = tx.get(&WALLETS, &key).unwrap().unwrap();
        change(&mut wallet);
        tx.raw_put(WALLETS.name, key.to_key(), wallet.encode_row());
    }
}

#[test]
fn whatever_is_changed_by_hand_verify_names_the_first_thing_wrong() {
    let starts =
        |found: String, wanted: &str| assert!(found.contains(wanted), "{found:?}, wanted {wanted:?}");
    for byte in [0usize, 10, 40, 100] {
        let flip = move |tx: &mut WriteTx| {
            let key = (client(), 3u64).to_key();
            let mut bytes = tx.raw_get(ENTRIES.name, &key).unwrap().unwrap();
            bytes[byte] ^= 1;
            tx.raw_put(ENTRIES.name, key, bytes);
        };
        starts(tamper(flip), "entry 3 does not read");
    }
    starts(tamper(change_entry(2, |it| it.description.push('!'))), "entry 2 has another hash");
    starts(tamper(change_entry(4, |it| it.postings[0].delta = -11)), "entry 4 has another hash");
    // Links are no part of the hash: they are derived, and checked as such.
    starts(tamper(change_entry(5, |it| it.postings[0].previous = 1)), "entry 5 links");
    starts(tamper(|tx| tx.raw_delete(ENTRIES.name, (client(), 2u64).to_key())), "entry 2 is missing");
    starts(tamper(|tx| tx.raw_delete(ENTRIES.name, (client(), 5u64).to_key())), "its last entry is 4");
    starts(
        tamper(|tx| {
            let journal = Journal { hash: [0; 32], ..Journal::of(tx, client()).unwrap() };
            tx.raw_put(JOURNALS.name, client().to_key(), journal.encode_row());
        }),
        "the end of the journal is not that of entry 5",
    );
    let row = |wallet: &mut Wallet, change: fn(&mut crate::modules::balance::model::wallet::AccountRow)| {
        change(wallet.row_or_open(&available(1), || unreachable!()));
    };
    starts(
        tamper(change_wallet(move |it| row(it, |it| it.balance += 1))),
        "holds 59.91, its postings sum to 59.90",
    );
    starts(
        tamper(change_wallet(move |it| row(it, |it| it.version += 1))),
        "is at version 5, it has 4 postings",
    );
    starts(
        tamper(change_wallet(move |it| row(it, |it| it.id = AccountId::from_bytes([9; 16])))),
        "is not found by its id",
    );
    starts(
        tamper(|tx| {
            let key = (client(), WalletKey { owner: Owner::User(user(1)), currency: usd() });
            tx.raw_delete(WALLETS.name, key.to_key());
        }),
        "has postings and no balance",
    );
    starts(
        tamper(|tx| {
            let (key, hold) = tx.scan(&HOLDS, Scan::all()).next().unwrap().unwrap();
            tx.put(&HOLDS, &key, &Hold { remaining: amount(1), ..hold }).unwrap();
        }),
        "holds 40.00, its open holds 0.01",
    );
}

#[test]
fn verify_goes_on_while_the_ledger_does() {
    let ledger = ledger();
    let store = funded(&ledger);
    for _ in 0..2_100 {
        let ledger = ledger.clone();
        store.write_blocking(move |tx| pay(&ledger, tx, available(1), available(2), 1).map(drop)).unwrap();
    }
    let mut verify = store.read(|tx| Verify::begin(tx, client())).unwrap();
    let mut trial = store.read(|tx| Trial::begin(tx, client())).unwrap();
    let mut pages = 0;
    let shared = ledger.clone();
    // Accounts move, and new ones come, between its snapshots.
    while store.read(|tx| verify.step(tx)).unwrap() {
        let ledger = shared.clone();
        let to = available(3 + (pages % 4));
        store.write_blocking(move |tx| pay(&ledger, tx, available(2), to, 7).map(drop)).unwrap();
        pages += 1;
    }
    assert_eq!((verify.problem.clone(), verify.entries()), (None, 2_102));
    assert!(pages >= 2, "{pages}");
    while store.read(|tx| trial.step(tx)).unwrap() {}
    let sums: Vec<_> = trial.sums.iter().map(|((_, kind), sum)| (kind.as_str(), *sum)).collect();
    let (users, house) =
        (Sum { accounts: 2, debit: 0, credit: 20_000 }, Sum { accounts: 1, debit: 20_000, credit: 0 });
    assert_eq!(sums, [("available", users), ("suspense", house)], "as of the entry it began with");
    assert_eq!(problem(&store), None);
}
