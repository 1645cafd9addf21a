//! What is always true of payments, checked by `coffer verify` and after every test.

use std::collections::BTreeMap;

use super::Payments;
use crate::{
    kernel::{
        api::{input::Named as _, principal::ClientId},
        error::Result,
        id::Id as _,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, EntryId, HouseAccount},
        payment::{
            contract::{PaymentId, PaymentStatus, Review},
            model::{Place, Settlement},
            repository::{PAYMENTS, SETTLEMENTS},
        },
    },
};

impl Payments {
    /// A payment has received what its settlements say, and is settled exactly when they are credited; every entry
    /// that books settlements takes exactly their sum out of clearing.
    pub fn verify(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        let mut of_payment: BTreeMap<(ClientId, PaymentId), Vec<Settlement>> = BTreeMap::new();
        let mut of_entry: BTreeMap<(ClientId, EntryId), Vec<Settlement>> = BTreeMap::new();
        for row in tx.scan(&SETTLEMENTS, Scan::all()) {
            let ((client, payment, id), row) = row?;
            if matches!(row.place, Place::Suspense | Place::Refunding) && row.entry.is_none() {
                wrong.push(format!("{id} is in suspense without an entry"));
            }
            if let Some(entry) = row.entry {
                of_entry.entry((client, entry)).or_default().push(row.clone());
            }
            of_payment.entry((client, payment)).or_default().push(row);
        }
        for row in tx.scan(&PAYMENTS, Scan::all()) {
            let ((client, id), payment) = row?;
            let settlements = of_payment.remove(&(client, id)).unwrap_or_default();
            let sum = |place: Place| -> i128 {
                settlements.iter().filter(|it| it.place == place).map(|it| it.amount.minor()).sum()
            };
            let (credited, waiting) = (sum(Place::Credited), sum(Place::Waiting));
            let is_settled = payment.status() == PaymentStatus::Settled;
            if credited + waiting != payment.received.minor() {
                wrong.push(format!("{id} received {}, its settlements say otherwise", payment.received));
            }
            if is_settled != (credited > 0) || (waiting > 0 && payment.is_over()) {
                let status = payment.status().name();
                wrong.push(format!("{id} is {status} with {credited} credited and {waiting} waiting"));
            }
            if payment.refunded.minor() + payment.disputed.minor() > payment.received.minor() {
                wrong.push(format!("{id} gave back more than the {} that came", payment.received));
            }
            let person_decides = matches!(payment.review, Review::Conflicted | Review::AwaitingSecond);
            if person_decides != payment.said.is_some() {
                wrong.push(format!("{id} is under review {} without what was said", payment.review));
            }
        }
        wrong.extend(of_payment.keys().map(|(_, id)| format!("{id} has settlements and does not exist")));
        for ((client, entry), settlements) in of_entry {
            let lines = self.balance.lines_of(tx, client, entry)?.unwrap_or_default();
            let gateways: Vec<_> = settlements.iter().map(|it| it.gateway.bytes()).collect();
            let taken: i128 = lines
                .iter()
                .filter(|it| match it.account.owner {
                    AccountOwner::House(HouseAccount::Clearing(gateway)) => gateways.contains(&gateway),
                    _ => false,
                })
                .map(|it| -it.delta)
                .sum();
            let came: i128 = settlements.iter().map(|it| it.amount.minor()).sum();
            if taken != came {
                wrong.push(format!("{entry} takes {taken} out of clearing for settlements of {came}"));
            }
        }
        Ok(wrong)
    }
}
