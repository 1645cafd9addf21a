//! The use cases of Transaction, a file each.

mod bulk;
mod check;
mod create;
mod record;
mod resolve;
mod reverse;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::modules::{
    balance::contract::{AccountState, BalanceContract},
    category::contract::CategoryContract,
    client::contract::ClientContract,
    currency::contract::CurrencyContract,
    transaction::{contract::TransferId, model::Transfer},
    user::contract::UserContract,
};

pub use bulk::{BulkIn, BulkOut};
pub use create::TransferIn;
pub use resolve::{TransferCaptureIn, TransferVoidIn};
pub use reverse::TransferReverseIn;

pub struct Transactions {
    pub currencies: Arc<dyn CurrencyContract>,
    pub categories: Arc<dyn CategoryContract>,
    pub clients: Arc<dyn ClientContract>,
    pub users: Arc<dyn UserContract>,
    pub balances: Arc<dyn BalanceContract>,
}

/// A transfer as a command left it, with what the accounts it moved hold now.
#[derive(Debug)]
pub struct Moved {
    pub id: TransferId,
    pub transfer: Transfer,
    pub states: Vec<AccountState>,
}
