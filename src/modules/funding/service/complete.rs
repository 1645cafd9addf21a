//! The money came, or staff give it: the entry, its records, and the end.

use super::{Fundings, store};
use crate::{
    kernel::{
        api::{call::Caller, principal::ClientId},
        error::{Result, fault},
        money::Amount,
        store::WriteTx,
    },
    modules::{
        balance::contract::{Account, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        funding::{
            contract::{FundingId, FundingType},
            events::FundingCompleted,
            model::{FUNDING, Funding, FundingEvent, credited, lines, split},
        },
        payment::contract::GatewayId,
        pricing::contract::{LimitOperation, LimitUse},
        transaction::contract::{EntryType, Record},
    },
};

impl Fundings {
    /// clearing → available and fee_income, of what really came through a gateway and is worth so much in the funding's
    /// currency. Refuses `invalid_state_transition`.
    pub(super) fn complete_deposit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, funding): (FundingId, &mut Funding),
        (gateway, received, worth): (GatewayId, Amount, Amount),
    ) -> Result<()> {
        funding.history.step(&FUNDING, FundingEvent::Complete, caller, None, tx.now())?;
        let terms = funding.terms()?;
        let is_fee_included = terms.to_pay == funding.amount;
        (funding.credit, funding.fee) = split(worth, terms)?;
        let asked = LimitUse::new(LimitOperation::Funding, funding.user, funding.amount, id);
        let came = if is_fee_included { worth } else { funding.credit };
        self.limits.came(tx, client, asked, funding.stamp.created_at, came)?;
        let lines = lines(funding, gateway, received);
        let side = |entry_type, amount, category, narration| Record {
            user: funding.user,
            entry_type,
            amount,
            category,
            narration,
        };
        let sides = [
            side(EntryType::Credit, funding.credit, built_in::DEPOSIT, "Deposit"),
            side(EntryType::Fee, funding.fee, built_in::FEE, "Deposit fee"),
        ];
        let new = NewEntry { cause: id.to_string(), description: "Deposit", lines: &lines, reverses: None };
        let (entry, records) = self.transactions.post(tx, caller, client, new, &sides)?;
        (funding.entry, funding.transactions) = (Some(entry), records);
        store(tx, client, id, funding)?;
        tx.publish(caller, &FundingCompleted::of(id, funding, None))?;
        Ok(())
    }

    /// The house's expense, or another user's available money → the user. Refuses `insufficient_funds`.
    pub(super) fn complete_credit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: FundingId,
        funding: &mut Funding,
    ) -> Result<()> {
        funding.history.step(
            &FUNDING,
            FundingEvent::Complete,
            caller,
            funding.reason.as_deref(),
            tx.now(),
        )?;
        let amount = funding.credit;
        let currency = amount.currency();
        let (account, category) = credited(funding.kind);
        let (source, narration) = match (funding.kind, funding.from_user) {
            (FundingType::Profit, _) => (Account::house(HouseAccount::YieldExpense, currency), "Profit"),
            (FundingType::Commission, _) => {
                (Account::house(HouseAccount::CommissionExpense, currency), "Commission")
            }
            (FundingType::Transfer, Some(sender)) => {
                (Account::user(sender, UserAccount::Available, currency), "Transfer")
            }
            (FundingType::Transfer | FundingType::Deposit, _) => {
                return Err(fault!("{id} is no staff credit"));
            }
        };
        let target = Account::user(funding.user, account, currency);
        let lines = [Line::lower(source, amount), Line::raise(target, amount)];
        let side = |user, entry_type| Record { user, entry_type, amount, category, narration };
        let mut sides = vec![side(funding.user, EntryType::Credit)];
        sides.extend(funding.from_user.map(|it| side(it, EntryType::Debit)));
        let new = NewEntry { cause: id.to_string(), description: narration, lines: &lines, reverses: None };
        let (entry, records) = self.transactions.post(tx, caller, client, new, &sides)?;
        (funding.entry, funding.transactions) = (Some(entry), records);
        store(tx, client, id, funding)?;
        tx.publish(caller, &FundingCompleted::of(id, funding, funding.reason.as_deref()))?;
        Ok(())
    }
}
