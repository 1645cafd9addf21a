//! What other modules may ask of categories.

use crate::kernel::{
    api::principal::ClientId,
    error::{Result, refusals},
    id::id,
    store::WriteTx,
};

id!(/** A category of transactions. */ CategoryId, "cat");

/// The built-in categories: every client has them, nobody can change them.
pub mod built_in {
    pub const DEPOSIT: &str = "deposit";
    pub const WITHDRAWAL: &str = "withdrawal";
    pub const INVESTMENT: &str = "investment";
    pub const PAYMENT: &str = "payment";
    pub const SWAP: &str = "swap";
    pub const FEE: &str = "fee";
    pub const PROFIT: &str = "profit";
    pub const COMMISSION: &str = "commission";
    pub const REFUND: &str = "refund";
    pub const ADJUSTMENT: &str = "adjustment";
    pub const TRANSFER: &str = "transfer";
    pub const ALL: &[&str] = &[
        DEPOSIT, WITHDRAWAL, INVESTMENT, PAYMENT, SWAP, FEE, PROFIT, COMMISSION, REFUND, ADJUSTMENT, TRANSFER,
    ];
}

/// Transaction categories, by stable key.
pub trait CategoryContract: Send + Sync {
    /// Marks a category as used: from now on it can be deactivated, not deleted. Refuses `category_unknown` unless the
    /// client has it, active. Built-in keys cost nothing.
    fn use_category(&self, tx: &mut WriteTx, client: ClientId, key: &str) -> Result<()>;
}

refusals! {
    /// What Category refuses.
    pub enum CategoryRefusal {
        /// The client has no active category with this key.
        CategoryUnknown { category: String }: Unprocessable "category_unknown" => "there is no active category {category}",
        /// The client has a category with this key already; keys of deleted categories are free again.
        CategoryTaken { category: String }: Conflict "category_taken" => "category {category} exists already",
        /// Built-in categories cannot be changed.
        CategoryFixed { category: String }: Conflict "category_fixed" => "{category} is built in",
        /// Transactions carry this category. Deactivate it instead.
        CategoryInUse { category: String }: Conflict "category_in_use" => "{category} is in use: deactivate it instead",
    }
}
