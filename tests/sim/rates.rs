//! Money through rates: a market whose price moves and goes stale, swaps, and deposits paid in another currency. The
//! model knows the prices and reckons for itself.

use serde_json::json;

use super::Story;

pub const CURRENCIES: [(&str, u32); 4] = [("USD", 2), ("EUR", 2), ("BTC", 8), ("USDT", 6)];

/// When a price of the market goes stale, in seconds.
const STALE_AFTER_S: u64 = 24 * 3600;

pub fn decimals(currency: &str) -> u32 {
    CURRENCIES.iter().find(|it| it.0 == currency).unwrap().1
}

pub fn shown(minor: i128, decimals: u32) -> String {
    if decimals == 0 {
        return minor.to_string();
    }
    let (unit, sign) = (10i128.pow(decimals), if minor < 0 { "-" } else { "" });
    let (minor, width) = (minor.abs(), decimals as usize);
    format!("{sign}{}.{:0width$}", minor / unit, minor % unit)
}

pub fn minor(text: &str, decimals: u32) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<width$}", width = decimals as usize).parse().unwrap()
}

/// The market of USDT in USD.
#[derive(Default)]
pub struct Tether {
    /// In ten-thousandths of a dollar.
    price: i128,
    age_s: u64,
}

#[derive(Clone)]
pub struct Quote {
    user: String,
    from: (&'static str, i128),
    to: (&'static str, i128),
    expires_at: String,
}

#[derive(Clone)]
pub struct Deposit {
    user: String,
    cents: i128,
    currency: &'static str,
    expected: i128,
    /// Until when exactly what is expected is enough.
    expires_at: String,
    payment: String,
    received: i128,
    /// When the last of it came.
    came_at: String,
    references: u32,
    /// For a price.
    waits: bool,
}

impl Story {
    pub async fn begin_rates(&mut self) {
        let market = json!({ "base": "USDT", "quote": "USD", "stale_after_s": STALE_AFTER_S, "max_deviation_percent": "50" });
        let (status, market) = self.send("/markets", market).await;
        assert_eq!(status, 201, "{market}");
        self.market = market["id"].as_str().unwrap().to_owned();
        self.model.tether.price = 10_000;
        self.price().await;
    }

    /// A new price, up to a tenth away from the last.
    pub async fn price(&mut self) {
        let change = 90 + i128::from(self.dice.roll(21));
        let price = (self.model.tether.price * change / 100).clamp(5_000, 20_000);
        let path = format!("/markets/{}/prices", self.market);
        let (status, answer) = self.send(&path, json!({ "price": shown(price, 4) })).await;
        assert_eq!(status, 201, "{answer}");
        self.model.tether = Tether { price, age_s: 0 };
    }

    pub fn grow_old(&mut self, seconds: u64) {
        self.model.tether.age_s += seconds;
    }

    /// Dollars for one unit, as a fraction; `None` when nobody can say.
    fn price_of(&self, currency: &str) -> Option<(i128, i128)> {
        match currency {
            "USD" => Some((1, 1)),
            "EUR" => Some((11, 10)),
            "BTC" => Some((109_500, 1)),
            _ => (self.model.tether.age_s < STALE_AFTER_S).then_some((self.model.tether.price, 10_000)),
        }
    }

    /// What `amount` of one is worth in the other, as a fraction of the other's smallest units.
    fn worth(&self, from: &str, amount: i128, to: &str) -> Option<(i128, i128)> {
        let ((a, b), (c, d)) = (self.price_of(from)?, self.price_of(to)?);
        Some((amount * a * d * 10i128.pow(decimals(to)), b * c * 10i128.pow(decimals(from))))
    }

    fn down(&self, from: &str, amount: i128, to: &str) -> Option<i128> {
        self.worth(from, amount, to).map(|(over, under)| over / under)
    }

    fn up(&self, from: &str, amount: i128, to: &str) -> Option<i128> {
        self.worth(from, amount, to).map(|(over, under)| (over + under - 1) / under)
    }

    pub async fn swap(&mut self) {
        let user = self.someone();
        let (from, to) = (CURRENCIES[self.dice.roll(4) as usize].0, CURRENCIES[self.dice.roll(4) as usize].0);
        if from == to {
            return;
        }
        let names_what_is_given = self.dice.roll(2) == 0;
        // Up to half as much again as there is.
        let most = (self.model.has(&user, from) * 3 / 2).clamp(1, i128::from(u64::MAX)) as u64;
        let given = 1 + i128::from(self.dice.roll(most));
        let mut body = json!({ "from_currency": from, "to_currency": to, "user_id": user });
        let sides = if names_what_is_given {
            body["from_amount"] = shown(given, decimals(from)).into();
            self.down(from, given, to).map(|it| (given, it))
        } else {
            let wanted = self.down(from, given, to).unwrap_or(1).max(1);
            body["to_amount"] = shown(wanted, decimals(to)).into();
            self.up(to, wanted, from).map(|it| (it, wanted))
        };
        let (status, answer) = self.send("/swaps/quotes", body).await;
        let Some((given, received)) = sides else {
            assert_eq!((status, &answer["code"]), (503, &json!("rate_unavailable")), "{answer}");
            self.seen.insert("a stale price");
            return;
        };
        if received == 0 {
            assert_eq!(answer["code"], "swap_too_small", "{answer}");
            return;
        }
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["from_amount"], shown(given, decimals(from)), "{from} for {to}: {answer}");
        assert_eq!(answer["to_amount"], shown(received, decimals(to)), "{from} for {to}: {answer}");
        let expires_at = answer["expires_at"].as_str().unwrap().to_owned();
        let id = answer["id"].as_str().unwrap().to_owned();
        let quote = Quote { user, from: (from, given), to: (to, received), expires_at };
        self.model.quotes.insert(id.clone(), quote);
        if self.dice.roll(4) > 0 {
            self.accept(&id).await;
        }
    }

    pub async fn accept_an_old_quote(&mut self) {
        if let Some(id) = Story::one_of(&mut self.dice, &self.model.quotes) {
            self.accept(&id).await;
        }
    }

    async fn accept(&mut self, id: &str) {
        let quote = self.model.quotes[id].clone();
        let (status, answer) = self.send("/swaps", json!({ "quote_id": id })).await;
        if self.simulation.now() >= quote.expires_at {
            assert_eq!((status, &answer["code"]), (410, &json!("quote_expired")), "{answer}");
            self.model.quotes.remove(id);
        } else if let Some(code) = self.model.why_not(&quote.user, quote.from.0, quote.from.1) {
            assert_eq!(answer["code"], code, "{answer}");
        } else {
            assert_eq!(status, 201, "{answer}");
            self.model.quotes.remove(id);
            self.model.give(&quote.user, quote.from.0, -quote.from.1);
            self.model.give(&quote.user, quote.to.0, quote.to.1);
            self.seen.insert("a swap");
        }
    }

    pub async fn deposit(&mut self) {
        let (user, cents) = (self.someone(), 1_000 + i128::from(self.dice.roll(50_000)));
        let currency = CURRENCIES[1 + self.dice.roll(3) as usize].0;
        let body = json!({ "amount": shown(cents, 2), "currency": "USD", "pay_currency": currency, "user_id": user });
        let (status, answer) = self.send("/fundings", body).await;
        let Some(expected) = self.up("USD", cents, currency) else {
            assert_eq!((status, &answer["code"]), (503, &json!("rate_unavailable")), "{answer}");
            self.seen.insert("a stale price");
            return;
        };
        assert_eq!(status, 201, "{answer}");
        assert_eq!(answer["quote"]["expected_amount"], shown(expected, decimals(currency)), "{answer}");
        let text = |it: &serde_json::Value| it.as_str().unwrap().to_owned();
        let payment = text(&answer["payment_id"]);
        let gateway = json!({ "gateway_id": self.simulation.credentials().manual_gateway });
        let (status, attempt) = self.send(&format!("/payments/{payment}/initiate"), gateway).await;
        assert_eq!(status, 200, "{attempt}");
        let deposit = Deposit {
            user,
            cents,
            currency,
            expected,
            expires_at: text(&answer["quote"]["expires_at"]),
            payment,
            received: 0,
            came_at: String::new(),
            references: 0,
            waits: false,
        };
        self.model.deposits.insert(text(&answer["id"]), deposit);
    }

    /// Somebody pays: what is missing, a part of it, or more.
    pub async fn pay(&mut self) {
        let Some(id) = Story::one_of(&mut self.dice, &self.model.deposits) else { return };
        let mut deposit = self.model.deposits[&id].clone();
        if deposit.waits {
            return;
        }
        let missing = deposit.expected - deposit.received;
        let amount = match self.dice.roll(4) {
            0 => missing + 1 + i128::from(self.dice.roll(1_000)),
            1 => (missing / 2).max(1),
            _ => missing,
        };
        deposit.references += 1;
        let body = json!({
            "reference": format!("{id}-{}", deposit.references), "amount": shown(amount, decimals(deposit.currency)),
            "currency": deposit.currency, "reason": "seen",
        });
        let (status, answer) = self.send(&format!("/payments/{}/mark-paid", deposit.payment), body).await;
        assert_eq!(status, 200, "{answer}");
        deposit.received += amount;
        deposit.came_at = self.simulation.now();
        self.model.deposits.insert(id.clone(), deposit);
        self.follow(&id).await;
    }

    /// What became of a deposit: credited as promised, or at the price of now; waiting; or over.
    pub async fn follow(&mut self, id: &str) {
        let Deposit { user, cents, currency, expected, expires_at, received, came_at, .. } =
            self.model.deposits[id].clone();
        let shown_as = self.show(&format!("/fundings/{id}")).await;
        match shown_as["status"].as_str().unwrap() {
            "completed" => {
                let is_kept = received == expected && came_at < expires_at;
                let credit = if is_kept { Some(cents) } else { self.down(currency, received, "USD") };
                let credit = credit.expect("nothing is credited without a price");
                assert_eq!(shown_as["credit_amount"], shown(credit, 2), "{shown_as:#}");
                self.seen.insert(if is_kept {
                    "a promise kept"
                } else {
                    "credited at the price of the moment"
                });
                self.model.deposits.remove(id);
                self.model.give(&user, "USD", credit);
                self.model.completed.insert(id.to_owned(), (user, credit));
            }
            "conflicted" => {
                assert_eq!(shown_as["quote"]["waits_for_price"], true, "{shown_as:#}");
                self.seen.insert("a deposit that waited for a price");
                if let Some(deposit) = self.model.deposits.get_mut(id) {
                    deposit.waits = true;
                }
            }
            "expired" => {
                assert_eq!(received, 0, "{shown_as:#}");
                self.model.deposits.remove(id);
            }
            status => assert!(["pending", "processing"].contains(&status), "{shown_as:#}"),
        }
    }

    pub async fn reverse(&mut self) {
        let Some(id) = Story::one_of(&mut self.dice, &self.model.completed) else { return };
        let (user, credit) = self.model.completed[&id].clone();
        let (status, answer) =
            self.send(&format!("/fundings/{id}/reverse"), json!({ "reason": "recalled" })).await;
        if let Some(code) = self.model.why_not(&user, "USD", credit) {
            assert_eq!(answer["code"], code, "{answer}");
            return;
        }
        assert_eq!(status, 200, "{answer}");
        self.model.completed.remove(&id);
        self.model.give(&user, "USD", -credit);
        self.seen.insert("a reversal");
    }
}
