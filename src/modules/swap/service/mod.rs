//! What can be done with quotes and swaps.

mod execute;
pub mod expire;
mod quote;
mod verify;

use std::sync::Arc;

use super::{
    contract::{QuoteId, SwapId},
    repository::{QUOTES, SWAPS},
    routes::{QuoteOut, SwapOut},
};
use crate::{
    kernel::{
        api::call::{Call, found},
        error::Result,
        store::ReadTx,
    },
    modules::{
        balance::contract::BalanceContract, client::contract::ClientContract,
        currency::contract::CurrencyContract, market::contract::MarketContract,
        pricing::contract::PricingContract, transaction::contract::TransactionContract,
        user::contract::UserContract,
    },
};

pub struct Swaps {
    pub clients: Arc<dyn ClientContract>,
    pub users: Arc<dyn UserContract>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub market: Arc<dyn MarketContract>,
    pub pricing: Arc<dyn PricingContract>,
    pub balance: Arc<dyn BalanceContract>,
    pub transactions: Arc<dyn TransactionContract>,
}

impl Swaps {
    pub fn show_quote(&self, tx: &ReadTx, call: &Call<QuoteId>) -> Result<QuoteOut> {
        let quote = found(tx.get(&QUOTES, &(call.caller.client()?, call.path))?)?;
        call.caller.may_reach(Some(quote.user))?;
        Ok(QuoteOut::of(call.path, &quote))
    }

    pub fn show(&self, tx: &ReadTx, call: &Call<SwapId>) -> Result<SwapOut> {
        let swap = found(tx.get(&SWAPS, &(call.caller.client()?, call.path))?)?;
        call.caller.may_reach(Some(swap.user))?;
        Ok(SwapOut::of(call.path, &swap))
    }
}
