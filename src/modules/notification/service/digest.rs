//! Digests: what would be several mails becomes one, at the full hour or once a day.
//!
//! The first notice leaves a delivery for the time of the digest; each further one becomes a line of it and is noted as
//! merged. A digest of one thing is the mail that one thing would have been.

use super::{tell::Teller, templates};
use crate::{
    kernel::{
        api::principal::ClientId,
        clock::Time,
        error::Result,
        events::{
            delivery::{DeliveryId, EXTRAS},
            enqueue::{NewDelivery, Suppression},
        },
        store::{ReadTx, WriteTx},
    },
    modules::{
        notification::{
            MODULE,
            letter::{Carried, Digest, Letter, read},
            model::{OpenDigest, Preferences},
            notice::DigestWords,
            repository::DIGESTS,
            template::{Words, complete},
        },
        user::contract::User,
    },
};

/// What is more becomes another mail.
const MOST_LINES: usize = 100;

/// Whose digest.
pub struct Reader<'a> {
    pub client: ClientId,
    pub user: &'a User,
    pub preferences: &'a Preferences,
}

impl Teller {
    /// Puts a notice into the digest that is sent at `at`.
    pub fn gather(
        &self,
        tx: &mut WriteTx,
        reader: &Reader,
        new: NewDelivery,
        at: Time,
        words: &Words,
        letter: Letter,
    ) -> Result<()> {
        let owner = (reader.client, reader.user.id);
        let line = format!("{}. {}", words.title.trim_end_matches('.'), words.message);
        if let Some((delivery, mut digest)) = open(tx, owner)?
            && digest.lines.len() < MOST_LINES
        {
            digest.lines.push(line.clone());
            digest.letter = self.digest_letter(tx, reader, &digest.lines)?;
            if tx.replace_extra(delivery, &digest.to_bytes()?)? {
                return tx.suppress(new, Suppression::Merged).map(drop);
            }
        }

        let digest = Digest { lines: vec![line], letter };
        let delivery = tx.enqueue(new.not_before(at).extra(digest.to_bytes()?))?.id;
        tx.put(&DIGESTS, &owner, &OpenDigest { delivery })
    }

    fn digest_letter(&self, tx: &ReadTx, reader: &Reader, lines: &[String]) -> Result<Letter> {
        let Reader { client, user, preferences } = *reader;
        let kind = self.built_in.kind(DigestWords::EVENT)?;
        let words = DigestWords { count: lines.len() as u64, lines: lines.to_vec() };
        let mut context = self.surroundings(tx, client, &user.into())?;
        context["event"] = complete(kind, &serde_json::to_value(words).unwrap_or_default());
        let words = tx.at(MODULE.name, |tx| {
            templates::words(tx, client, &self.built_in, kind, preferences, &context)
        })?;
        self.letter(tx, client, &user.into(), words)
    }
}

/// The last digest of somebody, which may be on its way already.
fn open(
    tx: &ReadTx,
    owner: crate::modules::notification::model::Owner,
) -> Result<Option<(DeliveryId, Digest)>> {
    let Some(OpenDigest { delivery }) = tx.get(&DIGESTS, &owner)? else { return Ok(None) };
    Ok(match tx.get(&EXTRAS, &delivery)? {
        Some(bytes) => match read::<Carried>(&bytes)? {
            Carried::Digest(digest) => Some((delivery, *digest)),
            Carried::Letter(_) | Carried::Secret(_) => None,
        },
        None => None,
    })
}
