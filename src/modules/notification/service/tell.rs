//! Telling people: who, in which words, by which channels.
//!
//! ```text
//! an event ─▶ for each recipient: preferences, words
//!              ├─ database: a row in the inbox, here and now: exactly once, as this listener is
//!              ├─ mail: a delivery of its own (or a suppressed one, when it is not wanted)
//!              └─ sms:  a delivery of its own
//! ```
//!
//! Mail and short messages carry their words with them: what a person was sent can be looked up, and a template that
//! changes later changes nothing that is on its way.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{digest::Reader, inbox::Inboxes, templates};
use crate::{
    kernel::{
        api::principal::{ClientId, UserId},
        error::Result,
        events::{
            delivery::Lane,
            enqueue::{NewDelivery, Suppression},
            event::Envelope,
        },
        store::{ReadTx, WriteTx},
    },
    modules::{
        client::contract::{Branding, ClientContract},
        notification::{
            MODULE,
            contract::{Channel, Topic},
            events::Addressee,
            letter::{Letter, Text},
            model::{Notification, Preferences},
            notice::{Notice, NoticeKind, Notifiable, NotificationEvent},
            repository::preferences,
            template::{BuiltIn, Words, complete},
        },
        role::contract::{ADMIN, RoleContract},
        user::contract::{User, UserContract, UserStatus},
    },
};

/// More admins than a client has; a bound, because telling them is one transaction.
const MOST_ADMINS: usize = 50;

/// What telling is made of. In a file of its own the inbox is filled there, and letters are left beside the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    All,
    Inbox,
    Letters,
}

pub struct Teller {
    pub users: Arc<dyn UserContract>,
    pub clients: Arc<dyn ClientContract>,
    pub roles: Arc<dyn RoleContract>,
    pub built_in: Arc<BuiltIn>,
    pub inboxes: Arc<Inboxes>,
    /// Whether there is anybody to hand them to.
    pub sends_mail: bool,
    pub sends_sms: bool,
}

impl Teller {
    /// Tells everyone whom the event concerns.
    pub fn tell<E: NotificationEvent>(
        &self,
        tx: &mut WriteTx,
        part: Part,
        envelope: &Envelope,
        event: &E,
    ) -> Result<()> {
        let Some(client) = envelope.client else { return Ok(()) };
        let notice = Notice::of(event);
        let recipients = tx.at("user", |tx| self.recipients(tx, client, notice.notifiable))?;
        for user in recipients {
            self.tell_one(tx, client, part, &user, envelope, &notice)?;
        }
        Ok(())
    }

    fn recipients(&self, tx: &ReadTx, client: ClientId, who: Notifiable) -> Result<Vec<User>> {
        match who {
            Notifiable::Nobody => Ok(vec![]),
            Notifiable::User(user) => Ok(self.users.find(tx, client, user)?.into_iter().collect()),
            Notifiable::Admins => {
                let admin = self.roles.by_name(tx, client, ADMIN)?;
                let mut admins = self.users.with_role(tx, client, admin, MOST_ADMINS)?;
                admins.retain(|it| it.status == UserStatus::Active);
                Ok(admins)
            }
        }
    }

    fn tell_one(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        part: Part,
        user: &User,
        envelope: &Envelope,
        notice: &Notice,
    ) -> Result<()> {
        let kind = self.built_in.kind(notice.event_type)?;
        let context = self.context(tx, client, user, kind, notice)?;
        let (preferences, words) = tx.at(MODULE.name, |tx| {
            let preferences = preferences(tx, (client, user.id))?;
            let words = templates::words(tx, client, &self.built_in, kind, &preferences, &context)?;
            Ok((preferences, words))
        })?;
        let wants = |channel| preferences.wants(notice.topic, channel, notice.channels.contains(&channel));

        if part != Part::Letters && wants(Channel::Database) {
            let row = in_inbox(tx, envelope, notice, &words, &context);
            self.inboxes.deliver(tx, (client, user.id), row)?;
        }
        if part == Part::Inbox {
            return Ok(());
        }
        // Somebody who may not come in any more hears about that, and about nothing else.
        let reachable = user.status != UserStatus::Disabled || notice.topic == Topic::Security;
        if self.sends_mail && notice.channels.contains(&Channel::Mail) && reachable {
            let new = self.delivery(tx, Channel::Mail, user.id, envelope, notice, &preferences);
            if wants(Channel::Mail) {
                let letter = self.letter(tx, client, &user.into(), words.clone())?;
                match preferences.digest_at(notice.topic, tx.now()) {
                    Some(at) => {
                        let reader = Reader { client, user, preferences: &preferences };
                        self.gather(tx, &reader, new, at, &words, letter)?;
                    }
                    None => drop(tx.enqueue(new.extra(letter.to_bytes()?))?),
                }
            } else {
                tx.suppress(new, Suppression::Preference)?;
            }
        }
        if self.sends_sms
            && reachable
            && wants(Channel::Sms)
            && let Some(phone) = &user.phone
        {
            let new = self.delivery(tx, Channel::Sms, user.id, envelope, notice, &preferences);
            let text = Text { to: phone.clone(), text: format!("{}. {}", words.title, words.message) };
            tx.enqueue(new.extra(text.to_bytes()?))?;
        }
        Ok(())
    }

    fn delivery(
        &self,
        tx: &ReadTx,
        channel: Channel,
        user: UserId,
        envelope: &Envelope,
        notice: &Notice,
        preferences: &Preferences,
    ) -> NewDelivery {
        let (kind, group) = match channel {
            Channel::Sms => (super::super::sms::KIND, "sms"),
            _ => (super::super::mail::KIND, "mail"),
        };
        let lane = if notice.topic == Topic::Security { Lane::Critical } else { Lane::Medium };
        let new = NewDelivery::to(kind, user.to_string()).about(envelope).lane(lane).group(group);
        match preferences.not_before(notice.topic, tx.now()) {
            Some(at) => new.not_before(at),
            None => new,
        }
    }

    /// The mail of these words to `user`.
    pub fn letter(&self, tx: &ReadTx, client: ClientId, user: &Addressee, words: Words) -> Result<Letter> {
        let client = self.clients.get(tx, client)?;
        let name = client.settings.branding.display_name.unwrap_or(client.name);
        Ok(Letter {
            from_name: name,
            reply_to: client.settings.branding.support_email,
            to_name: format!("{} {}", user.first_name, user.last_name),
            to: user.email.clone(),
            subject: words.title,
            text: words.text,
            html: words.html,
        })
    }

    fn context(
        &self,
        tx: &ReadTx,
        client: ClientId,
        user: &User,
        kind: &NoticeKind,
        notice: &Notice,
    ) -> Result<Value> {
        let mut context = self.surroundings(tx, client, &user.into())?;
        context["event"] = complete(kind, &notice.data);
        context["action"] = match (&notice.action, context["client"]["website"].as_str()) {
            (Some((path, text)), Some(website)) => {
                json!({ "url": format!("{}{path}", website.trim_end_matches('/')), "text": text })
            }
            _ => Value::Null,
        };
        Ok(context)
    }

    /// What every template may name, whatever the event.
    pub fn surroundings(&self, tx: &ReadTx, client: ClientId, user: &Addressee) -> Result<Value> {
        let client = tx.at("client", |tx| self.clients.get(tx, client))?;
        let Branding { display_name, support_email, website } = client.settings.branding;
        Ok(json!({
            "client": {
                "name": display_name.unwrap_or(client.name),
                "support_email": support_email,
                "website": website,
            },
            "user": {
                "id": user.id,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "email": user.email,
            },
            "event": {},
            "action": null,
        }))
    }
}

fn in_inbox(
    tx: &ReadTx,
    envelope: &Envelope,
    notice: &Notice,
    words: &Words,
    context: &Value,
) -> Notification {
    let of_action = |name: &str| context["action"][name].as_str().map(str::to_owned);
    Notification {
        event: envelope.id,
        event_type: notice.event_type.to_owned(),
        topic: notice.topic,
        entity: notice.entity.clone(),
        title: words.title.clone(),
        message: words.message.clone(),
        action_url: of_action("url"),
        action_text: of_action("text"),
        data: notice.data.to_string(),
        read_at: None,
        archived_at: None,
        marked: 0,
        keep_until: Notification::kept_from(tx.now()),
        created_at: tx.now(),
        updated_at: tx.now(),
        version: 1,
    }
}
