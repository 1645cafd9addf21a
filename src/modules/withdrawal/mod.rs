//! Withdrawals: money on its way out, and the beneficiaries it may go to.
//!
//! **Owns** withdrawals (`wdr_`) and beneficiaries (`bnf_`). A withdrawal holds its amount and fee from the moment it
//! is asked for. Where mail is configured, what a user asks for waits until that user confirms it with what was mailed
//! to it, and so does a beneficiary it adds. Then people, or the client's rules, approve it (votes are void once the
//! rules change); a gateway is asked, once; the held money is then paid out of the books, or given back. Fees and taxes
//! that staff charge are withdrawals too, completed at once.
//!
//! **Calls** Currency, Pricing (fees, limits), Client (settings, who approves), User (may this user pay?), Balance
//! (holds), Transaction (records), Payment (gateways). **Announces** `withdrawal.*` for every state it enters,
//! `beneficiary.created|confirmation_requested|confirmed|deleted`. **Hears** `payout.reported`: what a gateway tells,
//! signed, moves the withdrawal in the same transaction. What was waited for too long is found by a timer; a courier of
//! its own processes what was approved in clients with `auto_process`, another one asks gateways what became of what
//! was sent or lost track of (`service/ask.rs`).
//!
//! **Always true**
//! - A withdrawal whose status holds money has an open hold of exactly payout and fee; any other has none. A hold is
//!   released or captured by the one move that leaves those states (`service::advance`), hence once.
//! - A gateway is told to pay a withdrawal at most once, under the withdrawal's own id; asking it sends nothing.
//! - Nobody decides over a withdrawal while a gateway is being asked.
//! - What a user has to confirm is confirmed by that user, in time, with a token of which a hash is stored; staff and
//!   keys may reject or cancel it meanwhile, and approve nothing.
//! - What a gateway says against the books is neither believed nor forgotten: it is the withdrawal's `conflict` until
//!   two people say what is true (`service/resolve.rs`).
//! - Whoever asked for it, or whose money it is, does not approve it; everybody counts once.

mod before;
pub mod contract;
pub mod events;
mod method;
mod model;
mod repository;
mod routes;
mod service;
#[cfg(test)]
#[allow(clippy::inconsistent_digit_grouping, reason = "units, then cents: 20_000")]
mod tests;

use std::sync::Arc;

use crate::kernel::{
    boot::{Boot, BootError, Module},
    error::Result,
    events::event::Mode,
    store::{ReadTx, Scan},
};
use crate::modules::balance::contract::BalanceContract;
use contract::WithdrawalRefusal;
use repository::{BENEFICIARIES, QUESTIONS, WITHDRAWALS};
use service::{
    Withdrawals,
    ask::{self, PayoutQuestions},
    automatic::{self, PayoutCourier},
};

pub const MODULE: Module = Module {
    name: "withdrawal",
    about: "withdrawals, and the beneficiaries they go to",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let service = Arc::new(Withdrawals {
        currencies: boot.require()?,
        clients: boot.require()?,
        limits: boot.require()?,
        pricing: boot.require()?,
        users: boot.require()?,
        balances: boot.require()?,
        transactions: boot.require()?,
        payments: boot.require()?,
        secrets: boot.secrets(),
        public_url: boot.config().server.public_url.clone(),
    });
    boot.tables(vec![WITHDRAWALS.info(), BENEFICIARIES.info(), QUESTIONS.info()]);
    boot.alias("wdr", "withdrawal");
    boot.alias("bnf", "beneficiary");
    boot.alias("wcf", "payout conflict");
    boot.refusals(WithdrawalRefusal::CATALOGUE.iter().copied());
    boot.machine(model::WITHDRAWAL.table());
    events::announce(boot);
    boot.endpoints(routes::endpoints(&service));
    boot.job(service::deadlines(&service));
    boot.job(service::confirm::unconfirmed());
    boot.job(service::ask::questions(&service));
    boot.target(ask::KIND, ask::plan(), PayoutQuestions(service.clone()));
    boot.listen_with(&service, "withdrawal.payout_reported", Mode::Sync, Withdrawals::reported);
    boot.target(automatic::KIND, automatic::plan(), PayoutCourier(service.clone()));
    let balances = service.balances.clone();
    boot.check("withdrawal.held_money", move |tx| held_money(tx, &*balances));
    Ok(())
}

/// Every withdrawal that holds money has an open hold of payout and fee, and no other has one.
fn held_money(tx: &ReadTx, balances: &dyn BalanceContract) -> Result<Vec<String>> {
    let mut wrong = vec![];
    for row in tx.scan(&WITHDRAWALS, Scan::all()) {
        let ((client, id), withdrawal) = row?;
        let Some(hold) = withdrawal.hold() else { continue };
        let open = balances.find_hold(tx, client, hold)?.filter(|it| it.is_open).map(|it| it.remaining);
        let wanted = withdrawal.status().holds_money().then(|| withdrawal.total()).transpose()?;
        if open != wanted {
            wrong.push(format!("{id} is {}: {open:?} held, {wanted:?} wanted", withdrawal.status()));
        }
    }
    Ok(wrong)
}
