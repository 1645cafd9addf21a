//! Money in a plan: profit day by day, whenever the timer comes to it, closing early, canceling, maturity.

use serde_json::json;

use super::{Story, rates::minor, rates::shown};

#[derive(Clone)]
pub struct Investment {
    user: String,
    cents: i128,
    cooling_off_until: String,
    matures_at: String,
    /// What is still to come: when, and how much.
    to_come: Vec<(String, i128)>,
    has_earned: bool,
}

impl Story {
    /// Four days of half a percent each, a penalty of 1 %, half a day of cooling off.
    pub async fn begin_investing(&mut self) {
        let plan = json!({
            "name": "Four days", "type": "savings", "currency": "USD", "min_amount": "50.00",
            "return_percent": "2.14", "return_basis": "term", "day_count": "ACT/365", "cadence": "daily",
            "compounding": false, "term_days": 4, "early_close_penalty_percent": "1", "cooling_off_hours": 12,
        });
        let (status, plan) = self.send("/plans", plan).await;
        assert_eq!(status, 201, "{plan}");
        self.plan = plan["id"].as_str().unwrap().to_owned();
        let (status, answer) = self.send(&format!("/plans/{}/publish", self.plan), json!({})).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub async fn invest(&mut self) {
        let (user, cents) = (self.someone(), 5_000 + i128::from(self.dice.roll(30_000)));
        let body = json!({ "plan_id": self.plan, "amount": shown(cents, 2), "user_id": user });
        let (status, answer) = self.send("/investments", body).await;
        if let Some(code) = self.model.why_not(&user, "USD", cents) {
            assert_eq!(answer["code"], code, "{answer}");
            return;
        }
        assert_eq!(status, 201, "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        let schedule = self.show(&format!("/investments/{}/schedule", text("id"))).await;
        let to_come = schedule["accruals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (it["due"].as_str().unwrap().to_owned(), minor(it["amount"].as_str().unwrap(), 2)));
        let investment = Investment {
            user: user.clone(),
            cents,
            cooling_off_until: text("cooling_off_until"),
            matures_at: text("matures_at"),
            to_come: to_come.collect(),
            has_earned: false,
        };
        assert_eq!(investment.to_come.len(), 4);
        self.model.investments.insert(text("id"), investment);
        self.move_in(&user, cents);
    }

    fn move_in(&mut self, user: &str, cents: i128) {
        self.model.give(user, "USD", -cents);
        *self.model.invested.entry((user.to_owned(), "USD")).or_default() += cents;
    }

    /// What came due until now.
    pub fn earn(&mut self, now: &str) {
        for (id, mut it) in self.model.investments.clone() {
            while it.to_come.first().is_some_and(|it| it.0.as_str() <= now) {
                let (_, profit) = it.to_come.remove(0);
                self.model.give(&it.user, "USD", profit);
                it.has_earned = true;
                self.seen.insert("a profit");
            }
            if it.matures_at.as_str() <= now {
                self.model.investments.remove(&id);
                self.move_in(&it.user, -it.cents);
                self.seen.insert("a maturity");
            } else {
                self.model.investments.insert(id, it);
            }
        }
    }

    /// Canceled or closed early.
    pub async fn end_an_investment(&mut self) {
        let Some(id) = Story::one_of(&mut self.dice, &self.model.investments) else { return };
        let it = self.model.investments[&id].clone();
        if self.dice.roll(2) == 0 {
            let (status, answer) = self.send(&format!("/investments/{id}/cancel"), json!({})).await;
            if self.simulation.now() >= it.cooling_off_until || it.has_earned {
                assert_eq!(answer["code"], "cooling_off_over", "{answer}");
                return;
            }
            assert_eq!(status, 200, "{answer}");
            self.move_in(&it.user, -it.cents);
            self.seen.insert("a change of mind");
        } else {
            let (status, answer) = self.send(&format!("/investments/{id}/close"), json!({})).await;
            assert_eq!(status, 200, "{answer}");
            let penalty = (it.cents + 99) / 100;
            assert_eq!(answer["penalty"], shown(penalty, 2), "{answer}");
            self.move_in(&it.user, -it.cents);
            self.model.give(&it.user, "USD", -penalty);
            self.seen.insert("an early close");
        }
        self.model.investments.remove(&id);
    }
}
