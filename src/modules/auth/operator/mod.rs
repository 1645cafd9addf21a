//! Operators: who runs the installation, and the tokens they act with.
//!
//! ```text
//! coffer setup-link ─ su_ (once, 30 min) ─► operator/claim ─► the first operator, or a new password for one
//! operator/login (and a code, where there is a second factor) ─► op_ for 12 h
//!         operator/tokens ─► op_ by name, until it expires or is revoked
//! ```
//!
//! Always true: at most one set-up token is good; a sign-in ends with the password it was made with.

mod authenticator;
mod repository;
mod routes;
mod service;
mod sign_in;
mod totp;

use std::sync::Arc;

use super::{contract::OperatorContract, factor::Factors, lock::Lock};
use crate::kernel::boot::{Boot, BootError};

use authenticator::OperatorAuthenticator;
use service::Operators;
use sign_in::OperatorSignIn;

pub use repository::{OPERATOR_TOKENS, SETUP_TOKENS, TOKENS_BY_EXPIRY};

pub fn register(boot: &mut Boot) -> Result<(), BootError> {
    let operators = Arc::new(Operators { secrets: boot.secrets() });
    let lock = Lock::new(&boot.config().auth);
    boot.tables(vec![repository::OPERATORS.info(), OPERATOR_TOKENS.info(), SETUP_TOKENS.info()]);
    boot.alias("opr", "operator");
    boot.alias("opt", "operator token");
    boot.authenticator(&["op_"], Arc::new(OperatorAuthenticator { operators: operators.clone() }));
    let factors = Factors { secrets: boot.secrets(), lock };
    let sign_in = Arc::new(OperatorSignIn { operators: operators.clone(), lock, factors });
    boot.endpoints(routes::endpoints(&sign_in));
    boot.endpoints(totp::endpoints(&sign_in));
    boot.claim(repository::is_claimed);
    boot.service::<dyn OperatorContract>("operator", operators.clone());
    boot.provide::<dyn OperatorContract>(operators)
}
