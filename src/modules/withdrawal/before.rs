//! Withdrawals and beneficiaries as earlier releases stored them.

use super::{
    contract::{BeneficiaryId, WithdrawalId, WithdrawalStatus},
    method::Method,
    model::{Beneficiary, Purpose, Standing, Withdrawal},
};
use crate::kernel::{
    api::{object::Stamp, principal::UserId},
    clock::Time,
    machine::History,
    mailed::MailedToken,
    money::Amount,
    store::codec::{Decode, Encode},
};
use crate::modules::{
    client::contract::{Approval, ApprovalPolicy, Automatic, Vote},
    payment::contract::GatewayInfo,
    transaction::contract::TransactionId,
};

/// When the rules for approving were two settings.
#[derive(Encode, Decode)]
pub struct WithdrawalV1 {
    id: WithdrawalId,
    user: UserId,
    purpose: Purpose,
    amount: Amount,
    fee: Amount,
    fee_included: bool,
    payout: Amount,
    history: History<WithdrawalStatus>,
    votes: Vec<Vote>,
    policy: PolicyV1,
    revision: u32,
    gateway: Option<GatewayInfo>,
    reference: Option<String>,
    due_at: Option<Time>,
    records: Vec<TransactionId>,
    stamp: Stamp,
}

#[derive(Encode, Decode)]
struct PolicyV1 {
    approvals: u32,
    automatic_up_to: Option<Amount>,
}

impl From<WithdrawalV1> for Withdrawal {
    fn from(it: WithdrawalV1) -> Withdrawal {
        let PolicyV1 { approvals, automatic_up_to } = it.policy;
        let automatic = automatic_up_to.map_or(Automatic::Never, Automatic::UpTo);
        let policy =
            ApprovalPolicy { automatic, one_person_up_to: None, approvals, committee: None, revision: 0 };
        Withdrawal {
            id: it.id,
            user: it.user,
            purpose: it.purpose,
            amount: it.amount,
            fee: it.fee,
            fee_included: it.fee_included,
            payout: it.payout,
            history: it.history,
            approval: Approval { votes: it.votes, policy, revision: it.revision, amount: it.amount },
            gateway: it.gateway,
            reference: it.reference,
            due_at: it.due_at,
            records: it.records,
            confirmation: None,
            conflict: None,
            stamp: it.stamp,
        }
    }
}

/// When what a gateway said against a person was only logged.
#[derive(Encode, Decode)]
pub struct WithdrawalV2 {
    id: WithdrawalId,
    user: UserId,
    purpose: Purpose,
    amount: Amount,
    fee: Amount,
    fee_included: bool,
    payout: Amount,
    history: History<WithdrawalStatus>,
    approval: Approval,
    gateway: Option<GatewayInfo>,
    reference: Option<String>,
    due_at: Option<Time>,
    records: Vec<TransactionId>,
    confirmation: Option<MailedToken>,
    stamp: Stamp,
}

impl From<WithdrawalV2> for Withdrawal {
    fn from(it: WithdrawalV2) -> Withdrawal {
        Withdrawal {
            id: it.id,
            user: it.user,
            purpose: it.purpose,
            amount: it.amount,
            fee: it.fee,
            fee_included: it.fee_included,
            payout: it.payout,
            history: it.history,
            approval: it.approval,
            gateway: it.gateway,
            reference: it.reference,
            due_at: it.due_at,
            records: it.records,
            confirmation: it.confirmation,
            conflict: None,
            stamp: it.stamp,
        }
    }
}

/// When a beneficiary only had to cool.
#[derive(Encode, Decode)]
pub struct BeneficiaryV1 {
    id: BeneficiaryId,
    user: UserId,
    label: String,
    method: Method,
    ready_at: Time,
    stamp: Stamp,
}

impl From<BeneficiaryV1> for Beneficiary {
    fn from(it: BeneficiaryV1) -> Beneficiary {
        let BeneficiaryV1 { id, user, label, method, ready_at, stamp } = it;
        Beneficiary { id, user, label, method, standing: Standing::ReadyAt(ready_at), stamp }
    }
}
