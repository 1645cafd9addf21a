//! Records: one for each side of a movement that belongs to a user, in the transaction of its entry.

use super::Transactions;
use crate::kernel::{
    api::{
        call::{Call, Caller, found},
        input::{Metadata, input},
        object::{Times, save},
        principal::{ClientId, UserId},
    },
    error::{Result, fault},
    money::{Amount, Standing},
    store::{ReadTx, WriteTx},
};
use crate::modules::{
    balance::contract::{Account, AccountOwner, EntryId, NewEntry, Posted, UserAccount},
    category::contract::built_in,
    transaction::{
        contract::{
            EntryType, NewTransaction, Record, Transaction, TransactionContract, TransactionId,
            TransactionStatus,
        },
        events::TransactionCreated,
        repository::TRANSACTIONS,
        routes::transactions::TransactionOut,
    },
};

input! {
    pub struct UpdateIn {
        /// The stable key of a category.
        category: Option<String>,
        /// Given keys replace, an empty value removes.
        metadata: Metadata,
    }
}

impl TransactionContract for Transactions {
    fn record(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        new: NewTransaction<'_>,
    ) -> Result<TransactionId> {
        self.categories.use_category(tx, client, new.category)?;

        let id: TransactionId = tx.new_id();
        let event = TransactionCreated {
            transaction_id: id,
            user_id: new.user,
            entry_type: new.entry_type.to_string(),
            amount: new.amount.digits(),
            currency: new.amount.currency().code,
            status: new.status.to_string(),
            category: new.category.to_owned(),
            cause: new.cause.clone(),
        };
        let row = Transaction {
            id,
            user: new.user,
            entry_type: new.entry_type,
            amount: new.amount,
            balance_after: new.balance_after,
            status: new.status,
            category: new.category.to_owned(),
            narration: new.narration.to_owned(),
            cause: new.cause,
            entry: new.entry,
            reversed_by: None,
            metadata: Metadata::default(),
            times: Times::at(tx.now()),
        };
        tx.insert(&TRANSACTIONS, &(client, id), &row)?;
        tx.publish(caller, &event)?;
        Ok(id)
    }

    fn post(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        entry: NewEntry<'_>,
        records: &[Record<'_>],
    ) -> Result<(EntryId, Vec<TransactionId>)> {
        let cause = entry.cause.clone();
        let posted = self.balances.post(tx, client, entry)?;
        let mut written = vec![];
        for record in records.iter().filter(|it| !it.amount.is_zero()) {
            let balances = self.balances.balances(tx, client, record.user, record.amount.currency())?;
            let new = NewTransaction {
                user: record.user,
                entry_type: record.entry_type,
                amount: record.amount,
                balance_after: balances.available,
                status: TransactionStatus::Completed,
                category: record.category,
                narration: record.narration,
                cause: cause.clone(),
                entry: posted.id,
            };
            written.push(self.record(tx, caller, client, new)?);
        }
        Ok((posted.id, written))
    }

    fn follow(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        transaction: TransactionId,
        status: TransactionStatus,
        entry: EntryId,
    ) -> Result<()> {
        change(tx, client, transaction, |row| {
            use TransactionStatus::{Failed, Reversed};
            if matches!(row.status, Failed | Reversed) && row.status != status {
                return Err(fault!("{transaction} is {}, it cannot become {status}", row.status));
            }
            row.status = status;
            if status == Reversed {
                row.reversed_by = Some(entry);
            } else {
                row.entry = entry;
            }
            Ok(())
        })
    }

    fn find(&self, tx: &ReadTx, client: ClientId, transaction: TransactionId) -> Result<Option<Transaction>> {
        tx.get(&TRANSACTIONS, &(client, transaction))
    }
}

/// What the records of a transfer have in common.
pub struct Side<'a> {
    pub account: Account,
    pub entry_type: EntryType,
    pub amount: Amount,
    pub status: TransactionStatus,
    pub narration: &'a str,
    pub cause: String,
}

impl Transactions {
    pub fn show(&self, tx: &ReadTx, call: &Call<TransactionId>) -> Result<TransactionOut> {
        reached(tx, call).map(|row| TransactionOut::of(call.path, &row))
    }

    /// Another category, other notes: the rest of a record follows its cause. Refuses `not_found`, `stale_version`,
    /// `category_unknown`.
    pub fn update(&self, tx: &mut WriteTx, call: &Call<TransactionId, UpdateIn>) -> Result<TransactionOut> {
        let (client, UpdateIn { category, metadata }) = (call.caller.client()?, &call.input);
        let mut row = reached(tx, call)?;
        call.caller.check_version(row.times.version)?;
        if let Some(category) = category {
            self.categories.use_category(tx, client, category)?;
        }

        row.category = category.clone().unwrap_or(row.category);
        row.metadata.merge(metadata.clone());
        save(tx, &TRANSACTIONS, &(client, call.path), &mut row)?;
        Ok(TransactionOut::of(call.path, &row))
    }

    /// The record of one side of a transfer; none for the house.
    pub fn record_side(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        client: ClientId,
        posted: &Posted,
        side: Side<'_>,
    ) -> Result<Option<TransactionId>> {
        let AccountOwner::User(user, _) = side.account.owner else { return Ok(None) };
        let new = NewTransaction {
            user,
            entry_type: side.entry_type,
            amount: side.amount,
            balance_after: self.spendable(tx, client, posted, user, side.amount)?,
            status: side.status,
            category: built_in::TRANSFER,
            narration: side.narration,
            cause: side.cause,
            entry: posted.id,
        };
        self.record(tx, caller, client, new).map(Some)
    }

    /// What the user can spend now, after `posted`.
    fn spendable(
        &self,
        tx: &ReadTx,
        client: ClientId,
        posted: &Posted,
        user: UserId,
        like: Amount,
    ) -> Result<Standing> {
        let available = Account::user(user, UserAccount::Available, like.currency());
        match posted.balances.iter().find(|it| it.account == available) {
            Some(state) => Standing::new(state.balance, like.currency()),
            None => Ok(self.balances.balances(tx, client, user, like.currency())?.available),
        }
    }
}

/// The record named, within the caller's reach. Refuses `not_found`.
fn reached<I>(tx: &ReadTx, call: &Call<TransactionId, I>) -> Result<Transaction> {
    let row = found(tx.get(&TRANSACTIONS, &(call.caller.client()?, call.path))?)?;
    call.caller.may_reach(Some(row.user))?;
    Ok(row)
}

/// Takes what was captured off a pending record; the captured part has a record of its own.
pub fn shrink(tx: &mut WriteTx, client: ClientId, pending: TransactionId, by: Amount) -> Result<()> {
    change(tx, client, pending, |row| {
        row.amount = row.amount.minus(by)?;
        Ok(())
    })
}

fn change(
    tx: &mut WriteTx,
    client: ClientId,
    id: TransactionId,
    change: impl FnOnce(&mut Transaction) -> Result<()>,
) -> Result<()> {
    let row = tx.get(&TRANSACTIONS, &(client, id))?;
    let mut row = row.ok_or_else(|| fault!("{id} is no transaction of {client}"))?;
    change(&mut row)?;
    save(tx, &TRANSACTIONS, &(client, id), &mut row)
}
