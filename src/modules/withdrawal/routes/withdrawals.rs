//! Asking for withdrawals, and looking at them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, get, post},
        input::{Metadata, input},
        page::{Cursor, Limit, Page, Paging, created_within, page, page_by},
        principal::{Actor, UserId},
    },
    clock::Time,
    error::Result,
    machine::ChangeOut,
    money::{Amount, AmountText, CurrencyCode},
    store::ReadTx,
};
use crate::modules::{
    balance::contract::HoldId,
    payment::contract::GatewayId,
    transaction::contract::TransactionId,
    withdrawal::{
        contract::{BeneficiaryId, WithdrawalId, WithdrawalStatus, WithdrawalType},
        method::{Line, Method},
        model::{Policy, Purpose, Vote, WITHDRAWAL, Withdrawal},
        repository::{BY_USER, OPEN_BY_STATUS, WITHDRAWALS, open_key},
        service::Withdrawals,
    },
};

/// Asks for money to be paid out; or, by staff, charges a fee or a tax.
#[derive(Debug, utoipa::ToSchema)]
pub struct WithdrawalIn {
    pub amount: AmountText,
    pub currency: CurrencyCode,
    /// `cash_out` unless said.
    pub r#type: Option<WithdrawalType>,
    /// Where to pay to: one of the user's beneficiaries.
    pub beneficiary_id: Option<BeneficiaryId>,
    /// Where to pay to, said by a key.
    pub method: Option<Method>,
    /// Said by keys and staff; a user withdraws its own.
    pub user_id: Option<UserId>,
    /// Whether the fee is taken from the amount; otherwise it comes on top.
    pub fee_included: Option<bool>,
    /// What is charged: for `fee` and `tax` only.
    #[schema(value_type = Option<String>, max_length = 500)]
    pub reason: Option<Line<500>>,
    #[schema(value_type = Option<String>, max_length = 255)]
    pub external_id: Option<Line<255>>,
    pub metadata: Metadata,
}
input!(WithdrawalIn {
    amount,
    currency,
    r#type,
    beneficiary_id,
    method,
    user_id,
    fee_included,
    reason,
    external_id,
    metadata,
});

impl WithdrawalIn {
    pub fn kind(&self) -> WithdrawalType {
        self.r#type.unwrap_or(WithdrawalType::CashOut)
    }
}

#[derive(Debug)]
pub struct WithdrawalQuery {
    pub limit: Limit,
    pub cursor: Option<Cursor>,
    pub status: Option<WithdrawalStatus>,
    pub r#type: Option<WithdrawalType>,
    pub currency: Option<CurrencyCode>,
    pub user_id: Option<UserId>,
    pub created_from: Option<Time>,
    pub created_to: Option<Time>,
}
input!(WithdrawalQuery { limit, cursor, status, r#type, currency, user_id, created_from, created_to });

/// A withdrawal.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WithdrawalOut {
    pub id: WithdrawalId,
    #[schema(value_type = String)]
    pub object: &'static str,
    pub r#type: WithdrawalType,
    pub status: WithdrawalStatus,
    pub user_id: UserId,
    /// What was asked for.
    pub amount: Amount,
    pub fee: Amount,
    pub fee_included: bool,
    /// What reaches its destination.
    pub payout: Amount,
    pub currency: CurrencyCode,
    /// Null for charges.
    pub method: Option<Method>,
    pub beneficiary_id: Option<BeneficiaryId>,
    pub hold_id: Option<HoldId>,
    /// What was charged.
    pub reason: Option<String>,
    pub gateway_id: Option<GatewayId>,
    /// The gateway's reference.
    pub reference: Option<String>,
    /// What a vote names. Grows when the client's rules for approving change: earlier votes are void then.
    pub revision: u32,
    pub approvals_needed: u32,
    pub votes: Vec<WithdrawalVoteOut>,
    /// When what it waits for is overdue.
    pub due_at: Option<Time>,
    pub transaction_ids: Vec<TransactionId>,
    #[schema(value_type = Vec<String>)]
    pub allowed_events: Vec<&'static str>,
    pub status_history: Vec<ChangeOut>,
    pub external_id: Option<String>,
    pub metadata: Metadata,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: u64,
}

/// Somebody's approval.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WithdrawalVoteOut {
    pub actor: Actor,
    pub at: Time,
    pub note: Option<String>,
    pub revision: u32,
    /// Whether it was cast under the rules in force.
    pub counts: bool,
}

impl WithdrawalOut {
    /// `policy` is the client's present one.
    pub fn of(withdrawal: &Withdrawal, policy: &Policy) -> WithdrawalOut {
        let revision = withdrawal.revision_under(policy);
        let in_force = if revision == withdrawal.revision { &withdrawal.policy } else { policy };
        let vote = |it: &Vote| WithdrawalVoteOut {
            actor: it.actor,
            at: it.at,
            note: it.note.clone(),
            revision: it.revision,
            counts: it.revision == revision,
        };
        let (method, beneficiary_id, reason) = match &withdrawal.purpose {
            Purpose::CashOut { method, beneficiary, .. } => (Some(method.clone()), *beneficiary, None),
            Purpose::Charge { reason, .. } => (None, None, Some(reason.clone())),
        };
        WithdrawalOut {
            id: withdrawal.id,
            object: "withdrawal",
            r#type: withdrawal.kind(),
            status: withdrawal.status(),
            user_id: withdrawal.user,
            amount: withdrawal.amount,
            fee: withdrawal.fee,
            fee_included: withdrawal.fee_included,
            payout: withdrawal.payout,
            currency: withdrawal.amount.currency().code,
            method,
            beneficiary_id,
            hold_id: withdrawal.hold(),
            reason,
            gateway_id: withdrawal.gateway.as_ref().map(|it| it.id),
            reference: withdrawal.reference.clone(),
            revision,
            approvals_needed: in_force.approvals,
            votes: withdrawal.votes.iter().map(vote).collect(),
            due_at: withdrawal.due_at,
            transaction_ids: withdrawal.records.clone(),
            allowed_events: WITHDRAWAL.allowed(withdrawal.status()),
            status_history: withdrawal.history.out(),
            external_id: withdrawal.external_id.clone(),
            metadata: withdrawal.metadata.clone(),
            created_at: withdrawal.created_at,
            updated_at: withdrawal.updated_at,
            version: withdrawal.version,
        }
    }
}

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    let (showing, creating) = (service.clone(), service.clone());
    vec![
        get("/withdrawals")
            .about("List withdrawals")
            .own("withdrawals.view")
            .lists_with(service, list),
        post("/withdrawals")
            .about("Ask for a withdrawal: its amount and fee are held at once")
            .own("withdrawals.create")
            .money()
            .refuses(&[
                "currency_inactive",
                "user_not_active",
                "external_id_taken",
                "below_minimum",
                "beneficiary_required",
                "beneficiary_not_ready",
                "nothing_left",
                "insufficient_funds",
            ])
            .example(json!({
                "amount": "200.00",
                "currency": "USD",
                "user_id": "usr_01jdg3h5v8xkq2m4n6p8r0s2t4",
                "method": {
                    "type": "bank", "bank": "Commerzbank", "holder": "Ann Lee", "iban": "DE89370400440532013000",
                },
            }))
            .writes(move |tx, call| creating.create(tx, call)),
        get("/withdrawals/{id}")
            .about("Show a withdrawal")
            .own("withdrawals.view")
            .reads(move |tx, call: &Call<WithdrawalId>| showing.show(tx, &call.caller, call.path)),
    ]
}

fn list(service: &Withdrawals, tx: &ReadTx, call: &Call<(), WithdrawalQuery>) -> Result<Page<WithdrawalOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let user = call.caller.limited_to(query.user_id)?;
    let filters = (user, query.status, query.r#type, query.currency, query.created_from, query.created_to);
    let paging = Paging::new(query.limit, &query.cursor, filters);
    let keep = |it: &Withdrawal| {
        query.status.is_none_or(|status| it.status() == status)
            && query.r#type.is_none_or(|kind| it.kind() == kind)
            && query.currency.is_none_or(|code| it.amount.currency().code == code)
            && created_within(it.created_at, query.created_from, query.created_to)
    };
    let open = query.status.filter(|it| it.holds_money());
    let page = match (user, open) {
        (Some(user), _) => page_by(tx, &WITHDRAWALS, BY_USER, &(client, user), &paging, keep)?,
        (None, Some(status)) => {
            page_by(tx, &WITHDRAWALS, OPEN_BY_STATUS, &open_key(client, status), &paging, keep)?
        }
        (None, None) => page(tx, &WITHDRAWALS, &client, &paging, keep)?,
    };
    let policy = service.policy(tx, client)?;
    Ok(page.map(|(_, it)| WithdrawalOut::of(&it, &policy)))
}
