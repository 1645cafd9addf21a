//! An investment that is paid for follows its payment.

use super::{Investments, Position};
use crate::{
    kernel::{
        api::call::Caller,
        error::{Result, fault},
        events::event::Envelope,
        id::Id as _,
        money::{Amount, AmountText},
        store::WriteTx,
    },
    modules::{
        balance::contract::{HouseAccount, Line},
        category::contract::built_in,
        investment::{
            contract::{InvestmentId, InvestmentStatus},
            model::InvestmentEvent,
            repository::load,
        },
        payment::{contract::GatewayId, events::PaymentSettled},
        transaction::contract::EntryType,
    },
};

impl Investments {
    /// The money came: it is the user's, and goes into the plan as far as that was asked. Less than the principal, or a
    /// user who may not pay meanwhile, and the investment is canceled; what came stays the user's.
    pub fn settled(&self, tx: &mut WriteTx, envelope: &Envelope, event: PaymentSettled) -> Result<()> {
        let Some(mut it) = paid_for(tx, envelope, event.payable.as_deref())? else { return Ok(()) };
        let caller = Caller::behind(envelope);
        let currency = it.row.principal.currency();
        if currency.code != event.currency {
            return Err(fault!("{} is in {}, {} came", it.id, currency.code, event.currency));
        }
        let text: AmountText =
            event.received.parse().map_err(|()| fault!("{} is no amount", event.received))?;
        let received = text.positive("received", currency)?;
        self.credit(tx, &caller, &it, event.gateway_id, received)?;
        let is_open = it.row.status() == InvestmentStatus::Pending;
        let may_pay = self.users.check_may_pay(tx, it.client, it.row.user).is_ok();
        if !is_open {
            return Ok(());
        }
        if received < it.row.principal || !may_pay {
            let reason = if may_pay { "less came than was asked" } else { "the user may not pay" };
            it.step(tx, &caller, InvestmentEvent::Cancel, Some(reason))?;
            return self.take_back(tx, &caller, &mut it, Some(reason));
        }
        self.invest(tx, &caller, &mut it)?;
        if it.row.starts_at <= tx.now() {
            it.row.starts_at = tx.now();
            self.activate(tx, &caller, &mut it)?;
        }
        it.store(tx)
    }

    /// The payment is over and nothing came: the investment will not be.
    pub fn payment_over(
        &self,
        tx: &mut WriteTx,
        envelope: &Envelope,
        payable: Option<&str>,
        why: &str,
    ) -> Result<()> {
        let Some(mut it) = paid_for(tx, envelope, payable)? else { return Ok(()) };
        if it.row.status() != InvestmentStatus::Pending {
            return Ok(());
        }
        let caller = Caller::behind(envelope);
        it.step(tx, &caller, InvestmentEvent::Cancel, Some(why))?;
        self.take_back(tx, &caller, &mut it, Some(why))
    }

    /// clearing → available.
    fn credit(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        it: &Position,
        gateway: GatewayId,
        received: Amount,
    ) -> Result<()> {
        let clearing = it.house(HouseAccount::Clearing(gateway.bytes()));
        let lines = [Line::lower(clearing, received), Line::raise(it.available(), received)];
        let side = (EntryType::Credit, received, built_in::DEPOSIT, "Paid in for an investment");
        self.post(tx, caller, it, "Paid in for an investment", &lines, &[side]).map(drop)
    }
}

/// The investment a payment is for, when it is for one.
fn paid_for(tx: &WriteTx, envelope: &Envelope, payable: Option<&str>) -> Result<Option<Position>> {
    let Some(id) = payable.and_then(|it| it.parse::<InvestmentId>().ok()) else { return Ok(None) };
    let client = Caller::behind(envelope).client()?;
    Ok(Some(Position { client, id, row: load(tx, client, id)? }))
}
