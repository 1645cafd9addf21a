//! What gateways may do to us: crash in mid-call, silence, words late, twice and out of order. The whole server in
//! memory, with a gateway that says what the test tells it to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;

use super::{
    adapter::{Access, Adapter, Adapters, Answering, AttemptOutcome, AttemptRequest, Notice},
    contract::{AttemptId, PaymentId, PaymentStatus, PayoutOutcome, PayoutRequest, Review},
    model::{AttemptStatus, Decision, Place, Setup},
    repository::{PAYMENTS, SETTLEMENTS},
    routes::payments::{InitiateIn, PaymentIn, ResolveIn},
    service::{ASKING, Case, Payments, Questions, Told, Try, Word, due_job},
};
use crate::{
    app::App,
    config::Config,
    kernel::{
        api::{
            call::{Call, Caller},
            endpoint::Claim,
            input::Metadata,
            principal::{ClientId, UserId},
            text::Text,
        },
        clock::{Clock, Time},
        error::Result,
        events::{
            courier::{Courier, Ready, Sending},
            delivery::DELIVERIES,
        },
        id::Id as _,
        money::{Amount, Currency},
        store::{ReadTx, Scan, WriteTx},
    },
    modules::{
        balance::contract::{Account, BalanceContract, HouseAccount},
        user::contract::{NewUser, UserContract},
    },
    testing::{Credentials, seed_dev},
};

/// Says what it was told to say, one answer after the other; then nothing at all.
#[derive(Default)]
struct Script(Mutex<VecDeque<Vec<Notice>>>);

impl Script {
    fn says(&self, notices: Vec<Notice>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(notices);
    }

    fn next(&self) -> Answering<AttemptOutcome> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
            Some(notices) => Box::pin(std::future::ready(AttemptOutcome::of(notices))),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl Adapter for Script {
    fn create(&self, _: AttemptRequest) -> Answering<AttemptOutcome> {
        self.next()
    }
    fn retrieve(&self, _: AttemptRequest) -> Answering<AttemptOutcome> {
        self.next()
    }
    fn capture(&self, _: AttemptRequest) -> Answering<AttemptOutcome> {
        self.next()
    }
    fn payout(&self, request: PayoutRequest, _: Setup, _: Access) -> Answering<PayoutOutcome> {
        Box::pin(std::future::ready(PayoutOutcome::Unknown { reason: request.reference }))
    }
    fn check(&self, _: Setup, _: Access) -> Answering<Result<String, String>> {
        Box::pin(std::future::ready(Err("scripted".to_owned())))
    }
}

struct Desk {
    app: App,
    client: ClientId,
    credentials: Credentials,
    user: UserId,
    script: Arc<Script>,
    service: Arc<Payments>,
}

fn usd(minor: i128) -> Amount {
    Amount::new(minor, Currency { code: "USD".parse().unwrap(), decimals: 2 }).unwrap()
}

fn settled(reference: &str, amount: Amount) -> Notice {
    Notice::Settled { reference: reference.to_owned(), amount }
}

fn declined() -> Notice {
    Notice::Declined { reason: "no".to_owned() }
}

impl Desk {
    /// The timer of the server stands still: tests run the one of the scripted service.
    async fn open() -> Desk {
        let clock = Clock::manual(Time::parse("2026-01-01T00:00:00Z").unwrap());
        let app = App::in_memory(Config::default(), clock, Some(1)).unwrap();
        let credentials = seed_dev(app.kernel()).await.unwrap();
        let kernel = app.kernel();
        kernel.worker.stop();
        let client: ClientId = credentials.client_id.parse().unwrap();
        let users = kernel.service::<dyn UserContract>("user").unwrap();
        let script = Arc::new(Script::default());
        let service = Payments {
            clients: kernel.service("client").unwrap(),
            users: users.clone(),
            pricing: kernel.service("pricing").unwrap(),
            currencies: kernel.service("currency").unwrap(),
            balance: kernel.service("user_balance").unwrap(),
            transactions: kernel.service("transactions").unwrap(),
            adapters: Adapters { sandbox: script.clone(), ..Adapters::built_in(&kernel.net) },
            secrets: kernel.secrets.clone(),
            net: kernel.net.clone(),
        };
        let new = NewUser {
            email: "ann@example.com".into(),
            first_name: "Ann".into(),
            last_name: "T".into(),
            phone: None,
            roles: vec![],
            roles_by: None,
            password_hash: None,
            referral_code: None,
            external_id: None,
            metadata: Metadata::default(),
        };
        let caller = Caller::system(Some(client));
        let user = kernel.store.write_blocking(move |tx| users.create(tx, &caller, client, new)).unwrap();
        Desk { client, credentials, user: user.id, script, service: Arc::new(service), app }
    }

    fn write<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut WriteTx, &Payments, &Caller) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (service, caller) = (self.service.clone(), Caller::system(Some(self.client)));
        self.app.kernel().store.write_blocking(move |tx| f(tx, &service, &caller))
    }

    fn read<T>(&self, f: impl FnOnce(&ReadTx) -> Result<T>) -> T {
        self.app.kernel().store.read(f).unwrap()
    }

    fn charge(&self, amount: &str) -> PaymentId {
        let input = PaymentIn {
            amount: amount.parse().unwrap(),
            currency: "USD".parse().unwrap(),
            user_id: Some(self.user),
            gateway_id: Some(self.credentials.sandbox_gateway.parse().unwrap()),
            expires_in_s: Some(30 * 24 * 3600),
            external_id: None,
            metadata: Metadata::default(),
        };
        self.write(|tx, service, caller| {
            service.charge(tx, &Call { caller: caller.clone(), path: (), input }).map(|it| it.id)
        })
        .unwrap()
    }

    /// The first of the three steps.
    fn claim(&self, payment: PaymentId) -> Told {
        let claimed = self.write(move |tx, service, caller| {
            let input = InitiateIn { gateway_id: None, return_url: None };
            let call = Call { caller: caller.clone(), path: payment, input };
            Ok(match service.claim_attempt(tx, &call)? {
                Claim::Call(told) => Some(told),
                Claim::Done(_) => None,
            })
        });
        claimed.unwrap().expect("the gateway is to be told")
    }

    /// The last of the three steps.
    fn take(&self, word: Word) {
        self.write(|tx, service, caller| service.take_word(tx, caller, word).map(drop)).unwrap();
    }

    /// An attempt of which the gateway says this.
    async fn attempt(&self, payment: PaymentId, says: Vec<Notice>) -> AttemptId {
        self.script.says(says);
        let word = self.service.tell(self.claim(payment)).await;
        self.take(word);
        self.show(payment).1.unwrap().id
    }

    /// A notice that comes by itself, as a webhook would.
    fn hears(&self, payment: PaymentId, attempt: AttemptId, notice: Notice) {
        self.write(move |tx, service, caller| {
            let mut case = Case::load(tx, caller.client()?, payment)?;
            let mut attempt = Try::load(tx, &case, attempt)?;
            let outcome = AttemptOutcome::of(vec![notice]);
            service.hear_all(tx, caller, &mut case, &mut attempt, outcome)
        })
        .unwrap();
    }

    fn advance(&self, seconds: u64) {
        self.app.kernel().store.clock().advance(Duration::from_secs(seconds));
        let job = due_job(&self.service);
        self.write(move |tx, _, _| (job.run)(tx)).unwrap();
        self.put_questions();
    }

    /// What the worker of the server would do with the questions the timer left. A gateway that says nothing is not
    /// waited for.
    fn put_questions(&self) {
        let questions = Arc::new(Questions::new(&self.service));
        let waiting = self.read(|tx| {
            let rows = tx.scan(&DELIVERIES, Scan::all());
            rows.filter(|it| it.as_ref().is_ok_and(|it| it.1.listener == ASKING && !it.1.state.is_end()))
                .collect::<Result<Vec<_>>>()
        });
        for ((client, id), row) in waiting {
            let now = self.app.kernel().store.clock().now();
            let job = Sending {
                id,
                client: Some(client),
                envelope: None,
                target: row.target,
                extra: vec![],
                attempt: 1,
                interrupted: false,
                created_at: now,
                started_at: now,
            };
            let (courier, asked) = (questions.clone(), job.clone());
            let ready = self.write(move |tx, _, _| Courier::prepare(&*courier, tx, &asked)).unwrap();
            if let Ready::Go(question) = ready
                && let Some(report) = Courier::send(&*questions, job.clone(), question).now_or_never()
            {
                let courier = questions.clone();
                self.write(move |tx, _, _| Courier::settled(&*courier, tx, &job, &report)).unwrap();
            }
            self.write(move |tx, _, _| tx.call_off(id)).unwrap();
        }
    }

    fn show(&self, payment: PaymentId) -> (Case, Option<Try>) {
        self.read(|tx| {
            let case = Case::load(tx, self.client, payment)?;
            let attempt = Try::last(tx, &case)?;
            Ok((case, attempt))
        })
    }

    fn state(&self, payment: PaymentId) -> (PaymentStatus, Review) {
        let (case, _) = self.show(payment);
        (case.payment.status(), case.payment.review)
    }

    fn available(&self) -> i128 {
        let balance: Arc<dyn BalanceContract> = self.service.balance.clone();
        let currency = usd(0).currency();
        self.read(|tx| balance.balances(tx, self.client, self.user, currency)).available.minor()
    }

    fn in_suspense(&self) -> i128 {
        let account = Account::house(HouseAccount::Suspense, usd(0).currency());
        self.read(|tx| self.service.balance.account(tx, self.client, account)).map_or(0, |it| it.balance)
    }
}

/// Whatever a test did, the books hold.
impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let kernel = self.app.kernel();
            assert_eq!(self.read(|tx| kernel.verify(tx)), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_crash_in_mid_call_is_asked_about_and_the_late_answer_changes_nothing() {
    let desk = Desk::open().await;
    let payment = desk.charge("10.00");
    let told = desk.claim(payment);
    assert_eq!(desk.state(payment), (PaymentStatus::Processing, Review::None));
    desk.script.says(vec![settled("g-1", usd(1000))]); // The answer to the question.
    desk.advance(60);
    assert_eq!(desk.state(payment), (PaymentStatus::Settled, Review::None));
    desk.script.says(vec![settled("g-1", usd(1000)), declined()]); // The answer to the first call.
    let word = desk.service.tell(told).await;
    desk.take(word);
    assert_eq!(desk.state(payment), (PaymentStatus::Settled, Review::None));
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 0));
}

#[tokio::test]
async fn a_gateway_that_stays_silent_is_asked_ever_more_rarely() {
    let desk = Desk::open().await;
    let payment = desk.charge("10.00");
    desk.attempt(payment, vec![Notice::Unknown { reason: "timeout".into() }]).await;
    let mut asked_at = desk.app.kernel().store.clock().now();
    for minutes in [1, 5, 60, 360, 1440, 1440] {
        let (case, attempt) = desk.show(payment);
        assert_eq!(case.payment.review, Review::Needed);
        assert_eq!(attempt.unwrap().row.status(), AttemptStatus::Unknown);
        let due = case.payment.due_at.expect("it is asked again");
        assert_eq!(due.since(asked_at), Duration::from_secs(60 * minutes));
        desk.advance(60 * minutes);
        asked_at = due;
    }
    assert_eq!(desk.state(payment), (PaymentStatus::Processing, Review::Needed));
    desk.script.says(vec![settled("g-1", usd(1000))]);
    desk.advance(1440 * 60);
    assert_eq!(desk.state(payment), (PaymentStatus::Settled, Review::None));
    assert_eq!(desk.available(), 1000);
}

#[tokio::test]
async fn words_that_come_after_the_end_change_nothing() {
    let desk = Desk::open().await;
    let payment = desk.charge("10.00");
    let attempt = desk.attempt(payment, vec![settled("g-1", usd(1000))]).await;
    for notice in [
        declined(),
        Notice::AwaitsPayer { reference: None },
        Notice::Unknown { reason: "timeout".into() },
        Notice::Processing { reference: "g-1".into(), ask_after: None },
        Notice::Authorized { reference: "g-1".into() },
        settled("g-1", usd(1000)),
    ] {
        desk.hears(payment, attempt, notice.clone());
        assert_eq!(desk.state(payment), (PaymentStatus::Settled, Review::None), "{notice:?}");
    }
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 0));
    // Another reference is other money.
    desk.hears(payment, attempt, settled("g-2", usd(1000)));
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 1000));
}

#[tokio::test]
async fn an_attempt_given_up_that_is_paid_after_all_settles_and_the_next_is_canceled() {
    let desk = Desk::open().await;
    let payment = desk.charge("10.00");
    let first = desk.attempt(payment, vec![declined()]).await;
    let second = desk.attempt(payment, vec![Notice::AwaitsPayer { reference: None }]).await;
    assert_eq!(desk.state(payment), (PaymentStatus::RequiresAction, Review::None));
    // What is said of an attempt given up does not move the payment, unless it is money.
    desk.hears(payment, first, declined());
    assert_eq!(desk.state(payment), (PaymentStatus::RequiresAction, Review::None));
    desk.hears(payment, first, settled("g-1", usd(1000)));
    let (case, attempt) = desk.show(payment);
    assert_eq!(case.payment.status(), PaymentStatus::Settled);
    assert_eq!(attempt.unwrap().row.status(), AttemptStatus::Canceled);
    desk.hears(payment, second, settled("g-2", usd(1000)));
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 1000));
}

#[tokio::test]
async fn another_currency_or_a_known_reference_is_a_conflict_and_books_nothing() {
    let desk = Desk::open().await;
    let euros = Amount::new(1000, Currency { code: "EUR".parse().unwrap(), decimals: 2 }).unwrap();
    let resolve = |payment: PaymentId, decision: Decision| {
        let revision = desk.show(payment).0.payment.revision();
        desk.write(move |tx, service, caller| {
            let input = ResolveIn { revision, decision, reason: Text("looked".into()) };
            service.resolve(tx, &Call { caller: caller.clone(), path: payment, input }).map(drop)
        })
    };
    let first = desk.charge("10.00");
    desk.attempt(first, vec![settled("g-1", usd(1000))]).await;
    for (says, code) in [
        (settled("g-2", euros), "payment_currency_mismatch"),
        (settled("g-1", usd(1000)), "reference_used"),
        (settled("g-1", usd(999)), "reference_used"),
    ] {
        let payment = desk.charge("10.00");
        desk.attempt(payment, vec![says.clone()]).await;
        assert_eq!(desk.state(payment), (PaymentStatus::Processing, Review::Conflicted), "{says:?}");
        desk.advance(48 * 3600);
        assert_eq!(resolve(payment, Decision::Credit).unwrap_err().code(), Some(code), "{says:?}");
        resolve(payment, Decision::Reject).unwrap();
        assert_eq!(desk.state(payment), (PaymentStatus::Failed, Review::None), "{says:?}");
    }
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 0));
}

#[tokio::test]
async fn the_gateways_own_reference_of_what_a_person_credited_is_the_same_money() {
    let desk = Desk::open().await;
    let payment = desk.charge("10.00");
    let attempt = desk.attempt(payment, vec![Notice::Unknown { reason: "timeout".into() }]).await;
    let revision = desk.show(payment).0.payment.revision();
    desk.write(move |tx, service, caller| {
        let (decision, reason) = (Decision::Credit, Text("on the statement".into()));
        let input = ResolveIn { revision, decision, reason };
        service.resolve(tx, &Call { caller: caller.clone(), path: payment, input }).map(drop)
    })
    .unwrap();
    desk.hears(payment, attempt, settled("g-1", usd(1000)));
    assert_eq!((desk.available(), desk.in_suspense()), (1000, 0));
    let places = desk.read(|tx| {
        tx.scan(&SETTLEMENTS, Scan::all()).map(|it| it.map(|(_, row)| row.place)).collect::<Result<Vec<_>>>()
    });
    assert_eq!(places, [Place::Credited]);
}

#[tokio::test]
async fn a_payment_that_cannot_be_dealt_with_is_set_aside_and_costs_the_others_nothing() {
    let desk = Desk::open().await;
    let (broken, sound) = (desk.charge("10.00"), desk.charge("20.00"));
    desk.attempt(broken, vec![Notice::Unknown { reason: "timeout".into() }]).await;
    desk.attempt(sound, vec![Notice::Unknown { reason: "timeout".into() }]).await;
    // It names an attempt that is not there, which no command can do.
    let client = desk.client;
    desk.write(move |tx, _, _| {
        let mut row = tx.get(&PAYMENTS, &(client, broken))?.expect("it was made");
        row.attempt = Some(AttemptId::from_bytes([0; 16]));
        tx.put(&PAYMENTS, &(client, broken), &row)
    })
    .unwrap();
    desk.script.says(vec![settled("g-1", usd(2000))]);
    desk.advance(60);
    assert_eq!(desk.state(sound), (PaymentStatus::Settled, Review::None));
    let row = desk.read(|tx| tx.get(&PAYMENTS, &(client, broken))).unwrap();
    let waits = row.due_at.unwrap().since(desk.app.kernel().store.clock().now());
    assert_eq!((waits, row.review), (Duration::from_secs(3600), Review::Needed));
}
