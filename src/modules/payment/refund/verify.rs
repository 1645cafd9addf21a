//! What is always true of refunds, checked by `coffer verify` and after every test.

use std::collections::BTreeMap;

use super::{model::Source, repository::REFUNDS};
use crate::{
    kernel::{
        api::principal::ClientId,
        error::Result,
        id::Id as _,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, HouseAccount},
        payment::{
            contract::{PaymentId, RefundStatus},
            repository::PAYMENTS,
            service::Payments,
        },
    },
};

impl Payments {
    /// A payment's refunds are what it says; each is held while undecided, and booked exactly when it went.
    pub fn verify_refunds(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        let mut of_payment: BTreeMap<(ClientId, PaymentId), i128> = BTreeMap::new();
        for row in tx.scan(&REFUNDS, Scan::all()) {
            let ((client, id), refund) = row?;
            let status = refund.status();
            let is_undecided = matches!(status, RefundStatus::RequiresApproval | RefundStatus::Pending);
            if let Source::Held(hold) = refund.source {
                let counts = !matches!(status, RefundStatus::Failed | RefundStatus::Canceled);
                *of_payment.entry((client, refund.payment)).or_default() +=
                    if counts { refund.amount.minor() } else { 0 };
                let held = self.balance.find_hold(tx, client, hold)?.filter(|it| it.is_open);
                let is_held = held.is_some_and(|it| it.remaining == refund.amount);
                if is_held != is_undecided {
                    wrong.push(format!("{id} is {status}, its hold says otherwise"));
                }
            }
            if refund.entry.is_some() != (status == RefundStatus::Succeeded) {
                wrong.push(format!("{id} is {status}, its entry says otherwise"));
            }
            if refund.due_at.is_some() && status != RefundStatus::Pending {
                wrong.push(format!("{id} is {status} and its gateway is to be asked"));
            }
            let Some(entry) = refund.entry else { continue };
            let lines = self.balance.lines_of(tx, client, entry)?.unwrap_or_default();
            let clearing = AccountOwner::House(HouseAccount::Clearing(refund.gateway.bytes()));
            let back: i128 = lines.iter().filter(|it| it.account.owner == clearing).map(|it| it.delta).sum();
            if back != refund.amount.minor() {
                wrong.push(format!("{id} of {} booked {back} to clearing", refund.amount));
            }
        }
        for row in tx.scan(&PAYMENTS, Scan::all()) {
            let ((client, id), payment) = row?;
            let refunded = of_payment.remove(&(client, id)).unwrap_or_default();
            if refunded != payment.refunded.minor() {
                wrong.push(format!("{id} has refunds of {refunded}, it says {}", payment.refunded));
            }
        }
        wrong.extend(of_payment.keys().map(|(_, id)| format!("{id} has refunds and does not exist")));
        Ok(wrong)
    }
}
