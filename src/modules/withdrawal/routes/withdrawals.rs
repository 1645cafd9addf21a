//! Asking for withdrawals, and looking at them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::kernel::{
    api::{
        call::Call,
        endpoint::{Endpoint, get, post},
        input::{Metadata, input},
        object::{ExternalId, Filters as _, filters, list, object},
        page::{Page, page_by},
        principal::{Actor, UserId},
        text::Line,
    },
    clock::Time,
    error::Result,
    machine::ChangeOut,
    money::{Amount, AmountText, CurrencyCode},
    store::ReadTx,
};
use crate::modules::{
    balance::contract::HoldId,
    client::contract::{ApprovalPolicy, VoteOut},
    payment::contract::GatewayId,
    transaction::contract::TransactionId,
    withdrawal::{
        contract::{BeneficiaryId, WithdrawalId, WithdrawalStatus, WithdrawalType},
        method::Method,
        model::{Conflict, PayoutTruth, WITHDRAWAL, Withdrawal},
        repository::{BY_USER, CONFLICTED, OPEN_BY_STATUS, WITHDRAWALS, open_key},
        service::Withdrawals,
    },
};

input! {
    /// Asks for money to be paid out; or, by staff, charges a fee or a tax.
    #[derive(Debug)]
    pub struct WithdrawalIn {
        amount: AmountText,
        currency: CurrencyCode,
        /// `cash_out` unless said.
        r#type: Option<WithdrawalType>,
        /// Where to pay to: one of the user's beneficiaries.
        beneficiary_id: Option<BeneficiaryId>,
        /// Where to pay to, said by a key.
        method: Option<Method>,
        /// Said by keys and staff; a user withdraws its own.
        user_id: Option<UserId>,
        /// Whether the fee is taken from the amount; otherwise it comes on top.
        fee_included: Option<bool>,
        /// What is charged: for `fee` and `tax` only.
        reason: Option<Line<500>>,
        external_id: Option<ExternalId>,
        metadata: Metadata,
    }
}

impl WithdrawalIn {
    pub fn kind(&self) -> WithdrawalType {
        self.r#type.unwrap_or(WithdrawalType::CashOut)
    }
}

filters! {
    pub struct WithdrawalQuery of Withdrawal, owned by user {
        status: WithdrawalStatus = |it| it.status(),
        r#type: WithdrawalType = |it| it.kind(),
        currency: CurrencyCode = |it| it.amount.currency().code,
        /// Whether its gateway contradicts the books.
        conflicted: bool = |it| it.conflict.is_some(),
    }
}

/// What a gateway says against the books, and what the first of two people says of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PayoutConflictOut {
    /// What the gateway says.
    reason: String,
    /// The gateway's reference.
    reference: Option<String>,
    at: Time,
    /// What a decision names.
    revision: u32,
    truth: Option<PayoutTruth>,
    found_by: Option<Actor>,
    found_reason: Option<String>,
    found_at: Option<Time>,
}

impl PayoutConflictOut {
    fn of(conflict: &Conflict) -> PayoutConflictOut {
        let found = conflict.proposal.as_ref();
        PayoutConflictOut {
            reason: conflict.reason.clone(),
            reference: conflict.reference.clone(),
            at: conflict.at,
            revision: conflict.revision,
            truth: found.map(|it| it.truth),
            found_by: found.map(|it| it.by),
            found_reason: found.map(|it| it.reason.clone()),
            found_at: found.map(|it| it.at),
        }
    }
}

object! {
    /// A withdrawal. `policy` is the client's present one.
    #[derive(Debug)]
    pub struct WithdrawalOut: "withdrawal" of (
        id: WithdrawalId, row: &Withdrawal, policy: &ApprovalPolicy, blocked: bool
    ) {
        r#type: WithdrawalType = row.kind(),
        status: WithdrawalStatus = row.status(),
        user_id: UserId = row.user,
        /// What was asked for.
        amount: Amount = row.amount,
        fee: Amount = row.fee,
        fee_included: bool = row.fee_included,
        /// What reaches its destination.
        payout: Amount = row.payout,
        currency: CurrencyCode = row.amount.currency().code,
        /// Null for charges.
        method: Option<Method> = row.method().cloned(),
        beneficiary_id: Option<BeneficiaryId> = row.beneficiary(),
        hold_id: Option<HoldId> = row.hold(),
        /// What was charged.
        reason: Option<String> = row.charged_for().map(str::to_owned),
        gateway_id: Option<GatewayId> = row.gateway.as_ref().map(|it| it.id),
        /// The gateway's reference.
        reference: Option<String> = row.reference.clone(),
        /// What a vote names. Grows when the client's rules for approving change: earlier votes are void then.
        revision: u32 = row.approval_under(policy).revision,
        approvals_needed: u32 = row.approval_under(policy).policy.needed(row.amount),
        /// The committee that decides over this much has nobody in it who is active: until that, or the rules, change,
        /// nobody can approve.
        blocked: bool = blocked,
        votes: Vec<VoteOut> = VoteOut::all(&row.approval_under(policy)),
        /// When what it waits for is overdue.
        due_at: Option<Time> = row.due_at,
        /// While two people have to find out what is true.
        conflict: Option<PayoutConflictOut> = row.conflict.as_ref().map(PayoutConflictOut::of),
        transaction_ids: Vec<TransactionId> = row.records.clone(),
        #[schema(value_type = Vec<String>)]
        allowed_events: Vec<&'static str> = WITHDRAWAL.allowed(row.status()),
        status_history: Vec<ChangeOut> = row.history.out(),
    }
}

const CREATING: &[&str] = &[
    "currency_inactive",
    "user_not_active",
    "external_id_taken",
    "below_minimum",
    "beneficiary_required",
    "beneficiary_unconfirmed",
    "beneficiary_not_ready",
    "nothing_left",
    "below_limit",
    "above_limit",
    "limit_reached",
    "insufficient_funds",
];

pub fn endpoints(service: &Arc<Withdrawals>) -> Vec<Endpoint> {
    let example = || {
        json!({
            "amount": "200.00",
            "currency": "USD",
            "user_id": "usr_01jdg3h5v8xkq2m4n6p8r0s2t4",
            "method": {
                "type": "bank", "bank": "Commerzbank", "holder": "Ann Lee", "iban": "DE89370400440532013000",
            },
        })
    };
    vec![
        get("/withdrawals").about("List withdrawals").own("withdrawals.view").lists_with(service, listed),
        post("/withdrawals")
            .about("Ask for a withdrawal: its amount and fee are held at once")
            .own("withdrawals.create")
            .money()
            .refuses(CREATING)
            .example(example())
            .writes_with(service, Withdrawals::create),
        post("/withdrawals/bulk")
            .about("Ask for up to 1000 withdrawals; later ones see what earlier ones took")
            .needs("withdrawals.create_any")
            .money()
            .status(200)
            .refuses(CREATING)
            .example(json!({ "items": [example()], "atomic": false }))
            .writes_with(service, Withdrawals::create_bulk),
        get("/withdrawals/{id}")
            .about("Show a withdrawal")
            .own("withdrawals.view")
            .reads_with(service, Withdrawals::show::<()>),
    ]
}

fn listed(
    service: &Withdrawals,
    tx: &ReadTx,
    call: &Call<(), WithdrawalQuery>,
) -> Result<Page<WithdrawalOut>> {
    let (client, query) = (call.caller.client()?, &call.input);
    let user = call.caller.limited_to(query.common.user_id)?;
    let page = match query.status.filter(|it| user.is_none() && it.holds_money()) {
        _ if query.conflicted == Some(true) && user.is_none() => {
            page_by(tx, &WITHDRAWALS, CONFLICTED, &client, &query.paging(user), |it| query.keeps(it))?
        }
        Some(status) => {
            let key = open_key(client, status);
            page_by(tx, &WITHDRAWALS, OPEN_BY_STATUS, &key, &query.paging(user), |it| query.keeps(it))?
        }
        None => list(tx, call, &WITHDRAWALS, Some(BY_USER))?,
    };
    let policy = service.policy(tx, client)?;
    page.try_map(|(_, it)| service.out_under(tx, client, &it, &policy))
}
