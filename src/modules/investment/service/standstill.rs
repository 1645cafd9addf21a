//! Stopping an investment for a while.

use super::Investments;
use crate::{
    kernel::{
        api::{call::Call, text::ReasonIn},
        error::Result,
        machine::Step,
        store::WriteTx,
    },
    modules::investment::{
        contract::InvestmentId,
        events::{InvestmentResumed, InvestmentSuspended},
        model::InvestmentEvent,
        routes::InvestmentOut,
    },
};

impl Investments {
    /// From now on it earns nothing, and its maturity moves away. Refuses `invalid_state_transition`.
    pub fn suspend(&self, tx: &mut WriteTx, call: &Call<InvestmentId, ReasonIn>) -> Result<InvestmentOut> {
        let (caller, reason) = (&call.caller, &*call.input.reason);
        let mut it = self.current(tx, caller, call.path)?;
        if it.step(tx, caller, InvestmentEvent::Suspend, Some(reason))? == Step::Repeated {
            return Ok(it.out());
        }

        it.row.suspended_at = Some(tx.now());
        it.store(tx)?;
        tx.publish(caller, &InvestmentSuspended::of(it.id, &it.row, Some(reason)))?;
        Ok(it.out())
    }

    /// It goes on where it stood. Refuses `invalid_state_transition`.
    pub fn resume(&self, tx: &mut WriteTx, call: &Call<InvestmentId, ReasonIn>) -> Result<InvestmentOut> {
        let (caller, reason) = (&call.caller, &*call.input.reason);
        let mut it = self.current(tx, caller, call.path)?;
        if it.step(tx, caller, InvestmentEvent::Resume, Some(reason))? == Step::Repeated {
            return Ok(it.out());
        }

        let stood = it.row.suspended_at.take().map_or(0, |from| tx.now().since(from).as_micros());
        it.row.suspended_micros += u64::try_from(stood).unwrap_or(u64::MAX / 2);
        it.store(tx)?;
        tx.publish(caller, &InvestmentResumed::of(it.id, &it.row, Some(reason)))?;
        Ok(it.out())
    }
}
