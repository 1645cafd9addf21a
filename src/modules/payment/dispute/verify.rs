//! What is always true of disputes, checked by `coffer verify` and after every test.

use std::collections::BTreeMap;

use super::{model::Source, repository::DISPUTES};
use crate::{
    kernel::{
        api::principal::ClientId,
        error::Result,
        id::Id as _,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, HouseAccount, UserAccount},
        payment::{
            contract::{DisputeStatus, PaymentId},
            model::Place,
            repository::{PAYMENTS, SETTLEMENTS, SETTLEMENTS_BY_ID},
            service::Payments,
        },
    },
};

impl Payments {
    /// A payment's disputes are what it says; each is booked while the money is away, and booked back once it was won.
    pub fn verify_disputes(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        let mut of_payment: BTreeMap<(ClientId, PaymentId), i128> = BTreeMap::new();
        for row in tx.scan(&DISPUTES, Scan::all()) {
            let ((client, id), dispute) = row?;
            let status = dispute.status();
            if let (Some(payment), Source::Payment) = (dispute.payment, dispute.source) {
                *of_payment.entry((client, payment)).or_default() +=
                    if dispute.takes() { dispute.amount.minor() } else { 0 };
            }
            let is_booked_back = status == DisputeStatus::Won && dispute.entry.is_some();
            let is_away = dispute.entry.is_some() && dispute.reversal.is_none();
            let is_booked = match status {
                DisputeStatus::Open => is_away,
                DisputeStatus::Lost => is_away || dispute.amount.is_zero(),
                DisputeStatus::Unbooked => !is_away && dispute.amount.is_zero(),
                DisputeStatus::Inquiry | DisputeStatus::Won | DisputeStatus::Dismissed => !is_away,
            };
            if !is_booked || dispute.reversal.is_some() != is_booked_back || dispute.amount > dispute.claimed
            {
                wrong.push(format!("{id} is {status}, its entries say otherwise"));
            }
            if let Source::Suspense(settlement) = dispute.source {
                let place =
                    tx.find(&SETTLEMENTS, SETTLEMENTS_BY_ID, &(client, settlement))?.map(|it| it.1.place);
                if is_away && place != Some(Place::ChargedBack) {
                    wrong.push(format!("{id} is {status}, {settlement} is {place:?}"));
                }
            }
            let from = match (dispute.source, dispute.user) {
                (Source::Payment | Source::Assigned(_), Some(user)) => {
                    AccountOwner::User(user, UserAccount::Available)
                }
                _ => AccountOwner::House(HouseAccount::Suspense),
            };
            let clearing = AccountOwner::House(HouseAccount::Clearing(dispute.gateway.bytes()));
            for (entry, back) in [(dispute.entry, 1), (dispute.reversal, -1)] {
                let Some(entry) = entry else { continue };
                let lines = self.balance.lines_of(tx, client, entry)?.unwrap_or_default();
                let moved = |owner| -> i128 {
                    lines.iter().filter(|it| it.account.owner == owner).map(|it| it.delta).sum()
                };
                let wanted = back * dispute.amount.minor();
                if moved(clearing) != wanted || moved(from) != -wanted {
                    wrong.push(format!("{id} and {entry} do not agree on what was taken back"));
                }
            }
        }
        for row in tx.scan(&PAYMENTS, Scan::all()) {
            let ((client, id), payment) = row?;
            let disputed = of_payment.remove(&(client, id)).unwrap_or_default();
            if disputed != payment.disputed.minor() {
                wrong.push(format!("{id} has disputes of {disputed}, it says {}", payment.disputed));
            }
        }
        wrong.extend(of_payment.keys().map(|(_, id)| format!("{id} has disputes and does not exist")));
        Ok(wrong)
    }
}
