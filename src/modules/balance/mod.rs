//! The ledger: who has how much, and why.
//!
//! **Owns** accounts, journal entries with their postings, holds and adjustments. Double entry, append-only: the only
//! way to change a balance is to post an entry whose lines sum to zero per currency, and the only way to correct one is
//! to post another. A positive posting raises its account.
//!
//! **Calls** Currency (what a client has active; marks what was used) and User (who exists).
//! **Announces** `adjustment.requested`, `adjustment.rejected`, `balance.adjusted`, `verify.failed`. **Hears** nothing.
//!
//! Always true, and checked by [`service::Verify`] after every test, each night, by `ledger/verify` and by
//! `coffer verify`:
//! - the postings of an entry sum to zero per currency;
//! - a stored balance is what the account's postings sum to; of a user it is never below zero, unless a chargeback, or a
//!   payout that went though it had been given back, took it there (`available` only, and from there it only rises);
//! - per client, numbers have no gap, times increase, and each hash covers the one before it;
//! - what a user's `held` account holds is the sum of what remains of its open holds.
//!
//! What a posting costs: the journal's end and one row per wallet are read and written, the entry is appended. No index:
//! history is a chain inside the journal (`model/chain.rs`), and an entry's id contains its number (`model/entry.rs`).

pub mod contract;
pub mod events;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use contract::{BalanceContract, BalanceRefusal};
use events::{AdjustmentRejected, AdjustmentRequested, BalanceAdjusted, VerifyFailed};
use model::adjustment::ADJUSTMENT;
use repository::{ACCOUNT_IDS, ADJUSTMENTS, ENTRIES, HOLDS, JOURNALS, WALLETS};
use service::{Ledger, Verify};

use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "balance",
    about: "The double-entry ledger: accounts, entries, holds",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let ledger = Arc::new(Ledger {
        currencies: boot.require()?,
        users: boot.require()?,
        clients: boot.require()?,
        market: boot.require()?,
    });
    boot.tables(vec![
        WALLETS.info(),
        ACCOUNT_IDS.info(),
        ENTRIES.info(),
        JOURNALS.info(),
        HOLDS.info(),
        ADJUSTMENTS.info(),
    ]);
    boot.refusals(BalanceRefusal::CATALOGUE.iter().copied());
    for (prefix, entity) in [("acc", "account"), ("ent", "entry"), ("hld", "hold"), ("adj", "adjustment")] {
        boot.alias(prefix, entity);
    }
    boot.announces::<AdjustmentRequested>();
    boot.announces::<AdjustmentRejected>();
    boot.announces::<BalanceAdjusted>();
    boot.announces::<VerifyFailed>();
    boot.machine(ADJUSTMENT.table());
    boot.endpoints(routes::endpoints(&ledger));
    boot.check("ledger", |tx| {
        let mut wrong = vec![];
        for client in service::clients(tx)? {
            wrong.extend(Verify::whole(tx, client)?.map(|it| format!("{client}: {it}")));
        }
        Ok(wrong)
    });
    service::nightly::schedule(boot)?;
    let users = ledger.users.clone();
    boot.check("whoever has less than nothing is noted", move |tx| service::wrong_debts(tx, &*users));
    let contract: Arc<dyn BalanceContract> = ledger;
    boot.service("user_balance", contract.clone());
    boot.provide(contract)
}
