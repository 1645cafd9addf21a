//! What others hand over to be told. Notification announces nothing itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mail::KIND;
use crate::kernel::{
    api::principal::{ClientId, UserId},
    clock::Time,
    error::{Result, fault},
    events::{
        delivery::Lane,
        enqueue::NewDelivery,
        event::{Envelope, EventId},
        outbox::EVENTS,
    },
    store::WriteTx,
};

/// Words with something in them that stands nowhere else: it is not in the event, lives only in the delivery, and is
/// wiped when the mail was sent.
pub trait SecretWords: Serialize + utoipa::ToSchema {
    /// The event whose template they fill in.
    const EVENT: &'static str;

    /// From when on the secret opens nothing: a mail that could not be sent until then is not sent.
    fn expires_at(&self) -> Time;
}

/// What the mail says with which a user chooses a new password.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordReset {
    /// The link, with the code in it; null where no web site is configured.
    pub url: Option<String>,
    pub code: String,
    pub expires_at: Time,
}

impl SecretWords for PasswordReset {
    const EVENT: &'static str = "auth.password_reset_requested";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// What the mail says with which a user confirms its e-mail address.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmailVerification {
    /// The link, with the code in it; null where no web site is configured.
    pub url: Option<String>,
    pub code: String,
    pub expires_at: Time,
}

impl SecretWords for EmailVerification {
    const EVENT: &'static str = "auth.email_verification_requested";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// Mails `words` to `user` because of `event`, in the transaction that stores the secret's hash. False when no mail
/// server is configured.
pub fn mail_secret<W: SecretWords>(
    tx: &mut WriteTx,
    client: ClientId,
    event: EventId,
    user: UserId,
    words: &W,
) -> Result<bool> {
    if !tx.has_target(KIND)? {
        return Ok(false);
    }
    let envelope = tx.get(&EVENTS, &(client, event))?.ok_or_else(|| fault!("{event} was not published"))?;
    let new = secret_mail(&envelope, user, words)?;
    tx.enqueue(new.deliver_before(words.expires_at())).map(|_| true)
}

/// A mail to `user` with a secret in it.
pub(super) fn secret_mail<W: SecretWords>(
    envelope: &Envelope,
    user: UserId,
    words: &W,
) -> Result<NewDelivery> {
    let values = serde_json::to_value(words).map_err(|error| fault!("{} is not JSON: {error}", W::EVENT))?;
    let secret = super::letter::Carried::Secret(Secret { user, event_type: W::EVENT.to_owned(), values });
    let bytes = serde_json::to_vec(&secret).map_err(|error| fault!("{} is not JSON: {error}", W::EVENT))?;
    let new = NewDelivery::to(KIND, user.to_string()).about(envelope).lane(Lane::Critical).group("mail");
    Ok(new.secret(bytes))
}

/// As stored with the delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    pub user: UserId,
    pub event_type: String,
    pub values: Value,
}
