//! The rules for approving over HTTP.

use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::{
    kernel::{
        api::{
            call::Call,
            endpoint::{Endpoint, get, post, put},
            input::{Named as _, input, text_enum},
            principal::Actor,
        },
        clock::Time,
        money::{Amount, AmountText, CurrencyCode},
    },
    modules::client::{
        approval::{ApprovalOperation, ApprovalPolicy, Automatic},
        model::PolicyRow,
        service::ClientService,
    },
};

text_enum! {
    /// What nobody is asked about.
    pub enum AutomaticKind {
        Never = "never",
        /// What is at most `automatic_up_to`.
        UpTo = "up_to",
        Always = "always",
    }
}

input! {
    /// The rules of an operation, as a whole: what is omitted is off.
    #[derive(Debug)]
    pub struct ApprovalPolicyIn {
        automatic: AutomaticKind,
        /// In the default currency, inclusive. Other currencies wait for people.
        automatic_up_to: Option<AmountText>,
        /// One person with the permission is enough up to here.
        one_person_up_to: Option<AmountText>,
        /// How many people above: 1 to 5.
        approvals: Option<u32>,
        /// Who they are; without one, whoever has the permission. An empty one lets nobody vote.
        committee: Option<CommitteeIn>,
    }
}

input! {
    /// Those who vote.
    #[derive(Debug)]
    pub struct CommitteeIn {
        /// Ids of users and keys.
        members: Option<Vec<String>>,
        /// Whoever has the role of this name, too.
        role: Option<String>,
    }
}

/// Those who vote.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CommitteeOut {
    pub members: Vec<Actor>,
    pub role: Option<String>,
}

/// What the rules say.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApprovalRulesOut {
    automatic: AutomaticKind,
    automatic_up_to: Option<Amount>,
    automatic_up_to_currency: Option<CurrencyCode>,
    one_person_up_to: Option<Amount>,
    one_person_up_to_currency: Option<CurrencyCode>,
    approvals: u32,
    committee: Option<CommitteeOut>,
}

impl ApprovalRulesOut {
    fn of(policy: &ApprovalPolicy, committee: Option<CommitteeOut>) -> ApprovalRulesOut {
        let (automatic, automatic_up_to) = match policy.automatic {
            Automatic::Never => (AutomaticKind::Never, None),
            Automatic::UpTo(limit) => (AutomaticKind::UpTo, Some(limit)),
            Automatic::Always => (AutomaticKind::Always, None),
        };
        let ApprovalPolicy { one_person_up_to, approvals, .. } = *policy;
        let currency = |it: Option<Amount>| it.map(|it| it.currency().code);
        ApprovalRulesOut {
            automatic,
            automatic_up_to,
            automatic_up_to_currency: currency(automatic_up_to),
            one_person_up_to,
            one_person_up_to_currency: currency(one_person_up_to),
            approvals,
            committee,
        }
    }
}

/// Looser rules that wait for somebody else to agree.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApprovalProposalOut {
    #[serde(flatten)]
    rules: ApprovalRulesOut,
    proposed_by: Actor,
    proposed_at: Time,
    /// What a decision names: every proposal has another.
    revision: u32,
}

/// The rules of an operation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ApprovalPolicyOut {
    #[schema(value_type = String)]
    object: &'static str,
    operation: ApprovalOperation,
    /// The client's default one, which amounts are set in. What was set before it was the default one keeps its own.
    currency: CurrencyCode,
    #[serde(flatten)]
    rules: ApprovalRulesOut,
    /// Grows when the rules change: votes cast before are void.
    revision: u32,
    proposed: Option<ApprovalProposalOut>,
    created_at: Time,
    updated_at: Time,
    version: u64,
}

impl ApprovalPolicyOut {
    pub fn of(
        operation: ApprovalOperation,
        currency: CurrencyCode,
        (policy, committee): (ApprovalPolicy, Option<CommitteeOut>),
        (row, next): (PolicyRow, Option<CommitteeOut>),
    ) -> ApprovalPolicyOut {
        let proposal_revision = row.proposal_revision();
        ApprovalPolicyOut {
            object: "approval_policy",
            operation,
            currency,
            rules: ApprovalRulesOut::of(&policy, committee),
            revision: policy.revision,
            proposed: row.proposed.map(|it| ApprovalProposalOut {
                rules: ApprovalRulesOut::of(&it.policy, next),
                proposed_by: it.by,
                proposed_at: it.at,
                revision: proposal_revision,
            }),
            created_at: row.times.created_at,
            updated_at: row.times.updated_at,
            version: row.times.version,
        }
    }
}

/// The rules of every operation.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ApprovalPoliciesOut {
    #[schema(value_type = String)]
    object: &'static str,
    data: Vec<ApprovalPolicyOut>,
}

pub fn endpoints(service: &Arc<ClientService>) -> Vec<Endpoint> {
    let listing = service.clone();
    vec![
        get("/approval-policies")
            .about("Show who has to approve what")
            .needs("approval-policies.view_any")
            .with_csv()
            .reads(move |tx, call: &Call| {
                let client = call.caller.client()?;
                let all = ApprovalOperation::ALL.iter();
                let data = all.map(|it| listing.policy_out(tx, client, *it)).collect::<Result<_, _>>()?;
                Ok(ApprovalPoliciesOut { object: "list", data })
            }),
        get("/approval-policies/{operation}")
            .about("Show who has to approve one operation")
            .needs("approval-policies.view_any")
            .reads_with(service, ClientService::show_policy),
        put("/approval-policies/{operation}")
            .about("Say who has to approve; looser rules wait until somebody else agrees")
            .needs("approval-policies.update_any")
            .versioned()
            .refuses(&["role_unknown"])
            .example(json!({
                "automatic": "up_to", "automatic_up_to": "500.00", "one_person_up_to": "5000.00", "approvals": 2,
                "committee": { "role": "admin" },
            }))
            .writes_with(service, ClientService::put_policy),
        post("/approval-policies/{operation}/approve")
            .about("Agree to looser rules that somebody else proposed")
            .needs("approval-policies.approve")
            .refuses(&["nothing_proposed", "self_approval", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(service, ClientService::approve_policy),
        post("/approval-policies/{operation}/reject")
            .about("Drop looser rules that were proposed")
            .needs("approval-policies.reject")
            .refuses(&["nothing_proposed", "revision_stale"])
            .example(json!({ "revision": 2 }))
            .writes_with(service, ClientService::reject_policy),
    ]
}
