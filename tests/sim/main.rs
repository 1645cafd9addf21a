//! Random clients against a model, on a disk that loses power.
//!
//! Every command is sent under an idempotency key of its own. When the power goes before an answer, the command is
//! repeated under its key after the restart: whatever had happened, the answer then says so, and the model follows the
//! answers. At the end of each cycle the balances are the model's and every invariant holds.
//!
//! `COFFER_SIM_SEEDS=200 COFFER_SIM_STEPS=500 cargo test --test sim`; a failing seed names itself:
//! `COFFER_SIM_SEED=17 cargo test --test sim`.

mod charge;
mod invest;
mod rates;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::Duration,
};

use coffer::testing::Simulation;
use serde_json::{Value, json};

use self::{
    charge::Charge,
    invest::Investment,
    rates::{CURRENCIES, Deposit, Quote, Tether, decimals, minor, shown},
};

/// splitmix64: the same seed, the same story.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }
}

/// (user, currency) → smallest units.
type Purse = BTreeMap<(String, &'static str), i128>;

/// What users have.
#[derive(Default)]
struct Model {
    available: Purse,
    held: Purse,
    invested: Purse,
    /// Open holds: transfer → it.
    holds: BTreeMap<String, Hold>,
    /// Withdrawals that can still be canceled: id → (user, cents).
    withdrawals: BTreeMap<String, (String, i128)>,
    tether: Tether,
    quotes: BTreeMap<String, Quote>,
    /// Deposits that are not over.
    deposits: BTreeMap<String, Deposit>,
    /// Deposits that can be taken back: id → (user, cents).
    completed: BTreeMap<String, (String, i128)>,
    investments: BTreeMap<String, Investment>,
    charges: BTreeMap<String, Charge>,
}

struct Hold {
    from: String,
    to: String,
    cents: i128,
    expires_at: String,
}

impl Model {
    fn has(&self, user: &str, currency: &'static str) -> i128 {
        self.available.get(&(user.to_owned(), currency)).copied().unwrap_or(0)
    }

    /// Why the user cannot pay so much: who owes of one currency pays none of another.
    fn why_not(&self, user: &str, currency: &'static str, amount: i128) -> Option<&'static str> {
        if self.owes(user) {
            Some("user_owes")
        } else {
            (self.has(user, currency) < amount).then_some("insufficient_funds")
        }
    }

    fn owes(&self, user: &str) -> bool {
        self.available.iter().any(|(of, left)| of.0 == user && *left < 0)
    }

    fn give(&mut self, user: &str, currency: &'static str, amount: i128) {
        *self.available.entry((user.to_owned(), currency)).or_default() += amount;
    }

    fn hold(&mut self, user: &str, cents: i128) {
        self.give(user, "USD", -cents);
        *self.held.entry((user.to_owned(), "USD")).or_default() += cents;
    }

    fn let_go(&mut self, user: &str, cents: i128) {
        self.hold(user, -cents);
    }
}

struct Story {
    simulation: Simulation,
    dice: Dice,
    users: Vec<String>,
    plan: String,
    market: String,
    model: Model,
    keys: u64,
    repeats: u32,
    /// What came about, to see that the story is one.
    seen: BTreeSet<&'static str>,
}

impl Story {
    async fn begin(seed: u64) -> Story {
        let simulation = Simulation::start(seed).await;
        let mut story = Story {
            simulation,
            dice: Dice(seed),
            users: vec![],
            plan: String::new(),
            market: String::new(),
            model: Model::default(),
            keys: 0,
            repeats: 0,
            seen: BTreeSet::new(),
        };
        for number in 0..5 {
            let user =
                json!({ "email": format!("u{number}@example.com"), "first_name": "U", "last_name": "N" });
            let user = story.send("/users", user).await;
            story.users.push(user.1["id"].as_str().unwrap().to_owned());
        }
        for user in story.users.clone() {
            for (currency, amount) in
                [("USD", "1000.00"), ("EUR", "500.00"), ("BTC", "0.01"), ("USDT", "300")]
            {
                let credit = json!({ "amount": amount, "currency": currency, "from": "house:adjustment", "to": user, "reason": "seed" });
                assert_eq!(story.send("/transfers", credit).await.0, 201);
                story.model.give(&user, currency, minor(amount, decimals(currency)));
            }
        }
        story.begin_rates().await;
        story.begin_investing().await;
        story
    }

    /// Sends a command until it is answered, through as many restarts as it takes.
    async fn send(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.keys += 1;
        let key = format!("key-{}", self.keys);
        loop {
            let (status, answer) = self.simulation.request(&key, "POST", path, body.clone()).await;
            if status != 503 || answer["code"] == "rate_unavailable" {
                assert!(status < 500 || status == 503, "{path} answered {status}: {answer}");
                return (status, answer);
            }
            self.repeats += 1;
            self.simulation.restart();
        }
    }

    async fn show(&mut self, path: &str) -> Value {
        loop {
            let (status, answer) = self.simulation.request("-", "GET", path, Value::Null).await;
            if status != 503 {
                assert_eq!(status, 200, "{path}: {answer}");
                return answer;
            }
            self.simulation.restart();
        }
    }

    fn someone(&mut self) -> String {
        let place = self.dice.roll(self.users.len() as u64) as usize;
        self.users[place].clone()
    }

    /// Any of them.
    fn one_of<V>(dice: &mut Dice, things: &BTreeMap<String, V>) -> Option<String> {
        let place = dice.roll(things.len().max(1) as u64) as usize;
        things.keys().nth(place).cloned()
    }

    async fn step(&mut self) {
        if self.dice.roll(12) == 0 {
            let changes = self.dice.roll(120);
            self.simulation.lose_power_in(changes);
        }
        match self.dice.roll(30) {
            0..4 => self.transfer(false).await,
            4..6 => self.transfer(true).await,
            6 => self.end_a_hold().await,
            7 => self.withdraw().await,
            8 => self.cancel().await,
            9 | 10 => self.price().await,
            11..14 => self.swap().await,
            14 => self.accept_an_old_quote().await,
            15 | 16 => self.deposit().await,
            17 | 18 => self.pay().await,
            19 => self.reverse().await,
            20 => self.invest().await,
            21 => self.end_an_investment().await,
            22 => self.pass(60).await,
            23 => self.charge().await,
            24 | 25 => self.refund().await,
            26 | 27 => self.charge_back().await,
            _ => self.pass(3 * 24 * 3600).await,
        }
    }

    /// At most so many seconds go by, and what comes due in them is done.
    async fn pass(&mut self, seconds: u64) {
        let seconds = self.dice.roll(seconds);
        self.simulation.advance(Duration::from_secs(seconds));
        self.grow_old(seconds);
        let now = self.simulation.now();
        let over = |it: &Hold| it.expires_at <= now;
        let over: Vec<String> =
            self.model.holds.iter().filter(|it| over(it.1)).map(|it| it.0.clone()).collect();
        for id in over {
            let Hold { from, cents, .. } = self.model.holds.remove(&id).unwrap();
            self.model.let_go(&from, cents);
            self.seen.insert("a hold expired");
        }
        for (id, (user, cents)) in self.model.withdrawals.clone() {
            if self.show(&format!("/withdrawals/{id}")).await["status"] == "expired" {
                self.model.withdrawals.remove(&id);
                self.model.let_go(&user, cents);
            }
        }
        self.earn(&now);
        for id in self.model.deposits.keys().cloned().collect::<Vec<_>>() {
            self.follow(&id).await;
        }
    }

    async fn transfer(&mut self, hold: bool) {
        let (from, to, cents) = (self.someone(), self.someone(), 1 + i128::from(self.dice.roll(40_000)));
        let body = json!({ "amount": shown(cents, 2), "currency": "USD", "from": from, "to": to, "hold": hold, "expires_in_s": hold.then_some(86_400) });
        let (status, answer) = self.send("/transfers", body).await;
        if from == to {
            assert_eq!(answer["code"], "same_account");
        } else if let Some(code) = self.model.why_not(&from, "USD", cents) {
            assert_eq!(answer["code"], code, "{answer}");
        } else {
            assert_eq!(status, 201, "{answer}");
            if hold {
                self.model.hold(&from, cents);
                let expires_at = answer["expires_at"].as_str().unwrap().to_owned();
                let id = answer["id"].as_str().unwrap().to_owned();
                self.model.holds.insert(id, Hold { from, to, cents, expires_at });
            } else {
                self.model.give(&from, "USD", -cents);
                self.model.give(&to, "USD", cents);
            }
        }
    }

    async fn end_a_hold(&mut self) {
        let Some((id, Hold { from, to, cents, .. })) = self.model.holds.pop_first() else { return };
        let captured = if self.dice.roll(2) == 0 { 1 + i128::from(self.dice.roll(cents as u64)) } else { 0 };
        let (verb, body) = if captured > 0 {
            ("capture", json!({ "amount": shown(captured, 2) }))
        } else {
            ("void", json!({}))
        };
        let (status, answer) = self.send(&format!("/transfers/{id}/{verb}"), body).await;
        assert_eq!(status, 200, "{answer}");
        self.model.let_go(&from, cents);
        self.model.give(&from, "USD", -captured);
        self.model.give(&to, "USD", captured);
    }

    async fn withdraw(&mut self) {
        let (user, cents) = (self.someone(), 1_000 + i128::from(self.dice.roll(60_000)));
        let method = json!({ "type": "crypto", "network": "bitcoin", "address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq" });
        let body = json!({ "user_id": user, "amount": shown(cents, 2), "currency": "USD", "method": method });
        let (status, answer) = self.send("/withdrawals", body).await;
        if let Some(code) = self.model.why_not(&user, "USD", cents) {
            assert_eq!(answer["code"], code, "{answer}");
            return;
        }
        assert_eq!(status, 201, "{answer}");
        self.model.hold(&user, cents);
        self.model.withdrawals.insert(answer["id"].as_str().unwrap().to_owned(), (user, cents));
    }

    async fn cancel(&mut self) {
        let Some((id, (user, cents))) = self.model.withdrawals.pop_first() else { return };
        let (status, answer) = self.send(&format!("/withdrawals/{id}/cancel"), json!({})).await;
        assert_eq!(status, 200, "{answer}");
        self.model.let_go(&user, cents);
    }

    async fn compare(&mut self) {
        self.simulation.restart_calmly();
        assert_eq!(self.simulation.problems(), Vec::<String>::new());
        self.compare_charges().await;
        for user in self.users.clone() {
            for (currency, decimals) in CURRENCIES {
                let found = self.show(&format!("/balances/{currency}?user_id={user}")).await;
                let key = (user.clone(), currency);
                for (name, purse) in [
                    ("available", &self.model.available),
                    ("held", &self.model.held),
                    ("invested", &self.model.invested),
                ] {
                    let wanted = shown(purse.get(&key).copied().unwrap_or(0), decimals);
                    assert_eq!(found[name], wanted, "{name} {currency} of {user}");
                }
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn what_was_answered_survives_every_power_cut_and_the_books_balance() {
    let only = env::var("COFFER_SIM_SEED").ok().and_then(|it| it.parse::<u64>().ok());
    let seeds = only.map_or_else(|| (1..=number("COFFER_SIM_SEEDS", 4)).collect(), |it| vec![it]);
    let steps = number("COFFER_SIM_STEPS", 80);
    let (mut repeats, mut seen) = (0, BTreeSet::new());
    for seed in seeds {
        println!("COFFER_SIM_SEED={seed} cargo test --test sim"); // Shown when it fails: the line that repeats it.
        let mut story = Story::begin(seed).await;
        for step in 0..steps {
            story.step().await;
            if step % 20 == 19 {
                story.compare().await;
            }
        }
        story.compare().await;
        repeats += story.repeats;
        seen.append(&mut story.seen);
    }
    println!("{repeats} commands were repeated; {seen:?}");
    assert!(repeats > 0 || only.is_some(), "the power went while a command ran");
    let usual = [
        "a swap",
        "a promise kept",
        "credited at the price of the moment",
        "a profit",
        "a hold expired",
        "a maturity",
        "a chargeback",
        "a chargeback behind a refund",
        "a dispute won",
    ];
    for usual in usual {
        assert!(seen.contains(usual) || only.is_some(), "no story had {usual}");
    }
}
