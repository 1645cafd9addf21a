//! Charges, and what goes back of them: refunds by hand, and what banks take, whichever comes first.

use serde_json::{Value, json};

use super::{Story, rates::shown};

/// A payment that settled.
pub struct Charge {
    user: String,
    /// Cents, all of them.
    came: i128,
    refunded: i128,
    /// What banks have taken and not given back.
    taken: i128,
    /// On its way: id, cents.
    refund: Option<(String, i128)>,
    dispute: Option<Dispute>,
}

struct Dispute {
    id: String,
    claimed: i128,
    /// Nothing while a refund is in its way.
    booked: i128,
    /// The bank keeps it: it is booked as soon as it can be.
    is_lost: bool,
}

impl Charge {
    fn room(&self) -> i128 {
        self.came - self.refunded - self.taken - self.refund.as_ref().map_or(0, |it| it.1)
    }
}

impl Story {
    pub async fn charge(&mut self) {
        let (user, cents) = (self.someone(), 500 + i128::from(self.dice.roll(20_000)));
        let body = json!({ "amount": shown(cents, 2), "currency": "USD", "user_id": user });
        let (status, payment) = self.send("/payments", body).await;
        assert_eq!(status, 201, "{payment}");
        let id = payment["id"].as_str().unwrap().to_owned();
        let gateway = json!({ "gateway_id": self.simulation.credentials().manual_gateway });
        assert_eq!(self.send(&format!("/payments/{id}/initiate"), gateway).await.0, 200);
        let came = json!({ "amount": shown(cents, 2), "currency": "USD", "reference": format!("bank-{id}"), "reason": "seen" });
        let (_, paid) = self.send(&format!("/payments/{id}/mark-paid"), came).await;
        assert_eq!(paid["status"], "settled", "{paid}");
        self.model.give(&user, "USD", cents);
        let charge = Charge { user, came: cents, refunded: 0, taken: 0, refund: None, dispute: None };
        self.model.charges.insert(id, charge);
    }

    /// Asks for a refund, or ends the one that is on its way.
    pub async fn refund(&mut self) {
        let Some(id) = Story::one_of(&mut self.dice, &self.model.charges) else { return };
        let mut charge = self.model.charges.remove(&id).unwrap();
        match charge.refund.take() {
            Some(open) => self.end_refund(&mut charge, open).await,
            None if charge.room() > 0 => self.ask_for_a_refund(&id, &mut charge).await,
            None => {}
        }
        self.model.charges.insert(id, charge);
    }

    async fn ask_for_a_refund(&mut self, id: &str, charge: &mut Charge) {
        let cents = 1 + i128::from(self.dice.roll(charge.room() as u64));
        let body = json!({ "payment_id": id, "amount": shown(cents, 2), "reason": "asked for" });
        let (status, answer) = self.send("/refunds", body).await;
        if self.model.owes(&charge.user) {
            assert_eq!(answer["code"], "user_owes", "{answer}");
        } else if charge.dispute.is_some() {
            assert_eq!(answer["code"], "payment_disputed", "{answer}");
            self.seen.insert("a refund that waited for a bank");
        } else if self.model.has(&charge.user, "USD") < cents {
            assert_eq!(answer["code"], "insufficient_funds", "{answer}");
        } else {
            assert_eq!((status, &answer["status"]), (201, &json!("pending")), "{answer}");
            self.model.hold(&charge.user, cents);
            charge.refund = Some((answer["id"].as_str().unwrap().to_owned(), cents));
            if self.dice.roll(2) == 0 {
                let all = charge.came - charge.refunded - charge.taken;
                self.dispute(id, charge, all).await; // The bank is faster.
            }
        }
    }

    /// It went, or did not; then what a bank took meanwhile is booked.
    async fn end_refund(&mut self, charge: &mut Charge, (id, cents): (String, i128)) {
        let goes = self.dice.roll(2) == 0;
        let (verb, body) = match goes {
            true => ("mark-paid", json!({ "reference": format!("bank-{id}") })),
            false => ("cancel", json!({})),
        };
        let (status, answer) = self.send(&format!("/refunds/{id}/{verb}"), body).await;
        assert_eq!(status, 200, "{answer}");
        self.model.let_go(&charge.user, cents);
        if goes {
            self.model.give(&charge.user, "USD", -cents);
            charge.refunded += cents;
        }
        let Some(mut dispute) = charge.dispute.take() else { return };
        if dispute.booked == 0 {
            self.book(charge, &mut dispute);
            self.thaw(&charge.user.clone()).await;
        }
        charge.dispute = Some(dispute).filter(|it| !it.is_lost);
    }

    fn book(&mut self, charge: &mut Charge, dispute: &mut Dispute) {
        dispute.booked = dispute.claimed.min(charge.room());
        charge.taken += dispute.booked;
        self.model.give(&charge.user, "USD", -dispute.booked);
    }

    /// A bank takes money back, or says who keeps what it took.
    pub async fn charge_back(&mut self) {
        let Some(id) = Story::one_of(&mut self.dice, &self.model.charges) else { return };
        let mut charge = self.model.charges.remove(&id).unwrap();
        match charge.dispute.take() {
            Some(dispute) => self.end_dispute(&mut charge, dispute).await,
            None => {
                let most = charge.came - charge.refunded - charge.taken;
                if most > 0 {
                    let claimed = 1 + i128::from(self.dice.roll(most as u64));
                    self.dispute(&id, &mut charge, claimed).await;
                }
            }
        }
        self.model.charges.insert(id, charge);
    }

    async fn dispute(&mut self, id: &str, charge: &mut Charge, claimed: i128) {
        let body = json!({ "payment_id": id, "amount": shown(claimed, 2), "reason": "recalled" });
        let (status, answer) = self.send("/disputes", body).await;
        assert_eq!(status, 201, "{answer}");
        let mut dispute =
            Dispute { id: answer["id"].as_str().unwrap().to_owned(), claimed, booked: 0, is_lost: false };
        if claimed <= charge.room() {
            self.book(charge, &mut dispute);
            self.seen.insert("a chargeback");
        } else {
            self.seen.insert("a chargeback behind a refund");
        }
        let wanted = if dispute.booked > 0 { "open" } else { "unbooked" };
        assert_eq!(
            (&answer["status"], &answer["amount"]),
            (&json!(wanted), &json!(shown(dispute.booked, 2)))
        );
        charge.dispute = Some(dispute);
        self.thaw(&charge.user.clone()).await;
    }

    async fn end_dispute(&mut self, charge: &mut Charge, mut dispute: Dispute) {
        let is_won = dispute.is_lost || self.dice.roll(2) == 0; // Banks think again.
        let verb = if is_won { "win" } else { "lose" };
        let path = format!("/disputes/{}/{verb}", dispute.id);
        let (status, answer) = self.send(&path, json!({ "reason": "the bank says so" })).await;
        assert_eq!(status, 200, "{answer}");
        if is_won {
            self.model.give(&charge.user, "USD", dispute.booked);
            charge.taken -= dispute.booked;
            self.seen.insert("a dispute won");
        } else if dispute.booked == 0 && charge.refund.is_some() {
            dispute.is_lost = true;
            charge.dispute = Some(dispute);
        }
        self.thaw(&charge.user.clone()).await;
    }

    /// Staff let whoever a bank froze go on.
    async fn thaw(&mut self, user: &str) {
        if self.show(&format!("/users/{user}")).await["status"] == "frozen" {
            let (status, answer) =
                self.send(&format!("/users/{user}/unfreeze"), json!({ "reason": "talked to her" })).await;
            assert_eq!(status, 200, "{answer}");
        }
    }

    pub async fn compare_charges(&mut self) {
        let wanted: Vec<(String, Value)> = self
            .model
            .charges
            .iter()
            .map(|(id, it)| {
                let open = it.refund.as_ref().map_or(0, |it| it.1);
                let said = json!([shown(it.came, 2), shown(it.refunded + open, 2), shown(it.taken, 2)]);
                (id.clone(), said)
            })
            .collect();
        for (id, wanted) in wanted {
            let found = self.show(&format!("/payments/{id}")).await;
            let found = json!([found["received"], found["refunded"], found["disputed"]]);
            assert_eq!(found, wanted, "{id}: received, refunded, disputed");
        }
    }
}
