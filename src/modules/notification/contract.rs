//! What names and refusals of Notification others see.

pub use super::mailbox::Captured;
use crate::kernel::{
    api::input::text_enum,
    error::refusals,
    id::id,
    store::codec::{Decode, Encode},
};

id!(/** Something a user was told, in its inbox. */ NotificationId, "ntf");
id!(/** The words for one event, in one language. */ TemplateId, "tpl");

text_enum! {
    /// How somebody is told.
    pub enum Channel {
        /// The inbox inside the product.
        Database = "database",
        Mail = "mail",
        Sms = "sms",
    }
}

text_enum! {
    /// What notifications are about, as preferences speak of it.
    pub enum Topic {
        Account = "account",
        /// Who may get in, and to whom money may go. Cannot be switched off.
        Security = "security",
        Fundings = "fundings",
        Withdrawals = "withdrawals",
        Payments = "payments",
        Balances = "balances",
        Swaps = "swaps",
        Markets = "markets",
        Investments = "investments",
    }
}

text_enum! {
    /// How often several mails become one.
    pub enum DigestEvery {
        /// At the full hour.
        Hourly = "hourly",
        /// At eight in the morning, in the time zone of the quiet hours, else UTC.
        Daily = "daily",
    }
}

/// A request that an instance in memory made to an endpoint.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct CapturedWebhook {
    /// The `webhook-id`: the same in every attempt, and for every endpoint.
    pub webhook_id: String,
    pub delivery_id: String,
    pub endpoint_id: String,
    /// From 1.
    pub attempt: u32,
    pub event_type: String,
    pub url: String,
    /// Every header that Coffer set.
    pub headers: std::collections::BTreeMap<String, String>,
    /// As sent, byte for byte.
    pub body: String,
    /// What was answered; null when nothing was.
    pub status: Option<u16>,
    /// Why nothing was answered.
    pub error: Option<String>,
    pub sent_at: crate::kernel::clock::Time,
}

/// A mail that an instance in memory would have sent.
#[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct CapturedMail {
    /// The same in every attempt.
    pub message_id: String,
    pub from: String,
    pub to: String,
    pub subject: String,
    /// Every header as it would have been sent.
    pub headers: std::collections::BTreeMap<String, String>,
    pub text: String,
    pub html: String,
}

/// Which languages a text is looked for in: `pt-BR`, then `pt`, then whatever is for every language.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Locale(String);

impl Locale {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Itself, then ever more general ones; the last is empty: any language.
    pub fn chain(locale: Option<&Locale>) -> Vec<String> {
        let mut chain = vec![];
        let mut rest = locale.map_or("", Locale::as_str);
        while !rest.is_empty() {
            chain.push(rest.to_owned());
            rest = rest.rsplit_once('-').map_or("", |(general, _)| general);
        }
        chain.push(String::new());
        chain
    }
}

impl std::str::FromStr for Locale {
    type Err = ();
    /// Kept in small letters, so that `pt-BR` and `pt-br` are one.
    fn from_str(text: &str) -> Result<Locale, ()> {
        let is_part =
            |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_alphanumeric());
        let mut parts = text.split('-');
        let language = parts.next().is_some_and(|it| {
            (2..=3).contains(&it.len()) && it.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        let well_formed = language && text.len() <= 35 && parts.all(is_part);
        if well_formed { Ok(Locale(text.to_ascii_lowercase())) } else { Err(()) }
    }
}

impl crate::kernel::api::input::Field for Locale {
    fn parse(value: serde_json::Value) -> Result<Self, crate::kernel::api::input::Flaws> {
        crate::kernel::api::input::parse_text(value, "a language such as en or pt-BR")
    }
}

impl serde::Serialize for Locale {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl utoipa::PartialSchema for Locale {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{Object, Type};
        Object::builder().schema_type(Type::String).description(Some("`en`, `pt-br`")).into()
    }
}
impl utoipa::ToSchema for Locale {}

refusals! {
    /// What Notification refuses.
    pub enum NotificationRefusal {
        /// Notices about security reach the inbox and the mailbox whatever somebody prefers: an intruder would switch
        /// them off first.
        NoticeRequired { channel: Channel }: Unprocessable "notice_required"
            => "security notices by {channel} cannot be switched off",
        /// Nobody is ever notified of this event, so it needs no words. `GET notification-templates` shows those
        /// that do.
        EventNotNotified { event_type: String }: Unprocessable "event_not_notified"
            => "nobody is notified of {event_type}",
        /// There are words for this event in this language; change those.
        TemplateTaken { existing_id: TemplateId }: Conflict "template_taken"
            => "{existing_id} has the words for this event and language",
        /// The words that come with the product stay as they are. Make a template for the same event: it is used
        /// instead.
        TemplateFixed: Conflict "template_fixed" => "this template is built in; make one of your own",
        /// The template does not read, uses a name the event does not have, or does not come to an end. `part` says
        /// where.
        TemplateInvalid { part: String, reason: String }: Unprocessable "template_invalid" => "{part}: {reason}",
        /// No mail server is configured, so no mail can be sent: see `mail.servers`.
        MailNotConfigured: Unprocessable "mail_not_configured" => "no mail server is configured",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_falls_back_to_more_general_ones() {
        let chain = |text: &str| Locale::chain(text.parse().ok().as_ref());
        assert_eq!(chain("pt-BR"), ["pt-br", "pt", ""]);
        assert_eq!(chain("zh-Hant-TW"), ["zh-hant-tw", "zh-hant", "zh", ""]);
        assert_eq!(Locale::chain(None), [""]);
        for wrong in ["", "e", "english", "en_GB", "en-", "-en", "e1", "en-toolongpart"] {
            assert_eq!(wrong.parse::<Locale>(), Err(()), "{wrong}");
        }
    }
}
