//! What is always true of fundings, checked by `coffer verify` and after every test.

use super::Fundings;
use crate::{
    kernel::{
        error::Result,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, HouseAccount, UserAccount},
        funding::{
            contract::{FundingStatus, FundingType},
            model::credited,
            repository::FUNDINGS,
        },
        payment::contract::PaymentStatus,
    },
};

impl Fundings {
    /// A funding is booked exactly when it was completed: to its user what it says, to the house the fee, and for a
    /// deposit exactly when its payment settled.
    pub fn verify(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = self.verify_referrals(tx)?;
        for row in tx.scan(&FUNDINGS, Scan::all()) {
            let ((client, id), funding) = row?;
            let status = funding.status();
            let is_booked = matches!(status, FundingStatus::Completed | FundingStatus::Reversed);
            if funding.entry.is_some() != is_booked
                || funding.reversal.is_some() != (status == FundingStatus::Reversed)
            {
                wrong.push(format!("{id} is {status} and its entries say otherwise"));
            }
            if let Some(payment) = funding.payment {
                let payment = self.payments.get(tx, client, payment)?;
                if (payment.status == PaymentStatus::Settled) != is_booked {
                    wrong.push(format!("{id} is {status}, its payment is {}", payment.status));
                }
            }
            let Some(entry) = funding.entry else { continue };
            let lines = self.balance.lines_of(tx, client, entry)?.unwrap_or_default();
            let moved = |wanted: &dyn Fn(AccountOwner) -> bool| -> i128 {
                lines.iter().filter(|it| wanted(it.account.owner)).map(|it| it.delta).sum()
            };
            let (kind, _): (UserAccount, _) = credited(funding.kind);
            let got = moved(&|it| it == AccountOwner::User(funding.user, kind));
            let kept = moved(&|it| it == AccountOwner::House(HouseAccount::FeeIncome));
            let cleared = moved(&|it| matches!(it, AccountOwner::House(HouseAccount::Clearing(_))));
            let came = if funding.kind == FundingType::Deposit { got + kept } else { 0 };
            if got != funding.credit.minor() || kept != funding.fee.minor() || cleared != -came {
                wrong.push(format!("{id} and {entry} do not agree on what was credited"));
            }
        }
        Ok(wrong)
    }
}
