//! What an event says to people: whom it concerns, by which channels, and what one can do about it. The words are in
//! templates.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    contract::{Channel, Topic},
    events::SecretWords,
};
use crate::kernel::{
    api::{principal::UserId, shape::Shape},
    events::event::Event,
};

/// Whom an event concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notifiable {
    User(UserId),
    /// Everyone who is an active admin of the client.
    Admins,
    /// Another event says it already, or it concerns the house.
    Nobody,
}

impl From<UserId> for Notifiable {
    fn from(user: UserId) -> Notifiable {
        Notifiable::User(user)
    }
}

impl From<Option<UserId>> for Notifiable {
    fn from(user: Option<UserId>) -> Notifiable {
        user.map_or(Notifiable::Nobody, Notifiable::User)
    }
}

/// An event that somebody is told of. Implemented in `notices.rs`, one row each.
pub trait NotificationEvent: Event {
    const TOPIC: Topic;
    /// How people are told unless they prefer otherwise.
    const CHANNELS: &'static [Channel];
    /// What one can do about it: where, below the client's web site, and what the link says.
    const ACTION: Option<(&'static str, &'static str)>;

    fn notifiable(&self) -> Notifiable;

    fn event_type(&self) -> &'static str {
        Self::NAME
    }

    /// Beside the words, for programs: what happened to what.
    fn metadata(&self) -> Map<String, Value> {
        let entity = Event::entity(self);
        [("event_type", Self::NAME.to_owned()), ("entity", entity)]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }

    /// The event itself, as templates see it.
    fn serialized_data(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn channels(&self) -> &'static [Channel] {
        Self::CHANNELS
    }

    fn action_url(&self, website: &str) -> Option<String> {
        let path = Self::ACTION?.0.replace("{entity}", &Event::entity(self));
        Some(format!("{}{path}", website.trim_end_matches('/')))
    }

    fn action_text(&self) -> Option<&'static str> {
        Self::ACTION.map(|it| it.1)
    }
}

/// An occurrence, without its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub event_type: &'static str,
    pub entity: String,
    pub topic: Topic,
    pub notifiable: Notifiable,
    pub channels: &'static [Channel],
    pub metadata: Map<String, Value>,
    pub data: Value,
    /// Path below the client's web site, and what the link says.
    pub action: Option<(String, &'static str)>,
}

impl Notice {
    pub fn of<E: NotificationEvent>(event: &E) -> Notice {
        Notice {
            event_type: event.event_type(),
            entity: Event::entity(event),
            topic: E::TOPIC,
            notifiable: event.notifiable(),
            channels: event.channels(),
            metadata: event.metadata(),
            data: event.serialized_data(),
            action: event.action_url("").zip(event.action_text()),
        }
    }
}

/// What a digest says: the template is that of this name, though no event has it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DigestWords {
    /// How many notices it is made of.
    pub count: u64,
    /// What each of them says, in a line.
    pub lines: Vec<String>,
}

impl DigestWords {
    pub const EVENT: &'static str = "notification.digest";
}

/// A kind of event that people are told of.
pub struct NoticeKind {
    pub event_type: &'static str,
    pub topic: Topic,
    pub channels: &'static [Channel],
    pub action: Option<(&'static str, &'static str)>,
    /// The JSON form of the event: what templates may name.
    pub shape: Shape,
}

impl NoticeKind {
    pub fn of<E: NotificationEvent>() -> NoticeKind {
        NoticeKind {
            event_type: E::NAME,
            topic: E::TOPIC,
            channels: E::CHANNELS,
            action: E::ACTION,
            shape: Shape::of::<E>(),
        }
    }

    /// Several mails in one.
    pub fn of_digest() -> NoticeKind {
        NoticeKind {
            event_type: DigestWords::EVENT,
            topic: Topic::Account,
            channels: &[Channel::Mail],
            action: None,
            shape: Shape::of::<DigestWords>(),
        }
    }

    /// A mail with a secret in it, handed over by who made the secret.
    pub fn of_secret<W: SecretWords>() -> NoticeKind {
        NoticeKind {
            event_type: W::EVENT,
            topic: Topic::Security,
            channels: &[Channel::Mail],
            action: None,
            shape: Shape::of::<W>(),
        }
    }
}
