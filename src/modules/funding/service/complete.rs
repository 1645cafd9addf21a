//! The money came, or staff give it: the entry, its records, and the end.

use super::{Fundings, store};
use crate::{
    kernel::{
        api::{
            call::Caller,
            principal::{ClientId, UserId},
        },
        error::{Result, fault},
        id::Id as _,
        money::Amount,
        store::WriteTx,
    },
    modules::{
        balance::contract::{Account, EntryId, HouseAccount, Line, NewEntry, UserAccount},
        category::contract::built_in,
        funding::{
            contract::{FundingId, FundingType},
            events::FundingCompleted,
            model::{FUNDING, Funding, FundingEvent, credited, split},
        },
        payment::contract::GatewayId,
        transaction::contract::{EntryType, NewTransaction, TransactionId, TransactionStatus},
    },
};

impl Fundings {
    /// clearing → available and fee_income, of what really came. Refuses `invalid_state_transition`.
    pub(super) fn complete_deposit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        (id, funding): (FundingId, &mut Funding),
        gateway: GatewayId,
        received: Amount,
    ) -> Result<()> {
        funding.history.step(&FUNDING, FundingEvent::Complete, caller, None, tx.now())?;
        (funding.credit, funding.fee) = split(received, funding.terms()?)?;
        let currency = received.currency();
        let clearing = Account::house(HouseAccount::Clearing(gateway.bytes()), currency);
        let available = Account::user(funding.user, UserAccount::Available, currency);
        let fee_income = Account::house(HouseAccount::FeeIncome, currency);
        let lines = [
            Line::lower(clearing, received),
            Line::raise(available, funding.credit),
            Line::raise(fee_income, funding.fee),
        ];
        let entry = self.post(tx, client, id, "Deposit", &lines)?;
        funding.entry = Some(entry);
        let records = [
            (funding.user, EntryType::Credit, funding.credit, built_in::DEPOSIT, "Deposit"),
            (funding.user, EntryType::Fee, funding.fee, built_in::FEE, "Deposit fee"),
        ];
        funding.transactions = self.record(tx, caller, client, id, entry, &records)?;
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
        let entry = self.post(tx, client, id, narration, &lines)?;
        funding.entry = Some(entry);
        let mut records = vec![(funding.user, EntryType::Credit, amount, category, narration)];
        records.extend(funding.from_user.map(|it| (it, EntryType::Debit, amount, category, narration)));
        funding.transactions = self.record(tx, caller, client, id, entry, &records)?;
        store(tx, client, id, funding)?;
        tx.publish(caller, &FundingCompleted::of(id, funding, funding.reason.as_deref()))?;
        Ok(())
    }

    fn post(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        id: FundingId,
        description: &str,
        lines: &[Line],
    ) -> Result<EntryId> {
        // Nothing is posted for a fee that is not taken.
        let lines: Vec<Line> = lines.iter().copied().filter(|it| it.delta != 0).collect();
        let entry = NewEntry { cause: id.to_string(), description, lines: &lines, reverses: None };
        self.balance.post(tx, client, entry).map(|it| it.id)
    }

    fn record(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        id: FundingId,
        entry: EntryId,
        records: &[(UserId, EntryType, Amount, &'static str, &'static str)],
    ) -> Result<Vec<TransactionId>> {
        let mut written = vec![];
        for (user, entry_type, amount, category, narration) in records.iter().copied() {
            if amount.is_zero() {
                continue;
            }
            let new = NewTransaction {
                user,
                entry_type,
                amount,
                balance_after: self.balance.balances(tx, client, user, amount.currency())?.available,
                status: TransactionStatus::Completed,
                category,
                narration,
                cause: id.to_string(),
                entry,
            };
            written.push(self.transactions.record(tx, caller, client, new)?);
        }
        Ok(written)
    }
}
