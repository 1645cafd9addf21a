//! What Transaction does when others tell it something.

use super::{
    contract::{EntryType, NewTransaction, TransactionContract as _, TransactionStatus},
    service::Transactions,
};
use crate::{
    kernel::{
        api::call::Caller,
        error::{Result, fault},
        events::event::Envelope,
        money::AmountText,
        store::WriteTx,
    },
    modules::{
        balance::events::{BalanceAdjusted, Direction},
        category::contract::built_in,
    },
};

/// An adjustment was posted: its user sees it. In the same transaction, as every record is.
pub fn adjusted(
    transactions: &Transactions,
    tx: &mut WriteTx,
    envelope: &Envelope,
    event: BalanceAdjusted,
) -> Result<()> {
    let Some(user) = event.user_id else { return Ok(()) };
    let broken = |what: &str| fault!("{} has {what}", envelope.id);
    let client = envelope.client.ok_or_else(|| broken("no client"))?;
    let currency = transactions.currencies.known(tx, event.currency)?;
    let currency = currency.ok_or_else(|| broken("an unknown currency"))?;
    let text: AmountText = event.amount.parse().map_err(|()| broken("no amount"))?;
    let entry_type = match event.direction {
        Direction::Credit => EntryType::Credit,
        Direction::Debit => EntryType::Debit,
    };
    let new = NewTransaction {
        user,
        entry_type,
        amount: text.positive("amount", currency)?,
        balance_after: transactions.balances.balances(tx, client, user, currency)?.available,
        status: TransactionStatus::Completed,
        category: built_in::ADJUSTMENT,
        narration: &event.reason,
        cause: event.adjustment_id.to_string(),
        entry: event.entry_id,
    };
    transactions.record(tx, &Caller::system(Some(client)), client, new).map(drop)
}
