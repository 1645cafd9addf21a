//! What is mailed to prove that somebody reads an address: the token in a link, to choose a new password or to confirm
//! the address itself.
//!
//! ```text
//! rst_ + 16 characters that find the row + 36 that only a hash is kept of + checksum
//! ```
//!
//! A token works once, until it runs out, for the address it was sent to. A row that was found with wrong characters
//! behind is gone after the fifth: guesses are bounded whatever the length. Several may be good at a time, because
//! mails overtake each other; the first that is used voids the others.

use std::{sync::Arc, time::Duration};

use super::contract::AuthRefusal;
use crate::kernel::{
    api::{
        input::text_enum,
        principal::{ClientId, UserId},
    },
    clock::Time,
    error::Result,
    mailed::MailedToken,
    secret::{Secrets, is_token},
    store::{
        Index, Key, ReadTx, Scan, Table, WriteTx,
        codec::{Decode, Encode, row},
    },
};

pub const BY_EXPIRY: &str = "auth.mail_tokens_by_expiry";
const BY_USER: &str = "auth.mail_tokens_by_user";

/// How many characters find the row: 80 bits.
const FINDING: usize = 16;

type TokenKey = (ClientId, [u8; FINDING]);

/// (client, beginning of a token) → what the rest of it is good for.
pub const MAIL_TOKENS: Table<TokenKey, MailToken> = Table::new("auth.mail_tokens").with_indexes(&[
    Index::listing(BY_EXPIRY, |_, row| vec![row.token.expires_at.to_key()]),
    Index::listing(BY_USER, |(client, _), row| vec![(*client, row.user).to_key()]),
]);

text_enum! {
    /// What a token in a mail is good for.
    pub enum Purpose {
        Reset = "reset",
        Verify = "verify",
    }
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Purpose::Reset => "rst_",
            Purpose::Verify => "vfy_",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct MailToken {
    pub purpose: Purpose,
    pub user: UserId,
    /// The address it was sent to: good only while it is still the user's.
    pub email: String,
    pub token: MailedToken,
}
row!(MailToken);

/// Makes tokens and takes them back.
pub struct MailTokens {
    pub secrets: Arc<Secrets>,
    pub reset_lasts: Duration,
    pub verify_lasts: Duration,
}

impl MailTokens {
    /// A token for the address of a user, and when it runs out: the only sight of it.
    pub fn issue(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        purpose: Purpose,
        user: UserId,
        email: &str,
    ) -> Result<(String, Time)> {
        let lasts = match purpose {
            Purpose::Reset => self.reset_lasts,
            Purpose::Verify => self.verify_lasts,
        };
        let (text, token) = MailedToken::make(tx, &self.secrets, purpose.prefix(), lasts);
        let found_by = beginning(purpose, &text).ok_or(AuthRefusal::MailTokenGone)?;
        let expires_at = token.expires_at;
        let row = MailToken { purpose, user, email: email.to_owned(), token };
        tx.insert(&MAIL_TOKENS, &(client, found_by), &row)?;
        Ok((text, expires_at))
    }

    /// What the token is good for; `None` when it is good for nothing. A wrong guess is counted, so commit this
    /// whatever it says.
    pub fn look(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        purpose: Purpose,
        token: &str,
    ) -> Result<Option<MailToken>> {
        let Some(found_by) = beginning(purpose, token) else { return Ok(None) };
        let key = (client, found_by);
        let Some(mut row) = tx.get(&MAIL_TOKENS, &key)? else { return Ok(None) };
        if row.purpose == purpose && row.token.reads(&self.secrets, token) {
            return Ok(Some(row).filter(|it| it.token.is_good(tx.now())));
        }
        if row.token.miss() {
            tx.put(&MAIL_TOKENS, &key, &row)?;
        } else {
            tx.delete(&MAIL_TOKENS, &key)?;
        }
        Ok(None)
    }

    /// Takes the token, and all others of its user for the same purpose. Refuses `mail_token_gone`.
    pub fn take(
        &self,
        tx: &mut WriteTx,
        client: ClientId,
        purpose: Purpose,
        token: &str,
    ) -> Result<MailToken> {
        let row = self.look(tx, client, purpose, token)?.ok_or(AuthRefusal::MailTokenGone)?;
        void(tx, client, row.user, purpose)?;
        Ok(row)
    }
}

/// Voids every token of a user for a purpose.
pub fn void(tx: &mut WriteTx, client: ClientId, user: UserId, purpose: Purpose) -> Result<()> {
    for (key, row) in of_user(tx, client, user)? {
        if row.purpose == purpose {
            tx.delete(&MAIL_TOKENS, &key)?;
        }
    }
    Ok(())
}

fn of_user(tx: &ReadTx, client: ClientId, user: UserId) -> Result<Vec<(TokenKey, MailToken)>> {
    tx.scan_index(&MAIL_TOKENS, BY_USER, Scan::prefix(&(client, user))).collect()
}

/// The characters that find the row; `None` when the text is no token for this.
fn beginning(purpose: Purpose, token: &str) -> Option<[u8; FINDING]> {
    let rest = token.strip_prefix(purpose.prefix()).filter(|_| is_token(token))?;
    rest.as_bytes().first_chunk::<FINDING>().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{
        clock::Clock,
        id::Id as _,
        store::{Store, StoreOptions, codec::golden},
    };

    /// As good a token as `token`, but for its last random characters.
    fn guess(token: &str, number: u8) -> String {
        let body = &token[..token.len() - 8];
        let (start, end) = body.split_at(body.len() - 2);
        // Not the right ones, which one of so few would be now and then.
        let wrong = ["aa", "ab", "ac", "ad", "ae", "af"].into_iter().filter(|it| *it != end);
        let body = format!("{start}{}", wrong.collect::<Vec<_>>()[usize::from(number)]);
        format!("{body}{:08x}", crc32fast::hash(body.as_bytes()))
    }

    #[test]
    fn a_token_works_once_in_time_and_survives_four_wrong_guesses() {
        let clock = Clock::manual(Time::from_micros(0));
        let store = Store::in_memory(StoreOptions { clock: clock.clone(), ..StoreOptions::default() });
        let tokens = Arc::new(MailTokens {
            secrets: Arc::new(Secrets::new(&[1; 32])),
            reset_lasts: Duration::from_secs(60),
            verify_lasts: Duration::from_secs(120),
        });
        let (client, user) = (ClientId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let issue = |purpose| {
            let tokens = tokens.clone();
            let issued = store.write_blocking(move |tx| tokens.issue(tx, client, purpose, user, "a@b.co"));
            issued.unwrap().0
        };
        let look = |purpose, token: &str| {
            let (tokens, token) = (tokens.clone(), token.to_owned());
            let found = store.write_blocking(move |tx| tokens.look(tx, client, purpose, &token)).unwrap();
            found.is_some()
        };
        let take = |purpose, token: &str| {
            let (tokens, token) = (tokens.clone(), token.to_owned());
            store.write_blocking(move |tx| tokens.take(tx, client, purpose, &token)).is_ok()
        };

        let [first, second] = [issue(Purpose::Reset), issue(Purpose::Reset)];
        let other = issue(Purpose::Verify);
        assert!(!look(Purpose::Verify, &first) && !look(Purpose::Reset, &other), "each for its purpose");
        for number in 0..4 {
            assert!(!look(Purpose::Reset, &guess(&first, number)));
        }
        assert!(look(Purpose::Reset, &first), "four wrong guesses");
        assert!(take(Purpose::Reset, &first) && !take(Purpose::Reset, &first), "once");
        assert!(!look(Purpose::Reset, &second), "the others are void");
        assert!(look(Purpose::Verify, &other), "those for something else are not");

        let guessed = issue(Purpose::Reset);
        for number in 0..5 {
            assert!(!look(Purpose::Reset, &guess(&guessed, number)));
        }
        assert!(!look(Purpose::Reset, &guessed), "five wrong guesses");

        let late = issue(Purpose::Reset);
        clock.advance(Duration::from_secs(60));
        assert!(!look(Purpose::Reset, &late), "it has run out");
        for wrong in ["", "rst_", "rst_ä", "st_x", &late[..20]] {
            assert!(!look(Purpose::Reset, wrong), "{wrong}");
        }
    }

    #[test]
    fn the_stored_form_stays_what_it_is() {
        golden(
            "auth.mail_tokens",
            &MailToken {
                purpose: Purpose::Reset,
                user: UserId::from_bytes([2; 16]),
                email: "ann@example.com".into(),
                token: MailedToken {
                    hash: [3; 32],
                    wrong: 1,
                    expires_at: Time::from_micros(1_795_342_000_000_000),
                },
            },
        );
    }
}
