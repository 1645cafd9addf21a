//! Records of movements.

use std::sync::Arc;

use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, patch},
            input::Metadata,
            object::{filters, list, object},
            principal::UserId,
        },
        money::{Amount, CurrencyCode, Standing},
    },
    modules::{
        balance::contract::EntryId,
        transaction::{
            contract::{EntryType, Transaction, TransactionId, TransactionStatus},
            repository::{BY_USER, TRANSACTIONS},
            service::Transactions,
        },
    },
};

object! {
    /// A movement of money as its user sees it.
    pub struct TransactionOut: "transaction" of (id: TransactionId, row: &Transaction) timed {
        status: TransactionStatus = row.status,
        user_id: UserId = row.user,
        entry_type: EntryType = row.entry_type,
        amount: Amount = row.amount,
        currency: CurrencyCode = row.amount.currency().code,
        /// What the user could spend afterwards.
        balance_after: Standing = row.balance_after,
        category: String = row.category.clone(),
        narration: String = row.narration.clone(),
        /// The id of what caused it.
        cause: String = row.cause.clone(),
        entry_id: EntryId = row.entry,
        /// The entry that took it back.
        reversed_by: Option<EntryId> = row.reversed_by,
        metadata: Metadata = row.metadata.clone(),
    }
}

filters! {
    pub struct TransactionsQuery of Transaction, owned by user {
        status: TransactionStatus = |it| it.status,
        category: String = |it| it.category,
        entry_type: EntryType = |it| it.entry_type,
        currency: CurrencyCode = |it| it.amount.currency().code,
    }
}

pub fn endpoints(service: &Arc<Transactions>) -> Vec<Endpoint> {
    vec![
        get("/transactions").about("List movements of money").own("transactions.view").lists(
            |tx, call: &Call<(), TransactionsQuery>| {
                let page = list(tx, call, &TRANSACTIONS, Some(BY_USER))?;
                Ok(page.map(|((_, id), row)| TransactionOut::of(id, &row)))
            },
        ),
        get("/transactions/{id}")
            .about("Show a movement of money")
            .own("transactions.view")
            .reads_with(service, Transactions::show),
        patch("/transactions/{id}")
            .about("Put a movement into another category, or note something on it")
            .own("transactions.update")
            .versioned()
            .refuses(&["category_unknown"])
            .example(json!({ "category": "payment", "metadata": { "project": "roof" } }))
            .writes_with(service, Transactions::update),
    ]
}
