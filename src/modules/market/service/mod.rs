//! What can be done with markets.

mod markets;
pub mod pull;
pub mod take;

use std::sync::Arc;

pub use take::NewPrice;

use super::board::Board;
use crate::{
    kernel::{net::Net, store::Store},
    modules::{client::contract::ClientContract, currency::contract::CurrencyContract},
};

pub struct MarketService {
    pub board: Arc<Board>,
    pub net: Arc<Net>,
    pub currencies: Arc<dyn CurrencyContract>,
    pub clients: Arc<dyn ClientContract>,
    /// Where the tables of markets are.
    pub prices: Store,
    /// Where everything else is, the outbox for one.
    pub books: Store,
}
