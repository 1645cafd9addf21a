//! `coffer demo`: ninety plausible days of two businesses, then a server on them.
//!
//! The days are lived through the API itself, by a clock that is moved, so that the data is exactly what the API
//! makes. They are the same days every time, and end today: people to pay out, a deposit on its way, a correction and a
//! disputed payment wait for somebody to decide; a server that does not answer has not heard of a swap.

use std::{sync::Arc, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{
    Context,
    dev::{LOOPBACK, print_line, welcome},
    exit::Failure,
    local::Backend,
    operator::random_password,
    serve::{Listeners, until_stopped},
    sown::{SignIn, Sown, sow_once},
};
use crate::{
    app::App,
    kernel::{
        boot::Kernel,
        clock::{Clock, Time},
    },
};

#[derive(Args)]
pub struct Demo {
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

const DAYS: u64 = 90;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When a day's business begins.
const OPENING: Duration = Duration::from_secs(7 * 3600);
/// Longer than it takes to leave what waits to be decided.
const LAST_HOURS: Duration = Duration::from_secs(3 * 3600);

impl Demo {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut beneath =
            vec![("storage.path", "data/demo.redb".to_owned()), ("log.level", "warn".to_owned())];
        if let Some(port) = self.port {
            beneath.push(("server.listen", format!("127.0.0.1:{port}")));
        }
        let mut config = context.load(&beneath)?.config;
        // The receiver that does not answer is on this machine: nothing of it is told to anybody outside.
        if config.webhooks.allow_networks.is_empty() {
            config.webhooks.allow_networks = LOOPBACK.iter().filter_map(|it| it.parse().ok()).collect();
        }
        super::log(&config.log);
        if !config.storage.path.exists() {
            eprintln!("Living through {DAYS} days, once …");
        }
        let now = Clock::System.now();
        let midnight = now.before(Duration::from_secs(now.seconds().rem_euclid(24 * 3600).unsigned_abs()));
        let begin = midnight.before(DAY * DAYS as u32);
        let (app, sown) =
            sow_once(&config, Clock::manual(begin), async |app| live(app, begin, now).await).await?;
        let listeners = Listeners::bind(&app).await?;
        let url = config.public_url(&listeners.address);
        if context.json {
            print_line(&url, &sown);
        } else {
            let data = config.storage.path.display().to_string();
            welcome(&url, &data, &sown, "/withdrawals?status=pending_review");
        }
        until_stopped(app, listeners, std::future::pending()).await
    }
}

async fn live(app: &App, begin: Time, now: Time) -> Result<Sown, Failure> {
    let story = Story { kernel: app.kernel().clone(), backend: Backend::of(app.kernel()) };
    let mut sown = Sown::default();
    sown.add_operator(app, "operator@example.com").await?;
    let token = story.backend.post("/operator/tokens", json!({ "name": "demo" })).send().await?;
    sown.operator_token = text(&token, "token");

    let northwind = House::open(&story, &NORTHWIND, &mut sown).await?;
    let harbor = House::open(&story, &HARBOR, &mut sown).await?;
    (sown.client_id, sown.secret_key) = (northwind.id.clone(), northwind.key.clone());
    sown.publishable_key = northwind.publishable_key.clone();

    let mut houses = [northwind, harbor];
    for day in 0..DAYS {
        story.wait_until(begin.after(DAY * day as u32 + OPENING)).await?;
        for house in &mut houses {
            house.live_a_day(&story, day).await?;
        }
    }
    let [northwind, _] = &houses;
    story.wait_until(now.before(LAST_HOURS)).await?;
    northwind.leave_work(&story).await?;
    Ok(sown)
}

/// A business and its people.
struct Cast {
    name: &'static str,
    slug: &'static str,
    currency: &'static str,
    others: &'static [&'static str],
    /// What it has prices of, in its default currency.
    priced: &'static [&'static str],
    staff: (&'static str, &'static str),
    customers: &'static [(&'static str, &'static str)],
}

const NORTHWIND: Cast = Cast {
    name: "Northwind Pay",
    slug: "northwind",
    currency: "USD",
    others: &["EUR", "BTC", "ETH", "USDT"],
    priced: &["EUR", "BTC"],
    staff: ("Grace", "Okafor"),
    customers: &[
        ("Ada", "Lindqvist"),
        ("Bruno", "Marchetti"),
        ("Chiara", "Novak"),
        ("Daniel", "Ferreira"),
        ("Elif", "Demir"),
        ("Farid", "Haddad"),
        ("Greta", "Svensson"),
        ("Hugo", "Laurent"),
    ],
};

const HARBOR: Cast = Cast {
    name: "Harbor Tickets",
    slug: "harbor",
    currency: "EUR",
    others: &["USD"],
    priced: &[],
    staff: ("Ines", "Carvalho"),
    customers: &[("Jonas", "Weber"), ("Katarzyna", "Zielinska"), ("Liam", "Byrne"), ("Mei", "Tanaka")],
};

/// The server while its past is made up.
struct Story {
    kernel: Arc<Kernel>,
    backend: Backend,
}

impl Story {
    /// Moves the clock to `time`, if it is not there yet, and runs whatever came due.
    async fn wait_until(&self, time: Time) -> Result<(), Failure> {
        let clock = self.kernel.store.clock();
        clock.advance(time.since(clock.now()));
        let worker = self.kernel.worker.clone();
        tokio::task::spawn_blocking(move || worker.settle()).await.map_err(Failure::fault)??;
        Ok(())
    }

    fn pass_minutes(&self, minutes: u64) {
        self.kernel.store.clock().advance(Duration::from_secs(60 * minutes));
    }
}

/// A client while its past is made up.
struct House {
    id: String,
    key: String,
    publishable_key: String,
    cast: &'static Cast,
    bank: String,
    sandbox: String,
    /// Ids, as `priced` in its cast.
    markets: Vec<String>,
    /// On offer to whoever has prices.
    plan: Option<String>,
    /// E-mail address and password.
    staff: (String, String),
    /// Ids, in the order they joined.
    customers: Vec<String>,
}

impl House {
    async fn open(story: &Story, cast: &'static Cast, sown: &mut Sown) -> Result<House, Failure> {
        let backend = &story.backend;
        let body = json!({ "name": cast.name, "slug": cast.slug, "mode": "test", "default_currency": cast.currency });
        let client = backend.post("/clients", body).send().await?;
        let id = text(&client, "id");
        let fee = json!({
            "name": "Withdrawals", "operation": "withdrawal", "currency": cast.currency, "fixed": "1.00",
        });
        backend.post("/fees", fee).client(Some(&id)).send().await?;
        for code in cast.others {
            let path = format!("/currencies/{code}/activate");
            backend.post(path, json!({})).header("if-match", "*").client(Some(&id)).send().await?;
        }
        let currencies = [&[cast.currency], cast.others].concat();
        let gateway = async |kind: &str, name: &str| -> Result<String, Failure> {
            let body = json!({ "name": name, "slug": kind, "kind": kind, "currencies": currencies });
            let gateway = backend.post("/payment-gateways", body).client(Some(&id)).send().await?;
            let path = format!("/payment-gateways/{}/activate", text(&gateway, "id"));
            backend.post(path, json!({})).header("if-match", "*").client(Some(&id)).send().await?;
            Ok(text(&gateway, "id"))
        };
        let (bank, sandbox) =
            (gateway("manual", "Bank transfer").await?, gateway("sandbox", "Sandbox").await?);

        let mut markets = vec![];
        for base in cast.priced {
            let market = json!({ "base": base, "quote": cast.currency });
            let market = backend.post("/markets", market).client(Some(&id)).send().await?;
            markets.push(text(&market, "id"));
        }
        let mut plan = None;
        if !cast.priced.is_empty() {
            let body = json!({
                "name": "Harbour loft", "type": "real_estate", "currency": cast.currency, "min_amount": "100.00",
                "return_percent": "9", "return_basis": "annual", "day_count": "ACT/365", "cadence": "weekly",
                "compounding": false, "term_days": 30, "early_close_penalty_percent": "1", "cooling_off_hours": 24,
                "benefits": ["A tour of the building"],
            });
            let made = text(&backend.post("/plans", body).client(Some(&id)).send().await?, "id");
            backend.post(format!("/plans/{made}/publish"), json!({})).client(Some(&id)).send().await?;
            plan = Some(made);
        }

        let (first, last) = cast.staff;
        let staff = (email(cast, first), random_password());
        let body = json!({
            "email": staff.0, "first_name": first, "last_name": last, "password": staff.1, "roles": ["admin"],
        });
        backend.post("/users", body).client(Some(&id)).send().await?;
        let who = format!("{first}, staff of {}", cast.name);
        sown.sign_ins.push(SignIn { who, email: staff.0.clone(), password: staff.1.clone() });
        Ok(House {
            key: text(&client, "secret_key"),
            publishable_key: text(&client, "publishable_key"),
            id,
            cast,
            bank,
            sandbox,
            markets,
            plan,
            staff,
            customers: vec![],
        })
    }

    async fn live_a_day(&mut self, story: &Story, day: u64) -> Result<(), Failure> {
        story.pass_minutes(chance(day, 0) % 90);
        self.price(story, day, &[40, 20, 0]).await?;
        // Somebody joins every fourth day.
        if day.is_multiple_of(4) && self.customers.len() < self.cast.customers.len() {
            self.welcome(story).await?;
        }
        for (place, user) in self.customers.iter().enumerate() {
            let luck = |what: u64| chance(day, 10 * (place as u64 + 1) + what);
            if luck(0).is_multiple_of(9) || self.joined(place) == day {
                self.deposit(story, user, 5_000 + 50 * (luck(1) % 1_900), luck(2) % 5 < 3).await?;
            }
            let available = self.available(story, user).await?;
            if luck(3).is_multiple_of(11) && available > 20_000 {
                let cents = (2_000 + 100 * (luck(4) % 400)).min(available / 2);
                self.withdraw_at_once(story, user, cents).await?;
            }
            if luck(5).is_multiple_of(13) && available > 6_000 && self.customers.len() > 1 {
                let other = &self.customers[(place + 1) % self.customers.len()];
                self.transfer(story, user, other, 500 + 25 * (luck(6) % 100)).await?;
            }
        }
        match day {
            20 => self.declined_deposit(story).await,
            34 => self.large_withdrawal(story, 150_000, Some("approve")).await,
            52 => self.large_withdrawal(story, 120_000, Some("reject")).await,
            61 => self.correction(story, true).await,
            _ => Ok(()),
        }?;
        if let Some(plan) = &self.plan {
            self.grow(story, day, plan).await?;
        }
        Ok(())
    }

    /// What a business does that has prices and a plan: some of it matures, some of it runs on.
    async fn grow(&self, story: &Story, day: u64, plan: &str) -> Result<(), Failure> {
        match day {
            12 => self.invest(story, &self.customers[0], plan, "pay_out").await,
            26 => self.invest(story, &self.customers[1], plan, "roll_principal").await,
            44 => self.invest(story, &self.customers[2], plan, "pay_out").await,
            80 => self.invest(story, &self.customers[3], plan, "roll_all").await,
            15 => self.swap(story, day, &self.customers[1], "EUR").await,
            33 => self.swap(story, day, &self.customers[0], "BTC").await,
            56 => self.refund(story, &self.customers[3]).await,
            78 => self.listen(story).await,
            79 => self.swap(story, day, &self.customers[2], "BTC").await,
            _ => Ok(()),
        }
    }

    /// What things are worth: observed so many minutes ago.
    async fn price(&self, story: &Story, day: u64, minutes_ago: &[u64]) -> Result<(), Failure> {
        let now = story.kernel.store.clock().now();
        let mut prices = vec![];
        for minutes in minutes_ago {
            for (market, base) in self.markets.iter().zip(self.cast.priced) {
                let luck = chance(day, 1_000 + minutes);
                let price = match *base {
                    "BTC" => format!("{}.00", 98_000 + 90 * day + luck % 1_500),
                    _ => format!("1.{:04}", 800 + luck % 120),
                };
                let observed_at = now.before(Duration::from_secs(60 * minutes));
                prices.push(json!({
                    "market_id": market, "price": price, "observed_at": observed_at, "source": "desk",
                }));
            }
        }
        if prices.is_empty() {
            return Ok(());
        }
        self.ask(story, "/markets/prices", json!({ "prices": prices })).send().await.map(drop)
    }

    async fn invest(&self, story: &Story, user: &str, plan: &str, then: &str) -> Result<(), Failure> {
        self.deposit(story, user, 60_000, true).await?;
        let body =
            json!({ "plan_id": plan, "amount": "500.00", "user_id": user, "maturity_instruction": then });
        self.ask(story, "/investments", body).send().await.map(drop)
    }

    async fn swap(&self, story: &Story, day: u64, user: &str, to: &str) -> Result<(), Failure> {
        self.deposit(story, user, 40_000, true).await?;
        self.price(story, day, &[0]).await?;
        let body = json!({
            "from_currency": self.cast.currency, "to_currency": to, "from_amount": "250.00", "user_id": user,
        });
        let quote = self.ask(story, "/swaps/quotes", body).send().await?;
        self.ask(story, "/swaps", json!({ "quote_id": quote["id"] })).send().await.map(drop)
    }

    /// Part of a deposit goes back to where it came from; somebody else agrees.
    async fn refund(&self, story: &Story, user: &str) -> Result<(), Failure> {
        let funding = self.fund(story, user, 30_000).await?;
        self.initiate(story, &funding, &self.sandbox).await?;
        story.pass_minutes(180);
        let body = json!({
            "payment_id": funding["payment_id"], "amount": "120.00", "reason": "paid twice by mistake",
        });
        let refund = self.ask(story, "/refunds", body).send().await?;
        if refund["status"] != "requires_approval" {
            return Ok(());
        }
        story.pass_minutes(20);
        let path = format!("/refunds/{}/approve", text(&refund, "id"));
        let body = json!({ "revision": refund["approval"]["revision"] });
        self.ask(story, &path, body).bearer(&self.sign_in(story).await?).send().await.map(drop)
    }

    /// A server of the business is to be told of swaps and refunds; nothing answers there.
    async fn listen(&self, story: &Story) -> Result<(), Failure> {
        let body = json!({
            "url": "http://127.0.0.1:9/coffer", "event_types": ["swap.executed", "refund.*"],
            "description": "the book-keeping, which moved",
        });
        self.ask(story, "/webhook-endpoints", body).send().await.map(drop)
    }

    /// A bank takes back what came by card.
    async fn dispute(&self, story: &Story, user: &str) -> Result<(), Failure> {
        let funding = self.fund(story, user, 26_000).await?;
        self.initiate(story, &funding, &self.sandbox).await?;
        let body = json!({
            "payment_id": funding["payment_id"], "amount": "260.00", "reason": "the holder does not know of it",
        });
        self.ask(story, "/disputes", body).send().await.map(drop)
    }

    /// What is left for whoever looks at the demonstration.
    async fn leave_work(&self, story: &Story) -> Result<(), Failure> {
        self.large_withdrawal(story, 125_000, None).await?;
        self.large_withdrawal(story, 184_000, None).await?;
        self.correction(story, false).await?;
        let funding = self.fund(story, &self.customers[1], 42_000).await?;
        self.initiate(story, &funding, &self.bank).await?;
        self.dispute(story, &self.customers[6]).await?;
        let path = format!("/users/{}/freeze", self.customers[5]);
        let frozen = self.ask(story, &path, json!({ "reason": "asked for it: the phone was stolen" }));
        frozen.header("if-match", "*").send().await.map(drop)
    }

    /// The day a customer joined.
    fn joined(&self, place: usize) -> u64 {
        4 * place as u64
    }

    async fn welcome(&mut self, story: &Story) -> Result<(), Failure> {
        let place = self.customers.len();
        let (first, last) = self.cast.customers[place];
        let body = json!({
            "email": email(self.cast, first), "first_name": first, "last_name": last,
            "external_id": format!("{}-{:03}", self.cast.slug, place + 1),
        });
        let user = self.ask(story, "/users", body).send().await?;
        self.customers.push(text(&user, "id"));
        Ok(())
    }

    async fn deposit(&self, story: &Story, user: &str, cents: u64, by_bank: bool) -> Result<(), Failure> {
        let funding = self.fund(story, user, cents).await?;
        if !by_bank {
            return self.initiate(story, &funding, &self.sandbox).await;
        }
        self.initiate(story, &funding, &self.bank).await?;
        story.pass_minutes(25);
        let payment = text(&funding, "payment_id");
        let body = json!({
            "reference": format!("bank {}", &payment[payment.len() - 8..]), "amount": amount(cents),
            "currency": self.cast.currency, "reason": "on the bank statement",
        });
        self.ask(story, &format!("/payments/{payment}/mark-paid"), body).send().await.map(drop)
    }

    async fn fund(&self, story: &Story, user: &str, cents: u64) -> Result<Value, Failure> {
        story.pass_minutes(11);
        let body = json!({ "user_id": user, "amount": amount(cents), "currency": self.cast.currency });
        self.ask(story, "/fundings", body).send().await
    }

    async fn initiate(&self, story: &Story, funding: &Value, gateway: &str) -> Result<(), Failure> {
        let path = format!("/payments/{}/initiate", text(funding, "payment_id"));
        self.ask(story, &path, json!({ "gateway_id": gateway })).send().await.map(drop)
    }

    /// The sandbox declines what ends in .01.
    async fn declined_deposit(&self, story: &Story) -> Result<(), Failure> {
        let funding = self.fund(story, &self.customers[2], 25_001).await?;
        self.initiate(story, &funding, &self.sandbox).await
    }

    /// Small enough to be approved by policy.
    async fn withdraw_at_once(&self, story: &Story, user: &str, cents: u64) -> Result<(), Failure> {
        let withdrawal = self.withdraw(story, user, cents).await?;
        self.process(story, &withdrawal).await
    }

    async fn withdraw(&self, story: &Story, user: &str, cents: u64) -> Result<Value, Failure> {
        story.pass_minutes(9);
        let place = self.customers.iter().position(|it| it == user).unwrap_or(0);
        let (first, last) = self.cast.customers[place];
        let body = json!({
            "user_id": user, "amount": amount(cents), "currency": self.cast.currency,
            "method": {
                "type": "bank", "bank": "First Harbour Bank", "holder": format!("{first} {last}"),
                "iban": "GB82WEST12345698765432",
            },
        });
        self.ask(story, "/withdrawals", body).send().await
    }

    async fn process(&self, story: &Story, withdrawal: &Value) -> Result<(), Failure> {
        let path = format!("/withdrawals/{}/process", text(withdrawal, "id"));
        self.ask(story, &path, json!({ "gateway_id": self.sandbox })).send().await.map(drop)
    }

    /// Above what policy approves: somebody of the staff decides, or nobody has yet.
    async fn large_withdrawal(
        &self,
        story: &Story,
        cents: u64,
        verdict: Option<&str>,
    ) -> Result<(), Failure> {
        let user = &self.customers[(cents / 1_000) as usize % 4];
        self.deposit(story, user, cents + 30_000, true).await?;
        let withdrawal = self.withdraw(story, user, cents).await?;
        let Some(verdict) = verdict else { return Ok(()) };
        story.pass_minutes(95);
        let path = format!("/withdrawals/{}/{verdict}", text(&withdrawal, "id"));
        let body = match verdict {
            "approve" => json!({ "revision": withdrawal["revision"], "note": "known customer, called back" }),
            _ => {
                json!({ "revision": withdrawal["revision"], "reason": "the account holder is somebody else" })
            }
        };
        self.ask(story, &path, body).bearer(&self.sign_in(story).await?).send().await?;
        if verdict == "approve" { self.process(story, &withdrawal).await } else { Ok(()) }
    }

    async fn transfer(&self, story: &Story, from: &str, to: &str, cents: u64) -> Result<(), Failure> {
        story.pass_minutes(5);
        let body = json!({ "from": from, "to": to, "amount": amount(cents), "currency": self.cast.currency });
        self.ask(story, "/transfers", body).send().await.map(drop)
    }

    /// A correction by hand takes two people.
    async fn correction(&self, story: &Story, approved: bool) -> Result<(), Failure> {
        story.pass_minutes(30);
        let body = json!({
            "user_id": self.customers[3], "currency": self.cast.currency, "amount": "15.00", "direction": "credit",
            "reason": "goodwill: the deposit of last week took two days",
        });
        let adjustment = self.ask(story, "/adjustments", body).send().await?;
        if !approved {
            return Ok(());
        }
        story.pass_minutes(40);
        let path = format!("/adjustments/{}/approve", text(&adjustment, "id"));
        let body = json!({ "revision": adjustment["approval"]["revision"] });
        self.ask(story, &path, body).bearer(&self.sign_in(story).await?).send().await.map(drop)
    }

    async fn sign_in(&self, story: &Story) -> Result<String, Failure> {
        let body = json!({ "email": self.staff.0, "password": self.staff.1 });
        let session = self.ask(story, "/auth/login", body).bearer(&self.publishable_key).send().await?;
        Ok(text(&session, "access_token"))
    }

    /// In cents, of the default currency.
    async fn available(&self, story: &Story, user: &str) -> Result<u64, Failure> {
        let ask = story.backend.get(format!("/balances?user_id={user}")).bearer(&self.key);
        let balances = ask.send().await?;
        let rows = balances["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = rows.iter().find(|it| it["currency"] == self.cast.currency);
        let digits = own.map(|it| text(it, "available").replace('.', "")).unwrap_or_default();
        Ok(digits.parse().unwrap_or(0))
    }

    /// A command of the business's own back end, with its secret key.
    fn ask<'a>(&self, story: &'a Story, path: &str, body: Value) -> super::local::Ask<'a> {
        story.backend.post(path, body).bearer(&self.key)
    }
}

/// The same number for the same day and question, and no pattern anybody sees.
fn chance(day: u64, question: u64) -> u64 {
    crc32fast::hash(format!("{day} {question}").as_bytes()).into()
}

fn amount(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn email(cast: &Cast, first: &str) -> String {
    format!("{}@{}.example", first.to_lowercase(), cast.slug)
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
