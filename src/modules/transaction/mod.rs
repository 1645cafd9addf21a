//! What users see of their money, and the plain way to move it.
//!
//! **Owns** transaction records (one for each side of a movement that belongs to a user, written in the transaction of
//! its entry) and transfers between two accounts of a client: at once, or held first and captured, voided or expired
//! later; and taken back.
//!
//! **Calls** Currency, Category, Client (may users transfer to each other), User (who may pay), Balance.
//! **Announces** `transaction.created`, `transfer.captured`, `transfer.voided`, `transfer.expired`,
//! `transfer.reversed`. **Hears** `balance.adjusted`, in its transaction, to write the record.
//!
//! Always true, and checked after every test:
//! - a record names an entry that moved its user's money;
//! - an entry that changed what a user has at hand has a record of that user.
//!
//! What a transfer between two users costs: four rows in the ledger, two records with a line each in the user's list,
//! two events, and the transfer.

pub mod contract;
pub mod events;
mod listeners;
mod model;
mod repository;
mod routes;
mod service;

use std::sync::Arc;

use contract::{TransactionContract, TransactionRefusal};
use events::{TransactionCreated, TransferCaptured};
use model::TRANSFER;
use repository::{TRANSACTIONS, TRANSFERS};
use service::Transactions;

use crate::kernel::{
    boot::{Boot, BootError, Module},
    events::event::Mode,
};

pub const MODULE: Module = Module {
    name: "transaction",
    about: "Records of every movement, and transfers between accounts",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Transactions {
        currencies: boot.require()?,
        categories: boot.require()?,
        clients: boot.require()?,
        users: boot.require()?,
        balances: boot.require()?,
    });
    boot.tables(vec![TRANSACTIONS.info(), TRANSFERS.info()]);
    boot.refusals(TransactionRefusal::CATALOGUE.iter().copied());
    boot.alias("txn", "transaction");
    boot.alias("tfr", "transfer");
    boot.announces::<TransactionCreated>();
    boot.announces::<TransferCaptured>();
    events::announced(boot);
    boot.machine(TRANSFER.table());
    boot.endpoints(routes::endpoints(&service));
    let checking = service.clone();
    boot.listen_with(&service, "transaction.record_adjustment", Mode::Sync, listeners::adjusted);
    boot.job(service.expiry());
    boot.check("transactions", move |tx| checking.check(tx));
    let contract: Arc<dyn TransactionContract> = service;
    boot.service("transactions", contract.clone());
    boot.provide(contract)
}
