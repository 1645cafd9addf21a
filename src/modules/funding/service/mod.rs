//! What can be done with fundings, by use case.

mod complete;
mod convert;
mod follow;
mod referral;
mod request;
mod reverse;
mod verify;

use std::sync::Arc;

use super::{
    contract::FundingId,
    events::FundingCanceled,
    model::{FUNDING, Funding, FundingEvent},
    repository::FUNDINGS,
    routes::FundingOut,
};
use crate::{
    kernel::{
        api::{
            call::{Call, found},
            principal::ClientId,
        },
        error::{Result, fault},
        machine::Step,
        store::{ReadTx, WriteTx},
    },
    modules::{
        balance::contract::BalanceContract,
        client::contract::ClientContract,
        currency::contract::CurrencyContract,
        market::contract::MarketContract,
        payment::contract::PaymentContract,
        pricing::contract::{LimitContract, LimitOperation, LimitUse, PricingContract},
        transaction::contract::TransactionContract,
        user::contract::UserContract,
    },
};

pub use convert::job as price_job;
pub use referral::owed_job;
pub use request::CREDIT;

pub struct Fundings {
    pub clients: Arc<dyn ClientContract>,
    pub market: Arc<dyn MarketContract>,
    pub limits: Arc<dyn LimitContract>,
    pub pricing: Arc<dyn PricingContract>,
    pub users: Arc<dyn UserContract>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub balance: Arc<dyn BalanceContract>,
    pub transactions: Arc<dyn TransactionContract>,
    pub payments: Arc<dyn PaymentContract>,
}

impl Fundings {
    pub fn show(&self, tx: &ReadTx, call: &Call<FundingId>) -> Result<FundingOut> {
        let funding = load(tx, call.caller.client()?, call.path)?;
        call.caller.may_reach(Some(funding.user))?;
        Ok(FundingOut::of(call.path, &funding))
    }

    /// Withdraws a deposit and its payment before anything came. Refuses `invalid_state_transition`,
    /// `payment_expired`.
    pub fn cancel(&self, tx: &mut WriteTx, call: &Call<FundingId>) -> Result<FundingOut> {
        let (caller, client) = (&call.caller, call.caller.client()?);
        let mut funding = load(tx, client, call.path)?;
        caller.may_reach(Some(funding.user))?;
        if funding.waits() {
            return Err(FUNDING.refusal(funding.status(), FundingEvent::Cancel).into()); // Its money has come.
        }
        if funding.history.step(&FUNDING, FundingEvent::Cancel, caller, None, tx.now())? == Step::Repeated {
            return Ok(FundingOut::of(call.path, &funding));
        }
        let payment = funding.payment.ok_or_else(|| fault!("{} has no payment to cancel", call.path))?;

        // Stored first, so that what the canceled payment announces finds it done.
        store(tx, client, call.path, &mut funding)?;
        self.payments.cancel(tx, caller, client, payment)?;
        self.uncount(tx, client, call.path, &funding)?;
        tx.publish(caller, &FundingCanceled::of(call.path, &funding, None))?;
        Ok(FundingOut::of(call.path, &funding))
    }

    /// A deposit that does not come leaves room under its user's limits again.
    fn uncount(&self, tx: &mut WriteTx, client: ClientId, id: FundingId, funding: &Funding) -> Result<()> {
        let used = LimitUse::new(LimitOperation::Funding, funding.user, funding.amount, id);
        self.limits.give_back(tx, client, used, funding.stamp.created_at)
    }
}

/// Refuses `not_found`, for another client's too.
pub fn load(tx: &ReadTx, client: ClientId, id: FundingId) -> Result<Funding> {
    found(tx.get(&FUNDINGS, &(client, id))?)
}

fn store(tx: &mut WriteTx, client: ClientId, id: FundingId, funding: &mut Funding) -> Result<()> {
    funding.stamp.touch(tx.now());
    tx.put(&FUNDINGS, &(client, id), funding)
}
