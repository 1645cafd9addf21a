//! Notification: tells people and machines what happened.
//!
//! Owns the inbox (`notification.inbox`, counted in `notification.inboxes`), what people prefer
//! (`notification.preferences`), what gathers for one mail (`notification.digests`), a client's own words
//! (`notification.templates` and their versions), mail and short messages (this folder), and webhook endpoints and
//! their deliveries ([`webhook`]). Asks User, Client and Role who is told. Announces nothing; hears every event with a
//! row in `notices.rs`, after the commit that caused it:
//!
//! ```text
//! event ─▶ notification.tell ─▶ preferences · words
//!           ├─ database   a row in the inbox, in the listener's transaction: exactly once
//!           ├─ mail       a delivery of its own, or a line of a digest ─▶ SMTP servers in order
//!           └─ sms        a delivery of its own ─▶ the HTTP provider
//! ```
//!
//! In a file of its own (`modules.notification.database.connection`) it keeps the inbox, preferences and templates
//! there. What is one transaction with events and deliveries stays beside the outbox: webhook endpoints and whose turn
//! it is, open digests, and whatever sends. An event is then heard by two listeners, each once, each in its file:
//! `notification.tell` leaves mails and short messages, `notification.inbox` fills the inbox.
//!
//! Always true:
//! - No money command waits for a mail, and none is undone by one.
//! - A channel that fails repeats no other.
//! - The unread counter of an inbox is what counting would give.
//! - Security notices reach the inbox and the mailbox, whatever somebody prefers, at any hour, each for itself.
//! - A mail is the same in every attempt: words and Message-ID.
//! - Secrets stand in no event and in no inbox; a delivery that carries one forgets it when the mail was sent.

pub mod contract;
pub mod events;
mod letter;
mod mail;
mod mailbox;
mod model;
mod notice;
mod notices;
mod repository;
mod routes;
mod service;
mod sms;
mod template;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::kernel::{
    boot::{Boot, BootError, Module},
    error::{Error, fault},
};

use contract::{CapturedMail, NotificationRefusal};
use mail::{MailCourier, Post};
use mailbox::Captured;
use service::{inbox::Inboxes, tell::Teller, templates::Templates};
use sms::SmsCourier;
use template::BuiltIn;

pub const MODULE: Module = Module {
    name: "notification",
    about: "Tells people and machines what happened",
    register,
    migrations: &[],
};

fn register(boot: &mut Boot) -> Result<(), BootError> {
    boot.tables(vec![
        repository::NOTIFICATIONS.info(),
        repository::INBOXES.info(),
        repository::PREFERENCES.info(),
        repository::TEMPLATES.info(),
        repository::TEMPLATE_VERSIONS.info(),
        repository::DIGESTS.info(),
    ]);
    boot.refusals(NotificationRefusal::CATALOGUE.iter().copied());
    boot.alias("ntf", "notification");
    boot.alias("tpl", "notification template");
    boot.check("notification.inboxes", repository::check);
    boot.job(service::inbox::sweeper());
    let inboxes = Arc::new(Inboxes::new());
    boot.endpoints(routes::inbox::endpoints(&inboxes));
    boot.endpoints(routes::stream::endpoints(&inboxes));
    boot.endpoints(routes::preferences::endpoints());
    boot.beside_outbox(|boot| boot.endpoints(routes::outbox::endpoints()));
    register_channels(boot, inboxes)?;
    boot.beside_outbox(webhook::register)
}

/// Mail and short messages, as far as they are configured; then whoever fills them.
fn register_channels(boot: &mut Boot, inboxes: Arc<Inboxes>) -> Result<(), BootError> {
    let config = boot.config();
    let built_in = Arc::new(BuiltIn::new(notices::kinds()).map_err(refused)?);
    let post = match Post::servers(&config.mail).map_err(refused)? {
        None if boot.is_ephemeral() => {
            let captured = Arc::new(Captured::<CapturedMail>::default());
            let about = "Show every mail that would have been sent, oldest first";
            boot.endpoints(vec![mailbox::endpoint("/testing/mailbox", about, &captured)]);
            boot.service("mailbox", captured.clone());
            Some(Post::Captured(captured))
        }
        post => post,
    };
    let sms = SmsCourier::new(&config.sms).map_err(refused)?;
    let teller = Arc::new(Teller {
        users: boot.require()?,
        clients: boot.require()?,
        roles: boot.require()?,
        built_in: built_in.clone(),
        inboxes,
        sends_mail: post.is_some(),
        sends_sms: sms.is_some(),
    });
    let templates = Templates { built_in, clients: boot.require()?, sends_mail: post.is_some() };
    let templates = Arc::new(templates);
    boot.endpoints(routes::templates::endpoints(&templates));
    boot.beside_outbox(|boot| boot.endpoints(vec![routes::templates::send_test(&templates)]));
    notices::listen(boot, &teller);
    if let Some(post) = post {
        let from = config.mail.from.parse();
        let from = from.map_err(|error| refused(fault!("mail.from: {}: {error}", config.mail.from)))?;
        let courier = MailCourier { post: Arc::new(post), from, teller };
        boot.target(mail::KIND, mail::plan(&config.mail), courier);
    }
    if let Some(courier) = sms {
        boot.target(sms::KIND, sms::plan(&config.sms), courier);
    }
    Ok(())
}

fn refused(error: Error) -> BootError {
    BootError::Setting { module: MODULE.name, problem: error.to_string() }
}

/// What all TLS in this process is made of. A second call changes nothing.
fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
