//! What is always true of fundings, checked by `coffer verify` and after every test.

use super::{Fundings, convert::waiting};
use crate::{
    kernel::{
        api::principal::ClientId,
        error::Result,
        money::Amount,
        store::{ReadTx, Scan},
    },
    modules::{
        balance::contract::{AccountOwner, HouseAccount, Line, UserAccount},
        funding::{
            contract::{FundingId, FundingStatus, FundingType},
            model::{Funding, credited, lines, quote::Quote},
            repository::FUNDINGS,
        },
        payment::contract::PaymentStatus,
    },
};

impl Fundings {
    /// A funding is booked exactly when it was completed: to its user what it says, to the house the fee, and for a
    /// deposit exactly when its payment settled, unless what came waits for a price.
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
                let waits = status == FundingStatus::Conflicted && funding.waits();
                if (payment.status == PaymentStatus::Settled) != (is_booked || waits) {
                    wrong.push(format!("{id} is {status}, its payment is {}", payment.status));
                }
            }
            if let Some(quote) = &funding.quote {
                self.verify_quote(tx, client, (id, &funding), quote, &mut wrong)?;
                continue;
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

    /// What was paid in another currency is in suspense, or credited: as promised, or at the prices kept with it.
    fn verify_quote(
        &self,
        tx: &ReadTx,
        client: ClientId,
        (id, funding): (FundingId, &Funding),
        quote: &Quote,
        wrong: &mut Vec<String>,
    ) -> Result<()> {
        let Some(came) = &quote.came else {
            if funding.entry.is_some() {
                wrong.push(format!("{id} was credited and nothing came"));
            }
            return Ok(());
        };
        if came.waits.is_some() != funding.due_at.is_some() || came.waits.is_some() == funding.entry.is_some()
        {
            wrong.push(format!("{id} waits for a price and does not"));
        }
        let (entry, moved) = match (came.waits, funding.entry) {
            (Some(parked), _) => (parked, waiting(came).to_vec()),
            (None, Some(entry)) => (entry, lines(funding, came.gateway, came.received)),
            (None, None) => return Ok(()),
        };
        let mut found = self.balance.lines_of(tx, client, entry)?.unwrap_or_default();
        let mut wanted = sums(&moved);
        for lines in [&mut found, &mut wanted] {
            lines.retain(|it| it.delta != 0);
            lines.sort_by_key(|it| (it.account, it.delta));
        }
        if found != wanted {
            wrong.push(format!("{entry} did not move what {id} says"));
        }
        if came.waits.is_some() {
            return Ok(());
        }
        let credited = funding.credit.plus(funding.fee)?;
        let is_right = match &came.priced {
            None => {
                quote.is_kept_by(came.received, came.at) && {
                    let extra =
                        if funding.fee_included { Amount::zero(funding.fee.currency()) } else { funding.fee };
                    credited == funding.amount.plus(extra)?
                }
            }
            Some(priced) => credited == priced.worth(came.received, credited.currency())?,
        };
        if !is_right {
            wrong.push(format!("{id} credited {credited}, its prices say otherwise"));
        }
        Ok(())
    }
}

/// One line for each account.
fn sums(lines: &[Line]) -> Vec<Line> {
    let mut sums: Vec<Line> = vec![];
    for line in lines {
        match sums.iter_mut().find(|it| it.account == line.account) {
            Some(sum) => sum.delta += line.delta,
            None => sums.push(*line),
        }
    }
    sums
}
