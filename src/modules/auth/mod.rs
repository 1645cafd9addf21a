//! Auth: registering, signing in, sessions; and the operators of the installation.
//!
//! Owns sessions (`auth.sessions`), refresh tokens that were used (`auth.spent_refresh`), tries to sign in
//! (`auth.sign_in_tries`) and, in `operator/`, the operators with their tokens. Asks User for people and the hashes of
//! their passwords, Role for what they may do, Client whether it is active. Announces `auth.refresh_reused` and
//! `auth.password_changed`; hears `user.disabled`, whose sessions end in the same transaction.
//!
//! Always true:
//! - Of a token only the keyed hash is stored; it is shown once.
//! - A refresh token works once. Used again it ends its session.
//! - What a session may do is read at each request: nothing of it is in the token.
//! - Nobody learns from signing in whether there is an account: answer, time and lock are the same.
//! - No password is hashed or compared inside a transaction.

mod authenticator;
pub mod contract;
pub mod events;
mod lock;
mod operator;
mod repository;
mod routes;
mod sessions;
mod sign_in;
mod sweep;

use std::sync::Arc;

use crate::{
    kernel::{
        boot::{Boot, BootError, Module},
        error::fault,
        events::event::Mode,
    },
    modules::user::{contract::UserContract, events::UserDisabled},
};

use authenticator::SessionAuthenticator;
use contract::AuthRefusal;
use lock::Lock;
use sessions::Sessions;
use sign_in::SignIn;

pub const MODULE: Module = Module {
    name: "auth",
    about: "Registration, sign-in, sessions, lock-out; operators and their tokens",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let config = boot.config();
    let users = boot.require::<dyn UserContract>()?;
    let sessions = Arc::new(Sessions::new(boot.secrets(), users.clone(), &config.auth));
    let sign_in = Arc::new(SignIn { sessions: sessions.clone(), users, lock: Lock::new(&config.auth) });
    let authenticator = SessionAuthenticator {
        sessions,
        clients: boot.require()?,
        roles: boot.require()?,
        catalogue: boot.catalogue(),
    };
    boot.tables(vec![repository::SESSIONS.info(), repository::SPENT.info(), lock::TRIES.info()]);
    boot.refusals(AuthRefusal::CATALOGUE.iter().copied());
    boot.alias("ses", "session");
    boot.announces::<events::RefreshReused>();
    boot.announces::<events::PasswordChanged>();
    boot.listen::<UserDisabled>("auth.end_sessions", Mode::Sync, |tx, envelope, event| {
        let client = envelope.client.ok_or_else(|| fault!("{} belongs to no client", event.user_id))?;
        repository::end_sessions(tx, client, event.user_id, None)
    });
    boot.authenticator(&[sessions::ACCESS], Arc::new(authenticator));
    boot.endpoints(routes::endpoints(&sign_in));
    boot.job(sweep::sweeper());
    operator::register(boot)
}
