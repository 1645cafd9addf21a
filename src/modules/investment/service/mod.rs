//! What can be done with investments, by use case.

mod create;
mod default;
mod due;
mod end;
mod follow;
mod standstill;
mod verify;

use std::sync::Arc;

use super::{
    contract::{InvestmentId, InvestmentRefusal, InvestmentStatus},
    model::{INVESTMENT, Investment, InvestmentEvent},
    repository::{accruals, load, store},
    routes::{InstructionIn, InvestmentOut, InvestmentScheduleOut},
};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            principal::ClientId,
        },
        error::Result,
        money::Amount,
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::{Account, BalanceContract, EntryId, HouseAccount, Line, NewEntry, UserAccount},
        client::contract::{ApprovalOperation, ClientContract},
        payment::contract::PaymentContract,
        pricing::contract::PricingContract,
        transaction::contract::{EntryType, Record, TransactionContract},
        user::contract::UserContract,
    },
};

pub struct Investments {
    pub clients: Arc<dyn ClientContract>,
    pub users: Arc<dyn UserContract>,
    pub pricing: Arc<dyn PricingContract>,
    pub balance: Arc<dyn BalanceContract>,
    pub transactions: Arc<dyn TransactionContract>,
    pub payments: Arc<dyn PaymentContract>,
}

/// An investment, and whose it is.
struct Position {
    client: ClientId,
    id: InvestmentId,
    row: Investment,
}

/// What the user sees of an entry: entry type, amount, category, narration.
type Side<'a> = (EntryType, Amount, &'a str, &'a str);

impl Investments {
    pub fn show(&self, tx: &ReadTx, call: &Call<InvestmentId>) -> Result<InvestmentOut> {
        let client = call.caller.client()?;
        let mut row = load(tx, client, call.path)?;
        call.caller.may_reach(Some(row.user))?;
        self.seen(tx, client, &mut row)?;
        Ok(InvestmentOut::of(call.path, &row))
    }

    /// As it is to be shown: what people think of its default under the rules of now.
    pub fn seen(&self, tx: &ReadTx, client: ClientId, row: &mut Investment) -> Result<()> {
        let is_asked = INVESTMENT.next(row.status(), InvestmentEvent::Default).is_ok();
        if let Some(request) = row.default_request.as_mut().filter(|_| is_asked) {
            let operation = ApprovalOperation::InvestmentDefault;
            request.approval = self.users.seen(tx, &*self.clients, client, operation, &request.approval)?;
        }
        Ok(())
    }

    /// What was credited, and what is to come, in one table.
    pub fn schedule(&self, tx: &ReadTx, call: &Call<InvestmentId>) -> Result<InvestmentScheduleOut> {
        let client = call.caller.client()?;
        let row = load(tx, client, call.path)?;
        call.caller.may_reach(Some(row.user))?;
        let runs = !INVESTMENT.is_final(row.status());
        let to_come = if runs { row.to_come()? } else { vec![] };
        InvestmentScheduleOut::of(call.path, &row, accruals(tx, client, call.path)?, to_come)
    }

    /// Says what becomes of the money at maturity. Refuses `instruction_fixed`, `invalid_state_transition` when it is
    /// over.
    pub fn instruct(
        &self,
        tx: &mut WriteTx,
        call: &Call<InvestmentId, InstructionIn>,
    ) -> Result<InvestmentOut> {
        let mut it = self.current(tx, &call.caller, call.path)?;
        let wanted = call.input.maturity_instruction;
        if it.row.instruction == wanted {
            return Ok(it.out());
        }
        if INVESTMENT.is_final(it.row.status()) {
            return Err(INVESTMENT.refusal(it.row.status(), InvestmentEvent::Mature).into());
        }
        let changeable_until = it.row.instruction_until();
        if it.row.status() != InvestmentStatus::Suspended && tx.now() >= changeable_until {
            return Err(InvestmentRefusal::InstructionFixed { changeable_until }.into());
        }

        it.row.instruction = wanted;
        it.store(tx)?;
        Ok(it.out())
    }

    /// The investment as it stands now: what is due was done. Refuses `not_found`, for what is out of the caller's
    /// reach too.
    fn current(&self, tx: &mut WriteTx, caller: &Caller, id: InvestmentId) -> Result<Position> {
        let client = caller.client()?;
        let row = load(tx, client, id)?;
        caller.may_reach(Some(row.user))?;
        let mut it = Position { client, id, row };
        self.bring_up_to_date(tx, caller, &mut it, usize::MAX)?;
        Ok(it)
    }

    /// Posts what an event of the investment moves; lines of nothing are left out.
    fn post(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        it: &Position,
        description: &str,
        lines: &[Line],
        sides: &[Side<'_>],
    ) -> Result<Option<EntryId>> {
        let lines: Vec<Line> = lines.iter().filter(|it| it.delta != 0).copied().collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let records: Vec<Record<'_>> = sides
            .iter()
            .map(|&(entry_type, amount, category, narration)| Record {
                user: it.row.user,
                entry_type,
                amount,
                category,
                narration,
            })
            .collect();
        let entry = NewEntry { cause: it.id.to_string(), description, lines: &lines, reverses: None };
        Ok(Some(self.transactions.post(tx, caller, it.client, entry, &records)?.0))
    }
}

impl Position {
    fn store(&mut self, tx: &mut WriteTx) -> Result<()> {
        store(tx, self.client, self.id, &mut self.row)
    }

    fn out(&self) -> InvestmentOut {
        InvestmentOut::of(self.id, &self.row)
    }

    fn available(&self) -> Account {
        Account::user(self.row.user, UserAccount::Available, self.row.principal.currency())
    }

    fn invested(&self) -> Account {
        Account::user(self.row.user, UserAccount::Invested, self.row.principal.currency())
    }

    fn house(&self, kind: HouseAccount) -> Account {
        Account::house(kind, self.row.principal.currency())
    }

    fn nothing(&self) -> Amount {
        Amount::zero(self.row.principal.currency())
    }
}
