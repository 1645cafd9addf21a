//! What others hand over to be told. Notification announces nothing itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{contract::NotificationRefusal, mail::KIND};
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
    money::CurrencyCode,
    store::WriteTx,
};
use crate::modules::user::contract::User;

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

/// What the mail to the address a user has says when it is to have another one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmailChangeAnnounced {
    /// Until when the other one may be confirmed.
    pub expires_at: Time,
}

impl SecretWords for EmailChangeAnnounced {
    const EVENT: &'static str = "user.email_change_requested";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// What the mail to the address a user had says when it has another one.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EmailChangeTold {
    /// After so long it is of no use to be told.
    pub expires_at: Time,
}

impl SecretWords for EmailChangeTold {
    const EVENT: &'static str = "user.email_changed";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// What the mail says with which somebody who was invited becomes a user.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Invitation {
    /// The link, with the code in it; null where no web site is configured.
    pub url: Option<String>,
    pub code: String,
    pub expires_at: Time,
}

impl SecretWords for Invitation {
    const EVENT: &'static str = "invitation.created";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// What the mail says with which a user confirms that it wants money paid out.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WithdrawalConfirmation {
    /// The link, with the code in it; null where no web site is configured.
    pub url: Option<String>,
    pub code: String,
    pub expires_at: Time,
    /// What leaves the account, without the fee where that comes on top.
    pub amount: String,
    pub fee: String,
    pub payout: String,
    pub currency: CurrencyCode,
    /// Where it goes, as the user knows it.
    pub destination: String,
}

impl SecretWords for WithdrawalConfirmation {
    const EVENT: &'static str = "withdrawal.confirmation_requested";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// What the mail says with which a user confirms that it may be paid out to a further account.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BeneficiaryConfirmation {
    /// The link, with the code in it; null where no web site is configured.
    pub url: Option<String>,
    pub code: String,
    pub expires_at: Time,
    /// What its user calls it.
    pub label: String,
    /// Where money may go.
    pub destination: String,
}

impl SecretWords for BeneficiaryConfirmation {
    const EVENT: &'static str = "beneficiary.confirmation_requested";

    fn expires_at(&self) -> Time {
        self.expires_at
    }
}

/// Who gets a letter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Addressee {
    /// None for somebody who is no user yet.
    pub id: Option<UserId>,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
}

impl From<&User> for Addressee {
    fn from(user: &User) -> Addressee {
        let User { id, first_name, last_name, email, .. } = user.clone();
        Addressee { id: Some(id), first_name, last_name, email }
    }
}

/// Whether secrets can be mailed: a mail server is configured, or mails are captured.
pub fn mails_secrets(tx: &WriteTx) -> Result<bool> {
    tx.has_target(KIND)
}

/// Refuses `mail_not_configured` where they cannot: nothing is made that would reach nobody.
pub fn check_mails_secrets(tx: &WriteTx) -> Result<()> {
    match mails_secrets(tx)? {
        true => Ok(()),
        false => Err(NotificationRefusal::MailNotConfigured.into()),
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
    mail_secret_to(tx, client, event, Recipient::User(user), words)
}

/// The same to somebody who is no user yet.
pub fn mail_secret_to_stranger<W: SecretWords>(
    tx: &mut WriteTx,
    client: ClientId,
    event: EventId,
    addressee: Addressee,
    words: &W,
) -> Result<bool> {
    mail_secret_to(tx, client, event, Recipient::Stranger(addressee), words)
}

fn mail_secret_to<W: SecretWords>(
    tx: &mut WriteTx,
    client: ClientId,
    event: EventId,
    recipient: Recipient,
    words: &W,
) -> Result<bool> {
    if !mails_secrets(tx)? {
        return Ok(false);
    }
    let envelope = tx.get(&EVENTS, &(client, event))?.ok_or_else(|| fault!("{event} was not published"))?;
    let new = secret_mail(&envelope, recipient, words)?;
    tx.enqueue(new.deliver_before(words.expires_at())).map(|_| true)
}

/// A mail with a secret in it.
pub(super) fn secret_mail<W: SecretWords>(
    envelope: &Envelope,
    recipient: Recipient,
    words: &W,
) -> Result<NewDelivery> {
    let values = serde_json::to_value(words).map_err(|error| fault!("{} is not JSON: {error}", W::EVENT))?;
    // Somebody who is no user is named by what it was invited with: an address has no place in the outbox.
    let target = match &recipient {
        Recipient::User(user) => user.to_string(),
        Recipient::Stranger(_) => envelope.entity.clone(),
    };
    let secret =
        super::letter::Carried::Secret(Secret { recipient, event_type: W::EVENT.to_owned(), values });
    let bytes = serde_json::to_vec(&secret).map_err(|error| fault!("{} is not JSON: {error}", W::EVENT))?;
    let new = NewDelivery::to(KIND, target).about(envelope).lane(Lane::Critical).group("mail");
    Ok(new.secret(bytes))
}

/// Whom a secret is for. A user is looked up when the mail is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    User(UserId),
    Stranger(Addressee),
}

/// As stored with the delivery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    #[serde(flatten)]
    pub recipient: Recipient,
    pub event_type: String,
    pub values: Value,
}
