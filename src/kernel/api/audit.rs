//! The audit log: one row per command that succeeded, in the command's own transaction.

use serde::Serialize;

use super::{
    body::Body,
    call::{Call, Caller},
    endpoint::{Endpoint, get},
    input::input,
    page::{Cursor, Limit, Page, Paging, page},
    principal::{Actor, ClientId},
};
use crate::kernel::{
    annex::{self, Relayed, Relaying},
    clock::Time,
    error::Result,
    events::outbox::client_key,
    id::id,
    store::{
        Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

id!(/** A row of the audit log. */ AuditId, "aud");

/// (client, audit) → who did what to which. What concerns the installation stands under the all-zero client.
pub const AUDIT: Table<(ClientId, AuditId), AuditRow> = Table::new("kernel.audit");

/// Who did what.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct AuditRow {
    pub at: Time,
    pub actor: Actor,
    /// `POST /withdrawals/{id}/approve`
    pub action: String,
    /// The id of what it was done to, or of what it made.
    pub entity: String,
    pub request_id: String,
}
row!(AuditRow);

/// Notes that `caller` did `action`; `answer` names what it made when the path names nothing.
pub fn record(
    tx: &mut WriteTx,
    caller: &Caller,
    endpoint: &Endpoint,
    path: &[String],
    answer: &Body,
) -> Result<()> {
    let made = || answer.head().id().map(str::to_owned);
    let row = AuditRow {
        at: tx.now(),
        actor: caller.actor(),
        action: format!("{} {}", endpoint.method, endpoint.path),
        entity: path.first().cloned().or_else(made).unwrap_or_default(),
        request_id: caller.request_id.clone(),
    };
    let client = client_key(caller.principal.client);
    if tx.extension::<Relaying>().is_some() {
        return annex::keep(tx, Relayed::Audit { client, row });
    }
    let id: AuditId = tx.new_id();
    tx.put(&AUDIT, &(client, id), &row)
}

/// A row of the audit log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct AuditOut {
    id: AuditId,
    object: &'static str,
    created_at: Time,
    actor: Actor,
    action: String,
    entity: String,
    request_id: String,
}

pub struct AuditQuery {
    limit: Limit,
    cursor: Option<Cursor>,
    entity: Option<String>,
    actor: Option<String>,
}
input!(AuditQuery { limit, cursor, entity, actor });

pub fn endpoints() -> Vec<Endpoint> {
    vec![get("/audit").about("List who did what").needs("audit.view_any").lists(
        |tx, call: &Call<(), AuditQuery>| {
            let AuditQuery { limit, cursor, entity, actor } = &call.input;
            let paging = Paging::new(*limit, cursor, (entity, actor));
            let wanted = |row: &AuditRow| {
                entity.as_ref().is_none_or(|it| *it == row.entity)
                    && actor.as_ref().is_none_or(|it| *it == row.actor.to_string())
            };
            let rows: Page<_> = page(tx, &AUDIT, &client_key(call.caller.principal.client), &paging, wanted)?;
            Ok(rows.map(|((_, id), row)| AuditOut {
                id,
                object: "audit",
                created_at: row.at,
                actor: row.actor,
                action: row.action,
                entity: row.entity,
                request_id: row.request_id,
            }))
        },
    )]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::store::codec::golden;

    #[test]
    fn the_stored_form_stays_what_it_is() {
        let row = AuditRow {
            at: Time::from_micros(1_795_342_000_000_000),
            actor: Actor::System,
            action: "POST /withdrawals".into(),
            entity: "wdr_1".into(),
            request_id: "req_1".into(),
        };
        golden("kernel.audit", &row);
    }
}
