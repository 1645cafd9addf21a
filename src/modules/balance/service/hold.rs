//! Holds: money set aside for something that was asked for, and captured or released exactly once.
//!
//! Invariant: what the `held` account of a user holds is the sum of what remains of its open holds.

use super::Ledger;
use crate::kernel::{
    api::principal::{ClientId, UserId},
    error::{Result, fault},
    money::Amount,
    store::WriteTx,
};
use crate::modules::balance::{
    contract::{Account, BalanceContract as _, Hold, HoldId, Line, NewEntry, Posted, UserAccount},
    repository::HOLDS,
};

pub fn hold(
    ledger: &Ledger,
    tx: &mut WriteTx,
    client: ClientId,
    user: UserId,
    amount: Amount,
    cause: String,
    description: &str,
) -> Result<(Hold, Posted)> {
    let lines = [Line::lower(available(user, amount), amount), Line::raise(held(user, amount), amount)];
    let entry = NewEntry { cause: cause.clone(), description, lines: &lines, reverses: None };
    let posted = ledger.post(tx, client, entry)?;
    let id: HoldId = tx.new_id();
    let created_at = tx.now();
    let hold = Hold { id, user, remaining: amount, original: amount, cause, is_open: true, created_at };
    tx.insert(&HOLDS, &(client, id), &hold)?;
    Ok((hold, posted))
}

pub fn capture(
    ledger: &Ledger,
    tx: &mut WriteTx,
    client: ClientId,
    id: HoldId,
    lines: &[Line],
    is_final: bool,
    description: &str,
) -> Result<(Hold, Posted)> {
    let mut hold = open(tx, client, id)?;
    let currency = hold.remaining.currency();
    let mut wanted = lines.iter().filter(|it| it.account.currency == currency).map(|it| it.delta);
    let wanted = wanted.try_fold(0i128, i128::checked_add);
    let captured = Amount::new(wanted.unwrap_or(i128::MAX), currency)?;
    if captured.is_zero() {
        return Err(fault!("{id}: nothing was to be captured"));
    }
    let rest = hold.remaining.minus(captured)?; // A fault when it is more than remains.

    let given_back = if is_final { rest } else { Amount::zero(currency) };
    let mut all = lines.to_vec();
    all.push(Line::lower(held(hold.user, captured), captured.plus(given_back)?));
    all.push(Line::raise(available(hold.user, captured), given_back));
    let entry = NewEntry { cause: hold.cause.clone(), description, lines: &all, reverses: None };
    let posted = ledger.post(tx, client, entry)?;
    hold.remaining = rest.minus(given_back)?;
    hold.is_open = !hold.remaining.is_zero();
    tx.put(&HOLDS, &(client, id), &hold)?;
    Ok((hold, posted))
}

pub fn release(
    ledger: &Ledger,
    tx: &mut WriteTx,
    client: ClientId,
    id: HoldId,
    description: &str,
) -> Result<(Hold, Posted)> {
    let mut hold = open(tx, client, id)?;
    let rest = hold.remaining;
    let lines = [Line::lower(held(hold.user, rest), rest), Line::raise(available(hold.user, rest), rest)];
    let entry = NewEntry { cause: hold.cause.clone(), description, lines: &lines, reverses: None };
    let posted = ledger.post(tx, client, entry)?;
    hold.remaining = Amount::zero(rest.currency());
    hold.is_open = false;
    tx.put(&HOLDS, &(client, id), &hold)?;
    Ok((hold, posted))
}

/// The hold, which must be open: whoever asked for it guards its own states.
fn open(tx: &WriteTx, client: ClientId, id: HoldId) -> Result<Hold> {
    match tx.get(&HOLDS, &(client, id))? {
        Some(hold) if hold.is_open => Ok(hold),
        Some(_) => Err(fault!("{id} is closed")),
        None => Err(fault!("{id} is no hold of {client}")),
    }
}

fn available(user: UserId, amount: Amount) -> Account {
    Account::user(user, UserAccount::Available, amount.currency())
}

fn held(user: UserId, amount: Amount) -> Account {
    Account::user(user, UserAccount::Held, amount.currency())
}
