//! What is always true of swaps, checked by `coffer verify` and after every test.

use super::Swaps;
use crate::{
    kernel::{
        error::Result,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, UserAccount},
        swap::{
            contract::QuoteStatus,
            model::Swap,
            repository::{QUOTES, SWAPS},
        },
    },
};

impl Swaps {
    /// A quote has its swap exactly when it is accepted; a swap moved what its quote promised, and has its records.
    pub fn verify(&self, tx: &ReadTx) -> Result<Vec<String>> {
        let mut wrong = vec![];
        for row in tx.scan(&QUOTES, Scan::all()) {
            let ((client, id), quote) = row?;
            if quote.swap.is_some() != (quote.status() == QuoteStatus::Accepted) {
                wrong.push(format!("{id} is {} and its swap says otherwise", quote.status()));
            }
            if let Some(swap) = quote.swap
                && tx.get(&SWAPS, &(client, swap))?.is_none_or(|it| it.quote != id || it.terms != quote.terms)
            {
                wrong.push(format!("{swap} is not what {id} promised"));
            }
        }
        for row in tx.scan(&SWAPS, Scan::all()) {
            let ((client, id), swap) = row?;
            if tx.get(&QUOTES, &(client, swap.quote))?.is_none_or(|it| it.swap != Some(id)) {
                wrong.push(format!("{id} is not the swap of {}", swap.quote));
            }
            let mut found = self.balance.lines_of(tx, client, swap.entry)?.unwrap_or_default();
            let mut wanted = lines(&swap);
            for lines in [&mut found, &mut wanted] {
                lines.retain(|it| it.delta != 0);
                lines.sort_by_key(|it| (it.account, it.delta));
            }
            if found != wanted {
                wrong.push(format!("{} did not move what {id} says", swap.entry));
            }
            if swap.terms.worth().is_none_or(|it| swap.terms.to > it) {
                wrong.push(format!("{id} gave more than its prices say"));
            }
            let records = if swap.terms.fee.is_zero() { 2 } else { 3 };
            if swap.transactions.len() != records {
                wrong.push(format!("{id} has {} records, {records} wanted", swap.transactions.len()));
            }
            for transaction in &swap.transactions {
                let record = self.transactions.find(tx, client, *transaction)?;
                if record.is_none_or(|it| it.entry != swap.entry || it.cause != id.to_string()) {
                    wrong.push(format!("{transaction} is no record of {id}"));
                }
            }
        }
        Ok(wrong)
    }
}

fn lines(swap: &Swap) -> Vec<Line> {
    let (from, fee, to) = (swap.terms.from, swap.terms.fee, swap.terms.to);
    let line = |account, delta| Line { account, delta };
    let (given, got) = (from.currency(), to.currency());
    vec![
        line(Account::user(swap.user, UserAccount::Available, given), -from.minor()),
        line(Account::house(HouseAccount::Fx, given), from.minor() - fee.minor()),
        line(Account::house(HouseAccount::FeeIncome, given), fee.minor()),
        line(Account::house(HouseAccount::Fx, got), -to.minor()),
        line(Account::user(swap.user, UserAccount::Available, got), to.minor()),
    ]
}
