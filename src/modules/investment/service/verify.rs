//! What is always true of investments, checked by `coffer verify` and after every test.

use std::collections::BTreeMap;

use super::Investments;
use crate::{
    kernel::{
        error::Result,
        money::Amount,
        store::{ReadTx, Scan},
    },
    modules::investment::{
        contract::InvestmentStatus,
        model::INVESTMENT,
        repository::{INVESTMENTS, accruals},
    },
};

impl Investments {
    /// What users have invested is what their running investments say, and what was credited is the schedule so far.
    pub fn verify(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let (mut wrong, mut sums) = (vec![], BTreeMap::new());
        for row in tx.scan(&INVESTMENTS, Scan::all()) {
            let ((client, id), row) = row?;
            let currency = row.principal.currency();
            *sums.entry((client, row.user, currency)).or_insert(0) += row.invested.minor();
            let status = row.status();
            let is_funded = !row.invested.is_zero();
            let runs = !INVESTMENT.is_final(status);
            if is_funded != runs && status != InvestmentStatus::Pending {
                wrong.push(format!("{id} is {status} with {} invested", row.invested));
            }

            let schedule = row.terms.schedule(row.principal, row.starts_at)?;
            let credited = accruals(tx, client, id)?;
            let mut profit = Amount::zero(currency);
            for (place, accrual) in credited.iter().enumerate() {
                profit = profit.plus(accrual.amount)?;
                let planned = schedule.get(place);
                let is_planned = planned.is_some_and(|it| {
                    (it.number, it.amount, it.days, it.invested)
                        == (accrual.number, accrual.amount, accrual.days, accrual.invested)
                });
                if !is_planned || accrual.posted_at < accrual.due {
                    wrong.push(format!("{id}: period {} is not as planned", accrual.number));
                }
                if accrual.entry.is_some() == accrual.amount.is_zero() {
                    wrong.push(format!("{id}: the entry of period {} is not what it earned", accrual.number));
                }
            }
            if profit != row.profit || credited.len() != row.accrued as usize {
                wrong.push(format!(
                    "{id} says {} in {} periods, {profit} was credited",
                    row.profit, row.accrued
                ));
            }
        }
        for ((client, user, currency), sum) in sums {
            let invested = self.balance.balances(tx, client, user, currency)?.invested;
            if invested.minor() != sum {
                let sum = currency.show(sum);
                wrong.push(format!("{user} has {invested} invested, its running investments {sum}"));
            }
        }
        Ok(wrong)
    }
}
