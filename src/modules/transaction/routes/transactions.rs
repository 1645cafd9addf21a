//! Records of movements.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::{Call, found},
            endpoint::{Endpoint, get, patch},
            input::{Metadata, input},
            page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
            principal::UserId,
        },
        clock::Time,
        error::Result,
        money::{Amount, CurrencyCode},
        store::ReadTx,
    },
    modules::{
        balance::contract::EntryId,
        transaction::{
            contract::{EntryType, Transaction, TransactionId, TransactionStatus},
            repository::{BY_USER, TRANSACTIONS},
            service::{Transactions, UpdateIn},
        },
    },
};

/// A movement of money as its user sees it.
#[derive(Serialize, utoipa::ToSchema)]
struct TransactionOut {
    id: TransactionId,
    #[schema(value_type = String)]
    object: &'static str,
    status: TransactionStatus,
    user_id: UserId,
    entry_type: EntryType,
    amount: Amount,
    currency: CurrencyCode,
    /// What the user could spend afterwards.
    balance_after: Amount,
    category: String,
    narration: String,
    /// The id of what caused it.
    cause: String,
    entry_id: EntryId,
    /// The entry that took it back.
    reversed_by: Option<EntryId>,
    metadata: Metadata,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

#[derive(Debug)]
struct TransactionsQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    user_id: Option<UserId>,
    status: Option<TransactionStatus>,
    category: Option<String>,
    entry_type: Option<EntryType>,
    currency: Option<CurrencyCode>,
    created_from: Option<Time>,
    created_to: Option<Time>,
}
input!(TransactionsQuery {
    limit,
    cursor,
    user_id,
    status,
    category,
    entry_type,
    currency,
    created_from,
    created_to
});

pub fn endpoints(service: &Arc<Transactions>) -> Vec<Endpoint> {
    let service = service.clone();
    vec![
        get("/transactions").about("List movements of money").own("transactions.view").lists(list),
        get("/transactions/{id}").about("Show a movement of money").own("transactions.view").reads(
            |tx, call: &Call<TransactionId, ()>| {
                let row = found(tx.get(&TRANSACTIONS, &(call.caller.client()?, call.path))?)?;
                call.caller.may_reach(Some(row.user))?;
                Ok(out(row))
            },
        ),
        patch("/transactions/{id}")
            .about("Put a movement into another category, or note something on it")
            .own("transactions.update")
            .versioned()
            .refuses(&["category_unknown"])
            .example(json!({ "category": "payment", "metadata": { "project": "roof" } }))
            .writes(move |tx, call: &Call<TransactionId, UpdateIn>| service.update(tx, call).map(out)),
    ]
}

fn list(tx: &ReadTx, call: &Call<(), TransactionsQuery>) -> Result<Page<TransactionOut>> {
    let query = &call.input;
    let (client, user) = (call.caller.client()?, call.caller.limited_to(query.user_id)?);
    let TransactionsQuery { status, category, entry_type, currency, created_from, created_to, .. } = query;
    let filters = (user, status, category, entry_type, currency, created_from, created_to);
    let paging = Paging::new(query.limit, &query.cursor, filters);
    let keep = |it: &Transaction| {
        status.is_none_or(|status| it.status == status)
            && category.as_ref().is_none_or(|category| it.category == *category)
            && entry_type.is_none_or(|entry_type| it.entry_type == entry_type)
            && currency.is_none_or(|currency| it.amount.currency().code == currency)
            && created_within(it.created_at, *created_from, *created_to)
    };
    let rows = match user {
        Some(user) => page_by(tx, &TRANSACTIONS, BY_USER, &(client, user), &paging, keep)?,
        None => page(tx, &TRANSACTIONS, &client, &paging, keep)?,
    };
    Ok(rows.map(|(_, row)| out(row)))
}

fn out(it: Transaction) -> TransactionOut {
    TransactionOut {
        id: it.id,
        object: "transaction",
        status: it.status,
        user_id: it.user,
        entry_type: it.entry_type,
        amount: it.amount,
        currency: it.amount.currency().code,
        balance_after: it.balance_after,
        category: it.category,
        narration: it.narration,
        cause: it.cause,
        entry_id: it.entry,
        reversed_by: it.reversed_by,
        metadata: it.metadata,
        created_at: it.created_at,
        updated_at: it.updated_at,
        version: it.version,
    }
}
