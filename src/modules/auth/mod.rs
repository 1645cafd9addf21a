//! Auth: registering, signing in, sessions; and the operators of the installation.
//!
//! Owns sessions (`auth.sessions`), refresh tokens that were used (`auth.spent_refresh`), tries to sign in
//! (`auth.sign_in_tries`), what was mailed to prove an address (`auth.mail_tokens`) and who has proven one
//! (`auth.proven_emails`), from what users sign in (`auth.devices`) and, in `operator/`, the operators with their
//! tokens, in `factor/` the second factors with their challenges, in `invitation/` who was invited. Asks User for
//! people and the hashes of their passwords, Role for what they may do, Client whether it is active and where its web
//! site is. Announces `auth.refresh_reused`, `auth.new_device`, `auth.password_changed`,
//! `auth.password_reset_requested`, `auth.email_verification_requested`, `auth.email_verified`,
//! `auth.registration_repeated`, `auth.totp_enabled`, `auth.totp_disabled`, `auth.recovery_codes_made`,
//! `auth.recovery_code_used` and `invitation.created`, `accepted` and `revoked`; hears `user.frozen` and
//! `user.disabled`, whose sessions end, and `user.email_change_requested`, whose new address is asked, in the same
//! transaction.
//!
//! Always true:
//! - Of a token only the keyed hash is stored; it is shown once.
//! - A refresh token works once. Used again it ends its session.
//! - What a session may do is read at each request: nothing of it is in the token.
//! - Nobody learns from signing in, nor from asking for a mail, whether there is an account: answer, time and lock are
//!   the same.
//! - Where there is a second factor, a password alone leads to a challenge, which opens nothing.
//! - An invitation gives no more than whoever sent it may give, when it is sent and when it is accepted.
//! - A token in a mail works once, and stands in no event; its link begins with a URL that was configured.
//! - No password is hashed or compared inside a transaction.

mod authenticator;
pub mod contract;
mod devices;
pub mod events;
mod factor;
mod invitation;
mod lock;
mod mail_token;
mod operator;
mod recovery;
mod repository;
mod routes;
mod sessions;
mod sign_in;
mod sweep;

use std::{sync::Arc, time::Duration};

use crate::{
    kernel::{
        api::principal::UserId,
        boot::{Boot, BootError, Module},
        error::{Result, fault},
        events::{
            event::{Envelope, Mode},
            worker::Job,
        },
        store::WriteTx,
    },
    modules::user::{
        contract::UserContract,
        events::{UserDisabled, UserEmailChangeRequested, UserFrozen},
    },
};

use authenticator::SessionAuthenticator;
use contract::AuthRefusal;
use factor::{Factors, UserFactors};
use lock::Lock;
use mail_token::MailTokens;
use recovery::Recovery;
use sessions::Sessions;
use sign_in::SignIn;

pub const MODULE: Module = Module {
    name: "auth",
    about: "Registration, sign-in, sessions, lock-out; operators and their tokens",
    register,
    migrations: &[],
};

/// Mails of one kind to one address, and in what time: enough for somebody impatient, too few to fill a mailbox.
const MAILS: u32 = 5;
const MAILS_IN: Duration = Duration::from_secs(3600);

fn register(boot: &mut Boot) -> Result<(), BootError> {
    let config = boot.config();
    let users = boot.require::<dyn UserContract>()?;
    let sessions = Arc::new(Sessions::new(boot.secrets(), users.clone(), &config.auth));
    if config.auth.verify_before_tokens && config.mail.servers.is_empty() && !boot.is_ephemeral() {
        let problem =
            "auth.verify_before_tokens: nobody could sign in without a mail; set mail.servers".to_owned();
        return Err(BootError::Setting { module: MODULE.name, problem });
    }
    let recovery = Arc::new(Recovery {
        secrets: boot.secrets(),
        users: users.clone(),
        clients: boot.require()?,
        tokens: MailTokens {
            secrets: boot.secrets(),
            reset_lasts: Duration::from_secs(60 * config.auth.reset_token_minutes),
            verify_lasts: Duration::from_secs(3600 * config.auth.verify_token_hours),
        },
        lock: Lock::new(&config.auth),
        throttle: Lock::of(MAILS, MAILS_IN),
        public_url: config.server.public_url.clone(),
    });
    let sign_in = Arc::new(SignIn {
        sessions: sessions.clone(),
        users,
        lock: Lock::new(&config.auth),
        recovery: recovery.clone(),
        factors: Factors { secrets: boot.secrets(), lock: Lock::new(&config.auth) },
        verify_before_tokens: config.auth.verify_before_tokens,
    });
    let user_factors =
        Arc::new(UserFactors { sign_in: sign_in.clone(), clients: boot.require()?, roles: boot.require()? });
    let authenticator =
        SessionAuthenticator { sessions: sessions.clone(), clients: boot.require()?, roles: boot.require()? };
    boot.tables(vec![
        repository::SESSIONS.info(),
        repository::SPENT.info(),
        repository::PROVEN.info(),
        lock::TRIES.info(),
        mail_token::MAIL_TOKENS.info(),
        devices::DEVICES.info(),
        factor::FACTORS.info(),
        factor::CHALLENGES.info(),
    ]);
    boot.refusals(AuthRefusal::CATALOGUE.iter().copied());
    boot.alias("ses", "session");
    events::announced(boot);
    boot.listen::<UserDisabled>("auth.end_sessions", Mode::Sync, |tx, envelope, event| {
        end_all(tx, envelope, event.user_id)
    });
    boot.listen::<UserFrozen>("auth.end_sessions_of_frozen", Mode::Sync, |tx, envelope, event| {
        end_all(tx, envelope, event.user_id)
    });
    let asking = recovery.clone();
    boot.listen::<UserEmailChangeRequested>(
        "auth.confirm_address",
        Mode::Sync,
        move |tx, envelope, event| asking.ask_to_change(tx, envelope, event.user_id),
    );
    boot.authenticator(&[sessions::ACCESS], Arc::new(authenticator));
    boot.endpoints(routes::endpoints(&sign_in));
    boot.endpoints(routes::recovery::endpoints(&recovery));
    boot.endpoints(factor::routes::endpoints(&user_factors));
    boot.job(sweep::sweeper());
    let (waiting, writing) = (sessions.clone(), sessions);
    boot.job(Job {
        name: "auth.sessions_used",
        due: Arc::new(move |_| Ok(waiting.last_used.due())),
        run: Arc::new(move |tx| writing.write_last_used(tx)),
    });
    invitation::register(boot, &recovery, &sign_in)?;
    operator::register(boot)
}

fn end_all(tx: &mut WriteTx, envelope: &Envelope, user: UserId) -> Result<()> {
    let client = envelope.client.ok_or_else(|| fault!("{user} belongs to no client"))?;
    repository::end_sessions(tx, client, user, None)
}
