//! What the money went into failed: somebody says so, somebody else agrees.

use super::Investments;
use crate::{
    kernel::{
        api::{call::Call, input::Flaw, principal::Actor},
        error::Result,
        machine::Step,
        store::WriteTx,
    },
    modules::{
        balance::contract::{HouseAccount, Line},
        category::contract::built_in,
        client::contract::{Approval, ApprovalOperation, ApproveIn, Motion},
        investment::{
            contract::{InvestmentId, InvestmentRefusal},
            events::{InvestmentDefaultRequested, InvestmentDefaulted},
            model::{DefaultRequest, INVESTMENT, InvestmentEvent},
            routes::{DefaultIn, InvestmentOut},
        },
        transaction::contract::EntryType,
    },
};

impl Investments {
    /// Asks for it; another request replaces it, the same one of the same person changes nothing. Nothing moves until a
    /// second person agrees. Refuses `invalid_state_transition`.
    pub fn request_default(
        &self,
        tx: &mut WriteTx,
        call: &Call<InvestmentId, DefaultIn>,
    ) -> Result<InvestmentOut> {
        let (caller, input) = (&call.caller, &call.input);
        let mut it = self.current(tx, caller, call.path)?;
        INVESTMENT.next(it.row.status(), InvestmentEvent::Default)?;
        let currency = it.row.principal.currency();
        let recovered = match &input.recovered_amount {
            None => it.nothing(),
            Some(text) => text.not_negative("recovered_amount", currency)?,
        };
        if recovered > it.row.invested {
            let why = format!("{} is invested", it.row.invested);
            return Err(Flaw::new("recovered_amount", "out_of_range", why).into());
        }

        let (by, at, reason) = (caller.actor(), tx.now(), String::from(&input.reason));
        let said_before =
            it.row.default_request.as_ref().is_some_and(|before| {
                (before.by, &before.reason, before.recovered) == (by, &reason, recovered)
            });
        if said_before {
            return Ok(it.out());
        }

        let policy = self.clients.approval_policy(tx, it.client, ApprovalOperation::InvestmentDefault)?;
        let approval = Approval::of_version(it.row.stamp.version, policy, it.row.invested);
        let approval = approval.after(it.row.default_request.as_ref().map(|it| &it.approval));
        it.row.default_request = Some(DefaultRequest { by, at, reason, recovered, approval });
        it.store(tx)?;
        let event = InvestmentDefaultRequested::of(it.id, &it.row, Some(&*input.reason));
        tx.publish(caller, &event)?;
        Ok(it.out())
    }

    /// Agrees; once enough people did, what was recovered is the user's, the rest is written off. Refuses
    /// `default_not_requested`, `self_approval` (whoever asked, and the owner), `invalid_state_transition`,
    /// `revision_stale`, `not_on_committee`, `already_voted`.
    pub fn approve_default(
        &self,
        tx: &mut WriteTx,
        call: &Call<InvestmentId, ApproveIn>,
    ) -> Result<InvestmentOut> {
        let caller = &call.caller;
        let mut it = self.current(tx, caller, call.path)?;
        let mut request = it.row.default_request.clone().ok_or(InvestmentRefusal::DefaultNotRequested)?;
        let concerned = [request.by, Actor::User(it.row.user)];
        concerned.iter().try_for_each(|other| self.clients.check_other(tx, it.client, caller, *other))?;
        if INVESTMENT.next(it.row.status(), InvestmentEvent::Default).is_ok() {
            let operation = ApprovalOperation::InvestmentDefault;
            let motion = Motion { operation, concerned: &concerned };
            let (approval, ballot) = (&mut request.approval, (&call.input).into());
            let is_enough = self.users.vote(tx, &*self.clients, caller, motion, approval, ballot)?;
            it.row.default_request = Some(request.clone());
            if !is_enough {
                it.store(tx)?;
                return Ok(it.out());
            }
        }
        let reason = request.reason.as_str();
        if it.step(tx, caller, InvestmentEvent::Default, Some(reason))? == Step::Repeated {
            return Ok(it.out());
        }

        let (invested, recovered) = (it.row.invested, request.recovered);
        let lines = [
            Line::lower(it.invested(), invested),
            Line::raise(it.available(), recovered),
            Line::raise(it.house(HouseAccount::Adjustment), invested.minus(recovered)?),
        ];
        let side = (EntryType::Credit, recovered, built_in::INVESTMENT, "Recovered from an investment");
        self.post(tx, caller, &it, "Investment in default", &lines, &[side])?;
        it.row.invested = it.nothing();
        it.store(tx)?;
        tx.publish(caller, &InvestmentDefaulted::of(it.id, &it.row, Some(reason)))?;
        Ok(it.out())
    }
}
