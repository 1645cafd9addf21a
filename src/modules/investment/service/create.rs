//! Putting money into a plan.

use std::time::Duration;

use super::{Investments, Position};
use crate::{
    kernel::{
        api::{
            call::{Call, Caller},
            input::Flaw,
            object::{Stamp, check_external_id},
        },
        clock::Time,
        error::Result,
        machine::History,
        money::Amount,
        store::WriteTx,
    },
    modules::{
        balance::contract::Line,
        category::contract::built_in,
        investment::{
            contract::{InvestmentStatus, MaturityInstruction},
            events::InvestmentCreated,
            model::Investment,
            repository::{BY_EXTERNAL_ID, INVESTMENTS},
            routes::{InvestmentIn, InvestmentOut, PaidFrom},
        },
        payment::contract::NewPayment,
        pricing::contract::PlanInfo,
        transaction::contract::EntryType,
    },
};

/// How far ahead an investment may start.
const FURTHEST_START: Duration = Duration::from_secs(366 * 24 * 3600);

impl Investments {
    /// From the user's balance at once, or through a payment.
    ///
    /// Refuses, in this order: `not_found` of the plan, what is wrong with the amount and the other fields, `not_found`
    /// and `user_not_active` of the user, `plan_not_published`, `outside_plan`, `external_id_taken`; then
    /// `insufficient_funds`, or what the payment refuses.
    pub fn create(&self, tx: &mut WriteTx, call: &Call<(), InvestmentIn>) -> Result<InvestmentOut> {
        let (caller, input) = (&call.caller, &call.input);
        let client = caller.client()?;
        let plan = self.pricing.plan(tx, client, input.plan_id)?;
        let amount = input.amount.positive("amount", plan.terms.currency)?;
        let user = caller.acting_for(input.user_id)?;
        let source = input.source.unwrap_or(PaidFrom::Balance);
        if source == PaidFrom::Balance && input.gateway_id.is_some() {
            return Err(Flaw::new("gateway_id", "not_allowed", "only with `source: payment`").into());
        }
        let now = tx.now();
        let starts_at = input.starts_at.unwrap_or(now);
        if starts_at < now || starts_at > now.after(FURTHEST_START) {
            return Err(Flaw::new("starts_at", "out_of_range", "must be within a year from now").into());
        }
        self.users.check_may_pay(tx, client, user)?;
        self.pricing.check_plan_takes(tx, client, plan.id, amount)?;
        plan.terms.schedule(amount, starts_at)?; // What it earns can be said.
        check_external_id(tx, &INVESTMENTS, BY_EXTERNAL_ID, client, input.external_id.as_ref())?;

        let runs = source == PaidFrom::Balance && starts_at <= now;
        let status = if runs { InvestmentStatus::Active } else { InvestmentStatus::Pending };
        let nothing = amount.minus(amount)?;
        let row = Investment {
            user,
            plan: plan.id,
            plan_number: plan.number,
            plan_name: plan.name,
            terms: plan.terms,
            principal: amount,
            invested: nothing,
            profit: nothing,
            penalty: nothing,
            instruction: input.maturity_instruction.unwrap_or(MaturityInstruction::PayOut),
            starts_at,
            suspended_at: None,
            suspended_micros: 0,
            accrued: 0,
            accrued_until: None,
            payment: None,
            default_request: None,
            rolled_from: None,
            rolled_into: None,
            due_at: None,
            history: History::begin(status, caller, now),
            stamp: Stamp::new(tx, input.external_id.as_ref(), &input.metadata),
        };
        let mut it = Position { client, id: tx.new_id(), row };
        match source {
            PaidFrom::Balance => self.invest(tx, caller, &mut it)?,
            PaidFrom::Payment => {
                let payment = NewPayment {
                    user: Some(user),
                    amount,
                    payable: Some(it.id.to_string()),
                    credited_in: None,
                    gateway: input.gateway_id,
                    expires_in_s: None,
                    external_id: None,
                    metadata: Default::default(),
                };
                it.row.payment = Some(self.payments.create(tx, caller, client, payment)?.id);
            }
        }
        self.begin(tx, caller, &mut it)?;
        Ok(it.out())
    }

    /// available → invested.
    pub(super) fn invest(&self, tx: &mut WriteTx, caller: &Caller, it: &mut Position) -> Result<()> {
        let amount = it.row.principal;
        let lines = [Line::lower(it.available(), amount), Line::raise(it.invested(), amount)];
        let side = (EntryType::Debit, amount, built_in::INVESTMENT, "Investment");
        self.post(tx, caller, it, "Investment", &lines, &[side])?;
        it.row.invested = amount;
        Ok(())
    }

    /// Stores a new one, and tells of it.
    fn begin(&self, tx: &mut WriteTx, caller: &Caller, it: &mut Position) -> Result<()> {
        it.row.due_at = it.row.next_due()?;
        tx.insert(&INVESTMENTS, &(it.client, it.id), &it.row)?;
        tx.publish(caller, &InvestmentCreated::of(it.id, &it.row, None))?;
        Ok(())
    }

    /// Goes on in `plan` with what the one before leaves invested, from its maturity on.
    pub(super) fn roll(
        &self,
        tx: &mut WriteTx,
        caller: &Caller,
        before: &Position,
        plan: PlanInfo,
        amount: Amount,
        matured_at: Time,
    ) -> Result<Position> {
        let nothing = before.nothing();
        let row = Investment {
            plan: plan.id,
            plan_number: plan.number,
            plan_name: plan.name,
            terms: plan.terms,
            principal: amount,
            invested: amount,
            profit: nothing,
            penalty: nothing,
            starts_at: matured_at,
            suspended_at: None,
            suspended_micros: 0,
            accrued: 0,
            accrued_until: None,
            payment: None,
            default_request: None,
            rolled_from: Some(before.id),
            rolled_into: None,
            due_at: None,
            history: History::begin(InvestmentStatus::Active, caller, tx.now()),
            stamp: Stamp::new(tx, None, &before.row.stamp.metadata),
            ..before.row.clone()
        };
        let mut it = Position { client: before.client, id: tx.new_id(), row };
        self.begin(tx, caller, &mut it)?;
        Ok(it)
    }
}
