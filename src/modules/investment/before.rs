//! Investments as earlier releases stored them.

use super::{
    contract::{InvestmentId, InvestmentStatus, MaturityInstruction},
    model::{DefaultRequest, Investment},
};
use crate::{
    kernel::{
        api::{
            object::Stamp,
            principal::{Actor, UserId},
        },
        clock::Time,
        machine::History,
        money::Amount,
        store::codec::{Decode, Encode},
    },
    modules::{
        client::contract::Approval,
        payment::contract::PaymentId,
        pricing::contract::{PlanId, Terms},
    },
};

/// When one other person was enough to write an investment off.
#[derive(Encode, Decode)]
pub struct InvestmentV1 {
    user: UserId,
    plan: PlanId,
    plan_number: u32,
    plan_name: String,
    terms: Terms,
    principal: Amount,
    invested: Amount,
    profit: Amount,
    penalty: Amount,
    instruction: MaturityInstruction,
    starts_at: Time,
    suspended_at: Option<Time>,
    suspended_micros: u64,
    accrued: u32,
    accrued_until: Option<Time>,
    payment: Option<PaymentId>,
    default_request: Option<DefaultRequestV1>,
    rolled_from: Option<InvestmentId>,
    rolled_into: Option<InvestmentId>,
    due_at: Option<Time>,
    history: History<InvestmentStatus>,
    stamp: Stamp,
}

impl From<InvestmentV1> for Investment {
    fn from(it: InvestmentV1) -> Investment {
        Investment {
            user: it.user,
            plan: it.plan,
            plan_number: it.plan_number,
            plan_name: it.plan_name,
            terms: it.terms,
            principal: it.principal,
            invested: it.invested,
            profit: it.profit,
            penalty: it.penalty,
            instruction: it.instruction,
            starts_at: it.starts_at,
            suspended_at: it.suspended_at,
            suspended_micros: it.suspended_micros,
            accrued: it.accrued,
            accrued_until: it.accrued_until,
            payment: it.payment,
            default_request: it.default_request.map(|of| of.now(it.principal)),
            rolled_from: it.rolled_from,
            rolled_into: it.rolled_into,
            due_at: it.due_at,
            history: it.history,
            stamp: it.stamp,
        }
    }
}

#[derive(Encode, Decode)]
struct DefaultRequestV1 {
    by: Actor,
    at: Time,
    reason: String,
    recovered: Amount,
}

impl DefaultRequestV1 {
    fn now(self, principal: Amount) -> DefaultRequest {
        let DefaultRequestV1 { by, at, reason, recovered } = self;
        DefaultRequest { by, at, reason, recovered, approval: Approval::of_before(principal) }
    }
}
