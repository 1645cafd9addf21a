//! What others hand over to be told. Notification announces nothing itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mail::KIND;
use crate::kernel::{
    api::principal::UserId,
    clock::Time,
    error::{Result, fault},
    events::{delivery::Lane, enqueue::NewDelivery, event::Envelope},
};

/// Words with something in them that stands nowhere else: it is not in the event, lives only in the delivery, and is
/// wiped when the mail was sent.
pub trait SecretWords: Serialize + utoipa::ToSchema {
    /// The event whose template they fill in.
    const EVENT: &'static str;
}

/// What the mail says with which a user chooses a new password.
#[allow(dead_code, reason = "as secret_mail, below")]
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PasswordReset {
    /// The link, with the token in it.
    pub url: String,
    pub expires_at: Time,
}

impl SecretWords for PasswordReset {
    const EVENT: &'static str = "auth.password_reset_requested";
}

/// A mail to `user` with a secret in it; hand it to `tx.enqueue` in the transaction that stores the secret's hash.
#[allow(dead_code, reason = "the other half is Auth's, which resets no passwords yet; a test sends one")]
pub fn secret_mail<W: SecretWords>(envelope: &Envelope, user: UserId, words: &W) -> Result<NewDelivery> {
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
