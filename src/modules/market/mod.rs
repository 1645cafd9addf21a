//! Market: pairs of currencies, their prices, and what one is worth in the other.
//!
//! Owns markets, their prices of the last day, and candles of a minute, an hour and a day. Calls Currency. Announces
//! `market.price_rejected` and `market.provider_failed`; a price that was taken is no event. Hears nothing.
//!
//! ```text
//! POST prices ─┐            ┌─ history · last price · candles   one transaction for each 250 prices, its own file if wanted
//!              ├─▶ guards ──┤
//! providers ───┘            └─ after the commit: the snapshot in memory ─▶ rate, convert, GET markets/stream
//!   asked by a timer, with no transaction open
//! ```
//!
//! Always true: a price is above zero and its bid not above its ask; prices of a market are counted without gaps and
//! were observed in their order; nothing is ever converted by a price that is stale, missing or of a paused market;
//! no transaction writes to tables of markets and to others.

mod before;
mod board;
pub mod contract;
pub mod events;
mod model;
mod repository;
mod routes;
mod service;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use self::{
    board::Board,
    contract::{MarketContract, MarketRefusal},
    events::{PriceRejected, ProviderFailed},
    repository::{CANDLES, LATEST, MARKETS, PRICES},
    service::{
        MarketService,
        pull::{self, Fetch},
    },
};
use crate::kernel::boot::{Boot, BootError, Module};

pub const MODULE: Module = Module {
    name: "market",
    about: "Markets, prices sent and fetched, candles, conversion, live stream",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let store = boot.store();
    let loaded = store.read_unbounded(|tx| Board::load(tx, store.clock().clone()));
    let unread =
        |error| BootError::Setting { module: "market", problem: format!("its prices do not read: {error}") };
    let board = Arc::new(loaded.map_err(unread)?);
    let service = Arc::new(MarketService {
        board: board.clone(),
        net: boot.net(),
        currencies: boot.require()?,
        clients: boot.require()?,
        prices: store,
        books: boot.books(),
    });
    boot.provide::<dyn MarketContract>(board.clone())?;
    boot.tables(vec![MARKETS.info(), LATEST.info(), PRICES.info(), CANDLES.info()]);
    boot.refusals(MarketRefusal::CATALOGUE.iter().copied());
    boot.alias("mkt", "market");
    boot.alias("pri", "price");
    boot.announces::<PriceRejected>();
    boot.announces::<ProviderFailed>();
    boot.endpoints(routes::endpoints(&service));
    boot.target(pull::KIND, pull::plan(), Fetch(service));
    boot.job_in_books(pull::job(board));
    boot.check("prices are in order and candles hold them", verify::verify);
    Ok(())
}
